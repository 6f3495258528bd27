"""Attacks on our ends of Freenet: each changes nothing that matters, and does once its defence is taken out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from freenet_world import World, at, intro, lost, say, texts, told
from scripted_freenet import GATE, HERE, JOIN, OTHER, GatewayPeer, Guest, JoinerPeer, fragment, make_intro, of

from sansproto.contract import Path
from sansproto.errors import WireError
from sansproto.freenet import (
    OURS,
    Confirmed,
    Connected,
    FreenetLimits,
    MessageReceived,
    PathConflict,
    PeerLost,
    call,
    candidate,
    crypto,
    endpoint,
    place,
    windows,
)
from sansproto.freenet import packets as p
from sansproto.freenet.call import Attempt
from sansproto.freenet.candidate import Candidate
from sansproto.freenet.crypto import Cipher, has_small_order
from sansproto.freenet.door import Door, ReadIntro, Sought, Tried
from sansproto.freenet.endpoint import FreenetEndpoint
from sansproto.freenet.generation import Generation, Keys, Made
from sansproto.freenet.place import Place
from sansproto.freenet.question import Question
from sansproto.freenet.streams import Inbox, Whole
from sansproto.testing.network import Node

Patch = pytest.MonkeyPatch


both = pytest.mark.parametrize("defended", [True, False], ids=["defended", "defence taken out"])


@pytest.fixture
def undo() -> Iterator[Any]:
    """Takes a defence out: a part of a weaker class stands in for one with a table, which runs what it overrides."""
    patch = Patch()

    def take_out(owner: Any, name: str, instead: Any) -> None:
        if not hasattr(owner, "table"):
            patch.setattr(owner, name, instead)
            return
        weaker = type(owner.__name__, (owner,), {name: instead})
        for module in (candidate, endpoint, place):
            if getattr(module, owner.__name__, None) is owner:
                patch.setattr(module, owner.__name__, weaker)

    yield take_out
    patch.undo()


def listen(node: Node[Any]) -> list[bytes]:
    """What arrives at a node."""
    heard: list[bytes] = []
    arrive = node.receive_datagram

    def note(data: bytes, path: Path) -> None:
        heard.append(data)
        arrive(data, path)

    node.receive_datagram = note  # type: ignore[method-assign]
    return heard


def goes_on(world: World, gate: Node[Any], joiner: Node[Any]) -> bool:
    """Does the first session pass messages both ways?"""
    gate.events.clear()
    joiner.events.clear()
    taken = [say(gate, b"to", 1), say(joiner, b"fro", 1)]
    with suppress(TimeoutError):
        world.until(lambda: texts(joiner) == [b"to"] and texts(gate) == [b"fro"], within=20)
    return taken == [True, True] and texts(joiner) == [b"to"] and texts(gate) == [b"fro"]


@both
def test_an_intro_in_anothers_name_ends_no_session(defended: bool, undo: Any) -> None:
    if not defended:

        def replace(self: FreenetEndpoint, place: Place, read: Any) -> None:
            for number in [*place.generations]:
                self.forget_generation(place, number)
            add(self, self.make_place(read.path), read)

        add = FreenetEndpoint.add_candidate
        undo(FreenetEndpoint, "add_candidate", replace)
    world = World()
    gate, joiner = world.pair()
    world.spoof(gate, joiner, intro(1))
    world.net.run(1.5)
    world.spoof(gate, joiner, intro(1))
    assert goes_on(world, gate, joiner) is defended


@both
def test_nothing_is_encrypted_to_who_sent_an_intro(defended: bool, undo: Any) -> None:
    """A stranger's intro is answered, and that is all: messages go to who was there before."""
    if not defended:
        undo(Candidate, "answer", lambda self: self.owner.confirm(self))
    world = World()
    gate, joiner = world.pair()
    heard = listen(joiner)
    world.spoof(gate, joiner, intro(1))
    world.net.run(0.5)
    newest_session = max(gate.endpoint.sessions)
    assert say(gate, b"a secret", newest_session)
    world.net.run(1)
    key = Cipher(of("key 1", p.KEY_SIZE))
    opened = []
    for data in heard:
        with suppress(WireError):
            opened.append(p.read_clear(key.open(data)).body)
    assert (p.ShortMessage not in {type(body) for body in opened}) is defended
    assert any(isinstance(body, p.AckConnectionV2) for body in opened) is defended


