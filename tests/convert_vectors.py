"""Turn vectors of other projects into ours: ``python tests/convert_vectors.py egtp FILE OUT``.

``tox`` and ``freenet`` may stand for ``egtp``.

``OUT`` is a file, or a folder in which the file keeps its name. Every test of the file becomes a test. What is not
known here, a group, an operation, a member of a test, is kept, so that it fails where it is checked: nothing is left
out.

With ``egtp-packets``, ``tox-packets``, ``freenet-packets`` or ``overte-payloads`` the packets of the file become tests
of kind ``codec``; with ``overte-packed`` what is packed in payloads becomes tests of kind ``crypto``.
``freenet-captures`` and ``overte-captures`` make tests of kind ``capture`` of one file, or of all of a folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from convert_egtp import egtp, egtp_packets
from convert_freenet import freenet, freenet_packets
from convert_freenet_captures import freenet_captures
from convert_overte_captures import overte_captures
from convert_overte_payloads import overte_packed, overte_payloads
from convert_tox import tox, tox_packets

from sansproto.testing.vectors import write_json

KNOWN: Final[Mapping[str, Callable[[Path], dict[str, Any]]]] = {
    "egtp": egtp,
    "egtp-packets": egtp_packets,
    "freenet": freenet,
    "freenet-packets": freenet_packets,
    "freenet-captures": freenet_captures,
    "overte-captures": overte_captures,
    "overte-packed": overte_packed,
    "overte-payloads": overte_payloads,
    "tox": tox,
    "tox-packets": tox_packets,
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 3 or arguments[0] not in KNOWN:
        print(__doc__, file=sys.stderr)
        return 2
    kind, source, out = arguments[0], Path(arguments[1]), Path(arguments[2])
    if out.suffix != ".json":
        out.mkdir(parents=True, exist_ok=True)
        out = out / source.name
    write_json(out, KNOWN[kind](source))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
