"""Params: many in one request, long values, and write-once semantics."""

from __future__ import annotations

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Param

from scenario.registry import new_run, rejected, step


@step()
def a_hundred_and_fifty_params_are_logged_in_one_call() -> None:
    expected = {f"layer.{number}/units": str(number) for number in range(150)}
    with new_run("params") as run_id:
        mlflow.log_params({f"layer.{number}/units": number for number in range(150)})
        assert mlflow.get_run(run_id).data.params == expected


@step()
def a_param_keeps_text_of_any_script_and_length() -> None:
    values = {"한글 키": "값 ✓", "empty": "", "list": [1, 2], "none": None, "long": "y" * 500, "q": "'\"`\\%"}
    with new_run("param-values") as run_id:
        for key, value in values.items():
            mlflow.log_param(key, value)
        assert mlflow.get_run(run_id).data.params == {key: str(value) for key, value in values.items()}


@step(since=(2, 9))
def a_param_of_six_thousand_characters_is_not_truncated() -> None:
    with new_run("long-param") as run_id:
        mlflow.log_param("prompt", "가" * 6000)
        assert mlflow.get_run(run_id).data.params == {"prompt": "가" * 6000}


@step()
def a_param_cannot_be_changed() -> None:
    client = MlflowClient()
    with new_run("write-once") as run_id:
        mlflow.log_param("lr", 0.1)
        mlflow.log_param("lr", 0.1)
        with rejected("INVALID_PARAMETER_VALUE", "lr"):
            mlflow.log_param("lr", 0.2)
        with rejected("INVALID_PARAMETER_VALUE", "lr"):
            client.log_batch(run_id, params=[Param("new", "1"), Param("lr", "0.3")])
        assert mlflow.get_run(run_id).data.params == {"lr": "0.1"}
