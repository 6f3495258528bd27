"""The nodes of a client: lists, pings, hole punching, connection ids, skew, and packets to and from them."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final, cast

import attrs
import pytest
from hypothesis import given
from scripted_overte import (
    DOMAIN,
    DOMAIN_ID,
    EPOCH,
    LOCAL_ID,
    MIXER,
    MIXER_LOCAL,
    SECRET,
    SESSION,
    STRANGER,
    ClientPeer,
    OvertePartHost,
    domain_list,
    record,
)

from sansproto.contract import Address, Path
from sansproto.endpoint import Received
from sansproto.errors import LocalProtocolError
from sansproto.overte import crypto
from sansproto.overte import packets as p
from sansproto.overte.client import DomainClient
from sansproto.overte.events import (
    Connected,
    Disconnected,
    Loss,
    NodeActivated,
    NodeAdded,
    NodeMeasured,
    NodeRemoved,
    NotAnswered,
    PacketReceived,
    PathAnswered,
    Removal,
    Undelivered,
)
from sansproto.overte.header import MAX_DATAGRAM, Control, ControlType, encode_datagram
from sansproto.overte.limits import ClientDelays, ClientLimits
from sansproto.overte.lists import record_end
from sansproto.overte.node import Node, NodeOwner
from sansproto.overte.qt import NULL_UUID, SockAddr, SocketType
from sansproto.overte.remote import SOCKET, path_to
from sansproto.overte.server import DomainServer
from sansproto.overte.versions import PacketType
from sansproto.testing._internal.meter import measured
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, VirtualNetwork
from sansproto.testing.strategies import packets

M = bytes([1]) * 16  # the mixer's id
M_LOCAL_ID = 4661


def met(**changes: Any) -> ClientPeer:
    """A client that was told of a mixer, and has begun to punch."""
    peer = ClientPeer.live()
    peer.list(record(**changes))
    peer.take()
    return peer


def punched(peer: ClientPeer) -> dict[Path, p.Ping]:
    return {path: packet for _, packet, path in peer.sent(p.Ping)}


def answer(peer: ClientPeer, ping: p.Ping, path: Path = MIXER, *, delay: float = 0.0, ahead: int = 0) -> None:
    peer.now += delay
    clock = ping.clock + int(delay * 1e6) // 2 + ahead
    peer.say(p.PingReply(ping.type, ping.clock, clock), path, source=M_LOCAL_ID, secret=SECRET)


def activated(**changes: Any) -> ClientPeer:
    peer = met(**changes)
    answer(peer, punched(peer)[MIXER])
    peer.take()
    return peer


def of_nodes(peer: ClientPeer) -> list[Any]:
    """What it told of nodes."""
    return [event for event in peer.take() if not isinstance(event, NotAnswered | Undelivered)]


def wall(peer: ClientPeer) -> int:
    return int((EPOCH + peer.now) * 1e6)


# -- lists -------------------------------------------------------------------------------------------------------------


def test_a_listed_node_is_told_and_punched_for() -> None:
    peer = ClientPeer.live()
    peer.list(record())
    (added,) = peer.take()
    assert isinstance(added, NodeAdded)
    assert peer.nodes == {M: added.node}
    assert added.node.public == Address(MIXER.host, MIXER.port)
    assert added.node.active is None
    assert "kkkk" not in repr(added) + repr(peer.node_table.nodes)
    for second in (0.0, 0.25, 0.5):
        peer.at(second)
        found = peer.sent(p.Ping)
        assert {(packet.type, path) for _, packet, path in found} == {
            (p.PingType.LOCAL, MIXER_LOCAL),
            (p.PingType.PUBLIC, MIXER),
        }
        for header, packet, _ in found:
            assert header.source == LOCAL_ID
            assert header.mac == crypto.mac(SECRET, packet.encode())
            assert (packet.clock, packet.connection_id) == (wall(peer), 0)


def test_a_null_public_address_is_the_domains() -> None:
    peer = met(public_socket=SockAddr("", 40111), local_socket=SockAddr("0.0.0.0", 0))
    assert list(punched(peer)) == [Path(SOCKET, DOMAIN.host, 40111)]


def test_a_node_that_is_added_between_lists_is_known_and_one_before_the_first_is_not() -> None:
    peer = ClientPeer.live()
    peer.say(p.AddedNode.decode(record().encode()))
    assert set(peer.nodes) == {M}
    peer = ClientPeer.live(connected=False)
    peer.go()
    peer.say(p.AddedNode.decode(record().encode()))
    assert peer.stats.dropped["a node before the first list"] == 1


def test_a_list_never_holds_ourselves() -> None:
    peer = ClientPeer.live()
    peer.list(record("I", id=SESSION), record("I", id=NULL_UUID))
    assert not peer.nodes


def test_a_removed_node_is_gone() -> None:
    peer = met()
    peer.say(p.RemovedNode(M))
    peer.say(p.RemovedNode(M))
    assert peer.take() == [NodeRemoved(M, Removal.REMOVED)]
    assert peer.stats.dropped["unknown node"] == 1
    assert not peer.node_table.index


SAME_PUBLIC: Final = record("W", number=2, public_socket=SockAddr(MIXER.host, MIXER.port))


@pytest.mark.parametrize(
    "newer",
    [
        record("M", number=2),  # the same office
        SAME_PUBLIC,
        record("W", number=2, local_id=M_LOCAL_ID),
    ],
)
def test_a_node_that_cannot_be_beside_another_takes_its_place(newer: p.NodeRecord) -> None:
    peer = met()
    peer.at(2.1)
    peer.list(record(), newer)
    removed, added = peer.take()
    assert removed == NodeRemoved(M, Removal.REPLACED)
    assert isinstance(added, NodeAdded)
    assert set(peer.nodes) == {newer.id}
    assert set(peer.node_table.index.values()) == {peer.node_table.nodes[newer.id]}
    assert set(map(tuple, peer.node_table.places.values())) == {(peer.node_table.nodes[newer.id],)}


AT_HOME: Final = SockAddr("192.168.1.5", 48000)


def agent(number: int, **changes: Any) -> p.NodeRecord:
    """One of several agents that have the same private address behind different routers."""
    return record("I", number=number, local_socket=AT_HOME, **changes)


def test_equal_private_addresses_evict_nobody() -> None:
    peer = ClientPeer.live(interest=b"I", node_type=p.NodeType.AVATAR_MIXER, assignment=b"a" * 16)
    for second in range(30):
        peer.at(float(second))
        peer.list(agent(1), agent(2))
        moved = SockAddr("203.0.113.1", 1000 + second)
        peer.list(agent(3, public_socket=moved))  # whose router changes its port again and again
        for number in (1, 2, 3):
            ping = p.Ping(p.PingType.PUBLIC, wall(peer), 0)
            path = Path(SOCKET, moved.host, moved.port) if number == 3 else Path(SOCKET, MIXER.host, 40109 + number)
            peer.say(ping, path, source=4660 + number, secret=SECRET)
    assert [type(event) for event in of_nodes(peer)] == [NodeAdded] * 3
    peer.say(p.RemovedNode(bytes([1]) * 16))
    assert peer.accepts_channel(Path(SOCKET, AT_HOME.host, AT_HOME.port))  # the others have it


@pytest.mark.parametrize("by", ["list", "announcement"])
def test_nodes_that_say_the_same_public_socket_stay_beside_each_other(by: str) -> None:
    """As those behind one router do who do not know how others see them."""
    peer = ClientPeer.live()
    nodes = [record("I", number=number, public_socket=SockAddr("203.0.113.1", 48000)) for number in (1, 2, 3)]
    for node in nodes:
        peer.at(peer.now + 1.0)
        peer.list() if by == "list" else peer.say(p.AddedNode.decode(node.encode()))
        for _ in range(2):
            peer.list(*nodes[: nodes.index(node) + 1])
        for known in nodes[: nodes.index(node) + 1]:
            ping = p.Ping(p.PingType.PUBLIC, wall(peer), 0)
            peer.say(ping, Path(SOCKET, "203.0.113.1", known.local_id), source=known.local_id, secret=SECRET)
    assert [type(event) for event in peer.take()] == [NodeAdded] * 3


def test_of_those_with_one_public_socket_only_the_silent_go() -> None:
    peer = ClientPeer.live()
    at_one = [record("I", number=number, public_socket=SockAddr("203.0.113.1", 48000)) for number in range(1, 6)]
    gone = []
    for second, node in zip((0.0, 1.5, 2.5, 3.4, 4.0), at_one, strict=True):
        peer.at(second)
        peer.list(node)
        gone.append([event.node_id[0] for event in peer.take() if isinstance(event, NodeRemoved)])
    assert gone == [[], [], [1], [], [2]]


@pytest.mark.unmeasured
def test_a_call_costs_each_of_many_silent_nodes_with_one_public_socket_the_same() -> None:
    """A domain may tell of as many as it likes; also of some that have the socket in their own network."""

    def costs(count: int) -> int:
        peer, here = ClientPeer.live(), SockAddr("203.0.113.1", 48000)
        ids = [number.to_bytes(2, "big") * 8 for number in range(1, count + 2)]
        nodes = [record("I", id=one, local_id=number, public_socket=here) for number, one in enumerate(ids, 500)]
        for number in range(0, count, 4):
            nodes[number] = attrs.evolve(nodes[number], local_socket=here, public_socket=SockAddr("203.0.113.2", 1))
        for at in range(0, count, 20):
            peer.list(*nodes[at : at + 20])
        peer.take()
        peer.sent()
        peer.now = 5.0
        lines = measured(lambda: peer.list(nodes[-1]))[1]
        assert len(peer.nodes) == 1 + count // 4
        return lines

    assert costs(160) < 2.2 * costs(80)


def test_a_node_that_comes_back_takes_nobodys_place() -> None:
    peer = met()
    for second in (3.0, 6.0, 9.0):
        peer.at(second)
        peer.list(record(), SAME_PUBLIC)
        kinds = [type(event) for event in of_nodes(peer)]
        assert kinds == {3.0: [NodeRemoved, NodeAdded], 6.0: [NodeAdded]}.get(second, [])


def test_what_waits_for_a_socket_goes_on_while_somebody_has_it() -> None:
    """The channel with an address is not forgotten with one of several nodes that have it."""
    peer = activated()
    shared = SockAddr(MIXER.host, MIXER.port)
    peer.list(record(), record("W", number=2, local_socket=shared))
    peer.send_to_node(M, PacketType.AVATAR_IDENTITY, b"me", 0.0, reliable=True)
    peer.say(p.RemovedNode(bytes([2]) * 16))
    peer.shake(MIXER)
    assert [payload for header, payload, path in peer.sent() if header.reliable and path == MIXER] == [b"me"]
    assert not peer.take()[2:]


# -- lists that are late -----------------------------------------------------------------------------------------------


def test_a_list_that_was_under_way_revives_nobody() -> None:
    peer = met()
    peer.at(1.0)
    asked = wall(peer)
    peer.at(1.5)
    peer.say(p.RemovedNode(M))
    peer.list(record(), client_clock=asked)
    peer.say(p.AddedNode.decode(record().encode()))
    assert [type(event) for event in peer.take()] == [NodeRemoved]
    assert peer.stats.noted == {"a record of a removed node": 2}
    peer.at(2.0)
    peer.list(record(), client_clock=wall(peer))  # it was asked for since
    assert [type(event) for event in peer.take()] == [NodeAdded]


def test_a_list_that_is_older_than_the_last_one_is_dropped() -> None:
    peer = ClientPeer.live()
    peer.at(2.0)
    peer.list(record(), client_clock=wall(peer))
    peer.take()
    for changes in ({}, {"session_id": b"o" * 16, "local_id": 3}, {"permissions": 0}):
        peer.list(record("W", number=2), client_clock=wall(peer) - 1, **changes)
    assert (peer.take(), peer.stats.dropped["late list"]) == ([], 3)
    peer.list(record("W", number=2), client_clock=wall(peer) + 1)  # which is no clock of ours
    peer.list(record("A", number=3), client_clock=wall(peer))  # another datagram of the same
    assert [type(event) for event in peer.take()] == [NodeAdded] * 2


# -- records that do not decode ----------------------------------------------------------------------------------------

GOOD: Final = record().encode()
NOWHERE: Final = b"\x01\x01" + bytes(16)
"""The front of an IPv6 socket, up to the length of its scope."""

BAD: Final = {
    "replicated is no bool": GOOD[:37] + b"\x02" + GOOD[38:],
    "a scope of odd length": GOOD[:17] + NOWHERE + b"\x00\x00\x00\x03abc" + b"\x00\x01" + GOOD[25:],
    "a scope that is too long": GOOD[:17] + NOWHERE + b"\x00\x00\x02\x02" + bytes(514) + b"\x00\x01" + GOOD[25:],
}
UNENDING: Final = {
    "no form of address": GOOD[:18] + b"\x07" + GOOD[19:],
    "a scope beyond the end": GOOD[:17] + NOWHERE + b"\xff\xff\xff\xfe" + GOOD[25:],
    "cut off": GOOD[:-1],
    "cut off in its first bytes": GOOD[:17],
}


def listed_with(data: bytes, *behind: p.NodeRecord) -> ClientPeer:
    peer = ClientPeer.live()
    front = domain_list(record("W", number=2)).encode()
    peer.say((PacketType.DOMAIN_LIST, front + data + b"".join(node.encode() for node in behind)))
    return peer


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_record_with_a_bad_value_costs_nobody_else(data: bytes) -> None:
    peer = listed_with(data, record("A", number=3))
    assert set(peer.nodes) == {bytes([2]) * 16, bytes([3]) * 16}
    assert peer.stats.noted == {"malformed record": 1}
    assert not peer.stats.dropped


@pytest.mark.parametrize("data", UNENDING.values(), ids=UNENDING)
def test_where_a_record_does_not_end_the_list_does(data: bytes) -> None:
    peer = listed_with(data)
    assert set(peer.nodes) == {bytes([2]) * 16}
    assert peer.stats.noted == {"list cut short": 1}
    assert not peer.stats.dropped


def test_a_list_of_more_nodes_than_any_datagram_has_ends_there() -> None:
    peer = listed_with(b"".join(record("I", number=3, local_id=number).encode() for number in range(100)))
    assert peer.stats.noted["list cut short"] == 1


@given(packets(p.NodeRecord))
def test_a_records_end_is_found_whatever_it_says(node: p.NodeRecord) -> None:
    data = node.encode()
    assert record_end(b"x" + data + b"y", 1) == 1 + len(data)
    for end in range(len(data)):
        assert record_end(data[:end], 0) is None


# -- WebRTC ------------------------------------------------------------------------------------------------------------


def test_a_node_that_only_webrtc_reaches_is_told_and_left_alone() -> None:
    peer = ClientPeer.live()
    sockets = {name: SockAddr("203.0.113.5", 7, kind=SocketType.WEBRTC) for name in ("public_socket", "local_socket")}
    browser = record("I", **sockets)
    for second in range(60):
        peer.at(float(second))
        peer.list(browser)
    (added,) = of_nodes(peer)
    assert (added.node.webrtc, added.node.public, added.node.local) == (True, None, None)
    assert not [path for _, _, path in peer.sent() if path != DOMAIN]
    assert not peer.send_to_node(browser.id, PacketType.AVATAR_DATA, b"x", peer.now)
    peer.list(attrs.evolve(browser, permissions=1))
    assert peer.nodes[browser.id].permissions == 1
    peer.say(p.RemovedNode(browser.id))
    assert peer.take() == [NodeRemoved(browser.id, Removal.REMOVED)]


# -- lists that say where ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "new"])
@pytest.mark.parametrize("turn", [1, -1])
def test_two_nodes_may_change_places_within_one_list(turn: int, is_known: bool) -> None:
    """Whoever is named first: in the end each has what the list says."""
    peer = met()
    here, there = SockAddr("198.51.100.77", 7), SockAddr("10.0.0.77", 7)
    if is_known:
        peer.list(record(), record("W", number=2, local_id=9, public_socket=here, local_socket=there))
    peer.take()
    moved, follows = record(local_id=9, public_socket=here, local_socket=there), record("W", id=bytes([2]) * 16)
    peer.list(*[moved, follows][::turn])
    assert not [event for event in peer.take() if isinstance(event, NodeRemoved)]
    nodes = peer.node_table.nodes
    assert {node.listing.local_id: key for key, node in nodes.items()} == {9: moved.id, M_LOCAL_ID: follows.id}
    assert peer.node_table.index == {claim: node for node in nodes.values() for claim in node.claims}


def test_agents_may_be_many() -> None:
    peer = ClientPeer.live()
    peer.list(*(record("I", number=number) for number in range(1, 6)))
    assert len(peer.nodes) == 5


def test_a_node_that_is_listed_elsewhere_is_reached_anew() -> None:
    peer = activated()
    peer.list(record(permissions=1))
    assert peer.nodes[M].active
    assert peer.nodes[M].permissions == 1
    peer.list(record(local_id=98))
    assert peer.nodes[M].active
    peer.at(1.0)
    ((_, ping, _),) = peer.sent(p.Ping)
    elsewhere = SockAddr("198.51.100.99", 1)
    peer.list(record(public_socket=elsewhere, local_id=99))
    peer.say(p.PingReply(ping.type, ping.clock, 0), MIXER_LOCAL, source=99, secret=SECRET)
    assert peer.stats.dropped["a reply to no ping of ours"] == 1  # it was not for this socket
    assert peer.nodes[M].active is None
    assert peer.nodes[M].local_id == 99
    pings = punched(peer)
    assert set(pings) == {MIXER_LOCAL, Path(SOCKET, "198.51.100.99", 1)}
    peer.say(p.Ping(p.PingType.PUBLIC, 5, 0), MIXER, source=M_LOCAL_ID, secret=SECRET)
    assert peer.stats.dropped["unknown source"] == 1


def test_what_waits_for_a_node_goes_with_it() -> None:
    peer = activated()
    peer.send_to_node(M, PacketType.AVATAR_IDENTITY, b"me", 0.0, reliable=True)
    peer.say(p.RemovedNode(M))
    peer.take(peer.transmits)
    for second in range(1, 20):
        peer.at(float(second))
        assert MIXER not in {datagram.path for datagram in peer.take(peer.transmits)}
        peer.list()
    assert not [event for event in peer.take() if isinstance(event, Undelivered) and event.node_id]


def test_a_node_at_the_domains_address_leaves_the_domain_its_channel() -> None:
    peer = met(public_socket=SockAddr("", DOMAIN.port))
    peer.ask_path("/", 0.0)
    peer.say(p.RemovedNode(M))
    peer.at(0.2)
    peer.shake()
    assert p.PathQuery("/") in [packet for _, packet, _ in peer.sent()]


def test_only_the_domain_and_known_nodes_have_a_channel() -> None:
    peer = met()
    peer.sent()
    for path in (DOMAIN, MIXER, STRANGER):
        peer.receive_datagram(encode_datagram(Control(ControlType.HANDSHAKE, 7)), path, 0.0)
        assert bool(peer.take(peer.transmits)) is (path != STRANGER)


def test_a_local_address_that_changes_leaves_the_public_one_active() -> None:
    peer = activated()
    peer.list(record(local_socket=SockAddr("10.0.0.99", 1)))
    assert peer.nodes[M].active == Address(MIXER.host, MIXER.port)
    assert MIXER_LOCAL not in peer.node_table.index


# -- pings -------------------------------------------------------------------------------------------------------------


def test_an_answered_punch_activates_and_from_then_on_there_is_one_ping_a_second() -> None:
    peer = met()
    ping = punched(peer)[MIXER]
    answer(peer, ping, delay=0.1)
    assert peer.take() == [
        NodeActivated(M, Address(MIXER.host, MIXER.port)),
        NodeMeasured(M, ping_ms=100, skew_us=0),
    ]
    for second in (1.1, 2.1):
        peer.at(second)
        ((_, packet, path),) = peer.sent(p.Ping)
        assert (packet.type, path) == (p.PingType.AGNOSTIC, MIXER)
        answer(peer, packet)
        assert [type(event) for event in peer.take()] == [NodeMeasured]
        peer.list()


def test_the_local_socket_is_better_than_any_other() -> None:
    peer = activated()
    peer.at(0.5)
    local = [packet for packet in peer.node_table.nodes[M].pings if packet[1] == p.PingType.LOCAL]
    public = [packet for packet in peer.node_table.nodes[M].pings if packet[1] == p.PingType.PUBLIC]
    assert local
    answer(peer, p.Ping(p.PingType.LOCAL, local[0][0], 0), MIXER_LOCAL)
    assert NodeActivated(M, Address(MIXER_LOCAL.host, MIXER_LOCAL.port)) in peer.take()
    assert not public  # each answer counts once
    answer(peer, p.Ping(p.PingType.PUBLIC, local[0][0], 0))
    assert peer.stats.dropped["a reply to no ping of ours"] == 1
    assert peer.nodes[M].active == Address(MIXER_LOCAL.host, MIXER_LOCAL.port)


def test_a_public_answer_does_not_change_what_is_active() -> None:
    peer = met()
    pings = punched(peer)
    answer(peer, pings[MIXER_LOCAL], MIXER_LOCAL)
    answer(peer, pings[MIXER], MIXER)
    assert peer.nodes[M].active == Address(MIXER_LOCAL.host, MIXER_LOCAL.port)
    assert [type(event) for event in peer.take()] == [NodeActivated, NodeMeasured, NodeMeasured]
    peer = met()
    early = punched(peer)[MIXER_LOCAL]
    peer.at(0.25)
    answer(peer, punched(peer)[MIXER_LOCAL], MIXER_LOCAL)
    answer(peer, early, MIXER_LOCAL)
    assert [type(event) for event in peer.take()] == [NodeActivated, NodeMeasured, NodeMeasured]


@pytest.mark.parametrize("path", [MIXER, STRANGER])
def test_a_socket_that_is_answered_from_another_is_not_taken(path: Path) -> None:
    peer = met()
    pings = punched(peer)
    answer(peer, pings[MIXER_LOCAL], path)
    assert [type(event) for event in peer.take()] == [NodeMeasured]
    assert peer.nodes[M].active is None
    answer(peer, pings[MIXER])
    assert peer.take()[0] == NodeActivated(M, Address(MIXER.host, MIXER.port))
    peer = met()
    pings = punched(peer)
    answer(peer, pings[MIXER])
    answer(peer, pings[MIXER_LOCAL], path)
    assert [type(event) for event in peer.take()] == [NodeActivated, NodeMeasured, NodeMeasured]
    assert peer.nodes[M].active == Address(MIXER.host, MIXER.port)


@pytest.mark.parametrize("bound", ["127.0.0.1", "10.0.0.2"])
def test_a_mixer_is_reached_where_it_answers_from_whatever_address_ours_is(bound: str) -> None:
    """On a host with several addresses an answer comes from the one that is nearest to who asked."""
    peer = ClientPeer.live()
    near, far = Path(SOCKET, "127.0.0.1", 5000), Path(SOCKET, "10.0.0.2", 5000)
    peer.list(record(public_socket=SockAddr("127.0.0.1", 5000), local_socket=SockAddr("10.0.0.2", 5000)))
    answers_from = near if bound == "127.0.0.1" else far
    for ping in punched(peer).values():
        answer(peer, ping, answers_from)
    assert peer.nodes[M].active == Address(bound, 5000)


def test_pings_are_answered_to_where_they_came_from_and_a_new_address_is_symmetric() -> None:
    peer = met()
    peer.sent()
    for clock, path in ((1, MIXER), (2, STRANGER)):
        peer.say(p.Ping(p.PingType.PUBLIC, clock, 0), path, source=M_LOCAL_ID, secret=SECRET)
        ((header, reply, to),) = peer.sent(p.PingReply)
        assert to == path
        assert header.mac == crypto.mac(SECRET, reply.encode())
        assert (reply.type, reply.clock) == (p.PingType.PUBLIC, wall(peer))
    assert peer.nodes[M].symmetric == Address(STRANGER.host, STRANGER.port)
    peer.at(0.25)
    pings = punched(peer)
    assert pings[STRANGER].type is p.PingType.SYMMETRIC
    answer(peer, pings[STRANGER], STRANGER)
    assert peer.nodes[M].active == Address(STRANGER.host, STRANGER.port)
    peer.list(record(local_socket=SockAddr("10.0.0.99", 1)))  # which says nothing of it
    assert peer.nodes[M].active == Address(STRANGER.host, STRANGER.port)


def test_an_old_ping_is_answered_and_does_nothing_else() -> None:
    peer = met()
    peer.say(p.Ping(p.PingType.PUBLIC, 1000, 0), MIXER, source=M_LOCAL_ID, secret=SECRET)
    peer.sent()
    peer.say(p.Ping(p.PingType.PUBLIC, 1000, 0), STRANGER, source=M_LOCAL_ID, secret=SECRET)
    ((_, _, path),) = peer.sent(p.PingReply)
    assert path == STRANGER
    assert peer.nodes[M].symmetric is None


def test_who_dropped_us_is_believed_also_when_its_clock_went_back() -> None:
    peer = met()
    peer.say(p.Ping(p.PingType.PUBLIC, 1000, 0), MIXER, source=M_LOCAL_ID, secret=SECRET)
    peer.say(p.Ping(p.PingType.PUBLIC, 10, 1), MIXER, source=M_LOCAL_ID, secret=SECRET)
    assert M not in peer.nodes


def test_the_socket_of_another_node_is_nobodys_symmetric_one() -> None:
    peer = met()
    peer.list(record(), record("W", number=2))
    other = Path(SOCKET, "198.51.100.10", 40111)
    peer.say(p.Ping(p.PingType.PUBLIC, 1000, 0), other, source=M_LOCAL_ID, secret=SECRET)
    assert peer.nodes[M].symmetric is None
    assert len(peer.nodes) == 2


def test_a_node_whose_router_gives_it_another_port_is_reached_there() -> None:
    peer = activated()
    ports = [Path(SOCKET, STRANGER.host, port) for port in (2001, 2002)]
    for number, path in enumerate(ports):
        peer.at(peer.now + 3.0)
        peer.list(record())
        peer.sent()
        peer.say(p.Ping(p.PingType.AGNOSTIC, wall(peer), 0), path, source=M_LOCAL_ID, secret=SECRET)
        pings = punched(peer)
        assert pings[path].type is p.PingType.SYMMETRIC
        assert ports[number - 1] not in pings or number == 0
        peer.say(p.Ping(p.PingType.AGNOSTIC, wall(peer) + 1, 0), STRANGER, source=M_LOCAL_ID, secret=SECRET)
        assert peer.nodes[M].symmetric == Address(path.host, path.port)  # two at once do not take turns
        answer(peer, pings[path], path)
        assert peer.nodes[M].active == Address(path.host, path.port)
        assert peer.send_to_node(M, PacketType.AVATAR_DATA, b"x", peer.now)
        assert peer.sent()[-1][2] == path
    assert [event for event in peer.take() if isinstance(event, NodeActivated)] == [
        NodeActivated(M, Address(path.host, path.port)) for path in ports
    ]


@pytest.mark.parametrize("skew", [-(1 << 40), 0, 1 << 62])
def test_whatever_the_clock_of_who_replies_says_it_is_reached(skew: int) -> None:
    peer = met()
    ping = punched(peer)[MIXER]
    peer.say(p.PingReply(ping.type, ping.clock, ping.clock + skew), MIXER, source=M_LOCAL_ID, secret=SECRET)
    assert peer.nodes[M].active is not None
    assert peer.nodes[M].skew_us == skew


def test_a_reply_may_have_its_clocks_in_the_other_order_of_bytes() -> None:
    peer = met()
    ping = punched(peer)[MIXER]
    clocks = (int.from_bytes(clock.to_bytes(8, "big"), "little") for clock in (ping.clock, ping.clock + 70))
    reply = p.PingReply(ping.type, *clocks)
    peer.say(reply, MIXER, source=M_LOCAL_ID, secret=SECRET)
    assert (peer.nodes[M].active, peer.nodes[M].skew_us) == (Address(MIXER.host, MIXER.port), 70)
    peer.say(reply, MIXER, source=M_LOCAL_ID, secret=SECRET)
    assert peer.stats.dropped["a reply to no ping of ours"] == 1


def test_what_is_not_authenticated_changes_nothing() -> None:
    peer = met()
    ping = punched(peer)[MIXER]
    peer.at(1.5)
    peer.sent()
    peer.take()
    before = peer.freeze(peer.now, leave_out=frozenset({"stats"}))
    for path in (MIXER, STRANGER):
        for secret in (b"", b"w" * 16):
            for packet in (
                p.Ping(p.PingType.LOCAL, wall(peer), 9),
                p.PingReply(p.PingType.PUBLIC, ping.clock, 0),
                (PacketType.MIXED_AUDIO, b"sound"),
            ):
                peer.say(packet, path, source=M_LOCAL_ID, secret=secret)
    peer.say((PacketType.NODE_JSON_STATS, b"{}"), STRANGER, source=M_LOCAL_ID)  # a type that never has a MAC
    peer.say(p.Ping(p.PingType.LOCAL, wall(peer), 9), MIXER, source=1, secret=SECRET)
    assert peer.stats.dropped["wrong hash"] == 12
    assert peer.stats.dropped["unverified from elsewhere"] == 1
    assert peer.stats.dropped["unknown source"] == 1
    assert peer.freeze(peer.now, leave_out=frozenset({"stats"})) == before


def test_malformed_pings_of_a_node_are_counted() -> None:
    peer = met()
    peer.say((PacketType.PING, b"x"), MIXER, source=M_LOCAL_ID, secret=SECRET)
    peer.say((PacketType.PING_REPLY, b"x"), MIXER, source=M_LOCAL_ID, secret=SECRET)
    assert (peer.stats.dropped["malformed Ping"], peer.stats.dropped["malformed PingReply"]) == (1, 1)


def test_a_node_without_a_secret_is_not_heard() -> None:
    peer = met(secret=NULL_UUID)
    peer.say(p.Ping(p.PingType.LOCAL, 5, 0), MIXER, source=M_LOCAL_ID)
    assert peer.stats.dropped["no secret"] == 1


def test_without_authentication_a_node_is_who_speaks_from_its_sockets() -> None:
    peer = ClientPeer.live()
    peer.list(record(secret=NULL_UUID), authenticated=False)
    ping = punched(peer)[MIXER]
    peer.say(p.PingReply(ping.type, ping.clock, ping.clock), STRANGER, source=M_LOCAL_ID)
    assert peer.nodes[M].active is None
    peer.say(p.PingReply(ping.type, ping.clock, ping.clock), MIXER, source=M_LOCAL_ID)
    assert peer.nodes[M].active is not None


def test_a_reply_to_a_ping_of_long_ago_counts_for_nothing() -> None:
    peer = met()
    ping = punched(peer)[MIXER]
    for second in range(1, 10):
        peer.at(float(second))
        peer.list(record())
        peer.say(p.Ping(p.PingType.AGNOSTIC, wall(peer), 0), MIXER, source=M_LOCAL_ID, secret=SECRET)
    peer.take()
    answer(peer, ping)
    assert peer.stats.dropped["a reply to no ping of ours"] == 1
    assert not peer.take()


def test_skew_is_the_80th_percentile_of_the_last_30() -> None:
    host, owner = OvertePartHost(ClientDelays(), ClientLimits()), cast(NodeOwner, None)
    node = Node(host, owner, M)
    found = []
    for sample in (50, 10, 40, 20, 30, *range(100, 131)):
        node.pings.append((host.wall_us() - 1999, 0))
        reply = p.PingReply(0, host.wall_us() - 1999, host.wall_us() - 1000 + sample)
        node.measure(Received(reply, MIXER))
        found.append(node.skew_us)
    assert found[:5] == [50, 50, 50, 40, 40]
    assert found[-1] == 124  # of 101 to 130
    assert node.ping_ms == 1


def test_skew_of_a_clock_that_is_ahead() -> None:
    peer = met()
    answer(peer, punched(peer)[MIXER], delay=0.02, ahead=5_000_000)
    assert peer.take()[-1] == NodeMeasured(M, ping_ms=20, skew_us=5_000_000)
    assert peer.nodes[M].skew_us == 5_000_000


# -- connection ids and silence ----------------------------------------------------------------------------------------


def test_connection_ids_count_how_often_a_node_was_dropped() -> None:
    peer = met()
    for number in (1, 2):
        peer.say(p.RemovedNode(M))
        peer.sent()
        peer.list(record())
        assert {packet.connection_id for _, packet, _ in peer.sent(p.Ping)} == {number}


def test_a_higher_connection_id_means_that_it_dropped_us() -> None:
    peer = met()
    peer.sent()
    peer.say(p.Ping(p.PingType.LOCAL, 5, 7), MIXER, source=M_LOCAL_ID, secret=SECRET)
    assert peer.take() == [NodeRemoved(M, Removal.RESTARTED)]
    assert len(peer.sent(p.PingReply)) == 1
    peer.list(record())
    assert {packet.connection_id for _, packet, _ in peer.sent(p.Ping)} == {7}
    peer.say(p.Ping(p.PingType.LOCAL, 6, 7), MIXER, source=M_LOCAL_ID, secret=SECRET)
    assert set(peer.nodes) == {M}


def test_a_connection_id_never_outgrows_its_field() -> None:
    peer = met()
    peer.say(p.Ping(p.PingType.LOCAL, 5, (1 << 63) - 1), MIXER, source=M_LOCAL_ID, secret=SECRET)
    peer.list(record())
    peer.say(p.RemovedNode(M))
    peer.sent()
    peer.list(record())
    assert {packet.connection_id for _, packet, _ in peer.sent(p.Ping)} == {(1 << 63) - 1}


def test_connection_ids_are_bounded_and_a_reset_forgets_them() -> None:
    peer = ClientPeer.live(limits=ClientLimits(connection_ids=2))
    for number in (1, 2, 3):
        peer.list(record("I", number=number))
        peer.say(p.RemovedNode(bytes([number]) * 16))
    assert list(peer.node_table.connection_ids) == [bytes([2]) * 16, bytes([3]) * 16]
    peer.list(session_id=b"n" * 16)
    assert not peer.node_table.connection_ids


def test_nodes_that_the_domain_took_back_are_remembered_up_to_a_bound() -> None:
    """An older list may still name them: what is forgotten comes back with it, and goes with the next one."""
    peer = ClientPeer.live(limits=ClientLimits(connection_ids=2))
    peer.at(5.0)
    for number in (1, 2, 3):
        peer.list(record("I", number=number))
        peer.say(p.RemovedNode(bytes([number]) * 16))
    assert list(peer.node_table.removed) == [bytes([2]) * 16, bytes([3]) * 16]
    peer.list(*[record("I", number=number) for number in (1, 2, 3)], client_clock=wall(peer) - 1)
    assert list(peer.nodes) == [bytes([1]) * 16]
    assert peer.stats.noted["a record of a removed node"] == 2


def test_a_silent_node_is_gone_and_one_that_speaks_stays() -> None:
    peer = activated()
    for second in range(1, 36):
        peer.at(float(second))
        peer.list()
        if second < 15:
            peer.say(p.Ping(p.PingType.AGNOSTIC, second, 0), MIXER, source=M_LOCAL_ID, secret=SECRET)
        assert bool(peer.nodes) is (second < 30)
    assert NodeRemoved(M, Removal.SILENT) in peer.take()


# -- packets -----------------------------------------------------------------------------------------------------------


def test_a_node_may_be_gone_before_the_event_is_handled_that_names_it() -> None:
    peer = activated()
    assert peer.node(M) == peer.nodes[M]
    peer.say(p.RemovedNode(M))
    assert peer.node(M) is None
    assert not peer.send_to_node(M, PacketType.AVATAR_DATA, b"x", 0.0)
    assert not peer.send_to_node(M, PacketType.AVATAR_IDENTITY, b"x", 0.0, message=True)


def test_any_packet_goes_to_a_node_that_is_reached() -> None:
    peer = met()
    peer.sent()
    assert not peer.send_to_node(M, PacketType.AVATAR_DATA, b"x", 0.0)
    assert not peer.send_to_node(b"?" * 16, PacketType.AVATAR_DATA, b"x", 0.0)
    assert peer.stats.refused["node not reached"] == 2
    peer = activated()
    peer.sent()
    for kind in (PacketType.AVATAR_DATA, PacketType.ENTITY_QUERY, PacketType.STOP_NODE):
        assert peer.send_to_node(M, kind, b"data", 0.0)
        ((header, payload, path),) = peer.sent()
        assert (header.type, payload, path) == (kind, b"data", MIXER)
        assert header.mac == (crypto.mac(SECRET, b"data") if header.mac is not None else None)
    with pytest.raises(LocalProtocolError):
        peer.send_to_node(M, PacketType.AVATAR_DATA, bytes(1369), 0.0)
    assert peer.send_to_node(M, PacketType.AVATAR_DATA, bytes(1368), 0.0)
    assert len(peer.take(peer.transmits)[0].data) == MAX_DATAGRAM


def test_a_packet_that_the_outbox_does_not_take_was_not_sent() -> None:
    peer = activated()
    peer.sent()
    room = peer.limits.outbox
    sent = [peer.send_to_node(M, PacketType.AVATAR_DATA, b"x", 0.0) for _ in range(room + 1)]
    assert (sent, peer.stats.refused["outbox full"], len(peer.take(peer.transmits))) == (
        [True] * room + [False],
        1,
        room,
    )


def test_reliable_packets_and_messages_go_to_a_node() -> None:
    peer = activated()
    assert peer.send_to_node(M, PacketType.AVATAR_IDENTITY, b"me", 0.0, reliable=True)
    assert peer.send_to_node(M, PacketType.ENTITY_EDIT, bytes(5000), 0.0, message=True)
    peer.shake(MIXER)
    found = peer.sent()
    assert found[0][0].reliable
    assert found[0][1] == b"me"
    assert b"".join(payload for _, payload, _ in found[1:]) == bytes(5000)
    assert all(header.mac == crypto.mac(SECRET, payload) for header, payload, _ in found)


def test_what_a_node_never_acknowledges_is_told() -> None:
    peer = activated()
    peer.send_to_node(M, PacketType.AVATAR_IDENTITY, b"me", 0.0, reliable=True)
    for second in range(1, 20):
        peer.at(float(second))
        peer.list()
        peer.take(peer.transmits)
        peer.say(p.Ping(p.PingType.AGNOSTIC, second, 0), MIXER, source=M_LOCAL_ID, secret=SECRET)
    assert Undelivered(M, 1) in peer.take()


def test_while_the_domain_is_silent_only_what_is_reliable_goes_out() -> None:
    peer = activated()
    peer.at(2.5)
    assert peer.send_to_node(M, PacketType.AVATAR_DATA, b"x", peer.now)
    peer.at(3.5)
    assert not peer.send_to_node(M, PacketType.AVATAR_DATA, b"x", peer.now)
    assert peer.send_to_node(M, PacketType.AVATAR_DATA, b"x", peer.now, reliable=True)
    assert peer.stats.refused["squelched"] == 1
    peer.sent()
    peer.say(p.Ping(p.PingType.PUBLIC, 1, 0), MIXER, source=4661, secret=SECRET)
    peer.at(4.9)
    assert {type(packet) for _, packet, path in peer.sent() if path != DOMAIN} <= {bytes}
    peer.list()
    assert peer.send_to_node(M, PacketType.AVATAR_DATA, b"x", peer.now)


def test_packets_of_nodes_are_events() -> None:
    peer = met()
    peer.say((PacketType.MIXED_AUDIO, b"sound"), STRANGER, source=M_LOCAL_ID, secret=SECRET)
    peer.say((PacketType.NODE_JSON_STATS, b"{}"), MIXER, source=M_LOCAL_ID)
    assert peer.take() == [
        PacketReceived(M, PacketType.MIXED_AUDIO, payload=b"sound"),
        PacketReceived(M, PacketType.NODE_JSON_STATS, payload=b"{}"),
    ]


def test_the_domain_may_send_what_asset_servers_are_asked() -> None:
    peer = ClientPeer.live(node_type=p.NodeType.ASSET_SERVER)
    for path in (DOMAIN, STRANGER):
        peer.say((PacketType.ASSET_GET, b"hash"), path, source=4242)
        peer.say((PacketType.MIXED_AUDIO, b"sound"), path, source=4242)
    peer.say((PacketType.NODE_JSON_STATS, b"{}"), DOMAIN, source=4242)
    assert peer.take() == [PacketReceived(DOMAIN_ID, PacketType.ASSET_GET, payload=b"hash")]
    assert (
        peer.stats.dropped["no secret"],
        peer.stats.dropped["unknown source"],
        peer.stats.dropped["unexpected packet"],
    ) == (1, 2, 1)


def test_before_the_first_list_no_id_is_the_domains() -> None:
    peer = ClientPeer.live(connected=False)
    peer.go()
    peer.say((PacketType.ASSET_GET, b"hash"), DOMAIN, source=0)
    assert peer.take() == []
    assert peer.stats.dropped["unknown source"] == 1


def test_only_upstream_mixers_replicate() -> None:
    peer = met()
    peer.list(record("B", number=2))
    peer.take()
    for path in (MIXER, STRANGER, Path(SOCKET, "10.0.0.10", 40111), Path(SOCKET, "198.51.100.10", 40111)):
        peer.say((PacketType.REPLICATED_INJECT_AUDIO, b"sound"), path)
    peer.say((PacketType.DOMAIN_SERVER_REQUIRE_DTLS, b"\x01\x00"), DOMAIN)
    assert peer.take() == [PacketReceived(bytes([2]) * 16, PacketType.REPLICATED_INJECT_AUDIO, payload=b"sound")]
    assert peer.stats.dropped["unexpected packet"] == 4  # also of what came from its local socket


@pytest.mark.parametrize(
    ("sock", "path"),
    [
        (SockAddr("::ffff:192.0.2.1", 5), Path(SOCKET, "192.0.2.1", 5)),
        (SockAddr("fe80::1", 5, "3"), Path(SOCKET, "fe80::1", 5, 3)),
        (SockAddr("fe80::1", 5, "eth0"), Path(SOCKET, "fe80::1", 5)),
        (SockAddr("*", 5), None),
        (SockAddr("192.0.2.1", 0), None),
    ],
)
def test_sockets_of_the_wire_lead_somewhere_or_not(sock: SockAddr, path: Path | None) -> None:
    assert path_to(sock) == path


# -- with a domain server ----------------------------------------------------------------------------------------------


def test_an_agent_and_a_mixer_find_each_other_through_a_domain_server() -> None:
    net = VirtualNetwork(seed=1, default=Conditions(latency=0.03, jitter=0.02, loss=0.05))
    server = DomainServer(entropy=ScriptedEntropy(seed=b"d"), wall_epoch=EPOCH, domain_id=DOMAIN_ID)
    domain = net.host("10.0.0.1").run(server, sockets={SOCKET: 40102})
    server.assign(b"a" * 16, p.NodeType.AVATAR_MIXER, 0.0)
    agent = DomainClient(host="10.0.0.1", entropy=ScriptedEntropy(seed=b"a"), wall_epoch=EPOCH)
    mixer = DomainClient(
        host="10.0.0.1",
        entropy=ScriptedEntropy(seed=b"m"),
        wall_epoch=EPOCH + 2,
        node_type=p.NodeType.AVATAR_MIXER,
        interest=b"I",
        assignment=b"a" * 16,
    )
    one = net.host("10.0.0.2").run(agent, sockets={SOCKET: 0})
    two = net.host("10.0.0.3").run(mixer, sockets={SOCKET: 0})
    one.call(agent.connect)
    two.call(mixer.connect)
    net.run(60.0)
    for node in (one, two):
        assert [type(event) for event in node.events].count(Connected) == 1
        assert not [event for event in node.events if isinstance(event, Disconnected | NodeRemoved)]
    (seen,) = agent.nodes.values()
    assert (seen.node_id, seen.active, seen.local_id) == (mixer.session_id, Address("10.0.0.3", 40000), mixer.local_id)
    assert seen.skew_us is not None
    assert abs(seen.skew_us - 2_000_000) < 50_000
    news = bytes(range(256)) * 40
    assert one.call(lambda now: agent.send_to_node(seen.node_id, PacketType.AVATAR_IDENTITY, news, now, message=True))
    one.call(lambda now: agent.ask_path("/", now))
    net.run(5.0)
    assert PacketReceived(agent.session_id, PacketType.AVATAR_IDENTITY, payload=news) in two.events
    assert PathAnswered("/", "/0,0,0/0,0,0,1") in one.events
    gone = agent.session_id
    one.call(agent.close)
    net.run(5.0)
    assert NodeRemoved(gone, Removal.REMOVED) in two.events
    domain.stop()
    net.run(12.0)
    assert Disconnected(Loss.SILENT) in two.events


@pytest.mark.parametrize("one_victim", [True, False])
def test_a_domain_makes_a_client_send_so_many_pings_and_no_more(one_victim: bool) -> None:
    """To whom it likes, as SECURITY.rst says; when it lists nothing new, they end."""
    most, delays, seconds = 8, ClientDelays(), 30
    domain, sent = ClientPeer.live(limits=ClientLimits(nodes=most)), list[int]()
    numbers = iter(range(1, seconds * most + 1))
    for _ in range(seconds + int(delays.silence) + 1):
        for number in islice(numbers, most):
            host, ports = ("192.0.2.9", (7, 7)) if one_victim else (f"192.0.2.{number}", (7, 8))
            public, local = (SockAddr(host, port) for port in ports)
            key = number.to_bytes(16, "big")
            domain.list(record("I", id=key, local_id=number, public_socket=public, local_socket=local))
        domain.list()
        domain.at(domain.now + 1.0)
        sent.append(len(domain.sent(p.Ping)))
    a_second = 2 * most / delays.punch
    assert a_second - 2 * most <= min(sent[:seconds])
    assert max(sent) <= a_second + 2 * most
    assert sum(sent[:seconds]) <= seconds * a_second + 2 * most  # the first ones come at once
    assert sent[-1] == 0
