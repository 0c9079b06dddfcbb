"""A loop of PyTorch Ignite, with its MLflowLogger for losses, learning rates and params."""

import os

import mlflow
import torch
from ignite.engine import Engine, Events
from ignite.handlers.mlflow_logger import MLflowLogger

mlflow.set_experiment(os.environ["EXPERIMENT"])
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
trainer = Engine(lambda engine, batch: {"loss": 1 / engine.state.iteration, "acc": engine.state.iteration / 4})
with MLflowLogger() as logger:
    logger.log_params({"model": "linear", "batch size": 2})
    logger.attach_output_handler(
        trainer, event_name=Events.ITERATION_COMPLETED, tag="training", output_transform=lambda output: output
    )
    logger.attach_opt_params_handler(trainer, event_name=Events.EPOCH_STARTED, optimizer=optimizer)
    trainer.run([1, 2], max_epochs=2)
