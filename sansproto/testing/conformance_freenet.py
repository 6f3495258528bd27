"""What this library makes of the vectors of Freenet: see :mod:`sansproto.testing.conformance` and vectors/README.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..contract import Entropy
from ..freenet import FreenetDelays, FreenetGateway, FreenetLimits, FreenetPeer, crypto, versions
from ..freenet import packets as p
from ..freenet.versions import Version
from ..trace import Trace
from ..wire import Nested, Packet
from ._internal.layouts import Layout
from ._internal.packet_answers import fields_of, packet_answer
from ._internal.protocols import tables_of
from .conformance import Answer, Config, Make, settings
from .record import plain
from .vectors import VectorTest

TABLES = tables_of("freenet")
CANNOT: frozenset[str] = frozenset()


# -- packets


def _datagram(test: VectorTest) -> Answer:
    value = p.DATAGRAM.decode(test.octets("wire"))
    return packet_answer(value, p.DATAGRAM.encode(value))


_PARTS: Final = {kind.__name__: kind for kind in (p.IntroBody, p.VersionField, p.OldVersionField, p.Message)}
"""Packets that do not begin with the number of their kind."""


def _part(test: VectorTest) -> Answer:
    value = _PARTS[test["packet"]].decode(test.octets("wire"))
    return packet_answer(value, value.encode())


def _clear(test: VectorTest) -> Answer:
    clear = p.Clear.decode(test.octets("wire"))
    header = {"packet_id": clear.packet_id, "acked": [*clear.acked]}
    return {**packet_answer(clear.body, clear.encode()), "header": header}


LAYOUT: Final = Layout(
    modules=(p, versions),
    types={
        "freenet.datagram": p.DATAGRAM,
        "freenet.part": {name: Nested(kind) for name, kind in _PARTS.items()},
    },
)


# -- functions


def _given(test: VectorTest, name: str) -> bytes:
    return test.octets("inputs", name)


def _open_intro(test: VectorTest) -> Answer:
    intro = p.DATAGRAM.decode(_given(test, "datagram"))
    assert isinstance(intro, p.Intro)
    body = crypto.open_intro(_given(test, "static_secret"), intro)
    return {"version": body.version.hex(), "receive_key": body.key.hex()}


def _seal_intro(test: VectorTest) -> Answer:
    """Also opens the intro as its receiver does."""
    body = p.IntroBody(_given(test, "version"), _given(test, "receive_key"))
    datagram = crypto.seal_intro(_given(test, "peer_public"), _given(test, "ephemeral_secret"), body)
    intro = p.DATAGRAM.decode(datagram)
    assert isinstance(intro, p.Intro)
    assert crypto.open_intro(_given(test, "static_secret"), intro) == body
    return {"datagram": datagram.hex()}


def _version(test: VectorTest) -> Answer:
    version = Version.read(_given(test, "field"))
    return {
        "version": plain(version.number),
        "minimum": plain(version.minimum),
        "compatible": version.speaks_to(Version.read(_given(test, "ours"))),
        "ack_v2": version.takes_version,
    }


def _symmetric(test: VectorTest) -> Answer:
    """Also seals the packet again, which has to give the same bytes."""
    data = _given(test, "datagram")
    packet, cipher = p.DATAGRAM.decode(data), crypto.Cipher(_given(test, "key"))
    assert isinstance(packet, p.Symmetric)
    clear = cipher.open(data)
    assert p.Clear.decode(clear).encode() == clear
    assert cipher.seal(packet.nonce, clear) == data
    return {"nonce": packet.nonce.hex(), "clear": clear.hex(), "message": _message(p.read_clear(clear))}


def _open_symmetric(test: VectorTest) -> Answer:
    p.DATAGRAM.decode(_given(test, "datagram"))
    clear = crypto.Cipher(_given(test, "key")).open(_given(test, "datagram"))
    return {"message": _message(p.read_clear(clear))}


def _decode(test: VectorTest) -> Answer:
    return {"message": _message(p.read_clear(_given(test, "clear")))}


_KINDS: Final[Mapping[type[Packet], str]] = {
    p.AckConnection: "ack",
    p.ShortMessage: "short",
    p.StreamFragment: "stream",
    p.NoOp: "noop",
    p.Ping: "ping",
    p.Pong: "pong",
    p.AckConnectionV2: "ack_v2",
}


def _message(clear: p.Clear) -> Mapping[str, Any]:
    head = {"kind": _KINDS[type(clear.body)], "packet_id": clear.packet_id, "acked": [*clear.acked]}
    match clear.body:
        case p.AckConnection(p.Refusal(reason)):
            return {**head, "error": reason}
        case p.AckConnection(p.Granted() as granted):
            return {**head, **_granted(granted)}
        case p.AckConnectionV2() as ack:
            return {**head, **_granted(ack), "version": ack.version.hex()}
        case body:
            return {**head, **fields_of(body)}


def _granted(ack: p.Granted | p.AckConnectionV2) -> Mapping[str, str]:
    seen = p.told_by(ack.address)
    assert p.seen_at(seen) == ack.address
    return {"key": ack.key.hex(), "address": f"[{seen.host}]:{seen.port}" if ":" in seen.host else str(seen)}


def _split(test: VectorTest) -> Answer:
    size = test["inputs"]["size"]
    if size <= p.MAX_SHORT:
        return {"short": True, "fragments": []}
    count = p.fragment_count(size)
    return {"short": False, "fragments": [p.FRAGMENT_SIZE] * (count - 1) + [size - (count - 1) * p.FRAGMENT_SIZE]}


ANSWERS: Mapping[str, Callable[[VectorTest], Answer]] = {
    "freenet.datagram": _datagram,
    "freenet.part": _part,
    "freenet.clear": _clear,
    "freenet.open_intro": _open_intro,
    "freenet.seal_intro": _seal_intro,
    "freenet.version": _version,
    "freenet.symmetric": _symmetric,
    "freenet.open_symmetric": _open_symmetric,
    "freenet.decode": _decode,
    "freenet.split": _split,
}


# -- sessions


def _gateway(config: Config, entropy: Entropy, trace: Trace | None = None) -> FreenetGateway:
    return FreenetGateway(**_arguments(config, entropy, trace))


def _peer(config: Config, entropy: Entropy, trace: Trace | None = None) -> FreenetPeer:
    return FreenetPeer(**_arguments(config, entropy, trace))


def _arguments(config: Config, entropy: Entropy, trace: Trace | None) -> dict[str, Any]:
    return {
        "private_key": bytes.fromhex(config["private_key"]),
        "entropy": entropy,
        "delays": settings(FreenetDelays, config["delays"]),
        "limits": settings(FreenetLimits, config["limits"]),
        "trace": trace,
    }


MACHINES: Mapping[str, Make] = {"freenet.gateway": _gateway, "freenet.peer": _peer}
