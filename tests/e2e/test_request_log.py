"""What client and server say about the traffic: lines on a terminal, lines and records off one."""
import contextlib
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from kit import limit, need, ports, until, websocket
from kit.origin import BlackHole, echo
from kit.proc import Proc
from kit.services import Service, merged
from kit.stream import RST, connect, ending, read_exactly, reset
from kit.terminal import ESCAPE

TIME = r"(?:\d+µs|\d+ms|\d+\.\d+s|\d+s|\d+m \d+s)"
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", re.M)


def fixed(line):
    """A line with its times, port and stamp as letters."""
    line = STAMP.sub("", line)
    line = re.sub(rf" +{TIME}(?=$| )", " TIME", line)
    return re.sub(r"127\.0\.0\.1:\d+", "PEER", line)


def lines(lot, kind):
    """The fixed lines of a kind on a descriptor of a process that is off a terminal."""
    return [fixed(line)[6:] for line in lot.text.splitlines()
            if re.match(rf"\S+ INFO  {kind:5} . ", line)]


def records(proc, msg):
    """The records of a process that logs JSON: every line must be one, once it is whole."""
    whole = proc.err.text.rpartition("\n")[0].splitlines()
    return [r for r in map(json.loads, whole) if r["msg"] == msg]


class Canned:
    """A service that answers each request with the next of the given answers."""

    def __init__(self, *answers, until_close=False):
        self.answers, self.until_close = list(answers), until_close

    def __call__(self, sock):
        try:
            return self.serve(sock)
        except ConnectionError:
            return None                 # the visitor has seen enough

    def serve(self, sock):
        for answer in self.answers:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                data = sock.recv(1)
                if not data:
                    return head
                head += data
            sock.sendall(answer)
        return None if self.until_close else sock.recv(1)


class Burst:
    """A service that hears so many requests on a connection and answers them when told."""

    def __init__(self, count):
        self.count, self.go = count, threading.Event()
        self.heard, self.said = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, sock):
        head = b"GET / HTTP/1.1\r\n\r\n"
        # The client's own dial asks nothing, and visitors leave with answers unread.
        with contextlib.suppress(ConnectionError):
            read_exactly(sock, len(head) * self.count)
            self.heard.release()
            self.go.wait(limit(60))
            sock.sendall(answer("200 OK") * self.count)
            self.said.release()
            sock.recv(1)

    def to(self, client, stack, connections):
        """Asks on so many connections; all answers wait for the client when it goes on, so that
        their lines come at once however slow the machine is."""
        for _ in range(connections):
            s = stack.enter_context(connect("127.0.0.1", client.port))
            s.sendall(b"GET / HTTP/1.1\r\n\r\n" * self.count)
        assert all(self.heard.acquire(timeout=limit(30)) for _ in range(connections))
        client.signal(signal.SIGSTOP)
        self.go.set()
        assert all(self.said.acquire(timeout=limit(30)) for _ in range(connections))
        client.signal(signal.SIGCONT)


def answer(status, body=b"", *fields):
    return (f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n" +
            "".join(f"{f}\r\n" for f in fields) + "\r\n").encode() + body


def curl(*argv, check=True, seconds=30, **more):
    return subprocess.run([need("curl"), "-sS", "--noproxy", "*", *map(str, argv)],
                          capture_output=True, timeout=limit(seconds), check=check, **more).stdout


