"""The submission file: written by id in the form of the sample submission, and checked before a slot is spent."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.competition import Competition, load_competition
from kgl.errors import KglError
from kgl.metrics import get_metric
from kgl.paths import Workspace, replacing
from kgl.runs import read_predictions, read_run, run_folder
from kgl.scoring import decide
from kgl.tables import ID, Data, read_sample_submission, read_test, text_ids
from kgl.target import Target

Array = NDArray[Any]


@dataclass(frozen=True)
class Form:
    """How a submission must look.

    columns: all of them in order; id_columns: those that name the row; rows: the ids in order, as one text each.
    cells: for each other column either the texts it may hold, by label, or None where it holds numbers.
    prediction: for each other column the index of the prediction column that fills it (labels: None).
    probability: whether the numbers must lie between 0 and 1.
    """

    columns: tuple[str, ...]
    id_columns: tuple[str, ...]
    rows: pd.Series
    cells: Mapping[str, Mapping[str, str] | None]
    prediction: Mapping[str, int | None]
    probability: bool


def find_form(competition: Competition, target: Target, sample: pd.DataFrame | None, test: pd.DataFrame) -> Form:
    """The form that the sample submission shows; without one: id columns and targets, rows as in test.

    Raises:
        KglError: the sample's columns fit neither the targets nor the labels.
    """
    if sample is None:
        sample = test.reindex(columns=list(competition.id)).assign(**dict.fromkeys(_value_names(competition, target), ""))
    ids = [column for column in competition.id if column in sample]
    if not ids and sample.columns[0] not in _value_names(competition, target) and sample.shape[1] > 1:
        ids = [str(sample.columns[0])]
    values = [str(column) for column in sample.columns if column not in ids]
    takes = get_metric(competition.metric).takes
    as_labels = takes == "labels" and len(values) == len(competition.target)
    return Form(
        columns=tuple(map(str, sample.columns)),
        id_columns=tuple(ids),
        rows=_row_ids(sample, ids),
        cells={column: _vocabulary(target, sample[column]) if as_labels and target.task != "regression" else None for column in values},
        prediction={column: _source(target, column, values, as_labels) for column in values},
        probability=not as_labels and target.columns[0].startswith("p_"),
    )


def _value_names(competition: Competition, target: Target) -> list[str]:
    many = get_metric(competition.metric).takes == "probabilities" and target.task == "multiclass"
    return list(target.labels if many else competition.target)


def _row_ids(table: pd.DataFrame, id_columns: list[str]) -> pd.Series:
    ids = text_ids(table, id_columns)
    if ids is None:
        return pd.Series([f"r{i:07d}" for i in range(1, len(table) + 1)], index=table.index, dtype="str")
    return ids


def _source(target: Target, column: str, columns: list[str], as_labels: bool) -> int | None:
    """Which prediction column fills a column of the submission."""
    if target.one_label and as_labels:
        return None
    names = list(target.labels if target.one_label else target.names)
    if column in names:
        return names.index(column)
    if target.task == "binary" and len(columns) == 1:
        return 1
    if len(columns) == len(names) == 1:
        return 0
    tails = [i for i, name in enumerate(names) if re.search(rf"(^|[^0-9A-Za-z]){re.escape(name)}$", column)]
    if len(tails) == 1 and len(columns) == len(names):
        return tails[0]
    raise KglError(
        f"the sample submission's column '{column}' is none of {', '.join(names[:8])}; "
        "correct target, task or metric in competition.toml."
    )


def _vocabulary(target: Target, sample: pd.Series) -> dict[str, str]:
    """How the sample writes each label: 1 stays 1, 1.0 stays 1.0, True stays True, TRUE stays TRUE."""
    labels = list(target.labels) if target.task != "multilabel" else ["0", "1"]
    shown = set(sample)
    if shown & set(labels):
        return {label: label for label in labels}
    by_case = {text.lower(): text for text in shown}
    if all(text.lower() in ("true", "false") for text in shown) and {x.lower() for x in labels} <= {"0", "1", "true", "false"}:
        words = {"0": "False", "1": "True", "false": "False", "true": "True"}
        styled = str.upper if any(t.isupper() for t in shown) else str.lower if any(t.islower() for t in shown) else str.title
        return {label: styled(words[label.lower()]) for label in labels}
    if labels == ["False", "True"] and all(re.fullmatch(r"[01](\.0)?", text) for text in shown):
        tail = ".0" if any("." in text for text in shown) else ""
        return {"False": f"0{tail}", "True": f"1{tail}"}
    if shown and all(re.fullmatch(r"-?\d+\.0", text) for text in shown) and all(re.fullmatch(r"-?\d+", x) for x in labels):
        return {label: f"{label}.0" for label in labels}
    return {label: by_case.get(label.lower(), label) for label in labels}


def build_submission(form: Form, target: Target, predictions: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The submission as text cells.

    Args:
        form: see `find_form`.
        target: says what the prediction columns are.
        predictions: indexed by id, the columns of `target.columns`.
        table: the rows to submit in order (the sample's or the test's), with the id columns as text.
    """
    ids = _row_ids(table, list(form.id_columns))
    values = predictions.reindex(ids)[list(target.columns)].to_numpy(dtype=float)
    codes = decide(target, np.nan_to_num(values))
    built = pd.DataFrame({column: table[column].to_numpy() for column in form.id_columns}, index=range(len(ids)))
    for column, words in form.cells.items():
        source = form.prediction[column]
        if words is not None:
            texts = np.array(list(words.values()), dtype=object)
            built[column] = texts[codes if codes.ndim == 1 else codes[:, source]]
        else:
            built[column] = values[:, source or 0]
    return built[list(form.columns)]


