"""Starts a subject under the tracer, and makes sure that nothing it did was missed."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.probe.crash import snapshot
from tests.probe.crash.events import File, Recording, Snapshot, load_all
from tests.probe.crash.model import replay
from tests.probe.crash.tracer import MARK_FD_VARIABLE

REPOSITORY = Path(__file__).resolve().parents[3]


class CannotRecord(Exception):
    """The subject failed, or the machine forbids tracing; the text says which."""


def record(root: Path, module: str, *arguments: str, timeout_s: float = 120) -> Recording:
    """Run `python -m module root arguments…` and return what it did below `root`.

    Raises CannotRecord.
    """
    before = snapshot.read(root)
    with TemporaryDirectory(prefix="swiftish-trace-") as scratch:
        events = Path(scratch) / "events"
        tracer = [sys.executable, "-m", "tests.probe.crash.tracer", str(root), str(events), "--"]
        subject = [sys.executable, "-m", module, str(root), *arguments]
        ended = subprocess.run(
            [*tracer, *subject],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        if ended.returncode:
            raise CannotRecord(ended.stderr.decode(errors="replace").strip())
        recording = Recording(before=before, events=load_all(events.read_bytes()))
    _compare(_tree(replay(recording)), _tree(snapshot.read(root)))
    return recording


def say(text: str) -> None:
    """A subject's mark: `begin 3` before operation 3, `done 3` once it has been acknowledged."""
    os.write(int(os.environ[MARK_FD_VARIABLE]), text.encode())


def _tree(state: Snapshot) -> dict[str, File | None]:
    return {path: state.files.get(number) for path, number in snapshot.walk(state)}


def _compare(replayed: dict[str, File | None], real: dict[str, File | None]) -> None:
    differences: Sequence[str] = sorted(
        path
        for path in replayed.keys() | real.keys()
        if path not in replayed or path not in real or replayed[path] != real[path]
    )
    if differences:
        raise CannotRecord(
            f"The recorder missed a call: what it replays differs from the disk in {differences}."
        )
