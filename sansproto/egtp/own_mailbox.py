"""A mailbox of this node at one server, and how it is polled. docs/protocols/egtp.rst, over mailboxes."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Protocol

from ..component import Component, Host, OptionalPart
from ..contract import Address, Instant, Link
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .limits import MailboxClientLimits, NodeDelays
from .mailbox_connection import ConnectionInput, Ended, MailboxConnection, Said
from .mailbox_events import MailboxViolation

_MOST_FAILURES: Final = 16  # from there on the pauses do not grow, however short they began


class OwnMailboxState(Enum):
    RESTING = 0
    """Not asked for."""
    DIALLING = 1
    POLLING = 2
    """An answer is due."""
    IDLE = 3
    """Until the next poll."""
    AWAY = 4
    """The server cannot be reached; until the next try."""


class OwnMailboxInput:
    START = Input[OwnMailboxState, None]()
    READY = Input[OwnMailboxState, None]()
    """The connection stands."""
    REGISTERED = Input[OwnMailboxState, None]()
    POLLED = Input[OwnMailboxState, p.Polled]()
    DUE = Input[OwnMailboxState, None]()
    LOST = Input[OwnMailboxState, Ended]()
    REDIAL = Input[OwnMailboxState, None]()
    STOP = Input[OwnMailboxState, None]()


class OwnMailboxHost(Host[Any], Protocol):
    """What a mailbox asks of its node."""

    own_private: bytes

    def make_connection(self, owner: Any, server: bytes, key: str) -> MailboxConnection: ...
    def mailbox_dialled(self, connection: MailboxConnection, link: Link) -> None: ...
    def mailbox_left(self, link: Link) -> None: ...
    def mailbox_is_up(self, server: bytes) -> None: ...
    def mailbox_is_down(self, server: bytes, ended: Ended) -> None: ...
    def read_blob(self, server: bytes, blob: bytes) -> None: ...


class OwnMailbox(Component[OwnMailboxState, OwnMailboxHost]):
    """What others put in there is handed on, each message once."""

    connection: OptionalPart[MailboxConnection]
    epoch: bytes
    """Of the mailbox, when it was registered last."""
    taken: int
    """The number of the last message that was taken, in this epoch."""
    acked: int
    """The number up to which the server was told so."""
    failures: int
    """Connections that failed since one stood."""
    displaced: int
    """Connections that another process took over, one soon after the other."""
    since: Instant
    """When the mailbox was registered last."""
    polls: int
    server: Annotated[bytes, CACHED]
    address: Annotated[Address, CACHED]
    delays: Annotated[NodeDelays, CACHED]
    mailbox_delays: Annotated[NodeDelays, CACHED]
    mailbox_limits: Annotated[MailboxClientLimits, CACHED]

    def __init__(
        self, host: OwnMailboxHost, server: bytes, address: Address, delays: NodeDelays, limits: MailboxClientLimits
    ) -> None:
        super().__init__(host)
        self.server, self.address, self.delays = server, address, delays
        self.mailbox_delays, self.mailbox_limits = delays, limits
        self.connection = OptionalPart(self._make)
        self.epoch, self.taken, self.acked, self.failures, self.polls = b"", 0, 0, 0, 0
        self.displaced, self.since = 0, 0.0

    # -- conditions and times

    def is_first_failure(self) -> bool:
        return not self.failures

    def has_more(self, polled: p.Polled) -> bool:
        return polled.sent > 0 and polled.left > 0

    def until_poll(self) -> float:
        """A tenth more or less, so that two nodes do not keep step."""
        drawn = self.host.draw(1, f"egtp.poll.{self.server.hex()[:8]}.{self.polls}")[0]
        return self.delays.poll * (0.9 + 0.2 * drawn / 255)

    def until_redial(self) -> float:
        return min(self.delays.redial * 2.0 ** max(self.failures, self._displaced_lately()), self.delays.poll)

    # -- actions

    def dial(self) -> None:
        self.connection.start(MailboxConnection.begin, self.host.own_private, self.address)

    def register(self) -> None:
        self._ask(ConnectionInput.REGISTER())

    def poll(self) -> None:
        self.failures = 0
        self.polls += 1
        self._ask(ConnectionInput.POLL(p.Poll(p.POLL_MOST)))

    def acknowledge(self) -> None:
        if self.taken > self.acked:
            self.acked = self.taken
            self._ask(ConnectionInput.ACK(p.Ack(self.taken)))

    def tell_up(self) -> None:
        self.host.mailbox_is_up(self.server)

    def tell_down(self, ended: Ended) -> None:
        self.host.mailbox_is_down(self.server, ended)

    def leave(self, ended: Ended) -> None:
        """Its connection is over."""
        self.failures = min(self.failures + 1, _MOST_FAILURES)
        if ended.violation is MailboxViolation.SUPERSEDED:
            self.displaced = min(self._displaced_lately() + 1, _MOST_FAILURES)
        self.connection.end()

    def hang_up(self) -> None:
        connection = self.connection.part
        if connection is not None:
            connection.abort()
            self.connection.end()

    # -- what its connection tells

    def mailbox_dialled(self, connection: MailboxConnection, link: Link) -> None:
        self.host.mailbox_dialled(connection, link)

    def mailbox_left(self, link: Link) -> None:
        self.host.mailbox_left(link)

    def mailbox_said(self, connection: MailboxConnection, said: Said) -> None:
        match said:
            case p.Terms():
                self.post(_I.READY())
            case p.Registered():
                if said.epoch != self.epoch:  # it was made anew, and counts from 1 again
                    self.epoch, self.taken = said.epoch, 0
                self.acked, self.since = 0, self.host.clock
                self.post(_I.REGISTERED())
            case p.Message() if said.seq > self.taken:  # others were taken, and not acknowledged
                self.taken = said.seq
                self.host.read_blob(self.server, said.blob)
            case p.Polled():
                self.post(_I.POLLED(said))

    def mailbox_ended(self, connection: MailboxConnection, ended: Ended) -> None:
        self.post(_I.LOST(ended))

    # -- inside

    def _displaced_lately(self) -> int:
        """The longest pause is one poll: whoever has had the mailbox for twice as long has it for itself."""
        stood = self.connection.part is not None and self.host.clock - self.since >= 2 * self.delays.poll
        return 0 if stood else self.displaced

    def _make(self) -> MailboxConnection:
        return self.host.make_connection(self, self.server, f"egtp.mailbox.{self.server.hex()[:8]}")

    def _ask(self, request: Any) -> None:
        connection = self.connection.part
        assert connection is not None  # there is one in each state that asks
        connection.post(request)


_S, _I, _C = OwnMailboxState, OwnMailboxInput, OwnMailbox


class OwnMailboxTimer:
    POLL = Timer(OwnMailboxInput.DUE, OwnMailbox.until_poll)
    REDIAL = Timer(OwnMailboxInput.DUE, OwnMailbox.until_redial)


_T = OwnMailboxTimer
_REF: Final = "over mailboxes"
_UP: Final = (_S.DIALLING, _S.POLLING, _S.IDLE)

OWN_MAILBOX: Final = Table[OwnMailbox, OwnMailboxState](
    OwnMailbox,
    OwnMailboxInput,
    OwnMailboxTimer,
    name="egtp.own_mailbox",
    initial=_S.RESTING,
    idle={
        _S.RESTING: "the application, which starts the node",
        _S.DIALLING: "the connection, which has timers",
        _S.POLLING: "the connection, which has timers",
    },
    rows=(
        Row(_S.RESTING, _I.START, _S.DIALLING, _C.dial, ref=_REF),
        Row(_S.DIALLING, _I.READY, None, _C.register, ref=_REF),
        Row(_S.DIALLING, _I.REGISTERED, _S.POLLING, _C.tell_up, _C.poll, ref=_REF),
        Row(_S.POLLING, _I.POLLED, None, _C.acknowledge, _C.poll, when=_C.has_more, ref=_REF),
        Row(_S.POLLING, _I.POLLED, _S.IDLE, _C.acknowledge, arm=(_T.POLL,), ref=_REF),
        Row(_S.IDLE, _I.DUE, _S.POLLING, _C.poll, ref=_REF),
        Row(
            *(_S.DIALLING, _I.LOST, _S.AWAY, _C.leave, _C.tell_down),
            when=_C.is_first_failure,
            arm=(_T.REDIAL,),
            ref=_REF,
        ),
        Row(_S.DIALLING, _I.LOST, _S.AWAY, _C.leave, arm=(_T.REDIAL,), ref=_REF),
        Row(
            (_S.POLLING, _S.IDLE),
            _I.LOST,
            _S.AWAY,
            _C.leave,
            _C.tell_down,
            cancel=(_T.POLL,),
            arm=(_T.REDIAL,),
            ref=_REF,
        ),
        Row(_S.AWAY, _I.DUE, _S.DIALLING, _C.dial, ref=_REF),
        Row(_S.AWAY, _I.REDIAL, _S.DIALLING, _C.dial, cancel=(_T.REDIAL,), ref=_REF),
        Row(_UP, _I.REDIAL, _S.DIALLING, _C.hang_up, _C.dial, cancel=(_T.POLL,), ref=_REF),
        Row((*_UP, _S.AWAY), _I.STOP, _S.RESTING, _C.hang_up, cancel=(_T.POLL, _T.REDIAL), ref=_REF),
    ),
    defaults=(
        Default(Outcome.REJECT, "started already", _I.START),
        Default(Outcome.IGNORE, "late"),
    ),
)
