"""JOIN, LANE and RESUME over another lane, from whoever has no right to them or too much time."""
import os
import struct
import time

import pytest

from kit import limit, until, wire
from kit.oracles import MIB, Canary, Resources, observed
from kit.stream import RST, connect, ending, read_exactly, reset
from kit.wire import RawClient, frame, read_state, state

CAN = wire.CAN_RESUME | wire.CAN_LANES
OWNER = {"name": "owner:1", "instance": bytes(range(16)), "capabilities": CAN}
CREDIT = 256 * 1024
UNKNOWN = 12                    # no such session


@pytest.fixture
def server(rig):
    return observed(rig)


@pytest.fixture
def raw(server):
    """raw() is a new connection to the server."""
    opened = []

    def make(**given):
        opened.append(RawClient(server, server.token(), **given))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


class Lane:
    """A session of the client; what it says goes over `link`, its own or that of its host."""

    def __init__(self, link, number):
        self.home, self.link, self.number, self.epoch = link, link, number, link.epoch
        self.stream, self.visitor, self.got, self.sent = 0, None, 0, 0

    def mark(self, epoch=None):
        return frame("LANE", self.number, struct.pack(">I", self.epoch if epoch is None else epoch))

    def say(self, kind, stream=0, payload=b""):
        self.link.sock.sendall(self.mark() + frame(kind, stream, payload))

    def expect(self, *kinds):
        """A frame of this lane; those of others on the same connection must not come."""
        found = self.link.expect(*kinds)
        assert (self.link.lane or (self.number, self.epoch)) == (self.number, self.epoch)
        return found

    def visit(self, port):
        """A visitor whose stream is on this lane: it has to have the fewest."""
        self.visitor = connect("127.0.0.1", port)
        _, self.stream, _ = self.expect("OPEN")
        self.got = self.sent = 0
        self.say("CREDIT", self.stream, struct.pack(">QQ", CREDIT, 0))
        self.works()

    def works(self):
        """Bytes go both ways."""
        self.visitor.sendall(b"to the service")
        self.hear(b"to the service")
        self.say("DATA", self.stream, b"to the visitor")
        self.sent += 14
        assert read_exactly(self.visitor, 14) == b"to the visitor"

    def hear(self, data):
        while data:
            _, stream, piece = self.expect("DATA")
            assert (stream, piece) == (self.stream, data[:len(piece)])
            self.got += len(piece)
            data = data[len(piece):]

    def lose(self):
        """The connection is gone; the session is not."""
        reset(self.link.sock)
        time.sleep(0.2)

    def ask(self, host, **given):
        """RESUME over the connection of another lane: the answer."""
        epoch = given.pop("epoch", self.epoch + 1)
        lane = given.pop("lane", self.number)
        link = host.link
        link.sock.sendall(host.mark())
        name, payload = link.resume(given.pop("session", self.home), epoch, lane=lane, **given)
        if name == "RESUME_ERR":
            assert link.lane == (lane, epoch), "a refusal is a frame of the lane that asked"
            link.expect("LANE", skip=())
            assert link.lane == (host.number, host.epoch)
        return name, payload

    def ride(self, host):
        """The right way."""
        name, payload = self.ask(host)
        assert name == "STATE", f"{name} {payload!r}"
        self.link, self.epoch = host.link, self.epoch + 1
        assert self.link.lane == (self.number, self.epoch)
        self.synced(payload)

    def resume(self, raw):
        """On a connection of its own."""
        link = raw().login(**OWNER)
        name, payload = link.resume(self.home, self.epoch + 1, lane=self.number)
        assert name == "STATE", f"{name} {payload!r}"
        self.link, self.epoch = link, self.epoch + 1
        self.synced(payload)

    def synced(self, payload):
        last, highest, _, consumed, entries = read_state(payload)
        assert (last, highest) == (1, self.stream)
        if self.stream:
            wanted, taken, limit_, final, code = entries[self.stream]
            assert wanted == self.sent and taken <= self.sent <= limit_
            assert (final, code) == ((1 << 64) - 1, 0)
        self.say("STATE", 0, self.state())

    def state(self):
        entry = (self.stream, self.got, self.got, CREDIT, None, 0)
        return state(highest=self.stream, consumed=self.got, entries=[entry] * bool(self.stream))


