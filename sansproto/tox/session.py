"""One set of keys with a friend: its packets, their numbers and acknowledgements. docs/protocols/tox.rst, the session.

Which of a friend's sessions is in use is the business of the recovery core: a session here is told.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Annotated, Any, Final, Protocol

import attrs

from ..component import Component, Host, Note, Refusal
from ..contract import Instant
from ..errors import WireError
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..recovery.window import Window
from ..snapshot import CACHED
from . import packets as p
from . import payloads
from .congestion import TICK, Congestion
from .crypto import open_sealed, seal
from .keyring import Agreed
from .limits import NodeDelays, NodeLimits
from .windows import SIZE, ReceiveWindow, SendWindow

QUEUE_FULL: Final = Refusal("too many packets wait for the friend", ref="sending")
UNUSED_ID: Final = Note("a packet whose id nobody uses", ref="receiving")

_REQUEST: Final = bytes([p.REQUEST])
_DATA: Final = bytes([p.Data.__wire__.id or 0])
_ALIVE: Final = bytes([p.Alive.__wire__.id or 0])
_LOSSLESS_FROM, _LOSSLESS_TO = p.LOSSLESS.start, p.LOSSLESS.stop - 1
_REPLAY_SIZE: Final = 8192
"""Packets behind the newest one of which is known whether they came."""
_STEP: Final = 21_845
"""The lowest nonce that is looked for moves by a third of what two bytes tell apart."""
_NONCES: Final = (1 << 8 * p.NONCE_SIZE) - 1
_WIRE: Final = 0xFFFF_FFFF
_OVERHEAD: Final = 34
"""Bytes by which a packet is longer than its payload, at most."""
_ROUND_TRIP: Final = 1.0
"""Before anything was acknowledged."""
_RELAYED: Final = 0.5
"""The round trip that is taken for relays."""
_MOST_SECONDS: Final = 5.0
"""So much of the present rate may wait for acknowledgement."""
_SLOW: Final = 4.0
"""Lossless packets per second, up to which acknowledgements take their time."""
_GAP_WEIGHT: Final = 0.0125


@attrs.define(eq=False, weakref_slot=False)
class Arrived:
    """A Data packet, how it came, and what a session found in it."""

    data: bytes
    way: Any
    counter: int = -1
    """Its distance from the sender's first nonce."""
    buffer_start: int = 0
    number: int = 0
    payload: bytes = b""


class SessionHost(Host[Any], Protocol):
    """What a session asks of its node."""

    delays: NodeDelays
    limits: NodeLimits

    def way_to(self, friend: bytes, size: int) -> Any: ...
    def put(self, way: Any, data: bytes) -> None: ...
    def is_direct(self, friend: bytes) -> bool: ...
    def expect_answer(self, sid: bytes) -> None: ...
    def note_life(self, session: Session, way: Any) -> None: ...
    def note_pong(self, sid: bytes, value: bytes, seconds: float) -> None: ...
    def confirm(self, session: Session, arrived: Arrived) -> None: ...
    def be_killed(self, session: Session) -> None: ...
    def try_others(self, arrived: Arrived) -> None: ...
    def takes_packets(self, session: Session) -> bool: ...
    def hand_on(self, session: Session, payload: bytes) -> None: ...
    def tell_delivered(self, session: Session, message: int) -> None: ...
    def tell_writable(self, session: Session) -> None: ...


class SessionState(Enum):
    CANDIDATE = 0
    """Nothing came under it yet."""
    LIVE = 1
    """It is in use."""
    REPLACED = 2
    """It is not any more: what still comes is late."""


class SessionInput:
    PROMOTED = Input[SessionState, None]()
    REPLACED = Input[SessionState, None]()
    FOREIGN = Input[SessionState, Arrived]()
    LOSSLESS = Input[SessionState, Arrived]()
    LOSSY = Input[SessionState, Arrived]()
    REQUEST = Input[SessionState, Arrived]()
    KILL = Input[SessionState, Arrived]()
    OTHER = Input[SessionState, Arrived]()
    FIRST = Input[SessionState, Arrived]()
    BUSY = Input[SessionState, None]()
    OWES = Input[SessionState, None]()
    WAITS = Input[SessionState, None]()
    TICK_DUE = Input[SessionState, None]()
    REQUEST_DUE = Input[SessionState, None]()
    QUIET_DUE = Input[SessionState, None]()
    PUMP_DUE = Input[SessionState, None]()
    RESUMED = Input[SessionState, None]()


