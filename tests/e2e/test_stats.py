"""gotunnel stats, against admin endpoints that are not gotunnel's own."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from kit import BIN, limit, need, until
from kit.proc import Proc
from kit.terminal import OnTerminal

LATENCY = {"count": 120, "mean_us": 45000, "min_us": 850, "max_us": 1200000, "p50_us": 40000,
           "p90_us": 90000, "p99_us": 1100000}
TOTALS = {"streams_open": 3, "streams": 125, "connections": 120, "received_bytes": 12000,
          "sent_bytes": 3400000, "buffered_bytes": 0, "http_requests": 120, "latency": LATENCY,
          "status": {"404": 3, "200": 110, "500": 7}, "resets": {"CANCELLED": 3}}
TUNNEL = {**TOTALS, "port": 10000, "name": "laptop:3000", "local": "localhost:3000",
          "public": "tcp://203.0.113.7:10000", "kind": "http", "peer": "198.51.100.4:51122",
          "round_trip_us": 23000}
STATS = {"role": "server", "version": "0.1.0", "pid": 4711, "name": "server-9000",
         "address": "[::]:9000", "state": "ready", "started": "2026-01-13T18:00:00Z",
         "uptime_ms": 7500000, "sessions_open": 2, "logins": 5, "logins_refused": 4, "strangers": 1,
         "totals": TOTALS, "tunnels": [TUNNEL]}
PEOPLE = """\
gotunnel server 0.1.0, pid 4711, [::]:9000, ready

Metrics Summary
Active Streams          3
Total Streams           125
Total Connections       120
Data Sent               3.4 MB
Data Received           12 kB
Total Transfer          3.4 MB
HTTP Requests           120
Avg / Min / Max Latency 45ms / 850µs / 1200ms
p50 / p90 / p99         40ms / 90ms / 1100ms
Status Codes            200: 110, 500: 7, 404: 3
Uptime                  2h 5m
Sessions Open           2
Logins Refused          4

 PORT  NAME         LOCAL           STREAMS  RECEIVED    SENT  HTTP      P50/P99  ROUND TRIP
