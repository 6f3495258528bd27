"""The ice-server: tells clients and domains behind routers about each other. docs/protocols/overte.rst, ice-server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..contract import Entropy, Phase
from ..trace import Trace
from .endpoint import OverteEndpoint
from .ice_directory import HEARTBEAT, QUERY, Directory
from .ice_events import IceServerEvent
from .limits import IceDelays, IceLimits
from .parts import Arrival
from .versions import DEFAULT, PacketType, VersionTable

ICE_PORT: Final = 7337
"""The UDP port of ice-servers by custom."""

_OF_TYPE: Final = {PacketType.ICE_SERVER_HEARTBEAT.value: HEARTBEAT, PacketType.ICE_SERVER_QUERY.value: QUERY}


class IceServer(OverteEndpoint[IceServerEvent, IceDelays, IceLimits]):
    """Knows the addresses of domains. It tells them to clients that ask, and tells the domains about these clients.

    An id belongs to the address that used it first, until that address is silent for 5 s. A domain takes its id from a
    client that has it. At most half of ``limits.peers`` are clients, because queries are not signed. So there is always
    room for domains; a client without a place is answered nevertheless. No answer is longer than the query. The packet
    to the wanted peer goes to the address from which that peer sent.

    ``keys`` are the public keys (SubjectPublicKeyInfo in DER) of domains by id. With None every well-formed heartbeat
    is accepted. Otherwise a heartbeat of an unknown domain causes ``DomainKeyWanted``, and gets no answer before
    :meth:`provide_key`.

    Verbs: ``provide_key``, ``close``.
    """

    directory: Directory

    def __init__(
        self,
        *,
        entropy: Entropy,
        wall_epoch: float,
        keys: Mapping[bytes, bytes] | None = None,
        versions: VersionTable = DEFAULT,
        delays: IceDelays | None = None,
        limits: IceLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        delays, limits = delays or IceDelays(), limits or IceLimits()
        super().__init__(
            entropy=entropy, wall_epoch=wall_epoch, versions=versions, delays=delays, limits=limits, trace=trace
        )
        self.phase = Phase.OPEN
        self.directory = Directory(self, keys, delays, limits)

    # -- verbs

    def provide_key(self, domain_id: bytes, key: bytes | str | None, now: float) -> None:
        """Answer ``DomainKeyWanted``: the domain's public key, as DER or as the base64 text of directory services.

        None means that there is no key: the domain's heartbeats are denied. They are also denied if the key cannot be
        used. A key is kept until ``limits.peers`` newer ones came. Raises NotOpen after the end.
        """
        self.ask("provide_key")
        self.advance(now)
        self.directory.provide_key(domain_id, key)

    # -- what arrives

    def arrived(self, arrival: Arrival) -> None:
        self.give(self.directory, _OF_TYPE.get(arrival.header.type._value_), arrival)
