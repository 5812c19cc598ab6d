"""Both ends under valgrind: what is open and what is lost when they have ended.

The sanitizers see memory that nobody points to; descriptors that nobody closes, and
bytes that were never written, only valgrind does.
"""
import pathlib
import re
import shlex
import socket
import subprocess

import pytest

import kit
from kit import SANITIZED, gotunnel, need
from kit.stream import (FIN, RST, Checker, connect, ending, read_exactly, receive, reset,
                        send_counters)

pytestmark = pytest.mark.skipif(SANITIZED, reason="valgrind and a sanitizer exclude each other")

UP, DOWN = 0x11AA11, 0x22BB22
SIZE = 100_000
FAULT = 77                      # of valgrind, when it found something
OPEN = re.compile(r"Open (file descriptor|\w+ socket) (\d+).*\n((?:==\d+==    .*\n)*)")


class Watched:
    """Every gotunnel that the rig starts runs under valgrind."""

    def __init__(self, rig, patch, program=kit.BIN):
        self.logs = rig.folder / "valgrind"
        self.logs.mkdir()
        self.path = str(rig.folder / "gotunnel")
        wrapper = pathlib.Path(self.path)
        wrapper.write_text("#!/bin/sh\nexec " + shlex.join([
            need("valgrind"), "--track-fds=yes", "--leak-check=full",
            "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite",
            f"--error-exitcode={FAULT}", f"--log-file={self.logs}/%p", str(program)]) + ' "$@"\n')
        wrapper.chmod(0o700)
        patch.setattr(gotunnel, "BIN", self.path)
        patch.setattr(kit, "PATIENCE", 20)  # it takes its time with BoringSSL

    def faults(self, proc):
        """What valgrind says against a process that has ended, each a line."""
        log = (self.logs / str(proc.pid)).read_text()
        assert "FILE DESCRIPTORS" in log and "ERROR SUMMARY" in log, log
        said = [f"{proc.name}: {found[0]}" for found in OPEN.finditer(log)
                if int(found[2]) > 2 and "<inherited from parent>" not in found[3]]
        if "ERROR SUMMARY: 0 errors" not in log:
            said.append(log)
        return said


@pytest.fixture
def watched(rig, monkeypatch):
    return Watched(rig, monkeypatch)


def service(sock):
    """What the first byte asks for."""
    asked = sock.recv(1)
    if asked == b"r":
        read_exactly(sock, 1000)
        reset(sock)
    elif asked == b"b":                     # both ways at once, each to its end
        send_counters(sock, DOWN, SIZE)
        checker = Checker(UP)
        assert (receive(sock, checker), checker.fault, checker.count) == (FIN, None, SIZE)
    elif asked == b"h":                     # its own side is over first
        send_counters(sock, DOWN, SIZE)
        sock.shutdown(socket.SHUT_WR)
        receive(sock)
    elif asked == b"a":                     # the visitor aborts
        sock.sendall(b"go")
        assert receive(sock) == RST


def both_ways(s):
    s.sendall(b"b")
    send_counters(s, UP, SIZE)
    s.shutdown(socket.SHUT_WR)
    checker = Checker(DOWN)
    assert (receive(s, checker), checker.fault, checker.count) == (FIN, None, SIZE)


def half_closed(s):
    s.sendall(b"h")
    checker = Checker(DOWN)
    assert (receive(s, checker), checker.fault, checker.count) == (FIN, None, SIZE)
    s.sendall(b"still here")


def service_resets(s):
    s.sendall(b"r" + bytes(1000))
    assert ending(s)[0] == RST


def visitor_resets(s):
    s.sendall(b"a" + bytes(1000))
    assert read_exactly(s, 2) == b"go"
    reset(s)


@pytest.mark.parametrize("plaintext", [False, True], ids=["encrypted", "plaintext"])
def test_nothing_is_left(rig, serve, watched, plaintext):
    origin = serve(service)
    client = rig.tunnel(origin, plaintext=plaintext)
    for number in range(50):
        visitor = (both_ways, half_closed, service_resets, visitor_resets)[number % 4]
        with connect(client.host, client.port) as s:
            visitor(s)
        origin.result()
    ends, asked = [client, client.server], []
    for name in (f"client-{client.pid}", f"server-{client.server.control}"):
        stats = rig.run("stats", "--socket", f"{rig.run_dir}/gotunnel/{name}.sock",
                        path=watched.path)
        assert stats.code == 0 and re.search(r"Total Connections +50", stats.out.text), rig.dump()
        asked.append(stats)
    # The dial of a visitor who finds the service gone has its own ending.
    origin.close()
    with connect(client.host, client.port) as s:
        assert ending(s)[0] == RST
    # In plaintext the server ends first, and the client while it waits for it.
    for proc in ends if not plaintext else reversed(ends):
        assert proc.stop(30) == 0, proc.dump()
    said = [line for proc in ends + asked for line in watched.faults(proc)]
    assert not said, "\n".join(said)


@pytest.mark.parametrize("leak, seen", [
    ("open(\"/\", O_RDONLY)", "Open file descriptor"),
    ("socket(AF_INET, SOCK_STREAM, 0)", "Open AF_INET socket"),
    ("malloc(10) == 0", "definitely lost"),
    ("*(volatile int *)malloc(4) > 0 ? puts(\"x\") : 0", "uninitialised"),
    ("0", None),
])
def test_a_leak_would_be_seen(rig, monkeypatch, leak, seen):
    source = rig.folder / "leak.c"
    source.write_text("#include <fcntl.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
                      "#include <sys/socket.h>\nint main(void) { (void)(" + leak + ");"
                      " return 0; }\n")
    subprocess.run([need("cc"), "-w", "-O0", source, "-o", rig.folder / "leak"], check=True)
    watched = Watched(rig, monkeypatch, rig.folder / "leak")
    said = watched.faults(rig.run(path=watched.path))
    assert seen in "\n".join(said) if seen else not said
