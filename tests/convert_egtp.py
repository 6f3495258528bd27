"""Vectors of EGTP-R1 as ours: :mod:`convert_vectors`.

With ``egtp-packets`` the packets of the file become tests of kind ``codec``: their fields are cut out of the bytes by
the offsets of the specification, which stand here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import converting
from converting import Test

from sansproto.testing._internal.egtp_faults import error_of

SOURCE: Final = "EGTP-R1 reference vectors"
CHECKED: Final = {"handshake", "challenged_handshake", "data"}
"""Groups whose bytes two independent implementations of Noise confirmed; the others apply the specification."""

TEXT: Final = {"stamp", "counter"}
"""Numbers of 64 bits, which are text in our files."""

MAILBOX_STEP: Final = {"conn", "plaintext", "client", "server", "client_events"}


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if document.get("profile") != "EGTP-R1" or not isinstance(document.get("groups"), list):
        raise SystemExit(f"{path}: not a file of EGTP-R1 vectors")
    return document


def file(schema: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    return converting.file("egtp", schema, groups)


def group_of(kind: str, tests: list[Test], version: str, provenance: str) -> dict[str, Any]:
    return converting.group("egtp", kind, tests, (SOURCE, version, provenance))


def provenance(name: str) -> str:
    return "reference-library" if name in CHECKED else "derived"


# -- functions ---------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Numbers of 64 bits as text, wherever they stand."""
    if isinstance(value, dict):
        return {name: str(one) if name in TEXT and isinstance(one, int) else plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def test_of(golden: Mapping[str, Any], inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Test:
    comment = f"{golden['tcId']}: {golden['comment']}"
    head: Test = {"tcId": 0, "comment": comment, "flags": [], "result": golden["result"]}
    if golden["result"] == "invalid":
        head["error"] = error_of(golden["error"], inputs).value
    return {**head, "inputs": plain(inputs), "outputs": plain(outputs)}


HEAD: Final = {"tcId", "comment", "result", "error", "note"}


def by_names(inputs: set[str]) -> Callable[[Mapping[str, Any]], Test]:
    """A test whose inputs have these names, and whose other members are outputs."""

    def convert(golden: Mapping[str, Any]) -> Test:
        body = {name: value for name, value in golden.items() if name not in HEAD}
        return test_of(
            golden,
            {name: value for name, value in body.items() if name in inputs},
            {name: value for name, value in body.items() if name not in inputs},
        )

    return convert


HANDSHAKE_INPUTS: Final = {
    *("initiator_static", "responder_static", "initiator_ephemeral", "responder_ephemeral"),
    *("sid_i", "sid_r", "stamp", "instance_i", "instance_r", "token"),
}
CHALLENGE_INPUTS: Final = {
    *HANDSHAKE_INPUTS,
    *("first_h1", "first_ephemeral", "first_sid", "first_hs_id", "token_secret", "path", "time_ms"),
}


def handshake(golden: Mapping[str, Any], inputs: set[str] = HANDSHAKE_INPUTS) -> Test:
    """The packets behind the handshake are inputs (who sends what) and outputs (its bytes)."""
    found = by_names(inputs)({**golden, "packets": []})
    found["inputs"]["packets"] = [
        {name: plain({name: value})[name] for name, value in packet.items() if name != "bytes"}
        for packet in golden["packets"]
    ]
    found["outputs"]["packets"] = [packet["bytes"] for packet in golden["packets"]]
    return found


def challenged(golden: Mapping[str, Any]) -> Test:
    """The challenge names a handshake by 8 bytes; over a relay it is that of another test, whose H1 is not there."""
    found = handshake(golden, CHALLENGE_INPUTS)
    found["inputs"]["hs_id_of_ch"] = golden["ch"][2:18]
    found["inputs"]["chaining_key"] = golden["ck_after_msg1"]
    if "first_h1" not in golden:
        del found["outputs"]["ck_after_msg1"]
    return found


def counters(golden: Mapping[str, Any]) -> Test:
    return by_names({"counters"})({**golden, "counters": [str(counter) for counter in golden["counters"]]})


def mailbox(golden: Mapping[str, Any]) -> Test:
    """What a client says is given by its clear text; what is no message of a channel, by its bytes."""
    given = {name: golden[name] for name in ("server_static_private", "clients", "server_draws")}
    steps: list[Any] = []
    for step in golden["steps"]:
        raw = {"raw": step["client"]} if step["plaintext"] is None else {}
        steps.append({"conn": step["conn"], "plaintext": step["plaintext"], **raw})
    said = [{name: one for name, one in step.items() if name not in ("conn", "plaintext")} for step in golden["steps"]]
    unknown = {name: one for name, one in golden.items() if name not in HEAD | {*given, "steps"}}
    return test_of(golden, {**given, "steps": steps}, {"steps": said, "fault": golden.get("error"), **unknown})


def with_peer(state: Mapping[str, Any], identities: Mapping[str, Any]) -> Mapping[str, Any]:
    """Whom the node calls is told in words: the name of an identity comes last."""
    own = state.get("own_handshake")
    if own is None:
        return state
    return {**state, "own_handshake": {**own, "peer": identities[own["what"].split()[-1]]["static_public"]}}


OUTCOME: Final = {"verdict", "answers", "answer_paths", "decision", "proof"}
"""What a node makes of a datagram; other members say how the datagram was made."""


def classified(state: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Test]:
    """One datagram at a node with a state, which stands in each test."""

    def convert(golden: Mapping[str, Any]) -> Test:
        found = by_names({*golden, "state"} - OUTCOME)({**golden, "state": state})
        found["outputs"]["fault"] = golden.get("error")
        return found

    return convert


def refusal(state: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Test]:
    """One exchange at the node that has said goodbye: what is received, and what is said to it."""
    inputs = {"initiator_static", "initiator_ephemeral", "draws"}
    given = {"now_ms", "input"}

    def convert(golden: Mapping[str, Any]) -> Test:
        steps = golden["steps"]
        found = by_names(inputs)(golden)
        found["inputs"]["state"] = plain(state)
        found["inputs"]["steps"] = [{name: one for name, one in step.items() if name in given} for step in steps]
        found["outputs"]["steps"] = [{name: one for name, one in step.items() if name not in given} for step in steps]
        return found

    return convert


PRIMITIVES: Final[Mapping[str, set[str]]] = {
    "h1_mac_key": {"public"},
    "reset_token": {"private", "sid"},
    "hkdf2": {"ck", "ikm"},
    "path": {"path"},
    "token": {"secret", "path", "time_ms"},
    "mailbox_id": {"server", "owner"},
}


def functions(document: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Test]]]:
    """All tests of a file, by type, with the name of the group that they come from."""
    identities = document.get("identities", {})
    states = {group["group"]: with_peer(group.get("state", {}), identities) for group in document["groups"]}
    for group in document["groups"]:
        name, tests = group["group"], group["tests"]
        if name == "primitives":
            for op in dict.fromkeys(test["op"] for test in tests):
                convert = by_names(PRIMITIVES.get(op, set()))
                chosen = [{key: one for key, one in test.items() if key != "op"} for test in tests if test["op"] == op]
                yield op, name, [convert(test) for test in chosen]
        else:
            yield name, name, [converter(name, states)(test) for test in tests]


