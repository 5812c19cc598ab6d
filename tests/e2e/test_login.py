"""Tokens: made by the server, given by hand, asked for, kept, refused."""
import os
import re
import socket
import stat

import pytest

from kit import missing, ports, until
from kit.gotunnel import other_address
from kit.origin import echo
from kit.stream import connect, read_exactly

TOKEN = re.compile(r"\b[a-z0-9]{4}(?:-[a-z0-9]{4}){5}\b")      # 120 bits in base32


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def works(client):
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


@pytest.fixture
def target(serve):
    return serve(echo)


@pytest.fixture
def address():
    return other_address() or missing("an address that is not loopback")


def test_token_that_the_server_makes(rig, target, address):
    """Made once, kept 0600, never printed off a terminal, used again at the next start."""
    server = rig.server(addr="0.0.0.0", token_file=None, state="state")
    path = rig.folder / "state" / "token"
    token = path.read_text().strip()
    assert TOKEN.fullmatch(token)
    assert mode(path) == 0o600
    until(lambda: str(path) in server.err.text + server.out.text, 10, "where it is kept")
    assert token not in server.err.text + server.out.text
    client = rig.client((address, server.control), target, token=token)
    assert (client.host, client.port) == (address, server.first)
    works(client)
    client.stop()
    assert server.stop() == 0
    again = rig.server(addr="0.0.0.0", token_file=None, state="state")
    assert path.read_text().strip() == token
    rig.client((address, again.control), target, token_file=str(path))


def test_made_token_is_printed_to_a_terminal_once(rig, target):
    first = rig.server(addr="0.0.0.0", token_file=None, state="state", terminal={})
    token = (rig.folder / "state" / "token").read_text().strip()
    assert token in first.out.text
    assert first.stop() == 0
    second = rig.server(addr="0.0.0.0", token_file=None, state="state", terminal={})
    assert token not in second.out.text
    assert str(rig.folder / "state" / "token") in second.out.text


def test_server_that_does_not_start_makes_no_token(rig):
    """It would never be printed: only who makes one prints it."""
    port = ports.one()
    with socket.create_server(("0.0.0.0", port)):
        one = rig.run("server", "--addr", f":{port}", "--state-dir", rig.folder / "state")
    assert one.code == 7
    assert not (rig.folder / "state" / "token").exists()


def test_printed_command_works_when_pasted(rig, target):
    """The line that the start screen gives for the other machine, as it stands."""
    server = rig.server(addr="0.0.0.0", token_file=None, state="state", terminal={"columns": 140})
    line = re.search(r"^GOTUNNEL_TOKEN=(\S+) gotunnel client --server (\S+) --local (\S+)$",
                     server.out.text, re.M)
    assert line, server.out.text
    token, where, local = line.groups()
    assert local == "localhost:3000"
    host, port = where.rsplit(":", 1)
    assert int(port) == server.control and host not in ("0.0.0.0", "[::]")
    if host == "SERVER-NAME":
        host = "127.0.0.1"          # no default route: the screen says so
    client = rig.client((host.strip("[]"), int(port)), target,
                        env=rig.env(GOTUNNEL_TOKEN=token))
    works(client)


def test_public_host_is_what_the_screen_and_the_client_say(rig, target):
    server = rig.server(addr="0.0.0.0", token_file=None, state="state", public_host="t.example",
                        terminal={"columns": 140})
    assert f"gotunnel client --server t.example:{server.control} --local localhost:3000" in \
        server.out.text
    client = rig.client(server, target, token_file=str(rig.folder / "state" / "token"))
    assert client.host == "t.example"


def test_dev_token_on_loopback_is_warned_about(rig, target):
    """No token set by hand: each such login works and leaves a warning."""
    server = rig.server(token_file=None)
    for number in (1, 2):
        client = rig.client(server, target, name=f"c{number}:1", state=f"c{number}")
        works(client)
        until(lambda: len(re.findall(r"WARN .*dev-token", server.err.text)) == number, 5,
              "a warning for each login")