class Client:
    """A client with lanes 0 to count - 1, each with a stream."""

    def __init__(self, raw, count=3, streams=True):
        self.raw = raw
        self.lanes = [Lane(raw().login(**OWNER), 0)]
        self.home = self.lanes[0].home
        self.port = self.home.bind()
        if streams:
            self.lanes[0].visit(self.port)
        for number in range(1, count):
            self.add(number, streams)

    def add(self, number, streams=True):
        self.lanes.append(Lane(self.raw().login(**OWNER).join(self.home, number), number))
        if streams:
            self.lanes[-1].visit(self.port)
        return self.lanes[-1]

    def works(self):
        for lane in self.lanes:
            lane.works()

    def close(self):
        for lane in self.lanes:
            if lane.visitor:
                lane.visitor.close()


@pytest.fixture
def client(raw):
    one = Client(raw)
    yield one
    one.close()


def comes_to(server, **wanted):
    """The server's numbers; a worker tells its own a moment later."""
    def now():
        stats = server.stats()
        return {name: stats[name] for name in wanted} == wanted
    until(now, what=f"{wanted}")


def is_cut(link):
    """Its end is RST."""
    link.sock.settimeout(limit(10))
    try:
        while link.sock.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


# ---- JOIN ----

def test_the_right_client_has_lanes(client, server):
    """The control of everything below."""
    comes_to(server, lanes_open=2)
    for number in (1, 2, 1):
        lane, host = client.lanes[number], client.lanes[0]
        lane.lose()
        lane.visitor.sendall(b"while nobody was there")
        lane.ride(host)
        lane.hear(b"while nobody was there")
        client.works()
        lane.resume(client.raw)
        client.works()
    comes_to(server, sessions_open=1)


def bad_joins():
    """What ends the connection, and by what code."""
    yield "random proof", UNKNOWN, lambda t, c: t.join(c.home, 3, proof=os.urandom(32))
    yield "proof of its own key", UNKNOWN, lambda t, c: t.join(c.home, 3, key=t.resume_key)
    yield "proof of another lane", UNKNOWN, lambda t, c: t.join(c.home, 3, proof=proof(t, c, lane=4))
    yield "proof of a RESUME", UNKNOWN, lambda t, c: t.join(c.home, 3, proof=proof(t, c, epoch=2))
    yield "proof of another login", UNKNOWN, lambda t, c: t.join(c.home, 3, proof=proof(c.home, c))
    yield "unknown id", UNKNOWN, lambda t, c: t.join(c.home, 3, session_id=os.urandom(16))
    yield "its own id", UNKNOWN, lambda t, c: t.join(t, 3)
    yield "a lane's id", UNKNOWN, lambda t, c: t.join(c.lanes[1].home, 3)
    yield "lane 0", wire.PROTOCOL, lambda t, c: t.join(c.home, 0)
    yield "lane 8", wire.PROTOCOL, lambda t, c: t.join(c.home, 8)
    yield "lane 255", wire.PROTOCOL, lambda t, c: t.join(c.home, 255)
    yield "after BIND", wire.PROTOCOL, lambda t, c: (t.bind(bind_id=9), t.join(c.home, 3))
    yield "short", wire.PROTOCOL, lambda t, c: t.send("JOIN", 0, bytes(48))
    yield "long", wire.PROTOCOL, lambda t, c: t.send("JOIN", 0, bytes(50))
    yield "on a stream", wire.PROTOCOL, lambda t, c: t.send("JOIN", 3, bytes(49))


def proof(login, client, epoch=0, lane=3):
    return wire.resume_proof(client.home.resume_key, client.home.session_id, epoch, lane,
                             login.transcript)


@pytest.mark.parametrize("code, act", [pytest.param(code, act, id=name)
                                       for name, code, act in bad_joins()])
def test_a_join_that_is_refused(client, raw, server, code, act):
    thief = raw().login(**({**OWNER, "instance": bytes(16)} if code == wire.PROTOCOL else OWNER))
    act(thief, client)
    assert thief.ended() == code
    client.works()
    comes_to(server, lanes_open=2, sessions_open=1)


@pytest.mark.parametrize("given", [
    {"name": "owner:2"}, {"instance": bytes(16)}, {"capabilities": wire.CAN_RESUME},
    {"capabilities": 0},
], ids=["another name", "another instance", "no lanes", "nothing"])
def test_a_join_of_another_identity(client, raw, given):
    """The proof is right: who made it had the memory of the process."""
    thief = raw().login(**{**OWNER, **given})
    thief.join(client.home, 3)
    assert thief.ended() == (wire.PROTOCOL if "capabilities" in given else UNKNOWN)
    client.works()


