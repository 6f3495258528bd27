"""Nodes and relays of ours with the real toxcore: everything that a session between them does, over UDP and relays.

These run with Debian's libtoxcore2, and with the shared library that the environment variable TOXCORE names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeAlias

import pytest
from tox_parts import COOKIE_REQUEST, COOKIE_RESPONSE, HANDSHAKE, Line, OurRelay, Ours, Scene, free_port
from toxcore import DEBIAN, GIVEN, HERE, HERE_V6, Library, RelayProcess, Toxcore, debian, given

from sansproto.tox.events import (
    CustomReceived,
    FriendOffline,
    FriendOnline,
    MessageDelivered,
    MessageReceived,
    NameChanged,
    OfflineReason,
    Undelivered,
)
from sansproto.tox.relay_events import RelayConnected, RelayLost

pytestmark = pytest.mark.interop

Record: TypeAlias = Callable[[str, object], None]
OFFLINE, RELAYED, DIRECT = 0, 1, 2
LOSSLESS, LOSSY = 160, 200
"""Ids of custom packets."""
MANY: Final = 4000


def _library(library: Library | None, name: str, reason: str) -> Any:
    return pytest.param(library, id=name, marks=pytest.mark.skipif(library is None, reason=reason))


@pytest.fixture(
    scope="module",
    params=[
        _library(debian, "debian", f"{DEBIAN}, the package libtoxcore2 of Debian, cannot be loaded"),
        _library(given, "given", f"TOXCORE names no shared library of toxcore that can be loaded: {GIVEN!r}"),
    ],
)
def library(request: pytest.FixtureRequest) -> Library:
    real: Library = request.param
    return real


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


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
    """Texts that go both ways all the time, as a part of the scene."""

    def __init__(self, pair: Pair, pause: float = 0.1) -> None:
        self._pair, self._pause, self._next = pair, pause, 0.0
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
            self.sent_by_them += theirs.send_text(b"text %d" % self.sent_by_them) != 0
        arrived = len(theirs.texts), len(ours.of(MessageReceived))
        for end in (0, 1):
            self.gaps[end] = max(self.gaps[end], now - self._since[end])
            if arrived[end] > self._arrived[end]:
                self._since[end] = now
        self._arrived = arrived

    def stop(self) -> None:
        pass

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


# -- UDP ---------------------------------------------------------------------------------------------------------------


def test_ours_calls(scene: Scene, library: Library) -> None:
    pair = Direct(scene, library)
    pair.theirs.rename(b"toxcore")
    pair.connect(within=3.0)
    assert pair.theirs.status == DIRECT
    scene.until(lambda: pair.ours.of(NameChanged)[-1:] == [NameChanged(pair.theirs.real_key, "toxcore")])
    pair.exchange()


def test_our_name_arrives(scene: Scene, library: Library) -> None:
    pair = Direct(scene, library)
    pair.ours.call(pair.ours.node.set_profile, name="ours")
    pair.connect()
    scene.until(lambda: pair.theirs.names[-1:] == [b"ours"])


def test_toxcore_calls(scene: Scene, library: Library) -> None:
    """It has learnt who we are; a node that does not know where it is waits."""
    pair = Direct(scene, library)
    pair.connect()
    pair.ours.call(pair.ours.node.remove_friend, pair.theirs.real_key)
    scene.until(lambda: pair.theirs.status == OFFLINE)
    before = pair.line.seen[True, COOKIE_REQUEST]
    pair.ours.befriend(pair.theirs)
    pair.await_online(within=15.0)
    assert pair.line.seen[True, COOKIE_REQUEST] == before
    pair.exchange()


@pytest.mark.parametrize(
    "answered", [(True, False), (True,), (False,)], ids=["both handshakes", "our handshake", "their handshake"]
)
def test_starts_cross(scene: Scene, library: Library, answered: tuple[bool, ...]) -> None:
    """Each has asked for a cookie; whose handshakes are then on their way."""
    pair = Direct(scene, library)
    line, both = pair.line, (True, False)

    def release(kind: int, of: tuple[bool, ...]) -> None:
        scene.until(lambda: all(line.holds_some(is_ours, kind) for is_ours in of))
        for is_ours in of:
            line.release(is_ours, kind)

    pair.connect()
    line.holds = frozenset((COOKIE_REQUEST, COOKIE_RESPONSE, HANDSHAKE))
    pair.ours.call(pair.ours.node.remove_friend, pair.theirs.real_key)
    scene.until(lambda: pair.theirs.status == OFFLINE)
    pair.call()
    release(COOKIE_REQUEST, both)
    release(COOKIE_RESPONSE, tuple(not is_ours for is_ours in answered))
    release(HANDSHAKE, answered)
    line.holds = frozenset()
    pair.await_online()
    pair.exchange()


def test_thousands_of_packets(scene: Scene, library: Library) -> None:
    pair = Direct(scene, library)
    pair.connect()
    bulk(pair, MANY, 1000, within=30.0)


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


def test_loss_both_ways(scene: Scene, library: Library, record_property: Record) -> None:
    """With texts, for toxcore's custom packets all but stop where packets are lost."""
    pair = Direct(scene, library, loss=0.15)
    pair.connect(within=20.0)
    talk = Talk(pair, pause=0.01)
    scene.run(5.0)
    talk.finish(within=30.0)
    record_property("texts", (talk.sent, talk.sent_by_them))


