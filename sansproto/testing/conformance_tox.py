"""What this library makes of the vectors of Tox: see :mod:`sansproto.testing.conformance` and vectors/README.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from ..contract import Address, Entropy
from ..errors import WireError
from ..proxies import Proxy, ProxyKind
from ..tox import crypto, nodes, payloads, requests
from ..tox import packets as p
from ..tox.limits import (
    NodeDelays,
    NodeLimits,
    RelayClientDelays,
    RelayClientLimits,
    RelayServerDelays,
    RelayServerLimits,
)
from ..tox.node import ToxNode
from ..tox.relay_client import RelayClient
from ..tox.relay_server import RelayServer
from ..trace import Trace
from ..wire import Nested, OneOf, Packet
from ._internal.layouts import Layout
from ._internal.packet_answers import packet_answer
from ._internal.protocols import tables_of
from .conformance import Answer, Config, Make, settings
from .record import plain
from .vectors import VectorTest

TABLES = tables_of("tox")
CANNOT: frozenset[str] = frozenset()

_NUMBERS: Final = 1 << 32


# -- packets


def _one_of(codec: OneOf[Any], test: VectorTest) -> Answer:
    value = codec.decode(test.octets("wire"))
    return packet_answer(value, codec.encode(value))


PARTS: Final[Mapping[str, type[Packet]]] = {
    kind.__name__: kind
    for kind in (
        p.CookieRequestBody,
        p.CookieResponseBody,
        p.Cookie,
        p.CookieBody,
        p.HandshakeBody,
        p.DataBody,
        p.DhtPingBody,
        p.DhtPongBody,
        p.RelayHello,
        p.RelayAnswer,
        p.RelayKeys,
        p.RelayFrame,
    )
}
"""Packets that do not begin with the number of their kind."""


def _part(test: VectorTest) -> Answer:
    value = PARTS[test["packet"]].decode(test.octets("wire"))
    return packet_answer(value, value.encode())


def _frame(test: VectorTest) -> Answer:
    value = p.decode_frame(test.octets("wire"))
    return packet_answer(value, p.encode_frame(value))


def _nodes(test: VectorTest) -> Answer:
    relays = nodes.decode_nodes(test.octets("wire"))
    told = [{"key": one.key.hex(), "host": one.address.host, "port": one.address.port} for one in relays]
    return {
        "packet": "Nodes",
        "fields": {"relays": told},
        "rest": "",
        "canonical": nodes.encode_nodes(relays).hex(),
    }


LAYOUT: Final = Layout(
    modules=(p,),
    types={
        "tox.datagram": p.DATAGRAM,
        "tox.part": {name: Nested(kind) for name, kind in PARTS.items()},
        "tox.friend": p.FRIEND,
        "tox.packed_node": p.NODE,
    },
)


# -- functions


def _given(test: VectorTest, name: str) -> bytes:
    return test.octets("inputs", name)


def _public_key(test: VectorTest) -> Answer:
    return {"out": crypto.KeyPair.of(_given(test, "secret_key")).public.hex()}


def _agreement(test: VectorTest) -> Answer:
    return {"out": crypto.agree(_given(test, "secret_key"), _given(test, "public_key")).hex()}


def _sealed(key: bytes, test: VectorTest) -> Answer:
    nonce, clear = _given(test, "nonce"), _given(test, "plain")
    sealed = crypto.seal(key, nonce, clear)
    assert crypto.open_sealed(key, nonce, sealed) == clear
    return {"out": sealed.hex()}


def _seal(test: VectorTest) -> Answer:
    return _sealed(_given(test, "shared_key"), test)


def _box(test: VectorTest) -> Answer:
    return _sealed(crypto.agree(_given(test, "secret_key"), _given(test, "public_key")), test)


def _nonce(test: VectorTest) -> Answer:
    return {"out": crypto.nonce_after(_given(test, "nonce"), test["inputs"].get("n", 1)).hex()}


def _sha512(test: VectorTest) -> Answer:
    return {"out": crypto.sha512(_given(test, "data")).hex()}


def _request(test: VectorTest) -> Answer:
    """A list of missing packets, and the numbers that its receiver reads in it."""
    inputs = test["inputs"]
    start = inputs["buffer_start"]
    span = (inputs["buffer_end"] - start) % _NUMBERS
    listed = requests.encode([(one - start) % _NUMBERS for one in inputs["missing"]], span, inputs["max_len"])
    asked = requests.walk(listed[1:], span).asked
    return {"decoded": [(one + start) % _NUMBERS for one in asked], "out": listed.hex()}


def _data(test: VectorTest) -> Answer:
    inputs, key, nonce = test["inputs"], _given(test, "shared_key"), _given(test, "nonce")
    said = inputs["buffer_start"], inputs["packet_number"], _given(test, "payload")
    clear = payloads.write(*said)
    data = crypto.seal_data(key, nonce, clear)
    read = p.DATAGRAM.decode(data)
    assert isinstance(read, p.Data)
    assert p.DATAGRAM.encode(read) == data
    assert read.tail == int.from_bytes(nonce, "big") % (1 << 16)
    assert payloads.read(crypto.open_sealed(key, nonce, read.sealed)) == said
    return {"plain": clear.hex(), "padding": len(clear) - 8 - len(said[2]), "out": data.hex()}


def _node(test: VectorTest) -> Answer:
    """A packed node. The library reads UDP nodes as relays, too."""
    address, port, key = ip_address(test["inputs"]["ip"]), test["inputs"]["port"], _given(test, "public_key")
    kinds: Mapping[tuple[str, int], type[p.PackedNode]] = {
        ("udp", 4): p.UdpV4,
        ("udp", 6): p.UdpV6,
        ("tcp", 4): p.TcpV4,
        ("tcp", 6): p.TcpV6,
    }
    packed = p.NODE.encode(kinds[test["inputs"]["kind"], address.version](address.packed, port, key))
    assert nodes.decode_nodes(packed) == (nodes.Relay(key, Address(str(address), port)),)
    return {"out": packed.hex()}


def _relay_frame(test: VectorTest) -> Answer:
    key, nonce, clear = (_given(test, name) for name in ("shared_key", "nonce", "plain"))
    wire = p.RelayFrame(crypto.seal(key, nonce, clear)).encode()
    assert crypto.open_sealed(key, nonce, p.RelayFrame.decode(wire).sealed) == clear
    answer = {"out": wire.hex(), "next_nonce": crypto.nonce_after(nonce, 1).hex(), "accepted": True}
    with suppress(WireError):  # not everything that was sealed is a packet
        answer["routing_id"] = getattr(p.decode_frame(clear), "connection", None)
    return answer


def _keys(test: VectorTest) -> Answer:
    """The public keys of the secret ones, and the key on which both ends of a session agree."""
    publics = _publics(test)
    shared = crypto.agree(_given(test, "a_session_sk"), bytes.fromhex(publics["b_session_pk"])).hex()
    other = crypto.agree(_given(test, "b_session_sk"), bytes.fromhex(publics["a_session_pk"])).hex()
    return {**publics, "shared_a": shared, "shared_b": other, "out": shared}


# -- what is opened with the keys of its sender or its receiver, and sealed again


def _publics(test: VectorTest) -> dict[str, str]:
    """The public key of every secret one."""
    secrets = [name for name in test["inputs"] if name.endswith("_sk")]
    return {f"{name[:-3]}_pk": crypto.KeyPair.of(_given(test, name)).public.hex() for name in secrets}


def _agreed(test: VectorTest, one: str, other: str) -> bytes:
    """The key on which two ends agree. The test has the secret key of one of them."""
    known = {**test["inputs"], **_publics(test)}
    own, theirs = (one, other) if f"{one}_sk" in known else (other, one)
    return crypto.agree(_given(test, f"{own}_sk"), bytes.fromhex(known[f"{theirs}_pk"]))


def _inside(key: bytes, packet: crypto.Sealed, body: Packet) -> dict[str, Any]:
    return {"shared_key": key.hex(), "nonce": packet.nonce.hex(), "plain": body.encode().hex()}


def _cookie_plain(test: VectorTest, cookie: bytes) -> dict[str, Any]:
    """What a cookie holds, if the key of its issuer is known."""
    for name in ("cookie_symmetric_key", "cookie_symmetric_key_of_receiver"):
        if name in test["inputs"]:
            body = crypto.open_cookie(_given(test, name), cookie)
            again = crypto.make_cookie(_given(test, name), cookie[:24], body.time, body.real_key, body.dht_key)
            assert again == cookie
            return {"cookie_plain": body.encode().hex(), "mono_time_s": body.time}
    return {}


def _cookie_request(test: VectorTest) -> Answer:
    packet, key = p.DATAGRAM.decode(_given(test, "packet")), _agreed(test, "receiver_dht", "sender_dht")
    assert isinstance(packet, p.CookieRequest)
    body = crypto.open_body(p.CookieRequestBody, key, packet)
    again = p.CookieRequest(packet.dht_key, packet.nonce, crypto.seal_body(key, packet.nonce, body))
    said = {"sender_dht_pk": packet.dht_key, "sender_real_pk": body.real_key, "number_bytes": body.number}
    return {**plain(said), **_inside(key, packet, body), "out": p.DATAGRAM.encode(again).hex()}


def _cookie_response(test: VectorTest) -> Answer:
    packet, key = p.DATAGRAM.decode(_given(test, "packet")), _agreed(test, "receiver_dht", "sender_dht")
    assert isinstance(packet, p.CookieResponse)
    body = crypto.open_body(p.CookieResponseBody, key, packet)
    again = p.CookieResponse(packet.nonce, crypto.seal_body(key, packet.nonce, body))
    said = {"cookie": body.cookie.hex(), "number_bytes": body.number.hex(), "out": p.DATAGRAM.encode(again).hex()}
    return {**said, **_inside(key, packet, body), **_cookie_plain(test, body.cookie)}


def _cookie(test: VectorTest) -> Answer:
    said = _cookie_plain(test, _given(test, "cookie"))
    return {**said, "out": said["cookie_plain"][16:]}


def _handshake(test: VectorTest) -> Answer:
    packet, key = p.DATAGRAM.decode(_given(test, "packet")), _agreed(test, "receiver_real", "sender_real")
    assert isinstance(packet, p.Handshake)
    body = crypto.open_handshake(key, packet)
    again = crypto.make_handshake(
        key, packet.nonce, packet.cookie, body.base_nonce, body.session_key, body.other_cookie
    )
    said = {
        "cookie": packet.cookie,
        "base_nonce": body.base_nonce,
        "session_pk": body.session_key,
        "other_cookie": body.other_cookie,
        "out": p.DATAGRAM.encode(again),
    }
    return {**plain(said), **_inside(key, packet, body), **_cookie_plain(test, packet.cookie)}


def _relay_hello(test: VectorTest) -> Answer:
    packet, key = p.RelayHello.decode(_given(test, "packet")), _agreed(test, "server", "client")
    body = crypto.open_body(p.RelayKeys, key, packet)
    again = p.RelayHello(packet.key, packet.nonce, crypto.seal_body(key, packet.nonce, body))
    said = {"client_pk": packet.key, "client_temp_pk": body.key, "client_base_nonce": body.base_nonce}
    return {**plain(said), **_inside(key, packet, body), "out": again.encode().hex()}


def _relay_answer(test: VectorTest) -> Answer:
    packet, key = p.RelayAnswer.decode(_given(test, "packet")), _agreed(test, "client", "server")
    body = crypto.open_body(p.RelayKeys, key, packet)
    again = p.RelayAnswer(packet.nonce, crypto.seal_body(key, packet.nonce, body))
    said = {"server_temp_pk": body.key, "server_base_nonce": body.base_nonce}
    return {**plain(said), **_inside(key, packet, body), "out": again.encode().hex()}


def _opened(answer: Callable[[VectorTest], Answer]) -> Callable[[VectorTest], Answer]:
    """Adds ``accepted``, and the public keys of all secret ones."""

    def opened(test: VectorTest) -> Answer:
        try:
            return {**_publics(test), "accepted": True, **answer(test)}
        except WireError:
            return {**_publics(test), "accepted": False}

    return opened


ANSWERS: Final[Mapping[str, Callable[[VectorTest], Answer]]] = {
    "tox.datagram": partial(_one_of, p.DATAGRAM),
    "tox.friend": partial(_one_of, p.FRIEND),
    "tox.node": _node,
    "tox.part": _part,
    "tox.frame": _frame,
    "tox.nodes": _nodes,
    "tox.packed_node": partial(_one_of, p.NODE),
    "tox.public_key": _public_key,
    "tox.agreement": _agreement,
    "tox.seal": _seal,
    "tox.box": _box,
    "tox.nonce": _nonce,
    "tox.sha512": _sha512,
    "tox.request": _request,
    "tox.data": _data,
    "tox.relay_frame": _relay_frame,
    "tox.keys": _keys,
    "tox.cookie_request": _opened(_cookie_request),
    "tox.cookie_response": _opened(_cookie_response),
    "tox.cookie": _opened(_cookie),
    "tox.handshake": _opened(_handshake),
    "tox.relay_hello": _opened(_relay_hello),
    "tox.relay_answer": _opened(_relay_answer),
}


# -- sessions


def _proxy(config: Config) -> Proxy | None:
    said = config.get("proxy")
    return said and Proxy(ProxyKind[said["kind"]], Address(said["host"], said["port"]))


def _relay_server(config: Config, entropy: Entropy, trace: Trace | None = None) -> RelayServer:
    return RelayServer(
        private_key=bytes.fromhex(config["private_key"]),
        entropy=entropy,
        strict=config.get("strict", False),
        delays=settings(RelayServerDelays, config["delays"]),
        limits=settings(RelayServerLimits, config["limits"]),
        trace=trace,
    )


def _relay_client(config: Config, entropy: Entropy, trace: Trace | None = None) -> RelayClient:
    return RelayClient(
        relay=nodes.Relay(bytes.fromhex(config["relay"]), Address(config["host"], config["port"])),
        private_key=bytes.fromhex(config["private_key"]),
        entropy=entropy,
        proxy=_proxy(config),
        delays=settings(RelayClientDelays, config["delays"]),
        limits=settings(RelayClientLimits, config["limits"]),
        trace=trace,
    )


def _tox_node(config: Config, entropy: Entropy, trace: Trace | None = None) -> ToxNode:
    return ToxNode(
        real_key=bytes.fromhex(config["real_key"]),
        dht_key=bytes.fromhex(config["dht_key"]),
        entropy=entropy,
        proxy=_proxy(config),
        delays=settings(NodeDelays, config["delays"]),
        limits=settings(NodeLimits, config["limits"]),
        trace=trace,
    )


MACHINES: Final[Mapping[str, Make]] = {
    "tox.tox_node": _tox_node,
    "tox.relay_server": _relay_server,
    "tox.relay_client": _relay_client,
}
