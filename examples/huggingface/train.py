"""Train a small ResNet of transformers with the Trainer, and its MLflow callback."""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is downloaded: the model begins untrained
sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))

import mlflow
import mlflow.transformers
import torch
from PIL import Image
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    ViTImageProcessor,
    pipeline,
)
from transformers.integrations import MLflowCallback

import tracking
from shapes import CLASSES, as_picture, classification

MODEL = "shapes-huggingface"


class ShapeDataset(torch.utils.data.Dataset):
    def __init__(self, count: int, seed: int) -> None:
        self.images, self.labels = classification(count, seed)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


class ResumableMLflowCallback(MLflowCallback):
    """Log only steps that the run does not have. A crash after logging and before saving would log them twice."""

    def __init__(self, logged: tracking.LoggedSteps) -> None:
        super().__init__()
        self.logged = logged

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if new := self.logged.new(logs, state.global_step):
            super().on_log(args, state, control, new, **kwargs)


class UploadCheckpoints(TrainerCallback):
    """Upload each checkpoint as one file, which is replaced as a whole. HF_MLFLOW_LOG_ARTIFACTS would log it as a
    model of another kind, which the run's page does not show.
    """

    def __init__(self, checkpoint: tracking.Checkpoint) -> None:
        self.checkpoint = checkpoint

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        saved = f"checkpoint-{state.global_step}"
        self.checkpoint.upload(Path(shutil.make_archive(f"{args.output_dir}/last", "zip", args.output_dir, saved)))


class LogPredictions(TrainerCallback):
    def __init__(self, dataset: ShapeDataset) -> None:
        self.images, self.labels = dataset.images[:4], dataset.labels[:4].tolist()

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any, **kwargs: Any) -> None:
        with torch.no_grad():
            predicted = model(torch.from_numpy(self.images)).logits.argmax(1).tolist()
        tracking.log_predictions(self.images, self.labels, predicted, state.global_step)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()

    torch.manual_seed(0)
    train, val = ShapeDataset(960, seed=1), ShapeDataset(120, seed=2)
    config = ResNetConfig(
        embedding_size=16, hidden_sizes=[32, 64], depths=[2, 2], layer_type="basic",
        id2label=dict(enumerate(CLASSES)), label2id={name: label for label, name in enumerate(CLASSES)},
    )  # fmt: skip
    model = ResNetForImageClassification(config)

    tracking.connect()
    with mlflow.start_run(log_system_metrics=True) as run, tempfile.TemporaryDirectory() as made:
        folder, run_id = Path(made), run.info.run_id
        checkpoint = tracking.Checkpoint(run_id, "last.zip")
        logged, resume_from = tracking.LoggedSteps(run), None
        if not run.data.params:  # the first start
            mlflow.set_tag("framework", "transformers")
        else:
            os.environ["MLFLOW_MAX_LOG_PARAMS"] = "0"  # changed arguments would be an error: a param has one value
            if path := checkpoint.download(folder):
                shutil.unpack_archive(path, folder / "output")
                (resume_from,) = (str(one) for one in (folder / "output").glob("checkpoint-*"))

        args = TrainingArguments(
            output_dir=str(folder / "output"), num_train_epochs=options.epochs, per_device_train_batch_size=32,
            learning_rate=3e-3, eval_strategy="epoch", logging_strategy="epoch", save_strategy="epoch",
            save_total_limit=2, report_to="none", use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(
            model,
            args,
            train_dataset=train,
            eval_dataset=val,
            compute_metrics=lambda result: {"accuracy": float((result[0].argmax(1) == result[1]).mean())},
            callbacks=[ResumableMLflowCallback(logged), LogPredictions(val), UploadCheckpoints(checkpoint)],
        )
        trainer.train(resume_from_checkpoint=resume_from)

        # The callback logs in the background, and an error there is a line in the log. So look at what arrived.
        mlflow.flush_async_logging()
        arrived = tracking.LoggedSteps(mlflow.get_run(run_id))
        for metrics in trainer.state.log_history:
            step = metrics["step"]
            if lost := arrived.new({key: value for key, value in metrics.items() if key != "step"}, step):
                mlflow.log_metrics(lost, step=step)

        predicted = trainer.predict(val).predictions.argmax(1)
        tracking.log_confusion_matrix(val.labels.tolist(), predicted.tolist())
        curves = {
            name: [one[name] for one in trainer.state.log_history if name in one] for name in ("loss", "eval_loss")
        }
        tracking.log_learning_curves(curves)
        checkpoint.ensure_uploaded()
        processor = ViTImageProcessor(size={"height": 32, "width": 32})
        classifier = pipeline("image-classification", model=model, image_processor=processor, device="cpu")
        info = mlflow.transformers.log_model(
            classifier,
            name="model",
            registered_model_name=MODEL,
            pip_requirements=tracking.pins("torch", "torchvision", "transformers"),
        )
        tracking.promote(MODEL, info.registered_model_version, "eval_accuracy")

    champion = mlflow.transformers.load_model(f"models:/{MODEL}@{tracking.CHAMPION}")
    picture = Image.fromarray(as_picture(val.images[0]))
    print("The model predicts   ", classifier(picture))
    print("The champion predicts", champion(picture))


if __name__ == "__main__":
    main()
