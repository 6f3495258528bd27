"""The relay client: one relay, and whoever is to be met there. docs/protocols/tox.rst, relay client."""

from __future__ import annotations

from typing import Annotated, Never

from ..contract import Entropy, Phase
from ..errors import LocalProtocolError, NotOpen
from ..events import Writable
from ..proxies import Proxy
from ..snapshot import CACHED
from ..trace import Trace
from . import crypto
from . import packets as p
from .limits import RelayClientDelays, RelayClientLimits
from .nodes import Relay
from .relay_events import (
    Linked,
    OobReceived,
    RelayClientEvent,
    RelayConnected,
    RelayedReceived,
    Routed,
    RouteRefused,
    Unlinked,
)
from .relay_inputs import Ended
from .relay_link import RelayLink
from .relay_links import RelayUser


class RelayClient(RelayUser[RelayClientEvent, Never]):
    """Uses one relay. It dials the relay until ``close``, and is linked there with clients that want the same.

    ``private_key`` is the DHT key, 32 bytes; others know the client by its public part. ``entropy`` is drawn on for 80
    bytes each time that the relay is dialled, and 1 for the pause before that. With a ``proxy`` the client connects
    only to the proxy, which looks up the relay's name.

    Verbs: ``connect``, ``route``, ``unroute``, ``demote``, ``send``, ``send_oob``, ``close``. Queries:
    ``public_key``.
    """

    relay: Annotated[Relay, CACHED]

    def __init__(
        self,
        *,
        relay: Relay,
        private_key: bytes,
        entropy: Entropy,
        proxy: Proxy | None = None,
        limits: RelayClientLimits | None = None,
        delays: RelayClientDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Raises ValueError unless the keys are keys of 32 bytes."""
        super().__init__(
            own_dht=crypto.KeyPair.of(private_key),
            entropy=entropy,
            delays=delays or RelayClientDelays(),
            limits=limits or RelayClientLimits(),
            proxy=proxy,
            trace=trace,
        )
        if not crypto.is_key(relay.key):
            raise ValueError("the relay's key is none")
        self.relay = relay

    # -- verbs

    @property
    def public_key(self) -> bytes:
        """The public key by which others know this client."""
        return self.own_dht.public

    def connect(self, now: float) -> None:
        """Dial the relay, now and whenever the stream to it is over. ``RelayConnected`` follows each time.

        Raises LocalProtocolError if called twice, NotOpen after the end.
        """
        self.ask("connect")
        if self.phase is not Phase.NEW:
            raise LocalProtocolError("connect", self.phase.name, "asked for already")
        self.advance(now)
        self.phase = Phase.OPENING
        self.use_relay(self.relay)
        self.run()

    def route(self, key: bytes, now: float) -> bool:
        """Ask to be linked with the client that has this key. Returns False if there are too many such keys.

        ``Routed`` or ``RouteRefused`` follows each time that the relay is connected, and ``Linked`` once the other
        client has asked for us, too. Raises LocalProtocolError before ``connect`` or if the key is not valid, NotOpen
        after ``close``.
        """
        taken = self._relay("route", key, now).route(key)
        self.run()
        return taken

    def unroute(self, key: bytes, now: float) -> None:
        """Give up the link with this key. Nothing happens if it was not asked for.

        Raises LocalProtocolError before ``connect`` or if the key is not valid, NotOpen after ``close``.
        """
        self._relay("unroute", key, now).unroute(key)
        self.run()

    def demote(self, key: bytes, now: float) -> bool:
        """The relay fails this key: give up the link for some time. Returns False if there is no link.

        It takes ``RelayClientDelays.demoted`` seconds, each further time four times as long, up to ``demoted_most``.
        ``Unlinked`` follows, and later ``Routed``. Raises as :meth:`unroute`.
        """
        relay = self._relay("demote", key, now)
        taken = relay.is_linked(key)
        relay.demote(key)
        self.run()
        return taken

    def send(self, key: bytes, data: bytes, now: float) -> bool:
        """Send 1 to 2031 bytes to a linked client. They may be lost.

        Returns False if the client is not linked, or if too much waits; then ``Writable`` follows. Raises
        LocalProtocolError before ``connect``, for another size or if the key is not valid; NotOpen after ``close``.
        """
        return self._send_to("send", key, data, p.MAX_RELAYED, now)

    def send_oob(self, key: bytes, data: bytes, now: float) -> bool:
        """Send 1 to 1024 bytes to the client at the relay that has this key, linked or not. Else as :meth:`send`."""
        return self._send_to("send_oob", key, data, p.MAX_OOB, now)

    def network_changed(self, now: float) -> None:
        """The host has another address: the relay is dialled anew, at once."""
        if self.alive(now):
            self.redial_relays()
            self.run()

    def resumed(self, now: float, *, asleep: float) -> None:
        """The host slept: the stream to the relay may be dead."""
        self.network_changed(now)

    def closing(self) -> None:
        self.leave_relay(self.relay.key)

    # -- what the relay tells

    def relay_up(self, relay: RelayLink) -> None:
        self.phase = Phase.OPEN
        self.emit(RelayConnected(relay.key))

    def relay_down(self, relay: RelayLink, ended: Ended) -> None:
        self.phase = Phase.OPENING
        self.emit(ended.event(relay.key))

    def relay_routed(self, relay: RelayLink, key: bytes) -> None:
        self.emit(Routed(key))

    def relay_refused(self, relay: RelayLink, key: bytes) -> None:
        self.emit(RouteRefused(key))

    def relay_linked(self, relay: RelayLink, key: bytes) -> None:
        self.emit(Linked(key))

    def relay_unlinked(self, relay: RelayLink, key: bytes) -> None:
        self.emit(Unlinked(key))

    def relay_heard(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        self.emit(RelayedReceived(key, data))

    def relay_heard_oob(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        self.emit(OobReceived(key, data))

    def relay_writable(self, relay: RelayLink) -> None:
        self.emit(Writable())

    # -- inside

    def _relay(self, verb: str, key: bytes, now: float) -> RelayLink:
        self.ask(verb)
        if self.phase is Phase.CLOSING:
            raise NotOpen(verb, self.phase.name)
        if not crypto.is_key(key):
            raise LocalProtocolError(verb, self.phase.name, "this is no key")
        relay = self.relays.get(self.relay.key)
        if relay is None:
            raise LocalProtocolError(verb, self.phase.name, "not connected")
        self.advance(now)
        return relay

    def _send_to(self, verb: str, key: bytes, data: bytes, most: int, now: float) -> bool:
        relay = self._relay(verb, key, now)
        if not 0 < len(data) <= most:
            raise LocalProtocolError(verb, self.phase.name, f"not 1 to {most} bytes")
        taken = relay.send(key, data) if verb == "send" else relay.send_oob(key, data)
        self.run()
        return taken
