"""The explorer finds what is wrong by the shortest way, and what is not wrong it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
import pytest
from asking import (
    ASK,
    HERE,
    Answered,
    Asked,
    AskInput,
    AskState,
    Client,
    Limits,
    LinkEnded,
    Pinger,
    Server,
    Stubborn,
)
from exploring_tables import Mutant, changed, running, without
from toys import Beat, Bound, Desk, Heard, Pulse, Said, Visitor

from sansproto.contract import Address, Link, Path
from sansproto.events import CloseCause, Closed, DataReceived
from sansproto.links import LINK, StreamLink
from sansproto.testing import explorer
from sansproto.testing._internal import parties as parties_module
from sansproto.testing._internal.parties import Parties
from sansproto.testing._internal.world import ANY_TIME
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.explorer import Budget, Decision, Insert, Party, Report, Restarted, Scene, Verb, explore

CONNECT = (Verb("connect"),)
CLOSE: Decision = ((Verb("close"),), ())
SERVER = Party(Server, {}, listens={HERE: "main"})
CLIENT = Party(Client, {}, start=CONNECT)


WITHOUT_TIMERS = tuple(changed(row, arm=()) for row in ASK.rows)
NEVER_TIRED = tuple(row for row in ASK.rows if row.when is None)


def pair(client_class: type[Client] = Client, **arguments: Any) -> Report:
    return explore({"client": attrs.evolve(CLIENT, kind=client_class), "server": SERVER}, **arguments)


def client_learns_why(final: Scene) -> Iterator[str]:
    told = final["client"].told
    if [type(event) for event in told].count(Closed) != 1 or not isinstance(told[-1], Closed):
        yield f"the client was told {told}"


def told(report_of: dict[str, Party], name: str, **arguments: Any) -> set[tuple[Any, ...]]:
    """All that a party may have been told in the end."""
    seen = set()

    def note(final: Scene) -> tuple[()]:
        seen.add(final[name].told)
        return ()

    report = explore(report_of, verify=note, **arguments)
    assert report.exhausted
    assert not report.violations, report
    return seen


def test_a_sound_protocol_has_no_violation_within_a_wide_budget() -> None:
    budget = Budget(losses=1, cuts=1, early=2, splits=1, replays=1, inserts=1)
    inserts = [Insert("client", b"x!"), Insert("server", b"??")]
    report = pair(budget=budget, inserts=inserts, verify=client_learns_why, invariant=lambda _: ())
    assert report.exhausted
    assert not report.violations, report
    assert report.states > 1000
    assert str(report).endswith("within 1 losses, 1 replays, 1 cuts, 2 early, 1 inserts, 1 splits; all there are")


def test_a_state_is_asked_a_question_once_in_however_many_worlds_it_is_met() -> None:
    asked: list[str] = []

    def state_of(client: Client) -> str:
        asked.append(repr(client.snapshot()))
        return str(client.phase)

    def look(scene: Scene) -> Iterator[str]:
        yield from () if scene["client"].ask(state_of) else ("no answer",)

    report = pair(budget=Budget(cuts=1, early=1), invariant=look)
    assert len(set(asked)) == len(asked) < report.states


def test_what_is_about_all_that_was_told_is_asked_once() -> None:
    asked: list[tuple[Any, ...]] = []

    def told_to_both(scene: Scene) -> tuple[str, ...]:
        asked.append((scene["client"].told, scene["server"].told))
        return ()

    report = pair(budget=Budget(cuts=1, early=1), invariant=lambda scene: scene.once(told_to_both))
    assert len(set(asked)) == len(asked) < report.states


def test_the_same_exploration_gives_the_same_report() -> None:
    budget = Budget(cuts=1, early=1)
    assert pair(budget=budget) == pair(budget=budget)


def test_what_parties_did_in_one_exploration_is_known_in_the_next() -> None:
    known = Parties({"client": CLIENT, "server": SERVER})
    first = explore(known, budget=Budget(cuts=1))
    assert explore(known, budget=Budget(cuts=1)) == attrs.evolve(first, steps=0)
    more = explore(known.copy(), budget=Budget(losses=1))
    assert 0 < more.steps < pair(budget=Budget(losses=1)).steps
    assert explore(known, budget=Budget(losses=1)) == more  # a copy keeps what it learns to itself


def test_without_faults_there_is_one_end() -> None:
    assert told({"client": CLIENT, "server": SERVER}, "client") == {(Answered(1), Closed(CloseCause.LOCAL))}


def test_a_missing_timer_row_is_found_by_the_shortest_way() -> None:
    with running(Mutant(ASK, without(ASK.rows, AskState.ASKING, AskInput.EXPIRED))):
        report = pair(budget=Budget(losses=1, cuts=1))
    assert not report.exhausted
    assert str(report).splitlines()[:-1] == [
        "client: ask[question] waits in ASKING for ever",
        "  1. connect client#1 to nobody",
        "  2. FAULT silence client#1 to server#1",
        "  3. 1 s pass: client's question.REPEAT",
    ]


def test_a_missing_row_for_a_loss_is_found_where_no_timer_helps() -> None:
    with running(Mutant(ASK, without(WITHOUT_TIMERS, AskState.ASKING, AskInput.LOST))):
        report = pair(budget=Budget(cuts=1))
    assert report.violations[0].complaint == "client: ask[question] waits in ASKING for ever"
    assert report.violations[0].path[-1].startswith(("client#1 is over: reset", "server#1 is over: reset"))


def test_a_link_that_waits_without_its_timer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a session are checked whether there are many or one."""
    monkeypatch.setattr(LINK, "idle", {})
    report = pair(budget=Budget(losses=1))
    assert report.violations[0].complaint.endswith("links.link[links.1] waits in OPEN for ever")


