"""Train a small network with Lightning, and its MLFlowLogger."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))

import lightning
import mlflow
import mlflow.pytorch
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import MLFlowLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tracking
from shapes import CLASSES, classification

MODEL = "shapes-lightning"


class Classifier(lightning.LightningModule):
    def __init__(self, width: int = 16, lr: float = 0.005) -> None:
        super().__init__()
        self.save_hyperparameters()
        layers: list[nn.Module] = []
        for inside, outside in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(), nn.MaxPool2d(2)]
        self.network = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4 * width, len(CLASSES)))

    def training_step(self, batch: Any, _: int) -> Any:
        images, labels = batch
        loss = nn.functional.cross_entropy(self.network(images), labels)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        images, labels = batch
        logits = self.network(images)
        self.log("val/loss", nn.functional.cross_entropy(logits, labels))
        self.log("val/accuracy", (logits.argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"])


class ResumableLogger(MLFlowLogger):
    """Log hyperparameters only at the first start, and only steps that the run does not have."""

    def __init__(self, run: Any) -> None:
        super().__init__(run_id=run.info.run_id, tracking_uri=mlflow.get_tracking_uri())
        self.is_first_start = not run.data.params
        self.logged = tracking.LoggedSteps(run)

    def log_hyperparams(self, params: Any) -> None:
        if self.is_first_start:
            super().log_hyperparams(params)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if new := self.logged.new(metrics, step or 0):
            super().log_metrics(new, step)

    def finalize(self, status: str = "success") -> None:
        """Leave the run open: the program ends it when the model is logged."""


class Epochs(lightning.Callback):
    """After each epoch, log predictions. Before the next one, upload the checkpoint: by then the metrics are logged,
    so a resumed run lacks none. MLFlowLogger(log_model="all") uploads earlier, and keeps all checkpoints.
    """

    def __init__(self, checkpoint: tracking.Checkpoint, file: Path, images: Any, labels: Any) -> None:
        self.checkpoint, self.file, self.images, self.labels = checkpoint, file, images, labels.tolist()
        self.curves: dict[str, list[float]] = {"train/loss": [], "val/loss": [], "val/accuracy": []}

    def state_dict(self) -> dict[str, Any]:
        return self.curves

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.curves = state

    def on_train_epoch_start(self, trainer: Any, model: Any) -> None:
        if self.file.exists():
            self.checkpoint.upload(self.file)

    def on_train_epoch_end(self, trainer: Any, model: Any) -> None:
        for name, values in self.curves.items():
            values.append(trainer.callback_metrics[name].item())
        tracking.log_predictions(self.images, self.labels, predict(model, self.images), trainer.current_epoch)

    def on_train_end(self, trainer: Any, model: Any) -> None:
        self.on_train_epoch_start(trainer, model)


def predict(model: Classifier, images: Any) -> list[int]:
    model.eval()
    with torch.no_grad():
        predicted: list[int] = model.network(images).argmax(1).tolist()
    model.train()
    return predicted


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()

    lightning.seed_everything(0)
    train_data, (images, labels) = (
        [torch.from_numpy(part) for part in classification(count, seed)] for count, seed in ((960, 1), (120, 2))
    )

    tracking.connect()
    with mlflow.start_run(log_system_metrics=True) as run, tempfile.TemporaryDirectory() as made:
        checkpoint, resume_from = tracking.Checkpoint(run.info.run_id, "last.ckpt"), None
        if run.data.params:  # not the first start
            resume_from = checkpoint.download(Path(made))
        mlflow.set_tag("framework", "lightning")

        epochs, model = Epochs(checkpoint, Path(made) / "last.ckpt", images[:4], labels[:4]), Classifier()
        trainer = lightning.Trainer(
            max_epochs=options.epochs,
            accelerator="cpu",
            logger=ResumableLogger(run),
            callbacks=[epochs, ModelCheckpoint(made, "last", enable_version_counter=False)],
            default_root_dir=made,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        trainer.fit(
            model,
            DataLoader(TensorDataset(*train_data), batch_size=32, shuffle=True),
            DataLoader(TensorDataset(images, labels), batch_size=60),
            ckpt_path=resume_from,
        )
        tracking.log_confusion_matrix(labels.tolist(), predict(model, images))
        tracking.log_learning_curves(epochs.curves)
        checkpoint.ensure_uploaded()
        sample = images[:4].numpy()
        info = mlflow.pytorch.log_model(
            model.network.eval(),
            name="model",
            registered_model_name=MODEL,
            input_example=sample,
            pip_requirements=tracking.pins("torch"),
        )
        tracking.promote(MODEL, info.registered_model_version, "val/accuracy")

    champion = mlflow.pyfunc.load_model(f"models:/{MODEL}@{tracking.CHAMPION}")
    with torch.no_grad():
        print("The model predicts   ", tracking.describe(model.network(images[:4])))
    print("The champion predicts", tracking.describe(champion.predict(sample)))


if __name__ == "__main__":
    main()
