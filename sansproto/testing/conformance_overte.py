"""What this library makes of the vectors of Overte: see :mod:`sansproto.testing.conformance` and vectors/README.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import isclose
from typing import Any

import attrs

from ..contract import Entropy
from ..errors import Fault, WireError
from ..overte import (
    ClientDelays,
    ClientLimits,
    DomainClient,
    DomainServer,
    IceDelays,
    IceLimits,
    IceRegistration,
    IceServer,
    IceTarget,
    NodeType,
    Policy,
    ServerDelays,
    ServerLimits,
    avatars,
    crypto,
    packing,
    payloads,
    qt,
)
from ..overte.avatars import TraitOverride
from ..overte.header import Control, Position, decode_datagram, encode_datagram
from ..overte.packets import PACKETS
from ..overte.payloads import PAYLOADS
from ..overte.qt import SocketType
from ..trace import Trace
from ..wire import ABSENT, BOOL, U8, U16BE, U32BE, U64BE, Codec, Const, Int, Nested, OneOf, Packet, field, packet
from ._internal.layouts import Layout
from ._internal.layouts_overte import MODULES as PACKETS_IN
from ._internal.lenient_overte import read_leniently
from ._internal.protocols import tables_of
from ._internal.qt_compression import deflate, inflate
from .conformance import Answer, Config, Make, settings
from .record import lively, plain
from .vectors import VectorTest

TABLES = tables_of("overte")
CANNOT: frozenset[str] = frozenset()


def fields_of(value: Packet) -> dict[str, Any]:
    """The fields of a packet as a vector has them; an optional one that is absent is left out, and so is a constant."""
    fields = [one for one in value.__wire__.fields if not isinstance(one.codec, Const)]
    values = {one.name: (one.codec, getattr(value, one.name)) for one in fields}
    return {name: _plain(codec, value) for name, (codec, value) in values.items() if value is not ABSENT}


def _plain(codec: Codec[Any], value: Any) -> Any:
    if isinstance(codec, Int) and codec.size == 8:
        return str(value)
    if isinstance(codec, OneOf):
        return {"packet": type(value).__name__, "fields": fields_of(value)}
    if isinstance(codec, qt.SockAddrCodec):
        return {**plain(attrs.evolve(value, kind=SocketType.UDP)), **({"kind": _kind(value)} if codec.typed else {})}
    if isinstance(value, avatars.AvatarState):
        there = {name: (section.codec, getattr(value, name)) for name, section in avatars.SECTIONS.items()}
        return {name: _plain(inner, content) for name, (inner, content) in there.items() if content is not None}
    return _item(value)


def _item(value: Any) -> Any:
    """A value as JSON. A floating-point number is the shortest text that gives it, as in all vectors."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple):
        return [_item(item) for item in value]
    if isinstance(value, Packet):
        return fields_of(value)
    if isinstance(value, (avatars.Joints, avatars.DefaultPose, avatars.Trait)):
        there = {one.name: getattr(value, one.name) for one in attrs.fields(type(value))}
        return {name: _item(content) for name, content in there.items() if content is not None}
    return plain(value)


def _kind(value: qt.SockAddr) -> Any:
    return plain(_KINDS.decode(bytes((value.kind,))))


# -- packets


def _datagram(test: VectorTest) -> Answer:
    head, payload = decode_datagram(test.octets("wire"))
    if isinstance(head, Control):
        fields = {"type": head.type.name, "sequence": head.sequence}
        return {
            "packet": "Control",
            "fields": {name: value for name, value in fields.items() if value is not None},
            "rest": payload.hex(),
            "canonical": encode_datagram(head).hex(),
        }
    kind, header = _KNOWN.get(head.type.value), plain(head)
    if head.part is not None and head.part.position is not Position.ONLY:
        return _opaque("Part", header, payload, encode_datagram(head, payload))
    if kind is None:
        return _opaque("Payload", header, payload, encode_datagram(head, payload))
    value, end = kind.decode_prefix(payload)
    return {
        "packet": kind.__name__,
        "header": header,
        "fields": fields_of(value),
        "rest": payload[end:].hex(),
        "canonical": encode_datagram(head, value.encode()).hex(),
    }


