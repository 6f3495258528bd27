"""Tokens in challenges, made and judged without memory of who got them. docs/protocols/recovery.rst, R5 freshness."""

from __future__ import annotations

from hmac import compare_digest
from typing import Annotated, Final

from ..component import Part
from ..contract import Instant
from ..snapshot import CACHED
from .host import RecoveryHost
from .items import Route
from .limits import RecoveryConfig

_SIZE: Final = 24
_TIME: Final = 8
_SPAN: Final = 1 << 64


class Tokens(Part[RecoveryHost]):
    """A token says that somebody gets packets at a route, and when that was: 8 bytes of time, 16 that nobody forges."""

    secret: bytes
    previous: bytes
    """Empty: there was none, or it was forgotten."""
    made: Instant
    drawn: int
    """Secrets that were drawn after the first one."""
    offset: int
    """What is added to our clock, so that it does not tell how long we run."""
    config: Annotated[RecoveryConfig, CACHED]
    lasts: Annotated[float, CACHED]
    """How long a secret is used."""

    def __init__(self, host: RecoveryHost, config: RecoveryConfig) -> None:
        super().__init__(host)
        self.config, self.lasts = config, 4 * max(config.direct.token, config.relay.token)
        self.secret, self.previous, self.made = host.draw(32, "recovery.token_secret"), b"", host.clock
        self.drawn = 0
        self.offset = int.from_bytes(host.draw(6, "recovery.token_offset"), "little")

    def issue(self, route: Route) -> bytes:
        """A token for who gets packets at this route now."""
        if self.host.clock - self.made > self.lasts:
            self._draw(self.secret)
        time = (self._now() % _SPAN).to_bytes(_TIME, "little")
        return time + self.host.token_mac(self.secret, time, route)

    def is_good(self, token: bytes, route: Route) -> bool:
        """Did we make it for this route, and not too long ago?"""
        time, mac = token[:_TIME], token[_TIME:]
        life = (self.config.relay if route.relayed else self.config.direct).token
        age = (self._now() - int.from_bytes(time, "little")) % _SPAN
        if len(token) != _SIZE or age > int(life * 1000):
            return False
        secrets = [secret for secret in (self.secret, self.previous) if secret]
        return sum(compare_digest(mac, self.host.token_mac(secret, time, route)) for secret in secrets) > 0

    def renew(self) -> None:
        """Let no token be good that was made up to now: nobody knows how old they are."""
        self._draw(b"")

    def _draw(self, previous: bytes) -> None:
        self.drawn += 1
        self.previous, self.secret = previous, self.host.draw(32, f"recovery.token_secret.{self.drawn}")
        self.made = self.host.clock

    def _now(self) -> int:
        return int(self.host.clock * 1000) + self.offset
