"""A real toxcore without a system below it: its clock, its network and its random numbers are ours, but not its keys.

Only the library of Debian has what that takes: ``tox_options_set_operating_system``, which 0.2.20 has no more.
"""

from __future__ import annotations

import ctypes as c
import random
from collections import deque
from typing import Any, Final

from toxcore import Library, Toxcore

from sansproto.contract import Path

_FIRST: Final = 3
"""The number of its first socket."""
_FAMILY: Final = 2  # IPv4, as sockaddr has it
_POINTER, _INT, _SIZE = c.c_void_p, c.c_int, c.c_size_t


class _Address(c.Structure):
    _fields_ = (("storage", c.c_uint8 * 128), ("size", _SIZE))


_AT: Final = c.POINTER(_Address)
_NETWORK: Final[dict[str, Any]] = {
    # name: what it takes behind the object; all give an int
    "close": (_INT,),
    "accept": (_INT,),
    "bind": (_INT, _AT),
    "listen": (_INT, _INT),
    "recvbuf": (_INT,),
    "recv": (_INT, _POINTER, _SIZE),
    "recvfrom": (_INT, _POINTER, _SIZE, _AT),
    "send": (_INT, _POINTER, _SIZE),
    "sendto": (_INT, _POINTER, _SIZE, _AT),
    "socket": (_INT, _INT, _INT),
    "socket_nonblock": (_INT, c.c_bool),
    "getsockopt": (_INT, _INT, _INT, _POINTER, _POINTER),
    "setsockopt": (_INT, _INT, _INT, _POINTER, _SIZE),
    "getaddrinfo": (_INT, _POINTER),
    "freeaddrinfo": (_POINTER,),
}
_RANDOM: Final = {
    "random_bytes": c.CFUNCTYPE(None, _POINTER, _POINTER, _SIZE),
    "random_uniform": c.CFUNCTYPE(c.c_uint32, _POINTER, c.c_uint32),
}
_CLOCK: Final = c.CFUNCTYPE(c.c_uint64, _POINTER)


class _System(c.Structure):
    _fields_ = (("clock", _CLOCK), ("clock_object", _POINTER), ("random", _POINTER), ("network", _POINTER))


class Stream:
    """A connection to it."""

    def __init__(self) -> None:
        self.inbox, self.outbox, self.is_over = bytearray(), bytearray(), False


class VirtualToxcore(Toxcore):
    """One that acts when :meth:`at` is called, and whose packets are taken and given by hand. Its DHT is silent: who
    wants it to look for other nodes has to know some. It can be a relay, not a client of one: it connects by itself."""

    def __init__(self, library: Library, seed: int, **options: Any) -> None:
        self.now, self._sockets = 0.0, _FIRST
        self.streams: dict[int, Stream] = {}
        self._dialled: deque[int] = deque()
        self.inbox: deque[tuple[bytes, Path]] = deque()
        self.outbox: list[tuple[bytes, Path]] = []
        self._random = random.Random(seed)
        self._functions: list[Any] = []
        network = [self._function(name, takes) for name, takes in _NETWORK.items()]
        draws = [kind(getattr(self, f"_{name}")) for name, kind in _RANDOM.items()]
        clock = _CLOCK(lambda _: round(self.now * 1000))
        self._functions += [network, draws, clock]
        tables = [(_POINTER * len(some))(*(c.cast(one, _POINTER) for one in some)) for some in (draws, network)]
        pairs = [(_POINTER * 2)(c.cast(table, _POINTER), None) for table in tables]
        self._system = _System(clock, None, *(c.cast(pair, _POINTER) for pair in pairs))
        self._functions += [tables, pairs]
        super().__init__(library, system=c.addressof(self._system), **options)

    def at(self, now: float) -> list[tuple[bytes, Path]]:
        """Act at this time; the packets that it sends, and where to."""
        self.now = now
        self.turn()
        sent, self.outbox = self.outbox, []
        return sent

    def dial(self) -> Stream:
        """Connect to the port at which it is a relay."""
        number = self._socket()
        self._dialled.append(number)
        self.streams[number] = Stream()
        return self.streams[number]

    # -- what it asks of its system

    def _function(self, name: str, takes: tuple[Any, ...]) -> Any:
        does = getattr(self, f"_{name}", lambda *_: 0)
        return c.CFUNCTYPE(_INT, _POINTER, *takes)(does)

    def _socket(self, *_: int) -> int:
        self._sockets += 1
        return self._sockets

    def _accept(self, *_: int) -> int:
        return self._dialled.popleft() if self._dialled else -1

    def _recvbuf(self, _object: int, socket: int) -> int:
        return len(self.streams[socket].inbox)

    def _recv(self, _object: int, socket: int, buffer: int, size: int) -> int:
        inbox = self.streams[socket].inbox
        data = bytes(inbox[:size])
        del inbox[:size]
        c.memmove(buffer, data, len(data))
        return len(data) or -1

    def _send(self, _object: int, socket: int, data: int, size: int) -> int:
        self.streams[socket].outbox += c.string_at(data, size)
        return size

    def _close(self, _object: int, socket: int) -> int:
        if socket in self.streams:
            self.streams[socket].is_over = True
        return 0

    def _recvfrom(self, _object: int, _socket: int, buffer: int, _size: int, at: Any) -> int:
        if not self.inbox:
            return -1
        data, path = self.inbox.popleft()
        c.memmove(buffer, data, len(data))
        name = _FAMILY.to_bytes(2, "little") + path.port.to_bytes(2, "big") + bytes(map(int, path.host.split(".")))
        c.memmove(at, name.ljust(16, b"\0"), 16)
        at.contents.size = 16
        return len(data)

    def _sendto(self, _object: int, _socket: int, data: int, size: int, at: Any) -> int:
        name = bytes(at.contents.storage[:8])
        host = ".".join(map(str, name[4:]))
        self.outbox.append((c.string_at(data, size), Path("udp", host, int.from_bytes(name[2:4], "big"))))
        return size

    def _random_bytes(self, _object: int, to: int, size: int) -> None:
        c.memmove(to, self._random.randbytes(size), size)

    def _random_uniform(self, _object: int, below: int) -> int:
        return self._random.randrange(below) if below else 0
