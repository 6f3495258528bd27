"""By which way a packet goes to a friend. docs/protocols/tox.rst, ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeAlias

from ..component import Host, Note, Part
from ..contract import Address, Instant, Path
from ..recovery import Route
from ..snapshot import CACHED, MEMO
from ..wire import BOOL, U8, U16BE, U32BE, Fixed, Packet, Text, field, packet
from . import packets as p
from .events import DemotionReason, RelayDemoted
from .evidence import SETTLED, Evidence, patience
from .limits import NodeDelays, NodeLimits
from .relay_link import RelayLink
from .tracks import UDP, Track, longest
from .windows import SMALL

FOUND: Final = Note("a way is used: none was open before", ref="ways")
BEGUN: Final = Note("a relay is used: a session began by it", ref="ways")
WORKS: Final = Note("the direct path is used: something came by it", ref="ways")
SILENT: Final = Note("the direct path was left: nothing came by it for long", ref="ways")
CLOSED: Final = Note("a relay was left: the friend is not linked there any more", ref="ways")
UNPROVED: Final = Note("a way was left: nothing is shown to arrive by it", ref="ways")
BAD: Final = Note("a way was left: it is slow, or loses much", ref="ways")
GARBLED: Final = Note("a relay is not used for a friend: packets by it do not open", ref="evidence")
PASSES_NOTHING: Final = Note("a relay is not used for a friend: it answers, and passes nothing on", ref="evidence")
_REMARKS: Final = {DemotionReason.GARBLED: GARBLED, DemotionReason.SILENT: PASSES_NOTHING}

_PAUSES: Final = (1.0, 8.0)
"""Between two times that a way is left: the first time, and at most."""
_SEARCH: Final = 1.0
"""Between two packets that are looked for far ahead."""
_FORGIVEN: Final = 60.0
"""After so long the pause is again the first one."""
_RESERVE: Final = 4096
"""Bytes of room at a relay that are left for small packets."""
_FRIEND: Final = b"F"
_DIRECT: Final = b"U"
_RELAYED: Final = b"R"


class Direct(NamedTuple):
    """By UDP."""

    path: Path


class Relayed(NamedTuple):
    """Through a relay: linked with the other end, or by its key."""

    relay: bytes
    """The relay's key."""
    key: bytes
    """The DHT key of the other end."""
    is_linked: bool


class Several(NamedTuple):
    """By each of these ways."""

    ways: tuple[Direct | Relayed, ...]


Way: TypeAlias = Direct | Relayed
"""How a packet came."""


@packet
class PathName(Packet):
    """A path as bytes."""

    socket: str = field(Text(U8, max=255))
    host: str = field(Text(U8, max=64))
    port: int = field(U16BE)
    scope: int = field(U32BE)


@packet
class RelayedName(Packet):
    """A way through a relay as bytes."""

    relay: bytes = field(Fixed(p.KEY_SIZE))
    key: bytes = field(Fixed(p.KEY_SIZE))
    is_linked: bool = field(BOOL)


def name_of(way: Way) -> bytes:
    """What it is called among the ways to one friend."""
    return UDP if isinstance(way, Direct) else way.relay


def friend_route(friend: bytes) -> Route:
    """Any way to a friend, as the recovery core knows it."""
    return Route(_FRIEND + friend, friend, relayed=True)


def way_route(way: Way, friend: bytes) -> Route:
    """Just this way."""
    if isinstance(way, Relayed):
        return Route(_RELAYED + RelayedName(*way).encode(), friend, relayed=True)
    path = way.path
    return Route(_DIRECT + PathName(path.socket, path.host, path.port, path.scope).encode(), friend, relayed=True)


def place_of(route: Route) -> Way | bytes:
    """Where a route leads: one way, or any to a friend."""
    kind, name = route.name[:1], route.name[1:]
    if kind == _FRIEND:
        return name
    if kind == _RELAYED:
        relayed = RelayedName.decode(name)
        return Relayed(relayed.relay, relayed.key, relayed.is_linked)
    path = PathName.decode(name)
    return Direct(Path(path.socket, path.host, path.port, path.scope))


class PathIndex(Protocol):
    """Who may be where."""

    def path_known(self, path: Path, friend: bytes) -> None: ...
    def path_forgotten(self, path: Path, friend: bytes) -> None: ...


class WaysHost(Host[Any], Protocol):
    """What the ways to a friend ask of its node."""

    delays: NodeDelays
    limits: NodeLimits

    @property
    def relays(self) -> Mapping[bytes, RelayLink]: ...
    @property
    def room_in_outbox(self) -> int: ...
    @property
    def friends(self) -> PathIndex: ...
    def remark(self, event: RelayDemoted) -> None: ...


