"""What the sender tells of a file beside its name and size. docs/protocols/bob.rst, metadata."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .files import Preserved
from .shown import shown_name

KINDS = ("file", "folder", "files", "text")
_FAR = 1 << 40  # seconds before and after 1970


@attrs.frozen
class About:
    """``kind`` is one of KINDS; what is malformed was not told."""

    kind: str = "file"
    preserved: Preserved = attrs.field(factory=Preserved)
    was_told: bool = False

    def __bool__(self) -> bool:
        return self.was_told

    @property
    def is_archive(self) -> bool:
        return self.kind in ("folder", "files")

    def in_words(self, name: str) -> str:
        """What is sent under this name, as both ends call it."""
        if self.kind == "text":
            return "a text"
        return f"the folder {shown_name(unpacked_name(name))}" if self.is_archive else shown_name(name)

    @classmethod
    def of(cls, members: Mapping[str, object]) -> About:
        """Of what a stranger says."""
        kind = members.get("kind")
        mode = _whole(members.get("mode"), 0, 0o7777)
        seconds, rest = _whole(members.get("mtime"), -_FAR, _FAR), _whole(members.get("mtime_ns"), 0, 999_999_999)
        modified = None if seconds is None else seconds * 1_000_000_000 + (rest or 0)
        return cls(str(kind) if kind in KINDS else "file", Preserved(mode, modified), was_told=True)


def unpacked_name(archive: str) -> str:
    """Of the folder that an archive of this name becomes."""
    return archive.removesuffix(".tar") or archive


def file_members(mode: int, modified: int) -> dict[str, object]:
    """Of a file with this mode, modified so many nanoseconds after 1970."""
    seconds, rest = divmod(modified, 1_000_000_000)
    return {"kind": "file", "mode": mode & 0o777, "mtime": seconds, "mtime_ns": rest}


def _whole(value: object, least: int, most: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if least <= value <= most else None
