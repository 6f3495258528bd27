"""Checks this copy of the library against the vectors. For a copy that was vendored under another name::

    python -m acme._vendor.sansproto.testing.conformance path/to/vectors

The path is a folder or one file. It needs what the library itself needs and nothing else. It prints a line for each
type of test in each file, everything that differs and everything that it left out, and exits with 1 if anything differs
or could not be checked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_type_hints

import attrs

from ..contract import Entropy
from ..errors import WireError
from ..trace import PacketSeen, Trace, TraceRecord
from ._internal.charts import to_json
from ._internal.protocols import ROOT
from .entropy import ScriptedEntropy
from .record import feed, replay
from .vectors import UnknownSchema, VectorTest, files, load

T = TypeVar("T")

Answer = Mapping[str, Any]
"""The outcome of one test: its members by name, and ``error`` if the library refuses the input."""


Config = Mapping[str, Any]
"""The ``config`` of a session vector: the arguments of the constructor as plain data."""


class Make(Protocol):
    """Makes a session from a config."""

    def __call__(self, config: Config, entropy: Entropy, trace: Trace | None = None, /) -> Any: ...


class Checks(Protocol):
    """What a module ``conformance_<protocol>`` beside this one holds."""

    ANSWERS: Mapping[str, Callable[[VectorTest], Answer]]  # by type of test; what is called may raise WireError
    MACHINES: Mapping[str, Make]
    TABLES: Sequence[Any]
    CANNOT: frozenset[str]  # what a group may require or a type be, and is left out
    # and perhaps LAYOUT, out of which layouts/<protocol>.json is made


def settings(kind: type[T], given: Config) -> T:
    """Delays or limits; times are milliseconds in a vector, null where there is none."""
    hints = get_type_hints(kind)
    times = {name for name in given if hints[name] in (float, float | None) and given[name] is not None}
    return kind(**{name: value / 1000 if name in times else value for name, value in given.items()})


@attrs.define
class Report:
    """The results of the tests of one type in one file."""

    name: str
    passed: int = 0
    left_out: list[str] = attrs.field(factory=list)  # it needs what is not done here
    failed: list[str] = attrs.field(factory=list)  # it differs, or there is no check


def run(place: str | Path) -> Iterator[Report]:
    """Check a vector file, or all that are under a folder."""
    place = Path(place)
    if place.is_file():
        yield from _run_file(place, place.name)
    for path in files(place):
        yield from _run_file(path, str(path.relative_to(place)))


def _run_file(path: Path, name: str) -> Iterator[Report]:
    reports: dict[str, Report] = {}
    try:
        for test in load(path):
            report = reports.setdefault(test.type, Report(f"{name}, {test.type}"))
            _judge(test, report)
    except UnknownSchema as error:
        reports[name] = Report(name, failed=[str(error)])
    yield from reports.values()


def _judge(test: VectorTest, report: Report) -> None:
    label, protocol = f"{test.tc_id} ({test.comment})", test.type.partition(".")[0]
    if not has_checks(protocol):
        report.failed.append(f"{label}: no check for {test.type}")
        return
    if not is_here(protocol):
        report.left_out.append(f"{label} needs {protocol}, which this copy leaves out")
        return
    checks = load_checks(protocol)
    if missing := checks.CANNOT & {test.type, *test.group.requires}:
        report.left_out.append(f"{label} needs {', '.join(sorted(missing))}")
    elif found := _found(test, checks):
        report.failed += [f"{label}: {difference}" for difference in found]
    else:
        report.passed += 1


def _found(test: VectorTest, checks: Checks) -> list[str]:
    """The differences. An unexpected exception is one, too: the other tests still have to run."""
    try:
        return differences(test, checks)
    except Exception as error:
        return [f"raised {error!r}"]


def has_checks(protocol: str) -> bool:
    """Whether there are checks for this protocol, or for this part that several protocols share."""
    return find_spec(f"{__package__}.conformance_{protocol}") is not None


def is_here(protocol: str) -> bool:
    """Whether this copy has the protocol: a vendored copy may leave some out."""
    return find_spec(f"{ROOT}.{protocol}") is not None


def load_checks(protocol: str) -> Checks:
    """The checks of a protocol. Raises ModuleNotFoundError if there are none."""
    module: Any = import_module(f"{__package__}.conformance_{protocol}")
    checks: Checks = module
    return checks


def differences(test: VectorTest, checks: Checks) -> list[str]:
    """The differences between the library and the test; an empty list if there are none."""
    if test.body.keys() >= {"machine", "rows"}:
        tables = {table.name: to_json(table) for table in checks.TABLES}
        return [] if test.body == tables.get(test["machine"]) else ["the table differs"]
    if test.type in checks.MACHINES:
        make = checks.MACHINES[test.type]
        return _fed(make, test) if "outcome" in test.body else _replayed(make, test)
    if test.type not in checks.ANSWERS:
        return [f"no check for {test.type}"]
    return _answered(checks.ANSWERS[test.type], test)


def _answered(answer: Callable[[VectorTest], Answer], test: VectorTest) -> list[str]:
    try:
        got: Answer = {"error": None, **answer(test)}
    except WireError as error:
        got = {"error": error.fault.value, "need": error.need}
    return [
        f"{member}: expected {value}, got {got.get(member)}"
        for member, value in _expected(test, got).items()
        if got.get(member) != value
    ]


def _expected(test: VectorTest, got: Answer) -> Answer:
    error = {"error": test.error.value if test.error is not None else None}
    if "inputs" in test.body:
        return {**test.body.get("outputs", {}), **error}
    expected = {member: value for member, value in test.body.items() if member not in ("wire", "pieces")} | error
    if not test.valid:
        del expected["packet"]  # what it tried to be
    elif "canonical" in got:
        rest = expected.setdefault("rest", "")
        expected.setdefault("canonical", test["wire"].removesuffix(rest))
    return expected


def _script(test: VectorTest) -> ScriptedEntropy:
    return ScriptedEntropy({name: [*map(bytes.fromhex, draws)] for name, draws in test["entropy"].items()})


def _replayed(make: Make, test: VectorTest) -> list[str]:
    entropy = _script(test)
    found = replay(test["steps"], make(test["config"], entropy))
    return found + [f"not drawn: {name}" for name in entropy.undrawn]


def _fed(make: Make, test: VectorTest) -> list[str]:
    entropy = _script(test)
    got = outcome(make, test.body, entropy)
    found = [f"{name}: expected {one}, got {got[name]}" for name, one in test["outcome"].items() if got[name] != one]
    return found + [f"not drawn: {name}" for name in entropy.undrawn]


def outcome(make: Make, body: Mapping[str, Any], entropy: Entropy) -> dict[str, Any]:
    """What a test of kind ``capture`` leads to: events, how much was dropped for which reason, names of what was sent.

    The same name several times in a row counts as one: how often something is repeated follows from times.
    """
    sent: list[str] = []

    def note(record: TraceRecord) -> None:
        if isinstance(record, PacketSeen) and record.sent and sent[-1:] != [record.name]:
            sent.append(record.name)

    session = make(body["config"], entropy, note)
    return {"events": feed(body["steps"], session), "dropped": dict(session.stats.dropped), "sent": sent}


def main(arguments: Sequence[str]) -> int:
    """Check the folder or file that the one argument names, and print the results; the exit status."""
    if len(arguments) != 1 or not Path(arguments[0]).exists():
        print(__doc__, file=sys.stderr)
        return 2
    reports = list(run(arguments[0]))
    for report in reports:
        counts = f"{report.passed} passed, {len(report.left_out)} left out, {len(report.failed)} failed"
        print(f"{report.name}: {counts}")
        for line in report.left_out:
            print(f"  left out: {line}")
        for line in report.failed:
            print(f"  FAILED: {line}")
    passed, failed = sum(report.passed for report in reports), sum(len(report.failed) for report in reports)
    print(f"{passed} passed, {sum(len(report.left_out) for report in reports)} left out, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
