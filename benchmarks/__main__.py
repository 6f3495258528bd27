"""``python -m benchmarks [name ...]``: all of them, or some. The exit code is 1 if a target was missed."""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = ("channel", "egtp", "freenet", "hostile", "overte", "pake", "relay", "tox", "tox_paths", "transfer")


def main(names: list[str]) -> int:
    missed = 0
    for name in names or NAMES:
        for line in import_module(f"benchmarks.{name}").run():
            print(line, flush=True)
            missed += not line.reached
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
