"""A domain in virtual time: who is told of whom, who is heard, who is forgotten."""

from __future__ import annotations

import json
from math import inf, nextafter
from typing import Any

import attrs
import pytest
from scripted_overte import CLOCK, DOMAIN_ID, EPOCH, LOCAL, Party, ServerPeer

from sansproto.contract import Path, Phase
from sansproto.errors import NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.overte import crypto
from sansproto.overte import packets as p
from sansproto.overte.header import MAX_DATAGRAM, Header, encode_datagram
from sansproto.overte.limits import ServerLimits
from sansproto.overte.policy import Policy
from sansproto.overte.qt import NULL_SOCK_ADDR, SockAddr
from sansproto.overte.server import DomainServer
from sansproto.overte.server_events import (
    Departure,
    KickAsked,
    NodeChanged,
    NodeJoined,
    NodeLeft,
    StatsReceived,
    UsernameAsked,
)
from sansproto.overte.versions import DEFAULT, PacketType
from sansproto.testing.entropy import ScriptedEntropy

CONNECT = p.Permissions.CONNECT


@pytest.fixture
def domain() -> ServerPeer:
    return ServerPeer.live()


def agents(domain: ServerPeer, count: int, **options: Any) -> list[Party]:
    found = [Party(domain, f"203.0.{number >> 8}.{number & 255}", **options) for number in range(1, count + 1)]
    assert all(party.connect() is not None for party in found)
    return found


def listed(party: Party) -> set[bytes]:
    """Who is in the datagrams of the list that answers one check-in."""
    before = len(party.heard)
    party.check_in()
    return {node.id for _, packet in party.heard[before:] if isinstance(packet, p.DomainList) for node in packet.nodes}


def test_the_trace_says_where_a_part_is_from_the_first_datagram_on() -> None:
    records: list[Any] = []
    server = DomainServer(entropy=ScriptedEntropy(), wall_epoch=EPOCH, domain_id=DOMAIN_ID, trace=records.append)
    short = encode_datagram(Header(PacketType.ICE_PING, 1, DEFAULT[PacketType.ICE_PING]), b"short")
    server.receive_datagram(short, Path("udp", "203.0.113.1", 1), 1.0)
    assert [getattr(record, "key", getattr(record, "place", None)) for record in records[1:]] == ["admission"] * 2


# -- lists -------------------------------------------------------------------------------------------------------------


def test_both_ends_of_a_pair_have_its_secret() -> None:
    domain = ServerPeer.live(authenticate=False)
    agent, audio, other = Party(domain), domain.mixer(), domain.mixer(2)
    agent.connect()
    told = {node.id: node for node in agent.packets(p.DomainList)[-1].nodes}
    added, also = audio.packets(p.AddedNode)[0], other.packets(p.AddedNode)[0]
    assert set(told) == {audio.node_id, other.node_id}
    assert (added.id, added.secret) == (agent.node_id, told[audio.node_id].secret)
    assert len({added.secret, also.secret, bytes(16)}) == 3
    assert told[audio.node_id] == p.NodeRecord(
        p.NodeType.AUDIO_MIXER,
        audio.node_id,
        SockAddr("198.51.100.10", 40111),
        LOCAL,
        agent.packets(p.DomainList)[-1].nodes[0].permissions,
        False,
        audio.local_id,
        added.secret,
    )
    again = audio.check_in()
    assert again is not None
    assert (again.nodes[0].secret, again.authenticated) == (added.secret, False)


def test_a_check_in_is_answered(domain: ServerPeer) -> None:
    agent = Party(domain)
    agent.connect()
    domain.wait(2.5)
    answer = agent.check_in(client_clock=77)
    assert answer is not None
    assert attrs.evolve(answer, nodes=()) == p.DomainList(
        domain_id=DOMAIN_ID,
        domain_local_id=answer.domain_local_id,
        session_id=agent.node_id,
        local_id=agent.local_id,
        permissions=CONNECT | p.Permissions.REZ_AVATAR_ENTITIES,
        authenticated=True,
        client_clock=77,
        server_clock=CLOCK + 2_500_000,
        processing_time=0,
        new_connection=False,
        nodes=(),
    )


