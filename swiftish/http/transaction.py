"""Transaction ids: the name of one client request, in every answer and on every log line."""

import random
from urllib.parse import quote

EXTRA_LENGTH_MAX = 32
ID_LENGTH_MAX = 256
_BITS = 21 * 4


def transaction_id(seconds: float, suffix: str = "", extra: str = "") -> str:
    """`tx` + 21 hex digits + `-` + 10 hex digits of the time + the suffix (reference 1.0).

    `suffix` is the cluster's; `extra` is what the client asked for in X-Trans-Id-Extra, of which
    32 characters count.  Both are percent-encoded, so that they are safe in headers and logs.
    The digits are unique, not secret; Python seeds its generator anew in a process that was forked.
    """
    plain = f"tx{random.getrandbits(_BITS):021x}-{int(seconds):010x}"
    if not suffix and not extra:
        return plain
    tail = f"{suffix}-{extra[:EXTRA_LENGTH_MAX]}" if extra else suffix
    return plain + quote(tail, errors="surrogateescape")


def foreign_id(text: str) -> str:
    """The id under which another node asks, made safe for headers and logs; "" when it is none."""
    if len(text) > ID_LENGTH_MAX or not (text.isascii() and text.isprintable()):
        return ""
    return quote(text, safe="%/")