def test_a_join_with_another_key(rig):
    """A server may know dev-token beside its own: the key is another, and the proof is right."""
    (rig.folder / "two-keys").mkdir()
    rig.write_secret("two-keys/token", "0123456789abcdef" * 2)
    server = observed(rig, token_file=None, state="two-keys")
    first = RawClient(server, "dev-token").login(**OWNER, key_id="dev")
    first.bind()
    other = RawClient(server, "0123456789abcdef" * 2).login(**OWNER).join(first, 3)
    assert other.ended() == UNKNOWN
    same = RawClient(server, "dev-token").login(**OWNER, key_id="dev").join(first, 3)
    comes_to(server, lanes_open=1)
    for one in (first, same):
        one.close()


def test_a_join_before_the_login_and_before_the_tunnel(client, raw):
    thief = raw().greet(**OWNER)
    thief.session_id = bytes(16)
    thief.join(client.home, 3)
    assert thief.ended() in (None, wire.PROTOCOL, wire.AUTH_FAILED)
    first = raw().login(**OWNER)        # and no BIND
    raw().login(**OWNER).join(first, 1)
    second = raw().login(**OWNER).join(first, 1)
    assert second.ended() == UNKNOWN
    client.works()


def test_a_join_of_who_has_no_lanes(raw):
    """The first did not agree on them."""
    first = raw().login(**{**OWNER, "capabilities": wire.CAN_RESUME})
    first.bind()
    assert raw().login(**OWNER).join(first, 1).ended() == UNKNOWN


def test_a_second_join_on_one_connection(client):
    lane = client.lanes[2]
    lane.link.join(client.home, 3)
    assert lane.link.ended() == wire.PROTOCOL
    assert ending(lane.visitor)[0] == RST
    for other in client.lanes[:2]:
        other.works()


def test_a_lane_that_is_there_already(client, server):
    """The newer one stays; what the old one had is over, and nothing else is."""
    old = client.lanes[1]
    new = Lane(client.raw().login(**OWNER).join(client.home, 1), 1)
    assert ending(old.visitor)[0] == RST
    assert old.link.ended() is None
    new.visit(client.port)
    for lane in (client.lanes[0], client.lanes[2], new):
        lane.works()
    comes_to(server, lanes_open=2)
    new.visitor.close()


def test_a_lane_has_no_tunnels(client):
    link = client.lanes[1].link
    for kind in (1, 2):
        link.send("BIND", 0, wire.bind(bind_id=5, kind=kind))
        _, _, payload = link.expect("BIND_ERR")
        assert struct.unpack(">I", payload[:4]) == (5,)
    link.send("UNBIND", 0, struct.pack(">I", 1))        # the tunnel is not its own
    client.works()


# ---- RESUME beside ----

def bad_rides():
    """What is refused in the name of the lane, and hurts nobody."""
    yield "random proof", lambda lane, host: lane.ask(host, proof=os.urandom(32))
    yield "key of lane 0", lambda lane, host: lane.ask(host, key=host.home.resume_key)
    yield "used epoch", lambda lane, host: lane.ask(host, epoch=lane.epoch)
    yield "epoch 0", lambda lane, host: lane.ask(host, epoch=0)
    yield "another lane", lambda lane, host: lane.ask(host, lane=5)
    yield "unknown id", lambda lane, host: lane.ask(host, session_id=os.urandom(16))
    yield "id of the host", lambda lane, host: lane.ask(host, session=host.home)


@pytest.mark.parametrize("alive", [True, False], ids=["alive", "lost"])
@pytest.mark.parametrize("act", [pytest.param(act, id=name) for name, act in bad_rides()])
def test_a_ride_that_is_refused(client, act, alive):
    lane, host = client.lanes[1:]
    if not alive:
        lane.lose()
    name, payload = act(lane, host)
    assert (name, payload) == ("RESUME_ERR", struct.pack(">H", UNKNOWN))
    host.works()
    if alive:
        lane.works()
    lane.ride(host)
    client.works()


@pytest.mark.parametrize("lane", [2, 8, 255], ids=["its own", "8", "255"])
def test_a_ride_that_is_a_breach(client, lane):
    """The host's own lane, and those that there are none of."""
    host = client.lanes[2]
    assert client.lanes[1].ask(host, lane=lane)[0] == "ERROR"
    assert ending(host.visitor)[0] == RST
    for other in client.lanes[:2]:
        other.works()


def test_a_ride_of_another_clients_lane(client, raw):
    """The proof is right, the login is of the same name and instance: another tunnel's."""
    other = Lane(raw().login(**OWNER), 0)
    other.home.bind(bind_id=1, port=0)
    assert client.lanes[1].ask(other) == ("RESUME_ERR", struct.pack(">H", UNKNOWN))


