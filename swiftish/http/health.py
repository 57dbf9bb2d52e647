"""GET /healthcheck, for load balancers: the process answers, and nothing more is asked."""

from swiftish.http.message import Bytes, Handler, Request, Response


class HealthCheck:
    """Middleware: GET and HEAD of /healthcheck are 200 `OK`, without asking anything behind it."""

    def __init__(self, app: Handler, *, path: str = "/healthcheck") -> None:
        self._app = app
        self._path = path

    async def __call__(self, request: Request) -> Response:
        if request.path != self._path or request.method not in {"GET", "HEAD"}:
            return await self._app(request)
        return Response(
            status=200, headers={"content-type": "text/plain"}, body=Bytes(b"OK"), length=2
        )
