"""Vectors of freenet-core's transport as ours: :mod:`convert_vectors`.

The faults of what is refused are found here, by the offsets of the specification: such a file only says why in words.
With ``freenet-packets`` the packets of the file become tests of kind ``codec``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import converting
from converting import Test
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

SOURCE: Final = "freenet-core"
VERSION: Final = "0.2.129"

INPUTS: Final[Mapping[str, set[str]]] = {
    "open_intro": {"static_secret", "datagram"},
    "seal_intro": {"peer_public", "static_secret", "ephemeral_secret", "version", "receive_key"},
    "version": {"ours", "field"},
    "symmetric": {"key", "datagram"},
    "open_symmetric": {"key", "datagram"},
    "decode": {"clear"},
    "split": {"size"},
}
"""By operation: which members go in; all others come out."""

HEAD: Final = {"tcId", "result", "op", "reason", "how_made"}
LONG: Final = {"sequence", "total"}
"""Numbers of 64 bits, which are text in our files."""


NEVER: Final = "unsupported"


def read(path: Path) -> list[dict[str, Any]]:
    document = json.loads(path.read_text("utf-8"))
    if not isinstance(document, dict) or not str(document.get("protocol")).startswith("freenet-core"):
        raise SystemExit(f"{path}: not a file of Freenet vectors")
    groups: list[dict[str, Any]] = document["groups"]
    return groups


def source(how_made: str) -> converting.Source:
    return SOURCE, VERSION, "reference-capture" if how_made.startswith("captured") else "derived"


# -- functions ---------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: str(one) if name in LONG else plain(one) for name, one in value.items()}


def converted(group: str, golden: Mapping[str, Any]) -> tuple[str, Test]:
    """The type of a test, and the test."""
    op = golden["op"]
    inputs = INPUTS.get(op, set())
    comment = f"{group} {golden['tcId']}" + (f": {golden['reason']}" if "reason" in golden else "")
    test: Test = {"tcId": 0, "comment": comment, "flags": [], "result": golden["result"]}
    if golden["result"] == "invalid":
        test["error"] = FAULTS[op](golden) if op in FAULTS else NEVER
    body = {name: plain(value) for name, value in golden.items() if name not in HEAD}
    test["inputs"] = {name: value for name, value in body.items() if name in inputs}
    test["outputs"] = {name: value for name, value in body.items() if name not in inputs}
    return op, test


def freenet(path: Path) -> dict[str, Any]:
    groups: dict[tuple[str, converting.Source], list[Test]] = {}
    for group in read(path):
        for golden in group["tests"]:
            op, test = converted(group["group"], golden)
            groups.setdefault((op, source(golden.get("how_made", ""))), []).append(test)
    return converting.file(
        "freenet", "crypto", [converting.group("freenet", op, tests, origin) for (op, origin), tests in groups.items()]
    )


# -- packets -----------------------------------------------------------------------------------------------------------

MOST: Final = 1500 - 29 - 16
"""Bytes of the largest clear text that is taken, without id, count and variant."""


HEXED: Final = {"datagram", "receive_key", "version", "field", "clear"}


class Refused(Exception):
    """Its one argument is the fault."""


class Cursor:
    """Reads bincode: integers are little-endian, counts and lengths have 64 bits, tags 32."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def raw(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise Refused("truncated")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.raw(size), "little")

    def count(self, most: int) -> int:
        """More than the largest datagram holds is another fault than more than is there."""
        if (count := self.number(8)) > most:
            raise Refused("bad_length")
        return count

    def counted(self, besides: int) -> str:
        """Bytes in a body that has so many besides."""
        return self.raw(self.count(MOST - besides)).hex()

    def tag(self, *choices: Callable[[], Any]) -> Any:
        if (tag := self.number(4)) >= len(choices):
            raise Refused("bad_type")
        return choices[tag]()


