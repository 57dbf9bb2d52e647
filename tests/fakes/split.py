"""Split brain: a container whose replicas do not hear of each other, made twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.fakes.whole_cluster import Answer, WholeCluster

FORGET_S = 100.0  # longer than a proxy remembers a container, or leaves a node alone


class Split:
    """A container whose replicas do not hear of each other: half of the nodes have it in one
    policy, the others in another."""

    def __init__(self, cluster: WholeCluster, path: str = "/a/c") -> None:
        self.cluster = cluster
        self.path = path
        one, *two = cluster.primaries(path)
        self.halves = [[one, *cluster.handoffs(path)], two]

    @asynccontextmanager
    async def only(self, half: int) -> AsyncIterator[None]:
        """The containers of the other half can't be reached."""
        self.cluster.stop("container", *self.halves[1 - half])
        await self.cluster.advance(FORGET_S)
        yield
        self.cluster.heal()
        await self.cluster.advance(FORGET_S)

    async def ask(
        self,
        half: int,
        method: str,
        name: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for an object while only one half is there."""
        async with self.only(half):
            return await self.cluster.ask(method, f"/v1{self.path}/{name}", body, headers)

    async def make(self, policies: tuple[int, int]) -> None:
        """The first one of them is made first."""
        for half, policy in enumerate(policies):
            async with self.only(half):
                headers = {"x-storage-policy": f"policy-{policy}"}
                answer = await self.cluster.ask("PUT", f"/v1{self.path}", headers=headers)
                assert answer.status == 201


async def made_split(
    cluster: WholeCluster, policies: tuple[int, int] = (1, 0), path: str = "/a/c"
) -> Split:
    split = Split(cluster, path)
    await split.make(policies)
    return split
