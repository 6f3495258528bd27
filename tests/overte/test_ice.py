"""ICE: an ice-server with its peers, and a domain that registers there and pings who asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as File
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from scripted_overte import OvertePeer, datagram

from sansproto.contract import Address, Lookup, Path, SendDatagram
from sansproto.errors import NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.overte import packets as p
from sansproto.overte.client import DomainClient, IceTarget
from sansproto.overte.crypto import BadKey, public_key_der, sign
from sansproto.overte.events import Connected
from sansproto.overte.header import Header, decode_datagram, encode_datagram
from sansproto.overte.ice import ICE_PORT, IceServer
from sansproto.overte.ice_directory import DIRECTORY
from sansproto.overte.ice_events import DomainKeyWanted, IcePeerAdded, IcePeerRemoved, KeyRefused
from sansproto.overte.ice_peer import ICE_PEER
from sansproto.overte.limits import IceLimits, ServerLimits
from sansproto.overte.parts import Arrival
from sansproto.overte.punch import PUNCH, Punch
from sansproto.overte.qt import NULL_SOCK_ADDR, SockAddr
from sansproto.overte.registration import REGISTRATION, IceRegistration
from sansproto.overte.remote import SOCKET
from sansproto.overte.server import DomainServer
from sansproto.overte.versions import DEFAULT, PacketType
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Node, VirtualNetwork
from sansproto.testing.tables import check

PAGES = File(__file__).parents[2] / "docs" / "protocols"
DOMAIN, CLIENT, OTHER = (bytes([n]) * 16 for n in (0xD0, 0xC1, 0x0E))


def _new_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


KEY, OTHER_KEY = _new_key(), _new_key()
PUBLIC = public_key_der(KEY)


def at(n: int, port: int = 40000) -> Path:
    return Path(SOCKET, f"198.51.100.{n}", port)


def beat(domain: bytes = DOMAIN, key: bytes = KEY, public: SockAddr = NULL_SOCK_ADDR) -> bytes:
    unsigned = p.ICEServerHeartbeat(domain, public, SockAddr("10.0.0.1", 40102), None)
    return datagram(p.ICEServerHeartbeat(domain, public, SockAddr("10.0.0.1", 40102), sign(key, unsigned.signed)))


def query(client: bytes = CLIENT, wanted: bytes = DOMAIN) -> bytes:
    sockets = SockAddr("203.0.113.9", 5000), SockAddr("10.0.0.9", 5000)
    return datagram(p.ICEServerQuery(client, *sockets, wanted))


class Desk(OvertePeer):
    """Who speaks to an ice-server: what one datagram makes of it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(IceServer(entropy=ScriptedEntropy(), wall_epoch=0.0, **options))

    def hear(self, data: bytes, path: Path, now: float = 0.0) -> list[tuple[Path, PacketType, bytes]]:
        self.now = now
        self.say(data, path)
        sent = [(one.path, *decode_datagram(one.data)) for one in self.take(self.transmits)]
        return [(path, head.type, payload) for path, head, payload in sent if isinstance(head, Header)]


ACK, DENIED, INFO = (
    PacketType.ICE_SERVER_HEARTBEAT_ACK,
    PacketType.ICE_SERVER_HEARTBEAT_DENIED,
    PacketType.ICE_SERVER_PEER_INFORMATION,
)


@pytest.mark.parametrize("table", [DIRECTORY, ICE_PEER, REGISTRATION, PUNCH], ids=lambda table: table.name)
def test_the_tables_are_whole(table: Any) -> None:
    assert check(table, PAGES) == []


# -- the ice-server ----------------------------------------------------------------------------------------------------


