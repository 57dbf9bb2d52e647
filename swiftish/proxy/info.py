"""Account and container info: asked of the cluster once, remembered for a while.

Within one client request an info is asked for once (ProxyContext.infos).  Between requests it is
remembered in the Cache for a minute, and that there is none for a tenth of it.  Whoever changes
an account or a container does so inside `changing`, so that its next reader sees the change.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache

import msgpack

from swiftish.domain.names import Target
from swiftish.http.message import Request, Response
from swiftish.proxy.cache import Cache
from swiftish.proxy.controllers.backend import Backend
from swiftish.proxy.infos import AccountInfo, ContainerInfo
from swiftish.proxy.request import ProxyContext, context_of

MISSING_TTL_SHARE = 0.1


class CachedInfos:
    """The proxy's Infos."""

    def __init__(self, backend: Backend, cache: Cache) -> None:
        self._backend = backend
        self._cache = cache

    async def account(self, request: Request, account: str) -> AccountInfo:
        """What is known of an account; `status` 404 for one that nobody has used yet."""
        context = context_of(request)
        target = Target(account)
        known = context.infos.get(target)
        if isinstance(known, AccountInfo):
            return known
        entry = await self._cache.look_up(_key(target))
        if entry.value is not None:
            info = _unpack_account(entry.value)
        else:
            place = self._backend.account(target)
            info = _account_info(await self._backend.reader.read(place, self._head(request)))
            ttl_s = _ttl_s(info.status, self._backend.settings.recheck_account_s)
            if ttl_s:
                packed = _pack_account(info)
                await self._cache.store(
                    _key(target), packed, ttl_s=ttl_s, generation=entry.generation
                )
        context.infos[target] = info
        return info

    async def container(self, request: Request, account: str, container: str) -> ContainerInfo:
        """What is known of a container; `status` 404 also when its account is gone."""
        context = context_of(request)
        target = Target(account, container)
        known = context.infos.get(target)
        if isinstance(known, ContainerInfo):
            return known
        entry = await self._cache.look_up(_key(target))
        if entry.value is not None:
            info = _unpack_container(entry.value)
        else:
            info = await self._ask_container(request, target)
            ttl_s = _ttl_s(info.status, self._backend.settings.recheck_container_s)
            if ttl_s:
                packed = _pack_container(info)
                await self._cache.store(
                    _key(target), packed, ttl_s=ttl_s, generation=entry.generation
                )
        context.infos[target] = info
        return info

    @asynccontextmanager
    async def changing(self, context: ProxyContext, target: Target) -> AsyncIterator[None]:
        """Around a change of an account or a container: forget what is known before and after.

        After it in any case: a client that leaves takes nothing back that nodes have been told.
        """
        await self._drop(context, target)
        try:
            yield
        finally:
            await self._drop(context, target)

    async def _drop(self, context: ProxyContext, target: Target) -> None:
        context.infos.pop(target, None)
        await self._cache.drop(_key(target))

    async def _ask_container(self, request: Request, target: Target) -> ContainerInfo:
        account = await self.account(request, target.account)
        if account.status >= 500:
            return ContainerInfo(status=503)
        if not account.exists:
            return ContainerInfo(status=404)
        place = self._backend.container(target)
        return _container_info(await self._backend.reader.read(place, self._head(request)))

    def _head(self, request: Request) -> Request:
        return request.sub("HEAD", "", source="info", headers=self._backend.headers(request))


def _key(target: Target) -> str:
    return f"info-1{target.path}"


def _ttl_s(status: int, recheck_s: float) -> float:
    """How long to remember an info; 0 for one that says only that nobody could answer."""
    if status in (404, 410):
        return recheck_s * MISSING_TTL_SHARE
    return recheck_s if 200 <= status < 300 else 0.0


def _account_info(response: Response) -> AccountInfo:
    headers = response.headers
    if not response.ok:
        return AccountInfo(status=status_of_account(response))
    return AccountInfo(
        status=204,
        container_count=_count(headers, "x-account-container-count"),
        object_count=_count(headers, "x-account-object-count"),
        bytes_used=_count(headers, "x-account-bytes-used"),
        meta=_family(headers, "x-account-meta-"),
        sysmeta=_family(headers, "x-account-sysmeta-"),
    )


def status_of_account(response: Response) -> int:
    """A deleted account is gone (410), not unknown, while its data are being deleted."""
    deleted = response.headers.get("x-account-status", "").lower() == "deleted"
    return 410 if response.status == 404 and deleted else response.status


def _container_info(response: Response) -> ContainerInfo:
    headers = response.headers
    if not response.ok:
        return ContainerInfo(status=response.status)
    return ContainerInfo(
        status=204,
        policy_index=_count(headers, "x-backend-storage-policy-index"),
        read_acl=headers.get("x-container-read") or None,
        write_acl=headers.get("x-container-write") or None,
        sync_key=headers.get("x-container-sync-key") or None,
        object_count=_count(headers, "x-container-object-count"),
        bytes_used=_count(headers, "x-container-bytes-used"),
        meta=_family(headers, "x-container-meta-"),
        sysmeta=_family(headers, "x-container-sysmeta-"),
    )


def _count(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _family(headers: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): value
        for name, value in headers.items()
        if name.startswith(prefix)
    }


# What workers of one machine share, as msgpack: the fields in their order.  The version is in the
# key, so that during an upgrade the old and the new do not read each other's.


def _pack_account(info: AccountInfo) -> bytes:
    return _pack(
        info.status,
        info.container_count,
        info.object_count,
        info.bytes_used,
        dict(info.meta),
        dict(info.sysmeta),
    )


def _pack_container(info: ContainerInfo) -> bytes:
    return _pack(
        info.status,
        info.policy_index,
        info.read_acl,
        info.write_acl,
        info.sync_key,
        info.object_count,
        info.bytes_used,
        dict(info.meta),
        dict(info.sysmeta),
    )


def _pack(*fields: object) -> bytes:
    packed: bytes = msgpack.packb(fields, unicode_errors="surrogateescape")
    return packed


@lru_cache(maxsize=4096)
def _unpack_account(value: bytes) -> AccountInfo:
    status, containers, objects, used, meta, sysmeta = msgpack.unpackb(
        value, unicode_errors="surrogateescape"
    )
    return AccountInfo(
        status=status,
        container_count=containers,
        object_count=objects,
        bytes_used=used,
        meta=meta,
        sysmeta=sysmeta,
    )


@lru_cache(maxsize=4096)
def _unpack_container(value: bytes) -> ContainerInfo:
    status, policy, read, write, sync, objects, used, meta, sysmeta = msgpack.unpackb(
        value, unicode_errors="surrogateescape"
    )
    return ContainerInfo(
        status=status,
        policy_index=policy,
        read_acl=read,
        write_acl=write,
        sync_key=sync,
        object_count=objects,
        bytes_used=used,
        meta=meta,
        sysmeta=sysmeta,
    )
