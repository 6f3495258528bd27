"""Captures of Overte's real programs as ours: :mod:`convert_vectors`.

What one real party received is given to ours in its place: as it had the same ids, secrets and first numbers of
channels, what it hears is meant for it. What the party's application wanted follows from what it sent. The events and
drops follow from the datagrams, by the rules that stand here; what ours sends is what it does.

A ping's reply holds the clock of the ping. Of ours only the first one can have that of the real party, whose clock is
set so; replies to the others are dropped, as replies to pings that were never sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from convert_captures import Datagram, Event, Script, Step, a_capture, captures_file, documents, milliseconds, received
from converting import Test

from sansproto.contract import Address
from sansproto.contract import Path as Way
from sansproto.events import CloseCause, Closed
from sansproto.overte import events as e
from sansproto.overte import ice_events, server_events
from sansproto.overte import packets as p
from sansproto.overte.header import Control, ControlType, Header, Position, decode_datagram
from sansproto.overte.policy import ASSIGNED
from sansproto.overte.qt import NULL_UUID
from sansproto.overte.remote import SOCKET, address_of, path_to
from sansproto.overte.versions import PacketType as K
from sansproto.testing.conformance_overte import MACHINES
from sansproto.testing.record import told

SOURCE: Final = "High Fidelity, built for Overte's wire", "2019-04"
ALL: Final = 2047
"""Permissions of those times."""

NOT_OURS: Final = {K.ICE_SERVER_HEARTBEAT_DENIED.name, K.CREATE_ASSIGNMENT.name}
"""What ours does not send there: it has no key to wait for, and gives no assignments."""

NOT_YET_ASKED: Final = "a number that means nothing now"
NO_PING_OF_OURS: Final = "a reply to no ping of ours"


@attrs.frozen
class Seen:
    """A datagram of the capture, decoded."""

    raw: Datagram
    head: Header | Control
    payload: bytes
    source: Way
    to: Way

    @classmethod
    def of(cls, raw: Datagram) -> Seen:
        head, payload = decode_datagram(bytes.fromhex(raw["hex"]))
        return cls(raw, head, payload, _way(raw["from"]), _way(raw["to"]))

    @property
    def type(self) -> K | None:
        return self.head.type if isinstance(self.head, Header) else None

    @property
    def name(self) -> str:
        return self.head.type.name

    def first_of(self, seen: list[Seen]) -> Seen:
        """The first part of its message; itself if it is none."""
        part = self.head.part if isinstance(self.head, Header) else None
        return next(
            one
            for one in seen
            if one is self
            or (
                isinstance(one.head, Header)
                and one.head.part is not None
                and part is not None
                and (one.to, one.head.part.message) == (self.to, part.message)
            )
        )

    def packet(self) -> Any:
        """The payload as the packet of its type."""
        assert self.type is not None
        return p.PACKETS[self.type.value].decode_prefix(self.payload)[0]


def _way(text: str) -> Way:
    host, _, port = text.rpartition(":")
    return Way(SOCKET, host, int(port))


@attrs.frozen
class Party:
    """One end of a capture, by its port: all that it said and heard, in order."""

    name: str
    port: int
    seen: list[Seen]

    def said(self, *types: K) -> list[Seen]:
        return [one for one in self.seen if one.source.port == self.port and one.type in types]

    def heard(self, *types: K) -> list[Seen]:
        return [one for one in self.seen if one.to.port == self.port and (one.type in types or not types)]

    @property
    def begun(self) -> float:
        return float(self.seen[0].raw["t"])

    def at(self, one: Seen) -> int:
        return milliseconds(one.raw, self.begun)

    def messages(self, seen: list[Seen]) -> Iterator[tuple[Seen, bytes]]:
        """Each packet once, without its copies; a message at the datagram that completes it."""
        numbers: set[tuple[Way, int]] = set()
        parts: dict[tuple[Way, int], dict[int, Seen]] = {}
        for one in seen:
            head = one.head
            if not isinstance(head, Header):
                continue
            if head.reliable:
                if (one.source, head.sequence) in numbers:
                    continue
                numbers.add((one.source, head.sequence))
            if head.part is None:
                yield one, one.payload
                continue
            got = parts.setdefault((one.source, head.part.message), {})
            got[head.part.number] = one
            ends = [
                number
                for number, part in got.items()
                if isinstance(part.head, Header)
                and part.head.part is not None
                and part.head.part.position in (Position.ONLY, Position.LAST)
            ]
            if ends and len(got) == ends[0] + 1:
                yield one, b"".join(got[number].payload for number in range(len(got)))

    def numbers(self) -> Script:
        """With which its channels began."""
        return {
            f"channel.{one.to.host}:{one.to.port}.start": [_number(one.head.sequence)]
            for one in self.seen
            if one.source.port == self.port
            and isinstance(one.head, Control)
            and one.head.type is ControlType.HANDSHAKE
            and one.head.sequence is not None
        }


def _number(sequence: int) -> str:
    return sequence.to_bytes(4, "big").hex()


def _clock(wanted: int, at: int) -> int:
    """The wall clock at time 0, in microseconds, with which it shows this so many milliseconds later."""
    for epoch in range(wanted - at * 1000 - 2, wanted - at * 1000 + 3):
        if int((epoch / 1e6 + at / 1000) * 1e6) == wanted:
            return epoch
    raise SystemExit(f"no clock shows {wanted}")


_WISHES: Final = {
    K.DOMAIN_SERVER_PATH_QUERY,
    K.DOMAIN_SETTINGS_REQUEST,
    K.NODE_JSON_STATS,
    K.DOMAIN_DISCONNECT_REQUEST,
    K.RADIUS_IGNORE_REQUEST,
    K.MESSAGES_DATA,
}
"""What a client sends only if its application wants it."""


# -- a client: an agent or a mixer -------------------------------------------------------------------------------------


class Client:
    """What a client heard, as ours hears it."""

    def __init__(self, party: Party) -> None:
        self.party = party
        (asked,) = party.said(K.DOMAIN_CONNECT_REQUEST)
        self.domain, self.says = asked.to, asked.packet()
        self.query = next((one for one in party.said(K.ICE_SERVER_QUERY)), None)
        self.complete = {id(one): payload for one, payload in party.messages(party.heard())}
        asked_for = [one for one, _ in party.messages(party.said(K.DOMAIN_SETTINGS_REQUEST))]
        self.asked = [int(one.packet().type) for one in asked_for]
        self.by_itself = asked_for[0]
        self.events: list[Event] = []
        self.nodes: dict[bytes, p.NodeRecord] = {}
        self.dropped: Counter[str] = Counter()
        # Ours asks one question about settings at a time: what acknowledges the others comes before they are asked.
        self.dropped[NOT_YET_ASKED] = len(self.asked) - 1
        self.is_reached = False
        self.active: set[bytes] = set()
        self.first_ping = self._first_ping()

    def _first_ping(self) -> tuple[int, int, int] | None:
        """When ours pings for the first time, and the type and clock of the ping that the real party sent then."""
        told = [one for one in self.party.heard(K.DOMAIN_LIST, K.DOMAIN_SERVER_ADDED_NODE) if _records(one)]
        pings = [one.packet() for one in self.party.said(K.PING)]
        if not told or not pings:
            return None
        local = path_to(_records(told[0])[0].local_socket)
        kind = p.PingType.PUBLIC if local is None else p.PingType.LOCAL
        return self.party.at(told[0]), kind, next(ping.clock for ping in pings if ping.type == kind)

    @property
    def epoch(self) -> int:
        if self.first_ping is None:
            return int(self.says.check_in.client_clock)
        at, _, clock = self.first_ping
        return _clock(clock, at)

    def config(self) -> dict[str, Any]:
        says = self.says.check_in
        config: dict[str, Any] = {
            "host": self.domain.host,
            "port": self.domain.port,
            "node_type": p.NodeType(says.node_type).name,
            "interest": says.interests.hex(),
            "fingerprint": self.says.machine_fingerprint.hex(),
            "local_host": says.local_socket.host,
            "wall_epoch_us": self.epoch,
            "delays": {},
            "limits": {},
        }
        if self.query is not None:
            asked = self.query.packet()
            ids = {"domain_id": asked.wanted.hex(), "client_id": asked.id.hex()}
            config["ice"] = {"host": self.query.to.host, "port": self.query.to.port, **ids}
        elif self.says.connect_id != NULL_UUID:
            config["assignment"] = self.says.connect_id.hex()
        return config

    def steps(self) -> Iterator[Step]:
        target = self.domain if self.query is None else self.query.to
        yield {"t": 0, "bound": {"socket": SOCKET, "address": {"host": "0.0.0.0", "port": self.party.port}}}
        yield {"t": 0, "call": "connect"}
        yield {"t": 0, "looked_up": {"query": 1, "addresses": [{"host": target.host, "port": target.port}]}}
        wanted = self._wishes()
        for one in self.party.seen:
            at = self.party.at(one)
            if one.to.port == self.party.port:
                yield received(one.raw, self.party.begun)
                self._hear(one, at)
            for wish, payload in wanted.get(id(one), ()):
                call, given = self._call(wish, payload)
                yield {"t": at, "call": call, **({"args": given} if given else {})}

    def _wishes(self) -> dict[int, list[tuple[Seen, bytes]]]:
        """What the application wanted to be sent, by the datagram with which that began: the first part of a message,
        or the handshake of a channel that began with it. What ours sends by itself is not in it."""
        wishes: dict[int, list[tuple[Seen, bytes]]] = {}
        said = [one for one in self.party.seen if one.source.port == self.party.port]
        began: dict[Way, Seen] = {}
        for one in said:
            if one.head.type is ControlType.HANDSHAKE:
                began.setdefault(one.to, one)
        for one, payload in self.party.messages(said):
            first = began.pop(one.to, one.first_of(said)) if isinstance(one.head, Header) and one.head.reliable else one
            if one.type in _WISHES and one is not self.by_itself:
                wishes.setdefault(id(first), []).append((one, payload))
        return wishes

    def _call(self, one: Seen, payload: bytes) -> tuple[str, dict[str, Any]]:
        """The call that makes ours send what the real party sent."""
        match one.type:
            case K.DOMAIN_SERVER_PATH_QUERY:
                return "ask_path", {"path": one.packet().path}
            case K.DOMAIN_SETTINGS_REQUEST:
                return "request_settings", {"kind": p.AssignmentType(one.packet().type).name}
            case K.NODE_JSON_STATS:
                return "send_to_domain", {"type": one.name, "payload": payload.hex(), "message": True}
            case K.DOMAIN_DISCONNECT_REQUEST:
                self._tell(Closed(CloseCause.LOCAL))
                return "close", {}
            case _:
                how = "message" if isinstance(one.head, Header) and one.head.part else "reliable"
                to = {"node_id": self._node(one.to).hex(), "type": one.name}
                return "send_to_node", {**to, "payload": payload.hex(), how: True}

    def outcome(self) -> dict[str, Any]:
        return {"events": self.events, "dropped": dict(+self.dropped)}

    # -- what ours tells

    def _tell(self, event: Any) -> None:
        self.events.append(told(event))

    def _hear(self, one: Seen, at: int) -> None:
        match one.type:
            case K.DOMAIN_LIST:
                found = one.packet()
                if not self.events:
                    ids = {"domain_id": found.domain_id, "permissions": found.permissions}
                    self._tell(e.Connected(found.session_id, found.local_id, **ids))
                self._add(found.nodes)
            case K.DOMAIN_SERVER_ADDED_NODE:
                self._add((one.packet(),))
            case K.DOMAIN_SERVER_REMOVED_NODE:
                del self.nodes[one.packet().id]
                self._tell(e.NodeRemoved(one.packet().id, e.Removal.REMOVED))
            case K.DOMAIN_SERVER_PATH_RESPONSE:
                self._tell(e.PathAnswered(one.packet().path, one.packet().viewpoint))
            case K.DOMAIN_SETTINGS if id(one) in self.complete:
                self._tell(e.SettingsReceived(self.asked.pop(0), self.complete[id(one)]))
            case K.ICE_PING_REPLY:
                self.dropped["late"] += self.is_reached
                self.is_reached = True
            case K.PING_REPLY:
                self._measure(one.packet(), one.source, at)
            case K.RADIUS_IGNORE_REQUEST | K.MESSAGES_DATA if id(one) in self.complete:
                assert isinstance(one.head, Header)
                node = next(key for key, record in self.nodes.items() if record.local_id == one.head.source)
                self._tell(e.PacketReceived(node, one.head.type, payload=self.complete[id(one)]))
            case _:
                pass

    def _add(self, records: tuple[p.NodeRecord, ...]) -> None:
        for record in records:
            if record.id not in self.nodes:
                self.nodes[record.id] = record
                ways = self._sockets(record)
                addresses = {kind: None if way is None else address_of(way) for kind, way in ways.items()}
                self._tell(e.NodeAdded(_info(record, addresses)))

    def _sockets(self, record: p.NodeRecord) -> dict[str, Way | None]:
        return {
            "public": path_to(record.public_socket, self.domain.host),
            "local": path_to(record.local_socket),
        }

    def _node(self, way: Way) -> bytes:
        return next(key for key, record in self.nodes.items() if way in self._sockets(record).values())

    def _measure(self, reply: p.PingReply, source: Way, at: int) -> None:
        assert self.first_ping is not None
        _, _, clock = self.first_ping
        if reply.pinged_clock != clock:  # ours pings both sockets at once: the real one some microseconds apart
            self.dropped[NO_PING_OF_OURS] += 1
            return
        node = self._node(source)
        trip = int((self.epoch / 1e6 + at / 1000) * 1e6) - clock
        if node not in self.active:
            self.active.add(node)
            self._tell(e.NodeActivated(node, address_of(source)))
        self._tell(e.NodeMeasured(node, ping_ms=trip // 1000, skew_us=reply.clock - (clock + trip // 2)))


def _records(one: Seen) -> tuple[p.NodeRecord, ...]:
    found = one.packet()
    return found.nodes if isinstance(found, p.DomainList) else (found,)


def _info(record: p.NodeRecord, addresses: Mapping[str, Address | None]) -> e.NodeInfo:
    return e.NodeInfo(
        node_id=record.id,
        local_id=record.local_id,
        type=record.type,
        permissions=record.permissions,
        replicated=record.replicated,
        public=addresses["public"],
        local=addresses["local"],
        symmetric=None,
        active=None,
    )


# -- servers -----------------------------------------------------------------------------------------------------------


class Server:
    """What a domain server heard. It gave out local ids as ours does: to two nodes, a step apart."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.lists = {one.to: one.packet() for one in party.said(K.DOMAIN_LIST)}
        self.requests = {one.source: one.packet() for one in party.heard(K.DOMAIN_CONNECT_REQUEST)}
        self.first, second = self.lists.values()
        self.step = (second.local_id - self.first.local_id) & 0xFFFF

    def config(self) -> dict[str, Any]:
        answers = [one.packet() for one in self.party.said(K.DOMAIN_SERVER_PATH_RESPONSE)]
        return {
            "domain_id": self.first.domain_id.hex(),
            "policy": {"anonymous": ALL, "localhost": ALL},
            "paths": [{"path": answer.path, "viewpoint": answer.viewpoint} for answer in answers],
            "wall_epoch_us": self.first.server_clock,
            "delays": {},
            "limits": {},
        }

    def entropy(self) -> Script:
        ids = {f"node.{found.local_id}.id": [found.session_id.hex()] for found in self.lists.values()}
        start = (self.first.local_id - 2 * self.step) & 0xFFFF  # the one between is ours
        numbers = {"local_id.start": start, "local_id.step": self.step}
        return {**{name: [number.to_bytes(2, "big").hex()] for name, number in numbers.items()}, **ids}

    def steps(self) -> Iterator[Step]:
        for request in self.requests.values():
            if request.connect_id != NULL_UUID:
                kind = p.NodeType(request.check_in.node_type)
                yield {
                    "t": 0,
                    "call": "assign",
                    "args": {"connect_id": request.connect_id.hex(), "node_type": kind.name},
                }
        for one in self.party.heard():
            yield received(one.raw, self.party.begun)

    def outcome(self) -> dict[str, Any]:
        stranger = len(self.party.heard(K.REQUEST_ASSIGNMENT))
        return {"events": [*map(told, self._events())], "dropped": {"unexpected packet": stranger} if stranger else {}}

    def _events(self) -> Iterator[Any]:
        for one, payload in self.party.messages(self.party.heard()):
            found = self.lists.get(one.source)
            if found is None:
                continue
            match one.type:
                case K.DOMAIN_CONNECT_REQUEST:
                    says = one.packet()
                    is_assigned = says.connect_id != NULL_UUID
                    yield server_events.NodeJoined(
                        found.session_id,
                        p.NodeType(says.check_in.node_type),
                        local_id=found.local_id,
                        path=one.source,
                        permissions=int(ASSIGNED) if is_assigned else ALL,
                    )
                case K.NODE_JSON_STATS:
                    yield server_events.StatsReceived(found.session_id, payload)
                case K.DOMAIN_DISCONNECT_REQUEST:
                    yield server_events.NodeLeft(found.session_id, server_events.Departure.LEFT)
                case _:
                    pass


