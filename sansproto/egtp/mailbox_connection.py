"""A connection to a mailbox server, of an owner or a depositor. docs/protocols/egtp.rst, the mailbox client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeAlias

import attrs

from ..component import Component, Host, Parts
from ..contract import Address, Link
from ..errors import Fault, WireError
from ..events import CloseCause
from ..links import StreamLink
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import crypto
from . import packets as p
from .channel import Channel, read_welcome, write_hello
from .limits import MailboxClientDelays, MailboxClientLimits
from .mailbox_events import MailboxViolation


class ConnectionState(Enum):
    NEW = 0
    DIALLING = 1
    HELLO = 2
    """Our part of the handshake is on its way."""
    READY = 3
    REGISTERING = 4
    OWNER = 5
    ENDED = 6


class Asked(Enum):
    """What a request wants."""

    REGISTER = 0
    DEPOSIT = 1
    POLL = 2
    ACK = 3


@attrs.define(eq=False)
class Due:
    """An answer that is due."""

    asked: Asked
    tag: bytes = b""
    """Of a deposit."""
    most: int = 0
    """Messages that a poll asked for."""
    came: int = 0
    """Messages that came before its end."""


class Ended(NamedTuple):
    """Why a connection ended."""

    cause: CloseCause
    violation: MailboxViolation | None
    detail: str


class ConnectionInput:
    DIAL = Input[ConnectionState, Address]()
    OPENED = Input[ConnectionState, None]()
    FRAME = Input[ConnectionState, bytes]()
    WELCOMED = Input[ConnectionState, p.Terms]()
    REGISTER = Input[ConnectionState, None]()
    DEPOSIT = Input[ConnectionState, p.Deposit]()
    POLL = Input[ConnectionState, p.Poll]()
    ACK = Input[ConnectionState, p.Ack]()
    REGISTERED = Input[ConnectionState, p.Registered]()
    DEPOSITED = Input[ConnectionState, p.Deposited]()
    MESSAGE = Input[ConnectionState, p.Message]()
    POLLED = Input[ConnectionState, p.Polled]()
    ACKED = Input[ConnectionState, p.Acked]()
    ERROR = Input[ConnectionState, p.Error]()
    ANSWERED = Input[ConnectionState, None]()
    """A request was answered."""
    BAD = Input[ConnectionState, MailboxViolation]()
    """The server broke the protocol, or is another one."""
    LOST = Input[ConnectionState, Ended]()
    EXPIRED = Input[ConnectionState, None]()
    CLOSE = Input[ConnectionState, None]()


class ConnectionTimer:
    ANSWER = Timer(ConnectionInput.EXPIRED, MailboxClientDelays.answer)


class ConnectionHost(Host[Any], Protocol):
    """What a connection asks of its session."""

    links: Parts[Link, StreamLink]

    def open_link(self, address: Address) -> StreamLink: ...
    def note_sent(self, link: int, name: str, size: int) -> None: ...


Said: TypeAlias = p.Terms | p.Registered | p.Message | p.Polled | p.Acked | p.Deposited
"""What a server says that is not the end."""


class ConnectionOwner(Protocol):
    """Who is told what the server says."""

    mailbox_delays: MailboxClientDelays
    mailbox_limits: MailboxClientLimits

    def mailbox_dialled(self, connection: MailboxConnection, link: Link) -> None: ...
    def mailbox_left(self, link: Link) -> None: ...
    def mailbox_said(self, connection: MailboxConnection, said: Said) -> None: ...
    def mailbox_ended(self, connection: MailboxConnection, ended: Ended) -> None: ...


class MailboxConnection(Component[ConnectionState, ConnectionHost]):
    """One connection. Who deposits uses a key for each connection that is thrown away with it."""

    link: Link
    """0: it has none yet."""
    static: bytes
    """The private key that it says hello with."""
    initiation: crypto.Initiation | None
    """While the server's part of the handshake is awaited."""
    channel: Channel | None
    due: deque[Due]
    """In the order of the requests."""
    last_seq: int
    """The number of the last message that came."""
    max_blob: int
    """Bytes of the largest blob that the server takes."""
    owner: Annotated[ConnectionOwner, CACHED]
    server: Annotated[bytes, CACHED]
    """The server's static public key."""
    key: Annotated[str, CACHED]
    """What its draws are called by."""
    delays: Annotated[MailboxClientDelays, CACHED]

    def __init__(self, host: ConnectionHost, owner: ConnectionOwner, server: bytes, key: str) -> None:
        super().__init__(host)
        self.owner, self.server, self.key, self.delays = owner, server, key, owner.mailbox_delays
        self.link, self.static, self.initiation, self.channel = Link(0), b"", None, None
        self.due, self.last_seq, self.max_blob = deque(), 0, 0

    def begin(self, static: bytes, address: Address) -> None:
        """``static`` is empty for a depositor, whose key is drawn."""
        self.static = static or self.host.draw(crypto.KEY_SIZE, f"{self.key}.static")
        self.post(_I.DIAL(address))

    def forget(self) -> None:
        super().forget()
        self.owner.mailbox_left(self.link)

    # -- for its owner

    @property
    def room(self) -> int:
        """Requests that may be sent before an answer comes."""
        return self.owner.mailbox_limits.pipeline - len(self.due)

    def link_gone(self) -> None:
        """The transport confirmed the end of its link."""
        self.link = Link(0)

    # -- conditions

    def is_waiting(self) -> bool:
        return bool(self.due)

    # -- actions

    def dial(self, address: Address) -> None:
        self.link = self.host.open_link(address).key
        self.owner.mailbox_dialled(self, self.link)

    def send_hello(self) -> None:
        ephemeral = self.host.draw(32, f"{self.key}.ephemeral")
        try:
            frame, self.initiation = write_hello(crypto.KeyPair.of(self.static), ephemeral, self.server)
        except WireError:  # no server has such a key
            self.post(_I.BAD(MailboxViolation.BAD_HANDSHAKE))
        else:
            self._write(frame, "FirstMessage")

    def read_hello(self, message: bytes) -> None:
        assert self.initiation is not None  # it was sent
        try:
            terms, self.channel = read_welcome(self.initiation, crypto.KeyPair.of(self.static), message)
        except WireError as error:
            is_short = error.fault in (Fault.TRUNCATED, Fault.TRAILING)
            self.post(_I.BAD(MailboxViolation.BAD_FRAME if is_short else MailboxViolation.BAD_HANDSHAKE))
            return
        self.initiation = None
        self.post(_I.WELCOMED(terms))

    def tell_open(self, terms: p.Terms) -> None:
        self.max_blob = terms.max_blob
        self.owner.mailbox_said(self, terms)

    def send_register(self) -> None:
        self._ask(p.Register(), Due(Asked.REGISTER))

    def send_deposit(self, deposit: p.Deposit) -> None:
        self._ask(deposit, Due(Asked.DEPOSIT, deposit.tag))

    def send_poll(self, poll: p.Poll) -> None:
        self._ask(poll, Due(Asked.POLL, most=poll.most))

    def send_ack(self, ack: p.Ack) -> None:
        self._ask(ack, Due(Asked.ACK))

    def read_frame(self, message: bytes) -> None:
        """A message that was due, or the end."""
        assert self.channel is not None  # it is open
        try:
            clear = self.channel.incoming.open(message)
        except WireError as error:
            is_short = error.fault is Fault.BAD_LENGTH
            self.post(_I.BAD(MailboxViolation.BAD_FRAME if is_short else MailboxViolation.BAD_SEAL))
            return
        try:
            response = p.RESPONSE.decode(clear)
        except WireError:
            self.post(_I.BAD(MailboxViolation.BAD_MESSAGE))
            return
        is_due = isinstance(response, p.Error) or (self.due and self._answers(response, self.due[0]))
        self.post(_INPUTS[type(response)](response) if is_due else _I.BAD(MailboxViolation.BAD_MESSAGE))

    def wait_on(self) -> None:
        """For the next answer, if one is due."""
        self.post(_I.ANSWERED())

    def tell_answer(self, answer: p.Registered | p.Deposited | p.Polled | p.Acked) -> None:
        self.due.popleft()
        self.owner.mailbox_said(self, answer)

    def tell_message(self, message: p.Message) -> None:
        self.due[0].came += 1
        self.last_seq = message.seq
        self.owner.mailbox_said(self, message)

    def tell_error(self, error: p.Error) -> None:
        self._end(Ended(CloseCause.REFUSED, MailboxViolation[error.code.name], ""))

    def tell_bad(self, violation: MailboxViolation) -> None:
        self._end(Ended(CloseCause.VIOLATION, violation, ""))

    def tell_expired(self) -> None:
        self._end(Ended(CloseCause.TIMEOUT, None, "the server does not answer"))

    def tell_lost(self, ended: Ended) -> None:
        self._end(ended)

    def close(self) -> None:
        self._end_link(StreamLink.close)

    def abort(self) -> None:
        self._end_link(StreamLink.abort)

    # -- inside

    def _end_link(self, how: Callable[[StreamLink], None]) -> None:
        link = self.host.links.get(self.link)
        if link is not None:
            how(link)

    def _ask(self, request: p.Request, due: Due) -> None:
        assert self.channel is not None  # it is open
        self.due.append(due)
        self._write(self.channel.outgoing.seal(p.REQUEST.encode(request)), type(request).__name__)

    def _write(self, frame: bytes, name: str) -> None:
        self.host.note_sent(self.link, name, len(frame))
        self.host.links[self.link].write(frame)

    def _answers(self, response: p.Response, due: Due) -> bool:
        match response:
            case p.Registered():
                return due.asked is Asked.REGISTER
            case p.Deposited():
                return due.asked is Asked.DEPOSIT and due.tag == response.tag
            case p.Message():
                return due.asked is Asked.POLL and due.came < due.most and response.seq > self.last_seq
            case p.Polled():
                return due.asked is Asked.POLL and due.came == response.sent
            case _:
                return due.asked is Asked.ACK

    def _end(self, ended: Ended) -> None:
        self.due.clear()
        self.owner.mailbox_ended(self, ended)


