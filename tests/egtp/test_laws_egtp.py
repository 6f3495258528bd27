"""The laws, kept by a node, from openings that lead through handshake, session, goodbye and mailboxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from law_data import changed, drawn, prefixes
from scripted_egtp import (
    AT_A,
    AT_B,
    AT_C,
    EPHEMERAL,
    RELAY,
    SERVER,
    TERMS,
    A,
    B,
    C,
    node,
)

from sansproto.contract import Path, SendDatagram
from sansproto.egtp import EgtpNode, NodeDelays, NodeLimits, RecoveryConfig, RecoveryDelays, RecoveryLimits, crypto
from sansproto.egtp import packets as p
from sansproto.egtp.channel import read_hello, write_hello, write_welcome
from sansproto.testing._internal.subject import STARTS
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.laws import Laws, Subject
from sansproto.testing.operations import Call, Close, Data, Datagram, Failed, Moved, Op, Opened, Tick, Wait

pytestmark = pytest.mark.unmeasured

TEXT = b"what nobody but the two ends may read"
LIMITS = NodeLimits(
    links=4,
    link_queue=2000,
    link_packets=4,
    events=12,
    outbox=12,
    message=200,
    depositors=2,
    deposits=2,
    paths=3,
    pipeline=3,
)
DELAYS = NodeDelays(poll=50.0, redial=4.0, unused=20.0, stalled=90.0, unread=90.0)
RECOVERY = RecoveryConfig(
    direct=RecoveryDelays(has_hints=False, future=1e15),
    relay=RecoveryDelays.relay(50.0),
    limits=RecoveryLimits(peers=3, queue=3, candidates=6, groups=2, tombstones=6, said=2, notices=4),
)
"""Hints are off: who asks for one changes the budget for them, which is no plain value of the node. No stamp is of the
future, and our own do not depend on when a run begins: its clock is far behind."""


def arguments(entropy: Any, trace: Any) -> dict[str, Any]:
    return {
        "private_key": A.private,
        "entropy": entropy,
        "wall_epoch": -1e12,
        "relays": (RELAY,),
        "recovery": RECOVERY,
        "limits": LIMITS,
        "delays": DELAYS,
        "trace": trace,
    }


def said_by(one: EgtpNode) -> list[bytes]:
    return [transmit.data for transmit in iter(one.next_transmit, None) if isinstance(transmit, SendDatagram)]


def conversation(start: float = 1000.0) -> tuple[list[list[bytes]], list[bytes]]:
    """What B says, in turns, to a node that runs as the laws let it, from its H1 on; and what it says when called.

    A run of the laws draws the same as this one as long as it does the same, so that these bytes open there.
    """
    us = EgtpNode(**arguments(ScriptedEntropy(seed=b"laws"), None))
    b = node(B, "laws", wall_epoch=-1e12, recovery=RECOVERY)
    turns: list[list[bytes]] = []

    def hear(data: Sequence[bytes], now: float) -> None:
        turns.append(list(data))
        for one in data:
            us.receive_datagram(one, AT_B, now)

    b.connect(A.public, AT_A, start)
    hear(said_by(b), start)
    for step in range(3):
        for one in said_by(us):
            b.receive_datagram(one, AT_A, start)
        if step:
            b.send(A.public, TEXT, start)
        hear(said_by(b), start)
    b.disconnect(A.public, start)
    hear(said_by(b), start)
    called = EgtpNode(**arguments(ScriptedEntropy(seed=b"laws"), None))
    c = node(C, "laws", wall_epoch=-1e12, recovery=RECOVERY)
    called.connect(C.public, AT_C, start)
    answers = []
    for _ in range(3):
        for one in said_by(called):
            c.receive_datagram(one, AT_A, start)
        heard = said_by(c)
        answers += heard
        for one in heard:
            called.receive_datagram(one, AT_C, start)
    return turns, answers


def at(path: Path, data: Sequence[bytes]) -> list[Op]:
    return [Datagram(one, path) for one in data]


TURNS, ANSWERS = conversation()
FROM_B = [one for turn in TURNS for one in turn]
HELLO, _ = write_hello(A, drawn(f"egtp.mailbox.{SERVER.public.hex()[:8]}.ephemeral"), SERVER.public)
WELCOME, CHANNEL = write_welcome(read_hello(SERVER, HELLO[2:]), EPHEMERAL, TERMS)
STORED = [
    WELCOME,
    *map(
        CHANNEL.outgoing.seal,
        map(
            p.RESPONSE.encode,
            [
                p.Registered(b"epoch..1", 3),
                p.Message(1, b"junk"),
                p.Message(2, FROM_B[0]),
                p.Polled(2, 0),
                p.Acked(2, 0),
            ],
        ),
    ),
]
STRANGER = node(B, "stranger", wall_epoch=-1e12, recovery=RECOVERY)
STRANGER.connect(C.public, AT_A, 0.0)
FOR_ANOTHER = said_by(STRANGER)

CALLED_BY_B: list[Op] = [op for turn in TURNS for op in at(AT_B, turn)]
CALLING_C: list[Op] = [Call("connect", (C.public, AT_C)), Call("send", (C.public, TEXT)), *at(AT_C, ANSWERS)]
POLLING: list[Op] = [
    Call("start"),
    Opened(0),
    Data(0, (WELCOME,)),
    Data(0, (STORED[1],)),
    Data(0, (b"".join(STORED[2:5]),)),
    Opened(0),
]
BY_MAILBOX: list[Op] = [Call("start"), Call("connect_by_mailbox", (B.public, SERVER.public)), Opened(0), Opened(0)]


def near() -> st.SearchStrategy[bytes]:
    """What is valid at one time or another, damaged, cut off; packets of any content; and anything else."""
    one = st.sampled_from([*FROM_B, *ANSWERS])
    damaged = st.builds(changed, one, st.integers(0, 180), st.integers(1, 255))
    cut = st.builds(lambda data, end: data[: end % len(data)], one, st.integers(0, 180))
    return st.one_of(one, one, one, damaged, cut)


NOBODYS = st.sampled_from(
    [
        b"",
        b"\7" + bytes(40),
        *FOR_ANOTHER,
        p.DATAGRAM.encode(p.H2(b"nobody's", bytes(32), bytes(48))),
        p.DATAGRAM.encode(p.CH(b"nobody's", b"t" * 24, bytes(8))),
        p.DATAGRAM.encode(p.Data(b"nobody's", 7, bytes(30))),
        p.DATAGRAM.encode(p.Hint(b"nobody's")),
        p.DATAGRAM.encode(p.Hint(b"nobody's", bytes(16))),
    ]
)


class TestNode(Laws):
    subject = Subject(
        cls=EgtpNode,
        arguments=arguments,
        data=st.sampled_from(STORED)
        | st.builds(changed, st.sampled_from(STORED), st.integers(0, 60), st.integers(1, 255))
        | st.binary(max_size=30),
        datagrams=near(),
        strangers=NOBODYS | st.binary(max_size=30),
        paths=st.sampled_from(
            [AT_B, AT_B, AT_C, AT_C, Path("udp", "203.0.113.66", 666), Path("wifi", "2001:db8::7", 9)]
        ),
        verbs={
            "start": st.just(()),
            "connect": st.tuples(
                st.sampled_from([B.public, C.public, A.public, bytes(32)]), st.sampled_from([AT_B, AT_C])
            ),
            "connect_by_mailbox": st.tuples(
                st.sampled_from([B.public, C.public]), st.sampled_from([SERVER.public, bytes(32)])
            ),
            "send": st.tuples(st.sampled_from([B.public, C.public]), st.sampled_from([b"", TEXT, bytes(201)])),
            "disconnect": st.tuples(st.sampled_from([B.public, C.public])),
        },
        openings=(
            (),
            *prefixes(CALLED_BY_B, 1),
            *prefixes(CALLING_C, 1),
            (*CALLED_BY_B[:3], Wait(16.0)),
            (*CALLED_BY_B[:3], Call("disconnect", (B.public,)), Wait(5.0), CALLED_BY_B[-2]),
            (*CALLED_BY_B[:3], Close(), Wait(1.0)),
            (*CALLED_BY_B[:3], Failed(AT_B), Tick()),
            *prefixes(POLLING, 2),
            (*POLLING, Wait(61.0)),
            (*POLLING, Moved()),
            (*CALLED_BY_B[:3], Moved(60.0)),
            *prefixes(BY_MAILBOX, 3),
        ),
        secrets=(A.private, TEXT, drawn("recovery.token_secret"), drawn("recovery.path_secret")),
        max_state=120_000,
        max_write=3000,
    )


def test_the_openings_lead_where_they_should() -> None:
    """If a packet did not open any more, all would be as silent as without it; and it does whenever a run begins."""
    for start in STARTS:
        assert conversation(start) == (TURNS, ANSWERS)
    called = TestNode.subject.run().play(CALLED_BY_B[:4])
    (peer,) = called.endpoint.recovery.peers.values()
    assert (peer.key, peer.state.name, peer.generation) == (B.public, "LIVE", 1)
    assert [type(event).__name__ for event in called.events] == ["Established", "MessageReceived"]
    calling = TestNode.subject.run().play(CALLING_C)
    (peer,) = calling.endpoint.recovery.peers.values()
    assert (peer.key, peer.state.name, peer.generation) == (C.public, "LIVE", 1)
    polling = TestNode.subject.run().play(POLLING)
    (mailbox,) = polling.endpoint.relays.own.values()
    assert (mailbox.state.name, mailbox.taken) == ("IDLE", 2)
    assert list(polling.endpoint.relays.depositors) == [(SERVER.public, crypto.mailbox_id(SERVER.public, B.public))]
