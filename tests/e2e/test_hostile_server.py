"""A server that is none, or that wants more than a tunnel: the client keeps to its own target."""
import struct
import time

import pytest

from kit import limit, until, wire
from kit.origin import BlackHole, echo
from kit.stream import reset
from kit.wire import RawServer, frame

UGLY = "\x1b]0;owned\x07\x1b[2J\r\nINFO forged line\x00\u202e\x9b31m" + "x" * 300


@pytest.fixture
def false(rig):
    """A server in Python that knows the token."""
    with open(rig.token_file) as f:
        return rig.keep(RawServer(f.read().strip()))


@pytest.fixture
def client(rig, false, serve):
    """client(…) starts a client of the false server; .service is its target."""
    def start(local=None, **given):
        service = serve(echo)
        service.expect_probe()
        given.setdefault("token_file", rig.token_file)
        one = rig.client(("127.0.0.1", false.port), f"127.0.0.1:{local or service.port}",
                         plaintext=True, wait=False, **given)
        one.service = service
        return one
    return start


def printable(proc):
    """Nothing that came from the peer reached the log as it was."""
    for data in (proc.out.data, proc.err.data):
        text = data.decode("utf-8")
        ugly = [c for c in text if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"
                or "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"]
        assert not ugly, text
        assert all(len(line.encode()) <= 4096 for line in text.splitlines())
        assert not any(line.startswith("INFO forged") for line in text.splitlines())


def test_the_false_server_is_a_server(client, false):
    """The instrument: a tunnel, a visitor, bytes both ways, a half-close."""
    one = client()
    raw = false.tunnel(port=12345)
    one.forwarding()
    assert one.port == 12345
    one.service.await_probe()
    raw.send("OPEN", 1, wire.open_(raw.bind_id))
    raw.send("DATA", 1, b"hello")
    assert raw.expect("DATA") == ("DATA", 1, b"hello")
    raw.send("CLOSE", 1, struct.pack(">Q", 5))
    assert raw.expect("CLOSE") == ("CLOSE", 1, struct.pack(">Q", 5))


def test_server_without_the_token_learns_nothing(client, false):
    """Cases 5, 17: the client finds out by the confirmation, and has sent no BIND."""
    one = client()
    raw = false.login(good=False)
    assert raw.ended() in (None, wire.AUTH_FAILED)
    assert "BIND" not in raw.seen
    assert one.wait_exit() == 4
    assert "does not match" in one.err.text


@pytest.mark.parametrize("bind_id", [0, 2, 0xFFFFFFFF])
def test_open_for_a_tunnel_that_was_never_bound(client, false, bind_id):
    """Cases 10, 17: nothing is dialled."""
    one = client()
    raw = false.tunnel()
    one.forwarding()
    one.service.await_probe()
    raw.send("OPEN", 1, wire.open_(bind_id))
    raw.send("DATA", 1, b"GET / HTTP/1.0\r\n\r\n")
    name, _, _ = raw.expect("RESET", "ERROR")
    assert name in ("RESET", "ERROR")
    assert one.service.accepted == 0


@pytest.mark.parametrize("make", [
    lambda r: frame("OPEN", 2, wire.open_(r.bind_id)),
    lambda r: frame("OPEN", 0, wire.open_(r.bind_id)),
    lambda r: frame("OPEN", 1, wire.open_(r.bind_id)) * 2,
    lambda r: frame("DATA", 1, b"x"),
    lambda r: frame("BIND", 0, wire.bind()),
    lambda r: frame("AUTH_OK", 0, bytes(60)),
    lambda r: frame("HELLO_ACK", 0, bytes(56)),
    lambda r: frame("OPEN", 1, b"", length=4097),
    lambda r: frame("OPEN", 1, b"\0\0\0\1" + b"\7" + bytes(20)),
    lambda r: frame("OPEN", 1, wire.open_(r.bind_id)) + frame("DATA", 1, b"", length=1 << 31),
], ids=["gap", "id 0", "used id", "DATA before OPEN", "BIND", "AUTH_OK again", "HELLO_ACK again",
        "long OPEN", "unknown address family", "huge DATA"])
def test_broken_rule_ends_the_session(client, false, make):
    """Case 10: the session ends with the code, before anything is made of the frame."""
    one = client(no_reconnect=True)
    raw = false.tunnel()
    one.forwarding()
    raw.sock.sendall(make(raw))
    assert raw.ended() == wire.PROTOCOL
    assert one.wait_exit() == 5
    assert "Session lost: " in one.err.text


def test_data_beyond_the_credit(client, false):
    """Case 9: the client promised 256 KiB a stream; its target does not read."""
    hole = BlackHole()
    one = client(local=hole.port, no_reconnect=True)
    raw = false.tunnel()
    one.forwarding()
    raw.send("OPEN", 1, wire.open_(raw.bind_id))
    try:
        for _ in range(2):
            raw.send("DATA", 1, bytes(wire.CREDIT))
    except ConnectionError:
        pass
    assert raw.ended() == wire.FLOW_CONTROL
    assert one.wait_exit() == 5
    hole.close()


def test_a_flood_of_visitors_dials_256_at_a_time(client, false):
    """Cases 12, 17: 3,000 OPENs in a row."""
    hole = BlackHole()
    one = client(local=hole.port, drain="1s", no_reconnect=True)
    raw = false.tunnel()
    one.forwarding()
    before = one.descriptors()
    try:
        raw.sock.sendall(b"".join(frame("OPEN", n, wire.open_(raw.bind_id))
                                  for n in range(1, 3001)))
    except ConnectionError:
        pass
    until(lambda: one.descriptors() > before + 1, 10, "dials")
    most, end = 0, time.monotonic() + 3
    while time.monotonic() < end:
        most = max(most, one.descriptors())
        time.sleep(0.02)
    assert most - before <= 256 + 8
    raw.close()
    assert one.wait_exit() in (0, 5)
    hole.close()


