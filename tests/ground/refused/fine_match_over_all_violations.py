from typing import assert_never

from base import *
from sansproto import bob, overte
from sansproto.events import Closed


def of_a_peer(event: bob.PeerEvent) -> None:
    if isinstance(event, Closed):
        match event.violation:
            case None | bob.Violation.BAD_PACKET | bob.Violation.BAD_ROOM_ANSWER | bob.Violation.ROOM_UNKNOWN: ...
            case bob.Violation.ROOM_EXPIRED | bob.Violation.RELAY_TIMEOUT | bob.Violation.TOO_MANY_GUESSES: ...
            case bob.Violation.RECORD_CORRUPTED | bob.Violation.RECORD_TOO_LONG | bob.Violation.STREAM_CUT: ...
            case bob.Violation.RELAY_LOST | bob.Violation.ROOM_LOST: ...
            case other:
                assert_never(other)


def of_a_channel(event: bob.ChannelEvent) -> None:
    if isinstance(event, Closed):
        match event.violation:
            case None | bob.Violation(): ...
            case other:
                assert_never(other)


def of_a_domain_client(event: overte.ClientEvent) -> None:
    if isinstance(event, Closed):
        match event.violation:
            case None | overte.DenialReason(): ...
            case other:
                assert_never(other)


def without_violations(event: bob.RelayEvent | overte.ServerEvent | overte.IceServerEvent) -> None:
    if isinstance(event, Closed):
        match event.violation:
            case None: ...
            case other:
                assert_never(other)
