"""Two nodes and an attacker for the explorer: it inserts, replays and drops what it likes, and hears all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import attrs

from sansproto.contract import Address, Path
from sansproto.errors import WireError
from sansproto.session import Stats
from sansproto.testing._internal.parties import Decision, Parties
from sansproto.testing._internal.world import Network, World
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.explorer import Budget, Insert, Party, Report, Scene, Verb, explore
from sansproto.tox import KeyPair, crypto, payloads
from sansproto.tox import packets as p
from sansproto.tox.events import CustomReceived, FriendOnline, MessageReceived
from sansproto.tox.friend import Friend
from sansproto.tox.limits import RECOVERY, RECOVERY_TIMES, NodeDelays
from sansproto.tox.node import ToxNode

WALL: Final = 1.7e9
COOKIE: Final = 2.0
DELAYS: Final = NodeDelays(cookie=COOKIE, quiet=16.0, alive=16.0, silent=64.0, acknowledge=0.25)
"""Cookies lapse soon, and little else happens meanwhile."""
TIMES: Final = attrs.evolve(RECOVERY_TIMES, candidate=4.0, retry=4.0, token=1.0, dead=12.0)
"""Some times are parts of these: then they are exact in binary."""
CONFIG: Final = attrs.evolve(RECOVERY, direct=TIMES, relay=TIMES)

HOSTS: Final = {"A": "10.0.0.1", "B": "10.0.0.2"}
OTHER: Final = {"A": "B", "B": "A"}
REAL: Final = {name: KeyPair.of(bytes([number]) * 32) for number, name in enumerate("ABE", 1)}
DHT: Final = {name: KeyPair.of(bytes([number]) * 32) for number, name in enumerate("ABE", 101)}
"""E is the attacker."""
MESSAGES: Final = {"A": ("one", "two"), "B": ("only one",)}
REQUEST_ID, HANDSHAKE_ID = (kind.__wire__.id for kind in (p.CookieRequest, p.Handshake))
LOSSY: Final = "\xc8"
"""How a lossy packet begins, which B sends besides."""


def at(name: str) -> Path:
    return Path("udp", HOSTS[name], 1)


def drawn(name: str, purpose: str, life: int = 0) -> ScriptedEntropy:
    return ScriptedEntropy(seed=name.encode() + bytes([life]), stateless=True)


# -- what a node does that is watched


class Terse(Friend):
    """Says no more of itself than it has to: fewer packets, fewer orders of them."""

    def introduce(self) -> None:
        pass


class Node(ToxNode):
    """Its friends are named."""

    def befriend(self, other: str, now: float) -> None:
        self.add_friend(REAL[other].public, DHT[other].public, now, path=at(other))

    def expect(self, other: str, now: float) -> None:
        """Without knowing where it is."""
        self.add_friend(REAL[other].public, DHT[other].public, now)

    def greet(self, friend: bytes, now: float) -> None:
        """Messages that name the session: none is the same as in another one."""
        (name,) = (name for name in HOSTS if REAL[name].public == self.real_key)
        label = (self.friends.all[friend].current or b"").hex()
        for text in MESSAGES[name]:
            self.send_message(friend, f"{label} {text}", now)
        if name == "B":
            self.send(friend, f"{LOSSY}{label}".encode("latin-1"), now)

    def unfriend(self, other: str, now: float) -> None:
        self.remove_friend(REAL[other].public, now)

    def _make_friend(self, key: bytes) -> Friend:
        return Terse(self, key)


class Seals(crypto.Bulk):
    """No nonce is used twice under a key."""

    __slots__ = ("node",)

    def __init__(self, node: Watched) -> None:
        super().__init__()
        self.node = node

    def seal(self, key: bytes, nonce: bytes, clear: bytes) -> bytes:
        before = self.node.nonces.get(key)
        if before is not None and nonce <= before:
            self.node.complaint = "a nonce is used again"
        self.node.nonces[key] = nonce
        return super().seal(key, nonce, clear)


class Watched(Node):
    """A node that notes what must not happen."""

    nonces: dict[bytes, bytes]
    """The last one under each key."""
    acted: tuple[bytes, ...]
    """Packets that brought something about."""
    complaint: str

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.nonces, self.acted, self.complaint = {}, (), ""
        self.bulk = Seals(self)

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        if data[0] == REQUEST_ID:
            super().receive_datagram(data, path, now)
            return
        before, live, is_good = self._all(), in_use(self), data[0] != HANDSHAKE_ID or self._is_good(data)
        is_waiting = bool(self.recovery.offered)
        super().receive_datagram(data, path, now)
        if self._all() == before:
            return
        if data[0] == HANDSHAKE_ID and live is not None and in_use(self) != live:
            self.complaint = "a handshake changed the session in use"
        if data[0] == HANDSHAKE_ID and not is_good:
            self.complaint = "a handshake with no cookie of ours, or an old one, brings something about"
        if data in forged(self.real_key):
            self.complaint = "what the attacker made brings something about"
        name = crypto.sha512(data)[:8]
        if name in self.acted and not (data[0] == HANDSHAKE_ID and is_waiting):
            self.complaint = "a packet brings something about twice"
        self.acted = tuple(sorted({*self.acted, name}))

    def _is_good(self, data: bytes) -> bool:
        """Is its cookie one of ours, and not old?"""
        try:
            packet: Any = p.DATAGRAM.decode(data)
            cookie = crypto.open_cookie(self.keyring.cookie_key, packet.cookie)
        except WireError:
            return False
        return 0 <= int(self.wall()) - cookie.time <= COOKIE

    def _all(self) -> Any:
        self.stats = Stats()  # counters are no behaviour
        return self.freeze(0.0)


# -- what the attacker makes


def sealed(kind: Any, body: Any, key: bytes, sender: bytes) -> bytes:
    """A packet with a sealed body, of who has this DHT key."""
    return bytes(p.DATAGRAM.encode(kind(sender, bytes(24), crypto.seal_body(key, bytes(24), body))))


def handshake(to: str, cookie: bytes) -> bytes:
    """The attacker's, with a cookie that it has from somewhere."""
    key, own = crypto.agree(REAL["E"].secret, REAL[to].public), KeyPair.of(b"s" * 32)
    return p.DATAGRAM.encode(crypto.make_handshake(key, bytes(24), cookie, bytes(24), own.public, bytes(112)))


