"""A client that breaks the protocol: its session ends with the code, others do not notice."""
import resource
import signal
import socket
import struct
import threading
import time

import pytest

from kit import SANITIZED, limit, missing, until, wire
from kit.oracles import Canary
from kit.strangers import timed_out
from kit.stream import connect, ending, read_exactly
from kit.wire import RawClient, frame


class Bystander(Canary):
    """Asked often, so that each test waits for it shortly."""

    PERIOD = 0.01


@pytest.fixture
def server(rig):
    return rig.server(plaintext=True)


@pytest.fixture
def bystander(rig, serve, server):
    with Bystander(rig, serve, server, plaintext=True) as one:
        yield one


@pytest.fixture
def raw(server):
    """raw() is a new connection to the server."""
    opened = []

    def make(**given):
        opened.append(RawClient(server, given.pop("token", server.token()), **given))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def first_frames():
    for name, number in wire.TYPES.items():
        if name != "HELLO":
            yield pytest.param(frame(number, 0, bytes(40)), id=name)
    yield pytest.param(frame(0x7f, 0, b"?"), id="unknown type")
    yield pytest.param(frame(0x11, 1, bytes(40)), id="DATA on a stream")
    yield pytest.param(frame("HELLO", 5, bytes(100)), id="HELLO on a stream")
    yield pytest.param(frame("HELLO", 0, b""), id="empty HELLO")
    yield pytest.param(frame("HELLO", 0, bytes(200)), id="HELLO of zeros")
    for length in (0xFFFFFFFF, 1 << 31, (1 << 24) - 1, 4097):
        yield pytest.param(frame("HELLO", 0, bytes(64), length=length), id=f"HELLO of {length}")


@pytest.mark.parametrize("data", first_frames())
def test_first_frame_that_is_no_hello(raw, server, bystander, data):
    """Cases 2, 3: closed at once without a word, by the head alone: the announced bytes never come."""
    one = raw()
    one.sock.sendall(data)
    assert one.ended() is None
    bystander.check()
    assert not timed_out(server)


def test_other_versions(raw, server, bystander):
    """Case 3: a first byte that is no version is a stranger's; later the version is named."""
    one = raw()
    one.sock.sendall(frame("HELLO", 0, wire.hello(one.spake.message), version=2))
    assert one.ended() is None
    one = raw().greet()
    one.send("AUTH", 0, one.proof, version=2)
    assert one.ended() == wire.VERSION
    bystander.check()
    assert not timed_out(server)


@pytest.mark.parametrize("data", [
    frame("HELLO", 0, wire.hello(bytes(32))), frame("BIND", 0, wire.bind()),
    frame("RESUME", 0, bytes(53)), frame("HEARTBEAT", 0, bytes(9)), frame(0x7f),
    frame("CREDIT", 0, bytes(16)), frame("AUTH", 0, bytes(31)), frame("AUTH", 0, bytes(33)),
], ids=["HELLO again", "BIND", "RESUME", "HEARTBEAT", "unknown", "CREDIT", "short AUTH",
        "long AUTH"])
def test_nothing_but_auth_after_hello(raw, server, bystander, data):
    """Case 3: one frame that is not the proof, and it is closed."""
    one = raw().greet()
    one.sock.sendall(data)
    assert one.ended() in (wire.AUTH_FAILED, None)
    bystander.check()
    assert not timed_out(server)


def test_auth_twice(raw, bystander):
    """Case 3: once logged in it is a broken rule."""
    one = raw().login()
    one.send("AUTH", 0, one.proof)
    assert one.ended() == wire.PROTOCOL
    bystander.check()


def test_good_session_of_the_raw_client(raw, bystander):
    """The instrument itself: it logs in, binds, and carries a visitor's bytes."""
    one = raw().login()
    port = one.bind()
    with connect("127.0.0.1", port) as visitor:
        visitor.sendall(b"question")
        stream = one.stream()
        assert one.expect("DATA")[1:] == (stream, b"question")
        one.send("DATA", stream, b"answer")
        assert read_exactly(visitor, 6) == b"answer"
        one.send("CLOSE", stream, struct.pack(">Q", 6))
        assert ending(visitor)[0] == "FIN"
    bystander.check()


