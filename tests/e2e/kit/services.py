"""Real services on free ports, as an unprivileged user where they refuse root."""
import getpass
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

from . import limit, need, ports
from .proc import Proc

POSTGRES = "/usr/lib/postgresql/15/bin"
LOGIN = pwd.getpwuid(os.geteuid())


def unprivileged():
    """Arguments for Popen that run as nobody when this is root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Service:
    """A program with a folder of its own that its user may write to."""

    def __init__(self, rig, name):
        self.rig = rig
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"gotunnel-{name}-"))
        self.folder.chmod(0o755)
        if os.geteuid() == 0 and self.user():
            shutil.chown(self.folder, self.user()["user"], self.user()["group"])
        self.port = ports.one()
        self.host = "127.0.0.1"
        self.rig.keep(self)

    def user(self):
        return unprivileged()

    def env(self):
        return {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "HOME": str(self.folder),
                "LANG": "C.UTF-8", "USER": getpass.getuser()}

    def once(self, *argv):
        """A command that prepares the service."""
        done = subprocess.run(list(map(str, argv)), cwd=self.folder, env=self.env(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=limit(60), **self.user())
        if done.returncode:
            raise RuntimeError(f"{argv[0]}: {done.stdout.decode()}")

    def start(self, *argv, ready):
        """The service itself; `ready` is the line that says so."""
        self.proc = Proc(list(map(str, argv)), cwd=self.folder, env=self.env(), **self.user())
        self.proc.wait_err(ready, 30)
        return self

    def close(self):
        self.proc.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def merged(*argv):
    """A command with stdout on stderr, so that one place is watched."""
    return ["sh", "-c", 'exec "$0" "$@" >&2', *argv]


class Sshd(Service):
    """Logs in whoever runs the tests, with a key of its own."""

    def user(self):
        return {}

    def __init__(self, rig):
        super().__init__(rig, "sshd")
        sshd = need("sshd")
        # Debian's sshd wants its empty folder, which a boot would make.
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.folder.chmod(0o700)
        for name in ("host", "user"):
            self.once(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f",
                      self.folder / name)
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")
        (self.folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nPidFile none\nUsePAM no\n"
            "StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
            "Subsystem sftp internal-sftp\n")
        self.start(sshd, "-D", "-e", "-f", self.folder / "config", ready="Server listening")

    def options(self, way):
        """For ssh and scp, to a way through the tunnel."""
        with open(self.folder / "host.pub") as key:
            kind, blob = key.read().split()[:2]
        (self.folder / "known").write_text(f"[{way.host}]:{way.port} {kind} {blob}\n")
        given = {"UserKnownHostsFile": self.folder / "known", "IdentityFile": self.folder / "user",
                 "IdentitiesOnly": "yes", "StrictHostKeyChecking": "yes", "BatchMode": "yes",
                 "Port": way.port}
        return ["-F", "none", *(f"-o{k}={v}" for k, v in given.items())]

    @staticmethod
    def target(way):
        return f"{LOGIN.pw_name}@{way.host}"


class Postgres(Service):
    def __init__(self, rig):
        super().__init__(rig, "postgres")
        initdb, postgres = need("initdb", POSTGRES), need("postgres", POSTGRES)
        self.once(initdb, "-D", self.folder / "data", "-U", "tester", "-A", "trust",
                  "--no-sync", "-E", "UTF8")
        self.start(postgres, "-D", self.folder / "data", "-p", self.port, "-k", self.folder,
                   "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
                   ready="database system is ready")

    def close(self):
        self.proc.signal(3)             # SIGQUIT: at once, with its children
        self.proc.wait_exit()
        super().close()


class Redis(Service):
    def __init__(self, rig):
        super().__init__(rig, "redis")
        self.start(*merged(need("redis-server"), "--port", str(self.port), "--bind", self.host,
                           "--save", "", "--appendonly", "no", "--dir", str(self.folder)),
                   ready="Ready to accept connections")


class MariaDB(Service):
    def __init__(self, rig):
        super().__init__(rig, "mariadb")
        data, socket = self.folder / "data", self.folder / "socket"
        self.once(need("mariadb-install-db"), "--no-defaults", f"--datadir={data}",
                  "--auth-root-authentication-method=normal", "--skip-test-db",
                  "--skip-name-resolve")
        grants = self.folder / "grants.sql"
        grants.write_text("CREATE DATABASE t;\nCREATE USER tester@'%' IDENTIFIED BY 'secret';\n"
                          "GRANT ALL ON t.* TO tester@'%';\n")
        self.start(need("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={socket}",
                   f"--port={self.port}", f"--bind-address={self.host}", "--skip-name-resolve",
                   f"--init-file={grants}", f"--pid-file={self.folder}/pid",
                   "--innodb-flush-method=fsync", "--innodb-buffer-pool-size=16M",
                   ready="ready for connections")


class Nghttpd(Service):
    """HTTP/2 with prior knowledge (h2c), files of a folder."""

    def __init__(self, rig):
        super().__init__(rig, "nghttpd")
        (self.folder / "small").write_bytes(b"x" * 1000)
        (self.folder / "large").write_bytes(bytes(4 << 20))
        self.start(*merged(need("nghttpd"), "--no-tls", "--verbose", "--htdocs",
                           str(self.folder), f"--address={self.host}", str(self.port)),
                   ready="listen")


class Iperf(Service):
    def __init__(self, rig):
        super().__init__(rig, "iperf3")
        self.start(*merged(need("iperf3"), "--server", "--forceflush", "--bind", self.host,
                           "--port", str(self.port)), ready="Server listening")


