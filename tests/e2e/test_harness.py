"""The instruments themselves: a broken path must be seen to be broken."""
import errno
import socket
import threading

import pytest

from kit import until
from kit.origin import Origin, echo, sink, source
from kit.relay import Relay
from kit.stream import (FIN, MIB, RST, Checker, connect, counters, receive, reset,
                        send_counters)
from kit.wire import RawClient, RawServer

pytestmark = pytest.mark.path
SEED = 0xABCDEF


def check(data, piece=1000):
    checker = Checker(SEED)
    for at in range(0, len(data), piece):
        checker.feed(data[at:at + piece])
    return checker


def test_a_good_stream_has_no_fault():
    data = counters(SEED, 0, 100003)
    assert counters(SEED, 77, 1000) == data[77:1077]
    checker = check(data)
    assert (checker.fault, checker.count) == (None, 100003)


@pytest.mark.parametrize("at, cut, words", [
    (5000, 16, "gap"), (5003, 1, "gap"), (4999, 4096, "gap"), (0, 8, "gap"),
])
def test_missing_bytes_are_a_gap(at, cut, words):
    data = counters(SEED, 0, 20000)
    checker = check(data[:at] + data[at + cut:])
    assert words in checker.fault and f" {cut} bytes are missing" in checker.fault
    assert at <= checker.count < at + 8


@pytest.mark.parametrize("at, back", [(5000, 8), (5003, 100), (6001, 5000)])
def test_bytes_that_come_twice_are_a_repeat(at, back):
    data = counters(SEED, 0, 20000)
    assert "repeat" in check(data[:at] + data[at - back:]).fault


def test_swapped_pieces_and_foreign_bytes_are_told_apart():
    data = counters(SEED, 0, 30000)
    assert "gap" in check(data[:8000] + data[16000:24000] + data[8000:16000]).fault
    other = counters(7, 8000, 1000)
    assert "of stream 0x7" in check(data[:8000] + other + data[9000:]).fault
    assert "garbage" in check(data[:8000] + bytes(1000) + data[9000:]).fault


def test_what_came_before_a_reset_within_connect_is_read(monkeypatch):
    """connect() is told of a reset if its thread had to wait meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def late(sock, address):
            limited = sock.gettimeout()
            sock.setblocking(False)
            sock.connect_ex(address)
            sock.settimeout(limited)
            peer, _ = listener.accept()
            peer.sendall(counters(SEED, 0, 5000))
            reset(peer)
            until(lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), what="a reset")
            raise ConnectionResetError(errno.ECONNRESET, "as connect() says it")

        monkeypatch.setattr(socket.socket, "connect", late)
        with connect(*listener.getsockname()) as s:
            checker = Checker(SEED)
            assert receive(s, checker) == RST
            assert (checker.fault, checker.count) == (None, 5000)
            with pytest.raises(ConnectionResetError):
                s.sendall(b"x")


def visit(relay, act):
    with connect(relay.host, relay.port) as s:
        return act(s)


def download(s, length=MIB):
    checker = Checker(SEED)
    return receive(s, checker), checker


@pytest.fixture
def relay_to(request):
    started = []

    def start(handler, *faults):
        service = Origin(handler)
        relay = Relay((service.host, service.port), faults)
        started.extend([relay, service])
        return relay, service

    yield start
    for thing in started:
        thing.close()


def test_a_sound_relay_is_sound(relay_to):
    relay, _ = relay_to(source(SEED, MIB))
    how, checker = visit(relay, download)
    assert (how, checker.fault, checker.count) == (FIN, None, MIB)


def test_a_relay_that_drops_is_caught(relay_to):
    relay, _ = relay_to(source(SEED, MIB), "drop")
    _, checker = visit(relay, download)
    assert "gap" in checker.fault and "100 bytes" in checker.fault


def test_a_relay_that_repeats_is_caught(relay_to):
    relay, _ = relay_to(source(SEED, MIB), "repeat")
    _, checker = visit(relay, download)
    assert "repeat" in checker.fault


def test_a_relay_without_half_close_is_caught(relay_to):
    def late(sock):
        receive(sock)
        send_counters(sock, SEED, MIB)

    relay, _ = relay_to(late, "no half-close")

    def ask(s):
        s.shutdown(socket.SHUT_WR)
        return download(s)

    _, checker = visit(relay, ask)
    assert checker.count < MIB


@pytest.mark.parametrize("faults, wanted", [((), RST), (("FIN for RST",), FIN)])
def test_a_relay_that_hides_a_reset_is_caught(relay_to, faults, wanted):
    relay, service = relay_to(sink(SEED), *faults)
    s = connect(relay.host, relay.port)
    send_counters(s, SEED, 4096)
    reset(s)
    checker, how = service.result()
    assert (how, checker.fault) == (wanted, None)


def test_echo_over_the_stand_in_relay_in_parallel(relay_to):
    relay, _ = relay_to(echo)
    failed = []

    def one(seed):
        with connect(relay.host, relay.port) as s:
            writer = threading.Thread(target=lambda: (send_counters(s, seed, 200000),
                                                      s.shutdown(socket.SHUT_WR)))
            writer.start()
            checker = Checker(seed)
            how = receive(s, checker)
            writer.join()
            if (how, checker.fault, checker.count) != (FIN, None, 200000):
                failed.append(checker.fault or how)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(1, 33)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


class Address:
    def __init__(self, port):
        self.host, self.control = "127.0.0.1", port


@pytest.mark.parametrize("token, good", [("right", True), ("wrong", False)])
def test_raw_client_and_raw_server_prove_each_other(token, good):
    """Both ends of the second implementation; only the same token convinces."""
    server, ends = RawServer("right"), []

    def serve():
        try:
            ends.append(server.tunnel(port=1234))
        except AssertionError as error:
            ends.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    client = RawClient(Address(server.port), token)
    if good:
        assert client.login().bind() == 1234
    else:
        client.greet().send("AUTH", 0, client.proof)
    thread.join()
    assert isinstance(ends[0], AssertionError) != good
    for thing in (client, server, *(ends if good else ())):
        thing.close()
