"""Nodes over the virtual network: directly and through mailboxes, with restarts, moves, sleep and goodbyes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from scripted_egtp import AT_A, AT_B, AT_C, EPOCH, RELAY, SERVER, A, B, C, KeyPair, NodePeer, node
from test_mailbox import Office

from sansproto.contract import Address, Path, SendDatagram
from sansproto.egtp import (
    CloseReason,
    EgtpNode,
    Established,
    Mailbox,
    MailboxReachable,
    MailboxUnreachable,
    MessageReceived,
    NodeLimits,
    PathChanged,
    PeerClosed,
    PeerRestarted,
    Reason,
    RecoveryConfig,
    RecoveryLimits,
    Relay,
    Suspected,
    Undelivered,
    Unreachable,
    crypto,
    place_of,
)
from sansproto.egtp import packets as p
from sansproto.egtp.node import EVENTS_WAIT, NOT_TOLD, OUTPUT_WAITS
from sansproto.egtp.routes import polled_route, relay_route
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import CloseCause, Closed, Writable
from sansproto.recovery import Route
from sansproto.testing.network import Conditions, Node, VirtualNetwork

T = TypeVar("T")


class World:
    """Nodes with a socket each, on a network."""

    def __init__(self, seed: int = 1, **conditions: Any) -> None:
        self.net = VirtualNetwork(seed=seed, default=Conditions(**{"latency": 0.05, **conditions}))
        self.lives = 0

    def end(self, keys: KeyPair, address: str, **more: Any) -> Node[Any]:
        return self.net.host(address).run(self.fresh(keys, **more), sockets={"udp": 7000})

    def fresh(self, keys: KeyPair, **more: Any) -> EgtpNode:
        """Another process."""
        self.lives += 1
        return node(keys, f"life {self.lives}", **more)

    def connect(self, one: Node[Any], other: Node[Any], keys: KeyPair) -> None:
        path = Path("udp", other.host.address, other.sockets["udp"])
        one.call(lambda now: one.endpoint.connect(keys.public, path, now))

    def pair(self, **more: Any) -> tuple[Node[Any], Node[Any]]:
        """A and B with a session."""
        a, b = self.end(A, "10.0.0.1", **more), self.end(B, "10.0.0.2", **more)
        self.connect(a, b, B)
        self.net.run_until(lambda: bool(told(a, Established)) and bool(told(b, Established)))
        return a, b


def told(end: Node[Any], kind: type[T]) -> list[T]:
    return [event for event in end.events if isinstance(event, kind)]


def texts(end: Node[Any]) -> list[bytes]:
    return [event.data for event in told(end, MessageReceived)]


def say(end: Node[Any], to: KeyPair, text: bytes) -> bool:
    return end.call(lambda now: end.endpoint.send(to.public, text, now))


# -- directly


def test_both_ends_are_told_and_early_messages_arrive() -> None:
    world = World()
    a, b = world.end(A, "10.0.0.1"), world.end(B, "10.0.0.2")
    world.connect(a, b, B)
    assert say(a, B, b"early")
    world.net.run(1.0)
    (ours,), (theirs,) = told(a, Established), told(b, Established)
    assert (ours.peer, ours.reason, theirs.peer, theirs.reason) == (B.public, Reason.FIRST, A.public, Reason.FIRST)
    assert say(b, A, b"back")
    world.net.run(1.0)
    assert (texts(b), texts(a)) == ([b"early"], [b"back"])
    (message,) = told(b, MessageReceived)
    assert (message.peer, message.generation, message.handle) == (A.public, 1, theirs.handle)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_who_restarts_and_speaks_is_heard_at_once(loss: float) -> None:
    world = World(loss=loss)
    a, b = world.pair()
    b.restart(world.fresh(B), silent=True)
    world.connect(b, a, A)
    assert say(b, A, b"I am back")
    world.net.run_until(lambda: texts(a) == [b"I am back"], within=1.0 if not loss else 30.0)
    (restarted,) = told(a, PeerRestarted)
    assert restarted.peer == B.public
    assert [event.reason for event in told(a, Established)] == [Reason.FIRST, Reason.RESTART]
    assert [event.reason for event in told(b, Established)][-1] is Reason.FIRST


def test_who_restarts_and_is_silent_is_found_by_a_hint() -> None:
    world = World()
    a, b = world.pair()
    b.restart(world.fresh(B), silent=True)
    b.events.clear()
    began = world.net.now
    while not texts(b):
        say(a, B, b"are you there?")
        world.net.run(0.1)
    assert world.net.now - began < 2.0
    assert [event.reason for event in told(a, Established)][-1] is Reason.RESTART


def test_without_reset_tokens_a_hint_leads_to_a_ping_and_then_to_a_handshake() -> None:
    world = World()
    a, b = world.pair(reset_tokens=False)
    b.restart(world.fresh(B, reset_tokens=False), silent=True)
    b.events.clear()
    began = world.net.now
    while not texts(b):
        say(a, B, b"are you there?")
        world.net.run(0.1)
    assert 1.0 < world.net.now - began < 5.0
    assert told(a, Suspected)


def test_a_node_that_moves_keeps_its_session() -> None:
    world = World()
    nat = world.net.nat("203.0.113.1")
    a = world.net.host("10.1.1.1", nat=nat).run(world.fresh(A), sockets={"udp": 7000})
    b = world.end(B, "10.0.0.2")
    world.connect(a, b, B)
    world.net.run(1.0)
    nat.rebind()
    for number in range(20):
        say(a, B, b"%d" % number)
        say(b, A, b"%d" % number)
        world.net.run(0.2)
    assert texts(b) == [b"%d" % number for number in range(20)]
    (moved,) = told(b, PathChanged)
    old, new = place_of(moved.old), place_of(moved.new)
    assert isinstance(old, Path)
    assert isinstance(new, Path)
    assert old.host == new.host == "203.0.113.1"
    assert old.port != new.port
    assert len(told(b, Established)) == 1
    assert texts(a)[-5:] == [b"%d" % number for number in range(15, 20)]


def test_two_who_call_each_other_have_one_session() -> None:
    world = World()
    a, b = world.end(A, "10.0.0.1"), world.end(B, "10.0.0.2")
    world.connect(a, b, B)
    world.connect(b, a, A)
    world.net.run(3.0)
    say(a, B, b"x")
    say(b, A, b"y")
    world.net.run(1.0)
    ours, theirs = a.endpoint.recovery.peers[B.public], b.endpoint.recovery.peers[A.public]
    assert a.endpoint.keyring.keys[ours.cur].remote_sid == theirs.cur
    assert (texts(a), texts(b)) == ([b"y"], [b"x"])


def test_a_goodbye_is_told_and_nobody_calls_again() -> None:
    world = World()
    a, b = world.pair()
    a.call(lambda now: a.endpoint.disconnect(B.public, now))
    world.net.run(1.0)
    (closed,) = told(b, PeerClosed)
    assert (closed.peer, closed.reason) == (A.public, CloseReason.NORMAL)
    assert not say(b, A, b"too late")
    world.net.run(100.0)
    assert (len(told(a, Established)), len(told(b, Established))) == (1, 1)


def test_a_goodbye_to_who_is_not_known_does_not_keep_a_node_from_its_end() -> None:
    one = node(A)
    one.disconnect(B.public, 0.0)
    one.close(0.0)
    assert one.next_event() == Closed(CloseCause.LOCAL)


def test_a_node_that_closes_says_goodbye_to_everybody_and_ends() -> None:
    world = World()
    a, b = world.pair()
    c = world.end(C, "10.0.0.3")
    world.connect(c, a, A)
    world.net.run(1.0)
    a.call(a.endpoint.close)
    world.net.run(1.0)
    assert told(a, Closed) == []
    for verb in (
        lambda now: a.endpoint.send(B.public, b"x", now),
        lambda now: a.endpoint.connect(B.public, AT_B, now),
        lambda now: a.endpoint.disconnect(B.public, now),
        lambda now: a.endpoint.start(now),
    ):
        with pytest.raises(NotOpen):
            a.call(verb)
    world.net.run(2.0)
    assert a.events[-1] == Closed(CloseCause.LOCAL)
    for other in (b, c):
        assert [event.reason for event in told(other, PeerClosed)] == [CloseReason.GOING_AWAY]


def test_what_waits_for_a_peer_that_does_not_answer_comes_back() -> None:
    world = World()
    a = world.end(A, "10.0.0.1", recovery=RecoveryConfig(limits=RecoveryLimits(queue=2)))
    a.call(lambda now: a.endpoint.connect(B.public, AT_B, now))
    assert [say(a, B, text) for text in (b"one", b"two", b"three")] == [True, True, False]
    world.net.run(100.0)
    assert [event.peer for event in told(a, Unreachable)] == [B.public]
    a.call(lambda now: a.endpoint.disconnect(B.public, now))
    (undelivered,) = told(a, Undelivered)
    assert undelivered.packets == (b"one", b"two")


def test_only_those_who_are_named_are_let_in() -> None:
    world = World()
    a, b, c = world.end(A, "10.0.0.1", only=[B.public]), world.end(B, "10.0.0.2"), world.end(C, "10.0.0.3")
    world.connect(b, a, A)
    world.connect(c, a, A)
    world.net.run(3.0)
    assert [event.peer for event in told(a, Established)] == [B.public]
    assert (len(told(b, Established)), len(told(c, Established))) == (1, 0)
    assert a.endpoint.stats.dropped["a peer that is not let in"] > 1


def test_who_said_goodbye_refuses_the_same_instance_even_if_it_is_let_in() -> None:
    world = World()
    a, b = world.pair(only=[A.public, B.public])
    world.net.partition("10.0.0.1", "10.0.0.2")
    a.call(lambda now: a.endpoint.disconnect(B.public, now))
    world.net.run(190.0)
    world.net.heal("10.0.0.1", "10.0.0.2")
    world.net.run(60.0)
    say(b, A, b"hello?")
    world.net.run(60.0)
    assert len(told(a, Established)) == 1
    assert texts(a) == []


def test_a_node_that_slept_is_back_with_a_handshake() -> None:
    world = World()
    a, b = world.pair()
    a.call(lambda now: a.endpoint.resumed(now, asleep=3600.0))
    world.net.run(2.0)
    assert [event.reason for event in told(a, Established)] == [Reason.FIRST, Reason.REKEY]
    say(b, A, b"still here")
    world.net.run(1.0)
    assert texts(a) == [b"still here"]


def test_a_report_about_a_path_ends_nothing() -> None:
    world = World()
    a, b = world.pair()
    for _ in range(100):
        a.call(lambda now: a.endpoint.datagram_failed(Path("udp", "10.0.0.2", 7000), now, detail="unreachable"))
    world.net.run(5.0)
    say(a, B, b"x")
    world.net.run(1.0)
    assert texts(b) == [b"x"]
    assert len(told(a, Established)) == 1


def test_a_saved_session_goes_on_in_another_process() -> None:
    world = World()
    a, b = world.pair()
    assert a.call(lambda now: a.endpoint.save(B.public, now)) is not None
    say(a, B, b"one more")
    record = a.call(lambda now: a.endpoint.save(B.public, now))
    session = a.endpoint.recovery.sessions[record.session.sid]
    assert session.bound < record.session.counter
    a.call(lambda now: a.endpoint.saved(record, now))
    assert session.bound == record.session.counter
    assert a.call(lambda now: a.endpoint.save(C.public, now)) is None
    world.net.run(1.0)
    b.events.clear()
    a.restart(world.fresh(A), silent=True)
    a.events.clear()
    assert a.call(lambda now: a.endpoint.load(record, now)) is True
    assert a.call(lambda now: a.endpoint.load(record, now)) is False
    assert say(a, B, b"as if nothing had been")
    world.net.run(2.0)
    say(b, A, b"what should have been?")
    world.net.run(1.0)
    assert (texts(b), texts(a)) == ([b"as if nothing had been"], [b"what should have been?"])
    assert told(b, PeerRestarted) == []


# -- what the application asks for


def test_verbs_are_refused_before_anything_changes() -> None:
    one = node(A)
    order_8 = (325606250916557431795983626356110631294008115727848805560023387167927233504).to_bytes(32, "little")
    for peer in (A.public, bytes(32), b"\xff" * 32, order_8, b"short"):
        with pytest.raises(LocalProtocolError):
            one.connect(peer, AT_B, 0.0)
    with pytest.raises(LocalProtocolError, match="1198"):
        one.send(B.public, bytes(1199), 0.0)
    with pytest.raises(LocalProtocolError, match="no mailbox"):
        one.connect_by_mailbox(B.public, SERVER.public, 0.0)
    with pytest.raises(ValueError, match="32 bytes"):
        node(A, relays=(Relay(b"short", Address("192.0.2.1", 1)),))
    with pytest.raises(ValueError, match="message"):
        NodeLimits(message=65_502)


def test_the_largest_messages_pass() -> None:
    world = World()
    a, b = world.pair(limits=NodeLimits(message=65_501))
    for size in (0, 1, 1198, 65_501):
        say(a, B, bytes(size))
    world.net.run(1.0)
    assert sorted(map(len, texts(b))) == [0, 1, 1198, 65_501]


def test_send_takes_nothing_while_output_waits_and_says_when_to_go_on() -> None:
    peer = NodePeer.live(limits=NodeLimits(outbox=4))
    peer.meet(B, AT_B)
    peer.connect(B.public, AT_B, 0.0)
    peer.settle()
    peer.events.clear()
    taken = [peer.endpoint.send(B.public, b"x", 0.0) for _ in range(6)]
    assert taken == [True] * 4 + [False] * 2
    assert peer.stats.refused == {OUTPUT_WAITS.reason: 2}
    peer.drain()
    assert peer.events == [Writable()]
    assert peer.send(B.public, b"x", 0.0)


def test_an_application_that_takes_no_events_misses_remarks_and_may_not_send() -> None:
    peer = NodePeer.live(limits=NodeLimits(events=1))
    peer.connect(B.public, AT_B, 0.0)
    while peer.endpoint.next_transmit():
        pass
    for _ in range(6):
        peer.endpoint.handle_timeout(peer.endpoint.clock + 200.0)
    assert peer.endpoint.stats.noted[NOT_TOLD.remark] >= 2
    assert peer.endpoint.send(B.public, b"x", peer.endpoint.clock) is False
    assert peer.stats.refused == {EVENTS_WAIT.reason: 1}
    peer.drain()
    assert [type(event) for event in peer.events] == [Unreachable, Writable]


def test_routes_are_remembered_up_to_a_limit_and_found_again() -> None:
    peer = NodePeer.live(limits=NodeLimits(paths=2))
    peer.meet(B, AT_B)
    peer.connect(B.public, AT_B, 0.0)
    peer.settle()
    for port in range(1, 6):
        peer.receive_datagram(b"\x0c" + bytes(8), Path("udp", "203.0.113.9", port), 0.0)
        assert len(peer.endpoint.routes.by_path) <= 2
    peer.send(B.public, b"x", 0.0)
    sent = peer.endpoint.next_transmit()
    assert isinstance(sent, SendDatagram)
    assert sent.path == AT_B


@pytest.mark.parametrize(
    "path",
    [
        AT_A,
        Path("", "192.0.2.1", 1),
        Path("wifi", "2001:db8::5", 65_535),
        Path("udp", "fe80::1", 9, 3),
    ],
)
def test_a_route_can_be_read(path: Path) -> None:
    assert place_of(node(A).routes.of(path)) == path


def test_routes_of_mailboxes_can_be_read() -> None:
    assert place_of(relay_route(SERVER.public, B.public)) == Mailbox(
        SERVER.public, crypto.mailbox_id(SERVER.public, B.public)
    )
    assert place_of(polled_route(SERVER.public)) == Mailbox(SERVER.public, b"")
    assert not polled_route(SERVER.public).reply


def test_hosts_that_are_no_addresses_are_one_for_all() -> None:
    routes = node(A).routes
    assert routes.of(Path("udp", "nonsense", 7)) == routes.of(Path("udp", "gibberish", 7))
    assert isinstance(routes.of(Path("udp", "nonsense", 7)), Route)


# -- through mailboxes


class Mail(Office):
    """A mailbox server, and nodes that poll it every minute."""

    def end(self, keys: KeyPair, address: str, **more: Any) -> Node[Any]:
        found: Node[Any] = self.net.host(address).run(self.fresh(keys, **more))
        found.call(found.endpoint.start)
        return found

    def fresh(self, keys: KeyPair, **more: Any) -> EgtpNode:
        self.draws += 1
        return node(keys, f"life {self.draws}", **{"relays": (RELAY,), **more})

    def again(self, end: Node[Any], keys: KeyPair, **more: Any) -> None:
        """It is killed, and started anew."""
        end.restart(self.fresh(keys, **more), silent=True)
        end.events.clear()
        end.call(end.endpoint.start)

    def connect(self, one: Node[Any], keys: KeyPair) -> None:
        one.call(lambda now: one.endpoint.connect_by_mailbox(keys.public, SERVER.public, now))

    def takes(self, goal: Callable[[], object], within: float = 4000.0) -> float:
        began = self.net.now
        self.net.run_until(lambda: bool(goal()), within=within)
        return self.net.now - began

    def talk(self, one: Node[Any], to: KeyPair) -> None:
        """A message every ten seconds, for ever."""
        if one in one.host.nodes:
            say(one, to, b"are you there?")
        self.net.after(10.0, lambda: self.talk(one, to))

    def pair(self) -> tuple[Node[Any], Node[Any]]:
        a, b = self.end(A, "10.0.0.1"), self.end(B, "10.0.0.2")
        self.connect(a, B)
        assert self.takes(lambda: told(a, Established) and told(b, Established)) <= 4 * 66.0
        return a, b


def test_two_nodes_talk_through_a_mailbox_server() -> None:
    mail = Mail()
    a, b = mail.pair()
    assert told(a, MailboxReachable) == told(b, MailboxReachable) == [MailboxReachable(SERVER.public)]
    assert say(a, B, b"hello")
    assert mail.takes(lambda: texts(b) == [b"hello"]) <= 67.0
    assert say(b, A, b"hello yourself")
    assert mail.takes(lambda: texts(a) == [b"hello yourself"]) <= 67.0
    assert not mail.node.endpoint.stats.refused


@pytest.mark.unmeasured
@pytest.mark.parametrize("phase", [0.0, 13.0, 29.0, 41.0, 57.0])
def test_a_node_behind_a_mailbox_restarts_and_speaks(phase: float) -> None:
    """S05: two polls."""
    mail = Mail()
    a, b = mail.pair()
    mail.net.run(phase)
    mail.again(a, A)
    mail.connect(a, B)
    say(a, B, b"I am back")
    assert mail.takes(lambda: told(b, PeerRestarted)) <= 120.0
    say(b, A, b"so you are")
    assert mail.takes(lambda: b"I am back" in texts(b) and texts(a) == [b"so you are"]) <= 67.0


@pytest.mark.unmeasured
@pytest.mark.parametrize("phase", [0.0, 31.0])
def test_the_same_with_a_clock_that_went_back(phase: float) -> None:
    """S34: two more polls, for the proof that it is no replay."""
    mail = Mail()
    a, b = mail.pair()
    mail.connect(b, A)
    mail.net.run(phase)
    a.call(lambda now: a.endpoint.resumed(now, asleep=86_400.0))  # a handshake of A's own, with the right time
    mail.takes(lambda: len(told(b, Established)) == 2)
    mail.again(a, A, wall_epoch=EPOCH - 115 * 86_400.0)
    mail.connect(a, B)
    assert mail.takes(lambda: told(b, PeerRestarted)) <= 240.0
    assert b.endpoint.stats.noted["a challenge was sent"] >= 1


@pytest.mark.unmeasured
@pytest.mark.parametrize("phase", [0.0, 13.0, 29.0, 41.0, 57.0])
def test_a_node_behind_a_mailbox_restarts_and_is_silent(phase: float) -> None:
    """S04: nothing but the silence itself can tell."""
    mail = Mail()
    a, b = mail.pair()
    mail.talk(b, A)
    mail.net.run(200.0 + phase)
    mail.again(a, A)
    assert mail.takes(lambda: told(b, PeerRestarted)) <= 600.0
    assert mail.takes(lambda: texts(a)) <= 67.0
    assert [event.reason for event in told(b, Established)] == [Reason.FIRST, Reason.RESTART]


def test_a_mailbox_server_that_restarts_loses_nothing_of_them() -> None:
    mail = Mail()
    a, b = mail.pair()
    say(a, B, b"kept")
    mail.net.run(1.0)
    mail.restart()
    mail.net.run(5.0)
    assert told(b, MailboxUnreachable) == [MailboxUnreachable(SERVER.public, CloseCause.LOST)]
    assert mail.takes(lambda: texts(b) == [b"kept"]) <= 90.0


def test_a_goodbye_goes_through_a_mailbox_too() -> None:
    mail = Mail()
    a, b = mail.pair()
    a.call(a.endpoint.close)
    mail.net.run(3.0)
    assert a.events[-1] == Closed(CloseCause.LOCAL)
    assert mail.takes(lambda: told(b, PeerClosed)) <= 67.0


# -- the end of a node


def leave(end: Node[Any], peer: KeyPair) -> None:
    """Say goodbye to one peer, and close at once."""

    def go(now: float) -> None:
        end.endpoint.disconnect(peer.public, now)
        end.endpoint.close(now)

    end.call(go)


def test_a_goodbye_is_said_again_although_nobody_is_left_when_the_node_closes() -> None:
    world = World()
    a, b = world.pair()
    world.net.partition("10.0.0.1", "10.0.0.2")
    leave(a, B)
    world.net.run(0.5)
    world.net.heal("10.0.0.1", "10.0.0.2")
    world.net.run(1.0)
    assert [event.reason for event in told(b, PeerClosed)] == [CloseReason.NORMAL]
    assert told(a, Closed) == []
    world.net.run(0.6)
    assert told(a, Closed) == [Closed(CloseCause.LOCAL)]


def test_a_node_that_has_left_everybody_long_ago_ends_at_once() -> None:
    world = World()
    a, _ = world.pair()
    a.call(lambda now: a.endpoint.disconnect(B.public, now))
    world.net.run(2.5)
    a.call(a.endpoint.close)
    assert told(a, Closed) == [Closed(CloseCause.LOCAL)]


@pytest.mark.parametrize("idle", [5.0, 100.0])
def test_a_goodbye_leaves_although_the_server_has_to_be_called_for_it(idle: float) -> None:
    """The connection to the other one's mailbox is closed when nothing was written for 30 s."""
    mail = Mail()
    a, b = mail.pair()
    mail.net.run(idle)
    say(a, B, b"and one thing more")
    leave(a, B)
    mail.net.run(3.0)
    assert a.events[-1] == Closed(CloseCause.LOCAL)
    assert mail.takes(lambda: told(b, PeerClosed)) <= 67.0
    assert texts(b) == [b"and one thing more"]


