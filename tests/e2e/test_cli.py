"""Commands and options: help, spelling, the environment, forms of addresses."""
import os
import re
import signal
import socket
import subprocess

import pytest

from kit import BIN, limit, need, ports, until
from kit.gotunnel import Client, Server
from kit.origin import echo
from kit.proc import Proc
from kit.stream import connect, read_exactly

COMMANDS = ["server", "client", "gencert", "stats"]


def works(port):
    with connect("127.0.0.1", port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


@pytest.fixture
def target(serve):
    return serve(echo)


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


@pytest.mark.parametrize("argv", [["help"], ["--help"], ["-h"]])
def test_help_names_the_commands(rig, argv):
    done = rig.run(*argv)
    assert done.code == 0 and not done.err.text
    for command in [*COMMANDS, "help", "version", "completion"]:
        assert re.search(rf"\b{command}\b", done.out.text), command


def test_without_arguments(rig):
    done = rig.run()
    assert done.code == 2
    assert "gotunnel client --local" in done.err.text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(rig, command):
    """-h is short and begins with an example; --help and `help COMMAND` are complete."""
    brief = rig.run(command, "-h").out.text
    full = rig.run(command, "--help").out.text
    assert rig.run("help", command).out.text == full
    assert len(brief.splitlines()) <= 24 and len(full) > len(brief)
    assert f"gotunnel {command} " in "\n".join(brief.splitlines()[:5])
    assert options(brief) <= options(full)
    assert all(len(line) <= 100 for line in full.splitlines())


@pytest.mark.parametrize("command, wanted", [
    ("server", "addr start-port end-port bind-host public-host tls tls-cert tls-key token "
     "token-file state-dir plaintext drain workers log-level log-format quiet"),
    ("client", "server local token token-file tls tls-ca no-reconnect retries remote-port name "
     "plaintext state-dir drain log-level log-format quiet color"),
    ("gencert", "host days out force new-ca"),
    ("stats", "socket json watch color"),
])
def test_help_names_every_option(rig, command, wanted):
    named = options(rig.run(command, "--help").out.text)
    assert {f"--{name}" for name in wanted.split()} <= named


@pytest.mark.parametrize("argv", [["help", "-h"], ["completion", "-h"], ["completion", "--help"],
                                  ["version", "-h"], ["tcp", "-h"], ["http", "--help"]])
def test_help_of_every_command(rig, argv):
    done = rig.run(*argv)
    assert done.code == 0 and not done.err.text
    assert f"gotunnel {argv[0] if argv[0] != 'help' else 'server'}" in done.out.text


@pytest.mark.parametrize("command", ["tcp", "http"])
def test_help_of_the_short_forms(rig, command):
    """Their own usage and example, with the service as a word; nothing of --local."""
    text = rig.run(command, "-h").out.text
    assert f"\nusage: gotunnel {command} HOST:PORT [OPTION]...\n" in text
    assert re.search(rf"^  gotunnel {command} \d+ ", text, re.M)
    assert "--local" not in rig.run(command, "--help").out.text


def test_default_of_the_authority_in_help(rig):
    assert "certs/ca-cert.pem if it exists, else system" in rig.run("client", "--help").out.text


@pytest.mark.parametrize("argv", [["version"], ["--version"], ["-V"], ["-v"],
                                  ["server", "--version"], ["client", "-V"],
                                  ["gencert", "--version"]])
def test_version(rig, argv):
    done = rig.run(*argv)
    assert done.code == 0
    assert re.match(r"gotunnel \d+\.\d+\.\d+\b", done.out.text)
    assert "BoringSSL" in done.out.text and re.search(r"libuv \d+\.\d+", done.out.text)


@pytest.mark.parametrize("argv, meant", [
    (["sever"], "server"), (["cleint"], "client"), (["gencrt"], "gencert"),
    (["vesion"], "version"), (["client", "--locl", "1"], "--local"),
    (["client", "--remoteport", "1"], "--remote-port"), (["server", "--plain"], "--plaintext"),
    (["gencert", "--hosts", "x"], "--host"), (["help", "clent"], "client"),
])
def test_did_you_mean(rig, argv, meant):
    done = rig.run(*argv)
    assert done.code == 2
    assert re.search(rf"did you mean:? .*(?<![\w-]){meant}(?![\w-])", done.err.text), done.err.text


def test_word_that_is_like_nothing(rig):
    done = rig.run("xylophone")
    assert done.code == 2
    assert "xylophone" in done.err.text and "did you mean" not in done.err.text


@pytest.mark.parametrize("form", [
    ["--server", "{s}", "--local", "{l}"], ["--server={s}", "--local={l}"],
    ["-server", "{s}", "-local", "{l}"], ["-server={s}", "-local={l}"],
])
def test_spellings_of_an_option(rig, target, form):
    server = rig.server()
    argv = [x.format(s=f"127.0.0.1:{server.control}", l=target) for x in form]
    client = rig.add(client_of(rig, [BIN, "client", *argv, "--token-file",
                                          server.token_file, "--state-dir", rig.folder / "c"]))
    works(client.forwarding().port)


def client_of(rig, argv, env=None, **more):
    return Client([str(x) for x in argv], env=env or rig.env(), cwd=rig.folder, **more)


@pytest.mark.parametrize("value, is_on", [("true", True), ("1", True), ("false", False),
                                          ("0", False)])
@pytest.mark.parametrize("where", ["flag", "environment"])
def test_booleans(rig, target, value, is_on, where):
    """A plaintext client is refused by a server that did not turn plaintext on."""
    given = {"more": [f"--plaintext={value}"]} if where == "flag" else \
        {"env": rig.env(GOTUNNEL_PLAINTEXT=value)}
    server = rig.server(**given)
    client = rig.client(server, target, plaintext=True, wait=False)
    if is_on:
        works(client.forwarding().port)
    else:
        assert client.wait_exit() == 3


def test_flag_before_environment_before_default(rig, target, serve):
    """And the name with the command goes before the name without."""
    server = rig.server()
    nobody = "127.0.0.1:1"
    target = str(target)
    given = [("GOTUNNEL_CLIENT_LOCAL", target, {"GOTUNNEL_LOCAL": nobody}, []),
             ("GOTUNNEL_LOCAL", target, {}, []),
             ("GOTUNNEL_LOCAL", nobody, {"GOTUNNEL_CLIENT_LOCAL": nobody}, ["--local", target])]
    for number, (name, value, more, argv) in enumerate(given):
        env = rig.env(GOTUNNEL_SERVER=f"127.0.0.1:{server.control}",
                      GOTUNNEL_TOKEN_FILE=server.token_file, **{name: value}, **more)
        client = rig.add(client_of(rig, [BIN, "client", "--name", f"c{number}:1",
                                              "--state-dir", rig.folder / f"c{number}", *argv],
                                        env=env))
        works(client.forwarding().port)


def test_foreign_environment_is_ignored(rig, target):
    """What Kubernetes injects for a service that is called gotunnel-server."""
    env = rig.env(GOTUNNEL_SERVER_PORT="tcp://10.0.0.1:9000", GOTUNNEL_SERVER_SERVICE_HOST="x",
                  GOTUNNEL_SERVER_PORT_9000_TCP_PROTO="tcp", GOTUNNEL_NONSENSE="1")
    server = rig.server(env=env)
    works(rig.client(server, target, env=env).port)


def test_bad_value_in_the_environment_is_named(rig):
    done = rig.run("client", "--local", "1", env=rig.env(GOTUNNEL_RETRIES="many"))
    assert done.code == 2
    assert "GOTUNNEL_RETRIES" in done.err.lines()[0]


def test_variables_of_no_use_are_ignored(rig, target):
    """They may be meant for another client; a flag beats them, too."""
    server = rig.server()
    works(rig.client(server, target, env=rig.env(GOTUNNEL_TLS_CA="nothing.pem")).port)
    plain = rig.server(plaintext=True)
    works(rig.client(plain, target, state="b", plaintext=True,
                     env=rig.env(GOTUNNEL_TLS="1", GOTUNNEL_TLS_CA="nothing.pem")).port)


def test_bare_port_is_localhost(rig, serve):
    port = serve(echo).port
    server = rig.server()
    client = rig.client(server, port)
    assert f"localhost:{port}" in client.out.text
    works(client.port)


@pytest.mark.parametrize("form, shown", [
    (["client", "--local", "{}"], "tcp"), (["client", "--local", "http://{}"], "http"),
    (["client", "--local", "http://{}/"], "http"), (["http", "{}"], "http"),
    (["tcp", "{}"], "tcp"), (["--local", "{}"], "tcp"), (["http", "--retries", "1", "{}"], "http"),
    (["tcp", "--quiet=false", "{}", "--retries=1"], "tcp"),
])
def test_forms_of_a_client(rig, target, form, shown):
    server = rig.server()
    words = [x.format(target) for x in form]
    client = rig.add(client_of(rig, [BIN, *words, "--server", f"127.0.0.1:{server.control}",
                                          "--token-file", server.token_file, "--state-dir",
                                          rig.folder / "c"]))
    works(client.forwarding().port)
    assert client.out.text == f"Forwarding {shown}://127.0.0.1:{client.port} -> {target}\n"


def test_https_target_is_passed_through(rig):
    """kind tcp, port 443 when none is given."""
    server = rig.server()
    client = rig.client(server, "https://localhost", wait=False)
    client.wait_out(r"^Forwarding tcp://127\.0\.0\.1:\d+ -> \S*localhost(:443)?$")


def test_quiet_prints_the_bare_address(rig, target):
    server = rig.server()
    client = rig.client(server, target, quiet=True, wait=False)
    client.wait_out(r"\n")
    assert client.out.text == f"127.0.0.1:{server.first}\n"


def test_stdout_off_a_terminal_is_one_line(rig, target):
    """Everything else is on stderr, each line with a time and a level."""
    server = rig.server()
    client = rig.client(server, target)
    works(client.port)
    assert client.stop() == 0
    assert client.out.text == f"Forwarding tcp://127.0.0.1:{server.first} -> {target}\n"
    assert "\x1b" not in client.err.text
    for line in client.err.lines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d) +"
                        r"(ERROR|WARN|INFO|DEBUG)\b", line), line


