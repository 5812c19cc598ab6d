"""An HTTP/1.1 service of counters: GET /bytes/N, PUT /sum, GET /events."""
import hashlib
import http.server
import socketserver
import threading

from .stream import counters

SEED = 0x5EED
PIECE = 1 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True      # head and body are two writes

    def log_message(self, *_):
        pass

    def do_GET(self):
        where = self.path.split("?")[0]
        if where.startswith("/bytes/"):
            self.send_bytes(int(where.split("/")[2]))
        elif where == "/events":
            self.send_events()
        else:
            self.send_error(404)

    def send_bytes(self, size):
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        for at in range(0, size, PIECE):
            self.wfile.write(counters(SEED, at, min(PIECE, size - at)))

    def send_events(self):
        """One event, and the next only when the test says the last one arrived."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(self.server.events):
            self.wfile.write(f"id: {number}\ndata: event {number}\n\n".encode())
            if not self.server.arrived.acquire(timeout=60):
                break

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        sha = hashlib.sha256()
        while left:
            data = self.rfile.read(min(PIECE, left))
            if not data:
                break
            sha.update(data)
            left -= len(data)
        body = f"{sha.hexdigest()} {left}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT


class Service(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(self, host="127.0.0.1", port=0):
        super().__init__((host, port), Handler)
        self.host, self.port = self.server_address[:2]
        self.arrived = threading.Semaphore(0)
        self.events = 50
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass                    # a visitor that left is the test's business

    def close(self):
        self.shutdown()
        self.server_close()
