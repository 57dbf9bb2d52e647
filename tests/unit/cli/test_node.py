"""A cluster node's settings file: what it gives, and what is said when it can't be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from swiftish.cli import node as node_module
from swiftish.cli.node import (
    OTHERS_S,
    Node,
    OwnAddresses,
    Unusable,
    findings,
    is_own_address,
    open_cluster_node,
    parse_address,
)
from swiftish.ring.device import Device
from swiftish.ring.even import even_ring
from swiftish.ring.format import encode
from swiftish.ring.hash_id import hash_id
from swiftish.runtime.device_check import mark_device
from swiftish.runtime.device_mark import Identity
from swiftish.runtime.settings import BadSettings, Table, merge

CLUSTER = {"hash_prefix": "pre", "hash_suffix": "suf", "key": "secret"}
PORTS = {"account": 6202, "container": 6201, "object": 6200}
SERVICES = {kind: f"127.0.0.2:{port}" for kind, port in PORTS.items()}


def make_rings(folder: Path, *names: str, suffix: str = "suf") -> None:
    """Rings of three hosts, 127.0.0.1 to 127.0.0.3, each with devices d1 and d2."""
    folder.mkdir(exist_ok=True)
    for name in names or ("account", "container", "object"):
        devices = [
            Device(
                id=2 * host + disk - 3,
                ip=f"127.0.0.{host}",
                port=PORTS[name.partition("-")[0]],
                zone=host,
                device=f"d{disk}",
            )
            for host in (1, 2, 3)
            for disk in (1, 2)
        ]
        known = hash_id(b"pre", suffix.encode())
        ring = even_ring(devices, replicas=3, power=4, hash_id=known)
        (folder / f"{name}.ring.gz").write_bytes(encode(ring))


def opened(folder: Path, table: Table) -> Node:
    base: Table = {
        "cluster": CLUSTER,
        "services": SERVICES,
        "node": {"devices": "srv", "rings": "rings", "state": "state"},
    }
    return open_cluster_node(merge(base, table), folder / "node.toml", run=lambda _: folder / "run")


def test_what_a_file_gives(tmp_path: Path) -> None:
    make_rings(tmp_path / "rings")
    node = opened(tmp_path, {})
    assert node.device_names() == ["d1", "d2"]
    assert node.devices_root == tmp_path / "srv"
    assert node.listens == SERVICES
    here = {str(device) for kind, device in node.devices() if node.here.has(kind, device)}
    assert here == {f"127.0.0.2:{port}/d{disk}" for port in PORTS.values() for disk in (1, 2)}
    assert [policy.replicas for policy in node.policies] == [3]


def test_a_device_that_left_the_rings_is_still_ours(tmp_path: Path) -> None:
    """There may be handoffs on it.  Another cluster's disk, or a folder that never was a device,
    is not."""
    make_rings(tmp_path / "rings")
    known = hash_id(b"pre", b"suf")
    for name, cluster, device in (
        ("d7", known, "d7"),
        ("d8", "another", "d8"),
        ("d9", known, "d1"),
    ):
        (tmp_path / "srv" / name).mkdir(parents=True)
        mark_device(tmp_path / "srv" / name, Identity(cluster=cluster, device=device))
    (tmp_path / "srv" / "lost+found").mkdir()
    assert opened(tmp_path, {}).device_names() == ["d1", "d2", "d7"]


def test_a_node_that_only_serves_clients_has_no_devices(tmp_path: Path) -> None:
    make_rings(tmp_path / "rings")
    table = {"services": {"account": "", "container": "", "object": "", "proxy": "0.0.0.0:8080"}}
    node = opened(tmp_path, table)
    assert (node.device_names(), findings(node)) == ([], [])


def test_the_address_in_the_rings_may_be_another_than_the_one_that_is_listened_at(
    tmp_path: Path,
) -> None:
    make_rings(tmp_path / "rings")
    anywhere = {kind: f"0.0.0.0:{port}" for kind, port in PORTS.items()}
    given = {"services": anywhere, "node": {"ring_ips": ["127.0.0.3"]}}
    assert opened(tmp_path, given).device_names() == ["d1", "d2"]
    found = opened(tmp_path, {"services": anywhere})
    assert found.device_names() == ["d1", "d2"], "all of 127.0.0.0/8 is this machine"


def test_own_addresses_are_found_out() -> None:
    assert is_own_address("127.0.0.7")
    assert not is_own_address("192.0.2.1")
    assert not is_own_address("no such host.invalid")
    own = OwnAddresses(6200)
    assert "127.0.0.1:6200" in own
    assert "127.0.0.1:6201" not in own
    assert "192.0.2.1:6200" not in own
    assert list(own) == ["127.0.0.1:6200"]


def test_an_address_may_become_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interface that was not up yet: a process that has once taken its own device for another's
    must not do so for ever, for it would give its copy up to itself."""
    now, up = [0.0], [False]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(node_module, "is_own_address", lambda _: up[0])
    own = OwnAddresses(6200)
    assert "192.0.2.1:6200" not in own
    up[0] = True
    assert "192.0.2.1:6200" not in own
    now[0] += OTHERS_S
    assert "192.0.2.1:6200" in own
    up[0] = False
    assert "192.0.2.1:6200" in own


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"cluster": {"hash_prefix": "", "hash_suffix": ""}}, "cluster.hash_prefix: missing"),
        ({"services": dict.fromkeys(SERVICES, "")}, "services: none is here"),
        ({"services": {"object": "6200"}}, "services.object: '6200' is not HOST:PORT"),
        ({"services": {"object": "127.0.0.2:6201"}}, "is the address of services."),
        ({"services": {"object": "10.0.0.1:6200"}, "cluster": {"key": ""}}, "cluster.key: missing"),
        ({"cluster": {"replicas": 2, "devices": 3}}, "are for a server on one machine"),
        ({"services": {"objects": "127.0.0.2:6200"}}, "did you mean 'object'"),
        ({"policy": [{"index": 0, "name": "a", "replicas": 2}]}, "policy[0].replicas: is 2, and 3"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, table: Table, words: str) -> None:
    make_rings(tmp_path / "rings")
    with pytest.raises(BadSettings) as caught:
        opened(tmp_path, table)
    assert words in str(caught.value)


def test_a_ring_that_is_missing_or_anothers_is_named_with_its_path(tmp_path: Path) -> None:
    make_rings(tmp_path / "rings", "account", "container")
    with pytest.raises(Unusable, match=f"{tmp_path}/rings/object.ring.gz does not exist"):
        opened(tmp_path, {})
    make_rings(tmp_path / "rings", suffix="another")
    with pytest.raises(Unusable, match=f"{tmp_path}/rings/account.ring.gz"):
        opened(tmp_path, {})


def test_findings(tmp_path: Path) -> None:
    make_rings(tmp_path / "rings")
    (tmp_path / "srv" / "d1").mkdir(parents=True)
    said = findings(opened(tmp_path, {"services": {"account": "127.0.0.9:6202"}}))
    assert [sentence.partition(":")[0] for sentence in said] == [
        "services.account",
        f"{tmp_path}/srv/d1",
        f"{tmp_path}/srv/d2",
    ]
    assert "d1: it is not mounted" in said[1]


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "host:65536", "host:x", "host:-1"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(BadSettings, match=r"x: .* is not HOST:PORT"):
        parse_address(text, setting="x")
    assert parse_address("[::1]:80", setting="x") == ("::1", 80)
