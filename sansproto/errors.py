"""What can go wrong, by whose fault it is.

What the *remote end* did wrong is data: the final ``Closed`` event of a session says it. The exceptions here are the
caller's (:class:`LocalProtocolError`, :class:`NotOpen`, :class:`UnboundSocket`) or come out of the pure decoders
(:class:`WireError`).
"""

from __future__ import annotations

from enum import Enum


class SansprotoError(Exception):
    """The base of every exception that the library raises on purpose."""


class LocalProtocolError(SansprotoError):
    """The caller asked for what the protocol does not allow now: a bug of the caller.

    Raised before anything changed.
    """

    def __init__(self, verb: str, state: str, reason: str = "") -> None:
        self.verb = verb
        self.state = state
        self.reason = reason
        super().__init__(verb, state, reason)  # what pickle and copy make another one of

    def __str__(self) -> str:
        return f"{self.verb}() in state {self.state}" + (f": {self.reason}" if self.reason else "")


class NotOpen(SansprotoError):
    """The call lost a race with the end of the session (or came before its beginning): not a bug of the caller."""

    def __init__(self, verb: str, state: str) -> None:
        self.verb = verb
        self.state = state
        super().__init__(verb, state)

    def __str__(self) -> str:
        return f"{self.verb}(): the session is {self.state}"


class UnboundSocket(SansprotoError, LookupError):
    """A path names a datagram socket that the runner was not given: a bug of the program, so everything is aborted.

    ``label`` is what the path has, ``bound`` are the labels that there are.
    """

    def __init__(self, label: str, bound: tuple[str, ...]) -> None:
        self.label = label
        self.bound = bound
        super().__init__(label, bound)

    def __str__(self) -> str:
        there_are = ", ".join(map(repr, self.bound)) or "none"
        return f"no datagram socket is bound as {self.label!r} (there are: {there_are}): see 'sockets' of the runner"


class Fault(Enum):
    """Why bytes are not a packet: the closed set that decoders and test vectors share."""

    TRUNCATED = "truncated"
    """More bytes are needed: wait on a stream, invalid in a datagram."""
    TRAILING = "trailing"
    """Bytes are left over behind a complete packet."""
    BAD_ENCODING = "bad_encoding"
    """Not hexadecimal, not the text encoding, a malformed variable-length number."""
    BAD_VALUE = "bad_value"
    """Well encoded, but not a value that this field may have."""
    BAD_TYPE = "bad_type"
    """The tag names no packet."""
    BAD_LENGTH = "bad_length"
    """A length or count that the limits, or the bytes left, do not allow."""
    BAD_CHECKSUM = "bad_checksum"
    """An unkeyed checksum or hash differs."""
    BAD_MAC = "bad_mac"
    """An authentication tag differs."""
    BAD_POINT = "bad_point"
    """Not a point of the prime-order group."""
    UNSUPPORTED = "unsupported"
    """A version or algorithm that exists but is not spoken here."""


class WireError(SansprotoError, ValueError):
    """Bytes that are not what they should be: ``fault`` says why, ``offset`` and ``field`` say where.

    ``need`` is the number of further bytes without which no decoding can succeed; it is 0 for every fault but
    :attr:`Fault.TRUNCATED`.
    """

    def __init__(self, fault: Fault, offset: int = 0, field: str = "", *, need: int = 0) -> None:
        self.fault = fault
        self.offset = offset
        self.field = field
        self.need = need
        super().__init__(fault, offset, field)

    def __str__(self) -> str:
        return f"{self.fault.value} at offset {self.offset}" + (f" in {self.field}" if self.field else "")
