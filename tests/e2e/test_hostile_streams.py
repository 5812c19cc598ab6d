"""After the login: credit, ids, floods of small frames, ports that were not granted."""
import os
import socket
import struct
import threading
import time

import pytest

from kit import SCALE, limit, until, wire
from kit.oracles import MIB, Canary, Resources, observed
from kit.origin import Together, echo
from kit.stream import RST, Checker, connect, counters, ending, read_exactly, receive, reset
from kit.wire import RawClient, RawServer, frame

SEED = 0x5EED
U64 = 1 << 64


def credit(stream, allowed, consumed=0):
    return frame("CREDIT", stream, struct.pack(">QQ", allowed, consumed))


def close(stream, final):
    return frame("CLOSE", stream, struct.pack(">Q", final))


def cut(stream, final, code=wire.LOCAL_RESET):
    return frame("RESET", stream, struct.pack(">HQ", code, final))


@pytest.fixture
def server(rig):
    return observed(rig)


@pytest.fixture
def canary(rig, serve, server):
    with Canary(rig, serve, server) as one:
        yield one


@pytest.fixture
def raw(server):
    """raw() is a session with a tunnel; .port is its public port."""
    opened = []

    def make(**given):
        one = RawClient(server, server.token()).login(**given)
        opened.append(one)
        one.bind()
        return one

    yield make
    for one in opened:
        one.close()


def visited(one, **given):
    """A silent visitor of a raw session's tunnel, and the id of its stream."""
    visitor = connect("127.0.0.1", one.port, **given)
    return visitor, one.stream()


class Reader(threading.Thread):
    """Takes all that the server says to a raw client; the highest limit of each stream.

    `acknowledges`: and says so (ACK); nobody else may send then.
    """

    def __init__(self, one, acknowledges=False):
        super().__init__(daemon=True)
        self.one, self.limits, self.counts, self.code = one, {}, {}, None
        self.got, self.acknowledges = 0, acknowledges
        self.ended = threading.Event()
        one.sock.settimeout(limit(60))
        self.start()

    def run(self):
        try:
            while True:
                name, stream, payload = self.one.read()
                self.counts[name, stream] = self.counts.get((name, stream), 0) + 1
                if name == "DATA":
                    self.got += len(payload)
                    if self.acknowledges:
                        self.one.send("ACK", 0, struct.pack(">Q", self.got))
                if name == "CREDIT":
                    allowed, = struct.unpack(">Q", payload[:8])
                    self.limits[stream] = max(self.limits.get(stream, 0), allowed)
                if name == "ERROR":
                    self.code, = struct.unpack(">H", payload[:2])
        except OSError:
            self.ended.set()

    def streams(self, wanted):
        """How many streams had a frame of that name; it goes on reading meanwhile."""
        return sum(name == wanted for name, _ in list(self.counts))


# --- credit ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, 256 * 1024])
def test_nothing_beyond_the_credit_is_delivered(server, canary, raw, size):
    """Case 9: the visitor gets not one byte past what the server had allowed at the most.

    The visitor does not read until the session is over, so the credit ends.
    """
    one = raw()
    visitor, stream = visited(one, receive_buffer=4096)
    reader = Reader(one)
    one.sock.sendall(credit(stream, 1 << 18))
    sent, moved = 0, time.monotonic()
    while time.monotonic() < moved + 6:     # CREDIT may come a second late
        allowed = min(max(wire.CREDIT, reader.limits.get(stream, 0)) - sent, wire.MAX_FRAME)
        if allowed:
            one.send("DATA", stream, counters(SEED, sent, allowed))
            sent, moved = sent + allowed, time.monotonic()
        time.sleep(0.002)
    assert not reader.ended.is_set() and sent > wire.CREDIT
    try:
        one.send("DATA", stream, counters(SEED, sent, size))
    except OSError:
        pass
    assert reader.ended.wait(limit(10)) and reader.code == wire.FLOW_CONTROL
    checker = Checker(SEED)
    assert receive(visitor, checker) == RST
    assert checker.fault is None and checker.count <= sent
    visitor.close()


def test_nothing_beyond_the_credit_of_the_session_is_taken(server, canary, raw):
    """Case 9: streams that are within their own credit are not within the session's.

    128 MiB are the session's window, and each stream has 16 KiB in spite of it.
    """
    one = raw()
    reader, visitors = Reader(one), []
    held = Resources(server)
    for number in range(1, 601):
        visitors.append(connect("127.0.0.1", one.port, receive_buffer=4096))
        until(lambda: ("OPEN", number) in reader.counts, 10, "an OPEN")
        if number % 50 == 0:
            one.sock.sendall(b"".join(credit(n, 1 << 18) for n in range(number - 49, number + 1)))
    sent = dict.fromkeys(range(1, 601), 0)
    try:
        while not reader.ended.is_set():
            for stream in sent:
                open_ = max(wire.CREDIT, reader.limits.get(stream, 0)) - sent[stream]
                if open_ > 0:
                    one.send("DATA", stream, bytes(min(open_, wire.MAX_FRAME)))
                    sent[stream] += min(open_, wire.MAX_FRAME)
    except OSError:
        pass
    assert reader.ended.wait(limit(20)) and reader.code == wire.FLOW_CONTROL
    held.peak((128 + 32) * MIB)
    for visitor in visitors:
        visitor.close()
    held.settled(allowed=16 * MIB)


