"""The middleware in their order, outermost first, with a reason on every line.

Around them all the server puts Bugs: whatever breaks further in is one logged 500.
Settings switch middleware on and off; they never order them.
"""

from functools import partial

from swiftish.domain.limits import Limits
from swiftish.domain.policy import PolicySet
from swiftish.http.errors import Bugs, Refusals
from swiftish.http.health import HealthCheck
from swiftish.http.message import Handler, Middleware, pipeline
from swiftish.proxy.cache import Cache
from swiftish.proxy.capabilities import capabilities
from swiftish.proxy.infos import Infos
from swiftish.proxy.internal import Internal
from swiftish.proxy.middleware.copy import Copy
from swiftish.proxy.middleware.cors import Cors
from swiftish.proxy.middleware.gatekeeper import Gatekeeper
from swiftish.proxy.middleware.info import Info, InfoSettings
from swiftish.proxy.middleware.listing_formats import ListingFormats
from swiftish.proxy.middleware.tempauth import Tempauth, TempauthSettings
from swiftish.proxy.settings import ProxySettings
from swiftish.runtime.clock import Clock


def public_pipeline(
    router: Handler,
    *,
    settings: ProxySettings,
    limits: Limits,
    policies: PolicySet,
    infos: Infos,
    cache: Cache,
    clock: Clock,
    tempauth: TempauthSettings | None,
) -> Handler:
    """What clients talk to: `router` inside all middleware that is switched on."""
    known = capabilities(
        limits=limits,
        policies=policies,
        allow_account_management=settings.allow_account_management,
        account_autocreate=settings.account_autocreate,
        allow_open_expired=settings.allow_open_expired,
        strict_cors_mode=settings.strict_cors_mode,
        tempauth=tempauth is not None,
    )
    info = partial(
        Info, capabilities=known, clock=clock, settings=InfoSettings(expose=settings.expose_info)
    )
    cors = partial(
        Cors,
        infos=infos,
        allow_origin=settings.cors_allow_origin,
        expose_headers=settings.cors_expose_headers,
        strict=settings.strict_cors_mode,
    )
    auth: list[Middleware] = []
    if tempauth is not None:
        auth = [partial(Tempauth, settings=tempauth, infos=infos, cache=cache, clock=clock)]
    return pipeline(
        router,
        HealthCheck,  # outside all that could refuse or need a node: the process is up or it is not
        Gatekeeper,  # outside all that reads headers: everything inside may trust them
        info,  # outside auth: everybody may ask what the cluster can do
        cors,  # outside auth: preflights carry no token, and a 401 must be readable to a browser
        ListingFormats,  # outside auth: a 406 needs nobody's rights; all inside see JSON only
        *auth,  # outside all that makes requests in the client's name
        partial(Copy, limits=limits),  # inside auth: both halves are asked for like any other
        Refusals,  # innermost: what controllers raise becomes what middleware can see
    )


def internal_pipeline(router: Handler, *, clock: Clock) -> Handler:
    """What our own workers talk to, in their own process: `router` without clients' middleware."""
    return pipeline(
        router,
        Bugs,  # no server is around this one: a bug of ours costs a worker one request
        partial(Internal, clock=clock),  # outside all that asks whether a request is internal
        Refusals,  # innermost: what controllers raise becomes an answer
    )
