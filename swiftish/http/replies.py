"""Refusal, a status that can be raised, and the standard small answers.

Pure.
"""

from collections.abc import Mapping
from html import escape
from http import HTTPStatus

from swiftish.http.message import Bytes, Response

_EXTRA_REASONS = {497: "Ratelimited", 498: "Rate Limit Exceeded", 499: "Client Disconnect"}

_TEXTS = {
    400: "The server could not comply with the request.",
    401: "Log in first: this needs a valid token.",
    403: "You may not do this here.",
    404: "There is nothing here by that name.",
    405: "This method can't be used here.",
    406: "There is no representation that you accept.",
    408: "The rest of the request did not arrive in time.",
    409: "This conflicts with what is stored.",
    410: "This account has been deleted.",
    411: "Say how long the body is, or send it chunked.",
    412: "A condition of the request does not hold.",
    413: "The body is larger than allowed.",
    416: "The object has no bytes in the ranges asked for.",
    422: "The body does not match its checksum.",
    499: "The client went away.",
    503: "Too few servers could answer; try again.",
    507: "No space is left.",
}


def reason(status: int) -> str:
    """The words after the status code."""
    if status in _EXTRA_REASONS:
        return _EXTRA_REASONS[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Refusal(Exception):
    """An answer that is raised: whoever decides that a request goes no further raises one.

    `text` is a sentence for a person (plain text); without it the status has a standard one.
    """

    def __init__(
        self, status: int, text: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {text or reason(status)}")
        self.status = status
        self.text = text
        self.headers = dict(headers or {})

    def response(self) -> Response:
        if self.text is None:
            return status_page(self.status, self.headers)
        return plain(self.status, self.text, self.headers)


def status_page(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The small HTML page that goes with a status (reference 1.0)."""
    page = f"<html><h1>{escape(reason(status))}</h1><p>{escape(_TEXTS.get(status, ''))}</p></html>"
    return Response(
        status=status,
        headers={"content-type": "text/html; charset=UTF-8", **(headers or {})},
        body=Bytes(page.encode()),
    )


def plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """A plain-text answer."""
    return Response(
        status=status,
        headers={"content-type": "text/plain; charset=UTF-8", **(headers or {})},
        body=Bytes(text.encode("utf-8", "replace")),
    )


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """No body at all: 201, 202, 204."""
    return Response(status=status, headers=headers or {})
