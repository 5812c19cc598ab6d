"""--tls and --plaintext: who may talk to whom, and what is said when not."""
import datetime
import os
import re
import socket
import ssl

import pytest

from kit import limit, until, wire
from kit.origin import Origin, echo
from kit.pki import Authority
from kit.relay import Line
from kit.stream import connect, read_exactly

LEAVE = ("copy the server's ca-cert.pem and add --tls-ca FILE; "
         "no certificates: leave out --tls")
COPY = ("copy the server's ca-cert.pem; public certificate: --tls-ca system; "
        "no certificates: leave out --tls")


def works(client):
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


@pytest.fixture
def target(serve):
    return serve(echo)


@pytest.fixture
def authority(rig):
    return Authority(rig.folder)


def start(rig, authority, san="DNS:localhost,IP:127.0.0.1", **times):
    cert, key = authority.issue(san, **times)
    return rig.server(tls=True, tls_cert=cert, tls_key=key)


def refused(rig, server, target, code=6, **given):
    """A client that has to fail; its last words, without the command's name."""
    one = rig.client(server, target, wait=False, **given)
    assert one.wait_exit() == code
    return [re.sub(r"^(gotunnel client: |  )", "", line) for line in one.err.lines()]


def test_good_certificate(rig, target, authority):
    server = start(rig, authority)
    for number, host in enumerate(("localhost", "127.0.0.1")):
        client = rig.client(server, target, host=host, tls=True, tls_ca=authority.cert,
                            name=f"c{number}:1", state=f"c{number}")
        works(client)
        client.stop()


def test_quickstart_with_gencert(rig, target):
    """The three lines that gencert prints: server, copy, client."""
    made = rig.run("gencert", "--host", "localhost")
    assert made.code == 0
    server = rig.server(tls=True)
    works(rig.client(server, target, host="localhost", tls=True))


def test_client_without_tls_talks_to_a_server_with_a_certificate(rig, target, authority):
    """The token proves both ends; the certificate is not looked at."""
    works(rig.client(start(rig, authority), target))


def test_wrong_authority(rig, target, authority):
    """Case 25: signed by another."""
    other = Authority(rig.folder, "other")
    said = refused(rig, start(rig, authority), target, tls=True, tls_ca=other.cert)
    assert said[-2:] == [f"certificate is not signed by {other.cert}", COPY]


def test_self_made_certificate_of_a_server_without_tls(rig, target, authority):
    """Case 25: signed by itself."""
    said = refused(rig, rig.server(), target, tls=True, tls_ca=authority.cert)
    assert said[-2:] == [f"certificate is not signed by {authority.cert}", COPY]


def test_system_roots_do_not_know_our_authority(rig, target, authority):
    """Case 25: no certs/ folder here, so the system's are taken; asked for, too."""
    server = start(rig, authority)
    for given in ({}, {"tls_ca": "system"}):
        said = refused(rig, server, target, tls=True, **given)
        assert said[-2:] == ["certificate is not signed by the system's roots", LEAVE]


def test_system_roots_and_a_server_without_tls(rig, target):
    """Nothing that could be copied is there: its certificate is made at the start."""
    said = refused(rig, rig.server(), target, tls=True, tls_ca="system")
    assert said[-2:] == ["certificate is not signed by the system's roots",
                         "the server shows no certificate of a CA: start it with --tls, or "
                         "leave out --tls here"]


def test_why_a_client_left_is_told_in_words(rig, target, authority):
    """Not by the name that a library has for it."""
    server = start(rig, authority)
    refused(rig, server, target, tls=True, tls_ca="system")
    server.wait_err(r"left before a login: TLS: the other side says: unknown CA$")


@pytest.mark.parametrize("begin, end, words", [
    (-30, -3.5, r"expired {end}; clients with --tls refuse it"),
    (5.5, 30, r"not valid before {begin}; clients with --tls refuse it"),
    (-30, 9.5, r"expires {end}, in 9 days"), (-30, 15, None),
])
def test_server_looks_at_the_dates_of_its_certificate(rig, authority, begin, end, words):
    (first, first_stamp), (last, last_stamp) = stamp(begin), stamp(end)
    server = start(rig, authority, begin=first_stamp, end=last_stamp)
    said = re.findall(r"WARN +--tls-cert \S+: (.*)$", server.err.text, re.M)
    assert said == ([words.format(begin=f"{first:%Y-%m-%d}", end=f"{last:%Y-%m-%d}")]
                    if words else [])