class Ice:
    """What an ice-server heard. The key of the domain is not known: ours believes every heartbeat."""

    def __init__(self, party: Party) -> None:
        self.party = party

    def config(self) -> dict[str, Any]:
        return {"keys": None, "wall_epoch": 0, "delays": {}, "limits": {}}

    def entropy(self) -> Script:
        return {}

    def steps(self) -> Iterator[Step]:
        for one in self.party.heard():
            yield received(one.raw, self.party.begun)

    def outcome(self) -> dict[str, Any]:
        """A peer is there from its first word on, until it is silent."""
        heard, events = {}, []
        delay = 5.0
        for one in self.party.heard():
            now = float(one.raw["t"])
            for peer, last in [*heard.items()]:
                if now - last > delay:
                    del heard[peer]
                    events.append(told(ice_events.IcePeerRemoved(peer)))
            peer = one.packet().id
            if peer not in heard:
                is_domain = one.type is K.ICE_SERVER_HEARTBEAT
                events.append(told(ice_events.IcePeerAdded(peer, address_of(one.source), is_domain=is_domain)))
            heard[peer] = now
        return {"events": events, "dropped": {}}


# -- files -------------------------------------------------------------------------------------------------------------


def _played(party: Party) -> tuple[str, Client | Server | Ice] | None:
    """The machine that plays a party, and how; None for who only asks for an assignment, and for a domain that an
    ice-server knows: its key is not told."""
    if party.said(K.ICE_SERVER_HEARTBEAT):
        return None
    if party.said(K.ICE_SERVER_PEER_INFORMATION):
        return "overte.ice_server", Ice(party)
    if party.said(K.DOMAIN_LIST):
        return "overte.server", Server(party)
    return ("overte.client", Client(party)) if party.said(K.DOMAIN_CONNECT_REQUEST) else None


