"""The secrets of a node: cookies, handshakes that wait, and keys of sessions. docs/protocols/tox.rst, the handshake."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Any, Final, NamedTuple, Protocol

import attrs

from ..component import Host, Part
from ..contract import Instant
from ..recovery import Call, MadeInit, MadeReply, Reply
from ..snapshot import CACHED, MEMO
from . import crypto
from . import packets as p
from .limits import NodeDelays, NodeLimits

_NUMBER: Final = 8
_INSTANCE: Final = 8
_UNUSED: Final = bytes(32)


@attrs.frozen
class Draft:
    """Our side of all sessions with a friend that are begun until one of them is in use: whichever of its handshakes
    and of ours come through, both ends then agree on the same key."""

    own: crypto.KeyPair
    base_nonce: bytes


@attrs.frozen
class Attempt:
    """A packet of ours that may still be answered: a CookieRequest, or a Handshake."""

    peer: bytes
    number: bytes
    """Of the CookieRequest; empty: it is a Handshake."""
    draft: Draft


@attrs.frozen
class Agreed:
    """What both ends know behind a handshake."""

    friend: bytes
    key: bytes = attrs.field(repr=False)
    draft: Draft
    """Our side."""
    peer_key: bytes
    dht_key: bytes
    """The DHT key that the friend has now."""
    peer_base_nonce: bytes
    """Of the friend's first packet."""
    handshake: bytes = attrs.field(repr=False)
    """Ours, if we began: it is sent again until data comes."""
    was_sent: bool
    """It was sent before."""


class Shaken(NamedTuple):
    """A Handshake of a friend that was opened."""

    packet: p.Handshake
    cookie: p.CookieBody
    body: p.HandshakeBody

    @property
    def friend(self) -> bytes:
        """The friend's real key."""
        return self.cookie.real_key

    @property
    def name(self) -> bytes:
        """What names this handshake: others with the same key of the friend are copies of it."""
        return self.cookie.real_key + self.body.session_key


class KeyringHost(Host[Any], Protocol):
    """What the keyring asks of its node."""

    delays: NodeDelays
    limits: NodeLimits

    def dht_key_of(self, friend: bytes) -> bytes: ...


