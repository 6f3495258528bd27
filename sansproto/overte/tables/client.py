"""The tables of a client: its connection to the domain, its public address, and what it asked the domain."""

from __future__ import annotations

from enum import Enum

from ...old_machine import Ladder, Otherwise, Row, Rung, Table, Verdict

# -- the connection ----------------------------------------------------------------------------------------------------


class ConnectionState(Enum):
    NEW = 0
    RESOLVING = 1  # the name of the domain, or of the ice-server
    QUERYING = 2  # the ice-server is asked where the domain is
    PUNCHING = 3  # it was told; ICE pings are on their way
    CONNECTING = 4
    CONNECTED = 5
    CLOSED = 6


class ConnectionInput(Enum):
    CONNECT = 0
    FOUND = 1
    FOUND_ICE = 2  # the name was that of the ice-server
    NOT_FOUND = 3
    PEER_TOLD = 4  # the ice-server said where the domain is
    ICE_PING_DUE = 5
    ICE_ROUND_OVER = 6
    ICE_REPLIED = 7
    NOT_YET = 8  # our own sockets are not known
    CHECK_IN = 9
    EXTRA = 10  # a check-in beside those of the timer
    TOO_SILENT = 11
    LISTED = 12
    LISTED_AGAIN = 13
    LISTED_CHANGED = 14  # we are somebody else now
    LISTED_FOREIGN = 15  # of another domain
    DENIED = 16
    TOKEN = 17
    MOVED = 18  # our own sockets changed
    GAVE_UP = 19
    GAVE_UP_DENIED = 20
    CLOSE = 21


class ConnectionAction(Enum):
    LOOK_UP = 0
    SET_ICE_SERVER = 1
    SET_DOMAIN = 2
    CHECK_IN_AT_ONCE = 3
    SEND_QUERY = 4
    NOTE_PEER = 5
    SEND_ICE_PINGS = 6
    COUNT = 7  # a check-in that the timer asked for
    SEND_CONNECT = 8
    SEND_LIST_REQUEST = 9
    SEND_COPIES = 10  # of the list request, the more the longer the domain is silent
    SEND_DISCONNECT = 11
    NOTE_TOKEN = 12
    NOTE_DENIAL = 13
    NOTE_SILENCE = 14
    RESET = 15  # forget nodes, ids, token and channels
    ADOPT = 16  # what the list says
    REQUEST_SETTINGS = 17
    TELL_CONNECTED = 18
    TELL_CHANGED = 19
    TELL_SILENT = 20
    TELL_MOVED = 21
    END_LOCAL = 22
    END_NOT_FOUND = 23
    END_REFUSED = 24
    END_TIMEOUT = 25


class ConnectionTimer(Enum):
    LOOKUP = 0
    CHECK_IN = 1
    ICE_PING = 2
    ICE_ROUND = 3
    GIVE_UP = 4


_S, _I, _A, _T = ConnectionState, ConnectionInput, ConnectionAction, ConnectionTimer
_SEEKING = (_S.QUERYING, _S.PUNCHING)
_TRYING = (*_SEEKING, _S.CONNECTING)
_OWN_SOCKETS = (
    Rung("unbound", _I.NOT_YET, ref="own sockets"),
    Rung("public_unknown", _I.NOT_YET, ref="own sockets"),
)

