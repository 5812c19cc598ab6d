"""Memory runs out: the n-th allocation of a running process fails, for every n. And what
idle streams and sessions may cost, and that it is given back.

The machines in mux/ have the same done to them in tests/sim, under the sanitizers.
"""
import errno
import mmap
import pathlib
import socket
import ssl
import struct
import subprocess

import pytest

from kit import SANITIZED, WORKERS, limit, need, until
from kit.origin import echo
from kit.stream import FIN, RST, Checker, connect, receive, send_counters
from kit.wire import RawClient, frame

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer brings its own allocator")
SEED, SIZE = 0x30, 100000
# The waits between attempts grow when session after session is lost.
HURRIED = {"GOTUNNEL_TEST_TIME_SCALE": "10"}
QUICK = {"GOTUNNEL_TEST_TIME_SCALE": "5"}
MOST = 4000                         # allocations of a script, or it has no end


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("malloc") / "failing_malloc.so"
    source = pathlib.Path(__file__).parent / "kit" / "failing_malloc.c"
    subprocess.run([need("gcc"), "-O2", "-fPIC", "-shared", "-o", path, source], check=True)
    return path


class Memory:
    """What the allocator of a process shares with us."""

    LAYOUT = struct.Struct("@llll")

    def __init__(self, rig, library, name):
        path = rig.folder / name
        path.write_bytes(bytes(self.LAYOUT.size))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), self.LAYOUT.size)
        self.env = {"LD_PRELOAD": str(library), "FAILING_MALLOC": str(path)}

    def fail(self, n):
        """The n-th from now; 0: none."""
        self.map[:8] = struct.pack("@l", n)

    @property
    def left(self):
        return self.LAYOUT.unpack(self.map[:])[0]

    @property
    def live(self):
        return self.LAYOUT.unpack(self.map[:])[2]

    @property
    def bytes(self):
        return self.LAYOUT.unpack(self.map[:])[3]

    def close(self):
        self.map.close()


def visit(port):
    """How an echo went: all of it and FIN, or RST; never an end with bytes missing."""
    checker = Checker(SEED)
    try:
        with connect("127.0.0.1", port, seconds=20) as s:
            send_counters(s, SEED, SIZE)
            s.shutdown(1)
            how = receive(s, checker)
    except ConnectionRefusedError:
        return None
    except OSError as error:
        assert error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN), error
        how = RST
    assert checker.fault is None
    assert how == RST or checker.count == SIZE, f"a clean end after {checker.count} bytes"
    return how


def every_allocation(memory, script, again):
    """Runs a script until it needs fewer allocations than are good; how often one failed."""
    failures = 0
    for n in range(1, MOST):
        memory.fail(n)
        script()
        failed = memory.left == 0
        memory.fail(0)
        until(again, 40, f"the way back from failed allocation {n}")
        if not failed:
            return failures
        failures += 1
    pytest.fail("the script has no end")


def test_server_without_memory_for_a_visit(rig, serve, library):
    """Cases 21, 30: visitors end, or the session does and comes back; the server lives."""
    memory = rig.keep(Memory(rig, library, "memory"))
    server = rig.server(env=rig.env(**memory.env))
    client = rig.client(server, serve(quiet_echo), env=rig.env(**HURRIED))
    for _ in range(5):
        assert visit(client.port) == FIN
    before, files = memory.live, server.descriptors()
    assert every_allocation(memory, lambda: visit(client.port),
                            lambda: visit(client.port) == FIN) >= 3
    until(lambda: server.descriptors() <= files, 10, "the descriptors from before")
    # A worker keeps a few buffers at rest, from its first session on.
    until(lambda: memory.live - before < 16 * WORKERS, 10, "the blocks from before")
    assert server.alive


def test_server_without_memory_for_a_login(rig, serve, library):
    """Case 30: whoever logs in is closed, and nobody else notices."""
    memory = rig.keep(Memory(rig, library, "memory"))
    server = rig.server(env=rig.env(**memory.env), plaintext=True)
    client = rig.client(server, serve(quiet_echo))
    number = 0

    def log_in():
        nonlocal number
        number += 1
        try:
            raw = RawClient(server, server.token()).login(instance=number.to_bytes(16, "big"))
            raw.send("BIND", 0, b"\0\0\0\1\1\0\0\0\0\0\0")
            raw.expect("BIND_OK", "BIND_ERR")
            raw.close()
            return True
        except (ConnectionError, AssertionError):
            return False

    for _ in range(16):             # more than there are ports, whose leases stay
        assert log_in() and visit(client.port) == FIN
    before, files = memory.live, server.descriptors()
    assert every_allocation(memory, log_in, log_in) >= 10
    until(lambda: server.descriptors() <= files, 10, "the descriptors from before")
    assert visit(client.port) == FIN
    # A worker keeps a few buffers at rest, from its first session on.
    until(lambda: memory.live - before < 16 * WORKERS, 10, "the blocks from before")
    assert "Session lost" not in client.err.text


