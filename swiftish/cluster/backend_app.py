"""The shell of every storage server: parse the path, check the device, dispatch the verb."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from swiftish.domain.timestamp import BadTimestamp, Timestamp
from swiftish.http.message import Request, Response
from swiftish.http.replies import Refusal, plain
from swiftish.runtime.clock import Clock, too_far_ahead
from swiftish.runtime.devices import Devices, LocalDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A backend request whose path has been understood."""

    request: Request
    device: LocalDevice
    partition: int
    account: str
    container: str | None
    object: str | None
    clock: Clock

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def policy_index(self) -> int:
        """X-Backend-Storage-Policy-Index, 0 when absent.  Raises Refusal 400."""
        return integer_header(self.headers, "x-backend-storage-policy-index", default=0)

    def timestamp(self) -> Timestamp:
        """The X-Timestamp that every change carries.

        Raises Refusal 400; 503, with this server's own moment, when it is too far ahead to be
        true: a clock is broken, here or there, and another server may know better (T27).
        """
        found = timestamp_header(self.headers, "x-timestamp")
        now = self.clock.now()
        if too_far_ahead(found, now):
            moment = Timestamp.from_seconds(now).internal
            raise Refusal(503, "X-Timestamp is too far ahead.", {AHEAD_OF: moment})
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionCall:
    """A request of another node's worker about a partition; `rest` is what follows in the path."""

    request: Request
    device: LocalDevice
    partition: int
    rest: str
    clock: Clock

    @property
    def policy_index(self) -> int:
        """X-Backend-Storage-Policy-Index, 0 when absent.  Raises Refusal 400."""
        return integer_header(self.request.headers, "x-backend-storage-policy-index", default=0)


Verb = Callable[[Call], Awaitable[Response]]
PartitionVerb = Callable[[PartitionCall], Awaitable[Response]]

_NONE: Mapping[str, PartitionVerb] = {}

# Of an answer of 503: the moment by the clock of a server that a change was too far ahead of.
AHEAD_OF = "x-backend-ahead-of"


class BackendApp:
    """A Handler made of verbs: `/<device>/<partition>/<account>[/<container>[/<object>]]`, and
    of those between workers, `/<device>/<partition>[/<rest>]`.

    Answers 400 for a path that makes no sense, 405 for an unknown verb, 507 for a device that
    is not here or out of service.  A verb may raise Refusal.
    """

    def __init__(
        self,
        devices: Devices,
        verbs: Mapping[str, Verb],
        partition_verbs: Mapping[str, PartitionVerb] = _NONE,
        *,
        clock: Clock,
    ) -> None:
        self._devices = devices
        self._clock = clock
        self._verbs = verbs
        self._partition_verbs = partition_verbs
        self._allowed = ", ".join(sorted((*verbs, *partition_verbs)))

    async def __call__(self, request: Request) -> Response:
        verb = self._verbs.get(request.method)
        partition_verb = self._partition_verbs.get(request.method)
        if verb is None and partition_verb is None:
            return plain(405, "unknown verb", {"allow": self._allowed})
        parts = request.path.split("/", 5 if verb else 3)
        if (
            len(parts) < (4 if verb else 3)
            or parts[0]
            or not (parts[2].isascii() and parts[2].isdecimal())
            or not all(parts[1 : 4 if verb else 3])
        ):
            return plain(400, f"not a backend path: {request.path[:100]!r}")
        device = self._devices.get(parts[1])
        if device is None or device.out_of_service is not None:
            return plain(507, f"device {parts[1]} is not in service")
        try:
            if verb is not None:
                return await verb(self._call(request, device, parts))
            assert partition_verb is not None
            rest = parts[3] if len(parts) > 3 else ""
            return await partition_verb(
                PartitionCall(
                    request=request,
                    device=device,
                    partition=int(parts[2]),
                    rest=rest,
                    clock=self._clock,
                )
            )
        except Refusal as refusal:
            return refusal.response()

    def _call(self, request: Request, device: LocalDevice, parts: list[str]) -> Call:
        return Call(
            request=request,
            device=device,
            partition=int(parts[2]),
            account=parts[3],
            container=parts[4] if len(parts) > 4 else None,
            object=parts[5] if len(parts) > 5 else None,
            clock=self._clock,
        )


def integer_header(headers: Mapping[str, str], name: str, *, default: int) -> int:
    """A header's whole number, or `default` when it is absent.  Raises Refusal 400."""
    text = headers.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise Refusal(400, f"{name} is not a whole number: {text[:40]!r}") from None


def timestamp_header(headers: Mapping[str, str], name: str) -> Timestamp:
    """A header's timestamp.  Raises Refusal 400 when it is missing or bad."""
    text = headers.get(name)
    if text is None:
        raise Refusal(400, f"missing {name}")
    try:
        return Timestamp.parse(text)
    except BadTimestamp as error:
        raise Refusal(400, f"{name}: {error}") from None
