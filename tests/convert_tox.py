"""Vectors made with c-toxcore as ours: :mod:`convert_vectors`.

Such a file is a list of tests, each with a ``name``, ``inputs`` (among them what comes out), ``hex`` and ``how_made``.

With ``tox-packets`` the packets of the file become tests of kind ``codec``: their fields are cut out of the bytes by
the offsets of the specification, which stand here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import converting
from converting import Test

SOURCE: Final = "c-toxcore"
VERSION: Final = "0.2.18"

LARGEST: Final = 2**53
"""Larger numbers are text in our files."""


def read(path: Path) -> list[dict[str, Any]]:
    document = json.loads(path.read_text("utf-8"))
    if not isinstance(document, list) or not all(
        isinstance(one, dict) and {"name", "inputs", "hex"} <= one.keys() for one in document
    ):
        raise SystemExit(f"{path}: not a file of Tox vectors")
    return document


def source(how_made: str) -> converting.Source:
    captured = how_made.startswith("captured")
    return SOURCE, VERSION, "reference-capture" if captured else "reference-library"


# -- functions ---------------------------------------------------------------------------------------------------------

ANY: Final = {"direction", "index", "note"}
"""What says where a test comes from, and changes nothing."""

COOKIE_KEYS: Final = {"cookie_symmetric_key", "cookie_symmetric_key_of_receiver"}

FAMILIES: Final[tuple[tuple[str, str, set[str]], ...]] = (
    ("derive_public_key", "public_key", {"secret_key"}),
    ("(encrypt_)?precompute", "agreement", {"secret_key", "public_key"}),
    ("encrypt_data_symmetric", "seal", {"shared_key", "nonce", "plain"}),
    ("encrypt_data", "box", {"secret_key", "public_key", "nonce", "plain"}),
    ("increment_nonce(_number)?", "nonce", {"nonce", "n"}),
    ("sha512", "sha512", {"data"}),
    ("request_packet(_wrap)?", "request", {"buffer_start", "buffer_end", "max_len", "missing"}),
    ("(session_)?cookie_request", "cookie_request", set()),
    ("(session_)?cookie_response", "cookie_response", COOKIE_KEYS),
    ("cookie_contents", "cookie", {"cookie", *COOKIE_KEYS}),
    ("(session_|crypto_)?handshake", "handshake", COOKIE_KEYS),
    ("session_data(_id[0-9]+)?", "data", {"shared_key", "nonce", "buffer_start", "packet_number", "payload"}),
    ("pack_node_(?P<kind>tcp|udp)_ipv[46]", "node", {"ip", "port", "public_key"}),
    ("tcp_frame|tcp_session_frame.*", "relay_frame", {"shared_key", "nonce", "plain"}),
    ("tcp_client_handshake", "relay_hello", set()),
    ("tcp_server_handshake|tcp_.*(answer|response)", "relay_answer", set()),
    (".*_keys", "keys", {"a_cookie_key", "b_cookie_key"}),
)
"""By name without its number: the type of test, and which members go in. Keys do, too; all others come out."""

OPENED: Final = {"cookie_request", "cookie_response", "handshake", "relay_hello", "relay_answer"}
"""Tests whose ``hex`` is opened: it goes in as ``packet``, and comes out as it is sealed again."""

STATUS: Final[Mapping[str, int]] = {"handled": 0, "opened": 0, "ret": 1, "server_handled": 1, "client_handled": 0}
"""What functions of toxcore return, at least, if they take what they are given."""


def is_key(name: str, members: Mapping[str, Any]) -> bool:
    """Secret keys go in, and public ones that do not follow from them."""
    return name.endswith("_sk") or (name.endswith("_pk") and f"{name[:-3]}_sk" not in members)


def plain(value: Any) -> Any:
    if isinstance(value, int) and abs(value) >= LARGEST:
        return str(value)
    return [plain(one) for one in value] if isinstance(value, list) else value


def family(name: str) -> tuple[str, set[str], Mapping[str, str]]:
    """The type of a test, which of its members go in, and what its name says besides."""
    stem = re.sub("_[0-9]+$", "", name)
    for pattern, kind, inputs in FAMILIES:
        if found := re.fullmatch(pattern, stem):
            return kind, inputs, found.groupdict()
    return re.sub("[^a-z0-9_]", "_", stem.lower()), set(), {}


def converted(golden: Mapping[str, Any]) -> tuple[str, Test]:
    """The type of a test, and the test."""
    kind, chosen, told = family(golden["name"])
    inputs: dict[str, Any] = dict(told)
    outputs: dict[str, Any] = {}
    accepted = True
    for name, value in golden["inputs"].items():
        if name in STATUS:
            accepted = outputs["accepted"] = value >= STATUS[name]
        else:
            goes_in = name in chosen | ANY or is_key(name, golden["inputs"])
            (inputs if goes_in else outputs)[name] = plain(value)
    if kind in OPENED:
        inputs["packet"] = golden["hex"]
    if accepted:
        outputs["out"] = golden["hex"]
    outputs |= {name: plain(one) for name, one in golden.items() if name not in ("name", "inputs", "hex", "how_made")}
    head: Test = {"tcId": 0, "comment": golden["name"], "flags": [], "result": "valid"}
    return kind, {**head, "inputs": inputs, "outputs": outputs}


def tox(path: Path) -> dict[str, Any]:
    groups: dict[tuple[str, converting.Source], list[Test]] = {}
    for golden in read(path):
        kind, test = converted(golden)
        groups.setdefault((kind, source(golden.get("how_made", ""))), []).append(test)
    return converting.file(
        "tox", "crypto", [converting.group("tox", kind, tests, origin) for (kind, origin), tests in groups.items()]
    )


# -- packets -----------------------------------------------------------------------------------------------------------

BYTES: Final = "bytes"
NUMBER: Final = "number"
LITTLE: Final = "little"
"""A number of 64 bits that only its sender reads."""

Field = tuple[str, int, int | None, str]
Table = Mapping[int, tuple[str, tuple[Field, ...]]]

DATAGRAMS: Final[Table] = {
    0x18: ("CookieRequest", (("dht_key", 1, 33, BYTES), ("nonce", 33, 57, BYTES), ("sealed", 57, 145, BYTES))),
    0x19: ("CookieResponse", (("nonce", 1, 25, BYTES), ("sealed", 25, 161, BYTES))),
    0x1A: ("Handshake", (("cookie", 1, 113, BYTES), ("nonce", 113, 137, BYTES), ("sealed", 137, 385, BYTES))),
    0x1B: ("Data", (("tail", 1, 3, NUMBER), ("sealed", 3, None, BYTES))),
}
BODIES: Final[Mapping[str, tuple[Field, ...]]] = {
    "CookieRequestBody": (("real_key", 0, 32, BYTES), ("unused", 32, 64, BYTES), ("number", 64, 72, BYTES)),
    "CookieResponseBody": (("cookie", 0, 112, BYTES), ("number", 112, 120, BYTES)),
    "Cookie": (("nonce", 0, 24, BYTES), ("sealed", 24, 112, BYTES)),
    "CookieBody": (("time", 0, 8, LITTLE), ("real_key", 8, 40, BYTES), ("dht_key", 40, 72, BYTES)),
    "HandshakeBody": (
        ("base_nonce", 0, 24, BYTES),
        ("session_key", 24, 56, BYTES),
        ("cookie_hash", 56, 120, BYTES),
        ("other_cookie", 120, 232, BYTES),
    ),
    "DataBody": (("buffer_start", 0, 4, NUMBER), ("number", 4, 8, NUMBER), ("padded", 8, None, BYTES)),
    "RelayHello": (("key", 0, 32, BYTES), ("nonce", 32, 56, BYTES), ("sealed", 56, 128, BYTES)),
    "RelayAnswer": (("nonce", 0, 24, BYTES), ("sealed", 24, 96, BYTES)),
    "RelayKeys": (("key", 0, 32, BYTES), ("base_nonce", 32, 56, BYTES)),
    "RelayFrame": (("sealed", 2, None, BYTES),),
}
_TEXT: Final = (("text", 1, None, BYTES),)
FRIENDS: Final[Table] = {
    16: ("Alive", ()),
    17: ("ShareRelays", (("nodes", 1, None, BYTES),)),
    24: ("Online", ()),
    25: ("Offline", ()),
    48: ("Name", (("name", 1, None, BYTES),)),
    49: ("StatusMessage", (("message", 1, None, BYTES),)),
    50: ("Status", (("status", 1, 2, NUMBER),)),
    51: ("Typing", (("typing", 1, 2, NUMBER),)),
    64: ("Message", _TEXT),
    65: ("Action", _TEXT),
}
_CONNECTION: Final = ("connection", 1, 2, NUMBER)
FRAMES: Final[Table] = {
    0: ("RoutingRequest", (("key", 1, 33, BYTES),)),
    1: ("RoutingResponse", (_CONNECTION, ("key", 2, 34, BYTES))),
    2: ("ConnectNotification", (_CONNECTION,)),
    3: ("DisconnectNotification", (_CONNECTION,)),
    4: ("RelayPing", (("number", 1, 9, BYTES),)),
    5: ("RelayPong", (("number", 1, 9, BYTES),)),
}
NODES: Final[Table] = {
    tag: (name, (("address", 1, size, BYTES), ("port", size, size + 2, NUMBER), ("key", size + 2, size + 34, BYTES)))
    for tag, name, size in ((0x02, "UdpV4", 5), (0x0A, "UdpV6", 17), (0x82, "TcpV4", 5), (0x8A, "TcpV6", 17))
}


def fields(data: bytes, layout: tuple[Field, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, begin, end, kind in layout:
        piece = data[begin:end]
        if kind == LITTLE:
            found[name] = str(int.from_bytes(piece, "little"))
        else:
            found[name] = piece.hex() if kind == BYTES else int.from_bytes(piece, "big")
    return found


def packets(golden: Mapping[str, Any]) -> Iterator[tuple[str, str, bytes]]:
    """What is in a test: type, name where the bytes do not say it, bytes."""
    kind, inputs = family(golden["name"])[0], golden["inputs"]
    wire, clear = bytes.fromhex(golden["hex"]), bytes.fromhex(inputs.get("plain", ""))
    if kind in ("cookie_request", "cookie_response", "handshake", "data") and wire[0] in DATAGRAMS:
        yield "datagram", "", wire
    if name := {
        "cookie_request": "CookieRequestBody",
        "cookie_response": "CookieResponseBody",
        "handshake": "HandshakeBody",
        "data": "DataBody",
        "relay_hello": "RelayKeys",
        "relay_answer": "RelayKeys",
    }.get(kind):
        yield from [("part", name, clear)] if clear else []
    if "cookie_plain" in inputs:
        yield "part", "CookieBody", bytes.fromhex(inputs["cookie_plain"])
    if "cookie" in inputs:
        yield "part", "Cookie", bytes.fromhex(inputs["cookie"])
    if "payload" in inputs and (payload := bytes.fromhex(inputs["payload"]))[0] in FRIENDS:
        yield "friend", "", payload
    if name := {"relay_hello": "RelayHello", "relay_answer": "RelayAnswer", "relay_frame": "RelayFrame"}.get(kind):
        yield "part", name, wire
    if kind == "relay_frame" and clear[0] in FRAMES:
        yield "frame", "", clear
    if kind == "node":
        yield "packed_node", "", wire


TABLES: Final[Mapping[str, Table]] = {"datagram": DATAGRAMS, "friend": FRIENDS, "frame": FRAMES, "packed_node": NODES}


def tox_packets(path: Path) -> dict[str, Any]:
    """Every packet once."""
    groups: dict[tuple[str, converting.Source], dict[bytes, Test]] = {}
    for golden in read(path):
        for kind, name, wire in packets(golden):
            if not name:
                name, layout = TABLES[kind][wire[0]]
            else:
                layout = BODIES[name]
            head: Test = {"tcId": 0, "comment": golden["name"], "flags": [], "result": "valid"}
            test = {**head, "wire": wire.hex(), "packet": name, "fields": fields(wire, layout)}
            groups.setdefault((kind, source(golden.get("how_made", ""))), {}).setdefault(wire, test)
    found = [converting.group("tox", kind, [*tests.values()], origin) for (kind, origin), tests in groups.items()]
    origin = ("Tox specification and the packets of toxcore", VERSION, "derived")
    return converting.file("tox", "codec", [*found, *converting.specified("tox", SPECIFIED, origin)])


KEY: Final = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
OTHER: Final = "2102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
NONCE: Final = "a0" * 24
NODE: Final = "827f00000182a5" + KEY
FIRST: Final = {"key": KEY, "host": "127.0.0.1", "port": 33445}
SECOND: Final = "8a20010db8000000000000000000000001 0050" + OTHER
V6: Final = {"key": OTHER, "host": "2001:db8::1", "port": 80}
HASH: Final = "f3" * 64

SPECIFIED: Final[converting.Rows] = {
    "datagram": (
        (
            "a question of the DHT",
            f"00 {KEY} {NONCE} {'11' * 25}",
            "DhtPing",
            {"dht_key": KEY, "nonce": NONCE, "sealed": "11" * 25},
        ),
        (
            "its answer",
            f"01 {KEY} {NONCE} {'22' * 25}",
            "DhtPong",
            {"dht_key": KEY, "nonce": NONCE, "sealed": "22" * 25},
        ),
        ("the shortest data packet", f"1b 0102 {'33' * 25}", "Data", {"tail": 258, "sealed": "33" * 25}),
        ("the longest data packet", f"1b ffff {'33' * 1397}", "Data", {"tail": 65535, "sealed": "33" * 1397}),
        ("a data packet of 27 bytes", f"1b 0102 {'33' * 24}", "Data", "truncated"),
        ("a data packet of 1401 bytes", f"1b 0102 {'33' * 1398}", "Data", "bad_length"),
        ("a cookie request of 144 bytes", f"18 {KEY} {NONCE} {'11' * 87}", "CookieRequest", "truncated"),
        ("a cookie request of 146 bytes", f"18 {KEY} {NONCE} {'11' * 89}", "CookieRequest", "trailing"),
        ("a cookie response of 160 bytes", f"19 {NONCE} {'11' * 135}", "CookieResponse", "truncated"),
        ("a cookie response of 162 bytes", f"19 {NONCE} {'11' * 137}", "CookieResponse", "trailing"),
        ("a handshake of 384 bytes", f"1a {'44' * 112} {NONCE} {'11' * 247}", "Handshake", "truncated"),
        ("a handshake of 386 bytes", f"1a {'44' * 112} {NONCE} {'11' * 249}", "Handshake", "trailing"),
        ("nothing", "", "Unknown", "truncated"),
        ("a packet of the DHT that is not spoken here", "02 00", "Unknown", "bad_type"),
        ("a packet of the onion", "80 00", "Unknown", "bad_type"),
    ),
    "part": (
        ("what is sealed in a DhtPing", "00 0102030405060708", "DhtPingBody", {"number": "0102030405060708"}),
        ("what is sealed in a DhtPong", "01 0102030405060708", "DhtPongBody", {"number": "0102030405060708"}),
        ("an answer where a question belongs", "01 0102030405060708", "DhtPingBody", "bad_value"),
        ("a question where an answer belongs", "00 0102030405060708", "DhtPongBody", "bad_value"),
        ("a data body without a payload", "00000001 00000002", "DataBody", "truncated"),
        (
            "a data body with 100 zeros",
            f"00000001 00000002 {'00' * 100} 10",
            "DataBody",
            {"buffer_start": 1, "number": 2, "padded": "00" * 100 + "10"},
        ),
        ("a relay's answer", f"{NONCE} {'55' * 72}", "RelayAnswer", {"nonce": NONCE, "sealed": "55" * 72}),
        ("a hello of 127 bytes", f"{KEY} {NONCE} {'55' * 71}", "RelayHello", "truncated"),
        ("an empty frame", "0000", "RelayFrame", {"sealed": ""}),
        ("the longest frame", f"0800 {'66' * 2048}", "RelayFrame", {"sealed": "66" * 2048}),
        ("a frame of 2049 bytes", f"0801 {'66' * 2049}", "RelayFrame", "bad_length"),
        ("a frame that is cut off", "0003 6666", "RelayFrame", "truncated"),
    ),
    "friend": (
        ("relays", f"11 {NODE}", "ShareRelays", {"nodes": NODE}),
        ("a friend request", "12 01020304 6869", "FriendRequest", {"nospam": 0x01020304, "message": "6869"}),
        ("a name", "30 6869", "Name", {"name": "6869"}),
        ("a name of 129 bytes", f"30 {'61' * 129}", "Name", "bad_length"),
        ("a status message", "31 6869", "StatusMessage", {"message": "6869"}),
        ("a status message of 1008 bytes", f"31 {'61' * 1008}", "StatusMessage", "bad_length"),
        ("away", "32 01", "Status", {"status": 1}),
        ("a status that is cut off", "32", "Status", "truncated"),
        ("the friend types", "33 01", "Typing", {"typing": 1}),
        ("an action", "41 6869", "Action", {"text": "6869"}),
        (
            "a file of unknown size",
            f"50 02 00000001 ffffffffffffffff {KEY} 612e706e67",
            "FileRequest",
            {"file": 2, "kind": 1, "size": str(2**64 - 1), "file_id": KEY, "name": "612e706e67"},
        ),
        ("a file is taken", "51 00 02 00", "FileControl", {"sending": 0, "file": 2, "control": 0, "position": ""}),
        (
            "from its second half on",
            "51 00 02 03 0000000000000100",
            "FileControl",
            {"sending": 0, "file": 2, "control": 3, "position": "0000000000000100"},
        ),
        ("a piece of a file", "52 02 010203", "FileData", {"file": 2, "data": "010203"}),
        ("the longest piece of a file", f"52 02 {'77' * 1371}", "FileData", {"file": 2, "data": "77" * 1371}),
        ("a byte behind ALIVE", "10 00", "Alive", "trailing"),
        ("a packet of a group", "60 00", "Unknown", "bad_type"),
    ),
    "frame": (
        ("refused", f"01 00 {KEY}", "RoutingResponse", {"connection": 0, "key": KEY}),
        ("the other end has left", "03 10", "DisconnectNotification", {"connection": 16}),
        ("a pong", "05 0102030405060708", "RelayPong", {"number": "0102030405060708"}),
        ("to a client by its key", f"06 {KEY} 18", "OobSend", {"key": KEY, "data": "18"}),
        ("the longest one", f"06 {KEY} {'18' * 1024}", "OobSend", {"key": KEY, "data": "18" * 1024}),
        ("a byte more", f"06 {KEY} {'18' * 1025}", "OobSend", "bad_length"),
        ("nothing to a client", f"06 {KEY}", "OobSend", "truncated"),
        ("from a client by its key", f"07 {KEY} 18", "OobReceived", {"key": KEY, "data": "18"}),
        ("to the first client", "10 1b00", "Relayed", {"connection": 16, "data": "1b00"}),
        (
            "the longest one to the last one",
            f"ff {'1b' * 2031}",
            "Relayed",
            {"connection": 255, "data": "1b" * 2031},
        ),
        ("a byte more to it", f"ff {'1b' * 2032}", "Relayed", "bad_length"),
        ("nothing to the first client", "10", "Relayed", {"connection": 16, "data": ""}),
        ("a routing request without the last byte", f"00 {KEY[2:]}", "RoutingRequest", "truncated"),
        ("a ping of 8 bytes", "04 01020304050607", "RelayPing", "truncated"),
        ("a request of the onion", "08 00", "Unknown", "bad_type"),
        ("a reserved number", "0c", "Unknown", "bad_type"),
        ("no number", "", "Unknown", "truncated"),
    ),
    "packed_node": (
        (
            "a UDP node with IPv6",
            f"0a {'fe' * 16} 0050 {KEY}",
            "UdpV6",
            {"address": "fe" * 16, "port": 80, "key": KEY},
        ),
        (
            "a relay with IPv6",
            f"8a {'fe' * 16} 0050 {KEY}",
            "TcpV6",
            {"address": "fe" * 16, "port": 80, "key": KEY},
        ),
        ("an unknown family", f"81 7f000001 0050 {KEY}", "Unknown", "bad_type"),
    ),
    "nodes": (
        ("one relay", NODE, "Nodes", {"relays": [FIRST]}),
        ("two relays", NODE + SECOND, "Nodes", {"relays": [FIRST, V6]}),
        ("no node", "", "Nodes", "truncated"),
        ("an unknown family in the first place", f"81 {NODE}", "Nodes", "bad_type"),
        ("an address that is cut off in the first place", "827f0000", "Nodes", "truncated"),
        ("a key that is cut off in the second place", f"{NODE} 827f00000182a501", "Nodes", "truncated"),
        ("a key of small order", f"827f00000182a5 {'00' * 32}", "Nodes", "bad_point"),
    ),
}
"""What the specification shows as a table, with numbers put in."""
