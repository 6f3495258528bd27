"""The smallest role that a transport can have: it tells everything that arrives to the application."""

from __future__ import annotations

from typing import Annotated, Any

import attrs

from sansproto.contract import Instant, Path, SendDatagram
from sansproto.events import CloseCause, Closed
from sansproto.overte.endpoint import OverteEndpoint
from sansproto.overte.header import Head, Header, decode_datagram
from sansproto.overte.limits import TransportDelays, TransportLimits
from sansproto.overte.parts import Arrival
from sansproto.overte.remote import SOCKET
from sansproto.overte.versions import DEFAULT, PacketType, VersionTable
from sansproto.snapshot import CACHED
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
    unverified: Annotated[frozenset[PacketType], CACHED]
    others: Annotated[frozenset[PacketType], CACHED]

    def __init__(
        self,
        *,
        friends: tuple[Friend, ...] = (),
        entropy: Any = None,
        limits: TransportLimits | None = None,
        delays: TransportDelays | None = None,
        versions: VersionTable = DEFAULT,
        trace: Any = None,
    ) -> None:
        super().__init__(
            entropy=entropy or ScriptedEntropy(),
            wall_epoch=1.7e9,
            versions=versions,
            delays=delays or TransportDelays(),
            limits=limits or TransportLimits(),
            trace=trace,
        )
        self.friends = {friend.local_id: attrs.evolve(friend) for friend in friends}
        self.with_macs = True
        self.unverified = frozenset()
        self.others = frozenset()

    def close(self, now: float) -> None:
        if self.alive(now):
            self.end(Closed(CloseCause.LOCAL))

    # -- verbs

    def say(self, path: Path, payload: bytes, now: float, **options: Any) -> bool:
        self.advance(now)
        done = self.send_reliable(path, (PacketType.DOMAIN_SETTINGS_REQUEST, payload), **options)
        self.run()
        return done

    def tell(self, path: Path, payload: bytes, now: float, **options: Any) -> bool:
        self.advance(now)
        done = self.send_message(path, options.pop("type", PacketType.DOMAIN_SETTINGS), payload, **options)
        self.run()
        return done

    def forget(self, path: Path, now: float) -> None:
        self.advance(now)
        self.forget_channel(path)
        self.run()

    # -- hooks

    def accepts_channel(self, path: Path) -> bool:
        return any(friend.host == path.host for friend in self.friends.values())

    def source_of(self, local_id: int, path: Path) -> Friend | None:
        return self.friends.get(local_id)

    def authenticates(self) -> bool:
        return self.with_macs

    def accepts_unverified(self, header: Header, path: Path, peer: Any) -> bool:
        return header.type in self.unverified

    def accepts_version(self, header: Header) -> bool:
        return header.type in self.others

    def decode(self, data: bytes, path: Path) -> tuple[Head, bytes] | None:
        return None if data.startswith(b"STUN") else super().decode(data, path)

    def arrived(self, arrival: Arrival) -> None:
        self.emit(Got(arrival.header.type, arrival.payload, arrival.header.source))

    def undelivered(self, path: Path, count: int) -> None:
        self.emit(Undelivered(path.host, count))


def to(host: str, port: int = 4000) -> Path:
    return Path(SOCKET, host, port)


def sent(talker: Talker) -> list[tuple[Head, bytes]]:
    """What waits to be sent, decoded."""
    found = []
    while (transmit := talker.next_transmit()) is not None:
        assert isinstance(transmit, SendDatagram)
        found.append(decode_datagram(transmit.data))
    return found


def got(talker: Talker) -> list[bytes]:
    """The payloads that have arrived."""
    found = []
    while (event := talker.next_event()) is not None:
        found += [event.payload] if isinstance(event, Got) else []
    return found
