"""Who sends a relay what nobody can use is cut, and who only answers those that come and go never is."""

from __future__ import annotations

from collections import deque

import pytest
from scripted_bob import RelayPeer
from test_limits import X, at_relay

from sansproto.bob import SECURE_PORT, Departure, PeerLeft, RelayDelays, RelayLimits
from sansproto.bob import packets as p
from sansproto.bob.member import MemberState
from sansproto.contract import Link

CLIENT, SERVER = p.HelloAsClient(), p.HelloAsServer(bytes(34))
LIMITS, DELAYS = RelayLimits(), RelayDelays()
NOBODY = 0xFFF0
FLOODS: dict[str, tuple[p.BobPacket | None, int, p.BobPacket]] = {
    "hello as a client": (CLIENT, p.RELAY, CLIENT),
    "hello as a server": (SERVER, p.RELAY, SERVER),
    "hello in the other role": (CLIENT, p.RELAY, SERVER),
    "to a uid that nobody ever had": (CLIENT, NOBODY, p.Accepted()),
    "to its own role": (CLIENT, 1, p.SpokeFailure(p.SpokeFault.POINT)),
    "in the other's role": (CLIENT, 1, p.Agreement()),
    "what a relay says": (CLIENT, p.RELAY, p.Done()),
    "under another identity": (CLIENT, 1, p.XAndClientIdentity(X, "10.9.9.9:9")),
    "reports to the relay": (CLIENT, p.RELAY, p.RelayFailure(p.Missing.AGREEMENT, 0)),
    "before hello": (None, NOBODY, p.Accepted()),
}


def rest(at: RelayPeer) -> None:
    """Let the relay go on for as long as it asks to be woken at once."""
    at.drain()
    while (due := at.endpoint.next_timeout()) is not None and due < at.now + 1e-6:
        at.tick()


def test_who_has_not_said_hello_is_told_from_who_has_another_role() -> None:
    at = at_relay()
    link = at.come()
    at.put(link, NOBODY, p.Accepted())
    assert at.endpoint.stats.dropped == {"before hello": 1}
    at.put(link, p.RELAY, SERVER)
    at.put(link, NOBODY, p.Accepted())
    assert at.endpoint.stats.dropped == {"before hello": 1, "wrong role": 1}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("together", [True, False])
def test_who_sends_too_much_that_is_dropped_is_cut(
    flood: tuple[p.BobPacket | None, int, p.BobPacket], together: bool
) -> None:
    hello, uid, packet = flood
    at = at_relay()
    at.join(SERVER)
    link = at.come() if hello is None else at.join(hello)
    at.drain()
    before = at.endpoint.stats.packets_received
    for _ in range(1 if together else 500):
        at.endpoint.receive_data(link, p.encode(uid, packet) * (500 if together else 1), at.now)
    rest(at)
    assert link in at.ended
    assert at.now < 0.01
    left = [event.departure for event in at.events if isinstance(event, PeerLeft)]
    assert left == ([] if hello is None else [Departure.FLOODING])
    room = LIMITS.dropped_burst + LIMITS.hellos + 2 * 2
    assert LIMITS.dropped_burst < at.endpoint.stats.packets_received - before <= room


def test_who_stays_within_the_rate_is_not_cut() -> None:
    at = at_relay()
    link = at.join(CLIENT)
    for _ in range(LIMITS.dropped_burst):
        at.put(link, NOBODY, p.Accepted())
    for _ in range(3000):
        at.now += 1 / LIMITS.dropped_rate
        at.put(link, NOBODY, p.Accepted())
        at.drain()
    assert link not in at.ended
    at.put(link, NOBODY, p.Accepted())
    at.drain()
    assert link in at.ended


@pytest.mark.parametrize("size", [1, 50])
def test_no_call_understands_more_packets_than_some(size: int) -> None:
    """However much arrived with one read, on however many connections."""
    at = at_relay(limits=RelayLimits(dropped_burst=10**9, hellos=10**9))
    links = [at.join(CLIENT) for _ in range(size)]
    at.drain()
    stats, worst = at.endpoint.stats, 0
    before = stats.packets_received
    total = before + size * 300
    for link in links:
        at.endpoint.receive_data(link, p.encode(NOBODY, p.Accepted()) * 300, at.now)
        worst, before = max(worst, stats.packets_received - before), stats.packets_received
    while before < total:
        at.now = at.endpoint.next_timeout()
        assert at.now < 1.0
        at.endpoint.handle_timeout(at.now)
        assert stats.packets_received > before
        worst, before = max(worst, stats.packets_received - before), stats.packets_received
    assert worst == LIMITS.link_packets


# -- who answers -------------------------------------------------------------------------------------------------------


@pytest.mark.unmeasured
def test_a_receiver_that_waits_is_never_cut_however_fast_others_come_and_go() -> None:
    """Its answers come when the servers have left. Who sends the same without having been told anything is cut."""
    at = at_relay()
    waiting = at.join(CLIENT)
    identity = at.endpoint.registry.members[waiting].identity
    known: list[Link] = []
    answers: deque[int] = deque()
    for turn in range(2000):
        at.now += 0.004  # ten times as many as eight threads can do
        if len(known) >= 8:
            at.stream_lost(known.pop(0), at.now)
        known.append(at.join(SERVER))
        answers += [packet.uid for _, packet in at.said(waiting) if isinstance(packet, p.NewServer)]
        for _ in range(max(0, len(answers) - 20)):
            at.put(waiting, answers.popleft(), p.XAndClientIdentity(X, identity))
            at.drain()
        assert waiting not in at.ended, turn
    dropped = at.endpoint.stats.dropped
    assert dropped["nobody has this uid"] > 1900
    hostile = at.join(CLIENT)
    at.said(hostile)
    for _ in range(LIMITS.dropped_burst + 100):
        at.put(hostile, 1, p.XAndClientIdentity(X, at.endpoint.registry.members[hostile].identity))
        at.drain()
        if hostile in at.ended:
            break
    assert hostile in at.ended
    assert waiting not in at.ended


