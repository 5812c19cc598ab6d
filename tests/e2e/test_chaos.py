"""Sessions that do anything, right and wrong, by chance: nothing of them stays.

What they do follows from the seed, when the answers come does not.
"""
import random
import socket
import struct

import pytest

from kit import SCALE, until, wire
from kit.oracles import MIB, Canary, Resources, observed
from kit.stream import connect, reset
from kit.wire import RawClient


class Wild(RawClient):
    """A client that knows enough of its streams to be right most of the time."""

    def __init__(self, server, chance):
        super().__init__(server, server.token())
        self.server, self.chance = server, chance
        self.login(name=f"wild{chance.randrange(2)}:1", instance=bytes([chance.randrange(3)]) * 16)
        self.sock.settimeout(0.001)
        self.ports, self.sent, self.dead, self.visitors = set(), {}, set(), []
        self.unread = b""

    def listen(self):
        """Takes what has come. ConnectionError at the end."""
        try:
            while data := self.sock.recv(65536):
                self.unread += data
            raise ConnectionError
        except socket.timeout:
            pass
        while len(self.unread) >= wire.HEAD.size:
            _, kind, stream, length = wire.HEAD.unpack(self.unread[:wire.HEAD.size])
            if len(self.unread) < wire.HEAD.size + length:
                return
            payload = self.unread[wire.HEAD.size:wire.HEAD.size + length]
            self.unread = self.unread[wire.HEAD.size + length:]
            if kind == wire.TYPES["BIND_OK"]:
                self.ports.add(struct.unpack(">H", payload[4:6])[0])
            if kind == wire.TYPES["OPEN"]:
                self.sent[stream] = 0

    def step(self):
        act = self.chance.random()
        if act < 0.15:
            self.send("BIND", 0, wire.bind(
                bind_id=self.chance.randrange(1, 5), kind=self.chance.choice([1, 1, 1, 2, 3]),
                port=self.chance.choice([0, 0, self.server.first + 1, self.server.last, 22])))
        elif act < 0.2:
            self.send("UNBIND", 0, struct.pack(">I", self.chance.randrange(5)))
        elif act < 0.4:
            self.be_visited()
        elif act < 0.5:
            self.be_left()
        elif self.sent:
            self.say()

    def be_visited(self):
        if not self.ports:
            return
        try:
            visitor = connect("127.0.0.1", self.chance.choice(sorted(self.ports)))
        except OSError:
            return
        visitor.setblocking(False)
        self.visitors.append(visitor)
        if self.chance.random() < 0.5:
            try:
                visitor.send(bytes(self.chance.choice([1, 100, 60000])))
            except OSError:
                pass

    def be_left(self):
        if not self.visitors:
            return
        visitor = self.visitors.pop(self.chance.randrange(len(self.visitors)))
        try:
            self.chance.choice([reset, socket.socket.close,
                                lambda s: s.shutdown(socket.SHUT_WR)])(visitor)
        except OSError:
            pass

    def say(self):
        """A frame of a stream, for the most part one that may be."""
        stream = self.chance.choice(sorted(self.sent))
        wrong = self.chance.random() < 0.01
        if wrong:
            stream += self.chance.randrange(3)
        elif stream in self.dead:
            return
        final = struct.pack(">Q", self.sent.get(stream, 0) + wrong)
        kind = self.chance.randrange(7)
        if kind < 3:
            data = bytes(self.chance.choice([0, 1, 100, 5000, 60000]))
            self.sent[stream] = self.sent.get(stream, 0) + len(data)
            self.send("DATA", stream, data)
        elif kind == 3:
            self.dead.add(stream)
            self.send("CLOSE", stream, final)
        elif kind == 4:
            self.dead.add(stream)
            self.send("RESET", stream, struct.pack(">H", self.chance.randrange(30)) + final)
        elif kind == 5:
            self.send("CREDIT", self.chance.choice([0, stream]),
                      struct.pack(">QQ", self.chance.choice([0, 1 << 18, 1 << 40]), 0))
        else:
            self.send(self.chance.choice([0x7F, "HEARTBEAT"]), 0, bytes(9))

    def leave(self):
        """In one way or another, its visitors too."""
        way = self.chance.randrange(4)
        try:
            if way == 0:
                self.send("ERROR", 0, wire.error(self.chance.randrange(30), "so long"))
            if way == 1:
                self.send("SHUTDOWN", 0, struct.pack(">II", 0, 0))
        except OSError:
            pass
        (reset if way == 2 else socket.socket.close)(self.sock)
        while self.visitors:
            self.be_left()


@pytest.mark.parametrize("seed", [1, 2])
def test_wild_sessions(rig, serve, seed):
    """Cases 9, 10, 11, 16, 18: 300 of them take over, break rules and leave; one tenant works on."""
    server = observed(rig)
    chance = random.Random(seed)
    with Canary(rig, serve, server) as canary:
        before, streams, held = server.stats()["logins"], 0, Resources(server)
        count = 0
        # More of them where answers are slow, until they have done something.
        while count < 300 // SCALE or streams < 100 // SCALE and count < 3000:
            wild = Wild(server, chance)
            count += 1
            try:
                for _ in range(chance.randrange(5, 200)):
                    wild.step()
                    wild.listen()
            except OSError:
                pass
            streams += len(wild.sent)
            wild.leave()
        assert streams >= 100 // SCALE, "they did not do much"
        assert server.stats()["logins"] - before == count
        until(lambda: server.stats()["sessions_open"] == 1, 10, "the end of all others")
        until(lambda: server.stats()["totals"]["streams_open"] == 1, 10, "the end of their streams")
        held.peak(32 * MIB)
        held.settled(allowed=8 * MIB)
        canary.check()
