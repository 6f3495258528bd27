"""Ends on a virtual network that restart, move, sleep and are attacked, and what must hold whatever happens to them.

``World.end`` makes an end, ``End.talk`` lets it send numbered packets. Each end is watched: no counter is used twice
with a key, no packet is delivered twice, generations only grow, and every entry of every table has an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Annotated, Any

from soaking import SOAKING
from symbolic import H2, Data, Node, Received, at, decode, forget_packets, mailbox

from sansproto.component import Component, components_of
from sansproto.contract import Path, SendError
from sansproto.errors import Fault, WireError
from sansproto.machine import Timer
from sansproto.recovery import (
    CloseReason,
    Delivery,
    Established,
    Init,
    Kind,
    Knock,
    Opened,
    PeerClosed,
    PeerForgotten,
    PeerLost,
    Reason,
    Recovery,
    RecoveryConfig,
    Sealed,
    Undelivered,
)
from sansproto.recovery.call import CallState
from sansproto.recovery.session import SessionState
from sansproto.snapshot import CACHED
from sansproto.testing._internal.driver import Driver
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, VirtualNetwork
from sansproto.testing.network import Node as Place

EPOCH = 1_700_000_000.0
"""The wall clock when a world begins."""

POLL = 60.0
"""Seconds between two polls of a relay."""

RELAYED = "relayed"


def seeds(few: int, many: int) -> Iterator[int]:
    """The seeds to try: more of them, and others, when there is much time (``SANSPROTO_SOAK``)."""
    yield from range(many if SOAKING else few)


class Net(VirtualNetwork):
    """A network with polled mailboxes, and with taps: each sees what is sent, and True from it lets that vanish."""

    def __init__(self, *, seed: int, default: Conditions) -> None:
        super().__init__(seed=seed, default=default)
        self.taps: list[Callable[[Place[Any], bytes, Path], bool | None]] = []
        self.boxes: dict[str, list[bytes]] = {}
        self.deposits = 0

    @property
    def chance(self) -> Any:
        return self._random

    def send_datagram(self, sender: Place[Any], data: bytes, path: Path) -> None:
        if sum(bool(tap(sender, data, path)) for tap in self.taps):  # each of them sees it
            return
        if path.socket == "relay":
            self.deposits += 1
            self.boxes.setdefault(path.host, []).append(data)
        else:
            super().send_datagram(sender, data, path)


class World:
    """All ends, the network between them, and what was seen."""

    def __init__(
        self,
        seed: int = 0,
        *,
        rtt: float = 0.1,
        loss: float = 0.0,
        jitter: float = 0.0,
        duplicate: float = 0.0,
        core: type[Recovery] = Recovery,
    ) -> None:
        forget_packets()
        self.seed, self.core = seed, core
        way = Conditions(latency=rtt / 2, loss=loss, jitter=jitter, duplicate=duplicate)
        self.net = Net(seed=seed, default=way)
        self.ends: dict[str, End] = {}
        self.nonces: set[tuple[bytes, int]] = set()
        self.sent: dict[bytes, float] = {}
        self.arrived: dict[bytes, float] = {}
        self.handed_up: set[bytes] = set()
        self.marks: dict[str, float] = {}
        self.states: Iterator[int] = count()
        self.has_one_process_each = True
        self.faults: list[str] = []
        """What was seen where an exception would not come through: a host's method may fail."""
        self.is_wrong = core is not Recovery
        """A wrong variant runs: the scenarios have to show it, not these checks."""
        self.met: dict[int, int] = {}
        """Which state of the layer above at the other end a state has met: one, and each other one's only one."""
        self.recorded: list[tuple[str, Path, bytes]] = []
        """Who sent what to where, for who records."""

    @property
    def now(self) -> float:
        return self.net.now

    def end(self, name: str, host: str | None = None, **options: Any) -> End:
        """Another end, on a host of its own unless one is named."""
        end = self.ends[name] = End(self, name, host or f"10.0.0.{len(self.ends) + 1}", **options)
        return end

    def pair(self, **options: Any) -> tuple[End, End]:
        """A and B with a session, and nothing said yet."""
        a, b = self.end("A", **options), self.end("B", **options)
        a.connect(b)
        self.run(6 * options["poll"] if options.get("poll") else 1.0 + 4 * self.net.default.latency)
        assert a.is_synced(b)
        return a, b

    def run(self, seconds: float) -> None:
        """Let time pass, and look at all tables again and again."""
        end, step = self.net.now + seconds, max(seconds / 200, 0.1)
        while self.net.now < end:
            self.net.run(min(step, end - self.net.now))
            self.check()

    def until(self, goal: Callable[[], bool], within: float) -> float:
        """Let time pass until something is so; how long that took. AssertionError if it never is."""
        begun = self.net.now
        while not goal():
            assert self.net.now - begun < within, f"not within {within} s"
            self.net.run(0.02)
        self.check()
        return self.net.now - begun

    def each(self, every: float, act: Callable[[], Any], lasts: float) -> None:
        """Do something again and again, from now on."""
        end = self.net.now + lasts

        def again() -> None:
            if self.net.now < end:
                act()
                self.net.after(every, again)

        again()

    def record(self) -> None:
        """An observer sees all that is sent from now on."""
        self.net.taps.append(lambda sender, data, path: self.recorded.append((end_name(sender), path, data)))

    def spoof(self, to: End, data: bytes, source: Path, delay: float = 0.0) -> None:
        """Somebody sends this with another source address."""
        place, life = to.place, to.life

        def arrive() -> None:
            if life == to.life or to.is_up:
                place.receive_datagram(data, source)

        self.net.after(delay, arrive)

    def lose(self, share: float) -> None:
        """From now on this share of all datagrams is lost."""
        self.net.default = Conditions(latency=self.net.default.latency, jitter=self.net.default.jitter, loss=share)

    def check(self) -> None:
        """What must hold at any time."""
        assert not self.faults
        for end in self.ends.values():
            if end.is_up:
                complaints = [*complaints_about(end.core)]
                assert not complaints, (end.name, complaints)

    def lost(self, who: End, whom: End, since: float = 0.0, until: float = 1e9) -> list[bytes]:
        """What one end sent to another one, and what did not arrive."""
        prefix = f"{who.name}>{whom.name}:".encode()
        return [
            data
            for data, when in self.sent.items()
            if data.startswith(prefix) and since <= when <= until and data not in self.arrived
        ]