def test_dev_token_works_beside_a_made_token(rig, target):
    server = rig.server(addr="0.0.0.0", token_file=None)
    works(rig.client(server, target))
    server.wait_err("WARN .*dev-token")


def test_loopback_server_makes_no_token(rig):
    rig.server(token_file=None, state="state")
    assert not (rig.folder / "state" / "token").exists()


def test_dev_token_is_refused_where_a_token_is_set(rig, target):
    server = rig.server()
    one = rig.client(server, target, token_file=None, wait=False)
    assert one.wait_exit() == 4


def test_dev_token_is_refused_from_another_machine(rig, target, address):
    server = rig.server(addr="0.0.0.0", token_file=None)
    one = rig.client((address, server.control), target, token="dev-token", wait=False)
    assert one.wait_exit() == 4


def test_state_that_cannot_be_written(rig, target):
    """Warns, and accepts dev-token only."""
    (rig.folder / "file").write_text("")
    server = rig.server(addr="0.0.0.0", token_file=None, state="file/state")
    server.wait_err(r"WARN .*file/state")
    works(rig.client(server, target))


@pytest.mark.parametrize("name, value", [("GOTUNNEL_TOKEN", None), ("GOTUNNEL_SERVER_TOKEN", None),
                                         ("GOTUNNEL_TOKEN_FILE", "file")])
def test_server_takes_its_token_from_the_environment(rig, target, name, value):
    env = rig.env(**{name: rig.token_file if value else "a-secret-word"})
    server = rig.server(token_file=None, env=env)
    given = {"token_file": rig.token_file} if value else {"token": "a-secret-word"}
    works(rig.client(server, target, **given))


def test_token_from_standard_input(rig, target):
    server = rig.server()
    with open(server.token_file) as stdin:
        works(rig.client(server, target, token_file="-", stdin=stdin))


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("readable", [0o644, 0o640, 0o604])
def test_readable_token_file_is_refused(rig, target, who, readable):
    """Case 42: with the command that mends it."""
    path = rig.write_secret("open", "a-secret-word", readable)
    if who == "server":
        one = rig.server(token_file=path, wait=False)
    else:
        one = rig.client(rig.server(), target, token_file=path, wait=False)
    assert one.wait_exit() == 3
    assert path in one.err.text and "chmod 600" in one.err.text
    assert "a-secret-word" not in one.err.text


def test_missing_token_file(rig, target):
    one = rig.client(rig.server(), target, token_file=str(rig.folder / "none"), wait=False)
    assert one.wait_exit() == 3
    assert "none: No such file or directory" in one.err.text


@pytest.mark.parametrize("form", [["--token", "a-secret-word"], ["--token=a-secret-word"],
                                  ["-token", "a-secret-word"]])
def test_token_is_wiped_from_the_command_line(rig, target, form):
    """Case 42: it works, is warned about, and `ps` does not show it."""
    server = rig.server(token_file=None, more=form)
    client = rig.client(server, target, token_file=None, more=form)
    works(client)
    for proc in (server, client):
        with open(f"/proc/{proc.pid}/cmdline", "rb") as f:
            assert b"a-secret-word" not in f.read()
        proc.wait_err("WARN .*--token")
        assert "a-secret-word" not in proc.err.text + proc.out.text


def test_token_is_wiped_from_the_environment(rig, target):
    """Case 42: of both processes."""
    server = rig.server(token_file=None, env=rig.env(GOTUNNEL_TOKEN="a-secret-word"))
    client = rig.client(server, target, env=rig.env(GOTUNNEL_TOKEN="a-secret-word"),
                        token_file=None)
    for proc in (server, client):
        with open(f"/proc/{proc.pid}/environ", "rb") as f:
            assert b"a-secret-word" not in f.read()


