"""Elements of an SVG as strings: whatever is put in is escaped, numbers are short.

Pure.
"""

import re
from html import escape

# What XML 1.0 can't hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Attribute = str | float | None


class Markup(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def tag(name: str, *inner: str, **attributes: Attribute) -> Markup:
    """An element; `font_size=12` becomes font-size="12", and None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    content = "".join(each if isinstance(each, Markup) else escaped(each) for each in inner)
    return Markup(f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>")


def escaped(text: str) -> Markup:
    """Readable anywhere in XML, whatever a device is called."""
    return Markup(escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text), quote=True))


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return escaped(value)
    short = f"{value:.2f}".rstrip("0").removesuffix(".")
    return "0" if short == "-0" else short
