"""The service behind the client: down, black-holed, slow; visitors that never read."""
import re
import socket
import threading
import time

import pytest

from kit import SANITIZED, SCALE, limit, ports, until
from kit.origin import BlackHole, Origin, echo, source
from kit.stream import (FIN, MIB, RST, Checker, connect, read_exactly, receive, reset,
                        send_counters, visit)

SEED = 0x515151
# What allocators keep beside the windows of stuck streams; the kernel's socket
# buffers are not in it. Sanitizers keep freed memory back: then nothing is said.
HELD = 8 * MIB if not SANITIZED else 4096 * MIB


def works(client):
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


@pytest.mark.parametrize("plaintext", [None, True])
def test_service_that_is_down(rig, plaintext):
    """Cases 12, 23: visitors see RST at once; the client says which address failed and why."""
    port = ports.one()
    client = rig.tunnel(f"127.0.0.1:{port}", plaintext=plaintext)
    client.wait_err(rf"WARN .*Nothing answers at 127\.0\.0\.1:{port} yet \(Connection refused\); "
                    "start it any time")
    for _ in range(20):
        how, seconds = visit("127.0.0.1", client.port)
        assert how == RST and seconds < limit(2)
    client.wait_err(rf"127\.0\.0\.1.*{port}.*Connection refused",
                    since=client.err.text.index("start it any time"))
    service = rig.keep(Origin(echo, port=port))
    assert service.port == port
    works(client)


def test_service_that_is_up_is_not_warned_about(rig, serve):
    service = serve(echo)
    client = rig.tunnel(service)
    works(client)
    assert "Nothing answers" not in client.err.text


def test_repeated_dial_failures_are_not_a_flood(rig):
    """Case 32: one line, then a count: 300 visitors do not write 300 lines."""
    client, began = rig.tunnel(f"127.0.0.1:{ports.one()}"), time.monotonic()
    for _ in range(300):
        assert visit("127.0.0.1", client.port)[0] == RST

    def lines():
        return [line for line in client.err.lines() if "Connection refused" in line]
    until(lambda: len(lines()) >= 2, 10, "a line")
    assert len(lines()) < 150 + time.monotonic() - began


def test_all_addresses_of_a_name_are_tried(rig):
    port = ports.one()
    client = rig.tunnel(f"localhost:{port}")
    client.wait_err(rf"Nothing answers at localhost:{port} yet \(Connection refused\)")
    assert visit("127.0.0.1", client.port)[0] == RST


def test_black_hole(rig):
    """Case 23: no answer: RST after the 10 s of a dial, and the log says so."""
    hole = rig.keep(BlackHole())
    client = rig.tunnel(f"127.0.0.1:{hole.port}")
    how, seconds = visit("127.0.0.1", client.port, 20)
    assert how == RST and 8 < seconds < limit(13)
    client.wait_err(rf"127\.0\.0\.1.*{hole.port}.*no answer in 10s")


def test_name_that_does_not_exist(rig):
    client = rig.tunnel("nosuch.invalid:80")
    client.wait_err(r"WARN .*Nothing answers at nosuch\.invalid:80 yet \(.+\)", 20)
    assert visit("127.0.0.1", client.port)[0] == RST


def test_slow_service(one_path, serve):
    """Case 23: Accepts, sleeps, answers: nothing hurries it."""
    def sleepy(sock):
        assert read_exactly(sock, 5) == b"hello"
        time.sleep(3)
        sock.sendall(b"at last")

    way = one_path(serve(sleepy))
    with connect(way.host, way.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 7) == b"at last"
        assert receive(s) == FIN


def test_service_that_accepts_and_resets(one_path, serve):
    """Case 23: each of 20 visitors is reset, and the tunnel lives."""
    way = one_path(serve(reset))
    for _ in range(20):
        how, seconds = visit(way.host, way.port)
        assert how == RST and seconds < limit(2)


def test_bytes_sent_before_the_service_is_reached_arrive(rig, serve):
    """The visitor speaks and half-closes while the client still dials."""
    def count(sock):
        checker = Checker(SEED)
        how = receive(sock, checker)
        sock.sendall(b"done")
        return checker, how

    service = serve(count)
    client = rig.tunnel(service)
    for _ in range(20):
        with connect("127.0.0.1", client.port) as s:
            send_counters(s, SEED, 1000)
            s.shutdown(socket.SHUT_WR)
            assert read_exactly(s, 4) == b"done"
        checker, how = service.result()
        assert (how, checker.fault, checker.count) == (FIN, None, 1000)


