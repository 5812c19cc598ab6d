"""What the bench measures: each stands between the load and the origin, its two ends beside it.

Ours run with resume on and without the request log (HAProxy logs nothing here either; what the
log costs is measured in observe.py). Peers run as their manuals start them; where a setting
makes one faster it has that setting, and `settings` says so.
"""
import getpass
import os
import pathlib
import re
import shutil
import subprocess

from procs import Failure, System, find, first_line, free_port, wait_port

TOKEN = "bench-" + os.urandom(8).hex()
LOOP = "127.0.0.1"


class Direct(System):
    settings = "no tunnel"
    inner_dials = False

    def start(self):
        self.port = self.via(self.origin)


class HAProxy(System):
    group = "plain"
    programs = ("haproxy",)
    settings = "two hops, mode tcp, nbthread 1"
    inner_dials = False
    to_next = on_next = ""

    @classmethod
    def version(cls):
        return first_line(find("haproxy"), "-v")

    def start(self):
        inner = self.hop(self.origin, bind=self.on_next)
        self.port = self.hop(self.via(inner), server=self.to_next)

    def hop(self, target, bind="", server=""):
        port = free_port()
        config = self.folder / f"{port}.cfg"
        config.write_text(f"""global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 300s
    timeout server 300s
listen hop
    bind {LOOP}:{port} {bind}
    server next {LOOP}:{target} {server}
""")
        wait_port(port, self.spawn(find("haproxy"), "-db", "-f", config))
        return port


class HAProxyTls(HAProxy):
    group = "encrypted"
    settings = "two hops, mode tcp, nbthread 1, TLS 1.3 between them, certificate checked"

    def start(self):
        certs = certificates(self.folder, self.binary)
        self.on_next = f"ssl crt {certs / 'both.pem'} ssl-min-ver TLSv1.3"
        self.to_next = f"ssl verify required ca-file {certs / 'ca-cert.pem'}"
        super().start()


def certificates(folder, binary):
    """A CA, and a server's certificate for localhost: also in one file with its key."""
    certs = folder / "certs"
    if not certs.exists():
        subprocess.run([binary, "gencert", "--host", "localhost", "--host", LOOP, "--out", certs],
                       check=True, capture_output=True)
        (certs / "both.pem").write_text((certs / "server-cert.pem").read_text() +
                                        (certs / "server-key.pem").read_text())
    return certs


class GoTunnel(System):
    """--no-request-log and all else as it comes, but for one address with 10,000 visitors."""

    group = "encrypted"
    settings = "the default: encrypted, resume on; --no-request-log"
    more = ("--no-request-log",)
    server_more = ("--max-conns-per-address", "0")
    client_more = ()

    def start(self):
        self.control, first = free_port(), free_port()
        self.token = self.folder / "token"
        self.token.write_text(TOKEN)
        self.token.chmod(0o600)
        self.server = self.spawn(
            self.binary, "server", "--addr", f"{LOOP}:{self.control}", "--bind-host", LOOP,
            "--start-port", first, "--token-file", self.token, "--state-dir", "s", *self.more,
            *self.server_more)
        wait_port(self.control, self.server)
        self.to_server = self.via(self.control)
        self.client, self.port = self.add_client("bench")

    def add_client(self, name):
        """A client with a tunnel to the origin: its process and its public port."""
        client = self.spawn(self.binary, "client", "--server", f"{LOOP}:{self.to_server}",
                            "--token-file", self.token, "--local", f"{LOOP}:{self.origin}", "--name",
                            name, "--state-dir", f"c-{name}", *self.more, *self.client_more,
                            read=True)
        line = client.stdout.readline().decode()
        found = re.match(r"Forwarding tcp://127\.0\.0\.1:(\d+) ", line)
        if not found:
            raise Failure(f"the client said {line!r}")
        return client, int(found[1])


class Bundle(GoTunnel):
    """BoringSSL of today linked in; the other one has the distribution's."""

    path = pathlib.Path(__file__).resolve().parents[2] / "build-bundle" / "gotunnel"
    settings = "as gotunnel-encrypted, with the executable of quickstart.sh bundle"

    @classmethod
    def missing(cls):
        return [] if cls.path.exists() else ["build-bundle/gotunnel"]

    def start(self):
        self.binary = self.path
        super().start()


class Lanes(GoTunnel):
    settings = "as gotunnel-encrypted, and --lanes 4"
    client_more = ("--lanes", "4")
    aside = True


