"""The log of a store's troubles: bounded, and it says what was left out."""

import logging

import pytest

from railtrack.logs import throttle as trouble


def test_a_line_a_second_is_told_with_the_number_of_those_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(trouble.time, "monotonic", lambda: now)
    log = trouble.TroubleLog()
    with caplog.at_level(logging.ERROR, "railtrack"):
        for name in ("a", "b", "c"):
            log.tell(name)
        now += trouble.TOLD_EVERY_S
        log.tell("d")
        now += trouble.TOLD_EVERY_S
        log.tell("e")
    assert caplog.messages == [
        "artifact store: a",
        "artifact store: d (2 more such lines were left out before)",
        "artifact store: e",
    ]
