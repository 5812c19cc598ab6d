"""A tunnel whose way between client and server can be broken: for what resuming promises."""
import os
import socket
import time

from . import SANITIZED, limit
from .network import SILENCE, Network
from .stream import connect, read_exactly

# Promises of seconds are kept so much faster; an attempt to connect must still be possible
# in a scaled second.
FAST = 3 if SANITIZED else 6
DEAD, HOLD = 25, 60
CUTS = max(20, int(os.environ.get("GOTUNNEL_TEST_CUTS", "20")))


def scaled(seconds):
    """How long a promised time really takes under the factor of a Place that is `fast`."""
    return seconds / FAST


class Place:
    """Server, network and client. `fast`: time of both ends runs FAST times as fast, or as many
    times as it says."""

    def __init__(self, rig, local, fast=False, plaintext=None, resume_hold=None, server=None,
                 record=None, **given):
        self.rig, self.local = rig, local
        self.factor = FAST if fast is True else fast or 1
        self.env = rig.env(GOTUNNEL_TEST_TIME_SCALE=str(self.factor)) if fast else None
        self.given = dict(plaintext=plaintext, resume_hold=resume_hold, env=self.env)
        self.server = rig.server(**{**self.given, **(server or {})})
        self.network = rig.add(Network((self.server.host, self.server.control)))
        if record:
            self.network.tell("record", record)
        self.more = {**self.given, **given}
        self.client = self.start_client()
        self.host, self.port = self.client.host, self.client.port

    def start_client(self, direct=False, **given):
        """The client, or it again: the same identity."""
        way = self.server if direct else ("127.0.0.1", self.network.port)
        given = {"token_file": self.server.token_file, **self.more, **given}
        return self.rig.client(way, self.local, **given)

    def start_server(self, **given):
        """The server again, on its ports."""
        old = self.server
        self.server = self.rig.server(port=old.control, start=old.first,
                                      count=old.last - old.first + 1, **{**self.given, **given})
        return self.server

    def visitor(self, **given):
        return connect(self.host, self.port, **given)

    def down(self, kind, way="both"):
        """From now on there is no network; old connections end by `kind`."""
        self.network.new("hole")
        self.network.cut(kind, way)

    def up(self):
        """The network is back; what was silent stays so."""
        self.network.restore()

    def outage(self, kind, seconds):
        self.down(kind)
        time.sleep(seconds)
        self.up()

    def detach(self, kind, seconds=0.3):
        """Down, until both ends know it: those that must hear nothing need their time."""
        self.down(kind)
        time.sleep(DEAD / self.factor + seconds if kind == SILENCE else seconds)

    @property
    def connections(self):
        """How many the client made so far."""
        return self.network.count().accepted

    def descriptors(self):
        return [self.server.descriptors(), self.client.descriptors()]


def echoes(sock, data=b"still there?"):
    """The stream is alive both ways."""
    sock.sendall(data)
    got = read_exactly(sock, len(data))
    assert got == data


def is_open(sock, seconds=0.0):
    """No end comes for so long."""
    sock.settimeout(max(seconds, 0.001))
    try:
        data = sock.recv(1, socket.MSG_PEEK)
        return data != b""
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False
    finally:
        sock.settimeout(limit(60))
