"""The submission file: written by id in the form of the sample submission, and checked before a slot is spent."""

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.competition import Competition, load_competition
from kgl.decisions import decide_rows, is_tuned
from kgl.errors import KglError
from kgl.metrics import MEAN, get_metric
from kgl.paths import Workspace, digest, replacing, use_workspace
from kgl.runs import read_complete, read_predictions, run_folder
from kgl.scoring import decide
from kgl.session import Say
from kgl.table_file import read_table
from kgl.tables import AGAIN, ID, Data, call_contest, load_data, numbered, read_sample_submission, text_ids
from kgl.target import Target
from kgl.wording import rule_in_words

NOT_BELOW_0 = ("rmsle", "rmse_log")  # Kaggle refuses such a file, or its score is undefined


@dataclass(frozen=True)
class Form:
    """How a submission must look.

    columns: all of them in order.
    ids: the cells of those that name the row, as text, a row each; no columns where rows are told by their place.
    rows: the id in test that each row is the prediction of.
    cells: for each other column either the texts it may hold, by label, or None where it holds numbers.
    prediction: for each other column the index of the prediction column that fills it.
    bounds: between which the numbers must lie: 0 and 1 for probabilities, from 0 where the metric takes logarithms.
    places: how many labels a cell holds, the likeliest first; 0: as many as are decided, in their order.
    """

    columns: tuple[str, ...]
    ids: pd.DataFrame
    rows: pd.Series
    cells: Mapping[str, Mapping[str, str] | None]
    prediction: Mapping[str, int]
    bounds: tuple[float, float]
    places: int = 1


def find_form(
    competition: Competition, target: Target, sample: pd.DataFrame | None, test_ids: pd.Series, *, stale: bool = False
) -> Form:
    """The form that the sample submission shows; without one: id columns and targets.

    Args:
        competition: the facts.
        target: what is predicted.
        sample: the sample submission, as text.
        test_ids: `__id__` of the test rows in order.
        stale: take the columns from the sample, but the rows from test.

    Raises:
        KglError: the sample's columns fit neither the targets nor the labels.
    """
    takes = get_metric(competition.metric).takes
    values = list(target.labels if takes == "probabilities" and target.task == "multiclass" else target.names)
    if sample is None:
        sample = pd.DataFrame(columns=[*competition.id, *values], dtype="str")
    stale = stale or not len(sample)
    ids = list(competition.id) if set(competition.id) <= set(sample) else []
    if not ids and sample.shape[1] > len(values):
        ids = [str(sample.columns[0])]
    others = [str(column) for column in sample.columns if column not in ids]
    as_labels = takes == "labels" and len(others) == len(target.names)
    written = target.labels if target.labels else ("0", "1")
    in_words = as_labels and target.task != "regression"
    cells = {column: _vocabulary(written, set(sample[column])) if in_words else None for column in others}
    return Form(
        columns=tuple(map(str, sample.columns)),
        ids=_id_cells(test_ids, ids) if stale else sample[ids],
        rows=test_ids if stale else _rows_of(sample, ids if competition.id else [], test_ids),
        cells=cells,
        prediction=dict.fromkeys(others, 0) if as_labels and target.one_label else _sources(target, others),
        bounds=_bounds(competition.metric, not as_labels and target.columns[0].startswith("p_")),
        places=_places(target, set(sample[others[0]]), set(written)) if in_words else 1,
    )


def _places(target: Target, shown: set[str], labels: set[str]) -> int:
    """How many labels are ranked in a cell of the sample, such as "14 3 92"."""
    if target.task != "multiclass":
        return int(target.task != "multilabel" or not target.labels)
    cells = [text.split() for text in shown - labels]
    return max([len(cell) for cell in cells if labels.issuperset(cell)] + [1])


def _bounds(metric: str, probability: bool) -> tuple[float, float]:
    low = 0.0 if probability or metric.removeprefix(MEAN) in NOT_BELOW_0 else -np.inf
    return low, 1.0 if probability else np.inf