def test_resending_for_ever_is_found_when_nothing_settles() -> None:
    with running(Mutant(ASK, NEVER_TIRED)):
        report = pair(budget=Budget(losses=1), settled=lambda _: False)
        settled = pair(budget=Budget(losses=1), settled=lambda scene: scene["client"].phase.value > 0)
    assert report.exhausted
    assert report.violations[0].complaint == "from here it never ends, and never settles"
    assert report.violations[0].path[-1].startswith("FAULT silence")
    assert not settled.violations
    assert not pair(budget=Budget(losses=1), settled=lambda _: False).violations


def test_a_stream_can_be_cut_at_any_moment_and_each_end_learns_it_alone() -> None:
    seen = set()

    def note(scene: Scene) -> tuple[()]:
        links = tuple(len(scene[name].session.links) for name in scene)
        seen.add((links, any(isinstance(event, Answered) for event in scene["client"].told)))
        return ()

    assert pair(budget=Budget(cuts=1), invariant=note).exhausted
    assert {((1, 0), False), ((0, 1), False), ((1, 0), True), ((0, 1), True)} <= seen


def test_a_forged_answer_is_an_attack_that_the_invariant_sees() -> None:
    def no_forgery(scene: Scene) -> Iterator[str]:
        if Answered(1) in scene["client"].told and Asked(1) not in scene["server"].told:
            yield "an answer out of nowhere"

    parties = {"client": CLIENT, "server": attrs.evolve(SERVER, arguments={"decides": True})}
    arguments: dict[str, Any] = {"invariant": no_forgery, "inserts": [Insert("client", b"!")]}
    assert not explore(parties, **arguments).violations
    (violation,) = explore(parties, budget=Budget(inserts=1), **arguments).violations
    assert violation.path[0] == "connect client#1 to nobody"
    assert violation.path[1].startswith("FAULT client#1 receives inserted 21; client learns Answered(again=1)")


def test_half_of_a_chunk_may_come_alone() -> None:
    report = pair(
        budget=Budget(inserts=1, splits=1), inserts=[Insert("server", b"??")], max_violations=9, verify=_never
    )
    assert any("FAULT client#1 receives 21" in line for violation in report.violations for line in violation.path)


def _never(_: Scene) -> Iterator[str]:
    yield "every end is reported"


def test_every_alternative_of_a_decision_is_tried_at_any_time() -> None:
    def policy(event: Any) -> Decision:
        return ((), (Verb("answer", (event.link,)),), (Verb("close"),)) if isinstance(event, Asked) else ()

    server = attrs.evolve(SERVER, arguments={"decides": True}, policy=policy)
    ends = told({"client": CLIENT, "server": server}, "client")
    assert {end[-1].cause for end in ends} == {CloseCause.LOCAL, CloseCause.LOST, CloseCause.TIMEOUT}
    assert {end[0] for end in ends if isinstance(end[0], Answered)} == {Answered(1), Answered(2)}
    report = explore({"client": CLIENT, "server": server}, verify=_never, max_violations=99)
    assert "server decides: never" in str(report)
    assert "server decides: answer(1)" in str(report)


