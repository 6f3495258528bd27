"""How a client learns its public address: STUN (RFC 5389), a binding request from the same socket.

docs/protocols/overte.rst, STUN.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, NamedTuple

from ..contract import Address, Lookup, OwnAddress, Path
from ..errors import Fault, WireError
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..snapshot import CACHED
from ..wire import U8, U16BE, Fixed, Packet, Rest, const, field, packet
from .introduction import Sockets
from .limits import ClientDelays
from .parts import ClientHost, ClientPart
from .qt import SOCK_ADDR, SockAddr
from .remote import address_of, in_turn, own_socket, path_to

QUERY: Final = 2
"""The number of the lookup of the STUN server's name."""

OWN: Final = 3
"""The number of the question for our own address."""

_LOOPBACK: Final = "127.0.0.1"

COOKIE: Final = bytes.fromhex("2112a442")
_XOR_MAPPED_ADDRESS: Final = 0x0020
_MAX_ATTRIBUTES: Final = 1024


@packet(id=0x0001)
class BindingRequest(Packet):
    """How do you see my address?"""

    kind: bytes = const(b"\x00\x01")
    length: bytes = const(b"\x00\x00", "no attributes")
    cookie: bytes = const(COOKIE)
    transaction: bytes = field(Fixed(12))


@packet(id=0x0101)
class BindingResponse(Packet):
    kind: bytes = const(b"\x01\x01")
    length: int = field(U16BE, "of the attributes")
    cookie: bytes = const(COOKIE)
    transaction: bytes = field(Fixed(12), "as in the request")
    attributes: bytes = field(Rest(_MAX_ATTRIBUTES))

    def validate(self) -> None:
        if self.length != len(self.attributes) or self.length % 4:
            raise WireError(Fault.BAD_LENGTH, 2, "length")

    @property
    def address(self) -> SockAddr:
        """What XOR-MAPPED-ADDRESS says. Raises ``WireError`` if there is none, or none that is understood."""
        offset = 0
        while offset < len(self.attributes):
            head, offset = AttributeHead.decode_prefix(self.attributes, offset)
            end = offset + head.length
            if head.kind == _XOR_MAPPED_ADDRESS:
                return XorMappedAddress.decode(self.attributes[offset:end]).reveal(self.transaction)
            offset = end + -end % 4
        raise WireError(Fault.BAD_VALUE, 20, "attributes")


@packet
class AttributeHead(Packet):
    kind: int = field(U16BE)
    length: int = field(U16BE, "of the value, which is padded to a multiple of 4")


@packet
class XorMappedAddress(Packet):
    reserved: int = field(U8)
    family: int = field(U8, "1: IPv4, 2: IPv6")
    port: bytes = field(Fixed(2), "exclusive-ored with the cookie")
    host: bytes = field(Rest(16, min=4), "exclusive-ored with cookie and transaction")

    def reveal(self, transaction: bytes) -> SockAddr:
        heads = {(1, 4): b"\x00", (2, 16): b"\x01"}  # with which Qt's form of an address begins
        head = heads.get((self.family, len(self.host)))
        if head is None:
            raise WireError(Fault.BAD_LENGTH, 4, "host")
        scope = b"" if self.family == 1 else b"\xff\xff\xff\xff"
        host = _exclusive_or(self.host, COOKIE + transaction)
        return SOCK_ADDR.decode(head + host + scope + _exclusive_or(self.port, COOKIE))


def _exclusive_or(data: bytes, key: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(data, key, strict=False))


class StunState(Enum):
    OFF = 0
    RESOLVING = 1
    ASKING = 2
    RESTING = 3


class StunAnswer(NamedTuple):
    transaction: bytes
    address: SockAddr


class StunInput:
    WANTED = Input[StunState, Lookup]()
    """Somebody wants to know our public address, and this is how the server is found."""
    FOUND = Input[StunState, tuple[Address, ...]]()
    NOT_FOUND = Input[StunState, None]()
    RETRY = Input[StunState, None]()
    ANSWERED = Input[StunState, StunAnswer]()
    REFRESH = Input[StunState, None]()


class StunTimer:
    LOOKUP = Timer(StunInput.NOT_FOUND, ClientDelays.lookup)
    RETRY = Timer(StunInput.RETRY, ClientDelays.retry)
    REFRESH = Timer(StunInput.REFRESH, ClientDelays.refresh)


