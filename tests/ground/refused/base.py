"""What the snippets of this folder stand on: two machines of a few lines."""

from __future__ import annotations
from enum import Enum
from typing import Annotated
import attrs
from sansproto.snapshot import CACHED
from sansproto.component import Component as Component, Host as Host
from sansproto.session import Session as Session
from sansproto.machine import Default, Guards as Guards, Input as Input, Outcome, Row as Row, Table as Table, Timer as Timer

@attrs.frozen
class Delays:
    resend: float = 1.0

@attrs.frozen
class OtherDelays:
    resend: float = 1.0

class S(Enum):
    A = 0
    B = 1

class S2(Enum):
    A = 0

class I:
    LISTED = Input[S, bytes]()
    COUNTED = Input[S, int]()
    DUE = Input[S, None]()

class I2:
    OTHER = Input[S2, bytes]()
    DUE = Input[S2, None]()

class Thing(Component[S, Host[str]]):
    n: int
    delays: Annotated[Delays, CACHED]
    def adopt(self, found: bytes) -> None: ...
    def count(self, n: int) -> None: ...
    def bump(self) -> None: ...
    def ready(self) -> bool: return True
    def big(self, n: int) -> bool: return n > 3
    def parse(self, data: bytes) -> int | None: return len(data)
    def backoff(self) -> float: return 2.0 ** self.n

class Other(Component[S2, Host[str]]):
    def poke(self, found: bytes) -> None: ...
    def pause(self) -> float: return 1.0

class T:
    DUE = Timer(I.DUE, Delays.resend)
    LATER = Timer(I.DUE, Thing.backoff)

class T2:
    DUE = Timer(I2.DUE, Other.pause)

LATE = (Default[S](Outcome.IGNORE, "late"),)