@pytest.mark.unmeasured
@pytest.mark.parametrize("game", ["leave", "hello again"])
def test_a_server_that_answers_those_who_play_games_is_not_cut(game: str) -> None:
    """They ask, and are gone or begin anew before its answer is there."""
    at = at_relay(limits=RelayLimits(hellos=10**6))
    server = at.join(SERVER)
    client = at.join(CLIENT)
    for _ in range(1000):
        member = at.endpoint.registry.members[client]
        at.put(client, 1, p.XAndClientIdentity(X, member.identity))
        if game == "leave":
            at.stream_lost(client, at.now)
            client = at.join(CLIENT)
        else:
            at.put(client, p.RELAY, CLIENT)
        for uid, packet in at.said(server):
            if isinstance(packet, p.XAndClientIdentity):
                at.put(server, uid, p.YAndServerValidator(X, bytes(64)))
        at.drain()
        assert server not in at.ended
    assert sum(at.endpoint.stats.dropped.values()) >= 1000


def test_a_client_among_more_servers_than_it_may_ask_is_not_cut() -> None:
    at = at_relay(limits=RelayLimits(pairs_of_one=10))
    for _ in range(500):
        at.join(SERVER)
    client = at.join(CLIENT)
    identity = at.endpoint.registry.members[client].identity
    for _, packet in at.said(client):
        if isinstance(packet, p.NewServer):
            at.put(client, packet.uid, p.XAndClientIdentity(X, identity))
    at.drain()
    assert at.endpoint.stats.dropped == {"one exchange too many": 490}
    assert client not in at.ended


def test_excuses_are_for_those_who_were_there() -> None:
    """Whatever was told to a client, it need not write to a uid that was never given out."""
    at = at_relay()
    for _ in range(500):
        at.join(SERVER)
    client = at.join(CLIENT)
    at.drain()
    registry = at.endpoint.registry
    for _ in range(LIMITS.dropped_burst + 1):
        at.put(client, registry.fresh_uid, p.XAndClientIdentity(X, registry.members[client].identity))
    at.drain()
    assert client in at.ended


# -- many of them ------------------------------------------------------------------------------------------------------


@pytest.mark.unmeasured
def test_many_that_flood_and_come_again_at_once_cost_the_relay_little() -> None:
    """They are cut one after another, and neither read nor kept in memory meanwhile; a newcomer is served at once."""
    at = at_relay()
    size, seconds, came = 200, 60.0, 0
    foes: list[Link] = []
    honest = at.join(CLIENT)
    while at.now < seconds:
        foes = [link for link in foes if link not in at.ended]
        for _ in range(size - len(foes)):
            foes.append(at.come())
            came += 1
            at.endpoint.receive_data(foes[-1], p.encode(p.RELAY, CLIENT) * 1000, at.now)
        at.now += 0.05
        at.endpoint.handle_timeout(at.now)
        at.drain()
        at.events.clear()
        for link in foes:
            at.written.pop(link, None)
    rest(at)
    held = [at.endpoint.links[link] for link in foes if link in at.endpoint.links]
    assert len(held) > size // 2
    assert not any(pipe.inbox for pipe in held)
    assert came <= size + LIMITS.cuts + seconds * max(LIMITS.cuts, size / DELAYS.mute) * 1.1
    assert at.endpoint.stats.packets_received < came * (LIMITS.dropped_burst + LIMITS.hellos + 2) + 10
    assert honest not in at.ended
    newcomer = at.join(CLIENT)
    assert [type(packet) for _, packet in at.said(newcomer)] == [p.ClientIdentity]
    at.now += DELAYS.mute
    while (due := at.endpoint.next_timeout()) is not None and due < at.now + 0.001:  # they are many for one call
        at.endpoint.handle_timeout(max(due, at.now))
    at.drain()
    assert not [link for link in foes if link not in at.ended]
    assert set(at.endpoint.registry.members) == {honest, newcomer}


def test_who_is_muted_is_told_nothing_more() -> None:
    """But for what came before."""
    at = at_relay(limits=RelayLimits(cuts=1))
    at.join(SERVER)
    foes = [at.join(CLIENT) for _ in range(3)]
    for foe in foes:
        for _ in range(LIMITS.dropped_burst + 1):
            at.put(foe, NOBODY, p.Accepted())
    assert [at.endpoint.registry.members[foe].state for foe in foes[1:]] == [MemberState.MUTED] * 2
    at.join(SERVER)
    for foe in foes[1:]:
        assert [type(packet) for _, packet in at.said(foe)] == [p.ClientIdentity, p.NewServer]


@pytest.mark.unmeasured
@pytest.mark.parametrize("piece", [1, 1000, LIMITS.early + 1])
def test_a_visitor_that_talks_on_before_its_partner_comes_is_cut(piece: int) -> None:
    at = at_relay()
    client, server = at.unite()
    early = at.come(SECURE_PORT)
    at.endpoint.receive_data(early, f"{client}\n".encode(), at.now)
    sent = 0
    while early not in at.ended:
        assert sent <= LIMITS.early
        at.endpoint.receive_data(early, bytes(piece), at.now)
        sent += piece
        at.drain()
    other = at.come(SECURE_PORT)
    at.endpoint.receive_data(other, f"{server}\n".encode(), at.now)
    at.drain()
    assert bytes(at.written[other]) == b"02"