class Session(Component[SessionState, SessionHost]):
    """A session, by the id that the recovery core gave it."""

    friend: bytes
    """The friend's real key."""
    key: bytes
    own_key: bytes
    """Our public key of it."""
    peer_key: bytes
    """The friend's public key of it."""
    dht_key: bytes
    """The DHT key that the friend has in it."""
    handshake: bytes
    """Ours, which is sent again until data comes."""
    was_sent: bool
    """It was sent just now."""
    answered: Instant
    """When the friend's handshake was answered last."""
    send_nonce: int
    sent: int
    """Packets that were sealed."""
    receive_nonce: int
    """The lowest one that is looked for."""
    passed: int
    """Its distance from the first one."""
    highest: int
    """The newest packet that came, by its distance from the first nonce."""
    replay: Window | None
    """Which packets came that have no number of their own."""
    sending: SendWindow
    receiving: ReceiveWindow
    congestion: Congestion | None
    queue: deque[tuple[bytes, int]] | None
    """Packets that may not be sent yet, and which message each is: 0 is none."""
    receipts: deque[tuple[int, int]] | None
    """The number behind each message that is on its way, and the message."""
    pings: deque[tuple[int, bytes]] | None
    """What the recovery core asked, and the number behind the packet that was sent for it."""
    round_trip: float
    last_sent: Instant
    last_request: Instant
    counted: int
    """Lossless packets that came since they were counted last."""
    counted_since: Instant
    is_busy: bool
    """It looks at its rate again and again."""
    is_owing: bool
    """A list of missing packets is due soon."""
    is_pumping: bool
    """What waits is looked at again soon."""
    is_wanting: bool
    """A packet was refused."""
    sid: Annotated[bytes, CACHED]
    delays: Annotated[NodeDelays, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: SessionHost, sid: bytes) -> None:
        super().__init__(host)
        self.sid, self.delays = sid, host.delays
        self.friend = self.key = self.own_key = self.peer_key = self.dht_key = self.handshake = b""
        self.was_sent = self.is_busy = self.is_owing = self.is_pumping = self.is_wanting = False
        self.send_nonce = self.sent = self.receive_nonce = self.passed = self.counted = 0
        self.highest, self.replay, self.congestion = -1, None, None
        self.sending, self.receiving = SendWindow(), ReceiveWindow()
        self.queue = self.receipts = self.pings = None
        self.round_trip = _ROUND_TRIP
        self.answered = self.last_sent = self.last_request = self.counted_since = 0.0

    def begin(self, agreed: Agreed) -> None:
        """Its keys were agreed on."""
        self.friend, self.key, self.dht_key = agreed.friend, agreed.key, agreed.dht_key
        self.own_key, self.peer_key = agreed.draft.own.public, agreed.peer_key
        self.handshake, self.was_sent = agreed.handshake, agreed.was_sent
        self.send_nonce = int.from_bytes(agreed.draft.base_nonce, "big")
        self.receive_nonce = int.from_bytes(agreed.peer_base_nonce, "big")
        self.answered = self.host.clock

    # -- what others ask of it

    @property
    def waiting(self) -> int:
        """Lossless packets that the friend has not acknowledged."""
        return self.sending.waiting + len(self.queue or ())

    def send(self, payload: bytes, message: int = 0) -> bool:
        """Send a lossless packet of the application, now or as soon as it may be; False if too many wait."""
        if not self.queue:
            way = self._way_for_next(len(payload))
            if way is not None:
                self._send_first(payload, message, way)
                return True
        return self._enqueue(payload, message)

    def send_at_once(self, payload: bytes) -> None:
        """Send a lossless packet of the node itself: it waits for nothing. Where no way leads to the friend, it is sent
        when it is asked for."""
        self._send_alone(payload)
        self._be_busy()

    def send_lossy(self, payload: bytes) -> bool:
        """Send a packet that may be lost; False if it is lost already."""
        return self._put(payload, self.sending.number)

    def send_alive(self, value: bytes = b"") -> None:
        """A sign of life. With a value the recovery core is told when it is acknowledged."""
        self._send_alone(_ALIVE)
        if value:
            pings = self.pings = deque() if self.pings is None else self.pings
            pings.append((self.sending.end, value))

    def send_request(self) -> None:
        """Say what is missing; all that is not is acknowledged by that."""
        self.last_request = self.host.clock
        self._put(self.receiving.request(), self.sending.number)

    def seal_kill(self) -> bytes:
        """What tells the friend that the session is over."""
        return self._seal(bytes([p.KILL]), self.sending.number)

    def seal_confirm(self) -> bytes:
        """What is sent until data comes: our handshake, unless it was sent just now, and a list of missing packets."""
        handshake, self.was_sent = b"" if self.was_sent else self.handshake, False
        return handshake + self._seal(_REQUEST, 0)

    def pump(self) -> None:
        """Send what waits, as far as it may be sent."""
        if self.sending.asked:
            self._send_asked()
        queue = self.queue
        if not queue:
            return
        while queue and (way := self._way_for_next(len(queue[0][0]))) is not None:
            self._send_first(*queue.popleft(), way)
        if self.is_wanting and len(queue) <= self.host.limits.queue // 2:
            self.is_wanting = False
            self.host.tell_writable(self)
        self._look_again()

    def take_undelivered(self) -> tuple[list[int], list[bytes]]:
        """Messages and custom packets that are not known to have arrived: they are given up."""
        queue = self.queue or ()
        messages = [message for _, message in (*(self.receipts or ()), *queue) if message]
        left = [*self.sending.take_all(), *(payload for payload, _ in queue)]
        self.queue = self.receipts = self.pings = None
        return messages, [payload for payload in left if payload[0] in p.CUSTOM_LOSSLESS]

    def open(self, arrived: Arrived) -> bool:
        """Does a packet open under these keys? What is in it is kept with it."""
        data = arrived.data
        distance = ((data[1] << 8 | data[2]) - self.receive_nonce) & 0xFFFF
        nonce = ((self.receive_nonce + distance) & _NONCES).to_bytes(p.NONCE_SIZE, "big")
        try:
            clear = open_sealed(self.key, nonce, data[3:])
        except WireError:
            return False
        arrived.counter = self.passed + distance
        arrived.buffer_start, arrived.number, arrived.payload = payloads.read(clear)
        return True

    # -- guards

    def is_foreign(self, arrived: Arrived) -> bool:
        return not self.open(arrived)

    def has_payload(self, arrived: Arrived) -> bool:
        return arrived.payload != b""

    def is_acknowledgement_possible(self, arrived: Arrived) -> bool:
        return self.sending.is_possible(arrived.buffer_start)

    def is_new_lossless(self, arrived: Arrived) -> bool:
        return _LOSSLESS_FROM <= arrived.payload[0] <= _LOSSLESS_TO and self.receiving.is_new(arrived.number)

    def is_not_lossless(self, arrived: Arrived) -> bool:
        return not _LOSSLESS_FROM <= arrived.payload[0] <= _LOSSLESS_TO

    def is_no_replay(self, arrived: Arrived) -> bool:
        return self.replay is None or self.replay.is_new(arrived.counter)

    def is_lossy(self, arrived: Arrived) -> bool:
        return arrived.payload[0] in p.LOSSY

    def is_request(self, arrived: Arrived) -> bool:
        return arrived.payload[0] == p.REQUEST

    def is_kill(self, arrived: Arrived) -> bool:
        return arrived.payload[0] == p.KILL

    # -- conditions and times

    def is_active(self) -> bool:
        """Was something sent lately, or does it wait?"""
        congestion = self.congestion
        return bool(self.queue or self.sending.packets) or (congestion is not None and congestion.is_active)

    def is_early(self) -> bool:
        return self.until_request() > 0.0

    def is_not_quiet(self) -> bool:
        return self.until_quiet() > 0.0

    def until_request(self) -> float:
        """How long a list of missing packets has time. docs/protocols/tox.rst, acknowledging."""
        passed = max(self.host.clock - self.counted_since, self.delays.acknowledge)
        rate, most = self.counted / passed, self.delays.request
        if rate > _SLOW:
            gap = _GAP_WEIGHT * (rate + 1.0) / (self.receiving.span + 1.0)
            most = min(gap, _SLOW / rate + self.delays.acknowledge, most)
        return self.last_request + max(most, self.delays.acknowledge) - self.host.clock

    def until_quiet(self) -> float:
        return self.last_sent + self.delays.quiet - self.host.clock

    def pause(self) -> float:
        """Until there may be tokens, if it is these that lack."""
        congestion = self.congestion
        return TICK if congestion is None or congestion.left >= 1.0 else congestion.wait

    def tick_after(self) -> float:
        return TICK

    # -- actions: what arrives

    def confirm(self, arrived: Arrived) -> None:
        """The first packet: the recovery core is told, and then it is looked at."""
        self.host.confirm(self, arrived)
        self.post(SessionInput.FIRST(arrived))

    def look_at_first(self, arrived: Arrived) -> None:
        self.take(OPENED, arrived)

    def try_others(self, arrived: Arrived) -> None:
        self.host.try_others(arrived)

    def hear(self, arrived: Arrived) -> None:
        """A packet that is genuine: what is newer than all before shows that the friend lives."""
        counter = arrived.counter
        if counter > self.highest:
            self.highest = counter
            self.host.note_life(self, arrived.way)
            if counter - self.passed > 2 * _STEP:
                self.receive_nonce += _STEP
                self.passed += _STEP
        seconds = self.sending.acknowledge(arrived.buffer_start, self.host.clock)
        if seconds is not None:
            self._note_acknowledged(seconds)

    def take_lossless(self, arrived: Arrived) -> None:
        receiving = self.receiving
        receiving.put(arrived.number, arrived.payload)
        self.counted += 1
        if not self.is_owing:
            self._owe(1)
        self.hand_on()

    def hand_on(self) -> None:
        """What is next in order. While the application takes no events it stays here and is not acknowledged, so that
        the friend stops."""
        host, receiving = self.host, self.receiving
        while host.takes_packets(self) and (payload := receiving.next()) is not None:
            host.hand_on(self, payload)

    def go_on(self) -> None:
        """The application takes events again."""
        self.hand_on()
        self.send_request()

    def mark(self, arrived: Arrived) -> None:
        """A packet without a number of its own is not taken twice. It tells which numbers there are."""
        if self.replay is None:
            self.replay = Window(_REPLAY_SIZE)
        self.replay.mark(arrived.counter)

    def note_end(self, arrived: Arrived) -> None:
        self.receiving.note_end(arrived.number)
        if self.receiving.is_missing and not self.is_owing:
            self._owe(0)

    def take_lossy(self, arrived: Arrived) -> None:
        self.host.hand_on(self, arrived.payload)

    def read_request(self, arrived: Arrived) -> None:
        gate = self.round_trip if self.host.is_direct(self.friend) else _RELAYED
        seconds = self.sending.read_request(arrived.buffer_start, arrived.payload[1:], self.host.clock, gate)
        if seconds is not None:
            self.round_trip = min(self.round_trip, seconds)
        self.pump()

    def be_killed(self) -> None:
        self.host.be_killed(self)

    def note_unused(self) -> None:
        self.host.count_note(UNUSED_ID, self)

    # -- actions: time

    def tick(self) -> None:
        congestion = self._congestion()
        congestion.tick(self.host.clock, self.sending.waiting, self.round_trip)
        if self.sending.waiting and self.host.clock - self.last_request >= self.delays.request:
            self.send_request()
        self.pump()

    def rest(self) -> None:
        self.is_busy, self.congestion = False, None

    def acknowledge(self) -> None:
        self.is_owing = False
        self.send_request()
        if self.receiving.is_missing:
            self._owe(0)

    def pump_again(self) -> None:
        self.is_pumping = False
        self.pump()

    def give_up(self) -> None:
        """Nothing is sent any more, nor handed on."""
        self.is_busy = self.is_owing = self.is_pumping = self.is_wanting = False
        self.take_undelivered()
        self.receiving, self.replay, self.congestion = ReceiveWindow(), None, None

    def begin_quiet(self) -> None:
        self.last_sent = self.host.clock

    # -- inside

    def _congestion(self) -> Congestion:
        if self.congestion is None:
            self.congestion = Congestion(filled=self.host.clock)
        return self.congestion

    def _way_for_next(self, size: int) -> Any:
        """How the next packet may be sent now; None: it has to wait."""
        congestion, sending = self.congestion or self._congestion(), self.sending
        if not congestion.may_send(self.host.clock):
            return None
        waiting = sending.end - sending.start
        if waiting >= self.host.limits.window or waiting > _MOST_SECONDS * congestion.rate + 64:
            return None
        return self.host.way_to(self.friend, size + _OVERHEAD)

    def _send_first(self, payload: bytes, message: int, way: Any) -> None:
        sending, congestion = self.sending, self.congestion
        assert congestion is not None  # it was asked
        number = sending.add(payload, self.host.clock)
        congestion.note_sent()
        if message:
            receipts = self.receipts = deque() if self.receipts is None else self.receipts
            receipts.append((sending.end, message))
        self.last_sent = self.host.clock
        self.host.put(way, self._seal(payload, number))
        self.host.expect_answer(self.sid)
        if not self.is_busy:
            self._be_busy()

    def _send_alone(self, payload: bytes) -> None:
        number = self.sending.add(payload, self.host.clock)
        self._put(payload, number)
        self.host.expect_answer(self.sid)

    def _be_busy(self) -> None:
        """Look again and again whether all has arrived."""
        if not self.is_busy:
            self.is_busy = True
            self.post(SessionInput.BUSY())

    def _enqueue(self, payload: bytes, message: int) -> bool:
        queue = self.queue
        if queue is None:
            queue = self.queue = deque()
        if len(queue) >= self.host.limits.queue:
            self.is_wanting = True
            self.host.count_refusal(QUEUE_FULL, self)
            return False
        queue.append((payload, message))
        self._look_again()
        return True

    def _send_asked(self) -> None:
        congestion, now = self._congestion(), self.host.clock
        while congestion.may_send_again(now) and (way := self.host.way_to(self.friend, p.MAX_PACKET)) is not None:
            found = self.sending.next_asked(now)
            if found is None:
                return
            congestion.note_sent_again(now)
            self.host.put(way, self._seal(found[1], found[0]))
            self.host.expect_answer(self.sid)
            self.last_sent = now
        self._look_again()

    def _look_again(self) -> None:
        """What waits is looked at again when there may be tokens."""
        if not self.is_pumping:
            self.is_pumping = True
            self.post(SessionInput.WAITS())

    def _put(self, payload: bytes, number: int) -> bool:
        """Send a packet, if there is a way; else no nonce is used."""
        way = self.host.way_to(self.friend, len(payload) + _OVERHEAD)
        if way is None:
            return False
        self.last_sent = self.host.clock
        self.host.put(way, self._seal(payload, number))
        return True

    def _seal(self, payload: bytes, number: int) -> bytes:
        nonce = (self.send_nonce & _NONCES).to_bytes(p.NONCE_SIZE, "big")
        self.send_nonce += 1
        self.sent += 1
        return _DATA + nonce[22:] + seal(self.key, nonce, payloads.write(self.receiving.start & _WIRE, number, payload))

    def _owe(self, counted: int) -> None:
        """A list of missing packets is due soon; so many lossless ones were counted since the last one."""
        self.is_owing, self.counted_since, self.counted = True, self.host.clock, counted
        self.post(SessionInput.OWES())

    def _note_acknowledged(self, seconds: float) -> None:
        self.round_trip = min(self.round_trip, seconds)
        start = self.sending.start
        while self.receipts and self.receipts[0][0] <= start:
            self.host.tell_delivered(self, self.receipts.popleft()[1])
        while self.pings and self.pings[0][0] <= start:
            self.host.note_pong(self.sid, self.pings.popleft()[1], self.round_trip)
        if self.queue or self.sending.asked:
            self.pump()


