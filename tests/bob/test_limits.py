"""Declared limits hold at their full size: uids, announcements, derivations, guesses, and times."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from scripted_bob import ME, OTHER, ClientPeer, MemberPeer, RelayPeer, ServerPeer
from soaking import SOAKING

from sansproto.bob import (
    SECURE_PORT,
    Client,
    Departure,
    Failure,
    PeerDelays,
    PeerFailed,
    PeerJoined,
    PeerLeft,
    PeerLimits,
    Relay,
    RelayDelays,
    RelayLimits,
    RoomClosed,
    Server,
    Violation,
    crypto,
)
from sansproto.bob import packets as p
from sansproto.bob.kdf import FINISH, SLICE
from sansproto.bob.turns import Guesses
from sansproto.contract import Phase
from sansproto.events import CloseCause, Closed
from sansproto.testing._internal.meter import measured
from sansproto.testing.entropy import ScriptedEntropy

X = crypto.client_hello(crypto.ClientSecret.from_derived(crypto.derive(b"wrong", bytes(16), 1)), b"\1" + bytes(31))


# -- the relay ---------------------------------------------------------------------------------------------------------


def at_relay(**more: Any) -> RelayPeer:
    return RelayPeer(Relay(**more))


def test_as_many_peers_as_there_are_uids() -> None:
    """One more is refused, and a uid is given again only once whoever had it is gone."""
    first = 1 if SOAKING else 65_435
    uids = range(first, 65_535)
    at = at_relay(limits=RelayLimits(peers=len(uids)))
    at.endpoint.registry.fresh_uid = first
    links = []
    for _ in uids:
        links.append(at.join(p.HelloAsClient()))
        at.drain()
    joined = [event.uid for event in at.events if isinstance(event, PeerJoined)]
    assert joined == [*uids]
    at.events.clear()
    for hello in (p.HelloAsClient(), p.HelloAsServer(bytes(34))):
        assert at.said(late := at.join(hello)) == [(p.RELAY, p.PeerClosed(p.RELAY))]
        assert late in at.ended
    for number in (7, -9, 7):
        at.now += 1.0
        at.stream_lost(links[number], at.now)
        links[number] = at.join(p.HelloAsServer(bytes(34)))
        at.drain()
        assert at.said(at.join(p.HelloAsClient())) == [(p.RELAY, p.PeerClosed(p.RELAY))]
    for number in (5, 3):
        at.stream_lost(links[number], at.now)
    for _ in range(2):
        at.join(p.HelloAsClient())
    at.drain()
    again = [event.uid for event in at.events if isinstance(event, PeerJoined)]
    assert again == [joined[number] for number in (7, -9, 7, 5, 3)]


def test_an_announcement_is_queued_for_no_client_however_many_there_are() -> None:
    """Each asks for it when it can take it: also when nobody takes anything while servers come and go."""
    at = at_relay()
    half = 5000 if SOAKING else 500
    clients = [at.join(p.HelloAsClient()) for _ in range(2 * half)]
    at.drain()
    for link in clients[:half]:
        at.endpoint.stream_blocked(link, at.now)
    at.written.clear()
    pipes = at.endpoint.links
    server = at.join(p.HelloAsServer(bytes(34)))
    for _ in range(10):
        at.put(server, p.RELAY, p.HelloAsServer(bytes(34)))
    assert all(pipes[link].queued == 0 and not pipes[link].out for link in clients)
    at.drain()
    announced = {len(at.said(link)) for link in clients[half:]}
    assert announced == {RelayLimits().hellos}
    assert not any(at.said(link) for link in clients[:half])
    for link in clients[:half]:
        at.endpoint.stream_unblocked(link, at.now)
    assert {len(at.said(link)) for link in clients[:half]} == announced


def test_no_call_looks_for_somebody_among_all_who_have_read_everything() -> None:
    at = at_relay()
    for _ in range(1000):
        at.join(p.HelloAsClient())
    at.drain()
    at.join(p.HelloAsServer(bytes(34)))
    costs = []
    transmit: object = at
    while transmit is not None:
        transmit, cost = measured(at.endpoint.next_transmit)
        costs.append(cost)
    assert len(costs) > 1000
    assert max(costs) < 1000


def test_of_those_who_leave_when_they_were_announced_no_call_withdraws_more_than_some() -> None:
    at = at_relay()
    log = at.endpoint.registry.log
    for link in [at.join(p.HelloAsServer(bytes(34))) for _ in range(300)]:
        at.stream_lost(link, at.now)
    assert not log.departures
    most = 0
    while at.endpoint.next_timeout() is not None:
        before = len(log.departures)
        assert at.tick()
        most = max(most, len(log.departures) - before)
    assert 0 < most <= 64
    assert len(log.departures) == len(at.endpoint.registry.freed_uids) == 300


@pytest.mark.unmeasured
def test_a_client_that_asks_and_never_reads_is_cut() -> None:
    at = at_relay(limits=RelayLimits(hellos=100_000))
    link = at.join(p.HelloAsClient())
    at.endpoint.stream_blocked(link, at.now)
    most = 0
    for _ in range(100_000):
        at.put(link, p.RELAY, p.HelloAsClient())
        if link not in at.endpoint.links:
            break
        most = max(most, at.endpoint.links[link].queued)
        at.drain()
    assert most <= RelayLimits().link_queue
    assert at.events[-1:] == [PeerLeft(1, ME, Departure.SLOW)]
    assert not at.endpoint.timers()


def is_idle(relay: Relay) -> bool:
    registry, secure = relay.registry, relay.secure
    rooms = secure.visitors, secure.rooms, secure.lines, secure.waiting
    return (
        not any((registry.members, registry.uids, *rooms, relay.links, relay.timers()))
        and registry.pair_count == 0
        and not registry.log.subscribers
    )


def test_who_is_left_alone_leaves_by_itself() -> None:
    """A connection in every state, and nothing more from any of them: each one ends in its time, nothing stays."""
    at = at_relay()
    delays = RelayDelays()
    expected = {at.come(): delays.hello, at.come(SECURE_PORT): delays.line}
    half = at.come()
    at.endpoint.receive_data(half, b"0000", at.now)
    expected[half] = delays.hello
    expected[at.join(p.HelloAsClient())] = delays.idle
    expected[at.join(p.HelloAsServer(bytes(34)))] = delays.idle
    unreading = at.join(p.HelloAsClient())
    at.endpoint.stream_blocked(unreading, at.now)
    expected[unreading] = delays.stalled
    for visitors, end in ((0, None), (1, delays.room), (2, delays.silence)):
        lines = at.unite()
        for line in lines[:visitors]:
            visitor = at.come(SECURE_PORT)
            at.endpoint.receive_data(visitor, line.encode() + b"\n", at.now)
            expected[visitor] = end or 0.0
    at.drain()
    at.ended.clear()
    while at.tick():
        pass
    assert at.ended == expected
    assert is_idle(at.endpoint)


def test_of_too_many_rooms_that_wait_the_oldest_ends() -> None:
    """And none that is full, however long it has been."""
    at = at_relay(limits=RelayLimits(peers=4))
    united = []
    for _ in range(7):
        at.now += 1.0
        united.append(at.unite())
        if len(united) == 1:
            first = [at.come(SECURE_PORT, line) for line in united[0]]
    at.drain()
    assert [(room.client, room.server) for room in at.endpoint.secure.rooms.values()] == [united[0], *united[3:]]
    closed = [(event.client, event.server) for event in at.events if isinstance(event, RoomClosed)]
    assert closed == united[1:3]
    for line in united[3]:
        at.come(SECURE_PORT, line)
    at.now += 1.0
    assert at.unite()
    assert len(at.endpoint.secure.rooms) == 6
    at.drain()
    assert not at.ended.keys() & {*first}
    while at.tick():
        pass
    assert is_idle(at.endpoint)


def test_a_blocked_room_is_cut_on_both_sides() -> None:
    at = at_relay()
    visitors = [at.come(SECURE_PORT) for _ in range(2)]
    for visitor, line in zip(visitors, at.unite(), strict=True):
        at.endpoint.receive_data(visitor, line.encode() + b"\n", at.now)
    at.drain()
    at.endpoint.stream_blocked(visitors[1], at.now)
    sizes = []
    for _ in range(200):  # the transport stops when it is told to
        if at.endpoint.links[visitors[0]].paused:
            break
        at.endpoint.receive_data(visitors[0], bytes(4096), at.now)
        sizes.append(at.endpoint.links[visitors[1]].queued)
    at.drain()
    assert max(sizes) <= RelayLimits().link_queue
    at.ended.clear()
    while at.tick():
        pass
    assert at.ended.keys() == set(visitors)
    assert max(at.ended.values()) <= RelayDelays().stalled + RelayDelays().linger
    assert is_idle(at.endpoint)


def test_who_leaves_a_room_takes_nothing_back_of_what_a_slow_reader_was_sent() -> None:
    """What is poured may fill the queue to its bound, or beyond; the closing packet still finds its place behind it."""
    reads = {bytes([number]) * 131072 for number in range(2)}  # as large as those of our adapters
    for leave in ("stream_lost", "receive_eof", "close"):
        at = at_relay()
        sender, reader = (at.come(SECURE_PORT) for _ in range(2))
        for visitor, line in zip((sender, reader), at.unite(), strict=True):
            at.endpoint.receive_data(visitor, line.encode() + b"\n", at.now)
        at.drain()
        at.written.clear()
        at.ended.clear()
        at.endpoint.stream_blocked(reader, at.now)
        for data in sorted(reads):
            at.endpoint.receive_data(sender, data, at.now)
        getattr(at, leave)(*([] if leave == "close" else [sender]), at.now)
        at.drain()
        assert reader not in at.ended
        at.endpoint.stream_unblocked(reader, at.now)
        at.drain()
        assert bytes(at.written[reader]) == b"".join(sorted(reads)) + p.CLOSE
        assert reader in at.ended


def test_an_exchange_over_the_limit_is_counted_and_costs_no_more_than_another() -> None:
    """Nor does it when all servers are there that its client has asked; one that left makes room at once."""
    most = 256
    at = at_relay(limits=RelayLimits(pairs_of_one=most, dropped_burst=1000))
    servers = [at.join(p.HelloAsServer(bytes(34))) for _ in range(most + 2)]
    client = at.join(p.HelloAsClient())
    member = at.endpoint.registry.members[client]
    failure = p.SpokeFailure(p.SpokeFault.POINT)
    for uid in range(1, most + 1):
        at.put(client, uid, failure)
    looked = 0
    have_pair = at.endpoint.registry.have_pair

    def counted(client: Any, uid: int) -> bool:
        nonlocal looked
        looked += 1
        return bool(have_pair(client, uid))

    at.endpoint.registry.have_pair = counted
    for _ in range(100):
        at.put(client, most + 1, failure)
    assert at.endpoint.stats.dropped == {"one exchange too many": 100}
    assert looked <= most
    at.stream_lost(servers[7], at.now)
    for uid in (most + 1, most + 2):
        at.put(client, uid, failure)
    assert at.endpoint.stats.dropped == {"one exchange too many": 101}
    assert 8 not in member.partners
    assert most + 1 in member.partners


@pytest.mark.unmeasured
def test_whoever_takes_all_exchanges_leaves_some_to_others() -> None:
    limits = RelayLimits(pairs=3000)
    at = at_relay(limits=limits)
    most, x = 60, p.SpokeFailure(p.SpokeFault.POINT)
    for _ in range(most):
        at.join(p.HelloAsServer(bytes(34)))
    takers = [at.join(p.HelloAsClient()) for _ in range(5 * most)]
    for taker in takers:
        for uid in range(1, most + 1):
            at.put(taker, uid, x)
    assert at.endpoint.registry.pair_count < limits.pairs
    honest = at.join(p.HelloAsClient())
    at.put(honest, 1, x)
    assert list(at.endpoint.registry.members[honest].partners) == [1]


def test_a_server_learns_that_who_refused_it_has_left() -> None:
    """The relay eats the refusal, as the reference does."""
    at = at_relay()
    at.unite(p.Refused())
    server, client = at.endpoint.registry.members
    at.said(server)
    at.stream_lost(client, at.now)
    assert at.said(server) == [(p.RELAY, p.PeerClosed(2))]


# -- clients and servers -----------------------------------------------------------------------------------------------


def at_peer(kind: type[Client] | type[Server], limits: PeerLimits | None = None) -> Any:
    """Who speaks to a client or server that is registered."""
    given = {"limits": limits, "entropy": ScriptedEntropy(seed=b"limits")}
    at = ServerPeer.live(count=1, **given) if kind is Server else ClientPeer.live(**given)
    at.register()
    return at


def wait_for(at: MemberPeer, kind: type[p.BobPacket]) -> list[tuple[int, p.BobPacket]]:
    """What was said until a packet of this kind was, or nothing is left to happen before anything times out."""
    said = at.said()
    while not any(isinstance(packet, kind) for _, packet in said):
        assert at.tick()
        said += at.said()
    return said


def done(at: ClientPeer) -> int:
    return sum(derivation.done for derivation in at.endpoint.kdf.waiting.values())


def test_a_million_rounds_are_computed_in_slices() -> None:
    """No call computes more than a slice, however many servers ask for it at once."""
    at = at_peer(Client)
    for uid in (1, 2, 3):
        at.announce(uid, count=crypto.MAX_ITERATIONS)
    assert done(at) == 0
    for calls in range(1, 30):
        at.tick()
        assert done(at) == calls * SLICE
    few = at_peer(Client)
    few.announce(1, count=3 * SLICE)
    few.announce(2, count=SLICE // 2)
    few.announce(3, count=SLICE // 2 - FINISH)
    for _ in range(4):
        assert done(few) % SLICE == 0
        few.tick()
    assert [to for to, packet in few.said() if isinstance(packet, p.XAndClientIdentity)] == [2, 3, 1]
    assert not few.endpoint.stats.dropped


def test_derivations_that_are_short_do_not_make_a_call_long() -> None:
    """Each ends with points of the curve to be computed, and somebody may announce any number of one round."""
    at = at_peer(Client)
    for uid in range(1, 200):
        at.announce(uid, count=1)
    waiting = at.endpoint.kdf.waiting
    most = 0
    while waiting:
        before = len(waiting)
        assert at.tick()
        most = max(most, before - len(waiting))
    assert most <= 1 + SLICE // FINISH


@pytest.mark.parametrize("how", ["close", "abort", "gone", "again"])
def test_a_long_derivation_is_cut_short(how: str) -> None:
    at = at_peer(Client)
    at.announce(1, count=crypto.MAX_ITERATIONS)
    at.tick()
    assert done(at) == SLICE
    match how:
        case "close":
            at.endpoint.close(at.now)
        case "abort":
            at.endpoint.abort()
        case "gone":
            at.get(p.RELAY, p.PeerClosed(1))
        case _:
            at.announce(1, count=1)  # the same server with other parameters
            at.tick()
    at.drain()
    assert not at.endpoint.kdf.waiting
    assert not at.endpoint.exchanges or how == "again"
    if how in ("close", "abort"):
        assert at.endpoint.phase is Phase.CLOSED
        assert not at.endpoint.timers()
    elif how == "gone":
        at.tick()
        assert set(at.endpoint.timers()) == {"way.WAITING"}


BAD_PUBLICS = {
    "no rounds": (4, bytes(8)),
    "one round too many": (4, (crypto.MAX_ITERATIONS + 1).to_bytes(8, "big")),
    "2**63 + 16 rounds, which the reference takes for 16": (4, (2**63 + 16).to_bytes(8, "big")),
    "all bits of the rounds": (4, b"\xff" * 8),
    "another derivation": (2, b"\0\1"),
    "another hash": (16, b"\0\3"),
    "another cipher of the server": (12, b"\0\2"),
    "no cipher": (14, b"\0\3"),
}


@pytest.mark.parametrize(("offset", "wrong"), BAD_PUBLICS.values(), ids=BAD_PUBLICS)
def test_parameters_out_of_bounds_are_answered_and_cost_nothing(offset: int, wrong: bytes) -> None:
    good = p.PublicParameters(1, 16, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, bytes(16)).encode()
    at = at_peer(Client)
    at.get(p.RELAY, p.NewServer(5, good[:offset] + wrong + good[offset + len(wrong) :], OTHER))
    assert at.said() == [(5, p.SpokeFailure(p.SpokeFault.PUBLIC_PACKET))]
    assert p.encode(5, p.SpokeFailure(p.SpokeFault.PUBLIC_PACKET)) == b"00050d\x03"
    assert at.events[-1] == PeerFailed(5, Failure.BAD_PUBLIC, identity=OTHER)
    assert not at.endpoint.exchanges
    assert not at.endpoint.kdf.waiting


def guess_at_server(at: MemberPeer, uid: int, identity: str = OTHER) -> None:
    """One guess at the password, and a wrong one."""
    at.get(uid, p.XAndClientIdentity(X, identity))


FIRST = {Client: p.XAndClientIdentity, Server: p.YAndServerValidator}
"""What takes its turn: the packet with which somebody begins to learn whether a guess was right."""


def guess_at_client(at: MemberPeer, uid: int) -> None:
    at.announce(uid, count=1)
    wait_for(at, p.XAndClientIdentity)
    at.get(uid, p.YAndServerValidator(X, bytes(64)))


def test_the_space_after_an_answer_has_an_end_however_many_guesses_are_allowed() -> None:
    guesses = Guesses()
    guesses.total = 1_000_000
    assert guesses.space(PeerLimits(guesses=2_000_000)) == PeerLimits().slowest_guess


def test_guesses_at_a_server_take_longer_and_longer_and_end_the_session() -> None:
    limits = PeerLimits()
    at = at_peer(Server)
    answered = []
    for uid in range(1, limits.guesses + 1):
        guess_at_server(at, uid)
        assert wait_for(at, p.YAndServerValidator)[-1][0] == uid
        answered.append(at.now)
    spaces = [later - earlier for earlier, later in pairwise(answered)]
    assert all(space == 0 for space in spaces[: limits.free_guesses - 1])
    assert all(earlier <= later + 1e-9 for earlier, later in pairwise(spaces))
    assert spaces[-1] == pytest.approx(limits.slowest_guess)
    assert 75 * 60 < answered[-1] < 80 * 60  # what SECURITY.rst says
    guess_at_server(at, limits.guesses + 1)
    at.drain()
    assert at.events[-1] == Closed(CloseCause.LIMIT, Violation.TOO_MANY_GUESSES)
    assert not at.endpoint.timers()


def test_guesses_at_a_client_take_longer_and_longer_and_end_the_session() -> None:
    limits = PeerLimits(guesses=120)
    at = at_peer(Client, limits)
    answered = []
    for uid in range(1, limits.guesses + 1):
        guess_at_client(at, uid)
        at.drain()
        answered.append(at.now)
    spaces = [later - earlier for earlier, later in pairwise(answered)]
    slack = 2 * PeerDelays().work
    assert all(space <= slack for space in spaces[: limits.free_guesses - 1])
    assert all(earlier <= later + slack for earlier, later in pairwise(spaces))
    assert spaces[-1] == pytest.approx(limits.slowest_guess, abs=slack)
    assert at.events[-1] == Closed(CloseCause.LIMIT, Violation.TOO_MANY_GUESSES)
    assert not at.endpoint.timers()


@pytest.mark.parametrize("kind", [Client, Server])
def test_who_leaves_before_its_turn_keeps_nobody_waiting(kind: type[Client] | type[Server]) -> None:
    """It guessed at nothing. The turns of those who stay are as far from each other as before."""
    limits = PeerLimits()
    at = at_peer(kind)
    for uid in range(1, limits.free_guesses + 9):
        (guess_at_server if kind is Server else guess_at_client)(at, uid)
        wait_for(at, p.YAndServerValidator if kind is Server else p.SpokeFailure)
    began = at.now
    for uid in range(100, 400):
        guess_at_server(at, uid, f"10.0.0.{uid // 30}:{uid}") if kind is Server else at.announce(uid, count=1)
    if kind is Client:
        at.tick()  # all these derivations fit into one slice
    turns = []
    for uid in range(100, 400):
        if uid % 10:
            at.get(p.RELAY, p.PeerClosed(uid))
    guess_at_server(at, 400) if kind is Server else at.announce(400, count=1)
    while at.now < began + 60:
        turns += [(at.now - began, uid) for uid, packet in at.said() if isinstance(packet, FIRST[kind])]
        at.tick()
    assert sorted(uid for _, uid in turns) == [*range(100, 400, 10), 400]
    assert all(turn >= number * 0.1 - 1e-6 for number, (turn, _) in enumerate(turns))
    assert max(turn for turn, uid in turns if uid == 400) < 10


@pytest.mark.parametrize("kind", [Client, Server])
def test_one_peer_has_few_guesses(kind: type[Client] | type[Server]) -> None:
    """It may not begin another exchange; somebody else may, and so may the next one with its uid."""
    at = at_peer(kind)
    guess = guess_at_server if kind is Server else guess_at_client
    fail = p.SpokeFailure(p.SpokeFault.SERVER_VALIDATOR)
    for _ in range(PeerLimits().guesses_of_one):
        guess(at, 7)
        if kind is Server:
            at.get(7, fail)
        at.drain()
        assert not at.endpoint.exchanges
    before = len(at.events)
    at.said()
    if kind is Server:
        guess(at, 7)
    else:
        at.announce(7, count=1)
    assert at.said() == []
    assert at.endpoint.stats.dropped == {"too many exchanges": 1}
    assert not at.endpoint.exchanges
    assert len(at.events) == before
    at.get(p.RELAY, p.PeerClosed(7))
    guess(at, 7)
    at.drain()
    assert at.said() or at.endpoint.exchanges
