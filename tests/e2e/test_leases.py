"""Whose a port is, over restarts of the server: STATE/leases.PORT."""
import os
import signal

import pytest

from kit import until
from kit.origin import echo
from kit.stream import connect, read_exactly


def leases(rig, server, state="server-state"):
    return rig.folder / state / f"leases.{server.control}"


def works(port, host="127.0.0.1"):
    with connect(host, port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


def again(rig, server):
    """The same server, started anew."""
    return rig.server(port=server.control, start=server.first,
                      count=server.last - server.first + 1)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_newcomer_takes_nobodys_port(rig, serve, end):
    """Case 39: the clients are away while the server starts; somebody else comes first."""
    service = serve(echo)
    server = rig.server()
    clients = [rig.client(server, service, name=f"c{n}:1", state=f"c{n}") for n in range(2)]
    ports = [c.port for c in clients]
    until(lambda: leases(rig, server).exists() and
          leases(rig, server).stat().st_size == 18 + 2 * 166, 10, "two leases on disk")
    for c in clients:
        c.signal(signal.SIGSTOP)
    if end == signal.SIGKILL:
        server.kill()
    else:
        server.signal(end)
        server.signal(end)              # the clients sleep and would be waited for
        server.wait_exit()
    server = again(rig, server)
    newcomer = rig.client(server, service, name="new:1", state="new")
    assert newcomer.port not in ports
    since = [len(c.err.text) for c in clients]
    for c in clients:
        c.signal(signal.SIGCONT)
    for c, at in zip(clients, since):
        c.wait_err("Connected successfully, away .*, same address", 60, at)
    for port in [*ports, newcomer.port]:
        works(port)


def test_a_clean_stop_keeps_them_too(rig, serve):
    server = rig.server()
    client = rig.client(server, serve(echo), no_reconnect=True)
    assert server.stop() == 0
    assert client.wait_exit() == 5
    assert leases(rig, server).stat().st_size == 18 + 166
    assert leases(rig, server).stat().st_mode & 0o777 == 0o600


def test_a_client_that_leaves_gives_it_back(rig, serve):
    server = rig.server()
    client = rig.client(server, serve(echo))
    until(lambda: leases(rig, server).exists() and leases(rig, server).stat().st_size > 18, 10,
          "a lease")
    client.stop()
    until(lambda: leases(rig, server).stat().st_size == 18, 10, "its end")
    assert rig.client(server, serve(echo), name="new:1", state="new").port == server.first


@pytest.mark.parametrize("content", [b"", b"rubbish\n" * 100, bytes(100000)])
def test_a_file_that_is_none_is_told_of(rig, serve, content):
    first = rig.server()
    first.stop()
    leases(rig, first).write_bytes(content)
    server = again(rig, first)
    server.wait_err(r"leases\.\d+: cannot be read as leases; clients may get other ports")
    works(rig.client(server, serve(echo)).port)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a folder that it may not write to")
def test_what_cannot_be_kept_is_told_of_once(rig, serve):
    """Case 31: a file stands where the folder should be: the tunnels go on."""
    (rig.folder / "server-state").write_text("in the way")
    server = rig.server()
    one = rig.client(server, serve(echo))
    rig.client(server, serve(echo), name="b:1", state="b")
    works(one.port)
    server.stop()
    assert server.err.text.count("after a restart clients may get other ports") == 1
