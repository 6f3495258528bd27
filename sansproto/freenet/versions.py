"""Who speaks to whom: docs/protocols/freenet.rst, versions."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import attrs

from .packets import OldVersionField, VersionField

_NEW_FORM: Final = VersionField.mark[0]


@attrs.frozen(order=False)
class Version:
    """The version that a program tells, and the oldest one that it speaks to."""

    number: tuple[int, int, int]
    """Major, minor, patch."""
    minimum: tuple[int, int, int] | None = None
    """The oldest version that it speaks to; None: it does not say."""

    @classmethod
    @lru_cache(64)
    def read(cls, data: bytes) -> Version:
        """Out of the 8 bytes of an intro or an ack, which always say something."""
        if data[0] == _NEW_FORM and data[-1]:
            new = VersionField.decode(data)
            return cls((new.major, new.minor, new.patch), (new.major, new.minor, new.minimum))
        old = OldVersionField.decode(data)
        return cls((old.major, old.minor, old.patch))

    @property
    def wire(self) -> bytes:
        """The 8 bytes. Raises WireError for a number that has none."""
        major, minor, patch = self.number
        if self.minimum is None:
            return OldVersionField(major, minor, patch).encode()
        return VersionField(major, minor, patch, self.minimum[2]).encode()

    def speaks_to(self, other: Version) -> bool:
        """Is each one's version at least what the other one asks for?"""
        return self.suits(other) and other.suits(self)

    def suits(self, other: Version) -> bool:
        """Is it what the other one asks for?"""
        return other.minimum is None or self.number >= other.minimum

    @property
    def takes_version(self) -> bool:
        """Does it understand an AckConnectionV2?"""
        return self.number >= FIRST_WITH_VERSION

    def __str__(self) -> str:
        return ".".join(map(str, self.number))


FIRST_WITH_VERSION: Final = (0, 2, 120)
"""The first version that is answered with an AckConnectionV2."""

OURS: Final = Version((0, 2, 129), (0, 2, 64))
"""What we tell, unless the host wants something else."""
