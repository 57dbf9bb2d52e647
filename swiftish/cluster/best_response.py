"""Which of many answers the client should see (reference 2.2, vote).

Pure.
"""

from collections.abc import Mapping, Sequence

from swiftish.cluster.quorum import CLASSES
from swiftish.http.message import Response

# A node that has nothing to delete agrees with those that have deleted.
DELETE_OVERRIDES: Mapping[int, int] = {404: 204}

_NONE: Mapping[int, int] = {}


def best_response(
    responses: Sequence[Response], *, needed: int, overrides: Mapping[int, int] = _NONE
) -> Response | None:
    """The answer with the highest status in the best class that `needed` nodes agree on.

    When none has a quorum, statuses are counted as `overrides` says and the vote is held
    again; an answer that needed no override is then preferred.  None: no quorum, a 503.
    """
    for wanted in CLASSES:
        agreed = [r for r in responses if r.status // 100 == wanted]
        if len(agreed) >= needed:
            return max(agreed, key=_status)
    if not overrides:
        return None
    for wanted in CLASSES:
        agreed = [r for r in responses if overrides.get(r.status, r.status) // 100 == wanted]
        if len(agreed) >= needed:
            genuine = [r for r in agreed if r.status not in overrides]
            if genuine:
                return max(genuine, key=_status)
            return Response(status=max(overrides[r.status] for r in agreed))
    return None


def best_of_posts(responses: Sequence[Response], *, needed: int) -> Response | None:
    """The vote on a POST of an object, which handoffs may have been sent too.

    Where some have changed it and too few others have it "there is none" would be wrong, and so
    would "done": None, a 503.
    """
    accepted = [response for response in responses if response.ok]
    if len(accepted) >= needed:
        return accepted[0]
    if accepted and any(response.status == 404 for response in responses):
        return None
    return best_response(responses, needed=needed)


def _status(response: Response) -> int:
    return response.status
