"""The wire protocol, written from gotunnel-protocol(7) a second time, in plaintext.

A raw client or server that says whatever a test wants. SPAKE2 is BoringSSL's;
everything else is Python's own.
"""
import ctypes
import glob
import hashlib
import hmac
import os
import socket
import struct

from . import limit, missing
from .stream import read_exactly

TYPES = {
    "HELLO": 0x01, "HELLO_ACK": 0x02, "AUTH": 0x03, "AUTH_OK": 0x04, "AUTH_ERR": 0x05,
    "BIND": 0x06, "BIND_OK": 0x07, "HEARTBEAT": 0x08, "ERROR": 0x09, "BIND_ERR": 0x0A,
    "UNBIND": 0x0B, "SHUTDOWN": 0x0C, "RESUME": 0x0D, "STATE": 0x0E, "RESUME_ERR": 0x0F,
    "OPEN": 0x10, "DATA": 0x11, "CLOSE": 0x12, "RESET": 0x13, "CREDIT": 0x14, "ACK": 0x15,
    "JOIN": 0x16, "LANE": 0x17, "DATAGRAM": 0x20,
}
NAMES = {number: name for name, number in TYPES.items()}
PROTOCOL, FLOW_CONTROL, AUTH_FAILED, CALM_DOWN, SHUTTING_DOWN, REPLACED = 1, 3, 4, 8, 10, 11
VERSION, ENCRYPTION_REQUIRED, DIAL_REFUSED, DIAL_TIMEOUT = 14, 15, 17, 18
LOCAL_RESET, CANCELLED, PORT_TAKEN, PORT_RANGE, PORTS_USED_UP = 20, 21, 23, 25, 26
CAN_RESUME, CAN_LANES = 1, 2    # among the capabilities of HELLO and HELLO_ACK
CREDIT = 256 * 1024
MAX_FRAME = 256 * 1024
HEAD = struct.Struct(">BBII")


def frame(kind, stream=0, payload=b"", version=1, length=None):
    """A whole frame; `length` lies about the payload."""
    kind = TYPES.get(kind, kind)
    return HEAD.pack(version, kind, stream, len(payload) if length is None else length) + payload


def short(text):
    text = text.encode() if isinstance(text, str) else text
    return bytes([len(text)]) + text


def long(text):
    text = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(text)) + text


def hello(spake, name="raw:1", instance=bytes(16), key_id="default", role=1, method=1,
          capabilities=0, max_frame=MAX_FRAME, credit=CREDIT, caveats=b"\0", version="0.0-test"):
    return (struct.pack(">BBQII", role, method, capabilities, max_frame, credit) + short(name) +
            instance + short(key_id) + caveats + spake + short(version))


def bind(bind_id=1, kind=1, port=0, host="", label="localhost:1", options=b""):
    return struct.pack(">IBH", bind_id, kind, port) + short(host) + short(label) + long(options)


def error(code, text="", retry_ms=0):
    return struct.pack(">HI", code, retry_ms) + long(text)


def bind_error(bind_id, code, text="", retry_ms=0):
    return struct.pack(">IHI", bind_id, code, retry_ms) + long(text)


def address(port, host="127.0.0.1"):
    return b"\4" + socket.inet_aton(host) + struct.pack(">H", port)


def open_(bind_id=1, peer=50000, local=10000):
    return struct.pack(">I", bind_id) + address(peer) + address(local)


class Spake:
    """One side of a SPAKE2 run, by the library that gotunnel links."""

    NAMES = (b"gotunnel client", b"gotunnel server")
    library = None

    def __init__(self, role, secret):
        c = Spake.library = Spake.library or self.load()
        mine, theirs = self.NAMES[role], self.NAMES[1 - role]
        self.context = ctypes.c_void_p(c.SPAKE2_CTX_new(role, mine, len(mine), theirs,
                                                        len(theirs)))
        out, length = ctypes.create_string_buffer(32), ctypes.c_size_t()
        assert c.SPAKE2_generate_msg(self.context, out, ctypes.byref(length), 32, secret,
                                     len(secret)) == 1
        self.message = out.raw

    @staticmethod
    def load():
        found = glob.glob("/usr/lib/*/android/libcrypto.so*")
        if not found:
            missing("BoringSSL's libcrypto")
        c = ctypes.CDLL(found[0])
        size, p = ctypes.c_size_t, ctypes.c_void_p
        c.SPAKE2_CTX_new.restype = p
        c.SPAKE2_CTX_new.argtypes = [ctypes.c_int, ctypes.c_char_p, size, ctypes.c_char_p, size]
        c.SPAKE2_generate_msg.argtypes = [p, p, p, size, ctypes.c_char_p, size]
        c.SPAKE2_process_msg.argtypes = [p, p, p, size, ctypes.c_char_p, size]
        c.SPAKE2_CTX_free.argtypes = [p]
        return c

    def shared(self, message):
        out, length = ctypes.create_string_buffer(64), ctypes.c_size_t()
        assert self.library.SPAKE2_process_msg(self.context, out, ctypes.byref(length), 64,
                                               message, len(message)) == 1
        return out.raw[:length.value]

    def __del__(self):
        self.library.SPAKE2_CTX_free(self.context)