CONNECTION: Table[ConnectionState, ConnectionInput, ConnectionAction, ConnectionTimer] = Table(
    name="overte.connection",
    page="overte",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=_T,
    initial=_S.NEW,
    terminal=(_S.CLOSED,),
    idle={_S.NEW: "connect()"},
    rows=(
        Row(_S.NEW, _I.CONNECT, _S.RESOLVING, (_A.LOOK_UP,), arm=(_T.LOOKUP,), ref="finding the domain"),
        Row(
            _S.RESOLVING,
            _I.FOUND,
            _S.CONNECTING,
            (_A.SET_DOMAIN, _A.CHECK_IN_AT_ONCE),
            arm=(_T.CHECK_IN, _T.GIVE_UP),
            cancel=(_T.LOOKUP,),
            ref="finding the domain",
        ),
        Row(_S.RESOLVING, _I.NOT_FOUND, _S.CLOSED, (_A.END_NOT_FOUND,), ref="finding the domain"),
        Row(
            _S.RESOLVING,
            _I.FOUND_ICE,
            _S.QUERYING,
            (_A.SET_ICE_SERVER, _A.CHECK_IN_AT_ONCE),
            arm=(_T.CHECK_IN, _T.GIVE_UP),
            cancel=(_T.LOOKUP,),
            ref="ICE",
        ),
        Row(_S.QUERYING, (_I.CHECK_IN, _I.TOO_SILENT), None, (_A.SEND_QUERY,), arm=(_T.CHECK_IN,), ref="ICE"),
        Row(_S.QUERYING, _I.EXTRA, None, (_A.SEND_QUERY,), ref="ICE"),
        Row(
            _S.QUERYING,
            _I.PEER_TOLD,
            _S.PUNCHING,
            (_A.NOTE_PEER, _A.SEND_ICE_PINGS),
            arm=(_T.ICE_PING, _T.ICE_ROUND),
            cancel=(_T.CHECK_IN,),
            ref="ICE",
        ),
        Row(_S.PUNCHING, _I.ICE_PING_DUE, None, (_A.SEND_ICE_PINGS,), arm=(_T.ICE_PING,), ref="ICE"),
        Row(
            _S.PUNCHING,
            _I.ICE_ROUND_OVER,
            _S.QUERYING,
            (_A.CHECK_IN_AT_ONCE,),
            arm=(_T.CHECK_IN,),
            cancel=(_T.ICE_PING,),
            ref="ICE",
        ),
        Row(
            _S.PUNCHING,
            _I.ICE_REPLIED,
            _S.CONNECTING,
            (_A.SET_DOMAIN, _A.CHECK_IN_AT_ONCE),
            arm=(_T.CHECK_IN, _T.GIVE_UP),
            cancel=(_T.ICE_PING, _T.ICE_ROUND),
            ref="ICE",
        ),
        Row((_S.QUERYING, _S.CONNECTING, _S.CONNECTED), _I.NOT_YET, None, arm=(_T.CHECK_IN,), ref="own sockets"),
        Row(_S.CONNECTING, _I.CHECK_IN, None, (_A.COUNT, _A.SEND_CONNECT), arm=(_T.CHECK_IN,), ref="check-in"),
        Row(_S.CONNECTING, _I.EXTRA, None, (_A.SEND_CONNECT,), ref="check-in"),
        Row(_S.CONNECTING, _I.TOO_SILENT, None, (_A.NOTE_SILENCE,), arm=(_T.CHECK_IN,), ref="silence"),
        Row(
            _S.CONNECTING,
            _I.LISTED,
            _S.CONNECTED,
            (_A.TELL_CONNECTED, _A.ADOPT, _A.REQUEST_SETTINGS),
            cancel=(_T.GIVE_UP,),
            ref="the domain list",
        ),
        Row(_S.CONNECTING, _I.DENIED, None, (_A.NOTE_DENIAL,), ref="denials"),
        Row(_S.CONNECTING, _I.TOKEN, None, (_A.NOTE_TOKEN, _A.CHECK_IN_AT_ONCE), ref="usernames"),
        Row(_TRYING, _I.GAVE_UP, _S.CLOSED, (_A.END_TIMEOUT,), ref="giving up"),
        Row(_TRYING, _I.GAVE_UP_DENIED, _S.CLOSED, (_A.END_REFUSED,), ref="giving up"),
        Row(
            _S.CONNECTED,
            _I.CHECK_IN,
            None,
            (_A.COUNT, _A.SEND_LIST_REQUEST, _A.SEND_COPIES),
            arm=(_T.CHECK_IN,),
            ref="check-in",
        ),
        Row(_S.CONNECTED, _I.EXTRA, None, (_A.SEND_LIST_REQUEST,), ref="check-in"),
        Row(
            _S.CONNECTED,
            _I.TOO_SILENT,
            _S.CONNECTING,
            (_A.NOTE_SILENCE, _A.RESET, _A.TELL_SILENT),
            arm=(_T.CHECK_IN, _T.GIVE_UP),
            ref="silence",
        ),
        Row(_S.CONNECTED, _I.LISTED_AGAIN, None, (_A.ADOPT,), ref="the domain list"),
        Row(
            _S.CONNECTED,
            _I.LISTED_CHANGED,
            None,
            (_A.RESET, _A.TELL_CHANGED, _A.ADOPT, _A.REQUEST_SETTINGS),
            ref="changed ids",
        ),
        Row(
            _S.CONNECTED,
            _I.MOVED,
            _S.CONNECTING,
            (_A.SEND_DISCONNECT, _A.RESET, _A.TELL_MOVED, _A.CHECK_IN_AT_ONCE),
            arm=(_T.CHECK_IN, _T.GIVE_UP),
            ref="own sockets",
        ),
        Row(_S.CONNECTED, _I.CLOSE, _S.CLOSED, (_A.SEND_DISCONNECT, _A.END_LOCAL), ref="leaving"),
        Row((_S.NEW, _S.RESOLVING, *_TRYING), _I.CLOSE, _S.CLOSED, (_A.END_LOCAL,), ref="leaving"),
    ),
    otherwise=(
        Otherwise(None, (_I.CONNECT,), Verdict.REJECT, "connect() once"),
        Otherwise(None, (_I.LISTED_FOREIGN,), Verdict.IGNORE, "a list of another domain"),
        Otherwise(None, (_I.LISTED,), Verdict.IGNORE, "a list that was not asked for"),
        Otherwise(None, (_I.DENIED, _I.TOKEN), Verdict.IGNORE, "late answer"),
        Otherwise(None, (_I.MOVED, _I.EXTRA), Verdict.IGNORE, "nothing to tell yet"),
        Otherwise(None, None, Verdict.IGNORE, "late"),
    ),
    fires={
        _T.LOOKUP: _I.NOT_FOUND,
        _T.CHECK_IN: "check_in",
        _T.ICE_PING: _I.ICE_PING_DUE,
        _T.ICE_ROUND: _I.ICE_ROUND_OVER,
        _T.GIVE_UP: "give_up",
    },
    ladders=(
        Ladder(
            "looked_up",
            (
                Rung("nothing_found", _I.NOT_FOUND, ref="finding the domain"),
                Rung("by_ice", _I.FOUND_ICE, ref="ICE"),
            ),
            _I.FOUND,
        ),
        Ladder("check_in", (*_OWN_SOCKETS, Rung("too_silent", _I.TOO_SILENT, ref="silence")), _I.CHECK_IN),
        Ladder("at_once", _OWN_SOCKETS, _I.EXTRA),
        Ladder("give_up", (Rung("denied", _I.GAVE_UP_DENIED, ref="giving up"),), _I.GAVE_UP),
        Ladder(
            "domain_list",
            (
                Rung("unlisted", _I.LISTED, ref="the domain list"),
                Rung("foreign_domain", _I.LISTED_FOREIGN, ref="the domain list"),
                Rung("ids_changed", _I.LISTED_CHANGED, ref="changed ids"),
            ),
            _I.LISTED_AGAIN,
        ),
    ),
)