def test_client_and_domain_are_told_about_each_other() -> None:
    desk = Desk()
    assert desk.hear(beat(), at(1)) == [(at(1), ACK, b"")]
    (to_client, kind, about_domain), (to_domain, same, about_client) = desk.hear(query(), at(2))
    assert (to_client, to_domain, kind, same) == (at(2), at(1), INFO, INFO)
    told = p.ICEServerPeerInformation.decode(about_domain)
    assert told == p.ICEServerPeerInformation(DOMAIN, SockAddr("198.51.100.1", 40000), SockAddr("10.0.0.1", 40102)), (
        "a null public socket is what the ice-server sees"
    )
    assert p.ICEServerPeerInformation.decode(about_client).public_socket == SockAddr("203.0.113.9", 5000)
    assert desk.take() == [
        IcePeerAdded(DOMAIN, Address("198.51.100.1", 40000), is_domain=True),
        IcePeerAdded(CLIENT, Address("198.51.100.2", 40000)),
    ]


def test_who_asks_for_nobody_gets_nothing() -> None:
    desk = Desk()
    assert desk.hear(query(), at(2)) == []
    assert desk.stats.dropped["unknown peer"] == 1


def test_who_asks_from_where_the_wanted_peer_is_gets_nothing() -> None:
    desk = Desk()
    desk.hear(beat(), at(1))
    assert desk.hear(query(), at(1)) == []
    assert desk.hear(query(wanted=CLIENT), at(2)) == []


def test_no_answer_is_longer_than_the_query() -> None:
    desk = Desk()
    desk.hear(beat(public=SockAddr("2001:db8::1", 40102, "eth0")), at(1))
    ((to, kind, _),) = desk.hear(query(), at(2))
    assert (to, kind) == (at(1), INFO), "the domain learns of the client all the same"
    assert desk.stats.refused == {"answer longer than the query": 1}
    desk.hear(beat(public=SockAddr("2001:db8::1", 40102)), at(1))
    (told, _), size = desk.hear(query(), at(2)), len(query())
    assert (told[0], len(told[2]) + 6) == (at(2), size), "as long is not longer"


def test_a_silent_peer_is_forgotten_after_five_seconds() -> None:
    desk = Desk()
    desk.hear(beat(), at(1))
    desk.hear(query(), at(2))
    desk.hear(beat(), at(1), 4.0)
    desk.take()
    desk.handle_timeout(8.9)
    assert desk.take() == [IcePeerRemoved(CLIENT)]
    desk.handle_timeout(9.0)
    assert desk.take() == [IcePeerRemoved(DOMAIN)]
    assert desk.next_timeout() is None
    assert desk.hear(query(), at(2), 9.0) == []


def test_an_id_stays_with_who_has_it_but_a_domain_takes_its_own_from_a_client() -> None:
    desk = Desk()
    desk.hear(query(client=DOMAIN, wanted=OTHER), at(6))
    assert desk.hear(query(client=DOMAIN, wanted=OTHER), at(7)) == []
    assert desk.stats.dropped["the id of another peer"] == 1
    assert desk.take() == [IcePeerAdded(DOMAIN, Address("198.51.100.6", 40000))]
    for _ in range(2):
        assert desk.hear(beat(), at(1)) == [(at(1), ACK, b"")]
    was_client = IcePeerRemoved(DOMAIN)
    assert desk.take() == [was_client, IcePeerAdded(DOMAIN, Address("198.51.100.1", 40000), is_domain=True)]
    for data in (beat(), query(client=DOMAIN, wanted=OTHER)):
        assert desk.hear(data, at(6)) == []
    assert [to for to, *_ in desk.hear(query(), at(2))] == [at(2), at(1)]


def test_a_bad_signature_is_denied_and_the_key_asked_for_once() -> None:
    desk = Desk(keys={DOMAIN: PUBLIC})
    assert desk.hear(beat(), at(1)) == [(at(1), ACK, b"")]
    unsigned = datagram(p.ICEServerHeartbeat(DOMAIN, NULL_SOCK_ADDR, NULL_SOCK_ADDR, None))
    for data in (beat(key=OTHER_KEY), unsigned):
        assert desk.hear(data, at(1)) == [(at(1), DENIED, b"")]
    assert desk.take()[1:] == [DomainKeyWanted(DOMAIN)]
    desk.handle_timeout(5.0)
    assert desk.take() == [IcePeerRemoved(DOMAIN)], "what is denied keeps nobody alive"


