"""What the cross-checks share: a Python that has OpenStack Swift's own ring code, and a driver."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.suite import cache_folder, environment, only_one
from tests.rings.specs import Oracle

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def swift_python() -> Path:
    """The Python of the environment for Swift's own tests; installed when it is missing."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with only_one(cache / "lock"):
        return environment(cache, print)


@pytest.fixture(scope="session")
def oracle(swift_python: Path) -> Iterator[Oracle]:
    """Asks Swift: one JSON object there, one back (tests/rings/oracle.py)."""
    script = [swift_python, HERE / "oracle.py"]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as them:
        assert them.stdin is not None
        assert them.stdout is not None
        stdin, stdout = them.stdin, them.stdout

        def ask(what: str, **arguments: object) -> dict[str, object]:
            print(json.dumps({"what": what, **arguments}), file=stdin, flush=True)
            answer = json.loads(stdout.readline())
            assert isinstance(answer, dict)
            assert "error" not in answer, answer["error"]
            return answer

        yield ask
        stdin.close()
