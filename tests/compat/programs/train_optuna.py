"""A study of Optuna with its MLflowCallback: a run for each sample of the params."""

import os

import optuna
from optuna.integration.mlflow import MLflowCallback

study = optuna.create_study(study_name=os.environ["EXPERIMENT"], sampler=optuna.samplers.RandomSampler(seed=1))
study.set_user_attr("team", "vision")
study.optimize(lambda sampled: sampled.suggest_float("x", -1, 1) ** 2, n_trials=2, callbacks=[MLflowCallback()])
