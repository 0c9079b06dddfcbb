"""Log the data of the registry and logged model pages. Used by seed.py."""

from __future__ import annotations

from typing import Any

import mlflow
import mlflow.pyfunc
import pandas
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

SIGNATURE = ModelSignature(
    Schema([ColSpec("double", "width"), ColSpec("string", "label")]), Schema([ColSpec("double", "score")])
)
FRAME = pandas.DataFrame({"width": [1.0, 2.0], "label": ["cat", "고양이"]})


class Detector(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # hints would be a signature
        return [width * 2 for width in model_input["width"]]


def log_models(client: MlflowClient, experiment_id: str) -> dict[str, Any]:
    """Create two logged models, three registered ones and two prompts. Return the ids that the tests need."""
    mlflow.set_experiment(experiment_id=experiment_id)
    logged = [_trained(depth) for depth in (3, 5)]
    client.create_registered_model("detector 모델", {"team": "영상"}, "Finds **cats**.")
    for number, model in enumerate(logged, 1):
        version = mlflow.register_model(f"models:/{model.model_id}", "detector 모델", tags={"depth": str(number)})
        client.update_model_version("detector 모델", version.version, f"take {number}")
    client.set_registered_model_alias("detector 모델", "champion", "2")
    client.create_registered_model("segmenter", {"team": "audio"})
    client.create_model_version("segmenter", "s3://bucket/elsewhere")
    client.create_registered_model("zero versions")
    client.register_prompt("greeting", "Hello {{name}}!", commit_message="first", tags={"lang": "en"})
    client.register_prompt("greeting", "안녕 {{name}}!", commit_message="둘째")
    client.set_prompt_alias("greeting", "production", 1)
    client.register_prompt("farewell", "Bye {{name}}.")
    return {"logged": [model.model_id for model in logged]}


def _trained(depth: int) -> Any:
    """Log a model `detector` in a new run, with params, tags and metrics on a dataset."""
    with mlflow.start_run(run_name=f"train-{depth}"):
        mlflow.log_param("depth", depth)
        model = mlflow.pyfunc.log_model(
            name=f"detector-{depth}",
            python_model=Detector(),
            params={"depth": depth},
            tags={"reviewed": "an"},
            pip_requirements=[],
            signature=SIGNATURE,
        )
        data = mlflow.data.from_pandas(FRAME, name="pets")
        mlflow.log_metric("acc", depth / 10, model_id=model.model_id, dataset=data)
    return model
