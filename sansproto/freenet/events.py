"""What an end of Freenet tells. docs/protocols/freenet.rst, events.

A session of ours with an address is a *generation* of it, counted up over all addresses: each event names one.
"""

from __future__ import annotations

from typing import Never, TypeAlias

import attrs

from ..contract import Address, Path
from ..events import Closed, Writable
from .versions import Version


@attrs.frozen
class Connected:
    """There is a session with whoever is at an address. It may be used at once."""

    path: Path
    """Where."""
    generation: int
    """The session."""
    proven: bytes | None = attrs.field(default=None, kw_only=True)
    """The static key that we called: the other end has its secret. None: nothing is known of who it is."""
    confirmed: bool = attrs.field(default=True, kw_only=True)
    """False: :class:`Confirmed` follows when the other end has shown that it knows the session."""
    version: Version | None = attrs.field(default=None, kw_only=True)
    """What it told; None: nothing."""
    seen_at: Address | None = attrs.field(default=None, kw_only=True)
    """Our address as it sees it; None: it did not say."""


@attrs.frozen
class Confirmed:
    """Something came that was sent after our answer: the other end knows the session."""

    path: Path
    """Where."""
    generation: int
    """The session."""


@attrs.frozen
class MessageReceived:
    """A message, for the first time. Messages of a session may overtake each other."""

    path: Path
    """Where from."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The message."""
    generation: int = attrs.field(kw_only=True)
    """In which session it came."""


@attrs.frozen
class StreamReceived:
    """A stream that is not a message, but of the layer above: complete."""

    path: Path
    """Where from."""
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """What it holds."""
    generation: int = attrs.field(kw_only=True)
    """In which session it came."""
    stream: int = attrs.field(kw_only=True)
    """Its id."""
    metadata: bytes | None = attrs.field(default=None, kw_only=True, repr=False)
    """What came with it."""


@attrs.frozen
class PathConflict:
    """Somebody has a new session at an address, and the older one answers, too: both stay."""

    path: Path
    """Where."""
    generation: int
    """The one that answered."""
    other: int = attrs.field(kw_only=True)
    """The new one."""


@attrs.frozen
class PeerLost:
    """A session is over: nothing came of it any more."""

    path: Path
    """Where."""
    generation: int
    """The session."""
    replaced: bool = attrs.field(default=False, kw_only=True)
    """Another one at its address was confirmed, and this one did not answer."""
    undelivered: tuple[bytes, ...] = attrs.field(
        default=(), kw_only=True, repr=lambda messages: f"<{len(messages)} messages>"
    )
    """Messages that are not known to have arrived, in their order. They may have."""


@attrs.frozen
class Unreachable:
    """A peer that we call did not answer. It is called again until ``disconnect``."""

    path: Path
    """Where."""


@attrs.frozen
class Refused:
    """A peer that we call does not speak to our version. It is not called again."""

    path: Path
    """Where."""
    reason: str = attrs.field(kw_only=True)
    """Its words: for people only."""


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
"""All of them."""
