"""The relay: it links clients who want each other, and passes on their packets. docs/protocols/tox.rst, relay server.

An Endpoint with one listener, :data:`RELAY_PORT`. It sees who talks to whom, and nothing of what they say.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Never

from ..component import Parts, Refusal
from ..contract import Entropy, Link, Phase
from ..errors import WireError
from ..events import CloseCause
from ..fair import Places
from ..links import Mark, StreamLink
from ..snapshot import CACHED
from ..streams import StreamEndpoint
from ..trace import Trace
from . import crypto
from . import packets as p
from .limits import RelayServerDelays, RelayServerLimits
from .relay_events import RelayServerEvent
from .relay_turns import RelayTurns
from .relay_visitor import RelayVisitor, VisitorInput, VisitorState

RELAY_PORT: Final = "relay"
"""The label of the listener."""

TOO_MANY_LINKS: Final = Refusal("too many connections of a group of addresses", ref="relay server")


class RelayServer(StreamEndpoint[RelayServerEvent, Never]):
    """A TCP relay for clients of Tox, of any implementation.

    ``private_key`` is its secret DHT key, 32 bytes: the second line of a file of ``sansproto tox key``. Its clients
    know the public key. ``entropy`` is drawn on for 80 bytes for each hello. With ``strict`` the relay cuts a client
    that gives back an id which it does not hold, as the reference does. But the reference's own clients give back
    such ids.

    Verbs: ``close``. Queries: ``public_key``.
    """

    visitors: Parts[Link, RelayVisitor]
    clients: dict[bytes, Link]
    """Those who have shown that they have their key, by it."""
    held_ids: int
    half_open: Places
    unconfirmed: Places
    greetings: RelayTurns
    """Hellos that wait to be opened."""
    frames: RelayTurns
    """Clients that have used up their share of frames to nobody."""
    passing: RelayTurns
    """Clients that have sent much to others."""
    _of_groups: Annotated[dict[bytes, int], CACHED]
    """Connections of each group of addresses."""
    keys: Annotated[crypto.KeyPair, CACHED]
    is_strict: Annotated[bool, CACHED]
    limits: Annotated[RelayServerLimits, CACHED]
    delays: Annotated[RelayServerDelays, CACHED]

    def __init__(
        self,
        *,
        private_key: bytes,
        entropy: Entropy,
        strict: bool = False,
        limits: RelayServerLimits | None = None,
        delays: RelayServerDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Raises ValueError unless ``private_key`` has 32 bytes."""
        self.limits, self.delays = limits or RelayServerLimits(), delays or RelayServerDelays()
        super().__init__(entropy=entropy, delays=self.delays, limits=self.limits, trace=trace)
        self.keys, self.is_strict = crypto.KeyPair.of(private_key), strict
        self.visitors = Parts(lambda key: RelayVisitor(self, self.links[key]))
        self.clients, self.held_ids, self._of_groups = {}, 0, {}
        self.half_open, self.unconfirmed = Places(), Places()
        self.greetings = RelayTurns(self, self._greet, self.limits.hellos, self.delays.hellos)
        self.frames = RelayTurns(self, self._go_on_with, 1, self.delays.turn)
        self.passing = RelayTurns(self, self._pass_on_for, 1, 0.0)
        self.phase = Phase.OPEN

    def rebuild(self) -> None:
        for visitor in self.visitors.values():
            self._count(visitor.group, 1)

    # -- queries

    @property
    def public_key(self) -> bytes:
        """The public key by which clients know this relay."""
        return self.keys.public

    # -- what connections ask

    def client_of(self, key: bytes) -> RelayVisitor | None:
        link = self.clients.get(key)
        return None if link is None else self.visitors[link]

    def note_half_open(self, visitor: RelayVisitor) -> None:
        self._keep_in(self.half_open, visitor, self.limits.half_open)

    def note_unconfirmed(self, visitor: RelayVisitor) -> None:
        self.half_open.discard(visitor.address, visitor.link.key)
        self._keep_in(self.unconfirmed, visitor, self.limits.unconfirmed)

    def note_client(self, visitor: RelayVisitor) -> None:
        self.unconfirmed.discard(visitor.address, visitor.link.key)
        self.clients[visitor.key] = visitor.link.key

    def note_gone(self, visitor: RelayVisitor) -> None:
        for places in (self.half_open, self.unconfirmed):
            places.discard(visitor.address, visitor.link.key)
        for queue in (self.greetings.queue, self.frames.queue, self.passing.queue):
            queue.discard(visitor.group, visitor.link.key)
        if self.clients.get(visitor.key) == visitor.link.key:
            del self.clients[visitor.key]

    def wait_for_greeting(self, visitor: RelayVisitor) -> None:
        self.greetings.wait(visitor.group, visitor.link.key)

    def wait_for_frames(self, visitor: RelayVisitor) -> None:
        self.frames.wait(visitor.group, visitor.link.key)

    def wait_to_pass(self, visitor: RelayVisitor) -> None:
        self.passing.wait(visitor.group, visitor.link.key)

    def frame_rate(self) -> float:
        """Frames in a second that a client may send to nobody: the share of one."""
        return self.limits.frame_rate / max(1, len(self.clients))

    # -- links

    def link_accepted(self, link: StreamLink) -> None:
        visitor = self.visitors.add(link.key)
        self._count(visitor.group, 1)
        if self._of_groups[visitor.group] > self.limits.links_of_group:
            self.count_refusal(TOO_MANY_LINKS)
            link.abort()
        else:
            visitor.post(VisitorInput.CAME())

    def link_decode(self, link: StreamLink, data: bytes, offset: int) -> tuple[object, int]:
        kind = p.RelayHello if self.visitors[link.key].state is VisitorState.HELLO else p.RelayFrame
        return kind.decode_prefix(data, offset)

    def link_packet(self, link: StreamLink, packet: Any) -> None:
        self.visitors[link.key].hear(packet)

    def link_broken(self, link: StreamLink, error: WireError) -> None:
        self.visitors[link.key].post(VisitorInput.BROKEN(error))

    def link_eof(self, link: StreamLink) -> None:
        self.visitors[link.key].post(VisitorInput.FINISHED())

    def link_over(self, link: StreamLink, cause: CloseCause, detail: str) -> None:
        """Acted upon at once: a link that was lost is forgotten next."""
        VisitorInput.LEFT().act(self.visitors[link.key])

    def link_gone(self, link: StreamLink) -> None:
        visitor = self.visitors.get(link.key)
        if visitor is not None:  # a link that was refused by the base had none
            if visitor.state is not VisitorState.ENDED:  # it was closed with all others
                VisitorInput.LEFT().act(visitor)
            self.visitors.remove(link.key)
            self._count(visitor.group, -1)

    def link_pull(self, link: StreamLink, mark: Mark | None) -> bytes | None:
        visitor = self.visitors.get(link.key)
        return None if visitor is None else visitor.pull_news()

    # -- inside

    def _keep_in(self, places: Places, visitor: RelayVisitor, most: int) -> None:
        """Whoever is new gets a place: who has most of them makes room."""
        places.add(visitor.address, visitor.link.key)
        if places.size > most:
            self.visitors[places.pop_crowded()].post(VisitorInput.PUSHED_OUT())

    def _greet(self, link: Link) -> None:
        self.visitors[link].greet()

    def _go_on_with(self, link: Link) -> None:
        self.visitors[link].go_on()

    def _pass_on_for(self, link: Link) -> None:
        self.visitors[link].go_on_passing()

    def _count(self, group: bytes, change: int) -> None:
        self._of_groups[group] = self._of_groups.get(group, 0) + change
        if not self._of_groups[group]:
            del self._of_groups[group]
