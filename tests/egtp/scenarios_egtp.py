"""The conversations of ``vectors/egtp/sessions.json``: one party, one script each, recorded from our own machines.

They hit every row and step. ``make vectors`` writes the file again; the same code gives the same file, byte by byte.
All delays and limits stand in each ``config``: times in milliseconds.
"""

from __future__ import annotations

from recording import Scenarios
from scripted import ScriptedPeer
from scripted_egtp import (
    AT_A,
    AT_B,
    AT_C,
    DEPOSITOR,
    EPOCH,
    OTHER,
    OWNER,
    SERVER,
    THERE,
    A,
    B,
    C,
    ClientPeer,
    Guest,
    KeyPair,
    NodePeer,
    ServerPeer,
    deposit,
    mailbox_of,
    node,
)

from sansproto.contract import SendDatagram
from sansproto.egtp import StoredMailbox, StoredMessage
from sansproto.egtp import packets as p
from sansproto.egtp.depositor import DepositorState

scenario = Scenarios("egtp/sessions.json")

# -- a mailbox server --------------------------------------------------------------------------------------------------


@scenario
def a_message_is_deposited_polled_and_acknowledged() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    owner, depositor = peer.owner(), peer.guest(host=THERE)
    assert depositor.ask(deposit(b"one"), deposit(b"two", tag=2)) == [
        p.Deposited(b"\1\0\0\0", 0),
        p.Deposited(b"\2\0\0\0", 0),
    ]
    assert owner.ask(p.Poll(1), p.Poll(64)) == [
        p.Message(1, b"one"),
        p.Polled(1, 1),
        p.Message(2, b"two"),
        p.Polled(1, 0),
    ]
    assert owner.ask(p.Ack(1), p.Ack(1), p.Ack(2)) == [p.Acked(1, 1), p.Acked(1, 1), p.Acked(2, 0)]
    peer.close(peer.now)
    return peer


@scenario
def nobody_has_this_mailbox() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    assert peer.guest().ask(deposit()) == [p.Deposited(b"\1\0\0\0", 1)]
    return peer


@scenario
def what_is_not_acknowledged_comes_again_on_the_next_connection() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    first = peer.owner()
    peer.guest().ask(deposit())
    assert first.ask(p.Poll(3)) == [p.Message(1, b"blob"), p.Polled(1, 0)]
    second = peer.owner()
    assert (first.take(), first.is_closed) == ([p.Error(p.ErrorCode.SUPERSEDED)], True)
    assert second.ask(p.Poll(3)) == [p.Message(1, b"blob"), p.Polled(1, 0)]
    return peer


@scenario
def requests_out_of_order() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    for requests, code in (
        ([p.Register(), p.Register()], p.ErrorCode.ORDER),
        ([p.Register(), p.Ack(1)], p.ErrorCode.ORDER),
        ([p.Poll(1)], p.ErrorCode.NOT_REGISTERED),
        ([p.Ack(1)], p.ErrorCode.NOT_REGISTERED),
    ):
        guest = peer.guest(OWNER)
        assert guest.ask(*requests)[-1] == p.Error(code)
        assert guest.is_closed
    return peer


@scenario
def requests_that_are_none() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    for clear, code in ((b"\5", 1), (b"\1\0", 2), (b"\3\0", 3), (b"\3\x41", 3), (b"\2" + bytes(36 + 16385), 2)):
        guest = peer.guest()
        guest.say(guest.seal(clear))
        assert (guest.take(), guest.is_closed) == ([p.Error(p.ErrorCode(code))], True)
    return peer


@scenario
def frames_that_are_none() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    for spoken, data in (
        (False, b"\1\0x"),
        (False, b"\0\0"),
        (True, b"\0\0"),
        (True, b"\x10\0" + bytes(16)),
        (True, b"\x11\0" + bytes(17)),
    ):
        guest = peer.guest() if spoken else Guest(peer)
        guest.say(data)
        assert (guest.take(), guest.is_closed) == ([], True)
    return peer


@scenario
def clients_that_say_nothing() -> ScriptedPeer:
    peer = ServerPeer.recorded(delays={"handshake": 1.0, "idle": 5.0})
    Guest(peer)
    peer.guest()
    peer.owner()
    while peer.tick():
        pass
    return peer


@scenario
def clients_that_leave() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    fresh, lost = Guest(peer), peer.owner()
    peer.receive_eof(fresh.at, peer.now)
    peer.stream_lost(lost.at, peer.now, detail="gone")
    done = peer.guest()
    peer.is_storing = False
    done.ask(deposit())
    peer.receive_eof(done.at, peer.now)
    peer.is_storing = True
    peer.settle()
    assert (done.take(), done.is_closed) == ([p.Deposited(b"\1\0\0\0", 0)], True)
    return peer


