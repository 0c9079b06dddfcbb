"""Structs of an experiment as clients see it, and the columns that it is built from, by position."""

import msgspec

from railtrack.mlflow.validation import check_length, check_tag_key

TAG_VALUE_LIMIT = 20_000

EXPERIMENT_COLUMNS = """
    CAST(experiments.experiment_id AS TEXT), experiments.name, experiments.workspace, experiments.artifact_location,
    experiments.lifecycle_stage, experiments.last_update_time, experiments.creation_time
"""
"""The fields of Experiment up to `creation_time`, in their order."""


class ExperimentTag(msgspec.Struct, gc=False):
    """Used in requests, too, where both fields are optional."""

    key: str = ""
    value: str = ""


class Experiment(msgspec.Struct, omit_defaults=True):
    """Times are in milliseconds since 1970. Of MLflow's workspaces, only the default one exists."""

    experiment_id: str
    name: str
    workspace: str
    artifact_location: str | None = None
    lifecycle_stage: str | None = None
    last_update_time: int | None = None
    creation_time: int | None = None
    tags: list[ExperimentTag] = []


def check_tag(key: str, value: str) -> None:
    """Raise INVALID_PARAMETER_VALUE for a tag that an experiment cannot have."""
    check_tag_key(key, "key")
    check_length("value", value, TAG_VALUE_LIMIT)
