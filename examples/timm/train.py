"""Train a classifier of timm in a loop of PyTorch. Start it alone, or by ../launch.py, which closes dead runs."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))

import mlflow
import timm
import torch
from torch import nn

import tracking
from shapes import CLASSES, classification

MODEL = "shapes-timm"


def evaluate(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float, torch.Tensor]:
    """Return loss, accuracy and the predicted classes."""
    model.eval()
    with torch.no_grad():
        logits = model(images)
    predicted = logits.argmax(1)
    loss = nn.functional.cross_entropy(logits, labels).item()
    return loss, (predicted == labels).float().mean().item(), predicted


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    params = {"model": "test_resnet", "epochs": options.epochs, "lr": 0.001, "batch_size": 32, "images": 960}

    torch.manual_seed(0)
    train_images, train_labels = (torch.from_numpy(part) for part in classification(params["images"], seed=1))
    val_images, val_labels = (torch.from_numpy(part) for part in classification(120, seed=2))
    model = timm.create_model(params["model"], pretrained=False, num_classes=len(CLASSES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["lr"])

    tracking.connect()
    with mlflow.start_run(log_system_metrics=True) as run, tempfile.TemporaryDirectory() as made:
        checkpoint, file = tracking.Checkpoint(run.info.run_id, "last.pt"), Path(made) / "last.pt"
        logged, first_epoch = tracking.LoggedSteps(run), 0
        curves: dict[str, list[float]] = {"train/loss": [], "val/loss": []}
        if not run.data.params:  # the first start
            mlflow.log_params(params)
            mlflow.set_tag("framework", "timm")
        elif downloaded := checkpoint.download(file.parent):
            states = torch.load(downloaded)
            model.load_state_dict(states["model"])
            optimizer.load_state_dict(states["optimizer"])
            first_epoch, curves = states["epoch"] + 1, states["curves"]

        for epoch in range(first_epoch, options.epochs):
            model.train()
            total = 0.0
            for batch in torch.randperm(len(train_images)).split(params["batch_size"]):
                loss = nn.functional.cross_entropy(model(train_images[batch]), train_labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
            val_loss, accuracy, predicted = evaluate(model, val_images, val_labels)
            metrics = {"train/loss": total / len(train_images), "val/loss": val_loss, "val/accuracy": accuracy}
            for name in curves:
                curves[name].append(metrics[name])
            # Metrics before the checkpoint: a step that is logged but not saved is trained again and not logged again.
            if new := logged.new(metrics, epoch):
                mlflow.log_metrics(new, step=epoch)
                tracking.log_predictions(val_images[:4], val_labels[:4].tolist(), predicted[:4].tolist(), epoch)
            states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({"epoch": epoch, "curves": curves, **states}, file)
            checkpoint.upload(file)
            print(f"epoch {epoch + 1}/{options.epochs}", metrics, flush=True)

        _, _, predicted = evaluate(model, val_images, val_labels)
        tracking.log_confusion_matrix(val_labels.tolist(), predicted.tolist())
        tracking.log_learning_curves(curves)
        checkpoint.ensure_uploaded()
        sample = val_images[:4].numpy()
        info = mlflow.pytorch.log_model(
            model,
            name="model",
            registered_model_name=MODEL,
            input_example=sample,
            pip_requirements=tracking.pins("torch", "timm"),
        )
        tracking.promote(MODEL, info.registered_model_version, "val/accuracy")

    champion = mlflow.pyfunc.load_model(f"models:/{MODEL}@{tracking.CHAMPION}")
    with torch.no_grad():
        print("The model predicts   ", tracking.describe(model(val_images[:4])))
    print("The champion predicts", tracking.describe(champion.predict(sample)))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
