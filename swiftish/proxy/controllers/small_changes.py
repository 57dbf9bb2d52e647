"""What changes of accounts and containers share: checked headers in, a small answer out.

Pure.
"""

from collections.abc import Mapping
from typing import Literal

from swiftish.cluster.wire import kept_headers
from swiftish.domain.limits import Limits
from swiftish.domain.metadata_check import BadMetadata, check_metadata
from swiftish.http.message import Response
from swiftish.http.replies import Refusal, empty, status_page

HTML = "text/html; charset=UTF-8"


def checked_headers(
    kind: Literal["account", "container"], method: str, headers: Mapping[str, str], limits: Limits
) -> dict[str, str]:
    """Those of a client's headers that a server will keep.  Raises Refusal 400."""
    try:
        check_metadata(headers, kind, limits)
    except BadMetadata as error:
        raise Refusal(400, str(error)) from None
    return kept_headers(kind, "PUT" if method == "PUT" else "POST", headers)


def check_length(what: str, name: str, length_max: int) -> None:
    """Raises Refusal 400 for a name of more bytes than allowed."""
    length = len(name) if name.isascii() else len(name.encode("utf-8", "surrogateescape"))
    if length > length_max:
        text = f"{what} name length of {length} longer than {length_max}"
        raise Refusal(400, text, {"content-type": HTML})  # as Swift has it, and its tests pin


def change_answer(response: Response) -> Response:
    """The answer to a change: its status, and the server's own sentence if it refused (400)."""
    if response.ok:
        return empty(response.status, {"content-type": HTML})
    if response.status == 400:
        return Response(status=400, headers={"content-type": "text/plain"}, body=response.body)
    return status_page(response.status)
