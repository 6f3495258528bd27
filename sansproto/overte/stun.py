"""How a client learns its public address: STUN (RFC 5389), a binding request from the same socket.

docs/protocols/overte.rst, STUN.
"""

from __future__ import annotations

from typing import Annotated, Final

import attrs

from ..contract import Address, Lookup, Path
from ..errors import Fault, WireError
from ..old_machine import Machine
from ..snapshot import CACHED
from ..wire import U8, U16BE, Fixed, Packet, Rest, const, field, packet
from .events import ClientEvent
from .limits import ClientLimits
from .nodes import path_to
from .qt import SOCK_ADDR, TYPED_SOCK_ADDR, SockAddr
from .tables import STUN
from .tables.client import StunInput, StunState
from .transport import SOCKET, Transport

QUERY: Final = 2
"""The number of the lookup of the STUN server's name."""

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


@attrs.define(eq=False, weakref_slot=False)
class Asking:
    """What is known of the STUN server."""

    key: int = 0
    state: StunState = StunState.OFF
    server: Path | None = None
    transaction: bytes = b""
    tries: int = 0


class StunClient(Transport[ClientEvent], abstract=True):
    """The part of a client that knows how others see it."""

    _public: SockAddr | None  # our public socket; None: not yet known
    _asking: Asking
    _stun_server: Annotated[tuple[str, int] | None, CACHED]
    _local_host: Annotated[str | None, CACHED]
    _bounds: Annotated[ClientLimits, CACHED]

    _stun = Machine(STUN, objects="_asking")

    def _sockets_changed(self) -> None:
        """Our own addresses are known, or are others than before."""

    def _own_sockets(self) -> tuple[SockAddr, SockAddr]:
        """Our public and our local socket."""
        assert self.local is not None and self._public is not None  # the ladders see to it
        local = SockAddr(self._local_host or self.local.host, self.local.port)
        if path_to(local) is None or not _is_sendable(local):
            local = SockAddr("", local.port)
        return self._public, local

    def _pick(self, addresses: tuple[Address, ...]) -> Path:
        """The first address of our socket's family, if there is one; IPv4 while we have none."""
        ours = self.local is not None and ":" in self.local.host
        best = min(addresses, key=lambda address: (":" in address.host) is not ours)
        return Path(SOCKET, best.host, best.port, best.scope)

    def _learn_public(self) -> None:
        """Find out our public address, now that our socket is bound and somebody wants to know."""
        assert self.local is not None
        if self._stun_server is None:
            self._public = SockAddr("", self.local.port)
        elif self._asking.state is StunState.OFF:
            self._post(self._stun, self._asking, StunInput.START)
        elif self._asking.state is StunState.RESTING:
            self._post(self._stun, self._asking, "refresh")

    def take_first(self, data: bytes, path: Path) -> bool:
        server = self._asking.server
        if server is not None and path == server:
            self._binding_response(data)
            return True
        return False

    def _binding_response(self, data: bytes) -> None:
        try:
            response = BindingResponse.decode(data)
            address = response.address
        except WireError:
            self._drop("malformed BindingResponse")
            return
        self.stats.packets_received += 1
        if response.transaction != self._asking.transaction:
            self._drop("an answer to no question")
        else:
            self._post(self._stun, self._asking, StunInput.ANSWERED, address)

    # -- the table's checks and actions

    def _stun_is_nothing_found(self, _: Asking, addresses: tuple[Address, ...]) -> bool:
        return not addresses

    def _stun_is_exhausted(self, asking: Asking, _: object) -> bool:
        return asking.tries >= self._bounds.stun_tries

    def _stun_is_address_unknown(self, asking: Asking, _: object) -> bool:
        return asking.server is None

    def _stun_look_up(self, _: Asking, __: object) -> None:
        assert self._stun_server is not None
        self._outbox.append(Lookup(QUERY, *self._stun_server))

    def _stun_set_server(self, asking: Asking, addresses: tuple[Address, ...]) -> None:
        asking.server = self._pick(addresses)

    def _stun_start_round(self, asking: Asking, _: object) -> None:
        assert self._entropy is not None  # the constructor asks for it
        asking.transaction = self._entropy(12, purpose="stun.transaction")
        asking.tries = 0

    def _stun_send(self, asking: Asking, _: object) -> None:
        assert asking.server is not None  # the ladder saw to it
        asking.tries += 1
        self.send_datagram(BindingRequest(asking.transaction).encode(), asking.server, "BINDING_REQUEST")

    def _stun_adopt(self, _: Asking, address: SockAddr) -> None:
        self._public = address
        self._sockets_changed()

    def _stun_use_null(self, _: Asking, __: object) -> None:
        if self._public is None and self.local is not None:
            self._public = SockAddr("", self.local.port)
            self._sockets_changed()


def _is_sendable(sock: SockAddr) -> bool:
    try:
        TYPED_SOCK_ADDR.encode(sock)
    except WireError:
        return False
    return True
