"""The data folder: made once, found again, never changed by a mistake."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from swiftish.cli.node import Node, Unusable
from swiftish.cli.onenode import lock, open_node, server_settings
from swiftish.ring.format import encode
from swiftish.ring.hash_id import hash_id
from swiftish.runtime.settings import BadSettings, Table

GOLD = {"index": 0, "name": "gold", "default": True, "replicas": 3}
SILVER = {"index": 1, "name": "silver", "replicas": 2}


def start(folder: Path, above: Table | None = None, users: list[Table] | None = None) -> Node:
    return open_node(folder, above or {}, source=None, users=users or []).node


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_first_start_makes_everything_and_later_ones_find_it(device: Path) -> None:
    above = {"cluster": {"devices": 4, "replicas": 3}}
    opened = open_node(device, above, source=None, users=[])
    assert opened.first_start
    first = opened.node
    assert sorted(path.name for path in first.devices_root.iterdir()) == ["d1", "d2", "d3", "d4"]
    (user,) = first.settings.auth.tempauth.user
    assert (user.account, user.user, tuple(user.groups)) == ("admin", "admin", (".admin",))
    assert len(user.key) >= 20
    before = everything(device)
    opened = open_node(device, {}, source=None, users=[])
    assert not opened.first_start
    again = opened.node
    assert again.settings.cluster == first.settings.cluster
    assert again.settings.auth == first.settings.auth
    assert again.policies == first.policies
    assert again.rings.container.current().replicas == 3
    assert everything(device) == before


def test_secrets_differ_and_are_for_the_owner_only(tmp_path: Path) -> None:
    nodes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        nodes.append(start(tmp_path / name))
    one, two = (node.settings for node in nodes)
    assert one.cluster.hash_prefix != two.cluster.hash_prefix
    assert one.auth.tempauth.user[0].key != two.auth.tempauth.user[0].key
    assert (tmp_path / "one" / "swiftish.toml").stat().st_mode & 0o077 == 0


def test_users_of_the_first_start_are_kept_and_later_ones_join_them(device: Path) -> None:
    """Groups, quotes and unusual characters in keys survive the file."""
    key = 'k"ey\\ü'
    start(device, users=[{"account": "a", "user": "u", "key": key, "groups": [".admin", "x"]}])
    more = [{"account": "b", "user": "u", "key": "k", "groups": []}]
    users = start(device, users=more).settings.auth.tempauth.user
    assert [(u.account, u.key, tuple(u.groups)) for u in users] == [
        ("a", key, (".admin", "x")),
        ("b", "k", ()),
    ]
    changed = [{"account": "a", "user": "u", "key": "new", "groups": []}]
    assert [u.key for u in start(device, users=changed).settings.auth.tempauth.user] == ["new"]


def test_policies_come_from_the_settings_and_stay_with_the_data(device: Path) -> None:
    above = {"cluster": {"devices": 3, "replicas": 3}, "policy": [GOLD, SILVER]}
    start(device, above)
    node = start(device)
    assert [(p.name, p.replicas) for p in node.policies] == [("gold", 3), ("silver", 2)]
    assert node.rings.objects[1].current().replicas == 2
    assert (device / "rings" / "object-1.ring.gz").exists()


def test_a_policy_may_be_added_later_but_not_left_out(device: Path) -> None:
    layout = {"devices": 3, "replicas": 3}
    start(device, {"cluster": layout, "policy": [GOLD]})
    assert start(device, {"policy": [GOLD, SILVER]}).rings.objects[1].current().replicas == 2
    start(device, {"policy": [GOLD, SILVER]})
    with pytest.raises(BadSettings, match="'gold'"):
        start(device, {"policy": [{"index": 1, "name": "silver", "default": True}]})


@pytest.mark.parametrize(
    ("above", "why"),
    [
        ({"cluster": {"devices": 8}}, "cluster.devices: is 8.*laid out with 4"),
        ({"cluster": {"hash_prefix": "x"}}, "cluster.hash_prefix"),
        ({"cluster": {"replicas": 1}}, "cluster.replicas: is 1"),
        ({"proxy": {"acount_autocreate": True}}, "did you mean 'account_autocreate'"),
        ({"policy": [{"index": 0, "name": "gold", "replicas": 2}]}, "ring has 3 replicas"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(
    device: Path, above: Table, why: str
) -> None:
    start(device, {"cluster": {"devices": 4, "replicas": 3}})
    before = everything(device)
    with pytest.raises((BadSettings, Unusable), match=why):
        start(device, above)
    assert everything(device) == before


def test_more_replicas_than_devices_are_refused_before_anything_is_made(device: Path) -> None:
    with pytest.raises(BadSettings, match="each replica needs a device of its own"):
        start(device, {"cluster": {"devices": 2, "replicas": 3}})
    assert list(device.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(device: Path) -> None:
    (device / "thesis.tex").write_text("years of work")
    with pytest.raises(Unusable, match="holds something else"):
        start(device)
    assert [path.name for path in device.iterdir()] == ["thesis.tex"]


def test_a_first_start_that_was_cut_off_begins_anew(device: Path) -> None:
    """Settings are written last: without them, empty device folders and rings are leftovers."""
    node = start(device, {"cluster": {"devices": 2, "replicas": 2}})
    (device / "swiftish.toml").unlink()
    assert start(device).rings.account.current().replicas == 1
    (device / "swiftish.toml").unlink()
    (node.devices_root / "d1" / "objects").mkdir()
    with pytest.raises(Unusable, match="holds something else"):
        start(device)


def test_a_damaged_ring_is_named(device: Path) -> None:
    start(device)
    ring = device / "rings" / "container.ring.gz"
    ring.write_bytes(ring.read_bytes()[:-5])
    with pytest.raises(Unusable, match=r"container\.ring\.gz: the ring is truncated"):
        start(device)


def test_rings_carry_the_clusters_hash_id_and_are_held_to_it(device: Path) -> None:
    """With a ring of another cluster nothing is found: it is refused, and left as it is."""
    first = start(device)
    cluster = first.settings.cluster
    wanted = hash_id(cluster.hash_prefix.encode(), cluster.hash_suffix.encode())
    rings = first.rings
    assert {ring.current().hash_id for ring in rings.files} == {wanted}
    path = device / "rings" / "object.ring.gz"
    path.write_bytes(encode(replace(rings.account.current(), hash_id="0123456789abcdef")))
    before = everything(device)
    message = rf"{path}: the ring was made for a cluster with another hash prefix or suffix"
    with pytest.raises(Unusable, match=message):
        start(device)
    assert everything(device) == before


def test_a_ring_from_before_there_were_hash_ids_is_fine(device: Path) -> None:
    first = start(device)
    path = device / "rings" / "object.ring.gz"
    path.write_bytes(encode(replace(first.rings.account.current(), hash_id="")))
    before = everything(device)
    assert start(device).rings.objects[0].current().hash_id == ""
    assert everything(device) == before


def test_a_missing_device_folder_is_not_made_again(device: Path) -> None:
    """It may be a disk that is not mounted: an empty folder in its place would lose writes."""
    node = start(device, {"cluster": {"devices": 2, "replicas": 1}})
    shutil.rmtree(node.devices_root / "d2")
    start(device)
    assert not (node.devices_root / "d2").exists()


def test_only_one_server_at_a_time(device: Path) -> None:
    held = lock(device)
    with pytest.raises(Unusable, match="another swiftish is serving"):
        lock(device)
    os.close(held)
    os.close(lock(device))


def test_a_folder_that_cannot_be_made_is_named(device: Path) -> None:
    (device / "file").write_text("")
    with pytest.raises(Unusable, match=r"file/data can't be written: Not a directory"):
        lock(device / "file" / "data")


def test_server_settings_are_known_before_anything_is_made(device: Path) -> None:
    assert server_settings(device, {}, source=None).bind == "127.0.0.1:8080"
    assert server_settings(device, {"server": {"workers": 2}}, source=None).workers == 2
    assert list(device.iterdir()) == []


@pytest.mark.parametrize(
    ("above", "why"),
    [
        ({"server": {"workers": -1}}, "server: workers must be between 0 and"),
        ({"server": {"log_level": "loud"}}, "server.log_level: 'loud' is none of 'debug', 'info'"),
        ({"server": {"drain_timeout_s": -1}}, "server: drain_timeout_s must be"),
        ({"proxy": {"client_timeout_s": 0}}, "proxy: client_timeout_s must be more than 0"),
        ({"proxy": {"node_timeout_s": float("nan")}}, "proxy: node_timeout_s must be more than 0"),
    ],
)
def test_what_makes_no_sense_is_said_with_the_settings_name(
    device: Path, above: Table, why: str
) -> None:
    with pytest.raises(BadSettings, match=why):
        server_settings(device, above, source=None)
