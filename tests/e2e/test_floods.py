"""Many visitors, and those on either side who take nothing: the rest goes on."""
import socket
import struct
import threading
import time

import pytest

from kit import SCALE, in_threads, limit, ports, until, wire
from kit.oracles import MIB, Canary, Resources, observed
from kit.origin import Together, echo
from kit.stream import (FIN, RST, Checker, connect, ending, read_exactly, receive, reset,
                        send_counters, visit)
from kit.wire import RawClient

SEED = 0xF100D


@pytest.fixture
def server(rig):
    return observed(rig)


@pytest.fixture
def canary(rig, serve, server):
    with Canary(rig, serve, server) as one:
        yield one


def test_20000_visitors_that_leave_at_once(rig, serve, server, canary):
    """Case 12: the service sees at most 256 at once, memory and descriptors come back."""
    counting = Together(echo, 256)
    client = rig.client(server, serve(counting))
    held, each = Resources(server, client), 20000 // SCALE // 4

    def storm(_):
        for _ in range(each):
            reset(connect("127.0.0.1", client.port))

    in_threads(4, storm)
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"still here")
        assert read_exactly(s, 10) == b"still here"
    until(lambda: len(counting.socks) <= 1, 20, "the end of all visits")
    assert counting.most <= 256
    held.peak(32 * MIB)
    held.settled()
    assert "Session lost" not in client.err.text
    assert server.stats()["totals"]["streams"] > 1000


def test_unanswered_visitors_wait_in_line(server, canary):
    """Case 12: a client that answers nothing is told of 256, and of one more for each answer."""
    one = RawClient(server, server.token()).login()
    one.bind()
    held = Resources(server)
    visitors = [connect("127.0.0.1", one.port) for _ in range(600)]
    opened = [one.stream() for _ in range(256)]

    def quiet():
        """No OPEN came before the answer to a question."""
        one.send("HEARTBEAT", 0, bytes(9))
        while True:
            name, _, payload = one.read()
            assert name != "OPEN", "one more than 256"
            if name == "HEARTBEAT" and payload[8] == 1:
                return

    quiet()
    for stream in opened[:100]:
        one.send("CREDIT", stream, struct.pack(">QQ", 1 << 18, 0))
    assert [one.stream() for _ in range(100)] == list(range(257, 357))
    quiet()
    # Who leaves before an answer still waits for it: each was an OPEN.
    for visitor in visitors[100:200]:
        reset(visitor)
    seen = {one.expect("RESET")[1] for _ in range(100)}
    assert seen == set(range(101, 201))
    quiet()
    for stream in seen:
        one.send("RESET", stream, struct.pack(">HQ", wire.CANCELLED, 0))
    assert [one.stream() for _ in range(100)] == list(range(357, 457))
    held.peak(16 * MIB)
    for visitor in visitors:
        visitor.close()
    one.close()
    held.settled()


