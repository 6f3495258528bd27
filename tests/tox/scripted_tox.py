"""Scripted friends of a node of Tox: they have keys of their own, say what a script says, and open what they hear."""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple

from scripted import Party, ScriptedPeer

from sansproto.contract import Path
from sansproto.errors import WireError
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.tox import crypto, payloads
from sansproto.tox import packets as p
from sansproto.tox.crypto import KeyPair
from sansproto.tox.node import ToxNode

REAL, DHT = (KeyPair.of(bytes([number]) * 32) for number in (1, 101))
AT_US, AT_B, AT_C, ELSEWHERE = (
    Path("udp", host, 33445) for host in ("192.0.2.10", "198.51.100.20", "203.0.113.30", "198.51.100.99")
)
ONLINE, OFFLINE, ALIVE, REQUEST, KILL = b"\x18", b"\x19", b"\x10", b"\x01", b"\x02"
NONCES: Final = 1 << 192


class Heard(NamedTuple):
    """What was in a Data packet of the node."""

    start: int
    number: int
    payload: bytes


class Keys(NamedTuple):
    """One side of a session."""

    pair: KeyPair
    base_nonce: bytes


def keys(name: str) -> Keys:
    entropy = ScriptedEntropy(seed=name.encode())
    return Keys(KeyPair.of(entropy(32, purpose="secret")), entropy(24, purpose="nonce"))


BODIES: Any = {
    p.CookieRequest: p.CookieRequestBody,
    p.CookieResponse: p.CookieResponseBody,
    p.DhtPing: p.DhtPingBody,
    p.DhtPong: p.DhtPongBody,
}
"""What is sealed in a packet outside of sessions."""