_S, _I, _T, _C = ConnectionState, ConnectionInput, ConnectionTimer, MailboxConnection
OPEN: Final = (_S.READY, _S.REGISTERING, _S.OWNER)
"""The states in which the channel stands."""
_LIVE: Final = (_S.DIALLING, _S.HELLO, *OPEN)
_CLIENT: Final = "the mailbox client"

_INPUTS: Final[dict[type[Any], Input[ConnectionState, Any]]] = {
    p.Registered: _I.REGISTERED,
    p.Deposited: _I.DEPOSITED,
    p.Message: _I.MESSAGE,
    p.Polled: _I.POLLED,
    p.Acked: _I.ACKED,
    p.Error: _I.ERROR,
}

CONNECTION: Final = Table[MailboxConnection, ConnectionState](
    MailboxConnection,
    ConnectionInput,
    ConnectionTimer,
    name="egtp.mailbox_connection",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={
        _S.NEW: "the call that makes it",
        _S.DIALLING: "the transport",
        _S.READY: "whoever uses it, or the server; what it was asked has a timer",
        _S.OWNER: "whoever uses it, or the server; what it was asked has a timer",
    },
    rows=(
        Row(_S.NEW, _I.DIAL, _S.DIALLING, _C.dial, ref=_CLIENT),
        Row(_S.DIALLING, _I.OPENED, _S.HELLO, _C.send_hello, arm=(_T.ANSWER,), ref="the channel"),
        Row(_S.HELLO, _I.FRAME, None, _C.read_hello, ref="the channel"),
        Row(_S.HELLO, _I.WELCOMED, _S.READY, _C.tell_open, cancel=(_T.ANSWER,), ref="the channel"),
        Row(_S.READY, _I.REGISTER, _S.REGISTERING, _C.send_register, arm=(_T.ANSWER,), ref=_CLIENT),
        Row(OPEN, _I.DEPOSIT, None, _C.send_deposit, arm=(_T.ANSWER,), ref=_CLIENT),
        Row(_S.OWNER, _I.POLL, None, _C.send_poll, arm=(_T.ANSWER,), ref="delivery"),
        Row(_S.OWNER, _I.ACK, None, _C.send_ack, arm=(_T.ANSWER,), ref="delivery"),
        Row(OPEN, _I.FRAME, None, _C.read_frame, ref="the channel"),
        Row(_S.REGISTERING, _I.REGISTERED, _S.OWNER, _C.tell_answer, _C.wait_on, ref=_CLIENT),
        Row(OPEN, _I.DEPOSITED, None, _C.tell_answer, _C.wait_on, ref=_CLIENT),
        Row(_S.OWNER, _I.MESSAGE, None, _C.tell_message, arm=(_T.ANSWER,), ref="delivery"),
        Row(_S.OWNER, _I.POLLED, None, _C.tell_answer, _C.wait_on, ref="delivery"),
        Row(_S.OWNER, _I.ACKED, None, _C.tell_answer, _C.wait_on, ref="delivery"),
        Row(OPEN, _I.ANSWERED, None, arm=(_T.ANSWER,), when=_C.is_waiting, ref=_CLIENT),
        Row((_S.READY, _S.OWNER), _I.ANSWERED, None, cancel=(_T.ANSWER,), ref=_CLIENT),
        Row(OPEN, _I.ERROR, _S.ENDED, _C.tell_error, _C.close, ref=_CLIENT),
        Row(_LIVE, _I.BAD, _S.ENDED, _C.tell_bad, _C.abort, ref="faults of a mailbox server"),
        Row((_S.HELLO, *OPEN), _I.EXPIRED, _S.ENDED, _C.tell_expired, _C.abort, ref=_CLIENT),
        Row(_LIVE, _I.LOST, _S.ENDED, _C.tell_lost, _C.close, ref=_CLIENT),
        Row((_S.NEW, *_LIVE), _I.CLOSE, _S.ENDED, _C.close, ref=_CLIENT),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
