"""QDataStream of the real Qt and ours: every type, whole packets, and what a reader makes of bytes that are damaged.

These run where PySide6 can be imported: ``pip install sansproto[interop]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Any, Final

import attrs
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from sansproto.errors import Fault, WireError
from sansproto.overte import qt
from sansproto.overte.packets import CheckIn, DomainConnectRequest, DomainList, NodeRecord
from sansproto.overte.qt import SockAddr
from sansproto.testing._internal.lenient_overte import read_leniently
from sansproto.testing._internal.qt_compression import deflate, inflate
from sansproto.wire import ABSENT, BOOL, U8, U16BE, U32BE, U64BE, Codec, Packet, Trailing

pytestmark = pytest.mark.interop

# Without shrinking, which takes minutes for a packet.
MANY = settings(max_examples=2000, phases=[Phase.generate])
FEWER = settings(MANY, max_examples=1000)
Values = st.SearchStrategy[Any]


class Qt:
    """The real one, as far as it is needed here."""

    def __init__(self) -> None:
        from PySide6 import QtCore, QtNetwork

        self.core, self.network = QtCore, QtNetwork
        self.protocols = QtNetwork.QAbstractSocket.NetworkLayerProtocol

    def source(self, data: bytes) -> Any:
        return self._versioned(self.core.QDataStream(self.core.QByteArray(data)))

    def written(self, write: Callable[[Any], object]) -> bytes:
        data = self.core.QByteArray()
        write(self._versioned(self.core.QDataStream(data, self.core.QIODevice.OpenModeFlag.WriteOnly)))
        return bytes(data.data())

    def is_fine(self, source: Any) -> bool:
        return bool(source.status() == self.core.QDataStream.Status.Ok)

    def is_done(self, source: Any) -> bool:
        """Whether everything was read, and nothing over the end."""
        return self.is_fine(source) and source.atEnd()

    def _versioned(self, stream: Any) -> Any:
        stream.setVersion(self.core.QDataStream.Version.Qt_5_15)
        return stream


@pytest.fixture(scope="module")
def real() -> Qt:
    try:
        return Qt()
    except ImportError as error:
        pytest.skip(f"PySide6 cannot be imported: {error}")


# -- the types: ours, what values there are, and how Qt writes and reads them ------------------------------------------


def _as_shown(value: Any) -> Any:
    """PySide6 hands out null strings as empty ones, and leaves out lone surrogates."""
    if isinstance(value, SockAddr):
        return attrs.evolve(value, scope=_as_shown(value.scope))
    return re.sub("[\ud800-\udfff]", "", value or "")


def _copied(real: Qt, data: bytes) -> bytes:
    """What Qt writes for the string that it read. So that it stays in Qt, it is the scope of an address."""
    front, host = bytes((1, *bytes(16))), real.network.QHostAddress()
    real.source(front + data) >> host
    return real.written(lambda sink: sink << host).removeprefix(front)


def _write_array(real: Qt, sink: Any, value: bytes | None) -> None:
    sink << (real.core.QByteArray() if value is None else real.core.QByteArray(value))


def _read_array(real: Qt, source: Any) -> bytes | None:
    array = real.core.QByteArray()
    source >> array
    return None if array.isNull() else bytes(array.data())


def _write_bytes(real: Qt, sink: Any, value: bytes) -> None:
    sink.writeBytes(value)


def _read_bytes(real: Qt, source: Any) -> bytes:
    return source.readBytes(qt.MAX_BYTES) or b""


def _write_uuid(real: Qt, sink: Any, value: bytes) -> None:
    sink << real.core.QUuid.fromRfc4122(value)


def _read_uuid(real: Qt, source: Any) -> bytes:
    uuid = real.core.QUuid()
    source >> uuid
    return bytes(uuid.toRfc4122().data())


def _write_list(real: Qt, sink: Any, value: bytes) -> None:
    sink.writeUInt32(len(value))
    for item in value:
        sink.writeUInt8(item)


def _read_list(real: Qt, source: Any) -> bytes:
    """PySide6 has no QList of numbers. Qt's has all of its items or, if the stream ends before, none."""
    count = source.readUInt32()
    items = source.readRawData(min(count, 10_000))
    return items if len(items) == count else b""


