"""A file in the records of a channel, and its receipt: what two ends of ours tell each other beyond the reference.

Both codecs take and give whole records, one ``DataReceived`` and one ``send`` each. Like those of
:mod:`sansproto.bob.pack` they hold hash objects, so they are no part of a session's snapshot.
docs/protocols/bob.rst, typed records.
"""

from __future__ import annotations

import hmac
import json
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, TypeAlias, assert_never

import attrs

from ..errors import Fault, SansprotoError, WireError
from .crypto import MAX_PLAINTEXT
from .pack import MAX_NAME, FileData, FileVerified, PackEvent, PackReader, PackWriter
from .packets import (
    MAX_ERROR,
    SENT_FRAME,
    Receipt,
    ReceiptRecord,
    SentData,
    SentEnd,
    SentError,
    SentMetadata,
    encode_sent,
    json_object,
)

MAX_METADATA: Final = 64
"""Records of metadata in one transfer: more are a ``BAD_RECORD``."""

_PLAIN = b"P"  # a PACK begins with it, and no typed record does


class TransferFault(Enum):
    """Why records are not a transfer, whatever the file in them: a closed set."""

    UNKNOWN_TYPE = "unknown_type"
    """A record of a type that is not declared."""
    BAD_RECORD = "bad_record"
    """A record of a type that is, but malformed or too long."""
    EARLY_END = "early_end"
    """The sender said that this is the end before the file was complete."""
    AFTER_END = "after_end"
    """A record behind the end or behind an error."""
    NO_END = "no_end"
    """The file is complete, but the sender did not say that this is the end."""


class TransferError(SansprotoError, ValueError):
    """Records that are not a transfer; ``fault`` says why."""

    def __init__(self, fault: TransferFault) -> None:
        self.fault = fault
        super().__init__(fault.value)


@attrs.frozen
class MetadataReceived:
    """Metadata of the sender: the text of a JSON object, 2..4,096 bytes of UTF-8."""

    fields: str
    """JSON text."""

    @property
    def members(self) -> dict[str, Any]:
        """The members of the object; their values may be anything. docs/protocols/bob.rst, metadata."""
        return json_object(self.fields)


@attrs.frozen
class SenderFailed:
    """The sender gave up, and says why, in up to 1,024 bytes of UTF-8: the text of a stranger. Nothing more follows."""

    text: str
    """For people; not to be trusted."""


TransferEvent: TypeAlias = PackEvent | MetadataReceived | SenderFailed


