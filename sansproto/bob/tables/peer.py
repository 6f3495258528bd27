"""The tables of a client and a server: the way of a peer and its exchanges."""

from __future__ import annotations

from enum import Enum

from ...old_machine import Ladder, Otherwise, Row, Rung, Table, Verdict

_IGNORE, _REJECT, _NOT_OPEN = Verdict.IGNORE, Verdict.REJECT, Verdict.NOT_OPEN

# -- a client's or server's way ----------------------------------------------------------------------------------------


class PeerState(Enum):
    NEW = 0
    PREPARING = 1  # a server derives its own secret
    RESOLVING = 2
    CONNECTING = 3
    GREETING = 4  # hello is sent
    WAITING = 5  # registered; exchanges run
    PAIRED = 6  # a client has accepted one server
    APPROACHING = 7  # on the way to the secure port
    LOBBY = 8  # the line is sent
    TALKING = 9
    FAREWELL = 10  # the channel says goodbye
    ENDED = 11


class PeerInput(Enum):
    PREPARE = 0
    LOOK_UP = 1
    DIAL = 2
    FOUND = 3
    NOT_FOUND = 4
    OPENED = 5
    TRY_NEXT = 6
    GIVE_UP = 7
    IDENTITY = 8
    ACCEPT = 9
    TAKEN = 10  # a server learns that it was accepted
    DONE = 11
    PARTNER_GONE = 12
    RELAY_CLOSED = 13
    RELAY_TIMEOUT = 14
    RELAY_LOST = 15
    JOINED = 16
    ROOM_EXPIRED = 17
    ROOM_UNKNOWN = 18
    ROOM_LOST = 19
    MOVED = 20  # bytes went through the channel
    CHANNEL_ENDED = 21
    CLOSE = 22
    VIOLATED = 23
    EXHAUSTED = 24
    EXPIRED = 25
    SEND = 26


class PeerAction(Enum):
    DERIVE = 0
    LOOK_UP = 1
    DIAL = 2
    SEND_HELLO = 3
    REMEMBER_IDENTITY = 4
    SEND_ACCEPTED = 5
    APPROACH = 6
    SEND_LINE = 7
    OPEN_CHANNEL = 8
    CLOSE_CHANNEL = 9
    ABANDON = 10  # every exchange ends: nobody needs it any more
    END_LOCAL = 11
    END_REMOTE = 12
    END_REFUSED = 13
    END_UNREACHABLE = 14
    END_LOST = 15
    END_TIMEOUT = 16
    END_VIOLATION = 17
    END_LIMIT = 18
    END_AS_CHANNEL = 19


class PeerTimer(Enum):
    LOOKUP = 0
    GREETING = 1
    WAITING = 2
    DONE = 3
    LOBBY = 4
    SILENCE = 5


_S, _I, _A, _T = PeerState, PeerInput, PeerAction, PeerTimer
_STARTING = (_S.NEW, _S.PREPARING)
_AT_RELAY = (_S.GREETING, _S.WAITING, _S.PAIRED)
_BEFORE_CHANNEL = (
    _S.PREPARING,
    _S.RESOLVING,
    _S.CONNECTING,
    _S.GREETING,
    _S.WAITING,
    _S.PAIRED,
    _S.APPROACHING,
    _S.LOBBY,
)
_LIVE = (*_BEFORE_CHANNEL, _S.TALKING, _S.FAREWELL)

