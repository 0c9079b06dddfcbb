"""MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX. MLflow 3.17.2 gave the same answers to these sources."""

import dataclasses

import pytest
from tests.client import running_app

from railtrack.config.settings import Settings, load
from railtrack.db import Db
from railtrack.errors import StartError

VARIABLE = "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"


@pytest.mark.parametrize(
    ("source", "is_accepted"),
    [
        ("s3://trusted/abc", True),
        ("s3://trusted/abc/9", True),
        ("xs3://trusted/abc", True),  # anywhere in the source
        ("s3://evil/abc", False),
        ("models:/m1/1", False),
    ],
)
async def test_a_source_must_match_the_pattern(db: Db, settings: Settings, source: str, is_accepted: bool) -> None:
    registry = load({}, {VARIABLE: "s3://trusted/[a-z]+"}).registry
    async with running_app(dataclasses.replace(settings, registry=registry)) as client:
        await client.ok("POST", "registered-models/create", {"name": "model"})
        response = await client.post("model-versions/create", {"name": "model", "source": source})
        if is_accepted:
            assert response.status == 200
        else:
            assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
            assert response.json["message"] == f"Invalid model version source: '{source}'."


async def test_prompts_have_no_source_to_match(db: Db, settings: Settings) -> None:
    """MLflow rejects every new prompt version then, although the source of each is a placeholder."""
    registry = load({}, {VARIABLE: "^s3://trusted/"}).registry
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    async with running_app(dataclasses.replace(settings, registry=registry)) as client:
        await client.ok("POST", "registered-models/create", {"name": "prompt", "tags": tags})
        version = {"name": "prompt", "source": "prompt-template", "tags": tags}
        await client.ok("POST", "model-versions/create", version)


def test_a_pattern_that_does_not_compile_is_an_invalid_value() -> None:
    with pytest.raises(StartError, match=rf"^Invalid regular expression in {VARIABLE}: '\('"):
        load({}, {VARIABLE: "("})
