"""How Sphinx builds these pages: ``make docs``."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

project = "sansproto"
author = "the sansproto authors"
copyright = "2026, the sansproto authors"
release = re.findall(r'__version__ = "(.*)"', (ROOT / "sansproto" / "__init__.py").read_text("utf-8"))[0]

extensions: list[str] = []
exclude_patterns = ["_build", "**/*.inc", "howto/echo/*"]  # the example of howto/protocol, which shows its files
html_theme = "furo"
html_title = f"{project} {release}"
