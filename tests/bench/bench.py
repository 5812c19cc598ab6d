#!/usr/bin/env python3
"""Measures gotunnel beside other tunnels, in one run on one machine.

The systems take turns, row by row and round by round, so that what else the machine does meets
all of them; medians are printed with the least and the most. Plain and encrypted systems stand in
tables of their own. A system that fails a row (lost bytes, a stall of 10 s, a refusal) is shown
with the reason, begins anew and is not asked for that row again; the run goes on.

Writes bench.md, bench.svg and bench.json. Where the machine has nothing else to do, the default run
with every peer installed (tests/bench/peers.sh) takes about an hour, with --small about a quarter;
none of it waits for ever: each load ends by itself within two minutes.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from links import LINKS, Way  # noqa: E402
from plot import plot  # noqa: E402
from procs import Load, build_load, first_line, free_port, on_signals, wait_port  # noqa: E402
from results import Results, rows_table, table  # noqa: E402
from rows import GB, LOAD, MEMORY, OURS, WORKERS, Figure, Row, tried  # noqa: E402
from systems import SYSTEMS  # noqa: E402
from targets import targets_table  # noqa: E402

FILES = 20000           # open at once, of every process: peers take two a connection
REST = Row("memory", None, (
    Figure("memory at rest", "MiB", 1, less=True), Figure("memory at peak", "MiB", 1, less=True),
    Figure("memory 60 s after the load", "MiB", 1, less=True)))


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.load = Load(build_load(folder))
        self.binary = pathlib.Path(args.bin).resolve()
        self.options = subprocess.run([self.binary, "server", "--help"], capture_output=True,
                                      text=True, check=True).stdout
        self.results, self.systems, self.ways = Results(), [], []
        self.port = free_port()
        self.origin = self.load.start("origin", self.port)
        wait_port(self.port, self.origin)

    def start(self, names, where, link=None):
        """Systems that are here; one that does not start fails its rows."""
        (self.folder / where).mkdir()
        for name in names:
            way = Way(link) if link else None
            system = SYSTEMS[name](name, self.folder / where, self.port, self.binary, way)
            self.systems.append(system)
            if way:
                self.ways.append(way)
            system.broken = None
            self.begin(system)

    @staticmethod
    def begin(system):
        """Starts it, or anew; twice more if need be, as a free port may be taken meanwhile."""
        for _ in range(3):
            try:
                system.stop()
                if system.network:
                    system.network.stop()
                system.start()
                system.broken = None
                return
            except (Exception, pytest.fail.Exception) as error:
                system.broken = f"does not start: {error}"

    def stop(self):
        for thing in (*self.systems, *self.ways):
            thing.stop()
        self.systems, self.ways = [], []

    def close(self):
        self.stop()
        self.load.close()

    def measure(self, rows):
        for row in rows:
            if not re.search(self.args.only, row.name) or row.needs not in self.options:
                continue
            able = [s for s in self.systems if (not row.systems or s.name in row.systems)
                    and (s.procs or s.broken or not row.tunnels)]
            began = time.monotonic()
            for number in range(self.args.rounds if able else 0):
                turn = number % len(able)
                for system in able[turn:] + able[:turn]:
                    self.once(row, system)
            if able:
                print(f"{row.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    def once(self, row, system):
        if self.results.failed(row, system.name):
            return
        values, error = None, system.broken
        if not error:
            values, error = tried(row, self.load, system, self.args)
        self.results.add(row, system.name, values, error)
        if error:
            print(f"{row.name}: {system.name} fails: {error}", file=sys.stderr, flush=True)
            self.begin(system)


def on_loopback(bench, names):
    """All rows without a link; memory from before the load to a minute after it."""
    names = [n for n in names if not SYSTEMS[n].aside]
    bench.start(names, "loopback")
    bench.measure(MEMORY)
    for system in bench.systems:
        bench.begin(system)
    tunnels = [s for s in bench.systems if s.procs and not s.broken]
    time.sleep(1)
    rest = {s.name: (s.procs, s.memory()) for s in tunnels}
    bench.measure(LOAD)
    if re.search(bench.args.only, REST.name):
        # One that began anew in between has no such figure.
        watch_memory(bench, [s for s in tunnels if s.procs is rest[s.name][0]], rest)
    bench.measure(WORKERS)
    bench.stop()


def watch_memory(bench, tunnels, rest):
    peak, after, end = {s.name: s.memory("VmHWM") for s in tunnels}, {}, time.monotonic() + 60
    while True:
        for s in tunnels:
            after[s.name] = min(s.memory(), after.get(s.name, 1 << 60))
        if time.monotonic() > end or all(after[s.name] <= 1.5 * rest[s.name][1] for s in tunnels):
            break
        time.sleep(1)
    for s in tunnels:
        bench.results.add(REST, s.name, [kib / 1024 for kib in (
            rest[s.name][1], peak[s.name], after[s.name])], None)


def on_links(bench, names):
    for number, link in enumerate(LINKS):
        if any(re.search(bench.args.only, row.name) for row in link.rows):
            bench.start([n for n in names if n in link.systems or
                         not (link.systems or SYSTEMS[n].aside)], f"link{number}", link)
            bench.measure(link.rows)
            bench.stop()


def about(args, binary, names, absent):
    lines = [f"{first_line(binary, 'version')}; {os.cpu_count()} processors, {os.uname().release}, "
             "shared by load, both ends, the link between them and service, and what else ran: load "
             f"average {args.load_before:.1f} at the start",
             f"{args.rounds} rounds of {args.seconds:g} s or {args.bytes / GB:g} GB; "
             "median (least–most)"]
    text = "\n".join(lines) + "\n\n"
    text += table(["system", "version", "settings"], [
        [n, SYSTEMS[n].version(), SYSTEMS[n].settings] for n in names])
    if absent:
        text += "\nNot here: " + ", ".join(f"{n} ({', '.join(m)})" for n, m in absent.items()) + "\n"
    return text


def write(bench, names, absent):
    results = bench.results
    groups = [(title, [n for n in names if SYSTEMS[n].group in (kind, "both")])
              for title, kind in (("Plain", "plain"), ("Encrypted", "encrypted"))]
    text = about(bench.args, bench.binary, names, absent)
    groups = [group for group in groups if group[1]]
    for title, systems in groups:
        text += f"\n{title}:\n\n" + rows_table(results, results.rows, systems)
    text += "\nTargets:\n\n" + targets_table(results, bench.binary)
    print(text)
    out = pathlib.Path(bench.args.out or tempfile.mkdtemp(prefix="gotunnel-bench-out-"))
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.md").write_text(text)
    (out / "bench.svg").write_text(plot(results, groups))
    (out / "bench.json").write_text(json.dumps({
        "values": [[f, s, v] for (f, s), v in results.values.items()],
        "failures": [[r, s, e] for (r, s), e in results.failures.items()]}, indent=1))
    print(f"written to {out}")


def options():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default="build/gotunnel")
    p.add_argument("--rounds", type=int, help="5, small 2")
    p.add_argument("--seconds", type=float, help="of a load, or so many half GB, at most 1 GB; "
                   "2, small 0.5; at least 2 on a link")
    p.add_argument("--only", default="", metavar="REGEX", help="rows whose name it is found in")
    p.add_argument("--systems", default="", metavar="A,B",
                   help=f"of {', '.join(SYSTEMS)}; all that are installed if not given")
    p.add_argument("--out", help="folder for the table and the plot; a new one if not given")
    p.add_argument("--small", action="store_true", help="a quick run of everything")
    args = p.parse_args()
    for name, usual, few in (("rounds", 5, 2), ("seconds", 2, 0.5)):
        if getattr(args, name) is None:
            setattr(args, name, few if args.small else usual)
    args.bytes = round(GB * min(args.seconds / 2, 1))
    unknown = [n for n in args.systems.split(",") if n and n not in SYSTEMS]
    if unknown:
        p.error(f"no such system: {', '.join(unknown)}")
    return args


def main():
    args = options()
    on_signals()
    args.load_before = os.getloadavg()[0]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, FILES), hard))
    wanted = [n for n in args.systems.split(",") if n] or list(SYSTEMS)
    absent = {n: m for n in wanted if (m := SYSTEMS[n].missing())}
    names = [n for n in wanted if n not in absent]
    folder, bench = pathlib.Path(tempfile.mkdtemp(prefix="gotunnel-bench-")), None
    try:
        bench = Bench(args, folder)
        on_loopback(bench, names)
        on_links(bench, names)
        write(bench, names, absent)
        sys.exit(any(system in OURS for _, system in bench.results.failures))
    finally:
        if bench:
            bench.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
