"""When a client counts as slow or as silent. When it is too slow: test_slow_clients.py."""

from railtrack.http_server.pace import (
    BODY_PATIENCE_S,
    SILENCE_S,
    SILENT_CHECKS,
    SLOW_BYTES_PER_S,
    Pace,
)


def test_a_quick_client_is_slow_only_after_several_slow_seconds() -> None:
    pace = Pace(0, BODY_PATIENCE_S)
    pace.advance(10 * SLOW_BYTES_PER_S, 1)
    pace.advance(0, 2)
    assert not pace.is_slow
    for second in range(3, 10):
        pace.advance(0, second)
    assert pace.is_slow


def test_a_client_is_silent_after_several_checks_and_half_a_second() -> None:
    often = Pace(0, BODY_PATIENCE_S)
    for check in range(1, SILENT_CHECKS + 5):
        often.advance(0, check * 0.01)
    assert not often.is_silent, "the checks came in one go"
    after_a_pause_of_the_loop = Pace(0, BODY_PATIENCE_S)
    after_a_pause_of_the_loop.advance(0, 10 * SILENCE_S)
    assert not after_a_pause_of_the_loop.is_silent, "its bytes were not read yet"
    silent = Pace(0, BODY_PATIENCE_S)
    for check in range(1, SILENT_CHECKS + 1):
        silent.advance(0, check * SILENCE_S / 2)
    assert silent.is_silent
    silent.advance(1, 10)
    assert not silent.is_silent


def test_time_in_which_the_client_waits_for_the_server_does_not_count() -> None:
    pace = Pace(0, BODY_PATIENCE_S)
    for check in range(1, 10):
        pace.pause(check * 100)
    pace.advance(0, 900.5)
    assert not pace.is_too_slow
    assert not pace.is_slow
    assert not pace.is_silent
