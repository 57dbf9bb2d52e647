"""The words for devices: each part, all together, what is refused and where, and back to text."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.ring.device import Device
from swiftish.ring.errors import RingError
from swiftish.ring.search import (
    Change,
    Search,
    change_of,
    check_device_name,
    new_device,
    normal_address,
    normal_ip,
    parse_change,
    parse_device,
    parse_search,
    search_of,
    spell,
)

DEVICE = Device(
    id=74,
    device="sdb1",
    ip="1.2.3.4",
    port=6200,
    region=2,
    zone=3,
    meta="snet: 5.6.7.8",
    replication_ip="::1",
    replication_port=6300,
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("d74", Search(id=74)),
        ("r4", Search(region=4)),
        ("z1", Search(zone=1)),
        ("d0r0z0", Search(id=0, region=0, zone=0)),
        ("z1-1.2.3.4", Search(zone=1, ip="1.2.3.4")),
        ("1.2.3.4", Search(ip="1.2.3.4")),
        ("z11.2.3.4", None),
        ("z1:5678", Search(zone=1, port=5678)),
        (":5678", Search(port=5678)),
        ("R5.6.7.8", Search(replication_ip="5.6.7.8")),
        ("R:5678", Search(replication_port=5678)),
        ("1.2.3.4R5.6.7.8", Search(ip="1.2.3.4", replication_ip="5.6.7.8")),
        ("/sdb1", Search(device="sdb1")),
        ("/a/b_", Search(device="a/b", meta="")),
        ("_shiny", Search(meta="shiny")),
        ("_a_b:/ R", Search(meta="a_b:/ R")),
        ("[::1]", Search(ip="::1")),
        ("[0:0::0001]", Search(ip="::1")),
        ("z1-[FE80::A]:5678", Search(zone=1, ip="fe80::a", port=5678)),
        ("-Host.Example:1", Search(ip="host.example", port=1)),
        ("RHost.Example:1", Search(replication_ip="host.example", replication_port=1)),
        ("-", Search()),
        ("", Search()),
        (
            "d74r4z1-1.2.3.4:5678R[::2]:1/sdb1_snet: 5.6.7.8",
            Search(
                id=74,
                region=4,
                zone=1,
                ip="1.2.3.4",
                port=5678,
                replication_ip="::2",
                replication_port=1,
                device="sdb1",
                meta="snet: 5.6.7.8",
            ),
        ),
    ],
)
def test_a_search_is_read(text: str, wanted: Search | None) -> None:
    """Every part may be left out, and each has its mark."""
    if wanted is None:
        with pytest.raises(RingError):
            parse_search(text)
    else:
        assert parse_search(text) == wanted


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("d", "character 2: a number must come after d"),
        ("d1x", "character 3: 'x' is not expected"),
        ("z1r1", "character 3: 'r' is not expected"),
        ("d12345678901", "character 2: the number is too large"),
        ("d٣", "character 2"),  # digits are 0 to 9
        ("z1-[::1", "character 4: the ] to this [ is missing"),
        ("10.0.0.300", "character 1: '10.0.0.300' is neither"),
        ("z1-[10.0.0.300]", "character 4"),
        ("host", "character 1"),
        (":x", "character 2"),
        ("1.2.3.4R:/sda", "character 10"),
        ("[fe80::1%eth0]", "character 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, where: str) -> None:
    with pytest.raises(RingError) as refused:
        parse_search(text)
    assert where in str(refused.value)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "d74",
        "r2z3",
        "1.2.3.4",
        ":6200",
        "R[::1]",
        "R[0::1]:6300",
        "/sdb1",
        "_5.6",
        "_",
        "d74r2z3-1.2.3.4:6200R[::1]:6300/sdb1_snet",
    ],
)
def test_the_device_is_found(text: str) -> None:
    assert parse_search(text).matches(DEVICE)


@pytest.mark.parametrize(
    "text", ["d7", "r3", "z2", "1.2.3.5", ":620", "R[::2]", "R:1", "/sdb", "/sdb11", "_snet:5"]
)
def test_another_device_is_not(text: str) -> None:
    """All but the meta must be equal, not similar."""
    assert not parse_search(text).matches(DEVICE)


def test_addresses_are_compared_whatever_their_spelling() -> None:
    """Also the spelling in an old builder, and where replication has no address of its own."""
    device = Device(id=0, device="a", ip="FE80:0::1", port=1)
    assert parse_search("[fe80::1]:1R[fe80:0:0::1]:1").matches(device)
    assert search_of({"ip": "[FE80::1]", "replication_ip": "fe80::1", "port": None}).matches(device)
    assert search_of({"ip": "HOST"}).matches(Device(id=0, device="a", ip="host"))
    assert search_of({"ip": "a"}).matches(Device(id=0, device="a", ip="a_b")) is False


def test_weights_are_found_by_options() -> None:
    assert search_of({"weight": 100.0, "id": 74}).matches(DEVICE)
    assert not search_of({"weight": 99.0}).matches(DEVICE)
    assert search_of({"weight": None}).is_empty


def test_a_new_device_is_read() -> None:
    """The region is 1 and replication has the same address unless it is said otherwise."""
    assert parse_device("z2-10.0.0.1:6200/sda") == Device(
        id=-1,
        device="sda",
        ip="10.0.0.1",
        port=6200,
        zone=2,
        replication_ip="10.0.0.1",
        replication_port=6200,
    )
    full = parse_device("r3z2-[0::2]:1RStore-1.example:2/sd a_x_y")
    assert full == Device(
        id=-1,
        device="sd a",
        ip="::2",
        port=1,
        region=3,
        zone=2,
        meta="x_y",
        replication_ip="store-1.example",
        replication_port=2,
    )
    assert parse_device("z1-::2:6200/sda").ip == "::2"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must come here"),
        ("r1-10.0.0.1:1/a", "character 3: a z and"),
        ("z1:1/a", "character 3: a - and"),
        ("z1-10.0.0.1/a", "character 4: the address must end in a : and its port"),
        ("z1-:1/a", "character 4: an address must come here"),
        ("z1-10.0.0.1:/a", "character 13: a number must come after :"),
        ("z1-10.0.0.1:1", "character 14: a / and"),
        ("z1-10.0.0.1:1R/a", "character 15: the address must end"),
        ("z1-10.0.0.1:1/", "needs a name"),
        ("z1-10.0.0.1:1/..", "names a folder"),
        ("z1-10.0.0.1:0/a", "a port is a number from 1 to 65535"),
        ("z1-10.0.0.1:65536/a", "a port is"),
        ("z1-10.0.0.1:1R10.0.0.1:0/a", "a port is"),
        ("z1-10.0.0.1:1/a_\udce4", "UTF-8"),
    ],
)
def test_a_device_that_can_not_be_is_refused(text: str, why: str) -> None:
    with pytest.raises(RingError) as refused:
        parse_device(text)
    assert why in str(refused.value)


@pytest.mark.parametrize("name", ["", " a", "a ", ".", "..", "a/b", "a\nb", "a\0", "\udce4"])
def test_a_device_is_named_like_a_folder(name: str) -> None:
    with pytest.raises(RingError):
        check_device_name(name)


def test_negative_regions_are_refused() -> None:
    with pytest.raises(RingError, match="region"):
        new_device({"region": -1, "zone": 0, "ip": "1.2.3.4", "port": 1, "device": "a"})


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (":1", {"port": 1}),
        ("R:1", {"replication_port": 1}),
        ("[0::1]", {"ip": "::1"}),
        ("10.0.0.1R10.0.0.2", {"ip": "10.0.0.1", "replication_ip": "10.0.0.2"}),
        ("host:1", {"ip": "host", "port": 1}),
        ("/sda", {"device": "sda"}),
        ("/sda_", {"device": "sda", "meta": ""}),
        ("_a/b", {"meta": "a/b"}),
    ],
)
def test_a_change_is_read(text: str, fields: dict[str, object]) -> None:
    """Only what is to change is in it."""
    assert parse_change(text).fields() == fields


@pytest.mark.parametrize("text", ["", "sdb", "/", ":0", ":65536", "d1", "/..", "10.0.0.300"])
def test_a_change_that_can_not_be_is_refused(text: str) -> None:
    """A forgotten mark does not become a host's name."""
    with pytest.raises(RingError):
        parse_change(text)


