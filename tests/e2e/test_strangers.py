"""Whoever has not logged in, and floods of visitors: they hurt only themselves.

The address of a stranger is one of 127.0.0.0/8 but 127.0.0.1, against which nothing is held.
"""
import random
import resource
import select
import socket
import ssl
import struct
import threading
import time

import pytest

from kit import SANITIZED, SCALE, limit, until, wire
from kit.oracles import MIB, Canary, Resources, observed
from kit.origin import echo
from kit.stream import connect, read_exactly, reset
from kit.strangers import call, client_hello, timed_out, tls_context
from kit.wire import RawClient, frame

GUESSER, OTHER, NEIGHBOUR = "127.0.0.2", "127.0.0.3", "127.0.0.4"
SEED = random.Random(11)


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """Thousands of sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def server(rig):
    return observed(rig)


def scaled(rig, factor):
    """The environment in which time runs that much faster."""
    return rig.env(GOTUNNEL_TEST_TIME_SCALE=str(factor))


def try_call(*given):
    """The same, or None: a reset may come so soon that connect() itself reports it."""
    try:
        return call(*given)
    except ConnectionError:
        return None


@pytest.fixture
def canary(rig, serve, server):
    with Canary(rig, serve, server) as one:
        yield one


class Crowd:
    """Strangers of three kinds: silent, a ClientHello at a byte a second, TLS done and silent."""

    KINDS = ("silent", "slow", "tls")

    def __init__(self, server):
        self.server, self.hello, self.context = server, client_hello(), tls_context()
        self.live = {}              # socket: [kind, when it connected, bytes of the ClientHello]
        self.ages = []              # of those that the server closed
        self.reset_at_once = 0

    def add(self, kind, source):
        try:
            s = call(self.server, source)
            if kind == "tls":
                s.settimeout(limit(10))
                s = self.context.wrap_socket(s, do_handshake_on_connect=True)
        except OSError:
            self.reset_at_once += 1
            return
        s.setblocking(False)
        self.live[s] = [kind, time.monotonic(), 0]

    def drip(self):
        for s, one in self.live.items():
            kind, began, sent = one
            if kind == "slow" and sent <= time.monotonic() - began:
                try:
                    s.send(self.hello[sent:sent + 1])
                except OSError:
                    pass
                one[2] += 1

    def reap(self, wait=0):
        """Forgets whom the server has closed."""
        poll = select.poll()
        by_fd = {s.fileno(): s for s in self.live}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(wait * 1000):
            s = by_fd[fd]
            try:
                if s.recv(4096):
                    continue
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except OSError:
                pass
            age = time.monotonic() - self.live.pop(s)[1]
            self.ages.append(age)
            s.close()

    def wait_until_closed(self, seconds):
        end = time.monotonic() + limit(seconds)
        while self.live and time.monotonic() < end:
            self.drip()
            self.reap(0.05)
        assert not self.live, f"{len(self.live)} strangers are still connected"

    def close(self):
        for s in self.live:
            s.close()


def log_in(server, source):
    """A valid login."""
    return RawClient(server, server.token(), (source, 0)).login().close()


def test_2000_strangers_of_one_address(rig, server, canary):
    """Case 1: 8 of them at a time for 5 s; others log in, and memory does not grow."""
    log_in(server, OTHER)
    crowd = rig.keep(Crowd(server))
    for kind in Crowd.KINDS:
        crowd.add(kind, GUESSER)
    crowd.wait_until_closed(8)
    before, held, took = server.descriptors(), Resources(server), []
    began = time.monotonic()
    for number in range(2000):
        crowd.add(Crowd.KINDS[number % 3], GUESSER)
        crowd.drip()
        if number % 20 == 0:
            crowd.reap()
            # Beside the eight, those that are gone and not yet seen to be.
            assert server.descriptors() - before <= 8 + 24
        if number % 67 == 0:
            took.append(log_in(server, OTHER))
    assert len(took) == 30
    held.peak(4 * MIB)
    crowd.wait_until_closed(8)
    kept = [age for age in crowd.ages if age > 1]
    assert len(kept) >= 8
    held.settled()
    dropped = server.stats()["source_drops"]
    assert dropped >= 2000 - len(kept) - 8
    assert server.err.text.count("its address has 8 that are not logged in") < \
        60 + time.monotonic() - began


def test_strangers_of_many_addresses(rig, server, canary):
    """Case 1: at most 128 in all, and who is known still gets in."""
    owner = RawClient(server, server.token(), (OTHER, 0)).login()
    owner.bind()                    # without a tunnel it would not be kept
    with owner.sock:
        crowd = rig.keep(Crowd(server))
        before, took, most, began = server.descriptors(), [], 0, time.monotonic()
        for number in range(600):
            crowd.add("silent", f"127.0.{1 + number // 200}.{1 + number % 200}")
            if number % 20 == 19:
                owner.lives()
                crowd.reap()
                took.append(log_in(server, OTHER))
                most = max(most, server.descriptors() - before)
        assert len(took) == 30
        assert 32 <= most <= 128 + 24
        crowd.wait_until_closed(8)
        # All but those that stayed to the deadline: hardly any, or on a slow machine some.
        kept = [age for age in crowd.ages if age > 3]
        assert server.stats()["early_drops"] >= 600 - 128 - len(kept)
        assert server.stats()["source_drops"] == 0
    assert server.err.text.count("(--max-unauthenticated 128)") < 60 + time.monotonic() - began


def test_a_crowd_makes_room_for_others(rig, server, canary):
    """Case 1: 20 addresses with 8 silent connections each keep nobody else out: 30 of 30 log in.

    Dropped are those of the crowd; were it the newcomers, hardly one got in.
    """
    crowd = rig.keep(Crowd(server))
    for number in range(160):
        crowd.add("silent", f"127.0.1.{1 + number % 20}")
    crowd.reap()
    assert len(crowd.live) > 64
    for number in range(30):
        log_in(server, f"127.0.2.{1 + number}")
        crowd.add("silent", f"127.0.1.{1 + number % 20}")
    assert server.stats()["early_drops"] > 20
    crowd.wait_until_closed(8)


def dearest(server, context):
    """A stranger that has everything kept for it that it can: half a frame, half a record."""
    s = call(server)
    tls = context.wrap_bio(incoming := ssl.MemoryBIO(), outgoing := ssl.MemoryBIO())
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            s.sendall(outgoing.read())
            incoming.write(s.recv(65536))
    tls.write(frame("HELLO", 0, bytes(4095), length=4096))
    s.sendall(outgoing.read() + b"\x17\x03\x03\x20\x00" + bytes(8191))
    return s


def long_handshake(server, _):
    """One in the midst of a ClientHello as long as it may be."""
    s = call(server)
    message = b"\x01\x00\x1f\x00" + bytes(8100)
    s.sendall(b"\x16\x03\x01\x10\x00" + message[:4096] + b"\x16\x03\x01\x0f\x00" +
              message[4096:7900])
    return s


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not ours")
@pytest.mark.parametrize("make", [dearest, long_handshake])
def test_what_a_stranger_costs(rig, make):
    """Case 1: at most 24 KiB, whatever it leaves unfinished."""
    server, count, context = observed(rig, max_unauthenticated=1000), 200, tls_context()
    before = server.descriptors()
    make(server, context).close()
    until(lambda: server.descriptors() <= before, 5, "the end of the first")
    held, strangers, most = Resources(server), [], 0
    for _ in range(count):          # the first leave after 5 s, maybe before the last comes
        strangers.append(make(server, context))
        most = max(most, server.descriptors() - before)
    assert most > count // 4
    held.peak((most + 2) * 24 * 1024)
    for s in strangers:
        s.close()
    held.settled(slack=0)


def test_max_unauthenticated(rig):
    """Case 1: also 127.0.0.1 is dropped early: behind a proxy everybody comes from there."""
    server = observed(rig, max_unauthenticated=4)
    before, began = server.descriptors(), time.monotonic()
    held = [try_call(server, "127.0.0.1") for _ in range(200)]
    rounds = 1 + (time.monotonic() - began) // 5        # of four that wait for the deadline
    until(lambda: server.stats()["early_drops"] + 4 * rounds >= 200, 5, "early drops")
    # One for who asks for the numbers.
    until(lambda: server.descriptors() - before <= 4 + 1, 5, "four that stay at the most")
    for s in filter(None, held):
        s.close()
    until(lambda: server.descriptors() <= before, 5, "the descriptors from before")
    log_in(server, "127.0.0.1")


class Guesser:
    """Wrong tokens from an address: what the server said to each."""

    def __init__(self, server, source, hangs_up=False):
        self.server, self.source, self.hangs_up = server, source, hangs_up
        self.verified, self.waits, self.resets = 0, [], 0

    def guess(self):
        try:
            one = RawClient(self.server, "wrong", (self.source, 0))
        except OSError:
            self.resets += 1
            return
        with one.sock:
            try:
                one.send("HELLO", 0, wire.hello(one.spake.message))
                name, _, payload = one.expect("HELLO_ACK", "ERROR")
                if name == "ERROR":
                    code, wait = struct.unpack(">HI", payload[:6])
                    assert code == wire.CALM_DOWN
                    self.waits.append(wait)
                    return
                self.verified += 1
                if not self.hangs_up:
                    one.send("AUTH", 0, bytes(32))
                    assert one.expect("AUTH_ERR")[2][:2] == struct.pack(">H", wire.AUTH_FAILED)
            except ConnectionError:
                self.resets += 1


@pytest.mark.parametrize("hangs_up", [False, True], ids=["wrong proof", "hangs up"])
def test_guessing_is_put_off(rig, hangs_up):
    """Case 4: eight guesses, then one after 15 s, 30 s, 60 s ...; others do not notice."""
    factor = 4 if SANITIZED else 10
    server = observed(rig, env=scaled(rig, factor))
    guesser = Guesser(server, GUESSER, hangs_up)
    began, minute = time.monotonic(), 60 / factor
    while time.monotonic() - began < minute:
        guesser.guess()
        if guesser.resets % 50 == 1:
            log_in(server, OTHER)
    asked = guesser.verified + len(guesser.waits) + guesser.resets
    assert asked > 20, "the guesser was too slow for this test"
    assert 8 <= guesser.verified <= 20
    # While another worker has not seen that the one before is gone, that one is under way: 5 s.
    first = next(wait for wait in guesser.waits if wait != 5000)
    assert first <= 15000
    assert 15000 < max(guesser.waits) <= 60000
    # Told once a second; the others are reset before they cost a handshake.
    assert len(guesser.waits) <= 70
    until(lambda: server.stats()["logins_refused"] == guesser.verified, 10, "all refusals")
    assert server.stats()["penalties"] >= len(guesser.waits)
    assert f"{GUESSER}:" in server.err.text and "too many failed logins" in server.err.text


def test_guesses_at_once(server):
    """Case 4: eight connections that all wait for the other's end have eight guesses together."""
    for _ in range(5):
        Guesser(server, GUESSER).guess()
    ones = [RawClient(server, "wrong", (GUESSER, 0)) for _ in range(8)]
    for one in ones:
        one.send("HELLO", 0, wire.hello(one.spake.message))
    said = [one.expect("HELLO_ACK", "ERROR")[0] for one in ones]
    assert said.count("HELLO_ACK") == 3
    for one in ones:
        one.close()
    log_in(server, OTHER)


