"""What an attacker may say to the two ends, for the explorer; and what it does to them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Set
from functools import cache, lru_cache
from typing import Any, NamedTuple

import attrs
from exploring_overte import (
    CLIENT,
    DOMAIN_ID,
    EPOCH,
    NAMES,
    PAIR,
    STRANGER,
    THREE,
    Exploration,
    clients,
    is_connected,
    sound,
    undeceived,
)
from scripted_overte import connect_request, control, datagram, domain_list, record

from sansproto.contract import Address, Path
from sansproto.overte import packets as p
from sansproto.overte.header import ControlType
from sansproto.overte.qt import SockAddr
from sansproto.overte.remote import SOCKET
from sansproto.overte.versions import DEFAULT, PacketType
from sansproto.testing._internal.parties import Parties
from sansproto.testing.explorer import Scene, explore

NOWHERE = SockAddr(STRANGER.host, STRANGER.port)
NOBODY = {"public_socket": NOWHERE, "local_socket": NOWHERE, "permissions": 0, "local_id": 9, "secret": b"9" * 16}
FALSE = {"domain_local_id": 7, "session_id": b"x" * 16, "local_id": 8, "processing_time": 0, "new_connection": False}
HONEST = {
    "client_clock": int(EPOCH * 1e6),
    "public_socket": SockAddr("", CLIENT.port),
    "local_socket": SockAddr(CLIENT.host, CLIENT.port),
    "interests": b"M",
}
MACHINE = {"machine_fingerprint": CLIENT.host.encode().ljust(16, b"\1")}


def a_record(number: int = 9, **changes: Any) -> p.NodeRecord:
    """A mixer that does not exist."""
    return record(number=number, **{**NOBODY, **changes})


def a_list(**changes: Any) -> bytes:
    return datagram(domain_list(**{"domain_id": DOMAIN_ID, **FALSE, **changes}))


def a_request(version: int = DEFAULT[PacketType.DOMAIN_CONNECT_REQUEST], **changes: Any) -> bytes:
    """A connect request as the client makes them."""
    return datagram(connect_request(**{**HONEST, **MACHINE, **changes}), version=version)


def a_list_request(**changes: Any) -> p.DomainListRequest:
    return p.DomainListRequest.decode(connect_request(**{**HONEST, **changes}).check_in.encode())


class Ids(NamedTuple):
    """What the parties of a world in which all are connected have: what an attacker has to guess, or to see."""

    own: tuple[bytes, int]  # the client's ids
    domain: int
    mixer: tuple[bytes, int]


@lru_cache(2)
def ids(*, with_mixer: bool = False) -> Ids:
    last: list[Scene] = []

    def note(scene: Scene) -> tuple[()]:
        last[:] = [scene]
        return ()

    parties = THREE if with_mixer else PAIR
    explore(parties, invariant=note, begin=is_connected, names=NAMES, max_states=0)
    found = {name: one.ids for name, one in clients(last[0])}
    membership = last[0]["client"].session.membership
    return Ids(found["client"], membership.domain_local_id, found.get("mixer", (bytes(16), 0)))


def controls(sequence: int = 3) -> Iterator[tuple[str, bytes]]:
    for kind in ControlType:
        number = None if kind is ControlType.HANDSHAKE_REQUEST else sequence
        yield kind.name.lower().replace("_", " "), control(kind, number)


def to_client(known: Ids) -> Mapping[str, bytes]:
    """What may be said in the name of the domain, by somebody who knows all that is not secret."""
    node_id, node_local = known.mixer
    own_id, own_local = known.own
    return {
        "a list with other ids": a_list(),
        "a list with our ids": a_list(session_id=own_id, local_id=own_local),
        "a list of another domain": a_list(domain_id=b"o" * 16),
        "a list that ends authentication": a_list(session_id=own_id, local_id=own_local, authenticated=False),
        "a list with a node": a_list(session_id=own_id, local_id=own_local, nodes=(a_record(),)),
        "a denial": datagram(p.DomainConnectionDenied(p.DenialReason.TOO_MANY_USERS, "", "")),
        "a token": datagram(p.ConnectionToken(b"t" * 16)),
        "a node": datagram((PacketType.DOMAIN_SERVER_ADDED_NODE, a_record().encode())),
        "the end of a node": datagram(p.RemovedNode(node_id)),
        "a viewpoint": datagram(p.PathResponse("/", "/1,1,1/0,0,0,1")),
        "settings": datagram(p.DomainSettings(b"{1}")),
        "a name": datagram(p.UsernameFromIDReply(own_id, "ada", bytes(16), True)),
        "a ping of the domain": datagram(p.Ping(0, 1, 5), source=known.domain),
        "a ping of the mixer": datagram(p.Ping(0, 1, 5), source=node_local),
        "a new ping of the mixer": datagram(p.Ping(1, int(EPOCH * 2e6), 0), source=node_local),
        "a reply of the mixer": datagram(p.PingReply(1, int(EPOCH * 1e6), 0), source=node_local),
        "data of the mixer": datagram((PacketType.MIXED_AUDIO, b"noise"), source=node_local),
        "an ICE ping": datagram(p.ICEPing(DOMAIN_ID, 1)),
        "reliable data": datagram(p.RemovedNode(b"r" * 16), reliable=True, sequence=77),
        "nothing": b"",
        "nonsense": b"what is this?",
        **dict(controls()),
    }


def to_server(known: Ids) -> Mapping[str, bytes]:
    """What may be said in the name of the client, by somebody who knows all that is not secret."""
    local_id, request = known.own[1], a_list_request()
    return {
        "a connect request": a_request(),
        "a connect request of another machine": a_request(machine_fingerprint=b"o" * 16),
        "a connect request from another socket": a_request(local_socket=SockAddr("10.0.0.1", 1)),
        "a connect request of another protocol": a_request(protocol_signature=bytes(16)),
        "a connect request of another version": a_request(version=1),
        "a connect request of nothing": datagram((PacketType.DOMAIN_CONNECT_REQUEST, b"")),
        "half a connect request": a_request()[:90],
        "a list request": datagram(request, source=local_id),
        "a list request from another socket": datagram(
            attrs.evolve(request, local_socket=SockAddr("10.0.0.1", 1)), source=local_id
        ),
        "a list request with another id": datagram(request, source=local_id ^ 1),
        "the end": datagram(p.DisconnectRequest(), source=local_id),
        "the end with another id": datagram(p.DisconnectRequest(), source=local_id ^ 1),
        "a ping": datagram(p.Ping(0, 1, 5), source=local_id),
        "statistics": datagram((PacketType.NODE_JSON_STATS, b"{}"), source=local_id),
        "a kick": datagram(p.NodeKickRequest(known.own[0], 0), source=local_id),
        "a question for settings": datagram(p.DomainSettingsRequest(1)),
        "a question for a path": datagram(p.PathQuery("/")),
        "an ICE ping": datagram(p.ICEPing(DOMAIN_ID, 1)),
        "nothing": b"",
        "nonsense": b"what is this?",
        **dict(controls()),
    }


def path_of(address: Address) -> Path:
    return Path(SOCKET, address.host, address.port)


class Effect(NamedTuple):
    """What one datagram of an attacker does: in any world, at any time."""

    deceives: bool  # a client is connected under ids that no server gave
    changes: bool  # anything, for anybody


@cache
def undisturbed(parties: Parties, begin: Callable[[Scene], bool] | None) -> tuple[int, int, Set[Hashable]]:
    """How many worlds there are without an attacker before he may act, and after that; and how it may end."""
    one = Exploration("undisturbed", parties, begin=begin)
    report, ends = one.run()
    way = one.run(max_states=0)[0].states - 1
    return way, report.states - way, ends


def effect(one: Exploration) -> Effect:
    """What the inserts of an exploration do. It must be sound, and settle, all the same.

    What changes nothing leads to the world that was there before, but for the budget: there are twice as many.
    """
    seen = set()

    def invariant(scene: Scene) -> Iterable[str]:
        seen.update(undeceived(scene))
        return sound(scene)

    assert isinstance(one.parties, Parties)
    way, states, ends_before = undisturbed(one.parties, one.begin)
    report, ends = one.run(invariant=invariant)
    assert not report.violations, report
    assert report.exhausted
    return Effect(bool(seen), (report.states - way, ends) != (2 * states, ends_before))
