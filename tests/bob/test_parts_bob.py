"""Each part of a peer alone, with a host that keeps what it asks for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from scripted import PartHost

from sansproto.bob import Failure, PeerAgreed, PeerDelays, PeerFailed, PeerLimits, Registered, crypto
from sansproto.bob import packets as p
from sansproto.bob.channel import ChannelState, ChannelTimer, SecureChannel
from sansproto.bob.crypto import Derivation, RecordKey
from sansproto.bob.handshake import Handshake, HandshakeState, HandshakeTimer
from sansproto.bob.host import Heard
from sansproto.bob.kdf import SLICE, KdfQueue, KdfState, KdfTimer
from sansproto.bob.offer import Offer, OfferInput, OfferState
from sansproto.bob.packets import CLOSE
from sansproto.bob.turns import Turns, TurnsState, TurnsTimer
from sansproto.bob.way import PeerInput, PeerState, PeerTimer, Way
from sansproto.contract import Address
from sansproto.events import CloseCause, Closed, DataReceived

PUBLIC = p.PublicParameters(1, 1, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, bytes(16))
THERE = "192.0.2.2:2"


class Owner(PartHost):
    """A host that is the peer, too."""

    def __init__(self) -> None:
        super().__init__(PeerDelays(), PeerLimits())
        self.said: list[tuple[int, p.BobPacket]] = []
        self.turns = Turns(self)
        self.way = SimpleNamespace(post=self.told.append)
        self.identity = "192.0.2.1:1"
        self.has_too_many = False
        material = crypto.derive(b"pass", bytes(16), 1)
        self.secret, self.public = crypto.ServerSecret.from_derived(material), PUBLIC
        self.client_secret = crypto.ClientSecret.from_derived(material)

    def say(self, uid: int, packet: p.BobPacket) -> None:
        self.said.append((uid, packet))

    def keep_exchange(self, exchange: Any) -> None:
        self.told.append(("keep_exchange", exchange))
        self.has_turn = lambda _: exchange.post(exchange.has_turn())  # type: ignore[method-assign, assignment]

    def open_link(self, address: Address) -> Any:
        self.told.append(("open_link", address))
        return SimpleNamespace(key=len(self.told))


def test_the_queue_of_derivations_works_until_it_is_empty() -> None:
    host = Owner()
    queue = KdfQueue(host)
    queue.put(1, Derivation(b"pass", bytes(16), 2 * SLICE))
    queue.put(2, Derivation(b"pass", bytes(16), 1))
    host.run()
    assert host.armed == {"WORK": PeerDelays().work}
    while host.armed:
        host.fire(queue, KdfTimer.WORK)
    assert [(name, uid) for name, uid, _ in host.told] == [("derived", 2), ("derived", 1)]
    assert queue.state is KdfState.EMPTY
    assert host.stats.dropped == {}  # who comes second is no packet that was ignored


def test_who_waits_has_its_turn_host_after_host() -> None:
    host = Owner()
    host.limits = PeerLimits(free_guesses=0)
    turns = Turns(host)
    turns.join(9, "192.0.2.1:1")
    for uid, identity in enumerate(["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"]):
        turns.join(uid, identity)
    turns.leave(7)
    host.run()
    while host.armed:
        host.clock += host.armed["TURN"]
        host.fire(turns, TurnsTimer.TURN)
    assert host.told == [("has_turn", uid) for uid in (9, 2, 0, 1)]
    turns.join(5, "192.0.2.1:1")
    turns.leave(5)
    host.run()
    assert turns.state is TurnsState.NOBODY
    assert not host.armed


def test_nobody_waits_once_all_turns_are_cleared() -> None:
    host = Owner()
    host.limits = PeerLimits(free_guesses=0)
    turns = Turns(host)
    turns.clear()
    for uid in (1, 2):
        turns.join(uid, "192.0.2.1:1")
    turns.clear()
    host.run()
    assert (turns.state, host.armed, host.told) == (TurnsState.NOBODY, {}, [("has_turn", 1)])


def test_a_channel_seals_opens_and_says_goodbye() -> None:
    host, key = Owner(), RecordKey(bytes(32), bytes(12))
    channel = SecureChannel(host)
    channel.begin(key, key)
    assert channel.send(b"data") == 4
    record = channel.next_record()
    assert record is not None
    for byte in record:
        channel.receive(bytes([byte]))
    assert channel.next_received() == DataReceived(b"data")
    channel.close()
    assert channel.next_record() == CLOSE
    assert host.armed == {"FAREWELL": PeerDelays().farewell}
    host.fire(channel, ChannelTimer.FAREWELL)
    assert host.told == [("channel_ended", Closed(CloseCause.LOCAL))]
    assert channel.state is ChannelState.CLOSED


def test_an_offer_and_a_handshake_agree() -> None:
    """Each with a host of its own: what one says, the other judges."""
    here, there = Owner(), Owner()
    there.identity = THERE
    offer, handshake = Offer(here, 1), Handshake(there, 2)
    offer.begin(p.NewServer(1, PUBLIC.encode(), THERE))
    here.run()
    assert here.told == [("keep_exchange", offer), ("put_in_queue", 1, PUBLIC.salt, PUBLIC.count)]
    offer.post(OfferInput.DERIVED(here.client_secret))
    here.run()
    _, x = here.said.pop()
    assert isinstance(x, p.XAndClientIdentity)
    handshake.begin(x)
    there.run()
    assert there.turns.guesses.total == 1
    _, y = there.said.pop()
    assert isinstance(y, p.YAndServerValidator)
    offer.hear(y)
    here.run()
    offer.hear(y)
    here.run()
    assert here.armed == {"ANSWER": PeerDelays().answer}
    _, proof = here.said.pop()
    assert isinstance(proof, p.ClientValidator)
    handshake.hear(p.Accepted())
    handshake.hear(proof)
    there.run()
    assert there.said.pop() == (2, p.Agreement())
    assert there.turns.guesses.total == 0
    assert there.said.pop() == (p.RELAY, p.RelayFailure(p.Missing.HANDSHAKE, 2))
    handshake.hear(proof)
    handshake.hear(p.Accepted())
    there.run()
    offer.hear(p.Agreement())
    offer.hear(y)
    assert offer.agreed is not None
    offer.post(OfferInput.ACCEPT(offer.agreed))
    here.run()
    assert here.events() == [PeerAgreed(1, THERE)]
    assert here.stats.dropped == {"out of order": 2}
    assert there.stats.dropped == {"out of order": 1}
    (chosen, taken) = (one.told[-1] for one in (here, there))
    assert (chosen.on, taken.on) == (PeerInput.ACCEPT, PeerInput.TAKEN)
    assert (chosen.payload.keys, chosen.payload.identity) == (taken.payload.keys, THERE)
    assert (offer.state, handshake.state) == (OfferState.ACCEPTED, HandshakeState.ENDED)


def test_an_offer_that_cannot_be_read_is_told_so() -> None:
    host = Owner()
    offer = Offer(host, 1)
    offer.begin(p.NewServer(1, bytes(34), THERE))
    host.run()
    assert host.said == [(1, p.SpokeFailure(p.SpokeFault.PUBLIC_PACKET))]
    assert host.events() == [PeerFailed(1, Failure.BAD_PUBLIC, identity=THERE)]
    assert not host.told


@pytest.mark.parametrize("fault", p.SpokeFault)
def test_whatever_fault_the_other_end_names_is_a_failure(fault: p.SpokeFault) -> None:
    """Also those that no end of ours would name."""
    here, there = Owner(), Owner()
    offer, handshake = Offer(here, 1), Handshake(there, 2)
    offer.begin(p.NewServer(1, PUBLIC.encode(), THERE))
    handshake.begin(
        p.XAndClientIdentity(crypto.client_hello(here.client_secret, crypto.scalar(bytes(range(32)))), THERE)
    )
    expected = {
        p.SpokeFault.POINT: Failure.BAD_POINT,
        p.SpokeFault.SERVER_VALIDATOR: Failure.WRONG_PASSWORD,
        p.SpokeFault.CLIENT_VALIDATOR: Failure.WRONG_PASSWORD,
    }
    for host, exchange in ((here, offer), (there, handshake)):
        host.run()
        exchange.hear(p.SpokeFailure(fault))
        host.run()
        failure = expected.get(fault, Failure.BAD_PUBLIC)
        assert host.events() == [PeerFailed(exchange.key, failure, identity=THERE)]


def test_a_client_that_does_not_answer_has_failed() -> None:
    host = Owner()
    handshake = Handshake(host, 2)
    x_point = crypto.client_hello(host.client_secret, crypto.scalar(bytes(range(32))))
    handshake.begin(p.XAndClientIdentity(x_point, THERE))
    host.run()
    host.fire(handshake, HandshakeTimer.ANSWER)
    assert host.events() == [PeerFailed(2, Failure.SILENT, identity=THERE)]
    assert host.told[-1] == ("forget_exchange", 2)


def test_the_way_tries_every_address() -> None:
    host = Owner()
    way = Way(host, Address("relay.example", 9000), 9001)
    way.post(PeerInput.START())
    way.post(PeerInput.LOOKED_UP((Address("192.0.2.8", 9000), Address("192.0.2.9", 9000))))
    way.post(PeerInput.UNREACHABLE("refused"))
    way.post(PeerInput.OPENED(SimpleNamespace(key=2)))
    way.post(PeerInput.IDENTITY(Heard(p.RELAY, p.ClientIdentity("192.0.2.1:1"))))
    host.run()
    assert [str(address) for _, address in host.told[1:3]] == ["192.0.2.8:9000", "192.0.2.9:9000"]
    assert host.events() == [Registered("192.0.2.1:1")]
    host.fire(way, PeerTimer.WAITING)
    assert host.told[-1] == ("close_gracefully", Closed(CloseCause.TIMEOUT, detail="nobody came to an agreement"))
    assert way.state is PeerState.ENDED
    assert not host.armed
