"""T49 to T52: bytes that went bad on a disk never reach a client."""

from __future__ import annotations

import os
import random
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import device_parent
from tests.functional.account import Account
from tests.functional.server import Server, until
from tests.functional.wire import CutShort, Reply, Wire
from tests.probe import disk

MiB = 1 << 20
USER = "test:tester:testing:.admin"


@dataclass(frozen=True)
class Object:
    """One stored object: what must come back, and the files that hold it."""

    name: str
    body: bytes
    headers: dict[str, str]  # metadata, lower case
    files: list[Path]


@dataclass
class Probe:
    """A running server of 1 or 3 replicas, and one container in it."""

    server: Server
    account: Account
    container: str
    replicas: int

    def put(
        self, body: bytes, headers: dict[str, str] | None = None, name: str | None = None
    ) -> Object:
        before = disk.data_files(self.server.data)
        name = name or uuid.uuid4().hex
        reply = self.account.put(self.container, name, body, headers)
        files = disk.wait_for_new(self.server.data, before, self.replicas)
        kept = {key.lower(): value for key, value in (headers or {}).items()}
        return Object(name, body, {"etag": reply.headers["etag"], **kept}, files)

    def get(self, stored: Object, **headers: str) -> Reply | CutShort:
        """The answer, or how far it came before the connection was cut."""
        with Wire(self.account.host, self.account.port) as wire:
            target = self.account.path(self.container, stored.name)
            wire.send_head("GET", target, self.account.headers(headers))
            head = wire.read_head()
            try:
                body = wire.read_body(head)
            except CutShort as cut:
                self.check_headers(stored, head.status, dict(head.headers))
                return cut
            return Reply(head.status, head.reason, head.headers, body)

    def check_headers(self, stored: Object, status: int, headers: dict[str, str]) -> None:
        assert status in {200, 206}
        for name, value in stored.headers.items():
            assert headers[name].strip('"') == value.strip('"')

    def check_get(self, stored: Object) -> None:
        """A GET is right, to the last byte; or, with one replica, an error or a cut connection."""
        answer = self.get(stored)
        if isinstance(answer, CutShort):
            assert self.replicas == 1, "there were good replicas to go on with"
            assert stored.body.startswith(answer.body), "a wrong byte was sent"
            assert len(answer.body) < len(stored.body)
            return
        if self.replicas > 1 or answer.status == 200:
            assert answer.status == 200
            self.check_headers(stored, answer.status, dict(answer.headers))
            assert answer.body == stored.body
            return
        assert answer.status in {404, 503}, answer

    def check_head(self, stored: Object) -> None:
        reply = self.account.request("HEAD", self.container, stored.name)
        if self.replicas > 1 or reply.status == 200:
            self.check_headers(stored, reply.status, dict(reply.headers))
            assert reply.headers["content-length"] == str(len(stored.body))
            return
        assert reply.status in {404, 503}, reply

    def check_found_out(self, stored: Object, spoilt: Path) -> None:
        """Reads are right until one meets the bad file, which then is in quarantine for good."""

        def read_until_quarantined() -> bool:
            self.check_head(stored)
            self.check_get(stored)
            return disk.quarantined(self.server.data, spoilt)

        until(read_until_quarantined, what=f"{spoilt} is in quarantine")
        if self.replicas == 1:
            answer = self.get(stored)
            assert isinstance(answer, Reply)
            assert answer.status in {404, 503}
        self.check_get(stored)
        self.check_head(stored)


@contextmanager
def running(replicas: int) -> Iterator[Probe]:
    devices = 1 if replicas == 1 else 4
    with (
        TemporaryDirectory(prefix="swiftish-bitrot-", dir=device_parent()) as folder,
        Server(
            Path(folder) / "data", workers=2, devices=devices, replicas=replicas, users=(USER,)
        ) as server,
    ):
        account = Account.sign_in(server.auth_url, "test:tester", "testing")
        account.put_container("bitrot")
        try:
            yield Probe(server, account, "bitrot", replicas)
        finally:
            account.close()


@pytest.fixture(scope="module", params=[1, 3], ids=["1 replica", "3 replicas"])
def probe(request: pytest.FixtureRequest) -> Iterator[Probe]:
    with running(request.param) as probe:
        yield probe


