"""A node of ours and the real toxcore over UDP: everything that a session between them does.

This runs with Debian's libtoxcore2, and with the shared library that the environment variable TOXCORE names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import pytest
from tox_pairs import DIRECT, LOSSY, OFFLINE, Direct, Talk, bulk
from tox_parts import COOKIE_REQUEST, COOKIE_RESPONSE, HANDSHAKE, Line, Scene, free_port
from toxcore import Library, Toxcore

from sansproto.tox.events import (
    CustomReceived,
    FriendOffline,
    FriendOnline,
    MessageReceived,
    NameChanged,
    OfflineReason,
    Undelivered,
)

pytestmark = pytest.mark.interop

MANY: Final = 4000
Record: TypeAlias = Callable[[str, object], None]


# -- UDP ---------------------------------------------------------------------------------------------------------------


def test_a_presence_that_nobody_knows_costs_no_session(scene: Scene, library: Library) -> None:
    pair = Direct(scene, library)
    pair.connect()
    scene.until(lambda: pair.theirs.presences[-1:] == [0])
    session = pair.ours.node.friends.all[pair.theirs.real_key].session
    assert session is not None
    for value in (1, 3, 255, 2):
        pair.ours.call(lambda one, now: session.outgoing.send_at_once(bytes([0x32, one])), value)
    scene.until(lambda: pair.theirs.presences[-1:] == [2])
    assert [one for one in dict.fromkeys(pair.theirs.presences) if one != 3] == [0, 1, 2]  # some tell of 3, none of 255
    pair.exchange()


def test_ours_calls(scene: Scene, library: Library) -> None:
    pair = Direct(scene, library)
    pair.theirs.rename(b"toxcore")
    pair.connect(within=5.0)
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
    pair.await_online(within=3.0)
    pair.exchange()


def test_thousands_of_packets(scene: Scene, library: Library) -> None:
    pair = Direct(scene, library)
    pair.connect()
    bulk(pair, MANY, 1000, within=30.0)


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
    scene.until(lambda: pair.ours.node.waiting(pair.theirs.real_key) == 0)
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
    took = scene.until(lambda: pair.ours.of(FriendOnline) and pair.is_online, 10.0)
    record_property("seconds", round(took, 2))
    reason = OfflineReason.SAID if says_goodbye else OfflineReason.RESTARTED
    assert pair.ours.of(FriendOffline) == [FriendOffline(pair.theirs.real_key, reason)]
    assert [event.messages for event in pair.ours.of(Undelivered)] == ([] if says_goodbye else [tuple(lost)])
    pair.exchange()
