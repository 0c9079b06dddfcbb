"""Boosted trees by XGBoost with MLflow's autologging, which logs params, metrics, plots, datasets and the model."""

import os

import mlflow
import numpy
import xgboost

mlflow.set_experiment(os.environ["EXPERIMENT"])
mlflow.xgboost.autolog()
points = numpy.arange(40.0).reshape(20, 2)
data = xgboost.DMatrix(points, label=(points.sum(1) > 40).astype(int))
with mlflow.start_run(run_name="boosted"):
    xgboost.train(
        {"objective": "binary:logistic", "max_depth": 2, "nthread": 1},
        data,
        num_boost_round=3,
        evals=[(data, "train")],
        early_stopping_rounds=2,
        verbose_eval=False,
    )
