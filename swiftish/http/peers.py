"""Who may ask on a backend port: those that hold the cluster's key (http/peer_auth.py).

A peer asks for `GET /challenge` first on each connection, and signs what it asks for after that.
Whoever is refused is answered 401 and hears no more; its body is not read.
"""

import ipaddress
import logging
import os
from collections import Counter
from collections.abc import Callable

from swiftish.http.health import is_monitoring
from swiftish.http.message import Bytes, Response
from swiftish.http.peer_auth import CHALLENGE_BYTES, CHALLENGE_PATH, Trouble, Verifier
from swiftish.http.replies import Refusal
from swiftish.http.request_head import RequestHead
from swiftish.runtime.clock import Clock
from swiftish.runtime.seldom import Seldom

log = logging.getLogger(__name__)


def needs_key(key: bytes, host: str) -> bool:
    """Whether a backend port on `host`, a name or an address, must not be opened with `key`:
    there is none, and others than this machine could reach it."""
    if key or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return True


def is_for_monitoring(head: RequestHead) -> bool:
    """What tools without a key may ask: reading /healthcheck, /metrics and /recon/…"""
    return head.method in {"GET", "HEAD"} and is_monitoring(head.path)


class Peers:
    """Checks the peers of a server.  With an empty `key` everybody is one (see `needs_key`).

    `unsigned` says which requests need no signature.  `refused` counts the others that came
    without a right one, by what was wrong: `unsigned`, `unchallenged`, `wrong`.
    """

    def __init__(
        self,
        key: bytes,
        *,
        clock: Clock,
        unsigned: Callable[[RequestHead], bool] = is_for_monitoring,
    ) -> None:
        self.key = key
        self.unsigned = unsigned
        self.refused: Counter[str] = Counter()
        self._seldom = Seldom(clock)

    def gate(self, peer: str) -> "Gate":
        """For a new connection from the address `peer`."""
        return Gate(self, peer)

    def refuse(self, peer: str, trouble: Trouble) -> Refusal:
        """Count it, log it if that was not done lately, and put it into words."""
        self.refused[trouble.name.lower()] += 1
        if self._seldom.may((peer, trouble)):
            log.warning("a peer is refused", extra={"peer": peer, "reason": trouble.value})
        return Refusal(401, trouble.value, {"www-authenticate": "X-Backend-Signature"})


class Gate:
    """One connection's."""

    __slots__ = ("_peer", "_peers", "_verifier")

    def __init__(self, peers: Peers, peer: str) -> None:
        self._peers = peers
        self._peer = peer
        self._verifier = Verifier(peers.key)

    def answer(self, head: RequestHead) -> Response | None:
        """None for a request that may be handled; the answer to one for a challenge.

        Raises Refusal 401; then the connection must be closed.
        """
        if head.target == CHALLENGE_PATH and head.method == "GET":
            challenge = os.urandom(CHALLENGE_BYTES).hex()
            self._verifier.challenge(challenge)
            headers = {"content-type": "text/plain", "cache-control": "no-store"}
            return Response(status=200, headers=headers, body=Bytes(challenge.encode()))
        peers = self._peers
        if not peers.key or peers.unsigned(head):
            return None
        trouble = self._verifier.trouble(head.method, head.target, head.headers)
        if trouble is not None:
            raise peers.refuse(self._peer, trouble)
        return None
