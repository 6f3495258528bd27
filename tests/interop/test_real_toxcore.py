"""Nodes and relays of ours with the real toxcore: everything that a session between them does, over UDP and relays.

These run with Debian's libtoxcore2, and with the shared library that the environment variable TOXCORE names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    """Texts that go both ways all the time."""

    def __init__(self, pair: Pair, pause: float = 0.1) -> None:
        self._pair, self._pause, self._next = pair, pause, 0.0
        self.sent = self.sent_by_them = 0
        self._arrived, self._since = (0, 0), [monotonic(), monotonic()]
        self.gaps = [0.0, 0.0]
        """The longest times in which nothing arrived, at theirs and at ours."""
        pair.forget()

    def until(self, condition: Callable[[], object], within: float) -> float:
        """Go on until something holds; how long that took."""

        def act() -> object:
            self._act(monotonic())
            return condition()

        return self._pair.scene.until(act, within)

    def go_on(self, seconds: float) -> None:
        end = monotonic() + seconds
        self.until(lambda: monotonic() >= end, seconds + 10.0)

    def finish(self, within: float = 15.0) -> None:
        """All of it arrives, once and in its order, and each end learns it."""
        pair, ours, theirs = self._pair, self._pair.ours, self._pair.theirs

        def is_done() -> bool:
            told = (len(theirs.texts), len(ours.of(MessageDelivered)))
            told_them = (len(ours.of(MessageReceived)), len(theirs.receipts))
            return min(told) >= self.sent and min(told_them) >= self.sent_by_them

        pair.scene.until(is_done, within)
        assert theirs.texts == [b"text %d" % n for n in range(self.sent)]
        assert [event.text for event in ours.of(MessageReceived)] == [f"text {n}" for n in range(self.sent_by_them)]

    def _act(self, now: float) -> None:
        ours, theirs = self._pair.ours, self._pair.theirs
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


def test_loss_both_ways(scene: Scene, library: Library) -> None:
    """With texts, for toxcore's custom packets all but stop where packets are lost."""
    pair = Direct(scene, library, loss=0.15)
    pair.connect(within=20.0)
    talk = Talk(pair, pause=0.01)
    talk.go_on(5.0)
    talk.finish(within=30.0)
    assert pair.ours.of(FriendOffline) == []


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


def test_ours_restarts(scene: Scene, library: Library, record_property: Record) -> None:
    """All at once, for toxcore takes 32 seconds to notice some of these."""
    pairs = {}
    for name in RESTARTS:  # an address of IPv4 within one network is one that toxcore does not replace
        host = HERE_V6 if name == "new port" else HERE
        theirs = scene.add(Toxcore(library, is_ipv6=host == HERE_V6))
        pair = pairs[name] = Pair(scene, scene.add(Ours(host=host)), theirs)
        pair.ours.befriend(pair.theirs, path=pair.theirs.path)
    scene.until(lambda: all(pair.is_online for pair in pairs.values()))
    for pair in pairs.values():
        pair.exchange(1)
    begun, took = {}, {}
    for name, (is_new_key, is_new_port, says_goodbye, _) in RESTARTS.items():
        pair, ours = pairs[name], pairs[name].ours
        if says_goodbye:
            ours.call(ours.node.close)
            scene.until(lambda theirs=pair.theirs: theirs.status == OFFLINE, 1.0)
        scene.stop(ours)
        dht = b"" if is_new_key else ours.dht_secret
        port = 0 if is_new_port else ours.port
        pair.ours = scene.add(Ours(real=ours.real_secret, dht=dht, host=ours.host, port=port))
        pair.ours.befriend(pair.theirs, path=pair.theirs.path)
        begun[name] = monotonic()

    def is_done() -> bool:
        for name, pair in pairs.items():
            if name not in took and pair.ours.of(FriendOnline) and pair.is_online:
                took[name] = monotonic() - begun[name]
        return len(took) == len(pairs)

    scene.until(is_done, 40.0)
    for name, seconds in took.items():
        record_property(name, round(seconds, 2))
    assert [name for name, seconds in took.items() if seconds > RESTARTS[name][3]] == []
    for pair in pairs.values():
        pair.exchange(1)


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