def test_an_unknown_domain_waits_for_its_key() -> None:
    desk = Desk(keys={})
    assert desk.hear(beat(), at(1)) == desk.hear(beat(), at(1)) == []
    assert desk.take() == [DomainKeyWanted(DOMAIN)]
    for key, answer in ((None, DENIED), (b"no key", DENIED), (PUBLIC, ACK)):
        desk.provide_key(DOMAIN, key, 1.0)
        assert desk.hear(beat(), at(1), 1.0) == [(at(1), answer, b"")]


def test_a_flood_leaves_the_tables_within_their_bounds_and_domains_their_place() -> None:
    desk = Desk(limits=IceLimits(peers=9), keys={DOMAIN: PUBLIC})
    for number in range(40):
        stranger = number.to_bytes(16, "big")
        desk.hear(query(client=stranger), at(number, 1))
        desk.hear(beat(stranger), at(number, 2))
        desk.provide_key(stranger[::-1], PUBLIC, 0.0)
    known = desk.directory
    assert (len(known.peers), len(known.wanted), len(known.keys)) == (4, 9, 9)
    desk.provide_key(DOMAIN, PUBLIC, 0.0)
    assert desk.hear(beat(), at(1)) == [(at(1), ACK, b"")]
    assert [to for to, *_ in desk.hear(query(), at(200))] == [at(200), at(1)], "answered, if not remembered"
    assert len(known.peers) == 5


def test_believed_domains_have_a_bound_too() -> None:
    desk = Desk(limits=IceLimits(peers=8))
    answers = [desk.hear(beat(bytes([n]) * 16), at(n)) for n in range(1, 12)]
    assert [bool(answer) for answer in answers] == [True] * 8 + [False] * 3
    assert desk.stats.dropped["no room for a peer"] == 3
    assert [to for to, *_ in desk.hear(query(wanted=bytes([1]) * 16), at(20))] == [at(20), at(1)]
    assert (len(desk.directory.peers), len(desk.directory.clients)) == (8, 0), (
        "a client is answered, but not remembered"
    )


@given(st.sampled_from([beat(), query(), datagram(p.ICEPing(CLIENT, 1))]), st.data())
def test_nothing_that_arrives_makes_it_stumble(data: bytes, draw: st.DataObject) -> None:
    desk = Desk(keys={DOMAIN: PUBLIC})
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(0, 3))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] ^= draw.draw(st.integers(0, 255))
    sent = desk.hear(bytes(damaged[: draw.draw(st.integers(0, len(damaged)))]), at(1))
    assert all(to == at(1) and kind in (ACK, DENIED) for to, kind, _ in sent)
    twin = IceServer.restore(desk.snapshot(), entropy=ScriptedEntropy(), wall_epoch=0.0, keys={})
    assert twin.snapshot() == desk.snapshot()


def test_its_end() -> None:
    desk = Desk(keys={})
    desk.hear(beat(), at(1))
    desk.close(1.0)
    desk.close(1.0)
    assert desk.take() == [DomainKeyWanted(DOMAIN), Closed(CloseCause.LOCAL)]
    assert not desk.timers()
    assert desk.hear(query(), at(2), 1.0) == []
    with pytest.raises(NotOpen):
        desk.provide_key(DOMAIN, PUBLIC, 2.0)


# -- a domain's side ---------------------------------------------------------------------------------------------------


class Domain(DomainServer):
    """A domain server that is asked for nothing but ICE."""

    def __init__(self, ice: IceRegistration | None, **limits: int) -> None:
        super().__init__(
            entropy=ScriptedEntropy(), wall_epoch=0.0, domain_id=DOMAIN, ice=ice, limits=ServerLimits(**limits)
        )

    @property
    def punches(self) -> dict[bytes, Punch]:
        registration = self.registration.part
        return {} if registration is None else registration.punches


SERVERS = (("ice.example", ICE_PORT), ("second.example", ICE_PORT))


