"""Each part of a client alone, with a host that only keeps what it sends."""

from __future__ import annotations

from typing import Any

import pytest
from scripted import PartHost
from scripted_overte import (
    DOMAIN,
    DOMAIN_ID,
    LOCAL_ID,
    MIXER,
    MIXER_LOCAL,
    SESSION,
    US,
    OvertePartHost,
    domain_list,
    record,
)

from sansproto.contract import Address, Lookup, Path, Phase
from sansproto.errors import Fault, WireError
from sansproto.events import CloseCause, Closed
from sansproto.overte import connection, stun
from sansproto.overte import packets as p
from sansproto.overte import rendezvous as ice
from sansproto.overte.events import (
    Connected,
    NodeAdded,
    NodeRemoved,
    NotAnswered,
    PathAnswered,
    Removal,
    UsernameAnswered,
)
from sansproto.overte.header import Header
from sansproto.overte.introduction import Introduction, Membership
from sansproto.overte.limits import ClientDelays, ClientLimits
from sansproto.overte.nodes import NodeTable
from sansproto.overte.parts import Arrival
from sansproto.overte.qt import NULL_UUID, SockAddr
from sansproto.overte.queries import Queries, QueryInput
from sansproto.overte.usernames import REPLY, Names
from sansproto.overte.versions import PacketType
from sansproto.overte.ways import Ways

DELAYS, LIMITS = ClientDelays(), ClientLimits()
ANYBODY = Introduction(
    connect_id=NULL_UUID,
    signature=bytes(16),
    node_type=p.NodeType.AGENT,
    interest=b"M",
    fingerprint=NULL_UUID,
    username="",
    private_key=None,
    account=None,
    place_name=None,
)
TARGET = ice.IceTarget(host="domain.example", port=40102, domain_id=DOMAIN_ID, client_id=NULL_UUID)


OTHER = b"o" * 16
KNOWN = PartHost(sockets=(SockAddr("", US.port), SockAddr(US.host, US.port)), pick=lambda _: DOMAIN)
"""Our own sockets, which are known."""


def arrival(packet: Any, path: Path = DOMAIN) -> Arrival:
    return Arrival(Header(tuple(PacketType)[packet.__wire__.id], 1, 1), packet.encode(), path)


def test_a_question_is_answered_or_not() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    queries = Queries(host)
    host.domain = DOMAIN
    for path in ("/", "/hill"):
        queries.ask(p.PathQuery(path))
    host.run()
    assert host.sent == [(DOMAIN, p.PathQuery("/")), (DOMAIN, p.PathQuery("/hill"))]
    assert queries.path_answer(p.PathResponse("/sea", "")) is None
    answer = queries.path_answer(p.PathResponse("/", "/0,0,0"))
    assert answer is not None
    answer.query.post(QueryInput.ANSWERED(answer.event))
    host.run()
    host.handle_timeout(DELAYS.answer)
    assert host.events() == [PathAnswered("/", "/0,0,0"), NotAnswered("/hill")]
    assert not queries.open


def test_stun_asks_until_it_is_answered() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    host.local = US
    client = stun.StunClient(host, ("stun.example", 3478), None, None)
    client.learn()
    host.run()
    assert host.sent == [Lookup(stun.QUERY, "stun.example", 3478)]
    client.looked_up((Address("192.0.2.33", 3478),))
    host.run()
    host.handle_timeout(DELAYS.retry)
    assert len(host.sent) == 3
    assert client.sockets is None
    attribute = bytes.fromhex("002000080001a147") + bytes.fromhex("2112a442")
    answer = stun.BindingResponse(len(attribute), client.transaction, attribute)
    assert client.servers == (Path("udp", "192.0.2.33", 3478),)
    client.hear(answer.encode())
    host.run()
    assert host.told[-1] == ("sockets_changed",)
    assert client.sockets == (SockAddr("0.0.0.0", 0x8055), SockAddr(US.host, US.port))


