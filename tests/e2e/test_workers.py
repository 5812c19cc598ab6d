"""Several workers: what one process promises holds for all of them together.

GOTUNNEL_TEST_WORKERS=N lets every other test run with so many, too.
"""
import collections
import contextlib
import json
import os
import re
import signal
import socket
import struct
import threading
import time

import pytest

from kit import SANITIZED, in_threads, limit, until, wire
from kit.oracles import observed
from kit.origin import echo
from kit.place import Place, echoes
from kit.strangers import call
from kit.stream import FIN, MIB, RST, Checker, connect, ending, receive, reset, send_counters
from kit.wire import RawClient

from test_resume_hostile import OWNER, Session

WORKERS = 4
LIMIT_REACHED = 7
HOME = re.compile(r"(\S+): accepted by worker (\d+), at home on (\d+)")
STRANGER = "127.0.0.2"


def instance(number):
    return {"name": f"c{number}:1", "instance": bytes(15) + bytes([number])}


@pytest.fixture
def start(rig):
    """start() is a server with several workers and an admin address."""
    def make(**given):
        return observed(rig, **{"workers": WORKERS, "log_level": "debug", **given})
    return make


@pytest.fixture
def raw():
    """raw(server) is a new connection to the server."""
    opened = []

    def make(server, **given):
        opened.append(RawClient(server, server.token(), **given))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def homes(server, count):
    """[(accepted by, at home on)] of the first logins, in order."""
    until(lambda: len(HOME.findall(server.err.text)) >= count, 10, f"{count} homes")
    return [(int(here), int(home)) for _, here, home in HOME.findall(server.err.text)]


def asked(link, **given):
    """BIND: (port, None) or (None, code)."""
    link.send("BIND", 0, wire.bind(**given))
    name, _, payload = link.expect("BIND_OK", "BIND_ERR")
    code_or_port, = struct.unpack(">H", payload[4:6])
    return (code_or_port, None) if name == "BIND_OK" else (None, code_or_port)


# ---- where sessions are ----

def test_sessions_are_spread_evenly(start, raw):
    """The kernel picks who accepts; a session goes to the worker with the fewest."""
    server = start(count=24)
    links = [raw(server).login(**instance(n)) for n in range(16)]
    for link in links:
        link.bind()
    found = homes(server, 16)
    assert collections.Counter(home for _, home in found) == {n: 4 for n in range(WORKERS)}
    assert any(here != home for here, home in found), "none had to move"
    said = server.stats()
    assert said["workers"] == WORKERS
    assert said["sessions_open"] == 16
    assert sorted(t["port"] for t in said["tunnels"]) == sorted(link.port for link in links)


def test_many_clients(rig, serve, start):
    """Real clients, encrypted, each on one of the workers."""
    server = start(plaintext=None)
    service = serve(echo)
    clients = [rig.client(server, service, name=f"c{n}:1", state=f"c{n}") for n in range(6)]
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            for s in [stack.enter_context(connect("127.0.0.1", c.port)) for c in clients]:
                echoes(s)
    assert len({home for _, home in homes(server, 6)}) == WORKERS
    assert clients[0].stop() == 0
    until(lambda: server.stats()["sessions_open"] == 5, 10, "one session less")


@pytest.mark.skipif(SANITIZED, reason="the sanitizer has a thread of its own")
@pytest.mark.parametrize("count", [1, 2, 8])
def test_each_worker_has_a_thread(start, count):
    """And the first one's is the process's."""
    server = start(workers=count)
    assert len(os.listdir(f"/proc/{server.pid}/task")) == count


def test_with_one_worker_nobody_moves(start, raw):
    server = start(workers=1)
    raw(server).login(**instance(1)).bind()
    assert server.stats()["workers"] == 1
    assert not HOME.search(server.err.text)


def test_a_second_server_is_told_that_the_port_is_taken(rig, start):
    """Though the listeners of the first one share it."""
    server = start()
    for workers in (1, 2):
        second = rig.run("server", "--addr", f"127.0.0.1:{server.control}", "--workers", workers,
                         "--state-dir", rig.folder / "other")
        assert second.code == 7
        assert "Address already in use" in second.err.text


# ---- sessions that come back ----

