"""The golden vectors of Bob that are not conversations, and what goes beyond what a vector says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest

from sansproto.bob import (
    Channel,
    FileAnnounced,
    FileData,
    FileVerified,
    PackReader,
    PackWriter,
    crypto,
)
from sansproto.bob import packets as p
from sansproto.errors import Fault, LocalProtocolError, WireError
from sansproto.events import CloseCause, Closed
from sansproto.testing import conformance_bob
from sansproto.testing.conformance import differences
from sansproto.testing.vectors import VectorTest, load

BOB = Path(__file__).parents[2] / "vectors" / "bob"
FILES = ("codec", "crypto", "channel", "pack", "transfer")
TESTS = [test for file in FILES for test in load(BOB / f"{file}.json")]
RUN = [test for test in TESTS if not conformance_bob.CANNOT & {test.type, *test.group.requires}]


def name_of(test: VectorTest) -> str:
    return f"{test.type}-{test.tc_id}"


def of(kind: str, that: Callable[[VectorTest], bool] = lambda test: True) -> pytest.MarkDecorator:
    """Parametrize with the tests of this type that can be run."""
    return pytest.mark.parametrize("test", [test for test in RUN if test.type == kind and that(test)], ids=name_of)


def is_valid(test: VectorTest) -> bool:
    return test.valid


def test_nothing_else_is_left_out() -> None:
    skipped = Counter(test.type for test in TESTS if test not in RUN)
    print(f"{len(RUN)} of {len(TESTS)} vectors are run; left out: {dict(skipped)}")
    assert not skipped


@pytest.mark.parametrize("test", RUN, ids=name_of)
def test_what_the_real_implementation_makes_of_it(test: VectorTest) -> None:
    assert differences(test, conformance_bob) == []


ORDER = (2**252 + 27742317777372353535851937790883648493).to_bytes(32, "little").hex()
UNDECODABLE = "02" + 31 * "00"


@pytest.mark.parametrize(
    ("kind", "changes", "fault"),
    [
        ("bob.pbkdf2", {"count": 0}, Fault.BAD_VALUE),
        ("bob.point_difference", {"left": UNDECODABLE}, Fault.BAD_POINT),
        ("bob.handshake", {"x_scalar": ORDER}, Fault.BAD_POINT),
        ("bob.server_reply", {"y_scalar": ORDER}, Fault.BAD_POINT),
        ("bob.client_finish", {"x_scalar": ORDER}, Fault.BAD_POINT),
        ("bob.record", {"plaintext": 32768 * "00"}, Fault.BAD_LENGTH),
        ("bob.channel_receive", {"cipher": "CHACHA20_POLY1305"}, Fault.UNSUPPORTED),
    ],
)
def test_what_cannot_be_computed_is_an_answer_too(kind: str, changes: dict[str, Any], fault: Fault) -> None:
    """Vectors of others may ask for it: the check says which fault it is, and does not break."""
    test = next(test for test in RUN if test.type == kind and test.valid)
    asked = attrs.evolve(test, valid=False, error=fault, body={"inputs": {**test["inputs"], **changes}})
    assert differences(asked, conformance_bob) == []


def test_more_is_sent_than_a_channel_queues_at_once() -> None:
    test = next(test for test in RUN if test.type == "bob.channel_send" and test.valid)
    size, record = 1_000_000, 32_767
    given = {**test["inputs"], "payloads": [{"length": size}]}
    outputs = {
        "wire": {"length": size + 18 * -(-size // record)},
        "received": [*({"length": record} for _ in range(size // record)), {"length": size % record}],
    }
    body = {"inputs": given, "outputs": outputs}
    assert differences(attrs.evolve(test, body=body), conformance_bob) == []


# -- packets -----------------------------------------------------------------------------------------------------------


@of("bob.frame")
def test_frames(test: VectorTest) -> None:
    """Its dissection says the same, and each of its beginnings is one."""
    wire = test.octets("wire")
    tree = p.FRAME.dissect_from(wire, 0, len(wire), "frame", None)
    if not test.valid:
        assert test.error in {tree.fault, *(node.fault for node in tree.walk())}
        return
    _, _, end = p.FRAME.decode_prefix(wire)
    assert b"".join(node.raw for node in tree.walk() if not node.children) == wire[:end]
    for size in range(end):
        with pytest.raises(WireError) as error:
            p.FRAME.decode_prefix(wire[:size])
        assert error.value.fault is Fault.TRUNCATED


@of("bob.public_packet")
def test_public_packets(test: VectorTest) -> None:
    wire = test.octets("wire")
    tree = p.PublicParameters.dissect(wire)
    if test.valid:
        assert wire == b"".join(node.raw for node in tree.walk() if not node.children)
    else:
        assert test.error in {node.fault for node in tree.walk()}


# -- the channel -------------------------------------------------------------------------------------------------------


def has_no_cipher(test: VectorTest) -> bool:
    return test.error is Fault.UNSUPPORTED


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_a_direction_without_a_cipher_is_never_used(payload: bytes) -> None:
    """What the vectors say of ciphers that do not work with the protocol's nonces: none gets a key."""
    ciphers = {test["inputs"]["cipher"] for test in RUN if test.type == "bob.record" and has_no_cipher(test)}
    assert ciphers == {p.Cipher.AES_256_CCM16.name, p.Cipher.CHACHA20_POLY1305.name}
    channel = Channel(send_key=None, receive_key=crypto.RecordKey(bytes(32), bytes(12)))
    with pytest.raises(LocalProtocolError):
        channel.send(payload, 0.0)
    assert channel.capacity == 0
    assert channel.next_transmit() is None