def cookie_of(to: str, real: bytes, dht: bytes) -> bytes:
    """A cookie that this node gives at the beginning to whoever asks: it does not know whose real key that is."""
    key = drawn(to, "")(32, purpose="tox.cookie_key")
    return crypto.make_cookie(key, b"n" * 24, int(WALL), real, dht)


def forgeries(to: str) -> Iterator[bytes]:
    """What it sends in the name of the other node, with what it has itself and what it has heard."""
    me, other = DHT["E"], OTHER[to]
    between = crypto.agree(me.secret, DHT[to].public)
    own, posing = cookie_of(to, REAL["E"].public, me.public), cookie_of(to, REAL[other].public, me.public)
    yield sealed(p.CookieRequest, p.CookieRequestBody(REAL[other].public, bytes(32), bytes(8)), between, me.public)
    response = crypto.seal_body(between, bytes(24), p.CookieResponseBody(own, bytes(8)))
    yield p.DATAGRAM.encode(p.CookieResponse(bytes(24), response))
    yield handshake(to, own)
    yield handshake(to, posing)
    yield handshake(to, crypto.make_cookie(b"k" * 32, bytes(24), int(WALL), REAL[other].public, me.public))
    genuine = {name: [data for data in recorded(name) if data[0] == HANDSHAKE_ID] for name in HOSTS}
    yield genuine[to][0][:1] + posing + genuine[to][0][113:]
    yield genuine[other][0]  # its own, back again
    yield crypto.seal_data(between, bytes(24), payloads.write(0, 0, b"\x40what was not said"))


