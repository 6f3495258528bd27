"""The golden vectors, all of them, and how they are turned into ours."""

from __future__ import annotations

import json
from hashlib import blake2s
from pathlib import Path
from typing import Any

import convert_vectors
import pytest

from sansproto.egtp import packets as p
from sansproto.testing import conformance_egtp
from sansproto.testing.conformance import differences
from sansproto.testing.vectors import VectorTest, load, validate
from sansproto.wire import OneOf

FOLDER = Path(__file__).parents[2] / "vectors" / "egtp"
GOLDEN = [test for name in ("egtp.json", "egtp_f.json", "codec.json") for test in load(FOLDER / name)]


def name_of(test: VectorTest) -> str:
    return f"{test.type}-{test.tc_id}"


@pytest.mark.parametrize("test", [test for test in GOLDEN if test.type not in conformance_egtp.CANNOT], ids=name_of)
def test_golden(test: VectorTest) -> None:
    assert differences(test, conformance_egtp) == []


def test_every_packet_has_a_vector_that_is_not_ours() -> None:
    codecs: list[OneOf[Any]] = [p.DATAGRAM, p.CLEAR, p.REQUEST, p.RESPONSE]
    kinds = {kind.__name__ for codec in codecs for kind in codec.packets.values()}
    tested = {test["packet"] for test in load(FOLDER / "codec.json") if test.valid}
    assert kinds <= tested


# -- the converter

SHAPE = {"profile": "EGTP-R1", "groups": []}
HEAD = {"tcId": 7, "comment": "c", "result": "valid"}


def converted(tmp_path: Path, *groups: Any, kind: str = "egtp") -> list[VectorTest]:
    source = tmp_path / "given.json"
    source.write_text(json.dumps({**SHAPE, "groups": groups}), "utf-8")
    assert convert_vectors.main([kind, str(source), str(tmp_path / "out")]) == 0
    return [*validate(tmp_path / "out" / "given.json", FOLDER.parent / "schema")]


def test_an_unknown_group_is_kept_and_fails(tmp_path: Path) -> None:
    (test,) = converted(tmp_path, {"group": "sorcery", "tests": [{**HEAD, "spell": "00"}]})
    assert (test.type, test["outputs"]) == ("egtp.sorcery", {"spell": "00"})
    assert differences(test, conformance_egtp) == ["no check for egtp.sorcery"]


def test_an_unknown_operation_is_kept_and_fails(tmp_path: Path) -> None:
    (test,) = converted(tmp_path, {"group": "primitives", "tests": [{**HEAD, "op": "magic", "out": "00"}]})
    assert differences(test, conformance_egtp) == ["no check for egtp.magic"]


def test_an_unknown_member_is_kept_and_fails(tmp_path: Path) -> None:
    golden = {**HEAD, "op": "reset_token", "private": "11" * 32, "sid": "22" * 8, "out": "00", "color": "red"}
    (test,) = converted(tmp_path, {"group": "primitives", "tests": [golden]})
    found = differences(test, conformance_egtp)
    assert [line.partition(":")[0] for line in found] == ["out", "color"]


SERVER, PEER = b"\x11" * 32, b"\x22" * 32
MAILBOX = blake2s(b"EGTP-mbx" + SERVER + PEER, digest_size=32).digest()


@pytest.mark.parametrize(
    ("given", "out"),
    [
        ({"op": "mailbox_id", "server": SERVER.hex(), "owner": PEER.hex()}, MAILBOX),
        ({"op": "path", "path": {"server": SERVER.hex(), "owner": PEER.hex()}}, b"\x52" + SERVER + MAILBOX),
        ({"op": "path", "path": {"server": SERVER.hex(), "mailbox": PEER.hex()}}, b"\x52" + SERVER + PEER),
    ],
)
def test_ids_of_mailboxes_and_the_paths_to_them(given: dict[str, Any], out: bytes, tmp_path: Path) -> None:
    """In forms that no golden vector has."""
    right, wrong = ({**HEAD, **given, "out": data.hex()} for data in (out, out[:-1] + b"\0"))
    first, second = converted(tmp_path, {"group": "primitives", "tests": [right, wrong]})
    assert differences(first, conformance_egtp) == []
    assert [line.partition(":")[0] for line in differences(second, conformance_egtp)] == ["out"]


def test_one_file_or_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "given.json"
    source.write_text(json.dumps({**SHAPE, "groups": [{"group": "g", "tests": [HEAD]}]}), "utf-8")
    assert convert_vectors.main(["egtp", str(source), str(tmp_path / "one.json")]) == 0
    assert load(tmp_path / "one.json").tests[0].comment == "7: c"
    assert convert_vectors.main(["egtp", str(source)]) == 2
    assert convert_vectors.main(["bob", str(source), "x"]) == 2
    assert "convert_vectors.py egtp FILE OUT" in capsys.readouterr().err


@pytest.mark.parametrize("document", [{}, {"profile": "EGTP-R1"}, {"profile": "EGTP-R2", "groups": []}])
def test_another_kind_of_file_is_refused(document: Any, tmp_path: Path) -> None:
    source = tmp_path / "given.json"
    source.write_text(json.dumps(document), "utf-8")
    with pytest.raises(SystemExit, match="not a file of EGTP-R1 vectors"):
        convert_vectors.main(["egtp", str(source), str(tmp_path / "out")])