def test_lossy_packets_are_lost_or_arrive_once(scene: Scene, library: Library) -> None:
    pair = Direct(scene, library)
    pair.connect()
    pair.line.loss = 0.2
    packets = [bytes((LOSSY, n)) for n in range(200)]
    for packet in packets:
        assert pair.ours.send(pair.theirs, packet)
        assert pair.theirs.send_lossy(packet)
    number = pair.ours.text(pair.theirs, "the end")
    pair.theirs.send_text(b"the end")
    scene.until(lambda: pair.theirs.texts and pair.ours.of(MessageReceived), 20.0)
    assert number
    ours = [event.data for event in pair.ours.of(CustomReceived)]
    for arrived in (pair.theirs.lossy, ours):
        assert 100 < len(arrived) < 200
        assert arrived == sorted(set(arrived))


# -- ends and starts ---------------------------------------------------------------------------------------------------


def test_ours_ends_and_comes_again(scene: Scene, library: Library) -> None:
    pair = Direct(scene, library)
    pair.connect()
    pair.ours.call(pair.ours.node.remove_friend, pair.theirs.real_key)
    scene.until(lambda: pair.theirs.status == OFFLINE, 1.0)
    pair.call()
    pair.await_online()
    pair.exchange()


def test_toxcore_ends_and_comes_again(scene: Scene, library: Library) -> None:
    pair = Direct(scene, library)
    pair.connect()
    pair.theirs.unfriend()
    scene.until(lambda: pair.ours.of(FriendOffline), 1.0)
    assert pair.ours.take(FriendOffline) == [FriendOffline(pair.theirs.real_key, OfflineReason.SAID)]
    pair.ours.take(FriendOnline)
    pair.theirs.statuses.clear()
    pair.theirs.befriend(pair.ours.real_key)
    scene.until(lambda: pair.is_online and pair.ours.of(FriendOnline))
    pair.exchange()


