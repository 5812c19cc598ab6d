"""What the end-to-end tests stand on: processes, origins, streams, frames.

Environment:
    GOTUNNEL_BIN         the executable (default: build/gotunnel)
    GOTUNNEL_SANITIZED   1: built with sanitizers; a fifth of the work, longer time limits
    GOTUNNEL_E2E_DIRECT  1: a stand-in relay in Python instead of the tunnel, to
                         prove the tests of the data path themselves
    GOTUNNEL_TEST_WORKERS  workers of every server that a test starts (default: the server's own)
    CI                   true: a missing tool fails a test instead of skipping it
"""
import os
import pathlib
import shutil
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = os.environ.get("GOTUNNEL_BIN", str(ROOT / "build" / "gotunnel"))
SANITIZED = os.environ.get("GOTUNNEL_SANITIZED", "") not in ("", "0")
DIRECT = os.environ.get("GOTUNNEL_E2E_DIRECT", "") not in ("", "0")
# As many as a server has unless told otherwise.
WORKERS = int(os.environ.get("GOTUNNEL_TEST_WORKERS") or min(8, len(os.sched_getaffinity(0))))
SCALE = 5 if SANITIZED else 1           # so much less is done where everything is slow
PATIENCE = 20 if SANITIZED else 4       # what is waited for so much longer comes at any speed


def limit(seconds):
    """A time limit of what has to happen, for machines on which it takes its time. Nothing may
    be sat out for so long: that would only make the tests slow."""
    return seconds * PATIENCE


def missing(what):
    """What the test needs is not on this machine."""
    if os.environ.get("CI", "") not in ("", "0", "false"):
        pytest.fail(f"{what} is missing", pytrace=False)
    pytest.skip(f"{what} is missing")


def need(tool, *folders):
    """The path of a program, also looked for in folders that PATH lacks."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", *folders])
    found = shutil.which(tool, path=path)
    if not found:
        missing(tool)
    return found


def until(condition, seconds=10, what="a condition"):
    """Waits for a condition; its first true value."""
    end = time.monotonic() + limit(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come within {limit(seconds)} s")
        time.sleep(0.01)


def in_threads(count, work):
    """work(number) in as many threads, begun together; what they returned. An error of one is
    raised here."""
    barrier, found, errors = threading.Barrier(count), [None] * count, []

    def run(number):
        try:
            barrier.wait()
            found[number] = work(number)
        except Exception as error:      # noqa: BLE001: it fails the test below
            errors.append(error)
    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return found
