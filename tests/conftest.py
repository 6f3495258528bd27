"""Hypothesis profiles: ``default`` repeats itself; ``soak`` (SANSPROTO_SOAK=1, or a number of examples) searches on.

And in whatever test: what a session of a protocol counts has to stand in the tables of the protocol's page.
"""

import gc
import os
import signal
from collections.abc import Callable, Collection, Generator
from functools import cache, wraps
from typing import Any

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sansproto.session import Session
from sansproto.testing._internal import reasons
from sansproto.testing._internal.protocols import ROOT, protocols

gc.disable()  # up to the end of the collection nothing is garbage: not to look for it saves a quarter of its time

_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
_soak = int(os.environ.get("SANSPROTO_SOAK") or 0)
settings.register_profile("default", _COMMON, max_examples=50, derandomize=True)
settings.register_profile("soak", _COMMON, max_examples=_soak if _soak > 1 else 500, print_blob=True)
settings.load_profile("soak" if _soak else "default")

_measuring = [one for one in [Coverage.current()] if one is not None]


def measure(wanted: bool) -> None:
    """Begin or cease to measure in this process, and in those that it starts."""
    for coverage in _measuring:
        if wanted and "COVERAGE_PROCESS_CONFIG" not in os.environ:
            coverage.start()
        elif not wanted and os.environ.pop("COVERAGE_PROCESS_CONFIG", None):
            coverage.stop()


if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
    measure(False)  # what is executed at imports and in collecting is the same in each worker: one measures it

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell: commands that we start inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than processors: some tests wait most of the time, for other processes and for timers."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test process gets its share in order, and whoever has done its own takes from the ends of the others'.

    One begins with the tests of the command, which mostly wait: meanwhile the others compute. Another begins with what
    takes long, and with law 3 of all sessions, which then have the same processes of their own.
    """
    waiting, long, rest = [], [], []
    for item in items:
        is_long = item.get_closest_marker("slow") is not None or "test_law_03" in item.name
        (waiting if "cli" in item.path.parts else long if is_long else rest).append(item)
    share = len(items) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = max(0, share - len(waiting))
    items[:] = [*waiting, *rest[:first], *long, *rest[first:]]


def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Nothing is measured in a test that is ``unmeasured`` or ``outside``."""
    measure(not {"unmeasured", "outside"} & {mark.name for mark in item.iter_markers()})


@given(st.none())
def _hypothesis_begins(nothing: None) -> None:
    pass


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    try:
        return (yield)
    finally:
        gc.enable()
        measure(False)  # each test that is measured begins again; the process that only hands tests out has none


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was made up to here stays: collecting it again and again is a sixth of the time of all tests.

    Hypothesis makes its random source at its first test, and asks the collector whether anything refers to it. From
    Python 3.14 on its owner would be among what is frozen, which the collector does not look at: so it is made before.
    """
    _hypothesis_begins()
    gc.collect()
    gc.freeze()


PROTOCOLS = protocols()  # once: law 13 counts what is done in calls


@cache
def protocol_of(cls: type) -> str:
    """Empty for the sessions of tests."""
    return next((name for name in PROTOCOLS for one in cls.__mro__ if one.__module__.startswith(f"{ROOT}.{name}.")), "")


def told(count: Callable[..., None], table: Callable[[str], Collection[str]], of: Callable[[Any], str]) -> Any:
    """A method that counts, and says when the page does not tell of the reason."""
    tables = {name: frozenset(table(name)) for name in PROTOCOLS}

    @wraps(count)  # so that its source can be read
    def counts(session: Session[Any], why: Any, *rest: Any, **more: Any) -> None:
        if (protocol := protocol_of(type(session))) and of(why) not in tables[protocol]:
            raise AssertionError(f"{protocol}.rst does not tell of {why!r}")
        count(session, why, *rest, **more)

    return counts


def pytest_configure(config: pytest.Config) -> None:
    """Sessions count only where tests run, which is in none of a process that hands them out."""
    if not config.getoption("numprocesses", None):
        session: Any = Session
        session.drop = told(Session.drop, reasons.dropped, reasons.key)
        session.count_refusal = told(Session.count_refusal, reasons.refused, lambda one: one.reason)
        session.count_note = told(Session.count_note, reasons.noted, lambda one: one.remark)
