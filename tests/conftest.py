"""What all tests share: a seed that is printed, and a folder that can hold objects."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest

SEED = os.environ.get("SWIFTISH_SEED") or secrets.token_hex(4)

# As large as the metadata of an object with everything that clients may set on it.
XATTR_PROBE = bytes(2048)

# The machine is shared, so the time that an example takes says nothing about the code.
hypothesis.settings.register_profile("swiftish", deadline=None, print_blob=True)
hypothesis.settings.load_profile("swiftish")


def pytest_report_header() -> str:
    return f"seed: {SEED} (repeat with SWIFTISH_SEED={SEED}); device: {device_parent()}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The same for the same SWIFTISH_SEED and test, whatever ran before it."""
    digest = hashlib.sha256(f"{SEED} {request.node.nodeid}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


@pytest.fixture
def chance(seed: int) -> random.Random:
    """Seeded chance for one test."""
    return random.Random(seed)


@pytest.fixture
def device() -> Iterator[Path]:
    """An empty folder on a file system with user extended attributes; removed afterwards.

    Under SWIFTISH_TEST_DIR where that is set (an XFS, say), else where the system keeps temporary
    files.
    """
    parent = device_parent()
    with TemporaryDirectory(prefix="swiftish-test-", dir=parent) as folder:
        if trouble := xattr_trouble(Path(folder)):
            pytest.fail(
                f"{parent or 'the folder for temporary files'} cannot hold objects: {trouble}. "
                "Set SWIFTISH_TEST_DIR to a folder on XFS, ext4 or btrfs.",
                pytrace=False,
            )
        yield Path(folder)


def device_parent() -> Path | None:
    configured = os.environ.get("SWIFTISH_TEST_DIR")
    if configured:
        Path(configured).mkdir(parents=True, exist_ok=True)
        return Path(configured)
    return None


def xattr_trouble(folder: Path) -> str | None:
    probe = folder / "xattr-probe"
    probe.touch()
    try:
        os.setxattr(probe, b"user.swiftish.probe", XATTR_PROBE)
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EPERM, errno.ENOSPC, errno.E2BIG}:
            raise
        return f"it refuses user extended attributes of {len(XATTR_PROBE)} bytes ({error.strerror})"
    finally:
        probe.unlink()
    return None
