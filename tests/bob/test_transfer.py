"""Typed records and receipts: what one end writes the other reads, and nothing else is taken for it."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.bob import (
    Channel,
    FileAnnounced,
    FileData,
    FileVerified,
    MetadataReceived,
    PackError,
    PackFault,
    PackWriter,
    Receipt,
    ReceiptReason,
    ReceiptRecord,
    SenderFailed,
    TransferError,
    TransferEvent,
    TransferFault,
    TransferReader,
    TransferWriter,
)
from sansproto.bob import packets as p
from sansproto.bob.crypto import RecordCipher, RecordKey
from sansproto.errors import Fault, WireError
from sansproto.events import DataReceived
from sansproto.testing.strategies import packets

CONTENTS = bytes(range(256)) * 400
LIMIT = 1 << 20


def written(*, typed: bool, contents: bytes = CONTENTS, level: int = 0) -> list[bytes]:
    writer = TransferWriter("a.txt", len(contents), typed=typed, level=level)
    return [*writer.start(), *writer.write(contents), *writer.finish()]


def read(reader: TransferReader, records: list[bytes]) -> list[TransferEvent]:
    return [event for record in records for event in reader.feed(record)]


WHOLE = written(typed=True)


# -- a transfer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [True, False])
@given(contents=st.binary(max_size=300) | st.sampled_from([CONTENTS, bytes(200_000)]), level=st.sampled_from([0, 4]))
def test_what_is_written_is_read_and_confirmed(typed: bool, contents: bytes, level: int) -> None:
    writer, reader = TransferWriter("a.txt", len(contents), typed=typed, level=level), TransferReader(max_size=LIMIT)
    records = [*writer.start(), *writer.write(contents)]
    with pytest.raises(TransferError):
        reader.receipt()
    events = read(reader, records)
    confirmation = ReceiptRecord(Receipt.VERIFIED, json.dumps({"sha256": sha256(contents).hexdigest()}))
    assert not writer.is_confirmed_by(confirmation)  # not before everything is written
    events += read(reader, writer.finish())
    reader.close()
    assert all(1 <= len(record) <= 32_767 for record in records)
    assert events[0] == FileAnnounced("a.txt", len(contents))
    assert isinstance(events[-1], FileVerified)
    assert b"".join(event.data for event in events if isinstance(event, FileData)) == contents
    said = ReceiptRecord.decode(reader.receipt())
    assert said.sha256 == sha256(contents).digest()
    assert writer.is_confirmed_by(said)
    assert not writer.is_confirmed_by(ReceiptRecord(Receipt.FAILED))


def test_plain_records_are_those_of_the_reference() -> None:
    writer = PackWriter("a.txt", len(CONTENTS), level=0)
    assert written(typed=False) == [*writer.start(), *writer.write(CONTENTS), *writer.finish()]


@pytest.mark.parametrize("size", [-1, 0, 1023, 32_768])
def test_a_payload_is_neither_tiny_nor_larger_than_a_record(size: int) -> None:
    with pytest.raises(ValueError, match="1024 to 32767"):
        PackWriter("a", 1, record=size)


def test_a_sender_that_gives_up_says_so_to_its_own_kind_alone() -> None:
    typed, plain = (TransferWriter("a", 9, typed=typed) for typed in (True, False))
    assert plain.fail("why") == []
    reader = TransferReader(max_size=LIMIT)
    events = read(reader, [*typed.start(), *typed.fail("\N{SNOWMAN}" * 1000 + "\udcff")])
    assert events == [FileAnnounced("a", 9), SenderFailed("\N{SNOWMAN}" * 341)]
    with pytest.raises(PackError) as caught:
        reader.close()
    assert caught.value.fault is PackFault.TRUNCATED
    assert typed.fail("\udcff") == [b"\2?"]


def test_metadata_may_stand_anywhere_before_the_end() -> None:
    reader, said = TransferReader(max_size=LIMIT), b'\1{"a": [1]}'
    events = read(reader, [said, *WHOLE[:-1], said, WHOLE[-1]])
    assert [event for event in events if isinstance(event, MetadataReceived)] == [MetadataReceived('{"a": [1]}')] * 2
    assert isinstance(events[-1], FileVerified)


# -- what is none ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([b"\4"], TransferFault.UNKNOWN_TYPE),
        ([b"\4more"], TransferFault.UNKNOWN_TYPE),
        ([b""], TransferFault.BAD_RECORD),
        ([b"\0"], TransferFault.BAD_RECORD),
        ([b"\0" + bytes(32_767)], TransferFault.BAD_RECORD),
        ([b"\1"], TransferFault.BAD_RECORD),
        ([b"\1[]"], TransferFault.BAD_RECORD),
        ([b"\1{]"], TransferFault.BAD_RECORD),
        ([b'\1{"a":1,"a":2}'], TransferFault.BAD_RECORD),
        ([b'\1{"a":NaN}'], TransferFault.BAD_RECORD),
        ([b"\1" + b"[" * 4096], TransferFault.BAD_RECORD),
        ([b'\1{"a":"%s"}' % (b"x" * 4096)], TransferFault.BAD_RECORD),
        ([b"\2\xff"], TransferFault.BAD_RECORD),
        ([b"\2" + b"x" * 1025], TransferFault.BAD_RECORD),
        ([b"\3\0"], TransferFault.BAD_RECORD),
        ([b"\3"], TransferFault.EARLY_END),
        ([*WHOLE[:-2], b"\3"], TransferFault.EARLY_END),
        ([*WHOLE, b"\3"], TransferFault.AFTER_END),
        ([*WHOLE, b"\0x"], TransferFault.AFTER_END),
        ([b"\2", b"\0x"], TransferFault.AFTER_END),
        ([b"\2", b"\2"], TransferFault.AFTER_END),
        (WHOLE[:-1], TransferFault.NO_END),
    ],
)
def test_a_fault_is_told_and_stays(records: list[bytes], fault: TransferFault) -> None:
    reader = TransferReader(max_size=LIMIT)
    for ask in (lambda: (read(reader, records), reader.close()), reader.close, reader.receipt):
        with pytest.raises(TransferError) as caught:
            ask()
        assert caught.value.fault is fault
    if fault is not TransferFault.NO_END:
        for record in (b"\0x", b"\3", b"\4", b"P"):
            with pytest.raises(TransferError) as caught:
                list(reader.feed(record))
            assert caught.value.fault is fault


@pytest.mark.parametrize("typed", [True, False])
def test_a_fault_of_the_file_is_one_in_any_records(typed: bool) -> None:
    whole = written(typed=typed)
    damaged = whole[:-2] if typed else whole[:-1]
    damaged = [*damaged, b"\0" * typed + bytes(20)]
    reader = TransferReader(max_size=LIMIT)
    for records in (damaged, [b"\0x"], [b"\3"]):
        with pytest.raises(PackError) as caught:
            read(reader, records)
        assert caught.value.fault is PackFault.BAD_CHECKSUM


def test_data_behind_the_checksum_is_a_fault_before_the_end_is_said() -> None:
    reader = TransferReader(max_size=LIMIT)
    with pytest.raises(PackError) as caught:
        read(reader, [*WHOLE[:-1], b"\0x", b"\3"])
    assert caught.value.fault is PackFault.TRAILING


@pytest.mark.unmeasured
@given(st.lists(st.one_of([packets(kind) for kind in p.SENT_RECORDS.values()]).map(p.encode_sent) | st.binary()))
def test_nothing_else_is_raised(records: list[bytes]) -> None:
    reader = TransferReader(max_size=LIMIT)
    for record in records:
        with suppress(PackError, TransferError):
            list(reader.feed(record))
    with pytest.raises((PackError, TransferError)):
        reader.close()


# -- records -----------------------------------------------------------------------------------------------------------


@pytest.mark.unmeasured
@given(st.one_of([packets(kind) for kind in p.SENT_RECORDS.values()]))
def test_a_sent_record_comes_back(record: p.SentRecord) -> None:
    wire = p.encode_sent(record)
    assert p.SENT_FRAME.decode(wire) == (p.SentHeader(wire[0]), record)


@pytest.mark.unmeasured
@given(packets(ReceiptRecord))
def test_a_receipt_comes_back(receipt: ReceiptRecord) -> None:
    assert ReceiptRecord.decode(receipt.encode()) == receipt


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (p.SentError("\ud800"), Fault.BAD_VALUE),
        (p.SentError("x" * 1025), Fault.BAD_LENGTH),
        (p.SentMetadata("no"), Fault.BAD_ENCODING),
        (ReceiptRecord(Receipt.VERIFIED), Fault.BAD_VALUE),
        (ReceiptRecord(Receipt.FAILED, "[]"), Fault.BAD_VALUE),
    ],
)
def test_what_has_no_form_is_not_written(packet: p.Packet, fault: Fault) -> None:
    with pytest.raises(WireError) as caught:
        packet.encode()
    assert caught.value.fault is fault


def test_text_to_the_end_begins_with_its_lead() -> None:
    codec = p.FieldsToEnd(9, min=2, lead=b" ")
    assert codec.decode(b" {}") == "{}"
    with pytest.raises(WireError) as caught:
        codec.decode(b"-{}")
    assert caught.value.fault is Fault.BAD_VALUE


def test_a_receipt_says_why_it_failed() -> None:
    for reason in ReceiptReason:
        assert ReceiptRecord.decode(ReceiptRecord(Receipt.FAILED, reason.fields).encode()).reason is reason


@pytest.mark.parametrize(
    "said", [b"failed", b"failed {}", b'failed {"reason": "tired"}', b'failed {"reason": ["stopped"]}']
)
def test_a_reason_that_is_not_known_is_none(said: bytes) -> None:
    assert ReceiptRecord.decode(said).reason is None


def test_a_receipt_without_a_hash_has_none() -> None:
    assert [ReceiptRecord(word).sha256 for word in Receipt] == [b""] * len(Receipt)
    assert ReceiptRecord.decode(b'failed {"sha256": 1}').sha256 == b""


# -- a record is an event ----------------------------------------------------------------------------------------------


@pytest.mark.unmeasured
@given(sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=6), cut=st.integers(1, 50_000))
def test_each_record_is_one_event_however_it_arrives(sizes: list[int], cut: int) -> None:
    key = RecordKey(bytes(32), bytes(12))
    cipher, records = RecordCipher(key), [bytes([number]) * min(size, 32_767) for number, size in enumerate(sizes)]
    wire = b"".join(cipher.seal(number, record) for number, record in enumerate(records))
    channel = Channel(send_key=None, receive_key=key)
    events: list[object] = []
    for start in range(0, len(wire), cut):
        channel.receive_data(wire[start : start + cut], 0.0)
        events += iter(channel.next_event, None)
    assert events == [DataReceived(record) for record in records]


# -- metadata ----------------------------------------------------------------------------------------------------------


def test_a_stream_says_so_in_its_metadata() -> None:
    writer, reader = TransferWriter("a", None, typed=True, about={"kind": "file"}), TransferReader(max_size=LIMIT)
    events = read(reader, [*writer.start(), *writer.write(CONTENTS), *writer.finish()])
    about, announced, *_, last = events
    assert isinstance(about, MetadataReceived)
    assert about.members == {"kind": "file", "stream": True}
    assert announced == FileAnnounced("a", None)
    assert isinstance(last, FileVerified)
    assert writer.is_confirmed_by(ReceiptRecord.decode(reader.receipt("a (1)")))
    assert ReceiptRecord.decode(reader.receipt("a (1)")).name == "a (1)"
    with pytest.raises(ValueError, match="size"):
        TransferWriter("a", None, typed=False)
    assert TransferWriter("a", 1, typed=False, about={"kind": "file"}).start()[0].startswith(b"PACK")


def test_metadata_has_an_end() -> None:
    reader = TransferReader(max_size=LIMIT)
    assert len(read(reader, [b"\1{}"] * 64)) == 64
    with pytest.raises(TransferError, match="bad_record"):
        read(reader, [b"\1{}"])


@pytest.mark.parametrize("fields", ["{}", '{"name": 1}', '{"name": null}'])
def test_a_receipt_without_a_name_has_none(fields: str) -> None:
    assert ReceiptRecord(Receipt.FAILED, fields).name == ReceiptRecord(Receipt.RECEIVING).name == ""


def test_a_typed_stream_is_flushed_in_typed_records() -> None:
    writer, reader = TransferWriter("a", None, typed=True), TransferReader(max_size=LIMIT)
    events = read(reader, [*writer.start(), *writer.write(b"data"), *writer.flush()])
    assert events[-1] == FileData(b"data")
    assert reader.is_typed