10000  laptop:3000  localhost:3000    3/125     12 kB  3.4 MB   120  40ms/1100ms        23ms
"""
TITLES = ("PORT", "RECEIVED", "ROUND TRIP")


def http(body, head="HTTP/1.1 200 OK", length=None):
    body = body if isinstance(body, bytes) else body.encode()
    length = len(body) if length is None else length
    return f"{head}\r\nContent-Type: x\r\nContent-Length: {length}\r\n\r\n".encode() + body


def page(stats=STATS, **more):
    return http(json.dumps({**stats, **more}) + "\n")


class Admin:
    """A unix socket; answer(n) is what the n-th request gets, None keeps it waiting."""

    def __init__(self, path, answer=lambda n: page()):
        self.path, self.answer = str(path), answer
        self.asked, self.heads, self.held = 0, [], []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(16)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=[peer], daemon=True).start()

    def talk(self, peer):
        head = b""
        while b"\r\n\r\n" not in head:
            try:
                data = peer.recv(4096)
            except ConnectionError:
                data = b""
            if not data:            # only looked whether somebody is here
                peer.close()
                return
            head += data
        self.heads.append(head)
        answer = self.answer(self.asked)
        self.asked += 1
        if answer is None:
            self.held.append(peer)
            return
        try:
            for part in [answer] if isinstance(answer, bytes) else answer:
                peer.sendall(part)
        except OSError:
            pass
        peer.close()

    def close(self, remove=True):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self.thread.join(limit(5))
        for peer in self.held:
            peer.close()
        if remove and os.path.exists(self.path):
            os.unlink(self.path)


class Place:
    """A runtime folder of its own, with a path short enough for sockets."""

    def __init__(self, rig):
        self.rig = rig
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="gotunnel-"))
        self.folder = self.top / "gotunnel"
        self.folder.mkdir(mode=0o700)

    def admin(self, name="server-9000", *args):
        return self.rig.keep(Admin(self.folder / f"{name}.sock", *args))

    def env(self, **more):
        return self.rig.env(**{"RUNTIME_DIRECTORY": str(self.folder), **more})

    def run(self, *argv, **more):
        return self.rig.run("stats", *argv, env=self.env(), **more)

    def start(self, *argv, terminal=None, **more):
        argv = [BIN, "stats", *argv]
        if terminal is None:
            return self.rig.add(Proc(argv, env=self.env(**more), cwd=self.top))
        return self.rig.add(OnTerminal(argv, env=self.env(**more), cwd=self.top, **terminal))

    def close(self):
        shutil.rmtree(self.top, ignore_errors=True)


@pytest.fixture
def place(rig):
    return rig.keep(Place(rig))


def later(n):
    """The sample after n seconds: bytes, streams and requests went on."""
    more = {"received_bytes": 12000 + 1500 * n, "sent_bytes": 3400000 + 2000000 * n,
            "streams": 125 + 5 * n, "http_requests": 120 + 40 * n}
    return page(uptime_ms=7500000 + 1000 * n, totals={**TOTALS, **more},
                tunnels=[{**TUNNEL, **more}])


def test_for_people(place):
    admin = place.admin()
    done = place.run()
    assert (done.code, done.err.text, done.out.text) == (0, "", PEOPLE)
    assert admin.heads == [b"GET /api/stats HTTP/1.0\r\nHost: localhost\r\n\r\n"]


def test_a_client(place):
    stats = {k: v for k, v in STATS.items() if k not in ("sessions_open", "logins_refused")}
    place.admin("client-4711", lambda n: page(stats, role="client", address="203.0.113.7:9000",
                                              state="connecting", reconnects=3, tunnels=[]))
    text = place.run().out.text
    assert text.startswith("gotunnel client 0.1.0, pid 4711, 203.0.113.7:9000, connecting\n")
    assert "Reconnects              3\n" in text
    assert "Sessions" not in text and "Logins" not in text and "PORT" not in text


def test_what_is_missing_is_nothing(place):
    place.admin("x", lambda n: http('{"role":"server","totals":7,"tunnels":[7,{"port":"a"}]}'))
    done = place.run()
    assert done.code == 0
    assert "gotunnel server , pid 0, no address, state unknown" in done.out.text
    assert done.out.text.splitlines()[-1].split() == ["0", "-", "-", "0/0", "0", "B", "0", "B", "0",
                                                      "-", "-"]


def test_json(place):
    place.admin()
    done = place.run("--json")
    assert done.code == 0 and done.err.text == ""
    assert done.out.text == json.dumps(STATS) + "\n"


def test_json_becomes_one_line(place):
    place.admin("x", lambda n: http(json.dumps({**STATS, "name": "a\nb"}, indent="\t") + "\r\n\n"))
    done = place.run("--json")
    assert done.out.text.count("\n") == 1
    assert json.loads(done.out.text)["name"] == "a\nb"


def test_json_on_a_terminal_is_ascii(place):
    place.admin("x", lambda n: http(json.dumps({**STATS, "name": "a\u009b31m\u202e\x7f"},
                                               ensure_ascii=False)))
    proc = place.start("--json", terminal={"columns": 40})
    assert proc.wait_exit() == 0
    assert proc.out.data.isascii() and b"\x7f" not in proc.out.data
    assert json.loads(proc.out.text)["name"] == "a\u009b31m\u202e\x7f"


@pytest.mark.parametrize("body, why", [
    (b"", "expected near end of file"), (b"hello", "expected near 'hello'"),
    (b"[1]", "the JSON is not an object"), (b'{"role":"server"', "expected near end of file"),
    (b"[" * 100000, "maximum parsing depth reached"), (b'{"a":"\xff"}', "unable to decode byte"),
    (b'{"a":"\x1b"}', "control character"), (b'{"a":1}{', "end of file expected")])
@pytest.mark.parametrize("how", [[], ["--json"]])
def test_garbage_instead_of_json(place, body, why, how):
    place.admin("x", lambda n: http(body))
    done = place.run(*how)
    assert done.code == 5 and done.out.text == ""
    assert "x.sock answers, but not as gotunnel does: " in done.err.text
    assert why in done.err.text and "\x1b" not in done.err.text


def test_an_object_of_something_else(place):
    place.admin("x", lambda n: http("{}"))
    assert "the JSON has no role" in place.run().err.text


@pytest.mark.parametrize("answer, why", [
    (b"SSH-2.0-x\r\n", "that is not HTTP"), (b"HTTP/1.\r\n\r\n", "that is not HTTP"),
    (b"HTTP/1.1 xyz\r\n\r\n", "that is not HTTP"),
    (http("no", "HTTP/1.1 503 Not\x1b[31m now"), "503 Not\\x1b[31m now"),
    (http("{}", length=3), "the answer was cut short"),
    (b"x" * 100000, "that is not HTTP")])
def test_garbage_instead_of_http(place, answer, why):
    place.admin("x", lambda n: answer)
    done = place.run()
    assert done.code == 5 and done.out.text == ""
    assert f"answers, but not as gotunnel does: {why}" in done.err.text


def test_hostile_names(place):
    bad = "\x1b]0;owned\x07\r\n\u202e\u009b\x00"
    tunnel = {**TUNNEL, "name": bad, "local": bad}
    place.admin("x", lambda n: page(role="server" + bad, version=bad, address=bad, state=bad,
                                    tunnels=[tunnel], totals={**TOTALS, "status": {bad[:-1]: 1}}))
    done = place.run("--color", "never")
    text = done.out.text
    assert done.code == 0
    assert all(c == "\n" or c.isprintable() for c in text)
    assert "\\x1b]0;owned\\x07\\x0d\\x0a\\xe2\\x80\\xae\\xc2\\x9b\\x00" in text
    assert len(text.splitlines()) == len(PEOPLE.splitlines()) - 1   # no Logins: not a "server"


def test_no_answer(place):
    place.admin("x", lambda n: None)
    begin = time.monotonic()
    done = place.rig.run("stats", env=place.env(GOTUNNEL_TEST_TIME_SCALE="5"))
    assert done.code == 5
    assert "x.sock: no whole answer in 5s\n  is process " in done.err.text
    assert time.monotonic() - begin > 0.8


def test_an_answer_that_never_ends(place):
    def drip():
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            time.sleep(0.05)
            yield b" "
    place.admin("x", lambda n: drip())
    done = place.rig.run("stats", env=place.env(GOTUNNEL_TEST_TIME_SCALE="5"))
    assert done.code == 5 and "no whole answer in 5s" in done.err.text


def test_an_answer_without_bound(place):
    def flood():
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            yield b" " * (1 << 20)
    place.admin("x", lambda n: flood())
    done = place.run(seconds=30)
    assert done.code == 5
    assert "the answer is too long" in done.err.text or "no whole answer" in done.err.text


def test_closed_without_a_word(place):
    place.admin("x", lambda n: b"")
    done = place.run()
    assert done.code == 5 and "x.sock closed the connection without an answer" in done.err.text


# --- which one ---------------------------------------------------------------------

def test_nothing_runs(place):
    done = place.run()
    assert done.code == 5
    assert done.err.text == (
        "gotunnel stats: nothing is running here\n"
        "  start gotunnel server or gotunnel client; another user's: sudo gotunnel stats, "
        "or --socket PATH\n")
    place.folder.rmdir()
    assert place.run().code == 5


def test_dead_sockets_are_removed(place):
    place.admin("dead").close(remove=False)
    (place.folder / "file.sock").write_text("not a socket")
    (place.folder / "other").write_text("")
    assert place.run().code == 5
    assert sorted(os.listdir(place.folder)) == ["file.sock", "other"]
    place.admin("dead2").close(remove=False)
    place.admin("alive")
    assert place.run().code == 0
    assert sorted(os.listdir(place.folder)) == ["alive.sock", "file.sock", "other"]


def test_several(place):
    place.admin("server-9000")
    place.admin("client-17", lambda n: page(role="client", address="203.0.113.7:9000"))
    place.admin("wrong", lambda n: b"")
    done = place.run()
    assert done.code == 2
    folder, pid = place.folder, str(os.getpid())
    assert [line.split() for line in done.out.text.splitlines()] == [
        ["NAME", "PID", "ADDRESS", "TUNNEL"],
        ["client-17", pid, "203.0.113.7:9000", ":10000", "→", "localhost:3000", "--socket",
         f"{folder}/client-17.sock"],
        ["server-9000", pid, "[::]:9000", "1", "tunnel", "--socket", f"{folder}/server-9000.sock"],
        ["wrong", pid, "-", "-", "--socket", f"{folder}/wrong.sock"]]
    assert done.err.text == ("gotunnel stats: 3 are running here\n"
                             "  name one of them with --socket\n")
    # Who asks for JSON gets nothing else on stdout.
    asked = place.run("--json")
    assert asked.code == 2 and asked.out.text == "" and done.out.text in asked.err.text
    assert place.run("--socket", "server-9000").out.text == PEOPLE
    assert place.run("--socket", folder / "server-9000.sock").out.text == PEOPLE


def test_socket_that_is_not_there(place):
    done = place.run("--socket", "nowhere.sock")
    assert done.code == 5 and "nowhere.sock: No such file or directory" in done.err.text
    place.admin("dead").close(remove=False)
    done = place.run("--socket", place.folder / "dead.sock")
    assert done.code == 5 and "dead.sock: Connection refused" in done.err.text
    assert (place.folder / "dead.sock").exists()
    done = place.run("--socket", "x" * 200)
    assert done.code == 3 and "File name too long" in done.err.text


def as_nobody(place, *argv):
    """gotunnel stats of another user, whose only way in is --socket."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    env = place.env(RUNTIME_DIRECTORY="/nowhere")
    done = subprocess.run([need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
                           BIN, "stats", *map(str, argv)], env=env, capture_output=True, text=True,
                          cwd="/", timeout=limit(20))
    if "Permission denied" in done.stderr and "setpriv" in done.stderr:
        pytest.skip("another user cannot run the executable where it stands")
    return done


