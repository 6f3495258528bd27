"""What the shared core promises to protocols: timers, snapshots, tables, links, and endpoints without any."""

from __future__ import annotations

import copy
import json
import pickle
import weakref
from collections import OrderedDict, deque
from enum import Enum, IntFlag
from itertools import permutations
from math import inf, nan, nextafter
from sys import float_info
from typing import Annotated, Any, Never, NewType

import attrs
import pytest
from echo import GuestLeft, GuestSaid, Message
from echo.guest import I as GuestInput
from hypothesis import given
from hypothesis import strategies as st
from toys import Beat, Echo, ToyLimits

from sansproto.contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Instant,
    Link,
    OpenStream,
    Path,
    PauseAccepting,
    PauseReading,
    Phase,
    ResumeAccepting,
    ResumeReading,
    SendBytes,
    Transmit,
)
from sansproto.errors import Fault, LocalProtocolError, NotOpen, WireError
from sansproto.events import CloseCause, Closed, DataReceived
from sansproto.links import LinkDelays, LinkLimits, LinkState, Mark, Pull, PullAnew, StreamLink
from sansproto.snapshot import CACHED, codec
from sansproto.streams import StreamEndpoint
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.timers import Armed, TimerTable
from sansproto.trace import JsonSeqWriter, TraceRecord

PEER = Address("192.0.2.7", 1234)


def echo(trace: Any = None, **limits: int) -> Echo:
    return Echo(entropy=ScriptedEntropy(seed=b"links"), limits=ToyLimits(**limits), trace=trace)


def guest(core: Echo, now: float = 0.0) -> Link:
    """A link on which somebody has greeted."""
    link = core.stream_accepted("echo", PEER, now)
    core.receive_data(link, b"\x02hi", now)
    assert core.next_transmit() == SendBytes(link, Message(f"hi {core.guests[link].name}".encode()).encode())
    return link


def phase_of(core: Any) -> Phase:
    phase: Phase = core.phase
    return phase


def transmits(core: Any) -> list[Transmit]:
    found: list[Transmit] = []
    while (transmit := core.next_transmit()) is not None:
        found.append(transmit)
    return found


def events(core: Any) -> list[Any]:
    found: list[Any] = []
    while (event := core.next_event()) is not None:
        found.append(event)
    return found


# -- timers

_KEYS = st.integers(0, 3)
_STEPS = st.one_of(
    st.tuples(st.just("set"), _KEYS, st.integers(0, 20)),
    st.tuples(st.just("cancel"), _KEYS, st.just(0)),
    st.tuples(st.just("due"), st.just(0), st.integers(0, 20)),
)


class Holding:
    """A part, by what it needs to have timers."""

    armed: Armed | None = None


