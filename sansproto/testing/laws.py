"""The laws that every session of the library keeps, as Hypothesis tests that a session of yours can be put to.

::

    class TestRelayLaws(Laws):
        subject = Subject(
            cls=Relay,
            arguments=lambda entropy, trace: {"entropy": entropy, "trace": trace, "limits": SMALL},
            listeners=("relay",),
            data=packets(Hello).map(Hello.encode) | st.binary(max_size=50),
            verbs={"kick": st.tuples(links)},
            secrets=(KEY,),
            max_state=20_000,
        )

gets one test per law. A law compares runs of the same operations (``operations``), or watches one run. Give the subject
small limits, or no list of operations reaches them. Laws that do not concern this kind of session are left out: those
about streams if it has none, and law 11 without datagrams that nobody authenticated.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import attrs
from hypothesis import assume
from hypothesis import strategies as st

from ..component import Declared
from ..contract import Link, Phase
from ..errors import NotOpen
from ..events import CloseCause, Closed
from ..trace import json_line
from ._internal.alike import differences
from ._internal.check import Draw, check
from ._internal.declared import attributes, tables_below
from ._internal.guarded import guards_watched
from ._internal.meter import Metered, measured
from ._internal.subject import STARTS, Subject, addresses, links, paths
from ._internal.workers import digest, workers
from .operations import (
    Abort,
    Blocked,
    Call,
    Close,
    Data,
    Datagram,
    Drain,
    Eof,
    LawBroken,
    Lost,
    Op,
    Opened,
    Run,
    Stray,
    Tick,
    TransportLost,
    Wait,
    same,
)


def law_01(subject: Subject, draw: Draw) -> None:
    ops = draw(subject.operations())
    subject.run(drain=Drain.PARTLY).play(ops)


def law_02(subject: Subject, draw: Draw) -> None:
    ops = _coalesced(draw(subject.operations()))
    cut = [_cut(op, draw) if isinstance(op, Data) else op for op in ops]
    whole, pieces = subject.run().play(ops), subject.run().play(cut)
    try:
        same(whole, pieces, "other chunks, other results")
    except LawBroken:
        assume(not (whole.met_a_limit() or pieces.met_a_limit()))  # what one call understands of a read has a bound
        raise
    if hasattr(subject.cls, "take_trailing_data"):
        stream = b"".join(piece for op in ops if isinstance(op, Data) for piece in op.pieces)
        tails = _tail(subject, (stream,)), _tail(subject, _cut(Data(0, (stream,)), draw).pieces)
        if tails[0] != tails[1]:
            raise LawBroken(f"other chunks, other trailing data: {tails[0]!r} != {tails[1]!r}")


def law_03(subject: Subject, draw: Draw, digests: Callable[[Sequence[Op], float], list[str]]) -> None:
    ops = draw(subject.operations())
    found = {digest(subject, ops), digest(subject, ops), *digests(ops, subject.start)}
    if len(found) != 1:
        raise LawBroken("the same inputs gave other outputs in another process")


def law_04(subject: Subject, draw: Draw) -> None:
    ops = _with_barriers(draw(subject.operations()), subject.slack)
    runs = [subject.run(drain=drain).play(ops) for drain in (Drain.EACH, Drain.LATE, Drain.PARTLY)]
    assume(not any(run.met_a_limit() for run in runs))  # over the limits is the next law
    assume(all(run.returned == runs[0].returned for run in runs))  # send() took less, for it was at its limit
    for run in runs[1:]:
        same(runs[0], run, f"drained {run.drain.name}, not EACH")


def law_04_lost(subject: Subject, draw: Draw) -> None:
    opening = draw(st.sampled_from(subject.ways_in()))
    pieces = draw(st.lists(subject.data, min_size=1, max_size=4)) * draw(st.integers(1, 20))
    hoarder = subject.run(drain=Drain.HOARD).play(opening)
    fresh = len(hoarder.delivered)
    hoarder.play([Data(0, (piece,)) for piece in pieces])
    reader = subject.run().play([*opening, *hoarder.delivered[fresh:]])
    for run in (hoarder, reader):
        for view in [view for view in run.views.values() if not view.over]:
            run.lose(view)
        run.drain_all(events=True)
        run.outputs = {what: said for what, said in run.outputs.items() if isinstance(what, tuple)}  # events alone
    same(reader, hoarder, "lost while the application did not read")


def law_05(subject: Subject, draw: Draw) -> None:
    subject.run(watch=5).play(draw(subject.operations()))


def law_06(subject: Subject, draw: Draw) -> None:
    subject.run(watch=6).play(draw(subject.operations()))


def law_07(subject: Subject, draw: Draw) -> None:
    ops = draw(subject.operations())
    plain, nervous = subject.run(), subject.run()
    for op in ops:
        plain.apply(op)
        before = nervous.state("clock")
        nervous.endpoint.handle_timeout(nervous.now)  # whatever is due by now has fired
        if nervous.state("clock") != before:
            raise LawBroken(f"a spurious handle_timeout changed {before} to {nervous.state('clock')}")
        nervous.apply(op)
    same(plain, nervous, "spurious timer calls")
    counts = []
    for late in (1e4, 1e6):
        run = subject.run().play(ops)
        counts.append(_outputs_of_waking(run, max([run.now, *run.endpoint.timers().values()]) + late))
    if counts[0] != counts[1]:
        raise LawBroken(f"the later the timer call, the more comes out: {counts[0]}, {counts[1]}")


def law_08(subject: Subject, draw: Draw) -> None:
    ops = draw(subject.operations())
    back = draw(st.floats(0.001, 2000.0))
    steady, jumpy = subject.run(), subject.run()
    for op in ops:
        for run, by in ((steady, 0.0), (jumpy, back)):
            run.endpoint.handle_timeout(run.now)
            run.drain_all()
            if isinstance(op, Wait | Tick):
                run.apply(op)
            else:
                now, run.now = run.now, run.now - by
                run.apply(op)
                run.now = now
    same(steady, jumpy, f"the clock went back by {back}")
    if steady.state() != jumpy.state():
        raise LawBroken(f"the clock went back by {back}: {steady.state()} != {jumpy.state()}")


def law_09(subject: Subject, draw: Draw) -> None:
    run = subject.run().play(draw(st.sampled_from(subject.ways_in())))
    run.drain = Drain.HOARD
    for op in draw(subject.floods() | st.lists(subject.operation(), max_size=8)):
        for _ in range(1 if isinstance(op, Wait | Tick) else subject.flood):
            run.apply(op)
        run.barrier()
        heavy = weight(run.endpoint.snapshot())
        if heavy > subject.max_state:
            raise LawBroken(f"the state weighs {heavy} after {op}: {run.endpoint.snapshot()}")
    run.drain_all(events=True)
    if run.largest > subject.max_write:
        raise LawBroken(f"{run.largest} bytes in one transmit")


def law_09_blocked(subject: Subject, draw: Draw) -> None:
    """What arrives on one link waits for others or is not read at all; more of it would not fit."""
    run = subject.run().play(draw(st.sampled_from(subject.ways_in())))
    run.drain = Drain.HOARD
    for nth in range(len(run.views)):
        run.apply(Blocked(nth))
    piece, nth = draw(subject.data.filter(bool)), draw(st.integers(0, 3))
    chunk = piece * (2 * subject.max_state // (subject.flood * len(piece)) + 1)
    for _ in range(subject.flood):
        run.apply(Data(nth, (chunk,)))
    heavy = weight(run.endpoint.snapshot())
    if heavy > subject.max_state:
        raise LawBroken(f"the state weighs {heavy} when nothing can be written: {run.endpoint.snapshot()}")


def law_09_repeated(subject: Subject, draw: Draw) -> None:
    """Links or peers come and go again and again, and each leaves something behind."""
    run = subject.run(drain=Drain.HOARD)
    opening, rest = draw(st.sampled_from(subject.ways_in())), draw(st.lists(subject.operation(), max_size=3))
    before, heavy = -1, weight(run.endpoint.snapshot())
    while before < heavy:
        if heavy > subject.max_state:
            raise LawBroken(f"the state weighs {heavy}, and grows with every {[*opening, *rest]}")
        for _ in range(16):
            run.play([*opening, *rest, *[Lost(0)] * 4])
        before, heavy = heavy, weight(run.endpoint.snapshot())


def law_10(subject: Subject, draw: Draw) -> None:
    run = subject.run().play(draw(subject.operations()))
    how: Op = draw(st.sampled_from([Close(), Abort(), TransportLost()]))
    run.barrier()
    run._do(how)
    if not isinstance(how, Close) and run.endpoint.phase is not Phase.CLOSED:
        raise LawBroken(f"{how} leaves it {run.endpoint.phase}")
    run.barrier()
    for _ in range(50):
        if run.endpoint.phase is not Phase.CLOSED:
            run.play([Tick()])
    if run.endpoint.phase is not Phase.CLOSED or run.endpoint.next_timeout() is not None:
        raise LawBroken(f"{run.endpoint.phase} long after {how}, with the timers {dict(run.endpoint.timers())}")
    seen, quiet = list(run.events), ("clock", "stats", "_last_link", "links", "_full", "_outbox", "_offers")
    state, dropped = run.state(*quiet), sum(run.endpoint.stats.dropped.values())
    late = draw(subject.operations())
    run.play([Close(), TransportLost(), *late])
    if [event for event in seen if isinstance(event, Closed)] != seen[-1:] or not seen or run.events != seen:
        raise LawBroken(f"not one Closed, and last: {run.events}; {len(seen)} of them when it should have been over")
    if run.state(*quiet) != state:
        raise LawBroken(f"changed after Closed: {state} to {run.state(*quiet)}")
    if sum(run.endpoint.stats.dropped.values()) == dropped:
        raise LawBroken("that the transport was lost after Closed was not counted")
    for verb, arguments in subject.verbs.items():
        count = len(run.errors)
        run.play([Call(verb, draw(arguments))])
        if [type(error) for error in run.errors[count:]] != [NotOpen]:
            raise LawBroken(f"{verb} after Closed does not raise NotOpen: {run.errors[count:]}")
    reports: list[Op] = [Stray(), *(op for op in late if isinstance(op, Datagram))]
    for op in reports:
        dropped = sum(run.endpoint.stats.dropped.values())
        run.play([op])
        if sum(run.endpoint.stats.dropped.values()) == dropped:
            raise LawBroken(f"{op} after Closed was not counted")


def law_11(subject: Subject, draw: Draw) -> None:
    run = subject.run().play(draw(subject.operations()))
    data, path, declared = draw(subject.strangers), draw(subject.paths), subject.cls.strangers
    if declared.budget and declared.budget not in attributes(run.endpoint).keys() - dict(run.endpoint.parts()).keys():
        raise LawBroken(f"the budget for strangers, {declared.budget!r}, is no plain value that the session declares")
    may_change = ("clock", "stats", declared.budget)
    before, events, sent = run.state(*may_change), len(run.events), {to: len(said) for to, said in run.outputs.items()}
    run.play([Datagram(data, path)])
    if run.state(*may_change) != before or len(run.events) != events:
        raise LawBroken(f"{data!r} of a stranger changed {before} to {run.state(*may_change)}")
    answered = {to: said[sent.get(to, 0) :] for to, said in run.outputs.items() if len(said) != sent.get(to, 0)}
    answers = answered.pop(path, [])
    most = min(declared.bytes, len(data) + declared.grows)
    if len(answers) > declared.per_datagram or any(len(answer) > most for answer in answers):
        raise LawBroken(f"{data!r} of a stranger was answered by {answers}, more than is declared: {declared}")
    if answered:
        raise LawBroken(f"{data!r} of a stranger on {path} had effects elsewhere: {answered}")


def law_12(subject: Subject, draw: Draw) -> None:
    run = subject.run().play(draw(subject.operations()))
    shown = [dict(run.endpoint.timers()), *run.events, *run.errors, *_objects(run.endpoint, set())]
    texts = [text(thing) for thing in shown for text in (repr, str)] + [json_line(record) for record in run.trace]
    for secret in subject.secrets:
        for form in (secret.hex(), repr(secret)[2:-1], repr(secret[:8])[2:-1]):
            for text in texts:
                if form in text:
                    raise LawBroken(f"a secret can be read in {text}")


def law_13(subject: Subject, draw: Draw) -> None:
    ops = draw(subject.operations(8))
    run = subject.run().play(subject.crowd)
    run.endpoint.snapshot()  # what is looked up once for a class does not count:
    list(tables_below(subject.cls))  # here and in the classes of parts
    run.endpoint = metered = Metered(run.endpoint, subject.work, subject.slice)
    for op in ops:
        if isinstance(op, Data):
            op = Data(op.link, (b"".join(op.pieces) * 16,))
        size = sum(len(piece) for piece in getattr(op, "pieces", ())) + len(getattr(op, "data", b""))
        objects = len(run.views) if isinstance(op, Close | Abort | TransportLost) else 0  # these concern all there are
        allowed = subject.work * (1 + objects) + subject.work_per_byte * size
        metered.waiting += allowed  # what it does not look at now, it will when it is drained
        if isinstance(op, Wait | Tick):
            run.apply(op)
            continue
        run.barrier()
        measured(lambda op=op: run._do(op), allowed)  # type: ignore[misc]  # a default argument
        run.barrier()


def law_14(subject: Subject, draw: Draw) -> None:
    ops = draw(subject.operations())
    k = draw(st.integers(0, len(ops)))
    run = subject.run(drain=draw(st.sampled_from([Drain.EACH, Drain.PARTLY])))
    for op in ops[:k]:
        run.apply(op)
    twin = _restored(run)
    same(run.play(ops[k:]), twin.play(ops[k:]), "the restored session went another way")
    if run.endpoint.snapshot() != twin.endpoint.snapshot():
        raise LawBroken(f"the restored session ended at {twin.endpoint.snapshot()}, not {run.endpoint.snapshot()}")
    _restored(run)


def law_15(subject: Subject, draw: Draw) -> None:
    run = subject.run(drain=draw(st.sampled_from([Drain.EACH, Drain.LATE])), watch=15)
    run.play(draw(st.sampled_from(subject.ways_in())))
    blocked = draw(st.lists(st.builds(Blocked, st.integers(0, 3)), max_size=2))
    run.play([*blocked, *draw(st.lists(subject.operation(), max_size=20))])


def law_16(subject: Subject, draw: Draw) -> None:
    run = subject.run(watch=16).play(draw(subject.operations()))
    while live := [view for view in run.views.values() if not view.over]:  # where one is lost, another may be asked for
        run.lose(live[0])


def law_17(subject: Subject, draw: Draw) -> None:
    with guards_watched(tables_below(subject.cls)):
        subject.run().play(draw(subject.operations()))


def openings_open(subject: Subject) -> None:
    """LawBroken if the last input of an opening is dropped, always or at that time."""
    for start in STARTS:
        for opening in subject.openings:
            arrives = [number for number, op in enumerate(opening) if isinstance(op, Data | Datagram)]
            if arrives:
                run = attrs.evolve(subject, start=start).run().play(opening[: arrives[-1]])
                before = run.state("clock", "stats"), len(run.events), run.transmits
                run.play([last := opening[arrives[-1]]])
                if (run.state("clock", "stats"), len(run.events), run.transmits) == before:
                    dropped = run.endpoint.stats.dropped
                    raise LawBroken(f"{last} does nothing in the opening {opening} at {run.now}. Dropped: {dropped}")


# -- tools


def weight(value: object) -> int:
    """Bytes of a state: its strings, and eight for each number or object."""
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, tuple | list):
        return 8 + sum(weight(item) for item in value)
    return 8


def _objects(value: Any, seen: set[int]) -> Iterator[Any]:
    """The objects of ours that a session consists of, its parts among them: each can come to be printed."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inside: Iterable[Any] = ()
    if isinstance(value, Declared):
        yield value
        inside = {**getattr(value, "__dict__", {}), **attributes(value)}.values()
    elif attrs.has(type(value)):
        yield value
        inside = [getattr(value, field.name) for field in attrs.fields(type(value))]
    elif isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, tuple | list | deque):
        inside = value
    for item in inside:
        yield from _objects(item, seen)


