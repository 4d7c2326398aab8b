"""What happens when the machine lacks something a test needs: say so, and never in silence.

    require("postgresql")                            in a fixture or a test: skips when it is missing
    skip_because("Keycloak: " + reason)              when the caller found out itself

Locally the test is skipped and the end of the run lists what did not run, and why. With CI=true it fails instead, and
any other skipped test makes the run fail too.
"""

import os
from collections import Counter
from typing import NoReturn

import pytest

from tests.prerequisites import PREREQUISITES


def require(name: str) -> None:
    """Go on when a prerequisite is there; else skip the test, or fail it with CI=true."""
    prerequisite = PREREQUISITES[name]
    reason = prerequisite.missing()
    if reason is not None:
        skip_because(f"{prerequisite.title} is missing: {reason}")


def skip_because(reason: str) -> NoReturn:
    """Skip the test, or fail it with CI=true."""
    if in_ci():
        pytest.fail(f"{reason} (with CI=true nothing is skipped)", pytrace=False)
    pytest.skip(reason)


def in_ci() -> bool:
    """Whether this is a run in which nothing may be skipped."""
    return os.environ.get("CI", "").lower() == "true"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was skipped, by reason."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if not reasons:
        return
    terminalreporter.section("not run on this machine")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} {'test' if count == 1 else 'tests'}: {reason}")
    if in_ci():
        terminalreporter.write_line("With CI=true nothing may be skipped, so this run has failed.", red=True)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Make a run in CI fail when anything was skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if in_ci() and reporter is not None and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # For a skipped test this is (path, line, "Skipped: reason"); xdist sends it as a list.
    what = report.longrepr
    text = str(what[2]) if isinstance(what, tuple | list) else str(what)
    return text.removeprefix("Skipped: ")
