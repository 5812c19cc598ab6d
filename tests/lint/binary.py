#!/usr/bin/env python3
"""What the executable loads, how it is hardened and how large it is.  usage: binary.py TOP BUILD

OpenSSL must not enter the process, not even through another library: its names
and BoringSSL's are the same, and the process crashes.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

MOST, MOST_BUNDLED = 1 << 20, 2 << 20   # bytes, stripped; bundled: no library of ours is shared

binary = pathlib.Path(sys.argv[2]) / "gotunnel"
bad = []


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


loaded = run("ldd", binary)
for line in loaded.splitlines():
    if re.search(r"lib(ssl|crypto)\.so\.[1-9]", line):
        bad.append(f"loads OpenSSL: {line.strip()}")
    if "not found" in line:
        bad.append(f"a library is missing: {line.strip()}")
for library in re.findall(r"=> (/\S+)", loaded):
    for need in re.findall(r"NEEDED.*\[(.*?)\]", run("readelf", "-d", library)):
        if re.match(r"lib(ssl|crypto)\.so\.[1-9]", need):
            bad.append(f"{library} needs {need}")

head, program, dynamic = (run("readelf", "-W", flag, binary) for flag in ("-h", "-l", "-d"))
symbols = run("readelf", "-W", "--dyn-syms", binary)
if not re.search(r"Type:\s+DYN", head):
    bad.append("is no position-independent executable")
if "GNU_RELRO" not in program:
    bad.append("has no RELRO")
if not re.search(r"BIND_NOW|FLAGS.*NOW", dynamic):
    bad.append("resolves symbols lazily: RELRO is not full")
if re.search(r"GNU_STACK.*RWE", program):
    bad.append("has an executable stack")
if "__stack_chk_fail" not in symbols:
    bad.append("has no stack protector")
if not re.search(r"__\w+_chk\b(?<!stack_chk_fail)", symbols):
    bad.append("is not fortified")

with tempfile.NamedTemporaryFile() as stripped:
    run("strip", "-o", stripped.name, binary)
    size = pathlib.Path(stripped.name).stat().st_size
    most = MOST if "libcrypto" in loaded else MOST_BUNDLED
    if size > most:
        bad.append(f"has {size} bytes without symbols, more than {most}")
for line in bad:
    print(f"{binary}: {line}")
sys.exit(bool(bad))