def derived(shared, transcript, label):
    """A key of the login: HKDF-SHA-256 of the shared key."""
    salt = hashlib.sha256(transcript).digest()
    extracted = hmac.digest(salt, shared, "sha256")
    return hmac.digest(extracted, label + b"\1", "sha256")


def confirmations(shared, transcript):
    """(client's, server's): HMAC of the transcript."""
    return [hmac.digest(derived(shared, transcript, label), transcript, "sha256")
            for label in Spake.NAMES]


def resume_proof(key, session_id, epoch, lane, transcript):
    """Bound to the login that it is sent after."""
    text = b"gotunnel resume" + session_id + struct.pack(">IB", epoch, lane)
    return hmac.digest(key, text + hashlib.sha256(transcript).digest(), "sha256")


def state(highest=0, limit=1 << 20, consumed=0, entries=(), last=1):
    """STATE; entries of (stream, wanted, consumed, limit, final or None, reset code)."""
    data = struct.pack(">BIQQ", last, highest, limit, consumed)
    for stream, wanted, taken, stream_limit, final, reset_code in entries:
        data += struct.pack(">IQQQQH", stream, wanted, taken, stream_limit,
                            (1 << 64) - 1 if final is None else final, reset_code)
    return data


def read_state(payload):
    """(last, highest, limit, consumed, {stream: (wanted, consumed, limit, final, reset)})"""
    head = struct.unpack(">BIQQ", payload[:21])
    entries = {e[0]: e[1:] for e in struct.iter_unpack(">IQQQQH", payload[21:])}
    return *head, entries


class Raw:
    """Either end of a plaintext control connection."""

    def __init__(self, sock):
        self.sock = sock
        self.seen = []
        self.lane = None        # (lane, epoch) of the last LANE that came

    def send(self, kind, stream=0, payload=b"", **more):
        self.sock.sendall(frame(kind, stream, payload, **more))

    def read(self):
        """(type's name, stream, payload); ConnectionError at the end."""
        self.head = read_exactly(self.sock, HEAD.size)
        version, kind, stream, length = HEAD.unpack(self.head)
        assert version == 1 and length <= 1 << 20
        payload = read_exactly(self.sock, length)
        name = NAMES.get(kind, kind)
        self.seen.append(name)
        if name == "LANE":
            self.lane = stream, *struct.unpack(">I", payload)
        return name, stream, payload

    def expect(self, *kinds, skip=("HEARTBEAT", "CREDIT", "ACK", "LANE")):
        """The next frame of these types; housekeeping in between is passed over."""
        while True:
            name, stream, payload = self.read()
            if name in kinds:
                return name, stream, payload
            assert name in skip, f"{name} instead of {kinds}: {payload[:80]!r}"

    def ended(self, seconds=10):
        """Reads to the end: the code of an ERROR or AUTH_ERR that came before it, or None."""
        self.sock.settimeout(limit(seconds))
        code = None
        try:
            while True:
                name, _, payload = self.read()
                if name in ("ERROR", "AUTH_ERR"):
                    code, = struct.unpack(">H", payload[:2])
        except ConnectionError:
            return code

    def close(self):
        self.sock.close()


