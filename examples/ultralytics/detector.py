"""The registered model: Ultralytics weights behind MLflow's predict(). MLflow stores this file with the model."""

import base64
import io
from typing import Any

import mlflow
from PIL import Image


class Detector(mlflow.pyfunc.PythonModel):
    def load_context(self, context: Any) -> None:
        from ultralytics import YOLO

        self.model = YOLO(context.artifacts["weights"])

    def predict(self, model_input: list[str]) -> list[list[dict[str, Any]]]:
        """Return the boxes in each image. Images are PNG or JPEG in base64, as a web service receives them."""
        images = [Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB") for one in model_input]
        found = self.model.predict(images, imgsz=64, conf=0.1, verbose=False)
        return [
            [
                {"class": result.names[int(label)], "confidence": float(confidence), "box": box.tolist()}
                for label, confidence, box in zip(result.boxes.cls, result.boxes.conf, result.boxes.xyxy, strict=True)
            ]
            for result in found
        ]


mlflow.models.set_model(Detector())