def test_mistyping_costs_nothing(server):
    """Case 4: seven wrong tokens, then the right one at once; and again, since that cleared it."""
    for _ in range(3):
        guesser = Guesser(server, GUESSER)
        for _ in range(7):
            guesser.guess()
        assert guesser.verified == 7
        log_in(server, GUESSER)


def test_live_session_exempts_its_address(server):
    """Case 4: nobody locks out the owner of a session who shares an address with a guesser."""
    with RawClient(server, server.token(), (GUESSER, 0)).login().sock:
        guesser = Guesser(server, GUESSER)
        for _ in range(40):
            guesser.guess()
        assert guesser.verified == 40
        log_in(server, GUESSER)
    assert server.stats()["penalties"] == 0


def test_client_waits_as_it_is_told(rig, serve):
    """Case 4: the client of a user, by way of a forwarder at another address."""
    factor = 2
    server = observed(rig, env=scaled(rig, factor))
    way = rig.keep(Forwarder(server, GUESSER))
    guesser = Guesser(server, GUESSER)
    for _ in range(8):
        guesser.guess()
    assert guesser.verified == 8
    began = time.monotonic()
    client = rig.client(("127.0.0.1", way.port), serve(echo), token_file=server.token_file,
                        env=scaled(rig, factor), more=["--retries", 2])
    assert time.monotonic() - began > 1
    client.wait_err(r"the server asks for \d+s of patience after failed logins from this "
                    r"address; waiting")
    assert "Connection attempt" not in client.err.text
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


