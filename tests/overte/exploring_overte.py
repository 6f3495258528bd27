"""Casts of Overte for the explorer, what has to hold in their worlds, and explorations of them by name.

Keep-alives go on for ever, so worlds are cyclic: what only counts or dates is left out of the state (see the parties),
and a world counts as good if it is *settled* or if a settled one can be reached from it.

How long may one end think that they are connected while the other knows better? A list that reaches the client comes
from a server that has it as a member under just these ids, and a list request that reaches the server from a client
that has these ids. So ``sound``, which bounds the age of both, bounds the asymmetry, but for the time that
datagrams are on the way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Set
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any, NamedTuple, cast

import attrs

from sansproto.component import components_of
from sansproto.contract import Address, Instant, Path, Phase, SendDatagram
from sansproto.endpoint import DatagramEndpoint, Received
from sansproto.errors import WireError
from sansproto.events import Closed
from sansproto.overte import packets as p
from sansproto.overte.client import DomainClient
from sansproto.overte.connection import Connection, ConnectionState
from sansproto.overte.events import Connected, Disconnected, NodeMeasured, Renumbered
from sansproto.overte.header import Control, decode_datagram
from sansproto.overte.ice import IceServer
from sansproto.overte.ice_events import DomainKeyWanted, KeyRefused
from sansproto.overte.limits import ClientDelays, ClientLimits, ServerDelays, ServerLimits
from sansproto.overte.lists import Told
from sansproto.overte.node import Node
from sansproto.overte.policy import Policy
from sansproto.overte.registration import Registration
from sansproto.overte.remote import SOCKET, Remote, path_of
from sansproto.overte.server import DomainServer
from sansproto.overte.server_events import NodeJoined, NodeLeft
from sansproto.overte.stun import COOKIE, AttributeHead, BindingRequest, BindingResponse, XorMappedAddress
from sansproto.snapshot import CACHED
from sansproto.testing._internal.parties import Parties
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.explorer import Budget, Insert, Party, Report, Scene, Verb, explore
from sansproto.trace import place_name

DOMAIN = Address("198.51.100.1", 40102)
CLIENT = Address("203.0.113.7", 48001)
MIXER = Address("198.51.100.10", 40111)
STRANGER = Path(SOCKET, "203.0.113.66", 666)
DOMAIN_ID, ASSIGNMENT = b"d" * 16, b"m" * 16
EPOCH = 1.7e9
NOTHING: Mapping[str, Any] = {}

# Powers of two in small ratios, near the real ones: cycles are short, and equal situations stay equal.
TIMES: Mapping[str, float] = {"handshake": 0.125, "resend": 0.5, "slowest_resend": 4.0, "undelivered": 8.0}
CLIENT_DELAYS = ClientDelays(
    **TIMES, lookup=4.0, check_in=1.0, give_up=16.0, answer=4.0, ping=1.0, punch=1.0, silence=8.0, refresh=8.0
)
SERVER_DELAYS = ServerDelays(**TIMES, silence=8.0, repeated=4.0, lookup=4.0)
CLIENT_LIMITS = ClientLimits(copies=2)

# -- the parties -------------------------------------------------------------------------------------------------------


class ExploredConnection(Connection):
    """A connection that does not say how long the one before it lasted."""

    def adopt(self, told: Told) -> None:
        super().adopt(told)
        cast(Client, self.host).listed = self.host.clock

    def reset(self) -> None:
        super().reset()
        self.uptime = 0


class ExploredNode(Node):
    """A node whose pings, and the samples of whose clock, are remembered once."""

    __slots__ = ()

    def send_ping(self) -> None:
        super().send_ping()
        self.pings = list(dict.fromkeys(self.pings))

    def send_punches(self) -> None:
        super().send_punches()
        self.pings = list(dict.fromkeys(self.pings))

    def measure(self, replied: Received[p.PingReply]) -> None:
        super().measure(replied)
        self.samples.clear()


class Client(DomainClient):
    """A client that explores well, with what its application believes.

    Left out of its state are the unreliable sequence numbers, which no receiver looks at, and how long the last
    connection lasted, which is only reported. Times stand still, so it remembers each ping, and each clock sample, of
    a node once. A channel's first number follows from the session and the number before.
    """

    belief: tuple[str, bytes, int]  # what the application was told last: a word, and the ids
    listed: Instant  # when the last list was adopted
    _sequences: Annotated[OrderedDict[Remote, int], CACHED]

    def __init__(self, **arguments: Any) -> None:
        self.belief = ("away", b"", 0)
        self.listed = 0.0
        super().__init__(**arguments)

        own = self.connection
        parts = own.own, own.nodes, own.queries
        self.connection = ExploredConnection(self, own.ways.target, own.introduction, *parts, by_ice=own.ways.by_ice)
        self.node_table.nodes.make = lambda key: ExploredNode(self, self.node_table, key)

    def freeze(self, base: float, **rest: Any) -> Any:
        self.connection.membership = attrs.evolve(self.connection.membership, since=0.0)
        if self.connection.state is not ConnectionState.CONNECTED:
            self.listed = 0.0
        return super().freeze(base, **rest)

    def emit(self, event: Any) -> None:
        super().emit(event)
        if isinstance(event, (Connected, Renumbered)):
            self.belief = ("connected", event.session_id, event.local_id)
        elif isinstance(event, Disconnected):
            self.belief = ("away", b"", 0)
        elif isinstance(event, Closed):
            self.belief = ("closed", b"", 0)

    def draw(self, n: int, purpose: str) -> bytes:
        return super().draw(n, _numbered(self, purpose, lambda path: self.local_id))


class AnEndlessRound(Registration):
    """A registration of which the numbers of look-ups come round."""

    def look_up(self) -> None:
        self.query %= 2
        super().look_up()


class Server(DomainServer):
    """A server that explores well, with whom its application believes to be there, and two whims of that.

    Left out of its state are the unreliable sequence numbers, and what is older than counts: when a node joined, and
    how often a host was answered. A channel's first number follows from the session and the number before. The numbers
    of look-ups come round.
    """

    guests: dict[bytes, None]
    is_refused: bool  # an ice-server does not accept its key: this is told again and again
    _is_shut: bool
    _sequences: Annotated[OrderedDict[Remote, int], CACHED]

    def __init__(self, **arguments: Any) -> None:
        self.guests = {}
        self.is_refused = False
        self._is_shut = False
        super().__init__(**arguments)
        make = self.registration.make
        self.registration.make = lambda key: AnEndlessRound(self, make(key).servers)

    def freeze(self, base: float, **rest: Any) -> Any:
        long_ago = self.clock - self.delays.repeated
        for member in self.members.by_local_id.values():
            member.joined = max(member.joined, long_ago)
        for host, answers in tuple(self.admission.answers.items()):
            if answers.since <= long_ago:
                del self.admission.answers[host]
        return super().freeze(base, **rest)

    def rebuild(self) -> None:
        super().rebuild()
        if self._is_shut:
            self.policy = SHUT

    def throw_out(self, now: float) -> None:
        for node_id in tuple(self.members.by_id):
            self.kick(node_id, now)

    def shut(self, now: float) -> None:
        self._is_shut = True
        self.change_policy(SHUT, now)

    def emit(self, event: Any) -> None:
        super().emit(event)
        if isinstance(event, NodeJoined):
            self.guests[event.node_id] = None
        elif isinstance(event, NodeLeft):
            del self.guests[event.node_id]
        elif isinstance(event, KeyRefused):
            self.is_refused = True

    def draw(self, n: int, purpose: str) -> bytes:
        return super().draw(n, _numbered(self, purpose, lambda path: self.members.by_path[path].local_id))


SHUT = Policy(anonymous=0)


class Introducer(IceServer):
    """An ice-server that explores well: without the unreliable sequence numbers."""

    _sequences: Annotated[OrderedDict[Remote, int], CACHED]


class Bystander(DatagramEndpoint[Closed, Any]):
    """Somebody with a socket who answers nobody."""

    def __init__(self) -> None:
        super().__init__(entropy=None, limits=ServerLimits(), trace=None)

    def socket_bound(self, socket: str, address: Address, now: float) -> None:
        """It knows."""

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        """It listens."""


class Reflector(Bystander):
    """A STUN server."""

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        asked = BindingRequest.decode(data)
        port = bytes(one ^ other for one, other in zip(path.port.to_bytes(2, "big"), COOKIE, strict=False))
        host = bytes(one ^ other for one, other in zip(ip_address(path.host).packed, COOKIE, strict=True))
        attribute = AttributeHead(0x20, 8).encode() + XorMappedAddress(0, 1, port, host).encode()
        answer = BindingResponse(len(attribute), asked.transaction, attribute)
        self._outbox.append(SendDatagram(answer.encode(), path))


def _numbered(session: Any, purpose: str, local_id: Callable[[Path], int]) -> str:
    """The purpose of a draw; of a channel's first number with the session, and the number before."""
    what, *place = purpose.replace(":", ".").split(".")
    if what != "channel":
        return purpose
    *host, port, _ = place
    remote = ".".join(host), int(port), 0
    before = session.channels.senders.get(remote)  # none while the channel begins
    return f"{purpose} {local_id(path_of(remote))} {0 if before is None else before.first}"


