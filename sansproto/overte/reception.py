"""Who is heard: what has to hold of a packet before a role sees it. docs/protocols/overte.rst, datagrams."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

from ..component import Component, Host, Note
from ..contract import Instant, Path
from ..machine import Guards, Input, Row, Table
from . import crypto
from .channels import ReliableChannels
from .header import Header
from .receiving import Arrival

OTHER_VERSION_TAKEN: Final = Note("other version", ref="types and versions")
LOOSE_PART: Final = Note("unreliable message", ref="messages")


class Peer(Protocol):
    """Somebody who sends sourced packets: ``secret`` is empty if there is none, ``heard`` the last time."""

    heard: Instant

    @property
    def local_id(self) -> int: ...

    @property
    def secret(self) -> bytes: ...


Unheard: TypeAlias = tuple[Header, bytes, Path]
"""A packet, and where it came from."""


class ReceptionHost(Host[Any], Protocol):
    """What the reception asks of the endpoint."""

    @property
    def channels(self) -> ReliableChannels: ...
    def accepts_version(self, header: Header) -> bool: ...
    def source_of(self, local_id: int, path: Path) -> Peer | None: ...
    def authenticates(self) -> bool: ...
    def accepts_unverified(self, header: Header, path: Path, peer: Peer) -> bool: ...
    def arrived(self, header: Header, payload: bytes, path: Path, peer: Any) -> None: ...


class ReceptionState(Enum):
    READY = 0


class ReceptionInput:
    OTHER_VERSION = Input[ReceptionState, Arrival]()
    SINGLE = Input[ReceptionState, Arrival]()
    RELIABLE = Input[ReceptionState, Arrival]()
    LOOSE_PART = Input[ReceptionState, Arrival]()
    """A part of a message that is not reliable."""


class Reception(Component[ReceptionState, ReceptionHost]):
    """Decides about packets whose version, source or MAC has to be looked at, or that are reliable."""

    # -- guards

    def is_wanted_anyway(self, arrival: Arrival) -> bool:
        return self.host.accepts_version(arrival[0])

    def find_source(self, packet: Unheard) -> Arrival | None:
        """The packet with who sent it, if its header says so."""
        header, payload, path = packet
        if header.source is None:
            return header, payload, path, None
        peer = self.host.source_of(header.source, path)
        return None if peer is None else (header, payload, path, peer)

    def has_secret(self, arrival: Arrival) -> bool:
        """Can its MAC be checked, if it has to be?"""
        header, _, path, peer = arrival
        return header.mac is None or bool(peer.secret) or self._is_exempt(header, path, peer)

    def is_genuine(self, arrival: Arrival) -> bool:
        header, payload, path, peer = arrival
        if header.mac is None or (peer.secret and crypto.mac_matches(peer.secret, payload, header.mac)):
            return True
        return self._is_exempt(header, path, peer)

    def is_single(self, arrival: Arrival) -> bool:
        header = arrival[0]
        return not header.reliable and header.part is None

    def is_reliable(self, arrival: Arrival) -> bool:
        return arrival[0].reliable

    # -- actions

    def note_heard(self, arrival: Arrival) -> None:
        peer = arrival[3]
        if peer is not None:
            peer.heard = self.host.clock

    def note_other_version(self) -> None:
        self.host.count_note(OTHER_VERSION_TAKEN, self)

    def note_loose_part(self) -> None:
        self.host.count_note(LOOSE_PART, self)

    def pass_to_channels(self, arrival: Arrival) -> None:
        self.host.channels.take_data(arrival)

    def pass_on(self, arrival: Arrival) -> None:
        header, payload, path, peer = arrival
        self.host.arrived(header, payload, path, peer)

    # -- inside

    def _is_exempt(self, header: Header, path: Path, peer: Peer) -> bool:
        return not self.host.authenticates() or self.host.accepts_unverified(header, path, peer)


_S, _I, _R = ReceptionState, ReceptionInput, Reception

OTHER_VERSION: Final = (
    Guards.of(_R, ReceptionState, tuple[Header, bytes, Path, Any], "other_version")
    .need(_R.is_wanted_anyway, "other version", ref="types and versions")
    .give(_I.OTHER_VERSION)
)
PACKET: Final = (
    Guards.of(_R, ReceptionState, tuple[Header, bytes, Path], "packet")
    .make(_R.find_source, "unknown source", ref="who is heard")
    .need(_R.has_secret, "no secret", ref="who is heard")
    .need(_R.is_genuine, "wrong hash", ref="who is heard")
    .give_if(_R.is_single, _I.SINGLE, ref="who is heard")
    .give_if(_R.is_reliable, _I.RELIABLE, ref="handshake")
    .give(_I.LOOSE_PART)
)

RECEPTION: Final = Table[Reception, ReceptionState](
    Reception,
    ReceptionInput,
    name="overte.reception",
    page="overte",
    initial=_S.READY,
    idle={_S.READY: "the next packet"},
    rows=(
        Row(_S.READY, _I.OTHER_VERSION, None, _R.note_other_version, _R.pass_on, ref="types and versions"),
        Row(_S.READY, _I.SINGLE, None, _R.note_heard, _R.pass_on, ref="who is heard"),
        Row(_S.READY, _I.RELIABLE, None, _R.note_heard, _R.pass_to_channels, ref="handshake"),
        Row(_S.READY, _I.LOOSE_PART, None, _R.note_heard, _R.note_loose_part, ref="messages"),
    ),
    defaults=(),
)
