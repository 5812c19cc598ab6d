"""The kernel has no source port left for a dial, or would give it the target's own."""
import socket

import pytest

from kit import limit, until
from kit.gotunnel import Client, Server
from kit.namespace import Namespace
from kit.origin import echo
from kit.stream import RST, ending, read_exactly, reset

LOW, COUNT = 40000, 100             # what the kernel gives source ports from
CONTROL, PUBLIC, SERVICE = 20000, 20001, 20100


@pytest.fixture
def network(rig):
    network = rig.keep(Namespace())
    network.sysctl("net.ipv4.ip_local_port_range", f"{LOW} {LOW + COUNT - 1}")
    return network


def tunnel(rig, network, service):
    """Server and client within the network; the client."""
    def start(kind, *argv):
        return rig.add(kind([*network.enter, rig.path, *argv], env=rig.env(), cwd=rig.folder))

    start(Server, "server", "--addr", f"127.0.0.1:{CONTROL}", "--start-port", PUBLIC, "--end-port",
          PUBLIC, "--token-file", rig.token_file, "--state-dir", rig.folder / "s").ready()
    return start(Client, "client", "--server", f"127.0.0.1:{CONTROL}", "--local",
                 f"127.0.0.1:{service}", "--token-file", rig.token_file, "--state-dir",
                 rig.folder / "c").forwarding()


def visitor(network, number):
    """A connection that takes no port of the range for itself; None: reset at once."""
    with network.inside():
        try:
            return socket.create_connection(("127.0.0.1", PUBLIC), limit(20),
                                            ("127.0.0.2", 21000 + number))
        except ConnectionResetError:
            return None


def is_served(s):
    """True: an echo came back. False: RST."""
    if s is None:
        return False
    s.settimeout(limit(20))
    try:
        s.sendall(b"hello")
        return read_exactly(s, 5) == b"hello"
    except (ConnectionResetError, BrokenPipeError):
        return False


def test_source_ports_used_up(rig, serve, network):
    """Case 24: visitors beyond are reset and it is said why; one that goes makes room."""
    with network.inside():
        serve(echo, port=SERVICE)
    client = tunnel(rig, network, SERVICE)
    visitors = [visitor(network, n) for n in range(COUNT + 20)]
    served = [s for s in visitors if is_served(s)]
    assert COUNT // 2 < len(served) <= COUNT
    client.wait_err(r"WARN +local service 127\.0\.0\.1:20100.*: Cannot assign requested address")
    client.wait_err("✗ .* service not available ")
    assert client.err.text.count("Cannot assign requested address") < 30
    # All that were served still are.
    assert all(is_served(s) for s in served)
    for _ in range(10):
        reset(served.pop())
    numbers = iter(range(COUNT + 20, 5000))
    more = []

    def works():
        more.append(visitor(network, next(numbers)))
        return is_served(more[-1])

    until(works, 5, "room for a visitor")
    assert "Session lost" not in client.err.text
    for s in filter(None, visitors + more):
        s.close()


def test_a_service_that_is_down_is_not_the_client_itself(rig, network):
    """Case 24: its port is one that the kernel may give to the dial, which then meets itself."""
    client = tunnel(rig, network, LOW + COUNT // 2)
    for number in range(4 * COUNT):
        s = visitor(network, number)
        if s is None:
            continue
        with s:
            try:
                s.sendall(b"hello")
            except (ConnectionResetError, BrokenPipeError):
                continue
            assert ending(s)[0] == RST
    assert client.err.text.count("Connection refused") >= 1
    assert "Session lost" not in client.err.text