def test_not_permitted(place):
    path = pathlib.Path(place.admin("x").path)
    os.chmod(place.top, 0o755)
    for folder, own in ((0o700, 0o600), (0o755, 0o600)):
        os.chmod(place.folder, folder)
        os.chmod(path, own)
        done = as_nobody(place, "--socket", path)
        assert done.returncode == 3 and done.stdout == ""
        assert done.stderr == (
            f"gotunnel stats: {path} belongs to root (user 0): Permission denied\n"
            f"  try: sudo gotunnel stats --socket {path}\n")


def test_not_for_this_user(place):
    """The modes let it in, but the endpoint itself says nothing."""
    path = pathlib.Path(place.admin("x", lambda n: b"").path)
    for one, mode in ((place.top, 0o755), (place.folder, 0o755), (path, 0o666)):
        os.chmod(one, mode)
    done = as_nobody(place, "--socket", path)
    assert done.returncode == 3 and "belongs to root" in done.stderr


@pytest.mark.parametrize("make", ["link", "open"])
def test_a_folder_that_is_not_ours_alone(place, make):
    place.admin("x")
    if make == "link":
        place.folder.rename(place.top / "real")
        place.folder.symlink_to(place.top / "real")
    else:
        os.chmod(place.folder, 0o777)
    done = place.run()
    assert done.code == 3
    assert str(place.folder) in done.err.text
    assert {"link": "is a symbolic link", "open": "can be written by others"}[make] in done.err.text


