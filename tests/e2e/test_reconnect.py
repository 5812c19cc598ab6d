"""The connection is lost: attempts, their words and counts, and the way back."""
import re
import signal
import socket
import time

import pytest

from kit import missing, ports, until
from kit.gotunnel import FORWARDING
from kit.origin import BlackHole, echo
from kit.relay import Line
from kit.stream import RST, connect, ending, read_exactly, reset

STAMP = r"^\S+ +"                   # the time before a level, off a terminal
HOST = r"127\.0\.0\.1(?: \(127\.0\.0\.1\))?"


def works(port):
    with connect("127.0.0.1", port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


def is_served(port):
    try:
        works(port)
    except OSError:
        return False
    return True


@pytest.fixture
def target(serve):
    return serve(echo)


def restart(rig, server, how, **given):
    """Ends a server and starts it again on its ports."""
    if how == "killed":
        server.kill()
    else:
        assert server.stop() == 0
    return rig.server(port=server.control, start=server.first,
                      count=server.last - server.first + 1, **given)


@pytest.mark.parametrize("plaintext", [None, True])
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_server_restart_and_the_client_is_back_on_its_port(rig, target, how, plaintext):
    client = rig.tunnel(target, plaintext=plaintext, remote_port=None)
    server, port = client.server, client.port
    with connect("127.0.0.1", port) as s:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
        if how == "killed":
            restart(rig, server, how, plaintext=plaintext)
            assert ending(s)[0] == RST
    if how == "stopped":
        restart(rig, server, how, plaintext=plaintext)
    client.wait_err(r"Connected successfully, away \d+m?s, same address", 20)
    works(port)
    said = client.err.text
    assert re.search(STAMP + r"\w+ +Session lost: \S+", said, re.M)
    if how == "stopped":        # the other was found out when it was to be resumed
        assert re.search(STAMP + r"\w+ +Connection lost, attempting to reconnect\.\.\.$", said,
                         re.M)
        assert re.search(STAMP + r"\w+ +Connection attempt 1/10\.\.\.$", said, re.M)
    assert len(FORWARDING.findall(client.out.text)) == 1, "the address did not change"


def test_two_clients_come_back_to_their_own_ports(rig, target):
    server = rig.server()
    clients = [rig.client(server, target, name=f"{n}:1", state=n) for n in "abc"]
    wanted = [c.port for c in clients]
    restart(rig, server, "killed")
    for client, port in zip(clients, wanted):
        client.wait_err("Connected successfully, away .* same address", 20)
        works(port)


def test_port_that_was_taken_meanwhile(rig, target):
    """An automatic port that is gone is replaced, with a warning and the new address."""
    client = rig.tunnel(target)
    server, port = client.server, client.port
    server.kill()
    with socket.create_server(("0.0.0.0", port)):
        rig.server(port=server.control, start=server.first)
        since = len(client.out.text)
        client.forwarding(20, since)
        assert client.port == port + 1
        client.wait_err(r"WARN .*\b%d\b" % port)
        works(client.port)


def test_range_that_moved_meanwhile(rig, target):
    """An automatic port that the server offers no longer is replaced, too."""
    client = rig.tunnel(target)
    server, port = client.server, client.port
    server.kill()
    moved = rig.server(port=server.control)
    assert not moved.first <= port <= moved.last
    since = len(client.out.text)
    client.forwarding(20, since)
    assert client.port == moved.first
    client.wait_err(f"port {port}, which this tunnel had, is outside the server's range; "
                    "taking another$")
    client.wait_err("Connected successfully, away .*, new address")
    works(client.port)


def test_asked_for_port_outside_a_moved_range_is_waited_for(rig, target):
    server = rig.server()
    port = server.first + 4
    client = rig.client(server, target, remote_port=port)
    server.kill()
    moved = rig.server(port=server.control)
    client.wait_err(rf"Connection attempt \d+/10 failed: port {port} is outside the server's range "
                    rf"{moved.first}-{moved.last}", 20)
    assert client.alive


def test_asked_for_port_that_was_taken_is_waited_for(rig, target):
    """With --remote-port no other one will do; after a first success it is retried."""
    server = rig.server()
    port = server.first + 4
    client = rig.client(server, target, remote_port=port)
    server.kill()
    with socket.create_server(("0.0.0.0", port)):
        rig.server(port=server.control, start=server.first)
        client.wait_err(rf"Connection attempt \d+/10 failed: .*port {port} is in use", 20)
        assert client.alive
    client.wait_err("Connected successfully", 20)
    works(port)


def test_wrong_token_after_a_restart_is_final(rig, target):
    client = rig.tunnel(target)
    other = rig.write_secret("other", "another-token")
    restart(rig, client.server, "killed", token_file=other)
    assert client.wait_exit(20) == 4
    assert "the token does not match the server's" in client.err.text


@pytest.mark.parametrize("number", [1, 3])
def test_retries_are_counted_before_the_first_success(rig, number):
    """Each failure is one line with cause and wait; the hint comes once; exit 5."""
    port = ports.one()
    client = rig.client(("127.0.0.1", port), "127.0.0.1:1", wait=False, retries=number)
    assert client.wait_exit(30) == 5
    said = client.err.text
    failed = re.findall(STAMP + rf"WARN +Connection attempt (\d+)/{number} failed: {HOST} port "
                        rf"{port}: Connection refused(; next in (\d+)s)?$", said, re.M)
    assert [int(f[0]) for f in failed] == list(range(1, number + 1))
    waits = [int(f[2]) for f in failed[:-1]]
    assert all(w <= most for w, most in zip(waits, (1, 2, 4)))
    assert said.count("nothing listens there; is gotunnel server running?") == 1
    word = "attempt" if number == 1 else "attempts"
    assert f"gave up after {number} {word}; --retries 0 tries without end" in said


def test_the_count_is_10(rig):
    client = rig.client(("127.0.0.1", ports.one()), "127.0.0.1:1", wait=False)
    client.wait_err(r"Connection attempt 1/10 failed: ")
    client.signal(signal.SIGTERM)
    assert client.wait_exit() == 0


def test_no_end_of_retries(rig):
    client = rig.client(("127.0.0.1", ports.one()), "127.0.0.1:1", wait=False, retries=0)
    client.wait_err(r"Connection attempt 1 failed: .*; next in 1s")
    client.wait_err(r"Connection attempt 2 failed: ")


def test_server_that_comes_late(rig, target):
    """Started before its server: not reachable is retried before the first success too."""
    port = ports.one()
    client = rig.client(("127.0.0.1", port), target, wait=False, token_file=rig.token_file)
    client.wait_err(r"Connection attempt 1/10 failed")
    rig.server(port=port)
    client.forwarding(20)
    works(client.port)


def test_no_reconnect_gives_up_at_once(rig, target):
    client = rig.tunnel(target, no_reconnect=True)
    client.server.kill()
    assert client.wait_exit() == 5
    assert "Session lost: " in client.err.text
    assert re.search(rf"^gotunnel client: 127\.0\.0\.1:{client.server.control}: session lost: \S",
                     client.err.text, re.M)
    assert "Connection attempt" not in client.err.text


def test_no_reconnect_before_the_first_success(rig):
    client = rig.client(("127.0.0.1", ports.one()), "127.0.0.1:1", wait=False, no_reconnect=True)
    assert client.wait_exit() == 5
    assert "Connection attempt" not in client.err.text


@pytest.mark.parametrize("given, code", [({"token": "wrong"}, 4), ({"remote_port": 1}, 7),
                                         ({"plaintext": True}, 3)])
def test_final_errors_are_not_retried_at_the_start(rig, given, code):
    server = rig.server()
    given.setdefault("token_file", None if "token" in given else rig.token_file)
    client = rig.client(server, "127.0.0.1:1", wait=False, **given)
    assert client.wait_exit() == code
    assert "Connection attempt" not in client.err.text


def test_a_lost_connection_in_the_middle(rig, target):
    """Without a hold: only the TCP connection dies, visitors RST, back on the port."""
    server = rig.server()
    gate = rig.keep(Gate(server))
    client = rig.client(("127.0.0.1", gate.port), target, token_file=server.token_file,
                        resume_hold="0")
    for _ in range(3):
        since = len(client.err.text)
        with connect("127.0.0.1", client.port) as s:
            s.sendall(b"x")
            assert read_exactly(s, 1) == b"x"
            gate.cut()
            assert ending(s)[0] == RST
        client.wait_err("Connected successfully.*same address", 20, since)
        works(client.port)
    assert server.alive


class Gate(Line):
    """A relay whose connections can be cut while it goes on listening."""

    def cut(self):
        for _ in range(2):
            try:
                self.socks.pop().shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_resolving_anew(rig):
    """The name is looked up for every attempt, so its failures are told like others."""
    try:
        socket.getaddrinfo("nosuch.invalid", 1)
    except socket.gaierror as error:
        if error.errno != socket.EAI_NONAME:
            missing("a name server")
    client = rig.client(("nosuch.invalid", 9000), "127.0.0.1:1", wait=False, retries=2)
    assert client.wait_exit(30) == 5
    assert len(re.findall("failed: nosuch.invalid: Name or service not known",
                          client.err.text)) == 2


def test_suspended_client_comes_back(rig, target):
    """Case 38: stopped for longer than the server waits: noticed, and the same port again."""
    client = rig.tunnel(target)
    since = len(client.server.err.text)
    client.signal(signal.SIGSTOP)
    try:
        client.server.wait_err(r"no answer for 25s|lost", 40, since)
    finally:
        client.signal(signal.SIGCONT)
    until(lambda: is_served(client.port), 30, "a visitor served")
    works(client.port)


def test_dial_that_hangs_does_not_hide_a_lost_server(rig):
    hole = rig.keep(BlackHole())
    client = rig.tunnel(f"127.0.0.1:{hole.port}", resume_hold="0")
    s = connect("127.0.0.1", client.port)
    s.sendall(b"hello")
    time.sleep(0.5)
    reset(s)
    time.sleep(0.5)
    client.server.kill()
    client.wait_err("Session lost: ", 2)    # the dial has 10 s
