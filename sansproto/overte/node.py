"""One node as a client sees it: who it is, and which of its sockets works. docs/protocols/overte.rst, nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias

import attrs

from ..contract import Address, Instant, Path
from . import packets as p
from .events import NodeInfo
from .tables.node import NodeState

_T = p.NodeType
_SOLO: Final = frozenset(
    {
        _T.AUDIO_MIXER,
        _T.AVATAR_MIXER,
        _T.ENTITY_SERVER,
        _T.ASSET_SERVER,
        _T.MESSAGES_MIXER,
        _T.ENTITY_SCRIPT_SERVER,
    }
)
"""Of these a domain has one each."""

_SAMPLES: Final = 30

Claim: TypeAlias = Path | int | str
"""What only one node can have: a socket, a local id, an office (the letter of its type)."""


@attrs.define(eq=False, weakref_slot=False)
class Node:
    """Another node. ``sockets`` are those that can be sent to, by the PingType that goes there."""

    key: bytes  # its session UUID
    type: int
    local_id: int
    sockets: dict[int, Path]
    permissions: int
    replicated: bool
    secret: bytes = attrs.field(repr=False)
    heard: Instant
    state: NodeState = NodeState.UNKNOWN
    active: int = 0  # which socket works; 0: none is known to
    newest: int = 0  # the sender's clock in the newest ping from it
    pings: deque[tuple[int, int]] = attrs.field(factory=deque)  # clock and type of ours that were not answered
    samples: deque[int] = attrs.field(factory=deque)  # of its clock's skew
    ping_ms: int | None = None
    skew_us: int | None = None

    @property
    def claims(self) -> Iterator[Claim]:
        yield self.local_id
        yield from self.sockets.values()
        if self.type in _SOLO:
            yield chr(self.type)

    @property
    def info(self) -> NodeInfo:
        return NodeInfo(
            node_id=self.key,
            local_id=self.local_id,
            type=self.type,
            permissions=self.permissions,
            replicated=self.replicated,
            public=self._address(p.PingType.PUBLIC),
            local=self._address(p.PingType.LOCAL),
            symmetric=self._address(p.PingType.SYMMETRIC),
            active=self._address(self.active),
            ping_ms=self.ping_ms,
            skew_us=self.skew_us,
        )

    def _address(self, kind: int) -> Address | None:
        path = self.sockets.get(kind)
        return None if path is None else Address(path.host, path.port, path.scope)

    def measure(self, rtt: int, sample: int) -> None:
        """Take in a measurement, in microseconds. The division and the rank are the reference's."""
        self.samples.append(sample)
        if len(self.samples) > _SAMPLES:
            self.samples.popleft()
        self.ping_ms = rtt // 1000
        self.skew_us = sorted(self.samples)[(8 * (len(self.samples) - 1) + 5) // 10]


@attrs.define(eq=False, weakref_slot=False)
class Voice:
    """Who speaks as a node from somewhere else, or as the domain (``node`` is None): nothing is noted of it before its
    packet is known to be genuine."""

    local_id: int
    secret: bytes = attrs.field(repr=False)
    heard: Instant
    node: Node | None
