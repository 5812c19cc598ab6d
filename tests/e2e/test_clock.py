"""Time that jumps: the wall clock is set, or a process does not run for a while."""
import glob
import os
import signal
import time

import pytest

from kit import SANITIZED, missing
from kit.origin import echo
from kit.stream import connect, read_exactly

FASTER = 4                      # GOTUNNEL_TEST_TIME_SCALE: 20 s are 5 s


def works(port):
    with connect("127.0.0.1", port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


@pytest.mark.skipif(SANITIZED, reason="a sanitizer must be loaded first")
def test_wall_clock_that_is_set(rig, serve):
    """Case 38: ten years back, past 2038, to and fro: no connection notices."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") or missing("libfaketime")
    clock = rig.folder / "clock"

    def set_to(offset):
        beside = rig.folder / "clock.new"
        beside.write_text(offset + "\n")
        os.replace(beside, clock)

    set_to("+0")
    env = rig.env(LD_PRELOAD=found[0], FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1",
                  FAKETIME_DONT_FAKE_MONOTONIC="1", GOTUNNEL_TEST_TIME_SCALE=str(FASTER))
    server = rig.server(env=env)
    client = rig.client(server, serve(echo), env=env)
    with connect("127.0.0.1", client.port) as s:
        for number, offset in enumerate(["-3650d", "+0", "+7300d", "-1d", "+1d", "+0", "-20s",
                                         "+20s"] * 2):
            set_to(offset)
            word = b"step %02d" % number
            s.sendall(word)
            assert read_exactly(s, len(word)) == word
            works(client.port)
            time.sleep(1.5)     # 6 s of theirs: heartbeats are due in between
        s.sendall(b"still")
        assert read_exactly(s, 5) == b"still"
    for proc in (server, client):
        years = {line[:4] for line in proc.err.lines() if line[:2] == "20"}
        assert len(years) >= 3, f"the clock of {proc.name} was not set: {years}"
    assert "Session lost" not in client.err.text
    assert " lost: " not in server.err.text
    # A new connection under a clock that is wrong by years, certificate and all.
    set_to("+7300d")
    works(rig.client(server, serve(echo), env=env, name="late:1", state="late").port)


@pytest.mark.parametrize("which", ["server", "client"])
def test_sleep_of_20_seconds(rig, serve, which):
    """Case 38: shorter than what counts as dead: everybody goes on."""
    faster = 2
    env = rig.env(GOTUNNEL_TEST_TIME_SCALE=str(faster))
    server = rig.server(env=env)
    client = rig.client(server, serve(echo), env=env)
    proc = server if which == "server" else client
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"begun")     # else the sleep may fall into the dial, which has 10 s
        assert read_exactly(s, 5) == b"begun"
        proc.signal(signal.SIGSTOP)
        # Less than 20 s of theirs: a machine that is busy may add some.
        time.sleep(15 / faster)
        proc.signal(signal.SIGCONT)
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
    assert "Session lost" not in client.err.text


@pytest.mark.parametrize("which", ["server", "client"])
def test_sleep_of_120_seconds(rig, serve, which):
    """Case 38: the other side has given up; who wakes notices at once, and they meet again."""
    faster = 10
    env = rig.env(GOTUNNEL_TEST_TIME_SCALE=str(faster))
    server = rig.server(env=env)
    client = rig.client(server, serve(echo), env=env)
    proc, since = server if which == "server" else client, len(client.err.text)
    proc.signal(signal.SIGSTOP)
    time.sleep(120 / faster)
    proc.signal(signal.SIGCONT)
    client.wait_err("Session lost: ", 10, since)
    client.wait_err("Connected successfully, away .*, same address", 30, since)
    works(client.port)
