"""Loads a champion in another process, predicts, and prints the result as the examples do."""

import base64
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "shared"))

import mlflow
from PIL import Image

import tracking
from shapes import as_picture, classification, detection


def main(name: str, model: str) -> None:
    tracking.connect()
    uri = f"models:/{model}@{tracking.CHAMPION}"
    images, _ = classification(120, seed=2)
    if name == "huggingface":
        predicted = mlflow.transformers.load_model(uri)(Image.fromarray(as_picture(images[0])))
    elif name == "ultralytics":
        detection(Path.cwd() / "data", train=0, val=1)
        picture = (Path.cwd() / "data" / "images" / "val" / "0.png").read_bytes()
        (boxes,) = mlflow.pyfunc.load_model(uri).predict([base64.b64encode(picture).decode()])
        predicted = [box["class"] for box in boxes]
    else:
        predicted = tracking.describe(mlflow.pyfunc.load_model(uri).predict(images[:4]))
    print("The champion predicts", predicted)


if __name__ == "__main__":
    main(*sys.argv[1:])
