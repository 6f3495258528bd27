"""A domain server in virtual time, and guests whose datagrams are made packet by packet."""

from __future__ import annotations

from typing import Any

import attrs

from sansproto.contract import Path, SendDatagram
from sansproto.overte import packets as p
from sansproto.overte.header import Control, ControlType, Header, decode_datagram, encode_datagram
from sansproto.overte.limits import ServerLimits
from sansproto.overte.qt import SockAddr
from sansproto.overte.server import DomainServer
from sansproto.overte.versions import DEFAULT, Form, PacketType
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.wire import Packet

DOMAIN_ID = bytes.fromhex("9163983891314b2e986f1fe8d2bc0a01")
STATIC = b"MWoAmS"
CLOCK = 1762670990666276
LOCAL = SockAddr("192.168.1.23", 48001)


class Domain:
    """A server, its clock, and what it said: events in ``events``, packets by receiver in ``said``."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("limits", ServerLimits(connects=1000))
        self.options = {"entropy": ScriptedEntropy(), "wall_epoch": 1.7e9, "domain_id": DOMAIN_ID} | options
        self.server = DomainServer(**self.options)
        self.now = 0.0
        self.events: list[Any] = []
        self.datagrams: list[SendDatagram] = []
        self.said: dict[Path, list[tuple[Header, Packet]]] = {}
        self.deaf: set[Path] = set()  # who does not answer control packets

    def drain(self) -> None:
        while True:
            event, transmit = self.server.next_event(), self.server.next_transmit()
            if event is not None:
                self.events.append(event)
            if transmit is not None:
                assert isinstance(transmit, SendDatagram)
                self.datagrams.append(transmit)
                self._hear(transmit)
            if event is None and transmit is None:
                return

    def wait(self, seconds: float) -> None:
        """Let time pass, waking the server when it wants it."""
        until = self.now + seconds
        while (at := self.server.next_timeout()) is not None and at <= until:
            self.now = max(self.now, at)
            self.server.handle_timeout(self.now)
            self.drain()
        self.now = until

    def receive(self, data: bytes, path: Path) -> None:
        self.server.receive_datagram(data, path, self.now)
        self.drain()

    def take(self) -> list[Any]:
        """The events since the last time."""
        events, self.events = self.events, []
        return events

    def dropped(self, reason: str) -> int:
        return self.server.stats.dropped.get(reason, 0)

    def noted(self, remark: str) -> int:
        return self.server.stats.noted.get(remark, 0)

    def refused(self, reason: str) -> int:
        return self.server.stats.refused.get(reason, 0)

    def _hear(self, transmit: SendDatagram) -> None:
        head, payload = decode_datagram(transmit.data)
        path = transmit.path
        if isinstance(head, Control):
            if head.type is ControlType.HANDSHAKE and path not in self.deaf:
                answer = Control(ControlType.HANDSHAKE_ACK, head.sequence)
                self.server.receive_datagram(encode_datagram(answer), path, self.now)
            return
        self.said.setdefault(path, []).append((head, p.PACKETS[head.type.value].decode(payload)))
        if head.reliable and path not in self.deaf:
            self.server.receive_datagram(encode_datagram(Control(ControlType.ACK, head.sequence)), path, self.now)


@attrs.define
class Guest:
    """Somebody at an address, who may be let in."""

    domain: Domain
    host: str = "203.0.113.7"
    port: int = 48001
    node_type: p.NodeType = p.NodeType.AGENT
    interests: bytes = STATIC
    connect_id: bytes = bytes(16)
    fingerprint: bytes = b"machine".ljust(16, b"\1")
    local: SockAddr = LOCAL
    local_id: int = 0
    node_id: bytes = b""
    reliable: int = 0  # the number of the last reliable packet

    @property
    def path(self) -> Path:
        return Path("udp", self.host, self.port)

    def request(self, **changes: Any) -> p.DomainConnectRequest:
        """A connect request; names of fields of either packet."""
        inner = {name: changes.pop(name) for name in tuple(changes) if name in p.CheckIn.__annotations__}
        check_in = p.CheckIn(
            client_clock=CLOCK,
            node_type=self.node_type,
            public_socket=SockAddr(self.host, self.port),
            local_socket=self.local,
            interests=self.interests,
            place_name=None,
        )
        request = p.DomainConnectRequest(
            connect_id=self.connect_id,
            protocol_signature=DEFAULT.signature,
            hardware_address=None,
            machine_fingerprint=self.fingerprint,
            system_info=None,
            reason=0,
            previous_uptime=0,
            check_in=attrs.evolve(check_in, **inner),
            username=None,
            username_signature=b"",
        )
        return attrs.evolve(request, **changes)

    def say(self, kind: PacketType, payload: bytes = b"", *, path: Path | None = None, **changes: Any) -> None:
        """Send one datagram, unreliable."""
        source = self.local_id if kind.form is not Form.UNSOURCED else None
        mac = bytes(16) if kind.form is Form.VERIFIED else None
        header = attrs.evolve(Header(kind, 1, DEFAULT[kind], source, mac), **changes)
        self.domain.receive(encode_datagram(header, payload), path or self.path)

    def say_reliably(self, kind: PacketType, payload: bytes = b"") -> None:
        if not self.reliable:
            self.reliable = 100
            handshake = Control(ControlType.HANDSHAKE, self.reliable + 1)
            self.domain.receive(encode_datagram(handshake), self.path)
        self.reliable += 1
        self.say(kind, payload, reliable=True, sequence=self.reliable)

    def connect(self, **changes: Any) -> Packet | None:
        """Send a connect request; the last answer to it. A list tells who we are."""
        return self.send_request(self.request(**changes).encode())

    def send_request(self, payload: bytes, **changes: Any) -> Packet | None:
        heard = len(self.heard)
        self.say(PacketType.DOMAIN_CONNECT_REQUEST, payload, **changes)
        answers = [packet for _, packet in self.heard[heard:]]
        for answer in answers:
            if isinstance(answer, p.DomainList):
                self.local_id, self.node_id = answer.local_id, answer.session_id
        return answers[-1] if answers else None

    def check_in(self, *, path: Path | None = None, **changes: Any) -> p.DomainList | None:
        """Send a list request; the last datagram of the list that we got."""
        fields = {name: getattr(self.request().check_in, name) for name in p.CheckIn.__annotations__}
        heard = len(self.heard)
        request = p.DomainListRequest(**(fields | changes))
        self.say(PacketType.DOMAIN_LIST_REQUEST, request.encode(), path=path)
        lists = [packet for _, packet in self.heard[heard:] if isinstance(packet, p.DomainList)]
        return lists[-1] if lists else None

    @property
    def heard(self) -> list[tuple[Header, Packet]]:
        return self.domain.said.get(self.path, [])

    def packets(self, kind: type[Any]) -> list[Any]:
        return [packet for _, packet in self.heard if isinstance(packet, kind)]


def mixer(
    domain: Domain,
    number: int = 1,
    node_type: p.NodeType = p.NodeType.AUDIO_MIXER,
    *,
    host: str = "198.51.100.10",
    interests: bytes = b"I",
) -> Guest:
    """A node with an assignment, let in."""
    connect_id = bytes([number]) * 16
    domain.server.assign(connect_id, node_type, domain.now)
    guest = Guest(domain, host, 40110 + number, node_type=node_type, interests=interests, connect_id=connect_id)
    assert guest.connect() is not None
    return guest
