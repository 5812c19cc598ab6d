"""Public ports: which one a client gets, and when it is free again."""
import socket

import pytest

from kit import missing, until
from kit.gotunnel import has_ipv6, other_address
from kit.origin import echo
from kit.stream import connect, read_exactly
from kit.wire import RawClient


def works(host, port, word=b"hello"):
    with connect(host, port) as s:
        s.sendall(word)
        assert read_exactly(s, len(word)) == word


def refused(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.settimeout(5)
        return s.connect_ex((host, port)) != 0


@pytest.fixture
def target(serve):
    return serve(echo)


@pytest.fixture
def client(rig, target):
    """client(server, "name") is one of several clients, each with its own state."""
    def start(server, name, **given):
        return rig.client(server, given.pop("local", target), name=f"{name}:1",
                          state=f"state-{name}", **given)
    return start


def test_lowest_free_port_first(rig, client):
    server = rig.server()
    a, b, c = (client(server, name) for name in "abc")
    assert [x.port - server.first for x in (a, b, c)] == [0, 1, 2]
    b.stop()
    until(lambda: refused("127.0.0.1", server.first + 1), 5, "the freed port")
    assert client(server, "d").port == server.first + 1
    assert client(server, "e").port == server.first + 3


def test_three_clients_at_once_reach_their_own_services(rig, serve, client):
    server = rig.server()
    words = [b"first", b"second", b"third"]
    services = [serve(lambda sock, word=word: sock.sendall(word)) for word in words]
    for service in services:
        service.expect_probe()
    clients = [client(server, word.decode(), local=service, wait=False)
               for service, word in zip(services, words)]
    for one, service, word in zip(clients, services, words):
        one.forwarding()
        service.await_probe()
        with connect("127.0.0.1", one.port) as s:
            assert read_exactly(s, len(word)) == word
    assert len({one.port for one in clients}) == 3


def test_one_client_ends_and_the_others_go_on(rig, client):
    server = rig.server()
    a, b, c = (client(server, name) for name in "abc")
    with connect("127.0.0.1", b.port) as kept:
        a.stop()
        c.kill()
        kept.sendall(b"still")
        assert read_exactly(kept, 5) == b"still"
    works("127.0.0.1", b.port)


@pytest.mark.parametrize("where", ["0.0.0.0", "127.0.0.1", "::"])
def test_port_of_another_program_is_skipped(rig, client, where):
    """Also when it listens on one address only, or on the other family."""
    if where == "::" and not has_ipv6():
        missing("IPv6")
    server = rig.server()
    family = socket.AF_INET6 if ":" in where else socket.AF_INET
    with socket.socket(family) as other:
        if family == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind((where, server.first))
        other.listen()
        assert client(server, "a").port == server.first + 1


def test_remote_port(rig, client):
    server = rig.server()
    assert client(server, "a", remote_port=server.first + 5).port == server.first + 5
    assert client(server, "b", remote_port=server.last).port == server.last
    assert client(server, "c").port == server.first
    works("127.0.0.1", server.first + 5)


def test_all_ports_of_the_range_are_used(rig, client):
    server = rig.server(count=4)
    ports = [client(server, name).port for name in "abcd"]
    assert sorted(ports) == list(range(server.first, server.last + 1))
    one = client(server, "e", wait=False)
    assert one.wait_exit() == 7


def test_port_is_closed_with_its_client(rig, client):
    server = rig.server()
    one = client(server, "a")
    works("127.0.0.1", one.port)
    one.stop()
    until(lambda: refused("127.0.0.1", one.port), 5, "a closed port")


def test_same_client_gets_its_port_again(rig, client):
    """Stopped in good order or killed: the same name and instance own the port."""
    server = rig.server()
    client(server, "first")
    one = client(server, "second")
    port = one.port
    one.stop()
    one = client(server, "second")
    assert one.port == port
    one.kill()
    one = client(server, "second")
    assert one.port == port
    works("127.0.0.1", port)


def test_port_of_a_vanished_client_is_kept_for_it(rig, client):
    """It goes to nobody else while another one is free."""
    server = rig.server()
    a = client(server, "a")
    a.kill()
    b = client(server, "b")
    assert b.port != a.port
    assert client(server, "a").port == a.port


def test_port_of_a_vanished_client_is_given_away_at_last(rig, client):
    server = rig.server(count=1, resume_hold="0")
    a = client(server, "a")
    a.kill()
    until(lambda: refused("127.0.0.1", a.port), 10, "the end of the session")
    assert client(server, "b").port == a.port


def test_two_processes_of_one_name_do_not_evict_each_other(rig, target):
    """Case 41: the second one makes an instance of its own: both tunnels live."""
    server = rig.server()
    a = rig.client(server, target, name="same:1", state="one-state")
    with connect("127.0.0.1", a.port) as kept:
        kept.sendall(b"first")
        assert read_exactly(kept, 5) == b"first"
        b = rig.client(server, target, name="same:1", state="one-state")
        assert a.port != b.port
        kept.sendall(b"still")
        assert read_exactly(kept, 5) == b"still"
    works("127.0.0.1", b.port)


def test_default_name_is_host_and_local_port(rig, serve):
    server = rig.server()
    port = serve(echo).port
    rig.client(server, f"127.0.0.1:{port}")
    server.wait_err(rf"logged in \({socket.gethostname()}:{port}, ")
    server.wait_err(rf"Exposing {socket.gethostname()}:{port} 127\.0\.0\.1:{port} → "
                    rf":{server.first}$")


def test_most_connections_are_told_in_good_words(rig, target):
    server = rig.server(max_conns=1)
    client = rig.client(server, target)
    works("127.0.0.1", client.port)
    server.wait_err("WARN  1 public connection is open, the most allowed; further ones wait$")


def test_over_ipv6(rig, serve):
    if not has_ipv6():
        missing("IPv6")
    server = rig.server(addr="::1")
    service = serve(echo, host="::1")
    client = rig.client(server, f"[::1]:{service.port}")
    assert client.host == "::1"
    works("::1", client.port)


def test_public_port_listens_on_both_families(rig, target):
    """A visitor may come by IPv4 or IPv6, from this machine or another address."""
    server = rig.server(addr="0.0.0.0")
    client = rig.client(server, target)
    works("127.0.0.1", client.port)
    if has_ipv6():
        works("::1", client.port)
    if other_address():
        works(other_address(), client.port)


def test_control_port_on_all_addresses(rig, target):
    """--addr :PORT takes IPv4 and IPv6."""
    if not has_ipv6():
        missing("IPv6")
    server = rig.server(addr="")
    for number, host in enumerate(("127.0.0.1", "::1")):
        client = rig.client((host, server.control), target, token_file=server.token_file,
                            name=f"c{number}:1", state=f"c{number}")
        works("127.0.0.1", client.port)


def test_bind_host_keeps_public_ports_on_one_address(rig, target):
    address = other_address() or missing("an address that is not loopback")
    server = rig.server(addr="0.0.0.0", bind_host="127.0.0.1")
    client = rig.client((address, server.control), target, token_file=server.token_file)
    assert client.host == "127.0.0.1" and "(only on the server)" in client.out.text
    works("127.0.0.1", client.port)
    assert refused(address, client.port)


def test_addr_port_0_picks_one_and_says_which(rig, target):
    server = rig.server(port="0")
    server.control = int(server.wait_out(r"^Control Port +127\.0\.0\.1:(\d+)$")[1])
    assert server.control > 0
    works("127.0.0.1", rig.client(server, target).port)


def test_named_target_with_two_addresses(rig, serve):
    """localhost may be ::1 and 127.0.0.1; the service listens on one of them only."""
    server = rig.server()
    hosts = {info[4][0] for info in socket.getaddrinfo("localhost", 1)}
    for number, host in enumerate(sorted(hosts)):
        service = serve(echo, host=host)
        client = rig.client(server, f"localhost:{service.port}", name=f"c{number}:1",
                            state=f"c{number}")
        works("127.0.0.1", client.port)


def test_two_tunnels_of_one_session(rig):
    """The second takes nothing over from the first: each has a port, and its visitors."""
    server = rig.server(plaintext=True)
    one = RawClient(server, server.token()).login(instance=b"i" * 16)
    where = {number: one.bind(bind_id=number) for number in (1, 2)}
    assert sorted(where.values()) == [server.first, server.first + 1]
    for number, port in where.items():
        with connect("127.0.0.1", port) as visitor:
            visitor.sendall(b"x")
            _, stream, payload = one.expect("OPEN", skip=("HEARTBEAT", "CREDIT", "ACK", "DATA",
                                                          "CLOSE"))
            assert payload[:4] == number.to_bytes(4, "big")
    one.close()
