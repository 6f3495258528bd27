"""Overte explored: both ends are connected, or both know that they are not, within the protocol's own times.

The figures of each exploration are printed (``pytest -rP``). SANSPROTO_SOAK=1 adds those that take minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as File

import pytest
from attacks_overte import Effect, effect, ids, path_of, to_client, to_server
from exploring_overte import (
    CLIENT,
    DOMAIN,
    MIXER,
    PAIR,
    STRANGER,
    THREE,
    Exploration,
    explorations,
    is_connected,
    long_explorations,
)
from exploring_tables import explore_all, is_found, mutants, running
from small_overte import CLASSES, TABLES, small
from soaking import SOAKING

from sansproto.contract import Path
from sansproto.testing._internal.parties import Parties
from sansproto.testing.explorer import Budget, Insert

pytestmark = pytest.mark.unmeasured

DOCS = File(__file__).parents[2] / "docs" / "protocols"
EXPLORATIONS = [*explorations(), *(long_explorations() if SOAKING else ())]


@pytest.mark.parametrize("exploration", EXPLORATIONS, ids=lambda one: one.name)
def test_within_the_budget_both_ends_agree_in_time(exploration: Exploration) -> None:
    report, ends = exploration.run(max_states=2_000_000 if exploration.is_endless else 8_000_000)
    print(f"{exploration.name}: {report}; {len(ends)} outcomes")
    assert not report.violations, report
    assert report.exhausted is not exploration.is_endless
    if exploration.name == EXPLORATIONS[0].name:
        assert report.states >= 30_000


# -- attackers ---------------------------------------------------------------------------------------------------------

NOTHING = Effect(deceives=False, changes=False)
DISTURBS = Effect(deceives=False, changes=True)
DECEIVES = Effect(deceives=True, changes=True)

TO_SERVER_FROM_ANYWHERE = {
    "a connect request": "it is as good as any: another guest comes, and is pruned",
    "a connect request of another machine": "likewise",
    "a connect request from another socket": "likewise",
    "a connect request of another protocol": "is answered, and the answers of a host are counted",
    "a connect request of another version": "likewise",
}

IN_THE_NAME_OF_THE_DOMAIN = {
    "a list with other ids": "makes a client that is connecting or connected take any ids, until it hears no answers",
    "a list of another domain": "the same, to a client that is connecting; one that is connected ignores it",
    "a list with our ids": "counts as an answer: the domain's silence is noticed later",
    "a list that ends authentication": "likewise, and nodes may say anything until the next list",
    "a list with a node": "likewise, and the node is pinged",
    "a denial": "is told to who is connecting; an answer, too",
    "a token": "makes who is connecting ask at once; an answer, too",
    "a node": "is believed and pinged until it was silent for long enough",
    "settings": "answer the question for settings",
    "reliable data": "is asked for a handshake, or acknowledged",
    "ack": "stops what was not acknowledged: the question for settings is asked in vain",
    "handshake": "the channel begins anew; the other end notices by wrong acknowledgements",
    "handshake request": "likewise, at once",
}
"""What the protocol leaves to those who can send from the domain's very address: it has no secret with its clients.

The first two are the only ways to a connection that no server knows of; it lasts for six check-ins."""

IN_THE_NAME_OF_THE_CLIENT = {
    "a connect request": "makes a new session once the old one is not fresh any more: the client is renumbered",
    "a connect request of another machine": "takes the place of a client of which nothing else was heard yet",
    "a connect request from another socket": "makes a new session: the client is renumbered",
    "a connect request of another protocol": "is answered, to the client",
    "a connect request of another version": "likewise",
    "a list request": "keeps a member alive",
    "a list request from another socket": "likewise, and others are told of that socket",
    "the end": "the client is out, and learns it by silence",
    "statistics": "keep a member alive",
    "a kick": "likewise; without permission it is no more",
    "a question for settings": "is answered, to the client",
    "a question for a path": "likewise",
    "an ICE ping": "likewise",
    "ack": "as for the client",
    "handshake": "as for the client",
    "handshake request": "as for the client",
}
"""Sourced packets need the client's local id besides, 16 bits that are not secret."""

IN_THE_NAME_OF_THE_MIXER = {
    "reliable data": "the header of a reliable packet is not authenticated: it is asked for a handshake",
    "handshake": "nor are control packets",
}


BOTH, ALL_THREE = Parties(PAIR), Parties(THREE)


def attacks(to: str, data: Mapping[str, bytes], path: Path) -> list[tuple[str, Insert]]:
    return [(name, Insert(to, one, path)) for name, one in data.items()]


@pytest.mark.parametrize(
    ("to", "source", "known"),
    [
        ("client", STRANGER, {}),
        ("server", STRANGER, TO_SERVER_FROM_ANYWHERE),
        ("client", path_of(DOMAIN), IN_THE_NAME_OF_THE_DOMAIN),
        ("server", path_of(CLIENT), IN_THE_NAME_OF_THE_CLIENT),
    ],
    ids=["client, from anywhere", "server, from anywhere", "client, as the domain", "server, as the client"],
)
def test_what_an_attacker_says_does_nothing_but_what_is_known(to: str, source: Path, known: dict[str, str]) -> None:
    """From the wrong address, nothing; from the right one, what the protocol cannot prevent. It always settles."""
    said = attacks(to, (to_client if to == "client" else to_server)(ids()), source)
    vain = tuple(insert for name, insert in said if name not in known)
    assert effect(Exploration("in vain", BOTH, Budget(inserts=1), inserts=vain)) == NOTHING
    found = {
        name: effect(Exploration(name, BOTH, Budget(inserts=1), inserts=(insert,)))
        for name, insert in said
        if name in known
    }
    deceptive = {"a list with other ids", "a list of another domain"} if source == path_of(DOMAIN) else set()
    assert found == {name: DECEIVES if name in deceptive else DISTURBS for name in known}


