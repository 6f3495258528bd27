"""``python -m sansproto_cli`` is ``sansproto``."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """The entry point. While the rest is imported nothing is open yet: there Ctrl-C just ends it, without a trace."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not where it is ignored, as in the background of a script
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from .app import main as run

    signal.signal(signal.SIGINT, usual)
    run()


if __name__ == "__main__":
    main()
