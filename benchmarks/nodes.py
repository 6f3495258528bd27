"""Two nodes of a protocol over UDP, and the shortest way between them."""

from __future__ import annotations

from os import urandom
from time import process_time
from typing import Any, ClassVar

from sansproto.contract import Path

AT_A, AT_B = Path("udp", "192.0.2.1", 4000), Path("udp", "198.51.100.1", 4000)


class Entropy:
    """Random bytes that were drawn before: what they cost is not ours."""

    def __init__(self) -> None:
        self.pool, self.at = urandom(1 << 16), 0

    def __call__(self, n: int, *, purpose: str) -> bytes:
        at = self.at
        self.at = end = at + n
        if end > 1 << 16:
            self.__init__()  # type: ignore[misc]
            return self(n, purpose=purpose)
        return self.pool[at:end]


class Pair:
    """Two nodes, each at its path. What one sends is at the other one at once."""

    message: ClassVar[type]
    """The event of what the application of the other end sent."""

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b, self.now = a, b, 0.0

    def meet(self) -> None:
        """A handshake."""
        raise NotImplementedError

    def part(self) -> None:
        """Neither wants the other one any more."""
        raise NotImplementedError

    @property
    def is_connected(self) -> bool:
        """Is there a session that both use?"""
        raise NotImplementedError

    @property
    def is_empty(self) -> bool:
        """Is nothing left of it?"""
        raise NotImplementedError

    def meet_and_part(self) -> float:
        """Seconds for the handshake of two who have forgotten each other, and will again."""
        start = process_time()
        self.meet()
        elapsed = process_time() - start
        assert self.is_connected
        self.part()
        for _ in range(3):  # the goodbyes, the same again, and then nothing is left
            self.carry()
            self.drain()
            self.now += 300.0
            self.wake()
        assert self.is_empty
        return elapsed

    def carry(self) -> bool:
        """Once to and fro; whether there was anything."""
        a, b, now, was_any = self.a, self.b, self.now, False
        while (transmit := a.next_transmit()) is not None:
            b.receive_datagram(transmit.data, AT_A, now)
            was_any = True
        while (transmit := b.next_transmit()) is not None:
            a.receive_datagram(transmit.data, AT_B, now)
            was_any = True
        return was_any

    def drain(self) -> None:
        """Take all events."""
        for one in (self.a, self.b):
            while one.next_event() is not None:
                pass

    def received(self) -> int:
        """How many messages b has received since it was asked last."""
        count = 0
        while (event := self.b.next_event()) is not None:
            count += event.__class__ is self.message
        return count

    def wake(self) -> None:
        """Let timers act that are due."""
        for one in (self.a, self.b):
            due = one.next_timeout()
            if due is not None and due <= self.now:
                one.handle_timeout(self.now)
