"""Trackers of Hugging Face Accelerate: a config with nested and long values, and metrics by step."""

import os

from accelerate import Accelerator

accelerator = Accelerator(log_with="mlflow", cpu=True)
config = {"lr": 0.1, "epochs": 2, "model": "resnet18", "augment": True, "note": "n" * 300}
accelerator.init_trackers(
    os.environ["EXPERIMENT"], config, init_kwargs={"mlflow": {"run_name": "accelerated", "tags": {"team": "vision"}}}
)
for step in range(3):
    accelerator.log({"train_loss": 1 / (step + 1), "accuracy": step / 3}, step=step)
accelerator.end_training()
