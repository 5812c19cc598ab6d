"""Several connections between one client and the server, and how they end: who drains, is killed,
is silent, has no hold, or meets a server without them."""
import json
import signal
import struct
import time
import urllib.request

import pytest

from kit import limit, ports, until, wire
from kit import network as net
from kit.network import SILENCE
from kit.oracles import observed
from kit.origin import echo
from kit.place import DEAD, HOLD, Place, echoes, is_open, scaled
from kit.stream import RST, ending, reset
from kit.wire import RawServer, frame

CAN = wire.CAN_RESUME | wire.CAN_LANES
UNKNOWN = 12                    # no such session


def stats_of(port):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/api/stats", timeout=limit(10)) as answer:
        return json.loads(answer.read())


class Lanes(Place):
    """A place whose client has several lanes, all of them up, and some visitors on each."""

    def __init__(self, rig, local, lanes=3, visitors=2, server=None, **given):
        self.admin = ports.one()
        more = {"admin": f"127.0.0.1:{self.admin}", **(server or {})}
        super().__init__(rig, local, lanes=lanes, server=more, **given)
        self.lanes = lanes
        self.all_up()
        self.visitors = [self.visitor() for _ in range(visitors * lanes)]
        self.work()

    def all_up(self):
        """Each has joined, and goes over a connection of its own."""
        until(lambda: self.network.count().live == self.lanes and self.stats() ==
              [1, self.lanes - 1, 0], 20, "a connection for each lane")

    def stats(self):
        found = stats_of(self.admin)
        return [found[name] for name in ("sessions_open", "lanes_open", "sessions_held")]

    def work(self):
        for s in self.visitors:
            echoes(s)

    def without(self, number):
        """This lane has no connection of its own, and gets none."""
        self.network.new("refuse")
        self.network.cut_at(net.RST, 1, conn=number + 1)
        self.work()
        until(lambda: self.network.count().live == self.lanes - 1, what="the end of one")

    def say_goodbye(self):
        """One visitor after the other, each after it was still served."""
        for s in self.visitors:
            self.work()
            s.close()
            self.visitors = self.visitors[1:]

    def all_reset(self, seconds):
        for s in self.visitors:
            assert ending(s, seconds)[0] == RST


@pytest.mark.parametrize("lost", [None, 0, 1, 2])
@pytest.mark.parametrize("who", ["server", "client"])
def test_who_drains_waits_for_the_streams_of_all_lanes(rig, serve, who, lost):
    """Also for those of a lane that rides on another, which may have none of its own any more."""
    place = Lanes(rig, serve(echo), drain="60s", server={"drain": "60s"})
    if lost is not None:
        place.without(lost)
    proc = getattr(place, who)
    proc.signal(signal.SIGTERM)
    proc.wait_err("Shutting down")
    place.say_goodbye()
    assert proc.wait_exit(20) == 0
    if who == "server":
        place.client.signal(signal.SIGTERM)
        assert place.client.wait_exit() == 0


@pytest.mark.parametrize("lost", [None, 0, 2])
def test_the_time_to_drain_is_over(rig, serve, lost):
    place = Lanes(rig, serve(echo), drain="1s")
    if lost is not None:
        place.without(lost)
    place.client.signal(signal.SIGTERM)
    assert place.client.wait_exit(15) == 0
    place.all_reset(15)


def test_a_client_that_stops_leaves_nothing(rig, serve):
    """In good order: no session of it was lost, none is held, no lane is open."""
    server = observed(rig)
    for lanes in (2, 8):
        client = rig.client(server, serve(echo), lanes=lanes, plaintext=True)
        until(lambda: server.stats()["lanes_open"] == lanes - 1, 20, "the lanes")
        client.signal(signal.SIGTERM)
        assert client.wait_exit() == 0
        until(lambda: server.stats()["sessions_open"] == 0, what="the end")
        stats = server.stats()
        names = ("lanes_open", "sessions_held", "sessions_lost", "resumes_refused")
        assert [stats[n] for n in names] == [0, 0, 0, 0]


