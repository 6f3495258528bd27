"""Where a client looks for its domain: every address of a name gets its turn.

docs/protocols/overte.rst, finding the domain.
"""

from __future__ import annotations

from typing import Annotated

from ..component import Part
from ..contract import Address, Lookup, Path
from ..snapshot import CACHED
from .parts import ClientHost
from .remote import in_turn, turned
from .rendezvous import IceTarget


class Ways(Part[ClientHost]):
    """The ways to the domain; where it is found by an ice-server, those to that one, and the way that this one told."""

    domain: Path | None
    """Where it is, or is looked for."""
    known: tuple[Path, ...]
    """Those to its name: one after the other is tried."""
    is_answered: bool
    """It spoke from where it is looked for: others are not tried."""
    target: Annotated[IceTarget, CACHED]
    by_ice: Annotated[bool, CACHED]

    def __init__(self, host: ClientHost, target: IceTarget, *, by_ice: bool) -> None:
        super().__init__(host)
        self.target, self.by_ice = target, by_ice
        self.domain, self.known, self.is_answered = None, (), False

    def look_up(self, query: int) -> None:
        self.host.ask_transport(Lookup(query, self.target.host, self.target.port))

    def found(self, addresses: tuple[Address, ...]) -> tuple[Path, ...]:
        return in_turn(addresses, self.host.local)

    def has(self, path: Path) -> bool:
        """Does the domain speak from there? As long as it has not spoken, it may from each of its addresses."""
        return path == self.domain or (path in self.known and not self.is_answered and not self.by_ice)

    def take_in(self, known: tuple[Path, ...]) -> None:
        """The name leads there now. Where the domain spoke, it is still looked for."""
        self.known = known
        if not self.by_ice and not self.is_answered and self.domain not in known:
            self.go(known[0])

    def turn(self) -> None:
        """Try the next one, unless this one answered."""
        if self.domain is not None and not self.by_ice and not self.is_answered:
            self.go(turned(self.known, self.domain))

    def settle(self, path: Path) -> None:
        """The domain spoke from there."""
        self.is_answered = True
        self.go(path)

    def lose(self) -> None:
        """It is silent: it may be somewhere else."""
        self.is_answered = False

    def go(self, path: Path | None) -> None:
        before, self.domain = self.domain, path
        if before is not None and before != path:
            self.host.forget_channel(before)
