"""What gotunnel is to reach, each told by figures of one run."""
import os
import subprocess
import tempfile

from links import FAR, FAST, ONE, TEN
from results import table
from rows import READERS

PLAIN, ENCRYPTED, BUNDLE = "gotunnel-plain", "gotunnel-encrypted", "gotunnel-bundle"
TLS_PEERS = ("haproxy2-tls", "rathole-tls", "ssh-R", "chisel", "frp-nomux-tls", "frp-mux-tls")
MUXED = ("rathole", "bore", "ssh-R", "chisel", "frp-mux")
BULK = ("bulk down 1", "bulk up 1", "bulk down 16", "bulk up 16")
CONNECT = ("connections, 1 at a time", "connections, 64 at a time")
ECHO = ("echo 1 conn p50", "echo 1 conn p99")


# The load, the origin and a client beside each worker.
FREE = (os.cpu_count() or 1) >= 8


class Targets:
    """Lines of the table; one whose figures are missing is left out."""

    def __init__(self, results):
        self.results, self.lines = results, []

    def add(self, what, system, text, target, met):
        self.lines.append([what, system, text, target, "met" if met else "missed"])

    def best(self, figure, systems, less):
        found = [(v, s) for s in systems if (v := self.results.median(figure, s)) is not None]
        return (min if less else max)(found) if found else (None, None)

    def ratio(self, figure, system, least=None, most=None, to=(), of=None, note=""):
        """The figure over the best of `to`, or over the system's own figure `of`."""
        mine = self.results.median(figure, system)
        theirs, whose = self.best(of or figure, to or (system,), most is not None)
        if mine is None or not theirs:
            return
        value = mine / theirs
        against = whose if whose != system else f"own {of}"
        self.add(figure + note, system, f"{value:.2f} × {against}",
                 f"≥ {least:g}" if least is not None else f"≤ {most:.3g}",
                 value >= least if least is not None else value <= most)

    def value(self, figure, system, least=None, most=None, above=None, digits=1):
        """The figure itself, or what it is above another."""
        mine = self.results.median(figure, system)
        base = self.results.median(above, system) if above else 0
        if mine is None or base is None:
            return
        over = f" above {above.split(': ')[-1]}" if above else ""
        self.add(figure, system, f"{mine - base:.{digits}f}{over}",
                 f"≥ {least:g}" if least is not None else f"≤ {most:.3g}",
                 mine - base >= least if least is not None else mine - base <= most)


def on_loopback(t):
    for figure in BULK:
        t.ratio(figure, PLAIN, least=1.1 if figure.endswith(" 1") else 1.25, to=("haproxy2",))
        t.ratio(f"{figure}, CPU of both ends", PLAIN, most=1, to=("haproxy2",))
    t.ratio("echo 64 conns", PLAIN, least=1.5, to=("haproxy2",))
    for figure in CONNECT:
        t.ratio(figure, PLAIN, least=1.1, to=("haproxy2",))
    for mine in (ENCRYPTED, BUNDLE):
        for figure in BULK:
            t.ratio(figure, mine, least=0.65, to=(PLAIN,))
            t.ratio(figure, mine, least=1.4, to=TLS_PEERS)
        t.ratio("echo 64 conns", mine, least=1.5, to=TLS_PEERS)
        for figure in CONNECT:
            t.ratio(figure, mine, least=2, to=TLS_PEERS)
    for figure in ECHO:
        t.ratio(figure, PLAIN, most=1.1, to=("haproxy2",))
    for figure in (*BULK, "echo 64 conns", *CONNECT):
        t.ratio(figure, PLAIN, least=1.3, to=MUXED)
        t.ratio(figure, PLAIN, least=1, to=("frp-nomux",))
    for figure in ECHO:
        t.ratio(figure, PLAIN, most=1 / 1.3, to=MUXED)
        t.ratio(figure, PLAIN, most=1, to=("frp-nomux",))


def beside_bulk(t):
    echo, download = "echo beside a download p99", "download beside an echo"
    for mine, peers in ((PLAIN, ("haproxy2", "rathole", "bore", "frp-nomux", "frp-mux")),
                        (ENCRYPTED, TLS_PEERS), (BUNDLE, TLS_PEERS)):
        t.ratio(echo, mine, most=1.5, to=("direct",))
        rate = t.results.median(download, mine) or 0
        able = [p for p in peers if (t.results.median(download, p) or 0) >= rate / 2]
        if able:
            t.ratio(echo, mine, most=1, to=able, note=", peers that move half as much")
        t.ratio(download, mine, least=0.9, of="bulk down 1")
        t.value("100 downloads, Jain's index", mine, least=0.95, digits=3)
        t.ratio(f"bulk down 1 beside {READERS} stalled readers", mine, least=0.9, of="bulk down 1")


def on_links(t):
    for mine in (ENCRYPTED, PLAIN):
        for link, share, p50, p99 in ((FAST, 0.97, 5, 12), (TEN, 0.95, 10, None),
                                      (ONE, 0.95, 40, None)):
            t.ratio(f"{link}: download", mine, least=share, to=("direct",))
            t.value(f"{link}: echo beside the download p50", mine, most=p50,
                    above=f"{link}: echo alone p50")
            if p99:
                t.value(f"{link}: echo beside the download p99", mine, most=p99,
                        above=f"{link}: echo alone p99")
        t.ratio(f"{FAR}: download after 2 s", mine, least=0.95, to=("direct",))
        t.value(f"{FAR}: new connection to its first byte, p50", mine, most=55)
        t.value(f"{FAST}: share beside a foreign flow", mine, least=0.4, digits=2)


def memory(t):
    for mine in (PLAIN, ENCRYPTED):
        crowd = "10,000 idle connections: "
        t.value(f"{crowd}server's memory", mine, most=15)
        t.value(f"{crowd}client's memory", mine, most=15)
        t.value(f"{crowd}set up", mine, most=3, digits=2)
        t.value(f"{crowd}CPU of both ends", mine, most=2)
        t.ratio("memory 60 s after the load", mine, most=1.5, of="memory at rest")
    t.value("memory of the server for an idle session", ENCRYPTED, most=60)


def workers(t):
    t.ratio("2 sessions, 2 workers", ENCRYPTED, least=1.6 if FREE else 1, of="2 sessions, 1 worker")


def executable(t, binary):
    """Its size without symbols."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "stripped")
        if subprocess.run(["strip", "-o", out, binary], capture_output=True).returncode == 0:
            size = os.stat(out).st_size / 2 ** 20
            t.add("executable, stripped, MiB", "gotunnel", f"{size:.2f}", "≤ 1", size <= 1)


def targets_table(results, binary):
    t = Targets(results)
    for part in (on_loopback, beside_bulk, on_links, memory, workers):
        part(t)
    executable(t, binary)
    return table(["figure", "system", "here", "target", ""], t.lines)
