"""What every controller is given: the rings, and the ways of asking them."""

from collections.abc import Mapping
from dataclasses import dataclass

from swiftish.cluster.changes import Changes
from swiftish.cluster.downloader import Reader
from swiftish.cluster.fanout import Fanout
from swiftish.cluster.nodes import Nodes, Place, place_of
from swiftish.cluster.transport import Kind
from swiftish.cluster.uploader import Uploader
from swiftish.cluster.wire import CLEAN_QUEUE, OPEN_EXPIRED, told_headers
from swiftish.domain.expiry import QUEUE_ACCOUNT, queue_container
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.listing import TRUE_WORDS
from swiftish.domain.names import Target
from swiftish.domain.policy import Policy, PolicySet
from swiftish.domain.timestamp import BadTimestamp, Timestamp
from swiftish.http.message import Request, Response
from swiftish.http.replies import Refusal
from swiftish.proxy.request import context_of, inward_header
from swiftish.proxy.settings import ProxySettings
from swiftish.proxy.update_targets import cleaning, container_updates, queue_updates
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The storage services as the proxy sees them."""

    settings: ProxySettings
    limits: Limits
    policies: PolicySet
    hash_path: HashPath
    account_ring: RingSource
    container_ring: RingSource
    object_rings: Mapping[int, RingSource]
    clock: Clock
    nodes: Nodes
    reader: Reader
    fanout: Fanout
    changes: Changes
    uploader: Uploader

    def account(self, target: Target) -> Place:
        """Where an account is."""
        owner = Target(target.account)
        options = self.settings.node_options
        return place_of("account", self.account_ring(), self.hash_path, owner, options)

    def container(self, target: Target) -> Place:
        """Where a container is."""
        owner = Target(target.account, target.container)
        options = self.settings.node_options
        return place_of("container", self.container_ring(), self.hash_path, owner, options)

    def object(self, target: Target, policy: Policy) -> Place:
        """Where an object of a policy is."""
        ring = self.object_rings[policy.index]()
        options = self.settings.options_of_policy(policy.index)
        return place_of("object", ring, self.hash_path, target, options)

    def policy(self, index: int) -> Policy:
        """The policy of a container's objects.  Raises Refusal 503 for one nobody knows."""
        policy = self.policies.by_index(index)
        if policy is None or index not in self.object_rings:
            raise Refusal(503, "The container's storage policy is not known here.")
        return policy

    def headers(self, request: Request) -> dict[str, str]:
        """What every backend request carries."""
        headers = {"x-trans-id": request.context.transaction_id}
        if context_of(request).internal:
            headers["x-backend-allow-reserved-names"] = "true"
        return headers

    def told(self, kind: Kind, request: Request, response: Response) -> dict[str, str]:
        """What a server said of itself, as far as who asks may hear it: our workers hear all."""
        if context_of(request).internal:
            return dict(response.headers)
        return told_headers(kind, response.headers)

    def sees_expired(self, request: Request) -> bool:
        """Whether a request is to find objects that have expired and are not deleted yet."""
        if self.settings.allow_open_expired and _says_yes(request.headers.get("x-open-expired")):
            return True
        return moves_expired(request)

    def given_moment(self, request: Request) -> Timestamp | None:
        """The moment of a change, where one of our workers names it.  Raises Refusal 400."""
        if (named := inward_header(request, "x-timestamp")) is None:
            return None
        try:
            return Timestamp.parse(named)
        except BadTimestamp as error:
            raise Refusal(400, str(error)) from None

    def object_updates(
        self, request: Request, target: Target, *, objects: int, delete_at: str | None = None
    ) -> list[dict[str, str]]:
        """For each of `objects` requests that change an object, the headers that say whom else
        its server is to tell: the container, and the queue of those that are to expire."""
        container = self.container(target)
        dealt = container_updates(
            partition=container.partition, containers=container.primaries, objects=objects
        )
        cleans = inward_header(request, CLEAN_QUEUE)
        more = cleaning(objects) if cleans is None else [{CLEAN_QUEUE: cleans}] * objects
        if delete_at is not None:
            more = [
                {**a, **b}
                for a, b in zip(more, self._queue(target, delete_at, objects), strict=True)
            ]
        return [{**a, **b} for a, b in zip(dealt, more, strict=True)]

    def _queue(self, target: Target, delete_at: str, objects: int) -> list[dict[str, str]]:
        digest = self.hash_path(target.account, target.container, target.object)
        name = queue_container(int(delete_at), digest)
        place = self.container(Target(QUEUE_ACCOUNT, name))
        return queue_updates(
            container=name,
            partition=place.partition,
            containers=place.primaries,
            objects=objects,
        )


def moves_expired(request: Request) -> bool:
    """Whether one of our workers deals with objects that may have expired."""
    return _says_yes(inward_header(request, OPEN_EXPIRED))


def wants_newest(request: Request) -> bool:
    """Whether X-Newest asks for all replicas to be heard."""
    return _says_yes(request.headers.get("x-newest"))


def _says_yes(text: str | None) -> bool:
    return text is not None and text.lower() in TRUE_WORDS
