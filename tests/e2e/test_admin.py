"""The admin endpoint of a running server and client, seen with curl, promtool and Prometheus."""
import json
import os
import re
import signal
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest

from kit import limit, need, ports, until
from kit.http_service import Service
from kit.origin import echo
from kit.proc import Proc
from kit.stream import connect, read_exactly


def get(port, path, host=None, **fields):
    """(status, body) of a GET on a loopback port."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=fields)
    if host:
        request.add_header("Host", host)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=limit(10)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def counted(proc):
    return json.loads(get(proc.admin, "/api/stats")[1])["totals"]["http_requests"]


@pytest.fixture
def both(rig):
    """A server and a client with admin addresses, and a web service; load(n) asks n times."""
    web = rig.keep(Service())
    server = rig.server(admin=f"127.0.0.1:{ports.one()}")
    client = rig.client(server, f"http://127.0.0.1:{web.port}", wait=False, name="desk:1",
                        admin=f"127.0.0.1:{ports.one()}")
    client.forwarding()
    for proc in (server, client):
        proc.admin = int(proc.argv[proc.argv.index("--admin") + 1].rsplit(":", 1)[1])
    client.server = server

    def load(count, where="/bytes/1000"):
        subprocess.run([need("curl"), "-sS", "--noproxy", "*", "-o", "/dev/null",
                        f"http://127.0.0.1:{client.port}{where}?[1-{count}]"], check=True,
                       timeout=limit(60))
        load.asked += count
        for proc in (server, client):
            until(lambda: counted(proc) == load.asked, 10, f"{load.asked} requests")
    load.asked = 0
    client.load = load
    return client


def test_status_and_tunnels(both):
    both.load(10)
    for proc, role in ((both.server, "server"), (both, "client")):
        status = json.loads(get(proc.admin, "/api/status")[1])
        assert (status["role"], status["pid"], status["state"]) == (role, proc.pid, "ready")
        assert get(proc.admin, "/healthz") == (200, "ok\n")
        assert get(proc.admin, "/readyz") == (200, "ready\n")
        tunnels = json.loads(get(proc.admin, "/api/tunnels")[1])
        assert tunnels["uri"] == "/api/tunnels"
        one, = tunnels["tunnels"]
        assert one["name"] == "desk:1" and one["proto"] == "http"
        assert one["public_url"] == f"http://{'localhost' if role == 'server' else '127.0.0.1'}:" \
                                    f"{both.port}"
        assert one["metrics"]["http"]["count"] == 10
        assert set(one["metrics"]["conns"]) == {"count", "gauge", "rate1", "rate5", "rate15",
                                                "p50", "p90", "p95", "p99"}
        stats = json.loads(get(proc.admin, "/api/stats")[1])
        assert stats["totals"]["http_requests"] == 10
        assert stats["totals"]["status"] == {"200": 10}
        until(lambda: json.loads(get(proc.admin, "/api/stats")[1])["tunnels"][0][
            "round_trip_us"] > 0, 10, "a round trip")


def test_readiness_follows_the_session(both):
    """Liveness does not."""
    both.server.signal(signal.SIGSTOP)
    both.server.signal(signal.SIGCONT)
    both.server.kill()
    until(lambda: get(both.admin, "/readyz")[0] == 503, 10, "not ready")
    assert get(both.admin, "/readyz")[1] == "resuming\n"
    assert get(both.admin, "/healthz")[0] == 200
    assert json.loads(get(both.admin, "/api/tunnels")[1])["tunnels"] == []


def test_draining_server_is_not_ready(rig, serve):
    server = rig.server(admin=f"127.0.0.1:{ports.one()}")
    admin = int(server.argv[server.argv.index("--admin") + 1].rsplit(":", 1)[1])
    client = rig.client(server, serve(echo))
    with connect("127.0.0.1", client.port) as s:
        s.sendall(b"x")
        read_exactly(s, 1)
        server.signal(signal.SIGTERM)
        until(lambda: get(admin, "/readyz") == (503, "draining\n"), 10, "draining")
    assert server.wait_exit() == 0


def test_strangers_to_the_address_are_refused(both):
    """A page in a browser must not read it: neither by rebinding nor from its own origin."""
    assert get(both.admin, "/metrics", host="evil.example")[0] == 403
    assert get(both.admin, "/metrics", Origin="http://evil.example")[0] == 403
    assert get(both.admin, "/metrics", host="localhost")[0] == 200


def test_page_passes_promtool(both):
    both.load(30)
    both.load(3, "/none")
    for proc in (both.server, both):
        page = get(proc.admin, "/metrics")[1]
        done = subprocess.run([need("promtool"), "check", "metrics"], input=page, text=True,
                              capture_output=True, timeout=limit(30))
        assert done.returncode == 0 and not done.stdout + done.stderr, done
        port = both.port
        assert f'gotunnel_http_requests_total{{port="{port}"}} 33\n' in page
        assert f'gotunnel_http_responses_total{{port="{port}",class="4xx"}} 3\n' in page
        # No label that a peer could choose.
        assert set(re.findall(r'[{,](\w+)="', page)) <= {"port", "code", "class", "le", "role",
                                                         "version"}
        assert "desk" not in page


def test_sums_never_fall(rig, both):
    """What a tunnel has counted stays when it is gone, and goes on when it is back."""
    both.load(7)
    assert both.stop() == 0

    def total():
        page = get(both.server.admin, "/metrics")[1]
        return sum(int(n) for n in re.findall(r"^gotunnel_http_requests_total\{.*\} (\d+)$", page,
                                              re.M))

    until(lambda: "gotunnel_tunnels 0" in get(both.server.admin, "/metrics")[1], 10, "its end")
    assert total() == 7
    series = f'gotunnel_http_requests_total{{port="{both.port}"}} 7'
    assert series in get(both.server.admin, "/metrics")[1]
    stats = json.loads(get(both.server.admin, "/api/stats")[1])
    assert stats["totals"]["status"] == {"200": 7} and stats["tunnels"] == []


def test_a_real_prometheus_agrees(rig, both, tmp_path):
    """Scraped by Prometheus, the numbers are those of the load that was sent."""
    port = ports.one()
    config = tmp_path / "prometheus.yml"
    config.write_text(f"""
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: gotunnel
    static_configs: [{{targets: ['127.0.0.1:{both.server.admin}', '127.0.0.1:{both.admin}']}}]