def _opaque(name: str, header: Any, payload: bytes, canonical: bytes) -> Answer:
    fields = {"payload": payload.hex()}
    return {"packet": name, "header": header, "fields": fields, "rest": "", "canonical": canonical.hex()}


def _payload(test: VectorTest) -> Answer:
    kind = _BY_NAME[test["packet"]]
    value, end = kind.decode_prefix(test.octets("wire"))
    rest = test.octets("wire")[end:].hex()
    return {"packet": test["packet"], "fields": fields_of(value), "rest": rest, "canonical": value.encode().hex()}


def _lenient(test: VectorTest) -> Answer:
    value = read_leniently(_BY_NAME[test["packet"]], test.octets("wire"))
    return {"packet": test["packet"], "fields": fields_of(value)}


@packet
class _Numbers(Packet):
    boolean: bool = field(BOOL)
    u16: int = field(U16BE)
    u32: int = field(U32BE)
    u64: int = field(U64BE)


_KINDS = qt.OpenEnum(U8, SocketType)
_KNOWN: Mapping[int, type[Packet]] = {**PACKETS, **PAYLOADS}
_BY_NAME: Mapping[str, type[Packet]] = {
    kind.__name__: kind for kind in (*_KNOWN.values(), payloads.AvatarIdentityBefore55, TraitOverride)
}
_QT: Mapping[str, Codec[Any]] = {
    "QString": qt.QSTRING,
    "QByteArray": qt.QBYTEARRAY,
    "QUuid": qt.UUID,
    "QListU8": qt.U8_LIST,
    "Numbers": Nested(_Numbers),
    "SockAddr": qt.SOCK_ADDR,
    "TypedSockAddr": qt.TYPED_SOCK_ADDR,
}


def _qt(test: VectorTest) -> Answer:
    """A value of QDataStream. The library has QHostAddress with a port only, so one is added here."""
    port = b"\0\0" if test["packet"] == "QHostAddress" else b""
    codec = _QT["SockAddr" if port else test["packet"]]
    wire = test.octets("wire") + port
    value = codec.decode(wire)
    fields = _plain(codec, value)
    if port:
        del fields["port"]
    canonical = codec.encode(value).removesuffix(port).hex()
    return {
        "packet": test["packet"],
        "fields": fields if isinstance(fields, dict) else {"value": fields},
        "rest": "",
        "canonical": canonical,
    }


def _compressed(test: VectorTest) -> Answer:
    content = inflate(test.octets("inputs", "compressed"), test["inputs"]["limit"])
    assert inflate(deflate(content), len(content)) == content
    return {"content": content.hex()}


# -- layouts


LAYOUT = Layout(
    modules=PACKETS_IN,
    types={"overte.payload": {name: Nested(kind) for name, kind in _BY_NAME.items()}, "overte.qt": _QT},
)


# -- keys


def _signature(test: VectorTest) -> Answer:
    return {"signature": crypto.protocol_signature(test.octets("inputs", "versions")).hex()}


def _mac(test: VectorTest) -> Answer:
    key, payload = test.octets("inputs", "secret"), test.octets("inputs", "payload")
    if not crypto.mac_matches(key, payload, test.octets("inputs", "mac")):
        raise WireError(Fault.BAD_MAC)
    return {"mac": crypto.mac(key, payload).hex()}


def _username(test: VectorTest) -> Answer:
    inputs = test["inputs"]
    public, token = test.octets("inputs", "public_key"), test.octets("inputs", "token")
    if not crypto.verify_username(public, test.octets("inputs", "signature"), inputs["username"], token):
        raise WireError(Fault.BAD_MAC)
    private = test.octets("inputs", "private_key")
    return {
        "public_key": crypto.public_key_der(private).hex(),
        "message": crypto.username_message(inputs["username"], token).hex(),
        "signature": crypto.sign_username(private, inputs["username"], token).hex(),
    }


# -- packed numbers


def _packed(test: VectorTest) -> Answer:
    """The value as it is packed. A float is text, as in packets."""
    pack, _ = _PACKING[test["inputs"]["as"]]
    return {"packed": plain(pack(_number(test["inputs"]["value"])))}


