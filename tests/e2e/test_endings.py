"""How streams end: half-close, FIN, RST, and what was sent before them."""
import random
import socket
import struct
import threading
import time

import pytest

from kit import SCALE, in_threads, limit, until
from kit.origin import banner, resetting, sink, source
from kit.stream import (FIN, MIB, RST, Checker, connect, flushed, read_exactly, receive,
                        reset, send_counters, visit)

pytestmark = pytest.mark.path
UP, DOWN = 0x111111, 0x222222
KIB64 = 65536


def visitor(way, **more):
    return connect(way.host, way.port, **more)


def test_visitor_half_closes_and_then_gets_10_mib(path, serve):
    """Case 20: the answer to a request that has ended."""
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
    """Case 20: a service that has said its last word still listens."""
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
    """Case 20: neither waits for the other."""
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
    """Case 20: FIN alone."""
    service = serve(sink(UP))
    way = one_path(service)
    for _ in range(10):
        with visitor(way) as s:
            s.shutdown(socket.SHUT_WR)
            assert receive(s) == FIN
        up, how = service.result()
        assert (how, up.count) == (FIN, 0)


def test_service_speaks_first(path, serve):
    """Case 20: a banner to a visitor that is silent."""
    service = serve(banner(b"SSH-2.0-example\r\n"))
    way = path(service)
    with visitor(way) as s:
        assert read_exactly(s, 17) == b"SSH-2.0-example\r\n"
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


@pytest.mark.parametrize("sent", [0, 5, KIB64])
def test_reset_by_the_visitor_reaches_the_service(path, serve, sent):
    """Case 20: an idle stream, and one with bytes on the way: they arrive first."""
    service = serve(sink(UP))
    way = path(service)
    for number in range(5):
        s = visitor(way)
        send_counters(s, UP, sent)
        if sent:
            flushed(s)
        else:
            until(lambda: service.accepted > number, what="the service's connection")
        started = time.monotonic()
        reset(s)
        up, how = service.result()
        assert (how, up.fault, up.count) == (RST, None, sent)
        assert time.monotonic() - started < limit(2)


@pytest.mark.parametrize("sent", [0, 5, KIB64])
def test_reset_by_the_service_reaches_the_visitor(path, serve, sent):
    """Case 20: what it sent before arrives first."""
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
    """Case 23: accepts, then RST."""
    way = path(serve(resetting))
    for _ in range(10):
        how, seconds = visit(way.host, way.port)
        assert how == RST and seconds < limit(2)


def test_reset_after_a_half_close_is_no_clean_end(path, serve):
    """Case 21: the visitor has already said its last word; the service aborts."""
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
    """Case 21: the service dies in mid-download: a prefix and RST, whatever the moment."""
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
    """Case 11: bytes for a stream that is gone are on the way: they are dropped, others go on."""
    go_on = threading.Semaphore(0)

    def read_late(sock):
        go_on.acquire(timeout=limit(20))
        checker = Checker(UP)
        return checker, receive(sock, checker)

    service = serve(read_late)
    way = path(service)
    for _ in range(3):
        s = visitor(way)
        s.settimeout(1)
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
    """Case 22: both directions, each side closing without waiting for anything."""
    up_service = serve(sink(UP))
    way = path(up_service)
    for _ in range(100):
        s = visitor(way)
        send_counters(s, UP, KIB64)
        s.close()
        up, how = up_service.result()
        assert (how, up.fault, up.count) == (FIN, None, KIB64)


def test_64_kib_of_the_service_and_close_at_once_arrive(path, serve):
    """Case 22: the same from the service."""
    way = path(serve(source(DOWN, KIB64)))
    for _ in range(100):
        with visitor(way) as s:
            down = Checker(DOWN)
            assert (receive(s, down), down.fault, down.count) == (FIN, None, KIB64)


def test_64_kib_arrive_though_the_visitor_left_bytes_unread(path, serve):
    """Case 22: close() with unread bytes is a RST: what was sent before it still arrives."""
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
    """Case 22: the service answers early and closes while the visitor still uploads."""
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


def visits(count, times, run):
    """run(number) so often in each of so many threads; what went wrong."""
    wrong = []

    def work(n):
        for number in range(1 + n * times, 1 + (n + 1) * times):
            try:
                said = run(number)
            except OSError as error:
                said = repr(error)
            if said:
                wrong.append(said)

    in_threads(count, work)
    return wrong


def test_1000_half_closes(path, serve):
    """Case 20: each side says its last word first, by turns, and the other's still arrives."""
    size = 20000

    def turn(sock):
        number, = struct.unpack(">I", read_exactly(sock, 4))
        checker = Checker(2 * number)
        if number % 2:
            how = receive(sock, checker)
            send_counters(sock, 2 * number + 1, size)
        else:
            send_counters(sock, 2 * number + 1, size)
            sock.shutdown(socket.SHUT_WR)
            how = receive(sock, checker)
        assert (how, checker.fault, checker.count) == (FIN, None, size)

    way = path(serve(turn))

    def visit(number):
        checker = Checker(2 * number + 1)
        with visitor(way) as s:
            s.sendall(struct.pack(">I", number))
            if number % 2:
                send_counters(s, 2 * number, size)
                s.shutdown(socket.SHUT_WR)
                how = receive(s, checker)
            else:
                how = receive(s, checker)
                send_counters(s, 2 * number, size)
        if (how, checker.fault, checker.count) != (FIN, None, size):
            return f"{number}: {how} after {checker.count}: {checker.fault}"
        return None

    assert not visits(10, 100 // SCALE, visit)


def test_1000_times_written_and_closed_at_once(one_path, serve):
    """Case 22: by both sides at the same time, many at once: all bytes of both arrive."""
    def answer(sock):
        number, = struct.unpack(">I", read_exactly(sock, 4))
        send_counters(sock, 2 * number + 1, KIB64)
        checker = Checker(2 * number)
        assert (receive(sock, checker), checker.fault, checker.count) == (FIN, None, KIB64)

    service = serve(answer)
    way = one_path(service)

    def visit(number):
        checker = Checker(2 * number + 1)
        with visitor(way) as s:
            s.sendall(struct.pack(">I", number))
            send_counters(s, 2 * number, KIB64)
            s.shutdown(socket.SHUT_WR)
            how = receive(s, checker)
        if (how, checker.fault, checker.count) != (FIN, None, KIB64):
            return f"{number}: {how} after {checker.count}: {checker.fault}"
        return None

    assert not visits(8, 125 // SCALE, visit)
    for _ in range(8 * (125 // SCALE)):
        service.result()
