"""Many streams of counters both ways at once, checked at both ends (tests/relay/flood.c)."""
import os
import re
import subprocess

from . import built
from .proc import Proc
from .stream import MIB

# Each way on each stream: little for every run; the whole promise with 64.
SIZE = int(os.environ.get("GOTUNNEL_TEST_FLOOD_MIB", "4")) * MIB


class Flood(Proc):
    """The service is there at once; go() lets the visitors come."""

    host = "127.0.0.1"

    def __init__(self, streams=16, size=SIZE):
        super().__init__([built.program("relay/flood.c"), streams, size], stdin=subprocess.PIPE,
                         name="flood")
        self.port = int(self.wait_out(r"^listening port=(\d+)$")[1])

    def __str__(self):
        return f"{self.host}:{self.port}"

    def go(self, host, port):
        self.say(f"go {host} {port}")

    def faults(self, seconds=60):
        """Waits for the end: the lines of what went wrong."""
        self.wait_out(r"^done faults=\d+ .*\n", seconds)
        return re.findall(r"^fault .*$", self.out.text, re.M)

    def close(self):
        self.kill()
