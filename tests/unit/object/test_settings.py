"""Settings that make no sense are said to whoever wrote them."""

import pytest

from swiftish.object.settings import ObjectSettings
from swiftish.runtime.settings import BadSettings, build


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("free_space_reserve", 1.0),
        ("free_space_reserve", -0.1),
        ("container_update_timeout_s", 0),
        ("updater_concurrency", 0),
        ("replicator_concurrency", 0),
        ("replicator_thorough_every", 0),
        ("replication_incoming_max", 0),
        ("replicator_bytes_per_second", -1),
        ("replicator_timeout_s", 0),
    ],
)
def test_each_is_named(name: str, value: float) -> None:
    """The sentence names the setting."""
    with pytest.raises(BadSettings, match=rf"^object: {name} must be .*\.$"):
        build(ObjectSettings, {name: value}, where="object")