def test_a_decision_with_one_alternative_is_carried_out_at_once() -> None:
    server = attrs.evolve(SERVER, arguments={"decides": True}, policy=lambda event: ((Verb("answer", (event.link,)),),))
    assert told({"client": CLIENT, "server": server}, "client") == {(Answered(1), Closed(CloseCause.LOCAL))}


def test_verbs_may_come_at_any_time_and_losing_a_race_is_no_violation() -> None:
    impatient = attrs.evolve(CLIENT, may=(CLOSE,))
    ends = told({"client": impatient, "server": SERVER}, "client")
    assert ends == {(Closed(CloseCause.LOCAL),), (Answered(1), Closed(CloseCause.LOCAL))}
    late = attrs.evolve(CLIENT, start=(*CONNECT, Verb("abort"), Verb("close"), *CONNECT))
    assert told({"client": late}, "client") == {(Closed(CloseCause.ABORTED),)}


def test_a_party_that_raises_is_a_violation() -> None:
    twice = attrs.evolve(CLIENT, may=((CONNECT,),))
    (violation,) = explore({"client": twice, "server": SERVER}).violations
    assert violation.complaint == "client.connect raised LocalProtocolError: connect() in state CONNECTING: twice"
    assert violation.path == ("client decides: connect()",)
    (violation,) = explore({"client": attrs.evolve(CLIENT, start=CONNECT * 2), "server": SERVER}).violations
    assert violation.path == ()


def test_a_party_that_never_stops_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parties_module, "PULLS", 1)
    assert "client never stops" in str(pair())


def test_an_exploration_that_is_cut_short_says_so() -> None:
    report = pair(max_states=5)
    assert not report.exhausted
    assert "stopped early" in str(report)


def test_nobody_listens_there() -> None:
    assert told({"client": CLIENT}, "client") == {(Closed(CloseCause.LOST),)}


def test_a_connection_that_is_cut_or_silenced_before_it_is_there() -> None:
    ends = told({"client": CLIENT, "server": SERVER}, "client", budget=Budget(cuts=1, losses=1, early=1))
    assert {end[-1].cause for end in ends} == {CloseCause.LOCAL, CloseCause.LOST, CloseCause.TIMEOUT}
    impatient = attrs.evolve(CLIENT, start=(*CONNECT, Verb("close")))
    assert told({"client": impatient, "server": SERVER}, "client") == {(Closed(CloseCause.LOCAL),)}


def test_a_full_listener_accepts_the_next_one_later() -> None:
    server = attrs.evolve(SERVER, arguments={"limits": Limits(links=1)}, may=(CLOSE,))
    parties = {"one": CLIENT, "two": CLIENT, "server": server}
    most = 0

    def note(scene: Scene) -> tuple[()]:
        nonlocal most
        most = max(most, len(scene["server"].session.links))
        return ()

    assert (Answered(1), Closed(CloseCause.LOCAL)) in told(parties, "two", invariant=note)
    assert most == 1


def test_a_paused_end_is_blind() -> None:
    """The server does not see that the client hung up: its own timer ends the link, unless it reads on."""

    def policy(event: Any) -> Decision:
        return ((Verb("hold", (1,)), Verb("answer", (1,))),) if isinstance(event, Asked) else ()

    holding = attrs.evolve(SERVER, arguments={"decides": True}, policy=policy)
    expired = (Asked(1), LinkEnded(1, cause=CloseCause.TIMEOUT))
    assert told({"client": CLIENT, "server": holding}, "server") == {expired}
    releasing = attrs.evolve(holding, may=(((Verb("release", (1,)),), ()),))
    assert told({"client": CLIENT, "server": releasing}, "server") == {expired, (Asked(1),)}


def test_writing_to_an_end_that_is_gone_resets() -> None:
    server = attrs.evolve(SERVER, arguments={"decides": True}, may=(CLOSE,))
    stubborn = attrs.evolve(CLIENT, kind=Stubborn)
    report = explore({"client": stubborn, "server": server}, verify=_never, max_violations=99)
    lines = [line for violation in report.violations for line in violation.path]
    assert any(line.startswith("client#1 is over: reset, for the other end is gone; client learns") for line in lines)


