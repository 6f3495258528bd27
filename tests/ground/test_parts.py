"""Parts in parts, many of a kind: made, timed, forgotten, and restored with their timers."""

from __future__ import annotations

from enum import Enum
from math import inf, nextafter
from typing import Annotated, Protocol

import attrs
import pytest

from sansproto.component import Component, Host, Parts
from sansproto.machine import Default, Input, Outcome, Row, Table, Timer
from sansproto.session import ABORTED, Session
from sansproto.snapshot import CACHED
from sansproto.testing._internal.declared import tables_below


@attrs.frozen
class Delays:
    silent: float = 3.0


class S(Enum):
    UP = 0
    GONE = 1


class I:  # noqa: E742
    HEARD = Input[S, bytes]()
    SILENT = Input[S, None]()


class Owner(Protocol):
    """What a node asks of who owns it."""

    def left(self, name: str, heard: int) -> None: ...


class Node(Component[S, Host[str]]):
    heard: int
    name: Annotated[str, CACHED]
    owner: Annotated[Owner, CACHED]
    delays: Annotated[Delays, CACHED]

    def __init__(self, host: Host[str], owner: Owner, name: str) -> None:
        super().__init__(host)
        self.owner, self.name, self.heard, self.delays = owner, name, 0, Delays()

    def count(self, data: bytes) -> None:
        self.heard += len(data)

    def patience(self) -> float:
        return 1.0 + self.heard

    def leave(self) -> None:
        self.owner.left(self.name, self.heard)


class T:
    SILENT = Timer(I.SILENT, Delays.silent)
    BORED = Timer(I.SILENT, Node.patience)


Table[Node, S](
    Node,
    I,
    T,
    name="node",
    initial=S.UP,
    terminal=(S.GONE,),
    idle={S.UP: "the first packet"},
    rows=(
        Row(S.UP, I.HEARD, None, Node.count, arm=(T.SILENT, T.BORED), ref="nodes"),
        Row(S.UP, I.SILENT, S.GONE, Node.leave, ref="nodes"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)


class TableState(Enum):
    READY = 0


class TableInput:
    LEFT = Input[TableState, tuple[str, int]]()


class NodeTable(Component[TableState, Host[str]]):
    nodes: Parts[str, Node]

    def __init__(self, host: Host[str]) -> None:
        super().__init__(host)
        self.nodes = Parts(lambda name: Node(host, self, name))

    def left(self, name: str, heard: int) -> None:
        self.post(TableInput.LEFT((name, heard)))

    def drop_node(self, who: tuple[str, int]) -> None:
        self.nodes.remove(who[0])
        self.host.emit(f"{who[0]} left after {who[1]}")


Table[NodeTable, TableState](
    NodeTable,
    TableInput,
    name="node table",
    initial=TableState.READY,
    idle={TableState.READY: "always"},
    rows=(Row(TableState.READY, TableInput.LEFT, None, NodeTable.drop_node, ref="nodes"),),
    defaults=(),
)


class Server(Session[str]):
    table: NodeTable

    def __init__(self) -> None:
        super().__init__(entropy=lambda n, *, purpose: bytes(n))
        self.table = NodeTable(self)

    def hear(self, name: str, data: bytes, now: float) -> None:
        self.advance(now)
        nodes = self.table.nodes
        node = nodes[name] if name in nodes else nodes.add(name)
        node.post(I.HEARD(data))
        self.run()


def test_many_parts_with_timers() -> None:
    server = Server()
    server.hear("a", b"1", 0.0)  # bored at 1.0: timers are set before the actions run
    server.hear("b", b"12345", 0.5)
    server.hear("b", b"6", 0.75)  # bored at 6.75, so silent at 3.75
    again = Server()
    again.thaw(server.freeze(0.0), 100.0)
    assert (server.next_timeout(), again.next_timeout()) == (1.0, 101.0)
    assert again.freeze(100.0) == server.freeze(0.0)
    for each, base in ((server, 0.0), (again, 100.0)):
        each.handle_timeout(base + 1.0)
        assert each.next_event() == "a left after 1"
        assert list(each.table.nodes) == ["b"]
        assert each.next_timeout() == base + 3.75
        each.handle_timeout(base + 9.0)
        assert each.next_event() == "b left after 6"
        assert each.next_timeout() is None


def test_a_removed_part_acts_no_more() -> None:
    server = Server()
    server.hear("a", b"1", 0.0)
    node = server.table.nodes["a"]
    node.leave()
    node.post(I.HEARD(b"2"))  # queued behind what removes it
    server.run()
    assert server.next_event() == "a left after 1"
    assert server.next_timeout() is None
    assert node.heard == 1


def test_a_part_may_be_kept_once_it_has_shown_itself() -> None:
    """A part that was made on trial has a place, and timers, from when it is kept."""
    server = Server()
    server.timers()  # names the places
    nodes = server.table.nodes
    trial = nodes.make("a")
    trial.count(b"123")
    assert (dict(nodes), trial.place) == ({}, None)
    nodes.keep("a", trial)
    assert trial.place == ("table", "nodes", "a")
    server.hear("a", b"4", 1.0)
    assert nodes["a"].heard == 4
    assert set(server.timers()) == {"table.nodes.a.SILENT", "table.nodes.a.BORED"}
    early = Parts(nodes.make)
    early.keep("b", early.make("b"))
    assert early["b"].place is None


def test_what_is_added_to_removed_parts_is_removed_already() -> None:
    server = Server()
    nodes = server.table.nodes
    nodes.forget()
    assert nodes.add("a").forgotten
    nodes.keep("b", kept := nodes.make("b"))
    assert kept.forgotten


class Twins(Session[str]):
    left: Parts[str, Node]
    right: Parts[str, Node]


def test_a_table_of_several_parts_is_listed_once() -> None:
    assert list(tables_below(Twins)) == [Node.table]


def test_a_verb_asks_for_what_is_ignored_in_vain() -> None:
    """Only defaults that refuse, refuse."""
    server = Server()
    node = server.table.nodes.add("a")
    node.state = S.GONE
    server.ask("hear", node.asked(I.HEARD(b"1")))


@pytest.mark.parametrize(("count", "calls"), [(0, [0]), (31, [31]), (32, [32]), (33, [32, 1]), (70, [32, 32, 6])])
def test_of_many_timers_that_are_due_some_act_in_one_call(count: int, calls: list[int]) -> None:
    server, now, found = Server(), 1.0, list[int]()
    for number in range(count):
        server.hear(f"{number}", b"1", 0.0)
    while True:
        server.handle_timeout(now)
        found.append(server.waiting_events - sum(found))
        due = server.next_timeout()
        if due is None:
            break
        assert now < due < 1.1  # it is asked for at once, and the loop can look at its sockets
        now = due
    assert found == calls


def test_what_was_left_to_do_goes_on_behind_a_snapshot_and_not_behind_the_end() -> None:
    server, again = Server(), Server()
    for number in range(40):
        server.hear(f"{number}", b"1", 0.0)
    server.handle_timeout(1.0)
    again.thaw(server.freeze(0.0), 0.0)
    due = server.next_timeout()
    assert due is not None
    assert again.next_timeout() == due == nextafter(1.0, inf)
    again.handle_timeout(due)
    assert not again.table.nodes
    server.end(ABORTED)
    assert server.next_timeout() is None
