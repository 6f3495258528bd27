"""What an attacker may say to the two ends, for the explorer; and what it does to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import attrs
from exploring_overte import (
    CLIENT,
    DOMAIN_ID,
    EPOCH,
    NAMES,
    NO_FAULTS,
    PAIR,
    SOUND,
    STRANGER,
    THREE,
    Exploration,
    clients,
    is_connected,
    undeceived,
)

from sansproto.contract import Address, Path
from sansproto.overte import packets as p
from sansproto.overte.header import Control, ControlType, Header, encode_datagram
from sansproto.overte.qt import SockAddr
from sansproto.overte.remote import SOCKET
from sansproto.overte.versions import DEFAULT, Form, PacketType
from sansproto.testing.explorer import Scene, explore

TYPES = tuple(PacketType)


def pack(packet: Any, payload: bytes | None = None, *, source: int = 0, **head: Any) -> bytes:
    """A datagram with a packet, or with any payload for a PacketType; what has a MAC by its type has none."""
    kind = packet if isinstance(packet, PacketType) else TYPES[packet.__wire__.id]
    fields: dict[str, Any] = {
        "sequence": 1,
        "version": DEFAULT[kind],
        "source": None if kind.form is Form.UNSOURCED else source,
        "mac": bytes(16) if kind.form is Form.VERIFIED else None,
    }
    return encode_datagram(Header(kind, **{**fields, **head}), packet.encode() if payload is None else payload)


def a_record(number: int = 9, **changes: Any) -> p.NodeRecord:
    """A mixer that does not exist."""
    fields: dict[str, Any] = {
        "type": p.NodeType.AUDIO_MIXER,
        "id": bytes([number]) * 16,
        "public_socket": SockAddr(STRANGER.host, STRANGER.port),
        "local_socket": SockAddr(STRANGER.host, STRANGER.port),
        "permissions": 0,
        "replicated": False,
        "local_id": 9,
        "secret": b"9" * 16,
    }
    return p.NodeRecord(**{**fields, **changes})


def a_list(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "domain_id": DOMAIN_ID,
        "domain_local_id": 7,
        "session_id": b"x" * 16,
        "local_id": 8,
        "permissions": 2049,
        "authenticated": True,
        "client_clock": 0,
        "server_clock": 0,
        "processing_time": 0,
        "new_connection": False,
        "nodes": (),
    }
    return pack(p.DomainList(**{**fields, **changes}))


def a_request(**changes: Any) -> bytes:
    """A connect request as the client makes them."""
    inner = {name: changes.pop(name) for name in tuple(changes) if name in p.CheckIn.__annotations__}
    version = changes.pop("version", DEFAULT[PacketType.DOMAIN_CONNECT_REQUEST])
    request: dict[str, Any] = {
        "connect_id": bytes(16),
        "protocol_signature": DEFAULT.signature,
        "hardware_address": None,
        "machine_fingerprint": CLIENT.host.encode().ljust(16, b"\1"),
        "system_info": bytes(4),
        "reason": 0,
        "previous_uptime": 0,
        "check_in": a_check_in(p.CheckIn, **inner),
        "username": None,
        "username_signature": b"",
    }
    return pack(p.DomainConnectRequest(**{**request, **changes}), version=version)


C = TypeVar("C", bound=p.CheckIn)


def a_check_in(kind: type[C], **changes: Any) -> C:
    fields: dict[str, Any] = {
        "client_clock": int(EPOCH * 1e6),
        "node_type": p.NodeType.AGENT,
        "public_socket": SockAddr("", CLIENT.port),
        "local_socket": SockAddr(CLIENT.host, CLIENT.port),
        "interests": b"M",
        "place_name": None,
    }
    return kind(**{**fields, **changes})


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
        yield kind.name.lower().replace("_", " "), encode_datagram(Control(kind, number))


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
        "a denial": pack(p.DomainConnectionDenied(p.DenialReason.TOO_MANY_USERS, "", "")),
        "a token": pack(p.ConnectionToken(b"t" * 16)),
        "a node": pack(PacketType.DOMAIN_SERVER_ADDED_NODE, a_record().encode()),
        "the end of a node": pack(p.RemovedNode(node_id)),
        "a viewpoint": pack(p.PathResponse("/", "/1,1,1/0,0,0,1")),
        "settings": pack(p.DomainSettings(b"{1}")),
        "a ping of the domain": pack(p.Ping(0, 1, 5), source=known.domain),
        "a ping of the mixer": pack(p.Ping(0, 1, 5), source=node_local),
        "a new ping of the mixer": pack(p.Ping(1, int(EPOCH * 2e6), 0), source=node_local),
        "a reply of the mixer": pack(p.PingReply(1, int(EPOCH * 1e6), 0), source=node_local),
        "data of the mixer": pack(PacketType.MIXED_AUDIO, b"noise", source=node_local),
        "an ICE ping": pack(p.ICEPing(DOMAIN_ID, 1)),
        "reliable data": pack(p.RemovedNode(b"r" * 16), reliable=True, sequence=77),
        "nothing": b"",
        "nonsense": b"what is this?",
        **dict(controls()),
    }


def to_server(known: Ids) -> Mapping[str, bytes]:
    """What may be said in the name of the client, by somebody who knows all that is not secret."""
    local_id, check_in = known.own[1], a_check_in(p.DomainListRequest)
    return {
        "a connect request": a_request(),
        "a connect request of another machine": a_request(machine_fingerprint=b"o" * 16),
        "a connect request from another socket": a_request(local_socket=SockAddr("10.0.0.1", 1)),
        "a connect request of another protocol": a_request(protocol_signature=bytes(16)),
        "a connect request of another version": a_request(version=1),
        "a connect request of nothing": pack(PacketType.DOMAIN_CONNECT_REQUEST, b""),
        "half a connect request": a_request()[:90],
        "a list request": pack(check_in, source=local_id),
        "a list request from another socket": pack(
            attrs.evolve(check_in, local_socket=SockAddr("10.0.0.1", 1)), source=local_id
        ),
        "a list request with another id": pack(check_in, source=local_id ^ 1),
        "the end": pack(p.DisconnectRequest(), source=local_id),
        "the end with another id": pack(p.DisconnectRequest(), source=local_id ^ 1),
        "a ping": pack(p.Ping(0, 1, 5), source=local_id),
        "statistics": pack(PacketType.NODE_JSON_STATS, b"{}", source=local_id),
        "a kick": pack(p.NodeKickRequest(known.own[0], 0), source=local_id),
        "a question for settings": pack(p.DomainSettingsRequest(1)),
        "a question for a path": pack(p.PathQuery("/")),
        "an ICE ping": pack(p.ICEPing(DOMAIN_ID, 1)),
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


def effect(one: Exploration) -> Effect:
    """What the inserts of an exploration do. It must be sound, and settle, all the same.

    What changes nothing leads to the world that was there before, but for the budget: there are twice as many.
    """
    seen = set()

    def invariant(scene: Scene) -> Iterable[str]:
        seen.update(undeceived(scene))
        return SOUND(scene)

    report, ends = one.run(invariant=invariant)
    before, ends_before = one.run(budget=NO_FAULTS)
    assert not report.violations, report
    assert report.exhausted
    way = one.run(budget=NO_FAULTS, max_states=0)[0].states - 1  # that was gone before the attacker may act
    return Effect(bool(seen), (report.states - way, ends) != (2 * (before.states - way), ends_before))
