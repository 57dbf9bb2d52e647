"""What every controller is given: the rings, and the ways of asking them."""

from collections.abc import Mapping
from dataclasses import dataclass

from swiftish.cluster.downloader import Reader
from swiftish.cluster.fanout import Fanout
from swiftish.cluster.nodes import Nodes, Place, place_of
from swiftish.cluster.uploader import Uploader
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.listing import TRUE_WORDS
from swiftish.domain.names import Target
from swiftish.domain.policy import Policy, PolicySet
from swiftish.http.message import Request
from swiftish.http.replies import Refusal
from swiftish.proxy.settings import ProxySettings
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
    uploader: Uploader

    def account(self, target: Target) -> Place:
        """Where an account is."""
        return place_of("account", self.account_ring(), self.hash_path, Target(target.account))

    def container(self, target: Target) -> Place:
        """Where a container is."""
        owner = Target(target.account, target.container)
        return place_of("container", self.container_ring(), self.hash_path, owner)

    def object(self, target: Target, policy: Policy) -> Place:
        """Where an object of a policy is."""
        return place_of("object", self.object_rings[policy.index](), self.hash_path, target)

    def policy(self, index: int) -> Policy:
        """The policy of a container's objects.  Raises Refusal 503 for one nobody knows."""
        policy = self.policies.by_index(index)
        if policy is None or index not in self.object_rings:
            raise Refusal(503, "The container's storage policy is not known here.")
        return policy

    def headers(self, request: Request) -> dict[str, str]:
        """What every backend request carries."""
        return {"x-trans-id": request.context.transaction_id}

    def change_headers(self, request: Request) -> dict[str, str]:
        """What every change carries: the moment that orders it among all others."""
        return {
            "x-trans-id": request.context.transaction_id,
            "x-timestamp": self.clock.timestamp().internal,
        }


def wants_newest(request: Request) -> bool:
    """Whether X-Newest asks for all replicas to be heard."""
    return request.headers.get("x-newest", "").lower() in TRUE_WORDS