class Friend(Party):
    """A friend of the node, at a path."""

    def __init__(self, peer: NodePeer, number: int = 2, path: Path = AT_B, dht: int = 0) -> None:
        super().__init__(peer, path)
        self.real, self.dht = KeyPair.of(bytes([number]) * 32), KeyPair.of(bytes([dht or number + 100]) * 32)
        self.cookie_key = bytes([number]) * 32
        self.entropy = ScriptedEntropy(seed=b"friend %d" % number)
        self.begin("first")

    def begin(self, name: str) -> None:
        """Another session, or another process."""
        self.keys = keys(f"{name} {self.real.public.hex()[:4]}")
        self.shared, self.us = b"", b""
        self.receive_nonce = 0
        self.sent = 0  # packets
        self.number = 0  # of the next lossless packet
        self.start = 0  # the lossless packet that is awaited

    def nonce(self) -> bytes:
        return self.entropy(24, purpose="nonce")

    # -- what it makes

    @property
    def between_dht(self) -> bytes:
        return crypto.agree(self.dht.secret, DHT.public)

    @property
    def between_real(self) -> bytes:
        return crypto.agree(self.real.secret, REAL.public)

    def sealed(self, kind: Any, nonce: bytes, body: Any, to: bytes = DHT.public) -> bytes:
        """A packet outside of sessions."""
        box = crypto.seal_body(crypto.agree(self.dht.secret, to), nonce, body)
        sender = () if kind is p.CookieResponse else (self.dht.public,)
        return bytes(p.DATAGRAM.encode(kind(*sender, nonce, box)))

    def request(self, number: bytes = b"number 1", to: bytes = DHT.public) -> bytes:
        return self.sealed(p.CookieRequest, self.nonce(), p.CookieRequestBody(self.real.public, bytes(32), number), to)

    def cookie(self, time: int = 0) -> bytes:
        return crypto.make_cookie(self.cookie_key, self.nonce(), time, REAL.public, DHT.public)

    def response(self, number: bytes) -> bytes:
        return self.sealed(p.CookieResponse, self.nonce(), p.CookieResponseBody(self.cookie(), number))

    def ping(self, number: bytes) -> bytes:
        return self.sealed(p.DhtPing, self.nonce(), p.DhtPingBody(number))

    def pong(self, number: bytes, kind: Any = p.DhtPong) -> bytes:
        return self.sealed(kind, self.nonce(), p.DhtPongBody(number))

    def handshake(self, cookie: bytes) -> bytes:
        packet = crypto.make_handshake(
            self.between_real, self.nonce(), cookie, self.keys.base_nonce, self.keys.pair.public, self.cookie()
        )
        return p.DATAGRAM.encode(packet)

    def data(self, payload: bytes, *, number: int | None = None, start: int | None = None, skip: int = 0) -> bytes:
        """A packet of the session; ``skip`` so many nonces."""
        self.sent += skip
        base = int.from_bytes(self.keys.base_nonce, "big")
        nonce = ((base + self.sent) % NONCES).to_bytes(24, "big")
        self.sent += 1
        start = self.start if start is None else start
        clear = payloads.write(start % (1 << 32), (self.number if number is None else number) % (1 << 32), payload)
        return crypto.seal_data(self.shared, nonce, clear)

    def lossless(self, payload: bytes, **more: Any) -> bytes:
        """With the next number."""
        made = self.data(payload, **more)
        self.number += 1
        return made

    # -- what it hears

    def take(self) -> list[Any]:
        """What came since the last time, opened; None for what does not open."""
        return [self.opened(one) for one in super().take()]

    def opened(self, data: bytes) -> Any:
        try:
            return self.read(data)
        except WireError:
            return None

    def read(self, data: bytes) -> Any:
        packet = p.DATAGRAM.decode(data)
        if type(packet) in BODIES:
            return crypto.open_body(BODIES[type(packet)], self.between_dht, packet)
        if isinstance(packet, p.Handshake):
            return crypto.open_handshake(self.between_real, packet)
        return self.read_data(packet)

    def read_data(self, packet: p.Data) -> Heard | None:
        """None: not of the session in use."""
        distance = (packet.tail - self.receive_nonce) % (1 << 16)
        nonce = ((self.receive_nonce + distance) % NONCES).to_bytes(24, "big")
        try:
            return Heard(*payloads.read(crypto.open_sealed(self.shared, nonce, packet.sealed)))
        except WireError:
            return None

    def heard(self) -> list[bytes]:
        """The payloads of what came since the last time."""
        return [one.payload for one in self.take() if isinstance(one, Heard)]

    # -- what it does

    def say(self, *packets: bytes, path: Path | None = None) -> None:
        for data in packets:
            self.peer.give(path or self.at, data)

    def adopt(self, body: p.HandshakeBody) -> None:
        """Agree on the keys of a session."""
        self.shared, self.us = crypto.agree(self.keys.pair.secret, body.session_key), body.session_key
        self.receive_nonce = int.from_bytes(body.base_nonce, "big")

    def ask_cookie(self) -> bytes:
        """A cookie of the node."""
        self.take()
        self.say(self.request())
        (cookie,) = [one.cookie for one in self.take() if isinstance(one, p.CookieResponseBody)]
        return bytes(cookie)

    def shake(self) -> bytes:
        """Begin a session, up to the node's answer; our handshake."""
        made = self.handshake(self.ask_cookie())
        self.say(made)
        self.adopt(next(one for one in self.take() if isinstance(one, p.HandshakeBody)))
        return made

    def call(self) -> None:
        """Begin a session, and come online in it."""
        self.shake()
        self.come_online()

    def come_online(self) -> None:
        self.say(self.lossless(ONLINE))
        self.start += len([one for one in self.take() if isinstance(one, Heard) and one.payload[0] >= 16])
        self.say(self.data(REQUEST))

    def answer_request(self) -> None:
        """The node calls: give it a cookie."""
        (asked,) = [one for one in self.take() if isinstance(one, p.CookieRequestBody)][-1:]
        self.say(self.response(asked.number))

    def answer_handshake(self) -> None:
        """The node's handshake is there: agree on it, and answer it."""
        (body,) = [one for one in self.take() if isinstance(one, p.HandshakeBody)][-1:]
        self.adopt(body)
        self.say(self.handshake(body.other_cookie))

    def be_called(self) -> None:
        """The node has a session with us, and we come online in it."""
        self.answer_request()
        self.answer_handshake()
        assert [one.payload for one in self.take() if isinstance(one, Heard)] == [REQUEST]
        self.come_online()


class NodePeer(ScriptedPeer):
    """A node, and its friends."""

    kind, role = "tox.tox_node", ToxNode
    arguments: ClassVar[Any] = {"real_key": REAL.secret, "dht_key": DHT.secret}
    usual: ClassVar[Any] = {}  # also where it is the client of a relay, too

    def befriend(self, number: int = 2, path: Path = AT_B, *, at: Path | None = None, dht: int = 0) -> Friend:
        """A friend that the node knows. ``at``: where it looks for it, if at all."""
        friend = Friend(self, number, path, dht)
        self.add_friend(friend.real.public, friend.dht.public, self.now, path=at)
        self.drain()
        return friend

    def met(self, number: int = 2, path: Path = AT_B) -> Friend:
        """A friend that has called and is online. (The second sign of life goes to number 2 after half the time, to
        number 3 after all of it: their keys differ.)"""
        friend = self.befriend(number, path)
        friend.call()
        self.take()
        return friend