def _coalesced(ops: Sequence[Op]) -> list[Op]:
    """Neighbouring data of one link as one."""
    merged: list[Op] = []
    for op in ops:
        last = merged[-1] if merged else None
        if isinstance(op, Data) and isinstance(last, Data) and op.link == last.link:
            merged[-1] = Data(op.link, (b"".join(last.pieces + op.pieces),))
        else:
            merged.append(op)
    return merged


def _cut(op: Data, draw: Draw) -> Data:
    whole = b"".join(op.pieces)
    every = draw(st.sampled_from([0, 0, 1, 7]))
    if every:
        cuts = list(range(every, len(whole), every))
    else:
        cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return Data(op.link, tuple(whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)))


def _tail(subject: Subject, pieces: Sequence[bytes]) -> bytes:
    """What is behind the end of the protocol: trailing data, and what the session was not given any more."""
    run = subject.run()
    session, rest = run.session, list(pieces)
    while rest and session.phase is not Phase.CLOSED:
        if session.wants_data:
            session.receive_data(rest.pop(0), run.now)
        else:
            session.next_event()
    last: Any = None
    while (event := session.next_event()) is not None:
        last = event
    if not isinstance(last, Closed) or last.cause not in (CloseCause.LOCAL, CloseCause.REMOTE):
        return b""  # it did not end as the protocol ends, so nothing follows it
    return bytes(session.take_trailing_data()) + b"".join(rest)


