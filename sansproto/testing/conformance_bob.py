"""What this library makes of the vectors of Bob: see :mod:`sansproto.testing.conformance` and vectors/README.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b, sha256
from typing import Any

from nacl import bindings as sodium

from ..bob import (
    Channel,
    Client,
    FileAnnounced,
    FileData,
    PackError,
    PackFault,
    PackReader,
    PeerDelays,
    PeerLimits,
    Relay,
    RelayDelays,
    RelayLimits,
    SenderFailed,
    Server,
    TransferError,
    TransferFault,
    TransferReader,
    crypto,
)
from ..bob import packets as p
from ..bob.events import Violation
from ..contract import Entropy
from ..errors import Fault, LocalProtocolError, WireError
from ..events import CloseCause, Closed, DataReceived
from ..trace import Trace
from ..wire import U16BE, Nested, Packet, TextToEnd
from ._internal.layouts import Data, Layout, described
from ._internal.protocols import tables_of
from .conformance import Answer, Config, Make, settings
from .record import lively, plain
from .vectors import VectorTest

TABLES = tables_of("bob")
CANNOT = frozenset({"other-ciphers", "transcript-identities", "bob.transcript"})


# -- layouts


@described.register
def _(codec: p.CiphertextSize) -> Data:
    return {**described(U16BE), "max": 0x7FFF, "plus": p.TAG_SIZE}


@described.register
def _(codec: p.FieldsToEnd) -> Data:
    return {**described.dispatch(TextToEnd)(codec), "text": "json"}


@described.register
def _(codec: p.ReceiptWord) -> Data:
    return {"kind": "word", "of": p.Receipt.__name__, "before": b" ".hex()}


LAYOUT = Layout(
    modules=(p,),
    types={
        "bob.frame": p.FRAME,
        "bob.public_packet": Nested(p.PublicParameters),
        "bob.secret_packet": Nested(p.SecretPacket),
        "bob.sent_record": p.SENT_FRAME,
        "bob.receipt": Nested(p.ReceiptRecord),
    },
    rules={
        p.PublicParameters: [{"of": ["server_cipher"], "is": "AES_256_GCM", "error": "unsupported"}],
        p.SecretPacket: [{"of": ["public"], "holds": "PublicParameters"}],
        p.RelayFailure: [{"of": ["uid"], "is": 0, "when": {"missing": "AGREEMENT"}, "error": "bad_value"}],
        p.ReceiptRecord: [{"of": ["fields"], "has": "sha256", "when": {"word": "VERIFIED"}, "error": "bad_value"}],
    },
)


# -- packets


def _frame(test: VectorTest) -> Answer:
    wire = test.octets("wire")
    header, payload, end = p.FRAME.decode_prefix(wire)
    return {
        "packet": type(payload).__name__,
        "header": plain(header),
        "fields": plain(payload),
        "rest": wire[end:].hex(),
        "canonical": p.encode(header.uid, payload).hex(),
    }


def _whole(kind: type[Packet]) -> Callable[[VectorTest], Answer]:
    """Decodes and encodes packets of this class, which are whole buffers without a frame."""

    def answer(test: VectorTest) -> Answer:
        packet = kind.decode(test.octets("wire"))
        return {"packet": kind.__name__, "fields": plain(packet), "rest": "", "canonical": packet.encode().hex()}

    return answer


def _sent_record(test: VectorTest) -> Answer:
    header, record = p.SENT_FRAME.decode(test.octets("wire"))
    return {
        "packet": type(record).__name__,
        "header": plain(header),
        "fields": plain(record),
        "rest": "",
        "canonical": p.encode_sent(record).hex(),
    }


# -- a transfer between two of ours

_TRANSFER_ERRORS: Mapping[TransferFault, set[Fault]] = {
    TransferFault.UNKNOWN_TYPE: {Fault.BAD_TYPE},
    TransferFault.BAD_RECORD: {Fault.TRUNCATED, Fault.BAD_LENGTH, Fault.BAD_ENCODING, Fault.BAD_VALUE, Fault.TRAILING},
    TransferFault.EARLY_END: {Fault.TRUNCATED},
    TransferFault.AFTER_END: {Fault.TRAILING},
    TransferFault.NO_END: {Fault.TRUNCATED},
}


def _transfer(test: VectorTest) -> Answer:
    reader = TransferReader(max_size=1 << 20)
    name, contents, said = "", b"", ""
    try:
        for record in _cut(test.octets("wire"), test.body["pieces"]):
            for event in reader.feed(record):
                match event:
                    case FileAnnounced():
                        name = event.name
                    case FileData():
                        contents += event.data
                    case SenderFailed():
                        return {"packet": "SenderFailed", "fields": {"text": event.text}}
        reader.close()
        said = reader.receipt().hex()
    except PackError as error:
        return _nearest(_PACK_ERRORS[error.fault], test)
    except TransferError as error:
        return _nearest(_TRANSFER_ERRORS[error.fault], test)
    return {"packet": "Transfer", "fields": {"name": name, "contents": contents.hex(), "receipt": said}}


def _nearest(faults: set[Fault], test: VectorTest) -> Answer:
    """A reader that distinguishes fewer errors than the vectors gives the expected one, if it is among ``faults``."""
    exact = test.error if test.error in faults else min(faults, key=str)
    return {"error": exact.value if exact else None, "need": test.body.get("need")}


# -- the file stream

_PACK_ERRORS: Mapping[PackFault, set[Fault]] = {
    PackFault.TRUNCATED: {Fault.TRUNCATED},
    PackFault.BAD_MAGIC: {Fault.BAD_VALUE, Fault.UNSUPPORTED},
    PackFault.BAD_KIND: {Fault.BAD_TYPE, Fault.BAD_VALUE},
    PackFault.TOO_LARGE: {Fault.BAD_LENGTH, Fault.BAD_ENCODING},
    PackFault.BAD_ZLIB: {Fault.BAD_LENGTH, Fault.BAD_ENCODING, Fault.BAD_CHECKSUM},
    PackFault.BAD_CHECKSUM: {Fault.BAD_CHECKSUM},
    PackFault.BAD_NAME: {Fault.BAD_VALUE},
    PackFault.LONG_NAME: {Fault.BAD_LENGTH, Fault.BAD_ENCODING},
    PackFault.TRAILING: {Fault.TRAILING},
}
"""Which of several errors a vector has can depend on the sizes of the pieces."""


def _pack(test: VectorTest) -> Answer:
    wire = test.octets("wire")
    pieces = test.body.get("pieces", [len(wire)])
    whole, cut, bytewise = (_read_pack(_cut(wire, sizes)) for sizes in ([len(wire)], pieces, [1] * len(wire)))
    assert whole == cut == bytewise, "the result depends on the borders"
    if isinstance(whole, PackFault):
        return _nearest(_PACK_ERRORS[whole], test)
    return {"packet": "Pack", "fields": whole}


def _cut(wire: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield wire[start : start + size]
        start += size
    assert start == len(wire)


def _read_pack(pieces: Iterable[bytes]) -> dict[str, str] | PackFault:
    reader = PackReader(max_size=1 << 20)
    name, contents = "", b""
    try:
        for piece in pieces:
            for event in reader.feed(piece):
                match event:
                    case FileAnnounced():
                        name = event.name
                    case FileData():
                        contents += event.data
        reader.close()
    except PackError as error:
        return error.fault
    return {"name": name, "contents": contents.hex()}


# -- the password and the key exchange


@contextmanager
def _refusing(fault: Fault) -> Iterator[None]:
    """Turn ValueError and RuntimeError, which tell a caller of its mistake, into the error of a vector."""
    try:
        yield
    except WireError:
        raise
    except (ValueError, RuntimeError):
        raise WireError(fault) from None


def _derived(test: VectorTest) -> bytes:
    with _refusing(Fault.BAD_VALUE):
        return crypto.derive(test.octets("inputs", "password"), test.octets("inputs", "salt"), test["inputs"]["count"])


def _secrets(test: VectorTest) -> tuple[crypto.ClientSecret, crypto.ServerSecret]:
    derived = _derived(test)
    return crypto.ClientSecret.from_derived(derived), crypto.ServerSecret.from_derived(derived)


def _identities(test: VectorTest) -> tuple[bytes, bytes]:
    return test.octets("inputs", "client_identity"), test.octets("inputs", "server_identity")


def _hex(values: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.hex() for name, value in values.items()}


def _pbkdf2(test: VectorTest) -> Answer:
    return {"key": _derived(test)[: test["inputs"]["length"]].hex()}


def _kept(client: crypto.ClientSecret, server: crypto.ServerSecret) -> dict[str, bytes]:
    assert (client.m_point, client.n_point, client.h_k) == (server.m_point, server.n_point, server.h_k)
    return {
        "m_point": client.m_point,
        "n_point": client.n_point,
        "h_k": client.h_k,
        "h_l": client.h_l,
        "l_point": server.l_point,
    }


def _key_material(test: VectorTest) -> Answer:
    inputs = test["inputs"]
    server, client = (p.Cipher[inputs[name]] for name in ("server_cipher", "client_cipher"))
    public = p.PublicParameters(1, inputs["count"], server, client, test.octets("inputs", "salt")).encode()
    kept = _kept(*_secrets(test))
    secret = p.SecretPacket(public, *(kept[name] for name in ("m_point", "n_point", "h_k", "l_point")))
    return _hex({"mnkl": _derived(test), **kept, "public": public, "secret": secret.encode()})


def _map(test: VectorTest) -> Answer:
    return {"point": crypto.ClientSecret.from_derived(test.octets("inputs", "uniform") + bytes(96)).m_point.hex()}


_NO_MASK = crypto.ClientSecret(b"\1" + bytes(31), b"", b"", b"")  # the neutral element: its X is not blinded


def _multiple(scalar: bytes) -> bytes:
    with _refusing(Fault.BAD_POINT):
        return crypto.client_hello(_NO_MASK, scalar)


def _base_point(test: VectorTest) -> Answer:
    scalar = test.octets("inputs", "scalar")
    clamped = crypto.ServerSecret.from_derived(bytes(96) + scalar).l_point
    return _hex({"clamped": clamped, "unclamped": _multiple(scalar)})


def _point_difference(test: VectorTest) -> Answer:
    with _refusing(Fault.BAD_POINT):
        difference = sodium.crypto_core_ed25519_sub(test.octets("inputs", "left"), test.octets("inputs", "right"))
    return {"point": difference.hex()}


def _handshake(test: VectorTest) -> Answer:
    client, server = _secrets(test)
    x, y = test.octets("inputs", "x_scalar"), test.octets("inputs", "y_scalar")
    identities = _identities(test)
    with _refusing(Fault.BAD_POINT):
        x_point = crypto.client_hello(client, x)
        reply = crypto.server_reply(server, y, x_point, *identities)
    finish = crypto.client_finish(client, x, x_point, reply.y_point, reply.validator, *identities)
    crypto.server_check(reply.expected, finish.validator)
    assert reply.keys == finish.keys, "both ends have the same keys"
    z = sodium.crypto_scalarmult_ed25519_noclamp(y, _multiple(x))
    v = sodium.crypto_scalarmult_ed25519_noclamp(y, server.l_point)
    transcript = b"".join((b"\1\0", *identities, x_point, reply.y_point, z, client.h_k, v))
    return _hex(
        {
            **_kept(client, server),
            "x_base": _multiple(x),
            "y_base": _multiple(y),
            "x_point": x_point,
            "y_point": reply.y_point,
            "z": z,
            "v": v,
            "transcript": transcript,
            "main_key": blake2b(transcript).digest(),
            "client_shared_key": finish.keys.client,
            "server_shared_key": finish.keys.server,
            "server_validator": reply.validator,
            "client_validator": finish.validator,
        }
    )


def _reply(test: VectorTest) -> crypto.ServerReply:
    _, server = _secrets(test)
    y, x_point = test.octets("inputs", "y_scalar"), test.octets("inputs", "x_point")
    with _refusing(Fault.BAD_POINT):
        return crypto.server_reply(server, y, x_point, *_identities(test))


def _server_reply(test: VectorTest) -> Answer:
    reply = _reply(test)
    return _hex({"y_point": reply.y_point, "server_validator": reply.validator})


def _server_finish(test: VectorTest) -> Answer:
    reply = _reply(test)
    crypto.server_check(reply.expected, test.octets("inputs", "client_validator"))
    return _hex({"client_shared_key": reply.keys.client, "server_shared_key": reply.keys.server})


def _client_finish(test: VectorTest) -> Answer:
    client, _ = _secrets(test)
    x = test.octets("inputs", "x_scalar")
    with _refusing(Fault.BAD_POINT):
        x_point = crypto.client_hello(client, x)
    received = test.octets("inputs", "y_point"), test.octets("inputs", "server_validator")
    finish = crypto.client_finish(client, x, x_point, *received, *_identities(test))
    return _hex(
        {
            "x_point": x_point,
            "client_validator": finish.validator,
            "client_shared_key": finish.keys.client,
            "server_shared_key": finish.keys.server,
        }
    )


# -- the channel


def _keys(test: VectorTest) -> crypto.RecordKey | None:
    """The key of one direction; None if its cipher is not supported."""
    works = p.Cipher[test["inputs"]["cipher"]] is p.Cipher.AES_256_GCM
    return crypto.RecordKey.from_shared(test.octets("inputs", "shared_key")) if works else None


def _record(test: VectorTest) -> Answer:
    key, plaintext, sequence = _keys(test), test.octets("inputs", "plaintext"), int(test["inputs"]["sequence"])
    if key is None:
        raise WireError(Fault.UNSUPPORTED)
    with _refusing(Fault.BAD_LENGTH):
        record = crypto.RecordCipher(key).seal(sequence, plaintext)
    assert crypto.RecordCipher(key).open(sequence, len(plaintext), record[2:]) == plaintext
    return _hex(
        {
            "aead_key": key.key,
            "base_nonce": key.base_nonce,
            "nonce": key.base_nonce + sequence.to_bytes(8, "big"),
            "associated_data": b"\0\1" + record[:2],
            "record": record,
        }
    )


def _channel_send(test: VectorTest) -> Answer:
    payloads = [_payload(given) for given in test["inputs"]["payloads"]]
    channel = Channel(send_key=_keys(test), receive_key=None)
    records = []
    for payload in payloads:
        while True:
            try:
                payload = payload[channel.send(payload, 0.0) :]  # as much as there is room for: whole records
            except LocalProtocolError:
                raise WireError(Fault.UNSUPPORTED) from None
            while (transmit := channel.next_transmit()) is not None:
                records.append(transmit.data)
            if not payload:
                break
    wire = b"".join(records)
    received, end = _received(Channel(send_key=None, receive_key=_keys(test)), wire + p.CLOSE)
    assert end == Closed(CloseCause.REMOTE)
    outputs = test["outputs"]
    expected = zip(received, outputs["received"], strict=True)
    return {
        "wire": _in_the_form_of(outputs["wire"], wire),
        "received": [_in_the_form_of(form, payload) for payload, form in expected],
    }


def _payload(given: Mapping[str, Any]) -> bytes:
    if "hex" in given:
        return bytes.fromhex(given["hex"])
    return bytes((7 * i + i // 256) % 256 for i in range(given["length"]))  # the flag Pattern


def _in_the_form_of(form: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    """Bytes with the members that the vector has for them: ``hex``, or ``length``, ``sha256`` and perhaps ``start``."""
    start = len(form.get("start", "")) // 2
    forms = {"hex": data.hex(), "length": len(data), "sha256": sha256(data).hexdigest(), "start": data[:start].hex()}
    return {name: forms[name] for name in form}


def _received(channel: Channel, wire: bytes) -> tuple[list[bytes], Closed]:
    channel.receive_data(wire, 0.0)
    channel.receive_eof(0.0)
    *events, closed = iter(channel.next_event, None)
    assert isinstance(closed, Closed)
    return [event.data for event in events if isinstance(event, DataReceived)], closed


def _channel_receive(test: VectorTest) -> Answer:
    channel = Channel(send_key=None, receive_key=_keys(test))
    data, closed = _received(channel, test.octets("inputs", "wire"))
    outcome: dict[str, Any] = {"received": [piece.hex() for piece in data]}
    match closed.violation:
        case None:
            outcome["end"] = "closed"
        case Violation.STREAM_CUT if channel.take_trailing_data():
            outcome["error"] = Fault.TRUNCATED.value
        case Violation.STREAM_CUT:  # to the channel it is a loss all the same
            outcome["end"] = "eof"
        case Violation.RECORD_CORRUPTED if closed.detail == Fault.UNSUPPORTED.value:
            outcome["error"] = Fault.UNSUPPORTED.value
        case violation:
            outcome["error"] = _CHANNEL_ERRORS[violation].value
    transmit = channel.next_transmit()
    outcome["reply"] = transmit.data.hex() if transmit is not None else ""
    return outcome


_CHANNEL_ERRORS: Mapping[object, Fault] = {
    Violation.RECORD_CORRUPTED: Fault.BAD_MAC,
    Violation.RECORD_TOO_LONG: Fault.BAD_LENGTH,
}


# -- sessions


def _limits_and_delays(config: Config) -> dict[str, Any]:
    return {
        "limits": settings(PeerLimits, config["limits"]),
        "delays": settings(PeerDelays, config["delays"]),
    }


def _peer(config: Config, entropy: Entropy) -> dict[str, Any]:
    return {
        "relay": (config["relay"]["host"], config["relay"]["port"]),
        "secure_port": config["secure_port"],
        "password": bytes.fromhex(config["password"]),
        "entropy": entropy,
        **_limits_and_delays(config),
    }


def _client(config: Config, entropy: Entropy, trace: Trace | None = None) -> Client:
    return Client(trace=trace, **_peer(config, entropy))


def _server(config: Config, entropy: Entropy, trace: Trace | None = None) -> Server:
    cipher = p.Cipher[config["client_cipher"]]
    return Server(
        count=config["count"],
        client_cipher=cipher,
        comes_back=config.get("comes_back", False),
        trace=trace,
        **_peer(config, entropy),
    )


def _channel(config: Config, _: Entropy, trace: Trace | None = None) -> Channel:
    keys = {name: lively(config[name], crypto.RecordKey | None) for name in ("send_key", "receive_key")}
    return Channel(**keys, trace=trace, **_limits_and_delays(config))


def _relay(config: Config, _: Entropy, trace: Trace | None = None) -> Relay:
    limits, delays = settings(RelayLimits, config["limits"]), settings(RelayDelays, config["delays"])
    return Relay(limits=limits, delays=delays, trace=trace)


MACHINES: Mapping[str, Make] = {
    "bob.client": _client,
    "bob.server": _server,
    "bob.channel": _channel,
    "bob.relay": _relay,
}
ANSWERS: Mapping[str, Callable[[VectorTest], Answer]] = {
    "bob.frame": _frame,
    "bob.public_packet": _whole(p.PublicParameters),
    "bob.secret_packet": _whole(p.SecretPacket),
    "bob.pack": _pack,
    "bob.receipt": _whole(p.ReceiptRecord),
    "bob.sent_record": _sent_record,
    "bob.transfer": _transfer,
    "bob.pbkdf2": _pbkdf2,
    "bob.key_material": _key_material,
    "bob.map": _map,
    "bob.base_point": _base_point,
    "bob.point_difference": _point_difference,
    "bob.handshake": _handshake,
    "bob.server_reply": _server_reply,
    "bob.client_finish": _client_finish,
    "bob.server_finish": _server_finish,
    "bob.record": _record,
    "bob.channel_send": _channel_send,
    "bob.channel_receive": _channel_receive,
}