def test_agents_never_see_agents_and_nobody_sees_itself(domain: ServerPeer) -> None:
    first, second = agents(domain, 2, interests=b"IM")
    audio = domain.mixer(interests=b"IM")
    assert listed(first) == {audio.node_id}
    assert listed(audio) == {first.node_id, second.node_id}
    assert first.packets(p.AddedNode)[0].id == audio.node_id
    assert len(first.packets(p.AddedNode)) == 1


def test_interest_may_change(domain: ServerPeer) -> None:
    audio, avatar = domain.mixer(), domain.mixer(2, p.NodeType.AVATAR_MIXER)
    agent = Party(domain, interests=b"")
    agent.connect()
    assert listed(agent) == set()
    for interests, wanted in ((b"M", {audio.node_id}), (b"WM\xffzI", {audio.node_id, avatar.node_id}), (b"", set())):
        agent.says["interests"] = interests
        assert listed(agent) == wanted
    agent.says["interests"] = b"W"
    agent.check_in()
    third = domain.mixer(3)
    fourth = domain.mixer(4, p.NodeType.AVATAR_MIXER)
    told = {packet.id for packet in agent.packets(p.AddedNode)}
    assert told == {fourth.node_id}
    assert third.node_id not in told


def test_long_lists_are_split(domain: ServerPeer) -> None:
    found = {party.node_id for party in agents(domain, 70)}
    audio = domain.mixer()
    lists = audio.packets(p.DomainList)
    assert [len(packet.nodes) for packet in lists] == [23, 23, 23, 1]
    assert {node.id for packet in lists for node in packet.nodes} == found
    assert len({attrs.evolve(packet, nodes=()) for packet in lists}) == 1
    assert max(len(datagram.data) for datagram in domain.transmits) == 6 + 66 + 23 * 56 <= MAX_DATAGRAM


def test_a_list_that_just_fits_has_no_empty_datagram_behind_it(domain: ServerPeer) -> None:
    agents(domain, 46)
    assert [len(packet.nodes) for packet in domain.mixer().packets(p.DomainList)] == [23, 23]


def test_addresses_of_ipv6_are_longer(domain: ServerPeer) -> None:
    party = Party(domain, "2001:db8::7")
    sockets = {"public_socket": SockAddr("", 9), "local_socket": SockAddr("fd00::1", 9)}
    assert isinstance(party.connect(**sockets), p.DomainList)
    (record,) = domain.mixer().packets(p.DomainList)[0].nodes
    assert (record.public_socket, record.local_socket) == (SockAddr("2001:db8::7", 9), SockAddr("fd00::1", 9))


def test_the_longest_record_fits_into_a_list_and_a_longer_scope_is_no_address(domain: ServerPeer) -> None:
    """A record that fits into no datagram would be waited for in one empty datagram after the other, for ever."""
    assert (p.NodeRecord.__wire__.max_size or inf) <= MAX_DATAGRAM - 6 - 66
    audio, agent = domain.mixer(), Party(domain)
    scope = "\u20ac" * 256
    sockets = {
        "public_socket": SockAddr("2001:db8::1", 1, scope),
        "local_socket": SockAddr("2001:db8::2", 2, scope),
    }
    assert agent.connect(**sockets) is not None
    assert listed(audio) == {agent.node_id}
    (record,) = audio.packets(p.AddedNode)
    assert (record.public_socket, record.local_socket) == tuple(sockets.values())
    request = agent.request(**sockets).encode()
    long = request.replace(b"\0\0\2\0" + scope.encode("utf-16-be"), b"\0\0\2\2" + scope.encode("utf-16-be") + b"\0a")
    assert Party(domain, port=2).say(PacketType.DOMAIN_CONNECT_REQUEST, long) is None
    assert domain.stats.dropped["malformed connect request"] == 1