def _write_socket(real: Qt, sink: Any, value: SockAddr) -> None:
    host = real.network.QHostAddress(value.host)
    if value.host == "*":
        host = real.network.QHostAddress(real.network.QHostAddress.SpecialAddress.Any)
    if value.scope is not None:
        host.setScopeId(value.scope)
    sink << host
    sink.writeUInt16(value.port)


def _read_socket(real: Qt, source: Any) -> SockAddr:
    host = real.network.QHostAddress()
    source >> host
    return SockAddr(_host(real, host), source.readUInt16(), host.scopeId())


def _host(real: Qt, address: Any) -> str:
    match address.protocol():
        case real.protocols.AnyIPProtocol:
            return "*"
        case real.protocols.IPv4Protocol:
            return str(address.toString())
        case real.protocols.IPv6Protocol:
            bare = real.network.QHostAddress(address)
            bare.setScopeId("")
            return _v6(IPv6Address(bare.toString()))
    return ""


def _v6(address: Any) -> str:
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


def _write_typed_socket(real: Qt, sink: Any, value: SockAddr) -> None:
    sink.writeUInt8(value.kind)
    _write_socket(real, sink, value)


def _read_typed_socket(real: Qt, source: Any) -> SockAddr:
    kind = source.readUInt8()
    return attrs.evolve(_read_socket(real, source), kind=kind)


UNITS = st.sampled_from([0x00, 0x41, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xFEFF, 0xFFFE]) | st.integers(0, 0xFFFF)
ANY_STRINGS: Final[Values] = st.none() | st.one_of(
    st.text(max_size=60),
    st.lists(UNITS, max_size=40).map(
        lambda units: b"".join(unit.to_bytes(2, "big") for unit in units).decode("utf-16-be", "surrogatepass")
    ),
)
# On its way into Qt PySide6 takes what looks like a byte order mark for one.
STRINGS = ANY_STRINGS.filter(lambda text: not (text or "").startswith(("\ufeff", "\ufffe")))
BLOBS: Final[Values] = st.binary(max_size=80) | st.sampled_from([bytes(qt.MAX_BYTES), b"\xff" * 1000])
ARRAYS: Final[Values] = st.none() | BLOBS
UUIDS: Final[Values] = st.binary(min_size=16, max_size=16) | st.just(qt.NULL_UUID)
PORTS = st.integers(0, 0xFFFF)
WITHOUT_SCOPE = st.sampled_from(["", "*", "0.0.0.0", "127.0.0.1"]) | st.ip_addresses(v=4).map(str)
WITH_SCOPE = st.one_of(
    st.ip_addresses(v=6).map(_v6),
    st.ip_addresses(v=4).map("::ffff:{}".format),
    st.sampled_from(["::", "::1", "fe80::1"]),
)
SOCKETS: Final[Values] = st.one_of(
    st.builds(SockAddr, WITHOUT_SCOPE, PORTS),
    st.builds(SockAddr, WITH_SCOPE, PORTS, st.none() | st.just("eth0") | STRINGS),
)
TYPED_SOCKETS: Final[Values] = st.builds(
    lambda socket, kind: attrs.evolve(socket, kind=kind), SOCKETS, st.integers(0, 2) | st.integers(0, 0xFF)
)


@attrs.frozen
class Type:
    codec: Codec[Any]
    values: Values
    write: Callable[[Qt, Any, Any], object]
    read: Callable[[Qt, Any], Any]
    shown: Callable[[Any], Any] = lambda value: value


def _plain(codec: Codec[Any], values: Values, name: str, shown: Callable[[Any], Any] = lambda value: value) -> Type:
    """A type for which the stream itself has a method to write and one to read."""

    def write(real: Qt, sink: Any, value: Any) -> None:
        getattr(sink, f"write{name}")(value)

    def read(real: Qt, source: Any) -> Any:
        return getattr(source, f"read{name}")()

    return Type(codec, values, write, read, shown)


