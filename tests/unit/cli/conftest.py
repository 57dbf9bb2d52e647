"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.rings import THREE, Operator


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Somebody in an empty folder."""
    return Operator(folder=tmp_path, patch=monkeypatch)


@pytest.fixture
def with_ring(operator: Operator) -> Operator:
    """Somebody with `object.builder` of three devices, and its ring."""
    operator.done("object.builder create 6 3 1", f"object.builder {THREE}")
    operator.done("object.builder rebalance --seed 1")
    return operator
