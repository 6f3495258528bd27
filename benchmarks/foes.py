"""Hostile clients of a relay: ``python -m benchmarks.foes KIND PORT NUMBER``.

Each sends as fast as TCP takes it (or one byte a second), and connects again at once when it is cut.
"""

from __future__ import annotations

import select
import socket
import sys
from contextlib import suppress
from time import monotonic

from sansproto.bob import packets as p

HOST = "127.0.0.1"
PIECE = 1 << 16
HELLO = p.encode(p.RELAY, p.HelloAsClient())
DROPPED = p.encode(0xFFFF, p.Accepted())
KINDS = {
    "hello": HELLO * (PIECE // len(HELLO)),  # repeated hellos
    "dropped": HELLO + DROPPED * (PIECE // len(DROPPED)),  # packets that the relay drops
    "slow": HELLO,  # one byte a second
}


class Foe:
    """One hostile client, and the connection that it has now."""

    def __init__(self, kind: str, port: int, poll: select.epoll) -> None:
        self.text = KINDS[kind]
        self.is_slow = kind == "slow"
        self._port, self._poll = port, poll
        self._at = 0
        self.cuts = -1
        self.connect()

    def connect(self) -> None:
        self.cuts += 1
        self._at = 0
        self.socket = socket.socket()
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            self.socket.connect((HOST, self._port))
        self._poll.register(self.socket, select.EPOLLRDHUP if self.is_slow else select.EPOLLOUT | select.EPOLLRDHUP)

    def again(self) -> None:
        self._poll.unregister(self.socket)
        self.socket.close()
        self.connect()

    def send(self) -> bool:
        """As much as TCP takes of one piece, or one byte; False if the connection is over."""
        text = self.text[self._at % len(self.text) :]
        try:
            self._at += self.socket.send(text[:1] if self.is_slow else text)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


def main(kind: str, port: int, number: int) -> None:
    poll = select.epoll()
    foes: dict[int, Foe] = {}

    def reconnect(foe: Foe) -> None:
        del foes[foe.socket.fileno()]
        foe.again()
        foes[foe.socket.fileno()] = foe

    for _ in range(number):
        foe = Foe(kind, port, poll)
        foes[foe.socket.fileno()] = foe
    print("ready", flush=True)
    second = monotonic() + 1
    while True:
        for descriptor, mask in poll.poll(max(0.0, second - monotonic())):
            foe = foes[descriptor]
            if mask & ~select.EPOLLOUT or not foe.send():
                reconnect(foe)
        if monotonic() >= second:
            second += 1
            print(sum(foe.cuts for foe in foes.values()), flush=True)
            for foe in list(foes.values()):
                if foe.is_slow and not foe.send():
                    reconnect(foe)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