def test_what_a_call_does_not_make_is_made_when_it_is_taken() -> None:
    """A mixer's list of 1,000 agents: a call queues a bounded part; joining goes on meanwhile."""
    domain = ServerPeer.live()
    found = {party.node_id for party in agents(domain, 1000)}
    audio = domain.mixer()
    assert {node.id for packet in audio.packets(p.DomainList) for node in packet.nodes} == found
    assert len(audio.packets(p.DomainList)) == 44
    for party in (audio, audio):
        party.check_in()
    server = domain.endpoint
    request = p.DomainListRequest(CLOCK, ord("M"), SockAddr("198.51.100.10", 40111), LOCAL, b"I", None)
    header = Header(PacketType.DOMAIN_LIST_REQUEST, 1, DEFAULT[PacketType.DOMAIN_LIST_REQUEST], audio.local_id)
    data = encode_datagram(header, request.encode())
    server.receive_datagram(data, audio.path, domain.now)
    assert len(server._outbox) == 8
    server.receive_datagram(data, audio.path, domain.now)
    assert domain.stats.refused["list under way"] == 1
    heard = len(audio.packets(p.DomainList))
    server.kick(next(iter(found)), domain.now)  # of whom the list had told already, or had not
    domain.drain()
    lists = audio.packets(p.DomainList)[heard:]
    assert {node.id for packet in lists for node in packet.nodes} >= found - {next(iter(found))}


def test_a_long_list_does_not_fill_the_outbox() -> None:
    domain = ServerPeer.live(limits=ServerLimits(connects=1000, outbox=6))
    found = agents(domain, 700)
    audio = domain.mixer()
    assert sum(len(packet.nodes) for packet in audio.packets(p.DomainList)) == len(found)
    assert not domain.stats.refused


def test_a_list_under_way_ends_when_its_receiver_leaves(domain: ServerPeer) -> None:
    agents(domain, 800)
    audio = domain.mixer()
    domain.kick(audio.node_id, domain.now)
    again = Party(domain, audio.path.host, audio.path.port, **audio.says)
    payload = again.request().encode()
    header = Header(PacketType.DOMAIN_CONNECT_REQUEST, 1, DEFAULT[PacketType.DOMAIN_CONNECT_REQUEST])
    domain.drain()
    domain.receive_datagram(encode_datagram(header, payload), again.path, domain.now)
    assert len(domain.members.fan_out.under_way) == 2  # the list, and behind it the announcement
    (member,) = [member for member in domain.members.by_local_id.values() if member.entry.connect_id]
    domain.kick(member.node_id, domain.now)
    domain.drain()
    assert not domain.members.fan_out.under_way
    assert len(again.packets(p.DomainList)) == 35 + 8


# -- coming and going --------------------------------------------------------------------------------------------------


def test_added_node_is_unreliable_and_removed_node_is_not(domain: ServerPeer) -> None:
    audio, agent = domain.mixer(), Party(domain)
    agent.connect()
    agent.say(PacketType.DOMAIN_DISCONNECT_REQUEST)
    told = [(header.reliable, packet) for header, packet in audio.heard if not isinstance(packet, p.DomainList)]
    assert [reliable for reliable, _ in told] == [False, True]
    assert told[1][1] == p.RemovedNode(agent.node_id)
    assert [type(event) for event in domain.take()] == [NodeJoined, NodeJoined, NodeLeft]
    assert agent.check_in() is None
    assert domain.stats.dropped["unknown source"] == 1


def test_removed_node_is_sent_until_it_is_acknowledged(domain: ServerPeer) -> None:
    audio, agent = domain.mixer(), Party(domain)
    agent.connect()
    domain.acknowledges = False
    domain.kick(agent.node_id, domain.now)
    domain.drain()
    assert audio.packets(p.RemovedNode) == []
    domain.acknowledges = True
    domain.wait(0.2)
    assert audio.packets(p.RemovedNode) == [p.RemovedNode(agent.node_id)]


