#!/usr/bin/env python3
"""Help, manual and completions name the same options.  usage: manual.py TOP BUILD"""
import pathlib
import re
import subprocess
import sys

top, build = map(pathlib.Path, sys.argv[1:3])
bad = []


def run(*argv):
    return subprocess.run([build / "gotunnel", *argv], capture_output=True, text=True).stdout


def options(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text))


def differ(what, have, want):
    for name in sorted(want - have):
        bad.append(f"{what} lacks --{name}")
    for name in sorted(have - want):
        bad.append(f"{what} has --{name}, which the command has not")


for command in ("server", "client", "gencert", "stats"):
    text = run(command, "--help")
    listed = set(re.findall(r"^  (?:-\w, )?--([a-z-]+)", text, re.M)) - {"help", "version"}
    if not listed:
        bad.append(f"{command} --help lists nothing")
    page = (top / "man" / f"gotunnel-{command}.1.scd").read_text()
    # In the page an option's paragraph begins with its name in bold.
    described = set(re.findall(r"^(?:\*-\w\*, )?\*--([a-z-]+)\*", page, re.M))
    differ(f"gotunnel-{command}(1)", described, listed)
    for default, name in re.findall(r"--([a-z-]+) .*\[(.*)\]$", text, re.M):
        if name not in page:
            bad.append(f"gotunnel-{command}(1) does not name {name}, the default of --{default}")
    for shell in ("bash", "zsh", "fish"):
        said = run("completion", shell)
        missing = {n for n in listed - {"help"} if not re.search(rf"(--|-l ){n}\b", said)}
        for name in sorted(missing):
            bad.append(f"the completion for {shell} lacks {command} --{name}")

page = (top / "man" / "gotunnel.1.scd").read_text()
for command in re.findall(r"^  ([a-z]+) {2,}", run("help"), re.M):
    if not re.search(rf"\*{command}\*", page):
        bad.append(f"gotunnel(1) lacks the command {command}")
# The metrics that the page names are those that the code has.
metric = re.compile(r"\bgotunnel_[a-z_]*[a-z]\b")
page = (top / "man" / "gotunnel-admin.7.scd").read_text()
named = set(metric.findall(page))
coded = {re.sub("_bucket$", "", name) for file in ("metrics.h", "prometheus.c")
         for name in re.findall(r'"(gotunnel_\w+)[{"]', (top / "src/core" / file).read_text())}
if len(coded) < 20:
    bad.append("too few metrics were found in the code")
for name in sorted(coded ^ named):
    bad.append(f"gotunnel-admin(7) and the code differ in the metric {name}")
for line in bad:
    print(line)
sys.exit(bool(bad))
