"""The door by which our own workers come in: what passes here is an internal request.

An internal request needs no rights, may use reserved names, and its X-Timestamp and X-Backend-*
headers mean what they say.  Clients never come by here: theirs is the public pipeline, and what
makes a request internal is not a header but its context.
"""

from swiftish.http.message import Handler, Request, Response
from swiftish.http.transaction import transaction_id
from swiftish.proxy.request import ProxyContext
from swiftish.runtime.clock import Clock


class Internal:
    """Gives each request a context of its own, which says that it is internal."""

    def __init__(self, app: Handler, *, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, request: Request) -> Response:
        context = ProxyContext(transaction_id=transaction_id(self._clock.now()), internal=True)
        return await self._app(request.replace(context=context))
