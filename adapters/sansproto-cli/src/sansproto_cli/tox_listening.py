"""An echo for friends: what they send comes back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from sansproto.tox import (
    CustomReceived,
    FriendOffline,
    FriendOnline,
    MessageReceived,
    RelayConnected,
    RelayLost,
    ToxEvent,
    ToxNode,
)
from sansproto.tox import packets as p
from sansproto_threads import Runner

from .exits import Interrupted
from .line import Line
from .mistakes import tell_stopped
from .tox_keys import Friend
from .tox_meeting import Meeting
from .tox_piping import DATA, END, WRITTEN, Outgoing

_LONGEST = p.MAX_PAYLOAD - 1  # bytes of a message
_MOST = 4096  # packets and messages that wait for one friend: over it nobody is heard
_STUCK = 10.0  # seconds in which none of them is taken, until such a friend is sent away
_AWAY = 60.0  # seconds for which it stays away
_PAUSE = 0.01  # seconds until it is looked at again


class Echo:
    """What goes back to one friend."""

    def __init__(self, node: ToxNode, friend: bytes, session: int) -> None:
        self._node, self._friend = node, friend
        self._outgoing = Outgoing(node, friend)
        self._outgoing.session = session
        self.messages: deque[MessageReceived] = deque()
        self.packets: deque[bytes] = deque()
        self.size = 0
        """Bytes of the stream that came."""
        self._moved = time.monotonic()

    @property
    def waiting(self) -> int:
        return len(self.packets) + len(self.messages)

    @property
    def is_full(self) -> bool:
        return self.waiting >= _MOST

    @property
    def is_stuck(self) -> bool:
        return self.is_full and time.monotonic() - self._moved > _STUCK

    def send(self, now: float) -> None:
        """As much as fits."""
        before = self.waiting
        self._outgoing.take(self.packets, now)
        while self.messages and self._outgoing.is_open:
            first = self.messages[0]
            if self._node.send_message(self._friend, first.text, now, action=first.is_action) is None:
                break
            self.messages.popleft()
        if self.waiting < before:
            self._moved = time.monotonic()


class Listening:
    """Sends back what comes, until Ctrl-C."""

    def __init__(self, meeting: Meeting, runner: Runner[ToxEvent], friends: Iterable[Friend]) -> None:
        self._meeting, self._runner = meeting, runner
        self._node, self._reporter = meeting.node, meeting.reporter
        self._friends = {one.real: one for one in friends}
        self._echoes: dict[bytes, Echo] = {}
        self._away: dict[bytes, float] = {}
        """Friends that were sent away, and when they may come again."""

    def run(self, check: Callable[[], None]) -> None:
        for friend in self._friends.values():
            self._meeting.add_friend(self._runner, friend)
        line = Line(self._node, self._runner, check)
        with suppress(Interrupted):
            while True:
                if any(echo.is_full for echo in self._echoes.values()):
                    check()
                    time.sleep(_PAUSE)
                    self._send()
                    self._send_away_stuck()
                elif (event := line.next_event()) is not None:
                    self._tell(event)
                if line.is_empty:
                    self._send()
                    self._let_in_again()
                    self._meeting.look(self._runner)
        tell_stopped(self._reporter, "The echo", self._node.stats)

    def _send(self) -> None:
        waiting = [echo for echo in self._echoes.values() if echo.waiting]
        if waiting:
            self._runner.call(lambda now: _send_each(waiting, now))

    def _send_away_stuck(self) -> None:
        """A friend that takes nothing of what it sent itself keeps all others waiting."""
        for key in [key for key, echo in self._echoes.items() if echo.is_stuck]:
            text = f"{_short(key)} does not take its echo: it is disconnected for {_AWAY:.0f} s."
            self._reporter.tell("warning", text, reason="stuck", friend=key.hex())
            del self._echoes[key]
            self._away[key] = time.monotonic() + _AWAY
            self._runner.call(partial(self._node.remove_friend, key))

    def _let_in_again(self) -> None:
        for key in [key for key, at in self._away.items() if time.monotonic() >= at]:
            del self._away[key]
            self._meeting.add_friend(self._runner, self._friends[key])

    def _tell(self, event: ToxEvent) -> None:
        match event:
            case RelayConnected() | RelayLost():
                self._meeting.tell_relay(event)
            case FriendOnline(key, session):
                self._echoes[key] = Echo(self._node, key, session)
                self._reporter.tell("online", f"{_short(key)} is here.", friend=key.hex())
            case FriendOffline(key, reason):
                self._echoes.pop(key, None)
                name = reason.name.lower()
                self._reporter.tell("offline", f"{_short(key)} is gone ({name}).", friend=key.hex(), reason=name)
            case MessageReceived(key, text, is_action) if key in self._echoes:
                shown = f"* {_short(key)} {text}" if is_action else f"{_short(key)}: {text}"
                self._reporter.tell("message", shown, friend=key.hex(), line=text, is_action=is_action)
                back = text.encode()[:_LONGEST].decode(errors="ignore")
                if back:  # a friend may send an empty text, or one that gets longer because it is not UTF-8
                    self._echoes[key].messages.append(MessageReceived(key, back, is_action))
            case CustomReceived(key, data) if key in self._echoes:
                self._take(key, data)
            case _:  # also what came before a friend had to come again
                pass

    def _take(self, key: bytes, data: bytes) -> None:
        echo = self._echoes[key]
        if data == END:
            text = f"{_short(key)} has sent a stream of {echo.size:,} bytes."
            self._reporter.tell("stream", text, friend=key.hex(), size=echo.size)
            echo.packets += (WRITTEN, END)
            echo.size = 0
        elif data[:1] == DATA:
            echo.packets.append(data)
            echo.size += len(data) - 1
        elif data != WRITTEN:
            text = f"{_short(key)} has sent a packet {data[0]} of {len(data) - 1} bytes."
            self._reporter.tell("packet", text, friend=key.hex(), id=data[0], hex=data[1:].hex())
            if data[0] in p.CUSTOM_LOSSLESS:
                echo.packets.append(data)
            else:  # it may be lost
                self._runner.call(lambda now: self._node.send(key, data, now))


def _send_each(echoes: Iterable[Echo], now: float) -> None:
    for echo in echoes:
        echo.send(now)


def _short(key: bytes) -> str:
    return key.hex()[:8]
