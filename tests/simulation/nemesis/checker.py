"""After a day: is everything as the model allows, and everything where it belongs?

Nothing here mends anything, but for a last round of requests that has to succeed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from swiftish.domain.expiry import QUEUE_ACCOUNT
from swiftish.http.message import Bytes, Request
from swiftish.object.paths import QUARANTINE
from tests.fakes import cluster_state as state
from tests.fakes.whole_cluster import Answer
from tests.simulation.nemesis.asking import ClientContext
from tests.simulation.nemesis.clients import ACCOUNT, seen_in
from tests.simulation.nemesis.cluster import NemesisCluster
from tests.simulation.nemesis.model import Model, disorder
from tests.simulation.nemesis.nemesis import Nemesis


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong, and with which name."""

    name: str
    text: str
    history: str = ""

    def __str__(self) -> str:
        return f"  {self.name}: {self.text}\n{self.history}".rstrip()


class Checker:
    """Compares a cluster that has settled with a model."""

    def __init__(self, cluster: NemesisCluster, model: Model, nemesis: Nemesis) -> None:
        self._cluster = cluster
        self._model = model
        self._nemesis = nemesis

    async def check(self) -> list[Complaint]:
        """Everything that is wrong."""
        found = list(self._order())
        for part in (
            self._objects,
            self._containers,
            self._accounts,
            self._places,
            self._leftovers,
            self._queue,
        ):
            found += await part()
        return found

    # ---- what clients see --------------------------------------------------------------------

    async def _objects(self) -> list[Complaint]:
        """I1, I2, I3: every name, from every proxy."""
        found = []
        for path, name in self._model.objects.items():
            for gate in self._cluster.gates:
                answer = await self._ask(gate, "GET", path)
                seen = seen_in(answer) if answer.status == 200 else None
                wrong = name.wrong_state(seen, self._cluster.clock.now())
                if answer.status not in (200, 404):
                    wrong = f"a GET is answered {answer.status}"
                if wrong is not None:
                    found.append(Complaint(path, wrong, name.report()))
                    break
        return found

    async def _containers(self) -> list[Complaint]:
        found = []
        for path, owner in self._model.containers.items():
            answer = await self._ask("p0", "GET", path, "format=json")
            listed = json.loads(answer.body) if answer.status == 200 else []
            wrong = None if listed else owner.wrong_existence(answer.status == 200)
            if wrong is None and answer.status == 200:
                wrong = owner.wrong_metadata(answer.headers.get("x-container-meta-by"))
            wrong = wrong or self._wrong_listing(path, listed, answer)
            if wrong is not None:
                found.append(Complaint(path, wrong, owner.report()))
            found += [c async for c in self._wrong_rows(path, listed)]
        return found

    def _wrong_listing(
        self, path: str, listed: list[dict[str, object]], answer: Answer
    ) -> str | None:
        """I4; that the rows are those of the objects on disk is checked there (_places)."""
        total = sum(int(str(row["bytes"])) for row in listed)
        says = tuple(int(answer.headers.get(f"x-container-{n}", 0)) for n in _TOTALS)
        if says != (len(listed), total):
            return f"it says that it has {says} objects and bytes, and lists {len(listed)}, {total}"
        return None

    async def _wrong_rows(
        self, path: str, listed: list[dict[str, object]]
    ) -> AsyncIterator[Complaint]:
        for row in listed:
            name = f"{path}/{row['name']}"
            answer = await self._ask("p0", "HEAD", name)
            says = row["hash"], row["bytes"], row["content_type"]
            wrong = ""
            if answer.status != 200:
                wrong = f"it is listed, and its HEAD is answered {answer.status}"
            elif says != ((seen := seen_in(answer)).etag, seen.size, seen.content_type):
                wrong = f"the listing says {says}, the object {seen}"
            if wrong:
                yield Complaint(name, wrong, self._model.object(name).report())

    async def _accounts(self) -> list[Complaint]:
        found = []
        for path, owner in self._model.accounts.items():
            answer = await self._ask("p0", "HEAD", path)
            wrong = owner.wrong_metadata(answer.headers.get("x-account-meta-by"))
            if wrong is not None:
                found.append(Complaint(path, wrong, owner.report()))
        answer = await self._ask("p0", "GET", f"/{ACCOUNT}", "format=json")
        listed = {row["name"] for row in json.loads(answer.body or b"[]")}
        for path in self._model.containers:
            exists = (await self._ask("p0", "HEAD", path)).status == 204
            if exists != (path.rpartition("/")[2] in listed):
                found.append(Complaint(path, f"exists: {exists}; its account lists {listed}"))
        return found

    def _order(self) -> Iterator[Complaint]:
        model = self._model
        for name in model.objects.values():
            data = [c for c in name.changes if c.method != "POST"]
            for changes in (data, [c for c in name.changes if c.method == "POST"]):
                for wrong in disorder(changes, model.troubles, skewed=model.skewed):
                    yield Complaint(name.path, wrong, name.report())

    # ---- where everything is -----------------------------------------------------------------

    async def _places(self) -> list[Complaint]:
        """I4, I5: on the primaries, nowhere else, the same everywhere; totals are sums."""
        checks: list[Callable[[], Awaitable[None]]] = [
            self._copies,
            lambda: state.check_replicas(self._cluster),
            lambda: state.check_listings(self._cluster),
            lambda: state.check_totals(self._cluster),
        ]
        found = []
        for check in checks:
            try:
                await check()
            except AssertionError as error:
                text = str(error).partition("\nassert")[0]
                names = [path for path in self._model.objects if f"{path} " in text + " "]
                history = "".join(self._model.objects[name].report() for name in names)
                found.append(Complaint("places", text, history))
        return found

    async def _copies(self) -> None:
        state.check_copies(self._cluster)

    async def _leftovers(self) -> list[Complaint]:
        """Nothing in tmp, nothing pending, in quarantine what the nemesis has spoilt."""
        found = [
            Complaint(node.name, f"{path.name} is left in tmp")
            for node in self._cluster.nodes.values()
            for path in (node.device.path / "tmp").glob("*")
        ]
        for node in self._cluster.nodes.values():
            for path in (node.device.path / QUARANTINE).glob("*/*"):
                digest = path.name.partition("-")[0]
                if (node.name, digest) not in self._nemesis.rotten:
                    reason = path / "reason"
                    text = reason.read_text() if reason.exists() else ""
                    found.append(Complaint(node.name, f"{path.name} is in quarantine: {text}"))
        backlog = await state.backlog(self._cluster)
        if any(backlog.values()):
            found.append(Complaint("cluster", f"not told yet: {backlog}"))
        return found

    async def _queue(self) -> list[Complaint]:
        """Whatever is to expire is in the queue."""
        rows = await state.queue(self._cluster, QUEUE_ACCOUNT)
        found = []
        for copy in state.copies(self._cluster):
            if copy.alive and copy.delete_at is not None:
                name = f"{copy.delete_at:010}-{copy.path[1:]}"
                if name not in rows:
                    text = f"it expires at {copy.delete_at}, and is not in the queue"
                    history = self._model.object(copy.path).report()
                    found.append(Complaint(copy.path, text, history))
        return found

    # ---- is it alive? ------------------------------------------------------------------------

    async def try_out(self) -> list[Complaint]:
        """A name of its own in each container can be written, read, listed and deleted (I6)."""
        found = []
        for path, owner in self._model.containers.items():
            gate = max(self._cluster.gates)
            if (await self._ask(gate, "HEAD", path)).status == 204:
                name = f"{path}/canary"
                methods = ("PUT", "GET", "DELETE", "GET")
                statuses = [(await self._ask(gate, method, name)).status for method in methods]
                if statuses != [201, 200, 204, 404]:
                    text = f"PUT, GET, DELETE, GET of a new object: {statuses}"
                    found.append(Complaint(path, text, owner.report()))
        return found

    async def _ask(self, gate: str, method: str, path: str, query: str = "") -> Answer:
        headers = {"content-length": "0"} if method == "PUT" else {}
        request = Request(
            method=method,
            path=f"/v1{quote(path)}",
            query=query,
            headers=headers,
            body=Bytes(),
            context=ClientContext(),
        )
        pieces = []
        async with await self._cluster.gates[gate].ask(request) as response:
            length = response.length if method == "HEAD" else response.body.length
            while piece := await response.body.read():
                pieces.append(piece)
        headers = {**response.headers, "content-length": str(length)}
        return Answer(response.status, headers, b"".join(pieces))


_TOTALS = ("object-count", "bytes-used")
