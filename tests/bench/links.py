"""Rows over a link: tests/relay between the two ends, with one queue a direction as a wire has.

A socket of the relay holds 128 KiB, and each direction has one rate and one queue for all
connections that pass: so it is not the kernel that decides who waits.
"""
import dataclasses
import time

from kit.network import Network
from procs import Failure
from rows import OURS, Figure, Row

QUEUE_MS, BUFFER = 20, 131072
WARM_S, LEAST_S = 2, 2
FEW = ("direct", "ssh-R", *OURS)


@dataclasses.dataclass(frozen=True)
class Link:
    name: str
    rate: float                 # bytes a second, each way
    round_trip: int             # ms
    rows: tuple
    systems: tuple = ()         # () is all
    window: int = 0             # bytes of a connection that are under way at most; 0: any


class Way:
    """A link to a port: System's `network`. It keeps the relays that it made."""

    def __init__(self, link):
        self.link, self.networks = link, []

    def __call__(self, port):
        network = Network(("127.0.0.1", port))
        self.networks.append(network)
        network.tell("buffer", BUFFER)
        network.delay(self.link.round_trip / 2)
        network.rate(round(self.link.rate), QUEUE_MS)
        network.window(self.link.window)
        return network.port

    def passed(self):
        return sum(sum(n.count()[way] for way in ("up", "down")) for n in self.networks)

    def settle(self):
        """Waits until what was given up has drained: at most 20 s."""
        before, end = self.passed(), time.monotonic() + 20
        while time.monotonic() < end:
            time.sleep(0.3)
            now = self.passed()
            if now - before < self.link.rate * 0.3 * 0.02 + 2000:
                return
            before = now

    def stop(self):
        for network in self.networks:
            network.proc.kill()
        self.networks = []


def seconds(size):
    return max(size.seconds, LEAST_S)


def paced(load, system, size):
    said = load.run("paced", system.port, 32, seconds(size), 100)
    return [said[p] / 1000 for p in ("p50", "p99")]


def beside(load, system, size):
    """Echo alone, then a download that has run for a while, then both."""
    system.network.settle()
    alone = paced(load, system, size)
    download = load.start("flow", system.port, 1, seconds(size), WARM_S)
    try:
        time.sleep(WARM_S)
        both = paced(load, system, size)
        return (load.end(download)["rate"], *alone, *both)
    finally:
        load.kill(download)


def far(load, system, size):
    system.network.settle()
    first = load.run("connect", system.port, 1, seconds(size))
    said = load.run("flow", system.port, 1, seconds(size), WARM_S)
    return said["rate"], first["p50"] / 1000


def several(load, system, size):
    """Eight downloads over a path on which a connection gets no more than its window."""
    system.network.settle()
    said = load.run("flow", system.port, 8, seconds(size), WARM_S)
    return said["rate"], said["jain"]


def foreign(load, system, size):
    """Its share of the link beside a flow that knows nothing of it and fills the same queue."""
    system.network.settle()
    mode = "flood" if system.inner_dials else "flow"
    network = system.network.networks[-1]
    target = network.target
    download = load.start("flow", system.port, 1, seconds(size), WARM_S)
    other = None
    try:
        time.sleep(1)
        network.tell("target", "127.0.0.1", system.origin)
        other = load.start(mode, network.port, 1, seconds(size), WARM_S - 1)
        mine, theirs = load.end(download)["rate"], load.end(other)["rate"]
        return mine, mine / (mine + theirs)
    finally:
        network.tell("target", *target)
        for proc in (download, other):
            if proc:
                load.kill(proc)


def slow(name):
    return Row(f"{name}: echo and download", beside, (
        Figure(f"{name}: download", "MB/s", 2), Figure(f"{name}: echo alone p50", "ms", 1, less=True),
        Figure(f"{name}: echo alone p99", "ms", 1, less=True),
        Figure(f"{name}: echo beside the download p50", "ms", 1, less=True),
        Figure(f"{name}: echo beside the download p99", "ms", 1, less=True)))


LONG = "link 100 MB/s, 100 ms, 1 MiB of a connection under way"
FAST, FAR, TEN, ONE = ("link 100 MB/s, 20 ms", "link 100 MB/s, 50 ms", "link 10 MB/s, 20 ms",
                       "link 1 MB/s, 20 ms")
LINKS = (
    Link(FAST, 100e6, 20, (
        slow(FAST),
        Row(f"{FAST}: beside a foreign flow", foreign, (
            Figure(f"{FAST}: download beside a foreign flow", "MB/s", 1),
            Figure(f"{FAST}: share beside a foreign flow", "", 2))))),
    Link(FAR, 100e6, 50, (
        Row(f"{FAR}: download", far, (
            Figure(f"{FAR}: download after 2 s", "MB/s", 1),
            Figure(f"{FAR}: new connection to its first byte, p50", "ms", 1, less=True))),), FEW),
    Link(TEN, 10e6, 20, (slow(TEN),), FEW),
    Link(LONG, 100e6, 100, (
        Row(f"{LONG}: 8 downloads", several, (
            Figure(f"{LONG}: 8 downloads", "MB/s", 1), Figure(f"{LONG}: 8 downloads, Jain", "", 3))),),
        ("direct", "ssh-R", "gotunnel-encrypted", "gotunnel-lanes4"), 1 << 20),
    Link(ONE, 1e6, 20, (slow(ONE),), FEW),
)
