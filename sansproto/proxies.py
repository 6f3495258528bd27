"""A stream link through a proxy, HTTP or SOCKS5: the first words on it, until it leads where it should.

docs/protocols/links.rst, proxies. A protocol dials the proxy instead of its own target, starts a :class:`ProxyCall` on
the link that has opened, gives it what comes, and goes on as with a link of its own when it is told to.
"""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Final, Protocol, TypeAlias, assert_never

import attrs

from .component import Component, Host
from .contract import Address
from .errors import Fault, WireError
from .events import CloseCause
from .machine import Default, Guards, Input, Outcome, Row, Table
from .snapshot import CACHED
from .wire import (
    PRINTABLE,
    U8,
    U16BE,
    Buffer,
    Bytes,
    Codec,
    Fixed,
    OneOf,
    Packet,
    Shape,
    Terminated,
    Text,
    by_id,
    const,
    field,
    packet,
)

MAX_REPLY: Final = 8192
"""Bytes of the longest answer of an HTTP proxy, up to its empty line and with it."""

_MAX_NAME: Final = 255
_MAX_TARGET: Final = _MAX_NAME + len(":65535")
_EMPTY_LINE: Final = b"\r\n\r\n"
_STATUS_SIZE: Final = len("HTTP/1.1 200")
_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{_MAX_NAME}}}")
_NO_SPACE: Final = PRINTABLE.replace(b" ", b"")


class ProxyKind(Enum):
    """How a proxy is asked."""

    HTTP = "http"
    """By CONNECT of HTTP/1.1."""
    SOCKS5 = "socks5"
    """By SOCKS5 (RFC 1928), without a password."""


@attrs.frozen
class Proxy:
    """A proxy for stream links."""

    kind: ProxyKind
    """How it is asked."""
    address: Address
    """Where it listens."""


class ProxyFailure(Enum):
    """Why no link came about through a proxy."""

    UNREACHABLE = 0
    """There is no connection to the proxy: nothing listens there, or its name cannot be resolved."""
    SILENT = 1
    """The proxy has neither taken the connection nor answered in time."""
    CLOSED = 2
    """The proxy has ended the connection before its answer was complete."""
    BAD_REPLY = 3
    """The bytes that came are not an answer of such a proxy, or are too long."""
    NEEDS_PASSWORD = 4
    """The proxy wants to know who asks."""
    BAD_NAME = 5
    """The target's name cannot be sent to a proxy."""
    REFUSED = 6
    """An HTTP proxy answered with another status than 200, which the text for people names."""
    GENERAL_FAILURE = 7
    """SOCKS5, code 1."""
    NOT_ALLOWED = 8
    """SOCKS5, code 2: the rules of the proxy forbid it."""
    NETWORK_UNREACHABLE = 9
    """SOCKS5, code 3."""
    HOST_UNREACHABLE = 10
    """SOCKS5, code 4: this is also what a name gives that is not known."""
    CONNECTION_REFUSED = 11
    """SOCKS5, code 5: nobody listens there."""
    TTL_EXPIRED = 12
    """SOCKS5, code 6."""
    COMMAND_NOT_SUPPORTED = 13
    """SOCKS5, code 7."""
    ADDRESS_NOT_SUPPORTED = 14
    """SOCKS5, code 8: the proxy does not know such addresses."""
    UNKNOWN_CODE = 15
    """SOCKS5, another code, which the text for people names."""


SOCKS_FAILURES: Final = {
    1: ProxyFailure.GENERAL_FAILURE,
    2: ProxyFailure.NOT_ALLOWED,
    3: ProxyFailure.NETWORK_UNREACHABLE,
    4: ProxyFailure.HOST_UNREACHABLE,
    5: ProxyFailure.CONNECTION_REFUSED,
    6: ProxyFailure.TTL_EXPIRED,
    7: ProxyFailure.COMMAND_NOT_SUPPORTED,
    8: ProxyFailure.ADDRESS_NOT_SUPPORTED,
}
"""By the codes of SOCKS5."""


# -- packets -----------------------------------------------------------------------------------------------------------