def test_a_transport_may_take_no_more_bytes_for_a_while_or_for_good() -> None:
    parties = {"client": CLIENT, "server": SERVER}
    assert {end[-1].cause for end in told(parties, "client", budget=Budget(blocks=1))} == {CloseCause.LOCAL}
    ends = told(parties, "server", budget=Budget(blocks=1, losses=1))
    assert (LinkEnded(1, cause=CloseCause.TIMEOUT),) in ends


def test_giving_out_bytes_for_a_blocked_link_is_a_violation() -> None:
    class Heedless(Client):
        def stream_blocked(self, link: Link, now: float) -> None:
            pass

    (violation,) = pair(Heedless, budget=Budget(blocks=1)).violations
    assert violation.complaint == ("client gives out CloseTransport(link=1) for a link that is blocked or not yet open")
    assert "FAULT client#1 is blocked" in violation.path


def test_an_end_that_finished_may_still_receive() -> None:
    finished = attrs.evolve(CLIENT, may=(((Verb("finish"),), ()),))
    ends = told({"client": finished, "server": SERVER}, "client")
    assert (Answered(1), Closed(CloseCause.LOCAL)) in ends


def test_who_raises_on_the_way_to_a_known_world_is_found_too() -> None:
    """The world after a call that raised is also reached by never calling."""
    for decision in (((), CONNECT), (CONNECT, ())):
        (violation,) = pair_with(attrs.evolve(CLIENT, may=(decision,))).violations
        assert violation.path == ("client decides: connect()",)


def pair_with(one: Party, **arguments: Any) -> Report:
    return explore({"client": one, "server": SERVER}, **arguments)


class Restless(Beat):
    """Comes back to the same state again and again."""

    class Still(Pulse):
        def beat(self) -> None:
            self.missed = 0

    pulse_kind: ClassVar[type[Pulse]] = Still


class Counting(Beat):
    """Never comes back to a state."""

    class Count(Restless.Still):
        def beat(self) -> None:
            super().beat()
            self.number += 1

    pulse_kind = Count


class Boss(Pinger):
    """Has a client of its own, and never asks it for anything."""

    _clerk: Client

    def __init__(self) -> None:
        super().__init__()
        self._clerk = Client()

    def order(self, now: float) -> None:
        self._clerk.connect(now)


def test_what_stands_within_a_session_does_not_wait_for_ever_either() -> None:
    report = explore({"boss": Party(Boss, {}, start=(Verb("order"),))}, max_violations=2)
    objects = {"links.link[links.1] waits in OPENING", "ask[question] waits in CONNECTING"}
    assert {violation.complaint for violation in report.violations} == {f"boss: {each} for ever" for each in objects}


def test_an_exploration_begins_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_asking(scene: Scene) -> bool:
        return scene["client"].ask(lambda client: client.question.state) is AskState.ASKING

    whole = pair(budget=Budget(cuts=1))
    later = pair(budget=Budget(cuts=1), begin=is_asking)
    assert later.states < whole.states
    monkeypatch.setattr(explorer, "LONGEST_WAY", 300)
    restless = {"a": Party(Restless, {"entropy": ScriptedEntropy()}, start=(Verb("start"),))}
    counting = {"a": Party(Counting, {"entropy": ScriptedEntropy()}, start=(Verb("start"),))}
    for parties in ({"client": CLIENT, "server": SERVER}, restless, counting):
        never = explore(parties, begin=lambda _: False, max_states=100)
        assert [violation.complaint[:28] for violation in never.violations] == ["the exploration never begins"]
        assert not never.exhausted


def test_a_violation_before_an_exploration_begins_ends_it() -> None:
    report = explore({"client": CLIENT, "server": SERVER}, invariant=lambda _: ["wrong"], begin=lambda _: False)
    assert [str(violation) for violation in report.violations] == ["wrong"]
    assert report.states == 1


def test_what_does_not_matter_to_the_ends_is_left_out() -> None:
    finals = [pair(budget=Budget(cuts=1, losses=1), reduced=reduced).finals for reduced in (False, True)]
    assert finals[0] == finals[1]
    assert pair(reduced=True).states <= pair().states
    told_datagrams = {"names": NAMES, "reduced": True}
    assert told(PINGERS, "a", **told_datagrams) == {(PONG,)}