@given(st.integers(0, 80), st.lists(_STEPS, max_size=80))
def test_timers_do_what_a_sorted_list_does(moves: int, steps: list[tuple[str, int, int]]) -> None:
    table, parts = TimerTable[Holding, int](), [Holding(), Holding()]
    for number in range(moves):
        table.set(parts[0], 99, float(number % 10 - number))  # leaves entries behind
    table.cancel(parts[0], 99)
    model: dict[int, tuple[float, int]] = {}
    for number, (what, key, at) in enumerate(steps):
        part, name = parts[key % 2], key // 2
        if what == "set":
            table.set(part, name, at / 16)
            model[key] = (at / 16, number)
        elif what == "cancel":
            table.cancel(part, name)
            model.pop(key, None)
        else:
            first = min(model, key=lambda key: model[key]) if model else None
            expected = first if first is not None and model[first][0] <= at / 16 else None
            due = table.pop_due(at / 16)
            assert due == (None if expected is None else (parts[expected % 2], expected // 2))
            if expected is not None:
                del model[expected]
        assert table.next() == min((at for at, _ in model.values()), default=None)
        left = [(2 * name + parts.index(part), at) for (part, name), at in table]
        assert left == [(key, model[key][0]) for key in sorted(model, key=lambda key: model[key][1])]
        assert len(table) == len(model)
    table.clear()
    assert (table.next(), [*table], len(table), [part.armed for part in parts]) == (None, [], 0, [None, None])


@pytest.mark.parametrize("order", [*permutations("abc")])
def test_the_timers_of_a_part_are_disarmed_in_any_order(order: tuple[str, ...]) -> None:
    table, part = TimerTable[Holding, str](), Holding()
    for at, name in enumerate("abc"):
        table.set(part, name, at / 100)
    for count, name in enumerate(order, 1):
        table.cancel(part, name)
        assert {name for (_, name), _ in table} == {*order[count:]}
    assert part.armed is None


def test_a_timer_that_came_early_leaves_nothing_behind() -> None:
    table, part = TimerTable[Holding, str](), Holding()
    for at in (10.0, 5.0):
        table.set(part, "key", at)
    assert table.pop_due(7.0) == (part, "key")
    assert table.next() is None
    for at in (20.0, 15.0, 18.0):
        table.set(part, "key", at)
    assert table.next() == 18.0


def test_a_disarmed_timer_keeps_nothing_alive() -> None:
    table, part = TimerTable[Holding, str](), Holding()
    gone = weakref.ref(part)
    for at in (10.0, 5.0):
        table.set(part, "key", at)
    table.cancel(part, "key")
    del part
    assert gone() is None
    assert table.next() is None


def test_nothing_is_left_of_timers_that_move_or_are_disarmed() -> None:
    table, part = TimerTable[Holding, str](), Holding()
    for round_ in range(1000):
        table.set(part, "late", 1e9 - round_)  # ever earlier
        assert table.next() == 1e9 - round_
    for round_ in range(1000):
        table.set(part, "cancelled", 1e6 + round_)
        table.cancel(part, "cancelled")
        table.set(part, "fired", 0.0)
        assert table.pop_due(0.0) == (part, "fired")
        assert sum(map(len, table._slices.values())) == 1
        assert len(table._numbers) == len(table._slices) <= 67
    assert [*table] == [((part, "late"), 1e9 - 999)]


def test_a_timer_that_moved_away_takes_no_other_one_with_it_when_empty_slices_are_swept() -> None:
    table, part = TimerTable[Holding, str](), Holding()
    table.set(part, "moves", 0.0)
    table.set(part, "stays", 5.0)
    while len(table._numbers) <= len(table) + 64:
        table.set(part, "cancelled", 10.0 + len(table._numbers))
        table.cancel(part, "cancelled")
    table.set(part, "moves", 1000.0)
    assert [table.pop_due(inf) for _ in range(3)] == [(part, "stays"), (part, "moves"), None]


def test_the_latest_deadlines_are_told_apart() -> None:
    table, part = TimerTable[Holding, str](), Holding()
    for name, at in (("last", float_info.max), ("first", 1e300), ("soon", 1.0)):
        table.set(part, name, at)
    assert [table.pop_due(inf) for _ in range(4)] == [(part, "soon"), (part, "first"), (part, "last"), None]


def test_of_many_timers_few_are_compared() -> None:
    table, parts = TimerTable[Holding, str](), [Holding() for _ in range(10_000)]
    for number, part in enumerate(parts):
        table.set(part, "key", number * 7919 % 10_000 / 1250)  # in 8 s
    assert max(map(len, table._slices.values())) <= 40
    assert [table.pop_due(8.0) for _ in parts] == [(parts[at * 7679 % 10_000], "key") for at in range(10_000)]
    assert table.pop_due(8.0) is None


# -- snapshots


class Colour(Enum):
    RED = 0
    BLUE = 1


Number = NewType("Number", int)


@attrs.frozen
class Point:
    x: int
    y: Instant | None = None


@attrs.define
class Everything:
    plain: str
    number: Number
    when: Instant
    colour: Colour | None
    any_enum: Enum | None
    choice: Point | Colour | Number | Instant | None
    scalar: int | bytes | None
    fixed: tuple[int, Instant]
    many: tuple[Point, ...]
    sure: Annotated[int, "counted"]
    queue: deque[Point | Colour]
    table: OrderedDict[Number, list[Instant]]
    members: set[int]
    raw: bytearray
    _private: frozenset[str] = frozenset()
    cache: Annotated[object, CACHED] = None


_times = st.integers(-1000, 1000).map(float)
_points = st.builds(Point, st.integers(), st.none() | _times)
_everything = st.builds(
    Everything,
    plain=st.text(),
    number=st.integers().map(Number),
    when=_times,
    colour=st.none() | st.sampled_from(Colour),
    any_enum=st.none() | st.sampled_from(Fault),
    choice=st.none() | _points | st.sampled_from(Colour) | st.integers() | _times,
    scalar=st.none() | st.integers() | st.binary(),
    fixed=st.tuples(st.integers(), _times),
    many=st.lists(_points).map(tuple),
    sure=st.integers(),
    queue=st.lists(_points | st.sampled_from(Colour)).map(deque),
    table=st.dictionaries(st.integers(), st.lists(_times)).map(OrderedDict),
    members=st.sets(st.integers()),
    raw=st.binary().map(bytearray),
    private=st.frozensets(st.text(max_size=3)),
)


@given(_everything, _times)
def test_what_is_frozen_thaws(value: Everything, base: float) -> None:
    freeze, thaw = codec(Everything)
    frozen = freeze(value, base)
    assert thaw(frozen, base) == value
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    hash(frozen)
    later = thaw(frozen, base + 100.0)
    assert later.when == value.when + 100.0
    assert freeze(later, base + 100.0) == frozen  # states that differ in when they were reached only


@pytest.mark.parametrize("kind", [object, dict, type(None) | object, "no type", memoryview, Any, type[int]])
def test_what_has_no_codec_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError):
        codec(kind)


def test_enums_with_the_same_numbers_stay_apart() -> None:
    freeze, thaw = codec(Colour)
    assert thaw(freeze(Colour.BLUE, 0.0), 0.0) is Colour.BLUE


def test_flags_thaw_together() -> None:
    class Rights(IntFlag):
        READ = 1
        WRITE = 2

    freeze, thaw = codec(Rights)
    assert thaw(freeze(Rights.READ | Rights.WRITE, 0.0), 0.0) == Rights.READ | Rights.WRITE


# -- errors


@pytest.mark.parametrize(
    "error",
    [
        LocalProtocolError("send", "OPEN"),
        LocalProtocolError("send", "OPEN", "too much"),
        NotOpen("send", "CLOSED"),
        WireError(Fault.TRUNCATED, 3, "size", need=4),
        WireError(Fault.BAD_TYPE),
    ],
)
def test_errors_survive_copies_and_pickles(error: Exception) -> None:
    for other in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), vars(other)) == (str(error), vars(error))
    assert str(error)


