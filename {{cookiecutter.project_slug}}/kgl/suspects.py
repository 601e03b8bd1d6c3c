"""What may be wrong with a split or a column: groups and twins in several folds, drift, leaks, ids. In seconds."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.competition import of_kind
from kgl.errors import KglError, some
from kgl.findings import Finding
from kgl.paths import find_workspace
from kgl.tables import ID, Data, dealt_targets, load_data

FEW_LEVELS = 50  # a column of fewer different texts is a category, not a name
SAMPLE = 20_000  # rows that columns are looked at on
FOREST_SAMPLE = 3000  # of train and of test
BINS, SMOOTHING = 20, 5.0
SHOWN_FROM = 0.05  # of the rows
LEAKS_FROM = 0.9  # of the target's variance
DRIFTS_FROM = 0.55  # AUC
SEED = 0


def check_split(data: Data, fold_of: Array) -> Iterator[Finding]:
    """All that this file knows, of a split of these rows."""
    hidden = (ID, *data.competition.id, *(of_kind(data.competition.kind, "COLUMNS") or ()))
    names = [str(c) for c in data.train.columns if c not in hidden and data.train[c].notna().any()]
    yield from _links(data, names, fold_of)
    yield from _twins(data, names, fold_of)
    yield from _ids(data, names)
    yield from _leaks(data, names, fold_of)
    yield from _drift(data, names)
    yield from _of_target(data)


def _links(data: Data, names: list[str], fold_of: Array) -> Iterator[Finding]:
    """Columns such as ticket numbers with equal values in rows of several folds, and whether test is like that."""
    for name in names:
        values = data.train[name]
        is_whole = values.dtype.kind in "iu"
        if values.dtype.kind in "bfMm" or not FEW_LEVELS < values.nunique() < len(values):
            continue
        if is_whole and not values.min() <= data.test[name].median() <= values.max():
            continue  # time that passes, or drift: not groups
        rows, inside, outside = _shared(values, fold_of, data.test[name])
        what = f"{rows} rows share their {name} with rows of another fold ({inside:.0%}), test with train {outside:.0%}"
        if inside - outside > _margin(data.test):
            scheme = "group" if data.target.task == "regression" else "stratified_group"
            mend = f"Kaggle kept them apart, so should you: kgl init folds.scheme={scheme} folds.group={name}"
            yield Finding("warn", what, mend)
        elif inside > SHOWN_FROM and not is_whole:
            yield Finding("ok", f"{what}: folds are dealt like the test")


def _twins(data: Data, names: list[str], fold_of: Array) -> Iterator[Finding]:
    """Rows that are equal in all columns."""
    train, test = (pd.util.hash_pandas_object(rows[names], index=False) for rows in (data.train, data.test))
    rows, inside, outside = _shared(train, fold_of, test)
    if inside - outside > _margin(data.test):
        what = f"{rows} rows equal a row of another fold in every column ({inside:.0%}), of test {outside:.0%}"
        yield Finding("warn", what, "scores are too good by that: drop the copies in load() of contest.py")


def _shared(train: pd.Series, fold_of: Array, test: pd.Series) -> tuple[int, float, float]:
    """How many validated rows have a value of another fold; their share; the share of test rows with one of train."""
    spread = pd.Series(fold_of).groupby(train.to_numpy()).transform("nunique").to_numpy() > 1
    validated = fold_of >= 0
    rows = int((spread & validated).sum())
    return rows, rows / max(int(validated.sum()), 1), float(test[test.notna()].isin(train).sum() / max(len(test), 1))


def _margin(test: pd.DataFrame) -> float:
    """What differs by more in train and test is no chance."""
    return float(0.05 + 1.5 / np.sqrt(max(len(test), 1)))


def _ids(data: Data, names: list[str]) -> Iterator[Finding]:
    for name in names:
        values = pd.concat([data.train[name], data.test[name]])
        if values.dtype.kind == "f" or values.nunique() < len(values):
            continue
        if values.dtype.kind in "iu":
            dense = values.max() - values.min() < 2 * len(values)
            is_id = dense or re.search(r"(^|_|[a-z])(id|Id|ID)$|index|^unnamed", name)
        else:
            is_id = values.dtype.kind not in "bMm" and values.astype(str).str.contains(r"\s").mean() < 0.1
        if is_id:
            what = f"{name} is different in every row: an id among the features?"
            yield Finding("warn", what, f"if so: drop={name}, or what is in it (a date, a group) as a feature")


def _leaks(data: Data, names: list[str], fold_of: Array) -> Iterator[Finding]:
    rows = _sample(np.flatnonzero(fold_of >= 0), SAMPLE)
    targets = data.target.as_predictions(data.y)[rows]
    if not data.target.one_label:
        targets = pd.DataFrame(targets).rank().to_numpy()  # a few large values would hide the others
    for name in names:
        share = _explained(targets, one_column(data.train[name].iloc[rows], targets, fold_of[rows]))
        if share > LEAKS_FROM:
            what = f"{name} alone tells {share:.0%} of the target"
            yield Finding("warn", what, f"is it known before the target is? If not, it is a leak: drop={name}")


def _of_target(data: Data) -> Iterator[Finding]:
    """Columns that load() makes of the target, such as means by shop: each row's has seen its own label."""
    try:
        with dealt_targets():
            again = load_data(find_workspace()).train
    except KglError:  # what cannot be loaded so cannot be told
        return
    again = again[again[ID].isin(data.train[ID])].set_index(ID)  # rows may be chosen by the target, too
    known = data.train.set_index(ID).loc[again.index]
    if changed := [column for column in again if column in known and not again[column].equals(known[column])]:
        what = f"load() of contest.py makes {some(changed)} of the target: scores are too good by that"
        yield Finding("warn", what, "fit it inside the fold: a transformer (fit, transform) in features.py")


