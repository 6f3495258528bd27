"""An exchange between a client and a server, as a relay sees it. docs/protocols/bob.rst, the order of an exchange."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, NamedTuple, Protocol

from ..component import Component, Host
from ..machine import Default, Guards, Input, Outcome, Row, Table
from ..snapshot import CACHED
from . import packets as p
from .events import RelayEvent


class PairState(Enum):
    NEW = 0
    ASKED = 1
    """07 went through."""
    ANSWERED = 2
    """06."""
    PROVEN = 3
    """05."""
    AGREED = 4
    """08."""
    FAILED = 5
    """Nothing more goes through."""
    REFUSED = 6
    """Nor here, but the server does not know it yet."""
    ENDED = 7


class Receiver(Protocol):
    """Whom a packet is for."""

    def forward(self, source: int, packet: p.BobPacket) -> None: ...


class Passed(NamedTuple):
    """A packet of one of the two for the other one."""

    to: Receiver
    source: int
    """The uid of its sender."""
    packet: p.BobPacket


class PairInput:
    X = Input[PairState, Passed]()
    Y = Input[PairState, Passed]()
    PROOF = Input[PairState, Passed]()
    AGREEMENT = Input[PairState, Passed]()
    ACCEPTED = Input[PairState, Passed]()
    REFUSED = Input[PairState, Passed]()
    FAILURE = Input[PairState, Passed]()
    PARTED = Input[PairState, None]()
    """The client left the relay or said hello again."""


class PairOwner(Protocol):
    """What an exchange asks of the relay."""

    def may_begin(self, pair: Pair) -> bool: ...
    def remember(self, pair: Pair) -> None: ...
    def unite(self, pair: Pair) -> None: ...
    def forget_pair(self, pair: Pair) -> None: ...


class Pair(Component[PairState, Host[RelayEvent]]):
    """What a client and a server have said to each other."""

    __slots__ = ("client", "owner", "server")
    client: Annotated[int, CACHED]
    """The uid."""
    server: Annotated[int, CACHED]
    owner: Annotated[PairOwner, CACHED]

    def __init__(self, host: Host[RelayEvent], owner: PairOwner, client: int, server: int) -> None:
        super().__init__(host)
        self.owner, self.client, self.server = owner, client, server

    # -- guards

    def may_begin(self) -> bool:
        return self.state is not PairState.NEW or self.owner.may_begin(self)

    # -- actions

    def remember(self) -> None:
        self.owner.remember(self)

    def forward(self, passed: Passed) -> None:
        passed.to.forward(passed.source, passed.packet)

    def unite(self) -> None:
        self.owner.unite(self)

    def leave(self) -> None:
        self.owner.forget_pair(self)


_S, _I, _P = PairState, PairInput, Pair
_RUNNING: Final = (_S.ASKED, _S.ANSWERED, _S.PROVEN, _S.AGREED)


def _beginning(name: str) -> Guards[Pair, PairState, Passed, Passed]:
    """What may begin an exchange, also one with another peer."""
    guards = Guards.of(Pair, PairState, Passed, name)
    return guards.need(_P.may_begin, "one exchange too many", ref="times and limits")


X: Final = _beginning("x").give(_I.X)
FAILURE: Final = _beginning("failure").give(_I.FAILURE)

INPUTS: Final[dict[type[p.BobPacket], Input[PairState, Passed] | Guards[Any, PairState, Passed, None]]] = {
    p.XAndClientIdentity: X,
    p.YAndServerValidator: _I.Y,
    p.ClientValidator: _I.PROOF,
    p.Agreement: _I.AGREEMENT,
    p.Accepted: _I.ACCEPTED,
    p.Refused: _I.REFUSED,
    p.SpokeFailure: FAILURE,
}
"""What each packet of an exchange is."""

PAIR: Final = Table[Pair, PairState](
    Pair,
    PairInput,
    name="bob.pair",
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={state: "either peer leaving, at the latest by its idle timer" for state in _S if state is not _S.ENDED},
    rows=(
        Row(_S.NEW, _I.X, _S.ASKED, _P.remember, _P.forward, ref="the order of an exchange"),
        Row(_S.NEW, _I.FAILURE, _S.FAILED, _P.remember, _P.forward, ref="failures"),
        Row(_S.ASKED, _I.Y, _S.ANSWERED, _P.forward, ref="the order of an exchange"),
        Row(_S.ANSWERED, _I.PROOF, _S.PROVEN, _P.forward, ref="the order of an exchange"),
        Row(_S.PROVEN, _I.AGREEMENT, _S.AGREED, _P.forward, ref="the order of an exchange"),
        Row(_S.AGREED, _I.ACCEPTED, _S.ENDED, _P.forward, _P.unite, ref="the agreement"),
        Row(_S.AGREED, _I.REFUSED, _S.REFUSED, ref="the agreement"),
        Row(_RUNNING, _I.FAILURE, _S.FAILED, _P.forward, ref="failures"),
        Row((*_RUNNING, _S.FAILED, _S.REFUSED), _I.PARTED, _S.ENDED, _P.leave, ref="hello again"),
    ),
    defaults=(Default(Outcome.IGNORE, "out of order"),),
)
