"""Who has not logged in: TLS by Python's own library, from an address of choice."""
import re
import socket
import ssl

import pytest

from . import limit
from .wire import frame, hello, Spake


def tls_context():
    """TLS that looks at no certificate, as a client without a CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["gotunnel/1"])
    return context


def client_hello():
    """The first bytes of a connection."""
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        tls_context().wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


def call(server, source="127.0.0.1"):
    """A connection to the control port from an address of this machine."""
    s = socket.create_connection((server.host, server.control), limit(10), (source, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def call_tls(server, source="127.0.0.1", context=None):
    s = call(server, source)
    try:
        return (context or tls_context()).wrap_socket(s)
    except OSError:
        s.close()
        raise


def good_hello(token="wrong", **given):
    """A whole HELLO frame that any server answers."""
    return frame("HELLO", 0, hello(Spake(0, token.encode()).message, **given))


def timed_out(server):
    """How many were closed by the deadline of the login, not by their bytes: as the log says."""
    return len(re.findall("no login within|no TLS handshake in time", server.err.text))


def drained(s, seconds=10):
    """Reads until the other side has closed; false when it does not within the time."""
    s.settimeout(limit(seconds))
    try:
        while s.recv(65536):
            pass
    except socket.timeout:
        return False
    except (OSError, ssl.SSLError):
        pass
    return True
