"""What machines made of components got wrong at first: one test or more for each."""

# No ``from __future__ import annotations``: the annotations of the local classes here are evaluated where they stand.

import pathlib
from enum import Enum, IntEnum
from functools import cached_property
from typing import Annotated, Any

import attrs
import pytest

from sansproto import component
from sansproto.component import Component, Host, Parts
from sansproto.contract import Path, Phase
from sansproto.errors import Fault, LocalProtocolError, WireError
from sansproto.machine import Default, Guards, Input, Outcome, Row, Table, Timer
from sansproto.session import Session
from sansproto.snapshot import CACHED
from sansproto.testing.tables import check
from sansproto.trace import Classified, Dropped


@attrs.frozen
class LinkDelays:
    stalled: float = 30.0


@attrs.frozen
class TransportDelays(LinkDelays):
    resend: float = 1.0


@attrs.frozen
class ClientDelays(TransportDelays):
    stalled: float = 7.0
    silent: float = 3.0


@attrs.frozen
class ForeignDelays:
    resend: float = 1.0


class S(Enum):
    A = 0
    B = 1


class I:  # noqa: E742
    DATA = Input[S, bytes]()
    COUNT = Input[S, int]()
    GO = Input[S, None]()
    DUE = Input[S, None]()


LATE = (Default[S](Outcome.IGNORE, "late"),)


class Thing(Component[S, Host[str]]):
    seen: int
    delays: Annotated[ClientDelays, CACHED]

    def __init__(self, host: Host[str]) -> None:
        super().__init__(host)
        self.seen, self.delays = 0, ClientDelays()

    def adopt(self, data: bytes) -> None:
        self.seen += len(data)

    def bump(self) -> None:
        self.seen += 1

    def long(self, data: bytes) -> bool:
        return len(data) > 3

    def is_fresh(self) -> bool:
        return self.seen == 0

    def pause(self) -> float:
        return 1.0

    def parse(self, data: bytes) -> int:
        if data == b"bad":
            raise WireError(Fault.BAD_MAC, 4, "sealed")
        return len(data)

    def twice(self) -> float:
        return 2.0


class T:
    DUE = Timer(I.DUE, Thing.pause)
    BASE = Timer(I.DUE, LinkDelays.stalled)
    MIDDLE = Timer(I.DUE, TransportDelays.resend)
    OWN = Timer(I.DUE, ClientDelays.silent)


class SlowT:
    DUE = Timer(I.DUE, Thing.pause)


GUARDS = (
    Guards.of(Thing, S, bytes, "data")
    .need(Thing.is_fresh, "not fresh", ref="x")
    .make(Thing.parse, "not parsed", ref="x")
    .give(I.COUNT)
)


def make_table(part: Any, timers: type = SlowT, *rows: Any) -> Any:
    return Table[Any, S](
        part,
        I,
        timers,
        name="thing",
        initial=S.A,
        idle={},
        rows=rows
        or (
            Row(S.A, I.DATA, None, Thing.adopt, when=Thing.long, ref="x"),
            Row(S.A, I.GO, S.A, Thing.bump, arm=(SlowT.DUE,), ref="x"),
            Row(S.A, I.DUE, None, Thing.bump, ref="x"),
            Row(S.A, I.COUNT, None, Thing.bump, ref="x"),
        ),
        defaults=LATE,
    )


make_table(Thing)


class Server(Session[str]):
    things: Parts[str, Thing]

    def __init__(self, trace: Any = None) -> None:
        super().__init__(entropy=lambda n, *, purpose: bytes(n), trace=trace)
        self.things = Parts(lambda name: Thing(self))


# -- 1


def test_delays_that_inherit_three_deep() -> None:
    class Client(Thing):
        pass

    make_table(Client, T, Row(S.A, I.GO, None, arm=(T.BASE, T.MIDDLE, T.OWN), ref="x"))

    class One(Session[str]):
        client: Client

        def __init__(self) -> None:
            super().__init__(entropy=lambda n, *, purpose: bytes(n))
            self.client = Client(self)

    one = One()
    one.client.post(I.GO())
    one.run()
    assert one.timers() == {"client.BASE": 7.0, "client.MIDDLE": 1.0, "client.OWN": 3.0}


