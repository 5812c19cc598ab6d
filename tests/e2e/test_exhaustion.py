"""What runs out: descriptors, the disk, a tenant's share, a reader's patience.

The smallest thing pays for it, nothing spins, and all goes on after relief.
"""
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request

import pytest

from kit import SANITIZED, limit, missing, need, ports, until, wire
from kit.gotunnel import Client, Server
from kit.origin import echo
from kit.stream import FIN, MIB, Checker, connect, read_exactly, receive, reset
from kit.wire import RawClient

SEED = 0x29
FEW = 256


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """Hundreds of sockets in this process, each several times."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def cpu_seconds(proc):
    with open(f"/proc/{proc.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Idle:
    """Asserts that a process neither spins nor talks meanwhile."""

    def __init__(self, proc, lines=r"(?m)^.+$"):
        self.proc, self.lines = proc, lines

    def __enter__(self):
        self.began, self.cpu = time.monotonic(), cpu_seconds(self.proc)
        self.since = len(self.proc.err.text)

    def __exit__(self, kind, *_):
        if kind:
            return
        took = time.monotonic() - self.began
        # A loop that turns for nothing takes all of a core; the promise is a tenth.
        assert cpu_seconds(self.proc) - self.cpu < took * 0.35
        said = re.findall(self.lines, self.proc.err.text[self.since:])
        assert len(said) <= took + 2, said


class Echoes:
    """A visitor that was there before, and goes on."""

    def __init__(self, port):
        self.sock = connect("127.0.0.1", port)
        self.turn = 0
        self.go()

    def go(self, seconds=0):
        end = time.monotonic() + seconds
        while True:
            self.turn += 1
            data = b"turn %08d" % self.turn
            self.sock.sendall(data)
            assert read_exactly(self.sock, len(data)) == data
            if time.monotonic() >= end:
                return
            time.sleep(0.05)


def limited(kind, rig, *argv):
    """A process with few descriptors."""
    return rig.add(kind([need("prlimit"), f"--nofile={FEW}:{FEW}", rig.path, *argv],
                        env=rig.env(), cwd=rig.folder))


def dial(port, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", port), limit(20), (source, 0))


def is_served(s, word=b"hello"):
    s.settimeout(limit(20))
    try:
        s.sendall(word)
        return read_exactly(s, len(word)) == word
    except ConnectionError:
        return False


def test_400_visitors_and_descriptors_for_half(rig, serve):
    """Case 29: the server takes 192 of them, the others wait; clients can still log in."""
    control, first = ports.one(), ports.block(4)
    server = limited(Server, rig, "server", "--addr", f"127.0.0.1:{control}", "--start-port", first,
                     "--end-port", first + 3, "--token-file", rig.token_file, "--state-dir",
                     rig.folder / "s", "--plaintext", "--no-request-log",
                     "--max-unauthenticated", 1000).ready()
    server.host, server.control, server.token_file = "127.0.0.1", control, rig.token_file
    client = rig.client(server, serve(echo), plaintext=True, no_request_log=True)
    early = Echoes(client.port)
    visitors = [dial(client.port) for _ in range(400)]
    until(lambda: server.descriptors() > 190, 10, "as many as it takes")
    with Idle(server):
        early.go(3)
    with Idle(server, "cannot accept"):
        for number in range(10):                # reconnects find the descriptors kept for them
            raw = RawClient(server, server.token()).login(instance=bytes([number]) * 16)
            raw.bind()
            raw.close()
        # More strangers than were kept for that: now there is none left at all.
        held = [dial(control) for _ in range(100)]
        server.wait_err("cannot accept more connections for now: Too many open files")
        early.go(3)
    assert server.descriptors() <= FEW
    for s in held:
        s.close()
    RawClient(server, server.token()).login(instance=b"r" * 16).close()
    early.go()
    # Those that waited in the queue come in as the others go.
    for s in visitors[:250]:
        reset(s)
    assert all(is_served(s) for s in visitors[250:])
    early.go()
    assert "Session lost" not in client.err.text
    for s in visitors[250:]:
        s.close()


def test_client_without_descriptors(rig, serve):
    """Case 29: visitors for whom it cannot dial are reset; the others do not notice."""
    server = rig.server(no_request_log=True)
    service = serve(echo)
    service.expect_probe()
    client = limited(Client, rig, "client", "--server", f"127.0.0.1:{server.control}", "--local",
                     service, "--token-file", rig.token_file, "--state-dir", rig.folder / "c",
                     "--no-request-log").forwarding()
    service.await_probe()
    early = Echoes(client.port)
    visitors = []
    for _ in range(400):
        try:
            visitors.append(dial(client.port))
        except ConnectionResetError:
            pass
    with Idle(client):
        served = [s for s in visitors if is_served(s)]
        early.go(3)
    assert 150 < len(served) < FEW
    assert client.descriptors() <= FEW
    for s in served[:20]:
        reset(s)

    def works():
        try:
            with dial(client.port) as s:
                return is_served(s)
        except ConnectionResetError:
            return False
    until(works, 5, "room for a visitor")
    assert all(is_served(s) for s in served[20:])
    early.go()
    assert "Session lost" not in client.err.text
    for s in visitors:
        s.close()


# --- the disk -------------------------------------------------------------------------


class Disk:
    """A tmpfs of 64 KiB."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        done = subprocess.run([need("mount"), "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
                              capture_output=True)
        if done.returncode:
            missing("the right to mount")

    def fill(self):
        with open(self.folder / "filler", "ab", buffering=0) as f:
            for size in (4096, 1):
                try:
                    while True:
                        f.write(bytes(size))
                except OSError:
                    pass

    def relieve(self):
        (self.folder / "filler").unlink()

    def close(self):
        subprocess.run([need("umount"), "--lazy", self.folder], check=True)


