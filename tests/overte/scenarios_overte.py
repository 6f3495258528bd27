"""The conversations of ``vectors/overte/sessions.json``: one party, one script each, recorded from our own machines.

They hit every row and step. ``make vectors`` writes the file again; the same code gives the
same file, byte by byte. All delays and limits stand in each ``config``: times in milliseconds.
"""

from __future__ import annotations

import attrs
from recording import Scenarios
from scripted_overte import (
    ACK,
    CLOCK,
    DOMAIN,
    DOMAIN_ID,
    HANDSHAKE,
    HANDSHAKE_ACK,
    HANDSHAKE_REQUEST,
    LOCAL,
    MIXER,
    MIXER_LOCAL,
    PARTY,
    SECRET,
    STRANGER,
    US,
    ClientPeer,
    OvertePeer,
    Party,
    ServerPeer,
    control,
    domain_list,
    record,
)

from sansproto.contract import Address, Path
from sansproto.overte import AssignmentType, NodeType, Policy, crypto
from sansproto.overte import packets as p
from sansproto.overte.connection import ConnectionState
from sansproto.overte.header import Part, Position
from sansproto.overte.qt import NULL_SOCK_ADDR, SockAddr
from sansproto.overte.stun import COOKIE, BindingResponse
from sansproto.overte.versions import PacketType
from sansproto.testing.vectors import load

scenario = Scenarios("overte/sessions.json")
CONNECT = PacketType.DOMAIN_CONNECT_REQUEST
ICE_SERVER = Path("udp", "198.51.100.2", 7337)
STUN_SERVER = Path("udp", "198.51.100.3", 3478)
CLIENT_ID = b"c" * 16
ASSIGNMENT = b"a" * 16
PRIVATE_KEY, PUBLIC_KEY = next(
    (test.octets("inputs", "private_key"), test.octets("inputs", "public_key"))
    for test in load(scenario.path.with_name("crypto.json"))
    if test.type == "overte.username_signature"
)

# -- a client and its domain -------------------------------------------------------------------------------------------


@scenario
def a_client_comes_in_checks_in_and_leaves() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.fails(lambda: peer.refresh(0.0))
    peer.bind()
    peer.go()
    peer.fails(lambda: peer.connect(peer.now))
    peer.list()
    peer.tick()
    peer.now += 0.125
    peer.list(new_connection=False, permissions=7)
    peer.refresh(peer.now)
    peer.list(domain_id=b"e" * 16)
    peer.say(p.DomainConnectionDenied(3, "late", ""), DOMAIN)
    peer.say(p.ConnectionToken(b"t" * 16), DOMAIN)
    peer.list(session_id=b"t" * 16, local_id=7)
    peer.close(peer.now)
    peer.close(peer.now)
    return peer


@scenario
def the_name_of_the_domain_is_unknown() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.connect(0.0)
    peer.looked_up(1, (), 0.125)
    return peer


@scenario
def the_name_of_the_domain_is_never_answered() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.connect(0.0)
    peer.tick()
    return peer


@scenario
def a_client_changes_its_mind() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.connect(0.0)
    peer.close(0.125)
    return peer


@scenario
def the_socket_is_bound_later() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.connect(0.0)
    peer.find()
    peer.tick()
    peer.bind()
    peer.list()
    return peer


@scenario
def no_domain_ever_answers() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.go()
    while peer.tick():
        pass
    return peer


@scenario
def a_domain_that_says_no() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.go()
    peer.say(p.DomainConnectionDenied(p.DenialReason.TOO_MANY_USERS, "full", "elsewhere"), DOMAIN)
    while peer.tick():
        pass
    return peer


@scenario
def the_domain_falls_silent_and_comes_back() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    peer.ask_path("/", peer.now)
    while peer.phase.name == "OPEN":
        peer.tick()
    peer.tick()
    peer.list(session_id=b"t" * 16, local_id=7)
    return peer


@scenario
def a_user_signs_a_token() -> OvertePeer:
    peer = ClientPeer.recorded(username="Alice", private_key=PRIVATE_KEY.hex())
    peer.bind()
    peer.go()
    peer.now += 0.125
    peer.say(p.ConnectionToken(b"a token to sign."), DOMAIN)
    peer.list()
    return peer


@scenario
def the_client_moves() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in()
    peer.now += 0.125
    peer.bind(Address("192.168.1.24", 48002))
    return peer


def live_until(peer: ClientPeer, time: float) -> None:
    """Let time pass; the domain answers each check-in."""
    while peer.next_timeout() <= time:
        before = len(peer.heard[DOMAIN])
        peer.tick()
        if any(isinstance(packet, p.DomainListRequest) for _, packet in peer.heard[DOMAIN][before:]):
            peer.list(new_connection=False)