def forget(_: Any) -> None:
    """Keep no event."""


def told(event: Any) -> Hashable | None:
    """All but what is told again and again."""
    if isinstance(event, (NodeMeasured, KeyRefused, DomainKeyWanted)):
        return None
    return event if type(event).__hash__ is not None else type(event).__name__


def entropy(name: str, life: int = 0) -> ScriptedEntropy:
    return ScriptedEntropy(seed=f"{name} {life}".encode(), stateless=True)


def server(*, start: tuple[Verb, ...] = (), arguments: Mapping[str, Any] = NOTHING, **rest: Any) -> Party:
    given: dict[str, Any] = {
        "entropy": entropy("server"),
        "wall_epoch": EPOCH,
        "domain_id": DOMAIN_ID,
        "delays": SERVER_DELAYS,
        **arguments,
    }
    fields: dict[str, Any] = {
        "told": forget,
        "restarts": True,
        "anew": lambda life: {"entropy": entropy("server", life)},
    }
    return Party(Server, given, start=start, sockets={SOCKET: DOMAIN}, host=DOMAIN.host, **{**fields, **rest})


def client(*, at: Address = CLIENT, arguments: Mapping[str, Any] = NOTHING, **rest: Any) -> Party:
    given: dict[str, Any] = {
        "host": DOMAIN.host,
        "port": DOMAIN.port,
        "entropy": entropy(at.host),
        "wall_epoch": EPOCH,
        "delays": CLIENT_DELAYS,
        "limits": CLIENT_LIMITS,
        "interest": b"M",
        "fingerprint": at.host.encode().ljust(16, b"\1"),
        **arguments,
    }
    fields: dict[str, Any] = {"told": forget, "behind_nat": True, "start": (Verb("connect"),)}
    return Party(Client, given, sockets={SOCKET: at}, host=at.host, **{**fields, **rest})


