"""The bench: its load sees what goes wrong, and what it writes can be read."""
import json
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as xml

import pytest

from kit import limit, ports, until
from kit.network import Network
from kit.relay import Relay
from kit.stream import connect

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from plot import plot  # noqa: E402
from procs import build_load  # noqa: E402
from results import Results, rows_table, spread, table  # noqa: E402
from rows import Figure, Row  # noqa: E402
from targets import Targets  # noqa: E402


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build_load(tmp_path_factory.mktemp("load"))


@pytest.fixture
def origin(path):
    port = ports.one()
    proc = subprocess.Popen([path, "origin", str(port)])

    def listens():
        try:
            connect("127.0.0.1", port).close()
            return True
        except OSError:
            return False
    until(listens, what="the load's origin")
    yield port
    proc.kill()
    proc.wait()


def load(path, *words):
    done = subprocess.run([path, *map(str, words)], capture_output=True, text=True,
                          timeout=limit(60))
    return json.loads(done.stdout)


MODES = (("down", 3, 10 ** 7), ("up", 3, 10 ** 7), ("flow", 4, 1, 1), ("flood", 4, 1, 1),
         ("echo", 2, 1), ("paced", 2, 1, 500), ("connect", 2, 1), ("storm", 4, 20))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode[0])
def test_modes_go_through_what_loses_nothing(path, origin, mode):
    relay = Relay(("127.0.0.1", origin))
    said = load(path, mode[0], relay.port, *mode[1:])
    relay.close()
    assert "error" not in said and said["rate"] > 0


@pytest.mark.parametrize("fault", ["drop", "repeat"])
@pytest.mark.parametrize("mode", ["down", "flow"])
def test_wrong_bytes_are_seen(path, origin, mode, fault):
    relay = Relay(("127.0.0.1", origin), [fault])
    said = load(path, mode, relay.port, 1, *((1, 0) if mode == "flow" else (10 ** 7,)))
    relay.close()
    assert "lost" in said.get("error", ""), said


@pytest.mark.parametrize("mode", ["down", "echo"])
def test_a_stall_is_told(path, origin, mode):
    network = Network(("127.0.0.1", origin))
    try:
        network.pause()
        said = load(path, mode, network.port, 1, 10 ** 6 if mode == "down" else 30)
        assert said.get("error", "").startswith("a stall"), said
    finally:
        network.proc.kill()


ROW = Row("r", None, (Figure("bulk down 1", "MB/s"), Figure("cost", "s/GB", 2, less=True)))


def results():
    r = Results()
    for system, rates in (("direct", (3, 1, 2)), ("haproxy2", (1, 2)), ("gotunnel-plain", (4, 4))):
        for rate in rates:
            r.add(ROW, system, (rate, None if system == "direct" else rate / 8), None)
    r.add(ROW, "bore", None, "lost | bytes")
    return r


def test_tables():
    assert spread([3, 1, 2000]) == "3 (1–2,000)" and spread([1.25], 1) == "1.2" and not spread([])
    assert table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x/y |\n"
    lines = rows_table(results(), [ROW], ["direct", "haproxy2", "bore"]).split("\n")
    assert lines[2] == "| bulk down 1, MB/s | 2 (1–3) | 2 (1–2) | fails: lost / bytes |"
    assert lines[3] == "| cost, s/GB |  | 0.19 (0.12–0.25) | fails |"


def test_a_failed_row_has_no_median():
    r = results()
    assert r.median("bulk down 1", "haproxy2") == 1.5
    r.add(ROW, "haproxy2", None, "a stall")
    assert r.median("bulk down 1", "haproxy2") is None


def test_targets_are_met_or_missed():
    t = Targets(results())
    t.ratio("bulk down 1", "gotunnel-plain", least=2.5, to=("haproxy2", "bore"))
    t.ratio("bulk down 1", "gotunnel-plain", least=3, to=("haproxy2",))
    t.ratio("cost", "gotunnel-plain", most=1, to=("haproxy2",))
    t.value("cost", "gotunnel-plain", most=0.5)
    t.ratio("cost", "gotunnel-plain", most=1, to=("chisel",))
    assert [line[4] for line in t.lines] == ["met", "missed", "missed", "met"]
    assert t.lines[0][2] == "2.67 × haproxy2"


def test_the_plot_is_xml_with_a_bar_a_system():
    svg = xml.fromstring(plot(results(), [("Plain <1>", ["direct", "haproxy2", "bore"]),
                                          ("Encrypted", ["gotunnel-plain"])]))
    assert len(svg.findall("{http://www.w3.org/2000/svg}rect")) == 3
    assert float(svg.get("height")) > 100
