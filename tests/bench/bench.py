#!/usr/bin/env python3
"""Measures gotunnel beside two HAProxy hops, in one run on one machine.

usage: bench.py --bin build/gotunnel [--rounds 5] [--seconds 2] [--only ROW] [--systems A,B]

The systems take turns, row by row and round by round, so that what else the machine does
meets all of them; medians are printed with the least and the most. Rates are in MB/s (10^6),
exchanges a second, or microseconds.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOKEN = "bench-" + os.urandom(8).hex()
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")


class System:
    """What stands between the load and the origin."""

    def __init__(self, name, folder, origin, binary):
        self.name, self.folder, self.origin, self.binary = name, folder / name, origin, binary
        self.folder.mkdir()
        self.procs = []
        self.port = None

    def spawn(self, *argv):
        log = open(self.folder / f"log{len(self.procs)}", "wb")
        proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=log, cwd=self.folder,
                                env={**os.environ, "RUNTIME_DIRECTORY": str(self.folder / "run")})
        self.procs.append(proc)
        return proc

    def cpu(self):
        """Seconds of the processor that its processes took so far."""
        ticks = 0
        for p in self.procs:
            fields = pathlib.Path(f"/proc/{p.pid}/stat").read_text().rsplit(") ", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def memory(self):
        """Resident KiB of its processes."""
        return sum(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(
            f"/proc/{p.pid}/status").read_text())[1]) for p in self.procs)

    def stop(self):
        for p in self.procs:
            p.send_signal(signal.SIGKILL)
            p.wait()


class Direct(System):
    def start(self):
        self.port = self.origin


class HAProxy(System):
    def start(self):
        self.port = self.hop(self.hop(self.origin))

    def hop(self, target):
        port = free_port()
        config = self.folder / f"{port}.cfg"
        config.write_text(f"""global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen hop
    bind 127.0.0.1:{port}
    server next 127.0.0.1:{target}
