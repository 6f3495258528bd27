"""The laws, on the small protocol of docs/howto: what the bases and parts promise to every protocol."""

from __future__ import annotations

import attrs
import pytest
from echo import GUESTS, PROBES, CarefulServer, Count, EchoLimits, EchoServer, Message, Probe, Prober, ProberLimits
from echo.packets import TO_PROBER, TO_SERVER
from hypothesis import strategies as st

from sansproto import contract
from sansproto.contract import Address
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.laws import Laws, Subject, links
from sansproto.testing.operations import Accept, Call, Data, Datagram
from sansproto.testing.strategies import packets

pytestmark = pytest.mark.unmeasured

GUEST = Accept(GUESTS, Address("192.0.2.7", 1234))
GREETING = Data(0, (Message(b"hi there").encode(),))
SAYINGS = st.sampled_from(["hi", "hello", "bye", "", "x" * 200, "y" * 201])
MESSAGES = SAYINGS.map(str.encode) | st.just(b"\xff")


class TestEchoServer(Laws):
    subject = Subject(
        cls=EchoServer,
        arguments=lambda entropy, trace: {
            "entropy": entropy,
            "trace": trace,
            "limits": EchoLimits(links=4, link_queue=2000, events=8, link_packets=4, outbox=8),
        },
        listeners=(GUESTS,),
        data=MESSAGES.map(lambda text: bytes([len(text)]) + text) | st.binary(max_size=20),
        strangers=packets(Probe).map(TO_SERVER.encode) | st.binary(max_size=20),
        verbs={"say": st.tuples(links, SAYINGS)},
        openings=((GUEST,), (GUEST, GREETING), (GUEST, GUEST, GREETING)),
        max_state=30_000,
    )


class TestCarefulServer(Laws):
    """Strangers use up a budget, and change nothing else."""

    subject = attrs.evolve(TestEchoServer.subject, cls=CarefulServer)


SERVER, OTHER = (contract.Path(PROBES, host, 7) for host in ("192.0.2.1", "192.0.2.2"))
NUMBER = ScriptedEntropy(seed=b"laws")(8, purpose="number")  # what a run of the laws draws first
COUNTS = packets(Count).map(TO_PROBER.encode)
ANSWER = TO_PROBER.encode(Count(NUMBER, 3))


class TestProber(Laws):
    subject = Subject(
        cls=Prober,
        arguments=lambda entropy, trace: {
            "server": SERVER,
            "entropy": entropy,
            "trace": trace,
            "limits": ProberLimits(questions=3, events=4, outbox=4),
        },
        paths=st.sampled_from([SERVER, OTHER]),
        datagrams=st.just(ANSWER) | COUNTS | st.binary(max_size=20),
        strangers=COUNTS.filter(lambda data: data != ANSWER) | st.binary(max_size=20),
        verbs={"probe": st.just(())},
        openings=((), (Call("probe"),), (Call("probe"), Datagram(ANSWER, SERVER))),
        max_state=2_000,
    )
