"""The methods of a session that are for applications: read from its class, and listed at the end of its docstring.

A *verb* takes ``now`` and is not a method of every session, except ``close``. A *query* is whatever else stands among
the verbs of a class, below a comment ``# -- verbs`` or ``# -- queries``, and has a docstring. All other public names
are for adapters (the contract), or for the parts that the session owns.
"""

from __future__ import annotations

import re
from inspect import getdoc, getsource, isfunction, signature
from typing import Any

from ...contract import StreamSession
from ...streams import StreamEndpoint

_BASES = frozenset(name for kind in (*StreamEndpoint.__mro__, StreamSession) for name in vars(kind)) - {"close"}
_SECTION = re.compile(r"^    # -- (?:verbs|queries)\n(.*?)(?=^    # --|\Z)", re.M | re.S)
_SAID = re.compile(r"(?:^|\n\n)Verbs:\s([^.]*)\.(?:\sQueries:\s([^.]*)\.)?$")


def verbs_of(cls: type[Any]) -> frozenset[str]:
    """The verbs of a session class."""
    members = {name: getattr(cls, name) for name in dir(cls) if name[0] != "_" and name not in _BASES}
    return frozenset(name for name, value in members.items() if isfunction(value) and _takes_now(value))


def queries_of(cls: type[Any]) -> frozenset[str]:
    """The queries of a session class."""
    found = set[str]()
    for owner in cls.__mro__:
        if "# -- " in (source := "" if owner is object else getsource(owner)):
            names = re.findall(r"^    def ([a-z]\w*)", "".join(_SECTION.findall(source)), re.M)
            found.update(name for name in names if vars(owner)[name].__doc__)
    return frozenset(found - verbs_of(cls) - _BASES)


def said_of(cls: type[Any]) -> tuple[list[str], list[str]]:
    """The verbs and queries that the docstring of a class names, in that order."""
    said = _SAID.search(getdoc(cls) or "")
    verbs, queries = ("", "") if said is None else said.groups("")
    return re.findall(r"``(\w+)``", verbs), re.findall(r"``(\w+)``", queries)


def call_of(cls: type[Any], name: str) -> str:
    """How a verb or query is written: ``send(peer, data, now)``; the name alone for a property."""
    value = getattr(cls, name)
    if not isfunction(value):
        return name
    written = [
        f"{one.name}=" if one.kind is one.KEYWORD_ONLY else one.name for one in signature(value).parameters.values()
    ]
    return f"{name}({', '.join(written[1:])})"


def _takes_now(function: Any) -> bool:
    return "now" in signature(function).parameters
