"""What is kept of a peer while the program does not run. docs/protocols/recovery.rst, persistence."""

from __future__ import annotations

import attrs

from .items import Route
from .peer import Peer
from .session import Session

ELSEWHERE = -1
"""For where a session was saved: nobody knows whether it was at the same address."""


@attrs.frozen(kw_only=True)
class SessionRecord:
    """The session in use with a peer, as plain values."""

    sid: bytes
    """Our id of it."""
    remote_sid: bytes
    """The peer's id of it."""
    is_ours: bool
    """We sent the Init."""
    stamp: int
    """Of the Init."""
    hs_id: bytes
    """What names the handshake."""
    counter: int
    """The first counter that was surely not used."""
    highest: int
    """The highest counter that was received."""
    bits: int
    """Which others were."""
    reset: bytes = attrs.field(repr=False)
    """The peer's reset token."""
    keys: bytes = attrs.field(repr=False)
    """The keys, as the host exported them."""
    age: float
    """In seconds."""
    saved: float
    """The wall clock then, in seconds since 1970."""


@attrs.frozen(kw_only=True)
class PeerRecord:
    """A peer and the session in use with it. Loading uses it up: the host deletes its copy before.

    The state of the layer above belongs to it, and is kept and loaded with it.
    """

    peer: bytes
    """Who."""
    generation: int
    """Of the session."""
    restarted: int
    """The first generation of the instance that the peer shows."""
    instance: bytes
    """What the peer showed."""
    mine: bytes
    """What we showed: all of it is shown again, for a clean reload is no restart."""
    floor: int | None
    """The stamp of the last session that the peer began."""
    route: Route | None
    """Where the peer was."""
    is_called: bool
    """The application wanted the session."""
    session: SessionRecord
    """The session."""


def record_of(peer: Peer, session: Session, keys: bytes) -> PeerRecord:
    """The record of a peer. Its session uses no more counters than the first record skips, until a later one lasts."""
    limits = session.core.config.limits
    skipped = min(session.counter + limits.reserve, limits.packets)
    if session.bound == limits.packets:
        allow(session, skipped)
    kept = SessionRecord(
        sid=session.sid,
        remote_sid=session.remote_sid,
        is_ours=session.is_ours,
        stamp=session.stamp,
        hs_id=session.hs_id,
        counter=skipped,
        highest=session.window.highest,
        bits=session.window.bits,
        reset=session.reset,
        keys=keys,
        age=session.host.clock - session.confirmed,
        saved=session.host.wall(),
    )
    return PeerRecord(
        peer=peer.key,
        generation=peer.generation,
        restarted=peer.restarted,
        instance=peer.instance,
        mine=peer.mine,
        floor=peer.floor,
        route=peer.route,
        is_called=peer.is_called,
        session=kept,
    )


def allow(session: Session, bound: int) -> None:
    """Let a session use the counters up to this one, which a record that lasts skips."""
    half = session.counter + (bound - session.counter) // 2
    session.bound, session.alarm = bound, min(half, session.core.config.limits.rekey_packets)


def load_record(record: PeerRecord, peer: Peer, session: Session, age: float) -> None:
    """A new entry and a new session become what was saved, so many seconds old."""
    kept = record.session
    peer.generation, peer.restarted, peer.floor = record.generation, record.restarted, record.floor
    peer.instance, peer.mine, peer.route = record.instance, record.mine, record.route
    peer.is_called, peer.cur, peer.sids = record.is_called, kept.sid, [kept.sid]
    session.peer_id, session.remote_sid, session.is_ours = record.peer, kept.remote_sid, kept.is_ours
    session.stamp, session.hs_id, session.reset, session.route = kept.stamp, kept.hs_id, kept.reset, record.route
    session.instance, session.mine, session.generation = record.instance, record.mine, record.generation
    session.counter, session.confirmed, session.proven = kept.counter, session.host.clock - age, True
    session.address = ELSEWHERE
    window = session.window
    window.highest, window.bits, window.recent, window.newer = kept.highest, kept.bits, kept.highest, kept.highest