""")
    prometheus = Proc([need("prometheus"), f"--config.file={config}",
                       f"--storage.tsdb.path={tmp_path}/data",
                       f"--web.listen-address=127.0.0.1:{port}"], env={"PATH": "/usr/bin:/bin"})
    rig.keep(type("Closer", (), {"close": lambda self: prometheus.kill()})())
    prometheus.wait_err("Server is ready", 60)

    def ask(query):
        got = json.loads(get(port, "/api/v1/query?query=" + urllib.parse.quote(query))[1])
        return {r["metric"]["instance"]: float(r["value"][1]) for r in got["data"]["result"]}

    until(lambda: len(ask("up == 1")) == 2, 30, "the first scrape of both")
    both.load(40)
    wanted = {f"127.0.0.1:{p.admin}": 40 for p in (both, both.server)}
    until(lambda: ask("sum by (instance) (gotunnel_http_requests_total)") == wanted, 30,
          "all requests")
    total = "sum by (instance) (gotunnel_http_requests_total)"
    span = f"max_over_time(({total})[5m:250ms]) - min_over_time(({total})[5m:250ms])"
    until(lambda: ask(span) == wanted, 30, "the difference")
    # increase() extrapolates over the few samples there are.
    grown = ask("sum by (instance) (increase(gotunnel_http_requests_total[5m]))")
    assert len(grown) == 2 and all(30 < n < 120 for n in grown.values()), grown
    sent = ask("sum by (instance) (gotunnel_sent_bytes_total)")
    assert all(40 * 1000 < n < 40 * 1400 for n in sent.values()), sent
    # Not a number while the series has one sample only.
    until(lambda: len([n for n in ask("histogram_quantile(0.5, sum by (instance, le) (rate("
                                      "gotunnel_http_latency_seconds_bucket[5m])))").values()
                       if 0 < n < 60]) == 2, 30, "the median")


def test_a_tunnel_may_not_expose_it(rig, both):
    said = rig.run("client", "--server", f"127.0.0.1:{both.server.control}", "--local", "4040",
                   "--admin", "127.0.0.1:4040")
    assert said.code == 2
    assert "--local: that is the admin endpoint, which no tunnel may expose" in said.err.text
    # Nor by another name for the same place, which shows when it is dialled.
    admin = ports.one()
    client = rig.client(both.server, f"0.0.0.0:{admin}", admin=f"127.0.0.1:{admin}",
                        state="other", name="other:1", wait=False)
    client.forwarding()
    with connect("127.0.0.1", client.port) as s:
        try:
            s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert s.recv(100) == b""
        except ConnectionError:
            pass
    client.wait_err("is the admin endpoint of this client and is not exposed")


@pytest.mark.parametrize("value, code, what", [
    ("0.0.0.0:4040", 2, "--admin 0.0.0.0:4040: it is not an address of this machine alone"),
    ("127.0.0.1", 2, "--admin 127.0.0.1: the port is missing"),
    ("192.0.2.1:4040", 2, "--admin 192.0.2.1:4040: it is not an address of this machine alone"),
])
def test_bad_addresses(rig, value, code, what):
    for command in ("server", "client"):
        argv = [command, "--admin", value, *(["--local", "1"] if command == "client" else [])]
        said = rig.run(*argv, "--state-dir", rig.folder / "s")
        assert said.code == code and what in said.err.text and "--admin 127.0.0.1:4040" in said.err.text


def test_address_in_use(rig, both):
    said = rig.run("client", "--server", f"127.0.0.1:{both.server.control}", "--local", "1",
                   "--admin", f"127.0.0.1:{both.admin}", "--state-dir", rig.folder / "x")
    assert said.code == 7
    assert f"cannot listen on --admin 127.0.0.1:{both.admin}: Address already in use" in said.err.text


def test_off(rig, serve):
    server = rig.server(admin="off")
    rig.client(server, serve(echo), admin="off")
    assert not os.path.exists(f"{rig.run_dir}/gotunnel") or \
        os.listdir(f"{rig.run_dir}/gotunnel") == []


def test_sockets_of_both(rig, serve):
    """Named by the port and by the pid, for the owner alone, gone at the end."""
    client = rig.tunnel(serve(echo))
    folder = f"{rig.run_dir}/gotunnel"
    assert sorted(os.listdir(folder)) == [f"client-{client.pid}.sock",
                                          f"server-{client.server.control}.sock"]
    assert os.stat(folder).st_mode & 0o777 == 0o700
    for name in os.listdir(folder):
        assert os.stat(f"{folder}/{name}").st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{folder}/{name}")
            s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert s.recv(1000).startswith(b"HTTP/1.")
    client.stop()
    client.server.stop()
    assert os.listdir(folder) == []
