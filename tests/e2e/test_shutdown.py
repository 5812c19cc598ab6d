"""SIGTERM, SIGINT, SIGHUP: stop accepting, drain, exit 0; at once the second time."""
import signal
import socket
import time

import pytest

from kit import until
from kit.origin import BlackHole, echo
from kit.stream import (FIN, MIB, RST, Checker, connect, ending, read_exactly, receive, reset,
                        send_counters)

SEED = 0x77AA77
QUIT = [signal.SIGTERM, signal.SIGINT]


def refused(port):
    with socket.socket() as s:
        s.settimeout(5)
        return s.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def download(rig, serve):
    """(client, an open download that waits to be read)"""
    size = 24 * MIB

    def upload(sock):
        try:
            send_counters(sock, SEED, size)
        except ConnectionError:
            pass                # the test ends some of them by force

    service = serve(upload)
    client = rig.tunnel(service, drain="1h", server={"resume_hold": "2s", "drain": "1h"})
    s = connect("127.0.0.1", client.port, receive_buffer=8192)
    checker = Checker(SEED)
    receive(s, checker, most=65536)

    def finish():
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        how = receive(s, checker)
        s.close()
        return how, checker.fault, checker.count == size

    yield client, finish
    s.close()


def ends(rig, which):
    return rig.procs[0] if which == "server" else rig.procs[1]


@pytest.mark.parametrize("number", QUIT)
@pytest.mark.parametrize("which", ["server", "client"])
def test_idle_process_ends_at_once(rig, serve, which, number):
    rig.tunnel(serve(echo), drain="1h", server={"drain": "1h"})
    proc = ends(rig, which)
    proc.signal(number)
    assert proc.wait_exit() == 0
    assert "Shutting down" in proc.err.text


@pytest.mark.parametrize("which", ["server", "client"])
def test_transfer_under_way_is_finished(rig, download, which):
    """Case 40: no new visitors, the old one gets everything, then exit 0."""
    client, finish = download
    proc = ends(rig, which)
    proc.signal(signal.SIGTERM)
    proc.wait_err("Shutting down: 1 stream open, waiting up to 1h")
    until(lambda: refused(client.port), 5, "a closed public port")
    assert finish() == (FIN, None, True)
    assert proc.wait_exit() == 0


@pytest.mark.parametrize("which", ["server", "client"])
def test_drain_has_an_end(rig, serve, which):
    """Case 40: a stream that stays open gets RST when the time is over; exit 0 all the same."""
    client = rig.tunnel(serve(echo), drain="1500ms", server={"drain": "1500ms"})
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
        proc = ends(rig, which)
        started = time.monotonic()
        proc.signal(signal.SIGTERM)
        proc.wait_err(r"Shutting down: 1 stream open, waiting up to 1\.5s ")
        assert ending(s)[0] == RST
        assert time.monotonic() - started > 1.4
        assert proc.wait_exit() == 0


@pytest.mark.parametrize("number", QUIT)
@pytest.mark.parametrize("which", ["server", "client"])
def test_second_signal_ends_at_once(rig, download, which, number):
    """Case 40: with 128 + n, and the visitor is reset."""
    client, finish = download
    proc = ends(rig, which)
    proc.signal(number)
    proc.wait_err("Shutting down: ")
    proc.signal(number)
    assert proc.wait_exit() == 128 + number
    how, fault, whole = finish()
    assert (how, fault, whole) == (RST, None, False)


def test_streams_still_work_while_the_server_drains(rig, serve):
    """A stream that was open before goes on both ways during the drain."""
    client = rig.tunnel(serve(echo))
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"1")
        assert read_exactly(s, 1) == b"1"
        client.server.signal(signal.SIGTERM)
        client.server.wait_err("Shutting down: ")
        for _ in range(20):
            s.sendall(b"2")
            assert read_exactly(s, 1) == b"2"
        s.shutdown(socket.SHUT_WR)
        assert receive(s) == FIN
    assert client.server.wait_exit() == 0


def test_client_that_ends_frees_its_port_and_its_visitors(rig, serve):
    client = rig.tunnel(serve(echo), drain="0s")
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
        assert client.stop() == 0
        assert ending(s)[0] == RST
    until(lambda: refused(client.port), 5, "a closed public port")
    assert client.server.alive


@pytest.mark.parametrize("which", ["server", "client"])
def test_killed_process_resets_its_streams(rig, download, which):
    """Case 21: kill -9 in mid-download: a prefix and RST, never a clean end."""
    client, finish = download
    ends(rig, which).kill()     # the server's hold is 2 s here
    how, fault, whole = finish()
    assert (how, fault, whole) == (RST, None, False)


def test_client_waiting_to_reconnect_ends_at_once(rig, serve):
    client = rig.tunnel(serve(echo), resume_hold="0")
    client.server.kill()
    client.wait_err(r"Connection attempt 2/10 failed", 20)
    client.signal(signal.SIGTERM)
    assert client.wait_exit() == 0


def test_client_that_never_connected_ends_at_once(rig):
    client = rig.client(("127.0.0.1", 1), "127.0.0.1:1", wait=False)
    client.wait_err("Connection attempt 1/10 failed")
    client.signal(signal.SIGINT)
    assert client.wait_exit() == 0


def test_closed_window_ends_the_client(rig, serve):
    server = rig.server()
    client = rig.client(server, serve(echo), terminal={}, wait=False)
    client.wait_out(r"tcp://.*:\d+ → ")
    client.hang_up()
    assert client.wait_exit() == 0
    until(lambda: refused(server.first), 5, "a closed public port")


def test_hangup_without_a_terminal_goes_on(rig, serve):
    """SIGHUP then means: reload what can be reloaded."""
    client = rig.tunnel(serve(echo))
    for proc in rig.procs:
        proc.signal(signal.SIGHUP)
    time.sleep(0.3)
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
    assert all(proc.alive for proc in rig.procs)


def test_interrupt_on_a_terminal_waits_two_seconds(rig, serve):
    server = rig.server()
    client = rig.client(server, serve(echo), terminal={}, wait=False)
    client.wait_out(r"tcp://.*:\d+ → ")
    with connect("127.0.0.1", server.first) as s:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
        client.type("\x03")
        client.wait_out(r"Shutting down: 1 stream open, waiting up to 2s "
                        r"\(Ctrl-C again to stop now\)")
        assert ending(s)[0] == RST
    assert client.wait_exit() == 0


@pytest.mark.parametrize("which", ["server", "client"])
def test_usr1_ends_nothing(rig, serve, which):
    client = rig.tunnel(serve(echo))
    ends(rig, which).signal(signal.SIGUSR1)
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
    assert ends(rig, which).alive


def test_dial_that_hangs_does_not_hold_up_the_end(rig):
    """Its visitor has left; only the service's silence is still waited for."""
    hole = rig.keep(BlackHole())
    client = rig.tunnel(f"127.0.0.1:{hole.port}", drain="1s")
    s = connect("127.0.0.1", client.port)
    s.sendall(b"hello")
    time.sleep(0.5)
    reset(s)
    time.sleep(0.5)
    client.signal(signal.SIGTERM)
    assert client.wait_exit(2) == 0     # the dial has 10 s
