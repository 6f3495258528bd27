"""The reader of the vectors in JavaScript passes every test of a codec or function, and notices what is wrong."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_readers import INSTALLED, LOCK, READER, VECTORS, prepare, run

from sansproto.testing.vectors import files, load

TOLD = {path: load(path) for path in files(VECTORS)}
CHECKED = {path: file for path, file in TOLD.items() if file.schema in ("codec", "crypto")}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("reader"))


def test_all_pass_and_none_is_skipped(reader: Path) -> None:
    done = run(reader)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    passed = Counter(file.protocol for file in CHECKED.values() for _ in file)
    lines = [f"{protocol}: {count} passed, 0 failed, 0 skipped" for protocol, count in sorted(passed.items())]
    lines.append(f"total: {passed.total()} passed, 0 failed, 0 skipped")
    others = Counter(file.schema for path, file in TOLD.items() if path not in CHECKED and file.schema != "machine")
    left = ", ".join(f"{count} of {schema}" for schema, count in others.items())
    lines.append(f"files of other kinds, which this reader does not run: {left}")
    assert done.stdout.splitlines() == lines


# -- what is wrong is noticed


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of vectors, so far with nothing but layouts."""
    shutil.copytree(VECTORS / "layouts", tmp_path / "layouts")
    return tmp_path


def put(place: Path, path: Path, document: Any) -> None:
    target = place / path.relative_to(VECTORS)
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document), "utf-8")


def other(value: Any) -> Any:
    """A value that is nearly the same."""
    if isinstance(value, dict):
        (name, one), *rest = value.items() or [("more", 0)]
        return {name: other(one), **dict(rest)}
    if isinstance(value, list):
        return [*value[:-1], other(value[-1])] if value else [0]
    if isinstance(value, str) and "." in value:  # a number, of which the last digits may not count
        return "9" + value.removeprefix("-")
    if isinstance(value, str):
        return value[:-1] + ("1" if value.endswith("0") else "0") if value else "00"
    return not value if isinstance(value, bool) else (value or 0) + 1


def break_expectation(test: Any) -> None:
    """Another error; of what is valid, each output another one, or each field."""
    if test["result"] == "invalid":
        test["error"] = "unsupported" if test["error"] != "unsupported" else "bad_value"
    elif "inputs" in test:
        test["outputs"] = {name: other(value) for name, value in test["outputs"].items()}
    else:
        test["fields"] = other(test["fields"])


def break_encoding(test: Any) -> None:
    test["canonical"] = other(test.get("canonical", test["wire"]))


def break_rest(test: Any) -> None:
    test["rest"] = test.get("rest", "") + "00"


def break_packet(test: Any) -> None:
    test["packet"] = "Unknown"


def break_need(test: Any) -> None:
    test["need"] += 1


def broken(place: Path, change: Callable[[Any], None], choose: Callable[[Any], bool]) -> set[tuple[str, str, int]]:
    """Put every chosen test into the folder with the change, and nothing else; which ones these are."""
    names = set()
    for path in CHECKED:
        document = json.loads(path.read_text("utf-8"))
        for group in document["testGroups"]:
            group["tests"] = [test for test in group["tests"] if choose(test)]
            for test in group["tests"]:
                change(test)
                names.add((str(path.relative_to(VECTORS)), group["type"], test["tcId"]))
        document["numberOfTests"] = sum(len(group["tests"]) for group in document["testGroups"])
        put(place, path, document)
    return names


def failed(text: str) -> set[tuple[str, str, int]]:
    found = re.findall(r"^FAILED (\S+), (\S+), (\d+) \(", text, re.M)
    return {(file, kind, int(number)) for file, kind, number in found}


def is_codec(test: Any) -> bool:
    return test["result"] == "valid" and "wire" in test


DECODED_ONLY = ("Pack", "Transfer", "SenderFailed")  # and what is read leniently


