"""Settings, rings and a Transport to the public Handler of a proxy."""

from collections.abc import Mapping

from swiftish.cluster.calls import Calls
from swiftish.cluster.downloader import Reader
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.fanout import Fanout
from swiftish.cluster.nodes import Nodes
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
from swiftish.proxy.pipeline import public_pipeline
from swiftish.proxy.router import Router
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.tasks import Background
from swiftish.runtime.threads import DeviceThreads

CHECKSUM_THREADS = 4


class ProxyService:
    """A proxy.  Made after forking; `close` when nothing is under way any more.

    `handler` is the public pipeline: the context of its requests is a ProxyContext.  `router`
    is what is inside all middleware; `infos` what it remembers of accounts and containers.
    """

    handler: Handler

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
        limiter = ErrorLimiter(
            clock,
            errors_max=settings.error_limit_count,
            interval_s=settings.error_limit_interval_s,
        )
        calls = Calls(transport, limiter, node_timeout_s=settings.node_timeout_s)
        nodes = Nodes(limiter)
        fanout = Fanout(calls, background)
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
            reader=Reader(calls, nodes),
            fanout=fanout,
            uploader=Uploader(
                calls,
                nodes,
                fanout,
                background,
                self._threads,
                whole_body_size_max=settings.whole_body_size_max,
                commit_timeout_s=settings.commit_timeout_s,
            ),
        )
        self.infos = CachedInfos(self.backend, cache)
        accounts = AccountController(self.backend, self.infos)
        self.router = Router(
            account=accounts,
            container=ContainerController(self.backend, self.infos, accounts),
            read=ObjectRead(self.backend, self.infos),
            write=ObjectWrite(self.backend, self.infos),
            change=ObjectChange(self.backend, self.infos),
        )
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

    def close(self) -> None:
        """End the threads."""
        self._threads.close()
