"""The datagram socket of a label, and what the network reports about datagrams that did not arrive.

Linux takes many datagrams of one size for one address at once, and gives what came like this at once, too (UDP_SEGMENT,
UDP_GRO). Where it cannot, each one is sent and read by itself.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any

from sansproto.contract import Address, Path, SendError

from .addresses import Bind, address_of, bound_socket, sockaddr_of

if TYPE_CHECKING:
    from .driver import Driver

READS_PER_TURN = 64
_UDP, _SEGMENT, _GRO = 17, 103, 104  # Linux; the socket module does not name them
_MOST_TOGETHER, _MOST_BYTES = 64, 65_000  # datagrams, and what the longest datagram holds, less its headers
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # Linux; the socket module does not name them
_NOWHERE = Path("", "", 0)
_EXTENDED_ERRORS = {(socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)}
_LOCAL = 1  # the origin of an error that sendto() raised, too


class Datagrams:
    def __init__(self, driver: Driver[Any], label: str, where: Bind) -> None:
        self._driver = driver
        self._label = label
        self._together: list[bytes] = []
        self._to, self._size, self._left = _NOWHERE, 0, 0
        self._use(bound_socket(where, socket.SOCK_DGRAM))
        self._where: tuple[str, int] = self._socket.getsockname()[:2] if isinstance(where, socket.socket) else where

    @property
    def address(self) -> Address:
        return address_of(self._socket.getsockname())

    def rebind(self) -> None:
        """Bind anew, as at first; a free port is taken before the old one is given back, so that it differs.

        Raises OSError: then the old socket goes on if any port would do, and there is none otherwise.
        """
        self.flush()
        any_port = self._where[1] == 0
        if not any_port:
            self.close()
        fresh = bound_socket(self._where, socket.SOCK_DGRAM)
        self.close()
        self._use(fresh)

    def send(self, data: bytes, path: Path) -> None:
        """Send a datagram, at the latest with ``flush``: behind others of its size for this address."""
        size = len(data)
        if self._together and (size > self._size or size > self._left or path != self._to):
            self.flush()
        if not self._together:
            self._to, self._size, self._left = path, size, _MOST_BYTES
        self._together.append(data)
        self._left -= size
        if not self._can_segment or size != self._size or not size or len(self._together) == _MOST_TOGETHER:
            self.flush()  # a shorter one is the last of its run

    def flush(self) -> None:
        """Send what waits."""
        run, self._together = self._together, []
        if len(run) < 2 or not self._send_together(run, self._to):
            for data in run:
                self._send_one(data, self._to)

    def _send_together(self, run: list[bytes], path: Path) -> bool:
        """False: nothing was sent. One by one they go as far as they can, and show why."""
        try:
            to = sockaddr_of(self._socket.family, path.host, path.port, path.scope)
            self._socket.sendmsg(run, [(_UDP, _SEGMENT, struct.pack("=H", self._size))], 0, to)
        except OSError:
            return False
        return True

    def _send_one(self, data: bytes, path: Path) -> None:
        try:
            to = sockaddr_of(self._socket.family, path.host, path.port, path.scope)
            try:
                self._socket.sendto(data, to)
            except BlockingIOError:
                pass  # lost, as a datagram may be anywhere on its way
            except OSError:
                if not self._report_failures():  # else it was raised for an earlier datagram, and this one is not sent
                    raise
                self._socket.sendto(data, to)
        except OSError as error:
            detail = error.strerror or str(error)
            self._driver.endpoint.datagram_failed(path, self._driver.now(), error=_kind(error.errno), detail=detail)

    def ready(self, _: int) -> None:
        self._report_failures()
        left = READS_PER_TURN
        while left > 0:
            try:
                data, size, sender = self._read()
            except OSError:  # nothing more, or an error that the queue of errors tells better
                return
            path = self._path(sender)
            for at in range(0, len(data) or 1, size or 1):
                self._driver.endpoint.receive_datagram(data[at : at + size], path, self._driver.now())
                left -= 1

    def _read(self) -> tuple[bytes, int, Any]:
        """One or more datagrams of this size, of which the last may be shorter, and who sent them."""
        if not self._is_joining:
            data, sender = self._socket.recvfrom(65536)
            return data, len(data), sender
        data, ancillary, _, sender = self._socket.recvmsg(65536, 512)
        size = len(data)
        for level, kind, value in ancillary:
            if (level, kind) == (_UDP, _GRO):
                (size,) = struct.unpack_from("=i", value)
        return data, size, sender

    def close(self) -> None:
        self._driver.watch(self._socket, 0, self.ready)
        self._socket.close()

    def _use(self, sock: socket.socket) -> None:
        self._socket = sock
        self._can_segment = self._is_joining = False
        if hasattr(socket, "MSG_ERRQUEUE"):
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            with suppress(OSError):
                self._can_segment = sock.getsockopt(_UDP, _SEGMENT) == 0
                sock.setsockopt(_UDP, _GRO, 1)
                self._is_joining = True
        self._driver.watch(sock, EVENT_READ, self.ready)

    def _report_failures(self) -> bool:
        """Report what ICMP said since the last time; False if it said nothing."""
        failures = list(self._failures())
        for address, number in failures:
            path, detail = self._path(address), os.strerror(number)
            self._driver.endpoint.datagram_failed(path, self._driver.now(), error=_kind(number), detail=detail)
        return bool(failures)

    def _failures(self) -> Iterator[tuple[Any, int]]:
        if hasattr(socket, "MSG_ERRQUEUE"):
            with suppress(OSError):  # the queue is empty
                while True:
                    _, ancillary, _, address = self._socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
                    for level, kind, extended_error in ancillary:
                        if (level, kind) not in _EXTENDED_ERRORS:  # a time, if whoever made the socket wanted one
                            continue
                        number, origin = struct.unpack_from("=IB", extended_error)
                        if origin != _LOCAL:
                            yield address, number

    def _path(self, sockaddr: tuple[Any, ...]) -> Path:
        address = address_of(sockaddr)
        return Path(self._label, address.host, address.port, address.scope)


def _kind(number: int | None) -> SendError:
    if number in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
        return SendError.UNREACHABLE
    return SendError.TOO_BIG if number == errno.EMSGSIZE else SendError.OTHER
