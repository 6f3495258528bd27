"""Packets for one mailbox of somebody else, on their way. docs/protocols/egtp.rst, over mailboxes."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Annotated, Any, Final, Protocol

from ..component import Component, Host, OptionalPart, Part, Refusal
from ..contract import Address, Link
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .limits import MailboxClientLimits, NodeDelays, NodeLimits
from .mailbox_connection import ConnectionInput, Ended, MailboxConnection, Said

NOT_TAKEN: Final = Refusal("a mailbox server did not take a packet", ref="over mailboxes")
TOO_MANY_WAIT: Final = Refusal("too many packets wait for a mailbox server", ref="over mailboxes")
NOT_REACHED: Final = Refusal("a mailbox server was not reached", ref="over mailboxes")
NOT_ANSWERED: Final = Refusal("a mailbox server did not say that it took a packet", ref="over mailboxes")


class DepositorState(Enum):
    NEW = 0
    DIALLING = 1
    OPEN = 2
    IDLE = 3
    """Nothing is under way."""
    GONE = 4


class DepositorInput:
    PUT = Input[DepositorState, bytes]()
    READY = Input[DepositorState, None]()
    ANSWERED = Input[DepositorState, None]()
    UNUSED = Input[DepositorState, None]()
    LOST = Input[DepositorState, Ended]()
    REDIAL = Input[DepositorState, None]()
    """The connection that stands may be dead."""


class DepositorTimer:
    UNUSED = Timer(DepositorInput.UNUSED, NodeDelays.unused)


class DepositorHost(Host[Any], Protocol):
    """What a depositor asks of its node."""

    delays: NodeDelays
    limits: NodeLimits

    def make_connection(self, owner: Any, server: bytes, key: str) -> MailboxConnection: ...
    def mailbox_dialled(self, connection: MailboxConnection, link: Link) -> None: ...
    def mailbox_left(self, link: Link) -> None: ...
    def drop_depositor(self, depositor: Depositor) -> None: ...
    def note_written(self) -> None: ...
    def lose_packet(self, why: Refusal, part: Part[Any]) -> None: ...


class Depositor(Component[DepositorState, DepositorHost]):
    """One connection for one recipient, under a key of its own: the server cannot tell who sends."""

    connection: OptionalPart[MailboxConnection]
    waiting: deque[bytes]
    tag: int
    under_way: int
    """Deposits that were not answered yet."""
    serial: int
    """Of the depositors of this node."""
    key: Annotated[tuple[bytes, bytes], CACHED]
    """Of the server, and of the mailbox."""
    address: Annotated[Address, CACHED]
    delays: Annotated[NodeDelays, CACHED]
    mailbox_delays: Annotated[NodeDelays, CACHED]
    mailbox_limits: Annotated[MailboxClientLimits, CACHED]

    def __init__(
        self, host: DepositorHost, key: tuple[bytes, bytes], address: Address, client: MailboxClientLimits
    ) -> None:
        super().__init__(host)
        self.key, self.address, self.delays = key, address, host.delays
        self.mailbox_delays, self.mailbox_limits = host.delays, client
        self.connection = OptionalPart(self._make)
        self.waiting, self.tag, self.under_way, self.serial = deque(), 0, 0, 0

    def begin(self, serial: int) -> None:
        self.serial = serial

    # -- conditions

    def is_full(self) -> bool:
        return len(self.waiting) >= self.host.limits.deposits

    def is_busy(self) -> bool:
        return bool(self.waiting) or self.under_way > 0

    # -- actions

    def dial(self) -> None:
        self.connection.start(MailboxConnection.begin, b"", self.address)

    def keep(self, packet: bytes) -> None:
        self.waiting.append(packet)

    def refuse(self) -> None:
        self.host.lose_packet(TOO_MANY_WAIT, self)

    def send(self) -> None:
        """As many as the server takes before it answers."""
        connection = self.connection.part
        while connection is not None and self.waiting and self.under_way < self.mailbox_limits.pipeline:
            packet = self.waiting.popleft()
            if len(packet) > connection.max_blob:
                self.host.lose_packet(NOT_TAKEN, self)
                continue
            self.tag, self.under_way = (self.tag + 1) % 2**32, self.under_way + 1
            deposit = p.Deposit(self.tag.to_bytes(4, "little"), self.key[1], packet)
            connection.post(ConnectionInput.DEPOSIT(deposit))
        if not self.is_busy():  # all of it was too large
            self.post(_I.ANSWERED())

    def tell_lost(self) -> None:
        """What was under way is lost, as by a network."""
        self._lose(NOT_REACHED, len(self.waiting))
        self._lose(NOT_ANSWERED, self.under_way)

    def tell_written(self) -> None:
        self.host.note_written()

    def redial(self) -> None:
        """What was under way counts as lost; what waits is put there over the new connection."""
        connection = self.connection.part
        assert connection is not None  # it is open
        connection.abort()
        self.connection.end()
        self._lose(NOT_ANSWERED, self.under_way)
        self.under_way = 0
        self.dial()

    def leave(self) -> None:
        connection = self.connection.part
        assert connection is not None  # it has one since it is NEW no longer
        connection.close()
        self.connection.end()
        self.host.drop_depositor(self)

    # -- what its connection tells

    def mailbox_dialled(self, connection: MailboxConnection, link: Link) -> None:
        self.host.mailbox_dialled(connection, link)

    def mailbox_left(self, link: Link) -> None:
        self.host.mailbox_left(link)

    def mailbox_said(self, connection: MailboxConnection, said: Said) -> None:
        if isinstance(said, p.Terms):
            self.post(_I.READY())
            return
        assert isinstance(said, p.Deposited)  # it asks for nothing else
        self.under_way -= 1
        if said.status:
            self.host.lose_packet(NOT_TAKEN, self)
        self.post(_I.ANSWERED())

    def mailbox_ended(self, connection: MailboxConnection, ended: Ended) -> None:
        self.post(_I.LOST(ended))

    # -- inside

    def _lose(self, why: Refusal, packets: int) -> None:
        for _ in range(packets):
            self.host.lose_packet(why, self)

    def _make(self) -> MailboxConnection:
        return self.host.make_connection(self, self.key[0], f"egtp.deposit.{self.serial}")


_S, _I, _T, _C = DepositorState, DepositorInput, DepositorTimer, Depositor
_REF: Final = "over mailboxes"
_LIVE: Final = (_S.DIALLING, _S.OPEN, _S.IDLE)

DEPOSITOR: Final = Table[Depositor, DepositorState](
    Depositor,
    DepositorInput,
    DepositorTimer,
    name="egtp.depositor",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={
        _S.NEW: "the packet that it is made for",
        _S.DIALLING: "the connection, which has timers",
        _S.OPEN: "the connection, which has timers",
    },
    rows=(
        Row(_S.NEW, _I.PUT, _S.DIALLING, _C.keep, _C.dial, ref=_REF),
        Row((_S.DIALLING, _S.OPEN), _I.PUT, None, _C.refuse, when=_C.is_full, ref=_REF),
        Row(_S.DIALLING, _I.PUT, None, _C.keep, ref=_REF),
        Row(_S.OPEN, _I.PUT, None, _C.keep, _C.send, ref=_REF),
        Row(_S.IDLE, _I.PUT, _S.OPEN, _C.keep, _C.send, cancel=(_T.UNUSED,), ref=_REF),
        Row(_S.DIALLING, _I.READY, _S.OPEN, _C.send, ref=_REF),
        Row(_S.OPEN, _I.ANSWERED, None, _C.send, when=_C.is_busy, ref=_REF),
        Row(_S.OPEN, _I.ANSWERED, _S.IDLE, _C.tell_written, arm=(_T.UNUSED,), ref=_REF),
        Row(_S.IDLE, _I.UNUSED, _S.GONE, _C.leave, ref=_REF),
        Row(_S.OPEN, _I.REDIAL, _S.DIALLING, _C.redial, ref=_REF),
        Row(_S.IDLE, _I.REDIAL, _S.GONE, _C.leave, ref=_REF),
        Row(_S.DIALLING, _I.REDIAL, None, ref=_REF),
        Row(_LIVE, _I.LOST, _S.GONE, _C.tell_lost, _C.leave, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
