#!/usr/bin/env python3
"""gcc -fanalyzer over src/.  usage: analyzer.py TOP BUILD

What it is wrong about stands in analyzer.txt, with the reason; a row that fits nothing
any more is a fault, too. It runs at -O0: in what the optimiser has left it finds little.
"""
import collections
import json
import multiprocessing.pool
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

top, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
# How much of a source is looked at. By default (5) nearly every one is given up half-way;
# that one is given up is a fault here: then this number is too small.
FACTOR = 100
LISTED = pathlib.Path(__file__).with_suffix(".txt")
# The function stands in a line above its findings.
PART = re.compile(r"In function '(?P<function>\w+)':$|"
                  r"^(?P<line>\S+: warning: .*) \[-W(?P<kind>analyzer-[\w-]+)\]$", re.M)
Finding = collections.namedtuple("Finding", "source function kind")


def listed():
    """The rows of analyzer.txt, by what they are about."""
    rows = {}
    for number, line in enumerate(LISTED.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        words = line.split(None, 3)
        if len(words) < 4:
            sys.exit(f"{LISTED}:{number}: source, function, warning and the reason are wanted")
        rows[Finding(*words[:3])] = f"{LISTED}:{number}"
    return rows


def command(entry):
    """The compiler's arguments without the optimiser, and without files that it writes."""
    argv, words = [], iter(shlex.split(entry["command"]))
    for word in words:
        if word in ("-o", "-MQ", "-MF"):
            next(words)
        elif not re.match(r"-O|-MD$|-[DU]_FORTIFY_SOURCE", word):
            argv.append(word)
    return ["gcc", *argv[1:], "-O0", "-fanalyzer", "-fdiagnostics-plain-output",
            "-Wanalyzer-too-complex", f"--param=analyzer-bb-explosion-factor={FACTOR}",
            "-o", os.devnull]


def analyse(entry):
    """[(finding, the line that says it)] of one source."""
    source = str((pathlib.Path(entry["directory"]) / entry["file"]).resolve().relative_to(
        top.resolve()))
    done = subprocess.run(command(entry), cwd=entry["directory"], capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}, timeout=600)
    if done.returncode:
        return [(Finding(source, "-", "error"), done.stderr)]
    found, function = [], "-"
    for part in PART.finditer(done.stderr):
        if part["function"]:
            function = part["function"]
        elif "terminating analysis for this program point" not in part["line"]:
            found.append((Finding(source, function, part["kind"]), part["line"]))
    return found


if not shutil.which("gcc"):
    sys.exit("gcc is missing")
sources = [e for e in json.loads((build / "compile_commands.json").read_text())
           if e["file"].startswith("../src/")]
if len(sources) < 20:
    sys.exit("too few sources were found: is the build there?")
with multiprocessing.pool.ThreadPool() as pool:
    findings = [f for several in pool.map(analyse, sources, chunksize=1) for f in several]
rows, bad = listed(), False
for finding, line in findings:
    if finding not in rows:
        print(f"{line}\n  as it stands in analyzer.txt: {' '.join(finding)}")
        bad = True
for row in rows.keys() - {finding for finding, _ in findings}:
    print(f"{rows[row]}: fits nothing any more: {' '.join(row)}")
    bad = True
sys.exit(bad)
