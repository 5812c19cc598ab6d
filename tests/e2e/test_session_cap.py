"""How many sessions there may be: each is a holder of the token, and none may take all."""
import re
import struct

import pytest

from kit import wire
from kit.origin import echo
from kit.stream import RST, connect, ending, read_exactly
from kit.wire import RawClient

GUESTS = 64
LIMIT_REACHED = 7
OWNER = {"instance": bytes(range(16)), "capabilities": wire.CAN_RESUME}


def works(port):
    with connect("127.0.0.1", port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"


@pytest.mark.parametrize("names, have", [("a", "1 client has"), ("ab", "2 clients have")])
def test_sessions_with_tunnels_are_capped(rig, serve, names, have):
    """The one too many is told so, the others go on, and there is room when one leaves."""
    server = rig.server(max_sessions=len(names))
    service = serve(echo)
    clients = [rig.client(server, str(service), name=f"{n}:1", state=str(n)) for n in names]
    third = rig.client(server, str(service), name="c:1", state="c", wait=False)
    assert third.wait_exit(20) == 7
    assert re.search(f"refuses the tunnel: limit reached: {have} tunnels "
                     r"\(--max-sessions\)\n.*another client must leave", third.err.text)
    server.wait_err(rf"refused 1 session, .*: {len(names)} have tunnels \(--max-sessions\)")
    for client in clients:
        works(client.port)
    assert clients[0].stop() == 0
    works(rig.client(server, str(service), name="d:1", state="d").port)


def test_a_client_is_not_kept_out_by_its_own_held_session(rig, serve):
    """It was killed and started again: the new session takes the old one's place."""
    server = rig.server(max_sessions=1)
    service = serve(echo)
    first = rig.client(server, str(service), name="a:1", state="a")
    with connect("127.0.0.1", first.port) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"hello"
        first.kill()
        again = rig.client(server, str(service), name="a:1", state="a")
        assert again.port == first.port
        assert ending(s)[0] == RST
    works(again.port)


def test_one_identity_does_not_get_around_the_cap(rig):
    """It takes the place of a session that is away, of which there is one, and no other."""
    server = rig.server(plaintext=True, max_sessions=1)
    sessions = []
    try:
        for number in range(4):
            one = RawClient(server, server.token()).login(**OWNER)
            sessions.append(one)
            one.send("BIND", 0, wire.bind())
            name, _, payload = one.expect("BIND_OK", "BIND_ERR")
            assert name == ("BIND_ERR" if number else "BIND_OK")
            if number:
                assert struct.unpack(">H", payload[4:6])[0] == LIMIT_REACHED
    finally:
        for one in sessions:
            one.close()


def test_sessions_without_a_tunnel_are_few_and_do_not_last(rig, serve):
    """A holder of the token cannot take the descriptors of everybody by logging in."""
    server = rig.server(plaintext=True)     # they have 15 s each
    service = serve(echo)
    client = rig.client(server, str(service), plaintext=True)
    guests = []
    try:
        for _ in range(GUESTS):
            guests.append(RawClient(server, server.token()).login())
        late = RawClient(server, server.token()).greet()
        guests.append(late)
        late.send("AUTH", 0, late.proof)
        assert late.ended() == LIMIT_REACHED
        works(client.port)
        # Those that are there may still ask.
        guests[0].bind()
        for guest in guests[1:GUESTS]:
            assert guest.ended(30) is None, "closed without an ERROR: it was no mistake"
    finally:
        for guest in guests:
            guest.close()
    works(client.port)
