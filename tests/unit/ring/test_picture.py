"""The picture of a ring in a terminal: it fits, it is aligned, and it says what is wrong."""

import re

import pytest

from swiftish.ring.builder import Builder
from swiftish.ring.device import Device
from swiftish.ring.even import even_ring
from swiftish.ring.overview import Overview, overview, overview_of_ring
from swiftish.ring.picture import picture
from swiftish.ring.spans import Names, columns, cut

ESCAPES = re.compile(r"\x1b\[[0-9]*m")


def even(count: int, *, hosts: int, regions: int = 1) -> Overview:
    """A ring of equal devices."""
    devices = [
        Device(
            id=n,
            device=f"sd{n // hosts}",
            ip=f"10.{n % regions}.{n % hosts % 3}.{n % hosts}",
            port=6200,
            region=1 + n % regions,
            zone=1 + n % hosts % 3,
        )
        for n in range(count)
    ]
    return overview_of_ring(even_ring(devices, replicas=min(3, count), power=8))


def troubled(name: str = "sdx") -> Overview:
    """Everything that may be said of a device: too full, not full, leaving, gone, useless."""
    builder = Builder.create(power=6, replicas=2, min_part_hours=1)
    for n in range(6):
        builder.add(Device(id=n, device=name, ip=f"h{n}", port=6200, zone=n))
    builder.rebalance(seed=1, now=0)
    builder.remove(0)
    builder.set_weight(1, 0)
    builder.set_weight(2, 900)
    builder.add(Device(id=7, device="new", ip="h7", port=6200, zone=7))
    builder.add(Device(id=8, device="idle", ip="h7", port=6200, zone=7, weight=0))
    return overview(builder)


BUILDER = Builder.create(power=4, replicas=3, min_part_hours=1)
RINGS = {
    "nothing": overview(BUILDER),
    "one": even(1, hosts=1),
    "three": even(3, hosts=3),
    "24": even(24, hosts=6, regions=2),
    "200": even(200, hosts=20),
    "600, one on each host": even(600, hosts=600, regions=3),
    "troubled": troubled(),
    "wide": troubled("磁盘一"),
    "long": troubled("a-very-long-name-of-a-disk-" * 3),
    "hostile": troubled("\x1b[2J\n\u202e"),
}


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [40, 57, 80, 133, 200])
@pytest.mark.parametrize("name", RINGS)
def test_fits_and_is_aligned(name: str, width: int, unicode: bool) -> None:
    """No line is wider than asked, and the boxes of one row of them end together."""
    drawn = picture(RINGS[name], width=width, colour=False, unicode=unicode)
    lines = drawn.splitlines()
    assert drawn.endswith("\n")
    assert max(map(columns, lines)) <= width
    assert not any(line != line.rstrip() for line in lines)
    boxed = [line for line in lines if line.startswith(("│", "╭", "╰", "|", "+-"))]
    assert len({columns(line) for line in boxed}) <= 2  # the last row may have fewer boxes
    assert all(each.isprintable() for line in lines for each in line)
    assert unicode or drawn.isascii()


