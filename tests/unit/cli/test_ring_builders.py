"""Builders are made, set and rebalanced; rings are written; the exit codes say how it went."""

from __future__ import annotations

from pathlib import Path

import pytest

from swiftish.cli import ring_command
from swiftish.ring.errors import RingError
from swiftish.ring.format import decode
from swiftish.ring.hash_id import hash_id
from tests.unit.cli.rings import THREE, Operator

HOUR_S = 3600


def settings(folder: Path, name: str = "node.toml", prefix: str = "p") -> str:
    text = f'[cluster]\nhash_prefix = "{prefix}"\nhash_suffix = "s"\n[other]\nx = 1\n'
    (folder / name).write_text(text, "utf-8")
    return name


def test_a_builder_from_the_first_command_to_its_ring(operator: Operator) -> None:
    """Every save leaves a copy behind."""
    operator.done("object.builder create 6 3 1", f"object.builder {THREE}")
    found = operator.json("object.builder")
    assert (found["partitions"], found["replicas"], found["zones"]) == (64, 3, 3)
    assert found["ring"]["state"] == "missing"
    assert found["dispersion"] is None
    done = operator.json("object.builder rebalance --seed 1")
    assert (done["status"], done["moved"], done["balance"], done["saved"]) == (0, 192, 0, True)
    found = operator.json("object.builder")
    assert found["ring"]["state"] == "up to date"
    assert [d["parts"] for d in found["devices"]] == [64, 64, 64]
    assert decode((operator.folder / "object.ring.gz").read_bytes()).version == found["version"]
    names = {path.name for path in (operator.folder / "backups").iterdir()}
    assert {f"{int(operator.clock.now())}.object.{kind}" for kind in ("builder", "ring.gz")} < names


def test_the_ring_is_obsolete_after_a_change(with_ring: Operator) -> None:
    """Also after one that moves nothing."""
    with_ring.done("object.builder set_info d0 _hello")
    assert with_ring.json("object.builder")["ring"]["state"] == "obsolete"
    with_ring.done("object.builder write_ring --format-version 2")
    assert with_ring.json("object.builder")["ring"]["state"] == "up to date"
    assert with_ring.json("object.builder version")["format_version"] == 2
    (with_ring.folder / "object.ring.gz").write_bytes(b"junk")
    assert with_ring.json("object.builder")["ring"]["state"] == "unreadable"
    assert "object.ring.gz" in with_ring.refused("object.builder version")


def test_nothing_to_do_is_a_warning_and_changes_nothing(with_ring: Operator) -> None:
    """It is said for how long partitions have to stay, and --force saves all the same."""
    before = with_ring.contents()
    answer = with_ring.run("object.builder rebalance")
    assert answer.status == 1
    assert "min_part_hours are 1, and what moved last may move again in 1:00:00" in answer.err
    with_ring.clock.move(HOUR_S)
    assert "there is no need to" in with_ring.run("object.builder rebalance").err
    assert with_ring.contents() == before
    with_ring.done("object.builder rebalance --force")
    assert with_ring.contents() != before


def test_partitions_that_moved_stay_for_a_while(with_ring: Operator) -> None:
    with_ring.done("object.builder add z4-10.0.0.4:6200/sdd 100")
    before = with_ring.contents()
    assert with_ring.run("object.builder rebalance").status == 1
    assert with_ring.contents() == before
    with_ring.done("object.builder pretend_min_part_hours_passed")
    done = with_ring.json("object.builder rebalance")
    assert (done["status"], done["moved"]) == (0, 48)


def test_shortcomings_of_a_ring_are_warnings(operator: Operator) -> None:
    """It is written nevertheless."""
    operator.done("b create 6 3 0", "b add z1-10.0.0.1:1/a 100 z1-10.0.0.1:1/b 100")
    operator.done("b add z1-10.0.0.1:1/c 300")
    answer = operator.run("b rebalance")
    assert answer.status == 1
    assert "a balance of" in answer.err
    assert operator.json("b")["ring"]["state"] == "up to date"
    operator.done("c create 6 2 0", "c add z1-10.0.0.1:1/a 100 z1-10.0.0.1:1/b 100")
    operator.done("c add z2-10.0.0.2:1/a 10")
    answer = operator.run("c rebalance")
    assert answer.status == 1
    assert "a dispersion of" in answer.err


