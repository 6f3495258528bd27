"""10,000 peers that say nothing: what the timers of their sessions cost a node.

The peers begin their sessions, one after the other within 120 s, and renew them every 120 s. Measured is a minute in
which that goes on and the sessions before are forgotten; of it only the calls that a driver makes for the sake of time,
``next_timeout`` and ``handle_timeout``. The handshakes themselves are in the note.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heapreplace
from os import urandom
from time import process_time

import attrs

from benchmarks.egtp.nodes import node
from benchmarks.idle import let_act, paths
from benchmarks.measure import Line
from sansproto.contract import Path
from sansproto.egtp import EgtpNode, KeyPair, RecoveryConfig, RecoveryLimits, crypto
from sansproto.egtp import packets as p
from sansproto.recovery import Kind

PEERS = 10_000
REKEY = 120.0
BEGIN, END = 185.0, 245.0
DATA = 0x0B


@attrs.define
class Visitor:
    """A peer that has just what it needs to keep a session with a node."""

    keys: KeyPair
    path: Path
    sid: bytes = bytes(8)
    remote_sid: bytes = bytes(8)
    sealer: crypto.Cipher | None = None
    opener: crypto.Cipher | None = None
    counter: int = 0
    instance: bytes = attrs.field(factory=lambda: urandom(8))

    def visit(self, host: EgtpNode, now: float) -> None:
        """A handshake, and whatever is said after it."""
        ephemeral, self.sid = urandom(32), urandom(8)
        payload = p.InitPayload(int((1.7e9 + now) * 1e6), self.instance, self.sid).encode()
        begun = crypto.begin_datagram(host.public_key)
        public, static, sealed, kept = crypto.write_first(begun, self.keys, ephemeral, host.public_key, payload)
        data = p.DATAGRAM.encode(p.H1(public, static, sealed, p.NO_TOKEN, bytes(16)))[:160]
        host.receive_datagram(data + crypto.h1_mac(crypto.mac_key(host.public_key), data), self.path, now)
        reply = p.DATAGRAM.decode(host.next_transmit().data)  # type: ignore[union-attr]
        assert isinstance(reply, p.H2)
        clear, read = crypto.read_agreement(kept, self.keys, reply.ephemeral).open(reply.payload)
        keys = read.split()
        self.remote_sid, self.counter = p.ReplyPayload.decode(clear).sid, 0
        self.sealer, self.opener = crypto.Cipher(keys.from_initiator), crypto.Cipher(keys.from_responder)
        self.say(host, Kind.CONFIRM, bytes(24), now)
        while (transmit := host.next_transmit()) is not None:
            packet = p.DATAGRAM.decode(transmit.data)  # type: ignore[union-attr]
            assert isinstance(packet, p.Data)
            header = p.data_header(DATA, packet.sid, packet.counter)
            clear = self.opener.open(packet.counter, packet.sealed, header)
            if clear[0] == Kind.PING.value:
                self.say(host, Kind.PONG, clear[1:], now)
        while host.next_event() is not None:
            pass

    def say(self, host: EgtpNode, kind: Kind, body: bytes, now: float) -> None:
        assert self.sealer is not None
        header = p.data_header(DATA, self.remote_sid, self.counter)
        sealed = self.sealer.seal(self.counter, bytes((kind.value,)) + body, header)
        self.counter += 1
        host.receive_datagram(header + sealed, self.path, now)


def visitors(count: int) -> list[Visitor]:
    return [Visitor(KeyPair.of(urandom(32)), path) for path in paths(count)]


def roomy() -> RecoveryConfig:
    """So many peers are let in as fast as they come."""
    limits = RecoveryLimits(
        peers=4 * PEERS, init_rate=1e4, init_burst=PEERS, group_rate=1e4, group_burst=PEERS, candidates_per_group=64
    )
    return RecoveryConfig(limits=limits)


def run() -> Iterator[Line]:
    host = node(recovery=roomy())
    due = [(place * REKEY / PEERS, place) for place in range(PEERS)]
    heapify(due)
    crowd = visitors(PEERS)
    timers = everything = 0.0
    fired = 0
    while due[0][0] < END:
        at, place = due[0]
        heapreplace(due, (at + REKEY, place))
        while True:
            spent, is_due = let_act(host, min(at, host.next_timeout() or at))  # each timer at its time
            if at >= BEGIN:
                timers += spent
                fired += is_due
            if not is_due:
                break
            while host.next_transmit() is not None or host.next_event() is not None:
                pass
        start = process_time()
        crowd[place].visit(host, at)
        if at >= BEGIN:
            everything += process_time() - start
    assert len(host.recovery.peers) == PEERS
    assert all(peer.cur is not None for peer in host.recovery.peers.values())
    span = END - BEGIN
    note = f"{fired / span:.0f} a second; {(timers + everything) / span * 100:.0f} % with the handshakes of both ends"
    yield Line("egtp: timers of 10,000 idle peers, share of a core", timers / span * 100, 2.0, False, " %", note=note)