@pytest.mark.parametrize("name", RINGS)
def test_colour_changes_nothing_else(name: str) -> None:
    """Without its escapes a coloured picture is the other one, and each line ends as it began."""
    coloured = picture(RINGS[name], width=80, colour=True)
    assert "\x1b" in coloured
    plain = "".join(f"{line.rstrip()}\n" for line in ESCAPES.sub("", coloured).splitlines())
    assert plain == picture(RINGS[name], width=80, colour=False)
    for line in coloured.splitlines():
        codes = ESCAPES.findall(line)
        assert codes[1::2] == ["\x1b[0m"] * (len(codes) // 2)


def test_a_small_ring() -> None:
    """The whole of it, as it is."""
    assert picture(RINGS["three"], width=64, colour=False).splitlines() == [
        "256 partitions × 3 replicas on 3 devices",  # noqa: RUF001 -- a multiplication sign
        "1 region · 3 zones · 3 hosts · weight 300 · version 1",
        "balance 0.00 % · dispersion 0.00 %",
        "",
        *[
            line
            for n in range(3)
            for line in (
                f"╭─ r1z{n + 1} {'─' * 39} 1.00 replicas ─╮",
                f"│ 10.0.{n}.{n}/sd0 {'█' * 29}  256/256 +0.0 %   │",
                f"╰{'─' * 62}╯",
            )
        ],
        "",
        "█ every device holds what its weight asks for",
        "",
        "Balance of the devices",
        "-0.05 … +0.05 % ████████████████████████████████████████ 3",
        "",
        "Spread of the replicas",
        "✓ regions  there is one region, with all 3 replicas",
        "✓ zones    every partition has its 3 replicas in 3 zones",
        "✓ hosts    every partition has its 3 replicas on 3 hosts",
        "✓ devices  every partition has its 3 replicas on 3 devices",
    ]


def test_trouble_shows() -> None:
    """A mark on the device, its count in the legend, and what it means."""
    drawn = picture(RINGS["troubled"], width=100, colour=False)
    marks = {
        line.split("│")[1].split()[1]: line.split("│")[1].rstrip()[-1]
        for line in picture(RINGS["troubled"], width=60, colour=False).splitlines()
        if line.startswith("│  d")
    }
    assert marks == {"sdx": "▲", "new": "○", "idle": "-"}  # of sdx the last
    for words in ("x 1 being removed", "» 1 draining", "○ 1 empty", "▼ 1 underfull", "too much"):
        assert words in drawn
    assert "needs a rebalance" in drawn
    assert "balance 999.99 %" in drawn


def test_hosts_stand_for_many_devices() -> None:
    """Beyond 60 devices the bars are hosts', and the worst devices are named."""
    builder = Builder.create(power=8, replicas=2, min_part_hours=1)
    for n in range(64):
        builder.add(Device(id=n, device=f"d{n}", ip=f"10.0.0.{n % 8}", port=6200, zone=n % 4))
    builder.rebalance(seed=1, now=0)
    builder.set_weight(5, 0)
    drawn = picture(overview(builder), width=80, colour=False)
    assert "10.0.0.5 ×8" in drawn  # noqa: RUF001 -- a multiplication sign
    assert re.search(r"Worth a look\n» d5 +8 left +10\.0\.0\.5:6200/d5\n", drawn)


def test_zones_stand_for_very_many_hosts() -> None:
    drawn = picture(RINGS["600, one on each host"], width=80, colour=False)
    assert "r2z2" in drawn
    assert "10.1." not in drawn


def test_a_power_increase_is_told() -> None:
    builder = Builder.create(power=4, replicas=1, min_part_hours=1)
    builder.add(Device(id=0, device="d0"))
    builder.rebalance(seed=1, now=0)
    builder.prepare_power_increase()
    assert "prepared for partition power 5" in picture(overview(builder), width=80, colour=False)
    builder.increase_power()
    assert "to be finished" in picture(overview(builder), width=80, colour=False)


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("abcdefghij", 10, "abcdefghij"),
        ("abcdefghij", 7, "ab…ghij"),
        ("abcdefghij", 1, "…"),
        ("abcdefghij", 0, ""),
        ("磁盘一二三", 6, "…二三"),
    ],
)
def test_cut(text: str, width: int, short: str) -> None:
    """Names differ at their ends; a wide character is left out whole."""
    assert cut(text, width, unicode=True) == short


@pytest.mark.parametrize(
    ("names", "width", "short"),
    [
        (["node1.a.example.com", "node2.a.example.com"], 8, ["node1…", "node2…"]),
        (
            ["dc1-rack07-node-a.example", "dc1-rack08-node-a.example"],
            18,
            ["dc1-rack07…", "dc1-rack08…"],
        ),
        (["dc1-rack07-node-a.example", "dc1-rack08-node-a.example"], 8, ["…-…ck07…", "…-…ck08…"]),
        (["n-1-1", "n-1"], 4, ["n-1…", "n-1"]),
        (["alone.example.com"], 8, ["al…e.com"]),
        (["same", "same"], 3, ["…me", "…me"]),
        ([], 5, []),
    ],
)
def test_names_are_cut_where_they_are_alike(names: list[str], width: int, short: list[str]) -> None:
    hosts = Names(names, unicode=True)
    found = [hosts.cut(name, width) for name in names]
    assert all(columns(each) <= width for each in found)
    assert found == short


def test_columns() -> None:
    assert (columns("abc"), columns("磁盘"), columns("e\u0301")) == (3, 4, 1)