def test_delays_of_a_class_below_or_beside_are_refused() -> None:
    class Narrow(Thing):
        delays: Annotated[TransportDelays, CACHED]  # type: ignore[assignment]

    class Below:
        OWN = Timer(I.DUE, ClientDelays.silent)

    class Beside:
        DUE = Timer(I.DUE, ForeignDelays.resend)

    for timers in (Below, Beside):
        with pytest.raises(ValueError, match="not a constant of"):
            make_table(Narrow, timers)


# -- 2 (what mypy says: test_refused.py)


def test_a_row_over_inputs_with_different_payloads() -> None:
    def either(thing: Thing, what: bytes | int) -> None:
        thing.seen += what if isinstance(what, int) else len(what)

    class Both(Thing):
        pass

    make_table(Both, SlowT, Row(S.A, I.DATA | I.COUNT | I.GO, None, Both.bump, ref="x"))
    host = Server()
    both = Both(host)
    for happened in (I.DATA(b"12"), I.COUNT(5), I.GO()):
        happened.act(both)
    assert both.seen == 3
    make_table(Both, SlowT, Row(S.A, I.DATA | I.COUNT, None, either, ref="x"))
    both = Both(host)
    for happened in (I.DATA(b"12"), I.COUNT(5)):
        happened.act(both)
    assert both.seen == 7


# -- 3


def test_what_a_subclass_overrides_runs() -> None:
    class Loud(Thing):
        def bump(self) -> None:
            super().bump()
            self.host.emit("bumped")

        def long(self, data: bytes) -> bool:
            return True

        def pause(self) -> float:
            return 9.0

        def is_fresh(self) -> bool:
            return True

    class Louder(Loud):
        def adopt(self, data: bytes = b"") -> None:  # the payload is no longer needed, so it is not given
            self.seen += 100

    host = Server()
    thing, loud = host.things.add("a"), Louder(host)
    host.things["b"] = loud
    host.name_parts(())
    for each in (thing, loud):
        for happened in (I.GO(), I.DATA(b"1")):
            each.post(happened)
        each.take(GUARDS, b"12")
    host.run()
    assert (thing.seen, loud.seen) == (1, 102)
    assert host.stats.dropped == {"late": 1, "not fresh": 1}
    assert [host.next_event(), host.next_event(), host.next_event()] == ["bumped", "bumped", None]
    assert host.timers() == {"things.a.DUE": 1.0, "things.b.DUE": 9.0}


# -- 4


def test_a_part_comes_and_goes() -> None:
    class Phone(Session[str]):
        call: component.OptionalPart[Thing]

        def __init__(self) -> None:
            super().__init__(entropy=lambda n, *, purpose: bytes(n))
            self.call = component.OptionalPart(lambda: Thing(self))

    phone = Phone()
    assert Phone.restore(phone.snapshot()).call.part is None
    phone.call.start().post(I.GO())
    phone.run()
    again = Phone.restore(phone.snapshot())
    assert again.snapshot() == phone.snapshot()
    for each in (phone, again):
        call = each.call.part
        assert call is not None
        assert each.timers() == {"call.DUE": 1.0}
        each.handle_timeout(1.0)
        assert call.seen == 2
        call.post(I.GO())
        each.run()
        each.call.end()
        assert (each.call.part, each.next_timeout()) == (None, None)
        assert Phone.restore(each.snapshot()).call.part is None


def test_a_bare_optional_part_is_refused_with_advice() -> None:
    class Phone(Session[str]):
        call: Thing | None

    with pytest.raises(TypeError, match=r"Phone.call: declare parts that come and go as OptionalPart or Parts"):
        Phone(entropy=lambda n, *, purpose: bytes(n)).snapshot()


# -- 5


@pytest.mark.parametrize("values", [(1, 2), (3, 7), ("a", "b"), (None, ())])
def test_values_of_states_are_free(values: tuple[Any, Any]) -> None:
    states: Any = Enum("states", {"A": values[0], "B": values[1]})
    _flip_flop(states)