class RawClient(Raw):
    """Connects to a server that takes plaintext."""

    def __init__(self, server, token, source=None):
        super().__init__(socket.create_connection((server.host, server.control), limit(10),
                                                  source))
        self.spake = Spake(0, token.encode())

    def greet(self, **given):
        """HELLO and the answer."""
        own = frame("HELLO", 0, hello(self.spake.message, **given))
        self.sock.sendall(own)
        _, _, payload = self.expect("HELLO_ACK")
        self.capabilities, self.max_frame, self.credit, self.heartbeat, self.hold = \
            struct.unpack(">QIIII", payload[:24])
        self.transcript = own + self.head + payload + b"\0"
        shared = self.spake.shared(payload[24:56])
        self.proof, self.wanted = confirmations(shared, self.transcript)
        self.resume_key = derived(shared, self.transcript, b"gotunnel resume")
        return self

    def login(self, **given):
        self.greet(**given)
        self.send("AUTH", 0, self.proof)
        _, _, payload = self.expect("AUTH_OK")
        assert payload[:32] == self.wanted, "the server did not prove that it has the token"
        self.session_id, (self.epoch,) = payload[32:48], struct.unpack(">I", payload[48:52])
        return self

    def lives(self):
        """Says so: the answer to a question that was not asked."""
        self.send("HEARTBEAT", 0, bytes(8) + b"\1")

    def bind(self, **given):
        """The public port."""
        self.send("BIND", 0, bind(**given))
        _, _, payload = self.expect("BIND_OK")
        bind_id, self.port = struct.unpack(">IH", payload[:6])
        assert bind_id == given.get("bind_id", 1)
        return self.port

    def resume(self, session, epoch, key=None, lane=0, session_id=None, proof=None):
        """RESUME of another's session, after login; its answer: (type's name, payload)."""
        session_id = session_id or session.session_id
        proof = proof or resume_proof(key or session.resume_key, session_id, epoch, lane,
                                      self.transcript)
        self.send("RESUME", 0, session_id + struct.pack(">IB", epoch, lane) + proof)
        name, _, payload = self.expect("STATE", "RESUME_ERR", "ERROR")
        return name, payload

    def join(self, session, lane, key=None, session_id=None, proof=None):
        """JOIN, after login; there is no answer."""
        session_id = session_id or session.session_id
        proof = proof or resume_proof(key or session.resume_key, session_id, 0, lane,
                                      self.transcript)
        self.send("JOIN", 0, session_id + bytes([lane]) + proof)
        return self

    def stream(self):
        """The id of the next stream that a visitor opens."""
        return self.expect("OPEN")[1]


class RawServer:
    """Listens for one client after another; serves plaintext."""

    def __init__(self, token):
        self.token = token
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(limit(20))
        self.port = self.listener.getsockname()[1]

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(limit(20))
        return Raw(sock)

    def hello(self):
        """A client that has said HELLO."""
        raw = self.accept()
        _, _, raw.hello = raw.expect("HELLO")
        raw.transcript = raw.head + raw.hello
        return raw

    def login(self, good=True, version="0.0-test", capabilities=0, hold=60000, also=b""):
        """A client that is logged in; a server that is not `good` does not know the token.
        `also` follows on AUTH_OK in the same segment."""
        raw = self.hello()
        spake = Spake(1, self.token.encode() if good else os.urandom(16))
        ack = frame("HELLO_ACK", 0, struct.pack(">QIIII", capabilities, MAX_FRAME, CREDIT, 10000,
                                               hold if capabilities else 0) + spake.message)
        raw.sock.sendall(ack)
        _, _, proof = raw.expect("AUTH")
        client, server = confirmations(spake.shared(spake_of(raw.hello)),
                                       raw.transcript + ack + b"\0")
        assert not good or proof == client, "the client did not prove that it has the token"
        raw.sock.sendall(frame("AUTH_OK", 0, server + bytes(range(16)) + struct.pack(">I", 1) +
                               short(version)) + also)
        return raw

    def tunnel(self, port=10000, **given):
        """A client whose tunnel is bound to a port that it believes us."""
        raw = self.login(**given)
        _, _, payload = raw.expect("BIND")
        raw.bind_id, = struct.unpack(">I", payload[:4])
        raw.send("BIND_OK", 0, struct.pack(">IHB", raw.bind_id, port, 0) + short(""))
        return raw

    def close(self):
        self.listener.close()


def spake_of(payload):
    """The SPAKE2 message in a HELLO without caveats."""
    at = 18
    at += 1 + payload[at] + 16          # name, instance
    at += 1 + payload[at]               # key id
    assert payload[at] == 0, "caveats"
    return payload[at + 1:at + 33]
