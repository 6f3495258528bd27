"""What is wrong with a command line, without a word of it: any of them may be a password in the wrong place."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from cyclopts import (
    Argument,
    CoercionError,
    CombinedShortOptionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from .exits import CommandFailed, Exit

_KINDS: dict[object, str] = {int: "a whole number", float: "a number", bool: "yes or no"}
_BOUND = re.compile(r"Must be [<>]=? -?\d+\.")  # what our validators say


def usage_failure(error: CycloptsError, arguments: Sequence[str]) -> CommandFailed:
    """The failure that tells of this error. It names options as they were declared, and counts words."""
    command = " ".join(["sansproto", *(error.command_chain or ())])
    return CommandFailed(Exit.USAGE, f"{_text(error, arguments)} See {command} --help.")


def too_many_words(words: Sequence[str], arguments: Sequence[str]) -> CommandFailed:
    """The failure that tells of the first of these."""
    text = f"{_place(words, arguments)} is more than this command takes: leave it out. See sansproto --help."
    return CommandFailed(Exit.USAGE, text)


def bug_report(error: BaseException) -> str:
    """Where it happened, in lines; not what was said about it, in which there may be values."""
    lines: list[str] = []
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in reversed(chain):
        frames = traceback.extract_tb(link.__traceback__)
        lines += [f"  {Path(frame.filename).name}, line {frame.lineno}, in {frame.name}" for frame in frames]
        lines.append(type(link).__name__)
    return "\n".join(lines)


def _text(error: CycloptsError, arguments: Sequence[str]) -> str:
    name = _name(error.argument)
    match error:
        case UnknownCommandError(app=app):
            names = [] if app is None else [one for one in app if not one.startswith("-")]
            choice = f": choose among {', '.join(names)}" if names else ""
            return f"{_place(error.unused_tokens, arguments)} is not a command{choice}."
        case UnknownOptionError(token=token, argument_collection=known):
            word = token.keyword or token.value
            near = get_close_matches(word.partition("=")[0], [name for one in known for name in one.names], 1, 0.75)
            meant = f" Did you mean {near[0]}?" if near else ""  # a name of ours: what was typed is not repeated
            return f"{_place([word], arguments)} is not an option of this command.{meant}"
        case UnusedCliTokensError():
            return f"{_place(error.unused_tokens, arguments)} is more than this command takes: leave it out."
        case CombinedShortOptionError():
            return "Short options that take a value cannot stand together: write them one by one."
        case MissingArgumentError() if name:
            return f"{name} is missing, or has no value: give it."
        case RepeatArgumentError(token=token):
            return f"{_place([token.keyword or token.value], arguments)} gives an option again: give it once."
        case ValidationError(exception_message=said) if name:
            return f"{name} is out of bounds.{f' {said}' if _BOUND.fullmatch(said) else ''}"
        case CoercionError(target_type=kind) if name:
            if kind is bool:
                return f"{name} takes no value: leave it out."
            return f"{name} needs {_KINDS.get(kind, 'another value')}."
    return f"{name or 'The command line'} cannot be understood."


def _name(argument: Argument | None) -> str:
    if argument is None:
        return ""
    return next((name for name in argument.names if name.startswith("--")), argument.name.lstrip("-").upper())


def _place(words: Sequence[str] | None, arguments: Sequence[str]) -> str:
    """Which word of the command line is the first of these, the last of which stand at its end."""
    if words:
        word = words[0]
        found = [at for at, one in enumerate(arguments, 1) if one == word or one.startswith(f"{word}=")]
        if found:
            return f"Word {found[-min(words.count(word), len(found))]} behind sansproto"
    return "A word"
