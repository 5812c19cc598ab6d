"""The token shows nowhere, however it was given and whatever is asked for."""
import os
import re
import resource
import signal
import urllib.error
import urllib.request

import pytest

from kit import limit, ports, until
from kit.gotunnel import Client, Server
from kit.origin import echo
from kit.stream import connect, read_exactly
from kit.wire import RawClient

CANARY = "canary-7c1f09e2b6d84c53a0"


def of_process(pid):
    """What other users and tools can read of it, besides its memory."""
    for name in ("cmdline", "environ", "comm", "status", "maps", "limits"):
        with open(f"/proc/{pid}/{name}", "rb") as f:
            yield f"/proc/{name}", f.read()


def pages(admin):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path in ("/metrics", "/healthz", "/readyz", "/api/stats", "/api/tunnels", "/api/status", "/"):
        try:
            with opener.open(f"http://127.0.0.1:{admin}{path}", timeout=limit(10)) as page:
                yield path, page.read()
        except urllib.error.HTTPError as error:
            yield path, error.read()


def unlimited_core():
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


@pytest.mark.parametrize("given", ["flag", "equals", "environment", "file", "stdin"])
def test_token_shows_nowhere(rig, serve, given):
    """Case 42: not in logs, pages, state, /proc from the first word on, or a core file."""
    admin, control, first = [ports.one(), ports.one()], ports.one(), ports.block(3)
    secret = rig.write_secret("secret", CANARY)
    more, env = [], {}
    if given == "flag":
        more = ["--token", CANARY]
    elif given == "equals":
        more = [f"--token={CANARY}"]
    elif given == "environment":
        env = {"GOTUNNEL_TOKEN": CANARY}
    elif given == "file":
        more = ["--token-file", secret]
    else:
        more = ["--token-file", "-"]

    def start(kind, *argv):
        with open(secret) as stdin:
            proc = rig.add(kind([rig.path, *argv, *more], env=rig.env(**env), cwd=rig.folder,
                                stdin=stdin, preexec_fn=unlimited_core))
        until(lambda: proc.out.data or proc.err.data, 10, "a word")
        found.extend(of_process(proc.pid))
        return proc

    found = []
    server = start(Server, "server", "--addr", f"127.0.0.1:{control}", "--start-port", first,
                   "--end-port", first + 2, "--log-level", "debug", "--plaintext",
                   "--log-format", "json", "--admin", f"127.0.0.1:{admin[0]}", "--state-dir",
                   rig.folder / "state").ready()
    client = start(Client, "client", "--server", f"127.0.0.1:{control}", "--local",
                   serve(echo), "--log-level", "debug", "--admin", f"127.0.0.1:{admin[1]}",
                   "--state-dir", rig.folder / "state-of-the-client").forwarding()
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
    leases = rig.folder / "state" / f"leases.{control}"
    until(leases.exists, 10, "the leases on disk")
    # Those who know it, and those who do not.
    server.host, server.control = "127.0.0.1", control
    RawClient(server, CANARY).login(instance=b"r" * 16).close()
    guess = RawClient(server, "guess").greet()
    guess.send("AUTH", 0, guess.proof)
    guess.ended()
    for port in admin:
        found.extend(pages(port))
    for proc in (server, client):
        proc.signal(signal.SIGUSR2)
        proc.wait_err("(Metrics Summary|summary)")
        found.extend(of_process(proc.pid))
        with open(f"/proc/{proc.pid}/limits") as f:
            core = re.search(r"Max core file size +(\S+)", f.read())[1]
        assert core == "0", f"a core file of {proc.name} would have the token in it"
        # Ends it with the signal of a crash.
        proc.signal(signal.SIGABRT)
        proc.wait_exit()
        found += [(f"{proc.name}'s output", proc.out.data), (f"{proc.name}'s log", proc.err.data)]
    assert b"logging in as" in client.err.data and b"login refused" in server.err.data
    for path in rig.folder.rglob("*"):
        if path.is_file() and str(path) != secret:
            found.append((str(path), path.read_bytes()))
    names = {name for name, _ in found}
    assert len(names) > 15 and any("leases" in name for name in names)
    hits = [name for name, data in found if CANARY.encode() in data]
    assert not hits
    assert not list(rig.folder.glob("core*"))


def test_suite_leaves_no_token_behind(rig, serve):
    """Case 42: of all that a whole run of both writes to disk, only the secret files know it."""
    client = rig.tunnel(serve(echo))
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
    token = client.server.token().encode()
    for proc in (client, client.server):
        assert proc.stop() == 0
        assert token not in proc.out.data + proc.err.data
    for folder, _, files in os.walk(rig.folder):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                assert token not in f.read() or path == rig.token_file, path
