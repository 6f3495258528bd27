"""Each rung of the ladder of checks, at the node of the reference vectors: what else the specification says of them."""

from __future__ import annotations

from pathlib import Path as File
from typing import Any

import pytest

from sansproto.contract import Path
from sansproto.egtp import KeyPair, crypto, place_of
from sansproto.egtp import packets as p
from sansproto.testing._internal.egtp_states import HOME, Judgement, StatedNode, route_of
from sansproto.testing.conformance_egtp import first_message, seal_data
from sansproto.testing.vectors import load

(EXAMPLE, *_) = (
    test
    for test in load(File(__file__).parents[2] / "vectors" / "egtp" / "egtp.json")
    if test.type == "egtp.classification"
)
STATE = EXAMPLE["inputs"]["state"]
B = KeyPair.of(bytes.fromhex(STATE["static_private"]))
STRANGER = KeyPair.of(b"stranger" * 4)
CURRENT, OFFERED, CALLED = STATE["sessions"]
OWN = STATE["own_handshake"]
NOW = 5_010_000
ELSEWHERE = bytes.fromhex("0400c6336407611e")
SECRET = bytes.fromhex(STATE["token_secrets"][0])
SID, INSTANCE = b"s" * 8, b"instance"


def octets(one: Any, name: str) -> bytes:
    return bytes.fromhex(one[name])


def judge(data: bytes, path: bytes = HOME.name, now: int = NOW, reply: bool = True, **given: Any) -> Judgement:
    return StatedNode(STATE, {"now_ms": now, **given}).judge(data, path, now / 1000, reply=reply)


def verdict(data: bytes, *args: Any, **given: Any) -> tuple[str, str | None, list[str]]:
    """What it is, what is wrong with it, and what kinds of packets answer it."""
    found = judge(data, *args, **given)
    return found.verdict, found.fault, [type(p.DATAGRAM.decode(answer)).__name__ for answer in found.answers]


def h1(token: bytes = p.NO_TOKEN, static: KeyPair = STRANGER, sid: bytes = SID, stamp: int = 9) -> bytes:
    payload = p.InitPayload(stamp, INSTANCE, sid)
    return first_message(static, b"ephemera" * 4, B.public, token, payload)[0]


def token_of(path: bytes = HOME.name, age: int = 0, secret: bytes = SECRET) -> bytes:
    return crypto.make_token(secret, NOW - age, path) + bytes(8)


def again(data: bytes) -> bytes:
    """With the mac made anew."""
    return data[:160] + crypto.h1_mac(crypto.mac_key(B.public), data[:160])


def data(clear: bytes, counter: int = 9001, session: Any = CURRENT, sid: bytes = b"") -> bytes:
    header = p.data_header(0x0B, sid or octets(session, "local_sid"), counter)
    sealed = crypto.ChaCha20Poly1305(octets(session, "rx")).encrypt(bytes(4) + header[9:17], clear, header)
    return header + sealed


# -- H1


def test_a_good_h1_is_let_in() -> None:
    assert verdict(h1()) == ("Init", None, ["H2"])
    assert verdict(h1(token_of())) == ("Init", None, ["H2"])


@pytest.mark.parametrize(
    ("token", "found"),
    [
        (token_of(), "Init"),
        (token_of(age=30_000), "Init"),
        (token_of(age=30_001), "Challenged"),
        (token_of(age=-1), "Challenged"),
        (token_of(ELSEWHERE), "Challenged"),
        (token_of(secret=bytes(32)), "Challenged"),
        (token_of()[:24] + b"anything", "Init"),
    ],
)
def test_a_token_shows_who_gets_packets_there(token: bytes, found: str) -> None:
    assert verdict(h1(token), demand_proof=True)[0] == found


def test_a_challenge_has_a_proof_if_the_h1_was_opened() -> None:
    opened, unopened = judge(h1(), demand_proof=True), judge(h1(), over_limit=True)
    assert (opened.verdict, unopened.verdict) == ("Challenged", "Challenged")
    assert any(opened.answers[0][33:])
    assert not any(unopened.answers[0][33:])
    for found in (opened, unopened):
        assert found.answers[0][1:9] == crypto.handshake_id(h1())[:8]
        assert found.answers[0][9:33] == crypto.make_token(SECRET, NOW, HOME.name)


