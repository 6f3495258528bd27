"""A host of the recovery core without cryptography: what is sealed names its key, and only who has the key opens it.

Packets have the sizes of the EGTP profile; their bytes are numbers of what is kept here.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2s
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Never, TypeAlias

import attrs

from sansproto.contract import Entropy, Path, Phase, SendError
from sansproto.endpoint import DatagramEndpoint
from sansproto.errors import Fault, WireError
from sansproto.events import Closed
from sansproto.recovery import (
    Admission,
    Call,
    Challenge,
    CloseReason,
    Delivery,
    Hint,
    Init,
    Kind,
    Knock,
    MadeInit,
    MadeReply,
    Opened,
    PeerRecord,
    Recovery,
    RecoveryConfig,
    RecoveryEvent,
    Reply,
    Route,
    Sealed,
    Visit,
)
from sansproto.snapshot import CACHED
from sansproto.trace import Trace

SIZES: Final = {
    Kind.KEEPALIVE: 42,
    Kind.PING: 42,
    Kind.PONG: 42,
    Kind.CONFIRM: 58,
    Kind.PATH_CHALLENGE: 42,
    Kind.PATH_RESPONSE: 42,
    Kind.CLOSE: 35,
}


def digest(*parts: bytes | str | int) -> bytes:
    """16 bytes that follow from what they are made of."""
    return blake2s(repr(parts).encode(), digest_size=16).digest()


class H1(NamedTuple):
    """An Init. ``bound`` is the token that the sender had when it made the rest."""

    to: bytes
    peer: bytes
    ephemeral: bytes
    sid: bytes
    stamp: int
    instance: bytes
    bound: bytes
    token: bytes
    size: int = 176

    @property
    def hs_id(self) -> bytes:
        return digest("hs", *self[:-2])


class H2(NamedTuple):
    """A Reply. ``hs_id`` stands for what only the two ends know."""

    sid: bytes
    hs_id: bytes
    peer: bytes
    ephemeral: bytes
    remote: bytes
    instance: bytes
    reset: bytes
    size: int = 89


class Ch(NamedTuple):
    """A challenge. ``proof`` is empty if the Init was not opened."""

    name: bytes
    token: bytes
    proof: bytes
    size: int = 41


class Data(NamedTuple):
    """A packet of a session; ``key`` names the key and the direction."""

    sid: bytes
    counter: int
    key: bytes
    kind: int
    body: bytes
    size: int


class HintPacket(NamedTuple):
    sid: bytes
    token: bytes
    size: int


class Junk(NamedTuple):
    """Data that nobody can open."""

    sid: bytes
    size: int


_known: Final[list[Any]] = []
_numbers: Final[dict[Any, int]] = {}


def encode(packet: Any) -> bytes:
    """Its number, in as many bytes as the packet has."""
    number = _numbers.setdefault((type(packet), packet), len(_known))
    if number == len(_known):
        _known.append(packet)
    return number.to_bytes(9, "big").ljust(packet.size, b".")


def decode(data: bytes) -> Any:
    return _known[int.from_bytes(data[:9], "big")]


def forget_packets() -> None:
    """For another world: what was encoded before is not decoded any more."""
    _known.clear()
    _numbers.clear()


@attrs.frozen
class Received:
    """An event of these tests: a packet of the layer above."""

    delivery: Delivery = attrs.field(eq=attrs.astuple)
    """Which has no hash of its own."""


@attrs.frozen
class Keys:
    """Of a session: how our packets and those of the peer are sealed, and the peer's id of the session."""

    ours: bytes
    theirs: bytes
    remote: bytes


def route_of(path: Path) -> Route:
    """By a relay one learns nothing but that it was the relay; everything else is direct."""
    if path.socket == "relay":
        return Route(f"relay|{path.host}".encode(), b"relay", relayed=True, reply=path.host != "unknown")
    return Route(f"{path.socket}|{path.host}|{path.port}".encode(), path.host.encode())


def path_of(route: Route) -> Path:
    socket, host, *port = route.name.decode().split("|")
    return Path(socket, host, int(port[0]) if port else 0)


def mailbox(peer: bytes) -> Path:
    return Path("relay", peer.decode(), 0)


def at(host: str, port: int = 1) -> Path:
    return Path("udp", host, port)


@attrs.frozen
class Limits:
    events: int = 1 << 20
    outbox: int = 1 << 20


class Failing(Exception):
    """A step of the host that does not work."""


Event: TypeAlias = RecoveryEvent | Received | Closed[Never]


