"""Bytes in place of random ones: first those of a script, then those that follow from a seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import shake_256

import attrs


@attrs.frozen
class Draw:
    """Random bytes that a session asked for."""

    purpose: str
    data: bytes


class ScriptedEntropy:
    """An :class:`~sansproto.contract.Entropy` for tests.

    The draws of a purpose are answered from its script, in order. What the script does not hold follows from the seed,
    the purpose and the number of the draw among those of its purpose, so that two purposes never disturb each other.
    With ``stateless=True`` the answer follows from the seed and the purpose alone, the first scripted draw answers
    every time, and nothing is recorded: states that were reached on different ways then draw the same.

    Raises ValueError if a scripted draw has another size than is asked for.
    """

    def __init__(
        self, script: Mapping[str, Sequence[bytes]] | None = None, seed: bytes = b"", *, stateless: bool = False
    ) -> None:
        self.draws: list[Draw] = []
        self._script = {purpose: deque(answers) for purpose, answers in (script or {}).items()}
        self._seed = seed
        self._stateless = stateless
        self._count: dict[str, int] = {}

    def __call__(self, n: int, *, purpose: str) -> bytes:
        scripted = self._script.get(purpose)
        if scripted:
            data = scripted[0] if self._stateless else scripted.popleft()
            if len(data) != n:
                raise ValueError(f"the script has {len(data)} bytes for {purpose}, but {n} are drawn")
        else:
            data = self._derive(n, purpose)
        if not self._stateless:
            self._count[purpose] = self._count.get(purpose, 0) + 1
            self.draws.append(Draw(purpose, data))
        return data

    @property
    def undrawn(self) -> dict[str, tuple[bytes, ...]]:
        """What the script holds and nobody has asked for."""
        return {purpose: tuple(answers) for purpose, answers in self._script.items() if answers}

    def _derive(self, n: int, purpose: str) -> bytes:
        parts = (self._seed, purpose.encode(), str(self._count.get(purpose, 0)).encode())
        return shake_256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest(n)
