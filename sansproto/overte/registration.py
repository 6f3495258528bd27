"""How a domain is found behind a router: it registers at an ice-server, and pings the clients that this one names.

docs/protocols/overte.rst, heartbeats and ICE.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Self

import attrs

from ..component import Component, Parts
from ..contract import Address, Lookup, Path
from ..endpoint import Received
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from .crypto import load_private_key, sign
from .ice_events import KeyRefused
from .limits import ServerDelays
from .packets import ICEPingReply, ICEServerHeartbeat, ICEServerPeerInformation
from .parts import Arrival, ServerHost, reads, receives
from .punch import Punch, PunchInput
from .qt import SOCK_ADDR, SockAddr
from .remote import in_turn, own_socket, turned
from .versions import PacketType


def _signs(_: object, field: attrs.Attribute[bytes], value: bytes) -> None:
    load_private_key(value)


def _is_address(_: object, field: attrs.Attribute[Any], value: Address | str | None) -> None:
    if value is not None:
        host, port = (value, 0) if isinstance(value, str) else (value.host, value.port)
        SOCK_ADDR.encode(SockAddr(host, port))


@attrs.frozen(kw_only=True)
class IceRegistration:
    """With which ice-servers a domain registers, and how.

    Raises ValueError without servers, and for addresses that are none; :class:`~sansproto.overte.crypto.BadKey` for a
    key that cannot sign.
    """

    servers: tuple[tuple[str, int], ...] = attrs.field(validator=attrs.validators.min_len(1))
    """Host, a name or an address, and port: they are tried in turn."""
    private_key: bytes = attrs.field(repr=False, validator=_signs)
    """An RSA key in DER."""
    public: Address | None = attrs.field(default=None, validator=_is_address)
    """The address that our socket has for others; None leaves it to the ice-server to see."""
    local_host: str | None = attrs.field(default=None, validator=_is_address)
    """Our address on the own network, where the socket is bound to any."""


@attrs.frozen
class Signed:
    """Where we are, in a form to tell an ice-server: it is the same each time, so it is signed once."""

    local: Address
    payload: bytes

    @classmethod
    def by(cls, ice: IceRegistration, domain_id: bytes, local: Address) -> Self:
        own = own_socket(ice.local_host or local.host, local.port)
        public = SockAddr("", local.port) if ice.public is None else SockAddr(ice.public.host, ice.public.port)
        signature = sign(ice.private_key, ICEServerHeartbeat(domain_id, public, own, None).signed)
        return cls(local, ICEServerHeartbeat(domain_id, public, own, signature).encode())


class RegistrationState(Enum):
    NEW = 0
    RESOLVING = 1
    BEATING = 2
    PAUSING = 3
    """The name of this ice-server was not found."""


class RegistrationInput:
    START = Input[RegistrationState, None]()
    FOUND = Input[RegistrationState, tuple[Address, ...]]()
    NOT_FOUND = Input[RegistrationState, None]()
    PAUSED = Input[RegistrationState, None]()
    """For long enough."""
    DUE = Input[RegistrationState, None]()
    """A heartbeat."""
    ACKED = Input[RegistrationState, Arrival]()
    DENIED = Input[RegistrationState, Arrival]()
    CLIENT_NAMED = Input[RegistrationState, ICEServerPeerInformation]()
    CLIENT_REPLIED = Input[RegistrationState, Punch]()


class RegistrationTimer:
    LOOKUP = Timer(RegistrationInput.NOT_FOUND, ServerDelays.lookup)
    BEAT = Timer(RegistrationInput.DUE, ServerDelays.beat)
    PAUSE = Timer(RegistrationInput.PAUSED, ServerDelays.beat)


class Registration(Component[RegistrationState, ServerHost]):
    """A domain at its ice-servers, of which it tries one after the other."""

    signed: Signed
    number: int
    """Of the ice-server that is tried."""
    query: int
    """The number of the last look-up."""
    addresses: tuple[Path, ...]
    """Where it is, once it is found: its addresses are tried in turn until one answers."""
    server: Path | None
    """The one that is tried, or answers."""
    unanswered: int
    """Heartbeats."""
    denials: int
    """One after the other."""
    punches: Parts[bytes, Punch]
    """By ICE client id."""
    servers: Annotated[tuple[tuple[str, int], ...], CACHED]
    delays: Annotated[ServerDelays, CACHED]

    def __init__(self, host: ServerHost, servers: tuple[tuple[str, int], ...]) -> None:
        super().__init__(host)
        self.servers, self.delays = servers, host.delays
        self.server, self.addresses = None, ()
        self.number = self.query = self.unanswered = self.denials = 0
        self.punches = Parts(lambda client_id: Punch(host, self.punches, client_id))

    def begin(self, signed: Signed) -> None:
        self.signed = signed
        self.post(RegistrationInput.START())

    # -- what happens

    def looked_up(self, addresses: tuple[Address, ...]) -> None:
        self.post(RegistrationInput.FOUND(addresses) if addresses else RegistrationInput.NOT_FOUND())

    # -- guards

    def is_of_server(self, arrival: Arrival) -> bool:
        return arrival.path in self.addresses

    def has_room(self, client: ICEServerPeerInformation) -> bool:
        return client.id in self.punches or len(self.punches) < self.host.limits.punches

    def find_punch(self, replied: Received[ICEPingReply]) -> Punch | None:
        punch = self.punches.get(replied.packet.ice_id)
        return punch if punch is not None and replied.path in punch.targets.values() else None

    def is_denied_often(self) -> bool:
        return self.denials >= self.host.limits.denials

    def is_unanswered(self) -> bool:
        return self.unanswered > self.host.limits.beats

    # -- actions

    def look_up(self) -> None:
        self.query += 1
        self.host.ask_transport(Lookup(self.query, *self.servers[self.number]))

    def adopt(self, addresses: tuple[Address, ...]) -> None:
        self.addresses = in_turn(addresses, self.signed.local)
        self.server = self.addresses[0]
        self.unanswered = self.denials = 0

    def beat(self) -> None:
        if self.server is not None:
            if self.unanswered:
                self.server = turned(self.addresses, self.server)
            self.unanswered += 1
            self.host.send_raw(self.server, PacketType.ICE_SERVER_HEARTBEAT, self.signed.payload)

    def try_next(self) -> None:
        self.number = (self.number + 1) % len(self.servers)
        self.server, self.addresses = None, ()

    def note_ack(self, arrival: Arrival) -> None:
        self.server = arrival.path
        self.unanswered = self.denials = 0

    def note_denial(self, arrival: Arrival) -> None:
        self.server = arrival.path
        self.unanswered, self.denials = 0, self.denials + 1  # it is there, after all

    def tell_key_refused(self) -> None:
        self.host.emit(KeyRefused(*self.servers[self.number]))

    def ping_client(self, client: ICEServerPeerInformation) -> None:
        punch = self.punches.get(client.id) or self.punches.add(client.id)
        punch.post(PunchInput.TOLD(client))

    def note_reply(self, punch: Punch) -> None:
        punch.post(PunchInput.REACHED())


_S, _I, _T, _R = RegistrationState, RegistrationInput, RegistrationTimer, Registration
_STRANGER: Final = "not from our ice-server"

ACK: Final = Guards.of(_R, _S, Arrival, "ack").need(_R.is_of_server, _STRANGER, ref="heartbeats").give(_I.ACKED)
DENIAL: Final = Guards.of(_R, _S, Arrival, "denial").need(_R.is_of_server, _STRANGER, ref="heartbeats").give(_I.DENIED)
CLIENT: Final = (
    Guards.of(_R, _S, Arrival, "client")
    .need(_R.is_of_server, _STRANGER, ref="ICE")
    .make(reads(ICEServerPeerInformation), "malformed ICEServerPeerInformation", ref="ICE")
    .need(_R.has_room, "too many clients at once", ref="ICE")
    .give(_I.CLIENT_NAMED)
)
REPLY: Final = (
    Guards.of(_R, _S, Arrival, "reply")
    .make(receives(ICEPingReply), "malformed ICEPingReply", ref="ICE")
    .make(_R.find_punch, "late", ref="ICE")
    .give(_I.CLIENT_REPLIED)
)

REGISTRATION: Final = Table[Registration, RegistrationState](
    Registration,
    RegistrationInput,
    RegistrationTimer,
    name="overte.registration",
    initial=_S.NEW,
    idle={
        _S.NEW: "the domain's socket",
        _S.PAUSING: "the next look-up, as long as the domain lives",
    },
    rows=(
        Row(_S.NEW, _I.START, _S.RESOLVING, _R.look_up, arm=(_T.LOOKUP,), ref="heartbeats"),
        Row(
            _S.RESOLVING, _I.FOUND, _S.BEATING, _R.adopt, _R.beat, arm=(_T.BEAT,), cancel=(_T.LOOKUP,), ref="heartbeats"
        ),
        Row(
            _S.RESOLVING, _I.NOT_FOUND, _S.PAUSING, _R.try_next, arm=(_T.PAUSE,), cancel=(_T.LOOKUP,), ref="heartbeats"
        ),
        Row(_S.PAUSING, _I.PAUSED, _S.RESOLVING, _R.look_up, arm=(_T.LOOKUP,), ref="heartbeats"),
        Row(
            _S.BEATING,
            _I.DUE,
            _S.RESOLVING,
            _R.try_next,
            _R.look_up,
            when=_R.is_unanswered,
            arm=(_T.LOOKUP,),
            ref="heartbeats",
        ),
        Row(_S.BEATING, _I.DUE, None, _R.beat, arm=(_T.BEAT,), ref="heartbeats"),
        Row(_S.BEATING, _I.ACKED, None, _R.note_ack, ref="heartbeats"),
        Row(_S.BEATING, _I.DENIED, None, _R.note_ack, _R.tell_key_refused, when=_R.is_denied_often, ref="heartbeats"),
        Row(_S.BEATING, _I.DENIED, None, _R.note_denial, ref="heartbeats"),
        Row(_S.BEATING, _I.CLIENT_NAMED, None, _R.ping_client, ref="ICE"),
        Row(tuple(_S), _I.CLIENT_REPLIED, None, _R.note_reply, ref="ICE"),
    ),
    defaults=(Default(Outcome.IGNORE, "late answer"),),
)
