"""The sending side, from the relay to the receipt."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial

from rich.filesize import decimal

from sansproto.bob import (
    Connected,
    Failure,
    PeerAgreed,
    PeerEvent,
    PeerFailed,
    Receipt,
    ReceiptRecord,
    Registered,
    Server,
    TransferWriter,
)
from sansproto.errors import NotOpen, WireError
from sansproto.events import CloseCause, Closed, DataReceived, Writable

from .addresses import RelayAddress
from .exits import CommandFailed, Exit
from .line import Line, Stage, describe, explain, in_brackets, no_answer
from .names import check_sendable
from .report import Reporter
from .shown import shown_name
from .sources import Contents, Source

LEVEL = 4  # of zlib, as the reference
GREETING = 1.0  # seconds for the receiver's first word: docs/protocols/bob.rst, typed records
_PARTING = 30.0  # seconds until the receiver has heard why we give up


class Sending:
    """Sends one source to the first who proves the password and says yes.

    ``command`` is what to type on the other side, ``password`` the one in it, if there is one, ``relay`` is for
    messages; ``timeout`` covers all before the transfer, without it this waits as long as the relay lets it. ``peer``
    offers AES-256-GCM both ways.
    """

    def __init__(
        self,
        source: Source,
        peer: Server,
        line: Line[PeerEvent],
        reporter: Reporter,
        *,
        relay: RelayAddress,
        command: str,
        password: str | None = None,
        compress: bool = True,
        timeout: float | None = None,
    ) -> None:
        check_sendable(source.name)
        self._source = source
        self._level = LEVEL if compress and not source.is_packed else 0
        self._peer = peer
        self._line = line
        self._reporter = reporter
        self._relay = relay
        self._command = command
        self._password = password
        self._timeout = timeout
        self._stage = Stage.RELAY
        self._was_told = False
        self._agreed: set[int] = set()  # the uids of those who know the password: one of them goes to the room with us
        self._writer: TransferWriter | None = None  # until the transfer starts
        self._size = source.found.size
        self._is_greeted = False
        self._receipt: ReceiptRecord | None = None
        self._is_writable = True

    def run(self) -> None:
        """Raises CommandFailed unless everything was sent and the other side has ended well."""
        self._line.call(self._peer.connect)
        self._find_peer()
        began = time.monotonic()
        all_sent = False
        try:
            with suppress(NotOpen):  # it is over: the reason stands in the events
                self._send_all()
                all_sent = True
            confirmed = self._find_out(all_sent)
        finally:
            self._reporter.rest()
        seconds = time.monotonic() - began
        size, rate = self._size, self._size / max(seconds, 1e-6)
        text = f"Sent {shown_name(self._source.name)} ({decimal(size)} in {seconds:.1f} s, {decimal(int(rate))}/s)."
        stored = self._receipt.name if confirmed and self._receipt is not None else ""
        if not confirmed:
            text += " The other side did not say whether it has it all."
        elif stored in ("", self._source.name):
            text += " The other side has verified it."
        else:
            text += f" The other side has verified it, and keeps it as {shown_name(stored)}."
        self._reporter.tell(
            "finished",
            text,
            name=self._source.name,
            size=size,
            seconds=round(seconds, 3),
            rate=round(rate),
            confirmed=confirmed,
            stored=stored or None,
        )

    def _find_peer(self) -> None:
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while self._stage is not Stage.TRANSFER:
            self._meet(self._line.next_event())
            if deadline is not None and time.monotonic() > deadline:
                raise self._late()

    def _late(self) -> CommandFailed:
        if self._stage is Stage.RELAY:
            return no_answer(self._relay)
        what = "came" if self._stage is Stage.WAITING else "said yes"  # a relay keeps a no to itself
        text = f"Nobody {what} in {self._timeout:g} s: start again, and type the command there."
        return CommandFailed(Exit.NOBODY, text)

    def _meet(self, event: PeerEvent | None) -> None:
        match event:
            case Registered(identity):
                self._stage = Stage.WAITING
                self._reporter.tell("registered", identity=identity)
                if not self._was_told:
                    self._was_told = True
                    self._tell_waiting()
            case PeerAgreed(uid, identity):
                self._agreed.add(uid)
                self._stage = Stage.ROOM
                self._reporter.tell("agreed", f"{identity} knows the password.", identity=identity)
            case PeerFailed(_, Failure.REFUSED, identity=identity):
                raise _refused(identity)
            case PeerFailed(_, Failure.ABSENT, identity=identity):
                self._agreed.clear()
                self._stage = Stage.RELAY
                text = (
                    f"{identity} knows the password, but did not come to {self._relay.secure}: can it reach that port?"
                )
                self._reporter.tell("warning", f"{text} Waiting again.", reason="absent", identity=identity)
            case PeerFailed(uid, failure, identity=identity):
                text = describe(failure, identity)
                if failure is Failure.GONE and uid in self._agreed:
                    text = f"{identity} said no, or left before the transfer began."
                self._agreed.discard(uid)
                self._stage = Stage.ROOM if self._agreed else Stage.WAITING
                text += " Still waiting."
                self._reporter.tell("warning", text, reason=failure.name.lower(), identity=identity)
            case Connected(identity):
                self._stage = Stage.TRANSFER
                self._reporter.tell("connected", identity=identity)
            case _:
                self._notice(event)

    def _tell_waiting(self) -> None:
        size = self._source.found.size
        text = f"Ready to send {shown_name(self._source.name)} ({decimal(size)}). On the other computer, type:"
        if self._password is None:
            text = text.replace("type:", "type this, and the password when it asks:")
        facts = {"name": self._source.name, "size": size, "password": self._password}
        self._reporter.command("waiting", text, self._command, **facts)

    def _send_all(self) -> None:
        self._await_greeting()
        writer: TransferWriter | None = None
        try:
            contents = self._source.look()
            for path in contents.skipped:
                if path not in self._source.found.skipped:
                    self._reporter.tell("warning", f"{path} is no file or folder: left out.", path=path)
            self._size = contents.size
            self._writer = writer = self._make_writer(contents.size)
            self._send_contents(contents, writer)
        except CommandFailed as failure:
            if failure.code is Exit.FILES:
                self._give_up(writer or self._make_writer(0), failure.message)
            raise

    def _make_writer(self, size: int) -> TransferWriter:
        return TransferWriter(self._source.name, size, typed=self._is_greeted, level=self._level)

    def _await_greeting(self) -> None:
        """Is the receiver one of ours? It says so at once, the original never."""
        deadline = time.monotonic() + GREETING
        while not self._is_greeted and time.monotonic() < deadline:
            self._notice(self._line.next_event())

    def _send_contents(self, contents: Contents, writer: TransferWriter) -> None:
        done = 0
        self._reporter.progress(0, contents.size)
        self._send(writer.start())
        for chunk in contents.chunks:
            self._send(writer.write(chunk))
            done += len(chunk)
            self._reporter.progress(done, contents.size)
        contents.check()
        self._send(writer.finish())

    def _give_up(self, writer: TransferWriter, why: str) -> None:
        """Tell a receiver of ours; any other one sees the end without a checksum."""
        with suppress(NotOpen, CommandFailed):  # it has left already
            records = writer.fail(why)
            self._send(records)
            deadline = time.monotonic() + _PARTING
            while records and time.monotonic() < deadline:
                self._notice(self._line.next_event())

    def _send(self, records: list[bytes]) -> None:
        """Hand over these records, each whole: the borders matter to the reference."""
        at = 0
        while True:
            at = self._line.call(partial(self._fill, records, at))
            if at == len(records):
                return
            self._is_writable = False
            while not self._is_writable:
                self._notice(self._line.next_event())

    def _fill(self, records: list[bytes], at: int, now: float) -> int:
        while at < len(records) and self._peer.send(records[at], now):
            at += 1
        return at

    def _find_out(self, all_sent: bool) -> bool:
        """Wait for the end. Did the other side confirm that it is a good one?"""
        while not isinstance(event := self._line.next_event(), Closed):
            self._notice(event)
        if self._receipt is not None and self._receipt.word is Receipt.VERIFIED:
            if self._writer is not None and self._writer.is_confirmed_by(self._receipt):
                return True
            raise _false_receipt(all_sent)
        is_missed = event.cause is CloseCause.REMOTE and self._is_greeted
        if all_sent and self._receipt is None and (is_missed or event.cause is CloseCause.LOST):
            raise CommandFailed(
                Exit.CUT,
                "The other side or the relay left before the file was confirmed"
                f"{in_brackets(event)}: ask whether it came, or start both sides again.",
            )
        if not all_sent or self._receipt is not None or event.cause is not CloseCause.REMOTE:
            self._notice(event)
        return False

    def _notice(self, event: PeerEvent | None) -> None:
        match event:
            case Writable():
                self._is_writable = True
            case DataReceived(record):
                self._hear(record)
            case Closed():
                match self._receipt:
                    case ReceiptRecord(word=Receipt.REFUSED):
                        raise _refused("The other side")
                    case ReceiptRecord(word=Receipt.FAILED):
                        raise CommandFailed(
                            Exit.CUT,
                            "The other side could not keep the file, or was stopped: look there, then start again.",
                        )
                    case ReceiptRecord():
                        raise _false_receipt(all_sent=False)
                raise explain(event, self._stage, self._relay)

    def _hear(self, record: bytes) -> None:
        """The first receipt counts; what is none means nothing."""
        with suppress(WireError):
            said = ReceiptRecord.decode(record)
            if said.word is Receipt.RECEIVING:
                self._is_greeted = True
            else:
                self._receipt = self._receipt or said


def _refused(identity: str) -> CommandFailed:
    return CommandFailed(Exit.REFUSED, f"{identity} said no: agree with them first, then send it again.")


def _false_receipt(all_sent: bool) -> CommandFailed:
    what = "another file than the one that was sent" if all_sent else "the file before all of it was sent"
    return CommandFailed(
        Exit.DAMAGED, f"The other side says that it has verified {what}: compare the two, then start both sides again."
    )
