"""The parts of a domain server and of an ice-server, each driven alone."""

from __future__ import annotations

import attrs
from alone import Alone

from sansproto.contract import Address, Lookup, Path
from sansproto.overte import packets as p
from sansproto.overte.heartbeat import Heartbeat, HeartbeatInput, HeartbeatState
from sansproto.overte.ice_directory import HEARTBEAT, QUERY, Directory
from sansproto.overte.ice_events import IcePeerAdded, IcePeerRemoved, KeyRefused
from sansproto.overte.ice_peer import IcePeer, IcePeerInput, IcePeerState, Seen
from sansproto.overte.limits import IceDelays, IceLimits, ServerDelays, ServerLimits
from sansproto.overte.punch import Punch, PunchInput, PunchState
from sansproto.overte.qt import NULL_SOCK_ADDR, SockAddr
from sansproto.overte.received import Received
from sansproto.overte.registration import ACK, DENIAL, Registration, RegistrationInput, RegistrationState, Signed
from sansproto.overte.transport import SOCKET
from sansproto.overte.versions import PacketType

DOMAIN, CLIENT = b"d" * 16, b"c" * 16
ICE, STRANGER = (Path(SOCKET, f"198.51.100.{n}", 7337) for n in (1, 66))
BEAT = (ICE, PacketType.ICE_SERVER_HEARTBEAT, b"signed")
DELAYS, LIMITS = ServerDelays(), ServerLimits(beats=1, denials=1)


class Owner:
    """Who has the parts of parts."""

    payload, domain_id = b"signed", DOMAIN

    def __init__(self) -> None:
        self.told: list[object] = []

    def lose_server(self) -> None:
        self.told.append("lost")

    def forget_punch(self, client_id: bytes) -> None:
        self.told.append(client_id)

    forget_peer = forget_punch


def test_a_registration() -> None:
    host = Alone()
    registration = host.keep(Registration(host, (("one", 7337), ("two", 1)), DOMAIN, DELAYS, LIMITS))
    registration.begin(Signed(Address("10.0.0.1", 40102), b"signed"))
    registration.post(RegistrationInput.START())
    registration.looked_up((Address("2001:db8::1", 1), Address(ICE.host, ICE.port)))
    for guards, path in ((ACK, STRANGER), (ACK, ICE), (DENIAL, ICE), (DENIAL, ICE)):
        registration.take(guards, path)
    host.run()
    assert (host.sent, host.stats.dropped) == ([Lookup(1, "one", 7337), BEAT], {"not from our ice-server": 1})
    assert host.events() == [KeyRefused("one", 7337)]
    registration.lose_server()
    host.run()
    assert (host.sent[2:], registration.state) == ([Lookup(2, "two", 1)], RegistrationState.RESOLVING)


def test_heartbeats() -> None:
    host, owner = Alone(), Owner()
    heartbeat = host.keep(Heartbeat(host, owner, DELAYS, LIMITS))
    heartbeat.begin(ICE)
    heartbeat.post(HeartbeatInput.START())
    host.run()
    for now in (1.0, 2.0):
        host.handle_timeout(now)
    assert (host.sent, owner.told, heartbeat.state) == ([BEAT] * 2, ["lost"], HeartbeatState.GONE)


def test_a_punch() -> None:
    host, owner = Alone(), Owner()
    punch = host.keep(Punch(host, owner, DELAYS, CLIENT))
    punch.post(PunchInput.TOLD(p.ICEServerPeerInformation(CLIENT, SockAddr("203.0.113.9", 5000), NULL_SOCK_ADDR)))
    host.run()
    for now in (0.25, 2.0):
        host.handle_timeout(now)
    assert set(host.sent) == {(Path(SOCKET, "203.0.113.9", 5000), p.ICEPing(DOMAIN, p.PingType.PUBLIC))}
    assert (owner.told, punch.state) == ([CLIENT], PunchState.GONE)


SEEN = Seen(ICE, SockAddr("198.51.100.1", 7337), NULL_SOCK_ADDR, is_domain=False)


def test_an_ice_peer() -> None:
    host, owner = Alone(), Owner()
    peer = host.keep(IcePeer(host, owner, IceDelays(), CLIENT))
    peer.note(SEEN)
    for seen in (SEEN, SEEN, attrs.evolve(SEEN, path=STRANGER, is_domain=True)):
        peer.post(IcePeerInput.SPOKE(seen))
    host.run()
    host.handle_timeout(5.0)
    added = [IcePeerAdded(CLIENT, Address(at.host, at.port), is_domain=at is STRANGER) for at in (ICE, STRANGER)]
    assert host.events() == [added[0], IcePeerRemoved(CLIENT), added[1], IcePeerRemoved(CLIENT)]
    assert (owner.told, peer.state) == ([CLIENT], IcePeerState.GONE)


def test_a_directory() -> None:
    host = Alone()
    directory = host.keep(Directory(host, None, IceDelays(), IceLimits(peers=2)))
    beat = p.ICEServerHeartbeat(DOMAIN, NULL_SOCK_ADDR, NULL_SOCK_ADDR, None)
    directory.take(HEARTBEAT, Received(beat, ICE))
    directory.take(HEARTBEAT, Received(beat, STRANGER))
    directory.take(QUERY, Received(p.ICEServerQuery(CLIENT, NULL_SOCK_ADDR, NULL_SOCK_ADDR, DOMAIN), STRANGER))
    host.run()
    told = [(STRANGER, DOMAIN, "198.51.100.1"), (ICE, CLIENT, "198.51.100.66")]
    null = NULL_SOCK_ADDR
    infos = [(path, p.ICEServerPeerInformation(key, SockAddr(at, 7337), null)) for path, key, at in told]
    assert host.sent == [(ICE, p.ICEServerHeartbeatACK()), *infos]
    assert host.stats.dropped == {"the id of another peer": 1}
    assert (set(directory.peers), directory.clients) == ({DOMAIN, CLIENT}, {CLIENT})
