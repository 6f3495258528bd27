"""The golden vectors of Tox, and the converter that made them ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import convert_vectors
import pytest
from nacl import bindings as sodium

from sansproto.testing import conformance_tox
from sansproto.testing.conformance import differences
from sansproto.testing.vectors import VectorTest, load, validate
from sansproto.tox import packets as p

FOLDER = Path(__file__).parents[2] / "vectors" / "tox"
GOLDEN = [test for name in ("tox.json", "codec.json") for test in load(FOLDER / name)]
HOW = "real toxcore v0.2.18"


def name_of(test: VectorTest) -> str:
    return f"{test.type}-{test.tc_id}"


@pytest.mark.parametrize("test", GOLDEN, ids=name_of)
def test_golden(test: VectorTest) -> None:
    assert differences(test, conformance_tox) == []


def test_every_golden_test_is_there_with_where_it_comes_from() -> None:
    tests = load(FOLDER / "tox.json").tests
    assert len({test.comment for test in tests}) == 129
    captured = {test.group.provenance for test in tests if test.comment.startswith("session_")}
    made = {test.group.provenance for test in tests if not test.comment.startswith("session_")}
    assert (captured, made) == ({"reference-capture"}, {"reference-library"})


def test_every_packet_has_a_vector() -> None:
    kinds = {kind.__name__ for codec in (p.DATAGRAM, p.FRIEND, p.CONTROL, p.NODE) for kind in codec.packets.values()}
    kinds |= {"Relayed", *conformance_tox.PARTS}
    assert {test["packet"] for test in load(FOLDER / "codec.json") if test.valid} == kinds | {"Nodes"}


# -- the converter


def converted(tmp_path: Path, *tests: Any, kind: str = "tox") -> list[VectorTest]:
    source = tmp_path / "given.json"
    source.write_text(json.dumps([{"how_made": HOW, **test} for test in tests]), "utf-8")
    assert convert_vectors.main([kind, str(source), str(tmp_path / "out")]) == 0
    return [*validate(tmp_path / "out" / "given.json", FOLDER.parent / "schema")]


def found(tmp_path: Path, name: str, hexadecimal: str, **inputs: Any) -> list[str]:
    """What differs in a test of the golden shape, by member; the whole line where the member does not say it."""
    (test,) = converted(tmp_path, {"name": name, "inputs": inputs, "hex": hexadecimal})
    return [line.partition(": expected")[0] for line in differences(test, conformance_tox)]


def key(number: int) -> bytes:
    return bytes([number]) * 32


def public(number: int) -> bytes:
    return sodium.crypto_scalarmult_base(key(number))


def shared(one: int, other: int) -> bytes:
    return sodium.crypto_box_beforenm(public(one), key(other))


NONCE = bytes(range(24))


def sealed(one: int, other: int, clear: bytes) -> bytes:
    return sodium.crypto_secretbox(clear, NONCE, shared(one, other))


def test_an_unknown_name_is_kept_and_fails(tmp_path: Path) -> None:
    assert found(tmp_path, "Black-magic_7", "00", spell="00") == ["no check for tox.black_magic"]


def test_an_unknown_member_is_kept_and_fails(tmp_path: Path) -> None:
    right = sodium.crypto_hash_sha512(b"x").hex()
    assert found(tmp_path, "sha512_9", right, data=b"x".hex()) == []
    assert found(tmp_path, "sha512_9", right, data=b"x".hex(), color="red") == ["color"]
    (test,) = converted(tmp_path, {"name": "sha512_9", "inputs": {"data": "78"}, "hex": right, "color": 2**60})
    assert differences(test, conformance_tox) == [f"color: expected {2**60}, got None"]


@pytest.mark.parametrize("document", [{}, {"tests": []}, [1], [{"name": "sha512_1", "hex": ""}]])
def test_another_kind_of_file_is_refused(document: Any, tmp_path: Path) -> None:
    source = tmp_path / "given.json"
    source.write_text(json.dumps(document), "utf-8")
    with pytest.raises(SystemExit, match="not a file of Tox vectors"):
        convert_vectors.main(["tox", str(source), str(tmp_path / "out")])


def test_the_packets_of_a_file_are_cut_out(tmp_path: Path) -> None:
    golden = {"name": "session_data_id64_1", "inputs": {"payload": "4031"}, "hex": "1b0102" + "33" * 29}
    tests = converted(tmp_path, golden, golden, kind="tox-packets")
    assert [(test["packet"], test["fields"]) for test in tests if test.comment == golden["name"]] == [
        ("Data", {"tail": 258, "sealed": "33" * 29}),
        ("Message", {"text": "31"}),
    ]


# -- tests of the golden kinds that the golden file does not have


def test_an_agreement(tmp_path: Path) -> None:
    keys = {"secret_key": key(1).hex(), "public_key": public(2).hex()}
    assert found(tmp_path, "encrypt_precompute_1", shared(1, 2).hex(), **keys) == []
    assert found(tmp_path, "encrypt_precompute_1", shared(1, 3).hex(), **keys) == ["out"]
    assert found(tmp_path, "precompute_1", "00", **{**keys, "public_key": "00" * 32}) == ["out", "error"]


@pytest.mark.parametrize(("ip", "packed"), [("2001:db8::1", "20010db8" + "00" * 11 + "01"), ("10.0.0.1", "0a000001")])
@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_node(ip: str, packed: str, kind: str, tmp_path: Path) -> None:
    version = "ipv6" if ":" in ip else "ipv4"
    family = {"udp": {"ipv4": "02", "ipv6": "0a"}, "tcp": {"ipv4": "82", "ipv6": "8a"}}[kind][version]
    node = family + packed + "0050" + public(1).hex()
    given = {"ip": ip, "port": 80, "public_key": public(1).hex()}
    assert found(tmp_path, f"pack_node_{kind}_{version}_1", node, **given) == []
    assert found(tmp_path, f"pack_node_{kind}_{version}_1", "03" + node[2:], **given) == ["out"]


def test_a_cookie_request_with_all_keys(tmp_path: Path) -> None:
    clear = public(3) + bytes(32) + b"number08"
    packet = b"\x18" + public(1) + NONCE + sealed(1, 2, clear)
    given = {
        "sender_dht_sk": key(1).hex(),
        "sender_dht_pk": public(1).hex(),
        "receiver_dht_pk": public(2).hex(),
        "receiver_dht_sk": key(2).hex(),
        "sender_real_sk": key(3).hex(),
        "sender_real_pk": public(3).hex(),
        "number_bytes": b"number08".hex(),
        "plain": clear.hex(),
        "handled": 0,
    }
    assert found(tmp_path, "cookie_request_1", packet.hex(), **given) == []
    for name in ("sender_dht_pk", "receiver_dht_pk", "sender_real_pk", "number_bytes", "plain"):
        assert found(tmp_path, "cookie_request_1", packet.hex(), **{**given, name: "00"}) == [name]
    assert found(tmp_path, "cookie_request_1", packet.hex(), **{**given, "handled": -1}) == ["accepted"]


def test_a_cookie_whose_issuer_is_not_known(tmp_path: Path) -> None:
    clear = bytes(range(112)) + b"number08"
    packet = b"\x19" + NONCE + sealed(1, 2, clear)
    given = {
        "sender_dht_sk": key(1).hex(),
        "receiver_dht_pk": public(2).hex(),
        "cookie": clear[:112].hex(),
        "nonce": NONCE.hex(),
        "shared_key": shared(1, 2).hex(),
        "handled": 112,
    }
    assert found(tmp_path, "cookie_response_2", packet.hex(), **given) == []
    for name in ("cookie", "nonce", "shared_key"):
        assert found(tmp_path, "cookie_response_2", packet.hex(), **{**given, name: "00"}) == [name]


def test_a_packet_that_toxcore_refused(tmp_path: Path) -> None:
    packet = b"\x18" + public(1) + NONCE + sealed(1, 2, bytes(72))[:-1] + b"!"
    keys = {"sender_dht_pk": public(1).hex(), "receiver_dht_sk": key(2).hex()}
    assert found(tmp_path, "cookie_request_2", packet.hex(), **keys, handled=-1) == []
    assert found(tmp_path, "cookie_request_2", packet.hex(), **keys, handled=0) == ["accepted", "out"]


def test_a_relays_answer(tmp_path: Path) -> None:
    clear = public(3) + bytes(23) + b"!"
    given = {
        "server_sk": key(1).hex(),
        "client_pk": public(2).hex(),
        "server_temp_sk": key(3).hex(),
        "server_temp_pk": public(3).hex(),
        "server_base_nonce": clear[32:].hex(),
        "plain": clear.hex(),
        "client_handled": 0,
    }
    packet = NONCE + sealed(1, 2, clear)
    assert found(tmp_path, "tcp_server_handshake", packet.hex(), **given) == []
    assert found(tmp_path, "tcp_server_handshake", packet.hex(), **{**given, "plain": "00"}) == ["plain"]
    clears = [
        test
        for test in converted(
            tmp_path, {"name": "tcp_server_handshake", "inputs": given, "hex": packet.hex()}, kind="tox-packets"
        )
        if test.comment == "tcp_server_handshake"
    ]
    assert [(test["packet"], test["wire"]) for test in clears] == [
        ("RelayKeys", clear.hex()),
        ("RelayAnswer", packet.hex()),
    ]


def test_a_frame_that_is_no_packet(tmp_path: Path) -> None:
    frame = sodium.crypto_secretbox(b"\x0c\x10", NONCE, key(1))
    given = {"shared_key": key(1).hex(), "nonce": NONCE.hex(), "plain": "0c10", "ret": 1}
    wire = (len(frame).to_bytes(2, "big") + frame).hex()
    assert found(tmp_path, "tcp_frame_2", wire, **given) == []
    assert found(tmp_path, "tcp_frame_2", wire, **given, routing_id=16) == ["routing_id"]
