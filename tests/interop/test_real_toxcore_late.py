"""What the real toxcore takes half a minute to notice, all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Final, TypeAlias

import pytest
from tox_pairs import OFFLINE, RELAYED, Meeting, Pair, Talk, link_two
from tox_parts import OurRelay, Ours, Scene, free_port
from toxcore import HERE, HERE_V6, Library, RelayProcess, Toxcore

from sansproto.tox.events import (
    FriendOnline,
)
from sansproto.tox.relay_events import RelayedReceived, RelayLost

pytestmark = pytest.mark.interop

Record: TypeAlias = Callable[[str, object], None]


# -- what takes toxcore half a minute ----------------------------------------------------------------------------------

RESTARTS: Final = {
    # what is new, whether a goodbye is sent, and the seconds that toxcore takes at most: it looks at no handshake of a
    # friend that it believes to be there, unless the address and the DHT key are new
    "new key, new port": (True, True, False, 2.0),
    "new key": (True, False, False, 45.0),
    "nothing new": (False, False, False, 45.0),
    "new port": (False, True, False, 45.0),
    "a goodbye, new key": (True, False, True, 8.0),
    "a goodbye": (False, False, True, 8.0),
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

    def __init__(self, scene: Scene, library: Library, third: RelayProcess) -> None:
        relay = scene.add(OurRelay())
        self.ends = [scene.add(Toxcore(library, is_udp=False)) for _ in range(2)]
        for tox, friend in zip(self.ends, reversed(self.ends), strict=True):
            tox.befriend(friend.real_key)
            tox.use_relay(relay.relay_port, relay.dht_key)
            tox.use_relay(third.relay_port, third.dht_key)
            tox.meet(third.port, third.dht_key)

    def are_online(self) -> bool:
        return all(tox.status == RELAYED for tox in self.ends)


class Waits:
    """All of it at once."""

    def __init__(self, scene: Scene, library: Library) -> None:
        self.scene, self.third = scene, scene.add(RelayProcess(library, free_port()))
        self.twos = [Two(scene, library, self.third) for _ in range(3)]
        self.linked, self.clients = monotonic(), link_two(scene, scene.add(Toxcore(library, relay_port=free_port())))
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
            scene.until(are_done, 60.0)

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
    waits.away.talk.go_on(20)
    waits.away.talk.finish()


def test_two_toxcores_at_our_relay(waits: Waits) -> None:
    """Whether they find each other is chance: nothing of ours takes part in it. Of three pairs one is enough."""
    scene = waits.scene
    try:
        scene.until(lambda: any(two.are_online() for two in waits.twos), 60.0)
    except AssertionError:
        pytest.skip("no two toxcores found each other within 100 s")
    two = next(two for two in waits.twos if two.are_online())
    scene.stop(waits.third)
    scene.run(0.5)
    texts = [b"text %d" % n for n in range(20)]
    numbers = [[tox.send_text(text) for text in texts] for tox in two.ends]
    scene.until(lambda: all(len(tox.receipts) == len(texts) for tox in two.ends), 15.0)
    assert [tox.texts for tox in two.ends] == [texts, texts]
    assert [tox.receipts for tox in two.ends] == numbers
    assert [tox.statuses for tox in two.ends] == [[RELAYED], [RELAYED]]


def test_a_stream_to_a_relay_of_toxcore_lasts(waits: Waits) -> None:
    """Each side has pinged, and would have given up the other 10 seconds later."""
    waits.scene.until(lambda: monotonic() - waits.linked > 42.0, 45.0)
    a, b = waits.clients
    assert a.events == b.events == []
    assert a.call("send", b.key, b"still here")
    waits.scene.until(lambda: b.events == [RelayedReceived(a.key, b"still here")])
