"""Numbers, their sum over processes, and the text that Prometheus reads."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.runtime.metrics import Registry, Snapshot, rendered, samples, summed, what_lasts
from swiftish.runtime.metrics_files import ENDED, MetricsFiles
from swiftish.runtime.status import write_status
from tests.fakes.prometheus import BadText, parse, value


def process(requests: int = 0, connections: int = 0, worst: int = 0, *took_s: float) -> Snapshot:
    """The snapshot of one process."""
    registry = Registry()
    registry.counter("requests_total", "Requests.", ("method",)).of("GET").value = requests
    registry.gauge("connections", "Open.").of().value = connections
    registry.gauge("limited", "Left alone.", rule="max").of().value = worst
    histogram = registry.histogram("seconds", "Time.", bounds=(0.1, 1.0)).of()
    for each in took_s:
        histogram.observe(each)
    return registry.snapshot()


def test_the_text_is_in_order_and_has_help_and_type() -> None:
    text = rendered(process(3, 2, 1, 0.05, 0.1, 0.5, 7.0))
    assert text.splitlines()[:3] == [
        "# HELP connections Open.",
        "# TYPE connections gauge",
        "connections 2",
    ]
    families = parse(text)
    assert list(families) == ["connections", "limited", "requests_total", "seconds"]
    assert value(text, "requests_total", method="GET") == 3
    assert value(text, "limited") == 1
    buckets = {
        dict(labels)["le"]: number
        for (name, labels), number in families["seconds"].samples.items()
        if name == "seconds_bucket"
    }
    assert buckets == {"0.1": 2, "1": 3, "+Inf": 4}, "a bound belongs to its own bucket"
    assert "seconds_sum 7.65" in text
    assert "seconds_count 4" in text


@given(st.text(), st.text(), st.floats(allow_nan=False))
def test_whatever_is_in_a_label_it_is_one_label(one: str, other: str, number: float) -> None:
    registry = Registry()
    registry.gauge("a", f"Help with {one}", ("x", "y")).of(one, other).value = number
    text = rendered(registry.snapshot())
    found = parse(text)["a"].samples
    assert found == {("a", frozenset({("x", one), ("y", other)})): pytest.approx(number)}


@pytest.mark.parametrize(
    "text",
    [
        "a 1\n",
        "# HELP a b\n# TYPE a counter\na 1",
        "# HELP a b\n# TYPE a counter\na one\n",
        "# HELP a b\n# TYPE a counter\na 1\na 2\n",
        '# HELP a b\n# TYPE a counter\na{x="1"y="2"} 1\n',
        '# HELP a b\n# TYPE a counter\na{x="1\\q"} 1\n',
        '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_count 2\na_sum 1\n',
    ],
)
def test_the_reader_is_strict(text: str) -> None:
    with pytest.raises((BadText, ValueError)):
        parse(text)


def test_a_family_without_samples_is_not_shown() -> None:
    registry = Registry()
    registry.counter("never_total", "Nothing happened.", ("x",))
    assert rendered(registry.snapshot()) == ""


def test_counters_and_histograms_add_and_a_gauge_says_whether_it_does() -> None:
    text = rendered(summed([process(3, 2, 4, 0.05), process(5, 1, 9, 0.5, 2.0), process()]))
    assert value(text, "requests_total", method="GET") == 8
    assert value(text, "connections") == 3
    assert value(text, "limited") == 9
    assert "seconds_count 3" in text


_SNAPSHOTS = st.builds(
    process, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.5, 2.0])
)


@given(_SNAPSHOTS, _SNAPSHOTS, _SNAPSHOTS)
def test_the_sum_is_the_same_in_any_order(one: Snapshot, two: Snapshot, three: Snapshot) -> None:
    assert summed([one, two]) == summed([two, one])
    assert summed([summed([one, two]), three]) == summed([one, summed([two, three])])


def test_the_sum_leaves_its_parts_alone() -> None:
    one = process(1, 1, 1, 0.5)
    before = json.dumps(one)
    summed([one, one])
    assert json.dumps(one) == before


def test_what_is_counted_elsewhere_is_asked_for() -> None:
    registry = Registry()
    asked = registry.gauge("elsewhere", "Counted elsewhere.").of()

    def ask() -> None:
        asked.value += 1

    registry.before_snapshot(ask)
    registry.snapshot()
    assert samples(registry.snapshot(), "elsewhere") == [({}, 2.0)]
    assert samples(registry.snapshot(), "unknown") == []


def test_one_name_is_one_thing() -> None:
    registry = Registry()
    family = registry.counter("a_total", "A.", ("x",))
    assert registry.counter("a_total", "A.", ("x",)) is family
    with pytest.raises(AssertionError):
        registry.gauge("a_total", "A.", ("x",))


def test_infinities_have_the_spelling_of_prometheus() -> None:
    registry = Registry()
    registry.gauge("up", "Up.").of().value = math.inf
    registry.gauge("down", "Down.").of().value = -math.inf
    assert "up +Inf" in rendered(registry.snapshot())
    assert "down -Inf" in rendered(registry.snapshot())


# ---- the files of processes ---------------------------------------------------------------------


def ended_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def write(run: Path, pid: int, snapshot: Snapshot) -> None:
    write_status(run / f"metrics-{pid}.json", snapshot)


def test_counters_never_fall_when_a_process_ends(tmp_path: Path) -> None:
    """What it has counted is kept; how it was is not."""
    files = MetricsFiles(tmp_path)
    files.write(process(1000, 5))
    write(tmp_path, 1, process(10, 5))  # it lives as long as the machine
    write(tmp_path, ended_pid(), process(100, 5, 7))
    for _ in range(2):
        found = rendered(files.others())
        assert value(found, "requests_total", method="GET") == 110, "all but its own"
        assert value(found, "connections") == 5
        assert value(found, "limited") == 0
    write(tmp_path, ended_pid(), process(1, 5))
    assert value(rendered(files.others()), "requests_total", method="GET") == 111
    names = {path.name for path in tmp_path.glob("metrics-*.json")}
    assert len(names) == 3, "its own, the living one's, and that of all that have ended"
    assert ENDED in names


def test_a_file_in_the_making_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "metrics-1.json").write_text('{"requ')
    assert MetricsFiles(tmp_path).others() == {}


def test_gauges_do_not_last() -> None:
    assert set(what_lasts(process(1))) == {"requests_total", "seconds"}
