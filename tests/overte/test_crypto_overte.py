"""Keys that are none, and what goes beyond the vectors."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sansproto.overte import crypto
from sansproto.overte.packets import ICEServerHeartbeat
from sansproto.overte.qt import SockAddr
from sansproto.testing.vectors import load

(GOLDEN,) = (
    test
    for test in load(Path(__file__).parents[2] / "vectors" / "overte" / "crypto.json")
    if test.type == "overte.username_signature" and test.group.provenance == "reference-library"
)
PRIVATE, PUBLIC = GOLDEN.octets("inputs", "private_key"), GOLDEN.octets("inputs", "public_key")


def test_a_heartbeat_is_signed_over_the_bytes_in_front_of_the_signature() -> None:
    beat = ICEServerHeartbeat(bytes(range(16)), SockAddr("192.0.2.1", 7337), SockAddr("2001:db8::1", 1), b"")
    assert beat.encode() == beat.signed + bytes(4)
    signature = crypto.sign(PRIVATE, beat.signed)
    assert crypto.verify(PUBLIC, signature, beat.signed)
    assert not crypto.verify(PUBLIC, signature, beat.signed + b"x")


def test_macs_are_the_same_where_python_has_no_md5_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_md5", None)  # to import it fails
    again = importlib.util.spec_from_file_location("sansproto.overte.crypto_again", crypto.__file__)
    assert again is not None
    assert again.loader is not None
    module = importlib.util.module_from_spec(again)
    again.loader.exec_module(module)
    assert module.md5 is hashlib.md5
    assert module.mac(b"secret", b"x") == crypto.mac(b"secret", b"x")
    assert module.protocol_signature(b"x") == crypto.protocol_signature(b"x")


def test_a_public_key_may_be_base64() -> None:
    text = base64.b64encode(PUBLIC).decode()
    assert crypto.verify(text, crypto.sign(PRIVATE, b"x"), b"x")


def test_case_does_not_depend_on_neighbours_and_half_a_pair_is_no_error() -> None:
    assert crypto.username_message("\u03a3\u03a3\ud83d", b"t") == "\u03c3\u03c3?".encode() + b"t"


@pytest.mark.parametrize("key", [b"", b"secret", PUBLIC, PRIVATE[:-1]])
def test_no_private_key(key: bytes) -> None:
    with pytest.raises(crypto.BadKey) as error:
        crypto.sign(key, b"x")
    assert "secret" not in str(error.value)
    assert error.value.__suppress_context__


@pytest.mark.parametrize("key", [b"", PRIVATE, PUBLIC[:-1], "no base64!", "\xe9", base64.b64encode(b"x").decode()])
def test_no_public_key(key: bytes | str) -> None:
    with pytest.raises(crypto.BadKey):
        crypto.verify(key, b"x", b"x")


def test_keys_of_another_kind_or_size() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    large = rsa.generate_private_key(65537, 4224)
    for private in (curve, large):
        der = private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        with pytest.raises(crypto.BadKey):
            crypto.sign(der, b"x")
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(crypto.BadKey):
            crypto.verify(public, b"x", b"x")
