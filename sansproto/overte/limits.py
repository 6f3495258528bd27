"""How much and how long: what the machines of Overte may use. Times are seconds, sizes bytes."""

from __future__ import annotations

import attrs
from attrs.validators import le

from ..limits import seconds
from ..links import LinkDelays


@attrs.frozen(kw_only=True)
class TransportDelays(LinkDelays):
    """The times of a reliable channel: docs/protocols/overte.rst, handshake and resending."""

    handshake: float = seconds(0.1)
    """until the second handshake; doubled with each further one"""
    resend: float = seconds(0.5)
    """until the first resend; doubled with each further one"""
    slowest_resend: float = seconds(5.0)
    """and handshake"""
    undelivered: float = seconds(15.0)
    """nothing acknowledged: what waits is given up"""


@attrs.frozen(kw_only=True)
class TransportLimits:
    """The bounds of what a client and a server have in common."""

    links: int = 0
    """streams: none is accepted"""
    link_queue: int = 1 << 16
    link_packets: int = 64
    events: int = 4096
    """not yet popped: over it datagrams are dropped, as a full socket would"""
    outbox: int = 4096
    """datagrams that were not yet taken: over it new ones are dropped"""
    addresses: int = 4096
    """whose sequence numbers are remembered: over it the oldest is forgotten"""
    window: int = 64
    """reliable packets to one address that are not acknowledged"""
    reliable_queue: int = 1024
    """reliable packets that wait for one address"""
    ahead: int = 1024
    """numbers that may be missing before one that is taken"""
    messages: int = 16
    """begun and not ended, from one address"""
    message_size: int = 1 << 20
    unfinished: int = 1 << 26
    """bytes of messages of which parts are missing, from all addresses; of 256 each at least"""
    unacknowledged: int = 1 << 28
    """bytes of messages that did not yet arrive as a whole, to all addresses"""


@attrs.frozen(kw_only=True)
class ClientDelays(TransportDelays):
    """A client's times."""

    lookup: float = seconds(10.0)
    """of a name"""
    check_in: float = seconds(1.0)
    give_up: float = seconds(60.0)
    """not connected for so long: the end"""
    ice_ping: float = seconds(0.25)
    ice_round: float = seconds(2.0)
    """until the ice-server is asked again"""
    ping: float = seconds(1.0)
    """of a node whose active socket is known"""
    punch: float = seconds(0.25)
    """of one without"""
    silence: float = seconds(10.0)
    """not heard of a node for so long: it is gone"""
    answer: float = seconds(5.0)
    """to a path query or settings request"""
    retry: float = seconds(0.25)
    """between two STUN requests"""
    refresh: float = seconds(10.0)
    """between two rounds of them"""


@attrs.frozen(kw_only=True)
class ClientLimits(TransportLimits):
    """A client's bounds."""

    silent_check_ins: int = 5
    """unanswered: with so many, the next one ends the connection instead"""
    copies: int = 20
    """of one list request, at most"""
    nodes: int = 1024
    connection_ids: int = 4096
    """of nodes that are gone"""
    queries: int = 64
    """paths and settings asked for at once"""
    stun_tries: int = 10


@attrs.frozen(kw_only=True)
class ServerDelays(TransportDelays):
    """A domain server's times."""

    silence: float = seconds(10.0)
    """not heard of a node for so long: it is pruned"""
    repeated: float = seconds(5.0)
    """a request from the same sockets within it is the same request"""
    lookup: float = seconds(10.0)
    """of an ice-server's name"""
    beat: float = seconds(1.0)
    """heartbeats to the ice-server"""
    ping: float = seconds(0.25)
    """ICE pings to a client"""
    end: float = seconds(2.0)
    """of these"""


@attrs.frozen(kw_only=True)
class ServerLimits(TransportLimits):
    """A domain server's bounds. Raises ValueError for more ``nodes`` than there are local ids."""

    nodes: int = attrs.field(default=65_534, validator=le(65_534))
    """local ids are 16 bits, 0 is none, one the server's"""
    addresses: int = 1 << 17
    """at least those of all nodes"""
    lists: int = 64
    """sent to one node within a second"""
    tokens: int = 1024
    """of usernames that were not yet signed"""
    keys: int = 1024
    """public keys that the application provided"""
    applicants: int = 4096
    """addresses whose connect requests are counted"""
    connects: int = 10
    """answers of any kind to the requests of one host within ``repeated``"""
    announcements: int = 4096
    """and lists that are still to be sent"""
    punches: int = 256
    """clients that are pinged at once"""
    beats: int = 6
    """unanswered: over it the next ice-server is asked"""
    denials: int = 3
    """of heartbeats: over it the application is told"""


@attrs.frozen(kw_only=True)
class IceDelays(TransportDelays):
    """An ice-server's times."""

    silence: float = seconds(5.0)
    """not heard of a peer for so long: it is forgotten"""


@attrs.frozen(kw_only=True)
class IceLimits(TransportLimits):
    """An ice-server's bounds."""

    peers: int = 65_536
