"""Settings, rings and a Transport to the public Handler of a proxy."""

from collections.abc import Mapping

from swiftish.cluster.calls import Calls
from swiftish.cluster.changes import Changes
from swiftish.cluster.downloader import Reader
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.fanout import Fanout
from swiftish.cluster.nodes import Nodes
from swiftish.cluster.timings import Timings
from swiftish.cluster.transport import Transport
from swiftish.cluster.uploader import Uploader
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.policy import PolicySet
from swiftish.http.message import Handler
from swiftish.proxy.cache import Cache
from swiftish.proxy.controllers.account import AccountController
from swiftish.proxy.controllers.backend import Backend
from swiftish.proxy.controllers.container import ContainerController
from swiftish.proxy.controllers.object_change import ObjectChange
from swiftish.proxy.controllers.object_read import ObjectRead
from swiftish.proxy.controllers.object_write import ObjectWrite
from swiftish.proxy.info import CachedInfos
from swiftish.proxy.middleware.tempauth import TempauthSettings
from swiftish.proxy.pipeline import internal_pipeline, public_pipeline
from swiftish.proxy.router import Router
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.tasks import Background
from swiftish.runtime.threads import DeviceThreads

CHECKSUM_THREADS = 4


class ProxyService:
    """A proxy.  Made after forking; `close` when nothing is under way any more.

    `handler` is the public pipeline: the context of its requests is a ProxyContext.  `internal`
    is what this process's own workers ask (cluster/client.py), and nobody else may reach.  `router`
    is what is inside all middleware; `infos` what it remembers of accounts and containers;
    `limiter` and `calls` know how the storage nodes have answered.
    """

    handler: Handler
    internal: Handler

    def __init__(  # noqa: PLR0913  (all that a proxy is made of, by name)
        self,
        *,
        settings: ProxySettings,
        limits: Limits,
        policies: PolicySet,
        hash_path: HashPath,
        account_ring: RingSource,
        container_ring: RingSource,
        object_rings: Mapping[int, RingSource],
        transport: Transport,
        cache: Cache,
        clock: Clock,
        background: Background,
        tempauth: TempauthSettings | None,
    ) -> None:
        self.limiter = limiter = ErrorLimiter(
            clock,
            errors_max=settings.error_limit_count,
            interval_s=settings.error_limit_interval_s,
        )
        self.calls = calls = Calls(
            transport,
            limiter,
            clock,
            node_timeout_s=settings.node_timeout_s,
            read_timeout_s=settings.recoverable_node_timeout_s,
        )
        nodes = Nodes(limiter, Timings(expiry_s=settings.timing_expiry_s))
        fanout = Fanout(calls, background, post_quorum_timeout_s=settings.post_quorum_timeout_s)
        self._threads = DeviceThreads("checksums", size=CHECKSUM_THREADS)
        self.backend = Backend(
            settings=settings,
            limits=limits,
            policies=policies,
            hash_path=hash_path,
            account_ring=account_ring,
            container_ring=container_ring,
            object_rings=object_rings,
            clock=clock,
            nodes=nodes,
            reader=Reader(calls, nodes, background),
            fanout=fanout,
            changes=Changes(fanout, nodes, clock),
            uploader=Uploader(
                calls,
                nodes,
                fanout,
                background,
                self._threads,
                clock,
                whole_body_size_max=settings.whole_body_size_max,
                commit_timeout_s=settings.commit_timeout_s,
            ),
        )
        self.infos = CachedInfos(self.backend, cache)
        self.router = _router(self.backend, self.infos)
        self.handler = public_pipeline(
            self.router,
            settings=settings,
            limits=limits,
            policies=policies,
            infos=self.infos,
            cache=cache,
            clock=clock,
            tempauth=tempauth,
        )
        self.internal = internal_pipeline(self.router, clock=clock)

    def close(self) -> None:
        """End the threads."""
        self._threads.close()


def _router(backend: Backend, infos: CachedInfos) -> Router:
    """All controllers."""
    accounts = AccountController(backend, infos)
    return Router(
        account=accounts,
        container=ContainerController(backend, infos, accounts),
        read=ObjectRead(backend, infos),
        write=ObjectWrite(backend, infos),
        change=ObjectChange(backend, infos),
    )