def test_silent_nodes_are_pruned_after_ten_seconds(domain: ServerPeer) -> None:
    audio, agent = domain.mixer(), Party(domain)
    agent.connect()
    for _ in range(12):
        domain.wait(1.0)
        audio.check_in()
    assert NodeLeft(agent.node_id, Departure.SILENT) in domain.take()
    assert len(audio.packets(p.RemovedNode)) == 1
    domain.wait(9.99)
    assert domain.take() == []
    domain.wait(0.02)
    assert domain.take() == [NodeLeft(audio.node_id, Departure.SILENT)]
    assert not domain.timers()


def test_only_accepted_sourced_packets_count_as_a_sign_of_life(domain: ServerPeer) -> None:
    agent = Party(domain)
    agent.connect()
    for _ in range(10):
        domain.wait(1.0)
        agent.say(PacketType.PING, p.Ping(0, CLOCK, 0).encode())
        agent.say(PacketType.DOMAIN_LIST_REQUEST, b"", version=1)
        agent.say(PacketType.DOMAIN_SETTINGS_REQUEST, b"\7", reliable=True)
        agent.say(PacketType.DOMAIN_SERVER_PATH_QUERY, p.PathQuery("/").encode())
    assert domain.take()[-1] == NodeLeft(agent.node_id, Departure.SILENT)
    assert domain.stats.dropped["no secret"] == 9
    assert agent.packets(p.PingReply) == []


@pytest.mark.parametrize("kind", [PacketType.NODE_JSON_STATS, PacketType.OCTREE_DATA_NACK, PacketType.ASSET_GET_REPLY])
def test_any_accepted_packet_is_a_sign_of_life(domain: ServerPeer, kind: PacketType) -> None:
    agent = Party(domain)
    agent.connect()
    for _ in range(10):
        domain.wait(1.5)
        agent.say(kind, b"{}")
    assert domain.phase is Phase.OPEN
    assert NodeLeft(agent.node_id, Departure.SILENT) not in domain.take()


def test_without_authentication_pings_keep_a_node_alive_and_get_no_answer() -> None:
    domain = ServerPeer.live(authenticate=False)
    agent = Party(domain)
    agent.connect()
    for _ in range(10):
        domain.wait(1.5)
        agent.say(PacketType.PING, p.Ping(0, CLOCK, 0).encode())
    assert domain.members.by_local_id
    assert agent.packets(p.PingReply) == []


def test_kicked(domain: ServerPeer) -> None:
    agent = Party(domain)
    agent.connect()
    domain.kick(agent.node_id, domain.now)
    domain.drain()
    assert domain.take()[-1] == NodeLeft(agent.node_id, Departure.KICKED)
    assert agent.check_in() is None


def test_another_policy(domain: ServerPeer) -> None:
    """Who lacks CONNECT is out without a packet; who has other permissions hears of it with the next list."""
    audio, agent, local = domain.mixer(), Party(domain), Party(domain, "127.0.0.1")
    agent.connect()
    local.connect()
    domain.change_policy(Policy(), domain.now)  # nothing changes
    domain.change_policy(Policy(anonymous=CONNECT, localhost=CONNECT), domain.now)
    mine, answer = agent.check_in(), audio.check_in()
    assert mine is not None
    assert answer is not None
    assert {mine.permissions, *(node.permissions for node in answer.nodes)} == {CONNECT}
    heard = len(agent.heard)
    domain.change_policy(Policy(anonymous=0), domain.now)
    domain.drain()
    assert domain.take()[-1] == NodeLeft(agent.node_id, Departure.UNWELCOME)
    assert len(agent.heard) == heard
    assert listed(audio) == {local.node_id}


