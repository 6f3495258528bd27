"""How Sphinx builds these pages: ``make docs``.

A link between pages that leads nowhere fails the build. ``make links`` follows the links out of all documents.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "sansproto"
author = "the sansproto authors"
copyright = "2026, the sansproto authors"
release = re.findall(r'__version__ = "(.*)"', (ROOT / "sansproto" / "__init__.py").read_text("utf-8"))[0]

extensions = ["sphinx.ext.autodoc"]
autodoc_default_options = {"members": True, "imported-members": True, "member-order": "bysource"}
autodoc_class_signature = "separated"
suppress_warnings = ["ref.python"]  # a field that is called "type" is another target for the type of that name
exclude_patterns = ["_build", "**/*.inc", "howto/echo/*"]  # the example of howto/protocol, which shows its files
html_theme = "furo"
html_title = f"{project} {release}"


def _is_elsewhere(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """A package has what its own modules define; what it takes from others is described there."""
    package = app.env.current_document.autodoc_module if what == "module" else ""
    return None if f"{getattr(obj, '__module__', package)}.".startswith(f"{package}") else True


def setup(app: Sphinx) -> None:
    app.connect("autodoc-skip-member", _is_elsewhere)
