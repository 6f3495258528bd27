"""Data packets are sealed and opened alike, whatever PyNaCl lets us use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.tox import crypto

KEY, NONCE = b"k" * 32, bytes(range(24))


@pytest.fixture(params=[False, True], ids=["raw", "bindings"])
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module as it is, and as it is where PyNaCl hides what it is made of."""
    if request.param:
        monkeypatch.setattr(crypto, "raw", None)
    return crypto


@given(st.binary(min_size=9, max_size=1381))
def test_both_ways_are_the_same(clear: bytes) -> None:
    data = crypto.seal_data(KEY, NONCE, clear)
    bulk = crypto.Bulk()
    assert bulk.seal(KEY, NONCE, clear) == data
    assert bulk.open(KEY, NONCE, data) == clear
    assert crypto.open_sealed(KEY, NONCE, data[3:]) == clear


@pytest.mark.parametrize("size", [9, 100, 1381])
def test_what_was_changed_does_not_open(module: ModuleType, size: int) -> None:
    bulk = module.Bulk()
    data = bulk.seal(KEY, NONCE, bytes(size))
    assert data == crypto.seal_data(KEY, NONCE, bytes(size))
    assert bulk.open(KEY, NONCE, data) == bytes(size)
    for at in (3, 19, len(data) - 1):
        assert bulk.open(KEY, NONCE, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) is None
    assert bulk.open(KEY, NONCE[::-1], data) is None


def test_what_was_sealed_stays_when_the_next_one_is_sealed() -> None:
    bulk = crypto.Bulk()
    first = bulk.seal(KEY, NONCE, b"first" * 4)
    bulk.seal(KEY, NONCE, b"other" * 4)
    assert bulk.open(KEY, NONCE, first) == b"first" * 4


def test_without_what_pynacl_is_made_of_its_functions_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl._sodium", None)
    monkeypatch.delattr("nacl._sodium", raising=False)
    again = importlib.util.spec_from_file_location("sansproto.tox.crypto_again", crypto.__file__)
    assert again is not None
    assert again.loader is not None
    module = importlib.util.module_from_spec(again)
    again.loader.exec_module(module)
    assert module.raw is None
    assert module.Bulk().seal(KEY, NONCE, bytes(9)) == crypto.seal_data(KEY, NONCE, bytes(9))
