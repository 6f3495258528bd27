"""Hostile depositors, mailbox servers and crowds: what they cannot keep a node, or others at a server, from."""

from __future__ import annotations

from typing import Any

from scenarios_egtp import calls, mailbox_with
from scripted_egtp import (
    AT_A,
    AT_B,
    EPHEMERAL,
    EPOCH,
    RELAY,
    SERVER,
    TERMS,
    A,
    B,
    KeyPair,
    NodePeer,
    ServerPeer,
    frames_in,
    node,
)
from test_mailbox import stored
from test_node import Mail, World, told

from sansproto.contract import Path, SendBytes, SendDatagram
from sansproto.egtp import (
    EgtpNode,
    Established,
    MailboxReachable,
    MailboxServer,
    MailboxServerDelays,
    MailboxServerLimits,
    NodeDelays,
    NodeLimits,
    PeerClosed,
    PeerRestarted,
    RecoveryConfig,
    RecoveryLimits,
    StoredMailbox,
    crypto,
)
from sansproto.egtp import packets as p
from sansproto.egtp.channel import read_hello, write_welcome
from sansproto.testing.entropy import ScriptedEntropy

FAST = RecoveryConfig(
    limits=RecoveryLimits(
        init_rate=1e6, init_burst=10**6, group_rate=1e6, group_burst=10**6, candidates_per_group=64, peers=4096
    )
)
"""For crowds that are to be there soon."""


def keys(number: int) -> KeyPair:
    """Of somebody."""
    return KeyPair.of(crypto.hashed(32, b"%d" % number))


def junk(number: int) -> bytes:
    """An H1 for A that does not open: whoever knows the public key of A can make it."""
    body = p.DATAGRAM.encode(p.H1(number.to_bytes(32, "little"), bytes(48), bytes(40), p.NO_TOKEN, bytes(16)))[:160]
    return body + crypto.h1_mac(crypto.mac_key(A.public), body)


# -- depositors


def test_an_init_behind_a_flood_in_the_mailbox_is_opened_in_its_turn() -> None:
    """64 others were deposited before it: they are opened one by one, and it is not lost."""
    mail = Mail()
    a, b = mail.pair()
    mail.net.run(7.0)
    mail.again(b, B)
    for number in range(100):
        flood(mail, junk(number))
    mail.connect(b, A)
    mail.net.run(0.5)
    assert mail.takes(lambda: told(a, PeerRestarted)) <= 180.0
    assert "too many inits" not in a.endpoint.stats.dropped


def flood(mail: Mail, blob: bytes) -> None:
    """Somebody puts it into the mailbox of A."""
    server = mail.node.endpoint
    group = b"\4" + len(server.mailboxes.order).to_bytes(3, "big")
    mailbox = crypto.mailbox_id(SERVER.public, A.public)
    mail.node.call(lambda now: server.mailboxes.add(mailbox, blob, group))


def polling(*blobs: bytes, **more: Any) -> NodePeer:
    """A has a mailbox with that in it, and polls it from now on."""
    peer: NodePeer = NodePeer.live(relays=(RELAY,), **more)
    peer.serve()
    assert peer.server is not None
    peer.server.load((mailbox_with(*blobs),), peer.now)
    peer.start(peer.now)
    return peer


def test_a_flood_of_datagrams_uses_up_nothing_of_a_mailbox() -> None:
    peer = polling(*calls(3))
    for number in range(2000):
        peer.endpoint.receive_datagram(junk(number), Path("udp", f"10.{number % 250}.1.1", 7), peer.now)
        peer.drain()
    assert peer.stats.dropped == {"an init that does not open": 20}
    peer.settle()
    assert len(peer.recovery.peers) == 3


def test_a_flood_in_a_mailbox_uses_up_nothing_of_who_calls_directly() -> None:
    limits = RecoveryLimits(init_rate=0.01, init_burst=2, group_rate=0.01, group_burst=8)
    peer = polling(*map(junk, range(20)), recovery=RecoveryConfig(limits=limits))
    peer.settle()
    assert peer.stats.dropped["an init that does not open"] == 8
    peer.receive_datagram(calls(1)[0], AT_B, peer.now)
    (answer,) = sent_by(peer.endpoint)
    assert isinstance(p.DATAGRAM.decode(answer), p.H2)


def test_inits_that_wait_are_bounded_and_opened_at_the_rate_of_their_group() -> None:
    peer = polling(*map(junk, range(20)), limits=NodeLimits(held=5))
    peer.settle()
    (held,) = peer.gate.held.values()
    assert len(held) == 5
    assert peer.stats.dropped == {"an init that does not open": 8, "too many inits": 7}
    for opened, left in ((9, 4), (10, 3), (11, 2), (12, 1)):
        peer.go(0.5)
        assert (peer.stats.dropped["an init that does not open"], len(held)) == (opened, left)
    peer.go(0.5)
    assert peer.gate.held == {}
    assert not [name for name in peer.endpoint.timers() if "HELD" in name]