_S, _I, _C = SessionState, SessionInput, Session
_RECEIVING: Final = "receiving"


def _by_id(guards: Guards[Session, SessionState, Arrived, Arrived]) -> Guards[Session, SessionState, Arrived, None]:
    """What a packet is that was opened."""
    return (
        guards.need(_C.has_payload, "data without a payload", ref=_RECEIVING)
        .need(_C.is_acknowledgement_possible, "an acknowledgement of what was not sent", ref=_RECEIVING)
        .give_if(_C.is_new_lossless, _I.LOSSLESS, ref=_RECEIVING)
        .need(_C.is_not_lossless, "a lossless packet again", ref=_RECEIVING)
        .need(_C.is_no_replay, "a replayed packet", ref=_RECEIVING)
        .give_if(_C.is_lossy, _I.LOSSY, ref=_RECEIVING)
        .give_if(_C.is_request, _I.REQUEST, ref="request lists")
        .give_if(_C.is_kill, _I.KILL, ref="restart")
        .give(_I.OTHER)
    )


DATA: Final = _by_id(
    Guards.of(Session, SessionState, Arrived, "data").give_if(_C.is_foreign, _I.FOREIGN, ref=_RECEIVING)
)
"""What a packet is that may be of a session."""

OPENED: Final = _by_id(Guards.of(Session, SessionState, Arrived, "opened data"))
"""What a packet is that a session opened."""