# -- who may say what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("home", "away", "taken"),
    [
        ("203.0.113.7", "203.0.113.7", False),  # another port
        ("203.0.113.7", "203.0.113.8", False),
        ("203.0.113.7", "10.0.0.1", False),
        ("192.168.1.5", "203.0.113.8", False),
        ("192.168.1.5", "10.0.0.1", True),
        ("127.0.0.1", "172.31.255.1", True),
        ("172.32.0.1", "127.0.0.1", False),
        ("fe80::1", "fe80::1", False),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_sender_addresses(home: str, away: str, taken: bool, strict: bool) -> None:
    """What comes from elsewhere changes nothing; if it may come from there, the answer still goes home."""
    domain = ServerPeer.live(strict_senders=strict)
    agent = Party(domain, home)
    agent.connect()
    before = domain.snapshot(), domain.stats.dropped.copy()
    assert (agent.check_in(path=Path("udp", away, 50000), client_clock=5) is not None) is (taken or not strict)
    assert Path("udp", away, 50000) not in domain.heard
    assert ("unknown source" in domain.stats.dropped) is (strict and not taken)
    if strict and not taken:
        frozen = [value for value in domain.snapshot() if value not in before[0]]
        assert len(frozen) == 1  # the counters
        agent.say(PacketType.DOMAIN_DISCONNECT_REQUEST, path=Path("udp", away, 50000))
        assert domain.members.by_local_id


def test_a_node_may_report_other_sockets_and_is_answered_all_the_same(domain: ServerPeer) -> None:
    audio, agent = domain.mixer(), Party(domain)
    agent.connect()
    domain.take()
    public, local = SockAddr("198.51.100.99", 1), SockAddr("10.9.8.7", 2)
    assert agent.check_in(public_socket=public, local_socket=local, place_name="hub") is not None
    assert agent.check_in(public_socket=public, local_socket=local, place_name="hub") is not None
    assert domain.take() == [NodeChanged(agent.node_id, public=public, local=local, place="hub")]
    answer = audio.check_in()
    assert answer is not None
    record = answer.nodes[0]
    assert (record.public_socket, record.local_socket) == (public, local)
    agent.check_in(public_socket=NULL_SOCK_ADDR)
    assert domain.take()[0].public == SockAddr(agent.path.host, 0)


def test_what_stands_behind_a_list_request_is_not_kept(domain: ServerPeer) -> None:
    agent = Party(domain)
    agent.connect()
    request = p.DomainListRequest.decode(agent.request().check_in.encode()).encode()
    for behind in (b"", bytes(60_000)):
        agent.say(PacketType.DOMAIN_LIST_REQUEST, request + behind)
        assert len(agent.packets(p.DomainList)) == 2 + bool(behind)
        assert len(domain.members.by_local_id[agent.local_id].report or b"") <= MAX_DATAGRAM
    assert domain.stats.noted["trailing bytes"] == 1


def test_a_null_public_address_is_that_of_the_packet(domain: ServerPeer) -> None:
    agent, away = Party(domain, "192.168.1.5"), Path("udp", "10.0.0.1", 48001)
    agent.connect()
    domain.take()
    for path in (None, None, away, away, None):
        agent.check_in(path=path, public_socket=SockAddr("", 7))
    assert [event.public.host for event in domain.take()] == ["192.168.1.5", "10.0.0.1", "192.168.1.5"]


def test_a_node_takes_its_channel_along(domain: ServerPeer) -> None:
    agent = Party(domain)
    agent.connect()
    agent.say(PacketType.DOMAIN_SETTINGS_REQUEST, b"\7", reliable=True)
    assert domain.channels.senders
    assert domain.channels.receivers
    domain.kick(agent.node_id, domain.now)
    assert not domain.channels.senders
    assert not domain.channels.receivers
    assert not [name for name in domain.timers() if "203.0.113.7" in name]


def test_what_nodes_may_ask(domain: ServerPeer) -> None:
    agent, admin = Party(domain), Party(domain, "127.0.0.1")
    agent.connect()
    admin.connect()
    domain.take()
    kick = p.NodeKickRequest(agent.node_id, 3).encode()
    admin.say(PacketType.NODE_KICK_REQUEST, kick, reliable=True)
    agent.say(PacketType.NODE_KICK_REQUEST, kick, reliable=True)
    agent.say(PacketType.USERNAME_FROM_ID_REQUEST, admin.node_id, reliable=True)
    agent.say(PacketType.NODE_JSON_STATS, b'{"fps": 60}')
    assert domain.take() == [
        KickAsked(admin.node_id, agent.node_id, flags=3),
        UsernameAsked(agent.node_id, admin.node_id),
        StatsReceived(agent.node_id, b'{"fps": 60}'),
    ]
    assert domain.stats.dropped["kick without permission"] == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (PacketType.DOMAIN_LIST_REQUEST, "DomainListRequest"),
        (PacketType.NODE_KICK_REQUEST, "NodeKickRequest"),
        (PacketType.USERNAME_FROM_ID_REQUEST, "UsernameFromIDRequest"),
        (PacketType.DOMAIN_SETTINGS_REQUEST, "DomainSettingsRequest"),
        (PacketType.DOMAIN_SERVER_PATH_QUERY, "PathQuery"),
    ],
)
def test_malformed_packets_of_nodes_are_counted(domain: ServerPeer, kind: PacketType, name: str) -> None:
    agent = Party(domain)
    agent.connect()
    domain.take()
    agent.say(kind)
    assert domain.stats.dropped[f"malformed {name}"] == 1
    assert domain.take() == []


