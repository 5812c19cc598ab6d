"""The network that tests break on purpose: it is a plain path until told, then does as told."""
import os
import re
import socket
import struct
import threading
import time

import pytest

from kit import limit, until
from kit.flood import Flood
from kit.network import BOTH, DOWN, FIN, KINDS, LOSS, RST, SILENCE, UP, Network
from kit.origin import Origin, echo, sink, source
from kit.relay import Relay
from kit.stream import (MIB, Checker, connect, counters, ending, flushed, read_exactly, receive,
                        reset, send_counters)
from kit.stream import FIN as SAW_FIN
from kit.stream import RST as SAW_RST

pytestmark = pytest.mark.path
SEED = 0x5EED


@pytest.fixture
def network_to():
    """network_to(handler): a network, and the origin behind it."""
    started = []

    def start(handler):
        service = Origin(quietly(handler))
        network = Network((service.host, service.port))
        started.extend([network, service])
        return network, service

    yield start
    for thing in started:
        thing.close()


def quietly(handler):
    """A handler whose connection may be cut."""
    def run(sock):
        try:
            return handler(sock)
        except OSError as error:
            return error
    return run


def call(network, **given):
    return connect(network.host, network.port, **given)


def download(network, size=MIB):
    with call(network) as s:
        checker = Checker(SEED)
        return receive(s, checker), checker.fault, checker.count


def nothing_comes(sock, seconds=0.3):
    sock.settimeout(seconds)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(limit(30))


def test_a_download(network_to):
    network, _ = network_to(source(SEED, 20 * MIB))
    assert download(network) == (SAW_FIN, None, 20 * MIB)
    said = until(lambda: network.events("ended"), what="the end")[0]
    assert (said.how, said.down, said.up) == ("fin", 20 * MIB, 0)
    assert network.count().live == 0


def test_half_close_and_all_that_comes_after_it(network_to):
    def late(sock):
        checker = Checker(SEED)
        how = receive(sock, checker)
        send_counters(sock, SEED, MIB)
        return how, checker.fault, checker.count

    network, service = network_to(late)
    with call(network) as s:
        send_counters(s, SEED, 3 * MIB)
        s.shutdown(socket.SHUT_WR)
        checker = Checker(SEED)
        assert (receive(s, checker), checker.fault, checker.count) == (SAW_FIN, None, MIB)
    assert service.result() == (SAW_FIN, None, 3 * MIB)


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("half_closed", [False, True])
def test_a_reset_by_the_visitor(network_to, half_closed, wait):
    """After what was sent before it; also behind a half-close, and from an idle connection."""
    resets, seen = threading.Event(), threading.Event()

    def handler(sock):
        if not half_closed:
            checker = Checker(SEED)
            return checker, receive(sock, checker)
        checker = Checker(SEED)
        receive(sock, checker)
        seen.set()
        resets.wait(limit(10))
        try:
            while True:
                sock.sendall(b"anybody there?")
                time.sleep(0.01)
        except ConnectionError:
            return checker, SAW_RST

    network, service = network_to(handler)
    s = call(network)
    send_counters(s, SEED, 100003)
    if half_closed:
        s.shutdown(socket.SHUT_WR)
        assert seen.wait(limit(10))
    if wait:
        time.sleep(0.2)
    reset(s)
    resets.set()
    checker, how = service.result()
    assert (how, checker.fault, checker.count) == (SAW_RST, None, 100003)


def test_a_reset_by_the_service(network_to):
    def handler(sock):
        send_counters(sock, SEED, 300000)
        flushed(sock)
        time.sleep(0.1)
        reset(sock)

    network, _ = network_to(handler)
    assert download(network) == (SAW_RST, None, 300000)


def test_many_echoes_at_once(network_to):
    network, _ = network_to(echo)
    failed = []

    def one(seed):
        with call(network) as s:
            writer = threading.Thread(target=lambda: (send_counters(s, seed, 300000),
                                                      s.shutdown(socket.SHUT_WR)))
            writer.start()
            checker = Checker(seed)
            how = receive(s, checker)
            writer.join()
            if (how, checker.fault, checker.count) != (SAW_FIN, None, 300000):
                failed.append(checker.fault or how)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(1, 33)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    assert network.count().accepted == 32


def test_nobody_behind_it(network_to):
    network, service = network_to(echo)
    service.close()
    with call(network) as s:
        assert ending(s)[0] == SAW_RST
    assert network.wait("ended").how == "unreachable"


