"""The mailbox server: it keeps packets for those who poll for them. docs/protocols/egtp.rst, the mailbox server.

An Endpoint with one listener, :data:`MAILBOX_PORT`. ``StoreWanted`` events have the changes that must survive the
server.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Never

from ..component import Parts, Refusal
from ..contract import Entropy, Link, Phase
from ..errors import LocalProtocolError, WireError
from ..events import CloseCause
from ..fair import group_of
from ..links import Mark, StreamLink
from ..snapshot import CACHED
from ..streams import StreamEndpoint
from ..trace import Trace
from . import crypto
from . import packets as p
from .limits import MailboxServerDelays, MailboxServerLimits
from .mailbox_caller import Caller, CallerInput
from .mailbox_events import MailboxServerEvent, StoredMailbox
from .mailboxes import Mailboxes

MAILBOX_PORT: Final = "mailbox"
"""The label of the listener."""

TOO_MANY_LINKS: Final = Refusal("too many connections of a group of addresses", ref="the mailbox server")


class MailboxServer(StreamEndpoint[MailboxServerEvent, Never]):
    """Keeps packets in mailboxes until the owners of the mailboxes fetch them.

    ``private_key`` is its static X25519 key, 32 bytes, whose public part its clients know. ``wall_epoch`` is the wall
    clock at time 0, in seconds since 1970. ``entropy`` is drawn on for 32 bytes per connection, 8 per new mailbox.

    The application stores the change in each ``StoreWanted``, in their order, and then calls :meth:`stored`. Answers
    that depend on a change wait for that. After a restart, the application passes everything that it stored to
    :meth:`load`.

    Verbs: ``load``, ``stored``, ``close``.
    """

    mailboxes: Mailboxes
    callers: Parts[Link, Caller]
    _of_groups: Annotated[dict[bytes, int], CACHED]
    """Connections of each group of addresses."""
    keys: Annotated[crypto.KeyPair, CACHED]
    limits: Annotated[MailboxServerLimits, CACHED]
    delays: Annotated[MailboxServerDelays, CACHED]

    def __init__(
        self,
        *,
        private_key: bytes,
        entropy: Entropy,
        wall_epoch: float,
        limits: MailboxServerLimits | None = None,
        delays: MailboxServerDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Raises ValueError unless ``private_key`` has 32 bytes."""
        self.limits, self.delays = limits or MailboxServerLimits(), delays or MailboxServerDelays()
        super().__init__(entropy=entropy, delays=self.delays, limits=self.limits, wall_epoch=wall_epoch, trace=trace)
        self.keys = crypto.KeyPair.of(private_key)
        self.mailboxes = Mailboxes(self)
        self.callers = Parts(lambda key: Caller(self, self.links[key]))
        self._of_groups = {}
        self.phase = Phase.OPEN

    def rebuild(self) -> None:
        self._of_groups = {}
        for caller in self.callers.values():
            self._count(caller.group, 1)

    # -- verbs

    def load(self, mailboxes: tuple[StoredMailbox, ...], now: float) -> None:
        """Take the mailboxes of the store, at the start. Raises LocalProtocolError if there is a mailbox already,
        NotOpen after the end.
        """
        self.ask("load")
        if self.mailboxes.boxes:
            raise LocalProtocolError("load", self.phase.name, "there are mailboxes already")
        self.advance(now)
        self.mailboxes.load(mailboxes)
        self.run()

    def stored(self, number: int, now: float) -> None:
        """All changes up to this number are stored. Raises LocalProtocolError for a number that no event had yet, or
        that is below the number of an earlier call; NotOpen after the end.
        """
        self.ask("stored")
        if not self.mailboxes.done <= number <= self.mailboxes.written:
            raise LocalProtocolError("stored", self.phase.name, "no such change")
        self.advance(now)
        for link in self.mailboxes.stored(number):
            if link in self.callers:
                self.offer(self.links[link])  # it pulls what is due: to write all of it now would take too long
        self.run()

    # -- what connections ask

    def supersede(self, link: Link) -> None:
        self.callers[link].post(CallerInput.SUPERSEDED())

    # -- links

    def link_accepted(self, link: StreamLink) -> None:
        if self._of_groups.get(group_of(link.peer), 0) >= self.limits.links_of_group:
            self.count_refusal(TOO_MANY_LINKS)
            link.abort()
            return
        caller = self.callers.add(link.key)
        self._count(caller.group, 1)
        caller.post(CallerInput.CAME())

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        return p.FrameOfStream.decode_prefix(data, offset)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        self.callers[link.key].post(CallerInput.FRAME(packet.message))

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        self.callers[link.key].post(CallerInput.BROKEN())

    def link_eof(self, link: StreamLink) -> None:
        self.callers[link.key].post(CallerInput.FINISHED())

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        """Acted upon at once: a link that was lost is forgotten next."""
        CallerInput.LEFT().act(self.callers[link.key])

    def link_gone(self, link: StreamLink) -> None:
        caller = self.callers.get(link.key)
        if caller is not None:  # a link that was refused had none
            caller.leave()
            self.callers.remove(link.key)
            self._count(caller.group, -1)

    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None:
        caller = self.callers.get(link.key)
        return None if caller is None else caller.pull()

    # -- inside

    def _count(self, group: bytes, change: int) -> None:
        self._of_groups[group] = self._of_groups.get(group, 0) + change
        if not self._of_groups[group]:
            del self._of_groups[group]
