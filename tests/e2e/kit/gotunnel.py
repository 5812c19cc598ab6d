"""gotunnel's server and client as processes."""
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile

import pytest

from . import BIN, ports
from .origin import Origin
from .proc import Proc
from .terminal import OnTerminal

FORWARDING = re.compile(r"^Forwarding (?P<kind>tcp|http)://(?P<host>\[[^]]*\]|[^:/\s]+):"
                        r"(?P<port>\d+)(?P<note> \([^)]*\))? (?:->|→) (?P<target>\S+)", re.M)
RANGE = 12                      # public ports of a server unless a test says otherwise
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
}


def environment(home, **more):
    """The environment of a process: nothing of the caller's but the path."""
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(home), "LANG": "C.UTF-8",
           "TERM": "xterm-256color"}
    for name, value in SANITIZER_OPTIONS.items():
        env[name] = os.environ.get(name, value)
    if "GOTUNNEL_TEST_WORKERS" in os.environ:       # of every server that a test starts
        env["GOTUNNEL_SERVER_WORKERS"] = os.environ["GOTUNNEL_TEST_WORKERS"]
    for name in ("LSAN_OPTIONS", "TSAN_OPTIONS", "LD_LIBRARY_PATH"):
        if name in os.environ:
            env[name] = os.environ[name]
    env.update(more)
    return env


def options(given):
    """remote_port=1 → --remote-port 1; True → the flag alone; None → nothing."""
    argv = []
    for name, value in given.items():
        if value is None or value is False:
            continue
        argv.append("--" + name.replace("_", "-"))
        if value is not True:
            argv.append(str(value))
    return argv


def other_address():
    """An IPv4 address of this machine that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))     # sends nothing: TEST-NET-1, and UDP
            address = s.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith(("127.", "0.")) else address


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


class ServerMixin:
    """What tests ask of a running server."""

    def ready(self, seconds=10):
        self.wait_err(r"Ready for connections", seconds)
        return self

    def token(self):
        with open(self.token_file) as f:
            return f.read().strip()


class ClientMixin:
    """What tests ask of a running client."""

    def forwarding(self, seconds=10, since=0):
        """Waits for the address; sets host and port."""
        found = self._wait(self.out, "stdout", FORWARDING.pattern, seconds, since)
        self.host, self.port = found["host"].strip("[]"), int(found["port"])
        return self


class Server(ServerMixin, Proc):
    pass


class Client(ClientMixin, Proc):
    pass


class TerminalServer(ServerMixin, OnTerminal):
    pass


class TerminalClient(ClientMixin, OnTerminal):
    pass


class Rig:
    """Starts servers and clients for one test and sees to it that they end well."""

    path = BIN

    def __init__(self, folder):
        self.folder = folder
        self.procs = []
        self.closers = []
        self.home = folder / "home"
        self.home.mkdir()
        # For unix sockets, whose paths must be short.
        self.run_dir = tempfile.mkdtemp(prefix="gt-")
        self.token_file = self.write_secret("token-file", secrets.token_hex(16))

    def write_secret(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(mode)
        return str(path)

    def env(self, **more):
        return environment(self.home, **{"RUNTIME_DIRECTORY": f"{self.run_dir}/gotunnel", **more})

    def keep(self, thing):
        """close() is called at the end of the test."""
        self.closers.append(thing)
        return thing

    def add(self, proc):
        self.procs.append(proc)
        return proc

    def run(self, *argv, path=BIN, env=None, cwd=None, seconds=10, **more):
        """A gotunnel command that ends by itself: the process, with `code`."""
        proc = self.add(Proc([path, *map(str, argv)], env=env or self.env(), cwd=cwd or self.folder,
                             **more))
        proc.code = proc.wait_exit(seconds)
        return proc

    def server(self, addr="127.0.0.1", port=None, start=None, count=RANGE, state="server-state",
               terminal=None, env=None, cwd=None, wait=True, more=(), **given):
        """A server on free ports; --token-file unless token or token_file is given."""
        control = port or ports.one()
        start = start or ports.block(count)
        given.setdefault("token_file", None if "token" in given else self.token_file)
        host = f"[{addr}]" if ":" in addr else addr
        argv = [BIN, "server", "--addr", f"{host}:{control}", "--start-port", str(start),
                "--end-port", str(start + count - 1), "--state-dir", str(self.folder / state),
                *options(given), *map(str, more)]
        server = self.start(Server, TerminalServer, argv, terminal, env, cwd,
                            f"server:{control}")
        server.host = addr if addr not in ("", "0.0.0.0", "::") else "127.0.0.1"
        server.control, server.first, server.last = control, start, start + count - 1
        server.token_file = given["token_file"]
        return server.ready() if wait else server

    def client(self, server, local, state="client-state", terminal=None, env=None, cwd=None,
               wait=True, more=(), host=None, stdin=subprocess.DEVNULL, **given):
        """A client of a server (or of ("host", port)); `local` is an origin, a port, HOST:PORT.

        When it is up, the origin has seen its first dial and takes visitors only.
        """
        if wait and isinstance(local, Origin):
            local.expect_probe()
        if isinstance(server, tuple):
            name, control = server
        else:
            name, control = server.host, server.control
            if "token" not in given:
                given.setdefault("token_file", server.token_file)
        name = host or name
        name = f"[{name}]" if ":" in name else name
        argv = [BIN, "client", "--server", f"{name}:{control}", "--local", str(local),
                "--state-dir", str(self.folder / state), *options(given), *map(str, more)]
        client = self.start(Client, TerminalClient, argv, terminal, env, cwd,
                            f"client:{str(local).rsplit(':', 1)[-1]}", stdin=stdin)
        if wait:
            client.forwarding()
        if wait and isinstance(local, Origin):
            local.await_probe()
        return client

    def start(self, plain, on_terminal, argv, terminal, env, cwd, name, stdin=subprocess.DEVNULL):
        more = dict(env=env or self.env(), cwd=cwd or self.folder, name=name)
        if terminal is not None:
            return self.add(on_terminal(argv, **terminal, **more))
        return self.add(plain(argv, stdin=stdin, **more))

    def tunnel(self, local, **given):
        """Server and client; the client, with host and port of the public side."""
        both = {k: given.pop(k) for k in ("plaintext",) if k in given}
        server = self.server(**both, **given.pop("server", {}))
        client = self.client(server, local, **both, **given)
        client.server = server
        return client

    def finish(self):
        """Ends everything, clients first; what was wrong, each a line."""
        said = []
        for proc in reversed(self.procs):
            try:
                said += proc.complaints()
            except pytest.fail.Exception as failure:
                said.append(str(failure))
        for thing in reversed(self.closers):
            thing.close()
        shutil.rmtree(self.run_dir, ignore_errors=True)
        return said

    def dump(self):
        return "\n".join(p.dump() for p in self.procs)