@pytest.mark.parametrize("make, kept", [
    (lambda s: close(s, 5) + frame("DATA", s, b"more"), b"first"),
    (lambda s: close(s, 4), b"first"), (lambda s: close(s, 6), b"first"),
    (lambda s: close(s, U64 - 1), b"first"), (lambda s: cut(s, 4), b"first"),
    (lambda s: cut(s, 6) + frame("DATA", s, b"more"), b"first"),
    (lambda s: cut(s, U64 - 1), b"first"),
], ids=["DATA after CLOSE", "CLOSE before the end", "CLOSE past the end", "CLOSE at 2^64 - 1",
        "RESET before the end", "DATA after a RESET past the end", "RESET at 2^64 - 1"])
def test_nothing_past_the_final_offset_is_delivered(server, canary, raw, make, kept):
    """Case 9: what was sent in good order before, and no byte more."""
    one = raw()
    visitor, stream = visited(one)
    one.sock.sendall(credit(stream, 1 << 18) + frame("DATA", stream, b"first"))
    assert read_exactly(visitor, 5) == kept
    one.sock.sendall(make(stream))
    assert one.ended() == wire.PROTOCOL
    visitor.settimeout(limit(10))
    try:
        assert visitor.recv(100) == b""
    except ConnectionResetError:
        pass
    visitor.close()


def test_a_million_credits(server, canary, raw):
    """Case 9: + 1 a million times, of a stream and of the session: no overflow, bounded work."""
    one = raw()
    visitor, stream = visited(one)
    reader = Reader(one)
    held, count = Resources(server), 1000000 // SCALE
    for where in (stream, 0):
        for first in range(1 << 20, (1 << 20) + count, 10000):
            one.sock.sendall(b"".join(credit(where, n) for n in range(first, first + 10000)))
    for where in (stream, 0):
        one.sock.sendall(b"".join(credit(where, U64 - 1 - n) for n in (2, 1, 0, 0, U64 - 1)))
    canary.check()
    held.peak(4 * MIB)
    # The credit is as large as it says.
    reader.acknowledges = True
    visitor.sendall(bytes(4 * MIB))
    visitor.shutdown(socket.SHUT_WR)
    until(lambda: reader.got == 4 * MIB, 10, "all of it")
    one.sock.sendall(frame("DATA", stream, b"answer") + close(stream, 6))
    assert read_exactly(visitor, 6) == b"answer"
    assert ending(visitor)[0] == "FIN"
    visitor.close()
    held.settled()


# --- ids ---------------------------------------------------------------------------------


def test_frames_for_the_ids_of_another_session(server, canary, raw):
    """Case 18: ids are each session's own: what one says of them does not reach the other."""
    victim, other = raw(name="victim:1", instance=b"v" * 16), raw(name="other:1", instance=b"o" * 16)
    visitors = [visited(victim) for _ in range(5)]
    own, stream = visited(other)
    assert stream == 1 and [s for _, s in visitors] == [1, 2, 3, 4, 5]
    # Id 1 is its own, which is all that it ends.
    other.sock.sendall(credit(1, U64 - 1) + frame("DATA", 1, b"mine") + cut(1, 4))
    assert ending(own)[0] == RST
    for make in (lambda s: frame("DATA", s, b"forged"), lambda s: close(s, 0),
                 lambda s: cut(s, 0), lambda s: credit(s, U64 - 1, 1 << 40)):
        other.sock.sendall(make(3))
        assert other.ended() == wire.PROTOCOL
        other.close()
        other = raw(name="other:1", instance=b"o" * 16)
    victim.seen.clear()
    victim.send("HEARTBEAT", 0, bytes(9))
    while victim.read()[::2] != ("HEARTBEAT", bytes(8) + b"\1"):
        pass
    assert set(victim.seen) == {"HEARTBEAT"}
    for visitor, stream in visitors:
        victim.sock.sendall(credit(stream, 1 << 18) + frame("DATA", stream, b"a%d" % stream) +
                            close(stream, 2))
        assert read_exactly(visitor, 2) == b"a%d" % stream
        assert ending(visitor)[0] == "FIN"


