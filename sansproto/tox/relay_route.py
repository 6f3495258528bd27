"""One friend's key at one relay: from our wish to be linked until packets go both ways.

docs/protocols/tox.rst, routes.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, Final, Protocol

from ..component import Component, Host
from ..contract import Address, Instant
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from . import packets as p
from .limits import RelayClientDelays

_MOST_DEMOTIONS: Final = 8  # from there on the pauses do not grow


class RouteState(Enum):
    WAITING = 0
    """The relay cannot be asked yet."""
    REQUESTED = 1
    REGISTERED = 2
    """The relay knows: it gave us an id for this key."""
    ONLINE = 3
    """The other one is linked with us."""
    REFUSED = 4
    """The relay said no; it is asked again later."""
    LEAVING = 5
    """We want no longer, and cannot say so before the relay has answered."""
    ENDED = 6
    DEMOTED = 7
    """Something speaks against this relay, for this key: it is not used, and asked again later."""


class RouteInput:
    UP = Input[RouteState, None]()
    """The relay can be asked."""
    DOWN = Input[RouteState, None]()
    WANTED = Input[RouteState, None]()
    UNWANTED = Input[RouteState, None]()
    ACCEPTED = Input[RouteState, int]()
    """The relay's answer: our id for this key."""
    REFUSED = Input[RouteState, None]()
    LINKED = Input[RouteState, None]()
    UNLINKED = Input[RouteState, None]()
    DUE = Input[RouteState, None]()
    DEMOTED = Input[RouteState, None]()
    """Something speaks against the relay."""
    RECALLED = Input[RouteState, None]()
    """There is no better one any more."""


class RouteOwner(Protocol):
    """What a route asks of the link to its relay."""

    @property
    def is_up(self) -> bool: ...
    def wake(self) -> None: ...
    def say(self, packet: p.Control) -> None: ...
    def take_id(self, route: RelayRoute) -> None: ...
    def free_id(self, route: RelayRoute) -> None: ...
    def remove_route(self, route: RelayRoute) -> None: ...
    def route_registered(self, route: RelayRoute) -> None: ...
    def route_refused(self, route: RelayRoute) -> None: ...
    def route_linked(self, route: RelayRoute) -> None: ...
    def route_unlinked(self, route: RelayRoute) -> None: ...
    def route_demoted(self, route: RelayRoute) -> None: ...


def next_address(routes: Iterable[RelayRoute], tried: Address) -> Address:
    """Where a relay is looked for that was not reached: the next one of the addresses at which friends say it is."""
    told = [*dict.fromkeys(route.address for route in routes if route.address is not None)]
    following = told.index(tried) + 1 if tried in told else 0
    return told[following % len(told)] if told else tried


class RelayRoute(Component[RouteState, Host[Any]]):
    """A friend's key at a relay."""

    id: int
    """What the relay calls it, 16 to 255; 0: nothing yet."""
    address: Address | None
    """Where the relay is, as the friend says. None: the friend says nothing of it."""
    linked: Instant
    """When packets began to go both ways, the last time."""
    demotions: int
    """How often something spoke against it, one time after the other."""
    owner: Annotated[RouteOwner, CACHED]
    key: Annotated[bytes, CACHED]
    """The friend's DHT key."""
    delays: Annotated[RelayClientDelays, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: Host[Any], owner: RouteOwner, key: bytes, delays: RelayClientDelays) -> None:
        super().__init__(host)
        self.owner, self.key, self.delays, self.id, self.address = owner, key, delays, 0, None
        self.linked, self.demotions = 0.0, 0

    # -- conditions and times

    def is_up(self) -> bool:
        return self.owner.is_up

    def until_asked(self) -> float:
        """Longer each time; a relay that was used for as long as this can be is as good as new."""
        return min(self.delays.demoted * 4.0**self._demotions, self.delays.demoted_most)

    # -- actions

    def ask(self) -> None:
        self.owner.say(p.RoutingRequest(self.key))

    def take_id(self, number: int) -> None:
        self.id = number
        self.owner.take_id(self)

    def lose_id(self) -> None:
        """Without a word: it is not ours any more."""
        if self.id:
            self.owner.free_id(self)
            self.id = 0

    def give_back(self) -> None:
        """An id is given back once, and only while it is ours: a relay may end the stream over anything else."""
        self.owner.say(p.DisconnectNotification(self.id))
        self.lose_id()

    def tell_registered(self) -> None:
        self.owner.route_registered(self)

    def tell_refused(self) -> None:
        self.owner.route_refused(self)

    def tell_linked(self) -> None:
        self.linked = self.host.clock
        self.owner.route_linked(self)

    def tell_unlinked(self) -> None:
        self.owner.route_unlinked(self)

    def tell_demoted(self) -> None:
        self.demotions = min(self._demotions + 1, _MOST_DEMOTIONS)
        self.owner.route_demoted(self)

    def wake(self) -> None:
        self.owner.wake()

    def remove(self) -> None:
        self.owner.remove_route(self)

    # -- inside

    @property
    def _demotions(self) -> int:
        """Those that still count."""
        return 0 if self.host.clock - self.linked >= self.delays.demoted_most else self.demotions