@packet
class SocksGreeting(Packet):
    """How this end could say who it is."""

    version: bytes = const(b"\5")
    methods: bytes = field(Bytes(U8, min=1, max=255), "each byte is one; 0: not at all")


@packet
class SocksChoice(Packet):
    version: bytes = const(b"\5")
    method: int = field(U8, "one of those; 255: none of them will do")


@packet(id=1)
class SocksV4(Packet):
    address: bytes = field(Fixed(4))


@packet(id=3)
class SocksName(Packet):
    name: str = field(Text(U8, max=_MAX_NAME, encoding="latin-1"), "the proxy looks it up")


@packet(id=4)
class SocksV6(Packet):
    address: bytes = field(Fixed(16))


SocksHost: TypeAlias = SocksV4 | SocksName | SocksV6
SOCKS_HOST: Final = OneOf[SocksHost](U8, by_id(SocksV4, SocksName, SocksV6))


@packet
class SocksRequest(Packet):
    """Connect me with a target."""

    version: bytes = const(b"\5")
    command: bytes = const(b"\1", "connect")
    reserved: bytes = const(b"\0")
    host: SocksHost = field(SOCKS_HOST)
    port: int = field(U16BE)


@packet
class SocksReply(Packet):
    """The answer: only if it is a yes, SocksBound has to follow."""

    version: bytes = const(b"\5")
    code: int = field(U8, "0: this is the target from here on")


@packet
class SocksBound(Packet):
    """From where the proxy speaks to the target. Nobody needs it."""

    reserved: int = field(U8)
    host: SocksHost = field(SOCKS_HOST)
    port: int = field(U16BE)


@packet
class HttpConnect(Packet):
    """Connect me with a target."""

    method: bytes = const(b"CONNECT ")
    target: str = field(Terminated(_MAX_TARGET, b" ", allowed=_NO_SPACE), "host and port")
    version: bytes = const(b"HTTP/1.1\r\nHost: ")
    host: str = field(Terminated(_MAX_TARGET, _EMPTY_LINE, allowed=_NO_SPACE), "the same")


@attrs.frozen
class _UpToEmptyLine(Codec[bytes]):
    """Bytes up to an empty line, at most so many together with it. They are looked at for nothing else."""

    max: int

    def shape(self) -> Shape:
        return Shape(f"lines up to an empty one, at most {self.max} bytes", len(_EMPTY_LINE), self.max)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[bytes, int]:
        found = bytes(data[offset : min(end, offset + self.max)])
        size = found.find(_EMPTY_LINE)
        if size >= 0:
            return found[:size], offset + size + len(_EMPTY_LINE)
        if len(found) == self.max:
            raise WireError(Fault.BAD_LENGTH, offset)
        raise WireError(Fault.TRUNCATED, offset, need=1)

    def encode(self, value: bytes) -> bytes:
        data = value + _EMPTY_LINE
        if len(data) > self.max or data.find(_EMPTY_LINE) < len(value):
            raise WireError(Fault.BAD_VALUE)
        return data


@attrs.frozen
class _Digits(Codec[bytes]):
    """So many digits. Anything else is no packet as soon as it is there: nobody waits for what belongs behind it."""

    size: int

    def shape(self) -> Shape:
        return Shape(f"{self.size} digits", self.size, self.size)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[bytes, int]:
        found = bytes(data[offset : min(end, offset + self.size)])
        if found and not found.isdigit():
            raise WireError(Fault.BAD_VALUE, offset)
        if len(found) < self.size:
            raise WireError(Fault.TRUNCATED, offset, need=self.size - len(found))
        return found, offset + self.size

    def encode(self, value: bytes) -> bytes:
        if len(value) != self.size or not value.isdigit():
            raise WireError(Fault.BAD_VALUE)
        return value


@packet
class HttpReply(Packet):
    """The answer, of HTTP/1.0 or HTTP/1.1."""

    version: bytes = const(b"HTTP/1.")
    minor: bytes = field(Fixed(1))
    space: bytes = const(b" ")
    status: bytes = field(_Digits(3), "200: this is the target from behind the empty line on")
    rest: bytes = field(_UpToEmptyLine(MAX_REPLY - _STATUS_SIZE), "not looked at")


