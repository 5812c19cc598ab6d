"""How streams end: half-close, FIN, RST, and what was sent before them."""
import random
import socket
import threading
import time

import pytest

from kit import SCALE, limit
from kit.origin import banner, echo, resetting, sink, source
from kit.stream import (FIN, MIB, RST, Checker, connect, ending, flushed, read_exactly, receive,
                        reset, send_counters)

pytestmark = pytest.mark.path
UP, DOWN = 0x111111, 0x222222
KIB64 = 65536


def visitor(way, **more):
    return connect(way.host, way.port, **more)


def test_visitor_half_closes_and_then_gets_10_mib(path, serve):
    def answer_after_the_end(sock):
        checker = Checker(UP)
        how = receive(sock, checker)
        send_counters(sock, DOWN, 10 * MIB)
        return checker, how

    service = serve(answer_after_the_end)
    way = path(service)
    for _ in range(5):
        with visitor(way) as s:
            send_counters(s, UP, MIB)
            s.shutdown(socket.SHUT_WR)
            down = Checker(DOWN)
            assert (receive(s, down), down.fault, down.count) == (FIN, None, 10 * MIB)
        up, how = service.result()
        assert (how, up.fault, up.count) == (FIN, None, MIB)


def test_service_half_closes_and_then_gets_10_mib(path, serve):
    def end_and_read(sock):
        send_counters(sock, DOWN, MIB)
        sock.shutdown(socket.SHUT_WR)
        checker = Checker(UP)
        return checker, receive(sock, checker)

    service = serve(end_and_read)
    way = path(service)
    for _ in range(5):
        with visitor(way) as s:
            down = Checker(DOWN)
            assert (receive(s, down), down.fault, down.count) == (FIN, None, MIB)
            send_counters(s, UP, 10 * MIB)
        up, how = service.result()
        assert (how, up.fault, up.count) == (FIN, None, 10 * MIB)


def test_ends_of_both_sides_cross(path, serve):
    meet = threading.Barrier(2)

    def end_at_once(sock):
        meet.wait(limit(10))
        send_counters(sock, DOWN, KIB64)
        sock.shutdown(socket.SHUT_WR)
        checker = Checker(UP)
        return checker, receive(sock, checker)

    service = serve(end_at_once)
    way = path(service)
    for _ in range(20):
        with visitor(way) as s:
            meet.wait(limit(10))
            send_counters(s, UP, KIB64)
            s.shutdown(socket.SHUT_WR)
            down = Checker(DOWN)
            assert (receive(s, down), down.fault, down.count) == (FIN, None, KIB64)
        up, how = service.result()
        assert (how, up.fault, up.count) == (FIN, None, KIB64)


def test_an_end_without_a_byte_is_passed_on(one_path, serve):
    service = serve(sink(UP))
    way = one_path(service)
    for _ in range(10):
        with visitor(way) as s:
            s.shutdown(socket.SHUT_WR)
            assert receive(s) == FIN
        up, how = service.result()
        assert (how, up.count) == (FIN, 0)


def test_service_speaks_first(path, serve):
    service = serve(banner(b"SSH-2.0-example\r\n"))
    way = path(service)
    with visitor(way) as s:
        assert read_exactly(s, 17) == b"SSH-2.0-example\r\n"
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


@pytest.mark.parametrize("sent", [0, 5, KIB64])
def test_reset_by_the_visitor_reaches_the_service(path, serve, sent):
    """An idle stream, and one with bytes on the way: they arrive first."""
    service = serve(sink(UP))
    way = path(service)
    for _ in range(5):
        s = visitor(way)
        send_counters(s, UP, sent)
        if sent:
            flushed(s)
        else:
            opened(service)
        started = time.monotonic()
        reset(s)
        up, how = service.result()
        assert (how, up.fault, up.count) == (RST, None, sent)
        assert time.monotonic() - started < limit(2)


def opened(service):
    """Waits until the service has one more connection than ended ones."""
    end = time.monotonic() + limit(10)
    while not service.open and time.monotonic() < end:
        time.sleep(0.005)
    assert service.open


