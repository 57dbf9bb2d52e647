"""What lies on this node's devices, object by object: fed to `python -` in a storage node.

Prints JSON, for each file's folder: policy, partition, hash, device, the files, and whether the
ring says that it belongs there.
"""

import json
import os
import socket
import sys
from pathlib import Path

from swiftish.ring.watch import load_ring

DEVICES = Path("/srv/node")


def main() -> int:
    address = socket.gethostbyname(socket.gethostname())
    found: list[tuple[int, int, str, str, list[str], bool]] = []
    for index, ring_name in ((0, "object"), (1, "object-1")):
        ring = load_ring(Path(f"/rings/{ring_name}.ring.gz"))
        for device in sorted(os.listdir(DEVICES)):
            root = DEVICES / device / ("objects" if index == 0 else f"objects-{index}")
            for folder in root.glob("*/*/*"):
                partition = int(folder.parts[-3])
                homes = {(d.ip, d.device) for d in ring.primaries(partition)}
                at_home = (address, device) in homes
                files = sorted(os.listdir(folder))
                found.append((index, partition, folder.name, device, files, at_home))
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
