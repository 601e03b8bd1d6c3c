"""AutoGluon's side of bench/automl.py, run by the Python of its own environment.

python automl_autogluon.py FOLDER TARGET METRIC SECONDS: reads FOLDER/train.csv and test.csv, writes autogluon.csv.
"""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd

METRICS = {"accuracy": "accuracy", "f1": "f1", "rmse_log": "root_mean_squared_error"}


def main(folder: Path, target: str, metric: str, seconds: float) -> None:
    """Fit best_quality on the raw files for so many seconds, and predict."""
    train, test = pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")
    logs = metric == "rmse_log"
    if logs:
        train[target] = np.log(train[target])
    tabular = importlib.import_module("autogluon.tabular")  # of that environment, not of this one
    predictor = tabular.TabularPredictor(target, eval_metric=METRICS[metric], path=str(folder / "models"), verbosity=1)
    predictor.fit(train, presets="best_quality", time_limit=seconds)
    found = predictor.predict(test)
    (np.exp(found) if logs else found).to_frame(target).to_csv(folder / "autogluon.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
