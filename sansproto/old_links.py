"""What a stream link is: its table, and what waits on it. docs/protocols/links.rst.

:class:`~sansproto.endpoint.EndpointBase` runs it for every protocol.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final, Protocol

import attrs

from .contract import Address, Link
from .old_machine import Otherwise, Row, Table, Verdict


class LinkState(Enum):
    NEW = 0
    OPENING = 1  # OpenStream is on its way
    OPEN = 2
    BLOCKED = 3  # the transport takes no more bytes
    DRAINING = 4  # closes once what is queued is written
    DRAINING_BLOCKED = 5
    ABORTING = 6  # reset, waiting for the transport to confirm
    GONE = 7


class LinkInput(Enum):
    ASK = 0
    ACCEPTED = 1
    OPENED = 2
    BLOCKED = 3
    UNBLOCKED = 4
    PAUSED = 5  # this end stopped reading
    RESUMED = 6
    CLOSE = 7
    ABORT = 8
    OVERFLOWED = 9  # more was queued than a link may hold
    CONNECT_EXPIRED = 10
    STALL_EXPIRED = 11
    LINGER_EXPIRED = 12
    LOST = 13


class LinkAction(Enum):
    TELL_ACCEPTED = 0
    TELL_OPENED = 1
    TELL_UNREACHABLE = 2  # from here on: the protocol learns, once, that the link ended without its doing
    TELL_STALLED = 3
    TELL_OVERFLOWED = 4
    TELL_LOST = 5
    DROP_OUTPUT = 6
    OFFER = 7  # there may be something to transmit
    FORGET = 8


class LinkTimer(Enum):
    CONNECT = 0
    STALLED = 1  # the transport takes nothing
    UNREAD = 2  # this end reads nothing
    LINGER = 3


_S, _I, _A, _T = LinkState, LinkInput, LinkAction, LinkTimer
OPEN: Final = (_S.OPEN, _S.BLOCKED)
"""The link carries bytes both ways."""

_LIVE = (_S.OPENING, *OPEN)
_DRAINING = (_S.DRAINING, _S.DRAINING_BLOCKED)

TAKING: Final = (_S.NEW, *_LIVE)
"""What is written is queued."""

OVER: Final = (_S.ABORTING, _S.GONE)

OFFERING: Final = (*OPEN, _S.DRAINING, _S.ABORTING)
"""There may be something for the transport."""

_ALL_TIMERS = tuple(_T)

LINK: Table[LinkState, LinkInput, LinkAction, LinkTimer] = Table(
    name="core.link",
    page="links",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=_T,
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={
        _S.NEW: "the call that makes it",
        _S.OPEN: "the protocol's own timers, a verb, or the transport",
        _S.ABORTING: "the transport, which reports stream_lost for every link it was told to reset",
    },
    rows=(
        Row(_S.NEW, _I.ASK, _S.OPENING, arm=(_T.CONNECT,), ref="opening"),
        Row(_S.NEW, _I.ACCEPTED, _S.OPEN, (_A.TELL_ACCEPTED,), ref="opening"),
        Row(_S.OPENING, _I.OPENED, _S.OPEN, (_A.TELL_OPENED, _A.OFFER), cancel=(_T.CONNECT,), ref="opening"),
        Row(_S.OPENING, _I.CLOSE, _S.ABORTING, (_A.DROP_OUTPUT,), cancel=_ALL_TIMERS, ref="opening"),
        Row(
            _S.OPENING,
            _I.CONNECT_EXPIRED,
            _S.ABORTING,
            (_A.DROP_OUTPUT, _A.TELL_UNREACHABLE),
            cancel=_ALL_TIMERS,
            ref="opening",
        ),
        Row(_S.OPENING, _I.LOST, _S.GONE, (_A.TELL_UNREACHABLE, _A.FORGET), ref="opening"),
        Row(_S.OPEN, _I.BLOCKED, _S.BLOCKED, arm=(_T.STALLED,), ref="flow control"),
        Row(_S.BLOCKED, _I.UNBLOCKED, _S.OPEN, (_A.OFFER,), cancel=(_T.STALLED,), ref="flow control"),
        Row(OPEN, _I.PAUSED, None, (_A.OFFER,), arm=(_T.UNREAD,), ref="flow control"),
        Row(OPEN, _I.RESUMED, None, (_A.OFFER,), cancel=(_T.UNREAD,), ref="flow control"),
        Row(
            OPEN,
            _I.STALL_EXPIRED,
            _S.ABORTING,
            (_A.DROP_OUTPUT, _A.TELL_STALLED),
            cancel=_ALL_TIMERS,
            ref="stalled links",
        ),
        Row(
            _LIVE,
            _I.OVERFLOWED,
            _S.ABORTING,
            (_A.DROP_OUTPUT, _A.TELL_OVERFLOWED),
            cancel=_ALL_TIMERS,
            ref="slow links",
        ),
        Row(_S.OPEN, _I.CLOSE, _S.DRAINING, (_A.OFFER,), arm=(_T.LINGER,), cancel=(_T.UNREAD,), ref="closing"),
        Row(
            _S.BLOCKED,
            _I.CLOSE,
            _S.DRAINING_BLOCKED,
            arm=(_T.LINGER,),
            cancel=(_T.STALLED, _T.UNREAD),
            ref="closing",
        ),
        Row(_S.DRAINING, _I.BLOCKED, _S.DRAINING_BLOCKED, ref="closing"),
        Row(_S.DRAINING_BLOCKED, _I.UNBLOCKED, _S.DRAINING, (_A.OFFER,), ref="closing"),
        Row(_DRAINING, _I.LINGER_EXPIRED, _S.ABORTING, (_A.DROP_OUTPUT,), cancel=_ALL_TIMERS, ref="closing"),
        Row((_S.NEW, *_LIVE, *_DRAINING), _I.ABORT, _S.ABORTING, (_A.DROP_OUTPUT,), cancel=_ALL_TIMERS, ref="aborting"),
        Row(OPEN, _I.LOST, _S.GONE, (_A.TELL_LOST, _A.FORGET), ref="the end of a link"),
        Row((*_DRAINING, _S.ABORTING), _I.LOST, _S.GONE, (_A.FORGET,), ref="the end of a link"),
    ),
    otherwise=(Otherwise(None, None, Verdict.IGNORE, "stale link report"),),
    fires={
        _T.CONNECT: _I.CONNECT_EXPIRED,
        _T.STALLED: _I.STALL_EXPIRED,
        _T.UNREAD: _I.STALL_EXPIRED,
        _T.LINGER: _I.LINGER_EXPIRED,
    },
)


@attrs.define(eq=False, weakref_slot=False)
class Pipe:
    """One stream link: what waits in each direction."""

    key: Link
    listener: str  # the label it was accepted on; empty: opened by this end
    peer: Address
    state: LinkState = LinkState.NEW
    out: list[bytes | int] = attrs.field(factory=list, repr=False)  # an int: pulled output goes there, ``_link_pull``
    queued: int = 0  # bytes in ``out``
    inbox: bytes = attrs.field(default=b"", repr=False)  # received, not yet understood
    eof: bool = False  # the other end has finished; the protocol learns it after the inbox
    eof_told: bool = False
    finish: bool = False  # CloseWrite is wanted, then given
    finish_given: bool = False
    close_given: bool = False
    abort_given: bool = False
    held: bool = False  # the protocol wants no more bytes
    paused: bool = False  # nor does anybody: it is held, or starved
    pause_given: bool = False
    feeders: dict[Link, None] = attrs.field(factory=dict)  # paused links that feed this one
    offered: bool = False  # stands in the queue of links with output


def _positive(_: object, field: attrs.Attribute[float], value: float) -> None:
    if not 0 < value < inf:  # no selector and no event loop waits for ever until a time
        raise ValueError(f"{field.name} must be positive and finite")


def some(default: int, *, least: int = 1) -> int:
    """A field of a class of limits: how many, or how much. With room for nothing, a session would wait for ever."""
    return attrs.field(default=default, validator=attrs.validators.ge(least))


def seconds(default: float) -> float:
    """A field of a class of delays: a positive and finite number of seconds."""
    return attrs.field(default=default, validator=_positive)


@attrs.frozen(kw_only=True)
class LinkDelays:
    """The times of any link: docs/protocols/links.rst."""

    connect: float = seconds(20.0)  # until the connection is there
    stalled: float = seconds(300.0)  # as long may the transport take nothing
    unread: float = seconds(300.0)  # as long may we leave a link unread: longer than anybody thinks about a question
    linger: float = seconds(30.0)  # from our close to the end of the connection


class LinkLimits(Protocol):
    """What the limits of an endpoint have to say about links."""

    @property
    def links(self) -> int: ...  # at once
    @property
    def link_queue(self) -> int: ...  # bytes of output waiting for one link: over it the link ends
    @property
    def link_packets(
        self,
    ) -> int: ...  # of one link, understood in one call: the rest is for the next one
    @property
    def events(self) -> int: ...  # undelivered events: over it links are not read
