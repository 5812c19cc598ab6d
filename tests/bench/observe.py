#!/usr/bin/env python3
"""Measures what watching costs: request log on and off, tunnels at rest, a scrape.

usage: observe.py --bin build/gotunnel [--rounds 5] [--seconds 2] [--tunnels 1000] [--small]

nginx answers behind the tunnel, wrk and curl ask. Systems take turns, round by round; the ratio is
that of the medians of one run. With the log on, both ends write a record a request to a file.
"""
import argparse
import http.client
import os
import pathlib
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from kit import wire  # noqa: E402
from procs import System, free_port, wait_port  # noqa: E402
from results import spread  # noqa: E402
from systems import GoTunnel  # noqa: E402

BULK = 2 * 10 ** 9
LOG = ("--log-format", "logfmt", "--log-file", "log")
OFF = ("--no-request-log",)


def kind(name, *more):
    return type(name, (GoTunnel,), {"more": more})


SYSTEMS = {
    "plain, off": kind("PlainOff", "--plaintext", *OFF),
    "plain, on": kind("PlainOn", "--plaintext", *LOG),
    "encrypted, off": kind("EncryptedOff", *OFF),
    "encrypted, on": kind("EncryptedOn", *LOG),
}


class Nginx(System):
    def start(self):
        self.port = free_port()
        (self.folder / "small").write_bytes(b"x" * 128)
        with open(self.folder / "bulk", "wb") as f:
            f.truncate(BULK)
        config = self.folder / "conf"
        config.write_text(f"""daemon off; master_process off; pid pid; error_log stderr;
            events {{ worker_connections 2000; }}
            http {{ access_log off; keepalive_requests 100000000; sendfile on;
                client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;
                uwsgi_temp_path u; scgi_temp_path s;
                server {{ listen 127.0.0.1:{self.port}; root {self.folder}; }} }}""")
        self.folder.chmod(0o755)
        self.spawn("/usr/sbin/nginx", "-c", config, "-p", self.folder, "-e", "stderr")
        wait_port(self.port)


def requests(system, seconds):
    said = subprocess.run(["wrk", "-t1", "-c64", f"-d{max(1, round(seconds))}s",
                           f"http://127.0.0.1:{system.port}/small"], capture_output=True, text=True,
                          check=True).stdout
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def bulk(system, _):
    done = subprocess.run(["curl", "-s", "--noproxy", "*", "-o", "/dev/null", "-w",
                           "%{speed_download} %{size_download}",
                           f"http://127.0.0.1:{system.port}/bulk"], capture_output=True, text=True,
                          check=True).stdout.split()
    assert int(done[1]) == BULK
    return float(done[0]) / 1e6


def compare(systems, rounds, seconds):
    print("\n| row | " + " | ".join(SYSTEMS) + " | plain on/off | encrypted on/off | target |")
    print("| --- |" + " --- |" * (len(SYSTEMS) + 3))
    missed = False
    for name, measure, target in (("HTTP bulk, MB/s", bulk, 0.97),
                                  ("HTTP requests, 64 conns, 1/s", requests, 0.90)):
        results = {s.name: [] for s in systems}
        for number in range(rounds):
            for s in systems[number % 4:] + systems[:number % 4]:
                results[s.name].append(measure(s, seconds))
        m = {n: statistics.median(v) for n, v in results.items()}
        ratios = [m["plain, on"] / m["plain, off"], m["encrypted, on"] / m["encrypted, off"]]
        met = min(ratios) >= target
        missed |= not met
        print(f"| {name} | " + " | ".join(spread(results[s]) for s in SYSTEMS) +
              f" | {ratios[0]:.3f} | {ratios[1]:.3f} | ≥ {target} {'met' if met else 'missed'} |")
    return missed