def test_an_init_that_waits_is_not_taken_out_before_it_may_be_opened() -> None:
    peer = polling(*map(junk, range(9)))
    peer.settle()
    ((group, held),) = peer.gate.held.items()
    for opened, left in ((8, 1), (9, 0)):
        if left:
            peer.recovery.door.inits.take_in(group)  # somebody else has used it
        peer.go(0.5)
        assert (peer.stats.dropped["an init that does not open"], len(held)) == (opened, left)


def test_inits_that_wait_are_part_of_a_snapshot_and_are_not_opened_once_the_node_closes() -> None:
    peer = polling(*map(junk, range(12)))
    peer.settle()
    arguments = {"private_key": A.private, "wall_epoch": float(EPOCH), "entropy": ScriptedEntropy()}
    again = EgtpNode.restore(peer.endpoint.snapshot(), relays=(RELAY,), **arguments)
    assert again.gate.held == peer.gate.held
    peer.connect(B.public, AT_B, peer.now)
    peer.close(peer.now)
    assert not [name for name in peer.endpoint.timers() if "HELD" in name]
    peer.go(1.9)
    assert peer.stats.dropped["an init that does not open"] == 8


# -- mailbox servers


def test_a_server_that_always_says_that_more_is_left_is_not_asked_at_once() -> None:
    peer: NodePeer = NodePeer.live(relays=(RELAY,), delays=NodeDelays(poll=60.0))
    peer.start(peer.now)
    peer.drain()
    (link,) = peer.opening
    peer.stream_opened(link, peer.now)
    (first,) = [one.data for one in iter(peer.endpoint.next_transmit, None) if isinstance(one, SendBytes)]
    frame, channel = write_welcome(read_hello(SERVER, next(frames_in(first))), EPHEMERAL, TERMS)

    def say(data: bytes) -> list[Any]:
        peer.receive_data(link, data, peer.now)
        sent = [one.data for one in iter(peer.endpoint.next_transmit, None) if isinstance(one, SendBytes)]
        return [p.REQUEST.decode(channel.incoming.open(message)) for message in frames_in(b"".join(sent))]

    def seal(response: p.Response) -> bytes:
        return channel.outgoing.seal(p.RESPONSE.encode(response))

    assert say(frame) == [p.Register()]
    assert say(seal(p.Registered(b"epoch..1", 5))) == [p.Poll(64)]
    assert say(seal(p.Message(1, b"junk")) + seal(p.Polled(1, 5))) == [p.Ack(1), p.Poll(64)]
    assert say(seal(p.Acked(1, 5)) + seal(p.Polled(0, 5))) == []


# -- a mailbox server and its clients


def test_the_owners_of_one_group_leave_mailboxes_to_others() -> None:
    peer = ServerPeer.live(limits=MailboxServerLimits(mailboxes=300, new_mailboxes=1000))

    def made(number: int, host: str) -> bool:
        return isinstance(peer.guest(keys(number), host).ask(p.Register())[0], p.Registered)

    assert [made(number, "192.0.2.7") for number in range(1, 6)] == [True] * 3 + [False] * 2
    assert [made(number, "198.51.100.7") for number in range(11, 16)] == [True] * 3 + [False] * 2
    assert made(1, "192.0.2.7")  # which is there already


def test_mailboxes_that_go_are_no_part_of_a_share_and_a_snapshot_knows_them() -> None:
    limits, delays = MailboxServerLimits(mailboxes=100), MailboxServerDelays(unpolled=5.0)
    peer = ServerPeer.live(limits=limits, delays=delays)
    group = peer.endpoint.callers[peer.owner().at].group
    boxes = peer.endpoint.mailboxes
    assert boxes.boxes_of_groups == {group: 1}
    assert not boxes.may_make(group)
    again = type(peer.endpoint).restore(
        *(peer.endpoint.snapshot(),),
        **{**peer.arguments, "entropy": ScriptedEntropy(), "limits": limits, "delays": delays},
    )
    assert again.mailboxes.boxes_of_groups == {group: 1}
    for link in list(peer.parties):
        peer.stream_lost(link, peer.now)
    peer.wait(6.0)
    assert boxes.boxes_of_groups == {}
    assert boxes.may_make(group)
    loaded = ServerPeer.live(limits=limits)
    loaded.load((stored(1, 0),), 0.0)
    assert loaded.endpoint.mailboxes.boxes_of_groups == {b"\4abc": 1}


def test_mailboxes_that_expire_with_much_in_them_take_several_calls() -> None:
    peer = ServerPeer.live(delays=MailboxServerDelays(unpolled=10.0))
    now = EPOCH * 1000
    peer.load(tuple(stored(number, now - 10**6, *[now] * 200) for number in range(5)), peer.now)
    boxes = peer.endpoint.mailboxes
    counts = []
    while boxes.boxes:
        peer.endpoint.handle_timeout(peer.endpoint.next_timeout())
        counts.append(len(boxes.order))
    assert counts == [600, 200, 0]


# -- crowds


