"""On a terminal: banner, colours, widths; the start screen of the server."""
import re

import pytest

from kit import missing, until
from kit.gotunnel import other_address
from kit.origin import echo
from kit.stream import connect, read_exactly

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]")


def works(port):
    with connect("127.0.0.1", port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


@pytest.fixture
def target(serve):
    return serve(echo)


def banner(rig, server, target, **given):
    client = rig.client(server, target, wait=False, **{"terminal": {}, **given})
    client.wait_out(r"Connected at")
    return client


def row(client, name):
    """What stands behind a name in the banner."""
    found = re.search(rf"^\W*{name}\s{{2,}}(.*?)\s*│?$", client.out.text, re.M)
    assert found, f"no row {name}:\n{client.out.text}"
    return found[1]


def test_banner(rig, target):
    server = rig.server()
    client = banner(rig, server, target)
    version = re.search(r"gotunnel (\S+)", rig.run("version").out.text)[1]
    assert row(client, "Session Status") == "online"
    assert row(client, "Version") == version
    assert row(client, "Tunnel Server") == f"127.0.0.1:{server.control}"
    assert row(client, "TLS Encryption") == "enabled ✓ (both ends proved by the token)"
    assert row(client, "Auto-Reconnect").startswith("enabled")
    assert row(client, "Forwarding") == f"tcp://127.0.0.1:{server.first} → {target}"
    works(server.first)


@pytest.mark.parametrize("mode, words", [
    ({"plaintext": True}, "disabled (--plaintext)"),
    ({"tls": True}, "enabled ✓ (certificate verified)"),
])
def test_banner_says_how_it_is_encrypted(rig, target, mode, words):
    if "tls" in mode:
        assert rig.run("gencert", "--host", "127.0.0.1").code == 0
    server = rig.server(**mode)
    assert row(banner(rig, server, target, **mode), "TLS Encryption") == words


def test_banner_without_reconnect(rig, target):
    client = banner(rig, rig.server(), target, no_reconnect=True)
    assert row(client, "Auto-Reconnect").startswith("disabled")


def test_http_kind_shows_an_http_address(rig, target):
    server = rig.server()
    client = banner(rig, server, f"http://{target}")
    assert row(client, "Forwarding").startswith(f"http://127.0.0.1:{server.first} → ")


def test_address_stands_alone_so_that_it_can_be_copied(rig, target):
    server = rig.server()
    client = banner(rig, server, target)
    assert re.search(rf"(^|\s)tcp://127\.0\.0\.1:{server.first}(\s|$)", client.out.text, re.M)


def test_lines_on_a_terminal_have_a_bar_and_no_time(rig, target):
    server = rig.server()
    client = banner(rig, server, target, resume_hold="0")
    server.kill()
    client.wait_out(r"^│ WARN  │ Session lost: ")
    client.wait_out(r"^│ WARN  │ Connection lost, attempting to reconnect\.\.\.$")
    assert not re.search(r"^\d{4}-\d\d-\d\dT", client.out.text, re.M)
    rig.server(port=server.control, start=server.first)
    client.wait_out(r"Connected successfully, away \d+m?s, same address", 20)
    assert client.out.text.count("Session Status") == 1, "no second banner"


@pytest.mark.parametrize("env, more, has_colour", [
    ({}, [], True), ({"NO_COLOR": "1"}, [], False), ({"NO_COLOR": ""}, [], True),
    ({"TERM": "dumb"}, [], False), ({}, ["--color", "never"], False),
    ({"NO_COLOR": "1"}, ["--color", "always"], True),
])
def test_colours(rig, target, env, more, has_colour):
    client = banner(rig, rig.server(), target, env=rig.env(**env), more=more)
    assert client.stop() == 0
    assert "Shutting down" in client.out.text
    assert bool(re.search("\x1b\\[[0-9;]*m", client.out.raw)) == has_colour


@pytest.mark.parametrize("columns", [80, 200])
def test_banner_fits_any_width(rig, target, columns):
    client = banner(rig, rig.server(), target, terminal={"columns": columns})
    for line in client.out.lines():
        if "→" not in line:         # the address is never cut
            assert len(line) <= columns, line
    assert not CONTROLS.search(client.out.raw.replace("\r\n", "\n"))


def test_no_banner_in_the_other_formats(rig, target):
    server = rig.server()
    client = rig.client(server, target, terminal={}, log_format="json", wait=False)
    client.wait_out(rf"tcp://127\.0\.0\.1:{server.first}")
    assert "Session Status" not in client.out.text


def test_start_screen_of_the_server(rig):
    server = rig.server(addr="", token_file=None, state="state", terminal={"columns": 140})
    text = server.out.text
    assert re.search(rf"Control Port +\[::\]:{server.control}$", text, re.M)
    assert re.search(rf"Public Ports +{server.first}-{server.last}$", text, re.M)
    assert re.search(r"TLS Encryption +enabled ✓ \(both ends proved by the token\)$", text, re.M)
    assert re.search(rf"Token +new, kept in {rig.folder}/state/token$", text, re.M)
    assert "On the machine with your service:" in text
    assert (f"Firewall: {server.control}/tcp and {server.first}-{server.last}/tcp must be open."
            in text)
    until(lambda: re.search(r"^│ INFO  │ Ready for connections$", server.out.text, re.M), 5,
          "the line for people")


@pytest.mark.parametrize("given, words", [
    ({}, "enabled ✓ (certificate)"),
    ({"plaintext": True}, "offered (certificate), plaintext accepted too (--plaintext)"),
])
def test_start_screen_says_all_that_is_accepted(rig, given, words):
    assert rig.run("gencert", "--host", "localhost").code == 0
    rig.server(tls=True, **given).wait_out(rf"^TLS Encryption +{re.escape(words)}$")


@pytest.mark.parametrize("addr", ["", "0.0.0.0"])
def test_start_screen_without_a_token_prints_what_works(rig, target, addr):
    """STATE cannot be written: from elsewhere nobody can log in, from here all can."""
    (rig.folder / "file").write_text("")
    server = rig.server(addr=addr, token_file=None, state="file/state")
    server.wait_err(r"WARN +no token: \S+/file/state/token cannot be written \(Not a directory\); .*; "
                    r"try: --state-dir DIR or --token-file FILE$")
    server.wait_out(f"^gotunnel client --server localhost:{server.control} --local localhost:3000$")
    works(rig.client(("localhost", server.control), target).port)
    server.stop()
    text = server.out.text
    assert "On this machine, beside your service:" in text and "Firewall" not in text


def test_start_screen_of_a_server_that_nobody_can_log_in_to(rig):
    address = other_address() or missing("an address that is not loopback")
    (rig.folder / "file").write_text("")
    server = rig.server(addr=address, token_file=None, state="file/state")
    server.wait_out("^Token +none; nobody can log in$")
    server.stop()
    assert "gotunnel client" not in server.out.text and "Firewall" not in server.out.text


@pytest.mark.parametrize("addr", ["127.0.0.1", ""])
def test_quiet_server_prints_the_bare_address(rig, addr):
    server = rig.server(addr=addr, quiet=True, wait=False)
    server.wait_out("\n")
    assert server.out.text == f"{addr or '[::]'}:{server.control}\n"
    assert not server.err.text


def test_server_logs_each_login(rig, target):
    server = rig.server()
    rig.client(server, target, name="laptop:3000")
    server.wait_err(r"INFO +127\.0\.0\.1(:\d+)? logged in \(laptop:3000, \d+\.\d+\.\d+\)$")
    server.wait_err(rf"INFO +Exposing laptop:3000 {target} → :{server.first}$")


def test_name_that_is_not_printable_is_refused(rig, target):
    """It is no way into a terminal, neither here nor at the server."""
    server = rig.server()
    one = rig.client(server, target, name="a\x1b[31mb", wait=False)
    assert one.wait_exit() == 2
    assert "\x1b" not in one.err.text + server.err.text