TYPES = {
    "bool": _plain(BOOL, st.booleans(), "Bool"),
    "u8": _plain(U8, st.integers(0, 0xFF), "UInt8"),
    "u16": _plain(U16BE, PORTS, "UInt16"),
    "u32": _plain(U32BE, st.integers(0, (1 << 32) - 1), "UInt32"),
    "u64": _plain(U64BE, st.integers(0, (1 << 64) - 1), "UInt64"),
    "string": _plain(qt.QSTRING, STRINGS, "QString", _as_shown),
    "array": Type(qt.QBYTEARRAY, ARRAYS, _write_array, _read_array),
    "bytes": Type(qt.WRITE_BYTES, BLOBS, _write_bytes, _read_bytes),
    "list": Type(qt.U8_LIST, BLOBS, _write_list, _read_list),
    "uuid": Type(qt.UUID, UUIDS, _write_uuid, _read_uuid),
    "socket": Type(qt.SOCK_ADDR, SOCKETS, _write_socket, _read_socket, _as_shown),
    "typed socket": Type(qt.TYPED_SOCK_ADDR, TYPED_SOCKETS, _write_typed_socket, _read_typed_socket, _as_shown),
}


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_both_write_the_same_bytes_and_read_what_the_other_wrote(real: Qt, kind: Type) -> None:
    @MANY
    @given(kind.values)
    def agree(value: Any) -> None:
        data = kind.codec.encode(value)
        assert real.written(lambda sink: kind.write(real, sink, value)) == data
        assert kind.codec.decode(data) == value
        source = real.source(data)
        assert kind.read(real, source) == kind.shown(value)
        assert real.is_done(source)

    agree()


@MANY
@given(ANY_STRINGS)
def test_qt_reads_and_writes_every_string_unchanged(real: Qt, value: str | None) -> None:
    data = qt.QSTRING.encode(value)
    assert _copied(real, data) == data


@MANY
@given(BLOBS | st.builds(bytes.__mul__, st.binary(max_size=8), st.integers(0, 2000)), st.integers(-1, 9))
def test_each_inflates_what_the_other_compressed(real: Qt, content: bytes, level: int) -> None:
    theirs = bytes(real.core.qCompress(real.core.QByteArray(content), compressionLevel=level).data())
    assert inflate(theirs, len(content)) == content
    assert bytes(real.core.qUncompress(real.core.QByteArray(deflate(content))).data()) == content
    if not content:
        assert theirs == deflate(content)


# -- packets: their fields once more, in the words of Qt ---------------------------------------------------------------

LAYOUTS: Final[dict[type[Packet], dict[str, Any]]] = {
    CheckIn: {
        "client_clock": "u64",
        "node_type": "u8",
        "public_socket": "typed socket",
        "local_socket": "typed socket",
        "interests": "list",
        "place_name": "string",
    },
    DomainConnectRequest: {
        "connect_id": "uuid",
        "protocol_signature": "bytes",
        "hardware_address": "string",
        "machine_fingerprint": "uuid",
        "system_info": "array",
        "reason": "u32",
        "previous_uptime": "u64",
        "check_in": CheckIn,
        "username": "string",
        "username_signature": "array",
        "domain_username": "string",
        "domain_tokens": "string",
    },
    NodeRecord: {
        "type": "u8",
        "id": "uuid",
        "public_socket": "typed socket",
        "local_socket": "typed socket",
        "permissions": "u32",
        "replicated": "bool",
        "local_id": "u16",
        "secret": "uuid",
    },
    DomainList: {
        "domain_id": "uuid",
        "domain_local_id": "u16",
        "session_id": "uuid",
        "local_id": "u16",
        "permissions": "u32",
        "authenticated": "bool",
        "client_clock": "u64",
        "server_clock": "u64",
        "processing_time": "u64",
        "new_connection": "bool",
        "nodes": [NodeRecord],
    },
}
OPTIONAL = {
    kind: [field.name for field in kind.__wire__.fields if isinstance(field.codec, Trailing)] for kind in LAYOUTS
}


def _packets(kind: type[Packet]) -> Values:
    def build(values: dict[str, Any], present: int) -> Packet:
        return kind(**{**values, **dict.fromkeys(OPTIONAL[kind][present:], ABSENT)})

    fields = {name: _values(what) for name, what in LAYOUTS[kind].items()}
    return st.builds(build, st.fixed_dictionaries(fields), st.integers(0, len(OPTIONAL[kind])))


