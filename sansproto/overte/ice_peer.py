"""Who an ice-server knows: docs/protocols/overte.rst, ice-server."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol, Self

import attrs

from ..component import Component, Host
from ..contract import Path
from ..endpoint import Received
from ..machine import Default, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .ice_events import IcePeerAdded, IcePeerRemoved, IceServerEvent
from .limits import IceDelays
from .packets import ICEServerHeartbeat, ICEServerPeerInformation, ICEServerQuery
from .qt import SockAddr
from .remote import address_of, path_to


@attrs.frozen(weakref_slot=False)
class Seen:
    """Where a peer is. If it does not know its public socket, what it looks like from here is the best guess."""

    path: Path
    """From there its last packet came."""
    public: SockAddr
    local: SockAddr
    is_domain: bool

    @classmethod
    def by(cls, received: Received[ICEServerHeartbeat] | Received[ICEServerQuery]) -> Self:
        packet, path = received.packet, received.path
        public = packet.public_socket if path_to(packet.public_socket) else SockAddr(path.host, path.port)
        return cls(path, public, packet.local_socket, isinstance(packet, ICEServerHeartbeat))

    def information(self, key: bytes) -> ICEServerPeerInformation:
        return ICEServerPeerInformation(key, self.public, self.local)


class IcePeerState(Enum):
    NEW = 0
    KNOWN = 1
    GONE = 2


class IcePeerInput:
    SPOKE = Input[IcePeerState, Seen]()
    """It was heard, and may speak under this id."""
    SILENT = Input[IcePeerState, None]()


class IcePeerTimer:
    SILENCE = Timer(IcePeerInput.SILENT, IceDelays.silence)


class IcePeerOwner(Protocol):
    """Who keeps the peers."""

    def forget_peer(self, key: bytes) -> None: ...


class IcePeer(Component[IcePeerState, Host[IceServerEvent]]):
    """A domain that beats, or a client that asked."""

    __slots__ = ("delays", "key", "owner", "seen")
    seen: Seen
    key: Annotated[bytes, CACHED]
    owner: Annotated[IcePeerOwner, CACHED]
    delays: Annotated[IceDelays, CACHED]

    def __init__(self, host: Host[IceServerEvent], owner: IcePeerOwner, delays: IceDelays, key: bytes) -> None:
        super().__init__(host)
        self.owner, self.delays, self.key = owner, delays, key

    def note(self, seen: Seen) -> None:
        self.seen = seen

    def becomes_domain(self, seen: Seen) -> bool:
        return seen.is_domain and not self.seen.is_domain

    def forget_it(self) -> None:
        self.owner.forget_peer(self.key)

    def tell_added(self) -> None:
        self.host.emit(IcePeerAdded(self.key, address_of(self.seen.path), is_domain=self.seen.is_domain))

    def tell_removed(self) -> None:
        self.host.emit(IcePeerRemoved(self.key))


_S, _I, _T, _P = IcePeerState, IcePeerInput, IcePeerTimer, IcePeer

ICE_PEER: Final = Table[IcePeer, IcePeerState](
    IcePeer,
    IcePeerInput,
    IcePeerTimer,
    name="overte.ice_peer",
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "the packet that makes it"},
    rows=(
        Row(_S.NEW, _I.SPOKE, _S.KNOWN, _P.tell_added, arm=(_T.SILENCE,), ref="ice-server"),
        Row(
            _S.KNOWN,
            _I.SPOKE,
            None,
            _P.tell_removed,
            _P.note,
            _P.tell_added,
            when=_P.becomes_domain,
            arm=(_T.SILENCE,),
            ref="ice-server",
        ),
        Row(_S.KNOWN, _I.SPOKE, None, _P.note, arm=(_T.SILENCE,), ref="ice-server"),
        Row(_S.KNOWN, _I.SILENT, _S.GONE, _P.forget_it, _P.tell_removed, ref="ice-server"),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
