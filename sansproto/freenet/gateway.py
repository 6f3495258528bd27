"""A gateway: whoever knows its key may come. docs/protocols/freenet.rst, roles."""

from __future__ import annotations

from ..contract import Path
from .endpoint import FreenetEndpoint


class FreenetGateway(FreenetEndpoint):
    """Waits at a known address. Every peer that knows its public key gets a session. It calls nobody.

    ``private_key`` is its static X25519 key, 32 bytes. ``version`` is the version that it announces.

    Verbs: ``send``, ``end_session``, ``close``. Queries: ``public_key``, ``sessions``, ``undelivered``.
    """

    def is_welcome(self, path: Path) -> bool:
        return True
