"""The table of packet types and what is derived from it."""

from __future__ import annotations

from collections import Counter

import pytest

from sansproto.overte.versions import (
    DEFAULT,
    DOMAIN_IGNORED_VERIFICATION,
    DOMAIN_SOURCED,
    REPLICATED,
    VERSIONS,
    Form,
    PacketType,
    VersionTable,
)


def test_signatures_are_computed_from_the_table() -> None:
    assert {name: table.signature.hex() for name, table in VERSIONS.items()} == {
        "2025.05.1": "eb1600e798dc5e03c755a968dc16b7fc",
        "2026-newest-known": "5622e88718593136a572e50ac20b3ade",
        "vircadia": "ad15da90e07d2c7b408325383ad8b77d",
    }
    assert VERSIONS["2025.05.1"] is DEFAULT


def test_types_are_numbered_without_a_gap() -> None:
    assert [kind.value for kind in PacketType] == list(range(106))
    assert PacketType(48) is PacketType.DOMAIN_SETTINGS
    assert Counter(kind.form for kind in PacketType) == {Form.UNSOURCED: 38, Form.SOURCED: 9, Form.VERIFIED: 59}


def test_special_types_have_the_form_that_they_need() -> None:
    assert {kind.form for kind in DOMAIN_SOURCED | DOMAIN_IGNORED_VERIFICATION} == {Form.VERIFIED}
    assert {PacketType[kind.name.removeprefix("REPLICATED_")].form for kind in REPLICATED} == {Form.VERIFIED}
    assert sorted(kind.value for kind in REPLICATED) == list(range(83, 90))
    assert {kind.form for kind in REPLICATED} == {Form.UNSOURCED}


def test_one_other_version_is_another_signature() -> None:
    changed = DEFAULT.evolve({PacketType.PING: 19})
    assert (changed[PacketType.PING], DEFAULT[PacketType.PING]) == (19, 18)
    assert changed.signature != DEFAULT.signature
    assert changed.evolve({PacketType.PING: 18}, name=DEFAULT.name) == DEFAULT
    assert changed.name == "2025.05.1, changed"


def test_a_table_has_a_byte_for_every_type() -> None:
    with pytest.raises(ValueError, match="106"):
        VersionTable("short", bytes(105))
    with pytest.raises(ValueError, match="256"):
        DEFAULT.evolve({PacketType.PING: 256})
