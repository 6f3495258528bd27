"""The mailbox client: one connection to a mailbox server. docs/protocols/egtp.rst, the mailbox client."""

from __future__ import annotations

from typing import Annotated, Any, Final, Never, assert_never

from ..component import Refusal
from ..contract import Address, Entropy, Link, Phase
from ..errors import LocalProtocolError, NotOpen, WireError
from ..events import CloseCause, Closed
from ..links import StreamLink
from ..machine import Happened
from ..snapshot import CACHED
from ..streams import StreamEndpoint
from ..trace import Trace
from . import crypto
from . import packets as p
from .limits import MailboxClientDelays, MailboxClientLimits
from .mailbox_connection import OPEN, ConnectionInput, ConnectionState, Ended, MailboxConnection, Said
from .mailbox_events import (
    MailboxAcked,
    MailboxClientEvent,
    MailboxDeposited,
    MailboxMessage,
    MailboxOpen,
    MailboxPollDone,
    MailboxRegistered,
    MailboxViolation,
)

TOO_MANY_REQUESTS: Final = Refusal("too many requests wait for answers", ref="the mailbox client")


class MailboxClient(StreamEndpoint[MailboxClientEvent, Never]):
    """One connection to a mailbox server. The owner of a mailbox polls it; anybody else deposits into it.

    ``server_key`` is the server's static public key. ``private_key`` is the owner's. Without it, one is drawn for this
    connection, so that the server does not learn who deposits. ``entropy`` is drawn on for 32 bytes
    (``mailbox.ephemeral``), and 32 more for a key (``mailbox.static``).

    An owner keeps the epoch and the number of the last message that it took, and ignores messages whose number is not
    above that.

    Verbs: ``connect``, ``register``, ``poll``, ``ack``, ``deposit``, ``close``. Queries: ``room``.
    """

    connection: MailboxConnection
    _tag: int
    """Of the last deposit."""
    mailbox_limits: Annotated[MailboxClientLimits, CACHED]
    mailbox_delays: Annotated[MailboxClientDelays, CACHED]
    _address: Annotated[Address, CACHED]
    _private_key: Annotated[bytes, CACHED]

    def __init__(
        self,
        *,
        server: Address,
        server_key: bytes,
        entropy: Entropy,
        private_key: bytes = b"",
        limits: MailboxClientLimits | None = None,
        delays: MailboxClientDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Raises ValueError unless the keys have 32 bytes."""
        limits, delays = limits or MailboxClientLimits(), delays or MailboxClientDelays()
        super().__init__(entropy=entropy, delays=delays, limits=limits, trace=trace)
        if len(server_key) != crypto.KEY_SIZE or len(private_key) not in (0, crypto.KEY_SIZE):
            raise ValueError(f"a key has {crypto.KEY_SIZE} bytes")
        self.mailbox_limits, self.mailbox_delays = limits, delays
        self._address, self._private_key, self._tag = server, private_key, 0
        self.connection = MailboxConnection(self, self, server_key, "mailbox")

    # -- verbs

    @property
    def room(self) -> int:
        """How many requests may be made before an answer comes."""
        return max(0, self.connection.room)

    def connect(self, now: float) -> None:
        """Connect to the server. Raises LocalProtocolError if called twice, NotOpen after the end."""
        self.ask("connect")
        if self.phase is not Phase.NEW:
            raise LocalProtocolError("connect", self.connection.state.name, "asked for already")
        self.advance(now)
        self.phase = Phase.OPENING
        self.connection.begin(self._private_key, self._address)
        self.run()

    def register(self, now: float) -> bool:
        """Open the mailbox of our key, or make it. Returns False if too many requests wait for answers.

        Raises LocalProtocolError if called twice, NotOpen before ``MailboxOpen`` or after the end.
        """
        state = self._ask_open("register")
        if state is not ConnectionState.READY:
            raise LocalProtocolError("register", state.name, "registered already")
        return self._request(ConnectionInput.REGISTER(), now)

    def poll(self, most: int, now: float) -> bool:
        """Ask for 1 to 64 messages. Returns False if too many requests wait for answers.

        Raises ValueError for another number, LocalProtocolError before the mailbox is registered, NotOpen after the
        end.
        """
        if not 1 <= most <= p.POLL_MOST:
            raise ValueError(f"a poll asks for 1 to {p.POLL_MOST} messages")
        self._ask_owner("poll")
        return self._request(ConnectionInput.POLL(p.Poll(most)), now)

    def ack(self, seq: int, now: float) -> bool:
        """Have the server erase the messages up to this number. Returns False if too many requests wait for answers.

        Raises LocalProtocolError for a number that did not come on this connection, or before the mailbox is
        registered; NotOpen after the end.
        """
        self._ask_owner("ack")
        if not 0 < seq <= self.connection.last_seq:
            raise LocalProtocolError("ack", self.connection.state.name, "no such message came")
        return self._request(ConnectionInput.ACK(p.Ack(seq)), now)

    def deposit(self, mailbox: bytes, blob: bytes, now: float) -> int | None:
        """Put a message into the mailbox with this id of 32 bytes. Returns the tag of the answer, or None if too many
        requests wait for answers.

        Raises ValueError for an id of another size, LocalProtocolError if ``blob`` is empty or larger than the server
        takes, NotOpen before ``MailboxOpen`` or after the end.
        """
        if len(mailbox) != 32:
            raise ValueError("the id of a mailbox has 32 bytes")
        state = self._ask_open("deposit")
        if not 0 < len(blob) <= self.connection.max_blob:
            raise LocalProtocolError("deposit", state.name, "the server does not take so many bytes")
        tag = (self._tag + 1) % 2**32
        if not self._request(ConnectionInput.DEPOSIT(p.Deposit(tag.to_bytes(4, "little"), mailbox, blob)), now):
            return None
        self._tag = tag
        return tag

    def close(self, now: float) -> None:
        if self.closes(now):
            self.connection.post(ConnectionInput.CLOSE())
            self.run()
            self.close_gracefully(Closed(CloseCause.LOCAL))
            self.run()

    # -- what the connection tells

    def mailbox_dialled(self, connection: MailboxConnection, link: Link) -> None:
        """There is one connection, so the link needs no place in a table."""

    def mailbox_left(self, link: Link) -> None:
        """As above."""

    def mailbox_said(self, connection: MailboxConnection, said: Said) -> None:
        match said:
            case p.Terms():
                self.phase = Phase.OPEN
                self.emit(MailboxOpen(said.max_blob, said.max_stored, retention=said.retention))
            case p.Registered():
                self.emit(MailboxRegistered(said.epoch, said.stored))
            case p.Message():
                self.emit(MailboxMessage(said.seq, said.blob))
            case p.Polled():
                self.emit(MailboxPollDone(said.sent, said.left))
            case p.Acked():
                self.emit(MailboxAcked(said.floor, said.stored))
            case p.Deposited():
                self.emit(MailboxDeposited(int.from_bytes(said.tag, "little"), said.status == 0))
            case _:
                assert_never(said)

    def mailbox_ended(self, connection: MailboxConnection, ended: Ended) -> None:
        self.close_gracefully(Closed[MailboxViolation](ended.cause, ended.violation, detail=ended.detail))

    # -- links

    def link_opened(self, link: StreamLink) -> None:
        self.connection.post(ConnectionInput.OPENED())

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        return p.FrameOfStream.decode_prefix(data, offset)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        self.connection.post(ConnectionInput.FRAME(packet.message))

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        self.connection.post(ConnectionInput.BAD(MailboxViolation.BAD_FRAME))

    def link_eof(self, link: StreamLink) -> None:
        self.link_over(link, CloseCause.LOST, "the server has closed the connection")

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        """Acted upon at once: a link that was lost is forgotten next."""
        ConnectionInput.LOST(Ended(cause, None, detail)).act(self.connection)

    def link_gone(self, link: StreamLink) -> None:
        self.connection.link_gone()

    # -- inside

    def _ask_open(self, verb: str) -> ConnectionState:
        """The state of the connection, if it stands."""
        self.ask(verb)
        state = self.connection.state
        if state not in OPEN:
            raise NotOpen(verb, state.name)
        return state

    def _ask_owner(self, verb: str) -> None:
        state = self._ask_open(verb)
        if state is not ConnectionState.OWNER:
            raise LocalProtocolError(verb, state.name, "not registered")

    def _request(self, request: Happened[ConnectionState], now: float) -> bool:
        self.advance(now)
        if not self.room:
            self.count_refusal(TOO_MANY_REQUESTS)
            return False
        self.connection.post(request)
        self.run()
        return True
