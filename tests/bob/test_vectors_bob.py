"""The golden vectors of Bob that are not conversations: packets, SPOKE, the channel and the PACK stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import pytest
from nacl import bindings as sodium

from sansproto.bob import (
    Channel,
    FileAnnounced,
    FileData,
    FileVerified,
    PackError,
    PackFault,
    PackReader,
    PackWriter,
    Violation,
    crypto,
)
from sansproto.bob import packets as p
from sansproto.errors import Fault, LocalProtocolError, WireError
from sansproto.events import CloseCause, Closed, DataReceived
from sansproto.testing.record import plain
from sansproto.testing.vectors import VectorTest, load

BOB = Path(__file__).parents[2] / "vectors" / "bob"
FILES = ("codec", "crypto", "channel", "pack")
TESTS = [test for file in FILES for test in load(BOB / f"{file}.json")]
UNMET = {"secret-packet"}  # nothing here stores a secret as a blob: it is part of a snapshot


def name_of(test: VectorTest) -> str:
    return f"{test.type}-{test.tc_id}"


def of(*types: str) -> pytest.MarkDecorator:
    """Parametrize with all tests of these types that can be run."""
    found = [test for test in TESTS if test.type in types and not UNMET & set(test.group.requires)]
    RUN.update(name_of(test) for test in found)
    return pytest.mark.parametrize("test", found, ids=name_of)


RUN: set[str] = set()


def test_nothing_else_is_left_out() -> None:
    skipped = Counter(test.type for test in TESTS if name_of(test) not in RUN)
    print(f"{len(RUN)} of {len(TESTS)} vectors are run; left out: {dict(skipped)}")
    assert skipped == {"bob.secret_packet": 3}


def fault_of(call: Callable[[], object]) -> Fault | None:
    try:
        call()
    except WireError as error:
        return error.fault
    return None


# -- packets -----------------------------------------------------------------------------------------------------------


@of("bob.frame")
def test_frames(test: VectorTest) -> None:
    wire = test.octets("wire")
    tree = p.FRAME.dissect_from(wire, 0, len(wire), "frame", None)
    if not test.valid:
        with pytest.raises(WireError) as error:
            p.FRAME.decode_prefix(wire)
        assert error.value.fault is test.error
        if test.error is Fault.TRUNCATED and "need" in test.body:
            assert error.value.need == test["need"]
        assert tree.fault is test.error or test.error in {node.fault for node in tree.walk()}
        return
    header, payload, end = p.FRAME.decode_prefix(wire)
    rest = test.octets("rest") if "rest" in test.body else b""
    assert (plain(header), type(payload).__name__, plain(payload)) == (test["header"], test["packet"], test["fields"])
    assert wire[end:] == rest
    canonical = test.octets("canonical") if "canonical" in test.body else wire[:end]
    assert p.encode(header.uid, payload) == canonical
    assert b"".join(node.raw for node in tree.walk() if not node.children) == wire[:end]
    for size in range(end):
        assert fault_of(lambda size=size: p.FRAME.decode_prefix(wire[:size])) is Fault.TRUNCATED


@of("bob.public_packet")
def test_public_packets(test: VectorTest) -> None:
    wire = test.octets("wire")
    tree = p.PublicParameters.dissect(wire)
    if test.valid:
        public = p.PublicParameters.decode(wire)
        assert plain(public) == test["fields"]
        assert public.encode() == wire == b"".join(node.raw for node in tree.walk() if not node.children)
    else:
        with pytest.raises(WireError) as error:
            p.PublicParameters.decode(wire)
        assert error.value.fault is test.error
        assert "need" not in test.body or error.value.need == test["need"]
        assert test.error in {node.fault for node in tree.walk()}


# -- SPOKE -------------------------------------------------------------------------------------------------------------


@cache
def derived(password: str, salt: str, count: int) -> bytes:
    return crypto.derive(bytes.fromhex(password), bytes.fromhex(salt), count)


class Given:
    """The inputs of a test, and the secrets that follow from its password."""

    def __init__(self, test: VectorTest) -> None:
        self._inputs = test["inputs"]

    def __getattr__(self, name: str) -> bytes:
        return bytes.fromhex(self._inputs[name])

    @property
    def material(self) -> bytes:
        return derived(*(self._inputs[name] for name in ("password", "salt", "count")))

    @property
    def client(self) -> crypto.ClientSecret:
        return crypto.ClientSecret.from_derived(self.material)

    @property
    def server(self) -> crypto.ServerSecret:
        return crypto.ServerSecret.from_derived(self.material)

    @property
    def identities(self) -> tuple[bytes, bytes]:
        return self.client_identity, self.server_identity


def pbkdf2(test: VectorTest) -> dict[str, bytes]:
    given = Given(test)
    return {"key": given.material[: test["inputs"]["length"]]}


def key_material(test: VectorTest) -> dict[str, bytes]:
    given, inputs = Given(test), test["inputs"]
    ciphers = (p.Cipher[inputs[name]] for name in ("server_cipher", "client_cipher"))
    public = p.PublicParameters(1, inputs["count"], *ciphers, given.salt).encode()
    client, server = given.client, given.server
    assert (client.m_point, client.n_point, client.h_k) == (server.m_point, server.n_point, server.h_k)
    return {
        "mnkl": given.material,
        "public": public,
        "secret": public + server.m_point + server.n_point + server.h_k + server.l_point,
        "m_point": client.m_point,
        "n_point": client.n_point,
        "h_k": client.h_k,
        "h_l": client.h_l,
        "l_point": server.l_point,
    }


def uniform_map(test: VectorTest) -> dict[str, bytes]:
    uniform = Given(test).uniform
    return {"point": crypto.ClientSecret.from_derived(uniform + bytes(96)).m_point}


IDENTITY_POINT = b"\x01" + bytes(31)


def base_point(test: VectorTest) -> dict[str, bytes]:
    scalar, outputs = Given(test).scalar, test.body.get("outputs", {})
    clamped = crypto.ServerSecret.from_derived(bytes(96) + scalar).l_point if "clamped" in outputs else b""
    mask_of_nothing = crypto.ClientSecret(IDENTITY_POINT, IDENTITY_POINT, b"", b"")
    try:
        unclamped = crypto.client_hello(mask_of_nothing, scalar)
    except ValueError:  # our own scalar, not what somebody sent
        raise WireError(Fault.BAD_POINT) from None
    return {"unclamped": unclamped, **({"clamped": clamped} if clamped else {})}


def point_difference(test: VectorTest) -> dict[str, bytes]:
    given = Given(test)
    return {"point": sodium.crypto_core_ed25519_sub(given.left, given.right)}


def handshake(test: VectorTest) -> dict[str, bytes]:
    given = Given(test)
    client, server = given.client, given.server
    x_point = crypto.client_hello(client, given.x_scalar)
    reply = crypto.server_reply(server, given.y_scalar, x_point, *given.identities)
    ends = (x_point, reply.y_point, reply.validator, *given.identities)
    finish = crypto.client_finish(client, given.x_scalar, *ends)
    crypto.server_check(reply.expected, finish.validator)
    assert finish.keys == reply.keys
    # What stays inside of the functions, from the outside: the pieces of the transcript, by its description.
    x_base, y_base = (sodium.crypto_scalarmult_ed25519_base_noclamp(s) for s in (given.x_scalar, given.y_scalar))
    z = sodium.crypto_scalarmult_ed25519_noclamp(given.x_scalar, y_base)
    v = sodium.crypto_scalarmult_ed25519_noclamp(given.y_scalar, server.l_point)
    transcript = b"\x01\x00" + b"".join((*given.identities, x_point, reply.y_point, z, client.h_k, v))
    return {
        "m_point": client.m_point,
        "n_point": client.n_point,
        "h_k": client.h_k,
        "h_l": client.h_l,
        "l_point": server.l_point,
        "x_base": x_base,
        "y_base": y_base,
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


def server_reply(test: VectorTest) -> dict[str, bytes]:
    given = Given(test)
    reply = crypto.server_reply(given.server, given.y_scalar, given.x_point, *given.identities)
    return {"y_point": reply.y_point, "server_validator": reply.validator}


def client_finish(test: VectorTest) -> dict[str, bytes]:
    given = Given(test)
    x_point = crypto.client_hello(given.client, given.x_scalar)
    ends = (x_point, given.y_point, given.server_validator, *given.identities)
    finish = crypto.client_finish(given.client, given.x_scalar, *ends)
    return {
        "x_point": x_point,
        "client_validator": finish.validator,
        "client_shared_key": finish.keys.client,
        "server_shared_key": finish.keys.server,
    }


def server_finish(test: VectorTest) -> dict[str, bytes]:
    given = Given(test)
    reply = crypto.server_reply(given.server, given.y_scalar, given.x_point, *given.identities)
    crypto.server_check(reply.expected, given.client_validator)
    return {"client_shared_key": reply.keys.client, "server_shared_key": reply.keys.server}


FUNCTIONS: dict[str, Callable[[VectorTest], dict[str, bytes]]] = {
    "bob.pbkdf2": pbkdf2,
    "bob.key_material": key_material,
    "bob.map": uniform_map,
    "bob.base_point": base_point,
    "bob.point_difference": point_difference,
    "bob.handshake": handshake,
    "bob.server_reply": server_reply,
    "bob.client_finish": client_finish,
    "bob.server_finish": server_finish,
}


@of(*FUNCTIONS)
def test_spoke(test: VectorTest) -> None:
    function = FUNCTIONS[test.type]
    if test.valid:
        assert {name: value.hex() for name, value in function(test).items()} == test["outputs"]
    else:
        assert fault_of(lambda: function(test)) is test.error


# -- the channel -------------------------------------------------------------------------------------------------------


def key_of(test: VectorTest) -> crypto.RecordKey | None:
    """The key of a direction, as clients and servers make it: none for a cipher that does not work."""
    inputs = test["inputs"]
    usable = inputs["cipher"] == "AES_256_GCM"
    return crypto.RecordKey.from_shared(bytes.fromhex(inputs["shared_key"])) if usable else None


def sender(key: crypto.RecordKey | None) -> Channel:
    return Channel(send_key=key, receive_key=None)


def receiver(key: crypto.RecordKey | None) -> Channel:
    return Channel(send_key=None, receive_key=key)


def written(channel: Channel) -> bytes:
    return b"".join(transmit.data for transmit in iter(channel.next_transmit, None))


def events_of(channel: Channel) -> list[Any]:
    return list(iter(channel.next_event, None))


@of("bob.record")
def test_records(test: VectorTest) -> None:
    key, plaintext = key_of(test), test.octets("inputs", "plaintext")
    if key is None:
        assert test.error is Fault.UNSUPPORTED
        with pytest.raises(LocalProtocolError):
            sender(key).send(plaintext or b"x", 0.0)
        return
    cipher, sequence = crypto.RecordCipher(key), int(test["inputs"]["sequence"])
    record = cipher.seal(sequence, plaintext)
    assert cipher.open(sequence, record) == plaintext
    assert test["outputs"] == {
        "aead_key": key.key.hex(),
        "base_nonce": key.base_nonce.hex(),
        "nonce": (key.base_nonce + sequence.to_bytes(8, "big")).hex(),
        "associated_data": (b"\x00\x01" + len(plaintext).to_bytes(2, "big")).hex(),
        "record": record.hex(),
    }


def payload(said: dict[str, Any]) -> bytes:
    if "hex" in said:
        return bytes.fromhex(said["hex"])
    return bytes((7 * i + i // 256) % 256 for i in range(said["length"]))


def is_described(data: bytes, said: dict[str, Any]) -> bool:
    if "hex" in said:
        return data.hex() == said["hex"]
    start = bytes.fromhex(said.get("start", ""))
    return len(data) == said["length"] and sha256(data).hexdigest() == said["sha256"] and data.startswith(start)


@of("bob.channel_send")
def test_sending_through_a_channel(test: VectorTest) -> None:
    key, payloads = key_of(test), [payload(said) for said in test["inputs"]["payloads"]]
    channel = sender(key)
    if key is None:
        assert test.error is Fault.UNSUPPORTED
        with pytest.raises(LocalProtocolError):
            channel.send(payloads[0], 0.0)
        return
    assert all(is_described(one, said) for one, said in zip(payloads, test["inputs"]["payloads"], strict=True))
    assert [channel.send(one, 0.0) for one in payloads] == list(map(len, payloads))
    wire = written(channel)
    assert is_described(wire, test["outputs"]["wire"])
    other = receiver(key)
    other.receive_data(wire, 0.0)
    received = [event.data for event in events_of(other)]
    assert all(is_described(one, said) for one, said in zip(received, test["outputs"]["received"], strict=True))


@of("bob.channel_receive")
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_receiving_through_a_channel(test: VectorTest, size: int) -> None:
    channel, wire = receiver(key_of(test)), test.octets("inputs", "wire")
    for start in range(0, len(wire), size):
        channel.receive_data(wire[start : start + size], 0.0)
    channel.receive_eof(0.0)
    *received, closed = events_of(channel)
    reply, rest, outputs = written(channel), channel.take_trailing_data(), test["outputs"]
    assert [event.data.hex() for event in received if isinstance(event, DataReceived)] == outputs["received"]
    assert isinstance(closed, Closed)
    assert (closed.cause, closed.violation, bool(rest)) == {
        "closed": (CloseCause.REMOTE, None, False),
        "eof": (CloseCause.LOST, Violation.STREAM_CUT, False),
        Fault.TRUNCATED: (CloseCause.LOST, Violation.STREAM_CUT, True),
        Fault.BAD_MAC: (CloseCause.VIOLATION, Violation.RECORD_CORRUPTED, True),
        Fault.BAD_LENGTH: (CloseCause.VIOLATION, Violation.RECORD_TOO_LONG, True),
    }[outputs["end"] if test.valid else test.error]
    assert reply.hex() == outputs.get("reply", "")


# -- the PACK stream ---------------------------------------------------------------------------------------------------

PACK_FAULTS = {
    PackFault.TRUNCATED: {Fault.TRUNCATED},
    PackFault.TRAILING: {Fault.TRAILING},
    PackFault.BAD_MAGIC: {Fault.BAD_VALUE, Fault.UNSUPPORTED},
    PackFault.BAD_KIND: {Fault.BAD_TYPE},
    PackFault.BAD_NAME: {Fault.BAD_VALUE},
    PackFault.TOO_LARGE: {Fault.BAD_LENGTH},
    # Which of these is seen first would depend on how the stream is cut: for our reader they are one.
    PackFault.BAD_ZLIB: {Fault.BAD_LENGTH, Fault.BAD_ENCODING, Fault.BAD_CHECKSUM},
    PackFault.BAD_CHECKSUM: {Fault.BAD_CHECKSUM},
}


def pieces_of(test: VectorTest, size: int | None) -> Iterator[bytes]:
    wire = test.octets("wire")
    sizes: Iterable[int] = test.body.get("pieces", [len(wire)]) if size is None else [size] * -(-len(wire) // size)
    for piece in sizes:
        yield wire[:piece]
        wire = wire[piece:]
    assert not wire


def read(pieces: Iterable[bytes]) -> tuple[list[Any], PackFault | None]:
    reader = PackReader(max_size=1 << 20)
    events: list[Any] = []
    try:
        for piece in pieces:
            events += reader.feed(piece)
        reader.close()
    except PackError as error:
        return events, error.fault
    return events, None


@of("bob.pack")
@pytest.mark.parametrize("size", [None, 1, 5])
def test_reading_a_pack(test: VectorTest, size: int | None) -> None:
    events, fault = read(pieces_of(test, size))
    if not test.valid:
        assert fault is not None
        assert test.error in PACK_FAULTS[fault]
        return
    assert fault is None
    contents = b"".join(event.data for event in events if isinstance(event, FileData))
    assert events[0] == FileAnnounced(test["fields"]["name"], len(contents))
    assert {"name": events[0].name, "contents": contents.hex()} == test["fields"]
    assert events[-1] == FileVerified(test.octets("wire")[-20:])


@pytest.mark.parametrize("level", [0, 4])
@pytest.mark.parametrize("test", [test for test in TESTS if test.type == "bob.pack" and test.valid], ids=name_of)
def test_writing_a_pack(test: VectorTest, level: int) -> None:
    """What we write has the borders of what a real sender writes, and is the same file."""
    name, contents = test["fields"]["name"], test.octets("fields", "contents")
    writer = PackWriter(name, len(contents), level=level)
    records = [record for part in (writer.start(), writer.write(contents), writer.finish()) for record in part]
    if test.group.provenance == "reference-capture":
        sizes = [len(record) for record in records]
        assert [sizes[0], sizes[1], sizes[3], sizes[-1]] == [test["pieces"][n] for n in (0, 1, 3, -1)]
        assert records[:2] == [test.octets("wire")[:12], test.octets("wire")[12:13]]
    events, fault = read(records)
    assert fault is None
    assert events[0] == FileAnnounced(name, len(contents))
    assert b"".join(event.data for event in events if isinstance(event, FileData)) == contents
