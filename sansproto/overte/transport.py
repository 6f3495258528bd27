"""Names of roles that have not moved."""

from .channels import SOCKET as SOCKET
from .endpoint import OverteEndpoint as Transport
from .reception import Peer as Peer

__all__ = ["SOCKET", "Peer", "Transport"]
