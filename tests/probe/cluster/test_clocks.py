"""Nodes whose clocks are an hour off (T27): the order in which changes come counts."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.functional.account import Account
from tests.lab.lab import Lab, LabNode
from tests.lab.look import place
from tests.probe.cluster.steps import ACCOUNT, WHOLE, heal, on_primaries, sign_in, spread

# A lab of its own: moments from the future stay in it.
TOPOLOGY = replace(WHOLE, storage=3, disks=1)
HOUR_S = 3600
OFFSETS = (HOUR_S, -HOUR_S)


def with_wrong_clock(lab: Lab, node: LabNode, offset_s: int) -> None:
    """Started anew with a clock of its own; afterwards its `command` is as before."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: no clock can be set wrong")
    shim = lab.folder / "clock_shim.so"
    if not shim.exists():
        source = Path(__file__).with_name("clock_shim.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(shim), str(source)], check=True)
    node.kill()
    usual = node.command
    node.command = ["env", f"LD_PRELOAD={shim}", f"CLOCK_OFFSET_S={offset_s}", *usual]
    lab.start(node.name)
    node.command = usual


@pytest.mark.parametrize("offset_s", OFFSETS)
def test_t27_a_proxys_clock(lab: Lab, account: Account, container: str, offset_s: int) -> None:
    """What is done through it and what is done through the other one follow on each other."""
    wrong = lab.proxies[1]
    with_wrong_clock(lab, wrong, offset_s)
    other = sign_in(lab, proxy=1)
    name = spread(lab, container)
    turns = [other, account, other, account, account, other]
    for number, turn in enumerate(turns):
        turn.put(container, name, b"%d" % number)
        assert {account.get(container, name).body for _ in range(3)} == {b"%d" % number}
    assert account.request("DELETE", container, name).status == 204
    assert other.request("GET", container, name).status == 404
    other.put(container, name, b"again")
    assert account.get(container, name).body == b"again"
    assert other.request("DELETE", container, name).status == 204
    other.close()
    heal(lab)
    assert account.request("GET", container, name).status == 404
    assert account.names(container) == []
    wrong.kill()


@pytest.mark.parametrize("offset_s", OFFSETS)
def test_t27_a_storage_nodes_clock(
    lab: Lab, account: Account, container: str, offset_s: int
) -> None:
    """Nothing that it is told is judged by its own clock."""
    name = spread(lab, container)
    wrong = place(lab, ACCOUNT, container, name).primaries[0].node
    with_wrong_clock(lab, wrong, offset_s)
    for number in range(3):
        account.put(container, name, b"%d" % number)
    heal(lab)
    on_primaries(lab, container, name)
    assert {account.get(container, name).body for _ in range(5)} == {b"2"}
    assert account.request("DELETE", container, name).status == 204
    heal(lab)
    (tombstone,) = on_primaries(lab, container, name)
    assert tombstone.endswith(".ts")
    assert account.names(container) == []
    wrong.kill()
