"""A whole conversation, cut at every byte of every connection, in every way that a connection can end."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import attrs
import pytest
from scripted_bob import SOAKING

from sansproto.bob import RELAY_PORT, SECURE_PORT, Client, Connected, PeerAgreed, Relay, Server
from sansproto.bob.way import PeerState
from sansproto.contract import AbortTransport, Address, CloseTransport, Link, OpenStream, Phase, SendBytes
from sansproto.errors import NotOpen
from sansproto.events import Closed, DataReceived
from sansproto.testing.entropy import ScriptedEntropy

SAID = b"Is this the end?"
LISTENERS = {9000: RELAY_PORT, 9001: SECURE_PORT}
SOON = 0.01  # seconds within which the other side is told


@attrs.define
class End:
    """One end of a wire, and what is on its way to it."""

    name: str
    link: Link
    inbound: bytes = b""
    eof: bool = False  # follows what is inbound
    over: bool = False


class World:
    """A relay, a client and a server. What is written arrives byte by byte, what is closed is over at once."""

    def __init__(self) -> None:
        peers = {"relay": ("192.0.2.1", 9000), "secure_port": 9001, "password": b"secret"}
        entropy = ScriptedEntropy(seed=b"cuts", stateless=True)
        self.arguments: dict[str, dict[str, Any]] = {
            "relay": {},
            "client": {**peers, "entropy": entropy},
            "server": {**peers, "entropy": entropy, "count": 1},
        }
        self.now, self.piece = 0.0, 1  # bytes that arrive at a time
        self.sessions: dict[str, Any] = {
            name: kind(**self.arguments[name])
            for name, kind in (("relay", Relay), ("client", Client), ("server", Server))
        }
        self.wires: list[tuple[End, End]] = []
        self.events: dict[str, list[Any]] = {name: [] for name in self.sessions}

    def fork(self) -> World:
        """The same world, with sessions out of snapshots; there what is written arrives as a whole."""
        copy = World.__new__(World)
        copy.arguments, copy.now, copy.piece = self.arguments, self.now, 1 << 16
        copy.sessions = {
            name: type(session).restore(session.snapshot(), **self.arguments[name])
            for name, session in self.sessions.items()
        }
        copy.wires = [(attrs.evolve(a), attrs.evolve(b)) for a, b in self.wires]
        copy.events = {name: list(events) for name, events in self.events.items()}
        return copy

    def drain(self) -> None:
        moved = True
        while moved:
            moved = False
            for name, session in self.sessions.items():
                while (transmit := session.next_transmit()) is not None:
                    self._carry(name, transmit)
                    moved = True
                while (event := session.next_event()) is not None:
                    self.events[name].append(event)
                    self._react(name, event)
                    moved = True

    def _react(self, name: str, event: Any) -> None:
        """The applications: the server sends, and the client says goodbye."""
        session = self.sessions[name]
        match event:
            case PeerAgreed(uid) if name == "client" and session.state is PeerState.WAITING:
                with suppress(NotOpen):  # it may have left in the same read
                    session.accept(uid, self.now)
            case Connected() if name == "server":
                with suppress(NotOpen):
                    session.send(SAID, self.now)
            case DataReceived():
                session.close(self.now)

    def _carry(self, name: str, transmit: Any) -> None:
        match transmit:
            case OpenStream(link, address):
                number = 40000 + len(self.wires)
                there = self.sessions["relay"].stream_accepted(
                    LISTENERS[address.port], Address("198.51.100.7", number), self.now
                )
                self.wires.append((End(name, link), End("relay", there)))
                self.sessions[name].stream_opened(link, self.now)
            case SendBytes(link, data):
                self._ends(name, link)[1].inbound += data
            case CloseTransport(link) | AbortTransport(link):
                here, there = self._ends(name, link)
                here.over, there.eof = True, True
                self.sessions[name].stream_lost(link, self.now)

    def _ends(self, name: str, link: Link) -> tuple[End, End]:
        for a, b in self.wires:
            for here, there in ((a, b), (b, a)):
                if (here.name, here.link) == (name, link):
                    return here, there
        raise AssertionError(f"{name} has no link {link}")

    def deliver(self) -> bool:
        """Let one piece arrive, or one end; False if nothing is on its way."""
        self.drain()
        for end in (end for wire in self.wires for end in wire):
            if not end.over and (end.inbound or end.eof):
                self._arrive(end)
                self.drain()
                return True
        return False

    def _arrive(self, end: End) -> None:
        session = self.sessions[end.name]
        if end.inbound:
            piece, end.inbound = end.inbound[: self.piece], end.inbound[self.piece :]
            session.receive_data(end.link, piece, self.now)
        else:
            end.eof = False
            session.receive_eof(end.link, self.now)

    def pass_time(self, until: float) -> bool:
        """Fire the next timer, if it is due by then."""
        times = {name: session.next_timeout() for name, session in self.sessions.items()}
        due = [(at, name) for name, at in times.items() if at is not None and at <= until]
        if not due:
            return False
        at, name = min(due)
        self.now = max(self.now, at)
        self.sessions[name].handle_timeout(self.now)
        self.drain()
        return True

    def settle(self) -> None:
        """Everything that is on its way arrives, and a moment passes."""
        end = self.now + SOON
        while self.deliver() or self.pass_time(end):
            pass

    # -- misfortunes

    def lose(self, end: End) -> None:
        end.inbound, end.eof = b"", False
        if not end.over:
            end.over = True
            self.sessions[end.name].stream_lost(end.link, self.now, detail="reset")

    def cut(self, how: str, peer: End, relay: End) -> None:
        """What was on its way over this wire is lost."""
        match how:
            case "reset":
                self.lose(peer)
                self.lose(relay)
            case "the relay reads an end":
                relay.inbound, relay.eof = b"", True
            case _:
                peer.inbound, peer.eof = b"", True
        self.settle()

    def check(self, before: World, peer: str, link: Link) -> str:
        """What has to be known everywhere, after the connection of this peer was cut; how far it had come."""
        cut, was = self.sessions[peer], before.sessions[peer]
        here = [*was.way.partners] or [was.way.relay]
        current = link in here and was.ending is None and was.phase is not Phase.CLOSING
        other = "server" if peer == "client" else "client"
        partner, partner_was = self.sessions[other], before.sessions[other]
        if current:
            assert cut.ending is not None
            assert [event for event in self.events[peer] if isinstance(event, Closed)] == self.events[peer][-1:]
        for here, there in self.wires:
            assert here.over == there.over or not current
        if current and link == was.way.relay and partner.state in (PeerState.WAITING, PeerState.PAIRED):
            assert partner.state is PeerState.WAITING
            assert not partner.exchanges
        if current and link in was.way.partners and partner_was.state is PeerState.TALKING:
            assert partner.ending is not None
        return f"{was.state.name}, {partner_was.state.name}"

    def end(self) -> None:
        """Every connection goes, and nothing remains of any: also no timer, once the rooms have expired."""
        for wire in self.wires:
            for end in wire:
                self.lose(end)
        self.drain()
        relay = self.sessions["relay"]
        while self.pass_time(self.now + 100) or self.deliver():
            for wire in self.wires:
                for end in wire:
                    self.lose(end)
        registry, secure = relay.registry, relay.secure
        tables = (
            registry.members,
            registry.uids,
            registry.dying,
            secure.visitors,
            secure.rooms,
            secure.lines,
            relay.links,
        )
        assert not any(tables), tables
        assert registry.pair_count == 0
        assert not registry.log.subscribers
        assert not registry.log.arrivals
        for session in self.sessions.values():
            assert not session.timers()
        for name in ("client", "server"):
            assert not self.sessions[name].links
            assert self.sessions[name].ending is not None
            assert not self.sessions[name].exchanges


WAYS = ("reset", "the relay reads an end", "the peer reads an end")
CUTS = [
    (first, how) for first in ("client", "server") for how in WAYS if SOAKING or first == "client" or how == WAYS[0]
]


@pytest.mark.unmeasured
@pytest.mark.parametrize(("first", "how"), CUTS)
def test_a_conversation_is_cut_at_every_byte(first: str, how: str) -> None:
    world = World()
    second = "server" if first == "client" else "client"
    world.sessions[first].connect(0.0)
    world.settle()
    world.sessions[second].connect(world.now)
    seen: Counter[str] = Counter()
    while world.deliver() or world.pass_time(world.now + SOON):
        for number, (peer, relay) in enumerate(world.wires):
            if not (peer.over or relay.over):
                other = world.fork()
                other.cut(how, *other.wires[number])
                seen[other.check(world, peer.name, peer.link)] += 1
                other.end()
    assert [event.data for event in world.events["client"] if isinstance(event, DataReceived)] == [SAID]
    assert all(isinstance(world.events[name][-1], Closed) for name in ("client", "server"))
    print(f"{sum(seen.values())} cuts: {dict(seen)}")
    assert sum(seen.values()) > 1200