# -- tables


def test_an_input_that_is_rejected_in_a_step_raises() -> None:
    core = echo()
    link = core.stream_accepted("echo", PEER, 0.0)
    core.guests[link].post(GuestInput.SAY("x"))
    with pytest.raises(LocalProtocolError, match="has not greeted"):
        core.run()
    with pytest.raises(LocalProtocolError):
        core.say(link, "x", 0.0)
    with pytest.raises(NotOpen):
        core.say(Link(99), "x", 0.0)


def test_a_violation_does_what_the_table_has_for_it() -> None:
    core = echo()
    link = core.stream_accepted("echo", PEER, 0.0)
    core.receive_data(link, b"\x05hello", 0.0)  # without a greeting
    assert transmits(core) == [AbortTransport(link)]
    assert events(core) == []


def test_the_trace_says_what_happened() -> None:
    records: list[TraceRecord] = []
    lines: list[str] = []
    core = echo(trace=records.append)
    core.receive_data(guest(core), b"\x05hello", 1.0)
    core.stream_lost(Link(99), 2.0)
    writer = JsonSeqWriter(lines.append)
    for record in records:
        writer(record)
    names = [json.loads(line)["name"] for line in lines]
    assert set(names) == {"Stepped", "Classified", "PacketSeen", "Dropped"}
    assert json.loads(lines[-1]) == {"time": 2.0, "name": "Dropped", "data": {"reason": "unknown link", "where": 99}}


def test_a_time_that_is_none_is_not_taken() -> None:
    """Timers that begin anew would come due for ever in an infinite present."""

    core = echo()
    link = core.stream_accepted("echo", PEER, 3.0)
    for now in (inf, -inf, nan):
        core.handle_timeout(now)
        core.receive_data(link, b"", now)
        assert core.timers() == {f"guests.{link}.GREET": 13.0}
    core.handle_timeout(13.0)
    assert core.timers() == {}


