"""A program under test, with what it says kept line by line."""
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from . import limit

SANITIZER = re.compile(r"(Address|Leak|Thread|Memory)Sanitizer|runtime error: |"
                       r"UndefinedBehaviorSanitizer")


class Lines:
    """What came from one descriptor."""

    def __init__(self):
        self.data = b""
        self.ended = False
        self.changed = threading.Condition()

    def feed(self, data):
        with self.changed:
            self.data += data
            self.changed.notify_all()

    def end(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    @property
    def text(self):
        return self.data.decode("utf-8", "replace").replace("\r\n", "\n")

    def lines(self):
        return self.text.splitlines()

    def wait(self, pattern, since, timeout):
        """The match of a pattern in the text after offset `since`; None when none came."""
        expression = re.compile(pattern, re.MULTILINE)
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                found = expression.search(self.text, since)
                if found or self.ended:
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(left)


class Proc:
    """Started at once; out and err are collected by threads."""

    def __init__(self, argv, env=None, cwd=None, stdin=subprocess.DEVNULL, name=None, **more):
        self.name = name or os.path.basename(argv[0])
        self.argv = argv = list(map(str, argv))
        self.out, self.err = Lines(), Lines()
        self.expected = False       # a test has looked at how it ended
        self.started = time.monotonic()
        self.popen = self.spawn(argv, env, cwd, stdin, more)
        self.pid = self.popen.pid

    def spawn(self, argv, env, cwd, stdin, more):
        popen = subprocess.Popen(argv, env=env, cwd=cwd, stdin=stdin,
                                 **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})
        self.threads = [self.collect(pipe.fileno(), lines) for pipe, lines in
                        ((popen.stdout, self.out), (popen.stderr, self.err)) if pipe]
        return popen

    def say(self, line):
        """A line for its standard input, which is a pipe."""
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    @staticmethod
    def collect(fd, lines):
        def run():
            while True:
                try:
                    data = os.read(fd, 65536)
                except OSError:         # a pty whose other end is gone
                    data = b""
                if not data:
                    break
                lines.feed(data)
            lines.end()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def dump(self):
        parts = [f"--- {self.name} (pid {self.pid}, exit {self.popen.poll()}): "
                 f"{' '.join(self.argv)}"]
        for what, lines in (("stdout", self.out), ("stderr", self.err)):
            if lines.data and (what == "stdout" or lines is not self.out):
                text = lines.text
                if len(text) > 12000:
                    text = text[:6000] + "\n[…]\n" + text[-6000:]
                parts.append(f"[{what}]\n{text.rstrip()}")
        return "\n".join(parts)

    def wait_err(self, pattern, seconds=10, since=0):
        return self._wait(self.err, "stderr", pattern, seconds, since)

    def wait_out(self, pattern, seconds=10, since=0):
        return self._wait(self.out, "stdout", pattern, seconds, since)

    def _wait(self, lines, where, pattern, seconds, since):
        found = lines.wait(pattern, since, limit(seconds))
        if not found:
            pytest.fail(f"{self.name}: no line /{pattern}/ on {where} within {limit(seconds)} s\n"
                        + self.dump(), pytrace=False)
        return found

    @property
    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def wait_exit(self, seconds=10):
        """Its exit code; a test that calls this has seen to it."""
        self.expected = True
        try:
            code = self.popen.wait(limit(seconds))
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"{self.name} did not end within {limit(seconds)} s\n" + self.dump(),
                        pytrace=False)
        for thread in self.threads:
            thread.join(limit(5))
        return code

    def stop(self, seconds=15):
        """SIGTERM; its exit code."""
        if self.alive:
            self.signal(signal.SIGTERM)
        return self.wait_exit(seconds)

    def kill(self):
        """SIGKILL: how it ends is the test's own doing."""
        self.expected = True
        if self.alive:
            self.popen.kill()
        self.popen.wait()

    def complaints(self):
        """Why this process did not end well, each a line; nothing expected of a killed one."""
        said = []
        if not self.expected or self.alive:
            code = self.stop()
            if code != 0:
                said.append(f"{self.name}: exit {code} after SIGTERM, wanted 0")
        if SANITIZER.search(self.err.text) or SANITIZER.search(self.out.text):
            said.append(f"{self.name}: sanitizer report")
        return said

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
