"""What an offer of a client and a handshake of a server have in common. docs/protocols/bob.rst, failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Protocol, TypeVar

from ..component import Component, Host
from ..machine import Input, S
from ..snapshot import CACHED
from . import packets as p
from .events import Failure, PeerAgreed, PeerEvent, PeerFailed
from .limits import PeerDelays, PeerLimits
from .turns import Turns
from .way import Agreed, PeerInput, Way

_FAILURES: Final = {
    p.SpokeFault.POINT: Failure.BAD_POINT,
    p.SpokeFault.SERVER_VALIDATOR: Failure.WRONG_PASSWORD,
    p.SpokeFault.CLIENT_VALIDATOR: Failure.WRONG_PASSWORD,
    p.SpokeFault.PUBLIC_PACKET: Failure.BAD_PUBLIC,
}


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

    def is_excessive(self) -> bool:
        """Of its kind?"""
        return self.host.turns.guesses.of.get(self.key, 0) >= self.host.limits.guesses_of_one or self.host.has_too_many

    def is_held_back(self) -> bool:
        return self.host.turns.is_busy()

    # -- actions

    def fail(self, failure: p.SpokeFailure) -> None:
        """We found it: the other end is told, too."""
        self.host.say(self.key, failure)
        self.tell_failed(failure)

    def tell_failed(self, failure: p.SpokeFailure) -> None:
        self.tell(_FAILURES[failure.fault])

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

    def wait(self) -> None:
        self.host.turns.join(self.key, self.identity)

    def take_turn(self) -> None:
        self.host.turns.take_turn(self.identity)

    def leave(self) -> None:
        self.host.forget_exchange(self.key)

    # -- inside

    def tell(self, failure: Failure) -> None:
        self.host.emit(PeerFailed(self.key, failure, identity=self.identity))
