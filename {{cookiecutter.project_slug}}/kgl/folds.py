"""The split of the training rows: made once, kept in git, shared by every experiment."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.competition import FoldSettings, Scheme
from kgl.config import nearest
from kgl.errors import KglError, usage
from kgl.fold_file import hash_folds, read_assignment, write_assignment
from kgl.tables import Data, text_ids

Array = NDArray[Any]
Mask = NDArray[np.bool_]
NEVER_VALIDATED = -1


@dataclass(frozen=True)
class Folds:
    """The fold of each id, and the scheme that says which rows train for which fold."""

    scheme: Scheme
    fold_of: pd.Series  # index: id, value: fold

    @property
    def numbers(self) -> tuple[int, ...]:
        """The folds that are validated, in order."""
        return tuple(sorted(int(k) for k in self.fold_of.unique() if k != NEVER_VALIDATED))

    def hash(self) -> str:
        """See `kgl.fold_file.hash_folds`."""
        return hash_folds(self.scheme, self.fold_of.index, self.fold_of)

    def of(self, data: Data) -> Array:
        """The fold of each training row, joined by id; rows marked external are -1.

        Raises:
            KglError: a row has no fold.
        """
        fold = data.ids.map(self.fold_of).mask(data.external, NEVER_VALIDATED)
        lost = data.ids[fold.isna()]
        if len(lost):
            raise KglError(
                f"{len(lost)} training rows have no fold in data/folds.parquet (the first: {lost.iloc[0]!r}); "
                "make the folds again with kgl folds --force, or mark added rows in a column 'external'."
            )
        return fold.to_numpy(dtype=int)

    def training(self, fold_of_rows: Array, k: int) -> Mask:
        """Which rows the model of fold k is trained on: all others, or for scheme time those before it."""
        return np.asarray(fold_of_rows < k if self.scheme == "time" else fold_of_rows != k)

    def holdout(self, fold_of_rows: Array, k: int, time_rank: Array | None = None) -> Mask:
        """The part of fold k's training rows that its own choices (the number of rounds) are made on.

        The next fold, so that groups stay whole; for scheme time the last fifth of the training rows.
        """
        training = self.training(fold_of_rows, k)
        if self.scheme == "time" and time_rank is not None:
            return training & (time_rank > np.quantile(time_rank[training], 0.8))
        others = [j for j in self.numbers if j != k and (fold_of_rows[training] == j).any()]
        if not others:
            raise KglError(f"fold {k} has no other fold to choose the number of rounds on; fix n_estimators in params.")
        following = next((j for j in others if j > k), others[0])
        return training & (fold_of_rows == following)


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
    write_assignment(path, replace(settings, scheme=folds.scheme), folds.fold_of.index, folds.fold_of)


def read_folds(path: Path, settings: FoldSettings) -> Folds:
    """Read data/folds.parquet; raises as `read_assignment` does."""
    scheme, ids, fold = read_assignment(path, settings)
    return Folds(scheme, pd.Series(fold, index=pd.Index(ids, name="id", dtype="str"), name="fold", dtype=int))


def _split(data: Data, inside: Array, scheme: str, settings: FoldSettings, groups: Array | None) -> Array:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    options: dict[str, Any] = {"n_splits": settings.n_splits, "shuffle": True, "random_state": settings.seed}
    strata = strata_of(data)[inside] if scheme.startswith("stratified") else None
    if groups is not None and len(np.unique(groups)) < settings.n_splits:
        raise KglError(f"{len(np.unique(groups))} groups are too few for {settings.n_splits} folds.")
    splitter: Any
    if groups is None:
        splitter = KFold(**options) if strata is None else StratifiedKFold(**options)
    else:
        splitter = GroupKFold(**options) if strata is None else StratifiedGroupKFold(**options)
    fold = np.full(len(inside), NEVER_VALIDATED)
    for k, (_, validated) in enumerate(splitter.split(np.zeros(len(inside)), strata, groups)):
        fold[validated] = k
    return fold


def strata_of(data: Data, bins: int = 10) -> Array:
    """What the folds keep in equal shares: the label, the set of labels, or the target's decile.

    Sets of labels too rare to be spread share one stratum.
    """
    y = data.y
    if data.target.task in ("regression", "ordinal") and len(np.unique(y)) > bins:
        first = y if y.ndim == 1 else y[:, 0]
        return np.asarray(pd.qcut(pd.Series(first).rank(method="first"), bins, labels=False))
    codes = pd.factorize(y if y.ndim == 1 else pd.Series(["".join(map(str, row)) for row in y]))[0]
    if data.target.one_label:
        return np.asarray(codes)
    common = np.bincount(codes)[codes] >= bins
    return np.where(common, codes, -1)


def find_groups(data: Data, settings: FoldSettings, scheme: str) -> Array | None:
    """The group of each row that must stay in one fold: the group column, rows of one id, or both joined together."""
    keys = []
    if "group" in scheme:
        if not settings.group:
            raise usage(f"competition.toml: folds: scheme {scheme} needs group (a column, or features:function).")
        keys.append(_group_key(data, settings.group))
    ids = text_ids(data.full, data.competition.id)
    if ids is not None and ids[~data.external].duplicated().any():
        keys.append(ids)
    return _connected([pd.factorize(key, use_na_sentinel=False)[0] for key in keys]) if keys else None


def _group_key(data: Data, group: str) -> pd.Series:
    module, colon, name = group.partition(":")
    if colon:
        function = getattr(importlib.import_module(module), name, None)
        if function is None:
            raise usage(f"competition.toml: folds: group: {module}.py has no function '{name}'.")
        made: pd.Series = function(data.full)
        return made
    return _column(data, group, "group")


def _column(data: Data, column: str, key: str) -> pd.Series:
    if column not in data.full:
        hint = nearest(column, map(str, data.full.columns))
        raise usage(f"competition.toml: folds: {key}: train has no column '{column}'.{hint}")
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
    """The place in time of each row, equal times sharing one number.

    Raises:
        KglError: no time column, or values that are neither numbers nor dates.
    """
    if not settings.time:
        raise usage("competition.toml: folds: scheme time needs time (a column of dates or numbers).")
    values = _column(data, settings.time, "time")
    if not pd.api.types.is_numeric_dtype(values):
        try:
            values = pd.to_datetime(values)
        except ValueError as error:
            raise KglError(f"column '{settings.time}' is not a time: {str(error).splitlines()[0]}") from None
    if values[~data.external].isna().any():
        raise KglError(f"column '{settings.time}' is missing in {int(values.isna().sum())} training rows.")
    return np.asarray(values.rank(method="dense").fillna(0).to_numpy(dtype=int))


def _time_folds(rank: Array, n_splits: int) -> Array:
    """Blocks of nearly equal size in time; the first only trains. Rows of one time stay together."""
    times, counts = np.unique(rank, return_counts=True)
    if len(times) <= n_splits:
        raise KglError(f"{len(times)} different times are too few for {n_splits} folds and a first block to train on.")
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    block = np.minimum((middle * (n_splits + 1)).astype(int), n_splits)
    block = _no_empty_blocks(block, n_splits)
    return np.asarray(block[np.searchsorted(times, rank)] - 1)


def _no_empty_blocks(block: Array, last: int) -> Array:
    """Blocks 0..last in order, each with at least one time, however uneven the times are."""
    block = block.copy()
    for i in range(len(block)):
        previous = block[i - 1] if i else -1
        block[i] = min(max(block[i], 0), previous + 1)
        block[i] = max(block[i], previous, last - (len(block) - 1 - i))
    return block


def summary(folds: Folds, data: Data) -> pd.DataFrame:
    """A row a fold: how many rows validate and train, and the target there (share of each label, or the mean)."""
    fold_of_rows = folds.of(data)
    rows = []
    for k in folds.numbers:
        inside = fold_of_rows == k
        row: dict[str, Any] = {"fold": k, "validated": int(inside.sum())}
        row["trains"] = int(folds.training(fold_of_rows, k).sum())
        if data.target.one_label and len(data.target.labels) <= 6:
            shares = np.bincount(data.y[inside], minlength=len(data.target.labels)) / max(inside.sum(), 1)
            row |= {f"share of {label}": round(float(s), 4) for label, s in zip(data.target.labels, shares, strict=True)}
        elif not data.target.one_label:
            row["target mean"] = float(np.mean(data.y[inside]))
        rows.append(row)
    return pd.DataFrame(rows)