MIXING: Mapping[str, Any] = {"assignment": ASSIGNMENT, "node_type": p.NodeType.AUDIO_MIXER, "interest": b"I"}


def mixer(**rest: Any) -> Party:
    return client(at=MIXER, arguments=MIXING, behind_nat=False, **rest)


NAMES = {DOMAIN.host: (DOMAIN,)}
PAIR: Mapping[str, Party] = {"server": server(), "client": client()}
THREE: Mapping[str, Party] = {
    "server": server(start=(Verb("assign", (ASSIGNMENT, p.NodeType.AUDIO_MIXER)),)),
    "mixer": mixer(),
    "client": client(arguments={"interest": b"M"}),
}
CLOSES: Mapping[str, Any] = {"may": (((Verb("close"),), ()),)}
RESTARTS: Mapping[str, Any] = {"restarts": True, "anew": lambda life: {"entropy": entropy(CLIENT.host, life)}}


def evolved(parties: Mapping[str, Party], **changes: Mapping[str, Any]) -> dict[str, Party]:
    """The parties with attributes of some of them changed, by name."""
    return {name: attrs.evolve(party, **changes.get(name, {})) for name, party in parties.items()}


# -- what is known about the parties of a world ------------------------------------------------------------------------


class Standing(NamedTuple):
    """A client."""

    state: ConnectionState
    phase: Phase
    ids: tuple[bytes, int]
    belief: tuple[str, bytes, int]
    listed: float  # seconds ago
    is_busy: bool  # questions are open, or something waits for its acknowledgement
    nodes: tuple[tuple[Any, ...], ...]
    left_over: tuple[str, ...]


