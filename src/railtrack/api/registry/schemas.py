"""Registered models and versions as responses contain them. Rows fill the fields in order; defaults are omitted."""

import msgspec

DELETED_STAGE = "Deleted_Internal"
"""Stored by MLflow in the row of a deleted version, which keeps its number from being reused."""


class RegistryTag(msgspec.Struct, gc=False):
    """A tag of a model or a version, in responses and in requests, which may omit key or value."""

    key: str = ""
    value: str = ""


class Alias(msgspec.Struct, gc=False):
    alias: str
    version: str


class ModelVersion(msgspec.Struct, omit_defaults=True):
    """Timestamps are in milliseconds since 1970."""

    name: str
    version: str
    creation_timestamp: int | None = None
    last_updated_timestamp: int | None = None
    user_id: str | None = None
    current_stage: str | None = None
    description: str | None = None
    source: str | None = None
    run_id: str | None = None
    status: str | None = None
    status_message: str | None = None
    run_link: str | None = None
    tags: list[RegistryTag] = []
    aliases: list[str] = []


class ModelVersionResponse(msgspec.Struct):
    model_version: ModelVersion


class RegisteredModel(msgspec.Struct, omit_defaults=True):
    """`latest_versions` has one version for each stage in use. Timestamps are in milliseconds since 1970."""

    name: str
    creation_timestamp: int | None = None
    last_updated_timestamp: int | None = None
    description: str | None = None
    latest_versions: list[ModelVersion] = []
    tags: list[RegistryTag] = []
    aliases: list[Alias] = []
