"""Labs for tests: one for each topology, started once, whole again before each test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.functional.account import Account
from tests.lab.lab import Lab, temporary_lab
from tests.lab.topology import Topology
from tests.probe.cluster.steps import WHOLE, container_name, sign_in

Labs = Callable[[Topology], Lab]


@pytest.fixture(scope="session")
def labs() -> Iterator[Labs]:
    """The lab of a topology, for all modules that want the same."""
    with ExitStack() as stack:
        running: dict[str, Lab] = {}

        def lab_of(topology: Topology) -> Lab:
            if repr(topology) not in running:
                running[repr(topology)] = stack.enter_context(temporary_lab(topology))
            return running[repr(topology)]

        yield lab_of


@pytest.fixture
def lab(labs: Labs, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The module's `TOPOLOGY`, or one where each node holds everything; all nodes up with their
    usual settings, all cables and disks plugged in."""
    found = labs(getattr(request.module, "TOPOLOGY", WHOLE))
    mend(found)
    yield found
    if request.node.stash.get(FAILED, False):
        sys.stderr.write(found.log_tails())


def mend(lab: Lab) -> None:
    """Undo what a test has done to it."""
    lab.network.heal()
    for node, disk in lab.disks():
        disk.release()
        if disk.is_out:
            if node.running:
                node.kill()
            disk.plug()
    for node in lab.nodes.values():
        if node.running:
            node.resume()
        if node.configure({}) and node.running:
            node.kill()
    if down := [node.name for node in lab.nodes.values() if not node.running]:
        lab.start(*down)


@pytest.fixture
def account(lab: Lab) -> Iterator[Account]:
    """The lab's user, at the first proxy."""
    signed_in = sign_in(lab)
    assert signed_in.request("POST").status == 204  # it is made by its first use
    yield signed_in
    signed_in.close()


@pytest.fixture
def container(account: Account, request: pytest.FixtureRequest) -> str:
    name = container_name(request.node.name)
    account.put_container(name)
    return name


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test is noted, so that what the nodes said last is shown."""
    report = yield
    if report.when == "call" and report.failed:
        item.stash[FAILED] = True
    return report
