"""The file stream: what is written can be read whatever the borders, and nothing else can."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha1
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.bob.pack import (
    MAX_EVENT,
    FileAnnounced,
    FileData,
    FileVerified,
    PackError,
    PackEvent,
    PackFault,
    PackReader,
    PackWriter,
    safe_name,
)

LIMIT = 1 << 40
NOISE = random.Random(0).randbytes(100_000)
contents = st.binary(max_size=400) | st.builds(
    lambda unit, start, size: (unit * 100_000 or NOISE)[start : start + size],
    st.binary(max_size=2),
    st.integers(0, 9),
    st.integers(0, 99_000),
)
levels = st.sampled_from([0, 1, 4, 9])


def cuts(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """The data in pieces; any integers make valid places."""
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return (data[start:end] for start, end in pairwise(borders))


def written(data: bytes, *, name: str = "a.txt", level: int = 4, places: Iterable[int] = ()) -> list[bytes]:
    writer = PackWriter(name, len(data), level=level)
    records = writer.start()
    for piece in cuts(data, places):
        records += writer.write(piece)
    return records + writer.finish()


def read(pieces: Iterable[bytes], **limits: int) -> tuple[FileAnnounced, bytes, FileVerified]:
    reader = PackReader(**{"max_size": LIMIT, **limits})
    events = [event for piece in pieces for event in reader.feed(piece)]
    reader.close()
    first, *middle, last = events
    assert isinstance(first, FileAnnounced)
    assert isinstance(last, FileVerified)
    chunks = [event.data for event in middle if isinstance(event, FileData)]
    assert len(chunks) == len(middle)
    assert all(0 < len(chunk) <= 65_536 for chunk in chunks)
    return first, b"".join(chunks), last


def fault_of(pieces: Iterable[bytes], **limits: int) -> PackFault:
    with pytest.raises(PackError) as caught:
        read(pieces, **limits)
    return caught.value.fault


def stream(
    data: bytes = b"data",
    *,
    header: bytes = b"PACK\0\0\0\2\0\0\0\2",
    name: bytes = b"name",
    name_header: bytes | None = None,
    blob_header: bytes | None = None,
    blob: bytes | None = None,
    trailer: bytes | None = None,
) -> bytes:
    """A stream by hand, of sizes below 16 if nothing else is said."""
    body = header
    body += bytes([0x40 | len(name)]) if name_header is None else name_header
    body += zlib.compress(name)
    body += bytes([0x30 | len(data)]) if blob_header is None else blob_header
    body += zlib.compress(data) if blob is None else blob
    return body + (sha1(body).digest() if trailer is None else trailer)


# -- both ways


@given(data=contents, level=levels, writes=st.lists(st.integers(0), max_size=6), reads=st.lists(st.integers(0)))
def test_any_borders_give_the_file_back(data: bytes, level: int, writes: list[int], reads: list[int]) -> None:
    records = written(data, name="two lines.txt", level=level, places=writes)
    whole = b"".join(records)
    announced, received, verified = read(cuts(whole, reads))
    assert announced == FileAnnounced("two lines.txt", len(data))
    assert received == data
    assert verified.sha1 == whole[-20:] == sha1(whole[:-20]).digest()
    assert read(records) == (announced, received, verified)


@given(data=contents, level=levels, writes=st.lists(st.integers(0), max_size=6))
def test_the_borders_are_those_that_the_peer_needs(data: bytes, level: int, writes: list[int]) -> None:
    header, name_header, name, file_header, *pieces, trailer = written(data, level=level, places=writes)
    assert header == b"PACK\0\0\0\2\0\0\0\2"
    assert name_header == b"\x45"
    assert zlib.decompress(name) == b"a.txt"
    assert 1 <= len(file_header) <= 10
    assert zlib.decompress(b"".join(pieces)) == data
    assert all(0 < len(piece) <= 32_767 for piece in pieces)
    assert len(trailer) == 20
    partial = [piece for piece in pieces if len(piece) < 32_767]
    assert len(partial) <= (3 if level == 0 else 1), (
        "records are full but for the last, and the header of what is stored"
    )


@pytest.mark.parametrize("size", [0, 1, 32_761, 32_762, 32_763, 65_523, 65_524, 65_525])
@pytest.mark.parametrize("write", [1_000, 32_762, 70_000])
def test_stored_blocks_meet_the_ends_of_records(size: int, write: int) -> None:
    records = written(NOISE[:size], level=0, places=range(0, size, write))
    assert read(records)[1] == NOISE[:size]
    assert all(0 < len(record) <= 32_767 for record in records)


@pytest.mark.parametrize("size", [15, 16, 2**11 - 1, 2**11, 2**32 - 1, 2**40])
def test_sizes_of_any_length_are_announced(size: int) -> None:
    reader = PackReader(max_size=LIMIT)
    events: list[PackEvent] = []
    for record in PackWriter("name", size).start():
        events += reader.feed(record)
    assert events == [FileAnnounced("name", size)]


@pytest.mark.parametrize("name", ["dir/x.txt", "/tmp/x.txt", b"x.txt"])
def test_the_writer_sends_the_last_component(name: str | bytes) -> None:
    writer = PackWriter(name, 0)
    assert read(writer.start() + writer.finish())[0] == FileAnnounced("x.txt", 0)


def test_the_writer_holds_the_file_to_its_size() -> None:
    writer = PackWriter("x", 3)
    writer.start()
    writer.write(b"ab")
    with pytest.raises(PackError) as caught:
        writer.finish()
    assert caught.value.fault is PackFault.SIZE_MISMATCH
    with pytest.raises(PackError) as caught:
        writer.write(b"cd")
    assert caught.value.fault is PackFault.SIZE_MISMATCH
    with pytest.raises(ValueError, match="negative"):
        PackWriter("x", -1)


# -- damage


@given(data=st.binary(max_size=200), level=levels, end=st.integers(0))
def test_every_early_end_is_told(data: bytes, level: int, end: int) -> None:
    whole = b"".join(written(data, level=level))
    assert fault_of([whole[: end % len(whole)]]) is PackFault.TRUNCATED


@given(data=st.binary(max_size=200), level=levels, place=st.integers(0), reads=st.lists(st.integers(0), max_size=4))
def test_every_changed_bit_is_found_whatever_the_borders(data: bytes, level: int, place: int, reads: list[int]) -> None:
    whole = b"".join(written(data, level=level))
    damaged = (int.from_bytes(whole, "little") ^ 1 << place % (8 * len(whole))).to_bytes(len(whole), "little")
    assert fault_of([damaged]) is fault_of(cuts(damaged, reads))


@given(garbage=st.binary(max_size=100), keep=st.integers(0, 60))
def test_garbage_is_never_a_file(garbage: bytes, keep: int) -> None:
    fault_of([stream()[:keep], garbage, b"\0"])


@pytest.mark.parametrize(
    ("fault", "bad"),
    [
        (PackFault.BAD_MAGIC, stream(header=b"PICK\0\0\0\2\0\0\0\2")),
        (PackFault.BAD_MAGIC, stream(header=b"PACK\0\0\0\3\0\0\0\2")),
        (PackFault.BAD_MAGIC, stream(header=b"PACK\0\0\0\2\0\0\0\1")),
        (PackFault.BAD_KIND, stream(header=b"PACK\0\0\0\2\0\0\0\3")),
        (PackFault.BAD_MAGIC, stream(header=b"PACK\0\0\0\3\0\0\0\3")),
        (PackFault.BAD_KIND, stream(name_header=b"\x14")),
        (PackFault.BAD_KIND, stream(blob_header=b"\x24")),
        (PackFault.TOO_LARGE, stream(blob_header=b"\xb4" + b"\xff" * 9 + b"\x01")),
        (PackFault.TOO_LARGE, stream(blob_header=b"\xb4" + b"\x80" * 10 + b"\x00")),
        (PackFault.LONG_NAME, stream(name_header=b"\xcf\x40")),
        (PackFault.BAD_ZLIB, stream(name_header=b"\x43")),
        (PackFault.BAD_ZLIB, stream(name_header=b"\x45")),
        (PackFault.BAD_ZLIB, stream(blob_header=b"\x33")),
        (PackFault.BAD_ZLIB, stream(blob_header=b"\x35")),
        (PackFault.BAD_ZLIB, stream(blob_header=b"\x30")),
        (PackFault.BAD_ZLIB, stream(blob=b"\x78\x9c\xff")),
        (PackFault.BAD_ZLIB, stream(blob=zlib.compress(b"data")[:-1] + b"\0")),
        (PackFault.BAD_CHECKSUM, stream(trailer=bytes(20))),
        (PackFault.BAD_NAME, stream(name=b"..")),
        (PackFault.TRAILING, stream() + b"\0"),
    ],
)
def test_faults_are_told_apart(fault: PackFault, bad: bytes) -> None:
    assert fault_of([bad]) is fault
    assert fault_of(cuts(bad, range(len(bad)))) is fault


def test_padded_sizes_are_accepted() -> None:
    for padding in (2, 8):  # the longest has ten bytes
        assert read([stream(blob_header=b"\xb4" + b"\x80" * padding + b"\x00")])[1] == b"data"


def test_a_fault_stays() -> None:
    reader = PackReader(max_size=LIMIT)
    for data in (stream(trailer=bytes(20)), stream(), b""):
        with pytest.raises(PackError, match="bad_checksum"):
            list(reader.feed(data))
    with pytest.raises(PackError, match="bad_checksum"):
        reader.close()


def test_bytes_behind_the_checksum_are_told_whether_or_not_anybody_looked() -> None:
    reader = PackReader(max_size=LIMIT)
    for event in reader.feed(stream() + b"more"):
        if isinstance(event, FileVerified):
            break
    for _ in range(2):
        with pytest.raises(PackError, match="trailing"):
            reader.close()
    with pytest.raises(PackError, match="trailing"):
        next(reader.feed(b""))


def test_limits_are_the_receivers() -> None:
    assert read([stream(b"data", name=b"name")], max_size=4, max_name=4)[1] == b"data"
    assert fault_of([stream(b"data!")], max_size=4) is PackFault.TOO_LARGE
    assert fault_of([stream(name=b"names")], max_name=4) is PackFault.LONG_NAME


# -- bombs


def test_a_bomb_is_inflated_as_it_is_taken() -> None:
    size = 20_000_000
    header, *rest = written(bytes(size), level=9)
    bomb = b"".join(rest)
    assert len(bomb) < size // 900
    reader = PackReader(max_size=size)
    list(reader.feed(header))
    tracemalloc.start()
    taken = sum(len(event.data) for event in reader.feed(bomb) if isinstance(event, FileData))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken == size
    assert peak < 10 * MAX_EVENT
    reader.close()


def test_a_lie_about_the_size_ends_at_the_size() -> None:
    reader = PackReader(max_size=LIMIT)
    events = reader.feed(stream(blob_header=b"\xb4\x7f", blob=zlib.compress(bytes(50_000_000))))
    assert next(events) == FileAnnounced("name", 0x7F << 4 | 4)
    with pytest.raises(PackError, match="bad_zlib"):
        next(events)


def test_events_that_are_not_taken_wait() -> None:
    reader = PackReader(max_size=LIMIT)
    pieces = written(NOISE)
    for piece in pieces[:-1]:
        reader.feed(piece)
    events = list(reader.feed(pieces[-1]))
    assert isinstance(events[-1], FileVerified)
    assert b"".join(event.data for event in events if isinstance(event, FileData)) == NOISE


# -- names


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"x", "x"),
        (b"two-lines.txt", "two-lines.txt"),
        (b"../../etc/passwd", "passwd"),
        (b"/etc/passwd", "passwd"),
        (b"..\\..\\boot.ini", "..\\..\\boot.ini"),
        (b"C:\\Users\\me\\file", "C:\\Users\\me\\file"),
        (b"a/b\\c", "b\\c"),
        (b"a\\.", "a\\."),
        (b"...", "..."),
        (b".. ", ".. "),
        (b"name.", "name."),
        (b"nul", "nul"),
        (b"aux .tar.gz", "aux .tar.gz"),
        (b"Shot 19:20:29.png", "Shot 19:20:29.png"),
        (b"a\xe2\x80\xa8b", "a\u2028b"),
        (b"txt.\xe2\x80\xaeexe", "txt.\u202eexe"),
        (b".profile", ".profile"),
        (b"...a", "...a"),
        (b"console.log", "console.log"),
        (b"com.txt", "com.txt"),
        (b"\xc3\xa9t\xc3\xa9 \xe2\x98\x80.txt", "\u00e9t\u00e9 \u2600.txt"),
        (b"n" * 1024, "n" * 1024),
    ],
)
def test_a_name_is_the_last_component(raw: bytes, name: str) -> None:
    assert safe_name(raw) == name


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        *((raw, PackFault.BAD_NAME) for raw in (b"", b"/", b"a/", b".", b"..", b"a/..", b"a\0b", b"a\nb", b"\x1b[2J")),
        *((raw, PackFault.BAD_NAME) for raw in (b"a\x7f", b"a\xc2\x85b", b"\xff\xfe", b"\xed\xa0\x80")),
        (b"n" * 1025, PackFault.LONG_NAME),
        (b"\xc3\xa9" * 513, PackFault.LONG_NAME),
    ],
)
def test_a_name_that_no_file_has_is_refused(raw: bytes, fault: PackFault) -> None:
    with pytest.raises(PackError) as caught:
        safe_name(raw)
    assert caught.value.fault is fault
    with pytest.raises(PackError):
        PackWriter(raw.decode(errors="surrogateescape"), 0)


@given(raw=st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode(errors="replace")))
def test_a_safe_name_is_one_component_and_stays_the_same(raw: bytes) -> None:
    try:
        name = safe_name(raw)
    except PackError:
        return
    assert not set(name) & {"/", "\0", "\n"}
    assert name not in {"", ".", ".."}
    assert safe_name(name.encode()) == name
    assert raw.decode().endswith(name)


# -- input without output


def _stuffed(empty_blocks: int, *, size: int = 4) -> bytes:
    """Contents of four bytes behind so many blocks that hold nothing."""
    blob = (
        b"\x78\x01"
        + b"\0\0\0\xff\xff" * empty_blocks
        + b"\1\4\0\xfb\xffdata"
        + zlib.adler32(b"data").to_bytes(4, "big")
    )
    return stream(blob_header=bytes([0x30 | size]), blob=blob)


@pytest.mark.unmeasured
@pytest.mark.parametrize("step", [1, 4096, 65_536, 1 << 30])
def test_deflated_data_that_inflates_to_nothing_ends(step: int) -> None:
    assert read([_stuffed(1000)])[1] == b"data"
    endless = _stuffed(60_000)
    reader, fed = PackReader(max_size=LIMIT), []

    def feed() -> None:
        for start in range(0, len(endless), step):
            fed.append(step)
            list(reader.feed(endless[start : start + step]))

    with pytest.raises(PackError, match="bad_zlib"):
        feed()
    assert step > len(endless) or sum(fed) < 4 * MAX_EVENT


def test_so_does_a_stream_of_unknown_size() -> None:
    reader = PackReader(max_size=LIMIT)
    reader.ignore_size()
    with pytest.raises(PackError, match="bad_zlib"):
        list(reader.feed(_stuffed(60_000, size=0)))


def test_each_16_bytes_of_deflated_data_give_one_of_contents() -> None:
    """Beyond the first 65,536: with 21 bytes for one, these end in the fifth look at them."""
    contents = b"x" * 16_500
    header = bytes([0xB0 | len(contents) & 15, 0x80 | len(contents) >> 4 & 0x7F, len(contents) >> 11])

    def thinned(empty_blocks: int) -> bytes:
        part = b"\0\0\0\xff\xff" * empty_blocks + b"\0\1\0\xfe\xffx"
        end = b"\1\0\0\xff\xff" + zlib.adler32(contents).to_bytes(4, "big")
        return stream(blob_header=header, blob=b"\x78\x01" + part * len(contents) + end)

    assert read([thinned(2)])[1] == contents
    assert fault_of([thinned(3)]) is PackFault.BAD_ZLIB


@pytest.mark.parametrize("level", [0, 4])
def test_a_stream_whose_size_nobody_knew(level: int) -> None:
    writer = PackWriter("a", None, level=level)
    records = [*writer.start(), *writer.write(NOISE), *writer.write(b"more"), *writer.finish()]
    reader = PackReader(max_size=len(NOISE) + 4)
    reader.ignore_size()
    events = [event for record in records for event in reader.feed(record)]
    reader.close()
    assert events[0] == FileAnnounced("a", None)
    assert b"".join(event.data for event in events if isinstance(event, FileData)) == NOISE + b"more"
    assert fault_of(records) is PackFault.BAD_ZLIB
    reader = PackReader(max_size=len(NOISE) + 3)
    reader.ignore_size()
    with pytest.raises(PackError, match="too_large"):
        _ = [event for record in records for event in reader.feed(record)]


@pytest.mark.parametrize("level", [0, 4])
def test_what_waits_can_be_sent_before_the_record_is_full(level: int) -> None:
    writer, reader, found = PackWriter("a", None, level=level), PackReader(max_size=100), b""
    reader.ignore_size()
    records = writer.start()
    for piece in (b"one", b"two"):
        records += [*writer.write(piece), *writer.flush()]
        assert writer.flush() == []
        found += b"".join(e.data for record in records for e in reader.feed(record) if isinstance(e, FileData))
        assert found.endswith(piece)
        records = []
    for record in writer.finish():
        list(reader.feed(record))
    reader.close()
    assert found == b"onetwo"


def test_who_flushes_behind_each_byte_is_not_taken_for_one_who_sends_nothing() -> None:
    writer, reader = PackWriter("a", None), PackReader(max_size=100_000)
    reader.ignore_size()
    records = writer.start()
    for _ in range(30_000):
        records += [*writer.write(b"x"), *writer.flush()]
    for record in [*records, *writer.finish()]:
        list(reader.feed(record))
    reader.close()
    assert sum(map(len, records)) > 3 * MAX_EVENT
