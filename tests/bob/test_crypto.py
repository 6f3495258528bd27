"""SPOKE and the record cipher: properties. The bytes themselves are pinned by the vectors."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import cache, reduce
from operator import xor

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings as sodium

from sansproto.bob import crypto
from sansproto.bob import packets as p
from sansproto.errors import Fault, WireError
from sansproto.snapshot import codec

SALT = bytes(range(16))
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493

keys32 = st.binary(min_size=32, max_size=32)
scalars = keys32.filter(lambda random: any(random[1:31])).map(crypto.scalar)
identities = st.binary(max_size=24)


@cache
def secrets(password: bytes = b"soarfly-bril") -> tuple[crypto.ClientSecret, crypto.ServerSecret]:
    derived = crypto.derive(password, SALT, 2)
    return crypto.ClientSecret.from_derived(derived), crypto.ServerSecret.from_derived(derived)


def exchange(
    client: crypto.ClientSecret, server: crypto.ServerSecret, x: bytes, y: bytes, client_id: bytes, server_id: bytes
) -> tuple[crypto.ServerReply, crypto.ClientFinish]:
    x_point = crypto.client_hello(client, x)
    reply = crypto.server_reply(server, y, x_point, client_id, server_id)
    finish = crypto.client_finish(client, x, x_point, reply.y_point, reply.validator, client_id, server_id)
    crypto.server_check(reply.expected, finish.validator)
    return reply, finish


def fault_of(call: Callable[[], object]) -> tuple[Fault, str] | None:
    try:
        call()
    except WireError as error:
        return error.fault, error.field
    return None


# -- the password


@given(password=st.binary(max_size=130), salt=st.binary(max_size=20), count=st.integers(1, 5))
def test_the_derivation_is_pbkdf2_with_a_little_endian_block_number(password: bytes, salt: bytes, count: int) -> None:
    expected = b""
    for block in range(1, 5):
        macs = [salt + block.to_bytes(4, "little")]
        for _ in range(count):
            macs.append(hmac.digest(password, macs[-1], "sha256"))
        expected += bytes(reduce(xor, column) for column in zip(*macs[1:], strict=True))
    assert crypto.derive(password, salt, count) == expected


@given(count=st.integers(1, 40), slices=st.lists(st.integers(0, 12)))
def test_any_slices_and_a_restart_between_them_give_the_same(count: int, slices: list[int]) -> None:
    freeze, thaw = codec(crypto.Derivation)
    derivation = crypto.Derivation(b"password", SALT, count)
    for rounds in slices:
        assert derivation.step(rounds) == (derivation.done == count)
        derivation = thaw(freeze(derivation, 0.0), 0.0)
    if derivation.done < count:
        with pytest.raises(ValueError, match="rounds are done"):
            _ = derivation.result
    while not derivation.step(7):
        pass
    assert derivation.result == crypto.derive(b"password", SALT, count)


@pytest.mark.parametrize("count", [-1, 0, crypto.MAX_ITERATIONS + 1, 1 << 62, (1 << 63) + 16])
def test_an_iteration_count_out_of_bounds_is_refused_before_any_work(count: int) -> None:
    with pytest.raises(ValueError, match="count is not in"):
        crypto.Derivation(b"password", SALT, count)


# -- the key exchange


@given(x=scalars, y=scalars, client_id=identities, server_id=identities)
def test_both_ends_agree(x: bytes, y: bytes, client_id: bytes, server_id: bytes) -> None:
    reply, finish = exchange(*secrets(), x, y, client_id, server_id)
    assert reply.keys == finish.keys
    values = [reply.keys.client, reply.keys.server, reply.validator, reply.expected]
    assert len(set(values)) == 4
    assert {len(value) for value in values} == {64}


@given(x=scalars, y=scalars, right=st.binary(max_size=8), wrong=st.binary(max_size=8))
def test_a_wrong_password_is_found_by_the_client(x: bytes, y: bytes, right: bytes, wrong: bytes) -> None:
    padded_right, padded_wrong = right.ljust(64, b"\0"), wrong.ljust(64, b"\0")  # HMAC pads keys with zeros
    if padded_right == padded_wrong:
        assert secrets(right) == secrets(wrong)
        return
    with pytest.raises(WireError) as caught:
        exchange(secrets(wrong)[0], secrets(right)[1], x, y, b"client", b"server")
    assert (caught.value.fault, caught.value.field) == (Fault.BAD_MAC, "server_validator")


@given(x=scalars, y=scalars, place=st.integers(0, 96 * 8 - 1))
def test_one_changed_bit_of_the_server_is_an_error(x: bytes, y: bytes, place: int) -> None:
    client, server = secrets()
    x_point = crypto.client_hello(client, x)
    reply = crypto.server_reply(server, y, x_point, b"c", b"s")
    packet = (int.from_bytes(reply.y_point + reply.validator, "little") ^ 1 << place).to_bytes(96, "little")
    with pytest.raises(WireError) as caught:
        crypto.client_finish(client, x, x_point, packet[:32], packet[32:], b"c", b"s")
    allowed = {(Fault.BAD_MAC, "server_validator")} | ({(Fault.BAD_POINT, "Y")} if place < 256 else set())
    assert (caught.value.fault, caught.value.field) in allowed


@given(received=st.binary(min_size=64, max_size=64) | st.binary(max_size=70))
def test_another_validator_of_the_client_is_an_error(received: bytes) -> None:
    reply, _ = exchange(*secrets(), crypto.scalar(b"x" * 32), crypto.scalar(b"y" * 32), b"c", b"s")
    with pytest.raises(WireError) as caught:
        crypto.server_check(reply.expected, received)
    assert (caught.value.fault, caught.value.field) == (Fault.BAD_MAC, "client_validator")


@given(point=st.binary(max_size=40) | keys32, y=scalars)
def test_whatever_comes_as_a_point_is_answered_or_refused_as_a_point(point: bytes, y: bytes) -> None:
    client, server = secrets()
    assert fault_of(lambda: crypto.server_reply(server, y, point, b"c", b"s")) in {None, (Fault.BAD_POINT, "X")}
    finish = fault_of(lambda: crypto.client_finish(client, y, bytes(32), point, bytes(64), b"c", b"s"))
    assert finish in {(Fault.BAD_POINT, "Y"), (Fault.BAD_MAC, "server_validator")}
    if len(point) != 32:
        assert finish == (Fault.BAD_POINT, "Y")


# y of the points of order 1, 2, 4 and 8 (RFC 8032 encodings)
TORSION = {
    1: (1).to_bytes(32, "little"),
    2: (2**255 - 20).to_bytes(32, "little"),
    4: bytes(32),
    8: bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}


@pytest.mark.parametrize("order", TORSION)
@pytest.mark.parametrize("honest", [False, True])
def test_points_outside_of_the_prime_order_group_are_refused(order: int, honest: bool) -> None:
    client, server = secrets()
    x, y = crypto.scalar(b"x" * 32), crypto.scalar(b"y" * 32)
    for mask, answer in (
        (server.m_point, lambda point: crypto.server_reply(server, y, point, b"c", b"s")),
        (client.n_point, lambda point: crypto.client_finish(client, x, bytes(32), point, bytes(64), b"c", b"s")),
    ):
        point = sodium.crypto_core_ed25519_add(mask, TORSION[order])
        if honest and order > 1:
            point = sodium.crypto_core_ed25519_add(point, sodium.crypto_scalarmult_ed25519_base_noclamp(x))
        with pytest.raises(WireError) as caught:
            answer(point)
        assert caught.value.fault is Fault.BAD_POINT


def test_a_point_that_does_not_decode_fails_at_the_subtraction() -> None:
    _, server = secrets()
    not_on_the_curve = (2).to_bytes(32, "little")
    with pytest.raises(RuntimeError):
        sodium.crypto_core_ed25519_sub(not_on_the_curve, server.m_point)
    with pytest.raises(WireError, match="bad_point"):
        crypto.server_reply(server, crypto.scalar(b"y" * 32), not_on_the_curve, b"c", b"s")


@given(random=keys32)
def test_scalars_are_multiples_of_eight_below_the_top_bit(random: bytes) -> None:
    value = int.from_bytes(random, "little")
    if not (value >> 3) % (1 << 252):
        return
    made = int.from_bytes(crypto.scalar(random), "little")
    assert made % 8 == 0
    assert 0 < made < 1 << 255
    assert made ^ value in {low + high for low in range(8) for high in (0, 1 << 255)}


@pytest.mark.parametrize("random", [bytes(32), b"\x07" + bytes(31), bytes(31) + b"\x80", b"\x08" * 31, b"\x08" * 33])
def test_a_zero_scalar_is_refused(random: bytes) -> None:
    with pytest.raises(ValueError, match=r"zeros|32 bytes"):
        crypto.scalar(random)


@pytest.mark.parametrize("own", [bytes(32), GROUP_ORDER.to_bytes(32, "little"), b"short"])
def test_an_unusable_scalar_of_ours_is_not_blamed_on_the_peer(own: bytes) -> None:
    client, server = secrets()
    x_point = crypto.client_hello(client, crypto.scalar(b"x" * 32))
    with pytest.raises(ValueError, match="group order") as caught:
        crypto.client_hello(client, own)
    assert not isinstance(caught.value, WireError)
    with pytest.raises(ValueError, match="group order"):
        crypto.server_reply(server, own, x_point, b"c", b"s")


# -- the record layer


def cipher(shared: bytes = bytes(range(64))) -> crypto.RecordCipher:
    return crypto.RecordCipher(crypto.RecordKey.from_shared(shared))


def opened(sequence: int, record: bytes) -> bytes:
    return cipher().open(sequence, int.from_bytes(record[:2], "big"), memoryview(record)[2:])


@given(data=st.binary(max_size=300), sequence=st.integers(0, 2**64 - 1))
def test_a_record_opens_to_what_was_sealed(data: bytes, sequence: int) -> None:
    record = cipher().seal(sequence, data)
    assert int.from_bytes(record[:2], "big") == len(data) == len(record) - 18
    assert opened(sequence, record) == data
    assert cipher().seal(sequence, memoryview(data)) == record


@given(data=st.binary(max_size=60), place=st.integers(0), other=st.integers(0, 9), cut=st.integers(1, 80))
def test_any_other_record_is_refused(data: bytes, place: int, other: int, cut: int) -> None:
    record = cipher().seal(3, data)
    flipped = int.from_bytes(record, "little") ^ 1 << place % (8 * len(record))
    wrong = [
        (3, flipped.to_bytes(len(record), "little")),
        (3, record[:-cut]),
        (3, record + bytes(cut)),
        (other + (other >= 3), record),
    ]
    for sequence, bad in wrong:
        with pytest.raises(WireError) as caught:
            opened(sequence, bad)
        assert caught.value.fault is Fault.BAD_MAC


def test_a_record_has_room_for_15_bits_of_length() -> None:
    largest = bytes(crypto.MAX_PLAINTEXT)
    assert opened(0, cipher().seal(0, largest)) == largest
    with pytest.raises(ValueError, match="32767"):
        cipher().seal(0, largest + b"\0")


# -- secrets


def test_no_secret_shows() -> None:
    client, server = secrets()
    reply, finish = exchange(client, server, crypto.scalar(b"x" * 32), crypto.scalar(b"y" * 32), b"c", b"s")
    derivation = crypto.Derivation(b"soarfly-bril", SALT, 2)
    derivation.step()
    key = crypto.RecordKey.from_shared(reply.keys.client)
    shown = repr((client, server, reply, finish, reply.keys, derivation, key, crypto.RecordCipher(key)))
    hidden = [*attrs.astuple(client), *attrs.astuple(server), *attrs.astuple(reply.keys), *attrs.astuple(key)]
    assert repr(reply.expected) not in repr(reply)
    hidden += [b"soarfly-bril", *derivation.chain, *(total.to_bytes(32) for total in derivation.sums)]
    for secret in hidden:
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
    for total in derivation.sums:
        assert str(total) not in shown


def test_a_kept_secret_with_a_bad_public_part_is_refused() -> None:
    public = p.PublicParameters(1, 16, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, bytes(16)).encode()
    whole = p.SecretPacket(public, *[bytes(32)] * 4).encode()
    assert p.SecretPacket.decode(whole).public == public
    for at, value in ((3, 3), (5, 1), (13, 9), (17, 5)):  # another KDF, 2**48 rounds, another cipher, another hash
        with pytest.raises(WireError):
            p.SecretPacket.decode(whole[:at] + bytes([value]) + whole[at + 1 :])
