"""What the converters of captures share: datagrams that one real party received, given to ours in its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import converting
from converting import Source, Test

from sansproto.testing.conformance import Make, outcome
from sansproto.testing.entropy import ScriptedEntropy

SOCKET: Final = "udp"

Datagram = Mapping[str, Any]
Event = dict[str, Any]
Script = dict[str, list[str]]
Step = dict[str, Any]


def place(text: str) -> dict[str, Any]:
    host, _, port = text.rpartition(":")
    return {"host": host.strip("[]"), "port": int(port)}


def path(text: str) -> dict[str, Any]:
    return {"socket": SOCKET, **place(text)}


def documents(folder: Path, member: str, of: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The captures in a folder, or one file, by name; those ``of`` a protocol have this ``member`` in their header."""
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else [folder]:
        document = json.loads(file.read_text("utf-8"))
        is_capture = isinstance(document, dict) and {"header", "datagrams"} <= document.keys()
        if not is_capture or member not in document["header"]:
            raise SystemExit(f"{file}: not a capture of {of}")
        yield file.stem, document


def milliseconds(one: Datagram, begun: float) -> int:
    return round((one["t"] - begun) * 1000)


def received(one: Datagram, begun: float) -> Step:
    """The step in which a datagram arrives."""
    return {"t": milliseconds(one, begun), "datagram": {"path": path(one["from"]), "hex": one["hex"]}}


def a_capture(
    make: Make, comment: str, config: Mapping[str, Any], script: Script, steps: list[Step], expected: Mapping[str, Any]
) -> Test:
    """A test. What ``expected`` does not say of its outcome is what ours does."""
    test: Test = {
        "tcId": 0,
        "comment": comment,
        "flags": [],
        "config": dict(config),
        "entropy": script,
        "steps": steps,
        "outcome": {},
        "result": "valid",
    }
    found = outcome(make, test, ScriptedEntropy({name: [*map(bytes.fromhex, draws)] for name, draws in script.items()}))
    test["outcome"] = {**found, **expected}
    return test


def captures_file(protocol: str, tests: Mapping[str, list[Test]], source: tuple[str, str]) -> dict[str, Any]:
    """The vector file of tests by the machine that they are for."""
    whole: Source = (*source, "reference-capture")
    groups = [converting.group(protocol, kind.partition(".")[2], some, whole) for kind, some in tests.items() if some]
    return converting.file(protocol, "capture", groups)