# --- watching ---------------------------------------------------------------------

@pytest.mark.parametrize("how", [["--watch"], ["--watch=100ms"], ["--watch", "100ms"],
                                 ["-watch", "0.1s"], ["--watch", "50ms"], ["--watch", "--json"]])
def test_forms_of_watch(place, how):
    place.admin("x", later)
    if "0.1s" in how or "50ms" in how:
        done = place.run(*how)
        assert done.code == 2 and done.out.text == ""
        return
    proc = place.start(*how)
    proc.wait_out(r'^(gotunnel server|\{"role")')
    proc.signal(signal.SIGINT)
    assert proc.wait_exit() == 0


def test_watch_off_a_terminal(place):
    admin = place.admin("x", later)
    proc = place.start("--watch=100ms")
    until(lambda: proc.out.text.count("Metrics Summary") >= 4, what="four blocks")
    proc.signal(signal.SIGINT)
    assert proc.wait_exit() == 0
    assert "\x1b" not in proc.out.text and proc.err.text == ""
    blocks = proc.out.text.split("\n\ngotunnel server ")
    assert len(blocks) >= 4 and admin.asked >= 4
    assert "Rates                   received -, sent -, streams -, requests -\n" in blocks[0]
    for block in blocks[1:4]:
        assert ("Rates                   received 1.5 kB/s, sent 2.0 MB/s, streams 5.0/s, "
                "requests 40.0/s\n") in block
        titles, row = block.splitlines()[-2:]
        for title, value in (("RECEIVING", "1.5 kB/s"), ("SENDING", "2.0 MB/s"),
                             ("REQUESTS", "40.0/s")):
            end = titles.index(title) + len(title)
            assert row[:end].endswith(value)


def test_watch_json_is_a_line_a_period(place):
    place.admin("x", later)
    proc = place.start("--watch=100ms", "--json")
    until(lambda: proc.out.text.count("\n") >= 3, what="three lines")
    proc.signal(signal.SIGTERM)
    assert proc.wait_exit() == 0
    samples = [json.loads(line) for line in proc.out.text.splitlines()]
    assert [s["uptime_ms"] for s in samples[:3]] == [7500000, 7501000, 7502000]


def test_no_rates_over_a_restart(place):
    """Another process at the same socket: its numbers are no differences."""
    place.admin("x", lambda n: page(pid=4711 + n, uptime_ms=1000 * (n + 1)))
    proc = place.start("--watch=100ms")
    until(lambda: proc.out.text.count("Rates") >= 3, what="three blocks")
    proc.stop()
    assert proc.out.text.count("received -, sent -, streams -, requests -") >= 3
    assert "B/s" not in proc.out.text


