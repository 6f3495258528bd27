"""Overte's scripted peers: packets as everybody sends them, and who speaks to a client, a domain or an ice-server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
from scripted import PartHost, ScriptedPeer

from sansproto import overte
from sansproto.contract import Address, Path, SendDatagram
from sansproto.overte import crypto
from sansproto.overte import packets as p
from sansproto.overte.header import NO_MAC, Control, ControlType, Header, decode_datagram, encode_datagram
from sansproto.overte.introduction import NO_MEMBER
from sansproto.overte.qt import SockAddr
from sansproto.overte.remote import SOCKET
from sansproto.overte.stun import COOKIE
from sansproto.overte.versions import DEFAULT, Form, PacketType
from sansproto.testing.conformance_overte import MACHINES
from sansproto.testing.entropy import ScriptedEntropy

TYPES = tuple(PacketType)
ACK, HANDSHAKE, HANDSHAKE_ACK, HANDSHAKE_REQUEST = ControlType
EPOCH, CLOCK = 1_762_670_000.0, 1_762_670_000_000_000
US, LOCAL = Address("192.168.1.23", 48001), SockAddr("192.168.1.23", 48001)
DOMAIN, PARTY = Path(SOCKET, "198.51.100.1", 40102), Path(SOCKET, "203.0.113.7", 48001)
MIXER, MIXER_LOCAL = Path(SOCKET, "198.51.100.10", 40110), Path(SOCKET, "10.0.0.10", 40110)
STRANGER = Path(SOCKET, "203.0.113.66", 666)
DOMAIN_ID, SESSION, SECRET, LOCAL_ID = b"d" * 16, b"s" * 16, b"k" * 16, 50900
RECORD = p.NodeRecord(p.NodeType.AGENT, b"", LOCAL, LOCAL, 7327, False, 0, SECRET)
LIST = p.DomainList(DOMAIN_ID, 4242, SESSION, LOCAL_ID, 2049, True, 0, 0, 159, True, ())
CHECK_IN = p.CheckIn(CLOCK, p.NodeType.AGENT, SockAddr(PARTY.host, PARTY.port), LOCAL, b"MWoAmS", None)
MACHINE = b"machine".ljust(16, b"\1")
REQUEST = p.DomainConnectRequest(
    bytes(16), DEFAULT.signature, None, MACHINE, bytes(4), 0, 0, CHECK_IN, None, username_signature=b""
)


def datagram(content: Any, *, source: int = 0, secret: bytes = b"", **head: Any) -> bytes:
    """A packet, or a type and a payload, with the header that belongs to it."""
    kind, payload = content if isinstance(content, tuple) else (TYPES[content.__wire__.id], content.encode())
    mac = crypto.mac(secret, payload) if secret else NO_MAC
    whose = {
        "source": None if kind.form is Form.UNSOURCED else source,
        "mac": mac if kind.form is Form.VERIFIED else None,
    }
    return encode_datagram(Header(kind, **{"sequence": 1, "version": DEFAULT[kind], **whose, **head}), payload)


def control(kind: ControlType, number: int | None = None) -> bytes:
    return encode_datagram(Control(kind, number))


def record(letter: str = "M", *, number: int = 1, **changes: Any) -> p.NodeRecord:
    """A node with two addresses of its own."""
    public, local = (SockAddr(path.host, 40109 + number) for path in (MIXER, MIXER_LOCAL))
    own = {"type": p.NodeType(ord(letter)), "id": bytes([number]) * 16, "local_id": 4660 + number}
    return attrs.evolve(RECORD, **{"public_socket": public, "local_socket": local, **own, **changes})


def domain_list(*nodes: p.NodeRecord, **changes: Any) -> p.DomainList:
    """A list for the client that was let in."""
    return attrs.evolve(LIST, nodes=nodes, **changes)


def check_in(kind: type[Any] = p.CheckIn, **changes: Any) -> Any:
    return kind(**{name: changes.get(name, getattr(CHECK_IN, name)) for name in p.CheckIn.__annotations__})


def connect_request(**changes: Any) -> p.DomainConnectRequest:
    """A request with other fields, also those of its check-in."""
    inner = {name: changes.pop(name) for name in tuple(changes) if name in p.CheckIn.__annotations__}
    return attrs.evolve(REQUEST, check_in=check_in(**inner), **changes)


def decoded(*transmits: Any) -> Iterator[tuple[Any, Any, Path]]:
    """The datagrams among them, but for STUN: header, packet (or payload) and path."""
    for one in transmits:
        if isinstance(one, SendDatagram) and one.data[4:8] != COOKIE:
            head, payload = decode_datagram(one.data)
            kind = p.PACKETS.get(head.type.value) if isinstance(head, Header) else None
            yield head, payload if kind is None else kind.decode(payload), one.path


class OvertePeer(ScriptedPeer):
    """Everybody whom a session hears. ``heard`` are the packets that each got, ``handshakes`` their last numbers.

    Those at a domain server acknowledge all, but for those that are ``deaf``, and where they are recorded.
    """

    machines, kind = MACHINES, "overte.ice_server"
    usual: ClassVar[Any] = {"wall_epoch": CLOCK // 1000, "keys": None}
    bounds: Any = (overte.IceLimits(), overte.IceDelays())
    acknowledges = False

    def __init__(self, endpoint: Any) -> None:
        self.heard: dict[Path, list[tuple[Header, Any]]] = defaultdict(list)
        self.handshakes: dict[Path, int] = {}
        self.deaf: set[Path] = set()
        super().__init__(endpoint)

    def carry(self, transmit: Any) -> None:
        super().carry(transmit)
        for head, packet, path in decoded(transmit):
            answer = None
            if isinstance(head, Header):
                self.heard[path].append((head, packet))
                answer = ACK if head.reliable else None
            elif head.type is HANDSHAKE:
                self.handshakes[path] = head.sequence
                answer = HANDSHAKE_ACK
            if answer and self.acknowledges and not self.pause and path not in self.deaf:
                self.endpoint.receive_datagram(control(answer, head.sequence), path, self.now)

    def datagrams(self) -> list[SendDatagram]:
        """Those that were sent since the last time."""
        return [one for one in self.take(self.transmits) if isinstance(one, SendDatagram)]

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

    kind, bounds = "overte.client", (overte.ClientLimits(), overte.ClientDelays(handshake=0.125))
    usual: ClassVar[Any] = {"wall_epoch": CLOCK // 1000, "host": "domain.example", "port": 40102}

    @classmethod
    def live(cls, *, connected: bool = True, bound: bool = True, **arguments: Any) -> ClientPeer:
        usual = {"host": "domain.example", "entropy": ScriptedEntropy(), "wall_epoch": EPOCH}
        peer = cls(overte.DomainClient(**usual | arguments))
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
        self.first, self.now = self.handshakes[path], self.now + self.pause
        self.say(control(HANDSHAKE_ACK, self.first), path)


class ServerPeer(OvertePeer):
    """All parties at a domain server."""

    kind, bounds = "overte.server", (overte.ServerLimits(), overte.ServerDelays(handshake=0.125))
    usual: ClassVar[Any] = {"wall_epoch": CLOCK // 1000, "domain_id": DOMAIN_ID.hex()}
    acknowledges = True

    @classmethod
    def live(cls, **options: Any) -> ServerPeer:
        limits = overte.ServerLimits(connects=1000)
        usual = {"entropy": ScriptedEntropy(), "wall_epoch": EPOCH, "domain_id": DOMAIN_ID, "limits": limits}
        return cls(overte.DomainServer(**usual | options))

    def mixer(self, number: int = 1, kind: p.NodeType = p.NodeType.AUDIO_MIXER, **fields: Any) -> Party:
        """A node with an assignment, let in."""
        usual = {"host": MIXER.host, "port": 40110 + number, "interests": b"I", "connect_id": bytes([number]) * 16}
        mixer = Party(self, node_type=kind, **usual | fields)
        self.assign(mixer.connect_id, kind, self.now)
        assert mixer.connect() is not None
        return mixer


@attrs.define
class Party:
    """Somebody at an address, who may be let in."""

    domain: ServerPeer
    host: str = PARTY.host
    port: int = PARTY.port
    node_type: p.NodeType = p.NodeType.AGENT
    interests: bytes = CHECK_IN.interests
    connect_id: bytes = bytes(16)
    machine_fingerprint: bytes = MACHINE
    local_id: int = 0
    node_id: bytes = b""
    reliable: int = 0  # the number of the last reliable packet

    @property
    def path(self) -> Path:
        return Path(SOCKET, self.host, self.port)

    @property
    def heard(self) -> list[tuple[Header, Any]]:
        return self.domain.heard[self.path]

    def packets(self, kind: type[Any]) -> list[Any]:
        return [packet for _, packet in self.heard if isinstance(packet, kind)]

    def request(self, **changes: Any) -> p.DomainConnectRequest:
        own = ("node_type", "interests", "connect_id", "machine_fingerprint")
        fields = {"public_socket": SockAddr(self.host, self.port), **{name: getattr(self, name) for name in own}}
        return connect_request(**fields | changes)

    def say(self, kind: PacketType, payload: bytes = b"", *, path: Path | None = None, **head: Any) -> Any:
        """Say something; the last answer to it. A list tells who we are."""
        before = len(self.heard)
        self.domain.say((kind, payload), path or self.path, **{"source": self.local_id, **head})
        answers = [packet for _, packet in self.heard[before:]]
        for answer in answers:
            if isinstance(answer, p.DomainList):
                self.local_id, self.node_id = answer.local_id, answer.session_id
        return answers[-1] if answers else None

    def say_reliably(self, kind: PacketType, payload: bytes = b"") -> None:
        if not self.reliable:
            self.reliable = 100
            self.domain.say(control(HANDSHAKE, self.reliable + 1), self.path)
        self.reliable += 1
        self.say(kind, payload, reliable=True, sequence=self.reliable)

    def connect(self, **changes: Any) -> Any:
        self.domain.now += self.domain.pause
        return self.say(PacketType.DOMAIN_CONNECT_REQUEST, self.request(**changes).encode())

    def check_in(self, *, path: Path | None = None, **changes: Any) -> Any:
        request = check_in(p.DomainListRequest, **attrs.asdict(self.request(**changes).check_in, recurse=False))
        return self.say(PacketType.DOMAIN_LIST_REQUEST, request.encode(), path=path)


class OvertePartHost(PartHost):
    """What parts of a client, a domain server and an ice-server ask for, beside."""

    local: Address | None = None
    domain: Path | None = None
    policy, versions, membership, domain_id = overte.Policy(), DEFAULT, NO_MEMBER, DOMAIN_ID
    waiting, local_id, is_squelched = 0, 0, False

    def __init__(self, delays: Any, limits: Any) -> None:
        super().__init__()
        self.delays, self.limits = delays, limits

    def authenticates(self) -> bool:
        return True

    def wall_us(self) -> int:
        return int(self.wall() * 1e6)
