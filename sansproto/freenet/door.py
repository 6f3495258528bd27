"""What arrives, before it is known whose it is: docs/protocols/freenet.rst, intros and addresses."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from math import log
from typing import Annotated, Any, Final, NamedTuple, Protocol
from zlib import crc32

import attrs

from ..component import Component, Note
from ..contract import Path
from ..errors import WireError
from ..fair import address_bytes
from ..machine import Guards, Input, Row, Table
from ..rates import Level, Rate, keep_newest
from ..snapshot import CACHED
from . import packets as p
from .call import ANSWER, Answer, Call, CallInput
from .candidate import Candidate, CandidateInput
from .crypto import Cipher, KeyPair, open_intro
from .generation import OPENED, Generation
from .limits import FreenetLimits
from .place import Place, PlaceHost
from .versions import Version

MISFIT: Final = Note("a joiner was refused: its version does not fit", ref="versions")

_SCARCE: Final = 0.5
"""When less is left of a budget, a random part is dropped."""
_KEPT: Final = 0.25
"""This part of the budget of intros is kept for addresses with a session."""
_ERRORS: Final = 10
"""So many incompatible versions are told so at once."""


@attrs.define(weakref_slot=False)
class Spent:
    """What is left of the budgets that anybody can use up."""

    intros: Level
    opens: Level
    """Of keys that are no session's, under which packets are tried."""
    errors: Level
    addresses: OrderedDict[bytes, Level] = attrs.field(factory=OrderedDict)
    drawn: int = 0

    @classmethod
    def nothing(cls, limits: FreenetLimits) -> Spent:
        return cls(Level(limits.intro_rate, 0.0), Level(limits.open_rate, 0.0), Level(_ERRORS, 0.0))


class CameIntro(NamedTuple):
    """An intro, and where it came from."""

    data: bytes
    path: Path
    place: Place | None
    """The address, if somebody is there."""


@attrs.frozen
class ReadIntro:
    """An intro that opened."""

    data: bytes
    path: Path
    key: bytes = attrs.field(repr=False)
    version: Version


class CamePacket(NamedTuple):
    """What is not an intro, and where it came from."""

    data: bytes
    place: Place | None


class Sought(NamedTuple):
    """A packet of an address where somebody is."""

    data: bytes
    place: Place
    holder: Generation | None
    """Under whose key it opened."""
    clear: bytes

    def __repr__(self) -> str:
        return "Sought(...)"  # clear text is nobody's business


class Tried(NamedTuple):
    """A packet that opened under a key of a session that is not confirmed, or of an intro of ours."""

    place: Place
    holder: Candidate | Call
    clear: bytes
    read: p.Clear
    attempt: Any

    def __repr__(self) -> str:
        return f"Tried({self.read!r})"


class DoorHost(PlaceHost, Protocol):
    """What the door asks of the endpoint."""

    keys: KeyPair
    spent: Spent

    def place_at(self, path: Path) -> Place | None: ...
    def make_place(self, path: Path) -> Place: ...
    def is_welcome(self, path: Path) -> bool: ...
    def add_candidate(self, place: Place, intro: ReadIntro) -> None: ...


class DoorState(Enum):
    OPEN = 0


class DoorInput:
    REPEATED = Input[DoorState, CameIntro]()
    KNOCKED = Input[DoorState, CameIntro]()
    MISFIT = Input[DoorState, ReadIntro]()
    OFFERED = Input[DoorState, ReadIntro]()
    OPENED = Input[DoorState, Sought]()
    SOUGHT = Input[DoorState, Sought]()
    ANSWERED = Input[DoorState, Tried]()
    LINKED = Input[DoorState, Tried]()
    HEARD = Input[DoorState, Tried]()
    CONFIRMED = Input[DoorState, Tried]()


