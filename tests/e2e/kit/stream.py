"""Streams of counters: every byte says where it belongs.

A stream is a row of 8-byte words, `seed << 40 | index`. A receiver that finds
anything else says whether bytes are missing, came twice, came out of order or
belong to another stream.
"""
import array
import errno
import fcntl
import socket
import struct
import sys
import termios
import time

from . import limit

WORD = 8
FIN, RST = "FIN", "RST"
MIB = 1 << 20


def counters(seed, offset, length):
    """The bytes [offset, offset + length) of the stream of a seed (1 to 2^24 - 1)."""
    first = offset // WORD
    last = (offset + length + WORD - 1) // WORD
    base = seed << 40
    words = array.array("Q", range(base + first, base + last))
    if sys.byteorder == "little":
        words.byteswap()
    start = offset - first * WORD
    return words.tobytes()[start:start + length]


class Checker:
    """Takes what was received and keeps the first fault."""

    def __init__(self, seed):
        self.seed = seed
        self.count = 0          # bytes that were right so far
        self.fault = None

    def feed(self, data):
        if self.fault is None:
            wanted = counters(self.seed, self.count, len(data))
            if data == wanted:
                self.count += len(data)
            else:
                self.fault = self.explain(data, wanted)

    def explain(self, data, wanted):
        at = next(i for i in range(len(data)) if data[i] != wanted[i])
        self.count += at
        # Two words in a row, at one of eight alignments, say what stream goes on here.
        for begin in range(at, min(at + WORD, len(data) - 2 * WORD + 1)):
            first, second = struct.unpack_from(">QQ", data, begin)
            if second == first + 1 and first >> 40:
                return self.judge(first >> 40, (first & (1 << 40) - 1) * WORD - (begin - at))
        return f"garbage at byte {self.count}: {data[at:at + 16].hex()}"

    def judge(self, seed, found):
        at = self.count
        if seed != self.seed:
            return f"byte {at}: byte {found} of stream {seed:#x} instead of {self.seed:#x}"
        if found > at:
            return f"gap at byte {at}: {found - at} bytes are missing here"
        return f"repeat at byte {at}: byte {found} again"


def send_counters(sock, seed, length, start=0, piece=256 * 1024):
    """Sends the bytes [start, start + length) of a stream."""
    end = start + length
    while start < end:
        n = min(piece, end - start)
        sock.sendall(counters(seed, start, n))
        start += n


def receive(sock, checker=None, most=None, piece=256 * 1024):
    """Reads to the end (or `most` bytes): FIN, RST, or None when `most` came first."""
    got = 0
    while most is None or got < most:
        try:
            data = sock.recv(piece if most is None else min(piece, most - got))
        except ConnectionResetError:
            return RST
        if not data:
            return FIN
        got += len(data)
        if checker is not None:
            checker.feed(data)
    return None


def read_exactly(sock, count):
    """Exactly `count` bytes; ConnectionError when the stream ends before."""
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError(f"end after {len(data)} of {count} bytes")
        data += more
    return data


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def flushed(sock, seconds=10):
    """Waits until the peer's kernel has everything that was sent."""
    end = time.monotonic() + limit(seconds)
    left = bytearray(4)
    while True:
        fcntl.ioctl(sock, termios.TIOCOUTQ, left)
        if not any(left):
            return
        if time.monotonic() > end:
            raise TimeoutError("sent bytes are not acknowledged")
        time.sleep(0.002)


class WasReset(socket.socket):
    """One that was reset before connect() was through: what came before can be read, then
    whatever is done says so."""

    def refuse(self, *_, **__):
        raise ConnectionResetError(errno.ECONNRESET, "reset while connecting")

    send = sendall = shutdown = refuse

    def recv(self, *args):
        return super().recv(*args) or self.refuse()

    def recv_into(self, *args):
        return super().recv_into(*args) or self.refuse()


def connect(host, port, seconds=30, receive_buffer=None):
    """A TCP connection whose every operation has a time limit.

    It was accepted: a reset that comes so soon that connect() itself is told of it is one of
    what follows.
    """
    info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(info[0], info[1])
    sock.settimeout(limit(seconds))
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        sock.connect(info[4])
    except ConnectionResetError:
        limited = sock.gettimeout()
        sock = WasReset(fileno=sock.detach())
        sock.settimeout(limited)
    return sock


def visit(host, port, seconds=30):
    """Connects and reads to the end: how it ended, and after how many seconds."""
    start = time.monotonic()
    with connect(host, port, seconds) as sock:
        how = ending(sock, seconds)[0]
    return how, time.monotonic() - start


def ending(sock, seconds=30):
    """Reads what is left and says how it ended, and after how many seconds."""
    sock.settimeout(limit(seconds))
    start = time.monotonic()
    how = receive(sock)
    return how, time.monotonic() - start
