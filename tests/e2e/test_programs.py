"""Real programs through the tunnel: ssh, scp, psql, redis, MariaDB, h2c, iperf3."""
import hashlib
import json
import re
import subprocess

import pytest

from kit import SCALE, limit, need, until
from kit.proc import Proc
from kit.services import POSTGRES, Iperf, MariaDB, Nghttpd, Postgres, Redis, Sshd
from kit.stream import MIB, counters

pytestmark = pytest.mark.path


def run(argv, seconds=60, data=None, env=None):
    """A program that has to succeed; its stdout."""
    done = subprocess.run(list(map(str, argv)), input=data, capture_output=True, env=env,
                          timeout=limit(seconds))
    assert done.returncode == 0, f"{argv[0]}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture
def ssh_way(rig, one_path):
    sshd = Sshd(rig)
    way = one_path(sshd)
    return sshd, way, sshd.options(way)


def test_ssh_runs_a_command(ssh_way):
    sshd, way, options = ssh_way
    said = run([need("ssh"), *options, sshd.target(way), "echo from the other side; exit 0"])
    assert said == b"from the other side\n"
    done = subprocess.run([need("ssh"), *map(str, options), sshd.target(way), "exit 42"],
                          timeout=limit(30))
    assert done.returncode == 42


def test_ssh_pipes_20_mib_each_way(ssh_way):
    sshd, way, options = ssh_way
    data = counters(9, 0, 20 * MIB)
    assert run([need("ssh"), *options, sshd.target(way), "cat"], data=data) == data


def test_ssh_is_interactive(ssh_way, rig):
    """Each line comes back before the next is typed."""
    sshd, way, options = ssh_way
    shell = rig.add(Proc([need("ssh"), *map(str, options), sshd.target(way), "cat"],
                         stdin=subprocess.PIPE))
    for number in range(30):
        shell.say(f"line {number}")
        shell.wait_out(rf"^line {number}$")
    shell.popen.stdin.close()
    assert shell.wait_exit() == 0


def test_scp_both_ways(ssh_way, tmp_path):
    sshd, way, options = ssh_way
    first, there, back = (tmp_path / name for name in ("first", "there", "back"))
    first.write_bytes(counters(11, 0, 30 * MIB))
    run([need("scp"), *options, first, f"{sshd.target(way)}:{there}"])
    run([need("scp"), *options, f"{sshd.target(way)}:{there}", back])
    assert sha256(back) == sha256(first)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_psql(rig, one_path):
    way = one_path(Postgres(rig))
    psql = [need("psql", POSTGRES), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
            "-h", way.host, "-p", way.port, "-U", "tester", "postgres"]
    rows = 50000
    script = f"""
        CREATE TABLE t (id integer PRIMARY KEY, word text);
        BEGIN;
        INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, {rows}) n;
        SELECT count(*), max(id) FROM t;
        ROLLBACK;
        SELECT count(*) FROM t;
        INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, {rows}) n;
    """
    assert run([*psql, "-f", "-"], data=script.encode()).split() == [b"50000|50000", b"0"]
    dump = run([*psql, "-c", "COPY (SELECT id, word FROM t ORDER BY id) TO STDOUT"])
    wanted = b"".join(b"%d\t%s\n" % (n, hashlib.md5(b"%d" % n).hexdigest().encode())
                      for n in range(1, rows + 1))
    assert dump == wanted
    run([*psql, "-c", "CREATE TABLE back (id integer, word text)"])
    run([*psql, "-c", "COPY back FROM STDIN"], data=dump)
    assert run([*psql, "-c", "SELECT count(*) FROM back NATURAL JOIN t"]) == b"50000\n"


def test_psql_waits_for_a_notification(rig, one_path):
    """A connection that is idle and is then spoken to."""
    way = one_path(Postgres(rig))
    base = [need("psql", POSTGRES), "-X", "-q", "-h", way.host, "-p", str(way.port),
            "-U", "tester", "postgres"]
    listener = rig.add(Proc([*base, "-c", "LISTEN news", "-c", "SELECT 'listening'",
                             "-c", "SELECT pg_sleep(600)"]))
    listener.wait_out("listening")
    # It says so before it sleeps.
    until(lambda: run([*base, "-A", "-t", "-c",
                       "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity "
                       "WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' "
                       "AND pid <> pg_backend_pid()"]) == b"1\n", 20, "a sleeper")
    assert listener.wait_exit() == 1
    assert "canceling statement due to user request" in listener.err.text


