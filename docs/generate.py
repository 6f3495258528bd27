"""Write what the docs and vectors take from the code: byte tables, state tables, diagrams, times and limits.

Run it after a change of packets, tables or limits (``make docs`` does); ``tests/test_docs.py`` compares. The parts are
files of ``docs/protocols/generated``, which the protocol pages include.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

from sansproto.bob import PeerDelays, PeerLimits, RelayDelays, RelayLimits
from sansproto.bob import packets as bob
from sansproto.bob import tables as bob_tables
from sansproto.links import LINK
from sansproto.testing.charts import document, ladder_rst, mermaid, rst_table
from sansproto.testing.tables import AnyTable
from sansproto.testing.vectors import dumps
from sansproto.wire import layout_rst

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ROOT / "docs" / "protocols" / "generated"
MACHINES = ROOT / "vectors" / "machines"

TABLES: dict[str, list[AnyTable]] = {
    "bob": [getattr(bob_tables, name) for name in bob_tables.__all__],
    "links": [LINK],
}
"""The tables of each protocol page."""


def machine(table: AnyTable) -> str:
    """A state diagram (in the language of Mermaid), the rows and the ladders."""
    diagram = "".join(f"   {line}\n" for line in mermaid(table).splitlines())
    idle = "".join(f"- {state.name}: {ends}\n" for state, ends in table.idle.items())
    parts = [
        f"The states of {table.name}, in the language of Mermaid::\n\n{diagram}",
        rst_table(table),
        *([ladder_rst(table)] if table.ladders else []),
        f"States without a timer, and what ends them:\n\n{idle}",
    ]
    return "\n".join(parts)


def packets() -> str:
    """All packets, by their number."""
    parts = [layout_rst(bob.Header)]
    for number, kind in sorted(bob.PACKETS.items()):
        if kind.__wire__.fields:
            parts.append(layout_rst(kind).replace(f":: {kind.__name__}", f":: {number:02x} {kind.__name__}", 1))
        else:
            parts.append(f"{number:02x} {kind.__name__}: no payload\n")
    return "\n".join(parts)


def settings(*kinds: type) -> str:
    """The fields of delays or limits with their defaults, and the comments beside them in the source."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - name", "     - default", "     - meaning"]
    for kind in kinds:
        seen: dict[str, str] = {}
        for owner in reversed(kind.__mro__[:-1]):
            found = re.findall(r"^    (\w+): (?:float|int) = [^#\n]*(?:# (.*))?$", inspect.getsource(owner), re.M)
            seen.update(found)
        for name, meaning in seen.items():
            value = getattr(kind(), name)
            default = f"{value:g} s" if isinstance(value, float) else f"{value:,}"
            lines += [f"   * - ``{name}``", f"     - {default}", f"     - {meaning}".rstrip()]
    return "\n".join(lines) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "bob.packets": packets,
    "bob.public": lambda: layout_rst(bob.PublicParameters),
    "bob.room_packets": lambda: layout_rst(bob.RoomLine) + "\n" + layout_rst(bob.RoomAnswer),
    "bob.record": lambda: layout_rst(bob.Record),
    "bob.peer_delays": lambda: settings(PeerDelays),
    "bob.peer_limits": lambda: settings(PeerLimits),
    "bob.relay_delays": lambda: settings(RelayDelays),
    "bob.relay_limits": lambda: settings(RelayLimits),
}


def files() -> dict[Path, str]:
    """Everything that is generated, by where it belongs."""
    found = {GENERATED / f"{name}.inc": part() for name, part in PARTS.items()}
    for protocol, tables in TABLES.items():
        found.update({GENERATED / f"{table.name}.inc": machine(table) for table in tables})
        found[MACHINES / f"{protocol}.json"] = dumps(document(protocol, tables))
    return found


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    sys.stdout.write(f"{len(files())} files generated\n")


if __name__ == "__main__":
    main()
