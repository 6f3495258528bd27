"""Captures of freenet-core's transport as ours: :mod:`convert_vectors`.

What one real party received is given to ours in its place, with its keys. A capture is cut where somebody begins a
session with another key, so each test is about one session. The events follow from what was opened there, by the rules
that stand here; what ours drops and sends is what it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from convert_captures import Datagram, Event, Script, Step, a_capture, captures_file, documents, path, place, received
from convert_freenet import SOURCE, VERSION, clear, version
from converting import Test

from sansproto.testing.conformance_freenet import MACHINES


def is_intro(one: Datagram) -> bool:
    return bool(one["message"]["kind"] == "intro")


class Capture:
    """A capture between two ends."""

    def __init__(self, name: str, document: Mapping[str, Any], ours: str, theirs: str) -> None:
        """``ours`` is the end whose place ours takes."""
        self.name, self.ours, self.theirs = name, ours, theirs
        parties = document["header"]["parties"]
        self.party = parties[str(place(ours)["port"])]
        self.other = parties.get(str(place(theirs)["port"]), {"role": "joiner"})
        ends = {ours, theirs}
        self.datagrams: list[Datagram] = [one for one in document["datagrams"] if {one["from"], one["to"]} == ends]

    @property
    def is_gateway(self) -> bool:
        return bool(self.party["role"] == "gateway")

    def pieces(self) -> Iterator[list[Datagram]]:
        """Each begins with the first copy of an intro of the end that called; of two who call, there is one."""
        caller = self.theirs if self.is_gateway else self.ours
        cuts = [0]
        intros = [(at, one) for at, one in enumerate(self.datagrams) if is_intro(one) and one["from"] == caller]
        for (_, before), (at, one) in pairwise(intros):
            if one["hex"] != before["hex"]:
                cuts.append(at)
        for begin, end in zip(cuts, [*cuts[1:], len(self.datagrams)], strict=True):
            yield self.datagrams[begin:end]


def keys_of(piece: list[Datagram], of: str) -> list[str]:
    """Under which this end wants to receive: it says so in an intro, or in an ack."""
    told = (one["message"].get("key") for one in piece if one["from"] == of)
    return [key for key in told if key][:1]


def first_intro(piece: list[Datagram], of: str) -> Datagram:
    return next(one for one in piece if one["from"] == of and is_intro(one))


def connected(capture: Capture, piece: list[Datagram]) -> Iterator[Event]:
    """What is told of a new session, with what the other end said of itself in its intro or in its answer."""
    base = {"kind": "Connected", "path": path(capture.theirs), "generation": 1}
    if capture.is_gateway:
        told = first_intro(piece, capture.theirs)["message"]["version"]
        yield {**base, "version": told_version(told)}
        return
    ack = next(one["message"] for one in piece if one["from"] == capture.theirs and one["message"]["kind"] in ACKS)
    told = {"version": told_version(ack["version"])} if "version" in ack else {}
    seen = {"seen_at": place(ack["address"])}
    yield {**base, "proven": capture.other["static_public"], "confirmed": False, **told, **seen}


ACKS: Final = ("ack", "ack_v2")


def told_version(told: str) -> dict[str, Any]:
    field = version(bytes.fromhex(told))["fields"]
    return {
        "number": [field["major"], field["minor"], field["patch"]],
        "minimum": [field["major"], field["minor"], field["minimum"]],
    }


def messages(capture: Capture, opened: list[Datagram]) -> Iterator[Event]:
    """Each packet once, by its id; a stream when all of it is there. The first packet that is not an ack is a sign of
    life, which confirms a session that we began."""
    seen: set[int] = set()
    streams: dict[int, dict[int, bytes]] = {}
    is_confirmed = capture.is_gateway
    for one in opened:
        told = clear(bytes.fromhex(one["clear"]))
        number, fields = told["header"]["packet_id"], told["fields"]
        if told["packet"].startswith("AckConnection") or number in seen:
            continue
        seen.add(number)
        if not is_confirmed:
            is_confirmed = True
            yield {"kind": "Confirmed", "path": path(capture.theirs), "generation": 1}
        whole = None
        if told["packet"] == "ShortMessage":
            whole = bytes.fromhex(fields["payload"])
        if told["packet"] == "StreamFragment":
            parts = streams.setdefault(fields["stream"], {})
            parts[fields["fragment"]] = bytes.fromhex(fields["payload"])
            if sum(map(len, parts.values())) == int(fields["total"]):
                whole = b"".join(parts[number] for number in sorted(parts))
        if whole is not None:
            message = {"data": whole[8:].hex(), "generation": 1}
            yield {"kind": "MessageReceived", "path": path(capture.theirs), **message}


def entropy(capture: Capture, piece: list[Datagram]) -> Script:
    """The key under which the real one received."""
    there, keys = place(capture.theirs), keys_of(piece, capture.ours)
    if capture.is_gateway:
        name = f"candidate.{first_intro(piece, capture.theirs)['hex'][2:18]}"
    else:
        name = f"call.{there['host']}:{there['port']}.1"
    return {f"{name}.key": keys} if keys else {}


def converted(capture: Capture, piece: list[Datagram], number: int) -> Test | None:
    """The test of a piece; None if there was no session, and no refusal either."""
    heard = [one for one in piece if one["from"] == capture.theirs]
    script = entropy(capture, piece)
    keys = {key for draws in script.values() for key in draws}
    opened = [one for one in heard if not is_intro(one) and one["opened_with"] in keys]
    is_refused = any("error" in one["message"] for one in piece)
    if not (opened or (is_refused and capture.is_gateway)) or any(
        not is_intro(one) and one not in opened for one in heard
    ):
        return None
    begun, role = piece[0]["t"], capture.party["role"].partition(",")[0]
    steps: list[Step] = []
    if not capture.is_gateway:
        calls = {"peer": capture.other["static_public"], "path": path(capture.theirs)}
        steps.append({"t": 0, "call": "connect", "args": {**calls, "gateway": capture.other["role"] == "gateway"}})
    steps += [received(one, begun) for one in heard]
    comment = f"{capture.name}, session {number}: what the {role} received from {capture.theirs}"
    config = {"private_key": capture.party["static_secret"], "delays": {}, "limits": {}}
    events = [] if is_refused else [*connected(capture, piece), *messages(capture, opened)]
    return a_capture(MACHINES[machine_of(capture)], comment, config, script, steps, {"events": events})


def machine_of(capture: Capture) -> str:
    return "freenet.gateway" if capture.is_gateway else "freenet.peer"


def captures(folder: Path) -> Iterator[Capture]:
    """Both ends of each file whose keys are known."""
    for name, document in documents(folder, "parties", "Freenet"):
        parties = document["header"]["parties"]
        pairs = dict.fromkeys((one["to"], one["from"]) for one in document["datagrams"])
        for ours, theirs in pairs:
            if "static_secret" in parties.get(str(place(ours)["port"]), {}):
                yield Capture(name, document, ours, theirs)


def freenet_captures(folder: Path) -> dict[str, Any]:
    tests: dict[str, list[Test]] = {}
    for capture in captures(folder):
        found = [converted(capture, piece, number) for number, piece in enumerate(capture.pieces(), 1)]
        tests.setdefault(machine_of(capture), []).extend(test for test in found if test is not None)
    return captures_file("freenet", tests, (SOURCE, VERSION))
