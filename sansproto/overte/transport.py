"""Names of roles that have not moved."""

from .endpoint import OverteEndpoint as Transport
from .reception import Peer as Peer
from .remote import SOCKET as SOCKET

__all__ = ["SOCKET", "Peer", "Transport"]