class Door(Component[DoorState, DoorHost]):
    """Whose is it, and is it worth the work?"""

    total: Annotated[Rate, CACHED]
    each: Annotated[Rate, CACHED]
    opens: Annotated[Rate, CACHED]
    errors: Annotated[Rate, CACHED]
    salt: int

    def __init__(self, host: DoorHost) -> None:
        super().__init__(host)
        limits = host.limits
        self.total = Rate(limits.intro_rate, limits.intro_rate)
        self.each = Rate(limits.address_rate, limits.address_rate)
        self.salt = int.from_bytes(host.draw(4, "door.salt"), "big")
        self.opens, self.errors = Rate(limits.open_rate, limits.open_rate), Rate(limits.error_rate, _ERRORS)

    # -- guards: intros

    def is_welcome(self, came: CameIntro) -> bool:
        return self.host.is_welcome(came.path)

    def is_repeated(self, came: CameIntro) -> bool:
        """The same bytes have the same answer, and cost nothing."""
        return came.place is not None and came.data in came.place.candidates

    def is_news(self, came: CameIntro) -> bool:
        return came.place is None or not came.place.is_known_intro(came.data)

    def has_budget(self, came: CameIntro) -> bool:
        total = self.total
        left = self.host.spent.intros.filled(total, self.host.clock)
        if left < 1.0:
            return False
        if came.place is not None and came.place.generations:
            return True
        return min(left, total.burst) > total.burst * (_KEPT + (_SCARCE - _KEPT) * self._toss(came.data))

    def has_share(self, came: CameIntro) -> bool:
        level, now = self.host.spent.addresses.get(_address(came.path)), self.host.clock
        if level is None:
            return True
        return level.has(self.each, now) and level.share(self.each, now) > _SCARCE * self._toss(came.data[32:])

    def open_intro(self, came: CameIntro) -> ReadIntro | None:
        body = open_intro(self.host.keys.secret, p.Intro.decode(came.data[1:]))
        return ReadIntro(came.data, came.path, body.key, Version.read(body.version))

    def is_other_key(self, read: ReadIntro) -> bool:
        place = self.host.place_at(read.path)
        return place is None or not place.has_key(read.key)

    def is_misfit(self, read: ReadIntro) -> bool:
        return not self.host.version.speaks_to(read.version)

    # -- guards: packets

    def seek(self, came: CamePacket) -> Sought | None:
        """Sessions are tried newest first."""
        place = came.place
        if place is None:
            return None
        for one in reversed(place.generations.values()):
            for opener in one.openers:
                clear = _attempt(opener, came.data)
                if clear is not None:
                    return Sought(came.data, place, one, clear)
        return Sought(came.data, place, None, b"")

    def is_opened(self, sought: Sought) -> bool:
        return sought.holder is not None

    def has_others(self, sought: Sought) -> bool:
        return sought.place.unproven_keys > 0

    def may_open(self) -> bool:
        return self.host.spent.opens.has(self.opens, self.host.clock)

    def seek_others(self, sought: Sought) -> Tried | None:
        """Answers to our own intros first, then who asked for a session, newest first."""
        place, data = sought.place, sought.data
        call = place.call.part
        for attempt in call.attempts if call is not None else ():
            clear = _attempt(Cipher(attempt.key), data)
            if clear is not None and call is not None:
                return Tried(place, call, clear, p.read_clear(clear), attempt)
        for one in reversed(place.candidates.values()):
            clear = _attempt(one.opener, data)
            if clear is not None:
                return Tried(place, one, clear, p.read_clear(clear), None)
        return None

    def is_answer(self, tried: Tried) -> bool:
        return isinstance(tried.holder, Call)

    def is_link(self, tried: Tried) -> bool:
        """Does it answer a ping that left in the session of our own call, and nowhere else?"""
        called, body = tried.place.called, tried.read.body
        return called is not None and isinstance(body, p.Pong) and body.sequence in called.pings

    def may_be_link(self, tried: Tried) -> bool:
        """Two peers that call each other have two handshakes. It is found out whether this is the other one."""
        return tried.place.may_be_called

    def has_room(self, tried: Tried) -> bool:
        return self.host.has_place_for(tried.place)

    def _toss(self, intro: bytes) -> float:
        """A number from 0 to 1 that nobody else knows, another one at another time: of a flood each intro has the same
        chance, also one that always comes right behind others."""
        return crc32(intro[1:33] + str(self.host.clock).encode(), self.salt) / 2**32

    # -- actions

    def repeat(self, came: CameIntro) -> None:
        assert came.place is not None  # a guard found it
        came.place.candidates[came.data].post(CandidateInput.REPEATED())

    def knock(self, came: CameIntro) -> None:
        """It is paid for before it is looked at. Each costs one on the average: nobody's timer keeps step with it."""
        spent, now, address = self.host.spent, self.host.clock, _address(came.path)
        spent.drawn += 1
        drawn = int.from_bytes(self.host.draw(4, f"door.{spent.drawn}"), "big")
        cost = -log((drawn + 1) / 2**32)
        spent.intros.take(self.total, now, cost)
        level = spent.addresses.get(address) or Level(self.each.burst, now)
        level.take(self.each, now, cost)
        keep_newest(spent.addresses, address, level, self.host.limits.addresses)
        self.take(INTRO_OPENED, came)

    def refuse(self, read: ReadIntro) -> None:
        """The version does not fit: few are told so."""
        self.host.count_note(MISFIT, self)
        level, now = self.host.spent.errors, self.host.clock
        if not level.has(self.errors, now):
            return
        level.take(self.errors, now)
        reason = p.Refusal(f"expected version {self.host.version}")
        clear = p.Clear(0, (), p.AckConnection(reason)).encode()
        nonce = self.host.draw(p.NONCE_SIZE, "door.refusal")
        self.host.send_datagram(Cipher(read.key).seal(nonce, clear), read.path, "AckConnection")

    def offer(self, read: ReadIntro) -> None:
        place = self.host.make_place(read.path)
        place.note_intro()
        self.host.add_candidate(place, read)

    def hand_on(self, sought: Sought) -> None:
        """Acted upon at once: this is the bulk path."""
        assert sought.holder is not None  # a guard says so
        OPENED.act(sought.holder, sought.clear)

    def try_others(self, sought: Sought) -> None:
        """What costs is each key that may be tried, not the packet."""
        self.host.spent.opens.take(self.opens, self.host.clock, sought.place.unproven_keys)
        self.take(OTHERS, sought)

    def hand_to_call(self, tried: Tried) -> None:
        assert isinstance(tried.holder, Call)  # a guard says so
        tried.holder.take(ANSWER, Answer(tried.attempt, tried.read))

    def link(self, tried: Tried) -> None:
        called = tried.place.called
        assert isinstance(tried.holder, Candidate)  # a guard says so
        assert called is not None  # another one does
        called.link(tried.holder.receive_key)
        self.host.forget_candidate(tried.place, tried.holder.intro)
        OPENED.act(called, tried.clear)

    def ask_called(self, tried: Tried) -> None:
        """What it holds comes again: it has no receipt."""
        called, body, call = tried.place.called, tried.read.body, tried.place.call.part
        assert isinstance(tried.holder, Candidate)  # a guard says so
        tried.holder.post(CandidateInput.HEARD())
        if call is not None and call.is_outstanding:
            call.post(CallInput.HEARD())  # a real peer that has heard us takes a further intro for a restart
        if called is not None and isinstance(body, p.Ping):
            called.answer_elsewhere(body.sequence)

    def confirm(self, tried: Tried) -> None:
        assert isinstance(tried.holder, Candidate)  # a guard says so
        self.host.confirm(tried.place, tried.holder).take(OPENED, tried.clear)


