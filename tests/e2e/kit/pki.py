"""Certificates that gencert does not make: expired, not yet valid, of others."""
import subprocess

from . import limit, need

CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = optional
[req]
distinguished_name = dn
prompt = no
[dn]
CN = {name}
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[leaf]
subjectAltName = {san}
extendedKeyUsage = serverAuth
keyUsage = critical, digitalSignature
"""


class Authority:
    """A CA in a folder; files are named after what they certify."""

    def __init__(self, folder, name="ca"):
        self.folder = folder / f"pki-{name}"
        self.folder.mkdir()
        self.issued = 0
        (self.folder / "index").write_text("")
        (self.folder / "serial").write_text("01\n")
        self.cert, self.key = str(self.folder / "ca-cert.pem"), str(self.folder / "ca-key.pem")
        self.config(f"{name} of a test", "DNS:localhost")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", self.key, "-out", self.cert, "-days", "30",
                     "-extensions", "root")

    def config(self, name, san):
        (self.folder / "config").write_text(CONFIG.format(folder=self.folder, name=name, san=san))

    def openssl(self, command, *argv):
        done = subprocess.run([need("openssl"), command, "-config", str(self.folder / "config"),
                               *argv], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=limit(30))
        assert done.returncode == 0, done.stderr.decode()

    def issue(self, san="DNS:localhost,IP:127.0.0.1", begin=None, end=None):
        """(certificate, key) of a server; times as YYMMDDHHMMSSZ."""
        self.issued += 1
        name = f"leaf-{self.issued}"
        cert, key, request = (str(self.folder / f"{name}-{x}.pem") for x in ("cert", "key", "csr"))
        self.config("server", san)
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", key, "-out", request)
        times = (["-startdate", begin] if begin else []) + (["-enddate", end] if end else [])
        self.openssl("ca", "-batch", "-notext", "-cert", self.cert, "-keyfile", self.key,
                     "-in", request, "-out", cert, "-extensions", "leaf",
                     *(times if end else [*times, "-days", "20"]))
        return cert, key