class Ways(Part[WaysHost]):
    """All ways to one friend, and the one in use."""

    dht_key: bytes
    """By which relays know it."""
    paths: dict[Path, None]
    """Where it may be by UDP: the one that was heard of last is last."""
    relays: dict[bytes, Address]
    """At which it may be, by their keys, and where these are: those that are tried first are first."""
    used: bytes | None
    """The way in use; None: there is none that is known to be open."""
    moves: int
    """How often that was another one."""
    has_fallen: bool
    """The one before had failed: what it carried is sent again."""
    tracks: dict[bytes, Track]
    """What is known of those that were in use, or measured."""
    heard: Instant | None
    """When something genuine came by UDP, from the last of the paths."""
    tried: Instant
    """When a packet was risked there."""
    held_until: Instant
    """Up to then it is not used again, whatever comes by it."""
    judged: Instant | None
    """When a way was left last because nothing arrived by it."""
    pause: float
    """From then on until the next one may be."""
    begun: Instant
    """When the session in use began."""
    searched: Annotated[dict[Way, Instant] | None, MEMO]
    """When a packet that came this way was looked for far ahead of all others, in the last second: who can send in the
    name of one place, a relay among them, has none looked for that comes from another one."""
    evidence: Evidence | None
    """What speaks against relays; None: nothing came by any."""
    best: Annotated[Direct | None, CACHED]
    """The last of the paths."""
    friend: Annotated[bytes, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: WaysHost, friend: bytes) -> None:
        super().__init__(host)
        self.friend, self.dht_key, self.paths, self.relays = friend, b"", {}, {}
        self.used, self.moves, self.has_fallen, self.tracks = None, 0, False, {}
        self.heard, self.tried, self.held_until, self.best = None, 0.0, 0.0, None
        self.judged, self.pause = None, 0.0
        self.begun, self.searched, self.evidence = 0.0, None, None

    def rebuild(self) -> None:
        self.best = Direct(next(reversed(self.paths))) if self.paths else None

    def begin_session(self) -> None:
        """Another one is in use."""
        self.begun, self.evidence = self.host.clock, None

    # -- what is known

    def learn_path(self, path: Path) -> None:
        """The friend may be there: the application says so, or something genuine came from there."""
        self.host.friends.path_known(path, self.friend)
        if path in self.paths:
            return
        best = self.paths.popitem()[0] if self.heard is not None else path
        self.paths[path] = None
        self.paths[best] = None  # what was heard stays last
        if len(self.paths) > self.host.limits.paths:
            oldest = next(iter(self.paths))
            del self.paths[oldest]
            self.host.friends.path_forgotten(oldest, self.friend)
        self.rebuild()

    def note_heard(self, way: Way) -> None:
        """A new packet of a session came this way."""
        if way is self.best and self.used == UDP:  # most do
            self.heard = self.host.clock
        elif isinstance(way, Direct):
            self.heard = self.host.clock
            if way is not self.best and way != self.best:
                del self.paths[way.path]
                self.paths[way.path], self.best = None, way
            if self.used != UDP and self.host.clock >= self.held_until:
                self._use(UDP, WORKS)
        else:
            self.note_relayed(way)

    def note_first(self, way: Way) -> None:
        """The first packet of a session came this way: if that is a relay, it is one that passes packets on."""
        self.note_heard(way)
        if isinstance(way, Relayed) and way.is_linked and not self.is_direct:
            self._use(way.relay, BEGUN)

    def note_relayed(self, way: Relayed) -> None:
        """A packet of a session came through a relay, be it new or late."""
        if way.is_linked:
            self._evidence().heard[way.relay] = self.host.clock

    def forget_relay(self, key: bytes) -> None:
        """The friend is not looked for there any more."""
        del self.relays[key]
        self.tracks.pop(key, None)
        if self.evidence is not None:
            self.evidence.forget(key)
            self.evidence.heard.pop(key, None)

    # -- packets that are far ahead

    def may_search(self, way: Way) -> bool:
        """May a packet that came this way be looked for far ahead? Once a second for each way."""
        return self.searched is None or self.host.clock - self.searched.get(way, -inf) >= _SEARCH

    def note_searched(self, way: Way) -> None:
        now = self.host.clock
        lately = ((one, then) for one, then in (self.searched or {}).items() if now - then < _SEARCH)
        self.searched = {**dict(lately), way: now}

    # -- what speaks against relays

    def is_evidence(self, way: Way) -> bool:
        """Does it say something about a relay that a packet which came this way does not open?"""
        return isinstance(way, Relayed) and way.is_linked and self.host.clock - self.begun >= SETTLED

    def note_garbled(self, relay: bytes) -> None:
        """A packet came through a relay that does not open."""
        if self._evidence().note_garbled(relay, self.host.clock):
            self._demote(relay, DemotionReason.GARBLED)

    def note_due(self, relay: bytes, number: int, sent: Instant) -> None:
        """A relay was left because this packet is not known to have arrived."""
        self._evidence().due[relay] = number, sent

    def note_arrived(self, is_proved: Callable[[bytes, int, Instant], bool]) -> None:
        """Something has arrived."""
        if self.evidence is not None and self.evidence.due:
            self.evidence.note_arrived(is_proved)

    def judge_silence(self, alarm: Instant | None) -> None:
        """Some time has passed. Since when something of ours is not known to have arrived, if it is not."""
        if self.evidence is None or (found := self.evidence.suspect(self.heard or -inf, alarm)) is None:
            return
        relay, since = found
        link = self.host.relays[relay]
        if link.answered < since:
            link.ask()  # if it is silent itself, it may be our network that is away
        elif self.host.clock - since >= patience(longest(self.tracks.get(relay), self.tracks.values())):
            self._demote(relay, DemotionReason.SILENT)

    def note_missing(self, number: int) -> None:
        """A lossless packet is missing while others come. What is open may pass none like it: if that lasts, those that
        were demoted are better than none."""
        rtt = longest(self.tracks.get(self.used or UDP), self.tracks.values())
        if self._evidence().note_missing(number, self.host.clock, patience(rtt)):
            self.recall()

    def recall(self) -> None:
        """Nothing else helps: those that were demoted are better than none."""
        for key in self.relays:
            self.host.relays[key].recall(self.dht_key)

    # -- where to

    @property
    def is_direct(self) -> bool:
        """Is the direct path in use, and does something come by it?"""
        heard = self.heard  # as _is_heard does, with one call less
        return self.used == UDP and heard is not None and self.host.clock - heard < self.host.delays.direct

    def is_open(self, name: bytes | None) -> bool:
        return self._is_heard if name == UDP else name is not None and self._is_linked(name)

    @property
    def is_full(self) -> bool:
        """Does the relay in use have no room for what it was to take?"""
        relay = self.host.relays.get(self.used) if self.used else None
        return relay is not None and relay.is_wanting

    def is_held(self, name: bytes) -> bool:
        """Is it the direct path, which has failed just now? Something may come by it all the same."""
        return name == UDP and self.host.clock < self.held_until

    def pick(self, size: int) -> Direct | Relayed | Several | None:
        """How a packet of a session goes now; None: it has to wait. docs/protocols/tox.rst, ways."""
        if self.is_direct:
            return self._direct()
        if not self.is_open(self.used):
            if self.used:  # a relay; UDP is open as soon as something comes by it
                self.track(self.used).close(self.host.clock)
            self._use(self._next(None), SILENT if self.used == UDP else CLOSED, has_fallen=True)
        if self.used == UDP:
            return self._direct()
        if self.used is None:
            self.recall()
            return self._by_hope(size) or self._direct()
        way = self._through(self.used, size)
        if way is None and size < SMALL:
            return next((found for one in self.others() if (found := self.way(one, size)) is not None), None)
        return way

    def way(self, name: bytes, size: int) -> Way | None:
        """One of the ways, if it takes a packet now."""
        if not self.is_open(name):
            return None
        return self._direct() if name == UDP else self._through(name, size)

    def others(self) -> list[bytes]:
        """Those that are open beside the one in use."""
        return [name for name in (*self.relays, UDP) if name != self.used and self.is_open(name)]

    def probes(self) -> list[Direct]:
        """The direct paths, while none is in use, if they are to be tried again."""
        if self.host.clock - self.tried < self.host.delays.probe:
            return []
        self.tried = self.host.clock
        return self.direct()

    def direct(self) -> list[Direct]:
        """All direct paths, the last one first."""
        return [Direct(path) for path in reversed(self.paths)] if self.host.room_in_outbox >= len(self.paths) else []

    def all(self) -> list[Way]:
        """How a packet of a handshake goes: to each place by UDP where the friend may be, and through each relay at
        which it is linked, for nothing shows yet which of them pass packets on; by its key if it is linked at none."""
        linked = [Relayed(key, self.dht_key, True) for key in self.relays if self._is_linked(key)]
        return [*map(Direct, self.paths), *(linked or self._by_key())]

    # -- another one

    def track(self, name: bytes) -> Track:
        """What is known of a way. Of a relay that was forgotten nothing is kept."""
        found = self.tracks.get(name)
        if found is None:
            found = Track()
            if name == UDP or name in self.relays:
                self.tracks[name] = found
        return found

    def leave(self, to: bytes | None, *, is_proved: bool = False) -> bool:
        """Nothing arrives by the way in use: go on by this one, or by the next. False: not now, or there is none."""
        used, now, judged = self.used, self.host.clock, self.judged
        pause = min(self.pause, _PAUSES[0]) if is_proved else self.pause
        if used is None or (judged is not None and now < judged + pause):
            return False
        following = self._next(used)
        if following is None:
            return False
        is_again = not is_proved and to is not None and self._ready(following) <= now < self._ready(to)
        if to is None or to == used or not self.is_open(to) or is_again:
            to = following  # not again one that has failed just now, whatever came by it
        first, most = _PAUSES
        self.pause = min(2 * self.pause, most) if judged is not None and now < judged + _FORGIVEN else first
        self.judged = now
        self._suspect(used)
        self._use(to, UNPROVED, has_fallen=True)
        return True

    def leave_for_better(self, used: bytes) -> None:
        """The way in use is slow, or loses much: go on by a relay that may be better, if there is one."""
        now, track = self.host.clock, self.track(used)
        better = (key for key in self.others() if key != UDP and self.track(key).is_better(track, now))
        to = next(better, used)
        if used == UDP != to:
            self._suspect(used)  # or else the next packet would bring it back
        self._use(to, BAD, has_fallen=True)

    # -- inside

    def _evidence(self) -> Evidence:
        found = self.evidence = self.evidence or Evidence()
        return found

    def _suspect(self, used: bytes) -> None:
        """The way in use is not to be used again soon."""
        now, track = self.host.clock, self.track(used)
        track.leave(now)
        if used == UDP:
            self.held_until, self.heard = now + track.hold, None  # nor is it open until something comes by it

    def _may_demote(self, relay: bytes) -> bool:
        """The last way is not given up; nor is one by which something comes, if all others are suspect."""
        now, evidence = self.host.clock, self._evidence()
        is_useless = evidence.is_silent(relay, now)
        return self._is_linked(relay) and any(
            is_useless or self._ready(name) <= now
            for name in (UDP, *self.relays)
            if name != relay and self.is_open(name)
        )

    def _demote(self, relay: bytes, reason: DemotionReason) -> None:
        if self._may_demote(relay):
            self._evidence().blame(relay)
            self.host.relays[relay].demote(self.dht_key)
            self.host.count_note(_REMARKS[reason], self)
            self.host.remark(RelayDemoted(relay, self.friend, reason))

    @property
    def _is_heard(self) -> bool:
        return self.heard is not None and self.host.clock - self.heard < self.host.delays.direct

    def _use(self, name: bytes | None, why: Note, *, has_fallen: bool = False) -> None:
        if name != self.used:
            why = FOUND if self.used is None else why
            self.used, self.has_fallen = name, has_fallen
            if self.moves:  # the first one says nothing
                self.host.count_note(why, self)
            self.moves += 1
            if name is not None:
                self.track(name).begin(self.host.clock)

    def _next(self, but: bytes | None) -> bytes | None:
        """The way that is used next: the direct path, unless it is held off; relays in their order, unless they are
        suspect; and else what there is."""
        now = self.host.clock
        names = [name for name in (UDP, *self.relays) if name != but and self.is_open(name)]
        ready = {name: self._ready(name) for name in names}
        return min(names, key=lambda name: max(ready[name], now), default=None)

    def _ready(self, name: bytes) -> Instant:
        """From when on it may be used, if there is a choice."""
        if name == UDP:
            return self.held_until
        track = self.tracks.get(name)
        return 0.0 if track is None else track.suspect_until

    def _direct(self) -> Direct | None:
        return self.best if self.host.room_in_outbox > 0 else None

    def _is_linked(self, key: bytes) -> bool:
        relay = self.host.relays.get(key)
        return relay is not None and key in self.relays and relay.is_linked(self.dht_key)

    def _through(self, key: bytes, size: int) -> Relayed | None:
        """Through a relay, if it takes it: there is always room left for what is small."""
        relay = self.host.relays[key]
        if relay.has_room(size if size < SMALL else size + _RESERVE):
            return Relayed(key, self.dht_key, True)
        relay.is_wanting = True
        return None

    def _by_key(self) -> list[Relayed]:
        """At each relay, linked or not."""
        found = [self.host.relays.get(key) for key in self.relays]
        return [Relayed(one.key, self.dht_key, False) for one in found if one is not None and one.is_up]

    def _by_hope(self, size: int) -> Several | None:
        """By key through all relays at which the friend may be, while it is linked at none."""
        if size > p.MAX_OOB:
            return None
        wanted = size if size < SMALL else size + _RESERVE
        ways = [one for one in self._by_key() if self.host.relays[one.relay].has_room(wanted)]
        return Several(tuple(ways)) if ways else None