# -- the public address ------------------------------------------------------------------------------------------------


class StunState(Enum):
    OFF = 0
    RESOLVING = 1
    ASKING = 2
    RESTING = 3


class StunInput(Enum):
    START = 0
    FOUND = 1
    NOT_FOUND = 2
    ASK_AGAIN = 3
    NO_ANSWER = 4  # to any of the requests of a round
    ANSWERED = 5
    LOOK_UP_AGAIN = 6


class StunAction(Enum):
    LOOK_UP = 0
    SET_SERVER = 1
    START_ROUND = 2
    SEND = 3
    ADOPT = 4
    USE_NULL = 5


class StunTimer(Enum):
    LOOKUP = 0
    RETRY = 1
    REFRESH = 2


_SS, _SI, _SA, _ST = StunState, StunInput, StunAction, StunTimer

STUN: Table[StunState, StunInput, StunAction, StunTimer] = Table(
    name="overte.stun",
    page="overte",
    states=_SS,
    inputs=_SI,
    actions=_SA,
    timers=_ST,
    initial=_SS.OFF,
    terminal=(),
    idle={_SS.OFF: "connect(), if there is a STUN server", _SS.RESTING: "its refresh, as long as the session lives"},
    rows=(
        Row(_SS.OFF, _SI.START, _SS.RESOLVING, (_SA.LOOK_UP,), arm=(_ST.LOOKUP,), ref="STUN"),
        Row(
            _SS.RESOLVING,
            _SI.FOUND,
            _SS.ASKING,
            (_SA.SET_SERVER, _SA.START_ROUND, _SA.SEND),
            arm=(_ST.RETRY,),
            cancel=(_ST.LOOKUP,),
            ref="STUN",
        ),
        Row(
            _SS.RESOLVING,
            _SI.NOT_FOUND,
            _SS.RESTING,
            (_SA.USE_NULL,),
            arm=(_ST.REFRESH,),
            cancel=(_ST.LOOKUP,),
            ref="STUN",
        ),
        Row(_SS.ASKING, _SI.ASK_AGAIN, None, (_SA.SEND,), arm=(_ST.RETRY,), ref="STUN"),
        Row(_SS.ASKING, _SI.NO_ANSWER, _SS.RESTING, (_SA.USE_NULL,), arm=(_ST.REFRESH,), ref="STUN"),
        Row(
            _SS.ASKING,
            _SI.ANSWERED,
            _SS.RESTING,
            (_SA.ADOPT,),
            arm=(_ST.REFRESH,),
            cancel=(_ST.RETRY,),
            ref="STUN",
        ),
        Row(
            _SS.RESTING,
            _SI.ASK_AGAIN,
            _SS.ASKING,
            (_SA.START_ROUND, _SA.SEND),
            arm=(_ST.RETRY,),
            cancel=(_ST.REFRESH,),
            ref="STUN",
        ),
        Row(
            _SS.RESTING,
            _SI.LOOK_UP_AGAIN,
            _SS.RESOLVING,
            (_SA.LOOK_UP,),
            arm=(_ST.LOOKUP,),
            cancel=(_ST.REFRESH,),
            ref="STUN",
        ),
    ),
    otherwise=(Otherwise(None, None, Verdict.IGNORE, "late answer"),),
    fires={_ST.LOOKUP: _SI.NOT_FOUND, _ST.RETRY: "retry", _ST.REFRESH: "refresh"},
    ladders=(
        Ladder("looked_up", (Rung("nothing_found", _SI.NOT_FOUND, ref="STUN"),), _SI.FOUND),
        Ladder("retry", (Rung("exhausted", _SI.NO_ANSWER, ref="STUN"),), _SI.ASK_AGAIN),
        Ladder("refresh", (Rung("address_unknown", _SI.LOOK_UP_AGAIN, ref="STUN"),), _SI.ASK_AGAIN),
    ),
)

