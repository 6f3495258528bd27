"""A connection to a mailbox server: its handshake, its requests, and the answers in their order.

docs/protocols/egtp.rst, the mailbox server.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Annotated, Any, Final, Protocol

import attrs

from ..component import Component, Host, Refusal
from ..contract import Link
from ..errors import Fault, WireError
from ..fair import group_of
from ..links import TAKING, StreamLink
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..rates import Level, Rate
from ..snapshot import CACHED
from . import crypto
from . import packets as p
from .channel import Channel, read_hello, write_welcome
from .limits import MailboxServerDelays, MailboxServerLimits
from .mailbox_events import MailboxServerEvent
from .mailboxes import Mailboxes

_ENVELOPE: Final = 64  # bytes that a response takes besides its blob, at most
_ONE_PULL: Final = 4096  # bytes, about, that are sealed in one call when the transport takes them

RATE: Final = Refusal("too many deposits", ref="storage")


class CallerState(Enum):
    NEW = 0
    HELLO = 1
    """The first message of the handshake is not there yet."""
    OPEN = 2
    OWNER = 3
    """It has registered."""
    ENDING = 4
    """It takes the answers that are due; then it is closed."""
    ENDED = 5


@attrs.define(eq=False)
class Answer:
    """What is to be said to one request, once its write is done."""

    write: int
    """Its number; 0 if there is none."""
    responses: deque[p.Response]


class CallerInput:
    CAME = Input[CallerState, None]()
    FRAME = Input[CallerState, bytes]()
    NEXT = Input[CallerState, None]()
    """The next request may be looked at."""
    REGISTER = Input[CallerState, p.Register]()
    DEPOSIT = Input[CallerState, p.Deposit]()
    POLL = Input[CallerState, p.Poll]()
    ACK = Input[CallerState, p.Ack]()
    FAULTY = Input[CallerState, p.ErrorCode]()
    """It asked for what it may not ask for."""
    SUPERSEDED = Input[CallerState, None]()
    FINISHED = Input[CallerState, None]()
    """It sends nothing more."""
    BROKEN = Input[CallerState, None]()
    """It does not speak the protocol, or somebody changed what it said."""
    EXPIRED = Input[CallerState, None]()
    LEFT = Input[CallerState, None]()


class CallerTimer:
    HANDSHAKE = Timer(CallerInput.EXPIRED, MailboxServerDelays.handshake)
    IDLE = Timer(CallerInput.EXPIRED, MailboxServerDelays.idle)
    ENDING = Timer(CallerInput.EXPIRED, MailboxServerDelays.ending)


class CallerHost(Host[MailboxServerEvent], Protocol):
    """What a connection asks of its server."""

    keys: crypto.KeyPair
    delays: MailboxServerDelays
    limits: MailboxServerLimits
    mailboxes: Mailboxes

    def note_sent(self, link: int, name: str, size: int) -> None: ...
    def supersede(self, link: Link) -> None: ...


class Caller(Component[CallerState, CallerHost]):
    """A connection of somebody who has a mailbox, or puts something into those of others."""

    channel: Channel | None
    who: bytes
    """Its static public key, once the handshake is done."""
    mailbox: bytes
    """Its own, once it is the owner."""
    cursor: int
    """The number of the last message that was sent to it."""
    requests: deque[p.Request]
    """Those that wait until it has taken what is due."""
    answers: deque[Answer]
    """In the order of the requests."""
    due: int
    """Bytes of the responses in ``answers``, about."""
    deposits: Level
    link: Annotated[StreamLink, CACHED]
    delays: Annotated[MailboxServerDelays, CACHED]
    group: Annotated[bytes, CACHED]
    """Of its address."""

    def __init__(self, host: CallerHost, link: StreamLink) -> None:
        super().__init__(host)
        self.link, self.delays, self.group = link, host.delays, group_of(link.peer)
        self.channel, self.who, self.mailbox, self.cursor = None, b"", b"", 0
        self.requests, self.answers, self.due = deque(), deque(), 0
        self.deposits = Level(host.limits.deposits, host.clock)

    # -- for the server

    def pull(self) -> bytes | None:
        """The next frames for a link that has sent all that it had."""
        frames, size = list[bytes](), 0
        while size < _ONE_PULL and (response := self._next_response()) is not None:
            frames.append(self._frame(response))
            size += len(frames[-1])
        if not frames:
            return None
        self._go_on()
        return b"".join(frames)

    def flush(self) -> None:
        """Write what is due, as far as there is room on the link."""
        while self.link.queued <= self.host.limits.unsent and self.link.state in TAKING:
            response = self._next_response()
            if response is None:
                break
            self.link.write(self._frame(response))
        self._go_on()

    # -- conditions

    def is_refused(self) -> bool:
        mailboxes = self.host.mailboxes
        return self._own_mailbox() not in mailboxes.boxes and not mailboxes.may_make(self.group)

    def is_ahead(self, ack: p.Ack) -> bool:
        return ack.seq > self.cursor

    # -- actions

    def answer_hello(self, message: bytes) -> None:
        """The client's static key is known from here on, but not yet that it is the client's: a replay stops here."""
        limits = self.host.limits
        retention = min(int(self.delays.retention), 2**32 - 1)
        terms = p.Terms(limits.max_blob, limits.mailbox_messages, retention)
        try:
            hello = read_hello(self.host.keys, message)
        except WireError:
            self.post(_I.BROKEN())
            return
        ephemeral = self.host.draw(32, f"link.{self.link.key}.ephemeral")
        frame, self.channel = write_welcome(hello, ephemeral, terms)
        self.who = hello.who
        self.host.note_sent(self.link.key, "SecondMessage", len(frame))
        self.link.write(frame)

    def read_frame(self, message: bytes) -> None:
        assert self.channel is not None  # it is open
        try:
            clear = self.channel.incoming.open(message)
        except WireError:
            self.post(_I.BROKEN())
            return
        try:
            request = p.REQUEST.decode(clear)
            if isinstance(request, p.Deposit) and len(request.blob) > self.host.limits.max_blob:
                raise WireError(Fault.BAD_LENGTH)
        except WireError as error:
            self._give_up(_CODES.get(error.fault, p.ErrorCode.LENGTH))
            return
        self.requests.append(request)
        if len(self.requests) + len(self.answers) > self.host.limits.pipeline:
            self._give_up(p.ErrorCode.LIMIT)
        else:
            self.post(_I.NEXT())

    def take_next(self) -> None:
        """A request for which there is room; else it waits, and nothing more is read."""
        if self.requests and self._has_room():
            self.post(_INPUTS[type(self.requests[0])](self.requests.popleft()))
            self.post(_I.NEXT())
        elif bool(self.requests) != self.link.held:
            (self.link.pause if self.requests else self.link.resume)()

    def register(self) -> None:
        mailboxes, self.mailbox = self.host.mailboxes, self._own_mailbox()
        number = 0
        if self.mailbox not in mailboxes.boxes:
            epoch = self.host.draw(8, f"link.{self.link.key}.epoch")
            number = mailboxes.make(self.mailbox, self.group, epoch)
        box = mailboxes.boxes[self.mailbox]
        if box.owner is not None:
            self.host.supersede(box.owner)
        box.owner, self.cursor = self.link.key, box.floor
        self._answer(number, p.Registered(box.epoch, mailboxes.count(self.mailbox)))

    def deposit(self, deposit: p.Deposit) -> None:
        mailboxes, why = self.host.mailboxes, self._why_not(deposit)
        number = 0
        if why is None:
            self.deposits.take(self._rate(), self.host.clock)
            number = mailboxes.add(deposit.mailbox, deposit.blob, self.group)
        else:
            self.host.count_refusal(why, self)
        self._answer(number, p.Deposited(deposit.tag, 0 if why is None else 1))

    def poll(self, poll: p.Poll) -> None:
        found, left = self.host.mailboxes.after(self.mailbox, self.cursor, poll.most)
        if found:
            self.cursor = found[-1].seq
        messages = [p.Message(message.seq, message.blob) for message in found]
        self._answer(0, *messages, p.Polled(len(messages), left))

    def acknowledge(self, ack: p.Ack) -> None:
        mailboxes = self.host.mailboxes
        number = mailboxes.erase(self.mailbox, ack.seq)
        box = mailboxes.boxes[self.mailbox]
        self._answer(number, p.Acked(box.floor, mailboxes.count(self.mailbox)))

    def fail(self, code: p.ErrorCode) -> None:
        """The last answer; the link is closed behind it."""
        self.requests.clear()
        self.link.deafen()
        self._answer(0, p.Error(code))

    def fail_limit(self) -> None:
        self.fail(p.ErrorCode.LIMIT)

    def fail_order(self) -> None:
        self.fail(p.ErrorCode.ORDER)

    def fail_not_registered(self) -> None:
        self.fail(p.ErrorCode.NOT_REGISTERED)

    def finish(self) -> None:
        """It gets the answers that are due."""
        self.requests.clear()
        self.flush()

    def tell_superseded(self) -> None:
        """At once: what else was due goes to the new connection, or is asked for again."""
        self.leave()
        self.link.write(self._frame(p.Error(p.ErrorCode.SUPERSEDED)))

    def close(self) -> None:
        self.leave()
        self.link.close()

    def abort(self) -> None:
        self.leave()
        self.link.abort()

    def leave(self) -> None:
        """Nothing of it is due any more, and its mailbox has no owner, unless another connection is that."""
        self.requests.clear()
        self.answers.clear()
        self.due = 0
        box = self.host.mailboxes.boxes.get(self.mailbox)
        if box is not None and box.owner == self.link.key:
            box.owner = None

    # -- inside

    def _own_mailbox(self) -> bytes:
        return crypto.mailbox_id(self.host.keys.public, self.who)

    def _rate(self) -> Rate:
        return Rate(self.host.limits.deposit_rate, self.host.limits.deposits)

    def _why_not(self, deposit: p.Deposit) -> Refusal | None:
        if not self.deposits.has(self._rate(), self.host.clock):
            return RATE
        return self.host.mailboxes.why_not(deposit.mailbox, len(deposit.blob), self.group)

    def _give_up(self, code: p.ErrorCode) -> None:
        """What came before is still answered."""
        self.post(_I.FAULTY(code))

    def _answer(self, write: int, *responses: p.Response) -> None:
        self.answers.append(Answer(write, deque(responses)))
        self.due += sum(map(_size, responses))
        self.host.mailboxes.wait(self.link.key, write)
        self.flush()

    def _next_response(self) -> p.Response | None:
        """The next one that may go out: in the order of the requests, and what is to be stored is."""
        if not self.answers or self.answers[0].write > self.host.mailboxes.done:
            return None
        responses = self.answers[0].responses
        response = responses.popleft()
        if not responses:
            self.answers.popleft()
        self.due -= _size(response)
        return response

    def _go_on(self) -> None:
        """Some of what was due is out."""
        if self.state is CallerState.ENDING and not self.answers:
            self.link.close()
        elif self.requests:
            self.post(_I.NEXT())

    def _has_room(self) -> bool:
        return self.link.queued + self.due <= self.host.limits.unsent

    def _frame(self, response: p.Response) -> bytes:
        assert self.channel is not None  # it is open
        frame = self.channel.outgoing.seal(p.RESPONSE.encode(response))
        self.host.note_sent(self.link.key, type(response).__name__, len(frame))
        return frame


def _size(response: p.Response) -> int:
    return _ENVELOPE + (len(response.blob) if isinstance(response, p.Message) else 0)


_S, _I, _T, _C = CallerState, CallerInput, CallerTimer, Caller
_READY: Final = (_S.OPEN, _S.OWNER)
_SERVER: Final = "the mailbox server"
_FAULTS: Final = "faults of a mailbox client"

_INPUTS: Final[dict[type[Any], Input[CallerState, Any]]] = {
    p.Register: _I.REGISTER,
    p.Deposit: _I.DEPOSIT,
    p.Poll: _I.POLL,
    p.Ack: _I.ACK,
}
_CODES: Final = {Fault.BAD_TYPE: p.ErrorCode.TYPE, Fault.BAD_VALUE: p.ErrorCode.FIELD}

CALLER: Final = Table[Caller, CallerState](
    Caller,
    CallerInput,
    CallerTimer,
    name="egtp.caller",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={_S.NEW: "the connection that makes it"},
    rows=(
        Row(_S.NEW, _I.CAME, _S.HELLO, arm=(_T.HANDSHAKE,), ref=_SERVER),
        Row(_S.HELLO, _I.FRAME, _S.OPEN, _C.answer_hello, arm=(_T.IDLE,), cancel=(_T.HANDSHAKE,), ref="the channel"),
        Row(_READY, _I.FRAME, None, _C.read_frame, arm=(_T.IDLE,), ref="the channel"),
        Row(_READY, _I.NEXT, None, _C.take_next, ref=_SERVER),
        Row(
            _S.OPEN,
            _I.REGISTER,
            _S.ENDING,
            _C.fail_limit,
            when=_C.is_refused,
            arm=(_T.ENDING,),
            cancel=(_T.IDLE,),
            ref="storage",
        ),
        Row(_S.OPEN, _I.REGISTER, _S.OWNER, _C.register, ref=_SERVER),
        Row(_S.OWNER, _I.REGISTER, _S.ENDING, _C.fail_order, arm=(_T.ENDING,), cancel=(_T.IDLE,), ref=_FAULTS),
        Row(_READY, _I.DEPOSIT, None, _C.deposit, ref="storage"),
        Row(_S.OWNER, _I.POLL, None, _C.poll, ref="delivery"),
        Row(
            _S.OWNER,
            _I.ACK,
            _S.ENDING,
            _C.fail_order,
            when=_C.is_ahead,
            arm=(_T.ENDING,),
            cancel=(_T.IDLE,),
            ref=_FAULTS,
        ),
        Row(_S.OWNER, _I.ACK, None, _C.acknowledge, ref="delivery"),
        Row(
            _S.OPEN,
            _I.POLL | _I.ACK,
            _S.ENDING,
            _C.fail_not_registered,
            arm=(_T.ENDING,),
            cancel=(_T.IDLE,),
            ref=_FAULTS,
        ),
        Row(_READY, _I.FAULTY, _S.ENDING, _C.fail, arm=(_T.ENDING,), cancel=(_T.IDLE,), ref=_FAULTS),
        Row(_READY, _I.FINISHED, _S.ENDING, _C.finish, arm=(_T.ENDING,), cancel=(_T.IDLE,), ref=_SERVER),
        Row(_S.OWNER, _I.SUPERSEDED, _S.ENDED, _C.tell_superseded, _C.close, ref=_SERVER),
        Row((_S.HELLO, *_READY), _I.BROKEN, _S.ENDED, _C.close, ref=_FAULTS),
        Row(_S.HELLO, _I.FINISHED, _S.ENDED, _C.close, ref=_SERVER),
        Row((_S.HELLO, *_READY), _I.EXPIRED, _S.ENDED, _C.close, ref=_SERVER),
        Row(_S.ENDING, _I.EXPIRED, _S.ENDED, _C.abort, ref=_FAULTS),
        Row((_S.HELLO, *_READY, _S.ENDING), _I.LEFT, _S.ENDED, _C.leave, ref=_SERVER),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