# -- datagrams

A, B = Address("192.0.2.1", 9), Address("192.0.2.2", 9)
NAMES = {"b": (B, Address("192.0.2.3", 9))}
PINGERS = {
    "a": Party(Pinger, {}, start=(Verb("ping", ("b",)),), sockets={"udp": A}),
    "b": Party(Pinger, {}, sockets={"udp": B}),
}
PONG = Answered(9)


def test_datagrams_are_lost_duplicated_and_replayed_within_the_budget() -> None:
    assert told(PINGERS, "a", names=NAMES) == {(PONG,)}
    assert told(PINGERS, "a") == {()}
    assert told(PINGERS, "a", names=NAMES, budget=Budget(losses=1)) == {(), (PONG,)}
    assert told(PINGERS, "a", names=NAMES, budget=Budget(duplicates=1)) == {(PONG,), (PONG,) * 2}
    assert told(PINGERS, "a", names=NAMES, budget=Budget(replays=2)) == {(PONG,), (PONG,) * 2, (PONG,) * 3}


def test_streams_and_datagrams_are_replayed_each_to_their_kind() -> None:
    parties = {"client": CLIENT, "server": SERVER, **PINGERS}
    assert (PONG,) * 2 in told(parties, "a", names=NAMES, budget=Budget(replays=1))


def test_a_datagram_out_of_nowhere() -> None:
    evil = Insert("a", b"pong", Path("udp", "192.0.2.66", 666))
    arguments: dict[str, Any] = {"names": NAMES, "budget": Budget(inserts=1), "inserts": [evil]}
    assert told(PINGERS, "a", **arguments) == {(PONG,), (Answered(666), PONG), (PONG, Answered(666))}
    report = explore(PINGERS, verify=_never, show=bytes.decode, **arguments)
    assert report.violations[0].path[0] == "a gets its answer for b"
    report = explore(PINGERS, invariant=lambda scene: ["evil"] if Answered(666) in scene["a"].told else [], **arguments)
    assert str(report).startswith("evil\n  1. FAULT insert_datagram to a from 192.0.2.66:666: 706f6e67; a learns")


def test_two_datagrams_in_flight_arrive_in_any_order() -> None:
    both = attrs.evolve(PINGERS["a"], start=(Verb("ping", ("b",)), Verb("ping", ("a",))))
    names = {"b": (B,), "a": (A,)}
    assert told({**PINGERS, "a": both}, "a", names=names) == {(PONG, PONG)}


def test_what_is_on_the_way_to_a_socket_that_is_bound_anew_is_lost() -> None:
    def is_pong_on_the_way(scene: Scene) -> bool:
        return any(datagram.data == b"pong" for datagram in scene.world.datagrams)

    rebinding = attrs.evolve(PINGERS["a"], may=(((Verb("rebind"),),),))
    assert told({**PINGERS, "a": rebinding}, "a", names=NAMES, begin=is_pong_on_the_way) == {(), (PONG,)}
    other = attrs.evolve(rebinding, start=(), sockets={"udp": A, "other": B})
    pinged = {"a": other, "b": attrs.evolve(PINGERS["b"], start=(Verb("ping", ("b",)),), sockets={"udp": A})}
    assert told(pinged, "b", names={"b": (B,)}) == {(PONG,)}


# -- parties that restart, and NATs that move them

RESTARTED = Restarted()
HOME, DESK = Address("192.0.2.1", 5000), Address("192.0.2.2", 8000)


def entropy_of(life: int) -> dict[str, Any]:
    return {"entropy": ScriptedEntropy(seed=bytes([life]), stateless=True)}


VISITOR = Party(
    Visitor, entropy_of(0), (Verb("visit", (DESK,)),), sockets={"udp": HOME}, restarts=True, behind_nat=True
)
WELL_DONE = (Heard(1), Closed(CloseCause.LOCAL))


def visit(kind: type[Desk] = Desk, **arguments: Any) -> Report:
    desk = Party(kind, entropy_of(0), sockets={"udp": DESK}, restarts=True, anew=entropy_of)
    return explore({"client": VISITOR, "server": desk}, verify=visitor_is_answered, **arguments)