class Tunnels:
    """Many tunnels of raw clients on one server, each with one answered request."""

    def __init__(self, folder, binary, count):
        self.control, self.admin = free_port(), free_port()
        first = 10000       # below the ports that connections take
        (folder / "token").write_text("bench\n")
        (folder / "token").chmod(0o600)
        self.host = "127.0.0.1"
        self.log = open(folder / "err", "wb")
        self.proc = subprocess.Popen(
            [binary, "server", "--addr", f"127.0.0.1:{self.control}", "--bind-host", "127.0.0.1",
             "--start-port", str(first), "--end-port", str(first + count + 999), "--token-file",
             folder / "token", "--state-dir", folder / "s", "--plaintext", "--admin",
             f"127.0.0.1:{self.admin}", "--log-file", folder / "log"],
            stdout=subprocess.DEVNULL, stderr=self.log,
            env={**os.environ, "RUNTIME_DIRECTORY": str(folder / "run")})
        self.clients = []

    def bind(self, count):
        wait_port(self.admin)
        self.before = self.memory()
        for start in range(0, count, 64):
            c = wire.RawClient(self, "bench").login(name=f"c{start}", instance=os.urandom(16))
            c.ports = [c.bind(bind_id=n + 1) for n in range(min(64, count - start))]
            self.clients.append(c)
        self.bound = self.memory()

    def visit(self):
        """One request through every tunnel."""
        other = ("HEARTBEAT", "CREDIT", "ACK", "CLOSE")
        for c in self.clients:
            for port in c.ports:
                with socket.create_connection((self.host, port)) as s:
                    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    stream = c.expect("OPEN", skip=other)[1]
                    c.expect("DATA", skip=other)
                    c.send("DATA", stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                    assert s.recv(100)
                c.send("CLOSE", stream, struct.pack(">Q", 40))

    def memory(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(
            f"/proc/{self.proc.pid}/status").read_text())[1])

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.proc.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def scrape(self, times=50):
        took, size, before = [], 0, self.cpu()
        for _ in range(times):
            begun = time.monotonic()
            c = http.client.HTTPConnection(self.host, self.admin)
            c.request("GET", "/metrics")
            size = len(c.getresponse().read())
            took.append((time.monotonic() - begun) * 1000)
        return statistics.median(took), (self.cpu() - before) / times * 1000, size

    def close(self):
        for c in self.clients:
            c.close()
        self.proc.kill()
        self.proc.wait()


def at_rest(folder, binary, count):
    folder.mkdir()
    t = Tunnels(folder, binary, count)
    try:
        t.bind(count)
        ms, cpu, size = t.scrape()
        print(f"\n{count} tunnels at rest: {(t.bound - t.before) / count:.2f} KiB of memory each "
              f"(listener, counters, names)\nscrape of them: {ms:.1f} ms, of which the server "
              f"{cpu:.1f} ms, {size / 1000:.0f} kB")
        t.visit()
        ms, cpu, size = t.scrape()
        print(f"after a request through each: {(t.memory() - t.before) / count:.2f} KiB each (with "
              f"histogram and statuses)\nscrape of them: {ms:.1f} ms, of which the server "
              f"{cpu:.1f} ms, {size / 1000:.0f} kB")
    finally:
        t.close()


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bin", default="build/gotunnel")
    p.add_argument("--rounds", type=int, help="5, small 2")
    p.add_argument("--seconds", type=float, help="of a load; 2, small 1")
    p.add_argument("--tunnels", type=int, help="1000, small 200")
    p.add_argument("--small", action="store_true", help="a quick run of everything")
    args = p.parse_args()
    for name, usual, few in (("rounds", 5, 2), ("seconds", 2, 1), ("tunnels", 1000, 200)):
        if getattr(args, name) is None:
            setattr(args, name, few if args.small else usual)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gotunnel-bench-"))
    folder.chmod(0o755)
    binary = pathlib.Path(args.bin).resolve()
    running = []
    try:
        nginx = Nginx("nginx", folder, None, binary)
        running.append(nginx)
        nginx.start()
        systems = []
        for number, (name, cls) in enumerate(SYSTEMS.items()):
            s = cls(f"s{number}", folder, nginx.port, binary)
            s.name = name
            running.append(s)
            systems.append(s)
            s.start()
        print(f"{args.rounds} rounds of {args.seconds} s or {BULK / 1e9:g} GB; median (least–most)")
        compare(systems, args.rounds, args.seconds)
        at_rest(folder / "tunnels", binary, args.tunnels)
    finally:
        for s in running:
            s.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
