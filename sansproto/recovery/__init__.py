"""Recovery: two ends that always find each other again, whatever restarts, moves, sleeps or is replayed.

:class:`Recovery` is a part that a session of another protocol owns: it has no packets and no keys of its own. The owner
does what :class:`RecoveryHost` says. docs/protocols/recovery.rst tells all of it.
"""

from typing import Final

from .core import Recovery
from .events import (
    DuplicateIdentity,
    Established,
    Expired,
    IdentityConflict,
    Limit,
    Limited,
    PathChanged,
    PathConflict,
    PeerClosed,
    PeerForgotten,
    PeerLost,
    PeerRestarted,
    Reason,
    RecoveryEvent,
    Refused,
    SaveWanted,
    SelfConnection,
    Suspected,
    TooBig,
    Undelivered,
    Unreachable,
)
from .host import RecoveryHost
from .items import (
    Admission,
    Call,
    Challenge,
    CloseReason,
    Delivery,
    Hint,
    Init,
    Kind,
    Knock,
    MadeInit,
    MadeReply,
    Opened,
    Reply,
    Route,
    Sealed,
    Visit,
)
from .limits import DIRECT, RELAY, OnConflict, RecoveryConfig, RecoveryDelays, RecoveryLimits
from .records import PeerRecord, SessionRecord

WITHOUT: Final = {
    "vectors": "it has no packets of its own: its hosts have them",
    "vectors of tables": "its scenarios and explorations run each row and guard, with packets that nobody sends",
    "laws": "a session of another protocol owns it, and has laws",
}

__all__ = [
    "DIRECT",
    "RELAY",
    "Admission",
    "Call",
    "Challenge",
    "CloseReason",
    "Delivery",
    "DuplicateIdentity",
    "Established",
    "Expired",
    "Hint",
    "IdentityConflict",
    "Init",
    "Kind",
    "Knock",
    "Limit",
    "Limited",
    "MadeInit",
    "MadeReply",
    "OnConflict",
    "Opened",
    "PathChanged",
    "PathConflict",
    "PeerClosed",
    "PeerForgotten",
    "PeerLost",
    "PeerRecord",
    "PeerRestarted",
    "Reason",
    "Recovery",
    "RecoveryConfig",
    "RecoveryDelays",
    "RecoveryEvent",
    "RecoveryHost",
    "RecoveryLimits",
    "Refused",
    "Reply",
    "Route",
    "SaveWanted",
    "Sealed",
    "SelfConnection",
    "SessionRecord",
    "Suspected",
    "TooBig",
    "Undelivered",
    "Unreachable",
    "Visit",
]