@pytest.mark.parametrize("says_goodbye", [False, True], ids=["vanishes", "goodbye"])
@pytest.mark.parametrize("is_new_port", [False, True], ids=["same port", "new port"])
def test_toxcore_restarts(
    scene: Scene,
    library: Library,
    is_new_port: bool,
    says_goodbye: bool,
    record_property: Record,
) -> None:
    """Its DHT key is another one each time, which the application is told: the session is there at once."""
    pair = Direct(scene, library)
    pair.connect()
    pair.exchange()
    pair.line.is_cut = not says_goodbye
    lost = [] if says_goodbye else [pair.ours.text(pair.theirs, "lost") for _ in range(3)]
    scene.stop(pair.theirs)
    if says_goodbye:
        scene.until(lambda: pair.ours.of(FriendOffline))
    pair.line.turn()  # what was still said is lost
    pair.line.is_cut = False
    old = pair.theirs
    port = free_port() if is_new_port else old.port
    pair.theirs = scene.add(Toxcore(library, secret_key=old.secret_key, port=port))
    assert (pair.theirs.real_key, pair.theirs.port) == (old.real_key, port)
    assert pair.theirs.dht_key != old.dht_key
    if is_new_port:
        pair.line = scene.add(Line(pair.theirs.port))
    pair.theirs.befriend(pair.ours.real_key)
    pair.ours.take(FriendOnline)
    pair.call()
    took = scene.until(lambda: pair.ours.of(FriendOnline) and pair.is_online, 3.0)
    record_property("seconds", round(took, 2))
    reason = OfflineReason.SAID if says_goodbye else OfflineReason.RESTARTED
    assert pair.ours.of(FriendOffline) == [FriendOffline(pair.theirs.real_key, reason)]
    assert [event.messages for event in pair.ours.of(Undelivered)] == ([] if says_goodbye else [tuple(lost)])
    pair.exchange()


# -- relays ------------------------------------------------------------------------------------------------------------


class Meeting(Pair):
    """Through relays alone."""

    def __init__(self, scene: Scene, library: Library, *relays: Any) -> None:
        super().__init__(scene, scene.add(Ours(is_udp=False)), scene.add(Toxcore(library, is_udp=False)))
        for relay in relays:
            self.theirs.use_relay(relay.relay_port, relay.dht_key)
            self.ours.use_relay(relay.relay_port, relay.dht_key)
        scene.until(lambda: len(self.ours.of(RelayConnected)) == len(relays))

    def connect(self, within: float = 15.0) -> float:
        self.ours.befriend(self.theirs)
        return self.scene.until(lambda: self.is_online and self.theirs.status == RELAYED, within)


@pytest.fixture(params=["our relay", "toxcore's relay"])
def relay(request: pytest.FixtureRequest, scene: Scene, library: Library) -> Any:
    if request.param == "our relay":
        return scene.add(OurRelay())
    return scene.add(RelayProcess(library, free_port()))


def test_through_a_relay(scene: Scene, library: Library, relay: Any) -> None:
    pair = Meeting(scene, library, relay)
    pair.connect()
    pair.exchange()
    pair.forget()
    bulk(pair, 1000, 1000, within=30.0)


def test_through_a_relay_again(scene: Scene, library: Library, relay: Any) -> None:
    """Toxcore has forgotten the relay for this friend, but was told of it."""
    pair = Meeting(scene, library, relay)
    pair.connect()
    pair.exchange()
    pair.ours.call(pair.ours.node.remove_friend, pair.theirs.real_key)
    scene.until(lambda: pair.theirs.status == OFFLINE)
    pair.connect()
    pair.exchange()


def test_two_of_ours_at_a_relay_of_toxcore(scene: Scene, library: Library) -> None:
    relay = scene.add(RelayProcess(library, free_port()))
    one, other = scene.add(Ours(is_udp=False)), scene.add(Ours(is_udp=False))
    for node, friend in ((one, other), (other, one)):
        node.use_relay(relay.relay_port, relay.dht_key)
        node.befriend(friend)
    scene.until(lambda: one.of(FriendOnline) and other.of(FriendOnline))
    for node, friend in ((one, other), (other, one)):
        assert node.text(friend, "hello")
    scene.until(lambda: one.of(MessageDelivered) and other.of(MessageDelivered))
    assert [event.text for node in (one, other) for event in node.of(MessageReceived)] == ["hello", "hello"]


