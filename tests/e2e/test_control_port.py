"""Other protocols on the control port: closed soon, one line in the log, nothing left open."""
import os
import random
import re
import socket
import ssl
import subprocess
import time

import pytest

from kit import SANITIZED, limit, need, ports, until, wire
from kit.gotunnel import Server
from kit.origin import echo
from kit.strangers import drained, timed_out
from kit.stream import connect, read_exactly

HTTP = (b"GET / HTTP/1.1\r\nHost: server:9000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n")
SEED = random.Random(7)


def noise(size):
    """Random bytes that are neither TLS, nor ours, nor HTTP by their first byte."""
    return bytes([0x80 | SEED.randrange(128)]) + SEED.randbytes(size - 1)


STRANGERS = {
    "HTTP": HTTP,
    "HTTP half a line": b"POST /api",
    "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "SMTP": b"EHLO example.com\r\n",
    "lower case": b"quit\r\n",
    "plaintext HELLO": wire.frame("HELLO", 0, wire.hello(bytes(32))),
    "plaintext DATA": wire.frame("DATA", 1, bytes(1000)),
    "64 random bytes": noise(64),
    "4 KiB of random bytes": noise(4096),
    "64 KiB of random bytes": noise(65536),
    "zero": b"\0",
    "a TLS record of 16 KiB": b"\x16\x03\x01\x40\x00" + noise(16384),
    "a TLS head alone that lies": b"\x16\x03\x01\xff\xff",
    "TLS and then noise": b"\x16\x03\x01\x00\x40" + noise(64),
    "TLS 1.0 ClientHello of nothing": b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
}


@pytest.fixture
def server(rig):
    return rig.server()


def is_quiet(server, before):
    until(lambda: server.descriptors() <= before, 5, f"{before} descriptors")


@pytest.mark.parametrize("name", STRANGERS)
def test_stranger_is_closed_soon(rig, server, name):
    """Case 7: by its bytes, without a word, and nothing stays open."""
    before, since = server.descriptors(), len(server.err.text)
    with connect(server.host, server.control) as s:
        try:
            s.sendall(STRANGERS[name])
        except ConnectionError:
            pass
        assert drained(s)
    is_quiet(server, before)
    until(lambda: server.err.text[since:].count("\n") >= 1, 5, "a line in the log")
    said = server.err.text[since:].splitlines()
    assert len(said) == 1 and "127.0.0.1" in said[0], said
    assert not timed_out(server)


@pytest.mark.parametrize("plaintext", [None, True])
def test_http_gets_one_fixed_answer(rig, plaintext):
    """Case 7: in plaintext and on an encrypted server."""
    server = rig.server(plaintext=plaintext)
    with connect(server.host, server.control) as s:
        s.sendall(HTTP)
        answer = b""
        try:
            while data := s.recv(4096):
                answer += data
        except ConnectionError:
            pass
    head, body = answer.split(b"\r\n\r\n", 1)
    assert head.split(b"\r\n")[0].startswith(b"HTTP/1.0 400")
    assert b"gotunnel control port; use: gotunnel client --server HOST:PORT" in body


def test_curl_shows_the_answer(server):
    """How people look whether the server is up."""
    done = subprocess.run([need("curl"), "--silent", "--show-error", "--noproxy", "*",
                           f"http://{server.host}:{server.control}/"], capture_output=True,
                          timeout=limit(10))
    assert done.returncode == 0, done.stderr
    assert b"gotunnel control port" in done.stdout


def test_silent_strangers_are_closed_by_the_deadline(server):
    """Case 1: 5 s from accept to login, with and without a begun handshake."""
    before = server.descriptors()
    started = time.monotonic()
    socks = [connect(server.host, server.control) for _ in range(6)]
    for s in socks[:3]:
        s.sendall(b"\x16\x03\x01\x02\x00\x01")
    for s in socks:
        s.settimeout(limit(10))
        try:
            assert s.recv(1) in (b"", b"\x15")
        except ConnectionError:
            pass
        assert time.monotonic() - started > 4
        s.close()
    is_quiet(server, before)
    until(lambda: timed_out(server) == 6, 10, "the reason")


