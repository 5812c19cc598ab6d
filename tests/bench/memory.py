#!/usr/bin/env python3
"""Measures what idle streams and idle sessions cost, and what is given back after a load.

usage: memory.py --bin build/gotunnel [--streams 10000] [--sessions 200] [--wait 60]
                 [--only streams,load,sessions] [--plaintext]

A process each for the server, the client, the visitors and the service, so that none needs more
than 20,000 descriptors. KiB are of /proc/PID/smaps_rollup: `rss` is what is resident, `anon` what
the process itself has written (heap, stacks, data), without its code and that of libraries.
Processor time is that of both ends while nothing happens. At the end the targets, as a table.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")
BLOCK = 1 << 16
MOST_S = 60
TARGETS = []                        # (what, value, at most, unit)


def listen():
    s = socket.create_server(("127.0.0.1", 0), backlog=4096)
    return s, s.getsockname()[1]


def free_port():
    s, port = listen()
    s.close()
    return port


# --- the service and its visitors ---------------------------------------------------------


def serve(listener, count):
    """Echoes, one thread for all; `count` is how many are connected."""
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    conns = {}
    while True:
        for fd, events in poll.poll():
            if fd == listener.fileno():
                s, _ = listener.accept()
                conns[s.fileno()] = s
                poll.register(s, select.EPOLLIN)
                count.value = len(conns)
                continue
            try:
                data = conns[fd].recv(BLOCK)
                if data:
                    conns[fd].setblocking(True)
                    conns[fd].sendall(data)
                    continue
            except OSError:
                pass
            conns.pop(fd).close()
            count.value = len(conns)


def visit(pipe, port):
    """Does what it is told, over the pipe, with all its connections."""
    conns = []
    while True:
        what, n = pipe.recv()
        if what == "open":
            conns += [socket.create_connection(("127.0.0.1", port), MOST_S) for _ in range(n)]
        elif what == "echo":
            for s in conns:
                s.sendall(bytes(n))
            for s in conns:
                assert len(s.recv(n, socket.MSG_WAITALL)) == n
        elif what == "close":
            for s in conns:
                s.close()
            conns = []
        elif what == "bulk":
            bulk(conns, n)
        pipe.send("done")


def bulk(conns, size):
    """`size` bytes each way through each connection, all at once; the service echoes."""
    left = {s.fileno(): [s, size, size] for s in conns}
    poll = select.epoll()
    block = bytes(BLOCK)
    for fd, (s, *_) in left.items():
        s.setblocking(False)
        poll.register(fd, select.EPOLLIN | select.EPOLLOUT)
    while left:
        for fd, events in poll.poll():
            s, send, take = state = left[fd]
            if events & select.EPOLLOUT and send:
                try:
                    state[1] -= s.send(block[:send])
                except BlockingIOError:
                    pass
                if not state[1]:
                    poll.modify(fd, select.EPOLLIN)
            if events & select.EPOLLIN:
                try:
                    state[2] -= len(s.recv(BLOCK))
                except BlockingIOError:
                    pass
                if not state[2]:
                    poll.unregister(fd)
                    s.setblocking(True)
                    del left[fd]


# --- gotunnel --------------------------------------------------------------------------------


class Process:
    def __init__(self, folder, name, *argv):
        self.err = open(folder / f"{name}.err", "wb")
        self.proc = subprocess.Popen([str(a) for a in argv], cwd=folder, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=self.err,
                                     env={**os.environ, "RUNTIME_DIRECTORY": str(folder / "run")})
        self.folder = pathlib.Path(f"/proc/{self.proc.pid}")

    def memory(self):
        text = (self.folder / "smaps_rollup").read_text()
        kib = {k: int(v) for k, v in re.findall(r"(\w+):\s+(\d+) kB", text)}
        return {"rss": kib["Rss"], "pss": kib["Pss"], "anon": kib["Anonymous"]}

    def forget_peak(self):
        (self.folder / "clear_refs").write_text("5")

    def peak(self):
        return int(re.search(r"VmHWM:\s+(\d+)", (self.folder / "status").read_text())[1])

    def cpu(self):
        fields = (self.folder / "stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(MOST_S)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()


class Rig:
    def __init__(self, args, folder):
        self.args, self.folder, self.procs = args, folder, []
        self.more = ["--plaintext"] if args.plaintext else []
        self.more += args.more.split()
        # Others on the machine use ports, too: there are twice as many as sessions.
        self.control, first = free_port(), min(free_port(), 65435 - 2 * args.sessions)
        self.token = folder / "token"
        self.token.write_text("bench-" + os.urandom(8).hex())
        self.token.chmod(0o600)
        self.server = self.add("server", "server", "--addr", f"127.0.0.1:{self.control}",
                               "--bind-host", "127.0.0.1", "--start-port", first, "--end-port",
                               min(first + 2 * args.sessions + 100, 65535), "--token-file", self.token,
                               "--state-dir", "s", *self.more)
        for _ in range(200):
            if b"Ready for connections" in (folder / "server.err").read_bytes():
                return
            time.sleep(0.05)
        sys.exit((folder / "server.err").read_text())

    def add(self, name, *argv):
        p = Process(self.folder, name, self.args.bin, *argv)
        self.procs.append(p)
        return p

    def client(self, port, name="client"):
        """A client that is connected, and its public port."""
        c = self.add(name, "client", "--server", f"127.0.0.1:{self.control}", "--token-file",
                     self.token, "--local", f"127.0.0.1:{port}", "--name", name, "--state-dir",
                     name, *self.more)
        line = c.proc.stdout.readline().decode()
        return c, int(re.match(r"Forwarding tcp://127\.0\.0\.1:(\d+) ", line)[1])

    def stop(self):
        for p in reversed(self.procs):
            p.stop()


def show(name, ends, **more):
    row = {"row": name}
    for end, process in ends.items():
        row.update({f"{end}_{k}": v for k, v in process.memory().items()})
    row.update(more)
    print(json.dumps(row), flush=True)
    return row


def target(what, value, most, unit):
    TARGETS.append((what, value, most, unit))


def print_targets():
    print("\n| what | measured | at most | |\n| --- | --- | --- | --- |")
    for what, value, most, unit in TARGETS:
        print(f"| {what} | {value:.2f} {unit} | {most:g} {unit} | "
              f"{'met' if value <= most else 'missed'} |")


def idle_cpu(ends, seconds=5):
    before = sum(p.cpu() for p in ends.values())
    time.sleep(seconds)
    return round((sum(p.cpu() for p in ends.values()) - before) / seconds, 4)


def until(what, seconds=MOST_S):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            sys.exit("memory.py: waited in vain")
        time.sleep(0.01)


class Visitors:
    def __init__(self, port, count):
        self.pipe, theirs = multiprocessing.Pipe()
        self.count = count
        self.process = multiprocessing.Process(target=visit, args=(theirs, port), daemon=True)
        self.process.start()

    def tell(self, what, n=0):
        self.pipe.send((what, n))
        assert self.pipe.recv() == "done"

    def open(self, n):
        """Seconds until the service has them all."""
        begun = time.monotonic()
        self.tell("open", n)
        until(lambda: self.count.value >= n)
        return round(time.monotonic() - begun, 2)

    def close(self):
        self.tell("close")
        until(lambda: self.count.value == 0)


def with_visitors(rig, measure):
    listener, port = listen()
    count = multiprocessing.Value("i", 0)
    origin = multiprocessing.Process(target=serve, args=(listener, count), daemon=True)
    origin.start()
    client, public = rig.client(port)
    direct, visitors = Visitors(port, count), Visitors(public, count)
    time.sleep(3)
    try:
        measure({"server": rig.server, "client": client}, visitors, direct)
    finally:
        direct.process.kill()
        visitors.process.kill()
        origin.kill()
        client.stop()


def measure_streams(args, ends, visitors, direct):
    without = direct.open(args.streams)
    direct.close()
    rest = show("rest", ends)
    spent = {end: p.cpu() for end, p in ends.items()}
    seconds = visitors.open(args.streams)
    spent = {f"{end}_setup_cpu_s": round(p.cpu() - spent[end], 2) for end, p in ends.items()}
    time.sleep(3)
    rows = [show(f"{args.streams} idle", ends, setup_s=seconds, setup_without_tunnel_s=without,
                 cpu=idle_cpu(ends), **spent)]
    visitors.tell("echo", 64)
    time.sleep(3)
    show(f"{args.streams} idle after 64 B", ends)
    time.sleep(args.wait)
    rows.append(show(f"{args.streams} idle, {args.wait} s later", ends, cpu=idle_cpu(ends)))
    for end in ends:
        each = [round((row[f"{end}_anon"] - rest[f"{end}_anon"]) * 1024 / args.streams)
                for row in rows]
        print(f"  {end}: {each[0]} bytes a stream, {each[1]} after 64 B")
        target(f"{args.streams} idle streams, resident, {end}", rows[1][f"{end}_rss"] / 1024, 15, "MiB")
    own = sum(spent.values())
    target(f"{args.streams} streams set up ({own:.2f} s of it are the ends' processor time; "
           f"{without} s without a tunnel)", seconds, 3, "s")
    target(f"processor with {args.streams} idle", max(r["cpu"] for r in rows), 0.005, "")
    visitors.close()
    after(args, ends, rest, "closed")


def after(args, ends, rest, what):
    """What is given back, now and after a while."""
    time.sleep(1)
    show(what, ends)
    time.sleep(args.wait - 1)
    row = show(f"{what}, {args.wait} s later", ends)
    for end in ends:
        target(f"{what}, {args.wait} s later, resident, {end}",
               row[f"{end}_rss"] / rest[f"{end}_rss"], 1.5, "× start")


def measure_load(args, ends, visitors, _):
    rest = show("rest", ends)
    for p in ends.values():
        p.forget_peak()
    visitors.open(100)
    visitors.tell("bulk", 20 << 20)
    show("under load", ends, **{f"{end}_peak": p.peak() for end, p in ends.items()})
    visitors.close()
    after(args, ends, rest, "after the load")


def measure_sessions(args, rig):
    """Real clients without visitors; only the server counts."""
    ends = {"server": rig.server}
    clients = [rig.client(9, "first")[0]]
    time.sleep(3)
    rest = show("one session", ends)
    for n in range(args.sessions):
        clients.append(rig.client(9, f"c{n}")[0])
    time.sleep(3)
    row = show(f"{args.sessions} more sessions", ends, cpu=idle_cpu(ends))
    each = (row["server_anon"] - rest["server_anon"]) * 1024 / args.sessions
    target("an idle session, server", each / 1024, 60, "KiB")
    for c in clients:
        c.proc.terminate()
    for c in clients:
        c.proc.wait()
    after(args, ends, rest, "sessions ended")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--streams", type=int, default=10000)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--wait", type=int, default=60)
    parser.add_argument("--only", default="streams,load,sessions")
    parser.add_argument("--plaintext", action="store_true")
    parser.add_argument("--more", default="", help="options for both ends")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for part in args.only.split(","):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="memory-"))
        rig = Rig(args, folder)
        try:
            if part == "sessions":
                measure_sessions(args, rig)
            else:
                measure = {"streams": measure_streams, "load": measure_load}[part]
                with_visitors(rig, lambda *given: measure(args, *given))
        finally:
            rig.stop()
            shutil.rmtree(folder, ignore_errors=True)
    print_targets()


if __name__ == "__main__":
    main()