PEER: Table[PeerState, PeerInput, PeerAction, PeerTimer] = Table(
    name="bob.peer",
    page="bob",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=_T,
    initial=_S.NEW,
    terminal=(_S.ENDED,),
    idle={
        _S.NEW: "the verb connect",
        _S.PREPARING: "the queue of derivations, which works on a timer of its own",
        _S.CONNECTING: "the link's own connect timer",
        _S.APPROACHING: "the link's own connect timer",
        _S.FAREWELL: "the channel's own farewell timer",
    },
    rows=(
        Row(_S.NEW, _I.PREPARE, _S.PREPARING, (_A.DERIVE,), ref="a server's secret"),
        Row(_STARTING, _I.LOOK_UP, _S.RESOLVING, (_A.LOOK_UP,), arm=(_T.LOOKUP,), ref="reaching the relay"),
        Row(_STARTING, _I.DIAL, _S.CONNECTING, (_A.DIAL,), ref="reaching the relay"),
        Row(_S.RESOLVING, _I.FOUND, _S.CONNECTING, (_A.DIAL,), cancel=(_T.LOOKUP,), ref="reaching the relay"),
        Row(_S.RESOLVING, (_I.NOT_FOUND, _I.EXPIRED), _S.ENDED, (_A.END_UNREACHABLE,), ref="reaching the relay"),
        Row(_S.CONNECTING, _I.TRY_NEXT, None, (_A.DIAL,), ref="reaching the relay"),
        Row((_S.CONNECTING, _S.APPROACHING), _I.GIVE_UP, _S.ENDED, (_A.END_UNREACHABLE,), ref="reaching the relay"),
        Row(_S.CONNECTING, _I.OPENED, _S.GREETING, (_A.SEND_HELLO,), arm=(_T.GREETING,), ref="hello"),
        Row(
            _S.GREETING,
            _I.IDENTITY,
            _S.WAITING,
            (_A.REMEMBER_IDENTITY,),
            arm=(_T.WAITING,),
            cancel=(_T.GREETING,),
            ref="hello",
        ),
        Row(
            _S.WAITING,
            _I.ACCEPT,
            _S.PAIRED,
            (_A.SEND_ACCEPTED,),
            arm=(_T.DONE,),
            cancel=(_T.WAITING,),
            ref="the agreement",
        ),
        Row(_S.WAITING, _I.TAKEN, _S.APPROACHING, (_A.ABANDON, _A.APPROACH), cancel=(_T.WAITING,), ref="the agreement"),
        Row(_S.PAIRED, _I.PARTNER_GONE, _S.WAITING, arm=(_T.WAITING,), cancel=(_T.DONE,), ref="the agreement"),
        Row(_S.PAIRED, _I.DONE, _S.APPROACHING, (_A.ABANDON, _A.APPROACH), cancel=(_T.DONE,), ref="the agreement"),
        Row(_AT_RELAY, _I.RELAY_CLOSED, _S.ENDED, (_A.END_REMOTE,), ref="when the relay ends it"),
        Row(_AT_RELAY, _I.RELAY_TIMEOUT, _S.ENDED, (_A.END_TIMEOUT,), ref="when the relay ends it"),
        Row(_AT_RELAY, _I.RELAY_LOST, _S.ENDED, (_A.END_LOST,), ref="when the relay ends it"),
        Row((*_AT_RELAY, _S.LOBBY), _I.EXPIRED, _S.ENDED, (_A.END_TIMEOUT,), ref="times and limits"),
        Row(
            (_S.GREETING, _S.WAITING, _S.PAIRED, _S.LOBBY),
            _I.VIOLATED,
            _S.ENDED,
            (_A.END_VIOLATION,),
            ref="bad packets",
        ),
        Row(_AT_RELAY, _I.EXHAUSTED, _S.ENDED, (_A.END_LIMIT,), ref="guesses"),
        Row(_S.APPROACHING, _I.OPENED, _S.LOBBY, (_A.SEND_LINE,), arm=(_T.LOBBY,), ref="the secure room"),
        Row(
            _S.LOBBY,
            _I.JOINED,
            _S.TALKING,
            (_A.OPEN_CHANNEL,),
            arm=(_T.SILENCE,),
            cancel=(_T.LOBBY,),
            ref="the secure room",
        ),
        Row(_S.LOBBY, (_I.ROOM_EXPIRED, _I.ROOM_UNKNOWN), _S.ENDED, (_A.END_REFUSED,), ref="the secure room"),
        Row(_S.LOBBY, _I.ROOM_LOST, _S.ENDED, (_A.END_LOST,), ref="the secure room"),
        Row(_S.TALKING, _I.MOVED, None, arm=(_T.SILENCE,), ref="times and limits"),
        Row(_S.TALKING, _I.SEND, None, ref="the channel"),
        Row(_S.TALKING, _I.EXPIRED, _S.ENDED, (_A.END_TIMEOUT,), ref="times and limits"),
        Row(_S.TALKING, _I.CLOSE, _S.FAREWELL, (_A.CLOSE_CHANNEL,), cancel=(_T.SILENCE,), ref="closing the channel"),
        Row(
            (_S.TALKING, _S.FAREWELL),
            _I.CHANNEL_ENDED,
            _S.ENDED,
            (_A.END_AS_CHANNEL,),
            ref="closing the channel",
        ),
        Row((_S.NEW, *_BEFORE_CHANNEL), _I.CLOSE, _S.ENDED, (_A.END_LOCAL,), ref="leaving"),
    ),
    otherwise=(
        Otherwise((_S.NEW,), (_I.ACCEPT, _I.SEND), _NOT_OPEN, "connect first"),
        Otherwise((_S.ENDED, _S.FAREWELL), (_I.ACCEPT, _I.SEND), _NOT_OPEN),
        Otherwise(None, (_I.ACCEPT, _I.SEND, _I.PREPARE, _I.LOOK_UP, _I.DIAL), _REJECT),
        Otherwise(None, None, _IGNORE, "stale"),
    ),
    fires=dict.fromkeys(_T, _I.EXPIRED),
    ladders=(
        Ladder(
            "start",
            (
                Rung("unprepared", _I.PREPARE, ref="a server's secret"),
                Rung("given_a_name", _I.LOOK_UP, ref="reaching the relay"),
            ),
            _I.DIAL,
        ),
        Ladder("addresses", (Rung("without_address", _I.NOT_FOUND, ref="reaching the relay"),), _I.FOUND),
        Ladder("unreachable", (Rung("left_with_an_address", _I.TRY_NEXT, ref="reaching the relay"),), _I.GIVE_UP),
    ),
)

