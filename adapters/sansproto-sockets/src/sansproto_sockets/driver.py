"""The loop that couples an endpoint to sockets, in parts: what every adapter of this family turns in its own way."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeAlias, TypeVar, TypeVarTuple

from sansproto.contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Endpoint,
    Link,
    Lookup,
    OpenStream,
    OwnAddress,
    PauseAccepting,
    PauseReading,
    Phase,
    Rebind,
    ResumeAccepting,
    ResumeReading,
    SendBytes,
    SendDatagram,
    Transmit,
)
from sansproto.errors import NotOpen, UnboundSocket
from sansproto.events import Closed

from .addresses import Bind, each, own_addresses, resolve
from .datagrams import Datagrams
from .listeners import Listener
from .sleep import NOTABLE, SleepWatch
from .streams import Stream

E = TypeVar("E")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

Ready: TypeAlias = Sequence[tuple[selectors.SelectorKey, int]]
OnReady: TypeAlias = Callable[[int], None]

TRANSMITS_PER_TURN = 64  # beyond one for each socket that was ready: a fan-out must not keep the sockets waiting
REST = 0.25  # seconds for which a listener that could not accept (no descriptors, most likely) is left alone
LONGEST = 86_400.0  # seconds for which anybody waits at once: selectors count milliseconds in 31 bits


class Driver(Generic[E]):
    """Owns the sockets of one endpoint. Not thread-safe, but for ``select`` and ``wake``.

    A front binds it in the constructor (OSError), then lets it act::

        driver.turn(driver.select(driver.timeout()))    # or: turn(select(0)) whenever fileno() is readable
        while driver.has_event(): ... driver.take()     # only when the application asks: nothing is queued here

    and ends with ``begin_close()``, turns until ``finished``, ``release()``. What a bug of the endpoint raises aborts
    everything and comes out of every later call as well. ``watch``, ``adopt``, ``forget``, ``rest`` and ``pump`` are
    for the sockets alone.
    """

    addresses: dict[str, Address]
    """What is bound, by label; for a label with several addresses, the first one."""
    failure: Exception | None
    """The bug of the endpoint that ended everything."""

    def __init__(
        self,
        endpoint: Endpoint[E],
        *,
        listen: Mapping[str, Bind | Sequence[Bind]],
        sockets: Mapping[str, Bind],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        self.now = clock
        self._sleep = SleepWatch(clock)
        self.addresses = {}
        self.failure = None
        self._traceback: TracebackType | None = None
        self._streams: dict[Link, Stream] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._datagrams: dict[str, Datagrams] = {}
        self._masks: dict[socket.socket, int] = {}
        self.ready = 0  # sockets, in this turn
        self._budget = 0
        self._transmit: Transmit | None = None
        self._event: E | None = None
        self._answers: deque[tuple[int, tuple[Address, ...]]] = deque()
        self._rest_until: float | None = None
        self._ended = self._closing = self._aborted = self._interrupted = False
        self._selector = selectors.DefaultSelector()
        self._waker, self._wakes = socket.socketpair()
        self._waker.setblocking(False)
        self._wakes.setblocking(False)
        self._selector.register(self._wakes, selectors.EVENT_READ, self._woken)
        try:
            self._bind(listen, sockets)
        except BaseException:
            self._aborted = True  # as far as the sockets go: the endpoint was told nothing, and may be run elsewhere
            self._close_sockets()
            self.release()
            raise

    # -- what a front calls

    def fileno(self) -> int:
        """A descriptor that is readable when a turn is due, besides at the timeout: register it with any other loop.

        It exists where the system's best selector is epoll or kqueue. Elsewhere (Windows) this raises OSError: there,
        run the loop in a thread of its own.
        """
        fileno: Callable[[], int] | None = getattr(self._selector, "fileno", None)
        if fileno is None:
            raise OSError("selectors of this system have no descriptor")
        return fileno()

    def timeout(self) -> float | None:
        """Seconds until the next turn is due even if no socket is ready: 0 is now, None is never."""
        with suppress(Exception):  # the next turn raises it
            return self._guard(self._timeout)
        return 0.0

    def select(self, timeout: float | None) -> Ready:
        """Wait for sockets. The only part that blocks; the others may be called meanwhile, followed by ``wake``."""
        return self._selector.select(None if timeout is None else min(timeout, LONGEST))

    def turn(self, ready: Ready = ()) -> None:
        """Let ready sockets, due timers and transmits act: a bounded amount of work."""
        if self.failure is not None:
            self._woken(0)  # by a look-up, say: the descriptor would stay readable, and a loop would spin
        self._raise_failure()
        if not self._aborted:
            self._guard(lambda: self._turn(ready))

    def call(self, verb: Callable[[*Arguments, float], T], *arguments: *Arguments) -> T:
        """Call ``verb(*arguments, now)``. A turn should follow, also if it raises."""
        self._raise_failure()
        self._guard(self._notice_sleep)
        return verb(*arguments, self.now())

    def has_event(self) -> bool:
        """Is there something to take, were it an exception? May pop one event of the endpoint, and keep it."""
        if self._event is None and not self._is_over():
            with suppress(Exception):  # take() raises it
                self._event = self._guard(self.endpoint.next_event)
        return self._event is not None or self._is_over()

    def take(self) -> E:
        """The event that ``has_event`` found. A turn should follow. Raises NotOpen after ``Closed``."""
        found = self.has_event()
        self._raise_failure()
        if not found or self._event is None:
            raise NotOpen("next_event", Phase.CLOSED.name)
        event, self._event = self._event, None
        self._ended = isinstance(event, Closed)
        return event

    def wake(self) -> None:
        """Make ``select`` return and ``fileno()`` readable, from any thread: a turn follows, and a new timeout."""
        with suppress(OSError):  # full: it is awake; closed: nobody waits
            self._waker.send(b"\0")

    def begin_close(self) -> None:
        """End politely: from now on events are discarded. Turns must go on until ``finished``.

        After an interrupt in the middle of a turn, such as Ctrl-C, abort at once.
        """
        self._closing = True
        if self._interrupted:
            self.abort()
        if not self._aborted and self.endpoint.phase is not Phase.CLOSED:
            self._guard(lambda: self.endpoint.close(self.now()))
        self.turn()

    @property
    def finished(self) -> bool:
        """Is everything said and every link closed, or is it all aborted?"""
        with suppress(Exception):  # the next turn raises it
            return self._guard(self._is_finished)
        return True

    def abort(self) -> None:
        """Close every socket now, resetting links that are not closing, and abort the endpoint."""
        if self._aborted:
            return
        self._aborted = True
        links = list(self._streams)
        self._close_sockets()
        if self.failure is None:
            self.endpoint.abort()
            for link in links:
                self.endpoint.stream_lost(link, self.now(), detail="aborted")

    def release(self) -> None:
        """Abort, and close what ``fileno`` and ``wake`` stand on."""
        try:
            self.abort()
        finally:
            self._selector.close()
            self._waker.close()
            self._wakes.close()

    # -- what streams, listeners and datagram sockets call

    def watch(self, sock: socket.socket, mask: int, ready: OnReady) -> None:
        """Have ``ready(mask)`` called when the socket is readable or writable; mask 0: not any more."""
        before = self._masks.get(sock, 0)
        if mask == before:
            return
        if not mask:
            del self._masks[sock]
            with suppress(KeyError):  # an interrupt (Ctrl-C) came in the middle of registering or modifying
                self._selector.unregister(sock)
            return
        self._masks[sock] = mask
        if before:
            self._selector.modify(sock, mask, ready)
        else:
            self._selector.register(sock, mask, ready)

    def adopt(self, listener: str, sock: socket.socket, peer: Address) -> None:
        """Take over a connected socket, as accepted by this listener."""
        link = self.endpoint.stream_accepted(listener, peer, self.now())
        stream = self._streams[link] = Stream(self, link, sock, opened=True)
        stream.watch()

    def forget(self, link: Link) -> None:
        del self._streams[link]

    def rest(self) -> None:
        """Have ``Listener.watch`` called again in a while."""
        self._rest_until = self.now() + REST

    def pump(self) -> None:
        """Carry out transmits, up to what is left for this turn."""
        while self._budget > 0 and self._is_transmit_waiting():
            transmit, self._transmit = self._transmit, None
            self._budget -= 1
            if transmit is not None:
                self._carry_out(transmit)

    # -- inside

    def _bind(self, listen: Mapping[str, Bind | Sequence[Bind]], sockets: Mapping[str, Bind]) -> None:
        for label, bindings in listen.items():
            listeners = self._listeners[label] = []
            for where in each(bindings):
                listeners.append(Listener(self, label, where, free_port=listeners[0].address.port if listeners else 0))
            self.addresses[label] = listeners[0].address
        for label, where in sockets.items():
            self._datagrams[label] = datagrams = Datagrams(self, label, where)
            self.addresses[label] = datagrams.address
        for label, datagrams in self._datagrams.items():
            self.endpoint.socket_bound(label, datagrams.address, self.now())

    def _timeout(self) -> float | None:
        if self._aborted:
            return None
        if self._answers or self._is_transmit_waiting():
            return 0.0
        due = [at for at in (self.endpoint.next_timeout(), self._rest_until) if at is not None]
        return min(max(0.0, min(due) - self.now()), LONGEST) if due else None

    def _is_finished(self) -> bool:
        is_closed = self.endpoint.phase is Phase.CLOSED
        return self._aborted or (is_closed and not self._streams and not self._is_transmit_waiting())

    def _close_sockets(self) -> None:
        for stream in list(self._streams.values()):
            stream.drop(reset=not stream.closing)
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close()
        for datagrams in self._datagrams.values():
            datagrams.close()

    def _turn(self, ready: Ready) -> None:
        self._notice_sleep()
        self.ready = len(ready)
        self._budget = TRANSMITS_PER_TURN + self.ready
        for key, mask in ready:
            key.data(mask)
            self.pump()
        while self._answers:
            self.endpoint.looked_up(*self._answers.popleft(), self.now())
        now = self.now()
        due = self.endpoint.next_timeout()
        if due is not None and due <= now:
            self.endpoint.handle_timeout(now)
        if self._rest_until is not None and self._rest_until <= now:
            self._rest_until = None
            for listeners in self._listeners.values():
                for listener in listeners:
                    listener.watch()
        self.pump()
        if self._closing:
            self._event = None
            while self.endpoint.next_event() is not None:
                pass

    def _notice_sleep(self) -> None:
        """Before anything else is told: what came meanwhile is judged by what the endpoint then does."""
        slept, now, due = self._sleep.slept(), self.now(), self.endpoint.next_timeout()
        if slept or (due is not None and now - due >= NOTABLE):
            self.endpoint.resumed(now, asleep=slept)

    def _carry_out(self, transmit: Transmit) -> None:
        if isinstance(transmit, SendBytes):  # first, being the bulk path
            if (stream := self._streams.get(transmit.link)) is not None:
                stream.send(transmit.data)
            return
        match transmit:
            case SendDatagram(data, path):
                self._bound(path.socket).send(data, path)
            case Rebind(label):
                self._rebind(label)
            case Lookup():
                self._look_up(transmit)
            case OwnAddress(query, to):
                self._answers.append((query, own_addresses(to)))
                self.wake()
            case OpenStream(link, address):
                self._open(link, address)
            case PauseAccepting(label) | ResumeAccepting(label):
                for listener in self._listeners.get(label, ()):
                    listener.set_accepting(isinstance(transmit, ResumeAccepting))
            case _:
                if (stream := self._streams.get(transmit.link)) is not None:
                    self._steer(stream, transmit)

    def _steer(
        self, stream: Stream, transmit: CloseWrite | CloseTransport | AbortTransport | PauseReading | ResumeReading
    ) -> None:
        match transmit:
            case PauseReading():
                stream.set_reading(False)
            case ResumeReading():
                stream.set_reading(True)
            case CloseWrite():
                stream.finish()
            case CloseTransport():
                stream.close()
            case AbortTransport():
                stream.lose("aborted", reset=True)

    def _open(self, link: Link, address: Address) -> None:
        try:
            stream = Stream.connect(self, link, address)
        except OSError as error:
            self.endpoint.stream_lost(link, self.now(), detail=error.strerror or str(error))
        else:
            self._streams[link] = stream
            stream.watch()

    def _rebind(self, label: str) -> None:
        datagrams = self._bound(label)
        with suppress(OSError):  # the endpoint sees that its datagrams fail, or that no new address is reported
            datagrams.rebind()
            self.addresses[label] = datagrams.address
            self.endpoint.socket_bound(label, datagrams.address, self.now())

    def _bound(self, label: str) -> Datagrams:
        if label not in self._datagrams:
            raise UnboundSocket(label, tuple(self._datagrams))
        return self._datagrams[label]

    def _look_up(self, lookup: Lookup) -> None:
        """Resolve in a thread: a daemon, for nothing can interrupt the system's resolver."""

        def look_up() -> None:
            self._answers.append((lookup.query, resolve(lookup.host, lookup.port)))
            self.wake()

        try:
            threading.Thread(target=look_up, name=f"look up {lookup.host}", daemon=True).start()
        except RuntimeError:  # no more threads
            self._answers.append((lookup.query, ()))

    def _woken(self, _: int) -> None:
        with suppress(BlockingIOError):
            self._wakes.recv(4096)

    def _is_transmit_waiting(self) -> bool:
        if self._transmit is None:
            self._transmit = self.endpoint.next_transmit()
        return self._transmit is not None

    def _is_over(self) -> bool:
        return self._ended or self._closing or self._aborted

    def _guard(self, step: Callable[[], T]) -> T:
        """A correct endpoint raises nothing here. One that does is not trusted any further."""
        try:
            return step()
        except Exception as error:
            self.failure, self._traceback = error, error.__traceback__
            self.abort()
            raise
        except BaseException:  # Ctrl-C, say, between any two lines: what was under way is in an unknown state
            self._interrupted = True
            raise

    def _raise_failure(self) -> None:
        if self.failure is not None:  # with the traceback that it had: each raising would make that longer
            raise self.failure.with_traceback(self._traceback)