class WatchedNode(Node):
    """A node of whose packets and events the world takes notes."""

    world: Annotated[Any, CACHED]
    end: Annotated[Any, CACHED]
    opened: Annotated[int, CACHED] = 0
    """How many Inits it opened."""
    garbles: Annotated[bool, CACHED] = False
    """What is authentic is malformed."""

    def seal(self, sid: bytes, counter: int, kind: Kind, body: bytes) -> bytes | None:
        packet = super().seal(sid, counter, kind, body)
        nonce = (self.keys[sid].ours, counter)
        if nonce in self.world.nonces:
            self.world.faults.append("a counter is used twice")
        self.world.nonces.add(nonce)
        state = self.recovery.sessions[sid].state
        is_candidate = state in (SessionState.OFFERED, SessionState.REFUSED)
        if kind is not Kind.CLOSE and is_candidate and not self.world.is_wrong:
            self.world.faults.append("something is sent under a candidate")
        return packet

    def open_init(self, knock: Knock) -> Init:
        self.opened += 1
        return super().open_init(knock)

    def read(self, packet: Sealed, clear: bytes) -> Opened:
        if self.garbles:
            raise WireError(Fault.BAD_LENGTH)
        return super().read(packet, clear)

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        packet = decode(data)
        before = self._kept() if not isinstance(packet, Data | H2) else None
        super().receive_datagram(data, path, now)
        assert before is None or before == self._kept() or self.world.is_wrong, (
            "what nobody authenticated changes a session"
        )

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        due = self.next_timeout()
        assert due is None or due > now, "a timer is due at once, again and again"

    def _kept(self) -> list[Any]:
        """What only authentic packets may change."""
        return [
            (
                key,
                peer.cur,
                [one.sid for one in self.recovery.sessions_of(peer) if one.generation],
                peer.floor,
                peer.route,
            )
            for key, peer in self.recovery.peers.items()
            if peer.cur is not None
        ]