@scenario
def a_store_that_does_not_answer() -> ScriptedPeer:
    peer = ServerPeer.recorded(delays={"ending": 2.0})
    owner = peer.owner()
    peer.is_storing = False
    depositor = peer.guest()
    depositor.ask(deposit())
    depositor.say(depositor.seal(b"\5"))
    assert owner.ask(p.Poll(1)) == [p.Polled(0, 0)]
    peer.wait(2.0)
    peer.fails(lambda: peer.stored(9, peer.now))
    return peer


@scenario
def there_is_no_room_for_a_mailbox() -> ScriptedPeer:
    peer = ServerPeer.recorded(limits={"mailboxes": 2, "new_mailboxes": 1})
    peer.owner()
    assert peer.guest(OTHER).ask(p.Register()) == [p.Error(p.ErrorCode.LIMIT)]
    peer.owner(OTHER, THERE)
    assert peer.guest(DEPOSITOR, "203.0.113.1").ask(p.Register()) == [p.Error(p.ErrorCode.LIMIT)]
    return peer


@scenario
def a_server_goes_on_with_what_its_store_held() -> ScriptedPeer:
    peer = ServerPeer.recorded()
    stored = StoredMailbox(
        mailbox=mailbox_of(OWNER),
        epoch=b"epoch..1",
        group=b"\4\xc0\0\2",
        polled_at=EPOCH * 1000 - 5,
        floor=2,
        last_seq=4,
        messages=(StoredMessage(3, b"three", b"\4\xc0\0\2", EPOCH * 1000 - 9),),
    )
    peer.load((stored,), peer.now)
    peer.fails(lambda: peer.load((), peer.now))
    owner = peer.guest(OWNER)
    assert owner.ask(p.Register(), p.Poll(9)) == [p.Registered(b"epoch..1", 1), p.Message(3, b"three"), p.Polled(1, 0)]
    peer.guest().ask(deposit())
    assert owner.ask(p.Poll(9)) == [p.Message(5, b"blob"), p.Polled(1, 0)]
    return peer


@scenario
def what_nobody_fetches_goes() -> ScriptedPeer:
    peer = ServerPeer.recorded(delays={"retention": 5.0, "unpolled": 20.0, "idle": 7.0, "seen": 2.0})
    owner = peer.owner()
    peer.guest().ask(deposit())
    peer.wait(3.0)
    owner.ask(p.Poll(1))
    peer.settle()
    while peer.tick():
        peer.settle()
    return peer


# -- a mailbox client --------------------------------------------------------------------------------------------------


@scenario
def an_owner_fetches_what_there_is() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.fails(lambda: peer.register(peer.now))
    peer.welcome()
    peer.fails(lambda: peer.poll(3, peer.now))
    peer.register(peer.now)
    peer.fails(lambda: peer.register(peer.now))
    peer.server.tell(p.Registered(b"epoch..1", 2))
    peer.poll(64, peer.now)
    peer.fails(lambda: peer.ack(1, peer.now))
    peer.server.tell(p.Message(1, b"one"), p.Message(2, b"two"), p.Polled(2, 0))
    peer.ack(2, peer.now)
    peer.server.tell(p.Acked(2, 0))
    assert peer.server.take() == [p.Register(), p.Poll(64), p.Ack(2)]
    peer.close(peer.now)
    return peer


@scenario
def a_depositor() -> ScriptedPeer:
    peer = ClientPeer.recorded(private_key="", limits={"pipeline": 2})
    peer.welcome()
    for blob in (b"one", b"two", b"three"):
        peer.deposit(mailbox_of(OWNER), blob, peer.now)
    peer.server.tell(p.Deposited(b"\1\0\0\0", 0))
    peer.server.tell(p.Deposited(b"\2\0\0\0", 1))
    peer.fails(lambda: peer.deposit(mailbox_of(OWNER), bytes(16385), peer.now))
    assert peer.server.take() == [deposit(b"one", tag=1), deposit(b"two", tag=2)]
    peer.close(peer.now)
    return peer


@scenario
def the_server_says_no() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.own()
    peer.server.tell(p.Error(p.ErrorCode.SUPERSEDED))
    return peer


@scenario
def the_server_answers_what_was_not_asked() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.welcome()
    peer.server.tell(p.Polled(0, 0))
    return peer


@scenario
def the_server_is_another_one() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.open()
    peer.server.say(b"\x38\0" + bytes(56))
    return peer


@scenario
def the_server_does_not_answer() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.own()
    peer.poll(1, peer.now)
    peer.server.tell(p.Message(1, b"one"))
    peer.tick()
    return peer