def after_login():
    """(name, what to send with a live stream `s` and what came before, the code)"""
    q = struct.Struct(">Q").pack
    qq = struct.Struct(">QQ").pack
    reset = struct.Struct(">HQ").pack
    yield "HELLO", lambda s: frame("HELLO", 0, wire.hello(bytes(32))), wire.PROTOCOL
    yield "HELLO_ACK from a client", lambda s: frame("HELLO_ACK", 0, bytes(56)), wire.PROTOCOL
    yield "BIND_OK from a client", lambda s: frame("BIND_OK", 0, bytes(8)), wire.PROTOCOL
    yield "OPEN from a client", lambda s: frame("OPEN", s + 1, wire.open_()), wire.PROTOCOL
    yield "DATA, never opened", lambda s: frame("DATA", s + 1, b"x"), wire.PROTOCOL
    yield "DATA on stream 0", lambda s: frame("DATA", 0, b"x"), wire.PROTOCOL
    yield "CLOSE, never opened", lambda s: frame("CLOSE", s + 1, q(0)), wire.PROTOCOL
    yield "RESET, never opened", lambda s: frame("RESET", s + 9, reset(21, 0)), wire.PROTOCOL
    yield "CREDIT, never opened", lambda s: frame("CREDIT", s + 1, qq(1 << 20, 0)), wire.PROTOCOL
    yield "DATA too long", lambda s: frame("DATA", s, b"", length=wire.MAX_FRAME + 1), wire.PROTOCOL
    yield "DATA of 4 GiB", lambda s: frame("DATA", s, b"", length=0xFFFFFFFF), wire.PROTOCOL
    yield "BIND of 4097", lambda s: frame("BIND", 0, b"", length=4097), wire.PROTOCOL
    yield "short CLOSE", lambda s: frame("CLOSE", s, bytes(7)), wire.PROTOCOL
    yield "long CLOSE", lambda s: frame("CLOSE", s, bytes(9)), wire.PROTOCOL
    yield "CLOSE beyond the end", lambda s: frame("CLOSE", s, q(1)), wire.PROTOCOL
    yield "DATA after CLOSE", (lambda s: frame("CLOSE", s, q(0)) + frame("DATA", s, b"x")), \
        wire.PROTOCOL
    yield "CLOSE twice", lambda s: frame("CLOSE", s, q(0)) * 2, wire.PROTOCOL
    yield "RESET with a wrong end", lambda s: frame("RESET", s, reset(21, 77)), wire.PROTOCOL
    yield "DATA beyond the credit", (lambda s: frame("DATA", s, bytes(wire.CREDIT)) * 80), \
        wire.FLOW_CONTROL
    yield "consumed beyond sent", lambda s: frame("CREDIT", s, qq(1 << 20, 1 << 19)), \
        wire.FLOW_CONTROL
    yield "consumed above limit", lambda s: frame("CREDIT", s, qq(0, 1)), wire.PROTOCOL
    yield "STATE", lambda s: frame("STATE", 0, bytes(21)), wire.PROTOCOL
    yield "version 2", lambda s: frame("HEARTBEAT", 0, bytes(9), version=2), wire.VERSION
    yield "HEARTBEAT on a stream", lambda s: frame("HEARTBEAT", s, bytes(9)), wire.PROTOCOL
    yield "ACK of bytes never sent", lambda s: frame("ACK", 0, q(1 << 40)), wire.PROTOCOL
    yield "BIND of id 0", lambda s: frame("BIND", 0, wire.bind(bind_id=0)), wire.PROTOCOL
    yield "BIND of an unknown kind", lambda s: frame("BIND", 0, wire.bind(2, kind=99)), \
        wire.PROTOCOL


@pytest.mark.parametrize("make, code", [pytest.param(make, code, id=name)
                                        for name, make, code in after_login()])
def test_broken_rule_ends_that_session_only(raw, server, bystander, make, code):
    """Cases 2, 9: the visitor gets RST, the server writes one line, the bystander notices nothing.

    A FIN that the client had sent in good order before it broke the rule is passed on.
    """
    one = raw().login()
    port = one.bind()
    since = len(server.err.text)
    with connect("127.0.0.1", port) as visitor:
        visitor.sendall(b"x")           # nobody reads the visitor's side of the stream
        stream = one.stream()
        try:
            one.sock.sendall(make(stream))
        except ConnectionError:
            pass                        # already refused by a frame in the middle
        assert one.ended() == code
        how = ending(visitor)[0]
        assert how == "RST" or (how == "FIN" and make(1)[1] == wire.TYPES["CLOSE"])
    bystander.check()

    def about():
        said = server.err.text[since:].splitlines()
        return [line for line in said if "raw:1" in line and " INFO  TCP " not in line]
    until(about, 10, "a line about it")
    assert len(about()) <= 3, about()


