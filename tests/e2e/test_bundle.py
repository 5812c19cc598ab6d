"""The one-file executable of `quickstart.sh bundle`, in a root without its libraries.

GOTUNNEL_BUNDLE names the tarball.
"""
import os
import re
import shutil
import subprocess
import tarfile

import pytest

from kit import limit, need, ports
from kit.gotunnel import Client, Server
from kit.origin import echo
from kit.stream import connect, read_exactly

BUNDLE = os.environ.get("GOTUNNEL_BUNDLE")
pytestmark = pytest.mark.skipif(not BUNDLE, reason="GOTUNNEL_BUNDLE is not set")
SYSTEM = re.compile(r"(linux-vdso|ld-linux[\w-]*|libc|libm|libpthread|libdl|librt|libgcc_s|"
                    r"libstdc\+\+)\.so")


@pytest.fixture
def root(tmp_path):
    """A root with the bundle and the C library alone."""
    with tarfile.open(BUNDLE) as tar:
        tar.extractall(tmp_path / "root")
    found = [p for p in (tmp_path / "root").rglob("gotunnel")
             if p.is_file() and os.access(p, os.X_OK)]
    assert len(found) == 1, found
    for line in libraries(found[0]):
        path = re.search(r"(/\S+) \(", line)
        if path:
            copy = tmp_path / "root" / path[1].lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path[1], copy)
    (tmp_path / "root" / "state").mkdir()
    return tmp_path / "root", found[0]


def libraries(path):
    said = subprocess.run([need("ldd"), path], capture_output=True, text=True, check=True).stdout
    return [line.strip() for line in said.splitlines()]


def inside(root, path, *argv):
    change = ["chroot", str(root)] if os.geteuid() == 0 else \
        ["unshare", "--map-root-user", f"--root={root}"]
    return [need(change[0]), *change[1:], "/" + str(path.relative_to(root)), *map(str, argv)]


def test_one_small_executable(root):
    folder, path = root
    assert path.stat().st_size <= 2 << 20
    assert all(SYSTEM.search(line) for line in libraries(path)), libraries(path)


def test_it_is_linked_like_the_other(root):
    _, path = root
    said = subprocess.run([need("readelf"), "-dlW", path], capture_output=True, text=True,
                          check=True).stdout
    assert "GNU_RELRO" in said
    assert re.search(r"FLAGS.*\bNOW\b|BIND_NOW", said), said


def test_what_else_is_in_it(root):
    folder, path = root
    names = {p.name for p in folder.rglob("*")}
    assert {"gotunnel-server", "gotunnel-client"} <= names
    for page in ("gotunnel.1", "gotunnel-server.1", "gotunnel-client.1", "gotunnel-gencert.1",
                 "gotunnel-stats.1", "gotunnel-admin.7", "gotunnel-protocol.7",
                 "gotunnel-security.7"):
        assert {page, f"{page}.gz"} & names, page
    # bash and fish look for a file by the command's own name.
    for command in ("gotunnel", "gotunnel-server", "gotunnel-client"):
        for place in (f"bash-completion/completions/{command}",
                      f"fish/vendor_completions.d/{command}.fish"):
            assert [p for p in folder.rglob(f"share/{place}") if p.exists()], place
    links = [p for p in folder.rglob("gotunnel-server") if p.is_symlink()]
    assert links and links[0].resolve() == path.resolve()


def test_the_licenses_of_what_is_in_it(root):
    folder, _ = root
    texts = {p.name: p.read_text() for p in folder.rglob("licenses/*")}
    assert len(texts) == 3 and {"libuv", "jansson"} <= set(texts)
    assert all("copyright" in text.lower() for text in texts.values())


def test_it_carries_a_tunnel(rig, serve, root):
    folder, path = root
    control, first, service = ports.one(), ports.block(2), serve(echo)
    (folder / "token").write_text("a-token\n")
    (folder / "token").chmod(0o600)
    server = rig.add(Server(inside(folder, path, "server", "--addr", f"127.0.0.1:{control}",
                                   "--start-port", first, "--end-port", first + 1,
                                   "--token-file", "/token", "--state-dir", "/state"),
                            env=rig.env())).ready()
    client = rig.add(Client(inside(folder, path, "client", "--server", f"127.0.0.1:{control}",
                                   "--local", str(service), "--token-file",
                                   "/token", "--state-dir", "/state"), env=rig.env()))
    client.forwarding()
    with connect("127.0.0.1", client.port, limit(10)) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
    assert server.alive
