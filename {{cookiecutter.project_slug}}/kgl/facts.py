"""What `kgl init` finds out: facts of the competition from its files and from Kaggle, each with the reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kgl.competition import Competition, data_root, get_fact
from kgl.errors import KglError
from kgl.experiment import experiment_names
from kgl.paths import Workspace
from kgl.tables import read_table
from kgl.target import as_labels, in_label_order

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".zip", ".gz")
SUITES = {
    True: ("one_column", "logistic", "extra_trees", "lightgbm", "hist_gradient_boosting"),
    False: ("one_column", "ridge", "extra_trees", "lightgbm", "hist_gradient_boosting"),
}
# Kaggle's wordings of each metric, in lower case without punctuation
WORDINGS = {
    "accuracy": "categorization accuracy, accuracy score, accuracy",
    "balanced_accuracy": "balanced accuracy, balanced accuracy score",
    "auc": "area under receiver operating characteristic curve, roc auc score, roc auc, auc, multiclass auc",
    "logloss": "log loss, logloss, binary log loss, multiclass log loss, multiclass loss",
    "balanced_logloss": "balanced log loss",
    "f1": "f1 score, f score beta micro, mean f1 score",
    "f1_macro": "f1 macro, macro f1 score, macro f score",
    "qwk": "quadratic weighted kappa, cohen kappa score",
    "mcc": "matthews correlation coefficient",
    "rmse": "root mean squared error, rmse",
    "rmsle": "root mean squared logarithmic error, rmsle",
    "mae": "mean absolute error, mae",
    "r2": "r2 score",
    "mape": "mean absolute percentage error",
    "mean_rmse": "mean columnwise root mean squared error, mcrmse",
    "mean_logloss": "mean columnwise log loss",
    "mean_auc": "mean columnwise area under receiver operating characteristic curve",
}
METRICS = {wording: name for name, wordings in WORDINGS.items() for wording in wordings.split(", ")}


@dataclass(frozen=True)
class Fact:
    """A fact by its dotted key, with the reason; what is not `sure` is asked, or taken and marked."""

    key: str
    value: Any
    why: str
    sure: bool = True


@dataclass(frozen=True)
class _Files:
    """The contest's tables."""

    train: pd.DataFrame
    test: pd.DataFrame
    sample: pd.DataFrame | None


def find_facts(
    workspace: Workspace, competition: Competition, given: Mapping[str, Any], kaggle: Mapping[str, str] | None = None
) -> list[Fact]:
    """Every fact that can be found, in the order in which one leads to the next.

    Args:
        workspace, competition: what is known stays as it is.
        given: facts set by the user, by dotted key; they win.
        kaggle: `title` and `metric` in Kaggle's words, where Kaggle was asked.

    Raises:
        KglError: no files yet, or no table that could be train and test.
    """
    facts: list[Fact] = []

    def known(key: str) -> Any:
        found = next((fact.value for fact in facts if fact.key == key), None)
        return given.get(key) or get_fact(competition, key) or found

    def add(key: str, value: Any, why: str, sure: bool = True) -> None:
        if key in given:
            facts.append(Fact(key, given[key], "as you said"))
        elif get_fact(competition, key):
            facts.append(Fact(key, get_fact(competition, key), "in competition.toml already"))
        elif value:
            facts.append(Fact(key, value, why, sure))

    add("title", (kaggle or {}).get("title", ""), "Kaggle")
    add("kind", "tabular", "tables")
    root = data_root(workspace, competition)
    for name, (file, why) in find_files(root).items():
        add(f"files.{name}", file, why)
    files = _read_files(root, known)
    id_columns = _find_id(files)
    add(
        "id",
        id_columns,
        "sample submission and test share it" if files.sample is not None else "test and train share it, all different",
    )
    target = _find_target(files, known("id") or ())
    add(
        "target",
        target,
        "in train, not in test" + (", and in the sample submission" if files.sample is not None else ""),
    )
    if not known("target"):
        raise KglError("no target found: no column is in train and not in test. Name it: kgl init target=<column>")
    _check_targets(files.train, known("target"))
    task, why, sure = _find_task(files.train, known("target"))
    add("task", task, why, sure)
    metric, why, sure = _find_metric(known("task"), files, known("target"), (kaggle or {}).get("metric", ""))
    add("metric", metric, why, sure)
    classification = known("task") in ("binary", "multiclass", "multilabel")
    add(
        "folds.scheme",
        "stratified" if classification else "kfold",
        "each label in equal shares" if classification else "values",
    )
    there = set(experiment_names(workspace))
    suite = tuple(name for name in SUITES[classification] if name in there)
    add("baseline.experiments", suite, f"for {known('task')}")
    return facts


