"""Clients: seeded requests, one after the other, and a note of each change and what came of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode

from swiftish.cluster.downloader import DownloadBroken
from swiftish.cluster.transport import Kind
from swiftish.domain.limits import MiB
from swiftish.http.message import Body, Bytes, Request
from swiftish.http.replies import Refusal
from tests.fakes.whole_cluster import Answer
from tests.simulation.nemesis.asking import ClientContext
from tests.simulation.nemesis.cluster import Gate, NemesisCluster
from tests.simulation.nemesis.model import Change, Method, Model, Outcome, Seen

PATIENCE_S = 90.0
ACCOUNT = "AUTH_a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What clients do: names, how often, how large, and what of it (weights)."""

    containers: int = 3  # that are never deleted
    fleeting: int = 1  # containers that come and go
    objects: int = 6  # in each
    pause_s: float = 40.0
    large: float = 0.04
    expiring: float = 0.1
    aborted: float = 0.04
    weights: Mapping[str, float]


class Broken(Exception):
    """The client's own connection broke."""


class Upload(Body):
    """A body in pieces, some time between them; it may break before its end."""

    def __init__(self, pieces: Sequence[bytes], *, length: int | None, pause_s: float) -> None:
        self.length = length
        self._pieces = list(pieces)
        self._pause_s = pause_s
        self._breaks = length is not None and sum(map(len, pieces)) < length

    async def read(self) -> bytes:
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        if self._pieces:
            return self._pieces.pop(0)
        if self._breaks:
            raise Refusal(499)
        return b""


def content(number: str, size: int) -> bytes:
    """The bytes of the PUT of that number."""
    return random.Random(number).randbytes(size)


