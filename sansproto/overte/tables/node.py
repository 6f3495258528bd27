"""The table of a node as another node sees it: reached by which of its sockets, heard or silent."""

from __future__ import annotations

from enum import Enum

from ...old_machine import Ladder, Otherwise, Row, Rung, Table, Verdict


class NodeState(Enum):
    UNKNOWN = 0
    PUNCHING = 1  # no socket of it is known to work
    ACTIVE = 2
    GONE = 3


class NodeInput(Enum):
    LISTED = 0
    LISTED_AGAIN = 1
    MOVED = 2  # listed with other sockets
    PING_DUE = 3
    PINGED = 4
    PINGED_STALE = 5  # not newer than a ping that was seen
    PINGED_ANEW = 6  # with a higher connection id: it began again
    REPLIED = 7  # over a public or symmetric socket
    REPLIED_LOCAL = 8
    REPLIED_ANY = 9  # to an agnostic ping
    UNSOLICITED = 10  # a reply to a ping that was not sent, or too long ago
    HEARD_LATELY = 11
    SILENT = 12
    REMOVED = 13  # the domain says so
    REPLACED = 14  # by a node that cannot be there beside it
    FORGOTTEN = 15  # with everything else, by a reset


class NodeAction(Enum):
    UPDATE = 0
    SEND_PING = 1
    SEND_PUNCHES = 2
    ANSWER = 3
    NOTE_PING = 4  # a sender that is neither its public nor its local socket is its symmetric one
    ACTIVATE = 5
    MEASURE = 6
    FORGET = 7
    RAISE_CONNECTION_ID = 8
    TAKE_CONNECTION_ID = 9
    TELL_ADDED = 10
    TELL_REMOVED = 11
    TELL_SILENT = 12
    TELL_REPLACED = 13
    TELL_RESTARTED = 14


class NodeTimer(Enum):
    PING = 0
    SILENCE = 1


_S, _I, _A, _T = NodeState, NodeInput, NodeAction, NodeTimer
_HERE = (_S.PUNCHING, _S.ACTIVE)

NODE: Table[NodeState, NodeInput, NodeAction, NodeTimer] = Table(
    name="overte.node",
    page="overte",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=_T,
    initial=_S.UNKNOWN,
    terminal=(_S.GONE,),
    idle={_S.UNKNOWN: "the list that names it"},
    rows=(
        Row(
            _S.UNKNOWN,
            _I.LISTED,
            _S.PUNCHING,
            (_A.TELL_ADDED, _A.SEND_PUNCHES),
            arm=(_T.PING, _T.SILENCE),
            ref="nodes",
        ),
        Row(_HERE, _I.LISTED_AGAIN, None, (_A.UPDATE,), ref="nodes"),
        Row(_S.ACTIVE, _I.MOVED, _S.PUNCHING, (_A.UPDATE, _A.SEND_PUNCHES), arm=(_T.PING,), ref="nodes"),
        Row(_S.PUNCHING, _I.PING_DUE, None, (_A.SEND_PUNCHES,), arm=(_T.PING,), ref="hole punching"),
        Row(_S.ACTIVE, _I.PING_DUE, None, (_A.SEND_PING,), arm=(_T.PING,), ref="node pings"),
        Row(_HERE, _I.PINGED, None, (_A.NOTE_PING, _A.ANSWER), ref="node pings"),
        Row(_HERE, _I.PINGED_STALE, None, (_A.ANSWER,), ref="node pings"),
        Row(
            _HERE,
            _I.PINGED_ANEW,
            _S.GONE,
            (_A.ANSWER, _A.FORGET, _A.TAKE_CONNECTION_ID, _A.TELL_RESTARTED),
            ref="connection ids",
        ),
        Row(
            _S.PUNCHING,
            (_I.REPLIED, _I.REPLIED_LOCAL),
            _S.ACTIVE,
            (_A.ACTIVATE, _A.MEASURE),
            arm=(_T.PING,),
            ref="hole punching",
        ),
        Row(_S.ACTIVE, _I.REPLIED_LOCAL, None, (_A.ACTIVATE, _A.MEASURE), ref="hole punching"),
        Row(_S.ACTIVE, _I.REPLIED, None, (_A.MEASURE,), ref="hole punching"),
        Row(_HERE, _I.REPLIED_ANY, None, (_A.MEASURE,), ref="clock skew"),
        Row(_HERE, _I.HEARD_LATELY, None, arm=(_T.SILENCE,), ref="silent nodes"),
        Row(_HERE, _I.SILENT, _S.GONE, (_A.FORGET, _A.RAISE_CONNECTION_ID, _A.TELL_SILENT), ref="silent nodes"),
        Row(_HERE, _I.REMOVED, _S.GONE, (_A.FORGET, _A.RAISE_CONNECTION_ID, _A.TELL_REMOVED), ref="nodes"),
        Row(_HERE, _I.REPLACED, _S.GONE, (_A.FORGET, _A.RAISE_CONNECTION_ID, _A.TELL_REPLACED), ref="nodes"),
        Row(_HERE, _I.FORGOTTEN, _S.GONE, (_A.FORGET,), ref="silence"),
    ),
    otherwise=(
        Otherwise(None, (_I.UNSOLICITED,), Verdict.IGNORE, "a reply to no ping of ours"),
        Otherwise(None, None, Verdict.IGNORE, "late"),
    ),
    fires={_T.PING: _I.PING_DUE, _T.SILENCE: "silence"},
    ladders=(
        Ladder(
            "ping",
            (
                Rung("began_again", _I.PINGED_ANEW, ref="connection ids"),
                Rung("stale", _I.PINGED_STALE, ref="node pings"),
            ),
            _I.PINGED,
        ),
        Ladder(
            "reply",
            (
                Rung("unsolicited", _I.UNSOLICITED, ref="node pings"),
                Rung("agnostic", _I.REPLIED_ANY, ref="node pings"),
                Rung("local", _I.REPLIED_LOCAL, ref="hole punching"),
            ),
            _I.REPLIED,
        ),
        Ladder("silence", (Rung("heard_lately", _I.HEARD_LATELY, ref="silent nodes"),), _I.SILENT),
        Ladder("record", (Rung("moved", _I.MOVED, ref="nodes"),), _I.LISTED_AGAIN),
    ),
)
