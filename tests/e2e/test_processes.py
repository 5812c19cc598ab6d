"""Processes that are killed, stopped or doubled while the tunnels are in use."""
import re
import shutil
import signal
import socket
import threading
import time

import pytest

from kit import SANITIZED, limit, until
from kit.origin import echo
from kit.stream import RST, connect, read_exactly, receive, reset

SEED = 0x40


def quiet_echo(sock):
    """A visitor may be cut off at any time."""
    try:
        return echo(sock)
    except ConnectionError:
        return None


def works(port):
    with connect("127.0.0.1", port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


def is_served(port):
    try:
        works(port)
        return True
    except OSError:
        return False


def again(rig, server):
    """The same server, started anew on its ports."""
    return rig.server(port=server.control, start=server.first,
                      count=server.last - server.first + 1, no_request_log=True)


class Load:
    """Visitors that echo all the time; each takes a new connection when it is cut off."""

    def __init__(self, port, count):
        self.port, self.stop, self.turns, self.wrong = port, False, 0, []
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(count)]
        for t in self.threads:
            t.start()

    def run(self, number):
        while not self.stop:
            try:
                with connect("127.0.0.1", self.port, seconds=20) as s:
                    self.visit(s, number)
            except socket.timeout:
                self.wrong.append("a visitor hangs")
            except OSError:
                time.sleep(0.05)

    def visit(self, s, number):
        turn = 0
        while not self.stop:
            turn += 1
            data = b"%06d %010d " % (number, turn) * 50
            s.sendall(data)
            got = b""
            while len(got) < len(data):
                more = s.recv(len(data) - len(got))
                if not more:
                    self.wrong.append(f"a clean end after {len(got)} of {len(data)} bytes")
                    return
                got += more
            if got != data:
                self.wrong.append(f"{got[:40]} instead of {data[:40]}")
            self.turns += 1

    def close(self):
        self.stop = True
        for t in self.threads:
            t.join()
        assert not self.wrong, self.wrong[:5]
        assert self.turns


def test_server_killed_time_after_time(rig, serve):
    """Cases 21, 39: under 200 streams; the same port each time, and every visitor RST."""
    service = serve(quiet_echo)
    server = rig.server(no_request_log=True)
    client = rig.client(server, service, no_request_log=True,
                        env=rig.env(GOTUNNEL_TEST_TIME_SCALE="5"))
    for number in range(3 if SANITIZED else 10):
        held = [connect("127.0.0.1", client.port) for _ in range(200)]
        for s in held:
            s.sendall(b"hello")
        for s in held:
            assert read_exactly(s, 5) == b"hello"
        since = len(client.err.text)
        server.kill()
        server = again(rig, server)
        client.wait_err("Connected successfully, away .*, same address", 10, since)
        for s in held:
            assert receive(s) == RST
            s.close()
        until(lambda: is_served(client.port), 10, f"the tunnel after round {number}")


def test_clients_of_a_restarted_server(rig, serve):
    """Case 37: all come back to their own ports, and not all at once."""
    count = 20 if SANITIZED else 60
    server = rig.server(count=count, no_request_log=True)
    service = serve(quiet_echo)
    clients = [rig.client(server, str(service), name=f"c{n}:1", state=f"c{n}", wait=False,
                          log_level="debug") for n in range(count)]
    for c in clients:
        c.forwarding(30)
    assert len({c.port for c in clients}) == count
    since = [len(c.err.text) for c in clients]
    server.kill()
    server = again(rig, server)
    for c, at in zip(clients, since):
        c.wait_err("Connected successfully, away .*, same address", 60, at)
        works(c.port)
    # When each dialled; a server that is slow to start lets them in together. They draw from a
    # part of their period, so how far they are apart is chance, but not that they are.
    times = [dialled(c.err.text[at:]) for c, at in zip(clients, since)]
    assert max(times) - min(times) > 0.01


def dialled(text):
    """When the last of its connections was begun, in seconds."""
    minutes, seconds = re.findall(r"T\d\d:(\d\d):([\d.]+)Z DEBUG .*dialling .*: trying$", text,
                                  re.M)[-1]
    return 60 * int(minutes) + float(seconds)


@pytest.mark.parametrize("which", ["server", "client"])
def test_sigterm_under_load(rig, serve, which):
    """Case 40: no visitor is let in any more, those that are in go on, and it ends with 0."""
    client = rig.tunnel(serve(quiet_echo), no_request_log=True, drain="1h",
                        server={"drain": "1h", "no_request_log": True})
    load = Load(client.port, 20)
    with connect("127.0.0.1", client.port) as kept:
        kept.sendall(b"begun")          # so that it is in, at both ends
        assert read_exactly(kept, 5) == b"begun"
        until(lambda: load.turns > 200, 10, "load")
        proc = rig.procs[0] if which == "server" else rig.procs[1]
        since = proc.err.text.count("\n")
        proc.signal(signal.SIGTERM)
        proc.wait_err(r"Shutting down: \d+ streams open, waiting up to 1h")

        def refused():
            try:
                socket.create_connection(("127.0.0.1", client.port), limit(5)).close()
                return False
            except OSError:
                return True
        until(refused, 5, "a closed public port")
        kept.sendall(b"still")
        assert read_exactly(kept, 5) == b"still"
        load.close()
        reset(kept)
    assert proc.wait_exit() == 0
    assert proc.err.text.count("\n") - since < 40


@pytest.mark.parametrize("which", ["server", "client"])
def test_second_sigterm_under_load(rig, serve, which):
    """Case 40: it does not wait for what is open."""
    client = rig.tunnel(serve(quiet_echo), no_request_log=True, drain="1h",
                        server={"drain": "1h", "no_request_log": True})
    load = Load(client.port, 20)
    until(lambda: load.turns > 200, 10, "load")
    proc = rig.procs[0] if which == "server" else rig.procs[1]
    proc.signal(signal.SIGTERM)
    proc.wait_err("Shutting down: ")
    proc.signal(signal.SIGTERM)
    assert proc.wait_exit(10) == 128 + signal.SIGTERM
    load.close()


def test_two_clients_of_one_identity(rig, serve):
    """Case 41: name and instance are copied with the state: the newcomer has the port, and
    the other one ends, so that they do not take it from each other for ever."""
    server = rig.server()
    first = rig.client(server, serve(lambda s: s.sendall(b"first")), name="same:1", state="one")
    shutil.copytree(rig.folder / "one", rig.folder / "two")
    since = len(server.err.text)
    second = rig.client(server, serve(lambda s: s.sendall(b"second")), name="same:1", state="two")
    assert second.port == first.port
    assert first.wait_exit(20) == 7
    assert "replaced" in first.err.text
    time.sleep(3)                       # enough for several changes, if there were any
    assert second.alive
    with connect("127.0.0.1", second.port) as s:
        assert read_exactly(s, 6) == b"second"
    assert server.err.text[since:].count("replaced by a newer session") == 1