def _id_cells(ids: pd.Series, columns: list[str]) -> pd.DataFrame:
    if len(columns) > 1:
        return pd.DataFrame([json.loads(text) for text in ids], columns=columns, dtype="str")
    return pd.DataFrame(dict.fromkeys(columns, ids), index=ids.index)


def _rows_of(sample: pd.DataFrame, ids: list[str], test_ids: pd.Series) -> pd.Series:
    """By id; where test has none, the sample's rows are those of test, in the same order."""
    by_id, count = text_ids(sample, ids), len(sample)
    by_place = test_ids if count == len(test_ids) else pd.Series(numbered("r", range(1, count + 1)), dtype="str")
    return by_place if by_id is None else by_id


def _sources(target: Target, columns: list[str]) -> dict[str, int]:
    """Which prediction column fills each column of the submission."""
    names = target.labels if target.one_label else target.names
    if len(columns) == 1 and columns[0] not in names and (target.task == "binary" or len(names) == 1):
        return {columns[0]: len(names) - 1}  # of two classes the second
    found = {column: _named(names, column) for column in columns}
    for column, source in found.items():
        if source < 0 or list(found.values()).count(source) > 1:
            raise KglError(
                f"the sample submission's column '{column}' is not one of {', '.join(names[:8])}; "
                "correct target, task or metric in competition.toml."
            )
    return found


def _named(names: Sequence[str], column: str) -> int:
    """Which of the names a column has, alone or behind a prefix such as Status_; -1: none."""
    if column in names:
        return names.index(column)
    ends = [(len(n), i) for i, n in enumerate(names) if re.search(rf"(^|[^0-9a-z]){re.escape(n)}$", column, re.I)]
    return max(ends, default=(0, -1))[1]


def _vocabulary(labels: Sequence[str], shown: set[str]) -> dict[str, str]:
    """How the sample writes each label: 1 stays 1, 1.0 stays 1.0, TRUE stays TRUE; of cat and dog, cat is 0, dog 1."""
    ways = [*zip(*map(_spellings, labels), strict=True), *([("0", "1")] if len(labels) == 2 else [])]
    return dict(zip(labels, next((way for way in ways if shown & set(way)), labels), strict=True))


def _spellings(label: str) -> list[str]:
    number = {"False": "0", "True": "1"}.get(label.title(), label)
    word = {"0": "False", "1": "True"}.get(label, label)
    return [label, number, f"{number}.0", word.title(), word.upper(), word.lower()]


def build_submission(form: Form, target: Target, predictions: pd.DataFrame, rule: Array | None = None) -> pd.DataFrame:
    """The submission, its ids and labels as text.

    Args:
        form: see `find_form`.
        target: says what the prediction columns are.
        predictions: indexed by id, the columns of `target.columns`.
        rule: how labels are decided, see `kgl.decisions`.

    Raises:
        KglError: a row without a finite prediction.
    """
    values = predictions.reindex(form.rows)[list(target.columns)].to_numpy(dtype=float)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise KglError(f"{bad.sum()} rows of test have no finite prediction (such as {form.rows[bad].iloc[0]!r}).")
    codes, values = decide(target, values, rule), values.clip(*form.bounds)
    built = form.ids.reset_index(drop=True)
    for column, words in form.cells.items():
        source, names = form.prediction[column], np.array(list((words or {}).values()), dtype=object)
        if words is None:
            built[column] = values[:, source]
        elif form.places > 1:
            ranked = names[np.argsort(-values, axis=1, kind="stable")]
            built[column] = [" ".join(row) for row in ranked[:, : form.places]]
        elif not form.places:
            chosen = codes.astype(bool)
            none = ~chosen.any(axis=1)  # they would be empty cells: the likeliest then
            chosen[none, values[none].argmax(axis=1)] = True
            built[column] = [" ".join(names[row]) for row in chosen]
        else:
            built[column] = names[codes if codes.ndim == 1 else codes[:, source]]
    return built[list(form.columns)]