def test_over_the_limit_who_proved_its_place_has_the_bucket_of_its_group() -> None:
    assert verdict(h1(token_of()), over_limit=True) == ("Init", None, ["H2"])
    assert verdict(h1(), over_limit=True, reply=False) == ("Limited", None, [])


@pytest.mark.parametrize("size", [1, 159, 175, 177])
def test_an_h1_of_another_size(size: int) -> None:
    assert verdict((h1() + bytes(9))[:size]) == ("Opaque", "length", [])


@pytest.mark.parametrize("at", range(1, 8))
def test_reserved_bytes_are_zero(at: int) -> None:
    damaged = h1()[:at] + b"\1" + h1()[at + 1 :]
    assert verdict(damaged) == verdict(again(damaged)) == ("Opaque", "reserved", [])


def test_an_h1_for_somebody_else_or_of_ourselves() -> None:
    other = first_message(STRANGER, b"ephemera" * 4, STRANGER.public, p.NO_TOKEN, p.InitPayload(1, INSTANCE, SID))[0]
    assert verdict(other) == ("Opaque", "mac", [])
    assert verdict(h1(static=B)) == ("Self", None, [])


@pytest.mark.parametrize("at", [8, 40, 88, 127, 128, 159])
def test_a_changed_h1_with_a_right_mac_does_not_open(at: int) -> None:
    damaged = again(h1()[:at] + bytes([h1()[at] ^ 1]) + h1()[at + 1 :])
    assert verdict(damaged) == ("Opaque", "seal", [])
    assert verdict(h1()[:at] + bytes([h1()[at] ^ 1]) + h1()[at + 1 :]) == ("Opaque", "mac", [])


def test_an_h1_of_a_session_id_of_zero() -> None:
    payload = b"\1" * 16 + bytes(8)
    begun = crypto.begin_datagram(B.public)
    parts = crypto.write_first(begun, STRANGER, b"ephemera" * 4, B.public, payload)[:3]
    assert verdict(again(b"\x08" + bytes(7) + b"".join(parts) + bytes(48))) == ("Opaque", "field", [])


# -- H2


@pytest.mark.parametrize("size", [1, 9, 88, 90])
def test_an_h2_of_another_size(size: int) -> None:
    assert verdict((b"\x09" + octets(OWN, "sid") + bytes(90))[:size]) == ("Opaque", "length", [])


def test_an_h2_to_no_handshake() -> None:
    assert verdict(b"\x09" + SID + bytes(80)) == ("Opaque", "unknown_handshake", [])
    assert verdict(b"\x09" + octets(OWN, "sid") + bytes(80)) == ("Opaque", "point", [])
    assert verdict(b"\x09" + octets(OWN, "sid") + B.public + bytes(48)) == ("Opaque", "seal", [])


# -- CH


def ch(token: bytes = b"t" * 24, proof: bytes = bytes(8), hs_id: bytes = octets(OWN, "hs_id")[:8]) -> bytes:
    return b"\x0a" + hs_id + token + proof


def chaining_key() -> bytes:
    node = StatedNode(STATE, {"now_ms": NOW}).node
    return node.keyring.handshakes[octets(OWN, "sid")].initiation.transcript.chaining_key


def test_a_challenge_with_a_right_proof_a_wrong_one_and_none() -> None:
    right = crypto.challenge_proof(chaining_key(), ch()[:33])
    assert verdict(ch(proof=right)) == ("Challenge", None, ["H1"])
    assert verdict(ch()) == ("Challenge", None, ["H1"])
    assert verdict(ch(proof=b"\1" + right[1:])) == ("Opaque", "mac", [])
    assert verdict(ch(token=bytes(24), proof=bytes(8))) == ("Opaque", "field", [])


def test_a_challenge_from_elsewhere_or_to_no_handshake() -> None:
    assert verdict(ch(), ELSEWHERE) == ("Opaque", "unknown_handshake", [])
    assert verdict(ch(hs_id=bytes(8))) == ("Opaque", "unknown_handshake", [])
    assert verdict(ch(hs_id=octets(OFFERED, "hs_id")[:8])) == ("Opaque", "unknown_handshake", [])


@pytest.mark.parametrize("size", [1, 40, 42])
def test_a_challenge_of_another_size(size: int) -> None:
    assert verdict((ch() + bytes(2))[:size]) == ("Opaque", "length", [])


