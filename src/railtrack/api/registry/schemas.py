"""Registered models and their versions as clients see them. Built by position from rows; absent fields are left out."""

import msgspec

STAGES = ("None", "Staging", "Production", "Archived")
ACTIVE_STAGES = ("Staging", "Production")
DELETED_STAGE = "Deleted_Internal"
"""What MLflow puts into the row of a version that was deleted: its number is not given again."""


class RegistryTag(msgspec.Struct, gc=False):
    """Of a model or of a version; also as it comes in requests, where key or value may be left out."""

    key: str = ""
    value: str = ""


class Alias(msgspec.Struct, gc=False):
    alias: str
    version: str


class ModelVersion(msgspec.Struct, omit_defaults=True):
    """Times in milliseconds since 1970."""

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
    """`latest_versions`: of each stage that has any. Times in milliseconds since 1970."""

    name: str
    creation_timestamp: int | None = None
    last_updated_timestamp: int | None = None
    description: str | None = None
    latest_versions: list[ModelVersion] = []
    tags: list[RegistryTag] = []
    aliases: list[Alias] = []
