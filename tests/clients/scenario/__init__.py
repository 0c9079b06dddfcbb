"""What an unmodified MLflow client does in a working day, run by that client's own interpreter.

Nothing here may import Railtrack or pytest: the interpreter has only mlflow-skinny, numpy, pandas and pillow.
"""