def visitor_is_answered(final: Scene) -> Iterator[str]:
    if final["client"].told[-2:] != WELL_DONE:
        yield "the visitor has no answer"


class Rude(Desk):
    """Does not say that it knows a ticket no more."""

    def _turn_away(self, path: Path) -> None:
        pass


class Sedentary(Desk):
    """Answers at the place where the ticket was given."""

    def _way_back(self, ticket: bytes, path: Path) -> Path:
        return self._tickets[ticket]


@pytest.mark.parametrize("kind", [Desk, Rude, Sedentary])
def test_without_restarts_and_moves_every_desk_is_good(kind: type[Desk]) -> None:
    report = visit(kind, budget=Budget(early=1, duplicates=1))
    assert report.exhausted
    assert not report.violations, report


@pytest.mark.unmeasured
def test_who_gets_over_restarts_and_moves_is_left_alone() -> None:
    report = visit(budget=Budget(restarts=2, moves=1, losses=1))
    assert report.exhausted
    assert not report.violations, report
    assert str(report).endswith("within 1 losses, 2 restarts, 1 moves; all there are")


def test_who_does_not_get_over_a_restart_is_found_by_the_shortest_way() -> None:
    report = visit(Rude, budget=Budget(restarts=1), show=lambda data: repr(data[:1]))
    assert report.violations[0].complaint == "the visitor has no answer"
    assert str(report).splitlines()[2:5] == [
        "  2. deliver_datagram to client from 192.0.2.2:8000: b't'",
        "  3. FAULT server restarts",
        "  4. deliver_datagram to server from 192.0.2.1:5000: b'q'",
    ]
    assert not visit(Rude, budget=Budget(moves=1)).violations


def test_who_does_not_get_over_a_move_is_found_by_the_shortest_way() -> None:
    report = visit(Sedentary, budget=Budget(moves=1), show=lambda data: repr(data[:1]))
    assert report.violations[0].complaint == "the visitor has no answer"
    assert str(report).splitlines()[3:7] == [
        "  3. deliver_datagram to server from 192.0.2.1:5000: b'q'",
        "  4. FAULT client's NAT moves it to 192.0.2.1:5001, and what was on the way to it is lost",
        "  5. 7 s pass: client's pulse.BEAT",
        "  6. deliver_datagram to server from 192.0.2.1:5001: b'q'",
    ]
    assert not visit(Sedentary, budget=Budget(restarts=1)).violations


def test_what_is_on_the_way_to_one_that_moves_may_still_arrive_or_not() -> None:
    last = []

    def note(scene: Scene) -> Iterator[str]:
        if not scene.world.budget.moves:
            yield "moved"

    for violation in visit(budget=Budget(moves=1), invariant=note, max_violations=99).violations:
        last += [line for line in violation.path if line.startswith("FAULT")]
    moves = "FAULT client's NAT moves it to 192.0.2.1:5001"
    assert set(last) == {moves, f"{moves}, and what was on the way to it is lost"}
    assert explore({"client": attrs.evolve(VISITOR, start=())}, budget=Budget(moves=1)).transitions == 1


def test_only_who_is_said_to_restart_or_to_move_does() -> None:
    faults = Budget(restarts=1, moves=1)
    assert told(PINGERS, "a", names=NAMES, budget=faults) == {(PONG,)}


def test_a_party_knows_the_address_of_its_socket_and_not_that_of_its_nat() -> None:
    """A move it does not notice, not even when it is constructed anew; a new socket is seen where it is bound."""
    parties = {"client": attrs.evolve(VISITOR, start=(), told=bound, may=(((Verb("rebind"),), ()),))}
    ways = told(parties, "client", budget=Budget(restarts=1, moves=1))
    assert {ports for ports in ways if RESTARTED not in ports} == {(5000,), (5000, 5001), (5000, 5002)}
    assert {ports[ports.index(RESTARTED) + 1] for ports in ways if RESTARTED in ports} == {5000, 5001, 5002}
    assert {ports[2] for ports in ways if ports[:2] == (5000, RESTARTED)} == {5000}
    assert (5000, RESTARTED, 5000, 5002) in ways
    assert (5000, 5001, RESTARTED, 5001, 5003) in ways