@pytest.mark.parametrize("when", ["before", "dialling", "riding", "all lost"])
def test_ctrl_c_at_any_time(rig, serve, when):
    """While a lane is being connected, rides or has lost everything."""
    place = (Place if when == "before" else Lanes)(rig, serve(echo), lanes=4)
    if when == "dialling":
        place.network.new("silent")
        before = place.connections
        place.network.cut_at(net.RST, 1, conn=2)
        with place.visitor() as one, place.visitor() as two:
            echoes(one)
            echoes(two)
        until(lambda: place.connections > before, what="an attempt")
    if when == "riding":
        place.network.new("refuse")
        with place.visitor() as one, place.visitor() as two:
            place.network.cut_at(net.RST, 1, conn=1)
            echoes(one)
            echoes(two)
    if when == "all lost":
        place.down(net.RST)
    place.client.signal(signal.SIGINT)
    assert place.client.wait_exit() == 0


def test_who_rides_is_in_no_haste(rig, serve):
    """For a connection of its own the uplink asks ever more seldom; once it rides no more, at
    once."""
    place = Lanes(rig, serve(echo), lanes=2, log_level="debug")
    since = len(place.client.err.text)
    place.without(0)
    time.sleep(6)
    assert place.client.err.text.count(": trying", since) <= 10 # Every 250 ms it would be 24.
    place.work()
    place.network.cut(net.RST)
    place.network.restore()
    place.work()


def test_a_client_that_was_killed(rig, serve):
    """Its visitors see RST when the hold is over, those of all lanes."""
    place = Lanes(rig, serve(echo), fast=True)
    place.client.signal(signal.SIGKILL)
    place.client.wait_exit()
    assert all(is_open(s) for s in place.visitors)
    place.all_reset(scaled(HOLD) + 20)


def test_a_server_that_was_killed_and_comes_back(rig, serve):
    place = Lanes(rig, serve(echo))
    place.server.signal(signal.SIGKILL)
    place.server.wait_exit()
    place.all_reset(20)
    place.start_server(admin=f"127.0.0.1:{place.admin}")
    place.client.wait_err("Connected successfully", 30)
    place.all_up()
    place.visitors = [place.visitor() for _ in range(6)]
    place.work()
    place.say_goodbye()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_lane_that_is_silent_while_others_live(rig, serve, number):
    """Its streams go on over another when it is known to be dead."""
    place = Lanes(rig, serve(echo), fast=True)
    place.network.new("refuse")
    place.network.cut_at(SILENCE, 1, conn=number + 1)
    place.work()                        # the visitors' patience is more than the dead time
    place.network.new("forward")
    until(lambda: place.connections >= 4, 20 + scaled(DEAD), "a new one")
    place.work()
    assert "Session lost" not in place.client.err.text


def test_eight_lanes(rig, serve):
    place = Lanes(rig, serve(echo), lanes=8)
    for number in (0, 7, 3):
        place.network.cut_at(net.RST, 1, conn=number + 1)
        place.work()
    place.all_up()
    place.work()


def test_a_server_without_a_hold(rig, serve):
    """What a lane has in flight could not go on over another: one connection it is."""
    place = Place(rig, serve(echo), lanes=4, server={"resume_hold": "0"})
    place.client.wait_err("--lanes: one connection it is; the server holds no sessions")
    with place.visitor() as s:
        echoes(s)
    assert place.connections == 1


@pytest.mark.parametrize("against", [["--no-reconnect"], ["--resume-hold", "0"]])
def test_a_client_without_a_hold(rig, against):
    done = rig.run("client", "--local", "1", "--lanes", "2", *against)
    assert done.code == 2
    assert f"--lanes: it needs sessions that are resumed, against {against[0]}" in done.err.text


def test_a_lane_that_is_silent_while_others_answer(rig, serve):
    """It is not waited for as long as one that is alone."""
    place = Lanes(rig, serve(echo), fast=True, log_level="debug")
    place.network.cut_at(SILENCE, 1, conn=2)
    place.client.wait_err("lane 1 lost its connection: silent, while another lane answers",
                          scaled(20))
    place.work()


