"""Addresses for the nodes of a lab, and cuts between them.

Where root may make network namespaces each node has one, with a cable to a common bridge: then a
node can be unplugged, and any two can be cut off from each other.  Elsewhere all nodes are on
127.0.0.x and no cable can be pulled.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Protocol

NOBODY = "02:00:00:00:00:01"  # a hardware address that no card has


class CannotCut(RuntimeError):
    """This machine has no network that can be cut."""


class Network(Protocol):
    """`count` nodes, each with an address."""

    can_cut: bool

    def address(self, node: int) -> str: ...

    def prefix(self, node: int) -> list[str]:
        """What stands before a command that is to run on the node."""
        ...

    def namespace(self, node: int) -> str | None:
        """The name of the node's network namespace, if it has one."""
        ...

    def unplug(self, node: int) -> None: ...

    def plug(self, node: int) -> None: ...

    def cut(self, one: int, other: int) -> None:
        """What `one` sends to `other` is lost; `other` may still be heard by `one`'s card."""
        ...

    def heal(self) -> None:
        """Nothing is cut or unplugged any more."""
        ...

    def close(self) -> None: ...


class Loopback:
    """127.0.<lab>.<node>: works everywhere."""

    can_cut = False

    def __init__(self, count: int, *, lab: int) -> None:
        assert count < 250
        self._lab = lab

    def address(self, node: int) -> str:
        return f"127.0.{self._lab}.{10 + node}"

    def prefix(self, node: int) -> list[str]:
        return []

    def namespace(self, node: int) -> str | None:
        return None

    def unplug(self, node: int) -> None:
        raise CannotCut

    def plug(self, node: int) -> None:
        raise CannotCut

    def cut(self, one: int, other: int) -> None:
        raise CannotCut

    def heal(self) -> None:
        return

    def close(self) -> None:
        return


class Namespaces:
    """10.77.<lab>.<node>, a network namespace each, on one bridge with the host at .1."""

    can_cut = True

    def __init__(self, count: int, *, lab: int) -> None:
        self._lab = lab
        self._count = count
        self._cuts: set[tuple[int, int]] = set()
        self._unplugged: set[int] = set()
        self._bridge = f"swl{lab}"
        self.close()  # what a lab that was killed has left
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"10.77.{lab}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        self._let_through("-I")
        for node in range(count):
            name, outer = self._name(node), f"{self._bridge}n{node}"
            _ip("netns", "add", name)
            _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", outer, "master", self._bridge, "up")
            _ip("-n", name, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")

    def address(self, node: int) -> str:
        return f"10.77.{self._lab}.{10 + node}"

    def prefix(self, node: int) -> list[str]:
        return ["ip", "netns", "exec", self._name(node)]

    def namespace(self, node: int) -> str | None:
        return self._name(node)

    def unplug(self, node: int) -> None:
        self._unplugged.add(node)
        _ip("link", "set", f"{self._bridge}n{node}", "down")

    def plug(self, node: int) -> None:
        self._unplugged.discard(node)
        _ip("link", "set", f"{self._bridge}n{node}", "up")

    def cut(self, one: int, other: int) -> None:
        self._cuts.add((one, other))
        _ip(
            *("-n", self._name(one), "neigh", "replace", self.address(other)),
            *("lladdr", NOBODY, "nud", "permanent", "dev", "eth0"),
        )

    def heal(self) -> None:
        for one, other in self._cuts:
            _ip("-n", self._name(one), "neigh", "del", self.address(other), "dev", "eth0")
        self._cuts.clear()
        for node in list(self._unplugged):
            self.plug(node)

    def close(self) -> None:
        for node in range(self._count):
            # The kernel takes down a namespace, and the cable with it, when it has time for that.
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("link", "del", f"{self._bridge}n{node}")
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", self._name(node))
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._bridge)
        self._let_through("-D")

    def _let_through(self, change: str) -> None:
        """A container engine's rules forbid what crosses a bridge that is not its own."""
        if shutil.which("iptables") is None:
            return
        rule = ["FORWARD", "-i", self._bridge, "-j", "ACCEPT"]
        with contextlib.suppress(subprocess.CalledProcessError):
            _run(["iptables", "-w", change, *rule])

    def _name(self, node: int) -> str:
        return f"swiftish-{self._lab}-{node}"


def best_network(count: int, *, lab: int) -> Network:
    """Namespaces where they can be had, else loopback."""
    if namespaces_work():
        return Namespaces(count, lab=lab)
    return Loopback(count, lab=lab)


def namespaces_work() -> bool:
    """Tried out: root in a container often may not."""
    if os.getuid() != 0:
        return False
    name = f"swiftish-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        try:
            _ip("-n", name, "link", "add", "try0", "type", "veth", "peer", "name", "try1")
            _ip("-n", name, "link", "add", "try2", "type", "bridge")
        finally:
            _ip("netns", "del", name)
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False
    return True


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