def write_submission(workspace: Workspace, data: Data, run: str) -> list[str]:
    """Write runs/<run>/submission.csv from its test.parquet, after contest.py's postprocess(); notices come back."""
    predictions = _postprocessed(read_predictions(workspace, run, "test"), data.target)
    sample, notices = read_sample_submission(), []
    form = find_form(data.competition, data.target, sample, data.test)
    table = sample if sample is not None else _test_table(data.test, form)
    strange = set(form.rows) - set(predictions.index)
    if strange:
        table = _test_table(data.test, form)
        notices.append(
            f"the sample submission lists {len(strange)} ids that test lacks (such as {min(strange)!r}); submission.csv "
            "has the rows of test instead. Is the sample stale? Then submit with --stale-sample."
        )
    path = run_folder(workspace, run) / "submission.csv"
    with replacing(path) as temporary:
        build_submission(form, data.target, predictions, table).to_csv(temporary, index=False, lineterminator="\n")
    return notices


def _postprocessed(predictions: pd.DataFrame, target: Target) -> pd.DataFrame:
    change = getattr(importlib.import_module("contest"), "postprocess", None)
    if change is None:
        return predictions
    changed = change(predictions.reset_index())
    wanted = ["id", *target.columns]
    if not isinstance(changed, pd.DataFrame) or any(column not in changed for column in wanted):
        raise KglError(f"contest.py: postprocess() should return a table with the columns {', '.join(wanted)}.")
    return changed.set_index("id")


def _test_table(test: pd.DataFrame, form: Form) -> pd.DataFrame:
    known = test.rename(columns={ID: form.id_columns[0]}) if len(form.id_columns) == 1 else test
    return known.loc[:, ~known.columns.duplicated()].reset_index(drop=True)