def _restored(run: Run) -> Run:
    """The session, restored from its snapshot. LawBroken unless all that it holds is equal, caches included."""
    snapshot, twin = run.endpoint.snapshot(), run.fork()
    if twin.endpoint.snapshot() != snapshot or hash(twin.endpoint.snapshot()) != hash(snapshot):
        raise LawBroken(f"restored from {snapshot} to {twin.endpoint.snapshot()}")
    for difference in differences(run.endpoint, twin.endpoint):
        raise LawBroken(f"the restored session holds something else: {difference}")
    return twin


def _with_barriers(ops: Sequence[Op], every: int) -> list[Op]:
    """Operations, drained now and then; always before an end, which may drop output, and before what a dial brings."""
    drained = [number % every == 0 or isinstance(op, Close | Eof | Opened) for number, op in enumerate(ops)]
    return [part for op, first in zip(ops, drained, strict=True) for part in ((Wait(0.0), op) if first else (op,))]


def _outputs_of_waking(run: Run, now: float) -> Counter[str]:
    """The number of outputs of each kind after one late timer call and no further input."""
    transmits, events = run.transmits, len(run.events)
    run.fire(now)
    run.drain_all()
    counts = Counter({"transmits": run.transmits - transmits, "events": len(run.events) - events})
    before = run.state()
    run.fire(now)
    if run.state() != before:
        raise LawBroken(f"a second handle_timeout({now}) changed {before} to {run.state()}")
    return counts