@both
def test_junk_ends_no_session(defended: bool, undo: Any) -> None:
    if not defended:
        seek = Door.seek

        def count(self: Door, came: Any) -> Any:
            found = seek(self, came)
            if found is not None and found.holder is None:
                junk.append(came)
                for number in [*found.place.generations] if len(junk) > 40 else []:
                    self.host.forget_generation(found.place, number)
            return found

        junk: list[Any] = []
        undo(Door, "seek", count)
    world = World()
    gate, joiner = world.pair()
    for number in range(60):
        world.spoof(gate, joiner, b"\2" + bytes([number]) * (28 + number * 10))
    assert goes_on(world, gate, joiner) is defended


@both
@pytest.mark.parametrize("size", [1, 11, 28, 29, 44, 45, 1500, 1501, 2000])
def test_datagrams_of_any_size_do_no_harm(size: int, defended: bool, undo: Any) -> None:
    if not defended:
        undo(Cipher, "open", lambda self, data: self._decrypt(data[1:13], data[13:], None))
    world = World()
    gate, joiner = world.pair()
    if not defended:
        with pytest.raises(Exception):  # noqa: B017, PT011  # whatever the cipher raises
            Cipher(bytes(16)).open(b"\2" * min(size, 28))
        return
    world.spoof(gate, joiner, b"\2" * size)
    world.spoof(joiner, gate, b"\2" * size)
    world.spoof(gate, joiner, b"\1" * size)
    assert goes_on(world, gate, joiner)


@both
def test_no_handshake_is_in_the_way_of_another_one(defended: bool, undo: Any) -> None:
    """A stranger's intro in the name of somebody who was never there, and junk: the true one comes in at once."""
    if not defended:
        undo(Door, "is_other_key", lambda self, read: self.host.place_at(read.path) is None)
    peer = GatewayPeer.live()
    stranger, guest = Guest(peer, HERE, "stranger"), Guest(peer, HERE, "guest")
    assert stranger.ask()
    for size in (11, 60):
        stranger.give(b"\2" * size)
    assert (guest.ask() is not None) is defended
    if defended:
        guest.ack()
        assert [type(event) for event in peer.take()] == [Connected]
        peer.wait(25)
        assert not peer.offered


@both
def test_a_joiner_is_confirmed_only_by_what_opened_after_its_answer(defended: bool, undo: Any) -> None:
    if not defended:
        hear = Generation.hear_ack

        def believe(self: Generation) -> None:
            self._live()
            hear(self)

        undo(Generation, "hear_ack", believe)
    peer = JoinerPeer.live()
    gate = peer.called()
    answer = gate.answer()
    for data in (b"\2" * 60, b"\2" * 11, answer):
        gate.give(data)
    told_so = [event for event in peer.take() if isinstance(event, Confirmed)]
    assert (told_so == []) is defended


@both
def test_junk_is_no_life(defended: bool, undo: Any) -> None:
    if not defended:
        seek = Door.seek

        def alive(self: Door, came: Any) -> Any:
            found = seek(self, came)
            for one in found.place.generations.values() if found is not None else ():
                one.life = self.host.clock
            return found

        undo(Door, "seek", alive)
    world = World()
    gate, joiner = world.pair()
    joiner.stop(silent=True)
    for _ in range(150):
        gate.receive_datagram(b"\2" * 60, at(joiner))
        world.net.run(1)
    assert (lost(gate) == [1]) is defended


@pytest.mark.unmeasured
@both
def test_what_was_recorded_in_a_session_is_handed_up_once(defended: bool, undo: Any) -> None:
    if not defended:
        undo(windows.Arrived, "is_new", lambda self, number: True)
        undo(windows.Arrived, "mark", lambda self, number, now, patience: None)
    world = World()
    gate, joiner = world.pair()
    heard = listen(gate)
    assert say(joiner, b"once")
    world.net.run(1)
    for _ in range(5):
        world.net.run(66)
        for data in [*heard]:
            world.spoof(gate, joiner, data)
    assert (texts(gate) == [b"once"]) is defended