def test_a_relay_is_lost(scene: Scene, library: Library, relay: Any, record_property: Record) -> None:
    """And another one is there."""
    pair = Meeting(scene, library, relay, scene.add(OurRelay()))
    pair.connect()
    talk = Talk(pair)
    scene.run(1.0)
    scene.stop(relay)
    scene.run(3.0)
    talk.finish()
    record_property("longest gaps", [round(gap, 2) for gap in talk.gaps])


# -- UDP and relays ----------------------------------------------------------------------------------------------------


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


def test_udp_is_cut_and_comes_back(scene: Scene, library: Library, record_property: Record) -> None:
    """Toxcore waits for UDP for 8 seconds."""
    pair = Both(scene, library)
    pair.connect()
    scene.until(lambda: pair.is_direct)
    talk = Talk(pair)
    scene.run(1.0)
    pair.line.is_cut = True
    record_property("through the relay after", scene.until(lambda: pair.theirs.status == RELAYED, 12.0))
    scene.run(2.0)
    pair.line.is_cut = False
    record_property("by UDP after", scene.until(lambda: pair.is_direct, 10.0))
    scene.run(1.0)
    talk.finish()
    record_property("longest gaps", [round(gap, 2) for gap in talk.gaps])
    assert max(talk.gaps) < 12.0
    assert pair.theirs.statuses == [DIRECT, RELAYED, DIRECT]


def test_a_session_through_a_relay_goes_over_to_udp(scene: Scene, library: Library, record_property: Record) -> None:
    """Toxcore never saw our address: it learns it by the DHT ping."""
    pair = Both(scene, library)
    pair.ours.befriend(pair.theirs)
    scene.until(lambda: pair.is_online and pair.theirs.status == RELAYED)
    talk = Talk(pair)
    scene.run(1.0)
    pair.call()
    record_property("seconds", scene.until(lambda: pair.is_direct, 8.0))
    scene.run(1.0)
    talk.finish()
    assert pair.theirs.statuses == [RELAYED, DIRECT]


# -- what takes toxcore half a minute ----------------------------------------------------------------------------------

RESTARTS: Final = {
    # what is new, whether a goodbye is sent, and the seconds that toxcore takes at most: it looks at no handshake of a
    # friend that it believes to be there, unless the address and the DHT key are new
    "new key, new port": (True, True, False, 2.0),
    "new key": (True, False, False, 36.0),
    "nothing new": (False, False, False, 36.0),
    "new port": (False, True, False, 36.0),
    "a goodbye, new key": (True, False, True, 3.0),
    "a goodbye": (False, False, True, 3.0),
}


class Restarted(Pair):
    """Ours restarts."""

    def __init__(self, scene: Scene, library: Library, name: str) -> None:
        # An address of IPv4 within one network is one that toxcore does not replace.
        host = HERE_V6 if name == "new port" else HERE
        super().__init__(scene, scene.add(Ours(host=host)), scene.add(Toxcore(library, is_ipv6=host == HERE_V6)))
        self.ours.befriend(self.theirs, path=self.theirs.path)
        self.is_new_key, self.is_new_port, self.says_goodbye, self.most = RESTARTS[name]

    def restart(self) -> None:
        old = self.ours
        if self.says_goodbye:
            old.call(old.node.close)
            self.scene.until(lambda: self.theirs.status == OFFLINE, 1.0)
        self.scene.stop(old)
        dht = b"" if self.is_new_key else old.dht_secret
        port = 0 if self.is_new_port else old.port
        self.ours = self.scene.add(Ours(real=old.real_secret, dht=dht, host=old.host, port=port))
        self.ours.befriend(self.theirs, path=self.theirs.path)

    def is_back(self) -> bool:
        return self.is_online and bool(self.ours.of(FriendOnline))