@pytest.mark.parametrize("kind", [PacketType.REQUEST_ASSIGNMENT, PacketType.AVATAR_ZONE_PRESENCE])
def test_packets_that_nobody_handles(domain: ServerPeer, kind: PacketType) -> None:
    agent, stranger = Party(domain), Party(domain, "203.0.113.99")
    agent.connect()
    for party in (agent, stranger):
        party.say(kind, b"?")
    assert domain.stats.dropped["unexpected packet"] == 2
    assert not stranger.heard


def test_ice_pings_are_answered(domain: ServerPeer) -> None:
    stranger = Party(domain)
    stranger.say(PacketType.ICE_PING, p.ICEPing(b"\5" * 16, 1).encode())
    assert stranger.packets(p.ICEPingReply) == [p.ICEPingReply(DOMAIN_ID, 1)]


# -- settings and paths ------------------------------------------------------------------------------------------------


def test_settings_come_in_one_message_of_many_packets() -> None:
    text = json.dumps({"audio": ["x" * 5000]})
    domain = ServerPeer.live(policy=Policy(settings=text))
    agent = Party(domain)
    agent.connect()
    agent.say(PacketType.DOMAIN_SETTINGS_REQUEST, b"\7", reliable=True)
    parts = [(header, packet) for header, packet in agent.heard if isinstance(packet, p.DomainSettings)]
    assert b"".join(packet.json for _, packet in parts) == text.encode()
    assert len(parts) == 4
    assert all(header.reliable and header.part is not None for header, _ in parts)


def test_paths() -> None:
    domain = ServerPeer.live(policy=Policy(paths={"/": "/0,0,0/0,0,0,1", "/far": "/" + "9" * 1380}))
    agent = Party(domain)
    agent.connect()
    for path in ("/", "/home", "/far"):
        agent.say(PacketType.DOMAIN_SERVER_PATH_QUERY, p.PathQuery(path).encode(), reliable=True)
    assert agent.packets(p.PathResponse) == [p.PathResponse("/", "/0,0,0/0,0,0,1")]
    assert domain.stats.dropped["path without answer"] == 2


