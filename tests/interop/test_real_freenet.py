"""Ends of ours and a real Freenet peer: handshakes, messages, streams, loss, silence, restarts.

These run when the environment variable FREENET_PEER names a program: docs/protocols/freenet.rst, a real peer.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path as File

import pytest
from freenet_parts import (
    HERE,
    NEEDS,
    Echo,
    Liar,
    Ours,
    Real,
    hashed,
    kill,
    line_to,
    our_gateway,
    our_peer,
    pattern,
    start,
)
from tox_parts import Scene

from sansproto.contract import Address, Path
from sansproto.freenet import Confirmed, Connected, PathConflict, PeerLost
from sansproto.freenet.packets import MAX_SHORT

pytestmark = [pytest.mark.interop, NEEDS]

BORDER = MAX_SHORT - 8
"""Bytes of the largest message that is not a stream."""
SIZES = (0, 1, BORDER, BORDER + 1, 2000, 30_000)
LARGE = 3_000_000

Record = Callable[[str, object], None]


def joined(scene: Scene, real: Real, *, port: int = 0, secret: bytes = b"") -> Ours:
    """A joiner of ours at a real gateway."""
    ours = scene.add(our_peer(secret))
    ours.dial(real.key, port or real.port, gateway=True)
    scene.until(lambda: ours.of(Connected))
    return ours


def opened(scene: Scene, ours: Ours, folder: File, *, port: int = 0, at: int = 0) -> Real:
    """A real joiner at a gateway of ours."""
    real = start(scene, "peer", folder, port=at)
    connect(scene, real, ours, port=port)
    return real


def connect(scene: Scene, real: Real, ours: Ours, *, port: int = 0) -> None:
    before = len(real.said("CONNECTED"))
    real.say("connect", ours.key.hex(), f"{HERE}:{port or ours.port}")
    scene.until(lambda: len(real.said("CONNECTED")) > before)


# -- our joiner, their gateway -----------------------------------------------------------------------------------------


def test_our_joiner_is_let_in(scene: Scene, tmp_path: File) -> None:
    real = start(scene, "gateway", tmp_path)
    ours = joined(scene, real)
    (found,) = ours.of(Connected)
    assert (found.proven, found.seen_at) == (real.key, Address(HERE, ours.port))
    assert str(found.version) == "0.2.129"
    scene.until(lambda: found.confirmed or ours.of(Confirmed))
    scene.until(lambda: real.said("INBOUND"))


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_ours_comes_back(scene: Scene, tmp_path: File, size: int) -> None:
    real = start(scene, "gateway", tmp_path)
    ours = joined(scene, real)
    ours.send(pattern(size))
    scene.until(lambda: ours.messages() and real.received())  # it prints later than it answers
    assert ours.messages() == [pattern(size)]
    assert real.received() == [(size + 8, hashed(pattern(size)))]


def test_a_large_message_of_ours_comes_back(scene: Scene, tmp_path: File, record_property: Record) -> None:
    real = start(scene, "gateway", tmp_path)
    ours = joined(scene, real)
    ours.send(pattern(LARGE))
    there = scene.until(real.received, 30.0)
    back = scene.until(ours.messages, 30.0)
    assert ours.messages() == [pattern(LARGE)]
    record_property("3 MB into a real gateway, MB/s", round(LARGE / there / 1e6, 2))
    record_property("3 MB out of a real gateway, MB/s", round(LARGE / back / 1e6, 2))


def test_messages_pass_a_line_that_loses_some(scene: Scene, tmp_path: File, record_property: Record) -> None:
    real = start(scene, "gateway", tmp_path)
    line = line_to(scene, real.port, loss=0.15)
    ours = joined(scene, real, port=line.path.port)
    wanted = [bytes([number]) * (50 + 40 * number) for number in range(100)]
    for message in wanted:
        ours.send(message)
    scene.until(lambda: len(ours.messages()) >= len(wanted), 60.0)
    scene.run(2.0)
    echoed = ours.messages()
    assert {*echoed} == {*wanted}
    record_property("messages that came back, of 100", len(echoed))


def test_a_stream_passes_a_line_that_loses_some(scene: Scene, tmp_path: File, record_property: Record) -> None:
    real = start(scene, "gateway", tmp_path)
    line = line_to(scene, real.port, loss=0.15)
    ours = joined(scene, real, port=line.path.port)
    ours.send(pattern(300_000))
    there = scene.until(real.received, 60.0)
    assert real.received() == [(300_008, hashed(pattern(300_000)))]
    record_property("300 kB into a real gateway at 15 % loss each way, kB/s", round(300 / there))
    back = scene.until(ours.messages, 120.0)
    assert ours.messages() == [pattern(300_000)]
    record_property("300 kB out of it, kB/s", round(300 / back))


def test_a_session_without_messages_is_quiet_and_stays(scene: Scene, tmp_path: File, record_property: Record) -> None:
    """Also with its own pings."""
    real = start(scene, "gateway", tmp_path)
    ours = joined(scene, real)
    ours.send(b"first")
    scene.until(ours.messages)
    scene.run(10.0)
    before = ours.rate
    scene.run(60.0)
    rate = (ours.rate - before) / 60.0
    record_property("datagrams a second, in and out", round(rate, 2))
    assert rate <= 0.5
    ours.send(b"last")
    scene.until(lambda: ours.messages() == [b"first", b"last"])
    assert not real.said("CLOSED")


@pytest.mark.parametrize("is_same", [True, False], ids=["same key", "new key"])
def test_our_joiner_restarts(scene: Scene, tmp_path: File, is_same: bool) -> None:
    real = start(scene, "gateway", tmp_path)
    secret = secrets.token_bytes(32)
    ours = joined(scene, real, secret=secret)
    ours.send(b"before")
    scene.until(ours.messages)
    port = ours.port
    kill(scene, ours)
    scene.run(1.1)
    again = scene.add(our_peer(secret if is_same else b"", port=port))
    again.dial(real.key, real.port, gateway=True)
    scene.until(lambda: again.of(Connected))
    again.send(b"after")
    scene.until(lambda: again.messages() == [b"after"])


def test_our_joiner_notices_that_its_gateway_restarted(scene: Scene, tmp_path: File, record_property: Record) -> None:
    real = start(scene, "gateway", tmp_path)
    ours = joined(scene, real)
    ours.send(b"before")
    scene.until(ours.messages)
    scene.run(1.0)
    kill(scene, real)
    begun = time.monotonic()
    again = start(scene, "gateway", tmp_path, secret=real.keys.secret, port=real.port)
    scene.until(lambda: len(ours.of(Connected)) == 2, 30.0)
    took = time.monotonic() - begun
    record_property("our joiner is back after a restart of its gateway, s", round(took, 1))
    assert took < 15.0
    scene.until(lambda: ours.of(PeerLost))
    ours.send(b"after")
    scene.until(lambda: ours.messages() == [b"before", b"after"])
    assert again.received() == [(5 + 8, hashed(b"after"))]


# -- their joiner, our gateway -----------------------------------------------------------------------------------------


def test_a_real_joiner_is_let_in(scene: Scene, tmp_path: File) -> None:
    ours = scene.add(our_gateway())
    real = opened(scene, ours, tmp_path)
    scene.until(lambda: ours.of(Connected))
    (found,) = ours.of(Connected)
    assert (found.proven, found.confirmed) == (None, True)
    assert found.path == Path("udp", HERE, real.port)
    assert str(found.version) == "0.2.129"
    (said,) = real.said("CONNECTED")
    assert f"me=Some({HERE}:{real.port})" in " ".join(said)


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_a_real_joiner_comes_back(scene: Scene, tmp_path: File, size: int) -> None:
    ours = scene.add(our_gateway())
    scene.add(Echo(ours))
    real = opened(scene, ours, tmp_path)
    real.say("send", size)
    scene.until(real.received)
    assert ours.messages() == [pattern(size)]
    assert real.received() == [(size + 8, hashed(pattern(size)))]


def test_a_large_message_of_a_real_joiner_comes_back(scene: Scene, tmp_path: File, record_property: Record) -> None:
    ours = scene.add(our_gateway())
    scene.add(Echo(ours))
    real = opened(scene, ours, tmp_path)
    real.say("send", LARGE)
    there = scene.until(ours.messages, 30.0)
    back = scene.until(real.received, 30.0)
    assert ours.messages() == [pattern(LARGE)]
    assert real.received() == [(LARGE + 8, hashed(pattern(LARGE)))]
    record_property("3 MB from a real joiner, MB/s", round(LARGE / there / 1e6, 2))
    record_property("3 MB to a real joiner, MB/s", round(LARGE / back / 1e6, 2))


def test_messages_of_a_real_joiner_pass_a_line_that_loses_some(scene: Scene, tmp_path: File) -> None:
    """Each arrives, and arrives once."""
    ours = scene.add(our_gateway())
    line = line_to(scene, ours.port, loss=0.15)
    real = start(scene, "peer", tmp_path)
    while not ours.of(Connected):  # it says its answer once: if that is lost, its first ping is what lets it in
        connect(scene, real, ours, port=line.path.port)
        scene.until(lambda: ours.of(Connected), 17.0)
    for number in range(100):
        real.say("send", 50 + number)
    scene.until(lambda: len(ours.messages()) >= 100, 60.0)
    scene.run(2.0)
    assert sorted(map(len, ours.messages())) == [50 + number for number in range(100)]


def test_a_stream_of_a_real_joiner_passes_a_line_that_loses_some(
    scene: Scene, tmp_path: File, record_property: Record
) -> None:
    ours = scene.add(our_gateway())
    line = line_to(scene, ours.port, loss=0.15, seed=2)
    real = opened(scene, ours, tmp_path, port=line.path.port)
    scene.until(lambda: ours.of(Connected), 17.0)
    real.say("send", 300_000)
    there = scene.until(ours.messages, 120.0)
    assert ours.messages() == [pattern(300_000)]
    ours.send(pattern(300_000))
    back = scene.until(real.received, 60.0)
    assert real.received() == [(300_008, hashed(pattern(300_000)))]
    record_property("300 kB from a real joiner at 15 % loss each way, kB/s", round(300 / there))
    record_property("300 kB to it, kB/s", round(300 / back))


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("is_same", [True, False], ids=["same key", "new key"])
def test_a_real_joiner_restarts(
    scene: Scene, tmp_path: File, record_property: Record, is_same: bool, times: int
) -> None:
    """Again and again, as fast as it can."""
    ours = scene.add(our_gateway())
    scene.add(Echo(ours))
    real = opened(scene, ours, tmp_path)
    real.say("send", 10)
    scene.until(real.received)
    for _ in range(times):
        kill(scene, real)
        real = start(scene, "peer", tmp_path, port=real.port, secret=real.keys.secret if is_same else b"")
        connect(scene, real, ours)
        record_property("a real joiner that restarted is let in after", real.said("CONNECTED")[0][1])
        real.say("send", 20)
        scene.until(real.received, 5.0)
    scene.until(lambda: len(ours.of(PeerLost)) == times, 10.0)
    assert all(event.replaced for event in ours.of(PeerLost))
    assert not ours.of(PathConflict)
    assert [*ours.core.sessions] == [ours.session]


def test_our_gateway_restarts(scene: Scene, tmp_path: File) -> None:
    """A real joiner notices after 120 s, or when it is told to connect again."""
    secret = secrets.token_bytes(32)
    ours = scene.add(our_gateway(secret))
    real = opened(scene, ours, tmp_path)
    scene.until(lambda: ours.of(Connected))
    kill(scene, ours)
    again = scene.add(our_gateway(secret, port=ours.port))
    scene.add(Echo(again))
    connect(scene, real, again)
    real.say("send", 30)
    scene.until(real.received)
    assert again.messages() == [pattern(30)]


def test_a_real_joiner_without_messages_is_quiet_and_stays(
    scene: Scene, tmp_path: File, record_property: Record
) -> None:
    ours = scene.add(our_gateway())
    scene.add(Echo(ours))
    real = opened(scene, ours, tmp_path)
    scene.until(lambda: ours.of(Connected))
    scene.run(10.0)
    before = ours.rate
    scene.run(60.0)
    rate = (ours.rate - before) / 60.0
    record_property("datagrams a second, in and out", round(rate, 2))
    assert rate <= 0.5
    real.say("send", 7)
    scene.until(real.received)
    assert not real.said("CLOSED")


def test_a_liar_does_not_cost_a_real_joiner_its_session(scene: Scene, tmp_path: File, record_property: Record) -> None:
    """40 spoofed intros a second, of which it gets few answers that it cannot open. A restart meanwhile is let in."""
    ours = scene.add(our_gateway())
    scene.add(Echo(ours))
    real = opened(scene, ours, tmp_path)
    real.say("send", 10)
    scene.until(real.received)
    liar = scene.add(Liar(ours, real.port, 40.0))
    for count in range(2, 32):
        scene.run(0.5)
        real.say("send", 10)
        scene.until(lambda wanted=count: len(real.received()) == wanted, 5.0)  # type: ignore[misc]
    assert liar.sent > 500
    assert not real.said("CLOSED")
    assert not ours.of(PeerLost)
    kill(scene, real)
    again = start(scene, "peer", tmp_path, port=real.port)
    begun = time.monotonic()
    connect(scene, again, ours)
    again.say("send", 20)
    scene.until(again.received)
    record_property("a real joiner that restarts meanwhile, s", round(time.monotonic() - begun, 1))
    scene.until(lambda: ours.of(PeerLost), 10.0)


# -- peer to peer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pause", [0.0, 0.05, -0.05, 1.0, -1.0])
def test_peers_that_call_each_other(scene: Scene, tmp_path: File, pause: float) -> None:
    """At the same moment, or one of them later."""
    real = start(scene, "peer", tmp_path)
    ours = scene.add(our_peer())
    say = lambda: real.say("connect", ours.key.hex(), f"{HERE}:{ours.port}")  # noqa: E731
    dial = lambda: ours.dial(real.key, real.port, gateway=False)  # noqa: E731
    for begin in (say, dial) if pause < 0 else (dial, say):
        begin()
        scene.run(abs(pause))
    scene.until(lambda: ours.of(Connected) and real.said("CONNECTED"))
    real.say("send", 60)
    scene.until(lambda: ours.messages() == [pattern(60)])
    ours.send(b"from ours")
    scene.until(lambda: (17, hashed(b"from ours")) in real.received())
    ours.send(pattern(5000))
    scene.until(lambda: (5008, hashed(pattern(5000))) in real.received())
    assert [event.proven for event in ours.of(Connected)][-1] in (real.key, None)


def test_a_real_peer_that_is_expected_calls(scene: Scene, tmp_path: File) -> None:
    real = start(scene, "peer", tmp_path)
    ours = scene.add(our_peer())
    scene.add(Echo(ours))
    ours.call(ours.core.expect, Path("udp", HERE, real.port))
    ours.dial(real.key, real.port, gateway=False)
    real.say("connect", ours.key.hex(), f"{HERE}:{ours.port}")
    scene.until(lambda: real.said("CONNECTED"))
    real.say("send", 2000)
    scene.until(real.received)
    assert real.received() == [(2008, hashed(pattern(2000)))]


def test_over_ipv6(scene: Scene, tmp_path: File) -> None:
    real = start(scene, "gateway", tmp_path, host="::1")
    ours = scene.add(our_peer(host="::1"))
    ours.dial(real.key, real.port, gateway=True, host="::1")
    scene.until(lambda: ours.of(Connected))
    assert ours.of(Connected)[0].seen_at == Address("::1", ours.port)
    ours.send(pattern(2000))
    scene.until(lambda: ours.messages() == [pattern(2000)])