def test_a_ride_of_a_session_that_never_joined(client, raw):
    """It is lane 0, and of itself only."""
    other = raw().login(**{**OWNER, "name": "owner:2"})
    other.bind()
    host = client.lanes[1]
    stranger = Lane(other, 0)
    assert stranger.ask(host) == ("RESUME_ERR", struct.pack(">H", UNKNOWN))
    client.works()


def test_a_ride_before_the_old_connection_is_lost(client):
    """It moves, its old connection is cut, and nothing that it says there counts."""
    lane, host = client.lanes[1], client.lanes[2]
    old = lane.link
    lane.visitor.sendall(b"twice?")
    lane.hear(b"twice?")
    lane.ride(host)
    assert is_cut(old)
    client.works()
    lane.resume(client.raw)
    client.works()


def test_a_ride_beside_who_rides(client):
    """Its connection is another's."""
    first, one, two = client.lanes
    one.lose()
    one.ride(first)
    two.lose()
    assert two.ask(one) == ("RESUME_ERR", struct.pack(">H", UNKNOWN))
    two.ride(first)
    client.works()


def test_all_ride_on_one_and_that_one_is_lost(client):
    for host in (client.lanes[0], client.lanes[1], client.lanes[2]):
        for lane in client.lanes:
            if lane is not host and lane.link is not host.link:
                lane.ride(host)
        client.works()
        host.lose()
        for lane in client.lanes:
            lane.resume(client.raw)
        client.works()


# ---- the end of one ----

@pytest.mark.parametrize("number", [1, 2])
def test_a_lane_that_ends_by_error(client, server, number):
    lane = client.lanes[number]
    lane.link.send("ERROR", 0, wire.error(1, "that is that"))
    assert ending(lane.visitor)[0] == RST
    for other in client.lanes:
        if other is not lane:
            other.works()
    comes_to(server, lanes_open=1)


def test_a_rider_that_ends_by_error(client):
    """Beside the host, whose connection goes on."""
    first, one, two = client.lanes
    one.ride(first)
    one.say("ERROR", 0, wire.error(1, "that is that"))
    assert ending(one.visitor)[0] == RST
    first.works()
    two.works()


def test_a_rider_that_breaks_the_protocol(client):
    first, one, two = client.lanes
    one.ride(first)
    one.say("DATA", 77, b"of no stream")
    assert ending(one.visitor)[0] == RST
    assert one.expect("ERROR")
    first.say("HEARTBEAT", 0, bytes(9))
    first.works()
    two.works()


@pytest.mark.parametrize("rides", [False, True])
def test_the_end_of_lane_0(client, server, rides):
    """Ends all, and the port is somebody else's."""
    first, one, two = client.lanes
    if rides:
        first.ride(one)
    first.say("SHUTDOWN", 0, struct.pack(">II", 0, first.stream))
    first.link.close()
    for lane in client.lanes:
        assert ending(lane.visitor)[0] == RST
    assert two.link.ended() is None
    assert rides or one.link.ended() is None
    other = client.raw().login(**{**OWNER, "name": "other:1"})
    assert other.bind(port=client.port) == client.port
    comes_to(server, lanes_open=0, sessions_open=1, sessions_held=0)


def drains(lane):
    """SHUTDOWN: it is not resumed any more, and has a stream."""
    lane.say("SHUTDOWN", 0, struct.pack(">II", 60000, lane.stream))
    lane.works()


def all_over(client, server):
    for lane in client.lanes:
        assert ending(lane.visitor)[0] == RST
    comes_to(server, lanes_open=0)
    assert client.raw().login(**{**OWNER, "name": "other:1"}).bind()
    comes_to(server, sessions_open=1, sessions_held=0)


def test_the_host_of_a_first_that_drains_rides_itself(client, server):
    """The first is over with the connection below it, and all lanes with the first, amid the
    RESUME of one over another."""
    first, one, two = client.lanes
    first.ride(one)
    drains(first)
    one.link.sock.settimeout(limit(10))
    two.link.sock.sendall(two.mark())
    try:
        two.link.resume(one.home, one.epoch + 1, lane=1)
    except ConnectionError:
        pass
    all_over(client, server)


def test_the_host_of_a_first_that_drains_is_resumed(client, server):
    first, one, _ = client.lanes
    first.ride(one)
    drains(first)
    try:
        client.raw().login(**OWNER).resume(one.home, one.epoch + 1, lane=1)
    except ConnectionError:
        pass
    all_over(client, server)


def test_the_host_of_a_first_that_drains_joins_anew(client, server):
    first, one, _ = client.lanes
    first.ride(one)
    drains(first)
    new = client.raw().login(**OWNER).join(client.home, 1)
    assert new.ended() in (None, UNKNOWN)
    all_over(client, server)


