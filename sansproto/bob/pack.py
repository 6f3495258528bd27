"""One named file as a byte stream, both ways: a git PACK of a tag (the name) and a blob (the contents).

Both codecs work in constant memory, whatever the size of the file. They hold deflate and hash objects, so they are no
part of a session's snapshot: what drives a session uses them beside it.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Generator, Iterator
from enum import Enum
from hashlib import sha1
from typing import Final, Protocol, TypeAlias

import attrs

from ..errors import SansprotoError
from .crypto import MAX_PLAINTEXT

MAX_NAME: Final = 1024
"""The longest file name, in bytes of UTF-8: more than any system stores, and little enough for the reference."""

MAX_EVENT: Final = 65_536
"""The most contents in one :class:`FileData`, in bytes."""

_MAGIC = b"PACK" + (2).to_bytes(4, "big") + (2).to_bytes(4, "big")  # version 2, two objects
_COUNT = 8  # where the number of objects stands
_TAG, _BLOB = 4, 3
_MAX_SHIFT = 60  # a size is less than 2**67; zero padding is accepted up to there
_TRAILER = 20

_LEAST_OUTPUT = 16  # bytes of deflated data for one of contents: who flushes behind each byte needs less

_ZLIB_HEADER = b"\x78\x01"
_STORED_HEADER = 5  # bytes before what a stored block holds


class PackFault(Enum):
    """Why a stream is not one file, or a file not this stream: a closed set."""

    TRUNCATED = "truncated"
    """It ends before its checksum."""
    BAD_MAGIC = "bad_magic"
    """Not a PACK of version 2 with two objects."""
    BAD_KIND = "bad_kind"
    """Not a tag and then a blob: a directory, for one, which is more than two objects."""
    TOO_LARGE = "too_large"
    """Over the limit of the one who receives."""
    SIZE_MISMATCH = "size_mismatch"
    """The file to be written has another size than announced."""
    BAD_ZLIB = "bad_zlib"
    """Not a zlib stream of the announced size, or its Adler-32 differs."""
    BAD_CHECKSUM = "bad_checksum"
    """The SHA-1 at the end differs."""
    BAD_NAME = "bad_name"
    """A name that :func:`safe_name` refuses."""
    LONG_NAME = "long_name"
    """A name of too many bytes."""
    TRAILING = "trailing"
    """Bytes behind the checksum."""


class PackError(SansprotoError, ValueError):
    """A stream that cannot be read or written; ``fault`` says why."""

    def __init__(self, fault: PackFault) -> None:
        self.fault = fault
        super().__init__(fault.value)


@attrs.frozen
class FileAnnounced:
    """The name of a file and its size in bytes, as the sender claims them."""

    name: str
    """The last part of the sender's path, as :func:`safe_name` gives it. It is a stranger's text, and not safe on every
    system."""
    size: int | None
    """The size in bytes; None for a stream, whose size nobody knows before its end."""


@attrs.frozen
class FileData:
    """The next 1..65,536 bytes of the contents. Nothing is verified before :class:`FileVerified`."""

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    """Never empty."""


@attrs.frozen
class FileVerified:
    """The file is complete and undamaged. ``sha1`` is the checksum of the whole stream."""

    sha1: bytes = attrs.field(repr=bytes.hex)
    """The checksum of the whole stream, 20 bytes."""


PackEvent: TypeAlias = FileAnnounced | FileData | FileVerified


def safe_name(raw: bytes) -> str:
    """The part of a path after its last slash: the name as its owner gave it. Not every system can store it.

    Raises :class:`PackError`: ``BAD_NAME`` for what is not UTF-8, is empty, ``.`` or ``..``, or holds control
    characters, ``LONG_NAME`` for more than :data:`MAX_NAME` bytes. A backslash, a colon and the like are ordinary
    characters here. On a system where they are special, the program that stores the file has to look for them.
    """
    try:
        name = raw.rpartition(b"/")[2].decode()
    except UnicodeDecodeError:
        raise PackError(PackFault.BAD_NAME) from None
    if name in ("", ".", "..") or any(unicodedata.category(char) == "Cc" for char in name):
        raise PackError(PackFault.BAD_NAME)
    if len(name.encode()) > MAX_NAME:
        raise PackError(PackFault.LONG_NAME)
    return name


# -- writing -----------------------------------------------------------------------------------------------------------


class PackWriter:
    """Turns a file into the payloads of records, 1..32,767 bytes each, to be sealed one by one.

    The borders matter to the peer: it wants the name in short records of its own, and the checksum alone in the last.
    ``name`` is cut and refused as by :func:`safe_name`. ``level`` is zlib's; 0 stores. ``record`` is the most bytes
    of a payload, 1024 to 32,767: fewer leave room for what goes with each. A ``size`` of None is announced as 0: only
    a reader that was told to ignore it takes that.
    """

    def __init__(self, name: str | bytes, size: int | None, *, level: int = 4, record: int = MAX_PLAINTEXT) -> None:
        if size is not None and size < 0:
            raise ValueError("a size is not negative")
        if not 1024 <= record <= MAX_PLAINTEXT:
            raise ValueError(f"a payload has 1024 to {MAX_PLAINTEXT} bytes")
        raw = name.encode(errors="surrogatepass") if isinstance(name, str) else name
        self._name = safe_name(raw).encode()
        self._size = size
        self._left = size or 0
        self._sha1 = sha1(usedforsecurity=False)
        self._encoder: _Encoder = _Deflated(level, record) if level else _Stored(record)

    def start(self) -> list[bytes]:
        """The four records before the contents. Call once, first.

        The name is always stored: docs/protocols/bob.rst, the file.
        """
        name = zlib.compress(self._name, 0)
        return self._hashed([_MAGIC, _object_header(_TAG, len(self._name)), name, _object_header(_BLOB, self._left)])

    def write(self, data: bytes | memoryview) -> list[bytes]:
        """The records that the next bytes of the file fill; what is left over waits inside.

        Raises :class:`PackError` with ``SIZE_MISMATCH`` if the file is longer than announced.
        """
        if self._size is not None:
            self._left -= len(data)
        if self._left < 0:
            raise PackError(PackFault.SIZE_MISMATCH)
        return self._hashed(self._encoder.encode(data))

    def flush(self) -> list[bytes]:
        """What waits inside, in records that need not be full: for a stream that has nothing more at the moment."""
        return self._hashed(self._encoder.flush())

    def finish(self) -> list[bytes]:
        """The last records; the very last is the checksum. Call once.

        Raises :class:`PackError` with ``SIZE_MISMATCH`` if the file is shorter than announced.
        """
        if self._left:
            raise PackError(PackFault.SIZE_MISMATCH)
        return [*self._hashed(self._encoder.finish()), self._sha1.digest()]

    def _hashed(self, records: list[bytes]) -> list[bytes]:
        for record in records:
            self._sha1.update(record)
        return records


def _object_header(kind: int, size: int) -> bytes:
    header = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        header[-1] |= 0x80
        header.append(size & 0x7F)
        size >>= 7
    return bytes(header)


class _Encoder(Protocol):
    """A zlib stream, cut into records."""

    def encode(self, data: bytes | memoryview) -> list[bytes]: ...

    def flush(self) -> list[bytes]: ...

    def finish(self) -> list[bytes]: ...


class _Deflated:
    def __init__(self, level: int, record: int) -> None:
        self._deflate = zlib.compressobj(level)
        self._record = record
        self._rest = b""
        self._is_flushed = True

    def encode(self, data: bytes | memoryview) -> list[bytes]:
        records = _cut(self._rest + self._deflate.compress(data), self._record)
        self._rest = records.pop() if records else b""
        self._is_flushed = False
        return records

    def flush(self) -> list[bytes]:
        if self._is_flushed:
            return []
        rest, self._rest, self._is_flushed = self._rest, b"", True
        return _cut(rest + self._deflate.flush(zlib.Z_SYNC_FLUSH), self._record)

    def finish(self) -> list[bytes]:
        return _cut(self._rest + self._deflate.flush(), self._record)


class _Stored:
    """The zlib stream of level 0, one block to a record: zlib takes 8 % longer to get there, with more copies."""

    def __init__(self, record: int) -> None:
        self._record = record
        self._block = record - _STORED_HEADER
        self._head = _stored_header(self._block, final=False)
        self._adler = 1
        self._rest = b""
        self._records = [_ZLIB_HEADER]

    def encode(self, data: bytes | memoryview) -> list[bytes]:
        records, self._records = self._records, []
        self._adler = zlib.adler32(data, self._adler)
        view = memoryview(data)
        start, end = 0, self._block - len(self._rest)
        while end <= len(view):
            records.append(b"".join((self._head, self._rest, view[start:end])))
            self._rest = b""
            start, end = end, end + self._block
        self._rest += view[start:]
        return records

    def flush(self) -> list[bytes]:
        records, self._records = self._records, []
        if self._rest:
            records.append(_stored_header(len(self._rest), final=False) + self._rest)
            self._rest = b""
        return records

    def finish(self) -> list[bytes]:
        last = _stored_header(len(self._rest), final=True) + self._rest + self._adler.to_bytes(4, "big")
        return self._records + _cut(last, self._record)


def _stored_header(size: int, *, final: bool) -> bytes:
    return bytes([final]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


# -- reading -----------------------------------------------------------------------------------------------------------


class PackReader:
    """Turns the stream back into a file. It depends on no record border, and believes no size.

    A file is refused when more than ``max_size`` bytes are announced, or as soon as more come than were announced; no
    more than :data:`MAX_EVENT` bytes are ever inflated ahead. Nor does deflated data that inflates to nothing go on for
    ever: beyond the first 65,536 bytes, one of 16 has to come out. The raw name may have ``max_name`` bytes.
    """

    def __init__(self, *, max_size: int, max_name: int = MAX_NAME) -> None:
        self._max_size = max_size
        self._max_name = max_name
        self._input = b""
        self._at = 0
        self._sha1 = sha1(usedforsecurity=False)
        self._sized = True
        self._events = self._parse()
        self._verified = False
        self._fault: PackFault | None = None

    def ignore_size(self) -> None:
        """The sender did not know it, and says 0: the file ends where its deflated data ends. Call before the name."""
        self._sized = False

    def feed(self, data: bytes) -> Iterator[PackEvent]:
        """The events that further bytes of the stream give, inflated as they are taken.

        Events that are not taken are not lost: the next call gives them first. Taking them may raise
        :class:`PackError`, from then on always the same. The same bytes give the same events and the same fault however
        they are cut, except that more :class:`FileData` may come before a fault if the pieces are smaller.
        """
        self._input = self._input[self._at :] + data
        self._at = 0
        return iter(self._next, None)

    def close(self) -> None:
        """The stream is over. Raises :class:`PackError` unless :class:`FileVerified` was taken and was the last."""
        if self._fault is None and self._verified and self._at < len(self._input):
            self._fault = PackFault.TRAILING  # that was fed, and nobody has looked
        if self._fault is not None or not self._verified:
            raise PackError(self._fault or PackFault.TRUNCATED)

    def _next(self) -> PackEvent | None:
        if self._fault is not None:
            raise PackError(self._fault)
        try:
            return next(self._events)
        except PackError as error:
            self._fault = error.fault
            raise

    def _parse(self) -> Generator[PackEvent | None, None, None]:
        magic = yield from self._take(len(_MAGIC))
        if magic != _MAGIC:
            is_of_several = magic[:_COUNT] == _MAGIC[:_COUNT] and magic[_COUNT:] > _MAGIC[_COUNT:]
            raise PackError(PackFault.BAD_KIND if is_of_several else PackFault.BAD_MAGIC)
        size = yield from self._object_size(_TAG, self._max_name, PackFault.LONG_NAME)
        raw_name = b""
        for piece in self._inflate(size):
            if piece is None:
                yield None
            else:
                raw_name += piece
        name = safe_name(raw_name)
        size = yield from self._object_size(_BLOB, self._max_size, PackFault.TOO_LARGE)
        yield FileAnnounced(name, size if self._sized else None)
        for piece in self._inflate(size) if self._sized else self._inflate(self._max_size, exact=False):
            yield None if piece is None else FileData(piece)
        checksum = self._sha1.digest()
        if (yield from self._take(_TRAILER)) != checksum:
            raise PackError(PackFault.BAD_CHECKSUM)
        self._verified = True
        yield FileVerified(checksum)
        while self._at == len(self._input):
            yield None
        raise PackError(PackFault.TRAILING)

    def _take(self, size: int) -> Generator[None, None, bytes]:
        while len(self._input) - self._at < size:
            yield None
        taken = self._input[self._at : self._at + size]
        self._at += size
        self._sha1.update(taken)
        return taken

    def _object_size(self, kind: int, limit: int, too_large: PackFault) -> Generator[None, None, int]:
        byte = (yield from self._take(1))[0]
        if byte >> 4 & 7 != kind:
            raise PackError(PackFault.BAD_KIND)
        size, shift = byte & 15, 4
        while byte & 0x80:
            byte = (yield from self._take(1))[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if shift > _MAX_SHIFT + 7:
                raise PackError(too_large)
        if size > limit:
            raise PackError(too_large)
        return size

    def _inflate(self, size: int, *, exact: bool = True) -> Iterator[bytes | None]:
        inflate = zlib.decompressobj()
        left, used, check = size, 0, MAX_EVENT
        while not inflate.eof:
            # A window of bounded size, as zlib copies what it leaves of its input, each time. It ends where the output
            # is compared with the input: the places must not depend on the borders.
            window = memoryview(self._input)[self._at : self._at + check - used]
            try:
                data = inflate.decompress(window, min(MAX_EVENT, left + 1))
            except zlib.error:
                # One fault with a wrong size: which of the two shows first would depend on the borders.
                raise PackError(PackFault.BAD_ZLIB) from None
            # At the end the rest is in one of the two or in both, depending on what the call before left.
            taken = len(window) - len(inflate.unused_data if inflate.eof else inflate.unconsumed_tail)
            self._sha1.update(window[:taken])
            self._at, used, left = self._at + taken, used + taken, left - len(data)
            if left < 0:
                raise PackError(PackFault.BAD_ZLIB if exact else PackFault.TOO_LARGE)
            if data:
                yield data
            elif used == check:
                if _LEAST_OUTPUT * (size - left) < used - MAX_EVENT:
                    raise PackError(PackFault.BAD_ZLIB)
                check += MAX_EVENT
            elif not window:
                yield None
        if left and exact:
            raise PackError(PackFault.BAD_ZLIB)