class Forwarder:
    """Passes connections on from another address."""

    def __init__(self, server, source):
        self.server, self.source = server, source
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = call(self.server, self.source)
            except OSError:
                return
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    @staticmethod
    def copy(a, b):
        a.settimeout(None)
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            reset(b)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


NOISE = [b"", b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"quit\r\n", b"\x16\x03\x01\x40\x00",
         frame("AUTH", 0, bytes(32)), frame("HELLO", 0, b"", length=0xFFFFFFFF),
         frame("RESUME", 0, bytes(53)), frame(0x7f, 0, b"?"),
         b"\x90" + SEED.randbytes(65535), SEED.randbytes(64)]


def test_noise_is_not_held_against_its_address(server):
    """Cases 3 and 7: closed by its bytes, nothing stays open, and a login follows at once."""
    before = server.descriptors()
    for turn in range(20):
        for data in NOISE:
            with call(server, GUESSER) as s:
                try:
                    s.sendall(data)
                    if turn % 2:
                        s.shutdown(socket.SHUT_WR)
                    elif data in (b"", NOISE[-1]):
                        reset(s)
                        continue
                    while s.recv(4096):
                        pass
                except OSError:
                    pass            # reset, maybe before the shutdown
    until(lambda: server.descriptors() <= before, 5, "the descriptors from before")
    assert not timed_out(server)
    assert server.stats()["source_drops"] + server.stats()["penalties"] == 0
    log_in(server, GUESSER)