def test_redis_benchmark(rig, one_path):
    way = one_path(Redis(rig))
    count = 20000 // SCALE
    said = run([need("redis-benchmark"), "-h", way.host, "-p", way.port, "-n", count, "-c", 50,
                "-P", 1, "-q", "--csv", "-t", "set,get,incr,lpush,lrange_100"]).decode()
    tests = re.findall(r'^"(SET|GET|INCR|LPUSH|LRANGE_100[^"]*)","([\d.]+)"', said, re.M)
    assert len(tests) == 5 and all(float(rate) > 0 for _, rate in tests)
    cli = [need("redis-cli"), "-h", way.host, "-p", way.port]
    # redis-benchmark's INCR counts every request that was answered: none came twice.
    assert run([*cli, "get", "counter:__rand_int__"]).strip() == str(count).encode()


def test_redis_pipelines_and_big_values(rig, one_path):
    way = one_path(Redis(rig))
    cli = [need("redis-cli"), "-h", way.host, "-p", way.port]
    value = counters(3, 0, 8 * MIB)
    run([*cli, "-x", "set", "big"], data=value)
    assert run([*cli, "--raw", "get", "big"]) == value + b"\n"
    commands = b"".join(b"RPUSH list %d\r\n" % n for n in range(50000))
    assert b"errors: 0, replies: 50000" in run([*cli, "--pipe"], data=commands)
    assert run([*cli, "lindex", "list", "49999"]).strip() == b"49999"


def test_mariadb(rig, one_path):
    way = one_path(MariaDB(rig))
    client = [need("mariadb"), "--no-defaults", "-h", way.host, "-P", way.port, "-u", "tester",
              "-psecret", "--skip-column-names", "--batch", "--max-allowed-packet=64M", "t"]
    script = """
        CREATE TABLE t (id INT PRIMARY KEY, word CHAR(32));
        INSERT INTO t SELECT seq, MD5(seq) FROM seq_1_to_50000;
        SELECT COUNT(*), MAX(id) FROM t;
    """
    assert run(client, data=script.encode()).split() == [b"50000", b"50000"]
    said = run([*client, "-e", "SELECT id, word FROM t ORDER BY id"])
    wanted = b"".join(b"%d\t%s\n" % (n, hashlib.md5(b"%d" % n).hexdigest().encode())
                      for n in range(1, 50001))
    assert said == wanted


def test_h2load(rig, one_path):
    """HTTP/2 without TLS, as gRPC speaks it: many requests on few connections."""
    way = one_path(Nghttpd(rig))
    count = 5000 // SCALE
    said = run([need("h2load"), "-n", count, "-c", 10, "-m", 20,
                f"http://{way.host}:{way.port}/small"]).decode()
    assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert f"status codes: {count} 2xx" in said


def test_h2c_transfers_large_bodies(rig, one_path):
    way = one_path(Nghttpd(rig))
    said = run([need("h2load"), "-n", 40, "-c", 4, "-m", 5,
                f"http://{way.host}:{way.port}/large"]).decode()
    assert "40 succeeded, 0 failed, 0 errored" in said
    assert re.search(r"\(%d\) data" % (40 * (4 << 20)), said)


@pytest.mark.parametrize("reverse", [False, True])
def test_iperf3(rig, one_path, reverse):
    public = one_path(Iperf(rig))
    total = 64 * MIB
    said = json.loads(run([need("iperf3"), "--client", public.host, "--port", public.port,
                           "--bytes", total, "--parallel", 4, "--json",
                           *(["--reverse"] if reverse else [])]))
    sent, received = (said["end"][way]["bytes"] for way in ("sum_sent", "sum_received"))
    # The receiver stops counting when the sender is done, with bytes still on the way.
    assert "error" not in said and sent >= total and 0 < received <= sent
