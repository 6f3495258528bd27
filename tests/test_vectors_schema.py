"""Every vector file and every example of vectors/README.md is what its schema and the loader say."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sansproto.errors import Fault
from sansproto.testing.vectors import SCHEMAS, UnknownSchema, VectorTest, dumps, files, load, validate

VECTORS = Path(__file__).parents[1] / "vectors"
SCHEMA_FILES = sorted((VECTORS / "schema").glob("*.json"))
FILES = files(VECTORS)
README = (VECTORS / "README.md").read_text("utf-8")
EXAMPLES = {json.loads(text)["schema"]: text for text in re.findall(r"^```json\n(.*?)^```$", README, re.S | re.M)}


def name_of(path: Path) -> str:
    return str(path.relative_to(VECTORS))


def check(document: Any, tmp_path: Path) -> None:
    """Validate a document as if it were a file."""
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document), "utf-8")
    validate(path, VECTORS / "schema")


@pytest.mark.outside
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_is_valid_and_in_the_folder_of_its_protocol(path: Path) -> None:
    file = validate(path)
    assert len(file) > 0
    assert sorted(test.tc_id for test in file) == list(range(1, len(file) + 1))
    assert file.protocol == path.parent.name or file.schema == "machine"


@pytest.mark.outside
@pytest.mark.parametrize("path", FILES + SCHEMA_FILES, ids=name_of)
def test_file_has_the_canonical_layout(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text == dumps(json.loads(text))


@pytest.mark.parametrize("path", SCHEMA_FILES, ids=name_of)
def test_schema_is_closed(path: Path) -> None:
    """Every object either lists all its members or says what any other must be."""
    schema = json.loads(path.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert "additionalProperties" in node, node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def test_schemas_know_exactly_the_faults_and_kinds_of_the_library() -> None:
    common = json.loads((VECTORS / "schema" / "common.json").read_text("utf-8"))
    assert common["$defs"]["error"]["enum"] == [fault.value for fault in Fault]
    assert {path.stem for path in SCHEMA_FILES} == SCHEMAS | {"common", "layout"}


def test_files_are_those_that_hold_tests(tmp_path: Path) -> None:
    names = [
        "bob/codec.json",
        "layouts/bob.json",
        "readers/javascript/package.json",
        "readers/x/y.json",
        "schema/x.json",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files(tmp_path) == [tmp_path / "bob" / "codec.json"]
    assert files(tmp_path / "layouts") == [tmp_path / "layouts" / "bob.json"]


def test_every_fault_is_in_a_vector() -> None:
    assert {test.error for path in FILES for test in load(path)} == {None, *Fault}


def section_of(path: Path) -> str:
    return README.split(f"\n## {path.parent.name}\n", 1)[1].split("\n## ", 1)[0]


def members(test: VectorTest) -> set[str]:
    """What README.md tells of a type."""
    return {*test.body.get("inputs", {}), *test.body.get("outputs", {}), *test.body.get("config", {})}


def optional(text: str) -> set[str]:
    """What stands behind "perhaps"."""
    lists = re.findall(r"perhaps ((?:`\w+`(?:, )?)+)", text)
    return {name for names in lists for name in re.findall(r"\w+", names)}


OUTSIDE_MACHINES = [path for path in FILES if path.parent.name != "machines"]
WITH_MEMBERS = [path for path in OUTSIDE_MACHINES if load(path).schema in ("crypto", "session", "capture")]


@pytest.mark.parametrize("path", OUTSIDE_MACHINES, ids=name_of)
def test_readme_names_every_file_type_input_and_argument(path: Path) -> None:
    section = section_of(path)
    wanted = {path.name} | {test.type for test in load(path)}
    if path in WITH_MEMBERS:
        wanted |= {name for test in load(path) for name in members(test)}
    assert {name for name in wanted if f"`{name}`" not in section} == set()


@pytest.mark.parametrize("path", WITH_MEMBERS, ids=name_of)
def test_what_only_some_valid_tests_of_a_type_have_the_readme_calls_optional(path: Path) -> None:
    valid = [test for test in load(path) if test.valid]
    rows = section_of(path).splitlines()
    prose = "\n".join(row for row in rows if not row.startswith("|"))
    for kind in {test.type for test in valid}:
        row = "\n".join(row for row in rows if row.startswith("|") and f"`{kind}`" in row.split(" | ")[0])
        found = [members(test) for test in valid if test.type == kind]
        assert set.union(*found) - set.intersection(*found) <= optional(row + prose), kind


def test_what_the_readme_calls_optional_is_not_in_every_test() -> None:
    for path in WITH_MEMBERS:
        for row in section_of(path).splitlines():
            kinds = re.findall(r"`(\w+\.\w+)`", row.split(" | ")[0]) if row.startswith("|") else []
            for kind in kinds:
                tests = [test for other in WITH_MEMBERS for test in load(other) if test.type == kind]
                assert all(any(name not in members(test) for test in tests) for name in optional(row)), row


def test_readme_has_an_example_of_every_kind() -> None:
    assert EXAMPLES.keys() == SCHEMAS


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_example_of_the_readme_is_valid(text: str, tmp_path: Path) -> None:
    check(json.loads(text), tmp_path)
    assert text == dumps(json.loads(text))


def test_test_gives_its_members_and_its_group() -> None:
    first = next(iter(load(VECTORS / "bob" / "codec.json")))
    assert (first.type, first.group.provenance, first.valid, first.error) == (
        "bob.frame",
        "reference-library",
        True,
        None,
    )
    assert first.octets("wire")[6:] == first.octets("fields", "public")
    assert first["packet"] == "HelloAsServer"
    assert hash(first) == hash(copy.deepcopy(first))


def drop_error(document: Any) -> None:
    del document["testGroups"][0]["tests"][1]["error"]


def add_error(document: Any) -> None:
    document["testGroups"][0]["tests"][0]["error"] = "bad_mac"


def unknown_error(document: Any) -> None:
    document["testGroups"][0]["tests"][1]["error"] = "bad_luck"


def upper_case_hex(document: Any) -> None:
    document["testGroups"][0]["tests"][0]["wire"] = "AB"


def half_a_byte(document: Any) -> None:
    document["testGroups"][0]["tests"][0]["wire"] = "abc"


def another_member(document: Any) -> None:
    document["testGroups"][0]["tests"][0]["wires"] = "ab"


def acceptable(document: Any) -> None:
    document["testGroups"][0]["tests"][0]["result"] = "acceptable"


def no_fields(document: Any) -> None:
    del document["testGroups"][0]["tests"][0]["fields"]


def big_integer(document: Any) -> None:
    document["testGroups"][0]["tests"][0]["header"]["uid"] = 2**53


@pytest.mark.parametrize(
    "change",
    [
        drop_error,
        add_error,
        unknown_error,
        upper_case_hex,
        half_a_byte,
        another_member,
        acceptable,
        no_fields,
        big_integer,
    ],
)
def test_schema_refuses(change: Callable[[Any], None], tmp_path: Path) -> None:
    document = json.loads(EXAMPLES["codec"])
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        check(document, tmp_path)


@pytest.mark.parametrize("given", ["two inputs", "none"])
def test_step_has_exactly_one_input(given: str, tmp_path: Path) -> None:
    document = json.loads(EXAMPLES["session"])
    step = document["testGroups"][0]["tests"][0]["steps"][1]
    if given == "none":
        del step["opened"]
    else:
        step["timer"] = True
    with pytest.raises(jsonschema.ValidationError):
        check(document, tmp_path)


def wrong_count(document: Any) -> None:
    document["numberOfTests"] = 3


def id_used_twice(document: Any) -> None:
    document["testGroups"][0]["tests"][1]["tcId"] = 1


def flag_without_note(document: Any) -> None:
    document["notes"] = {}


def note_without_flag(document: Any) -> None:
    document["notes"]["Unused"] = {"description": "no test has this flag"}


def a_float(document: Any) -> None:
    document["numberOfTests"] = 2.0


@pytest.mark.parametrize("change", [wrong_count, id_used_twice, flag_without_note, note_without_flag, a_float])
def test_loader_refuses(change: Callable[[Any], None], tmp_path: Path) -> None:
    document = json.loads(EXAMPLES["codec"])
    change(document)
    with pytest.raises(ValueError, match=r"wrong|differ|floating"):
        check(document, tmp_path)


@pytest.mark.parametrize("head", [{"schema": "opera", "schemaVersion": 1}, {"schema": "codec", "schemaVersion": 2}, []])
def test_unknown_schema_has_an_exception_of_its_own(head: Any, tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    path.write_text(json.dumps(head), "utf-8")
    with pytest.raises(UnknownSchema):
        load(path)
    if isinstance(head, dict) and head["schema"] == "opera":
        with pytest.raises(UnknownSchema):
            validate(path, VECTORS / "schema")


def test_schemas_must_be_found(tmp_path: Path) -> None:
    (tmp_path / "alone.json").write_text("{}", "utf-8")
    with pytest.raises(FileNotFoundError):
        validate(tmp_path / "alone.json")