def test_lanes_that_cannot_be_had_are_told_of(rig, serve):
    place = Lanes(rig, serve(echo))
    place.without(2)
    place.client.wait_err("Lane 3 of 3 has no connection of its own: Connection refused", 20)
    place.network.restore()
    place.client.wait_err("Lane 3 of 3 has its connection", 60)


def test_streams_of_all_lanes_are_counted(rig, serve):
    place = Lanes(rig, serve(echo))
    place.outage(net.RST, 2)
    place.client.wait_err("Connection resumed, away .*, 6 streams kept", 20)
    place.server.wait_err("is back after .*, 6 streams", 20)
    assert place.server.err.text.count("lost its connection") == 1


@pytest.mark.parametrize("number", [0, 1])
def test_the_way_back_is_lost_again_and_again(rig, serve, number):
    """The connections that a lane would move to die in the login, or after RESUME and before its
    answer, while another carries it: no stream of it waits for that."""
    place = Lanes(rig, serve(echo), plaintext=True)
    for conn in range(4, 24):
        place.network.cut_at(net.RST, 300 + 15 * conn, conn=conn)
    place.network.cut_at(net.RST, 1, conn=number + 1)
    while place.connections < 24:
        began = time.monotonic()
        place.work()
        assert time.monotonic() - began < limit(15)
    place.all_up()
    place.say_goodbye()
    assert "Session lost" not in place.client.err.text


@pytest.fixture
def false(rig):
    with open(rig.token_file) as f:
        return rig.keep(RawServer(f.read().strip()))


def again(false, capabilities=wire.CAN_RESUME):
    """The server does not know the session any more: a new one with the same port."""
    own = false.login(capabilities=capabilities)
    own.expect("RESUME")
    own.send("RESUME_ERR", 0, struct.pack(">H", UNKNOWN))
    _, _, payload = own.expect("BIND")
    own.send("BIND_OK", 0, payload[:4] + struct.pack(">HB", 12345, 0) + wire.short(""))
    return own


def serves(raw):
    raw.send("OPEN", 1, wire.open_())
    raw.send("DATA", 1, b"hello")
    assert raw.expect("DATA") == ("DATA", 1, b"hello")


def test_a_server_without_lanes(rig, false, serve):
    """One warning, one connection, also after that one is lost."""
    service = serve(echo)
    service.expect_probe()
    client = rig.client(("127.0.0.1", false.port), service, plaintext=True, wait=False, lanes=4,
                        token_file=rig.token_file)
    raw = false.tunnel(port=12345, capabilities=wire.CAN_RESUME)
    client.forwarding()
    client.wait_err("knows no lanes")
    false.listener.settimeout(3)
    with pytest.raises(TimeoutError):
        false.accept()
    serves(raw)
    false.listener.settimeout(limit(20))
    reset(raw.sock)
    serves(again(false))
    client.wait_err("Connected successfully")
    assert client.err.text.count("knows no lanes") == 1


def test_a_lane_0_that_may_not_ride(rig, false, serve):
    """The server does not have it: then by a connection of its own, and at last without it."""
    service = serve(echo)
    service.expect_probe()
    client = rig.client(("127.0.0.1", false.port), service, plaintext=True, wait=False, lanes=2,
                        token_file=rig.token_file)
    raw = false.tunnel(port=12345, capabilities=CAN)
    client.forwarding()
    lane = false.login(capabilities=CAN)
    lane.expect("JOIN")
    reset(raw.sock)
    lane.expect("RESUME")
    lane.sock.sendall(frame("LANE", 0, struct.pack(">I", 2)) +
                      frame("RESUME_ERR", 0, struct.pack(">H", UNKNOWN)) +
                      frame("LANE", 1, struct.pack(">I", 1)))
    again(false, CAN)
    client.wait_err("Connected successfully")