# -- Data


def test_data_of_unknown_sessions_is_answered_by_a_hint_smaller_than_it_is() -> None:
    hint = judge(data(b"\0", sid=SID)).answers
    assert hint == [b"\x0c" + SID + crypto.reset_token(crypto.reset_key(B.private), SID)]
    assert verdict(data(b"\0", sid=SID)) == ("Opaque", "unknown_session", ["Hint"])
    assert verdict(data(b"", sid=SID)) == ("Opaque", "length", [])
    assert verdict(data(b"\0", sid=SID), reply=False) == ("Opaque", "unknown_session", [])
    assert verdict(data(b"\0", sid=octets(OWN, "sid"))) == ("Opaque", "unknown_session", [])


def test_sizes_of_data() -> None:
    assert verdict(data(bytes(65_502))) == ("Data", None, [])
    assert verdict(data(bytes(65_503))) == ("Opaque", "length", [])


@pytest.mark.parametrize(
    ("counter", "found"),
    [
        (2**64 - 8194, ("Data", None)),
        (2**64 - 8193, ("Opaque", "counter")),
        (2**64 - 1, ("Opaque", "counter")),
        (9000, ("Opaque", "replay")),
        (8999, ("Data", None)),
        (809, ("Data", None)),
        (808, ("Opaque", "replay")),
        (0, ("Opaque", "replay")),
    ],
)
def test_counters_of_data(counter: int, found: tuple[str, str | None]) -> None:
    sealed = data(b"\0text", counter) if counter <= p.LAST_COUNTER else data(b"\0text", 1)
    header = sealed[:9] + counter.to_bytes(8, "little")
    assert verdict(header + sealed[17:] if counter > p.LAST_COUNTER else sealed)[:2] == found


@pytest.mark.parametrize("kind", range(8))
def test_every_kind_has_its_size(kind: int) -> None:
    sizes = {1: 8, 2: 8, 3: 8, 4: 24, 5: 8, 6: 8, 7: 1}
    if kind in sizes:
        assert verdict(data(bytes([kind]) + bytes(sizes[kind])))[:2] == ("Data", None)
        for size in (0, sizes[kind] - 1, sizes[kind] + 1):
            if size != sizes[kind]:
                assert verdict(data(bytes([kind]) + bytes(size))) == ("Opaque", "body", [])
    else:
        assert verdict(data(bytes([kind])))[:2] == ("Data", None)


def test_kinds_that_may_not_come() -> None:
    for kind in (8, 127, 255):
        assert verdict(data(bytes([kind]) + bytes(8))) == ("Opaque", "kind", [])
    for size in (23, 24, 25):  # from the one who is called, whatever its size
        assert verdict(data(b"\4" + bytes(size), 0, CALLED)) == ("Opaque", "kind", [])
    assert verdict(data(b"\4" + bytes(24), 0, OFFERED))[:2] == ("Data", None)


def test_a_fault_of_a_kind_or_body_marks_no_counter() -> None:
    node = StatedNode(STATE, {"now_ms": NOW})
    for clear, found in ((b"\x09", "kind"), (b"\2short", "body"), (b"\0", None)):
        assert node.judge(data(clear), HOME.name, NOW / 1000).fault == found
    assert node.judge(data(b"\0"), HOME.name, NOW / 1000).fault == "replay"


def test_data_under_the_other_key_or_of_another_session() -> None:
    mirrored = seal_data(octets(CURRENT, "tx"), octets(CURRENT, "local_sid"), 9001, p.App(b"x"))
    assert verdict(mirrored) == ("Opaque", "seal", [])
    assert verdict(data(b"\0", sid=octets(OFFERED, "local_sid"))) == ("Opaque", "seal", [])


def test_a_ping_is_answered_by_a_pong_with_its_value() -> None:
    (answer,) = judge(data(b"\2" + b"12345678")).answers
    header, sealed = answer[:17], answer[17:]
    assert header == p.data_header(0x0B, octets(CURRENT, "remote_sid"), 0)
    assert crypto.Cipher(octets(CURRENT, "tx")).open(0, sealed, header) == b"\3" + b"12345678"


# -- Hint


