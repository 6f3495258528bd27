"""The tables of the reliable channel: what is sent to one address, and what comes from it."""

from __future__ import annotations

from enum import Enum

from ...old_machine import Ladder, NoTimers, Otherwise, Row, Rung, Table, Verdict

# -- what is sent ------------------------------------------------------------------------------------------------------


class SendingState(Enum):
    UNSHAKEN = 0  # the other end does not know our numbers
    SHAKING = 1
    FLOWING = 2  # something is not acknowledged
    RESTING = 3
    GONE = 4


class SendingInput(Enum):
    QUEUED = 0
    SHAKEN = 1
    NUMBER_UNKNOWN = 2  # a handshake-ACK for another number than ours
    PROGRESS = 3  # some of what was outstanding is acknowledged
    ALL_ACKED = 4
    STALE = 5  # acknowledges nothing new, or what was never sent
    REQUESTED = 6  # the other end asks for a handshake while something waits
    REQUESTED_IDLE = 7
    HANDSHAKE_EXPIRED = 8
    RESEND_EXPIRED = 9
    MISUNDERSTOOD = 10  # the other end goes on to acknowledge what does not fit: it has another first number
    GAVE_UP = 11
    FORGOTTEN = 12


class SendingAction(Enum):
    SEND_HANDSHAKE = 0
    SEND_MORE = 1
    RESEND = 2
    RENUMBER = 3  # a new first number for all that waits
    TAKE_ACK = 4  # what is acknowledged need not be sent again
    WEIGH = 5  # does the other end count as we do?
    DISCARD = 6
    GIVE_UP = 7


class SendingTimer(Enum):
    HANDSHAKE = 0
    RESEND = 1
    UNDELIVERED = 2


_S, _I, _A, _T = SendingState, SendingInput, SendingAction, SendingTimer
_BUSY = (_S.SHAKING, _S.FLOWING)
_ALL = tuple(_T)

SENDING: Table[SendingState, SendingInput, SendingAction, SendingTimer] = Table(
    name="overte.sending",
    page="overte",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=_T,
    initial=_S.UNSHAKEN,
    terminal=(_S.GONE,),
    idle={_S.UNSHAKEN: "the next reliable packet", _S.RESTING: "the next reliable packet"},
    rows=(
        Row(
            _S.UNSHAKEN,
            _I.QUEUED,
            _S.SHAKING,
            (_A.SEND_HANDSHAKE,),
            arm=(_T.HANDSHAKE, _T.UNDELIVERED),
            ref="handshake",
        ),
        Row(_S.SHAKING, _I.QUEUED, None, ref="handshake"),
        Row(_S.SHAKING, _I.HANDSHAKE_EXPIRED, None, (_A.SEND_HANDSHAKE,), arm=(_T.HANDSHAKE,), ref="handshake"),
        Row(
            _S.SHAKING,
            _I.SHAKEN,
            _S.FLOWING,
            (_A.SEND_MORE,),
            arm=(_T.RESEND,),
            cancel=(_T.HANDSHAKE,),
            ref="handshake",
        ),
        Row(_S.FLOWING, _I.QUEUED, None, (_A.SEND_MORE,), ref="acknowledgement"),
        Row(
            _S.RESTING,
            _I.QUEUED,
            _S.FLOWING,
            (_A.SEND_MORE,),
            arm=(_T.RESEND, _T.UNDELIVERED),
            ref="acknowledgement",
        ),
        Row(
            _S.FLOWING,
            _I.PROGRESS,
            None,
            (_A.TAKE_ACK, _A.SEND_MORE),
            arm=(_T.RESEND, _T.UNDELIVERED),
            ref="acknowledgement",
        ),
        Row(
            _S.FLOWING,
            _I.ALL_ACKED,
            _S.RESTING,
            (_A.TAKE_ACK,),
            cancel=(_T.RESEND, _T.UNDELIVERED),
            ref="acknowledgement",
        ),
        Row(_S.FLOWING, _I.STALE, None, (_A.WEIGH,), ref="acknowledgement"),
        Row(_S.FLOWING, _I.RESEND_EXPIRED, None, (_A.RESEND,), arm=(_T.RESEND,), ref="resending"),
        Row(
            _S.FLOWING,
            (_I.REQUESTED, _I.MISUNDERSTOOD),
            _S.SHAKING,
            (_A.RENUMBER, _A.SEND_HANDSHAKE),
            arm=(_T.HANDSHAKE,),
            cancel=(_T.RESEND,),
            ref="handshake request",
        ),
        Row(_S.RESTING, _I.REQUESTED_IDLE, _S.UNSHAKEN, (_A.RENUMBER,), ref="handshake request"),
        Row(_BUSY, _I.GAVE_UP, _S.UNSHAKEN, (_A.RENUMBER, _A.GIVE_UP), cancel=_ALL, ref="giving up"),
        Row((_S.UNSHAKEN, *_BUSY, _S.RESTING), _I.FORGOTTEN, _S.GONE, (_A.DISCARD,), ref="the end of a channel"),
    ),
    otherwise=(
        Otherwise(None, (_I.NUMBER_UNKNOWN, _I.STALE), Verdict.IGNORE, "a number that means nothing now"),
        Otherwise(None, None, Verdict.IGNORE, "late control packet"),
    ),
    fires={_T.HANDSHAKE: _I.HANDSHAKE_EXPIRED, _T.RESEND: "resend", _T.UNDELIVERED: _I.GAVE_UP},
    ladders=(
        Ladder(
            "handshake_ack",
            (Rung("our_number", _I.SHAKEN, ref="handshake"),),
            _I.NUMBER_UNKNOWN,
        ),
        Ladder(
            "ack",
            (
                Rung("nothing_new", _I.STALE, ref="acknowledgement"),
                Rung("everything", _I.ALL_ACKED, ref="acknowledgement"),
            ),
            _I.PROGRESS,
        ),
        Ladder("resend", (Rung("misunderstood", _I.MISUNDERSTOOD, ref="handshake request"),), _I.RESEND_EXPIRED),
        Ladder(
            "handshake_request",
            (Rung("idle", _I.REQUESTED_IDLE, ref="handshake request"),),
            _I.REQUESTED,
        ),
    ),
)

