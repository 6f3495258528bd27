"""The sending side, from the relay to the receipt."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain

from sansproto.bob import (
    Connected,
    Failure,
    PeerAgreed,
    PeerEvent,
    PeerFailed,
    Receipt,
    ReceiptReason,
    ReceiptRecord,
    Registered,
    Server,
    TransferWriter,
)
from sansproto.errors import NotOpen, WireError
from sansproto.events import CloseCause, Closed, DataReceived, Writable

from .about import About, unpacked_name
from .addresses import RelayAddress
from .exits import CommandFailed, Exit, Interrupted
from .line import LINGER, Line, Stage, describe, explain, in_brackets, no_answer
from .names import check_sendable
from .report import Reporter
from .shown import shown_name
from .sizes import size_text, speed_text
from .sources import Contents, Source

LEVEL = 4  # of zlib, as the reference
GREETING = 1.0  # seconds for the receiver's first word: docs/protocols/bob.rst, typed records
_PARTING = 30.0  # seconds until the receiver has heard why we give up
_FAILED: dict[ReceiptReason | None, str] = {
    None: "could not keep the file, or was stopped: find out why, then start again",
    ReceiptReason.STOPPED: "was stopped: ask why, then start both sides again",
    ReceiptReason.NO_ROOM: "has no room for the file: let it make room, then start both sides again",
    ReceiptReason.UNWRITABLE: "cannot write the file: let it choose another --output, then start both sides again",
    ReceiptReason.TOO_LARGE: "takes no file of this size: let it give a larger --max-size, then start both sides again",
    ReceiptReason.NAME: "takes no file of this name: give another with --name, then start both sides again",
    ReceiptReason.DAMAGED: "takes nothing that is damaged or not safe: look there, then start both sides again",
}
_SAMPLE = 1 << 17  # bytes at the beginning, by which it is judged whether compressing pays
_PAYS = 0.95  # of their size


class Sending:
    """Sends one source to the first who proves the password and says yes.

    ``command`` is what to type on the other side, ``password`` the one in it, if there is one, ``relay`` is for
    messages, and ``receivers`` gives who waits there, if we know; ``timeout`` covers all before the transfer, without
    it this waits as long as the relay lets it.
    ``compress`` of None finds out whether it pays. ``peer`` offers AES-256-GCM both ways.
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
        receivers: Callable[[], Collection[str]] = tuple,
        password: str | None = None,
        compress: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        check_sendable(source.name)
        self._source = source
        self._about = About.of(source.found.about)
        self._what = self._about.in_words(source.name)
        self._compress = compress
        self._peer = peer
        self._line = line
        self._reporter = reporter
        self._relay = relay
        self._command = command
        self._receivers = receivers
        self._password = password
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._stage = Stage.RELAY
        self._was_told = False
        self._agreed: dict[int, str] = {}  # who knows the password, by uid: one of them goes to the room with us
        self._identity = ""
        self._writer: TransferWriter | None = None  # until the transfer starts
        self._size = source.found.size
        self._began = 0.0  # when somebody had said yes
        self._read = self._written = 0  # bytes of the file, and of the records made of them
        self._is_greeted = self._is_wanted = False
        self._receipt: ReceiptRecord | None = None
        self._is_writable = True

    def run(self) -> None:
        """Raises CommandFailed unless everything was sent and the other side has ended well."""
        self._line.call(self._peer.connect)
        while self._stage is not Stage.TRANSFER:
            self._meet(self._line.next_event())
            self._check_time()
        all_sent = False
        try:
            with suppress(NotOpen):  # it is over: the reason stands in the events
                self._send_all()
                all_sent = True
            confirmed = self._find_out(all_sent)
        finally:
            self._reporter.rest()
        self._tell_finished(confirmed, time.monotonic() - self._began)
        if waiting := {*self._receivers()} - {*self._agreed.values()}:
            self._tell_second(f"{len(waiting)} more came to {self._relay}, and got nothing", count=len(waiting))

    # -- before the transfer

    def _check_time(self) -> None:
        if self._deadline is None or time.monotonic() <= self._deadline:
            return
        if self._stage is Stage.RELAY:
            raise no_answer(self._relay)
        what = "came" if self._stage is Stage.WAITING else "said yes"  # a relay keeps a no to itself
        text = f"Nobody {what} in {self._timeout:g} s: start again, and type the command on the other computer."
        raise CommandFailed(Exit.NOBODY, text)

    def _meet(self, event: PeerEvent | None) -> None:
        match event:
            case Registered(identity):
                self._stage = Stage.WAITING
                self._reporter.tell("registered", identity=identity)
                if not self._was_told:
                    self._was_told = True
                    self._tell_waiting()
            case PeerAgreed(uid, identity):
                self._agreed[uid] = identity
                self._stage = Stage.ROOM
                self._reporter.tell("agreed", f"{identity} knows the password.", identity=identity)
            case PeerFailed(_, Failure.REFUSED, identity=identity):
                raise _refused(identity)
            case PeerFailed(_, Failure.ABSENT, identity=identity):
                self._agreed.clear()
                self._stage = Stage.RELAY
                text = f"{identity} agreed, but did not come to {self._relay.secure}: can it reach that port?"
                self._reporter.tell("warning", f"{text} Waiting again.", reason="absent", identity=identity)
            case PeerFailed(uid, failure, identity=identity):
                text = describe(failure, identity)
                if failure is Failure.GONE and uid in self._agreed:
                    text = f"{identity} said no, or left before the transfer began."
                self._agreed.pop(uid, None)
                self._stage = Stage.ROOM if self._agreed else Stage.WAITING
                text += " Still waiting."
                self._reporter.tell("warning", text, reason=failure.name.lower(), identity=identity)
            case Connected(identity):
                self._stage = Stage.TRANSFER
                self._identity = identity
                self._reporter.tell("connected", identity=identity)
                for other in {*self._agreed.values()} - {identity}:
                    self._tell_second(f"{other} knows the password, too, and gets nothing", identity=other)
            case _:
                self._notice(event)

    def _tell_second(self, text: str, **facts: object) -> None:
        self._reporter.tell("warning", f"{text}: start again to send it there.", reason="second", **facts)

    def _tell_waiting(self) -> None:
        name, size, relay = self._source.name, self._source.found.size, self._relay
        text = f"Ready to send {self._what} ({size_text(size)}). On the other computer, type:"
        if self._password is None:
            text = text.replace("type:", "type this, and the password when it asks:")
        ports = {"relay": relay.host, "port": relay.port, "secure_port": relay.secure_port}
        facts = {"name": name, "size": size, "password": self._password, **ports}
        self._reporter.command("waiting", text, self._command, **facts)

    # -- the transfer

    def _send_all(self) -> None:
        self._await_greeting()
        try:
            contents = self._look()
            first = next(contents.chunks, b"")
            self._writer = writer = self._make_writer(contents, self._level(first))
            self._send(writer.start())
            if self._is_greeted:
                self._await_yes()
            self._began = time.monotonic()
            self._send_contents(chain([first], contents.chunks), writer)
            contents.check()
            self._send(writer.finish())
        except CommandFailed as failure:
            if failure.code in (Exit.FILES, Exit.NOBODY):
                self._give_up(failure.told or failure.message, _PARTING)
            raise
        except Interrupted:
            self._line.ignore_signals()
            self._give_up("it was stopped", LINGER)
            raise

    def _await_greeting(self) -> None:
        """Is the receiver one of ours? It says so at once, the original never."""
        deadline = time.monotonic() + GREETING
        while not self._is_greeted and time.monotonic() < deadline:
            self._notice(self._line.next_event())

    def _await_yes(self) -> None:
        """Nothing of the contents goes out before."""
        if not self._is_wanted:
            self._reporter.tell("asked", f"{self._identity} is being asked.", identity=self._identity)
        while not self._is_wanted:
            self._notice(self._line.next_event())
            self._check_time()
        self._reporter.tell("accepted", identity=self._identity)

    def _look(self) -> Contents:
        if not self._is_greeted and self._source.spool is not None:
            contents = self._source.spool(self._wait)
        else:
            contents = self._source.look()
        for path in contents.skipped:
            if path not in self._source.found.skipped:
                self._reporter.tell("warning", f"{path} is not a file or folder: left out.", path=path)
        self._size = contents.size
        return contents

    def _level(self, beginning: bytes) -> int:
        if self._compress is None:
            sample = beginning[:_SAMPLE]
            return LEVEL if not sample or len(zlib.compress(sample, 1)) < _PAYS * len(sample) else 0
        return LEVEL if self._compress else 0

    def _make_writer(self, contents: Contents, level: int) -> TransferWriter:
        about = contents.about
        return TransferWriter(self._source.name, contents.size, typed=self._is_greeted, level=level, about=about)

    def _send_contents(self, chunks: Iterator[bytes], writer: TransferWriter) -> None:
        self._reporter.progress(0, self._size)
        for chunk in chunks:
            self._send(writer.write(chunk) if chunk else writer.flush())
            self._read += len(chunk)
            if chunk:
                self._show_progress()
            else:  # a stream has nothing for the moment
                self._wait()

    def _give_up(self, why: str, patience: float) -> None:
        """Tell a receiver of ours; any other one sees the end without a checksum."""
        with suppress(NotOpen, CommandFailed):  # it has left already
            deadline = time.monotonic() + patience
            records = (self._writer or TransferWriter(self._source.name, 0, typed=self._is_greeted)).fail(why)
            at = 0
            while records and time.monotonic() < deadline:
                at = self._line.call(partial(self._fill, records, at))
                self._notice(self._line.next_event())

    def _send(self, records: list[bytes]) -> None:
        """Hand over these records, each whole: the borders matter to the reference."""
        at = 0
        while True:
            at = self._line.call(partial(self._fill, records, at))
            if at == len(records):
                break
            self._is_writable = False
            while not self._is_writable:
                self._wait()
        self._written += sum(map(len, records))

    def _fill(self, records: list[bytes], at: int, now: float) -> int:
        while at < len(records) and self._peer.send(records[at], now):
            at += 1
        return at

    def _wait(self) -> None:
        self._notice(self._line.next_event())
        self._show_progress()

    def _show_progress(self) -> None:
        """Of the file, what the transport has taken."""
        if self._began:
            unsent = self._line.call(lambda _: self._peer.unsent)
            done = self._read - self._read * unsent // max(self._written, unsent, 1)
            self._reporter.progress(done, self._size)

    # -- the end

    def _find_out(self, all_sent: bool) -> bool:
        """Wait for the end. Did the other side confirm that it is a good one?"""
        while not isinstance(event := self._line.next_event(), Closed):
            self._notice(event)
            self._show_progress()
        if self._receipt is not None and self._receipt.word is Receipt.VERIFIED:
            if self._writer is not None and self._writer.is_confirmed_by(self._receipt):
                return True
            raise _false_receipt(all_sent)
        is_missed = event.cause is CloseCause.REMOTE and self._is_greeted
        if all_sent and self._receipt is None and (is_missed or event.cause is CloseCause.LOST):
            raise CommandFailed(
                Exit.CUT,
                "The other side or the relay left before the file was confirmed"
                f"{in_brackets(event)}: ask whether the file arrived, or start both sides again.",
            )
        if not all_sent or self._receipt is not None or event.cause is not CloseCause.REMOTE:
            self._notice(event)
        return False

    def _tell_finished(self, confirmed: bool, seconds: float) -> None:
        size, name = self._read, self._source.name
        stored = self._receipt.name if confirmed and self._receipt is not None else ""
        if not confirmed:
            what = "The other side did not say whether it has the whole file."
        elif stored in ("", unpacked_name(name) if self._about.is_archive else name):
            what = "The other side has verified it."
        else:
            what = f"The other side has verified it, and keeps it as {shown_name(stored)}."
        self._reporter.tell(
            "finished",
            f"Sent {self._what} ({speed_text(size, seconds)}). {what}",
            name=name,
            size=size,
            seconds=round(seconds, 3),
            rate=round(size / max(seconds, 1e-6)),
            confirmed=confirmed,
            stored=stored or None,
        )

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
                        raise CommandFailed(Exit.CUT, f"The other side {_FAILED[self._receipt.reason]}.")
                    case ReceiptRecord():
                        raise _false_receipt(all_sent=False)
                raise explain(event, self._stage, self._relay)

    def _hear(self, record: bytes) -> None:
        """The first receipt counts; what is none means nothing."""
        with suppress(WireError):
            said = ReceiptRecord.decode(record)
            if said.word is Receipt.RECEIVING:
                self._is_greeted = True
            elif said.word is Receipt.ACCEPTED:
                self._is_wanted = True
            else:
                self._receipt = self._receipt or said


def _refused(identity: str) -> CommandFailed:
    return CommandFailed(Exit.REFUSED, f"{identity} said no: agree with the receiver first, then send it again.")


def _false_receipt(all_sent: bool) -> CommandFailed:
    what = "another file than the one that was sent" if all_sent else "the file before all of it was sent"
    return CommandFailed(
        Exit.DAMAGED, f"The other side says that it has verified {what}: compare the two, then start both sides again."
    )
