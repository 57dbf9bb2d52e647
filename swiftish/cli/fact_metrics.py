"""What is known of a node, as metrics: docs/reference/observability.md describes each.

Pure.
"""

from collections.abc import Mapping
from typing import Any

from swiftish.cli.facts import DeviceFacts, NodeFacts
from swiftish.runtime.metrics import Registry, Snapshot

# The gauge by which a replicator says how much on a device has fewer copies than the ring wants.
BELOW = "below_replicas"
_BELOW_OF = {
    "object-replicator": "objects",
    "container-replicator": "containers",
    "account-replicator": "accounts",
}
_GAUGES = {
    "pending_updates": ("swiftish_pending_updates", "Container updates that could not be sent."),
    "pending_oldest_s": (
        "swiftish_pending_update_age_seconds",
        "How long the oldest of them has been waiting.",
    ),
    "unreported": (
        "swiftish_unreported_containers",
        "Containers whose accounts have not heard of their last change.",
    ),
    "accounts": ("swiftish_accounts", "Accounts, the deleted ones among them."),
    "containers": ("swiftish_containers", "Containers, the deleted ones among them."),
}


def fact_metrics(facts: NodeFacts) -> Snapshot:
    """All that is not counted by the processes themselves."""
    registry = Registry()
    gauge = registry.gauge
    gauge("swiftish_info", "The version that runs.", ("version",)).of(facts.version).value = 1
    gauge("swiftish_time_seconds", "The node's clock.").of().value = facts.at
    for ring in facts.rings:
        name = ring.path.rpartition("/")[2]
        versions = gauge("swiftish_ring_version", "The version of a ring in use.", ("ring",))
        versions.of(name).value = ring.version
        digests = gauge("swiftish_ring_info", "The MD5 of its file.", ("ring", "md5"))
        digests.of(name, ring.md5).value = 1
    digest = gauge("swiftish_settings_info", "What all nodes must agree in.", ("digest",))
    digest.of(facts.settings).value = 1
    for device in facts.devices:
        _device(registry, device)
    if facts.workers_at is not None:
        age = gauge("swiftish_workers_age_seconds", "Since the workers last said how they are.")
        age.of().value = max(0.0, facts.at - facts.workers_at)
    for worker in facts.workers:
        _worker(registry, worker, facts.at)
    return registry.snapshot()


def _device(registry: Registry, device: DeviceFacts) -> None:
    def gauge(name: str, about: str, value: float, **labels: str) -> None:
        family = registry.gauge(name, about, ("device", *labels))
        family.of(device.name, *labels.values()).value = value

    in_service = 0 if device.trouble else 1
    gauge("swiftish_device_in_service", "1, or 0 for one that must not be used.", in_service)
    if device.trouble:
        return
    gauge("swiftish_device_size_bytes", "Size of the device's file system.", device.size)
    gauge("swiftish_device_free_bytes", "What is free of it.", device.free)
    gauge("swiftish_device_used_bytes", "What is not free of it.", device.used)
    gauge("swiftish_device_inodes", "How many files it can have; 0: not limited.", device.inodes)
    gauge("swiftish_device_free_inodes", "How many more it can have.", device.inodes_free)
    for kind, count in device.quarantined.items():
        gauge("swiftish_quarantined", "What is in quarantine, by kind.", count, kind=kind)
    for file, size in device.files.items():
        gauge("swiftish_database_bytes", "Size of an LMDB file.", size, file=file)
    for key, value in device.gauges.items():
        name, about = _GAUGES.get(key, (f"swiftish_{key}", "What a service says of a device."))
        gauge(name, about, value)


def _worker(registry: Registry, worker: Mapping[str, Any], now: float) -> None:
    name = worker["name"]

    def gauge(metric: str, about: str, value: float) -> None:
        registry.gauge(f"swiftish_worker_{metric}", about, ("worker",)).of(name).value = value

    def counter(metric: str, about: str, value: float) -> None:
        registry.counter(f"swiftish_worker_{metric}", about, ("worker",)).of(name).value = value

    counter("passes_total", "Passes that a worker has completed.", worker["passes"])
    counter("errors_total", "Units of work that failed.", worker["errors"])
    gauge("working", "1 while a pass is under way.", 1 if worker["state"] == "working" else 0)
    gauge("failing", "1 when the last unit failed.", 1 if worker["state"] == "failing" else 0)
    gauge("pass_done", "Units done of this pass, or of the last one.", worker["done"])
    gauge("pass_bytes", "Bytes done of it.", worker["bytes"])
    gauge("rate", "Units in a second.", worker["rate"])
    if worker["left"] is not None:
        gauge("pass_left", "Units that are left of it, where that is known.", worker["left"])
    if worker["passes"]:
        ended = worker["last_pass_began"] + worker["last_pass_s"]
        gauge("pass_seconds", "How long the last pass took.", worker["last_pass_s"])
        gauge("pass_age_seconds", "Since the last pass ended.", max(0.0, now - ended))
    counts = registry.counter(
        "swiftish_worker_count_total", "What a worker counts, by its own names.", ("worker", "what")
    )
    for what, count in worker["counters"].items():
        counts.of(name, what).value = count
    for key, value in worker["gauges"].items():
        what, _, device = key.partition(" ")
        kind = _BELOW_OF.get(name)
        if what == BELOW and kind:
            about = f"How many {kind} have fewer copies than the ring wants, as of the last pass."
            family = registry.gauge(f"swiftish_{kind}_below_replicas", about, ("device",))
            family.of(device).value = value
        else:
            others = registry.gauge(
                "swiftish_worker_gauge",
                "What a worker says of how things are, by its own names.",
                ("worker", "what", "device"),
            )
            others.of(name, what, device).value = value
