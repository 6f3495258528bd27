"""What a session sends: numbers, nonces, and when. docs/protocols/tox.rst, sending."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Final, Protocol, TypeAlias

from ..component import Host, Note, Part, Refusal
from ..congestion import TICK, Congestion, DelayWindow
from ..contract import Instant, Path
from ..rates import Level, Rate
from ..recovery.silence import Silence
from ..snapshot import CACHED
from . import packets as p
from . import payloads
from .crypto import Bulk
from .formulas import Formulas
from .limits import NodeDelays, NodeLimits
from .paths import Direct, Relayed, Several, Way, Ways, name_of
from .tracks import MOST_RTT, UDP
from .watch import Watch
from .windows import SMALL, Heard, ReceiveWindow, SendWindow

QUEUE_FULL: Final = Refusal("too many packets wait for the friend", ref="sending")
TOO_MANY_LISTS: Final = Note("a list of missing packets too soon behind others", ref="what others can use up")

Target: TypeAlias = Direct | Relayed | Several
"""How a packet goes."""

_ALIVE: Final = bytes([p.Alive.__wire__.id or 0])
_NONCES: Final = (1 << 8 * p.NONCE_SIZE) - 1
_WIRE: Final = 0xFFFF_FFFF
_ROUND_TRIP: Final = 1.0
"""Before anything was acknowledged."""
_RELAYED: Final = 0.5
"""The shortest round trip that is taken for relays."""
_MOST_SECONDS: Final = 5.0
"""So much of the present rate may wait for acknowledgement, and a few more."""
_FEW: Final = 64
_LISTS: Final = Rate(200.0, 100.0)
"""Lists of missing packets that are read: no friend sends more than 20 in a second by each way, and a long one costs as
much as 50 packets."""
_OVERHEAD: Final = 34
"""Bytes by which a packet is longer than its payload, at most."""


class Pace(Enum):
    """How it is found out how fast packets may be sent. docs/protocols/tox.rst, congestion."""

    DELAY = 0
    """By how long they wait in queues: others who use the same way get their share, and their packets do not wait."""
    FORMULAS = 1
    """As toxcore does."""


_PACES: Final[Mapping[Pace, type[DelayWindow | Formulas]]] = {Pace.DELAY: DelayWindow, Pace.FORMULAS: Formulas}


class OutgoingHost(Host[Any], Protocol):
    """What is asked of the node."""

    delays: NodeDelays
    limits: NodeLimits
    pace: Pace
    bulk: Bulk

    @property
    def room_for_bulk(self) -> int: ...
    def put(self, way: Target, data: bytes) -> None: ...
    def probe(self, friend: bytes, path: Path) -> None: ...
    def wait_for_room(self, friend: bytes) -> None: ...


class SessionFriend(Protocol):
    """What is asked of the friend that a session is with."""

    heard: Instant

    @property
    def key(self) -> bytes: ...
    @property
    def ways(self) -> Ways: ...
    def take_payload(self, payload: bytes) -> None: ...
    def tell_delivered(self, message: int) -> None: ...
    def tell_writable(self) -> None: ...


class CoreSession(Protocol):
    """What is asked of the session that stands for this one in the recovery core."""

    @property
    def silence(self) -> Silence: ...
    def forget_pings(self) -> None: ...
    def note_sent(self, *, is_watched: bool = False) -> None: ...
    def await_answer(self) -> None: ...
    def note_heard(self) -> None: ...
    def note_answered(self, value: bytes, seconds: float | None = None) -> None: ...


class SendingSession(Protocol):
    """What is asked of the session itself."""

    key: bytes
    receiving: ReceiveWindow
    friend: Annotated[SessionFriend, CACHED]
    core: Annotated[CoreSession, CACHED]

    def be_busy(self) -> None: ...
    def be_watched(self) -> None: ...
    def look_again(self) -> None: ...


class Outgoing(Part[OutgoingHost]):
    """The sending half of a session."""

    nonce: int
    """Of the next packet."""
    sealed: int
    """Packets so far."""
    window: SendWindow
    congestion: DelayWindow | Formulas | None
    queue: deque[tuple[bytes, int]] | None
    """Packets that may not be sent yet, and which message each is: 0 is none."""
    receipts: deque[tuple[int, int]] | None
    """The number behind each message that is on its way, and the message."""
    own: deque[int] | None
    """The number behind each packet of the node itself that is on its way."""
    withheld: dict[int, bytes] | None
    """The newest packet of each kind, by its id, that is of the node itself and has no room yet."""
    pings: list[tuple[int, bytes]] | None
    """What the recovery core asked, and the number behind the packet that was sent for it."""
    lists: Level
    """What is left of lists that are read."""
    round_trip: float
    """The shortest so far."""
    recent: float
    """The newest one."""
    last: Instant
    """When something was sent."""
    last_request: Instant
    turn: int
    """So many packets more may go now by the direct path."""
    turn_at: Instant
    """When that was found."""
    is_busy: bool
    """Its rate is looked at again and again."""
    look: Instant | None
    """When what waits is looked at again."""
    is_wanting: bool
    """A packet was refused."""
    watch: Watch
    session: Annotated[SendingSession, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: OutgoingHost, session: SendingSession) -> None:
        super().__init__(host)
        self.session, self.window, self.congestion, self.watch = session, SendWindow(), None, Watch(host, self)
        self.nonce = self.sealed = 0
        self.queue = self.receipts = self.own = self.withheld = self.pings = None
        self.lists = Level(_LISTS.burst, 0.0)
        self.round_trip = self.recent = _ROUND_TRIP
        self.last = self.last_request = 0.0
        self.is_busy = self.is_wanting = False
        self.look = None
        self.turn, self.turn_at = 0, 0.0

    @property
    def unacknowledged(self) -> int:
        """Lossless packets that the friend has not acknowledged, sent or not."""
        return self.window.waiting + len(self.queue or ())

    @property
    def most(self) -> int:
        """No more packets are taken now than these: what the rate and the room of any way let go, and what may wait."""
        limits, waiting = self.host.limits, len(self.queue or ())
        if waiting:
            return limits.queue - waiting
        room = max(self.host.room_for_bulk, limits.unsent // _OVERHEAD)
        congestion = self.congestion or self._new_congestion()
        return limits.queue + min(congestion.most(self.host.clock, self.window.in_flight), room)

    # -- packets of the application

    def send(self, payload: bytes, message: int = 0) -> bool:
        """Send a lossless packet, now or as soon as it may be; False if too many wait."""
        if not self.queue and (way := self._next_way(len(payload))) is not None:
            self._send_first(payload, message, way)
            return True
        return self._enqueue(payload, message)

    def send_many(self, payloads: Sequence[bytes]) -> int:
        """Send as many as are taken, from the first one on; how many those are."""
        for count, payload in enumerate(payloads):
            if not self.send(payload):
                return count
        return len(payloads)

    def send_lossy(self, payload: bytes) -> bool:
        """Send a packet that may be lost; False if it is lost already."""
        return self._put(payload, self.window.number)

    # -- packets of the node itself

    def send_at_once(self, payload: bytes) -> None:
        """Send a lossless packet that does not wait behind those of the application, and of whose kind only the newest
        counts. Where no way leads to the friend, it is sent when it is asked for."""
        self._send_own(payload)
        self._be_busy()

    def send_alive(self, value: bytes = b"") -> None:
        """A sign of life. With a value the recovery core is told when something is acknowledged that was sent since."""
        if value:
            pings = self.pings = [] if self.pings is None else self.pings
            pings.append((self.window.end + 1, value))
            del pings[: -self.host.limits.own]
        self._send_own(_ALIVE)

    def send_request(self, also: Iterable[bytes] = ()) -> None:
        """Say what is missing; all that is not is acknowledged by that. By the way in use, and by these."""
        self.last_request = self.host.clock
        ways = self.session.friend.ways
        self._put(self.session.receiving.request(), self.window.end & _WIRE)
        for name in also:
            if name != ways.used:
                self.send_list_by(name)
        if ways.used != UDP:
            self.send_probes(ways.probes())

    # -- what its watch asks

    @property
    def ways(self) -> Ways:
        return self.session.friend.ways

    @property
    def is_held_up(self) -> bool:
        """Does something wait for room at the relay in use?"""
        return bool(self.queue or self.window.asked) and self.ways.is_full

    def send_list_by(self, name: bytes) -> None:
        """Say what is missing by one of the ways."""
        payload = self.session.receiving.request()
        way = self.ways.way(name, len(payload) + _OVERHEAD)
        if way is not None:
            self.host.put(way, self.seal(payload, self.window.number))

    def send_list_to(self, way: Direct) -> None:
        """Say what is missing by a direct path that is not in use."""
        self.host.put(way, self.seal(self.session.receiving.request(), self.window.number))

    def send_probes(self, ways: list[Direct]) -> None:
        """See whether the friend is at one of these: it learns, too, that we are where these packets come from."""
        for way in ways:
            if not self.ways.is_direct or way != self.ways.best:  # there lists go all the time
                self.send_list_to(way)
            self.host.probe(self.session.friend.key, way.path)

    def send_alive_by(self, name: bytes) -> None:
        """A sign of life by one of the ways, which shows whether anything arrives by it."""
        way = self.ways.way(name, SMALL - 1)
        if way is not None:
            self.ask_by(way)

    def ask_by(self, way: Way) -> None:
        """A sign of life, which the friend has to acknowledge, by whatever way."""
        if len(self._own()) < self.host.limits.own:
            self._send_numbered(_ALIVE, way)

    def send_copies(self, name: bytes, numbers: list[int]) -> int:
        """Send packets that are on their way by one of the ways, too; how many of them went."""
        congestion, now = self._congestion(), self.host.clock
        for count, number in enumerate(numbers):
            way = self.ways.way(name, p.MAX_PACKET)
            if way is None:
                return count
            congestion.note_sent_again(now)
            self.host.put(way, self.seal(self.window.copy(number), number & _WIRE))
        return len(numbers)

    def begin_way(self, rtt: float | None) -> None:
        """Another way is in use, with this round trip: those of the old one say nothing about it. If it is not known,
        no packet is sent again sooner than by the old one, or nearly all would be sent twice."""
        self.round_trip = self.recent = min(max(self.recent, _ROUND_TRIP), MOST_RTT) if rtt is None else rtt
        if self.congestion is not None:
            self.congestion.move(rtt)

    def seal(self, payload: bytes, number: int) -> bytes:
        """A Data packet."""
        nonce = (self.nonce & _NONCES).to_bytes(p.NONCE_SIZE, "big")
        self.nonce += 1
        self.sealed += 1
        clear = payloads.write(self.session.receiving.start & _WIRE, number, payload)
        return self.host.bulk.seal(self.session.key, nonce, clear)

    # -- what arrived at the other end

    def acknowledge(self, buffer_start: int, way: bytes) -> None:
        """The friend has all packets before this one. That came by this way."""
        heard = self.window.acknowledge(buffer_start, self.host.clock)
        if heard is not None:
            self._learn(heard, way)
        start = self.window.start
        while self.receipts and self.receipts[0][0] <= start:
            self.session.friend.tell_delivered(self.receipts.popleft()[1])
        while self.pings and self.pings[0][0] <= start:
            self.session.core.note_answered(self.pings.pop(0)[1], self.round_trip)
        while self.own and self.own[0] <= start:
            self.own.popleft()
        self.own, self.pings = self.own or None, self.pings or None  # an idle session is to be small
        if self.withheld:
            self._send_withheld(self.withheld)
        if self.queue:
            self.pump()

    def read_request(self, buffer_start: int, listed: bytes, way: bytes) -> None:
        """What the friend misses."""
        now = self.host.clock
        if listed and self.window.packets:
            if not self.lists.has(_LISTS, now):
                self.host.count_note(TOO_MANY_LISTS, self)
                return
            self.lists.take(_LISTS, now)
            self._learn(self.window.read_request(buffer_start, listed, now, self._until_again()), way)
        self.pump()

    # -- time

    @property
    def is_active(self) -> bool:
        """Was something sent lately, or does it wait?"""
        congestion = self.congestion
        return bool(self.queue or self.window.packets) or (
            congestion is not None and congestion.is_active(self.host.clock)
        )

    @property
    def pause(self) -> float:
        """Until there may be tokens, if it is these that lack."""
        congestion = self.congestion
        return TICK if congestion is None else congestion.wait()

    def tick(self) -> None:
        now, waiting = self.host.clock, self.window.waiting
        self._congestion().tick(now, waiting, self.round_trip)
        if waiting and self.session.core.silence.since is None:  # what came last was sent before these arrived
            self.session.core.note_sent()
        if waiting and now - self.last_request >= self.host.delays.request:
            self.send_request()
        self.watch.tick()
        self.pump()

    def look_closer(self) -> None:
        """Something that was sent while all was quiet should have arrived by now."""
        if self.window.packets:
            self.session.core.await_answer()
            self._be_busy()

    def look_for_ways(self) -> None:
        """The way in use may be closed."""
        self._way(0)
        self.pump()

    def rest(self) -> None:
        """All has arrived, for long enough."""
        self.is_busy, self.congestion = False, None
        self.queue = self.receipts = self.own = self.withheld = None

    def pump_again(self) -> None:
        self.look = None
        self.pump()

    def pump(self) -> None:
        """Send what waits, as far as it may be sent."""
        if self.watch.is_asking:
            self.watch.ask()
        if self.window.asked:
            self._send_asked()
        queue = self.queue
        if queue:
            self._send_queue(queue)
            if self.is_wanting and len(queue) <= self.host.limits.queue // 2:
                self.is_wanting = False
                self.session.friend.tell_writable()
        if queue or self.window.asked or self.watch.is_asking:
            self._look_again()

    def take_undelivered(self) -> tuple[list[int], list[bytes]]:
        """Messages and custom packets that are not known to have arrived: they are given up."""
        queue = self.queue or ()
        messages = [message for _, message in (*(self.receipts or ()), *queue) if message]
        left = [*self.window.take_all(), *(payload for payload, _ in queue)]
        self.queue = self.receipts = self.own = self.withheld = self.pings = None
        return messages, [payload for payload in left if payload[0] in p.CUSTOM_LOSSLESS]

    def give_up(self) -> None:
        """Nothing is sent any more."""
        self.take_undelivered()
        self.watch.alarm = None
        self.congestion = None
        self.is_busy = self.is_wanting = False
        self.look = None

    # -- inside

    def _congestion(self) -> Congestion:
        congestion = self.congestion
        if congestion is None:
            congestion = self.congestion = self._new_congestion()
        return congestion

    def _new_congestion(self) -> DelayWindow | Formulas:
        return _PACES[self.host.pace].begin(self.host.clock, self.round_trip)

    def _learn(self, heard: Heard, way: bytes) -> None:
        now, congestion = self.host.clock, self.congestion
        rtt = self.watch.note_heard(heard, way) if heard.numbers else None
        if rtt is not None:
            self.recent = rtt
            self.round_trip = min(self.round_trip, rtt)
        if congestion is None:
            return
        missing = heard.missing + (heard.again if self.ways.is_direct else 0)  # relays are late rather than lossy
        if missing and not self.watch.is_asking:  # else it is another way that has lost them
            congestion.note_missing(now, missing, heard.arrived)
        if heard.arrived:
            window = self.window
            congestion.note_acknowledged(now, heard.arrived, rtt, in_flight=window.in_flight, gaps=bool(window.arrived))

    def _until_again(self) -> float:
        """How long a packet that was sent is not sent again: a round trip or two, however late the last answer was."""
        gate = min(self.recent, 2 * self.round_trip + _RELAYED)
        return gate if self.ways.is_direct else max(gate, _RELAYED)

    def _room(self) -> int:
        """How many packets may be sent now for the first time."""
        congestion, window = self.congestion or self._congestion(), self.window
        most = min(self.host.limits.window, int(_MOST_SECONDS * congestion.rate) + _FEW)
        return min(congestion.may_send(self.host.clock, window.in_flight), most - window.end + window.start)

    def _way(self, size: int) -> Target | None:
        """How a packet may go now; None: it has to wait."""
        session = self.session
        ways = session.friend.ways
        way = ways.pick(size + _OVERHEAD)
        if ways.moves != self.watch.moves:
            self.watch.note_moved()
        if way is None:
            self.host.wait_for_room(session.friend.key)
        return way

    def _next_way(self, size: int) -> Target | None:
        """How a packet that is sent for the first time goes now; None: it has to wait. How many may go at once by the
        direct path is looked at once."""
        host, ways = self.host, self.session.friend.ways
        if self.turn > 0:
            if self.turn_at == host.clock and ways.used == UDP and host.room_for_bulk > 0:
                self.turn -= 1
                return ways.best
            self.turn = 0
        room = self._room()
        way = self._way_of_bulk(size) if room > 0 else None
        if way is not None and ways.used == UDP:
            self.turn, self.turn_at = min(room, host.room_for_bulk) - 1, host.clock
        return way

    def _way_of_bulk(self, size: int) -> Target | None:
        """The same of a packet that may wait: some room in the outbox is left to those that may not."""
        way = self._way(size)
        if isinstance(way, Direct) and self.host.room_for_bulk <= 0:
            self.host.wait_for_room(self.session.friend.key)
            return None
        return way

    def _send_queue(self, queue: deque[tuple[bytes, int]]) -> None:
        while queue and (way := self._next_way(len(queue[0][0]))) is not None:
            self._send_first(*queue.popleft(), way)

    def _send_first(self, payload: bytes, message: int, way: Target) -> None:
        window, congestion, now, core = self.window, self.congestion, self.host.clock, self.session.core
        assert congestion is not None  # it was asked
        number = window.add(payload, now)
        congestion.note_sent()
        if message:
            receipts = self.receipts = deque() if self.receipts is None else self.receipts
            receipts.append((window.end, message))
        self.last = now
        if way.__class__ is not Direct or self.ways.used != UDP:  # which is the usual case, and quickly told
            self._credit(way)
        self.host.put(way, self.seal(payload, number))
        if core.silence.since is None:
            core.note_sent()
        if not self.is_busy:
            self._be_busy()

    def _own(self) -> deque[int]:
        own = self.own = deque() if self.own is None else self.own
        return own

    def _send_own(self, payload: bytes) -> None:
        """A friend that acknowledges nothing makes us keep no more than that."""
        if self.own is not None and len(self.own) >= self.host.limits.own:
            withheld = self.withheld = {} if self.withheld is None else self.withheld
            withheld[payload[0]] = payload
        else:
            self._send_numbered(payload, self._way(len(payload)))

    def _send_numbered(self, payload: bytes, way: Target | None) -> None:
        """Without a way, it is sent when it is asked for."""
        host = self.host
        number = self.window.add(payload, host.clock)
        if way is not None:
            self._credit(way)
            self.last = host.clock
            host.put(way, self.seal(payload, number))
        self._own().append(self.window.end)
        self.session.core.note_sent(is_watched=not self.is_busy)
        if not self.is_busy:
            self.session.be_watched()

    def _credit(self, way: Target) -> None:
        """The newest packet goes this way, be it the one in use or not."""
        used = self.ways.used
        if used is not None and not isinstance(way, Several) and (name := name_of(way)) != used:
            self.watch.carry().put(self.window.end - 1, name)

    def _send_withheld(self, withheld: dict[int, bytes]) -> None:
        self.withheld = None
        for payload in withheld.values():
            self._send_own(payload)

    def _send_asked(self) -> None:
        congestion, now = self._congestion(), self.host.clock
        while congestion.may_send_again(now) and (way := self._way_of_bulk(self.window.asked_size)) is not None:
            found = self.window.next_asked(now)
            if found is None:
                return
            congestion.note_sent_again(now)
            self.watch.note_again(found[0])
            self.last = now
            self.host.put(way, self.seal(found[1], found[0] & _WIRE))
            self.session.core.note_sent()

    def _put(self, payload: bytes, number: int) -> bool:
        """Send a packet, if there is a way; else no nonce is used."""
        host, way = self.host, self._way(len(payload))
        if way is None:
            return False
        self.last = host.clock
        host.put(way, self.seal(payload, number))
        return True

    def _enqueue(self, payload: bytes, message: int) -> bool:
        queue = self.queue = deque() if self.queue is None else self.queue
        if len(queue) >= self.host.limits.queue:
            self.is_wanting = True
            self.host.count_refusal(QUEUE_FULL, self)
            return False
        if not queue:
            self._look_again()
        queue.append((payload, message))
        return True

    def _be_busy(self) -> None:
        if not self.is_busy:
            self.is_busy = True
            self.session.be_busy()

    def _look_again(self) -> None:
        """Soon. What was acknowledged meanwhile may be a reason to do so sooner than was thought before."""
        due = self.host.clock + self.pause
        if self.look is None or due < self.look:
            self.look = due
            self.session.look_again()