@pytest.mark.parametrize("name, command", [("gotunnel-server", "server"),
                                           ("gotunnel-client", "client")])
def test_name_of_the_executable(rig, target, name, command):
    link = rig.folder / name
    os.symlink(BIN, link)
    assert rig.run("--help", path=str(link)).out.text == rig.run(command, "--help").out.text
    assert rig.run("--version", path=str(link)).out.text == rig.run("version").out.text
    if command == "client":
        server = rig.server()
        client = rig.add(client_of(rig, [link, "--server", f"127.0.0.1:{server.control}",
                                              "--local", target, "--token-file",
                                              server.token_file, "--state-dir", rig.folder / "c"]))
        works(client.forwarding().port)


def test_completion_for_bash(rig):
    """The script loads, and completes commands and options."""
    script = rig.run("completion", "bash").out.text
    ask = script + """
words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
$(complete -p gotunnel | sed 's/.*-F \\([^ ]*\\).*/\\1/') gotunnel "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"; }
words gotunnel cl
words gotunnel client --rem
words gotunnel server --pub
words gotunnel stats --watch --j
words gotunnel-server --pub
words gotunnel-client --rem
"""
    done = subprocess.run([need("bash"), "--norc", "-euc", ask], capture_output=True, text=True,
                          timeout=limit(10))
    assert done.returncode == 0, done.stderr
    assert [line.strip() for line in done.stdout.splitlines()] == \
        ["client", "--remote-port", "--public-host", "--json", "--public-host",
         "--remote-port"]


