"""The two slices of bread: Bugs around everything, Refusals around what may refuse."""

import logging

from swiftish.domain.names import BadPath
from swiftish.http.message import Handler, Request, Response
from swiftish.http.replies import Refusal, plain

log = logging.getLogger(__name__)


class Bugs:
    """The outermost middleware: an unexpected exception becomes one logged 500.

    The answer says nothing about the cause but the transaction id, under which the log has it.
    A Refusal that nobody made an answer of is no bug; cancellation passes through.
    """

    def __init__(self, app: Handler) -> None:
        self._app = app

    async def __call__(self, request: Request) -> Response:
        try:
            return await self._app(request)
        except Refusal as refusal:
            return refusal.response()
        except Exception:
            transaction = request.context.transaction_id
            log.exception(
                "a bug, answered with 500",
                extra={"transaction": transaction, "method": request.method, "path": request.path},
            )
            return plain(500, f"An error occurred; the log has it under {transaction}.")


class Refusals:
    """The innermost middleware: what controllers raise becomes what middleware can see.

    ClientGone (499) and TooLong (413) are Refusals; a BadPath has a status of its own.
    """

    def __init__(self, app: Handler) -> None:
        self._app = app

    async def __call__(self, request: Request) -> Response:
        try:
            return await self._app(request)
        except Refusal as refusal:
            return refusal.response()
        except BadPath as bad:
            return plain(bad.status, bad.text)
