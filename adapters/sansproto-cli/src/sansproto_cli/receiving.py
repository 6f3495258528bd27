"""The receiving side, from the relay to the file under its name."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial

import attrs

from sansproto.bob import (
    Client,
    Connected,
    Failure,
    FileAnnounced,
    FileData,
    FileVerified,
    MetadataReceived,
    PackError,
    PackFault,
    PeerAgreed,
    PeerEvent,
    PeerFailed,
    Receipt,
    ReceiptReason,
    ReceiptRecord,
    Registered,
    SenderFailed,
    TransferError,
    TransferEvent,
    TransferReader,
)
from sansproto.bob.way import PeerState
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import CloseCause, Closed, DataReceived

from .about import About, unpacked_name
from .addresses import RelayAddress
from .exits import CommandFailed, DiskFull, Exit, Interrupted
from .files import Preserved, check_room, storable_name
from .line import TICK, Line, Stage, describe, explain, no_answer
from .names import is_too_long
from .output import MAX_TEXT, FileSink, FolderSink, Kept, OutputSink, Sink, Target, TextSink
from .question import answer
from .report import Reporter
from .shown import printable, shown_name
from .sizes import size_text, speed_text

TOLD = 8
"""Of those who fail in the same way, so many are told of: anybody can come to a relay, as often as he likes."""

_SENDER_FAILED = b"\2"  # the type of its record
_HELD = 1 << 20  # bytes that are read ahead while somebody thinks

_FAULTS = {
    PackFault.TRUNCATED: (Exit.CUT, "The sender stopped before the file was complete: start both sides again."),
    PackFault.BAD_KIND: (Exit.DAMAGED, "This command cannot read a folder in this form: let the sender send a tar."),
    PackFault.TOO_LARGE: (Exit.DAMAGED, "The file is larger than --max-size: allow more, if you trust the sender."),
    PackFault.BAD_NAME: (Exit.DAMAGED, "The sender gave a name that no file may have: let the sender rename the file."),
    PackFault.LONG_NAME: (Exit.DAMAGED, "The sender gave too long a name for a file: let the sender rename the file."),
}
_REASONS = {
    PackFault.TOO_LARGE: ReceiptReason.TOO_LARGE,
    PackFault.BAD_NAME: ReceiptReason.NAME,
    PackFault.LONG_NAME: ReceiptReason.NAME,
}
_DAMAGED = (Exit.DAMAGED, "This is not the file that was announced: nothing was kept, let the sender send it again.")


@attrs.frozen(kw_only=True)
class Wishes:
    """What the user wants of the file. ``timeout`` is how long to wait until it is offered, in seconds; nobody else can
    make it shorter."""

    max_size: int
    target: Target = attrs.field(factory=Target)
    ask: bool = False
    timeout: float = 60.0
    keep_tar: bool = False
    preserve: bool = True


class Receiving:
    """Receives one file from the first server that proves the password."""

    def __init__(
        self, peer: Client, line: Line[PeerEvent], reporter: Reporter, wishes: Wishes, *, relay: RelayAddress
    ) -> None:
        self._peer = peer
        self._line = line
        self._reporter = reporter
        self._wishes = wishes
        self._relay = relay
        self._deadline = time.monotonic() + wishes.timeout
        self._transfer = TransferReader(max_size=wishes.max_size)
        self._parts: Iterator[TransferEvent] = iter(())  # of the record before
        self._held: deque[PeerEvent] = deque()
        self._held_size = 0
        self._stage = Stage.RELAY
        self._agreed: list[int] = []  # the uids of those who know the password and have not left
        self._accepted = 0  # the uid of the sender
        self._was_agreed = False
        self._told: dict[Failure, set[str]] = {}  # the identities, no more than TOLD of each
        self._identity = ""
        self._announced = FileAnnounced("", 0)
        self._about = About()
        self._done = 0

    def run(self) -> Kept:
        """Where it is. Raises CommandFailed; then nothing is left of it, but what went to the standard output."""
        self._line.call(self._peer.connect)
        while self._stage is not Stage.TRANSFER:
            self._meet(self._line.next_event())
            self._check_time()
        try:
            with ExitStack() as stack:
                sink = stack.enter_context(self._decide())
                began = time.monotonic()
                self._receive(sink)
                kept = sink.finish()
        except (CommandFailed, Interrupted) as error:
            self._part(_bad_receipt(error).encode())
            raise
        finally:
            self._reporter.rest()
        self._part(self._transfer.receipt(kept.name))
        self._tell_finished(kept, time.monotonic() - began)
        return kept

    # -- before the transfer

    def _check_time(self) -> None:
        if time.monotonic() <= self._deadline:
            return
        match self._stage:
            case Stage.RELAY:
                raise no_answer(self._relay)
            case Stage.WAITING:
                raise self._nobody()
            case Stage.ROOM if self._peer.state is PeerState.PAIRED:  # the relay has not confirmed it
                raise self._nobody()
            case Stage.ROOM:
                text = f"The sender did not come to {self._relay.secure}: check that it can reach it, then try again."
            case Stage.TRANSFER:
                text = "The sender is here, but did not offer a file in time: start both sides again."
        raise CommandFailed(Exit.CUT, text)

    def _nobody(self) -> CommandFailed:
        """The time is over, ours or the relay's: who is there?"""
        if self._line.call(lambda _: self._peer.mismatched):
            text = "The password is wrong, or its sender is not there: compare it with the sender's, then try again."
            return CommandFailed(Exit.WRONG_PASSWORD, text)
        text = f"No sender came to {self._relay}: start sansproto send there, then try again."
        if self._was_agreed:
            text = f"The sender left, or chose another receiver; none is at {self._relay}: start both sides again."
        return CommandFailed(Exit.NOBODY, text)

    def _meet(self, event: PeerEvent | None) -> None:
        match event:
            case Registered(identity):
                self._stage = Stage.WAITING
                self._reporter.tell("registered", f"Waiting for the sender at {self._relay}.", identity=identity)
            case PeerAgreed(uid, identity):
                self._was_agreed = True
                self._agreed.append(uid)
                self._reporter.tell("agreed", f"{identity} knows the password.", identity=identity)
                self._accept()
            case PeerFailed(uid, failure, identity=identity):
                if uid in self._agreed:
                    self._agreed.remove(uid)
                if uid == self._accepted:
                    self._stage, self._accepted = Stage.WAITING, 0
                    text = f"{describe(failure, identity)} Waiting for another sender."
                    self._reporter.tell("warning", text, reason=failure.name.lower(), identity=identity)
                    self._accept()
                else:
                    self._warn(failure, identity)
            case Connected(identity):
                self._stage = Stage.TRANSFER
                self._identity = identity
                self._say(ReceiptRecord(Receipt.RECEIVING).encode())
                self._reporter.tell("connected", identity=identity)
            case Closed():
                raise self._ended(event)

    def _ended(self, closed: Closed) -> CommandFailed:
        """Before the transfer."""
        if closed.cause is CloseCause.REMOTE:  # a sender's own relay ends with it
            text = (
                f"The relay {self._relay} has stopped. If it was the sender's, the sender has sent to somebody else, "
            )
            return CommandFailed(Exit.RELAY, f"{text}or was stopped: ask there, then start both sides again.")
        if closed.cause is CloseCause.TIMEOUT and self._stage is Stage.WAITING:
            return self._nobody()
        return explain(closed, self._stage, self._relay)

    def _accept(self) -> None:
        """One of those who agreed, unless one is accepted already."""
        for uid in self._agreed:
            if self._stage is Stage.WAITING:
                with suppress(NotOpen):  # it left meanwhile: that is told in an event
                    self._line.call(partial(self._peer.accept, uid))
                    self._stage, self._accepted = Stage.ROOM, uid

    def _warn(self, failure: Failure, identity: str) -> None:
        """Tell of every stranger once, and not of too many."""
        told = self._told.setdefault(failure, set())
        if identity in told or len(told) >= TOLD:
            return
        told.add(identity)
        text = describe(failure, identity)
        if failure is Failure.WRONG_PASSWORD:
            text += " Still waiting: if this is the sender, compare the passwords."
        if len(told) == TOLD:
            text += " Further ones are not shown."
        self._reporter.tell("warning", text, reason=failure.name.lower(), identity=identity)

    # -- the offer

    def _decide(self) -> Sink:
        """Wait for the offer, and find out whether it is wanted, and where it will go."""
        self._await_offer()
        about, target, wishes = self._about, self._wishes.target, self._wishes
        name, size = self._announced.name, self._announced.size
        stored = ""
        is_text = about.kind == "text" and not target.was_chosen and size is not None and size <= MAX_TEXT
        unpacks = about.is_archive and not (wishes.keep_tar or target.is_stdout or target.file)
        what = about.in_words(name) if is_text or unpacks else shown_name(name)
        if unpacks:
            name = unpacked_name(name)
        offer = f"{what} ({size_text(size)}) from {self._identity}"
        facts = {"name": self._announced.name, "size": size, "kind": about.kind, "identity": self._identity}
        self._reporter.tell("offered", "" if wishes.ask else f"Receiving {offer}.", **facts)
        if not (is_text or target.is_stdout):
            check_room(target.folder, (size or 0) * (2 if unpacks else 1))
            stored = target.file or self._find_name(name)
        if wishes.ask:
            self._ask(offer)
        self._say(ReceiptRecord(Receipt.ACCEPTED).encode())
        if target.is_stdout:
            return OutputSink()
        if is_text:
            return TextSink()
        if unpacks:
            return FolderSink(
                target.folder,
                stored,
                single=about.kind == "folder",
                preserve=wishes.preserve,
                warn=lambda text: self._reporter.tell("warning", text, reason="unpacking"),
                check=self._line.check,
            )
        return FileSink(target.folder, stored, about.preserved if wishes.preserve else Preserved())

    def _find_name(self, name: str) -> str:
        stored = storable_name(self._wishes.target.folder, name)
        if stored != name:
            what = "is too long a name" if is_too_long(name) else "cannot be stored under that name"
            text = f"{shown_name(name)} {what} here: it will be {shown_name(stored)}."
            self._reporter.tell("warning", text, reason="name", name=name, stored=stored)
        return stored

    def _await_offer(self) -> None:
        while True:
            match self._next_part():
                case None:
                    self._check_time()
                case MetadataReceived() as told:
                    self._about = self._about or About.of(told.members)
                case FileAnnounced() as announced:
                    self._announced = announced
                    return

    def _ask(self, offer: str) -> None:
        said = answer(f"Receive {offer}? [Y/n]", self._reporter, self._watch)
        if said is None:
            raise CommandFailed(Exit.REFUSED, f"Nobody said yes to {offer}: answer in time, or add --yes.")
        if not said:
            raise CommandFailed(Exit.REFUSED, f"You said no to {offer}: nothing was kept.")

    def _watch(self) -> None:
        """Somebody thinks: is the sender still there? What it sends is read ahead, as far as there is room for it."""
        if self._held_size >= _HELD:
            self._line.check()
            time.sleep(TICK)
            return
        match self._line.next_event():
            case DataReceived(record) as event:
                if self._transfer.is_typed and record.startswith(_SENDER_FAILED):
                    self._held.clear()
                    self._parts = self._transfer.feed(record)
                    self._next_part()
                self._held.append(event)
                self._held_size += len(record)
            case Closed() as closed:
                raise explain(closed, self._stage, self._relay)

    # -- the transfer

    def _receive(self, sink: Sink) -> None:
        size = self._announced.size
        self._reporter.progress(0, size)
        while True:
            match self._next_part():
                case FileData(piece):
                    sink.write(piece)
                    self._done += len(piece)
                case FileVerified():
                    break
            self._reporter.progress(self._done, size)
        self._reporter.rest()
        self._look_behind()

    def _look_behind(self) -> None:
        """Nothing may follow what is complete. Only a sender of ours says where its end is: any other gets a moment."""
        while self._take_part() is not None:
            pass
        while self._held or not self._line.is_empty or not self._transfer.is_typed:
            event = self._next_event()
            if not isinstance(event, DataReceived):
                return
            self._parts = self._transfer.feed(event.data)
            self._take_part()

    def _next_part(self) -> TransferEvent | None:
        """What the sender's stream tells next; None if nothing comes for TICK seconds."""
        while (part := self._take_part()) is None:
            match self._next_event():
                case DataReceived(record):
                    self._parts = self._transfer.feed(record)
                case Closed() as closed:
                    raise explain(closed, self._stage, self._relay)
                case None:
                    return None
        return part

    def _next_event(self) -> PeerEvent | None:
        return self._held.popleft() if self._held else self._line.next_event()

    def _take_part(self) -> TransferEvent | None:
        """What the record before tells next, if anything."""
        try:
            part = next(self._parts, None)
        except PackError as error:
            raise CommandFailed(*_FAULTS.get(error.fault, _DAMAGED)) from error
        except TransferError as error:
            raise CommandFailed(*_DAMAGED) from error
        if isinstance(part, SenderFailed):
            text = f"The sender gave up ({printable(part.text).rstrip('.')}): start the sender again, then this side."
            raise CommandFailed(Exit.SENDER_FAILED, text)
        return part

    def _tell_finished(self, kept: Kept, seconds: float) -> None:
        size, rate = self._done, self._done / max(seconds, 1e-6)
        rounded = round(seconds, 3), round(rate)
        text, path = f"Received {shown_name(kept.path)} ({speed_text(size, seconds)}).", kept.path or None
        if kept.path == "-":
            text = f"Received to the standard output ({speed_text(size, seconds)})."
        if kept.text is not None:
            self._reporter.text(kept.text)
            text = ""
        self._reporter.tell("finished", text, path=path, size=size, seconds=rounded[0], rate=rounded[1])

    # -- what the sender is told

    def _part(self, receipt: bytes) -> None:
        """Tell the sender how it went, if it listens, and leave."""
        self._say(receipt)
        self._line.call(self._peer.close)

    def _say(self, record: bytes) -> None:
        with suppress(NotOpen, LocalProtocolError):  # it is over already; the sender wants no answer
            self._line.call(lambda now: self._peer.send(record, now))


def _bad_receipt(error: CommandFailed | Interrupted) -> ReceiptRecord:
    """What the sender is told of a failure: a word for its kind, and nothing of this computer."""
    if error.code is Exit.REFUSED:
        return ReceiptRecord(Receipt.REFUSED)
    reasons = {Exit.FILES: ReceiptReason.UNWRITABLE, Exit.DAMAGED: ReceiptReason.DAMAGED}
    reason = reasons.get(error.code)
    if isinstance(error, Interrupted):
        reason = ReceiptReason.STOPPED
    elif isinstance(error, DiskFull):
        reason = ReceiptReason.NO_ROOM
    elif isinstance(error.__cause__, PackError):
        reason = _REASONS.get(error.__cause__.fault, reason)
    return ReceiptRecord(Receipt.FAILED) if reason is None else ReceiptRecord(Receipt.FAILED, reason.fields)