def crowd(count: int) -> tuple[EgtpNode, list[EgtpNode]]:
    """A node with a session with each of so many others, each at a path of its own; all of them are due at once."""
    a = node(A, recovery=FAST, limits=NodeLimits(outbox=10**5, events=10**5))
    others = [node(keys(number)) for number in range(count)]
    for number, other in enumerate(others):
        path = Path("udp", f"10.0.{number // 250}.{number % 250}", 7)
        other.connect(A.public, AT_A, 0.0)
        for _ in range(6):
            for one, to, source in ((other, a, path), (a, other, AT_A)):
                for transmit in iter(one.next_transmit, None):
                    if isinstance(transmit, SendDatagram) and transmit.path in (AT_A, path):
                        to.receive_datagram(transmit.data, source, 0.0)
    while a.next_event() is not None:
        pass
    return a, others


def sent_by(one: EgtpNode) -> list[bytes]:
    return [transmit.data for transmit in iter(one.next_transmit, None) if isinstance(transmit, SendDatagram)]


def test_a_node_that_many_peers_want_at_one_instant_takes_several_calls() -> None:
    a, others = crowd(100)
    a.handle_timeout(150.0)  # sessions that others began are replaced by us a quarter later than by them
    counts = []
    while (due := a.next_timeout()) is not None and due < 151.0:
        assert due > a.clock
        counts.append(len(sent_by(a)))
        a.handle_timeout(due)
    counts.append(len(sent_by(a)))
    assert max(counts) <= 32
    assert sum(counts) >= len(others)
    assert len(a.recovery.attempts) == len(others)


def test_a_node_with_many_peers_says_goodbye_to_some_at_a_time() -> None:
    a, _ = crowd(100)
    a.close(1.0)
    counts = [len(sent_by(a))]
    while a.recovery.peers:
        due = a.next_timeout()
        assert due is not None
        assert due < 1.001
        a.handle_timeout(due)
        counts.append(len(sent_by(a)))
    assert counts == [64, 36]


def test_a_node_that_closes_says_goodbye_to_all_although_its_outbox_is_small() -> None:
    world = World()
    a = world.end(A, "10.0.0.1", limits=NodeLimits(outbox=4, goodbyes=2))
    friends = [world.end(keys(number), f"10.0.0.{number}") for number in range(21, 29)]
    for friend in friends:
        world.connect(friend, a, A)
        world.net.run_until(lambda friend=friend: bool(told(friend, Established)))  # type: ignore[misc]
    a.call(a.endpoint.close)
    world.net.run(1.0)
    assert [len(told(friend, PeerClosed)) for friend in friends] == [1] * 8
    assert a.endpoint.stats.refused == {}


# -- another network


def test_packets_for_a_mailbox_do_not_wait_for_a_connection_over_the_network_before() -> None:
    """The transport does not notice for long that nothing comes through any more."""
    peer = polling(limits=NodeLimits(message=1198))
    peer.settle()
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    peer.settle()
    lines = dict(peer.lines)
    peer.unplug()  # whatever is sent on these is lost
    peer.disconnect(B.public, peer.now)
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    peer.drain()
    peer.network_changed(peer.now)
    peer.settle()
    peer.go(3.0)
    assert set(peer.lines).isdisjoint(lines)
    assert len(peer.lines) == 4  # two, from either end
    assert peer.stats.refused == {  # the last one came there, where B has no mailbox
        "a mailbox server did not take a packet": 2,
        "a mailbox server did not say that it took a packet": 1,
    }


def test_a_storm_of_reports_does_not_keep_a_node_from_its_mailbox() -> None:
    """A busy machine reports that it slept, again and again."""
    mail = Mail()
    a = mail.end(A, "10.0.0.1")

    def report() -> None:
        a.call(lambda now: a.endpoint.resumed(now, asleep=6.0))
        if mail.net.now < 60.0:
            mail.net.after(0.05, report)

    report()
    assert mail.takes(lambda: told(a, MailboxReachable), within=20.0) < 1.0
    mail.net.run(59.0)
    assert 10 <= len(told(a, MailboxReachable)) <= 14


# -- secrets


def test_the_keys_of_a_handshake_are_not_shown() -> None:
    made = crypto.begin_datagram(B.public).split()
    shown = repr(made)
    assert repr(made.hash)[2:-1] in shown
    for secret in (made.from_initiator, made.from_responder):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_what_expires_waits_for_an_application_that_takes_no_events() -> None:
    limits = MailboxServerLimits(events=8)
    server = MailboxServer(private_key=bytes([9]) * 32, entropy=ScriptedEntropy(), wall_epoch=0.0, limits=limits)
    boxes = [
        StoredMailbox(mailbox=bytes([number]) * 32, epoch=bytes(8), group=b"g", polled_at=0) for number in range(20)
    ]
    server.load(tuple(boxes), 0.0)
    server.handle_timeout(1e8)
    assert (server.waiting_events, len(server.mailboxes.boxes)) == (8, 12)
    server.handle_timeout(1e8 + 2)
    assert (server.waiting_events, len(server.mailboxes.boxes)) == (8, 12)
    for later in (4, 6):
        while server.next_event() is not None:
            pass
        server.handle_timeout(1e8 + later)
    assert not server.mailboxes.boxes