def _attempt(cipher: Cipher, data: bytes) -> bytes | None:
    try:
        return cipher.open(data)
    except WireError:
        return None


def _address(path: Path) -> bytes:
    return address_bytes(path.host) + path.port.to_bytes(2, "big")


_S, _I, _C = DoorState, DoorInput, Door

INTRO: Final = (
    Guards.of(Door, DoorState, CameIntro, "intro")
    .need(_C.is_welcome, "an intro from where nobody is expected", ref="intros")
    .give_if(_C.is_repeated, _I.REPEATED, ref="intros")
    .need(_C.is_news, "the intro of a session that is there", ref="intros")
    .need(_C.has_budget, "too many intros", ref="intros")
    .need(_C.has_share, "too many intros from this address", ref="intros")
    .give(_I.KNOCKED)
)
"""What an intro is, before it is opened."""

INTRO_OPENED: Final = (
    Guards.of(Door, DoorState, CameIntro, "intro opened")
    .make(_C.open_intro, "an intro that does not open", ref="intros")
    .need(_C.is_other_key, "the key of another intro", ref="intros")
    .give_if(_C.is_misfit, _I.MISFIT, ref="versions")
    .give(_I.OFFERED)
)
"""What it says."""

PACKET: Final = (
    Guards.of(Door, DoorState, CamePacket, "packet")
    .make(_C.seek, "from an address where nobody is", ref="addresses")
    .give_if(_C.is_opened, _I.OPENED, ref="addresses")
    .need(_C.has_others, "opens under no key", ref="addresses")
    .need(_C.may_open, "too many packets to try", ref="addresses")
    .give(_I.SOUGHT)
)
"""Whose a packet is that is not an intro."""

OTHERS: Final = (
    Guards.of(Door, DoorState, Sought, "others")
    .make(_C.seek_others, "opens under no key", ref="addresses")
    .give_if(_C.is_answer, _I.ANSWERED, ref="calling")
    .give_if(_C.is_link, _I.LINKED, ref="two calls")
    .give_if(_C.may_be_link, _I.HEARD, ref="two calls")
    .need(_C.has_room, "no place for another session", ref="addresses")
    .give(_I.CONFIRMED)
)
"""The same where no session opened it."""

_REF: Final = "addresses"

DOOR: Final = Table[Door, DoorState](
    Door,
    DoorInput,
    name="freenet.door",
    initial=_S.OPEN,
    idle={_S.OPEN: "the end of the endpoint"},
    rows=(
        Row(_S.OPEN, _I.REPEATED, None, _C.repeat, ref="intros"),
        Row(_S.OPEN, _I.KNOCKED, None, _C.knock, ref="intros"),
        Row(_S.OPEN, _I.MISFIT, None, _C.refuse, ref="versions"),
        Row(_S.OPEN, _I.OFFERED, None, _C.offer, ref="intros"),
        Row(_S.OPEN, _I.OPENED, None, _C.hand_on, ref=_REF),
        Row(_S.OPEN, _I.SOUGHT, None, _C.try_others, ref=_REF),
        Row(_S.OPEN, _I.ANSWERED, None, _C.hand_to_call, ref="calling"),
        Row(_S.OPEN, _I.LINKED, None, _C.link, ref="two calls"),
        Row(_S.OPEN, _I.HEARD, None, _C.ask_called, ref="two calls"),
        Row(_S.OPEN, _I.CONFIRMED, None, _C.confirm, ref=_REF),
    ),
    defaults=(),
)