class Node(DatagramEndpoint[Event, Any]):
    """One end. ``core`` makes the recovery core; tests give one with other parts."""

    recovery: Recovery
    keys: dict[bytes, Keys]
    attempts: dict[bytes, tuple[bytes, bytes]]
    """Our own handshakes: hs_id and peer, by session id."""
    made: int
    me: Annotated[bytes, CACHED]
    policy: Annotated[Callable[[Visit], Admission], CACHED]
    has_tokens: Annotated[bool, CACHED]
    fails: Annotated[Callable[[str], bool], CACHED]
    unacked: Annotated[Callable[[bytes], tuple[bytes, ...]], CACHED]
    core: ClassVar[type[Recovery]] = Recovery

    def __init__(
        self,
        *,
        me: bytes,
        entropy: Entropy,
        wall_epoch: float = 1.7e9,
        config: RecoveryConfig | None = None,
        policy: Callable[[Visit], Admission] | None = None,
        has_tokens: bool = True,
        core: type[Recovery] | None = None,
        fails: Callable[[str], bool] = lambda step: False,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(entropy=entropy, limits=Limits(), wall_epoch=wall_epoch, trace=trace)
        self.me, self.keys, self.attempts, self.made = me, {}, {}, 0
        self.policy, self.has_tokens, self.fails = policy or default_policy, has_tokens, fails
        self.unacked = lambda peer: ()
        self.phase = Phase.OPEN
        self.recovery = (core or self.core)(self, me, config or RecoveryConfig())

    # -- verbs

    def connect(self, peer: bytes, path: Path, now: float) -> bool:
        return self._do(now, lambda: self.recovery.connect(peer, route_of(path)))

    def send(self, peer: bytes, data: bytes, now: float) -> bool:
        return self._do(now, lambda: self.recovery.send(peer, data))

    def disconnect(self, peer: bytes, now: float, reason: CloseReason = CloseReason.NORMAL) -> None:
        self._do(now, lambda: self.recovery.disconnect(peer, reason))

    def load(self, record: PeerRecord, now: float) -> bool:
        return bool(self._do(now, lambda: self.recovery.load(record)))

    def network_changed(self, now: float) -> None:
        self._do(now, self.recovery.network_changed)

    def resumed(self, now: float, *, asleep: float) -> None:
        self._do(now, lambda: self.recovery.resumed(asleep))

    def os_error(self, path: Path, now: float, *, error: SendError) -> None:
        self._do(now, lambda: self.recovery.route_failed(route_of(path), error))

    def datagram_failed(self, path: Path, now: float, *, detail: str = "") -> None:
        self._do(now, lambda: self.recovery.route_failed(route_of(path), SendError.UNREACHABLE))

    def _do(self, now: float, act: Callable[[], Any]) -> Any:
        self.advance(now)
        done = act()
        self.run()
        return done

    # -- what arrives

    def decode(self, data: bytes, path: Path) -> Any:
        return decode(data)

    def received(self, packet: Any, path: Path) -> None:
        core, route = self.recovery, route_of(path)
        match packet:
            case H1():
                core.hear_init(Knock(packet.hs_id, packet.token[:24], route, packet))
            case H2():
                core.hear_reply(packet.sid, packet)
            case Ch():
                core.hear_challenge(packet.name, route, packet)
            case Data():
                core.hear_data(Sealed(packet.sid, packet.counter, packet.size, route, packet))
            case HintPacket():
                core.hear_hint(Hint(packet.sid, packet.token, route))
            case Junk():
                core.hear_data(Sealed(packet.sid, 0, packet.size, route, packet))

    # -- the host: handshakes

    def make_init(self, call: Call) -> MadeInit:
        self._try("make_init")
        packet = H1(
            *(call.peer, self.me, self._unique("init"), call.sid, call.stamp, call.instance, call.token, call.token),
        )
        self.attempts[call.sid] = packet.hs_id, call.peer
        return MadeInit(packet.hs_id, encode(packet))

    def open_init(self, knock: Knock) -> Init:
        self._try("open_init")
        packet = knock.packet
        if packet.to != self.me or packet.bound != packet.token:
            raise WireError(Fault.BAD_MAC)
        return Init(packet.peer, packet.sid, packet.stamp, packet.instance, packet)

    def make_reply(self, init: Init, sid: bytes, instance: bytes) -> MadeReply:
        self._try("make_reply")
        ephemeral = self._unique("reply")
        hs_id = init.secret.hs_id
        packet = H2(init.sid, hs_id, self.me, ephemeral, sid, instance, self.reset_token(sid))
        secret = digest("key", hs_id, ephemeral)
        return MadeReply(encode(packet), Keys(secret + b"r", secret + b"i", init.sid))

    def open_reply(self, sid: bytes, packet: H2) -> Reply:
        self._try("open_reply")
        hs_id, peer = self.attempts[sid]
        if (packet.hs_id, packet.peer) != (hs_id, peer):
            raise WireError(Fault.BAD_MAC)
        secret = digest("key", hs_id, packet.ephemeral)
        return Reply(packet.remote, packet.instance, packet.reset, Keys(secret + b"i", secret + b"r", packet.remote))

    def make_challenge(self, knock: Knock, token: bytes, init: Init | None) -> bytes:
        self._try("make_challenge")
        proof = b"" if init is None else digest("proof", knock.hs_id, token)
        return encode(Ch(knock.hs_id[:8], token, proof))

    def open_challenge(self, sid: bytes, packet: Ch) -> Challenge:
        self._try("open_challenge")
        hs_id, _ = self.attempts[sid]
        if packet.proof and packet.proof != digest("proof", hs_id, packet.token):
            raise WireError(Fault.BAD_MAC)
        return Challenge(
            packet.token + b"proofless" if not packet.proof else packet.token + packet.proof, bool(packet.proof)
        )

    # -- the host: sessions

    def install(self, sid: bytes, secret: Keys) -> None:
        self.keys[sid] = secret
        self.attempts.pop(sid, None)

    def erase(self, sid: bytes) -> None:
        self.keys.pop(sid, None)
        self.attempts.pop(sid, None)

    def export(self, sid: bytes) -> bytes:
        keys = self.keys[sid]
        return b"|".join((keys.ours.hex().encode(), keys.theirs.hex().encode(), keys.remote.hex().encode()))

    def restore_keys(self, sid: bytes, keys: bytes) -> None:
        self.keys[sid] = Keys(*(bytes.fromhex(part.decode()) for part in keys.split(b"|")))

    def seal(self, sid: bytes, counter: int, kind: Kind, body: bytes) -> bytes | None:
        self._try("seal")
        keys = self.keys[sid]
        size = SIZES.get(kind, 34 + len(body))
        return encode(Data(keys.remote, counter, keys.ours, kind.value, body, size))

    def open(self, packet: Sealed) -> bytes:
        self._try("open")
        data = packet.packet
        if not isinstance(data, Data) or data.key != self.keys[packet.sid].theirs:
            raise WireError(Fault.BAD_MAC)
        return data.body

    def read(self, packet: Sealed, clear: bytes) -> Opened:
        self._try("read")
        return Opened(Kind(packet.packet.kind), clear)

    def make_hint(self, sid: bytes) -> bytes | None:
        self._try("make_hint")
        token = self.reset_token(sid)
        return encode(HintPacket(sid, token, 25 if token else 9))

    def reset_token(self, sid: bytes) -> bytes:
        return digest("reset", self.me, sid) if self.has_tokens else b""

    def token_mac(self, secret: bytes, time: bytes, route: Route) -> bytes:
        self._try("token_mac")
        return digest("token", secret, time, route.name)

    def path_value(self, secret: bytes, peer: bytes, epoch: int, route: Route) -> bytes:
        self._try("path_value")
        return digest("path", secret, peer, epoch, route.name)[:8]

    # -- the host: the world and the layer above

    def transmit(self, data: bytes, route: Route) -> None:
        self.send_datagram(data, path_of(route))

    def home(self, route: Route, peer: bytes) -> Route | None:
        return route_of(mailbox(peer)) if route.relayed else None

    def admit(self, visit: Visit) -> Admission:
        self._try("admit")
        return self.policy(visit)

    def tell(self, event: RecoveryEvent) -> None:
        self.emit(event)

    def deliver(self, delivery: Delivery) -> None:
        self.emit(Received(delivery))

    def unacknowledged(self, peer: bytes) -> tuple[bytes, ...]:
        return self.unacked(peer)

    # -- inside

    def _unique(self, what: str) -> bytes:
        self.made += 1
        return self.draw(8, f"host.{what}.{self.made}")

    def _try(self, step: str) -> None:
        if self.fails(step):
            raise Failing(step)


def default_policy(visit: Visit) -> Admission:
    return Admission.REFUSE if visit.said else Admission.ACCEPT
