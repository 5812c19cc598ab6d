"""The last words of a command: exit code, text and hint, word by word."""
import contextlib
import json
import os
import pwd
import re
import shutil
import socket

import pytest

from kit import BIN, missing, need, ports, until
from kit.gotunnel import Server, other_address
from kit.origin import BlackHole, Origin, echo
from kit.proc import Proc

NEVER = "nosuch.invalid"            # RFC 6761: this name does not exist


def last_words(proc, text, hint=None, command="client"):
    """The end of stderr is exactly the text and its hint."""
    wanted = [f"gotunnel {command}: {text}"] + ([f"  {hint}"] if hint else [])
    assert proc.err.lines()[-len(wanted):] == wanted


def client(rig, server, *more, env=None, seconds=20, **given):
    """A client that has to fail, tried once; the process, with its exit code."""
    given.setdefault("retries", 1)
    one = rig.client(server, "127.0.0.1:1", wait=False, more=more,
                     env=rig.env(**env) if env else None, **given)
    one.code = one.wait_exit(seconds)
    return one


def test_local_is_missing(rig):
    one = rig.run("client")
    assert one.code == 2
    last_words(one, "--local is missing", "try: gotunnel client --local localhost:3000")


def test_certificate_is_not_there(rig):
    one = rig.run("server", "--addr", f":{ports.one()}", "--tls", "--state-dir", rig.folder / "s")
    assert one.code == 3
    last_words(one, "--tls-cert certs/server-cert.pem: No such file or directory",
               "try: gotunnel gencert --host NAME, or leave out --tls "
               "(the tunnel is encrypted anyway)", "server")


def test_unreadable_certificate(rig):
    (rig.folder / "cert").write_text("no certificate\n")
    (rig.folder / "key").write_text("no key\n")
    one = rig.run("server", "--addr", f":{ports.one()}", "--tls", "--tls-cert", "cert",
                  "--tls-key", "key", "--state-dir", rig.folder / "s")
    assert one.code == 3
    assert re.match(r"gotunnel server: --tls-cert cert: ", one.err.lines()[0])


def test_server_wants_encryption(rig):
    server = rig.server()
    one = client(rig, server, plaintext=True)
    assert one.code == 3
    last_words(one, f"127.0.0.1:{server.control} wants encryption", "leave out --plaintext")


@pytest.mark.parametrize("source", ["GOTUNNEL_TOKEN", "GOTUNNEL_CLIENT_TOKEN",
                                    "GOTUNNEL_TOKEN_FILE", "--token", "--token-file"])
def test_wrong_token_says_where_it_came_from(rig, source):
    server = rig.server()
    wrong = rig.write_secret("wrong", "not-the-token")
    given, env, origin = {"token_file": None}, {}, source
    if source == "--token":
        given = {"token": "not-the-token"}
    elif source == "--token-file":
        given, origin = {"token_file": wrong}, wrong
    elif source == "GOTUNNEL_TOKEN_FILE":
        env, origin = {source: wrong}, wrong
    else:
        env = {source: "not-the-token"}
    one = client(rig, server, env=env, **given)
    assert one.code == 4
    last_words(one, f"127.0.0.1:{server.control}: the token does not match the server's",
               f"it came from {origin}; compare it with the server's token file")


def test_no_token_from_another_machine(rig):
    """dev-token is for loopback; this machine's other address is none."""
    address = other_address() or missing("an address that is not loopback")
    server = rig.server(addr="0.0.0.0", token_file=None)
    one = client(rig, (address, server.control))
    assert one.code == 4
    last_words(one, "no token given, and dev-token works only on the server's own machine "
               "(a container's published port does not count)",
               "try: --token-file FILE or GOTUNNEL_TOKEN")


def test_dev_token_given_from_another_machine(rig):
    address = other_address() or missing("an address that is not loopback")
    server = rig.server(addr="0.0.0.0", token_file=None)
    one = client(rig, (address, server.control), token="dev-token")
    assert one.code == 4
    last_words(one, f"{address}:{server.control}: dev-token works only on the server's own machine "
               "(a container's published port does not count)",
               "try: --token-file FILE or GOTUNNEL_TOKEN")


