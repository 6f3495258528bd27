"""All friends of a node, where each may be, and who is where. docs/protocols/tox.rst, ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, NamedTuple, Protocol

from ..component import Host, Part, Parts
from ..contract import Path
from ..snapshot import CACHED, MEMO
from .friend import Friend
from .keyring import Keyring
from .limits import NodeDelays, NodeLimits
from .nodes import MOST_NODES, Relay, encode_nodes, is_numeric
from .outgoing import Target
from .paths import Direct, Way
from .relay_link import RelayLink
from .session import Session

_DEAD: Final = 60.0
"""A relay to which there was no stream for so long may be replaced by another one that a friend tells of."""


class Lane(NamedTuple):
    """Where data goes that comes by a path."""

    way: Direct
    session: Session | None


class AllCalls(Protocol):
    """What is asked of all sessions."""

    def urge_call(self, friend: Friend) -> None: ...


class FriendsHost(Host[Any], Protocol):
    """What is asked of the node."""

    delays: NodeDelays
    limits: NodeLimits
    keyring: Keyring

    @property
    def room_for_bulk(self) -> int: ...
    def put(self, way: Target, data: bytes) -> None: ...
    @property
    def relays(self) -> Mapping[bytes, RelayLink]: ...
    def use_relay(self, relay: Relay) -> RelayLink: ...
    def place_relay(self, relay: Relay) -> None: ...
    def leave_relay(self, key: bytes) -> None: ...
    @property
    def sessions(self) -> AllCalls: ...


class Friends(Part[FriendsHost]):
    """Friends by their real keys, by their DHT keys, and by paths."""

    all: Parts[bytes, Friend]
    own_relays: dict[bytes, None]
    """Relays that the application wants, by their keys."""
    by_path: Annotated[dict[Path, list[bytes]], CACHED]
    by_dht_key: Annotated[dict[bytes, bytes], CACHED]
    """Whose DHT key it is, or may be."""
    lanes: Annotated[dict[Path, Lane], MEMO]
    """Forgotten when any friend's session or path changes."""
    blocked: dict[bytes, None]
    """Friends to whom something waits for room, wherever; first those who have waited longest."""
    is_full: bool
    """Some of them wait for room in the outbox."""

    def __init__(self, host: FriendsHost, make: Callable[[bytes], Friend]) -> None:
        super().__init__(host)
        self.all, self.own_relays = Parts(make), {}
        self.by_path, self.by_dht_key, self.lanes, self.blocked, self.is_full = {}, {}, {}, {}, False

    def rebuild(self) -> None:
        self.by_path, self.by_dht_key, self.lanes = {}, {}, {}
        for friend in self.all.values():
            for key in friend.dht_keys:
                self.by_dht_key[key] = friend.key
            for path in friend.ways.paths:
                self.path_known(path, friend.key)

    # -- who is where

    def with_dht_key(self, key: bytes) -> Friend | None:
        friend = self.by_dht_key.get(key)
        return None if friend is None else self.all[friend]

    def at(self, way: Way) -> list[Friend]:
        """Who may be at the other end: through a relay, only at those where they are looked for."""
        if isinstance(way, Direct):
            return [self.all[key] for key in self.by_path.get(way.path, ())]
        friend = self.with_dht_key(way.key)
        return [] if friend is None or way.relay not in friend.ways.relays else [friend]

    def session_at(self, way: Way) -> Session | None:
        """The session in use of the first of them that has one."""
        return next((one.session for one in self.at(way) if one.session is not None), None)

    def lane(self, path: Path) -> Lane:
        """Where data goes that comes by a path: remembered in ``lanes``, if somebody may be there."""
        way = Direct(path)
        session = self.session_at(way)
        best = way if session is None else session.friend.ways.best or way
        lane = Lane(best if best == way else way, session)  # one and the same object is compared faster
        if path in self.by_path:
            self.lanes[path] = lane
        return lane

    def path_known(self, path: Path, friend: bytes) -> None:
        """If there are too many at this path, one goes that is not heard there."""
        self.lanes.clear()
        known = self.by_path.setdefault(path, [])
        if friend not in known:
            known.append(friend)
        if len(known) > self.host.limits.sharers:
            idle = (key for key in known if self.all[key].session is None or self.all[key].ways.best != Direct(path))
            known.remove(next(idle, friend))

    def path_forgotten(self, path: Path, friend: bytes) -> None:
        self.lanes.clear()
        known = [one for one in self.by_path.pop(path, ()) if one != friend]
        if known:
            self.by_path[path] = known

    def session_changed(self) -> None:
        self.lanes.clear()

    # -- they come and go

    def add(self, key: bytes) -> Friend | None:
        """The friend with this real key, a new one if need be; None if there are too many."""
        friend = self.all.get(key)
        if friend is not None:
            return friend
        return self.all.add(key) if len(self.all) < self.host.limits.friends else None

    def remove(self, friend: Friend) -> None:
        for relay in tuple(friend.ways.relays):
            self.untie(friend, relay)
        for path in friend.ways.paths:
            self.path_forgotten(path, friend.key)
        for key in friend.dht_keys:
            self._forget_index(key, friend)
        self.blocked.pop(friend.key, None)
        self.host.keyring.forget_draft(friend.key)
        self.all.remove(friend.key)

    # -- where they are looked for

    def learn(self, friend: Friend, way: Way, dht_key: bytes) -> None:
        """A handshake is genuine: who sent it may be where it came from, with the DHT key that it has now."""
        if dht_key not in friend.dht_keys:
            for other in friend.dht_keys[1:]:
                self._forget_dht_key(friend, other)
            self._add_dht_key(friend, dht_key)
        if isinstance(way, Direct):
            friend.ways.learn_path(way.path)
        else:
            self.tie(friend, Relay(way.relay, self.host.relays[way.relay].address))

    def set_dht_key(self, friend: Friend, key: bytes) -> None:
        """This is the DHT key that a friend has."""
        for other in [one for one in friend.dht_keys if one != key]:
            self._forget_dht_key(friend, other)
        if not friend.dht_keys:
            self._add_dht_key(friend, key)
        if friend.ways.dht_key != key:
            friend.forget_session()
        friend.ways.dht_key = key

    def ping(self, friend: Friend, path: Path) -> None:
        """Ask whether a friend is there: it then learns, too, that we are here."""
        data, number = self.host.keyring.make_ping(friend.ways.dht_key)
        friend.pings[number] = path
        if len(friend.pings) > self.host.limits.paths:
            del friend.pings[next(iter(friend.pings))]
        self.host.put(Direct(path), data)

    def ping_from(self, friend: Friend, address: int) -> None:
        """We may have another address: that friend is told."""
        if friend.address != address:
            friend.address = address
            for path in friend.ways.paths:
                self.ping(friend, path)

    def learn_pinged(self, friend: Friend, number: bytes) -> None:
        """A ping was answered."""
        friend.ways.learn_path(friend.pings.pop(number))

    def tie(self, friend: Friend, relay: Relay) -> None:
        """Look for a friend at a relay, if there is room for it."""
        limits, ways = self.host.limits, friend.ways
        if relay.key not in ways.relays and len(ways.relays) >= limits.friend_relays:
            useless = next((key for key in ways.relays if self._is_useless(key, friend)), None)
            if useless is None:
                return
            self.untie(friend, useless)
        if relay.key not in self.host.relays and not self._make_room(friend):
            return
        ways.relays[relay.key] = relay.address
        link = self.host.use_relay(relay)
        for key in friend.dht_keys:
            link.route(key, relay.address)

    def tie_to_own(self, friend: Friend) -> None:
        for key in self.own_relays:
            self.tie(friend, Relay(key, self.host.relays[key].address))

    def untie(self, friend: Friend, key: bytes) -> None:
        """Look for a friend at a relay no longer. Nobody uses it whom nobody looks for there."""
        self._untie(friend, key)
        self._leave_unused(key)

    def add_relay(self, relay: Relay) -> bool:
        """The application wants it; False if there are too many."""
        if relay.key not in self.host.relays and not self._make_room(None):
            return False
        self.own_relays[relay.key] = None
        self.host.place_relay(relay)
        for friend in self.all.values():
            self.tie(friend, relay)
        return True

    def remove_relay(self, key: bytes) -> None:
        """The application does not want it any more."""
        if key in self.own_relays:
            del self.own_relays[key]
            for friend in self.all.values():
                self._untie(friend, key)
            self._leave_unused(key)

    def relays_to_share(self) -> bytes:
        """The relays at which we are, for a friend."""
        return encode_nodes(Relay(relay.key, relay.address) for relay in self._shared())

    def is_missed(self, friend: Friend) -> bool:
        """Does a friend come through relays, but not through each of those that it was told? It may have given one up
        that was away for some seconds, and have been told too early that it is back."""
        ways = friend.ways
        return not ways.is_direct and not all(relay.is_linked(ways.dht_key) for relay in self._shared())

    def meet_at(self, friend: Friend, relays: Iterable[Relay]) -> None:
        """A friend says where it can be met."""
        for relay in relays:
            self.tie(friend, relay)

    # -- there is a way again

    def look_for(self, friend: Friend) -> None:
        """There is another way to a friend."""
        if friend.session is not None:
            friend.session.outgoing.pump()
        else:
            self.host.sessions.urge_call(friend)

    def relay_linked(self, dht_key: bytes) -> None:
        """There is a way to who has this key."""
        friend = self.with_dht_key(dht_key)
        if friend is not None:
            self.look_for(friend)

    def relay_unlinked(self, dht_key: bytes) -> None:
        """A way to who has this key is closed."""
        friend = self.with_dht_key(dht_key)
        if friend is not None and friend.session is not None:
            friend.session.outgoing.look_for_ways()

    def relay_demoted(self, relay: RelayLink) -> None:
        """It is not used for a friend. Is it used for nobody then, it is left, unless the application wants it."""
        if relay.key not in self.own_relays and relay.is_unused:
            relay.rest()

    def relay_up(self, relay: bytes) -> None:
        for friend in self.all.values():
            if relay in friend.ways.relays:
                self.look_for(friend)

    def wait_for_room(self, key: bytes) -> None:
        """Packets of this friend have to wait."""
        self.blocked[key] = None
        self.is_full = self.host.room_for_bulk <= 0

    def unblock(self) -> None:
        """There is room again, somewhere. Those who have waited longest come first: they keep their places as long as
        it is not for them."""
        for key in tuple(self.blocked):
            friend = self.all.get(key)
            if friend is None or friend.session is None:
                del self.blocked[key]
            elif not (self.is_full and friend.ways.is_direct):
                del self.blocked[key]
                friend.session.outgoing.pump()

    # -- inside

    def _shared(self) -> list[RelayLink]:
        """Not those that are known by a name: a list of relays holds addresses."""
        own = [self.host.relays[key] for key in self.own_relays]
        return [relay for relay in own if relay.is_up and is_numeric(relay.address)][:MOST_NODES]

    def _is_useless(self, key: bytes, friend: Friend) -> bool:
        """May another relay take its place? A friend can tell of addresses as often as it likes: each stays for some
        time."""
        relay = self.host.relays[key]
        is_dead = not relay.is_up and self.host.clock - relay.lost >= _DEAD
        return key not in self.own_relays and (is_dead or relay.is_demoted(friend.ways.dht_key))

    def _untie(self, friend: Friend, key: bytes) -> None:
        if key in friend.ways.relays:
            friend.ways.forget_relay(key)
            for dht_key in friend.dht_keys:
                self.host.relays[key].unroute(dht_key)

    def _make_room(self, friend: Friend | None) -> bool:
        """For one relay more, of a friend or of the application. Friends tell of any relays: of these goes one of the
        friend that has most, unless that would leave it fewer than the newcomer gets."""
        if len(self.host.relays) < self.host.limits.relays:
            return True
        brought: dict[bytes | None, list[RelayLink]] = {}
        for relay in self.host.relays.values():
            if relay.key not in self.own_relays:
                first = next((self.by_dht_key[key] for key in relay.routes if key in self.by_dht_key), None)
                brought.setdefault(first, []).append(relay)
        most = max(brought.values(), key=len, default=[])
        if not most or (friend is not None and len(most) <= len(brought.get(friend.key, ())) + 1):
            return False
        gone = next((relay for relay in most if not relay.is_up), most[-1])
        for other in self.all.values():
            self._untie(other, gone.key)
        self.host.leave_relay(gone.key)
        return True

    def _leave_unused(self, key: bytes) -> None:
        if key not in self.own_relays and not any(key in one.ways.relays for one in self.all.values()):
            self.host.leave_relay(key)

    def _add_dht_key(self, friend: Friend, key: bytes) -> None:
        friend.dht_keys.append(key)
        self.by_dht_key[key] = friend.key
        for relay, address in friend.ways.relays.items():
            self.host.relays[relay].wake()
            self.host.relays[relay].route(key, address)

    def _forget_dht_key(self, friend: Friend, key: bytes) -> None:
        friend.dht_keys.remove(key)
        self._forget_index(key, friend)
        for relay in friend.ways.relays:
            self.host.relays[relay].unroute(key)

    def _forget_index(self, key: bytes, friend: Friend) -> None:
        if self.by_dht_key.get(key) == friend.key:
            del self.by_dht_key[key]