def test_a_node_waits_for_mailbox_servers_that_are_far_away() -> None:
    """Longer than for those who did not hear the goodbye."""
    mail = Mail()
    a, b = mail.pair()
    mail.net.run(100.0)
    mail.net.default = Conditions(latency=1.0)
    leave(a, B)
    mail.net.run(3.0)
    assert told(a, Closed) == []
    mail.net.run(4.0)
    assert a.events[-1] == Closed(CloseCause.LOCAL)
    assert mail.takes(lambda: told(b, PeerClosed)) <= 70.0


def test_a_node_does_not_wait_for_ever_and_says_that_something_has_not_left() -> None:
    mail = Mail()
    a, _ = mail.pair()
    mail.net.run(100.0)
    mail.net.default = Conditions(latency=100.0)
    leave(a, B)
    mail.net.run(11.9)
    assert told(a, Closed) == []
    mail.net.run(0.2)
    mail.net.default = Conditions(latency=0.02)
    mail.net.run(300.0)
    assert a.events[-1] == Closed(CloseCause.TIMEOUT, detail="packets that no mailbox server took: 1")


def test_a_node_says_that_what_was_on_its_way_is_lost() -> None:
    mail = Mail()
    a, _ = mail.pair()
    mail.net.run(100.0)
    mail.node.stop(silent=False)
    mail.net.run(5.0)
    a.call(lambda now: a.endpoint.disconnect(B.public, now))
    mail.net.run(0.5)
    a.call(a.endpoint.close)
    mail.net.run(3.0)
    assert a.events[-1] == Closed(CloseCause.LOST, detail="packets that no mailbox server took: 1")