def ack(peer: ClientPeer, path: Path = DOMAIN, step: int = 0) -> None:
    """Acknowledge its first reliable packet, or the one so many behind it."""
    peer.say(control(ACK, peer.first + step), path)


def pong(peer: ClientPeer, kind: p.PingType, path: Path, clock: int | None = None) -> None:
    """Answer its last ping of a kind."""
    peer.drain()
    pings = [packet.clock for _, packet in peer.heard[path] if isinstance(packet, p.Ping) and packet.type == kind]
    asked = pings[-1] if clock is None else clock
    peer.say(p.PingReply(kind, asked, asked + 70_000), path, source=4661, secret=SECRET)


# -- its public address ------------------------------------------------------------------------------------------------


def with_stun() -> ClientPeer:
    peer = ClientPeer.recorded(stun={"host": "stun.example", "port": 3478})
    peer.bind()
    peer.go()
    return peer


def answer_stun(peer: ClientPeer, port: int = 48001) -> None:
    transaction = [draw.data for draw in peer.entropy.draws if draw.purpose == "stun.transaction"][-1]
    plain = port.to_bytes(2, "big"), bytes((203, 0, 113, 7))
    masked = b"".join(bytes(a ^ b for a, b in zip(part, COOKIE, strict=False)) for part in plain)
    peer.now += 0.125
    peer.receive_datagram(
        BindingResponse(12, transaction, bytes.fromhex("002000080001") + masked).encode(), STUN_SERVER, peer.now
    )


@scenario
def a_client_asks_for_its_public_address() -> OvertePeer:
    peer = with_stun()
    peer.tick()
    peer.find(STUN_SERVER, 2)
    peer.tick()
    answer_stun(peer)
    peer.list()
    live_until(peer, 12.0)
    answer_stun(peer, 48002)
    return peer


@scenario
def the_stun_server_does_not_answer() -> OvertePeer:
    peer = with_stun()
    peer.find(STUN_SERVER, 2)
    for _ in range(16):
        peer.tick()
    return peer


@scenario
def the_stun_server_has_no_name() -> OvertePeer:
    peer = with_stun()
    peer.looked_up(2, (), peer.now)
    peer.list()
    live_until(peer, 11.0)
    return peer


@scenario
def the_name_of_the_stun_server_is_never_answered() -> OvertePeer:
    peer = with_stun()
    for _ in range(11):
        peer.tick()
    return peer


# -- by an ice-server --------------------------------------------------------------------------------------------------


def by_ice() -> ClientPeer:
    ice = {"host": "ice.example", "domain_id": DOMAIN_ID.hex(), "client_id": CLIENT_ID.hex()}
    peer = ClientPeer.recorded(ice=ice)
    peer.bind()
    peer.connect(0.0)
    return peer


WHERE = p.ICEServerPeerInformation(DOMAIN_ID, SockAddr(DOMAIN.host, DOMAIN.port), SockAddr("10.0.0.1", 40102))


@scenario
def an_ice_server_leads_to_the_domain() -> OvertePeer:
    peer = by_ice()
    peer.find(ICE_SERVER)
    peer.tick()
    peer.say(WHERE, ICE_SERVER)
    for _ in range(8):
        peer.tick()
    peer.tick()
    peer.say(WHERE, ICE_SERVER)
    peer.say(p.ICEPing(DOMAIN_ID, p.PingType.PUBLIC), DOMAIN)
    peer.now += 0.125
    peer.say(p.ICEPingReply(DOMAIN_ID, p.PingType.PUBLIC), DOMAIN)
    peer.list()
    return peer


@scenario
def the_ice_server_does_not_know_the_domain() -> OvertePeer:
    peer = by_ice()
    peer.find(ICE_SERVER)
    while peer.tick():
        pass
    return peer


# -- other nodes -------------------------------------------------------------------------------------------------------


@scenario
def a_node_is_reached_and_measured() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    peer.tick()
    pong(peer, p.PingType.PUBLIC, MIXER)
    peer.say(p.Ping(p.PingType.PUBLIC, 5, 0), MIXER, source=4661, secret=SECRET)
    peer.say(p.Ping(p.PingType.PUBLIC, 5, 0), MIXER, source=4661, secret=SECRET)
    pong(peer, p.PingType.LOCAL, MIXER_LOCAL)
    peer.tick()
    live_until(peer, 2.5)
    pong(peer, p.PingType.AGNOSTIC, MIXER_LOCAL)
    pong(peer, p.PingType.AGNOSTIC, MIXER_LOCAL, clock=1)
    peer.send_to_node(record().id, PacketType.AVATAR_QUERY, b"look", peer.now)
    peer.list(record(), new_connection=False)
    peer.list(record(permissions=1), new_connection=False)
    return peer


