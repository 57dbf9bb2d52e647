"""The decisions of a streaming upload, as conversations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.cluster.upload import (
    Accepted,
    Action,
    Answered,
    Drop,
    Event,
    Failed,
    Finish,
    Offer,
    Pull,
    Pulled,
    Reply,
    Send,
    Sent,
    Stage,
    Upload,
    settle,
)

Step = tuple[Event[str], list[Action[str]]]


def upload(nodes: str = "abcdef", size: int = 3, quorum: int = 2) -> Upload[str]:
    return Upload(candidates=iter(nodes), size=size, quorum=quorum)


def talk(machine: Upload[str], steps: Sequence[Step]) -> None:
    for event, actions in steps:
        assert machine.handle(event) == actions, event


def streaming(size: int = 3, quorum: int = 2) -> Upload[str]:
    machine = upload(size=size, quorum=quorum)
    machine.start()
    for node in "abcdef"[:size]:
        machine.handle(Accepted(node))
    assert machine.stage is Stage.STREAMING
    return machine


def test_the_usual_upload() -> None:
    """Nothing is pulled before all have accepted; two answers of three are enough."""
    machine = upload()
    assert machine.start() == [Offer("a"), Offer("b"), Offer("c")]
    talk(
        machine,
        [
            (Accepted("b"), []),
            (Accepted("a"), []),
            (Accepted("c"), [Pull()]),
            (Pulled(b"x"), [Send("b", b"x"), Send("a", b"x"), Send("c", b"x")]),
            (Sent("a"), []),
            (Sent("b"), []),
            (Sent("c"), [Pull()]),
            (Pulled(b""), [Finish("b"), Finish("a"), Finish("c")]),
            (Answered("a", 201), []),
            (Answered("c", 201), [Reply(201)]),
            (Answered("b", 503), []),
        ],
    )


def test_t21_a_node_that_breaks_is_replaced_by_a_handoff() -> None:
    """A full or broken node's place is offered to the next candidate."""
    machine = upload()
    machine.start()
    talk(
        machine,
        [
            (Answered("a", 507), [Offer("d")]),
            (Accepted("b"), []),
            (Answered("d", 503), [Offer("e")]),
            (Accepted("e"), []),
            (Accepted("c"), [Pull()]),
        ],
    )


def test_t22_without_a_quorum_nothing_is_pulled() -> None:
    """Two of three down and no handoffs: 503, and the client's body is never asked for."""
    machine = upload(nodes="abc")
    machine.start()
    talk(
        machine,
        [
            (Answered("a", 503), []),
            (Answered("b", 503), []),
            (Accepted("c"), [Drop("c"), Reply(503)]),
        ],
    )


def test_no_node_at_all() -> None:
    """An upload that has nobody to ask says so."""
    assert upload(nodes="").start() == [Reply(503)]


@pytest.mark.parametrize("status", [412, 409])
def test_an_object_that_is_there_ends_the_upload_before_it_begins(status: int) -> None:
    """One node is enough to know, and a 4xx gets no handoff."""
    machine = upload()
    machine.start()
    talk(
        machine,
        [
            (Accepted("a"), []),
            (Answered("b", status), []),
            (Accepted("c"), [Drop("a"), Drop("c"), Reply(status)]),
        ],
    )


def test_nodes_that_agree_on_a_refusal_are_believed() -> None:
    """What is wrong for all is the client's to hear."""
    machine = upload()
    machine.start()
    talk(
        machine,
        [
            (Answered("a", 400), []),
            (Answered("b", 400), []),
            (Accepted("c"), [Drop("c"), Reply(400)]),
        ],
    )


def test_a_node_lost_on_the_way() -> None:
    """Two of three go on; with one the upload is lost."""
    machine = streaming()
    talk(
        machine,
        [
            (Pulled(b"x"), [Send("a", b"x"), Send("b", b"x"), Send("c", b"x")]),
            (Sent("a"), []),
            (Answered("b", 503), [Drop("b")]),
            (Sent("c"), [Pull()]),
            (Answered("a", 507), [Drop("a"), Drop("c"), Reply(503)]),
        ],
    )


