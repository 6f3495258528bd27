"""A listening socket of a label."""

from __future__ import annotations

import socket
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any

from sansproto.contract import Address

from .addresses import Bind, address_of, bound_socket

if TYPE_CHECKING:
    from .driver import Driver

SOCKETS_PER_ACCEPT = 8  # that were ready in the same turn: whoever comes must not keep those waiting who are there


class Listener:
    def __init__(self, driver: Driver[Any], label: str, where: Bind, *, free_port: int) -> None:
        self._driver = driver
        self._label = label
        self._accepting = True
        self._socket = bound_socket(where, socket.SOCK_STREAM, free_port)
        self.address: Address = address_of(self._socket.getsockname())
        self.watch()

    def set_accepting(self, accepting: bool) -> None:
        self._accepting = accepting
        self.watch()

    def watch(self) -> None:
        self._driver.watch(self._socket, EVENT_READ if self._accepting else 0, self.ready)

    def ready(self, _: int) -> None:
        for _ in range(1 + self._driver.ready // SOCKETS_PER_ACCEPT):
            if not self._accepting:
                return
            try:
                sock, peer = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors, most likely: the listener would stay ready, and the loop would spin
                self._driver.watch(self._socket, 0, self.ready)
                self._driver.rest()
                return
            self._driver.adopt(self._label, sock, address_of(peer))
            self._driver.pump()

    def close(self) -> None:
        self._driver.watch(self._socket, 0, self.ready)
        self._socket.close()