@scenario
def both_sockets_of_a_node_work() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    peer.now += 0.125
    pong(peer, p.PingType.LOCAL, MIXER_LOCAL)
    pong(peer, p.PingType.PUBLIC, MIXER)
    peer.list(record(local_socket=SockAddr("10.0.0.11", 40110)), new_connection=False)
    return peer


@scenario
def a_node_began_again() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    peer.say(p.Ping(p.PingType.PUBLIC, 5, 1), MIXER, source=4661, secret=SECRET)
    return peer


@scenario
def a_node_is_replaced_and_its_successor_falls_silent() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    peer.list(record(number=2), new_connection=False)
    live_until(peer, 3.0)
    peer.say(p.Ping(2, 7, 0), Path("udp", "198.51.100.10", 40111), source=4662, secret=SECRET)
    live_until(peer, 21.0)
    return peer


# -- what must arrive --------------------------------------------------------------------------------------------------


@scenario
def questions_are_answered_over_the_reliable_channel() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    peer.ask_path("/", peer.now)
    peer.tick()
    peer.say(control(HANDSHAKE_ACK, 1), DOMAIN)
    peer.shake()
    peer.ask_path("/there", peer.now)
    peer.now += 0.125
    ack(peer)
    ack(peer)
    ack(peer, step=2)
    peer.say(p.DomainSettings(b"{}"), DOMAIN, sequence=700, reliable=True)
    peer.say(control(HANDSHAKE, 700), DOMAIN)
    peer.say(control(HANDSHAKE, 700), DOMAIN)
    peer.say(p.DomainSettings(b"{}"), DOMAIN, sequence=700, reliable=True)
    peer.say(p.PathResponse("/", "/0,0,0/0,0,0,1"), DOMAIN, sequence=702, reliable=True)
    peer.say(p.PathResponse("/", "/0,0,0/0,0,0,1"), DOMAIN, sequence=702, reliable=True)
    peer.say(p.RemovedNode(record().id), DOMAIN, sequence=701, reliable=True)
    peer.request_settings(AssignmentType.ALL, peer.now)
    peer.now += 0.125
    ack(peer, step=3)
    peer.say(control(HANDSHAKE_REQUEST), DOMAIN)
    peer.ask_path("/where", peer.now)
    peer.close(peer.now)
    return peer


@scenario
def nothing_is_answered() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in()
    peer.shake()
    peer.tick()
    peer.say(control(HANDSHAKE_REQUEST), DOMAIN)
    peer.shake()
    live_until(peer, 17.0)
    return peer


@scenario
def the_domain_counts_otherwise() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in()
    peer.shake()
    for _ in range(6):
        ack(peer, step=-9)
        peer.tick()
    return peer


@scenario
def messages_come_in_parts_and_too_many_at_once() -> OvertePeer:
    peer = ClientPeer.recorded(limits={"ahead": 4, "messages": 1})
    peer.bind()
    peer.come_in()
    peer.say(control(HANDSHAKE, 700), DOMAIN)
    kind = PacketType.DOMAIN_SETTINGS
    peer.say((kind, b"{"), DOMAIN, part=Part(Position.FIRST, 5, 0), sequence=700, reliable=True)
    peer.say((kind, b"?"), DOMAIN, part=Part(Position.FIRST, 6, 0), sequence=702, reliable=True)
    peer.say((kind, b"?"), DOMAIN, part=Part(Position.ONLY, 7, 0), sequence=709, reliable=True)
    peer.say((kind, b"}"), DOMAIN, part=Part(Position.LAST, 5, 1), sequence=701, reliable=True)
    peer.say((kind, b"?"), DOMAIN, part=Part(Position.FIRST, 6, 0), sequence=702, reliable=True)
    peer.say(control(HANDSHAKE, 9), DOMAIN)
    peer.say((kind, b"?"), DOMAIN, part=Part(Position.FIRST, 8, 0), sequence=9, reliable=True)
    peer.list(session_id=b"t" * 16, local_id=7)
    return peer


@scenario
def a_long_message_goes_to_a_node() -> OvertePeer:
    peer = ClientPeer.recorded(limits={"window": 2})
    peer.bind()
    peer.come_in(record())
    pong(peer, p.PingType.PUBLIC, MIXER)
    peer.send_to_node(record().id, PacketType.AVATAR_QUERY, bytes(3000), peer.now, message=True)
    peer.shake(MIXER)
    peer.now += 0.125
    ack(peer, MIXER, 1)
    peer.now += 0.125
    ack(peer, MIXER, 2)
    return peer


# -- a domain server: who comes in -------------------------------------------------------------------------------------


OTHER = "203.0.113.8"


@scenario
def a_guest_comes_asks_again_checks_in_and_leaves() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    party.connect()
    party.connect()
    party.check_in()
    peer.now += 1.0
    party.check_in(interests=b"M", place_name="home")
    peer.say(p.DisconnectRequest(), PARTY, source=party.local_id)
    return peer


