"""From which of our addresses datagrams go out, where a socket has all of them."""

from __future__ import annotations

import errno
import socket
import time
from collections import OrderedDict
from typing import Any, Final, TypeAlias

_IP_PKTINFO: Final = 8  # Linux; the socket module does not name it everywhere
_V4, _V6 = (socket.IPPROTO_IP, _IP_PKTINFO), (socket.IPPROTO_IPV6, getattr(socket, "IPV6_PKTINFO", 50))
_ANCILLARY: Final = 256
"""Bytes: whoever made the socket may want to hear more than we do."""

LATELY: Final = 6.0
"""Seconds. Who is not heard for longer may have no way any more to the address that it called."""

MOST: Final = 4096
"""Senders of which it is known which address they called."""

Origin: TypeAlias = tuple[int, int, bytes]


class Origins:
    """A socket that is bound to any address, which answers from the one that was called.

    The kernel would take the one that is nearest to the other end: who called another one gets answers from a stranger.
    To those whom we called first everything goes out as the kernel likes, for the way to them may change, and our
    address with it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._called: OrderedDict[Any, tuple[Origin, float] | None] = OrderedDict()
        """By who called: the origin of answers, and when they were heard. None: we called them."""
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(*_V4, 1)

    @staticmethod
    def are_many(sock: socket.socket) -> bool:
        """Can it be told which address was called, and is there more than one?"""
        return hasattr(socket, "MSG_ERRQUEUE") and sock.getsockname()[0] in ("0.0.0.0", "::")

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        data, ancillary, _, sender = self._socket.recvmsg(size, _ANCILLARY)
        if sender not in self._called or self._called[sender] is not None:
            for level, kind, info in ancillary:
                if (level, kind) == _V4:  # the interface, the address that was called, the one in the header
                    self._keep(sender, ((level, kind, bytes(4) + info[4:8] + bytes(4)), time.monotonic()))
                elif (level, kind) == _V6:  # the address that was called, the interface
                    self._keep(sender, ((level, kind, info[:16] + bytes(4)), time.monotonic()))
        return data, sender

    def sendto(self, data: bytes, to: Any) -> None:
        if to not in self._called:
            self._keep(to, None)
        elif (known := self._called[to]) is not None and time.monotonic() - known[1] < LATELY:
            try:
                self._socket.sendmsg((data,), (known[0],), 0, to)
                return
            except OSError as error:
                if error.errno != errno.EINVAL:  # else it is ours no longer
                    raise
        self._socket.sendto(data, to)

    def _keep(self, who: Any, known: tuple[Origin, float] | None) -> None:
        self._called[who] = known
        if len(self._called) > MOST:
            self._called.popitem(last=False)
