"""What is measured of each system: a row is one measurement, with a figure or more of it."""
import dataclasses
import signal
import time

import pytest

from procs import Failure, status

GB = 10 ** 9
IDLE, CROWD = 1000, 10000       # connections
AT_REST_S = 3                   # for which the processor is watched
READERS, READ = 16, 8 << 20     # that stall, and the bytes of each


@dataclasses.dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    digits: int = 0
    less: bool = False          # is better


@dataclasses.dataclass(frozen=True)
class Row:
    """run(load, system, size) gives a value, or None, for each figure.

    size.seconds and size.bytes say how much.
    """

    name: str
    run: callable
    figures: tuple
    fresh: bool = False         # wants a system that has just started
    systems: tuple = ()         # no others; () is all
    tunnels: bool = False       # not the row of what has no process
    needs: str = ""             # an option of gotunnel server without which there is no such row


def bulk(mode, streams):
    def run(load, system, size):
        before = system.cpu()
        said = load.run(mode, system.port, streams, size.bytes)
        return said["rate"], cost(system, before, said["bytes"] / GB)
    return run


def cost(system, before, amount):
    return (system.cpu() - before) / amount if system.procs and amount else None


def echo_many(load, system, size):
    before = system.cpu()
    said = load.run("echo", system.port, 64, size.seconds)
    return said["rate"], cost(system, before, said["count"] / 1e6)


def echo_one(load, system, size):
    said = load.run("echo", system.port, 1, size.seconds)
    return said["p50"], said["p99"]


def connect(parallel):
    def run(load, system, size):
        return load.run("connect", system.port, parallel, size.seconds)["rate"],
    return run


def paced(load, system, size):
    said = load.run("paced", system.port, 4, size.seconds, 200)
    return said["p50"], said["p99"]


def beside(load, system, size):
    """An echo that is paced, beside one download without end."""
    download = load.start("flow", system.port, 1, size.seconds, 0.5)
    try:
        time.sleep(0.5)
        p50, p99 = paced(load, system, size)
        return p50, p99, load.end(download)["rate"]
    finally:
        load.kill(download)


def hundred(load, system, size):
    said = load.run("flow", system.port, 100, size.seconds, 0.5)
    return said["jain"], said["rate"]


def stalled(load, system, size):
    """A download beside readers that stopped; they read on, and nothing of theirs is lost."""
    readers = load.start("stalled", system.port, READERS, READ)
    try:
        load.line(readers)
        rate = load.run("down", system.port, 1, size.bytes)["rate"]
        readers.send_signal(signal.SIGTERM)
        load.end(readers)
        return rate,
    finally:
        load.kill(readers)


class Held:
    """Connections that do nothing, between `with` and its end; then each must still answer."""

    def __init__(self, load, system, count):
        self.load, self.words = load, ("hold", system.port, count)

    def __enter__(self):
        self.proc = self.load.start(*self.words)
        try:
            self.seconds = self.load.line(self.proc)["seconds"]
        except BaseException:
            self.load.kill(self.proc)
            raise
        time.sleep(0.5)
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.load.kill(self.proc)
            return
        self.proc.send_signal(signal.SIGTERM)
        self.load.end(self.proc)


def idle(load, system, _):
    before = system.memory()
    with Held(load, system, IDLE):
        return (system.memory() - before) * 1024 / IDLE,


def user_mib(pid):
    """MiB of its own that are in memory: not the files it maps."""
    return status(pid, "RssAnon") / 1024


def crowd(load, system, _):
    with Held(load, system, CROWD) as held:
        before, began = system.cpu(), time.monotonic()
        time.sleep(AT_REST_S)
        busy = (system.cpu() - before) / (time.monotonic() - began) * 100
        return (held.seconds, busy, user_mib(system.server.pid), user_mib(system.client.pid))


def sessions(_, system, __):
    """KiB of the server for a session at rest: 40 more after the first ten."""
    for number in range(10):
        system.add_client(f"first-{number}")
    time.sleep(0.5)
    before = user_mib(system.server.pid)
    for number in range(40):
        system.add_client(f"more-{number}")
    time.sleep(0.5)
    return (user_mib(system.server.pid) - before) * 1024 / 40,


def workers(load, system, size):
    """Downloads of two sessions at once, in all: with one worker and with two."""
    rates, usual = [], system.server_more
    try:
        for number in (1, 2):
            system.server_more = (*usual, "--workers", number)
            system.restart()
            ports = [system.port, system.add_client("second")[1]]
            flows = [load.start("flow", port, 4, size.seconds, 0.5) for port in ports]
            rates.append(sum(load.end(flow)["rate"] for flow in flows))
    finally:
        system.server_more = usual
    return rates


def bulk_row(name, mode, streams):
    return Row(name, bulk(mode, streams), (
        Figure(name, "MB/s"), Figure(f"{name}, CPU of both ends", "s/GB", 2, less=True)))


OURS = ("gotunnel-plain", "gotunnel-encrypted")
MEMORY = (
    Row("idle connection", idle, (Figure("memory an idle connection, both ends", "bytes", less=True),),
        fresh=True, tunnels=True),
    Row("10,000 idle connections", crowd, (
        Figure("10,000 idle connections: set up", "s", 2, less=True),
        Figure("10,000 idle connections: CPU of both ends", "% of a core", 1, less=True),
        Figure("10,000 idle connections: server's memory", "MiB", 1, less=True),
        Figure("10,000 idle connections: client's memory", "MiB", 1, less=True)),
        fresh=True, systems=OURS),
    Row("idle session", sessions, (
        Figure("memory of the server for an idle session", "KiB", 1, less=True),),
        fresh=True, systems=OURS),
)
LOAD = (
    bulk_row("bulk down 1", "down", 1),
    bulk_row("bulk up 1", "up", 1),
    bulk_row("bulk down 16", "down", 16),
    bulk_row("bulk up 16", "up", 16),
    Row("echo 64 conns", echo_many, (
        Figure("echo 64 conns", "1/s"),
        Figure("echo 64 conns, CPU of both ends", "us an echo", 1, less=True))),
    Row("echo 1 conn", echo_one, (Figure("echo 1 conn p50", "us", less=True),
                                  Figure("echo 1 conn p99", "us", less=True))),
    Row("connections, 1 at a time", connect(1), (Figure("connections, 1 at a time", "1/s"),)),
    Row("connections, 64 at a time", connect(64), (Figure("connections, 64 at a time", "1/s"),)),
    Row("paced echo", paced, (Figure("paced echo p50", "us", less=True),
                              Figure("paced echo p99", "us", less=True))),
    Row("echo beside a download", beside, (
        Figure("echo beside a download p50", "us", less=True),
        Figure("echo beside a download p99", "us", less=True),
        Figure("download beside an echo", "MB/s"))),
    Row("100 downloads", hundred, (Figure("100 downloads, Jain's index", "", 3),
                                   Figure("100 downloads", "MB/s"))),
    Row("beside stalled readers", stalled, (
        Figure(f"bulk down 1 beside {READERS} stalled readers", "MB/s"),)),
)
WORKERS = (
    Row("workers", workers, (Figure("2 sessions, 1 worker", "MB/s"),
                             Figure("2 sessions, 2 workers", "MB/s")),
        fresh=True, systems=OURS, needs="--workers"),
)


def tried(row, load, system, size):
    """The row's values, and None; or None, and why there are none."""
    try:
        if row.fresh:
            system.restart()
        values = row.run(load, system, size)
        if not system.alive():
            raise Failure("a process of it ended")
        return values, None
    except (Failure, OSError, AssertionError, pytest.fail.Exception) as error:
        return None, str(error)
