"""Request, Response and Body: the only HTTP vocabulary above the socket.

A `Handler` is any async callable from request to response: a controller, a whole pipeline and
a remote node all have this one shape, so any of them can stand in for any other in a test.

Header names are lower-case text inside the program; the socket spells them in Title-Case.
Header values are text in which bytes that are not UTF-8 are kept as surrogate escapes.

Pure.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qsl


class Body(ABC):
    """Bytes that arrive in pieces: pulled by one reader, closed by whoever received it."""

    length: int | None = None  # bytes in all, when that is known beforehand

    @abstractmethod
    async def read(self) -> bytes:
        """Return the next piece, or b"" at the end and ever after."""

    async def aclose(self) -> None:
        """Let go of whatever the bytes come from; reading on is an error.  May be called twice."""
        return


class DamagedBody(OSError):
    """The stored bytes are not what was once written: no more of them will come from here.

    The place that they come from is well otherwise; only this copy is lost.
    """


class Bytes(Body):
    """A Body that is already in memory."""

    __slots__ = ("_data", "length")

    def __init__(self, data: bytes = b"") -> None:
        self._data = data
        self.length = len(data)

    async def read(self) -> bytes:
        data, self._data = self._data, b""
        return data

    def take(self) -> bytes:
        """All of it at once, without waiting: for those who know that it is in memory."""
        data, self._data = self._data, b""
        return data


@dataclass(slots=True, kw_only=True)
class Context:
    """What is known of one client request: one object, shared by all of its subrequests.

    `log` holds what the access log adds to its line (reference 1.22, proxy-logging), such as
    `policy`.  The proxy's own context (proxy/request.py) adds who is asking.
    """

    transaction_id: str = "-"
    remote_address: str = "-"
    scheme: str = "http"
    log: dict[str, str] = field(default_factory=dict)


def no_trailers() -> Mapping[str, str]:
    """The trailers of a request that has none."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.  `path` is percent-decoded; `query` is raw, without its question mark."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Bytes)
    # Known only once the body has been read to its end: ETags, crypto metadata.
    trailers: Callable[[], Mapping[str, str]] = no_trailers
    context: Context = field(default_factory=Context)
    source: str | None = None  # which middleware made this subrequest, for the log

    def replace(self, **changes: Any) -> Self:  # noqa: ANN401  (fields of any type)
        return dataclasses.replace(self, **changes)

    def sub(
        self,
        method: str,
        path: str,
        *,
        source: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> "Request":
        """A subrequest in the same context; nothing else is inherited."""
        return Request(
            method=method,
            path=path,
            query=query,
            headers=headers or {},
            body=body or Bytes(),
            context=self.context,
            source=source,
        )

    @property
    def params(self) -> dict[str, str]:
        """The query's parameters, decoded; of a repeated one the last counts."""
        return parse_query(self.query)


def parse_query(query: str) -> dict[str, str]:
    """`a=1&b` -> {"a": "1", "b": ""}; bytes that are not UTF-8 become surrogate escapes."""
    if not query:
        return {}
    return dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer.  `headers` never name Content-Length: the body's `length` says it.

    `length` stands for the Content-Length of an answer to HEAD, whose body is empty.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Bytes)
    length: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.body.aclose()

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def replace(self, **changes: Any) -> Self:  # noqa: ANN401  (fields of any type)
        return dataclasses.replace(self, **changes)

    def with_headers(self, headers: Mapping[str, str]) -> "Response":
        """The same answer with `headers` added or replaced."""
        return dataclasses.replace(self, headers={**self.headers, **headers})


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
Middleware: TypeAlias = Callable[[Handler], Handler]


def pipeline(app: Handler, *middleware: Middleware) -> Handler:
    """Wrap `app` so that the first middleware listed is the outermost."""
    for wrap in reversed(middleware):
        app = wrap(app)
    return app