@pytest.mark.parametrize(
    ("change", "choose"),
    [
        (break_expectation, lambda test: True),
        (break_encoding, lambda test: is_codec(test) and test["packet"] not in DECODED_ONLY),
        (break_rest, is_codec),
        (break_packet, is_codec),
        (break_need, lambda test: "need" in test),
    ],
)
def test_each_test_that_is_broken_fails(
    reader: Path, place: Path, change: Callable[[Any], None], choose: Callable[[Any], bool]
) -> None:
    wanted = broken(place, change, choose)
    if change is break_encoding:
        wanted = {one for one in wanted if one[1] != "overte.lenient"}
    done = run(reader, place)
    assert done.returncode == 1
    assert wanted - failed(done.stdout) == set()
    assert "total: 0 passed" in done.stdout or change is break_encoding


def one_test(path: Path) -> Any:
    """The file with its second test alone."""
    document = json.loads(path.read_text("utf-8"))
    document["testGroups"] = document["testGroups"][:1]
    document["testGroups"][0]["tests"] = document["testGroups"][0]["tests"][1:2]
    document["numberOfTests"] = 1
    return document


CODEC = VECTORS / "bob" / "codec.json"


def another_version(document: Any) -> None:
    document["schemaVersion"] = 2


def another_kind(document: Any) -> None:
    document["schema"] = "opera"


def another_ability(document: Any) -> None:
    document["testGroups"][0]["requires"] = ["secret-packet", "time-travel"]


def another_protocol(document: Any) -> None:
    document["protocol"] = "ghost"


def another_number(document: Any) -> None:
    document["numberOfTests"] = 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (another_version, "SKIPPED bob/codec.json: schemaVersion 2"),
        (another_kind, "SKIPPED bob/codec.json: schema opera"),
        (another_ability, "SKIPPED bob/codec.json, bob.frame: requires time-travel"),
        (another_protocol, "SKIPPED ghost/codec.json: a protocol that is not known"),
        (another_number, "SKIPPED bob/codec.json: 1 tests of 2"),
    ],
)
def test_what_it_cannot_do_is_told_and_is_no_success(
    reader: Path, place: Path, change: Callable[[Any], None], told: str
) -> None:
    good = VECTORS / "freenet" / "codec.json"
    put(place, good, one_test(good))
    document = one_test(CODEC)
    change(document)
    put(place, VECTORS / document["protocol"] / "codec.json", document)
    done = run(reader, place)
    assert done.returncode == 1
    assert told in done.stdout.splitlines()
    assert re.search(r"^total: [12] passed, 0 failed, 1 skipped$", done.stdout, re.M)


def test_a_type_without_a_check_fails(reader: Path, place: Path) -> None:
    document = one_test(CODEC)
    document["testGroups"][0]["type"] = "bob.news"
    put(place, CODEC, document)
    done = run(reader, place)
    assert done.returncode == 1
    assert "no check for bob.news" in done.stdout


def test_no_vectors_are_no_success(reader: Path, place: Path) -> None:
    assert run(reader, place).returncode == 1


def test_codecs_are_those_of_the_layouts(reader: Path, place: Path) -> None:
    """With another layout the same bytes are something else."""
    path = place / "layouts" / "bob.json"
    layout = json.loads(path.read_text("utf-8"))
    layout["packets"]["Header"]["fields"].reverse()
    path.write_text(json.dumps(layout), "utf-8")
    put(place, CODEC, one_test(CODEC))
    assert failed(run(reader, place).stdout) == {("bob/codec.json", "bob.frame", 2)}


# -- what it needs


def test_missing_packages_are_no_reason_to_skip(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run `make readers`"):
        prepare(tmp_path, tmp_path)


def test_packages_of_another_lock_file_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    shutil.copy(INSTALLED / "node_modules" / f".{LOCK}", tmp_path / "node_modules")
    (tmp_path / LOCK).write_text("{}", "utf-8")
    with pytest.raises(FileNotFoundError, match="are not those of package-lock"):
        prepare(tmp_path, tmp_path)


def test_versions_are_pinned() -> None:
    wanted = json.loads((READER / "package.json").read_text("utf-8"))["dependencies"]
    locked = json.loads((READER / LOCK).read_text("utf-8"))["packages"]
    assert wanted.keys() == {"@noble/ciphers", "@noble/curves", "@noble/hashes"}
    assert wanted == {name: locked[f"node_modules/{name}"]["version"] for name in wanted}
    assert all("integrity" in one for name, one in locked.items() if name)