def test_what_was_lost_before_the_goodbye_is_nothing_of_the_end() -> None:
    mail = Mail()
    a, _ = mail.pair()
    mail.connect(a, C)  # who has no mailbox there
    mail.net.run(100.0)
    a.call(lambda now: a.endpoint.disconnect(C.public, now))
    assert a.endpoint.stats.refused == {"a mailbox server did not take a packet": 1}
    leave(a, B)
    mail.net.run(3.0)
    assert a.events[-1] == Closed(CloseCause.LOCAL)


def test_packets_that_fit_no_mailbox_are_counted() -> None:
    mail = Mail()
    _, b = mail.pair()
    big = mail.end(C, "10.0.0.3", limits=NodeLimits(message=40_000))
    mail.connect(big, B)
    mail.takes(lambda: told(big, Established))
    say(big, B, bytes(40_000))
    say(big, B, b"small")
    assert mail.takes(lambda: texts(b) == [b"small"]) <= 140.0
    assert big.endpoint.stats.refused["a mailbox server did not take a packet"] == 1


def test_only_so_many_mailboxes_are_written_to_at_once() -> None:
    peers = [KeyPair.of(bytes([number]) * 32) for number in (51, 52, 53)]
    one = node(A, relays=(RELAY,), limits=NodeLimits(depositors=2))
    for peer in peers:
        one.connect_by_mailbox(peer.public, SERVER.public, 0.0)
    assert len(one.relays.depositors) == 2
    assert one.stats.refused == {"too many mailboxes are written to": 1}


