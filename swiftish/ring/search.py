"""How an operator names devices: which are meant, where a new one is, what is to change.

    d<id>r<region>z<zone>-<ip>:<port>R<rip>:<rport>/<device>_<meta>

is a search; every part may be left out, and `_<meta>` looks for the text anywhere in the meta.
A new device has the same parts from the region on, of which the zone, the address and the name
must be there; a change has those from the address on.  An IPv6 address stands in brackets.  A
host's name needs a mark, so that a slip does not become one: a `-` or `R` before it, or (in a
change) its port after it.  A name ends at the first `R`, and a device's at the first `_`; the
command line's options can say the rest.

Addresses are kept in one spelling each, the one `inet_ntop` has, so that equal ones are equal.

Pure.
"""

import dataclasses
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from swiftish.ring.device import PORT_MAX, Device
from swiftish.ring.errors import RingError

HOST_LENGTH_MAX = 255  # RFC 1123
_DIGITS_MAX = 10  # more than any id, region, zone or port has
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
_DIGITS = re.compile(r"[0-9]*")
_UNTIL_PORT = re.compile(r"[^:/_R\[\]]*")
_UNTIL_NAME = re.compile(r"[^/R]*")
_UNTIL_META = re.compile(r"[^_]*")


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which devices are meant: those that have all that is not None."""

    id: int | None = None
    region: int | None = None
    zone: int | None = None
    ip: str | None = None
    port: int | None = None
    replication_ip: str | None = None
    replication_port: int | None = None
    device: str | None = None
    meta: str | None = None
    weight: float | None = None

    def matches(self, device: Device) -> bool:
        wanted = _given(self)
        found = {**dataclasses.asdict(device), **_replication(device)}
        meta = wanted.pop("meta", "")
        for name in ("ip", "replication_ip"):
            found[name] = _one_spelling(found[name])
        return meta in device.meta and all(found[name] == wanted[name] for name in wanted)

    @property
    def is_empty(self) -> bool:
        """It would match everything, which nobody means."""
        return not _given(self)

    def __str__(self) -> str:
        """As it is written; of the weight, which can't be written, nothing."""
        parts = [("d", self.id), ("r", self.region), ("z", self.zone)]
        front = "".join(f"{mark}{value}" for mark, value in parts if value is not None)
        host = "" if self.ip is None else f"-{_in_brackets(self.ip)}"
        return front + host + _spell_rest(self)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be different about a device: all that is not None."""

    ip: str | None = None
    port: int | None = None
    replication_ip: str | None = None
    replication_port: int | None = None
    device: str | None = None
    meta: str | None = None

    def fields(self) -> dict[str, Any]:
        return _given(self)

    def __str__(self) -> str:
        return ("" if self.ip is None else _in_brackets(self.ip)) + _spell_rest(self)


def parse_search(text: str) -> Search:
    """Raises RingError that says at which character the text goes wrong."""
    reader = _Reader(text, "search")
    numbers = {name: reader.number(name) for name in ("d", "r", "z") if reader.at(name)}
    marked = reader.skip("-")
    found = reader.from_the_address(host=marked)
    ids = {"id": numbers.get("d"), "region": numbers.get("r"), "zone": numbers.get("z")}
    return Search(**{**ids, **found})


def parse_change(text: str) -> Change:
    """Raises RingError that says at which character the text goes wrong."""
    reader = _Reader(text, "change")
    if not text:
        reader.fail("there is nothing in it")
    named = re.match(r"[A-Za-z0-9.-]+:[0-9]", text)
    found = reader.from_the_address(host=named is not None)
    return change_of(found)


def parse_device(text: str) -> Device:
    """A new device, still without an id and with the weight of 100.  Raises RingError."""
    reader = _Reader(text, "device")
    region = reader.number("r") if reader.at("r") else 1
    if not reader.at("z"):
        reader.fail("a z and the number of the zone must come here")
    zone = reader.number("z")
    if not reader.skip("-"):
        reader.fail("a - and the address must come here")
    ip, port = reader.address()
    replication = reader.address() if reader.skip("R") else (ip, port)
    if not reader.skip("/"):
        reader.fail("a / and the device's name must come here")
    name = reader.take(_UNTIL_META)
    meta = reader.rest() if reader.skip("_") else ""
    where = {"region": region, "zone": zone, "ip": ip, "port": port}
    both = {"replication_ip": replication[0], "replication_port": replication[1]}
    return new_device({**where, **both, "device": name, "meta": meta})


def search_of(options: Mapping[str, Any]) -> Search:
    """The same from options, of which those that are None were not given.  Raises RingError."""
    return Search(**_with_normal_addresses(options))


def change_of(options: Mapping[str, Any]) -> Change:
    """Raises RingError when what is to become of the device can't be."""
    change = Change(**_with_normal_addresses(options))
    for port in (change.port, change.replication_port):
        if port is not None:
            check_port(port)
    if change.device is not None:
        check_device_name(change.device)
    check_meta(change.meta or "")
    return change


