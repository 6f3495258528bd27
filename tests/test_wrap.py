"""A stream session in an endpoint: it has one stream, and its end is told once that stream is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from toys import Line, Lines, LinesEvent

from sansproto.component import Note, Refusal
from sansproto.contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Link,
    OpenStream,
    PauseReading,
    Phase,
    ResumeReading,
    SendBytes,
    Transmit,
)
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.links import LinkDelays, LinkLimits
from sansproto.wrap import WrappedStream

PEER = Address("192.0.2.7", 1234)


def phase_of(core: Any) -> Phase:
    phase: Phase = core.phase
    return phase


def transmits(core: Any) -> list[Transmit]:
    return [*iter(core.next_transmit, None)]


def events(core: Any) -> list[Any]:
    return [*iter(core.next_event, None)]


def wrapped(**options: Any) -> tuple[Lines, WrappedStream[LinesEvent], Link]:
    """A stream session on an open stream that greeted."""
    lines = Lines()
    core: WrappedStream[LinesEvent] = WrappedStream(lines, **options)
    core.connect(PEER, 0.0)
    assert transmits(core) == [OpenStream(Link(1), PEER)]
    core.stream_opened(Link(1), 0.0)
    assert transmits(core) == [SendBytes(Link(1), b"hello\n")]
    return lines, core, Link(1)


def test_a_stream_session_has_one_stream() -> None:
    lines, core, link = wrapped()
    with pytest.raises(LocalProtocolError):
        core.connect(PEER, 0.0)
    other = core.stream_accepted("extra", PEER, 0.0)
    assert AbortTransport(other) in transmits(core)
    core.stream_lost(other, 0.0)
    assert phase_of(core) == lines.phase == Phase.OPEN
    assert list(core.timers()) == []
    core.stream_lost(link, 1.0, detail="reset")
    assert events(core) == [Closed(CloseCause.LOST, detail="reset")]
    assert phase_of(core) == Phase.CLOSED
    assert core.ending == lines.ending == Closed(CloseCause.LOST, detail="reset")


def test_closed_waits_for_the_link_of_a_stream_session() -> None:
    lines, core, link = wrapped()
    core.receive_data(link, b"one\nbye\nrest", 1.0)
    core.receive_data(link, b"late", 1.0)
    core.receive_eof(link, 1.0)
    assert events(core) == [Line(b"one")]
    assert phase_of(core) == Phase.CLOSING
    assert transmits(core) == [CloseTransport(link)]
    assert core.next_timeout() == 1.0 + LinkDelays().linger
    core.stream_lost(link, 2.0)
    assert events(core) == [Closed(CloseCause.REMOTE)]
    assert phase_of(core) == Phase.CLOSED
    assert core.next_timeout() is None
    assert lines.take_trailing_data() == b"rest"


def test_a_stream_session_with_room_for_more_streams_takes_no_second_one() -> None:
    _, core, _ = wrapped(limits=LinkLimits(events=1, links=5))
    other = core.stream_accepted("extra", PEER, 0.0)
    assert transmits(core) == [AbortTransport(other)]


def test_the_link_of_a_session_that_ends_without_a_word_is_closed() -> None:
    lines, core, link = wrapped()
    lines._shut = True
    lines.close(0.0)
    assert transmits(core) == [CloseTransport(link)]


def test_a_stream_session_that_is_full_is_not_read() -> None:
    _, core, link = wrapped()
    core.receive_data(link, b"x\n" * 10, 0.0)
    assert transmits(core) == [PauseReading(link)]
    assert len(events(core)) == 10
    assert transmits(core) == [ResumeReading(link)]


def test_a_stream_session_ends_on_a_blocked_link() -> None:
    lines, core, link = wrapped()
    core.stream_blocked(link, 0.0)
    lines.write(b"the end", 0.0)
    lines.finish(0.0)
    assert transmits(core) == []
    core.receive_data(link, b"bye\n", 0.0)
    assert transmits(core) == []
    core.stream_unblocked(link, 1.0)
    assert transmits(core) == [SendBytes(link, b"the end\n"), CloseTransport(link)]


def test_a_stream_session_half_closes() -> None:
    lines, core, link = wrapped()
    lines.finish(0.0)
    assert transmits(core) == [CloseWrite(link)]
    core.receive_eof(link, 0.0)
    assert transmits(core) == [CloseTransport(link)]


def test_a_stream_session_aborts() -> None:
    _, core, link = wrapped()
    core.abort()
    assert transmits(core) == [AbortTransport(link)]
    assert events(core) == [Closed(CloseCause.ABORTED)]


def test_an_abort_ends_a_stream_session_also_while_its_last_words_wait() -> None:
    """Its own end is known by then, and was held back for the link: nobody has to wait for that any more."""
    _, core, link = wrapped()
    core.stream_blocked(link, 0.0)
    core.receive_data(link, b"bye\n", 0.0)
    assert (events(core), phase_of(core)) == ([], Phase.CLOSING)
    core.abort()
    assert (events(core), phase_of(core)) == ([Closed(CloseCause.REMOTE)], Phase.CLOSED)
    assert transmits(core) == [AbortTransport(link)]
    core.stream_lost(link, 1.0)
    assert (events(core), core.timers()) == ([], {})


class Rude(Lines):
    """Resets the stream instead of closing it."""

    def next_transmit(self) -> Transmit | None:
        transmit = super().next_transmit()
        return AbortTransport(Link(0)) if isinstance(transmit, CloseTransport | CloseWrite) else transmit


@pytest.mark.parametrize("blocked", [False, True])
def test_a_stream_session_resets_also_what_is_blocked(blocked: bool) -> None:
    core = WrappedStream(Rude())
    link = core.stream_accepted("lines", PEER, 0.0)
    transmits(core)
    if blocked:
        core.stream_blocked(link, 0.0)
    core.receive_data(link, b"bye\n", 0.0)
    assert transmits(core) == [AbortTransport(link)]


def test_a_stream_session_asks_for_a_reset_while_it_lives() -> None:
    rude = Rude()
    core = WrappedStream(rude)
    link = core.stream_accepted("lines", PEER, 0.0)
    transmits(core)
    rude.finish(0.0)
    assert transmits(core) == [AbortTransport(link)]
    core.stream_lost(link, 0.0)
    assert events(core) == [Closed(CloseCause.LOST)]


def test_a_stream_session_closes_before_it_is_connected() -> None:
    core = WrappedStream(Lines())
    core.close(0.0)
    assert events(core) == [Closed(CloseCause.LOCAL)]
    with pytest.raises(NotOpen):
        core.connect(PEER, 0.0)
    waiting = WrappedStream(Patient())
    waiting.close(0.0)
    assert events(waiting) == [Closed(CloseCause.LOST)]
    opening = WrappedStream(Patient())
    opening.connect(PEER, 0.0)
    opening.close(0.0)
    assert transmits(opening) == [OpenStream(Link(1), PEER), AbortTransport(Link(1))]
    assert events(opening) == [Closed(CloseCause.LOST)]


class Patient(Lines):
    """Waits for the other end to close, too."""

    def close(self, now: float) -> None:
        if self.phase is Phase.OPEN:
            self.finish(now)


def test_a_stream_session_that_cannot_connect_is_lost() -> None:
    core = WrappedStream(Lines(), delays=LinkDelays(connect=5.0))
    core.connect(PEER, 0.0)
    core.handle_timeout(5.0)
    assert transmits(core) == [OpenStream(Link(1), PEER), AbortTransport(Link(1))]
    assert events(core) == [Closed(CloseCause.LOST, detail="no connection in time")]
    gone = WrappedStream(Lines())
    gone.connect(PEER, 0.0)
    gone.transport_lost(1.0, detail="no network")
    assert transmits(gone) == []
    assert [event.cause for event in events(gone)] == [CloseCause.LOST]
    gone.transport_lost(1.0)
    assert gone.stats.dropped["closed"] == 1


class Impatient(Lines):
    """Ends nine seconds after the beginning."""

    def next_timeout(self) -> float | None:
        return None if self.phase is Phase.CLOSED else 9.0

    def timers(self) -> Mapping[str, float]:
        return {"patience": 9.0}

    def handle_timeout(self, now: float) -> None:
        if now >= 9.0:
            self.end(Closed(CloseCause.TIMEOUT))


def test_the_timers_of_a_stream_session_are_its_own_and_those_of_its_link() -> None:
    core = WrappedStream(Impatient(), delays=LinkDelays(connect=5.0, linger=3.0))
    core.connect(PEER, 0.0)
    assert core.timers() == {"links.1.CONNECT": 5.0, "patience": 9.0}
    assert core.next_timeout() == 5.0
    core.stream_opened(Link(1), 1.0)
    assert core.next_timeout() == 9.0
    core.handle_timeout(8.0)
    assert phase_of(core) is Phase.OPEN
    core.handle_timeout(9.0)
    assert transmits(core)[-1] == CloseTransport(Link(1))
    assert core.next_timeout() == 12.0
    core.handle_timeout(12.0)
    core.stream_lost(Link(1), 12.0)
    assert events(core) == [Closed(CloseCause.TIMEOUT)]


def test_a_restored_one_goes_on_with_its_session_and_its_link() -> None:
    lines, core, link = wrapped()
    core.stream_blocked(link, 1.0)
    lines.write(b"later", 1.0)
    core.receive_data(link, b"one\ntw", 1.0)
    again: WrappedStream[LinesEvent] = WrappedStream.restore(core.snapshot(), session=Lines.restore)
    assert again.snapshot() == core.snapshot()
    assert again.next_timeout() == core.next_timeout() == 1.0 + LinkDelays().stalled
    for one in (core, again):
        one.stream_unblocked(link, 2.0)
        one.receive_data(link, b"o\n", 2.0)
        assert transmits(one) == [SendBytes(link, b"later\n")]
        assert events(one) == [Line(b"one"), Line(b"two")]
        one.receive_data(Link(9), b"x", 2.0)
    assert again.stats == core.stats
    assert again.stats.dropped == {"late data": 1}


class Lasting(Lines):
    """Lives on when the other end has finished, and resets the stream when it is told to."""

    _resets: bool

    def __init__(self) -> None:
        super().__init__()
        self._resets = False

    def receive_eof(self, now: float) -> None:
        self.emit(Line(b"the end"))

    def reset(self) -> None:
        self._resets = True

    def next_transmit(self) -> Transmit | None:
        return super().next_transmit() or (AbortTransport(Link(0)) if self._resets else None)


def test_what_comes_behind_the_end_of_a_stream_is_dropped() -> None:
    core = WrappedStream(Lasting())
    link = core.stream_accepted("lines", PEER, 0.0)
    for _ in range(2):
        core.receive_eof(link, 1.0)
        core.receive_data(link, b"late\n", 1.0)
    assert events(core) == [Line(b"the end")]
    assert core.stats.dropped == {"late data": 3}


def test_a_stream_session_may_reset_what_it_has_half_closed() -> None:
    lasting = Lasting()
    core = WrappedStream(lasting)
    link = core.stream_accepted("lines", PEER, 0.0)
    lasting.finish(0.0)
    assert transmits(core)[-1] == CloseWrite(link)
    lasting.reset()
    assert transmits(core) == [AbortTransport(link)]


def test_a_stream_session_closes_once_and_what_it_drops_then_is_counted_with_the_rest() -> None:
    lines, core, link = wrapped()
    for _ in range(2):
        core.close(2.0)
    core.receive_data(link, b"late\n", 2.0)
    core.stream_lost(link, 2.0)
    core.abort()
    lines.receive_data(b"later\n", 3.0)
    assert events(core) == [Closed(CloseCause.LOCAL)]
    assert lines.ending == core.ending == Closed(CloseCause.LOCAL)
    assert core.stats.dropped == {"late data": 1, "closed": 1}


def test_what_the_session_counts_is_counted_in_the_endpoint() -> None:
    lines, core, _ = wrapped()
    lines.count_refusal(Refusal("too much", ref="x"))
    lines.count_note(Note("strange", ref="x"))
    assert (core.stats.refused, core.stats.noted) == ({"too much": 1}, {"strange": 1})


def test_an_empty_read_is_not_the_end() -> None:
    lines, core, link = wrapped()
    core.receive_data(link, b"", 1.0)
    assert phase_of(lines) is Phase.OPEN
    core.receive_eof(link, 1.0)
    assert phase_of(lines) is Phase.CLOSED


def test_bytes_are_counted_where_they_pass_and_packets_in_the_session() -> None:
    _, core, link = wrapped()
    core.receive_data(link, b"one\ntwo\n", 1.0)
    assert events(core) == [Line(b"one"), Line(b"two")]
    assert (core.stats.bytes_received, core.stats.packets_received, core.stats.bytes_sent) == (8, 2, 6)
