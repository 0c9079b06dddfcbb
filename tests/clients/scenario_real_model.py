"""Log or load a scikit-learn model and a models-from-code model with the full MLflow, in its virtual environment.

`log NAME FOLDER`: trains, logs, registers under NAME and NAME-code; `load URI ...`: predicts with each. Both print one
JSON object. `digests URI FOLDER`, which a client without scikit-learn can do, too: downloads, and prints the
SHA-256 of each file by path.
"""

import hashlib
import json
import sys
from pathlib import Path

import mlflow

CODE = """
import mlflow.pyfunc
from factor_of_the_test import FACTOR


class Scaling(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        with open(context.artifacts["offset"]) as file:
            self.offset = float(file.read())

    def predict(self, context, model_input, params=None):
        return [value * FACTOR + self.offset for value in model_input["width"]]


mlflow.models.set_model(Scaling())
"""


def log(name, folder):
    """Log both models. Return their ids and predictions."""
    from mlflow.models import infer_signature
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, kinds = load_iris(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(data, kinds)
    with mlflow.start_run() as run:
        iris = mlflow.sklearn.log_model(
            model,
            name="iris",
            registered_model_name=name,
            signature=infer_signature(data, model.predict(data)),
            input_example=data.head(2),
            pip_requirements=["scikit-learn"],
            params={"C": 0.5},
        )
        mlflow.log_metric("accuracy", model.score(data, kinds), model_id=iris.model_id)
        Path(folder, "factor_of_the_test.py").write_text("FACTOR = 3\n")
        Path(folder, "scaling.py").write_text(CODE)
        Path(folder, "offset.txt").write_text("0.5")
        sys.path.insert(0, folder)
        scaling = mlflow.pyfunc.log_model(
            name="scaling",
            python_model=str(Path(folder, "scaling.py")),
            code_paths=[str(Path(folder, "factor_of_the_test.py"))],
            artifacts={"offset": str(Path(folder, "offset.txt"))},
            registered_model_name=f"{name}-code",
            pip_requirements=[],
        )
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(name, "champion", "1")
    predicted = {"iris": predictions(model, data), "scaling": [3.5, 6.5]}
    return {"run_id": run.info.run_id, "iris": iris.model_id, "scaling": scaling.model_id, "predicted": predicted}


def load(*uris):
    """Return the predictions of the model at each URI, as pyfunc and, if available, by its native flavor."""
    import pandas
    from sklearn.datasets import load_iris

    data, _ = load_iris(return_X_y=True, as_frame=True)
    found = {}
    for uri in uris:
        loaded = mlflow.pyfunc.load_model(uri)
        if "sklearn" in loaded.metadata.flavors:
            found[uri] = {
                "pyfunc": [int(kind) for kind in loaded.predict(data)],
                "itself": predictions(mlflow.sklearn.load_model(uri), data),
            }
        else:
            found[uri] = {"pyfunc": list(loaded.predict(pandas.DataFrame({"width": [1.0, 2.0]})))}
    return found


def predictions(model, data):
    return {"kinds": model.predict(data).tolist(), "chances": model.predict_proba(data).tolist()}


def digests(uri, folder):
    import mlflow.artifacts

    root = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.name != "registered_model_meta"  # added by the client
    }


if __name__ == "__main__":
    print(json.dumps({"log": log, "load": load, "digests": digests}[sys.argv[1]](*sys.argv[2:])))