@pytest.mark.parametrize("question", [p.PathQuery("/"), p.DomainSettingsRequest(2)], ids=["path", "settings"])
def test_a_node_that_acknowledges_nothing_is_answered_a_few_times(question: Any) -> None:
    domain = ServerPeer.live()
    domain.acknowledges = False
    agent = Party(domain)
    agent.connect()
    for _ in range(20):
        domain.say(question, agent.path)
    (sender,) = domain.channels.senders.values()
    assert len(sender.packets) == domain.limits.answers == 16
    assert domain.stats.dropped["too many answers wait"] == 4
    for _ in range(4):
        domain.wait(5.0)
        agent.check_in()
    domain.say(question, agent.path)
    assert domain.stats.dropped["too many answers wait"] == 4, "the others were given up"


def test_the_path_that_everybody_asks_for_has_an_answer_beside_others() -> None:
    assert Policy(paths={"/home": "/1,2,3"}).viewpoint("/") == Policy().viewpoint("/") == "/0,0,0/0,0,0,1"
    assert Policy(paths={"/": "/1,2,3"}).viewpoint("/") == "/1,2,3"


def test_one_question_in_the_name_of_somebody_else_does_not_flood_them(domain: ServerPeer) -> None:
    """Who was let in may be somebody who never asked: a reliable answer begins with handshakes until it is given up."""
    victim = Party(domain)
    victim.connect()
    domain.acknowledges = False
    before = len(domain.transmits)
    victim.say(PacketType.DOMAIN_SETTINGS_REQUEST, b"\2")
    domain.wait(60.0)
    assert 1 < len(domain.transmits) - before <= 10
    assert sum(len(transmit.data) for transmit in domain.transmits[before:]) <= 80


def test_strangers_have_no_channel(domain: ServerPeer) -> None:
    stranger = Party(domain)
    before = domain.snapshot()
    stranger.say(PacketType.DOMAIN_SETTINGS_REQUEST, b"\7", reliable=True)
    assert not domain.transmits
    assert len([value for value in domain.snapshot() if value not in before]) == 1  # the counters


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_announcements_are_made_when_they_are_taken_and_are_bounded() -> None:
    """1,000 agents are told of each mixer: 8 by the call that brings it, the others one by one."""
    domain = ServerPeer.live(limits=ServerLimits(connects=2000, announcements=2))
    parties = agents(domain, 1000)
    server = domain.endpoint
    for number in range(1, 6):
        server.assign(bytes([number]) * 16, p.NodeType.AUDIO_MIXER, 0.0)
        party = Party(
            domain, port=number, node_type=p.NodeType.AUDIO_MIXER, interests=b"I", connect_id=bytes([number]) * 16
        )
        header = Header(PacketType.DOMAIN_CONNECT_REQUEST, 1, DEFAULT[PacketType.DOMAIN_CONNECT_REQUEST])
        server.receive_datagram(encode_datagram(header, party.request().encode()), party.path, 0.0)
        assert len(server._outbox) <= 5 * 16
    assert len(server.members.fan_out.under_way) <= 2 + 5
    assert domain.stats.refused["announcements full"] > 0
    domain.drain()
    assert not server.members.fan_out.under_way
    assert {len(party.packets(p.AddedNode)) for party in parties} == {1}


def test_everybody_is_told_of_a_departure_even_if_all_channels_wait() -> None:
    """Where nothing comes out of an announcement at once, the server asks to be woken, and goes on."""
    domain = ServerPeer.live()
    audio, avatar, parties = domain.mixer(), domain.mixer(2), agents(domain, 300)
    domain.acknowledges = False
    for gone in (audio, avatar):
        domain.kick(gone.node_id, 0.0)
        domain.drain()
    assert domain.members.fan_out.under_way
    assert domain.next_timeout() == nextafter(0.0, inf)
    domain.acknowledges = True
    domain.wait(1.0)
    assert not domain.members.fan_out.under_way
    assert {len(party.packets(p.RemovedNode)) for party in parties} == {2}


