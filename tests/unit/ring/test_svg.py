"""The image of a ring: well-formed, complete, of itself, and of a sane size."""

import re
from xml.etree import ElementTree as Tree

import pytest

from swiftish.ring.builder import Builder
from swiftish.ring.device import Device
from swiftish.ring.even import even_ring
from swiftish.ring.markup import escaped, tag
from swiftish.ring.overview import Overview, overview, overview_of_ring
from swiftish.ring.paper import fitted, lines_of, text_width
from swiftish.ring.svg import svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>&\"'\x00\ud800]]>"


def even(count: int) -> Overview:
    devices = [
        Device(id=n, device=f"d{n}", ip=f"10.0.0.{n % 40}", port=6200, zone=n % 4)
        for n in range(count)
    ]
    return overview_of_ring(even_ring(devices, replicas=min(count, 3), power=8))


def hostile() -> Overview:
    builder = Builder.create(power=4, replicas=2.5, min_part_hours=1)
    for n in range(4):
        builder.add(Device(id=n, device=HOSTILE, ip=f"<{n}>", port=1, zone=n, meta=HOSTILE))
    builder.rebalance(seed=1, now=0)
    builder.remove(0)
    builder.set_weight(1, 0)
    builder.add(Device(id=9, device="new", port=1))
    return overview(builder)


RINGS = {
    "nothing": overview(Builder.create(power=4, replicas=3, min_part_hours=1)),
    "1": even(1),
    "3": even(3),
    "64": even(64),
    "250": even(250),
    "hostile": hostile(),
}


@pytest.mark.parametrize("name", RINGS)
def test_well_formed_and_inside_its_frame(name: str) -> None:
    """It parses, and no rectangle leaves the image."""
    root = Tree.fromstring(svg(RINGS[name]))  # noqa: S314 -- our own
    assert root.tag == f"{SVG}svg"
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width == 1200
    assert height < 6000
    for group in root.findall(f"{SVG}g"):
        left, top = map(float, re.findall(r"[\d.]+", group.attrib["transform"]))
        for rect in group.iter(f"{SVG}rect"):
            x, y, wide, tall = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
            assert wide >= 0
            assert tall >= 0
            assert 0 <= left + x <= left + x + wide <= width + 0.1
            assert 0 <= top + y <= top + y + tall <= height + 0.1


@pytest.mark.parametrize("name", ["3", "64", "250"])
def test_every_device_has_a_column_that_says_what_it_is(name: str) -> None:
    root = Tree.fromstring(svg(RINGS[name]))  # noqa: S314 -- our own
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    for disk in RINGS[name].disks:
        assert any(title.startswith(f"{disk.name}  {disk.device}\n") for title in titles)


def test_of_itself() -> None:
    """Nothing is fetched and nothing runs."""
    drawn = svg(RINGS["hostile"])
    assert not re.search(r"<script|href=|@import|url\((?!#)", drawn)
    assert drawn.count("http") == 1  # the name of the namespace


def test_names_are_escaped_and_there() -> None:
    root = Tree.fromstring(svg(RINGS["hostile"]))  # noqa: S314 -- our own
    titles = "".join(title.text or "" for title in root.iter(f"{SVG}title"))
    assert "<script>&\"'\ufffd\ufffd]]>" in titles


def test_verdicts_are_in_words() -> None:
    root = Tree.fromstring(svg(RINGS["64"]))  # noqa: S314 -- our own
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert "every partition has its 3 replicas on 3 devices" in words
    assert "256 partitions × 3 replicas on 64 devices" in words  # noqa: RUF001 -- a multiplication


def test_the_same_ring_is_the_same_image() -> None:
    assert svg(even(24)) == svg(even(24))


def test_markup() -> None:
    assert tag("text", "a<b", tag("b"), x=1.0, font_size=12.345, fill=None) == (
        '<text x="1" font-size="12.35">a&lt;b<b/></text>'
    )
    assert tag("path", d='"', x=-0.001) == '<path d="&quot;" x="0"/>'
    assert escaped("\x1b\ufffe") == "\ufffd\ufffd"


def test_text_that_fits() -> None:
    """What is cut is as short as asked, and lines hold all words."""
    assert fitted("10.0.0.1", 200, size=12) == "10.0.0.1"
    assert text_width(fitted("x" * 99, 60, size=12), size=12) <= 60
    words = "every partition has its 3 replicas in 3 zones"
    assert " ".join(lines_of(words, 90, size=12)) == words
    assert max(text_width(line, size=12) for line in lines_of(words, 90, size=12)) <= 90
