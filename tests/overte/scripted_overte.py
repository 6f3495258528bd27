"""Overte's scripted peers: packets as everybody sends them, and who speaks to a client, a domain or an ice-server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import attrs
from scripted import PartHost, ScriptedPeer

from sansproto import overte
from sansproto.contract import Address, Instant, Path, SendDatagram
from sansproto.events import Closed
from sansproto.overte import DEFAULT, SOCKET, PacketType, SockAddr, crypto
from sansproto.overte import packets as p
from sansproto.overte.endpoint import OverteEndpoint
from sansproto.overte.header import NO_MAC, Control, ControlType, Head, Header, decode_datagram, encode_datagram
from sansproto.overte.introduction import NO_MEMBER
from sansproto.overte.limits import TransportDelays, TransportLimits
from sansproto.overte.parts import Arrival
from sansproto.overte.stun import COOKIE
from sansproto.testing.entropy import ScriptedEntropy

ACK, HANDSHAKE, HANDSHAKE_ACK, HANDSHAKE_REQUEST = ControlType
EPOCH, CLOCK = 1_762_670_000.0, 1_762_670_000_000_000
US, LOCAL = Address("192.168.1.23", 48001), SockAddr("192.168.1.23", 48001)
DOMAIN, PARTY = Path(SOCKET, "198.51.100.1", 40102), Path(SOCKET, "203.0.113.7", 48001)
MIXER, MIXER_LOCAL = Path(SOCKET, "198.51.100.10", 40110), Path(SOCKET, "10.0.0.10", 40110)
STRANGER, ROOMY = Path(SOCKET, "203.0.113.66", 666), overte.ServerLimits(connects=1000)
DOMAIN_ID, SESSION, SECRET, LOCAL_ID = b"d" * 16, b"s" * 16, b"k" * 16, 50900


def datagram(content: Any, *, source: int = 0, secret: bytes = b"", **head: Any) -> bytes:
    """A packet, or a kind of packet and a payload, with the header that belongs to it."""
    kind, payload = content if isinstance(content, tuple) else (content, content.encode())
    kind = kind if isinstance(kind, PacketType) else PacketType(kind.__wire__.id)
    mac = crypto.mac(secret, payload) if secret else NO_MAC
    whose = dict((("source", source), ("mac", mac))[: kind.form.value])
    return encode_datagram(Header(kind, **{"sequence": 1, "version": DEFAULT[kind], **whose, **head}), payload)


def control(kind: ControlType, number: int | None = None) -> bytes:
    return encode_datagram(Control(kind, number))


def record(letter: str = "M", *, number: int = 1, **changes: Any) -> p.NodeRecord:
    """A node with two addresses of its own."""
    sockets = (SockAddr(path.host, 40109 + number) for path in (MIXER, MIXER_LOCAL))
    node = p.NodeRecord(p.NodeType(ord(letter)), bytes([number]) * 16, *sockets, 7327, False, 4660 + number, SECRET)
    return attrs.evolve(node, **changes)


def domain_list(*nodes: p.NodeRecord, **changes: Any) -> p.DomainList:
    """A list for the client that was let in."""
    usual = p.DomainList(DOMAIN_ID, 4242, SESSION, LOCAL_ID, 2049, True, 0, 0, 159, True, nodes)
    return attrs.evolve(usual, **changes)


def connect_request(**changes: Any) -> p.DomainConnectRequest:
    """A request of a guest, with other fields, also those of its check-in."""
    inner = {name: changes.pop(name) for name in tuple(changes) if name in p.CheckIn.__annotations__}
    said = p.CheckIn(CLOCK, p.NodeType.AGENT, SockAddr(PARTY.host, PARTY.port), LOCAL, b"MWoAmS", None)
    who = bytes(16), DEFAULT.signature, None, b"machine".ljust(16, b"\1"), bytes(4), 0, 0
    return attrs.evolve(p.DomainConnectRequest(*who, attrs.evolve(said, **inner), None, b""), **changes)


def decoded(*transmits: Any) -> Iterator[tuple[Any, Any, Path]]:
    """The datagrams among them, but for STUN: header, packet (or payload) and path."""
    for one in transmits:
        if isinstance(one, SendDatagram) and one.data[4:8] != COOKIE:
            head, payload = decode_datagram(one.data)
            kind = p.PACKETS.get(head.type.value) if isinstance(head, Header) else None
            yield head, payload if kind is None else kind.decode(payload), one.path


class OvertePeer(ScriptedPeer):
    """Everybody whom a session hears. ``heard`` are the packets at each path, and the numbers of control packets there.

    Those at a domain server acknowledge all, but where they are recorded.
    """

    kind, role = "overte.ice_server", overte.IceServer
    arguments: ClassVar[Any] = {"wall_epoch": EPOCH, "keys": None}
    acknowledges = False

    def carry(self, transmit: Any) -> None:
        super().carry(transmit)
        for head, packet, path in decoded(transmit):
            if isinstance(head, Header):
                self.heard[path].append((head, packet))
                answer = ACK if head.reliable else None
            else:
                self.heard[path, head.type].append(head.sequence)
                answer = HANDSHAKE_ACK if head.type is HANDSHAKE else None
            if answer and self.acknowledges and not self.pause:
                self.endpoint.receive_datagram(control(answer, head.sequence), path, self.now)

    def sent(self, kind: type[Any] | None = None) -> list[tuple[Header, Any, Path]]:
        """The packets of a kind, or all, that were sent since the last time."""
        found = decoded(*self.take(self.transmits))
        return [one for one in found if isinstance(one[0], Header) and kind in (None, type(one[1]))]

    def say(self, content: Any, path: Path = DOMAIN, **head: Any) -> None:
        """A datagram, or what :func:`datagram` makes one of."""
        data = content if isinstance(content, bytes) else datagram(content, **head)
        self.call(lambda: self.receive_datagram(data, path, self.now))


class ClientPeer(OvertePeer):
    """The domain of a client and the other nodes."""

    kind, role = "overte.client", overte.DomainClient
    arguments: ClassVar[Any] = {"wall_epoch": EPOCH, "host": "domain.example", "port": 40102}
    paces: ClassVar[Any] = {"handshake": 0.125}

    @classmethod
    def live(cls, *, connected: bool = True, bound: bool = True, **arguments: Any) -> ClientPeer:
        peer = super().live(**arguments)
        if bound:
            peer.bind()
        if connected:
            peer.come_in()
            peer.take(peer.transmits)
            peer.take()
        return peer

    def bind(self, address: Address = US) -> None:
        self.socket_bound(SOCKET, address, self.now)

    def find(self, path: Path = DOMAIN, query: int = 1) -> None:
        self.now += self.pause
        self.looked_up(query, (Address(path.host, path.port),), self.now)

    def go(self) -> None:
        """Up to the first connect request."""
        self.connect(self.now)
        self.find()

    def list(self, *nodes: p.NodeRecord, path: Path = DOMAIN, **changes: Any) -> None:
        self.now += self.pause
        self.say(domain_list(*nodes, **changes), path)

    def come_in(self, *nodes: p.NodeRecord) -> None:
        self.go()
        self.list(*nodes)

    def shake(self, path: Path = DOMAIN) -> None:
        """Let the reliable channel begin that goes there."""
        self.take(self.transmits)
        self.first, self.now = self.heard[path, HANDSHAKE][-1], self.now + self.pause
        self.say(control(HANDSHAKE_ACK, self.first), path)


class ServerPeer(OvertePeer):
    """All parties at a domain server."""

    kind, role, acknowledges = "overte.server", overte.DomainServer, True
    arguments: ClassVar[Any] = {"wall_epoch": EPOCH, "domain_id": DOMAIN_ID, "limits": ROOMY}
    paces: ClassVar[Any] = ClientPeer.paces

    def mixer(self, number: int = 1, kind: Any = p.NodeType.AUDIO_MIXER, host: str = MIXER.host, **says: Any) -> Party:
        """A node with an assignment, let in."""
        usual = {"node_type": kind, "connect_id": bytes([number]) * 16, "interests": b"I"}
        mixer = Party(self, host, 40110 + number, **usual | says)
        self.assign(mixer.says["connect_id"], kind, self.now)
        assert mixer.connect() is not None
        return mixer


class Party:
    """Somebody at an address, who may be let in. ``says`` is what its requests have otherwise than those of a guest."""

    def __init__(self, domain: ServerPeer, host: str = PARTY.host, port: int = PARTY.port, **says: Any) -> None:
        self.domain, self.path = domain, Path(SOCKET, host, port)
        self.says, self.heard = says, domain.heard[self.path]
        self.local_id, self.node_id, self.reliable = 0, b"", 0  # the number of the last reliable packet

    def packets(self, kind: type[Any]) -> list[Any]:
        return [packet for _, packet in self.heard if isinstance(packet, kind)]

    def request(self, **changes: Any) -> p.DomainConnectRequest:
        return connect_request(**{"public_socket": SockAddr(self.path.host, self.path.port), **self.says, **changes})

    def say(self, kind: Any, payload: bytes = b"", *, path: Path | None = None, **head: Any) -> Any:
        """Say something; the last answer to it. A list tells who we are."""
        before = len(self.heard)
        if head.get("reliable"):
            if not self.reliable:
                self.domain.say(control(HANDSHAKE, 1), self.path)
            self.reliable += 1
            head["sequence"] = self.reliable
        self.domain.say((kind, payload), path or self.path, **{"source": self.local_id, **head})
        answers = [packet for _, packet in self.heard[before:]]
        for answer in answers:
            if isinstance(answer, p.DomainList):
                self.local_id, self.node_id = answer.local_id, answer.session_id
        return answers[-1] if answers else None

    def connect(self, **changes: Any) -> Any:
        self.domain.now += self.domain.pause
        return self.say(p.DomainConnectRequest, self.request(**changes).encode())

    def check_in(self, *, path: Path | None = None, **changes: Any) -> Any:
        return self.say(p.DomainListRequest, self.request(**changes).check_in.encode(), path=path)


class OvertePartHost(PartHost):
    """What parts of a client, a domain server and an ice-server ask for, beside."""

    local: Address | None = None
    domain: Path | None = None
    policy, versions, membership, domain_id = overte.Policy(), DEFAULT, NO_MEMBER, DOMAIN_ID
    waiting, local_id, is_squelched, trust_loopback = 0, 0, False, True
    authenticates, wall_us = OverteEndpoint.authenticates, OverteEndpoint.wall_us

    def count_unacknowledged(self, path: Path, type: PacketType) -> int:
        return 0


# -- the smallest role -------------------------------------------------------------------------------------------------


@attrs.define
class Friend:
    """Somebody whose sourced packets a talker takes, and who may have a channel."""

    local_id: int
    host: str
    secret: bytes = b""
    heard: Instant = 0.0


class Talker(OverteEndpoint[overte.PacketReceived | overte.Undelivered | Closed, TransportDelays, TransportLimits]):
    """The smallest role that a transport can have: it tells everything that arrives to the application."""

    friends: dict[int, Friend]

    def __init__(self, *, friends: tuple[Friend, ...] = (), **options: Any) -> None:
        usual = {"entropy": ScriptedEntropy(), "delays": TransportDelays(), "limits": TransportLimits(), "trace": None}
        super().__init__(**{"wall_epoch": 1.7e9, "versions": DEFAULT, **usual, **options})
        self.friends = {friend.local_id: attrs.evolve(friend) for friend in friends}

    def do(self, now: float, what: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """A verb of it."""
        self.advance(now)
        done = what(*arguments, **options)
        self.run()
        return done

    def say(self, path: Path, payload: bytes, now: float, **options: Any) -> bool:
        return self.do(now, self.send_reliable, path, (PacketType.DOMAIN_SETTINGS_REQUEST, payload), **options)

    def tell(self, path: Path, payload: bytes, now: float, **options: Any) -> bool:
        kind = options.pop("type", PacketType.DOMAIN_SETTINGS)
        return self.do(now, self.send_message, path, kind, payload, **options)

    def accepts_channel(self, path: Path) -> bool:
        return any(friend.host == path.host for friend in self.friends.values())

    def source_of(self, local_id: int, path: Path) -> Friend | None:
        return self.friends.get(local_id)

    def arrived(self, arrival: Arrival) -> None:
        sender = bytes([arrival.header.source or 0])
        self.emit(overte.PacketReceived(sender, arrival.header.type, payload=arrival.payload))

    def undelivered(self, path: Path, count: int) -> None:
        self.emit(overte.Undelivered(path.host.encode(), count))


def to(host: str, port: int = 4000) -> Path:
    return Path(SOCKET, host, port)


def sent(talker: Talker) -> list[tuple[Head, bytes]]:
    return [decode_datagram(transmit.data) for transmit in iter(talker.next_transmit, None)]


def got(talker: Talker) -> list[bytes]:
    return [event.payload for event in iter(talker.next_event, None) if isinstance(event, overte.PacketReceived)]
