"""In which order nodes are asked."""

from __future__ import annotations

from array import array

from swiftish.cluster.affinity import ReadAffinity, WriteAffinity
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.node_options import NodeCount, NodeOptions
from swiftish.cluster.nodes import Nodes, Place, place_of
from swiftish.cluster.timings import PROBE_S, Timings
from swiftish.domain.hashing import HashPath
from swiftish.domain.names import Target
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring
from tests.fakes.clock import FakeClock

# Two regions of four devices; partition 0 has its primaries on d0 (region 1), d4 and d5 (region 2).
RING = Ring(
    devices=[Device(id=n, device=f"d{n}", region=1 + n // 4, zone=1 + n % 4) for n in range(8)],
    rows=[array("H", [(p + shift) % 8 for p in range(8)]) for shift in (0, 4, 5)],
    power=3,
)
R1 = WriteAffinity.parse("r1")


def place(options: NodeOptions = NodeOptions()) -> Place:  # noqa: B008  (it is frozen)
    found = place_of("object", RING, HashPath(prefix=b"", suffix=b"s"), Target("a", "c", "o"))
    return Place(
        kind="object",
        ring=RING,
        partition=0,
        primaries=RING.primaries(0),
        path=found.path,
        options=options,
    )


class Rig:
    def __init__(self) -> None:
        self.limiter = ErrorLimiter(FakeClock())
        self.timings = Timings()
        self.nodes = Nodes(self.limiter, self.timings)

    def read(self, options: NodeOptions, *, now: float = 0.0) -> list[str]:
        return names(self.nodes.for_read(place(options), "GET", now=now))


def names(nodes: object) -> list[str]:
    return [node.device for node in nodes]  # type: ignore[attr-defined]


def test_primaries_take_turns() -> None:
    """So that all carry the load; handoffs come after them."""
    rig = Rig()
    firsts = [rig.read(NodeOptions())[:3] for _ in range(3)]
    assert sorted(each[0] for each in firsts) == ["d0", "d4", "d5"]
    assert all(sorted(each) == ["d0", "d4", "d5"] for each in firsts)
    assert len(rig.read(NodeOptions())) == 6


def test_the_nearest_first() -> None:
    """By region and zone, also where the turn would be another's."""
    options = NodeOptions(sorting="affinity", read_affinity=ReadAffinity.parse("r2z2=1, r2=2"))
    rig = Rig()
    assert {tuple(rig.read(options)[:3]) for _ in range(3)} == {("d5", "d4", "d0")}


def test_the_quickest_first() -> None:
    """By what they usually take; who is not known is tried."""
    rig, options = Rig(), NodeOptions(sorting="timing")
    d0, d4, d5 = place().primaries
    rig.timings.took("object", "GET", d0, 0.010, now=0)
    rig.timings.took("object", "GET", d4, 0.005, now=0)
    assert rig.read(options)[:3] == ["d5", "d4", "d0"]
    rig.timings.took("object", "GET", d5, 0.007, now=0)
    assert rig.read(options)[:3] == ["d4", "d5", "d0"]


def test_t34_slow_primaries_come_last_of_all_primaries() -> None:
    """And are tried again from time to time, by one read."""
    rig, options = Rig(), NodeOptions()
    for node, seconds in zip(place().primaries, (1.0, 0.01, 0.01), strict=True):
        rig.timings.took("object", "GET", node, seconds, now=0)
    assert {rig.read(options, now=1)[2] for _ in range(6)} == {"d0"}
    firsts = [rig.read(options, now=PROBE_S + 1)[0] for _ in range(9)]
    assert firsts.count("d0") == 1


def test_so_many_nodes_at_most() -> None:
    """Of those that are not left alone."""
    rig, options = Rig(), NodeOptions(request_nodes=NodeCount.parse("4"))
    assert len(rig.read(options)) == 4
    rig.limiter.limit("object", place().primaries[0])
    found = rig.read(options)
    assert len(found) == 4
    assert "d0" not in found


def test_uploads_go_to_local_nodes_first() -> None:
    """Primaries and handoffs of the region, then the others, each once."""
    options = NodeOptions(write_affinity=R1, local_nodes=NodeCount.parse("3"))
    found = names(Rig().nodes.for_upload(place(options)))
    assert found[0] == "d0"
    assert {node.region for node in RING.devices if node and node.device in found[:3]} == {1}
    assert found[3:5] == ["d4", "d5"]
    assert len(set(found)) == len(found) == 6
    assert names(Rig().nodes.for_upload(place()))[:3] == ["d0", "d4", "d5"]


def test_changes_go_to_primaries_then_to_local_handoffs() -> None:
    """Where an upload may have left the object."""
    options = NodeOptions(write_affinity=R1)
    found = names(Rig().nodes.for_change(place(options)))
    assert found[:3] == ["d0", "d4", "d5"]
    assert set(found[3:5]) <= {"d1", "d2", "d3"}
    assert len(set(found)) == len(found) == 6


def test_how_many_local_handoffs_hear_of_a_delete() -> None:
    """As many as there are primaries elsewhere, unless it is said."""
    assert place().local_delete_handoffs == 0
    assert place(NodeOptions(write_affinity=R1)).local_delete_handoffs == 2
    said = NodeOptions(write_affinity=R1, local_delete_handoffs=1)
    assert place(said).local_delete_handoffs == 1


def test_nodes_that_are_spared_come_back_when_too_few_are_left() -> None:
    """Last of all, also when the local ones come first."""
    rig = Rig()
    for node in place().primaries[:2]:
        rig.limiter.limit("object", node)
    assert names(rig.nodes.for_change(place()))[-2:] == ["d0", "d4"]
    local = names(rig.nodes.for_upload(place(NodeOptions(write_affinity=R1))))
    assert local[-2:] == ["d0", "d4"]
