"""What an offer of a client and a handshake of a server have in common. docs/protocols/bob.rst, failures."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Final, Protocol

from ..component import Component, Host
from ..errors import Fault, WireError
from ..machine import S
from ..snapshot import CACHED
from . import packets as p
from .events import Failure, PeerEvent, PeerFailed
from .limits import PeerDelays, PeerLimits
from .turns import Turns

_FAILURES: Final[dict[object, Failure]] = {
    p.SpokeFault.POINT: Failure.BAD_POINT,
    p.SpokeFault.SERVER_VALIDATOR: Failure.WRONG_PASSWORD,
    p.SpokeFault.CLIENT_VALIDATOR: Failure.WRONG_PASSWORD,
    Fault.BAD_POINT: Failure.BAD_POINT,
    Fault.BAD_MAC: Failure.WRONG_PASSWORD,
}


class ExchangeOwner(Protocol):
    """What an exchange asks of its peer."""

    @property
    def identity(self) -> str: ...
    @property
    def turns(self) -> Turns: ...
    @property
    def limits(self) -> PeerLimits: ...
    @property
    def delays(self) -> PeerDelays: ...
    @property
    def has_too_many(self) -> bool: ...
    def say(self, uid: int, packet: p.BobPacket) -> None: ...
    def exhaust(self) -> None: ...
    def forget_exchange(self, uid: int) -> None: ...


class Exchange(Component[S, Host[PeerEvent]]):
    """What a peer knows of another one."""

    identity: str
    """Of the other peer."""
    key: Annotated[int, CACHED]
    """Its uid."""
    delays: Annotated[PeerDelays, CACHED]
    owner: Annotated[Any, CACHED]

    def __init__(self, host: Host[PeerEvent], owner: ExchangeOwner, key: int) -> None:
        super().__init__(host)
        self.owner, self.key, self.delays = owner, key, owner.delays

    # -- for the peer

    @abstractmethod
    def have_turn(self) -> None:
        """It has waited long enough."""

    @abstractmethod
    def fail(self, fault: p.SpokeFault) -> None:
        """The other end says that it failed."""

    @abstractmethod
    def lose_peer(self) -> None:
        """The relay says that the other peer left."""

    @abstractmethod
    def abandon(self) -> None:
        """Nobody needs it any more."""

    # -- conditions

    def is_excessive(self) -> bool:
        """Of its kind?"""
        owner: ExchangeOwner = self.owner
        return owner.turns.guesses.of.get(self.key, 0) >= owner.limits.guesses_of_one or owner.has_too_many

    def is_held_back(self) -> bool:
        held: bool = self.owner.turns.is_busy()
        return held

    # -- actions

    def tell_failed(self, reason: p.SpokeFault | WireError) -> None:
        """``reason`` is what the other end said, or what was wrong with its packet."""
        fault = reason.fault if isinstance(reason, WireError) else reason
        self._tell(_FAILURES.get(fault, Failure.BAD_PUBLIC))

    def tell_silent(self) -> None:
        self._tell(Failure.SILENT)

    def tell_gone(self) -> None:
        self._tell(Failure.GONE)

    def send_no_handshake(self) -> None:
        self.owner.say(p.RELAY, p.RelayFailure(p.Missing.HANDSHAKE, self.key))

    def exhaust(self) -> None:
        self.owner.exhaust()

    def wait(self) -> None:
        self.owner.turns.join(self.key, self.identity)

    def take_turn(self) -> None:
        self.owner.turns.take_turn(self.identity)

    def leave(self) -> None:
        self.owner.forget_exchange(self.key)

    # -- inside

    def _tell(self, failure: Failure) -> None:
        self.host.emit(PeerFailed(self.key, failure, identity=self.identity))
