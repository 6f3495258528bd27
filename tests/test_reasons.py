"""The docs' tables of reasons hold what sessions can give, and nothing else.

What the sessions of any test count is compared with the tables, too: by ``conftest.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path as File
from typing import Any, Never

import pytest
from scripted import PartHost
from test_docs import GENERATOR, PAGES, TABLES

from sansproto.component import components_of
from sansproto.contract import Address, Link, Path
from sansproto.endpoint import DatagramEndpoint
from sansproto.machine import Default, Outcome, Table
from sansproto.streams import StreamEndpoint
from sansproto.testing._internal import reasons
from sansproto.testing._internal.protocols import protocols, sessions_of, tables_of, without
from sansproto.testing.conformance import load_checks
from sansproto.testing.record import replay
from sansproto.testing.session_recorder import session_of
from sansproto.testing.tables import headings
from sansproto.testing.vectors import VectorTest, load
from sansproto.trace import Dropped, Noted, Refused, TraceRecord

VECTORS = File(__file__).parents[1] / "vectors"
PROTOCOLS = protocols()
of_each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def sessions_in(protocol: str) -> Iterator[VectorTest]:
    for path in sorted(VECTORS.glob(f"{protocol}/*.json")):
        file = load(path)
        yield from file.tests if file.schema == "session" else ()


@cache
def in_vectors(protocol: str) -> dict[type[TraceRecord], set[str]]:
    """The reasons that its session vectors count, by the kind of record."""
    seen: dict[type[TraceRecord], set[str]] = {Dropped: set(), Refused: set(), Noted: set()}

    def note(record: TraceRecord) -> None:
        if isinstance(record, Dropped | Refused):
            seen[type(record)].add(reasons.key(record.reason))
        elif isinstance(record, Noted):
            seen[Noted].add(record.remark)

    for test in sessions_in(protocol):
        assert replay(test["steps"], session_of(test, load_checks(protocol).MACHINES, note)) == []
    return seen


# -- who gives them: guards, tables and the session itself


@pytest.mark.unmeasured
@pytest.mark.parametrize("protocol", [one for one in PROTOCOLS if "vectors" not in without(one)])
def test_what_vectors_count_is_in_the_tables_and_each_guards_reason_is_in_a_vector(protocol: str) -> None:
    seen, told = in_vectors(protocol), reasons.dropped(protocol)
    assert seen[Dropped] <= told.keys()
    assert seen[Refused] <= reasons.refused(protocol).keys()
    assert seen[Noted] <= reasons.noted(protocol).keys()
    steps = (step for table in tables_of(protocol) for guards in table.guards for step in guards.steps)
    guards = {reasons.key(step.reason) for step in steps if step.on is None}
    assert guards <= seen[Dropped]


IGNORING = [(table, default) for table in TABLES for default in table.defaults if default.outcome is Outcome.IGNORE]


def name_of(value: Any) -> str:
    return value.name if isinstance(value, Table) else str(value.reason)


@pytest.mark.parametrize(("table", "default"), IGNORING, ids=name_of)
def test_a_table_gives_the_reason_where_it_has_no_row(table: Table[Any, Any], default: Default[Any]) -> None:
    pairs = [(state, on) for state in table.states for on in table.inputs if table.pairs[state, on] == ((), default)]
    host, part = PartHost(), object.__new__(table.part)
    part.host, part.place, part.state = host, None, pairs[0][0]
    pairs[0][1](object()).act(part)
    assert host.stats.dropped == {default.reason: 1}


class Nothing:
    events = outbox = 0


def strays(session: Any) -> None:
    """Let happen to a session whatever its base drops, and end it."""
    if isinstance(session, StreamEndpoint):
        session.stream_accepted("", Address("192.0.2.1", 1), 1.0)
    part = components_of(session)[0]
    part.forget()
    session.enqueue(part, part.table.inputs[0]())
    session.run()
    if isinstance(session, DatagramEndpoint):
        nowhere, path = Link(99), Path("udp", "192.0.2.9", 1)
        session.receive_datagram(b"", path, 1.0)
        session.datagram_failed(path, 1.0)
        session.looked_up(99, (), 1.0)
        session.stream_opened(nowhere, 1.0)
        session.receive_data(nowhere, b"", 1.0)
        if session._datagram_limits is not None:
            session._datagram_limits = Nothing()
            session.receive_datagram(b"", path, 1.0)
            session.send_datagram(b"", path)
        session.socket_bound("udp", Address("192.0.2.1", 1), 1.0)
    session.abort()
    before = dict(session.stats.dropped)
    session.close(1.0)
    assert session.stats.dropped == before  # it may come again
    session.transport_lost(1.0)


@of_each_protocol
def test_a_session_gives_the_reasons_of_its_base_and_no_other(protocol: str) -> None:
    firsts = {test.type: test for test in reversed([*sessions_in(protocol)])}
    seen_of: dict[type[Any], set[str]] = {}
    for test in firsts.values():
        trace: list[TraceRecord] = []
        session = session_of(test, load_checks(protocol).MACHINES, trace.append)
        strays(session)
        seen_of[type(session)] = {record.reason for record in trace if isinstance(record, Dropped | Refused)}
    assert {*seen_of} == {*sessions_of(protocol)}
    for cls, seen in seen_of.items():
        told = {what if isinstance(what, str) else what.reason for what, _ in reasons.drops_of_base(cls)}
        tables = {"stale", "late answer"}  # where looked_up is an input of a part
        assert seen - tables == told - tables, cls


class Silent(StreamEndpoint[str, Never]):
    pass


class Speaking(StreamEndpoint[str, bytes]):
    pass


def test_a_session_without_datagrams_is_told_from_others_by_its_type() -> None:
    speaking, silent = ({what for what, _ in reasons.drops_of_base(cls)} for cls in (Speaking, Silent))
    assert speaking - silent == {
        "busy",
        "malformed datagram",
        "datagram failed",
        *(one for one in speaking if not isinstance(one, str)),
    }
    assert silent - speaking == {"unexpected datagram"}
    assert {"closed", "late data", "unknown link", "unexpected report", "removed"} <= silent & speaking


def given_by(protocol: str) -> dict[str, set[str]]:
    return {reason: {one.by for one in group} for reason, group in reasons.dropped(protocol).items()}


def test_of_shared_parts_a_protocol_lists_what_it_reaches() -> None:
    hints = {"a hint about no session", "a wrong reset token"}
    assert hints <= given_by("egtp").keys()
    assert not hints & given_by("tox").keys()
    assert {"replay", "a reply that does not open"} <= given_by("tox").keys()
    of_recovery = {by for group in given_by("freenet").values() for by in group if by.startswith("recovery.")}
    assert of_recovery == {"recovery.pokes"}


# -- the pages


def section(page: File, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    parts = re.split(r"^(\S.*)\n-{3,}$", page.read_text("utf-8"), flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert heading in sections, f"{page.name} has no section {heading!r}: see docs/howto/protocol.rst"
    return sections[heading]


def test_of_shared_parts_a_protocol_lists_the_refusals_and_notes_of_modules_that_it_imports() -> None:
    """Freenet has what calls after a sleep from the core, and no peer, call or session of it."""
    core = {"too many peers", "the host could not seal it"}
    assert core <= reasons.refused("egtp").keys() & reasons.refused("tox").keys()
    assert not core & reasons.refused("freenet").keys()
    assert "a challenge was sent" in reasons.noted("tox")
    assert "a challenge was sent" not in reasons.noted("freenet")


def test_a_page_without_a_section_is_told_which(tmp_path: File) -> None:
    page = tmp_path / "toy.rst"
    page.write_text("Toy\n===\n\nAsking\n------\n\nText.\n\nEnds\n----\n")
    assert section(page, "Asking") == "\n\nText.\n\n"
    with pytest.raises(AssertionError, match=r"toy\.rst has no section 'Why a packet was dropped': see docs/howto"):
        section(page, "Why a packet was dropped")


@of_each_protocol
def test_headings_that_reasons_refusals_and_notes_name_are_there(protocol: str) -> None:
    assert section(PAGES / f"{protocol}.rst", "Why a packet was dropped")
    assert section(PAGES / f"{protocol}.rst", "Refusals and remarks")
    known = headings(PAGES / f"{protocol}.rst")
    for found in (reasons.dropped(protocol), reasons.refused(protocol), reasons.noted(protocol)):
        named = {given.see.lower() for group in found.values() for given in group if not given.see.startswith(":doc:")}
        assert named - {""} <= known


@of_each_protocol
def test_each_reason_has_advice(protocol: str) -> None:
    missing = reasons.dropped(protocol).keys() - GENERATOR.advice_for(protocol).keys()
    assert not missing, f"docs/protocols/advice/{protocol}.inc has to say what they mean, and what to do"


def test_advice_is_for_reasons_that_are_given() -> None:
    given = {protocol: {*reasons.dropped(protocol)} for protocol in PROTOCOLS}
    pages = {path.stem: GENERATOR.advice_on(path.stem) for path in GENERATOR.ADVICE.iterdir()}
    assert [(page, one) for page in PROTOCOLS for one in pages[page] if one not in given[page]] == []
    anywhere = set[str]().union(*given.values())
    assert {*pages} - {*PROTOCOLS} == {"endpoints", "links"}
    assert {*pages["endpoints"], *pages["links"]} <= anywhere


def test_all_that_a_file_of_advice_holds_is_read() -> None:
    for path in GENERATOR.ADVICE.iterdir():
        lines = path.read_text("utf-8").splitlines()
        named = [line.strip("`") for line in lines if not line.startswith(" ")]
        assert [*GENERATOR.advice_on(path.stem)] == named == sorted(named), path.name
