"""A run as clients see it. Structs are built by position from rows of rows.py; absent fields are left out."""

from enum import Enum

import msgspec

from railtrack.wire.request import RequiredStr


class RunStatus(Enum):
    """In the order of the protocol's numbers, from 1."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class RunInfo(msgspec.Struct, omit_defaults=True, gc=False):
    """Times in milliseconds since 1970; `run_uuid` is the old name of `run_id`, and older clients read it."""

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


class Metric(msgspec.Struct, gc=False):
    """A point of a metric; a `value` that is no number is the text "NaN"."""

    key: str
    value: float | str
    timestamp: int
    step: int


class Param(msgspec.Struct, gc=False):
    """Also as it comes in requests, where the value may be left out."""

    key: RequiredStr
    value: str = ""


class RunTag(msgspec.Struct, gc=False):
    """Also as it comes in requests, where the value may be left out."""

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


class ModelInput(msgspec.Struct, gc=False):
    model_id: str


class ModelOutput(msgspec.Struct, gc=False):
    model_id: str
    step: int


class RunInputs(msgspec.Struct, omit_defaults=True):
    dataset_inputs: list[DatasetInput] = []
    model_inputs: list[ModelInput] = []


class RunOutputs(msgspec.Struct, omit_defaults=True):
    model_outputs: list[ModelOutput] = []


class Run(msgspec.Struct, omit_defaults=True):
    """`outputs` is absent in the answer to a creation only."""

    info: RunInfo
    data: RunData
    inputs: RunInputs
    outputs: RunOutputs | None = None