def parties(name: str, document: Mapping[str, Any]) -> Iterator[Party]:
    """A party is known by its port. Some were ours, an older one: what it received is as real."""
    seen = [Seen.of(raw) for raw in document["datagrams"]]
    for port in dict.fromkeys(way.port for one in seen for way in (one.source, one.to)):
        yield Party(name, port, [one for one in seen if port in (one.source.port, one.to.port)])


def converted(party: Party, machine: str, played: Client | Server | Ice) -> Test:
    steps = list(played.steps())
    script = party.numbers() | ({} if isinstance(played, Client) else played.entropy())
    comment = f"{party.name}: what port {party.port} received"
    test = a_capture(MACHINES[machine], comment, played.config(), script, steps, played.outcome())
    ours, theirs = set(test["outcome"]["sent"]), {one.name for one in party.seen if one.source.port == party.port}
    if missing := theirs - ours - NOT_OURS:
        raise SystemExit(f"{comment}: ours did not send {sorted(missing)}")
    return test


def overte_captures(folder: Path) -> dict[str, Any]:
    tests: dict[str, list[Test]] = {}
    for name, document in documents(folder, "ports", "Overte"):
        for party in parties(name, document):
            found = _played(party)
            if found is not None:
                tests.setdefault(found[0], []).append(converted(party, *found))
    return captures_file("overte", tests, SOURCE)
