"""RESUME from whoever has no right to it: an answer, and the true session is unharmed."""
import os
import signal
import socket
import struct
import threading
import time

import pytest

from kit import SANITIZED, limit, until, wire
from kit.origin import echo
from kit.place import echoes
from kit.stream import MIB, RST, connect, ending, read_exactly, reset
from kit.wire import RawClient, frame, read_state, state

OWNER = {"name": "owner:1", "instance": bytes(range(16)), "capabilities": wire.CAN_RESUME}
OTHER = {"name": "thief:1", "instance": bytes(16), "capabilities": wire.CAN_RESUME}
CREDIT = 256 * 1024


@pytest.fixture
def server(rig):
    return rig.server(plaintext=True)


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


class Session:
    """A session of a raw client with one stream; its words are counted, as STATE wants them."""

    def __init__(self, raw):
        self.raw = raw
        self.link = self.home = raw().login(**OWNER)
        self.port = self.link.bind()
        self.visitor = connect("127.0.0.1", self.port)
        self.stream = self.link.stream()
        self.got = self.sent = 0
        self.epoch = self.home.epoch
        self.link.send("CREDIT", self.stream, struct.pack(">QQ", CREDIT, 0))
        self.works()

    def works(self):
        """Bytes go both ways."""
        self.hear(b"to the service")
        self.say(b"to the visitor")

    def hear(self, data):
        self.visitor.sendall(data)
        self.expect(data)

    def expect(self, data):
        while data:
            _, stream, piece = self.link.expect("DATA")
            assert (stream, piece) == (self.stream, data[:len(piece)])
            self.got += len(piece)
            data = data[len(piece):]

    def say(self, data):
        self.link.send("DATA", self.stream, data)
        self.sent += len(data)
        assert read_exactly(self.visitor, len(data)) == data

    def lose(self):
        """The connection is gone; the session is not."""
        reset(self.link.sock)
        time.sleep(0.2)

    def state(self, **more):
        given = dict(highest=self.stream, consumed=self.got,
                     entries=[(self.stream, self.got, self.got, CREDIT, None, 0)])
        return state(**{**given, **more})

    def resume(self, **given):
        """The right way."""
        self.link = self.raw().login(**OWNER)
        self.epoch += 1
        name, payload = self.link.resume(self.home, self.epoch, **given)
        assert name == "STATE", f"{name} {payload!r}"
        last, highest, _, consumed, entries = read_state(payload)
        assert (last, highest) == (1, self.stream)
        wanted, taken, limit_, final, code = entries[self.stream]
        assert wanted == self.sent and taken <= self.sent and limit_ >= self.sent
        assert (final, code) == ((1 << 64) - 1, 0)
        self.link.send("STATE", 0, self.state())

    def close(self):
        self.visitor.close()


@pytest.fixture
def session(raw):
    one = Session(raw)
    yield one
    one.close()


def test_the_hold_is_announced(rig, raw, server):
    assert raw().login(capabilities=wire.CAN_RESUME).hold == 60000
    assert raw().login(capabilities=0).hold == 0
    for given, wanted in (("0", 0), ("90s", 90000)):
        other = rig.server(plaintext=True, resume_hold=given, state=f"s{given}")
        client = RawClient(other, other.token()).login(capabilities=wire.CAN_RESUME)
        assert client.hold == wanted
        client.close()


def test_the_right_client_resumes(session):
    """The control of everything below: with the right proof it works, many times."""
    for _ in range(5):
        session.lose()
        session.visitor.sendall(b"while nobody was there")
        session.resume()
        session.expect(b"while nobody was there")
        session.works()


def test_the_right_client_resumes_while_its_old_connection_lives(session):
    """The server had not noticed yet: the old one is closed, and not listened to."""
    for _ in range(3):
        old = session.link
        session.resume()
        old.sock.settimeout(limit(10))
        try:
            old.send("DATA", session.stream, b"from the old connection")
            old.ended()
        except ConnectionError:
            pass
        session.works()


def test_bytes_that_got_lost_are_sent_again(session):
    """The client says in STATE what it has; the server repeats the rest and nothing else."""
    session.visitor.sendall(b"0123456789")
    until(lambda: session.link.sock.recv(4096, socket.MSG_PEEK), what="the bytes")
    session.lose()
    session.got += 4                    # of the ten, though all ten had come
    session.visitor.sendall(b"abc")
    session.resume()
    session.expect(b"456789abc")
    session.works()