def check_run(workspace: Workspace, name: str, *, stale_sample: bool = False) -> Path:
    """Check runs/<name>/submission.csv as `check_file` does, and return its path.

    Raises:
        KglError: the run is not complete, its file is absent, or the file is refused (status 1).
    """
    run = read_run(workspace, name)
    path = run_folder(workspace, name) / "submission.csv"
    if not run.is_complete:
        raise KglError(f"{name} is {run.status}; only complete runs are submitted. Run: kgl train {run.experiment}")
    if not path.is_file():
        raise KglError(f"runs/{name}/submission.csv is missing; make it with: kgl predict {name}")
    competition = load_competition(workspace)
    check_file(path, competition, Target(competition.task, competition.target, tuple(run.label_order)), stale_sample=stale_sample)
    return path


def check_file(path: Path, competition: Competition, target: Target, *, stale_sample: bool = False) -> None:
    """Refuse a file that Kaggle would refuse or score wrongly.

    Args:
        path: the file to submit.
        competition: the facts.
        target: its labels say which texts may stand there.
        stale_sample: the sample submission's rows are out of date: expect those of test.

    Raises:
        KglError: the first fault found: columns, rows, ids, order, or a cell (status 1).
    """
    test = read_test()
    form = find_form(competition, target, read_sample_submission(), test)
    rows = test[ID] if stale_sample else form.rows
    source = "test" if stale_sample or not competition.files.sample_submission else "the sample submission"
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:
        raise KglError(f"{path.name} cannot be read as CSV: {str(error).splitlines()[0]}.") from None
    fault = _columns_fault(table, form, source) or _rows_fault(table, form, rows, source)
    fault = fault or next((f for column in form.cells if (f := _cells_fault(table[column], form))), None)
    if fault:
        raise KglError(f"{path.parent.name}/{path.name}: {fault}; nothing was sent.")


def _columns_fault(table: pd.DataFrame, form: Form, source: str) -> str | None:
    if tuple(table.columns) == form.columns:
        return None
    return f"columns are {', '.join(table.columns)}, but {source} has {', '.join(form.columns)}"


def _rows_fault(table: pd.DataFrame, form: Form, rows: pd.Series, source: str) -> str | None:
    if not form.id_columns:
        return None if len(table) == len(rows) else f"{len(table)} rows, but {source} has {len(rows)}"
    ids = _row_ids(table, list(form.id_columns))
    missing, strange = set(rows) - set(ids), set(ids) - set(rows)
    if ids.duplicated().any() and not rows.duplicated().any():
        return f"id {ids[ids.duplicated()].iloc[0]!r} stands there twice"
    if missing:
        return f"{len(missing)} ids of {source} are missing (such as {min(missing)!r})"
    if strange:
        return f"{len(strange)} ids are not in {source} (such as {min(strange)!r})"
    if len(ids) != len(rows):
        return f"{len(ids)} rows, but {source} has {len(rows)}"
    if list(ids) != list(rows):
        place = int(np.flatnonzero(ids.to_numpy() != rows.to_numpy())[0])
        return f"rows are in another order than in {source}: row {place + 1} is {ids.iloc[place]!r}, not {rows.iloc[place]!r}"
    return None


def _cells_fault(cells: pd.Series, form: Form) -> str | None:
    name, words = str(cells.name), form.cells[str(cells.name)]
    empty = int((cells.str.strip() == "").sum())
    if empty:
        return f"column '{name}' is empty in {empty} rows"
    if words is not None:
        wrong = cells[~cells.isin(set(words.values()))]
        allowed = ", ".join(list(words.values())[:10])
        return f"column '{name}' holds {wrong.iloc[0]!r} in {len(wrong)} rows, allowed: {allowed}" if len(wrong) else None
    numbers = pd.to_numeric(cells, errors="coerce")
    if numbers.isna().any():
        wrong = cells[numbers.isna()]
        return f"column '{name}' holds {wrong.iloc[0]!r} in {len(wrong)} rows, which is no number"
    if np.isinf(numbers).any():
        return f"column '{name}' is infinite in {int(np.isinf(numbers).sum())} rows"
    if form.probability and not numbers.between(0, 1).all():
        return f"column '{name}' holds {numbers[~numbers.between(0, 1)].iloc[0]}, but a probability lies between 0 and 1"
    return None
