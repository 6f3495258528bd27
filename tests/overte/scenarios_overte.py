"""The conversations of ``vectors/overte/sessions.json``: one party, one script each, recorded from our own machines.

They hit every row and step. ``python tests/overte/scenarios_overte.py`` writes the file again; the same code gives the
same file, byte by byte. All delays and limits stand in each ``config``: times in milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path as File

import attrs
from hands import EPOCH, GUEST, GUEST_LOCAL, PRIVATE_KEY, PUBLIC_KEY, TYPES, ClientHand, IceHand, ServerHand
from rig import DOMAIN, DOMAIN_ID, MIXER, MIXER_LOCAL, SECRET, STRANGER, domain_list, record

from sansproto import __version__
from sansproto.contract import Address, Path
from sansproto.overte import AssignmentType, NodeType, Policy, crypto
from sansproto.overte import packets as p
from sansproto.overte.header import ControlType, Part, Position
from sansproto.overte.qt import NULL_SOCK_ADDR, SockAddr
from sansproto.overte.stun import COOKIE, BindingResponse
from sansproto.overte.versions import PacketType
from sansproto.testing import staging
from sansproto.testing.charts import write_json
from sansproto.testing.staging import Config, Stage

PATH = File(__file__).parents[2] / "vectors" / "overte" / "sessions.json"
ACK, HANDSHAKE, HANDSHAKE_ACK, HANDSHAKE_REQUEST = ControlType
CONNECT = PacketType.DOMAIN_CONNECT_REQUEST
ICE_SERVER = Path("udp", "198.51.100.2", 7337)
STUN_SERVER = Path("udp", "198.51.100.3", 3478)
CLIENT_ID = b"c" * 16
ASSIGNMENT = b"a" * 16
SCENARIOS: list[Callable[[], Stage]] = []


def scenario(function: Callable[[], Stage]) -> Callable[[], Stage]:
    SCENARIOS.append(function)
    return function


# -- a client and its domain -------------------------------------------------------------------------------------------


@scenario
def a_client_comes_in_checks_in_and_leaves() -> Stage:
    stage = ClientHand()
    stage.fails(lambda: stage.refresh(0.0))
    stage.go()
    stage.fails(lambda: stage.connect(stage.now))
    stage.list()
    stage.tick()
    stage.wait(0.125)
    stage.list(new_connection=False, permissions=7)
    stage.refresh(stage.now)
    stage.list(domain_id=b"e" * 16)
    stage.say(p.DomainConnectionDenied(3, "late", ""), DOMAIN)
    stage.say(p.ConnectionToken(b"t" * 16), DOMAIN)
    stage.list(session_id=b"t" * 16, local_id=7)
    stage.close(stage.now)
    stage.close(stage.now)
    return stage


@scenario
def the_name_of_the_domain_is_unknown() -> Stage:
    stage = ClientHand()
    stage.bind()
    stage.connect(0.0)
    stage.looked_up(1, (), 0.125)
    return stage


@scenario
def the_name_of_the_domain_is_never_answered() -> Stage:
    stage = ClientHand()
    stage.bind()
    stage.connect(0.0)
    stage.tick()
    return stage


@scenario
def a_client_changes_its_mind() -> Stage:
    stage = ClientHand()
    stage.connect(0.0)
    stage.close(0.125)
    return stage


@scenario
def the_socket_is_bound_later() -> Stage:
    stage = ClientHand()
    stage.connect(0.0)
    stage.find()
    stage.tick()
    stage.bind()
    stage.list()
    return stage


@scenario
def no_domain_ever_answers() -> Stage:
    stage = ClientHand()
    stage.go()
    stage.rest()
    return stage


@scenario
def a_domain_that_says_no() -> Stage:
    stage = ClientHand()
    stage.go()
    stage.say(p.DomainConnectionDenied(p.DenialReason.TOO_MANY_USERS, "full", "elsewhere"), DOMAIN)
    stage.rest()
    return stage


@scenario
def the_domain_falls_silent_and_comes_back() -> Stage:
    stage = ClientHand()
    stage.come_in(record())
    stage.ask_path("/", stage.now)
    while stage.phase.name == "OPEN":
        stage.tick()
    stage.tick()
    stage.list(session_id=b"t" * 16, local_id=7)
    return stage


@scenario
def a_user_signs_a_token() -> Stage:
    stage = ClientHand(username="Alice", private_key=PRIVATE_KEY.hex())
    stage.go()
    stage.wait(0.125)
    stage.say(p.ConnectionToken(b"a token to sign."), DOMAIN)
    stage.list()
    return stage


@scenario
def the_client_moves() -> Stage:
    stage = ClientHand()
    stage.come_in()
    stage.wait(0.125)
    stage.bind(Address("192.168.1.24", 48002))
    return stage


# -- its public address ------------------------------------------------------------------------------------------------


def with_stun() -> ClientHand:
    stage = ClientHand(stun={"host": "stun.example", "port": 3478})
    stage.go()
    return stage


def answer_stun(stage: ClientHand, port: int = 48001) -> None:
    transaction = [draw.data for draw in stage.entropy.draws if draw.purpose == "stun.transaction"][-1]
    plain = port.to_bytes(2, "big"), bytes((203, 0, 113, 7))
    masked = b"".join(bytes(a ^ b for a, b in zip(part, COOKIE, strict=False)) for part in plain)
    stage.wait(0.125)
    stage.receive_datagram(
        BindingResponse(12, transaction, bytes.fromhex("002000080001") + masked).encode(), STUN_SERVER, stage.now
    )


@scenario
def a_client_asks_for_its_public_address() -> Stage:
    stage = with_stun()
    stage.tick()
    stage.find(STUN_SERVER, 2)
    stage.tick()
    answer_stun(stage)
    stage.list()
    stage.live(12.0)
    answer_stun(stage, 48002)
    return stage


@scenario
def the_stun_server_does_not_answer() -> Stage:
    stage = with_stun()
    stage.find(STUN_SERVER, 2)
    for _ in range(16):
        stage.tick()
    return stage


@scenario
def the_stun_server_has_no_name() -> Stage:
    stage = with_stun()
    stage.looked_up(2, (), stage.now)
    stage.list()
    stage.live(11.0)
    return stage


@scenario
def the_name_of_the_stun_server_is_never_answered() -> Stage:
    stage = with_stun()
    for _ in range(11):
        stage.tick()
    return stage


# -- by an ice-server --------------------------------------------------------------------------------------------------


def by_ice() -> ClientHand:
    ice = {"host": "ice.example", "domain_id": DOMAIN_ID.hex(), "client_id": CLIENT_ID.hex()}
    stage = ClientHand(ice=ice)
    stage.bind()
    stage.connect(0.0)
    return stage


WHERE = p.ICEServerPeerInformation(DOMAIN_ID, SockAddr(DOMAIN.host, DOMAIN.port), SockAddr("10.0.0.1", 40102))


@scenario
def an_ice_server_leads_to_the_domain() -> Stage:
    stage = by_ice()
    stage.find(ICE_SERVER)
    stage.tick()
    stage.say(WHERE, ICE_SERVER)
    for _ in range(8):
        stage.tick()
    stage.tick()
    stage.say(WHERE, ICE_SERVER)
    stage.say(p.ICEPing(DOMAIN_ID, p.PingType.PUBLIC), DOMAIN)
    stage.wait(0.125)
    stage.say(p.ICEPingReply(DOMAIN_ID, p.PingType.PUBLIC), DOMAIN)
    stage.list()
    return stage


@scenario
def the_ice_server_does_not_know_the_domain() -> Stage:
    stage = by_ice()
    stage.find(ICE_SERVER)
    stage.rest()
    return stage


# -- other nodes -------------------------------------------------------------------------------------------------------


@scenario
def a_node_is_reached_and_measured() -> Stage:
    stage = ClientHand()
    stage.come_in(record())
    stage.tick()
    stage.pong(p.PingType.PUBLIC, MIXER)
    stage.ping(MIXER, 5)
    stage.ping(MIXER, 5)
    stage.pong(p.PingType.LOCAL, MIXER_LOCAL)
    stage.tick()
    stage.live(2.5)
    stage.pong(p.PingType.AGNOSTIC, MIXER_LOCAL)
    stage.pong(p.PingType.AGNOSTIC, MIXER_LOCAL, clock=1)
    stage.send_to_node(record().id, PacketType.AVATAR_QUERY, b"look", stage.now)
    stage.list(record(), new_connection=False)
    stage.list(record(permissions=1), new_connection=False)
    return stage


@scenario
def both_sockets_of_a_node_work() -> Stage:
    stage = ClientHand()
    stage.come_in(record())
    stage.wait(0.125)
    stage.pong(p.PingType.LOCAL, MIXER_LOCAL)
    stage.pong(p.PingType.PUBLIC, MIXER)
    stage.list(record(local_socket=SockAddr("10.0.0.11", 40110)), new_connection=False)
    return stage


@scenario
def a_node_began_again() -> Stage:
    stage = ClientHand()
    stage.come_in(record())
    stage.ping(MIXER, 5, 1)
    return stage


@scenario
def a_node_is_replaced_and_its_successor_falls_silent() -> Stage:
    stage = ClientHand()
    stage.come_in(record())
    stage.list(record(number=2), new_connection=False)
    stage.live(3.0)
    stage.say(p.Ping(2, 7, 0), Path("udp", "198.51.100.10", 40111), source=4662, secret=SECRET)
    stage.live(21.0)
    return stage


# -- what must arrive --------------------------------------------------------------------------------------------------


@scenario
def questions_are_answered_over_the_reliable_channel() -> Stage:
    stage = ClientHand()
    stage.come_in(record())
    stage.ask_path("/", stage.now)
    stage.tick()
    stage.control(HANDSHAKE_ACK, DOMAIN, 1)
    stage.shake()
    stage.ask_path("/there", stage.now)
    stage.wait(0.125)
    stage.ack()
    stage.ack()
    stage.ack(step=2)
    stage.reliably(700, p.DomainSettings(b"{}"), DOMAIN)
    stage.control(HANDSHAKE, DOMAIN, 700)
    stage.control(HANDSHAKE, DOMAIN, 700)
    stage.reliably(700, p.DomainSettings(b"{}"), DOMAIN)
    stage.reliably(702, p.PathResponse("/", "/0,0,0/0,0,0,1"), DOMAIN)
    stage.reliably(702, p.PathResponse("/", "/0,0,0/0,0,0,1"), DOMAIN)
    stage.reliably(701, p.RemovedNode(record().id), DOMAIN)
    stage.request_settings(AssignmentType.ALL, stage.now)
    stage.wait(0.125)
    stage.ack(step=3)
    stage.control(HANDSHAKE_REQUEST, DOMAIN)
    stage.ask_path("/where", stage.now)
    stage.close(stage.now)
    return stage


@scenario
def nothing_is_answered() -> Stage:
    stage = ClientHand()
    stage.come_in()
    stage.shake()
    stage.tick()
    stage.control(HANDSHAKE_REQUEST, DOMAIN)
    stage.shake()
    stage.live(17.0)
    return stage


@scenario
def the_domain_counts_otherwise() -> Stage:
    stage = ClientHand()
    stage.come_in()
    stage.shake()
    for _ in range(6):
        stage.ack(step=-9)
        stage.tick()
    return stage


@scenario
def messages_come_in_parts_and_too_many_at_once() -> Stage:
    stage = ClientHand(limits={"ahead": 4, "messages": 1})
    stage.come_in()
    stage.control(HANDSHAKE, DOMAIN, 700)
    kind = PacketType.DOMAIN_SETTINGS
    stage.reliably(700, (kind, b"{"), DOMAIN, part=Part(Position.FIRST, 5, 0))
    stage.reliably(702, (kind, b"?"), DOMAIN, part=Part(Position.FIRST, 6, 0))
    stage.reliably(709, (kind, b"?"), DOMAIN, part=Part(Position.ONLY, 7, 0))
    stage.reliably(701, (kind, b"}"), DOMAIN, part=Part(Position.LAST, 5, 1))
    stage.reliably(702, (kind, b"?"), DOMAIN, part=Part(Position.FIRST, 6, 0))
    stage.control(HANDSHAKE, DOMAIN, 9)
    stage.reliably(9, (kind, b"?"), DOMAIN, part=Part(Position.FIRST, 8, 0))
    stage.list(session_id=b"t" * 16, local_id=7)
    return stage


@scenario
def a_long_message_goes_to_a_node() -> Stage:
    stage = ClientHand(limits={"window": 2})
    stage.come_in(record())
    stage.pong(p.PingType.PUBLIC, MIXER)
    stage.send_to_node(record().id, PacketType.AVATAR_QUERY, bytes(3000), stage.now, message=True)
    stage.shake(MIXER)
    stage.wait(0.125)
    stage.ack(MIXER, 1)
    stage.wait(0.125)
    stage.ack(MIXER, 2)
    return stage


# -- a domain server: who comes in -------------------------------------------------------------------------------------


def other(number: int, host: str = "203.0.113.8") -> Path:
    return Path("udp", host, 48000 + number)


@scenario
def a_guest_comes_asks_again_checks_in_and_leaves() -> Stage:
    stage = ServerHand()
    stage.enter()
    stage.ask()
    stage.check_in()
    stage.wait(1.0)
    stage.check_in(interests=b"M", place_name="home")
    stage.say(p.DisconnectRequest(), GUEST, source=stage.list_of().local_id)
    return stage


@scenario
def requests_that_get_no_answer() -> Stage:
    stage = ServerHand()
    stage.say((CONNECT, b""), GUEST)
    stage.say((CONNECT, stage.request().encode()[:-9]), GUEST)
    stage.ask(local_socket=NULL_SOCK_ADDR)
    stage.ask(node_type=NodeType.DOMAIN_SERVER)
    stage.ask(node_type=NodeType.AUDIO_MIXER)
    stage.enter()
    stage.check_in()
    stage.ask(machine_fingerprint=b"x" * 16)
    return stage


@scenario
def requests_of_another_protocol() -> Stage:
    stage = ServerHand()
    stage.say((CONNECT, stage.request().encode()), GUEST, version=26)
    stage.ask(protocol_signature=bytes(16))
    return stage


@scenario
def one_host_asks_too_often() -> Stage:
    stage = ServerHand(limits={"connects": 2})
    for number in range(3):
        stage.ask(other(number))
    return stage


@scenario
def a_mixer_comes_with_its_assignment() -> Stage:
    stage = ServerHand()
    guest = stage.enter()
    stage.fails(lambda: stage.assign(ASSIGNMENT, NodeType.AGENT, stage.now))
    stage.assign(ASSIGNMENT, NodeType.AUDIO_MIXER, stage.now)
    mixer = {"node_type": NodeType.AUDIO_MIXER, "connect_id": ASSIGNMENT, "interests": b"I"}
    first = stage.enter(other(1), **mixer)
    stage.check_in()
    stage.wait(6.0)
    stage.check_in()
    stage.enter(other(1), **mixer)
    stage.fails(lambda: stage.kick(first.session_id, stage.now))
    stage.kick(guest.session_id, stage.now)
    stage.rest()
    return stage


@scenario
def a_username_is_proven() -> Stage:
    stage = ServerHand()
    stage.ask(username="Alice")
    token = stage.said(PacketType.DOMAIN_SERVER_CONNECTION_TOKEN)[0]
    signature = crypto.sign_username(PRIVATE_KEY, "alice", token)
    stage.ask(username="Alice", username_signature=signature)
    stage.provide_key("alice", PUBLIC_KEY, stage.now)
    stage.ask(username="Alice", username_signature=bytes(256))
    stage.enter(username="Alice", username_signature=signature)
    return stage


LOGIN = {"url": "https://login.example", "client_id": "client"}


@scenario
def the_domain_has_accounts_of_its_own() -> Stage:
    stage = ServerHand(policy={"anonymous": 0, "login": LOGIN, "accounts": {"bob": "access:refresh"}})
    stage.ask()
    stage.ask(domain_username="bob", domain_tokens="wrong")
    stage.enter(domain_username="bob", domain_tokens="access:refresh")
    return stage


@scenario
def nobody_is_allowed_in() -> Stage:
    stage = ServerHand(policy={"anonymous": 0})
    stage.ask()
    return stage


@scenario
def the_domain_is_full() -> Stage:
    stage = ServerHand(policy={"capacity": 1, "redirect": "elsewhere"})
    stage.enter()
    stage.ask(other(1))
    return stage


@scenario
def there_are_no_more_local_ids() -> Stage:
    stage = ServerHand(limits={"nodes": 1})
    stage.enter()
    stage.ask(other(1))
    return stage


@scenario
def the_policy_changes() -> Stage:
    stage = ServerHand()
    stage.enter()
    stage.change_policy(Policy(anonymous=0), stage.now)
    return stage


@scenario
def a_node_falls_silent() -> Stage:
    stage = ServerHand()
    stage.enter()
    stage.wait(4.0)
    stage.check_in()
    stage.tick()
    stage.tick()
    return stage


@scenario
def settings_are_asked_for_and_the_server_ends() -> Stage:
    stage = ServerHand(policy={"settings": '{"audio": 1}'})
    stage.enter()
    stage.reliably(500, p.DomainSettingsRequest(2), GUEST)
    stage.control(HANDSHAKE, GUEST, 500)
    stage.reliably(500, p.DomainSettingsRequest(2), GUEST)
    number = stage.said(HANDSHAKE)
    stage.control(HANDSHAKE_ACK, GUEST, number)
    stage.control(ACK, GUEST, number)
    stage.close(stage.now)
    return stage


# -- a domain server and its ice-server --------------------------------------------------------------------------------


def registering(**limits: int) -> ServerHand:
    servers = [{"host": f"{name}.example", "port": 7337} for name in ("one", "two")]
    ice = {"servers": servers, "private_key": PRIVATE_KEY.hex()}
    stage = ServerHand(ice=ice, limits={"beats": 1, "denials": 1, **limits})
    stage.socket_bound("udp", Address(DOMAIN.host, DOMAIN.port), 0.0)
    return stage


CLIENT_AT = p.ICEServerPeerInformation(CLIENT_ID, SockAddr(GUEST.host, GUEST.port), GUEST_LOCAL)


@scenario
def a_domain_registers_and_pings_who_asks() -> Stage:
    stage = registering()
    stage.looked_up(1, (Address(ICE_SERVER.host, ICE_SERVER.port),), 0.125)
    stage.now = 0.25
    stage.say(p.ICEServerHeartbeatACK(), ICE_SERVER)
    stage.tick()
    stage.say(p.ICEServerHeartbeatACK(), ICE_SERVER)
    stage.say(CLIENT_AT, ICE_SERVER)
    stage.tick()
    stage.say(CLIENT_AT, ICE_SERVER)
    stage.say(p.ICEPing(CLIENT_ID, p.PingType.PUBLIC), GUEST)
    stage.say(p.ICEPingReply(CLIENT_ID, p.PingType.PUBLIC), GUEST)
    stage.say(p.ICEServerHeartbeatDenied(), ICE_SERVER)
    stage.say(p.ICEServerHeartbeatDenied(), ICE_SERVER)
    return stage


@scenario
def ice_servers_do_not_answer() -> Stage:
    stage = registering()
    stage.looked_up(1, (), 0.125)
    stage.now = 0.125
    stage.tick()
    stage.looked_up(2, (Address(ICE_SERVER.host, ICE_SERVER.port),), stage.now)
    for _ in range(3):
        stage.tick()
    return stage


# -- an ice-server -----------------------------------------------------------------------------------------------------


def heartbeat(number: int = 1, *, sign: bool = False) -> p.ICEServerHeartbeat:
    own = SockAddr("198.51.100.1", 40101 + number)
    beat = p.ICEServerHeartbeat(bytes([number]) * 16, own, own, b"")
    return attrs.evolve(beat, signature=crypto.sign(PRIVATE_KEY, beat.signed)) if sign else beat


def query(wanted: int = 1, client: int = 0xC1) -> p.ICEServerQuery:
    return p.ICEServerQuery(bytes([client]) * 16, SockAddr(GUEST.host, GUEST.port), GUEST_LOCAL, bytes([wanted]) * 16)


@scenario
def an_ice_server_introduces_a_client_and_a_domain() -> Stage:
    stage = IceHand(limits={"peers": 2})
    stage.say(heartbeat(), DOMAIN)
    stage.say(query(), GUEST)
    stage.wait(1.0)
    stage.say(heartbeat(), DOMAIN)
    stage.say(query(), GUEST)
    stage.say(heartbeat(), STRANGER)
    stage.say(query(), STRANGER)
    stage.say(query(client=0xC2), STRANGER)
    stage.say(heartbeat(2), STRANGER)
    stage.say(heartbeat(0xC1), STRANGER)
    stage.rest()
    stage.close(stage.now)
    return stage


@scenario
def an_ice_server_checks_signatures() -> Stage:
    stage = IceHand({})
    stage.say(heartbeat(sign=True), DOMAIN)
    stage.provide_key(bytes([1]) * 16, PUBLIC_KEY, stage.now)
    stage.say(heartbeat(), DOMAIN)
    stage.say(heartbeat(sign=True), DOMAIN)
    return stage


# -- who is heard ------------------------------------------------------------------------------------------------------


@scenario
def packets_that_a_client_does_not_take() -> Stage:
    stage = ClientHand()
    stage.come_in(record(), record("A", number=2, secret=bytes(16)))
    mixer, other = (Path("udp", "198.51.100.10", port) for port in (40110, 40111))
    ping, settings = p.Ping(p.PingType.PUBLIC, EPOCH * 1000, 0), (PacketType.DOMAIN_SETTINGS, b"{}")
    stage.say(ping, mixer, source=4663, secret=SECRET)
    stage.say(ping, other, source=4662, secret=SECRET)
    stage.say(ping, mixer, source=4661, secret=bytes(15) + b"?")
    stage.say(ping, mixer, source=4661, secret=SECRET, version=17)
    stage.say(settings, DOMAIN, part=Part(Position.ONLY, 1, 0))
    stage.say(ping, mixer, source=4661, secret=SECRET, part=Part(Position.ONLY, 1, 0))
    stage.control(HANDSHAKE, STRANGER, 1)
    stage.control(ACK, STRANGER, 1)
    stage.reliably(1, settings, STRANGER)
    stage.say(ping, mixer, source=4661, secret=SECRET)
    return stage


# -- what is dropped ---------------------------------------------------------------------------------------------------


@scenario
def strangers_speak_as_an_ice_server_and_as_a_client() -> Stage:
    stage = registering(punches=1)
    stage.looked_up(1, (Address(ICE_SERVER.host, ICE_SERVER.port),), 0.125)
    stage.now = 0.25
    for packet in (p.ICEServerHeartbeatACK(), p.ICEServerHeartbeatDenied(), CLIENT_AT):
        stage.say(packet, STRANGER)
    stage.say(CLIENT_AT, ICE_SERVER)
    stage.say(attrs.evolve(CLIENT_AT, id=b"x" * 16), ICE_SERVER)
    stage.say(p.ICEPingReply(CLIENT_ID, p.PingType.PUBLIC), STRANGER)
    return stage


@scenario
def an_ice_server_is_asked_in_vain() -> Stage:
    stage = IceHand()
    stage.say(query(), GUEST)
    stage.say(heartbeat(), DOMAIN)
    stage.say(query(client=0xC2), DOMAIN)
    return stage


@scenario
def a_guest_asks_for_what_not_everybody_gets() -> Stage:
    stage = ServerHand()
    guest = stage.enter()
    kick = p.NodeKickRequest(guest.session_id, 1)
    stage.say(kick, GUEST, source=guest.local_id)
    stage.change_policy(Policy(anonymous=int(p.Permissions.CONNECT | p.Permissions.KICK)), stage.now)
    stage.say(kick, GUEST, source=guest.local_id)
    stage.say(p.PathQuery("/"), GUEST)
    stage.say(p.PathQuery("nowhere"), GUEST)
    return stage


@scenario
def strangers_speak_as_the_domain_and_the_domain_speaks_rubbish() -> Stage:
    stage = ClientHand()
    stage.come_in(record())
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
        stage.say(packet, STRANGER)
        stage.say((TYPES[packet.__wire__.id or 0], b"\xff"), DOMAIN)
    for packet in said[3:]:
        stage.say(packet, DOMAIN)
    stage.say(p.DomainSettings(b"{}"), DOMAIN)
    stage.say(p.RemovedNode(bytes(16)), DOMAIN)
    return stage


@scenario
def packets_for_the_application() -> Stage:
    stage = ClientHand()
    stage.come_in(record(), record("B", number=2))
    upstream = Path("udp", "198.51.100.10", 40111)
    for path in (upstream, MIXER, STRANGER):
        stage.say((PacketType.REPLICATED_INJECT_AUDIO, b"sound"), path)
    for path in (MIXER, STRANGER):
        stage.say((PacketType.NODE_JSON_STATS, b"{}"), path, source=4661)
        stage.say((PacketType.MIXED_AUDIO, b"sound"), path, source=4661, secret=SECRET)
        stage.say((PacketType.PING, b"\xff"), path, source=4661, secret=SECRET)
        stage.say((PacketType.PING_REPLY, b"\xff"), path, source=4661, secret=SECRET)
    stage.say((PacketType.ASSET_GET, b"hash"), DOMAIN, source=4242)
    stage.say((PacketType.NODE_JSON_STATS, b"{}"), DOMAIN, source=4242)
    return stage


@scenario
def a_list_and_a_node_come_before_anything_was_asked() -> Stage:
    stage = with_stun()
    stage.list()
    stage.say(p.AddedNode.decode(record().encode()), DOMAIN)
    stage.bind(Address("192.168.1.24", 48002))
    stage.tick()
    stage.find(STUN_SERVER, 2)
    stage.receive_datagram(b"\1\1", STUN_SERVER, stage.now)
    nobodys = BindingResponse(12, b"x" * 12, bytes.fromhex("002000080001") + bytes(6))
    stage.receive_datagram(nobodys.encode(), STUN_SERVER, stage.now)
    stage.bind(Address("192.168.1.24", 48003))
    answer_stun(stage)
    stage.list()
    return stage


@scenario
def strangers_speak_as_an_ice_server_and_as_a_domain() -> Stage:
    ice = {"host": "ice.example", "domain_id": DOMAIN_ID.hex(), "client_id": CLIENT_ID.hex()}
    stage = ClientHand(ice=ice)
    stage.connect(0.0)
    stage.find(ICE_SERVER)
    stage.tick()
    stage.bind()
    for said in (WHERE, attrs.evolve(WHERE, id=b"x" * 16), (PacketType.ICE_SERVER_PEER_INFORMATION, b"\xff")):
        stage.say(said, STRANGER)
        stage.say(said, ICE_SERVER)
    for packet in (p.ICEPing, p.ICEPingReply):
        stage.say(packet(b"x" * 16, p.PingType.PUBLIC), DOMAIN)
        stage.say((TYPES[packet.__wire__.id or 0], b"\xff"), DOMAIN)
    stage.bind(Address("192.168.1.24", 48002))
    stage.close(stage.now)
    return stage


@scenario
def a_node_and_strangers_speak_rubbish_to_a_domain() -> Stage:
    stage = registering()
    stage.looked_up(1, (Address(ICE_SERVER.host, ICE_SERVER.port),), 0.125)
    guest = stage.enter()
    for packet in (p.DomainListRequest, p.NodeKickRequest, p.UsernameFromIDRequest, p.AddedNode):
        stage.say((TYPES[packet.__wire__.id or 0], b"\xff"), GUEST, source=guest.local_id)
    for packet in (p.PathQuery, p.DomainSettingsRequest, p.ICEPing, p.ICEPingReply, p.ConnectionToken):
        stage.say((TYPES[packet.__wire__.id or 0], b""), GUEST)
    stage.say((PacketType.ICE_SERVER_PEER_INFORMATION, b"\xff"), ICE_SERVER)
    stage.say((PacketType.NODE_JSON_STATS, b"{}"), GUEST, source=guest.local_id)
    stage.say(p.UsernameFromIDRequest(guest.session_id), GUEST, source=guest.local_id)
    stage.say(p.ICEPing(CLIENT_ID, p.PingType.PUBLIC), STRANGER)
    return stage


@scenario
def an_ice_server_hears_rubbish() -> Stage:
    stage = IceHand()
    for packet in (p.ICEServerHeartbeat, p.ICEServerQuery, p.ICEPing):
        stage.say((TYPES[packet.__wire__.id or 0], b"\xff"), STRANGER)
    return stage


# -- the file ----------------------------------------------------------------------------------------------------------


def document() -> Config:
    """The vector file."""
    return staging.document("overte", __version__, SCENARIOS)


if __name__ == "__main__":
    write_json(PATH, document())
    sys.stdout.write(f"{PATH.name}: {len(SCENARIOS)} scenarios\n")
