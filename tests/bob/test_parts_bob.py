"""Each part of a peer alone, with a host that keeps what it asks for."""

from __future__ import annotations

from fake_host import FakeHost

from sansproto.bob import PeerDelays, PeerLimits
from sansproto.bob.channel import ChannelState, ChannelTimer, SecureChannel
from sansproto.bob.crypto import Derivation, RecordKey
from sansproto.bob.kdf import SLICE, KdfQueue, KdfState, KdfTimer
from sansproto.bob.packets import CLOSE
from sansproto.bob.turns import Turns, TurnsState, TurnsTimer
from sansproto.events import CloseCause, Closed, DataReceived


class Owner(FakeHost):
    """A host that is the peer, too."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[object] = []

    def channel_ended(self, closed: Closed) -> None:
        self.told.append(closed)

    def derived(self, uid: int, material: bytes) -> None:
        self.told.append(uid)

    def has_turn(self, uid: int) -> None:
        self.told.append(uid)


def test_the_queue_of_derivations_works_until_it_is_empty() -> None:
    host = Owner()
    queue = KdfQueue(host, host, PeerDelays())
    queue.put(1, Derivation(b"pass", bytes(16), 2 * SLICE))
    queue.put(2, Derivation(b"pass", bytes(16), 1))
    host.run()
    assert host.armed == {"WORK": PeerDelays().work}
    while host.armed:
        host.fire(queue, KdfTimer.WORK)
    assert host.told == [2, 1]
    assert queue.state is KdfState.EMPTY


def test_who_waits_has_its_turn_host_after_host() -> None:
    host = Owner()
    turns = Turns(host, host, PeerLimits(free_guesses=0))
    turns.take_turn(
        "192.0.2.1:1",
    )
    for uid, identity in enumerate(["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"]):
        turns.join(uid, identity)
    turns.leave(7)
    host.run()
    while host.armed:
        host.clock += host.armed["TURN"]
        host.fire(turns, TurnsTimer.TURN)
    assert host.told == [2, 0, 1]
    turns.join(5, "192.0.2.1:1")
    turns.leave(5)
    host.run()
    assert turns.state is TurnsState.NOBODY
    assert not host.armed


def test_a_channel_seals_opens_and_says_goodbye() -> None:
    host, key = Owner(), RecordKey(bytes(32), bytes(12))
    channel = SecureChannel(host, host, PeerLimits(), PeerDelays())
    channel.begin(key, key)
    assert channel.send(b"data") == 4
    record = channel.next_record()
    assert record is not None
    for byte in record:
        channel.receive(bytes([byte]))
    assert channel.next_received() == DataReceived(b"data")
    channel.close()
    assert channel.next_record() == CLOSE
    assert host.armed == {"FAREWELL": PeerDelays().farewell}
    host.fire(channel, ChannelTimer.FAREWELL)
    assert host.told == [Closed(CloseCause.LOCAL)]
    assert channel.state is ChannelState.CLOSED
