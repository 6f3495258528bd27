"""A whole handshake, both ends, against its calls of libsodium, ChaCha20-Poly1305 and AES-128-GCM.

The calls are those of docs/protocols/freenet.rst, written down one after the other: the intro, the gateway's ack, the
joiner's ack with the ping behind it, and the pong, after which both ends know that they have a session. Random bytes
are not among them: they are there already. Ours is all that is made of keys and packets; what two ends do besides, from
``connect`` on (limits, tables, times, events), is in the note.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import urandom
from time import process_time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from nacl import bindings as sodium

from benchmarks.freenet.nodes import Pair
from benchmarks.measure import Line, ratio
from sansproto.contract import Address
from sansproto.freenet import OURS, Version, crypto
from sansproto.freenet import packets as p

TIMES = 50
SECRET = urandom(32)
PUBLIC = sodium.crypto_scalarmult_base(SECRET)
ADDRESS = Address("192.0.2.1", 4000)
NONCE = bytes(12)
INTRO, ACK, OTHER_ACK, PING = bytes(24), bytes(50), bytes(46), bytes(24)


def calls(ephemeral: bytes, joiner: bytes, gateway: bytes) -> None:
    """All calls that one handshake cannot do without, at both ends."""
    # the intro, and how it is read
    public = sodium.crypto_scalarmult_base(ephemeral)
    sealed = ChaCha20Poly1305(sodium.crypto_scalarmult(ephemeral, PUBLIC)).encrypt(NONCE, INTRO, None)
    ChaCha20Poly1305(sodium.crypto_scalarmult(SECRET, public)).decrypt(NONCE, sealed, None)
    # each end has a cipher for each direction
    to_joiner, from_gateway, to_gateway, from_joiner = (AESGCM(key) for key in (joiner, joiner, gateway, gateway))
    from_gateway.decrypt(NONCE, to_joiner.encrypt(NONCE, ACK, None), None)
    for clear in (OTHER_ACK, PING):
        from_joiner.decrypt(NONCE, to_gateway.encrypt(NONCE, clear, None), None)
    from_gateway.decrypt(NONCE, to_joiner.encrypt(NONCE, PING, None), None)


def raw() -> float:
    drawn = [(urandom(32), urandom(16), urandom(16)) for _ in range(TIMES)]
    start = process_time()
    for one in drawn:
        calls(*one)
    return process_time() - start


def handshake(ephemeral: bytes, joiner: bytes, gateway: bytes) -> None:
    intro = crypto.seal_intro(PUBLIC, ephemeral, p.IntroBody(OURS.wire, joiner))
    came = p.DATAGRAM.decode(intro)
    assert isinstance(came, p.Intro)
    body = crypto.open_intro(SECRET, came)
    version = Version.read(body.version)
    assert version.speaks_to(OURS)
    seen = p.seen_at(ADDRESS)
    to_joiner, from_gateway, to_gateway, from_joiner = map(crypto.Cipher, (body.key, joiner, gateway, gateway))
    clear = p.Clear(0, (), p.AckConnectionV2(gateway, seen, OURS.wire))
    ack = p.read_clear(from_gateway.open(to_joiner.seal(NONCE, clear.encode()))).body
    assert isinstance(ack, p.AckConnectionV2)
    p.told_by(ack.address)
    for answer in (p.AckConnection(p.Granted(joiner, seen)), p.Ping(1)):
        p.read_clear(from_joiner.open(to_gateway.seal(NONCE, p.Clear(0, (), answer).encode())))
    p.read_clear(from_gateway.open(to_joiner.seal(NONCE, p.Clear(0, (1,), p.Pong(1)).encode())))


def ours() -> float:
    drawn = [(urandom(32), urandom(16), urandom(16)) for _ in range(TIMES)]
    start = process_time()
    for one in drawn:
        handshake(*one)
    return process_time() - start


def run() -> Iterator[Line]:
    value, floor, time = ratio(raw, ours, rounds=15)
    pair = Pair()
    whole = ratio(raw, lambda: sum(pair.meet_and_part() for _ in range(TIMES)), rounds=9)[0]
    note = f"raw {floor / TIMES * 1e6:.0f} us, ours {time / TIMES * 1e6:.0f} us; {whole:.3f} through two ends"
    yield Line("freenet: handshake, raw X25519 and AEAD calls / ours", value, 0.5, True, note=note)
