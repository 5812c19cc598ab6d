#!/usr/bin/env python3
"""What the server's workers take off each other, in processor time.

usage: workers.py --bin build/gotunnel [--rounds 3] [--sessions 2] [--workers 1,2]

The load, both clients and the service share the processors with the server, so on a small
machine a rate says little about its workers. What they cost does: a server can move bytes
no faster than its busiest thread has time for, so 1 / (that thread's seconds a GB) is what
it could move where processors are free. Rates are printed beside it. Encrypted.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from procs import build_load, free_port, wait_port
from systems import TOKEN

GB = 10 ** 9
ROWS = [("down", 1), ("up", 1), ("down", 16), ("up", 16)]


def threads(pid):
    """Seconds of the processor that each thread took."""
    spent = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        spent[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return spent


class Setup:
    """A server with so many workers, and clients, each a session of its own."""

    def __init__(self, folder, binary, origin, workers, sessions):
        folder.mkdir()
        self.procs, self.ports = [], []
        self.env = {**os.environ, "RUNTIME_DIRECTORY": str(folder / "run")}
        control, first, token = free_port(), free_port(), folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.server = self.spawn(folder, binary, "server", "--addr", f"127.0.0.1:{control}",
                                 "--bind-host", "127.0.0.1", "--start-port", first, "--workers",
                                 workers, "--token-file", token, "--state-dir", "s",
                                 "--no-request-log")
        wait_port(control)
        for n in range(sessions):
            client = self.spawn(folder, binary, "client", "--server", f"127.0.0.1:{control}",
                                "--token-file", token, "--local", f"127.0.0.1:{origin}", "--name",
                                f"c{n}:1", "--state-dir", f"c{n}", "--no-request-log")
            line = client.stdout.readline().decode()
            self.ports.append(int(re.match(r"Forwarding tcp://127\.0\.0\.1:(\d+) ", line)[1]))

    def spawn(self, folder, *argv):
        proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, cwd=folder,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env)
        self.procs.append(proc)
        return proc

    def measure(self, load, mode, streams):
        """(MB/s, the server's CPU s/GB, its busiest thread's CPU s/GB)"""
        share = GB // len(self.ports)
        before, began = threads(self.server.pid), time.monotonic()
        loads = [subprocess.Popen([load, mode, str(port), str(streams), str(share)],
                                  stdout=subprocess.PIPE) for port in self.ports]
        for proc in loads:
            said = json.loads(proc.communicate(timeout=180)[0] or '{"error": "no word"}')
            if "error" in said:
                sys.exit(f"{mode} {streams}: {said['error']}")
        took = time.monotonic() - began
        spent = [s - before.get(t, 0) for t, s in threads(self.server.pid).items()]
        moved = share * len(self.ports) / GB
        return moved * 1000 / took, sum(spent) / moved, max(spent) / moved

    def stop(self):
        for proc in self.procs:
            proc.kill()
            proc.wait()


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bin", default="build/gotunnel")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--sessions", type=int, default=2)
    p.add_argument("--workers", default="1,2")
    args, _ = p.parse_known_args()     # the other benches take more
    folder, setups = pathlib.Path(tempfile.mkdtemp(prefix="gotunnel-bench-")), {}
    load, port = build_load(folder), free_port()
    origin = subprocess.Popen([load, "origin", str(port)])
    try:
        wait_port(port)
        for n in args.workers.split(","):
            setups[n] = Setup(folder / n, pathlib.Path(args.bin).resolve(), port, n, args.sessions)
        print(f"{args.sessions} sessions, {args.rounds} rounds of 1 GB in turn, {os.cpu_count()} "
              "processors shared by all; medians\n")
        print("| row | workers | MB/s | server, CPU s/GB | its busiest thread, CPU s/GB | room |")
        print("| --- | --- | --- | --- | --- | --- |")
        for mode, streams in ROWS:
            got = {n: [] for n in setups}
            for _ in range(args.rounds):
                for n, setup in setups.items():
                    got[n].append(setup.measure(load, mode, streams))
            base = None
            for n, values in got.items():
                rate, all_of_it, busiest = map(statistics.median, zip(*values))
                base = base or busiest
                print(f"| {mode} {streams} | {n} | {rate:,.0f} | {all_of_it:.2f} | {busiest:.2f} "
                      f"| × {base / busiest:.2f} |", flush=True)
    finally:
        for setup in setups.values():
            setup.stop()
        origin.kill()
        origin.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