class World:
    """Two ice-servers with names, and a domain on 10.0.0.1."""

    def __init__(
        self, key: bytes = KEY, public: Address | None = None, local_host: str | None = None, **limits: int
    ) -> None:
        self.net = VirtualNetwork()
        self.net.name("ice.example", "2001:db8::1", "198.51.100.1")
        self.net.name("second.example", "198.51.100.2")
        self.ices = [self._run_ice(f"198.51.100.{n}") for n in (1, 2)]
        ice = IceRegistration(servers=SERVERS, private_key=key, public=public, local_host=local_host)
        self.domain = Domain(ice, **limits)
        self.host = self.net.host("10.0.0.1")
        self.node = self.host.run(self.domain, sockets={SOCKET: 40102})

    def _run_ice(self, address: str) -> Node[Any]:
        ice = IceServer(entropy=ScriptedEntropy(), wall_epoch=0.0, keys={DOMAIN: PUBLIC})
        return self.net.host(address).run(ice, sockets={SOCKET: ICE_PORT})

    def listener(self, address: str, port: int, answer: Callable[[Any], bytes | None]) -> list[Any]:
        """A host that keeps the ICE pings that come to it, and may answer."""
        heard: list[Any] = []

        class Ear(Domain):
            def arrived(self, arrival: Arrival) -> None:
                if arrival.header.type is PacketType.ICE_PING:
                    heard.append(p.ICEPing.decode(arrival.payload))
                    reply = answer(heard[-1])
                    if reply is not None:
                        self.send_raw(arrival.path, PacketType.ICE_PING_REPLY, reply)

        self.net.host(address).run(Ear(None), sockets={SOCKET: port})
        return heard

    def ask(self, client: bytes = CLIENT, public: str = "203.0.113.9", local: str = "10.0.0.9") -> None:
        """A client asks the first ice-server for the domain."""
        packet = p.ICEServerQuery(client, SockAddr(public, 5000), SockAddr(local, 5000), DOMAIN)
        ice = self.ices[0]
        ice.receive_datagram(datagram(packet), Path(SOCKET, "203.0.113.9", 5000))

    def dropped(self, reason: str) -> int:
        return self.domain.stats.dropped.get(reason, 0)


def test_a_domain_registers_and_stays_registered() -> None:
    world = World(public=Address("192.0.2.7", 4711), local_host="10.0.0.7")
    world.net.run(20.5)
    first, second = world.ices
    assert first.endpoint.directory.peers[DOMAIN].seen.local == SockAddr("10.0.0.7", 40102)
    assert first.events == [IcePeerAdded(DOMAIN, Address("10.0.0.1", 40102), is_domain=True)]
    assert first.endpoint.directory.peers[DOMAIN].seen.public == SockAddr("192.0.2.7", 4711)
    assert first.endpoint.stats.packets_received == 21
    assert not second.events


def test_without_registration_there_are_no_heartbeats() -> None:
    domain = Domain(None)
    domain.socket_bound(SOCKET, Address("10.0.0.1", 40102), 0.0)
    domain.looked_up(7, (), 0.0)
    assert domain.next_transmit() is None
    assert domain.next_timeout() is None


def test_seven_unanswered_heartbeats_lead_to_the_next_server_and_round() -> None:
    world = World()
    world.ices[0].host.black_hole = True
    world.net.run(6.5)
    assert world.ices[0].endpoint.stats.packets_received == 0
    assert not world.ices[1].events
    world.net.run(1.0)
    assert len(world.ices[1].events) == 1
    world.ices[0].host.black_hole, world.ices[1].host.black_hole = False, True
    world.net.run(8.0)
    assert len(world.ices[0].events) == 1


def test_a_name_that_is_not_found_leads_to_the_next_server() -> None:
    world = World()
    world.net.name("ice.example")
    world.net.run(2.0)
    assert not world.ices[0].events
    assert len(world.ices[1].events) == 1