def converter(name: str, states: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Test]:
    known: Mapping[str, Callable[[Mapping[str, Any]], Test]] = {
        "handshake": handshake,
        "challenged_handshake": challenged,
        "data": by_names({"key", "sid", "counter", "kind", "body"}),
        "replay_window": counters,
        "classification": classified(states.get(name, {})),
        "farewell": classified(states.get(name, {})),
        "refusal": refusal(states.get("farewell", {})),
        "path_challenge_value": by_names({"secret", "peer", "path", "epoch"}),
        "mailbox": mailbox,
    }
    return known.get(name, by_names(set()))


def egtp(source: Path) -> dict[str, Any]:
    document = read(source)
    return file(
        "crypto", [group_of(kind, tests, source.name, provenance(name)) for kind, name, tests in functions(document)]
    )


# -- packets -----------------------------------------------------------------------------------------------------------

BYTES: Final = "bytes"
NUMBER: Final = "number"
LONG: Final = "long"
"""A number of 64 bits."""

Field = tuple[str, int, int | None, str]

DATAGRAMS: Final[Mapping[int, tuple[str, tuple[Field, ...]]]] = {
    0x08: (
        "H1",
        (
            ("ephemeral", 8, 40, BYTES),
            ("static", 40, 88, BYTES),
            ("payload", 88, 128, BYTES),
            ("token", 128, 160, BYTES),
            ("mac", 160, 176, BYTES),
        ),
    ),
    0x09: ("H2", (("sid", 1, 9, BYTES), ("ephemeral", 9, 41, BYTES), ("payload", 41, 89, BYTES))),
    0x0A: ("CH", (("hs_id", 1, 9, BYTES), ("token", 9, 33, BYTES), ("proof", 33, 41, BYTES))),
    0x0B: ("Data", (("sid", 1, 9, BYTES), ("counter", 9, 17, LONG), ("sealed", 17, None, BYTES))),
    0x0C: ("Hint", (("sid", 1, 9, BYTES), ("reset_token", 9, 25, BYTES))),
}
_VALUE: Final = (("value", 1, 9, BYTES),)
CLEAR: Final[Mapping[int, tuple[str, tuple[Field, ...]]]] = {
    0: ("App", (("message", 1, None, BYTES),)),
    1: ("Keepalive", (("filler", 1, 9, BYTES),)),
    2: ("Ping", _VALUE),
    3: ("Pong", _VALUE),
    4: ("Confirm", (("value", 1, 9, BYTES), ("reset_token", 9, 25, BYTES))),
    5: ("PathChallenge", _VALUE),
    6: ("PathResponse", _VALUE),
    7: ("Close", (("reason", 1, 2, NUMBER),)),
}
KINDS: Final = ("app", "keepalive", "ping", "pong", "confirm", "path_challenge", "path_response", "close")
REQUESTS: Final[Mapping[int, tuple[str, tuple[Field, ...]]]] = {
    1: ("Register", ()),
    2: ("Deposit", (("tag", 1, 5, BYTES), ("mailbox", 5, 37, BYTES), ("blob", 37, None, BYTES))),
    3: ("Poll", (("most", 1, 2, NUMBER),)),
    4: ("Ack", (("seq", 1, 9, LONG),)),
}


