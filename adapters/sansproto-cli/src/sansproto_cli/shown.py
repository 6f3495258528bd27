"""Text of somebody else, as it is shown: nothing in it moves a cursor, hides, or passes for something of ours."""

from __future__ import annotations

import re
import unicodedata

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_EMOJI = (range(0x1F000, 0x1FC00), range(0x2190, 0x2C00), range(0x3030, 0x303E), range(0x3297, 0x329A))
_EMOJI_PLANE = range(0x1F000, 0x1FC00)  # also what the tables of this Python do not know yet
_FLAG, _TAGS, _TAGS_END = "\U0001f3f4", range(0xE0020, 0xE007F), "\U000e007f"
_SELECTORS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
# Scripts in which a joiner changes how letters look: Arabic and its kin, those of India and around, Mongolian.
_JOINED = (
    *(range(0x0600, 0x0900), range(0x0900, 0x0E00), range(0x0E80, 0x1100), range(0x1780, 0x18B0)),
    *(range(0x1B00, 0x1C50), range(0xA800, 0xAAE0), range(0xABC0, 0xAC00), range(0xFB50, 0xFE00)),
    *(range(0xFE70, 0xFEFF), range(0x10A00, 0x10B00), range(0x11000, 0x12000)),
)
# Letters and marks that look like nothing, or like a space: Hangul fillers, an empty pattern of Braille, Khmer vowels.
_BLANK = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_OF_OURS = re.compile(r"\[\W*y\W*/\W*n|\?\s|\) (from|in)\b|\s\s|^\s|\s$|^['\"]|^(sansproto|password)\b", re.IGNORECASE)


def printable(text: str) -> str:
    """On one line, with a replacement for each character that would not be seen as what it is."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_hidden(text, at) else char for at, char in enumerate(text))


def shown_name(name: str) -> str:
    """A name as it is, or in quotes and with escapes, if something in it hides or looks like words of ours, or if
    there is nothing to be seen."""
    hidden = {at for at in range(len(name)) if _is_hidden(name, at)}
    if name and not hidden and not _OF_OURS.search(unicodedata.normalize("NFKC", name)):
        return name
    inside = "".join(_escaped(char) if at in hidden or char in "\\'" else char for at, char in enumerate(name))
    return f"'{inside}'"


def _escaped(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _is_hidden(text: str, at: int) -> bool:
    char = text[at]
    if char in (_ZWJ, _ZWNJ):
        return not _joins(text, at)
    if ord(char) in _TAGS or char == _TAGS_END:
        return not _is_in_flag(text, at)
    if _is_selector(char):
        return at == 0 or _is_selector(text[at - 1])
    return char in _BLANK or not (char.isprintable() or ord(char) in _EMOJI_PLANE)


def _joins(text: str, at: int) -> bool:
    """Does this joiner stand within an emoji, or in a word that needs it?"""
    before, after = text[:at].rstrip("\ufe0f"), text[at + 1 : at + 2]
    if not before or not after:
        return False
    if text[at] == _ZWJ and _is_emoji(before[-1]) and _is_emoji(after):
        return True
    return _is_in(_JOINED, before[-1]) and (_is_in(_JOINED, after) or (text[at] == _ZWJ and after in " .-_"))


def _is_emoji(char: str) -> bool:
    return _is_in(_EMOJI, char)


def _is_selector(char: str) -> bool:
    return _is_in(_SELECTORS, char)


def _is_in(ranges: tuple[range, ...], char: str) -> bool:
    return any(ord(char) in some for some in ranges)


def _is_in_flag(text: str, at: int) -> bool:
    """The flag of a part of a country is a black flag, some tags, and their end."""
    start = text.rfind(_FLAG, 0, at)
    tags = text[start + 1 : at]
    return start >= 0 and len(tags) <= 6 and all(ord(tag) in _TAGS for tag in tags)