# -- what the domain was asked -----------------------------------------------------------------------------------------


class QueryState(Enum):
    NEW = 0
    ASKED = 1
    ENDED = 2


class QueryInput(Enum):
    ASK = 0
    ANSWERED = 1
    EXPIRED = 2
    FORGOTTEN = 3


class QueryAction(Enum):
    SEND = 0
    TELL_ANSWER = 1
    TELL_NO_ANSWER = 2
    FORGET = 3


class QueryTimer(Enum):
    ANSWER = 0


_QS, _QI, _QA, _QT = QueryState, QueryInput, QueryAction, QueryTimer

QUERY: Table[QueryState, QueryInput, QueryAction, QueryTimer] = Table(
    name="overte.query",
    page="overte",
    states=_QS,
    inputs=_QI,
    actions=_QA,
    timers=_QT,
    initial=_QS.NEW,
    terminal=(_QS.ENDED,),
    idle={_QS.NEW: "the call that makes it"},
    rows=(
        Row(_QS.NEW, _QI.ASK, _QS.ASKED, (_QA.SEND,), arm=(_QT.ANSWER,), ref="paths and settings"),
        Row(_QS.ASKED, _QI.ANSWERED, _QS.ENDED, (_QA.FORGET, _QA.TELL_ANSWER), ref="paths and settings"),
        Row(
            _QS.ASKED,
            (_QI.EXPIRED, _QI.FORGOTTEN),
            _QS.ENDED,
            (_QA.FORGET, _QA.TELL_NO_ANSWER),
            ref="paths and settings",
        ),
    ),
    otherwise=(Otherwise(None, None, Verdict.IGNORE, "late answer"),),
    fires={_QT.ANSWER: _QI.EXPIRED},
)