def test_dev_token_where_it_is_not_taken(rig):
    server = rig.server()
    one = client(rig, server, token="dev-token", token_file=None)
    last_words(one, f"127.0.0.1:{server.control} takes no dev-token",
               "try: --token-file FILE or GOTUNNEL_TOKEN")


def test_token_that_is_none(rig):
    one = rig.run("client", "--local", "1", env=rig.env(GOTUNNEL_TOKEN="a b"))
    assert one.code == 3
    last_words(one, "the token from GOTUNNEL_TOKEN is not a valid token",
               "a token is 1 to 1024 printable characters without spaces")


def test_nothing_listens(rig):
    port = ports.one()
    one = client(rig, ("localhost", port), no_reconnect=True, retries=None)
    assert one.code == 5
    words, hint = one.err.lines()[-2:]
    assert re.fullmatch(rf"gotunnel client: localhost \((127\.0\.0\.1|::1)\) port {port}: "
                        "Connection refused", words)
    assert hint == "  nothing listens there; is gotunnel server running?"


def test_default_server(rig):
    if not ports.is_free(9000):
        missing("the free port 9000")
    one = rig.run("client", "--local", "1", "--no-reconnect", "--state-dir", rig.folder / "s")
    assert one.code == 5
    words, hint = one.err.lines()[-2:]
    assert re.fullmatch(r"gotunnel client: localhost \((127\.0\.0\.1|::1)\) port 9000: "
                        "Connection refused", words)
    assert hint == "  no --server given, so localhost:9000 was tried"


def test_no_answer(rig):
    hole = rig.keep(BlackHole())
    one = client(rig, ("127.0.0.1", hole.port), no_reconnect=True, retries=None, seconds=20)
    assert one.code == 5
    words, hint = one.err.lines()[-2:]
    assert re.fullmatch(r"gotunnel client: 127\.0\.0\.1( \(127\.0\.0\.1\))? "
                        rf"port {hole.port}: no answer in 10s", words)
    assert hint == (f"  a firewall or security group drops it: open {hole.port}/tcp on the server")


def test_unknown_name(rig):
    try:
        socket.getaddrinfo(NEVER, 1)
    except socket.gaierror as error:
        if error.errno != socket.EAI_NONAME:
            missing("a name server")
    one = client(rig, (NEVER, 9000), no_reconnect=True, retries=None)
    assert one.code == 5
    assert f"gotunnel client: {NEVER}: Name or service not known" in one.err.lines()


def speak_first(sock):
    sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    sock.recv(1000)


def answer_http(sock):
    sock.recv(1000)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("handler", [speak_first, answer_http, echo])
@pytest.mark.parametrize("mode", [None, True])
def test_answers_but_not_as_a_server(rig, handler, mode):
    service = rig.keep(Origin(handler))
    one = client(rig, ("127.0.0.1", service.port), no_reconnect=True, retries=None,
                 plaintext=mode)
    assert one.code == 5
    last_words(one, f"127.0.0.1:{service.port} answers, but not as a gotunnel server",
               "use the control port (default 9000), not a public one")


def test_address_in_use(rig):
    port = ports.one()
    with socket.create_server(("0.0.0.0", port)):
        one = rig.run("server", "--addr", f":{port}", "--state-dir", rig.folder / "s")
    assert one.code == 7
    last_words(one, f"cannot listen on :{port}: Address already in use",
               f"ss -ltnp 'sport = :{port}' shows who; or --addr :{port + 1}", "server")


def test_descriptors_for_fewer_workers(rig):
    one = rig.run("--nofile=60:60", BIN, "server", "--addr", f"127.0.0.1:{ports.one()}", "--workers",
                  64, "--state-dir", rig.folder / "s", path=need("prlimit"))
    assert one.code == 1
    last_words(one, "cannot start: Too many open files", "each worker takes some: raise the limit "
               "(ulimit -n), or try: --workers 1", "server")


