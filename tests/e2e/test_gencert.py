"""gencert: the files, what openssl says of them, and what is never overwritten."""
import os
import re
import ssl
import stat
import subprocess
import time

import pytest

from kit import limit, need

FILES = ["ca-cert.pem", "ca-key.pem", "server-cert.pem", "server-key.pem"]


def openssl(*argv):
    done = subprocess.run([need("openssl"), *map(str, argv)], capture_output=True,
                          timeout=limit(20))
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture
def certs(rig):
    made = rig.run("gencert", "--host", "server.example", "--host", "10.0.0.5", "--host",
                   "2001:db8::7")
    assert made.code == 0, made.err.text
    return rig.folder / "certs"


@pytest.fixture
def said(rig):
    return rig.run("gencert", "--host", "server.example").out.text


def test_files_and_their_modes(certs):
    assert sorted(os.listdir(certs)) == sorted(FILES)
    for name in FILES:
        mode = stat.S_IMODE((certs / name).stat().st_mode)
        assert mode == (0o600 if "key" in name else 0o644), name


def test_openssl_agrees(certs):
    assert "OK" in openssl("verify", "-x509_strict", "-CAfile", certs / "ca-cert.pem",
                           "-purpose", "sslserver", certs / "server-cert.pem")
    assert "OK" in openssl("verify", "-CAfile", certs / "ca-cert.pem", "-verify_hostname",
                           "server.example", certs / "server-cert.pem")
    for address in ("10.0.0.5", "2001:db8::7"):
        assert "OK" in openssl("verify", "-CAfile", certs / "ca-cert.pem", "-verify_ip", address,
                               certs / "server-cert.pem")


def test_what_is_in_the_certificates(certs):
    leaf = openssl("x509", "-in", certs / "server-cert.pem", "-noout", "-text")
    ca = openssl("x509", "-in", certs / "ca-cert.pem", "-noout", "-text")
    assert "Version: 3" in leaf and "prime256v1" in leaf and "ecdsa-with-SHA256" in leaf
    assert "DNS:server.example, IP Address:10.0.0.5, IP Address:2001:DB8:0:0:0:0:0:7" in leaf
    assert "TLS Web Server Authentication" in leaf and "CA:TRUE" not in leaf
    assert "CA:TRUE" in ca and "Certificate Sign" in ca and "prime256v1" in ca
    assert days(certs / "server-cert.pem") == 825 and days(certs / "ca-cert.pem") == 3650


def days(path):
    """Whole days until it expires; its beginning may lie back for clocks that are behind."""
    text = openssl("x509", "-in", path, "-noout", "-dates")
    begin, end = (ssl.cert_time_to_seconds(t) for t in re.findall(r"=(.*)", text))
    assert 0 <= time.time() - begin < 2 * 86400
    return round((end - time.time()) / 86400)


def test_keys_belong_to_their_certificates(certs):
    for name in ("ca", "server"):
        public = openssl("pkey", "-in", certs / f"{name}-key.pem", "-pubout")
        assert public == openssl("x509", "-in", certs / f"{name}-cert.pem", "-noout", "-pubkey")


def test_days_and_out(rig):
    made = rig.run("gencert", "--host", "x", "--days", "30", "--out", "elsewhere")
    assert made.code == 0
    assert days(rig.folder / "elsewhere" / "server-cert.pem") == 30
    assert days(rig.folder / "elsewhere" / "ca-cert.pem") == 3650


def test_names_without_host(rig):
    made = rig.run("gencert")
    leaf = openssl("x509", "-in", rig.folder / "certs" / "server-cert.pem", "-noout", "-text")
    for name in ("DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1"):
        assert name in leaf
    assert f"DNS:{os.uname().nodename}" in leaf
    assert "add --host for the name clients type" in made.out.text + made.err.text


def test_nothing_is_overwritten(rig, certs):
    before = contents(certs)
    again = rig.run("gencert", "--host", "other.example")
    assert again.code == 3
    assert "--force" in again.err.text
    assert contents(certs) == before


def test_force_renews_the_servers_pair_only(rig, certs):
    before = contents(certs)
    assert rig.run("gencert", "--force", "--host", "other.example").code == 0
    after = contents(certs)
    assert [name for name in FILES if after[name] != before[name]] == FILES[2:]
    assert "OK" in openssl("verify", "-CAfile", certs / "ca-cert.pem", "-verify_hostname",
                           "other.example", certs / "server-cert.pem")


def test_an_existing_authority_is_used_again(rig, certs):
    before = contents(certs)
    for name in FILES[2:]:
        (certs / name).unlink()
    assert rig.run("gencert", "--host", "other.example").code == 0
    after = contents(certs)
    assert [name for name in FILES if after[name] != before[name]] == FILES[2:]


def test_new_ca_renews_everything(rig, certs):
    before = contents(certs)
    assert rig.run("gencert", "--new-ca", "--host", "server.example").code == 0
    after = contents(certs)
    assert all(after[name] != before[name] for name in FILES)


def test_what_it_prints(said):
    for name in FILES:
        assert f"certs/{name}" in said
    assert re.search(r"^ *gotunnel server --tls\b", said, re.M)
    assert re.search(r"^mkdir -p certs && scp THIS-HOST:/\S*certs/ca-cert\.pem certs/$", said, re.M)
    assert re.search(r"^ *gotunnel client --tls\b", said, re.M)
    assert "keep ca-key.pem off the server" in said
    assert "Then move certs/ca-key.pem off this machine" in said


def test_the_line_that_copies_names_the_file(rig):
    """By its absolute path: scp begins in the home folder, which may be another."""
    said = rig.run("gencert", "--host", "x", "--out", "some/../elsewhere").out.text
    path = rig.folder / "elsewhere" / "ca-cert.pem"
    assert f"\nmkdir -p certs && scp THIS-HOST:{path.resolve()} certs/\n" in said


@pytest.mark.parametrize("hosts, server", [(["*.example.com", "t.example.com"], "t.example.com"),
                                           (["*.example.com"], "HOST")])
def test_a_wildcard_is_no_name_for_a_client(rig, hosts, server):
    said = rig.run("gencert", *(x for host in hosts for x in ("--host", host))).out.text
    assert f"\ngotunnel client --tls --server {server} " in said


@pytest.mark.parametrize("argv", [["--host", ""], ["--host", "a b"], ["--days", "0"],
                                  ["--days", "x"], ["--host", "x" * 300]])
def test_bad_values(rig, argv):
    made = rig.run("gencert", *argv)
    assert made.code == 2
    assert not (rig.folder / "certs").exists()


@pytest.mark.parametrize("out", ["file", "file/certs"])
def test_folder_that_is_a_file(rig, out):
    (rig.folder / "file").write_text("")
    made = rig.run("gencert", "--host", "x", "--out", out)
    assert made.code == 3
    assert made.err.lines()[0] == f"gotunnel gencert: --out {out}: Not a directory"


def test_folder_that_cannot_be_written(rig):
    (rig.folder / "file").write_text("")
    made = rig.run("gencert", "--host", "x", "--out", "file/certs")
    assert made.code == 3
    assert "file/certs" in made.err.text
