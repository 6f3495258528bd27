"""The parts of a node and of a mailbox client, each driven alone, with a host that keeps what it asks for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from scripted import PartHost
from scripted_egtp import AT_B, OWNER, RELAY, SERVER, TERMS, B, C, NodePeer, ServerPeer, node

from sansproto.contract import Link
from sansproto.egtp import MailboxViolation, NodeDelays, NodeLimits
from sansproto.egtp import packets as p
from sansproto.egtp.depositor import TOO_MANY_WAIT, Depositor, DepositorInput, DepositorState
from sansproto.egtp.gate import Gate, GateInput, GateState, Knocked
from sansproto.egtp.limits import MailboxClientLimits
from sansproto.egtp.mailbox_connection import ConnectionInput, ConnectionState, Ended, MailboxConnection
from sansproto.egtp.own_mailbox import OwnMailbox, OwnMailboxInput, OwnMailboxState, OwnMailboxTimer
from sansproto.events import CloseCause
from sansproto.links import LinkInput, LinkState

LOST = Ended(CloseCause.LOST, None, "")


class NodeHost(PartHost):
    """A node with one link, which never does anything of itself."""

    own_private, init_pause, under_way = OWNER.private, 1.0, 0
    has_peers = False

    def __init__(self, **limits: int) -> None:
        super().__init__(NodeDelays(), NodeLimits(**limits))
        self.link = SimpleNamespace(key=Link(1), state=LinkState.OPEN, post=self.told.append)
        self.links = {Link(1): self.link}
        self.mailbox_delays = self.delays

    def open_link(self, address: Any) -> Any:
        return self.link

    def make_connection(self, owner: Any, server: bytes, key: str) -> MailboxConnection:
        return MailboxConnection(self, owner, server, key)


def mailbox(host: NodeHost) -> OwnMailbox:
    return OwnMailbox(host, SERVER.public, RELAY.address, host.delays, MailboxClientLimits())


def put(host: NodeHost, depositor: Depositor, *packets: bytes) -> None:
    for packet in packets:
        depositor.post(DepositorInput.PUT(packet))
        host.run()


def test_a_depositor_refuses_what_finds_no_room() -> None:
    host = NodeHost(deposits=2)
    depositor = Depositor(host, (SERVER.public, bytes(32)), RELAY.address, MailboxClientLimits())
    put(host, depositor, b"1", b"2", b"3")
    assert ("lose_packet", TOO_MANY_WAIT, depositor) in host.told
    assert [*depositor.waiting] == [b"1", b"2"]


def test_a_depositor_goes_on_with_what_waits_for_an_answer() -> None:
    host = NodeHost()
    depositor = Depositor(host, (SERVER.public, bytes(32)), RELAY.address, MailboxClientLimits(pipeline=1))
    put(host, depositor, b"1", b"2")
    connection: Any = depositor.connection.part
    connection.max_blob = 100
    depositor.mailbox_said(connection, TERMS)
    host.run()
    assert ([*depositor.waiting], depositor.under_way) == ([b"2"], 1)
    for waiting, state in (([], DepositorState.OPEN), ([], DepositorState.IDLE)):
        depositor.mailbox_said(connection, p.Deposited(bytes(4), 0))
        host.run()
        assert ([*depositor.waiting], depositor.state) == (waiting, state)


def test_an_init_that_is_held_does_not_put_off_the_others() -> None:
    host = NodeHost()
    gate, knocked = Gate(host), Knocked(None, b"", SimpleNamespace(group=b"g"))  # type: ignore[arg-type]
    for now in (0.0, 0.75):
        host.clock = now
        gate.post(GateInput.HELD(knocked))
        host.run()
    assert (host.armed, len(gate.held[b"g"])) == ({"HELD": 0.25}, 2)


def test_a_gate_with_nothing_to_say_is_closed_at_once() -> None:
    host = NodeHost()
    gate = Gate(host)
    gate.post(GateInput.CLOSE())
    host.run()
    assert ([name for name, _ in host.told], gate.state) == (["leave"], GateState.CLOSED)


def test_a_node_may_be_closed_again_while_it_closes() -> None:
    peer = NodePeer.live()
    peer.connect(B.public, AT_B, peer.now)
    for _ in range(2):
        peer.close(peer.now)
    assert peer.stats.dropped == {}


def test_an_init_for_somebody_else_goes_no_further() -> None:
    peer, other = NodePeer.live(), node(B)
    other.connect(C.public, AT_B, 0.0)
    init: Any = other.next_transmit()
    peer.receive_datagram(init.data, AT_B, peer.now)
    assert peer.stats.dropped == {"an H1 for somebody else": 1}


def test_a_client_that_finishes_is_left_at_once() -> None:
    peer = ServerPeer.live()
    guest = peer.guest()
    peer.receive_eof(guest.at, peer.now)
    assert guest.is_closed


@pytest.mark.parametrize(
    ("ends", "how"),
    [
        (ConnectionInput.ERROR(p.Error(p.ErrorCode.LIMIT)), LinkInput.CLOSE()),
        (ConnectionInput.LOST(LOST), LinkInput.CLOSE()),
        (ConnectionInput.CLOSE(), LinkInput.CLOSE()),
        (ConnectionInput.EXPIRED(), LinkInput.ABORT()),
        (ConnectionInput.BAD(MailboxViolation.BAD_SEAL), LinkInput.ABORT()),
    ],
)
def test_the_link_of_a_connection_that_is_over_is_closed(ends: Any, how: Any) -> None:
    host = NodeHost()
    connection = MailboxConnection(host, host, SERVER.public, "")
    connection.begin(OWNER.private, RELAY.address)
    host.run()
    connection.state = ConnectionState.READY
    connection.post(ends)
    host.run()
    assert (connection.state, host.told[-1]) == (ConnectionState.ENDED, how)


def test_a_mailbox_calls_ever_more_slowly_and_rests_when_it_is_told() -> None:
    host = NodeHost()
    own, waits = mailbox(host), []
    own.post(OwnMailboxInput.START())
    host.run()
    for _ in range(3):
        own.post(OwnMailboxInput.LOST(LOST))
        host.run()
        waits.append(host.armed["REDIAL"])
        assert own.connection.part is None
        host.fire(own, OwnMailboxTimer.REDIAL)
    assert waits == [host.delays.redial * 2**number for number in range(3)]
    assert own.state is OwnMailboxState.DIALLING
    own.post(OwnMailboxInput.STOP())
    host.run()
    assert (own.state, own.connection.part, host.armed) == (OwnMailboxState.RESTING, None, {})