@scenario
def requests_that_get_no_answer() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    peer.say((CONNECT, b""), PARTY)
    peer.say((CONNECT, party.request().encode()[:-9]), PARTY)
    party.connect(local_socket=NULL_SOCK_ADDR)
    party.connect(node_type=NodeType.DOMAIN_SERVER)
    party.connect(node_type=NodeType.AUDIO_MIXER)
    party.connect()
    party.check_in()
    party.connect(machine_fingerprint=b"x" * 16)
    return peer


@scenario
def requests_of_another_protocol() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    peer.say((CONNECT, party.request().encode()), PARTY, version=26)
    party.connect(protocol_signature=bytes(16))
    return peer


@scenario
def one_host_asks_too_often() -> OvertePeer:
    peer = ServerPeer.recorded(limits={"connects": 2})
    for number in range(3):
        Party(peer, OTHER, 48000 + number).connect()
    Party(peer, OTHER, 48000).connect(protocol_signature=bytes(16))
    return peer


@scenario
def a_mixer_comes_with_its_assignment() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    guest = party.connect()
    peer.fails(lambda: peer.assign(ASSIGNMENT, NodeType.AGENT, peer.now))
    peer.assign(ASSIGNMENT, NodeType.AUDIO_MIXER, peer.now)
    mixer = {"node_type": NodeType.AUDIO_MIXER, "connect_id": ASSIGNMENT, "interests": b"I"}
    first = Party(peer, OTHER, 48001).connect(**mixer)
    party.check_in()
    peer.now += 6.0
    party.check_in()
    Party(peer, OTHER, 48001).connect(**mixer)
    peer.kick(first.session_id, peer.now)
    peer.kick(guest.session_id, peer.now)
    while peer.tick():
        pass
    return peer


@scenario
def a_username_is_proven() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    token = party.connect(username="Alice").token
    signature = crypto.sign_username(PRIVATE_KEY, "alice", token)
    party.connect(username="Alice", username_signature=signature)
    peer.provide_key("alice", PUBLIC_KEY, peer.now)
    party.connect(username="Alice", username_signature=bytes(256))
    party.connect(username="Alice", username_signature=signature)
    return peer


LOGIN = {"url": "https://login.example", "client_id": "client"}


@scenario
def the_domain_has_accounts_of_its_own() -> OvertePeer:
    peer = ServerPeer.recorded(policy={"anonymous": 0, "login": LOGIN, "accounts": {"bob": "access:refresh"}})
    party = Party(peer)
    party.connect()
    party.connect(domain_username="bob", domain_tokens="wrong")
    party.connect(domain_username="bob", domain_tokens="access:refresh")
    return peer


@scenario
def nobody_is_allowed_in() -> OvertePeer:
    peer = ServerPeer.recorded(policy={"anonymous": 0})
    party = Party(peer)
    party.connect()
    return peer


@scenario
def the_domain_is_full() -> OvertePeer:
    peer = ServerPeer.recorded(policy={"capacity": 1, "redirect": "elsewhere"})
    party = Party(peer)
    party.connect()
    Party(peer, OTHER, 48001).connect()
    return peer


@scenario
def there_are_no_more_local_ids() -> OvertePeer:
    peer = ServerPeer.recorded(limits={"nodes": 1})
    party = Party(peer)
    party.connect()
    Party(peer, OTHER, 48001).connect()
    return peer


@scenario
def the_policy_changes() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    party.connect()
    peer.change_policy(Policy(anonymous=0), peer.now)
    return peer


@scenario
def a_node_falls_silent() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    party.connect()
    peer.now += 4.0
    party.check_in()
    peer.tick()
    peer.tick()
    return peer


@scenario
def settings_are_asked_for_and_the_server_ends() -> OvertePeer:
    peer = ServerPeer.recorded(policy={"settings": '{"audio": 1}'})
    party = Party(peer)
    party.connect()
    peer.say(p.DomainSettingsRequest(2), PARTY, sequence=500, reliable=True)
    peer.say(control(HANDSHAKE, 500), PARTY)
    peer.say(p.DomainSettingsRequest(2), PARTY, sequence=500, reliable=True)
    peer.drain()
    number = peer.heard[PARTY, HANDSHAKE][-1]
    peer.say(control(HANDSHAKE_ACK, number), PARTY)
    peer.say(control(ACK, number), PARTY)
    peer.close(peer.now)
    return peer


# -- a domain server and its ice-server --------------------------------------------------------------------------------


def registering(**limits: int) -> ServerPeer:
    servers = [{"host": f"{name}.example", "port": 7337} for name in ("one", "two")]
    ice = {"servers": servers, "private_key": PRIVATE_KEY.hex()}
    peer = ServerPeer.recorded(ice=ice, limits={"beats": 1, "denials": 1, **limits})
    peer.socket_bound("udp", Address(DOMAIN.host, DOMAIN.port), 0.0)
    return peer


