"""Throttled logging: bounded, and the number of suppressed messages is logged."""

import logging

import pytest

from railtrack.logs import throttle
from railtrack.logs.throttle import ThrottledLog


def test_one_message_a_second_is_logged_with_the_number_suppressed_before_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now)
    log = ThrottledLog("artifact store: ")
    with caplog.at_level(logging.WARNING, "railtrack"):
        for name in ("a", "b", "c"):
            log.error(name)
        now += throttle.INTERVAL_S
        log.error("%s of %r", "d", 4)
        now += throttle.INTERVAL_S
        log.warning("100%% %s", "e")
    assert caplog.messages == [
        "artifact store: a",
        "artifact store: d of 4 (2 similar messages suppressed)",
        "artifact store: 100% e",
    ]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "WARNING"]