def test_a_node_is_not_changed_by_what_is_not_authenticated() -> None:
    """Neither from elsewhere, nor from its own address, but for what is known."""
    packets, budget = to_client(ids(with_mixer=True)), Budget(inserts=1)
    known = dict(attacks("client", {name: packets[name] for name in IN_THE_NAME_OF_THE_MIXER}, path_of(MIXER)))
    said = [*attacks("client", packets, STRANGER), *attacks("client", packets, path_of(MIXER))]
    vain = tuple(insert for _, insert in said if insert not in known.values())
    assert effect(Exploration("in vain", ALL_THREE, budget, inserts=vain, begin=is_connected)) == NOTHING
    for name, insert in known.items():
        assert effect(Exploration(name, ALL_THREE, budget, inserts=(insert,), begin=is_connected)) == DISTURBS


def test_a_flood_of_requests_from_elsewhere_keeps_nobody_out() -> None:
    """Whatever a stranger asks for, as often as the budget has it, while datagrams are lost."""
    requests = tuple(
        insert
        for name, insert in attacks("server", to_server(ids()), STRANGER)
        if name in TO_SERVER_FROM_ANYWHERE and "another" not in name
    )
    flood = Exploration("a flood", BOTH, Budget(inserts=2, losses=1), inserts=requests)
    report, _ = flood.run()
    print(report)
    assert not report.violations, report
    assert report.exhausted


# -- mutants -----------------------------------------------------------------------------------------------------------

HARMLESS = {
    "overte.connection: row NEW|RESOLVING|SEEKING x MOVED": "the row does nothing",
    "overte.connection: row SETTLING x NODE_TOLD": "likewise",
    "overte.ice_client: row PUNCHING|REACHED x MOVED": "likewise",
    "overte.stun: row RESOLVING|ASKING x WANTED": "likewise",
    "overte.admission: guard connect/is_something": "what is empty is malformed, and ignored as well",
    "overte.admission: guard connect/has_node_type": "a type that nobody may have has no assignment either",
    "overte.node: guard reply/is_of_no_socket": "everybody here answers from where the ping went; in test_nodes not",
    "overte.member: guard check_in/says_nothing_new": "a report that is read again says nothing new either",
    "overte.channels: guard packet/has_secret": "where there is no secret no hash is right either",
    "overte.sending: row SHAKING x QUEUED": "what waits is not looked at before the handshake: the row does nothing",
    "overte.connection: row CONNECTING|CONNECTED|SETTLING x FOUND": "no name here leads somewhere else the second time",
    "overte.connection: row SEEKING x FOUND": "likewise",
}
"""Without these everything goes on as before, mostly for another guard stands behind. That it does takes long to see:
only where SANSPROTO_SOAK asks for it."""

BY_TESTS = {
    "overte.connection: guard DomainList/is_timely": "time stands still here: no list is late",
    "overte.member: guard path_query/has_room_for_path": "nobody here asks so often: a vector does",
    "overte.member: guard settings_request/has_room_for_settings": "likewise",
}
"""No exploration steps on these, and none notices that they are missing: test_client, test_nodes and test_server do."""

NEVER = {
    **BY_TESTS,
    "overte.admission: row READY x BAD_SIGNATURE": "no host here uses up what it gets: test_admission has one",
    "overte.connection: row RESOLVING x DUE": "no client here is patient: test_client has one",
    "overte.connection: row RESOLVING x NOT_FOUND when is_patient": "likewise",
    "overte.query: row NEW x HELD": "nobody asks for two kinds of settings: test_client does",
    "overte.member: row PRESENT x CHECKED_IN": "each step begins with a restored server, which reads every report",
    "overte.member: guard check_in/says_nothing_new": "likewise: test_shortcuts steps on both",
    "overte.member: row PRESENT x STATS": "our client sends none: test_server does",
    "overte.ice_client: row PUNCHING|REACHED x MOVED": "no client here comes by an ice-server and moves; a vector does",
}
"""No exploration steps on these."""


@pytest.mark.slow
def test_a_row_or_step_that_is_missing_is_noticed() -> None:
    """By the static checks, by a violation, or because something else is told, said, or possible."""
    known = explore_all(small(), TABLES, CLASSES)
    unnoticed = set()
    for table in TABLES:
        for name, mutant in mutants(table):
            if (SOAKING or name not in HARMLESS) and not is_found(mutant, DOCS):
                with running(mutant):
                    if not any(one.changes(name, by_states=True) for one in known):
                        unnoticed.add(name)
    assert unnoticed - set(BY_TESTS) == (set(HARMLESS) if SOAKING else set())
    every = {name for table in TABLES for name, _ in mutants(table)}
    assert every - {name for one in known for name in one.parties.uses} == set(NEVER)