@scenario
def the_server_is_not_there() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.connect(peer.now)
    peer.fails(lambda: peer.connect(peer.now))
    peer.tick()
    return peer


@scenario
def a_client_changes_its_mind() -> ScriptedPeer:
    peer = ClientPeer.recorded()
    peer.open()
    peer.close(peer.now)
    peer.fails(lambda: peer.register(peer.now))
    return peer


# -- a node ------------------------------------------------------------------------------------------------------------


@scenario
def two_nodes_talk_and_one_leaves() -> ScriptedPeer:
    peer = NodePeer.recorded()
    b = peer.meet(B, AT_B)
    assert peer.connect(B.public, AT_B, peer.now)
    assert peer.send(B.public, b"early", peer.now)
    peer.settle()
    b.send(A.public, b"hello", peer.now)
    peer.settle()
    assert peer.send(B.public, b"late", peer.now)
    peer.fails(lambda: peer.send(B.public, bytes(1199), peer.now))
    peer.disconnect(B.public, peer.now)
    peer.settle()
    assert not peer.send(B.public, b"too late", peer.now)
    peer.close(peer.now)
    peer.fails(lambda: peer.send(B.public, b"closed", peer.now))
    peer.go(3.0)
    return peer


@scenario
def the_other_node_restarts() -> ScriptedPeer:
    peer = NodePeer.recorded()
    peer.meet(B, AT_B)
    peer.connect(B.public, AT_B, peer.now)
    peer.settle()
    b = peer.meet(B, AT_B, "again")
    b.connect(A.public, AT_A, peer.now)
    peer.settle()
    assert b.send(A.public, b"I am back", peer.now)
    peer.settle()
    return peer


@scenario
def a_node_is_called_closes_and_tells_who_did_not_hear_it() -> ScriptedPeer:
    peer = NodePeer.recorded()
    b = peer.meet(B, AT_B)
    b.connect(A.public, AT_A, peer.now)
    peer.settle()
    del peer.others[AT_B]
    peer.close(peer.now)
    peer.close(peer.now)
    peer.drain()
    peer.others[AT_B] = b
    b.send(A.public, b"are you there?", peer.now)
    peer.go(3.0)
    return peer


@scenario
def strangers_and_what_is_for_somebody_else() -> ScriptedPeer:
    peer = NodePeer.recorded(only=[B.public.hex()])
    b, c = node(B), node(C)
    for other, whom in ((b, C.public), (c, A.public)):
        other.connect(whom, AT_A, peer.now)
        transmit = other.next_transmit()
        assert isinstance(transmit, SendDatagram)
        peer.receive_datagram(transmit.data, AT_C, peer.now)
    for data in (b"", b"\x08", b"\x0b" + bytes(40), b"\x0c" + bytes(8)):
        peer.receive_datagram(data, AT_C, peer.now)
    peer.fails(lambda: peer.connect(A.public, AT_A, peer.now))
    peer.fails(lambda: peer.connect(bytes(32), AT_B, peer.now))
    peer.fails(lambda: peer.connect_by_mailbox(B.public, SERVER.public, peer.now))
    peer.network_changed(peer.now)
    peer.resumed(peer.now, asleep=60)
    peer.datagram_failed(AT_B, peer.now, detail="unreachable")
    return peer


def mailbox_with(*blobs: bytes) -> StoredMailbox:
    messages = tuple(StoredMessage(seq, blob, b"\4\xc0\0\2", EPOCH * 1000) for seq, blob in enumerate(blobs, 1))
    return StoredMailbox(
        mailbox=mailbox_of(A),
        epoch=b"epoch..1",
        group=b"\4\xc0\0\2",
        polled_at=EPOCH * 1000,
        last_seq=len(blobs),
        messages=messages,
    )


@scenario
def a_node_polls_its_mailbox() -> ScriptedPeer:
    peer = NodePeer.with_mailbox(delays={"poll": 10.0})
    peer.server.load((mailbox_with(*[b"\x0c" + bytes(8), b"junk"] * 33),), peer.now)
    peer.start(peer.now)
    peer.fails(lambda: peer.start(peer.now))
    peer.go(25.0)
    peer.close(peer.now)
    return peer


@scenario
def a_mailbox_server_comes_and_goes() -> ScriptedPeer:
    peer = NodePeer.with_mailbox(delays={"poll": 20.0, "redial": 3.0})
    peer.is_up = False
    peer.start(peer.now)
    peer.go(4.0)
    peer.is_up = True
    peer.network_changed(peer.now)
    peer.go(1.0)
    (link,) = peer.links
    peer.stream_lost(link, peer.now, detail="reset")
    peer.serve()
    peer.go(4.0)
    peer.network_changed(peer.now)
    peer.go(1.0)
    return peer


