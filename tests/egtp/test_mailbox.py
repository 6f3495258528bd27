"""Mailbox server and client: what the spec promises beyond the bytes, and both together over a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from scripted_egtp import (
    EPOCH,
    OTHER,
    OWNER,
    SERVER,
    THERE,
    ClientPeer,
    Guest,
    ServerPeer,
    deposit,
    mailbox_of,
)

from sansproto.contract import AbortTransport, Address, CloseTransport
from sansproto.egtp import (
    MAILBOX_PORT,
    MailboxAcked,
    MailboxClient,
    MailboxClientLimits,
    MailboxDeposited,
    MailboxMade,
    MailboxMessage,
    MailboxOpen,
    MailboxPollDone,
    MailboxPolled,
    MailboxRegistered,
    MailboxRemoved,
    MailboxServer,
    MailboxServerDelays,
    MailboxServerLimits,
    MailboxViolation,
    MessageAdded,
    MessagesErased,
    StoreChange,
    StoredMailbox,
    StoredMessage,
    StoreWanted,
    mailbox_id,
)
from sansproto.egtp import packets as p
from sansproto.events import CloseCause, Closed
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Node, VirtualNetwork

STORED, NOT_STORED = 0, 1


def statuses(answers: list[Any]) -> list[int]:
    return [answer.status for answer in answers]


# -- what may be stored


def filled(limits: dict[str, int], count: int, size: int = 1, hosts: int = 1) -> list[int]:
    """What becomes of so many deposits, from so many networks in turn, in the mailbox of an owner."""
    peer = ServerPeer.live(limits=MailboxServerLimits(**limits))
    peer.owner()
    guests = [peer.guest(host=f"192.0.{number}.1") for number in range(hosts)]
    return [statuses(guests[number % hosts].ask(deposit(bytes(size))))[0] for number in range(count)]


def test_a_mailbox_takes_so_many_messages_and_no_newer_one() -> None:
    assert filled({"mailbox_messages": 3}, 5) == [STORED] * 3 + [NOT_STORED] * 2


def test_a_mailbox_takes_so_many_bytes() -> None:
    assert filled({"mailbox_bytes": 25}, 3, 10) == [STORED, STORED, NOT_STORED]


def test_a_group_of_addresses_has_a_share_of_a_mailbox() -> None:
    assert filled({"mailbox_messages_of_group": 2}, 6, hosts=2) == [STORED] * 4 + [NOT_STORED] * 2


def test_a_group_of_addresses_has_a_hundredth_of_the_messages_that_are_left() -> None:
    assert filled({"stored_messages": 300}, 4) == [STORED] * 3 + [NOT_STORED]
    assert filled({"stored_messages": 300}, 8, hosts=2) == [STORED] * 6 + [NOT_STORED] * 2
    assert filled({"stored_messages": 2}, 3, hosts=3) == [STORED] * 2 + [NOT_STORED]


def test_a_group_of_addresses_has_a_hundredth_of_the_bytes_that_are_left() -> None:
    assert filled({"stored_bytes": 1500}, 3, 10) == [STORED] * 2 + [NOT_STORED]
    assert filled({"stored_bytes": 15}, 2, 10, hosts=2) == [STORED, NOT_STORED]


def test_a_connection_deposits_so_often() -> None:
    peer = ServerPeer.live(limits=MailboxServerLimits(deposits=3, deposit_rate=2))
    peer.owner()
    guest = peer.guest()
    assert statuses(guest.ask(*[deposit()] * 5)) == [STORED] * 3 + [NOT_STORED] * 2
    peer.wait(1.0)
    assert statuses(guest.ask(*[deposit()] * 3)) == [STORED] * 2 + [NOT_STORED]
    assert peer.stats.refused == {"too many deposits": 3}


def test_why_a_message_is_not_stored_is_counted_and_not_told() -> None:
    peer = ServerPeer.live(limits=MailboxServerLimits(mailbox_messages=2, mailbox_messages_of_group=1))
    peer.owner()
    here, there = peer.guest(), peer.guest(host=THERE)
    here.ask(deposit(owner=OTHER), deposit(), deposit())
    there.ask(deposit(), deposit())
    assert peer.stats.refused == {
        "no such mailbox": 1,
        "share of the depositors used up": 1,
        "mailbox full": 1,
    }


def test_the_counts_are_made_again_out_of_a_snapshot() -> None:
    peer = ServerPeer.live()
    peer.owner()
    peer.guest(host=THERE).ask(deposit(b"12345"), deposit(b"678"))
    arguments = {"private_key": SERVER.private, "wall_epoch": float(EPOCH), "entropy": ScriptedEntropy()}
    again = MailboxServer.restore(peer.endpoint.snapshot(), **arguments)
    for server in (peer.endpoint, again):
        total = server.mailboxes.total
        assert (total.messages, total.size) == (2, 8)
        ((group, usage),) = server.mailboxes.of_groups.items()
        assert (group.hex(), usage.messages, usage.size) == ("04c63364", 2, 8)


# -- connections


def test_connections_of_one_group_are_counted() -> None:
    peer = ServerPeer.live(limits=MailboxServerLimits(links_of_group=2))
    first, second = peer.guest(), peer.guest()
    refused = peer.stream_accepted(MAILBOX_PORT, Address("192.0.2.99", 1), peer.now)
    peer.drain()
    assert peer.how == {refused: AbortTransport}
    assert peer.endpoint.stats.refused == {"too many connections of a group of addresses": 1}
    peer.guest(host=THERE)
    peer.stream_lost(first.at, peer.now)
    peer.guest()
    assert second.ask(p.Poll(1)) == [p.Error(p.ErrorCode.NOT_REGISTERED)]


def test_new_mailboxes_of_one_group_are_counted_and_come_back_with_time() -> None:
    peer = ServerPeer.live(limits=MailboxServerLimits(new_mailboxes=2))

    def made(number: int) -> bool:
        static = type(OWNER).of(bytes([100 + number]) * 32)
        return isinstance(peer.guest(static).ask(p.Register())[0], p.Registered)

    assert [made(number) for number in range(3)] == [True, True, False]
    peer.wait(1.0)
    assert [made(number) for number in (3, 4)] == [True, False]
    assert made(0)  # which is there already


def test_the_groups_whose_mailboxes_are_counted_are_bounded() -> None:
    peer = ServerPeer.live(limits=MailboxServerLimits(groups=2))
    for number in range(4):
        peer.owner(type(OWNER).of(bytes([100 + number]) * 32), f"192.0.{number}.1")
    assert len(peer.endpoint.mailboxes.new.groups) == 2


def test_a_client_with_too_many_requests_under_way_is_cut() -> None:
    peer = ServerPeer.live(limits=MailboxServerLimits(pipeline=3))
    peer.owner()
    peer.is_storing = False
    guest = peer.guest()
    guest.ask(*[deposit()] * 4)
    assert guest.take() == []
    peer.is_storing = True
    peer.settle()
    assert guest.take() == [p.Deposited(b"\1\0\0\0", 0)] * 3 + [p.Error(p.ErrorCode.LIMIT)]
    assert guest.is_closed


def test_what_is_not_stored_yet_is_not_seen() -> None:
    peer = ServerPeer.live()
    owner, guest = peer.owner(), peer.guest()
    peer.is_storing = False
    assert guest.ask(deposit()) == []
    assert owner.ask(p.Poll(1)) == [p.Polled(0, 0)]
    peer.is_storing = True
    peer.settle()
    assert guest.take() == [p.Deposited(b"\1\0\0\0", 0)]
    assert owner.ask(p.Poll(1)) == [p.Message(1, b"blob"), p.Polled(1, 0)]


def test_acknowledged_is_said_after_it_was_erased() -> None:
    peer = ServerPeer.live()
    owner = peer.owner()
    peer.guest().ask(deposit())
    owner.ask(p.Poll(1))
    peer.is_storing = False
    assert owner.ask(p.Ack(1), p.Poll(1)) == []
    (wanted,) = [event for event in peer.take() if isinstance(event, StoreWanted)]
    assert wanted.change == MessagesErased(mailbox_of(OWNER), 1, 1)
    peer.stored(wanted.number, peer.now)
    peer.drain()
    assert owner.take() == [p.Acked(1, 0), p.Polled(0, 0)]


def test_a_client_that_does_not_read_costs_one_poll() -> None:
    """What waits for it is bounded, whatever it asks for, and all of it comes when it reads."""
    peer = ServerPeer.live(limits=MailboxServerLimits(unsent=3000, deposits=10_000))
    owner, guest = peer.owner(), peer.guest()
    peer.stream_blocked(owner.at, peer.now)
    for _ in range(20):
        guest.ask(*[deposit(bytes(1000))] * 3)
        owner.say(owner.seal(p.REQUEST.encode(p.Poll(64))))
    caller = peer.endpoint.callers[owner.at]
    assert caller.due + caller.link.queued <= 3000 + 3 * 1100
    assert len(caller.requests) > 15
    assert caller.link.paused
    peer.stream_unblocked(owner.at, peer.now)
    peer.drain()
    found = owner.take()
    assert [one.seq for one in found if isinstance(one, p.Message)] == list(range(1, 61))
    assert len([one for one in found if isinstance(one, p.Polled)]) == 20
    assert not caller.link.paused


def test_a_replayed_hello_does_nothing() -> None:
    peer = ServerPeer.live()
    owner = peer.owner()
    thief = Guest(peer, OWNER)
    thief.say(owner.hello)
    thief.channel = None
    thief.say(b"\x11\0" + bytes(17))
    assert thief.is_closed
    assert owner.ask(p.Poll(1)) == [p.Polled(0, 0)]


def test_an_owner_may_deposit_too() -> None:
    peer = ServerPeer.live()
    owner = peer.owner()
    assert owner.ask(deposit()) == [p.Deposited(b"\1\0\0\0", 0)]


def test_a_server_that_closes_lets_its_clients_go() -> None:
    peer = ServerPeer.live()
    owner = peer.owner()
    peer.close(peer.now)
    assert (owner.is_closed, peer.take()) == (True, [Closed(CloseCause.LOCAL)])


# -- time


def changes(peer: ServerPeer) -> list[StoreChange]:
    peer.settle()
    found = [event.change for event in peer.wanted]
    peer.wanted.clear()
    return found


def test_messages_and_mailboxes_go_with_time() -> None:
    peer = ServerPeer.live(delays=MailboxServerDelays(retention=10.0, unpolled=40.0, seen=15.0))
    owner, guest = peer.owner(), peer.guest()
    guest.ask(deposit(b"one"))
    peer.wait(5.0)
    guest.ask(deposit(b"two"))
    changes(peer)
    peer.wait(4.9)
    assert changes(peer) == []
    peer.wait(0.2)
    assert changes(peer) == [MessagesErased(mailbox_of(OWNER), 1, 0)]
    peer.wait(6.0)
    assert changes(peer) == [MessagesErased(mailbox_of(OWNER), 2, 0)]
    owner.ask(p.Poll(1))
    assert changes(peer) == [MailboxPolled(mailbox_of(OWNER), EPOCH * 1000 + 16_100)]
    peer.stream_lost(owner.at, peer.now)
    peer.wait(39.0)
    assert changes(peer) == []
    peer.wait(2.0)
    assert changes(peer) == [MailboxRemoved(mailbox_of(OWNER))]
    assert statuses(guest.ask(deposit())) == [NOT_STORED]


def test_a_mailbox_stays_while_its_owner_is_connected() -> None:
    peer = ServerPeer.live(delays=MailboxServerDelays(unpolled=5.0, seen=1.0, idle=1000.0))
    owner = peer.owner()
    peer.wait(100.0)
    assert owner.ask(p.Poll(1)) == [p.Polled(0, 0)]
    peer.stream_lost(owner.at, peer.now)
    peer.wait(6.0)
    assert changes(peer)[-1] == MailboxRemoved(mailbox_of(OWNER))


def stored(number: int, polled_at: int, *ages: int) -> StoredMailbox:
    messages = tuple(StoredMessage(seq, b"m", b"\4abc", at) for seq, at in enumerate(ages, 1))
    mailbox = bytes([number]) * 32
    return StoredMailbox(
        mailbox=mailbox, epoch=b"epoch..1", group=b"\4abc", polled_at=polled_at, last_seq=len(ages), messages=messages
    )


def test_what_was_loaded_goes_in_its_order_and_nothing_is_of_the_future() -> None:
    peer = ServerPeer.live(delays=MailboxServerDelays(retention=10.0, unpolled=1000.0))
    now = EPOCH * 1000
    later = now + 10**9
    peer.load((stored(1, later, now - 2000, later), stored(2, now - 990_000, now - 5000)), peer.now)
    peer.settle()
    for wait, expected in (
        (5.1, [MessagesErased(bytes([2]) * 32, 1, 0)]),
        (3.0, [MessagesErased(bytes([1]) * 32, 1, 0)]),
        (2.0, [MessagesErased(bytes([1]) * 32, 2, 0), MailboxRemoved(bytes([2]) * 32)]),
        (980.0, []),
        (10.0, [MailboxRemoved(bytes([1]) * 32)]),
    ):
        peer.wait(wait)
        assert sorted(changes(peer), key=repr) == sorted(expected, key=repr)
    assert peer.endpoint.next_timeout() is None


def test_much_that_expires_at_once_takes_several_calls() -> None:
    peer = ServerPeer.live(delays=MailboxServerDelays(retention=10.0))
    old = EPOCH * 1000 - 10**6
    peer.load(tuple(stored(number, EPOCH * 1000, *[old] * 250) for number in range(3)), peer.now)
    boxes = peer.endpoint.mailboxes
    counts = []
    while boxes.order:
        peer.endpoint.handle_timeout(peer.endpoint.next_timeout())
        counts.append(len(boxes.order))
    assert counts == [750 - 256, 750 - 512, 0]


# -- the client


def test_what_a_client_is_told() -> None:
    peer = ClientPeer.live()
    peer.own()
    peer.poll(3, peer.now)
    peer.server.tell(p.Message(5, b"five"), p.Polled(1, 2))
    peer.ack(5, peer.now)
    peer.server.tell(p.Acked(5, 2))
    tag = peer.deposit(mailbox_of(OTHER), b"blob", peer.now)
    peer.server.tell(p.Deposited(b"\1\0\0\0", 1))
    assert peer.take() == [
        MailboxOpen(16384, 256, retention=604800),
        MailboxRegistered(b"epoch..1", 2),
        MailboxMessage(5, b"five"),
        MailboxPollDone(1, 2),
        MailboxAcked(5, 2),
        MailboxDeposited(tag, stored=False),
    ]


UNEXPECTED: dict[str, Callable[[ClientPeer], object]] = {
    "an answer to nothing": lambda peer: peer.server.tell(p.Acked(0, 0)),
    "another answer": lambda peer: (peer.poll(2, peer.now), peer.server.tell(p.Acked(0, 0))),
    "the answer to another deposit": lambda peer: (
        peer.deposit(mailbox_of(OTHER), b"x", peer.now),
        peer.server.tell(p.Deposited(b"\2\0\0\0", 0)),
    ),
    "too many messages": lambda peer: (
        peer.poll(1, peer.now),
        peer.server.tell(p.Message(1, b"x"), p.Message(2, b"x")),
    ),
    "the same message again": lambda peer: (
        peer.poll(2, peer.now),
        peer.server.tell(p.Message(1, b"x"), p.Message(1, b"x")),
    ),
    "a wrong count": lambda peer: (peer.poll(2, peer.now), peer.server.tell(p.Message(1, b"x"), p.Polled(2, 0))),
    "registered again": lambda peer: (peer.poll(2, peer.now), peer.server.tell(p.Registered(b"epoch..1", 0))),
    "no message": lambda peer: peer.server.say(peer.server.seal(b"\x99")),
}


@pytest.mark.parametrize("act", UNEXPECTED.values(), ids=UNEXPECTED)
def test_a_server_that_does_not_keep_to_the_order_is_left(act: Callable[[ClientPeer], object]) -> None:
    peer = ClientPeer.live()
    peer.own()
    peer.take()
    act(peer)
    ended = [event for event in peer.take() if isinstance(event, Closed)]
    assert ended == [Closed(CloseCause.VIOLATION, MailboxViolation.BAD_MESSAGE)]
    assert peer.how == {peer.link: AbortTransport}


@pytest.mark.parametrize(
    ("data", "violation"),
    [
        (b"\0\0", MailboxViolation.BAD_FRAME),
        (b"\x10\0" + bytes(16), MailboxViolation.BAD_FRAME),
        (b"\x11\0" + bytes(17), MailboxViolation.BAD_SEAL),
    ],
)
def test_frames_that_are_none(data: bytes, violation: MailboxViolation) -> None:
    peer = ClientPeer.live()
    peer.own()
    peer.server.say(data)
    assert peer.take()[-1] == Closed(CloseCause.VIOLATION, violation)


def test_a_short_answer_to_the_hello() -> None:
    peer = ClientPeer.live()
    peer.open()
    peer.server.say(b"\x37\0" + bytes(55))
    assert peer.take() == [Closed(CloseCause.VIOLATION, MailboxViolation.BAD_FRAME)]


def test_a_server_key_that_no_server_has() -> None:
    peer = ClientPeer.live(server_key=bytes(32))
    peer.open()
    assert peer.take() == [Closed(CloseCause.VIOLATION, MailboxViolation.BAD_HANDSHAKE)]


@pytest.mark.parametrize("code", p.ErrorCode)
def test_every_error_of_a_server_is_told(code: p.ErrorCode) -> None:
    peer = ClientPeer.live()
    peer.own()
    peer.server.tell(p.Error(code))
    assert peer.take()[-1] == Closed(CloseCause.REFUSED, MailboxViolation[code.name])
    assert peer.how == {peer.link: CloseTransport}


def test_a_server_that_goes() -> None:
    for go in (lambda peer: peer.receive_eof(peer.link, 0.0), lambda peer: peer.stream_lost(peer.link, 0.0)):
        peer = ClientPeer.live()
        peer.own()
        go(peer)
        assert peer.take()[-1].cause is CloseCause.LOST


def test_arguments_are_checked() -> None:
    given = {"server": Address("192.0.2.1", 1), "entropy": ScriptedEntropy()}
    for wrong in ({"server_key": b"x"}, {"server_key": bytes(32), "private_key": b"x"}):
        with pytest.raises(ValueError, match="32 bytes"):
            MailboxClient(**given, **wrong)
    with pytest.raises(ValueError, match="32 bytes"):
        MailboxServer(private_key=b"x", entropy=ScriptedEntropy(), wall_epoch=0.0)
    peer = ClientPeer.live()
    peer.own()
    for most in (0, 65):
        with pytest.raises(ValueError, match="1 to 64"):
            peer.poll(most, peer.now)
    with pytest.raises(ValueError, match="32 bytes"):
        peer.deposit(b"short", b"blob", peer.now)
    for limits in ({"pipeline": 65}, {"pipeline": 0}):
        with pytest.raises(ValueError, match="pipeline"):
            MailboxClientLimits(**limits)


def test_requests_wait_for_answers() -> None:
    peer = ClientPeer.live(limits=MailboxClientLimits(pipeline=1))
    peer.own()
    assert peer.poll(1, peer.now) is True
    assert peer.poll(1, peer.now) is False
    assert peer.deposit(mailbox_of(OTHER), b"x", peer.now) is None
    assert peer.stats.refused == {"too many requests wait for answers": 2}
    peer.server.tell(p.Polled(0, 0))
    assert peer.room == 1


# -- both, over a network


class Store:
    """What outlives a server: the changes that it asked for, in a table."""

    def __init__(self) -> None:
        self.boxes: dict[bytes, StoredMailbox] = {}

    def write(self, change: StoreChange) -> None:
        match change:
            case MailboxMade(stored):
                self.boxes[stored.mailbox] = stored
            case MessageAdded(mailbox, message):
                self._change(mailbox, last_seq=message.seq, messages=(*self.boxes[mailbox].messages, message))
            case MessagesErased(mailbox, up_to, floor):
                kept = tuple(one for one in self.boxes[mailbox].messages if one.seq > up_to)
                self._change(mailbox, floor=floor, messages=kept)
            case MailboxPolled(mailbox, at):
                self._change(mailbox, polled_at=at)
            case MailboxRemoved(mailbox):
                del self.boxes[mailbox]

    def _change(self, mailbox: bytes, **changed: Any) -> None:
        self.boxes[mailbox] = attrs.evolve(self.boxes[mailbox], **changed)


class Office:
    """A mailbox server on a network, with its store, and clients."""

    def __init__(self, seed: int = 1, **conditions: Any) -> None:
        self.net = VirtualNetwork(seed=seed, default=Conditions(latency=0.02, **conditions))
        self.store = Store()
        self.machine = self.net.host("192.0.2.1")
        self.node: Node[Any] = self.machine.run(self.server(), listen={MAILBOX_PORT: 7000})
        self.clients = iter(range(1, 99))
        self.draws = 0
        self._keep()

    def server(self) -> MailboxServer:
        seed = f"server {self.net.now}".encode()
        server = MailboxServer(private_key=SERVER.private, entropy=ScriptedEntropy(seed=seed), wall_epoch=float(EPOCH))
        server.load(tuple(self.store.boxes.values()), self.net.now)
        return server

    def restart(self) -> None:
        self.node.events.clear()
        self.node.restart(self.server(), silent=False)

    def _keep(self) -> None:
        """The store works every 5 ms, and takes its time."""
        events, self.node.events[:] = [*self.node.events], []
        for event in events:
            if isinstance(event, StoreWanted):
                self.store.write(event.change)
        if events and isinstance(events[-1], StoreWanted):
            self.node.call(lambda now: self.node.endpoint.stored(events[-1].number, now))
        self.net.after(0.005, self._keep)

    def client(self, static: bytes = b"") -> Node[Any]:
        number = next(self.clients)
        client = MailboxClient(
            server=Address("192.0.2.1", 7000),
            server_key=SERVER.public,
            private_key=static,
            entropy=ScriptedEntropy(seed=f"client {number}".encode()),
        )
        node = self.net.host(f"198.51.100.{number}").run(client)
        node.call(client.connect)
        self.net.run_until(lambda: bool(node.events))
        return node

    def owner(self) -> Node[Any]:
        node = self.client(OWNER.private)
        node.call(node.endpoint.register)
        self.until(node, MailboxRegistered)
        return node

    def until(self, node: Node[Any], kind: type) -> Any:
        self.net.run_until(lambda: any(isinstance(event, kind) for event in node.events))
        return next(event for event in node.events if isinstance(event, kind))

    def put(self, node: Node[Any], blob: bytes) -> bool:
        node.events.clear()
        node.call(lambda now: node.endpoint.deposit(mailbox_of(OWNER), blob, now))
        return bool(self.until(node, MailboxDeposited).stored)

    def fetch(self, node: Node[Any], *, ack: bool = True) -> list[tuple[int, bytes]]:
        node.events.clear()
        node.call(lambda now: node.endpoint.poll(64, now))
        self.until(node, MailboxPollDone)
        found = [(event.seq, event.blob) for event in node.events if isinstance(event, MailboxMessage)]
        if ack and found:
            node.call(lambda now: node.endpoint.ack(found[-1][0], now))
            self.until(node, MailboxAcked)
        return found


def test_the_id_of_a_mailbox_follows_from_two_keys() -> None:
    assert mailbox_of(OWNER) == mailbox_id(SERVER.public, OWNER.public) != mailbox_id(OWNER.public, SERVER.public)


def test_messages_survive_a_restart_of_the_server_and_their_numbers_go_on() -> None:
    office = Office()
    owner, depositor = office.owner(), office.client()
    assert [office.put(depositor, blob) for blob in (b"one", b"two")] == [True, True]
    assert office.fetch(owner) == [(1, b"one"), (2, b"two")]
    assert office.put(depositor, b"three")
    office.restart()
    office.net.run(1.0)
    assert [event.cause for event in owner.events if isinstance(event, Closed)] == [CloseCause.LOST]
    owner, depositor = office.owner(), office.client()
    assert isinstance(owner.events[1], MailboxRegistered)
    assert owner.events[1].stored == 1
    assert office.put(depositor, b"four")
    assert office.fetch(owner) == [(3, b"three"), (4, b"four")]


def test_what_the_store_has_not_confirmed_was_not_answered() -> None:
    """The server dies at any moment: what it called stored is there, and no number comes twice."""
    for wait in (0.001, 0.021, 0.023, 0.025, 0.027, 0.045, 0.06):
        office = Office()
        office.owner()
        depositor = office.client()
        depositor.events.clear()
        depositor.call(lambda now, node=depositor: node.endpoint.deposit(mailbox_of(OWNER), b"one", now))
        office.net.run(wait)
        office.restart()
        office.net.run(1.0)
        was_stored = any(isinstance(event, MailboxDeposited) and event.stored for event in depositor.events)
        owner = office.owner()
        assert office.put(office.client(), b"two")
        found = office.fetch(owner)
        assert [blob for _, blob in found][-1] == b"two"
        assert len({seq for seq, _ in found}) == len(found)
        assert len(found) == 2 or not was_stored


@pytest.mark.parametrize("seed", range(5))
def test_each_message_comes_once_over_bad_connections(seed: int) -> None:
    """Connections break at random; who keeps the highest number that it took gets everything, each once."""
    office = Office(seed)
    owner, depositor = office.owner(), office.client()
    sent: list[bytes] = []
    taken: list[bytes] = []
    highest = 0

    def found(ack: bool) -> Iterator[tuple[int, bytes]]:
        nonlocal highest
        for seq, blob in office.fetch(owner, ack=ack):
            if seq > highest:
                highest = seq
                yield seq, blob

    for number in range(30):
        blob = f"message {number}".encode()
        if office.put(depositor, blob):
            sent.append(blob)
        if number % 3 == seed % 3:
            taken += [one for _, one in found(ack=number % 2 == 0)]
        if number % 7 == seed:
            office.net.cut("192.0.2.1", owner.host.address)
            office.net.run(0.1)
            owner = office.owner()
    taken += [one for _, one in found(ack=True)]
    assert taken == sent
    assert len(sent) == 30
