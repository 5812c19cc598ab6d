"""Programs in C that the tests need: compiled once, and again when their source changes."""
import hashlib
import os
import pathlib
import subprocess
import tempfile

from . import ROOT, need

FLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra"]


def program(source):
    """The path of the executable of tests/`source`.

    The name carries what it was made from, and it appears by a rename: test workers that
    start together make it twice at worst, and none runs half of it.
    """
    source = ROOT / "tests" / source
    made_from = hashlib.sha256(source.read_bytes() + " ".join(FLAGS).encode()).hexdigest()
    folder = ROOT / "build-programs"
    try:
        folder.mkdir(exist_ok=True)
    except OSError:                     # the sources are somebody else's
        folder = pathlib.Path(tempfile.gettempdir()) / f"gotunnel-programs-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{source.stem}-{made_from[:16]}"
    if not path.exists():
        handle, new = tempfile.mkstemp(dir=folder, prefix=source.stem)
        os.close(handle)
        done = subprocess.run([need("cc"), *FLAGS, "-o", new, str(source)], capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        os.rename(new, path)
    return str(path)