def write_submission(workspace: Workspace, data: Data, run: str) -> list[str]:
    """Write runs/<run>/submission.csv from its test.parquet, after contest.py's postprocess(); notices come back."""
    predictions = _postprocessed(read_predictions(workspace, run, "test"), data.target)
    sample, test_ids = read_sample_submission(), data.test[ID]
    rule, notices = _learn_rule(workspace, data, run)
    try:
        form = find_form(data.competition, data.target, sample, test_ids)
    except KglError as error:  # what was trained is kept
        return [f"{run} has no submission.csv: {error.message}"]
    differing = set(form.rows.tolist()) ^ set(test_ids.tolist())
    if differing and set(form.rows) == set(names := predictions.index.str.split(AGAIN).str[0]):
        predictions = predictions[list(data.target.columns)].groupby(names).mean()
        notices.append("several rows of test share an id: the mean of their predictions is submitted")
    elif differing:
        form = find_form(data.competition, data.target, sample, test_ids, stale=True)
        notices.append(
            f"the sample submission and test differ in {len(differing)} ids (such as {min(differing)!r}); "
            "submission.csv has the rows of test. Did load() of contest.py lose rows? "
            "Or is the sample stale? Then submit with --stale-sample."
        )
    path = run_folder(workspace, run) / "submission.csv"
    with replacing(path) as temporary:
        build_submission(form, data.target, predictions, rule).to_csv(temporary, index=False, lineterminator="\n")
    return notices


def _learn_rule(workspace: Workspace, data: Data, run: str) -> tuple[Array | None, list[str]]:
    """How the run's labels are decided, by its out-of-fold predictions, and that in words."""
    metric, target = get_metric(data.competition.metric), data.target
    if not is_tuned(metric, target):
        return None, []
    oof = read_predictions(workspace, run, "oof")
    place = pd.Index(data.ids).get_indexer(oof.index)
    oof, y = oof[place >= 0], data.y[place[place >= 0]]
    values = oof[list(target.columns)].to_numpy(dtype=float)
    rule = decide_rows(metric, target, y, values, oof["fold"].to_numpy()).rule
    return rule, [f"{run}: {rule_in_words(target, rule)}"]


def _postprocessed(predictions: pd.DataFrame, target: Target) -> pd.DataFrame:
    if not hasattr(importlib.import_module("contest"), "postprocess"):
        return predictions
    changed, wanted = call_contest("postprocess", predictions.reset_index()), ["id", *target.columns]
    if not isinstance(changed, pd.DataFrame) or not set(wanted) <= set(changed) or not changed["id"].is_unique:
        raise KglError(
            f"contest.py: postprocess() should return a table, a row an id, with columns {', '.join(wanted)}."
        )
    return changed.set_index(changed["id"].astype("str"))


def renew_submission(workspace: Workspace, run: str, say: Say) -> None:
    """Write a run's submission.csv again where contest.py, whose postprocess() may change it, is younger."""
    folder, contest = run_folder(workspace, run), workspace.root / "contest.py"
    path = folder / "submission.csv"
    made = path.is_file() and (folder / "test.parquet").is_file() and contest.is_file()
    if made and contest.stat().st_mtime > path.stat().st_mtime:
        before = digest(path)
        for notice in write_submission(workspace, load_data(workspace), run):
            say(notice)
        if digest(path) != before:
            say(f"contest.py has changed since: runs/{run}/submission.csv is written anew with its postprocess()")


