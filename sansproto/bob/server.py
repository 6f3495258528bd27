"""The server: the peer that sends a file. docs/protocols/bob.rst, the server."""

from __future__ import annotations

from typing import Annotated

from ..contract import Entropy
from ..snapshot import CACHED
from ..trace import Trace
from . import crypto
from . import packets as p
from .events import Role
from .handshake import Handshake
from .host import Heard
from .limits import PeerDelays, PeerLimits
from .peer import Peer
from .way import TO_A_SERVER, PeerInput

_OWN = 0  # the queue's name for our own derivation


class Server(Peer[Handshake]):
    """Registers at a relay, answers clients, and sends to the client that accepts it.

    ``relay`` is (host, port), the host a name or an IP address. ``count`` is the number of rounds of the password
    derivation, 1 to 10**6. Each client has to compute them, too. ``entropy`` is drawn on for a salt of 16 bytes
    (``salt``) and a scalar of 32 bytes per client (``offer.<uid>.y``). With ``client_cipher`` AES_256_GCM the client
    can send as well; the default is what the reference offers. If a client agrees and does not come to the secure room,
    the session ends; with ``comes_back`` the server goes to the relay again instead (docs/protocols/bob.rst, a
    server comes back).

    Verbs: ``connect``, ``send``, ``close``. Queries: ``identity``, ``state``, ``capacity``, ``unsent``.
    """

    role, meanings = Role.SERVER, TO_A_SERVER
    _salt: bytes
    _secret: crypto.ServerSecret | None
    _count: Annotated[int, CACHED]
    _client_cipher: Annotated[p.Cipher, CACHED]

    def __init__(
        self,
        *,
        relay: tuple[str, int],
        secure_port: int,
        password: bytes,
        entropy: Entropy,
        count: int = 16,
        client_cipher: p.Cipher = p.Cipher.CHACHA20_POLY1305,
        comes_back: bool = False,
        limits: PeerLimits | None = None,
        delays: PeerDelays | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(
            relay=relay,
            secure_port=secure_port,
            password=password,
            entropy=entropy,
            limits=limits,
            delays=delays,
            trace=trace,
        )
        if not 1 <= count <= crypto.MAX_ITERATIONS:
            raise ValueError(f"count is not in 1..{crypto.MAX_ITERATIONS}")
        self._salt, self._secret = b"", None
        self._count, self._client_cipher, self.comes_back = count, client_cipher, comes_back

    def make_exchange(self, uid: int) -> Handshake:
        return Handshake(self, uid)

    # -- what the way, handshakes and the queue of derivations ask

    def prepare(self) -> None:
        self._salt = self.draw(16, "salt")
        self.put_in_queue(_OWN, self._salt, self._count)
        self.way.post(PeerInput.PREPARE())

    def meet(self, heard: Heard[p.XAndClientIdentity]) -> None:
        self.exchanges.make(heard.uid).begin(heard.packet)

    def derived(self, uid: int, material: bytes) -> None:
        self._secret = crypto.ServerSecret.from_derived(material)
        self.way.post(PeerInput.START())

    @property
    def secret(self) -> crypto.ServerSecret:
        """What was derived from the password."""
        assert self._secret is not None  # without it nobody says hello
        return self._secret

    @property
    def public(self) -> p.PublicParameters:
        return p.PublicParameters(1, self._count, p.Cipher.AES_256_GCM, self._client_cipher, self._salt)

    def send_hello(self) -> None:
        self.say(p.RELAY, p.HelloAsServer(self.public.encode()))
