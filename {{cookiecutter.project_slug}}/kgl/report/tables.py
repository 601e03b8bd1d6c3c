"""Sections on the contest's tables: facts, columns, train beside test, target, folds, and what looks odd in them."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy.stats
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from kgl.arrays import Array
from kgl.folds import summary
from kgl.report.material import Material
from kgl.report.pictures import bars, histogram
from kgl.report.section import TRAIN_AND_TEST, Picture, Section, Table, number, share

SHOWN = 24  # columns in pictures
LEVELS, RARE = 8, 0.01
ROWS = 50_000  # that pictures are drawn of


def facts(m: Material) -> Section:
    """What is known of the contest."""
    c = m.competition
    direction = "greater is better" if c.metric and m.metric.greater_is_better else "smaller is better"
    known = {
        "contest": c.slug,
        "task": f"{c.task}, {c.kind or 'tabular'}",
        "metric": c.metric and f"{c.metric} ({direction})",
        "target": ", ".join(c.target),
        "id": ", ".join(c.id),
        "rows": f"{len(m.data.train):,} to learn from, {len(m.data.test):,} to predict",
        "columns": f"{len(list(m.columns()))} in train and test",
        "folds": f"{c.folds.n_splits}, {m.session.folds.scheme}" if m.workspace.folds.is_file() else "none yet",
    }
    return Section(blocks=[Table(("fact", "value"), [row for row in known.items() if row[1]])])


def columns(m: Material) -> Section | None:
    """Types, gaps and values of each column."""
    train, test = m.data.train, m.data.test
    rows = [
        (name, str(train[name].dtype), share(train[name].isna().mean()), share(test[name].isna().mean()),
         f"{train[name].nunique():,}", _values(train[name]))
        for name in m.columns()
    ]  # fmt: skip
    if not rows:
        return None
    last = "smallest, median, largest; or most frequent"
    header = ("column", "type", "missing in train", "in test", "different", last)
    only = m.data.train_only
    lead = f"In train only, and left out of every model: {', '.join(only)}." if only else ""
    return Section(lead, [Table(header, rows)])


def _values(values: pd.Series) -> str:
    if is_numeric_dtype(values) and not is_bool_dtype(values):
        return "  ·  ".join(number(float(x)) for x in values.quantile([0, 0.5, 1])) if values.notna().any() else "-"
    top = values.value_counts(normalize=True).head(3)
    if len(top) and top.iloc[0] < 0.01:
        return f"such as {str(top.index[0])[:40]}"
    return "  ·  ".join(f"{str(level)[:24]} {part:.0%}" for level, part in top.items())


def distributions(m: Material) -> Section | None:
    """Each column in train and in test, the most different first."""
    sides = [rows.sample(min(ROWS, len(rows)), random_state=0) for rows in (m.data.train, m.data.test)]
    found = [one for name in m.columns() if (one := _beside(name, *(rows[name] for rows in sides)))]
    found.sort(key=lambda one: -one[0])
    left = f" The {SHOWN} most different of {len(found)} are shown." if len(found) > SHOWN else ""
    lead = "The share of rows by value; those columns come first in which train and test differ most."
    return Section(lead + left, [picture for _, picture in found[:SHOWN]], TRAIN_AND_TEST) if found else None


def _beside(name: str, train: pd.Series, test: pd.Series) -> tuple[float, Picture] | None:
    """How different a column is (0 to 1, the share of rows that would have to move), and its picture."""
    if is_numeric_dtype(train) and train.nunique() > LEVELS:
        both = [rows.dropna().to_numpy(dtype=float) for rows in (train, test)]
        both = [values[np.isfinite(values)] for values in both]
        if not min(map(len, both)):
            return None
        low, high = np.quantile(np.concatenate(both), [0.005, 0.995])
        edges = np.linspace(low, high, 25) if high > low else np.array([low - 0.5, low + 0.5])
        shares = [np.histogram(values, edges)[0] / len(values) for values in both]
        svg = histogram({"train": both[0].clip(low, high), "test": both[1].clip(low, high)}, edges)
    else:
        words = [rows.astype("str").where(rows.notna(), "missing") for rows in (train, test)]
        counts = [rows.value_counts(normalize=True) for rows in words]
        table = pd.concat(counts, axis=1, keys=["train", "test"]).fillna(0.0)
        top = table[table.mean(axis=1) > RARE].nlargest(LEVELS, table.columns.tolist())
        if top.empty:  # names, not levels
            return None
        if len(top) < len(table):
            top.loc[f"{len(table) - len(top):,} others"] = 1 - top.sum()
        shares = [table.iloc[:, 0].to_numpy(), table.iloc[:, 1].to_numpy()]
        levels = {"train": 100 * top.iloc[:, 0].to_numpy(), "test": 100 * top.iloc[:, 1].to_numpy()}
        svg = bars(list(top.index), levels, "% of rows")
    apart = float(np.abs(shares[0] - shares[1]).sum() / 2)
    return apart, Picture(svg, name, f"{apart:.0%} of the rows differ", is_small=True)


def target(m: Material) -> Section:
    """What is to be predicted."""
    task, y = m.data.target, m.data.y
    if task.one_label or task.task == "multilabel":
        counts = np.bincount(y, minlength=len(task.labels)) if task.one_label else y.sum(axis=0)
        order = np.argsort(-counts)[:SHOWN] if len(counts) > SHOWN else np.arange(len(counts))
        names = np.array(task.labels or task.names, dtype=object)[order]
        svg = bars(list(names), {"train": counts[order]}, "rows of train")
        rarest = f"The rarest label has {counts.min():,} of {len(y):,} rows, the most frequent {counts.max():,}."
        return Section(rarest, [Picture(svg, ", ".join(task.names[:4]))])
    values = zip(task.names, np.atleast_2d(y.T), strict=True)
    return Section("", [picture for name, of_one in values for picture in _values_of(name, of_one)])


def _values_of(name: str, values: Array) -> Iterator[Picture]:
    middle, skew = number(float(np.median(values))), scipy.stats.skew(values)
    said = f"mean {number(values.mean())}, median {middle}, skew {skew:.2f}"
    yield Picture(histogram({name: values}, np.histogram_bin_edges(values, 40)), name, said)
    if values.min() > 0 and skew > 1:
        logs = np.log10(values)
        svg = histogram({name: logs}, np.histogram_bin_edges(logs, 40), "log10")
        yield Picture(svg, f"{name}, on a logarithmic scale", f"skew {scipy.stats.skew(logs):.2f}")


def folds(m: Material) -> Section:
    """How the rows are split."""
    table = summary(m.session.folds, m.data)
    rows = [[number(x) for x in row] for row in table.itertuples(index=False)]
    hashed = f"{m.session.folds.scheme}, made once, the same for every run ({m.session.folds.hash()})."
    return Section(f"{len(rows)} folds, scheme {hashed}", [Table(list(table.columns), rows)])


def oddities(m: Material) -> Section:
    """Drift, duplicates, leaks, groups: what `kgl doctor` finds."""
    rows = [("look" if one.level != "ok" else "ok", one.what, one.mend) for one in m.findings]
    rows.sort(key=lambda row: row[0] == "ok")
    return Section("", [Table(("", "what was found", "what to do"), rows)])