# -- a client's exchange with one server -------------------------------------------------------------------------------


class OfferState(Enum):
    NEW = 0
    DERIVING = 1
    HELD = 2  # too many exchanges failed: X has to wait
    ASKED = 3  # X is sent
    PROVEN = 4  # the server knows the password, and our proof is sent
    AGREED = 5  # the application is asked
    ACCEPTED = 6
    ENDED = 7


class OfferInput(Enum):
    ANNOUNCED = 0
    UNREADABLE = 1
    EXCESSIVE = 2
    HOLD_BACK = 3
    ASK = 4
    REPLY = 5
    BAD_REPLY = 6
    LAST_BAD_REPLY = 7
    AGREEMENT = 8
    ACCEPT = 9
    REFUSE = 10
    FAILED = 11  # the server said so
    GONE = 12
    EXPIRED = 13
    ABANDON = 14


class OfferAction(Enum):
    DERIVE = 0
    SEND_X = 1
    SEND_PROOF = 2
    SEND_REFUSED = 3
    SEND_NO_HANDSHAKE = 4
    FAIL_PUBLIC = 5
    FAIL_REPLY = 6
    COUNT_GUESS = 7
    EXHAUST = 8
    TELL_AGREED = 9
    TELL_FAILED = 10
    TELL_SILENT = 11
    TELL_GONE = 12
    LEAVE_PARTNER = 13
    FORGET = 14
    WAIT = 15
    TAKE_TURN = 16


class OfferTimer(Enum):
    ANSWER = 0


_OS, _OI, _OA, _OT = OfferState, OfferInput, OfferAction, OfferTimer
_BUSY_OFFER = (_OS.DERIVING, _OS.HELD, _OS.ASKED, _OS.PROVEN, _OS.AGREED)