def test_a_second_server_on_the_same_port(rig):
    """The server's own listener must not share its port with another server's."""
    server = rig.server()
    one = rig.run("server", "--addr", f"127.0.0.1:{server.control}", "--state-dir",
                  rig.folder / "other")
    assert one.code == 7
    assert f"cannot listen on 127.0.0.1:{server.control}: Address already in use" in one.err.text
    assert server.alive


def test_public_port_in_use(rig, serve):
    server = rig.server()
    rig.client(server, serve(echo), remote_port=server.first + 3)
    one = client(rig, server, state="other", remote_port=server.first + 3)
    assert one.code == 7
    last_words(one, f"port {server.first + 3} is in use on 127.0.0.1",
               "another --remote-port, or none for a free one")


@pytest.mark.parametrize("port", [443, 65535])
def test_public_port_outside_the_range(rig, port):
    server = rig.server()
    one = client(rig, server, remote_port=port)
    assert one.code == 7
    last_words(one, f"port {port} is outside the server's range {server.first}-{server.last}")


def test_no_free_public_port(rig, serve):
    server = rig.server(count=1)
    rig.client(server, serve(echo))
    one = client(rig, server, state="other")
    assert one.code == 7
    last_words(one, f"no free public port in {server.first}-{server.last}", "server: --end-port N")


def test_permission_denied(rig):
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as f:
        if int(f.read()) <= 443:
            missing("a port that an ordinary user may not listen on")
    if os.geteuid() != 0:
        one = rig.run("server", "--addr", ":443", "--state-dir", rig.folder / "s")
        path = BIN
    else:
        one, path = as_nobody(rig)
    assert one.code == 1
    last_words(one, "cannot listen on :443: Permission denied",
               f"setcap cap_net_bind_service=+ep {path}", "server")


@contextlib.contextmanager
def of_nobody(rig):
    """start(argv) runs the executable as nobody; its path there is start.path."""
    nobody = pwd.getpwnam("nobody")
    folder = f"/tmp/gotunnel-nobody-{os.getpid()}"
    os.mkdir(folder, 0o777)
    os.chmod(folder, 0o777)

    def start(*argv, kind=Proc):
        return rig.add(kind([start.path, *argv, "--state-dir", folder], env=rig.env(), cwd=folder,
                            user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[]))
    try:
        start.path = shutil.copy(BIN, folder)
        yield start
    finally:
        shutil.rmtree(folder)


def as_nobody(rig):
    with of_nobody(rig) as start:
        one = start("server", "--addr", ":443")
        one.code = one.wait_exit()
        return one, start.path


@pytest.mark.parametrize("given", [{}, {"remote_port": 443}])
def test_public_port_that_the_server_may_not_have(rig, given):
    """It is neither used up nor in use; the client hears so, the operator what to do."""
    if os.geteuid() != 0:
        missing("root, to be somebody else")
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as f:
        if int(f.read()) <= 443:
            missing("a port that an ordinary user may not listen on")
    with of_nobody(rig) as start:
        control = ports.one()
        server = start("server", "--addr", f"127.0.0.1:{control}", "--start-port", "443",
                       "--end-port", "443", kind=Server).ready()
        one = client(rig, ("127.0.0.1", control), token="dev-token", **given)
        assert one.code == 7
        last_words(one, "127.0.0.1 refuses the tunnel: cannot listen on :443: Permission denied",
                   "the server's log says more")
        server.wait_err(rf"WARN +\S+: no port for \S+: cannot listen on :443: Permission denied; "
                        rf"setcap cap_net_bind_service=\+ep {start.path}$")
        server.stop()