def standing(session: Client) -> Standing:
    return Standing(
        ConnectionState.CLOSED if session.phase is Phase.CLOSED else session.connection.state,
        session.phase,
        (session.session_id, session.local_id),
        session.belief,
        -session.listed,
        bool(session.queries.open) or is_sending(session),
        tuple((node.key, node.state.name, node.active, *node.sockets) for node in session.node_table.nodes.values()),
        left_over(session),
    )


class Register(NamedTuple):
    """A server."""

    phase: Phase
    members: dict[tuple[str, int], tuple[bytes, int]]  # ids by address
    heard: tuple[float, ...]  # seconds ago
    guests: frozenset[bytes]  # whom the application believes to be there
    is_refused: bool
    is_busy: bool
    left_over: tuple[str, ...]


def register(session: Server) -> Register:
    members = session.members.by_local_id.values()
    return Register(
        session.phase,
        {(one.entry.path.host, one.entry.path.port): (one.node_id, one.local_id) for one in members},
        tuple(-member.heard for member in members),
        frozenset(session.guests),
        session.is_refused,
        is_sending(session),
        left_over(session),
    )


def is_sending(session: Any) -> bool:
    return any(sender.in_flight or sender.count_waiting for sender in session.channels.senders.values())


def left_over(session: Any) -> tuple[str, ...]:
    """Parts in a state that is neither idle nor terminal, without a timer; channels with those who are gone."""
    armed = {part for (part, _), _ in session._timers}
    channels = {*session.channels.senders, *session.channels.receivers}
    found = [f"a channel with {key}" for key in channels if not session.accepts_channel(Path(SOCKET, *key))]
    for part in components_of(session) if session.phase is not Phase.CLOSED else ():
        resting = part.state in part.table.idle or part.state in part.table.terminal
        if not resting and part not in armed:
            found.append(f"{place_name(part.place)} in {part.state.name}")
    return tuple(found)


def specs(scene: Scene) -> Iterable[tuple[str, Party]]:
    return zip(scene._parties.names, scene._parties.specs, strict=True)


def clients(scene: Scene) -> Iterator[tuple[str, Standing]]:
    for name, party in specs(scene):
        if party.kind is Client:
            yield name, scene[name].ask(standing)


def address_of(scene: Scene, name: str) -> tuple[str, int]:
    """Where the others see a client. Only one of them moves, to the next port each time."""
    party = dict(specs(scene))[name]
    own = party.sockets[SOCKET]
    return own.host, own.port + scene.world.bound * party.behind_nat


# -- what has to hold --------------------------------------------------------------------------------------------------

LIVES = 3  # of a server, at most


@lru_cache(4096)
def was_given_out(node_id: bytes, local_id: int) -> bool:
    """Did the server ever make a session with these ids?"""
    purpose = f"node.{local_id}.id"
    return any(entropy("server", life)(16, purpose=purpose) == node_id for life in range(LIVES))


