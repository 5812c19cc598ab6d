"""What one tenant, or a crowd of strangers, may take from the others."""
import os
import re
import resource
import threading
import time

import pytest

from kit import SANITIZED, SCALE, limit, until
from kit.origin import echo
from kit.stream import MIB, connect, read_exactly, reset

SEED = 0x28
HELD = (64 << 20) * (4 if SANITIZED else 1)     # what a process may take besides


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """Thousands of sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Canary:
    """Another tenant's tunnel with an echo going through it all the time."""

    def __init__(self, rig, serve, server):
        self.client = rig.client(server, serve(echo), name="canary:1", state="canary")
        self.sock = connect("127.0.0.1", self.client.port)
        self.slowest, self.count, self.error, self.stop = 0, 0, None, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        until(lambda: self.error or self.count, 5, "its first echo")

    def run(self):
        try:
            while not self.stop:
                data, began = os.urandom(1024), time.monotonic()
                self.sock.sendall(data)
                assert read_exactly(self.sock, 1024) == data
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.count += 1
                time.sleep(0.05)
        except Exception as error:
            self.error = error

    def close(self):
        self.stop = True
        self.thread.join()
        self.sock.close()
        assert self.error is None and self.count > 3
        # A tunnel that waits for those that are stuck would not answer at all.
        assert self.slowest < limit(3)
        assert "Session lost" not in self.client.err.text


def torrent(sock):
    """Bytes without end once it is asked."""
    sock.settimeout(None)
    try:
        sock.recv(1)
        while True:
            sock.sendall(bytes(65536))
    except OSError:
        pass


def test_tenants_full_of_stuck_streams(rig, serve):
    """Case 28: 10 of them with 100 visitors each that never read: every tenant still serves
    a new visitor, nothing grows beyond the windows, and all of it is given back."""
    tenants, stuck, window = 10, 100 // SCALE, 256 * 1024
    # Room for all of it: what happens without is the next test's.
    server = rig.server(no_request_log=True, drain="1s", max_buffered=1024)
    canary = rig.keep(Canary(rig, serve, server))
    service = serve(torrent)
    clients = [rig.client(server, str(service), name=f"t{n}:1", state=f"t{n}", drain="1s",
                          no_request_log=True) for n in range(tenants)]
    memory = server.rss()
    held = []
    for client in clients:
        for _ in range(stuck):
            s = connect("127.0.0.1", client.port, receive_buffer=4096)
            s.sendall(b"s")
            held.append(s)
    settled = [0]

    def is_settled():
        """The windows are full: the server's memory has stopped to grow."""
        before, settled[0] = settled[0], server.rss()
        time.sleep(0.3)
        return abs(settled[0] - before) < MIB
    until(is_settled, 60, "the end of growth")
    # A stream's window, and what the queue's doubling and the allocator add.
    assert server.rss() - memory < HELD + tenants * stuck * 3 * window
    for client in clients:
        with connect("127.0.0.1", client.port) as s:
            s.sendall(b"s")
            assert len(read_exactly(s, 16 * 1024)) == 16 * 1024
    files = server.descriptors()
    for s in held:
        reset(s)
    until(lambda: server.descriptors() <= files - len(held), 30, "the end of the stuck streams")
    canary.close()
    rig.closers.remove(canary)
    assert " lost: " not in server.err.text


def test_the_budget_of_the_process(rig, serve):
    """Case 28: what all streams hold stays within --max-buffered; those that took nothing
    for 10 s are reset for it, and nobody else notices."""
    tenants, stuck, budget = 6, 120 // SCALE, 24 * MIB
    env = rig.env(GOTUNNEL_TEST_TIME_SCALE=str(2))
    server = rig.server(no_request_log=True, drain="1s", max_buffered=24, env=env)
    canary = rig.keep(Canary(rig, serve, server))
    service = serve(torrent)
    clients = [rig.client(server, str(service), name=f"t{n}:1", state=f"t{n}", drain="1s",
                          no_request_log=True, env=env) for n in range(tenants)]
    memory, most = server.rss(), 0
    held = []
    for client in clients:
        for _ in range(stuck):
            s = connect("127.0.0.1", client.port, receive_buffer=4096)
            s.sendall(b"s")
            held.append(s)

    def somebody_was_reset():
        nonlocal most
        most = max(most, server.rss())
        return "took nothing for 10s reset" in server.err.text
    until(somebody_was_reset, 60, "the end of the stalled")
    # Each stream has its floor, and a share is read to its end.
    assert most - memory < HELD + 2 * budget + tenants * stuck * 64 * 1024
    for client in clients:
        until(lambda: is_served(client.port), 60, "a new visitor served")
    for s in held:
        reset(s)
    canary.close()
    rig.closers.remove(canary)


def is_served(port):
    try:
        with connect("127.0.0.1", port, 5) as s:
            s.sendall(b"s")
            return len(read_exactly(s, 16 * 1024)) == 16 * 1024
    except OSError:
        return False


def flood(count, threads, run):
    """run() so often, by so many threads, whatever comes of it."""
    def work():
        for _ in range(count // threads):
            try:
                run()
            except OSError:
                pass
    crowd = [threading.Thread(target=work) for _ in range(threads)]
    for t in crowd:
        t.start()
    for t in crowd:
        t.join()


def test_errors_by_the_thousand(rig, serve):
    """Case 32: noise at the control port as fast as it is taken, and visitors that vanish in
    mid-write: lines of a kind are bounded, the process and the others go on."""
    server = rig.server(no_request_log=True)
    client = rig.client(server, serve(quiet_echo), no_request_log=True)
    canary = rig.keep(Canary(rig, serve, server))
    files = [p.descriptors() for p in (server, client)]
    since, began = [len(p.err.text) for p in (server, client)], time.monotonic()

    def noise():
        with connect("127.0.0.1", server.control, seconds=10) as s:
            s.sendall(b"\xff\x1b[2J" * 20)
            reset(s)

    def vanish():
        s = connect("127.0.0.1", client.port, seconds=10)
        s.sendall(bytes(100000))
        reset(s)

    flood(6000 // SCALE, 6, noise)
    flood(3000 // SCALE, 6, vanish)
    took = time.monotonic() - began
    for proc, at in zip((server, client), since):
        lines = re.findall(r"^.+$", proc.err.text[at:], re.M)
        # 100 a second of a kind, and of these there are few.
        assert len(lines) < 300 * (took + 1), f"{len(lines)} lines in {took} s"
    until(lambda: [p.descriptors() for p in (server, client)] <= files, 20, "the descriptors")
    canary.close()
    rig.closers.remove(canary)
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
    assert "Session lost" not in client.err.text


def quiet_echo(sock):
    """A visitor may be cut off at any time."""
    try:
        return echo(sock)
    except ConnectionError:
        return None