CLIENT_AT = p.ICEServerPeerInformation(CLIENT_ID, SockAddr(PARTY.host, PARTY.port), LOCAL)


@scenario
def a_domain_registers_and_pings_who_asks() -> OvertePeer:
    peer = registering()
    peer.looked_up(1, (Address(ICE_SERVER.host, ICE_SERVER.port),), 0.125)
    peer.now = 0.25
    peer.say(p.ICEServerHeartbeatACK(), ICE_SERVER)
    peer.tick()
    peer.say(p.ICEServerHeartbeatACK(), ICE_SERVER)
    peer.say(CLIENT_AT, ICE_SERVER)
    peer.tick()
    peer.say(CLIENT_AT, ICE_SERVER)
    peer.say(p.ICEPing(CLIENT_ID, p.PingType.PUBLIC), PARTY)
    peer.say(p.ICEPingReply(CLIENT_ID, p.PingType.PUBLIC), PARTY)
    peer.say(p.ICEServerHeartbeatDenied(), ICE_SERVER)
    peer.say(p.ICEServerHeartbeatDenied(), ICE_SERVER)
    return peer


@scenario
def ice_servers_do_not_answer() -> OvertePeer:
    peer = registering()
    peer.looked_up(1, (), 0.125)
    peer.now = 0.125
    peer.tick()
    peer.looked_up(2, (Address(ICE_SERVER.host, ICE_SERVER.port),), peer.now)
    for _ in range(3):
        peer.tick()
    return peer


# -- an ice-server -----------------------------------------------------------------------------------------------------


def heartbeat(number: int = 1, *, sign: bool = False) -> p.ICEServerHeartbeat:
    own = SockAddr("198.51.100.1", 40101 + number)
    beat = p.ICEServerHeartbeat(bytes([number]) * 16, own, own, b"")
    return attrs.evolve(beat, signature=crypto.sign(PRIVATE_KEY, beat.signed)) if sign else beat


def query(wanted: int = 1, client: int = 0xC1) -> p.ICEServerQuery:
    return p.ICEServerQuery(bytes([client]) * 16, SockAddr(PARTY.host, PARTY.port), LOCAL, bytes([wanted]) * 16)


@scenario
def an_ice_server_introduces_a_client_and_a_domain() -> OvertePeer:
    peer = OvertePeer.recorded(limits={"peers": 2})
    peer.say(heartbeat(), DOMAIN)
    peer.say(query(), PARTY)
    peer.now += 1.0
    peer.say(heartbeat(), DOMAIN)
    peer.say(query(), PARTY)
    peer.say(heartbeat(), STRANGER)
    peer.say(query(), STRANGER)
    peer.say(query(client=0xC2), STRANGER)
    peer.say(heartbeat(2), STRANGER)
    peer.say(heartbeat(0xC1), STRANGER)
    while peer.tick():
        pass
    peer.close(peer.now)
    return peer


@scenario
def an_ice_server_checks_signatures() -> OvertePeer:
    peer = OvertePeer.recorded(keys={})
    peer.say(heartbeat(sign=True), DOMAIN)
    peer.provide_key(bytes([1]) * 16, PUBLIC_KEY, peer.now)
    peer.say(heartbeat(), DOMAIN)
    peer.say(heartbeat(sign=True), DOMAIN)
    return peer


# -- who is heard ------------------------------------------------------------------------------------------------------


@scenario
def packets_that_a_client_does_not_take() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record(), record("A", number=2, secret=bytes(16)))
    mixer, other = (Path("udp", "198.51.100.10", port) for port in (40110, 40111))
    ping, settings = p.Ping(p.PingType.PUBLIC, CLOCK, 0), (PacketType.DOMAIN_SETTINGS, b"{}")
    peer.say(ping, mixer, source=4663, secret=SECRET)
    peer.say(ping, other, source=4662, secret=SECRET)
    peer.say(ping, mixer, source=4661, secret=bytes(15) + b"?")
    peer.say(ping, mixer, source=4661, secret=SECRET, version=17)
    peer.say(settings, DOMAIN, part=Part(Position.ONLY, 1, 0))
    peer.say(ping, mixer, source=4661, secret=SECRET, part=Part(Position.ONLY, 1, 0))
    peer.say(control(HANDSHAKE, 1), STRANGER)
    peer.say(control(ACK, 1), STRANGER)
    peer.say(settings, STRANGER, sequence=1, reliable=True)
    peer.say(ping, mixer, source=4661, secret=SECRET)
    return peer


# -- what is dropped ---------------------------------------------------------------------------------------------------