class Client:
    """One client.  `complain` is told of every answer that can't be right; `calm` says since when
    all has been well, or infinity."""

    def __init__(
        self,
        name: str,
        cluster: NemesisCluster,
        model: Model,
        *,
        habits: Habits,
        chance: random.Random,
        complain: Callable[[str, str], None],
        calm: Callable[[], float],
    ) -> None:
        self.name = name
        self.count = 0
        self._cluster = cluster
        self._model = model
        self._habits = habits
        self._chance = chance
        self._complain = complain
        self._calm = calm

    async def run(self, until: float) -> None:
        """Ask one thing after the other."""
        actions = {
            "put": self.put_object,
            "post": self.post_object,
            "delete": self.delete_object,
            "get": self.get_object,
            "head": self.head_object,
            "list": self.list_container,
            "container": self.change_container,
            "account": self.change_account,
        }
        names, weights = list(actions), [self._habits.weights.get(n, 0.0) for n in actions]
        while self.now() < until:
            [action] = self._chance.choices(names, weights)
            await actions[action]()
            await asyncio.sleep(self._chance.expovariate(1 / self._habits.pause_s))

    def now(self) -> float:
        return self._cluster.clock.now()

    # ---- changes of objects ------------------------------------------------------------------

    async def put_object(self) -> None:
        path, number = self._object(), self._number()
        is_large = self._chance.random() < self._habits.large
        size = self._chance.randrange(MiB + 1, 3 * MiB) if is_large else self._size()
        data = content(number, size)
        headers = {"content-type": f"text/{number}", "x-object-meta-put": number}
        delete_at = self._delete_at(headers)
        change = self._change(
            self._model.object(path).changes,
            "PUT",
            number,
            etag=hashlib.md5(data).hexdigest(),  # noqa: S324
            size=size,
            content_type=f"text/{number}",
            delete_at=delete_at,
        )
        body = self._body(data, headers)
        aborted = isinstance(body, Upload) and body._breaks
        await self._do(change, "object", path, headers, body)
        if aborted:
            change.outcome = Outcome.NONE
            if 200 <= change.status < 300:
                self._complain(path, f"an upload that broke off was acknowledged: {change}")

    async def post_object(self) -> None:
        path, number = self._object(), self._number()
        headers = {"x-object-meta-post": number}
        delete_at = self._delete_at(headers)
        content_type = f"text/{number}" if self._chance.random() < 0.4 else None
        if content_type is not None:
            headers["content-type"] = content_type
        change = self._change(
            self._model.object(path).changes,
            "POST",
            number,
            content_type=content_type,
            delete_at=delete_at,
        )
        await self._do(change, "object", path, headers)

    async def delete_object(self) -> None:
        path = self._object()
        change = self._change(self._model.object(path).changes, "DELETE", self._number())
        await self._do(change, "object", path, {})

    # ---- changes of containers and accounts --------------------------------------------------

    async def change_container(self) -> None:
        path = self._container()
        fleeting = path.rpartition("/")[2].startswith("f")
        choices: list[Method] = ["PUT", "POST", *(["DELETE"] * 2 if fleeting else [])]  # type: ignore[list-item]
        change = self._change(
            self._model.container(path).changes, self._chance.choice(choices), self._number()
        )
        headers = {"x-container-meta-by": change.id} if change.method != "DELETE" else {}
        await self._do(change, "container", path, headers)

    async def make_containers(self) -> None:
        """Those that are never deleted."""
        for number in range(self._habits.containers):
            path = f"/{ACCOUNT}/c{number}"
            change = self._change(self._model.container(path).changes, "PUT", self._number())
            await self._do(change, "container", path, {"x-container-meta-by": change.id})

    async def change_account(self) -> None:
        path = f"/{ACCOUNT}"
        change = self._change(self._model.account(path).changes, "POST", self._number())
        await self._do(change, "account", path, {"x-account-meta-by": change.id})

    # ---- reads -------------------------------------------------------------------------------

    async def get_object(self) -> None:
        await self._look("GET", self._object())

    async def head_object(self) -> None:
        await self._look("HEAD", self._object())

    async def list_container(self) -> None:
        path = self._container()
        query = {"format": "json", "limit": str(self._chance.choice([2, 5, 10_000]))}
        if self._chance.random() < 0.3:
            query["prefix"] = f"o{self._chance.randrange(3)}"
        if self._chance.random() < 0.3:
            query["marker"] = f"o{self._chance.randrange(self._habits.objects)}"
        answer = await self.ask("GET", path, query=urlencode(query))
        if answer is None or answer.status != 200:
            return
        found = [row["name"] for row in json.loads(answer.body)]
        expected = [n for n in sorted(set(found)) if n.startswith(query.get("prefix", ""))]
        if found != [n for n in expected if n > query.get("marker", "")]:
            self._complain(path, f"a listing with {query} is {found}")
        for row in json.loads(answer.body):
            name = self._model.objects.get(f"{path}/{row['name']}")
            puts = [] if name is None else list(name.by_etag(row["hash"]))
            if not any(put.outcome is not Outcome.NONE for put in puts):
                self._complain(f"{path}/{row['name']}", f"a listing shows {row}")

    async def _look(self, method: str, path: str) -> None:
        began, span = self.now(), None
        headers = {}
        if method == "GET" and self._chance.random() < 0.3:
            span = self._chance.randrange(600), self._chance.randrange(1, 2 * MiB)
            headers["range"] = f"bytes={span[0]}-{sum(span) - 1}"
        if self._chance.random() < 0.2:
            headers["x-newest"] = "true"
        answer = await self.ask(method, path, headers=headers)
        if answer is None:
            return
        name = self._model.object(path)
        wrong: str | None = None
        if 200 <= answer.status < 300:
            seen = seen_in(answer)
            wrong = name.wrong_version(seen) or self._wrong_bytes(name.path, answer, seen, span)
            if wrong is None and self._calm() < began:
                wrong = name.wrong_state(seen, self.now(), asked=began)
        elif answer.status == 404 and self._calm() < began:
            wrong = name.wrong_state(None, self.now(), asked=began)
        elif answer.status not in (404, 412, 416) and self._calm() < began:
            wrong = f"all is well, and a {method} is answered {answer.status}"
        if wrong is not None:
            how = "".join(f" {key}={value}" for key, value in headers.items())
            self._complain(path, f"at {self.now():.2f} a {method}{how} shows that {wrong}")

    def _wrong_bytes(
        self, path: str, answer: Answer, seen: Seen, span: tuple[int, int] | None
    ) -> str | None:
        put = next(self._model.object(path).by_etag(seen.etag))
        whole = content(put.id, put.size)
        if answer.status == 206 and span is not None:
            whole = whole[span[0] : sum(span)]
        elif answer.headers.get("x-method") == "HEAD":
            whole = b""
        if answer.body == whole:
            return None
        is_part = answer.headers.get("x-broken") and whole.startswith(answer.body)
        return None if is_part else f"{len(answer.body)} bytes are not those of {put.id}"

    # ---- asking ------------------------------------------------------------------------------

    async def _do(
        self,
        change: Change,
        kind: Kind,
        path: str,
        headers: Mapping[str, str],
        body: Body | None = None,
    ) -> None:
        context = ClientContext(kind=kind, method=change.method)
        change.stamps = context.stamps
        answer = await self.ask(change.method, path, body, headers=headers, context=context)
        change.ended = self.now()
        if answer is not None:
            change.status = answer.status
            if 200 <= answer.status < 300 and not (kind == "object" and _is_overtaken(change)):
                change.outcome = Outcome.DONE
        if change.outcome is Outcome.UNKNOWN and not change.stamps:
            change.outcome = Outcome.NONE

    async def ask(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        context: ClientContext | None = None,
    ) -> Answer | None:
        """The answer, as far as it came; None when there was none."""
        self.count += 1
        gate: Gate = self._cluster.gates[self._chance.choice(sorted(self._cluster.gates))]
        length = {} if body is None or body.length is None else {"content-length": str(body.length)}
        if body is None and method in ("PUT", "POST"):
            length = {"content-length": "0"}
        request = Request(
            method=method,
            path=f"/v1{path}",
            query=query,
            headers={**length, **(headers or {})},
            body=body or Bytes(),
            context=context or ClientContext(),
        )
        pieces: list[bytes] = []
        pause_s = self._chance.choice([0.0, 0.0, 0.5, 5.0])
        found: dict[str, str] | None = None
        status = 0
        with suppress(TimeoutError, ConnectionError, Refusal, DownloadBroken):
            async with asyncio.timeout(PATIENCE_S), await gate.ask(request) as response:
                status = response.status
                found = {**response.headers, "x-method": method, "x-broken": "yes"}
                length = {"content-length": str(response.body.length)}
                if method == "HEAD":
                    length = {"content-length": str(response.length)}
                while piece := await response.body.read():
                    pieces.append(piece)
                    if pause_s and not isinstance(response.body, Bytes):
                        await asyncio.sleep(pause_s)
                found = {**found, **length, "x-broken": ""}
        return None if found is None else Answer(status, found, b"".join(pieces))

    # ---- chance ------------------------------------------------------------------------------

    def _number(self) -> str:
        return f"{self.name}-{self.count}"

    def _container(self) -> str:
        habits = self._habits
        number = self._chance.randrange(habits.containers + habits.fleeting)
        if number < habits.containers:
            return f"/{ACCOUNT}/c{number}"
        return f"/{ACCOUNT}/f{number - habits.containers}"

    def _object(self) -> str:
        return f"{self._container()}/o{self._chance.randrange(self._habits.objects)}"

    def _size(self) -> int:
        return self._chance.choice([8, 9, 100, 1000, 5000])

    def _delete_at(self, headers: dict[str, str]) -> int | None:
        if self._chance.random() >= self._habits.expiring:
            return None
        delete_at = int(self.now() + self._chance.uniform(600, 40_000))
        headers["x-delete-at"] = str(delete_at)
        return delete_at

    def _body(self, data: bytes, headers: dict[str, str]) -> Body:
        if self._chance.random() < self._habits.aborted:
            part = data[: self._chance.randrange(len(data))]
            return Upload([part] if part else [], length=len(data), pause_s=0.0)
        if len(data) < MiB and self._chance.random() < 0.8:
            return Bytes(data)
        step = max(1, len(data) // self._chance.randrange(1, 8))
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        chunked = self._chance.random() < 0.5
        if chunked:
            headers["transfer-encoding"] = "chunked"
        pause_s = self._chance.choice([0.0, 0.3, 4.0])
        return Upload(pieces, length=None if chunked else len(data), pause_s=pause_s)

    def _change(
        self,
        changes: list[Change],
        method: Method,
        number: str,
        *,
        etag: str = "",
        size: int = 0,
        content_type: str | None = None,
        delete_at: int | None = None,
    ) -> Change:
        change = Change(
            id=number,
            method=method,
            began=self.now(),
            etag=etag,
            size=size,
            content_type=content_type,
            delete_at=delete_at,
            by=self.name,
        )
        changes.append(change)
        return change


def _is_overtaken(change: Change) -> bool:
    """A PUT of an object that was older than what is there is answered 202."""
    return change.method == "PUT" and change.status == 202


def seen_in(answer: Answer) -> Seen:
    """What an answer to GET or HEAD says of its object."""
    headers = answer.headers
    delete_at = headers.get("x-delete-at")
    whole = headers.get("content-range", "").rpartition("/")[2]
    return Seen(
        etag=headers.get("etag", "").strip('"'),
        put=headers.get("x-object-meta-put"),
        post=headers.get("x-object-meta-post"),
        content_type=headers.get("content-type", ""),
        delete_at=None if delete_at is None else int(delete_at),
        size=int(whole or headers.get("content-length") or -1),
    )