def test_options_of_a_change_are_checked_too() -> None:
    assert change_of({"ip": "HOST", "port": None}) == Change(ip="host")
    with pytest.raises(RingError):
        change_of({"replication_port": 0})


@given(st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address) | st.ip_addresses())
def test_addresses_have_the_spelling_of_the_system(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Swift's rings have it, and equal addresses must be equal in ours."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    assert normal_ip(address.exploded) == socket.inet_ntop(family, address.packed)
    assert normal_address(f"[{address}]") == normal_ip(str(address))


@pytest.mark.parametrize(
    "text", ["::1.2.3.4", "::ffff:1.2.3.4", "::ffff:0:1", "::", "::1", "::1:2"]
)
def test_addresses_in_addresses(text: str) -> None:
    packed = socket.inet_pton(socket.AF_INET6, text)
    assert normal_ip(text) == socket.inet_ntop(socket.AF_INET6, packed)


@pytest.mark.parametrize("text", ["", ".", "-a", "a-", "a_b", "a b", "a..b", "1.2.3", "1" * 300])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(RingError):
        normal_address(text)


# ---- back to text ----------------------------------------------------------------------------

_numbers = st.integers(0, 2**31)
_hosts = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z][a-z0-9]{0,8}){0,2}", fullmatch=True)
_addresses = _hosts | st.ip_addresses().map(lambda address: normal_ip(str(address)))
_names = st.from_regex(r"[a-zA-Z0-9.-][a-zA-Z0-9 .-]{0,8}[a-zA-Z0-9]", fullmatch=True)
_searches = st.builds(
    Search,
    id=st.none() | _numbers,
    region=st.none() | _numbers,
    zone=st.none() | _numbers,
    ip=st.none() | _addresses,
    port=st.none() | _numbers,
    replication_ip=st.none() | _addresses,
    replication_port=st.none() | _numbers,
    device=st.none() | _names,
    meta=st.none() | st.text(),
)
_devices = st.builds(
    Device,
    id=_numbers,
    region=_numbers,
    zone=_numbers,
    ip=_addresses,
    port=st.integers(1, 65535),
    replication_ip=_addresses,
    replication_port=st.integers(1, 65535),
    device=_names,
    meta=st.text(),
)