@pytest.mark.parametrize("mode, warns", [(0o600, False), (0o640, False), (0o604, True)])
def test_key_that_everybody_can_read(rig, authority, mode, warns):
    """A group may: that is how the keys of Let's Encrypt are shared."""
    cert, key = authority.issue()
    os.chmod(key, mode)
    server = rig.server(tls=True, tls_cert=cert, tls_key=key)
    assert (f"WARN  --tls-key {key}: every user of this machine can read it; run: chmod o-r {key}"
            in server.err.text) == warns


def test_default_authority_in_certs(rig, target, authority):
    (rig.folder / "certs").mkdir()
    os.link(authority.cert, rig.folder / "certs" / "ca-cert.pem")
    other = Authority(rig.folder, "other")
    works(rig.client(start(rig, authority), target, tls=True))
    said = refused(rig, start(rig, other), target, tls=True, state="other")
    assert said[-2:] == ["certificate is not signed by certs/ca-cert.pem", COPY]


@pytest.mark.parametrize("san, host, names", [
    ("DNS:server.example,IP:10.0.0.5", "localhost", "server.example, 10.0.0.5"),
    ("DNS:localhost,IP:10.0.0.5", "127.0.0.1", "localhost, 10.0.0.5"),
    ("DNS:127.0.0.1", "127.0.0.1", "127.0.0.1"),
    ("DNS:*.example", "localhost", r"*.example"),
])
def test_wrong_host_name(rig, target, authority, san, host, names):
    """Case 25: names and addresses of the certificate are others."""
    said = refused(rig, start(rig, authority, san), target, host=host, tls=True,
                   tls_ca=authority.cert)
    assert said[-2:] == [f"certificate is for {names}, not for {host}",
                         f"on the server: gotunnel gencert --force --host {host}"]


def stamp(days):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return at, at.strftime("%y%m%d%H%M%SZ")


def test_expired_certificate(rig, target, authority):
    """Case 25: too late."""
    (end, end_stamp), (_, begin_stamp) = stamp(-3.5), stamp(-30)
    server = start(rig, authority, begin=begin_stamp, end=end_stamp)
    said = refused(rig, server, target, tls=True, tls_ca=authority.cert)
    now = datetime.datetime.now(datetime.timezone.utc)
    assert any(re.fullmatch(rf"certificate expired {end:%Y-%m-%d}, 3 days ago by this clock "
                            rf"\({now:%Y-%m-%d} \d\d:\d\d UTC\)", line) for line in said), said


def test_certificate_that_is_not_valid_yet(rig, target, authority):
    """Case 25: too early."""
    (begin, begin_stamp), (_, end_stamp) = stamp(5.5), stamp(30)
    server = start(rig, authority, begin=begin_stamp, end=end_stamp)
    said = refused(rig, server, target, tls=True, tls_ca=authority.cert)
    assert any(re.fullmatch(rf"certificate is not valid before {begin:%Y-%m-%d}, in [56] days by this "
                            r"clock \(.* UTC\)", line) for line in said), said


def test_wrong_token_over_good_tls(rig, target, authority):
    server = start(rig, authority)
    said = refused(rig, server, target, code=4, tls=True, tls_ca=authority.cert, token="wrong")
    assert f"127.0.0.1:{server.control}: the token does not match the server's" in said


def test_key_that_does_not_fit_the_certificate(rig, authority):
    cert, _ = authority.issue()
    _, key = authority.issue()
    one = rig.server(tls=True, tls_cert=cert, tls_key=key, wait=False)
    assert one.wait_exit() == 3
    assert key in one.err.text


def test_authority_file_that_is_not_there(rig, target, authority):
    said = refused(rig, start(rig, authority), target, code=3, tls=True, tls_ca="nothing.pem")
    assert "--tls-ca nothing.pem: No such file or directory" in said


def test_plaintext_client_at_an_encrypted_server(rig, target):
    """Case 25: refused with exit 3."""
    server = rig.server()
    said = refused(rig, server, target, code=3, plaintext=True)
    assert said[-2:] == [f"127.0.0.1:{server.control} wants encryption", "leave out --plaintext"]