RICH = {f"X-Object-Meta-Field-{n:02}": f"{n:02}" * 20 for n in range(60)}
KINDS: dict[str, tuple[int, dict[str, str]]] = {
    "empty": (0, {}),
    "one byte": (1, {}),
    "small": (1000, {"X-Object-Meta-Colour": "red", "Content-Type": "text/plain"}),
    "a few attributes": (1000, {"X-Object-Meta-Long": "x" * 250, "X-Object-Meta-Y": "y" * 200}),
    "rich": (1000, RICH),
    "one block": (MiB, {}),
    "two blocks": (MiB + 1, {}),
    "blocks": (3 * MiB + MiB // 2, {"X-Object-Meta-Colour": "red"}),
    "rich blocks": (2 * MiB + 5, RICH),
}


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> tuple[int, dict[str, str]]:
    value: tuple[int, dict[str, str]] = request.param
    return value


def offsets(size: int, chance: random.Random, extra: int) -> list[int]:
    """The first and last byte of a file, the borders of its blocks, and a few by chance."""
    borders = [block * MiB + nudge for block in range(size // MiB + 2) for nudge in (-1, 0)]
    found = {0, size - 1, *borders, *(chance.randrange(max(size, 1)) for _ in range(extra))}
    return sorted(offset for offset in found if 0 <= offset < size)


def test_t49_a_bit_of_the_file(
    probe: Probe, kind: tuple[int, dict[str, str]], chance: random.Random
) -> None:
    """One bit anywhere in the file, trailer included: found out by the reads that touch it."""
    size, headers = kind
    body = chance.randbytes(size)
    whole = probe.put(body, headers).files[0].stat().st_size
    trailer = [size, (size + whole) // 2, whole - 1] if whole > size else []
    for offset in [*offsets(size, chance, 2), *trailer]:
        stored = probe.put(body, headers)
        spoilt = chance.choice(stored.files)
        disk.flip_byte(spoilt, offset, chance.randrange(8))
        probe.check_found_out(stored, spoilt)


def test_t49_a_bit_of_the_attributes(
    probe: Probe, kind: tuple[int, dict[str, str]], chance: random.Random
) -> None:
    """One bit anywhere in the metadata: HEAD and GET find it out before they say a word of it."""
    size, headers = kind
    body = chance.randbytes(size)
    probed = disk.attributes(probe.put(body, headers).files[0])
    assert probed
    for name, value in probed.items():
        places = {0, 1, 2, 3, len(value) - 1, *(chance.randrange(len(value)) for _ in range(6))}
        for offset in sorted(place for place in places if place < len(value)):
            stored = probe.put(body, headers)
            spoilt = chance.choice(stored.files)
            disk.flip_attribute(spoilt, name, offset, chance.randrange(8))
            probe.check_found_out(stored, spoilt)


def test_t49_every_bit_of_a_small_object(probe: Probe) -> None:
    """Exhaustive, for one small object: every bit of its attributes and of its bytes."""
    if probe.replicas > 1:
        pytest.skip("one replica says it all")
    stored = probe.put(b"precious", {"X-Object-Meta-A": "b"})
    (path,) = stored.files
    clean, name = disk.attributes(path), stored.name
    for attribute, value in clean.items():
        for bit in range(len(value) * 8):
            stored = probe.put(b"precious", {"X-Object-Meta-A": "b"}, name=name)
            disk.flip_attribute(stored.files[0], attribute, bit // 8, bit % 8)
            answer = probe.get(stored)
            assert isinstance(answer, Reply)
            assert answer.status in {404, 503}, (attribute, bit)
    for bit in range(8 * 8):
        stored = probe.put(b"precious", {"X-Object-Meta-A": "b"}, name=name)
        disk.flip_byte(stored.files[0], bit // 8, bit % 8)
        answer = probe.get(stored)
        assert isinstance(answer, CutShort) or answer.status in {404, 503}, bit
        assert b"precious".startswith(answer.body if isinstance(answer, CutShort) else b"")


def test_t49_ranges(probe: Probe, chance: random.Random) -> None:
    """A range that touches a bad block sends none of it; one that does not is served."""
    body = chance.randbytes(4 * MiB)
    bad = 2 * MiB + 12345
    touching = [(bad, bad), (2 * MiB, 2 * MiB), (3 * MiB - 1, 3 * MiB - 1), (MiB, 3 * MiB)]
    for first, last in touching:
        stored = probe.put(body)
        for path in stored.files[:1] if probe.replicas == 1 else stored.files[:2]:
            disk.flip_byte(path, bad)
        for good in ((0, 2 * MiB - 1), (3 * MiB, 4 * MiB - 1), (5, 5)):
            answer = probe.get(stored, Range=f"bytes={good[0]}-{good[1]}")
            assert isinstance(answer, Reply)
            assert answer.status == 206
            assert answer.body == body[good[0] : good[1] + 1]
        answer = probe.get(stored, Range=f"bytes={first}-{last}")
        right = body[first : last + 1]
        if probe.replicas > 1:
            assert isinstance(answer, Reply)
            assert answer.body == right
        elif isinstance(answer, CutShort):
            assert right.startswith(answer.body)
            assert first + len(answer.body) <= 2 * MiB or first >= 3 * MiB
        else:
            assert answer.status in {404, 503}


def test_t49_several_ranges(probe: Probe, chance: random.Random) -> None:
    """The same when the bad block is in the second of several ranges."""
    body = chance.randbytes(4 * MiB)
    stored = probe.put(body)
    for path in stored.files[: 1 if probe.replicas == 1 else 2]:
        disk.flip_byte(path, 3 * MiB)
    answer = probe.get(stored, Range=f"bytes=0-9,{3 * MiB + 5}-{3 * MiB + 1000}")
    wrong = bytearray(body)
    wrong[3 * MiB] ^= 1
    got = answer.body
    assert bytes(wrong[3 * MiB : 3 * MiB + 50]) not in got
    if probe.replicas > 1:
        assert isinstance(answer, Reply)
        assert body[3 * MiB + 5 : 3 * MiB + 1001] in got
    else:
        assert body[3 * MiB + 5 : 3 * MiB + 1001] not in got


def test_copies_of_bad_objects(probe: Probe, chance: random.Random) -> None:
    """A server-side copy of a bad object is not made; from a good replica it is right."""
    body = chance.randbytes(2 * MiB)
    stored = probe.put(body)
    disk.flip_byte(stored.files[0], MiB + 7)
    headers = {"X-Copy-From": f"/{probe.container}/{stored.name}"}
    reply = probe.account.request("PUT", probe.container, f"{stored.name}-copy", headers=headers)
    copy = probe.account.request("GET", probe.container, f"{stored.name}-copy")
    if reply.status == 201:
        assert probe.replicas > 1
        assert copy.body == body
    else:
        assert probe.replicas == 1
        assert reply.status >= 400
        assert copy.status == 404


Spoil = Callable[[Path, Path], None]  # the file to spoil, and one of another object


def truncate(path: Path, size: int) -> None:
    os.truncate(path, max(0, size))


def as_folder(path: Path, _other: Path) -> None:
    path.unlink()
    path.mkdir()


def folder_as_file(path: Path, _other: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_bytes(b"")


SPOILS: dict[str, Spoil] = {
    "truncated by a byte": lambda path, _: truncate(path, path.stat().st_size - 1),
    "truncated to a half": lambda path, _: truncate(path, path.stat().st_size // 2),
    "truncated to a block": lambda path, _: truncate(path, MiB),
    "emptied": lambda path, _: truncate(path, 0),
    "a byte longer": lambda path, _: truncate(path, path.stat().st_size + 1),
    "a sector of zeros": lambda path, _: overwrite(path, 512, bytes(512)),
    "no attributes": lambda path, _: disk.set_attributes(path, {}),
    "another's attributes": lambda path, other: disk.set_attributes(path, disk.attributes(other)),
    "another's file": lambda path, other: (shutil.copy2(other, path), None)[1],
    "swapped": disk.swap,
    "a folder": as_folder,
    "a file for its folder": folder_as_file,
}


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize("size", [2000, 2 * MiB + 99], ids=["one block", "blocks"])
@pytest.mark.parametrize("spoil", list(SPOILS.values()), ids=list(SPOILS))
def test_t50_wrong_files(probe: Probe, spoil: Spoil, size: int, chance: random.Random) -> None:
    """A file that is too short, too long, empty, without metadata, or another object's."""
    stored = probe.put(chance.randbytes(size))
    other = probe.put(chance.randbytes(size))
    twins = [
        (one, two)
        for one in stored.files
        for two in other.files
        if one.parents[4] == two.parents[4]
    ]
    spoilt, twin = chance.choice(twins)
    if spoil is SPOILS["truncated to a block"] and size < MiB:
        pytest.skip("there is no block to truncate to")
    spoil(spoilt, twin)
    probe.check_found_out(stored, spoilt)
    probe.check_get(other)
    probe.check_head(other)


def test_t51_a_lost_write(probe: Probe, chance: random.Random) -> None:
    """An older version's content under the newer version's name is not taken for the newer one."""
    old = probe.put(chance.randbytes(3000), {"X-Object-Meta-Version": "1"})
    aside = probe.server.data.parent / "old-version"
    device = old.files[0].parents[4]
    shutil.copy2(old.files[0], aside)
    new = probe.put(chance.randbytes(3000), {"X-Object-Meta-Version": "2"}, name=old.name)
    (spoilt,) = [path for path in new.files if path.parents[4] == device]
    shutil.copy2(aside, spoilt)
    probe.check_found_out(new, spoilt)


def test_t52_two_of_three(probe: Probe, chance: random.Random) -> None:
    """With two of three replicas bad, the third serves; with all bad, nobody gets a wrong byte."""
    if probe.replicas == 1:
        pytest.skip("for three replicas")
    for size in (5000, 3 * MiB):
        stored = probe.put(chance.randbytes(size))
        for path in stored.files[:2]:
            disk.flip_byte(path, size // 2)
        for path in stored.files[:2]:
            probe.check_found_out(stored, path)
        disk.flip_byte(stored.files[2], size // 2)
        answer = probe.get(stored)
        if isinstance(answer, CutShort):
            assert stored.body.startswith(answer.body)
        else:
            assert answer.status in {404, 503}


@pytest.mark.parametrize("turn", range(8))
def test_metadata_of_a_post(probe: Probe, chance: random.Random, turn: int) -> None:
    """A bad `.meta` is found out as well: neither the wrong nor the old metadata are told."""
    stored = probe.put(b"body", {"X-Object-Meta-Version": "1"})
    before = disk.hash_folder_files(probe.server.data, ".meta")
    posted = {"X-Object-Meta-Version": f"2 in turn {turn}"}
    reply = probe.account.request("POST", probe.container, stored.name, headers=posted)
    assert reply.status == 202

    def metas() -> list[Path]:
        return sorted(disk.hash_folder_files(probe.server.data, ".meta") - before)

    until(lambda: len(metas()) == probe.replicas, what="all replicas have it")
    spoilt = chance.choice(metas())
    name, value = chance.choice(sorted(disk.attributes(spoilt).items()))
    disk.flip_attribute(spoilt, name, chance.randrange(len(value)), chance.randrange(8))
    lower = {key.lower(): value for key, value in posted.items()}
    newer = Object(stored.name, stored.body, lower, stored.files)

    def found_out() -> bool:
        probe.check_head(newer)
        return not spoilt.exists()

    until(found_out, what="the bad file is in quarantine")
    probe.check_get(newer)


def test_a_deleted_object_stays_deleted(probe: Probe, chance: random.Random) -> None:
    """Whatever happens to the content of a tombstone, the object does not come back."""
    stored = probe.put(b"body")
    before = disk.hash_folder_files(probe.server.data, ".ts")
    assert probe.account.request("DELETE", probe.container, stored.name).status == 204
    data = probe.server.data

    def tombstones() -> list[Path]:
        return sorted(disk.hash_folder_files(data, ".ts") - before)

    until(lambda: len(tombstones()) == probe.replicas, what="all have it")
    for path in tombstones():
        for name in disk.attributes(path):
            disk.flip_attribute(path, name, chance.randrange(8))
    for _ in range(10):
        assert probe.account.request("GET", probe.container, stored.name).status == 404


def test_a_new_upload_after_quarantine(probe: Probe, chance: random.Random) -> None:
    """An object that was lost can be stored again at once."""
    stored = probe.put(chance.randbytes(4000))
    for path in stored.files:
        disk.flip_byte(path, 17)
    until(
        lambda: isinstance(answer := probe.get(stored), Reply) and answer.status in {404, 503},
        what="no good copy is left",
    )
    again = probe.put(chance.randbytes(5000), name=stored.name)
    probe.check_get(again)
    answer = probe.get(again)
    assert isinstance(answer, Reply)
    assert answer.status == 200


def test_a_damaged_object_does_not_condemn_its_disk(chance: random.Random) -> None:
    """However often a damaged object is asked for, its disk goes on storing others."""
    with running(3) as probe:
        stored = probe.put(chance.randbytes(4000))
        spoilt = chance.choice(stored.files)
        disk.flip_byte(spoilt, 17)
        probe.check_found_out(stored, spoilt)
        for _ in range(200):
            probe.check_get(stored)
        device = spoilt.parents[4]
        devices = [path.parents[4] for _ in range(20) for path in probe.put(b"more").files]
        assert device in devices