_S, _I, _R = RouteState, RouteInput, RelayRoute


class RouteTimer:
    REFUSED = Timer(RouteInput.DUE, RelayClientDelays.refused)
    DEMOTED = Timer(RouteInput.DUE, RelayRoute.until_asked)


_T = RouteTimer
_REF: Final = "routes"
_EVIDENCE: Final = "evidence"
_HELD: Final = (_S.REGISTERED, _S.ONLINE)

ROUTE: Final = Table[RelayRoute, RouteState](
    RelayRoute,
    RouteInput,
    RouteTimer,
    name="tox.relay_route",
    initial=_S.WAITING,
    terminal=(_S.ENDED,),
    idle={
        _S.WAITING: "the link to the relay, which dials it again and again",
        _S.REQUESTED: "the link to the relay, which ends if the relay is silent",
        _S.REGISTERED: "the friend, who comes to this relay, or the session that wanted it",
        _S.ONLINE: "the friend, who leaves, or the session that wanted it",
        _S.LEAVING: "the link to the relay, which ends if the relay is silent",
    },
    rows=(
        Row(_S.WAITING, _I.UP, _S.REQUESTED, _R.ask, ref=_REF),
        Row(_S.REQUESTED, _I.ACCEPTED, _S.REGISTERED, _R.take_id, _R.tell_registered, ref=_REF),
        Row(_S.REQUESTED, _I.REFUSED, _S.REFUSED, _R.tell_refused, arm=(_T.REFUSED,), ref=_REF),
        Row(_S.REFUSED, _I.DUE, _S.REQUESTED, _R.ask, ref=_REF),
        Row(_S.REGISTERED, _I.LINKED, _S.ONLINE, _R.tell_linked, ref=_REF),
        Row(_S.ONLINE, _I.UNLINKED, _S.REGISTERED, _R.tell_unlinked, ref=_REF),
        Row((_S.REQUESTED, _S.REGISTERED), _I.DOWN, _S.WAITING, _R.lose_id, ref=_REF),
        Row(_S.ONLINE, _I.DOWN, _S.WAITING, _R.lose_id, _R.tell_unlinked, ref=_REF),
        Row(_S.REFUSED, _I.DOWN, _S.WAITING, cancel=(_T.REFUSED,), ref=_REF),
        Row(_S.REQUESTED, _I.UNWANTED, _S.LEAVING, ref=_REF),
        Row(_S.LEAVING, _I.WANTED, _S.REQUESTED, ref=_REF),
        Row(_S.LEAVING, _I.ACCEPTED, _S.ENDED, _R.take_id, _R.give_back, _R.remove, ref=_REF),
        Row(_S.LEAVING, _I.REFUSED | _I.DOWN, _S.ENDED, _R.remove, ref=_REF),
        Row((_S.WAITING, _S.REFUSED, _S.DEMOTED), _I.UNWANTED, _S.ENDED, _R.remove, ref=_REF),
        Row(_S.REGISTERED, _I.UNWANTED, _S.ENDED, _R.give_back, _R.remove, ref=_REF),
        Row(_S.ONLINE, _I.UNWANTED, _S.ENDED, _R.give_back, _R.tell_unlinked, _R.remove, ref=_REF),
        Row((_S.WAITING, _S.REQUESTED, *_HELD, _S.REFUSED, _S.DEMOTED), _I.WANTED, None, ref=_REF),
        Row(
            *(_S.ONLINE, _I.DEMOTED, _S.DEMOTED, _R.give_back, _R.tell_demoted, _R.tell_unlinked),
            arm=(_T.DEMOTED,),
            ref=_EVIDENCE,
        ),
        Row(_S.DEMOTED, _I.UP | _I.DOWN, None, ref=_EVIDENCE),
        Row(
            *(_S.DEMOTED, _I.DUE | _I.RECALLED, _S.REQUESTED, _R.ask),
            when=_R.is_up,
            cancel=(_T.DEMOTED,),
            ref=_EVIDENCE,
        ),
        Row(_S.DEMOTED, _I.DUE | _I.RECALLED, _S.WAITING, _R.wake, cancel=(_T.DEMOTED,), ref=_EVIDENCE),
    ),
    defaults=(
        Default(Outcome.IGNORE, "unexpected answer", _I.ACCEPTED, _I.REFUSED, _I.LINKED, _I.UNLINKED),
        Default(Outcome.IGNORE, "late"),
    ),
)