def cut(data: bytes, packets: Mapping[int, tuple[str, tuple[Field, ...]]]) -> tuple[str, dict[str, Any]]:
    """The name of the packet in these bytes, and its fields; those that are not there are left out."""
    name, fields = packets[data[0]]
    found: dict[str, Any] = {}
    for field, begin, end, kind in fields:
        piece = data[begin:end]
        number = int.from_bytes(piece, "little")
        if piece or end is None:
            found[field] = piece.hex() if kind == BYTES else str(number) if kind == LONG else number
    return name, found


def datagrams(document: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The datagrams of a file that are well formed, whatever they are worth where they arrive."""
    for group in document["groups"]:
        for test in group["tests"]:
            if group["group"] in ("handshake", "challenged_handshake"):
                for name in ("h1", "h2", "ch"):
                    if name in test:
                        yield f"{name} of {test['tcId']}", bytes.fromhex(test[name])
            if group["group"] == "data":
                yield f"{test['comment']}", bytes.fromhex(test["bytes"])
            if group["group"] == "classification" and test["verdict"] in ("Hint", "ResetToken"):
                yield f"{test['comment']}", bytes.fromhex(test["input"])


def clears(document: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    for group in document["groups"]:
        for test in group["tests"]:
            for packet in test.get("packets", ()):
                clear = bytes([KINDS.index(packet["kind"])]) + bytes.fromhex(packet["body"])
                yield f"{packet['kind']} of {test['tcId']}", clear
            if group["group"] == "data":
                yield test["comment"], bytes([KINDS.index(test["kind"])]) + bytes.fromhex(test["body"])


def requests(document: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    for group in document["groups"]:
        for test in group["tests"]:
            for step in test["steps"] if group["group"] == "mailbox" else ():
                clear = bytes.fromhex(step["plaintext"] or "")
                _, *told = step["client_events"][-1] if step["client_events"] else (0, "")
                if clear and told != ["error", 2] and told != ["error", 3] and told != ["error", 1]:
                    yield f"{told[0]}: request of {test['tcId']}", clear


SPECIFIED: Final[Mapping[str, tuple[tuple[str, str, str, Any], ...]]] = {
    "request": (
        (
            "a deposit",
            "02 0a0b0c0d " + "11" * 32 + " 2233",
            "Deposit",
            {"tag": "0a0b0c0d", "mailbox": "11" * 32, "blob": "2233"},
        ),
        ("64 messages", "03 40", "Poll", {"most": 64}),
        ("a deposit of nothing", "02 0a0b0c0d " + "11" * 32, "Deposit", "truncated"),
        ("no message", "03 00", "Poll", "bad_value"),
        ("65 messages", "03 41", "Poll", "bad_value"),
        ("a byte too many", "01 00", "Register", "trailing"),
        ("a number that is cut off", "04 01000000000000", "Ack", "truncated"),
        ("an unknown type", "05", "Unknown", "bad_type"),
        ("a response", "84 00 0000", "Unknown", "bad_type"),
    ),
    "response": (
        ("registered", "81 0102030405060708 0301", "Registered", {"epoch": "0102030405060708", "stored": 259}),
        ("stored", "82 0a0b0c0d 00", "Deposited", {"tag": "0a0b0c0d", "status": 0}),
        ("not stored", "82 0a0b0c0d 01", "Deposited", {"tag": "0a0b0c0d", "status": 1}),
        ("a message", "83 0100000000000080 2233", "Message", {"seq": "9223372036854775809", "blob": "2233"}),
        ("the end of a poll", "84 02 0300", "Polled", {"sent": 2, "left": 3}),
        ("acknowledged", "85 0500000000000000 0100", "Acked", {"floor": "5", "stored": 1}),
        ("superseded", "8f 06", "Error", {"code": "SUPERSEDED"}),
        ("an unknown status", "82 0a0b0c0d 02", "Deposited", "bad_value"),
        ("an unknown error", "8f 08", "Error", "bad_value"),
        ("a message of nothing", "83 0100000000000000", "Message", "truncated"),
        ("an unknown type", "86", "Unknown", "bad_type"),
        ("a request", "01", "Unknown", "bad_type"),
    ),
    "payload": (
        (
            "what an initiator says",
            "0102030405060708 1112131415161718 2122232425262728",
            "InitPayload",
            {"stamp": "578437695752307201", "instance": "1112131415161718", "sid": "2122232425262728"},
        ),
        (
            "what a responder says",
            "2122232425262728 1112131415161718 " + "31" * 16,
            "ReplyPayload",
            {"sid": "2122232425262728", "instance": "1112131415161718", "reset_token": "31" * 16},
        ),
        (
            "what a server takes",
            "0040 0001 803a0900",
            "Terms",
            {"max_blob": 16384, "max_stored": 256, "retention": 604800},
        ),
        ("a token", "15cd5b0700000000 " + "41" * 16, "Token", {"time": "123456789", "mac": "41" * 16}),
        ("an initiator's session id of zero", "00" * 24, "InitPayload", "bad_value"),
        ("a responder's session id of zero", "00" * 32, "ReplyPayload", "bad_value"),
    ),
}
"""What the specification shows as a table, with numbers put in."""


def specified() -> Iterator[dict[str, Any]]:
    source = ("EGTP-R1 specification", "R1", "derived")
    yield from converting.specified("egtp", SPECIFIED, source)


def egtp_packets(source: Path) -> dict[str, Any]:
    document, groups = read(source), []
    for kind, packets, found in (
        ("datagram", DATAGRAMS, datagrams(document)),
        ("clear", CLEAR, clears(document)),
        ("request", REQUESTS, requests(document)),
    ):
        tests = []
        for data, comment in {data: comment for comment, data in found}.items():
            name, fields = cut(data, packets)
            head: Test = {"tcId": 0, "comment": comment, "flags": [], "result": "valid"}
            tests.append({**head, "wire": data.hex(), "packet": name, "fields": fields})
        groups.append(group_of(kind, tests, source.name, "derived"))
    return file("codec", [*[group for group in groups if group["tests"]], *specified()])