def of_client(session: Client) -> tuple[str, ...]:
    one, found = standing(session), list[str]()
    most = (session.limits.silent_check_ins + 1) * session.delays.check_in
    if one.state is ConnectionState.CONNECTED and one.listed > most:
        found.append(f"it is connected, but got its last list {one.listed:g} s ago")
    truth = {ConnectionState.CONNECTED: ("connected", *one.ids), ConnectionState.CLOSED: ("closed", b"", 0)}
    if one.state is ConnectionState.SETTLING:
        truth[one.state] = one.belief if one.belief[0] == "connected" else ("connected", *one.ids)
    if one.belief != truth.get(one.state, ("away", b"", 0)):
        found.append(f"its application believes {one.belief}, but it is {one.state.name} with {one.ids}")
    if (one.phase is Phase.OPEN) is not (one.state in (ConnectionState.CONNECTED, ConnectionState.SETTLING)):
        found.append(f"it is {one.state.name} in the phase {one.phase.name}")
    return *found, *(f"{what} is left over" for what in one.left_over)


def of_server(session: Server) -> tuple[str, ...]:
    domain = register(session)
    found = [f"a member was silent for {age:g} s" for age in domain.heard if age > session.delays.silence]
    if domain.guests != {node_id for node_id, _ in domain.members.values()}:
        found.append(f"its application believes in {domain.guests}, but there are {domain.members}")
    return *found, *(f"{what} is left over" for what in domain.left_over)


def sound(scene: Scene) -> Iterator[str]:
    """Nobody is taken for connected for longer than the protocol allows, applications know how things are, and nobody
    waits for ever."""
    for name, party in specs(scene):
        if party.kind in (Client, Server):
            for complaint in scene[name].ask(of_client if party.kind is Client else of_server):
                yield f"{name}: {complaint}"


def undeceived(scene: Scene) -> Iterator[str]:
    """Who thinks to be connected was let in by the server, under these ids."""
    for name, one in clients(scene):
        if one.state is ConnectionState.CONNECTED and not was_given_out(*one.ids):
            yield f"{name} is connected under ids that the server never gave"


Check = Callable[[Scene], Iterable[str]]


def all_of(*checks: Check) -> Check:
    return lambda scene: [complaint for check in checks for complaint in check(scene)]


TRUTHFUL = all_of(sound, undeceived)


def is_settled(scene: Scene) -> bool:
    """Are all clients connected, under the ids that the server has for their addresses, or closed and forgotten?"""
    if scene.world.datagrams or scene.world.lookups:
        return False
    domain = scene["server"].ask(register)
    expected = {}
    for name, one in clients(scene):
        if one.state is ConnectionState.CONNECTED and not one.is_busy:
            expected[address_of(scene, name)] = one.ids
        elif one.state is not ConnectionState.CLOSED:
            return False
    return domain.phase is Phase.OPEN and domain.members == expected and not domain.is_busy


def is_connected(scene: Scene) -> bool:
    """Settled, and nobody has left."""
    return is_settled(scene) and all(one.state is ConnectionState.CONNECTED for _, one in clients(scene))


# -- explorations ------------------------------------------------------------------------------------------------------

NO_FAULTS = Budget()


@attrs.frozen
class Exploration:
    """``ends`` is what the parties may be told and what they say, kept for comparison."""

    name: str
    parties: Mapping[str, Party] | Parties
    budget: Budget = NO_FAULTS
    invariant: Check = TRUTHFUL
    settled: Callable[[Scene], bool] = is_settled
    inserts: tuple[Insert, ...] = ()
    begin: Callable[[Scene], bool] | None = None
    names: Mapping[str, tuple[Address, ...]] = attrs.field(factory=lambda: NAMES)
    is_endless: bool = False  # there are more states than memory has room for

    def run(
        self, max_states: int = 2_000_000, *, expected: Set[Hashable] | None = None, **changes: Any
    ) -> tuple[Report, set[Hashable]]:
        """The report; and what was told in worlds in which nothing is in flight, and all that was ever said.

        No more than this is ``expected``.
        """
        this = attrs.evolve(self, **changes)
        ends: set[Hashable] = set()

        def invariant(scene: Scene) -> Iterator[str]:
            if scene.world.datagrams:
                found: set[Hashable] = {*scene.world.datagrams}
            else:
                found = {(*(scene[name].told for name in scene), *(one.nodes for _, one in clients(scene)))}
                if "server" in scene:
                    found.add(scene["server"].ask(register).is_refused)
            ends.update(found)
            yield from this.invariant(scene)
            if expected is not None and not found <= expected:
                yield "another end"

        report = explore(
            this.parties,
            budget=this.budget,
            verify=this.verify,
            invariant=invariant,
            settled=this.settled,
            inserts=this.inserts,
            names=this.names,
            max_states=max_states,
            begin=this.begin,
            show=show,
        )
        return report, ends

    def verify(self, final: Scene) -> Iterable[str]:
        return [] if self.settled(final) else ["it ends unsettled"]


