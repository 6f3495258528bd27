"""How long and how much."""

from __future__ import annotations

import attrs

from sansproto.limits import seconds, some
from sansproto.links import LinkDelays, LinkLimits


@attrs.frozen(kw_only=True)
class EchoDelays(LinkDelays):
    """Times of an echo server, in seconds."""

    greet: float = seconds(10.0)
    """from the connection to the greeting"""


@attrs.frozen(kw_only=True)
class EchoLimits(LinkLimits):
    """Bounds of an echo server."""

    links: int = some(1000)
    """guests at once"""
    link_queue: int = some(2000)
    """bytes that wait for one guest: over it the guest is cut"""
    events: int = some(100)
    """not yet popped: over it guests are not read, and probes not answered"""
    outbox: int = some(100)
    """datagrams not yet taken: over it none is answered"""


@attrs.frozen(kw_only=True)
class ProberDelays:
    """Times of a prober, in seconds."""

    repeat: float = seconds(0.5)
    """from the first question to its repetition; then twice as long each time"""


@attrs.frozen(kw_only=True)
class ProberLimits:
    """Bounds of a prober."""

    questions: int = some(5)
    """sent without an answer: then it gives up"""
    events: int = some(10)
    """not yet popped: over it answers are dropped"""
    outbox: int = some(10)
    """datagrams not yet taken: over it no question is sent"""
