"""The heads of a client's side: a request's is written here, an answer's understood.

What is sent is exactly what the server at the other end will read, so that both can compute the
same signature of it (http/peer_auth.py).

Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from swiftish.http.replies import Refusal
from swiftish.http.request_head import framing, learn, parse_headers
from swiftish.http.response_head import one_line

# An answer's head: all the metadata that an object can have, and more.
HEAD_BYTES_MAX = 64 * 1024
HEADERS_MAX = 512

# Only the connection may say these: how a message is framed, and where it goes.
CONNECTIONS_OWN = (
    *("connection", "content-length", "expect", "host", "keep-alive", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade", "x-backend-signature"),
)
# Names as the program calls them -> as they are sent; "" for those that are not.
_sendable: dict[str, str] = dict.fromkeys(CONNECTIONS_OWN, "")
_SENDABLE_MAX = 1024
_NAME_LENGTH_MAX = 64

# What an answer's connection said for itself, and a call of the same service would not.
_ANSWERS_OWN = (
    *("connection", "content-length", "date", "keep-alive", "transfer-encoding"),
    *("x-openstack-request-id", "x-trans-id"),
)
_PATH_SAFE = "/-._~!$&'()*+,;=:@"
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/\-._~!$&'()*+,;=:@]*")
_PLAIN_QUERY = re.compile(r"[!-~]*")
_METHOD = re.compile(r"[A-Z_]+")


class BadAnswer(ConnectionError):
    """What came back is not an HTTP/1.1 answer, or could be understood in two ways."""


# ---- a request ---------------------------------------------------------------------------------


def target_of(path: str, query: str) -> str:
    """The request target, of which the other end's `path` and `query` are exactly these.

    Every byte of a path that means something in a target is percent-encoded.  Raises ValueError
    for a path that is not absolute, or is not text that came from bytes.
    """
    if not _PLAIN_PATH.fullmatch(path):
        if path[:1] != "/":
            raise ValueError(f"not an absolute path: {path[:100]!r}")
        path = quote(path, safe=_PATH_SAFE, errors="surrogateescape")
    if not query:
        return path
    if not _PLAIN_QUERY.fullmatch(query):
        query = quote(query, safe=_PATH_SAFE + '?%"#<>[]\\^`{|}', errors="surrogateescape")
    return f"{path}?{query}"


def sendable(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of `headers` that can be said, with their values as they will be read.

    Nothing can end a line (faults T82): CR, LF and NUL become spaces.  What only the connection
    may say is left out, and so are names that are none.
    """
    found: dict[str, str] = {}
    known = _sendable
    for name, value in headers.items():
        key = known.get(name)
        if key is None:
            key = _judge(name)
        if key:
            found[key] = value.strip(" \t")
    text = "".join(found.values())
    # One look at all of them instead of three at each.
    if text.isascii() and text.isprintable():
        return found
    return {name: _readable(value) for name, value in found.items()}


def _judge(name: str) -> str:
    try:
        key = learn(name)
    except (Refusal, UnicodeEncodeError):  # a half of a surrogate pair is in no name
        key = ""
    if key in CONNECTIONS_OWN:
        key = ""
    if len(name) <= _NAME_LENGTH_MAX:
        if len(_sendable) >= _SENDABLE_MAX:
            _sendable.clear()
            _sendable.update(dict.fromkeys(CONNECTIONS_OWN, ""))
        _sendable[name] = key
    return key


def _readable(value: str) -> str:
    value = one_line(value).strip(" \t")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a half of a surrogate pair: out of somebody's JSON
        value = value.encode("utf-8", "replace").decode()
    return value


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """The head of a request; `target` is from `target_of`, `headers` from `sendable`.

    Raises ValueError for a method that is none.
    """
    if not _METHOD.fullmatch(method):
        raise ValueError(f"not a method: {method[:100]!r}")
    lines = [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "\r\n"])
    return text.encode("utf-8", "surrogateescape")


# ---- its answer --------------------------------------------------------------------------------


@dataclass(slots=True)
class AnswerHead:
    """`length` is that of the body, or for an answer to HEAD of the body that GET would get; it
    is None where nobody said it.  `bodiless`: nothing follows the head, whatever the length says.
    """

    status: int
    headers: Mapping[str, str]
    length: int | None
    chunked: bool
    bodiless: bool
    keep_alive: bool


def parse_answer_head(data: bytes, *, method: str) -> AnswerHead:
    """Understand the bytes before the empty line of an answer to `method`.

    Raises BadAnswer; then nobody knows what follows, and the connection is of no more use.
    """
    ends = data.count(b"\r\n")
    if data.count(b"\n") != ends or data.count(b"\r") != ends or b"\0" in data:
        raise BadAnswer("the answer's lines don't end with CR LF")
    if ends > HEADERS_MAX:
        raise BadAnswer(f"the answer has more than {HEADERS_MAX} headers")
    first, *lines = data.decode("utf-8", "surrogateescape").split("\r\n")
    version, code, is_spaced = first[:9], first[9:12], first[12:13] in {"", " "}
    if version not in {"HTTP/1.1 ", "HTTP/1.0 "} or not is_spaced:
        raise BadAnswer(f"not an HTTP/1.1 answer: {first[:40]!r}")
    if len(code) != 3 or not (code.isascii() and code.isdigit()) or code[0] not in "12345":
        raise BadAnswer(f"not a status: {first[:40]!r}")
    status = int(code)
    is_http_10 = version == "HTTP/1.0 "
    try:
        headers = parse_headers(lines)
        length, chunked = framing(headers, is_http_10=is_http_10)
    except Refusal as refusal:
        raise BadAnswer(f"a bad answer: {refusal.text}") from None
    bodiless = method == "HEAD" or status in {204, 304} or status < 200
    if length is None and not chunked and not bodiless:
        # Then the body would end when the connection does, and might as well be broken.
        raise BadAnswer("an answer without a length")
    keep_alive = not is_http_10 and "close" not in headers.get("connection", "").lower()
    for name in _ANSWERS_OWN:
        headers.pop(name, None)
    return AnswerHead(status, headers, length, chunked, bodiless, keep_alive)
