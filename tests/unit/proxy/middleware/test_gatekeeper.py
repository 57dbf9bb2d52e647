"""The gatekeeper: what clients may not send and may not see."""

from __future__ import annotations

import asyncio

import pytest

from swiftish.http.message import Response
from swiftish.proxy.middleware.gatekeeper import Gatekeeper
from tests.fakes.inner_app import InnerApp, client_request

SYSTEM = [
    *("x-account-sysmeta-core-access-control", "x-container-sysmeta-a", "x-object-sysmeta-a"),
    *("x-object-transient-sysmeta-a", "x-backend-storage-policy-index", "x-backend"),
    *("x-account-host", "x-account-device", "x-account-partition", "x-container-host"),
    *("x-container-device", "x-container-partition", "x-delete-at-host", "x-delete-at-device"),
    *("x-delete-at-partition", "x-delete-at-container", "x-container-root-db-state"),
    "x-put-timestamp",
]
ONLY_INWARD = [
    *("x-timestamp", "x-user", "x-user-id", "x-user-name", "x-roles", "x-role", "x-tenant-id"),
    *("x-project-id", "x-identity-status", "x-service-roles", "x-service-identity-status"),
    *("x-size", "x-etag", "x-object-count", "x-delete-timestamp"),
]
CLIENTS = {
    "x-auth-token": "t",
    "x-service-token": "s",
    "x-account-meta-a": "1",
    "x-container-meta-sysmeta-b": "2",
    "x-object-meta-x-backend-c": "3",
    "x-container-read": "4",
    "x-copy-from": "5",
    "x-delete-at": "6",
    "x-delete-after": "7",
    "x-newest": "8",
    "x-storage-policy": "9",
    "x-trans-id-extra": "a",
    "x-remove-container-meta-d": "b",
    "x-account-access-control": "c",
    "etag": "d",
    "content_type": "e",
}


def through(sent: dict[str, str], answered: dict[str, str] | None = None) -> InnerApp:
    app = InnerApp(Response(status=200, headers=answered or {}))
    request = client_request("PUT", "/v1/a/c/o", sent)
    response = asyncio.run(Gatekeeper(app)(request))
    app.answer = response
    return app


@pytest.mark.parametrize("name", SYSTEM + ONLY_INWARD)
def test_t88_clients_can_not_send_system_headers(name: str) -> None:
    """T88, CVE-2026-50221: not as they are, nor in any disguise that something might undo."""
    disguises = [name, name.replace("-", "_"), name.replace("-", "_", 1), f"{name} ", name.title()]
    disguises = [each for each in disguises if each[0] == "x"] + [f"x{name.upper()[1:]}"]
    disguises += [name.replace("k", "\u212a").replace("s", "\u017f"), f"{name}\u2003"]
    app = through({**CLIENTS, **dict.fromkeys(disguises, "evil")})
    assert app.last.headers == CLIENTS


@pytest.mark.parametrize("name", ["É", "Ωμέγα", "\udcc0", "a\u2003"])
def test_metadata_may_be_called_anything(name: str) -> None:
    """Cases and blanks beyond ASCII disguise nothing: nobody further in undoes them."""
    sent = {f"x-object-meta-{name}": "1"}
    assert through(sent).last.headers == sent


@pytest.mark.parametrize("name", SYSTEM)
def test_clients_see_no_system_headers(name: str) -> None:
    """What storage servers and middleware say to each other stays inside."""
    told = {"x-timestamp": "1", "x-object-meta-a": "2", "etag": "3", "x-trans-id": "4"}
    app = through({}, {**told, name: "secret"})
    assert isinstance(app.answer, Response)
    assert app.answer.headers == told


def test_nothing_to_do_costs_no_copy() -> None:
    """A request and an answer with nothing to strip go through as they are."""
    app = InnerApp(answer := Response(status=200, headers={"etag": "x"}))
    request = client_request("GET", "/v1/a/c/o", CLIENTS)
    assert asyncio.run(Gatekeeper(app)(request)) is answer
    assert app.last is request


def test_t94_identity_headers() -> None:
    """T94, CVE-2026-22797: nobody is who they say they are in a header."""
    app = through({"x-user-id": "root", "x-roles": "admin", "x-identity-status": "Confirmed"})
    assert app.last.headers == {}


def test_a_client_can_not_claim_a_large_object() -> None:
    """X-Static-Large-Object would make the system read the body as a manifest."""
    app = InnerApp()
    for method, status in (("PUT", 400), ("POST", 400), ("COPY", 400), ("GET", 200)):
        request = client_request(method, "/v1/a/c/o", {"x-static-large-object": "true"})
        assert asyncio.run(Gatekeeper(app)(request)).status == status
