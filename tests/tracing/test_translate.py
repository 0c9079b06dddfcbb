"""The translation of other instrumentations' attributes, compared with what MLflow 3.18.0 adds to the same spans."""

import json
from pathlib import Path
from typing import Any

import pytest

from railtrack.tracing.conventions import CONVENTIONS
from railtrack.tracing.spans import encoded
from railtrack.tracing.translate import KEY_BEGINNINGS, translate

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("mlflow_3_18_0_translations.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_a_span_gets_the_attributes_that_mlflow_adds(name: str) -> None:
    case = RECORDED[name]
    sent = {key: encoded(value) for key, value in case["attributes"].items()}
    attributes = dict(sent)
    translate(attributes, case["events"])
    assert {key: value for key, value in attributes.items() if sent.get(key) != value} == case["added"]


def test_every_key_of_a_convention_has_a_known_beginning() -> None:
    texts = [text for one in CONVENTIONS for text in (one.kind_key, one.provider, one.tools) if text]
    lists = [key for one in CONVENTIONS for keys in one if isinstance(keys, tuple) for key in keys]
    keys = texts + [key if isinstance(key, str) else key.pattern.replace("\\", "") for key in lists]
    assert len(keys) > 50
    assert [key for key in keys if not key.startswith(KEY_BEGINNINGS)] == []