ProxyPacket: TypeAlias = SocksChoice | SocksReply | SocksBound | HttpReply
"""What a proxy says."""


def socks_host(host: str) -> SocksHost | None:
    """An address, or a name that the proxy looks up; None for what is neither."""
    try:
        address = ip_address(host)
    except ValueError:
        return SocksName(host) if _NAME.fullmatch(host) else None
    return SocksV6(address.packed) if isinstance(address, IPv6Address) else SocksV4(address.packed)


def http_connect(target: Address) -> HttpConnect:
    """A request for what :func:`socks_host` knows."""
    host = f"[{target.host.partition('%')[0]}]" if ":" in target.host else target.host
    return HttpConnect(f"{host}:{target.port}", f"{host}:{target.port}")


# -- the object --------------------------------------------------------------------------------------------------------


class ProxyState(Enum):
    NEW = 0
    GREETING = 1
    """SOCKS5: the proxy has to say whether it wants a password."""
    ASKING = 2
    """SOCKS5: it was asked for the target."""
    BINDING = 3
    """SOCKS5: it said yes, and the rest of its answer has to come."""
    CONNECTING = 4
    """HTTP: it was asked for the target."""
    DONE = 5
    """Its owner was told, and ends it."""


class ProxyInput:
    START = Input[ProxyState, None]()
    CHOSEN = Input[ProxyState, SocksChoice]()
    DECLINED = Input[ProxyState, SocksChoice]()
    GRANTED = Input[ProxyState, SocksReply]()
    REFUSED = Input[ProxyState, SocksReply]()
    BOUND = Input[ProxyState, SocksBound]()
    CONNECTED = Input[ProxyState, HttpReply]()
    DENIED = Input[ProxyState, HttpReply]()


class ProxyOwner(Protocol):
    """What is asked of whoever has the link."""

    def write_to_proxy(self, packet: Packet) -> None: ...

    def proxy_granted(self) -> None:
        """The link is one to the target from here on."""

    def proxy_failed(self, cause: CloseCause, failure: ProxyFailure, detail: str) -> None:
        """It will be none."""


class ProxyCall(Component[ProxyState, Host[Any]]):
    """One link to a proxy, and the question for one target.

    How long that may take, and what a link that ends means, is left to its owner.
    """

    target: Address
    proxy: Annotated[Proxy, CACHED]
    owner: Annotated[ProxyOwner, CACHED]

    def __init__(self, host: Host[Any], owner: ProxyOwner, proxy: Proxy) -> None:
        super().__init__(host)
        self.owner, self.proxy, self.target = owner, proxy, Address("", 0)

    def begin(self, target: Address) -> None:
        """The link to the proxy is open."""
        self.target = target
        self.post(_I.START())

    # -- for its owner

    def decode(self, data: bytes, offset: int) -> tuple[ProxyPacket, int]:
        """The next packet on the link."""
        return _EXPECTED[self.state].decode_prefix(data, offset)

    def hear(self, packet: ProxyPacket) -> None:
        """It was decoded."""
        match packet:
            case SocksChoice():
                self.take(CHOICE, packet)
            case SocksReply():
                self.take(REPLY, packet)
            case SocksBound():
                self.post(_I.BOUND(packet))
            case HttpReply():
                self.take(HTTP_REPLY, packet)
            case _:
                assert_never(packet)

    # -- guards and conditions

    def is_unspeakable(self) -> bool:
        """Is the target one that no proxy can be told?"""
        return socks_host(self.target.host) is None

    def is_http(self) -> bool:
        return self.proxy.kind is ProxyKind.HTTP

    def is_without_password(self, choice: SocksChoice) -> bool:
        return choice.method == 0

    def is_yes(self, reply: SocksReply) -> bool:
        return reply.code == 0

    def is_200(self, reply: HttpReply) -> bool:
        """Exactly that: what follows is no fourth digit."""
        return reply.status == b"200" and reply.rest[:1] in (b"", b" ", b"\r")

    # -- actions

    def connect(self) -> None:
        self.owner.write_to_proxy(http_connect(self.target))

    def greet(self) -> None:
        self.owner.write_to_proxy(SocksGreeting(b"\0"))

    def ask(self) -> None:
        host = socks_host(self.target.host)
        assert host is not None  # else it would not have begun
        self.owner.write_to_proxy(SocksRequest(host, self.target.port))

    def tell_granted(self) -> None:
        self.owner.proxy_granted()

    def tell_bad_name(self) -> None:
        self._fail(ProxyFailure.BAD_NAME, "no proxy can be told this name", CloseCause.UNREACHABLE)

    def tell_declined(self) -> None:
        self._fail(ProxyFailure.NEEDS_PASSWORD, "the proxy wants a password")

    def tell_refused(self, reply: SocksReply) -> None:
        failure = SOCKS_FAILURES.get(reply.code, ProxyFailure.UNKNOWN_CODE)
        name = failure.name.lower().replace("_", " ")
        self._fail(failure, f"the proxy answers with code {reply.code}, {name}")

    def tell_denied(self, reply: HttpReply) -> None:
        failure = ProxyFailure.NEEDS_PASSWORD if reply.status in (b"401", b"407") else ProxyFailure.REFUSED
        self._fail(failure, f"the proxy answers with status {reply.status.decode()}")

    # -- inside

    def _fail(self, failure: ProxyFailure, detail: str, cause: CloseCause = CloseCause.REFUSED) -> None:
        self.owner.proxy_failed(cause, failure, detail)


