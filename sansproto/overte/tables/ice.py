"""The tables of ICE: peers that an ice-server knows, a domain's heartbeats to it, the clients that a domain pings."""

from __future__ import annotations

from enum import Enum

from ...old_machine import Ladder, Otherwise, Row, Rung, Table, Verdict

# -- a peer at an ice-server -------------------------------------------------------------------------------------------


class IcePeerState(Enum):
    NEW = 0
    KNOWN = 1
    GONE = 2


class IcePeerInput(Enum):
    BEAT = 0  # a domain's heartbeat that is believed
    ASKED = 1  # a client wants to know where somebody is
    ASKED_IN_PASSING = 2  # the same, but there is no room to remember who asks
    TAKEN = 3  # somebody at another address has this id
    NO_ROOM = 4
    KEY_UNKNOWN = 5
    BADLY_SIGNED = 6
    SILENT = 7
    BEAT_OF_CLIENT = 8  # a domain's heartbeat, with the id that a client has


class IcePeerAction(Enum):
    REMEMBER = 0
    SEND_ACK = 1
    DENY = 2
    INTRODUCE = 3  # tell who asks and who is wanted about each other
    FORGET = 4
    TELL_ADDED = 5
    TELL_REMOVED = 6
    TELL_KEY_WANTED = 7


class IcePeerTimer(Enum):
    SILENCE = 0


_S, _I, _A, _T = IcePeerState, IcePeerInput, IcePeerAction, IcePeerTimer
_HERE = (_S.NEW, _S.KNOWN)

ICE_PEER: Table[IcePeerState, IcePeerInput, IcePeerAction, IcePeerTimer] = Table(
    name="overte.ice_peer",
    page="overte",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=_T,
    initial=_S.NEW,
    terminal=(_S.GONE,),
    idle={_S.NEW: "the packet that makes it"},
    rows=(
        Row(
            _S.NEW,
            _I.BEAT,
            _S.KNOWN,
            (_A.REMEMBER, _A.TELL_ADDED, _A.SEND_ACK),
            arm=(_T.SILENCE,),
            ref="ice-server",
        ),
        Row(_S.KNOWN, _I.BEAT, None, (_A.REMEMBER, _A.SEND_ACK), arm=(_T.SILENCE,), ref="ice-server"),
        Row(
            _S.KNOWN,
            _I.BEAT_OF_CLIENT,
            None,
            (_A.TELL_REMOVED, _A.REMEMBER, _A.TELL_ADDED, _A.SEND_ACK),
            arm=(_T.SILENCE,),
            ref="ice-server",
        ),
        Row(
            _S.NEW,
            _I.ASKED,
            _S.KNOWN,
            (_A.REMEMBER, _A.TELL_ADDED, _A.INTRODUCE),
            arm=(_T.SILENCE,),
            ref="ice-server",
        ),
        Row(_S.KNOWN, _I.ASKED, None, (_A.REMEMBER, _A.INTRODUCE), arm=(_T.SILENCE,), ref="ice-server"),
        Row(_S.NEW, _I.ASKED_IN_PASSING, None, (_A.INTRODUCE,), ref="ice-server"),
        Row(_HERE, _I.KEY_UNKNOWN, None, (_A.TELL_KEY_WANTED,), ref="ice-server"),
        Row(_HERE, _I.BADLY_SIGNED, None, (_A.DENY, _A.TELL_KEY_WANTED), ref="ice-server"),
        Row(_S.KNOWN, _I.SILENT, _S.GONE, (_A.FORGET, _A.TELL_REMOVED), ref="ice-server"),
    ),
    otherwise=(
        Otherwise(None, (_I.TAKEN,), Verdict.IGNORE, "the id of another peer"),
        Otherwise(None, (_I.NO_ROOM,), Verdict.IGNORE, "no room for a peer"),
        Otherwise(None, None, Verdict.IGNORE, "late"),
    ),
    fires={_T.SILENCE: _I.SILENT},
    ladders=(
        Ladder(
            "heartbeat",
            (
                Rung("another_domain", _I.TAKEN, ref="ice-server"),
                Rung("too_many", _I.NO_ROOM, ref="ice-server"),
                Rung("of_unknown_key", _I.KEY_UNKNOWN, ref="ice-server"),
                Rung("badly_signed", _I.BADLY_SIGNED, ref="ice-server"),
                Rung("known_as_client", _I.BEAT_OF_CLIENT, ref="ice-server"),
            ),
            _I.BEAT,
        ),
        Ladder(
            "query",
            (
                Rung("another", _I.TAKEN, ref="ice-server"),
                Rung("one_client_too_many", _I.ASKED_IN_PASSING, ref="ice-server"),
            ),
            _I.ASKED,
        ),
    ),
)

# -- a domain's heartbeats ---------------------------------------------------------------------------------------------


class HeartbeatState(Enum):
    OFF = 0
    RESOLVING = 1
    BEATING = 2
    PAUSING = 3  # the name of this ice-server was not found


class HeartbeatInput(Enum):
    START = 0
    FOUND = 1
    NOT_FOUND = 2
    PAUSED = 3  # for long enough
    BEAT = 4
    UNANSWERED = 5  # for too long
    ACKED = 6
    DENIED = 7
    DENIED_OFTEN = 8


