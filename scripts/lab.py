"""`make lab`: a cluster of real processes in ./lab, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.lab.disks import SIZE_BYTES
from tests.lab.lab import Lab
from tests.lab.topology import Topology


def main() -> int:
    """`make lab`: a lab in ./lab until Ctrl-C."""
    folder = Path("lab").absolute()
    if folder.exists():
        print(f"lab: {folder} is there already; remove it, or move it away", file=sys.stderr)
        return 1
    folder.mkdir()
    topology = Topology()
    with Lab(folder, topology) as lab:
        print(welcome(lab), flush=True)
        stopped = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, stopped)
        signal.sigwait(stopped)
        print("lab: stopping", flush=True)
    return 0


def welcome(lab: Lab) -> str:
    """What runs where, and what to try."""
    network = "network namespaces" if lab.network.can_cut else "127.0.0.x"
    disks = f"an XFS of {SIZE_BYTES >> 20} MB each" if lab.on_xfs else "plain folders"
    lines = [f"A cluster in {lab.folder} ({network}; devices: {disks})", ""]
    for node in lab.nodes.values():
        what = "proxy" if node.is_proxy else ", ".join(str(d.path.name) for d in node.disks)
        lines.append(f"  {node.name}  {node.address:<14} pid {node.process.pid:<7} {what}")
    auth = f"{lab.urls[0]}/auth/v1.0"
    lines += [
        "",
        f"  export ST_AUTH={auth} ST_USER=test:tester ST_KEY=testing",
        "  swift upload documents README.md",
        f"  swiftish workers --config {lab.folder}/n1/node.toml",
        "  kill -9 the pid of a node, and watch the others",
        "",
        "Ctrl-C takes it down.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