def test_encrypted_client_at_a_plaintext_server(rig, target):
    """--plaintext on the server accepts both."""
    server = rig.server(plaintext=True)
    for number, plaintext in enumerate((None, True)):
        works(rig.client(server, target, plaintext=plaintext, name=f"c{number}:1",
                         state=f"c{number}"))


def test_tls_and_plaintext_together_are_refused(rig, target):
    one = rig.client(("127.0.0.1", 1), target, tls=True, plaintext=True, wait=False)
    assert one.wait_exit() == 2


def test_certificate_checked_again_after_a_reconnect(rig, target, authority):
    """A captive portal in between is not final once it worked: retried, not accepted."""
    server = start(rig, authority)
    client = rig.client(server, target, tls=True, tls_ca=authority.cert, resume_hold="0")
    other = Authority(rig.folder, "other")
    cert, key = other.issue()
    server.kill()
    impostor = rig.server(port=server.control, start=server.first, tls=True, tls_cert=cert,
                          tls_key=key)
    client.wait_err(r"Connection attempt \d+/10 failed: .*not signed by", 20)
    assert client.alive
    assert "logged in" not in impostor.err.text


class Wire(Line):
    """A relay that keeps every byte that passes, to look for what must not."""

    def __init__(self, server):
        self.seen = b""
        super().__init__(server)

    def see(self, data):
        self.seen += data


@pytest.mark.parametrize("plaintext", [None, True])
def test_token_never_travels(rig, target, plaintext):
    """Cases 25, 42: not even in plaintext; encrypted, the visitors' bytes do not show either."""
    server = rig.server(plaintext=plaintext)
    between = rig.keep(Wire(server))
    client = rig.client(("127.0.0.1", between.port), target, token_file=server.token_file,
                        plaintext=plaintext)
    with connect("127.0.0.1", client.port) as s:
        s.settimeout(limit(10))
        s.sendall(b"a secret of the visitor")
        assert read_exactly(s, 23) == b"a secret of the visitor"
    assert server.token().encode() not in between.seen
    assert (b"a secret of the visitor" in between.seen) == bool(plaintext)
    assert len(between.seen) > 200


def test_names_of_a_forged_certificate_are_escaped(rig, target, authority):
    """Case 33: anybody in between can offer one: what it says does not reach the terminal as it is."""
    server = start(rig, authority, "DNS:a\x1b[2J\x1b[Hpassword:,DNS:\x9b31m.example")
    client = rig.client(server, target, host="localhost", tls=True, tls_ca=authority.cert,
                        wait=False)
    assert client.wait_exit() == 6
    assert not [b for b in client.err.data if b < 32 and b != 10]
    assert r"certificate is for a\x1b[2J\x1b[Hpassword:" in client.err.text


def older(sock, authority):
    """A server that has a good certificate and no TLS 1.3."""
    cert, key = authority.issue("DNS:localhost,IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.wrap_socket(sock, server_side=True)


@pytest.mark.parametrize("kind", ["TLS 1.2", "plaintext"])
@pytest.mark.parametrize("tls", [True, None])
def test_server_that_is_not_encrypted_well(rig, target, authority, kind, tls):
    """Case 25: nothing but a ClientHello is said to it, and no byte of the token."""
    heard = []

    def answer(sock):
        data = sock.recv(65536, socket.MSG_PEEK)
        heard.append(data)
        if kind == "plaintext":
            sock.recv(65536)
            sock.sendall(wire.frame("HELLO_ACK", 0, bytes(56)))
            heard.append(sock.recv(65536))
            return
        with pytest.raises((ssl.SSLError, OSError)):
            older(sock, authority)

    service = rig.keep(Origin(answer))
    given = {"tls": True, "tls_ca": authority.cert} if tls else {}
    one = rig.client(("127.0.0.1", service.port), target, wait=False, no_reconnect=True,
                     token_file=rig.token_file, **given)
    assert one.wait_exit() in (3, 5, 6)
    until(lambda: not service.open, 10, "the end of the connection")
    assert heard and heard[0][:1] == b"\x16"
    with open(rig.token_file, "rb") as f:
        assert f.read().strip() not in b"".join(heard)
    assert not service.errors
