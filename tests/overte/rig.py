"""A client with hands on both its ends: what it sends is read here, and what a domain would answer is made by hand."""

from __future__ import annotations

from typing import Any

from sansproto.contract import Address, Path, SendDatagram, Transmit
from sansproto.overte import crypto
from sansproto.overte import packets as p
from sansproto.overte.client import DomainClient
from sansproto.overte.header import NO_MAC, Control, ControlType, Header, decode_datagram, encode_datagram
from sansproto.overte.qt import SockAddr
from sansproto.overte.remote import SOCKET
from sansproto.overte.versions import DEFAULT, Form, PacketType
from sansproto.testing.entropy import ScriptedEntropy

TYPES = tuple(PacketType)
EPOCH = 1_762_670_000.0
US = Address("192.168.1.23", 48001)
DOMAIN = Path(SOCKET, "198.51.100.1", 40102)
STRANGER = Path(SOCKET, "203.0.113.66", 666)
DOMAIN_ID = b"d" * 16
SESSION = b"s" * 16
LOCAL_ID = 50900
MIXER = Path(SOCKET, "198.51.100.10", 40110)
MIXER_LOCAL = Path(SOCKET, "10.0.0.10", 40110)
SECRET = b"k" * 16


def record(letter: str = "M", *, number: int = 1, **changes: Any) -> p.NodeRecord:
    """A node with two addresses of its own."""
    fields: dict[str, Any] = {
        "type": p.NodeType(ord(letter)),
        "id": bytes([number]) * 16,
        "public_socket": SockAddr("198.51.100.10", 40109 + number),
        "local_socket": SockAddr("10.0.0.10", 40109 + number),
        "permissions": 7327,
        "replicated": False,
        "local_id": 4660 + number,
        "secret": SECRET,
    }
    return p.NodeRecord(**{**fields, **changes})


class Rig:
    """One client at a table: ``sent`` takes what it wants to send, ``say`` lets somebody speak to it."""

    def __init__(self, *, connected: bool = True, bound: bool = True, **arguments: Any) -> None:
        self.arguments = {
            "host": "domain.example",
            "entropy": ScriptedEntropy(),
            "wall_epoch": EPOCH,
            **arguments,
        }
        self.client = DomainClient(**self.arguments)
        self.now = 0.0
        self.numbers: dict[Path, int] = {}
        if bound:
            self.client.socket_bound(SOCKET, US, self.now)
        if connected:
            self.find()
            self.list()
            self.sent()
            self.events()

    def find(self) -> None:
        self.client.connect(self.now)
        self.client.looked_up(1, (Address(DOMAIN.host, DOMAIN.port),), self.now)

    def at(self, now: float) -> None:
        """Let time pass, with every timer at its own time."""
        while (due := self.client.next_timeout()) is not None and due <= now:
            self.now = max(self.now, due)
            self.client.handle_timeout(self.now)
        self.now = max(self.now, now)
        self.client.handle_timeout(self.now)  # which has nothing to do but to see the time

    def transmits(self) -> list[Transmit]:
        found = []
        while (transmit := self.client.next_transmit()) is not None:
            found.append(transmit)
        return found

    def datagrams(self) -> list[SendDatagram]:
        return [transmit for transmit in self.transmits() if isinstance(transmit, SendDatagram)]

    def sent(self, kind: type[Any] | None = None) -> list[tuple[Header, Any, Path]]:
        """What was sent since, but for control packets: only packets of one kind, or all."""
        found = []
        for datagram in self.datagrams():
            head, payload = decode_datagram(datagram.data)
            if isinstance(head, Header):
                packet = p.PACKETS[head.type.value].decode(payload) if head.type.value in p.PACKETS else payload
                if kind is None or type(packet) is kind:
                    found.append((head, packet, datagram.path))
        return found

    def events(self) -> list[Any]:
        found = []
        while (event := self.client.next_event()) is not None:
            found.append(event)
        return found

    def say(self, packet: Any, path: Path = DOMAIN, *, source: int = 0, secret: bytes = b"", **head: Any) -> None:
        kind, payload = packet if isinstance(packet, tuple) else (TYPES[packet.__wire__.id], packet.encode())
        self.numbers[path] = self.numbers.get(path, 0) + 1
        header = Header(
            kind,
            head.pop("sequence", self.numbers[path]),
            DEFAULT[kind],
            None if kind.form is Form.UNSOURCED else source,
            None if kind.form is not Form.VERIFIED else crypto.mac(secret, payload) if secret else NO_MAC,
            **head,
        )
        self.client.receive_datagram(encode_datagram(header, payload), path, self.now)

    def list(self, *nodes: p.NodeRecord, path: Path = DOMAIN, **changes: Any) -> None:
        self.say(domain_list(*nodes, **changes), path)

    def shake(self, path: Path = DOMAIN) -> None:
        """Let a reliable channel of the client's begin: answer its handshakes, acknowledge what it sent."""
        for datagram in self.datagrams():
            head, _ = decode_datagram(datagram.data)
            if isinstance(head, Control) and head.type is ControlType.HANDSHAKE:
                answer = encode_datagram(Control(ControlType.HANDSHAKE_ACK, head.sequence))
                self.client.receive_datagram(answer, path, self.now)

    def drops(self, reason: str) -> int:
        return self.client.stats.dropped.get(reason, 0)

    def refusals(self, reason: str) -> int:
        return self.client.stats.refused.get(reason, 0)

    def notes(self, remark: str) -> int:
        return self.client.stats.noted.get(remark, 0)


def domain_list(*nodes: p.NodeRecord, **changes: Any) -> p.DomainList:
    """A list for the client that was let in, with whatever is different this time."""
    fields: dict[str, Any] = {
        "domain_id": DOMAIN_ID,
        "domain_local_id": 4242,
        "session_id": SESSION,
        "local_id": LOCAL_ID,
        "permissions": 2049,
        "authenticated": True,
        "client_clock": 0,
        "server_clock": 0,
        "processing_time": 159,
        "new_connection": True,
    }
    return p.DomainList(**{**fields, **changes}, nodes=nodes)
