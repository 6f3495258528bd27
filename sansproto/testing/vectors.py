"""Test vectors: read them, check them against their schemas, write them in the one canonical layout.

``vectors/README.md`` describes the files for readers in any language. A reader in Python needs :func:`load`::

    for test in load("vectors/bob/codec.json"):
        if test.type == "bob.frame" and test.valid:
            ...decode test.octets("wire"), compare with test["fields"]...

Nothing here skips anything: a file of an unknown schema raises :class:`UnknownSchema`, and what a group requires stands
in ``test.group.requires``; report what you leave out.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from ..errors import Fault

SCHEMAS = frozenset({"codec", "crypto", "session", "duet", "machine", "transcript", "capture"})
"""The kinds of vector file."""

BESIDE = frozenset({"schema", "layouts", "readers"})
"""The folders beside the vectors."""

VERSION = 1
"""The ``schemaVersion`` that this module reads."""

WIDTH = 120
"""The canonical layout writes an array or object on one line if its compact form has at most this many characters."""


class UnknownSchema(ValueError):
    """A vector file of a kind or version that this library does not know: skip the file, and report that you did."""


@attrs.frozen
class VectorGroup:
    """What the tests of a group share.

    ``provenance`` is ``reference-library``, ``reference-capture``, ``spec-text``, ``derived`` or ``self``; ``requires``
    names what a reader must be able to do.
    """

    type: str
    source: str
    version: str
    provenance: str
    requires: tuple[str, ...]


@attrs.frozen
class VectorTest:
    """One test. ``body`` holds the members that belong to its kind, as JSON values; index the test to get them."""

    group: VectorGroup
    tc_id: int
    comment: str
    flags: tuple[str, ...]
    valid: bool
    error: Fault | None
    body: Mapping[str, Any] = attrs.field(repr=False, hash=False)

    @property
    def type(self) -> str:
        return self.group.type

    def __getitem__(self, member: str) -> Any:
        return self.body[member]

    def octets(self, *members: str) -> bytes:
        """The hexadecimal string under these nested members, as bytes: ``octets("inputs", "salt")``."""
        value: Any = self.body
        for member in members:
            value = value[member]
        return bytes.fromhex(value)


@attrs.frozen
class VectorFile:
    """A vector file; iterating gives its tests in the order of the file. ``notes`` explains each flag."""

    schema: str
    protocol: str
    notes: Mapping[str, str] = attrs.field(hash=False)
    tests: tuple[VectorTest, ...] = attrs.field(repr=False)

    def __iter__(self) -> Iterator[VectorTest]:
        return iter(self.tests)

    def __len__(self) -> int:
        return len(self.tests)


def files(folder: str | Path) -> list[Path]:
    """The vector files under a folder: all that is JSON, but for schemas, layouts and readers."""
    found = sorted(Path(folder).rglob("*.json"))
    return [path for path in found if BESIDE.isdisjoint(path.relative_to(folder).parts)]


def load(path: str | Path) -> VectorFile:
    """Read a vector file.

    Raises :class:`UnknownSchema`, and ValueError for a damaged file: a number that is not an integer, a wrong count of
    tests, an id used twice, a flag that the notes do not explain, or a note that no test uses.
    """
    document = _read(Path(path))
    if document.get("schema") not in SCHEMAS or document.get("schemaVersion") != VERSION:
        raise UnknownSchema(f"{path}: {document.get('schema')!r} version {document.get('schemaVersion')!r}")
    tests = tuple(_tests(document))
    if not len(tests) == len({test.tc_id for test in tests}) == document["numberOfTests"]:
        raise ValueError(f"{path}: numberOfTests or a tcId is wrong")
    notes = {flag: note["description"] for flag, note in document["notes"].items()}
    if unexplained := {flag for test in tests for flag in test.flags} ^ set(notes):
        raise ValueError(f"{path}: flags and notes differ in {sorted(unexplained)}")
    return VectorFile(schema=document["schema"], protocol=document["protocol"], notes=notes, tests=tests)


def validate(path: str | Path, schemas: str | Path | None = None) -> VectorFile:
    """Check a vector file against its JSON Schema, then :func:`load` it. See :func:`check_schema`."""
    check_schema(path, schemas)
    return load(path)


def check_schema(path: str | Path, schemas: str | Path | None = None) -> None:
    """Check a vector file, or a layout, against its JSON Schema.

    ``schemas`` is the folder of the schemas; without it, the folder ``schema`` of the nearest folder above the file
    that has one. Needs the package ``jsonschema``, whose ``ValidationError`` it raises.
    """
    jsonschema, referencing = (importlib.import_module(name) for name in ("jsonschema", "referencing"))
    folder = Path(schemas) if schemas is not None else _schemas_above(Path(path).resolve())
    loaded = {file.stem: _read(file) for file in folder.glob("*.json")}
    registry = referencing.Registry().with_resources(
        (schema["$id"], referencing.Resource.from_contents(schema)) for schema in loaded.values()
    )
    document = _read(Path(path))
    if document.get("schema") not in loaded.keys() - {"common"}:
        raise UnknownSchema(f"{path}: {document.get('schema')!r}")
    jsonschema.Draft202012Validator(loaded[document["schema"]], registry=registry).validate(document)


def write_json(path: str | Path, value: dict[str, Any]) -> None:
    """Write a vector file in the canonical layout."""
    Path(path).write_text(dumps(value), "ascii")


def dumps(document: Any) -> str:
    """The canonical text of a vector file or schema: ASCII, indented by one space, short values on one line."""
    return _layout(document, "\n") + "\n"


def _layout(value: Any, newline: str) -> str:
    compact = json.dumps(value)
    if len(compact) <= WIDTH or not isinstance(value, (dict, list)):
        return compact
    inner = newline + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}: {_layout(member, inner)}" for name, member in value.items()]
        return "{" + inner + ("," + inner).join(parts) + newline + "}"
    return "[" + inner + ("," + inner).join(_layout(member, inner) for member in value) + newline + "]"


def _read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text("utf-8"), parse_float=_no_float, parse_constant=_no_float)
    if not isinstance(document, dict):
        raise UnknownSchema(f"{path}: not an object")
    return document


def _no_float(text: str) -> None:
    raise ValueError(f"vectors have no floating-point numbers: {text}")


def _tests(document: Mapping[str, Any]) -> Iterator[VectorTest]:
    for entry in document["testGroups"]:
        source = entry["source"]
        group = VectorGroup(
            entry["type"], source["name"], source["version"], source["provenance"], tuple(entry["requires"])
        )
        for test in entry["tests"]:
            body = dict(test)
            tc_id, comment, flags, result = (body.pop(name) for name in ("tcId", "comment", "flags", "result"))
            error = Fault(body.pop("error")) if result == "invalid" else None
            yield VectorTest(group, tc_id, comment, tuple(flags), result == "valid", error, body)


def _schemas_above(path: Path) -> Path:
    for folder in path.parents:
        if (folder / "schema" / "common.json").is_file():
            return folder / "schema"
    raise FileNotFoundError(f"no folder 'schema' above {path}")
