"""Nobody reads what a program writes: the tunnels go on, and it ends when told."""
import os
import signal
import subprocess
import termios
import tty

import pytest

from kit import ports, until, wire
from kit.gotunnel import BIN, Client, Server
from kit.origin import echo
from kit.stream import connect, read_exactly
from kit.wire import RawClient, RawServer


class StuckPipe:
    """A pipe, or a terminal, that is full and stays so."""

    def __init__(self, kind="pipe"):
        if kind == "pipe":
            self.reader, self.writer = os.pipe()
        else:
            self.reader, self.writer = os.openpty()
            tty.setraw(self.writer, termios.TCSANOW)

    def fill(self):
        """Leaves room for nothing, by a descriptor that nobody else has."""
        fd = os.open(f"/proc/self/fd/{self.writer}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        for size in (65536, 1):
            try:
                while True:
                    os.write(fd, b"x" * size)
            except BlockingIOError:
                pass
        os.close(fd)

    def close(self):
        os.close(self.reader)
        os.close(self.writer)


def echoes(sock, count=1):
    for _ in range(count):
        sock.sendall(b"hello")
        assert read_exactly(sock, 5) == b"hello"


def serve_into(rig, stuck):
    """A server whose stderr is the stuck one."""
    control, first = ports.one(), ports.block(4)
    server = rig.add(Server([BIN, "server", "--addr", f"127.0.0.1:{control}",
                             "--start-port", first, "--end-port", first + 3, "--plaintext",
                             "--token-file", rig.token_file], env=rig.env(), cwd=rig.folder,
                            stdout=subprocess.DEVNULL, stderr=stuck.writer, name="server"))
    server.host, server.control, server.token_file = "127.0.0.1", control, rig.token_file
    until(lambda: listens(control), 10, "the control port")
    return server


def listens(port):
    try:
        connect("127.0.0.1", port).close()
        return True
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_server_whose_log_nobody_reads(rig, serve, kind):
    """Case 32: lines are lost, and nothing else: not for another tenant, not for SIGTERM."""
    stuck = rig.keep(StuckPipe(kind))
    server = serve_into(rig, stuck)
    client = rig.client(server, serve(echo), plaintext=True)
    with connect("127.0.0.1", client.port) as visitor:
        echoes(visitor)
        raw = RawClient(server, server.token()).login(instance=b"i" * 16)
        stuck.fill()
        for number in range(1, 60):             # a line each
            raw.send("BIND", 0, wire.bind(bind_id=number, port=1))
            raw.expect("BIND_ERR")
        for _ in range(20):                     # and these
            with connect("127.0.0.1", client.port) as other:
                echoes(other)
        echoes(visitor, 3)
        raw.close()
    client.stop()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_client_whose_output_nobody_reads(rig, serve, kind):
    """Case 32: stdout and stderr in one full pipe: the tunnel comes up and comes back all the same."""
    stuck = rig.keep(StuckPipe(kind))
    stuck.fill()
    with open(rig.token_file) as f:
        false = rig.keep(RawServer(f.read().strip()))
    client = rig.add(Client([BIN, "client", "--server", f"127.0.0.1:{false.port}", "--local",
                             str(serve(echo)), "--plaintext",
                             "--token-file", rig.token_file], env=rig.env(), cwd=rig.folder,
                            stdout=stuck.writer, stderr=stuck.writer, name="client"))
    for port in (12345, 12346):
        raw = false.tunnel(port)
        raw.send("HEARTBEAT", 0, b"stillok?\0")
        while raw.expect("HEARTBEAT", skip=("CREDIT", "ACK"))[2] != b"stillok?\1":
            pass
        raw.close()
    client.signal(signal.SIGTERM)
    assert client.wait_exit() == 0


def test_last_word_that_nobody_reads(rig):
    """Case 32: it waits a moment for its reader and ends with its code."""
    stuck = rig.keep(StuckPipe())
    stuck.fill()
    server = rig.server()
    client = rig.add(Client([BIN, "client", "--server", f"127.0.0.1:{server.control}", "--local",
                             "127.0.0.1:1", "--token", "wrong"], env=rig.env(), cwd=rig.folder,
                            stdout=stuck.writer, stderr=stuck.writer, name="client"))
    assert client.wait_exit() == 4