def test_an_unused_connection_makes_room_for_another() -> None:
    mail = Mail()
    a = mail.end(A, "10.0.0.1", limits=NodeLimits(depositors=1))
    mail.connect(a, B)
    mail.net.run(5.0)
    mail.connect(a, C)
    mail.net.run(5.0)
    assert [mailbox for _, mailbox in a.endpoint.relays.depositors] == [crypto.mailbox_id(SERVER.public, C.public)]
    assert a.endpoint.stats.refused == {"a mailbox server did not take a packet": 2}  # they have none


def test_nothing_can_be_answered_at_a_server_where_we_have_no_mailbox() -> None:
    one = node(A)
    one.transmit(b"\x0c" + bytes(8), relay_route(SERVER.public, B.public))
    assert one.stats.refused == {"no mailbox at this server": 1}


def test_the_server_learns_no_key_of_a_depositor() -> None:
    mail = Mail()
    mail.pair()
    known = {caller.who for caller in mail.node.endpoint.callers.values()}
    owners = {caller.who for caller in mail.node.endpoint.callers.values() if caller.mailbox}
    assert owners == {A.public, B.public}
    mail.net.run(200.0)
    assert not (known - owners) & {A.public, B.public}


def test_a_mailbox_made_anew_counts_from_one_again() -> None:
    mail = Mail()
    a, b = mail.pair()
    mail.store.boxes.clear()
    mail.restart()
    mail.net.run(100.0)
    say(a, B, b"after all was lost")
    assert mail.takes(lambda: b"after all was lost" in texts(b)) <= 400.0


def test_names_of_draws_tell_what_they_are_for() -> None:
    peer = NodePeer.recorded()
    peer.meet(B, AT_B)
    peer.connect(B.public, AT_B, 0.0)
    peer.settle()
    assert {draw.purpose.partition(".")[0] for draw in peer.entropy.draws} == {"recovery", "egtp"}


def test_secrets_stay_out_of_reprs() -> None:
    peer = NodePeer.live()
    peer.meet(C, AT_C)
    peer.connect(C.public, AT_C, 0.0)
    handshakes = repr(peer.endpoint.keyring.handshakes)
    peer.settle()
    (keys,) = peer.endpoint.keyring.keys.values()
    for secret in (keys.send, keys.receive, peer.endpoint.own_private):
        assert repr(secret)[2:-1] not in repr(keys) + handshakes
    record = p.KeyRecord.decode(peer.endpoint.export(next(iter(peer.endpoint.keyring.keys))))
    assert repr(keys.send)[2:-1] not in repr(record)
