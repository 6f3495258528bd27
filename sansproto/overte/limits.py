"""How much and how long: what the machines of Overte may use. Times are seconds, sizes bytes."""

from __future__ import annotations

import attrs
from attrs.validators import ge, le

from ..limits import seconds, seconds_or_never, some
from ..links import LinkDelays


@attrs.frozen(kw_only=True)
class TransportDelays(LinkDelays):
    """The times of a reliable channel: docs/protocols/overte.rst, handshake and resending."""

    handshake: float = seconds(0.1)
    """Until the second handshake; doubled with each further one."""
    resend: float = seconds(0.5)
    """Until the first resend; doubled with each further one."""
    slowest_resend: float = seconds(5.0)
    """The most between two resends, or two handshakes."""
    undelivered: float = seconds(15.0)
    """After this time without an acknowledgement, the packets that wait for an address are given up."""


@attrs.frozen(kw_only=True)
class TransportLimits:
    """The bounds of what a client and a server have in common."""

    links: int = some(0, least=0)
    """Streams: none is accepted."""
    link_queue: int = some(1 << 16)
    """Of no use without streams."""
    link_packets: int = some(64)
    """Of no use without streams."""
    events: int = some(4096)
    """Events that are not popped yet; over it datagrams are dropped, as by a full socket."""
    outbox: int = some(4096)
    """Datagrams that the transport has not taken yet; over it new ones are refused."""
    addresses: int = some(4096)
    """Addresses whose sequence numbers are remembered: over it the oldest is forgotten."""
    window: int = some(64)
    """Reliable packets to one address that are not acknowledged."""
    reliable_queue: int = some(1024)
    """Reliable packets that wait for one address."""
    ahead: int = some(1024)
    """How far ahead of the first missing number a packet may be."""
    messages: int = some(16)
    """Messages begun and not ended, from one address."""
    message_size: int = some(1 << 20)
    """Bytes of one message."""
    unfinished: int = some(1 << 26)
    """Bytes of messages of which parts are missing, from all addresses; of 256 each at least."""
    unacknowledged: int = some(1 << 28)
    """Bytes of messages that did not yet arrive as a whole, to all addresses."""


@attrs.frozen(kw_only=True)
class ClientDelays(TransportDelays):
    """A client's times."""

    lookup: float = seconds(10.0)
    """For a name to resolve."""
    check_in: float = seconds(1.0)
    """Between two check-ins with the domain."""
    give_up: float | None = seconds_or_never(60.0)
    """The client ends after this time without a connection; None: it tries until ``close``."""
    settle: float = seconds(0.5)
    """How long our ids must stay the same before ``Renumbered`` reports them."""
    ice_ping: float = seconds(0.25)
    """Between two pings to the addresses of the domain."""
    ice_round: float = seconds(2.0)
    """Until the ice-server is asked again."""
    ping: float = seconds(1.0)
    """Between two pings to a node whose active socket is known."""
    punch: float = seconds(0.25)
    """Between two pings to a node without an active socket."""
    silence: float = seconds(10.0)
    """Between two checks of a node; a node that was not heard in between is dropped."""
    answer: float = seconds(5.0)
    """For the answer to a path query or settings request."""
    retry: float = seconds(0.25)
    """Between two STUN requests."""
    refresh: float = seconds(10.0)
    """Between two rounds of STUN requests."""


@attrs.frozen(kw_only=True)
class ClientLimits(TransportLimits):
    """A client's bounds."""

    silent_check_ins: int = some(5)
    """Unanswered check-ins; after so many, the client disconnects instead of sending the next one."""
    copies: int = some(20)
    """Copies of one list request, at most."""
    nodes: int = some(1024, least=0)
    """Nodes that are known at once: further ones are ignored."""
    connection_ids: int = some(4096, least=0)
    """Nodes that are gone whose connection ids are remembered."""
    queries: int = some(64, least=0)
    """Paths and settings asked for at once."""
    stun_tries: int = some(10)
    """STUN requests in one round."""


@attrs.frozen(kw_only=True)
class ServerDelays(TransportDelays):
    """A domain server's times."""

    silence: float = seconds(10.0)
    """After this time without a packet from a node, it is pruned."""
    takeover: float = seconds(3.0)
    """After this time without a packet from a node, another machine at its address gets its place."""
    key: float = seconds(2.0)
    """How long the application may take to find the key of a name, if the policy has no list of users."""
    repeated: float = seconds(5.0)
    """A request from the same sockets within this time is the same request."""
    lookup: float = seconds(10.0)
    """For an ice-server's name to resolve."""
    beat: float = seconds(1.0)
    """Between two heartbeats to an ice-server."""
    ping: float = seconds(0.25)
    """Between two ICE pings to a client."""
    end: float = seconds(2.0)
    """From the first ICE ping to a client to the last."""


@attrs.frozen(kw_only=True)
class ServerLimits(TransportLimits):
    """A domain server's bounds. Raises ValueError for more ``nodes`` than there are local ids."""

    nodes: int = attrs.field(default=65_534, validator=[ge(1), le(65_534)])
    """Nodes at once. A local id has 16 bits; 0 is not used, and one is the server's."""
    addresses: int = some(1 << 17)
    """Addresses whose sequence numbers are remembered: at least those of all nodes."""
    lists: int = some(64)
    """Lists sent to one node within a second."""
    wanted: int = some(1024)
    """Usernames whose keys the application was asked for and did not provide: over it, it may be asked again."""
    keys: int = some(1024)
    """Public keys that the application provided, and as many names for which it said that there is no key."""
    applicants: int = some(4096)
    """Hosts whose connect requests are counted."""
    connects: int = some(64)
    """Answers to the requests of one host (of IPv6: one /64) within ``repeated``, besides those to good signatures."""
    signatures: int = some(64)
    """Bad signatures of one host that are checked within ``repeated``."""
    answers: int = some(16)
    """Answers about paths, and as many about settings, that one node has not acknowledged: over it, its questions are
    dropped."""
    announcements: int = some(4096)
    """Announcements and lists that are still to be sent."""
    punches: int = some(256, least=0)
    """Clients that are pinged at once."""
    beats: int = some(6, least=0)
    """Unanswered heartbeats; over it the next ice-server is used."""
    denials: int = some(3, least=0)
    """Denials of heartbeats in a row; over it ``KeyRefused`` comes."""


@attrs.frozen(kw_only=True)
class IceDelays(TransportDelays):
    """An ice-server's times."""

    silence: float = seconds(5.0)
    """After this time without a packet from a peer, it is forgotten."""


@attrs.frozen(kw_only=True)
class IceLimits(TransportLimits):
    """An ice-server's bounds."""

    peers: int = some(65_536)
    """Peers at once, of which at most half are clients."""
