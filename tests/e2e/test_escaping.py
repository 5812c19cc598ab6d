"""Whatever others say is printed escaped, on one line of at most 4 KiB, in every format."""
import json
import socket
import struct

import pytest

from kit import ports, wire
from kit.origin import echo
from kit.stream import connect, receive
from kit.wire import RawClient, RawServer, frame, long, short

UGLY = "\x1b]0;owned\x07\x1b[2J\r\nINFO  forged line\x00\u202e\x9b31m\u2028\x7f"
BYTES = UGLY.encode() + b"\x9b31m\xff\xfe\xc0\x80"
FORMATS = ["term", "json", "logfmt"]


def forbidden(character):
    return (character < " " and character not in "\n\t") or "\x7f" <= character <= "\x9f" or \
        "\u2028" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"


def check(what, data):
    """Well-formed, printable, in short lines, and none of them forged."""
    text = data.decode("utf-8")
    assert not [c for c in text if forbidden(c)], f"{what}: {text!r}"
    assert not any(line.startswith(("INFO  forged", "TCP   forged")) for line in text.split("\n"))
    assert max(len(line.encode()) for line in text.split("\n")) <= 4096
    return text


def check_proc(proc, form):
    for data in (proc.out.data, proc.err.data):
        text = check(proc.name, data)
    if form == "json":
        for line in text.rpartition("\n")[0].splitlines():     # the last may not be whole yet
            assert "msg" in json.loads(line)


@pytest.fixture(params=FORMATS)
def form(request):
    return request.param


def ended(raw):
    """Waits until the other side has read what was sent and ended it."""
    try:
        raw.ended()
    except OSError:
        pass
    raw.close()


def test_what_a_client_says(rig, form):
    """Case 33: each text of its frames; the server's lines and pages."""
    admin = ports.one()
    server = rig.server(plaintext=True, log_format=form, log_level="debug",
                        admin=f"127.0.0.1:{admin}")

    def raw():
        return RawClient(server, server.token())

    for given in ({"name": UGLY}, {"version": UGLY[:30]}, {"key_id": UGLY}, {"name": "n" * 64},
                  {"instance": UGLY.encode()[:16]}):
        one = raw()
        try:
            one.login(**given)
            one.bind(label="x")
        except (ConnectionError, AssertionError):
            pass
        one.close()
    for payload in (wire.bind(host=UGLY), wire.bind(label=UGLY[:90] * 2), wire.bind(label="l" * 255),
                    wire.bind(options=b"\1" + long(BYTES)), BYTES, BYTES * 50):
        one = raw().login(instance=b"i" * 16)
        one.send("BIND", 0, payload[:4096])
        try:
            one.expect("BIND_OK", "BIND_ERR")
        except (ConnectionError, AssertionError):
            pass
        one.close()
    for kind, payload in (("ERROR", wire.error(wire.PROTOCOL, BYTES)),
                          ("ERROR", wire.error(60000, b"x" * 512)),
                          ("ERROR", wire.error(1, BYTES * 8))):
        one = raw().login(instance=b"e" * 16)
        one.bind(label="e")
        one.send(kind, 0, payload)
        ended(one)
    # Strangers: as first bytes, and inside of the first frame.
    for data in (BYTES, frame("HELLO", 0, BYTES), b"GET /" + BYTES + b" HTTP/1.1\r\n\r\n"):
        with connect(server.host, server.control) as s:
            s.sendall(data)
            try:
                receive(s)
            except OSError:
                pass
    server.wait_err("ended the session|end")
    for path in ("/metrics", "/api/stats", "/api/tunnels"):
        with connect("127.0.0.1", admin) as s:
            s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while data := s.recv(65536):
                answer += data
        text = answer.decode()
        assert not [c for c in text if forbidden(c) and c != "\r"]
    check_proc(server, form)


def test_what_a_visitor_says(rig, serve, form):
    """Case 33: request lines of every ugliness and 100 KiB, and what a service answers."""
    def answer(sock):
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                data = sock.recv(65536)
                if not data:
                    return
                head += data
            reason = BYTES if b"/ugly" in head else b"\x9b31m\xe2\x80\xae"
            sock.sendall(b"HTTP/1.1 200 " + reason + b"\r\nContent-Length: 0\r\nX: " + reason +
                         b"\r\n\r\n")
        except ConnectionError:
            pass

    admin = ports.one()
    server = rig.server(log_format=form, log_level="debug", admin=f"127.0.0.1:{admin}")
    client = rig.client(server, f"http://{serve(answer)}", log_format=form, log_level="debug")
    targets = [b"/ok", b"/ugly", b"/\x1b[2J\x9b31m", "/\u202egnp.exe".encode(), b"/" + b"\xff" * 50,
               b"/" + b"\xc3\x28" * 1000, b"/" + b"a" * 7000, b"/%0d%0aINFO%20forged",
               b"/'\"\\${x}`", b"/" + b"b" * 100 * 1024]
    for target in targets:
        for method in (b"GET", b"M\x1b[2JX", b"G" * 300):
            with connect("127.0.0.1", client.port) as s:
                try:
                    s.sendall(method + b" " + target + b" HTTP/1.1\r\nHost: \x9b31m\r\n\r\n")
                    s.shutdown(socket.SHUT_WR)
                    receive(s)
                except OSError:
                    pass
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"GET /the-last HTTP/1.1\r\nHost: x\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        receive(s)
    for proc in (server, client):
        proc.wait_err("/the-last")
        check_proc(proc, form)
        assert proc.err.text.count(" 200") + proc.err.text.count("status\":200") + \
            proc.err.text.count("status=200") >= 10, "few of them were taken for requests"
    said = rig.run("stats", "--socket", f"{rig.run_dir}/gotunnel/server-{server.control}.sock")
    assert said.code == 0
    check("stats", said.out.data)


def test_what_a_server_says(rig, serve, form):
    """Case 33: names and texts of a server that is none; the client's lines."""
    with open(rig.token_file) as f:
        false = rig.keep(RawServer(f.read().strip()))
    scripts = [
        lambda raw: raw.send("BIND_OK", 0, struct.pack(">IHB", raw.bind_id, 12345, 0) +
                             short(UGLY[:40])),
        lambda raw: raw.send("BIND_ERR", 0, wire.bind_error(raw.bind_id, wire.PORT_TAKEN, BYTES)),
        lambda raw: raw.send("BIND_ERR", 0, wire.bind_error(raw.bind_id, wire.PORTS_USED_UP,
                                                            BYTES * 8)),
        lambda raw: raw.send("ERROR", 0, wire.error(wire.CALM_DOWN, BYTES)),
        lambda raw: raw.send("ERROR", 0, wire.error(40000, "x" * 512)),
        lambda raw: raw.sock.sendall(BYTES),
    ]
    for number, script in enumerate(scripts):
        service = serve(echo)
        service.expect_probe()
        client = rig.client(("127.0.0.1", false.port), str(service), plaintext=True, wait=False,
                            token_file=rig.token_file, no_reconnect=True, log_format=form,
                            log_level="debug", state=f"c{number}")
        raw = false.login()
        _, _, payload = raw.expect("BIND")
        raw.bind_id, = struct.unpack(">I", payload[:4])
        script(raw)
        ended(raw)
        assert client.wait_exit() != 0
        check_proc(client, form)
