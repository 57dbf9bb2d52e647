"""Content types: guessed from a name where a client gives none (reference 1.4).

The table is the language's own, not the machine's: all nodes guess alike.

Pure.
"""

import mimetypes

UNKNOWN = "application/octet-stream"

_TABLE = mimetypes.MimeTypes()


def guess_content_type(name: str) -> str:
    """The type that an object's name suggests: `a/b.txt` -> `text/plain`."""
    last = name.rpartition("/")[2]
    if "." not in last:
        return UNKNOWN
    # "./": else a name such as "data:x" would be taken for a URL.
    return _TABLE.guess_type(f"./{last}", strict=True)[0] or UNKNOWN