def address(cursor: Cursor) -> Any:
    def of(name: str, size: int) -> Callable[[], Any]:
        return lambda: nested(name, host=cursor.raw(size).hex(), port=cursor.number(2))

    return cursor.tag(of("AddressV4", 4), of("AddressV6", 16))


def nested(name: str, **fields: Any) -> Any:
    return {"packet": name, "fields": fields}


def text(cursor: Cursor) -> str:
    try:
        return bytes.fromhex(cursor.counted(12)).decode()
    except UnicodeDecodeError:
        raise Refused("bad_encoding") from None


def metadata(cursor: Cursor) -> str | None:
    if (there := cursor.number(1)) > 1:
        raise Refused("bad_value")
    return cursor.counted(33) if there else None


def fragment(cursor: Cursor) -> dict[str, Any]:
    numbers = {"stream": cursor.number(4), "total": str(cursor.number(8)), "fragment": cursor.number(4)}
    return {**numbers, "payload": cursor.counted(25), "metadata": metadata(cursor)}


def granted(cursor: Cursor) -> dict[str, Any]:
    return {"key": cursor.raw(16).hex(), "address": address(cursor)}


BODIES: Final[tuple[tuple[str, Callable[[Cursor], dict[str, Any]]], ...]] = (
    (
        "AckConnection",
        lambda cursor: {
            "result": cursor.tag(
                lambda: nested("Granted", **granted(cursor)), lambda: nested("Refusal", reason=text(cursor))
            )
        },
    ),
    ("ShortMessage", lambda cursor: {"payload": cursor.counted(8)}),
    ("StreamFragment", fragment),
    ("NoOp", lambda _: {}),
    ("Ping", lambda cursor: {"sequence": str(cursor.number(8))}),
    ("Pong", lambda cursor: {"sequence": str(cursor.number(8))}),
    ("AckConnectionV2", lambda cursor: {**granted(cursor), "version": cursor.raw(8).hex()}),
)