def test_a_delay_is_a_finite_number_of_seconds() -> None:
    """Neither a selector nor an event loop waits for longer."""
    for never in (inf, nan, 0.0, -1.0):
        with pytest.raises(ValueError, match=r"'stalled' must be [<>] (0|inf)"):
            LinkDelays(stalled=never)


def test_a_limit_that_leaves_no_room_is_refused() -> None:
    for limit in ("links", "link_queue", "link_packets", "events"):
        for nothing in (0, -1):
            with pytest.raises(ValueError, match=f"'{limit}' must be >= 1"):
                LinkLimits(**{limit: nothing})


def test_timers_have_names() -> None:
    core = echo()
    link = core.stream_accepted("echo", PEER, 3.0)
    assert core.timers() == {f"guests.{link}.GREET": 13.0}


# -- links


def test_a_link_that_the_application_starves_loses_nothing_when_it_ends() -> None:
    core = echo(events=2)
    link = guest(core)
    core.receive_data(link, b"\x01a" * 10, 0.0)
    core.receive_data(link, b"\x01b", 0.0)
    core.receive_eof(link, 0.0)
    core.receive_eof(link, 0.0)
    assert len(core._events) == 2
    core.stream_lost(link, 1.0)
    assert events(core) == [*[GuestSaid(link, "a")] * 10, GuestSaid(link, "b"), GuestLeft(link)]


@pytest.mark.parametrize(
    ("size", "most"), [(2048, 32), (100, 256)], ids=["64 KiB", "as many as that if each had 256 bytes"]
)
def test_of_links_that_wait_one_call_looks_at_so_many(size: int, most: int) -> None:
    """Large packets, of which as many as one call may take would be too much; or parts of some, which are none."""

    class Large(Echo):
        is_large = False

        def emit(self, event: Any) -> None:
            if event.text:
                super().emit(event)

        def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
            if not self.is_large:
                return super().link_decode(link, data, offset)
            if len(data) - offset < 2048:
                raise WireError(Fault.TRUNCATED, len(data))
            return Message(b""), offset + 2048

    core = Large(entropy=ScriptedEntropy(), limits=ToyLimits(events=2, links=3 * most + 1), trace=None)
    links = [guest(core) for _ in range(3 * most)]
    core.receive_data(links[0], b"\x01a" * 2, 0.0)
    core.is_large = True
    for link in links[1:]:
        core.receive_data(link, bytes(size), 0.0)
    before = len(core._waiting)
    core.next_event()
    assert before - len(core._waiting) == most


@pytest.mark.unmeasured
def test_of_many_links_that_wait_for_the_application_no_call_takes_more_than_some() -> None:
    """What they had sent may give no event: then the endpoint asks to be woken until nothing is left of it."""

    class Discreet(Echo):
        def emit(self, event: Any) -> None:
            if event.text:
                super().emit(event)

    core = Discreet(entropy=ScriptedEntropy(), limits=ToyLimits(events=2, links=41, link_queue=10**6))
    links = [guest(core) for _ in range(40)]
    core.receive_data(links[0], b"\x01a" * 2, 0.0)
    for link in links[1:]:
        core.receive_data(link, bytes(8192), 0.0)  # as many packets
    worst = calls = 0
    before = core.stats.packets_received
    while core._waiting:
        assert calls < 39 * 8192 // 64 + 40
        calls += 1
        if core.next_event() is None:
            at = core.next_timeout()
            assert at is not None
            core.handle_timeout(at)
            assert (core.next_timeout() or inf) > at
        worst = max(worst, core.stats.packets_received - before)
        before = core.stats.packets_received
    assert worst == ToyLimits().link_packets
    assert all(not core.links[link].inbox for link in links)
    assert core.next_timeout() is None