@pytest.fixture
def page(rig, tmp_path):
    """Python's own web server with one page."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "page.html").write_text("<p>hello\n")
    port = ports.one()
    service = Proc(["/usr/bin/python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", port,
                    "--directory", folder])
    service.wait_out("Serving HTTP")
    rig.keep(type("Closer", (), {"close": lambda self: service.kill()})())
    service.port = port
    return service


def test_lines_of_both_ends(rig, page):
    server = rig.server()
    client = rig.client(server, page.port, name="desk:1")
    base = f"http://127.0.0.1:{client.port}"
    curl(f"{base}/page.html")
    curl(f"{base}/none", check=False)
    curl("-I", f"{base}/page.html")
    curl("-X", "PROPFIND", f"{base}/page.html", check=False)
    wanted = [
        "HTTP  ✓ GET    /page.html                  200 OK TIME",
        "HTTP  ⚠ GET    /none                       404 Not Found TIME",
        "HTTP  ✓ HEAD   /page.html                  200 OK TIME",
        "HTTP  ✗ PROPFIND /page.html                  501 Not Implemented TIME",
    ]
    for proc, name in ((client, "  peer=PEER"), (server, "  tunnel=desk:1  peer=PEER")):
        until(lambda: len(lines(proc.err, "HTTP")) >= 4, 10, "four lines")
        assert lines(proc.err, "HTTP") == [w + name for w in wanted]


def on_screen(rig, server, local, columns, **given):
    """A client on a terminal, with its port."""
    client = rig.client(server, local, terminal={"columns": columns}, wait=False, **given)
    client.port = int(client.wait_out(r"^tcp://127\.0\.0\.1:(\d+)$")[1])
    return client


def test_lines_on_a_terminal(rig, page):
    """As the manual shows them; the address of the visitor where there is room."""
    server = rig.server(terminal={"columns": 80}, wait=False)
    server.wait_out("Ready for connections")
    client = on_screen(rig, server, page.port, 80, name="desk:1")
    wide = on_screen(rig, server, page.port, 100, name="desk:2", state="c2")
    base = f"http://127.0.0.1:{client.port}"
    curl(f"{base}/page.html")
    curl(f"{base}/none", check=False)
    curl(f"{base}/{'long/' * 20}", check=False)
    curl(f"http://127.0.0.1:{wide.port}/page.html")
    client.wait_out("404 Not Found.*\n.*404 Not Found.*\n")
    wide.wait_out("200 OK.*\n")

    def shown(proc):
        return [fixed(line) for line in proc.out.text.splitlines() if line.startswith("│ HTTP  │")]

    assert shown(client) == [
        "│ HTTP  │ ✓ GET    /page.html                  200 OK TIME",
        "│ HTTP  │ ⚠ GET    /none                       404 Not Found TIME",
        "│ HTTP  │ ⚠ GET    /long/long/long/long/long/long/long/... 404 Not Found TIME",
    ]
    assert shown(wide) == ["│ HTTP  │ ✓ GET    /page.html                  200 OK TIME  peer=PEER"]
    server.wait_out(r"HTTP .*desk:2.*\n")
    assert shown(server)[0].startswith("│ HTTP  │ ✓ GET    /page.html")
    assert shown(server)[0].endswith(" TIME  desk:1  PEER")
    for line in client.out.text.splitlines():
        if line.startswith("│ HTTP"):
            assert len(line) <= 80


def test_colours_only_on_a_terminal(rig, page):
    server = rig.server()
    client = on_screen(rig, server, page.port, 80)
    curl(f"http://127.0.0.1:{client.port}/page.html")
    client.wait_out("200 OK")
    assert "\x1b[32m✓\x1b[0m" in client.out.raw
    assert not ESCAPE.search(server.err.text)


def test_summary_on_signal_and_at_the_end(rig, page):
    client = rig.tunnel(page.port)
    for where in ("page.html", "page.html", "none"):
        curl(f"http://127.0.0.1:{client.port}/{where}", check=False)
    until(lambda: len(lines(client.server.err, "HTTP")) == 3, 10, "three lines")
    for proc in (client, client.server):
        proc.signal(signal.SIGUSR2)
        proc.wait_err(r"INFO  Uptime ")
        text = STAMP.sub("", proc.err.text)
        at = text.index("INFO  Metrics Summary\n")
        rows = [re.split(r" {2,}", r[6:]) if "Latency" not in r else r[6:].split(" ", 6)
                for r in text[at:].splitlines()]
        assert [r[0] for r in rows if len(r) == 2] == [
            "Active Streams", "Total Streams", "Total Connections", "Data Sent", "Data Received",
            "Total Transfer", "HTTP Requests", "Status Codes", "Uptime"]
        assert ["Total Streams", "3"] in rows and ["HTTP Requests", "3"] in rows
        assert ["Status Codes", "200: 2, 404: 1"] in rows
        assert re.search(rf"^INFO  Avg / Min / Max Latency {TIME} / {TIME} / {TIME}$", text, re.M)
    assert client.stop() == 0
    assert client.server.stop() == 0
    for proc in (client, client.server):
        assert proc.err.text.count("Metrics Summary") == 2


def test_quiet_says_nothing_of_it(rig, page):
    server = rig.server()
    client = rig.client(server, page.port, quiet=True, wait=False)
    client.wait_out(r"^127\.0\.0\.1:\d+$")
    curl(f"http://{client.out.text.strip()}/page.html")
    client.stop()
    assert client.out.lines() == [f"127.0.0.1:{server.first}"]
    assert client.err.text == ""


def test_request_log_off(rig, page):
    """No line, but the counters go on."""
    client = rig.tunnel(page.port, no_request_log=True, server={"no_request_log": True})
    curl(f"http://127.0.0.1:{client.port}/page.html")
    until(lambda: "Data" not in client.err.text, 1, "nothing")
    client.stop()
    client.server.stop()
    for proc in (client, client.server):
        assert not lines(proc.err, "HTTP") and not lines(proc.err, "TCP")
        assert re.search(r"Total Streams +1$", proc.err.text, re.M)
        assert re.search(r"HTTP Requests +0$", proc.err.text, re.M)


def test_keep_alive_and_pipelining(rig, serve):
    """Every request of a connection has its line, with its own answer, in order."""
    service = serve(Canned(answer("200 OK", b"one"), answer("204 No Content"),
                           answer("500 Internal Server Error", b"three"),
                           b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"5\r\nhello\r\n0\r\nChecksum: 1\r\n\r\n",
                           answer("304 Not Modified")))
    client = rig.tunnel(service)
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"".join(f"GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for n in range(5)))
        client.wait_err("304 Not Modified.*\n")
    assert lines(client.err, "HTTP") == [
        "HTTP  ✓ GET    /0                          200 OK TIME  peer=PEER",
        "HTTP  ✓ GET    /1                          204 No Content TIME  peer=PEER",
        "HTTP  ✗ GET    /2                          500 Error TIME  peer=PEER",
        "HTTP  ✓ GET    /3                          200 OK TIME  peer=PEER",
        "HTTP  ✓ GET    /4                          304 Not Modified TIME  peer=PEER",
    ]


def test_chunked_upload_with_trailers(rig, serve):
    """curl sends chunks after 100 Continue; the answer has trailers."""
    def service(sock):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert b"Transfer-Encoding: chunked" in head
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = b""
        while not body.endswith(b"0\r\n\r\n"):
            body += sock.recv(65536)
        sock.sendall(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n"
                     b"3\r\nyes\r\n0\r\nSum: 1\r\n\r\n")
        return len(body)

    client = rig.tunnel(serve(service), log_format="json")
    said = curl("-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue", "-T", "-",
                f"http://127.0.0.1:{client.port}/up", input=b"x" * 300000)
    assert said == b"yes"
    until(lambda: records(client, "request"), 10, "the record")
    one, = records(client, "request")
    assert (one["method"], one["path"], one["status"], one["end"]) == ("PUT", "/up", 201, "complete")
    assert one["received"] > 300000 and 100 < one["sent"] < 400


def test_websocket(rig, serve):
    """The switch has its line at once; the record tells all when it is over."""
    service = serve(websocket.echo)
    server = rig.server(log_format="json")
    client = rig.client(server, service, log_format="term")
    with connect("127.0.0.1", client.port) as s:
        peer = websocket.visit(s, "x")
        client.wait_err("101 Switching Protocols")
        peer.send(websocket.BINARY, bytes(100000))
        assert peer.receive()[2] == bytes(100000)
        assert not records(server, "request")
        peer.send(websocket.CLOSE, b"")
        peer.receive()
    until(lambda: records(server, "request"), 10, "the record")
    one, = records(server, "request")
    assert (one["path"], one["status"], one["end"]) == ("/socket", 101, "switched")
    assert one["received"] > 100000 and one["sent"] > 100000
    assert not records(server, "connection")
    assert lines(client.err, "HTTP") == [
        "HTTP  ✓ GET    /socket                     101 Switching Protocols TIME  peer=PEER"]
    assert not lines(client.err, "TCP")


NODE_ECHO = """
const {WebSocketServer} = require('ws')
const w = new WebSocketServer({port: +process.argv[1], host: '127.0.0.1'}, () => console.log('ready'))
w.on('connection', s => s.on('message', (m, binary) => s.send(m, {binary})))
"""
NODE_VISIT = """
const {WebSocket} = require('ws')
const s = new WebSocket(process.argv[1])
let n = 0
s.on('open', () => s.send('0'))
s.on('message', m => { if (++n == 500) { console.log('done'); s.close() } else s.send(String(n)) })
s.on('error', e => { console.log(String(e)); process.exit(1) })
"""


def test_websocket_of_node(rig):
    node, port = need("node", "/usr/bin"), ports.one()
    env = {"NODE_PATH": "/usr/share/nodejs", "PATH": "/usr/bin:/bin"}
    service = Proc([node, "-e", NODE_ECHO, port], env=env)
    rig.keep(type("Closer", (), {"close": lambda self: service.kill()})())
    service.wait_out("ready", 30)
    client = rig.tunnel(port)
    visit = subprocess.run([node, "-e", NODE_VISIT, f"ws://127.0.0.1:{client.port}/chat?room=1"],
                           env=env, capture_output=True, timeout=limit(60))
    assert visit.stdout == b"done\n", visit
    client.wait_err("101 Switching.*\n")
    assert lines(client.err, "HTTP") == [
        "HTTP  ✓ GET    /chat?room=1                101 Switching Protocols TIME  peer=PEER"]


def test_event_stream(rig, serve):
    """An answer without an end has its line when it begins."""
    def service(sock):
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        with contextlib.suppress(ConnectionError):
            sock.recv(1)

    client = rig.tunnel(serve(service), log_format="json", server={"log_format": "term"})
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        client.server.wait_err("/events +200 OK")
        assert not records(client, "request")
    until(lambda: records(client, "request"), 10, "the record")
    assert records(client, "request")[0]["end"] in ("complete", "closed", "reset by visitor")


class Nginx(Service):
    def __init__(self, rig):
        super().__init__(rig, "nginx")
        www = self.folder / "www"
        www.mkdir()
        (www / "a.txt").write_text("a" * 1000)
        (www / "big").write_bytes(bytes(5000000))
        (self.folder / "conf").write_text(f"""
            daemon off; pid {self.folder}/pid; error_log stderr notice; worker_processes 1;
            events {{ worker_connections 2000; }}
            http {{ access_log off; keepalive_requests 1000000;
                client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u;
                scgi_temp_path {self.folder}/s;
                server {{ listen 127.0.0.1:{self.port} backlog=4096; root {www};
                    client_max_body_size 1k;
                    location /moved {{ return 301 /a.txt; }}
                    location /put {{ return 200; }} }} }}
        """)
        self.start(need("nginx"), "-c", self.folder / "conf", "-e", "stderr",
                   "-p", self.folder, ready="start worker process ")


def test_nginx(rig):
    """Revalidation, ranges, redirects, refused methods and bodies, on one connection."""
    client = rig.tunnel(Nginx(rig).port)
    base = f"http://127.0.0.1:{client.port}"
    curl(f"{base}/a.txt", f"{base}/moved", f"{base}/big", "-o", "/dev/null", "-o", "/dev/null",
         "-o", "/dev/null")
    curl("-r", "0-9", f"{base}/a.txt")
    curl("-H", "If-None-Match: *", f"{base}/a.txt")
    curl("-X", "DELETE", f"{base}/a.txt")
    curl("--data-binary", "x" * 5000, f"{base}/put")
    wanted = [("GET", "/a.txt", "200 OK"), ("GET", "/moved", "301 Moved Permanently"),
              ("GET", "/big", "200 OK"), ("GET", "/a.txt", "206 Partial Content"),
              ("GET", "/a.txt", "304 Not Modified"), ("DELETE", "/a.txt", "405 Method Not Allowed"),
              ("POST", "/put", "413 Content Too Large")]
    until(lambda: len(lines(client.err, "HTTP")) >= len(wanted), 10, "the lines")
    said = [re.match(r"HTTP  \S (\S+) +(\S+) +(.*?) TIME", line).groups()
            for line in lines(client.err, "HTTP")]
    assert said == wanted


def test_wrk_with_pipelining(rig, tmp_path):
    """As many lines as answers, and every answer is 200."""
    script = tmp_path / "pipeline.lua"
    script.write_text("""
        init = function(args)
            local r = {}
            for i = 1, 16 do r[i] = wrk.format(nil, "/a.txt") end
            all = table.concat(r)
        end
        request = function() return all end
        done = function(summary) print("answers " .. summary.requests) end
    """)
    logs = tmp_path / "server.log", tmp_path / "client.log"
    server = rig.server(log_file=logs[0], wait=False)
    until(lambda: logs[0].exists() and "Ready" in logs[0].read_text(), 10, "the server")
    client = rig.client(server, Nginx(rig).port, log_file=logs[1])
    wrk = subprocess.run([need("wrk"), "-t1", "-c4", "-d2s", "-s", script,
                          f"http://127.0.0.1:{client.port}"], capture_output=True, text=True,
                         timeout=limit(60))
    answers = int(re.search(r"answers (\d+)", wrk.stdout)[1])
    assert answers and "Non-2xx" not in wrk.stdout, wrk.stdout
    client.stop()
    server.stop()
    for log in logs:
        text = log.read_text()
        seen = int(re.search(r"Status Codes +200: (\d+)\b", text, re.M)[1])
        # wrk leaves in the middle of what it asked for last.
        assert answers <= seen <= answers + 4 * 16 * 2
        assert text.count(" 200 OK ") == seen


def test_h2_with_prior_knowledge(rig, tmp_path):
    """HTTP/2 in plaintext, as gRPC has it, is counted as a connection."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_bytes(bytes(100000))
    port = ports.one()
    service = Proc(merged(need("nghttpd"), "--no-tls", "-v", "-a", "127.0.0.1", "-d",
                          tmp_path / "www", port))
    rig.keep(type("Closer", (), {"close": lambda self: service.kill()})())
    service.wait_err("listen", 30)
    client = rig.tunnel(port)
    subprocess.run([need("nghttp"), "-n", f"http://127.0.0.1:{client.port}/file"], check=True,
                   timeout=limit(30))
    client.wait_err(r"H2 .*↓ 10\d kB")
    line, = lines(client.err, "H2")
    assert re.fullmatch(r"H2    ✓ PEER   closed   ↑ \d+ B ↓ 10\d kB TIME", line), line