def thefts():
    """What a thief sends; it has logged in with the token, as another or as the same."""
    yield "its own key", lambda t, s: t.resume(s.home, s.epoch + 1, key=t.resume_key)
    yield "no proof", lambda t, s: t.resume(s.home, s.epoch + 1, proof=bytes(32))
    yield "random proof", lambda t, s: t.resume(s.home, s.epoch + 1, proof=os.urandom(32))
    yield "confirmation as proof", lambda t, s: t.resume(s.home, s.epoch + 1, proof=s.home.proof)
    yield "unknown id", lambda t, s: t.resume(s.home, s.epoch + 1, session_id=os.urandom(16))
    yield "id of zeros", lambda t, s: t.resume(s.home, s.epoch + 1, session_id=bytes(16))
    yield "its own id", lambda t, s: t.resume(t, t.epoch + 1)
    yield "used epoch", lambda t, s: t.resume(s.home, s.epoch)
    yield "epoch 0", lambda t, s: t.resume(s.home, 0)
    yield "another lane", lambda t, s: t.resume(s.home, s.epoch + 1, lane=1)


@pytest.mark.parametrize("detached", [False, True], ids=["attached", "detached"])
@pytest.mark.parametrize("theft", [pytest.param(act, id=name) for name, act in thefts()])
def test_a_stolen_session_id(request, session, raw, theft, detached):
    """RESUME_ERR, the thief may go on with a session of its own, the true one is unharmed."""
    if detached:
        session.lose()
    thief = raw().login(**OWNER)
    name, payload = theft(thief, session)
    # Another lane may also be taken for a breach of the protocol.
    assert name == "RESUME_ERR" or (name == "ERROR" and "lane" in request.node.name), \
        f"{name} {payload!r}"
    assert struct.unpack(">H", payload[:2])[0] != 0
    if not detached:
        session.works()
    thief.close()
    if not detached:
        session.works()
        session.lose()
    session.resume()
    session.works()


def test_the_right_key_in_the_wrong_hands(session, raw):
    """Key and id are right, the instance is another: a copy of what the process knew."""
    session.lose()
    thief = raw().login(**{**OWNER, "instance": bytes(16)})
    assert thief.resume(session.home, session.epoch + 1)[0] == "RESUME_ERR"
    session.resume()
    session.works()


def test_a_proof_of_another_login(session, raw):
    """Recorded, and sent on a connection of its own: the proof is bound to its login."""
    session.lose()
    right = raw().login(**OWNER)
    proof = wire.resume_proof(session.home.resume_key, session.home.session_id, session.epoch + 1,
                              0, right.transcript)
    thief = raw().login(**OWNER)
    assert thief.resume(session.home, session.epoch + 1, proof=proof)[0] == "RESUME_ERR"
    session.resume()
    session.works()


def test_a_thief_gets_a_session_of_its_own_after_the_refusal(session, raw):
    session.lose()
    thief = raw().login(**OTHER)
    assert thief.resume(session.home, session.epoch + 1, key=thief.resume_key)[0] == "RESUME_ERR"
    port = thief.bind()
    assert port != session.port
    session.resume()
    session.works()


def test_1000_guesses(session, raw):
    """On connections of one login each; the tenth part of them while it is attached."""
    rounds = 1000 // (10 if SANITIZED else 1)
    for number in range(rounds):
        if number == rounds // 10:
            session.works()
            session.lose()
        elif number > rounds // 10 and number % 100 == 0:       # the hold is not for ever
            session.resume()
            session.lose()
        thief = raw().login(**OWNER)
        name, _ = thief.resume(session.home, session.epoch + 1, proof=os.urandom(32))
        assert name == "RESUME_ERR"
        thief.close()
    session.resume()
    session.works()


def test_an_ended_session_is_not_resumed(session, raw):
    session.link.send("SHUTDOWN", 0, struct.pack(">II", 0, session.stream))
    session.link.close()
    assert ending(session.visitor)[0] == RST
    late = raw().login(**OWNER)
    name, payload = late.resume(session.home, session.epoch + 1)
    assert (name, payload) == ("RESUME_ERR", struct.pack(">H", 12))


@pytest.mark.parametrize("more", [
    {"entries": [(1, 1 << 40, 14, CREDIT, None, 0)]},
    {"entries": [(1, 0, 0, CREDIT, None, 0)]},
    {"entries": [(1, 14, 15, CREDIT, None, 0)]},
    {"entries": [(1, 14, 14, CREDIT, 1, 0)]},
    {"entries": [(1, 14, 14, CREDIT, None, 0), (1, 14, 14, CREDIT, None, 0)]},
    {"highest": 9}, {"consumed": 1 << 40},
], ids=["wanted beyond", "wanted again what it consumed", "consumed beyond wanted",
        "final before what came", "a stream twice", "streams that never were",
        "session consumed beyond"])
