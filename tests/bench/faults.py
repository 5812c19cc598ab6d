#!/usr/bin/env python3
"""Measures what faults cost: cuts, storms of visitors, strangers, readers that stall.

usage: faults.py --bin build/gotunnel [--rounds 5] [--seconds 2] [--churn 20] [--only PART] [--small]

Everything is printed as one Markdown table, with the target beside where there is one. A target
that is missed is a line to look into and no failure: load, both ends, the network between them and
the service share the processors, with whatever else the machine does. The run fails only when
something could not be measured. Both ends run without the request log.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import pytest  # noqa: E402
from kit import gotunnel, need, ports, until  # noqa: E402
from kit.flood import Flood  # noqa: E402
from kit.gotunnel import Rig, Server  # noqa: E402
from kit.network import FIN, RST, SILENCE  # noqa: E402
from kit.oracles import MIB, Resources, ticks  # noqa: E402
from kit.place import Place  # noqa: E402
from kit.stream import connect, read_exactly, reset  # noqa: E402
from kit.strangers import call, client_hello  # noqa: E402
from kit.wire import RawClient  # noqa: E402
from procs import Load, build_load, free_port, wait_port  # noqa: E402
from rows import GB, LOAD, tried  # noqa: E402
from systems import GoTunnel  # noqa: E402

STREAMS = 16
GUESSER, OWNER = "127.0.0.2", "127.0.0.3"
# More than a login and RESUME with their answers take, and less than the first DATA of a window.
BEYOND_RESUME = 64 << 10


class Table:
    """Rows come as they are measured."""

    def head(self):
        print("| figure | median | least | most | more | target | |\n"
              "| --- | --- | --- | --- | --- | --- | --- |", flush=True)

    def row(self, name, values, form="{:,.0f}", most=None, least=None, more="", of=statistics.median):
        """`most` and `least` are targets, of what `of` makes of the values."""
        target = f"≤ {most:g}" if most is not None else f"≥ {least:g}" if least is not None else ""
        if not values:
            print(f"| {name} | nothing came | | | {more} | {target} | |", flush=True)
            return
        value, verdict = of(values), ""
        if target:
            met = value <= most if most is not None else value >= least
            verdict = "met" if met else "missed"
        cells = [form.format(v) for v in (value, min(values), max(values))]
        if len(values) == 1:
            cells[1:] = ["", ""]
        print(f"| {name} | {' | '.join(cells)} | {more} | {target} | {verdict} |", flush=True)


class Bench:
    """What the parts have in common."""

    def __init__(self, args, folder):
        self.args, self.folder, self.table = args, folder, Table()
        self.binary = pathlib.Path(args.bin).resolve()
        self.load = build_load(folder)
        self.rigs = 0

    @contextlib.contextmanager
    def rig(self):
        """Processes of one part; they are killed at its end, and none may have ended before."""
        self.rigs += 1
        folder = self.folder / f"rig{self.rigs}"
        folder.mkdir()
        rig = Rig(folder)
        try:
            yield rig
            dead = [p.name for p in rig.procs if hasattr(p, "popen") and not p.alive]
            if dead:
                raise RuntimeError(f"ended too early: {', '.join(dead)}")
        finally:
            for proc in rig.procs:
                getattr(proc, "proc", proc).kill()      # a network keeps its process
            for thing in reversed(rig.closers):
                thing.close()
            shutil.rmtree(rig.run_dir, ignore_errors=True)

    @contextlib.contextmanager
    def origin(self):
        """load's service: its port."""
        port = free_port()
        proc = subprocess.Popen([self.load, "origin", str(port)])
        try:
            wait_port(port)
            yield port
        finally:
            proc.kill()
            proc.wait()

    def run(self, *words, seconds=180):
        """The load: what it says."""
        done = subprocess.run([self.load, *map(str, words)], capture_output=True, text=True,
                              timeout=seconds)
        return self.said(words, done.stdout)

    @staticmethod
    def said(words, text):
        said = json.loads(text or '{"error": "no word"}')
        if "error" in said:
            raise RuntimeError(f"load {' '.join(map(str, words))}: {said['error']}")
        return said


