"""Points of the histories of several runs, and what to sample of a history."""

from itertools import repeat
from typing import NamedTuple

import msgspec

from railtrack.api.runs.schemas import Points


class MetricWithRunId(msgspec.Struct, gc=False):
    """A point of a metric; a `value` that is not a number is the text "NaN"."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str


def metrics_with_run_id(run_id: str, key: str, points: Points) -> list[MetricWithRunId]:
    """Return the points of one run's metric as structs."""
    return list(map(MetricWithRunId, repeat(key), *points, repeat(run_id)))


class SampleSpec(NamedTuple):
    """Sample at most `size` points of a metric, from the steps between `first_step` and `last_step`."""

    key: str
    first_step: int
    last_step: int
    size: int