@scenario
def strangers_speak_as_an_ice_server_and_as_a_client() -> OvertePeer:
    peer = registering(punches=1)
    peer.looked_up(1, (Address(ICE_SERVER.host, ICE_SERVER.port),), 0.125)
    peer.now = 0.25
    for packet in (p.ICEServerHeartbeatACK(), p.ICEServerHeartbeatDenied(), CLIENT_AT):
        peer.say(packet, STRANGER)
    peer.say(CLIENT_AT, ICE_SERVER)
    peer.say(attrs.evolve(CLIENT_AT, id=b"x" * 16), ICE_SERVER)
    peer.say(p.ICEPingReply(CLIENT_ID, p.PingType.PUBLIC), STRANGER)
    return peer


@scenario
def an_ice_server_is_asked_in_vain() -> OvertePeer:
    peer = OvertePeer.recorded()
    peer.say(query(), PARTY)
    peer.say(heartbeat(), DOMAIN)
    peer.say(query(client=0xC2), DOMAIN)
    return peer


@scenario
def a_guest_asks_for_what_not_everybody_gets() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    guest = party.connect()
    kick = p.NodeKickRequest(guest.session_id, 1)
    peer.say(kick, PARTY, source=guest.local_id)
    peer.change_policy(Policy(anonymous=int(p.Permissions.CONNECT | p.Permissions.KICK)), peer.now)
    peer.say(kick, PARTY, source=guest.local_id)
    peer.say(p.NodeKickRequest(record().id, 1), PARTY, source=guest.local_id)
    peer.say(p.PathQuery("/"), PARTY)
    peer.say(p.PathQuery("nowhere"), PARTY)
    return peer


@scenario
def strangers_speak_as_the_domain_and_the_domain_speaks_rubbish() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    said: tuple[p.OvertePacket, ...] = (
        domain_list(record()),
        p.DomainConnectionDenied(p.DenialReason.UNKNOWN, "go", ""),
        p.ConnectionToken(b"t" * 16),
        p.AddedNode.decode(record("W", number=2).encode()),
        p.RemovedNode(record().id),
        p.PathResponse("/", "/0,0,0/0,0,0,1"),
        p.DomainSettings(b"{}"),
    )
    for packet in said:
        peer.say(packet, STRANGER)
        peer.say((packet, b"\xff"), DOMAIN)
    for packet in said[3:]:
        peer.say(packet, DOMAIN)
    peer.say(p.DomainSettings(b"{}"), DOMAIN)
    peer.say(p.RemovedNode(bytes(16)), DOMAIN)
    return peer


@scenario
def packets_for_the_application() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record(), record("B", number=2))
    upstream = Path("udp", "198.51.100.10", 40111)
    for path in (upstream, MIXER, STRANGER):
        peer.say((PacketType.REPLICATED_INJECT_AUDIO, b"sound"), path)
    for path in (MIXER, STRANGER):
        peer.say((PacketType.NODE_JSON_STATS, b"{}"), path, source=4661)
        peer.say((PacketType.MIXED_AUDIO, b"sound"), path, source=4661, secret=SECRET)
        peer.say((PacketType.PING, b"\xff"), path, source=4661, secret=SECRET)
        peer.say((PacketType.PING_REPLY, b"\xff"), path, source=4661, secret=SECRET)
    peer.say((PacketType.ASSET_GET, b"hash"), DOMAIN, source=4242)
    peer.say((PacketType.NODE_JSON_STATS, b"{}"), DOMAIN, source=4242)
    return peer


@scenario
def a_list_and_a_node_come_before_anything_was_asked() -> OvertePeer:
    peer = with_stun()
    peer.list()
    peer.say(p.AddedNode.decode(record().encode()), DOMAIN)
    peer.bind(Address("192.168.1.24", 48002))
    peer.tick()
    peer.find(STUN_SERVER, 2)
    peer.receive_datagram(b"\1\1", STUN_SERVER, peer.now)
    nobodys = BindingResponse(12, b"x" * 12, bytes.fromhex("002000080001") + bytes(6))
    peer.receive_datagram(nobodys.encode(), STUN_SERVER, peer.now)
    peer.bind(Address("192.168.1.24", 48003))
    answer_stun(peer)
    peer.list()
    return peer


@scenario
def strangers_speak_as_an_ice_server_and_as_a_domain() -> OvertePeer:
    ice = {"host": "ice.example", "domain_id": DOMAIN_ID.hex(), "client_id": CLIENT_ID.hex()}
    peer = ClientPeer.recorded(ice=ice)
    peer.connect(0.0)
    peer.find(ICE_SERVER)
    peer.tick()
    peer.bind()
    for said in (WHERE, attrs.evolve(WHERE, id=b"x" * 16), (PacketType.ICE_SERVER_PEER_INFORMATION, b"\xff")):
        peer.say(said, STRANGER)
        peer.say(said, ICE_SERVER)
    for packet in (p.ICEPing, p.ICEPingReply):
        peer.say(packet(b"x" * 16, p.PingType.PUBLIC), DOMAIN)
        peer.say((packet, b"\xff"), DOMAIN)
    peer.bind(Address("192.168.1.24", 48002))
    peer.close(peer.now)
    return peer


