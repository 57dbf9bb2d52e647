"""Strangers at the backend ports of a running node: refused, logged once, counted (T90)."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

import pytest

from swiftish.http.peer_auth import CHALLENGE_PATH, SIGNATURE, Signer
from tests.functional.account import Account
from tests.functional.wire import Reply, Wire
from tests.lab.lab import Lab
from tests.lab.look import Place, Spot, ask, place
from tests.probe.cluster.steps import ACCOUNT


@pytest.fixture
def home(lab: Lab, account: Account, container: str) -> tuple[Place, Spot]:
    """An object, and a device that has it."""
    account.put(container, "o", b"secret")
    found = place(lab, ACCOUNT, container, "o")
    return found, found.primaries[0]


def wire(spot: Spot) -> Wire:
    return Wire(spot.device.ip, spot.device.port)


def signed(connection: Wire, key: str, path: str) -> dict[str, str]:
    """The headers of a GET with a signature for this connection."""
    challenge = connection.request("GET", CHALLENGE_PATH).body.decode()
    headers = {"host": f"{connection.host}:{connection.port}"}
    return {**headers, SIGNATURE: Signer(key.encode(), challenge).sign("GET", path, headers)}


def refused(reply: Reply) -> bool:
    return reply.status == 401 and b"secret" not in reply.body


def counts(spot: Spot) -> str:
    """What the node's metrics say of peers that were refused."""
    with wire(spot) as connection:
        lines = connection.request("GET", "/metrics").body.decode().splitlines()
    return "\n".join(line for line in lines if line.startswith("swiftish_refused_peers_total"))


def test_t90_strangers_are_refused(lab: Lab, home: tuple[Place, Spot]) -> None:
    """Without a signature, without a challenge, with the key of another cluster, replayed on the
    same connection and on another; and once more right, to see that nothing has suffered."""
    found, spot = home
    path = found.at(spot)
    for method in ("GET", "DELETE", "REPLICATE"):
        with wire(spot) as connection:
            assert refused(connection.request(method, path))
    with wire(spot) as connection:
        assert refused(connection.request("GET", path, {SIGNATURE: "0" * 64}))
    with wire(spot) as connection:
        assert refused(connection.request("GET", path, signed(connection, "another key", path)))
    replayed: Mapping[str, str]
    with wire(spot) as connection:
        replayed = signed(connection, lab.topology.key, path)
        assert connection.request("GET", path, replayed).body == b"secret"
        assert refused(connection.request("GET", path, replayed))
    with wire(spot) as connection:
        connection.request("GET", CHALLENGE_PATH)
        assert refused(connection.request("GET", path, replayed))
    assert ask(lab, spot, "GET", path)[2] == b"secret"
    log = spot.node.log.read_text()
    assert log.count("a peer is refused") == 3, "once for each reason"
    assert all(f'reason="{reason}"' in counts(spot) for reason in ("unsigned", "wrong"))


@pytest.mark.parametrize("what", ["digests", "offer", "files", "file"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xc1", id="no msgpack"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="a map that is not there"),
        pytest.param(b"\x91" * 5000, id="deep"),
        pytest.param(b"{}", id="something else"),
    ],
)
def test_t90_garbage_from_who_has_the_key(
    lab: Lab, home: tuple[Place, Spot], what: str, body: bytes
) -> None:
    """Documents that are none are a 400, and the node is as well as before."""
    found, spot = home
    path = f"/{spot.device.device}/{found.partition}/{what}"
    status, _, _ = ask(lab, spot, "REPLICATE", path, {}, body[:20_000])
    assert status in ((200,) if what == "digests" else (400, 413, 422)), body[:20]
    assert ask(lab, spot, "GET", found.at(spot))[2] == b"secret"


def test_t89_a_foreign_host_is_never_called(lab: Lab, home: tuple[Place, Spot]) -> None:
    """An update for a container at an address that is in no ring: nobody goes there."""
    found, spot = home
    host = lab.network.address(0).rpartition(".")[0] + ".1" if lab.network.can_cut else "127.0.0.1"
    with socket.create_server((host, 0)) as server:
        headers = {
            "x-timestamp": f"{time.time():.5f}",
            "x-container-host": f"{host}:{server.getsockname()[1]}",
            "x-container-device": "d1",
            "x-container-partition": "1",
        }
        status, answer, _ = ask(lab, spot, "DELETE", found.at(spot), headers)
        assert status == 204, answer
        lab.once("object-updater", errors=True)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
