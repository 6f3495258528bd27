"""The datagram socket of a label, and what the network reports about datagrams that did not arrive."""

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
from .origins import Origins

if TYPE_CHECKING:
    from .driver import Driver

READS_PER_TURN = 64
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # Linux; the socket module does not name them
_EXTENDED_ERRORS = {(socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)}
_LOCAL = 1  # the origin of an error that sendto() raised, too


class Datagrams:
    def __init__(self, driver: Driver[Any], label: str, where: Bind) -> None:
        self._driver = driver
        self._label = label
        self._use(bound_socket(where, socket.SOCK_DGRAM))
        self._where: tuple[str, int] = self._socket.getsockname()[:2] if isinstance(where, socket.socket) else where

    @property
    def address(self) -> Address:
        return address_of(self._socket.getsockname())

    def rebind(self) -> None:
        """Bind anew, as at first; a free port is taken before the old one is given back, so that it differs.

        Raises OSError: then the old socket goes on if any port would do, and there is none otherwise.
        """
        any_port = self._where[1] == 0
        if not any_port:
            self.close()
        fresh = bound_socket(self._where, socket.SOCK_DGRAM)
        self.close()
        self._use(fresh)

    def send(self, data: bytes, path: Path) -> None:
        try:
            to = sockaddr_of(self._socket.family, path.host, path.port, path.scope)
            try:
                self._ways.sendto(data, to)
            except BlockingIOError:
                pass  # lost, as a datagram may be anywhere on its way
            except OSError:
                if not self._report_failures():  # else it was raised for an earlier datagram, and this one is not sent
                    raise
                self._ways.sendto(data, to)
        except OSError as error:
            detail = error.strerror or str(error)
            self._driver.endpoint.datagram_failed(path, self._driver.now(), error=_kind(error.errno), detail=detail)

    def ready(self, _: int) -> None:
        self._report_failures()
        for _ in range(READS_PER_TURN):
            try:
                data, sender = self._ways.recvfrom(65536)
            except OSError:  # nothing more, or an error that the queue of errors tells better
                return
            self._driver.endpoint.receive_datagram(data, self._path(sender), self._driver.now())

    def close(self) -> None:
        self._driver.watch(self._socket, 0, self.ready)
        self._socket.close()

    def _use(self, sock: socket.socket) -> None:
        self._socket = sock
        self._ways: socket.socket | Origins = Origins(sock) if Origins.are_many(sock) else sock
        if hasattr(socket, "MSG_ERRQUEUE"):
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
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
