"""A packet of every type comes to a client, a domain server and an ice-server in each phase of their openings.

Nothing raises; each is counted, told or answered, or is one of those that ``UNTOLD`` names; and whoever hears all of it
again and again keeps no more than the first time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import attrs
import pytest
from scenarios_overte import ICE_SERVER, PRIVATE_KEY
from scripted_overte import (
    DOMAIN,
    DOMAIN_ID,
    HANDSHAKE,
    LOCAL,
    MIXER,
    PARTY,
    SECRET,
    STRANGER,
    ClientPeer,
    OvertePeer,
    Party,
    ServerPeer,
    connect_request,
    control,
    datagram,
    domain_list,
    record,
)
from sweeping import Sweep

from sansproto.contract import Address, Path
from sansproto.overte import IceRegistration, IceTarget, PacketType, ServerLimits, SockAddr
from sansproto.overte import packets as p
from sansproto.overte.header import ControlType, Part, Position

CLIENT_ID: Final = b"c" * 16
SOCKETS: Final = SockAddr(PARTY.host, PARTY.port), LOCAL


def check_in() -> p.CheckIn:
    return connect_request().check_in


def usual() -> Iterator[tuple[str, Any]]:
    """Packets as others send them."""
    yield "DomainList of others", domain_list(record("W", number=4), session_id=b"t" * 16, local_id=7)
    yield "DomainConnectRequest by name", connect_request(username="alice")
    yield "DomainConnectRequest, signed", connect_request(username="alice", username_signature=b"signed")
    for packet in (
        domain_list(record()),
        connect_request(),
        p.DomainListRequest(**{name: getattr(check_in(), name) for name in p.CheckIn.__annotations__}),
        p.DisconnectRequest(),
        p.AddedNode(**{name: getattr(record("o", number=6), name) for name in p.NodeRecord.__annotations__}),
        p.RemovedNode(bytes([1]) * 16),
        p.ConnectionToken(b"a token to sign."),
        p.DomainConnectionDenied(3, "no", ""),
        p.RequireDTLS(40103),
        p.Ping(2, 1, 0),
        p.PingReply(2, 1, 70_000),
        p.PathQuery("/"),
        p.PathResponse("/", "/0,0,0/0,0,0,1"),
        p.DomainSettingsRequest(2),
        p.DomainSettings(b"{}"),
        p.NodeKickRequest(bytes([1]) * 16, 3),
        p.UsernameFromIDRequest(bytes([1]) * 16),
        p.ICEServerQuery(CLIENT_ID, *SOCKETS, DOMAIN_ID),
        p.ICEServerPeerInformation(CLIENT_ID, *SOCKETS),
        p.ICEServerHeartbeat(DOMAIN_ID, *SOCKETS, b"signature"),
        p.ICEServerHeartbeatACK(),
        p.ICEServerHeartbeatDenied(),
        p.ICEPing(CLIENT_ID, 1),
        p.ICEPingReply(CLIENT_ID, 1),
    ):
        yield type(packet).__name__, packet


def contents(*payloads: bytes) -> Iterator[tuple[str, Any]]:
    yield from usual()
    for kind in PacketType:
        for payload in payloads:
            yield f"{kind.name} of {len(payload)} bytes", (kind, payload)


def datagrams(peer: Any) -> Mapping[str, tuple[bytes, Path]]:
    """All that is tried, by name: every content from whom the endpoint knows, and a little of each type otherwise."""
    path, source = getattr(peer, "known", (DOMAIN, 4242))
    senders: dict[str, tuple[Path, dict[str, Any]]] = {
        " from a stranger": (STRANGER, {}),
        " from a node": (MIXER, {"source": 4661, "secret": SECRET}),
        " of another version": (path, {"version": 1}),
        " reliably": (path, {"reliable": True, "sequence": 700, "source": source}),
        " in part": (path, {"reliable": True, "sequence": 701, "part": Part(Position.FIRST, 5, 0), "source": source}),
        " from the ice-server": (ICE_SERVER, {}),
    }
    found = {name: (datagram(one, source=source), path) for name, one in contents(b"", b"word", bytes(1400))}
    for sender, (there, head) in senders.items():
        found |= {name + sender: (datagram(one, **head), there) for name, one in contents(b"word")}
    for kind in ControlType:
        for number in (None,) if kind is ControlType.HANDSHAKE_REQUEST else (0, 5, 700):
            for sender, there in (("", path), (" from a stranger", STRANGER), (" from a node", MIXER)):
                found[f"{kind.name} {number}{sender}"] = (control(kind, number), there)
    return found


pytestmark = pytest.mark.unmeasured
SWEEP: Final = Sweep[Any](datagrams)


# -- a client


class Seeking(ClientPeer):
    ice = IceTarget(host="ice.example", domain_id=DOMAIN_ID, client_id=CLIENT_ID)
    arguments: ClassVar[Any] = {**ClientPeer.arguments, "ice": ice}


@SWEEP.phase
def new() -> ClientPeer:
    return ClientPeer.live(connected=False, bound=False)


@SWEEP.phase
def looking_up() -> ClientPeer:
    peer = new()
    peer.connect(peer.now)
    return peer


@SWEEP.phase
def without_a_socket() -> ClientPeer:
    peer = new()
    peer.go()
    return peer


@SWEEP.phase
def asking() -> ClientPeer:
    peer = ClientPeer.live(connected=False)
    peer.go()
    return peer


@SWEEP.phase
def asking_the_ice_server() -> ClientPeer:
    peer = Seeking.live(connected=False)
    peer.connect(peer.now)
    peer.find(ICE_SERVER)
    return peer


@SWEEP.phase
def punching() -> ClientPeer:
    peer = asking_the_ice_server()
    domain = p.ICEServerPeerInformation(DOMAIN_ID, SockAddr(DOMAIN.host, DOMAIN.port), LOCAL)
    peer.say(domain, ICE_SERVER)
    return peer


@SWEEP.phase
def refused() -> ClientPeer:
    peer = asking()
    peer.say(p.DomainConnectionDenied(3, "no", ""))
    return peer


@SWEEP.phase
def connected() -> ClientPeer:
    return ClientPeer.live()


@SWEEP.phase
def among_nodes() -> ClientPeer:
    peer = connected()
    peer.list(record(), record("W", number=2))
    peer.say(p.PingReply(2, int(peer.wall_us()), 0), MIXER, source=4661, secret=SECRET)
    return peer


@SWEEP.phase
def with_channels() -> ClientPeer:
    peer = among_nodes()
    peer.ask_path("/", peer.now)
    peer.shake()
    peer.say(control(HANDSHAKE, 700))
    return peer


@SWEEP.phase
def unheard() -> ClientPeer:
    peer = among_nodes()
    peer.wait(8.0)
    return peer


@SWEEP.phase
def closed() -> ClientPeer:
    peer = with_channels()
    peer.close(peer.now)
    peer.drain()
    return peer


# -- a domain server


class Hall(ServerPeer):
    """Where little waits for those who never acknowledge it."""

    limits = ServerLimits(connects=1000, window=2, reliable_queue=5, announcements=3)
    arguments: ClassVar[Any] = {**ServerPeer.arguments, "limits": limits}


class Registering(Hall):
    ice = IceRegistration(servers=(("ice.example", ICE_SERVER.port),), private_key=PRIVATE_KEY)
    arguments: ClassVar[Any] = {**Hall.arguments, "ice": ice}


def serving(kind: type[Hall] = Hall) -> Any:
    peer: Any = kind.live()
    peer.socket_bound("udp", Address(DOMAIN.host, DOMAIN.port), peer.now)
    peer.known = PARTY, 0
    return peer


@SWEEP.phase
def empty() -> ServerPeer:
    return serving()


@SWEEP.phase
def knocked() -> ServerPeer:
    peer = serving()
    Party(peer).connect(username="alice")
    return peer


@SWEEP.phase
def entered() -> Any:
    peer = serving()
    party = Party(peer)
    party.connect()
    peer.known = PARTY, party.local_id
    return peer


@SWEEP.phase
def among_others() -> ServerPeer:
    peer = entered()
    peer.mixer()
    peer.say(control(HANDSHAKE, 700), PARTY)
    peer.say(p.DomainSettingsRequest(2), PARTY, reliable=True, sequence=700)
    return peer


@SWEEP.phase
def registered() -> ServerPeer:
    peer = serving(Registering)
    peer.looked_up(1, (Address(ICE_SERVER.host, ICE_SERVER.port),), peer.now)
    peer.say(p.ICEServerHeartbeatACK(), ICE_SERVER)
    peer.say(p.ICEServerPeerInformation(CLIENT_ID, *SOCKETS), ICE_SERVER)
    return peer


@SWEEP.phase
def left() -> ServerPeer:
    peer = among_others()
    peer.close(peer.now)
    peer.drain()
    return peer


# -- an ice-server


@SWEEP.phase
def listening() -> OvertePeer:
    return OvertePeer.live()


@SWEEP.phase
def known() -> OvertePeer:
    peer = listening()
    peer.say(p.ICEServerHeartbeat(DOMAIN_ID, *SOCKETS, None))
    peer.say(p.ICEServerQuery(CLIENT_ID, *SOCKETS, DOMAIN_ID), PARTY)
    return peer


@SWEEP.phase
def shut() -> OvertePeer:
    peer = known()
    peer.close(peer.now)
    return peer


# -- what comes of it


EVERYWHERE: Final = ("", " from a stranger", " from a node", " from the ice-server")
UNTOLD: Final[Mapping[str, set[str]]] = {
    "without_a_socket": {"ConnectionToken"},  # the next request has it
    "refused": {"DomainConnectionDenied"},  # with the same words
    "among_nodes": {"DomainList"},  # as it was
    "with_channels": {"DomainList"},
    "knocked": {f"DomainConnectRequest, signed{sender}" for sender in EVERYWHERE},  # it waits for the key
    "among_others": {"HANDSHAKE_REQUEST None"},  # nothing waits to be sent
    "registered": {
        "ICEPingReply",
        *(f"ICEServerHeartbeat{what} from the ice-server" for what in ("ACK", "Denied")),
        *(f"ICE_SERVER_HEARTBEAT_{what} of 4 bytes from the ice-server" for what in ("ACK", "DENIED")),
    },
}
"""What is heeded without a word: what changes when the next datagram is sent, or what was heeded already."""


@pytest.mark.parametrize("name", SWEEP.stages)
def test_every_packet_in_every_phase_is_counted_told_or_answered(name: str) -> None:
    phase = SWEEP[name]
    found = {one: phase.outcome(one) for one in phase.datagrams}
    quiet = {one for one, came in found.items() if not any(attrs.astuple(came, recurse=False))}
    assert quiet == UNTOLD.get(name, set())


@pytest.mark.parametrize("name", SWEEP.stages)
def test_nobody_grows_by_what_comes_again_and_again(name: str) -> None:
    assert not SWEEP[name].grows()
