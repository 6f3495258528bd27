"""What a file may be called here that somebody else has named. docs/protocols/bob.rst, names."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterator
from itertools import count

from sansproto.bob import PackError, PackFault, safe_name

from .exits import CommandFailed, Exit
from .shown import shown_name

_MAX_NAME = 255  # bytes
_ON_WINDOWS = sys.platform == "win32"
_NOT_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]+$')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9\u00b9\u00b2\u00b3]) *(\..*)?", re.IGNORECASE)
_EXTENSION = re.compile(r"(\.tar)?\.[A-Za-z0-9]{1,16}$")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._ ()+,=@~-]")


def candidates(name: str) -> Iterator[str]:
    """The name; without what Windows and its file systems refuse; in plain letters; and one that is made up."""
    if not _ON_WINDOWS:
        yield shortened(visible_name(name))
    portable = visible_name(for_windows(name))
    yield shortened(portable)
    yield shortened(_NOT_PLAIN.sub("_", portable))
    yield f"received-{secrets.token_hex(4)}"


def is_too_long(name: str) -> bool:
    """For file systems."""
    return len(os.fsencode(name)) > _MAX_NAME


def numbered(name: str, first: int = 1) -> Iterator[str]:
    """The name, and ``name (1).txt`` and so on from this number."""
    yield name
    for number in count(first):
        yield shortened(name, f" ({number})")


def visible_name(name: str) -> str:
    """A name that no listing hides and no program looks for by itself: ``_profile`` for ``.profile``."""
    return "_" + name[1:] if name.startswith(".") else name


def for_windows(name: str) -> str:
    """What Windows can store, and takes for nothing but the name of a file."""
    name = _NOT_ON_WINDOWS.sub("_", name)
    return f"_{name}" if _DEVICES.fullmatch(name) else name


def shortened(name: str, ending: str = "") -> str:
    """With this ending of its stem, cut to what file systems take. The extension stays."""
    stem, extension = split_name(name)
    end = f"{ending}{extension}"
    raw, most = os.fsencode(stem), _MAX_NAME - len(os.fsencode(end))
    return (stem if len(raw) <= most else raw[:most].decode(errors="ignore")) + end


def split_name(name: str) -> tuple[str, str]:
    """The stem, and the extension: of ``doc.tar.gz`` that is ``.tar.gz``."""
    found = _EXTENSION.search(name, 1)
    return (name[: found.start()], found[0]) if found else (name, "")


def check_sendable(name: str) -> None:
    """Raise :class:`CommandFailed` for a name that no receiver of ours takes. Every other one is sent as it is."""
    try:
        safe_name(name.encode(errors="surrogatepass"))
    except PackError as error:
        what = "is not UTF-8, or has control characters"
        if error.fault is PackFault.LONG_NAME:
            what = "is too long"
        elif name.rpartition("/")[2] in ("", ".", ".."):
            what = "is none that a file can have"
        text = f"The name {shown_name(name[:100])} {what}: rename it, or give another with --name."
        raise CommandFailed(Exit.DAMAGED, text) from error
