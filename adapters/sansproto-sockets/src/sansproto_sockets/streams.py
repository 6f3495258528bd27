"""One link: a TCP socket that does not block."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any

from sansproto.contract import Address, Link

from .addresses import sockaddr_of

if TYPE_CHECKING:
    from .driver import Driver

READ_SIZE = 131072  # bytes; in a relay, half of it was measured to be 13 % slower and twice of it 3 % faster
DISCARDED = 1 << 24  # bytes from a link that closes: more than two full sockets hold, so that who sends more goes on
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() drops what is unsent and answers with RST


class Stream:
    """Holds what the kernel did not take of *one* write: the core gives nothing to a link that it knows to be blocked.

    The socket leaves it, and ``stream_lost`` is reported, in ``lose`` and nowhere else.
    """

    def __init__(self, driver: Driver[Any], link: Link, sock: socket.socket, *, opened: bool) -> None:
        self._driver = driver
        self._link = link
        self._socket = sock
        self._opened = opened
        self._reading = True
        self._finished = False  # FIN was sent
        self._ended = False  # FIN was received
        self.closing = False  # what arrives is discarded until the other end has closed too
        self._discarded = 0
        self._failure = ""  # why writing failed: what the other end sent before that is still read, then the link ends
        self._unsent: bytes | memoryview = b""
        sock.setblocking(False)
        with suppress(OSError):  # macOS refuses it on a connection that is already reset
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def connect(cls, driver: Driver[Any], link: Link, to: Address) -> Stream:
        """Begin to connect. Raises OSError."""
        family = socket.AF_INET6 if ":" in to.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        stream = cls(driver, link, sock, opened=False)
        try:
            with suppress(BlockingIOError):
                sock.connect(sockaddr_of(family, to.host, to.port, to.scope))
        except OSError:
            sock.close()
            raise
        return stream

    def watch(self) -> None:
        """Watch for what can be acted on now: a paused link with nothing to write is blind."""
        mask = EVENT_WRITE if self._unsent or self._failure or not self._opened else 0
        if self._opened and self._may_read():
            mask |= EVENT_READ
        self._driver.watch(self._socket, mask, self.ready)

    def ready(self, mask: int) -> None:
        if self._socket.fileno() < 0:  # closed earlier in this turn
            return
        if not self._opened:
            self._connected()
            return
        if mask & EVENT_WRITE and self._unsent:
            self._flush()
        if (mask & EVENT_READ or self._failure) and self._socket.fileno() >= 0:
            self._read()

    def send(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._write_failed(error)
            if self._socket.fileno() >= 0:  # kept for reading: the core must not believe that more can be sent
                self._driver.endpoint.stream_blocked(self._link, self._driver.now())
            return
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self.watch()
            self._driver.endpoint.stream_blocked(self._link, self._driver.now())

    def set_reading(self, reading: bool) -> None:
        self._reading = reading
        if self._failure and not self._may_read():
            self.lose(self._failure)
        else:
            self.watch()

    def finish(self) -> None:
        """Send FIN. Nothing is unsent now, or the core would not ask. With both FINs seen the link is over."""
        self._finished = True
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._write_failed(error)
        else:
            if self._ended:
                self.lose()

    def close(self) -> None:
        """Send FIN and wait for the other end's: closing with something unread would reset, and cost it our last bytes.

        It may never come. How long to wait is a timer of the core, which then aborts.
        """
        self.closing = True
        self.watch()
        self.finish()

    def lose(self, detail: str = "", *, reset: bool = False) -> None:
        self.drop(reset=reset)
        self._driver.endpoint.stream_lost(self._link, self._driver.now(), detail=detail)

    def drop(self, *, reset: bool) -> None:
        """Close the socket and report nothing."""
        self._driver.watch(self._socket, 0, self.ready)
        if reset:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()
        self._driver.forget(self._link)  # last: an interrupt before this has abort() drop it again

    def _connected(self) -> None:
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.lose(os.strerror(error))
        else:
            self._opened = True
            self.watch()
            self._driver.endpoint.stream_opened(self._link, self._driver.now())

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            if self._failure:
                self.lose(self._failure)
            return
        except OSError as error:
            self.lose(_text(error))
            return
        if data:
            if not self.closing:
                self._driver.endpoint.receive_data(self._link, data, self._driver.now())
                return
            self._discarded += len(data)
            if self._discarded > DISCARDED:
                self.lose("it goes on after the end", reset=True)
        elif self.closing or self._failure:
            self.lose(self._failure)
        else:
            self._ended = True
            self.watch()
            self._driver.endpoint.receive_eof(self._link, self._driver.now())
            if self._finished:
                self.lose()

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._write_failed(error)
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self.watch()
            self._driver.endpoint.stream_unblocked(self._link, self._driver.now())

    def _write_failed(self, error: OSError) -> None:
        self._failure = _text(error)
        self._unsent = b""
        if self._may_read():
            self.watch()
        else:
            self.lose(self._failure)

    def _may_read(self) -> bool:
        return (self._reading or self.closing) and not self._ended


def _text(error: OSError) -> str:
    return error.strerror or str(error)