def test_token_file_in_the_home(rig, target):
    """~/.config/gotunnel/token is found by itself, and refused when readable."""
    folder = rig.home / ".config" / "gotunnel"
    folder.mkdir(parents=True)
    path = folder / "token"
    server = rig.server()
    path.write_text(server.token() + "\n")
    path.chmod(0o600)
    client = rig.client(server, target, token_file=None)
    works(client)
    client.stop()
    path.chmod(0o644)
    one = rig.client(server, target, token_file=None, wait=False)
    assert one.wait_exit() == 3
    assert "chmod 600" in one.err.text


def prompt(rig, server, address, target, **given):
    """A client on a terminal, without a token, of a server that is not loopback."""
    client = rig.client((address, server.control), target, terminal={}, wait=False, **given)
    client.wait_out(rf"Token for {re.escape(address)}:{server.control}: ")
    assert not client.echoes()
    return client


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_client_asks_for_the_token(rig, target, address, answer):
    server = rig.server(addr="0.0.0.0")
    client = prompt(rig, server, address, target)
    client.type(server.token() + "\n")
    client.wait_out(r"^Keep it in ~/\.config/gotunnel/token\? \[y/N\] $")
    assert client.echoes()
    client.type(answer + "\n")
    client.wait_out(r"tcp://.*:\d+ → ")
    works_at(address, server.first)
    kept = rig.home / ".config" / "gotunnel" / "token"
    assert server.token() not in client.out.text
    if answer == "y":
        until(kept.exists, 5, "the token file")
        until(lambda: kept.read_text().strip() == server.token(), 5, "the token in the file")
        assert mode(kept) == 0o600
        client.stop()
        rig.client((address, server.control), target)       # and now it asks no more
    else:
        assert not kept.exists()


def works_at(host, port):
    with connect(host, port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


def test_wrong_answer_to_the_prompt(rig, target, address):
    server = rig.server(addr="0.0.0.0")
    client = prompt(rig, server, address, target)
    client.type("not-the-token\n")
    assert client.wait_exit() == 4
    assert "Keep it" not in client.out.text
    assert "does not match" in client.out.text


def test_interrupt_at_the_prompt(rig, target, address):
    server = rig.server(addr="0.0.0.0")
    client = prompt(rig, server, address, target)
    client.type("\x03")
    until(lambda: not client.alive, 10, "the end")
    assert client.echoes(), "the terminal is left without echo"
    assert client.wait_exit() in (0, 130, -2)


def test_no_prompt_for_loopback_or_off_a_terminal(rig, target, address):
    server = rig.server(addr="0.0.0.0", token_file=None)
    client = rig.client(("127.0.0.1", server.control), target, terminal={}, wait=False)
    client.wait_out(r"tcp://.*:\d+ → ")
    assert "Token for" not in client.out.text
    client.stop()
    one = rig.client((address, server.control), target, wait=False)
    assert one.wait_exit() == 4


def test_token_never_shows_in_debug_logs(rig, target):
    """Case 42: not even at --log-level debug."""
    server = rig.server(log_level="debug")
    client = rig.client(server, target, log_level="debug")
    works(client)
    client.stop()
    server.stop()
    for proc in (server, client):
        assert server.token() not in proc.err.text + proc.out.text


def test_dev_token_by_hand_is_what_there_is_without_one(rig, target, address):
    """Accepted from this machine, warned about, and worth nothing from another."""
    server = rig.server(addr="0.0.0.0", token="dev-token")
    works(rig.client(server, target, token="dev-token"))
    server.wait_err("WARN .*dev-token, which works from this machine only")
    one = rig.client((address, server.control), target, token="dev-token", wait=False,
                     name="other:1", state="other")
    assert one.wait_exit() == 4


def test_wiping_the_token_leaves_other_arguments_alone(rig, target):
    """A name that ends in the same word is still the name, in `ps` and in the log."""
    server = rig.server(token_file=None, more=["--token", "web"])
    client = rig.client(server, target, token_file=None, name="shop-web",
                        more=["--token", "web"])
    with open(f"/proc/{client.pid}/cmdline", "rb") as f:
        words = f.read().split(b"\0")
    assert b"shop-web" in words and b"web" not in words
    server.wait_err(r"logged in \(shop-web, ")
