"""Tokens of tempauth, shared by all workers through the cache.

A token is an HMAC, under its user's key, of a random number; the cache holds the number, the
user's name and when it all ends, under a hash of the token.  So who reads the cache finds no
tokens, who writes to it can't make any (T94), a new key or a removed user ends the old tokens,
and whoever logs in again before the end gets the same token from any worker.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import msgpack

from swiftish.proxy.cache import Cache
from swiftish.runtime.clock import Clock

NUMBER_BYTES = 16
TOKEN_BYTES = 16  # as hex, 32 characters: Swift's length
REMEMBERED = 10_000  # tokens whose HMAC this process need not compute again


@dataclass(frozen=True, kw_only=True)
class User:
    """A user as the settings have it; `name` is `account:user`, `account_id` AUTH_account."""

    name: str
    key: bytes = field(repr=False)
    groups: frozenset[str]
    account_id: str
    url: str = ""

    @cached_property
    def key_digest(self) -> bytes:
        return hashlib.sha256(self.key).digest()


class Tokens:
    """Issues tokens and says whose they are."""

    def __init__(
        self,
        users: Mapping[str, User],
        *,
        cache: Cache,
        clock: Clock,
        prefix: str,
        life_s: int,
    ) -> None:
        self._users = users
        self._cache = cache
        self._clock = clock
        self._prefix = prefix
        self._life_s = life_s
        self._token_length = len(prefix) + 2 * TOKEN_BYTES
        self._proof = lru_cache(REMEMBERED)(self._check)
        self._key_of = lru_cache(REMEMBERED)(_key_of_token)

    async def issue(self, user: User) -> tuple[str, int]:
        """The user's token, a new one when there is none, and for how many seconds it is good."""
        now = self._clock.now()
        key = f"tempauth-user-1/{user.name}"
        entry = await self._cache.look_up(key)
        expires, number = (0.0, b"")
        if entry.value is not None:
            expires, number = msgpack.unpackb(entry.value)
        if expires <= now:
            expires, number = now + self._life_s, secrets.token_bytes(NUMBER_BYTES)
            value: bytes = msgpack.packb((expires, number))
            await self._cache.store(key, value, ttl_s=self._life_s, generation=entry.generation)
        token = self._token(user, number)
        token_key = _key_of_token(token)
        entry = await self._cache.look_up(token_key)
        if entry.value is None:
            await self._cache.store(
                token_key,
                msgpack.packb((expires, number, user.name), unicode_errors="surrogateescape"),
                ttl_s=expires - now,
                generation=entry.generation,
            )
        return token, int(expires - now)

    async def user_of(self, token: str) -> User | None:
        """Whose token it is; None for one that is unknown, has ended or is not ours."""
        if len(token) != self._token_length or not token.startswith(self._prefix):
            return None
        entry = await self._cache.look_up(self._key_of(token))
        if entry.value is None:
            return None
        user, expires = self._proof(token, entry.value)
        return user if expires > self._clock.now() else None

    def _check(self, token: str, value: bytes) -> tuple[User | None, float]:
        """The user whose key makes this token of the number in the cache, and the end."""
        expires, number, name = msgpack.unpackb(value, unicode_errors="surrogateescape")
        user = self._users.get(name)
        if user is None:
            return None, 0.0
        made = self._token(user, number).encode()
        right = hmac.compare_digest(made, token.encode("utf-8", "surrogateescape"))
        return (user, expires) if right else (None, 0.0)

    def _token(self, user: User, number: bytes) -> str:
        message = user.name.encode("utf-8", "surrogateescape") + b"\0" + number
        return self._prefix + hmac.digest(user.key, message, "sha256")[:TOKEN_BYTES].hex()


def _key_of_token(token: str) -> str:
    digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
    return f"tempauth-token-1/{digest}"
