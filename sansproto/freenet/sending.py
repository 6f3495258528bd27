"""What a session sends, and sends again: docs/protocols/freenet.rst, sending."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Final, Protocol

from ..component import Component, DatagramHost, Refusal
from ..congestion import TICK, Congestion, DelayWindow
from ..contract import Instant
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..recovery.rtt import RoundTrip
from ..snapshot import CACHED
from . import packets as p
from .events import FreenetEvent
from .limits import FreenetDelays, FreenetLimits
from .streams import COST, Outbox
from .windows import Sent

_LATER: Final = 0.1
"""Seconds until it is looked again whether something may be sent."""
_OFTEN: Final = 8
"""A session ends with a packet that was sent so often, for long, and has no receipt."""

TOO_MUCH: Final = Refusal("too many messages wait", ref="sending")


class SendingHost(DatagramHost[FreenetEvent], Protocol):
    """What sending asks of the endpoint."""

    limits: FreenetLimits
    delays: FreenetDelays

    @property
    def room(self) -> int: ...
    def tell_room(self) -> None: ...


class Sender(Protocol):
    """What sending asks of its session."""

    rtt: RoundTrip

    @property
    def is_held(self) -> bool: ...
    @property
    def round_trip(self) -> float: ...
    @property
    def may_be_asked(self) -> bool: ...
    def note_asked(self) -> None: ...
    def seal(self, number: int, body: p.Body) -> bytes: ...
    def transmit(self, datagram: bytes, name: str) -> None: ...
    def give_up(self) -> None: ...


class SendingState(Enum):
    RESTING = 0
    BUSY = 1
    """Something waits to be sent, or to be acknowledged."""


class SendingInput:
    PLAN = Input[SendingState, None]()
    DUE = Input[SendingState, None]()


class Sending(Component[SendingState, SendingHost]):
    """Messages of one session, until they are known to have arrived."""

    messages: Outbox
    sent: Sent
    congestion: DelayWindow | None
    """None: nothing was sent lately, and nothing is kept of how fast it went."""
    ticked: Instant
    is_wanting: bool
    """A message was refused."""
    session: Annotated[Sender, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: SendingHost, session: Sender) -> None:
        super().__init__(host)
        self.session, self.messages, self.sent, self.congestion = session, Outbox(), Sent(), None
        self.ticked, self.is_wanting = 0.0, False

    def has_room(self, size: int) -> bool:
        """Is a message taken? One that is larger than all that may wait is, if nothing does."""
        return not self.messages.all or self.messages.size + size + COST <= self.host.limits.unsent

    def send(self, data: bytes) -> None:
        self.messages.add(data)
        self.work()

    def hear(self, numbers: Iterable[int]) -> Instant | None:
        """Receipts came: the latest time at which any of what arrived was sent first; None if they say nothing new."""
        now, session = self.host.clock, self.session
        heard = self.sent.acknowledge(numbers, now, session.rtt)
        if heard is None:
            return None
        if heard.round_trip is not None:
            session.rtt.measure(heard.round_trip)
        congestion = self._congestion()
        if heard.missing:
            congestion.note_missing(now, heard.missing, heard.arrived)
        sent = self.sent
        congestion.note_acknowledged(
            now, heard.arrived, heard.round_trip, in_flight=sent.on_their_way, gaps=bool(sent.again)
        )
        self.messages.note_arrived(heard.messages)
        if self.is_wanting and self.messages.size <= self.host.limits.unsent // 2:
            self.is_wanting = False
            self.host.tell_room()
        self.work()
        return heard.sent

    # -- conditions and times

    def is_done(self) -> bool:
        return not self.sent.waiting and not self.messages.queue

    def until_due(self) -> float:
        """Until there may be something to do. Nothing is learnt by looking all the time."""
        sent, now = self.sent, self.host.clock
        due = sent.due(self.session.rtt) - now
        if not self.messages.queue and not sent.again:
            return max(due, 0.0)
        session = self.session
        if session.is_held or not self.host.room or (sent.again and not session.may_be_asked):
            return max(min(due, _LATER), 0.0)
        if not sent.again and sent.waiting >= self.host.limits.window:
            return max(due, 0.0)
        return max(min(due, self._congestion().wait()), 0.0)

    # -- actions

    def look(self) -> None:
        """What has no receipt for too long is sent again."""
        now, sent = self.host.clock, self.sent
        if sent.due(self.session.rtt) <= now:
            sent.look(self.session.rtt)
        congestion = self._congestion()
        while self.ticked + TICK <= now:
            self.ticked = max(self.ticked + TICK, now - TICK)
            congestion.tick(now, sent.waiting, self.session.round_trip)
        self.work()

    def work(self) -> None:
        """Send what may be sent now."""
        if not self.session.is_held:
            room = min(self.host.room, self.host.limits.burst)
            room -= self._send_again(room)
            self._send_first(room)
        self.post(SendingInput.PLAN())

    def rest(self) -> None:
        """Of an idle session nothing is kept."""
        if self.congestion is not None and not self.congestion.is_active(self.host.clock):
            self.congestion = None

    # -- inside

    def _congestion(self) -> Congestion:
        if self.congestion is None:
            self.congestion = DelayWindow.begin(self.host.clock, self.session.round_trip)
            self.ticked = self.host.clock
        return self.congestion

    def _send_again(self, room: int) -> int:
        sent, congestion, now, done = self.sent, self._congestion(), self.host.clock, 0
        while sent.again and done < room and congestion.may_send_again(now) and self.session.may_be_asked:
            congestion.note_sent_again(now)
            flight = sent.next_again(now)
            if now - flight.first >= self.host.delays.dead and flight.times > _OFTEN:
                self.session.give_up()
                break
            self.session.note_asked()
            self.session.transmit(flight.datagram, "again")
            done += 1
        return done

    def _send_first(self, room: int) -> None:
        sent, congestion, now, limits = self.sent, self._congestion(), self.host.clock, self.host.limits
        room = min(room, limits.window - sent.waiting)
        while self.messages.queue and room > 0 and congestion.may_send(now, sent.on_their_way) > 0:
            message, body = self.messages.next()
            number = sent.next_id()
            datagram = self.session.seal(number, body)
            sent.add(number, datagram, message, now)
            congestion.note_sent()
            self.session.transmit(datagram, type(body).__name__)
            room -= 1


_S, _I, _C = SendingState, SendingInput, Sending


class SendingTimer:
    WORK = Timer(_I.DUE, _C.until_due)


_T = SendingTimer
_ANY: Final = (_S.RESTING, _S.BUSY)
_REF: Final = "sending"

SENDING: Final = Table[Sending, SendingState](
    Sending,
    SendingInput,
    SendingTimer,
    name="freenet.sending",
    initial=_S.RESTING,
    idle={
        _S.RESTING: "a message",
        _S.BUSY: "the end of the session: what is not acknowledged is sent again until then, ever more slowly",
    },
    rows=(
        Row(_ANY, _I.PLAN, _S.RESTING, when=_C.is_done, cancel=(_T.WORK,), ref=_REF),
        Row(_ANY, _I.PLAN, _S.BUSY, arm=(_T.WORK,), ref=_REF),
        Row(_S.BUSY, _I.DUE, None, _C.look, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