@pytest.mark.parametrize("sent", [0, 5, KIB64])
def test_reset_by_the_service_reaches_the_visitor(path, serve, sent):
    def send_and_reset(sock):
        assert sock.recv(1) == b"?"
        send_counters(sock, DOWN, sent)
        if sent:
            flushed(sock)
        reset(sock)

    service = serve(send_and_reset)
    way = path(service)
    for _ in range(5):
        with visitor(way) as s:
            s.sendall(b"?")
            started = time.monotonic()
            down = Checker(DOWN)
            assert (receive(s, down), down.fault, down.count) == (RST, None, sent)
            assert time.monotonic() - started < limit(2)
        service.result()


def test_reset_at_once_by_the_service(path, serve):
    way = path(serve(resetting))
    for _ in range(10):
        with visitor(way) as s:
            how, seconds = ending(s)
            assert how == RST and seconds < limit(2)


def test_reset_after_a_half_close_is_no_clean_end(path, serve):
    """The visitor has already said its last word; the service aborts."""
    def read_and_reset(sock):
        how = receive(sock)
        send_counters(sock, DOWN, 4096)
        flushed(sock)
        reset(sock)
        return how

    service = serve(read_and_reset)
    way = path(service)
    for _ in range(10):
        with visitor(way) as s:
            s.sendall(b"question")
            s.shutdown(socket.SHUT_WR)
            down = Checker(DOWN)
            assert (receive(s, down), down.fault, down.count) == (RST, None, 4096)
        assert service.result() == FIN


def test_a_reset_download_never_ends_clean(path, serve):
    """The service dies in mid-download: a prefix and RST, whatever the moment."""
    def die(sock):
        send_counters(sock, DOWN, 5 * MIB + random.randrange(MIB))
        reset(sock)

    service = serve(die)
    way = path(service)
    for _ in range(10):
        with visitor(way) as s:
            down = Checker(DOWN)
            assert (receive(s, down), down.fault) == (RST, None)
        service.result()


def test_an_aborted_upload_leaves_the_tunnel_alive(path, serve):
    """Bytes for a stream that is gone are on the way: they are dropped, others go on."""
    go_on = threading.Semaphore(0)

    def read_late(sock):
        go_on.acquire(timeout=limit(20))
        checker = Checker(UP)
        return checker, receive(sock, checker)

    service = serve(read_late)
    way = path(service)
    for _ in range(3):
        s = visitor(way, seconds=1)
        with pytest.raises(socket.timeout):     # every buffer on the way is full
            send_counters(s, UP, 64 * MIB)
        reset(s)
        go_on.release()
        up, how = service.result()
        assert (how, up.fault) == (RST, None)
    go_on.release()
    with visitor(way) as s:
        send_counters(s, UP, MIB)
        s.shutdown(socket.SHUT_WR)
        assert receive(s) == FIN
    up, how = service.result()
    assert (how, up.fault, up.count) == (FIN, None, MIB)


def test_64_kib_and_close_at_once_arrive(path, serve):
    """Both directions, each side closing without waiting for anything."""
    up_service = serve(sink(UP))
    way = path(up_service)
    for _ in range(100):
        s = visitor(way)
        send_counters(s, UP, KIB64)
        s.close()
        up, how = up_service.result()
        assert (how, up.fault, up.count) == (FIN, None, KIB64)


def test_64_kib_of_the_service_and_close_at_once_arrive(path, serve):
    way = path(serve(source(DOWN, KIB64)))
    for _ in range(100):
        with visitor(way) as s:
            down = Checker(DOWN)
            assert (receive(s, down), down.fault, down.count) == (FIN, None, KIB64)


def test_64_kib_arrive_though_the_visitor_left_bytes_unread(path, serve):
    """close() with unread bytes is a RST: what was sent before it still arrives."""
    def send_and_read(sock):
        send_counters(sock, DOWN, KIB64)
        checker = Checker(UP)
        return checker, receive(sock, checker)

    service = serve(send_and_read)
    way = path(service)
    for _ in range(50):
        s = visitor(way)
        read_exactly(s, 1)
        send_counters(s, UP, KIB64)
        flushed(s)
        s.close()
        up, how = service.result()
        assert (how, up.fault, up.count) == (RST, None, KIB64)


