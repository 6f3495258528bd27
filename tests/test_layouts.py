"""The layouts of vectors/layouts hold what the packets, enumerations and codecs of the protocols declare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import layout_of_a_garden as garden
import pytest

from sansproto.errors import Fault
from sansproto.testing._internal.layouts import Layout, described, document, layout_of
from sansproto.testing._internal.protocols import protocols
from sansproto.testing.vectors import check_schema, dumps, files, load
from sansproto.wire import F64BE, EnumOf, Fixed, Packet

VECTORS = Path(__file__).parents[1] / "vectors"
LAYOUTS = {protocol: layout for protocol in protocols() if (layout := layout_of(protocol)) is not None}
CODECS = {path: file for path in files(VECTORS) if (file := load(path)).schema == "codec"}
README = (VECTORS / "README.md").read_text("utf-8")

BY_HAND = {
    "bob": {"bob.pack", "bob.transfer"},
    "freenet": {"freenet.clear"},
    "overte": {"overte.datagram", "overte.lenient"},
    "tox": {"tox.frame", "tox.nodes"},
}
"""Types of tests that one codec does not describe: what they are is in README.md."""


def written(protocol: str) -> Any:
    return json.loads((VECTORS / "layouts" / f"{protocol}.json").read_text("utf-8"))


@pytest.mark.parametrize("protocol", LAYOUTS)
def test_layout_is_valid_and_in_the_canonical_layout(protocol: str) -> None:
    path = VECTORS / "layouts" / f"{protocol}.json"
    check_schema(path)
    assert path.read_text("utf-8") == dumps(written(protocol))


def test_each_protocol_with_packets_in_vectors_has_a_layout_and_no_other() -> None:
    assert {file.protocol for file in CODECS.values()} == LAYOUTS.keys()
    assert {path.stem for path in (VECTORS / "layouts").iterdir()} == LAYOUTS.keys()


@pytest.mark.parametrize("protocol", LAYOUTS)
def test_layout_has_every_type_of_test(protocol: str) -> None:
    types = {test.type for file in CODECS.values() if file.protocol == protocol for test in file}
    assert written(protocol)["types"].keys() == types - BY_HAND.get(protocol, set())


@pytest.mark.parametrize("protocol", LAYOUTS)
def test_layout_has_the_fields_of_every_packet_that_a_test_names(protocol: str) -> None:
    packets = written(protocol)["packets"]
    named = {test["packet"]: test for file in CODECS.values() if file.protocol == protocol for test in file}
    for name, test in named.items():
        if name in packets and test.valid:
            assert {*test["fields"]} <= {one["name"] for one in packets[name]["fields"]}


def kinds_in(layout: Layout) -> list[type[Packet]]:
    found = [value for module in layout.modules for value in vars(module).values()]
    return [one for one in found if isinstance(one, type) and issubclass(one, Packet) and one is not Packet]


@pytest.mark.parametrize("protocol", LAYOUTS)
def test_what_a_packet_refuses_is_said_by_rules(protocol: str) -> None:
    layout = LAYOUTS[protocol]
    checking = {kind for kind in kinds_in(layout) if kind.validate is not Packet.validate}
    assert checking == layout.rules.keys()


@pytest.mark.parametrize("protocol", LAYOUTS)
def test_every_name_in_a_layout_is_there(protocol: str) -> None:
    found = written(protocol)

    def look(node: Any) -> None:
        if isinstance(node, list):
            for one in node:
                look(one)
        elif isinstance(node, dict):
            kind = node.get("kind")
            if kind in ("enum", "word"):
                assert node["of"] in found["enumerations"]
            if kind in ("one_of", "frame"):
                assert {*node["packets"].values()} <= found["packets"].keys()
            if kind == "packet":
                assert node["name"] in found["packets"]
            if kind == "frame":
                assert node["tag"] in [one["name"] for one in found["packets"][node["header"]]["fields"]]
            for one in node.values():
                look(one)

    look(found["packets"])
    look(found["codecs"])
    look(found["types"])
    assert {name for name in found["types"].values() if isinstance(name, str)} <= found["codecs"].keys()
    for one in found["packets"].values():
        names = {member["name"] for member in one["fields"]}
        assert all({*rule["of"], *rule.get("when", ())} <= names for rule in one.get("rules", ()))


def test_readme_explains_every_kind_of_type() -> None:
    schema = json.loads((VECTORS / "schema" / "layout.json").read_text("utf-8"))
    known = {one["properties"]["kind"]["const"] for one in schema["$defs"]["type"]["oneOf"]} | {"named"}
    assert len(known) > 15
    assert {one for one in known if f"| `{one}` |" not in README} == set()


# -- what no protocol has today


def test_what_is_described_and_what_is_not() -> None:
    found = described(EnumOf(garden.Colour, Fixed(1), Fault.BAD_TYPE))
    assert found == {"kind": "enum", "of": "Colour", "as": {"kind": "bytes", "size": 1}, "error": "bad_type"}
    assert described(F64BE) == {"kind": "float", "size": 8, "order": "big"}
    with pytest.raises(TypeError, match="Scent has no description"):
        described(garden.Scent())


def test_two_things_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="twice in MOST, SEASONS, DAYS, MOST"):
        document("garden", Layout(modules=(garden, garden), types={}))


def test_modules_give_packets_members_and_constants_with_their_meaning() -> None:
    found = document("garden", Layout(modules=(garden,), types={"garden.bed": garden.BED}))
    assert found["constants"] == {
        "MOST": {"value": str(1 << 60), "meaning": "Flowers, all of a Kind. More do not fit."},
        "SEASONS": {"value": ["spring", "summer"]},
        "DAYS": {"value": {"first": 3, "last": 9}, "meaning": "When it is watered."},
    }
    assert found["enumerations"]["Colour"] == {
        "RED": {"value": "01", "shades": [1, 2], "meaning": "Like a rose."},
        "BLUE": {"value": "02", "shades": []},
    }
    assert found["packets"]["Flower"]["fields"][0]["meaning"] == "of the petals"
    assert found["types"] == {"garden.bed": "BED"}


@pytest.mark.parametrize("change", ["no size", "a kind that is not known", "a rule without an error"])
def test_schema_refuses(change: str, tmp_path: Path) -> None:
    found = written("bob")
    if change == "no size":
        del found["packets"]["Header"]["min"]
    elif change == "a kind that is not known":
        found["packets"]["Header"]["fields"][0]["type"]["kind"] = "float"
    else:
        del found["packets"]["RelayFailure"]["rules"][0]["error"]
    path = tmp_path / "bob.json"
    path.write_text(json.dumps(found), "utf-8")
    with pytest.raises(jsonschema.ValidationError):
        check_schema(path, VECTORS / "schema")