def show(data: bytes) -> str:
    """A datagram as paths of violations have it."""
    try:
        head, payload = decode_datagram(data)
        if isinstance(head, Control):
            return f"{head.type.name} {head.sequence}"
        kind = p.PACKETS.get(head.type.value)
        said = payload if kind is None else kind.decode(payload)
    except WireError:
        return data.hex()
    return f"{head.type.name} {head.source or ''} {said}"


# -- explorations of their own worth -----------------------------------------------------------------------------------


def explorations() -> Iterator[Exploration]:
    """What is tried every time: the first of them has more than 30,000 states."""
    pair = Parties(PAIR)
    yield Exploration("with a mixer, a loss", THREE, Budget(losses=1), begin=is_connected)
    yield Exploration("2 losses, 2 duplicates", pair, Budget(losses=2, duplicates=2))
    yield Exploration("a replay and a loss", pair, Budget(replays=1, losses=1))
    yield Exploration("a restart, early", pair, Budget(early=1, restarts=1))
    yield Exploration("a move, early", pair, Budget(early=1, moves=1))
    yield Exploration("the client may close", evolved(PAIR, client=CLOSES), Budget(losses=1, restarts=1))
    yield Exploration("either restarts", evolved(PAIR, client=RESTARTS), Budget(restarts=1))


def long_explorations() -> Iterator[Exploration]:
    """What takes longer. Some have more states than anybody waits for: they are seen as far as that goes."""
    yield Exploration("a restart and a move", PAIR, Budget(restarts=1, moves=1, losses=1))
    yield Exploration("a restart and a replay", PAIR, Budget(replays=1, restarts=1))
    yield Exploration("a restart, a replay and a loss", PAIR, Budget(losses=1, replays=1, restarts=1))
    yield Exploration("a restart, a loss, early", PAIR, Budget(losses=1, early=1, restarts=1))
    yield Exploration("a move, and all that a network does", PAIR, Budget(losses=1, early=1, moves=1))
    yield Exploration("a loss, a duplicate, early", PAIR, Budget(losses=1, duplicates=1, early=1))
    yield Exploration("either restarts, a loss", evolved(PAIR, client=RESTARTS), Budget(restarts=1, losses=1))
    everything = Budget(losses=1, duplicates=1, early=1, restarts=1)
    yield Exploration("a restart, and all that a network does", PAIR, everything, is_endless=True)
    three = Budget(losses=3, duplicates=2, early=1)
    yield Exploration("3 losses, 2 duplicates, early", PAIR, three, is_endless=True)
    yield Exploration("a restart, a move, early", PAIR, Budget(losses=1, early=1, moves=1, restarts=1))
    yield Exploration("two replays", PAIR, Budget(replays=2), is_endless=True)
    yield Exploration("2 moves, 2 losses", PAIR, Budget(losses=2, moves=2))
    closing = evolved(PAIR, client=CLOSES)
    yield Exploration("the client may close, duplicates", closing, Budget(losses=1, duplicates=1, restarts=1))
    both = evolved(PAIR, client=RESTARTS)
    yield Exploration("two restarts", both, Budget(restarts=2, losses=1), is_endless=True)
    yield Exploration("with a mixer, a loss and a duplicate", THREE, Budget(losses=1, duplicates=1), begin=is_connected)
    yield Exploration("with a mixer that may close", evolved(THREE, mixer=CLOSES), begin=is_connected)
