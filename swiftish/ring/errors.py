"""What can be wrong with a ring, in a sentence for the operator.

Pure.
"""


class RingError(ValueError):
    """A ring, a builder or what was asked of it makes no sense; the message says why."""


class BadRing(RingError):
    """The bytes are not a ring that can be used; the message says why."""


class BadBuilder(RingError):
    """The bytes are not a builder that can be used; the message says why."""


class DuplicateDevice(RingError):
    """The device is in the builder already."""


class UnknownDevice(RingError):
    """No device of the builder is meant."""