class End:
    """One end: a session in its place, which restarts with another one."""

    def __init__(
        self,
        world: World,
        name: str,
        host: str,
        *,
        port: int = 1,
        config: RecoveryConfig | None = None,
        core: type[Recovery] | None = None,
        wall: float = EPOCH,
        poll: float | None = None,
        **more: Any,
    ) -> None:
        self.world, self.name, self.id = world, name, name.encode()
        self.config, self.kind, self.wall, self.poll, self.more = config, core, wall, poll, more
        self.life, self.is_up = 0, True
        self.log: list[tuple[float, Any]] = []
        self.known: dict[bytes, int] = {}
        self.uppers: dict[bytes, int] = {}
        self.host = world.net.hosts.get(host) or world.net.host(host)
        self.place: Place[Any] = self.host.run(self._session(), sockets={"udp": port, "relay": 1000 + len(world.ends)})
        self.place.events = _Listener(self)
        self.place._driver = Driver(self.session, self.place._carry, self.place.events.append)
        if poll is not None:
            world.net.after(poll * (0.5 if name == "A" else 1.0), self._poll)

    def _session(self) -> WatchedNode:
        kind = self.kind or self.world.core
        session = getattr(kind, "node", WatchedNode)(
            me=self.id,
            entropy=ScriptedEntropy(seed=f"{self.world.seed} {self.name} {self.life}".encode()),
            wall_epoch=self.wall,
            config=self.config,
            core=kind,
            **self.more,
        )
        session.world, session.end = self.world, self
        return session

    # -- what it is

    @property
    def session(self) -> Any:
        return self.place.endpoint

    @property
    def core(self) -> Recovery:
        core: Recovery = self.session.recovery
        return core

    @property
    def path(self) -> Path:
        """Where others find it."""
        return at(self.host.address, self.place.sockets["udp"])

    def entry(self, other: End) -> Any:
        return self.core.peers.get(other.id)

    def generation(self, other: End) -> int:
        entry = self.entry(other)
        return entry.generation if entry is not None else 0

    def current(self, other: End) -> Any:
        entry = self.entry(other)
        return None if entry is None else entry.current

    def is_synced(self, other: End) -> bool:
        """Do both ends use the same session?"""
        mine, its = self.current(other), other.current(self)
        if mine is None or its is None:
            return False
        return bool((mine.sid, mine.remote_sid) == (its.remote_sid, its.sid))

    def events(self, kind: type[Any], since: float = 0.0) -> list[Any]:
        return [event for when, event in self.log if isinstance(event, kind) and when >= since]

    def reasons(self, since: float = 0.0) -> list[Reason]:
        return [event.reason for event in self.events(Established, since)]

    # -- what it does

    def connect(self, other: End, path: Path | None = None) -> None:
        path = path or (mailbox(other.id) if self.poll is not None else other.path)
        self.place.call(lambda now: self.session.connect(other.id, path, now))

    def send(self, other: End) -> bytes:
        """A packet that no other one is equal to."""
        data = f"{self.name}>{other.name}:{len(self.world.sent):010}:{self.upper(other.id)}".encode()
        self.world.sent[data] = self.world.now
        if not self.place.call(lambda now: self.session.send(other.id, data, now)):
            self.world.handed_up.add(data)
        return data

    def upper(self, peer: bytes) -> int:
        """The state of the layer above about a peer: another one after each reset."""
        if peer not in self.uppers:
            self.uppers[peer] = next(self.world.states)
        return self.uppers[peer]

    def talk(self, other: End, every: float = 0.1, lasts: float = 1e9) -> None:
        """Send again and again, as long as it is up."""
        self.world.each(every, lambda: self.is_up and self.send(other), lasts)

    def disconnect(self, other: End, reason: CloseReason = CloseReason.NORMAL) -> None:
        self.uppers.pop(other.id, None)
        self.place.call(lambda now: self.session.disconnect(other.id, now, reason))

    def network_changed(self) -> None:
        self._report(lambda now: self.session.network_changed(now))

    def resumed(self, asleep: float) -> None:
        self._report(lambda now: self.session.resumed(now, asleep=asleep))

    def os_error(self, other: End, error: SendError = SendError.UNREACHABLE) -> None:
        self._report(lambda now: self.session.os_error(other.path, now, error=error))

    def _report(self, report: Callable[[float], None]) -> None:
        """What the host is told ends nothing."""
        before = {key: (peer.cur, peer.route) for key, peer in self.core.peers.items()}
        self.place.call(report)
        after = {key: (peer.cur, peer.route) for key, peer in self.core.peers.items()}
        assert before == after or self.world.is_wrong

    def freeze_and_thaw(self) -> None:
        """Another object with the same state goes on in its place."""
        old = self.session
        kind = self.kind or self.world.core
        new = type(old).restore(
            *(old.snapshot(),),
            me=self.id,
            entropy=old._entropy,
            wall_epoch=old._wall_epoch,
            config=self.config,
            core=kind,
            **self.more,
        )
        new.world, new.end = self.world, self
        assert new.snapshot() == old.snapshot()
        self.place.stop(silent=True)
        self._begin(new)

    # -- what happens to it

    def restart(self, *, wall: float = 0.0, after: float = 0.0) -> None:
        """It loses all its state; its clock may be another one then."""
        self.stop()
        if after:
            self.world.net.after(after, lambda: self.start(wall=wall))
        else:
            self.start(wall=wall)

    def start(self, *, wall: float = 0.0) -> None:
        """Another process runs in its place."""
        self.wall += wall
        self.life += 1
        self.known, self.uppers = {}, {}
        self._begin(self._session())

    def stop(self) -> None:
        """It is gone, without a word."""
        if self.is_up:
            self.place.stop(silent=True)
            self.host.black_hole = not self.host.nodes
            self.is_up = False

    def _begin(self, session: Any) -> None:
        self.host.black_hole = False
        self.is_up = True
        self.host.nodes.append(self.place)
        self.place._start(session)

    def move(self, port: int | None = None) -> None:
        """From now on it is found at another port, and sends from there."""
        self.place.sockets["udp"] = self.host.free_port() if port is None else port

    def sleep(self, seconds: float, *, frozen: bool) -> None:
        """It does nothing for a while; its clock stands still meanwhile, or does not."""
        session = self.session
        self.stop()

        def wake() -> None:
            if frozen:
                self.host.clock -= seconds
                session._wall_epoch += seconds
            self._begin(session)

        self.world.net.after(seconds, wake)

    def _poll(self) -> None:
        if self.is_up:
            for data in self.world.net.boxes.pop(self.name, []):
                self.place.receive_datagram(data, Path("relay", "unknown", 0))
        assert self.poll is not None
        self.world.net.after(self.poll, self._poll)

    # -- what it is told

    def notice(self, event: Any) -> None:
        self.log.append((self.world.now, event))
        if isinstance(event, Received):
            self._take_in(event.delivery)
        elif isinstance(event, Undelivered):
            assert not self.world.handed_up.intersection(event.packets)
            assert not self.world.arrived.keys() & set(event.packets)
            self.world.handed_up.update(event.packets)
        elif isinstance(event, PeerClosed | PeerLost | PeerForgotten) or (
            isinstance(event, Established) and event.reason is Reason.RESTART
        ):
            self.uppers.pop(event.peer, None)
        generation, peer = getattr(event, "generation", None), getattr(event, "peer", None)
        if generation is not None and peer is not None:
            before = self.known.get(peer, 0)
            if isinstance(event, Established):
                assert generation > before, (event, before)
            assert generation >= before, (event, before)
            self.known[peer] = generation

    def _take_in(self, delivery: Delivery) -> None:
        data, world = delivery.data, self.world
        assert data not in world.arrived, f"{data!r} is delivered twice"
        assert data not in world.handed_up, f"{data!r} is delivered and was handed up"
        world.arrived[data] = world.now
        if not delivery.stale and world.has_one_process_each:
            its = int(data.rpartition(b":")[2])
            for mine, other in ((self.upper(delivery.peer), its), (its, self.upper(delivery.peer))):
                assert world.met.setdefault(mine, other) == other, f"{self.name} meets another state of its peer"


