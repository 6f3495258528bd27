"""The tables of a relay: its connections, what pairs of peers say to each other, and the secure rooms."""

from __future__ import annotations

from enum import Enum
from typing import Final

from ...old_machine import Ladder, NoTimers, Otherwise, Row, Rung, Table, Verdict

# -- a connection to the relay port ------------------------------------------------------------------------------------


class MemberState(Enum):
    NEW = 0
    STRANGER = 1  # has not said hello
    CLIENT = 2
    SERVER = 3
    ENDED = 4
    MUTED = 5  # over its budget of drops: no longer there, not read, and soon cut


class MemberInput(Enum):
    CONNECTED = 0
    HELLO_CLIENT = 1
    HELLO_SERVER = 2
    NO_UID_LEFT = 3
    GREETED_OFTEN = 4
    ROUTED = 5  # a packet for a peer that may get it
    SPOKE = 6  # a packet for the relay that changes nothing
    NOBODY = 7
    WRONG_ROLE = 8
    FALSE_IDENTITY = 9
    PAIRED = 10
    MALFORMED = 11
    LEFT = 12
    SLOW = 13
    HELLO_EXPIRED = 14
    IDLE_EXPIRED = 15
    EXCUSED = 16  # a packet of it was dropped: an answer to somebody who may have left
    CHARGED = 17  # one was dropped that it need not have sent
    FLOODED = 18  # one more than its budget allows
    FLOODED_IN_A_CROWD = 19  # the same, and many others did
    MUTE_EXPIRED = 20


class MemberAction(Enum):
    REGISTER = 0
    SEND_IDENTITY = 1
    FOLLOW = 2  # a client gets all announcements from the beginning
    ANNOUNCE = 3
    HAND_OVER = 4
    SEND_CLOSED = 5
    SEND_TIMEOUT = 6
    DEREGISTER = 7
    CLOSE = 8
    TELL_JOINED = 9
    TELL_LEFT = 10
    TELL_IDLE = 11
    TELL_MALFORMED = 12
    TELL_SLOW = 13
    TELL_PAIRED = 14
    EXCUSE = 15
    CHARGE = 16
    ABORT = 17
    TELL_FLOODING = 18
    MUTE = 19
    COUNT_CUT = 20


class MemberTimer(Enum):
    HELLO = 0
    IDLE = 1
    MUTE = 2


_S, _I, _A, _T = MemberState, MemberInput, MemberAction, MemberTimer
_REGISTERED = (_S.CLIENT, _S.SERVER)
_TO_SERVER = (
    Rung("no_client", _I.WRONG_ROLE, ref="what the relay checks"),
    Rung("writing_to_nobody", _I.NOBODY, ref="what the relay checks"),
    Rung("writing_to_no_server", _I.WRONG_ROLE, ref="what the relay checks"),
)
_TO_CLIENT = (
    Rung("no_server", _I.WRONG_ROLE, ref="what the relay checks"),
    Rung("writing_to_nobody", _I.NOBODY, ref="what the relay checks"),
    Rung("writing_to_no_client", _I.WRONG_ROLE, ref="what the relay checks"),
)