def test_too_few_devices_are_an_error(operator: Operator) -> None:
    operator.done("b create 4 3 1")
    assert "b: " in operator.refused("b rebalance")
    operator.done("b add z1-10.0.0.1:1/a 1 z1-10.0.0.1:1/b 1")
    operator.refused("b rebalance")
    operator.refused("b write_ring")
    operator.refused("b validate")


def test_fewer_replicas_are_a_change(operator: Operator) -> None:
    """Though no partition moves."""
    operator.done("b create 4 3 1", f"b {THREE}", "b rebalance", "b set_replicas 1")
    assert operator.json("b rebalance")["saved"]
    assert sum(d["parts"] for d in operator.json("b")["devices"]) == 16


def test_the_same_seed_makes_the_same_ring(operator: Operator) -> None:
    """Wherever the seed stands, and also without one."""
    rings = []
    lines = ("--seed 5", "-s 5", "5", "5 --force", "", "")
    for number, line in enumerate(lines):
        operator.done(f"b{number} create 8 3 0", f"b{number} {THREE}")
        operator.done(f"b{number} add z1-10.0.0.9:1/a 50")
        assert operator.run(f"b{number} rebalance {line}").status == 1  # it is not perfect
        rings.append(decode((operator.folder / f"b{number}.ring.gz").read_bytes()).rows)
    assert rings[0] == rings[1] == rings[2] == rings[3] != rings[4] == rings[5]


@pytest.mark.parametrize(
    ("line", "status", "field", "value"),
    [
        ("set_replicas 2.5", 0, "replicas", 2.5),
        ("set_overload 0.1", 0, "overload", 0.1),
        ("set_overload 10%", 0, "overload", 0.1),
        ("set_overload 200%", 0, "overload", 2),
        ("set_overload 2", 1, "overload", 2),
        ("set_min_part_hours 7", 0, "min_part_hours", 7),
        ("prepare_increase_partition_power", 0, "next_partition_power", 7),
    ],
)
def test_settings(with_ring: Operator, line: str, status: int, field: str, value: float) -> None:
    found = with_ring.json(f"object.builder {line}")
    assert (found["status"], found[field]) == (status, pytest.approx(value))
    assert with_ring.json("object.builder")[field] == pytest.approx(value)


@pytest.mark.parametrize(
    "line", ["set_replicas 0.9", "set_overload -1", "set_overload nan", "set_min_part_hours -1"]
)
def test_settings_that_make_no_sense(with_ring: Operator, line: str) -> None:
    with_ring.refused(f"object.builder {line}")


def test_the_partition_power_is_increased_step_by_step(with_ring: Operator) -> None:
    """Each step only after the one before it, and what comes next is said."""
    b = "object.builder"
    for step in ("increase", "cancel_increase", "finish_increase"):
        with_ring.refused(f"{b} {step}_partition_power")
    with_ring.done(f"{b} prepare_increase_partition_power")
    assert "about to become 7" in with_ring.run(b).err
    with_ring.refused(f"{b} prepare_increase_partition_power")
    with_ring.refused(f"{b} finish_increase_partition_power")
    with_ring.done(f"{b} increase_partition_power")
    assert "is 7 now: write_ring" in with_ring.run(b).err
    with_ring.done(f"{b} write_ring")
    assert "is 7 now: clean up" in with_ring.run(b).err
    with_ring.refused(f"{b} cancel_increase_partition_power")
    with_ring.done(f"{b} finish_increase_partition_power", f"{b} write_ring")
    answer = with_ring.run(b)
    assert answer.err == ""
    assert "128 partitions" in answer.out


def test_an_increase_is_cancelled(with_ring: Operator) -> None:
    b = "object.builder"
    with_ring.done(f"{b} prepare_increase_partition_power", f"{b} cancel_increase_partition_power")
    with_ring.refused(f"{b} increase_partition_power")
    with_ring.done(f"{b} finish_increase_partition_power")
    assert with_ring.json(b)["next_partition_power"] is None


def test_only_object_rings_double(operator: Operator) -> None:
    operator.done("account.builder create 4 1 0")
    assert "object rings" in operator.refused("account.builder prepare_increase_partition_power")


def test_create_replaces_a_builder_and_says_so(with_ring: Operator) -> None:
    """As in Swift; what it was is in the backups, also if it came from elsewhere."""
    before = (with_ring.folder / "object.builder").read_bytes()
    for kept in (with_ring.folder / "backups").iterdir():
        kept.unlink()
    answer = with_ring.run("object.builder create 5 2 1")
    assert answer.status == 0
    assert "replaced" in answer.err
    copy = Path(answer.err.strip().rpartition(" ")[2])
    assert copy.read_bytes() == before
    assert with_ring.json("object.builder")["partitions"] == 32