class _Listener(list[Any]):
    """Instead of the list of a place's events."""

    def __init__(self, end: End) -> None:
        super().__init__()
        self.end = end

    def append(self, event: Any) -> None:
        self.end.notice(event)


def end_name(place: Place[Any]) -> str:
    return str(place.endpoint.me.decode())  # type: ignore[attr-defined]


def packets(recorded: list[tuple[str, Path, bytes]], kind: type[Any], sender: str = "") -> Iterator[bytes]:
    """The recorded packets of one kind."""
    for who, _, data in recorded:
        if isinstance(decode(data), kind) and sender in ("", who):
            yield data


# -- what must hold of a core at any time


def complaints_about(core: Recovery) -> Iterator[str]:
    """Tables that do not fit together, are too large, or have entries without an end."""
    limits = core.config.limits
    in_peers = [sid for peer in core.peers.values() for sid in peer.sids]
    refused = [sid for sid, session in core.sessions.items() if session.state is SessionState.REFUSED]
    if sorted([*in_peers, *refused]) != sorted(core.sessions):
        yield "a session belongs to no peer, or to two"
    if len(core.offered) > limits.candidates or len(core.peers) > limits.peers:
        yield "too many candidates or peers"
    if len(core.farewells.tombstones) > limits.tombstones or len(core.farewells.said) > limits.said:
        yield "too many goodbyes are remembered"
    for peer in core.peers.values():
        yield from _complaints_about_peer(core, peer)
    timers = [timer for timer, _ in core.host._timers]  # type: ignore[attr-defined]
    armed = {part for part, _ in timers}
    for part in components_of(core):
        idle, terminal = part.table.idle, part.table.terminal
        if part.state not in idle and part.state not in terminal and part not in armed:
            yield f"{part.table.name} waits in {part.state.name} for ever"
    yield from _complaints_about_timers(timers)
    if core.host.stats.dropped.get("late"):  # type: ignore[attr-defined]
        yield "an input that no row expects"
    attempts = {one.sid for peer in core.peers.values() for one in peer.call.attempts}
    if attempts != set(core.attempts) or any(
        peer.call.attempts and peer.call.state is not CallState.CALLING for peer in core.peers.values()
    ):
        yield "an attempt of no call"
    unconfirmed = {sid for sid, one in core.sessions.items() if one.is_unconfirmed_offer}
    if unconfirmed != set(core.offered):
        yield "candidates that are not listed, or the other way round"
    if set(core.host.keys) != set(core.sessions):  # type: ignore[attr-defined]
        yield "keys of no session, or a session without keys"