""")
        self.spawn("haproxy", "-db", "-f", config)
        wait_port(port)
        return port


class GoTunnel(System):
    # HAProxy logs nothing here either; what the log costs is measured in observe.py.
    more = ("--no-request-log",)

    def start(self):
        control, first = free_port(), free_port()
        token = self.folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.spawn(self.binary, "server", "--addr", f"127.0.0.1:{control}", "--bind-host", "127.0.0.1",
                   "--start-port", first, "--token-file", token, "--state-dir", "s", *self.more)
        wait_port(control)
        client = self.spawn(self.binary, "client", "--server", f"127.0.0.1:{control}", "--token-file",
                            token, "--local", f"127.0.0.1:{self.origin}", "--name", "bench",
                            "--state-dir", "c", *self.more)
        line = client.stdout.readline().decode()
        self.port = int(re.match(r"Forwarding tcp://127\.0\.0\.1:(\d+) ", line)[1])


class Plain(GoTunnel):
    more = ("--plaintext", *GoTunnel.more)


SYSTEMS = {"direct": Direct, "haproxy2": HAProxy, "gotunnel-plain": Plain,
           "gotunnel-encrypted": GoTunnel}

GB = 10 ** 9
ROWS = [  # name, unit, mode, arguments, field
    ("bulk down 1", "MB/s", "down", [1, GB], "rate"),
    ("bulk up 1", "MB/s", "up", [1, GB], "rate"),
    ("bulk down 16", "MB/s", "down", [16, GB], "rate"),
    ("bulk up 16", "MB/s", "up", [16, GB], "rate"),
    ("echo 64 conns", "1/s", "echo", [64, None], "rate"),
    ("echo 1 conn p50", "us", "echo", [1, None], "p50"),
    ("echo 1 conn p99", "us", "echo", [1, None], "p99"),
    ("connections, 1 at a time", "1/s", "connect", [1, None], "rate"),
    ("connections, 64 at a time", "1/s", "connect", [64, None], "rate"),
]

TARGETS = [  # row, system, at least, reference
    ("bulk down 1", "gotunnel-plain", 0.9, "haproxy2"),
    ("bulk up 1", "gotunnel-plain", 0.9, "haproxy2"),
    ("bulk down 16", "gotunnel-plain", 0.9, "haproxy2"),
    ("bulk up 16", "gotunnel-plain", 0.9, "haproxy2"),
    ("echo 64 conns", "gotunnel-plain", 1.2, "haproxy2"),
    ("connections, 1 at a time", "gotunnel-plain", 1.0, "haproxy2"),
    ("connections, 64 at a time", "gotunnel-plain", 1.0, "haproxy2"),
    ("bulk down 1", "gotunnel-encrypted", 0.6, "gotunnel-plain"),
    ("bulk up 1", "gotunnel-encrypted", 0.6, "gotunnel-plain"),
    ("bulk down 16", "gotunnel-encrypted", 0.6, "gotunnel-plain"),
    ("bulk up 16", "gotunnel-encrypted", 0.6, "gotunnel-plain"),
]


def measure(load, system, row, seconds):
    name, _, mode, arguments, field = row
    before, began = system.cpu(), time.monotonic()
    words = [str(a if a is not None else seconds) for a in arguments]
    done = subprocess.run([load, mode, str(system.port), *words], capture_output=True, text=True,
                          timeout=180)
    said = json.loads(done.stdout or '{"error": "no word"}')
    if "error" in said:
        return None, said["error"]
    took = time.monotonic() - began
    return (said[field], (system.cpu() - before) / took), None


def spread(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def print_table(rows, systems, results, failures):
    print("\n| row | " + " | ".join(s.name for s in systems) + " |")
    print("| --- |" + " --- |" * len(systems))
    for row in rows:
        cells = []
        for s in systems:
            got = results[row[0], s.name]
            cells.append(failures.get((row[0], s.name)) or spread([v for v, _ in got]))
        print(f"| {row[0]}, {row[1]} | " + " | ".join(cells) + " |")
    for row in rows:
        if not row[0].startswith("bulk"):
            continue
        cells = []
        for s in systems:
            got = results[row[0], s.name]
            cost = [cpu / (rate / 1000) for rate, cpu in got if rate]
            cells.append(f"{statistics.median(cost):.2f}" if cost and s.procs else "")
        print(f"| {row[0]}, CPU s/GB | " + " | ".join(cells) + " |")


def print_targets(rows, results):
    print("\n| row | system | ratio | target | |")
    print("| --- | --- | --- | --- | --- |")
    for name, system, least, reference in TARGETS:
        mine, theirs = results.get((name, system)), results.get((name, reference))
        if not mine or not theirs:
            continue
        ratio = statistics.median(v for v, _ in mine) / statistics.median(v for v, _ in theirs)
        print(f"| {name} | {system} | {ratio:.2f} × {reference} | ≥ {least} | "
              f"{'met' if ratio >= least else 'missed'} |")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bin", default="build/gotunnel")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--only", default="")
    p.add_argument("--systems", default=",".join(SYSTEMS))
    args = p.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gotunnel-bench-"))
    systems, origin = [], None
    try:
        load = folder / "load"
        subprocess.run(["cc", "-O2", "-Wall", "-o", load, HERE / "load.c"], check=True)
        port = free_port()
        origin = subprocess.Popen([load, "origin", str(port)])
        wait_port(port)
        binary = pathlib.Path(args.bin).resolve()
        for name in args.systems.split(","):
            if name == "haproxy2" and not shutil.which("haproxy"):
                sys.exit("haproxy is missing: apt-get install haproxy")
            systems.append(SYSTEMS[name](name, folder, port, binary))
            systems[-1].start()
        said = subprocess.run([binary, "version"], capture_output=True, text=True).stdout
        print("; ".join(said.split("\n")[:2]), end="; ")
        print(subprocess.run(["haproxy", "-v"], capture_output=True, text=True).stdout.split("\n")[0])
        print(f"{args.rounds} rounds of {args.seconds} s or 1 GB, {os.cpu_count()} processors shared by "
              "load, both ends and service; median (least–most)")
        rest = {s.name: s.memory() for s in systems if s.procs}
        rows = [r for r in ROWS if re.search(args.only, r[0])]
        results, failures = {}, {}
        for row in rows:
            for number in range(args.rounds):
                for s in systems[number % len(systems):] + systems[:number % len(systems)]:
                    value, error = measure(load, s, row, args.seconds)
                    results.setdefault((row[0], s.name), [])
                    if error:
                        failures[row[0], s.name] = f"fails: {error}"
                    else:
                        results[row[0], s.name].append(value)
        print_table(rows, systems, results, failures)
        print("\nResident memory of both processes, KiB, at rest and after the load: " + ", ".join(
            f"{s.name} {rest[s.name]} → {s.memory()}" for s in systems if s.procs))
        print_targets(rows, results)
        sys.exit(bool(failures))
    finally:
        for s in systems:
            s.stop()
        if origin:
            origin.kill()
            origin.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