def test_refused_port_is_warned_about_once(rig):
    """What comes after it is the end of a client without a tunnel: nothing is lost."""
    server = rig.server()
    client(rig, server, remote_port=443)
    server.wait_err(r"INFO +127\.0\.0\.1:\d+ \(\S+\) left$")
    assert len(re.findall("WARN", server.err.text)) == 1
    assert "lost" not in server.err.text


def test_public_address_that_this_machine_has_not(rig):
    """Told at the start, not to the first client as a lack of ports."""
    one = rig.run("server", "--addr", f"127.0.0.1:{ports.one()}", "--bind-host", "192.0.2.1")
    assert one.code == 7
    last_words(one, "cannot listen on 192.0.2.1: Cannot assign requested address",
               "no interface of this machine has it; without --bind-host public ports listen on all",
               "server")


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key"])
def test_certificate_without_tls(rig, option):
    """A flag is a mistake; a variable may be meant for another server."""
    one = rig.run("server", option, "x.pem")
    assert one.code == 2
    last_words(one, f"{option}: it is of use only with --tls", "add --tls", "server")
    rig.server(env=rig.env(GOTUNNEL_TLS_CERT="x.pem", GOTUNNEL_SERVER_TLS_KEY="y.pem"))


@pytest.mark.parametrize("name", ["a b", "h\x1b[31m", "host/path", "http://x", "x:80", "3000",
                                  "x" * 254])
def test_public_host_that_is_none(rig, name):
    one = rig.run("server", "--public-host", name)
    assert one.code == 2
    assert one.err.lines()[0].startswith("gotunnel server: --public-host: ")
    assert one.err.lines()[1] == "  try: --public-host tunnel.example.com"


@pytest.mark.parametrize("name, shown", [("[2001:db8::7]", "[2001:db8::7]"), ("a_b.example", "a_b.example")])
def test_public_host_that_is_one(rig, serve, name, shown):
    server = rig.server(public_host=name)
    server.wait_out(rf"--server {re.escape(shown)}:{server.control} ")


@pytest.mark.parametrize("argv, words", [
    (["client", "--local", "localhost:99999"], "--local"),
    (["client", "--local", "localhost:0"], "--local"),
    (["client", "--local", "3000", "--server", "h:x"], "--server"),
    (["client", "--local", "3000", "--remote-port", "70000"], "--remote-port"),
    (["client", "--local", "3000", "--remote-port", "-1"], "--remote-port"),
    (["client", "--local", "3000", "--retries", "some"], "--retries"),
    (["client", "--local", "3000", "--drain", "5"], "--drain"),
    (["client", "--local", "http://localhost:3000/app"], "--local"),
    (["client", "--local", "3000", "--token", "a", "--token-file", "b"], "--token"),
    (["client", "--local", "3000", "--name", "x" * 65], "--name"),
    (["server", "--start-port", "0"], "--start-port"),
    (["server", "--start-port", "2000", "--end-port", "1000"], "--end-port"),
    (["server", "--addr", "[::1"], "--addr"),
    (["server", "--tls=perhaps"], "--tls"),
])
def test_bad_values_are_usage_errors(rig, argv, words):
    one = rig.run(*argv)
    assert one.code == 2
    first = one.err.lines()[0]
    assert first.startswith(f"gotunnel {argv[0]}: ") and words in first


SCHEMES = "only the schemes http:// and https:// are known"
A_PORT = "a port is a number from 1 to 65535"