def _complaints_about_timers(timers: list[tuple[Component[Any, Any], Timer[Any, Any]]]) -> Iterator[str]:
    """A timer that was left behind."""
    waiting = set()
    for part, timer in timers:
        if not part.table.pairs[part.state, timer.on][0]:
            yield f"{part.table.name}: {timer.name} runs in {part.state.name}"
        if (part, timer.on) in waiting:
            yield f"{part.table.name}: two timers wait for {timer.on.name}"
        waiting.add((part, timer.on))


def _complaints_about_peer(core: Recovery, peer: Any) -> Iterator[str]:
    limits, sessions = core.config.limits, core.sessions_of(peer)
    states = [session.state for session in sessions]
    most = {
        SessionState.PREVIOUS: limits.previous,
        SessionState.OFFERED: limits.candidates_per_peer,
        SessionState.CALLED: limits.own_candidates,
    }
    for state, limit in most.items():
        if states.count(state) > limit:
            yield f"{states.count(state)} sessions are {state.name}"
    in_use = [one for one in sessions if one.state in (SessionState.CURRENT, SessionState.LOADED)]
    if [one.sid for one in in_use] != ([] if peer.cur is None else [peer.cur]):
        yield "not exactly one session is in use"
    if len(peer.queue) > limits.queue or len(peer.call.attempts) > limits.attempts:
        yield "too many packets or attempts"
    if peer.key == core.me or any(one.peer_id == core.me for one in sessions):
        yield "a session with ourselves"
    if len(peer.paths.challenged) > limits.routes or len(peer.call.backoffs) > limits.routes:
        yield "too many routes"
