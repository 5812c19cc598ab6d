"""What quickstart.sh tells after its work, with stand-ins for the work itself."""
import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest

from kit import limit

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOTUNNEL = "#!/bin/sh\necho gotunnel {}\n"
# Puts an executable where `meson install` would.
MESON = """#!/bin/sh
dest=$DESTDIR build= what=$1 all=$*
while [ $# -gt 0 ]; do
	case $1 in
	--destdir) dest=$2; shift ;;
	-C) build=$2; shift ;;
	esac
	shift
done
case $what in
setup | compile) printf '%s\\n' "$all" >>"$0.log"; exit 0 ;;
subprojects) [ ! -e "$0.offline" ]; exit ;;
esac
case $build in
*bundle) bin=$dest/usr/bin ;;
*) bin=$dest/usr/local/bin ;;
esac
[ -n "$dest" ] && mkdir -p "$bin" && printf '#!/bin/sh\\necho gotunnel 1.2.3\\n' >"$bin/gotunnel" && chmod +x "$bin/gotunnel"
"""


@pytest.fixture
def quickstart(tmp_path):
    """quickstart(part, DESTDIR=...) runs it in a source tree with nothing else in it."""
    top, tools = tmp_path / "top", tmp_path / "tools"
    for folder in (top / "src", top / "build-bundle", top / "subprojects", tools):
        folder.mkdir(parents=True)
    shutil.copy(os.path.join(TOP, "src", "quickstart.sh"), top / "src")
    for path, text in [(tools / "meson", MESON), (tools / "sudo", "#!/bin/sh\nexit 1\n"),
                       (tools / "dpkg-query", "#!/bin/sh\necho installed\n"),
                       (tools / "apt-get", "#!/bin/sh\nexit 1\n"),
                       (top / "build-bundle" / "gotunnel", GOTUNNEL.format("1.2.3"))]:
        path.write_text(text)
        path.chmod(0o755)
    (top / "LICENSE").write_text("MIT")
    for wrap in pathlib.Path(TOP, "subprojects").glob("*.wrap"):
        (top / "subprojects" / wrap.name).write_text(
            f"directory = {wrap.stem}-1\nsource_filename = {wrap.stem}.tar.gz\n"
            f"source_hash = {hashlib.sha256(b'whole').hexdigest()}\n")
        (top / "subprojects" / "packagefiles" / wrap.stem).mkdir(parents=True)
        (top / "subprojects" / "packagefiles" / wrap.stem / "meson.build").write_text("new")

    def run(part, **env):
        path = f"{tools}:{os.environ.get('PATH', '/usr/bin:/bin')}"
        return subprocess.run(["sh", str(top / "src" / "quickstart.sh"), part], text=True,
                              env={"PATH": path, **env}, capture_output=True, timeout=limit(20))
    run.meson = tools / "meson"
    run.subprojects = top / "subprojects"
    return run


def test_install_into_a_staging_folder(quickstart, tmp_path):
    """It tells what it put there, needs no root, and touches nothing else."""
    done = quickstart("install", DESTDIR=str(tmp_path / "stage"))
    assert done.returncode == 0, done.stderr
    assert f"Installed  {tmp_path}/stage/usr/local/bin/gotunnel (1.2.3), gotunnel-server" in done.stdout


def test_bundle_shows_the_token(quickstart):
    """The server prints the token it makes to a terminal only, so ssh has to give one."""
    done = quickstart("bundle")
    assert done.returncode == 0, done.stderr
    assert " && ssh -t SERVER 'tar xzf gotunnel-1.2.3-" in done.stdout


@pytest.mark.parametrize("offline, taken", [(False, "boringssl"), (True, "boringssl-debian")])
def test_bundle_takes_the_boringssl_that_can_be_had(quickstart, offline, taken):
    """Today's is on crates.io; who cannot reach that gets Debian's, and is told."""
    if offline:
        pathlib.Path(f"{quickstart.meson}.offline").touch()
    done = quickstart("bundle")
    assert done.returncode == 0, done.stderr
    told = pathlib.Path(f"{quickstart.meson}.log").read_text()
    assert f"--force-fallback-for={taken},libuv,jansson" in told
    assert ("crates.io does not answer" in done.stderr) == offline


def test_bundle_builds_no_sources_of_another_checkout(quickstart):
    """meson takes a folder as it is: half unpacked, or patched for what was there before."""
    cache = quickstart.subprojects / "packagecache"
    cache.mkdir()
    for name, patch, text in (("boringssl", None, b"who"), ("libuv", "old", b"whole"),
                              ("jansson", "new", b"whole")):
        folder = quickstart.subprojects / f"{name}-1"
        folder.mkdir()
        (folder / "source.c").touch()
        if patch:
            (folder / "meson.build").write_text(patch)
        (cache / f"{name}.tar.gz").write_bytes(text)
    done = quickstart("bundle")
    assert done.returncode == 0, done.stderr
    assert "FAILED" not in done.stdout
    assert sorted(p.name for p in quickstart.subprojects.glob("*-1")) == ["jansson-1"]
    assert sorted(p.name for p in cache.iterdir()) == ["jansson.tar.gz", "libuv.tar.gz"]
