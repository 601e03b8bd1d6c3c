"""The section on what the best model on tables looks at: gain of its trees, and what shuffling a column costs it."""

import time
from collections import defaultdict
from typing import cast

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.blend import blend_weights
from kgl.experiment import load_experiment
from kgl.fold_task import add_stacked
from kgl.paths import Workspace
from kgl.predict import saved_source
from kgl.report.material import Material
from kgl.report.pictures import bars
from kgl.report.section import Picture, Section
from kgl.runs import Run, run_folder, saved_models
from kgl.scoring import loss
from kgl.tabular.features import apply_transformers
from kgl.tabular.learner import FittedTabular

ROWS = 2000  # of each fold that columns are shuffled in
SHOWN = 15
SECONDS = 6.0
CELLS = 20_000_000
Found = dict[str, dict[str, list[float]]]  # way, column, a value a fold


def importance(m: Material) -> Section | None:
    """What columns are worth to the best run on tables, with the spread over folds."""
    weights = {run.run: blend_weights(run) for run in m.ranked}
    first = max(weights[m.ranked[0].run], key=weights[m.ranked[0].run].__getitem__, default=m.ranked[0].run)
    run = next((run for run in m.ranked if run.run == first), m.ranked[0])
    if run.kind != "tabular":
        return None
    found = _measure(m, run)
    titles = {"cost": f"Worse by, in {m.metric.loss}, when the column is shuffled", "gain": "Share of the trees' gain"}
    blocks = [_picture(titles[way], columns) for way, columns in found.items() if columns]
    lead = f"{run.run}: the mean over folds, the thin line is the standard deviation over them."
    return Section(lead, blocks)


def _picture(title: str, columns: dict[str, list[float]]) -> Picture:
    top = sorted(columns, key=lambda name: -float(np.mean(columns[name])))[:SHOWN]
    means, spread = (np.array([f(columns[name]) for name in top]) for f in (np.mean, np.std))
    left = f"The first {SHOWN} of {len(columns)}." if len(columns) > SHOWN else ""
    return Picture(bars(top, {"": means}, "", spread), title, left)


def _measure(m: Material, run: Run) -> Found:
    folder, session = run_folder(m.workspace, run.run), m.session
    found: Found = {"cost": defaultdict(list), "gain": defaultdict(list)}
    with saved_source(folder / "source"):
        experiment = load_experiment(Workspace(folder / "source"), run.experiment).as_trained(run.config, folder)
        rows = add_stacked(session, experiment.prepare_rows(m.data.train), experiment.stack_on, "oof")
        until = time.monotonic() + SECONDS
        for fold, (path, *_) in zip(session.folds.numbers, saved_models(m.workspace, run), strict=False):
            if time.monotonic() > until and found["cost"]:
                break
            model, inside = cast(FittedTabular, experiment.load(path)), np.flatnonzero(session.fold_of == fold)[:ROWS]
            for name, cost in _costs(m, model, rows.iloc[inside].reset_index(drop=True), m.data.y[inside]).items():
                found["cost"][name].append(cost)
            for name, gain in _gains(model).items():
                found["gain"][name].append(gain)
    return found


def _costs(m: Material, model: FittedTabular, rows: pd.DataFrame, y: Array) -> dict[str, float]:
    """By how much the loss grows when a column's values are dealt to other rows (Breiman, Random Forests, 2001)."""
    columns, order = model.columns, np.random.default_rng(0).permutation(len(rows))
    rows = apply_transformers(columns.transformers, rows)
    columns.transformers = []  # what they made is shuffled like any other column

    def measured(table: pd.DataFrame) -> list[float]:
        values = model.predict(table).reshape(-1, len(rows), len(m.data.target.columns))
        return [loss(m.metric, m.data.target, y, of_one) for of_one in values]

    plain, found = measured(rows)[0], dict[str, float]()
    at_once = max(1, CELLS // rows.size)  # of the columns: one long table is predicted sooner than many short ones
    for first in range(0, len(columns.names), at_once):
        names = columns.names[first : first + at_once]
        shuffled = [rows.assign(**{name: rows[name].to_numpy()[order]}) for name in names]
        found |= dict(zip(names, measured(pd.concat(shuffled, ignore_index=True)), strict=True))
    return {name: value - plain for name, value in found.items()}


def _gains(model: FittedTabular) -> dict[str, float]:
    """Shares of the gain, of each column, of boosted trees."""
    prepared = model.columns.preparer
    if hasattr(prepared, "codes"):
        names = [*prepared.numbers, *prepared.codes]
    elif hasattr(prepared, "encoders"):  # a block of all levels for each of them
        names = [*prepared.numbers, *(prepared.levels * len(prepared.encoders))]
    else:
        return {}
    gains = np.zeros(len(names))
    for one in model.models:
        trees = getattr(one, "booster", one)
        if hasattr(trees, "feature_importance"):  # LightGBM
            gains += trees.feature_importance("gain")
        elif hasattr(trees, "get_score"):  # XGBoost
            gains += [trees.get_score(importance_type="total_gain").get(f"f{i}", 0.0) for i in range(len(names))]
        elif hasattr(trees, "get_feature_importance"):  # CatBoost
            gains += trees.get_feature_importance()
    shares: dict[str, float] = defaultdict(float)
    for name, gain in zip(names, gains, strict=True):
        shares[name] += float(gain) / max(float(gains.sum()), 1e-300)
    return shares if gains.any() else {}