def test_offsets_that_cannot_be(session, more):
    """It ends with RST at the visitor, never with a guess."""
    assert session.stream == 1 and session.got == 14
    session.link.send("CREDIT", session.stream, struct.pack(">QQ", CREDIT, 14))
    time.sleep(0.2)
    session.lose()
    link = session.raw().login(**OWNER)
    assert link.resume(session.home, session.epoch + 1)[0] == "STATE"
    link.send("STATE", 0, session.state(**more))
    assert ending(session.visitor)[0] == RST
    assert link.ended() in (1, 3, 13, None)


def test_credit_for_bytes_that_are_still_to_be_sent_again(session):
    """What has not been sent once more yet cannot be consumed."""
    session.visitor.sendall(b"0123456789")
    until(lambda: session.link.sock.recv(4096, socket.MSG_PEEK), what="the bytes")
    session.lose()
    link = session.raw().login(**OWNER)
    assert link.resume(session.home, session.epoch + 1)[0] == "STATE"
    credit = struct.pack(">QQ", CREDIT, session.got + 10)
    link.sock.sendall(frame("STATE", 0, session.state()) +
                      frame("CREDIT", session.stream, credit))
    assert link.ended() == wire.FLOW_CONTROL
    assert ending(session.visitor)[0] == RST
    assert session.raw().login(**OTHER).bind()


@pytest.mark.parametrize("taken", [0, 14, 10], ids=["nothing", "all", "a part"])
def test_a_stream_that_was_never_heard_of_after_all(session, taken):
    """The client has answered to the OPEN that it now says was lost."""
    session.visitor.sendall(b"0123456789")
    until(lambda: session.link.sock.recv(4096, socket.MSG_PEEK), what="the bytes")
    session.link.send("CREDIT", session.stream, struct.pack(">QQ", CREDIT, taken))
    time.sleep(0.2)
    session.lose()
    link = session.raw().login(**OWNER)
    assert link.resume(session.home, session.epoch + 1)[0] == "STATE"
    link.send("STATE", 0, state(highest=0, consumed=session.got))
    assert link.ended() == 13
    assert ending(session.visitor)[0] == RST
    assert session.raw().login(**OTHER).bind()


@pytest.mark.parametrize("kind, payload", [
    ("DATA", b"too early"), ("CREDIT", struct.pack(">QQ", CREDIT, 14)),
    ("CLOSE", struct.pack(">Q", 14)),
], ids=["DATA", "CREDIT", "CLOSE"])
def test_frames_before_the_own_state(session, kind, payload):
    """No stream moves before both have said where they are."""
    session.lose()
    link = session.raw().login(**OWNER)
    assert link.resume(session.home, session.epoch + 1)[0] == "STATE"
    link.send(kind, session.stream, payload)
    assert link.ended() is not None


@pytest.mark.parametrize("when", ["before AUTH", "after BIND", "twice"])
def test_resume_out_of_place(session, raw, when):
    session.lose()
    thief = raw()
    if when == "before AUTH":
        thief.greet(**OWNER)
    else:
        thief.login(**{**OTHER, "instance": OWNER["instance"]})
    if when == "after BIND":
        thief.bind()
    if when == "twice":
        thief.resume(session.home, session.epoch + 1, proof=bytes(32))
    data = session.home.session_id + struct.pack(">IB", session.epoch + 1, 0) + bytes(32)
    thief.sock.sendall(frame("RESUME", 0, data))
    ended_or_refused(thief)
    session.resume()
    session.works()


def ended_or_refused(raw_client):
    """Closed, or RESUME_ERR: the thief has nothing either way."""
    try:
        name, _, _ = raw_client.expect("RESUME_ERR", "ERROR", "AUTH_ERR")
    except ConnectionError:
        return
    assert name in ("RESUME_ERR", "ERROR", "AUTH_ERR")


def test_an_answer_to_a_heartbeat_behind_resume(session):
    """The server's HEARTBEAT may arrive late: the answer to it comes with RESUME at once."""
    session.lose()
    link = session.raw().login(**OWNER)
    proof = wire.resume_proof(session.home.resume_key, session.home.session_id,
                              session.epoch + 1, 0, link.transcript)
    resume = session.home.session_id + struct.pack(">IB", session.epoch + 1, 0) + proof
    link.sock.sendall(frame("RESUME", 0, resume) + frame("HEARTBEAT", 0, bytes(8) + b"\1"))
    assert link.expect("STATE", "ERROR")[0] == "STATE"
    session.link = link
    link.send("STATE", 0, session.state())
    session.works()


def test_a_connection_that_goes_silent_after_resume(session):
    """RESUME was answered, STATE never came: the next connection takes over."""
    session.lose()
    for _ in range(3):
        silent = session.raw().login(**OWNER)
        session.epoch += 1
        assert silent.resume(session.home, session.epoch)[0] == "STATE"
    session.resume()
    session.works()