def test_visitor_that_aborts_with_a_window_on_the_way(server, canary, raw):
    """Case 11: DATA for a stream that is over is dropped, and the session's credit comes back.

    In all 200 MiB are in vain, more than the session's window of 128 MiB: were
    they not counted back, it would end for flow control.
    """
    one = raw()
    held = Resources(server)
    for _ in range(800):
        visitor, stream = visited(one)
        reset(visitor)
        assert one.expect("RESET")[1] == stream
        one.sock.sendall(frame("DATA", stream, bytes(wire.CREDIT)) + cut(stream, wire.CREDIT) +
                         frame("DATA", stream, bytes(1000)) + close(stream, 5) + cut(stream, 9))
    visitor, stream = visited(one)
    one.sock.sendall(credit(stream, 1 << 18) + frame("DATA", stream, b"alive") + close(stream, 5))
    assert read_exactly(visitor, 5) == b"alive"
    assert ending(visitor)[0] == "FIN"
    held.peak(8 * MIB)


@pytest.fixture
def false(rig):
    with open(rig.token_file) as f:
        return rig.keep(RawServer(f.read().strip()))


def of_false_server(rig, false, serve, handler=echo, **given):
    """A client of a server in Python, its service, and its session."""
    service = serve(handler)
    service.expect_probe()
    client = rig.client(("127.0.0.1", false.port), service, plaintext=True, wait=False,
                        token_file=rig.token_file, **given)
    session = false.tunnel()
    client.forwarding()
    service.await_probe()
    return client, service, session


def test_open_with_an_id_that_is_over(rig, false, serve):
    """Case 10: an id is never used twice; the one dial is that of its first use."""
    client, service, session = of_false_server(rig, false, serve, no_reconnect=True)
    session.sock.sendall(frame("OPEN", 1, wire.open_(session.bind_id)) + close(1, 0))
    session.expect("CLOSE")
    session.sock.sendall(credit(1, 1 << 18))
    session.sock.sendall(frame("OPEN", 1, wire.open_(session.bind_id)))
    assert session.ended() == wire.PROTOCOL
    assert client.wait_exit() == 5
    assert service.accepted == 1


def test_opens_of_tunnels_that_are_not_there(rig, false, serve):
    """Cases 10, 17: 9,000 refused, with nothing dialled and nothing kept; a good one is served."""
    client, service, session = of_false_server(rig, false, serve)
    held, count, began = Resources(client), 9000, time.monotonic()
    seen = Reader(session)
    for first in range(1, count, 1000):
        session.sock.sendall(b"".join(
            frame("OPEN", n, wire.open_([9, 0xFFFFFFFF][n % 2])) + cut(n, 0)
            for n in range(first, first + 1000)))
    session.sock.sendall(frame("OPEN", count + 1, wire.open_(session.bind_id)) +
                         frame("DATA", count + 1, b"hello"))
    until(lambda: ("DATA", count + 1) in seen.counts, 20, "an answer")
    assert service.accepted == 1 and not seen.ended.is_set()
    assert seen.streams("RESET") == count
    held.peak(8 * MIB)
    held.settled(slack=3)
    assert len(client.err.text.splitlines()) < 400 + 100 * (time.monotonic() - began)


def test_10000_opens_a_second(rig, false, serve):
    """Cases 12, 17: the client dials its own target only, at most 256 at a time."""
    count = Together(lambda sock: time.sleep(0.002), 256)
    client, service, session = of_false_server(rig, false, serve, count)
    held, wanted = Resources(client), 10000 // SCALE
    seen = Reader(session)
    began = time.monotonic()
    files = 0
    for number in range(1, wanted + 1):
        session.sock.sendall(frame("OPEN", number, wire.open_(session.bind_id)) + cut(number, 0))
        if number % 100 == 0:
            files = max(files, client.descriptors())
            time.sleep(max(0, began + number / 10000 - time.monotonic()))
    until(lambda: seen.streams("RESET") == wanted, 30, "all answers")
    assert not seen.ended.is_set()
    assert count.most <= 256 and files <= 256 + 40
    held.peak(32 * MIB)
    held.settled()


# --- floods of what is small -------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda live, over: frame("DATA", live), lambda live, over: cut(over, 0),
    lambda live, over: frame("DATA", over, b"x"), lambda live, over: close(over, 1),
    lambda live, over: frame(0x7F, 0), lambda live, over: frame("HEARTBEAT", 0, bytes(8) + b"\1"),
    lambda live, over: frame("UNBIND", 0, struct.pack(">I", 77)),
    lambda live, over: frame("SHUTDOWN", 0, struct.pack(">II", 60000, 0)),
], ids=["empty DATA", "RESET of a dead id", "DATA of a dead id", "CLOSE of a dead id", "unknown",
        "answers to no question", "UNBIND of nothing", "SHUTDOWN"])
