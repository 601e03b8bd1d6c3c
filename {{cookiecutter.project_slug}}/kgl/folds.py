"""The split of the training rows: made once, kept in git, shared by every experiment."""

import importlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.arrays import Array
from kgl.competition import FoldSettings, Scheme, of_kind
from kgl.config import missing_column
from kgl.errors import KglError, reason, usage
from kgl.fold_file import hash_folds, read_assignment, write_assignment
from kgl.tables import Data, text_ids
from kgl.target import Target

Mask = NDArray[np.bool_]
NEVER_VALIDATED = -1
UNDATED = 0  # the time rank of external rows
MOST_SHOWN = 6  # labels or targets that a summary has columns for


@dataclass(frozen=True)
class Folds:
    """The fold of each id, and the scheme that says which rows train for which fold."""

    scheme: Scheme
    fold_of: pd.Series  # index: id, value: fold

    @property
    def numbers(self) -> tuple[int, ...]:
        """The folds that are validated, in order."""
        return tuple(sorted(int(k) for k in self.fold_of.unique() if k > NEVER_VALIDATED))

    @property
    def trained(self) -> tuple[int, ...]:
        """The folds that models are trained for: those validated, and for scheme time one after all rows."""
        return (*self.numbers, max(self.numbers) + 1) if self.numbers and self.scheme == "time" else self.numbers

    @property
    def predicting(self) -> tuple[int, ...]:
        """The folds whose models predict test: all; for scheme time the one of all rows, the others know less."""
        return self.trained[len(self.numbers) :] or self.numbers

    def hash(self) -> str:
        """See `kgl.fold_file.hash_folds`."""
        return hash_folds(self.scheme, self.fold_of.index.tolist(), self.fold_of.tolist())

    def of(self, data: Data) -> Array:
        """The fold of each training row, joined by id; rows marked external are -1.

        Raises:
            KglError: a row has no fold, or a fold no rows.
        """
        same = self.fold_of.index.equals(pd.Index(data.ids))  # usually so; joining many ids takes much memory
        fold = pd.Series(self.fold_of.to_numpy()) if same else data.ids.map(self.fold_of)
        fold = fold.mask(data.external, NEVER_VALIDATED)
        lost = data.ids[fold.isna()]
        if len(lost):
            raise KglError(
                f"{len(lost)} training rows have no fold in data/folds.parquet (the first: {lost.iloc[0]!r}); "
                "make the folds again with kgl folds --force, or mark added rows in a column 'external'."
            )
        of_rows = fold.to_numpy(dtype=int)
        for k in self.numbers:
            if not (of_rows == k).any() or not self.training(of_rows, k).any():
                raise KglError(f"fold {k} has no rows left to train or validate on; make the folds again with --force.")
        return of_rows

    def training(self, fold_of_rows: Array, k: int) -> Mask:
        """Which rows the model of fold k is trained on: all others, or for scheme time those before it."""
        return np.asarray(fold_of_rows < k if self.scheme == "time" else fold_of_rows != k)

    def holdout(self, fold_of_rows: Array, k: int, time_rank: Array | None = None) -> Mask:
        """The part of fold k's training rows that its own choices (the number of rounds) are made on.

        The next fold, so that groups stay whole; for scheme time the last fifth of the training rows. Nothing where it
        would leave nothing to learn from: with two folds, or all rows of one time.
        """
        training = self.training(fold_of_rows, k)
        others = [j for j in self.numbers if (fold_of_rows[training] == j).any()]
        chosen = np.zeros(len(fold_of_rows), dtype=bool)
        if time_rank is not None and (dated := time_rank[training & (time_rank > UNDATED)]).size:
            chosen = time_rank > min(np.quantile(dated, 0.8), dated.max() - 1)
        elif len(others) > 1:
            chosen = fold_of_rows == next((j for j in others if j > k), others[0])
        chosen &= training
        return np.asarray(chosen & (training & ~chosen).any())