def stats(port):
    """The numbers of a process, from the loopback address of --admin."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/api/stats", timeout=10) as page:
        return json.load(page)


def watched(rig, local):
    """A server that takes plaintext, too, and a client: each with .numbers() of its own."""
    admins = [ports.one(), ports.one()]
    server = rig.server(admin=f"127.0.0.1:{admins[0]}", no_request_log=True, plaintext=True)
    client = rig.client(server, local, admin=f"127.0.0.1:{admins[1]}", no_request_log=True)
    server.numbers, client.numbers = lambda: stats(admins[0]), lambda: stats(admins[1])
    return server, client


def percentile(values, share):
    values = sorted(values)
    return values[round((len(values) - 1) * share)] if values else 0


def kib(count):
    return count / 1024


# --- 1: how long a resume takes -----------------------------------------------------------


class Cut:
    """A tunnel under a flood both ways, and how long it does not move."""

    def __init__(self, bench, rig, folder, plaintext, size):
        folder.mkdir()
        self.flood = rig.keep(Flood(STREAMS, size))
        self.place = Place(rig, self.flood, plaintext=plaintext, no_request_log=True, state=folder,
                           server={"no_request_log": True, "state": folder / "server"})
        self.network = self.place.network

    def go(self):
        self.flood.go(self.place.host, self.place.port)

    def passed(self, count, seconds=60):
        """Waits until so many more bytes were passed on."""
        first = self.network.count()
        until(lambda: self.moved(first) >= count, seconds, f"{count} bytes")

    def moved(self, since):
        said = self.network.count()
        return said.up + said.down - since.up - since.down

    def first_data(self, since, patience=30):
        """The network's count when the first DATA after the moment `since` was passed on."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            said = self.network.count()
            if said.up + said.down - since.up - since.down > BEYOND_RESUME:
                return said
            time.sleep(0.001)
        raise RuntimeError(f"no stream moved again within {patience} s")

    def cut_at_once(self, kind):
        """Connections die, and the next is possible at once: ms."""
        live = self.network.count().accepted
        since = self.network.tell("cut", kind, "both", "now")
        begun = since.time
        said = self.first_data(since)
        if kind == RST:
            # What the relay had passed on arrives first: the ends see the reset then.
            begun = self.network.wait("ended", conn=live).time
        return (said.time - begun) / 1000

    def back(self):
        """The network is there again: ms."""
        since = self.network.tell("restore")
        took = (self.first_data(since).time - since.time) / 1000
        self.network.pause()            # the next one is measured alone
        return took


def report_resume(bench, name, took):
    bench.table.row(f"resume, {name}: to the first DATA, ms", took, most=300,
                    more=f"p90 {percentile(took, 0.9):,.0f}, {len(took)} cuts")


