"""Services behind the tunnel: a thread a connection, each a plain function."""
import queue
import socket
import threading

import pytest

from . import limit
from .stream import Checker, receive, reset, send_counters


class Origin:
    """Listens on loopback and gives every connection to `handler(sock)`.

    What handlers return is kept in order in `results`; what they raise is
    kept in `errors`. A connection is closed when its handler is done.
    """

    def __init__(self, handler, host="127.0.0.1", port=0, backlog=1024):
        self.handler = handler
        self.results = queue.Queue()
        self.errors = []
        self.accepted = 0
        self.probes = 0                 # connections to come that are the client's first dial
        self.probed = threading.Event()
        self.open = set()
        self.lock = threading.Lock()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1]
        self.host = host
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                is_probe = self.probes > 0
                self.probes -= is_probe
                self.accepted += not is_probe
                self.open.add(sock)
            run = self.take_probe if is_probe else self.serve
            threading.Thread(target=run, args=(sock,), daemon=True).start()

    def __str__(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def expect_probe(self):
        """The client dials once at its start: that connection is no visitor's."""
        self.probed.clear()
        with self.lock:
            self.probes += 1

    def take_probe(self, sock):
        sock.settimeout(limit(60))
        try:
            sock.recv(1)
        except OSError:
            pass
        with self.lock:
            self.open.discard(sock)
        sock.close()
        self.probed.set()

    def await_probe(self):
        if not self.probed.wait(limit(10)):
            pytest.fail("the client did not dial its target at the start, or kept the connection")

    def serve(self, sock):
        sock.settimeout(limit(60))
        try:
            self.results.put(self.handler(sock))
        except Exception as error:      # reported by check(), in the test's thread
            self.errors.append(error)
            self.results.put(error)
        finally:
            with self.lock:
                self.open.discard(sock)
            sock.close()

    def result(self, seconds=30):
        """What the next handler that ends returns."""
        try:
            value = self.results.get(timeout=limit(seconds))
        except queue.Empty:
            pytest.fail(f"no connection of the origin ended within {limit(seconds)} s")
        if isinstance(value, Exception):
            raise value
        return value

    def close(self):
        """Stops listening; connections that are still open are reset."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            left = list(self.open)
        for sock in left:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Together:
    """A handler around another: how many connections there are at once, at the most.

    What the other side has ended is over, whenever the handler's thread comes to know it.
    """

    ESTABLISHED = 1

    def __init__(self, handler, bound):
        self.handler, self.bound = handler, bound
        self.socks, self.most, self.lock = set(), 0, threading.Lock()

    def __call__(self, sock):
        with self.lock:
            self.socks.add(sock)
            if len(self.socks) > self.bound:
                self.socks = set(filter(self.is_open, self.socks))
            self.most = max(self.most, len(self.socks))
        try:
            return self.handler(sock)
        finally:
            with self.lock:
                self.socks.discard(sock)

    def is_open(self, sock):
        state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return state == self.ESTABLISHED


def echo(sock):
    """Sends back what comes, to the end."""
    total = 0
    while True:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            return total
        if not data:
            return total
        sock.sendall(data)
        total += len(data)


def source(seed, length):
    """Sends a stream of counters, then closes."""
    def handler(sock):
        send_counters(sock, seed, length)
    return handler


def sink(seed):
    """Takes a stream of counters; the result is (checker, how it ended)."""
    def handler(sock):
        checker = Checker(seed)
        return checker, receive(sock, checker)
    return handler


def banner(text):
    """Speaks first, then echoes."""
    def handler(sock):
        sock.sendall(text)
        return echo(sock)
    return handler


def resetting(sock):
    """RST as soon as the connection is there."""
    reset(sock)


class BlackHole:
    """A listener whose queue is full: the kernel drops every further SYN."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.held, dropped = [], 0
        # One that takes its time may be the machine's doing; two in a row are not.
        while dropped < 2:
            dropped = 0 if self.joins() else dropped + 1
            if len(self.held) > 64:
                raise RuntimeError("the listen queue does not fill up")

    def joins(self):
        """Whether one more gets into the queue."""
        s = socket.socket()
        s.settimeout(0.5)
        self.held.append(s)
        try:
            s.connect(("127.0.0.1", self.port))
            return True
        except socket.timeout:
            return False

    def close(self):
        for s in self.held:
            s.close()
        self.listener.close()