def new_device(options: Mapping[str, Any]) -> Device:
    """A device without an id.  Its replication address is its own unless it has another.

    Raises RingError when it can't be.
    """
    found = _with_normal_addresses({name: v for name, v in options.items() if v is not None})
    found.setdefault("replication_ip", found["ip"])
    found.setdefault("replication_port", found["port"])
    for name in ("port", "replication_port"):
        check_port(found[name])
    for name in ("region", "zone"):
        if found[name] < 0:
            raise RingError(f"a {name} is a number of 0 or more, not {found[name]}")
    check_device_name(found["device"])
    check_meta(found.get("meta", ""))
    return Device(id=-1, **found)


def spell(device: Device) -> str:
    """All about a device in one word: a search that only it answers to."""
    place = {"replication_ip": device.ip, "replication_port": device.port}
    elsewhere = _replication(device) if _replication(device) != place else {}
    search = Search(
        id=device.id,
        region=device.region,
        zone=device.zone,
        ip=device.ip,
        port=device.port,
        device=device.device,
        meta=device.meta or None,
        **elsewhere,
    )
    return str(search)


# ---- addresses and names ---------------------------------------------------------------------


def normal_ip(text: str) -> str:
    """The one spelling of an IP address.  Raises RingError when it is none."""
    try:
        if "%" in text:  # a zone of this machine means nothing on another
            raise ValueError  # noqa: TRY301 -- as if Python did not know them
        found = ipaddress.ip_address(text)
    except ValueError:
        raise RingError(f"{text!r} is no IP address") from None
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    dotted = ipaddress.IPv4Address(found.packed[12:])
    if found.ipv4_mapped is not None:
        return f"::ffff:{dotted}"
    if not any(found.packed[:12]) and any(found.packed[12:14]):
        return f"::{dotted}"
    return str(found)


def normal_address(text: str) -> str:
    """The one spelling of an IP address, in brackets or not, or of a host's name.

    Raises RingError when it is neither.
    """
    if text.startswith("[") and text.endswith("]"):
        return normal_ip(text[1:-1])
    try:
        return normal_ip(text)
    except RingError:
        name = text.lower()
        labels = name.removesuffix(".").split(".")
        fits = len(name) <= HOST_LENGTH_MAX and all(map(_LABEL.match, labels))
        if not fits or labels[-1].isdigit():  # 10.0.0.300 is a slip, not a host (RFC 1123 2.1)
            raise RingError(f"{text!r} is neither an IP address nor a host's name") from None
        return name


def check_port(port: int) -> None:
    """Raises RingError."""
    if not 1 <= port <= PORT_MAX:
        raise RingError(f"a port is a number from 1 to {PORT_MAX}, not {port}")


def check_device_name(name: str) -> None:
    """It is the name of a folder below the node's devices.  Raises RingError."""
    if not name:
        raise RingError("a device needs a name")
    bad = name in {".", ".."} or name != name.strip() or "/" in name
    if bad or not name.isprintable() or not _encodes(name):
        raise RingError(f"{name!r} can't be the name of a device: it names a folder")


def check_meta(text: str) -> None:
    """Raises RingError."""
    if not _encodes(text):
        raise RingError(f"the meta {text!r} is not UTF-8")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _one_spelling(address: str) -> str:
    try:
        return normal_address(address)
    except RingError:  # what an old builder holds
        return address


