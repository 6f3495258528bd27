# refused: Argument 1 to "assert_never" has incompatible type "Literal[Violation.ROOM_LOST]"; expected "Never"
from typing import assert_never

from base import *
from sansproto import bob
from sansproto.events import Closed


def explain(event: bob.PeerEvent) -> None:
    if isinstance(event, Closed):
        match event.violation:
            case None | bob.Violation.BAD_PACKET | bob.Violation.BAD_ROOM_ANSWER | bob.Violation.ROOM_UNKNOWN: ...
            case bob.Violation.ROOM_EXPIRED | bob.Violation.RELAY_TIMEOUT | bob.Violation.TOO_MANY_GUESSES: ...
            case bob.Violation.RECORD_CORRUPTED | bob.Violation.RECORD_TOO_LONG | bob.Violation.STREAM_CUT: ...
            case bob.Violation.RELAY_LOST: ...
            case other:
                assert_never(other)
