"""Processes that the bench measures and those that load them."""
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache",
                     "gotunnel-bench")
TICK = os.sysconf("SC_CLK_TCK")
LOAD_S = 180        # no load takes so long: each ends by itself before
PDEATHSIG = 1


class Failure(Exception):
    """Why something could not be measured, for its cell in the table."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, proc=None, host="127.0.0.1"):
    for _ in range(200):
        if proc and proc.poll() is not None:
            raise Failure(f"ended with {proc.returncode} before it listened")
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Failure(f"nothing listens on {port} after 10 s")


def find(program):
    """Its path, or None."""
    return shutil.which(program, path=os.pathsep.join(
        [str(CACHE / "bin"), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def first_line(*argv):
    """What a program says first, for its version."""
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=20)
    said = (done.stdout + done.stderr).strip()
    return said.split("\n")[0] if said else "?"


def die_with_us():
    """A bench that is killed leaves nothing running."""
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)


def tree(pid):
    """A process and those below it."""
    found = [pid]
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    except OSError:
        pass                    # it has just ended
    return found


def status(pid, name):
    """KiB of a line of /proc/PID/status."""
    found = re.search(rf"{name}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class System:
    """What stands between the load and the origin; a subclass starts it and sets `port`.

    `network`, if there is one, is called with the port of the outer end and gives the port
    that its inner end connects to instead: a link between the two.
    """

    group = "both"              # plain, encrypted, or both: in both tables
    programs = ()               # what it needs
    settings = ""
    inner_dials = True          # over the link, so that a download is an upload to the link
    aside = False               # only in rows that name it

    def __init__(self, name, folder, origin, binary, network=None):
        self.name, self.folder, self.origin, self.binary = name, folder / name, origin, binary
        self.network = network
        self.folder.mkdir()
        self.procs = []
        self.port = None
        self.logs = 0

    @classmethod
    def missing(cls):
        return [p for p in cls.programs if not find(p)]

    @classmethod
    def version(cls):
        return ""

    def via(self, port):
        return self.network(port) if self.network else port

    def spawn(self, *argv, read=False):
        """`read`: its output is a pipe for the caller. Others would stop where nobody reads it."""
        self.logs += 1
        with open(self.folder / f"log{self.logs}", "wb") as log:
            proc = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stderr=log, cwd=self.folder,
                stdout=subprocess.PIPE if read else log, preexec_fn=die_with_us,
                env={**os.environ, "RUNTIME_DIRECTORY": str(self.folder / "run"),
                     "RUST_LOG": "error"})
        self.procs.append(proc)
        return proc

    def pids(self):
        return [pid for p in self.procs for pid in tree(p.pid)]

    def cpu(self):
        """Seconds of the processor that its processes took so far."""
        return sum(ticks(pid) for pid in self.pids()) / TICK

    def memory(self, name="VmRSS"):
        """Resident KiB of its processes; VmHWM: the most there was."""
        return sum(status(pid, name) for pid in self.pids())

    def alive(self):
        return all(p.poll() is None for p in self.procs)

    def stop(self):
        for pid in self.pids()[::-1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for p in self.procs:
            p.wait()
            if p.stdout:
                p.stdout.close()
        self.procs = []

    def restart(self):
        self.stop()
        self.start()


def build_load(folder):
    """The path of the load, compiled."""
    path = folder / "load"
    subprocess.run(["cc", "-O2", "-Wall", "-o", path, *sorted((HERE / "load").glob("*.c"))],
                   check=True)
    return path


class Load:
    """The load: what it says, or a Failure with what it says went wrong."""

    def __init__(self, path):
        self.path, self.running = path, []

    def start(self, *words):
        proc = subprocess.Popen([str(self.path), *map(str, words)], stdout=subprocess.PIPE,
                                text=True, preexec_fn=die_with_us)
        proc.words = words
        self.running.append(proc)
        return proc

    def line(self, proc):
        """The next line of one that is started; after the last, it has ended."""
        return self.said(proc, proc.stdout.readline())

    def end(self, proc):
        try:
            text = proc.communicate(timeout=LOAD_S)[0]
        except subprocess.TimeoutExpired:
            raise Failure(f"the load did not end within {LOAD_S} s") from None
        finally:
            self.kill(proc)
        return self.said(proc, text)

    def run(self, *words):
        return self.end(self.start(*words))

    def kill(self, proc):
        if proc in self.running:
            self.running.remove(proc)
        proc.kill()
        proc.wait()
        proc.stdout.close()

    def close(self):
        for proc in self.running[:]:
            self.kill(proc)

    @staticmethod
    def said(proc, text):
        last = text.strip().split("\n")[-1]
        try:
            said = json.loads(last)
        except ValueError:
            raise Failure(f"load {' '.join(map(str, proc.words))} said {last!r}") from None
        if "error" in said:
            raise Failure(said["error"])
        return said


def on_signals():
    """The first signal ends the bench, and what it started is stopped; a second changes nothing."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def leave(number, _):
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)
    for each in signals:
        signal.signal(each, leave)