@cache
def recorded(to: str) -> tuple[bytes, ...]:
    """What this node gets while both call each other, and nothing goes wrong."""
    parties = Parties({name: party(name, Verb("befriend", (OTHER[name],)), kind=Node) for name in HOSTS})
    network = Network(parties, (), {})
    world, heard = network.first(Budget())[0], []
    while world.datagrams:
        heard += [one.data for one in world.datagrams[:1] if parties.names[one.party] == to]
        world = network.apply(world, network.moves(world)[0][0])[0]
    return tuple(heard)


@cache
def forged(key: bytes) -> frozenset[bytes]:
    """What must have no effect on the node with this real key."""
    return frozenset(data for name in HOSTS if REAL[name].public == key for data in forgeries(name))


def inserts() -> tuple[Insert, ...]:
    return tuple(Insert(name, data, at(OTHER[name])) for name in HOSTS for data in forgeries(name))


# -- what checks ask of a node: once for each of its states


def in_use(node: ToxNode) -> tuple[bytes, bytes, int, int] | None:
    """The session with the only friend, and how far it is."""
    for friend in node.friends.all.values():
        session = friend.session
        if session is not None:
            return session.key, session.sid, session.outgoing.nonce, session.receiving.start
    return None


def key_in_use(node: ToxNode) -> bytes | None:
    found = in_use(node)
    return None if found is None else found[0]


def is_calm(node: ToxNode) -> bool:
    """Is no handshake under way?"""
    return not node.recovery.offered and not any(map(node.sessions.has_attempt, node.friends.all))


def complaint(node: Any) -> str:
    return str(node.complaint)


# -- what must hold in every world


def is_heard_once(name: str, events: tuple[Any, ...]) -> bool:
    """Of each session its first messages, in their order; lossy packets come, or do not."""
    heard = [event for event in events if isinstance(event, str)]
    lossy = [text for text in heard if text[0] == LOSSY]
    texts = [text for text in heard if text[0] != LOSSY]
    while texts:
        label = texts[0].split()[0]
        of_it = [text for text in texts if text.split()[0] == label]
        if of_it != [f"{label} {text}" for text in MESSAGES[OTHER[name]][: len(of_it)]] or texts[: len(of_it)] != of_it:
            return False
        texts = texts[len(of_it) :]
    return len(lossy) == len({*lossy})


def sound(scene: Scene) -> Iterator[str]:
    views = [scene[name] for name in HOSTS]
    for name, view in zip(HOSTS, views, strict=True):
        if found := view.ask(complaint):
            yield f"{name}: {found}"
        if not is_heard_once(name, view.told):
            yield f"{name} is told {view.told}"
    if not scene.world.datagrams and all(view.ask(is_calm) for view in views):
        keys = {view.ask(key_in_use) for view in views} - {None}
        if len(keys) > 1:
            yield "both are confirmed, and have different keys"


class Homecoming:
    """From every world, once the attacker leaves them in peace, both come to use one session."""

    MOVES: Final = 500
    """More than it takes."""

    def __init__(self, parties: Parties) -> None:
        self.parties, self.network = parties, Network(parties, (), {})
        self.known: dict[World, bool] = {}

    def is_sure(self, world: World) -> bool:
        world, way = world._replace(budget=Budget(), seen=()), []
        while world not in self.known and len(way) < self.MOVES and not self.is_home(world):
            way.append(world)
            world = self.network.apply(world, self.network.moves(world)[0][0])[0]
        found = self.known.setdefault(world, len(way) < self.MOVES)
        self.known.update(dict.fromkeys(way, found))
        return found

    def is_home(self, world: World) -> bool:
        found = [self.parties.ask(number, seat.state, seat.wall, home) for number, seat in enumerate(world.seats)]
        return not world.datagrams and None not in found and len({*found}) == 1


def home(node: ToxNode) -> bytes | None:
    """The key of the session in which it is online."""
    is_there = is_calm(node) and all(map(node.is_online, node.friends.all))
    return key_in_use(node) if is_there else None


# -- the cast


