"""Requests between nodes are signed with the cluster's key.

Theory of operation.  Nodes' clocks may be off by an hour, and a server is several processes on one
port, so neither a time nor a list of what has been seen could tell a replayed request.  Instead
each connection has a challenge, a random number that the server draws and the peer asks for first:
a signature covers it, and the number of the request on this connection.  So it is good for one
request on one connection, no clock is asked, and the server remembers 32 bytes and a number.

A signature covers the method, the target and all headers, as they are on the wire, but those
that name the connection.  It does not cover the body: whoever can change what is on its way
between two nodes can read it too, and has to be kept out of that network.

Pure.
"""

import enum
import hmac
from collections.abc import Mapping

CHALLENGE_PATH = "/challenge"
CHALLENGE_BYTES = 32
SIGNATURE = "x-backend-signature"
# What belongs to the connection, and the signature itself.
_UNSIGNED = frozenset({SIGNATURE, "connection", "keep-alive", "proxy-connection"})


class Trouble(enum.Enum):
    """What is wrong with a signature, in a sentence."""

    UNSIGNED = "This port is for nodes of the cluster, and the request is not signed."
    UNCHALLENGED = "No challenge was asked for on this connection."
    WRONG = "The signature is not one of the cluster's key for this request on this connection."


def signature(
    key: bytes, challenge: str, number: int, method: str, target: str, headers: Mapping[str, str]
) -> str:
    """The signature, in hex, of the `number`th request since the challenge, counted from 1.

    `headers` are what the server will read: names in lower case, values without white space
    around them.
    """
    # No line holds an end of a line and no name a colon, so this can be read in one way only.
    lines = [f"{name}:{value}" for name, value in sorted(headers.items()) if name not in _UNSIGNED]
    text = "\n".join([challenge, str(number), method, target, *lines])
    return hmac.digest(key, text.encode("utf-8", "surrogateescape"), "sha256").hex()


class Signer:
    """A peer's end of one connection: signs its requests, one after another."""

    __slots__ = ("_challenge", "_key", "_number")

    def __init__(self, key: bytes, challenge: str) -> None:
        self._key = key
        self._challenge = challenge
        self._number = 0

    def sign(self, method: str, target: str, headers: Mapping[str, str]) -> str:
        """The signature of the request that is sent next."""
        self._number += 1
        return signature(self._key, self._challenge, self._number, method, target, headers)


class Verifier:
    """A server's end of one connection: each signature is good for the next request only."""

    __slots__ = ("_challenge", "_key", "_number")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._challenge = ""
        self._number = 0

    def challenge(self, challenge: str) -> None:
        """From now on signatures must cover this `challenge`, which nobody could foresee."""
        self._challenge = challenge
        self._number = 0

    def trouble(self, method: str, target: str, headers: Mapping[str, str]) -> Trouble | None:
        """What is wrong with the next request; then the connection is of no more use."""
        given = headers.get(SIGNATURE)
        if given is None:
            return Trouble.UNSIGNED
        if not self._challenge:
            return Trouble.UNCHALLENGED
        self._number += 1
        right = signature(self._key, self._challenge, self._number, method, target, headers)
        if hmac.compare_digest(given.encode("utf-8", "replace"), right.encode()):
            return None
        return Trouble.WRONG