def test_a_session_is_resumed_from_any_worker(start, raw):
    """Who accepts the new connection hands it to the session's worker, bytes and all."""
    server = start()
    session = Session(lambda: raw(server))
    for number in range(12):
        if number % 2:
            session.lose()              # or the old connection is still there
        session.resume()
        session.works()
    found = homes(server, 13)
    assert {home for _, home in found} == {found[0][1]}
    assert any(here != home for here, home in found)
    assert server.stats()["resumes"] == 12
    session.close()


def test_real_clients_resume(rig, serve, start):
    """Encrypted, with streams in both directions, cut again and again."""
    service = serve(echo)
    place = Place(rig, service, server={"workers": WORKERS, "log_level": "debug"})
    with place.visitor() as one, place.visitor() as two:
        for _ in range(10):
            place.network.cut("rst")
            echoes(one)
            echoes(two, b"x" * 200000)
    found = homes(place.server, 11)
    assert {home for _, home in found} == {found[0][1]}
    assert any(here != home for here, home in found)


def test_a_tunnel_is_taken_over_from_any_worker(start, raw):
    """The newer session of an identity gets the port, and the older one is told."""
    server = start()
    old = raw(server).login(**OWNER)
    port = old.bind()
    for _ in range(8):
        new = raw(server).login(**OWNER)
        assert asked(new, port=port) == (port, None)
        _, _, payload = old.expect("BIND_ERR")
        assert struct.unpack(">IH", payload[:6]) == (1, wire.REPLACED)
        old = new
    assert any(here != home for here, home in homes(server, 9))
    with connect("127.0.0.1", port):
        old.stream()


# ---- what they share ----

def test_a_port_has_one_owner(start, raw):
    """All ask for the same one at once."""
    server = start()
    for port in range(server.first, server.first + 4):
        links = [raw(server).login(**instance(n)) for n in range(12)]
        said = in_threads(12, lambda n: asked(links[n], port=port))
        assert sorted(said, key=str).count((port, None)) == 1
        assert [code for _, code in said].count(wire.PORT_TAKEN) == 11
        for link in links:
            link.close()


def test_ports_are_given_out_once_each(start, raw):
    server = start(count=12)
    links = [raw(server).login(**instance(n)) for n in range(15)]
    said = in_threads(15, lambda n: asked(links[n]))
    given = [port for port, code in said if not code]
    assert sorted(given) == list(range(server.first, server.last + 1))
    assert [code for _, code in said].count(wire.PORTS_USED_UP) == 3


def test_a_lease_is_found_from_any_worker(start, raw):
    """Its owner vanished and comes back; others in between get other ports."""
    server = start(count=12)
    links = [raw(server).login(**instance(n)) for n in range(4)]
    port_of = [link.bind() for link in links]
    for link in links:
        reset(link.sock)
    until(lambda: server.stats()["sessions_open"] == 0, 10, "nobody")
    others = [raw(server).login(**instance(100 + n)) for n in range(4)]
    assert not set(port_of) & {link.bind() for link in others}
    again = [raw(server).login(**instance(n)) for n in (3, 1, 2, 0)]
    assert [link.bind() for link in again] == [port_of[n] for n in (3, 1, 2, 0)]


def test_sessions_with_tunnels_are_capped_in_all(start, raw):
    server = start(max_sessions=5)
    links = [raw(server).login(**instance(n)) for n in range(12)]
    said = in_threads(12, lambda n: asked(links[n]))
    assert [code for _, code in said].count(None) == 5
    assert [code for _, code in said].count(LIMIT_REACHED) == 7
    links[[code for _, code in said].index(None)].close()
    until(lambda: server.stats()["sessions_open"] == 11, 10, "one session less")
    assert asked(raw(server).login(**instance(50)))[1] is None