@scenario
def two_nodes_talk_through_a_mailbox() -> ScriptedPeer:
    peer = NodePeer.with_mailbox(delays={"poll": 10.0, "unused": 60.0}, limits={"deposits": 2})
    peer.start(peer.now)
    peer.settle()
    friend = peer.befriend(B)
    assert peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    for text in (b"one", b"two"):
        assert peer.send(B.public, text, peer.now)
    for _ in range(8):
        peer.go(5.0)
        peer.visit()
    for text in (b"three", b"four", b"five"):
        assert peer.send(B.public, text, peer.now)
    peer.go(10.0)
    peer.visit()
    friend.send(A.public, b"thanks", peer.now)
    peer.visit()
    peer.go(80.0)
    return peer


@scenario
def a_mailbox_server_is_lost_with_what_was_on_its_way() -> ScriptedPeer:
    peer = NodePeer.with_mailbox()
    peer.start(peer.now)
    peer.settle()
    peer.is_up = False
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    peer.network_changed(peer.now)
    peer.tick()
    peer.settle()
    peer.is_up = True
    peer.go(400.0)
    return peer


@scenario
def more_waits_for_a_mailbox_than_may() -> ScriptedPeer:
    peer = NodePeer.with_mailbox(limits={"deposits": 1})
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    peer.network_changed(peer.now)
    peer.tick()
    peer.settle()
    return peer


def leaving() -> NodePeer:
    """A node that closes with a packet for a mailbox, and the connection for it does not stand yet."""
    peer = NodePeer.with_mailbox(delays={"farewell": 1.0, "handover": 3.0})
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    peer.close(peer.now)
    peer.drain()
    return peer


@scenario
def a_mailbox_server_takes_the_last_packet_before_the_farewell_is_over() -> ScriptedPeer:
    peer = leaving()
    peer.settle()
    peer.go(2.0)
    return peer


@scenario
def a_node_waits_until_a_mailbox_server_has_taken_the_last_packet() -> ScriptedPeer:
    peer = leaving()
    peer.tick()
    peer.settle()
    return peer


@scenario
def a_node_waits_no_longer_for_a_mailbox_server() -> ScriptedPeer:
    peer = leaving()
    peer.tick()
    peer.close(peer.now)
    peer.tick()
    peer.settle()
    return peer


@scenario
def a_node_closes_that_says_goodbye_to_one_peer_at_a_time() -> ScriptedPeer:
    peer = NodePeer.recorded(limits={"goodbyes": 1})
    for keys, path in ((B, AT_B), (C, AT_C)):
        peer.meet(keys, path)
        peer.connect(keys.public, path, peer.now)
    peer.settle()
    peer.close(peer.now)
    peer.go(3.0)
    assert not any(other.recovery.peers for other in peer.others.values())
    return peer


def calls(count: int) -> list[bytes]:
    """H1s for A, each of somebody else."""
    found = []
    for number in range(count):
        caller = node(KeyPair.of(bytes([100 + number]) * 32))
        caller.connect(A.public, AT_A, 0.0)
        transmit = caller.next_transmit()
        assert isinstance(transmit, SendDatagram)
        found.append(transmit.data)
    return found


@scenario
def more_call_by_the_mailbox_than_may_be_heard_at_once() -> ScriptedPeer:
    peer = NodePeer.with_mailbox(delays={"poll": 60.0}, limits={"held": 2})
    peer.server.load((mailbox_with(*calls(11)),), peer.now)
    peer.start(peer.now)
    peer.settle()
    assert (len(peer.recovery.peers), peer.stats.noted["a challenge was sent"]) == (4, 4)
    assert peer.stats.dropped == {"too many inits": 1}
    peer.go(1.5)
    assert peer.stats.noted["a challenge was sent"] == 6
    return peer


@scenario
def connections_to_mailboxes_are_made_anew_on_another_network() -> ScriptedPeer:
    peer = NodePeer.with_mailbox()
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    peer.settle()
    peer.unplug()  # what is put there now is not answered
    peer.disconnect(B.public, peer.now)
    peer.connect_by_mailbox(B.public, SERVER.public, peer.now)
    peer.settle()
    peer.network_changed(peer.now)
    peer.settle()
    assert [one.state for one in peer.relays.depositors.values()] == [DepositorState.IDLE]
    for _ in range(2):
        peer.network_changed(peer.now)  # too soon after the first report: once more in its time
    peer.settle()
    assert peer.relays.depositors
    peer.go(5.0)
    assert not peer.relays.depositors
    return peer


if __name__ == "__main__":
    scenario.write()