def visit(port):
    with connect("127.0.0.1", port) as s:
        assert is_served(s)


def test_state_and_log_on_a_full_disk(rig, serve):
    """Case 31: the tunnels go on, and what is on the disk is whole or is not there."""
    disk = rig.keep(Disk(rig.folder / "disk"))
    log = disk.folder / "log"
    state = disk.folder / "state"
    server = rig.server(addr="127.0.0.1", state="disk/state", log_file=log, wait=False)
    server.wait_out("Control Port")
    service = serve(echo)
    first = rig.client(server, service, name="a:1", state="a")
    leases = state / f"leases.{server.control}"
    until(lambda: leases.exists() and leases.stat().st_size == 18 + 166, 10, "a lease on disk")
    whole = leases.read_bytes()
    disk.fill()
    # A line for each of these, and a new lease that has no room.
    for _ in range(300):
        visit(first.port)
    second = rig.client(server, service, name="b:1", state="b")
    visit(second.port)
    until(lambda: not [p for p in state.iterdir() if p.name != leases.name], 10,
          "the end of an attempt to write")
    assert leases.read_bytes() == whole
    lines = log.read_text().split("\n")
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (INFO|WARN|ERROR|DEBUG) ", line)
               for line in lines[:-1]), lines
    disk.relieve()
    third = rig.client(server, service, name="c:1", state="c")
    until(lambda: len(leases.read_bytes()) == 18 + 3 * 166, 10, "the leases once there is room")
    visit(third.port)
    until(lambda: f":{third.port}" in log.read_text(), 10, "lines once there is room")
    # What was begun before the disk was full may be one line that is cut, but no more.
    torn = [line for line in log.read_text().split("\n")[:-1]
            if not re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (INFO|WARN|ERROR|DEBUG) ", line)]
    assert not torn
    assert server.stop() == 0


@pytest.mark.parametrize("which", ["server", "client"])
def test_state_that_was_always_full(rig, serve, which):
    """Case 31: neither a token nor an instance can be kept: it is said, and both go on."""
    disk = rig.keep(Disk(rig.folder / "disk"))
    disk.fill()
    server = rig.server(state="disk/s" if which == "server" else "s")
    client = rig.client(server, serve(echo), state="disk/c" if which == "client" else "c")
    visit(client.port)
    assert all(p.stat().st_size == 0 or p.name == "filler"
               for p in disk.folder.rglob("*") if p.is_file())
