"""What a program relies on that carries a stream over a session: back-pressure, what waits, and which session it is."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from sansproto.contract import Path
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Node, VirtualNetwork
from sansproto.tox import CustomReceived, FriendOffline, FriendOnline, NodeLimits, OfflineReason, ToxNode, Undelivered

AT_A, AT_B = "10.0.0.1", "10.0.0.2"
DATA = b"\xa0"


class Pair:
    """Two friends; the first one knows where the other is. ``b`` keeps its events if ``is_deaf``."""

    def __init__(self, *, is_deaf: bool = False, limits: NodeLimits | None = None, **conditions: Any) -> None:
        self.net = VirtualNetwork(seed=1, default=Conditions(**{"latency": 0.02, **conditions}))
        self.lives = count()
        self.a, self.b = self.make(1), self.make(2, limits)
        self.at_a: Node[Any] = self.net.host(AT_A).run(self.a, sockets={"udp": 7000})
        self.at_b: Node[Any] = self.net.host(AT_B).run(self.b, sockets={"udp": 7000}, auto_drain=not is_deaf)
        self.meet()

    def make(self, number: int, limits: NodeLimits | None = None) -> ToxNode:
        keys = bytes([number]) * 32, bytes([number + 100]) * 32
        entropy = ScriptedEntropy(seed=f"life {next(self.lives)}".encode())
        return ToxNode(real_key=keys[0], dht_key=keys[1], entropy=entropy, limits=limits)

    def meet(self) -> None:
        self.at_b.call(lambda now: self.b.add_friend(self.a.real_key, self.a.dht_key, now))
        path = Path("udp", AT_B, 7000)
        self.at_a.call(lambda now: self.a.add_friend(self.b.real_key, self.b.dht_key, now, path=path))
        self.net.run_until(lambda: self.a.is_online(self.b.real_key) and self.b.is_online(self.a.real_key))

    def send(self, packets: list[bytes]) -> None:
        """As many as fit: they are taken from the list."""
        offered = packets[:400]
        del packets[: self.at_a.call(lambda now: self.a.send_many(self.b.real_key, offered, now))]


def numbered(most: int) -> list[bytes]:
    return [DATA + number.to_bytes(4, "big") for number in range(most)]


def heard(node: Node[Any]) -> list[bytes]:
    return [event.data for event in node.events if isinstance(event, CustomReceived)]


class TestBackPressure:
    """Of an application that takes no events."""

    LIMITS = NodeLimits(events=64)

    def pair(self, seconds: float, **conditions: Any) -> tuple[Pair, list[bytes]]:
        """So long 'a' sends as much as it may; what is left of that."""
        pair = Pair(is_deaf=True, limits=self.LIMITS, **conditions)
        left = numbered(10_000)
        for _ in range(round(seconds * 10)):
            pair.send(left)
            pair.net.run(0.1)
        return pair, left

    def test_the_session_lives_and_the_sender_stops(self) -> None:
        pair, left = self.pair(40.0)
        before = len(left)
        for _ in range(100):
            pair.send(left)
            pair.net.run(0.1)
        assert len(left) == before
        assert pair.b.waiting_events <= self.LIMITS.events // 2
        assert not pair.b.stats.dropped
        assert not [event for event in pair.at_a.events if isinstance(event, FriendOffline)]

    @pytest.mark.unmeasured
    @pytest.mark.parametrize("loss", [0.0, 0.1])
    def test_all_of_it_arrives_once_events_are_taken(self, loss: float) -> None:
        pair, left = self.pair(40.0, loss=loss)
        sent = 10_000 - len(left)
        for _ in range(sent // 10 + 200):
            pair.at_b.take(10)
            pair.net.run(0.05)
        assert heard(pair.at_b) == numbered(sent)
        pair.net.run_until(lambda: not pair.a.waiting(pair.b.real_key), within=5.0)  # a sign of life may be on its way

    def test_events_are_taken_again_at_once(self) -> None:
        """What was kept needs no further packet from the friend."""
        pair, left = self.pair(10.0)
        sent = 10_000 - len(left)
        pair.net.partition(AT_A, AT_B)
        taken = 0
        while pair.at_b.take(1):
            taken += 1
        assert taken > self.LIMITS.events
        assert heard(pair.at_b) == numbered(len(heard(pair.at_b)))
        assert len(heard(pair.at_b)) <= sent

    def test_the_sender_is_told_at_once(self) -> None:
        pair, _ = self.pair(10.3)
        before = pair.a.waiting(pair.b.real_key)
        while pair.at_b.take(16):
            pass
        pair.net.run(0.03)  # one way takes 0.02 s
        assert pair.a.waiting(pair.b.real_key) < before

    def test_a_goodbye_is_heard_while_events_wait(self) -> None:
        pair, _ = self.pair(10.0)
        pair.at_a.call(pair.a.close)
        pair.net.run(1.0)
        assert not pair.b.is_online(pair.a.real_key)
        while pair.at_b.take(16):
            pass
        assert FriendOffline(pair.a.real_key, OfflineReason.SAID) in pair.at_b.events
        assert heard(pair.at_b) == numbered(len(heard(pair.at_b)))


class TestWaiting:
    def test_what_was_taken_waits_until_it_is_acknowledged(self) -> None:
        pair = Pair()
        friend = pair.b.real_key
        pair.net.run(3.0)
        assert pair.a.waiting(friend) == 0
        pair.send(numbered(200))
        assert pair.a.waiting(friend) == 200
        pair.net.run_until(lambda: not pair.a.waiting(friend))
        assert heard(pair.at_b) == numbered(200)

    def test_nothing_waits_for_who_is_not_there(self) -> None:
        pair = Pair()
        assert pair.a.waiting(bytes(32)) == 0
        pair.at_b.call(pair.b.close)
        pair.net.run(3.0)
        assert pair.a.waiting(pair.b.real_key) == 0


class TestSessionNumber:
    def test_it_counts_the_times_that_a_friend_is_online(self) -> None:
        pair = Pair()
        friend = pair.b.real_key
        assert pair.a.session_number(friend) == 1
        assert pair.a.session_number(bytes(32)) is None
        pair.send(numbered(5))
        pair.b = pair.make(2)
        pair.at_b.restart(pair.b, silent=True)
        pair.meet()
        assert pair.a.session_number(friend) == 2
        story = [e for e in pair.at_a.events if isinstance(e, FriendOnline | FriendOffline | Undelivered)]
        assert story == [
            FriendOnline(friend, 1),
            Undelivered(friend, (), tuple(numbered(5))),
            FriendOffline(friend, OfflineReason.RESTARTED),
            FriendOnline(friend, 2),
        ]

    def test_none_while_the_friend_is_away(self) -> None:
        pair = Pair()
        pair.at_b.call(pair.b.close)
        pair.net.run(3.0)
        assert pair.a.session_number(pair.b.real_key) is None
