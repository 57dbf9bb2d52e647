"""One line per request, key=value (ARCHITECTURE 10).  Tokens, keys and signatures never.

What clients choose is percent-encoded, so that a line is a line and a space ends a value.

Load balancers and Prometheus ask every second or so how a server is.  That they were told is not
logged; that they were not, is.
"""

import logging
from dataclasses import dataclass
from urllib.parse import quote

from swiftish.http.health import is_monitoring
from swiftish.http.message import Context
from swiftish.http.request_head import RequestHead

log = logging.getLogger("swiftish.access")

# Query parameters that let their bearer in: of their values the log has the first 16 characters,
# as Swift's has (reference 1.22).  Every one is found by one of these pieces of its name.
SECRET_HINTS = ("sig", "token", "credential", "key", "secret", "password")
SECRET_CHARACTERS = 16


@dataclass(slots=True)
class Exchange:
    """What the socket knows of one request; `head` is None for one that made no sense."""

    head: RequestHead | None
    context: Context
    peer: str
    status: int
    bytes_in: int
    bytes_out: int
    seconds: float
    first_byte_seconds: float


class AccessLog:
    """Writes to the logger `swiftish.access`, at INFO."""

    def __init__(self, *, switched_on: bool = True) -> None:
        self.switched_on = switched_on and log.isEnabledFor(logging.INFO)

    def write(self, exchange: Exchange) -> None:
        if self.switched_on and not _is_routine(exchange):
            # Not log.info(): finding out who calls costs more than everything else here.
            record = logging.LogRecord(log.name, logging.INFO, "", 0, line(exchange), None, None)
            record.__dict__["is_line"] = True
            log.handle(record)


def _is_routine(exchange: Exchange) -> bool:
    head = exchange.head
    return exchange.status == 200 and head is not None and is_monitoring(head.path)


def line(exchange: Exchange) -> str:
    """The line, without its time."""
    head, context = exchange.head, exchange.context
    timings = (
        f"ms={exchange.seconds * 1e3:.1f} first_byte_ms={exchange.first_byte_seconds * 1e3:.1f}"
    )
    numbers = (
        f"status={exchange.status} bytes_in={exchange.bytes_in} bytes_out={exchange.bytes_out} "
        f"{timings} transaction={context.transaction_id}"
    )
    if head is None:
        return f"client={exchange.peer} method=- path=- {numbers}"
    headers = head.headers
    client = headers.get("x-cluster-client-ip") or headers.get("x-forwarded-for") or ""
    client = client.partition(",")[0].strip() or exchange.peer
    target = redacted(head.target) if head.query else head.target
    text = f"client={_word(client)} method={head.method} path={_word(target)} {numbers}"
    if user := getattr(context, "user", None):
        text += f" user={_word(user)}"
    if agent := headers.get("user-agent"):
        text += f" agent={_word(agent)}"
    if referer := headers.get("referer"):
        text += f" referer={_word(redacted(referer))}"
    for key, value in context.log.items():
        text += f" {key}={_word(value)}"
    return text


def redacted(url: str) -> str:
    """`url` with the values of secret query parameters cut short."""
    path, question, query = url.partition("?")
    if not question:
        return url
    lower = query.lower()
    # A percent-encoded name is another way of writing a secret's.
    if "%" not in lower and not any(hint in lower for hint in SECRET_HINTS):
        return url
    return f"{path}?{'&'.join(map(_redacted_pair, query.split('&')))}"


def _redacted_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    lower = name.lower()
    secret = "%" in name or any(hint in lower for hint in SECRET_HINTS)
    if not secret or len(value) <= SECRET_CHARACTERS:
        return pair
    return f"{name}{equals}{value[:SECRET_CHARACTERS]}..."


def _word(text: str) -> str:
    """Text without a space, a line's end or anything that is not printable ASCII."""
    if text.isascii() and text.isprintable() and " " not in text and '"' not in text:
        return text
    return quote(text, safe="/:?&=+,;@%#!$'()*~[]", errors="surrogateescape") or "-"
