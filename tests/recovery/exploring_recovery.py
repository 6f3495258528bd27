"""Explorations of two ends: all that can happen to a few packets, in every order, and what must not come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
from symbolic import Node, Received, at
from world import complaints_about

from sansproto.contract import Address
from sansproto.recovery import CloseReason, Established, PeerClosed, Recovery, RecoveryConfig, RecoveryDelays
from sansproto.recovery.call import CallState
from sansproto.recovery.poke import PokeState
from sansproto.recovery.session import SessionState
from sansproto.recovery.suspicion import SuspicionState
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.explorer import Budget, Party, Report, Restarted, Scene, Verb, explore

CONFIG: Final = RecoveryConfig(direct=RecoveryDelays(dead=12.0, challenge=0.25))
"""Times that are exact in binary, so that equal situations are equal."""

HOSTS: Final = {b"A": "10.0.0.1", b"B": "10.0.0.2"}
RESTARTED: Final = Restarted()
OTHER: Final = {b"A": b"B", b"B": b"A"}


def party(me: bytes, *start: Verb, kind: type[Node] = Node, **options: Any) -> Party:
    """An end; after a restart it draws other numbers."""

    def arguments(life: int) -> dict[str, Any]:
        return {"entropy": ScriptedEntropy(seed=me + bytes([life]), stateless=True)}

    return Party(
        kind,
        {"me": me, "wall_epoch": 1.7e9, "config": CONFIG, **arguments(0)},
        start=start,
        host=HOSTS[me],
        sockets={"udp": Address(HOSTS[me], 1)},
        anew=arguments,
        **options,
    )


def connects(me: bytes) -> Verb:
    other = OTHER[me]
    return Verb("connect", (other, at(HOSTS[other])))


# -- what checks ask of a session: once for each of its states


def unsound(node: Any) -> tuple[str, ...]:
    return tuple(complaints_about(node.recovery))


def is_calm(node: Any) -> bool:
    """Nothing is under way."""
    core = node.recovery
    return all(
        peer.call.state in (CallState.IDLE, CallState.WAITING)
        and peer.suspicion.state is SuspicionState.CALM
        and peer.poke.state is PokeState.IDLE
        for peer in core.peers.values()
    ) and not any(session.state in (SessionState.OFFERED, SessionState.CALLED) for session in core.sessions.values())


def in_use(node: Any) -> tuple[bytes, bytes, bool] | None:
    """The session with the only peer: our id, its id, and whether we began it."""
    for peer in node.recovery.peers.values():
        session = peer.current
        if session is not None:
            return session.sid, session.remote_sid, session.is_ours
    return None


def calls(node: Any) -> bool:
    return any(peer.call.state is not CallState.IDLE for peer in node.recovery.peers.values())


def zombies(node: Any) -> int:
    return int(node.zombies)


class Leaver(Node):
    """An end that counts what it is told about a peer that it has left, and did not call again."""

    has_left: bool
    zombies: int

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.has_left, self.zombies = False, 0

    def disconnect(self, peer: bytes, now: float, reason: CloseReason = CloseReason.NORMAL) -> None:
        super().disconnect(peer, now, reason)
        self.has_left = True

    def emit(self, event: Any) -> None:
        super().emit(event)
        self.zombies += self.has_left and isinstance(event, Received | Established)


def generations(node: Any) -> int:
    return int(node.recovery.generation)


# -- what must hold in every world


def sound(scene: Scene) -> Iterator[str]:
    for name in scene:
        yield from (f"{name}: {complaint}" for complaint in scene[name].ask(unsound))


def agree(scene: Scene) -> Iterator[str]:
    """When nothing is in flight or under way, two ends that use a session use the same one."""
    yield from sound(scene)
    a, b = scene["A"], scene["B"]
    if scene.world.datagrams or not (a.ask(is_calm) and b.ask(is_calm)):
        return
    mine, its = a.ask(in_use), b.ask(in_use)
    if mine is not None and its is not None and mine[:2] != (its[1], its[0]):
        yield "both ends are calm and use different sessions"


def larger_one_wins(scene: Scene) -> Iterator[str]:
    """Of two handshakes that crossed, with equal stamps, both ends use that of the larger id; if nothing is lost."""
    yield from agree(scene)
    a, b = scene["A"], scene["B"]
    mine, its = a.ask(in_use), b.ask(in_use)
    is_first = all(scene[name].ask(generations) <= 2 for name in scene)
    if not scene.world.datagrams and a.ask(is_calm) and b.ask(is_calm) and is_first:
        if mine is None or its is None:
            yield "nothing was lost, and an end has no session"
        elif not its[2] or mine[2]:
            yield "the smaller one is in use"


def goodbye_is_one(scene: Scene) -> Iterator[str]:
    """Who was left does not call; who left hears nothing more of that instance, as long as neither restarts."""
    yield from agree(scene)
    a, b = scene["A"], scene["B"]
    if b.told and isinstance(b.told[-1], PeerClosed) and b.ask(calls):
        yield "who was left calls"
    if RESTARTED not in (*a.told, *b.told) and a.ask(zombies):
        yield "who has left is told of the peer"


def both_are_in(scene: Scene) -> bool:
    """Where the exploration of goodbyes begins."""
    return all(any(isinstance(event, Established) for event in scene[name].told) for name in scene) and not (
        scene.world.datagrams
    )


@attrs.frozen
class Exploration:
    """Two parties, what may go wrong, and what must hold."""

    name: str
    parties: dict[str, Party]
    budget: Budget
    invariant: Callable[[Scene], Iterator[str]] = agree
    begin: Callable[[Scene], bool] | None = None

    def run(self, max_states: int, core: type[Recovery] = Recovery) -> Report:
        """What comes of it, if both ends run this core."""
        wrong = {"core": core}
        parties = {name: attrs.evolve(one, arguments={**one.arguments, **wrong}) for name, one in self.parties.items()}
        return explore(
            parties,
            budget=self.budget,
            invariant=self.invariant,
            verify=lambda scene: (),
            begin=self.begin,
            max_states=max_states,
        )


def crossing(budget: Budget, invariant: Callable[[Scene], Iterator[str]] = agree) -> Exploration:
    parties = {"A": party(b"A", connects(b"A")), "B": party(b"B", connects(b"B"))}
    return Exploration(f"crossing, {budget}", parties, budget, invariant)


def restarting(budget: Budget) -> Exploration:
    """Either end restarts at any time; the one that called calls again, and the other one speaks."""
    speaks = ((Verb("send", (b"A", b"what B has to say")),), ())
    parties = {
        "A": party(b"A", connects(b"A"), Verb("send", (b"B", b"what A has to say")), restarts=True),
        "B": party(b"B", restarts=True, may=(speaks,)),
    }
    return Exploration(f"restart during a handshake, {budget}", parties, budget)


def leaving(budget: Budget) -> Exploration:
    """A says goodbye at any time, and B speaks; either may restart, and B then calls."""
    leaves = ((Verb("disconnect", (b"B",)),), ())
    speaks = ((Verb("send", (b"A", b"what B has to say")),), ())
    parties = {
        "A": party(b"A", connects(b"A"), kind=Leaver, restarts=True, may=(leaves,)),
        "B": party(b"B", restarts=True, may=(speaks,)),
    }
    return Exploration(f"close against restart, {budget}", parties, budget, goodbye_is_one, both_are_in)


def explorations() -> list[Exploration]:
    """Each has more than 100,000 states. The first ones of them (by depth) are looked at."""
    return [
        crossing(Budget(duplicates=1, replays=1), larger_one_wins),
        crossing(Budget(losses=2, duplicates=1)),
        restarting(Budget(restarts=1, losses=1)),
        leaving(Budget(restarts=1, losses=1)),
    ]
