"""Evaluation datasets: records of inputs and expectations, which belong to any number of experiments."""