class Plain(GoTunnel):
    group = "plain"
    settings = "--plaintext on both ends, resume on; --no-request-log"
    more = ("--plaintext", *GoTunnel.more)


class Original(System):
    """The gotunnel in Go whose options ours keep; GOTUNNEL_GO names it."""

    group = "plain"
    settings = "$GOTUNNEL_GO, as it comes"

    @classmethod
    def missing(cls):
        path = os.environ.get("GOTUNNEL_GO")
        return [] if path and shutil.which(path) else ["GOTUNNEL_GO"]

    def start(self):
        program, at, self.port = os.environ["GOTUNNEL_GO"], free_port(), free_port()
        wait_port(at, self.spawn(program, "server", "-addr", f"{LOOP}:{at}", "-start-port", self.port,
                                 "-token", TOKEN))
        wait_port(self.port, self.spawn(program, "client", "-server", f"{LOOP}:{self.via(at)}",
                                        "-local", f"{LOOP}:{self.origin}", "-token", TOKEN))


class Ssh(System):
    """Its own sshd, as a plain process on a free port."""

    group = "encrypted"
    programs = ("ssh", "sshd", "ssh-keygen")
    settings = ("ssh -R with a command, as -N leaves Nagle's algorithm on; "
                "cipher aes128-gcm@openssh.com, no compression")

    @classmethod
    def version(cls):
        return first_line("ssh", "-V")

    def start(self):
        at = free_port()
        if os.geteuid() == 0:       # Debian's sshd wants its empty folder, which a boot would make.
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        for name in ("host", "user"):
            if not (self.folder / name).exists():
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                                self.folder / name], check=True, stdin=subprocess.DEVNULL)
        self.folder.chmod(0o700)
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")
        (self.folder / "config").write_text(
            f"Port {at}\nListenAddress {LOOP}\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nPidFile none\nUsePAM no\n"
            "StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
            "AllowTcpForwarding yes\n")
        wait_port(at, self.spawn(find("sshd"), "-D", "-e", "-f", self.folder / "config"))
        to, self.port = self.via(at), free_port()
        kind, blob = (self.folder / "host.pub").read_text().split()[:2]
        (self.folder / "known").write_text(f"[{LOOP}]:{to} {kind} {blob}\n")
        client = self.spawn(
            "ssh", "-F", "none", "-T", "-p", to, "-i", self.folder / "user", "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={self.folder / 'known'}", "-o", "IdentitiesOnly=yes",
            "-o", "ExitOnForwardFailure=yes", "-o", "Ciphers=aes128-gcm@openssh.com",
            "-R", f"{LOOP}:{self.port}:{LOOP}:{self.origin}", f"{getpass.getuser()}@{LOOP}",
            "exec sleep infinity")
        wait_port(self.port, client)


class Rathole(System):
    group = "plain"
    programs = ("rathole",)
    settings = "transport tcp; RUST_LOG=error"
    outer = inner = 'type = "tcp"'

    @classmethod
    def version(cls):
        said = subprocess.run([find("rathole"), "--version"], capture_output=True, text=True).stdout
        found = re.search(r"Build Version:\s*(\S+)", said)
        return f"rathole {found[1] if found else said.split()[-1]}"

    def start(self):
        at, self.port = free_port(), free_port()
        (self.folder / "server.toml").write_text(
            f'[server]\nbind_addr = "{LOOP}:{at}"\ndefault_token = "{TOKEN}"\n'
            f'[server.transport]\n{self.outer}\n'
            f'[server.services.bench]\nbind_addr = "{LOOP}:{self.port}"\n')
        wait_port(at, self.spawn(find("rathole"), "--server", "server.toml"))
        (self.folder / "client.toml").write_text(
            f'[client]\nremote_addr = "{LOOP}:{self.via(at)}"\ndefault_token = "{TOKEN}"\n'
            f'[client.transport]\n{self.inner}\n'
            f'[client.services.bench]\nlocal_addr = "{LOOP}:{self.origin}"\n')
        wait_port(self.port, self.spawn(find("rathole"), "--client", "client.toml"))


