"""One set of keys with a friend: what comes under it, and its two halves. docs/protocols/tox.rst, the session.

Which of a friend's sessions is in use is the business of the recovery core: a session here is told.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from ..component import Component, Note
from ..congestion import TICK
from ..contract import Instant
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..recovery import Route, Sealed
from ..recovery.window import Window
from ..snapshot import CACHED, MEMO
from . import packets as p
from . import payloads, requests
from .keyring import Agreed
from .limits import NodeDelays
from .outgoing import CoreSession, Outgoing, OutgoingHost, SessionFriend
from .paths import Relayed, Way, name_of
from .windows import ReceiveWindow

UNUSED_ID: Final = Note("a packet whose id nobody uses", ref="receiving")
NOT_TOLD: Final = Note("an event was left out, too many wait", ref="the node")
NO_PAYLOAD: Final = Note("data without a payload", ref="receiving")
SENT_AGAIN: Final = Note("a lossless packet that was sent again", ref="acknowledging")

_KILL: Final = bytes([p.KILL])
_LOSSLESS_FROM, _LOSSLESS_TO = p.LOSSLESS.start, p.LOSSLESS.stop - 1
_REPLAY_SIZE: Final = 8192
"""Packets behind the newest one of which is known whether they came."""
_STEP: Final = 21_845
"""The lowest nonce that is looked for moves by a third of what two bytes tell apart."""
_AT_ONCE: Final = 256
"""Packets that waited behind a gap and are handed on in one call: of most the application learns nothing that it could
leave waiting, if a friend likes that."""
_ROUND: Final = 1 << 16
"""Nonces that two bytes tell apart."""
_ROUNDS: Final = 8
"""So many more of these are looked at for a packet that is far ahead."""
_NONCES: Final = (1 << 8 * p.NONCE_SIZE) - 1
_WIRE: Final = 0xFFFF_FFFF


class Arrived:
    """A Data packet, how it came, and what a session found in it. (Not attrs: this is the bulk path.)"""

    data: bytes
    way: Way
    counter: int
    """Its distance from the sender's first nonce."""
    buffer_start: int
    number: int
    payload: bytes
    session: Session
    """Of which it is, if that was looked for."""
    __slots__ = tuple(__annotations__)

    def __init__(self, data: bytes, way: Way) -> None:
        self.data, self.way = data, way

    def sealed(self, sid: bytes, route: Route) -> Sealed:
        """As the recovery core knows it."""
        return Sealed(sid, self.counter, len(self.data), route, self)


class SessionHost(OutgoingHost, Protocol):
    """What a session asks of its node."""

    def takes_packets(self) -> bool: ...
    def takes_lossy(self) -> bool: ...
    def note_stalled(self, session: Session) -> None: ...
    def confirm(self, session: Session, arrived: Arrived) -> None: ...
    def be_killed(self, session: Session) -> None: ...
    def try_others(self, arrived: Arrived) -> None: ...


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
    """It does not open."""
    NEXT = Input[SessionState, Arrived]()
    SIGN = Input[SessionState, Arrived]()
    """A list of nothing."""
    LOSSLESS = Input[SessionState, Arrived]()
    AGAIN = Input[SessionState, Arrived]()
    """A lossless packet that was sent again, though it is here: our acknowledgement was lost."""
    EMPTY = Input[SessionState, Arrived]()
    """Nothing but what it acknowledges."""
    LOSSY = Input[SessionState, Arrived]()
    REQUEST = Input[SessionState, Arrived]()
    KILL = Input[SessionState, Arrived]()
    OTHER = Input[SessionState, Arrived]()
    FIRST = Input[SessionState, Arrived]()
    """The packet that confirmed it."""
    BUSY = Input[SessionState, None]()
    OWES = Input[SessionState, None]()
    SENT = Input[SessionState, None]()
    """Something, while all is quiet."""
    WAITS = Input[SessionState, None]()
    TICK_DUE = Input[SessionState, None]()
    REQUEST_DUE = Input[SessionState, None]()
    QUIET_DUE = Input[SessionState, None]()
    PUMP_DUE = Input[SessionState, None]()
    LOOK_DUE = Input[SessionState, None]()
    RESUMED = Input[SessionState, None]()


