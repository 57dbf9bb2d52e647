"""Swift's recon documents: the names and shapes that its own tool reads (reference 2.13)."""

from __future__ import annotations

import json
from typing import Any

from swiftish.cli.fact_metrics import fact_metrics
from swiftish.cli.facts import DeviceFacts, NodeFacts, RingFacts
from swiftish.cli.recon_documents import DOCUMENTS
from swiftish.runtime.metrics import rendered
from swiftish.runtime.status import worker_document
from swiftish.runtime.worker import Progress, Report
from tests.fakes.prometheus import parse, value

NOW = 1_700_000_000.0


class AWorker:
    interval_s = 30.0

    def __init__(self, name: str, **fields: Any) -> None:  # noqa: ANN401
        self.name = name
        self.report = Report(**fields)

    async def work(self) -> Progress:
        raise AssertionError


def workers(*names: str) -> list[dict[str, Any]]:
    """Each has ended a pass of two minutes a minute ago."""
    counters = {"failures": 1, "databases": 7, "damaged": 2, "files": 5, "bytes": 77, "done": 3}
    found = []
    for name in names:
        worker = AWorker(
            name,
            passes=1,
            pass_began=NOW - 180,
            last_pass_began=NOW - 180,
            last_pass_s=120.0,
            done=9,
            errors=1,
            gauges={"below_replicas d1": 4, "below_replicas d2": 0, "odd": 7},
        )
        worker.report.counters.update(counters)
        found.append(worker_document(worker, NOW))
    return found


EVERYBODY = (
    *("account-replicator", "container-replicator", "object-replicator"),
    *("account-auditor", "container-auditor", "object-auditor"),
    *("container-updater", "object-updater", "object-expirer"),
)


def facts(*names: str) -> NodeFacts:
    return NodeFacts(
        id="n1",
        at=NOW,
        version="1.2",
        services=("object",),
        rings=[RingFacts(path="/etc/swiftish/object-1.ring.gz", version=3, md5="m1", replicas=3)],
        settings="s1",
        devices=[
            DeviceFacts(
                name="d1",
                path="/srv/node/d1",
                kinds=("object",),
                size=100,
                used=70,
                free=30,
                quarantined={"objects": 1, "objects-2": 2, "containers": 3, "index": 4},
                files={"index.mdb": 4096},
                gauges={"pending_updates": 6, "pending_oldest_s": 1.5},
            ),
            DeviceFacts(name="d2", path="/srv/node/d2", kinds=(), trouble="it is not mounted"),
        ],
        workers=workers(*names),
        workers_at=NOW - 2,
    )


def document(what: str, *names: str) -> Any:  # noqa: ANN401  (JSON)
    return json.loads(json.dumps(DOCUMENTS[what](facts(*(names or EVERYBODY)))))


def test_replication_takes_minutes_with_objects_and_seconds_with_the_others() -> None:
    for kind in ("account", "container"):
        found = document(f"replication/{kind}")
        assert found["replication_time"] == 120
        assert found["replication_last"] == NOW - 60
        assert found["replication_stats"]["attempted"] == 9
        assert found["replication_stats"]["failure"] == 4
        assert found["replication_stats"]["success"] == 5
    found = document("replication/object")
    assert found == document("replication")
    assert found["replication_time"] == found["object_replication_time"] == 2
    assert found["replication_last"] == found["object_replication_last"] == NOW - 60


def test_auditors() -> None:
    assert document("auditor/container") == {
        "container_audits_passed": 5,
        "container_audits_failed": 2,
        "container_audits_since": NOW - 180,
        "container_auditor_pass_completed": 120,
    }
    assert document("auditor/object")["object_auditor_stats_ALL"] == {
        "audit_time": 120,
        "bytes_processed": 77,
        "errors": 1,
        "passes": 5,
        "quarantined": 0,
        "start_time": NOW - 180,
    }


def test_updaters_and_the_expirer() -> None:
    assert document("updater/container") == {"container_updater_sweep": 120}
    assert document("updater/object")["object_updater_sweep"] == 120
    assert document("updater/object")["object_updater_last"] == NOW - 60
    assert document("expirer/object") == {"object_expiration_pass": 120, "expired_last_pass": 3}


def test_where_no_workers_run_there_is_null() -> None:
    """The keys are there: Swift's tool does not ask whether they are."""
    nulls = [
        *("replication/account", "replication/object", "auditor/account", "auditor/object"),
        *("updater/container", "updater/object", "expirer/object", "reconstruction/object"),
        *("sharding", "relinker"),
    ]
    for what in nulls:
        found = document(what, "somebody-else")
        assert found
        assert set(found.values()) == {None}, what


def test_disks() -> None:
    assert document("diskusage") == [
        {"device": "d1", "mounted": True, "size": 100, "used": 70, "avail": 30},
        {"device": "d2", "mounted": "it is not mounted", "size": "", "used": "", "avail": ""},
    ]
    assert document("unmounted") == [{"device": "d2", "mounted": "it is not mounted"}]
    assert document("driveaudit") == {"drive_audit_errors": 1}
    assert document("devices") == {"/srv/node": ["d1", "d2"]}
    assert document("quarantined") == {
        "objects": 3,
        "containers": 3,
        "accounts": 0,
        "policies": {"0": {"objects": 1}, "2": {"objects": 2}},
    }
    assert document("async") == {"async_pending": 6, "async_pending_last": NOW}


def test_digests_and_the_rest() -> None:
    assert document("ringmd5") == {"/etc/swiftish/object-1.ring.gz": "m1"}
    assert document("swiftconfmd5") == {"/etc/swift/swift.conf": "s1"}
    assert document("version") == {"version": "1.2"}
    assert document("time") == NOW
    assert document("node")["workers"][0]["name"] == "account-replicator"


def test_the_same_as_metrics() -> None:
    text = rendered(fact_metrics(facts(*EVERYBODY)))
    assert value(text, "swiftish_objects_below_replicas", device="d1") == 4
    assert value(text, "swiftish_containers_below_replicas", device="d1") == 4
    assert (
        value(text, "swiftish_worker_gauge", worker="object-replicator", what="odd", device="") == 7
    )
    assert value(text, "swiftish_worker_pass_age_seconds", worker="object-auditor") == 60
    counted = {"worker": "object-expirer", "what": "done"}
    assert value(text, "swiftish_worker_count_total", **counted) == 3
    assert value(text, "swiftish_device_in_service", device="d1") == 1
    assert value(text, "swiftish_device_free_bytes", device="d1") == 30
    assert value(text, "swiftish_quarantined", device="d1", kind="objects-2") == 2
    assert value(text, "swiftish_pending_updates", device="d1") == 6
    assert value(text, "swiftish_ring_version", ring="object-1.ring.gz") == 3
    assert value(text, "swiftish_workers_age_seconds") == 2
    of_lost = [
        (name, sample)
        for family in parse(text).values()
        for (name, labels), sample in family.samples.items()
        if ("device", "d2") in labels and name.startswith("swiftish_device")
    ]
    assert of_lost == [("swiftish_device_in_service", 0.0)], "nothing else is known of it"