@scenario
def a_node_and_strangers_speak_rubbish_to_a_domain() -> OvertePeer:
    peer = registering()
    peer.looked_up(1, (Address(ICE_SERVER.host, ICE_SERVER.port),), 0.125)
    party = Party(peer)
    party.connect()
    for packet in (p.DomainListRequest, p.NodeKickRequest, p.UsernameFromIDRequest, p.AddedNode):
        peer.say((packet, b"\xff"), PARTY, source=party.local_id)
    for packet in (p.PathQuery, p.DomainSettingsRequest, p.ICEPing, p.ICEPingReply, p.ConnectionToken):
        peer.say((packet, b""), PARTY)
    peer.say((PacketType.ICE_SERVER_PEER_INFORMATION, b"\xff"), ICE_SERVER)
    peer.say((PacketType.NODE_JSON_STATS, b"{}"), PARTY, source=party.local_id)
    peer.say(p.UsernameFromIDRequest(party.node_id), PARTY, source=party.local_id)
    peer.say(p.ICEPing(CLIENT_ID, p.PingType.PUBLIC), STRANGER)
    return peer


@scenario
def an_ice_server_hears_rubbish() -> OvertePeer:
    peer = OvertePeer.recorded()
    for packet in (p.ICEServerHeartbeat, p.ICEServerQuery, p.ICEPing):
        peer.say((packet, b"\xff"), STRANGER)
    return peer


@scenario
def a_guest_is_kicked_for_good_and_names_are_told() -> OvertePeer:
    peer = ServerPeer.recorded()
    guest, other = Party(peer, machine_fingerprint=b"a guest's laptop"), Party(peer, OTHER)
    guest.connect()
    other.connect()
    peer.say(p.UsernameFromIDRequest(guest.node_id), guest.path, source=guest.local_id)
    peer.answer_username(guest.node_id, guest.node_id, peer.now)
    peer.answer_username(other.node_id, guest.node_id, peer.now)
    peer.kick(guest.node_id, peer.now, ban=p.USUAL_BAN)
    peer.answer_username(other.node_id, guest.node_id, peer.now)
    peer.now += 8.0
    guest.connect()
    return peer


@scenario
def a_client_asks_who_others_are_and_has_one_kicked() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    peer.shake()
    peer.ask_username(record().id, peer.now)
    live_until(peer, 1.5)
    peer.say(p.UsernameFromIDReply(record().id, "", bytes(16), False), DOMAIN)
    peer.say(p.UsernameFromIDReply(record().id, "", bytes(16), False), DOMAIN)
    peer.say(p.UsernameFromIDReply(record().id, "", bytes(16), False), STRANGER)
    peer.say((PacketType.USERNAME_FROM_ID_REPLY, b"\xff"), DOMAIN)
    peer.ask_username(bytes(16), peer.now)
    peer.kick(record().id, peer.now)
    peer.send_to_domain(PacketType.NODE_JSON_STATS, b"{}", peer.now)
    for second in range(2, 8):
        live_until(peer, float(second))
        peer.list(record(), new_connection=False)
    return peer


# -- addresses, patience, nodes, settings and names ------------------------------------------------------------------


@scenario
def a_name_with_several_addresses_and_another_one_after_silence() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind(Address("::", 48001))
    peer.connect(0.0)
    addresses = Address("2001:db8::1", 40102), Address("198.51.100.3", 40102), Address(DOMAIN.host, DOMAIN.port)
    peer.looked_up(1, addresses, 0.125)
    peer.looked_up(3, (Address(US.host, 0),), 0.125)
    peer.tick()
    peer.list()
    while peer.phase.name == "OPEN":
        peer.tick()
    moved = Path("udp", "198.51.100.9", 40102)
    peer.find(moved)
    peer.tick()
    peer.list(path=moved)
    peer.find(DOMAIN)
    return peer


@scenario
def a_patient_client_looks_for_a_name_again_and_again() -> OvertePeer:
    peer = ClientPeer.recorded(delays={"give_up": None})
    peer.bind(Address("0.0.0.0", 48001))
    peer.connect(0.0)
    peer.looked_up(1, (), 0.125)
    peer.tick()
    peer.find()
    peer.tick()
    peer.list()
    return peer


