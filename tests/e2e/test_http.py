"""HTTP through the tunnel, with curl; WebSocket; server-sent events."""
import hashlib
import re
import socket
import subprocess

import pytest

from kit import limit, need, websocket
from kit.http_service import SEED, Service
from kit.proc import Proc
from kit.stream import connect, counters

pytestmark = pytest.mark.path
MB = 1000 * 1000
BIG = 200 * MB


@pytest.fixture
def web(rig):
    return rig.keep(Service())


def curl(*argv, seconds=60):
    return subprocess.run([need("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*",
                           *map(str, argv)],
                          capture_output=True, timeout=limit(seconds), check=True).stdout


def url(way, where):
    host = f"[{way.host}]" if ":" in way.host else way.host
    return f"http://{host}:{way.port}{where}"


def sha256(path):
    sha = hashlib.sha256()
    with open(path, "rb") as f:
        while data := f.read(1 << 20):
            sha.update(data)
    return sha.hexdigest()


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    """A file of 200 MB of counters, made once."""
    path = tmp_path_factory.mktemp("body") / "body"
    with open(path, "wb") as f:
        for at in range(0, BIG, MB):
            f.write(counters(SEED, at, MB))
    yield path
    path.unlink()


@pytest.mark.parametrize("size", [0, 1, MB])
def test_small_bodies_both_ways(path, web, tmp_path, size):
    way = path(web)
    data = counters(SEED, 0, size)
    assert curl(url(way, f"/bytes/{size}")) == data
    sent = tmp_path / "sent"
    sent.write_bytes(data)
    answer = curl("--request", "PUT", "--data-binary", f"@{sent}", url(way, "/sum"))
    assert answer.decode().split() == [hashlib.sha256(data).hexdigest(), "0"]


def test_200_mb_download(path, web, body, tmp_path):
    way = path(web)
    got = tmp_path / "got"
    curl("--output", got, url(way, f"/bytes/{BIG}"), seconds=120)
    assert got.stat().st_size == BIG and sha256(got) == sha256(body)
    got.unlink()


def test_200_mb_upload(path, web, body):
    way = path(web)
    answer = curl("--upload-file", body, url(way, "/sum"), seconds=120)
    assert answer.decode().split() == [sha256(body), "0"]


def test_200_in_parallel(path, web, tmp_path):
    way = path(web)
    size = 256 * 1024
    curl("--parallel", "--parallel-immediate", "--parallel-max", "200",
         "--output", f"{tmp_path}/got-#1", url(way, f"/bytes/{size}?[1-200]"), seconds=120)
    wanted = counters(SEED, 0, size)
    wrong = [i for i in range(1, 201) if (tmp_path / f"got-{i}").read_bytes() != wanted]
    assert not wrong


def test_many_requests_on_one_connection(path, web, tmp_path):
    way = path(web)
    said = curl("--write-out", "%{num_connects}\\n", "--output", "/dev/null",
                url(way, "/bytes/3000?[1-300]")).decode().split()
    assert sum(map(int, said)) == 1 and len(said) == 300


def test_server_sent_events_come_one_by_one(path, web, rig):
    """Each event has to arrive before the service even sends the next one."""
    way = path(web)
    reader = rig.add(Proc([need("curl"), "--silent", "--no-buffer", "--noproxy", "*",
                           url(way, "/events")]))
    for number in range(web.events):
        reader.wait_out(rf"^data: event {number}$")
        assert f"event {number + 1}" not in reader.out.text
        web.arrived.release()
    assert reader.wait_exit() == 0
    assert len(re.findall(r"^data: ", reader.out.text, re.M)) == web.events


def test_websocket(path, serve):
    service = serve(websocket.echo)
    way = path(service)
    with connect(way.host, way.port) as sock:
        peer = websocket.visit(sock, "example.test")
        payloads = [b"", b"hello", bytes(125), bytes(126), bytes(65535), bytes(65536),
                    counters(5, 0, 1 << 20)]
        for payload in payloads:
            peer.send(websocket.BINARY, payload)
            assert peer.receive() == (True, websocket.BINARY, payload)
        peer.send(websocket.TEXT, b"first ", final=False)
        peer.send(0, b"second")
        assert peer.receive() == (False, websocket.TEXT, b"first ")
        assert peer.receive() == (True, 0, b"second")
        peer.send(websocket.PING, b"are you there")
        assert peer.receive() == (True, websocket.PONG, b"are you there")
        peer.send(websocket.CLOSE, b"\x03\xe8bye")
        assert peer.receive() == (True, websocket.CLOSE, b"\x03\xe8bye")
    assert service.result() == len(payloads) + 4


def test_50_websockets_at_once(one_path, serve):
    service = serve(websocket.echo)
    way = one_path(service)
    socks = [connect(way.host, way.port) for _ in range(50)]
    peers = [websocket.visit(s, "example.test") for s in socks]
    for turn in range(10):
        for number, peer in enumerate(peers):
            peer.send(websocket.TEXT, f"{turn} to {number}".encode())
        for number, peer in enumerate(peers):
            assert peer.receive()[2] == f"{turn} to {number}".encode()
    for peer in peers:
        peer.send(websocket.CLOSE, b"")
        assert peer.receive()[1] == websocket.CLOSE
    for s in socks:
        s.close()


def test_http_10_answer_that_ends_with_the_connection(path, serve):
    """Without a length only the FIN says that the answer is whole."""
    def old(sock):
        websocket.read_head(sock)
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + counters(SEED, 0, 3 * MB))

    way = path(serve(old))
    assert curl("--http1.0", url(way, "/")) == counters(SEED, 0, 3 * MB)


def test_a_truncated_answer_is_an_error_for_curl(path, serve):
    """The service resets half way: curl must not take it for the whole file."""
    def abort(sock):
        websocket.read_head(sock)
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + counters(SEED, 0, MB))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    way = path(serve(abort))
    with pytest.raises(subprocess.CalledProcessError) as failure:
        curl(url(way, "/"))
    assert failure.value.returncode == 56       # failure in receiving data
