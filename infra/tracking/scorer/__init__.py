"""A bundle as any MLflow client loads it: one file on mlflow, numpy, pandas and xgboost; no treadle, no pickle.

MLflow stores the file beside the bundle and runs it at load ("models from code"). treadle joins it from the modules of
infra/tracking/scorer/, so they import nothing else of treadle. They do what the batch path in tasks/ does, but start
from a frame as `pandas.read_csv` or `read_parquet` gives it: integers with gaps are floats, dates are text, categories
may be integers or booleans because their texts look so. Property tests keep the two paths equal to the bit.
"""