def test_a_bystander_notices_nothing(rig, serve, server, raw, session):
    client = rig.client(server, serve(echo), name="bystander:1", state="bystander",
                        plaintext=True)
    with connect("127.0.0.1", client.port) as s:
        for number in range(20):
            thief = raw().login(**OWNER)
            thief.resume(session.home, session.epoch + 1, proof=bytes(32))
            thief.close()
            echoes(s)
    assert "Session lost" not in client.err.text


@pytest.mark.parametrize("how", ["CREDIT", "STATE"])
def test_a_client_that_allows_all_and_takes_nothing(session, how):
    """What is sent is kept until it is taken: no more than 16 MiB of a stream."""
    most, slack = 16 << 20, 24 << 20
    if how == "STATE":
        session.lose()
        session.link = session.raw().login(**OWNER)
        assert session.link.resume(session.home, session.epoch + 1)[0] == "STATE"
        session.link.send("STATE", 0, session.state(limit=1 << 62))
    else:
        session.link.send("CREDIT", 0, struct.pack(">QQ", 1 << 62, 0))
    session.link.send("CREDIT", session.stream, struct.pack(">QQ", 1 << 62, 0))
    threading.Thread(target=drain, args=[session.link], daemon=True).start()
    session.visitor.settimeout(6)       # for so long nothing is taken any more
    sent = 0
    try:
        while sent < 2 * most:
            sent += session.visitor.send(bytes(1 << 16))
    except TimeoutError:
        pass
    assert most // 2 < sent < most + slack


def acknowledge(link, got):
    """These bytes left the path, or the server has no more than the least in flight."""
    link.send("ACK", 0, struct.pack(">Q", got))


def drain(link):
    """Reads all that comes."""
    got = 0
    try:
        while True:
            name, _, payload = link.read()
            if name == "DATA":
                got += len(payload)
                acknowledge(link, got)
    except (AssertionError, OSError):
        pass


def test_what_has_neither_ports_nor_streams_is_not_held(rig, raw, server):
    """Or whoever has the token could have the server keep a session for each login of a minute."""
    one = raw().login(**OWNER)
    one.bind()
    one.send("UNBIND", 0, struct.pack(">I", 1))
    one.send("HEARTBEAT", 0, bytes(9))
    one.expect("HEARTBEAT")
    reset(one.sock)
    until(lambda: "lost" in server.err.text or "left" in server.err.text, what="the end")
    late = raw().login(**OWNER)
    assert late.resume(one, one.epoch + 1)[0] == "RESUME_ERR"


def test_the_server_stops_while_a_session_is_being_resumed(rig):
    """It was not away, and its STATE does not come: nothing waits for it."""
    server = rig.server(plaintext=True, drain="10m")
    home, link = (RawClient(server, server.token()).login(**OWNER) for _ in range(2))
    home.bind()
    assert link.resume(home, home.epoch + 1)[0] == "STATE"
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    home.close()
    link.close()


def test_a_heartbeat_behind_resume(raw):
    """It was on its way before the answer: the session goes on all the same."""
    s = Session(raw)
    s.lose()
    link = raw().login(**OWNER)
    epoch = s.epoch + 1
    proof = wire.resume_proof(s.home.resume_key, s.home.session_id, epoch, 0, link.transcript)
    link.sock.sendall(
        frame("RESUME", 0, s.home.session_id + struct.pack(">IB", epoch, 0) + proof) +
        frame("HEARTBEAT", 0, bytes(8) + b"\1") + frame("HEARTBEAT", 0, bytes(8) + b"\0"))
    assert link.expect("STATE", "RESUME_ERR", "ERROR")[0] == "STATE"


def test_credit_without_end_does_not_make_the_server_keep_without_end(raw, server):
    """Case 9: a client that grants 2^40 bytes and consumes none is sent 16 MiB of a stream."""
    link = raw().login(**OWNER)
    port = link.bind()
    with connect("127.0.0.1", port) as visitor:
        stream = link.stream()
        for of in (stream, 0):
            link.send("CREDIT", of, struct.pack(">QQ", 1 << 40, 0))
        stop = threading.Event()

        def upload():
            try:
                while not stop.is_set():
                    visitor.sendall(bytes(1 << 20))
            except OSError:
                pass
        thread = threading.Thread(target=upload)
        thread.start()
        got, last = 0, time.monotonic()
        try:
            # All of it comes, and after it no DATA for a while.
            link.sock.settimeout(limit(20))
            while got < 16 * MIB or time.monotonic() < last + 3:
                name, _, payload = link.read()
                if name == "DATA":
                    got, last = got + len(payload), time.monotonic()
                    acknowledge(link, got)
                    assert got <= 16 * MIB
                if got == 16 * MIB:
                    link.sock.settimeout(3)
        except TimeoutError:
            pass
        finally:
            stop.set()
            visitor.shutdown(socket.SHUT_RDWR)
            thread.join()
        assert got == 16 * MIB