def test_public_connections_are_capped_in_all(start, serve, rig):
    """At the most every worker's listeners pause; when one leaves, another is taken."""
    server = start(plaintext=None, max_conns=6)
    service = serve(echo)
    clients = [rig.client(server, service, name=f"c{n}:1", state=f"c{n}") for n in range(4)]
    assert len({home for _, home in homes(server, 4)}) == WORKERS
    with contextlib.ExitStack() as stack:
        visitors = [stack.enter_context(connect("127.0.0.1", clients[n % 4].port))
                    for n in range(6)]
        for s in visitors:
            echoes(s)
        server.wait_err("6 public connections are open, the most allowed")
        late = [stack.enter_context(connect("127.0.0.1", c.port)) for c in clients]
        for s in late:
            s.sendall(b"waits")
            s.settimeout(0.3)
            with pytest.raises(TimeoutError):
                s.recv(1)
        for s in visitors[:4]:
            s.close()
        for s in late:
            s.settimeout(limit(10))
            assert s.recv(5) == b"waits"


def come(stack, server, source):
    """A stranger; None when it is gone before it could look around."""
    try:
        return stack.enter_context(call(server, source))
    except ConnectionError:
        return None


def alive(sock):
    if not sock:
        return False
    sock.settimeout(0.01)
    try:
        return sock.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def test_strangers_of_an_address_are_capped_in_all(start):
    """Eight, wherever the kernel sends them."""
    server = start()
    with contextlib.ExitStack() as stack:
        ones = [come(stack, server, STRANGER) for _ in range(40)]
        until(lambda: sum(map(alive, ones)) == 8, 4, "eight that stay")
        until(lambda: server.stats()["source_drops"] == 32, 10, "the others' drops")


def test_strangers_make_room_on_other_workers(start):
    """A crowd gives way to newcomers from elsewhere, on whichever worker it is."""
    server = start(max_unauthenticated=8)
    with contextlib.ExitStack() as stack:
        crowd = [come(stack, server, STRANGER) for _ in range(8)]
        for number in range(40):
            come(stack, server, f"127.0.1.{number + 1}")
        until(lambda: sum(map(alive, crowd)) <= 1, 10, "a crowd that went")
        said = server.stats()
        assert said["early_drops"] >= 7
    until(lambda: server.page("/healthz") == "ok\n", 10, "a server that goes on")
    with RawClient(server, server.token()).login(**instance(1)).sock:
        pass


def test_guesses_are_counted_in_all(start):
    """Eight wrong proofs, each maybe on another worker; then its address has to wait."""
    server = start()
    said = []
    for _ in range(12):
        try:
            one = RawClient(server, "wrong", (STRANGER, 0))
            with one.sock:
                one.send("HELLO", 0, wire.hello(one.spake.message))
                said.append(one.expect("HELLO_ACK", "ERROR")[0])
                if said[-1] == "HELLO_ACK":
                    one.send("AUTH", 0, bytes(32))
                    assert one.expect("AUTH_ERR")
        except ConnectionError:
            said.append("reset")
    assert said[:8] == ["HELLO_ACK"] * 8
    assert "HELLO_ACK" not in said[8:]
    until(lambda: server.stats()["logins_refused"] == 8, 10, "the refusals")


# ---- what is told ----

def test_pages_tell_of_all(rig, serve, start):
    server = start(plaintext=None)
    service = serve(echo)
    clients = [rig.client(server, service, name=f"c{n}:1", state=f"c{n}") for n in range(4)]
    assert len({home for _, home in homes(server, 4)}) == WORKERS
    for n, c in enumerate(clients):
        for _ in range(n + 1):
            with connect("127.0.0.1", c.port) as s:
                echoes(s, b"x" * 1000)
    until(lambda: server.stats()["totals"]["streams_open"] == 0, 10, "an end of all streams")
    said = server.stats()
    assert said["totals"]["streams"] == said["totals"]["connections"] == 10
    assert said["totals"]["received_bytes"] == said["totals"]["sent_bytes"] == 10000
    assert {t["port"]: t["streams"] for t in said["tunnels"]} == \
        {c.port: n + 1 for n, c in enumerate(clients)}
    assert len(json.loads(server.page("/api/tunnels"))["tunnels"]) == 4
    text = server.page("/metrics")
    assert re.search(r"^gotunnel_sessions_open 4$", text, re.M)
    for n, c in enumerate(clients):
        assert re.search(rf'^gotunnel_streams_total\{{port="{c.port}"\}} {n + 1}$', text, re.M)
    server.signal(signal.SIGUSR2)
    server.wait_err("Total Streams +10|streams=10")


