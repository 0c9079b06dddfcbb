"""Logged models in requests and responses. Rows fill the fields in order; defaults are omitted."""

from enum import Enum

import msgspec


class LoggedModelStatus(Enum):
    """In the order of the protocol's numbers, from 1. The database has the numbers."""

    LOGGED_MODEL_PENDING = "LOGGED_MODEL_PENDING"
    LOGGED_MODEL_READY = "LOGGED_MODEL_READY"
    LOGGED_MODEL_UPLOAD_FAILED = "LOGGED_MODEL_UPLOAD_FAILED"


UNSPECIFIED = "LOGGED_MODEL_STATUS_UNSPECIFIED"
STATUS_NAMES = (UNSPECIFIED, *(status.value for status in LoggedModelStatus))
"""By number. MLflow stores 0 for an unknown status."""


def status_number(status: LoggedModelStatus) -> int:
    return STATUS_NAMES.index(status.value)


def status_name(number: int) -> str:
    return STATUS_NAMES[number] if number < len(STATUS_NAMES) else UNSPECIFIED


class LoggedModelTag(msgspec.Struct, gc=False):
    """In requests, a missing key or value is an empty one, as in MLflow."""

    key: str = ""
    value: str = ""


class LoggedModelParam(msgspec.Struct, gc=False):
    """In requests, a missing key or value is an empty one, as in MLflow."""

    key: str = ""
    value: str = ""


class LoggedModelMetric(msgspec.Struct, omit_defaults=True, gc=False):
    """A point that a run logged for the model. NaN is 0 here: MLflow's table has no column for it."""

    model_id: str
    key: str
    value: float | None
    timestamp: int
    step: int
    run_id: str = ""
    """"" if the caller is denied runs."""
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LoggedModelInfo(msgspec.Struct, omit_defaults=True):
    """Timestamps are in milliseconds since 1970."""

    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: str
    model_type: str | None = None
    source_run_id: str | None = None
    status_message: str | None = None
    tags: list[LoggedModelTag] = []


class LoggedModelData(msgspec.Struct, omit_defaults=True):
    params: list[LoggedModelParam] = []
    metrics: list[LoggedModelMetric] = []


class LoggedModel(msgspec.Struct):
    info: LoggedModelInfo
    data: LoggedModelData


class LoggedModelResponse(msgspec.Struct):
    model: LoggedModel
