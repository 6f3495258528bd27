"""Casts of Bob for the explorer, what has to hold in their worlds, and explorations of them by name."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Set
from typing import Annotated, Any, NamedTuple, Never

import attrs
from soaking import SOAKING

from sansproto.bob import (
    RELAY_PORT,
    SECURE_PORT,
    Channel,
    Client,
    Connected,
    PeerAgreed,
    PeerDelays,
    PeerLimits,
    Registered,
    Relay,
    RelayDelays,
    RelayLimits,
    Server,
)
from sansproto.bob import packets as p
from sansproto.bob.channel import CHANNEL
from sansproto.bob.handshake import HANDSHAKE, HandshakeState
from sansproto.bob.kdf import KDF
from sansproto.bob.member import MEMBER, MemberState
from sansproto.bob.offer import OFFER, OfferState
from sansproto.bob.pair import PAIR, Pair, PairState
from sansproto.bob.peer import Peer
from sansproto.bob.room import ROOM, RoomState
from sansproto.bob.turns import TURNS
from sansproto.bob.visitor import VISITOR
from sansproto.bob.way import PEER, PeerState
from sansproto.contract import Address, Phase
from sansproto.events import CloseCause, Closed, DataReceived
from sansproto.links import StreamLink
from sansproto.snapshot import CACHED
from sansproto.streams import StreamEndpoint
from sansproto.testing._internal.parties import Parties, no_decision
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.explorer import Budget, Decision, Insert, Party, Report, Scene, Verb, explore

HOST = "192.0.2.9"
PORTS = {Address(HOST, 9000): RELAY_PORT, Address(HOST, 9001): SECURE_PORT}
DATA = b"file"

# Powers of two, so that equal situations stay equal; and no two timers of an exchange are due at once by accident.
PEER_DELAYS = PeerDelays(
    connect=64.0,
    stalled=256.0,
    unread=256.0,
    linger=32.0,
    lookup=64.0,
    greeting=16.0,
    waiting=8192.0,
    done=32.0,
    lobby=128.0,
    silence=1024.0,
    answer=64.0,
    farewell=8.0,
    work=0.0625,
)
RELAY_DELAYS = RelayDelays(
    connect=64.0,
    stalled=256.0,
    unread=256.0,
    linger=32.0,
    hello=16.0,
    idle=4096.0,
    line=16.0,
    room=64.0,
    silence=4096.0,
)

# -- the parties -------------------------------------------------------------------------------------------------------

CONNECT = (Verb("connect"),)
CLOSE: Decision = ((Verb("close"),), ())


class Receiver(Client):
    """A client with what its application has to remember: it accepts a server only once, and whom it refused."""

    _declined: set[str]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._declined = set()

    def decline(self, uid: int, identity: str, now: float) -> None:
        self.refuse(uid, now)
        self._declined.add(identity)

    def pick(self, uid: int, now: float) -> None:
        if self.state is PeerState.WAITING:
            self.accept(uid, now)


class Stranger(StreamEndpoint[DataReceived | Closed, Never]):
    """Somebody with one connection and no password: says one thing at first and after each read (nothing if it is
    empty), and what ``say`` is given at any time."""

    _lines: tuple[bytes, ...]
    _to: Annotated[Address, CACHED]

    def __init__(self, *, to: int = 9000, script: tuple[bytes, ...] = ()) -> None:
        super().__init__(entropy=None, delays=PEER_DELAYS, limits=PeerLimits(), trace=None)
        self._to = Address(HOST, to)
        self._lines = script

    def connect(self, now: float) -> None:
        self.advance(now)
        self.open_link(self._to)
        self.run()

    def say(self, data: bytes, now: float) -> None:
        if self.alive(now):
            for link in self.links.values():
                link.write(data)
            self.run()

    def link_opened(self, link: StreamLink) -> None:
        if self._lines:
            link.write(self._lines[0])
            self._lines = self._lines[1:]

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        return data, len(data)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        self.emit(DataReceived(packet))
        self.link_opened(link)

    def link_eof(self, link: StreamLink) -> None:
        self.close_gracefully(Closed(CloseCause.REMOTE))

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        self.close_gracefully(Closed(CloseCause.LOST))


def forget(_: Any) -> None:
    """Keep no event."""


def eager(event: Any) -> Decision:
    """The application of a client that accepts the first server, and closes when it has its data."""
    if isinstance(event, PeerAgreed):
        return ((Verb("pick", (event.uid,)),),)
    return closing(event)


def closing(event: Any) -> Decision:
    return ((Verb("close"),),) if isinstance(event, DataReceived) else ()


def asking(event: Any) -> Decision:
    """The application of a client that asks its user, who takes a while, and may say no or nothing at all."""
    if isinstance(event, PeerAgreed):
        return (Verb("pick", (event.uid,)),), (Verb("decline", (event.uid, event.identity)),), ()
    return closing(event)


def thinking(event: Any) -> Decision:
    """The application of a client that accepts, but when? (What has two alternatives is not done at once.)"""
    return ((Verb("pick", (event.uid,)),),) * 2 if isinstance(event, PeerAgreed) else closing(event)


def refusing(event: Any) -> Decision:
    return ((Verb("decline", (event.uid, event.identity)),),) if isinstance(event, PeerAgreed) else ()


def sending(event: Any) -> Decision:
    """The application of a server."""
    return ((Verb("send", (DATA,)),),) if isinstance(event, Connected) else ()


def sending_later(event: Any) -> Decision:
    return (*sending(event), ()) if isinstance(event, Connected) else ()


def relay(**arguments: Any) -> Party:
    limits = RelayLimits(**arguments)
    return Party(Relay, {"limits": limits, "delays": RELAY_DELAYS}, listens=PORTS, host=HOST)


def peer(
    kind: type[Peer[Any]],
    host: int,
    *,
    password: bytes = b"pass",
    relay: str = HOST,
    limits: PeerLimits | None = None,
    **rest: Any,
) -> Party:
    arguments: dict[str, Any] = {
        "relay": (relay, 9000),
        "secure_port": 9001,
        "password": password,
        "entropy": ScriptedEntropy(seed=bytes([host]), stateless=True),
        "limits": limits,
        "delays": PEER_DELAYS,
    }
    if kind is Server:
        arguments["count"] = rest.pop("count", 1)
        arguments["comes_back"] = rest.pop("comes_back", False)
        arguments["client_cipher"] = rest.pop("client_cipher", p.Cipher.CHACHA20_POLY1305)
    return Party(kind, arguments, start=CONNECT, host=f"192.0.2.{host}", **rest)


def client(number: int = 1, *, policy: Callable[[Any], Decision] = eager, **rest: Any) -> Party:
    return peer(Receiver, 10 + number, policy=policy, **rest)


def server(number: int = 1, *, policy: Callable[[Any], Decision] = sending, **rest: Any) -> Party:
    return peer(Server, 20 + number, policy=policy, **rest)


def stranger(*script: bytes, to: int = 9000, **rest: Any) -> Party:
    return Party(Stranger, {"to": to, "script": script}, start=CONNECT, host="192.0.2.66", **rest)


ONE_EACH: Mapping[str, Party] = {"relay": relay(), "client": client(), "server": server()}
TWO_CLIENTS: Mapping[str, Party] = {"relay": relay(), "client": client(), "client 2": client(2), "server": server()}
TWO_SERVERS: Mapping[str, Party] = {"relay": relay(), "client": client(), "server": server(), "server 2": server(2)}


def evolved(parties: Mapping[str, Party], **changes: Mapping[str, Any]) -> dict[str, Party]:
    """The parties with attributes of some of them changed, by name ("_" for a blank)."""
    found = {name.replace("_", " "): change for name, change in changes.items()}
    return {name: attrs.evolve(party, **found.get(name, {})) for name, party in parties.items()}


# -- what is known about the parties of a world ------------------------------------------------------------------------


class Standing(NamedTuple):
    """A client or server."""

    state: PeerState
    identity: str
    exchanges: tuple[tuple[int, Any, str], ...]  # uid, state, identity
    partner: str  # with whom it is in a room, or on the way there
    declined: frozenset[str]  # whom a client refused


def standing(session: Peer[Any]) -> Standing:
    exchanges = tuple((one.key, one.state, one.identity) for one in session.exchanges.values())
    partners = [one for one in (session.way.accepted, *session.way.partners.values()) if one is not None]
    return Standing(
        session.state,
        session.identity,
        exchanges,
        partners[0].identity if partners else "",
        frozenset(getattr(session, "_declined", ())),
    )


class Registry(NamedTuple):
    """A relay."""

    members: dict[str, tuple[int, MemberState]]
    pairs: dict[tuple[str, str], PairState]  # by the identities of client and server
    rooms: dict[tuple[str, str], tuple[RoomState, int]]  # and how many visitors are in there
    left_over: tuple[str, ...]  # what it may not hold when all peers are gone


def pairs_of(session: Relay) -> dict[tuple[int, int], Pair]:
    """All exchanges, by the uids of client and server."""
    members = session.registry.members.values()
    return {(pair.client, pair.server): pair for member in members for pair in member.pairs.values()}


def registry(session: Relay) -> Registry:
    names = {member.uid: member.identity for member in session.registry.members.values()}
    held = {
        "members": session.registry.members,
        "uids": session.registry.uids,
        "pairs": session.registry.pair_count,
        "visitors": session.secure.visitors,
        "rooms": session.secure.rooms,
        "lines": session.secure.lines,
        "rooms that wait": session.secure.waiting,
        "links": session.links,
        "followers": session.registry.log.subscribers,
        "announcements": session.registry.log.arrivals,
    }
    free = sorted([*session.registry.freed_uids, *(uid for uid, _ in session.registry.dying)])
    taken = set(range(1, session.registry.fresh_uid)) - set(session.registry.uids)
    return Registry(
        {member.identity: (member.uid, member.state) for member in session.registry.members.values()},
        {(names[client], names[server]): pair.state for (client, server), pair in pairs_of(session).items()},
        {(room.client, room.server): (room.state, len(room.visitors)) for room in session.secure.rooms.values()},
        (*(name for name, what in held.items() if what), *(() if free == sorted(taken) else ("uids that are lost",))),
    )


def peers(scene: Scene) -> Iterator[tuple[str, Standing]]:
    for name in scene:
        if name.startswith(("client", "server")):
            yield name, scene[name].ask(standing)


# -- what has to hold --------------------------------------------------------------------------------------------------


def over(final: Scene) -> Iterator[str]:
    """In the end everybody was told why, once, and nothing is left of it."""
    for name, _ in peers(final):
        told = final[name].told
        if [event for event in told if isinstance(event, Closed)] != [*told[-1:]]:
            yield f"{name} was told {told}"
        if final[name].phase is not Phase.CLOSED:
            yield f"{name} waits for ever: {final[name].ask(standing)}"
    held = final["relay"].ask(registry).left_over if "relay" in final and final["relay"].phase is Phase.OPEN else ()
    for what in held:
        yield f"the relay still holds {what}"


def good(final: Scene) -> Iterator[str]:
    """In the end one client has the data of one server, and both know how it went."""
    yield from over(final)
    ends = {name: final[name].told for name, _ in peers(final)}
    received = [name for name, told in ends.items() if ("DataReceived", DATA) in told]
    sent = [name for name, told in ends.items() if told[-1:] == (Closed(CloseCause.REMOTE),)]
    closed = [name for name in received if ends[name][-1:] == (Closed(CloseCause.LOCAL),)]
    if not (len(received) == len(sent) == len(closed) == 1):
        yield f"it ended badly: {ends}"


def honest(scene: Scene) -> tuple[str, ...]:
    """Whom a party calls agreed or connected has proved the password, to this very party.

    Not under attack: somebody between a peer and the relay can say "agreed" before the server does. What remains true
    then is that they have the password: ``known``.
    """
    return scene.once(_dishonest)


def _dishonest(scene: Scene) -> tuple[str, ...]:
    told = {name: scene[name].told for name in scene if name.startswith(("client", "server"))}
    registered = [(name, event.identity) for name in told for event in told[name] if isinstance(event, Registered)]
    names = {identity: name for name, identity in registered}  # one that comes back to the relay has several
    found = []
    for name, events in told.items():
        for event in events:
            if isinstance(event, (PeerAgreed, Connected)):
                other = names.get(event.identity, "")
                if not other:
                    found.append(f"{name} is told {event}, but there is nobody of this name")
                elif name.startswith("client") or isinstance(event, Connected):
                    agreed = [event.identity for event in told[other] if isinstance(event, PeerAgreed)]
                    if not any((name, identity) in registered for identity in agreed):
                        found.append(f"{name} is told {event}, but {other} did not agree with it")
    return tuple(found)


def known(scene: Scene) -> tuple[str, ...]:
    """Nobody agrees with, connects to, or gets data from somebody who does not know its password."""
    return scene.once(_strange)


def _strange(scene: Scene) -> tuple[str, ...]:
    found = []
    knowing = {
        told.identity: scene._parties.specs[number].arguments["password"]
        for number, name in enumerate(scene)
        if name.startswith(("client", "server"))
        for told in scene[name].told
        if isinstance(told, Registered)
    }
    for number, name in enumerate(scene):
        for event in scene[name].told if name.startswith(("client", "server")) else ():
            if isinstance(event, (PeerAgreed, Connected)):
                password = scene._parties.specs[number].arguments["password"]
                if knowing.get(event.identity) != password:
                    found.append(f"{name} is told {event}, who does not know the password")
            elif type(event) is tuple and event[0] == "DataReceived" and event[1] != DATA:
                found.append(f"{name} is told {event}")
    return tuple(found)


def is_quiet(scene: Scene) -> bool:
    """Will nothing happen before a timer is due, or an application decides?"""
    pauses = [scene[name].next_timeout for name in scene]
    return (
        not scene.world.lookups
        and min((pause for pause in pauses if pause), default=1.0) > 1e-9
        and all(
            end.link > 0 and not end.inbound and not end.eof and not end.lost and not end.blocked
            for stream in scene.world.streams
            for end in (stream.a, stream.b)
        )
    )


def informed(scene: Scene) -> Iterator[str]:
    """When it is quiet, all that concerns a party has reached it: nobody waits for what is not going to come.

    That is the case with cuts, decisions and attackers at the relay; not when a stream falls silent or time is early.
    """
    if not is_quiet(scene):
        return
    relay = scene["relay"].ask(registry)
    everybody = dict(peers(scene))
    for name, one in everybody.items():
        if one.state in (PeerState.WAITING, PeerState.PAIRED):
            refused = {other.identity for other in everybody.values() if one.identity in other.declined}
            yield from _informed_at_relay(name, one, relay, refused)
        elif one.state is PeerState.TALKING:
            partner = {other.identity: other for other in everybody.values()}.get(one.partner)
            if partner is None or partner.state is not PeerState.TALKING or partner.partner != one.identity:
                yield f"{name} talks to nobody"
        elif one.state is PeerState.LOBBY:
            line = (one.identity, one.partner) if name.startswith("client") else (one.partner, one.identity)
            if relay.rooms.get(line) != (RoomState.WAITING, 1):
                yield f"{name} is in the lobby of no room"
        elif one.state not in (PeerState.NEW, PeerState.PREPARING, PeerState.ENDED):
            yield f"{name} waits in {one.state.name}"
    waiting = {one.identity for one in everybody.values() if one.state in (PeerState.WAITING, PeerState.PAIRED)}
    for identity in relay.members:
        if identity not in waiting and not identity.startswith("192.0.2.66"):
            yield f"the relay still knows {identity}"


_SETTLED = {
    OfferState.DERIVING: (None,),
    OfferState.HELD: (None,),
    OfferState.AGREED: (PairState.AGREED,),
    HandshakeState.HELD: (PairState.ASKED,),
    HandshakeState.AGREED: (PairState.AGREED,),
}


def _informed_at_relay(name: str, one: Standing, relay: Registry, refused: set[str]) -> Iterator[str]:
    if relay.members.get(one.identity, (0, MemberState.ENDED))[1].name not in name.upper():
        yield f"{name} waits at a relay that does not know it"
    if one.state is PeerState.PAIRED:
        yield f"{name} waits for the relay's confirmation"
    for uid, state, identity in one.exchanges:
        pair = (one.identity, identity) if name.startswith("client") else (identity, one.identity)
        if identity.startswith("192.0.2.66") or identity in refused:
            continue  # a stranger may be silent; and a relay keeps a refusal to itself, as the reference's does
        if (uid, identity) not in [(uid, other) for other, (uid, _) in relay.members.items()]:
            yield f"{name} still waits for {identity}, who is gone"
        if relay.pairs.get(pair) not in _SETTLED.get(state, ()):
            yield f"{name} is {state.name} with {identity}, but at the relay they are {relay.pairs.get(pair)}"


def everybody_waits(scene: Scene) -> bool:
    """Has everybody said hello?"""
    return is_quiet(scene) and all(one.state is PeerState.WAITING for _, one in peers(scene))


def everybody_agrees(scene: Scene) -> bool:
    """Did all exchanges come to an agreement, and is it up to the applications?"""
    exchanges = [(one.state, exchange[1].name) for _, one in peers(scene) for exchange in one.exchanges]
    return is_quiet(scene) and bool(exchanges) and set(exchanges) == {(PeerState.WAITING, "AGREED")}


def everybody_talks(scene: Scene) -> bool:
    """Are all in their rooms?"""
    return all(one.state is PeerState.TALKING for _, one in peers(scene))


Check = Callable[[Scene], Iterable[str]]


def all_of(*checks: Check) -> Check:
    return lambda scene: [complaint for check in checks for complaint in check(scene)]


NO_FAULTS = Budget()
TRUTHFUL = all_of(honest, known)

# -- explorations ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Exploration:
    """``ends`` is what the parties may be told, kept for comparison; ``more`` is the budget of a long run."""

    name: str
    parties: Mapping[str, Party] | Parties
    budget: Budget = NO_FAULTS
    verify: Check = over
    invariant: Check = TRUTHFUL
    inserts: tuple[Insert, ...] = ()
    names: Mapping[str, tuple[Address, ...]] = attrs.field(factory=dict)
    reduced: bool = True
    begin: Callable[[Scene], bool] | None = None

    def run(
        self, max_states: int = 2_000_000, *, expected: Set[Hashable] | None = None, **changes: Any
    ) -> tuple[Report, set[Hashable]]:
        """The report, and everything that the parties may be told in the end; no more than this is ``expected``."""
        this = attrs.evolve(self, **changes)
        ends: set[Hashable] = set()

        def verify(final: Scene) -> Iterator[str]:
            end = tuple(final[name].told for name in final)
            ends.add(end)
            yield from this.verify(final)
            if expected is not None and end not in expected:
                yield "another end"

        report = explore(
            this.parties,
            budget=this.budget,
            verify=verify,
            invariant=this.invariant,
            inserts=this.inserts,
            names=this.names,
            max_states=max_states,
            reduced=this.reduced,
            begin=this.begin,
        )
        return report, ends


def quietly(parties: Mapping[str, Party]) -> dict[str, Party]:
    """The same, but what the relay tells its application is no difference between two worlds."""
    return evolved(parties, relay={"told": forget})


# -- what an attacker says ---------------------------------------------------------------------------------------------

EVIL = "192.0.2.66:49153"
JUNK = b"\x02" + bytes(31)  # no point of the curve
PUBLIC = p.PublicParameters(1, 1, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, bytes(16)).encode()


def about(uid: int) -> Iterator[bytes]:
    """All that a peer may say to another, and nothing of it true."""
    yield p.encode(uid, p.Accepted())
    yield p.encode(uid, p.Refused())
    yield p.encode(uid, p.Agreement())
    yield p.encode(uid, p.SpokeFailure(p.SpokeFault.POINT))
    yield p.encode(uid, p.XAndClientIdentity(JUNK, EVIL))
    yield p.encode(uid, p.YAndServerValidator(JUNK, bytes(64)))
    yield p.encode(uid, p.ClientValidator(bytes(64)))


TO_RELAY = (
    p.encode(p.RELAY, p.HelloAsClient()),
    p.encode(p.RELAY, p.HelloAsServer(PUBLIC)),
    p.encode(p.RELAY, p.PeerClosed(1)),
    p.encode(p.RELAY, p.Done()),
    p.encode(p.RELAY, p.RelayFailure(p.Missing.HANDSHAKE, 1)),
    p.encode(1, p.XAndClientIdentity(JUNK, "192.0.2.11:49153")),
    p.encode(0xFFFF, p.Accepted()),
    b"0000",
    b"what is this?",
    *about(1),
    *about(2),
)
WORST = (
    p.encode(p.RELAY, p.HelloAsClient()),
    p.encode(p.RELAY, p.HelloAsServer(PUBLIC)),
    p.encode(1, p.XAndClientIdentity(JUNK, "192.0.2.11:49153")),
    p.encode(1, p.Accepted()),
    p.encode(2, p.Agreement()),
    p.encode(1, p.SpokeFailure(p.SpokeFault.POINT)),
    b"what is this?",
)
"""What would do most harm, of what a stranger may say to the relay."""
TO_SECURE_PORT = (b"192.0.2.11:49153\n", b"192.0.2.21:49153\n", b"nobody\n", b"x" * 200, b"\0\5records?")


def saying(data: Iterable[bytes]) -> Decision:
    return (*((Verb("say", (one,)),) for one in data), ())


def inserted(party: str) -> tuple[Insert, ...]:
    """What somebody between a peer and the relay may put in, besides what a small exploration puts in."""
    other = 2 if party == "client" else 1
    data = (
        *about(other),
        p.encode(p.RELAY, p.ClientIdentity(EVIL)),
        p.encode(p.RELAY, p.ServerIdentity(EVIL)),
        p.encode(p.RELAY, p.NewServer(2, PUBLIC, EVIL)),
        p.encode(p.RELAY, p.PeerClosed(other)),
        p.encode(p.RELAY, p.PeerClosed(p.RELAY)),
        p.encode(p.RELAY, p.Done()),
        p.encode(p.RELAY, p.NewServer(3, bytes(34), EVIL)),
        b"00",
        b"what is this?",
    )
    return tuple(Insert(party, one) for one in data)


# -- explorations of their own worth -----------------------------------------------------------------------------------

STRICT = all_of(honest, known, informed)
ASKS: Mapping[str, Any] = {"policy": asking}
CLOSES: Mapping[str, Any] = {"may": (CLOSE,)}
THINKS: Mapping[str, Any] = {"policy": thinking}
AWAY: Mapping[str, Any] = {"policy": no_decision}  # accepts nobody, and sends nothing
BUSY_USER = Parties(evolved(ONE_EACH, client=ASKS))


def explorations() -> Iterator[Exploration]:
    """What is tried every time: the first of them has more than 100,000 states."""
    one_each = Parties(ONE_EACH)
    two_clients, two_servers = quietly(TWO_CLIENTS), quietly(TWO_SERVERS)
    yield Exploration("1 x 1, a cut and an early timer", one_each, Budget(cuts=1, early=1))
    yield Exploration("1 x 1", one_each, verify=good, invariant=STRICT, reduced=False)
    anytime = evolved(ONE_EACH, client={**ASKS, **CLOSES}, server=CLOSES)
    yield Exploration("1 x 1, both may close", anytime, invariant=STRICT)
    yield Exploration("1 x 1, a cut", BUSY_USER, Budget(cuts=1), invariant=STRICT)
    yield Exploration("1 x 1, silence and a split", one_each, Budget(losses=1, splits=1))
    yield Exploration("1 x 1, blocked", one_each, Budget(blocks=1), verify=good)
    for party in ("client", "server"):
        about_to = Budget(inserts=1)
        yield Exploration(
            f"1 x 1, inserts at the {party}", BUSY_USER, about_to, invariant=known, inserts=inserted(party)
        )
    beset = {**quietly(evolved(ONE_EACH, server=AWAY)), "stranger": stranger(may=(saying(WORST),), told=forget)}
    yield Exploration("1 x 1, a stranger at the relay", beset, invariant=STRICT, begin=everybody_waits)
    wrong = evolved(two_clients, client_2={"arguments": client(2, password=WRONG).arguments})
    yield Exploration("2 x 1, one has a wrong password", wrong, invariant=STRICT, begin=everybody_waits)
    either = evolved(two_servers, client=THINKS, server=AWAY, server_2=AWAY)
    unsent = Exploration("1 x 2, a cut, nothing is sent", either, Budget(cuts=1), invariant=STRICT)
    yield attrs.evolve(unsent, begin=everybody_agrees)


def long_explorations() -> Iterator[Exploration]:
    """What takes minutes."""
    two_clients, two_servers, one_cut = quietly(TWO_CLIENTS), quietly(TWO_SERVERS), Budget(cuts=1)
    one, both = (evolved(two_clients, client=THINKS, client_2=second) for second in (AWAY, THINKS))
    either = evolved(two_servers, client=THINKS)
    yield Exploration("1 x 2, from hello", two_servers, verify=good, invariant=STRICT, begin=everybody_waits)
    yield Exploration("2 x 1, a cut, one thinks", one, one_cut, invariant=STRICT, begin=everybody_agrees)
    yield Exploration("2 x 1, a cut, from the agreements", both, one_cut, invariant=STRICT, begin=everybody_agrees)
    yield Exploration("1 x 2, a cut, from the agreements", either, one_cut, invariant=STRICT, begin=everybody_agrees)
    yield Exploration("2 x 1, from hello", two_clients, verify=good, invariant=STRICT, begin=everybody_waits)
    yield Exploration("1 x 2, a cut", two_servers, Budget(cuts=1), invariant=STRICT)
    yield Exploration("2 x 1, a cut", two_clients, Budget(cuts=1), invariant=STRICT)
    yield Exploration("1 x 2", two_servers, verify=good, invariant=STRICT)
    yield Exploration("2 x 1", two_clients, verify=good, invariant=STRICT)
    anytime = evolved(ONE_EACH, client={**ASKS, **CLOSES}, server=CLOSES, relay=CLOSES)
    yield Exploration("1 x 1, all may close, a cut", anytime, Budget(cuts=1))
    yield Exploration("1 x 1, a cut and silence", ONE_EACH, Budget(cuts=1, losses=1))
    yield Exploration("1 x 1, blocked for good", ONE_EACH, Budget(blocks=1, losses=1))
    yield Exploration("1 x 1, replays", ONE_EACH, Budget(replays=1), invariant=known)
    for name, often in (("anything", 1), ("two things", 2)):
        beset = {**quietly(ONE_EACH), "stranger": stranger(may=(saying(TO_RELAY),) * often, told=forget)}
        full = Exploration(f"1 x 1, a stranger says {name}", beset, verify=good, invariant=STRICT)
        yield attrs.evolve(full, begin=everybody_waits)


# -- small explorations that together step on every row and step -------------------------------------------------------

NAME = "relay.example"
HELLO = p.encode(p.RELAY, p.HelloAsClient())
HELLO_SERVER = p.encode(p.RELAY, p.HelloAsServer(PUBLIC))
OTHER_PUBLIC = attrs.evolve(p.PublicParameters.decode(PUBLIC), salt=bytes(range(16))).encode()
UNREADABLE = p.encode(p.RELAY, p.HelloAsServer(bytes(34)))
POINT = b"\1" + bytes(31)  # the neutral element: what is left when a mask is taken from it is a good point
WRONG = b"wrong"
TO_ROOM = (b"01", p.CLOSE, b"\x80\0\0\0", b"\0\1" + bytes(17))  # the last one: a record that nobody sealed


def small() -> Iterator[Exploration]:
    """A row that no packet of an honest peer can reach is reached by a stranger."""
    yield from _small_ways()
    yield from _small_limits()
    yield from _small_strangers()
    yield from _small_rooms()
    if SOAKING:
        yield from _less_small()
        yield from _small_again()


def _small_ways() -> Iterator[Exploration]:
    yield Exploration("1 x 1", ONE_EACH, verify=good)
    yield Exploration("nobody comes", {"relay": relay(), "client": client()})
    yield Exploration("nobody there", {"client": client()})
    yield Exploration("wrong password", {**ONE_EACH, "client": client(password=WRONG)})
    yield Exploration("the client refuses", evolved(ONE_EACH, client={"policy": refusing}))
    yield Exploration("the user thinks", evolved(ONE_EACH, client={"policy": asking}))
    yield Exploration("the server may close", evolved(ONE_EACH, server=CLOSES))
    by_name = {**ONE_EACH, "client": client(relay=NAME)}
    second = (Address("192.0.2.99", 9000), Address(HOST, 9000))
    yield Exploration("by the second address", by_name, names={NAME: second})
    yield Exploration("no address", by_name, Budget(early=1))
    yield Exploration("long derivations", {**ONE_EACH, "server": server(count=1200)})
    yield Exploration("1 x 1, silent", ONE_EACH, Budget(losses=1))


def _small_limits() -> Iterator[Exploration]:
    once = PeerLimits(guesses=1)
    yield Exploration("a client guesses once", {**ONE_EACH, "client": client(password=WRONG, limits=once)})
    wrong = {**TWO_CLIENTS, "client": client(password=WRONG), "server": server(limits=once, **AWAY)}
    yield Exploration("a server is guessed once", wrong, begin=everybody_waits)
    careful = PeerLimits(free_guesses=0)
    guessed = {**TWO_CLIENTS, "client": client(password=WRONG), "server": server(limits=careful, **AWAY)}
    yield Exploration("a careful server is guessed at", guessed, begin=everybody_waits)
    other = stranger(HELLO_SERVER, HELLO_SERVER)
    yield Exploration("no uid is left", {**ONE_EACH, "relay": relay(peers=1), "stranger": other})
    yield Exploration("no pair is left", {**ONE_EACH, "relay": relay(pairs=1), "stranger": other})
    for name, hello in (("client", HELLO), ("server", HELLO_SERVER)):
        few = {"relay": relay(hellos=1), "stranger": stranger(hello, hello)}
        yield Exploration(f"no hello is left for a {name}", few)
    late = stranger(may=(saying((UNREADABLE,)),))
    unreadable = {"relay": relay(pairs=1), "client": client(policy=closing), "stranger": late, "server": server()}
    yield Exploration("no pair is left for a failure", unreadable)


def _small_strangers() -> Iterator[Exploration]:
    served = {"relay": relay(), "server": server()}
    asks, proves = (p.encode(2, packet) for packet in (p.XAndClientIdentity(POINT, EVIL), p.ClientValidator(bytes(64))))
    for name, script in (
        ("a client that says nothing", ()),
        ("a client that speaks nonsense", (b"what is this?",)),
        ("a client that asks without a point", (HELLO, b"", p.encode(2, p.XAndClientIdentity(JUNK, EVIL)))),
        ("a client that has no proof", (HELLO, b"", asks, proves)),
        ("a client of another name", (HELLO, b"", p.encode(2, p.XAndClientIdentity(POINT, "192.0.2.11:49153")))),
        ("a client that says hello again", (HELLO, b"", asks, HELLO, asks)),
        ("a client that fails", (HELLO, b"", p.encode(2, p.SpokeFailure(p.SpokeFault.PUBLIC_PACKET)), b"what?")),
        ("a server among servers", (HELLO_SERVER, asks, p.encode(1, p.XAndClientIdentity(POINT, EVIL)))),
    ):
        yield Exploration(name, {**served, "stranger": stranger(*script)})
    again = (HELLO, b"", asks, proves, HELLO, asks)
    tight = PeerLimits(guesses_of_one=1)
    yield Exploration(
        "a client that guesses twice", {**served, "server": server(limits=tight), "stranger": stranger(*again)}
    )
    alone = {"relay": relay(), "client": client()}
    answer, guess = (p.encode(1, p.YAndServerValidator(point, bytes(64))) for point in (JUNK, POINT))
    for name, script in (
        ("a server without a point", (HELLO_SERVER, answer)),
        ("a server of another version", (UNREADABLE,)),
        ("a server that comes twice", (HELLO_SERVER, p.encode(p.RELAY, p.HelloAsServer(OTHER_PUBLIC)))),
        ("a server that is silent", (HELLO_SERVER,)),
        ("a server that fails", (HELLO_SERVER, b"", p.encode(1, p.SpokeFailure(p.SpokeFault.POINT)), HELLO_SERVER)),
        ("a server that leaves", (HELLO_SERVER, b"", guess, b"what?")),
    ):
        yield Exploration(name, {**alone, "stranger": stranger(*script)})
    again = (HELLO_SERVER, b"", guess, HELLO_SERVER)
    yield Exploration(
        "a server that guesses twice", {**alone, "client": client(limits=tight), "stranger": stranger(*again)}
    )
    yield Exploration("anything is said to a client", {**alone, "stranger": stranger(may=(saying(TO_RELAY),) * 2)})


def _small_rooms() -> Iterator[Exploration]:
    stuck = evolved(ONE_EACH, client=CLOSES, server={"policy": sending_later})
    yield Exploration("the writer is stuck", stuck, Budget(blocks=1), begin=everybody_talks)
    alone = {"relay": relay(), "client": client()}
    yield Exploration("a reader that is stuck for good", alone, Budget(blocks=1, losses=1))
    yield Exploration("a visitor says nothing", {"relay": relay(), "stranger": stranger(to=9001)})


def _inserted(party: str) -> Exploration:
    inserts = tuple(Insert(party, one) for one in (p.encode(p.RELAY, p.Timeout()), *TO_ROOM))
    return Exploration(f"inserted at the {party}", ONE_EACH, Budget(inserts=1), invariant=known, inserts=inserts)


def _less_small() -> Iterator[Exploration]:
    """What takes most of the time; vectors and tests notice the mutants that only these explorations notice."""
    yield Exploration("1 x 1, cut", ONE_EACH, Budget(cuts=1), invariant=all_of(honest, known, informed))
    back = {**ONE_EACH, "server": server(comes_back=True)}
    yield Exploration("a server comes back from a room that is lost", back, Budget(cuts=1))
    yield Exploration("a server comes back from an empty room", back, Budget(early=1))
    visitor = stranger(to=9001, may=(saying(TO_SECURE_PORT),), told=forget)
    visited = evolved({**quietly(ONE_EACH), "stranger": visitor}, client=THINKS, server=AWAY)
    yield Exploration("a visitor says anything", visited, begin=everybody_agrees)
    yield _inserted("server")


def _small_again() -> Iterator[Exploration]:
    """What steps on the same rows and steps as the others, and notices no other mutants."""
    yield Exploration("the client may close", evolved(ONE_EACH, client=CLOSES))
    yield Exploration("the relay may close", evolved(ONE_EACH, relay=CLOSES))
    careful = PeerLimits(free_guesses=0)
    away = {**TWO_CLIENTS, "server": server(limits=careful, **AWAY)}
    yield Exploration("a careful server", away, begin=everybody_waits)
    choosing = {**TWO_SERVERS, "client": client(limits=careful)}
    yield Exploration("a careful client", choosing, begin=everybody_waits)
    guessed = {**choosing, "server": server(password=WRONG)}
    yield Exploration("a careful client is guessed at", guessed, begin=everybody_waits)
    served = {"relay": relay(), "server": server(), "stranger": stranger(may=(saying(TO_RELAY),) * 2)}
    yield Exploration("anything is said to a server", served)
    yield _inserted("client")


# -- tables ------------------------------------------------------------------------------------------------------------

CLASSES: tuple[type[Any], ...] = (Relay, Receiver, Server, Channel)
TABLES: tuple[Any, ...] = (
    PEER,
    KDF,
    TURNS,
    OFFER,
    HANDSHAKE,
    MEMBER,
    PAIR,
    VISITOR,
    ROOM,
    CHANNEL,
)