def _values(what: Any) -> Values:
    match what:
        case str():
            return TYPES[what].values
        case [inner]:
            return st.lists(_packets(inner), max_size=3).map(tuple)
    return _packets(what)


def _write(real: Qt, sink: Any, what: Any, value: Any) -> None:
    match what:
        case str():
            TYPES[what].write(real, sink, value)
        case [inner]:
            for item in value:
                _write(real, sink, inner, item)
        case _:
            for name, inner in LAYOUTS[what].items():
                if getattr(value, name) is not ABSENT:
                    _write(real, sink, inner, getattr(value, name))


def _read(real: Qt, source: Any, what: Any) -> Any:
    match what:
        case str():
            return TYPES[what].read(real, source)
        case [inner]:
            return tuple(iter(lambda: None if source.atEnd() else _read(real, source, inner), None))
    values: dict[str, Any] = {}
    for name, inner in LAYOUTS[what].items():
        gone = name in OPTIONAL[what] and source.atEnd()
        values[name] = ABSENT if gone else _read(real, source, inner)
    return what(**values)


def _shown(what: Any, value: Any) -> Any:
    match what:
        case str():
            return value if value is ABSENT else TYPES[what].shown(value)
        case [inner]:
            return tuple(_shown(inner, item) for item in value)
    return what(**{name: _shown(inner, getattr(value, name)) for name, inner in LAYOUTS[what].items()})


@pytest.mark.parametrize("kind", [DomainConnectRequest, DomainList])
def test_packets_are_what_qt_writes_field_by_field(real: Qt, kind: type[Packet]) -> None:
    @FEWER
    @given(_packets(kind))
    def agree(packet: Packet) -> None:
        data = packet.encode()
        assert real.written(lambda sink: _write(real, sink, kind, packet)) == data
        assert kind.decode(data) == packet
        source = real.source(data)
        assert _read(real, source, kind) == _shown(kind, packet)
        assert real.is_done(source)

    agree()


# -- damaged -----------------------------------------------------------------------------------------------------------


@MANY
@given(st.binary(max_size=20).filter(lambda content: len(content) % 2), PORTS)
def test_a_string_of_odd_length_is_empty_and_the_stream_goes_on(real: Qt, content: bytes, number: int) -> None:
    data = len(content).to_bytes(4, "big") + number.to_bytes(2, "big") + content
    source = real.source(data)
    assert source.readQString() == ""
    assert source.status() == real.core.QDataStream.Status.ReadCorruptData
    assert source.readUInt16() == number
    with pytest.raises(WireError) as caught:
        qt.QSTRING.decode(data)
    assert caught.value.fault is Fault.BAD_ENCODING


@pytest.mark.parametrize("kind", [DomainConnectRequest, DomainList])
def test_damaged_packets_are_read_as_qt_reads_them(real: Qt, kind: type[Packet]) -> None:
    """Qt reads on whatever happened, and so does :func:`read_leniently`."""

    @FEWER
    @given(_packets(kind), st.data())
    def agree(packet: Packet, choice: st.DataObject) -> None:
        data = packet.encode()
        start, end = sorted((choice.draw(st.integers(0, len(data))), choice.draw(st.integers(0, len(data)))))
        data = choice.draw(st.sampled_from([data[:start], data[:start] + choice.draw(BLOBS) + data[end:]]))
        source = real.source(data)
        theirs = _read(real, source, kind)
        # A length of 2^32 - 1 where there is no null is one that only Qt 6 looks at.
        assume(source.status() != real.core.QDataStream.Status.SizeLimitExceeded)
        assert _without_null(theirs) == _without_null(_shown(kind, read_leniently(kind, data)))

    agree()


def _without_null(value: Any) -> Any:
    """Whatever breaks off is null to Qt, and empty to us."""
    arrays = [name for name, what in LAYOUTS[type(value)].items() if what == "array"]
    return attrs.evolve(value, **{name: getattr(value, name) or None for name in arrays})
