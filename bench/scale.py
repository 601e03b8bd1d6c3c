"""What a table costs as its rows grow: five folds of LightGBM through `kgl train`, and the same by hand.

    python bench/scale.py [--rows 10000 100000 1000000]

35 columns (30 numbers, 5 texts) as CSV, a tenth as many test rows, 100 rounds, one thread. The sides run beside each
other, each in a process of its own, so that a machine which slows down does so for both; CPU-seconds and the most
memory include imports. `kgl folds` has read the CSV before and kept it as parquet; by hand it is read. Scores may
differ by the luck of subsampling; the bench stops where they are further apart.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve()
WORKSPACE = HERE.parents[1] / "{{cookiecutter.project_slug}}"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}
FACTS = """kind = "tabular"
task = "binary"
metric = "auc"
id = ["id"]
target = ["y"]
[files]
train = "train.csv"
test = "test.csv"
sample_submission = "sample_submission.csv"
"""
LOAD = "from kgl.tables import read_test, read_train\n\n\ndef load():\n    return read_train(), read_test()\n"
PARAMS = {  # all that the catalogue sets at some size, so that both sides train the same
    "n_estimators": 100,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_child_samples": 20,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.6,
    "reg_lambda": 1.0,
    "cat_smooth": 10.0,
}
OURS = {"n_jobs": 1, "verbosity": -1, "deterministic": True, "random_state": 0}
EXPERIMENT = f"from kgl.tabular import Tabular\nexperiment = Tabular(model='lightgbm', params={PARAMS})\n"
BY_HAND = """
import json, lightgbm, numpy as np, pandas as pd
from sklearn.metrics import roc_auc_score
train, test = pd.read_csv("data/raw/train.csv"), pd.read_csv("data/raw/test.csv")
fold = pd.read_parquet("data/folds.parquet")["fold"].to_numpy()
y, settings = train.pop("y").to_numpy(), json.load(open("settings.json"))
train, test = train.drop(columns="id"), test.drop(columns="id")
for name in train.select_dtypes("number"):
    train[name], test[name] = train[name].astype("float32"), test[name].astype("float32")
for name in train.select_dtypes(exclude="number"):
    train[name] = train[name].astype("category")
    test[name] = test[name].astype(train[name].dtype)
scores, predicted = [], 0
for k in range(5):
    inside = fold == k
    model = lightgbm.LGBMClassifier(**settings).fit(train[~inside], y[~inside])
    scores.append(roc_auc_score(y[inside], model.predict_proba(train[inside])[:, 1]))
    predicted += model.predict_proba(test)[:, 1] / 5
print(json.dumps(scores))
"""


def make_workspace(folder: Path, rows: int) -> None:
    """Made-up rows whose label hangs on a few columns, and one experiment."""
    for name, text in {"competition.toml": FACTS, "contest.py": LOAD, "experiments/one.py": EXPERIMENT}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "experiments" / "__init__.py").touch()
    rng, raw = np.random.default_rng(0), folder / "data" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", rows), ("test", rows // 10)):
        made = pd.DataFrame(rng.normal(size=(n, 30)).round(4), columns=[f"x{i}" for i in range(30)])
        for i, levels in enumerate((3, 10, 50, 200, 1000)):
            words = np.array(["".join(letters) for letters in product("aeiou", "bdklm", "aeiou", "bdklmnrs")])
            made[f"c{i}"] = words[rng.integers(levels, size=n)]  # of codes such as v12 the engine would make numbers
        chance = 1 / (1 + np.exp(-(made["x0"] + made["x1"] * made["x2"] + (made["c1"] == "abad"))))
        made.insert(0, "id", np.arange(n) + (rows if part == "test" else 0))
        if part == "train":
            made["y"] = (rng.random(n) < chance).astype(int)
        else:
            made[["id"]].assign(y=0).to_csv(raw / "sample_submission.csv", index=False)
        made.to_csv(raw / f"{part}.csv", index=False)


def cost(command: list[str], folder: Path) -> tuple[float, float, str]:
    """CPU-seconds, the most memory in MB, and what was printed."""
    compiled = {"PYTHONPYCACHEPREFIX": str(HERE.parents[1] / ".cache" / "pycache"), "PYTHONDONTWRITEBYTECODE": ""}
    environment = os.environ | ONE_THREAD | compiled | {"PYTHONPATH": str(WORKSPACE)}
    lines = f"import resource, subprocess, sys; done = subprocess.run({command!r}, stdout=subprocess.PIPE, text=True)"
    told = "; use = resource.getrusage(resource.RUSAGE_CHILDREN); import json"
    told += "; print(json.dumps([use.ru_utime + use.ru_stime, use.ru_maxrss, done.returncode, done.stdout]))"
    done = subprocess.run(
        [sys.executable, "-c", lines + told], cwd=folder, env=environment, capture_output=True, text=True
    )
    seconds, memory, status, printed = json.loads(done.stdout)
    if status:
        sys.exit(f"{command[:4]} failed: {done.stderr[-2000:]}")
    return seconds, memory / (2**20 if sys.platform == "darwin" else 2**10), printed


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    print("| rows | kgl CPU s | by hand | ratio | kgl MB | by hand | ratio |\n|---|---|---|---|---|---|---|")
    for rows in parser.parse_args().rows:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_workspace(folder, rows)
            cost([sys.executable, "-m", "kgl", "folds"], folder)
            (folder / "settings.json").write_text(json.dumps(PARAMS | OURS))
            sides = [sys.executable, "-m", "kgl", "train", "one"], [sys.executable, "-c", BY_HAND]
            with ThreadPoolExecutor(2) as both:
                ours, hand = both.map(cost, sides, (folder, folder))
            run = ours[2].split()[-1]
            scores = json.loads((folder / "runs" / run / "run.json").read_text())["fold_scores"]
            apart = max(abs(a - b) for a, b in zip(scores, json.loads(hand[2]), strict=True))
            ratios = ours[0] / hand[0], ours[1] / hand[1]
            if apart > 0.02:
                sys.exit(f"scores are apart by {apart:.4f}: the sides do not do the same work.")
            cells = (f"{rows:,}", *(f"{x:.0f}" for x in (ours[0], hand[0])), f"{ratios[0]:.2f}")
            print(
                "| " + " | ".join((*cells, f"{ours[1]:.0f}", f"{hand[1]:.0f}", f"{ratios[1]:.2f}")) + " |", flush=True
            )


if __name__ == "__main__":
    main()