def test_a_relay_is_lost_and_comes_back(scene: Scene, library: Library, record_property: Record) -> None:
    """Toxcore forgets a relay that it cannot reach for 10 seconds, and minds nothing else it is told of it before:
    it comes back because it is told again, by the other relay."""
    one, other = scene.add(OurRelay()), scene.add(OurRelay())
    pair = Meeting(scene, library, one, other)
    pair.connect()
    talk = Talk(pair)
    talk.go_on(1.0)
    scene.stop(one)
    talk.go_on(3.0)
    assert [event.relay for event in pair.ours.of(RelayLost)] == [one.dht_key]
    again = scene.add(OurRelay(secret=one.secret, port=one.relay_port))
    record_property("seconds", talk.until(lambda: len(again.server.clients) == 2, 25.0))
    talk.go_on(1.0)
    scene.stop(other)
    talk.go_on(3.0)
    talk.finish()
    assert pair.ours.of(FriendOffline) == []
    assert OFFLINE not in pair.theirs.statuses


def test_a_relay_of_toxcore_is_lost(scene: Scene, library: Library, record_property: Record) -> None:
    relays = [scene.add(RelayProcess(library, free_port())), scene.add(OurRelay())]
    pair = Meeting(scene, library, *relays)
    pair.connect()
    talk = Talk(pair)
    talk.go_on(1.0)
    scene.stop(relays[0])
    talk.go_on(3.0)
    talk.finish()
    record_property("gaps", talk.gaps)
    assert pair.ours.of(FriendOffline) == []
    assert OFFLINE not in pair.theirs.statuses


# -- UDP and relays ----------------------------------------------------------------------------------------------------


def test_udp_is_cut_and_comes_back(scene: Scene, library: Library, record_property: Record) -> None:
    """Toxcore waits for UDP for 8 seconds. Both talk all the time, and neither is ever offline to the other."""
    relay = scene.add(OurRelay())
    pair = Direct(scene, library)
    for end in (pair.ours, pair.theirs):
        end.use_relay(relay.relay_port, relay.dht_key)
    pair.connect()
    scene.until(lambda: pair.theirs.status == DIRECT)
    talk = Talk(pair)
    talk.go_on(2.0)
    pair.line.is_cut = True
    record_property("to the relay", talk.until(lambda: pair.theirs.status == RELAYED, 15.0))
    talk.go_on(3.0)
    pair.line.is_cut = False
    record_property("back to UDP", talk.until(lambda: pair.theirs.status == DIRECT, 10.0))
    talk.go_on(2.0)
    talk.finish()
    record_property("gaps", talk.gaps)
    assert pair.theirs.statuses == [DIRECT, RELAYED, DIRECT]
    assert pair.ours.of(FriendOffline) == []
    assert is_direct(pair)


def is_direct(pair: Pair) -> bool:
    return pair.ours.node.friends.all[pair.theirs.real_key].ways.is_direct


def test_a_session_through_a_relay_goes_over_to_udp(scene: Scene, library: Library, record_property: Record) -> None:
    """Toxcore never saw this address: it learns it by the DHT ping."""
    relay = scene.add(OurRelay())
    pair = Direct(scene, library)
    for end in (pair.ours, pair.theirs):
        end.use_relay(relay.relay_port, relay.dht_key)
    pair.ours.befriend(pair.theirs)
    scene.until(lambda: pair.is_online and pair.theirs.status == RELAYED)
    talk = Talk(pair)
    talk.go_on(1.0)
    pair.call()
    record_property("seconds", talk.until(lambda: pair.theirs.status == DIRECT and is_direct(pair), 10.0))
    talk.go_on(2.0)
    talk.finish()
    assert pair.theirs.statuses == [RELAYED, DIRECT]
    assert pair.ours.of(FriendOffline) == []
