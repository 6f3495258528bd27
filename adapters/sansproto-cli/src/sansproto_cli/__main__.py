"""``python -m sansproto_cli`` is ``sansproto``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any


def main() -> None:
    """The entry point. While the rest is imported nothing is open yet: there Ctrl-C just ends it, without a trace."""
    open_standard_streams()
    sys.excepthook, sys.unraisablehook = _show_exception, _show_unraisable
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not where it is ignored, as in the background of a script
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from .app import main as run

    signal.signal(signal.SIGINT, usual)
    run()


def _show_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C may come between any two lines, also before the command begins and after it has ended: no traceback."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


def _show_unraisable(unraisable: Any) -> None:
    """The same in a destructor, or while the interpreter waits for threads at its end."""
    if unraisable.exc_type is not KeyboardInterrupt and unraisable.exc_type.__name__ != "Interrupted":
        sys.__unraisablehook__(unraisable)


def open_standard_streams() -> None:
    """Nothing else of ours may have the number of a standard stream that is closed, or it would be read and written."""
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):  # what is written to the output has to fail
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, mode)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


if __name__ == "__main__":
    main()