MEMBER: Table[MemberState, MemberInput, MemberAction, MemberTimer] = Table(
    name="bob.member",
    page="bob",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=_T,
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={_S.NEW: "the connection that makes it"},
    rows=(
        Row(_S.NEW, _I.CONNECTED, _S.STRANGER, arm=(_T.HELLO,), ref="hello"),
        Row(
            _S.STRANGER,
            _I.HELLO_CLIENT,
            _S.CLIENT,
            (_A.REGISTER, _A.SEND_IDENTITY, _A.FOLLOW, _A.TELL_JOINED),
            arm=(_T.IDLE,),
            cancel=(_T.HELLO,),
            ref="hello",
        ),
        Row(
            _S.STRANGER,
            _I.HELLO_SERVER,
            _S.SERVER,
            (_A.REGISTER, _A.SEND_IDENTITY, _A.ANNOUNCE, _A.TELL_JOINED),
            arm=(_T.IDLE,),
            cancel=(_T.HELLO,),
            ref="hello",
        ),
        Row(_S.STRANGER, _I.NO_UID_LEFT, _S.ENDED, (_A.SEND_CLOSED, _A.CLOSE), ref="uids"),
        Row(_S.STRANGER, _I.HELLO_EXPIRED, _S.ENDED, (_A.SEND_TIMEOUT, _A.CLOSE), ref="times and limits"),
        Row(_S.STRANGER, _I.MALFORMED, _S.ENDED, (_A.SEND_CLOSED, _A.CLOSE), ref="bad packets"),
        Row(_S.STRANGER, (_I.LEFT, _I.SLOW), _S.ENDED, (_A.CLOSE,), ref="leaving"),
        Row(_S.CLIENT, _I.HELLO_CLIENT, None, (_A.SEND_IDENTITY, _A.FOLLOW), arm=(_T.IDLE,), ref="hello again"),
        Row(_S.SERVER, _I.HELLO_SERVER, None, (_A.SEND_IDENTITY, _A.ANNOUNCE), arm=(_T.IDLE,), ref="hello again"),
        Row(_REGISTERED, _I.ROUTED, None, (_A.HAND_OVER,), arm=(_T.IDLE,), ref="what the relay checks"),
        Row(_REGISTERED, _I.SPOKE, None, arm=(_T.IDLE,), ref="times and limits"),
        Row(_REGISTERED, _I.PAIRED, _S.ENDED, (_A.DEREGISTER, _A.CLOSE, _A.TELL_PAIRED), ref="the agreement"),
        Row(
            _REGISTERED,
            _I.MALFORMED,
            _S.ENDED,
            (_A.SEND_CLOSED, _A.DEREGISTER, _A.CLOSE, _A.TELL_MALFORMED),
            ref="bad packets",
        ),
        Row(
            _REGISTERED,
            _I.IDLE_EXPIRED,
            _S.ENDED,
            (_A.SEND_TIMEOUT, _A.DEREGISTER, _A.CLOSE, _A.TELL_IDLE),
            ref="times and limits",
        ),
        Row(_REGISTERED, _I.LEFT, _S.ENDED, (_A.DEREGISTER, _A.CLOSE, _A.TELL_LEFT), ref="leaving"),
        Row(_REGISTERED, _I.SLOW, _S.ENDED, (_A.DEREGISTER, _A.CLOSE, _A.TELL_SLOW), ref="times and limits"),
        Row(_REGISTERED, _I.EXCUSED, None, (_A.EXCUSE,), ref="floods"),
        Row((_S.STRANGER, *_REGISTERED), _I.CHARGED, None, (_A.CHARGE,), ref="floods"),
        Row(_S.STRANGER, _I.FLOODED, _S.ENDED, (_A.COUNT_CUT, _A.ABORT), ref="floods"),
        Row(
            _REGISTERED,
            _I.FLOODED,
            _S.ENDED,
            (_A.DEREGISTER, _A.COUNT_CUT, _A.ABORT, _A.TELL_FLOODING),
            ref="floods",
        ),
        Row(
            _S.STRANGER,
            _I.FLOODED_IN_A_CROWD,
            _S.MUTED,
            (_A.COUNT_CUT, _A.MUTE),
            arm=(_T.MUTE,),
            cancel=(_T.HELLO,),
            ref="floods",
        ),
        Row(
            _REGISTERED,
            _I.FLOODED_IN_A_CROWD,
            _S.MUTED,
            (_A.DEREGISTER, _A.COUNT_CUT, _A.MUTE, _A.TELL_FLOODING),
            arm=(_T.MUTE,),
            cancel=(_T.IDLE,),
            ref="floods",
        ),
        Row(_S.MUTED, (_I.MUTE_EXPIRED, _I.LEFT, _I.SLOW), _S.ENDED, (_A.ABORT,), ref="floods"),
    ),
    otherwise=(
        Otherwise(None, (_I.NOBODY,), Verdict.IGNORE, "nobody has this uid"),
        Otherwise(None, (_I.WRONG_ROLE,), Verdict.IGNORE, "wrong role"),
        Otherwise(None, (_I.FALSE_IDENTITY,), Verdict.IGNORE, "false identity"),
        Otherwise(None, (_I.GREETED_OFTEN,), Verdict.IGNORE, "hello too often"),
        Otherwise((_S.STRANGER,), None, Verdict.IGNORE, "before hello"),
        Otherwise(_REGISTERED, None, Verdict.IGNORE, "role already taken"),
        Otherwise(None, None, Verdict.IGNORE, "late"),
    ),
    fires={_T.HELLO: _I.HELLO_EXPIRED, _T.IDLE: _I.IDLE_EXPIRED, _T.MUTE: _I.MUTE_EXPIRED},
    ladders=(
        Ladder(
            "hello_client",
            (
                Rung("beyond_uids", _I.NO_UID_LEFT, ref="uids"),
                Rung("greeting_often", _I.GREETED_OFTEN, ref="hello again"),
            ),
            _I.HELLO_CLIENT,
        ),
        Ladder(
            "hello_server",
            (
                Rung("beyond_uids", _I.NO_UID_LEFT, ref="uids"),
                Rung("greeting_often", _I.GREETED_OFTEN, ref="hello again"),
            ),
            _I.HELLO_SERVER,
        ),
        Ladder(
            "x",
            (*_TO_SERVER, Rung("claiming_another_identity", _I.FALSE_IDENTITY, ref="what the relay checks")),
            _I.ROUTED,
        ),
        Ladder("to_server", _TO_SERVER, _I.ROUTED),
        Ladder("to_client", _TO_CLIENT, _I.ROUTED),
        Ladder(
            "to_either",
            (
                Rung("stranger", _I.WRONG_ROLE, ref="what the relay checks"),
                Rung("writing_to_nobody", _I.NOBODY, ref="what the relay checks"),
                Rung("writing_to_its_own_role", _I.WRONG_ROLE, ref="what the relay checks"),
            ),
            _I.ROUTED,
        ),
        Ladder(
            "wasted",
            (
                Rung("excused", _I.EXCUSED, ref="floods"),
                Rung("within_its_budget", _I.CHARGED, ref="floods"),
                Rung("one_of_many", _I.FLOODED_IN_A_CROWD, ref="floods"),
            ),
            _I.FLOODED,
        ),
    ),
)