def test_a_look_up_without_end_is_given_up_and_its_answer_is_late() -> None:
    domain = Domain(IceRegistration(servers=SERVERS, private_key=KEY))
    domain.socket_bound(SOCKET, Address("10.0.0.1", 40102), 0.0)
    assert domain.next_transmit() == Lookup(1, *SERVERS[0])
    domain.socket_bound(SOCKET, Address("10.0.0.2", 40102), 1.0)
    domain.handle_timeout(10.0)
    domain.looked_up(1, (Address("198.51.100.1", ICE_PORT),), 10.5)
    assert domain.stats.dropped == {"late answer": 1}
    domain.handle_timeout(11.0)
    assert domain.next_transmit() == Lookup(2, *SERVERS[1])
    registration = domain.registration.part
    assert registration is not None
    assert b"\x0a\x00\x00\x02" in registration.signed.payload, "the heartbeat follows the socket"


def test_four_denials_tell_that_the_key_is_refused() -> None:
    world = World(key=OTHER_KEY)
    world.net.run(2.5)
    assert world.node.events == []
    world.net.run(4.5)
    assert world.node.events == [KeyRefused(*SERVERS[0])], "told once for four, and the server is kept"
    world.net.run(1.0)
    assert world.node.events == [KeyRefused(*SERVERS[0])] * 2


def test_a_client_is_pinged_at_both_sockets_for_two_seconds() -> None:
    world = World()
    public, local = (world.listener(host, 5000, lambda _: None) for host in ("203.0.113.9", "10.0.0.9"))
    world.net.run(0.5)
    world.ask()
    world.net.run(5.0)
    assert set(public) == {p.ICEPing(DOMAIN, p.PingType.PUBLIC)}
    assert 8 <= len(public) <= 9
    assert set(local) == {p.ICEPing(DOMAIN, p.PingType.LOCAL)}
    assert 8 <= len(local) <= 9
    assert not world.domain.punches


def test_a_reply_ends_the_pings_but_not_one_of_somebody_else() -> None:
    world = World()
    stray = world.listener("203.0.113.9", 5000, lambda ping: p.ICEPingReply(OTHER, ping.type).encode())
    world.net.run(0.5)
    world.ask(local="")
    world.net.run(1.0)
    assert len(stray) == 4
    assert world.dropped("late") == 4
    reply = p.ICEPingReply(CLIENT, p.PingType.PUBLIC)
    world.node.receive_datagram(datagram(reply), at(66))
    assert world.domain.punches
    world.node.receive_datagram(datagram(reply), Path(SOCKET, "203.0.113.9", 5000))
    world.net.run(1.0)
    assert len(stray) <= 5
    assert not world.domain.punches


def test_anybody_who_pings_is_answered_with_as_many_bytes() -> None:
    world = World()
    world.net.run(0.5)
    ping = datagram(p.ICEPing(CLIENT, p.PingType.LOCAL))
    world.domain.receive_datagram(ping, at(50), world.node.now)
    answer = world.domain.next_transmit()
    assert isinstance(answer, SendDatagram)
    assert answer.path == at(50)
    assert len(answer.data) == len(ping)
    assert p.ICEPingReply.decode(decode_datagram(answer.data)[1]) == p.ICEPingReply(DOMAIN, p.PingType.LOCAL)


def test_strangers_change_nothing() -> None:
    world = World(punches=1)
    world.net.run(0.5)
    before = world.domain.freeze(0.0, leave_out=frozenset({"stats", "clock"}))
    info = p.ICEServerPeerInformation(CLIENT, SockAddr("203.0.113.9", 5000), NULL_SOCK_ADDR)
    for packet in (info, p.ICEServerHeartbeatACK(), p.ICEServerHeartbeatDenied(), p.ICEPingReply(CLIENT, 1)):
        world.domain.receive_datagram(datagram(packet), at(66), world.node.now)
    for packet in (p.ICEPing, p.ICEPingReply):
        kind = PacketType(packet.__wire__.id)
        world.domain.receive_datagram(encode_datagram(Header(kind, 1, DEFAULT[kind])), at(66), world.node.now)
    world.domain.receive_datagram(datagram(p.ConnectionToken(bytes(16))), at(66), world.node.now)
    assert world.dropped("not from our ice-server") == 3
    assert world.dropped("late") == 1
    assert world.domain.freeze(0.0, leave_out=frozenset({"stats", "clock"})) == before