@pytest.mark.parametrize("data", [
    frame("HELLO", 0, wire.hello(bytes(32))), frame("BIND", 0, wire.bind()),
    frame("RESUME", 0, bytes(53)), frame("AUTH", 0, bytes(31)), frame(0x7f),
], ids=["HELLO twice", "BIND", "RESUME", "short AUTH", "unknown"])
def test_anything_but_a_proof_is_a_failed_login(server, data):
    """Case 3: closed at once, and no way to guess for nothing."""
    for _ in range(8):
        one = RawClient(server, server.token(), (GUESSER, 0)).greet()
        one.sock.sendall(data)
        assert one.ended() in (wire.AUTH_FAILED, None)
    assert not timed_out(server)
    guesser = Guesser(server, GUESSER)
    guesser.guess()
    assert guesser.verified == 0 and guesser.waits
    log_in(server, OTHER)


def test_good_token_waits_like_a_bad_one(server):
    """Cases 4, 6: the answer says nothing of the token: it is not looked at."""
    for _ in range(8):
        Guesser(server, GUESSER).guess()
    said = set()
    for token in (server.token(), "wrong"):
        one = RawClient(server, token, (GUESSER, 0))
        one.send("HELLO", 0, wire.hello(one.spake.message))
        name, _, payload = one.expect("HELLO_ACK", "ERROR")
        said.add((name, payload[:2], payload[6:]))
        one.close()
        time.sleep(1.1)             # told once a second
    assert said == {("ERROR", struct.pack(">H", wire.CALM_DOWN), wire.long("too many attempts"))}