def test_what_is_not_http(rig, serve):
    """Who called, how much each way, how long, and how it ended."""
    server = rig.server()
    good = rig.client(server, serve(echo), name="a:1", state="a")
    with connect("127.0.0.1", good.port) as s:
        s.sendall(b"hello, this is no HTTP\r\n")
        read_exactly(s, 24)
    good.wait_err("TCP ")
    server.wait_err("tunnel=a:1")       # before another worker tells of the other one
    assert lines(good.err, "TCP") == ["TCP   ✓ PEER   closed   ↑ 24 B ↓ 24 B TIME"]

    def rude_service(sock):
        sock.recv(1)
        reset(sock)

    rude = rig.client(server, serve(rude_service), name="b:1", state="b")
    with connect("127.0.0.1", rude.port) as s:
        s.sendall(b"\0")
        ending(s)
    rude.wait_err("TCP ")
    server.wait_err("tunnel=b:1")
    assert lines(rude.err, "TCP") == ["TCP   ✗ PEER   reset by service   ↑ 1 B ↓ 0 B TIME"]
    with connect("127.0.0.1", good.port) as s:
        s.sendall(b"x")
        read_exactly(s, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    good.wait_err("reset by visitor")
    server.wait_err("reset by visitor")
    assert lines(good.err, "TCP")[1] == "TCP   ⚠ PEER   reset by visitor   ↑ 1 B ↓ 1 B TIME"
    assert [line.rsplit("  tunnel=")[1] for line in lines(server.err, "TCP")] == ["a:1", "b:1", "a:1"]


def test_a_connection_that_lives_is_told_of_while_it_does(rig, serve):
    server = rig.server()
    client = on_screen(rig, server, serve(echo), 80)
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"\0")
        read_exactly(s, 1)
        client.wait_out(r"│ TCP   │ ✓ 127\.0\.0\.1:\d+   open$")
    client.wait_out(r"│ TCP   │ ✓ 127\.0\.0\.1:\d+   closed   ↑ 1 B ↓ 1 B   \d")
    assert "TCP" not in server.err.text or "   open" not in server.err.text


