"""``make links``: whether the addresses in the documents are there. It needs the network, so CI does not run it.

Links between the documents need no network: ``make docs`` refuses those of the pages that lead nowhere, and
``tests/test_readme.py`` those of the other documents.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("*.rst"), *ROOT.glob("[adv]*/**/*.md"), *ROOT.glob("docs/**/*.rst")]
LINK = re.compile(r"https?://[\w.-]+\.[a-z]{2,}[\w/.#-]*")


def fault_of(link: str) -> str:
    """Why a link cannot be followed; empty if it can."""
    try:
        with urlopen(Request(link, headers={"User-Agent": "sansproto"}), timeout=30):
            return ""
    except OSError as error:
        return str(error)


def main() -> int:
    links = {link.rstrip(".") for path in DOCUMENTS for link in LINK.findall(path.read_text("utf-8"))}
    faults = {link: fault_of(link) for link in sorted(links)}
    sys.stdout.writelines(f"{link}: {fault or 'found'}\n" for link, fault in faults.items())
    return int(any(faults.values()))


if __name__ == "__main__":
    raise SystemExit(main())
