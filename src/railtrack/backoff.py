"""Exponential backoff with jitter, for every retry."""

import random

JITTER = 0.5


def backoff_s(retry: int, first_s: float, limit_s: float) -> float:
    """Return the seconds to wait before retry number `retry`, counted from 0: `first_s`, doubled each time.

    The jitter keeps processes that failed together from retrying together.
    """
    factor = 2.0 ** min(retry, 64)  # more would overflow
    return min(first_s * factor, limit_s) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 (not a secret)
