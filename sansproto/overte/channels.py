"""Reliable channels: what must arrive at an address, and what came from it. docs/protocols/overte.rst, handshake.

Two parts for each address: a :class:`~.sending.Sender` and a :class:`~.receiving.Receiver`, which know nothing of each
other. There is a channel only with an address that the endpoint accepts.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple, Protocol

from ..component import Component, Parts, Refusal
from ..contract import Path
from ..machine import Guards, Happened, Input, Row, Table
from .header import Control, ControlType
from .receiving import DATA, Arrival, Receiver, ReceiverHost, ReceivingInput, ReceivingState
from .remote import Remote, remote_of
from .sending import ACK, HANDSHAKE_ACK, Outgoing, Sender, SenderHost, SendingInput, SendingState

NO_CHANNEL: Final = Refusal("no channel", ref="handshake")


class ChannelsState(Enum):
    READY = 0


class ForSender(NamedTuple):
    """What came from there for who sends there."""

    path: Path
    happened: Happened[SendingState]


class ForReceiver(NamedTuple):
    path: Path
    happened: Happened[ReceivingState]


class ChannelsInput:
    FOR_SENDER = Input[ChannelsState, ForSender]()
    FOR_RECEIVER = Input[ChannelsState, ForReceiver]()


class ChannelHost(SenderHost, ReceiverHost, Protocol):
    """What reliable channels ask of the endpoint."""

    def accepts_channel(self, path: Path) -> bool: ...


class ReliableChannels(Component[ChannelsState, ChannelHost]):
    """All channels of an endpoint. Who stops accepting an address has to call :meth:`forget`."""

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

    def send(self, path: Path, packets: list[Outgoing]) -> bool:
        """Let packets wait for their turn, all or none of them; False, and counted, if they cannot."""
        sender = self._sender_to(path)
        if sender is None:
            self.host.count_refusal(NO_CHANNEL, self)
            return False
        return sender.queue(packets)

    def next_message(self, path: Path) -> int:
        """The number of one more message to this address."""
        sender = self._sender_to(path)
        return 0 if sender is None else sender.next_message()

    def take_control(self, control: Control, path: Path) -> None:
        """A control packet came."""
        match control.type, control.sequence:
            case ControlType.HANDSHAKE, int(number):
                self.take(TO_RECEIVER, ForReceiver(path, ReceivingInput.HANDSHAKE(number)))
            case ControlType.HANDSHAKE_ACK, int(number):
                self.take(TO_SENDER, ForSender(path, Happened(HANDSHAKE_ACK, number)))
            case ControlType.ACK, int(number):
                self.take(TO_SENDER, ForSender(path, Happened(ACK, number)))
            case _:
                self.take(TO_SENDER, ForSender(path, SendingInput.REQUESTED()))

    def take_data(self, arrival: Arrival) -> None:
        """A reliable packet came."""
        self.take(TO_RECEIVER, ForReceiver(arrival[2], Happened(DATA, arrival)))

    def forget_channel(self, path: Path) -> None:
        """What waits for this address is dropped, as is what has come from it of unfinished messages."""
        remote = remote_of(path)
        if remote in self.senders:
            self.senders[remote].discard()
            self.senders.remove(remote)
        if remote in self.receivers:
            self.receivers[remote].fail_messages()
            self.receivers.remove(remote)

    def forget_all(self) -> None:
        """The end."""
        self.senders.remove_all()
        self.receivers.remove_all()
        self.unfinished = self.unacknowledged = 0

    # -- guards

    def has_sender(self, packet: ForSender) -> bool:
        return remote_of(packet.path) in self.senders

    def may_receive(self, packet: ForReceiver) -> bool:
        return remote_of(packet.path) in self.receivers or self.host.accepts_channel(packet.path)

    # -- actions

    def pass_to_sender(self, packet: ForSender) -> None:
        self.senders[remote_of(packet.path)].post(packet.happened)

    def pass_to_receiver(self, packet: ForReceiver) -> None:
        remote = remote_of(packet.path)
        receiver = self.receivers.get(remote) or self.receivers.add(remote)
        receiver.post(packet.happened)

    # -- inside

    def _sender_to(self, path: Path) -> Sender | None:
        remote = remote_of(path)
        sender = self.senders.get(remote)
        if sender is None and self.host.accepts_channel(path):
            sender = self.senders.add(remote, Sender.draw_number)
        return sender


_S, _I, _C = ChannelsState, ChannelsInput, ReliableChannels

TO_SENDER: Final = (
    Guards.of(_C, ChannelsState, ForSender, "to_sender")
    .need(_C.has_sender, "no channel", ref="handshake")
    .give(_I.FOR_SENDER)
)
TO_RECEIVER: Final = (
    Guards.of(_C, ChannelsState, ForReceiver, "to_receiver")
    .need(_C.may_receive, "no channel", ref="handshake")
    .give(_I.FOR_RECEIVER)
)

CHANNELS: Final = Table[ReliableChannels, ChannelsState](
    ReliableChannels,
    ChannelsInput,
    name="overte.channels",
    page="overte",
    initial=_S.READY,
    idle={_S.READY: "the next packet of a channel"},
    rows=(
        Row(_S.READY, _I.FOR_SENDER, None, _C.pass_to_sender, ref="handshake"),
        Row(_S.READY, _I.FOR_RECEIVER, None, _C.pass_to_receiver, ref="handshake"),
    ),
    defaults=(),
)
