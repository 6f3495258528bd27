"""The tables of a domain server: who asks to come in, and who is in."""

from __future__ import annotations

from enum import Enum

from ...old_machine import Ladder, NoTimers, Otherwise, Row, Rung, Table, Verdict

# -- a connect request -------------------------------------------------------------------------------------------------


class ApplicantState(Enum):
    ASKING = 0
    JUDGED = 1


class ApplicantInput(Enum):
    EMPTY = 0
    OTHER_PROTOCOL = 1
    MALFORMED = 2
    NULL_SOCKET = 3
    BAD_TYPE = 4
    UNASSIGNED = 5  # a type that only assignments have, or an assignment of another type or node
    REPEATED = 6
    TOO_OFTEN = 7
    TOKEN_NEEDED = 8
    KEY_UNKNOWN = 9
    BAD_SIGNATURE = 10
    LOGIN_FAILED = 11
    FORBIDDEN = 12
    FORBIDDEN_HERE = 13  # where the domain has accounts of its own
    FULL = 14
    ADMITTED = 15
    INTRUDING = 16  # from the address of a node on another machine


class ApplicantAction(Enum):
    DENY_PROTOCOL = 0
    DENY_SIGNATURE = 1
    DENY_LOGIN = 2
    DENY_PERMISSION = 3
    DENY_PERMISSION_HERE = 4
    DENY_FULL = 5
    SEND_TOKEN = 6
    TELL_KEY_WANTED = 7
    ADMIT = 8
    ADMIT_AGAIN = 9


_S, _I, _A = ApplicantState, ApplicantInput, ApplicantAction

APPLICANT: Table[ApplicantState, ApplicantInput, ApplicantAction, NoTimers] = Table(
    name="overte.applicant",
    page="overte",
    states=_S,
    inputs=_I,
    actions=_A,
    timers=NoTimers,
    initial=_S.ASKING,
    terminal=(_S.JUDGED,),
    idle={_S.ASKING: "the call that brings the request"},
    rows=(
        Row(_S.ASKING, _I.OTHER_PROTOCOL, _S.JUDGED, (_A.DENY_PROTOCOL,), ref="protocol signature"),
        Row(_S.ASKING, _I.REPEATED, _S.JUDGED, (_A.ADMIT_AGAIN,), ref="repeated requests"),
        Row(_S.ASKING, _I.TOKEN_NEEDED, _S.JUDGED, (_A.SEND_TOKEN, _A.TELL_KEY_WANTED), ref="usernames"),
        Row(_S.ASKING, _I.KEY_UNKNOWN, _S.JUDGED, (_A.TELL_KEY_WANTED,), ref="usernames"),
        Row(_S.ASKING, _I.BAD_SIGNATURE, _S.JUDGED, (_A.DENY_SIGNATURE,), ref="usernames"),
        Row(_S.ASKING, _I.LOGIN_FAILED, _S.JUDGED, (_A.DENY_LOGIN,), ref="domain accounts"),
        Row(_S.ASKING, _I.FORBIDDEN, _S.JUDGED, (_A.DENY_PERMISSION,), ref="permissions"),
        Row(_S.ASKING, _I.FORBIDDEN_HERE, _S.JUDGED, (_A.DENY_PERMISSION_HERE,), ref="permissions"),
        Row(_S.ASKING, _I.FULL, _S.JUDGED, (_A.DENY_FULL,), ref="capacity"),
        Row(_S.ASKING, _I.ADMITTED, _S.JUDGED, (_A.ADMIT,), ref="admission"),
    ),
    otherwise=(
        Otherwise(None, (_I.EMPTY,), Verdict.IGNORE, "empty connect request"),
        Otherwise(None, (_I.MALFORMED,), Verdict.IGNORE, "malformed connect request"),
        Otherwise(None, (_I.NULL_SOCKET,), Verdict.IGNORE, "connect request without sockets"),
        Otherwise(None, (_I.BAD_TYPE,), Verdict.IGNORE, "connect request of no node type"),
        Otherwise(None, (_I.UNASSIGNED,), Verdict.IGNORE, "connect request without assignment"),
        Otherwise(None, (_I.TOO_OFTEN,), Verdict.IGNORE, "connect requests too often"),
        Otherwise(None, (_I.INTRUDING,), Verdict.IGNORE, "connect request from another node's address"),
        Otherwise(None, None, Verdict.IGNORE, "late"),
    ),
    ladders=(
        Ladder(
            "connect",
            (
                Rung("empty", _I.EMPTY, ref="connect requests"),
                Rung("too_often", _I.TOO_OFTEN, ref="repeated requests"),
                Rung("of_other_protocol", _I.OTHER_PROTOCOL, ref="protocol signature"),
                Rung("malformed", _I.MALFORMED, ref="connect requests"),
                Rung("without_socket", _I.NULL_SOCKET, ref="connect requests"),
                Rung("of_bad_type", _I.BAD_TYPE, ref="connect requests"),
                Rung("unassigned", _I.UNASSIGNED, ref="assignments"),
                Rung("repeated", _I.REPEATED, ref="repeated requests"),
                Rung("beyond_ids", _I.FULL, ref="capacity"),
                Rung("assigned", _I.ADMITTED, ref="assignments"),
                Rung("intruding", _I.INTRUDING, ref="repeated requests"),
                Rung("without_token", _I.TOKEN_NEEDED, ref="usernames"),
                Rung("of_unknown_key", _I.KEY_UNKNOWN, ref="usernames"),
                Rung("badly_signed", _I.BAD_SIGNATURE, ref="usernames"),
                Rung("not_logged_in", _I.LOGIN_FAILED, ref="domain accounts"),
                Rung("forbidden_here", _I.FORBIDDEN_HERE, ref="permissions"),
                Rung("forbidden", _I.FORBIDDEN, ref="permissions"),
                Rung("no_room", _I.FULL, ref="capacity"),
            ),
            _I.ADMITTED,
        ),
    ),
)

