"""How much and how long: what every machine of Bob may use. Times are seconds, sizes bytes."""

from __future__ import annotations

import attrs

from ..limits import seconds, some
from ..links import LinkDelays, LinkLimits


@attrs.frozen(kw_only=True)
class PeerDelays(LinkDelays):
    """A client's and a server's times."""

    lookup: float = seconds(20.0)
    """How long the relay's name may take to resolve."""
    greeting: float = seconds(10.0)
    """From our hello to the relay's answer."""
    waiting: float = seconds(7200.0)
    """How long a peer may be registered without an agreement: twice the relay's own limit."""
    done: float = seconds(30.0)
    """From Accepted to Done."""
    lobby: float = seconds(60.0)
    """From our line at the secure port until the other peer is in the room, too."""
    silence: float = seconds(900.0)
    """How long no byte may pass in an open channel."""
    answer: float = seconds(60.0)
    """How long each answer in an exchange may take; the other end may need long for its derivation."""
    farewell: float = seconds(10.0)
    """From our closing packet to theirs."""
    work: float = seconds(0.0005)
    """Between two slices of a long computation."""


@attrs.frozen(kw_only=True)
class PeerLimits(LinkLimits):
    """A client's and a server's bounds."""

    send_buffer: int = some(1 << 18)
    """Bytes that ``send`` takes before they are written to the link."""
    receive_buffer: int = some(1 << 18)
    """Bytes that are decrypted and not yet popped; a record counts as 64 at least."""
    exchanges: int = some(65_534)
    """Exchanges at once, one for each peer."""
    guesses_of_one: int = some(3)
    """Failed exchanges with one peer."""
    guesses: int = some(1000)
    """Failed exchanges in total; over it the session ends."""
    free_guesses: int = some(16, least=0)
    """Failed exchanges without a delay; from there on answers are spaced more and more."""
    slowest_guess: float = seconds(5.0)
    """The largest space between two answers, in seconds."""


@attrs.frozen(kw_only=True)
class RelayDelays(LinkDelays):
    """A relay's times."""

    hello: float = seconds(10.0)
    """From the connection to the hello."""
    idle: float = seconds(3600.0)
    """Between two packets of a registered peer."""
    line: float = seconds(10.0)
    """From the connection at the secure port to the end of the line."""
    room: float = seconds(60.0)
    """From Accepted until both peers are in the room."""
    silence: float = seconds(3600.0)
    """How long no byte may pass in a room."""
    mute: float = seconds(10.0)
    """How long a connection that floods is not read before it is cut, if there are many."""


@attrs.frozen(kw_only=True)
class RelayLimits(LinkLimits):
    """A relay's bounds."""

    links: int = some(3 * 65_534)
    """Streams at once, on both ports."""
    link_queue: int = some(1 << 18)  # these are here for their order, in which vectors have them
    """Bytes of output that wait for one link: over it the link ends."""
    link_packets: int = some(64)
    """Packets of one link that one call decodes; the rest waits for the next call."""
    events: int = some(4096)
    """Events that are not popped yet; over it nothing is read."""
    peers: int = some(65_534)
    """Peers registered at once, which is the number of uids; and rooms that wait for their peers."""
    pairs: int = some(1_000_000)
    """Exchanges between two peers, at once; a client gets no more than 1 % of those left."""
    pairs_of_one: int = some(1024)
    """Exchanges of one client; when it leaves, the relay tells so many servers at once."""
    hellos: int = some(8)
    """How often one peer may say hello."""
    departures: int = some(4096)
    """Departures of servers, remembered for clients that are slow to read."""
    dropped_burst: int = some(64)
    """Packets of one peer that may be dropped at once, besides those that another peer's departure excuses."""
    dropped_rate: int = some(8)
    """More of these in each second; a peer that exceeds it is cut."""
    cuts: int = some(16)
    """Flooding connections that are cut at once in each second; others are not read for ``mute`` first."""
    early: int = some(1 << 16)
    """Bytes that a visitor may send before its partner is in the room; over it the visitor is cut."""
