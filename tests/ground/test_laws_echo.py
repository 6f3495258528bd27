"""The laws, on the small protocol of docs/howto: what stream links and parts promise to every protocol."""

from __future__ import annotations

from echo import EchoLimits, EchoServer, Message
from hypothesis import strategies as st

from sansproto.contract import Address
from sansproto.testing.laws import Laws, Subject, links
from sansproto.testing.operations import Accept, Data

GUEST = Accept("echo", Address("192.0.2.7", 1234))
GREETING = Message(b"hi there").encode()
SAYINGS = st.sampled_from([b"hi", b"hello", b"bye", b"", b"x" * 200])


class TestEcho(Laws):
    subject = Subject(
        cls=EchoServer,
        arguments=lambda entropy, trace: {
            "entropy": entropy,
            "trace": trace,
            "limits": EchoLimits(links=4, link_queue=2000, events=8, link_packets=4),
        },
        listeners=("echo",),
        data=SAYINGS.map(lambda text: Message(text).encode()) | st.binary(max_size=20),
        verbs={"say": st.tuples(links, SAYINGS)},
        openings=((GUEST,), (GUEST, Data(0, (GREETING,))), (GUEST, GUEST, Data(0, (GREETING,)), Data(1, (GREETING,)))),
        max_state=30_000,
    )
