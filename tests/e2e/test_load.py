"""Many streams, slow ones and small writes: every byte in its place."""
import random
import socket
import threading
import time

import pytest

from kit import SCALE
from kit.origin import echo, source
from kit.stream import FIN, MIB, Checker, connect, read_exactly, receive, reset, send_counters

pytestmark = pytest.mark.path
DOWN = 0x222222


def visitor(way, **more):
    return connect(way.host, way.port, **more)


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
        took = []
        for i in range(rounds):
            started = time.monotonic()
            s.sendall(bytes([i % 251]))
            assert s.recv(1) == bytes([i % 251])
            took.append(time.monotonic() - started)
        # 40 ms a round would be a delayed acknowledgement meeting Nagle: no load of the machine
        # is in the way of every round.
        assert sorted(took)[rounds // 5] < 0.035
