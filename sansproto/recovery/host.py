"""What the core asks of the session that owns it. docs/protocols/recovery.rst, what the host does."""

from __future__ import annotations

from typing import Any, Protocol

from ..component import Host
from .events import RecoveryEvent
from .items import (
    Admission,
    Call,
    Challenge,
    Delivery,
    Init,
    Kind,
    Knock,
    MadeInit,
    MadeReply,
    Opened,
    Reply,
    Route,
    Sealed,
    Visit,
)


class RecoveryHost(Host[Any], Protocol):
    """A host opens, seals and sends; the core says what and when.

    What opens something raises WireError for what does not open: that packet then counts as opaque, and nothing
    changes. Any other exception of a host's method means the same: it failed.
    """

    # -- handshakes

    def make_init(self, call: Call) -> MadeInit:
        """An Init of ours. The host keeps the handshake under ``call.sid`` until ``erase``."""
        ...

    def open_init(self, knock: Knock) -> Init:
        """Open an Init. May be slow: limits were asked before."""
        ...

    def make_reply(self, init: Init, sid: bytes, instance: bytes) -> MadeReply:
        """The answer to an Init, with our session id and what we show to this peer."""
        ...

    def open_reply(self, sid: bytes, packet: Any) -> Reply:
        """Open a Reply to the attempt with this session id; its handshake stays as it was, whatever comes of it."""
        ...

    def make_challenge(self, knock: Knock, token: bytes, init: Init | None) -> bytes:
        """A challenge with our token. ``init`` is what was opened: without it there is no proof of that."""
        ...

    def open_challenge(self, sid: bytes, packet: Any) -> Challenge:
        """Look at a challenge to the attempt with this session id."""
        ...

    # -- sessions

    def install(self, sid: bytes, secret: Any) -> None:
        """Keep the keys of a session under its id, until ``erase``."""
        ...

    def erase(self, sid: bytes) -> None:
        """Forget the keys, or the handshake, of this id; nothing happens if there are none."""
        ...

    def export(self, sid: bytes) -> bytes:
        """The keys of a session for a record of it, from which ``restore_keys`` makes them again."""
        ...

    def restore_keys(self, sid: bytes, keys: bytes) -> None:
        """Keep the keys of a session that was saved."""
        ...

    def seal(self, sid: bytes, counter: int, kind: Kind, body: bytes) -> bytes | None:
        """A packet of a session; None if the protocol has none of this kind. No counter is given twice."""
        ...

    def open(self, packet: Sealed) -> bytes:
        """Open a packet of a session: what was sealed in it, handed back to ``read``."""
        ...

    def read(self, packet: Sealed, clear: bytes) -> Opened:
        """What a packet is that opened: its kind may come from that end, and its body has the size of the kind."""
        ...

    def make_hint(self, sid: bytes) -> bytes | None:
        """A hint that we do not know this session of ours; None if the protocol has none."""
        ...

    def reset_token(self, sid: bytes) -> bytes:
        """Our reset token for a session id of ours: 16 bytes, or none."""
        ...

    def token_mac(self, secret: bytes, time: bytes, route: Route) -> bytes:
        """16 bytes that only who has the secret can make."""
        ...

    def path_value(self, secret: bytes, peer: bytes, epoch: int, route: Route) -> bytes:
        """8 bytes that only who has the secret can make."""
        ...

    # -- the world

    def transmit(self, data: bytes, route: Route) -> None:
        """Send a packet. What cannot be sent is lost, as by the network."""
        ...

    def home(self, route: Route, peer: bytes) -> Route | None:
        """Where an answer to a peer goes whose packet came by a route without return; None: nowhere."""
        ...

    def admit(self, visit: Visit) -> Admission:
        """Whether a peer that calls is let in."""
        ...

    # -- the layer above

    def tell(self, event: RecoveryEvent) -> None:
        """Something happened."""
        ...

    def deliver(self, delivery: Delivery) -> None:
        """A packet of the layer above arrived."""
        ...

    def unacknowledged(self, peer: bytes) -> tuple[bytes, ...]:
        """Packets that were sent and of which it is not known that they arrived; they are handed up, and forgotten."""
        ...