class Away:
    """A relay of ours that was away: toxcore notices that late, and has another one meanwhile."""

    def __init__(self, scene: Scene, library: Library) -> None:
        self._scene, self._first, self.other = scene, scene.add(OurRelay()), scene.add(OurRelay())
        self.pair = Meeting(scene, library, self._first, self.other)
        self.pair.connect()
        self.talk = Talk(self.pair)

    def restart(self) -> None:
        self._scene.run(0.5)
        self._scene.stop(self._first)
        self._scene.until(lambda: self.pair.ours.of(RelayLost))
        first = self._first
        self._first = self._scene.add(OurRelay(secret=first.secret, port=first.relay_port))

    def is_back(self) -> bool:
        link = self.pair.ours.node.relays[self._first.dht_key]
        return len(self._first.server.clients) == 2 and link.is_linked(self.pair.theirs.dht_key)


class Two:
    """Two toxcores at a relay of ours, who learn each other's DHT keys through a third one on this machine."""

    def __init__(self, scene: Scene, library: Library) -> None:
        relay, self.third = scene.add(OurRelay()), scene.add(RelayProcess(library, free_port()))
        self.ends = [scene.add(Toxcore(library, is_udp=False)) for _ in range(2)]
        for tox, friend in zip(self.ends, reversed(self.ends), strict=True):
            tox.befriend(friend.real_key)
            tox.use_relay(relay.relay_port, relay.dht_key)
            tox.use_relay(self.third.relay_port, self.third.dht_key)
            tox.meet(self.third.port, self.third.dht_key)

    def are_online(self) -> bool:
        return all(tox.status == RELAYED for tox in self.ends)


class Waits:
    """All of it at once."""

    def __init__(self, scene: Scene, library: Library) -> None:
        self.scene, self.two = scene, Two(scene, library)
        self.pairs = {name: Restarted(scene, library, name) for name in RESTARTS}
        self.away = Away(scene, library)
        scene.until(lambda: all(pair.is_online for pair in self.pairs.values()))
        for pair in self.pairs.values():
            pair.exchange(1)
        self.took: dict[str, float] = {}
        begun = {name: self._restart(part) for name, part in (("away", self.away), *self.pairs.items())}

        def are_done() -> bool:
            for name, then in begun.items():
                part = self.away if name == "away" else self.pairs[name]
                if name not in self.took and part.is_back():
                    self.took[name] = monotonic() - then
            return len(self.took) == len(begun)

        with suppress(AssertionError):  # the tests say what is missing
            scene.until(are_done, 50.0)

    @staticmethod
    def _restart(part: Restarted | Away) -> float:
        part.restart()
        return monotonic()


@pytest.fixture(scope="module")
def waits(library: Library) -> Iterator[Waits]:
    scene = Scene()
    yield Waits(scene, library)
    scene.close()


@pytest.mark.parametrize("name", RESTARTS)
def test_ours_restarts(waits: Waits, name: str, record_property: Record) -> None:
    pair = waits.pairs[name]
    assert waits.took[name] < pair.most
    record_property("seconds", round(waits.took[name], 2))
    pair.exchange(1)


def test_a_relay_was_away(waits: Waits, record_property: Record) -> None:
    """It is as good as before: the other one may go."""
    record_property("seconds", round(waits.took["away"], 2))
    waits.scene.stop(waits.away.other)
    waits.scene.run(1.0)
    waits.away.talk.finish()


def test_two_toxcores_at_our_relay(waits: Waits) -> None:
    two, scene = waits.two, waits.scene
    try:
        scene.until(two.are_online, 60.0)
    except AssertionError:
        pytest.skip("two toxcores did not find each other, in which nothing of ours takes part")
    scene.stop(two.third)
    scene.run(0.5)
    texts = [b"text %d" % n for n in range(20)]
    numbers = [[tox.send_text(text) for text in texts] for tox in two.ends]
    scene.until(lambda: all(len(tox.receipts) == len(texts) for tox in two.ends), 15.0)
    assert [tox.texts for tox in two.ends] == [texts, texts]
    assert [tox.receipts for tox in two.ends] == numbers
    assert [tox.statuses for tox in two.ends] == [[RELAYED], [RELAYED]]
