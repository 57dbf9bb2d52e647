"""The dates of HTTP headers: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7).

Pure.
"""

import calendar
from datetime import UTC, datetime, timedelta

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
_SECONDS_MAX = 253_402_300_799  # the last second of the year 9999


def http_date(seconds: float) -> str:
    """Whole seconds since the epoch as a header's date; fractions are cut off.

    Last-Modified is to be rounded up by the caller (reference 6.12).
    """
    whole = min(max(int(seconds), 0), _SECONDS_MAX)
    days, rest = divmod(whole, _DAY_S)
    date = _EPOCH + timedelta(days=days)
    return (
        f"{_DAYS[(days + 3) % 7]}, {date.day:02d} {_MONTHS[date.month - 1]} {date.year:04d} "
        f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d} GMT"
    )


def parse_http_date(text: str) -> int | None:
    """Seconds since the epoch, or None for what is no date.

    The three spellings of RFC 9110 are read: RFC 1123's, RFC 850's with its two-digit year, and
    asctime's.  Other time zones than GMT are not: nobody may send them.
    """
    words = text.replace(",", " ").split()
    match words:
        case [_, day, month, year, clock, zone] if zone.upper() in {"GMT", "UTC", "+0000"}:
            pass
        case [_, date, clock, zone] if zone.upper() == "GMT" and date.count("-") == 2:
            day, month, year = date.split("-")
        case [_, month, day, clock, year]:
            pass
        case _:
            return None
    return _seconds(day, month, year, clock)


def _seconds(day: str, month: str, year: str, clock: str) -> int | None:
    parts = [day, year, *clock.split(":")]
    if len(parts) != 5 or not all(p.isascii() and p.isdigit() and len(p) <= 4 for p in parts):
        return None
    month_number = _MONTH_NUMBERS.get(month.lower())
    if month_number is None:
        return None
    day_number, year_number, hour, minute, second = map(int, parts)
    if len(year) == 2:  # RFC 850: 69 to 99 are of the last century, as POSIX has it
        year_number += 1900 if year_number >= 69 else 2000
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        datetime(year_number, month_number, day_number, tzinfo=UTC)
    except ValueError:
        return None
    return calendar.timegm((year_number, month_number, day_number, hour, minute, second, 0, 0, 0))
