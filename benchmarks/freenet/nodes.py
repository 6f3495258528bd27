"""A gateway and a joiner, and the shortest way between them."""

from __future__ import annotations

from os import urandom

from benchmarks import nodes
from benchmarks.nodes import AT_B, Entropy
from sansproto.freenet import FreenetGateway, FreenetPeer, MessageReceived


class Pair(nodes.Pair):
    """The joiner is ``a``, the gateway is ``b``."""

    message = MessageReceived

    def __init__(self) -> None:
        self.secret = urandom(32)
        super().__init__(
            FreenetPeer(private_key=urandom(32), entropy=Entropy()),
            FreenetGateway(private_key=self.secret, entropy=Entropy()),
        )

    def meet(self) -> None:
        self.a.connect(self.b.public_key, AT_B, self.now, gateway=True)
        while self.carry():
            pass

    def part(self) -> None:
        self.a.disconnect(AT_B, self.now)
        for session in self.b.sessions:
            self.b.end_session(session, self.now)

    @property
    def is_connected(self) -> bool:
        return bool(self.a.sessions) and bool(self.b.sessions)

    @property
    def is_empty(self) -> bool:
        return not self.a.places and not self.b.places


def connected() -> Pair:
    pair = Pair()
    pair.meet()
    pair.drain()
    return pair