def download(client, size):
    """One whole, exact download."""
    with connect("127.0.0.1", client.port, seconds=60) as s:
        s.sendall(b"r")
        checker = Checker(SEED)
        assert (receive(s, checker), checker.fault, checker.count) == (FIN, None, size)


def torrent(size):
    """A service: 's' gets bytes without end, 'r' a stream of `size` bytes."""
    def handler(sock):
        if sock.recv(1) == b"r":
            send_counters(sock, SEED, size)
            return
        sock.settimeout(None)
        try:
            while True:
                sock.sendall(bytes(65536))
        except OSError:
            pass
    return handler


@pytest.mark.parametrize("plaintext", [None, True])
@pytest.mark.parametrize("count", [1, 40])
def test_visitors_that_never_read(rig, serve, plaintext, count):
    """Case 15: their streams stop; others go on; neither process grows beyond their windows."""
    size = 48 * MIB // SCALE
    service = serve(torrent(size))
    client = rig.tunnel(service, plaintext=plaintext, drain="1s",
                        server={"drain": "1s"})
    download(client, size)
    memory = [p.rss() for p in rig.procs]
    stuck = [connect("127.0.0.1", client.port, receive_buffer=4096) for _ in range(count)]
    for s in stuck:
        s.sendall(b"s")
    for _ in range(2):              # a stalled tunnel would not end at all
        download(client, size)
    grown = [p.rss() - m for p, m in zip(rig.procs, memory)]
    for s in stuck:
        reset(s)
    # 256 KiB is the window of a stream; both queues together hold no more.
    assert max(grown) < HELD + count * 600 * 1024, grown


def test_service_that_never_reads(rig, serve):
    """Case 14: uploads are paused, other streams of the tunnel go on."""
    stop = threading.Event()

    def deaf(sock):
        if sock.recv(1) == b"e":
            return echo(sock)
        stop.wait(limit(60))

    service = serve(deaf)
    client = rig.tunnel(service, drain="1s", server={"drain": "1s"})
    uploads = []
    memory = [p.rss() for p in rig.procs]
    for _ in range(10):
        s = connect("127.0.0.1", client.port)
        s.settimeout(0.5)
        s.sendall(b"d")
        with pytest.raises(socket.timeout):
            send_counters(s, SEED, 64 * MIB)
        uploads.append(s)
        with connect("127.0.0.1", client.port) as e:
            e.sendall(b"e" + b"hello")
            assert read_exactly(e, 5) == b"hello"
    grown = [p.rss() - m for p, m in zip(rig.procs, memory)]
    assert max(grown) < HELD + 10 * 600 * 1024, grown
    for s in uploads:
        reset(s)
    stop.set()


def test_paused_download_is_finished_later(rig, serve):
    """A visitor that stops reading for a while loses nothing and is not cut off."""
    size = 24 * MIB
    service = serve(source(SEED, size))
    client = rig.tunnel(service)
    with connect("127.0.0.1", client.port, receive_buffer=8192) as s:
        checker = Checker(SEED)
        receive(s, checker, most=100000)
        time.sleep(12)          # longer than the 10 s after which pressure could reset it
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert (receive(s, checker), checker.fault, checker.count) == (FIN, None, size)


def test_many_visitors_leave_nothing_behind(rig, serve):
    """After 1,000 visits descriptors and memory are as before."""
    service = serve(echo)
    client = rig.tunnel(service)

    def visit(times):
        for _ in range(times):
            works(client)

    visit(50)
    before = [(p.descriptors(), p.rss()) for p in rig.procs]
    threads = [threading.Thread(target=visit, args=(100,)) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    until(lambda: all(p.descriptors() <= d for p, (d, _) in zip(rig.procs, before)), 10,
          "the descriptors from before")
    assert all(p.rss() - m < (4 << 20) * (8 if SANITIZED else 1)
               for p, (_, m) in zip(rig.procs, before))
    assert len(re.findall("Session lost", client.err.text)) == 0


def test_visitor_that_resets_a_stalled_upload_is_let_go(rig, serve):
    """The service reads nothing, now or later: nothing of the visitor stays open."""
    stop = threading.Event()
    client = rig.tunnel(serve(lambda sock: stop.wait(limit(60))), drain="1s",
                        server={"drain": "1s"})
    before = [p.descriptors() for p in rig.procs]
    visitors = []
    for _ in range(5):
        s = connect("127.0.0.1", client.port)
        s.settimeout(0.5)
        with pytest.raises(socket.timeout):
            send_counters(s, SEED, 64 * MIB)
        visitors.append(s)
    for s in visitors:
        reset(s)
    until(lambda: all(p.descriptors() <= n for p, n in zip(rig.procs, before)), 10,
          "the descriptors")
    stop.set()
