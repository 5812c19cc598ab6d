"""A relay in place of the tunnel: what a plain TCP path does, to test the tests with.

`faults` breaks it on purpose: a test of the data path that passes over a
broken relay proves nothing.
"""
import socket
import threading

from .stream import reset

TCP_CLOSE = 7


class Line:
    """Between a client and its server; what passes, and how, is pump()'s, a thread a direction:
    all of it, and see() is shown it first."""

    def __init__(self, server):
        self.target = (server.host, server.control)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.socks, self.pumps = [], []
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                a, _ = self.listener.accept()
            except OSError:             # close()
                return
            try:
                b = socket.create_connection(self.target)
            except OSError:             # nobody is there any more
                a.close()
                continue
            self.join(a, b)

    def join(self, a, b):
        """Only this thread adds to what close() ends, and close() waits for it."""
        self.socks += [a, b]
        for x, y in ((a, b), (b, a)):
            self.prepare(x)
            y.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pumps.append(threading.Thread(target=self.pump, args=(x, y), daemon=True))
        for thread in self.pumps[-2:]:
            thread.start()

    def prepare(self, sock):
        """Options of a socket that is read."""

    def pump(self, x, y):
        try:
            while data := x.recv(65536):
                self.see(data)
                y.sendall(data)
            y.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def see(self, data):
        """What is about to be passed on."""

    def close(self):
        """Ends what is read or waited for first, and the descriptors when nobody uses them."""
        end(self.listener)
        self.acceptor.join()
        self.listener.close()
        for s in self.socks:
            end(s)
        for thread in self.pumps:
            thread.join()
        for s in self.socks:
            s.close()


def end(sock):
    """Wakes whoever waits for it; the descriptor stays."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Relay:
    """Forwards 127.0.0.1:port to a target; keeps half-close and RST."""

    def __init__(self, target, faults=()):
        self.target = target
        self.faults = set(faults)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1024)
        self.host, self.port = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                visitor, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.join, args=(visitor,), daemon=True).start()

    def join(self, visitor):
        try:
            local = socket.create_connection(self.target, timeout=10)
        except OSError:
            reset(visitor)
            return
        local.settimeout(None)
        pair = Pair(visitor, local, self.faults)
        for a, b in ((visitor, local), (local, visitor)):
            threading.Thread(target=pair.pump, args=(a, b), daemon=True).start()

    def close(self):
        end(self.listener)
        self.listener.close()


class Pair:
    """A visitor's socket and a local one, a thread a direction."""

    def __init__(self, visitor, local, faults):
        self.sockets = (visitor, local)
        self.faults = faults
        self.lock = threading.Lock()
        self.ended = set()          # sockets that were read to their FIN
        self.broken = set()         # sockets that refused a write
        self.moved = 0

    def pump(self, a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                self.push(b, self.spoil(data))
            if self.was_reset(a, b):
                raise ConnectionResetError
            if "no half-close" in self.faults:
                self.finish()
                return
            with self.lock:
                self.ended.add(a)
                last = len(self.ended) == 2
                if not last:
                    b.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()
            return
        if last:
            self.finish()

    def push(self, b, data):
        try:
            b.sendall(data)
        except OSError:
            with self.lock:
                self.broken.add(b)
                if b in self.ended:
                    raise
            # The other thread still reads what b sent before, and ends both.

    def was_reset(self, a, b):
        """A write may have taken the error of a away; then a read says end of file."""
        with self.lock:
            if a in self.broken:
                return True
            state = a.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            return state == TCP_CLOSE and b not in self.ended

    def spoil(self, data):
        self.moved += len(data)
        if self.moved < 300000:
            return data
        if "drop" in self.faults:
            self.faults = self.faults - {"drop"}
            return data[:-100]
        if "repeat" in self.faults:
            self.faults = self.faults - {"repeat"}
            return data + data[-160:]
        return data

    def abort(self):
        """Either socket failed and was read out: both get RST."""
        if "FIN for RST" in self.faults:
            self.finish()
            return
        with self.lock:
            for s in self.sockets:
                if s.fileno() >= 0:
                    try:
                        s.shutdown(socket.SHUT_RD)      # wakes the other thread
                    except OSError:
                        pass
                    reset(s)

    def finish(self):
        for s in self.sockets:
            end(s)
            s.close()