def test_a_channel_that_takes_nothing_any_more_has_no_room() -> None:
    channel = Channel(send_key=crypto.RecordKey(bytes(32), bytes(12)), receive_key=None)
    assert channel.capacity > 0
    channel.close(0.0)
    assert channel.capacity == 0


def received(test: VectorTest, size: int) -> tuple[Any, ...]:
    channel = Channel(send_key=None, receive_key=crypto.RecordKey.from_shared(test.octets("inputs", "shared_key")))
    wire = test.octets("inputs", "wire")
    for start in range(0, len(wire), size):
        channel.receive_data(wire[start : start + size], 0.0)
    channel.receive_eof(0.0)
    *data, closed = iter(channel.next_event, None)
    assert isinstance(closed, Closed)
    reply = b"".join(transmit.data for transmit in iter(channel.next_transmit, None))
    return data, closed, reply, bool(channel.take_trailing_data())


@of("bob.channel_receive")
def test_receiving_through_a_channel(test: VectorTest) -> None:
    """The borders of reads do not matter."""
    whole = received(test, 1 << 20)
    for size in (1, 7):
        assert received(test, size) == whole


@pytest.mark.parametrize("begun", range(1, 5))
@pytest.mark.parametrize("size", [0, 40_000, 70_000])
def test_nothing_is_delivered_behind_the_closing_packet(begun: int, size: int) -> None:
    """Anybody can write one: however the reads are cut, a record behind it belongs to what follows on the stream."""
    key = crypto.RecordKey(bytes(32), bytes(12))
    channel = Channel(send_key=None, receive_key=key)
    rest = crypto.RecordCipher(key).seal(0, b"genuine") + bytes(size)
    channel.receive_data(p.CLOSE[:begun], 0.0)
    channel.receive_data(p.CLOSE[begun:] + rest * (begun < 4), 0.0)
    assert list(iter(channel.next_event, None)) == [Closed(CloseCause.REMOTE)]
    assert channel.take_trailing_data() == rest * (begun < 4)
    assert channel.stats.dropped == ({} if begun < 4 else {"closed": 1})


@pytest.mark.parametrize(("said", "cause"), [(1, CloseCause.LOST), (2, CloseCause.REMOTE), (4, CloseCause.REMOTE)])
def test_two_bytes_of_the_closing_packet_are_enough_however_the_stream_ends(said: int, cause: CloseCause) -> None:
    for ends in (Channel.receive_eof, Channel.transport_lost):
        channel = Channel(send_key=None, receive_key=None)
        channel.receive_data(p.CLOSE[:said], 0.0)
        ends(channel, 1.0)
        assert [event.cause for event in iter(channel.next_event, None) if isinstance(event, Closed)] == [cause]


# -- the PACK stream ---------------------------------------------------------------------------------------------------


def read(pieces: Iterable[bytes]) -> tuple[FileAnnounced, bytes, FileVerified]:
    reader = PackReader(max_size=1 << 20)
    announced, *data, verified = [event for piece in pieces for event in reader.feed(piece)]
    reader.close()
    assert isinstance(announced, FileAnnounced)
    assert isinstance(verified, FileVerified)
    return announced, b"".join(event.data for event in data if isinstance(event, FileData)), verified


@of("bob.pack", is_valid)
def test_reading_a_pack(test: VectorTest) -> None:
    announced, contents, verified = read([test.octets("wire")])
    assert announced == FileAnnounced(test["fields"]["name"], len(contents))
    assert verified == FileVerified(test.octets("wire")[-20:])


@pytest.mark.parametrize("level", [0, 4])
@of("bob.pack", is_valid)
def test_writing_a_pack(test: VectorTest, level: int) -> None:
    """What we write has the borders of what a real sender writes, and is the same file."""
    name, contents = test["fields"]["name"], test.octets("fields", "contents")
    writer = PackWriter(name, len(contents), level=level)
    records = [record for part in (writer.start(), writer.write(contents), writer.finish()) for record in part]
    if test.group.provenance == "reference-capture":
        sizes = [len(record) for record in records]
        assert [sizes[0], sizes[1], sizes[3], sizes[-1]] == [test["pieces"][n] for n in (0, 1, 3, -1)]
        assert records[:2] == [test.octets("wire")[:12], test.octets("wire")[12:13]]
    assert read(records)[:2] == (FileAnnounced(name, len(contents)), contents)