def make_folds(data: Data, settings: FoldSettings) -> Folds:
    """Split the training rows as competition.toml says.

    Args:
        data: the training table; rows marked external get fold -1.
        settings: scheme, number of folds, seed, group and time.

    Raises:
        KglError: a column that does not exist, a scheme that lacks its column, too few rows or groups for the folds.
    """
    scheme: Scheme = settings.scheme or ("stratified" if data.target.task != "regression" else "kfold")
    inside = np.flatnonzero(~data.external)
    if len(inside) < settings.n_splits * 2:
        raise KglError(f"{len(inside)} training rows are too few for {settings.n_splits} folds.")
    fold = np.full(len(data.full), NEVER_VALIDATED)
    if scheme == "time":
        fold[inside] = _time_folds(time_rank(data, settings)[inside], settings.n_splits)
    else:
        groups = find_groups(data, settings, scheme)
        fold[inside] = _split(data, inside, scheme, settings, None if groups is None else groups[inside])
    return Folds(scheme, pd.Series(fold, index=pd.Index(data.ids, name="id"), name="fold"))


def save_folds(path: Path, folds: Folds, settings: FoldSettings) -> None:
    """Write data/folds.parquet."""
    write_assignment(path, replace(settings, scheme=folds.scheme), folds.fold_of.index.tolist(), folds.fold_of.tolist())


def read_folds(path: Path, settings: FoldSettings) -> Folds:
    """Read data/folds.parquet; raises as `read_assignment` does."""
    scheme, ids, fold = read_assignment(path, settings)
    return Folds(scheme, pd.Series(fold, index=pd.Index(ids, name="id", dtype="str"), name="fold", dtype=int))


