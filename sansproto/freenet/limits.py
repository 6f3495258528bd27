"""How much and how long: what an end of Freenet may use. Times are seconds, sizes bytes."""

from __future__ import annotations

from typing import Final

import attrs

from ..limits import seconds, some

ACKS: Final = 12
"""Answers to intros that leave within :data:`SPAN` beside a session that is not known to be silent."""
ASKED: Final = 20
"""Pings and packets sent again that the other sessions of an address share within :data:`SPAN`."""
SPAN: Final = 30.0
"""What others cannot open they may hold against the session, for about so long."""


@attrs.frozen(kw_only=True)
class FreenetDelays:
    """The times of an end."""

    repeat: float = seconds(0.25)
    """Between two of the same intro, a fifth more or less."""
    round: float = seconds(10.0)
    """How long an intro is sent until there is a pause, and then a new one."""
    pause: float = seconds(1.0)
    """The first pause; the next ones are 2, 4 and 5 times as long."""
    prove: float = seconds(8.0)
    """How long our ack is repeated until something opens that was sent after it."""
    prove_repeat: float = seconds(0.5)
    """The least between two such acks."""
    candidate: float = seconds(16.0)
    """The life of a session that was not confirmed, from the last copy of its intro on: three pings of a real peer."""
    candidate_max: float = seconds(20.0)
    """The same from its first copy on."""
    ack_pause: float = seconds(0.45)
    """Between two answers to copies of an intro, beside a session that is not known to be silent."""
    link: float = seconds(2.0)
    """How long a session that a peer began may turn out to be that of our own call."""
    quiet: float = seconds(5.5)
    """After this time without anything new, the end that called asks whether the other end is there."""
    quiet_answered: float = seconds(7.5)
    """The same of the end that was called, a tenth more or less."""
    dead: float = seconds(120.0)
    """After this time without a sign of life, a session is over."""
    receipt: float = seconds(0.05)
    """How long a receipt waits for others."""
    again: float = seconds(0.1)
    """Between two receipts for copies of packets."""
    ask_pause: float = seconds(1.0)
    """Between two questions because of intros."""
    gap: float = seconds(180.0)
    """How long a packet may be missing before it is treated as received."""
    stream: float = seconds(30.0)
    """How long a stream may make no progress."""


@attrs.frozen(kw_only=True)
class FreenetLimits:
    """The bounds of an end."""

    events: int = some(4096)
    """Events that are not popped yet; over it arriving packets are dropped."""
    outbox: int = some(4096)
    """Datagrams that the transport has not taken yet; over it new ones are refused, and arriving packets are dropped.
    """
    sessions: int = some(20_000)
    """Sessions at once."""
    sessions_of_host: int = some(256)
    """Sessions at once of one host (IPv6: a /64)."""
    generations: int = some(8)
    """Sessions at once of one address."""
    candidates: int = some(4096)
    """Sessions that were not confirmed, of all addresses."""
    candidates_of_address: int = some(64)
    """The same of one address."""
    intro_rate: float = seconds(2000.0)
    """Intros that are opened, in a second; a quarter is kept for addresses with a session."""
    address_rate: float = seconds(32.0)
    """The same of one address; so many at once, too."""
    addresses: int = some(8192)
    """Addresses whose intros are counted; over it the one that sent longest ago is forgotten."""
    open_rate: float = seconds(20_000.0)
    """Keys in a second, of sessions that were not confirmed and of intros of ours, under which packets are tried."""
    error_rate: float = seconds(10.0)
    """Answers to incompatible versions, in a second."""
    message: int = some((16 << 20) - 8)
    """Bytes of a message that is sent: with its length it is as large as ``stream_bytes`` of the other end."""
    unsent: int = some(1 << 20)
    """Bytes of messages of a session that wait, or are not known to have arrived: over it ``send`` takes none."""
    streams: int = some(64)
    """Streams of a session that are not complete."""
    stream_bytes: int = some(16 << 20)
    """Bytes that these streams may announce."""
    held: int = some(512 << 20)
    """Bytes of incomplete streams, of all sessions; each fragment counts 128 more. A host has a quarter of what is
    left.
    """
    window: int = some(4096)
    """Packets of a session that are not acknowledged."""
    burst: int = some(64)
    """Datagrams of a session that one call sends."""
    expected: int = some(1024)
    """Addresses from which a peer may call that we do not call."""