def clear(data: bytes) -> dict[str, Any]:
    """What a test of a clear text says of it. Raises Refused."""
    cursor = Cursor(data)
    number = cursor.number(4)
    acked = [cursor.number(4) for _ in range(cursor.count(MOST // 4))]
    name, body = cursor.tag(*(lambda one=one: one for one in BODIES))
    return {"packet": name, "header": {"packet_id": number, "acked": acked}, "fields": body(cursor)}


def version(data: bytes) -> dict[str, Any]:
    major, minor, patch = data[:3]
    if major == 0xFF and data[7]:
        numbers = {"patch": int.from_bytes(data[3:5], "big"), "minimum": int.from_bytes(data[5:7], "big")}
        return nested("VersionField", major=data[1], minor=data[2], **numbers, form=data[7])
    return nested("OldVersionField", major=major, minor=minor, patch=patch, flags=data[3:].hex())


def datagram(data: bytes) -> dict[str, Any]:
    if data[0] == 1:
        return nested("Intro", ephemeral=data[1:33].hex(), sealed=data[33:].hex())
    return nested("Symmetric", nonce=data[1:13].hex(), sealed=data[13:].hex())


def packets(golden: Mapping[str, Any]) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """What is in a test: type, bytes, what they are."""
    given = {name: bytes.fromhex(one) for name, one in golden.items() if isinstance(one, str) and name in HEXED}
    if "datagram" in given:
        yield "datagram", given["datagram"], datagram(given["datagram"])
    if "receive_key" in given:
        key, told = given["receive_key"], given["version"]
        yield "part", told + key, nested("IntroBody", version=told.hex(), key=key.hex())
    if "field" in given:
        yield "part", given["field"], version(given["field"])
    if "clear" in given:
        yield "clear", given["clear"], clear(given["clear"])


def freenet_packets(path: Path) -> dict[str, Any]:
    """Every packet once; what is refused stands among the functions."""
    groups: dict[tuple[str, converting.Source], dict[bytes, Test]] = {}
    for group in read(path):
        for golden in (one for one in group["tests"] if one["result"] == "valid" and group["group"] in WHOLE):
            for kind, wire, found in packets(golden):
                comment = f"{group['group']} {golden['tcId']}"
                head: Test = {"tcId": 0, "comment": comment, "flags": [], "result": "valid", "wire": wire.hex()}
                origin = source(golden["how_made"])
                groups.setdefault((kind, origin), {}).setdefault(wire, {**head, **found})
    found = [converting.group("freenet", kind, [*tests.values()], origin) for (kind, origin), tests in groups.items()]
    specified = converting.specified("freenet", SPECIFIED, ("Freenet specification", VERSION, "derived"))
    return converting.file("freenet", "codec", [*found, *specified])


WHOLE: Final = {"intro_open", "intro_seal", "version", "symmetric"}
"""Groups whose bytes are packets without anything behind them."""

NONCE: Final = "11" * 12

SPECIFIED: Final[converting.Rows] = {
    "datagram": (
        (
            "the shortest symmetric packet",
            f"02 {NONCE} {'22' * 32}",
            "Symmetric",
            {"nonce": NONCE, "sealed": "22" * 32},
        ),
        ("the longest one", f"02 {NONCE} {'22' * 1487}", "Symmetric", {"nonce": NONCE, "sealed": "22" * 1487}),
        ("one of 44 bytes", f"02 {NONCE} {'22' * 31}", "Symmetric", "truncated"),
        ("one of 1501 bytes", f"02 {NONCE} {'22' * 1488}", "Symmetric", "bad_length"),
        ("an intro of 72 bytes", f"01 {'11' * 71}", "Intro", "truncated"),
        ("an intro of 74 bytes", f"01 {'11' * 73}", "Intro", "trailing"),
        ("nothing", "", "Unknown", "truncated"),
        ("an unknown type", f"03 {'11' * 72}", "Unknown", "bad_type"),
    ),
    "part": (
        ("a message", "0300000000000000 616263", "Message", {"content": "616263"}),
        ("an empty message", "0000000000000000", "Message", {"content": ""}),
        ("a message that is cut off", "0400000000000000 616263", "Message", "truncated"),
        ("a message of 2^32 bytes", "0000000001000000 616263", "Message", "bad_length"),
        ("no version of the new form", "fe00020081004001", "VersionField", "bad_value"),
    ),
}


# -- faults ------------------------------------------------------------------------------------------------------------


def refused(check: Callable[[], object]) -> str:
    """The fault for which a check refuses; for what it takes, one that is never found."""
    try:
        check()
    except Refused as fault:
        return str(fault)
    except InvalidTag:
        return "bad_mac"
    return NEVER


def sized(data: bytes, kind: int, least: int, most: int, longer: str) -> None:
    if data and data[0] != kind:
        raise Refused("bad_type")
    if not least <= len(data) <= most:
        raise Refused("truncated" if len(data) < least else longer)


def intro_opens(golden: Mapping[str, Any]) -> None:
    secret, data = (bytes.fromhex(golden[name]) for name in ("static_secret", "datagram"))
    sized(data, 1, 73, 73, "trailing")
    try:
        shared = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(data[1:33]))
    except ValueError:
        raise Refused("bad_point") from None
    ChaCha20Poly1305(shared).decrypt(bytes(12), data[33:], None)


def symmetric_opens(golden: Mapping[str, Any]) -> None:
    data = bytes.fromhex(golden["datagram"])
    sized(data, 2, 45, 1500, "bad_length")
    clear(AESGCM(bytes.fromhex(golden["key"])).decrypt(data[1:13], data[13:], None))


FAULTS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "open_intro": lambda golden: refused(lambda: intro_opens(golden)),
    "open_symmetric": lambda golden: refused(lambda: symmetric_opens(golden)),
    "decode": lambda golden: refused(lambda: clear(bytes.fromhex(golden["clear"]))),
}