OFFER: Table[OfferState, OfferInput, OfferAction, OfferTimer] = Table(
    name="bob.offer",
    page="bob",
    states=_OS,
    inputs=_OI,
    actions=_OA,
    timers=_OT,
    initial=_OS.NEW,
    terminal=(_OS.ENDED,),
    idle={
        _OS.NEW: "the announcement that makes it",
        _OS.DERIVING: "the queue of derivations, which works on a timer of its own",
        _OS.HELD: "its turn, for which there is one timer for all",
        _OS.AGREED: "the application, with accept or refuse, or the peer's own waiting timer",
        _OS.ACCEPTED: "the peer's own done timer",
    },
    rows=(
        Row(_OS.NEW, _OI.ANNOUNCED, _OS.DERIVING, (_OA.DERIVE,), ref="meeting a server"),
        Row(
            _OS.NEW,
            _OI.UNREADABLE,
            _OS.ENDED,
            (_OA.FAIL_PUBLIC, _OA.TELL_FAILED, _OA.FORGET),
            ref="meeting a server",
        ),
        Row(_OS.NEW, _OI.EXCESSIVE, _OS.ENDED, (_OA.FORGET,), ref="guesses"),
        Row(_OS.DERIVING, _OI.HOLD_BACK, _OS.HELD, (_OA.WAIT,), ref="turns"),
        Row(
            _OS.DERIVING,
            _OI.ASK,
            _OS.ASKED,
            (_OA.TAKE_TURN, _OA.SEND_X),
            arm=(_OT.ANSWER,),
            ref="meeting a server",
        ),
        Row(_OS.HELD, _OI.ASK, _OS.ASKED, (_OA.SEND_X,), arm=(_OT.ANSWER,), ref="turns"),
        Row(_OS.ASKED, _OI.REPLY, _OS.PROVEN, (_OA.SEND_PROOF,), arm=(_OT.ANSWER,), ref="the client's proof"),
        Row(
            _OS.ASKED,
            _OI.BAD_REPLY,
            _OS.ENDED,
            (_OA.COUNT_GUESS, _OA.FAIL_REPLY, _OA.TELL_FAILED, _OA.FORGET),
            ref="failures",
        ),
        Row(
            _OS.ASKED,
            _OI.LAST_BAD_REPLY,
            _OS.ENDED,
            (_OA.COUNT_GUESS, _OA.FAIL_REPLY, _OA.TELL_FAILED, _OA.FORGET, _OA.EXHAUST),
            ref="guesses",
        ),
        Row(_OS.PROVEN, _OI.AGREEMENT, _OS.AGREED, (_OA.TELL_AGREED,), cancel=(_OT.ANSWER,), ref="the agreement"),
        Row(
            (_OS.DERIVING, _OS.HELD, _OS.ASKED),
            _OI.AGREEMENT,
            None,
            (_OA.SEND_NO_HANDSHAKE,),
            ref="failures",
        ),
        Row((_OS.ASKED, _OS.PROVEN), _OI.EXPIRED, _OS.ENDED, (_OA.TELL_SILENT, _OA.FORGET), ref="times and limits"),
        Row(_OS.AGREED, _OI.ACCEPT, _OS.ACCEPTED, ref="the agreement"),
        Row(_OS.AGREED, _OI.REFUSE, _OS.ENDED, (_OA.SEND_REFUSED, _OA.FORGET), ref="the agreement"),
        Row(_BUSY_OFFER, _OI.FAILED, _OS.ENDED, (_OA.TELL_FAILED, _OA.FORGET), ref="failures"),
        Row(_BUSY_OFFER, _OI.GONE, _OS.ENDED, (_OA.TELL_GONE, _OA.FORGET), ref="failures"),
        Row(_OS.ACCEPTED, _OI.GONE, _OS.ENDED, (_OA.TELL_GONE, _OA.LEAVE_PARTNER, _OA.FORGET), ref="the agreement"),
        Row((*_BUSY_OFFER, _OS.ACCEPTED), _OI.ABANDON, _OS.ENDED, (_OA.FORGET,), ref="the agreement"),
    ),
    otherwise=(
        Otherwise((_OS.ACCEPTED,), (_OI.ACCEPT, _OI.REFUSE), _REJECT, "this peer was accepted"),
        Otherwise(None, (_OI.ACCEPT, _OI.REFUSE), _NOT_OPEN, "this peer has not agreed"),  # or no longer: a race
        Otherwise(None, None, _IGNORE, "out of order"),
    ),
    fires={_OT.ANSWER: _OI.EXPIRED},
    ladders=(
        Ladder(
            "announcement",
            (
                Rung("excessive", _OI.EXCESSIVE, ref="guesses"),
                Rung("unreadable", _OI.UNREADABLE, ref="meeting a server"),
            ),
            _OI.ANNOUNCED,
        ),
        Ladder("derived", (Rung("held_back", _OI.HOLD_BACK, ref="turns"),), _OI.ASK),
        Ladder(
            "reply",
            (
                Rung("last_bad_reply", _OI.LAST_BAD_REPLY, ref="guesses"),
                Rung("bad_reply", _OI.BAD_REPLY, ref="failures"),
            ),
            _OI.REPLY,
        ),
    ),
)

# -- a server's exchange with one client -------------------------------------------------------------------------------


class HandshakeState(Enum):
    NEW = 0
    HELD = 1  # too many exchanges are unproven: the answer has to wait
    ANSWERED = 2  # Y is sent
    AGREED = 3
    TAKEN = 4
    ENDED = 5


class HandshakeInput(Enum):
    ANSWER = 0
    HOLD_BACK = 1
    EXCESSIVE = 2
    LAST_GUESS = 3
    BAD_POINT = 4
    PROOF = 5
    BAD_PROOF = 6
    ACCEPTED = 7
    REFUSED = 8
    FAILED = 9  # the client said so: this is what a wrong password looks like
    GONE = 10
    EXPIRED = 11
    ABANDON = 12


class HandshakeAction(Enum):
    ANSWER = 0
    SEND_AGREEMENT = 1
    SEND_NO_HANDSHAKE = 2
    FAIL_POINT = 3
    FAIL_PROOF = 4
    CLEAR_GUESS = 5
    EXHAUST = 6
    TAKE = 7
    TELL_AGREED = 8
    TELL_FAILED = 9
    TELL_SILENT = 10
    TELL_REFUSED = 11
    TELL_GONE = 12
    FORGET = 13
    WAIT = 14
    TAKE_TURN = 15