def test_only_so_many_clients_are_pinged_at_once() -> None:
    world = World(punches=1)
    world.net.run(0.5)
    world.ask()
    world.ask(OTHER)
    ice = Path(SOCKET, "198.51.100.1", ICE_PORT)
    world.node.receive_datagram(encode_datagram(Header(INFO, 1, DEFAULT[INFO])), ice)
    world.net.run(0.1)
    assert list(world.domain.punches) == [CLIENT]
    assert world.dropped("too many clients at once") == 1
    assert world.dropped("malformed ICEServerPeerInformation") == 1


def test_a_domain_that_ends_is_forgotten() -> None:
    world = World()
    world.net.run(0.5)
    world.ask()
    world.net.run(0.1)
    world.node.call(world.domain.close)
    world.node.call(lambda now: world.domain.socket_bound(SOCKET, Address("10.0.0.1", 1), now))
    world.node.call(lambda now: world.domain.looked_up(1, (), now))
    assert not world.domain.timers()
    assert not world.domain.punches
    world.net.run(6.0)
    assert IcePeerRemoved(DOMAIN) in world.ices[0].events


def test_a_registration_needs_servers_and_a_key_that_it_does_not_show() -> None:
    assert KEY.hex() not in repr(IceRegistration(servers=SERVERS, private_key=KEY)).lower()
    with pytest.raises(BadKey):
        IceRegistration(servers=SERVERS, private_key=b"no key")
    with pytest.raises(ValueError, match="servers"):
        IceRegistration(servers=(), private_key=KEY)
    for told in ({"local_host": "here"}, {"public": Address("nowhere", 1)}, {"public": Address("192.0.2.1", 1 << 16)}):
        with pytest.raises(ValueError, match="bad_value"):
            IceRegistration(servers=SERVERS, private_key=KEY, **told)


def test_an_answer_to_the_look_up_of_a_domain_that_has_ended_is_counted() -> None:
    domain = Domain(IceRegistration(servers=SERVERS, private_key=KEY))
    domain.socket_bound(SOCKET, Address("10.0.0.1", 40102), 0.0)
    domain.abort()
    for query in (1, 2):
        domain.looked_up(query, (), 0.0)
    assert domain.stats.dropped == {"closed": 2}


def test_a_socket_that_no_packet_can_name_is_told_without_its_host() -> None:
    domain = Domain(IceRegistration(servers=SERVERS, private_key=KEY))
    domain.socket_bound(SOCKET, Address("fe80::1%eth0", 40102), 0.0)
    domain.looked_up(1, (Address("198.51.100.1", ICE_PORT),), 0.0)
    assert isinstance(domain.next_transmit(), Lookup)
    beat = domain.next_transmit()
    assert isinstance(beat, SendDatagram)
    assert p.ICEServerHeartbeat.decode(beat.data[6:]).local_socket == SockAddr("", 40102)


def test_a_client_reaches_a_domain_through_the_ice_server() -> None:
    net = VirtualNetwork()
    ice = IceServer(entropy=ScriptedEntropy(), wall_epoch=0.0, keys={DOMAIN: PUBLIC})
    net.host("198.51.100.1").run(ice, sockets={SOCKET: ICE_PORT})
    registration = IceRegistration(servers=(("198.51.100.1", ICE_PORT),), private_key=KEY)
    domain = DomainServer(entropy=ScriptedEntropy(), wall_epoch=0.0, domain_id=DOMAIN, ice=registration)
    net.host("10.0.0.1", nat=net.nat("192.0.2.1")).run(domain, sockets={SOCKET: 40102})
    target = IceTarget(host="198.51.100.1", port=ICE_PORT, domain_id=DOMAIN, client_id=CLIENT)
    client = DomainClient(host="", entropy=ScriptedEntropy(), wall_epoch=0.0, ice=target)
    node = net.host("10.0.1.1", nat=net.nat("192.0.2.2")).run(client, sockets={SOCKET: 0})
    net.run(1.5)
    node.call(client.connect)
    net.run_until(lambda: any(isinstance(event, Connected) for event in node.events), within=20.0)
