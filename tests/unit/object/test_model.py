"""Changes in any order against a dict: what counts is their timestamps, not their arrival."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.conftest import device_parent
from tests.fakes.object_node import Node

NAMES = st.sampled_from(["one", "two"])
MOMENTS = st.integers(1, 30)


@dataclass
class Model:
    """One object: a .data, the newest POST since, and a tombstone."""

    data: tuple[int, bytes, str] | None = None
    deleted: int = 0
    posts: dict[int, str] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        return max(self.deleted, self.data[0] if self.data else 0)

    @property
    def newest_post(self) -> int:
        assert self.data is not None
        return max([at for at in self.posts if at > self.data[0]], default=0)


class ObjectStore(RuleBasedStateMachine):
    """PUT, POST and DELETE of two objects, and a look at them after each."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory(prefix="swiftish-test-", dir=device_parent())
        self._runner = asyncio.Runner()
        self._runner.get_loop()
        self._node = Node(Path(self._folder.name))
        self._models = {"one": Model(), "two": Model()}

    def teardown(self) -> None:
        self._runner.run(self._node.aclose())
        self._runner.close()
        self._folder.cleanup()

    def _status(self, method: str, name: str, body: bytes = b"", **options: str | int) -> int:
        at = options.pop("at")
        headers = {key: str(value) for key, value in options.items()}
        work = self._node.ask(method, name, body, at=int(at), headers=headers)
        return self._runner.run(work).status

    @rule(name=NAMES, at=MOMENTS, body=st.binary(max_size=20), colour=st.sampled_from("rgb"))
    def put(self, name: str, at: int, body: bytes, colour: str) -> None:
        model = self._models[name]
        if model.data is not None and model.data[0] == at:
            return  # test_durability.py has changes of one moment
        status = self._status("PUT", name, body, at=at, x_object_meta_colour=colour)
        if at <= model.changed:
            assert status == 409
        else:
            assert status == 201
            model.data, model.deleted = (at, body, colour), 0

    @rule(name=NAMES, at=MOMENTS, colour=st.sampled_from("rgb"))
    def post(self, name: str, at: int, colour: str) -> None:
        model = self._models[name]
        if at in model.posts:
            return
        status = self._status("POST", name, at=at, x_object_meta_colour=colour)
        if model.data is None:
            assert status == 404
        elif at <= max(model.data[0], model.newest_post):
            assert status == 409
        else:
            assert status == 202
            model.posts[at] = colour

    @rule(name=NAMES, at=MOMENTS)
    def delete(self, name: str, at: int) -> None:
        model = self._models[name]
        status = self._status("DELETE", name, at=at)
        if model.data is not None:
            assert status == (204 if at >= model.data[0] else 409)
        else:
            assert status == 404
        if at >= model.changed:
            model.data, model.deleted = None, at

    @precondition(lambda self: any(model.data for model in self._models.values()))
    @rule()
    def restart(self) -> None:
        self._runner.run(self._node.aclose())
        self._node = Node(Path(self._folder.name))

    @invariant()
    def is_as_the_model(self) -> None:
        for name, model in self._models.items():
            answer = self._runner.run(self._node.ask("GET", name))
            if model.data is None:
                assert answer.status == 404
                continue
            _, body, colour = model.data
            assert (answer.status, answer.body) == (200, body)
            post = model.newest_post
            assert answer.headers["x-object-meta-colour"] == (model.posts[post] if post else colour)


ObjectStore.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestObjectStore = ObjectStore.TestCase
