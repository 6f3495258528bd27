"""The base of what uses relays: several of them, each dialled as long as it is wanted.

docs/protocols/tox.rst, relay client.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from ..component import Parts
from ..contract import Entropy, Link, Transmit
from ..endpoint import D, DatagramLimits
from ..errors import WireError
from ..events import CloseCause
from ..links import StreamLink
from ..proxies import Proxy
from ..snapshot import CACHED
from ..streams import StreamEndpoint
from ..trace import Trace
from . import crypto
from .limits import RelayClientDelays, RelayClientLimits
from .nodes import Relay
from .relay_inputs import Ended, RelayInput
from .relay_link import RelayLink

E = TypeVar("E")


class RelayUser(StreamEndpoint[E, D]):
    """A session that uses relays: the ``relay_`` methods of :class:`~.relay_host.RelayHost` are its own to override."""

    relays: Parts[bytes, RelayLink]
    """By their DHT keys."""
    _of_links: Annotated[dict[Link, RelayLink], CACHED]
    own_dht: Annotated[crypto.KeyPair, CACHED]
    relay_delays: Annotated[RelayClientDelays, CACHED]
    relay_limits: Annotated[RelayClientLimits, CACHED]
    proxy: Annotated[Proxy | None, CACHED]

    def __init__(
        self,
        *,
        own_dht: crypto.KeyPair,
        entropy: Entropy,
        delays: RelayClientDelays,
        limits: RelayClientLimits,
        proxy: Proxy | None,
        datagrams: DatagramLimits | None = None,
        wall_epoch: float = 0.0,
        trace: Trace | None,
    ) -> None:
        super().__init__(
            entropy=entropy, delays=delays, limits=limits, datagrams=datagrams, wall_epoch=wall_epoch, trace=trace
        )
        self.own_dht, self.relay_delays, self.relay_limits, self.proxy = own_dht, delays, limits, proxy
        self.relays = Parts(lambda key: RelayLink(self, key))
        self._of_links = {}

    def rebuild(self) -> None:
        self._of_links = {relay.link: relay for relay in self.relays.values() if relay.link}

    # -- for roles

    def use_relay(self, relay: Relay) -> RelayLink:
        """Dial a relay until it is not wanted any more. Nothing changes if it is used already.

        Its key is no point of small order.
        """
        found = self.relays.get(relay.key)
        if found is None:
            return self.relays.add(relay.key, RelayLink.begin, relay.address)
        found.wake()
        return found

    def place_relay(self, relay: Relay) -> None:
        """The same of a relay of the application, which knows where it is; friends may have said something else."""
        found = self.use_relay(relay)
        found.is_placed = True
        if found.address != relay.address:
            found.address = relay.address
            if not found.is_up:
                found.post(RelayInput.REDIAL())

    def leave_relay(self, key: bytes) -> None:
        """Use a relay no longer. Nothing happens if it is not used."""
        relay = self.relays.get(key)
        if relay is not None:
            RelayInput.STOP().act(relay)
            self.relays.remove(key)

    def redial_relays(self) -> None:
        """This host has, or may have, another address."""
        for relay in self.relays.values():
            relay.post(RelayInput.REDIAL())

    # -- what relays tell

    def relay_dialled(self, relay: RelayLink) -> None:
        self._of_links[relay.link] = relay

    def relay_hung_up(self, relay: RelayLink, link: Link) -> None:
        del self._of_links[link]

    def relay_up(self, relay: RelayLink) -> None:
        """It has answered."""

    def relay_down(self, relay: RelayLink, ended: Ended) -> None:
        """Its stream is over, or it cannot be reached."""

    def relay_routed(self, relay: RelayLink, key: bytes) -> None:
        """It knows that we want this friend."""

    def relay_refused(self, relay: RelayLink, key: bytes) -> None:
        """It has no room for this friend's key."""

    def relay_linked(self, relay: RelayLink, key: bytes) -> None:
        """Packets go both ways."""

    def relay_unlinked(self, relay: RelayLink, key: bytes) -> None:
        """Not any more."""

    def relay_demoted(self, relay: RelayLink, key: bytes) -> None:
        """It is not used for this friend for some time."""

    def relay_heard(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        """A packet of a linked friend."""

    def relay_heard_oob(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        """A packet of anybody."""

    def relay_writable(self, relay: RelayLink) -> None:
        """It takes packets again."""

    # -- links

    def stream_unblocked(self, link: Link, now: float) -> None:
        super().stream_unblocked(link, now)
        self._note_room(link)

    def next_of(self, link: StreamLink) -> Transmit | None:
        transmit = super().next_of(link)
        self._note_room(link.key)
        return transmit

    def link_opened(self, link: StreamLink) -> None:
        self._of_links[link.key].post(RelayInput.OPENED())

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        return self._of_links[link.key].decode(data, offset)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        self._of_links[link.key].hear(packet)

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        self._of_links[link.key].hear_broken()

    def link_eof(self, link: StreamLink) -> None:
        self._of_links[link.key].hear_end()

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        self._of_links[link.key].end_with(cause, detail)

    def link_gone(self, link: StreamLink) -> None:
        relay = self._of_links.pop(link.key, None)
        if relay is not None:  # all links were aborted, at the end of the session
            relay.note_gone()

    # -- inside

    def _note_room(self, link: Link) -> None:
        relay = self._of_links.get(link)
        if relay is not None:
            relay.note_room()
