"""A guest: who has connected, has to greet, and is then heard."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

import attrs

from sansproto.component import Component, Host
from sansproto.contract import Link
from sansproto.limits import seconds
from sansproto.links import LinkDelays, StreamLink
from sansproto.machine import Default, Guards, Input, Outcome, Row, Table, Timer
from sansproto.snapshot import CACHED

from .events import EchoEvent, GuestLeft, GuestSaid
from .packets import Message


@attrs.frozen(kw_only=True)
class EchoDelays(LinkDelays):
    """Times of an echo server, in seconds."""

    greet: float = seconds(10.0)
    """from the connection to the greeting"""


class S(Enum):
    """What a guest is."""

    NEW = 0
    SILENT = 1
    """It has not greeted."""
    KNOWN = 2
    GONE = 3


class I:  # noqa: E742
    """What can happen to a guest, and what comes with it."""

    CAME = Input[S, None]()
    GREETED = Input[S, bytes]()
    SPOKE = Input[S, bytes]()
    SAY = Input[S, bytes]()
    """The application's verb."""
    SAID_GOODBYE = Input[S, bytes]()
    BROKE = Input[S, str]()
    """It sent what is no message, or spoke before it greeted: why."""
    GREET_EXPIRED = Input[S, None]()


class T:
    """A guest's timers."""

    GREET = Timer(I.GREET_EXPIRED, EchoDelays.greet)


class GuestOwner(Protocol):
    """What a guest asks of its server."""

    def link_of(self, guest: Guest) -> StreamLink: ...


class Guest(Component[S, Host[EchoEvent]]):
    """Somebody who has connected."""

    name: bytes
    """4 random bytes that it is given with the answer to its greeting; empty before."""
    key: Annotated[int, CACHED]
    owner: Annotated[GuestOwner, CACHED]
    delays: Annotated[EchoDelays, CACHED]

    def __init__(self, host: Host[EchoEvent], owner: GuestOwner, key: int, delays: EchoDelays) -> None:
        super().__init__(host)
        self.owner, self.key, self.delays = owner, key, delays
        self.name = b""

    # -- guards

    def is_goodbye(self, text: bytes) -> bool:
        return text == b"bye"

    def is_greeting(self, text: bytes) -> bool:
        return self.state is S.SILENT and text.startswith(b"hi")

    # -- actions

    def answer(self) -> None:
        self.name = self.host.draw(4, f"guest.{self.key}.name")
        self.repeat(b"hi" + self.name)

    def repeat(self, text: bytes) -> None:
        self.owner.link_of(self).write(Message(text).encode())

    def tell(self, text: bytes) -> None:
        self.host.emit(GuestSaid(self.owner.link_of(self).key, text))

    def close_link(self) -> None:
        self.owner.link_of(self).close()

    def abort_link(self) -> None:
        self.owner.link_of(self).abort()

    # -- for the server

    def leave(self, link: Link) -> None:
        """Its link is over."""
        if self.name:  # of strangers nobody hears
            self.host.emit(GuestLeft(link))


MESSAGE: Final = (
    Guards.of(Guest, S, bytes, "message")
    .give_if(Guest.is_goodbye, I.SAID_GOODBYE, ref="leaving")
    .give_if(Guest.is_greeting, I.GREETED, ref="greeting")
    .give(I.SPOKE)
)

GUEST: Final = Table[Guest, S](
    Guest,
    I,
    T,
    name="echo.guest",
    page="echo",
    initial=S.NEW,
    terminal=(S.GONE,),
    idle={S.NEW: "the connection that makes it", S.KNOWN: "the guest, or the application"},
    rows=(
        Row(S.NEW, I.CAME, S.SILENT, arm=(T.GREET,), ref="greeting"),
        Row(S.SILENT, I.GREETED, S.KNOWN, Guest.answer, cancel=(T.GREET,), ref="greeting"),
        Row(S.KNOWN, I.SPOKE, None, Guest.repeat, Guest.tell, ref="speaking"),
        Row(S.KNOWN, I.SAY, None, Guest.repeat, ref="speaking"),
        Row(S.SILENT, I.GREET_EXPIRED, S.GONE, Guest.abort_link, ref="greeting"),
        Row((S.SILENT, S.KNOWN), I.BROKE, S.GONE, Guest.abort_link, ref="breaking"),
        Row((S.SILENT, S.KNOWN), I.SAID_GOODBYE, S.GONE, Guest.close_link, ref="leaving"),
    ),
    defaults=(
        Default(Outcome.VIOLATION, "spoke before greeting", I.SPOKE, states=(S.SILENT,)),
        Default(Outcome.REJECT, "the guest has not greeted", I.SAY, states=(S.SILENT,)),
        Default(Outcome.NOT_OPEN, "", I.SAY),
        Default(Outcome.IGNORE, "late"),
    ),
    violated=I.BROKE,
)