def test_200_handshakes_a_second(rig, server, canary):
    """Case 26: broken off after each message."""
    context, hello = tls_context(), client_hello()
    before, began, done = server.descriptors(), time.monotonic(), 0
    while done < 1000 // SCALE:
        try:                    # a reset may come so soon that connect() reports it
            with call(server, GUESSER) as s:
                if done % 3 == 0:
                    s.sendall(hello)
                    s.recv(65536)
                elif done % 3 == 1:
                    context.wrap_socket(s).close()
                else:
                    with context.wrap_socket(s) as t:
                        t.sendall(frame("HELLO", 0, b"", length=4000))
        except (OSError, ssl.SSLError):
            pass
        done += 1
        time.sleep(max(0, began + done / 200 - time.monotonic()))
    until(lambda: server.descriptors() <= before, 5, "the descriptors from before")
    log_in(server, OTHER)


def idle(port, source):
    return socket.create_connection(("127.0.0.1", port), limit(10), (source, 0))


def is_open(s):
    """Whether an idle visitor is still connected a moment later."""
    s.settimeout(0.01)
    try:
        return bool(s.recv(1))
    except socket.timeout:
        return True
    except ConnectionError:
        return False


def test_visitors_of_one_address(rig, serve):
    """Case 19: its cap is held, others get in."""
    cap, many = 40, 200
    server = observed(rig, max_conns_per_address=cap)
    client = rig.client(server, serve(echo), plaintext=True)
    held, began = [], time.monotonic()
    for _ in range(many):
        try:
            held.append(idle(client.port, GUESSER))
        except ConnectionError:
            pass
    until(lambda: server.stats()["address_drops"] == many - cap, 10, "the cap")
    live = [s for s in held if is_open(s)]
    assert len(live) == cap
    until(lambda: server.stats()["totals"]["streams_open"] == cap, 10, "those within the cap")
    for source in (OTHER, NEIGHBOUR, "127.0.0.1"):
        with idle(client.port, source) as s:
            s.sendall(b"hello")
            assert read_exactly(s, 5) == b"hello"
    # 127.0.0.1 has no cap.
    own = [idle(client.port, "127.0.0.1") for _ in range(cap + 20)]
    until(lambda: server.stats()["totals"]["streams_open"] == 2 * cap + 20, 10, "all of them")
    for s in own:
        s.close()
    # One that goes makes room for one.
    live.pop().close()
    until(lambda: server.stats()["totals"]["streams_open"] == cap - 1, 10, "the end of one")
    with idle(client.port, GUESSER) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
        with pytest.raises(ConnectionError):
            with idle(client.port, GUESSER) as one_more:
                one_more.settimeout(limit(5))
                read_exactly(one_more, 1)
    for s in held:
        s.close()
    assert server.err.text.count("(--max-conns-per-address)") <= 5 + time.monotonic() - began
    until(lambda: server.stats()["totals"]["streams_open"] == 0, 10, "the end of all")


def test_no_cap_of_visitors(rig, serve):
    server = observed(rig, max_conns_per_address=0)
    client = rig.client(server, serve(echo), plaintext=True)
    held = [idle(client.port, GUESSER) for _ in range(60)]
    until(lambda: server.stats()["totals"]["streams_open"] == 60, 10, "all of them")
    for s in held:
        s.close()
