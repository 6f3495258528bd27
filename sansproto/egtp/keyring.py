"""The secrets of a node: handshakes that wait, keys of sessions, and what is made and opened with them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import attrs

from ..component import Host, Part
from ..errors import Fault, WireError
from ..recovery.items import Call, Challenge, Init, Kind, Knock, MadeInit, MadeReply, Opened, Reply, Sealed
from ..snapshot import CACHED, MEMO
from ..wire import ABSENT
from . import crypto
from . import packets as p

_ZERO: Final = bytes(8)
_APP: Final = Kind.APP  # looked up once: most packets are of this kind
_FIRST: Final = bytes((_APP.value,))
_CH, _DATA = p.CH.__wire__.id or 0, p.Data.__wire__.id or 0
_KINDS: Final = tuple(Kind)
_HEADER: Final = p.HEADER_SIZE
_MAC_AT: Final = p.H1_SIZE - 16


@attrs.frozen
class Handshake:
    """An H1 of ours that may still be answered."""

    peer: bytes
    initiation: crypto.Initiation


@attrs.define(eq=False)
class Keys:
    """The keys of a session, and the id by which the other end knows it."""

    remote_sid: bytes
    send: bytes = attrs.field(repr=False)
    receive: bytes = attrs.field(repr=False)
    is_ours: bool
    """We sent the H1."""
    sealer: Annotated[crypto.Cipher | None, MEMO] = attrs.field(default=None, repr=False)
    opener: Annotated[crypto.Cipher | None, MEMO] = attrs.field(default=None, repr=False)


@attrs.frozen
class Read:
    """What is needed to answer an H1 that was opened."""

    transcript: crypto.Transcript
    ephemeral: bytes
    remote_sid: bytes


class Keyring(Part[Host[Any]]):
    """Handshakes and keys by our ids of sessions; they come and go as the recovery core says."""

    handshakes: dict[bytes, Handshake]
    keys: dict[bytes, Keys]
    own: Annotated[crypto.KeyPair, CACHED]
    has_reset_tokens: Annotated[bool, CACHED]
    mac_key: Annotated[bytes, CACHED]
    reset_key: Annotated[bytes, CACHED]

    def __init__(self, host: Host[Any], own: crypto.KeyPair, *, has_reset_tokens: bool) -> None:
        super().__init__(host)
        self.own, self.has_reset_tokens = own, has_reset_tokens
        self.mac_key, self.reset_key = crypto.mac_key(own.public), crypto.reset_key(own.private)
        self.handshakes, self.keys = {}, {}

    # -- handshakes

    def is_for_us(self, h1: bytes) -> bool:
        """Is the mac that of an H1 for this node?"""
        return crypto.are_equal(h1[_MAC_AT:], crypto.h1_mac(self.mac_key, h1[:_MAC_AT]))

    def make_init(self, call: Call) -> MadeInit:
        token = call.token or p.NO_TOKEN
        payload = p.InitPayload(call.stamp, call.instance, call.sid).encode()
        ephemeral = self.host.draw(crypto.KEY_SIZE, f"egtp.ephemeral.{call.sid.hex()}")
        begun = crypto.begin_datagram(call.peer, token)
        public, static, sealed, kept = crypto.write_first(begun, self.own, ephemeral, call.peer, payload)
        data = p.DATAGRAM.encode(p.H1(public, static, sealed, token, bytes(16)))[:_MAC_AT]
        self.handshakes[call.sid] = Handshake(call.peer, kept)
        return MadeInit(crypto.handshake_id(data), data + crypto.h1_mac(crypto.mac_key(call.peer), data))

    def open_init(self, knock: Knock) -> Init:
        """Raises WireError: ``BAD_POINT``, ``BAD_MAC``, or ``BAD_VALUE`` for a session id of zero."""
        packet: p.H1 = knock.packet
        begun = crypto.begin_datagram(self.own.public, packet.token)
        peer, read = crypto.read_ephemeral(begun, self.own, packet.ephemeral).open(packet.static)
        clear, read = crypto.read_static(read, self.own, peer).open(packet.payload)
        payload = p.InitPayload.decode(clear)
        kept = Read(read, packet.ephemeral, payload.sid)
        return Init(peer, payload.sid, payload.stamp, payload.instance, kept)

    def make_reply(self, init: Init, sid: bytes, instance: bytes) -> MadeReply:
        kept: Read = init.secret
        payload = p.ReplyPayload(sid, instance, self.reset_token(sid)).encode()
        ephemeral = self.host.draw(crypto.KEY_SIZE, f"egtp.ephemeral.{sid.hex()}")
        public, sealed, split = crypto.write_second(kept.transcript, ephemeral, init.peer, kept.ephemeral, payload)
        data = p.DATAGRAM.encode(p.H2(kept.remote_sid, public, sealed))
        return MadeReply(data, Keys(kept.remote_sid, split.from_responder, split.from_initiator, is_ours=False))

    def open_reply(self, sid: bytes, packet: p.H2) -> Reply:
        """Raises WireError: ``BAD_POINT``, ``BAD_MAC``, or ``BAD_VALUE`` for a session id of zero."""
        initiation = self.handshakes[sid].initiation
        clear, read = crypto.read_agreement(initiation, self.own, packet.ephemeral).open(packet.payload)
        payload, split = p.ReplyPayload.decode(clear), read.split()
        keys = Keys(payload.sid, split.from_initiator, split.from_responder, is_ours=True)
        return Reply(payload.sid, payload.instance, payload.reset_token, keys)

    def make_challenge(self, knock: Knock, token: bytes, init: Init | None) -> bytes:
        data = p.challenge_header(_CH, knock.hs_id[:8], token)
        if init is None:
            return data + _ZERO
        kept: Read = init.secret
        return data + crypto.challenge_proof(kept.transcript.chaining_key, data)

    def open_challenge(self, sid: bytes, packet: p.CH) -> Challenge:
        """Raises WireError (``BAD_MAC``) for a wrong proof."""
        token, proof = packet.token + packet.proof, packet.proof
        if proof == _ZERO:
            return Challenge(token, proven=False)
        data = p.challenge_header(_CH, packet.hs_id, packet.token)
        expected = crypto.challenge_proof(self.handshakes[sid].initiation.transcript.chaining_key, data)
        if not crypto.are_equal(proof, expected):
            raise WireError(Fault.BAD_MAC)
        return Challenge(token, proven=True)

    # -- sessions

    def install(self, sid: bytes, keys: Keys) -> None:
        self.handshakes.pop(sid, None)
        self.keys[sid] = keys

    def erase(self, sid: bytes) -> None:
        self.handshakes.pop(sid, None)
        self.keys.pop(sid, None)

    def export(self, sid: bytes) -> bytes:
        keys = self.keys[sid]
        return p.KeyRecord(keys.remote_sid, keys.send, keys.receive, keys.is_ours).encode()

    def restore_keys(self, sid: bytes, record: bytes) -> None:
        """Raises WireError."""
        found = p.KeyRecord.decode(record)
        self.keys[sid] = Keys(found.remote_sid, found.send, found.receive, is_ours=found.is_ours)

    def seal(self, sid: bytes, counter: int, kind: Kind, body: bytes) -> bytes:
        keys = self.keys[sid]
        if keys.sealer is None:
            keys.sealer = crypto.Cipher(keys.send)
        header = p.data_header(_DATA, keys.remote_sid, counter)
        first = _FIRST if kind is _APP else bytes((kind.value,))
        return header + keys.sealer.seal(counter, first + body, header)

    def open(self, packet: Sealed) -> bytes:
        """Raises WireError: ``BAD_MAC``."""
        keys, (data, read) = self.keys[packet.sid], packet.packet
        if keys.opener is None:
            keys.opener = crypto.Cipher(keys.receive)
        return keys.opener.open(packet.counter, read.sealed, data[:_HEADER])

    def read(self, packet: Sealed, clear: bytes) -> Opened:
        """Raises WireError: ``BAD_TYPE`` for a kind that may not come, another one for the body's size."""
        if clear[0]:
            if clear[0] == Kind.CONFIRM.value and self.keys[packet.sid].is_ours:  # only the initiator confirms
                raise WireError(Fault.BAD_TYPE)
            p.CLEAR.decode(clear)
            return Opened(_KINDS[clear[0]], clear[1:])
        return Opened(_APP, clear[1:])

    # -- without memory

    def reset_token(self, sid: bytes) -> bytes:
        return crypto.reset_token(self.reset_key, sid)

    def make_hint(self, sid: bytes) -> bytes:
        return p.DATAGRAM.encode(p.Hint(sid, self.reset_token(sid) if self.has_reset_tokens else ABSENT))
