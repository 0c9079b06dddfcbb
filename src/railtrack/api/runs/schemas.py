"""Structs of a run as clients see them, and the rows and columns that they are built from, by position."""

import math
from collections.abc import Iterable, Sequence
from enum import Enum
from struct import unpack
from typing import NamedTuple, Self

import msgspec

from railtrack.db import Row
from railtrack.wire.request import RequiredStr

RUN_NAME = "mlflow.runName"
"""The tag that holds a run's name; it and the column `name` are kept equal."""


class RunStatus(Enum):
    """In the order of protobuf's enum numbers, from 1."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class RunInfo(msgspec.Struct, omit_defaults=True, gc=False):
    """Times are in milliseconds since 1970. `run_uuid` is the old name of `run_id`, which older clients read."""

    run_uuid: str
    run_id: str
    experiment_id: str
    user_id: str
    run_name: str | None = None
    status: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    artifact_uri: str | None = None
    lifecycle_stage: str | None = None


INFO_COLUMNS = """
    runs.run_uuid, runs.run_uuid, CAST(runs.experiment_id AS TEXT), COALESCE(runs.user_id, ''),
    COALESCE(
        NULLIF(runs.name, ''),
        (SELECT t.value FROM tags t WHERE t.run_uuid = runs.run_uuid AND t.key = 'mlflow.runName')
    ),
    runs.status, runs.start_time, NULLIF(runs.end_time, 0), runs.artifact_uri, runs.lifecycle_stage
"""
"""The fields of RunInfo, in their order. Runs of old versions of MLflow have their name in the tag only.

An end time of 0 means none, as in MLflow.
"""


class Metric(msgspec.Struct, gc=False):
    """A point of a metric; a `value` that is not a number is the text "NaN"."""

    key: str
    value: float | str
    timestamp: int
    step: int


PACKED_POINTS = """
    string_agg(float8send(CASE WHEN is_nan THEN 'NaN' ELSE value END), ''),
    string_agg(int8send(COALESCE(timestamp, 0)), ''), string_agg(int8send(step), '')
"""
"""Many points as one row of PostgreSQL, for Points.unpack: each column holds the bytes of all its values.

A NULL timestamp, which latest_metrics allows, would be left out of an aggregate. A row for each of 20,000 points took
the worker 10.8 ms until they were JSON, arrays took 4.0 and bytes take 3.0.
"""


class Points(NamedTuple):
    """Columns of points, of equal length; a value that is not a number is the text "NaN"."""

    values: Sequence[float | str]
    timestamps: Sequence[int]
    steps: Sequence[int]

    @classmethod
    def unpack(cls, values: bytes | None, timestamps: bytes | None, steps: bytes | None) -> Self:
        """Return the points of a row of PACKED_POINTS, whose columns are NULL if there are none."""
        if values is None or timestamps is None or steps is None:
            return cls((), (), ())
        count = len(values) // 8
        numbers: Sequence[float] = unpack(f">{count}d", values)
        # The sum is NaN if one of them is. This takes a tenth of the time of testing each.
        shown = ["NaN" if math.isnan(number) else number for number in numbers] if math.isnan(sum(numbers)) else numbers
        return cls(shown, unpack(f">{count}q", timestamps), unpack(f">{count}q", steps))

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Self:
        """Return the points of rows that begin with (is_nan, timestamp, step, value)."""
        columns = list(zip(*rows, strict=True))
        if not columns:
            return cls((), (), ())
        is_nan, timestamps, steps, values = columns[:4]
        if any(is_nan):
            values = tuple("NaN" if no_number else value for no_number, value in zip(is_nan, values, strict=True))
        return cls(values, timestamps, steps)

    def metrics(self, keys: Iterable[str]) -> list[Metric]:
        """Return the points as structs, with one key for each."""
        return list(map(Metric, keys, *self))


class Param(msgspec.Struct, gc=False):
    """Used in requests, too, where the value is optional."""

    key: RequiredStr
    value: str = ""


class RunTag(msgspec.Struct, gc=False):
    """Used in requests, too, where the value is optional."""

    key: RequiredStr
    value: str = ""


class RunData(msgspec.Struct, omit_defaults=True):
    metrics: list[Metric] = []
    params: list[Param] = []
    tags: list[RunTag] = []


class Dataset(msgspec.Struct, omit_defaults=True, gc=False):
    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


class InputTag(msgspec.Struct, gc=False):
    key: str
    value: str


class DatasetInput(msgspec.Struct, omit_defaults=True):
    dataset: Dataset
    tags: list[InputTag] = []


IS_DATASET_INPUT = "destination_type = 'RUN' AND source_type = 'DATASET'"
IS_MODEL_INPUT = "source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT'"
IS_MODEL_OUTPUT = "source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT'"
"""Which rows of `inputs` are a DatasetInput, a ModelInput and a ModelOutput."""


class ModelInput(msgspec.Struct, gc=False):
    model_id: str


class ModelOutput(msgspec.Struct, gc=False):
    model_id: str
    step: int


DATASET_INPUT, MODEL_INPUT, MODEL_OUTPUT = range(3)
INPUT_LINKS = f"""
    SELECT {DATASET_INPUT} AS kind, destination_id AS run_id, source_id AS other_id, CAST(NULL AS BIGINT) AS step
    FROM inputs WHERE destination_id = ANY($1) AND {IS_DATASET_INPUT}
    UNION ALL
    SELECT {MODEL_INPUT}, source_id, destination_id, NULL FROM inputs WHERE source_id = ANY($1) AND {IS_MODEL_INPUT}
    UNION ALL
    SELECT {MODEL_OUTPUT}, source_id, destination_id, step FROM inputs WHERE source_id = ANY($1) AND {IS_MODEL_OUTPUT}
"""  # noqa: S608 (our own text)
"""The fields of InputLink, in their order, of the runs $1."""


class InputLink(NamedTuple):
    """A row of `inputs`: a dataset or model that a run read, or a model that it made at a step."""

    kind: int
    run_id: str
    other_id: str
    step: int | None


class RunInputs(msgspec.Struct, omit_defaults=True):
    dataset_inputs: list[DatasetInput] = []
    model_inputs: list[ModelInput] = []


class RunOutputs(msgspec.Struct, omit_defaults=True):
    model_outputs: list[ModelOutput] = []


class Run(msgspec.Struct, omit_defaults=True):
    """`outputs` is absent in the response to runs/create only."""

    info: RunInfo
    data: RunData
    inputs: RunInputs
    outputs: RunOutputs | None = None