def test_a_state_may_be_falsy() -> None:
    class Number(IntEnum):
        B = 0
        A = 1

    _flip_flop(Number)


def _flip_flop(states: Any) -> None:
    class Flip:
        GO = Input[states, None]()

    class Part(Component[states, Host[str]]):
        pass

    Table[Any, Any](
        Part,
        Flip,
        name="flip",
        initial=states.A,
        idle={},
        rows=(Row(states.A, Flip.GO, states.B, ref="x"), Row(states.B, Flip.GO, states.A, ref="x")),
        defaults=(),
    )
    part = Part(Server())
    found = []
    for _ in range(3):
        Flip.GO().act(part)
        found.append(part.state)
    assert found == [states.B, states.A, states.B]


# -- 6


def test_removed_before_any_timer_and_armed_after() -> None:
    server = Server()
    thing = server.things.add("a")
    server.things.remove("a")
    server.things.remove("a")  # nothing to do
    thing.post(I.GO())
    server.run()
    thing.host.arm(thing, SlowT.DUE, 1.0)
    assert server.next_timeout() is None
    server.handle_timeout(5.0)
    assert thing.seen == 0
    assert server.stats.dropped == {"removed": 1}


def test_a_removed_part_leaves_its_successor_alone() -> None:
    server = Server()
    old = server.things.add("a")
    old.post(I.GO())
    server.run()
    new = server.things.add("a")  # in place of the old one
    assert server.next_timeout() is None
    new.post(I.GO())
    server.run()
    old.forget()
    old.host.cancel(old, SlowT.DUE)
    assert server.timers() == {"things.a.DUE": 1.0}
    server.handle_timeout(1.0)
    assert (old.seen, new.seen, server.next_timeout()) == (1, 2, None)


def test_a_part_with_a_timer_that_is_not_declared_is_an_error_at_the_first_snapshot() -> None:
    server = Server()
    server.things.add("a").post(I.GO())
    server.run()
    assert server.snapshot() == server.snapshot()
    del server.things["a"]  # by hand: nobody disarms it
    with pytest.raises(TypeError, match="Thing is no declared part of Server"):
        server.snapshot()


# -- 7

KEYS_MADE: list[int] = []


class Indexed(Component[S, Host[str]]):
    names: list[str]
    secret: Annotated[int, CACHED]
    numbers: Annotated[dict[str, int], CACHED]

    def __init__(self, host: Host[str], secret: int) -> None:
        super().__init__(host)
        self.secret, self.names = secret, []
        self.rebuild()

    @cached_property
    def key(self) -> int:
        KEYS_MADE.append(self.secret)
        return pow(3, self.secret, 1_000_003)

    def rebuild(self) -> None:
        self.numbers = {name: number for number, name in enumerate(self.names)}


make_table(Indexed, object, Row(S.A, I.GO, None, ref="x"))


class Index(Session[str]):
    part: Indexed
    total: Annotated[int, CACHED]

    def __init__(self, secret: int) -> None:
        super().__init__(entropy=lambda n, *, purpose: bytes(n))
        self.part = Indexed(self, secret)

    def rebuild(self) -> None:
        self.total = len(self.part.numbers)  # the parts were rebuilt before


def test_caches_are_rebuilt_and_keys_made_late() -> None:
    KEYS_MADE.clear()
    index = Index(77)
    index.part.names = ["x", "y"]
    assert index.part.key == index.part.key
    assert KEYS_MADE == [77]
    again = Index.restore(index.snapshot(), secret=77)
    assert again.part.numbers == {"x": 0, "y": 1}
    assert again.total == 2
    assert again.snapshot() == index.snapshot()  # the key is no part of it
    assert KEYS_MADE == [77]  # nothing was computed by the constructor or thaw
    assert again.part.key == index.part.key
    again.thaw(index.snapshot(), 0.0)
    assert "key" not in vars(again.part)


