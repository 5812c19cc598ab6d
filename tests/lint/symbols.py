#!/usr/bin/env python3
"""Fail if src/**/foo.c exports a name that is not foo or foo_*.  usage: symbols.py TOP BUILD"""
import json
import pathlib
import subprocess
import sys

build, bad = pathlib.Path(sys.argv[2]), 0
seen = {}
for e in json.loads((build / "compile_commands.json").read_text()):
    src, obj = pathlib.Path(e["file"]), build / e["output"]
    if "src" not in src.parts or "subprojects" in src.parts or not obj.exists():
        continue
    if seen.setdefault(src.stem, src) != src:
        print(f"{src}: the base name is taken by {seen[src.stem]}")
        bad = 1
    out = subprocess.check_output(["nm", "-g", "--defined-only", str(obj)], text=True)
    for name in (line.split()[-1] for line in out.splitlines()):
        if name not in ("main", src.stem) and not name.startswith(src.stem + "_"):
            print(f"{src}: {name} should be {src.stem}_*")
            bad = 1
if len(seen) < 20:
    print("too few objects were found: is the build there?")
    bad = 1
sys.exit(bad)