class TransferWriter:
    """A :class:`PackWriter` for either kind of receiver, against which a receipt can be held.

    ``typed`` if the receiver said ``receiving`` before the first record was sent; else the records are those of the
    reference. ``name``, ``size`` and ``level`` are those of a :class:`PackWriter`; only a typed transfer may be of
    unknown size (ValueError). ``about`` is the metadata of a typed one (docs/protocols/bob.rst, metadata).
    """

    def __init__(
        self,
        name: str | bytes,
        size: int | None,
        *,
        typed: bool,
        level: int = 4,
        about: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        if size is None and not typed:
            raise ValueError("the reference has to know the size")
        self._pack = PackWriter(name, size, level=level, record=MAX_PLAINTEXT - typed)
        self._typed = typed
        self._about = {**about, **({"stream": True} if size is None else {})}
        self._sha256 = sha256()
        self._finished = False

    def start(self) -> list[bytes]:
        """The records before the contents. Call once, first."""
        about = [encode_sent(SentMetadata(json.dumps(self._about)))] if self._typed and self._about else []
        return about + self._framed(self._pack.start())

    def write(self, data: bytes | memoryview) -> list[bytes]:
        """The records that the next bytes of the file fill. Raises as :meth:`PackWriter.write`."""
        records = self._pack.write(data)
        self._sha256.update(data)
        return self._framed(records)

    def flush(self) -> list[bytes]:
        """The records of what waits to fill one, for who has nothing more to write at the moment."""
        return self._framed(self._pack.flush())

    def finish(self) -> list[bytes]:
        """The last records. Call once, and not for a file that changed. Raises as :meth:`PackWriter.finish`."""
        records = self._framed(self._pack.finish())
        self._finished = True
        return [*records, encode_sent(SentEnd())] if self._typed else records

    def fail(self, text: str) -> list[bytes]:
        """Instead of the rest: the record that says why, cut to 1,024 bytes. To the reference nothing can be said."""
        if not self._typed:
            return []
        raw = text.encode(errors="replace")[:MAX_ERROR]
        return [encode_sent(SentError(raw.decode(errors="ignore")))]

    def is_confirmed_by(self, receipt: ReceiptRecord) -> bool:
        """Is it a receipt for exactly what was written, and was that all of it?"""
        return self._finished and hmac.compare_digest(receipt.sha256, self._sha256.digest())

    def _framed(self, records: list[bytes]) -> list[bytes]:
        return [encode_sent(SentData(record)) for record in records] if self._typed else records


class TransferReader:
    """Turns the records of a sender into a file, whether they are typed or those of the reference.

    The limits are those of a :class:`PackReader`. What is typed is complete, and gives :class:`FileVerified`, only when
    the sender has said that this is the end. ``is_typed`` is None before the first record.
    """

    def __init__(self, *, max_size: int, max_name: int = MAX_NAME) -> None:
        self._pack = PackReader(max_size=max_size, max_name=max_name)
        self._sha256 = sha256()
        self.is_typed: bool | None = None
        self._metadata = 0  # how often there was some
        self._parts: Iterator[PackEvent] = iter(())
        self._waiting = deque[TransferEvent]()
        self._over = self._ended = False  # nothing may follow; it is the good end
        self._verified: FileVerified | None = None  # not told before the end
        self._complete = False
        self._fault: TransferFault | None = None

    def feed(self, record: bytes) -> Iterator[TransferEvent]:
        """The events that one record gives: take all of them before the next one is fed.

        Taking them may raise :class:`PackError` or :class:`TransferError`, from then on always the same.
        """
        if self.is_typed is None:
            self.is_typed = not record.startswith(_PLAIN)
        if not self.is_typed:
            self._parts = self._pack.feed(record)
        elif self._fault is None:
            self._understand(record)
        return iter(self._next, None)

    def receipt(self, name: str = "") -> bytes:
        """The record that confirms the file to the sender, with the name under which it is kept, if that is told.

        Raises :class:`TransferError` unless the file is complete.
        """
        if self._fault is not None or not self._complete:
            raise TransferError(self._fault or TransferFault.NO_END)
        fields = {"sha256": self._sha256.hexdigest(), **({"name": name} if name else {})}
        return ReceiptRecord(Receipt.VERIFIED, json.dumps(fields)).encode()

    def close(self) -> None:
        """The channel is over. Raises unless the file is complete, and nothing came behind it."""
        if self._fault is not None:
            raise TransferError(self._fault)
        self._pack.close()
        if not self._complete:
            raise TransferError(TransferFault.NO_END)

    def _understand(self, record: bytes) -> None:
        if self._over:
            self._fault = TransferFault.AFTER_END
            return
        try:
            _, sent = SENT_FRAME.decode(record)
        except WireError as error:
            is_unknown = error.fault is Fault.BAD_TYPE
            self._fault = TransferFault.UNKNOWN_TYPE if is_unknown else TransferFault.BAD_RECORD
            return
        match sent:
            case SentData(data):
                self._parts = self._pack.feed(data)
            case SentMetadata(fields):
                self._metadata += 1
                self._fault = TransferFault.BAD_RECORD if self._metadata > MAX_METADATA else None
                if self._metadata == 1 and json_object(fields).get("stream") is True:
                    self._pack.ignore_size()
                self._waiting.append(MetadataReceived(fields))
            case SentError(text):
                self._over = True
                self._waiting.append(SenderFailed(text))
            case SentEnd():
                self._over = self._ended = True
            case _:
                assert_never(sent)

    def _next(self) -> TransferEvent | None:
        for event in self._parts:
            match event:
                case FileData(data):
                    self._sha256.update(data)
                case FileVerified() if self.is_typed:
                    self._verified = event
                    continue
                case FileVerified():
                    self._complete = True
            return event
        if self._waiting:
            return self._waiting.popleft()
        if self._ended and self._verified is None:
            self._fault = TransferFault.EARLY_END
        if self._fault is not None:
            raise TransferError(self._fault)
        if self._ended and not self._complete:
            self._complete = True
            return self._verified
        return None
