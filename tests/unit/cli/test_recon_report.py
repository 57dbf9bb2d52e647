"""What is made of the answers of all nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from swiftish.cli.facts import BadFacts, DeviceFacts, NodeFacts, RingFacts, from_document
from swiftish.cli.recon_report import TABLES, Answer, Ours, Picture, age, size
from swiftish.runtime.status import worker_document
from swiftish.runtime.worker import Progress, Report

NOW = 1_700_000_000.0
OURS = Ours(rings={"object.ring.gz": "m1"}, settings="s1")


class AWorker:
    interval_s = 30.0

    def __init__(self, name: str, report: Report) -> None:
        self.name = name
        self.report = report

    async def work(self) -> Progress:
        raise AssertionError


def worker(name: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """The document of a worker that ended its last pass half a minute ago."""
    began = {"passes": 1, "last_pass_began": NOW - 40, "last_pass_s": 10.0, **fields}
    report = Report(**began)
    return worker_document(AWorker(name, report), NOW)


REPLICATOR = worker("object-replicator", gauges={"below_replicas d1": 0})
DEVICE = DeviceFacts(name="d1", path="/srv/node/d1", kinds=("object",), size=100, used=70, free=30)


def facts(name: str = "n1", **changes: Any) -> NodeFacts:  # noqa: ANN401
    given: dict[str, Any] = {
        "id": name,
        "at": NOW,
        "version": "1",
        "services": ("object",),
        "rings": [RingFacts(path="/etc/x/object.ring.gz", version=3, md5="m1", replicas=3)],
        "settings": "s1",
        "devices": [DEVICE],
        "workers": [REPLICATOR],
        "workers_at": NOW - 1,
    }
    return NodeFacts(**{**given, **changes})


def device(id: str = "n1", **changes: Any) -> NodeFacts:  # noqa: A002, ANN401
    given: dict[str, Any] = {"name": "d1", "path": "/srv/node/d1", "kinds": ["object"]}
    return facts(id, devices=[DeviceFacts(**{**given, **changes})])


def picture(*found: NodeFacts, down: int = 0, **answer: Any) -> Picture:  # noqa: ANN401
    up = [Answer(address=f"10.0.0.{n}:6200", facts=f, **answer) for n, f in enumerate(found)]
    gone = [Answer(address=f"10.9.9.{n}:6200", error="refused") for n in range(down)]
    return Picture([*up, *gone], OURS)


def test_all_is_well() -> None:
    found = picture(facts("n1"), facts("n2"))
    assert found.findings() == []
    assert found.safe() == ("yes", "")
    assert found.summary() == (
        "2 nodes, 0 down; safe: yes: 0 objects, 0 containers, 0 accounts below their replica count"
    )


NOBODY = facts(workers=[], workers_at=None)
UNHEARD = facts(workers=[worker("object-replicator", gauges={"partitions_unheard": 2})])
NEVER = facts(workers=[worker("object-replicator", passes=0)])
BELOW = facts(workers=[worker("object-replicator", gauges={"below_replicas d1": 3})])
ONE_REPLICA = facts(
    rings=[RingFacts(path="/e/object.ring.gz", version=1, md5="m1", replicas=1)], workers=[]
)


@pytest.mark.parametrize(
    ("found", "answer", "why"),
    [
        (picture(facts()), "yes", ""),
        (picture(BELOW), "no", ""),
        (picture(BELOW, down=1), "no", ""),
        (picture(facts(), down=1), "not known", "does not answer"),
        (picture(device(trouble="it hangs")), "not known", "d1 of"),
        (picture(NEVER), "not known", "no pass yet"),
        (picture(UNHEARD), "not known", "a primary of 2 partitions did not answer"),
        (picture(NOBODY), "not known", "no pass yet"),
        (picture(ONE_REPLICA), "yes", ""),
        (picture(facts(devices=[], workers=[])), "yes", ""),
    ],
)
def test_is_my_data_safe(found: Picture, answer: str, why: str) -> None:
    assert found.safe()[0] == answer
    assert why in found.safe()[1]
    assert (found.findings() == []) == (answer == "yes"), "what is not safe needs attention"


def test_those_below_their_replica_count_are_counted_over_all_nodes() -> None:
    containers = worker(
        "container-replicator", gauges={"below_replicas d1": 1, "below_replicas d2": 1, "x d1": 9}
    )
    below = replace(BELOW, id="n3")
    found = picture(BELOW, facts("n2", workers=[REPLICATOR, containers]), below)
    assert "6 objects, 2 containers, 0 accounts below" in found.summary()
    assert found.document()["below_replicas"] == {"objects": 6, "containers": 2, "accounts": 0}


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (picture(facts(), down=1), "10.9.9.0:6200: no answer: refused"),
        (picture(facts(), drift_s=-3.0), "its clock is -3.0 s off ours"),
        (
            picture(
                facts(rings=[RingFacts(path="/object.ring.gz", version=2, md5="m2", replicas=3)])
            ),
            "its object.ring.gz is not the one that is here",
        ),
        (picture(facts(settings="s2")), "differ from those here"),
        (picture(device(trouble="it is not mounted")), "d1: out of service: it is not mounted"),
        (picture(device(size=100, used=96)), "d1: 96% full"),
        (picture(device(quarantined={"objects": 2, "objects-1": 1})), "d1: 3 in quarantine"),
        (
            picture(device(gauges={"pending_oldest_s": 7300.0})),
            "d1: container updates have been pending for 2 h",
        ),
        (picture(facts(workers_at=NOW - 300)), "its workers have said nothing for 5 min"),
        (
            picture(facts(workers=[worker("object-replicator", state="failing", last_error="Oh")])),
            "object-replicator fails: Oh",
        ),
    ],
)
def test_what_needs_attention(found: Picture, sentence: str) -> None:
    assert any(sentence in each for each in found.findings()), found.findings()


@pytest.mark.parametrize(
    "found",
    [
        picture(facts(), drift_s=-3.0, round_trip_s=2.5),
        picture(facts(), drift_s=0.9),
        picture(device(size=100, used=94, gauges={"pending_oldest_s": 60.0})),
        picture(facts(version="2")),
        picture(facts(rings=[RingFacts(path="/object-7.ring.gz", version=2, md5="x", replicas=3)])),
    ],
)
def test_what_does_not(found: Picture) -> None:
    """A clock can't be told more exactly than the answer took; a ring that is not here, not at all;
    and nodes have two versions while the cluster is upgraded."""
    assert found.findings() == []


def test_the_ports_of_a_node_are_one_node() -> None:
    same = [Answer(address=f"10.0.0.1:{port}", facts=facts("n1")) for port in (6202, 6200, 6201)]
    down = [Answer(address=f"10.0.0.2:{port}", error="gone") for port in (6200, 6201)]
    found = Picture([*same, *down], OURS)
    assert [node.name for node in found.nodes] == ["10.0.0.1:6200,6201,6202", "10.0.0.2:6200,6201"]
    assert len(found.down) == 1


def test_two_nodes_of_one_host_are_two() -> None:
    answers = [Answer(address=f"10.0.0.1:{port}", facts=facts(f"n{port}")) for port in (1, 2)]
    assert len(Picture(answers, OURS).nodes) == 2


def test_the_tables() -> None:
    busy = device(
        id="n2", size=1000, used=500, free=500, gauges={"pending_updates": 7, "unreported": 2}
    )
    found = picture(facts("n1"), busy, down=1, drift_s=0.25)
    assert [line.split() for line in found.tables(["nodes"]).splitlines()] == [
        ["node", "state", "services", "clock", "rings", "settings", "version"],
        ["10.0.0.0:6200", "up", "object", "+0.25", "s", "as", "here", "as", "here", "1"],
        ["10.0.0.1:6200", "up", "object", "+0.25", "s", "as", "here", "as", "here", "1"],
        ["10.9.9.0:6200", "down"],
    ]
    assert "70.0%" in found.tables(["disks"])
    assert "500 B on d1" in found.tables(["disks"])
    assert "30 s ago, took 10 s" in found.tables(["replication"])
    row = next(line for line in found.tables(["updates"]).splitlines() if "10.0.0.1" in line)
    assert row.split()[1:3] == ["7", "2"]
    assert len(found.tables(list(TABLES)).split("\n\n")) == 4


def test_where_nothing_replicates_there_is_no_table_of_it() -> None:
    assert picture(ONE_REPLICA).tables(["replication"]) == ""


def test_json_has_all_of_it() -> None:
    document = json.loads(json.dumps(picture(facts(), down=1).document()))
    assert document["down"] == 1
    assert document["safe"] == "not known"
    assert document["nodes"][0]["facts"]["devices"][0]["name"] == "d1"
    assert document["nodes"][1]["error"] == "refused"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (2e5, "2 d")],
)
def test_ages_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_sizes_are_said_as_people_say_them() -> None:
    assert [size(n) for n in (0, 1023, 2048, 3 << 40)] == ["0 B", "1023 B", "2 KiB", "3.0 TiB"]


# ---- documents of other nodes -------------------------------------------------------------------


def test_a_document_comes_back_as_it_was() -> None:
    document = json.loads(json.dumps(facts().document()))
    assert json.loads(json.dumps(from_document(document).document())) == document


def test_what_another_version_adds_is_overlooked() -> None:
    document = facts().document()
    document["new"] = 1
    document["devices"][0]["new"] = 1
    assert from_document(document).devices == [DEVICE]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "node",
        {},
        {**facts().document(), "rings": None},
        {**facts().document(), "devices": [{"name": "d1"}]},
        {**facts().document(), "devices": [7]},
        {**facts().document(), "workers": [{"name": "x"}]},
        {**facts().document(), "workers": [7]},
    ],
)
def test_what_makes_no_sense_is_refused(document: object) -> None:
    with pytest.raises(BadFacts):
        from_document(document)