@pytest.mark.parametrize("argv, env, text, hint", [
    (["client", "--local", "ftp://localhost"], {}, f"--local: {SCHEMES}",
     "try: --local localhost:3000"),
    (["client", "--local", "localhost:0"], {}, f"--local: {A_PORT}", "try: --local localhost:3000"),
    (["client", "--local", "::1:3000"], {},
     "--local: an IPv6 address with a port is written [ADDRESS]:PORT",
     "try: --local localhost:3000"),
    (["client", "--local", "3000", "--server", "x:0"], {}, f"--server: {A_PORT}",
     "the control port is 9000 if the server was started without --addr"),
    (["client", "--local", ""], {}, "--local is empty", "see: gotunnel client --help"),
    (["client", "--local", "3000", "--drain", "99999999999h"], {},
     '--drain: "99999999999h" is too long, at most 365d', "see: gotunnel client --help"),
    (["client", "--local", "3000", "--drain", "5"], {},
     '--drain: "5" is not a duration with its unit, as 30s or 1m30s', "see: gotunnel client --help"),
    (["client"], {"GOTUNNEL_LOCAL": "99999"}, f"GOTUNNEL_LOCAL: {A_PORT}",
     "try: --local localhost:3000"),
    (["client", "--local", "1"], {"GOTUNNEL_SERVER": "h:x"}, f"GOTUNNEL_SERVER: {A_PORT}",
     "try: --server HOST or HOST:9000"),
    (["client", "--local", "1"], {"GOTUNNEL_CLIENT_NAME": "x" * 65},
     "GOTUNNEL_CLIENT_NAME: it is too long", "at most 64 characters"),
    (["server"], {"GOTUNNEL_ADDR": "[::1"},
     "GOTUNNEL_ADDR: an IPv6 address is written [ADDRESS]:PORT", "try: --addr :9000"),
    (["server"], {"GOTUNNEL_BIND_HOST": "x"}, "GOTUNNEL_BIND_HOST: not a numeric address",
     "try: --bind-host 127.0.0.1"),
    (["client", "--local", "1", "--tls-ca", "x"], {},
     "--tls-ca: it is of use only with --tls", "add --tls"),
    (["client", "--local", "1"], {"GOTUNNEL_TLS": "1", "GOTUNNEL_PLAINTEXT": "1"},
     "GOTUNNEL_TLS: it excludes GOTUNNEL_PLAINTEXT", "leave one out"),
    (["http"], {}, "the service is missing", "try: gotunnel http 3000"),
    (["http", "--server", "x"], {}, "the service is missing", "try: gotunnel http 3000"),
    (["tcp", "22", "23"], {}, "the service is named twice", "leave one out"),
    (["tcp", "22", "--local", "23"], {}, "the service is named twice", "leave one out"),
    (["tcp", "--local", "23", "22"], {}, "the service is named twice", "leave one out"),
    (["http", "x:0"], {}, f"the service: {A_PORT}", "try: localhost:3000"),
    (["http", "https://localhost:8443"], {},
     "the service: https:// is passed through untouched, not as http",
     "try: gotunnel tcp https://localhost:8443"),
    (["http", "3000", "--retries", "x"], {}, '--retries: "x" is not a number from 0 to 1000000',
     "see: gotunnel http --help"),
])
def test_usage_word_by_word(rig, argv, env, text, hint):
    one = rig.run(*argv, env=rig.env(**env))
    assert one.code == 2
    last_words(one, text, hint, argv[0])


@pytest.mark.parametrize("how", ["json", "logfmt"])
def test_one_record_in_the_other_formats(rig, how):
    server = rig.server()
    one = client(rig, server, log_format=how, token="not-the-token", token_file=None)
    assert one.code == 4
    record = one.err.lines()[-1]
    said = json.loads(record) if how == "json" else dict(
        (k, v.strip('"')) for k, v in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', record))
    assert said["msg"] == f"127.0.0.1:{server.control}: the token does not match the server's"
    assert "it came from --token" in said["hint"]
    assert int(said["exit"]) == 4 and said["level"] == "error" and "code" in said
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", said["time"])


def test_the_server_never_says_why(rig):
    """What the server logs about refused logins is the same for every cause."""
    server = rig.server()
    since = len(server.err.text)
    for token in ("wrong", "dev-token"):
        client(rig, server, token=token, token_file=None)
    until(lambda: len(server.err.text[since:].splitlines()) >= 2, 5, "two log lines")
    said = [re.sub(r"^\S+ +|:\d+|\(.*?\)", "", line)
            for line in server.err.text[since:].splitlines()]
    assert len(said) == 2 and said[0] == said[1], said
