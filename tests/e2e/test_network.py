"""The network between client and server: thin slices, cuts, pauses, none at all."""
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from kit import limit, missing, need, ports, until
from kit.gotunnel import Client, Server
from kit.origin import BlackHole, echo, source
from kit.proc import Proc
from kit.relay import Line
from kit.stream import (FIN, MIB, RST, Checker, connect, ending, read_exactly, receive,
                        send_counters)

SEED = 0x4E7


class Slicer(Line):
    """A relay of the control connection that passes a few bytes at a time, or ends it."""

    def __init__(self, server, sizes, cut_after=None):
        self.sizes, self.left = sizes, cut_after
        super().__init__(server)

    def pump(self, x, y):
        rng = random.Random(SEED)
        try:
            while data := x.recv(rng.randint(*self.sizes)):
                if self.left is not None:
                    data, self.left = data[:self.left], self.left - len(data[:self.left])
                y.sendall(data)
                if self.left == 0:
                    break
        except OSError:
            pass
        for s in (x, y):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.mark.parametrize("plaintext", [None, True])
def test_thin_slices(rig, serve, plaintext):
    """Cases 8, 34: every frame, record and handshake arrives in pieces of 1 to 7 bytes."""
    server = rig.server(plaintext=plaintext)
    slicer = rig.keep(Slicer(server, (1, 7)))
    client = rig.client(("127.0.0.1", slicer.port), serve(echo), plaintext=plaintext,
                        token_file=server.token_file)
    with connect("127.0.0.1", client.port) as s:
        writer = threading.Thread(target=lambda: (send_counters(s, SEED, 300000),
                                                  s.shutdown(socket.SHUT_WR)))
        writer.start()
        checker = Checker(SEED)
        assert (receive(s, checker), checker.fault, checker.count) == (FIN, None, 300000)
        writer.join()


@pytest.mark.parametrize("plaintext", [None, True])
def test_cut_anywhere(rig, serve, plaintext):
    """Cases 21, 27: the connection ends after any number of bytes, handshake included: never
    a clean end with bytes missing, and the client comes back once the way is free."""
    size = MIB
    service = serve(quietly(source(SEED, size)))
    server = rig.server(plaintext=plaintext)
    rng = random.Random(SEED)
    for number, cut in enumerate([1, 40, 150, 400, 700, *(rng.randrange(800, 600000)
                                                         for _ in range(15))]):
        slicer = Slicer(server, (1000, 70000), cut_after=cut)
        client = rig.client(("127.0.0.1", slicer.port), str(service), plaintext=plaintext,
                            token_file=server.token_file, wait=False, no_reconnect=True,
                            name=f"c{number}:1", state=f"c{number}")
        until(lambda: client.out.text or not client.alive, 10, "a tunnel, or its end")
        if client.out.text:
            client.forwarding()
            try:
                with connect("127.0.0.1", client.port) as s:
                    checker = Checker(SEED)
                    how = receive(s, checker)
                    assert checker.fault is None
                    assert how == RST or checker.count == size
            except ConnectionError:
                pass
        slicer.close()
        assert client.wait_exit() == 5
    client = rig.client(server, service, plaintext=plaintext)
    with connect("127.0.0.1", client.port) as s:
        checker = Checker(SEED)
        assert (receive(s, checker), checker.fault, checker.count) == (FIN, None, size)


def quietly(handler):
    """A handler whose visitor may leave at any time."""
    def run(sock):
        try:
            return handler(sock)
        except ConnectionError:
            return None
    return run


@pytest.mark.parametrize("which", [0, 1])
def test_a_process_that_sleeps_for_a_while(rig, serve, which):
    """Case 38: server or client is stopped in mid-transfer and goes on: nothing is lost."""
    size = 100 * MIB
    client = rig.tunnel(serve(source(SEED, size)))
    with connect("127.0.0.1", client.port) as s:
        checker = Checker(SEED)
        for _ in range(3):
            receive(s, checker, most=10 * MIB)
            rig.procs[which].signal(signal.SIGSTOP)
            time.sleep(0.7)
            rig.procs[which].signal(signal.SIGCONT)
        assert (receive(s, checker), checker.fault, checker.count) == (FIN, None, size)
    assert "Session lost" not in client.err.text


class Island:
    """A network of its own with one address (TEST-NET-1) that can be taken away."""

    HOST = "192.0.2.1"

    def __init__(self):
        ip = need("ip")
        self.holder = subprocess.Popen([need("unshare"), "--net", "--", need("sleep"), "600"],
                                       stderr=subprocess.PIPE)
        own = os.readlink("/proc/self/ns/net")
        path = f"/proc/{self.holder.pid}/ns/net"
        until(lambda: self.holder.poll() is not None or os.readlink(path) != own, 5, "a network")
        if self.holder.poll() is not None:
            missing("the right to make a network namespace")
        self.enter = [need("nsenter"), f"--net={path}", "--"]
        self.ip = [*self.enter, ip]
        subprocess.run([*self.ip, "link", "set", "lo", "up"], check=True)
        self.up()

    def up(self):
        subprocess.run([*self.ip, "addr", "add", f"{self.HOST}/32", "dev", "lo"], check=True)

    def down(self):
        """No route is left. (127.0.0.0/8 keeps its own when the loopback is down.)"""
        subprocess.run([*self.ip, "addr", "del", f"{self.HOST}/32", "dev", "lo"], check=True)

    def close(self):
        self.holder.kill()
        self.holder.wait()


