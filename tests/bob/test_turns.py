"""Strangers without the password hold nobody up: derivations take turns, and hosts that wait for an answer."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from scripted_bob import BASE_POINT, ClientPeer, ServerPeer

from sansproto.bob import PeerAgreed, PeerLimits, crypto
from sansproto.bob import packets as p
from sansproto.bob.kdf import SLICE
from sansproto.testing._internal.meter import measured

GUESSERS = 60
PATIENCE = 10.0  # seconds: what SECURITY.rst promises


class AtClient(ClientPeer):
    """A registered client: what its servers do."""

    answer = p.XAndClientIdentity  # what somebody waits for

    def __init__(self, **more: Any) -> None:
        super().__init__(ClientPeer.live(**more).endpoint)
        self.register()
        self.wait(0.01)

    def come(self, uid: int, identity: str, count: int = 1) -> None:
        self.announce(uid, identity, count=count)

    def fail(self, uid: int) -> None:
        self.get(uid, p.YAndServerValidator(BASE_POINT, bytes(64)))

    def prove(self, uid: int, identity: str, count: int = 1) -> None:
        self.reply(uid, identity, count=count)
        self.get(uid, p.Agreement())


class AtServer(ServerPeer):
    """A registered server: what its clients do."""

    answer = p.YAndServerValidator

    def __init__(self, **more: Any) -> None:
        super().__init__(ServerPeer.live(count=1, **more).endpoint)
        self.register()
        self.wait(0.01)

    come = ServerPeer.ask

    def fail(self, uid: int) -> None:
        self.get(uid, p.SpokeFailure(p.SpokeFault.SERVER_VALIDATOR))


KINDS = pytest.mark.parametrize("kind", [AtClient, AtServer])


def besieged(kind: type[AtClient] | type[AtServer], **more: Any) -> Any:
    """Somebody at whom so much was guessed that its answers are as far from each other as they ever are."""
    at = kind(**more)
    for uid in range(1, 81):
        at.come(uid, f"192.0.2.1:{uid}")
        at.wait(6.0)
        assert uid in at.whom(kind.answer)
        at.fail(uid)
    at.wait(PATIENCE)
    at.said()
    at.heard.clear()
    return at


def agrees(at: AtClient | AtServer, uid: int) -> bool:
    return any(isinstance(event, PeerAgreed) and event.uid == uid for event in at.take())


# -- derivations -------------------------------------------------------------------------------------------------------


def test_a_server_that_asks_for_many_rounds_keeps_nobody_waiting() -> None:
    """Nor does one with another password. A stranger needs no password for either."""
    at = AtClient()
    at.come(1, "10.0.0.1:1", crypto.MAX_ITERATIONS)
    at.come(2, "10.0.0.2:1")
    at.come(3, "10.0.0.3:1", 16)
    for _ in range(3):
        at.tick()
    at.fail(2)
    at.prove(3, "10.0.0.3:1", 16)
    assert agrees(at, 3)


def test_who_asks_for_many_rounds_gets_every_fourth_slice() -> None:
    """However many others ask for few."""
    at = AtClient()
    slices, newcomer = 20, 1
    at.come(1, "10.0.0.1:1", slices * SLICE)
    for number in range(4 * slices):
        assert at.whom(p.XAndClientIdentity).count(1) == 0, number
        for _ in range(9):  # more than one slice has room for
            newcomer += 1
            at.come(newcomer, "10.0.0.2:1")
        at.tick()
    assert at.whom(p.XAndClientIdentity).count(1) == 1


def test_those_who_ask_for_as_much_come_in_the_order_in_which_they_came() -> None:
    at = AtClient()
    for uid in range(1, 6):
        at.come(uid, "10.0.0.1:1", 4 * SLICE)
    while len(at.whom(p.XAndClientIdentity)) < 5:
        at.tick()
    assert at.whom(p.XAndClientIdentity) == [1, 2, 3, 4, 5]


def test_a_slice_costs_the_same_however_many_wait() -> None:
    """Also when they ask for as many different numbers of rounds as there can be, and leave."""
    costs = []
    for others in (20, 4000):
        at = AtClient()
        for uid in range(2, 2 + others):
            at.come(uid, "10.0.0.1:1", 5000 + uid * (900_000 // others))
        at.come(1, "10.0.0.2:1", 2 * SLICE + 1)
        at.wait(0.0)
        _, first = measured(at.tick)
        _, gone = measured(partial(at.get, p.RELAY, p.PeerClosed(others)))
        costs.append((first, gone))
        at.wait(0.002)
        assert at.whom(p.XAndClientIdentity) == [1]
    few, many = costs
    assert all(more < 1.1 * less + 100 for less, more in zip(few, many, strict=True))


# -- answers -----------------------------------------------------------------------------------------------------------

ELSEWHERE = {
    "IPv4": ("10.0.0.1:{}", "10.0.0.2:1"),
    "one network": ("2001:db8::{:x}:40000", "2001:db8:0:1::1:40000"),
    "IPv4 in IPv6": ("::ffff:10.0.0.1:{}", "::ffff:10.0.0.2:1"),
    "both": ("10.0.0.1:{}", "2001:db8::1:40000"),
    "no addresses": ("guesser-{}", "10.0.0.2:1"),
    "no addresses of different forms": ("{}.example:1", "2001:db8::1:40000"),
}


@pytest.mark.unmeasured
@KINDS
@pytest.mark.parametrize(("theirs", "honest"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_beside_guessers_of_one_host_an_honest_peer_is_answered_soon(
    kind: type[AtClient] | type[AtServer], theirs: str, honest: str
) -> None:
    at = besieged(kind)
    for uid in range(100, 100 + GUESSERS):
        at.come(uid, theirs.format(uid))
    at.wait(0.1)
    at.come(500, honest)
    at.wait(PATIENCE - 0.2)
    assert 500 in at.whom(kind.answer)
    at.prove(500, honest)
    assert agrees(at, 500)


@KINDS
def test_the_hosts_take_turns_and_the_first_of_each_comes_first(kind: type[AtClient] | type[AtServer]) -> None:
    at = besieged(kind)
    hosts = "10.0.0.1", "10.0.0.2", "10.0.0.3"
    for number, host in enumerate(hosts):
        for uid in range(100 * (number + 1), 100 * (number + 1) + 4):
            at.come(uid, f"{host}:{uid}")
        at.wait(0.01)
    at.get(p.RELAY, p.PeerClosed(200))  # it waits for nothing any more, and nobody for it
    at.wait(5.0 * 12)
    assert at.whom(kind.answer) == [100, 201, 300, 101, 202, 301, 102, 203, 302, 103, 303]


@KINDS
def test_the_answers_are_no_closer_to_each_other_for_that(kind: type[AtClient] | type[AtServer]) -> None:
    """Whoever guesses from many hosts gets no more answers than from one."""
    at = besieged(kind)
    for uid in range(100, 130):
        at.come(uid, f"10.0.{uid}.1:1")
    at.wait(0.01)
    for number in range(1, 31):
        assert len(at.whom(kind.answer)) == number
        at.wait(5.0)


def test_one_host_cannot_take_all_the_places_of_those_who_wait() -> None:
    at = besieged(AtServer)
    for uid in range(1000, 5000):
        at.come(uid, f"10.0.0.1:{uid}")
    assert len(at.endpoint.exchanges) <= 100
    at.come(500, "10.0.0.2:1")
    at.wait(PATIENCE)
    at.prove(500, "10.0.0.2:1")
    assert agrees(at, 500)


def test_a_place_is_left_for_others_as_long_as_there_is_any() -> None:
    """Each host gets a tenth of what is left, and at least one place."""
    at = AtServer(limits=PeerLimits(guesses=100))
    for uid in range(1, 18):  # those that are free, and the first that is not
        at.come(uid, f"192.0.2.1:{uid}")
    waiting = []
    for host in range(1, 60):
        before = len(at.endpoint.exchanges)
        for uid in range(1000 * host, 1000 * host + 50):
            at.come(uid, f"10.0.0.{host}:{uid}")
        waiting.append(len(at.endpoint.exchanges) - before)
    assert waiting[0] == 8
    assert waiting == sorted(waiting, reverse=True)
    assert sum(waiting) == 83


@pytest.mark.unmeasured
@KINDS
def test_who_waits_costs_the_same_however_many_wait(kind: type[AtClient] | type[AtServer]) -> None:
    """To come, to be called up, and to leave."""
    costs = []
    for others in (10, 3000):
        at = kind(limits=PeerLimits(free_guesses=0, guesses=1_000_000, slowest_guess=3600.0))
        for uid in range(1, 10 + others):
            at.come(uid, f"10.{uid >> 8}.{uid & 255}.1:1")
        at.wait(0.0)
        if kind is AtClient:
            at.wait(0.0005 * others)  # all are derived
        _, came = measured(partial(at.come, 9000, "10.0.0.1:1"))
        _, gone = measured(partial(at.get, p.RELAY, p.PeerClosed(9)))
        _, called = measured(partial(at.wait, 0.05))
        costs.append((came, gone, called))
    few, many = costs
    assert all(more < 1.1 * less + 200 for less, more in zip(few, many, strict=True)), costs


def test_a_client_knows_who_is_there_with_another_password() -> None:
    """And that it left, or that it sent a bad point, which has nothing to do with passwords."""
    at = AtClient()
    for uid in (1, 2, 3):
        at.come(uid, f"10.0.0.{uid}:1")
    at.wait(0.01)
    at.fail(1)
    at.fail(2)
    at.get(3, p.YAndServerValidator(bytes(32), bytes(64)))
    assert at.endpoint.mismatched == {1, 2}
    at.get(p.RELAY, p.PeerClosed(1))
    assert at.endpoint.mismatched == {2}