@pytest.mark.parametrize("given, least", [((40, 0, BOTH), 0.08), ((60, 0, UP), 0.06),
                                          ((60, 0, DOWN), 0.06), ((40, 20, BOTH), 0.04)])
def test_delay(network_to, given, least):
    network, _ = network_to(echo)
    network.delay(*given)
    with call(network) as s:
        for _ in range(3):
            start = time.monotonic()
            s.sendall(b"x")
            assert read_exactly(s, 1) == b"x"
            assert least <= time.monotonic() - start
        # Many pieces are on the way at once and keep their order.
        writer = threading.Thread(target=lambda: (send_counters(s, SEED, 4 * MIB),
                                                  s.shutdown(socket.SHUT_WR)))
        writer.start()
        checker = Checker(SEED)
        assert (receive(s, checker), checker.fault, checker.count) == (SAW_FIN, None, 4 * MIB)
        writer.join()


def test_a_delayed_reset_comes_behind_the_bytes(network_to):
    network, service = network_to(sink(SEED))
    network.delay(100)
    s = call(network)
    send_counters(s, SEED, 50000)
    start = time.monotonic()
    reset(s)
    checker, how = service.result()
    assert (how, checker.count) == (SAW_RST, 50000)
    assert time.monotonic() - start >= 0.1


def test_a_handshake_takes_its_round_trip(network_to):
    network, _ = network_to(echo)
    network.delay(50)
    start = time.monotonic()
    with call(network) as s:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
    assert time.monotonic() - start >= 0.2