def test_escape_sequences_stay_on_one_line(rig, serve):
    """A path with ESC, CR, LF, bidirectional overrides: nothing of it reaches a log raw."""
    client = rig.tunnel(serve(echo), server={"log_format": "json"})
    evil = [b"GET /\x1b]0;owned\x07 HTTP/1.1\r\n\r\n", "GET /\u202egnp.exe HTTP/1.1\r\n\r\n".encode(),
            b"GET /\x9b31m HTTP/1.1\r\n\r\n", b"G\x1b[2JET / HTTP/1.1\r\n\r\n",
            b"GET /%0d%0aSet-Cookie:x HTTP/1.1\r\n\r\n", b"GET /a\rb HTTP/1.1\r\n\r\n"]
    for request in evil:
        with connect("127.0.0.1", client.port) as s:
            s.sendall(request)
            read_exactly(s, len(request))
    both = [client, client.server]
    until(lambda: all(p.err.text.count("closed") + p.err.text.count("unwatched") >= len(evil)
                      for p in both), 10, "a line for each")
    for proc in both:
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", proc.err.text)
    assert records(client.server, "connection")


def test_garbage_after_a_good_request(rig, serve):
    """The watch is given up, the bytes flow on exactly, and what was seen stays."""
    garbage = bytes(range(256)) * 64

    def service(sock):
        read_exactly(sock, len(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
        sock.sendall(answer("200 OK", b"hi"))
        data = read_exactly(sock, len(garbage))
        sock.sendall(data)
        sock.recv(1)

    client = rig.tunnel(serve(service))
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.wait_err("200 OK")
        s.sendall(garbage)
        head = answer("200 OK", b"hi")
        assert read_exactly(s, len(head) + len(garbage)) == head + garbage
    client.wait_err("TCP .*closed")


def test_many_lines_on_a_terminal_are_suppressed(rig, serve):
    burst = Burst(50)
    server = rig.server()
    client = on_screen(rig, server, serve(burst), 80)

    def told():
        """Lines on the terminal, and those that it says are missing."""
        missing = re.findall(r"suppressed (\d+) line", client.out.text)
        return client.out.text.count("200 OK"), sum(map(int, missing))

    with contextlib.ExitStack() as stack:
        burst.to(client, stack, 10)
        until(lambda: server.err.text.count("200 OK") == 500, 20, "500 lines off a terminal")
        until(lambda: sum(told()) == 500, 20, "all of them shown or counted")
    client.stop()
    shown, missing = told()
    assert shown >= 100 and missing and shown + missing == 500


def test_log_file(rig, page, tmp_path):
    """On a terminal the lines stand on it and in the file."""
    log = tmp_path / "log"
    server = rig.server()
    client = on_screen(rig, server, page.port, 80, log_file=log)
    curl(f"http://127.0.0.1:{client.port}/page.html")
    client.wait_out("│ HTTP")
    client.stop()
    text = log.read_text()
    assert re.search(r"INFO  HTTP  ✓ GET    /page\.html +200 OK +\S+  peer=", text)
    assert "Metrics Summary" in text and "Metrics Summary" in client.out.text


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_records_have_stable_fields(rig, page, form):
    client = rig.tunnel(page.port, log_format=form, server={"log_format": form})
    curl(f"http://127.0.0.1:{client.port}/page.html?a=\"b\"")
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"\0no\n\n")
        s.recv(1)
    until(lambda: '"connection"' in client.err.text, 10, "the record")
    client.stop()
    client.server.stop()
    fields = {"time", "level", "msg", "port", "peer", "method", "path", "status", "latency_ms",
              "duration_ms", "received", "sent", "end"}
    other = {"time", "level", "msg", "port", "peer", "proto", "duration_ms", "received", "sent",
             "end"}
    for proc, extra in ((client, set()), (client.server, {"tunnel"})):
        if form == "json":
            request, = records(proc, "request")
            connection, = records(proc, "connection")
            summary, = records(proc, "summary")
            assert set(request) == fields | extra and set(connection) == other | extra
            assert request["status"] == 200 and request["path"] == '/page.html?a="b"'
            assert summary["http_requests"] == 1 and summary["status"] == "200:1"
        else:
            def keys(msg):
                line, = [line for line in proc.err.lines() if f'msg="{msg}"' in line]
                return set(re.findall(r'(?:^| )(\w+)=(?:"(?:[^"\\]|\\.)*"|[\d.]+)', line))
            assert keys("request") == fields | extra and keys("connection") == other | extra


def test_only_stderr_is_a_terminal(rig, page, tmp_path):
    """`gotunnel http 3000 | tee addresses`: the lines stand on the terminal that is left."""
    server = rig.server()
    out = open(tmp_path / "out", "wb")
    pid, master = pty.fork()
    if pid == 0:
        os.dup2(out.fileno(), 1)
        os.execve(rig.path, [rig.path, "client", "--server", f"127.0.0.1:{server.control}",
                             "--local", str(page.port), "--token-file", server.token_file,
                             "--state-dir", str(tmp_path / "c")], rig.env())
    said = b""
    until(lambda: b"Forwarding" in (tmp_path / "out").read_bytes(), 10, "the address")
    curl(f"http://127.0.0.1:{server.first}/page.html")
    while b"200 OK" not in said:
        said += os.read(master, 4096)
    os.kill(pid, signal.SIGTERM)
    with contextlib.suppress(OSError):
        while data := os.read(master, 4096):
            said += data
    assert os.waitpid(pid, 0)[1] == 0
    text = ESCAPE.sub("", said.decode())
    assert "│ HTTP  │ ✓ GET    /page.html" in text and "Metrics Summary" in text
    assert (tmp_path / "out").read_text().count("\n") == 1


def test_what_cannot_be_parsed_is_no_failed_request(rig, serve):
    """A cookie over 8 KiB ends the watching; the connection has its line, nothing counts twice."""
    client = rig.tunnel(serve(Canned(answer("200 OK", b"hi"))), log_format="json",
                        server={"log_format": "term"})
    assert curl("-H", "Cookie: " + "a" * 9000, f"http://127.0.0.1:{client.port}/") == b"hi"
    until(lambda: records(client, "connection"), 10, "the record")
    assert not records(client, "request")
    client.server.wait_err("TCP .*closed")
    assert not lines(client.server.err, "HTTP")
    client.stop()
    summary, = records(client, "summary")
    assert summary["http_requests"] == 0


def test_who_left_a_request_unanswered(rig, serve):
    def silent(sock):
        with contextlib.suppress(ConnectionError):
            while sock.recv(4096):
                pass

    def rude(sock):
        read_exactly(sock, 27)

    server = rig.server(log_format="json")
    one = rig.client(server, serve(silent), name="a:1", state="a")
    with connect("127.0.0.1", one.port) as s:
        s.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        one.wait_err("closed by visitor")
        until(lambda: records(server, "request"), 10, "the server's record of it")
    two = rig.client(server, serve(rude), name="b:1", state="b")
    with connect("127.0.0.1", two.port) as s:
        s.sendall(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n"[:27])
        ending(s)
    two.wait_err("closed by service")
    until(lambda: len(records(server, "request")) == 2, 10, "both records")
    assert [(r["path"], r["status"], r["end"]) for r in records(server, "request")] == [
        ("/slow", 0, "closed by visitor"), ("/gone", 0, "closed by service")]


def test_a_silent_connection_is_told_of_while_it_is_open(rig, serve):
    server = rig.server()
    client = on_screen(rig, server, serve(echo), 80)
    with connect("127.0.0.1", client.port):
        client.wait_out(r"│ TCP   │ ✓ 127\.0\.0\.1:\d+   open$")


def test_suppressed_lines_are_told_of_without_another(rig, serve):
    burst = Burst(60)
    client = on_screen(rig, rig.server(), serve(burst), 80)
    with contextlib.ExitStack() as stack:
        burst.to(client, stack, 5)
        client.wait_out(r"│ INFO  │ suppressed \d+ lines?$", 20)


def test_our_own_502_is_told_apart(rig):
    server = rig.server(log_format="json")
    client = rig.client(server, f"http://127.0.0.1:{ports.one()}", wait=False, log_format="json")
    client.forwarding()
    curl(f"http://127.0.0.1:{client.port}/")
    until(lambda: records(client, "request"), 10, "the record")
    one, = records(client, "request")
    assert (one["status"], one["end"]) == (502, "service refused")
    client.stop()
    summary, = records(client, "summary")
    assert summary["status"] == "502:1" and summary["latency_max_ms"] == 0


def test_a_signal_is_answered_though_all_is_quiet(rig, page):
    server = rig.server()
    client = rig.client(server, page.port, quiet=True, wait=False)
    client.wait_out(r"^127\.0\.0\.1:\d+$")
    client.signal(signal.SIGUSR2)
    client.wait_err("^Uptime ")
    assert client.out.lines() == [f"127.0.0.1:{server.first}"]


# --- gotunnel http and a service that is down ---------------------------------------------


@pytest.fixture
def down(rig):
    """A client of kind http whose service is not there; .server is its server."""
    server = rig.server()
    port = ports.one()
    client = rig.client(server, f"http://127.0.0.1:{port}", wait=False)
    client.forwarding()
    client.server, client.service = server, port
    return client


def test_visitor_of_a_web_service_that_is_down_gets_502(rig, down):
    base = f"http://127.0.0.1:{down.port}/x"
    got = curl("-i", base).decode()
    head, body = got.split("\r\n\r\n")
    assert head.startswith("HTTP/1.1 502 Bad Gateway\r\n")
    assert "Gotunnel-Error: dial_refused" in head and "Content-Type: text/plain" in head
    assert f"127.0.0.1:{down.service}: Connection refused" in body
    assert "502 Bad Gateway" in curl("-I", base).decode()
    assert "502" in curl("-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-",
                         base, input=b"x" * 300000).decode()
    until(lambda: len(lines(down.err, "HTTP")) == len(lines(down.server.err, "HTTP")) == 3, 10,
          "three lines at each end")
    for proc in (down, down.server):
        assert [line.split(" TIME")[0].split() for line in lines(proc.err, "HTTP")] == [
            ["HTTP", "✗", m, "/x", "502", "Bad", "Gateway"] for m in ("GET", "HEAD", "POST")]


def test_others_get_rst(rig, down):
    with connect("127.0.0.1", down.port) as s:
        s.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        assert ending(s)[0] == RST
    with connect("127.0.0.1", down.port) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert ending(s)[0] == RST
    # Who says nothing is not waited for without an end.
    with connect("127.0.0.1", down.port) as s:
        assert ending(s, 20)[0] == RST
    # A tunnel of kind tcp answers nobody in its place.
    plain = rig.client(down.server, ports.one(), state="plain", name="plain:1")
    with pytest.raises(ConnectionResetError):       # by whatever is done first after it
        with connect("127.0.0.1", plain.port) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            s.recv(100)


def test_silent_service_gets_a_502_of_its_own(rig):
    hole = rig.keep(BlackHole())
    env = rig.env(GOTUNNEL_TEST_TIME_SCALE="4")
    server = rig.server()
    client = rig.client(server, f"http://127.0.0.1:{hole.port}", env=env, wait=False)
    client.forwarding()
    got = curl("-i", f"http://127.0.0.1:{client.port}/").decode()
    assert got.startswith("HTTP/1.1 502 ") and "Gotunnel-Error: dial_timeout" in got


def test_service_that_comes_back_is_reached_again(rig, serve, down):
    curl(f"http://127.0.0.1:{down.port}/")
    serve(Canned(answer("200 OK", b"back")), port=down.service)
    assert curl(f"http://127.0.0.1:{down.port}/") == b"back"


def test_upload_to_a_service_that_is_down_ends(rig, down):
    """An endless upload gets the answer, and the connection does not stay."""
    with connect("127.0.0.1", down.port) as s:
        s.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        stop = threading.Event()

        def upload():
            try:
                while not stop.is_set():
                    s.sendall(bytes(65536))
            except OSError:
                pass

        thread = threading.Thread(target=upload)
        thread.start()
        assert s.recv(12) == b"HTTP/1.1 502"
        try:
            while s.recv(65536):
                pass
        except ConnectionError:
            pass
        stop.set()
        thread.join()
    down.server.wait_err("502 Bad Gateway")


def test_half_closed_request_gets_its_502(rig, down):
    """As HTTP/1.0 health checks ask."""
    for _ in range(10):
        with connect("127.0.0.1", down.port) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            s.shutdown(socket.SHUT_WR)
            assert s.recv(12) == b"HTTP/1.1 502"
    with connect("127.0.0.1", down.port) as s:
        s.sendall(b"GET / HT")
        s.shutdown(socket.SHUT_WR)
        assert ending(s)[0] == RST


def test_visitors_that_reset_while_the_dial_fails(rig, serve, down):
    """Both may come in one turn of the client's loop, which must live."""
    for _ in range(60):
        socks = [connect("127.0.0.1", down.port) for _ in range(30)]
        for s in socks:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
    assert "502 Bad Gateway" in curl("-i", f"http://127.0.0.1:{down.port}/").decode()


def test_a_slow_reader_of_the_log_gets_it_all(rig, serve):
    """At the end, too: lines and summary wait for it a moment."""
    service = serve(Canned(*[answer("200 OK")] * 100))
    server = rig.server()
    reader, writer = os.pipe()
    client = rig.client(server, service, wait=False, more=())
    client.forwarding()
    client.stop()
    slow = rig.add(Proc([rig.path, "client", "--server", f"127.0.0.1:{server.control}", "--local",
                         str(service), "--token-file", server.token_file, "--state-dir",
                         rig.folder / "slow"], env=rig.env(), stderr=writer))
    os.close(writer)
    port = int(slow.wait_out(r"^Forwarding tcp://127\.0\.0\.1:(\d+)")[1])
    for _ in range(20):
        with connect("127.0.0.1", port) as s:
            s.sendall(b"GET /a/path/that/is/rather/long/to/fill/the/pipe HTTP/1.1\r\n\r\n" * 100)
            received = b""
            while received.count(b"HTTP/1.1 200") < 100:
                received += s.recv(65536)
    slow.signal(signal.SIGTERM)
    text = b""
    while data := os.read(reader, 65536):
        text += data
    os.close(reader)
    assert slow.wait_exit() == 0
    assert text.count(b" 200 OK ") == 2000 and b"Metrics Summary" in text
