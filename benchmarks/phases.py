"""What is measured: small objects, large objects, listings."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

import uvloop

from benchmarks.client import Ask, Tally, Target, drive
from benchmarks.processes import Usage, usage

KiB, MiB = 1 << 10, 1 << 20
PIECE_BYTES = MiB
PAGE_ROWS = 10_000
WARM_UP = 50  # requests, per connection kind, that are not counted


class Failed(Exception):
    """Answers were not what they had to be; the figures would mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure."""

    concurrencies: tuple[int, ...] = (1, 16, 64)
    duration_s: float = 3.0
    small_bytes: int = KiB
    large_bytes: int = 64 * MiB
    large_count: int = 6
    large_concurrency: int = 1
    listing: str | None = None  # a container that is full already
    listing_pages: int = 100
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the result."""

    what: str
    concurrency: int
    count: int
    per_s: float
    mb_per_s: float  # of bodies, in 10^6 bytes
    p50_ms: float
    p99_ms: float
    server_us: float | None  # CPU time of the server per request
    client_us: float
    others_cores: float

    @property
    def key(self) -> str:
        return f"{self.what} c={self.concurrency}"


@dataclass(slots=True)
class Bench:
    """Runs the phases against one server."""

    target: Target
    plan: Plan
    server: re.Pattern[str] | None  # matches the server's processes
    report: Callable[[Figure], None]
    figures: list[Figure] = field(default_factory=list)

    def small_objects(self) -> None:
        """PUT, GET, HEAD and DELETE at each concurrency, each for as long as the plan says."""
        container = self._container()
        chance = random.Random(self.plan.seed)  # noqa: S311 -- no secret
        body = chance.randbytes(self.plan.small_bytes)
        size = len(body)
        self._run("warm-up", self._puts(container, "warm", body, WARM_UP), {201}, 1, counted=False)
        for concurrency in self.plan.concurrencies:
            prefix = f"c{concurrency}"
            puts = self._puts(container, prefix, body)
            put = self._run(f"PUT {size_of(size)}", puts, {201}, concurrency, sent_bytes=size)
            names = [f"/{container}/{prefix}-{number:07}" for number in range(put.count)]
            shuffled = chance.sample(names, len(names))
            for method, status in (("GET", 200), ("HEAD", 200)):
                asks = self._each(method, shuffled, forever=True)
                self._run(f"{method} {size_of(size)}", asks, {status}, concurrency)
            deleted = self._run(
                f"DELETE {size_of(size)}", self._each("DELETE", shuffled), {204}, concurrency
            )
            rest = self._each("DELETE", shuffled[deleted.count :])
            self._run("clean up", rest, {204}, 16, counted=False)
        self._remove(container)

    def large_objects(self) -> None:
        """PUT and GET of large objects."""
        container = self._container()
        plan, size = self.plan, self.plan.large_bytes
        piece = random.Random(plan.seed).randbytes(PIECE_BYTES)  # noqa: S311 -- no secret
        pieces = tuple(piece[: size - at] for at in range(0, size, PIECE_BYTES))
        names = [f"/{container}/large-{number:03}" for number in range(plan.large_count)]
        puts = (Ask(self.target.head("PUT", name, length=size), pieces) for name in names)
        what, concurrency = size_of(size), plan.large_concurrency
        self._run(f"PUT {what}", puts, {201}, concurrency, sent_bytes=size, timed=False)
        gets = self._each("GET", names)
        self._run(f"GET {what}", gets, {200}, concurrency, timed=False)
        self._run("clean up", self._each("DELETE", names), {204}, 1, counted=False)
        self._remove(container)

    def listings(self) -> None:
        """Pages of a container that was filled before: from its start, its middle, all in turn."""
        container = self.plan.listing
        assert container is not None
        markers = self._markers(container)
        page = f"/{quote(container)}?limit={PAGE_ROWS}"
        middle = quote(markers[len(markers) // 2], safe="")
        cases = {
            "first page, JSON": [f"{page}&format=json"],
            "first page, text": [page],
            "middle page, JSON": [f"{page}&format=json&marker={middle}"],
            "all pages, JSON": [f"{page}&format=json&marker={quote(m, safe='')}" for m in markers],
        }
        for what, paths in cases.items():
            whole = len(paths) > 1
            asks = self._each("GET", paths, forever=not whole)
            self._run(what, asks, {200}, 1, timed=not whole)

    # ---- the parts of them ----------------------------------------------------------------

    def _container(self) -> str:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        status, _, _ = self.target.simple("PUT", f"/{name}")
        if status not in {201, 202}:
            raise Failed(f"{self.target.name}: PUT of a container: {status}")
        return name

    def _remove(self, container: str) -> None:
        # A row may be late: what is listed still is deleted again, as a client would.
        for _ in range(20):
            _, _, body = self.target.simple("GET", f"/{container}")
            names = [f"/{container}/{quote(name)}" for name in body.decode().splitlines()]
            if not names:
                break
            self._run("clean up", self._each("DELETE", names), {204, 404}, 16, counted=False)
        self.target.simple("DELETE", f"/{container}")

    def _puts(
        self, container: str, prefix: str, body: bytes, count: int | None = None
    ) -> Iterator[Ask]:
        head = self.target.head("PUT", f"/{container}/{prefix}-@", length=len(body))
        before, after = head.split(b"@", 1)
        after += body
        number = 0
        while count is None or number < count:
            yield Ask(b"%b%07d%b" % (before, number, after))
            number += 1

    def _each(self, method: str, paths: list[str], *, forever: bool = False) -> Iterator[Ask]:
        asks = [Ask(self.target.head(method, path)) for path in paths]
        yield from asks
        while forever and asks:
            yield from asks

    def _markers(self, container: str) -> list[str]:
        """Where each page of a container begins."""
        markers = [""]
        while len(markers) < self.plan.listing_pages:
            path = f"/{quote(container)}?limit={PAGE_ROWS}&marker={quote(markers[-1], safe='')}"
            status, _, body = self.target.simple("GET", path)
            names = body.decode().splitlines()
            if status not in {200, 204}:
                raise Failed(f"{self.target.name}: listing of {container}: {status}")
            if len(names) < PAGE_ROWS:
                break
            markers.append(names[-1])
        return markers

    def _run(
        self,
        what: str,
        asks: Iterator[Ask],
        statuses: set[int],
        concurrency: int,
        *,
        sent_bytes: int = 0,
        timed: bool = True,
        counted: bool = True,
    ) -> Tally:
        duration_s = self.plan.duration_s if timed and counted else None
        before = usage(self.server)
        tally = uvloop.run(drive(self.target, asks, concurrency=concurrency, duration_s=duration_s))
        spent = usage(self.server) - before
        if not set(tally.statuses) <= statuses:
            raise Failed(f"{self.target.name}: {what}: {tally.statuses}, wanted {statuses}")
        if counted and tally.count:
            has_server = self.server is not None
            figure = figure_of(what, concurrency, tally, spent, sent_bytes, has_server=has_server)
            self.figures.append(figure)
            self.report(figure)
        return tally


def figure_of(
    what: str, concurrency: int, tally: Tally, spent: Usage, sent_bytes: int, *, has_server: bool
) -> Figure:
    latencies = sorted(tally.latencies_s)
    moved = tally.body_bytes + sent_bytes * tally.count
    return Figure(
        what=what,
        concurrency=concurrency,
        count=tally.count,
        per_s=tally.count / tally.elapsed_s,
        mb_per_s=moved / tally.elapsed_s / 1e6,
        p50_ms=percentile(latencies, 0.50) * 1e3,
        p99_ms=percentile(latencies, 0.99) * 1e3,
        server_us=spent.server_s / tally.count * 1e6 if has_server else None,
        client_us=spent.own_s / tally.count * 1e6,
        others_cores=spent.others_s / tally.elapsed_s,
    )


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def size_of(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"
