"""A peer: it calls gateways and other peers. docs/protocols/freenet.rst, roles."""

from __future__ import annotations

from ..component import Refusal
from ..contract import Path
from ..errors import LocalProtocolError
from ..rates import keep_newest
from .call import Call, CallInput
from .crypto import is_key
from .endpoint import FreenetEndpoint
from .place import where_of

NO_PLACE = Refusal("too many addresses", ref="calling")


class FreenetPeer(FreenetEndpoint):
    """Calls gateways and peers whose public keys it knows. Only peers that it calls or expects can call it.

    ``private_key`` is its static X25519 key, 32 bytes. ``version`` is the version that it announces.

    Verbs: ``connect``, ``expect``, ``send``, ``end_session``, ``disconnect``, ``close``. Queries: ``public_key``,
    ``sessions``, ``undelivered``.
    """

    def connect(self, peer: bytes, path: Path, now: float, *, gateway: bool = False) -> bool:
        """Keep a session with the peer at this address that has this static public key. It is made anew when it ends.

        ``Connected`` follows for each session, ``Unreachable`` for each round without an answer. With ``gateway=True``
        the other end does not call us. Another peer may call us at the same time, so that both get through their NATs.
        Returns False if there are too many addresses. Raises LocalProtocolError if the key is not valid, is our own, if
        the host is not numeric, or if this address is called already; NotOpen after ``close``.
        """
        self.ask("connect")
        path = self.path_given("connect", path)
        place = self.place_at(path)
        if not is_key(peer) or peer == self.public_key:
            raise LocalProtocolError("connect", self.phase.name, "not the key of a peer")
        if place is not None and place.call.part is not None:
            raise LocalProtocolError("connect", self.phase.name, "the address is called already")
        self.advance(now)
        if place is None and len(self.places) >= self.limits.sessions:
            self.count_refusal(NO_PLACE)
            return False
        call = self.make_place(path).call.start(Call.begin, peer, gateway)
        call.post(CallInput.START())
        self.run()
        return True

    def disconnect(self, path: Path, now: float) -> None:
        """Stop calling this address, and end the sessions with the peer that was called there. Nothing is sent.

        Nothing happens if the address is not called. Raises LocalProtocolError for a host that is not numeric; NotOpen
        after ``close``.
        """
        self.ask("disconnect")
        place = self.place_at(self.path_given("disconnect", path))
        self.advance(now)
        if place is None or place.call.part is None:
            return
        for number in [number for number, one in place.generations.items() if one.is_caller]:
            self.forget_generation(place, number)
        self.end_call(place)
        self.run()

    def expect(self, path: Path, now: float) -> None:
        """Answer a peer that calls from this address. Over ``FreenetLimits.expected`` addresses, the oldest is
        forgotten.

        Raises LocalProtocolError for a host that is not numeric; NotOpen after ``close``.
        """
        self.ask("expect")
        path = self.path_given("expect", path)
        self.advance(now)
        keep_newest(self.expected, where_of(path), None, self.limits.expected)

    def is_welcome(self, path: Path) -> bool:
        """Only from where somebody is called, or expected."""
        place = self.place_at(path)
        call = None if place is None else place.call.part
        return where_of(path) in self.expected or (call is not None and not call.is_gateway)