def find_files(root: Path) -> dict[str, tuple[str, str]]:
    """train, test and sample_submission: (path below root, why) of those found by name.

    Raises:
        KglError: the folder has no tables, or none called train or test.
    """
    paths = sorted(
        (p for p in root.rglob("*") if p.suffix.lower() in TABLES and p.is_file()), key=lambda p: (len(p.parts), p.name)
    )
    if not paths:
        raise KglError(f"{root} has no tables yet; run kgl download, or put the contest's files there.")
    found: dict[str, tuple[str, str]] = {}
    for name, words in (("sample_submission", ("sample", "submission")), ("train", ("train",)), ("test", ("test",))):
        taken = {path for path, _ in found.values()}
        fitting = [
            p
            for p in paths
            if any(word in p.name.lower() for word in words) and p.relative_to(root).as_posix() not in taken
        ]
        if fitting:
            best = min(fitting, key=lambda p: (len(p.parts), not p.stem.lower().startswith(words[0]), len(p.name)))
            found[name] = (best.relative_to(root).as_posix(), "by its name")
    missing = [name for name in ("train", "test") if name not in found]
    if missing:
        there = ", ".join(p.name for p in paths[:8])
        advice = f"say kgl init files.{missing[0]}=<name>"
        raise KglError(f"no file called {' or '.join(missing)} in {root} (there are {there}); {advice}.")
    return found


def _read_files(root: Path, known: Any) -> _Files:
    sample = known("files.sample_submission")
    return _Files(
        train=read_table(root / known("files.train")),
        test=read_table(root / known("files.test")),
        sample=read_table(root / sample) if sample else None,
    )


def _find_id(files: _Files) -> tuple[str, ...]:
    if files.sample is not None:
        return tuple(str(c) for c in files.sample if c in files.test.columns)
    candidates = (
        c for c in files.test if c in files.train.columns and files.test[c].is_unique and files.train[c].is_unique
    )
    return tuple(str(c) for c in candidates if "id" in str(c).lower())[:1]


def _find_target(files: _Files, id_columns: Sequence[str]) -> tuple[str, ...]:
    train_only = [str(c) for c in files.train if c not in files.test.columns and c not in id_columns]
    if files.sample is None:
        return tuple(train_only[-1:])
    named = tuple(c for c in train_only if c in files.sample.columns)
    if named or len(train_only) <= 1:
        return named or tuple(train_only)
    values = {str(c) for c in files.sample if c not in id_columns}
    as_classes = [c for c in train_only if _ends_of(values, set(as_labels(files.train[c].dropna())))]
    return tuple(as_classes[:1] or train_only[-1:])


def _ends_of(columns: set[str], labels: set[str]) -> bool:
    return len(columns) == len(labels) and all(any(c.endswith(label) for label in labels) for c in columns)


def _check_targets(train: pd.DataFrame, target: Sequence[str]) -> None:
    from kgl.config import nearest

    for name in target:
        if name not in train:
            raise KglError(f"train has no column '{name}' to be the target.{nearest(name, map(str, train.columns))}")


def _find_task(train: pd.DataFrame, target: Sequence[str]) -> tuple[str, str, bool]:
    values = [train[name].dropna() for name in target]
    if len(target) > 1:
        labels = all(set(as_labels(v)) <= {"0", "1"} for v in values)
        return (
            ("multilabel", "several columns of 0 and 1", True)
            if labels
            else ("regression", "several columns of numbers", True)
        )
    different = values[0].nunique()
    if different == 2:
        return "binary", f"two labels: {' and '.join(in_label_order(as_labels(values[0]).unique()))}", True
    if not pd.api.types.is_numeric_dtype(values[0]):
        return "multiclass", f"{different} labels as text", True
    whole = bool((values[0] % 1 == 0).all())
    if whole and different <= 20 and len(values[0]) / different >= 10:
        return (
            "multiclass",
            f"{different} whole numbers, each many times (ordinal or regression if they are amounts)",
            False,
        )
    return "regression", f"{different} different numbers", True


def _find_metric(task: str, files: _Files, target: Sequence[str], wording: str) -> tuple[str, str, bool]:
    words = " ".join("".join(c if c.isalnum() else " " for c in wording.lower()).split())
    if words in METRICS:
        return METRICS[words], f'Kaggle: "{wording}"', True
    guess = {"regression": "mean_rmse" if len(target) > 1 else "rmse", "multilabel": "mean_auc", "ordinal": "qwk"}
    if task in guess:
        logs = " (rmsle or rmse_log where logarithms are scored)" if task == "regression" else ""
        return guess[task], f"usual for the task{logs}; look at the contest's Evaluation page", False
    if files.sample is None:
        return "accuracy", "usual for labels; look at the contest's Evaluation page", False
    columns = [c for c in files.sample if c in target] or list(files.sample.columns[1:])
    labels = set(as_labels(files.train[target[0]].dropna()))
    if len(columns) == 1 and set(as_labels(files.sample[columns[0]].dropna())) <= labels:
        return "accuracy", "the sample submission holds labels; look at the contest's Evaluation page", False
    return "logloss", "the sample submission holds probabilities; look at the contest's Evaluation page", False


def table_of(facts: Sequence[Fact]) -> Iterator[tuple[str, str, str]]:
    """(fact, value, why) as `kgl init` prints them; '?' marks what is not sure."""
    for fact in facts:
        value = ", ".join(map(str, fact.value)) if isinstance(fact.value, (list, tuple)) else str(fact.value)
        yield ("" if fact.sure else "? ") + fact.key, value, fact.why
