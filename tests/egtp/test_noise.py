"""Our Noise against an implementation of others, ``noiseprotocol``, in both roles; and what Noise leaves open."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from sansproto.egtp import crypto
from sansproto.egtp import packets as p
from sansproto.egtp.channel import Channel, read_hello, read_welcome, write_hello, write_welcome
from sansproto.errors import Fault, WireError

KEYS = st.binary(min_size=32, max_size=32)
PRIVATE = st.tuples(KEYS, KEYS, KEYS, KEYS).filter(lambda keys: len({*keys}) == 4)
"""Static and ephemeral keys of initiator and responder. A key that is not the ephemeral's own is no accident there."""


def theirs(*, initiator: bool, prologue: bytes, static: bytes, ephemeral: bytes, remote: bytes = b"") -> Any:
    noise = NoiseConnection.from_name(b"Noise_IK_25519_ChaChaPoly_BLAKE2s")
    (noise.set_as_initiator if initiator else noise.set_as_responder)()
    noise.set_prologue(prologue)
    noise.set_keypair_from_private_bytes(Keypair.STATIC, static)
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    if initiator:
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, remote)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the ephemeral key is fixed
        noise.start_handshake()
    return noise


def transported(noise: Any, keys: crypto.Keys, *, initiator: bool) -> None:
    """Both ends have the same keys and hash, and open what the other one seals; ``initiator``: it is theirs."""
    assert noise.handshake_finished
    assert noise.get_handshake_hash() == keys.hash
    one, other = keys.from_initiator, keys.from_responder
    its, ours = (one, other) if initiator else (other, one)
    for counter, text in enumerate((b"one", b"", b"three" * 300)):
        assert noise.decrypt(crypto.Cipher(ours).seal(counter, text)) == text
        assert crypto.Cipher(its).open(counter, noise.encrypt(text)) == text


@given(PRIVATE, st.binary(max_size=48), st.binary(max_size=40), st.binary(max_size=40))
def test_ours_begins(private: tuple[bytes, ...], prologue: bytes, first: bytes, second: bytes) -> None:
    static_i, static_r, ephemeral_i, ephemeral_r = private
    me, responder = crypto.KeyPair.of(static_i), crypto.public_key(static_r)
    noise = theirs(initiator=False, prologue=prologue, static=static_r, ephemeral=ephemeral_r)
    begun = crypto.Transcript.begin(prologue, responder)
    *parts, kept = crypto.write_first(begun, me, ephemeral_i, responder, first)
    assert noise.read_message(b"".join(parts)) == first
    assert noise.noise_protocol.handshake_state.symmetric_state.ck == kept.transcript.chaining_key
    answer = bytes(noise.write_message(second))
    clear, read = crypto.read_agreement(kept, me, answer[:32]).open(answer[32:])
    assert clear == second
    transported(noise, read.split(), initiator=False)


@given(PRIVATE, st.binary(max_size=48), st.binary(max_size=40), st.binary(max_size=40))
def test_theirs_begins(private: tuple[bytes, ...], prologue: bytes, first: bytes, second: bytes) -> None:
    static_i, static_r, ephemeral_i, ephemeral_r = private
    me = crypto.KeyPair.of(static_r)
    noise = theirs(initiator=True, prologue=prologue, static=static_i, ephemeral=ephemeral_i, remote=me.public)
    message = bytes(noise.write_message(first))
    ephemeral, static, payload = message[:32], message[32:80], message[80:]
    who, read = crypto.read_ephemeral(crypto.Transcript.begin(prologue, me.public), me, ephemeral).open(static)
    clear, read = crypto.read_static(read, me, who).open(payload)
    assert (who, clear) == (crypto.public_key(static_i), first)
    public, sealed, keys = crypto.write_second(read, ephemeral_r, who, ephemeral, second)
    assert noise.read_message(public + sealed) == second
    transported(noise, keys, initiator=True)


@given(PRIVATE)
def test_a_mailbox_client_of_ours_and_a_server_of_theirs(private: tuple[bytes, ...]) -> None:
    static_i, static_r, ephemeral_i, ephemeral_r = private
    prologue, server = b"EGTP-R1/mailbox1", crypto.public_key(static_r)
    noise = theirs(initiator=False, prologue=prologue, static=static_r, ephemeral=ephemeral_r)
    me = crypto.KeyPair.of(static_i)
    frame, kept = write_hello(me, ephemeral_i, server)
    assert frame[:2] == b"\x60\0"
    assert noise.read_message(frame[2:]) == b""
    found, channel = read_welcome(kept, me, bytes(noise.write_message(bytes([0, 64, 0, 1, 0x80, 0x3A, 9, 0]))))
    assert found == p.Terms(16384, 256, 604800)
    frames(channel, noise)


@given(PRIVATE)
def test_a_mailbox_client_of_theirs_and_a_server_of_ours(private: tuple[bytes, ...]) -> None:
    static_i, static_r, ephemeral_i, ephemeral_r = private
    me = crypto.KeyPair.of(static_r)
    noise = theirs(
        initiator=True, prologue=b"EGTP-R1/mailbox1", static=static_i, ephemeral=ephemeral_i, remote=me.public
    )
    hello = read_hello(me, bytes(noise.write_message(b"")))
    assert hello.who == crypto.public_key(static_i)
    frame, channel = write_welcome(hello, ephemeral_r, p.Terms(16384, 256, 604800))
    assert frame[:2] == b"\x38\0"
    assert noise.read_message(frame[2:]) == bytes([0, 64, 0, 1, 0x80, 0x3A, 9, 0])
    frames(channel, noise)