def test_frames_of_unknown_types_are_skipped(raw, bystander):
    one = raw().login()
    one.sock.sendall(frame(0x7f, 0, bytes(5000)) + frame(0x70, 9, b"") + frame("ACK", 0, bytes(8)))
    assert one.bind() > 0
    bystander.check()


def test_repeated_and_lower_credit_changes_nothing(raw, bystander):
    """Case 9: 0, equal, lower, 2^63 - 1, 2^64 - 1: the stream goes on."""
    one = raw().login()
    with connect("127.0.0.1", one.bind()) as visitor:
        stream = one.stream()
        for value in (0, 1, 1 << 18, (1 << 63) - 1, (1 << 64) - 1, 5, 0):
            one.send("CREDIT", stream, struct.pack(">QQ", value, 0))
        visitor.sendall(b"still open")
        assert one.expect("DATA")[2] == b"still open"
    bystander.check()


@pytest.mark.parametrize("port", [22, 1, 65535])
def test_ports_outside_the_range_are_refused(raw, server, port):
    """Case 16: each asked for by its number."""
    one = raw().login()
    one.send("BIND", 0, wire.bind(port=port))
    _, _, payload = one.expect("BIND_ERR")
    assert struct.unpack(">IH", payload[:6]) == (1, wire.PORT_RANGE)


def test_wrong_secret_and_unknown_key_look_the_same(raw, server):
    """Case 6: the same bytes after the HELLO_ACK, whatever was wrong."""
    answers = []
    for key, token in (("default", "wrong"), ("nobody", "wrong"), ("nobody", server.token()),
                       ("dev", "dev-token")):
        one = raw(token=token).greet(key_id=key)
        one.send("AUTH", 0, one.proof)
        name, _, payload = one.read()
        answers.append((name, payload))
        assert one.ended() is None
    assert answers[0][0] == "AUTH_ERR" and len(set(answers)) == 1


