"""A pytest plugin, loaded by pyproject.toml: it fails a run in which a test was skipped or expected to fail.

Under pytest-xdist only the controller has a terminal reporter; it collects the reports of all workers.
"""

import pytest

EXCUSED = ("skipped", "xfailed", "xpassed")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn success into failure. pytest prints its summary after this."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.OK and reporter and any(reporter.stats.get(kind) for kind in EXCUSED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every test that did not run."""
    for kind in EXCUSED:
        for report in terminalreporter.stats.get(kind, []):
            terminalreporter.write_line(f"{kind.upper()} {report.nodeid}: no test may be skipped here", red=True)
