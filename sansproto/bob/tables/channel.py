"""The table of the encrypted channel."""

from __future__ import annotations

from enum import Enum

from ...old_machine import Ladder, Otherwise, Row, Rung, Table, Verdict


class ChannelState(Enum):
    OPEN = 0
    CLOSING = 1  # our closing packet is on its way
    CLOSED = 2


class ChannelInput(Enum):
    SEND = 0
    CLOSE = 1
    CLOSE_SEEN = 2
    CLOSE_SEEN_EARLY = 3  # while output waits
    CORRUPTED = 4
    TOO_LONG = 5
    CUT = 6  # the stream ended
    EXPIRED = 7


class ChannelAction(Enum):
    SEND_CLOSE = 0
    END_LOCAL = 1
    END_REMOTE = 2
    END_EARLY = 3
    END_CORRUPTED = 4
    END_TOO_LONG = 5
    END_CUT = 6


class ChannelTimer(Enum):
    FAREWELL = 0


_CS, _CI, _CA, _CT = ChannelState, ChannelInput, ChannelAction, ChannelTimer

CHANNEL: Table[ChannelState, ChannelInput, ChannelAction, ChannelTimer] = Table(
    name="bob.channel",
    page="bob",
    states=_CS,
    inputs=_CI,
    actions=_CA,
    timers=_CT,
    initial=_CS.OPEN,
    terminal=(_CS.CLOSED,),
    idle={_CS.OPEN: "either end, with a closing packet or with the stream's end"},
    rows=(
        Row(_CS.OPEN, _CI.SEND, None, ref="the channel"),
        Row(_CS.OPEN, _CI.CLOSE, _CS.CLOSING, (_CA.SEND_CLOSE,), arm=(_CT.FAREWELL,), ref="closing the channel"),
        Row(_CS.OPEN, _CI.CLOSE_SEEN, _CS.CLOSED, (_CA.SEND_CLOSE, _CA.END_REMOTE), ref="closing the channel"),
        Row(_CS.OPEN, _CI.CLOSE_SEEN_EARLY, _CS.CLOSED, (_CA.END_EARLY,), ref="closing the channel"),
        Row(_CS.OPEN, _CI.CORRUPTED, _CS.CLOSED, (_CA.END_CORRUPTED,), ref="bad records"),
        Row(_CS.OPEN, _CI.TOO_LONG, _CS.CLOSED, (_CA.END_TOO_LONG,), ref="bad records"),
        Row(_CS.OPEN, _CI.CUT, _CS.CLOSED, (_CA.END_CUT,), ref="closing the channel"),
        Row(
            _CS.CLOSING,
            (_CI.CLOSE_SEEN, _CI.CLOSE_SEEN_EARLY, _CI.CUT, _CI.CORRUPTED, _CI.TOO_LONG, _CI.EXPIRED),
            _CS.CLOSED,
            (_CA.END_LOCAL,),
            ref="closing the channel",
        ),
    ),
    otherwise=(
        Otherwise((_CS.CLOSING, _CS.CLOSED), (_CI.SEND,), Verdict.NOT_OPEN),
        Otherwise(None, None, Verdict.IGNORE, "closed"),
    ),
    fires={_CT.FAREWELL: _CI.EXPIRED},
    ladders=(
        Ladder(
            "close",
            (Rung("interrupted", _CI.CLOSE_SEEN_EARLY, ref="closing the channel"),),
            _CI.CLOSE_SEEN,
        ),
    ),
)