def test_rate_is_shared_by_all(network_to):
    """Two downloads of 1 MiB at 4 MiB/s, and echoes that wait in the same queue."""
    network, _ = network_to(source(SEED, MIB))
    network.rate(4 * MIB, 50, DOWN)
    done = []
    start = time.monotonic()
    threads = [threading.Thread(target=lambda: done.append(download(network))) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert done == [(SAW_FIN, None, MIB)] * 2
    assert time.monotonic() - start >= 0.45


def test_the_queue_of_a_slow_link_is_waited_for(network_to):
    network, _ = network_to(echo)
    network.rate(2 * MIB, 200, UP)
    with call(network) as bulk, call(network) as small:
        small.sendall(b"x")
        assert read_exactly(small, 1) == b"x"
        # More than is sent while the test goes on, and the kernel keeps a second's worth.
        threads = [threading.Thread(target=quietly(work), args=(bulk,)) for work in
                   (lambda s: send_counters(s, SEED, 256 * MIB), receive)]
        for t in threads:
            t.start()
        until(lambda: network.count().up > MIB, what="a full queue")
        start = time.monotonic()
        small.sendall(b"x")
        assert read_exactly(small, 1) == b"x"
        assert time.monotonic() - start >= 0.1
        bulk.shutdown(socket.SHUT_RDWR)
        for t in threads:
            t.join()


def segments_in(sock):
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return struct.unpack_from("I", info, 140)[0]


def test_a_window_is_refilled_when_what_was_under_way_has_come(network_to):
    """20 KiB with 4 KiB under way at once, each for 50 ms."""
    network, _ = network_to(source(SEED, 20 << 10))
    network.delay(50, way=DOWN)
    network.window(4096, DOWN)
    start = time.monotonic()
    assert download(network) == (SAW_FIN, None, 20 << 10)
    assert time.monotonic() - start >= 0.2


def test_slices(network_to):
    """Many small segments, and the right bytes."""
    network, _ = network_to(source(SEED, 50000))
    network.slice(7)
    with call(network) as s:
        checker = Checker(SEED)
        assert (receive(s, checker), checker.fault, checker.count) == (SAW_FIN, None, 50000)
        assert segments_in(s) > 50000 / 7 / 4


@pytest.mark.parametrize("way", [UP, DOWN, BOTH])
def test_pause(network_to, way):
    """Nothing moves that way, old and new connections alike, until it goes on."""
    network, _ = network_to(echo)
    with call(network) as old:
        old.sendall(b"a")
        assert read_exactly(old, 1) == b"a"
        network.pause(way)
        with call(network) as new:
            for s in (old, new):
                s.sendall(b"b")
                nothing_comes(s)
            if way == DOWN:
                until(lambda: network.count().up == 3, what="the other way")
            assert network.count().up == (3 if way == DOWN else 1)
            network.go(way)
            for s in (old, new):
                assert read_exactly(s, 1) == b"b"


def when_asked(handler):
    """A service that says nothing before the visitor does, so that no end can come while the
    visitor still connects."""
    def run(sock):
        sock.recv(1)
        return handler(sock)
    return run


@pytest.mark.parametrize("at", [0, 1, 70001, 1000003])
@pytest.mark.parametrize("kind", KINDS)
def test_cut_a_download_at_a_byte(network_to, kind, at):
    """Exactly so many bytes, then what the kind says; the connection beside it lives."""
    network, service = network_to(when_asked(source(SEED, 2 * MIB)))
    network.cut_at(kind, at, conn=2, counted=DOWN)
    assert asked_download(network) == (SAW_FIN, None, 2 * MIB)
    if at == 0 and kind == RST:
        with pytest.raises(ConnectionError):    # told by whatever comes first
            with call(network) as s:
                s.sendall(b"?")
                read_exactly(s, 1)
        assert network.wait("cut").down == 0
    else:
        cut_in_the_middle(network, kind, at)
    assert asked_download(network) == (SAW_FIN, None, 2 * MIB)


def asked_download(network):
    with call(network) as s:
        s.sendall(b"?")
        checker = Checker(SEED)
        return receive(s, checker), checker.fault, checker.count


def cut_in_the_middle(network, kind, at):
    with call(network) as s:
        checker = Checker(SEED)
        try:
            s.sendall(b"?")
        except ConnectionError:
            assert at == 0
        said = network.wait("cut")
        assert (said.kind, said.conn, said.down) == (kind, 2, at)
        if kind == SILENCE:
            receive(s, checker, most=at)
            nothing_comes(s)
        else:
            assert receive(s, checker) == (SAW_RST if kind == RST else SAW_FIN)
        assert (checker.fault, checker.count) == (None, at)


@pytest.mark.parametrize("kind", [RST, FIN])
def test_cut_an_upload_at_a_byte(network_to, kind):
    """The service sees it after so many bytes; the visitor's side ends, too."""
    network, service = network_to(sink(SEED))
    network.cut_at(kind, 12345, conn=1, counted=UP)
    with call(network) as s:
        send_counters(s, SEED, 20000)
        assert ending(s)[0] == (SAW_RST if kind == RST else SAW_FIN)
    checker, how = service.result()
    assert (how, checker.fault, checker.count) == (SAW_RST if kind == RST else SAW_FIN, None, 12345)


def test_cut_at_the_sum_of_all(network_to):
    network, _ = network_to(source(SEED, 10000))
    network.cut_at(RST, 25000)
    assert [download(network)[2] for _ in range(4)] == [10000, 10000, 5000, 10000]
    assert network.wait("cut").sum_down == 25000


def test_cut_all_now_and_after_a_time(network_to):
    network, _ = network_to(echo)
    for when in ("now", "after"):
        socks = [call(network) for _ in range(3)]
        for s in socks:
            s.sendall(b"x")
            assert read_exactly(s, 1) == b"x"
        start = time.monotonic()
        if when == "now":
            network.cut(RST)
        else:
            network.tell("cut", RST, BOTH, "after", 150)
        for s in socks:
            assert ending(s)[0] == SAW_RST
            s.close()
        assert when == "now" or time.monotonic() - start >= 0.14


@pytest.mark.parametrize("kind", [SILENCE, LOSS])
@pytest.mark.parametrize("back", ["heal", "restore"])
def test_silence_and_what_comes_after_it(network_to, kind, back):
    network, service = network_to(echo)
    with call(network) as s, call(network) as idle:
        for one in (s, idle):
            one.sendall(b"a")
            assert read_exactly(one, 1) == b"a"
        network.down(kind)
        s.sendall(b"b" * 1000)
        nothing_comes(s)
        idle.close()
        assert service.results.empty(), "an end was passed on in silence"
        if kind == LOSS:
            with pytest.raises(TimeoutError):
                flushed(s, 0.1)
        network.tell(back)
        if back == "heal":
            assert read_exactly(s, 1000) == b"b" * 1000
            assert service.result() == 1
        else:
            nothing_comes(s)
            network.heal()
            nothing_comes(s)
    with call(network) as s:
        s.sendall(b"c")
        assert read_exactly(s, 1) == b"c"


@pytest.mark.parametrize("kind", [SILENCE, LOSS])
def test_silence_in_one_direction(network_to, kind):
    """What the service says still arrives; what the visitor says does not."""
    heard = threading.Event()

    def handler(sock):
        sock.recv(1)
        sock.sendall(b"1")
        sock.recv(1)
        heard.set()

    def speak(sock):
        sock.sendall(b"0")
        while not heard.wait(0.05):
            sock.sendall(b".")

    network, _ = network_to(lambda sock: (threading.Thread(target=quietly(speak),
                                                           args=(sock,)).start(), handler(sock)))
    with call(network) as s:
        s.sendall(b"a")
        said = b""
        while b"1" not in said or b"0" not in said:
            said += read_exactly(s, 1)
        network.cut(kind, UP)
        s.sendall(b"b")
        assert read_exactly(s, 3) == b"..." or kind == LOSS
        assert not heard.is_set()
        network.heal()
        assert heard.wait(limit(20))


def test_modes_of_new_connections(network_to):
    network, _ = network_to(echo)
    old = call(network)
    network.new("refuse")
    with pytest.raises(ConnectionRefusedError):
        call(network)
    network.new("hole")
    with pytest.raises(TimeoutError):
        socket.create_connection((network.host, network.port), 0.3)
    network.new("reset")
    with pytest.raises(ConnectionResetError), call(network) as s:
        s.recv(1)
    network.new("silent")
    with call(network) as s:
        s.sendall(b"x")
        nothing_comes(s)
    network.new("forward")
    with call(network) as s:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
    old.sendall(b"old")
    assert read_exactly(old, 3) == b"old"
    old.close()


def storm(network, count):
    """Downloads until it is calm: what each got."""
    got = []
    while not network.events("calm"):
        try:
            how, fault, n = download(network)
        except ConnectionResetError:    # so early that connect() itself reports it
            continue
        assert fault is None
        got.append(n)
        assert len(got) < 50 * count
    return got


def test_a_storm_is_the_same_for_the_same_seed(network_to):
    runs = []
    for seed in (7, 7, 8):
        network, _ = network_to(source(SEED, 100000))
        network.storm([RST, FIN], 1000, 30000, 12, seed)
        storm(network, 12)
        said = network.events("cut")
        sums = [0] + [e.sum_up + e.sum_down for e in said]
        steps = [b - a for a, b in zip(sums, sums[1:])]
        assert len(steps) == 12 and all(1000 <= n <= 30000 for n in steps)
        assert {e.kind for e in said} == {RST, FIN}
        runs.append([(e.kind, n) for e, n in zip(said, steps)])
    assert runs[0] == runs[1] != runs[2]


def test_a_storm_cuts_early_in_new_connections(network_to):
    network, _ = network_to(source(SEED, 100000))
    network.storm(RST, 50000, 60000, 10, 3, early=(100, 500))
    storm(network, 10)
    first, *said = network.events("cut")
    assert 50000 <= first.down <= 60000 and len(said) == 9
    assert len({e.conn for e in said}) == 9
    assert all(1 <= e.down <= 500 for e in said)


def test_a_storm_with_outages(network_to):
    network, _ = network_to(source(SEED, 100000))
    network.storm(SILENCE, 1000, 60000, 3, 3, outage=(3000, "refuse"))
    for _ in range(3):
        with call(network) as s:
            said = network.wait("cut")
            with pytest.raises(ConnectionRefusedError):
                call(network)
            assert network.wait("restored").time - said.time >= 3000000
            receive(s, most=said.down)
            nothing_comes(s, 0.1)
    assert download(network) == (SAW_FIN, None, 100000)


def test_a_visitor_from_another_address(network_to):
    network, _ = network_to(lambda sock: sock.sendall(sock.getpeername()[0].encode()))
    for host in ("127.0.0.2", "127.0.0.1"):
        network.tell("source", host)
        with call(network) as s:
            assert read_exactly(s, 9).decode() == host


def test_what_is_not_read_is_not_gathered(network_to):
    """A visitor that does not read stops the service, whatever the link could hold."""
    sent = []

    def handler(sock):
        sock.settimeout(3)              # it is stopped for good
        for n in range(200):
            sock.sendall(counters(SEED, n * MIB, MIB))
            sent.append(n)

    network, service = network_to(handler)
    network.delay(5)
    with call(network, receive_buffer=65536) as s:
        with pytest.raises(TimeoutError):
            service.result()
        assert len(sent) < 64
        checker = Checker(SEED)
        receive(s, checker)
        assert checker.fault is None and checker.count >= len(sent) * MIB


def test_it_sleeps_when_nothing_moves(network_to):
    """Silent, paused, half-closed and full connections cost no time of the processor."""
    network, _ = network_to(echo)

    def used():
        with open(f"/proc/{network.proc.pid}/stat") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    socks = [call(network) for _ in range(4)]
    for s in socks:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
    socks[0].close()
    network.cut(SILENCE)
    socks[1].close()
    socks[2].sendall(b"x")
    socks += [call(network) for _ in range(3)]
    socks[-1].shutdown(socket.SHUT_WR)
    network.pause(DOWN)
    socks[-2].sendall(bytes(1000))
    network.delay(1)
    network.rate(MIB)
    time.sleep(0.2)
    before = used()
    time.sleep(1)
    assert used() - before < 0.3
    for s in socks:
        s.close()


def test_nonsense_is_refused(network_to):
    network, _ = network_to(echo)
    for words in ("", "sing", "delay", "delay sideways 3", "delay up x", "rate up 5", "cut",
                  "cut rst", "cut rst both", "cut rst both at 5", "cut rst both conn 1",
                  "storm rst 5 1 1 1", "new york", "source here"):
        with pytest.raises(AssertionError):
            network.tell(words)
    with call(network) as s:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"


@pytest.fixture
def flood_over():
    """flood_over(way): what a flood finds on a way that `way` makes to its service."""
    started = []

    def start(make, size=MIB, streams=16):
        started.append(Flood(streams, size))
        started.append(make((started[0].host, started[0].port)))
        return started

    yield start
    for thing in reversed(started):
        thing.close()


def test_a_flood_over_a_sound_path(flood_over):
    flood, network = flood_over(Network)
    with connect(flood.host, flood.port) as probe:
        probe.shutdown(socket.SHUT_WR)
        flood.go(network.host, network.port)
        assert flood.faults() == []
        assert flood.wait_exit() == 0
    said = network.count()
    assert (said.accepted, said.up, said.down) == (16, 16 * MIB, 16 * MIB)


@pytest.mark.parametrize("kind", [RST, FIN])
def test_a_flood_sees_a_stream_that_ends(flood_over, kind):
    flood, network = flood_over(Network)
    network.cut_at(kind, 100000, conn=5, counted=UP)
    flood.go(network.host, network.port)
    faults = flood.faults()
    assert len(faults) == 2 and all("stream=5 " in f for f in faults)
    assert flood.wait_exit() == 1


@pytest.mark.parametrize("spoilt", ["drop", "repeat"])
def test_a_flood_sees_bytes_that_are_missing_or_come_twice(flood_over, spoilt):
    flood, relay = flood_over(lambda target: Relay(target, [spoilt]), streams=1)
    flood.go(relay.host, relay.port)
    assert any(re.search(r"byte \d+ of stream 0x(10000)?1 instead", f)
               for f in until(lambda: re.findall("^fault .*\n", flood.out.text, re.M)))


def test_a_flood_sees_a_stream_that_was_dialled_twice(flood_over):
    flood, network = flood_over(Network)
    network.pause()
    flood.go(network.host, network.port)
    with connect(flood.host, flood.port) as again:
        again.sendall(counters(3, 0, 64))
        again.settimeout(limit(10))
        assert again.recv(10)
        network.go()
        flood.wait_out(r"^fault stream=3 side=service .* was dialled before$")


def test_a_record(network_to, tmp_path):
    """What passed, each direction in a file; a cut leaves what came before it."""
    network, _ = network_to(echo)
    network.tell("record", tmp_path / "talk")
    network.cut_at(RST, 50000, conn=2, counted=DOWN)
    for number, size in ((1, 70000), (2, 50000)):
        with call(network) as s:
            writer = threading.Thread(target=quietly(lambda s: send_counters(s, SEED, 70000)),
                                      args=(s,))
            writer.start()
            receive(s, most=size)
            writer.join()
        until(lambda: len(network.events("ended")) == number, what="the end")
        assert (tmp_path / f"talk.{number}.down").read_bytes() == counters(SEED, 0, size)
        up = (tmp_path / f"talk.{number}.up").read_bytes()
        assert up == counters(SEED, 0, len(up)) and len(up) >= size