class Session(Component[SessionState, SessionHost]):
    """A session, by the id that the recovery core gave it."""

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
    nonce: int
    """The lowest one that is looked for."""
    passed: int
    """Its distance from the first one."""
    highest: int
    """The newest packet that came, by its distance from the first nonce."""
    replay: Window | None
    """Which packets came that have no number of their own."""
    receiving: ReceiveWindow
    outgoing: Outgoing
    delivered: tuple[bytes, ...]
    """Ways by which lossless packets came since one was sent last."""
    listed: Instant
    """When a list came last."""
    is_owing: bool
    """A list of missing packets is due soon."""
    newest: Annotated[Way | None, MEMO]
    """The last of these ways."""
    friend: Annotated[SessionFriend, CACHED]
    core: Annotated[CoreSession, CACHED]
    sid: Annotated[bytes, CACHED]
    delays: Annotated[NodeDelays, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: SessionHost, sid: bytes) -> None:
        super().__init__(host)
        self.sid, self.delays = sid, host.delays
        self.key = self.own_key = self.peer_key = self.dht_key = self.handshake = b""
        self.was_sent = self.is_owing = False
        self.nonce = self.passed = 0
        self.highest, self.replay = -1, None
        self.receiving, self.outgoing = ReceiveWindow(), Outgoing(host, self)
        self.answered, self.listed, self.delivered, self.newest = 0.0, 0.0, (), None

    def begin(self, agreed: Agreed) -> None:
        """Its keys were agreed on."""
        self.key, self.dht_key = agreed.key, agreed.dht_key
        self.own_key, self.peer_key = agreed.draft.own.public, agreed.peer_key
        self.handshake, self.was_sent = agreed.handshake, agreed.was_sent
        self.outgoing.nonce = int.from_bytes(agreed.draft.base_nonce, "big")
        self.nonce = int.from_bytes(agreed.peer_base_nonce, "big")
        self.answered = self.host.clock

    # -- what others ask of it

    def seal_kill(self) -> bytes:
        """What tells the friend that the session is over."""
        return self.outgoing.seal(_KILL, self.outgoing.window.number)

    def seal_confirm(self) -> bytes:
        """What is sent until data comes: our handshake, unless it was sent just now, and a list of missing packets."""
        handshake, self.was_sent = b"" if self.was_sent else self.handshake, False
        return handshake + self.outgoing.seal(requests.NOTHING, 0)

    def be_busy(self) -> None:
        self.post(SessionInput.BUSY())

    def be_watched(self) -> None:
        SessionInput.SENT().act(self)

    def look_again(self) -> None:
        self.post(SessionInput.WAITS())

    # -- guards

    def is_foreign(self, arrived: Arrived, ahead: int = 0) -> bool:
        """Does a packet not open under these keys? If it does, what is in it is kept with it."""
        data, lowest = arrived.data, self.nonce
        distance = (((data[1] << 8 | data[2]) - lowest) & 0xFFFF) + ahead
        nonce = ((lowest + distance) & _NONCES).to_bytes(p.NONCE_SIZE, "big")
        clear = self.host.bulk.open(self.key, nonce, data)
        if clear is None:
            return True
        arrived.counter = self.passed + distance
        arrived.buffer_start, arrived.number, arrived.payload = payloads.read(clear)
        return False

    def is_ahead(self, arrived: Arrived) -> bool:
        """Does it open with a nonce that is further ahead than is looked for usually?"""
        return any(not self.is_foreign(arrived, number * _ROUND) for number in range(1, _ROUNDS + 1))

    def is_next(self, arrived: Arrived) -> bool:
        """Most packets are: the next lossless one, which says nothing new about ours."""
        receiving, payload = self.receiving, arrived.payload
        return (
            arrived.number == receiving.start & _WIRE
            and arrived.buffer_start == self.outgoing.window.start & _WIRE
            and not receiving.held
            and payload != b""
            and _LOSSLESS_FROM <= payload[0] <= _LOSSLESS_TO
            and self.host.takes_packets()
        )

    def is_sign(self, arrived: Arrived) -> bool:
        """Most that an idle session hears: the newest packet, and nothing is missing at either end."""
        return (
            arrived.payload == requests.NOTHING
            and arrived.counter > self.highest
            and arrived.number == self.receiving.start & _WIRE
            and arrived.buffer_start == self.outgoing.window.end & _WIRE
        )

    def is_empty(self, arrived: Arrived) -> bool:
        return arrived.payload == b""

    def is_acknowledgement_possible(self, arrived: Arrived) -> bool:
        return self.outgoing.window.is_possible(arrived.buffer_start)

    def is_lossless(self, arrived: Arrived) -> bool:
        return arrived.payload[0] in p.LOSSLESS

    def is_new_lossless(self, arrived: Arrived) -> bool:
        return self.is_lossless(arrived) and self.receiving.is_new(arrived.number)

    def is_sent_again(self, arrived: Arrived) -> bool:
        """Did it come before, and was sent again since? A copy that the network made is not newer than all before."""
        return arrived.counter > self.highest and not self.is_no_copy(arrived)

    def is_no_copy(self, arrived: Arrived) -> bool:
        return not self.is_lossless(arrived) or not self.receiving.is_known(arrived.number)

    def is_not_lossless(self, arrived: Arrived) -> bool:
        return not self.is_lossless(arrived)

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
        return self.outgoing.is_active

    def is_missing(self) -> bool:
        return self.receiving.is_missing

    def is_not_quiet(self) -> bool:
        return self.outgoing.last + self.delays.quiet > self.host.clock

    def until_quiet(self) -> float:
        return self.outgoing.last + self.delays.quiet - self.host.clock

    def pause(self) -> float:
        return self.outgoing.pause

    def patience(self) -> float:
        return self.outgoing.watch.patience

    def tick_after(self) -> float:
        return TICK

    # -- actions: what arrives

    def confirm(self, arrived: Arrived) -> None:
        """The first packet: the recovery core is told, and then it is looked at."""
        self.host.confirm(self, arrived)
        self.post(SessionInput.FIRST(arrived))

    def begin_life(self) -> None:
        """Its handshake is over."""
        self.handshake = self.own_key = b""

    def look_at_first(self, arrived: Arrived) -> None:
        self.take(OPENED, arrived)

    def try_others(self, arrived: Arrived) -> None:
        self.host.try_others(arrived)

    def hear(self, arrived: Arrived) -> None:
        """A packet that is genuine: what is newer than all before shows that the friend lives."""
        counter = arrived.counter
        if counter > self.highest:
            self.highest, friend = counter, self.friend
            friend.heard = self.host.clock
            friend.ways.note_heard(arrived.way)
            if self.core.silence.since is not None:
                self.core.note_heard()
            if counter - self.passed > 2 * _STEP:
                self.nonce += _STEP
                self.passed += _STEP
        elif isinstance(arrived.way, Relayed):
            self.friend.ways.note_relayed(arrived.way)
        if arrived.buffer_start != self.outgoing.window.start & _WIRE:
            self.outgoing.acknowledge(arrived.buffer_start, name_of(arrived.way))

    def jump(self, arrived: Arrived) -> None:
        """A packet was far ahead: those before it are not looked for any more."""
        ahead = (arrived.counter - self.passed) // _ROUND * _ROUND
        self.nonce += ahead
        self.passed += ahead

    def take_next(self, arrived: Arrived) -> None:
        """As what follows, where nothing waits."""
        if arrived.way is not self.newest or not self.is_owing:
            self._owe(arrived.way)
        receiving = self.receiving
        receiving.start = start = receiving.start + 1
        if receiving.end < start:
            receiving.end = start
        self.friend.take_payload(arrived.payload)

    def take_lossless(self, arrived: Arrived) -> None:
        if arrived.way is not self.newest or not self.is_owing:
            self._owe(arrived.way)
        receiving = self.receiving
        receiving.put(arrived.number, arrived.payload)
        self.hand_on()

    def take_again(self, arrived: Arrived) -> None:
        """It is acknowledged again."""
        self.host.count_note(SENT_AGAIN, self)
        self._owe(arrived.way)

    def note_empty(self) -> None:
        self.host.count_note(NO_PAYLOAD, self)

    def hand_on(self) -> None:
        """What is next in order. While the application takes no events it stays here and is not acknowledged, so that
        the friend stops."""
        for _ in range(_AT_ONCE):
            payload = self.receiving.next() if self.host.takes_packets() else None
            if payload is None:
                break
            self.friend.take_payload(payload)
        if self.receiving.has_next:
            self.host.note_stalled(self)

    def go_on(self) -> None:
        """The application takes events again."""
        self.hand_on()
        self.outgoing.send_request()

    def mark(self, arrived: Arrived) -> None:
        """A packet without a number of its own is not taken twice."""
        if self.replay is None:
            self.replay = Window(_REPLAY_SIZE)
        self.replay.mark(arrived.counter)

    def note_end(self, arrived: Arrived) -> None:
        """It tells which numbers there are."""
        self.receiving.note_end(arrived.number)
        if self.receiving.is_missing and not self.is_owing:
            self._owe(arrived.way)

    def take_lossy(self, arrived: Arrived) -> None:
        if self.host.takes_lossy():
            self.friend.take_payload(arrived.payload)
        else:
            self.host.count_note(NOT_TOLD, self)

    def read_request(self, arrived: Arrived) -> None:
        """Some packets of ours are missing, or none."""
        self.outgoing.read_request(arrived.buffer_start, arrived.payload[1:], name_of(arrived.way))
        self.note_listed(arrived)

    def note_listed(self, arrived: Arrived) -> None:
        """Whoever sends lists again and again may wait for an acknowledgement, and that of ours may be lost."""
        now, pause, self.listed = self.host.clock, self.host.clock - self.listed, self.host.clock
        if not self.is_owing and pause < 2 * self.delays.request and now - self.outgoing.last >= self.delays.request:
            self._owe(arrived.way)

    def be_killed(self) -> None:
        self.host.be_killed(self)

    def note_unused(self) -> None:
        self.host.count_note(UNUSED_ID, self)

    # -- actions: time

    def tick(self) -> None:
        self.outgoing.tick()

    def rest(self) -> None:
        self.outgoing.rest()

    def pump_again(self) -> None:
        self.outgoing.pump_again()

    def send_request(self) -> None:
        self.outgoing.send_request()

    def look_closer(self) -> None:
        self.outgoing.look_closer()

    def acknowledge(self) -> None:
        """By the ways by which packets came, too: who sends by one sees then that it works."""
        delivered, self.delivered, self.is_owing, self.newest = self.delivered, (), False, None
        if self.receiving.is_missing and not self.receiving.has_next:
            self.friend.ways.note_missing(self.receiving.start)
        self.outgoing.send_request(delivered)

    def give_up(self) -> None:
        """Nothing is sent any more, nor handed on."""
        self.is_owing, self.receiving, self.replay = False, ReceiveWindow(), None
        self.outgoing.give_up()

    # -- inside

    def _owe(self, way: Way) -> None:
        """A list of missing packets is due soon, by this way, too."""
        self.newest = way
        name = name_of(way)
        if name not in self.delivered:
            self.delivered = (*self.delivered, name)
        if not self.is_owing:
            self.is_owing = True
            SessionInput.OWES().act(self)