@pytest.mark.parametrize(("size", "faults"), [(1024, []), (1028, [Fault.BAD_LENGTH])])
def test_the_attributes_of_an_answer_have_a_bound(size: int, faults: list[Fault]) -> None:
    """Whoever is asked may send 64 KiB of the smallest ones."""
    padding, address = b"\0\1\0\0" * ((size - 12) // 4), bytes.fromhex("002000080001a1472112a442")
    found = []
    try:
        data = b"\1\1" + size.to_bytes(2, "big") + stun.COOKIE + bytes(12) + padding + address
        assert stun.BindingResponse.decode(data).address.port == 0x8055
    except WireError as error:
        found.append(error.fault)
    assert found == faults


def test_the_ice_client_leads_to_the_domain() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    client = ice.IceClient(host, TARGET, KNOWN)
    client.begin((DOMAIN,))
    host.run()
    assert host.sent == [(DOMAIN, TARGET.query(KNOWN.sockets))]
    mixer = SockAddr(MIXER.host, MIXER.port)
    client.take(ice.PEER, arrival(p.ICEServerPeerInformation(DOMAIN_ID, mixer, SockAddr("", 0))))
    host.run()
    assert host.sent[1:] == [(MIXER, p.ICEPing(NULL_UUID, p.PingType.PUBLIC))]
    client.take(ice.REPLY, arrival(p.ICEPingReply(DOMAIN_ID, p.PingType.PUBLIC), MIXER))
    host.run()
    assert (host.told[-1], host.next_timeout()) == (("reached", MIXER), None)


def test_nodes_are_pinged_and_forgotten() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    host.domain, host.membership = DOMAIN, Membership(session_id=SESSION)
    table = NodeTable(host)
    told = table.lists.read(table, arrival(domain_list(record(), record(number=2, id=SESSION))))
    table.adopt(told.list, told.clock)
    host.run()
    assert [path for path, *_ in host.sent] == [MIXER_LOCAL, MIXER]
    assert (set(table.nodes), host.stats.noted) == ({record().id}, {"a record of ourselves": 1})
    while table.nodes:
        host.handle_timeout(host.next_timeout() or 0.0)
    added, removed = host.events()
    assert (type(added), removed) == (NodeAdded, NodeRemoved(record().id, Removal.SILENT))
    assert (host.clock, host.next_timeout(), table.index) == (DELAYS.silence, None, {})


def test_a_connection_begins_and_ends() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    nodes, queries = NodeTable(host), Queries(host)
    client = connection.Connection(host, TARGET, ANYBODY, KNOWN, nodes, queries, by_ice=False)
    client.post(connection.ConnectionInput.CONNECT())
    client.looked_up((Address(DOMAIN.host, DOMAIN.port),))
    host.run()
    lookup, (path, request, *_) = host.sent
    assert (lookup.host, path, type(request)) == ("domain.example", DOMAIN, p.DomainConnectRequest)
    client.take(connection.LIST, arrival(domain_list()))
    host.run()
    assert host.events() == [Connected(SESSION, LOCAL_ID, domain_id=DOMAIN_ID, permissions=2049)]
    client.post(connection.ConnectionInput.CLOSE())
    host.run()
    assert host.sent[-1][:2] == (DOMAIN, p.DisconnectRequest())
    assert (host.events(), host.phase) == ([Closed(CloseCause.LOCAL)], Phase.CLOSED)


def test_who_knows_of_nobody_sends_nothing() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    client = connection.Connection(host, TARGET, ANYBODY, KNOWN, NodeTable(host), Queries(host), by_ice=False)
    client.send_disconnect()
    client.reset()
    stun.StunClient(host, ("stun.example", 3478), None, None).send()
    host.run()
    assert host.sent == []


def test_ways_take_their_turns_until_the_domain_speaks_from_one() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    host.local = US
    ways = Ways(host, TARGET, by_ice=False)
    ways.look_up(1)
    paths = ways.found((Address("198.51.100.1", 40102), Address("198.51.100.2", 40102)))
    ways.take_in(paths)
    assert (host.sent, ways.domain) == ([Lookup(1, "domain.example", 40102)], paths[0])
    tried = []
    for _ in range(3):
        ways.turn()
        tried.append(ways.domain)
    assert tried == [paths[1], paths[0], paths[1]]
    assert all(ways.has(path) for path in paths)
    ways.settle(paths[0])
    ways.turn()
    assert (ways.domain, ways.has(paths[1])) == (paths[0], False)
    ways.lose()
    ways.take_in(paths[1:])
    assert ways.domain == paths[1]
    assert host.told[-1] == ("forget_channel", paths[0])


def test_a_name_is_asked_for_each_second_until_the_answer_or_its_end() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    host.domain, host.phase = DOMAIN, Phase.OPEN
    names = Names(host)
    for node in (SESSION, OTHER, SESSION):
        names.ask(node)
    host.run()
    question = p.UsernameFromIDRequest(SESSION)
    assert [one[1] for one in host.sent] == [question, p.UsernameFromIDRequest(OTHER)]
    host.handle_timeout(DELAYS.check_in)
    assert [one[1] for one in host.sent[2:]].count(question) == 1
    reply = p.UsernameFromIDReply(SESSION, "ada", NULL_UUID, False)
    names.take(REPLY, arrival(reply, Path("udp", "203.0.113.66", 1)))
    names.take(REPLY, arrival(reply))
    host.run()
    assert host.stats.dropped == {"not from the domain": 1}
    assert (host.events(), [*names.open]) == (
        [UsernameAnswered(SESSION, username="ada", fingerprint=NULL_UUID, may_kick=False)],
        [OTHER],
    )
    host.handle_timeout(DELAYS.answer)
    assert host.events() == [NotAnswered(node_id=OTHER)]