def test_no_network_of_our_own_is_waited_for(rig):
    """It counts as no attempt, is told once, and ends when the network is back."""
    island = rig.keep(Island())
    control, first = ports.one(), ports.block(2)

    def start(kind, *argv):
        return rig.add(kind([*island.enter, rig.path, *argv], env=rig.env(), cwd=rig.folder))

    def server():
        return start(Server, "server", "--addr", f"{island.HOST}:{control}", "--start-port",
                     first, "--end-port", first + 1, "--token-file", rig.token_file, "--state-dir",
                     rig.folder / "s").ready()

    old = server()
    client = start(Client, "client", "--server", f"{island.HOST}:{control}", "--local", "1",
                   "--token-file", rig.token_file, "--state-dir", rig.folder / "c",
                   "--retries", "2", "--resume-hold", "0")
    client.forwarding()
    island.down()
    old.kill()
    since = len(client.err.text)
    client.wait_err("Session lost: ", 40, since)
    client.wait_err("no network, waiting", 10, since)
    time.sleep(5)               # more than two attempts would have taken
    assert client.alive
    assert client.err.text.count("no network, waiting") == 1
    island.up()
    server()
    client.wait_err("Connected successfully, away .*, same address", 40)


def test_visitors_that_come_and_go_at_once(rig, serve):
    """Case 12: 3,000 connects with RST: the session lives, nothing stays open."""
    client = rig.tunnel(serve(echo))
    before = [p.descriptors() for p in rig.procs]

    def storm():
        for _ in range(500):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.connect(("127.0.0.1", client.port))
            s.close()

    threads = [threading.Thread(target=storm) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"still here")
        assert read_exactly(s, 10) == b"still here"
    until(lambda: all(p.descriptors() <= n for p, n in zip(rig.procs, before)), 15,
          "the descriptors")
    assert "Session lost" not in client.err.text


def test_1000_visitors_at_once(rig, serve):
    """All stay open and each gets its own echo, twice over."""
    client = rig.tunnel(serve(echo))
    socks = [connect("127.0.0.1", client.port) for _ in range(1000)]
    for turn in (b"first", b"again"):
        for number, s in enumerate(socks):
            s.sendall(b"%s %05d" % (turn, number))
        for number, s in enumerate(socks):
            assert read_exactly(s, 11) == b"%s %05d" % (turn, number)
    for s in socks:
        s.close()


def test_visitors_that_leave_while_the_client_dials(rig):
    """Case 12: the service does not answer and nobody waits: the dials are given up."""
    hole = rig.keep(BlackHole())
    client = rig.tunnel(f"127.0.0.1:{hole.port}")
    until(lambda: "Nothing answers" in client.err.text, 15, "the first dial's end")
    before = [p.descriptors() for p in rig.procs]
    for _ in range(50):
        s = connect("127.0.0.1", client.port)
        s.sendall(b"x")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    until(lambda: all(p.descriptors() <= n for p, n in zip(rig.procs, before)), 15,
          "the descriptors")
    with connect("127.0.0.1", client.port) as s:
        assert ending(s, 20)[0] == RST


def test_output_to_a_full_disk(rig, serve):
    """Case 31: nobody can be told, and the tunnel works all the same."""
    server = rig.server()
    with open("/dev/full", "wb") as full:
        client = rig.add(Proc([rig.path, "client", "--server", f"127.0.0.1:{server.control}",
                               "--local", serve(echo), "--token-file", server.token_file,
                               "--state-dir", rig.folder / "c"], env=rig.env(),
                              stdout=full, stderr=full))
    server.wait_err("Exposing")
    with connect("127.0.0.1", server.first) as s:
        s.settimeout(limit(10))
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
    assert client.alive


SILENT_RESOLVER = """
import os, socket, subprocess, sys
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
life = os.dup(0)
os.set_inheritable(life, False)
os.dup2(os.open("/dev/null", os.O_RDWR), 0)
if os.fork() == 0:
    os.dup2(0, 1)
    os.dup2(0, 2)
    os.read(life, 1)
    os._exit(0)
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def in_silence(rig):
    """in_silence(argv…) runs a client where the name server takes questions and never answers."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    can = subprocess.run([need("unshare"), "--net", "--mount", need("ip"), "link", "set", "lo",
                          "up"], stdin=subprocess.DEVNULL, capture_output=True)
    if can.returncode:
        missing("the right to make a namespace")
    resolv = rig.folder / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    reader, writer = os.pipe()

    def start(*argv, **env):
        return rig.add(Client(["unshare", "--net", "--mount", "python3", "-c", SILENT_RESOLVER,
                               resolv, rig.path, "client", *argv], cwd=rig.folder, stdin=reader,
                              env=rig.env(PATH=path, **env), name="client"))

    yield start
    os.close(writer)            # the resolver ends
    os.close(reader)


def test_resolver_that_is_silent_does_not_hold_up_the_end(rig, in_silence):
    client = in_silence("--server", "slow.example.com", "--local", "3000", "--token", "word")
    client.wait_err("WARN")
    time.sleep(1)
    client.signal(signal.SIGTERM)       # the resolver needs minutes more
    assert client.wait_exit(5) == 0


def test_resolver_that_is_silent_is_told_from_a_silent_host(rig, in_silence):
    client = in_silence("--server", "slow.example.com", "--local", "3000", "--token", "word",
                        "--retries", "1", GOTUNNEL_TEST_TIME_SCALE="10")
    assert client.wait_exit(30) == 5
    assert "slow.example.com: no answer from the resolver in 10s" in client.err.text
    assert "is this machine's DNS reachable? an address works without it" in client.err.text