@pytest.mark.parametrize("shell, mark", [("zsh", "#compdef gotunnel"),
                                         ("fish", "complete -c gotunnel")])
def test_completion_for_other_shells(rig, shell, mark):
    done = rig.run("completion", shell)
    assert done.code == 0 and mark in done.out.text
    for word in (*COMMANDS, "remote-port", "new-ca"):
        assert word in done.out.text
    wanted = "complete -c gotunnel-server -l public-host" if shell == "fish" else \
        "#compdef gotunnel gotunnel-server gotunnel-client"
    assert wanted in done.out.text


def test_completion_for_an_unknown_shell(rig):
    assert rig.run("completion", "tcsh").code == 2


def test_log_file(rig, target):
    server = rig.server()
    log = rig.folder / "log"
    client = rig.client(server, target, log_file=log)
    client.stop()
    assert "Shutting down" in log.read_text()
    assert not client.err.text


@pytest.mark.parametrize("given", [{"verbose": True}, {"log_level": "debug"}])
@pytest.mark.parametrize("plaintext", [None, True])
def test_debug_tells_every_step(rig, target, given, plaintext):
    """From the name to the last stream; the token is in none of it."""
    server = rig.server(plaintext=plaintext, **given)
    with socket.create_server(("0.0.0.0", server.first)):
        client = rig.client(server, target, host="localhost", plaintext=plaintext, **given)
    assert client.port == server.first + 1
    works(client.port)
    over = "plaintext" if plaintext else r"TLSv1\.3, TLS_\w+"
    for proc, wanted in (
            (client, [rf"dialling localhost port {server.control}: \S+:{server.control}: connected",
                      r"connected; logging in as \S+ with key default", rf"login accepted \({over}\)",
                      r"asking for port 0 \(any\)", rf"granted localhost:{client.port}",
                      r"stream 1 opened for 127\.0\.0\.1:\d+",
                      r"stream 1 closed: 5 bytes from the service, 5 to it"]),
            (server, [r"control connection accepted", rf"login over {over}",
                      r"asks for port 0 \(any\)",
                      rf"port {server.first} skipped: Address already in use",
                      rf"listening on :{client.port}",
                      rf"stream 1 opened for 127\.0\.0\.1:\d+ on :{client.port}",
                      r"stream 1 closed: 5 bytes from the visitor, 5 to it"])):
        for line in wanted:
            proc.wait_err(rf"^\S+ +DEBUG (\S+: )?{line}$")
    client.stop()
    server.wait_err(rf"DEBUG \S+: listening on :{client.port} no longer$")
    server.wait_err(r"DEBUG \S+: session over")
    assert server.token() not in client.err.text + server.err.text


