"""A real toxcore and a node of ours that are friends, and what they say to each other."""

from __future__ import annotations

from time import monotonic
from typing import Any

from tox_parts import Client, Line, OurRelay, Ours, Scene
from toxcore import Library, Toxcore

from sansproto.tox import Proxy
from sansproto.tox.events import CustomReceived, FriendOffline, MessageDelivered, MessageReceived
from sansproto.tox.relay_events import Linked, RelayConnected, Routed

OFFLINE, RELAYED, DIRECT = 0, 1, 2
"""How toxcore says that a friend is there."""
LOSSLESS, LOSSY = 160, 200
"""Ids of custom packets."""


class Pair:
    """A toxcore and a node of ours, which become friends."""

    def __init__(self, scene: Scene, ours: Ours, theirs: Toxcore) -> None:
        self.scene, self.ours, self.theirs = scene, ours, theirs
        theirs.befriend(ours.real_key)

    @property
    def is_online(self) -> bool:
        return self.ours.node.is_online(self.theirs.real_key) and self.theirs.status != OFFLINE

    def await_online(self, within: float = 10.0) -> float:
        return self.scene.until(lambda: self.is_online, within)

    def forget(self) -> None:
        """What was said."""
        for told in (self.theirs.texts, self.theirs.receipts, self.theirs.lossless, self.theirs.lossy):
            told.clear()
        for kind in (MessageReceived, MessageDelivered, CustomReceived):
            self.ours.take(kind)

    def exchange(self, count: int = 5) -> None:
        """Texts with receipts and custom packets of both kinds arrive both ways, once and in their order."""
        self.forget()
        ours, theirs, texts = self.ours, self.theirs, [f"text {n}" for n in range(count)]
        packets = [bytes((kind, n)) for n in range(count) for kind in (LOSSLESS, LOSSY)]
        our_numbers = [ours.text(theirs, text) for text in texts]
        their_numbers = [theirs.send_text(text.encode()) for text in texts]
        for packet in packets:
            assert ours.send(theirs, packet)
            assert theirs.send_lossless(packet) if packet[0] == LOSSLESS else theirs.send_lossy(packet)

        def is_done() -> bool:
            told = (theirs.texts, theirs.receipts, theirs.lossless, theirs.lossy)
            told_us = (ours.of(MessageReceived), ours.of(MessageDelivered), ours.of(CustomReceived)[count:])
            return all(len(one) >= count for one in (*told, *told_us))

        self.scene.until(is_done)
        assert [text.decode() for text in theirs.texts] == [event.text for event in ours.of(MessageReceived)] == texts
        assert theirs.receipts == their_numbers
        assert [event.number for event in ours.of(MessageDelivered)] == our_numbers
        assert theirs.lossless + theirs.lossy == sorted(packets)
        assert sorted(event.data for event in ours.of(CustomReceived)) == sorted(packets)


class Direct(Pair):
    """By UDP, over a line."""

    def __init__(self, scene: Scene, library: Library, *, loss: float = 0.0) -> None:
        super().__init__(scene, scene.add(Ours()), scene.add(Toxcore(library)))
        self.line = scene.add(Line(self.theirs.port, loss=loss))

    def call(self) -> None:
        """Ours calls."""
        self.ours.befriend(self.theirs, path=self.line.path)

    def connect(self, within: float = 10.0) -> float:
        self.call()
        return self.await_online(within)