def one_column(values: pd.Series, targets: Array, fold_of: Array) -> Array:
    """(n, columns) means of the targets by level of one column (numbers in quantiles), each fold's from the others."""
    if values.dtype.kind in "biufMm" and values.nunique() > BINS:
        values = values.rank(pct=True).mul(BINS).round()
    levels = pd.factorize(values, use_na_sentinel=False)[0]
    table = pd.DataFrame(np.column_stack([targets, np.ones(len(targets))]))
    other = table.groupby(levels).transform("sum") - table.groupby([levels, fold_of]).transform("sum")
    seen = other.to_numpy()
    return np.asarray((seen[:, :-1] + SMOOTHING * targets.mean(axis=0)) / (seen[:, -1:] + SMOOTHING))


def best_column(data: Data, fold_of: Array) -> tuple[str, Array]:
    """The floor: the one column that tells most of the target, and its out-of-fold predictions."""
    targets, rows = data.target.as_predictions(data.y), _sample(np.flatnonzero(fold_of >= 0), SAMPLE)
    few, told = data.train.iloc[rows], {}
    for name in [str(c) for c in data.train if c not in (ID, *data.competition.id)] or [ID]:
        told[name] = _explained(targets[rows], one_column(few[name], targets[rows], fold_of[rows]))
    best = max(told, key=told.__getitem__)
    return best, one_column(data.train[best], targets, fold_of)


def _explained(targets: Array, predictions: Array) -> float:
    return 1 - float(np.sum((targets - predictions) ** 2) / max(np.sum((targets - targets.mean(axis=0)) ** 2), 1e-12))


def _drift(data: Data, names: list[str]) -> Iterator[Finding]:
    """Adversarial validation: whether a forest can tell train from test, by one row of each group or of equal rows."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    group, parts = data.competition.folds.group, (data.train, data.test)
    alike = [group] if all(group in rows for rows in parts) else names or None  # out of bag, they would know each other
    n = min(*map(len, parts), FOREST_SAMPLE)
    drawn = [rows.iloc[_sample(np.arange(len(rows)), n)].drop_duplicates(alike) for rows in parts]
    n, known = min(map(len, drawn)), pd.concat(drawn)
    table = {name: _numbers(known[name]) for name in names if _is_drawn_again(known[name])}
    if n < FEW_LEVELS or not table:
        return
    is_test = np.repeat([0, 1], [*map(len, drawn)])
    forest = RandomForestClassifier(100, min_samples_leaf=5, oob_score=True, random_state=SEED)
    forest.fit(np.column_stack(list(table.values())), is_test)
    auc = float(roc_auc_score(is_test, forest.oob_decision_function_[:, 1]))
    error = _auc_error(auc, n)
    what = f"a forest tells train from test with AUC {auc:.2f} ± {error:.2f}"
    if auc - 2 * error < DRIFTS_FROM:
        return (yield Finding("ok", f"{what}: they look alike"))
    top = sorted(zip(forest.feature_importances_, table, strict=True), reverse=True)[:3]
    most = ", ".join(f"{name} {share:.0%}" for share, name in top if share > 1 / len(table))
    mend = f"train without them and compare (drop={top[0][1]})"
    if data.competition.folds.scheme != "time":
        mend += "; if it is time that passes: folds.scheme=time"
    yield Finding("warn", f"{what}; by {most}", mend)


def _is_drawn_again(values: pd.Series) -> bool:
    """Whether values come again; names, and groups that `_links` knows, tell nothing of drift."""
    return values.dtype.kind in "bfiuMm" or values.nunique() <= FEW_LEVELS


def _numbers(values: pd.Series) -> Array:
    if values.dtype.kind in "Mm":
        values = values.astype("int64").where(values.notna())
    if values.dtype.kind in "biuf":
        return values.to_numpy(dtype=float, na_value=np.nan).clip(-1e30, 1e30)
    return pd.factorize(values, sort=True)[0].astype(float)


def _auc_error(auc: float, n: int) -> float:
    """Hanley and McNeil, The Meaning and Use of the Area under a ROC Curve (1982), n rows of each kind."""
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return float(np.sqrt((auc * (1 - auc) + (n - 1) * (first + second - 2 * auc**2)) / n**2))


def _sample(rows: Array, most: int) -> Array:
    chosen = np.random.default_rng(SEED).choice(rows, min(most, len(rows)), replace=False)
    return np.sort(chosen)
