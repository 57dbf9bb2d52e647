"""Reads plain data out of a pickle, and runs nothing.

A pickle is a program for a small stack machine, and what makes it dangerous are its instructions to
import anything and call it.  The machine here knows only those that make numbers, texts, lists,
tuples and dictionaries; of names it knows the few in `_NAMES`, which stand for values of our own
and never for what Python calls so.  Everything else is an error with its name.

Memory stays in proportion to the input: there are limits where one byte could ask for much.

Pure.
"""

import pickletools
import re
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import IO, Any, Self, TypeAlias, cast

from swiftish.ring.errors import BadBuilder

BYTES_MAX = 2**28  # a ring of four million partitions takes a tenth
CONTAINERS_MAX = 2_000_000  # a hundred thousand devices have a fifth
REMEMBERED_MAX = 4_000_000

Value: TypeAlias = Any  # None, bool, int, float, str, bytes, list, tuple, dict, array, Instance


class _Name(Enum):
    """What a pickle may call by name."""

    ARRAY = "array.array"
    ARRAY_FROM_BYTES = "array._array_reconstructor"
    OBJECT = "object"
    INSTANCE_OF = "copyreg._reconstructor"
    BUILDER = "RingBuilder"
    RING = "RingData"


_NAMES = {
    ("array", "array"): _Name.ARRAY,
    ("array", "_array_reconstructor"): _Name.ARRAY_FROM_BYTES,
    ("__builtin__", "object"): _Name.OBJECT,
    ("builtins", "object"): _Name.OBJECT,
    ("copy_reg", "_reconstructor"): _Name.INSTANCE_OF,
    ("copyreg", "_reconstructor"): _Name.INSTANCE_OF,
    ("swift.common.ring.builder", "RingBuilder"): _Name.BUILDER,
    ("swift.common.ring.ring", "RingData"): _Name.RING,
}

# How `array._array_reconstructor` numbers its formats: bytes of a number, and their order.
_FORMATS = {0: (1, "little"), 2: (2, "little"), 3: (2, "big"), 6: (4, "little"), 7: (4, "big")}
_ITEM_BYTES = {"B": 1, "H": 2, "I": 4}
assert all(array(code).itemsize == size for code, size in _ITEM_BYTES.items())

_NATIVE = {"B": 0, "H": 2, "I": 6}  # Python 2 stored its own order, and that was this one

_SCALARS = (str, bytes, int, float, type(None))
NAME_MAX = 80  # of a name in a message


@dataclass(slots=True)
class Instance:
    """An object of Swift's: what its attributes were."""

    kind: str
    state: Value = None


class OldText(str):
    """A text of Python 2, which is bytes: `raw`."""

    __slots__ = ("raw",)
    raw: bytes

    def __new__(cls, latin: str) -> Self:
        raw = latin.encode("latin-1")
        made = super().__new__(cls, raw.decode("utf-8", "replace"))
        made.raw = raw
        return made


def load(data: bytes) -> Value:
    """The value.  Raises BadBuilder for anything that is not wholly plain data."""
    if len(data) > BYTES_MAX:
        raise BadBuilder(f"the pickle is longer than {BYTES_MAX} bytes")
    stream = _Bytes(data)
    machine = _Machine()
    try:
        for operation, argument, _ in pickletools.genops(cast("IO[bytes]", stream)):
            if operation.name == "STOP":
                break
            machine.run(operation.name, argument)
            if operation.name == "MARK":
                stream.at = machine.take_numbers(data, stream.at)
        value = machine.result()
    except (ValueError, IndexError, OverflowError, TypeError) as error:
        if isinstance(error, BadBuilder):
            raise
        raise BadBuilder(f"the pickle is damaged or truncated: {error}") from None
    if stream.at != len(data):
        raise BadBuilder("something follows after the end of the pickle")
    return value


