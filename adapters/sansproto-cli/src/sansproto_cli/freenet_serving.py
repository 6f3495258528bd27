"""A gateway, and what comes to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

import attrs

from sansproto.contract import Path
from sansproto.freenet import Connected, FreenetEvent, FreenetGateway, MessageReceived, PathConflict, PeerLost
from sansproto_threads import Runner, run

from . import addresses
from .exits import Interrupted
from .line import SERVER_LINGER, each_event, on_sockets
from .mistakes import Mistakes, tell_stopped
from .report import Reporter

SOCKET = "udp"
_MOST = 64 * 1024 * 1024  # bytes of messages that wait to be sent back: over it whoever has most of them loses some
_EACH = 64  # bytes that one counts for beside its own
WORTH_TELLING = (
    (
        "an intro that does not open",
        "other_key",
        "A joiner expects another key here than ours: check the key that it was given.",
    ),
    (
        "a joiner was refused: its version does not fit",
        "other_version",
        "A joiner has a version that does not fit ours, and was told so.",
    ),
)


class Serving:
    """Runs a gateway until it is interrupted."""

    def __init__(self, gateway: FreenetGateway, reporter: Reporter, *, echo: bool) -> None:
        self._gateway, self._reporter, self._is_echo = gateway, reporter, echo
        self._mistakes = Mistakes(gateway.stats, WORTH_TELLING, reporter)
        self._waiting: dict[int, _Echo] = {}  # by session
        self._held = 0  # bytes of all of them

    def run(self, place: tuple[str, int], check: Callable[[], None]) -> None:
        """With a socket at this place."""
        self._runner: Runner[FreenetEvent] = run(self._gateway, sockets={SOCKET: place}, linger=SERVER_LINGER)
        with on_sockets(self._runner):
            self._tell_started()
            with suppress(Interrupted):
                for event in each_event(self._runner, check):
                    if event is not None:
                        self._tell(event)
                    self._mistakes.look(self._runner)
                    if self._waiting:
                        self._runner.call(self._send_back)
            tell_stopped(self._reporter, "The gateway", self._gateway.stats)

    def _tell_started(self) -> None:
        bound, key = self._runner.addresses[SOCKET], self._gateway.public_key.hex()
        shown = addresses.shown(bound.host)
        where = addresses.format_address(shown, bound.port)
        command = f"sansproto freenet join {key} {where} --key FILE"
        self._reporter.command(
            "gateway_started",
            f"A gateway at {where}. Ctrl-C stops it. Others join it with:",
            command,
            host=shown,
            port=bound.port,
            public_key=key,
        )

    def _tell(self, event: FreenetEvent) -> None:
        match event:
            case Connected(path, session, version=version):
                told = "" if version is None else str(version)
                text = f"{_shown(path)} is here, with version {told} (session {session})."
                self._reporter.tell("connected", text, address=_shown(path), session=session, version=told)
            case MessageReceived(path, data, generation=session):
                facts: dict[str, object] = {"hex": data.hex()}
                with suppress(UnicodeDecodeError):
                    facts["line"] = data.decode()
                text = f"{_shown(path)} says {len(data)} bytes."
                self._reporter.tell("message", text, address=_shown(path), session=session, **facts)
                if self._is_echo:
                    self._hold(session, data)
            case PeerLost(path, session, replaced=replaced, undelivered=undelivered):
                why = "somebody else is at its address" if replaced else "it does not answer any more"
                text = f"{_shown(path)}: session {session} is over, {why}."
                facts = {"replaced": replaced, "undelivered": len(undelivered)}
                self._reporter.tell("lost", text, address=_shown(path), session=session, **facts)
            case PathConflict(path, session, other=other):
                text = f"{_shown(path)}: sessions {session} and {other} both answer. Both stay."
                self._reporter.tell("conflict", text, address=_shown(path), session=session, other=other)
            case _:
                pass

    def _hold(self, session: int, data: bytes) -> None:
        echo = self._waiting.setdefault(session, _Echo())
        echo.messages.append(data)
        echo.size += _counted(data)
        self._held += _counted(data)
        while self._held > _MOST:
            self._forget(max(self._waiting, key=lambda one: self._waiting[one].size))

    def _forget(self, session: int) -> None:
        """The first message of a session, with which that may be gone, too."""
        echo = self._waiting[session]
        size = _counted(echo.messages.popleft())
        echo.size -= size
        self._held -= size
        if not echo.messages:
            del self._waiting[session]

    def _send_back(self, now: float) -> None:
        """As much as fits, in each session in order; what nobody is there for any more is forgotten."""
        there = self._gateway.sessions
        for session, echo in [*self._waiting.items()]:
            while echo.messages and (session not in there or self._gateway.send(session, echo.messages[0], now)):
                self._forget(session)


@attrs.define
class _Echo:
    """What waits to be sent back in one session."""

    messages: deque[bytes] = attrs.field(factory=deque)
    size: int = 0


def _counted(data: bytes) -> int:
    return len(data) + _EACH


def _shown(path: Path) -> str:
    return addresses.format_address(path.host, path.port)