def test_who_is_not_to_be_read_is_paused_before_others_get_their_output() -> None:
    """Else it would be read on: a loop looks at its sockets again before it has carried out everything."""
    core = echo(events=2, links=40)
    links = [guest(core) for _ in range(30)]
    for link in links:
        core.say(link, "something", 0.0)
    core.receive_data(links[7], b"\x01a" * 3, 0.0)
    assert core.next_transmit() == PauseReading(links[7])
    assert len(events(core)) == 3
    assert transmits(core).count(ResumeReading(links[7])) == 1
    core.receive_data(links[8], b"\x01a" * 3, 0.0)
    assert len(events(core)) == 3
    assert not [what for what in transmits(core) if not isinstance(what, SendBytes)]


def test_reading_pauses_also_on_a_blocked_link() -> None:
    core = echo(events=2)
    link = guest(core)
    core.stream_blocked(link, 0.0)
    core.receive_data(link, b"\x01a" * 3, 0.0)
    assert transmits(core) == [PauseReading(link)]
    assert len(events(core)) == 3
    assert transmits(core) == [ResumeReading(link)]
    core.stream_unblocked(link, 1.0)
    assert transmits(core) == [SendBytes(link, b"\x01a\x01a\x01a")]


def test_a_link_held_by_the_protocol_stays_paused_when_events_were_popped() -> None:
    core = echo(events=1)
    link = guest(core)
    core.links[link].pause()
    core.run()
    core.receive_data(link, b"\x01a\x01b", 0.0)
    assert len(events(core)) == 2
    assert [what for what in transmits(core) if not isinstance(what, SendBytes)] == [PauseReading(link)]
    core.links[link].resume()
    core.run()
    assert transmits(core) == [ResumeReading(link)]


def test_a_halted_link_is_not_looked_at_before_it_goes_on() -> None:
    core = echo()
    link, other = guest(core), guest(core)
    core.links[link].halt()
    core.run()
    core.receive_data(link, b"\x01a\x01b", 0.0)
    core.receive_data(other, b"\x01c", 0.0)
    core.receive_eof(link, 0.0)
    assert [event.text for event in events(core)] == ["c"]
    assert PauseReading(link) in transmits(core)
    core.handle_timeout(1.0)
    assert events(core) == []
    core.links[link].go_on()
    core.run()
    assert events(core) == []
    assert core.next_timeout() == nextafter(core.clock, inf)
    core.handle_timeout(2.0)
    assert [event.text for event in events(core)] == ["a", "b"]
    assert core.links[link].state is LinkState.DRAINING  # the end comes behind that


def test_what_a_halted_link_has_sent_is_not_looked_at_when_it_is_lost() -> None:
    core = echo()
    link = guest(core)
    core.links[link].halt()
    core.receive_data(link, b"\x01a", 0.0)
    core.stream_lost(link, 0.0)
    assert events(core) == [GuestLeft(link)]
    assert not core.links


@pytest.mark.parametrize("is_short", [False, True])
def test_a_link_may_be_halted_by_a_packet_of_its_own(is_short: bool) -> None:
    class Hesitant(Echo):
        def link_packet(self, link: StreamLink, packet: object) -> None:
            super().link_packet(link, packet)
            link.halt()
            if is_short:
                link.go_on()

    core = Hesitant(entropy=ScriptedEntropy(), limits=ToyLimits())
    link = core.stream_accepted("echo", PEER, 0.0)
    core.receive_data(link, b"\x02hi\x01a\x01b", 0.0)
    assert len(events(core)) == (2 if is_short else 0)
    assert PauseReading(link) in transmits(core) or is_short
    for _ in range(2):
        core.links[link].go_on()
        core.run()
        core.handle_timeout(core.clock + 1.0)
    assert len(events(core)) == (0 if is_short else 2)
    assert core.links[link].inbox == b""


def test_nothing_is_read_behind_bytes_that_are_no_packet() -> None:
    class Tolerant(Echo):
        def link_broken(self, link: StreamLink, error: WireError) -> None:
            link.finish()

    core = Tolerant(entropy=ScriptedEntropy())
    link = guest(core)
    core.receive_data(link, b"\xff\x01a", 0.0)
    core.receive_data(link, b"\x01b", 0.0)
    assert events(core) == []
    assert transmits(core) == [CloseWrite(link)]


