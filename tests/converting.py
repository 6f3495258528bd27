"""What the converters of all vectors share: the frame of a file, and tests that a table of the specification gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Test = dict[str, Any]

Source = tuple[str, str, str]
"""Name, version and provenance of where bytes come from."""

Rows = Mapping[str, tuple[tuple[str, str, str, Any], ...]]
"""By type of test: comment, bytes, name of the packet, and its fields or, if it is refused, the fault."""


def file(protocol: str, schema: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Tests are numbered anew: the number that they had stands in their comment."""
    for number, test in enumerate((test for group in groups for test in group["tests"]), 1):
        test["tcId"] = number
    return {
        "schema": schema,
        "protocol": protocol,
        "schemaVersion": 1,
        "notes": {},
        "numberOfTests": sum(len(group["tests"]) for group in groups),
        "testGroups": groups,
    }


def group(protocol: str, kind: str, tests: list[Test], source: Source) -> dict[str, Any]:
    named = dict(zip(("name", "version", "provenance"), source, strict=True))
    return {"type": f"{protocol}.{kind}", "source": named, "requires": [], "tests": tests}


def specified(protocol: str, rows: Rows, source: Source) -> Iterator[dict[str, Any]]:
    """Tests of kind ``codec``: what the specification shows as a table, with numbers put in."""
    for kind, cases in rows.items():
        tests: list[Test] = []
        for comment, wire, name, found in cases:
            is_valid = isinstance(found, dict)
            verdict = {"result": "valid"} if is_valid else {"result": "invalid", "error": found}
            head: Test = {"tcId": 0, "comment": comment, "flags": [], **verdict, "wire": wire.replace(" ", "")}
            tests.append({**head, "packet": name, **({"fields": found} if is_valid else {})})
        yield group(protocol, kind, tests, source)