def test_an_arrival_that_is_gone_is_announced_no_more() -> None:
    domain = ServerPeer.live()
    parties = agents(domain, 100)
    domain.assign(b"\1" * 16, p.NodeType.AUDIO_MIXER, 0.0)
    party = Party(domain, port=1, node_type=p.NodeType.AUDIO_MIXER, interests=b"I", connect_id=b"\1" * 16)
    header = Header(PacketType.DOMAIN_CONNECT_REQUEST, 1, DEFAULT[PacketType.DOMAIN_CONNECT_REQUEST])
    domain.receive_datagram(encode_datagram(header, party.request().encode()), party.path, 0.0)
    (member,) = [member for member in domain.members.by_local_id.values() if member.entry.connect_id]
    domain.kick(member.node_id, 0.0)
    domain.drain()
    assert sum(len(party.packets(p.AddedNode)) for party in parties) == 8
    assert {len(party.packets(p.RemovedNode)) for party in parties} == {1}


def test_local_ids_come_from_a_random_start_in_random_odd_steps() -> None:
    script = {"local_id.start": [b"\xff\xfd"], "local_id.step": [b"\0\0"]}
    domain = ServerPeer.live(entropy=ScriptedEntropy(script))
    assert domain.members.own_id == 0xFFFE
    found = agents(domain, 3)
    assert [party.local_id for party in found] == [0xFFFF, 1, 2]  # 0 is nobody's
    domain.members.last_id = 0xFFFD
    last = Party(domain, "203.0.113.99")
    last.connect()
    assert last.local_id == 3  # the own one and those in use are left out


# -- the session -------------------------------------------------------------------------------------------------------


def test_restored(domain: ServerPeer) -> None:
    audio, agent = domain.mixer(), Party(domain)
    agent.connect()
    domain.drain()
    snapshot = domain.snapshot()
    twin = DomainServer.restore(
        snapshot, entropy=ScriptedEntropy(), wall_epoch=EPOCH, domain_id=DOMAIN_ID, limits=domain.limits
    )
    assert twin.snapshot() == snapshot
    domain.endpoint = twin
    domain.wait(1.0)
    assert listed(agent) == {audio.node_id}
    agent.say(PacketType.DOMAIN_DISCONNECT_REQUEST)
    assert audio.packets(p.RemovedNode) == [p.RemovedNode(agent.node_id)]


def test_no_secret_shows(domain: ServerPeer) -> None:
    audio, agent = domain.mixer(), Party(domain)
    agent.connect()
    (added,) = audio.packets(p.AddedNode)
    assert added.secret.hex() not in repr(domain.events) + repr(list(domain.members.by_local_id.values()))
    assert crypto.mac(added.secret, b"") != crypto.mac(bytes(16), b"")


@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_end(domain: ServerPeer, how: str) -> None:
    domain.mixer()
    server = domain.endpoint
    server.close(1.0) if how == "close" else server.abort()
    domain.drain()
    assert domain.take()[-1] == Closed(CloseCause.LOCAL if how == "close" else CloseCause.ABORTED)
    assert server.next_timeout() is None
    assert not server.members.by_local_id
    server.close(2.0)
    Party(domain).connect()
    assert domain.take() == []
    for verb in (lambda: server.kick(bytes(16), 3.0), lambda: server.change_policy(Policy(), 3.0)):
        with pytest.raises(NotOpen):
            verb()


@pytest.mark.parametrize("domain_id", [bytes(16), b"short"])
def test_a_domain_needs_an_id(domain_id: bytes) -> None:
    with pytest.raises(ValueError, match="domain_id"):
        DomainServer(entropy=ScriptedEntropy(), wall_epoch=0.0, domain_id=domain_id)


def test_a_node_is_not_drowned_in_lists_that_somebody_else_asks_for_in_its_name() -> None:
    domain = ServerPeer.live(limits=ServerLimits(lists=3))
    party = Party(domain)
    party.connect()
    assert [party.check_in() is not None for _ in range(5)] == [True, True, False, False, False]  # the first was one
    assert domain.stats.refused["lists too often"] == 3
    domain.wait(0.9)
    assert party.check_in() is None
    domain.wait(0.1)
    assert party.check_in() is not None