def _unpacked(test: VectorTest) -> Answer:
    """The unpacked value; the expected one if they differ by less than a 10,000th, as mathematics libraries do."""
    given, expected = test["inputs"]["packed"], test["outputs"]["value"]
    _, unpack = _PACKING[test["inputs"]["as"]]
    value = unpack(bytes.fromhex(given) if isinstance(given, str) else given)
    is_close = map(partial(isclose, rel_tol=1e-4), _flat(value), _flat(_number(expected)))
    return {"value": expected if all(is_close) else _item(value)}


def _number(given: Any) -> Any:
    return tuple(map(float, given)) if isinstance(given, list) else float(given)


def _flat(value: Any) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


_PACKING: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "rotation": (packing.pack_rotation, packing.unpack_rotation),
    "ratio": (packing.pack_ratio, packing.unpack_ratio),
    "gain": (packing.pack_gain, packing.unpack_gain),
    "angle": (packing.pack_angle, packing.unpack_angle),
    "clip": (packing.pack_clip, packing.unpack_clip),
}


ANSWERS: Mapping[str, Callable[[VectorTest], Answer]] = {
    "overte.datagram": _datagram,
    "overte.payload": _payload,
    "overte.lenient": _lenient,
    "overte.qt": _qt,
    "overte.qcompress": _compressed,
    "overte.protocol_signature": _signature,
    "overte.mac": _mac,
    "overte.username_signature": _username,
    "overte.packed": _packed,
    "overte.unpacked": _unpacked,
}


# -- sessions


def _endpoint(config: Config, entropy: Entropy, trace: Trace | None, delays: type, limits: type) -> dict[str, Any]:
    """The arguments that the constructors of all machines have in common."""
    return {
        "entropy": entropy,
        "wall_epoch": config["wall_epoch_us"] / 1e6 if "wall_epoch_us" in config else config["wall_epoch"] / 1000,
        "delays": settings(delays, config["delays"]),
        "limits": settings(limits, config["limits"]),
        "trace": trace,
    }


def _optional(config: Config, **kinds: Any) -> dict[str, Any]:
    """Those of these optional arguments that the config has, as values of these types."""
    return {name: lively(config[name], kind) for name, kind in kinds.items() if name in config}


def _client(config: Config, entropy: Entropy, trace: Trace | None = None) -> DomainClient:
    optional = _optional(
        config,
        node_type=NodeType,
        interest=bytes,
        fingerprint=bytes,
        username=str,
        private_key=bytes,
        place_name=str,
        ice=IceTarget,
        assignment=bytes,
        local_host=str,
    )
    pairs: dict[str, Any] = {
        name: tuple(config[name].values()) for name in ("stun", "domain_account") if name in config
    }
    return DomainClient(
        host=config["host"],
        port=config["port"],
        **optional,
        **pairs,
        **_endpoint(config, entropy, trace, ClientDelays, ClientLimits),
    )


def _server(config: Config, entropy: Entropy, trace: Trace | None = None) -> DomainServer:
    ice = config.get("ice")
    if ice is not None:
        servers = tuple((server["host"], server["port"]) for server in ice["servers"])
        ice = IceRegistration(servers=servers, private_key=bytes.fromhex(ice["private_key"]))
    policy: Policy = lively(config.get("policy", {}), Policy)
    paths = {one["path"]: one["viewpoint"] for one in config.get("paths", ())}
    return DomainServer(
        ice=ice,
        policy=attrs.evolve(policy, paths=paths),
        **_optional(config, domain_id=bytes, authenticate=bool, strict_senders=bool),
        **_endpoint(config, entropy, trace, ServerDelays, ServerLimits),
    )


def _ice_server(config: Config, entropy: Entropy, trace: Trace | None = None) -> IceServer:
    keys = config["keys"]
    if keys is not None:
        keys = {bytes.fromhex(domain): bytes.fromhex(key) for domain, key in keys.items()}
    return IceServer(keys=keys, **_endpoint(config, entropy, trace, IceDelays, IceLimits))


MACHINES: Mapping[str, Make] = {
    "overte.client": _client,
    "overte.server": _server,
    "overte.ice_server": _ice_server,
}