def test_a_closing_link_takes_no_more_output() -> None:
    core = echo(link_queue=100)
    link = core.links[guest(core)]
    core.stream_blocked(link.key, 0.0)
    link.write(b"farewell")
    link.write(b"")
    link.close()
    core.run()
    for _ in range(100):
        link.write(b"more and more")
    assert link.queued == 8
    core.stream_unblocked(link.key, 0.0)
    assert transmits(core) == [SendBytes(link.key, b"farewell"), CloseTransport(link.key)]
    link.close()
    core.stream_lost(link.key, 0.0)
    link.close()
    assert core.links == {}


def test_the_slow_link_is_cut() -> None:
    core = echo(link_queue=100)
    link = guest(core)
    core.say(link, "x" * 60, 0.0)
    core.say(link, "x" * 60, 0.0)
    assert transmits(core) == [AbortTransport(link)]


def test_what_is_stuck_is_cut() -> None:
    core = echo()
    blocked, unread = guest(core), guest(core)
    core.stream_blocked(blocked, 0.0)
    core.links[unread].pause()
    core.run()
    core.dial(PEER, 0.0)
    asked = transmits(core)
    assert PauseReading(unread) in asked
    assert asked[0] == OpenStream(Link(3), PEER)
    core.handle_timeout(30.0)
    assert transmits(core) == [AbortTransport(Link(3)), AbortTransport(blocked), AbortTransport(unread)]
    core.close(31.0)
    assert phase_of(core) == Phase.CLOSING
    for link in (blocked, unread, Link(3)):
        core.stream_lost(link, 31.0)
    assert events(core)[-1] == Closed(CloseCause.LOCAL)


def test_more_connections_than_there_may_be_are_refused() -> None:
    core = echo(links=2)
    links = [core.stream_accepted("echo", PEER, 0.0) for _ in range(4)]
    assert transmits(core) == [PauseAccepting("echo"), AbortTransport(links[2]), AbortTransport(links[3])]
    assert len(core.guests) == 2
    for link in links[:2]:
        core.stream_lost(link, 0.0)
    assert transmits(core) == []
    core.stream_lost(links[2], 0.0)
    assert transmits(core) == [ResumeAccepting("echo")]


def test_when_the_transport_is_lost_nothing_is_asked_for_any_more() -> None:
    class Stubborn(Echo):
        def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
            self.open_link(PEER)

    core = Stubborn(entropy=ScriptedEntropy())
    core.dial(PEER, 0.0)
    core.transport_lost(1.0, detail="no network")
    assert transmits(core) == []
    assert events(core) == [Closed(CloseCause.LOST, detail="no network")]
    assert core.next_timeout() is None
    core.transport_lost(1.0)
    core.abort()
    assert events(core) == []
    core.stream_lost(core.stream_accepted("echo", PEER, 2.0), 2.0)
    assert core.links == {}


def test_a_link_that_is_gone_is_skipped_in_the_queue_of_output() -> None:
    core = echo()
    one, two = guest(core), guest(core)
    core.say(one, "lost", 0.0)
    core.say(two, "kept", 0.0)
    core.stream_lost(one, 0.0)
    assert transmits(core) == [SendBytes(two, b"\x04kept")]


class Plain(StreamEndpoint[Closed, Never]):
    """An endpoint that leaves everything to its base."""

    def __init__(self, *, link_queue: int = 1000) -> None:
        limits = LinkLimits(events=1, links=9, link_queue=link_queue)
        super().__init__(entropy=None, delays=LinkDelays(), limits=limits, trace=None)


def test_an_endpoint_that_does_not_listen_refuses() -> None:
    core = Plain()
    link = core.stream_accepted("?", PEER, 0.0)
    assert transmits(core) == [AbortTransport(link)]
    core.stream_lost(link, 0.0)
    path = Path("udp", "192.0.2.1", 1)
    for _ in range(2):
        core.receive_datagram(b"x", path, 0.0)
        core.datagram_failed(path, 0.0)
        core.socket_bound("udp", PEER, 0.0)
        core.looked_up(1, (), 0.0)
        core.abort()
    assert core.stats.dropped == {"unexpected datagram": 1, "unexpected report": 3, "closed": 4}