def _with_normal_addresses(options: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(options)
    for name in ("ip", "replication_ip"):
        if given.get(name) is not None:
            given[name] = normal_address(given[name])
    return given


def _replication(device: Device) -> dict[str, Any]:
    return {
        "replication_ip": device.replication_ip or device.ip,
        "replication_port": device.replication_port or device.port,
    }


def _given(wanted: Search | Change) -> dict[str, Any]:
    values = {each.name: getattr(wanted, each.name) for each in dataclasses.fields(wanted)}
    return {name: value for name, value in values.items() if value is not None}


def _in_brackets(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _spell_rest(wanted: Search | Change) -> str:
    """Everything from the port on."""
    text = "" if wanted.port is None else f":{wanted.port}"
    if wanted.replication_ip is not None or wanted.replication_port is not None:
        text += f"R{_in_brackets(wanted.replication_ip or '')}"
        text += "" if wanted.replication_port is None else f":{wanted.replication_port}"
    text += "" if wanted.device is None else f"/{wanted.device}"
    return text + ("" if wanted.meta is None else f"_{wanted.meta}")


# ---- reading ---------------------------------------------------------------------------------


class _Reader:
    """The text from left to right."""

    def __init__(self, text: str, kind: str) -> None:
        self._text, self._kind, self._at = text, kind, 0

    def fail(self, why: str) -> NoReturn:
        at = f" at character {self._at + 1}" if self._text else ""
        raise RingError(f"the {self._kind} {self._text!r} can't be read{at}: {why}")

    def at(self, mark: str) -> bool:
        return self._text.startswith(mark, self._at)

    def skip(self, mark: str) -> bool:
        found = self.at(mark)
        self._at += len(mark) if found else 0
        return found

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, "the pattern matches nothing as well"
        self._at = match.end()
        return match[0]

    def rest(self) -> str:
        return self.take(re.compile(r".*", re.DOTALL))

    def number(self, mark: str) -> int:
        """The number after its mark, which is there."""
        self.skip(mark)
        digits = _DIGITS.match(self._text, self._at)
        assert digits is not None
        if not digits[0]:
            self.fail(f"a number must come after {mark}")
        if len(digits[0]) > _DIGITS_MAX:
            self.fail("the number is too large")
        self._at = digits.end()
        return int(digits[0])

    def from_the_address(self, *, host: bool) -> dict[str, Any]:
        """What searches and changes have in common.  `host`: a name may come now."""
        found: dict[str, Any] = {"ip": self._host(name=host)}
        found["port"] = self.number(":") if self.at(":") else None
        if self.skip("R"):
            found["replication_ip"] = self._host(name=True)
            found["replication_port"] = self.number(":") if self.at(":") else None
        if self.skip("/"):
            found["device"] = self.take(_UNTIL_META)
        if self.skip("_"):
            found["meta"] = self.rest()
        if self._at < len(self._text):
            self.fail(f"{self._text[self._at]!r} is not expected here")
        return found

    def address(self) -> tuple[str, int]:
        """An address and its port, both of which must be there."""
        start = self._at
        if self.at("["):
            host = self._host(name=False) or ""
        else:
            # Without brackets, what follows an IPv6 address's last colon is the port.
            host, _, _ = self.take(_UNTIL_NAME).rpartition(":")
            self._at = start + len(host)
        if not self.at(":"):
            self.fail("the address must end in a : and its port")
        if not host:
            self.fail("an address must come here")
        return self._normal(host, start), self.number(":")

    def _host(self, *, name: bool) -> str | None:
        """The address that comes now, if one does; a host's name only when `name`."""
        start = self._at
        if self.at("["):
            end = self._text.find("]", start)
            if end < 0:
                self.fail("the ] to this [ is missing")
            self._at = end + 1
            return self._normal(self._text[start : self._at], start)
        digit = self._text[start : start + 1]
        if not name and not (digit.isascii() and digit.isdigit()):
            return None
        host = self.take(_UNTIL_PORT)
        return self._normal(host, start) if host else None

    def _normal(self, host: str, start: int) -> str:
        try:
            return normal_address(host)
        except RingError as error:
            self._at = start
            self.fail(str(error))