def test_a_client_that_never_logs_in_is_closed_in_time(raw):
    """Case 1: 5 s for the whole login, however it dawdles."""
    started = time.monotonic()
    silent, dawdling, half = raw(), raw(), raw().greet()
    data = frame("HELLO", 0, wire.hello(dawdling.spake.message))

    def dawdle():
        try:
            for byte in data:
                dawdling.sock.sendall(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            pass

    thread = threading.Thread(target=dawdle)
    thread.start()
    for one in (silent, dawdling, half):
        assert one.ended(10) in (None, wire.AUTH_FAILED)
        assert time.monotonic() - started > 4
    thread.join()


def test_heartbeats_whose_answers_are_not_read(raw, server, bystander):
    """Case 13: the server stops reading before its queue grows."""
    one = raw().login()
    one.sock.settimeout(2)
    before = server.rss()
    burst = frame("HEARTBEAT", 0, bytes(9)) * 10000
    sent = 0
    try:
        while sent < 400:
            one.sock.sendall(burst)
            sent += 1
    except OSError:
        pass
    assert sent < 400, "the server read 76 MB of heartbeats that it could not answer"
    bystander.check()
    assert server.rss() - before < (16 << 20) * (4 if SANITIZED else 1)


def test_a_silent_session_is_heard_and_kept(raw):
    """Heartbeats are asked and answered while nothing else happens."""
    one = raw().login()
    one.bind()
    one.send("HEARTBEAT", 0, struct.pack(">QB", 0x1122334455667788, 0))
    while True:
        name, _, payload = one.read()
        if name == "HEARTBEAT" and payload[8] == 1:
            break
    assert payload == struct.pack(">QB", 0x1122334455667788, 1)


@pytest.mark.parametrize("port", [1, 0], ids=["refused", "granted"])
def test_flood_of_binds_is_calmed(raw, server, bystander, port):
    """Cases 13, 16: each that is looked at costs a listener and a line: they are few."""
    one = raw().login(instance=b"i" * 16)
    since = len(server.err.text)
    codes, granted = [], 0
    # All at once, so that they are a flood on any machine; each granted is given back.
    one.sock.sendall(b"".join(frame("BIND", 0, wire.bind(bind_id=n, port=port)) +
                              frame("UNBIND", 0, struct.pack(">I", n)) for n in range(1, 1001)))
    for number in range(1, 1001):
        name, _, payload = one.expect("BIND_OK", "BIND_ERR")
        if name == "BIND_OK":
            granted += 1
        else:
            codes.append(struct.unpack(">HI", payload[4:10]))
    calmed = [retry for code, retry in codes if code == wire.CALM_DOWN]
    assert calmed and min(calmed) >= 1000
    looked_at = 1000 - len(calmed)
    lines = server.err.text[since:].count("\n")
    assert lines <= 2 * looked_at < 1000, f"{lines} lines for {looked_at} BINDs"
    bystander.check()


class SmallWindow(RawClient):
    """Its kernel takes little: the server's output to it stands still soon."""

    def __init__(self, server, token):
        super().__init__(server, token)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def stop_output(self, port):
        """A visitor uploads what fits; nothing is read any more. The visitor, its stream."""
        much = struct.pack(">QQ", 1 << 40, 0)
        visitor = connect("127.0.0.1", port)
        visitor.sendall(b"x")
        stream = self.stream()
        self.send("CREDIT", 0, much)
        self.send("CREDIT", stream, much)
        visitor.setblocking(False)
        moved = time.monotonic()
        while time.monotonic() - moved < 1:
            try:
                visitor.send(bytes(1 << 20))
                moved = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        return visitor, stream


def test_peer_that_takes_nothing_is_lost_after_30_seconds(server, bystander):
    """Case 14: by our own clock, and said so: the kernel's patience is longer."""
    one = SmallWindow(server, server.token()).login(instance=b"i" * 16)
    visitor, _ = one.stop_output(one.bind())
    end = time.monotonic() + limit(45)
    while "took no data" not in server.err.text and time.monotonic() < end:
        try:
            one.send("HEARTBEAT", 0, bytes(8) + b"\1")
        except OSError:
            pass
        time.sleep(0.5)
    assert "(raw:1) lost: took no data for 30s" in server.err.text
    visitor.close()
    one.close()
    bystander.check()


@pytest.mark.skipif(not SANITIZED, reason="only a sanitizer sees what it is about")
@pytest.mark.parametrize("way", ["visitor", "newer session"])
def test_full_control_queue_while_something_else_is_under_way(rig, way):
    """Case 13: the session ends for it, but not under the feet of who had something to say."""
    visitors = 4300
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < visitors + 500:
        missing(f"the right to open {visitors + 500} files")
    server = rig.server(plaintext=True)
    one = SmallWindow(server, server.token()).login(instance=b"i" * 16)
    port = one.bind()
    first, stream = one.stop_output(port)
    socks = [first]
    for _ in range(400):                        # the server's receive window grows
        one.send(0x7f, 0, bytes(200000))
    before = server.descriptors()
    for number in range(visitors):
        socks.append(connect("::1", port))
        if number % 100 == 99:                  # they are answered, or no more are taken
            until(lambda: server.descriptors() >= before + number + 1, 10, "the visitors")
            for n in range(number - 99, number + 1):
                one.send("CREDIT", stream + 1 + n, struct.pack(">QQ", 1 << 18, 0))
    time.sleep(2.5)
    # One burst, read in one go by a server that was busy meanwhile: each answer
    # is 33 bytes, an OPEN that waits 52.
    room = 1044470 - 52 * visitors
    server.signal(signal.SIGSTOP)
    one.sock.settimeout(2)
    try:
        one.sock.sendall(frame("BIND", 0, wire.bind(bind_id=9, port=1, label="")) *
                         (room // 33 + 1))
    except socket.timeout:
        pass
    server.signal(signal.SIGCONT)
    time.sleep(2.5)
    if way == "visitor":
        try:
            socks.append(connect("::1", port))
        except OSError:
            pass                                # the tunnel is closed already
    else:
        two = RawClient(server, server.token()).login(instance=b"i" * 16)
        two.send("BIND", 0, wire.bind())
        two.expect("BIND_OK", "BIND_ERR")
        two.close()
    server.wait_err(rf":{one.sock.getsockname()[1]} \(raw:1\) (lost|left)", 20)
    assert server.alive
    for s in socks:
        s.close()
    one.close()