def test_output_that_nobody_reads_any_more(rig, target):
    """Case 32: a closed stdout is no reason to end: `gotunnel client | head -1`."""
    server = rig.server()
    shell = rig.add(Proc(["bash", "-c", 'set -o pipefail; "$@" | head -1', "-", BIN, "client",
                          "--server", f"127.0.0.1:{server.control}", "--local", target,
                          "--token-file", server.token_file, "--state-dir",
                          str(rig.folder / "c")], env=rig.env()))
    shell.wait_out("Forwarding")
    works(server.first)
    until(lambda: len(children(shell.pid)) == 1, 10, "the end of head")
    os.kill(children(shell.pid)[0], signal.SIGTERM)
    assert shell.wait_exit() == 0


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return list(map(int, f.read().split()))


def test_closed_standard_descriptors(rig, target):
    """Case 32: they would become sockets, and the log would be written into a visitor's stream."""
    control, first = ports.one(), ports.block(4)
    server = rig.add(Server(["/bin/sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', BIN, "server",
                             "--addr", f"127.0.0.1:{control}", "--start-port", first,
                             "--end-port", first + 3, "--token-file", rig.token_file],
                            env=rig.env(), cwd=rig.folder))
    client = rig.client(("127.0.0.1", control), target, token_file=rig.token_file, retries=0)
    links = [os.readlink(f"/proc/{server.pid}/fd/{n}") for n in range(3)]
    assert links == ["/dev/null"] * 3
    works(client.port)