def check_run(workspace: Workspace, name: str, *, stale_sample: bool = False, file: Path | None = None) -> Path:
    """Refuse a submission that Kaggle would refuse or score wrongly; returns its path.

    Args:
        workspace, name: the run, whose labels say which texts may stand there.
        stale_sample: the sample submission's rows are out of date: expect those of test.
        file: the submission; by default the run's own.

    Raises:
        KglError: the run is not complete, its file is absent, or the first fault found: columns, rows, ids, order, or a
            cell (status 1).
    """
    use_workspace(workspace)  # without a sample submission load() of contest.py says which rows are asked for
    run, path = read_complete(workspace, name), file or run_folder(workspace, name) / "submission.csv"
    if not path.is_file():
        raise KglError(f"runs/{name}/submission.csv is missing; make it with: kgl predict {name}")
    competition = load_competition(workspace)
    competition.require("task", "metric", "target")
    target = Target(competition.task, competition.target, tuple(run.label_order))
    sample = read_sample_submission()
    from_test = stale_sample or sample is None or sample.empty
    test_ids = call_contest("load")[1][ID] if from_test else pd.Series(dtype="str")
    form = find_form(competition, target, sample, test_ids, stale=stale_sample)
    if fault := find_fault(read_table(path, text="all"), form, "test" if from_test else "the sample submission"):
        raise KglError(f"{path.parent.name}/{path.name}: {fault}; nothing was sent.")
    return path


def find_fault(table: pd.DataFrame, form: Form, source: str) -> str | None:
    """The first fault of a submission's text cells: columns, rows, a cell. `source` says where the form is from."""
    cells = (_cells_fault(table[column], form) for column in form.cells)
    return _columns_fault(table, form, source) or _rows_fault(table, form, source) or next(filter(None, cells), None)


def _columns_fault(table: pd.DataFrame, form: Form, source: str) -> str | None:
    if tuple(table.columns) == form.columns:
        return None
    return f"columns are {', '.join(table.columns)}, but {source} has {', '.join(form.columns)}"


def _rows_fault(table: pd.DataFrame, form: Form, source: str) -> str | None:
    ids, wanted = (text_ids(frame, list(form.ids.columns)) for frame in (table, form.ids))
    if ids is not None and wanted is not None:
        missing, strange, twice = set(wanted) - set(ids), set(ids) - set(wanted), ids[ids.duplicated()]
        if len(twice) and wanted.is_unique:
            return f"id {twice.iloc[0]!r} stands there twice"
        if missing:
            return f"{len(missing)} ids of {source} are missing (such as {min(missing)!r})"
        if strange:
            return f"{len(strange)} ids are not in {source} (such as {min(strange)!r})"
    if len(table) != len(form.ids):
        return f"{len(table)} rows, but {source} has {len(form.ids)}"
    if ids is not None and wanted is not None and (other := ids.to_numpy() != wanted.to_numpy()).any():
        place = int(np.flatnonzero(other)[0])
        order = f"row {place + 1} is {ids.iloc[place]!r}, not {wanted.iloc[place]!r}"
        return f"rows are in another order than in {source}: {order}"
    return None


def _cells_fault(cells: pd.Series, form: Form) -> str | None:
    words, numbers = form.cells[str(cells.name)], pd.to_numeric(cells, errors="coerce")
    faults = [("is empty", cells.str.strip() == "")]
    if words is not None:
        known = set(words.values())
        strange = [not known.issuperset(cell.split() if form.places != 1 else [cell]) for cell in cells]
        faults += [(f"is not one of {', '.join(list(words.values())[:10])}", pd.Series(strange))]
    else:
        faults += [("is no number", numbers.isna()), ("is infinite", np.isinf(numbers))]
    if np.isfinite(form.bounds).any():
        what = "is no probability, which lies between 0 and 1" if form.bounds[1] == 1 else "is below 0"
        faults += [(what, ~numbers.between(*form.bounds))]
    for fault, wrong in faults:
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            rows = f"row {first + 1}" + (f" and {wrong.sum() - 1} others" if wrong.sum() > 1 else "")
            return f"column '{cells.name}' in {rows}: {cells.iloc[first]!r} {fault}"
    return None