def hint(session: Any = CURRENT, token: bytes = b"") -> bytes:
    return b"\x0c" + octets(session, "remote_sid") + token


def test_hints() -> None:
    assert verdict(hint()) == ("Hint", None, ["Data"])
    assert verdict(hint(), ELSEWHERE) == ("Opaque", "unknown_session", [])
    assert verdict(b"\x0c" + SID) == ("Opaque", "unknown_session", [])
    assert verdict(b"\x0c" + SID + bytes(16)) == ("Opaque", "unknown_session", [])
    assert verdict(b"\x0c" + octets(CURRENT, "local_sid")) == ("Opaque", "unknown_session", [])
    for size in (1, 8, 10, 24, 26):
        assert verdict((hint() + bytes(20))[:size]) == ("Opaque", "length", [])


@pytest.mark.parametrize("session", [CURRENT, CALLED])
def test_reset_tokens_count_from_anywhere(session: Any) -> None:
    right = octets(session, "peer_reset_token")
    assert verdict(hint(session, right), ELSEWHERE)[:2] == ("ResetToken", None)
    assert verdict(hint(session, right))[:2] == ("ResetToken", None)
    assert verdict(hint(session, bytes(16))) == ("Opaque", "token", [])
    assert verdict(hint(session, right[:-1] + bytes([right[-1] ^ 1]))) == ("Opaque", "token", [])
    other = CALLED if session is CURRENT else CURRENT
    assert verdict(hint(session, octets(other, "peer_reset_token"))) == ("Opaque", "token", [])


# -- anything


@pytest.mark.parametrize("first", [0, 1, 4, 7, 13, 15, 0x48, 0xFF])
def test_other_first_bytes(first: int) -> None:
    assert verdict(bytes([first]) + bytes(175)) == ("Opaque", "type", [])


def test_nothing() -> None:
    assert verdict(b"") == ("Opaque", "empty", [])


def test_the_route_of_a_path_by_mailbox_belongs_to_the_group_of_its_server() -> None:
    server, mailbox = bytes(range(32)), bytes(range(32, 64))
    route = route_of(b"\x52" + server + mailbox)
    assert (route.group, route.relayed) == (b"\x52" + server, True)


# -- the reasons that a user reads


def counted(*datagrams: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """What one node drops of these, and what it remarks."""
    node, path = StatedNode(STATE, {"now_ms": NOW}).node, place_of(HOME)
    assert isinstance(path, Path)
    for one in datagrams:
        node.receive_datagram(one, path, NOW / 1000)
    return node.stats.dropped, node.stats.noted


@pytest.mark.parametrize("clear", [b"\x08" + bytes(8), b"\2short", b"\4" + bytes(25), b"\7"])
def test_what_opens_and_cannot_be_read_is_told_from_what_does_not_open(clear: bytes) -> None:
    genuine = data(clear)
    assert counted(genuine)[0] == {"data that cannot be read": 1}
    assert counted(genuine[:-1] + bytes([genuine[-1] ^ 1]))[0] == {"data that does not open": 1}
    assert counted(data(b"\4" + bytes(24), 0, CALLED))[0] == {"data that cannot be read": 1}


def test_what_comes_too_late_to_be_known_is_no_second_copy() -> None:
    assert counted(data(b"\0", 9000)) == ({}, {"a second copy": 1})
    assert counted(data(b"\0", 9000 - 8191)) == ({}, {})
    assert counted(data(b"\0", 9000 - 8192)) == ({"replay": 1}, {})


def test_an_h1_under_our_own_key_is_counted_each_time_and_told_once() -> None:
    node = StatedNode(STATE, {"now_ms": NOW})
    for sid in (b"1" * 8, b"2" * 8):
        assert node.judge(h1(static=B, sid=sid), HOME.name, NOW / 1000).verdict == "Self"
    assert node.node.stats.dropped == {"an init under our own key": 2}
    assert node.node.waiting_events == 1


def test_a_challenge_that_was_answered_is_told_from_one_that_comes_too_soon() -> None:
    right = ch(proof=crypto.challenge_proof(chaining_key(), ch()[:33]))
    assert counted(right, right)[0] == {"a challenge that was answered": 1}
    assert counted(ch(), ch())[0] == {"a challenge too soon": 1}
    assert counted(right, ch())[0] == {"a challenge too soon": 1}
