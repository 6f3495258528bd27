"""What stands in for everybody else: the scripted peer of a session, live or recorded, and the host of a part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar, Self, get_args, get_type_hints

from sansproto.component import Component
from sansproto.contract import AbortTransport, CloseTransport, Link, OpenStream, Path, SendBytes, SendDatagram
from sansproto.machine import Timer
from sansproto.session import Session
from sansproto.testing._internal.driver import Driver
from sansproto.testing.conformance import load_checks
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.record import plain
from sansproto.testing.session_recorder import SessionRecorder, whole


class ScriptedPeer(Driver[Any]):
    """Gives one endpoint what a script says and keeps what comes out. All other names are those of the endpoint.

    It is the transport, too, which closes links as soon as that is asked for. Where the session is recorded, they are
    closed at its end, and answers come ``pause`` later than what they answer.
    """

    kind: str
    role: Any
    arguments: ClassVar[Mapping[str, Any]] = {}
    usual: ClassVar[Mapping[str, Any]] = {}  # config of a recorded one, beside what is plain of the arguments
    paces: ClassVar[Mapping[str, float]] = {}  # delays of a recorded one that are not the usual ones

    def __init__(self, endpoint: Any) -> None:
        self.now, self.pause = 0.0, 0.0
        self.events, self.transmits = list[Any](), list[Any]()
        self.link = Link(0)  # the connection that was asked for last
        self.parties: dict[Any, list[Party]] = defaultdict(list)  # by their links and paths
        self.written: dict[Link, bytearray] = defaultdict(bytearray)  # to nobody of them
        self.heard: dict[Any, list[Any]] = defaultdict(list)
        self.ended: dict[Link, float] = {}
        self.how: dict[Link, type] = {}
        super().__init__(endpoint, self.carry, self.events.append)
        if isinstance(endpoint, SessionRecorder):
            endpoint.before_input, self.pause = self.drain, 0.125

    @classmethod
    def live(cls, **arguments: Any) -> Self:
        """That of a session of the role, with some arguments changed."""
        return cls(cls.role(**{"entropy": ScriptedEntropy(), **cls.arguments, **arguments}))

    @classmethod
    def recorded(cls, *, limits: Any = None, delays: Any = None, **more: Any) -> Self:
        """That of a recorded session, with some limits, delays and members of its config changed."""
        simple = {name: one for name, one in cls.arguments.items() if isinstance(one, bytes | float | int | str | None)}
        times = {name: round(one * 1000) for name, one in simple.items() if isinstance(one, float)}
        changed = {"limits": limits or {}, "delays": {**cls.paces, **(delays or {})}}
        types = get_type_hints(cls.role.__init__)
        bounds = {name: whole(get_args(types[name])[0](**by)) for name, by in changed.items()}
        config = {**cls.usual, **plain(simple | times), **more, **bounds}
        return cls(SessionRecorder(load_checks(cls.kind.partition(".")[0]).MACHINES, cls.kind, config))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.endpoint, name)

    def carry(self, transmit: Any) -> None:
        match transmit:
            case SendBytes(at, data) | SendDatagram(data, at) if self.parties.get(at):
                for party in self.parties[at]:
                    party.hear(data)
            case SendBytes(link, data):
                self.written[link] += data
            case OpenStream(link):
                self.link = link
            case CloseTransport(link) | AbortTransport(link):
                self.ended[link], self.how[link] = self.now, type(transmit)
                if not self.pause:
                    self.endpoint.stream_lost(link, self.now)
            case _:
                self.transmits.append(transmit)

    def give(self, at: Any, data: bytes) -> None:
        """Bytes that arrive on a link, or a datagram from a path."""
        self.drain()
        self.now += self.pause
        if isinstance(at, Path):
            self.call(lambda: self.receive_datagram(data, at, self.now))
        else:
            self.call(lambda: self.receive_data(at, data, self.now))

    def open(self) -> None:
        """The connection that was asked for last is there."""
        self.drain()
        self.now += self.pause
        self.call(lambda: self.stream_opened(self.link, self.now))

    def end(self) -> None:
        """Close the links that are to be closed, but for those that were lost."""
        self.drain()
        for link in [link for link in self.ended if link in self.links]:
            self.stream_lost(link, self.now)

    def take(self, kept: list[Any] | None = None) -> list[Any]:
        """The events since the last time, or what else is kept."""
        self.drain()
        kept = self.events if kept is None else kept
        found, kept[:] = kept[:], []
        return found

    def tick(self) -> bool:
        """Go to the next timer; False if there is none."""
        self.drain()
        due = self.endpoint.next_timeout()
        self.now = max(self.now, due or 0.0)
        self.wake(self.now)
        return due is not None

    def at(self, now: float) -> None:
        """Let time pass, with every timer at its own time."""
        self.drain()
        while (due := self.endpoint.next_timeout()) is not None and due <= now:
            self.tick()
        self.now = max(self.now, now)

    def wait(self, seconds: float) -> None:
        self.at(self.now + seconds)


class Party:
    """Somebody at a link or a path of a peer, who says what a script says and keeps what it hears."""

    def __init__(self, peer: Any, at: Any) -> None:
        self.peer, self.at, self.inbox = peer, at, list[Any]()
        peer.parties[at].append(self)

    def move(self, at: Any) -> None:
        """Be somewhere else."""
        self.peer.parties[self.at].remove(self)
        self.at = at
        self.peer.parties[at].append(self)

    def hear(self, data: bytes) -> None:
        self.inbox.append(data)

    def give(self, data: bytes) -> None:
        self.peer.give(self.at, data)

    def take(self) -> list[Any]:
        """What it heard since the last time."""
        return self.peer.take(self.inbox)


class PartHost(Session[Any]):
    """Session, owner and neighbours of parts that are driven alone: what these ask for is kept in ``told``, or
    answered by what is given."""

    def __init__(self, delays: Any = None, limits: Any = None, **given: Any) -> None:
        super().__init__(entropy=ScriptedEntropy(), wall_epoch=1.7e9)
        self.delays, self.limits, self.told = delays, limits, list[Any]()
        vars(self).update(given)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments, **named: self.told.append((name, *arguments, *named.values())) or True

    @property
    def sent(self) -> list[Any]:
        """What they asked for, without the names of the methods."""
        return [asked[0] if len(asked) == 1 else tuple(asked) for _, *asked in self.told]

    @property
    def armed(self) -> dict[str, float]:
        """The delays of the timers that run, by their names."""
        return {timer.name: at - self.clock for (_, timer), at in self._timers}

    def events(self) -> list[Any]:
        return list(iter(self.next_event, None))

    def fire(self, part: Component[Any, Any], timer: Timer[Any, Any]) -> None:
        """Let a timer be due, also before its time."""
        self.cancel(part, timer)
        part.post(timer.on())
        self.run()
