"""A node of EGTP in the state that a vector describes, and what it makes of one datagram.

The state is put together out of the parts of a real node, whose own rules then judge the datagram; the trace tells what
it took it for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ...contract import Path
from ...egtp.gate import STORED, Stored
from ...egtp.keyring import Keys
from ...egtp.node import EgtpNode
from ...egtp.routes import RELAY, Mailbox, place_of, polled_route
from ...errors import Fault
from ...fair import group_of
from ...rates import Level
from ...recovery import Call, RecoveryConfig, RecoveryDelays, Route
from ...recovery.call import Attempt, CallState
from ...recovery.farewell import Said
from ...recovery.peer import Peer, PeerState
from ...recovery.session import Session, SessionState
from ...recovery.tombstone import Tombstone, TombstoneState
from ...trace import Dropped, Stepped, TraceRecord
from ..entropy import ScriptedEntropy

State = Mapping[str, Any]


def route_of(path: bytes) -> Route:
    """The route of a serialised path, as a node knows it."""
    place = place_of(Route(path, b"", relayed=path[:1] == RELAY))
    if isinstance(place, Mailbox):
        return Route(path, path[:33], relayed=True)
    return Route(path, group_of(place))


HOME: Final = route_of(bytes.fromhex("0400c0000201419c"))
"""The path of every peer in these states."""

_LATE, _EARLY = 2e13, -1e13  # wall clocks: no stamp of 64 bits is later than the one, each is than the other
_NEVER: Final = Level(-1e9, 0.0)

FAULTS: Final[Mapping[str, Mapping[Fault | None, str]]] = {
    "an init that does not open": {Fault.BAD_POINT: "point", Fault.BAD_MAC: "seal", Fault.BAD_VALUE: "field"},
    "a reply that does not open": {Fault.BAD_POINT: "point", Fault.BAD_MAC: "seal", Fault.BAD_VALUE: "field"},
    "data that does not open": {Fault.BAD_MAC: "seal"},
    "data that cannot be read": {
        Fault.BAD_TYPE: "kind",
        Fault.TRUNCATED: "body",
        Fault.TRAILING: "body",
        Fault.BAD_LENGTH: "body",
    },
    "an H1 for somebody else": {None: "mac"},
    "a challenge that does not open": {Fault.BAD_MAC: "mac"},
    "unknown handshake": {None: "unknown_handshake"},
    "a challenge from elsewhere": {None: "unknown_handshake"},
    "unknown session": {None: "unknown_session"},
    "data for a handshake": {None: "unknown_session"},
    "data of a closed session": {None: "unknown_session"},
    "data of a closed session, too soon": {None: "unknown_session"},
    "a counter out of range": {None: "counter"},
    "replay": {None: "replay"},
    "a hint about no session": {None: "unknown_session"},
    "a wrong reset token": {None: "token"},
}
"""The specification's name of a drop, by its reason and the fault of the bytes."""

VERDICTS: Final[Mapping[tuple[str, str], str]] = {
    ("egtp.gate", "HELD"): "Limited",
    ("recovery.door", "DUPLICATE"): "Duplicate",
    ("recovery.door", "UNWEIGHED"): "Challenged",
    ("recovery.door", "TOO_MANY"): "Limited",
    ("recovery.door", "TOO_MANY_REPLIES"): "Limited",
    ("recovery.door", "MYSELF"): "Self",
    ("recovery.door", "UNPROVEN"): "Challenged",
    ("recovery.door", "NO_ROOM"): "Init",
    ("recovery.door", "OUTRANKED"): "Init",
    ("recovery.door", "ACCEPTED"): "Init",
    ("recovery.door", "HINTED"): "Hint",
    ("recovery.door", "RESET"): "ResetToken",
    ("recovery.call", "CHALLENGED"): "Challenge",
    ("recovery.call", "REPLIED"): "Reply",
}
"""The verdict on a datagram, by the input that it became."""

UNKNOWN: Final = {("recovery.door", "UNKNOWN"), ("recovery.tombstone", "ASKED")}
"""Inputs of data of no session, which is answered."""


@attrs.define
class Judgement:
    """The verdict of a node on a datagram, and its answers."""

    verdict: str
    fault: str | None
    answers: list[bytes]
    paths: list[bytes]


