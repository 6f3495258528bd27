"""Events of a gateway or peer. docs/protocols/freenet.rst, events.

Each session at an address is a *generation* of this address. Generations are numbered upwards over all addresses.
"""

from __future__ import annotations

from typing import Never, TypeAlias

import attrs

from ..contract import Address, Path
from ..events import Closed, Writable, hex_of
from .versions import Version


@attrs.frozen
class Connected:
    """A session with the end at an address is open. It may be used at once."""

    path: Path
    """The address of the other end."""
    generation: int
    """The session."""
    proven: bytes | None = attrs.field(default=None, kw_only=True, repr=hex_of)
    """The static public key that we called: the other end has proved that it has the private key. None if we did not
    call: then nothing shows who the other end is."""
    confirmed: bool = attrs.field(default=True, kw_only=True)
    """False if ``Confirmed`` follows, when the other end has shown that it knows the session."""
    version: Version | None = attrs.field(default=None, kw_only=True)
    """The version of the other end; None if it did not say."""
    seen_at: Address | None = attrs.field(default=None, kw_only=True)
    """Our address as the other end sees it; None if it did not say."""


@attrs.frozen
class Confirmed:
    """A packet came that the other end sent after our answer: it knows the session."""

    path: Path
    """The address of the other end."""
    generation: int
    """The session."""


@attrs.frozen
class MessageReceived:
    """A message arrived. Each one comes up once. Messages of a session may overtake each other."""

    path: Path
    """The path by which it came."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The message."""
    generation: int = attrs.field(kw_only=True)
    """The session in which it came."""


@attrs.frozen
class StreamReceived:
    """A stream of the layer above, which is not a message, arrived completely."""

    path: Path
    """The path by which it came."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The contents of the stream."""
    generation: int = attrs.field(kw_only=True)
    """The session in which it came."""
    stream: int = attrs.field(kw_only=True)
    """The id of the stream."""
    metadata: bytes | None = attrs.field(default=None, kw_only=True, repr=False)
    """The metadata of the stream; None if there was none."""


@attrs.frozen
class PathConflict:
    """A new session was confirmed at an address, and the older one answers, too. Both stay."""

    path: Path
    """The address of the other end."""
    generation: int
    """The older session, which answered."""
    other: int = attrs.field(kw_only=True)
    """The new session."""


@attrs.frozen
class PeerLost:
    """A session is over: the other end did not answer any more."""

    path: Path
    """The address of the other end."""
    generation: int
    """The session."""
    replaced: bool = attrs.field(default=False, kw_only=True)
    """True if another session at its address was confirmed, and this one did not answer."""
    undelivered: tuple[bytes, ...] = attrs.field(
        default=(), kw_only=True, repr=lambda messages: f"<{len(messages)} messages>"
    )
    """Messages that may not have arrived, in the order in which they were sent."""


@attrs.frozen
class Unreachable:
    """A peer that we call did not answer. The call goes on until ``disconnect``."""

    path: Path
    """The address of the other end."""


@attrs.frozen
class Refused:
    """A peer that we call refused our version. The call is over."""

    path: Path
    """The address of the other end."""
    reason: str = attrs.field(kw_only=True)
    """The peer's text, for people only. Most peers name their own version in it, and speak to some older ones, too."""


FreenetEvent: TypeAlias = (
    Connected
    | Confirmed
    | MessageReceived
    | StreamReceived
    | PathConflict
    | PeerLost
    | Unreachable
    | Refused
    | Writable
    | Closed[Never]
)
"""All events of a gateway or peer."""
