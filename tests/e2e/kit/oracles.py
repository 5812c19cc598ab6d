"""What must hold whatever the rest of a test does.

A canary is somebody else's tunnel, in use all the time; resources are what a
process held before and must hold again after.
"""
import json
import os
import threading
import time
import urllib.request

import pytest

from . import SANITIZED, limit, ports, until
from .origin import echo
from .stream import connect, read_exactly

MIB = 1 << 20
TICK = os.sysconf("SC_CLK_TCK")


def bound(allowed):
    """A sanitizer keeps what was freed, 256 MiB of it, to notice who still uses it."""
    return 16 * allowed + 512 * MIB if SANITIZED else allowed


def observed(rig, **given):
    """A server that takes plaintext, too; .page(path) is one of its pages, .stats() its numbers."""
    admin = ports.one()
    given.setdefault("plaintext", True)
    server = rig.server(admin=f"127.0.0.1:{admin}", **given)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def page(path):
        with opener.open(f"http://127.0.0.1:{admin}{path}", timeout=limit(10)) as answer:
            return answer.read().decode()
    server.page, server.stats = page, lambda: json.loads(page("/api/stats"))
    return server


class Canary:
    """A second tenant: a client of its own with 20 echoes of 1 KiB a second through its tunnel.

    None may fail and none may wait for seconds; how fast they are is the
    bench's business. `with Canary(…)` judges at the end, check() in between.
    """

    PERIOD, PATIENCE = 0.05, 5

    def __init__(self, rig, serve, server, **given):
        given = {"name": "canary:1", "state": "canary", **given}
        self.client = rig.client(server, serve(echo), **given)
        self.sock = connect("127.0.0.1", self.client.port)
        self.slowest, self.count, self.error = 0, 0, None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        until(lambda: self.error or self.count, 5, "the canary's first echo")

    def run(self):
        try:
            while not self.stop.is_set():
                data = os.urandom(1024)
                began = time.monotonic()
                self.sock.sendall(data)
                assert read_exactly(self.sock, 1024) == data, "another answer"
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.count += 1
                self.stop.wait(self.PERIOD)
        except Exception as error:      # judged in the test's thread
            self.error = error

    def check(self):
        """Further echoes go through, over the connections from before."""
        before = self.count
        until(lambda: self.error or self.count >= before + 3, 10, "an echo of the canary")
        self.judge()

    def judge(self):
        assert self.error is None, f"the canary's echo {self.count + 1}: {self.error!r}"
        assert self.slowest < limit(self.PATIENCE), f"an echo took {self.slowest:.1f} s"
        assert "Session lost" not in self.client.err.text

    def close(self):
        """Judges, and counts as a test's failure only where nothing failed before."""
        try:
            self.check()
        finally:
            self.stop.set()
            self.thread.join(limit(60))
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.stop.set()
            self.thread.join(limit(60))
            self.sock.close()


class Resources:
    """What processes hold; settled() waits until they hold no more than at the start.

    peak() is the most memory since then, as the kernel has seen it.
    """

    def __init__(self, *procs):
        self.start = {p: (p.rss(), p.descriptors()) for p in procs}
        for p in procs:
            with open(f"/proc/{p.pid}/clear_refs", "w") as f:
                f.write("5")            # VmHWM begins anew

    @staticmethod
    def most(proc):
        with open(f"/proc/{proc.pid}/status") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        pytest.fail("the kernel keeps no VmHWM")

    def peak(self, allowed=32 * MIB):
        """At no moment did a process hold more than `allowed` above its start."""
        for p, (memory, _) in self.start.items():
            grown = self.most(p) - memory
            assert grown <= bound(allowed), f"{p.name} grew by {grown >> 10} KiB"

    def settled(self, allowed=4 * MIB, slack=2, seconds=10):
        """The same processes, descriptors + slack, memory and CPU at rest.

        Fewer descriptors than at the start are no leak: a journal may have been open then.
        """
        for p, (memory, files) in self.start.items():
            until(lambda: p.alive and p.descriptors() - files <= slack, seconds,
                  f"{p.name}: {files} + {slack} descriptors, not {p.descriptors()},")
            # It is given back ten seconds after the last of a load.
            until(lambda: p.rss() - memory <= bound(allowed), seconds + 15,
                  f"{p.name}: memory below {memory + allowed >> 10} KiB, not {p.rss() >> 10} KiB,")
            until(lambda: self.rests(p), seconds, f"{p.name}: a second of rest")

    @staticmethod
    def rests(proc):
        """Whether it leaves the processor alone: a loop that spins takes all of it."""
        before, began = ticks(proc), time.monotonic()
        time.sleep(0.5)
        return (ticks(proc) - before) / TICK < 0.5 * (time.monotonic() - began)


def ticks(proc):
    """Processor time used, in clock ticks."""
    with open(f"/proc/{proc.pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