def test_service_that_is_down_under_a_flood(rig, server, canary):
    """Case 12: every one of 5,000 visitors sees RST, the session lives, the log is short."""
    client = rig.client(server, ports.one())
    held, since, began = Resources(server, client), len(client.err.text), time.monotonic()
    ends = []

    def come(_):
        for _ in range(5000 // SCALE // 8):
            ends.append(visit("127.0.0.1", client.port)[0])

    in_threads(8, come)
    assert set(ends) == {RST}
    held.peak(32 * MIB)
    held.settled()
    assert "Session lost" not in client.err.text
    warnings = [line for line in client.err.text[since:].splitlines() if " WARN " in line]
    assert len(warnings) < 100 + 2 * (time.monotonic() - began), warnings[:5]


# --- who takes nothing -------------------------------------------------------------------


def fill(sock, size=100 * MIB):
    """Uploads until nothing has moved for a second; true when it was paused before the end."""
    sock.settimeout(1)
    try:
        send_counters(sock, SEED, size, piece=65536)
    except socket.timeout:
        return True
    return False


def test_tunnel_that_stops_reading(rig, serve):
    """Case 14: 50 uploads into it are paused, its session ends after 30 s, its visitors see RST."""
    factor = 3
    server = observed(rig, env=rig.env(GOTUNNEL_TEST_TIME_SCALE=str(factor)))
    with Canary(rig, serve, server) as canary:
        one = RawClient(server, server.token()).login()
        one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.bind()
        held = Resources(server)
        visitors = [connect("127.0.0.1", one.port) for _ in range(50)]
        much = struct.pack(">QQ", 1 << 40, 0)
        for stream in [0] + [one.stream() for _ in visitors]:
            one.send("CREDIT", stream, much)
        began = time.monotonic()
        paused = []
        in_threads(50, lambda n: paused.append(fill(visitors[n])))
        assert paused == [True] * 50
        # Nothing is read any more, but it lives: it was the reading that ended.
        end = time.monotonic() + limit(60)
        while "took no data" not in server.err.text and time.monotonic() < end:
            try:
                one.send("HEARTBEAT", 0, bytes(8) + b"\1")
            except OSError:
                pass
            time.sleep(0.1)
        assert "(raw:1) lost: took no data for 30s" in server.err.text
        assert time.monotonic() - began > 28 / factor
        for visitor in visitors:
            assert ending(visitor)[0] == RST
            visitor.close()
        held.peak(32 * MIB)
        one.close()
        held.settled()


@pytest.mark.parametrize("plaintext", [None, True], ids=["encrypted", "plaintext"])
def test_service_that_never_reads_50_uploads(rig, serve, server, canary, plaintext):
    """Case 14: they are paused; a 51st visitor of the same tunnel is served; memory comes back."""
    stop = threading.Event()

    def deaf(sock):
        if sock.recv(1) == b"e":
            return echo(sock)
        stop.wait(limit(120))

    client = rig.client(server, serve(deaf), plaintext=plaintext)
    held = Resources(server, client)
    visitors = [connect("127.0.0.1", client.port) for _ in range(50)]
    paused = []
    in_threads(50, lambda n: paused.append(fill(visitors[n])))
    assert paused == [True] * 50
    for _ in range(20):
        with connect("127.0.0.1", client.port) as s:
            s.sendall(b"e" + b"hello")
            assert read_exactly(s, 5) == b"hello"
    held.peak(32 * MIB)
    for visitor in visitors:
        reset(visitor)
    stop.set()
    held.settled(allowed=16 * MIB)
    assert "Session lost" not in client.err.text


def torrent(sock):
    """'s': bytes without end; 'e': an echo; 'r': 16 MiB that are counted."""
    what = sock.recv(1)
    if what == b"e":
        return echo(sock)
    try:
        if what == b"r":
            send_counters(sock, SEED, 16 * MIB)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        while what == b"s":
            sock.sendall(bytes(1 << 20))
    except OSError:
        pass


@pytest.mark.parametrize("count", [1, 300])
def test_visitors_that_never_read_what_they_asked_for(rig, serve, server, canary, count):
    """Case 15: one, or 300, with 1 GiB each: the next visitor's download is whole, echoes go on.

    The session's window is 104 MiB and each stream has 16 KiB in spite of it.
    """
    client = rig.client(server, serve(torrent))
    held = Resources(server, client)
    stuck = []
    for _ in range(count):
        stuck.append(connect("127.0.0.1", client.port, receive_buffer=4096))
        stuck[-1].sendall(b"s")
    time.sleep(2)                   # all windows are full
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"e")
        for number in range(20):
            s.sendall(b"%08d" % number)
            assert read_exactly(s, 8) == b"%08d" % number
    for _ in range(2):
        with connect("127.0.0.1", client.port) as s:
            s.sendall(b"r")
            checker = Checker(SEED)
            assert (receive(s, checker), checker.fault, checker.count) == (FIN, None, 16 * MIB)
    held.peak((104 + 16 + 32) * MIB)
    for s in stuck:
        reset(s)
    held.settled(allowed=16 * MIB)
    assert "Session lost" not in client.err.text