@both
def test_what_was_recorded_in_the_session_before_opens_in_no_other_one(defended: bool, undo: Any) -> None:
    if not defended:
        draw = FreenetEndpoint.draw

        def same(self: FreenetEndpoint, n: int, purpose: str) -> bytes:
            return of("of this address and day", n) if purpose.startswith("candidate") else draw(self, n, purpose)

        undo(FreenetEndpoint, "draw", same)
    world = World()
    gate, joiner = world.pair()
    heard = listen(gate)
    assert say(joiner, b"of the old one")
    world.net.run(1)
    recorded = [*heard]
    world.restart(joiner, gate)
    with suppress(TimeoutError):
        world.until(lambda: 2 in gate.endpoint.sessions, within=5)
    world.net.run(5)
    gate.events.clear()
    for data in recorded:
        world.spoof(gate, joiner, data)
    assert (2 in gate.endpoint.sessions and texts(gate) == []) is defended  # or it is taken for the old one


@both
def test_points_of_small_order_are_refused(defended: bool, undo: Any) -> None:
    """With such a point the shared secret is zero, for everybody."""
    if not defended:

        def agreed(secret: bytes, public: bytes) -> Any:
            return ChaCha20Poly1305(bytes(32))

        undo(crypto, "_agreed", agreed)
    body = p.IntroBody(bytes.fromhex("ff00020081004001"), bytes(16)).encode()
    forged = b"\1" + bytes(32) + ChaCha20Poly1305(bytes(32)).encrypt(bytes(12), body, None)
    assert has_small_order(bytes(32))
    peer = GatewayPeer.live()
    Guest(peer).give(forged)
    assert (not peer.places) is defended


@both
@pytest.mark.parametrize("total", [1 << 33, 1 << 50, 1 << 63, (1 << 64) - 1])
def test_totals_that_are_told_reserve_nothing(total: int, defended: bool, undo: Any) -> None:
    if not defended:
        undo(Inbox, "fits", lambda self, fragment, bounds: True)
    peer = GatewayPeer.live()
    guest = peer.joined()
    guest.say(fragment(1, b"x" * 1000, total))
    inbox = peer.by_number[1].generations[1].inbound.inbox
    assert (inbox.told <= FreenetLimits().stream_bytes) is defended
    assert sum(len(one) for stream in inbox.open.values() for one in stream.pieces.values()) <= 1000


@both
@pytest.mark.parametrize(
    "clear", [b"", b"\0" * 15, b"\0" * 12 + b"\7\0\0\0", b"\0" * 4 + b"\xff" * 12, bytes(4) + b"\1"]
)
def test_what_opens_and_is_no_packet_is_dropped(clear: bytes, defended: bool, undo: Any) -> None:
    if not defended:
        undo(
            Generation, "read_packet", lambda self, clear: p.Clear(*clear) if len(clear) != 46 else p.read_clear(clear)
        )
    peer = GatewayPeer.live()
    guest = peer.joined()
    data = Cipher(guest.send_key).seal(of("nonce", 12), clear)
    if defended:
        guest.give(data)
        guest.text(b"still here")
        assert [event for event in peer.take() if isinstance(event, MessageReceived)]
    elif len(data) >= p.OVERHEAD + p.MIN_CLEAR:
        with pytest.raises(Exception):  # noqa: B017, PT011  # whatever reading raises
            guest.give(data)


@both
def test_an_intro_that_comes_again_is_no_other_one(defended: bool, undo: Any) -> None:
    """Replayed intros of a session that is there, and of who was there before."""
    if not defended:
        undo(Door, "is_news", lambda self, came: True)
        undo(Place, "has_key", lambda self, key: False)
    world = World()
    gate = world.gateway()
    joiner = world.peer()
    heard = listen(gate)
    world.join(joiner, gate)
    world.until(lambda: bool(told(gate, Connected)))
    intros = [data for data in heard if data[0] == 1]
    for _ in range(20):
        for data in intros:
            world.spoof(gate, joiner, data)
        world.net.run(0.5)
    assert (gate.endpoint.offered == {}) is defended
    assert goes_on(world, gate, joiner)


@both
def test_the_holder_of_a_session_gets_little_that_it_cannot_open(defended: bool, undo: Any) -> None:
    """What it cannot open it may hold against its session."""
    if not defended:
        undo(Candidate, "may_answer", lambda self: True)
    world = World()
    gate, joiner = world.pair()
    joiner.endpoint.stats.dropped.clear()
    for number in range(200):
        world.spoof(gate, joiner, intro(number))
        world.net.run(0.15)
    unopened = joiner.endpoint.stats.dropped.get("opens under no key", 0)
    assert (unopened <= 14) is defended
    assert goes_on(world, gate, joiner)


