"""The golden vectors of Overte's bytes, and what goes beyond what a vector says."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import convert_vectors
import pytest
from altering import altered

from sansproto.errors import WireError
from sansproto.overte.packets import PACKETS, DomainConnectRequest
from sansproto.overte.payloads import DATAGRAM, PAYLOADS
from sansproto.testing import conformance_overte
from sansproto.testing.conformance import differences
from sansproto.testing.vectors import VectorTest, load

OVERTE = Path(__file__).parents[2] / "vectors" / "overte"
TESTS = [test for file in ("codec", "crypto", "payloads", "packed") for test in load(OVERTE / f"{file}.json")]
DATAGRAMS = [test for test in TESTS if test.type == "overte.datagram"]


def name_of(test: VectorTest) -> str:
    return f"{test.type}-{test.tc_id}"


def test_all_are_run() -> None:
    print(f"{len(TESTS)} vectors are run")
    assert Counter(test.type for test in TESTS) == {
        "overte.datagram": 80 + 36,
        "overte.payload": 2 + 45,
        "overte.lenient": 1,
        "overte.qt": 25,
        "overte.protocol_signature": 2,
        "overte.mac": 9,
        "overte.username_signature": 6,
        "overte.qcompress": 9,
        "overte.packed": 36,
        "overte.unpacked": 36 + 256,
    }
    found = Counter(test.group.provenance for test in TESTS)
    assert found["reference-library"] == 63 + 2 + 5 + 42 + 36 + 292  # payloads alone, MACs, payloads of nodes, numbers
    assert found["reference-capture"] == 36 + 3
    assert not conformance_overte.CANNOT


@pytest.mark.parametrize("test", TESTS, ids=name_of)
def test_what_the_real_implementation_makes_of_it(test: VectorTest) -> None:
    assert differences(test, conformance_overte) == []


def test_every_packet_has_a_vector_that_is_not_our_own() -> None:
    golden = [test for test in TESTS if test.type in ("overte.datagram", "overte.payload")]
    found = {test["packet"] for test in golden if test.valid and test.group.provenance != "self"}
    assert found >= {kind.__name__ for kind in (*PACKETS.values(), *PAYLOADS.values())}


@pytest.mark.parametrize("test", DATAGRAMS, ids=name_of)
def test_dissection_says_the_same(test: VectorTest) -> None:
    """Every byte is in one leaf, and the tree has the fault; each beginning dissects too."""
    wire = test.octets("wire")
    tree = DATAGRAM.dissect(wire)
    leaves = [node for node in tree.walk() if not node.children and "plain" not in node.name]
    if not any(node.opened for node in leaves):
        assert b"".join(node.raw for node in leaves) == wire
    faults = {node.fault for node in tree.walk()} - {None}
    assert faults == ({test.error} if test.error else set())
    for size in range(len(wire)):
        DATAGRAM.dissect(wire[:size])


def test_the_reference_is_lenient_where_ours_is_not() -> None:
    """The investigation's connect request is refused strictly, at the scope of an address that is no IPv6 address."""
    (test,) = (test for test in TESTS if test.type == "overte.payload" and not test.valid)
    with pytest.raises(WireError) as error:
        DomainConnectRequest.decode(test.octets("wire"))
    assert error.value.field == "check_in.public_socket.scope"


# -- captures

CAPTURES = load(OVERTE / "captures.json").tests
PAGE = (OVERTE.parents[1] / "docs" / "protocols" / "overte.rst").read_text("utf-8")


@pytest.mark.parametrize("test", CAPTURES, ids=name_of)
def test_what_a_real_one_received_is_the_same_to_ours(test: VectorTest) -> None:
    assert differences(test, conformance_overte) == []


def test_every_party_of_the_captures_is_there() -> None:
    """But for a domain whose key is not told, and who only asks for an assignment."""
    assert Counter((test.comment.partition(":")[0], test.type) for test in CAPTURES) == {
        ("real-agent-real-mixer-real-server", "overte.client"): 2,
        ("real-agent-real-mixer-real-server", "overte.server"): 1,
        ("real-agent-real-mixer-our-server", "overte.client"): 2,
        ("real-agent-real-mixer-our-server", "overte.server"): 1,
        ("our-agent-real-mixer-real-server", "overte.client"): 2,
        ("our-agent-real-mixer-real-server", "overte.server"): 1,
        ("ice-real-ice-server-our-domain-both-clients", "overte.client"): 2,
        ("ice-real-ice-server-our-domain-both-clients", "overte.ice_server"): 1,
    }


def test_the_page_names_all_that_was_dropped_of_what_real_ones_received() -> None:
    section = PAGE.split("\nCaptures\n--------\n", 1)[1].split("\n---", 1)[0]
    dropped = {reason for test in CAPTURES for reason in test["outcome"]["dropped"]}
    assert dropped
    assert {reason for reason in dropped if f"``{reason}``" not in section} == set()


def test_a_capture_with_another_outcome_fails() -> None:
    test = next(test for test in CAPTURES if "RADIUS_IGNORE_REQUEST" in str(test["steps"]))
    fails = partial(altered, test, conformance_overte)
    assert fails(lambda body: body["outcome"]["events"].pop()) == ["events"]
    assert fails(lambda body: body["outcome"]["dropped"].clear()) == ["dropped"]
    assert fails(lambda body: body["outcome"]["sent"].reverse()) == ["sent"]
    assert fails(lambda body: body["entropy"].update(luck=["00"])) == ["not drawn"]
    # With another clock no reply fits; without the assignment nobody comes in.
    assert fails(lambda body: body["config"].update(wall_epoch_us=0)) == ["events", "dropped", "sent", "not drawn"]
    server = next(test for test in CAPTURES if test.type == "overte.server")
    found = altered(server, conformance_overte, lambda body: body["steps"].pop(0))
    assert found[:3] == ["events", "dropped", "sent"]


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    for kind, what in (
        ("overte-captures", "a capture of Overte"),
        ("overte-payloads", "a file of Overte's payloads"),
        ("overte-packed", "a file of Overte's payloads"),
    ):
        with pytest.raises(SystemExit, match=f"not {what}"):
            convert_vectors.main([kind, str(OVERTE / "codec.json"), str(tmp_path / "out")])
