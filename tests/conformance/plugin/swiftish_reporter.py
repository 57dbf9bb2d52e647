"""A pytest plugin: one line of JSON for each thing that pytest says of a test.

Runs inside Swift's own test run, so it imports nothing of this project.  The lines go to the file
descriptor that SWIFTISH_REPORT_FD names; tests/conformance/suite.py reads the other end.
"""

from __future__ import annotations

import json
import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    _say({"collected": [item.nodeid for item in items]})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.outcome == "skipped":
        longrepr = report.longrepr
        message = str(longrepr[2]) if isinstance(longrepr, tuple) else report.longreprtext
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = str(crash.message) if crash else report.longreprtext
    _say({"id": report.nodeid, "when": report.when, "outcome": report.outcome, "message": message})


def _say(what: dict[str, object]) -> None:
    os.write(int(os.environ["SWIFTISH_REPORT_FD"]), (json.dumps(what) + "\n").encode())