def test_a_clock_may_begin_anew() -> None:
    server = Server()
    server.advance(100.0)
    server.things.add("a").post(I.GO())
    server.run()
    again = Server.restore(server.snapshot(), -90.0)
    assert (server.timers(), again.timers()) == ({"things.a.DUE": 101.0}, {"things.a.DUE": 11.0})
    again.handle_timeout(10.5)
    assert (again.clock, again.things["a"].seen) == (10.5, 1)
    again.handle_timeout(11.0)
    assert again.things["a"].seen == 2


def test_a_role_sees_how_many_events_wait() -> None:
    server = Server()
    assert server.waiting_events == 0
    server.emit("a")
    server.emit("b")
    assert server.waiting_events == 2
    server.next_event()
    assert server.waiting_events == 1


@attrs.frozen
class Sealed:
    key: bytes
    cipher: object


class Holder(Component[S, Host[str]]):
    boxes: dict[str, list[Sealed]]


class Opener(Session[str]):
    open_with: object


@pytest.mark.parametrize(
    ("kind", "where"),
    [(Holder, r"Holder\.boxes: Sealed\.cipher"), (Opener, r"Opener\.open_with")],
    ids=["deep", "bare"],
)
def test_what_cannot_be_part_of_a_snapshot_is_named(kind: Any, where: str) -> None:
    with pytest.raises(TypeError, match=rf"^{where}: <class 'object'> cannot be part of a snapshot"):
        component.layout_of(kind)


# -- 8


def test_guards_decide_when_their_turn_comes() -> None:
    server = Server()
    thing = server.things.add("a")
    thing.take(GUARDS, b"12")
    thing.take(GUARDS, b"12")  # the first makes it stale
    assert (thing.seen, server.stats.dropped) == (0, {})
    server.run()
    assert (thing.seen, server.stats.dropped) == (1, {"not fresh": 1})


# -- 9


def test_a_drop_keeps_what_the_guard_knew() -> None:
    records: list[Any] = []
    server = Server(records.append)
    server.advance(0.0)  # as every call of the contract does; then records tell places
    thing = server.things.add("a")
    server.where = Path("udp", "192.0.2.1", 7)
    thing.take(GUARDS, b"bad")
    server.run()
    assert records == [
        Classified(0.0, "thing", "things.a", "data", 1),
        Dropped(
            0.0,
            "not parsed",
            place="things.a",
            guard="data.parse",
            where=Path("udp", "192.0.2.1", 7),
            fault=Fault.BAD_MAC,
            offset=4,
            field="sealed",
        ),
    ]
    thing.post(I.GO())
    server.run()
    thing.take(GUARDS, b"12")
    server.run()
    assert [type(record).__name__ for record in records] == [
        "Classified",
        "Dropped",
        "Stepped",
        "Classified",
        "Dropped",
    ]
    assert (records[4].guard, records[4].fault, records[4].reason) == ("data.is_fresh", None, "not fresh")
    assert server.stats.dropped == {"not parsed": 1, "not fresh": 1}


def test_an_error_in_an_action_is_not_taken_for_one_of_the_guard() -> None:
    class Broken(Thing):
        def bump(self) -> None:
            raise WireError(Fault.BAD_VALUE)

    server = Server()
    broken = Broken(server)
    server.things["a"] = broken
    broken.take(GUARDS, b"12")
    with pytest.raises(WireError):
        server.run()


# -- 10


class Slotted(Component[S, Host[str]]):
    __slots__ = ("count", "label")
    count: int
    label: Annotated[str, CACHED]

    def __init__(self, host: Host[str]) -> None:
        super().__init__(host)
        self.count, self.label = 1, "x"


make_table(Slotted, object, Row(S.A, I.GO, S.B, ref="x"))


class SlottedWrong(Slotted):
    __slots__ = ("extra",)


def test_parts_may_be_slotted() -> None:
    slotted = Slotted(Server())
    assert not hasattr(slotted, "__dict__")
    slotted.count = 5
    I.GO().act(slotted)
    again = Slotted(Server())
    again.thaw(slotted.freeze(0.0), 0.0)
    assert (again.count, again.state) == (5, S.B)
    with pytest.raises(TypeError, match=r"SlottedWrong.extra is not declared"):
        SlottedWrong(Server()).freeze(0.0)


