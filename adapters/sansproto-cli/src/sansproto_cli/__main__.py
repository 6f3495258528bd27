"""``python -m sansproto_cli`` is ``sansproto``."""

from .app import main

if __name__ == "__main__":
    main()
