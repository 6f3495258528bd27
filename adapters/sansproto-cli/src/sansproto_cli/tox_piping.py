"""A pipe between two friends: a stream in each direction, over one session. docs/protocols/tox.rst, pipes."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice

from sansproto.tox import (
    CustomReceived,
    FriendOffline,
    FriendOnline,
    FriendWritable,
    OfflineReason,
    RelayConnected,
    RelayLost,
    ToxEvent,
    ToxNode,
    Undelivered,
)
from sansproto_threads import Runner

from .exits import CommandFailed, Exit, Interrupted
from .line import Line
from .standard_streams import Input, Output
from .tox_keys import Friend
from .tox_meeting import Meeting

DATA = b"\xa0"
END = DATA
"""Without bytes behind it."""
WRITTEN = b"\xa1"
"""The answer: all before the end was written."""
PIECE = 1372  # bytes behind the id
_TOGETHER = 64  # packets
_PATIENCE = 5.0  # seconds for the last acknowledgement, when all is known to be there

_WHY = {
    OfflineReason.SAID: "The other end left",
    OfflineReason.RESTARTED: "The other end has restarted",
    OfflineReason.SILENT: "Nothing came from the other end for too long",
    OfflineReason.REMOVED: "We left",
}


def cut(data: bytes) -> list[bytes]:
    """Packets of the stream. The last one is empty: each goes as soon as it can."""
    return [DATA + data[at : at + PIECE] for at in range(0, len(data), PIECE)] + [b""]


class Outgoing:
    """What we send, in one session: what comes after its end is for another process. Use it in turns of the runner."""

    def __init__(self, node: ToxNode, friend: bytes) -> None:
        self._node, self._friend = node, friend
        self.session: int | None = None
        """The one of this pipe, as ``FriendOnline`` numbers it."""
        self.sent = self.arrived = 0
        """Bytes of the stream."""
        self.has_ended = False
        """Its end was sent."""
        self._sizes: deque[int] = deque()
        """Of the packets that are not known to have arrived."""

    def take(self, packets: deque[bytes], now: float) -> None:
        """Send as many from the left as fit."""
        if not self.is_open:
            return
        while packets:
            offered = list(islice(packets, _TOGETHER))
            taken = self._node.send_many(self._friend, offered, now)
            for packet in offered[:taken]:
                packets.popleft()
                self.has_ended = self.has_ended or packet == END
                self._sizes.append(len(packet) - 1)
                self.sent += len(packet) - 1
            if taken < len(offered):
                break
        self.count()

    @property
    def is_open(self) -> bool:
        return self.session is not None and self._node.session_number(self._friend) == self.session

    def count(self) -> bool:
        """See what has arrived; is it all?"""
        if self.is_open:
            waiting = self._node.waiting(self._friend)
            while len(self._sizes) > waiting:
                self.arrived += self._sizes.popleft()
        return not self._sizes

    def lose(self, packets: Iterable[bytes]) -> None:
        """The session is over, and all but these has arrived."""
        self.arrived = self.sent - sum(len(packet) - 1 for packet in packets)


class Piping:
    """Between the standard streams and a friend: what one end reads is what the other one writes."""

    def __init__(
        self, meeting: Meeting, runner: Runner[ToxEvent], friend: Friend, output: Output, timeout: float | None = None
    ) -> None:
        self._meeting, self._runner, self._friend, self._output = meeting, runner, friend, output
        self._reporter, self._outgoing = meeting.reporter, Outgoing(meeting.node, friend.real)
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._received = 0
        self._is_heard = self._is_answered = self._is_over = False
        self._answer: deque[bytes] = deque()
        self._rest_until: float | None = None
        self._size, self._shown = _size_of_input(), -1
        self._is_talk = os.isatty(1)

    def run(self, to: tuple[str, int] | None, check: Callable[[], None]) -> None:
        """Raises CommandFailed unless all arrives, in both directions."""
        self._meeting.add_friend(self._runner, self._friend, to)
        source = Input(0, cut, self._send, END)
        line = Line(self._meeting.node, self._runner, check)
        try:
            while not self._is_done():
                event = line.next_event()
                if event is not None:
                    self._tell(event)
                if isinstance(event, FriendOnline | FriendWritable):
                    source.go_on()
                if line.is_empty:
                    self._send(self._answer)
                    self._show_progress()
                    self._meeting.look(self._runner)
        except Interrupted as interrupted:
            if self._outgoing.session is not None:
                self._runner.call(lambda _: self._outgoing.count())
                self._tell_cut("interrupted")
                interrupted.message = f"Interrupted: {self._what_arrived()} Start both ends again."
            raise
        finally:
            source.stop()
            self._reporter.rest()
        sent, received = self._outgoing.sent, self._received
        text = f"Everything has arrived: {sent:,} bytes sent, {received:,} received."
        self._reporter.tell("finished", text, sent=sent, received=received)

    def _send(self, packets: deque[bytes]) -> None:
        if packets:
            self._runner.call(lambda now: self._outgoing.take(packets, now))

    def _is_done(self) -> bool:
        now = time.monotonic()
        if self._outgoing.session is None and self._deadline is not None and now > self._deadline:
            text = "Nobody came: check that the other end is running with our keys, and its own keys and address."
            raise CommandFailed(Exit.NOBODY, text)
        if self._is_over or not (self._is_heard and self._is_answered) or self._answer:
            return self._is_over
        if self._rest_until is None:
            self._rest_until = now + _PATIENCE
        return now > self._rest_until or self._runner.call(lambda _: self._outgoing.count())

    # -- what happens

    def _tell(self, event: ToxEvent) -> None:
        match event:
            case CustomReceived(_, data):
                self._take(data)
            case FriendOnline(session=session) if self._outgoing.session is None:
                self._outgoing.session = session
                self._reporter.tell("connected", "Connected.")
            case Undelivered(packets=packets):
                self._outgoing.lose(packets)
            case FriendOffline(reason=reason):
                self._end(reason)
            case RelayConnected() | RelayLost():
                self._meeting.tell_relay(event)
            case _:
                pass

    def _take(self, data: bytes) -> None:
        if data == END:
            self._is_heard = True
            self._answer.append(WRITTEN)
            text = f"The other end's input is over, and written here: {self._received:,} bytes."
            self._reporter.tell("all_received", text, received=self._received)
        elif data[:1] == DATA and self._is_heard:
            text = "The other end sent bytes after the end of its input: check that it is sansproto."
            raise CommandFailed(Exit.DAMAGED, text)
        elif data[:1] == DATA:
            self._output.message(data[1:])
            self._received += len(data) - 1
        elif data == WRITTEN and self._outgoing.has_ended:
            self._is_answered = True
            sent = self._outgoing.sent
            text = f"Our input is over, and written by the other end: {sent:,} bytes."
            self._reporter.tell("all_arrived", text, sent=sent)

    def _end(self, reason: OfflineReason) -> None:
        """The session is over: all is well if all was written."""
        if self._is_heard and self._is_answered:
            self._is_over = True
            return
        self._tell_cut(reason.name.lower())
        raise CommandFailed(Exit.CUT, f"{_WHY[reason]}: {self._what_arrived()} Start both ends again.")

    def _tell_cut(self, reason: str) -> None:
        sent, arrived, received = self._outgoing.sent, self._outgoing.arrived, self._received
        self._reporter.tell("cut", "", reason=reason, sent=sent, arrived=arrived, received=received)

    def _what_arrived(self) -> str:
        arrived, received = self._outgoing.arrived, self._received
        return f"{arrived:,} bytes are known to have arrived at the other end, {received:,} arrived here."

    def _show_progress(self) -> None:
        """Of our input if it is a file, else of all that passes."""
        if self._outgoing.session is None or self._is_talk:
            return
        self._runner.call(lambda _: self._outgoing.count())
        done = self._outgoing.arrived + (self._received if self._size is None else 0)
        if done != self._shown:
            self._shown = done
            self._reporter.progress(done, self._size)


def _size_of_input() -> int | None:
    """How many bytes it has, if it is a file."""
    with suppress(OSError):
        found = os.fstat(0)
        if stat.S_ISREG(found.st_mode):
            return max(0, found.st_size - os.lseek(0, 0, os.SEEK_CUR))
    return None
