"""The laws, kept by a gateway and a peer, from openings that lead through handshakes, sessions and questions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from law_data import changed, drawn, prefixes
from scripted_freenet import GATE, JOIN, OTHER, SEEN, fragment, make_intro, of

from sansproto.contract import Path
from sansproto.freenet import OURS, FreenetDelays, FreenetGateway, FreenetLimits, FreenetPeer
from sansproto.freenet import packets as p
from sansproto.freenet.crypto import Cipher
from sansproto.testing.laws import Laws, Subject
from sansproto.testing.operations import Call, Close, Datagram, Failed, Op, Tick, Wait

pytestmark = pytest.mark.unmeasured

TEXT = b"what nobody but the two ends may read"
HERE, THERE = Path("udp", "192.0.2.7", 4000), Path("udp", "198.51.100.8", 4001)
LIMITS = FreenetLimits(
    events=12,
    outbox=12,
    sessions=4,
    sessions_of_host=3,
    generations=2,
    candidates=3,
    candidates_of_address=2,
    addresses=3,
    message=5000,
    unsent=6000,
    streams=2,
    stream_bytes=5000,
    window=8,
    burst=4,
    expected=2,
)
DELAYS = FreenetDelays(dead=60.0)


def arguments(entropy: Any, trace: Any, secret: bytes = GATE.secret) -> dict[str, Any]:
    return {"private_key": secret, "entropy": entropy, "limits": LIMITS, "delays": DELAYS, "trace": trace}


def seal(key: bytes, number: int, body: p.Body, *acked: int, nonce: str = "") -> bytes:
    return Cipher(key).seal(of(f"nonce {number} {body} {nonce}", 12), p.Clear(number, acked, body).encode())


def short(text: bytes) -> p.ShortMessage:
    return p.ShortMessage(p.Message(text).encode())


def talk(key: bytes, ack_key: bytes) -> list[bytes]:
    """What somebody says who receives under the second key, and sends under the first."""
    whole = p.Message(TEXT * 40).encode()
    return [
        seal(key, 0, p.AckConnection(p.Granted(ack_key, SEEN))),
        seal(key, 1, short(TEXT)),
        seal(key, 2, p.Ping(7)),
        seal(key, 3, fragment(1, whole[: p.FRAGMENT_SIZE], len(whole))),
        seal(key, 4, fragment(2, whole[p.FRAGMENT_SIZE :], len(whole))),
        seal(key, 5, p.NoOp(), 1, 2, 3),
        seal(key, 6, fragment(1, b"x", 9, stream=7)),
        seal(key, 7, fragment(1, b"x", 1 << 63, stream=8)),
        seal(key, 0, p.Pong(5)),
    ]


def at(path: Path, data: list[bytes]) -> list[Op]:
    return [Datagram(one, path) for one in data]


KEY, OTHER_KEY = of("guest key", 16), of("another key", 16)
INTRO, OTHER_INTRO = make_intro(GATE, KEY, "guest"), make_intro(GATE, OTHER_KEY, "another")
GRANTED = drawn(f"candidate.{INTRO[1:9].hex()}.key")[:16]
OTHER_GRANTED = drawn(f"candidate.{OTHER_INTRO[1:9].hex()}.key")[:16]
SAID, OTHER_SAID = talk(GRANTED, KEY), talk(OTHER_GRANTED, OTHER_KEY)
COMES: list[Op] = [*at(HERE, [INTRO, *SAID]), *at(HERE, [OTHER_INTRO, *OTHER_SAID[:2]])]
FAST: list[Op] = at(HERE, [INTRO, *SAID[:2]])

NOBODYS = [
    b"",
    b"\7" + bytes(40),
    b"\1" * 73,
    b"\1" + bytes(72),
    make_intro(OTHER, KEY, "to somebody else"),
    b"\2" * 11,
    b"\2" * 60,
    b"\2" * 1200,
    seal(of("nobody's", 16), 1, short(TEXT)),
]


def near(known: list[bytes]) -> st.SearchStrategy[bytes]:
    """What is valid at one time or another, damaged, and cut off."""
    one = st.sampled_from(known)
    damaged = st.builds(changed, one, st.integers(0, 180), st.integers(1, 255))
    cut = st.builds(lambda data, end: data[: end % len(data)], one, st.integers(0, 180))
    return st.one_of(one, one, one, damaged, cut)


class TestGateway(Laws):
    subject = Subject(
        cls=FreenetGateway,
        arguments=arguments,
        datagrams=near([INTRO, *SAID, OTHER_INTRO, *OTHER_SAID]),
        strangers=st.sampled_from(NOBODYS) | st.binary(max_size=30),
        paths=st.sampled_from([HERE, HERE, HERE, THERE, Path("wifi", "2001:db8::7", 9)]),
        verbs={
            "send": st.tuples(st.sampled_from([1, 1, 2, 3]), st.sampled_from([b"", TEXT, bytes(4000), bytes(5001)])),
            "end_session": st.tuples(st.sampled_from([1, 2, 3])),
        },
        openings=(
            (),
            *prefixes(COMES, 1),
            (*FAST, Call("send", (1, TEXT)), Wait(3.0)),
            (*FAST, Call("send", (1, bytes(4000))), Tick()),
            (*COMES, Wait(2.0)),
            (*FAST, Datagram(OTHER_INTRO, HERE), Wait(2.0), Datagram(SAID[2], HERE)),
            (*FAST, Wait(59.0)),
            (*FAST, Failed(HERE), Close()),
        ),
        secrets=(GATE.secret, TEXT, GRANTED, OTHER_GRANTED, KEY),
        max_state=200_000,
    )


CALLED = f"call.{HERE.host}:{HERE.port}.1"
OWN_KEY = drawn(f"{CALLED}.key")[:16]
GATE_KEY = of("gate key", 16)
ANSWERS = [
    seal(OWN_KEY, 0, p.AckConnectionV2(GATE_KEY, SEEN, OURS.wire)),
    seal(OWN_KEY, 0, p.AckConnection(p.Refusal("expected version 9.9.9"))),
]
HEARD = talk(OWN_KEY, GATE_KEY)[1:]
TO_PEER = make_intro(JOIN, KEY, "guest")
AS_GUEST = talk(drawn(f"candidate.{TO_PEER[1:9].hex()}.key")[:16], KEY)
CALLING: list[Op] = [Call("connect", (GATE.public, HERE)), *at(HERE, [ANSWERS[0], *HEARD])]


class TestPeer(Laws):
    subject = Subject(
        cls=FreenetPeer,
        arguments=lambda entropy, trace: arguments(entropy, trace, JOIN.secret),
        datagrams=near([TO_PEER, *AS_GUEST, *ANSWERS, *HEARD]),
        strangers=st.sampled_from(NOBODYS) | st.binary(max_size=30),
        paths=st.sampled_from([HERE, HERE, HERE, THERE]),
        verbs={
            "connect": st.tuples(
                st.sampled_from([GATE.public, JOIN.public, bytes(32)]), st.sampled_from([HERE, THERE])
            ),
            "expect": st.tuples(st.sampled_from([HERE, THERE])),
            "send": st.tuples(st.sampled_from([1, 1, 2]), st.sampled_from([b"", TEXT, bytes(4000), bytes(5001)])),
            "disconnect": st.tuples(st.sampled_from([HERE, THERE])),
            "end_session": st.tuples(st.sampled_from([1, 2])),
        },
        openings=(
            (),
            *prefixes(CALLING, 2),
            (*CALLING[:1], Datagram(ANSWERS[1], HERE)),
            (*CALLING[:2], Wait(11.0)),
            (*CALLING[:2], Wait(8.0)),
            (*CALLING[:1], Wait(11.0)),
            (*CALLING[:1], *at(HERE, [TO_PEER, *AS_GUEST[:3]]), Wait(2.5)),
            (*CALLING[:2], *at(HERE, [TO_PEER, *AS_GUEST[:3]])),
            (Call("expect", (THERE,)), *at(THERE, [TO_PEER, *AS_GUEST[:3]])),
        ),
        secrets=(JOIN.secret, TEXT, OWN_KEY, GATE_KEY),
        max_state=200_000,
    )


def test_the_openings_lead_where_they_should() -> None:
    came = TestGateway.subject.run().play(COMES)
    assert len(came.endpoint.sessions) == 2
    called = TestPeer.subject.run().play(CALLING)
    assert len(called.endpoint.sessions) == 1
