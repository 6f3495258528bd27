"""``python -m sansproto_cli`` is ``sansproto``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    """The entry point. While the rest is imported nothing is open yet: there Ctrl-C just ends it, without a trace."""
    open_standard_streams()
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not where it is ignored, as in the background of a script
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from .app import main as run

    signal.signal(signal.SIGINT, usual)
    run()


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


if __name__ == "__main__":
    main()