class SessionTimer:
    TICK = Timer(_I.TICK_DUE, _C.tick_after)
    REQUEST = Timer(_I.REQUEST_DUE, NodeDelays.acknowledge)
    REQUEST_LATER = Timer(_I.REQUEST_DUE, _C.until_request)
    QUIET = Timer(_I.QUIET_DUE, NodeDelays.quiet)
    QUIET_REST = Timer(_I.QUIET_DUE, _C.until_quiet)
    PUMP = Timer(_I.PUMP_DUE, _C.pause)


_T = SessionTimer
_ALL: Final = (_T.TICK, _T.REQUEST, _T.REQUEST_LATER, _T.QUIET, _T.QUIET_REST, _T.PUMP)
_FIRST: Final = _I.LOSSLESS | _I.LOSSY | _I.REQUEST | _I.OTHER
_ACKNOWLEDGING: Final = "acknowledging"

SESSION: Final = Table[Session, SessionState](
    Session,
    SessionInput,
    SessionTimer,
    name="tox.session",
    initial=_S.CANDIDATE,
    idle={_S.CANDIDATE: "the recovery core", _S.REPLACED: "the recovery core"},
    rows=(
        Row(_S.CANDIDATE, _FIRST, None, _C.confirm, ref="restart"),
        Row((_S.CANDIDATE, _S.LIVE), _I.KILL, None, _C.be_killed, ref="restart"),
        Row((_S.CANDIDATE, _S.LIVE), _I.FOREIGN, None, _C.try_others, ref=_RECEIVING),
        Row(_S.LIVE, _I.FIRST, None, _C.look_at_first, ref="restart"),
        Row(_S.CANDIDATE, _I.PROMOTED, _S.LIVE, _C.begin_quiet, arm=(_T.QUIET,), ref="restart"),
        Row((_S.CANDIDATE, _S.LIVE), _I.REPLACED, _S.REPLACED, _C.give_up, cancel=_ALL, ref="restart"),
        Row(_S.LIVE, _I.LOSSLESS, None, _C.hear, _C.take_lossless, ref=_RECEIVING),
        Row(_S.LIVE, _I.RESUMED, None, _C.go_on, ref=_RECEIVING),
        Row(_S.LIVE, _I.LOSSY, None, _C.hear, _C.mark, _C.note_end, _C.take_lossy, ref=_RECEIVING),
        Row(_S.LIVE, _I.REQUEST, None, _C.hear, _C.mark, _C.note_end, _C.read_request, ref="request lists"),
        Row(_S.LIVE, _I.OTHER, None, _C.hear, _C.mark, _C.note_unused, ref=_RECEIVING),
        Row(_S.LIVE, _I.BUSY, None, arm=(_T.TICK,), ref="congestion"),
        Row(_S.LIVE, _I.TICK_DUE, None, _C.tick, when=_C.is_active, arm=(_T.TICK,), ref="congestion"),
        Row(_S.LIVE, _I.TICK_DUE, None, _C.rest, ref="congestion"),
        Row(_S.LIVE, _I.WAITS, None, arm=(_T.PUMP,), ref="congestion"),
        Row(_S.LIVE, _I.PUMP_DUE, None, _C.pump_again, ref="congestion"),
        Row(_S.LIVE, _I.OWES, None, arm=(_T.REQUEST,), ref=_ACKNOWLEDGING),
        Row(_S.LIVE, _I.REQUEST_DUE, None, when=_C.is_early, arm=(_T.REQUEST_LATER,), ref=_ACKNOWLEDGING),
        Row(_S.LIVE, _I.REQUEST_DUE, None, _C.acknowledge, ref=_ACKNOWLEDGING),
        Row(_S.LIVE, _I.QUIET_DUE, None, when=_C.is_not_quiet, arm=(_T.QUIET_REST,), ref=_ACKNOWLEDGING),
        Row(_S.LIVE, _I.QUIET_DUE, None, _C.send_request, arm=(_T.QUIET,), ref=_ACKNOWLEDGING),
    ),
    defaults=(
        Default(
            *(Outcome.IGNORE, "late data of a replaced session", _I.LOSSLESS, _I.LOSSY, _I.REQUEST, _I.KILL, _I.OTHER),
            states=(_S.REPLACED,),
        ),
        Default(Outcome.IGNORE, "late"),
    ),
)
