"""What an operator may choose, and what a wrong choice is told."""

from __future__ import annotations

from typing import Any

import pytest

from swiftish.cluster.affinity import ReadAffinity, WriteAffinity
from swiftish.cluster.node_options import NodeOptions
from swiftish.proxy.settings import ProxySettings
from swiftish.runtime.settings import BadSettings, build


def settings(**table: Any) -> ProxySettings:  # noqa: ANN401  (as TOML has it)
    return build(ProxySettings, table, where="proxy")


def test_the_defaults() -> None:
    """Those of the nodes are those of cluster/node_options.py."""
    assert settings().node_options == NodeOptions()
    assert settings().options_of_policy(5) == NodeOptions()


def test_a_policy_may_have_its_own_nodes() -> None:
    """What is not said of it is as for all."""
    found = settings(
        sorting="affinity",
        read_affinity="r1=100",
        concurrency_timeout_s=2,
        policy=[
            {"index": 1, "write_affinity": "r2", "concurrent_gets": False},
            {"index": 2, "sorting": "timing", "request_node_count": "4"},
        ],
    )
    assert found.node_options.sorting == "affinity"
    assert found.options_of_policy(0) == found.node_options
    one, two = found.options_of_policy(1), found.options_of_policy(2)
    assert one.read_affinity == ReadAffinity.parse("r1=100")
    assert one.write_affinity == WriteAffinity.parse("r2")
    assert not one.concurrent_reads
    assert one.hedge_s == two.hedge_s == 2
    assert (two.sorting, two.request_nodes.of(3)) == ("timing", 4)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"read_affinity": "r1"}, "proxy: read_affinity: 'r1' is not a place and a number"),
        ({"write_affinity": "east"}, "proxy: write_affinity: 'east' is no place"),
        ({"request_node_count": "many"}, "proxy: request_node_count: 'many' is no number"),
        ({"sorting": "affinity"}, "proxy: sorting by affinity needs a read_affinity"),
        ({"sorting": "alphabet"}, "proxy.sorting: 'alphabet' is none of"),
        ({"policy": [{"index": 1, "write_affinity": "x"}]}, "proxy: write_affinity: 'x'"),
        ({"policy": [{"write_affinity": "r1"}]}, r"proxy.policy\[0\].index: missing"),
        ({"write_affinity_handoff_delete_count": -1}, "can't be less than 0"),
        ({"rebalance_missing_suppression_count": -1}, "can't be less than 0"),
        ({"conn_timeout_s": 0}, "proxy: conn_timeout_s must be more than 0"),
        ({"recoverable_node_timeout_s": -1}, "recoverable_node_timeout_s must be more than 0"),
    ],
)
def test_a_wrong_choice(table: dict[str, Any], sentence: str) -> None:
    """The sentence names the setting and says what is wrong."""
    with pytest.raises(BadSettings, match=sentence):
        settings(**table)