def bound(event: Any) -> int:
    assert isinstance(event, Bound)
    return event.address.port


def test_who_restarts_draws_anew() -> None:
    seen = set()

    def note(scene: Scene) -> tuple[()]:
        seen.add(scene["server"].told)
        return ()

    assert visit(budget=Budget(restarts=2), invariant=note).exhausted
    tickets = [{event for event in told if isinstance(event, Said)} for told in seen]
    assert max(map(len, tickets)) == 3


def test_the_streams_of_a_party_that_restarts_are_cut() -> None:
    parties = {"client": CLIENT, "server": attrs.evolve(SERVER, restarts=True)}
    budget = Budget(restarts=1)
    ends = {(Answered(1), Closed(CloseCause.LOCAL)), (Closed(CloseCause.LOST),)}
    assert told(parties, "client", budget=budget) == ends
    with running(Mutant(ASK, WITHOUT_TIMERS)):
        report = explore(parties, budget=budget)
    assert not report.violations, report
    again = {"client": attrs.evolve(CLIENT, restarts=True), "server": SERVER}
    answered = (Answered(1), Closed(CloseCause.LOCAL))
    ways = told(again, "client", budget=budget)
    assert ways == {answered} | {(*answered[:before], RESTARTED, *answered) for before in range(3)}


class Tattler(Client):
    """Writes a datagram about what it receives."""

    def link_packet(self, link: StreamLink, packet: object) -> None:
        super().link_packet(link, packet)
        self.send_datagram(b"!", Path("udp", B.host, B.port))


def test_restarts_and_moves_matter_to_the_ends() -> None:
    parties = {"one": attrs.evolve(CLIENT, restarts=True), "two": CLIENT, "server": SERVER}
    finals = [explore(parties, budget=Budget(restarts=1), reduced=reduced).finals for reduced in (False, True)]
    assert finals[0] == finals[1]

    def is_answer_on_the_way(scene: Scene) -> bool:
        return any(stream.a.inbound for stream in scene.world.streams)

    tattler = attrs.evolve(CLIENT, kind=Tattler, sockets={"udp": A}, behind_nat=True)
    parties = {"b": PINGERS["b"], "client": tattler, "server": SERVER}
    for reduced in (False, True):
        ways = told(parties, "b", budget=Budget(moves=1), begin=is_answer_on_the_way, reduced=reduced)
        assert ways == {(Answered(9),), (Answered(10),)}


def test_a_restart_forgets_what_the_party_asked_of_the_network() -> None:
    server = attrs.evolve(SERVER, arguments={"limits": Limits(links=1)}, restarts=True)
    pinger = attrs.evolve(PINGERS["a"], restarts=True)

    def note(scene: Scene) -> Iterator[str]:
        if not scene["server"].ask(lambda server: server.links) and scene.world.shut and not scene.world.budget[-2]:
            yield "a listener without links is shut"
        if len(scene.world.lookups) > 1:
            yield "the look-up of another life"
        if any(end.lost == ANY_TIME for stream in scene.world.streams if stream.silent for end in stream[:2]):
            yield "a reset crosses silence"

    for others in ({}, {"pinger": pinger}):
        report = explore({"client": CLIENT, "server": server, **others}, invariant=note, budget=Budget(1, restarts=1))
        assert report.exhausted
        assert not report.violations, report


def test_events_that_are_not_hashable_are_kept_as_tuples() -> None:
    assert parties_module.told_whole(DataReceived(b"x")) == ("DataReceived", b"x")
    assert parties_module.told_whole(PONG) is PONG


def test_events_may_be_forgotten() -> None:
    deaf = attrs.evolve(CLIENT, told=lambda event: event if isinstance(event, Closed) else None)
    assert told({"client": deaf, "server": SERVER}, "client") == {(Closed(CloseCause.LOCAL),)}


def test_a_view_says_how_a_party_stands() -> None:
    seen = []

    def note(scene: Scene) -> tuple[()]:
        seen.append((scene["client"].phase.name, scene["client"].next_timeout, scene["client"].undecided))
        return ()

    explore({"client": attrs.evolve(CLIENT, may=(CLOSE,)), "server": SERVER}, invariant=note)
    assert seen[0] == ("OPENING", 1.0, (CLOSE,))
    assert ("CLOSED", None, ()) in seen
