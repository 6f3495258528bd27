"""RSA keys in files, as openssl writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from sansproto.overte.crypto import load_private_key, load_public_key

from .exits import CommandFailed, Exit

_PEM = b"-----BEGIN"
_MOST = 1 << 21  # bytes


def read_private_key(path: Path) -> bytes:
    """An RSA private key without a passphrase, from PEM or DER, as DER."""
    return _read(path, _private_der, "RSA private key without a passphrase (openssl genrsa 2048 makes one)")


def read_public_key(path: Path) -> bytes:
    """An RSA public key, from PEM or DER, as DER."""
    return _read(path, _public_der, "RSA public key (openssl rsa -pubout makes it from a private one)")


def read_file(path: Path) -> bytes:
    """What is in a file that an option names; of one without end as much as shows that it is none that we want."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError as error:
        raise CommandFailed(Exit.FILES, f"Cannot read {path} ({error.strerror}): name another file.") from error


def _read(path: Path, to_der: Callable[[bytes], bytes], what: str) -> bytes:
    data = read_file(path)
    try:
        return to_der(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: there is a passphrase
        raise CommandFailed(Exit.FILES, f"{path} is no {what}: name another file.") from error


def _private_der(data: bytes) -> bytes:
    if data.startswith(_PEM):
        key = load_pem_private_key(data, None)
        data = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    load_private_key(data)
    return data


def _public_der(data: bytes) -> bytes:
    if data.startswith(_PEM):
        data = load_pem_public_key(data).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    load_public_key(data)
    return data