def resume_at_once(bench, cuts, size):
    for mode in ("encrypted", "plaintext"):
        for kind in (RST, FIN):
            with bench.rig() as rig:
                one = Cut(bench, rig, rig.folder / "c", mode == "plaintext" or None, size)
                one.go()
                took = []
                for _ in range(cuts):
                    one.passed(2 * STREAMS * size // (2 * cuts))
                    took.append(one.cut_at_once(kind))
                faults = one.flood.faults(180)
                if faults:
                    raise RuntimeError(f"bytes were lost: {faults[0]}")
            report_resume(bench, f"{kind}, {mode}", took)


def resume_after(bench, name, cuts, size, kind, new, wait):
    """Several tunnels lose the network together and have it back one after another."""
    took, dice = {"encrypted": [], "plaintext": []}, random.Random(1)
    group = min(cuts, 5)
    while len(took["plaintext"]) < cuts:
        with bench.rig() as rig:
            ones = [(mode, Cut(bench, rig, rig.folder / f"{mode}{n}", mode == "plaintext" or None,
                               size)) for n in range(group) for mode in took]
            for _, one in ones:
                one.go()
            for _, one in ones:
                one.passed(4 * MIB)
            for _, one in ones:
                one.network.down(kind, new)
            wait([one for _, one in ones])
            for mode, one in ones:
                time.sleep(dice.random() * 0.25)        # at any moment between two attempts
                took[mode].append(one.back())
    for mode, values in took.items():
        report_resume(bench, f"{name}, {mode}", values)


def resume(bench):
    """Case 35: 16 streams both ways; how long until they move again."""
    small = bench.args.small
    cuts, size = (3, 16 * MIB) if small else (20, 64 * MIB)
    resume_at_once(bench, cuts, size)
    size = 64 * MIB                     # far from done when the network goes
    for new in ("refuse", "hole"):
        what = "refused" if new == "refuse" else "without an answer"
        resume_after(bench, f"after 5 s in which attempts are {what}", cuts, size, RST, new,
                     lambda _: time.sleep(5))

    def noticed(ones):
        for one in ones:
            one.place.client.wait_err("Connection lost", 40)
    resume_after(bench, "after a silence that the client noticed", cuts, size, SILENCE, "hole",
                 noticed)


# --- 2: what resuming costs while nothing happens -------------------------------------------


def pair(kind, hold):
    more = ("--plaintext",) if kind == "plaintext" else ()
    return type("Hold", (GoTunnel,), {
        "more": (*more, "--resume-hold", hold, *GoTunnel.more)})


def cost(bench):
    """--resume-hold 60s beside 0, in turns."""
    args = bench.args
    args.bytes = GB // 8 if args.small else GB
    rows = [row for row in LOAD if row.name.startswith("bulk") or row.name == "echo 64 conns"]
    folder = bench.folder / "cost"
    folder.mkdir()
    for kind in ("encrypted", "plaintext"):
        with bench.origin() as port, contextlib.ExitStack() as stack:
            both = []
            for hold in ("60s", "0"):
                system = pair(kind, hold)(f"{kind}{hold}", folder, port, bench.binary)
                stack.callback(system.stop)
                system.start()
                both.append(system)
            rest = [system.memory() for system in both]
            held = [Resources(*map(measurable, system.procs)) for system in both]
            for row in rows:
                cost_row(bench, kind, row, both)
            for hold, system, before, memory in zip(("60s", "0"), both, rest, held):
                peak = [memory.most(p) for p in memory.start]
                bench.table.row(f"memory of both ends, {kind}, hold {hold}: at rest, KiB", [before])
                bench.table.row(f"memory of both ends, {kind}, hold {hold}: at peak, KiB",
                                [kib(sum(peak))])


class measurable:
    """A process of bench.py, as the kit's oracles want it."""

    def __init__(self, popen):
        self.pid = popen.pid

    def rss(self):
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def cost_row(bench, kind, row, both):
    rates, costs = [], []
    for number in range(bench.args.rounds):
        got = {}
        for system in both if number % 2 else both[::-1]:
            values, error = tried(row, Load(bench.load), system, bench.args)
            if error:
                raise RuntimeError(f"{row.name}: {error}")
            got[system] = values
        (rate, cpu), (plain_rate, plain_cpu) = (got[system] for system in both)
        rates.append(rate / plain_rate)
        costs.append(cpu / plain_cpu if plain_cpu else 1)
    bench.table.row(f"hold 60s / 0, {kind}, {row.name}: rate", rates, "{:.3f}")
    what = "CPU s/GB" if row.name.startswith("bulk") else "CPU s an exchange"
    bench.table.row(f"hold 60s / 0, {kind}, {row.name}: {what}", costs, "{:.3f}")


# --- 3: visitors that leave at once -----------------------------------------------------------


def most_at_once(port):
    """The most connections that load's origin had since it was asked before."""
    with connect("127.0.0.1", port) as s:
        s.sendall(b"M" + bytes(8))
        return struct.unpack(">Q", read_exactly(s, 8))[0]


def storm(bench):
    """Case 12: connect + RST on a public port, beside the echoes of another tenant."""
    args, count = bench.args, 20000
    before, meanwhile, took, seen = {"p50": [], "p99": []}, {"p50": [], "p99": []}, [], []
    with bench.rig() as rig, bench.origin() as busy, bench.origin() as calm:
        server = rig.server(no_request_log=True)
        client = rig.client(server, busy, state="a", name="a:1", no_request_log=True)
        other = rig.client(server, calm, state="b", name="b:1", no_request_log=True)
        held = Resources(server, client)
        for _ in range(args.rounds):
            words = "paced", other.port, 8
            said = bench.run(*words, args.seconds, 500)
            most_at_once(busy)
            echoes = subprocess.Popen([bench.load, *map(str, words), "120", "500"],
                                      stdout=subprocess.PIPE, text=True)
            try:
                during = bench.run("storm", client.port, 64, count)
            finally:
                echoes.send_signal(signal.SIGTERM)
                text = echoes.communicate(timeout=30)[0]
            during_echoes = bench.said(words, text)
            for name in before:
                before[name].append(said[name] / 1000)
                meanwhile[name].append(during_echoes[name] / 1000)
            took.append(during["rate"])
            until(lambda: server.descriptors() <= held.start[server][1] + 2, 30,
                  "the end of all visits")
            seen.append(most_at_once(busy))
        for name in before:
            bench.table.row(f"another tenant's echo before: {name}, ms", before[name], "{:.2f}")
        bench.table.row("another tenant's echo during 20,000 connect+RST: p50, ms",
                        meanwhile["p50"], "{:.2f}")
        bench.table.row("another tenant's echo during 20,000 connect+RST: p99, ms",
                        meanwhile["p99"], "{:.2f}", most=50)
        bench.table.row("connect+RST, 1/s", took)
        bench.table.row("most connections the service had at once", seen, most=256, of=max)
        for proc in held.start:
            bench.table.row(f"memory of the {proc.name.split(':')[0]} at peak above rest, MiB",
                            [(held.most(proc) - held.start[proc][0]) / MIB], "{:.1f}", most=32)


# --- 4: strangers -------------------------------------------------------------------------------


class Crowd(threading.Thread):
    """Silent ones, ones with a byte a second, ones that stop in the middle of TLS.

    They come from one address, without a pause, until stop() and `count` have come.
    """

    def __init__(self, server, count):
        super().__init__(daemon=True)
        self.server, self.least, self.hello = server, count, client_hello()
        self.come, self.ending, self.live, self.error = 0, threading.Event(), [], None

    def add(self):
        kind = self.come % 3
        self.come += 1
        try:
            s = call(self.server, GUESSER)
            s.setblocking(False)
            if kind == 2:
                s.send(self.hello)
        except OSError:                 # reset at once
            return
        self.live.append([s, kind == 1, 0, time.monotonic()])

    def drip(self):
        """The slow send their next byte; who was closed goes."""
        staying = []
        for one in self.live:
            s, is_slow, sent, began = one
            try:
                if is_slow and sent <= time.monotonic() - began:
                    one[2] += s.send(self.hello[sent:sent + 1])
                while s.recv(4096):
                    pass
            except BlockingIOError:
                staying.append(one)
                continue
            except OSError:
                pass
            s.close()
        self.live = staying

    def run(self):
        try:
            while not self.ending.is_set() or self.come < self.least:
                for _ in range(8):
                    self.add()
                self.drip()
                time.sleep(0.004)
        except Exception as error:      # told by close()
            self.error = error

    def close(self):
        self.ending.set()
        self.join(60)
        for s, *_ in self.live:
            s.close()
        if self.error:
            raise self.error


def login(server):
    """ms from connect() until a client is logged in."""
    began = time.monotonic()
    raw = RawClient(server, server.token(), (OWNER, 0)).login()
    took = (time.monotonic() - began) * 1000
    raw.close()
    return took


def strangers(bench):
    """Case 1: 2,000 of one address while others log in."""
    with bench.rig() as rig:
        server = rig.server(plaintext=True, no_request_log=True)
        calm = [login(server) for _ in range(30)]
        held = Resources(server)
        crowd = Crowd(server, 2000)
        crowd.start()
        try:
            until(lambda: crowd.come > 300, 30, "the crowd")
            took = []
            for _ in range(30):
                took.append(login(server) / 1000)
                time.sleep(0.05)
        finally:
            crowd.close()
        bench.table.row("a login without strangers, s", [ms / 1000 for ms in calm], "{:.4f}")
        bench.table.row(f"a login beside {crowd.come:,} strangers, s: most of 30", took, "{:.4f}",
                        most=1, of=max, more=f"median {statistics.median(took):.4f}")
        bench.table.row("memory of the server at peak above rest, MiB",
                        [(held.most(server) - held.start[server][0]) / MIB], "{:.2f}", most=4)


# --- 5: descriptors run out ------------------------------------------------------------------------


def cpu_percent(proc, seconds):
    before, began = ticks(proc), time.monotonic()
    time.sleep(seconds)
    used = (ticks(proc) - before) / os.sysconf("SC_CLK_TCK")
    return used / (time.monotonic() - began) * 100


def greet(sock):
    sock.sendall(b"E" + bytes(8) + b"hello")
    assert read_exactly(sock, 5) == b"hello"


def descriptors(bench):
    """Case 29: a server with 256 descriptors and 400 visitors."""
    args = bench.args
    seconds = 3 if args.small else 10
    idle, without, first, last, login_again = [], [], [], [], []
    for _ in range(1 if args.small else args.rounds):
        with bench.rig() as rig, bench.origin() as origin, contextlib.ExitStack() as stack:
            control, public = ports.one(), ports.block(4)
            server = rig.add(Server(
                [need("prlimit"), "--nofile=256:256", rig.path, "server", "--addr",
                 f"127.0.0.1:{control}", "--start-port", public, "--end-port", public + 3,
                 "--token-file", rig.token_file, "--state-dir", rig.folder / "s", "--plaintext",
                 "--no-request-log", "--max-unauthenticated", 1000],
                env=rig.env(), cwd=rig.folder, name="server")).ready()
            server.host, server.control, server.token_file = "127.0.0.1", control, rig.token_file
            client = rig.client(server, origin, no_request_log=True)
            visitors = [stack.enter_context(connect("127.0.0.1", client.port))
                        for _ in range(400)]
            until(lambda: server.descriptors() > 190, 10, "as many as the server takes")
            taken = server.descriptors()
            idle.append(cpu_percent(server, seconds))
            # Those that are not logged in take what visitors must leave, for 5 s at most.
            held = [stack.enter_context(connect("127.0.0.1", control)) for _ in range(100)]
            server.wait_err("Too many open files")
            without.append(cpu_percent(server, 3))
            began = time.monotonic()
            for s in held:
                reset(s)
            login(server)
            login_again.append(time.monotonic() - began)
            began = time.monotonic()
            for s in visitors[:200]:
                reset(s)
            for s in visitors[200:390]:
                greet(s)
                last_at = time.monotonic() - began
                if s is visitors[200]:
                    first.append(last_at)
            last.append(last_at)
            for s in visitors[200:]:
                reset(s)
    bench.table.row(f"400 visitors, descriptors for {taken} in all: CPU during {seconds} s, "
                    "% of a core", idle, "{:.1f}", most=10)
    bench.table.row("the same and 100 strangers, no descriptor left: CPU during 3 s, % of a core",
                    without, "{:.1f}", most=10)
    bench.table.row("a login after the strangers left, s", login_again, "{:.3f}", most=1)
    bench.table.row("the first that waited, served after 200 left, s", first, "{:.3f}", most=1)
    bench.table.row("190 that waited, served after 200 left, s", last, "{:.3f}")


# --- 6: readers that stall -----------------------------------------------------------------------


def stall(port):
    """A download of 1 GiB, of which the first 10^6 bytes are read.

    The kernel's buffers of reader and service are small: they would be another machine's.
    """
    s = connect("127.0.0.1", port, receive_buffer=65536)
    s.sendall(b"S" + struct.pack(">Q", 1 << 30))
    left = 10 ** 6
    while left:
        data = s.recv(min(left, 65536))
        if not data:
            raise ConnectionError("a download ended")
        left -= len(data)
    return s


def settled(read, seconds=10):
    """A number, once it no longer changes."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        now = read()
        if now == last:
            break
        last = now
        time.sleep(0.3)
    return last


def queues(public, origin):
    """KiB in the kernel's queues of both ends' sockets: towards visitors, from the service."""
    to_visitors = from_service = 0
    # A port on all addresses is one of IPv6.
    table = [line for name in ("tcp", "tcp6")
             for line in pathlib.Path("/proc/net", name).read_text().splitlines()[1:]]
    for line in table:
        fields = line.split()
        here, there = (int(fields[n].split(":")[1], 16) for n in (1, 2))
        sending, received = (int(n, 16) for n in fields[4].split(":"))
        if fields[3] != "0A" and here == public:
            to_visitors += sending
        if fields[3] != "0A" and there == origin:
            from_service += received
    return kib(to_visitors), kib(from_service)


def stalled(bench):
    """Case 15: what they hold, and what others lose by them."""
    amount = GB // 4 if bench.args.small else GB
    for count, streams, what in ((1, 50, "50 others"), (300, 1, "the 301st")):
        with bench.rig() as rig, bench.origin() as origin:
            server, client = watched(rig, origin)
            both, ratios, rates = (server, client), [], []
            buffered, grown = {p: [] for p in both}, {p: [] for p in both}
            queued = {p: [] for p in both}
            bench.run("down", client.port, streams, amount)     # memory that any use takes
            for number in range(bench.args.rounds):
                rate = {}
                for beside in (False, True) if number % 2 else (True, False):
                    rest, stuck = {p: p.rss() for p in both}, []
                    try:
                        for _ in range(count if beside else 0):
                            stuck.append(stall(client.port))
                        if beside:
                            for p in both:
                                buffered[p].append(kib(settled(
                                    lambda: p.numbers()["totals"]["buffered_bytes"])))
                                grown[p].append(kib(p.rss() - rest[p]))
                            for p, held in zip(both, queues(client.port, origin)):
                                queued[p].append(held)
                        rate[beside] = bench.run("down", client.port, streams, amount)["rate"]
                    finally:
                        for s in stuck:
                            reset(s)
                    until(lambda: not server.numbers()["totals"]["streams_open"] and
                          not client.numbers()["totals"]["streams_open"], 30, "the end of streams")
                rates.append(rate[False])
                ratios.append((1 - rate[True] / rate[False]) * 100)
            name = f"{count} stalled reader{'s' if count > 1 else ''}"
            for p in both:
                end = p.name.split(":")[0]
                bench.table.row(f"{name}: held by the {end}, KiB", buffered[p])
                bench.table.row(f"{name}: memory of the {end} above before, KiB", grown[p])
                bench.table.row(f"{name}: in the kernel's queues of the {end}, KiB", queued[p])
            bench.table.row(f"{name}: rate of {what} without, MB/s", rates)
            bench.table.row(f"{name}: loss of rate of {what}, %", ratios, "{:.1f}", most=5)


# --- 7: churn ------------------------------------------------------------------------------------


def churn(bench):
    """Connections come and go while their tunnel is cut again and again."""
    seconds, cuts = bench.args.churn, 0
    with bench.rig() as rig, bench.origin() as origin:
        place = Place(rig, origin, no_request_log=True, server={"no_request_log": True})
        bench.run("connect", place.port, 16, 1)
        time.sleep(1)
        both = (place.server, place.client)

        def held():
            return [(p.descriptors(), p.rss()) for p in both]
        times = [held()]
        words = "connect", place.port, 16, seconds
        load = subprocess.Popen([bench.load, *map(str, words)], stdout=subprocess.PIPE, text=True)
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end and load.poll() is None:
                time.sleep(0.5)
                place.network.cut((RST, FIN)[cuts % 2])
                cuts += 1
            text = load.communicate(timeout=60)[0]
        finally:
            load.kill()
            load.wait()
        said = bench.said(words, text)
        times.append(held())
        time.sleep(10)
        times.append(held())
        bench.table.row(f"churn of {seconds:g} s with {cuts} cuts: connections", [said["count"]],
                        more=f"p50 {said['p50'] / 1000:.1f} ms, p99 {said['p99'] / 1000:.1f} ms")
        for at, when in enumerate(("at the start", "at the end", "10 s later")):
            for p, (files, memory) in zip(both, times[at]):
                before = times[0][both.index(p)]
                last = when == "10 s later"
                end = p.name.split(":")[0]
                bench.table.row(f"{end}, {when}: descriptors", [files],
                                most=before[0] + 2 if last else None)
                bench.table.row(f"{end}, {when}: memory, KiB", [kib(memory)],
                                most=kib(before[1]) + 4096 if last else None)


PARTS = (resume, cost, storm, strangers, descriptors, stalled, churn)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bin", default="build/gotunnel")
    p.add_argument("--rounds", type=int, help="5, small 2")
    p.add_argument("--seconds", type=float, help="of a load; 2, small 0.5")
    p.add_argument("--only", default="", help=f"parts: {' '.join(f.__name__ for f in PARTS)}")
    p.add_argument("--small", action="store_true", help="a quick run of everything")
    p.add_argument("--churn", type=float, help="seconds of it; 20, small 5")
    args = p.parse_args()
    for name, usual, few in (("rounds", 5, 2), ("seconds", 2, 0.5), ("churn", 20, 5)):
        if getattr(args, name) is None:
            setattr(args, name, few if args.small else usual)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    gotunnel.BIN = Rig.path = str(pathlib.Path(args.bin).resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gotunnel-bench-"))
    failed = []
    try:
        bench = Bench(args, folder)
        said = subprocess.run([bench.binary, "version"], capture_output=True, text=True).stdout
        print("; ".join(said.split("\n")[:2]))
        print(f"{args.rounds} rounds{', small' if args.small else ''}; {os.cpu_count()} processors "
              "shared by load, both ends, the network between them and service\n")
        bench.table.head()
        for part in PARTS:
            if not re.search(args.only, part.__name__):
                continue
            began = time.monotonic()
            try:
                part(bench)
            except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
                failed.append(f"{part.__name__}: {error}")
            print(f"{part.__name__} took {time.monotonic() - began:.0f} s", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for line in failed:
        print(f"\nnot measured: {line}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
