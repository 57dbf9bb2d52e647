"""Swift's functional tests: fetched with pip, unpacked into a cache, run with pytest.

Nothing of Swift is ever in this repository.  The sdist comes by its hash (sdist.lock); what its
tests import comes from requirements.lock and lives in a virtual environment in the cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.judgement import Result, merge

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.lock"
SDIST_LOCK = HERE / "sdist.lock"
TEST_TIMEOUT_S = 300
PYTEST_STATUS_RAN = (0, 1, 5)  # all passed, some failed, none selected


class SuiteBroken(Exception):
    """Swift's tests could not be fetched, installed or run at all."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Where the tests are and the Python that runs them."""

    python: Path
    tree: Path  # holds `test/`, so that `import swift` finds the installed one


@dataclass(kw_only=True)
class FileRun:
    """What one file of tests came to."""

    collected: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)


def cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/tmp")) / ".cache"  # noqa: S108 -- only where there is no home
    return Path(root) / "swiftish" / "conformance"


def prepare(say: Callable[[str], None]) -> Suite:
    """Fetch, check, unpack and install what is missing; at once when nothing is."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with only_one(cache / "lock"):
        python = environment(cache, say)
        return Suite(python=python, tree=unpacked(cache, python, say))


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Two runs on one machine share a cache: the second waits while the first fills it."""
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def environment(cache: Path, say: Callable[[str], None]) -> Path:
    version = "{}.{}".format(*sys.version_info)
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + version.encode()).hexdigest()[:16]
    folder = cache / f"venv-{key}"
    ready = folder / "ready"
    python = folder / "bin" / "python"
    if not ready.exists():
        count = sum(line[:1].isalpha() for line in REQUIREMENTS.read_text("utf-8").splitlines())
        say(f"installing {count} packages for Swift's tests…")
        venv.create(folder, clear=True, with_pip=True, symlinks=True)
        pip(python, "install", "--only-binary", ":all:", "--requirement", str(REQUIREMENTS))
        ready.touch()
    return python


def unpacked(cache: Path, python: Path, say: Callable[[str], None]) -> Path:
    pin, _, wanted = SDIST_LOCK.read_text("utf-8").strip().partition(" --hash=sha256:")
    name = pin.replace("==", "-")
    tree = cache / f"{name}-{wanted[:16]}"
    if tree.exists():
        return tree
    say(f"fetching {name}.tar.gz…")
    # pip asks an sdist for its metadata, which this one computes with pbr: that is in the
    # environment, pinned, so nothing else needs to be fetched and nothing is compiled.
    options = ("--no-deps", "--no-binary", "swift", "--no-build-isolation")
    downloads = cache / "downloads"
    pip(python, "download", *options, "--dest", str(downloads), "--requirement", str(SDIST_LOCK))
    archive = downloads / f"{name}.tar.gz"
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != wanted:
        raise SuiteBroken(f"{archive} has sha256 {found}, not {wanted}")
    partial = tree.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            inside = member.name.removeprefix(f"{name}/")
            if (
                inside.startswith("test/")
                and ".." not in inside
                and (member.isfile() or member.isdir())
            ):
                member.name = inside
                tar.extract(member, partial)
    partial.rename(tree)
    return tree


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", arguments[0]]
    finished = subprocess.run(
        [*command, "--require-hashes", *arguments[1:]], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise SuiteBroken(f"pip {arguments[0]} failed:\n{finished.stderr.strip()}")


def run_file(
    suite: Suite,
    name: str,
    *,
    config: Path,
    log: Path,
    options: Sequence[str],
    progress: Callable[[str, Result], None],
) -> FileRun:
    """Run one file of tests against the server that `config` names."""
    command = [
        *(
            str(suite.python),
            "-m",
            "pytest",
            "-v",
            "--tb=short",
            "--no-header",
            f"--timeout={TEST_TIMEOUT_S}",
        ),
        *("-c", os.devnull, f"--rootdir={suite.tree}", "-p", "no:cacheprovider"),
        *("-p", "swiftish_reporter", *options, f"test/functional/{name}"),
    ]
    reading, writing = os.pipe()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
        "PYTHONPATH": f"{suite.tree}{os.pathsep}{HERE / 'plugin'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SWIFT_TEST_CONFIG_FILE": str(config),
        "SWIFT_TEST_IN_PROCESS": "0",
        "SWIFTISH_REPORT_FD": str(writing),
    }
    run = FileRun()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=suite.tree,
            env=environment,
            stdout=output,
            stderr=output,
            pass_fds=(writing,),
        ) as process,
    ):
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as lines:
            for line in lines:
                take(run, json.loads(line), progress)
        status = process.wait()
    if status not in PYTEST_STATUS_RAN:
        tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-30:])
        raise SuiteBroken(f"pytest could not run {name} (exit status {status}):\n{tail}")
    return run


def take(run: FileRun, event: dict[str, object], progress: Callable[[str, Result], None]) -> None:
    if "collected" in event:
        assert isinstance(event["collected"], list)
        run.collected = [short(str(test)) for test in event["collected"]]
        return
    test = short(str(event["id"]))
    result = Result(outcome=str(event["outcome"]), message=str(event["message"]))
    run.results[test] = merge(run.results.get(test), result)
    if event["when"] == "teardown":
        progress(test, run.results[test])


def short(test: str) -> str:
    return test.removeprefix("test/functional/")
