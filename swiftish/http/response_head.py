"""The first half of a response, from a status and headers to bytes: the only place that spells it.

Whatever a stored name or value holds, it can't end a line here (faults T82).

Pure.
"""

from collections.abc import Mapping

from swiftish.http.replies import reason

# How each header is spelled, with its colon; "" for those that only the connection may say.
_CONNECTIONS_OWN = ("connection", "content-length", "date", "keep-alive", "transfer-encoding")
_IDS = ("x-openstack-request-id", "x-trans-id")
_spelled: dict[str, str] = dict.fromkeys((*_CONNECTIONS_OWN, *_IDS), "")
_SPELLED_MAX = 1024
_NAME_LENGTH_MAX = 64
_status_lines: dict[int, str] = {}


def response_head(
    status: int,
    headers: Mapping[str, str],
    *,
    length: int | None,
    chunked: bool,
    connection: str,
    transaction_id: str,
    date: str,
) -> bytes:
    """The status line, the headers in Title-Case as Swift spells them, and the empty line.

    `connection` is "close", "keep-alive" or "" for what goes without saying.
    """
    lines = [_status_lines.get(status) or _status_line(status)]
    for name, value in headers.items():
        prefix = _spelled.get(name)
        if prefix is None:
            prefix = _spell(name)
        if prefix:
            lines.append(f"{prefix}{value}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    if connection:
        lines.append(f"Connection: {connection}")
    lines.append(
        f"X-Trans-Id: {transaction_id}\r\nX-Openstack-Request-Id: {transaction_id}\r\n"
        f"Date: {date}\r\n\r\n"
    )
    text = "\r\n".join(lines)
    # Three looks at the whole instead of three at each value.
    ends = len(lines) + 3
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        text = "\r\n".join([*map(one_line, lines[:-1]), lines[-1]])
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a surrogate pair: out of somebody's JSON
        return text.encode("utf-8", "replace")


def _status_line(status: int) -> str:
    return _status_lines.setdefault(status, f"HTTP/1.1 {status} {reason(status)}")


def _spell(name: str) -> str:
    """Only ASCII is put in Title-Case, as Swift does; a name that is none is dropped."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return ""
    if not raw or any(byte <= 0x20 or byte in b":\x7f" for byte in raw):
        return ""
    spelled = raw.title().decode("utf-8", "surrogateescape") + ": "
    if len(name) <= _NAME_LENGTH_MAX:
        if len(_spelled) >= _SPELLED_MAX:
            _spelled.clear()
            _spelled.update(dict.fromkeys((*_CONNECTIONS_OWN, *_IDS), ""))
        _spelled[name] = spelled
    return spelled


def one_line(text: str) -> str:
    """`text` without what could end a line of a head."""
    return text.replace("\r", " ").replace("\n", " ").replace("\0", " ")