_S, _I, _C = ProxyState, ProxyInput, ProxyCall
_REF: Final = "proxies"
_EXPECTED: Final[dict[ProxyState, type[ProxyPacket]]] = {
    _S.GREETING: SocksChoice,
    _S.ASKING: SocksReply,
    _S.BINDING: SocksBound,
    _S.CONNECTING: HttpReply,
}

CHOICE: Final = (
    Guards.of(ProxyCall, _S, SocksChoice, "choice")
    .give_if(_C.is_without_password, _I.CHOSEN, ref=_REF)
    .give(_I.DECLINED)
)
REPLY: Final = Guards.of(ProxyCall, _S, SocksReply, "reply").give_if(_C.is_yes, _I.GRANTED, ref=_REF).give(_I.REFUSED)
HTTP_REPLY: Final = (
    Guards.of(ProxyCall, _S, HttpReply, "HTTP reply").give_if(_C.is_200, _I.CONNECTED, ref=_REF).give(_I.DENIED)
)

_OWNER: Final = "its owner, whose timer runs until the link leads to the target"

PROXY: Final = Table[ProxyCall, ProxyState](
    ProxyCall,
    ProxyInput,
    name="links.proxy",
    initial=_S.NEW,
    terminal=(_S.DONE,),
    idle=dict.fromkeys((_S.NEW, _S.GREETING, _S.ASKING, _S.BINDING, _S.CONNECTING), _OWNER),
    rows=(
        Row(_S.NEW, _I.START, _S.DONE, _C.tell_bad_name, when=_C.is_unspeakable, ref=_REF),
        Row(_S.NEW, _I.START, _S.CONNECTING, _C.connect, when=_C.is_http, ref=_REF),
        Row(_S.NEW, _I.START, _S.GREETING, _C.greet, ref=_REF),
        Row(_S.GREETING, _I.CHOSEN, _S.ASKING, _C.ask, ref=_REF),
        Row(_S.GREETING, _I.DECLINED, _S.DONE, _C.tell_declined, ref=_REF),
        Row(_S.ASKING, _I.GRANTED, _S.BINDING, ref=_REF),
        Row(_S.ASKING, _I.REFUSED, _S.DONE, _C.tell_refused, ref=_REF),
        Row(_S.BINDING, _I.BOUND, _S.DONE, _C.tell_granted, ref=_REF),
        Row(_S.CONNECTING, _I.CONNECTED, _S.DONE, _C.tell_granted, ref=_REF),
        Row(_S.CONNECTING, _I.DENIED, _S.DONE, _C.tell_denied, ref=_REF),
    ),
    defaults=(Default(Outcome.IGNORE, "late"),),
)
