"""The golden vectors of Freenet, and the converter that made them ours."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import convert_vectors
import pytest
from altering import altered
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sansproto.freenet import packets as p
from sansproto.testing import conformance_freenet
from sansproto.testing.conformance import differences
from sansproto.testing.vectors import VectorTest, load, validate

FOLDER = Path(__file__).parents[2] / "vectors" / "freenet"
GOLDEN = [test for name in ("freenet.json", "codec.json") for test in load(FOLDER / name)]


def name_of(test: VectorTest) -> str:
    return f"{test.type}-{test.tc_id}"


@pytest.mark.parametrize("test", GOLDEN, ids=name_of)
def test_golden(test: VectorTest) -> None:
    assert differences(test, conformance_freenet) == []


def test_every_golden_test_is_there_with_where_it_comes_from() -> None:
    tests = load(FOLDER / "freenet.json").tests
    captured = [test for test in tests if test.group.provenance == "reference-capture"]
    assert (len(tests), len(captured)) == (120, 42)
    assert {test.type for test in captured} == {"freenet.open_intro", "freenet.symmetric"}


def test_every_packet_has_a_vector_that_is_not_ours() -> None:
    kinds = {kind.__name__ for codec in (p.DATAGRAM, p.BODY) for kind in codec.packets.values()}
    kinds |= {"IntroBody", "VersionField", "OldVersionField", "Message"}
    tests = [test for test in load(FOLDER / "codec.json") if test.valid]
    assert {test["packet"] for test in tests} == kinds
    text = json.dumps([test["fields"] for test in tests])
    nested = {kind.__name__ for codec in (p.RESULT, p.SEEN) for kind in codec.packets.values()}
    assert {kind for kind in nested if f'"{kind}"' in text} == nested


# -- the converter

HEAD = {"tcId": 7, "result": "valid", "how_made": "own: from the specification"}
KEY = "11" * 16


def converted(tmp_path: Path, *tests: Any, kind: str = "freenet") -> list[VectorTest]:
    source = tmp_path / "given.json"
    groups = [{"group": "g", "comment": "", "tests": list(tests)}]
    source.write_text(json.dumps({"protocol": "freenet-core transport, 0.2.130", "groups": groups}), "utf-8")
    assert convert_vectors.main([kind, str(source), str(tmp_path / "out")]) == 0
    return [*validate(tmp_path / "out" / "given.json", FOLDER.parent / "schema")]


def test_an_unknown_operation_is_kept_and_fails(tmp_path: Path) -> None:
    first, second = converted(
        tmp_path, {**HEAD, "op": "magic", "out": "00"}, {**HEAD, "op": "magic", "result": "invalid", "in": "00"}
    )
    assert differences(first, conformance_freenet) == ["no check for freenet.magic"]
    assert differences(second, conformance_freenet) == ["no check for freenet.magic"]


def test_an_unknown_member_is_kept_and_fails(tmp_path: Path) -> None:
    (test,) = converted(tmp_path, {**HEAD, "op": "split", "size": 1, "short": True, "fragments": [], "color": "red"})
    assert differences(test, conformance_freenet) == ["color: expected red, got None"]


def test_what_should_be_refused_and_is_not_fails(tmp_path: Path) -> None:
    (test,) = converted(tmp_path, {**HEAD, "op": "decode", "result": "invalid", "clear": "00" * 12 + "03000000"})
    assert differences(test, conformance_freenet) == ["error: expected unsupported, got None"]


def test_another_order_of_groups_and_numbers_of_64_bits(tmp_path: Path) -> None:
    message = {"kind": "ping", "packet_id": 1, "acked": [], "sequence": 2**64 - 1}
    (test,) = converted(
        tmp_path, {**HEAD, "op": "decode", "clear": "01" + "00" * 11 + "04000000" + "ff" * 8, "message": message}
    )
    assert test["outputs"]["message"]["sequence"] == str(2**64 - 1)
    assert differences(test, conformance_freenet) == []


@pytest.mark.parametrize(
    ("clear", "fault"),
    [
        ("00" * 12 + "07000000", "bad_type"),
        ("00" * 12 + "02000000" + "00" * 16 + "02" + "00" * 7, "truncated"),
        ("00" * 12 + "02000000" + "00" * 24 + "02", "bad_value"),
        ("00" * 4 + "6c01000000000000", "bad_length"),
    ],
)
def test_faults_of_what_opens_and_is_no_message(clear: str, fault: str, tmp_path: Path) -> None:
    sealed = AESGCM(bytes.fromhex(KEY)).encrypt(bytes(12), bytes.fromhex(clear.ljust(32, "0")), None)
    given = {**HEAD, "result": "invalid"}
    first, second = converted(
        tmp_path,
        {**given, "op": "decode", "clear": clear.ljust(32, "0")},
        {**given, "op": "open_symmetric", "key": KEY, "datagram": "02" + bytes(12).hex() + sealed.hex()},
    )
    for test in (first, second):
        assert test.error is not None
        assert test.error.value == fault
        assert differences(test, conformance_freenet) == []


@pytest.mark.parametrize("document", [{}, {"protocol": "tox"}, []])
def test_another_kind_of_file_is_refused(document: Any, tmp_path: Path) -> None:
    source = tmp_path / "given.json"
    source.write_text(json.dumps(document), "utf-8")
    with pytest.raises(SystemExit, match="not a file of Freenet vectors"):
        convert_vectors.main(["freenet", str(source), str(tmp_path / "out")])


# -- captures

CAPTURES = load(FOLDER / "captures.json").tests


@pytest.mark.parametrize("test", CAPTURES, ids=name_of)
def test_what_a_real_one_received_is_the_same_to_ours(test: VectorTest) -> None:
    assert differences(test, conformance_freenet) == []


def test_both_ends_of_all_captures_are_there() -> None:
    kinds = {(test.comment.partition(",")[0], test.type.partition(".")[2]) for test in CAPTURES}
    assert len(kinds) == 2 * 7 + 1 + 2  # the joiners of one were not real ones, two are between peers
    assert {event["kind"] for test in CAPTURES for event in test["outcome"]["events"]} == {
        "Connected",
        "Confirmed",
        "MessageReceived",
    }


def test_a_capture_with_another_outcome_fails() -> None:
    test = next(test for test in CAPTURES if "streams" in test.comment and test.type == "freenet.gateway")
    fails = partial(altered, test, conformance_freenet)
    assert fails(lambda body: body["outcome"]["events"].pop()) == ["events"]
    assert fails(lambda body: body["outcome"]["dropped"].update(junk=1)) == ["dropped"]
    assert fails(lambda body: body["outcome"]["sent"].reverse()) == ["sent"]
    assert fails(lambda body: body["entropy"].update(luck=["00"])) == ["not drawn"]
    assert fails(lambda body: body["steps"].pop(20)) == ["events"]
    assert fails(lambda body: body["steps"][5]["datagram"].update(hex="02" * 60)) == ["dropped"]


def test_one_file_of_captures_is_taken_and_another_one_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="not a capture of Freenet"):
        convert_vectors.main(["freenet-captures", str(FOLDER / "freenet.json"), str(tmp_path / "out")])