def tls(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["gotunnel/1"])
    return context.wrap_socket(connect(server.host, server.control))


@pytest.mark.parametrize("data", [
    wire.frame("DATA", 1, b"x"), wire.frame("AUTH", 0, bytes(32)), noise(100), HTTP,
    wire.frame("HELLO", 0, b"", length=0xFFFFFFFF), wire.frame("HELLO", 0, b"", length=4097),
], ids=["DATA", "AUTH", "noise", "HTTP", "4 GiB HELLO", "4097"])
def test_stranger_inside_tls(server, data):
    """Cases 2, 3, 7: closed by the first bytes."""
    before = server.descriptors()
    with tls(server) as s:
        assert s.version() == "TLSv1.3" and s.selected_alpn_protocol() == "gotunnel/1"
        s.sendall(data)
        assert drained(s)
    is_quiet(server, before)
    server.wait_err("127.0.0.1")
    assert not timed_out(server)


def test_old_tls_is_refused(server):
    """Case 25: TLS 1.2 at the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(server.host, server.control) as s:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(s)


def test_200_strangers_leave_the_tunnel_alone(rig, serve, server):
    """Case 7: a visitor's echo goes on, memory and descriptors come back."""
    client = rig.client(server, serve(echo))
    with connect("127.0.0.1", client.port) as visitor:
        visitor.sendall(b"x")           # so that it is accepted, and counted
        assert read_exactly(visitor, 1) == b"x"
        before, memory = server.descriptors(), server.rss()
        for number in range(200):
            with connect(server.host, server.control) as s:
                try:
                    s.sendall(os.urandom(SEED.randrange(1, 3000)) or HTTP)
                except ConnectionError:
                    pass
            if number % 20 == 0:
                visitor.sendall(b"x")
                assert read_exactly(visitor, 1) == b"x"
        until(lambda: server.descriptors() <= before, 10, "the descriptors from before")
        assert server.rss() - memory < (8 << 20) * (8 if SANITIZED else 1)
    assert "Session lost" not in client.err.text


def test_out_of_descriptors(rig, serve):
    """Case 29: accepting waits, is told of once a second and counted, and goes on after relief."""
    control, first, admin = ports.one(), ports.block(2), ports.one()
    server = rig.add(Server([need("prlimit"), "--nofile=96:96", rig.path, "server", "--addr",
                             f"127.0.0.1:{control}", "--start-port", first, "--end-port", first + 1,
                             "--token-file", rig.token_file, "--state-dir", rig.folder / "s",
                             "--max-unauthenticated", 1000,
                             "--admin", f"127.0.0.1:{admin}"], env=rig.env(), cwd=rig.folder)).ready()
    began = time.monotonic()
    held = [socket.create_connection(("127.0.0.1", control)) for _ in range(150)]
    server.wait_err("cannot accept more connections for now: Too many open files")
    lines = server.err.text.count("cannot accept")
    assert lines <= 2 + time.monotonic() - began
    for s in held:
        s.close()
    server.host, server.control, server.token_file = "127.0.0.1", control, rig.token_file
    client = rig.client(server, serve(echo))
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
    with socket.create_connection(("127.0.0.1", admin)) as s:
        s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = s.makefile().read()
    assert re.search(r"^gotunnel_accept_pauses_total [1-9]", page, re.M)


def test_dawdling_does_not_prolong_the_login(rig):
    """Case 1: 5 s from accept, not from the first byte: it is over before that of another who
    comes later, but before that byte."""
    server = rig.server(plaintext=True, workers=1)
    with connect(server.host, server.control) as s:
        time.sleep(3)
        with connect(server.host, server.control) as later:
            time.sleep(1)
            try:
                s.sendall(b"\1")
            except ConnectionError:
                pass
            ends = [one.getsockname()[1] for one in (s, later)]
            assert drained(s) and drained(later)
    server.wait_err(rf"(?s):{ends[0]} left before.*:{ends[1]} left before")
