"""The client: the peer that receives a file. docs/protocols/bob.rst, the client."""

from __future__ import annotations

from typing import Any

import attrs

from ..errors import Fault, NotOpen, WireError
from ..old_machine import Machine
from . import crypto
from . import packets as p
from .events import PeerAgreed
from .peer import Agreed, Peer
from .tables import OFFER
from .tables.peer import OfferInput, OfferState, PeerInput


@attrs.define(eq=False, weakref_slot=False)
class Offer:
    """What a client knows of one server."""

    key: int  # the server's uid
    identity: str
    public: p.PublicParameters | None
    state: OfferState = OfferState.NEW
    secret: crypto.ClientSecret | None = attrs.field(default=None, repr=False)
    x: bytes = attrs.field(default=b"", repr=False)
    x_point: bytes = b""
    keys: crypto.SharedKeys | None = attrs.field(default=None, repr=False)


class Client(Peer):
    """Waits at a relay for servers that know the password, and receives from the one that is accepted.

    For each server that proves the password there is a ``PeerAgreed`` event; :meth:`accept` goes to the secure room
    with it, after which ``Connected`` and ``DataReceived`` follow. ``relay`` is (host, port), the host a name or an IP
    address; ``entropy`` is drawn on for a scalar of 32 bytes per server (``offer.<uid>.x``).
    """

    _exchanges: dict[int, Offer]

    _exchange = Machine(OFFER, objects="_exchanges")
    _abandon = OfferInput.ABANDON
    _called = OfferInput.ASK

    @property
    def mismatched(self) -> frozenset[int]:
        """The uids of the servers that have another password and have not left: at most as many as ``guesses``."""
        return frozenset(self.turns.guesses.mismatched)

    # -- verbs

    def accept(self, uid: int, now: float) -> None:
        """Go on with this peer: ``Connected`` follows. Raises LocalProtocolError if one was accepted already,
        NotOpen if this one has not agreed, or no longer."""
        self._way.ask(self, PeerInput.ACCEPT, "accept")
        offer = self._answerable(uid, OfferInput.ACCEPT, "accept")
        self._advance(now)
        assert offer.keys is not None and offer.public is not None  # an agreed offer has both
        self._post(self._exchange, offer, OfferInput.ACCEPT)
        self._post(self._way, self, PeerInput.ACCEPT, Agreed(uid, offer.identity, offer.keys, offer.public))
        self._settle()

    def refuse(self, uid: int, now: float) -> None:
        """Say no to this peer and stay at the relay. Raises LocalProtocolError if it was accepted, NotOpen as
        ``accept`` does."""
        offer = self._answerable(uid, OfferInput.REFUSE, "refuse")
        self._advance(now)
        self._post(self._exchange, offer, OfferInput.REFUSE)
        self._settle()

    def _answerable(self, uid: int, on: OfferInput, verb: str) -> Offer:
        offer = self._exchanges.get(uid)
        if offer is None:
            raise NotOpen(verb, f"without peer {uid:04x}")
        self._exchange.ask(offer, on, verb)
        return offer

    # -- packets

    def _role_packet(self, uid: int, packet: p.BobPacket) -> None:
        offer = self._exchanges.get(uid)
        match packet:
            case p.ClientIdentity() if uid == p.RELAY:
                self._post(self._way, self, PeerInput.IDENTITY, packet.identity)
            case p.NewServer() if uid == p.RELAY and self.identity:
                self._meet(packet)
            case p.YAndServerValidator():
                if offer is None:
                    self._say(p.RELAY, p.RelayFailure(p.Missing.SERVER, uid))
                else:
                    self._judge_reply(offer, packet)
            case p.Agreement():
                if offer is None:
                    self._say(p.RELAY, p.RelayFailure(p.Missing.HANDSHAKE, uid))
                else:
                    self._post(self._exchange, offer, OfferInput.AGREEMENT)
            case p.SpokeFailure() if offer is not None:
                self._post(self._exchange, offer, OfferInput.FAILED, packet.fault)
            case _:
                self._drop("unexpected packet")

    def _meet(self, packet: p.NewServer) -> None:
        try:
            public = p.PublicParameters.decode(packet.public)
        except WireError:
            public = None
        known = self._exchanges.get(packet.uid)
        if known is not None and public is not None and known.public == public:
            self._drop("announced again")
            return
        if known is not None:  # it begins anew; whoever was told that it agreed has to know
            over = OfferInput.GONE if known.state is OfferState.AGREED else OfferInput.ABANDON
            self._post(self._exchange, known, over)
            self._settle()
        offer = self._exchanges[packet.uid] = Offer(packet.uid, packet.identity, public)
        self._post(self._exchange, offer, "announcement")

    def _judge_reply(self, offer: Offer, packet: p.YAndServerValidator) -> None:
        if offer.state is not OfferState.ASKED or offer.secret is None:
            self._post(self._exchange, offer, OfferInput.REPLY)  # out of order
            return
        outcome: crypto.ClientFinish | WireError
        try:
            outcome = crypto.client_finish(
                offer.secret,
                offer.x,
                offer.x_point,
                packet.y_point,
                packet.validator,
                self.identity.encode(),
                offer.identity.encode(),
            )
        except WireError as error:
            outcome = error
        self._post(self._exchange, offer, "reply", outcome)

    def _peer_gone(self, uid: int) -> None:
        offer = self._exchanges.get(uid)
        if offer is not None:
            self._post(self._exchange, offer, OfferInput.GONE)

    def derived(self, uid: int, material: bytes) -> None:
        offer = self._exchanges[uid]
        offer.secret = crypto.ClientSecret.from_derived(material)
        self._post(self._exchange, offer, "derived")

    # -- the table's checks and actions

    def _way_derive(self, _: object, __: object) -> None:
        """What a client derives depends on the server."""

    def _way_send_hello(self, _: object, __: object) -> None:
        self._say(p.RELAY, p.HelloAsClient())

    def _record_keys(self, agreed: Agreed) -> tuple[crypto.RecordKey | None, crypto.RecordKey | None]:
        ours = agreed.public.client_cipher is p.Cipher.AES_256_GCM
        send = crypto.RecordKey.from_shared(agreed.keys.server) if ours else None
        return send, crypto.RecordKey.from_shared(agreed.keys.client)

    def _exchange_is_unreadable(self, offer: Offer, _: object) -> bool:
        return offer.public is None

    def _exchange_is_last_bad_reply(self, _: Offer, outcome: object) -> bool:
        return isinstance(outcome, WireError) and self.turns.guesses.total + 1 >= self._limits.guesses

    def _exchange_is_bad_reply(self, _: Offer, outcome: object) -> bool:
        return isinstance(outcome, WireError)

    def _exchange_derive(self, offer: Offer, _: object) -> None:
        assert offer.public is not None  # the rung before made sure
        self._put_in_queue(offer.key, offer.public.salt, offer.public.count)

    def _exchange_send_x(self, offer: Offer, _: object) -> None:
        assert offer.secret is not None
        offer.x = crypto.scalar(self.draw(32, f"offer.{offer.key:04x}.x"))
        offer.x_point = crypto.client_hello(offer.secret, offer.x)
        self._say(offer.key, p.XAndClientIdentity(offer.x_point, self.identity))

    def _exchange_send_proof(self, offer: Offer, outcome: Any) -> None:
        offer.keys = outcome.keys
        self._say(offer.key, p.ClientValidator(outcome.validator))

    def _exchange_send_refused(self, offer: Offer, _: object) -> None:
        self._say(offer.key, p.Refused())

    def _exchange_fail_public(self, offer: Offer, _: object) -> None:
        self._say(offer.key, p.SpokeFailure(p.SpokeFault.PUBLIC_PACKET))

    def _exchange_fail_reply(self, offer: Offer, outcome: Any) -> None:
        bad_point = outcome.fault is Fault.BAD_POINT
        self._say(offer.key, p.SpokeFailure(p.SpokeFault.POINT if bad_point else p.SpokeFault.SERVER_VALIDATOR))

    def _exchange_count_guess(self, offer: Offer, outcome: Any) -> None:
        self.turns.guesses.count(offer.key)
        if outcome.fault is not Fault.BAD_POINT:
            self.turns.guesses.mismatched.add(offer.key)

    def _exchange_tell_agreed(self, offer: Offer, _: object) -> None:
        self._emit(PeerAgreed(offer.key, offer.identity))

    def _exchange_leave_partner(self, _: Offer, __: object) -> None:
        self._post(self._way, self, PeerInput.PARTNER_GONE)
