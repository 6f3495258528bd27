"""How Sphinx builds these pages: ``make docs``.

A link between pages that leads nowhere fails the build. ``make links`` follows the links out of all documents.
"""

import re
from importlib import import_module
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

from sansproto.session import Session
from sansproto.testing._internal.verbs import said_of

ROOT = Path(__file__).resolve().parents[1]

project = "sansproto"
author = "the sansproto authors"
copyright = "2026, the sansproto authors"
release = re.findall(r'__version__ = "(.*)"', (ROOT / "sansproto" / "__init__.py").read_text("utf-8"))[0]

extensions = ["sphinx.ext.autodoc"]
autodoc_default_options = {"members": True, "imported-members": True, "member-order": "bysource"}
autodoc_default_options["inherited-members"] = "object"  # of which few are kept: see below
autodoc_class_signature = "separated"
suppress_warnings = ["ref.python"]  # a field that is called "type" is another target for the type of that name
exclude_patterns = ["_build", "**/*.inc", "howto/echo/*"]  # the example of howto/protocol, which shows its files
html_theme = "furo"
html_title = f"{project} {release}"


def _is_left_out(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """A package has what its own modules define; what it takes from others is described there. A session has its verbs
    and queries, wherever they are defined, and any other class what it defines itself."""
    package = app.env.current_document.autodoc_module
    if what == "module":
        return None if f"{getattr(obj, '__module__', package)}.".startswith(f"{package}.") else True
    cls = getattr(import_module(package), app.env.current_document.autodoc_class)
    if not isinstance(cls, type):
        return None
    if issubclass(cls, Session) and (said := said_of(cls))[0]:
        return not any(name in names for names in (["__init__"], *said))
    attributes = ModuleAnalyzer.for_module(cls.__module__).find_attr_docs()
    return None if name in vars(cls) or (cls.__qualname__, name) in attributes else True


def _link_verbs(app: Sphinx, what: str, name: str, obj: type, options: object, lines: list[str]) -> None:
    """The verbs and queries that a docstring names become links."""
    if what == "class" and said_of(obj)[0]:
        for number in range(max(at for at, line in enumerate(lines) if line.startswith("Verbs: ")), len(lines)):
            lines[number] = re.sub(r"``(\w+)``", rf":obj:`~{name}.\1`", lines[number])


def setup(app: Sphinx) -> None:
    app.connect("autodoc-skip-member", _is_left_out)
    app.connect("autodoc-process-docstring", _link_verbs)
