"""One signed-in user of a Swift server, asking for things by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from tests.functional.wire import Reply, Wire

Name = str | bytes


def quoted(name: Name) -> str:
    """A container or object name as it stands in a path: everything quoted but `/`."""
    return quote(name, safe="/")


class Account:
    """A storage URL with a token, over one kept-alive connection.

    Not shared between threads: `again()` gives another thread one of its own.
    """

    def __init__(self, storage_url: str, token: str | None) -> None:
        parts = urlsplit(storage_url)
        assert parts.hostname is not None
        self.storage_url = storage_url
        self.host = parts.hostname
        self.port = parts.port or 80
        self.root = parts.path
        self.token = token
        self._wire: Wire | None = None
        self._kin: list[Self] = []  # made from this one, and closed with it

    @classmethod
    def sign_in(cls, auth_url: str, user: str, key: str) -> Self:
        """A user by v1 auth; an answer other than 200 is an assertion failure."""
        parts = urlsplit(auth_url)
        assert parts.hostname is not None
        with Wire(parts.hostname, parts.port or 80) as wire:
            reply = wire.request("GET", parts.path, {"X-Auth-User": user, "X-Auth-Key": key})
        assert reply.status in {200, 204}, f"signing {user} in: {reply}"
        return cls(reply.headers["x-storage-url"], reply.headers["x-auth-token"])

    def again(self) -> Self:
        """The same user on a connection of its own."""
        return self._related(self.token)

    def anonymous(self) -> Self:
        """The same account, asked for by somebody without a token."""
        return self._related(None)

    def with_token_of(self, other: Account) -> Self:
        """The same account, asked for by another user."""
        return self._related(other.token)

    def _related(self, token: str | None) -> Self:
        self._kin.append(type(self)(self.storage_url, token))
        return self._kin[-1]

    # ---- requests -------------------------------------------------------------------------

    def path(
        self,
        container: Name | None = None,
        name: Name | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> str:
        path = self.root
        if container is not None:
            path += "/" + quoted(container)
        if name is not None:
            path += "/" + quoted(name)
        return f"{path}?{urlencode(query)}" if query else path

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        mine = {} if self.token is None else {"X-Auth-Token": self.token}
        return {**mine, **(more or {})}

    def request(
        self,
        method: str,
        container: Name | None = None,
        name: Name | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Reply:
        target = self.path(container, name, query)
        return self.request_target(method, target, headers=headers, body=body)

    def request_target(
        self,
        method: str,
        target: str | bytes,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        wire = self._connected()
        return wire.request(method, target, self.headers(headers), body)

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """A connection to do something unusual on."""
        with Wire(self.host, self.port) as wire:
            yield wire

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        for relative in self._kin:
            relative.close()

    def _connected(self) -> Wire:
        if self._wire is None or not self._wire.usable:
            if self._wire is not None:
                self._wire.close()
            self._wire = Wire(self.host, self.port)
        return self._wire

    # ---- what most tests do, with the answer that it must have ------------------------------

    def put_container(self, container: Name, headers: Mapping[str, str] | None = None) -> None:
        reply = self.request("PUT", container, headers=headers)
        assert reply.status in {201, 202}, reply

    def put(
        self,
        container: Name,
        name: Name,
        body: bytes,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        reply = self.request("PUT", container, name, body=body, headers=headers)
        assert reply.status == 201, (container, name, reply)
        return reply

    def get(self, container: Name, name: Name, headers: Mapping[str, str] | None = None) -> Reply:
        reply = self.request("GET", container, name, headers=headers)
        assert reply.status in {200, 206}, (container, name, reply.status, reply.body[:200])
        return reply

    def rows(self, container: Name | None = None, **query: str | int) -> list[dict[str, Any]]:
        """Every row of a JSON listing, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            reply = self.request("GET", container, query={"format": "json", **query})
            assert reply.status == 200, reply
            page = json.loads(reply.body)
            found += page
            if not page or "limit" in query:
                return found
            query["marker"] = page[-1].get("name", page[-1].get("subdir"))

    def names(self, container: Name | None = None, **query: str | int) -> list[str]:
        return [row.get("name") or row["subdir"] for row in self.rows(container, **query)]

    def empty_and_delete(self, container: Name) -> None:
        """Remove a container and what is in it, as far as they are there."""
        if self.request("HEAD", container).status == 404:
            return
        for name in self.names(container):
            reply = self.request("DELETE", container, name)
            assert reply.status in {204, 404}, reply
        reply = self.request("DELETE", container)
        assert reply.status in {204, 404}, reply
