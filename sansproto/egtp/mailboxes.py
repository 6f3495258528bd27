"""The mailboxes of a server: what is in them, how much may be, and when it goes. docs/protocols/egtp.rst, storage."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Final, Protocol

import attrs

from ..component import Component, Host, Refusal
from ..contract import Link
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..rates import Rate, Shares
from ..snapshot import CACHED
from .limits import MailboxServerDelays, MailboxServerLimits
from .mailbox_events import (
    MailboxMade,
    MailboxPolled,
    MailboxRemoved,
    MailboxServerEvent,
    MessageAdded,
    MessagesErased,
    StoreChange,
    StoredMailbox,
    StoredMessage,
    StoreWanted,
)

_AT_ONCE: Final = 256  # messages and mailboxes that expire in one call, and those in the last mailbox
_PAUSE: Final = 1.0  # seconds
_STORAGE: Final = "storage"

ABSENT: Final = Refusal("no such mailbox", ref=_STORAGE)
FULL: Final = Refusal("mailbox full", ref=_STORAGE)
SHARE: Final = Refusal("share of the depositors used up", ref=_STORAGE)


@attrs.define(eq=False)
class Kept:
    """A message, and the write that stores it: until that is done nobody sees the message."""

    message: StoredMessage
    write: int


@attrs.define(eq=False)
class Mailbox:
    """One mailbox."""

    epoch: bytes
    group: bytes
    polled_at: int
    """Milliseconds since 1970."""
    told_at: int
    """As the store knows it."""
    floor: int = 0
    last_seq: int = 0
    size: int = 0
    """Bytes of all messages."""
    owner: Link | None = None
    """The connection of its owner."""
    kept: OrderedDict[int, Kept] = attrs.field(factory=OrderedDict)
    """By number."""


@attrs.define(eq=False)
class Usage:
    """What is stored, of all or of one group."""

    messages: int = 0
    size: int = 0

    def add(self, messages: int, size: int) -> None:
        self.messages += messages
        self.size += size


class MailboxesState(Enum):
    EMPTY = 0
    """There is nothing that could expire."""
    WATCHING = 1


class MailboxesInput:
    ADDED = Input[MailboxesState, None]()
    DUE = Input[MailboxesState, None]()


class MailboxesHost(Host[MailboxServerEvent], Protocol):
    """What mailboxes ask of their server."""

    delays: MailboxServerDelays
    limits: MailboxServerLimits

    @property
    def waiting_events(self) -> int: ...


class Mailboxes(Component[MailboxesState, MailboxesHost]):
    """All mailboxes, and the writes that the store still owes."""

    boxes: OrderedDict[bytes, Mailbox]
    """By id, the one that was not polled for longest first."""
    order: OrderedDict[tuple[bytes, int], None]
    """Mailbox and number of all messages, the oldest first."""
    written: int
    """Number of the last change that the store was asked for."""
    done: int
    """Number up to which they are stored."""
    new: Shares
    """New mailboxes by the group of whoever makes them."""
    waiting: deque[tuple[int, Link]]
    """Connections that wait for a write."""
    total: Annotated[Usage, CACHED]
    of_groups: Annotated[dict[bytes, Usage], CACHED]
    boxes_of_groups: Annotated[dict[bytes, int], CACHED]

    def __init__(self, host: MailboxesHost) -> None:
        super().__init__(host)
        limits = host.limits
        self.new = Shares(host, Rate(limits.new_mailbox_rate, limits.new_mailboxes), limits.groups)
        self.boxes, self.order, self.waiting = OrderedDict(), OrderedDict(), deque()
        self.written = self.done = 0
        self.rebuild()

    def rebuild(self) -> None:
        self.total, self.of_groups, self.boxes_of_groups = Usage(), {}, {}
        for box in self.boxes.values():
            self._count_box(box)
            for kept in box.kept.values():
                self._count(kept.message)

    # -- for the server

    def load(self, mailboxes: Iterable[StoredMailbox]) -> None:
        """The mailboxes of the store. Nothing in them is from the future, or that would never expire."""
        now = self.wall()
        for stored in mailboxes:
            box = Mailbox(stored.epoch, stored.group, min(stored.polled_at, now), stored.polled_at)
            box.floor, box.last_seq = stored.floor, stored.last_seq
            self.boxes[stored.mailbox] = box
            self._count_box(box)
            for message in stored.messages:
                self._keep(stored.mailbox, box, Kept(attrs.evolve(message, at=min(message.at, now)), 0))
        self.boxes = OrderedDict(sorted(self.boxes.items(), key=lambda item: item[1].polled_at))
        self.order = OrderedDict.fromkeys(sorted(self.order, key=self._age))
        if self.boxes:
            self.post(_I.ADDED())

    def stored(self, number: int) -> list[Link]:
        """All writes up to this one are done; the connections that waited for them, each once."""
        self.done = number
        found: dict[Link, None] = {}
        while self.waiting and self.waiting[0][0] <= number:
            found[self.waiting.popleft()[1]] = None
        return list(found)

    # -- for connections

    def may_make(self, group: bytes) -> bool:
        """Is there room for another mailbox of this group?"""
        left = self.host.limits.mailboxes - len(self.boxes)
        return self.new.has_in(group) and self.boxes_of_groups.get(group, 0) < _share_of(left)

    def make(self, mailbox: bytes, group: bytes, epoch: bytes) -> int:
        """A new mailbox; the number of the write."""
        now = self.wall()
        self.new.take_in(group)
        self.boxes[mailbox] = box = Mailbox(epoch, group, now, now)
        self._count_box(box)
        self.post(_I.ADDED())
        return self._write(MailboxMade(StoredMailbox(mailbox=mailbox, epoch=epoch, group=group, polled_at=now)))

    def why_not(self, mailbox: bytes, size: int, group: bytes) -> Refusal | None:
        """Why a blob of this size cannot be stored; None if it can."""
        limits, box = self.host.limits, self.boxes.get(mailbox)
        if box is None:
            return ABSENT
        if len(box.kept) >= limits.mailbox_messages or box.size + size > limits.mailbox_bytes:
            return FULL
        of_group = sum(kept.message.group == group for kept in box.kept.values())
        if of_group >= limits.mailbox_messages_of_group:
            return SHARE
        usage = self.of_groups.get(group, Usage())
        room = limits.stored_messages - self.total.messages, limits.stored_bytes - self.total.size
        if room[1] < size or usage.messages >= _share_of(room[0]) or usage.size >= _share_of(room[1]):
            return SHARE
        return None

    def add(self, mailbox: bytes, blob: bytes, group: bytes) -> int:
        """Put a message into a mailbox; the number of the write, before which nobody sees it."""
        box = self.boxes[mailbox]
        box.last_seq += 1
        message = StoredMessage(box.last_seq, blob, group, self.wall())
        number = self._write(MessageAdded(mailbox, message))
        self._keep(mailbox, box, Kept(message, number))
        self.post(_I.ADDED())
        return number

    def after(self, mailbox: bytes, cursor: int, most: int) -> tuple[list[StoredMessage], int]:
        """The first messages of a mailbox above a number, and how many there are beyond; it was polled."""
        box = self.boxes[mailbox]
        self._touch(mailbox, box)
        found = [kept.message for kept in box.kept.values() if kept.message.seq > cursor and kept.write <= self.done]
        return found[:most], len(found) - len(found[:most])

    def erase(self, mailbox: bytes, up_to: int) -> int:
        """Erase what the owner acknowledged; the number of the write, or 0 if there is nothing to erase."""
        box = self.boxes[mailbox]
        if up_to <= box.floor:
            return 0
        box.floor = up_to
        self._drop(mailbox, box, up_to)
        return self._write(MessagesErased(mailbox, up_to, box.floor))

    def count(self, mailbox: bytes) -> int:
        """Messages of a mailbox that are stored."""
        return sum(kept.write <= self.done for kept in self.boxes[mailbox].kept.values())

    def wait(self, link: Link, number: int) -> None:
        """Tell this connection when the write is done."""
        if number > self.done:
            self.waiting.append((number, link))

    def wall(self) -> int:
        """Milliseconds since 1970."""
        return int(self.host.wall() * 1000)

    # -- time

    def until_next(self) -> float:
        """Seconds until something expires, or until it is looked at again whether the application takes events."""
        pause = 0.0 if self._room() > 0 else _PAUSE
        return max(pause, (min(self._deadlines()) - self.wall()) / 1000)

    def expire(self) -> None:
        """What is too old goes; the rest is looked at next time."""
        left = min(_AT_ONCE, self._room())
        while left > 0 and self.boxes and min(self._deadlines()) <= self.wall():
            (messages, boxes), before = self._deadlines(), len(self.order)
            if messages <= boxes:
                mailbox, seq = next(iter(self.order))
                box = self.boxes[mailbox]
                self._drop(mailbox, box, seq)
                self._write(MessagesErased(mailbox, seq, box.floor))
            else:
                self._expire_first_box()
            left -= max(1, before - len(self.order))
        if self.boxes:
            self.post(_I.ADDED())

    # -- inside

    def _room(self) -> int:
        """Writes that may be asked for without anybody's asking: each is an event."""
        return self.host.limits.events - self.host.waiting_events

    def _deadlines(self) -> tuple[int, int]:
        """When the oldest message expires, and the mailbox that was not polled for longest: milliseconds since 1970."""
        delays, polled_at = self.host.delays, next(iter(self.boxes.values())).polled_at
        retention, unpolled = int(delays.retention * 1000), int(delays.unpolled * 1000)
        return next(map(self._age, self.order), polled_at + unpolled) + retention, polled_at + unpolled

    def _age(self, place: tuple[bytes, int]) -> int:
        mailbox, seq = place
        return self.boxes[mailbox].kept[seq].message.at

    def _expire_first_box(self) -> None:
        mailbox, box = next(iter(self.boxes.items()))
        if box.owner is not None:  # who is connected will poll
            self._touch(mailbox, box)
            return
        self._drop(mailbox, box, box.last_seq)
        del self.boxes[mailbox]
        self._count_box(box, -1)
        self._write(MailboxRemoved(mailbox))

    def _touch(self, mailbox: bytes, box: Mailbox) -> None:
        box.polled_at = self.wall()
        self.boxes.move_to_end(mailbox)
        if box.polled_at - box.told_at >= self.host.delays.seen * 1000:
            box.told_at = box.polled_at
            self._write(MailboxPolled(mailbox, box.polled_at))

    def _write(self, change: StoreChange) -> int:
        self.written += 1
        self.host.emit(StoreWanted(self.written, change))
        return self.written

    def _keep(self, mailbox: bytes, box: Mailbox, kept: Kept) -> None:
        box.kept[kept.message.seq] = kept
        box.size += len(kept.message.blob)
        self.order[mailbox, kept.message.seq] = None
        self._count(kept.message)

    def _drop(self, mailbox: bytes, box: Mailbox, up_to: int) -> None:
        """Forget the messages of a mailbox up to this number."""
        while box.kept and (seq := next(iter(box.kept))) <= up_to:
            message = box.kept.pop(seq).message
            box.size -= len(message.blob)
            del self.order[mailbox, seq]
            self._count(message, -1)

    def _count_box(self, box: Mailbox, sign: int = 1) -> None:
        count = self.boxes_of_groups.get(box.group, 0) + sign
        self.boxes_of_groups[box.group] = count
        if not count:
            del self.boxes_of_groups[box.group]

    def _count(self, message: StoredMessage, sign: int = 1) -> None:
        usage = self.of_groups.setdefault(message.group, Usage())
        for one in (self.total, usage):
            one.add(sign, sign * len(message.blob))
        if not usage.messages:
            del self.of_groups[message.group]


def _share_of(left: int) -> int:
    """How much one group may have of what all share, when so much of it is left."""
    return -(-left // 100)


_S, _I, _M = MailboxesState, MailboxesInput, Mailboxes


class MailboxesTimer:
    DUE = Timer(MailboxesInput.DUE, Mailboxes.until_next)


MAILBOXES: Final = Table[Mailboxes, MailboxesState](
    Mailboxes,
    MailboxesInput,
    MailboxesTimer,
    name="egtp.mailboxes",
    initial=_S.EMPTY,
    idle={_S.EMPTY: "the first mailbox"},
    rows=(
        Row((_S.EMPTY, _S.WATCHING), _I.ADDED, _S.WATCHING, arm=(MailboxesTimer.DUE,), ref=_STORAGE),
        Row(_S.WATCHING, _I.DUE, _S.EMPTY, _M.expire, ref=_STORAGE),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