@given(_searches)
def test_a_search_survives_being_written(search: Search) -> None:
    assert parse_search(str(search)) == search


@given(_searches, _devices)
def test_a_search_matches_by_all_its_parts(search: Search, device: Device) -> None:
    """The stupid twin: part by part."""
    parts = [
        getattr(search, name) in {None, getattr(device, name)}
        for name in ("id", "region", "zone", "ip", "port", "device")
    ]
    parts += [
        search.replication_ip in {None, device.replication_ip},
        search.replication_port in {None, device.replication_port},
        (search.meta or "") in device.meta,
    ]
    assert search.matches(device) == all(parts)


@given(_devices)
def test_a_device_is_found_by_its_spelling(device: Device) -> None:
    assert parse_search(spell(device)).matches(device)


@given(_devices)
def test_a_change_survives_being_written(device: Device) -> None:
    """With a port behind a host's name it is no slip."""
    change = Change(ip=device.ip, port=device.port, device=device.device, meta=device.meta)
    assert parse_change(str(change)) == change


@given(st.text(alphabet="dzrR0123456789.:-/_[]ah", max_size=20) | st.text(max_size=20))
def test_no_text_does_worse_than_a_ring_error(text: str) -> None:
    for parse in (parse_search, parse_change, parse_device):
        with contextlib.suppress(RingError):
            parse(text)