def visit(link):
    with connect("127.0.0.1", link.port) as s:
        stream = link.stream()
        link.send("RESET", stream, struct.pack(">HQ", wire.CANCELLED, 0))
        ending(s)


def unbind(link):
    """Frames are taken in order: when what follows is answered the port is free for all."""
    link.send("UNBIND", 0, struct.pack(">I", 1))
    link.send("HEARTBEAT", 0, struct.pack(">QB", 1, 0))
    answer = None
    while answer != struct.pack(">QB", 1, 1):
        _, _, answer = link.expect("HEARTBEAT", skip=("CREDIT", "ACK", "RESET", "CLOSE"))


@pytest.mark.parametrize("same_name", [True, False])
def test_a_port_that_changes_the_worker_has_one_row(start, raw, same_name):
    """With the same name its counters go on; with another they begin anew, and none is lost."""
    server = start()
    port = server.first
    bystanders = [raw(server).login(**instance(100)), raw(server).login(**instance(101))]
    for number in range(6):
        name = "desk:1" if same_name else f"desk{number}:1"
        link = raw(server).login(**{**instance(number), "name": name})
        assert link.bind(port=port) == port
        visit(link)
        unbind(link)
        # Somebody else comes, so that the next one has its home elsewhere.
        bystanders.append(raw(server).login(**instance(110 + number)))
        if number == 3:
            until(lambda: server.stats()["totals"]["streams_open"] == 0, 10, "no streams")
    until(lambda: server.stats()["totals"]["streams_open"] == 0, 10, "no streams")
    found = homes(server, 14)
    assert len({home for _, home in found[2::2]}) > 1, "it never changed the worker"
    text = server.page("/metrics")
    rows = re.findall(rf'^gotunnel_streams_total\{{port="{port}"\}} (\d+)$', text, re.M)
    assert rows == ["6" if same_name else "1"]
    assert server.stats()["totals"]["streams"] == 6


# ---- the end ----

def test_shutdown_lets_streams_of_all_finish(rig, serve, start):
    size = 4 * MIB

    def upload(sock):
        send_counters(sock, 77, size)

    server = start(plaintext=None)
    service = serve(upload)
    clients = [rig.client(server, service, name=f"c{n}:1", state=f"c{n}") for n in range(4)]
    assert len({home for _, home in homes(server, 4)}) == WORKERS
    with contextlib.ExitStack() as stack:
        downloads = []
        for c in clients:
            s = stack.enter_context(connect("127.0.0.1", c.port, receive_buffer=8192))
            checker = Checker(77)
            receive(s, checker, most=65536)
            downloads.append((s, checker))
        server.signal(signal.SIGTERM)
        server.wait_err("Shutting down: 4 streams open, waiting up to 30s")
        for s, checker in downloads:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            assert receive(s, checker) == FIN
            assert (checker.fault, checker.count) == (None, size)
    assert server.wait_exit(10) == 0


def test_shutdown_does_not_wait_for_ever(rig, serve, start):
    """--drain is over: every worker's streams are reset."""
    server = start(plaintext=None, drain="1s")
    service = serve(echo)
    clients = [rig.client(server, service, name=f"c{n}:1", state=f"c{n}") for n in range(4)]
    with contextlib.ExitStack() as stack:
        visitors = [stack.enter_context(connect("127.0.0.1", c.port)) for c in clients]
        for s in visitors:
            echoes(s)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        for s in visitors:
            assert ending(s)[0] == RST
        assert server.wait_exit(10) == 0
        assert time.monotonic() - began >= 0.9


def test_shutdown_while_strangers_come(start):
    """Logins on their way between two workers end with the server, too."""
    server = start(max_unauthenticated=1000, max_sessions=1000)
    stopped, counts = threading.Event(), [0] * 6

    def come(n):
        while not stopped.is_set():
            try:
                with RawClient(server, server.token()).login(**instance(n)).sock:
                    counts[n] += 1
            except (OSError, AssertionError):
                if not server.alive:
                    break

    def stop():
        try:
            until(lambda: sum(counts) > 50, 20, "logins")
            server.signal(signal.SIGTERM)
            return server.wait_exit(10)
        finally:
            stopped.set()

    assert in_threads(6, lambda n: come(n) if n else stop())[0] == 0