class HeartbeatAction(Enum):
    LOOK_UP = 0
    ADOPT = 1  # the address that was found
    SEND = 2
    NOTE_ACK = 3
    NOTE_DENIAL = 4
    NEXT_SERVER = 5
    TELL_KEY_REFUSED = 6


class HeartbeatTimer(Enum):
    LOOKUP = 0
    BEAT = 1
    PAUSE = 2


_HS, _HI, _HA, _HT = HeartbeatState, HeartbeatInput, HeartbeatAction, HeartbeatTimer

HEARTBEAT: Table[HeartbeatState, HeartbeatInput, HeartbeatAction, HeartbeatTimer] = Table(
    name="overte.heartbeat",
    page="overte",
    states=_HS,
    inputs=_HI,
    actions=_HA,
    timers=_HT,
    initial=_HS.OFF,
    terminal=(),
    idle={
        _HS.OFF: "the domain's socket, if there is an ice-server",
        _HS.BEATING: "the domain's end: it is a keep-alive",
        _HS.PAUSING: "the next look-up, as long as the domain lives",
    },
    rows=(
        Row(_HS.OFF, _HI.START, _HS.RESOLVING, (_HA.LOOK_UP,), arm=(_HT.LOOKUP,), ref="heartbeats"),
        Row(
            _HS.RESOLVING,
            _HI.FOUND,
            _HS.BEATING,
            (_HA.ADOPT, _HA.SEND),
            arm=(_HT.BEAT,),
            cancel=(_HT.LOOKUP,),
            ref="heartbeats",
        ),
        Row(
            _HS.RESOLVING,
            _HI.NOT_FOUND,
            _HS.PAUSING,
            (_HA.NEXT_SERVER,),
            arm=(_HT.PAUSE,),
            cancel=(_HT.LOOKUP,),
            ref="heartbeats",
        ),
        Row(_HS.PAUSING, _HI.PAUSED, _HS.RESOLVING, (_HA.LOOK_UP,), arm=(_HT.LOOKUP,), ref="heartbeats"),
        Row(_HS.BEATING, _HI.BEAT, None, (_HA.SEND,), arm=(_HT.BEAT,), ref="heartbeats"),
        Row(
            _HS.BEATING,
            _HI.UNANSWERED,
            _HS.RESOLVING,
            (_HA.NEXT_SERVER, _HA.LOOK_UP),
            arm=(_HT.LOOKUP,),
            ref="heartbeats",
        ),
        Row(_HS.BEATING, _HI.ACKED, None, (_HA.NOTE_ACK,), ref="heartbeats"),
        Row(_HS.BEATING, _HI.DENIED, None, (_HA.NOTE_DENIAL,), ref="heartbeats"),
        Row(_HS.BEATING, _HI.DENIED_OFTEN, None, (_HA.NOTE_DENIAL, _HA.TELL_KEY_REFUSED), ref="heartbeats"),
    ),
    otherwise=(Otherwise(None, None, Verdict.IGNORE, "late answer"),),
    fires={_HT.LOOKUP: _HI.NOT_FOUND, _HT.BEAT: "beat", _HT.PAUSE: _HI.PAUSED},
    ladders=(
        Ladder("looked_up", (Rung("nothing_found", _HI.NOT_FOUND, ref="heartbeats"),), _HI.FOUND),
        Ladder("beat", (Rung("unanswered", _HI.UNANSWERED, ref="heartbeats"),), _HI.BEAT),
        Ladder("denial", (Rung("often", _HI.DENIED_OFTEN, ref="heartbeats"),), _HI.DENIED),
    ),
)

# -- a client that a domain pings --------------------------------------------------------------------------------------


class PunchState(Enum):
    NEW = 0
    PINGING = 1
    GONE = 2


class PunchInput(Enum):
    TOLD = 0  # the ice-server said where the client is
    PING_DUE = 1
    REACHED = 2
    EXPIRED = 3


class PunchAction(Enum):
    REMEMBER = 0
    SEND_PINGS = 1
    FORGET = 2


class PunchTimer(Enum):
    PING = 0
    END = 1


_PS, _PI, _PA, _PT = PunchState, PunchInput, PunchAction, PunchTimer

PUNCH: Table[PunchState, PunchInput, PunchAction, PunchTimer] = Table(
    name="overte.punch",
    page="overte",
    states=_PS,
    inputs=_PI,
    actions=_PA,
    timers=_PT,
    initial=_PS.NEW,
    terminal=(_PS.GONE,),
    idle={_PS.NEW: "the packet that makes it"},
    rows=(
        Row(
            (_PS.NEW, _PS.PINGING),
            _PI.TOLD,
            _PS.PINGING,
            (_PA.REMEMBER, _PA.SEND_PINGS),
            arm=(_PT.PING, _PT.END),
            ref="ICE",
        ),
        Row(_PS.PINGING, _PI.PING_DUE, None, (_PA.SEND_PINGS,), arm=(_PT.PING,), ref="ICE"),
        Row(_PS.PINGING, (_PI.REACHED, _PI.EXPIRED), _PS.GONE, (_PA.FORGET,), ref="ICE"),
    ),
    otherwise=(Otherwise(None, None, Verdict.IGNORE, "late"),),
    fires={_PT.PING: _PI.PING_DUE, _PT.END: _PI.EXPIRED},
)
