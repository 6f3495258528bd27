"""Hypothesis profiles: ``default`` repeats itself; ``soak`` (SANSPROTO_SOAK=1, or a number of examples) searches on."""

import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
_soak = int(os.environ.get("SANSPROTO_SOAK") or 0)
settings.register_profile("default", _COMMON, max_examples=60, derandomize=True)
settings.register_profile("soak", _COMMON, max_examples=_soak if _soak > 1 else 500, print_blob=True)
settings.load_profile("soak" if _soak else "default")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell: commands that we start inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@given(st.none())
def _hypothesis_begins(nothing: None) -> None:
    pass


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was made up to here stays: collecting it again and again is a sixth of the time of all tests.

    Hypothesis makes its random source at its first test, and asks the collector whether anything refers to it. From
    Python 3.14 on its owner would be among what is frozen, which the collector does not look at: so it is made before.
    """
    _hypothesis_begins()
    gc.collect()
    gc.freeze()
