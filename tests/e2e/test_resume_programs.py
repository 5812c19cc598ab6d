"""Real programs whose tunnel loses its connection again and again, and who do not notice."""
import hashlib
import subprocess

import pytest

from kit import limit, need, websocket
from kit.http_service import SEED, Service
from kit.network import FIN, KINDS, RST, SILENCE
from kit.place import DEAD, Place, scaled
from kit.proc import Proc
from kit.services import POSTGRES, Postgres, Sshd
from kit.stream import MIB, counters, read_exactly


def place_of(rig, service, kind):
    return Place(rig, f"127.0.0.1:{service.port}", fast=kind == SILENCE)


def away(kind):
    """Seconds of an outage that both ends notice."""
    return 0.6 if kind != SILENCE else scaled(DEAD) + 0.5


def rounds(kind):
    """A silence takes its time."""
    return range(1 if kind == SILENCE else 3)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_ssh_is_interactive(rig, kind):
    sshd = Sshd(rig)
    place = place_of(rig, sshd, kind)
    shell = rig.add(Proc([need("ssh"), *map(str, sshd.options(place)), sshd.target(place), "cat"],
                         stdin=subprocess.PIPE))

    shell.say("before")
    shell.wait_out("^before$", 20)
    for number in rounds(kind):
        place.down(kind)
        shell.say(f"line {number}")
        assert not shell.out.wait(f"^line {number}$", 0, away(kind))
        place.up()
        shell.wait_out(f"^line {number}$", 30)
    shell.popen.stdin.close()
    assert shell.wait_exit() == 0


@pytest.mark.parametrize("way", ["up", "down"])
def test_ssh_pipes_through_cuts(rig, way):
    """20 MiB one way, cut ten times: the bytes are right, or ssh's MAC would have said so."""
    sshd = Sshd(rig)
    place = place_of(rig, sshd, RST)
    data = counters(9, 0, 20 * MIB)
    (sshd.folder / "data").write_bytes(data)
    place.network.storm((RST, FIN), 1, 2 * MIB, 10, 5, early=(20, 3000))
    ssh = [need("ssh"), *map(str, sshd.options(place)), sshd.target(place)]
    if way == "up":
        done = subprocess.run([*ssh, "sha256sum"], input=data, capture_output=True,
                              timeout=limit(60))
        assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    else:
        done = subprocess.run([*ssh, f"cat {sshd.folder}/data"], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=limit(60))
        assert done.stdout == data
    assert done.returncode == 0
    assert place.network.count().cuts == 10


def test_a_transaction_of_psql(rig, kind):
    """BEGIN before the first cut, COMMIT after the last."""
    postgres = Postgres(rig)
    place = place_of(rig, postgres, kind)
    psql = rig.add(Proc([need("psql", POSTGRES), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                         "-h", place.host, "-p", place.port, "-U", "tester", "postgres"],
                        stdin=subprocess.PIPE))

    psql.say("CREATE TABLE t (n integer); BEGIN; INSERT INTO t VALUES (0); SELECT 'begun';")
    psql.wait_out("^begun$", 20)
    for number in rounds(kind):
        place.down(kind)
        psql.say(f"INSERT INTO t SELECT generate_series(1, 1000); SELECT 'round {number}';")
        assert not psql.out.wait(f"^round {number}$", 0, away(kind))
        place.up()
        psql.wait_out(f"^round {number}$", 30)
    psql.say("COMMIT; SELECT count(*) || ' rows' FROM t;")
    psql.wait_out(f"^{len(rounds(kind)) * 1000 + 1} rows$", 20)
    psql.popen.stdin.close()
    assert psql.wait_exit() == 0


def test_a_websocket(rig, serve, kind):
    """Frames that were sent while there was no network come back, in order."""
    service = serve(websocket.echo)
    place = Place(rig, service, fast=kind == SILENCE)
    with place.visitor() as s:
        peer = websocket.visit(s, "localhost")
        for number in rounds(kind):
            place.down(kind)
            for n in range(5):
                peer.send(websocket.TEXT, b"round %d, %d" % (number, n))
            peer.send(websocket.BINARY, counters(2, 0, 200000))
            silence_of(s, away(kind))
            place.up()
            for n in range(5):
                assert peer.receive() == (True, websocket.TEXT, b"round %d, %d" % (number, n))
            assert peer.receive() == (True, websocket.BINARY, counters(2, 0, 200000))
        peer.send(websocket.CLOSE, b"\x03\xe8")
        assert peer.receive() == (True, websocket.CLOSE, b"\x03\xe8")
    assert service.result() == len(rounds(kind)) * 6 + 1
    assert service.accepted == 1


def silence_of(sock, seconds):
    sock.settimeout(seconds)
    with pytest.raises(TimeoutError):
        read_exactly(sock, 1)
    sock.settimeout(limit(60))


@pytest.mark.parametrize("plaintext", [None, True], ids=["encrypted", "plaintext"])
def test_a_large_download(rig, kind, plaintext):
    """curl, 64 MiB, with an outage after every ten or so."""
    web = rig.keep(Service())
    size, cuts = 64 * MIB, 2 if kind == SILENCE else 5
    place = Place(rig, f"127.0.0.1:{web.port}", fast=kind == SILENCE, plaintext=plaintext)
    place.network.storm(kind, 5 * MIB, 10 * MIB, cuts, 4, outage=(away(kind) * 1000, "hole"))
    done = subprocess.run([need("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*",
                           "--http1.1", f"http://{place.host}:{place.port}/bytes/{size}"],
                          capture_output=True, timeout=limit(120))
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == \
        hashlib.sha256(counters(SEED, 0, size)).digest()
    assert place.network.count().cuts == cuts


def test_requests_of_http_go_on_over_cuts(rig):
    """One kept-alive connection of curl, forty requests, cut ten times."""
    web = rig.keep(Service())
    place = Place(rig, f"127.0.0.1:{web.port}")
    place.network.storm((RST, FIN), 1, 200000, 10, 6, early=(30, 3000))
    url = f"http://{place.host}:{place.port}/bytes/50000"
    done = subprocess.run([need("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*",
                           *[url] * 40], capture_output=True, timeout=limit(120))
    assert done.returncode == 0, done.stderr
    assert done.stdout == counters(SEED, 0, 50000) * 40
    assert place.network.count().cuts == 10
