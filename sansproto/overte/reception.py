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
        return self.host.accepts_version(arrival.header)

    def find_source(self, packet: Unheard) -> Arrival | None:
        """The packet with who sent it, if its header says so."""
        header, payload, path = packet
        if header.source is None:
            return Arrival(header, payload, path, None)
        peer = self.host.source_of(header.source, path)
        return None if peer is None else Arrival(header, payload, path, peer)

    def has_secret(self, arrival: Arrival) -> bool:
        """Can its MAC be checked, if it has to be?"""
        return arrival.header.mac is None or bool(arrival.peer.secret) or self._is_exempt(arrival)

    def is_genuine(self, arrival: Arrival) -> bool:
        mac = arrival.header.mac
        if mac is None or (arrival.peer.secret and crypto.mac_matches(arrival.peer.secret, arrival.payload, mac)):
            return True
        return self._is_exempt(arrival)

    def is_single(self, arrival: Arrival) -> bool:
        return not arrival.header.reliable and arrival.header.part is None

    def is_reliable(self, arrival: Arrival) -> bool:
        return arrival.header.reliable

    # -- actions

    def note_heard(self, arrival: Arrival) -> None:
        if arrival.peer is not None:
            arrival.peer.heard = self.host.clock

    def note_other_version(self) -> None:
        self.host.count_note(OTHER_VERSION_TAKEN, self)

    def note_loose_part(self) -> None:
        self.host.count_note(LOOSE_PART, self)

    def pass_to_channels(self, arrival: Arrival) -> None:
        self.host.channels.take_data(arrival)

    def pass_on(self, arrival: Arrival) -> None:
        self.host.arrived(*arrival)

    # -- inside

    def _is_exempt(self, arrival: Arrival) -> bool:
        header, _, path, peer = arrival
        return not self.host.authenticates() or self.host.accepts_unverified(header, path, peer)


_S, _I = ReceptionState, ReceptionInput

OTHER_VERSION: Final = (
    Guards.of(Reception, ReceptionState, Arrival, "other_version")
    .need(Reception.is_wanted_anyway, "other version", ref="types and versions")
    .give(_I.OTHER_VERSION)
)
PACKET: Final = (
    Guards.of(Reception, ReceptionState, tuple[Header, bytes, Path], "packet")
    .make(Reception.find_source, "unknown source", ref="who is heard")
    .need(Reception.has_secret, "no secret", ref="who is heard")
    .need(Reception.is_genuine, "wrong hash", ref="who is heard")
    .give_if(Reception.is_single, _I.SINGLE, ref="who is heard")
    .give_if(Reception.is_reliable, _I.RELIABLE, ref="handshake")
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
        Row(
            _S.READY,
            _I.OTHER_VERSION,
            None,
            Reception.note_other_version,
            Reception.pass_on,
            ref="types and versions",
        ),
        Row(_S.READY, _I.SINGLE, None, Reception.note_heard, Reception.pass_on, ref="who is heard"),
        Row(_S.READY, _I.RELIABLE, None, Reception.note_heard, Reception.pass_to_channels, ref="handshake"),
        Row(_S.READY, _I.LOOSE_PART, None, Reception.note_heard, Reception.note_loose_part, ref="messages"),
    ),
    defaults=(),
)
