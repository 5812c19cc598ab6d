"""Before the login: lies, replays, relays of the proof, and what the answers give away."""
import re
import select
import socket
import ssl
import statistics
import struct
import threading
import time

import pytest

from kit import SANITIZED, SCALE, missing, pki, until, wire
from kit.gotunnel import other_address
from kit.oracles import MIB, Canary, Resources, observed
from kit.origin import echo
from kit.stream import connect, read_exactly, reset
from kit.strangers import (call, call_tls, client_hello, drained, good_hello, timed_out,
                           tls_context)
from kit.wire import RawClient, frame

LENGTHS = [0xFFFFFFFF, 1 << 31, (1 << 24) - 1, 4097, 0]
KINDS = [*wire.TYPES.values(), 0x00, 0x7F, 0xFF]
# Of these 256 KiB are taken after the login: of DATA, and of what is not known to be skipped.
FLOWING = [wire.TYPES["DATA"], wire.TYPES["DATAGRAM"], wire.TYPES["LANE"], 0x00, 0x7F, 0xFF]


@pytest.fixture
def server(rig):
    return observed(rig)


@pytest.fixture
def canary(rig, serve, server):
    with Canary(rig, serve, server) as one:
        yield one


def test_hostile_lengths(server, canary):
    """Case 2: 10,000 heads of every type that lie about their length; nothing is allocated for it.

    Every fifth comes inside TLS, where most of the time goes. The announced
    bytes never come: what closes the connection is the head. A HELLO alone
    may be 4 KiB, so one of 0 is judged as a frame.
    """
    context = tls_context()
    heads = [frame(kind, 0, b"", length=length) for kind in KINDS for length in LENGTHS]
    heads = heads * (10000 // SCALE // len(heads) + 1)

    def lie(number):
        with call(server) if number % 5 else call_tls(server, context=context) as s:
            s.sendall(heads[number])
            assert drained(s), f"still open after {heads[number].hex()}"

    for number in range(20):
        lie(number)
    held = Resources(server)
    for number in range(len(heads)):
        lie(number)
    held.peak(4 * MIB)
    held.settled()
    assert not timed_out(server)


@pytest.mark.parametrize("length", [4097, 16384, 0xFFFF])
def test_long_record_inside_the_handshake(server, canary, length):
    """Case 2: a TLS record head that announces more than 4 KiB is enough to be closed."""
    held = Resources(server)
    for _ in range(50):
        with call(server) as s:
            s.sendall(b"\x16\x03\x01" + struct.pack(">H", length))
            assert drained(s)
    held.settled()
    assert not timed_out(server)


def every_length_after_login():
    """Types that a client may send, each longer than it may be."""
    for kind in KINDS:
        for length in LENGTHS[:-1]:
            if length == 4097 and kind in FLOWING:
                continue
            yield kind, length


def test_hostile_lengths_after_the_login(server, canary):
    """Case 2: the same once logged in, where DATA may be longer: the head ends the session."""
    held = Resources(server)
    for kind, length in every_length_after_login():
        one = RawClient(server, server.token()).login()
        one.bind()
        on_stream = 0x10 <= kind <= 0x13
        one.sock.sendall(frame(kind, 1 if on_stream else 0, b"", length=length))
        assert one.ended() == wire.PROTOCOL, (kind, length)
        one.close()
    held.peak(8 * MIB)
    held.settled()


def what_logins_change(server):
    numbers = server.stats()
    return [numbers[name] for name in ("logins", "sessions_open", "ports_refused")] + [
        len(numbers["tunnels"])]


def test_no_state_is_changed_before_the_login(server, canary):
    """Case 3: BIND, RESUME, CREDIT, DATA of strangers come to nothing, and are closed at once."""
    before = what_logins_change(server)
    resume = frame("RESUME", 0, bytes(53))
    for first in (b"", good_hello()):
        for then in (frame("BIND", 0, wire.bind()), resume, frame(0x7F), good_hello() * 2,
                     frame("AUTH", 0, bytes(32)) * 2 + frame("BIND", 0, wire.bind()),
                     frame(0x7F) + frame("BIND", 0, wire.bind()),
                     frame("DATA", 1, b"x"), frame("CREDIT", 0, bytes(16))):
            with call(server) as s:
                s.sendall(first + then)
                assert drained(s), then
    assert what_logins_change(server) == before
    assert not timed_out(server)


# --- replays and relays ------------------------------------------------------------------


class Tape:
    """A relay that records what the client says."""

    def __init__(self, server):
        self.server, self.said, self.listener = server, b"", socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            near, _ = self.listener.accept()
            far = call(self.server)
        except OSError:
            return
        threading.Thread(target=self.copy, args=(far, near), daemon=True).start()
        self.copy(near, far, True)

    def copy(self, a, b, keep=False):
        a.settimeout(None)
        b.settimeout(None)
        try:
            while data := a.recv(65536):
                self.said += data if keep else b""
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


@pytest.mark.parametrize("plaintext", [None, True], ids=["encrypted", "plaintext"])
def test_replayed_login(rig, serve, server, canary, plaintext):
    """Case 5: what a client said in a good login opens no door, said again 100 times."""
    tape = rig.keep(Tape(server))
    client = rig.client(("127.0.0.1", tape.port), serve(echo), token_file=server.token_file,
                        name="taped:1", state="taped", plaintext=plaintext)
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
    said, before = tape.said, what_logins_change(server)
    assert before[1] == 2 and len(said) > 200
    client.stop()
    until(lambda: what_logins_change(server)[1::2] == [1, 1], 10, "the end of the session")
    before = what_logins_change(server)
    for turn in range(100):
        with call(server) as s:
            try:
                # Also with the pauses of a client that waits for answers.
                for piece in ([said] if turn % 2 else [said[:120], said[120:400], said[400:]]):
                    s.sendall(piece)
                    time.sleep(0 if turn % 2 else 0.005)
            except OSError:
                pass
            assert drained(s)
    assert what_logins_change(server) == before
    assert server.err.text.count("logged in (taped:1, ") == 1


def test_replayed_proof(server, canary):
    """Case 5: the frames of a good login again: refused like a wrong token, by the proof itself."""
    one = RawClient(server, server.token())
    own = frame("HELLO", 0, wire.hello(one.spake.message))
    one.greet()
    one.send("AUTH", 0, one.proof)
    one.expect("AUTH_OK")
    one.bind()
    for _ in range(100):
        again = RawClient(server, "nothing")
        again.sock.sendall(own)
        again.expect("HELLO_ACK")
        again.send("AUTH", 0, one.proof)
        assert again.ended() == wire.AUTH_FAILED
        again.close()
        one.lives()
    one.bind(bind_id=2)                 # and the real one goes on
    one.close()


class Rogue:
    """In between: takes the client's TLS, and passes what is in it to the real server."""

    def __init__(self, server, context, onward):
        self.server, self.context, self.onward = server, context, onward
        self.passed = {"client": b"", "server": b""}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
                near = self.context.wrap_socket(near, server_side=True)
                far = self.onward(self.server)
            except OSError:
                return
            self.join(near, far)
            near.close()
            far.close()

    def join(self, near, far):
        """One thread for both ways: an SSL object is not for two."""
        ways = {near: (far, "client"), far: (near, "server")}
        for s in ways:
            s.setblocking(False)
        while True:
            for a, (b, who) in ways.items():
                try:
                    data = a.recv(65536)
                except (BlockingIOError, ssl.SSLWantReadError):
                    continue
                except OSError:
                    return
                if not data:
                    return
                self.passed[who] += data
                b.setblocking(True)
                b.sendall(data)
                b.setblocking(False)
            select.select(ways, [], [], 0.01)

    def close(self):
        self.listener.close()


@pytest.mark.parametrize("onward", [call_tls, call], ids=["over its own TLS", "in plaintext"])
def test_relayed_proof(rig, serve, server, canary, onward):
    """Case 5: a rogue server passes every byte on to the real one, and neither end logs in.

    The proof covers the exporter of the TLS that it was made in, and whether there is any.
    """
    authority = pki.Authority(rig.folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue())
    context.set_alpn_protocols(["gotunnel/1"])
    rogue = rig.keep(Rogue(server, context, onward))
    before = what_logins_change(server)
    for number in range(5):
        client = rig.client(("127.0.0.1", rogue.port), serve(echo), wait=False,
                            token_file=server.token_file, name="relayed:1", state="relayed")
        assert client.wait_exit() == 4
        assert "does not match" in client.err.text
    said, answered = kinds(rogue.passed["client"]), kinds(rogue.passed["server"])
    assert said == ["HELLO", "AUTH"] * 5, "the relay does not pass on what it should"
    assert answered == ["HELLO_ACK", "AUTH_ERR"] * 5
    assert what_logins_change(server) == before


def kinds(data):
    """The names of the frames in a row of bytes."""
    found = []
    while len(data) >= wire.HEAD.size:
        _, kind, _, length = wire.HEAD.unpack(data[:wire.HEAD.size])
        found.append(wire.NAMES.get(kind, kind))
        data = data[wire.HEAD.size + length:]
    return found


# --- what the answers tell ---------------------------------------------------------------


def attempt(server, token, key, source):
    """All that came back, but for the random message, and how long each answer took."""
    one = RawClient(server, token, (source, 0))
    hello = frame("HELLO", 0, wire.hello(one.spake.message, key_id=key))
    with one.sock:
        began = time.perf_counter()
        one.sock.sendall(hello)
        _, _, ack = one.expect("HELLO_ACK")
        middle = time.perf_counter()
        head = one.head
        one.send("AUTH", 0, bytes(32))
        one.expect("AUTH_ERR")
        answer, rest = one.seen, one.sock.recv(65536)
        end = time.perf_counter()
    return (tuple(answer), head, ack[:24], rest), middle - began, end - middle


def apart(taken):
    """Between the fastest and the slowest cause: of the lower quarters, which other work on the
    machine hardly moves."""
    quarters = [statistics.quantiles(times, n=4)[0] for times in taken.values()]
    return max(quarters) - min(quarters)


def test_refusals_tell_nothing(rig):
    """Case 6: wrong secret, unknown key, key not allowed from here: 1,000 each, taken in turn.

    The same bytes, the same line in the log, times within 1 ms: more of them are taken while
    chance is still in between. (No key can be disabled yet.)
    """
    address = other_address() or missing("an address that is not loopback")
    server = observed(rig, addr="0.0.0.0", token_file=None, state="tokens")
    token = (rig.folder / "tokens" / "token").read_text().strip()
    server.host = address
    causes = {"wrong secret": ("wrong-secret", "default"), "unknown key": (token, "nobody"),
              "unknown key of 64": (token, "n" * 64),
              "dev-token from another machine": ("dev-token", "dev"),
              "wrong secret again": ("wrong-secret", "default")}
    said, first, second = {}, {name: [] for name in causes}, {name: [] for name in causes}
    count, most = 1000 // SCALE, 5000 // SCALE
    # Its address is exempt from penalties, so that all are looked at.
    owner = RawClient(server, token, (address, 0)).login()
    owner.bind()                    # without a tunnel it would not be kept
    with owner.sock:
        since = len(server.err.text)
        while (taken := len(first["unknown key"])) < count or \
                taken < most and max(apart(first), apart(second)) >= 0.001 * SCALE:
            owner.lives()
            for name, (secret, key) in causes.items():
                what, ack, answer = attempt(server, secret, key, address)
                said.setdefault(what, name)
                first[name].append(ack)
                second[name].append(answer)
    assert len(said) == 1, said
    lines = server.err.text[since:].splitlines()
    about = {re.sub(r"^\S+ |:\d+", "", line) for line in lines if "login" in line}
    assert len(about) == 1 and "WARN" in next(iter(about)), about
    assert server.stats()["logins_refused"] == sum(map(len, first.values()))
    assert apart(first) < 0.001 * SCALE and apart(second) < 0.001 * SCALE


# --- hanging up --------------------------------------------------------------------------


class Half:
    """TLS with a server, byte by byte: what there is to say is kept until it is asked for."""

    def __init__(self, server):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls_context().wrap_bio(self.incoming, self.outgoing)
        self.sock = call(server)

    def shake(self):
        """The client's second flight, not yet sent, with a HELLO behind it."""
        while True:
            try:
                self.tls.do_handshake()
                self.tls.write(good_hello())
                return self.outgoing.read()
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                data = self.sock.recv(65536)
                assert data, "closed within the handshake"
                self.incoming.write(data)


def fin(sock):
    """Says no more, and stays to see what the other side does."""
    sock.shutdown(socket.SHUT_WR)
    assert drained(sock)
    sock.close()


def hang_up_at_every_byte(server, end):
    hello, plain = client_hello(), good_hello()
    held = Resources(server)
    step = 7 if SANITIZED else 1
    for data in (hello, plain):
        for cut in range(0, len(data), step):
            s = call(server)
            s.sendall(data[:cut])
            end(s)
    length = len(Half(server).shake())
    for cut in range(0, length, step):
        half = Half(server)
        data = half.shake()
        assert len(data) == length
        half.sock.sendall(data[:cut])
        end(half.sock)
    held.settled(slack=0)


@pytest.mark.parametrize("end", [fin, reset], ids=["FIN", "RST"])
def test_hanging_up_at_every_byte(rig, serve, end):
    """Case 7: FIN or RST after each byte of ClientHello, Finished, HELLO: closed, nothing left.

    They come faster than the server notices their end; none is dropped for being one of many.
    """
    server = observed(rig, max_unauthenticated=4096)
    with Canary(rig, serve, server):
        hang_up_at_every_byte(server, end)


def test_random_bytes_of_every_size(server, canary):
    """Case 7: 64 B to 64 KiB of noise, in plaintext, as TLS records and inside TLS."""
    import random
    chance = random.Random(3)
    held, patient = Resources(server), 0
    context = tls_context()
    for number in range(300 // SCALE):
        data = chance.randbytes(chance.choice([64, 100, 1000, 4096, 5000, 65536]))
        with call_tls(server, context=context) if number % 3 == 2 else call(server) as s:
            try:
                s.sendall(b"\x16\x03\x01" + data if number % 3 == 1 else data)
                if number % 2:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            # What may still become a whole frame or record is waited for, to the deadline.
            patient += data[0] == 1 or number % 3 == 1
            assert drained(s)
    held.settled(slack=0)
    assert timed_out(server) <= patient
