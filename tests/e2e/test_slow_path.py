"""Between client and server: records cut at their ends, a slow line, a dead family."""
import queue
import random
import socket
import threading
import time

from kit import limit, missing, need, until
from kit.gotunnel import Client, Server, has_ipv6
from kit.namespace import Namespace
from kit.relay import Line, end
from kit.stream import MIB, RST, Checker, connect, counters, read_exactly, receive, reset

SEED = 0x27
RECORD_HEAD = 5                 # of TLS: type, version, length


def quietly(handler):
    """A handler whose visitor may leave at any time."""
    def run(sock):
        try:
            return handler(sock)
        except ConnectionError:
            return None
    return run


class RecordCutter:
    """Passes a control connection on, until so many bytes after the server's n-th record."""

    def __init__(self, server, record, off):
        self.target, self.record, self.off = (server.host, server.control), record, off
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.was_cut = False
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(self.target)
        up = threading.Thread(target=self.pump, args=(client, server), daemon=True)
        up.start()
        try:
            for _ in range(self.record):
                client.sendall(self.take(server))
            last = self.take(server)
            client.sendall(last[:len(last) + min(self.off, 0)])
            if self.off > 0:
                client.sendall(read_exactly(server, self.off))
            self.was_cut = True
        except OSError:
            pass
        for s in (client, server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        up.join()
        client.close()
        server.close()

    @staticmethod
    def take(sock):
        head = read_exactly(sock, RECORD_HEAD)
        return head + read_exactly(sock, int.from_bytes(head[3:], "big"))

    @staticmethod
    def pump(client, server):
        try:
            while data := client.recv(65536):
                server.sendall(data)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def test_fin_without_goodbye_at_the_end_of_records(rig, serve):
    """Case 27: at the end of a record and a byte beside it: TCP ended well, TLS did not, and
    that is a lost connection, never a clean end for a service or a visitor."""
    size, heard = 3 * MIB, []

    def upload(sock):
        """Takes what the visitor sends; how it ended, and after how much."""
        checker = Checker(SEED)
        heard.append((receive(sock, checker), checker.fault, checker.count))

    service = serve(quietly(upload))
    server = rig.server()
    cuts = 0
    for record in [1, 2, 4, 5, 6, 8, 11, 30, 60]:
        for off in (-1, 0, 1):
            cutter = rig.keep(RecordCutter(server, record, off))
            name = f"c{record}{off}"
            client = rig.client(("127.0.0.1", cutter.port), str(service), wait=False, name=name,
                                token_file=server.token_file, no_reconnect=True, state=name)
            until(lambda: client.out.text or not client.alive, 10, "a tunnel, or its end")
            if client.out.text:
                client.forwarding()
                del heard[:]
                try:
                    with connect("127.0.0.1", client.port) as s:
                        sent = send_until_reset(s, size)
                        how = receive(s)
                        # The RST may have been told to the writer already.
                        assert how == RST or sent in (-1, size)
                except OSError:
                    pass
            if client.alive:
                client.wait_err("session lost|Session lost", 20)
            assert client.wait_exit() == 5
            cuts += cutter.was_cut
            for how, fault, count in heard:
                assert fault is None and (how == RST or count in (0, size)), (how, count)
    assert cuts > 15


def send_until_reset(s, size):
    """Sends counters and FIN; how many bytes the kernel took."""
    sent = 0
    try:
        while sent < size:
            n = min(64 * 1024, size - sent)
            s.sendall(counters(SEED, sent, n))
            sent += n
        s.shutdown(socket.SHUT_WR)
    except OSError:
        return -1
    return sent


class SlowLine(Line):
    """A relay of the control connection: some in slices of 1 to 7 bytes, late by 400 ± 300 ms."""

    def __init__(self, server, bytes_a_second):
        self.rate, self.passed, self.slow = bytes_a_second, 0, False
        super().__init__(server)

    def prepare(self, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)

    def pump(self, x, y):
        """Reads; another thread hands over what is due, so that being late costs no rate."""
        rng, way = random.Random(SEED), queue.Queue(maxsize=128)
        threading.Thread(target=self.hand_over, args=(way, y), daemon=True).start()
        try:
            while data := x.recv(1024):
                late = rng.uniform(0.1, 0.7) if self.slow else 0
                way.put((time.monotonic() + late, data))
        except OSError:
            pass
        way.put((0, b""))

    def hand_over(self, way, y):
        """To the end of what pump() puts in, so that it never waits for room in vain."""
        rng, is_open = random.Random(SEED), True
        while (item := way.get())[1]:
            is_open = is_open and self.hand(y, *item, rng)
        end(y)

    def hand(self, y, due, data, rng):
        """False when nobody takes it any more."""
        at = 0
        time.sleep(max(0, due - time.monotonic()))
        try:
            while self.slow and at < min(len(data), 20):
                n = rng.randint(1, 7)
                y.sendall(data[at:at + n])
                at += n
            y.sendall(data[at:])
        except OSError:
            return False
        self.passed += len(data)
        if self.slow:
            time.sleep(len(data) / self.rate)
        return True


def test_saturated_slow_line(rig, serve):
    """Case 34: full both ways for as long as several lifetimes of a dead peer, and no
    heartbeat is stuck behind data for so long that the session counts as lost."""
    env = rig.env(GOTUNNEL_TEST_TIME_SCALE="2")         # dead after 12.5 s
    server = rig.server(env=env, drain="1s")
    line = rig.keep(SlowLine(server, 100000))
    client = rig.client(("127.0.0.1", line.port), serve(quietly(talk)), env=env, drain="1s",
                        token_file=server.token_file)
    line.slow = True
    visitors = [connect("127.0.0.1", client.port) for _ in range(2)]
    for s in visitors:
        threading.Thread(target=feed, args=(s,), daemon=True).start()
    end = time.monotonic() + 35
    taken = 0
    while time.monotonic() < end:
        visitors[0].settimeout(limit(20))
        taken += len(visitors[0].recv(4096))
    assert taken and line.passed > 100000
    assert "Session lost" not in client.err.text and client.alive
    assert " lost: " not in server.err.text
    for s in visitors:
        reset(s)


def feed(s):
    try:
        while True:
            s.sendall(bytes(16384))
    except OSError:
        pass


def talk(sock):
    """Sends without end, and takes what comes."""
    threading.Thread(target=feed, args=(sock,), daemon=True).start()
    sock.settimeout(None)
    while sock.recv(65536):
        pass


class DeadV6:
    """[::1]:port of a network: a listener whose queue is full, so that every SYN is dropped."""

    def __init__(self, network, port):
        self.socks = []
        with network.inside():
            self.socks.append(socket.create_server(("::1", port), family=socket.AF_INET6,
                                                   backlog=0))
            for _ in range(8):
                s = socket.socket(socket.AF_INET6)
                s.setblocking(False)
                s.connect_ex(("::1", port))
                self.socks.append(s)

    def close(self):
        for s in self.socks:
            s.close()


def test_dead_ipv6_first(rig):
    """Case 37: the name's IPv6 address says nothing; the IPv4 one is tried beside it."""
    if not has_ipv6():
        missing("IPv6")
    network = rig.keep(Namespace())
    rig.keep(DeadV6(network, 9000))
    hosts = rig.folder / "hosts"
    hosts.write_text("::1 both.example\n127.0.0.1 both.example localhost\n")

    def start(kind, *argv):
        inside = [*network.enter, need("unshare"), "--mount", "sh", "-c",
                  'mount --bind "$0" /etc/hosts; exec "$@"', hosts, rig.path]
        return rig.add(kind([*inside, *argv], env=rig.env(), cwd=rig.folder))

    start(Server, "server", "--addr", "127.0.0.1:9000", "--start-port", 9001, "--end-port", 9001,
          "--token-file", rig.token_file, "--state-dir", rig.folder / "s").ready()
    client = start(Client, "client", "--server", "both.example:9000", "--local", "127.0.0.1:1",
                   "--token-file", rig.token_file, "--state-dir", rig.folder / "c",
                   "--log-level", "debug").forwarding()
    assert "::1" in client.err.text
    # Waiting for the dead one alone would have taken all the time of the attempt.
    assert "attempt 1/10 failed" not in client.err.text
