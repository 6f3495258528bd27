"""The client: the peer that receives a file. docs/protocols/bob.rst, the client."""

from __future__ import annotations

from ..errors import NotOpen
from . import crypto
from . import packets as p
from .events import Role
from .host import Heard
from .offer import AGAIN, Offer, OfferInput
from .peer import Peer
from .way import TO_A_CLIENT, Agreed, PeerInput


class Client(Peer[Offer]):
    """Waits at a relay for servers that know the password, and receives from the one that the application accepts.

    Each server that proves the password causes a ``PeerAgreed``. :meth:`accept` goes to the secure room with it; then
    ``Connected`` and ``DataReceived`` follow. ``relay`` is (host, port), the host a name or an IP
    address; ``entropy`` is drawn on for a scalar of 32 bytes per server (``offer.<uid>.x``).

    Verbs: ``connect``, ``accept``, ``refuse``, ``send``, ``close``. Queries: ``identity``, ``state``,
    ``mismatched``, ``capacity``, ``unsent``.
    """

    role, meanings = Role.CLIENT, TO_A_CLIENT

    def make_exchange(self, uid: int) -> Offer:
        return Offer(self, uid)

    # -- queries

    @property
    def mismatched(self) -> frozenset[int]:
        """The uids of servers that proved to have another password, and have not left. At most ``guesses`` of them."""
        return frozenset(self.turns.guesses.mismatched)

    # -- verbs

    def accept(self, uid: int, now: float) -> None:
        """Accept this peer: ``Connected`` follows. Raises LocalProtocolError if another peer was accepted already,
        NotOpen if this peer has not agreed, or has left."""
        chosen = self.way.asked(PeerInput.CHOOSE())
        self.ask("accept", chosen)
        offer, agreed = self._agreed(uid, "accept")
        self.verb("accept", now, chosen, offer.asked(OfferInput.ACCEPT(agreed)))

    def refuse(self, uid: int, now: float) -> None:
        """Refuse this peer, and stay at the relay. Raises LocalProtocolError if this peer was accepted, NotOpen as
        ``accept`` does."""
        offer, _ = self._agreed(uid, "refuse")
        self.verb("refuse", now, offer.asked(OfferInput.REFUSE()))

    def _agreed(self, uid: int, verb: str) -> tuple[Offer, Agreed]:
        offer = self.exchanges.get(uid)
        if offer is None or offer.agreed is None:
            raise NotOpen(verb, f"without the agreement of peer {uid:04x}")
        return offer, offer.agreed

    # -- what the way, offers and the queue of derivations ask

    def prepare(self) -> None:
        self.way.post(PeerInput.START())

    def send_hello(self) -> None:
        self.say(p.RELAY, p.HelloAsClient())

    def meet(self, heard: Heard[p.NewServer]) -> None:
        known = self.exchanges.get(heard.packet.uid)
        if known is None:
            self.begin_offer(heard.packet)
        else:
            known.take(AGAIN, heard.packet)

    def begin_offer(self, packet: p.NewServer) -> None:
        self.exchanges.make(packet.uid).begin(packet)

    def derived(self, uid: int, material: bytes) -> None:
        self.exchanges[uid].post(OfferInput.DERIVED(crypto.ClientSecret.from_derived(material)))