def _split(data: Data, inside: Array, scheme: str, settings: FoldSettings, groups: Array | None) -> Array:
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

    n_splits = settings.n_splits
    strata = (
        strata_of(data.target, data.y[inside], n_splits) if scheme.startswith("stratified") else np.zeros(len(inside))
    )
    if groups is not None and (found := len(np.unique(groups))) < n_splits:
        raise KglError(f"{found} groups are too few for {n_splits} folds.")
    if np.unique(strata, return_counts=True)[1].max() < n_splits:
        raise KglError(f"every label has fewer than {n_splits} rows, one for each fold; use scheme kfold or group.")
    plain = StratifiedKFold if scheme == "stratified" else KFold
    splitter: Any = StratifiedGroupKFold if groups is not None else plain
    splits = splitter(n_splits=n_splits, shuffle=True, random_state=settings.seed)
    fold = np.full(len(inside), NEVER_VALIDATED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label rarer than the folds: it is spread as far as it goes
        for k, (_, validated) in enumerate(splits.split(np.zeros(len(inside)), strata, groups)):
            fold[validated] = k
    return fold


def strata_of(target: Target, y: Array, n_splits: int) -> Array:
    """What the folds keep in equal shares: the label, the set of labels, or the (first) target's decile.

    Sets of labels too rare to be spread share one stratum.
    """
    bins = min(10, len(y) // n_splits)
    if target.task in ("regression", "ordinal") and len(np.unique(y)) > bins:
        first = y if y.ndim == 1 else y[:, 0]
        return np.asarray(pd.qcut(pd.Series(first).rank(method="first"), bins, labels=False))
    if y.ndim == 1:
        return np.asarray(np.unique(y, return_inverse=True)[1])
    codes = np.unique(y, axis=0, return_inverse=True)[1].ravel()
    return np.where(np.bincount(codes)[codes] >= n_splits, codes, -1)


def find_groups(data: Data, settings: FoldSettings, scheme: str) -> Array | None:
    """The group of each row that must stay in one fold: the group column, rows of one id or equal pictures, joined."""
    keys = []
    if "group" in scheme:
        if not settings.group:
            raise usage(f"competition.toml: folds: scheme {scheme} needs group (a column, or features:function).")
        keys.append(_group_key(data, settings.group))
    ids = text_ids(data.full, data.competition.id)
    if ids is not None and ids[~data.external].duplicated().any():
        keys.append(ids)
    equal = of_kind(data.competition.kind, "equal_rows")
    if equal and (same := equal(data)) is not None:
        keys.append(same)
    return _connected([_codes(key) for key in keys]) if keys else None


def _codes(key: Any) -> Array:
    """A number for each value; rows without one are nobody's kin."""
    codes = pd.factorize(key)[0]
    alone = codes < 0
    return np.asarray(np.where(alone, codes.max() + np.cumsum(alone), codes))


def _group_key(data: Data, group: str) -> pd.Series:
    module, colon, name = group.partition(":")
    if not colon:
        return _column(data, group, "group")
    where = f"competition.toml: folds.group: {module}.py, {name}()"
    try:
        made = pd.Series(getattr(importlib.import_module(module), name)(data.full))
    except (Exception, SystemExit) as error:  # of exit(), too
        raise KglError(f"{where}: {type(error).__name__}: {reason(error)}. --debug shows where.") from error
    if len(made) != len(data.full):
        raise KglError(f"{where}: gives {len(made)} groups for {len(data.full)} rows; give one for each row.")
    return made


def _column(data: Data, column: str, key: str) -> pd.Series:
    if column not in data.full:
        raise missing_column("train", column, data.full.columns, f"folds.{key}")
    values: pd.Series = data.full[column]
    return values


def _connected(keys: list[Array]) -> Array:
    """Rows that share any key, directly or through others, get one number."""
    if len(keys) == 1:
        return keys[0]
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, offset, rows, nodes = len(keys[0]), 0, [], []
    for key in keys:
        rows.append(np.arange(n))
        nodes.append(n + offset + key)
        offset += int(key.max()) + 1
    edges = (np.ones(n * len(keys)), (np.concatenate(rows), np.concatenate(nodes)))
    return np.asarray(connected_components(coo_array(edges, shape=(n + offset, n + offset)), directed=False)[1][:n])


def time_rank(data: Data, settings: FoldSettings) -> Array:
    """The place in time of each row from 1 on, equal times sharing one number; 0 for external rows.

    Raises:
        KglError: no time column, or values that are neither numbers nor dates.
    """
    if not settings.time:
        raise usage("competition.toml: folds: scheme time needs time (a column of dates or numbers).")
    values = _column(data, settings.time, "time")
    if (numbers := pd.to_numeric(values, errors="coerce")).notna().sum() == values.notna().sum():
        values = numbers  # of an id, which is text
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that each value is read by itself
                values = pd.to_datetime(values)
        except (ValueError, TypeError) as error:
            raise KglError(f"column '{settings.time}' is not a time: {reason(error)}.") from None
    values = values.mask(data.external)
    if missing := int((values.isna() & ~data.external).sum()):
        raise KglError(f"column '{settings.time}' is missing in {missing} training rows; fill it in contest.py.")
    return np.asarray(values.rank(method="dense").fillna(UNDATED).to_numpy(dtype=int))


def _time_folds(rank: Array, n_splits: int) -> Array:
    """Blocks of nearly equal size in time; the first only trains. Rows of one time stay together."""
    times, counts = np.unique(rank, return_counts=True)
    if len(times) <= n_splits:
        raise KglError(f"{len(times)} different times are too few for {n_splits} folds and a first block to train on.")
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    block, place = np.minimum((middle * (n_splits + 1)).astype(int), n_splits), np.arange(len(times))
    block = place + np.minimum.accumulate(np.minimum(block - place, 0))  # however uneven the times, none is left out
    block = np.maximum(block, n_splits - place[::-1])
    return np.asarray(block[np.searchsorted(times, rank)] - 1)


def summary(folds: Folds, data: Data) -> pd.DataFrame:
    """A row a fold: how many rows validate and train, and the target there: the share of each label, or means."""
    fold_of_rows, truth = folds.of(data), data.target.as_predictions(data.y)
    what = "share" if data.target.one_label else "mean"
    names = [f"{what} of {column.removeprefix('p_')}" for column in data.target.columns]
    rows = []
    for k in folds.numbers:
        inside = fold_of_rows == k
        row: dict[str, Any] = {"fold": k, "validated": int(inside.sum())}
        row["trains"] = int(folds.training(fold_of_rows, k).sum())
        if len(names) <= MOST_SHOWN:
            means = truth[inside].mean(axis=0).round(4).tolist()
            row |= dict(zip(names, means, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)