EXCUSABLE: Final = frozenset({"nobody has this uid", "out of order", "one exchange too many"})
"""Why a packet may be dropped that answers what its sender was told, since somebody has left or there are many."""

CHARGED: Final = EXCUSABLE | {
    "before hello",
    "false identity",
    "hello too often",
    "role already taken",
    "unexpected packet",
    "wrong role",
}
"""Why a packet is dropped at its sender's expense."""

# -- an exchange between a client and a server -------------------------------------------------------------------------


class PairState(Enum):
    NEW = 0
    ASKED = 1  # 07 went through
    ANSWERED = 2  # 06
    PROVEN = 3  # 05
    AGREED = 4  # 08
    FAILED = 5  # nothing more goes through
    REFUSED = 6  # nor here, but the server does not know it yet
    ENDED = 7


class PairInput(Enum):
    X = 0
    Y = 1
    PROOF = 2
    AGREEMENT = 3
    ACCEPTED = 4
    REFUSED = 5
    FAILURE = 6
    TOO_MANY = 7
    PARTED = 8  # the client left the relay or said hello again


class PairAction(Enum):
    REMEMBER = 0
    FORWARD = 1
    UNITE = 2
    FORGET = 3


_PS, _PI, _PA = PairState, PairInput, PairAction
_RUNNING = (_PS.ASKED, _PS.ANSWERED, _PS.PROVEN, _PS.AGREED)

