#!/usr/bin/env python3
"""Form of the source files: length, white space, tabs.  usage: text.py TOP"""
import pathlib
import subprocess
import sys

CEILING, SPLIT = 600, 400
top, bad = pathlib.Path(sys.argv[1]), 0
files = subprocess.check_output(["git", "-C", top, "ls-files"], text=True).splitlines()
for name in files:
    path = top / name
    if not path.is_file() or "/corpus/" in name or path.suffix in (".svg", ".png", ".bin"):
        continue
    lines = path.read_text(errors="replace").split("\n")
    for n, line in enumerate(lines, 1):
        if line != line.rstrip():
            print(f"{name}:{n}: white space at the end")
            bad = 1
        if name.startswith("src/") and path.suffix in (".c", ".h") and \
                len(line.expandtabs(8)) > 112:
            print(f"{name}:{n}: too wide")
            bad = 1
    if lines and lines[-1] != "" and name != "LICENSE":
        print(f"{name}: no newline at the end")
        bad = 1
    if name.startswith("src/") and path.suffix in (".c", ".h"):
        if len(lines) > CEILING:
            print(f"{name}: {len(lines)} lines, the ceiling is {CEILING}")
            bad = 1
        elif len(lines) > SPLIT:
            print(f"(note) {name}: {len(lines)} lines: due a split")
sys.exit(bad)