class Talk:
    """Texts that go both ways all the time, as a part of the scene; toxcore sends only each ``share``-th time."""

    def __init__(self, pair: Pair, pause: float = 0.1, share: int = 1) -> None:
        self._pair, self._pause, self._share, self._next, self._turns = pair, pause, share, 0.0, 0
        self.sent = self.sent_by_them = 0
        self._arrived, self._since = (0, 0), [monotonic(), monotonic()]
        self.gaps = [0.0, 0.0]
        """The longest times in which nothing arrived, at theirs and at ours."""
        pair.forget()
        pair.scene.add(self)

    def turn(self) -> None:
        now, ours, theirs = monotonic(), self._pair.ours, self._pair.theirs
        if now >= self._next:
            self._next = now + self._pause
            self.sent += ours.text(theirs, f"text {self.sent}") != 0
            self._turns += 1
            if self._turns % self._share == 0:
                self.sent_by_them += theirs.send_text(b"text %d" % self.sent_by_them) != 0
        arrived = len(theirs.texts), len(ours.of(MessageReceived))
        for end in (0, 1):
            self.gaps[end] = max(self.gaps[end], now - self._since[end])
            if arrived[end] > self._arrived[end]:
                self._since[end] = now
        self._arrived = arrived

    def stop(self) -> None:
        pass

    def go_on(self, count: int = 10, within: float = 10.0) -> None:
        """Until so many more have arrived at both."""
        enough = [already + count for already in self._arrived]
        self._pair.scene.until(
            lambda: all(now >= most for now, most in zip(self._arrived, enough, strict=True)), within
        )

    def finish(self, within: float = 15.0) -> None:
        """All of it arrives, once and in its order, and each end learns it; neither was offline to the other."""
        pair, ours, theirs = self._pair, self._pair.ours, self._pair.theirs

        def is_done() -> bool:
            told = (len(theirs.texts), len(ours.of(MessageDelivered)))
            told_them = (len(ours.of(MessageReceived)), len(theirs.receipts))
            return min(told) >= self.sent and min(told_them) >= self.sent_by_them

        pair.scene.stop(self)
        pair.scene.until(is_done, within)
        assert theirs.texts == [b"text %d" % n for n in range(self.sent)]
        assert [event.text for event in ours.of(MessageReceived)] == [f"text {n}" for n in range(self.sent_by_them)]
        assert ours.of(FriendOffline) == []
        assert OFFLINE not in theirs.statuses


class Meeting(Pair):
    """Through relays alone."""

    def __init__(
        self,
        scene: Scene,
        library: Library,
        *relays: Any,
        proxy: Proxy | None = None,
        their_proxy: tuple[str, int] | None = None,
    ) -> None:
        ours, theirs = Ours(is_udp=False, proxy=proxy), Toxcore(library, is_udp=False, proxy=their_proxy)
        super().__init__(scene, scene.add(ours), scene.add(theirs))
        for relay in relays:
            self.theirs.use_relay(relay.relay_port, relay.dht_key)
            self.ours.use_relay(relay.relay_port, relay.dht_key)
        scene.until(lambda: len(self.ours.of(RelayConnected)) == len(relays))

    def connect(self, within: float = 15.0) -> float:
        self.ours.befriend(self.theirs)
        return self.scene.until(lambda: self.is_online and self.theirs.status == RELAYED, within)


class Both(Direct):
    """By UDP over a line, and through a relay of ours."""

    def __init__(self, scene: Scene, library: Library) -> None:
        super().__init__(scene, library)
        self.relay = scene.add(OurRelay())
        for end in (self.ours, self.theirs):
            end.use_relay(self.relay.relay_port, self.relay.dht_key)

    @property
    def is_direct(self) -> bool:
        """To both."""
        return self.theirs.status == DIRECT and self.ours.node.friends.all[self.theirs.real_key].ways.is_direct


def bulk(pair: Pair, count: int, size: int, within: float) -> None:
    """As many lossless packets as are taken, both ways at once."""
    ours, theirs = pair.ours, pair.theirs
    packets = [bytes((LOSSLESS,)) + n.to_bytes(4, "big") + bytes(size) for n in range(count)]
    sent, sent_by_them = iter(packets), iter(packets)
    next_one, their_next = next(sent), next(sent_by_them)

    def is_done() -> bool:
        nonlocal next_one, their_next
        while next_one and ours.send(theirs, next_one):
            next_one = next(sent, b"")
        while their_next and theirs.send_lossless(their_next):
            their_next = next(sent_by_them, b"")
        return len(theirs.lossless) >= count and len(ours.of(CustomReceived)) >= count

    pair.scene.until(is_done, within)
    assert theirs.lossless == packets
    assert [event.data for event in ours.of(CustomReceived)] == packets


# -- clients of ours at a relay ----------------------------------------------------------------------------------------


def link_two(scene: Scene, relay: Any) -> tuple[Client, Client]:
    """Two of them, who are linked."""
    a, b = scene.add(Client(relay)), scene.add(Client(relay))
    for client in (a, b):
        assert told(scene, client, 1) == [RelayConnected(relay.dht_key)]
    a.call("route", b.key)
    assert told(scene, a, 1) == [Routed(b.key)]
    b.call("route", a.key)
    assert told(scene, b, 2) == [Routed(a.key), Linked(a.key)]
    assert told(scene, a, 1) == [Linked(b.key)]
    return a, b


def told(scene: Scene, client: Client, count: int) -> list[Any]:
    """The next events."""
    scene.until(lambda: len(client.events) >= count)
    events, client.events = client.events[:count], client.events[count:]
    return events
