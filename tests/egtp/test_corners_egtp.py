"""Corners of mailboxes and nodes: what comes after the end, refusals, and links that end at an unlucky moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scripted_egtp import (
    AT_B,
    EPOCH,
    OTHER,
    RELAY,
    SERVER,
    THERE,
    A,
    B,
    C,
    ClientPeer,
    NodePeer,
    ServerPeer,
    deposit,
    mailbox_of,
    node,
)

from sansproto.contract import AbortTransport, Address, CloseTransport, SendError
from sansproto.egtp import (
    MAILBOX_PORT,
    EgtpNode,
    Established,
    MailboxReachable,
    MailboxServerLimits,
    MailboxUnreachable,
    MailboxViolation,
    MessageReceived,
    NodeDelays,
    NodeLimits,
    Reason,
    RecoveryConfig,
    RecoveryDelays,
    RecoveryLimits,
    Relay,
)
from sansproto.egtp import packets as p
from sansproto.egtp.depositor import NOT_TAKEN, DepositorState
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.testing.entropy import ScriptedEntropy

# -- after the end


def abort(peer: Any) -> None:
    peer.abort()


def close(peer: Any) -> None:
    """And let time pass until that is over."""
    peer.close(peer.now)
    peer.wait(60.0)


PEERS: dict[str, Callable[[], Any]] = {
    "node": NodePeer.live,
    "mailbox client": ClientPeer.live,
    "mailbox server": ServerPeer.live,
}
VERBS: dict[str, dict[str, Callable[[Any], object]]] = {
    "node": {
        "start": lambda peer: peer.start(peer.now),
        "connect": lambda peer: peer.connect(B.public, AT_B, peer.now),
        "connect_by_mailbox": lambda peer: peer.connect_by_mailbox(B.public, SERVER.public, peer.now),
        "send": lambda peer: peer.send(B.public, b"x", peer.now),
        "disconnect": lambda peer: peer.disconnect(B.public, peer.now),
        "save": lambda peer: peer.save(B.public, peer.now),
        "saved": lambda peer: peer.saved(None, peer.now),
        "load": lambda peer: peer.load(None, peer.now),
    },
    "mailbox client": {
        "connect": lambda peer: peer.connect(peer.now),
        "register": lambda peer: peer.register(peer.now),
        "poll": lambda peer: peer.poll(1, peer.now),
        "ack": lambda peer: peer.ack(1, peer.now),
        "deposit": lambda peer: peer.deposit(mailbox_of(OTHER), b"x", peer.now),
    },
    "mailbox server": {
        "load": lambda peer: peer.load((), peer.now),
        "stored": lambda peer: peer.stored(1, peer.now),
    },
}
OF_ALL: dict[str, Callable[[Any], object]] = {
    "close": lambda peer: peer.close(peer.now),
    "network_changed": lambda peer: peer.network_changed(peer.now),
    "resumed": lambda peer: peer.resumed(peer.now, asleep=9.0),
    "datagram_failed": lambda peer: peer.datagram_failed(AT_B, peer.now),
    "receive_datagram": lambda peer: peer.receive_datagram(b"\x0c" + bytes(8), AT_B, peer.now),
    "socket_bound": lambda peer: peer.socket_bound("udp", Address("192.0.2.10", 7000), peer.now),
    "transport_lost": lambda peer: peer.transport_lost(peer.now),
}


@pytest.mark.parametrize("end", [abort, close])
@pytest.mark.parametrize(("kind", "verb"), [(kind, verb) for kind, verbs in VERBS.items() for verb in verbs])
def test_each_verb_is_refused_after_the_end(kind: str, verb: str, end: Callable[[Any], None]) -> None:
    peer = PEERS[kind]()
    end(peer)
    with pytest.raises(NotOpen) as refused:
        VERBS[kind][verb](peer)
    assert refused.value.verb == verb
    assert [type(event) for event in peer.take()] == [Closed]


def end_slowly(peer: ClientPeer) -> None:
    """The server has gone; the link to it is not closed yet."""
    peer.own()
    peer.pause = 0.125
    peer.receive_eof(peer.link, peer.now)
    peer.drain()


CLIENTS: dict[str, Callable[[ClientPeer], object]] = {
    "NEW": lambda peer: None,
    "HELLO": ClientPeer.open,
    "READY": ClientPeer.welcome,
    "REGISTERING": lambda peer: (peer.welcome(), peer.register(peer.now)),
    "OWNER": ClientPeer.own,
    "ENDED": end_slowly,
}
MAY: dict[str, tuple[str, ...]] = {
    "NEW": ("connect",),
    "HELLO": (),
    "READY": ("register", "deposit"),
    "REGISTERING": ("deposit",),
    "OWNER": ("deposit", "poll"),
    "ENDED": (),
}
BUGS: set[tuple[str, str]] = {
    *((state, "connect") for state in CLIENTS if state != "NEW"),
    *(("REGISTERING", verb) for verb in ("register", "poll", "ack")),
    *(("READY", verb) for verb in ("poll", "ack")),
    ("OWNER", "register"),
    ("OWNER", "ack"),  # no such message came
}


@pytest.mark.parametrize("verb", VERBS["mailbox client"])
@pytest.mark.parametrize("state", CLIENTS)
def test_a_client_takes_requests_while_its_connection_stands(state: str, verb: str) -> None:
    peer = ClientPeer.live()
    CLIENTS[state](peer)
    assert peer.connection.state.name == state
    ask = VERBS["mailbox client"][verb]
    if verb in MAY[state]:
        assert ask(peer) is not False
        return
    before = peer.endpoint.snapshot()
    with pytest.raises(LocalProtocolError if (state, verb) in BUGS else NotOpen) as refused:
        ask(peer)
    assert (refused.value.verb, refused.value.state) == (verb, state)
    assert peer.endpoint.snapshot() == before


@pytest.mark.parametrize("end", [abort, close])
@pytest.mark.parametrize("report", OF_ALL)
@pytest.mark.parametrize("kind", PEERS)
def test_each_report_is_counted_after_the_end(kind: str, report: str, end: Callable[[Any], None]) -> None:
    peer = PEERS[kind]()
    end(peer)
    OF_ALL[report](peer)
    assert peer.stats.dropped == ({} if report == "close" else {"closed": 1})  # that is no report, and may come again
    assert [type(event) for event in peer.take()] == [Closed]
    assert peer.transmits == []


def test_a_report_after_the_end_changes_nothing_of_a_node() -> None:
    peer = NodePeer.live()
    abort(peer)
    before = peer.endpoint.recovery.freeze(0.0)
    peer.datagram_failed(AT_B, peer.now, error=SendError.TOO_BIG)
    assert peer.endpoint.recovery.freeze(0.0) == before


# -- the mailbox server


def test_who_left_before_its_message_was_stored_is_not_answered() -> None:
    peer = ServerPeer.live()
    peer.owner()
    leaving, staying = peer.guest(), peer.guest(host=THERE)
    peer.is_storing = False
    for guest in (leaving, staying):
        guest.ask(deposit())
    peer.stream_lost(leaving.at, peer.now)
    peer.is_storing = True
    peer.settle()
    assert (leaving.take(), staying.take()) == ([], [p.Deposited(b"\1\0\0\0", 0)])


# -- the node


def test_a_node_tells_its_id_and_what_waits() -> None:
    peer = NodePeer.live()
    assert peer.public_key == A.public
    assert peer.waiting(B.public) == 0
    peer.connect(B.public, AT_B, peer.now)
    for text in (b"one", b"two"):
        assert peer.send(B.public, text, peer.now)
    assert peer.waiting(B.public) == 2


def test_a_node_tells_since_when_a_peer_is_silent() -> None:
    peer = NodePeer.live()
    assert peer.endpoint.silent_since(B.public) is None
    other = peer.meet(B, AT_B)
    peer.connect(B.public, AT_B, peer.now)
    assert peer.endpoint.silent_since(B.public) is None
    peer.go(1.0)
    assert peer.endpoint.silent_since(B.public) is None
    del peer.others[AT_B]
    since = peer.now
    for _ in range(2):
        assert peer.send(B.public, b"are you there?", peer.now)
        peer.go(0.5)
    assert peer.endpoint.silent_since(B.public) == since
    peer.others[AT_B] = other
    peer.go(6.0)  # until it is asked
    assert peer.endpoint.silent_since(B.public) is None


def test_by_mailboxes_nobody_counts_as_silent() -> None:
    peer = polling(delays=NodeDelays(poll=10.0))
    peer.befriend(B)
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    for _ in range(8):
        peer.go(5.0)
        peer.visit()
    assert any(isinstance(event, Established) for event in peer.take())
    assert peer.send(B.public, b"are you there?", peer.now)
    assert peer.endpoint.recovery.peers[B.public].current.silence.since == peer.now
    assert peer.endpoint.silent_since(B.public) is None


def test_a_node_takes_no_connections() -> None:
    peer = NodePeer.live()
    link = peer.stream_accepted(MAILBOX_PORT, Address("203.0.113.9", 4000), peer.now)
    peer.drain()
    assert peer.how == {link: AbortTransport}
    assert link not in peer.links


def polling(**more: Any) -> NodePeer:
    """A node whose mailbox is polled."""
    peer = NodePeer.live(relays=(RELAY,), **more)
    peer.serve()
    peer.start(peer.now)
    peer.settle()
    assert peer.take() == [MailboxReachable(SERVER.public)]
    return peer


@pytest.mark.parametrize(
    ("go", "cause", "violation"),
    [
        (
            lambda peer, link: peer.receive_data(link, b"\0\0", peer.now),
            CloseCause.VIOLATION,
            MailboxViolation.BAD_FRAME,
        ),
        (lambda peer, link: peer.receive_eof(link, peer.now), CloseCause.LOST, None),
    ],
)
def test_a_mailbox_server_that_goes_is_told_and_called_again(
    go: Callable[[NodePeer, Any], None], cause: CloseCause, violation: MailboxViolation | None
) -> None:
    peer = polling(delays=NodeDelays(redial=5.0))
    (link,) = peer.links
    go(peer, link)
    assert peer.take() == [MailboxUnreachable(SERVER.public, cause, violation=violation)]
    peer.go(4.0)
    assert peer.take() == []
    peer.go(7.0)
    assert peer.take() == [MailboxReachable(SERVER.public)]


def test_two_processes_with_one_key_are_told_of_each_other_by_their_mailbox_server() -> None:
    peer = polling(delays=NodeDelays(redial=5.0, poll=30.0))
    peer.befriend(A)
    peer.settle()
    assert peer.take() == [MailboxUnreachable(SERVER.public, CloseCause.REFUSED, violation=MailboxViolation.SUPERSEDED)]


def test_two_processes_with_one_key_take_their_mailbox_from_each_other_ever_more_slowly() -> None:
    peer = polling(delays=NodeDelays(redial=5.0, poll=60.0))

    def displaced() -> int:
        """Another process takes over; seconds until ours is back."""
        peer.befriend(A, f"twin {peer.now}")
        peer.settle()
        (event,) = peer.take()
        assert event.violation is MailboxViolation.SUPERSEDED
        begun = peer.now
        while MailboxReachable(SERVER.public) not in peer.take():
            peer.go(1.0)
        return round(peer.now - begun)

    assert [displaced() for _ in range(6)] == [5, 10, 20, 40, 60, 60]
    peer.go(100.0)
    assert displaced() == 60
    peer.go(130.0)  # it had the mailbox for itself
    assert [displaced(), displaced()] == [5, 10]
    peer.endpoint.network_changed(peer.now)
    peer.settle()
    assert peer.take() == [MailboxReachable(SERVER.public)]
    assert displaced() == 20


def test_a_mailbox_server_that_was_never_reached_is_told_once_whatever_it_does() -> None:
    peer = NodePeer.live(relays=(RELAY,), delays=NodeDelays(redial=1.0, poll=10.0))
    peer.serve(private_key=OTHER.private)  # so it closes without a word
    peer.start(peer.now)
    peer.go(5.0)
    assert peer.take() == [MailboxUnreachable(SERVER.public, CloseCause.LOST)]
    peer.is_up = False
    peer.go(30.0)
    assert peer.take() == []
    peer.is_up = True
    peer.serve()
    peer.go(30.0)
    assert peer.take() == [MailboxReachable(SERVER.public)]


def test_packets_that_are_all_too_large_leave_a_connection_unused() -> None:
    peer = polling(delays=NodeDelays(unused=30.0, poll=1000.0))
    peer.serve(limits=MailboxServerLimits(max_blob=50))
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    peer.settle()
    (depositor,) = peer.endpoint.relays.depositors.values()
    assert depositor.state is DepositorState.IDLE
    assert peer.stats.refused == {NOT_TAKEN.reason: 1}
    peer.disconnect(B.public, peer.now)
    peer.go(31.0)
    assert not peer.endpoint.relays.depositors


def test_a_node_closes_while_one_of_its_servers_is_away() -> None:
    away = Relay(OTHER.public, Address("192.0.2.99", 7000))
    peer = NodePeer.live(relays=(away, RELAY))
    peer.serve()
    peer.start(peer.now)
    peer.drain()
    peer.stream_lost(peer.opening.pop(0), peer.now)
    peer.settle()
    assert peer.take() == [
        MailboxUnreachable(OTHER.public, CloseCause.UNREACHABLE),
        MailboxReachable(SERVER.public),
    ]
    peer.close(peer.now)
    peer.settle()
    assert peer.take() == [Closed(CloseCause.LOCAL)]
    assert peer.endpoint.next_timeout() is None


def test_the_links_of_a_node_that_has_left_are_of_nobody() -> None:
    """A node closes while two servers do not answer: nothing is due any more, and the links linger."""
    peer = NodePeer.live(relays=(RELAY,), delays=NodeDelays(farewell=1.0, handover=5.0, linger=30.0))
    peer.pause = 0.125  # links stay until they are lost below
    for other in (B, C):
        peer.connect_by_mailbox(other.public, SERVER.public, peer.now)
    peer.drain()
    first, second = peer.opening
    for link in (first, second):
        peer.stream_opened(link, peer.now)
    peer.close(peer.now)
    peer.at(10.0)
    assert peer.how == {first: CloseTransport, second: CloseTransport}
    assert not peer.endpoint.relays.by_link
    peer.stream_lost(first, peer.now)
    of_nobody = peer.endpoint.links[second]
    peer.endpoint.link_opened(of_nobody)
    peer.endpoint.link_eof(of_nobody)
    assert peer.take() == []
    peer.stream_lost(second, peer.now)
    assert peer.take() == [Closed(CloseCause.TIMEOUT, detail="packets that no mailbox server took: 2")]


def test_packets_for_a_server_whose_link_has_just_overflowed_are_lost() -> None:
    """The first of the messages that waited is too much for the link; the second begins a rekey, whose handshake finds
    a connection that has ended, and of which the depositor was not told yet."""
    delays = NodeDelays(poll=10.0, unused=1000.0)
    peer = polling(delays=delays)
    peer.befriend(B, "friend")

    def go_on() -> None:
        for _ in range(12):
            peer.go(5.0)
            peer.visit()

    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    go_on()
    record = peer.save(B.public, peer.now)
    limits = RecoveryLimits(rekey_packets=record.session.counter + 2)
    config = RecoveryConfig(relay=RecoveryDelays.relay(delays.poll), limits=limits)
    more = {"relays": (RELAY,), "delays": delays, "limits": NodeLimits(link_queue=300), "recovery": config}
    peer.endpoint = node(A, "another process", **more)
    peer.unplug()
    peer.start(peer.now)
    assert peer.load(record, peer.now)
    for _ in range(2):
        assert peer.send(B.public, bytes(500), peer.now)
    peer.take()
    go_on()
    assert peer.stats.dropped["late"] == 1
    go_on()
    (rekeyed,) = [event for event in peer.take() if isinstance(event, Established)]
    assert rekeyed.reason is Reason.REKEY


@pytest.mark.parametrize("unused", [2.0, 1000.0])
def test_a_node_that_has_left_writes_to_no_mailbox(unused: float) -> None:
    """The goodbye is said again when the link to one mailbox is gone, and that to another one lingers: neither is the
    connection that has lost its link used, nor another one made."""
    peer = polling(delays=NodeDelays(poll=1.0, unused=unused))
    peer.befriend(B)
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    for _ in range(8):
        peer.go(5.0)
        peer.visit()
    assert isinstance(peer.take()[-1], Established)
    peer.connect_by_mailbox(C.public, SERVER.public, peer.now)
    peer.settle()
    lingers = peer.endpoint.relays.depositors[SERVER.public, mailbox_of(C)].connection.part.link
    peer.stream_blocked(lingers, peer.now)
    peer.close(peer.now)
    peer.go(5.0)
    assert [*peer.links] == [lingers]
    last, refused = peer.link, sum(peer.stats.refused.values())
    peer.go(20.0)
    assert (peer.link, sum(peer.stats.refused.values())) == (last, refused + 1)
    peer.go(10.0)
    assert peer.take() == [Closed(CloseCause.LOCAL)]


def test_a_node_out_of_a_snapshot_knows_whose_its_links_are() -> None:
    away = Relay(OTHER.public, Address("192.0.2.99", 7000))
    relays = (RELAY, away)
    peer = NodePeer.live(relays=relays)
    peer.serve()
    peer.start(peer.now)
    peer.drain()
    peer.stream_lost(peer.opening.pop(1), peer.now)
    peer.settle()
    friend = peer.befriend(B)
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    peer.settle()
    before = peer.endpoint.relays.by_link
    assert len(before) == 2
    arguments = {"private_key": A.private, "wall_epoch": float(EPOCH), "entropy": ScriptedEntropy(seed=b"again")}
    again = EgtpNode.restore(peer.endpoint.snapshot(), relays=relays, **arguments)
    assert {link: one.server for link, one in again.relays.by_link.items()} == {
        link: one.server for link, one in before.items()
    }
    peer.endpoint = again
    for _ in range(20):
        peer.go(10.0)
        peer.visit()
    assert friend.send(A.public, b"to whom it may concern", peer.now)
    peer.visit()
    peer.go(100.0)
    texts = [event.data for event in peer.take() if isinstance(event, MessageReceived)]
    assert texts == [b"to whom it may concern"]
    assert again.stats.dropped == {}
