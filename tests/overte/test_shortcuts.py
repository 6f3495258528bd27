"""What hot paths leave out makes no difference."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from rig import LOCAL_ID, SECRET, SESSION, Rig, record

from sansproto.contract import Path
from sansproto.overte import packets as p
from sansproto.overte.limits import ClientLimits
from sansproto.overte.qt import NULL_UUID, SockAddr
from sansproto.overte.transport import SOCKET

U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
MOVED = SockAddr("203.0.113.9", 40111)
IDS = st.binary(min_size=16, max_size=16)

RECORDS = st.builds(
    record,
    st.sampled_from("MI"),
    number=st.integers(1, 3),
    id=st.sampled_from([bytes([number]) * 16 for number in (1, 1, 1, 2, 2, 3)] + [SESSION, NULL_UUID]),
    public_socket=st.sampled_from([SockAddr("198.51.100.10", 40110), MOVED]),
    permissions=st.sampled_from([1, 1, 1, 2]),
    secret=st.sampled_from([SECRET, SECRET, SECRET, NULL_UUID]),
)
LISTS = st.lists(st.lists(RECORDS, max_size=3).map(tuple), min_size=1, max_size=3)
PLACES = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("list"), PLACES),
    st.tuples(st.just("list"), PLACES),
    st.tuples(st.just("renumbered"), PLACES),
    st.tuples(st.just("foreign"), PLACES),
    st.tuples(st.just("added"), RECORDS),
    st.tuples(st.just("removed"), st.integers(1, 3)),
    st.tuples(st.just("pinged"), st.integers(1, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.25, 4.0, 11.0])),
)


def act(rig: Rig, lists: list[tuple[p.NodeRecord, ...]], what: str, arg: Any) -> object:
    """One step, and all that can be seen of it."""
    match what:
        case "list":
            rig.list(*lists[arg % len(lists)])
        case "renumbered":
            rig.list(*lists[arg % len(lists)], local_id=LOCAL_ID + 1)
        case "foreign":
            rig.list(*lists[arg % len(lists)], domain_id=b"f" * 16)
        case "added":
            rig.say(p.AddedNode(*[getattr(arg, field.name) for field in p.NodeRecord.__wire__.fields]))
        case "removed":
            rig.say(p.RemovedNode(bytes([arg]) * 16))
        case "pinged":
            ping = p.Ping(p.PingType.PUBLIC, 1 + int(rig.now * 1e6), 0)
            rig.say(ping, Path(SOCKET, "203.0.113.7", 7000 + arg), source=4660 + arg, secret=SECRET)
        case "wait":
            rig.at(rig.now + arg)
    return rig.transmits(), rig.events(), dict(rig.client.stats.dropped), rig.client.snapshot()


@given(LISTS, st.lists(STEPS, max_size=12))
@example([(record(),)], [("list", 0), ("list", 0), ("removed", 1), ("list", 0)])
@example([(record(),)], [("list", 0), ("list", 0), ("renumbered", 0), ("renumbered", 0), ("list", 0)])
@example([(record(),)], [("list", 0), ("list", 0), ("wait", 11.0), ("list", 0)])
@example([(record(),), (record(permissions=1),)], [("list", 0), ("list", 0), ("list", 1), ("list", 0)])
@example([(record(id=SESSION),)], [("list", 0), ("list", 0), ("list", 0)])
@example([(record(),), (record(public_socket=MOVED),)], [("list", 0), ("list", 0), ("list", 1), ("list", 0)])
@example([tuple(record("I", number=number) for number in (1, 2, 3))], [("list", 0), ("list", 0), ("list", 0)])
def test_records_that_are_not_read_again_would_have_changed_nothing(
    lists: list[tuple[p.NodeRecord, ...]], steps: list[tuple[str, Any]]
) -> None:
    rig, reader = (Rig(limits=ClientLimits(nodes=2)) for _ in range(2))
    for what, arg in steps:
        reader.client._unchanged.clear()
        assert act(rig, lists, what, arg) == act(reader, lists, what, arg)


def test_only_so_many_lists_are_remembered() -> None:
    rig = Rig()
    for number in range(100):
        rig.list(*[record("I", number=other) for other in range(1, 11) if number >> other - 1 & 1])
    for number in range(100):
        rig.list(*[record("I", number=other) for other in range(1, 11) if number >> other - 1 & 1])
        assert len(rig.client._unchanged) <= 64


@given(st.tuples(IDS, U16, IDS, U16, U32, st.booleans(), U64, U64, U64, st.booleans()))
def test_the_prefix_of_a_list_is_that_of_the_declared_packet(values: Any) -> None:
    assert p.LIST_PREFIX(*values) == p.DomainList(*[*values, ()]).encode()
