"""A cast of a relay and its clients for the explorer, and what has to hold in their worlds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import attrs

from sansproto.contract import Address, Phase
from sansproto.events import Closed
from sansproto.testing._internal.parties import Decision
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.explorer import Budget, Insert, Party, Report, Scene, Verb, explore
from sansproto.tox import (
    RELAY_PORT,
    KeyPair,
    Linked,
    Relay,
    RelayClient,
    RelayClientDelays,
    RelayClientLimits,
    RelayedReceived,
    RelayLost,
    RelayServer,
    RelayServerDelays,
)

HERE = Address("192.0.2.9", 443)
SERVER, A, B = (KeyPair.of(bytes([number]) * 32) for number in (7, 8, 9))
DATA = b"data"

# Powers of two, so that equal situations stay equal; and no two timers of one party are due at once by accident.
CLIENT_DELAYS = RelayClientDelays(
    connect=64.0,
    stalled=256.0,
    unread=256.0,
    linger=32.0,
    opening=16.0,
    ping=128.0,
    pong=8.0,
    redial=2.0,
    redial_most=4.0,
)
SERVER_DELAYS = RelayServerDelays(
    connect=64.0,
    stalled=256.0,
    unread=256.0,
    linger=32.0,
    hello=32.0,
    confirm=64.0,
    ping=512.0,
    pong=4.0,
    hellos=2**-6,
    turn=2**-5,
)


class Mortal(RelayClient):
    """Its application closes it after some pings: else it would go on for ever, and no two of its frames are equal."""

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        if any(relay.pings > 3 or relay.failures > 3 for relay in self.relays.values()):
            self.close(now)


def chatting(other: KeyPair) -> Callable[[Any], Decision]:
    """The application of a client that greets whom it is linked with, and closes when it was greeted."""

    def decide(event: Any) -> Decision:
        if isinstance(event, Linked):
            return ((Verb("send", (other.public, DATA)),),)
        return ((Verb("close"),),) if isinstance(event, RelayedReceived) else ()

    return decide


def fickle(other: KeyPair) -> Decision:
    """What a client may do at any time: give the other one up, for a while or for good."""
    gone, back = Verb("unroute", (other.public,)), Verb("route", (other.public,))
    return (gone,), (gone, back), ()


def told(event: Any) -> Any:
    """Losing the relay again and again is no difference."""
    return None if isinstance(event, RelayLost) else event


def client(number: int, own: KeyPair, other: KeyPair) -> Party:
    return Party(
        Mortal,
        {
            "relay": Relay(SERVER.public, HERE),
            "private_key": own.secret,
            "entropy": ScriptedEntropy(seed=bytes([number]), stateless=True),
            "delays": CLIENT_DELAYS,
            "limits": RelayClientLimits(routes=2),
        },
        start=(Verb("connect"), Verb("route", (other.public,))),
        policy=chatting(other),
        told=told,
        host=f"192.0.2.{10 + number}",
    )


RELAY = Party(
    RelayServer,
    {"private_key": SERVER.secret, "entropy": ScriptedEntropy(stateless=True), "delays": SERVER_DELAYS},
    listens={HERE: RELAY_PORT},
    host=HERE.host,
    told=lambda _: None,
)
TWO: Mapping[str, Party] = {"relay": RELAY, "a": client(1, A, B), "b": client(2, B, A)}
FICKLE: Mapping[str, Party] = {**TWO, "b": attrs.evolve(TWO["b"], may=(fickle(A),))}
TWINS: Mapping[str, Party] = {**TWO, "a again": client(3, A, B)}

# -- what is known about them ------------------------------------------------------------------------------------------


class Known(NamedTuple):
    """A relay: the wishes of its clients, and what it may not hold once they are gone."""

    wishes: dict[tuple[bytes, bytes], tuple[int, int]]
    left_over: tuple[str, ...]


def known(session: RelayServer) -> Known:
    held: dict[str, Any] = {
        "visitors": session.visitors,
        "clients": session.clients,
        "ids": session.held_ids,
        "half-open": session.half_open.size,
        "unconfirmed": session.unconfirmed.size,
        "hellos": session.greetings.queue.size,
        "turns": session.frames.queue.size,
        "links": session.links,
    }
    clients = [session.visitors[link] for link in session.clients.values()]
    wishes = {(one.key, wish.key): (number, wish.peer) for one in clients for number, wish in one.wishes.items()}
    return Known(wishes, tuple(name for name, what in held.items() if what))


def linked(session: RelayClient) -> dict[bytes, int]:
    """The ids of those with whom it believes to be linked."""
    return {
        key: route.id
        for relay in session.relays.values()
        for key, route in relay.routes.items()
        if relay.is_linked(key)
    }


def clients(scene: Scene) -> Iterator[str]:
    yield from (name for name in scene if name != "relay")


# -- what has to hold --------------------------------------------------------------------------------------------------


def true(scene: Scene) -> Iterator[str]:
    """Ids are never confused, and nobody hears what was not said."""
    wishes = scene["relay"].ask(known).wishes
    for (one, other), (number, peer) in wishes.items():
        if peer and wishes.get((other, one)) != (peer, number):
            yield f"{one.hex()[:4]} is linked with {other.hex()[:4]}, who is not"
    for name in clients(scene):
        for event in scene[name].told:
            if isinstance(event, RelayedReceived) and event != RelayedReceived(
                (B if name[0] == "a" else A).public, DATA
            ):
                yield f"{name} hears {event}"


def is_quiet(scene: Scene) -> bool:
    """Will nothing happen before a timer is due, or an application decides?"""
    pauses = [scene[name].next_timeout for name in scene]
    ends = [end for stream in scene.world.streams for end in (stream.a, stream.b)]
    is_still = all(end.link > 0 and not (end.inbound or end.eof or end.lost or end.blocked) for end in ends)
    return is_still and min((pause for pause in pauses if pause), default=1.0) > 1e-9


def agreed(scene: Scene) -> Iterator[str]:
    """When it is quiet, and no stream is silent, clients and relay believe the same."""
    if not is_quiet(scene) or any(stream.silent for stream in scene.world.streams):
        return
    wishes = scene["relay"].ask(known).wishes
    for name in clients(scene):
        if name == "a again" or "a again" in scene:
            continue
        own = (A if name[0] == "a" else B).public
        theirs = {other: number for (one, other), (number, peer) in wishes.items() if one == own and peer}
        if scene[name].ask(linked) != theirs:
            yield f"{name} believes to be linked by {scene[name].ask(linked)}, the relay: {theirs}"


def over(final: Scene) -> Iterator[str]:
    """In the end everybody was told so, once, and the relay holds nothing of them."""
    for name in clients(final):
        events = final[name].told
        if [event for event in events if isinstance(event, Closed)] != [*events[-1:]]:
            yield f"{name} was told {events}"
        if final[name].phase is not Phase.CLOSED:
            yield f"{name} waits for ever"
    for what in final["relay"].ask(known).left_over:
        yield f"the relay still holds {what}"


def good(final: Scene) -> Iterator[str]:
    """Both were greeted."""
    yield from over(final)
    for name in clients(final):
        if not any(isinstance(event, RelayedReceived) for event in final[name].told):
            yield f"{name} was not greeted: {final[name].told}"


NO_FAULTS = Budget()


@attrs.frozen
class Exploration:
    name: str
    parties: Mapping[str, Party]
    budget: Budget = NO_FAULTS
    verify: Callable[[Scene], Iterable[str]] = over
    inserts: tuple[Insert, ...] = ()

    def run(self, max_states: int = 1_000_000) -> Report:
        return explore(
            self.parties,
            budget=self.budget,
            verify=self.verify,
            invariant=lambda scene: [*true(scene), *agreed(scene)],
            inserts=self.inserts,
            max_states=max_states,
            reduced=True,
        )


JUNK = tuple(Insert(to, data) for to in ("relay", "a") for data in (bytes(2), b"\0\x20" + bytes(32), b"\xff\xff"))
EXPLORATIONS = (
    Exploration("two", TWO, verify=good),
    Exploration("two, one cut", TWO, Budget(cuts=1)),
    Exploration("two, one silent stream", TWO, Budget(losses=1)),
    Exploration("two, in pieces", TWO, Budget(splits=2), good),
    Exploration("two, one early timer", TWO, Budget(early=1)),
    Exploration("two, a block", TWO, Budget(blocks=1)),
    Exploration("two, junk", TWO, Budget(inserts=1), inserts=JUNK),
    Exploration("two, a replay", TWO, Budget(replays=1)),
    Exploration("one changes its mind", FICKLE),
    Exploration("two with one key", TWINS),
)
LONG = (
    Exploration("one changes its mind, one cut", FICKLE, Budget(cuts=1)),
    Exploration("two, two cuts", TWO, Budget(cuts=2)),
    Exploration("two, a cut and a silent stream", TWO, Budget(cuts=1, losses=1)),
    Exploration("two with one key, one cut", TWINS, Budget(cuts=1)),
)