def greets(event: Any) -> Decision:
    """A friend that comes online is told two things."""
    if not isinstance(event, FriendOnline):
        return ()
    return ((Verb("greet", (event.friend,)),),)


def told(event: Any) -> Any:
    """What came, and that the friend is there."""
    if isinstance(event, MessageReceived):
        return event.text
    if isinstance(event, CustomReceived):
        return event.data.decode("latin-1")
    return event if isinstance(event, FriendOnline) else None


def party(me: str, *start: Verb, kind: type[Node] = Watched, **options: Any) -> Party:
    def arguments(life: int) -> dict[str, Any]:
        return {"entropy": drawn(me, "", life)}

    return Party(
        kind,
        {
            "real_key": REAL[me].secret,
            "dht_key": DHT[me].secret,
            "wall_epoch": WALL,
            "recovery": CONFIG,
            "delays": DELAYS,
            **arguments(0),
        },
        start=start,
        policy=greets,
        told=told,
        host=HOSTS[me],
        sockets={"udp": Address(HOSTS[me], 1)},
        anew=arguments,
        wall_horizon=32.0,
        **options,
    )


def calls(me: str) -> Verb:
    return Verb("befriend", (OTHER[me],))


def both_are_home(scene: Scene) -> bool:
    """Both use one session, and have heard all of the other end."""
    keys = {scene[name].ask(home) for name in HOSTS}
    return (
        not scene.world.datagrams
        and None not in keys
        and len(keys) == 1
        and all(len(scene[name].told) == 3 for name in HOSTS)
    )


def both_are_home_for_long(scene: Scene) -> bool:
    """And all cookies of the beginning are too old."""
    return both_are_home(scene) and scene.world.seats[0].wall > COOKIE + 2.0


@attrs.frozen
class Exploration:
    name: str
    parties: Mapping[str, Party]
    budget: Budget
    begin: Callable[[Scene], bool] | None = None
    weight: int = 1
    """So much longer than others one of its states takes."""

    def run(self, max_states: int) -> Report:
        parties = Parties(self.parties)
        homecoming = Homecoming(parties)

        def true(scene: Scene) -> Iterator[str]:
            yield from sound(scene)
            if not homecoming.is_sure(scene.world):
                yield "left in peace, they do not find each other"

        return explore(
            parties,
            budget=self.budget,
            invariant=true,
            verify=lambda scene: (),
            begin=self.begin,
            inserts=inserts(),
            max_states=max_states,
            show=shown,
        )


def shown(data: bytes) -> str:
    return f"{type(p.DATAGRAM.decode(data)).__name__} {crypto.sha512(data)[:4].hex()}"


CROSSING: Final = {name: party(name, calls(name)) for name in HOSTS}
ONE_CALLS: Final = {"A": party("A", calls("A")), "B": party("B", Verb("expect", ("A",)))}
_AGAIN: Final = ((Verb("unfriend", ("B",)), calls("A")), ())
LEAVING: Final = {**ONE_CALLS, "A": attrs.evolve(ONE_CALLS["A"], may=(_AGAIN,))}
RESTARTING: Final = {name: attrs.evolve(one, restarts=True) for name, one in ONE_CALLS.items()}

EXPLORATIONS: Final = (
    Exploration("both call, losses", CROSSING, Budget(losses=1, duplicates=1)),
    Exploration("both call, forgeries", CROSSING, Budget(inserts=1)),
    Exploration("one calls", ONE_CALLS, Budget(losses=1, replays=1, inserts=1)),
    Exploration("one calls, time passes", ONE_CALLS, Budget(replays=1, early=1)),
    Exploration("a session", ONE_CALLS, Budget(replays=2, inserts=1), both_are_home),
    Exploration("another session", LEAVING, Budget(replays=1, inserts=1), both_are_home),
    Exploration("another session, later", LEAVING, Budget(replays=1, inserts=1), both_are_home_for_long),
    Exploration("a restart", RESTARTING, Budget(restarts=1, replays=1, losses=1), both_are_home, weight=10),
)
