"""A host for one part of an Overte session: it keeps what the part sends, and there is nobody else."""

from __future__ import annotations

from typing import Any, TypeVar

from sansproto.component import Part
from sansproto.contract import Address, Path
from sansproto.overte.introduction import NO_MEMBER
from sansproto.overte.policy import Policy
from sansproto.session import Session
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.wire import Packet

P = TypeVar("P", bound=Packet)
C = TypeVar("C", bound=Part[Any])


class Alone(Session[Any]):
    """What parts of a client, a domain server and an ice-server ask for."""

    def __init__(self) -> None:
        super().__init__(entropy=ScriptedEntropy())
        self.place = ()
        self.part: Any = None
        self.sent: list[Any] = []
        self.local: Address | None = None
        self.policy, self.domain_id = Policy(), b"d" * 16
        self.waiting = 0
        self.local_id = 0
        self.is_squelched = False
        self.domain: Path | None = None
        self.membership = NO_MEMBER
        self.called: list[Any] = []

    def keep(self, part: C) -> C:
        """It has one part."""
        self.part = part
        part.name_parts(("part",))
        return part

    def events(self) -> list[Any]:
        return list(iter(self.next_event, None))

    def ask_transport(self, what: Any) -> None:
        self.sent.append(what)

    def send_raw(self, path: Path, type: Any, payload: bytes) -> None:
        self.sent.append((path, type, payload))

    def send_packet(self, path: Path, packet: Any, *, source: int = 0, secret: bytes = b"") -> None:
        self.sent.append((path, packet))

    def answer(self, path: Path, packet: Any) -> None:
        self.sent.append((path, packet))

    def send_datagram(self, data: bytes, path: Path, name: str) -> None:
        self.sent.append((path, data))

    def send_reliable(self, path: Path, content: Any) -> bool:
        self.sent.append((path, content))
        return True

    def send_message(self, path: Path, type: Any, payload: bytes) -> bool:
        self.sent.append((path, type, payload))
        return True

    def ask_domain(self, question: Any) -> None:
        self.sent.append(question)

    def sockets_changed(self) -> None:
        self.called.append("sockets_changed")

    def seek(self, server: Path) -> None:
        self.called.append(server)

    def reached(self, path: Path) -> None:
        self.called.append(path)

    def forget_channel(self, path: Path) -> None:
        self.sent.append((path, None))

    def wall_us(self) -> int:
        return int(self.clock * 1e6)