# ---- LANE ----

@pytest.mark.parametrize("lane, length", [(8, 4), (1 << 31, 4), (1, 0), (1, 3), (1, 5), (1, 1 << 20)])
def test_a_lane_frame_that_is_a_breach(client, lane, length):
    host = client.lanes[2]
    one = client.lanes[1]
    one.ride(host)
    host.link.sock.sendall(host.mark() + frame("LANE", lane, bytes(min(length, 64)), length=length))
    assert ending(host.visitor)[0] == RST
    # Who rode on it has only lost a connection.
    one.resume(client.raw)
    one.works()
    client.lanes[0].works()


def test_lane_frames_without_the_capability(raw):
    """Frames of an unknown type: skipped, whatever they say."""
    one = raw().login(**{**OWNER, "capabilities": wire.CAN_RESUME})
    for lane, length in ((0, 4), (1, 4), (77, 0), (1, 5000)):
        one.send("LANE", lane, bytes(length))
    assert one.bind()


def test_frames_of_lanes_that_are_not_here(client):
    """They are skipped, also those that would end a session."""
    first, one, two = client.lanes
    one.ride(first)
    for mark in (two.mark(), one.mark(one.epoch + 1), one.mark(0), first.mark(7)):
        first.link.sock.sendall(mark + frame("HELLO", 0, bytes(9)) + frame("DATA", 99, bytes(999)) +
                                frame("DATA", 1, b"", length=0))
    client.works()


FLOODS = {
    "LANE": lambda c: (c.lanes[0].mark() + c.lanes[1].mark()) * 2000,
    "unknown LANE": lambda c: frame("LANE", 5, struct.pack(">I", 1)) * 4000,
    "skipped": lambda c: frame("LANE", 5, struct.pack(">I", 1)) + frame("DATA", 1, bytes(60000)),
    "RESUME": lambda c: c.lanes[0].mark() + frame(
        "RESUME", 0, c.lanes[1].home.session_id + struct.pack(">IB", 99, 1) + bytes(32)) * 500,
    "BIND": lambda c: c.lanes[1].mark() + frame("BIND", 0, wire.bind(bind_id=8)) * 500,
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood(rig, serve, server, client, kind):
    """Memory is bounded, and another tenant notices nothing."""
    client.lanes[1].ride(client.lanes[0])
    data, sock = FLOODS[kind](client), client.lanes[0].link.sock
    with Canary(rig, serve, server, plaintext=True):
        held, end = Resources(server), time.monotonic() + 3
        sock.settimeout(1)
        while time.monotonic() < end:
            try:
                sock.sendall(data)
            except (TimeoutError, ConnectionError):
                break           # it takes no more before its answers are read
        held.peak(16 * MIB)


def test_what_a_client_with_lanes_held_is_given_back(rig, serve, server, raw):
    """Rounds of joins, rides and resets."""
    with Canary(rig, serve, server, plaintext=True):
        held = Resources(server)
        for turn in range(20):
            client = Client(raw, count=4 + turn % 4)
            for lane in client.lanes[2:]:
                lane.ride(client.lanes[turn % 2])
            client.works()
            client.lanes[turn % 2].lose()
            if turn % 2:
                client.lanes[1].resume(raw)
            else:
                client.lanes[0].resume(raw)
            client.home = client.lanes[0]
            client.lanes[0].say("SHUTDOWN", 0, struct.pack(">II", 0, 1))
            client.lanes[0].link.close()
            for lane in client.lanes:
                assert ending(lane.visitor)[0] == RST
                lane.link.close()
            client.close()
        held.settled()
        comes_to(server, lanes_open=0, sessions_held=0, sessions_open=1)


def test_joins_are_no_way_around_max_sessions(rig):
    """A lane is none; who has no tunnel has no lanes, and each number is there once."""
    server = observed(rig, max_sessions=1)
    made = []

    def raw():
        made.append(RawClient(server, server.token()))
        return made[-1]
    client = Client(raw, count=8)
    before = server.descriptors()
    for turn in range(30):
        raw().login(**OWNER).join(client.home, 1 + turn % 7)
    until(lambda: server.descriptors() <= before, what="the old lanes' end")
    comes_to(server, lanes_open=7)
    other = raw().login(**{**OWNER, "name": "other:1", "instance": bytes(16)})
    other.send("BIND", 0, wire.bind())
    assert other.expect("BIND_ERR")
    client.lanes[0].works()
    client.close()
    for one in made:
        one.close()
