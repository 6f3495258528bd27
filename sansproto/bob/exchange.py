"""What an offer of a client and a handshake of a server have in common. docs/protocols/bob.rst, failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, assert_never

from ..component import Component, Host
from ..machine import Input, S
from ..snapshot import CACHED
from . import packets as p
from .events import Failure, PeerAgreed, PeerEvent, PeerFailed
from .limits import PeerDelays, PeerLimits
from .turns import Turns
from .way import Agreed, PeerInput, Way


class ExchangeHost(Host[PeerEvent], Protocol):
    """What an exchange asks of its peer."""

    delays: PeerDelays
    limits: PeerLimits
    turns: Turns
    way: Way

    @property
    def identity(self) -> str: ...
    @property
    def has_too_many(self) -> bool: ...
    def say(self, uid: int, packet: p.BobPacket) -> None: ...
    def keep_exchange(self, exchange: Any) -> None: ...
    def forget_exchange(self, uid: int) -> None: ...


H = TypeVar("H", bound=ExchangeHost)


class Exchange(Component[S, H]):
    """What a peer knows of another one."""

    meanings: ClassVar[Mapping[type[p.BobPacket], Input[Any, Any]]]
    """What its packets are here; all others are unexpected."""
    has_turn: ClassVar[Input[Any, None]]
    """It has waited long enough."""
    gone: ClassVar[Input[Any, None]]
    """The relay says that the other peer left."""
    identity: str
    """Of the other peer."""
    agreed: Agreed | None
    """Once the other peer has proved that it knows the password."""
    key: Annotated[int, CACHED]
    """Its uid."""
    delays: Annotated[PeerDelays, CACHED]

    def __init__(self, host: H, key: int) -> None:
        super().__init__(host)
        self.key, self.delays, self.agreed = key, host.delays, None

    def hear(self, packet: p.BobPacket) -> None:
        """A packet of the other peer, one of those that mean something."""
        self.post(self.meanings[type(packet)](packet))

    # -- conditions

    def is_welcome(self) -> bool:
        """May there be one more of its kind?"""
        failed = self.host.turns.guesses.of.get(self.key, 0)
        return failed < self.host.limits.guesses_of_one and not self.host.has_too_many

    # -- actions

    def come(self) -> None:
        """Until here it was there on trial."""
        self.host.keep_exchange(self)

    def fail(self, failure: p.SpokeFailure) -> None:
        """We found it: the other end is told, too."""
        self.host.say(self.key, failure)
        self.tell_failed(failure)

    def tell_failed(self, failure: p.SpokeFailure) -> None:
        """Whoever found it."""
        self.tell(failure_of(failure.fault))

    def tell_silent(self) -> None:
        self.tell(Failure.SILENT)

    def tell_gone(self) -> None:
        self.tell(Failure.GONE)

    def tell_agreed(self) -> None:
        self.host.emit(PeerAgreed(self.key, self.identity))

    def send_no_handshake(self) -> None:
        self.host.say(p.RELAY, p.RelayFailure(p.Missing.HANDSHAKE, self.key))

    def exhaust(self) -> None:
        self.host.way.post(PeerInput.EXHAUSTED())

    def queue_up(self) -> None:
        self.host.turns.join(self.key, self.identity)

    def leave(self) -> None:
        self.host.forget_exchange(self.key)

    # -- inside

    def tell(self, failure: Failure) -> None:
        self.host.emit(PeerFailed(self.key, failure, identity=self.identity))


def failure_of(fault: p.SpokeFault) -> Failure:
    """What the application is told of a fault, whoever found it."""
    match fault:
        case p.SpokeFault.POINT:
            return Failure.BAD_POINT
        case p.SpokeFault.SERVER_VALIDATOR | p.SpokeFault.CLIENT_VALIDATOR:
            return Failure.WRONG_PASSWORD
        case p.SpokeFault.PUBLIC_PACKET | p.SpokeFault.SECRET_PACKET:
            return Failure.BAD_PUBLIC
        case _:
            assert_never(fault)
