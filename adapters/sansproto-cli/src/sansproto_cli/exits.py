"""How the command ends: a code for scripts, one line for people."""

from __future__ import annotations

from enum import IntEnum

import attrs


class Exit(IntEnum):
    """The exit codes; README.md tells of each what to do."""

    DONE = 0
    BUG = 1  # an error that nobody foresaw
    USAGE = 2
    NOBODY = 3
    WRONG_PASSWORD = 4
    REFUSED = 5
    RELAY = 6
    CUT = 7  # the transfer began and was not completed
    DAMAGED = 8  # what arrived is not what may arrive: changed data, a bad name, a file that is too large
    FILES = 9  # a file of ours cannot be read or written, or changed while it was sent
    SENDER_FAILED = 10  # the sender gave up, and said so
    INTERRUPTED = 130
    TERMINATED = 143


@attrs.define(eq=False)
class CommandFailed(Exception):
    """An end that was foreseen. ``message`` is one line: what happened and what to do. ``told`` is what the other end
    hears of it instead, where the message holds a path of this computer."""

    code: Exit
    message: str
    told: str = ""


class DiskFull(CommandFailed):
    """There is no room for what arrives."""


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM, raised only where nothing is half done. ``message`` is one line, as of CommandFailed."""

    def __init__(self, code: Exit, message: str = "Interrupted: start again.") -> None:
        self.code, self.message = code, message
        super().__init__(code)
