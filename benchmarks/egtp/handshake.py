"""A whole handshake, both ends, against its calls of libsodium, BLAKE2s and ChaCha20-Poly1305.

The calls are those of Noise as docs/protocols/egtp.rst has them, written down one after the other: Init, Reply, confirm
and the pong that answers it, behind which both use the session; and a ping that the responder sends with the pong.
Random bytes are not among them: they are there already. Ours is all that is made of keys and packets; what two nodes do
besides, from ``connect`` on (limits, tables, times, events), is in the note.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import blake2s
from os import urandom
from time import process_time

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings as sodium

from benchmarks.egtp.nodes import Pair
from benchmarks.measure import Line, ratio
from benchmarks.nodes import AT_A, AT_B
from sansproto.egtp import EgtpNode, crypto
from sansproto.egtp import packets as p
from sansproto.recovery import Call, Kind, Knock, Opened, Sealed

TIMES = 50
NAME = blake2s(b"Noise_IK_25519_ChaChaPoly_BLAKE2s").digest()
PROLOGUE = b"EGTP-R1/datagram" + bytes(32)
ZERO = bytes(12)
INSTANCE = bytes(8)
SECOND_NONCE = bytes(4) + (1).to_bytes(8, "little")
HEADER, FIRST, SECOND, SHORT, CONFIRM = bytes(17), bytes(24), bytes(32), bytes(9), bytes(25)
PRIVATE_A, PRIVATE_B = urandom(32), urandom(32)
PUBLIC_A, PUBLIC_B = sodium.crypto_scalarmult_base(PRIVATE_A), sodium.crypto_scalarmult_base(PRIVATE_B)


def hkdf(chaining: bytes, material: bytes) -> tuple[bytes, bytes]:
    secret = hmac.digest(chaining, material, "blake2s")
    first = hmac.digest(secret, b"\1", "blake2s")
    return first, hmac.digest(secret, first + b"\2", "blake2s")


def mix(h: bytes, data: bytes) -> bytes:
    return blake2s(h + data).digest()


def calls(ephemeral_a: bytes, ephemeral_b: bytes) -> None:
    """All calls that one handshake cannot do without, at both ends."""
    base, agree = sodium.crypto_scalarmult_base, sodium.crypto_scalarmult
    # the Init: Noise's first message, the name of the handshake, the mac
    h = mix(mix(NAME, PROLOGUE), PUBLIC_B)
    e_a = base(ephemeral_a)
    h = mix(h, e_a)
    chaining, key = hkdf(NAME, agree(ephemeral_a, PUBLIC_B))
    static = ChaCha20Poly1305(key).encrypt(ZERO, PUBLIC_A, h)
    h = mix(h, static)
    chaining, key = hkdf(chaining, agree(PRIVATE_A, PUBLIC_B))
    payload = ChaCha20Poly1305(key).encrypt(ZERO, FIRST, h)
    h_a, chaining_a = mix(h, payload), chaining
    message = e_a + static + payload
    blake2s(b"EGTP-hid" + message).digest()
    mac_key = blake2s(b"EGTP-mac" + PUBLIC_B).digest()
    mac = blake2s(HEADER + message, digest_size=16, key=mac_key).digest()
    # it is read
    assert mac == blake2s(HEADER + message, digest_size=16, key=mac_key).digest()
    blake2s(b"EGTP-hid" + message).digest()
    h = mix(mix(mix(NAME, PROLOGUE), PUBLIC_B), e_a)
    chaining, key = hkdf(NAME, agree(PRIVATE_B, e_a))
    initiator = ChaCha20Poly1305(key).decrypt(ZERO, static, h)
    h = mix(h, static)
    chaining, key = hkdf(chaining, agree(PRIVATE_B, initiator))
    ChaCha20Poly1305(key).decrypt(ZERO, payload, h)
    h = mix(h, payload)
    # the Reply: a reset token, Noise's second message, the keys of the session
    blake2s(b"EGTP-rst" + SHORT, digest_size=16, key=mac_key).digest()
    e_b = base(ephemeral_b)
    h = mix(h, e_b)
    chaining, _ = hkdf(chaining, agree(ephemeral_b, e_a))
    chaining, key = hkdf(chaining, agree(ephemeral_b, initiator))
    reply = ChaCha20Poly1305(key).encrypt(ZERO, SECOND, h)
    mix(h, reply)
    keys_b = [ChaCha20Poly1305(key) for key in hkdf(chaining, b"")]
    # it is read
    h_a = mix(h_a, e_b)
    chaining_a, _ = hkdf(chaining_a, agree(ephemeral_a, e_b))
    chaining_a, key = hkdf(chaining_a, agree(PRIVATE_A, e_b))
    ChaCha20Poly1305(key).decrypt(ZERO, reply, h_a)
    mix(h_a, reply)
    keys_a = [ChaCha20Poly1305(key) for key in hkdf(chaining_a, b"")]
    # confirm, pong and ping
    blake2s(b"EGTP-rst" + SHORT, digest_size=16, key=mac_key).digest()
    keys_b[0].decrypt(ZERO, keys_a[0].encrypt(ZERO, CONFIRM, HEADER), HEADER)
    keys_a[1].decrypt(ZERO, keys_b[1].encrypt(ZERO, SHORT, HEADER), HEADER)
    keys_b[1].encrypt(SECOND_NONCE, SHORT, HEADER)


def raw() -> float:
    drawn = [(urandom(32), urandom(32)) for _ in range(TIMES)]
    start = process_time()
    for ephemeral_a, ephemeral_b in drawn:
        calls(ephemeral_a, ephemeral_b)
    return process_time() - start


def handshakes() -> float:
    """Seconds for what two keyrings do, from the wish to call to the pong that was opened; and the ping."""
    pair = Pair()
    a, b = pair.a.keyring, pair.b.keyring
    route, start = pair.a.routes.of(AT_B), process_time()
    for number in range(1, TIMES + 1):
        sid_a, sid_b = (2 * number).to_bytes(8, "big"), (2 * number + 1).to_bytes(8, "big")
        init = a.make_init(Call(pair.b.public_key, sid_a, number, INSTANCE, b"", route))
        seen = pair.b.decode(init.data, AT_A)
        assert b.is_for_us(init.data)
        opened = b.open_init(Knock(crypto.handshake_id(init.data), b"", route, seen[1]))
        made = b.make_reply(opened, sid_b, INSTANCE)
        reply = a.open_reply(sid_a, pair.a.decode(made.data, AT_B)[1])
        b.install(sid_b, made.secret)
        a.install(sid_a, reply.secret)
        confirm = a.seal(sid_a, 0, Kind.CONFIRM, SHORT[1:] + a.reset_token(sid_a))
        pong = b.seal(sid_b, 0, Kind.PONG, unsealed(pair.b, confirm).body[:8])
        assert unsealed(pair.a, pong).kind is Kind.PONG
        b.seal(sid_b, 1, Kind.PING, SHORT[1:])
    return process_time() - start


def unsealed(node: EgtpNode, data: bytes) -> Opened:
    seen = node.decode(data, AT_A)
    assert isinstance(seen[1], p.Data)
    packet = Sealed(seen[1].sid, seen[1].counter, len(data), node.routes.of(AT_A), seen)
    return node.keyring.read(packet, node.keyring.open(packet))


def run() -> Iterator[Line]:
    value, floor, time = ratio(raw, handshakes, rounds=15)
    pair = Pair()
    whole = ratio(raw, lambda: sum(pair.meet_and_part() for _ in range(TIMES)), rounds=9)[0]
    note = f"raw {floor / TIMES * 1e6:.0f} us, ours {time / TIMES * 1e6:.0f} us; {whole:.3f} through two nodes"
    yield Line("egtp: handshake, raw X25519, hash and AEAD calls / ours", value, 0.6, True, note=note)