_OF_STREAMS = (
    "02_any_chunking",
    "04_nothing_is_lost_over_the_limits",
    "09_bounded_when_blocked",
    "15_blocked",
    "16_forgotten",
)


class Laws:
    """Derive a test class from it, with a ``subject``. Each law is a test."""

    subject: ClassVar[Subject]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "subject" in vars(cls):
            if not cls.subject.has_streams:
                for name in _OF_STREAMS:
                    setattr(cls, f"test_law_{name}", None)
            if cls.subject.strangers.is_empty:
                setattr(cls, "test_law_11_strangers", None)  # noqa: B010 - a method is replaced on purpose

    def test_law_01_nothing_raises(self) -> None:
        """Reports, timer calls and draining never raise, whatever arrives; verbs raise the two documented errors."""
        check(law_01, self.subject)

    def test_law_02_any_chunking(self) -> None:
        """Any chunking of a stream gives the same events and bytes per link, and the same trailing data."""
        check(law_02, self.subject)

    def test_law_03_deterministic(self) -> None:
        """The same inputs give the same outputs and states, in any process, whatever PYTHONHASHSEED."""
        with workers() as crew:
            check(lambda subject, draw: law_03(subject, draw, partial(crew.digests, type(self))), self.subject)

    def test_law_04_draining_changes_nothing(self) -> None:
        """Under the limits, draining early, late or interleaved changes nothing per link."""
        check(law_04, self.subject)

    def test_law_04_nothing_is_lost_over_the_limits(self) -> None:
        """If an application reads only after the link has ended, all that was sent to it is still there."""
        check(law_04_lost, self.subject)

    def test_law_05_raising_changes_nothing(self) -> None:
        """A call that raises changed nothing but the clock."""
        check(law_05, self.subject)

    def test_law_06_no_spin(self) -> None:
        """After ``handle_timeout(t)`` the next timeout is None, or later than t."""
        check(law_06, self.subject)

    def test_law_07_timer_calls(self) -> None:
        """Early and spurious timer calls are no-ops; late ones catch up once, however late."""
        check(law_07, self.subject)

    def test_law_08_clock_goes_back(self) -> None:
        """If ``now`` goes back, the session's clock stands still."""
        check(law_08, self.subject)

    def test_law_09_bounded(self) -> None:
        """Buffers, queues, tables and replies stay under their limits while the application reads nothing."""
        check(law_09, self.subject)

    def test_law_09_bounded_when_blocked(self) -> None:
        """What one link sends is bounded while no link takes anything, however much of it comes."""
        check(law_09_blocked, self.subject)

    def test_law_09_bounded_when_repeated(self) -> None:
        """Those who come and go leave nothing behind that grows without end, while the application reads nothing."""
        check(law_09_repeated, self.subject)

    def test_law_10_closed_once_and_last(self) -> None:
        """Every session can be ended; exactly one ``Closed``, last; what comes after it is counted and ignored."""
        check(law_10, self.subject)

    def test_law_11_strangers(self) -> None:
        """A datagram that nobody authenticated changes nothing but counters and a budget; answers are declared."""
        check(law_11, self.subject)

    def test_law_12_no_secret_shows(self) -> None:
        """No secret in repr, str, trace or exception."""
        check(law_12, self.subject)

    def test_law_13_work_is_linear(self) -> None:
        """The work of a call is in proportion to the length of its input, whatever the state holds."""
        check(law_13, self.subject)

    def test_law_14_restored(self) -> None:
        """A session that is restored from a snapshot has the state of the first one, and behaves as that one does."""
        check(law_14, self.subject)

    def test_law_15_blocked(self) -> None:
        """Nothing but AbortTransport for a link that is not open yet; nothing to write for one that is blocked."""
        check(law_15, self.subject)

    def test_law_16_forgotten(self) -> None:
        """After ``stream_lost`` nothing in the state mentions the link."""
        check(law_16, self.subject)

    def test_law_17_guards_change_nothing(self) -> None:
        """Guards only look: they change nothing but counters, and what is declared ``CACHED`` or ``MEMO``."""
        check(law_17, self.subject)

    def test_openings_open(self) -> None:
        """The last input in an opening of the subject has an effect, at whatever time the run begins."""
        openings_open(self.subject)


__all__ = ["Laws", "Link", "Subject", "addresses", "check", "links", "paths", "weight"]