class RatholeTls(Rathole):
    group = "encrypted"
    programs = ("rathole", "openssl")
    settings = "transport tls, certificate checked; RUST_LOG=error"

    def start(self):
        certs = certificates(self.folder, self.binary)
        pack = certs / "server.pfx"
        subprocess.run(["openssl", "pkcs12", "-export", "-out", pack, "-inkey", certs / "server-key.pem",
                        "-in", certs / "server-cert.pem", "-certfile", certs / "ca-cert.pem",
                        "-passout", "pass:bench"], check=True, capture_output=True)
        self.outer = (f'type = "tls"\n[server.transport.tls]\npkcs12 = "{pack}"\n'
                      'pkcs12_password = "bench"')
        self.inner = (f'type = "tls"\n[client.transport.tls]\ntrusted_root = "{certs}/ca-cert.pem"\n'
                      'hostname = "localhost"')
        super().start()


class Bore(System):
    """Its control port is fixed: a second bore on the machine makes it fail."""

    group = "plain"
    programs = ("bore",)
    settings = "with a secret; RUST_LOG=error"
    control = 7835

    @classmethod
    def version(cls):
        return first_line(find("bore"), "--version").replace("bore-cli", "bore")

    def start(self):
        if self.network:
            raise Failure("its port cannot be chosen")
        self.port = free_port()
        server = self.spawn(find("bore"), "server", "--secret", TOKEN, "--min-port", 1024,
                            "--bind-addr", LOOP)
        wait_port(self.control, server)
        wait_port(self.port, self.spawn(
            find("bore"), "local", self.origin, "--local-host", LOOP, "--to", LOOP, "--port",
            self.port, "--secret", TOKEN))


class Frp(System):
    programs = ("frps", "frpc")
    mux = tls = False

    @classmethod
    def version(cls):
        return "frp " + first_line(find("frps"), "--version")

    def start(self):
        at, self.port = free_port(), free_port()
        flags = [str(x).lower() for x in (self.mux, self.tls)]
        (self.folder / "frps.toml").write_text(
            f'bindAddr = "{LOOP}"\nbindPort = {at}\nauth.token = "{TOKEN}"\n'
            f'transport.tcpMux = {flags[0]}\ntransport.tls.force = {flags[1]}\n'
            'log.level = "error"\n')
        wait_port(at, self.spawn(find("frps"), "-c", "frps.toml"))
        (self.folder / "frpc.toml").write_text(
            f'serverAddr = "{LOOP}"\nserverPort = {self.via(at)}\nauth.token = "{TOKEN}"\n'
            f'transport.tcpMux = {flags[0]}\ntransport.tls.enable = {flags[1]}\n'
            'log.level = "error"\n[[proxies]]\nname = "bench"\ntype = "tcp"\n'
            f'localIP = "{LOOP}"\nlocalPort = {self.origin}\nremotePort = {self.port}\n')
        wait_port(self.port, self.spawn(find("frpc"), "-c", "frpc.toml"))


def frp(mux, tls):
    words = f"tcpMux {'on' if mux else 'off'}, TLS {'on' if tls else 'off'}"
    return type("Frp", (Frp,), {"mux": mux, "tls": tls, "settings": words,
                                "group": "encrypted" if tls else "plain"})


class Chisel(System):
    group = "encrypted"
    programs = ("chisel",)
    settings = "server --reverse, client R:"

    @classmethod
    def version(cls):
        return "chisel " + first_line(find("chisel"), "--version")

    def start(self):
        at, self.port = free_port(), free_port()
        wait_port(at, self.spawn(find("chisel"), "server", "--host", LOOP, "--port", at, "--reverse",
                                 "--auth", f"bench:{TOKEN}"))
        wait_port(self.port, self.spawn(
            find("chisel"), "client", "--auth", f"bench:{TOKEN}", f"http://{LOOP}:{self.via(at)}",
            f"R:{LOOP}:{self.port}:{LOOP}:{self.origin}"))


SYSTEMS = {
    "direct": Direct,
    "gotunnel-plain": Plain,
    "haproxy2": HAProxy,
    "rathole": Rathole,
    "bore": Bore,
    "frp-nomux": frp(False, False),
    "frp-mux": frp(True, False),
    "gotunnel-go": Original,
    "gotunnel-encrypted": GoTunnel,
    "gotunnel-bundle": Bundle,
    "gotunnel-lanes4": Lanes,
    "haproxy2-tls": HAProxyTls,
    "rathole-tls": RatholeTls,
    "ssh-R": Ssh,
    "chisel": Chisel,
    "frp-nomux-tls": frp(False, True),
    "frp-mux-tls": frp(True, True),
}