@both
def test_an_observer_who_is_first_keeps_nobody_out(defended: bool, undo: Any) -> None:
    """After a restart of the gateway somebody else confirms a session at the joiner's address before it comes back."""
    if not defended:
        undo(Door, "has_room", lambda self, tried: not tried.place.generations)
    world = World()
    gate, joiner = world.pair()
    gate.restart(world.new_gateway(), silent=True)
    gate.events.clear()
    observer = Guest(Listener(at(joiner)), at(joiner), "observer")
    heard = listen(joiner)
    gate.receive_datagram(observer.intro, at(joiner))
    world.net.run(0.1)
    for data in heard:
        observer.hear(data)
    assert observer.granted()
    gate.receive_datagram(observer.seal(p.Clear(1, (), p.NoOp())), at(joiner))
    assert told(gate, Connected)
    world.net.run(40)
    assert len(told(joiner, Connected)) >= 2
    assert (2 in [event.generation for event in told(joiner, Confirmed)]) is defended


class Listener:
    """What a scripted guest asks of its peer, beside a network."""

    def __init__(self, path: Path) -> None:
        self.parties: dict[Any, list[Any]] = {path: []}

    def take(self, kept: list[Any]) -> list[Any]:
        found, kept[:] = kept[:], []
        return found


@both
def test_recorded_answers_of_a_dead_process_convince_nobody(defended: bool, undo: Any) -> None:
    """Somebody sends again what the old process sent: it is lost all the same, for it answers no new question."""
    if not defended:

        def convince(self: Generation, packet: p.Clear) -> None:
            self._answer(self.host.clock)
            copied(self, packet)

        copied = Generation.hear_copy
        undo(Generation, "hear_copy", convince)
    world = World()
    gate, joiner = world.pair()
    heard = listen(gate)
    world.net.run(30)
    say(joiner, b"old")
    world.net.run(1)
    recorded, path = [*heard], at(joiner)
    world.restart(joiner, gate)
    for _ in range(40):
        for data in recorded:
            gate.receive_datagram(data, path)
        world.net.run(0.1)
    assert (lost(gate) == [1]) is defended
    assert (told(gate, PathConflict) == []) is defended


@both
def test_a_flood_of_intros_leaves_room_for_a_joiner(defended: bool, undo: Any) -> None:
    if not defended:
        undo(Door, "has_budget", lambda self, came: False)
    world = World()
    gate, joiner = world.gateway(limits=FreenetLimits(intro_rate=50.0, candidates=64)), world.peer(keys=OTHER)
    flood = [make_intro(GATE, of(f"flood {n}", 16), f"flood {n}") for n in range(1500)]
    world.join(joiner, gate)
    for number, data in enumerate(flood):
        gate.receive_datagram(data, Path("udp", f"198.51.{number % 250}.{number % 199 + 1}", number % 60000 + 1))
        if number % 5 == 4:
            world.net.run(0.01)
    assert len(gate.endpoint.offered) <= 64
    assert (bool(told(joiner, Confirmed))) is defended


def test_a_stranger_never_ends_a_session_and_never_makes_a_real_peer_close() -> None:
    """Two minutes of 100 intros a second in a joiner's name, and replays of all that it sent."""
    world = World(latency=0.05, loss=0.1)
    gate, joiner = world.pair()
    heard = listen(gate)
    for number in range(2000):
        world.spoof(gate, joiner, intro(number % 300))
        if heard:
            world.spoof(gate, joiner, heard[number % len(heard)])
            del heard[200:]
        world.net.run(0.01)
        if number % 100 == 0:
            assert say(joiner, b"m%d" % number, 1)
    world.net.run(10)
    assert not told(gate, PeerLost)
    assert not told(joiner, PeerLost)
    assert sorted(texts(gate)) == sorted(b"m%d" % number for number in range(0, 2000, 100))
    assert isinstance(next(iter(gate.endpoint.places.values())).generations[1].question, Question)


