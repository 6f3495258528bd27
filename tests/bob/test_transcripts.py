"""Our client, server and relay say in 29 golden conversations what the real ones said, byte by byte."""

from __future__ import annotations

from collections import Counter

import pytest
from transcripts import PLAYED, SKIPPED, TRANSCRIPTS, PeerReplay, RelayReplay

from sansproto.testing.vectors import VectorTest

READS = [(None, False), (1, False), (2, False), (7, True), (33, True), (None, True)]


def test_nothing_else_is_left_out() -> None:
    print(f"{len(PLAYED)} views of {len(TRANSCRIPTS)} transcripts are replayed; left out: {len(SKIPPED)}")
    left_out = Counter((test.group.requires, test["name"], view) for test, view in SKIPPED)
    assert left_out == Counter(
        {
            (("transcript-identities",), "success_reproduce", "S1"): 1,
            (("transcript-identities",), "success_reproduce", "C1"): 1,
            (("other-ciphers",), "success_other_ciphers", "S1"): 1,
            (("other-ciphers",), "success_other_ciphers", "C1"): 1,
        }
    )


@pytest.mark.parametrize(("chunk", "coalesced"), READS)
@pytest.mark.parametrize(("test", "view"), PLAYED, ids=lambda value: value if isinstance(value, str) else value["name"])
def test_the_same_bytes_come_out(test: VectorTest, view: str, chunk: int | None, coalesced: bool) -> None:
    replay = RelayReplay if view == "relay" else PeerReplay
    replay(test, view, chunk, coalesced).run()