def test_an_endpoint_without_packets_reads_none() -> None:
    core = Plain()
    link, other = opened(core), opened(core)
    core.receive_data(link.key, b"what?", 0.0)
    core.receive_eof(link.key, 0.0)
    core.link_packet(other, b"")
    core.receive_eof(other.key, 0.0)
    assert link.state is other.state is LinkState.OPEN
    core.transport_lost(0.0)
    assert events(core) == [Closed(CloseCause.LOST)]


class Hose(Plain):
    """Sends what it has in hand, pulled when there is room."""

    stock: list[bytes]

    def __init__(self, *stock: bytes) -> None:
        super().__init__()
        self.stock = [*stock]

    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None:
        return self.stock.pop(0) if self.stock and mark != PullAnew(2) else None


def opened(core: Plain) -> StreamLink:
    link = core.open_link(PEER)
    core.run()
    assert core.next_transmit() == OpenStream(link.key, PEER)
    core.stream_opened(link.key, 0.0)
    return link


def test_output_is_pulled_at_its_mark_in_order() -> None:
    core = Hose(b"pulled", b"too")
    link = opened(core)
    link.write(b"one ")
    link.write(b"two ")
    link.mark(Pull(1))
    link.mark(PullAnew(2))
    link.write(b"three")
    sent = [what.data for what in transmits(core) if isinstance(what, SendBytes)]
    assert sent == [b"one two ", b"pulled", b"too", b"three"]
    core.stock = [b"on and on"]
    core.offer(link)
    assert transmits(core) == [SendBytes(link.key, b"on and on")]
    link.finish()
    core.stock = [b"never"]
    assert transmits(core) == [CloseWrite(link.key)]


def test_small_packets_go_out_together_up_to_the_size_of_a_write() -> None:
    core = Plain(link_queue=1 << 20)
    link = opened(core)
    for _ in range(100):
        link.write(bytes(3000))
    sizes = [len(what.data) for what in transmits(core) if isinstance(what, SendBytes)]
    assert sum(sizes) == 300_000
    assert max(sizes) < 70_000
    assert len(sizes) == 5


def test_a_link_that_feeds_a_slow_one_is_paused() -> None:
    core = Plain()
    source, target = opened(core), opened(core)
    core.stream_blocked(target.key, 0.0)
    source.relay_to(target, bytes(400))
    core.run()
    assert transmits(core) == []
    for _ in range(2):
        source.relay_to(target, bytes(400))
        core.run()
    assert transmits(core) == [PauseReading(source.key)]
    core.stream_unblocked(target.key, 1.0)
    assert set(map(type, transmits(core))) == {SendBytes, ResumeReading}
    for gone in (source, target):
        core.stream_blocked(target.key, 2.0)
        source.relay_to(target, bytes(900))
        core.run()
        core.stream_lost(gone.key, 2.0)
        core.stream_unblocked(target.key, 3.0)
        transmits(core)
    source.relay_to(target, b"nobody")
    assert core.links == {}


def test_only_what_the_transport_says_can_be_a_stale_report() -> None:
    """Not what the endpoint has to say to links that close already: people look for a broken adapter then."""
    core = Plain()
    source, target = opened(core), opened(core)
    core.stream_blocked(target.key, 0.0)
    source.relay_to(target, bytes(900))
    source.close()
    core.run()
    assert target.feeders
    core.stream_unblocked(target.key, 1.0)
    assert target.key in {what.link for what in transmits(core) if isinstance(what, SendBytes)}
    assert not source.paused
    core.close(1.0)
    for _ in range(2):
        target.abort()
        core.run()
    assert core.stats.dropped == {}
    core.stream_opened(target.key, 1.0)
    assert core.stats.dropped == {"stale link report": 1}


class Farewell(Echo):
    """Closes each link itself when it closes."""

    def closing(self) -> None:
        super().closing()
        for link in self.links.values():
            link.close()


def test_a_link_that_its_owner_closes_at_the_end_is_not_closed_twice() -> None:
    core = Farewell(entropy=ScriptedEntropy(seed=b"links"), limits=ToyLimits(), trace=None)
    links = [guest(core), guest(core)]
    core.close(1.0)
    assert {one for one in transmits(core) if isinstance(one, CloseTransport)} == {CloseTransport(one) for one in links}
    assert core.stats.dropped == {}


