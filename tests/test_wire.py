"""What follows from a packet declaration: the laws of the codecs, over a zoo of packets that uses every one of them."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any, TypeVar, assert_never, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.testing import strategies
from sansproto.testing._internal.protocols import modules_of
from sansproto.testing.strategies import packets, register, values
from sansproto.wire import (
    ABSENT,
    BOOL,
    F32BE,
    F64LE,
    I8,
    I16BE,
    I32LE,
    I64BE,
    U8,
    U16BE,
    U16LE,
    U32LE,
    U64BE,
    U64LE,
    Absent,
    Buffer,
    Bytes,
    Codec,
    Const,
    EnumOf,
    Fault,
    Fixed,
    Frame,
    HexInt,
    InRange,
    ListOf,
    Nested,
    Node,
    OneOf,
    Optional,
    Packet,
    Rest,
    Sealed,
    Shape,
    Terminated,
    Text,
    Trailing,
    WireError,
    by_id,
    const,
    field,
    layout_rows,
    layout_rst,
    packet,
    padding,
)

P = TypeVar("P", bound=Packet)


class Shade(Enum):
    DARK = 1
    LIGHT = 7


class Letter(Enum):
    CLIENT = b"C"
    SERVER = b"S"


class VarInt(Codec[int]):
    """Seven bits a byte, least significant first, at most 28 bits: a codec that writes no source."""

    def shape(self) -> Shape:
        return Shape("VarInt", 1)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[int, int]:
        value = 0
        for index in range(4):
            if offset + index == end:
                raise WireError(Fault.TRUNCATED, offset, need=1)
            byte = data[offset + index]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if byte == 0 and index:
                    raise WireError(Fault.BAD_ENCODING, offset)
                return value, offset + index + 1
        raise WireError(Fault.BAD_ENCODING, offset)

    def encode(self, value: int) -> bytes:
        if not 0 <= value < 1 << 28:
            raise WireError(Fault.BAD_VALUE)
        out = bytearray()
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes((*out, value))


register(VarInt, lambda codec: st.integers(0, (1 << 28) - 1))


@packet(id=1)
class Empty(Packet):
    pass


@packet(id=2)
class Numbers(Packet):
    magic: bytes = const(b"NGE1")
    a: int = field(U8)
    b: int = field(U16LE)
    c: int = field(U32LE)
    d: int = field(U64BE)
    pad: bytes = padding(3)
    e: int = field(I8)
    f: int = field(I16BE)
    g: int = field(I32LE)
    h: int = field(I64BE)
    i: bool = field(BOOL)
    j: int = field(InRange(U16BE, 1, 65534))
    k: int = field(U64LE)
    shade: Shade = field(EnumOf(Shade, U8))
    letter: Letter = field(EnumOf(Letter, Fixed(1)))


@packet
class Floats(Packet):
    a: float = field(F32BE)
    b: float = field(F64LE)


@packet(id=0x0A)
class Digits(Packet):
    uid: int = field(HexInt(4), "destination")
    odd: int = field(HexInt(3))


@packet(id=3)
class Texts(Packet):
    key: bytes = field(Fixed(32), "a key", secret=True)
    identity: str = field(Terminated(64), "who")
    line: str = field(Terminated(8, b"\r\n", min=2))
    blob: bytes = field(Bytes(U16BE, max=40, min=1))
    text: str = field(Text(U8, max=30))
    wide: str = field(Text(U8, max=30, min=2, encoding="utf-16-be"))
    after: int = field(U16BE)


@packet
class Lists(Packet):
    numbers: tuple[int, ...] = field(ListOf(U16BE, U8, max=9))
    texts: tuple[Texts, ...] = field(ListOf(Nested(Texts), U8, max=2))
    nothing: tuple[Empty, ...] = field(ListOf(Nested(Empty), U8, max=3))
    one: Numbers | Texts = field(OneOf[Numbers | Texts](U8, by_id(Numbers, Texts)))
    deep: Digits = field(Nested(Digits))
    there: bytes | None = field(Optional(Bytes(U8, max=3)), default=None)


@packet
class Foreign(Packet):
    number: int = field(VarInt())
    fixed: bytes = field(Fixed(2))
    small: int = field(InRange(VarInt(), 0, 300))
    shade: Shade = field(EnumOf(Shade, VarInt()))
    many: tuple[int, ...] = field(ListOf(VarInt(), VarInt(), max=200))
    blob: bytes = field(Bytes(VarInt(), max=300))


@packet
class Tail(Packet):
    first: int = field(U8)
    second: bytes | Absent = field(Trailing(Bytes(U8, max=4)), default=ABSENT)
    third: int | Absent = field(Trailing(U16BE), default=ABSENT)


@packet
class Greedy(Packet):
    kind: int = field(U8)
    rest: bytes = field(Rest(20, min=2))


@packet
class More(Digits):
    extra: int = field(U8)


@packet
class Ordered(Packet):
    low: int = field(U8)
    high: int = field(U8)

    def validate(self) -> None:
        if self.low > self.high:
            raise WireError(Fault.BAD_VALUE, 1, "high")


@packet
class Outer(Packet):
    inner: Ordered = field(Nested(Ordered))
    tail: Tail = field(Nested(Tail))


def but(one: P, /, **changes: object) -> P:
    return cast(P, attrs.evolve(cast(Any, one), **changes))


def attempt(codec: type[Packet] | Codec[Any], data: bytes) -> object:
    try:
        return codec.decode(data)
    except WireError as error:
        return error


ZOO: list[type[Packet]] = [Empty, Numbers, Floats, Digits, Texts, Lists, Foreign, Tail, Greedy, More, Ordered, Outer]
BOUNDED = [cls for cls in ZOO if not cls.__wire__.greedy]


def zoo(classes: list[type[Packet]] = ZOO) -> st.SearchStrategy[Packet]:
    return st.sampled_from(classes).flatmap(packets)


def hostile() -> st.SearchStrategy[tuple[type[Packet], bytes]]:
    """A class with bytes that are, or nearly are, one of its packets, or are anything."""

    def spoil(one: Packet, at: int, bits: int, cut: int, extra: bytes) -> tuple[type[Packet], bytes]:
        data = bytearray(one.encode())
        if data:
            data[at % len(data)] ^= bits
        return type(one), bytes(data[: max(0, len(data) - cut)]) + extra

    places, bits, cuts, extras = st.integers(0, 400), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=3)
    spoiled = st.builds(spoil, zoo(), places, bits, cuts, extras)
    return spoiled | st.tuples(st.sampled_from(ZOO), st.binary(max_size=80))


def fault_of(cls: type[Packet], data: bytes) -> WireError:
    with pytest.raises(WireError) as caught:
        cls.decode(data)
    return caught.value


def leaves(node: Node) -> list[Node]:
    return [leaf for child in node.children for leaf in leaves(child)] if node.children else [node]


@given(zoo(), st.binary(max_size=5))
def test_decoding_undoes_encoding(one: Packet, before: bytes) -> None:
    cls, data = type(one), one.encode()
    decoded = cls.decode(data)
    assert decoded == one
    assert hash(decoded) == hash(one)
    assert type(decoded) is cls
    assert cls.decode(bytearray(data)) == one
    assert cls.decode_prefix(before + data, len(before)) == (one, len(before + data))
    wire = cls.__wire__
    assert wire.min_size <= len(data)
    assert wire.max_size is None or len(data) <= wire.max_size
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        decoded.anything = 1  # type: ignore[attr-defined]  # that it cannot be set is the point


@given(zoo(BOUNDED))
def test_cut_packet_asks_for_no_more_than_is_missing_and_ends_when_fed(one: Packet) -> None:
    data = one.encode()
    for cut in range(len(data)):
        error = fault_of(type(one), data[:cut])
        assert error.fault is Fault.TRUNCATED
        assert error.offset <= cut
        assert 0 < error.need <= len(data) - cut


@given(zoo(BOUNDED), st.binary(min_size=1, max_size=4))
def test_bytes_behind_a_packet_are_left_to_the_stream_and_refused_in_a_datagram(one: Packet, behind: bytes) -> None:
    data = one.encode()
    assert type(one).decode_prefix(data + behind) == (one, len(data))
    error = fault_of(type(one), data + behind)
    assert (error.fault, error.offset) == (Fault.TRAILING, len(data))


@given(hostile())
def test_any_bytes_are_refused_or_canonical(case: tuple[type[Packet], bytes]) -> None:
    cls, data = case
    result = attempt(cls, data)
    if isinstance(result, WireError):
        assert (result.need > 0) == (result.fault is Fault.TRUNCATED)
        assert 0 <= result.offset <= len(data)
    else:
        assert isinstance(result, cls)
        assert result.encode() == data or cls.__wire__.accepts


@given(hostile())
def test_dissection_shows_every_byte_once_and_agrees_with_decoding(case: tuple[type[Packet], bytes]) -> None:
    cls, data = case
    root = cls.dissect(data)
    assert b"".join(leaf.raw for leaf in leaves(root)) == root.raw == data
    for node in root.walk():
        assert node.raw == data[node.offset : node.end]
        assert node.fault is None or node.value is None
    result = attempt(cls, data)
    if isinstance(result, WireError):
        assert root.fault is result.fault
    else:
        assert root.fault is None
        assert repr(root.value) == repr(result)  # equal, were it not for NaN
        for child in root.children:
            assert repr(child.value) == repr(getattr(result, child.name))


def test_elements_of_lists_and_unions_have_nodes() -> None:
    one = Lists((1, 2), (), (Empty(),), Texts(bytes(32), "a", "bc", b"x", "", "y", 5), Digits(1, 2))
    root = Lists.dissect(one.encode())
    assert [(node.name, node.value) for node in root.children[0].children] == [("count", 2), ("[0]", 1), ("[1]", 2)]
    tag, content = root.children[3].children
    assert (tag.name, tag.value, content.name, content.children[1].value) == ("tag", 3, "Texts", "a")


VALID = Texts(bytes(32), "a", "bc", b"x", "", "y", 5)
NUMBERS = Numbers(1, 2, 3, 4, 5, 6, 7, 8, True, 9, 10, Shade.DARK, Letter.CLIENT)
LISTS = Lists((), (), (), NUMBERS, Digits(1, 2))


@pytest.mark.parametrize(
    ("one", "fault", "where"),
    [
        (but(NUMBERS, a=256), Fault.BAD_VALUE, "a"),
        (but(NUMBERS, d=-1), Fault.BAD_VALUE, "d"),
        (but(NUMBERS, e=-129), Fault.BAD_VALUE, "e"),
        (but(NUMBERS, b=1.5), Fault.BAD_VALUE, "b"),
        (but(NUMBERS, i=1), Fault.BAD_VALUE, "i"),
        (but(NUMBERS, j=65535), Fault.BAD_VALUE, "j"),
        (but(NUMBERS, shade=1), Fault.BAD_VALUE, "shade"),
        (Floats(1e39, 1.0), Fault.BAD_VALUE, "a"),
        (Digits(0x10000, 0), Fault.BAD_VALUE, "uid"),
        (but(VALID, key=bytes(31)), Fault.BAD_LENGTH, "key"),
        (but(VALID, identity="i" * 65), Fault.BAD_LENGTH, "identity"),
        (but(VALID, identity="a\nb"), Fault.BAD_VALUE, "identity"),
        (but(VALID, identity="a\0b"), Fault.BAD_VALUE, "identity"),
        (but(VALID, identity="\u00e9"), Fault.BAD_VALUE, "identity"),
        (but(VALID, line="a"), Fault.BAD_LENGTH, "line"),
        (but(VALID, blob=b""), Fault.BAD_LENGTH, "blob"),
        (but(VALID, text="\ud800"), Fault.BAD_VALUE, "text"),
        (but(VALID, text="\u00e9" * 16), Fault.BAD_LENGTH, "text"),
        (but(LISTS, numbers=(0,) * 10), Fault.BAD_LENGTH, "numbers"),
        (but(LISTS, numbers=(0, 65536)), Fault.BAD_VALUE, "numbers"),
        (but(LISTS, one=Empty()), Fault.BAD_TYPE, "one"),
        (but(LISTS, one=but(NUMBERS, a=256)), Fault.BAD_VALUE, "one.a"),
        (but(LISTS, deep=NUMBERS), Fault.BAD_TYPE, "deep"),
        (Foreign(1 << 28, b"ab", 0, Shade.DARK, (), b""), Fault.BAD_VALUE, "number"),
        (Tail(1, ABSENT, 2), Fault.BAD_VALUE, "third"),
        (Greedy(1, bytes(21)), Fault.BAD_LENGTH, "rest"),
        (Ordered(2, 1), Fault.BAD_VALUE, "high"),
    ],
)
def test_value_without_encoding_is_refused_by_name(one: Packet, fault: Fault, where: str) -> None:
    with pytest.raises(WireError) as caught:
        one.encode()
    assert (caught.value.fault, caught.value.field) == (fault, where)


GOOD = VALID.encode()


@pytest.mark.parametrize(
    ("cls", "data", "fault", "offset", "where"),
    [
        (Numbers, b"NGE2" + NUMBERS.encode()[4:], Fault.BAD_VALUE, 0, "magic"),
        (Numbers, NUMBERS.encode()[:19] + b"\0\0\1" + NUMBERS.encode()[22:], Fault.BAD_VALUE, 19, "pad"),
        (Numbers, NUMBERS.encode()[:37] + b"\2" + NUMBERS.encode()[38:], Fault.BAD_VALUE, 37, "i"),
        (Digits, b"00g0000", Fault.BAD_ENCODING, 0, "uid"),
        (Digits, b"0000+12", Fault.BAD_ENCODING, 4, "odd"),
        (Digits, b"0 10000", Fault.BAD_ENCODING, 0, "uid"),
        (Digits, b"0_10000", Fault.BAD_ENCODING, 0, "uid"),
        (Digits, b"0x10000", Fault.BAD_ENCODING, 0, "uid"),
        (Texts, bytes(32) + b"a\nb\0" + bytes(60), Fault.BAD_VALUE, 32, "identity"),
        (Texts, bytes(32) + b"\xe9\0" + bytes(60), Fault.BAD_ENCODING, 32, "identity"),
        (Texts, bytes(32) + b"i" * 65, Fault.BAD_LENGTH, 32, "identity"),
        (Texts, bytes(32) + b"\0x\r\n" + bytes(60), Fault.BAD_LENGTH, 33, "line"),
        (Texts, bytes(32) + b"\0ab\r\n\0", Fault.TRUNCATED, 37, "blob"),
        (Texts, bytes(32) + b"\0ab\r\n\0\0" + bytes(9), Fault.BAD_LENGTH, 37, "blob"),
        (Texts, bytes(32) + b"\0ab\r\n\0\1x\1\xff" + bytes(9), Fault.BAD_ENCODING, 41, "text"),
        (Texts, bytes(32) + b"\0ab\r\n\0\1x\0\3abc\0\0", Fault.BAD_ENCODING, 42, "wide"),
        (Lists, b"\x09\0\1\0", Fault.TRUNCATED, 1, "numbers"),
        (Lists, b"\x0a" + bytes(99), Fault.BAD_LENGTH, 0, "numbers"),
        (Lists, bytes(3) + b"\xff" + bytes(99), Fault.BAD_TYPE, 3, "one"),
        (Lists, bytes(3) + b"\3" + GOOD + b"00z0000", Fault.BAD_ENCODING, 4 + len(GOOD), "deep.uid"),
        (Foreign, b"\0ab\xff\xff\xff\xff", Fault.BAD_ENCODING, 3, "small"),
        (Foreign, b"\0ab\xff\x7f", Fault.BAD_VALUE, 3, "small"),
        (Foreign, b"\0ab\0\2", Fault.BAD_VALUE, 4, "shade"),
        (Greedy, bytes(22), Fault.BAD_LENGTH, 1, "rest"),
        (Outer, b"\2\1\0", Fault.BAD_VALUE, 1, "inner.high"),
        (Tail, b"\0\0\1", Fault.TRUNCATED, 2, "third"),
    ],
)
def test_bad_bytes_are_refused_by_place(cls: type[Packet], data: bytes, fault: Fault, offset: int, where: str) -> None:
    error = fault_of(cls, data)
    assert (error.fault, error.offset, error.field) == (fault, offset, where)
    root = cls.dissect(data)
    assert root.fault is fault
    assert b"".join(leaf.raw for leaf in leaves(root)) == data


def test_text_without_terminator_waits_up_to_its_limit_and_no_longer() -> None:
    for size in range(65):
        assert fault_of(Texts, bytes(32) + b"i" * size).fault is Fault.TRUNCATED
    assert fault_of(Texts, bytes(32) + b"i" * 65).fault is Fault.BAD_LENGTH


@pytest.mark.parametrize(
    ("cls", "data", "where", "need"),
    [
        (Digits, b"", "uid", 7),
        (Digits, b"0000", "odd", 3),
        (Texts, bytes(32) + b"\0ab\r\n\0\5x", "blob", 4 + 1 + 3 + 2),
        (Outer, b"\1", "inner.high", 1 + 1),
        # The count is held against the bytes left before an item is read.
        (Lists, b"\x09\0\0", "numbers", Lists.__wire__.min_size + 2 * 9 - 3),
    ],
)
def test_need_counts_the_fields_behind(cls: type[Packet], data: bytes, where: str, need: int) -> None:
    error = fault_of(cls, data)
    assert (error.fault, error.field, error.need) == (Fault.TRUNCATED, where, need)


def test_upper_case_digits_are_accepted_and_not_written() -> None:
    one = Digits.decode(b"ABCDeF0")
    assert (one.uid, one.odd, one.encode()) == (0xABCD, 0xEF0, b"abcdef0")


def test_absent_is_neither_empty_nor_zero() -> None:
    assert [Tail.decode(data) for data in (b"\1", b"\1\0", b"\1\0\0\0")] == [Tail(1), Tail(1, b""), Tail(1, b"", 0)]
    assert [node.value for node in Tail.dissect(b"\1\0").children] == [1, b"", ABSENT]
    assert repr(Tail(1)) == "Tail(first=1, second=ABSENT, third=ABSENT)"


def test_not_a_number_survives() -> None:
    assert math.isnan(Floats.decode(Floats(math.nan, 1.0).encode()).a)


def test_union_is_checked_for_exhaustiveness() -> None:
    def size(one: Numbers | Texts) -> int:
        match one:
            case Numbers():
                return one.a
            case Texts(key, identity=identity):
                return len(key) + len(identity)
        assert_never(one)

    assert (size(NUMBERS), size(VALID)) == (1, 33)
    union = OneOf[Numbers | Texts](U8, by_id(Numbers, Texts))
    assert size(union.decode(union.encode(VALID))) == 33
    with pytest.raises(WireError, match="trailing"):
        union.decode(union.encode(VALID) + b"\0")


CODECS = [one.codec for cls in ZOO for one in cls.__wire__.fields if not isinstance(one.codec, (Const, Trailing))]


@given(st.sampled_from(CODECS).flatmap(lambda codec: st.tuples(st.just(codec), values(codec))))
def test_codec_by_itself_obeys_the_same_law(case: tuple[Codec[Any], object]) -> None:
    codec, value = case
    assert codec.decode(codec.encode(value)) == value


@packet
class Header(Packet):
    uid: int = field(HexInt(4))
    type: int = field(HexInt(2))


FRAME = Frame[Header, Empty | Texts | Digits](Header, "type", by_id(Empty, Texts, Digits))


PAYLOADS = st.one_of(packets(Empty), packets(Texts), packets(Digits))


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), PAYLOADS), max_size=4))
def test_frames_come_out_of_a_stream_however_it_is_cut(sent: list[tuple[int, Empty | Texts | Digits]]) -> None:
    def tag(one: Packet) -> int:
        return one.__wire__.id or 0

    stream = b"".join(FRAME.encode((Header(uid, tag(one)), one)) for uid, one in sent)
    buffer, offset, limit, got = bytearray(stream), 0, 0, []
    while offset < len(stream):
        try:
            header, payload, offset = FRAME.decode_prefix(buffer[:limit], offset)
        except WireError as error:
            # No less would do, so it never asks for bytes of which nobody knows yet; it always asks for some.
            before, limit = limit, limit + (error.need if error.fault is Fault.TRUNCATED else 0)
            if not before < limit <= len(stream):
                raise
        else:
            got.append((header.uid, payload))
    assert got == sent


def test_frame_refuses_what_its_table_does_not_have() -> None:
    with pytest.raises(WireError) as caught:
        FRAME.decode_prefix(b"xx0001ff", 2)
    assert (caught.value.fault, caught.value.offset, caught.value.field) == (Fault.BAD_TYPE, 6, "type")
    with pytest.raises(WireError) as caught:
        FRAME.encode((Header(1, 1), VALID))
    assert caught.value.fault is Fault.BAD_TYPE
    shape = FRAME.shape()
    assert (shape.min_size, shape.max_size, shape.greedy) == (6, 6 + (Texts.__wire__.max_size or 0), False)


def test_fields_that_do_not_fit_together_are_blamed_where_they_are() -> None:
    """In whatever the packet stands: offsets count from the beginning of the buffer."""

    @packet(id=7)
    class Behind(Packet):
        before: int = field(U16BE)
        inner: Ordered = field(Nested(Ordered))

    data = b"\0\0\2\1"
    error = fault_of(Behind, data)
    assert (error.fault, error.offset, error.field) == (Fault.BAD_VALUE, 3, "inner.high")
    with pytest.raises(WireError) as caught:
        Ordered.decode_prefix(data, 2)
    assert (caught.value.fault, caught.value.offset, caught.value.field) == (Fault.BAD_VALUE, 3, "high")
    blamed = [(node.name, node.offset, node.raw) for node in Behind.dissect(data).walk() if node.fault]
    assert blamed == [("Behind", 0, data), ("inner", 2, b"\2\1"), ("high", 3, b"\1")]


@given(st.binary(max_size=8) | st.builds(lambda one: b"00010a" + one.encode(), packets(Digits)))
def test_frame_dissects_what_it_decodes(data: bytes) -> None:
    root = FRAME.dissect(data)
    assert b"".join(leaf.raw for leaf in leaves(root)) == data
    result = attempt(FRAME, data)
    assert (root.fault, root.value) == ((result.fault, None) if isinstance(result, WireError) else (None, result))


def test_sealed_fields_are_opened_by_the_opener_alone() -> None:
    @packet
    class Box(Packet):
        nonce: bytes = field(Fixed(1))
        sealed: bytes = field(Bytes(U8, max=9), sealed=True)

    def opener(box: Sealed) -> Node | None:
        assert (box.packet, box.field, box.siblings["nonce"]) == (Box, "sealed", b"k")
        if box.data == b"bad":
            raise WireError(Fault.BAD_MAC)
        return Digits.dissect(box.data[::-1], opener) if len(box.data) == 7 else None

    data = b"k\x077654321"
    assert Box.dissect(data).children[1].opened is None
    opened = Box.dissect(data, opener).children[1].opened
    assert opened is not None
    assert opened.value == Digits(0x1234, 0x567)
    assert opened in list(Box.dissect(data, opener).walk())
    assert Box.dissect(b"k\x01x", opener).children[1].opened is None
    assert Box.dissect(b"k\x03bad", opener).children[1].fault is Fault.BAD_MAC


def test_secret_is_not_shown() -> None:
    one = but(VALID, key=b"top secret key, " * 2)
    assert "secret" not in repr(one)
    assert one.identity in repr(one)
    assert "secret" not in repr(Texts.dissect(one.encode()))
    assert Texts.dissect(one.encode()).children[0].secret


def test_byte_table_counts_offsets_from_the_last_field_of_unknown_size() -> None:
    rows = [(row.offset, row.size, row.name) for row in layout_rows(Texts)]
    assert rows == [
        ("0", "32", "key"),
        ("32", "1..65", "identity"),
        ("after identity", "4..10", "line"),
        ("after line", "3..42", "blob"),
        ("after blob", "1..31", "text"),
        ("after text", "3..31", "wide"),
        ("after wide", "2", "after"),
    ]
    assert [(row.offset, row.size) for row in layout_rows(Foreign)[:2]] == [("0", "1.."), ("after number", "2")]
    assert layout_rows(More)[2].offset == "7"
    assert layout_rows(Digits)[0].doc == "destination; also accepted: upper-case digits"
    assert "   * - 0\n     - 32\n     - key\n     - 32 bytes\n     - a key\n" in layout_rst(Texts)
    for cls in ZOO:
        assert all(row.type for row in layout_rows(cls))


def test_wrong_declarations_are_refused() -> None:
    with pytest.raises(TypeError, match="second cannot follow first"):

        @packet
        class A(Packet):
            first: bytes = field(Rest(4))
            second: int = field(U8)

    with pytest.raises(TypeError, match="packets use themselves"):

        @packet
        class B(Packet):
            decode: int = field(U8)  # type: ignore[assignment]  # what is tested

    with pytest.raises(TypeError, match="where it ends"):
        ListOf(Nested(Tail), U8, max=3)
    with pytest.raises(TypeError, match="absent"):
        Trailing(Rest(3))
    with pytest.raises(ValueError, match="begin the terminator"):
        Terminated(64, b"a")
    with pytest.raises(ValueError, match="two tags"):
        OneOf[Empty](U8, {1: Empty, 2: Empty})
    with pytest.raises(ValueError, match="without an id"):
        by_id(Empty, Tail)


def test_core_needs_no_hypothesis() -> None:
    code = "import sys, sansproto.wire; sys.exit('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


class Unknown(VarInt):
    """A codec that nobody registered."""


def test_a_codec_that_nobody_registered_has_no_values() -> None:
    with pytest.raises(KeyError):
        values(Unknown())


def packet_classes(kind: type[Packet] = Packet) -> Iterator[type[Packet]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith(("sansproto.bob.", "sansproto.overte.")) and "__wire__" in vars(one):
            yield one
        yield from packet_classes(one)


def test_there_are_values_for_packets_that_have_codecs_of_their_protocol() -> None:
    """Made anew: another test may have made them where it is not measured."""
    for name in ("bob", "overte"):
        modules_of(name)
    strategies._packets.cache_clear()
    found = [*packet_classes()]
    assert len(found) > 80
    for kind in found:
        assert packets(kind) is not None