def test_no_copy_stays_of_a_builder_that_is_not_replaced(
    with_ring: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RingError("/disk: full")

    monkeypatch.setattr(ring_command, "save_builder", full)
    assert with_ring.refused("object.builder create 5 2 1") == "/disk: full"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"SRB\x01 and so on", "swiftish's own"),
        (b"\x1f\x8b and so on", "write_builder takes rings"),
        (b"junk", "it is no builder of Swift's, or it is damaged or truncated"),
        (b"\x80\x02}q\x00.", "it is no builder of Swift's"),
        (b"\x80\x02(", "damaged or truncated"),
        (b"\x80\x02K\x01a.", "damaged or truncated"),
        (b"\x80\x02cos\nsystem\n.", "it imports 'os.system', which no builder needs; nothing of"),
        (b"\x80\x02}(U\x04devs]U\x0apart_powerK\xffu.", "part_power is 255"),
    ],
)
def test_what_can_not_be_imported(operator: Operator, data: bytes, why: str) -> None:
    """Said to somebody who looks after disks, not after pickles."""
    path = operator.folder / "old"
    path.write_bytes(data)
    sentence = operator.refused("b.builder import old")
    assert sentence.startswith(f"{path}: ")
    assert why in sentence
    assert "pickle" not in sentence


def test_a_lost_builder_is_made_from_its_ring(with_ring: Operator) -> None:
    """Everything is where it was."""
    before = with_ring.json("object.builder list_parts d1")
    (with_ring.folder / "object.builder").unlink()
    answer = with_ring.run("object.ring.gz write_builder")
    assert answer.status == 0
    assert "min_part_hours is 24 now" in answer.err
    with_ring.done("object.builder validate")
    assert with_ring.json("object.builder list_parts d1") == before
    found = with_ring.json("object.builder")
    assert (found["min_part_hours"], found["ring"]["state"]) == (24, "up to date")
    (with_ring.folder / "object.builder").unlink()
    with_ring.refused("object.builder write_builder x")
    with_ring.done("object.builder write_builder 5")


# ---- hash prefixes ---------------------------------------------------------------------------


def test_a_bound_builder_writes_bound_rings(operator: Operator) -> None:
    node = settings(operator.folder)
    operator.done(f"b create 4 3 1 --settings {node}", f"b {THREE}", "b rebalance")
    mine = hash_id(b"p", b"s")
    assert operator.json("b")["hash_id"] == mine
    assert decode((operator.folder / "b.ring.gz").read_bytes()).hash_id == mine
    assert operator.done(f"b validate --settings {node}").err == ""
    operator.done("b.ring.gz version", f"b.ring.gz nodes AUTH_a --settings {node} --json")


def test_another_cluster_s_ring_is_refused(operator: Operator) -> None:
    """The builder, and a ring that was put beside it."""
    node, other = settings(operator.folder), settings(operator.folder, "other.toml", prefix="q")
    operator.done(f"b create 4 3 1 --settings {node}", f"b {THREE}", "b rebalance")
    operator.done(f"c create 4 3 1 --settings {other}", f"c {THREE}", "c rebalance")
    for line in ("b validate", "b nodes a", "b.ring.gz nodes a"):
        assert "another hash prefix" in operator.refused(f"{line} --settings {other}")
    (operator.folder / "b.ring.gz").write_bytes((operator.folder / "c.ring.gz").read_bytes())
    assert "b.ring.gz" in operator.refused(f"b validate --settings {node}")


def test_an_unbound_ring_is_told_to_be_so(with_ring: Operator) -> None:
    node = settings(with_ring.folder)
    answer = with_ring.run(f"object.builder validate --settings {node}")
    assert answer.status == 0
    assert "is not bound to a hash prefix" in answer.err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither"),
        ("[cluster]\nhash_prefix = 5\n", "must be text"),
        ("cluster = 5\n", "must be text"),
        ("[cluster\n", "not TOML"),
    ],
)
def test_settings_without_a_prefix(operator: Operator, text: str, why: str) -> None:
    (operator.folder / "node.toml").write_text(text, "utf-8")
    sentence = operator.refused("b create 4 3 1 --settings node.toml")
    assert why in sentence
    assert str(operator.folder / "node.toml") in sentence
    assert "none.toml" in operator.refused("b create 4 3 1 --settings none.toml")