# -- what comes --------------------------------------------------------------------------------------------------------


class ReceivingState(Enum):
    UNKNOWN = 0  # the first number was not announced
    READY = 1
    GONE = 2


class ReceivingInput(Enum):
    HANDSHAKE = 0
    HANDSHAKE_AGAIN = 1
    HANDSHAKE_OTHER = 2
    NEXT = 3  # the number that was expected
    AHEAD = 4  # numbers before it are missing
    DUPLICATE = 5
    TOO_FAR = 6
    NO_ROOM = 7  # it begins one message more than may be unfinished
    FORGOTTEN = 8


class ReceivingAction(Enum):
    START = 0
    SEND_HANDSHAKE_ACK = 1
    SEND_HANDSHAKE_REQUEST = 2
    FAIL_MESSAGES = 3
    ADVANCE = 4
    REMEMBER = 5
    DELIVER = 6
    REFUSE = 7  # it is counted, and not kept
    SEND_ACK = 8


_RS, _RI, _RA = ReceivingState, ReceivingInput, ReceivingAction

RECEIVING: Table[ReceivingState, ReceivingInput, ReceivingAction, NoTimers] = Table(
    name="overte.receiving",
    page="overte",
    states=_RS,
    inputs=_RI,
    actions=_RA,
    timers=NoTimers,
    initial=_RS.UNKNOWN,
    terminal=(_RS.GONE,),
    idle={_RS.UNKNOWN: "the other end's handshake", _RS.READY: "the other end"},
    rows=(
        Row(_RS.UNKNOWN, _RI.HANDSHAKE, _RS.READY, (_RA.START, _RA.SEND_HANDSHAKE_ACK), ref="handshake"),
        Row(_RS.READY, _RI.HANDSHAKE_AGAIN, None, (_RA.SEND_HANDSHAKE_ACK,), ref="handshake"),
        Row(
            _RS.READY,
            _RI.HANDSHAKE_OTHER,
            None,
            (_RA.FAIL_MESSAGES, _RA.START, _RA.SEND_HANDSHAKE_ACK),
            ref="handshake",
        ),
        Row(
            _RS.UNKNOWN,
            (_RI.NEXT, _RI.AHEAD, _RI.DUPLICATE, _RI.TOO_FAR, _RI.NO_ROOM),
            None,
            (_RA.SEND_HANDSHAKE_REQUEST,),
            ref="handshake request",
        ),
        Row(_RS.READY, _RI.NEXT, None, (_RA.ADVANCE, _RA.SEND_ACK, _RA.DELIVER), ref="acknowledgement"),
        Row(_RS.READY, _RI.AHEAD, None, (_RA.REMEMBER, _RA.SEND_ACK, _RA.DELIVER), ref="acknowledgement"),
        Row(_RS.READY, _RI.DUPLICATE, None, (_RA.SEND_ACK,), ref="acknowledgement"),
        Row(_RS.READY, (_RI.TOO_FAR, _RI.NO_ROOM), None, (_RA.REFUSE, _RA.SEND_ACK), ref="acknowledgement"),
        Row((_RS.UNKNOWN, _RS.READY), _RI.FORGOTTEN, _RS.GONE, (_RA.FAIL_MESSAGES,), ref="the end of a channel"),
    ),
    otherwise=(Otherwise(None, None, Verdict.IGNORE, "late"),),
    ladders=(
        Ladder(
            "handshake",
            (
                Rung("first", _RI.HANDSHAKE, ref="handshake"),
                Rung("known_number", _RI.HANDSHAKE_AGAIN, ref="handshake"),
            ),
            _RI.HANDSHAKE_OTHER,
        ),
        Ladder(
            "data",
            (
                Rung("seen", _RI.DUPLICATE, ref="acknowledgement"),
                Rung("too_far", _RI.TOO_FAR, ref="acknowledgement"),
                Rung("one_too_many", _RI.NO_ROOM, ref="messages"),
                Rung("next", _RI.NEXT, ref="acknowledgement"),
            ),
            _RI.AHEAD,
        ),
    ),
)
