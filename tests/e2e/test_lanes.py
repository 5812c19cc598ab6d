"""Several connections between one client and the server: streams are spread, and survive each."""
import os
from random import Random

import pytest

from kit import limit, until
from kit.flood import SIZE, Flood
from kit.network import BOTH, FIN, KINDS, RST, SILENCE
from kit.origin import echo
from kit.place import CUTS, Place, echoes, scaled
from kit.stream import MIB, connect

SEED = int(os.environ.get("GOTUNNEL_TEST_SEED", "35"))
LANES = 3



class Lanes(Place):
    """A place whose client has several lanes, all of them up."""

    def __init__(self, rig, local, lanes=LANES, **given):
        super().__init__(rig, local, lanes=lanes, **given)
        self.all_up(lanes)

    def all_up(self, lanes=LANES):
        until(lambda: self.live() == lanes, 20, "a connection for each lane")

    def live(self):
        return self.network.count().live

    def cut_one(self, conn, kind=RST):
        self.network.cut_at(kind, 1, conn=conn)


def test_streams_are_spread_and_survive_the_loss_of_each_lane(rig, serve):
    place = Lanes(rig, serve(echo))
    visitors = [place.visitor() for _ in range(9)]
    for s in visitors:
        echoes(s)
    for conn in range(1, LANES + 1):
        place.cut_one(conn)
        for s in visitors:
            echoes(s)
        place.all_up()
    for s in visitors:
        echoes(s)
        s.close()
    assert "Session lost" not in place.client.err.text


@pytest.mark.parametrize("kinds", [(RST,), (FIN,), KINDS], ids="+".join)
def test_a_flood_and_all_lanes_cut_at_once(rig, kinds):
    """Nobody is left to ride on: the first comes back, the others by it."""
    count = CUTS // 2
    flood = rig.keep(Flood())
    place = Lanes(rig, flood, fast=SILENCE in kinds)
    place.network.storm(kinds, 1, 2 * 16 * SIZE // count, count, SEED, early=(33, 4000))
    flood.go(place.host, place.port)
    assert flood.faults(120 + SIZE // MIB) == []


@pytest.mark.parametrize("kind", [RST, FIN])
def test_a_flood_and_lanes_cut_one_by_one(rig, kind):
    """Each connection that there ever is dies after some bytes, also in the middle of what
    rides on it."""
    flood = rig.keep(Flood())
    place = Lanes(rig, flood)
    random = Random(SEED)
    for conn in range(1, 60):
        place.network.cut_at(kind, random.randint(1, 4 * MIB), conn=conn)
    flood.go(place.host, place.port)
    assert flood.faults(120 + SIZE // MIB) == []
    assert place.network.count().cuts >= LANES


def test_a_flood_in_plaintext_over_a_bad_network(rig):
    flood = rig.keep(Flood(size=SIZE // 4))
    place = Lanes(rig, flood, plaintext=True)
    random = Random(SEED)
    place.network.delay(10, 5)
    place.network.slice(20000)
    for conn in range(1, 60):
        place.network.cut_at(RST, random.randint(1, MIB), conn=conn)
    flood.go(place.host, place.port)
    assert flood.faults(120 + SIZE // MIB) == []
