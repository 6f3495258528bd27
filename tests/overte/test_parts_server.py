"""The parts of a domain server and of an ice-server, each driven alone."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from scripted import PartHost
from scripted_overte import OvertePartHost

from sansproto.contract import Address, Lookup, Path
from sansproto.fair import host_of
from sansproto.overte import packets as p
from sansproto.overte.admission import CONNECT, Admission
from sansproto.overte.header import Header
from sansproto.overte.ice_directory import HEARTBEAT, QUERY, Directory
from sansproto.overte.ice_events import IcePeerAdded, IcePeerRemoved, KeyRefused
from sansproto.overte.ice_peer import IcePeer, IcePeerInput, IcePeerState, Seen
from sansproto.overte.limits import IceDelays, IceLimits, ServerDelays, ServerLimits
from sansproto.overte.member import CHECK_IN, KICK_REQUEST, PATH_QUERY, Entry, Member, MemberInput, MemberState
from sansproto.overte.members import Members
from sansproto.overte.parts import Arrival
from sansproto.overte.punch import Punch, PunchInput, PunchState
from sansproto.overte.qt import NULL_SOCK_ADDR, SockAddr
from sansproto.overte.registration import ACK, DENIAL, Registration, RegistrationState, Signed
from sansproto.overte.remote import SOCKET
from sansproto.overte.server_events import ConnectRefused, Departure, KeyWanted
from sansproto.overte.tokens import Tokens
from sansproto.overte.versions import DEFAULT, PacketType
from sansproto.testing.entropy import ScriptedEntropy

DOMAIN, CLIENT = b"d" * 16, b"c" * 16
ICE, STRANGER = (Path(SOCKET, f"198.51.100.{n}", 7337) for n in (1, 66))
BEAT = (ICE, PacketType.ICE_SERVER_HEARTBEAT, b"signed")
DELAYS, LIMITS = ServerDelays(), ServerLimits(beats=1, denials=1)


def arrival(packet: Any, path: Path) -> Arrival:
    kind = tuple(PacketType)[packet.__wire__.id]
    return Arrival(Header(kind, 1, DEFAULT[kind]), packet.encode(), path)


def test_a_registration() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    registration = Registration(host, (("one", 7337), ("two", 1)))
    registration.begin(Signed(Address("10.0.0.1", 40102), b"signed"))
    registration.looked_up((Address("2001:db8::1", 1), Address(ICE.host, ICE.port)))
    for guards, path in ((ACK, STRANGER), (ACK, ICE), (DENIAL, ICE), (DENIAL, ICE)):
        registration.take(guards, arrival(p.ICEServerHeartbeatACK(), path))
    host.run()
    assert (host.sent, host.stats.dropped) == ([Lookup(1, "one", 7337), BEAT], {"not from our ice-server": 1})
    assert host.events() == [KeyRefused("one", 7337)]
    for now in (1.0, 2.0, 3.0):
        host.handle_timeout(now)
    assert (host.sent[2:], registration.state) == ([BEAT, BEAT, Lookup(2, "two", 1)], RegistrationState.RESOLVING)


def test_a_registration_without_a_server_does_not_beat() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    registration = Registration(host, (("one", 7337),))
    registration.beat()
    assert (host.sent, registration.unanswered) == ([], 0)


def test_a_punch() -> None:
    host, owner = OvertePartHost(DELAYS, LIMITS), PartHost()
    punch = Punch(host, owner, CLIENT)
    punch.post(PunchInput.TOLD(p.ICEServerPeerInformation(CLIENT, SockAddr("203.0.113.9", 5000), NULL_SOCK_ADDR)))
    host.run()
    for now in (0.25, 2.0):
        host.handle_timeout(now)
    there = Path(SOCKET, "203.0.113.9", 5000)
    assert set(host.sent[:-1]) == {(there, p.ICEPing(DOMAIN, p.PingType.PUBLIC))}
    assert host.sent[-1] == there  # which is forgotten
    assert (owner.sent, punch.state) == ([CLIENT], PunchState.GONE)


SEEN = Seen(ICE, SockAddr("198.51.100.1", 7337), NULL_SOCK_ADDR, is_domain=False)


def test_an_ice_peer() -> None:
    host, owner = OvertePartHost(DELAYS, LIMITS), PartHost()
    peer = IcePeer(host, owner, IceDelays(), CLIENT)
    peer.note(SEEN)
    for seen in (SEEN, SEEN, attrs.evolve(SEEN, path=STRANGER, is_domain=True)):
        peer.post(IcePeerInput.SPOKE(seen))
    host.run()
    host.handle_timeout(5.0)
    added = [IcePeerAdded(CLIENT, Address(at.host, at.port), is_domain=at is STRANGER) for at in (ICE, STRANGER)]
    assert host.events() == [added[0], IcePeerRemoved(CLIENT), added[1], IcePeerRemoved(CLIENT)]
    assert (owner.sent, peer.state) == ([CLIENT], IcePeerState.GONE)


def test_a_directory() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    directory = Directory(host, None, IceDelays(), IceLimits(peers=2))
    beat = p.ICEServerHeartbeat(DOMAIN, NULL_SOCK_ADDR, NULL_SOCK_ADDR, None)
    directory.take(HEARTBEAT, arrival(beat, ICE))
    directory.take(HEARTBEAT, arrival(beat, STRANGER))
    directory.take(QUERY, arrival(p.ICEServerQuery(CLIENT, NULL_SOCK_ADDR, NULL_SOCK_ADDR, DOMAIN), STRANGER))
    host.run()
    told = [(STRANGER, DOMAIN, "198.51.100.1"), (ICE, CLIENT, "198.51.100.66")]
    null = NULL_SOCK_ADDR
    infos = [(path, p.ICEServerPeerInformation(key, SockAddr(at, 7337), null)) for path, key, at in told]
    assert host.sent == [(ICE, p.ICEServerHeartbeatACK()), *infos]
    assert host.stats.dropped == {"the id of another peer": 1}
    assert (set(directory.peers), directory.clients) == ({DOMAIN, CLIENT}, {CLIENT})


AT = Path(SOCKET, "203.0.113.9", 48001)
SAID = p.CheckIn(5, p.NodeType.AGENT, SockAddr("203.0.113.9", 48001), SockAddr("10.0.0.9", 48001), b"M", None)


def entry(path: Path = AT, node_type: p.NodeType = p.NodeType.AGENT) -> Entry:
    return Entry(node_type, path, bytes(16), None, "", "")


def test_a_member() -> None:
    host, keeper, fan_out = OvertePartHost(DELAYS, LIMITS), PartHost(), PartHost()
    keeper.fan_out = fan_out
    member = Member(host, keeper, CLIENT)
    member.begin(7, entry(), SAID, p.Permissions.CONNECT)
    member.post(MemberInput.ADMITTED())
    says = p.DomainListRequest(*[getattr(SAID, field.name) for field in p.CheckIn.__wire__.fields])
    member.take(CHECK_IN, arrival(says, AT))
    member.take(KICK_REQUEST, arrival(p.NodeKickRequest(DOMAIN, 0), AT))
    member.take(PATH_QUERY, arrival(p.PathQuery("/"), AT))
    host.run()
    host.handle_timeout(10.0)
    assert keeper.told == [("enrol", member), ("forget_member", member)]
    said = [("send_list", member, True), ("announce", member, False), ("send_list", member, False)]
    assert fan_out.told == said
    assert [type(event).__name__ for event in host.events()] == ["NodeJoined", "NodeLeft"]
    assert host.sent == [(AT, p.PathResponse("/", "/0,0,0/0,0,0,1"))]
    assert (host.stats.dropped, member.state) == ({"kick without permission": 1}, MemberState.GONE)


def test_members_and_what_is_said_of_them() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    members = Members(host)
    mixer = entry(ICE, p.NodeType.AUDIO_MIXER)
    members.admit(CLIENT, 7, entry(), SAID, 1)
    members.admit(DOMAIN, 8, mixer, attrs.evolve(SAID, node_type=mixer.node_type, interests=b"I"), 1)
    host.run()
    assert (len(members.by_id), members.by_path[ICE], members.count(p.NodeType.AGENT)) == (2, members.by_id[DOMAIN], 1)
    kinds = [PacketType.DOMAIN_LIST, PacketType.DOMAIN_LIST, PacketType.DOMAIN_SERVER_ADDED_NODE]
    assert [(path, kind) for path, kind, _ in host.sent] == list(zip((AT, ICE, AT), kinds, strict=True))
    members.by_id[DOMAIN].post(MemberInput.LEAVE(Departure.LEFT))
    host.run()
    assert host.sent[3:] == [ICE, ICE, (AT, p.RemovedNode(DOMAIN))]
    assert (len(members.by_id), members.by_path.get(ICE), members.fresh_id((7,)) == members.own_id) == (1, None, False)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_local_ids_are_free_ones_in_the_order_of_their_steps(
    start: int, step: int, used: set[int], leaving: set[int]
) -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    drawn = {"local_id.start": [start.to_bytes(2, "big")], "local_id.step": [step.to_bytes(2, "big")]}
    host._entropy = ScriptedEntropy(drawn)
    members = Members(host)
    order = [(start + number * (step | 1)) & 0xFFFF for number in range(1, 50)]
    nobodys = {0, members.own_id}
    for number in used:
        if order[number] not in nobodys:
            address = entry(Path(SOCKET, "203.0.113.9", 1 + number))
            members.admit(bytes([number]) * 16, order[number], address, SAID, 1)
    host.run()
    gone = {order[number] for number in leaving} - nobodys
    free = [one for one in order if one not in nobodys and (one in gone or one not in members.by_local_id)]
    members.last_id = start
    assert members.fresh_id(gone) == free[0]
    members.rebuild()
    for member in [*members.by_id.values()]:
        member.post(MemberInput.LEAVE(Departure.LEFT))
    host.run()
    members.last_id = start
    assert members.fresh_id() == next(one for one in order if one not in nobodys)


def test_admission() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    members = Members(host)
    admission = Admission(host, members, "ours")
    request = p.DomainConnectRequest(
        bytes(16), DEFAULT.signature, None, bytes(16), None, 0, 0, SAID, username="Ann", username_signature=None
    )
    header = arrival(request, AT).header
    for payload in (b"", bytes(40), request.encode()):
        admission.take(CONNECT, Arrival(header, payload, AT))
    host.run()
    (_, denial), (_, token) = host.sent
    assert (denial.reason, type(token)) == (p.DenialReason.PROTOCOL_MISMATCH, p.ConnectionToken)
    assert host.events() == [ConnectRefused(AT, p.DenialReason.PROTOCOL_MISMATCH), KeyWanted("ann")]
    assert host.stats.dropped == {"empty connect request": 1}
    assert admission.answers[host_of(AT.host)].count == 2


def test_what_finds_no_room_to_be_told_is_refused() -> None:
    host = OvertePartHost(DELAYS, ServerLimits(announcements=1))
    host.waiting = 1 << 20
    members = Members(host)
    members.admit(CLIENT, 7, entry(), SAID, 1)
    host.run()
    members.by_id[CLIENT].post(MemberInput.LEAVE(Departure.LEFT))
    host.run()
    assert (len(members.fan_out.under_way), host.sent) == (1, [AT, AT])
    assert host.stats.refused == {"announcements full": 2}


def test_a_token_is_good_for_its_name_and_address_in_its_minute_and_the_next_and_known_for_ten() -> None:
    host = OvertePartHost(DELAYS, LIMITS)
    tokens = Tokens(host)
    host.advance(59.0)
    token = tokens.token("ada", AT)
    digest = sha256(b"Ada" + token).digest()
    assert tokens.token("ada", ICE) != token != tokens.token("eve", AT)
    for now, is_fresh in ((59.0, True), (60.0, True), (119.9, True), (120.0, False), (599.9, False), (600.0, None)):
        host.advance(now)
        assert tokens.is_fresh("ada", "Ada", AT, digest) is is_fresh
        assert tokens.is_fresh("ada", "Ada", ICE, digest) is None
        assert tokens.is_fresh("eve", "Ada", AT, digest) is None
    assert Tokens(OvertePartHost(DELAYS, LIMITS)).master == tokens.master  # which is drawn