class Draws:
    """Entropy by name of the draw, in order. Draws that the vector does not name come from a seed."""

    def __init__(self, given: Iterable[tuple[str, bytes]]) -> None:
        self.left = list(given)
        self.rest = ScriptedEntropy(seed=b"vectors")

    def __call__(self, n: int, *, purpose: str) -> bytes:
        kind = purpose.split(".")[1]
        for at, (name, drawn) in enumerate(self.left):
            if name == kind and len(drawn) == n:
                del self.left[at]
                return drawn
        return self.rest(n, purpose=purpose)


class Told(EgtpNode):
    """A node that records what it sends, and to which serialised paths."""

    said: list[tuple[bytes, bytes]]

    def transmit(self, data: bytes, route: Route) -> None:
        self.said.append((data, route.name))


class StatedNode:
    """A node in the state of a vector, to which datagrams are given at increasing times."""

    def __init__(self, state: State, given: Mapping[str, Any]) -> None:
        self.records: list[TraceRecord] = []
        self.state = state
        instance = bytes.fromhex(state["instance"])
        own = state.get("own_handshake")
        draws = [(kind, bytes.fromhex(drawn)) for kind, drawn in given.get("draws", [])]
        draws += [("process", instance[:4]), ("entry", instance[4:])]
        if own is not None:
            draws.append(("ephemeral", bytes.fromhex(own["ephemeral"])))
        self.draws = Draws(draws)
        wall = _EARLY if given.get("demand_proof") else _LATE
        direct = RecoveryDelays(token=state["token_ttl_ms"] / 1000)
        self.node = Told(
            private_key=bytes.fromhex(state["static_private"]),
            entropy=self.draws,
            wall_epoch=wall,
            recovery=RecoveryConfig(direct=direct),
            trace=self.records.append,
        )
        self.node.said = []
        self._set(state, given, instance)

    def judge(self, data: bytes, path: bytes, now: float, *, reply: bool = True) -> Judgement:
        """Give it a datagram, or a packet from its mailbox, which has no path for an answer."""
        self.records.clear()
        self.node.said.clear()
        place = place_of(route_of(path))
        if reply and isinstance(place, Path):
            self.node.receive_datagram(data, place, now)
        else:
            self.node.advance(now)
            route = route_of(path) if reply else polled_route(path[1:33] if isinstance(place, Mailbox) else bytes(32))
            self.node.gate.take(STORED, Stored(data, route))
            self.node.run()
        verdict, fault = self._read(data)
        return Judgement(verdict, fault, [one for one, _ in self.node.said], [path for _, path in self.node.said])

    @property
    def decision(self) -> str:
        """What the host decided about the last Init."""
        states = [session.state for session in self.node.recovery.sessions.values()]
        return "refuse" if SessionState.REFUSED in states else "accept"

    # -- inside

    def _set(self, state: State, given: Mapping[str, Any], instance: bytes) -> None:
        node, core, now = self.node, self.node.recovery, given["now_ms"] / 1000
        node.advance(now)
        secrets = [bytes.fromhex(secret or "") for secret in state["token_secrets"]]
        core.tokens.secret, core.tokens.previous, core.tokens.made, core.tokens.offset = *secrets, now, 0
        for number, one in enumerate(state["sessions"]):
            self._add_session(bytes([number + 1]) * 32, one, instance)
        own = state.get("own_handshake")
        if own is not None:
            self._add_own_handshake(own, instance)
        for said in state.get("said", ()):
            core.farewells.said[bytes.fromhex(said["peer"])] = Said((bytes.fromhex(said["instance"]),), instance)
        for tombstone in state.get("tombstones", ()):
            self._add_tombstone(tombstone, given.get("next_ms", tombstone["next_ms"]))
        core.rebuild()
        if given.get("over_limit"):
            core.door.inits.total = attrs.evolve(_NEVER, at=now)
            core.door.inits.groups[polled_route(bytes(32)).group] = attrs.evolve(_NEVER, at=now)

    def _add_session(self, peer_id: bytes, one: State, instance: bytes) -> None:
        """Each session gets a peer of its own: the results do not depend on which."""
        node, core, route, sid = self.node, self.node.recovery, HOME, bytes.fromhex(one["local_sid"])
        peer, session = core.peers.add(peer_id, Peer.begin, instance, 0, b""), core.sessions.add(sid)
        session.peer_id, session.remote_sid = peer_id, bytes.fromhex(one["remote_sid"])
        session.hs_id, session.reset = bytes.fromhex(one["hs_id"]), bytes.fromhex(one.get("peer_reset_token", ""))
        session.is_ours, session.route, session.reply = (
            one.get("initiator", False),
            route,
            bytes.fromhex(one.get("h2", "")),
        )
        session.confirmed = node.clock
        send, receive = bytes.fromhex(one["tx"]), bytes.fromhex(one["rx"])
        node.install(sid, Keys(session.remote_sid, send, receive, is_ours=session.is_ours))
        peer.route, peer.sids = route, [sid]
        seen = [int(counter) for counter in one.get("counters_seen", ())]
        if seen:
            self._confirm(peer, session, seen)
        else:
            session.state = SessionState.CALLED if session.is_ours else SessionState.OFFERED

    def _confirm(self, peer: Peer, session: Session, seen: list[int]) -> None:
        for counter in seen:
            session.window.mark(counter)
        session.state, peer.state, peer.cur = SessionState.CURRENT, PeerState.LIVE, session.sid
        session.generation = peer.generation = 1

    def _add_own_handshake(self, own: State, instance: bytes) -> None:
        core, peer_id, sid = self.node.recovery, bytes.fromhex(own["peer"]), bytes.fromhex(own["sid"])
        token = bytes.fromhex(own["token"])
        made = self.node.make_init(Call(peer_id, sid, int(own["stamp"]), instance, token if any(token) else b""))
        assert made.hs_id.hex() == own["hs_id"]
        peer = core.peers.add(peer_id, Peer.begin, instance, 0, b"")
        peer.route, peer.is_called = HOME, True
        peer.call.state, peer.call.stamp, peer.call.began = CallState.CALLING, int(own["stamp"]), self.node.clock
        peer.call.attempts += (Attempt(sid, made.hs_id, made.data, b"", self.node.clock, 0),)

    def _add_tombstone(self, one: State, free: list[int]) -> None:
        tombstones, close = self.node.recovery.farewells.tombstones, bytes.fromhex(one["close"] or "")
        home = route_of(bytes.fromhex(one["home_path"]))
        sid = bytes.fromhex(one["local_sid"])
        closed = Session(self.node, self.node.recovery, sid)
        tombstone = tombstones.add(sid, Tombstone.begin, closed, close, home, 200.0)
        tombstone.state = TombstoneState.SAID if close else TombstoneState.DRAINED
        tombstone.at_home.free, tombstone.elsewhere.free = (one / 1000 for one in free)

    def _read(self, data: bytes) -> tuple[str, str | None]:
        """The verdict on the datagram, read from the trace."""
        verdict, fault = "Opaque", None
        for record in self.records:
            if isinstance(record, Stepped):
                what = record.machine, record.input
                if what in UNKNOWN:
                    return "Opaque", "unknown_session"
                if what == ("recovery.session", "COPIED"):
                    return "Opaque", "replay"
                if what in VERDICTS and verdict == "Opaque":
                    verdict = VERDICTS[what]
                elif record.machine == "recovery.session" and record.row >= 0 and verdict == "Opaque":
                    verdict = "Data"
            elif isinstance(record, Dropped) and verdict == "Opaque":
                verdict, fault = _read_drop(record, data)
        return verdict, fault


def _read_drop(record: Dropped, data: bytes) -> tuple[str, str | None]:
    if record.reason == "a late copy of an init":
        return "Duplicate", None
    if record.reason in ("malformed datagram", "malformed packet in the mailbox"):
        return "Opaque", _malformed(record, data)
    return "Opaque", FAULTS[record.reason].get(record.fault, FAULTS[record.reason].get(None))


def _malformed(record: Dropped, data: bytes) -> str:
    if not data:
        return "empty"
    if record.fault is Fault.BAD_TYPE:
        return "type"
    if record.fault is Fault.BAD_VALUE:
        return "reserved" if record.field == "reserved" else "field"
    return "length"
