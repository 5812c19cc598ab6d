"""The connection between client and server dies, and no stream notices.

GOTUNNEL_TEST_FLOOD_MIB and GOTUNNEL_TEST_CUTS make the floods larger.
"""
import os
import signal
import socket
import struct
import threading
import time

import pytest

from kit import SANITIZED, limit, ports, until
from kit.flood import SIZE, Flood
from kit.network import BOTH, DOWN, FIN, KINDS, LOSS, RST, SILENCE, UP
from kit.place import CUTS, DEAD, HOLD, Place, echoes, is_open, scaled
from kit.stream import FIN as SAW_FIN
from kit.stream import RST as SAW_RST
from kit.stream import (MIB, Checker, connect, ending, flushed, read_exactly, receive, reset,
                        send_counters)

SEED = int(os.environ.get("GOTUNNEL_TEST_SEED", "35"))
STREAM = 0x2E5


@pytest.fixture(params=["encrypted", "plaintext"])
def plaintext(request):
    return True if request.param == "plaintext" else None


def echo(sock):
    """Sends back what comes; how it ended."""
    while True:
        try:
            data = sock.recv(65536)
            if not data:
                return SAW_FIN
            sock.sendall(data)
        except ConnectionError:
            return SAW_RST


# ---- bytes ----

@pytest.mark.parametrize("kinds", [(RST,), (FIN,), (SILENCE,), KINDS], ids="+".join)
def test_16_streams_both_ways_and_many_cuts(rig, plaintext, kinds):
    """Case 35: a third of the cuts falls into the login or RESUME of the connection after."""
    # A silence takes its 25 s, even scaled: fewer of them.
    count = CUTS // 5 if kinds == (SILENCE,) else CUTS // 2 if SILENCE in kinds else CUTS
    flood = rig.keep(Flood())
    place = Place(rig, flood, fast=SILENCE in kinds, plaintext=plaintext)
    place.network.storm(kinds, 1, 2 * 16 * SIZE // count, count, SEED, early=(33, 4000))
    flood.go(place.host, place.port)
    assert flood.faults(120 + SIZE // MIB) == []
    said = place.network.count()
    assert said.cuts == count
    assert said.accepted > count


@pytest.mark.parametrize("kind", [RST, FIN])
def test_cuts_in_quick_succession(rig, kind):
    """Every connection dies in its first bytes, twenty in a row."""
    flood = rig.keep(Flood())
    place = Place(rig, flood)
    place.network.storm(kind, 1, 100000, CUTS, SEED, early=(95, 2500))
    flood.go(place.host, place.port)
    assert flood.faults(120 + SIZE // MIB) == []
    assert place.network.count().cuts == CUTS


@pytest.mark.parametrize("kind", KINDS)
def test_cuts_over_a_bad_network(rig, kind):
    """Slices, delay and a slow link; after each cut there is no network for a while."""
    count = CUTS // 10 if kind == SILENCE else CUTS // 2
    flood = rig.keep(Flood(size=SIZE // 4))
    place = Place(rig, flood, fast=kind == SILENCE)
    place.network.delay(10, 5)
    place.network.rate(16 * MIB, 50)
    place.network.slice(20000)
    place.network.storm(kind, 1, 2 * 16 * (SIZE // 4) // count, count, SEED, early=(20, 4000),
                        outage=(300, "refuse"))
    flood.go(place.host, place.port)
    assert flood.faults(120 + SIZE // MIB) == []
    assert place.network.count().cuts == count


def frame_ends(data):
    """Where the frames of a recorded direction end."""
    at, ends = 0, []
    while at + 10 <= len(data):
        at += 10 + struct.unpack_from(">I", data, at + 6)[0]
        ends.append(at)
    return ends


def around(ends, most):
    return sorted({at for end in ends for at in (end - 1, end, end + 1) if 0 <= at <= most})


def talk(place):
    """A small stream with every frame in it."""
    with place.visitor() as s:
        echoes(s, b"hello")
        s.shutdown(socket.SHUT_WR)
        assert ending(s)[0] == SAW_FIN


def test_the_page_of_a_client_without_a_service(rig):
    """It is on its way when the connection is lost, for longer than it has to be read."""
    place = Place(rig, f"http://127.0.0.1:{ports.one()}")
    with place.visitor() as s:
        place.network.pause(UP)
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1)
        place.down(RST)
        place.network.go(UP)
        time.sleep(7)
        place.up()
        assert s.recv(100).startswith(b"HTTP/1.1 502 ")


def test_a_way_of_more_than_a_second(rig, serve):
    """What waits for an answer waits as long as the way there and back takes."""
    place = Place(rig, serve(echo))
    place.client.stop()
    place.network.delay(700)
    place.client = place.start_client()
    with place.visitor() as s:
        echoes(s)
        place.network.cut(RST)
        echoes(s)
    assert "Session lost" not in place.client.err.text


@pytest.mark.parametrize("kind", [RST, FIN])
@pytest.mark.parametrize("way", [UP, DOWN])
def test_cuts_around_each_frame_of_a_stream(rig, serve, tmp_path, kind, way):
    service = serve(echo)
    place = Place(rig, service, plaintext=True, record=tmp_path / "talk")
    record = tmp_path / f"talk.1.{way}"
    before = place.network.count()[way]
    talk(place)
    size = until(lambda: (record.stat().st_size - before) if
                 place.network.count()[way] == record.stat().st_size else 0, what="the record")
    ends = [at - before for at in frame_ends(record.read_bytes()) if at > before]
    places = around([0, *ends], size)
    assert len(places) >= 8
    talks = 1
    for number, at in enumerate(places):
        place.network.cut_at(kind, at, counted=way)
        while place.network.count().cuts == number:
            talk(place)             # the last frames of one may come with the next
            talks += 1
            assert talks < 4 * len(places)
        assert service.accepted == talks


@pytest.mark.parametrize("kind", [RST, FIN])
@pytest.mark.parametrize("way", [UP, DOWN])
def test_cuts_around_each_frame_of_a_resume(rig, serve, tmp_path, kind, way):
    service = serve(echo)
    place = Place(rig, service, plaintext=True, record=tmp_path / "talk")
    with place.visitor() as s:
        echoes(s)
        place.network.cut(RST)
        echoes(s)
        resume = (tmp_path / f"talk.2.{way}").read_bytes()
        ends = frame_ends(resume)
        types = [resume[at + 1] for at in (0, *ends[:-1])]
        assert 0x0E in types, "no STATE"
        last = ends[len(types) - 1 - types[::-1].index(0x0E)]
        for at in around([0, *(end for end in ends if end <= last)], last + 1):
            said = place.network.count()
            place.network.cut_at(kind, at, conn=said.accepted + 1, counted=way)
            place.network.cut(RST)
            echoes(s)
            until(lambda: place.network.count().cuts == said.cuts + 2, 10, "the cut")
            echoes(s)
    assert service.accepted == 1


def test_100_rounds_leave_nothing(rig, serve):
    service = serve(echo)
    place = Place(rig, service)
    with place.visitor() as s:
        echoes(s)
        place.network.cut(RST)
        echoes(s)
        before = place.descriptors()
        memory = [p.rss() for p in (place.server, place.client)]
        for number in range(100):
            s.sendall(b"x" * 1000)
            place.network.cut((RST, FIN)[number % 2])
            assert read_exactly(s, 1000) == b"x" * 1000
        until(lambda: all(n <= b for n, b in zip(place.descriptors(), before)), 15, "the descriptors")
        # A sanitizer keeps what was freed for a while.
        for proc, was in zip((place.server, place.client), memory):
            assert proc.rss() < was + (256 if SANITIZED else 8) * MIB
    assert service.accepted == 1


# ---- silence ----

@pytest.mark.parametrize("way", [UP, DOWN, BOTH])
@pytest.mark.parametrize("seconds", [5, 17])
def test_a_short_silence_is_sat_out(rig, serve, seconds, way):
    """Nothing at all happens: not even a new connection. (A machine that is busy adds to it.)"""
    service, factor = serve(echo), 2
    place = Place(rig, service, fast=factor)
    with place.visitor() as s:
        echoes(s)
        place.down(SILENCE, way)
        s.sendall(b"s" * 1000)
        time.sleep(seconds / factor)
        place.network.heal()
        assert read_exactly(s, 1000) == b"s" * 1000
        echoes(s)
    assert place.connections == 1
    assert service.accepted == 1


@pytest.mark.parametrize("back", ["heal", "restore"])
@pytest.mark.parametrize("kind, way", [(SILENCE, UP), (SILENCE, DOWN), (SILENCE, BOTH),
                                       (LOSS, BOTH)])
def test_a_long_silence_is_survived(rig, serve, kind, way, back):
    """45 s: dead after 25 s, and resumed. After "heal" the old connection speaks, too: nobody
    listens to it. (When packets get lost, the kernels do not acknowledge either.)"""
    service = serve(echo)
    place = Place(rig, service, fast=True)
    with place.visitor() as s, place.visitor() as idle:
        echoes(s)
        echoes(idle)
        place.down(kind, way)
        s.sendall(b"s" * 100000)
        time.sleep(scaled(45))
        assert is_open(s) and is_open(idle)
        place.network.tell(back)
        assert read_exactly(s, 100000) == b"s" * 100000
        echoes(s)
        echoes(idle)
    assert place.connections >= 2
    assert service.accepted == 2


@pytest.mark.parametrize("way", [UP, DOWN, BOTH])
def test_a_silence_longer_than_the_hold(rig, serve, way):
    """Case 36: 90 s: both ends see RST when 25 + 60 s are over; the tunnel itself comes back."""
    service = serve(echo)
    place = Place(rig, service, fast=True)
    with place.visitor() as s:
        began = time.monotonic()
        echoes(s)
        place.down(SILENCE, way)
        assert ending(s, scaled(90) + 15)[0] == SAW_RST
        assert time.monotonic() - began > scaled(DEAD + HOLD) - 0.3
        assert service.result(scaled(90) + 15) == SAW_RST
    place.up()
    place.client.wait_err("Connected successfully, away .*, same address", 60)
    with place.visitor() as s:
        echoes(s)


def test_an_owner_does_not_wait_for_a_silent_session_of_its_own(rig, serve):
    """Its machine crashed behind a dead network: its new login has the port at once."""
    service = serve(echo)
    place = Place(rig, service)
    with place.visitor() as s:
        echoes(s)
        place.down(SILENCE)
        place.client.kill()
        started = time.monotonic()
        again = place.start_client(direct=True)
        assert again.port == place.port
        assert time.monotonic() - started < DEAD
        assert ending(s)[0] == SAW_RST
        with place.visitor() as new:
            echoes(new)


# ---- who comes and goes meanwhile ----

@pytest.mark.parametrize("kind", KINDS)
def test_visitors_that_come_meanwhile_are_served_after_it(rig, serve, kind):
    service = serve(echo)
    # They wait for 10 s: it must be back by then.
    place = Place(rig, service, fast=2 if kind == SILENCE else False)
    place.detach(kind)
    socks = [place.visitor() for _ in range(20)]
    for number, s in enumerate(socks):
        s.sendall(b"%05d" % number)
    assert all(is_open(s) for s in socks)
    assert service.accepted == 0
    place.up()
    for number, s in enumerate(socks):
        assert read_exactly(s, 5) == b"%05d" % number
        s.close()
    assert service.accepted == 20


def test_visitors_that_come_meanwhile_wait_10_s(rig, serve):
    """Then they see RST; who was there before the cut stays."""
    place = Place(rig, serve(echo), fast=True)
    with place.visitor() as old:
        echoes(old)
        place.detach(RST)
        began = time.monotonic()
        with place.visitor() as s:
            assert ending(s, 30)[0] == SAW_RST
            assert time.monotonic() - began > scaled(10) - 0.2
        assert is_open(old)
        place.up()
        echoes(old)


def test_64_visitors_wait_and_the_next_one_behind_them(rig, serve):
    """The 65th is not accepted before one of them is gone, so its 10 s begin later."""
    place = Place(rig, serve(echo))
    place.detach(RST)
    socks = [place.visitor() for _ in range(64)]
    time.sleep(0.1)
    last = place.visitor()
    for s in socks:
        assert ending(s, 30)[0] == SAW_RST
        s.close()
    assert is_open(last)
    place.up()
    echoes(last)
    last.close()


@pytest.mark.parametrize("kind", [RST, FIN])
def test_a_visitor_that_leaves_while_it_waits(rig, serve, kind):
    """Nobody is dialled for who is gone, or at most to be told so; the others are served."""
    service = serve(echo)
    place = Place(rig, service)
    place.detach(kind)
    gone, stays = place.visitor(), place.visitor()
    reset(gone)
    time.sleep(0.1)
    place.up()
    echoes(stays)
    stays.close()
    with place.visitor() as s:
        echoes(s)


@pytest.mark.parametrize("kind", [RST, FIN])
def test_a_stream_that_the_visitor_half_closed(rig, serve, kind):
    heard, go = threading.Event(), threading.Event()

    def handler(sock):
        checker = Checker(STREAM)
        how = receive(sock, checker)
        heard.set()
        go.wait(limit(30))
        send_counters(sock, STREAM + 1, 2 * MIB)
        return how, checker.fault, checker.count

    service = serve(handler)
    place = Place(rig, service)
    with place.visitor() as s:
        send_counters(s, STREAM, 100003)
        s.shutdown(socket.SHUT_WR)
        assert heard.wait(limit(10))
        place.detach(kind)
        go.set()
        time.sleep(0.2)
        place.up()
        checker = Checker(STREAM + 1)
        assert (receive(s, checker), checker.fault, checker.count) == (SAW_FIN, None, 2 * MIB)
    assert service.result() == (SAW_FIN, None, 100003)


@pytest.mark.parametrize("kind", [RST, FIN])
def test_a_stream_that_the_service_half_closed(rig, serve, kind):
    def handler(sock):
        send_counters(sock, STREAM, 100003)
        sock.shutdown(socket.SHUT_WR)
        checker = Checker(STREAM + 1)
        return receive(sock, checker), checker.fault, checker.count

    service = serve(handler)
    place = Place(rig, service)
    with place.visitor() as s:
        checker = Checker(STREAM)
        assert (receive(s, checker), checker.fault, checker.count) == (SAW_FIN, None, 100003)
        place.detach(kind)
        writer = threading.Thread(target=lambda: (send_counters(s, STREAM + 1, 2 * MIB),
                                                  s.shutdown(socket.SHUT_WR)))
        writer.start()
        time.sleep(0.2)
        place.up()
        assert service.result() == (SAW_FIN, None, 2 * MIB)
        writer.join()


@pytest.mark.parametrize("how", [SAW_FIN, SAW_RST])
@pytest.mark.parametrize("kind", KINDS)
def test_a_visitor_that_ends_meanwhile(rig, serve, kind, how):
    """The service sees the bytes and the ending after the resume, and not before."""
    def handler(sock):
        checker = Checker(STREAM)
        return receive(sock, checker), checker.fault, checker.count

    service = serve(handler)
    place = Place(rig, service, fast=kind == SILENCE)
    s = place.visitor()
    send_counters(s, STREAM, 50000)
    until(lambda: service.accepted == 1, what="the visitor")
    place.detach(kind)
    send_counters(s, STREAM, 50000, start=50000)
    if how == SAW_RST:
        flushed(s)              # a reset takes away what the server's kernel does not have
        reset(s)
    else:
        s.shutdown(socket.SHUT_WR)
    time.sleep(1.5)             # longer than last bytes are waited for on a living tunnel
    assert service.results.empty()
    place.up()
    assert service.result() == (how, None, 100000)
    if how == SAW_FIN:
        assert ending(s)[0] == SAW_FIN
        s.close()


@pytest.mark.parametrize("how", [SAW_FIN, SAW_RST])
@pytest.mark.parametrize("kind", KINDS)
def test_a_service_that_ends_meanwhile(rig, serve, kind, how):
    go = threading.Event()

    def handler(sock):
        send_counters(sock, STREAM, 50000)
        go.wait(limit(60))
        send_counters(sock, STREAM, 50000, start=50000)
        if how == SAW_RST:
            flushed(sock)
            reset(sock)

    place = Place(rig, serve(handler), fast=kind == SILENCE)
    with place.visitor() as s:
        checker = Checker(STREAM)
        receive(s, checker, most=50000)
        place.detach(kind)
        go.set()
        assert is_open(s, 1.5)
        place.up()
        assert (receive(s, checker), checker.fault, checker.count) == (how, None, 100000)


@pytest.mark.parametrize("kind", [RST, FIN])
def test_both_end_meanwhile(rig, serve, kind):
    """Each has sent its last bytes and its end: both get the other's."""
    go = threading.Event()

    def handler(sock):
        assert read_exactly(sock, 1) == b"a"
        sock.sendall(b"b")
        go.wait(limit(30))
        send_counters(sock, STREAM, 30000)
        sock.shutdown(socket.SHUT_WR)
        checker = Checker(STREAM + 1)
        return receive(sock, checker), checker.fault, checker.count

    service = serve(handler)
    place = Place(rig, service)
    with place.visitor() as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"b"
        before = place.descriptors()
        place.detach(kind)
        go.set()
        send_counters(s, STREAM + 1, 30000)
        s.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        place.up()
        checker = Checker(STREAM)
        assert (receive(s, checker), checker.fault, checker.count) == (SAW_FIN, None, 30000)
    assert service.result() == (SAW_FIN, None, 30000)
    until(lambda: all(n < b for n, b in zip(place.descriptors(), before)), 15, "the descriptors")


def test_a_reader_that_stands_still_over_a_cut(rig, serve):
    """What fills the windows is kept, and comes once, when it is read at last."""
    def handler(sock):
        try:
            send_counters(sock, STREAM, 16 * MIB)
        except ConnectionError:
            pass                # the other one leaves in the middle

    place = Place(rig, serve(handler))
    with place.visitor(receive_buffer=8192) as s, place.visitor() as other:
        checker = Checker(STREAM)
        receive(s, checker, most=1000)
        time.sleep(0.3)
        for kind in (RST, FIN, RST):
            place.outage(kind, 0.3)
            assert read_exactly(other, 1) is not None
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert (receive(s, checker), checker.fault, checker.count) == (SAW_FIN, None, 16 * MIB)


# ---- where the connection comes from, and who ends ----

@pytest.mark.parametrize("kind", KINDS)
def test_the_connection_returns_from_another_address(rig, serve, plaintext, kind):
    service = serve(echo)
    place = Place(rig, service, fast=kind == SILENCE, plaintext=plaintext)
    with place.visitor() as s:
        echoes(s)
        place.network.tell("source", "127.0.0.2")
        place.detach(kind)
        place.up()
        echoes(s)
    assert place.connections >= 2
    assert service.accepted == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["server", "client"])
def test_sigterm_while_the_connection_is_away(rig, serve, which, kind):
    """The drain is not the hold; what cannot be finished is reset. Exit 0."""
    service = serve(echo)
    # The hold is longer than any exit is waited for.
    place = Place(rig, service, fast=kind == SILENCE, drain="2s", resume_hold="1h",
                  server={"drain": "2s", "resume_hold": "1h"})
    with place.visitor() as s:
        echoes(s)
        place.detach(kind)
        assert is_open(s)
        proc = getattr(place, which)
        proc.signal(signal.SIGTERM)
        assert proc.wait_exit() == 0
        if which == "server":
            assert ending(s)[0] == SAW_RST
        else:
            assert service.result() == SAW_RST


@pytest.mark.parametrize("kind", [RST, FIN])
@pytest.mark.parametrize("whose", ["server", "client", "both"])
def test_no_hold(rig, serve, whose, kind):
    """--resume-hold 0 on one end is enough: RST at once at both, then a new session."""
    service = serve(echo)
    place = Place(rig, service, resume_hold="0" if whose != "server" else None,
                  server={"resume_hold": "0" if whose != "client" else None})
    with place.visitor() as s:
        echoes(s)
        started = time.monotonic()
        place.network.cut(kind)
        assert ending(s)[0] == SAW_RST
        assert service.result() == SAW_RST
        assert time.monotonic() - started < HOLD
    place.client.wait_err("Connected successfully, away .*, same address", 30)
    with place.visitor() as s:
        echoes(s)


def test_a_short_hold(rig, serve):
    service = serve(echo)
    place = Place(rig, service, resume_hold="8s")
    with place.visitor() as s:
        echoes(s)
        place.outage(RST, 0.5)
        echoes(s)
        began = time.monotonic()
        place.down(RST)
        assert ending(s)[0] == SAW_RST
        assert time.monotonic() - began > 7.8
        assert service.result() == SAW_RST


@pytest.mark.parametrize("plain", [None, True], ids=["encrypted", "plaintext"])
def test_the_server_is_killed_and_started_again(rig, serve, plain):
    """It knows the session no more: old streams are reset, the tunnel is back on its port."""
    service = serve(echo)
    place = Place(rig, service, plaintext=plain)
    socks = [place.visitor() for _ in range(20)]
    for s in socks:
        echoes(s)
    place.server.kill()
    for s in socks:
        assert ending(s)[0] == SAW_RST
        s.close()
    place.start_server()
    place.client.wait_err("Connected successfully, away .*, same address", 30)
    for _ in socks:
        assert service.result() == SAW_RST
    with place.visitor() as s:
        echoes(s)
    assert service.accepted == 21


def test_a_killed_client_is_waited_for_until_the_hold_is_over(rig, serve):
    place = Place(rig, serve(echo), resume_hold="8s")
    with place.visitor() as s:
        echoes(s)
        started = time.monotonic()
        place.client.kill()
        assert is_open(s, 2)
        assert ending(s)[0] == SAW_RST
        assert time.monotonic() - started > 7.8


def test_a_killed_client_that_comes_again_ends_its_old_streams(rig, serve):
    """It cannot resume what it has forgotten; its users need not wait for the hold."""
    place = Place(rig, serve(echo))
    with place.visitor() as s:
        echoes(s)
        place.client.kill()
        assert is_open(s, 0.3)
        started = time.monotonic()
        again = place.start_client()
        assert again.port == place.port
        assert ending(s)[0] == SAW_RST
        assert time.monotonic() - started < HOLD
        with place.visitor() as new:
            echoes(new)


def test_another_client_does_not_get_a_port_that_is_held(rig, serve):
    service = serve(echo)
    place = Place(rig, service)
    with place.visitor() as s:
        echoes(s)
        place.detach(RST)
        other = rig.client(place.server, service, name="other:1", state="other")
        assert other.port != place.port
        with connect("127.0.0.1", other.port) as new:
            echoes(new)
        place.up()
        echoes(s)


@pytest.mark.parametrize("which", ["server", "client"])
def test_a_process_that_sleeps_longer_than_the_peer_waits(rig, serve, which):
    """Stopped for 40 s: the other end lets the connection go, and the streams are resumed."""
    service = serve(echo)
    place = Place(rig, service, fast=True)
    with place.visitor() as s:
        echoes(s)
        proc = getattr(place, which)
        proc.signal(signal.SIGSTOP)
        time.sleep(scaled(40))
        proc.signal(signal.SIGCONT)
        echoes(s)
    assert place.connections >= 2
    assert service.accepted == 1


def test_a_way_back_that_is_slower(rig, serve):
    """A login takes longer than an attempt's patience for the old way: it grows."""
    place = Place(rig, serve(echo))
    with place.visitor() as s:
        echoes(s)
        place.network.delay(200)
        place.network.cut(RST)
        echoes(s)