def test_server_without_memory_for_a_handshake(rig, serve, library):
    """Case 30: TLS, whose library allocates the most."""
    memory = rig.keep(Memory(rig, library, "memory"))
    server = rig.server(env=rig.env(**memory.env))
    client = rig.client(server, serve(quiet_echo))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["gotunnel/1"])

    def shake_hands():
        try:
            with context.wrap_socket(connect("127.0.0.1", server.control)) as s:
                s.sendall(frame(0x7f))      # no frame of a stranger: closed
                s.settimeout(limit(10))
                return s.recv(1) == b""
        except OSError:
            return False

    for _ in range(5):
        shake_hands()
    assert visit(client.port) == FIN
    before, files = memory.live, server.descriptors()
    assert every_allocation(memory, shake_hands, lambda: True) >= 50
    until(lambda: server.descriptors() <= files, 10, "the descriptors from before")
    assert visit(client.port) == FIN
    # A worker keeps a few buffers at rest, from its first session on.
    until(lambda: memory.live - before < 16 * WORKERS, 10, "the blocks from before")
    assert "Session lost" not in client.err.text


def test_client_without_memory_for_a_visit(rig, serve, library):
    """Cases 21, 30: visitors end, or the session does and comes back; the client lives."""
    memory = rig.keep(Memory(rig, library, "memory"))
    server = rig.server()
    client = rig.client(server, serve(quiet_echo), env=rig.env(**memory.env, **HURRIED))
    for _ in range(5):
        assert visit(client.port) == FIN
    before, files = memory.live, client.descriptors()
    assert every_allocation(memory, lambda: visit(client.port),
                            lambda: visit(client.port) == FIN) >= 3
    until(lambda: client.descriptors() <= files, 10, "the descriptors from before")
    until(lambda: memory.live - before < 16, 10, "the blocks from before")
    assert client.alive


def quiet_echo(sock):
    """A visitor may be cut off at any time."""
    try:
        return echo(sock)
    except ConnectionError:
        return None


# --- what it costs ---------------------------------------------------------------------------

STREAMS, SESSIONS, BUSY = 256, 10, 64
STREAM_MAX, SESSION_MAX = 1000, 24 * 1024   # bytes of the allocator; 815 and 9 KiB when written


def grown(memories, before, each):
    """Bytes of the allocator more than before, for each of so many."""
    return [(m.bytes - b) / each for m, b in zip(memories, before)]


def test_idle_streams_are_cheap(rig, serve, library):
    """A stream at rest, also one that had moved bytes, holds no buffer: a few structs an end."""
    memories = [rig.keep(Memory(rig, library, name)) for name in ("server-memory", "memory")]
    server = rig.server(env=rig.env(**memories[0].env))
    client = rig.client(server, serve(quiet_echo), env=rig.env(**memories[1].env))
    assert visit(client.port) == FIN
    before = [m.bytes for m in memories]
    visitors = [rig.keep(connect("127.0.0.1", client.port)) for _ in range(STREAMS)]
    for s in visitors:
        s.sendall(bytes(64))
        assert len(s.recv(64, socket.MSG_WAITALL)) == 64
    # What was sent is kept until the far end says that it was taken, a second later.
    until(lambda: max(grown(memories, before, STREAMS)) < STREAM_MAX, 20,
          "streams at rest without buffers")
    for s in visitors:
        s.close()
    until(lambda: max(grown(memories, before, 1)) < 16384, 20, "the bytes from before")


def test_idle_sessions_are_cheap(rig, library):
    """An encrypted session with a tunnel, on the server: no buffer, nothing of the handshake."""
    memory = rig.keep(Memory(rig, library, "memory"))
    server = rig.server(env=rig.env(**memory.env), count=2 * SESSIONS)
    for n in range(WORKERS):        # each keeps a buffer to write into
        rig.client(server, 9, state=f"first{n}", name=f"first{n}")
    before = memory.bytes
    for n in range(SESSIONS):
        rig.client(server, 9, state=f"c{n}", name=f"c{n}")
    until(lambda: max(grown([memory], [before], SESSIONS)) < SESSION_MAX, 20, "sessions at rest")


def test_memory_goes_back_after_a_load(rig, serve):
    """Both ends have at most half more than at the start, a while after many busy streams."""
    server = rig.server(env=rig.env(**QUICK))
    client = rig.client(server, serve(quiet_echo), env=rig.env(**QUICK))
    assert visit(client.port) == FIN
    before = [p.rss() for p in rig.procs]
    visitors = [rig.keep(connect("127.0.0.1", client.port)) for _ in range(BUSY)]
    for s in visitors:
        # Nobody reads the echo for now: the windows fill, at both ends.
        s.setblocking(False)
        try:
            while True:
                s.send(bytes(65536))
        except BlockingIOError:
            pass
    until(lambda: min(p.rss() / b for p, b in zip(rig.procs, before)) > 2, 20, "a load")
    for s in visitors:
        s.close()
    until(lambda: max(p.rss() / b for p, b in zip(rig.procs, before)) <= 1.5, 60,
          "the memory from before")
