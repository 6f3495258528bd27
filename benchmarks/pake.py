"""A whole exchange of keys on both sides, against the libsodium and hash operations that it cannot do without."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b, sha256
from os import urandom
from time import perf_counter

from nacl import bindings as sodium

from benchmarks.measure import Line, ratio
from sansproto.bob import crypto

ROUNDS = 200
COUNT = 16
PASSWORD, SALT = b"correct horse battery staple", urandom(16)
CLIENT, SERVER = b"127.0.0.1:40000", b"127.0.0.1:40001"
X, Y = crypto.scalar(urandom(32)), crypto.scalar(urandom(32))


def raw() -> float:
    """Both derivations and both exchanges, written down as calls of the libraries alone."""
    start = perf_counter()
    for _ in range(ROUNDS):
        keys = [_derive() for _ in range(2)]
        m = [sodium.crypto_core_ed25519_from_uniform(key[0:32]) for key in keys]
        n = [sodium.crypto_core_ed25519_from_uniform(key[32:64]) for key in keys]
        el = sodium.crypto_scalarmult_ed25519_base(keys[1][96:128])
        x = sodium.crypto_core_ed25519_add(sodium.crypto_scalarmult_ed25519_base_noclamp(X), m[0])
        y = sodium.crypto_core_ed25519_add(sodium.crypto_scalarmult_ed25519_base_noclamp(Y), n[1])
        at_server = sodium.crypto_core_ed25519_sub(x, m[1])
        z = sodium.crypto_scalarmult_ed25519_noclamp(Y, at_server), sodium.crypto_scalarmult_ed25519_noclamp(Y, el)
        _subkeys(b"".join((b"\x01\x00", CLIENT, SERVER, x, y, z[0], keys[1][64:96], z[1])))
        at_client = sodium.crypto_core_ed25519_sub(y, n[0])
        z = (
            sodium.crypto_scalarmult_ed25519_noclamp(X, at_client),
            sodium.crypto_scalarmult_ed25519(keys[0][96:128], at_client),
        )
        _subkeys(b"".join((b"\x01\x00", CLIENT, SERVER, x, y, z[0], keys[0][64:96], z[1])))
    return perf_counter() - start


def _derive() -> bytes:
    padded = PASSWORD.ljust(64, b"\0")
    inner, outer = sha256(bytes(b ^ 0x36 for b in padded)), sha256(bytes(b ^ 0x5C for b in padded))
    derived = b""
    for block in range(1, 5):
        message, total = SALT + block.to_bytes(4, "little"), 0
        for _ in range(COUNT):
            first, second = inner.copy(), outer.copy()
            first.update(message)
            second.update(first.digest())
            message = second.digest()
            total ^= int.from_bytes(message, "big")
        derived += total.to_bytes(32, "big")
    return derived


def _subkeys(transcript: bytes) -> list[bytes]:
    main = blake2b(transcript).digest()
    return [blake2b(b"SPOKE".ljust(16, b"\0") + i.to_bytes(16, "little"), key=main).digest() for i in range(4)]


def ours() -> float:
    start = perf_counter()
    for _ in range(ROUNDS):
        client = crypto.ClientSecret.from_derived(crypto.derive(PASSWORD, SALT, COUNT))
        server = crypto.ServerSecret.from_derived(crypto.derive(PASSWORD, SALT, COUNT))
        x = crypto.client_hello(client, X)
        reply = crypto.server_reply(server, Y, x, CLIENT, SERVER)
        finish = crypto.client_finish(client, X, x, reply.y_point, reply.validator, CLIENT, SERVER)
        crypto.server_check(reply.expected, finish.validator)
    return perf_counter() - start


def run() -> Iterator[Line]:
    value, floor, time = ratio(raw, ours, rounds=9)
    note = f"raw {floor / ROUNDS * 1e6:.0f} us, ours {time / ROUNDS * 1e6:.0f} us"
    yield Line("PAKE on both sides: raw libsodium and hash operations / ours", value, 0.75, True, note=note)
