"""WebSocket (RFC 6455), as much as an echo and its visitor need."""
import base64
import hashlib
import os
import struct

from .stream import read_exactly

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept_key(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def read_head(sock):
    """The first line and the fields (names in lower case) of an HTTP message."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(sock, 1)
    first, *fields = head.decode().split("\r\n")[:-2]
    return first, {k.lower(): v.strip() for k, v in (f.split(":", 1) for f in fields)}


class Peer:
    """One end of an opened WebSocket; a client masks what it sends."""

    def __init__(self, sock, is_client):
        self.sock, self.is_client = sock, is_client

    def send(self, opcode, payload, final=True):
        head = bytes([(0x80 if final else 0) | opcode])
        mask_bit = 0x80 if self.is_client else 0
        if len(payload) < 126:
            head += bytes([mask_bit | len(payload)])
        elif len(payload) < 65536:
            head += struct.pack(">BH", mask_bit | 126, len(payload))
        else:
            head += struct.pack(">BQ", mask_bit | 127, len(payload))
        if self.is_client:
            key = os.urandom(4)
            payload, head = xor(payload, key), head + key
        self.sock.sendall(head + payload)

    def receive(self):
        """(final, opcode, payload) of the next frame."""
        first, second = read_exactly(self.sock, 2)
        length = second & 0x7f
        if length == 126:
            length, = struct.unpack(">H", read_exactly(self.sock, 2))
        elif length == 127:
            length, = struct.unpack(">Q", read_exactly(self.sock, 8))
        assert bool(second & 0x80) != self.is_client, "only a client's frames are masked"
        key = read_exactly(self.sock, 4) if second & 0x80 else None
        payload = read_exactly(self.sock, length)
        return bool(first & 0x80), first & 0x0f, xor(payload, key) if key else payload


def xor(payload, key):
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def echo(sock):
    """A service: sends every frame back as it came, answers ping and close."""
    first, fields = read_head(sock)
    assert first == "GET /socket HTTP/1.1" and fields["upgrade"] == "websocket"
    sock.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: "
                  f"{accept_key(fields['sec-websocket-key'])}\r\n\r\n").encode())
    peer = Peer(sock, is_client=False)
    frames = 0
    while True:
        final, opcode, payload = peer.receive()
        frames += 1
        peer.send(PONG if opcode == PING else opcode, payload, final)
        if opcode == CLOSE:
            return frames


def visit(sock, host):
    """Opens a WebSocket as a client."""
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall((f"GET /socket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                  f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                  "Sec-WebSocket-Version: 13\r\n\r\n").encode())
    first, fields = read_head(sock)
    assert first.startswith("HTTP/1.1 101 ")
    assert fields["sec-websocket-accept"] == accept_key(key)
    return Peer(sock, is_client=True)
