"""The server: the peer that sends a file. docs/protocols/bob.rst, the server."""

from __future__ import annotations

from typing import Annotated

import attrs

from ..contract import Entropy
from ..errors import WireError
from ..old_machine import Machine
from ..snapshot import CACHED
from ..trace import Trace
from . import crypto
from . import packets as p
from .events import Failure, PeerAgreed, PeerFailed
from .limits import PeerDelays, PeerLimits
from .peer import Agreed, Exchange, Peer
from .tables import HANDSHAKE
from .tables.peer import HandshakeInput, HandshakeState, PeerInput

_OWN = 0  # the queue's name for our own derivation


@attrs.define(eq=False, weakref_slot=False)
class Handshake:
    """What a server knows of one client."""

    key: int  # the client's uid
    identity: str  # as the client says: a relay should have compared it
    x_point: bytes
    state: HandshakeState = HandshakeState.NEW
    expected: bytes = attrs.field(default=b"", repr=False)
    keys: crypto.SharedKeys | None = attrs.field(default=None, repr=False)


class Server(Peer):
    """Announces itself at a relay, answers clients, and sends to the one that accepts it.

    ``relay`` is (host, port), the host a name or an IP address. ``count`` is the number of rounds of the password
    derivation, 1 to 10**6; every client computes them, too. ``entropy`` is drawn on for a salt of 16 bytes
    (``salt``) and a scalar of 32 bytes per client (``offer.<uid>.y``). With ``client_cipher`` AES_256_GCM the client
    can send as well; the default is what the reference offers.
    """

    _exchanges: dict[int, Handshake]
    _public: p.PublicParameters | None
    _secret: crypto.ServerSecret | None
    _count: Annotated[int, CACHED]
    _client_cipher: Annotated[p.Cipher, CACHED]

    _exchange = Machine(HANDSHAKE, objects="_exchanges")
    _abandon = HandshakeInput.ABANDON
    _called = HandshakeInput.ANSWER

    def __init__(
        self,
        *,
        relay: tuple[str, int],
        secure_port: int,
        password: bytes,
        entropy: Entropy,
        count: int = 16,
        client_cipher: p.Cipher = p.Cipher.CHACHA20_POLY1305,
        limits: PeerLimits | None = None,
        delays: PeerDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(
            relay=relay,
            secure_port=secure_port,
            password=password,
            entropy=entropy,
            limits=limits,
            delays=delays,
            trace=trace,
        )
        if not 1 <= count <= crypto.MAX_ITERATIONS:
            raise ValueError(f"count is not in 1..{crypto.MAX_ITERATIONS}")
        self._public = None
        self._secret = None
        self._count = count
        self._client_cipher = client_cipher

    # -- packets

    def _role_packet(self, uid: int, packet: p.BobPacket) -> None:
        handshake = self._exchanges.get(uid)
        match packet:
            case p.ServerIdentity() if uid == p.RELAY:
                self._post(self._way, self, PeerInput.IDENTITY, packet.identity)
            case p.XAndClientIdentity() if uid != p.RELAY and self.identity:
                self._meet(uid, packet)
            case p.ClientValidator():
                if handshake is None:
                    self._say(p.RELAY, p.RelayFailure(p.Missing.CLIENT, uid))
                else:
                    self._judge_proof(handshake, packet.validator)
            case p.Accepted():
                if handshake is None:
                    self._say(p.RELAY, p.RelayFailure(p.Missing.HANDSHAKE, uid))
                else:
                    self._post(self._exchange, handshake, HandshakeInput.ACCEPTED)
            case p.Refused() if handshake is not None:
                self._post(self._exchange, handshake, HandshakeInput.REFUSED)
            case p.SpokeFailure() if handshake is not None:
                self._post(self._exchange, handshake, HandshakeInput.FAILED, packet.fault)
            case _:
                self._drop("unexpected packet")

    def _meet(self, uid: int, packet: p.XAndClientIdentity) -> None:
        if uid in self._exchanges:
            self._drop("out of order")
            return
        handshake = self._exchanges[uid] = Handshake(uid, packet.identity, packet.x_point)
        self._post(self._exchange, handshake, "x")

    def _judge_proof(self, handshake: Handshake, validator: bytes) -> None:
        outcome = None
        try:
            crypto.server_check(handshake.expected, validator)
        except WireError as error:
            outcome = error
        self._post(self._exchange, handshake, "proof", outcome)

    def _peer_gone(self, uid: int) -> None:
        handshake = self._exchanges.get(uid)
        if handshake is not None:
            self._post(self._exchange, handshake, HandshakeInput.GONE)

    def derived(self, uid: int, material: bytes) -> None:
        self._secret = crypto.ServerSecret.from_derived(material)
        self._post(self._way, self, "start")

    # -- the tables' checks and actions

    def _way_is_unprepared(self, _: object, __: object) -> bool:
        return self._secret is None

    def _way_derive(self, _: object, __: object) -> None:
        salt = self.draw(16, "salt")
        self._public = p.PublicParameters(1, self._count, p.Cipher.AES_256_GCM, self._client_cipher, salt)
        self._put_in_queue(_OWN, salt, self._count)

    def _way_send_hello(self, _: object, __: object) -> None:
        assert self._public is not None
        self._say(p.RELAY, p.HelloAsServer(self._public.encode()))

    def _record_keys(self, agreed: Agreed) -> tuple[crypto.RecordKey | None, crypto.RecordKey | None]:
        ours = agreed.public.client_cipher is p.Cipher.AES_256_GCM
        receive = crypto.RecordKey.from_shared(agreed.keys.server) if ours else None
        return crypto.RecordKey.from_shared(agreed.keys.client), receive

    def _exchange_is_last_guess(self, _: Handshake, __: object) -> bool:
        return self.turns.guesses.total >= self._limits.guesses

    def _exchange_is_excessive(self, exchange: Exchange, _: object) -> bool:
        """Of its kind, or of those who wait for their turn."""
        if super()._exchange_is_excessive(exchange, None):
            return True
        return self.turns.is_busy() and self.turns.is_full(exchange.identity)

    def _exchange_is_bad_proof(self, handshake: Handshake, outcome: object) -> bool:
        return outcome is not None and handshake.state is HandshakeState.ANSWERED

    def _exchange_answer(self, handshake: Handshake, _: object) -> None:
        """Send Y. From here on this exchange is a guess at the password, until the client proves that it was right.

        So is a bad point: how long it takes to refuse one depends on the password.
        """
        assert self._secret is not None
        self.turns.guesses.count(handshake.key)
        y = crypto.scalar(self.draw(32, f"offer.{handshake.key:04x}.y"))
        identities = handshake.identity.encode(), self.identity.encode()
        try:
            reply = crypto.server_reply(self._secret, y, handshake.x_point, *identities)
        except WireError as error:
            self._post(self._exchange, handshake, HandshakeInput.BAD_POINT, error)
            return
        handshake.expected, handshake.keys = reply.expected, reply.keys
        self._say(handshake.key, p.YAndServerValidator(reply.y_point, reply.validator))

    def _exchange_clear_guess(self, handshake: Handshake, _: object) -> None:
        self.turns.guesses.clear(handshake.key)

    def _exchange_send_agreement(self, handshake: Handshake, _: object) -> None:
        self._say(handshake.key, p.Agreement())

    def _exchange_fail_point(self, handshake: Handshake, _: object) -> None:
        self._say(handshake.key, p.SpokeFailure(p.SpokeFault.POINT))

    def _exchange_fail_proof(self, handshake: Handshake, _: object) -> None:
        self._say(handshake.key, p.SpokeFailure(p.SpokeFault.CLIENT_VALIDATOR))

    def _exchange_tell_agreed(self, handshake: Handshake, _: object) -> None:
        self._emit(PeerAgreed(handshake.key, handshake.identity))

    def _exchange_tell_refused(self, handshake: Handshake, _: object) -> None:
        self._emit(PeerFailed(handshake.key, Failure.REFUSED, identity=handshake.identity))

    def _exchange_take(self, handshake: Handshake, _: object) -> None:
        assert handshake.keys is not None and self._public is not None
        agreed = Agreed(handshake.key, handshake.identity, handshake.keys, self._public)
        self._post(self._way, self, PeerInput.TAKEN, agreed)
