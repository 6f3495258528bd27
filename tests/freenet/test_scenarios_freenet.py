"""The scenarios of recovery, with Freenet in its place: each runs, or has a reason why there is nothing to run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
import stories_freenet
import stories_freenet_f

pytestmark = pytest.mark.unmeasured

STORIES: Final = {**stories_freenet.STORIES, **stories_freenet_f.STORIES}
RECOVERY: Final = Path(__file__).parents[1] / "recovery"

RELAY: Final = "no relays: datagrams go straight to an address"
DATES: Final = "nothing on the wire is dated, and no clock is asked"
HINTS: Final = "who does not know a session says nothing: there are neither hints nor reset tokens"
RENEWAL: Final = "a session has its keys for life"
RECORDS: Final = "no session is kept beyond its process"
TOKENS: Final = "nobody asks for proof of an address: there are neither challenges nor tokens"
GOODBYE: Final = "there is no goodbye on the wire: an end is told to the application alone"
FOLLOWING: Final = "a session is found by its address, and followed to no other one"

WITHOUT: Final = {
    "S04": RELAY,
    "S05": RELAY,
    "S14": HINTS,
    "S17": DATES,
    "S18": DATES,
    "S19": DATES,
    "S22": RENEWAL,
    "S34": RELAY,
    "S42": RECORDS,
    "S43": HINTS,
    "S44": HINTS,
    "S46": TOKENS,
    "S47": GOODBYE,
    "S51": TOKENS,
    "S52": DATES,
    "S55": TOKENS,
    "S58": TOKENS,
    "S59": GOODBYE,
    "S60": GOODBYE,
    "S61": GOODBYE,
    "S62": GOODBYE,
    "S64": GOODBYE,
    "S66": GOODBYE,
    "S67": GOODBYE,
    "S68": GOODBYE,
    "S80": FOLLOWING,
    "S81": "no part of it is another program's that may fail",
    "S83": GOODBYE,
    "S84": GOODBYE,
    "S87": TOKENS,
    "S93": RELAY,
    "S94": GOODBYE,
    "S97": RENEWAL,
}
"""What has no meaning on Freenet's wire."""


def test_each_scenario_of_recovery_runs_or_has_a_reason() -> None:
    sources = [path.read_text("utf-8") for path in sorted(RECOVERY.glob("stories_*.py"))]
    told = {name for source in sources for name in re.findall(r'^@story\("(.+)"\)$', source, re.MULTILINE)}
    assert len(told) >= 97
    assert STORIES.keys() | WITHOUT.keys() == told
    assert not STORIES.keys() & WITHOUT.keys()


@pytest.mark.parametrize("story", dict.fromkeys(STORIES.values()), ids=lambda story: story.__name__)
def test_a_scenario_comes_out_as_it_should(story: stories_freenet.Story) -> None:
    story()
