"""Verbs about a node that is gone, was never there, or is us: docs/protocols/overte.rst, nodes."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
from scripted_overte import SECRET, ClientPeer, Party, ServerPeer, record

from sansproto.errors import NotOpen
from sansproto.overte import packets as p
from sansproto.overte.client import DomainClient
from sansproto.overte.events import Disconnected, Loss, NodeRemoved, NotAnswered
from sansproto.overte.payloads import KillAvatar
from sansproto.overte.server import DomainServer
from sansproto.overte.versions import PacketType

NEVER = b"never was there."


def about_nodes(role: type) -> set[str]:
    """The public methods that take the id of a node."""
    methods = {name: method for name, method in vars(role).items() if not name.startswith("_") and callable(method)}
    return {name for name, method in methods.items() if {"node_id", "by"} & {*signature(method).parameters}}


def test_these_are_all_verbs_about_nodes() -> None:
    assert about_nodes(DomainClient) == {"node", "send", "send_to_node", "kick", "ask_username"}
    assert about_nodes(DomainServer) == {"kick", "answer_username"}


@pytest.mark.parametrize("who", ["gone", "never", "us"])
def test_a_client_says_none_and_false_and_sends_nothing(who: str) -> None:
    peer = ClientPeer.live()
    peer.list(record("M"))
    peer.say(p.RemovedNode(record("M").id))
    assert NodeRemoved in map(type, peer.take())
    peer.take(peer.transmits)
    node_id = {"gone": record("M").id, "never": NEVER, "us": peer.session_id}[who]
    assert peer.node(node_id) is None
    assert peer.send_to_node(node_id, PacketType.MESSAGES_DATA, b"x", peer.now, message=True) is False
    assert peer.send(node_id, KillAvatar(node_id, 0), peer.now) is False
    assert peer.stats.refused == {"node not reached": 2}
    assert peer.take(peer.transmits) == peer.take() == []


def test_while_the_client_connects_again_all_nodes_are_gone() -> None:
    """What a node said last may be handled only then, and what answers it goes to nobody."""
    peer = ClientPeer.live()
    peer.list(record("M"))
    for second in range(1, 7):
        peer.at(float(second))
    assert Disconnected(Loss.SILENT) in peer.take()
    assert peer.send_to_node(record("M").id, PacketType.MESSAGES_DATA, b"x", peer.now, message=True) is False
    assert peer.send(record("M").id, KillAvatar(peer.session_id, 0), peer.now) is False
    assert peer.stats.refused == {"node not reached": 2}


def test_of_whom_the_domain_knows_nothing_it_says_nothing() -> None:
    """A kick changes nothing, and a question ends in time."""
    peer = ClientPeer.live()
    assert peer.kick(NEVER, peer.now) is True
    peer.ask_username(NEVER, peer.now)
    for second in range(1, 8):
        peer.at(float(second))
        peer.list()
    assert [event for event in peer.take() if event != NotAnswered(kind=p.AssignmentType.AGENT)] == [
        NotAnswered(node_id=NEVER)
    ]


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_server_says_false_and_changes_nothing(is_gone: bool) -> None:
    domain = ServerPeer.live()
    guest, gone = Party(domain), Party(domain, "192.0.2.77")
    for party in (guest, gone):
        party.connect()
    node_id = gone.node_id if is_gone else NEVER
    assert domain.kick(gone.node_id, domain.now) is True
    domain.drain()
    domain.take()
    before = domain.snapshot()
    assert domain.kick(node_id, domain.now, ban=p.USUAL_BAN) is False
    assert domain.answer_username(guest.node_id, node_id, domain.now) is False
    assert domain.answer_username(node_id, guest.node_id, domain.now) is False
    domain.drain()
    assert (domain.snapshot(), domain.policy.bans, domain.take()) == (before, frozenset(), [])


def test_nobody_kicks_oneself() -> None:
    domain = ServerPeer.live()
    admin = Party(domain, "127.0.0.1")
    admin.connect()
    domain.take()
    admin.say(PacketType.NODE_KICK_REQUEST, p.NodeKickRequest(admin.node_id, 3).encode(), reliable=True)
    assert (domain.take(), domain.stats.dropped) == ([], {"a kick of oneself": 1})


def test_after_the_end_it_is_the_session_that_is_not_open() -> None:
    domain, peer = ServerPeer.live(), ClientPeer.live()
    domain.close(domain.now)
    peer.close(peer.now)
    verbs: dict[str, tuple[Any, ...]] = {"kick": (NEVER, 0.0), "answer_username": (NEVER, NEVER, 0.0)}
    for name, arguments in verbs.items():
        with pytest.raises(NotOpen, match=name):
            getattr(domain, name)(*arguments)
    for name in ("send_to_node", "send", "kick", "ask_username"):
        rest = {"send_to_node": (PacketType.PING, SECRET), "send": (KillAvatar(NEVER, 0),)}.get(name, ())
        with pytest.raises(NotOpen):
            getattr(peer, name)(NEVER, *rest, 0.0)
    assert peer.node(NEVER) is None
