"""The smallest role that a transport can have: it tells everything that arrives to the application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from sansproto.contract import Instant, Path
from sansproto.events import Closed
from sansproto.overte.endpoint import OverteEndpoint
from sansproto.overte.header import Head, decode_datagram
from sansproto.overte.limits import TransportDelays, TransportLimits
from sansproto.overte.parts import Arrival
from sansproto.overte.remote import SOCKET
from sansproto.overte.versions import DEFAULT, PacketType
from sansproto.testing.entropy import ScriptedEntropy


@attrs.frozen
class Got:
    type: PacketType
    payload: bytes
    source: int | None = None


@attrs.frozen
class Undelivered:
    host: str
    count: int


@attrs.define
class Friend:
    """Somebody whose sourced packets are taken, and who may have a channel."""

    local_id: int
    host: str
    secret: bytes = b""
    heard: Instant = 0.0


class Talker(OverteEndpoint[Got | Undelivered | Closed, TransportDelays, TransportLimits]):
    friends: dict[int, Friend]
    with_macs: bool

    def __init__(self, *, friends: tuple[Friend, ...] = (), **options: Any) -> None:
        usual = {"entropy": ScriptedEntropy(), "delays": TransportDelays(), "limits": TransportLimits(), "trace": None}
        super().__init__(**{"wall_epoch": 1.7e9, "versions": DEFAULT, **usual, **options})
        self.friends = {friend.local_id: attrs.evolve(friend) for friend in friends}
        self.with_macs = True

    def do(self, now: float, what: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """A verb of it."""
        self.advance(now)
        done = what(*arguments, **options)
        self.run()
        return done

    def say(self, path: Path, payload: bytes, now: float, **options: Any) -> bool:
        return self.do(now, self.send_reliable, path, (PacketType.DOMAIN_SETTINGS_REQUEST, payload), **options)

    def tell(self, path: Path, payload: bytes, now: float, **options: Any) -> bool:
        kind = options.pop("type", PacketType.DOMAIN_SETTINGS)
        return self.do(now, self.send_message, path, kind, payload, **options)

    def accepts_channel(self, path: Path) -> bool:
        return any(friend.host == path.host for friend in self.friends.values())

    def source_of(self, local_id: int, path: Path) -> Friend | None:
        return self.friends.get(local_id)

    def authenticates(self) -> bool:
        return self.with_macs

    def arrived(self, arrival: Arrival) -> None:
        self.emit(Got(arrival.header.type, arrival.payload, arrival.header.source))

    def undelivered(self, path: Path, count: int) -> None:
        self.emit(Undelivered(path.host, count))


def to(host: str, port: int = 4000) -> Path:
    return Path(SOCKET, host, port)


def sent(talker: Talker) -> list[tuple[Head, bytes]]:
    return [decode_datagram(transmit.data) for transmit in iter(talker.next_transmit, None)]


def got(talker: Talker) -> list[bytes]:
    return [event.payload for event in iter(talker.next_event, None) if isinstance(event, Got)]
