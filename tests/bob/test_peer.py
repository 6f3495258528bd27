"""What a client and a server do with many exchanges at once, with a random source that is broken, and at their end."""

from __future__ import annotations

from typing import Any

import pytest
from stages import ClientStage, ServerStage

from sansproto.bob import Client, PeerLimits, Server, Violation
from sansproto.bob import packets as p
from sansproto.contract import AbortTransport, CloseTransport, Link, OpenStream, PauseReading, ResumeReading, SendBytes
from sansproto.events import CloseCause, Closed

ME, OTHER = "198.51.100.7:40001", "198.51.100.8:40002"
BASE_POINT = b"\x58" + b"\x66" * 31
PUBLIC = p.PublicParameters(1, 1, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, bytes(16))


class AtRelay:
    """A client or server, and a hand that plays the relay and everybody else."""

    def __init__(self, kind: type[Client] | type[Server], *, sizes: dict[str, int] | None = None, **more: Any) -> None:
        def entropy(n: int, *, purpose: str) -> bytes:
            return b"r" * (sizes or {}).get(purpose, n)

        relay = ("192.0.2.1", 9000)
        self.peer = kind(relay=relay, secure_port=9001, password=b"password", entropy=entropy, **more)
        self.now = 0.0
        self.link = Link(0)
        self.said: list[tuple[int, p.BobPacket]] = []

    def register(self) -> None:
        self.peer.connect(self.now)
        while not self.link:
            self.run()
        self.peer.stream_opened(self.link, self.now)
        self.put(p.RELAY, p.ServerIdentity(ME) if isinstance(self.peer, Server) else p.ClientIdentity(ME))

    def put(self, uid: int, packet: p.BobPacket) -> None:
        self.peer.receive_data(self.link, p.encode(uid, packet), self.now)

    def run(self, seconds: float = 0.01) -> None:
        """Let time pass, and note what is said."""
        end = self.now + seconds
        while True:
            self._carry()
            at = self.peer.next_timeout()
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            self.peer.handle_timeout(self.now)
        self.now = end

    def _carry(self) -> None:
        while (transmit := self.peer.next_transmit()) is not None:
            match transmit:
                case OpenStream(link):
                    self.link = link
                case SendBytes(data=data):
                    self._note(data)
                case CloseTransport(link) | AbortTransport(link):
                    self.peer.stream_lost(link, self.now)

    def _note(self, data: bytes) -> None:
        offset = 0
        while offset < len(data):
            header, packet, offset = p.FRAME.decode_prefix(data, offset)
            self.said.append((header.uid, packet))

    def whom(self, kind: type[p.BobPacket]) -> list[int]:
        """To whom packets of this kind went."""
        return [uid for uid, packet in self.said if isinstance(packet, kind)]


def test_those_who_wait_for_their_turn_are_no_more_than_the_guesses_that_are_left() -> None:
    """However many ask at once, so that none of them has guessed yet when the last one comes."""
    limits = PeerLimits(guesses=40)
    at = AtRelay(Server, limits=limits)
    at.register()
    for uid in range(1, 200):
        at.put(uid, p.XAndClientIdentity(BASE_POINT, f"10.0.0.{uid}:1"))
    at.put(p.RELAY, p.PeerClosed(40))  # the last who waits; its place is free again
    at.put(200, x := p.XAndClientIdentity(BASE_POINT, OTHER))
    at.put(201, x)
    at.run(5.0)
    assert at.whom(p.YAndServerValidator) == [*range(1, 40), 200]
    at.put(202, x)
    at.run()
    assert len(at.whom(p.YAndServerValidator)) == limits.guesses
    assert at.peer.ending == Closed(CloseCause.LIMIT, Violation.TOO_MANY_GUESSES)


@pytest.mark.parametrize("kind", [Client, Server])
def test_a_bad_point_is_a_guess(kind: type[Client] | type[Server]) -> None:
    """A guess, and a point of small order: how long that takes to refuse says whether it was right."""
    at = AtRelay(kind, limits=PeerLimits(guesses_of_one=2, guesses=5))
    at.register()
    for uid in (1, 1, 1, 2, 2, 2, 3):
        if kind is Client:
            at.put(p.RELAY, p.NewServer(uid, PUBLIC.encode(), OTHER))
            at.run()
            at.put(uid, p.YAndServerValidator(bytes(32), bytes(64)))
        else:
            at.put(uid, p.XAndClientIdentity(bytes(32), OTHER))
        at.run()
    assert at.whom(p.SpokeFailure) == [1, 1, 2, 2, 3]
    assert {packet for _, packet in at.said if isinstance(packet, p.SpokeFailure)} == {
        p.SpokeFailure(p.SpokeFault.POINT)
    }
    if kind is Server:
        at.put(4, p.XAndClientIdentity(BASE_POINT, OTHER))
        at.run()
        assert not at.whom(p.YAndServerValidator)
    assert at.peer.ending == Closed(CloseCause.LIMIT, Violation.TOO_MANY_GUESSES)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_salt_of_another_size_is_refused_where_it_is_drawn(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes for salt"):
        AtRelay(Server, sizes={"salt": size}).register()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_scalar_of_another_size_is_refused_where_it_is_drawn(size: int) -> None:
    server = AtRelay(Server, sizes={"offer.0002.y": size})
    server.register()
    with pytest.raises(ValueError, match=f"{size} bytes for offer"):
        server.put(2, p.XAndClientIdentity(BASE_POINT, OTHER))
    client = AtRelay(Client, sizes={"offer.0001.x": size})
    client.register()
    client.put(p.RELAY, p.NewServer(1, PUBLIC.encode(), OTHER))
    with pytest.raises(ValueError, match=f"{size} bytes for offer"):
        client.run()


@pytest.mark.parametrize("kind", [ClientStage, ServerStage])
def test_a_loss_says_which_connection_it_was(
    kind: type[ClientStage] | type[ServerStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it was lost: a client or server may have been on its way from one to the other."""
    for lose in ("stream_lost", "receive_eof", "transport_lost"):
        for there, violation in ((False, Violation.RELAY_LOST), (True, Violation.ROOM_LOST)):
            stage = kind()
            if there:
                monkeypatch.setattr(stage, "enter_room", stage.approach)
                stage.talk()
            else:
                stage.register()
            stage.flush()
            getattr(stage, lose)(*(() if lose == "transport_lost" else (stage.link,)), stage.now)
            stage.end()
            peer: Any = stage._endpoint
            assert (peer.ending.cause, peer.ending.violation) == (CloseCause.LOST, violation)


def test_what_is_read_behind_the_end_of_a_channel_is_nothing_to_wonder_about() -> None:
    """No packet was dropped when an event was popped."""
    stage = ClientStage()
    stage.talk()
    data = b"".join(stage.other_sends.seal(number, b"data") for number in range(9))
    stage.receive_data(stage.link, data + p.CLOSE, stage.now)
    stage.flush()
    assert stage.stats.dropped == {}


def test_what_nobody_reads_pauses_the_connection() -> None:
    """Until it is read: a channel holds what a sender may have on its way, and no more."""
    stage = ClientStage()
    stage.talk()
    stage.flush()
    peer: Any = stage._endpoint
    data = b"".join(stage.other_sends.seal(number, bytes(32_767)) for number in range(40))
    peer.receive_data(stage.link, data, stage.now)
    assert PauseReading(stage.link) in iter(peer.next_transmit, None)
    assert sum(len(event.data) for event in iter(peer.next_event, None)) == 40 * 32_767
    assert ResumeReading(stage.link) in iter(peer.next_transmit, None)
