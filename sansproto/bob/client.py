"""The client: the peer that receives a file. docs/protocols/bob.rst, the client."""

from __future__ import annotations

from ..errors import NotOpen, WireError
from . import crypto
from . import packets as p
from .offer import Offer, OfferInput, OfferState
from .peer import Peer
from .way import Agreed, PeerInput


class Client(Peer[Offer]):
    """Waits at a relay for servers that know the password, and receives from the one that is accepted.

    For each server that proves the password there is a ``PeerAgreed`` event; :meth:`accept` goes to the secure room
    with it, after which ``Connected`` and ``DataReceived`` follow. ``relay`` is (host, port), the host a name or an IP
    address; ``entropy`` is drawn on for a scalar of 32 bytes per server (``offer.<uid>.x``).
    """

    def make_exchange(self, uid: int) -> Offer:
        return Offer(self, self, uid)

    @property
    def mismatched(self) -> frozenset[int]:
        """The uids of the servers that have another password and have not left: at most as many as ``guesses``."""
        return frozenset(self.turns.guesses.mismatched)

    # -- verbs

    def accept(self, uid: int, now: float) -> None:
        """Go on with this peer: ``Connected`` follows. Raises LocalProtocolError if one was accepted already,
        NotOpen if this one has not agreed, or no longer."""
        chosen = self.way.asked(PeerInput.CHOOSE())
        self.ask("accept", chosen)
        self.verb("accept", now, chosen, self._answerable(uid, "accept").asked(OfferInput.ACCEPT()))

    def refuse(self, uid: int, now: float) -> None:
        """Say no to this peer and stay at the relay. Raises LocalProtocolError if it was accepted, NotOpen as
        ``accept`` does."""
        self.verb("refuse", now, self._answerable(uid, "refuse").asked(OfferInput.REFUSE()))

    def _answerable(self, uid: int, verb: str) -> Offer:
        offer = self.exchanges.get(uid)
        if offer is None:
            raise NotOpen(verb, f"without peer {uid:04x}")
        return offer

    # -- packets

    def role_packet(self, uid: int, packet: p.BobPacket) -> None:
        offer = self.exchanges.get(uid)
        match packet:
            case p.ClientIdentity() if uid == p.RELAY:
                self.way.post(PeerInput.IDENTITY(packet.identity))
            case p.NewServer() if uid == p.RELAY and self.identity:
                self._meet(packet)
            case p.YAndServerValidator():
                if offer is None:
                    self.say(p.RELAY, p.RelayFailure(p.Missing.SERVER, uid))
                else:
                    offer.judge(packet)
            case p.Agreement():
                if offer is None:
                    self.say(p.RELAY, p.RelayFailure(p.Missing.HANDSHAKE, uid))
                else:
                    offer.post(OfferInput.AGREEMENT())
            case _:
                self.drop("unexpected packet")

    def _meet(self, packet: p.NewServer) -> None:
        try:
            public = p.PublicParameters.decode(packet.public)
        except WireError:
            public = None
        known = self.exchanges.get(packet.uid)
        if known is not None and public is not None and known.public == public:
            self.drop("announced again")
            return
        if known is not None:  # it begins anew; whoever was told that it agreed has to know
            if known.state is OfferState.AGREED:
                known.lose_peer()
            else:
                known.abandon()
            self.run()
        self.exchanges.add(packet.uid, Offer.begin, packet.identity, public)

    # -- what the way, offers and the queue of derivations ask

    @property
    def is_prepared(self) -> bool:
        return True

    def prepare(self) -> None:
        """What a client derives depends on the server."""

    def send_hello(self) -> None:
        self.say(p.RELAY, p.HelloAsClient())

    def derive(self, uid: int, public: p.PublicParameters) -> None:
        self.put_in_queue(uid, public.salt, public.count)

    def derived(self, uid: int, material: bytes) -> None:
        self.exchanges[uid].post(OfferInput.DERIVED(crypto.ClientSecret.from_derived(material)))

    def choose(self, agreed: Agreed) -> None:
        self.way.post(PeerInput.ACCEPT(agreed))

    def lose_partner(self) -> None:
        self.way.post(PeerInput.PARTNER_GONE())

    def record_keys(self, agreed: Agreed) -> tuple[crypto.RecordKey | None, crypto.RecordKey | None]:
        ours = agreed.public.client_cipher is p.Cipher.AES_256_GCM
        send = crypto.RecordKey.from_shared(agreed.keys.server) if ours else None
        return send, crypto.RecordKey.from_shared(agreed.keys.client)
