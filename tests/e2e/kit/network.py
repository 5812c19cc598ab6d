"""The network between client and server, as bad as a test wants (tests/relay/relay.c)."""
import re
import subprocess
import threading
import time

import pytest

from . import built, limit, ports
from .proc import Proc

UP, DOWN, BOTH = "up", "down", "both"
RST, FIN, SILENCE, LOSS = "rst", "fin", "silence", "loss"
KINDS = (RST, FIN, SILENCE)


class Event(dict):
    """A line of the relay: its first word and what follows as numbers or words."""

    def __init__(self, line):
        self.line = line
        self.name, *rest = line.split()
        for pair in rest:
            key, value = pair.split("=", 1)
            self[key] = int(value) if re.fullmatch(r"-?\d+", value) else value

    __getattr__ = dict.__getitem__


class Network:
    """A way to (host, port) over 127.0.0.1:port; what it can do is told in the C file's head.

    Events are kept in order. `accepted`, `ended`, `cut`, `restored` and `calm` are waited for
    with wait(name, ...), which never gives an event twice.
    """

    def __init__(self, target, port=None):
        self.target = target
        self.proc = Proc([built.program("relay/relay.c"), port or ports.one(), *target],
                         stdin=subprocess.PIPE, name="network")
        self.lock = threading.Lock()
        self.at = 0                     # in stdout: answers before it were given
        self.given = {}                 # event's name: how many wait() gave
        self.host = "127.0.0.1"
        self.port = int(self.proc.wait_out(r"^ready port=(\d+)$")[1])

    def tell(self, *words):
        """A command; the answer's numbers (accepted, live, cuts, up, down, time in us)."""
        line = " ".join(str(w) for w in words)
        with self.lock:
            self.proc.say(line)
            found = self.proc._wait(self.proc.out, "stdout", r"^(ok|error)( .*)?\n", 10, self.at)
            self.at = found.end()
        assert found[1] == "ok", f"{line}: {found[0]}"
        return Event(found[0])

    def count(self):
        return self.tell("count")

    def delay(self, ms, jitter_ms=0, way=BOTH):
        self.tell("delay", way, ms, jitter_ms)

    def rate(self, bytes_per_second, queue_ms=20, way=BOTH):
        self.tell("rate", way, bytes_per_second, queue_ms)

    def window(self, most, way=BOTH):
        self.tell("window", way, most)

    def slice(self, most, way=BOTH, seed=1):
        self.tell("slice", way, most, seed)

    def pause(self, way=BOTH):
        self.tell("pause", way)

    def go(self, way=BOTH):
        self.tell("go", way)

    def new(self, mode):
        """What becomes of later connections: forward, refuse, reset, silent, hole."""
        self.tell("new", mode)

    def cut(self, kind, way=BOTH):
        """Now, every connection."""
        self.tell("cut", kind, way, "now")

    def cut_at(self, kind, count, conn=None, counted=BOTH, way=BOTH):
        """The conn-th connection after `count` bytes of it; None: all, after so many more."""
        scope = ["sum"] if conn is None else ["conn", conn]
        self.tell("cut", kind, way, *scope, counted, count)

    def storm(self, kinds, least, most, count, seed, early=None, outage=None):
        """`count` cuts; early: (percent, bytes); outage: (ms, mode) after each."""
        if outage and not early:
            early = (0, 1)
        self.tell("storm", kinds if isinstance(kinds, str) else ",".join(kinds), least, most,
                  count, seed, *(early or ()), *(outage or ()))

    def down(self, kind=SILENCE, new="hole"):
        """No network from now on, for old connections and new ones."""
        self.new(new)
        self.cut(kind)

    def heal(self):
        """The network is back, and silent connections go on."""
        self.tell("heal")

    def restore(self):
        """The network is back, and silent connections stay silent."""
        self.tell("restore")

    def events(self, name=None):
        found = (Event(line) for line in self.proc.out.text.split("\n")[:-1]
                 if not line.startswith(("ok", "error")))
        return [e for e in found if name in (None, e.name)]

    def wait(self, name, seconds=10, **wanted):
        """The next event of a name (with these values) that was not given yet."""
        end = time.monotonic() + limit(seconds)
        while True:
            events = self.events(name)
            for at in range(self.given.get(name, 0), len(events)):
                if all(events[at].get(k) == v for k, v in wanted.items()):
                    self.given[name] = at + 1
                    return events[at]
            left = end - time.monotonic()
            if left <= 0 or not self.proc.alive:
                pytest.fail(f"no event {name} {wanted} within {limit(seconds)} s\n"
                            + self.proc.dump(), pytrace=False)
            with self.proc.out.changed:
                self.proc.out.changed.wait(min(left, 0.05))

    def dump(self):
        return self.proc.dump()

    def complaints(self):
        """Ends it: what was wrong with it, each a line."""
        if not self.proc.popen.stdin.closed:
            self.proc.popen.stdin.close()
        code = self.proc.wait_exit()
        return [] if code == 0 else [f"network: exit {code}"]

    def close(self):
        assert not self.complaints()