def test_a_million_small_frames(server, canary, raw, make):
    """Case 13: nothing is queued for them, and the session goes on."""
    one = raw()
    gone, over = visited(one)
    reset(gone)
    one.expect("RESET")
    one.sock.sendall(cut(over, 0))
    visitor, live = visited(one)
    Reader(one)
    held = Resources(server)
    burst = make(live, over) * 10000
    for _ in range(100 // SCALE):
        one.sock.sendall(burst)
    one.sock.sendall(credit(live, 1 << 18) + frame("DATA", live, b"alive"))
    assert read_exactly(visitor, 5) == b"alive"
    canary.check()
    held.peak(4 * MIB)
    visitor.close()


@pytest.mark.parametrize("make", [
    lambda n: frame("HEARTBEAT", 0, struct.pack(">QB", n, 0)),
    lambda n: frame("BIND", 0, wire.bind(bind_id=1000 + n, port=1)),
    lambda n: frame("BIND", 0, wire.bind(bind_id=1000 + n, kind=3)),
], ids=["HEARTBEAT", "BIND of a bad port", "BIND of UDP's kind"])
def test_a_million_questions_whose_answers_are_not_read(server, canary, raw, make):
    """Case 13: the server stops reading when 64 answers wait: they are not a queue of ours."""
    one = raw()
    held = Resources(server)
    one.sock.settimeout(2)
    sent, most = 0, 1000000
    try:
        while sent < most:
            one.sock.sendall(b"".join(make(sent + n) for n in range(10000)))
            sent += 10000
    except OSError:                     # it reads no more, or has ended it
        pass
    assert sent < most
    canary.check()
    held.peak(8 * MIB)


# --- authority ---------------------------------------------------------------------------


def listening(server):
    """The ports on which the server's process listens."""
    inodes = set()
    for fd in os.listdir(f"/proc/{server.pid}/fd"):
        try:
            link = os.readlink(f"/proc/{server.pid}/fd/{fd}")
        except OSError:
            continue
        if link.startswith("socket:["):
            inodes.add(link[8:-1])
    ports = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{server.pid}/net/{name}") as f:
            for line in list(f)[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in inodes:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def test_no_port_outside_the_grant(server, canary, raw):
    """Case 16: each of 65,536 ports is asked for; the server listens on those of its range only."""
    one = raw()
    before = listening(server)
    assert server.control in before and one.port in before
    granted, others, calmed = [], [], 0
    outside = [n for n in (22, 1, 80, 443, 1023, server.first - 1, server.last + 1, server.control,
                           65535, 32768) if not server.first <= n <= server.last]
    for number, port in enumerate(outside * 3 + list(range(server.first, server.last + 1)), 2):
        while True:
            one.send("BIND", 0, wire.bind(bind_id=number, port=port))
            name, _, payload = one.expect("BIND_OK", "BIND_ERR")
            if name == "BIND_OK":
                granted.append(struct.unpack(">H", payload[4:6])[0])
                break
            code, = struct.unpack(">H", payload[4:6])
            if code != wire.CALM_DOWN:
                others.append((port, code))
                break
            calmed += 1
            time.sleep(0.1)
    assert {code for port, code in others if port in outside} == {wire.PORT_RANGE}
    assert all(server.first <= port <= server.last for port in granted)
    within = set(range(server.first, server.last + 1))
    assert listening(server) - before == set(granted) - before <= within
    assert len(granted) >= server.last - server.first + 1 - 2      # the canary's, the first


def test_port_0_is_one_of_the_grant(server, canary, raw):
    """Case 16: any port means any of the range, until they are used up."""
    before = listening(server)
    ones = []
    for number in range(server.last - server.first + 3):
        one = RawClient(server, server.token()).login(name=f"n{number}:1",
                                                      instance=bytes([number]) * 16)
        one.send("BIND", 0, wire.bind(port=0))
        name, _, payload = one.expect("BIND_OK", "BIND_ERR")
        ones.append((one, name, struct.unpack(">IH", payload[:6])[1]))
    granted = {port for _, name, port in ones if name == "BIND_OK"}
    assert granted <= set(range(server.first, server.last + 1))
    assert {code for _, name, code in ones if name == "BIND_ERR"} == {wire.PORTS_USED_UP}
    assert listening(server) == before | granted
    for one, _, _ in ones:
        one.close()


@pytest.mark.parametrize("port", ["65536", "-1", "0x50", "70000000000", "22;80"])
def test_port_that_is_none(rig, port):
    """Case 16: what is no port number is refused where it is given."""
    said = rig.run("client", "--server", "127.0.0.1:1", "--local", "1", f"--remote-port={port}")
    assert said.code == 2 and "--remote-port" in said.err.text