@pytest.mark.parametrize("last", [b"", None])
def test_watch_ends_with_the_process(place, last):
    admin = place.admin("x", lambda n: later(n) if n < 2 or last is None else last)
    proc = place.start("--watch=100ms")
    proc.wait_out(r"B/s")
    if last is None:
        admin.close()
    assert proc.wait_exit() == 5
    assert proc.err.text == f"gotunnel stats: {admin.path}: it has ended\n"


def test_watch_while_it_does_not_answer(place):
    """Ctrl-C is heard while an answer is waited for."""
    place.admin("x", lambda n: later(n) if n < 1 else None)
    proc = place.start("--watch=100ms")
    proc.wait_out(r"Metrics")
    time.sleep(0.3)
    proc.signal(signal.SIGINT)
    assert proc.wait_exit(3) == 0


def test_watch_into_a_pipe_that_is_closed(place):
    place.admin("x", later)
    shell = place.rig.add(Proc(["bash", "-c", 'set -o pipefail; "$@" | head -1', "-", BIN, "stats",
                                "--watch=100ms"], env=place.env()))
    assert shell.wait_exit() == 0


def screen(raw, rows):
    """What a terminal shows: home, erase to the end of line and screen, colours."""
    lines, row, column, i = [""] * rows, 0, 0, 0
    while i < len(raw):
        c = raw[i]
        i += 1
        if c == "\x1b":
            assert raw[i] == "["
            end = next(k for k in range(i + 1, len(raw)) if raw[k].isalpha())
            code, i = raw[i + 1:end] + raw[end], end + 1
            if code == "H":
                row = column = 0
            elif code == "K":
                lines[row] = lines[row][:column]
            elif code == "J":
                lines[row] = lines[row][:column]
                lines[row + 1:] = [""] * (rows - row - 1)
            else:
                assert code[-1] == "m", code
        elif c == "\n":
            row, column = row + 1, 0
            assert row < rows, "it scrolls"
        elif c != "\r":
            lines[row] = lines[row][:column].ljust(column) + c + lines[row][column + 1:]
            column += 1
    return lines


@pytest.mark.parametrize("columns, rows", [(120, 40), (60, 40), (120, 20), (200, 10), (20, 4)])
def test_watch_on_a_terminal(place, columns, rows):
    tunnels = [{**TUNNEL, "port": 10000 + i, "name": f"東京-{i}"} for i in range(30)]
    place.admin("x", lambda n: page(uptime_ms=7500000 + 1000 * n, tunnels=tunnels))
    proc = place.start("--watch=100ms", terminal={"columns": columns, "rows": rows})
    until(lambda: proc.out.raw.count("\x1b[J") >= 3, what="three screens")
    whole = proc.out.raw[:proc.out.raw.rindex("\x1b[J") + 3]
    lines = screen(whole, rows)
    assert lines[0].startswith("gotunnel server 0.1"[:columns - 1])
    assert "\x1b[?" not in whole and "\x1b[2J" not in whole
    for line in lines:
        wide = sum(2 if c in "東京" else 1 for c in line)
        assert wide <= columns
    assert any(line.endswith("…") for line in lines) == (columns < 120)
    text = "\n".join(lines)
    if rows == 40:
        assert "10018" in text and "10019" not in text and lines[38] == "and 11 more"
        assert all(title in text for title in TITLES) == (columns == 120)
    else:
        assert "PORT" not in text
    proc.type("\x03")
    assert proc.wait_exit() == 0


def test_once_on_a_terminal(place):
    """No cursor is moved, lines are cut to the width, and colour is where it belongs."""
    place.admin()
    proc = place.start(terminal={"columns": 50})
    assert proc.wait_exit() == 0
    assert "\x1b[32mgotunnel server" in proc.out.raw and "\x1b[H" not in proc.out.raw
    lines = proc.out.text.splitlines()
    assert lines[0] == "gotunnel server 0.1.0, pid 4711, [::]:9000, ready"
    assert max(map(len, lines)) == 50 and lines[-1].endswith("…")
    plain = place.start("--color", "never", terminal={"columns": 120})
    assert plain.wait_exit() == 0
    assert "\x1b" not in plain.out.raw and plain.out.text == PEOPLE


def test_argv0(place, tmp_path):
    place.admin()
    link = tmp_path / "gotunnel-stats"
    link.symlink_to(BIN)
    done = place.rig.run(path=str(link), env=place.env())
    assert done.out.text == PEOPLE