@pytest.mark.parametrize("make", [
    lambda: frame("ERROR", 0, wire.error(wire.PROTOCOL, UGLY)),
    lambda: frame("BIND_ERR", 0, wire.bind_error(1, wire.PORT_TAKEN, UGLY)),
    lambda: frame("BIND_ERR", 0, wire.bind_error(1, 60000, UGLY)),
    lambda: frame("ERROR", 0, wire.error(60000, UGLY)),
], ids=["ERROR", "BIND_ERR", "BIND_ERR of an unknown code", "ERROR of an unknown code"])
def test_ugly_texts_are_printed_on_one_printable_line(client, false, make):
    """Cases 17, 33: in whatever frame they come."""
    one = client(no_reconnect=True)
    raw = false.login()
    raw.expect("BIND")
    raw.sock.sendall(make())
    raw.ended()
    assert one.wait_exit() != 0
    printable(one)


def test_ugly_words_of_a_good_login(client, false):
    """Case 17: a version and a host that are not printable end it, or come out escaped."""
    one = client(no_reconnect=True)
    raw = false.login(version=UGLY[:60])
    raw.ended()
    assert one.wait_exit() == 5
    printable(one)
    assert one.service.accepted == 0
    two = client(no_reconnect=True, name="two:1", state="two")
    raw = false.login()
    raw.expect("BIND")
    raw.send("BIND_OK", 0, struct.pack(">IHB", 1, 10000, 0) + wire.short(UGLY[:200].encode()[:255]))
    until(lambda: not two.alive or "orwarding" in two.out.text, 10, "a word about the host")
    raw.close()
    assert two.wait_exit() in (0, 5)
    printable(two)


def test_patience_that_the_server_asks_for(client, false):
    """It counts as no attempt: with one attempt allowed the client comes back."""
    one = client(retries=1)
    raw = false.hello()
    asked = time.monotonic()
    raw.send("ERROR", 0, wire.error(wire.CALM_DOWN, "later", 2000))
    raw.close()
    one.wait_err("the server asks for 2s of patience after failed logins from this address; "
                 "waiting")
    false.tunnel()
    assert time.monotonic() - asked > 1.5
    one.forwarding()


def test_shutdown_of_the_server_is_no_error_of_the_client(client, false):
    """It comes back to the next server behind the same address, asking for its port."""
    one = client()
    raw = false.tunnel(port=12345)
    one.forwarding()
    raw.send("SHUTDOWN", 0, struct.pack(">II", 1000, 0))
    raw.send("ERROR", 0, wire.error(wire.SHUTTING_DOWN, "shutting down"))
    raw.close()
    again = false.login()
    _, _, payload = again.expect("BIND")
    assert struct.unpack(">IBH", payload[:7])[2] == 12345
    again.send("BIND_OK", 0, payload[:4] + struct.pack(">HB", 12345, 0) + b"\0")
    one.wait_err("Connected successfully")


def test_a_replaced_tunnel_is_final(client, false):
    """Case 41: the loser does not come back to take it again."""
    one = client()
    raw = false.tunnel()
    one.forwarding()
    raw.send("BIND_ERR", 0, wire.bind_error(raw.bind_id, wire.REPLACED, "replaced"))
    assert one.wait_exit() not in (0, 2, 3)
    assert "replaced" in one.err.text


def test_silence_is_noticed(client, false):
    """A server that says nothing any more: dead after 25 s, and the client comes back."""
    one = client()
    started = time.monotonic()
    silent = false.tunnel()
    one.forwarding()
    one.wait_err("Session lost: ", 40)
    assert time.monotonic() - started > 24
    silent.close()
    again = false.tunnel()
    until(lambda: "Connected successfully" in one.err.text, 20, "the second login")
    again.close()


def test_bind_that_is_never_answered(rig, client, false):
    """10 s, though the session is alive: then the client tries again."""
    one = client(env=rig.env(GOTUNNEL_TEST_TIME_SCALE="5"))
    raw = false.login()
    raw.expect("BIND")
    started = time.monotonic()
    try:
        while time.monotonic() - started < limit(8):
            name, _, payload = raw.read()
            if name == "HEARTBEAT" and payload[8] == 0:
                raw.send("HEARTBEAT", 0, payload[:8] + b"\1")
    except (ConnectionError, TimeoutError):
        pass
    one.wait_err("no answer to the request for a port in 10s")
    false.tunnel()
    one.forwarding(20)


@pytest.mark.parametrize("words", [
    frame("SHUTDOWN", 0, struct.pack(">II", 0, 0)),
    frame("BIND_OK", 0, struct.pack(">IHB", 1, 12345, 0) + wire.short("")),
    frame("BIND_OK", 0, struct.pack(">IHB", 1, 12345, 0) + wire.short("")) +
    frame("OPEN", 1, wire.open_(1)),
    frame("BIND_ERR", 0, wire.bind_error(1, wire.PORT_TAKEN)),
], ids=["SHUTDOWN", "BIND_OK", "OPEN", "BIND_ERR"])
def test_words_to_a_login_that_is_there_to_resume(client, false, words):
    """Case 17: they come with AUTH_OK, before the client could ask for anything."""
    one = client()
    raw = false.tunnel(capabilities=wire.CAN_RESUME)
    one.forwarding()
    reset(raw.sock)
    again = false.login(capabilities=wire.CAN_RESUME, also=words)
    again.sock.close()
    raw = false.login(capabilities=wire.CAN_RESUME)
    assert raw.expect("RESUME")
    assert one.alive
    assert one.service.accepted == 0
