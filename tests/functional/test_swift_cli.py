"""python-swiftclient's own command line stores a real tree and a large file, and gets them back."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sysconfig
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.account import Account
from tests.functional.server import BIN, until

GiB = 1 << 30
BLOCK_BYTES = 1 << 20
LEFT_OUT = {"site-packages", "dist-packages", "__pycache__"}  # not part of the library's source
TREE_FILES_MIN = 500

Swift = Callable[..., str]


def run_swift(auth_url: str, user: tuple[str, str], *arguments: str, status: int = 0) -> str:
    """Standard output of one command, which must end with `status`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ST_", "OS_"))}
    environment |= {"ST_AUTH": auth_url, "ST_USER": user[0], "ST_KEY": user[1]}
    done = subprocess.run(
        [str(BIN / "swift"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == status, (arguments, done.returncode, done.stdout[-2000:], done.stderr)
    return done.stdout


@pytest.fixture
def swift(auth_url: str, user: tuple[str, str]) -> Swift:
    return lambda *arguments, status=0: run_swift(auth_url, user, *arguments, status=status)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def digests(root: Path) -> dict[str, str]:
    """MD5 of every file below a folder, by its path from there."""
    return {str(path.relative_to(root)): digest(path) for path in sorted(files_below(root))}


def files_below(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in files:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                yield path


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source folder of this Python's standard library, as links to the files themselves."""
    source = Path(sysconfig.get_paths()["stdlib"])
    tree = tmp_path_factory.mktemp("tree") / "stdlib"
    for path in files_below(source):
        copy = tree / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path)
    return tree


def test_a_real_tree_goes_up_and_comes_back(
    swift: Swift, library: Path, container: str, account: Account, tmp_path: Path
) -> None:
    """Every file of the standard library is listed with its MD5, and downloads as it was."""
    expected = {
        str(path.relative_to(library)): digest(path)
        for path in library.rglob("*")
        if path.is_file()
    }
    assert len(expected) >= TREE_FILES_MIN
    uploaded = swift("upload", "--object-name", "lib", container, str(library)).splitlines()
    assert len(uploaded) >= len(expected)

    # A row may be late when its container server was busy for a second, but never missing.
    until(lambda: len(account.rows(container)) == len(expected), what="all rows", timeout_s=60)
    listed = swift("list", container).splitlines()
    assert listed == sorted((f"lib/{name}" for name in expected), key=str.encode)
    hashes = {row["name"]: row["hash"] for row in account.rows(container)}
    assert hashes == {f"lib/{name}": md5 for name, md5 in expected.items()}
    stat = swift("stat", container)
    assert f"Objects: {len(expected)}" in stat
    total = sum((library / name).stat().st_size for name in expected)
    assert f"Bytes: {total}" in stat

    swift("download", container, "--output-dir", str(tmp_path), "--remove-prefix", "-p", "lib/")
    assert digests(tmp_path) == expected

    swift("delete", container)
    swift("stat", container, status=1)


def test_one_gibibyte(
    swift: Swift, container: str, scratch: Path, seed: int, account: Account
) -> None:
    """A file of 1 GiB goes up in one PUT and comes back the same."""
    folder = scratch / f"large-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    original, copy = folder / "original", folder / "copy"
    block = random.Random(seed).randbytes(BLOCK_BYTES)
    md5 = hashlib.md5(usedforsecurity=False)
    try:
        with original.open("wb") as file:
            for number in range(GiB // BLOCK_BYTES):  # no block is like another
                piece = number.to_bytes(8, "big") + block[8:]
                md5.update(piece)
                file.write(piece)
        swift("upload", "--object-name", "large", container, str(original))
        original.unlink()
        head = account.request("HEAD", container, "large")
        assert head.headers["content-length"] == str(GiB)
        assert head.headers["etag"] == md5.hexdigest()
        stat = swift("stat", container, "large")
        assert f"ETag: {md5.hexdigest()}" in stat
        swift("download", container, "large", "--output", str(copy))
        assert copy.stat().st_size == GiB
        assert digest(copy) == md5.hexdigest()
    finally:
        for path in (original, copy):
            path.unlink(missing_ok=True)
        folder.rmdir()
    swift("delete", container, "large")
    swift("stat", container, "large", status=1)


def test_stat_post_copy_delete(swift: Swift, container: str, tmp_path: Path) -> None:
    """The other commands do what they say, and end with 0 when they did and 1 when not."""
    file = tmp_path / "note.txt"
    file.write_text("The quick brown fox.\n")
    swift("upload", "--object-name", "note.txt", container, str(file))
    assert "Account: AUTH_" in swift("stat")

    swift("post", container, "-m", "Colour: red", "--read-acl", ".r:*,.rlistings")
    stat = swift("stat", container)
    assert "Meta Colour: red" in stat
    assert "Read ACL: .r:*,.rlistings" in stat

    swift("post", container, "note.txt", "-m", "Author: Käthe", "-H", "Content-Language: en")
    stat = swift("stat", container, "note.txt")
    assert "Meta Author: Käthe" in stat
    assert "Content-Language: en" in stat or "Content-language: en" in stat
    assert "Content Type: text/plain" in stat

    swift(
        "copy", "--destination", f"/{container}/copied", "-m", "Kind: copy", container, "note.txt"
    )
    assert swift("download", container, "copied", "--output", "-") == "The quick brown fox.\n"
    stat = swift("stat", container, "copied")
    assert "Meta Kind: copy" in stat
    assert "Meta Author: Käthe" in stat

    assert swift("list", container, "--prefix", "co").split() == ["copied"]
    assert json.loads(swift("list", container, "--json"))[0]["name"] == "copied"
    assert container in swift("list").splitlines()

    swift("post", "-m", "Purpose: test")
    assert "Meta Purpose: test" in swift("stat")
    swift("post", "-m", "Purpose:")
    assert "Meta Purpose" not in swift("stat")

    swift("delete", container, "note.txt")
    swift("delete", container, "note.txt", status=1)
    swift("stat", container, "note.txt", status=1)
    swift("download", container, "note.txt", status=1)
    swift("delete", container)
    swift("list", container, status=1)
    swift("post", f"{container}-never", "nothing", "-m", "a:b", status=1)


def test_upload_skips_what_is_there(swift: Swift, container: str, tmp_path: Path) -> None:
    """`--changed` and `--skip-identical` compare what the server says with the file."""
    file = tmp_path / "data"
    file.write_bytes(os.urandom(5000))
    for option in ("--changed", "--skip-identical"):
        swift("upload", "--object-name", "data", container, str(file))
        before = swift("stat", container, "data")
        swift("upload", option, "--object-name", "data", container, str(file))
        assert swift("stat", container, "data").splitlines()[:8] == before.splitlines()[:8]


def test_capabilities_and_auth(swift: Swift, auth_url: str, user: tuple[str, str]) -> None:
    """`/info` answers, `swift auth` gives a usable token, and a wrong key is one error line."""
    capabilities = json.loads(swift("capabilities", "--json"))
    assert capabilities["swift"]["max_object_name_length"] == 1024
    assert "export OS_AUTH_TOKEN=" in swift("auth")
    assert not run_swift(auth_url, (user[0], "wrong"), "stat", status=1)