class HandshakeTimer(Enum):
    ANSWER = 0


_HS, _HI, _HA, _HT = HandshakeState, HandshakeInput, HandshakeAction, HandshakeTimer
_BUSY_HANDSHAKE = (_HS.HELD, _HS.ANSWERED, _HS.AGREED)

HANDSHAKE: Table[HandshakeState, HandshakeInput, HandshakeAction, HandshakeTimer] = Table(
    name="bob.handshake",
    page="bob",
    states=_HS,
    inputs=_HI,
    actions=_HA,
    timers=_HT,
    initial=_HS.NEW,
    terminal=(_HS.ENDED,),
    idle={
        _HS.NEW: "the packet that makes it",
        _HS.HELD: "its turn, for which there is one timer for all",
        _HS.AGREED: "the client's answer, the relay, or the peer's own waiting timer",
        _HS.TAKEN: "the way to the secure room, which begins in the same call",
    },
    rows=(
        Row(_HS.NEW, _HI.EXCESSIVE, _HS.ENDED, (_HA.FORGET,), ref="guesses"),
        Row(_HS.NEW, _HI.LAST_GUESS, _HS.ENDED, (_HA.FORGET, _HA.EXHAUST), ref="guesses"),
        Row(_HS.NEW, _HI.HOLD_BACK, _HS.HELD, (_HA.WAIT,), ref="turns"),
        Row(
            _HS.NEW,
            _HI.ANSWER,
            _HS.ANSWERED,
            (_HA.TAKE_TURN, _HA.ANSWER),
            arm=(_HT.ANSWER,),
            ref="answering a client",
        ),
        Row(_HS.HELD, _HI.ANSWER, _HS.ANSWERED, (_HA.ANSWER,), arm=(_HT.ANSWER,), ref="turns"),
        Row(
            _HS.ANSWERED,
            _HI.BAD_POINT,
            _HS.ENDED,
            (_HA.FAIL_POINT, _HA.TELL_FAILED, _HA.FORGET),
            ref="failures",
        ),
        Row(
            _HS.ANSWERED,
            _HI.PROOF,
            _HS.AGREED,
            (_HA.CLEAR_GUESS, _HA.SEND_AGREEMENT, _HA.TELL_AGREED),
            cancel=(_HT.ANSWER,),
            ref="the agreement",
        ),
        Row(
            _HS.ANSWERED,
            _HI.BAD_PROOF,
            _HS.ENDED,
            (_HA.FAIL_PROOF, _HA.TELL_FAILED, _HA.FORGET),
            ref="failures",
        ),
        Row(_HS.ANSWERED, _HI.EXPIRED, _HS.ENDED, (_HA.TELL_SILENT, _HA.FORGET), ref="times and limits"),
        Row(_HS.AGREED, _HI.ACCEPTED, _HS.TAKEN, (_HA.TAKE,), ref="the agreement"),
        Row((_HS.HELD, _HS.ANSWERED), _HI.ACCEPTED, None, (_HA.SEND_NO_HANDSHAKE,), ref="failures"),
        Row(_HS.AGREED, _HI.REFUSED, _HS.ENDED, (_HA.TELL_REFUSED, _HA.FORGET), ref="the agreement"),
        Row(_BUSY_HANDSHAKE, _HI.FAILED, _HS.ENDED, (_HA.TELL_FAILED, _HA.FORGET), ref="failures"),
        Row(_BUSY_HANDSHAKE, _HI.GONE, _HS.ENDED, (_HA.TELL_GONE, _HA.FORGET), ref="failures"),
        Row((*_BUSY_HANDSHAKE, _HS.TAKEN), _HI.ABANDON, _HS.ENDED, (_HA.FORGET,), ref="the agreement"),
    ),
    otherwise=(Otherwise(None, None, _IGNORE, "out of order"),),
    fires={_HT.ANSWER: _HI.EXPIRED},
    ladders=(
        Ladder(
            "x",
            (
                Rung("last_guess", _HI.LAST_GUESS, ref="guesses"),
                Rung("excessive", _HI.EXCESSIVE, ref="guesses"),
                Rung("held_back", _HI.HOLD_BACK, ref="turns"),
            ),
            _HI.ANSWER,
        ),
        Ladder("proof", (Rung("bad_proof", _HI.BAD_PROOF, ref="failures"),), _HI.PROOF),
    ),
)
