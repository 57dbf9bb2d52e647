"""The container that an object is in, as far as the object's requests need to know it."""

from swiftish.domain.names import Target
from swiftish.http.message import Request
from swiftish.http.replies import Refusal
from swiftish.proxy.infos import ContainerInfo, Infos
from swiftish.proxy.request import inward_header


async def container_of(infos: Infos, request: Request, target: Target) -> ContainerInfo:
    """What is known of an object's container.

    A worker that names a storage policy is taken at its word: what it is after may be in another
    one than the container's, and is to be found there also when the container is gone.

    Raises Refusal 503 when nobody knows.
    """
    named = inward_header(request, "x-backend-storage-policy-index")
    if named is not None:
        if not (named.isascii() and named.isdigit()):
            raise Refusal(400, "X-Backend-Storage-Policy-Index is not a whole number.")
        return ContainerInfo(status=204, policy_index=int(named))
    info = await infos.container(request, target.account, target.container or "")
    if info.status >= 500:
        raise Refusal(503)
    return info
