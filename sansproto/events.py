"""Events that every protocol shares. A protocol's own events stand beside them in its union alias."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Generic

import attrs

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # typing's own has defaults from Python 3.13 on

    V_co = TypeVar("V_co", bound=Enum, default=Enum, covariant=True)
else:
    from typing import TypeVar

    V_co = TypeVar("V_co", bound=Enum, covariant=True)


class CloseCause(Enum):
    """Why a session ended: one of these, whatever the protocol."""

    LOCAL = 0
    """The application closed it."""
    ABORTED = 1
    """The application aborted it."""
    REMOTE = 2
    """The other end closed in the protocol's own way."""
    UNREACHABLE = 3
    """A name did not resolve, or no address of it took the connection."""
    LOST = 4
    """The transport ended or failed under an open session."""
    TIMEOUT = 5
    """The other end did not do in time what the protocol asks for."""
    VIOLATION = 6
    """The other end broke the protocol: ``Closed.violation`` says how."""
    REFUSED = 7
    """The other end said no."""
    LIMIT = 8
    """A limit of this end was reached."""


@attrs.frozen
class Closed(Generic[V_co]):
    """The session is over. This is always the last event, and there is exactly one.

    Each protocol's union of events has ``Closed`` of its own closed set of violations, so that a ``match`` over them
    can be exhaustive; a protocol without any has ``Closed[Never]``.
    """

    cause: CloseCause
    """Why, in the terms that all protocols share."""
    violation: V_co | None = None
    """How the other end broke the protocol, or which limit or refusal it was; None if ``cause`` says it all."""
    detail: str = attrs.field(default="", kw_only=True)
    """Text for people only."""


@attrs.frozen
class Writable:
    """``send`` accepts more again, after it refused some of what it was given."""


@attrs.define(slots=True, weakref_slot=False)
class DataReceived:
    """Bytes from the other end, in order. Never empty. (Not frozen, for speed.)"""

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """The next bytes."""


def hex_of(value: bytes | None) -> str:
    """How an id or a key that may be absent is shown in an event: as those that are always there."""
    return "None" if value is None else value.hex()
