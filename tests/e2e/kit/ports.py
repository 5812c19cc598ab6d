"""Free ports below the kernel's own range, so that nobody's source port takes one."""
import os
import random
import socket

LOWEST, HIGHEST = 10200, 32000


def share():
    """Of test workers that run at once each has ports of its own: one that is free for a moment,
    as between two servers of a test, is nobody else's."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    size = (HIGHEST - LOWEST) // count
    return LOWEST + number * size, LOWEST + (number + 1) * size


LOW, HIGH = share()
_next = random.Random(os.getpid()).randrange(LOW, HIGH)


def is_free(port):
    """True when nobody listens on the port, on any address."""
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                s.bind((host, port))
                s.listen(1)
            except OSError:
                return False
    return True


def block(count):
    """The first of `count` free ports in a row, which no later call gives again."""
    global _next
    for _ in range(2000):
        if _next + count > HIGH:
            _next = LOW
        first, _next = _next, _next + count
        if all(is_free(p) for p in range(first, first + count)):
            return first
    raise RuntimeError("no free ports")


def one():
    return block(1)
