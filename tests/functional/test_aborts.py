"""T74: clients that leave at every stage of a request leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable

import pytest

from tests.functional.account import Account
from tests.functional.server import Server, until
from tests.functional.wire import CutShort, Wire

MiB = 1 << 20
LARGE = 8 * MiB
TIMES = 25  # per stage
MANY = 10_000
# What an allocator keeps after its first thousands of requests is no leak; a leak of a small
# buffer (1 KiB) per request would show as 10 MiB.
GROWTH_BYTES_MAX = 8 * MiB

Leave = Callable[[Wire], None]
Stage = Callable[[Account, str, Wire], None]


def connect_only(account: Account, container: str, wire: Wire) -> None:
    """Nothing is sent."""


def half_a_line(account: Account, container: str, wire: Wire) -> None:
    wire.send(b"PUT /v1/AUTH_te")


def half_the_headers(account: Account, container: str, wire: Wire) -> None:
    whole = wire.head_bytes("PUT", account.path(container, "partial"), account.headers())
    wire.send(whole[: len(whole) * 2 // 3])


def put_head(account: Account, container: str, wire: Wire, **headers: str) -> None:
    names = {"length": "Content-Length", "expect": "Expect", "coding": "Transfer-Encoding"}
    more = {names[key]: value for key, value in headers.items()}
    wire.send_head("PUT", account.path(container, "partial"), account.headers(more))


def no_body(account: Account, container: str, wire: Wire) -> None:
    put_head(account, container, wire, length="1000")


def after_100(account: Account, container: str, wire: Wire) -> None:
    put_head(account, container, wire, length="1000", expect="100-continue")
    assert wire.read_head().status == 100


def half_a_small_body(account: Account, container: str, wire: Wire) -> None:
    put_head(account, container, wire, length="1000")
    wire.send(bytes(500))


def half_a_large_body(account: Account, container: str, wire: Wire) -> None:
    put_head(account, container, wire, length=str(4 * MiB))
    wire.send(bytes(2 * MiB + 17))


def inside_a_chunk_size(account: Account, container: str, wire: Wire) -> None:
    put_head(account, container, wire, coding="chunked")
    wire.send_chunk(bytes(100))
    wire.send(b"1")


def inside_a_chunk(account: Account, container: str, wire: Wire) -> None:
    put_head(account, container, wire, coding="chunked")
    wire.send(b"ffff\r\n" + bytes(1000))


def before_the_last_chunk(account: Account, container: str, wire: Wire) -> None:
    put_head(account, container, wire, coding="chunked")
    wire.send_chunk(bytes(70_000))


def before_any_answer(account: Account, container: str, wire: Wire) -> None:
    wire.send_head("GET", account.path(container, "large"), account.headers())


def after_the_answers_head(account: Account, container: str, wire: Wire) -> None:
    before_any_answer(account, container, wire)
    assert wire.read_head().status == 200


def half_of_an_answer(account: Account, container: str, wire: Wire) -> None:
    after_the_answers_head(account, container, wire)
    wire.read_exactly(LARGE // 2)


def half_of_many_parts(account: Account, container: str, wire: Wire) -> None:
    ranges = {"Range": f"bytes=0-{MiB},{2 * MiB}-{6 * MiB}"}
    wire.send_head("GET", account.path(container, "large"), account.headers(ranges))
    assert wire.read_head().status == 206
    wire.read_exactly(2 * MiB)


def while_copying(account: Account, container: str, wire: Wire) -> None:
    destination = {"Destination": f"{container}/copied"}
    wire.send_head("COPY", account.path(container, "large"), account.headers(destination))


def while_listing(account: Account, container: str, wire: Wire) -> None:
    wire.send_head("GET", account.path(container), account.headers())


def several_at_once(account: Account, container: str, wire: Wire) -> None:
    head = wire.head_bytes("GET", account.path(container, "large"), account.headers())
    wire.send(head * 5)


STAGES: list[Stage] = [
    connect_only,
    half_a_line,
    half_the_headers,
    no_body,
    after_100,
    half_a_small_body,
    half_a_large_body,
    inside_a_chunk_size,
    inside_a_chunk,
    before_the_last_chunk,
    before_any_answer,
    after_the_answers_head,
    half_of_an_answer,
    half_of_many_parts,
    while_copying,
    while_listing,
    several_at_once,
]

LEAVES: dict[str, Leave] = {"FIN": Wire.close, "RST": Wire.reset}


def leave(account: Account, container: str, stage: Stage, how: Leave) -> None:
    """Go through a request up to a stage, and leave."""
    wire = Wire(account.host, account.port)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, CutShort):
            stage(account, container, wire)
    finally:
        with contextlib.suppress(OSError):
            how(wire)
        wire.close()


@pytest.fixture
def filled(account: Account, container: str) -> str:
    account.put(container, "large", os.urandom(LARGE))
    return container


@pytest.mark.parametrize("how", LEAVES.values(), ids=LEAVES.keys())
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_t74_leaving_leaves_nothing(
    account: Account, filled: str, server: Server, stage: Stage, how: Leave
) -> None:
    """No descriptor, no nameless file and no half object remains; the server goes on."""
    leave(account, filled, stage, how)  # what is made once, and kept, is made now
    account.close()
    wait_for_uploads(server)
    before = server.open_files()
    for _ in range(TIMES):
        leave(account, filled, stage, how)
    # Pools may keep a connection or a thread more than before, but not one per request.
    until(
        lambda: server.open_files() <= before + TIMES // 5,
        what=f"descriptors are back at {before}",
    )
    wait_for_uploads(server)
    assert account.request("GET", filled, "partial").status == 404
    assert [name for name in account.names(filled) if name == "partial"] == []
    assert len(account.get(filled, "large").body) == LARGE


def wait_for_uploads(server: Server) -> None:
    """Until no file without a name is open: nothing is half written any more."""
    left: list[str] = []

    def none_left() -> bool:
        left[:] = server.nameless_files()
        return not left

    try:
        until(none_left, what="every file without a name is closed")
    except AssertionError as error:
        raise AssertionError(f"{error}: {left}") from None


def test_t74_ten_thousand_aborted_requests(
    account: Account, filled: str, server: Server, chance: random.Random
) -> None:
    """Memory is as flat after 10,000 aborted requests as after the first thousands.

    With bodies of moderate size, so that what an allocator keeps for a few large ones at once does
    not hide what each request may leave.
    """
    account.put(filled, "large", os.urandom(100_000))
    too_large = {half_a_large_body, half_of_an_answer, half_of_many_parts, while_copying}
    cheap = [stage for stage in STAGES if stage not in too_large | {several_at_once}]

    def some(count: int) -> None:
        for _ in range(count):
            how = chance.choice(list(LEAVES.values()))
            leave(account, filled, chance.choice(cheap), how)

    some(3000)
    wait_for_uploads(server)
    files, memory = server.open_files(), server.resident_bytes()
    some(MANY)
    until(lambda: server.open_files() <= files + 20, what=f"descriptors are back at {files}")
    wait_for_uploads(server)
    grown = server.resident_bytes() - memory
    assert grown < GROWTH_BYTES_MAX, f"{MANY} aborted requests: {memory} bytes and {grown} more"
    assert len(account.get(filled, "large").body) == 100_000


def test_an_upload_that_stops_is_never_seen(account: Account, filled: str) -> None:
    """A half upload over an object leaves the object as it was."""
    account.put(filled, "kept", b"first version")
    for part in (0, 1, 500, 999):
        wire = Wire(account.host, account.port)
        headers = account.headers({"Content-Length": "1000"})
        wire.send_head("PUT", account.path(filled, "kept"), headers)
        wire.send(bytes(part))
        wire.finish_sending()
        with contextlib.suppress(CutShort):
            assert wire.read_reply("PUT").status in {400, 408, 499}
        wire.close()
        assert account.get(filled, "kept").body == b"first version"
