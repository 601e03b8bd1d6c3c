"""Sections on where the best run errs: confusion, reliability, residuals, and the worst rows."""

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from kgl.arrays import Array
from kgl.competition import of_kind
from kgl.decisions import decide_rows
from kgl.report.material import Material, Predicted
from kgl.report.pictures import COLOURS, histogram, lines, matrix, scatter
from kgl.report.section import Picture, Section, Table, number
from kgl.scoring import truth_labels
from kgl.tables import ID

MOST_CLASSES = 12  # in a matrix
WORST = 12
SHOWN_COLUMNS = 8


def errors(m: Material) -> Section:
    """Out-of-fold predictions of the best run beside the truth."""
    task, seen = m.data.target, m.best
    lead = f"{m.ranked[0].run}, out of fold: each of {len(seen.y):,} rows is predicted by models that never saw it."
    blocks: list[Any] = []
    if task.one_label or task.task == "ordinal":
        blocks += _confusion(m, seen)
    if task.one_label or task.task == "multilabel":
        blocks.append(_reliability(m, seen))
    else:
        for name, truth, values in zip(task.names, np.atleast_2d(seen.y.T), seen.values.T, strict=True):
            blocks += _residuals(m, name, truth, values)
    return Section(lead, blocks)


def _confusion(m: Material, seen: Predicted) -> list[Any]:
    labels, truth = m.data.target.labels, truth_labels(m.data.target, seen.y)
    decided = decide_rows(m.metric, m.data.target, seen.y, seen.values, seen.fold_of).labels
    table = confusion_matrix(truth, decided, labels=range(len(labels)))
    wrong = table - np.diag(np.diag(table))
    pairs = [divmod(int(i), len(labels)) for i in np.argsort(-wrong, axis=None)[:8] if wrong.flat[i]]
    blocks: list[Any] = []
    if len(labels) <= MOST_CLASSES:
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        texts = [[f"{count:,}" for count in row] for row in table]
        right = f"{np.trace(table) / table.sum():.1%} of the rows are on the diagonal."
        blocks.append(Picture(matrix(shares, texts, labels, ("predicted", "truth")), "Confusion", right))
    if len(labels) > 2 and pairs:
        rows = [(labels[i], labels[j], f"{table[i, j]:,}", f"{table[i, j] / table[i].sum():.0%}") for i, j in pairs]
        blocks.append(Table(("truth", "taken for", "rows", "of that label"), rows, "Most confused"))
    return blocks


def _reliability(m: Material, seen: Predicted) -> Picture:
    """How often what is said with some probability is so, in ten bins of as many rows each."""
    p, is_so = seen.values, m.data.target.as_predictions(seen.y)
    if m.data.target.task == "binary":
        p, is_so = p[:, 1:], is_so[:, 1:]
    p, is_so = p.ravel(), is_so.ravel()
    order = np.array_split(np.argsort(p, kind="stable"), 10)
    said, found = (np.array([side[bin].mean() for bin in order if len(bin)]) for side in (p, is_so))
    off = float(np.abs(said - found).mean())
    svg = lines([(said, found, COLOURS[0])], ("probability that was predicted", "share that is so"), diagonal=True)
    return Picture(svg, "Reliability", f"On average {off:.3f} off the dashed line of well calibrated probabilities.")


def _residuals(m: Material, name: str, truth: Array, values: Array) -> list[Picture]:
    log = "log" in m.metric.loss and min(truth.min(), values.min()) > 0
    svg = scatter(values, truth, (f"{name} predicted", f"{name}, truth"), log=log)
    rest = np.log(truth / values) if log else truth - values
    low, high = np.quantile(rest, [0.005, 0.995])
    unit = "log(truth / prediction)" if log else "truth - prediction"
    shown = histogram({"residual": rest.clip(low, high)}, np.linspace(low, high, 41), unit, height=270)
    said = f"mean {number(rest.mean())}, half of them within ± {number(float(np.median(np.abs(rest))))}"
    return [Picture(svg, f"{name}: prediction and truth"), Picture(shown, f"{name}: residuals", said)]


def worst(m: Material) -> Section:
    """The rows with the largest errors."""
    task, seen = m.data.target, m.best
    apart = np.abs(seen.values - task.as_predictions(seen.y))
    if "log" in m.metric.loss and not task.columns[0].startswith("p_") and min(seen.y.min(), seen.values.min()) > 0:
        apart = np.abs(np.log(seen.values / seen.y.reshape(len(seen.y), -1)))
    top = np.argsort(-apart.max(axis=1), kind="stable")[:WORST]
    if task.one_label:
        truth = [task.labels[code] for code in seen.y[top]]
        said = [f"{task.labels[row.argmax()]} {row.max():.0%}" for row in seen.values[top]]
    else:
        truth = [", ".join(number(x) for x in np.atleast_1d(row)[:4]) for row in seen.y[top]]
        said = [", ".join(number(x) for x in row[:4]) for row in seen.values[top]]
    places = seen.place[top]
    ids = m.data.ids.iloc[places]
    lead = "Sure and wrong: often a label that is wrong, a row that is special, or an idea for a feature."
    if show_rows := of_kind(m.competition.kind, "show_rows"):
        notes = [f"{t}, said {s}" for t, s in zip(truth, said, strict=True)]
        return Section(lead, [show_rows(m.workspace, m.data.train.iloc[places], notes)])
    names = list(m.columns())[:SHOWN_COLUMNS]
    cells = m.data.train.iloc[places][names].astype("object").map(_cell)
    rows = [(*row, *cell) for row, cell in zip(zip(ids, truth, said, strict=True), cells.to_numpy(), strict=True)]
    return Section(lead, [Table((ID.strip("_"), "truth", "predicted", *names), rows)])


def _cell(value: object) -> str:
    if value is None or value != value:
        return "-"
    return number(value) if isinstance(value, float) else str(value)[:40]