@scenario
def ids_that_change_in_a_burst_are_told_once() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    for number in range(3):
        peer.now += 0.125
        peer.list(record(), session_id=bytes([number]) * 16, local_id=number)
        peer.list(record(), session_id=bytes([number]) * 16, local_id=number)
    peer.say(p.AddedNode.decode(record().encode()))
    while peer.tick() and peer.connection.state is ConnectionState.SETTLING:
        pass
    peer.list(record(), session_id=bytes([2]) * 16, local_id=2)
    return peer


@scenario
def a_domain_that_an_ice_server_told_of_falls_silent() -> OvertePeer:
    peer = by_ice()
    peer.find(ICE_SERVER)
    for step in range(2):
        peer.say(WHERE, ICE_SERVER)
        peer.say(p.ICEPingReply(DOMAIN_ID, p.PingType.PUBLIC), DOMAIN)
        if not step:
            peer.list()
        while peer.domain is not None:
            peer.tick()
        peer.find(ICE_SERVER)
    return peer


@scenario
def a_router_gives_a_node_other_ports() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    for number in range(1, 3):
        path = Path("udp", STRANGER.host, number)
        peer.say(p.Ping(p.PingType.PUBLIC, number, 0), path, source=4661, secret=SECRET)
        live_until(peer, peer.now + 0.3)
        pong(peer, p.PingType.SYMMETRIC, path)
        live_until(peer, 3.5)
    return peer


@scenario
def a_list_that_was_under_way_revives_nobody() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in(record())
    peer.list(record(), client_clock=CLOCK + 1)
    peer.say(p.RemovedNode(record().id), DOMAIN)
    peer.list(record(), client_clock=CLOCK + 1)
    peer.say(p.AddedNode.decode(record().encode()), DOMAIN)
    peer.list(record("W", number=2), client_clock=CLOCK)
    return peer


@scenario
def a_record_that_does_not_decode_and_a_browser() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in()
    bad = record(number=2).encode()
    far = SockAddr(STRANGER.host, 7, kind=2)
    browser = record("I", number=3, public_socket=far, local_socket=far)
    records = bad[:37] + b"\x02" + bad[38:] + browser.encode() + bad[:-1]
    peer.say((PacketType.DOMAIN_LIST, domain_list(record()).encode() + records), DOMAIN)
    peer.list(attrs.evolve(browser, permissions=1))
    peer.say(p.RemovedNode(browser.id), DOMAIN)
    return peer


@scenario
def settings_are_asked_for_one_after_the_other() -> OvertePeer:
    peer = ClientPeer.recorded()
    peer.bind()
    peer.come_in()
    peer.request_settings(AssignmentType.ALL, peer.now)
    peer.request_settings(AssignmentType.AUDIO_MIXER, peer.now)
    peer.shake()
    live_until(peer, 5.5)
    peer.say(p.DomainSettings(b'"late"'), DOMAIN)
    peer.say(p.DomainSettings(b'"of all"'), DOMAIN)
    live_until(peer, 16.5)
    peer.request_settings(AssignmentType.ALL, peer.now)
    live_until(peer, 22.0)
    peer.list(session_id=b"t" * 16)
    return peer


@scenario
def a_host_shows_too_many_bad_signatures() -> OvertePeer:
    peer = ServerPeer.recorded(limits={"signatures": 3, "connects": 2})
    peer.provide_key("alice", PUBLIC_KEY, peer.now)
    for number in range(4):
        Party(peer, OTHER, 48000 + number).connect(username="alice", username_signature=bytes(256))
    return peer


@scenario
def without_a_list_of_users_a_name_is_a_guests() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    token = party.connect(username="Alice").token
    signature = crypto.sign_username(PRIVATE_KEY, "alice", token)
    party.connect(username="Alice", username_signature=signature)
    peer.now += 2.0
    party.connect(username="Alice", username_signature=signature)
    return peer


@scenario
def a_machine_takes_the_place_of_one_that_is_silent() -> OvertePeer:
    peer = ServerPeer.recorded()
    party = Party(peer)
    party.connect()
    party.check_in()
    for _ in range(2):
        party.connect(machine_fingerprint=b"another machine.")
        peer.now += 3.0
    return peer


@scenario
def a_node_asks_on_and_on_and_acknowledges_nothing() -> OvertePeer:
    peer = ServerPeer.recorded(limits={"answers": 1})
    Party(peer).connect()
    peer.say(control(HANDSHAKE, 500), PARTY)
    questions = (p.PathQuery("/"), p.DomainSettingsRequest(2)) * 2
    for number, question in enumerate(questions, 500):
        peer.say(question, PARTY, sequence=number, reliable=True)
    peer.drain()
    first = peer.heard[PARTY, HANDSHAKE][-1]
    peer.say(control(HANDSHAKE_ACK, first), PARTY)
    peer.say(control(ACK, first), PARTY)
    for number, question in enumerate(questions, 504):
        peer.say(question, PARTY, sequence=number, reliable=True)
    return peer


if __name__ == "__main__":
    scenario.write()