PAIR: Table[PairState, PairInput, PairAction, NoTimers] = Table(
    name="bob.pair",
    page="bob",
    states=_PS,
    inputs=_PI,
    actions=_PA,
    timers=NoTimers,
    initial=_PS.NEW,
    terminal=(_PS.ENDED,),
    idle={state: "either peer leaving, at the latest by its idle timer" for state in _PS if state is not _PS.ENDED},
    rows=(
        Row(_PS.NEW, _PI.X, _PS.ASKED, (_PA.REMEMBER, _PA.FORWARD), ref="the order of an exchange"),
        Row(_PS.NEW, _PI.FAILURE, _PS.FAILED, (_PA.REMEMBER, _PA.FORWARD), ref="failures"),
        Row(_PS.ASKED, _PI.Y, _PS.ANSWERED, (_PA.FORWARD,), ref="the order of an exchange"),
        Row(_PS.ANSWERED, _PI.PROOF, _PS.PROVEN, (_PA.FORWARD,), ref="the order of an exchange"),
        Row(_PS.PROVEN, _PI.AGREEMENT, _PS.AGREED, (_PA.FORWARD,), ref="the order of an exchange"),
        Row(_PS.AGREED, _PI.ACCEPTED, _PS.ENDED, (_PA.UNITE,), ref="the agreement"),
        Row(_PS.AGREED, _PI.REFUSED, _PS.REFUSED, ref="the agreement"),
        Row(_RUNNING, _PI.FAILURE, _PS.FAILED, (_PA.FORWARD,), ref="failures"),
        Row((*_RUNNING, _PS.FAILED, _PS.REFUSED), _PI.PARTED, _PS.ENDED, (_PA.FORGET,), ref="hello again"),
    ),
    otherwise=(
        Otherwise(None, (_PI.TOO_MANY,), Verdict.IGNORE, "one exchange too many"),
        Otherwise(None, None, Verdict.IGNORE, "out of order"),
    ),
    ladders=(
        Ladder("x", (Rung("one_too_many", _PI.TOO_MANY, ref="times and limits"),), _PI.X),
        Ladder("failure", (Rung("one_too_many", _PI.TOO_MANY, ref="times and limits"),), _PI.FAILURE),
    ),
)

# -- a connection to the secure port -----------------------------------------------------------------------------------


class VisitorState(Enum):
    NEW = 0
    READING = 1  # its line is not there yet
    ALONE = 2  # its partner is not there yet
    JOINED = 3
    ENDED = 4


class VisitorInput(Enum):
    CONNECTED = 0
    FIRST = 1
    SECOND = 2
    UNKNOWN = 3
    PARTNER_CAME = 4
    BYTES = 5
    LEFT = 6
    PARTNER_LEFT = 7
    ROOM_EXPIRED = 8
    LINE_EXPIRED = 9
    FLOODED = 10  # more bytes before the partner came than there may be


class VisitorAction(Enum):
    ENTER = 0
    FILL = 1
    SEND_JOINED = 2
    SEND_UNKNOWN = 3
    SEND_EXPIRED = 4
    SEND_CLOSE = 5
    PASS_ON = 6
    LEAVE = 7
    CLOSE = 8
    DROP_EARLY = 9
    ABORT = 10


class VisitorTimer(Enum):
    LINE = 0


_VS, _VI, _VA, _VT = VisitorState, VisitorInput, VisitorAction, VisitorTimer

