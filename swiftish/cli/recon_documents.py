"""Swift's recon documents, made of what is known of a node (reference 2.13).

Names and shapes are those that Swift's `swift-recon` reads, so that it can be pointed at us.  What
has not happened yet, or does not exist here, is null, as in Swift.  Times are seconds since the
epoch, durations seconds, but for the object replicator's and the reconstructor's: minutes.

Pure.
"""

from collections.abc import Callable, Mapping
from typing import Any

from swiftish.cli.facts import NodeFacts

# Under which name Swift's tool looks for the digest of what all nodes' settings must agree in.
SWIFT_CONF = "/etc/swift/swift.conf"
# What our replicators count of what went wrong.
_FAILURES = ("failures", "refused", "damaged")


def replication(facts: NodeFacts, kind: str) -> dict[str, Any]:
    """When the last pass of a replicator ended, and how long it took.

    `attempted` are the partitions or databases of the pass, `failure` is counted since the start.
    """
    worker = facts.worker(f"{kind}-replicator")
    seconds, ended = _last_pass(worker)
    stats = None
    if worker:
        counters = worker["counters"]
        failed = worker["errors"] + sum(counters.get(name, 0) for name in _FAILURES)
        stats = {
            "attempted": worker["done"],
            "success": max(0, worker["done"] - failed),
            "failure": failed,
            **counters,
        }
    if kind == "object":
        minutes = None if seconds is None else seconds / 60
        return {
            "replication_time": minutes,
            "replication_stats": stats,
            "replication_last": ended,
            "object_replication_time": minutes,
            "object_replication_last": ended,
        }
    return {"replication_time": seconds, "replication_stats": stats, "replication_last": ended}


def auditor(facts: NodeFacts, kind: str) -> dict[str, Any]:
    """What the auditor has found since it was started.

    Swift's scanner for files of zero bytes is our quick auditor.
    """
    if kind == "object":
        return {
            "object_auditor_stats_ALL": _audit(facts.worker("object-auditor")),
            "object_auditor_stats_ZBF": _audit(facts.worker("object-auditor-quick")),
        }
    worker = facts.worker(f"{kind}-auditor")
    seconds, _ = _last_pass(worker)
    found = seconds is not None
    counters = worker.get("counters", {})
    failed = counters.get("damaged", 0)
    return {
        f"{kind}_audits_passed": counters.get("databases", 0) - failed if found else None,
        f"{kind}_audits_failed": failed if found else None,
        f"{kind}_audits_since": worker["last_pass_began"] if found else None,
        f"{kind}_auditor_pass_completed": seconds,
    }


def _audit(worker: Mapping[str, Any]) -> dict[str, Any] | None:
    if not worker:
        return None
    counters = worker["counters"]
    return {
        "audit_time": _last_pass(worker)[0] or 0,
        "bytes_processed": counters.get("bytes", 0),
        "errors": worker["errors"] + counters.get("errors", 0),
        "passes": counters.get("files", 0),
        "quarantined": counters.get("quarantined", 0),
        "start_time": worker["pass_began"],
    }


def updater(facts: NodeFacts, kind: str) -> dict[str, Any]:
    worker = facts.worker(f"{kind}-updater")
    seconds, ended = _last_pass(worker)
    if kind == "container":
        return {"container_updater_sweep": seconds}
    return {
        "object_updater_sweep": seconds,
        "object_updater_stats": worker.get("counters") if worker else None,
        "object_updater_last": ended,
    }


def expirer(facts: NodeFacts) -> dict[str, Any]:
    worker = facts.worker("object-expirer")
    seconds, _ = _last_pass(worker)
    expired = worker.get("counters", {}).get("done", 0)
    return {
        "object_expiration_pass": seconds,
        "expired_last_pass": None if seconds is None else expired,
    }


def pending(facts: NodeFacts) -> dict[str, Any]:
    """Container updates that wait on this node's devices."""
    found = [d.gauges["pending_updates"] for d in facts.devices if "pending_updates" in d.gauges]
    return {"async_pending": int(sum(found)), "async_pending_last": facts.at}


def disk_usage(facts: NodeFacts) -> list[dict[str, Any]]:
    """Of each device; `mounted` is the reason where it is out of service."""
    return [
        {
            "device": device.name,
            "mounted": device.trouble or True,
            "size": "" if device.trouble else device.size,
            "used": "" if device.trouble else device.used,
            "avail": "" if device.trouble else device.free,
        }
        for device in facts.devices
    ]


def unmounted(facts: NodeFacts) -> list[dict[str, Any]]:
    """The devices that are out of service, and why."""
    return [
        {"device": device.name, "mounted": device.trouble}
        for device in facts.devices
        if device.trouble
    ]


def quarantined(facts: NodeFacts) -> dict[str, Any]:
    policies: dict[str, dict[str, int]] = {}
    found = {"objects": 0, "containers": 0, "accounts": 0}
    for device in facts.devices:
        for kind, count in device.quarantined.items():
            if kind.startswith("objects"):
                policy = policies.setdefault(kind.partition("-")[2] or "0", {"objects": 0})
                policy["objects"] += count
                found["objects"] += count
            elif kind in found:
                found[kind] += count
    return {**found, "policies": policies}


def devices(facts: NodeFacts) -> dict[str, list[str]]:
    """The names of the devices by the folder that they are in."""
    found: dict[str, list[str]] = {}
    for device in facts.devices:
        found.setdefault(device.path.removesuffix(f"/{device.name}"), []).append(device.name)
    return found


def sharding(_: NodeFacts) -> dict[str, Any]:
    return {"sharding_stats": None, "sharding_time": None, "sharding_last": None}


# What is at /recon/<name>, for all that is made of the facts.
DOCUMENTS: Mapping[str, Callable[[NodeFacts], object]] = {
    "node": NodeFacts.document,
    "replication": lambda facts: replication(facts, "object"),
    "replication/account": lambda facts: replication(facts, "account"),
    "replication/container": lambda facts: replication(facts, "container"),
    "replication/object": lambda facts: replication(facts, "object"),
    "auditor/account": lambda facts: auditor(facts, "account"),
    "auditor/container": lambda facts: auditor(facts, "container"),
    "auditor/object": lambda facts: auditor(facts, "object"),
    "updater/container": lambda facts: updater(facts, "container"),
    "updater/object": lambda facts: updater(facts, "object"),
    "expirer/object": expirer,
    "reconstruction/object": lambda _: {
        "object_reconstruction_last": None,
        "object_reconstruction_time": None,
    },
    "async": pending,
    "diskusage": disk_usage,
    "unmounted": unmounted,
    "quarantined": quarantined,
    "devices": devices,
    "sharding": sharding,
    "relinker": lambda _: {"devices": None, "workers": None},
    # Swift counts the kernel's complaints of a disk; we, the disks that are out of service.
    "driveaudit": lambda facts: {"drive_audit_errors": len(unmounted(facts))},
    "ringmd5": lambda facts: {ring.path: ring.md5 for ring in facts.rings},
    "swiftconfmd5": lambda facts: {SWIFT_CONF: facts.settings},
    "version": lambda facts: {"version": facts.version},
    "time": lambda facts: facts.at,
}


def _last_pass(worker: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """How long a worker's last pass took, and when it ended; None for one without a pass."""
    if not worker.get("passes"):
        return None, None
    return worker["last_pass_s"], worker["last_pass_began"] + worker["last_pass_s"]
