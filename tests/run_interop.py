"""Run the tests that need somebody else's program, and say loudly which of them could not run.

Fails if one of them fails, and if there are none. That a program is missing is no failure: real peers come in few
packages.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


class Banner:
    """Collects what was skipped, by reason, and what was measured."""

    def __init__(self) -> None:
        self.ran = 0
        self.measured: list[str] = []
        self.skipped: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._note(report)
        elif report.when == "call":
            self.ran += 1
            self.measured += [f"{report.nodeid}: {name}: {value}" for name, value in report.user_properties]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.skipped.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)

    def text(self) -> str:
        lines = [f"INTEROP: {self.ran} tests ran against real peers", *self.measured]
        for reason, tests in self.skipped.items():
            lines += [f"NOT RUN: {reason}", *(f"    {test}" for test in tests)]
        if not self.ran and not self.skipped:
            lines.append("NOT RUN: there is no interop test at all")
        line = "#" * 100
        return "\n".join([line, *(f"# {text}" for text in lines), line])


def main() -> int:
    banner = Banner()
    tests = Path(__file__).parent
    status = pytest.main(["-m", "interop", "-q", "--rootdir", str(tests.parent), str(tests)], plugins=[banner])
    print(banner.text())
    return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED and banner.skipped else int(status)


if __name__ == "__main__":
    sys.exit(main())
