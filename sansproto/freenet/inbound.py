"""Streams of a session that are put together: docs/protocols/freenet.rst, streams."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from ..component import Component, Host, Note
from ..contract import Path
from ..fair import host_of
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED, MEMO
from . import packets as p
from .events import FreenetEvent, MessageReceived, StreamReceived
from .limits import FreenetDelays, FreenetLimits
from .streams import Inbox, Whole

STREAM_ENDED: Final = Note("a stream ended before it was complete", ref="streams")


class InboundHost(Host[FreenetEvent], Protocol):
    """What streams ask of the endpoint."""

    limits: FreenetLimits
    delays: FreenetDelays

    def may_hold(self, group: bytes, size: int) -> bool: ...
    def note_held(self, group: bytes, size: int) -> None: ...


class InboundOwner(Protocol):
    """What streams ask of their session."""

    number: int
    path: Path


class InboundState(Enum):
    EMPTY = 0
    OPEN = 1
    """Some are not complete."""


class InboundInput:
    FRAGMENT = Input[InboundState, p.StreamFragment]()
    MISFIT = Input[InboundState, p.StreamFragment]()
    STREAM = Input[InboundState, Whole]()
    MESSAGE = Input[InboundState, bytes]()
    STALE_DUE = Input[InboundState, None]()


class Inbound(Component[InboundState, InboundHost]):
    """The streams of one session."""

    inbox: Inbox
    group: Annotated[bytes, MEMO]
    """The host that shares with others what is held."""
    session: Annotated[InboundOwner, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: InboundHost, session: InboundOwner) -> None:
        super().__init__(host)
        self.session, self.inbox, self.group = session, Inbox(), b""

    # -- what its session asks

    def is_wanted(self, fragment: p.StreamFragment) -> bool:
        return self.inbox.is_wanted(fragment)

    def has_room(self, fragment: p.StreamFragment) -> bool:
        size = len(fragment.payload)
        return self.inbox.has_room(fragment, self.host.limits) and self.host.may_hold(self._group(), size)

    def forget_all(self) -> None:
        """Its session is over."""
        if self.inbox.held:
            self.host.note_held(self._group(), -self.inbox.held)

    # -- guards

    def fits(self, fragment: p.StreamFragment) -> bool:
        """Is it one that its stream can have, and the stream one that we take?"""
        return self.inbox.fits(fragment, self.host.limits)

    def is_of_upper_layer(self, whole: Whole) -> bool:
        return bool(whole.stream & p.STREAM_OF_UPPER_LAYER)

    def read_whole(self, whole: Whole) -> bytes:
        return p.read_message(whole.data)

    # -- conditions and times

    def has_streams(self) -> bool:
        return bool(self.inbox.open)

    def until_stale(self) -> float:
        return self.host.delays.stream

    # -- actions

    def put(self, fragment: p.StreamFragment) -> None:
        before = self.inbox.held
        whole = self.inbox.put(fragment, self.host.clock)
        self.host.note_held(self._group(), self.inbox.held - before)
        if whole is not None:
            self.take(WHOLE, whole)

    def deliver_stream(self, whole: Whole) -> None:
        session, data, metadata = self.session, whole.data, whole.metadata
        event = StreamReceived(session.path, data, generation=session.number, stream=whole.stream, metadata=metadata)
        self.host.emit(event)

    def deliver(self, message: bytes) -> None:
        self.host.emit(MessageReceived(self.session.path, message, generation=self.session.number))

    def end_stream(self, fragment: p.StreamFragment) -> None:
        self._end(fragment.stream)

    def end_stale(self) -> None:
        for number in self.inbox.stale(self.host.clock, self.host.delays.stream):
            self._end(number)

    # -- inside

    def _group(self) -> bytes:
        group = self.group = self.group or host_of(self.session.path.host)
        return group

    def _end(self, number: int) -> None:
        before = self.inbox.held
        self.inbox.end(number)
        self.host.note_held(self._group(), self.inbox.held - before)
        self.host.count_note(STREAM_ENDED, self)


_S, _I, _C = InboundState, InboundInput, Inbound

FRAGMENT: Final = (
    Guards.of(Inbound, InboundState, p.StreamFragment, "fragment")
    .give_if(_C.fits, _I.FRAGMENT, ref="streams")
    .give(_I.MISFIT)
)
"""What a fragment is, and its stream."""

WHOLE: Final = (
    Guards.of(Inbound, InboundState, Whole, "whole")
    .give_if(_C.is_of_upper_layer, _I.STREAM, ref="streams")
    .make(_C.read_whole, "not a message", ref="messages")
    .give(_I.MESSAGE)
)
"""What a stream is of which all is here."""


class InboundTimer:
    STALE = Timer(_I.STALE_DUE, _C.until_stale)


_T = InboundTimer
_ANY: Final = (_S.EMPTY, _S.OPEN)
_REF: Final = "streams"

INBOUND: Final = Table[Inbound, InboundState](
    Inbound,
    InboundInput,
    InboundTimer,
    name="freenet.inbound",
    initial=_S.EMPTY,
    idle={_S.EMPTY: "a fragment"},
    rows=(
        Row(_S.EMPTY, _I.FRAGMENT, _S.OPEN, _C.put, arm=(_T.STALE,), ref=_REF),
        Row(_S.OPEN, _I.FRAGMENT, None, _C.put, ref=_REF),
        Row(_ANY, _I.MISFIT, None, _C.end_stream, ref=_REF),
        Row(_ANY, _I.STREAM, None, _C.deliver_stream, ref=_REF),
        Row(_ANY, _I.MESSAGE, None, _C.deliver, ref="messages"),
        Row(_S.OPEN, _I.STALE_DUE, None, _C.end_stale, when=_C.has_streams, arm=(_T.STALE,), ref=_REF),
        Row(_S.OPEN, _I.STALE_DUE, _S.EMPTY, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