# -- 11 (figures: bench.py)


def test_guards_are_one_function_and_a_step_calls_nothing_else() -> None:
    import sys

    calls: list[str] = []
    thing = Thing(Server())
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_name) if event == "call" else None)
    try:
        GUARDS.act(thing, b"12")
    finally:
        sys.setprofile(None)
    assert [name.rstrip("_0123456789") for name in calls] == [
        "act",
        "decide",
        "is_fresh",
        "parse",
        "cell",
        "bump",
    ]


def test_guards_without_an_end_are_refused_before_other_guards_decide() -> None:
    unfinished = Guards.of(Thing, S, bytes, "unfinished").need(Thing.is_fresh, "old", ref="guards")
    with pytest.raises(ValueError, match="guards 'unfinished' of Thing have no end"):
        Thing(Server()).take(unfinished, b"12")  # type: ignore[arg-type]


def test_guards_stand_before_their_table_under_a_name_of_their_own() -> None:
    with pytest.raises(ValueError, match="guards 'late' behind the table, or with the name of others"):
        Guards.of(Thing, S, bytes, "late").give(I.DATA)


def test_what_follows_a_violation_is_an_input_of_the_table() -> None:
    class Other:
        BROKE = Input[S, str]()

    class Client(Thing):
        pass

    row = Row[Any, S](S.A, I.GO, ref="x")
    with pytest.raises(ValueError, match="thing: violated: BROKE stands in another class"):
        Table[Any, S](Client, I, name="thing", initial=S.A, idle={}, rows=(row,), defaults=LATE, violated=Other.BROKE)


def test_guards_end_once() -> None:
    with pytest.raises(ValueError, match="a step behind the end"):
        GUARDS.give(I.GO)


# -- beside the list


def test_asking_changes_nothing_and_sees_the_condition() -> None:
    class Asked(Thing):
        pass

    Table[Asked, S](
        Asked,
        I,
        SlowT,
        name="asked",
        initial=S.A,
        idle={},
        rows=(Row(S.A, I.GO, None, Thing.bump, when=Thing.is_fresh, ref="x"),),
        defaults=(Default(Outcome.REJECT, "once"),),
    )
    asked = Asked(Server())
    asked.table.ask(asked, I.GO(), "go")
    I.GO().act(asked)
    with pytest.raises(LocalProtocolError, match=r"go\(\) in state A: once"):
        asked.table.ask(asked, I.GO(), "go")
    assert asked.seen == 1


def test_nothing_is_queued_or_armed_once_the_session_is_over() -> None:
    server = Server()
    thing = server.things.add("a")
    server.phase = Phase.CLOSED
    thing.post(I.GO())
    thing.host.arm(thing, SlowT.DUE, 1.0)
    server.run()
    assert (thing.seen, server.next_timeout()) == (0, None)


# -- 12


def test_static_checks_take_both_branches(tmp_path: pathlib.Path) -> None:
    class Checked(Thing):
        pass

    def problems(*rows: Any) -> set[str]:
        table = Table[Any, S](Checked, I, SlowT, name="t", initial=S.A, idle={S.A: "go"}, rows=rows, defaults=LATE)
        found = {text.removeprefix("t: ") for text in check(table, tmp_path)}
        return {text for text in found if "no row and no default" not in text}

    (tmp_path / "t.rst").write_text("X\n=\n")
    go = Row(S.A, I.GO, S.B, arm=(SlowT.DUE,), ref="x")
    ends = Row(S.B, I.DUE, S.A, when=Thing.is_fresh, ref="x")
    again = Row(S.B, I.DUE, None, arm=(SlowT.DUE,), ref="x")
    assert problems(go, ends, again) == set()
    assert {"B is never reached", "no row arms DUE"} <= problems(Row(S.A, I.GO, None, ref="x"))
    assert "an object can be in B with no timer: it waits for ever" in problems(
        go, ends, Row(S.B, I.DUE, None, ref="x")
    )
    assert problems(go, again) == {"with a silent peer it goes on for ever in B, by DUE"}
