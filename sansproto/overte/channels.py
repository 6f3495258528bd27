"""Sources, and what must arrive at an address or came from it. docs/protocols/overte.rst, datagrams and handshake.

A reliable channel has two parts for each address: a :class:`~.sending.Sender` and a :class:`~.receiving.Receiver`,
which know nothing of each other. There is a channel only with an address that the endpoint accepts.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from ..component import Component, Note, Parts, Refusal
from ..contract import Path
from ..machine import Default, Guards, Happened, Input, Outcome, Row, Table
from . import crypto
from .header import Control, ControlType
from .parts import Arrival, ChannelHost
from .receiving import DATA, Receiver, ReceivingInput, ReceivingState
from .remote import Remote, remote_of
from .sending import ACK, HANDSHAKE_ACK, Sender, SendingInput

NO_CHANNEL: Final = Refusal("no channel", ref="handshake")
OTHER_VERSION_TAKEN: Final = Note("other version", ref="types and versions")
LOOSE_PART: Final = Note("unreliable message", ref="messages")


class ChannelsState(Enum):
    READY = 0


class ChannelsInput:
    OTHER_VERSION = Input[ChannelsState, Arrival]()
    SINGLE = Input[ChannelsState, Arrival]()
    RELIABLE = Input[ChannelsState, Arrival]()
    LOOSE_PART = Input[ChannelsState, Arrival]()
    """A part of a message that is not reliable."""
    NO_CHANNEL = Input[ChannelsState, None]()
    """It would be for a channel, but there is none with its sender."""
    UNEXPECTED = Input[ChannelsState, None]()
    """No part takes packets of its type from there."""


class Channels(Component[ChannelsState, ChannelHost]):
    """Decides about packets whose version, source or MAC has to be looked at, and keeps the channels of an endpoint.

    Who stops accepting an address has to call :meth:`forget_channel`.
    """

    senders: Parts[Remote, Sender]
    receivers: Parts[Remote, Receiver]
    unfinished: int
    """Bytes of all messages of which parts are missing."""
    unacknowledged: int
    """Bytes of all that did not yet arrive as a whole."""

    def __init__(self, host: ChannelHost) -> None:
        super().__init__(host)
        self.senders = Parts(lambda remote: Sender(host, self, remote))
        self.receivers = Parts(lambda remote: Receiver(host, self, remote))
        self.unfinished = self.unacknowledged = 0

    # -- for the endpoint

    def sender_to(self, path: Path) -> Sender | None:
        """What sends to this address; None, and counted, if it may have no channel."""
        remote = remote_of(path)
        sender = self.senders.get(remote)
        if sender is None:
            if self.host.accepts_channel(path):
                return self.senders.add(remote, Sender.draw_number)
            self.host.count_refusal(NO_CHANNEL, self)
        return sender

    def take_control(self, control: Control, path: Path) -> None:
        """A control packet came."""
        sender, number = self.senders.get(remote_of(path)), control.sequence
        if number is not None and control.type is ControlType.HANDSHAKE:
            self._receive(path, ReceivingInput.HANDSHAKE(number))
        elif sender is None:
            self.post(ChannelsInput.NO_CHANNEL())
        elif number is None:
            sender.post(SendingInput.REQUESTED())
        else:
            sender.take(ACK if control.type is ControlType.ACK else HANDSHAKE_ACK, number)

    def forget_channel(self, path: Path) -> None:
        """What waits for this address is dropped, as is what has come from it of unfinished messages."""
        remote = remote_of(path)
        if remote in self.senders:
            self.senders[remote].discard()
            self.senders.remove(remote)
        if remote in self.receivers:
            self.receivers[remote].fail_messages()
            self.receivers.remove(remote)

    # -- guards

    def is_wanted_anyway(self, arrival: Arrival) -> bool:
        return self.host.accepts_version(arrival.header)

    def find_source(self, arrival: Arrival) -> Arrival | None:
        """The packet with who sent it, if its header says so."""
        source = arrival.header.source
        if source is not None:
            arrival.peer = self.host.source_of(source, arrival.path)
            if arrival.peer is None:
                return None
        return arrival

    def has_secret(self, arrival: Arrival) -> bool:
        """Can its MAC be checked, if it has to be?"""
        return arrival.header.mac is None or bool(arrival.peer.secret) or self._is_exempt(arrival)

    def is_genuine(self, arrival: Arrival) -> bool:
        mac, peer = arrival.header.mac, arrival.peer
        if mac is None or (peer.secret and crypto.mac_matches(peer.secret, arrival.payload, mac)):
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

    def take_data(self, arrival: Arrival) -> None:
        self._receive(arrival.path, Happened(DATA, arrival))

    def pass_on(self, arrival: Arrival) -> None:
        self.host.arrived(arrival)

    # -- inside

    def _is_exempt(self, arrival: Arrival) -> bool:
        host = self.host
        return not host.authenticates() or host.accepts_unverified(arrival.header, arrival.path, arrival.peer)

    def _receive(self, path: Path, happened: Happened[ReceivingState]) -> None:
        remote = remote_of(path)
        receiver = self.receivers.get(remote)
        if receiver is None and self.host.accepts_channel(path):
            receiver = self.receivers.add(remote)
        if receiver is None:
            self.post(ChannelsInput.NO_CHANNEL())
        else:
            receiver.post(happened)


_S, _I, _C = ChannelsState, ChannelsInput, Channels

OTHER_VERSION: Final = (
    Guards.of(_C, _S, Arrival, "other_version")
    .need(_C.is_wanted_anyway, "other version", ref="types and versions")
    .give(_I.OTHER_VERSION)
)
PACKET: Final = (
    Guards.of(_C, _S, Arrival, "packet")
    .make(_C.find_source, "unknown source", ref="accepted sources")
    .need(_C.has_secret, "no secret", ref="accepted sources")
    .need(_C.is_genuine, "wrong hash", ref="accepted sources")
    .give_if(_C.is_single, _I.SINGLE, ref="accepted sources")
    .give_if(_C.is_reliable, _I.RELIABLE, ref="handshake")
    .give(_I.LOOSE_PART)
)
CHANNELS: Final = Table[Channels, ChannelsState](
    Channels,
    ChannelsInput,
    name="overte.channels",
    initial=_S.READY,
    idle={_S.READY: "the next packet"},
    rows=(
        Row(_S.READY, _I.OTHER_VERSION, None, _C.note_other_version, _C.pass_on, ref="types and versions"),
        Row(_S.READY, _I.SINGLE, None, _C.note_heard, _C.pass_on, ref="accepted sources"),
        Row(_S.READY, _I.RELIABLE, None, _C.note_heard, _C.take_data, ref="handshake"),
        Row(_S.READY, _I.LOOSE_PART, None, _C.note_heard, _C.note_loose_part, ref="messages"),
    ),
    defaults=(
        Default(Outcome.IGNORE, "no channel", _I.NO_CHANNEL),
        Default(Outcome.IGNORE, "unexpected packet", _I.UNEXPECTED),
    ),
)
