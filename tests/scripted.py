"""What stands in for everybody else: the scripted peer of a session, live or recorded, and the host of a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from sansproto.component import Component
from sansproto.machine import Timer
from sansproto.session import Session
from sansproto.testing.conformance import Make
from sansproto.testing.driver import Driver
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.staging import SessionRecorder, whole


class ScriptedPeer(Driver[Any]):
    """Gives one endpoint what a script says and keeps what comes out. All other names are those of the endpoint.

    Where it is recorded, answers come ``pause`` later than what they answer.
    """

    def __init__(self, endpoint: Any) -> None:
        self.now, self.pause = 0.0, 0.0
        self.events: list[Any] = []
        self.transmits: list[Any] = []
        super().__init__(endpoint, self.carry, self.events.append)
        if isinstance(endpoint, SessionRecorder):
            endpoint.before_input, self.pause = self.drain, 0.125

    def __getattr__(self, name: str) -> Any:
        return getattr(self.endpoint, name)

    def carry(self, transmit: Any) -> None:
        self.transmits.append(transmit)

    def take(self, kept: list[Any] | None = None) -> list[Any]:
        """The events since the last time, or what else is kept."""
        self.drain()
        kept = self.events if kept is None else kept
        found = kept[:]
        kept.clear()
        return found

    def at(self, now: float) -> None:
        """Let time pass, with every timer at its own time."""
        self.drain()
        while (due := self.endpoint.next_timeout()) is not None and due <= now:
            self.now = max(self.now, due)
            self.wake(self.now)
        self.now = max(self.now, now)

    def wait(self, seconds: float) -> None:
        self.at(self.now + seconds)

    def tick(self) -> bool:
        """Go to the next timer; False if there is none."""
        self.drain()
        due = self.endpoint.next_timeout()
        if due is not None:
            self.now = max(self.now, due)
            self.wake(self.now)
        return due is not None

    def end(self) -> None:
        """The script is over."""
        self.drain()


def recorded(
    machines: Mapping[str, Make],
    kinds: Mapping[str, Any],
    kind: str,
    limits: Any = None,
    delays: Any = None,
    **more: Any,
) -> Any:
    """The scripted peer of a recorded session. ``kinds`` has its class, and the limits, delays and config to change."""
    peer, *bounds, config = kinds[kind]
    changed = [whole(attrs.evolve(one, **changes or {})) for one, changes in zip(bounds, (limits, delays), strict=True)]
    return peer(SessionRecorder(machines, kind, {**config, **more, "limits": changed[0], "delays": changed[1]}))


class PartHost(Session[Any]):
    """Session, owner and neighbours of parts that are driven alone: what these ask for is kept in ``told``."""

    def __init__(self) -> None:
        super().__init__(entropy=ScriptedEntropy(), wall_epoch=1.7e9)
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments, **_: self.told.append((name, *arguments)) or True

    @property
    def sent(self) -> list[Any]:
        """What they asked for, without the names of the methods."""
        return [asked[0] if len(asked) == 1 else tuple(asked) for _, *asked in self.told]

    def events(self) -> list[Any]:
        """Those since the last time."""
        return list(iter(self.next_event, None))

    @property
    def armed(self) -> dict[str, float]:
        """The delays of the timers that run, by their names."""
        return {timer.name: at - self.clock for (_, timer), at in self._timers}

    def fire(self, part: Component[Any, Any], timer: Timer[Any, Any]) -> None:
        """Let a timer be due, also before its time."""
        self.cancel(part, timer)
        part.post(timer.on())
        self.run()