_S, _I, _C = SessionState, SessionInput, Session
_RECEIVING: Final = "receiving"


def _by_id(guards: Guards[Session, SessionState, Arrived, Arrived]) -> Guards[Session, SessionState, Arrived, None]:
    """What a packet is that was opened."""
    return (
        guards.need(_C.is_acknowledgement_possible, "an acknowledgement of what was not sent", ref=_RECEIVING)
        .give_if(_C.is_empty, _I.EMPTY, ref=_RECEIVING)
        .give_if(_C.is_new_lossless, _I.LOSSLESS, ref=_RECEIVING)
        .give_if(_C.is_sent_again, _I.AGAIN, ref="acknowledging")
        .need(_C.is_no_copy, "a lossless packet again", ref=_RECEIVING)
        .need(_C.is_not_lossless, "a number out of reach", ref=_RECEIVING)
        .need(_C.is_no_replay, "a replayed packet", ref=_RECEIVING)
        .give_if(_C.is_lossy, _I.LOSSY, ref=_RECEIVING)
        .give_if(_C.is_request, _I.REQUEST, ref="request lists")
        .give_if(_C.is_kill, _I.KILL, ref="restart")
        .give(_I.OTHER)
    )


DATA: Final = _by_id(
    Guards.of(Session, SessionState, Arrived, "data")
    .give_if(_C.is_foreign, _I.FOREIGN, ref=_RECEIVING)
    .give_if(_C.is_next, _I.NEXT, ref=_RECEIVING)
    .give_if(_C.is_sign, _I.SIGN, ref="request lists")
)
"""What a packet is that may be of a session."""

