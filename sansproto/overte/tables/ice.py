"""The table of the peers that an ice-server knows."""

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
