"""The laws, kept by mailbox server and client, from openings that lead into each state of their tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from law_data import drawn, near, prefixes
from scripted_egtp import EPHEMERAL, EPOCH, OTHER, OWNER, SERVER, TERMS, deposit, mailbox_of

from sansproto.contract import Address
from sansproto.egtp import (
    MAILBOX_PORT,
    KeyPair,
    MailboxClient,
    MailboxClientDelays,
    MailboxClientLimits,
    MailboxServer,
    MailboxServerDelays,
    MailboxServerLimits,
    StoredMailbox,
    StoredMessage,
)
from sansproto.egtp import packets as p
from sansproto.egtp.channel import read_hello, read_welcome, write_hello, write_welcome
from sansproto.testing.laws import Laws, Subject
from sansproto.testing.operations import Accept, Call, Close, Data, Eof, Lost, Op, Opened, Wait

pytestmark = pytest.mark.unmeasured

TEXT = b"what only the owner of a mailbox may read"
HERE, THERE = Address("192.0.2.7", 1234), Address("198.51.100.8", 1234)


# -- the server --------------------------------------------------------------------------------------------------------

SERVER_LIMITS = MailboxServerLimits(
    links=4,
    link_queue=3000,
    link_packets=4,
    events=30,
    links_of_group=3,
    max_blob=200,
    pipeline=4,
    unsent=500,
    mailboxes=3,
    new_mailboxes=2,
    groups=2,
    mailbox_messages=3,
    mailbox_bytes=400,
    mailbox_messages_of_group=2,
    stored_messages=600,
    stored_bytes=60_000,
    deposits=4,
    deposit_rate=1,
)
SERVER_DELAYS = MailboxServerDelays(stalled=90.0, unread=90.0, idle=400.0, retention=900.0, unpolled=2000.0, seen=300.0)


def talk(link: int, static: KeyPair, *requests: p.Request | bytes) -> list[bytes]:
    """All frames of a client on this link, for a server that draws what the laws give it."""
    hello, kept = write_hello(static, EPHEMERAL, SERVER.public)
    welcome, _ = write_welcome(read_hello(SERVER, hello[2:]), drawn(f"link.{link}.ephemeral"), TERMS)
    _, channel = read_welcome(kept, static, welcome[2:])
    clears = [one if isinstance(one, bytes) else p.REQUEST.encode(one) for one in requests]
    return [hello, *map(channel.outgoing.seal, clears)]


OWNERS = talk(
    1, OWNER, p.Register(), deposit(TEXT), p.Poll(2), p.Ack(1), deposit(bytes(200)), p.Poll(64), deposit(b"x", OTHER)
)
DEPOSITORS = talk(2, OTHER, deposit(TEXT), deposit(TEXT), deposit(TEXT, OTHER), deposit(TEXT), p.Register(), b"\5")
SECOND = talk(3, OWNER, p.Register(), p.Poll(1), p.Poll(1), p.Ack(9))
LOADED = StoredMailbox(
    mailbox=mailbox_of(OWNER),
    epoch=b"epoch..1",
    group=b"\4\xc6\x33\x64",
    polled_at=(EPOCH + 1) * 1000,
    floor=1,
    last_seq=3,
    messages=(StoredMessage(3, TEXT, b"\4\xc0\0\2", EPOCH * 1000),),
)
STEPS: list[Op] = [
    Accept(MAILBOX_PORT, HERE),
    Data(0, (OWNERS[0],)),
    Data(0, (OWNERS[1],)),
    Call("stored", (1,)),
    Accept(MAILBOX_PORT, THERE),
    Data(1, (DEPOSITORS[0] + DEPOSITORS[1],)),
    Data(0, (OWNERS[2],)),
    Call("stored", (3,)),
    Data(0, (OWNERS[3],)),
    Data(0, (OWNERS[4],)),
    Call("stored", (4,)),
    Accept(MAILBOX_PORT, HERE),
    Data(2, (SECOND[0] + SECOND[1],)),
]


class TestMailboxServer(Laws):
    subject = Subject(
        cls=MailboxServer,
        arguments=lambda entropy, trace: {
            "private_key": SERVER.private,
            "entropy": entropy,
            "wall_epoch": float(EPOCH),
            "limits": SERVER_LIMITS,
            "delays": SERVER_DELAYS,
            "trace": trace,
        },
        listeners=(MAILBOX_PORT,),
        data=near(OWNERS) | near(DEPOSITORS) | near(SECOND),
        peers=st.sampled_from([HERE, THERE, Address("2001:db8::7", 9)]),
        verbs={"stored": st.tuples(st.integers(0, 6)), "load": st.just(((LOADED,),)) | st.just(((),))},
        openings=(
            *prefixes(STEPS),
            (Call("load", ((LOADED,),)), *STEPS[:3]),
            (*STEPS[:6], Wait(901.0)),
            (*STEPS[:6], Data(1, (DEPOSITORS[-1],))),
            (*STEPS[:6], Eof(1)),
            (*STEPS[:6], Lost(0), Wait(2001.0)),
            (*STEPS, Close()),
        ),
        secrets=(SERVER.private, TEXT, drawn("link.1.ephemeral"), drawn("link.2.ephemeral")),
        max_state=80_000,
    )


# -- the client --------------------------------------------------------------------------------------------------------

CLIENT_LIMITS = MailboxClientLimits(link_queue=1000, link_packets=4, events=8, pipeline=3)
CLIENT_DELAYS = MailboxClientDelays(stalled=90.0, unread=90.0)


def answers(static: KeyPair, *responses: p.Response | bytes) -> list[bytes]:
    """All frames of a server for a client that draws what the laws give it."""
    hello, _ = write_hello(static, drawn("mailbox.ephemeral"), SERVER.public)
    frame, channel = write_welcome(read_hello(SERVER, hello[2:]), EPHEMERAL, TERMS)
    clears = [one if isinstance(one, bytes) else p.RESPONSE.encode(one) for one in responses]
    return [frame, *map(channel.outgoing.seal, clears)]


def client(static: KeyPair, steps: Sequence[Op], frames: Sequence[bytes], **arguments: Any) -> Subject:
    return Subject(
        cls=MailboxClient,
        arguments=lambda entropy, trace: {
            "server": Address("192.0.2.1", 7000),
            "server_key": SERVER.public,
            "entropy": entropy,
            "limits": CLIENT_LIMITS,
            "delays": CLIENT_DELAYS,
            "trace": trace,
            **arguments,
        },
        data=near(frames),
        verbs={
            "connect": st.just(()),
            "register": st.just(()),
            "poll": st.tuples(st.integers(1, 64)),
            "ack": st.tuples(st.integers(0, 3)),
            "deposit": st.tuples(st.just(mailbox_of(OTHER)), st.sampled_from([TEXT, b"", bytes(17_000)])),
        },
        openings=(*prefixes(steps), (*steps, Close()), (*steps, Wait(61.0))),
        secrets=(TEXT, static.private, drawn("mailbox.ephemeral")),
        max_state=60_000,
    )


RECEIVED = answers(
    OWNER,
    p.Registered(b"epoch..1", 2),
    p.Message(1, TEXT),
    p.Message(2, TEXT),
    p.Polled(2, 0),
    p.Acked(2, 0),
    p.Deposited(b"\1\0\0\0", 0),
    p.Error(p.ErrorCode.SUPERSEDED),
)
OWNING: list[Op] = [
    Call("connect"),
    Opened(0),
    Data(0, (RECEIVED[0],)),
    Call("register"),
    Data(0, (RECEIVED[1],)),
    Call("poll", (2,)),
    Data(0, (RECEIVED[2] + RECEIVED[3],)),
    Data(0, (RECEIVED[4],)),
    Call("ack", (2,)),
    Data(0, (RECEIVED[5],)),
    Call("deposit", (mailbox_of(OTHER), TEXT)),
    Data(0, (RECEIVED[6],)),
]


class TestMailboxClient(Laws):
    subject = client(OWNER, OWNING, RECEIVED, private_key=OWNER.private)


def test_the_openings_lead_where_they_should() -> None:
    """If a frame no longer opened, all would be as silent as without it."""
    server = TestMailboxServer.subject.run().play(STEPS)
    assert {key: caller.state.name for key, caller in server.endpoint.callers.items()} == {2: "OPEN", 3: "OWNER"}
    assert server.endpoint.mailboxes.done == server.endpoint.mailboxes.written == 4
    client_run = TestMailboxClient.subject.run().play(OWNING)
    assert client_run.endpoint.connection.state.name == "OWNER"
    assert not client_run.endpoint.connection.due
