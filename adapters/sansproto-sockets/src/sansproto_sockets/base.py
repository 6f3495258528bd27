"""What the runners of all adapters have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar, TypeVarTuple

from sansproto.contract import Address, Endpoint, Phase
from sansproto.errors import NotOpen

from .addresses import Bind
from .driver import Driver

E = TypeVar("E")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


def outranks(second: BaseException, first: type[BaseException] | None) -> bool:
    """Is this what is told, when leaving raises it after the body raised ``first``?

    An interrupt is, but not a second one: whoever is in a hurry wants the end, and one traceback.
    """
    if first is None:
        return True
    return not isinstance(second, Exception) and not issubclass(first, type(second))


class RunnerBase(Generic[E]):
    """An endpoint, what it is to be bound to, and the driver while it runs."""

    def __init__(
        self,
        endpoint: Endpoint[E],
        listen: Mapping[str, Bind | Sequence[Bind]],
        sockets: Mapping[str, Bind],
        linger: float,
    ) -> None:
        self._endpoint = endpoint
        self._listen = listen
        self._sockets = sockets
        self._linger = linger
        self._running: Driver[E] | None = None
        self._set_up()

    def _set_up(self) -> None:
        """What else a runner has."""

    def call(self, verb: Callable[[*Arguments, float], T], *arguments: *Arguments) -> T:
        """Call ``verb(*arguments, now)``, carry out what the endpoint then asks for, and give its result."""
        raise NotImplementedError

    def abort(self) -> None:
        """Reset every link and abort the endpoint, without a goodbye, as if the process were killed."""
        driver = self._driver
        self.call(lambda _: driver.abort())

    @property
    def addresses(self) -> Mapping[str, Address]:
        """What was bound, by label; for a label with several addresses, the first one."""
        return self._driver.addresses

    @property
    def _driver(self) -> Driver[E]:
        if self._running is None:
            raise NotOpen("runner", Phase.CLOSED.name)
        return self._running
