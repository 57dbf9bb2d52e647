"""The picture of a node, with devices and processes that are in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from swiftish.cli.facts import from_document
from swiftish.cli.onenode import open_node
from swiftish.cli.picture import OUT_OF_SERVICE, NodePicture, settings_digest
from swiftish.http.replies import Refusal
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.metrics import Registry
from swiftish.runtime.metrics_files import PREFIX
from swiftish.runtime.status import SERVING_FILE, WORKERS_FILE, write_status
from swiftish.runtime.tasks import Background
from swiftish.runtime.threads import DeviceThreads
from tests.fakes.clock import EPOCH_S, LoopClock
from tests.fakes.loop import simulate
from tests.fakes.prometheus import value


class FakePart:
    """A service that answers for a device as soon as it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer: dict[str, asyncio.Event] = {}
        self.refuses = ""

    async def gauges(self, device: LocalDevice) -> Mapping[str, float]:
        self.asked.append(device.name)
        if device.name in self.may_answer:
            await self.may_answer[device.name].wait()
        if device.name == self.refuses:
            raise Refusal(507, "the index is gone")
        return {"pending_updates": 3, "something_new": 1}


class Scene:
    """A node of two devices."""

    def __init__(self, folder: Path) -> None:
        node = open_node(folder, {"cluster": {"devices": 2}}, source=None, users=[]).node
        self.run = node.run
        self.part = FakePart()
        self.devices = Devices(node.devices_root, ["d1", "d2"])
        self.picture = NodePicture(
            node=node,
            clock=LoopClock(),
            background=Background(),
            devices=self.devices,
            threads=DeviceThreads("node"),
            registry=Registry(),
            parts=[self.part],
        )

    async def troubles(self) -> dict[str, str | None]:
        found: Any = await self.picture.document("node")
        return {device["name"]: device["trouble"] for device in found["devices"]}


@pytest.fixture
def scene(device: Path) -> Scene:
    return Scene(device)


def test_all_that_is_known(scene: Scene) -> None:
    write_status(scene.run / SERVING_FILE, {"id": "abc", "listens": {}})
    write_status(scene.run / WORKERS_FILE, {"at": EPOCH_S - 4, "pid": 1, "workers": []})
    facts = from_document(simulate(scene.picture.document("node")))
    assert facts.id == "abc"
    assert facts.workers_at == EPOCH_S - 4
    assert [device.name for device in facts.devices] == ["d1", "d2"]
    assert facts.devices[0].kinds == ["account", "container", "object"]
    assert facts.devices[0].size > facts.devices[0].free > 0
    assert [ring.replicas for ring in facts.rings] == [1, 1, 1]
    text = simulate(scene.picture.metrics())
    assert value(text, "swiftish_pending_updates", device="d1") == 3
    assert value(text, "swiftish_something_new", device="d1") == 1
    assert value(text, "swiftish_processes") == 1
    with pytest.raises(KeyError):
        simulate(scene.picture.document("unheard-of"))


def test_t32_a_device_that_hangs_is_looked_at_once_and_holds_up_nobody(scene: Scene) -> None:
    async def main() -> None:
        part = scene.part
        may_answer = part.may_answer["d1"] = asyncio.Event()
        loop = asyncio.get_running_loop()
        for _ in range(3):
            began = loop.time()
            assert await scene.troubles() == {"d1": "it does not answer", "d2": None}
            assert loop.time() - began <= 3
        assert part.asked.count("d1") == 1, "its threads are not filled with looks"
        may_answer.set()
        assert await scene.troubles() == {"d1": None, "d2": None}

    simulate(main())


def test_a_device_out_of_service_is_left_alone(scene: Scene) -> None:
    found = scene.devices.get("d2")
    assert found is not None
    found.fail("a sync failed")
    assert simulate(scene.troubles()) == {"d1": None, "d2": "a sync failed"}
    assert scene.part.asked == ["d1"]
    text = simulate(scene.picture.metrics())
    assert value(text, "swiftish_device_in_service", device="d1") == 1
    assert value(text, "swiftish_device_in_service", device="d2") == 0


def test_what_another_process_has_taken_out_of_service_is_out_of_service(scene: Scene) -> None:
    registry = Registry()
    gauge = registry.gauge(
        OUT_OF_SERVICE,
        "A device that a process has taken out of service, and why.",
        ("device", "reason"),
        rule="max",
    )
    gauge.of("d1", "a sync failed there").value = 1
    write_status(scene.run / f"{PREFIX}1.json", registry.snapshot())  # process 1 always lives
    assert simulate(scene.troubles()) == {"d1": "a sync failed there", "d2": None}


def test_a_service_that_refuses_is_trouble_with_its_device_only(scene: Scene) -> None:
    scene.part.refuses = "d2"
    found = simulate(scene.troubles())
    assert found["d1"] is None
    assert "the index is gone" in str(found["d2"])


def test_the_digest_is_of_what_must_be_the_same(device: Path) -> None:
    def digest(folder: Path, **tables: object) -> str:
        hashes = {"hash_prefix": "x", "hash_suffix": "y"}
        above = {"cluster": hashes, **tables}
        return settings_digest(open_node(folder, above, source=None, users=[]).node)

    for name in ("one", "two", "three", "four"):
        (device / name).mkdir()
    one = digest(device / "one")
    assert digest(device / "two", server={"log_level": "error"}) == one
    assert digest(device / "three", limits={"max_object_name_length": 99}) != one
    policy = {"index": 0, "name": "gold", "default": True}
    assert digest(device / "four", policy=[policy]) != one
