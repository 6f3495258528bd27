"""The receiving side, from the relay to the file under its name."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from rich.filesize import decimal

from sansproto.bob import (
    Client,
    Connected,
    Failure,
    FileAnnounced,
    FileData,
    FileVerified,
    PackError,
    PackFault,
    PeerAgreed,
    PeerEvent,
    PeerFailed,
    Receipt,
    ReceiptRecord,
    Registered,
    SenderFailed,
    TransferError,
    TransferReader,
)
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import Closed, DataReceived

from .addresses import RelayAddress
from .exits import CommandFailed, Exit, Interrupted
from .files import IncomingFile, check_room, storable_name
from .line import Line, Stage, describe, explain, no_answer
from .report import Reporter
from .shown import printable, shown_name

TOLD = 8
"""Of those who fail in the same way, so many are told of: anybody can come to a relay, as often as he likes."""

Answer = Callable[[], str | None]
"""Waits for a line of the user, and gives None if there is nobody to give one."""

_FAULTS = {
    PackFault.TRUNCATED: (Exit.CUT, "The sender stopped before the file was complete: start both sides again."),
    PackFault.BAD_KIND: (Exit.DAMAGED, "This is a folder in a form that is not read here: let them send a tar of it."),
    PackFault.TOO_LARGE: (Exit.DAMAGED, "The file is larger than --max-size: allow more, if you trust the sender."),
    PackFault.BAD_NAME: (Exit.DAMAGED, "The sender gave a name that no file may have: let them rename it."),
    PackFault.LONG_NAME: (Exit.DAMAGED, "The sender gave a name that is too long for any file: let them rename it."),
}
_DAMAGED = (Exit.DAMAGED, "What arrived is not the file that was announced: nothing was kept, let them send it again.")


class Receiving:
    """Receives one file into ``folder`` from the first server that proves the password.

    ``answer`` says whether to take it, None means yes. ``timeout`` is how long to wait for that server, in seconds:
    None is a minute. Nobody else can make it shorter.
    """

    def __init__(
        self,
        folder: Path,
        peer: Client,
        line: Line[PeerEvent],
        reporter: Reporter,
        *,
        relay: RelayAddress,
        max_size: int,
        answer: Answer | None = None,
        timeout: float | None = None,
    ) -> None:
        self._folder = folder
        self._peer = peer
        self._line = line
        self._reporter = reporter
        self._relay = relay
        self._transfer = TransferReader(max_size=max_size)
        self._answer = answer
        self._timeout = timeout
        self._stage = Stage.RELAY
        self._agreed: list[int] = []  # the uids of those who know the password and have not left
        self._accepted = 0  # the uid of the sender
        self._was_agreed = False
        self._told: dict[Failure, set[str]] = {}  # the identities, no more than TOLD of each
        self._identity = ""
        self._announced = FileAnnounced("", 0)
        self._name = ""  # under which it will be kept
        self._done = 0

    def run(self) -> Path:
        """The path of the file. Raises CommandFailed; then nothing is left of it."""
        self._line.call(self._peer.connect)
        self._find_peer()
        began = time.monotonic()
        try:
            with IncomingFile(self._folder) as file:
                self._receive(file)
                path = file.keep(self._name)
        except (CommandFailed, Interrupted) as error:
            refused = isinstance(error, CommandFailed) and error.code is Exit.REFUSED
            self._part(ReceiptRecord(Receipt.REFUSED if refused else Receipt.FAILED).encode())
            raise
        finally:
            self._reporter.rest()
        self._part(self._transfer.receipt(path.name))
        self._tell_finished(path, time.monotonic() - began)
        return path

    # -- before the transfer

    def _find_peer(self) -> None:
        deadline = time.monotonic() + (60.0 if self._timeout is None else self._timeout)
        while self._stage is not Stage.TRANSFER:
            self._meet(self._line.next_event())
            if time.monotonic() > deadline:
                raise self._late()

    def _late(self) -> CommandFailed:
        match self._stage:
            case Stage.RELAY:
                return no_answer(self._relay)
            case Stage.ROOM:
                text = f"The sender did not come to {self._relay.secure}: is that port open for it? Then try again."
                return CommandFailed(Exit.CUT, text)
        return self._nobody()

    def _nobody(self) -> CommandFailed:
        """The time is over, ours or the relay's: who is there?"""
        if self._line.call(lambda _: self._peer.mismatched):
            text = "The password is wrong, or its sender is not there: compare it with the sender's, then try again."
            return CommandFailed(Exit.WRONG_PASSWORD, text)
        text = f"No sender came to {self._relay}: start sansproto send there, then try again."
        if self._was_agreed:
            text = f"The sender left, or went with another; none came to {self._relay}: start both again."
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
                    self._reporter.tell(
                        "warning", describe(failure, identity), reason=failure.name.lower(), identity=identity
                    )
                    self._accept()
                else:
                    self._warn(failure, identity)
            case Connected(identity):
                self._stage = Stage.TRANSFER
                self._identity = identity
                self._line.call(lambda now: self._say(ReceiptRecord(Receipt.RECEIVING).encode(), now))
                self._reporter.tell("connected", identity=identity)
            case Closed():
                why = explain(event, self._stage, self._relay)
                raise self._nobody() if why.code is Exit.NOBODY else why

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
            text += " Further ones are not told."
        self._reporter.tell("warning", text, reason=failure.name.lower(), identity=identity)

    # -- the transfer

    def _receive(self, file: IncomingFile) -> None:
        while True:
            match self._line.next_event():
                case DataReceived(record):
                    if self._take(file, record):
                        return
                case Closed() as closed:
                    raise explain(closed, self._stage, self._relay)

    def _take(self, file: IncomingFile, record: bytes) -> bool:
        """Is the file complete now?"""
        try:
            for event in self._transfer.feed(record):
                match event:
                    case FileAnnounced():
                        self._announced = event
                        self._decide()
                        self._reporter.progress(0, event.size)
                    case FileData(piece):
                        file.write(piece)
                        self._done += len(piece)
                    case FileVerified():
                        return True
                    case SenderFailed(text):
                        text = f"The sender gave up ({printable(text)}): let them start again, then you."
                        raise CommandFailed(Exit.SENDER_FAILED, text)
        except PackError as error:
            raise CommandFailed(*_FAULTS.get(error.fault, _DAMAGED)) from error
        except TransferError as error:
            raise CommandFailed(*_DAMAGED) from error
        if self._done:
            self._reporter.progress(self._done, self._announced.size)
        return False

    def _decide(self) -> None:
        name, size = self._announced.name, self._announced.size
        offer = f"{shown_name(name)} ({decimal(size)}) from {self._identity}"
        self._reporter.tell(
            "offered", "" if self._answer else f"Receiving {offer}.", name=name, size=size, identity=self._identity
        )
        check_room(self._folder, size)
        self._name = storable_name(self._folder, name)
        if self._name != name:
            text = f"{shown_name(name)} cannot be stored under that name here: it will be {shown_name(self._name)}."
            self._reporter.tell("warning", text, reason="name", name=name, stored=self._name)
        if self._answer is None:
            return
        self._reporter.ask(f"Receive {offer}? [Y/n]")
        line = self._answer()
        if line is None:
            raise CommandFailed(Exit.REFUSED, f"Nobody said yes to {offer}: answer in time, or add --yes.")
        if line.strip().lower() not in ("", "y", "yes"):
            raise CommandFailed(Exit.REFUSED, f"You said no to {offer}: nothing was kept.")

    def _tell_finished(self, path: Path, seconds: float) -> None:
        size, rate = self._announced.size, self._announced.size / max(seconds, 1e-6)
        self._reporter.tell(
            "finished",
            f"Received {shown_name(str(path))} ({decimal(size)} in {seconds:.1f} s, {decimal(int(rate))}/s).",
            path=str(path),
            size=size,
            seconds=round(seconds, 3),
            rate=round(rate),
        )

    # -- what the sender is told

    def _part(self, receipt: bytes) -> None:
        """Tell the sender how it went, if it listens, and leave."""
        self._line.call(lambda now: self._say(receipt, now))
        self._line.call(self._peer.close)

    def _say(self, record: bytes, now: float) -> None:
        with suppress(NotOpen, LocalProtocolError):  # it is over already; the sender wants no answer
            self._peer.send(record, now)