def frames(channel: Channel, noise: Any) -> None:
    for text in (b"a", b"b" * 1000, b"c"):
        frame = channel.outgoing.seal(text)
        assert int.from_bytes(frame[:2], "little") == len(frame) - 2
        assert noise.decrypt(frame[2:]) == text
        assert channel.incoming.open(noise.encrypt(text)) == text


# -- what Noise leaves open

PRIME = 2**255 - 19
LOW = (
    *(0, 1, PRIME - 1, PRIME, PRIME + 1),
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
"""Points of small order, as numbers: what they agree on with anybody is zero."""
ME = crypto.KeyPair.of(b"m" * 32)


def uses_of(point: bytes) -> list[Callable[[], object]]:
    """All that a handshake does with the key of somebody else."""
    begun = crypto.begin_datagram(ME.public)
    *_, kept = crypto.write_first(begun, ME, b"e" * 32, crypto.public_key(b"r" * 32), b"")
    return [
        lambda: crypto.agree(ME.private, point),
        lambda: crypto.write_first(begun, ME, b"e" * 32, point, b""),
        lambda: crypto.read_ephemeral(begun, ME, point),
        lambda: crypto.read_static(begun, ME, point),
        lambda: crypto.write_second(begun, b"e" * 32, ME.public, point, b""),
        lambda: crypto.write_second(begun, b"e" * 32, point, ME.public, b""),
        lambda: crypto.read_agreement(kept, ME, point),
    ]


@pytest.mark.parametrize("use", range(len(uses_of(ME.public))))
@pytest.mark.parametrize("number", LOW)
def test_points_of_small_order_are_refused_everywhere(number: int, use: int) -> None:
    for point in (number, number | 1 << 255):
        with pytest.raises(WireError) as failed:
            uses_of(point.to_bytes(32, "little"))[use]()
        assert failed.value.fault is Fault.BAD_POINT
    uses_of(crypto.public_key(b"o" * 32))[use]()


@pytest.mark.parametrize("number", LOW)
def test_who_agrees_on_zero_with_anybody_has_no_key(number: int) -> None:
    assert not crypto.is_key(number.to_bytes(32, "little"))
    assert crypto.is_key((number ^ 8).to_bytes(32, "little"))


@pytest.mark.parametrize(("number", "canonical"), [(9, True), (PRIME - 1, True), (PRIME, False), (PRIME + 9, False)])
def test_a_key_has_one_encoding(number: int, canonical: bool) -> None:
    assert crypto.is_canonical(number.to_bytes(32, "little")) is canonical
    other = (number | 1 << 255).to_bytes(32, "little")
    assert not crypto.is_canonical(other)
    with pytest.raises(WireError):
        crypto.read_static(crypto.begin_datagram(ME.public), ME, other)


def test_what_failed_to_open_leaves_the_handshake_as_it_was() -> None:
    responder = crypto.KeyPair.of(b"r" * 32)
    begun = crypto.begin_datagram(responder.public)
    ephemeral, static, payload, kept = crypto.write_first(begun, ME, b"e" * 32, responder.public, b"first")
    who, read = crypto.read_ephemeral(begun, responder, ephemeral).open(static)
    _, read = crypto.read_static(read, responder, who).open(payload)
    public, sealed, keys = crypto.write_second(read, b"f" * 32, who, ephemeral, b"second")
    for forged in (bytes(48), sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(WireError) as failed:
            crypto.read_agreement(kept, ME, public).open(forged)
        assert failed.value.fault is Fault.BAD_MAC
    clear, read = crypto.read_agreement(kept, ME, public).open(sealed)
    assert (clear, read.split()) == (b"second", keys)


def test_no_counter_beyond_the_last_one_is_sealed() -> None:
    cipher = crypto.Cipher(bytes(32))
    last = cipher.seal(2**64 - 8194, b"x", b"header")
    assert cipher.open(2**64 - 8194, last, b"header") == b"x"
    for counter in (2**64 - 8193, 2**64 - 1, -1):
        with pytest.raises(ValueError, match="used up"):
            cipher.seal(counter, b"x")


def test_keys_of_another_size_are_refused() -> None:
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            crypto.KeyPair.of(bytes(size))


def test_private_parts_stay_out_of_the_repr() -> None:
    keys = crypto.KeyPair.of(b"secretsecretsecretsecretsecretse")
    *_, kept = crypto.write_first(crypto.begin_mailbox(ME.public), keys, b"ephemera" * 4, ME.public, b"")
    channel = Channel.of_client(kept.transcript.split())
    said = repr((keys, kept, channel, crypto.Keyed(kept.transcript, b"k" * 32)))
    for secret in (keys.private, b"ephemera" * 4, channel.outgoing.key, kept.transcript.chaining_key, b"k" * 32):
        assert repr(secret)[2:-1] not in said