@pytest.mark.parametrize("wait", [False, True])
def test_413_is_seen_though_the_upload_is_unread(path, serve, wait):
    """The service answers early and closes while the visitor still uploads."""
    answer = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def refuse(sock):
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(512)
        sock.sendall(answer)
        if wait:
            flushed(sock)

    service = serve(refuse)
    way = path(service)
    for _ in range(10):
        s = visitor(way)
        s.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n")
        try:
            send_counters(s, UP, 8 * MIB, piece=KIB64)
        except (ConnectionResetError, BrokenPipeError):
            pass
        seen = b""
        try:
            while len(seen) < len(answer):
                data = s.recv(4096)
                if not data:
                    break
                seen += data
        except ConnectionResetError:
            pass
        s.close()
        assert seen == answer
        service.result()


def test_streams_both_ways_at_once_are_exact(path, serve):
    """16 streams of 4 MiB each way, each with its own counters."""
    size = 4 * MIB

    def both(sock):
        seed = int.from_bytes(read_exactly(sock, 4), "big")
        writer = threading.Thread(target=lambda: (send_counters(sock, seed + 1, size),
                                                  sock.shutdown(socket.SHUT_WR)))
        writer.start()
        checker = Checker(seed)
        how = receive(sock, checker)
        writer.join()
        return checker, how

    service = serve(both)
    way = path(service)
    found = []

    def one(seed):
        with visitor(way, seconds=60) as s:
            s.sendall(seed.to_bytes(4, "big"))
            writer = threading.Thread(target=lambda: (send_counters(s, seed, size),
                                                      s.shutdown(socket.SHUT_WR)))
            writer.start()
            checker = Checker(seed + 1)
            how = receive(s, checker)
            writer.join()
            found.append((how, checker.fault, checker.count))

    threads = [threading.Thread(target=one, args=(1000 + 2 * i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [(FIN, None, size)] * 16
    for _ in threads:
        up, how = service.result()
        assert (how, up.fault, up.count) == (FIN, None, size)


def test_a_slow_reader_loses_nothing(path, serve):
    size = 6 * MIB
    way = path(serve(source(DOWN, size)))
    with visitor(way, receive_buffer=8192) as s:
        down = Checker(DOWN)
        for _ in range(50):
            receive(s, down, most=3000)
            time.sleep(0.005)
        assert (receive(s, down), down.fault, down.count) == (FIN, None, size)


def test_200_visitors_with_every_kind_of_ending(path, serve):
    """A seeded mixture, 20 at a time; afterwards the tunnel is as before."""
    service = serve(echo)
    way = path(service)
    rng = random.Random(20260113)
    plans = [(rng.choice(["echo", "reset", "leave", "half"]), rng.randrange(1, 200000), i + 1)
             for i in range(200)]
    wrong = []

    def visit(kind, size, seed):
        with visitor(way) as s:
            writer = threading.Thread(target=send_quietly, args=(s, seed, size))
            writer.start()
            checker = Checker(seed)
            if kind in ("reset", "leave"):
                receive(s, checker, most=size // 2)
                if kind == "reset":
                    writer.join()
                    reset(s)
                else:
                    s.shutdown(socket.SHUT_RDWR)
            elif kind == "half":
                writer.join()
                s.shutdown(socket.SHUT_WR)
                if (receive(s, checker), checker.count) != (FIN, size):
                    wrong.append((kind, size, seed, checker.count))
            else:
                receive(s, checker, most=size)
                if checker.count != size:
                    wrong.append((kind, size, seed, checker.count))
            writer.join()
            if checker.fault:
                wrong.append((kind, size, seed, checker.fault))

    def worker():
        while True:
            try:
                plan = plans.pop()
            except IndexError:
                return
            visit(*plan)

    threads = [threading.Thread(target=worker) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    with visitor(way) as s:
        s.sendall(b"still here")
        assert read_exactly(s, 10) == b"still here"
    service.errors.clear()      # an echo to a visitor that left may fail


def send_quietly(sock, seed, size):
    try:
        send_counters(sock, seed, size)
    except OSError:
        pass


def test_a_small_write_waits_for_nothing(one_path, serve):
    way = one_path(serve(echo))
    rounds = 2000 // SCALE
    with visitor(way) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.monotonic()
        for i in range(rounds):
            s.sendall(bytes([i % 251]))
            assert s.recv(1) == bytes([i % 251])
        # 40 ms a round would be a delayed acknowledgement meeting Nagle.
        assert time.monotonic() - started < rounds * 0.02 * SCALE
