"""A domain throws somebody out for good, and tells who is who."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from scripted_overte import DOMAIN_ID, EPOCH, Party, ServerPeer

from sansproto.overte import packets as p
from sansproto.overte.client import DomainClient
from sansproto.overte.events import NodeRemoved, NotAnswered, UsernameAnswered
from sansproto.overte.packets import Ban, Permissions
from sansproto.overte.policy import Banned, Policy, Visitor
from sansproto.overte.remote import SOCKET
from sansproto.overte.server import DomainServer
from sansproto.overte.server_events import BanAdded, Departure, KickAsked, NodeLeft, UsernameAsked
from sansproto.overte.versions import PacketType
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, VirtualNetwork

MACHINE = bytes(range(16))
MACHINE_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"
HOST = "203.0.113.7"


def visitor(**says: Any) -> Visitor:
    usual = {"host": HOST, "is_local": False, "node_type": p.NodeType.AGENT, "fingerprint": MACHINE}
    return Visitor(**usual | says)


@pytest.fixture
def domain() -> ServerPeer:
    return ServerPeer.live()


@pytest.mark.parametrize("text", ["name:ada", f"machine:{MACHINE_TEXT}", f"host:{HOST}", "host:2001:db8::1"])
def test_a_ban_is_stored_as_text(text: str) -> None:
    assert Banned.read(text).text == text


def test_a_ban_is_read_in_any_spelling_of_the_same() -> None:
    assert Banned.read("name:Ada") == Banned(Ban.NAME, "ada")
    assert Banned.read(f"machine:{MACHINE_TEXT.upper().replace('-', '')}") == Banned(Ban.MACHINE, MACHINE_TEXT)
    assert Banned.read("host:2001:DB8:0::1") == Banned(Ban.HOST, "2001:db8::1")


@pytest.mark.parametrize("text", ["", "ada", "name:", "machine:1", "machine:0011", "host:example.org", "moon:1"])
def test_what_is_no_ban_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Banned.read(text)


def test_whom_a_ban_meets() -> None:
    everything = {Banned.read(text) for text in ("name:ada", f"machine:{MACHINE_TEXT}", f"host:{HOST}")}
    policy = Policy(bans=frozenset(everything))
    assert policy.is_banned(visitor())
    assert policy.is_banned(visitor(host="192.0.2.1"))
    assert policy.is_banned(visitor(fingerprint=bytes(16)))
    assert policy.is_banned(visitor(host="192.0.2.1", fingerprint=bytes(16), username="ada"))
    assert policy.is_banned(visitor(host="192.0.2.1", fingerprint=bytes(16), account="ada"))
    assert not policy.is_banned(visitor(host="192.0.2.1", fingerprint=bytes(16), username="ben"))
    assert not policy.is_banned(visitor(is_local=True))  # the owner cannot lock out the own machine
    assert policy.is_banned(visitor(is_local=True, username="ada"))
    assert not Policy().is_banned(visitor())


def test_who_is_kicked_with_a_ban_stays_outside_and_so_does_who_is_like_it(domain: ServerPeer) -> None:
    guest, twin, other = (
        Party(domain, machine_fingerprint=MACHINE),
        Party(domain, "192.0.2.9"),
        Party(domain, "192.0.2.8"),
    )
    guest.connect()
    twin.connect(machine_fingerprint=MACHINE)
    other.connect()
    domain.take()
    domain.kick(guest.node_id, domain.now, ban=Ban.NAME | Ban.MACHINE)
    banned = Banned(Ban.MACHINE, MACHINE_TEXT)
    assert domain.take() == [
        NodeLeft(guest.node_id, Departure.KICKED),
        BanAdded(banned),
        NodeLeft(twin.node_id, Departure.UNWELCOME),
    ]
    assert domain.policy.bans == {banned}
    domain.now += 6.0
    assert guest.connect().reason == p.DenialReason.NOT_AUTHORIZED_DIRECTORY
    assert guest.connect(machine_fingerprint=bytes(16)).new_connection
    assert other.check_in() is not None


def test_a_ban_that_was_made_is_not_told_again(domain: ServerPeer) -> None:
    policy = Policy(bans=frozenset({Banned(Ban.HOST, HOST)}))
    domain.change_policy(policy, domain.now)
    guest = Party(domain, "192.0.2.9", machine_fingerprint=MACHINE)
    guest.connect()
    domain.take()
    domain.kick(guest.node_id, domain.now, ban=Ban.HOST | Ban.MACHINE)
    told = [event for event in domain.take() if isinstance(event, BanAdded)]
    assert told == [BanAdded(Banned(Ban.HOST, "192.0.2.9")), BanAdded(Banned(Ban.MACHINE, MACHINE_TEXT))]
    assert len(domain.policy.bans) == 3


def test_without_a_fingerprint_and_a_name_nobody_is_banned_for_having_none(domain: ServerPeer) -> None:
    guest, other = (
        Party(domain, machine_fingerprint=bytes(16)),
        Party(domain, "192.0.2.9", machine_fingerprint=bytes(16)),
    )
    guest.connect()
    other.connect()
    domain.take()
    domain.kick(guest.node_id, domain.now, ban=Ban.NAME | Ban.MACHINE)
    assert domain.take() == [NodeLeft(guest.node_id, Departure.KICKED)]
    assert domain.policy.bans == frozenset()


def test_bans_have_a_bound(domain: ServerPeer) -> None:
    full = frozenset(Banned(Ban.NAME, str(number)) for number in range(1 << 16))
    domain.change_policy(Policy(bans=full), domain.now)
    guest = Party(domain)
    guest.connect()
    domain.kick(guest.node_id, domain.now, ban=Ban.HOST)
    assert domain.policy.bans == full
    assert domain.stats.noted["too many bans"] == 1


def test_nodes_with_an_assignment_are_not_asked(domain: ServerPeer) -> None:
    domain.change_policy(Policy(bans=frozenset({Banned(Ban.HOST, "198.51.100.10")})), domain.now)
    assert domain.mixer(host="198.51.100.10").node_id


@pytest.mark.parametrize("flags", [b"", b"\3\0\0\0"])
def test_the_older_form_of_a_kick_request_means_the_usual_ban(domain: ServerPeer, flags: bytes) -> None:
    guest, admin = Party(domain), Party(domain, "127.0.0.1")
    guest.connect()
    admin.connect()
    domain.take()
    admin.say(PacketType.NODE_KICK_REQUEST, guest.node_id + flags, reliable=True)
    assert domain.take() == [KickAsked(admin.node_id, guest.node_id, flags=Ban.NAME | Ban.MACHINE)]


def test_who_may_not_kick_learns_no_name_but_the_own(domain: ServerPeer) -> None:
    guest, admin = Party(domain, machine_fingerprint=MACHINE), Party(domain, "127.0.0.1")
    guest.connect()
    admin.connect()
    domain.take()
    for by, about, expected in (
        (guest, admin, p.UsernameFromIDReply(admin.node_id, "", bytes(16), True)),
        (guest, guest, p.UsernameFromIDReply(guest.node_id, "", MACHINE, False)),
        (admin, guest, p.UsernameFromIDReply(guest.node_id, "", MACHINE, False)),
    ):
        by.say(PacketType.USERNAME_FROM_ID_REQUEST, about.node_id, reliable=True)
        assert domain.take() == [UsernameAsked(by.node_id, about.node_id)]
        assert domain.answer_username(by.node_id, about.node_id, domain.now)
        domain.drain()
        assert by.packets(p.UsernameFromIDReply)[-1] == expected


def test_a_long_name_is_cut_where_a_character_ends(domain: ServerPeer) -> None:
    """A request holds 600 characters of three bytes, which no answer would."""
    guest, admin = Party(domain), Party(domain, "127.0.0.1")
    guest.connect()
    admin.connect()
    member = domain.endpoint.members.by_id[guest.node_id]
    member.entry = attrs.evolve(member.entry, username="\u20ac" * 600)
    assert domain.answer_username(admin.node_id, guest.node_id, domain.now)
    domain.drain()
    assert admin.packets(p.UsernameFromIDReply)[-1].username == "\u20ac" * (1024 // 3)


def test_an_admin_asks_who_it_is_and_kicks_it_for_good() -> None:
    """Two clients and a server, over a network that loses every fifth datagram."""
    net = VirtualNetwork(seed=5, default=Conditions(latency=0.03, loss=0.2))
    kicking = Policy(users={}, anonymous=int(Permissions.CONNECT | Permissions.KICK))
    server = DomainServer(entropy=ScriptedEntropy(seed=b"d"), wall_epoch=EPOCH, domain_id=DOMAIN_ID, policy=kicking)
    domain = net.host("10.0.0.1").run(server, sockets={SOCKET: 40102})

    def arrive(host: str, fingerprint: bytes) -> Any:
        entropy = ScriptedEntropy(seed=host.encode())
        client = DomainClient(host="10.0.0.1", entropy=entropy, wall_epoch=EPOCH, fingerprint=fingerprint)
        node = net.host(host).run(client, sockets={SOCKET: 0})
        node.call(client.connect)
        return node

    admin, guest = arrive("10.0.0.2", b"a" * 16), arrive("10.0.0.3", MACHINE)
    net.run(5.0)
    guest_id = guest.endpoint.session_id
    admin.call(lambda now: admin.endpoint.ask_username(guest_id, now))
    for _ in range(50):
        net.run(0.1)
        for event in domain.events:
            if isinstance(event, UsernameAsked):
                domain.call(lambda now, event=event: server.answer_username(event.by, event.node_id, now))  # type: ignore[misc]
        domain.events.clear()
    answers = [event for event in admin.events if isinstance(event, UsernameAnswered)]
    assert answers == [UsernameAnswered(guest_id, fingerprint=MACHINE, may_kick=True)]
    assert not [event for event in admin.events if isinstance(event, NotAnswered | NodeRemoved)]

    assert admin.call(lambda now: admin.endpoint.kick(guest_id, now))
    net.run(3.0)
    (asked,) = (event for event in domain.events if isinstance(event, KickAsked))
    domain.call(lambda now: server.kick(asked.node_id, now, ban=asked.flags))
    net.run(20.0)
    assert BanAdded(Banned(Ban.MACHINE, MACHINE_TEXT)) in domain.events
    assert [*server.members.by_id] == [admin.endpoint.session_id]
