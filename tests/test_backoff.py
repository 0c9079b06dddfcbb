"""Exponential backoff: it doubles, has a limit, and spreads retries."""

import pytest

from railtrack.backoff import backoff_s


@pytest.mark.parametrize(("retry", "pause_s"), [(0, 0.5), (1, 1), (3, 4), (4, 5), (100_000, 5)])
def test_pauses_double_up_to_the_limit(retry: int, pause_s: float) -> None:
    pauses = [backoff_s(retry, first_s=0.5, limit_s=5) for _ in range(200)]
    assert 0.5 * pause_s <= min(pauses) < 0.6 * pause_s
    assert 1.4 * pause_s < max(pauses) <= 1.5 * pause_s
