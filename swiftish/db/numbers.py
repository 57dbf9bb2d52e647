"""The number of a change, and what makes it mean the same to everybody for ever.

Each change of a database gets the next number of its environment.  A replica that has merged all
that another environment holds of a database, up to a number, remembers that number, and next time
asks for what came after it.  This is only right while a number names one change, and an environment
that was restored from an older snapshot gives numbers a second time (T9).

So an environment has *lives*.  One begins whenever a process opens the environment: a random id,
stored under the first number that it may give.  A number stands for the same change as long as the
life that it was given in is the same, for what was lost with the snapshot's future was given in
lives that the snapshot does not know, and what comes after it is given in one that nobody knew
before.  It is the argument of Raft's log matching, with lives for terms.  Whoever remembers a
number, remembers its life too, and the sender looks whether it agrees; if not, it begins again at
the first row.

Nothing depends on a clock, on noticing that something was restored, or on processes that end as
they should; a life costs 18 bytes.  (Rejected: to compare with the last number only, which the
environment may have passed again; a hash chained over the log, whose entries move; clocks in the
numbers, which can be set back.)
"""

import secrets

from swiftish.db.name_index import META
from swiftish.runtime.environment import Reader, Writer

ENVIRONMENT_BYTES = 16
LIFE_BYTES = 8
NUMBER_MAX = 2**63 - 1

NO_LIFE = bytes(LIFE_BYTES)  # of numbers from before there were lives

_ENVIRONMENT = b"environment"
_LAST = b"last-number"
_LIFE = b"life-"  # and the first number of that life


def begin_life(writer: Writer) -> None:
    """A process has opened the environment: numbers that are given from now on are of a new life.

    One that gave no numbers is replaced.
    """
    if writer.get(META, _ENVIRONMENT) is None:
        writer.put(META, _ENVIRONMENT, secrets.token_bytes(ENVIRONMENT_BYTES))
    first = _packed(last(writer) + 1)
    writer.put(META, _LIFE + first, secrets.token_bytes(LIFE_BYTES))


def start_at(writer: Writer, number: int) -> None:
    """Numbers up to this one were given by something else."""
    writer.put(META, _LAST, _packed(number))


def environment_id(reader: Reader) -> bytes:
    """What tells this environment's numbers from others'."""
    return reader.get(META, _ENVIRONMENT) or bytes(ENVIRONMENT_BYTES)


def last(reader: Reader) -> int:
    return int.from_bytes(reader.get(META, _LAST) or b"", "big")


def take(writer: Writer) -> int:
    """The next number."""
    number = last(writer) + 1
    writer.put(META, _LAST, _packed(number))
    return number


def life_of(reader: Reader, number: int) -> bytes:
    """The life in which a number was given."""
    stop = _LIFE + _packed(number) + b"\0"
    for _, life in reader.scan(META, start=_LIFE, stop=stop, reverse=True):
        return life
    return NO_LIFE


def _packed(number: int) -> bytes:
    return number.to_bytes(8, "big")
