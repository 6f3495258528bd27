"""The loop of every adapter as an object without I/O: it drives one endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ...contract import Endpoint, Transmit

E = TypeVar("E")
R = TypeVar("R")

PULLS = 10_000
"""An endpoint with small limits that gives out more events and transmits than this in a row never stops."""

ENDLESS = 100 * PULLS
"""The same with limits of any size: more than all links of the largest relay have waiting."""


class BrokenContract(AssertionError):
    """An endpoint gave out something that the contract does not allow."""


class Driver(Generic[E]):
    """Couples one endpoint to ``carry``, which carries out transmits, and to ``deliver``, which takes events.

    Without ``deliver`` the events stay in the endpoint. ``carry`` may report back to the endpoint (``stream_blocked``),
    as a socket does that takes no more bytes.
    """

    def __init__(
        self, endpoint: Endpoint[E], carry: Callable[[Transmit], None], deliver: Callable[[E], None] | None = None
    ) -> None:
        self.endpoint = endpoint
        self._carry = carry
        self._deliver = deliver

    def call(self, act: Callable[[], R]) -> R:
        """Call a report or verb of the endpoint, then drain it, even if the call raises."""
        try:
            return act()
        finally:
            self.drain()

    def wake(self, now: float) -> None:
        """Call the timers that are due."""
        at = self.endpoint.next_timeout()
        if at is not None and at <= now:
            self.call(lambda: self.endpoint.handle_timeout(now))

    def drain(self) -> None:
        """Deliver events and carry out transmits until there are none. BrokenContract if they never end."""
        event: E | None = None
        transmit: Transmit | None = None
        for _ in range(ENDLESS):
            event = self.endpoint.next_event() if self._deliver is not None else None
            if event is not None and self._deliver is not None:
                self._deliver(event)
            transmit = self.endpoint.next_transmit()
            if transmit is not None:
                self._carry(transmit)
            if event is None and transmit is None:
                return
        raise BrokenContract(f"it never stops giving out events or transmits, at last {event} and {transmit}")
