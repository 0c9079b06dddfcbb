"""Steps of typical work with an unmodified MLflow client, run by the interpreter of that client.

No module here may import Railtrack or pytest: the interpreter has only mlflow-skinny, numpy, pandas and pillow.
"""