class Keyring(Part[KeyringHost]):
    """All that is made and opened with the long-lived keys."""

    cookie_key: bytes
    drafts: dict[bytes, Draft]
    """By the friend's real key."""
    attempts: dict[bytes, Attempt]
    """By the session id that the recovery core gave."""
    seen: OrderedDict[bytes, Instant]
    """Handshakes that were acted upon, by the friend's real key and a hash, while their cookies may live."""
    shared: Annotated[OrderedDict[tuple[bytes, bytes], bytes], MEMO]
    """Keys that were agreed on, by our public key and the other one."""
    real: Annotated[crypto.KeyPair, CACHED]
    dht: Annotated[crypto.KeyPair, CACHED]

    def __init__(self, host: KeyringHost, real: crypto.KeyPair, dht: crypto.KeyPair) -> None:
        super().__init__(host)
        self.real, self.dht = real, dht
        self.cookie_key = host.draw(p.KEY_SIZE, "tox.cookie_key")
        self.drafts, self.attempts, self.seen, self.shared = {}, {}, OrderedDict(), OrderedDict()

    # -- cookies

    def read_request(self, packet: p.CookieRequest) -> p.CookieRequestBody:
        """Raises WireError (``BAD_POINT``, ``BAD_MAC``)."""
        return crypto.open_body(p.CookieRequestBody, self.agreed(self.dht, packet.dht_key), packet)

    def answer(self, dht_key: bytes, request: p.CookieRequestBody) -> bytes:
        """The answer to a CookieRequest."""
        nonce = self._draw_nonce()
        body = p.CookieResponseBody(self._make_cookie(request.real_key, dht_key), request.number)
        sealed = crypto.seal_body(self.agreed(self.dht, dht_key), nonce, body)
        return p.DATAGRAM.encode(p.CookieResponse(nonce, sealed))

    def read_response(self, dht_key: bytes, packet: p.CookieResponse) -> p.CookieResponseBody:
        """Raises WireError (``BAD_MAC``)."""
        return crypto.open_body(p.CookieResponseBody, self.agreed(self.dht, dht_key), packet)

    def open_cookie(self, packet: p.Handshake) -> p.CookieBody:
        """Raises WireError (``BAD_MAC``) for a cookie that is not ours."""
        return crypto.open_cookie(self.cookie_key, packet.cookie)

    def is_fresh(self, cookie: p.CookieBody) -> bool:
        """Is a cookie of ours still good?"""
        now = int(self.host.wall())
        return cookie.time <= now <= cookie.time + int(self.host.delays.cookie)

    # -- handshakes

    def open_handshake(self, packet: p.Handshake, cookie: p.CookieBody) -> Shaken:
        """Raises WireError (``BAD_MAC``, ``BAD_CHECKSUM``, ``BAD_POINT``)."""
        return Shaken(packet, cookie, crypto.open_handshake(self.agreed(self.real, cookie.real_key), packet))

    def is_seen(self, shaken: Shaken) -> bool:
        """Was just this packet acted upon before?"""
        return self._hash(shaken) in self.seen

    def note_seen(self, shaken: Shaken) -> None:
        """Who makes too many has its own forgotten: copies of others' would count again."""
        self.forget_old()
        seen = self.seen
        if len(seen) >= self.host.limits.seen:
            own = (name for name in seen if name.startswith(shaken.friend))
            del seen[next(own, next(iter(seen)))]
        seen[self._hash(shaken)] = self.host.clock + self.host.delays.cookie + 1.0

    def forget_old(self) -> None:
        """Handshakes whose cookies are dead need not be told from new ones."""
        seen, now = self.seen, self.host.clock
        while seen and next(iter(seen.values())) < now:
            seen.popitem(last=False)

    def make_init(self, call: Call) -> MadeInit:
        """A CookieRequest, or with a cookie a Handshake."""
        if not call.token:
            number = self.host.draw(_NUMBER, f"tox.number.{call.sid.hex()}")
            nonce, dht_key = self._draw_nonce(), self._dht_key_of(call)
            body = p.CookieRequestBody(self.real.public, _UNUSED, number)
            sealed = crypto.seal_body(self.agreed(self.dht, dht_key), nonce, body)
            data = p.DATAGRAM.encode(p.CookieRequest(self.dht.public, nonce, sealed))
            self.attempts[call.sid] = Attempt(call.peer, number, self._keep_draft(call))
            return MadeInit(number, data)
        draft = self._keep_draft(call)
        data = self._make_handshake(call.peer, self._dht_key_of(call), call.token, draft)
        self.attempts[call.sid] = Attempt(call.peer, b"", draft)
        return MadeInit(crypto.sha512(data)[:_NUMBER], data)

    def make_reply(self, shaken: Shaken, sid: bytes) -> MadeReply:
        """Our Handshake that answers one of a friend."""
        friend, other = shaken.friend, shaken.body.other_cookie
        draft = self.drafts.get(friend) or self._new_draft(sid)
        data = self._make_handshake(friend, shaken.cookie.dht_key, other, draft)
        return MadeReply(data, self._agree(shaken, draft, b"", was_sent=True))

    def open_reply(self, sid: bytes, shaken: Shaken) -> Reply:
        """A Handshake of a friend stands for the answer to our attempt, whoever began. Its cookie is for our own one,
        also if we have sent one before: the friend may have restarted since it gave the cookie for that."""
        attempt = self.attempts[sid]
        data = self._make_handshake(attempt.peer, shaken.cookie.dht_key, shaken.body.other_cookie, attempt.draft)
        agreed = self._agree(shaken, attempt.draft, data, was_sent=not attempt.number)
        return Reply(b"", self.instance_of(shaken), b"", agreed)

    @staticmethod
    def instance_of(shaken: Shaken) -> bytes:
        """What stands for the friend's process: each of its session keys is another one."""
        return shaken.body.session_key[:_INSTANCE]

    def keep_draft(self, friend: bytes, draft: Draft) -> None:
        """What is begun from now on has this key, too."""
        self.drafts[friend] = draft

    def forget_draft(self, friend: bytes, own_key: bytes = b"") -> None:
        """What is begun from now on has another key; with ``own_key``: if that is the one which it would have."""
        draft = self.drafts.get(friend)
        if draft is not None and own_key in (b"", draft.own.public):
            del self.drafts[friend]

    def forget_agreed(self, dht_key: bytes, real_key: bytes) -> None:
        """A session with a friend is in use: no handshake of it is expected for a while."""
        self.shared.pop((self.dht.public, dht_key), None)
        self.shared.pop((self.real.public, real_key), None)

    def erase(self, sid: bytes) -> None:
        self.attempts.pop(sid, None)

    # -- the DHT ping

    def read_ping(self, packet: p.DhtPing) -> p.DhtPingBody:
        """Raises WireError (``BAD_POINT``, ``BAD_MAC``, ``BAD_VALUE`` for the body of an answer)."""
        return crypto.open_body(p.DhtPingBody, self.agreed(self.dht, packet.dht_key), packet)

    def read_pong(self, packet: p.DhtPong) -> p.DhtPongBody:
        """As :meth:`read_ping`."""
        return crypto.open_body(p.DhtPongBody, self.agreed(self.dht, packet.dht_key), packet)

    def make_ping(self, dht_key: bytes) -> tuple[bytes, bytes]:
        """A ping, and its number."""
        number, nonce = self.host.draw(_NUMBER, "tox.ping"), self._draw_nonce()
        sealed = crypto.seal_body(self.agreed(self.dht, dht_key), nonce, p.DhtPingBody(number))
        return p.DATAGRAM.encode(p.DhtPing(self.dht.public, nonce, sealed)), number

    def make_pong(self, dht_key: bytes, number: bytes) -> bytes:
        """The answer to a ping."""
        nonce = self._draw_nonce()
        sealed = crypto.seal_body(self.agreed(self.dht, dht_key), nonce, p.DhtPongBody(number))
        return p.DATAGRAM.encode(p.DhtPong(self.dht.public, nonce, sealed))

    # -- inside

    def agreed(self, own: crypto.KeyPair, public: bytes) -> bytes:
        """What one of our long-lived keys and another key agree on: remembered. Raises WireError (``BAD_POINT``)."""
        name, shared = (own.public, public), self.shared
        found = shared.get(name)
        if found is None:
            found = crypto.agree(own.secret, public)
            if len(shared) >= self.host.limits.keys + 2 * self.host.limits.friends:
                shared.popitem(last=False)
            shared[name] = found
        return found

    def _hash(self, shaken: Shaken) -> bytes:
        return shaken.friend + shaken.packet.sealed[: p.MAC_SIZE] + shaken.packet.nonce

    def _dht_key_of(self, call: Call) -> bytes:
        return self.host.dht_key_of(call.peer)

    def _keep_draft(self, call: Call) -> Draft:
        draft = self.drafts.get(call.peer)
        if draft is None:
            draft = self.drafts[call.peer] = self._new_draft(call.sid)
        return draft

    def _new_draft(self, sid: bytes) -> Draft:
        secret = self.host.draw(p.KEY_SIZE, f"tox.session_key.{sid.hex()}")
        return Draft(crypto.KeyPair.of(secret), self.host.draw(p.NONCE_SIZE, f"tox.base_nonce.{sid.hex()}"))

    def _draw_nonce(self) -> bytes:
        return self.host.draw(p.NONCE_SIZE, "tox.nonce")

    def _make_cookie(self, real_key: bytes, dht_key: bytes) -> bytes:
        return crypto.make_cookie(self.cookie_key, self._draw_nonce(), int(self.host.wall()), real_key, dht_key)

    def _make_handshake(self, friend: bytes, dht_key: bytes, cookie: bytes, draft: Draft) -> bytes:
        key, other = self.agreed(self.real, friend), self._make_cookie(friend, dht_key)
        nonce = self._draw_nonce()
        packet = crypto.make_handshake(key, nonce, cookie, draft.base_nonce, draft.own.public, other)
        return p.DATAGRAM.encode(packet)

    def _agree(self, shaken: Shaken, draft: Draft, handshake: bytes, *, was_sent: bool) -> Agreed:
        """Raises WireError (``BAD_POINT``)."""
        body = shaken.body
        return Agreed(
            friend=shaken.friend,
            key=crypto.agree(draft.own.secret, body.session_key),
            draft=draft,
            peer_key=body.session_key,
            dht_key=shaken.cookie.dht_key,
            peer_base_nonce=body.base_nonce,
            handshake=handshake,
            was_sent=was_sent,
        )