class StunClient(ClientPart[StunState]):
    """How others see us: our public address, by STUN if there is a server, and our local one."""

    public: SockAddr | None
    """Our public socket; None: not yet known."""
    servers: tuple[Path, ...]
    """Where the STUN server is, once it is found: its addresses are asked in turn."""
    transaction: bytes
    """Of this round of requests."""
    tries: int
    """Requests in this round."""
    own_host: str | None
    """Our address on the way to the domain, where our socket is bound to any; None: not yet known."""
    lookup: Annotated[Lookup | None, CACHED]
    """Of the server's name, if there is one."""
    local_host: Annotated[str | None, CACHED]
    known: Annotated[SockAddr | None, CACHED]
    """Our public socket, where the application knows it."""

    def __init__(
        self, host: ClientHost, name: tuple[str, int] | None, local_host: str | None, known: SockAddr | None
    ) -> None:
        super().__init__(host)
        self.known = known
        self.lookup, self.local_host = None if name is None else Lookup(QUERY, *name), local_host
        self.public, self.servers = None, ()
        self.transaction, self.tries, self.own_host = b"", 0, None

    # -- for the client

    def learn(self) -> None:
        """Find out our public address, if our socket is bound: somebody wants to know."""
        bound = self.host.local
        if bound is not None and self.lookup is None:
            self.public = self.known or SockAddr("", bound.port)
        elif bound is not None and self.lookup is not None:
            self.post(StunInput.WANTED(self.lookup))

    def looked_up(self, addresses: tuple[Address, ...]) -> None:
        self.post(StunInput.FOUND(addresses) if addresses else StunInput.NOT_FOUND())

    @property
    def sockets(self) -> Sockets | None:
        """Ours, once they are known. A local one has an address always: nodes on this machine would send to none."""
        local = self._local()
        return None if local is None or self.public is None else (self.public, local)

    def _local(self) -> SockAddr | None:
        bound = self.host.local
        if bound is None:
            return None
        local = own_socket(self.local_host or bound.host, bound.port)
        if path_to(local) is not None:
            return local
        return None if self.own_host is None else own_socket(self.own_host, bound.port)

    def find_own(self, path: Path) -> None:
        """Ask for our address on this way, if the socket does not say it."""
        if self.host.local is not None and (self.own_host is not None or self._local() is None):
            self.host.ask_transport(OwnAddress(OWN, address_of(path)))

    def found_own(self, addresses: tuple[Address, ...]) -> None:
        """Without a way there, ours for those on this machine."""
        self.own_host = addresses[0].host if addresses else _LOOPBACK
        self.host.sockets_changed()

    def do_without_own(self) -> None:
        """Nobody answered."""
        if self.host.local is not None and self._local() is None:
            self.own_host = _LOOPBACK

    def hear(self, data: bytes) -> None:
        """A datagram of the STUN server."""
        self.take(RESPONSE, data)

    # -- guards and conditions

    def read_response(self, data: bytes) -> StunAnswer:
        response = BindingResponse.decode(data)
        answer = StunAnswer(response.transaction, response.address)
        self.host.stats.packets_received += 1
        return answer

    def is_of_this_round(self, answer: StunAnswer) -> bool:
        return answer.transaction == self.transaction

    def is_exhausted(self) -> bool:
        return self.tries >= self.host.limits.stun_tries

    def is_address_known(self) -> bool:
        return bool(self.servers)

    # -- the table's actions

    def look_up(self, lookup: Lookup) -> None:
        self.host.ask_transport(lookup)

    def set_server(self, addresses: tuple[Address, ...]) -> None:
        self.servers = in_turn(addresses, self.host.local)
        self.start_round()

    def start_round(self) -> None:
        self.transaction, self.tries = self.host.draw(12, "stun.transaction"), 0
        self.send()

    def send(self) -> None:
        if self.servers:
            server = self.servers[self.tries % len(self.servers)]
            self.tries += 1
            self.host.send_datagram(BindingRequest(self.transaction).encode(), server, "BINDING_REQUEST")

    def adopt(self, answer: StunAnswer) -> None:
        self.public = answer.address
        self.host.sockets_changed()

    def use_null(self) -> None:
        if self.public is None and self.host.local is not None:
            self.public = SockAddr("", self.host.local.port)
            self.host.sockets_changed()


_S, _I, _T, _C = StunState, StunInput, StunTimer, StunClient

RESPONSE: Final = (
    Guards.of(_C, StunState, bytes, "response")
    .make(_C.read_response, "malformed BindingResponse", ref="STUN")
    .need(_C.is_of_this_round, "an answer to no question", ref="STUN")
    .give(_I.ANSWERED)
)

STUN: Final = Table[StunClient, StunState](
    StunClient,
    StunInput,
    StunTimer,
    name="overte.stun",
    initial=_S.OFF,
    idle={_S.OFF: "connect(), if there is a STUN server", _S.RESTING: "its refresh, as long as the session lives"},
    rows=(
        Row(_S.OFF, _I.WANTED, _S.RESOLVING, _C.look_up, arm=(_T.LOOKUP,), ref="STUN"),
        Row((_S.RESOLVING, _S.ASKING), _I.WANTED, None, ref="STUN"),
        Row(_S.RESOLVING, _I.FOUND, _S.ASKING, _C.set_server, arm=(_T.RETRY,), cancel=(_T.LOOKUP,), ref="STUN"),
        Row(_S.RESOLVING, _I.NOT_FOUND, _S.RESTING, _C.use_null, arm=(_T.REFRESH,), cancel=(_T.LOOKUP,), ref="STUN"),
        Row(_S.ASKING, _I.RETRY, _S.RESTING, _C.use_null, when=_C.is_exhausted, arm=(_T.REFRESH,), ref="STUN"),
        Row(_S.ASKING, _I.RETRY, None, _C.send, arm=(_T.RETRY,), ref="STUN"),
        Row(_S.ASKING, _I.ANSWERED, _S.RESTING, _C.adopt, arm=(_T.REFRESH,), cancel=(_T.RETRY,), ref="STUN"),
        Row(_S.RESTING, _I.REFRESH, None, _C.learn, ref="STUN"),
        Row(
            _S.RESTING,
            _I.WANTED,
            _S.ASKING,
            _C.start_round,
            when=_C.is_address_known,
            arm=(_T.RETRY,),
            cancel=(_T.REFRESH,),
            ref="STUN",
        ),
        Row(_S.RESTING, _I.WANTED, _S.RESOLVING, _C.look_up, arm=(_T.LOOKUP,), cancel=(_T.REFRESH,), ref="STUN"),
    ),
    defaults=(Default(Outcome.IGNORE, "late answer"),),
)
