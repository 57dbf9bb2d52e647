"""What requests to account and container servers have in common."""

from collections.abc import Mapping

from swiftish.cluster.backend_app import Call
from swiftish.cluster.moments import OVERTAKEN_BY
from swiftish.domain.listing import BadQuery, Query
from swiftish.domain.metadata import Metadata, newest
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Bytes, Response
from swiftish.http.replies import Refusal


def kept_metadata(
    headers: Mapping[str, str],
    *,
    families: tuple[str, ...],
    names: frozenset[str] = frozenset(),
    timestamp: Timestamp,
) -> dict[str, tuple[str, Timestamp]]:
    """The headers that are stored: all of some families, and some by name."""
    return {
        name: (value, timestamp)
        for name, value in headers.items()
        if (name.startswith(families) and name not in families) or name in names
    }


def overtaken(stored: Metadata, sent: Metadata) -> dict[str, str]:
    """The header that says that some of the metadata `sent` had been set later already, and so
    have not been changed (T27); none when all are as they were sent."""
    late = [name for name, value in sent.items() if stored.get(name) != value]
    return {OVERTAKEN_BY: newest(stored, late).internal} if late else {}


def listing_query(call: Call, *, limit_max: int) -> Query:
    """What a GET asks for.  Raises Refusal 400, 412."""
    reserved = call.headers.get("x-backend-allow-reserved-names", "").lower() == "true"
    try:
        return Query.parse(call.request.params, limit_max=limit_max, reserved=reserved)
    except BadQuery as error:
        raise Refusal(error.status, str(error)) from None


def json_listing(headers: Mapping[str, str], entries: bytes) -> Response:
    """A listing is always JSON between nodes; the proxy knows what the client wants."""
    return Response(
        status=200,
        headers={**headers, "content-type": "application/json; charset=utf-8"},
        body=Bytes(entries),
    )