@both
def test_nobody_makes_us_flood_whom_we_call(defended: bool, undo: Any) -> None:
    """The intro of a peer that we call, repeated in its name: ours leaves before an answer, but not before each one."""
    if not defended:
        undo(call, "_APART", 0.0)
    peer = JoinerPeer.live()
    gate = peer.called(gateway=False)
    for _ in range(200):
        gate.give(make_intro(JOIN, of("key", 16), "ephemeral"))
        peer.wait(0.001)
    assert (len(gate.intros) <= 7) is defended


@both
def test_streams_that_never_end_leave_room_to_others(defended: bool, undo: Any) -> None:
    """Somebody with many sessions sends as much of streams as is taken, and goes on so that none is given up."""
    if not defended:
        undo(FreenetEndpoint, "may_hold", lambda self, group, size: True)
    limit = 100_000
    peer = GatewayPeer.live(limits=FreenetLimits(held=limit))
    for number in range(20):
        guest = peer.joined(Path("udp", "198.51.100.7", 4000 + number), f"guest {number}")
        for piece in range(9):
            guest.say(fragment(piece + 1, b"x" * 1130, 1 << 20))
            peer.drain()
    assert (peer.held_in_all <= limit / 5 + 128) is defended
    assert peer.held_in_all == sum(
        one.inbound.inbox.held for place in peer.places.values() for one in place.generations.values()
    )
    peer.take()
    other = peer.joined(HERE, "other")
    text = b"t" * 10_000
    payload = p.Message(text).encode()
    for number in range(p.fragment_count(len(payload))):
        piece = payload[number * p.FRAGMENT_SIZE : (number + 1) * p.FRAGMENT_SIZE]
        other.say(fragment(number + 1, piece, len(payload)))
    assert ([one.data for one in peer.take() if isinstance(one, MessageReceived)] == [text]) or not defended
    for number in [*peer.sessions]:
        peer.end_session(number, peer.now)
    assert (peer.held, peer.held_in_all) == ({}, 0)


@both
def test_junk_in_a_handshake_is_not_in_its_way(defended: bool, undo: Any) -> None:
    """Somebody sends it in the name of who has just been answered."""
    if not defended:
        seek = Door.seek_others

        def give_up(self: Door, sought: Sought) -> Any:
            found = seek(self, sought)
            for intro in [*sought.place.candidates] if found is None else ():
                self.host.forget_candidate(sought.place, intro)  # type: ignore[attr-defined]
            return found

        undo(Door, "seek_others", give_up)
    peer = GatewayPeer.live()
    guest = peer.guest()
    assert guest.ask()
    for size in (11, 29, 45, 60):
        guest.give(b"\2" * size)
    guest.ack()
    assert ([type(event) for event in peer.take()] == [Connected]) is defended


def test_no_value_shows_a_secret() -> None:
    key = bytes(range(16))
    shown = [
        Made(Keys(key, key), HERE, 0.0, None),
        ReadIntro(b"", HERE, key, OURS),
        Sought(b"", None, None, key),  # type: ignore[arg-type]
        Tried(None, None, key, p.Clear(1, (), p.ShortMessage(key)), None),  # type: ignore[arg-type]
        Whole(1, key, key),
        Attempt(key, b"", 0.0),
    ]
    assert not [one for one in shown if repr(key)[2:-1] in repr(one)]


ATTACKS = (
    test_an_intro_in_anothers_name_ends_no_session,
    test_nothing_is_encrypted_to_who_sent_an_intro,
    test_an_intro_that_comes_again_is_no_other_one,
    test_datagrams_of_any_size_do_no_harm,
    test_no_handshake_is_in_the_way_of_another_one,
    test_junk_in_a_handshake_is_not_in_its_way,
    test_a_joiner_is_confirmed_only_by_what_opened_after_its_answer,
    test_junk_ends_no_session,
    test_junk_is_no_life,
    test_what_was_recorded_in_a_session_is_handed_up_once,
    test_what_was_recorded_in_the_session_before_opens_in_no_other_one,
    test_points_of_small_order_are_refused,
    test_totals_that_are_told_reserve_nothing,
    test_what_opens_and_is_no_packet_is_dropped,
)
"""What docs/protocols/freenet.rst promises under "where ours is stricter"."""


def test_each_promise_is_tried_with_and_without_its_defence() -> None:
    for test in ATTACKS:
        tried: list[Any] = [mark.args[0] for mark in test.pytestmark if mark.args]  # type: ignore[attr-defined]
        assert "defended" in tried, test.__name__