class _Bytes:
    """What `genops` reads from, like a file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def read(self, count: int) -> bytes:
        found = self._data[self.at : self.at + count]
        self.at += len(found)
        return found

    def readline(self) -> bytes:
        return self.read((self._data.find(b"\n", self.at) + 1 or len(self._data)) - self.at)

    def tell(self) -> int:
        return self.at


# Long runs of numbers, which the tables are made of, are taken all at once.
_RUN = re.compile(rb"(?:K.|M..|J....)++", re.DOTALL)
_NUMBER = re.compile(rb"K(.)|M(..)|J(....)", re.DOTALL)

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_OLD_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
_IGNORED = {"PROTO", "FRAME"}


class _Machine:
    """The stack, what is below its marks, and what was remembered under a number."""

    def __init__(self) -> None:
        self._stack: list[Value] = []
        self._below: list[list[Value]] = []
        self._memory: dict[int, Value] = {}
        self._containers = 0
        self._actions: dict[str, Callable[[], None]] = {
            "MARK": self._mark,
            "POP": self._pop,
            "POP_MARK": lambda: self._to_mark().clear(),
            "DUP": lambda: self._put(self._stack[-1]),
            "EMPTY_LIST": lambda: self._put_container([]),
            "EMPTY_TUPLE": lambda: self._put_container(()),
            "EMPTY_DICT": lambda: self._put_container({}),
            "LIST": lambda: self._put_container(self._to_mark()),
            "TUPLE": lambda: self._put_container(tuple(self._to_mark())),
            "TUPLE1": lambda: self._put_container(tuple(self._last(1))),
            "TUPLE2": lambda: self._put_container(tuple(self._last(2))),
            "TUPLE3": lambda: self._put_container(tuple(self._last(3))),
            "DICT": self._dictionary,
            "APPEND": lambda: self._extend(self._last(1)),
            "APPENDS": lambda: self._extend(self._to_mark()),
            "SETITEM": lambda: self._set(self._last(2)),
            "SETITEMS": lambda: self._set(self._to_mark()),
            "MEMOIZE": lambda: self._remember(len(self._memory)),
            "STACK_GLOBAL": lambda: self._name(*self._last(2)),
            "REDUCE": self._call,
            "NEWOBJ": self._call,
            "BUILD": self._build,
        }

    def run(self, operation: str, argument: Value) -> None:
        """Do one instruction.  Raises BadBuilder, and the errors of wrong values."""
        if operation in _LITERALS:
            self._put(argument)
        elif operation in _CONSTANTS:
            self._put(_CONSTANTS[operation])
        elif operation in _OLD_TEXTS:
            self._put(OldText(argument))
        elif operation in {"GET", "BINGET", "LONG_BINGET"}:
            if argument not in self._memory:
                raise BadBuilder(f"the pickle asks for {argument}, which it never remembered")
            self._put(self._memory[argument])
        elif operation in {"PUT", "BINPUT", "LONG_BINPUT"}:
            self._remember(argument)
        elif operation == "GLOBAL":
            self._name(*argument.split(" ", 1))
        elif operation in self._actions:
            self._actions[operation]()
        elif operation not in _IGNORED:
            raise BadBuilder(f"the pickle has the instruction {operation}, which data never need")

    def take_numbers(self, data: bytes, start: int) -> int:
        """Put the numbers that begin at `start`, if any; returns where they end."""
        run = _RUN.match(data, start)
        if run is None:
            return start
        for one, two, four in _NUMBER.findall(run[0]):
            self._stack.append(
                int.from_bytes(four, "little", signed=True)
                if four
                else int.from_bytes(one or two, "little")
            )
        return run.end()

    def result(self) -> Value:
        """What is left on the stack at the end."""
        if len(self._stack) != 1 or self._below:
            raise BadBuilder("the pickle is damaged: it does not end with one value")
        return self._stack[0]

    # ---- the stack --------------------------------------------------------------------------

    def _put(self, value: Value) -> None:
        self._stack.append(value)

    def _put_container(self, value: Value) -> None:
        self._containers += 1
        if self._containers > CONTAINERS_MAX:
            raise BadBuilder(f"the pickle has more than {CONTAINERS_MAX} lists and the like")
        self._stack.append(value)

    def _mark(self) -> None:
        self._put_container([])
        self._below.append(self._stack)
        self._stack.pop()
        self._stack = []

    def _to_mark(self) -> list[Value]:
        found, self._stack = self._stack, self._below.pop()
        return found

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def _last(self, count: int) -> list[Value]:
        if len(self._stack) < count:
            raise IndexError("the stack is empty")
        found = self._stack[-count:]
        del self._stack[-count:]
        return found

    def _remember(self, number: int) -> None:
        if len(self._memory) >= REMEMBERED_MAX:
            raise BadBuilder(f"the pickle remembers more than {REMEMBERED_MAX} values")
        self._memory[number] = self._stack[-1]

    # ---- lists and dictionaries -------------------------------------------------------------

    def _extend(self, values: list[Value]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise BadBuilder("the pickle appends to what is no list")
        target.extend(values)

    def _dictionary(self) -> None:
        values = self._to_mark()
        self._put_container({})
        self._set(values)

    def _set(self, values: list[Value]) -> None:
        target = self._stack[-1]
        if type(target) is not dict or len(values) % 2:
            raise BadBuilder("the pickle sets an item of what is no dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Only flat keys: hashing goes into tuples within tuples, and how deep is not ours.
            parts = key if type(key) is tuple else (key,)
            if not all(isinstance(part, _SCALARS) for part in parts):
                raise BadBuilder("the pickle has a dictionary whose keys are not plain")
            target[key] = value

    # ---- the few names ----------------------------------------------------------------------

    def _name(self, module: Value, name: Value) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise BadBuilder("the pickle imports something without a name")
        known = _NAMES.get((module, name))
        if known is None:
            raise BadBuilder(
                f"the pickle imports {f'{module}.{name}'[:NAME_MAX]!r}, which no builder needs"
            )
        self._put(known)

    def _call(self) -> None:
        called, arguments = self._last(2)
        if type(arguments) is not tuple:
            raise BadBuilder("the pickle calls something without arguments")
        match called, arguments:
            case _Name.ARRAY, (code,):
                self._put_container(_array(code, []))
            case _Name.ARRAY, (code, content):
                self._put_container(_array(code, content))
            case _Name.ARRAY_FROM_BYTES, (_Name.ARRAY, code, layout, content):
                self._put_container(_array_from_bytes(code, layout, content))
            case ((_Name.BUILDER | _Name.RING), ()):
                self._put_container(Instance(called.value))
            case _Name.INSTANCE_OF, ((_Name.BUILDER | _Name.RING) as kind, _Name.OBJECT, None):
                self._put_container(Instance(kind.value))
            case _:
                raise BadBuilder("the pickle calls something as no builder does")

    def _build(self) -> None:
        target, state = self._last(2)
        if type(target) is not Instance or type(state) is not dict:
            raise BadBuilder("the pickle changes something that is no builder")
        target.state = state
        self._put(target)


def _array(code: Value, content: Value) -> "array[int]":
    """As Python 2 and 3 spell arrays in old protocols: with a list; Python 2.6, with raw bytes."""
    if type(code) not in {str, OldText} or code not in _ITEM_BYTES:
        raise BadBuilder("the pickle has an array of an unknown kind")
    if type(content) is OldText:
        return _array_from_bytes(code, _NATIVE[code], content.raw)
    if type(content) is not list or any(type(each) is not int for each in content):
        raise BadBuilder("the pickle has an array of what are no numbers")
    return array(code, content)


def _array_from_bytes(code: Value, layout: Value, content: Value) -> "array[int]":
    if type(layout) is not int or type(content) is not bytes or code not in _ITEM_BYTES:
        raise BadBuilder("the pickle has an array that is not made as arrays are")
    size, order = _FORMATS.get(layout, (0, ""))
    if size != _ITEM_BYTES[code] or len(content) % size:
        raise BadBuilder("the pickle has an array of another size than it says")
    made = array(code, content)
    if order != sys.byteorder:
        made.byteswap()
    return made