OPENED: Final = _by_id(Guards.of(Session, SessionState, Arrived, "opened data"))
"""What a packet is that a session opened."""


class SessionTimer:
    TICK = Timer(_I.TICK_DUE, _C.tick_after)
    REQUEST = Timer(_I.REQUEST_DUE, NodeDelays.acknowledge)
    REQUEST_AGAIN = Timer(_I.REQUEST_DUE, NodeDelays.missing)
    LOOK = Timer(_I.LOOK_DUE, _C.patience)
    QUIET = Timer(_I.QUIET_DUE, NodeDelays.quiet)
    QUIET_REST = Timer(_I.QUIET_DUE, _C.until_quiet)
    PUMP = Timer(_I.PUMP_DUE, _C.pause)


_T = SessionTimer
_ALL: Final = (_T.TICK, _T.REQUEST, _T.REQUEST_AGAIN, _T.LOOK, _T.QUIET, _T.QUIET_REST, _T.PUMP)
_FIRST: Final = _I.NEXT | _I.SIGN | _I.LOSSLESS | _I.LOSSY | _I.REQUEST | _I.OTHER
_OPEN: Final = (_S.CANDIDATE, _S.LIVE)
_ACKNOWLEDGING: Final = "acknowledging"

SESSION: Final = Table[Session, SessionState](
    Session,
    SessionInput,
    SessionTimer,
    name="tox.session",
    initial=_S.CANDIDATE,
    idle={
        _S.CANDIDATE: "the recovery core",
        _S.LIVE: "the friend, which ends it after silence",
        _S.REPLACED: "the recovery core",
    },
    rows=(
        Row(_S.CANDIDATE, _FIRST, None, _C.confirm, ref="restart"),
        Row(_OPEN, _I.KILL, None, _C.be_killed, ref="restart"),
        Row(_OPEN, _I.FOREIGN, None, _C.try_others, ref=_RECEIVING),
        Row(_S.LIVE, _I.FIRST, None, _C.look_at_first, ref="restart"),
        Row(_S.CANDIDATE, _I.PROMOTED, _S.LIVE, _C.begin_life, arm=(_T.QUIET,), ref="restart"),
        Row(_OPEN, _I.REPLACED, _S.REPLACED, _C.give_up, cancel=_ALL, ref="restart"),
        Row(_S.LIVE, _I.NEXT, None, _C.hear, _C.take_next, ref=_RECEIVING),
        Row(_S.LIVE, _I.SIGN, None, _C.hear, _C.mark, _C.note_listed, ref="request lists"),
        Row(_S.LIVE, _I.LOSSLESS, None, _C.hear, _C.take_lossless, ref=_RECEIVING),
        Row(_S.LIVE, _I.AGAIN, None, _C.hear, _C.take_again, ref=_ACKNOWLEDGING),
        Row(_S.LIVE, _I.EMPTY, None, _C.hear, _C.note_empty, ref=_RECEIVING),
        Row(_S.LIVE, _I.RESUMED, None, _C.go_on, ref=_RECEIVING),
        Row(_S.LIVE, _I.LOSSY, None, _C.hear, _C.mark, _C.note_end, _C.take_lossy, ref=_RECEIVING),
        Row(_S.LIVE, _I.REQUEST, None, _C.hear, _C.mark, _C.note_end, _C.read_request, ref="request lists"),
        Row(_S.LIVE, _I.OTHER, None, _C.hear, _C.mark, _C.note_unused, ref=_RECEIVING),
        Row(_S.LIVE, _I.BUSY, None, arm=(_T.TICK,), ref="congestion"),
        Row(_S.LIVE, _I.TICK_DUE, None, _C.tick, when=_C.is_active, arm=(_T.TICK,), ref="congestion"),
        Row(_S.LIVE, _I.TICK_DUE, None, _C.rest, ref="congestion"),
        Row(_S.LIVE, _I.WAITS, None, arm=(_T.PUMP,), ref="congestion"),
        Row(_S.LIVE, _I.PUMP_DUE, None, _C.pump_again, ref="congestion"),
        Row(_S.LIVE, _I.OWES, None, arm=(_T.REQUEST,), cancel=(_T.REQUEST_AGAIN,), ref=_ACKNOWLEDGING),
        Row(
            *(_S.LIVE, _I.REQUEST_DUE, None, _C.acknowledge),
            when=_C.is_missing,
            arm=(_T.REQUEST_AGAIN,),
            ref=_ACKNOWLEDGING,
        ),
        Row(
            *(_S.LIVE, _I.REQUEST_DUE, None, _C.acknowledge),
            cancel=(_T.QUIET_REST,),
            arm=(_T.QUIET,),
            ref=_ACKNOWLEDGING,
        ),
        Row(_S.LIVE, _I.SENT, None, cancel=(_T.QUIET_REST,), arm=(_T.LOOK, _T.QUIET), ref="ways"),
        Row(_S.LIVE, _I.LOOK_DUE, None, _C.look_closer, ref="ways"),
        Row(_S.LIVE, _I.QUIET_DUE, None, when=_C.is_not_quiet, arm=(_T.QUIET_REST,), ref=_ACKNOWLEDGING),
        Row(_S.LIVE, _I.QUIET_DUE, None, _C.send_request, cancel=(_T.QUIET_REST,), arm=(_T.QUIET,), ref=_ACKNOWLEDGING),
    ),
    defaults=(
        Default(
            *(Outcome.IGNORE, "late data of a replaced session"),
            *(_I.NEXT, _I.SIGN, _I.LOSSLESS, _I.AGAIN, _I.EMPTY, _I.LOSSY, _I.REQUEST, _I.KILL, _I.OTHER),
            states=(_S.REPLACED,),
        ),
        Default(Outcome.IGNORE, "data without a payload", _I.EMPTY, states=(_S.CANDIDATE,)),
        Default(Outcome.IGNORE, "late"),
    ),
)