def test_a_packet_may_come_in_pieces() -> None:
    core = echo()
    link = guest(core)
    for piece in (b"\x05", b"hel"):
        core.receive_data(link, piece, 0.0)
        assert events(core) == []
    core.receive_data(link, b"lo\x01", 0.0)
    assert events(core) == [GuestSaid(link, "hello")]
    core.receive_eof(link, 0.0)
    assert core.links[link].inbox == b"\x01"
    assert transmits(core) == [SendBytes(link, b"\x05hello"), CloseTransport(link)]


def test_what_a_link_sends_may_matter_no_more() -> None:
    core = Plain()
    link = opened(core)
    link.deafen()
    core.run()
    assert transmits(core) == [PauseReading(link.key)]
    core.receive_data(link.key, b"more", 1.0)
    core.receive_eof(link.key, 1.0)
    assert core.stats.dropped == {"late data": 2}
    core.handle_timeout(LinkDelays().unread)
    assert transmits(core) == [AbortTransport(link.key)]


def test_an_abort_resets_every_link() -> None:
    core = echo()
    links = [guest(core), guest(core)]
    core.say(links[0], "never", 0.0)
    for _ in range(2):
        core.abort()
    assert {*transmits(core)} == {AbortTransport(link) for link in links}
    for link in links:
        core.stream_lost(link, 1.0)
    assert events(core) == [Closed(CloseCause.ABORTED)]
    assert not core.links
    assert not core.guests


def test_a_graceful_end_waits_for_every_link() -> None:
    core = echo()
    link = guest(core)
    core.close(0.0)
    core.close(0.0)
    refused = core.stream_accepted("echo", PEER, 0.0)
    assert transmits(core) == [CloseTransport(link), AbortTransport(refused)]
    core.handle_timeout(100.0)
    assert transmits(core) == [AbortTransport(link)]
    core.stream_lost(link, 100.0)
    assert phase_of(core) == Phase.CLOSING
    core.stream_lost(refused, 100.0)
    assert events(core) == [GuestLeft(link), Closed(CloseCause.LOCAL)]
    core.close(101.0)
    assert events(core) == []
    idle = echo()
    idle.close(0.0)
    assert events(idle) == [Closed(CloseCause.LOCAL)]


def test_bulk_data_do_not_show_in_repr() -> None:
    assert repr(DataReceived(b"secret")) == "DataReceived(data=<6 bytes>)"
    assert str(PEER) == "192.0.2.7:1234"


def test_every_source_of_a_full_link_is_read_again_when_it_drains_or_ends() -> None:
    for drains in (True, False):
        core = echo()
        target, *sources = (core.links[guest(core)] for _ in range(3))
        for source in sources:
            source.relay_to(target, bytes(core.link_limits.link_queue))
        core.run()
        assert all(source.paused for source in sources)
        if drains:
            while core.next_transmit() is not None:
                pass
        else:
            core.stream_lost(target.key, 1.0)
        assert not any(source.paused for source in sources)
        assert not target.feeders


def test_an_endpoint_of_datagrams_refuses_streams() -> None:
    core = Beat(entropy=ScriptedEntropy())
    link = core.stream_accepted("?", PEER, 0.0)
    assert transmits(core) == [AbortTransport(link)]
    for _ in range(2):
        core.stream_opened(link, 0.0)
        core.receive_data(link, b"x", 0.0)
        core.receive_eof(link, 0.0)
        core.stream_blocked(link, 0.0)
        core.stream_unblocked(link, 0.0)
        core.stream_lost(link, 0.0)
        core.looked_up(1, (), 0.0)
        core.socket_bound("udp", PEER, 0.0)
        core.datagram_failed(Path("udp", "192.0.2.1", 1), 0.0)
        core.close(0.0)
    late = core.stream_accepted("?", PEER, 0.0)
    assert transmits(core) == [AbortTransport(late)]
    assert core.stats.dropped == {"unexpected report": 2, "unknown link": 12, "datagram failed": 1, "closed": 4}
    assert events(core) == [Closed(CloseCause.LOCAL)]
