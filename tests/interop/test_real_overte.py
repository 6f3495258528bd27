"""Clients of ours in a real domain: guests, chat through a real mixer, kicks, denials, restarts.

These run when the environment variable OVERTE_DOMAIN_SERVER names a program, those with a mixer when
OVERTE_ASSIGNMENT_CLIENT does, too: docs/protocols/overte.rst, a real domain server.
"""

from __future__ import annotations

from pathlib import Path as File
from typing import Any

import pytest
from overte_parts import NEEDS, NEEDS_MIXER, PATIENCE, Ours, RealDomain, RealMixer
from tox_parts import Scene
from toxcore import HERE

from sansproto.overte import (
    VERSIONS,
    Connected,
    DenialReason,
    Denied,
    Disconnected,
    NodeActivated,
    NodeRemoved,
    NotAnswered,
    PacketReceived,
    PathAnswered,
    SettingsReceived,
    UsernameAnswered,
)
from sansproto.overte.payloads import MessagesData, MessagesSubscribe

pytestmark = [pytest.mark.interop, NEEDS]

GUEST = "127.0.0.2"
"""Another address than the owner's."""
SILENCE = 21.0
"""Seconds after which a real domain server has removed whoever does not check in."""
CHANNEL = "chat"
BEFORE_IT_LISTENS = {"datagram failed"}
AROUND_A_RESTART = BEFORE_IT_LISTENS | {"unknown source", "late control packet", "late list"}
"""What ours may drop: docs/protocols/overte.rst, why a packet was dropped."""


@pytest.fixture
def domain(scene: Scene, tmp_path: File) -> RealDomain:
    return scene.add(RealDomain(tmp_path / "domain"))


def met(scene: Scene, domain: RealDomain, **more: Any) -> Ours:
    """A client of ours that is in."""
    ours = scene.add(Ours(domain.port, **more))
    scene.until(lambda: ours.is_in, PATIENCE)
    return ours


def test_a_guest_stays_and_is_told_what_it_asks(scene: Scene, domain: RealDomain) -> None:
    ours = met(scene, domain, bound=GUEST)
    for path in ("/", "/hall", "/nowhere"):
        ours.call(ours.client.ask_path, path)
    scene.run(SILENCE)
    assert PathAnswered("/", "/1,2,3/0,0,0,1") in ours.events
    assert PathAnswered("/hall", "/5,6,7/0,0,0,1") in ours.events
    assert [event.path for event in ours.of(NotAnswered)] == ["/nowhere"]
    assert ours.of(SettingsReceived)
    assert len(ours.of(Connected)) == 1
    assert not ours.of(Disconnected)
    assert set(ours.client.stats.dropped) <= BEFORE_IT_LISTENS
    ours.call(ours.client.close)
    scene.run(0.5)


@NEEDS_MIXER
@pytest.mark.parametrize("bound", [HERE, ""], ids=["loopback", "any"])
def test_two_chat_through_a_real_mixer(scene: Scene, domain: RealDomain, tmp_path: File, bound: str) -> None:
    mixer = scene.add(RealMixer(tmp_path / "mixer", domain))
    both = [met(scene, domain, bound=bound, interest=b"m") for _ in range(2)]
    scene.until(lambda: all(one.of(NodeActivated) for one in both), PATIENCE)
    for one in both:
        (known,) = one.client.nodes
        assert one.call(one.client.send, known, MessagesSubscribe(CHANNEL))
    scene.run(1.0)
    texts = ["hello", "grüße, 😀", "long " * 40_000]
    for one in both:
        for text in texts:
            message = MessagesData.of_text(CHANNEL, text, one.id)
            assert one.call(one.client.send, *one.client.nodes, message)

    def heard(one: Ours) -> set[Any]:
        found = [one.client.read(event) for event in one.of(PacketReceived)]
        return {(said.text, said.sender) for said in found if isinstance(said, MessagesData)}

    said = {(text, one.id) for text in texts for one in both}
    scene.until(lambda: all(heard(one) == said for one in both), PATIENCE)
    scene.stop(mixer)
    scene.until(lambda: all(one.of(NodeRemoved) for one in both), PATIENCE)


def test_the_owner_kicks_a_guest(scene: Scene, domain: RealDomain) -> None:
    owner, guest = met(scene, domain), met(scene, domain, bound=GUEST)
    for one in (owner, guest):
        one.call(one.client.ask_username, guest.id)
        one.call(one.client.ask_username, owner.id)
    scene.until(lambda: all(len(one.of(UsernameAnswered)) == 2 for one in (owner, guest)), PATIENCE)
    assert {event.node_id: event.may_kick for event in guest.of(UsernameAnswered)} == {owner.id: True, guest.id: False}
    guest.call(guest.client.kick, owner.id)
    scene.run(1.0)
    assert owner.call(owner.client.kick, guest.id)
    scene.until(lambda: guest.of(Denied), PATIENCE)
    assert guest.of(Disconnected)
    assert guest.of(Denied)[0].code is DenialReason.NOT_AUTHORIZED_DIRECTORY
    assert not owner.of(Disconnected)


def test_another_release_and_one_too_many_are_denied(scene: Scene, tmp_path: File) -> None:
    domain = scene.add(RealDomain(tmp_path / "domain", maximum_user_capacity="1"))
    met(scene, domain, bound=GUEST)
    late = scene.add(Ours(domain.port, bound=GUEST))
    newer = scene.add(Ours(domain.port, bound=GUEST, versions=VERSIONS["2026-newest-known"]))
    scene.until(lambda: late.of(Denied) and newer.of(Denied), PATIENCE)
    assert late.of(Denied)[0].code is DenialReason.TOO_MANY_USERS
    assert newer.of(Denied)[0].code is DenialReason.PROTOCOL_MISMATCH


def test_a_domain_that_starts_again_has_its_guests_back(scene: Scene, domain: RealDomain) -> None:
    ours = met(scene, domain, bound=GUEST)
    scene.until(lambda: ours.of(SettingsReceived), PATIENCE)
    scene.stop(domain)
    scene.until(lambda: ours.of(Disconnected), PATIENCE)
    domain.start()
    scene.add(domain)
    scene.until(lambda: len(ours.of(Connected)) == 2, PATIENCE)
    scene.until(lambda: len(ours.of(SettingsReceived)) == 2, PATIENCE)
    assert set(ours.client.stats.dropped) <= AROUND_A_RESTART
