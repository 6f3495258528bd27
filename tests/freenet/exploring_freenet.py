"""A gateway and a joiner for the explorer, an attacker who sees, replays and spoofs, and what has to hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from scripted_freenet import GATE, JOIN, make_intro, of

from sansproto.contract import Address, Path, Phase
from sansproto.freenet import (
    Confirmed,
    Connected,
    FreenetDelays,
    FreenetGateway,
    FreenetPeer,
    MessageReceived,
    PeerLost,
)
from sansproto.testing._internal.parties import Decision, Restarted
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.explorer import Budget, Insert, Party, Report, Scene, Verb, explore

GATE_AT, JOIN_AT = Address("192.0.2.1", 7000), Address("192.0.2.2", 7001)
TO_GATE = Path("udp", GATE_AT.host, GATE_AT.port)
FROM_JOINER = Path("udp", JOIN_AT.host, JOIN_AT.port)

# Powers of two, so that equal situations stay equal.
DELAYS = FreenetDelays(
    repeat=0.5,
    round=2.0,
    pause=1.0,
    prove=4.0,
    prove_repeat=1.0,
    candidate=4.0,
    candidate_max=8.0,
    quiet=16.0,
    quiet_answered=16.0,
    dead=24.0,
    receipt=2**-4,
    again=2**-3,
)


class MortalGateway(FreenetGateway):
    """Its application closes it when all its sessions are over: else nothing would be final."""

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        if self.count and not self.places:
            self.close(now)


class MortalPeer(FreenetPeer):
    """Its application closes it when it has called often enough."""

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        if any(place.call.part is not None and place.call.part.drawn > 3 for place in self.places.values()):
            self.close(now)


def echo(event: Any) -> Decision:
    if isinstance(event, MessageReceived):
        return ((Verb("send", (event.generation, b"echo " + event.data)),),)
    return ()


def chat(event: Any) -> Decision:
    """Says one thing in each session that is confirmed, and closes when that comes back."""
    if isinstance(event, Confirmed):
        return ((Verb("send", (event.generation, b"hello")),),)
    return ((Verb("close"),),) if isinstance(event, MessageReceived) else ()


def told(event: Any) -> Any:
    """What is checked in the end."""
    if isinstance(event, MessageReceived):
        return "message", event.generation, event.data
    if isinstance(event, PeerLost):
        return "lost", event.generation, event.replaced
    return ("connected", event.generation) if isinstance(event, Connected) else None


def anew(nth: int) -> Mapping[str, Any]:
    return {"entropy": ScriptedEntropy(seed=b"life %d" % nth, stateless=True)}


GATEWAY = Party(
    MortalGateway,
    {"private_key": GATE.secret, "entropy": ScriptedEntropy(seed=b"g", stateless=True), "delays": DELAYS},
    policy=echo,
    told=told,
    host=GATE_AT.host,
    sockets={"udp": GATE_AT},
)
JOINER = Party(
    MortalPeer,
    {"private_key": JOIN.secret, "entropy": ScriptedEntropy(seed=b"j", stateless=True), "delays": DELAYS},
    start=(Verb("connect", (GATE.public, TO_GATE)),),
    policy=chat,
    told=told,
    host=JOIN_AT.host,
    sockets={"udp": JOIN_AT},
    anew=anew,
)
PAIR = {"gate": GATEWAY, "joiner": JOINER}
RESTARTING = {**PAIR, "joiner": attrs.evolve(JOINER, restarts=True)}

SPOOFED = (
    Insert("gate", make_intro(GATE, of("stranger", 16), "stranger"), FROM_JOINER),
    Insert("gate", b"\2" * 60, FROM_JOINER),
    Insert("joiner", b"\2" * 60, TO_GATE),
)


def at_most_once(scene: Scene) -> Iterator[str]:
    """No message is handed up twice in a session, and none of a stranger ends one that answers."""
    for name in scene:
        seen: set[Any] = set()
        for one in scene[name].told:
            if isinstance(one, Restarted):
                seen.clear()  # its sessions count from 1 again
            elif one in seen:
                yield f"{name} was told {one} twice"
            elif one[0] == "message":
                seen.add(one)


def closed(final: Scene) -> Iterator[str]:
    yield from at_most_once(final)
    for name in final:
        if final[name].phase is not Phase.CLOSED:
            yield f"{name} waits for ever"


def served(final: Scene) -> Iterator[str]:
    """The joiner's message came back, whatever happened, and no session was replaced."""
    yield from closed(final)
    if not any(one[0] == "message" for one in final["joiner"].told):
        yield f"the joiner was not answered: {final['joiner'].told}"
    for name in final:
        if any(one[0] == "lost" and one[2] for one in final[name].told):
            yield f"a session of {name} was replaced: {final[name].told}"


@attrs.frozen
class Exploration:
    name: str
    parties: Mapping[str, Party]
    budget: Budget = Budget()  # noqa: RUF009
    verify: Any = served
    inserts: tuple[Insert, ...] = ()

    def run(self, max_states: int = 400_000) -> Report:
        return explore(
            self.parties,
            budget=self.budget,
            verify=self.verify,
            invariant=at_most_once,
            inserts=self.inserts,
            max_states=max_states,
            reduced=True,
        )


EXPLORATIONS = (
    Exploration("a pair", PAIR),
    Exploration("a pair, a loss", PAIR, Budget(losses=1)),
    Exploration("a pair, a copy", PAIR, Budget(duplicates=1)),
    Exploration("a pair, a replay", PAIR, Budget(replays=1)),
    Exploration("a pair, a stranger", PAIR, Budget(inserts=1), inserts=SPOOFED),
    Exploration("a pair, an early timer", PAIR, Budget(early=1)),
    Exploration("a joiner that restarts", RESTARTING, Budget(restarts=1), closed),
)
LONG = (
    Exploration("a pair, two losses", PAIR, Budget(losses=2), closed),
    Exploration("a pair, a stranger and a replay", PAIR, Budget(inserts=1, replays=1), inserts=SPOOFED),
    Exploration("a joiner that restarts, a replay", RESTARTING, Budget(restarts=1, replays=1), closed),
)