def test_lost_nodes_count_as_answers() -> None:
    """Who was lost on the way has not stored it."""
    machine = streaming()
    talk(
        machine,
        [
            (Answered("a", 503), [Drop("a")]),
            (Pulled(b""), [Finish("b"), Finish("c")]),
            (Answered("b", 201), []),
            (Answered("c", 503), [Reply(503)]),
        ],
    )


def test_a_client_that_gives_up() -> None:
    """All nodes are told to store nothing."""
    talk(streaming(), [(Failed(408), [Drop("a"), Drop("b"), Drop("c"), Reply(408)])])


def test_different_bytes() -> None:
    """Nodes that stored different bytes have not stored the client's."""
    talk(
        streaming(),
        [
            (Pulled(b""), [Finish("a"), Finish("b"), Finish("c")]),
            (Answered("a", 201, "1"), []),
            (Answered("b", 201, "2"), [Reply(500)]),
        ],
    )


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([201, 201, 503], 201),
        ([201, 201, 409], 201),
        ([201, 409, 503], 409),
        ([412, 409, 409], 412),
        ([422, 422, 201], 422),
        ([201, 503, 503], 503),
        ([422, 503, 503], 503),
    ],
)
def test_settle(statuses: list[int], status: int) -> None:
    """What nodes said of an upload that was sent whole."""
    assert settle(statuses, {"e"}, needed=2) == status


class World:
    """A client and nodes that do whatever chance says, as far as the protocol lets them."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], *, quorum: int) -> None:
        self.draw = draw
        self.quorum = quorum
        self.offered: set[str] = set()
        self.live: set[str] = set()
        self.finished: set[str] = set()
        self.sending: list[str] = []
        self.pulling = False
        self.stored = 0
        self.replies: list[int] = []

    def do(self, action: Action[str]) -> None:
        match action:
            case Offer(node):
                self.offered.add(node)
            case Pull():
                assert not self.pulling
                assert len(self.live) >= self.quorum
                self.pulling = True
            case Send(node, _):
                self.sending.append(node)
            case Finish(node):
                self.finished.add(node)
            case Drop(node):
                self.live.discard(node)
            case Reply(status):
                self.replies.append(status)

    def event(self) -> Event[str]:
        choices = [("accept", node) for node in sorted(self.offered)]
        choices += [("break", node) for node in sorted(self.offered | self.live | self.finished)]
        choices += [("sent", node) for node in self.sending]
        choices += [("store", node) for node in sorted(self.finished)]
        choices += [("pull", "")] * self.pulling
        assert choices, "nobody has anything to do, and there is no reply"
        what, node = self.draw(st.sampled_from(choices))
        if what == "pull":
            self.pulling = False
            pulled: Event[str] = self.draw(
                st.sampled_from([Pulled(b"x"), Pulled(b""), Failed(499)])
            )
            return pulled
        if what == "sent":
            self.sending.remove(node)
            return Sent(node)
        self.offered.discard(node)
        if what == "accept":
            self.live.add(node)
            return Accepted(node)
        self.live.discard(node)
        self.finished.discard(node)
        self.sending = [each for each in self.sending if each != node]
        self.stored += what == "store"
        return Answered(node, 201 if what == "store" else self.draw(st.sampled_from([503, 409])))


@given(st.data())
def test_every_order_of_events_ends_in_one_reply(data: st.DataObject) -> None:
    """There is one Reply; it is 201 only with a quorum of 201s, and never without one."""
    size = data.draw(st.integers(1, 4))
    quorum = (size + 1) // 2
    machine = upload(nodes="abcdefgh"[: data.draw(st.integers(0, 8))], size=size, quorum=quorum)
    world = World(data.draw, quorum=quorum)
    todo = machine.start()
    for _ in range(200):
        for action in todo:
            world.do(action)
        if world.replies:
            break
        todo = machine.handle(world.event())
    else:
        assert world.pulling or world.sending, "only a long body takes so many events"
        return
    assert len(world.replies) == 1
    assert (world.replies[0] == 201) == (world.stored >= quorum)
    assert machine.handle(Answered("a", 201)) == []
