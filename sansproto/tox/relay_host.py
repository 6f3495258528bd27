"""What a relay asks of the session that uses it, and what it tells it. docs/protocols/tox.rst, relay client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..component import Host, Parts
from ..contract import Address, Link
from ..links import StreamLink
from ..proxies import Proxy
from . import crypto
from .limits import RelayClientDelays, RelayClientLimits
from .relay_inputs import Ended

if TYPE_CHECKING:
    from .relay_link import RelayLink


class RelayHost(Host[Any], Protocol):
    """What a relay asks of the session that uses it, and what it tells it."""

    own_dht: crypto.KeyPair
    """The session's DHT keys, by which the relay knows it."""
    relay_delays: RelayClientDelays
    relay_limits: RelayClientLimits
    proxy: Proxy | None
    """Through which relays are dialled."""
    links: Parts[Link, StreamLink]

    def open_link(self, address: Address) -> StreamLink: ...
    def note_sent(self, link: int, name: str, size: int) -> None: ...

    def relay_dialled(self, relay: RelayLink) -> None:
        """``relay.link`` is a new link: what is reported about it is the relay's."""

    def relay_hung_up(self, relay: RelayLink, link: Link) -> None:
        """What is still reported about this link is nobody's."""

    def relay_up(self, relay: RelayLink) -> None:
        """It has answered. What was asked for is asked for now: ``relay_routed`` follows for each key."""

    def relay_down(self, relay: RelayLink, ended: Ended) -> None:
        """Its stream is over, or it cannot be reached (told once): it is dialled again and again.

        ``relay_unlinked`` came before for each friend who was linked.
        """

    def relay_routed(self, relay: RelayLink, key: bytes) -> None:
        """It knows that we want this friend."""

    def relay_refused(self, relay: RelayLink, key: bytes) -> None:
        """It has no room for this friend's key. It is asked again."""

    def relay_linked(self, relay: RelayLink, key: bytes) -> None:
        """This friend is there, and wants us: ``send`` takes packets for them."""

    def relay_unlinked(self, relay: RelayLink, key: bytes) -> None:
        """Not any more."""

    def relay_heard(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        """A packet of a linked friend; never empty."""

    def relay_heard_oob(self, relay: RelayLink, key: bytes, data: bytes) -> None:
        """A packet of anybody at this relay; 1 to 1024 bytes, and the key is one."""

    def relay_demoted(self, relay: RelayLink, key: bytes) -> None:
        """It is not used for this friend for some time. ``relay_unlinked`` follows."""

    def relay_writable(self, relay: RelayLink) -> None:
        """It takes packets again after it had refused one because too much waited."""