# -- a node of the domain ----------------------------------------------------------------------------------------------


class MemberState(Enum):
    NEW = 0
    PRESENT = 1
    GONE = 2


class MemberInput(Enum):
    ADMITTED = 0
    ADMITTED_AGAIN = 1
    LIST_REQUESTED = 2
    HEARD_LATELY = 3
    SILENT = 4
    LEFT = 5
    KICKED = 6
    REPLACED = 7
    UNWELCOME = 8  # the policy changed


class MemberAction(Enum):
    SEND_FIRST_LIST = 0
    SEND_LIST = 1
    UPDATE = 2
    ANNOUNCE = 3
    ANNOUNCE_END = 4
    FORGET = 5
    TELL_JOINED = 6
    TELL_LEFT = 7
    TELL_SILENT = 8
    TELL_KICKED = 9
    TELL_REPLACED = 10
    TELL_UNWELCOME = 11
    ENROL = 12


class MemberTimer(Enum):
    SILENCE = 0


_MS, _MI, _MA, _MT = MemberState, MemberInput, MemberAction, MemberTimer

MEMBER: Table[MemberState, MemberInput, MemberAction, MemberTimer] = Table(
    name="overte.member",
    page="overte",
    states=_MS,
    inputs=_MI,
    actions=_MA,
    timers=_MT,
    initial=_MS.NEW,
    terminal=(_MS.GONE,),
    idle={_MS.NEW: "the request that makes it"},
    rows=(
        Row(
            _MS.NEW,
            _MI.ADMITTED,
            _MS.PRESENT,
            (_MA.ENROL, _MA.TELL_JOINED, _MA.SEND_FIRST_LIST, _MA.ANNOUNCE),
            arm=(_MT.SILENCE,),
            ref="admission",
        ),
        Row(_MS.PRESENT, _MI.ADMITTED_AGAIN, None, (_MA.SEND_FIRST_LIST,), ref="repeated requests"),
        Row(_MS.PRESENT, _MI.LIST_REQUESTED, None, (_MA.UPDATE, _MA.SEND_LIST), ref="answering a check-in"),
        Row(_MS.PRESENT, _MI.HEARD_LATELY, None, arm=(_MT.SILENCE,), ref="pruning"),
        Row(_MS.PRESENT, _MI.SILENT, _MS.GONE, (_MA.FORGET, _MA.ANNOUNCE_END, _MA.TELL_SILENT), ref="pruning"),
        Row(_MS.PRESENT, _MI.LEFT, _MS.GONE, (_MA.FORGET, _MA.ANNOUNCE_END, _MA.TELL_LEFT), ref="leaving"),
        Row(_MS.PRESENT, _MI.KICKED, _MS.GONE, (_MA.FORGET, _MA.ANNOUNCE_END, _MA.TELL_KICKED), ref="kicking"),
        Row(_MS.PRESENT, _MI.REPLACED, _MS.GONE, (_MA.FORGET, _MA.ANNOUNCE_END, _MA.TELL_REPLACED), ref="admission"),
        Row(
            _MS.PRESENT,
            _MI.UNWELCOME,
            _MS.GONE,
            (_MA.FORGET, _MA.ANNOUNCE_END, _MA.TELL_UNWELCOME),
            ref="permissions",
        ),
    ),
    otherwise=(Otherwise(None, None, Verdict.IGNORE, "late"),),
    fires={_MT.SILENCE: "silence"},
    ladders=(Ladder("silence", (Rung("heard_lately", _MI.HEARD_LATELY, ref="pruning"),), _MI.SILENT),),
)
