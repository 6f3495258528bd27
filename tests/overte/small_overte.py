"""Small explorations of Overte that together step on every row and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from attacks_overte import (
    a_list,
    a_record,
    a_request,
    ids,
    path_of,
    to_client,
)
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from exploring_overte import (
    ASSIGNMENT,
    CLIENT,
    CLIENT_DELAYS,
    CLIENT_LIMITS,
    CLOSES,
    DOMAIN,
    DOMAIN_ID,
    EPOCH,
    MIXER,
    NAMES,
    NOTHING,
    SERVER_DELAYS,
    STRANGER,
    THREE,
    Bystander,
    Client,
    Exploration,
    Introducer,
    Reflector,
    Server,
    client,
    clients,
    entropy,
    evolved,
    is_connected,
    is_settled,
    mixer,
    register,
    server,
    sound,
    told,
)
from scripted_overte import control, datagram
from soaking import SOAKING

from sansproto.contract import Address, Path
from sansproto.overte import packets as p
from sansproto.overte.client import IceTarget
from sansproto.overte.connection import ConnectionState
from sansproto.overte.crypto import public_key_der
from sansproto.overte.events import Connected
from sansproto.overte.header import ControlType, Part, Position
from sansproto.overte.ice import ICE_PORT
from sansproto.overte.ice_events import DomainKeyWanted
from sansproto.overte.limits import IceLimits, ServerLimits
from sansproto.overte.policy import Login, Policy
from sansproto.overte.qt import SockAddr, SocketType
from sansproto.overte.registration import IceRegistration
from sansproto.overte.remote import SOCKET
from sansproto.overte.server_events import KeyWanted, UsernameAsked
from sansproto.overte.stun import AttributeHead, BindingResponse
from sansproto.overte.versions import PacketType
from sansproto.testing import conformance_overte
from sansproto.testing.explorer import Budget, Decision, Insert, Party, Scene, Verb

KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024).private_bytes(
    Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
)
PUBLIC_KEY = public_key_der(KEY)
ICE = Address("192.0.2.73", ICE_PORT)
REFLECTOR = Address("192.0.2.34", 3478)
OTHER = Address("203.0.113.8", 48001)
TELLING: Mapping[str, Any] = {"told": told}
BRIEF_SERVER = attrs.evolve(SERVER_DELAYS, silence=2.0, repeated=2.0)
BRIEF = attrs.evolve(CLIENT_DELAYS, silence=2.0, refresh=2.0)
SHORT = attrs.evolve(CLIENT_LIMITS, silent_check_ins=2, stun_tries=2)


def nobody(scene: Scene) -> bool:
    """All clients are closed, and the server, if there is one, has nobody."""
    return all(one.state is ConnectionState.CLOSED for _, one in clients(scene)) and not (
        "server" in scene and scene["server"].ask(register).members
    )


def is_at_rest(scene: Scene) -> bool:
    return not scene.world.datagrams and not scene.world.lookups


def pair(server_with: Mapping[str, Any] = NOTHING, client_with: Mapping[str, Any] = NOTHING) -> dict[str, Party]:
    """Both, with arguments, who tell everything, and for whom little time is long."""
    return {
        "server": server(arguments={"delays": BRIEF_SERVER, **server_with}, **TELLING),
        "client": client(arguments={"delays": BRIEF, "limits": SHORT, **client_with}, **TELLING),
    }


def small() -> Iterator[Exploration]:
    """A row that no packet of an honest peer can reach is reached by an attacker."""
    yield from _small_ways()
    yield from _small_requests()
    yield from _small_kicks()
    yield from _small_names()
    yield from _small_channels()
    yield from _small_nodes()
    yield from _small_stun()
    yield from _small_ice()


def _small_ways() -> Iterator[Exploration]:
    one_each = pair()
    yield Exploration("1 x 1", one_each)
    yield Exploration("1 x 1, a loss", one_each, Budget(losses=1))
    yield Exploration("1 x 1, a restart", one_each, Budget(restarts=1))
    yield Exploration("1 x 1, a move", one_each, Budget(moves=1))
    yield Exploration("1 x 1, early", one_each, Budget(early=1))
    yield Exploration("nobody there", {"client": one_each["client"]}, settled=nobody)
    yield Exploration("no address", one_each, names={}, settled=nobody)
    yield Exploration("the client may close", evolved(one_each, client=CLOSES))
    yield Exploration("never started", evolved(one_each, client={"start": (), **CLOSES}), settled=is_at_rest)
    refresh: Mapping[str, Any] = {"may": (((Verb("refresh"),), ()),)}
    yield Exploration("refreshed", evolved(one_each, client=refresh))
    for whim in ("throw_out", "shut"):
        may: Mapping[str, Any] = {"may": (((Verb(whim),), ()),)}
        yield Exploration(whim, evolved(one_each, server=may))
    asking: Mapping[str, Any] = {"policy": asks_the_way}
    yield Exploration("asked the way", evolved(one_each, client=asking))
    who: Mapping[str, Any] = {"policy": asks_who_it_is}
    yield Exploration("asked who it is", evolved(one_each, client=who, server={"policy": says_who_it_is}))
    answer = datagram(p.UsernameFromIDReply(ids().own[0], "ada", bytes(16), True))
    forged = (Insert("client", answer, STRANGER),)
    yield Exploration("asked in vain", evolved(one_each, client=who), Budget(inserts=1), inserts=forged)
    unbound = evolved(one_each, client={"sockets": {}, "behind_nat": False})
    yield Exploration("no socket", unbound, settled=nobody)


def asks_who_it_is(event: Any) -> Decision:
    return ((Verb("ask_username", (event.session_id,)),),) if isinstance(event, Connected) else ()


def says_who_it_is(event: Any) -> Decision:
    is_asked = isinstance(event, UsernameAsked)
    return ((Verb("answer_username", (event.by, event.node_id)),),) if is_asked else ()


def asks_the_way(event: Any) -> Decision:
    return ((Verb("ask_path", ("/",)), Verb("ask_path", ("nowhere",))),) if isinstance(event, Connected) else ()


def _small_requests() -> Iterator[Exploration]:
    alone = {"server": server(**TELLING), "bystander": Party(Bystander, {}, sockets={SOCKET: address_at(STRANGER)})}
    requests = {
        "of nothing": datagram((PacketType.DOMAIN_CONNECT_REQUEST, b"")),
        "of half": a_request()[:90],
        "of another protocol": a_request(protocol_signature=bytes(16)),
        "of another version": a_request(version=1),
        "without a socket": a_request(local_socket=SockAddr("", 0)),
        "of no type": a_request(node_type=0),
        "of a mixer": a_request(node_type=p.NodeType.AUDIO_MIXER),
        "of an agent": a_request(),
    }
    for name, data in requests.items():
        inserts = (Insert("server", data, STRANGER),)
        yield Exploration(f"a request {name}", alone, Budget(inserts=1), inserts=inserts, settled=nobody)
        yield Exploration(
            f"a request {name}, twice",
            evolved(alone, server={"arguments": {**alone["server"].arguments, "limits": ServerLimits(connects=1)}}),
            Budget(inserts=2),
            inserts=inserts,
            settled=nobody,
        )
    other = Insert("server", a_request(machine_fingerprint=b"o" * 16), path_of(CLIENT))
    yield Exploration("another machine", pair(), Budget(inserts=1), inserts=(other,), begin=is_connected)
    two = {**pair(), "guest": client(at=OTHER, behind_nat=False, **TELLING)}
    for limits, policy in ((ServerLimits(nodes=1), Policy()), (ServerLimits(), Policy(capacity=1))):
        full = server(arguments={"limits": limits, "policy": policy}, **TELLING)
        yield Exploration(f"room for one, {limits.nodes}", {**two, "server": full}, settled=one_is_in)
    wrong = {**THREE, "server": server(start=(Verb("assign", (ASSIGNMENT, p.NodeType.ENTITY_SERVER)),), **TELLING)}
    del wrong["client"]
    yield Exploration("another assignment", wrong, settled=nobody)
    full = server(start=THREE["server"].start, arguments={"policy": Policy(capacity=0)}, **TELLING)
    yield Exploration("a mixer in a full domain", {"server": full, "mixer": mixer(**TELLING)})


def _small_kicks() -> Iterator[Exploration]:
    """A node asks for a kick, of another one and of itself, where it may and where it may not."""
    own, local_id = ids().own
    kicks = tuple(
        Insert("server", datagram(p.NodeKickRequest(node_id, 0), source=local_id), path_of(CLIENT))
        for node_id in (b"o" * 16, own)
    )
    for name, anonymous in (
        ("allowed", p.Permissions.CONNECT | p.Permissions.KICK),
        ("refused", p.Permissions.CONNECT),
    ):
        world = pair({"policy": Policy(anonymous=int(anonymous))})
        yield Exploration(f"a kick, {name}", world, Budget(inserts=1), inserts=kicks, begin=is_connected)


def one_is_in(scene: Scene) -> bool:
    states = sorted(one.state.name for _, one in clients(scene))
    return is_at_rest(scene) and states == ["CLOSED", "CONNECTED"]


def address_at(path: Path) -> Address:
    return Address(path.host, path.port)


def providing(key: bytes | None) -> Callable[[Any], Decision]:
    def policy(event: Any) -> Decision:
        return ((Verb("provide_key", (event.username, key)),),) if isinstance(event, KeyWanted) else ()

    return policy


def _small_names() -> Iterator[Exploration]:
    named = {"username": "alice", "private_key": KEY}
    listed = {"policy": Policy(users={"somebody": 1})}
    for name, key, settled in (
        ("good", PUBLIC_KEY, is_settled),
        ("bad", b"no key", nobody),
        ("no", None, nobody),
    ):
        parties = evolved(pair(listed, named), server={"policy": providing(key)})
        yield Exploration(f"a username and {name} key", parties, settled=settled)
    yield Exploration("a username, and nobody has its key", pair(listed, named), settled=nobody)
    for name, key in (("no", None), ("a bad", b"no key")):
        parties = evolved(pair(NOTHING, named), server={"policy": providing(key)})
        yield Exploration(f"a guest with {name} key", parties, settled=nobody if key else is_settled)
    one = {**listed, "limits": ServerLimits(signatures=1)}
    twice = evolved(pair(one, named), server={"policy": providing(b"no key")})
    yield Exploration("bad signatures", twice, settled=nobody)
    lost = evolved(pair(NOTHING, named), server={"policy": providing(PUBLIC_KEY)})
    if SOAKING:  # these four step on what others step on, and notice no other mutants
        yield Exploration("a username, a loss", lost, Budget(losses=1))
    login, account = Login("https://example.org"), ("alice", "a:b")
    for name, policy, settled in (
        ("known", Policy(anonymous=0, login=login, accounts={"alice": "a:b"}), is_settled),
        ("unknown", Policy(anonymous=0, login=login), nobody),
    ):
        yield Exploration(
            f"an account that is {name}", pair({"policy": policy}, {"domain_account": account}), settled=settled
        )
    for name, policy in (("here", Policy(anonymous=0, login=login)), ("at all", Policy(anonymous=0))):
        yield Exploration(f"not allowed {name}", pair({"policy": policy}), settled=nobody)


def _small_channels() -> Iterator[Exploration]:
    asking = evolved(pair(), client={"policy": asks_the_way})
    yield Exploration("asked, a loss", asking, Budget(losses=1), begin=is_connected)
    if SOAKING:
        yield Exploration("asked, 3 losses", pair(), Budget(losses=3))
    for kind, data in (
        ("a handshake", control(ControlType.HANDSHAKE, 3)),
        ("data that is far", datagram(p.RemovedNode(b"r" * 16), reliable=True, sequence=1 << 20)),
    ):
        for to, path in (("client", DOMAIN), ("server", CLIENT)):
            inserts = (Insert(to, data, path_of(path)),)
            yield Exploration(f"{kind} for the {to}", pair(), Budget(inserts=1), inserts=inserts)
    requested = Insert("client", control(ControlType.HANDSHAKE_REQUEST, None), path_of(DOMAIN))
    yield Exploration("a handshake request", pair(), Budget(inserts=1), inserts=(requested,))
    later = evolved(pair(), client={"may": (((Verb("ask_path", ("/",)),),),)})
    yield Exploration(
        "a handshake request, and a question", later, Budget(inserts=1), inserts=(requested,), begin=is_connected
    )
    narrow = {"limits": attrs.evolve(SHORT, messages=1)}
    parts = tuple(
        Insert(
            "client",
            datagram(p.DomainSettings(b"{}"), reliable=True, sequence=sequence, part=Part(Position.FIRST, number, 0)),
            path_of(DOMAIN),
        )
        for number, sequence in ((1, 3), (2, 4))
    )
    shaking = Insert("client", control(ControlType.HANDSHAKE, 3), path_of(DOMAIN))
    two = (shaking, *parts)
    yield Exploration("two messages at once", pair(NOTHING, narrow), Budget(inserts=3), inserts=two, begin=is_connected)


def _small_nodes() -> Iterator[Exploration]:
    three = {
        name: attrs.evolve(party, told=told, arguments={**party.arguments, "delays": brief, **limits})
        for (name, party), brief, limits in zip(
            THREE.items(), (BRIEF_SERVER, BRIEF, BRIEF), (NOTHING, {"limits": SHORT}, {"limits": SHORT}), strict=True
        )
    }
    known = ids(with_mixer=True)
    yield Exploration("with a mixer", three, begin=is_connected)
    ours = {"session_id": known.own[0], "local_id": known.own[1], "domain_local_id": known.domain}
    elsewhere = a_record(id=known.mixer[0], local_id=known.mixer[1])
    for name, data, path in (
        ("a node elsewhere", a_list(**ours, nodes=(elsewhere,)), DOMAIN),
        ("the end of a node", to_client(known)["the end of a node"], DOMAIN),
        ("a node's channel", to_client(known)["reliable data"], MIXER),
    ):
        inserts = (Insert("client", data, path_of(path)),)
        yield Exploration(name, three, Budget(inserts=1), inserts=inserts, begin=is_connected)
    brief = {"server": attrs.evolve(three["server"], start=()), "client": three["client"]}
    known = ids()
    ours = {"session_id": known.own[0], "local_id": known.own[1], "domain_local_id": known.domain}
    for name, data in (
        ("a node that is not there", a_list(**ours, nodes=(a_record(),))),
        ("a node in the place of another", a_list(**ours, nodes=(a_record(), a_record(8)))),
        ("a list of another domain", a_list(domain_id=b"o" * 16)),
        ("a list of another version", of_version(1, a_list())),
        ("a ping without a secret", datagram(p.Ping(p.PingType.PUBLIC, 1, 0), source=known.domain)),
        ("a part that is not reliable", datagram(p.DomainSettings(b"{}"), part=Part(Position.ONLY, 1, 0))),
    ):
        inserts = (Insert("client", data, path_of(DOMAIN)),)
        yield Exploration(name, brief, Budget(inserts=1), sound, inserts=inserts, begin=is_connected)
    # Whom somebody tells things in the name of a domain that is not there.
    alone = {"client": client(arguments={"delays": attrs.evolve(BRIEF, answer=1.0), "limits": SHORT}, **TELLING)}
    node = a_record()
    now = int(EPOCH * 1e6)
    roaming = [
        (datagram(said, source=node.local_id, secret=node.secret), path)
        for said, path in (
            (p.PingReply(p.PingType.PUBLIC, now, now), Address(node.public_socket.host, node.public_socket.port)),
            (p.Ping(p.PingType.PUBLIC, now, 0), OTHER),
        )
    ]
    others = [a_list(session_id=one * 16, local_id=77, domain_local_id=known.domain) for one in (b"s", b"t")]
    for name, said in (
        ("ids that change twice", (*others, datagram(p.AddedNode(*fields_of(a_record()))))),
        ("a browser that changes", [a_list(**ours, nodes=(a_browser(permissions),)) for permissions in (1, 3)]),
        ("settings that come late", (a_list(), datagram(p.DomainSettings(b"{}")))),
        ("a node whose router changes its port", (a_list(nodes=(node,)), *roaming)),
    ):
        inserts = tuple(
            Insert("client", *((one[0], path_of(one[1])) if isinstance(one, tuple) else (one, path_of(DOMAIN))))
            for one in said
        )
        yield Exploration(name, alone, Budget(inserts=len(said)), sound, inserts=inserts, settled=nobody)

    yield from _small_strangers(three)


def a_browser(permissions: int) -> p.NodeRecord:
    by_webrtc = SockAddr("203.0.113.9", 40110, kind=SocketType.WEBRTC)
    return a_record(public_socket=by_webrtc, local_socket=by_webrtc, permissions=permissions)


def fields_of(record: p.NodeRecord) -> list[Any]:
    return [getattr(record, field.name) for field in p.NodeRecord.__wire__.fields]


def _small_strangers(three: Mapping[str, Party]) -> Iterator[Exploration]:
    """What is said by others than those who may say it, and what is for the application."""
    said = (a_list(), *to_client(ids()).values(), datagram(p.PathResponse("/", "")), datagram(p.RemovedNode(b"r" * 16)))
    strangers = tuple(Insert("client", data, STRANGER) for data in said)
    yield Exploration("a stranger", pair(), Budget(inserts=1), inserts=strangers, begin=is_connected)
    asking = evolved(pair(), client={"policy": asks_the_way})
    yield Exploration("a stranger, early", asking, Budget(inserts=1), inserts=strangers)
    known = ids(with_mixer=True)
    gone = (Insert("client", to_client(known)["the end of a node"], STRANGER),)
    yield Exploration("a stranger, with a mixer", three, Budget(inserts=1), inserts=gone, begin=is_connected)
    for name, data, path in (
        ("a mixer", datagram((PacketType.NODE_JSON_STATS, b"{}"), source=known.mixer[1]), path_of(MIXER)),
        ("a mixer elsewhere", datagram((PacketType.NODE_JSON_STATS, b"{}"), source=known.mixer[1]), STRANGER),
        ("the domain", datagram((PacketType.ASSET_GET, b"hash"), source=known.domain), path_of(DOMAIN)),
    ):
        inserts = (Insert("client", data, path),)
        yield Exploration(f"{name} speaks", three, Budget(inserts=1), inserts=inserts, begin=is_connected)


def of_version(version: int, datagram: bytes) -> bytes:
    return datagram[:5] + bytes([version]) + datagram[6:]


def _small_stun() -> Iterator[Exploration]:
    stun = {"stun": ("stun.example", REFLECTOR.port), "limits": SHORT}
    found = {**NAMES, "stun.example": (REFLECTOR,)}
    reflected = {
        **pair(NOTHING, stun),
        "reflector": Party(Reflector, {}, sockets={SOCKET: REFLECTOR}, host=REFLECTOR.host),
    }
    yield Exploration("by STUN", reflected, names=found)
    yield Exploration("by STUN, a loss", reflected, Budget(losses=1), names=found, begin=is_connected)
    yield Exploration("by STUN, a move", reflected, Budget(moves=1), names=found, begin=is_connected)
    if SOAKING:
        yield Exploration("by STUN, early", reflected, Budget(early=1), names=found)
    bound_again = (Verb("socket_bound", (SOCKET, CLIENT)), Verb("socket_bound", (SOCKET, attrs.evolve(CLIENT, port=1))))
    rebound = evolved(reflected, client={"start": (Verb("connect"), *bound_again[1:], *bound_again[:1])})
    yield Exploration("by STUN, bound again", rebound, names=found)
    nobodys = BindingResponse(12, b"x" * 12, AttributeHead(0x20, 8).encode() + bytes.fromhex("00010000") + bytes(4))
    inserts = (Insert("client", nobodys.encode(), path_of(REFLECTOR)),)
    yield Exploration("by STUN, another answer", reflected, Budget(inserts=1), sound, inserts=inserts, names=found)
    yield Exploration("no STUN server", pair(NOTHING, stun), names=found)
    impatient = {"delays": attrs.evolve(BRIEF, undelivered=1.0)}
    alone = {"client": pair(NOTHING, {**stun, **impatient})["client"]}
    early = (Insert("client", a_list(), path_of(DOMAIN)),)
    yield Exploration("a list too early", alone, Budget(inserts=1), sound, nobody, inserts=early, names=found)
    yield Exploration("no address of a STUN server", pair(NOTHING, stun))


def _small_ice() -> Iterator[Exploration]:
    registers = {"ice": IceRegistration(servers=((ICE.host, ICE.port),), private_key=KEY, public=DOMAIN)}
    seeks = {"ice": IceTarget(host=ICE.host, port=ICE.port, domain_id=DOMAIN_ID, client_id=b"i" * 16)}
    names = {ICE.host: (ICE,)}
    both = pair(registers, seeks)

    def introducer(keys: Any = None, key: bytes | None = None, **limits: int) -> Party:
        given = {"entropy": entropy("ice"), "wall_epoch": EPOCH, "keys": keys, "limits": IceLimits(**limits)}
        return Party(Introducer, given, policy=believing(key), told=told, sockets={SOCKET: ICE}, host=ICE.host)

    for name, ice, settled in (
        *([("all", introducer(), is_connected)] * SOAKING),
        ("a key", introducer({}, PUBLIC_KEY), is_connected),
        ("no key", introducer({}), nobody),
    ):
        yield Exploration(f"by ICE, believing {name}", {**both, "ice": ice}, names=names, settled=settled)
    served = {"server": both["server"], "ice": introducer()}
    yield Exploration("an ice-server, a loss", served, Budget(losses=1), names=names, settled=is_at_rest)
    sought = {"client": both["client"], "ice": introducer()}
    beats = tuple(
        Insert(
            "ice", datagram(p.ICEServerHeartbeat(uuid, *(SockAddr(STRANGER.host, STRANGER.port),) * 2, b"")), STRANGER
        )
        for uuid in (DOMAIN_ID, b"o" * 16, b"i" * 16)
    )
    asks = Insert(
        "ice", datagram(p.ICEServerQuery(b"i" * 16, *(SockAddr(OTHER.host, 1),) * 2, DOMAIN_ID)), path_of(OTHER)
    )
    gone = p.ICEServerPeerInformation(b"g" * 16, *(SockAddr(STRANGER.host, STRANGER.port),) * 2)
    for name, parties, inserts in (
        ("a client that is not there", served, (Insert("server", datagram(gone), path_of(ICE)),)),
        ("a client that a stranger names", served, (Insert("server", datagram(gone), STRANGER),)),
        ("a domain that is not there", sought, beats[:1]),
        ("another domain's id", served, beats[:1]),
        ("a domain too many", {**served, "ice": introducer(peers=1)}, beats[1:2]),
        ("a client's id for a domain", sought, beats[2:]),
        ("another client's id", sought, (asks,)),
        ("a client too many", {**sought, "ice": introducer(peers=1)}, (asks,)),
    ):
        settled = nobody if "client" in parties else is_at_rest
        yield Exploration(name, parties, Budget(inserts=1), inserts=inserts, names=names, settled=settled)
    many = evolved(served, server={"arguments": {**served["server"].arguments, "limits": ServerLimits(punches=1)}})
    two = tuple(
        Insert("server", datagram(attrs.evolve(gone, id=uuid)), path_of(ICE)) for uuid in (b"g" * 16, b"h" * 16)
    )
    yield Exploration("two clients", many, Budget(inserts=2), inserts=two, names=names, settled=is_at_rest)
    asks = Insert(
        "ice", datagram(p.ICEServerQuery(b"q" * 16, *(SockAddr(OTHER.host, 1),) * 2, DOMAIN_ID)), path_of(DOMAIN)
    )
    at_home = Exploration("asked from where the domain is", served, Budget(inserts=1), inserts=(asks,), names=names)
    yield attrs.evolve(at_home, settled=is_at_rest)
    where = SockAddr(STRANGER.host, STRANGER.port)
    for path in (STRANGER, path_of(ICE)):
        told_where = datagram(p.ICEServerPeerInformation(DOMAIN_ID if path == STRANGER else b"o" * 16, where, where))
        inserts = (Insert("client", told_where, path),)
        yield Exploration(
            f"told by {path.host}", sought, Budget(inserts=1), inserts=inserts, names=names, settled=nobody
        )
    foreign = Insert("client", datagram(p.ICEPing(b"o" * 16, p.PingType.PUBLIC)), path_of(ICE))
    yield Exploration("pinged by another", sought, Budget(inserts=1), inserts=(foreign,), names=names, settled=nobody)
    for uuid in (DOMAIN_ID, b"o" * 16):
        replied = tuple(
            Insert("client", datagram(packet), path_of(ICE))
            for packet in (
                p.ICEServerPeerInformation(DOMAIN_ID, where, where),
                p.ICEPingReply(uuid, p.PingType.PUBLIC),
                p.ICEPing(DOMAIN_ID, p.PingType.PUBLIC),
            )
        )
        name = f"another replies as {uuid[:1].decode()}"
        yield Exploration(name, sought, Budget(inserts=2), inserts=replied, names=names, settled=nobody)
    said = (
        Insert("client", datagram(p.ICEServerPeerInformation(DOMAIN_ID, where, where)), path_of(ICE)),
        Insert("client", datagram(p.ICEPingReply(DOMAIN_ID, p.PingType.PUBLIC)), STRANGER),
        Insert("client", a_list(), STRANGER),
    )
    alone = {"client": both["client"]}
    yield Exploration(
        "a domain by ICE falls silent", alone, Budget(inserts=3), sound, inserts=said, names=names, settled=nobody
    )
    unbound = evolved(sought, client={"sockets": {}, "behind_nat": False})
    yield Exploration("by ICE, no socket", unbound, names=names, settled=nobody)
    unregistered = {"server": both["server"]}
    answers = p.ICEServerHeartbeatACK(), p.ICEServerHeartbeatDenied()
    said = tuple(Insert("server", datagram(answer), STRANGER) for answer in answers)
    yield Exploration("no ice-server", unregistered, names=names, settled=is_at_rest)
    yield Exploration(
        "a stranger answers", unregistered, Budget(inserts=1), inserts=said, names=names, settled=is_at_rest
    )
    yield Exploration("no address of an ice-server", both, names={}, settled=nobody)


def believing(key: bytes | None) -> Callable[[Any], Decision]:
    def policy(event: Any) -> Decision:
        return ((Verb("provide_key", (event.domain_id, key)),),) if isinstance(event, DomainKeyWanted) else ()

    return policy


CLASSES: tuple[type[Any], ...] = (Client, Server, Introducer)
TABLES = conformance_overte.TABLES