VISITOR: Table[VisitorState, VisitorInput, VisitorAction, VisitorTimer] = Table(
    name="bob.visitor",
    page="bob",
    states=_VS,
    inputs=_VI,
    actions=_VA,
    timers=_VT,
    initial=_VS.NEW,
    terminal=(_VS.ENDED,),
    idle={
        _VS.NEW: "the connection that makes it",
        _VS.ALONE: "the room's own timer",
        _VS.JOINED: "the room's own timer",
    },
    rows=(
        Row(_VS.NEW, _VI.CONNECTED, _VS.READING, arm=(_VT.LINE,), ref="the secure room"),
        Row(_VS.READING, _VI.FIRST, _VS.ALONE, (_VA.ENTER,), cancel=(_VT.LINE,), ref="the secure room"),
        Row(
            _VS.READING,
            _VI.SECOND,
            _VS.JOINED,
            (_VA.ENTER, _VA.FILL, _VA.SEND_JOINED),
            cancel=(_VT.LINE,),
            ref="the secure room",
        ),
        Row(_VS.ALONE, _VI.PARTNER_CAME, _VS.JOINED, (_VA.SEND_JOINED,), ref="the secure room"),
        Row(
            _VS.READING,
            (_VI.UNKNOWN, _VI.LEFT),
            _VS.ENDED,
            (_VA.SEND_UNKNOWN, _VA.CLOSE),
            ref="the secure room",
        ),
        Row(_VS.READING, _VI.LINE_EXPIRED, _VS.ENDED, (_VA.SEND_EXPIRED, _VA.CLOSE), ref="the secure room"),
        Row(_VS.ALONE, _VI.BYTES, None, (_VA.DROP_EARLY,), ref="the secure room"),
        Row(_VS.ALONE, _VI.FLOODED, _VS.ENDED, (_VA.LEAVE, _VA.ABORT), ref="floods"),
        Row(_VS.ALONE, _VI.LEFT, _VS.ENDED, (_VA.LEAVE, _VA.CLOSE), ref="the end of a room"),
        Row(_VS.ALONE, _VI.ROOM_EXPIRED, _VS.ENDED, (_VA.CLOSE,), ref="the end of a room"),
        Row(_VS.JOINED, _VI.BYTES, None, (_VA.PASS_ON,), ref="the secure room"),
        Row(_VS.JOINED, _VI.LEFT, _VS.ENDED, (_VA.SEND_CLOSE, _VA.LEAVE, _VA.CLOSE), ref="the end of a room"),
        Row(
            _VS.JOINED,
            (_VI.PARTNER_LEFT, _VI.ROOM_EXPIRED),
            _VS.ENDED,
            (_VA.SEND_CLOSE, _VA.CLOSE),
            ref="the end of a room",
        ),
    ),
    otherwise=(Otherwise(None, None, Verdict.IGNORE, "late"),),
    fires={_VT.LINE: _VI.LINE_EXPIRED},
    ladders=(
        Ladder(
            "line",
            (
                Rung("asking_for_no_room", _VI.UNKNOWN, ref="the secure room"),
                Rung("asking_for_a_taken_place", _VI.UNKNOWN, ref="the secure room"),
                Rung("second", _VI.SECOND, ref="the secure room"),
            ),
            _VI.FIRST,
        ),
        Ladder("bytes", (Rung("flooding", _VI.FLOODED, ref="floods"),), _VI.BYTES),
    ),
)

# -- the room of two visitors ------------------------------------------------------------------------------------------


class RoomState(Enum):
    NEW = 0
    WAITING = 1
    FULL = 2
    ENDED = 3


class RoomInput(Enum):
    OPEN = 0
    FILLED = 1
    MOVED = 2  # bytes passed
    LEFT = 3  # a visitor went
    EXPIRED = 4


class RoomAction(Enum):
    TELL_OPENED = 0
    TELL_PARTNER = 1
    EXPEL = 2
    DISMISS = 3  # the other one learns that its partner left
    FORGET = 4


class RoomTimer(Enum):
    ROOM = 0
    SILENCE = 1


_RS, _RI, _RA, _RT = RoomState, RoomInput, RoomAction, RoomTimer

ROOM: Table[RoomState, RoomInput, RoomAction, RoomTimer] = Table(
    name="bob.room",
    page="bob",
    states=_RS,
    inputs=_RI,
    actions=_RA,
    timers=_RT,
    initial=_RS.NEW,
    terminal=(_RS.ENDED,),
    idle={_RS.NEW: "the agreement that opens it"},
    rows=(
        Row(_RS.NEW, _RI.OPEN, _RS.WAITING, (_RA.TELL_OPENED,), arm=(_RT.ROOM,), ref="the secure room"),
        Row(
            _RS.WAITING,
            _RI.FILLED,
            _RS.FULL,
            (_RA.TELL_PARTNER,),
            arm=(_RT.SILENCE,),
            cancel=(_RT.ROOM,),
            ref="the secure room",
        ),
        Row(_RS.WAITING, _RI.LEFT, _RS.ENDED, (_RA.FORGET,), ref="the end of a room"),
        Row((_RS.WAITING, _RS.FULL), _RI.EXPIRED, _RS.ENDED, (_RA.EXPEL, _RA.FORGET), ref="the end of a room"),
        Row(_RS.FULL, _RI.MOVED, None, arm=(_RT.SILENCE,), ref="the secure room"),
        Row(_RS.FULL, _RI.LEFT, _RS.ENDED, (_RA.DISMISS, _RA.FORGET), ref="the end of a room"),
    ),
    otherwise=(Otherwise(None, None, Verdict.IGNORE, "late"),),
    fires={_RT.ROOM: _RI.EXPIRED, _RT.SILENCE: _RI.EXPIRED},
)
