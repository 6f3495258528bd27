"""A guest: who has connected, has to greet, and is then heard."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Protocol

from sansproto.component import Component, Host
from sansproto.contract import Link
from sansproto.links import StreamLink
from sansproto.machine import Default, Guards, Input, Outcome, Row, Table, Timer
from sansproto.snapshot import CACHED

from .events import EchoEvent, GuestLeft, GuestSaid
from .limits import EchoDelays
from .packets import Message


class S(Enum):
    """What a guest is."""

    NEW = 0
    SILENT = 1
    """It has not greeted."""
    KNOWN = 2
    GONE = 3


class I:
    """What can happen to a guest, and what comes with it."""

    CAME = Input[S, None]()
    GREETED = Input[S, str]()
    SPOKE = Input[S, str]()
    SAID_GOODBYE = Input[S, str]()
    BROKE = Input[S, str]()
    """It broke the protocol: how."""
    SAY = Input[S, str]()
    """The application's verb."""
    GREET_EXPIRED = Input[S, None]()


class T:
    """A guest's timers."""

    GREET = Timer(I.GREET_EXPIRED, EchoDelays.greet)


class GuestHost(Host[EchoEvent], Protocol):
    """What a guest needs of its server."""

    def link_of(self, guest: Guest) -> StreamLink: ...
    def send(self, guest: Guest, message: Message) -> None: ...


class Guest(Component[S, GuestHost]):
    """Somebody who has connected."""

    name: str
    """4 random bytes, that it is given when it has greeted; empty before."""
    key: Annotated[Link, CACHED]
    delays: Annotated[EchoDelays, CACHED]

    def __init__(self, host: GuestHost, key: Link, delays: EchoDelays) -> None:
        super().__init__(host)
        self.key, self.delays = key, delays
        self.name = ""

    # -- guards

    def read(self, message: Message) -> str | None:
        try:
            return message.text.decode()
        except UnicodeDecodeError:
            return None

    def is_goodbye(self, text: str) -> bool:
        return text == "bye"

    def is_greeting(self, text: str) -> bool:
        return self.state is S.SILENT and text.startswith("hi")

    # -- actions

    def give_name(self) -> None:
        self.name = self.host.draw(4, f"guest.{self.key}.name").hex()

    def greet(self) -> None:
        self.repeat(f"hi {self.name}")

    def repeat(self, text: str) -> None:
        self.host.send(self, Message(text.encode()))

    def tell(self, text: str) -> None:
        self.host.emit(GuestSaid(self.key, text))

    def close_link(self) -> None:
        self.host.link_of(self).close()

    def abort_link(self) -> None:
        self.host.link_of(self).abort()

    # -- for the server

    def leave(self) -> None:
        """Its link is over."""
        if self.name:  # of who has not greeted nobody was told
            self.host.emit(GuestLeft(self.key))


MESSAGE: Final = (
    Guards.of(Guest, S, Message, "message")
    .make(Guest.read, "not text", ref="speaking")
    .give_if(Guest.is_goodbye, I.SAID_GOODBYE, ref="leaving")
    .give_if(Guest.is_greeting, I.GREETED, ref="greeting")
    .give(I.SPOKE)
)

GUEST: Final = Table[Guest, S](
    Guest,
    I,
    T,
    name="echo.guest",
    initial=S.NEW,
    terminal=(S.GONE,),
    idle={S.NEW: "the connection that makes it", S.KNOWN: "the guest, or the application"},
    rows=(
        Row(S.NEW, I.CAME, S.SILENT, arm=(T.GREET,), ref="greeting"),
        Row(S.SILENT, I.GREETED, S.KNOWN, Guest.give_name, Guest.greet, cancel=(T.GREET,), ref="greeting"),
        Row(S.SILENT, I.GREET_EXPIRED, S.GONE, Guest.abort_link, ref="greeting"),
        Row(S.KNOWN, I.SPOKE, None, Guest.repeat, Guest.tell, ref="speaking"),
        Row(S.KNOWN, I.SAY, None, Guest.repeat, ref="speaking"),
        Row((S.SILENT, S.KNOWN), I.SAID_GOODBYE, S.GONE, Guest.close_link, ref="leaving"),
        Row((S.SILENT, S.KNOWN), I.BROKE, S.GONE, Guest.abort_link, ref="breaking the protocol"),
    ),
    defaults=(
        Default(Outcome.VIOLATION, "spoke before greeting", I.SPOKE, states=(S.SILENT,)),
        Default(Outcome.REJECT, "the guest has not greeted", I.SAY, states=(S.SILENT,)),
        Default(Outcome.NOT_OPEN, "", I.SAY),
        Default(Outcome.IGNORE, "late"),
    ),
    violated=I.BROKE,
)
