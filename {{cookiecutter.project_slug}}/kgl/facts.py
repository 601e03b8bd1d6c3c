"""What `kgl init` finds out: facts of the competition from its files and from Kaggle, each with the reason."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kgl.columns import find_group, find_notes, find_time, id_prefix, is_date
from kgl.competition import Competition, data_root, get_fact, of_kind, with_facts
from kgl.config import nearest
from kgl.errors import KglError, some
from kgl.metric_names import KNOWN, metric_of
from kgl.metrics import OWN, get_metric
from kgl.paths import Workspace
from kgl.table_file import read_table
from kgl.tables import ID, labels_of
from kgl.target import as_labels, in_label_order

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".zip", ".gz")
NAMES = {"sample_submission": "^sample|submission", "train": "train", "test": "test"}
MOST_LABELS = 1000
RARE = 0.2  # of the rows: nobody asks for labels that are nearly all the same
RIVALS, FURTHER = 8, 20  # files whose columns are looked at: of fitting names, of others


@dataclass(frozen=True)
class Fact:
    """A fact by its dotted key, with the reason; what is not `sure` is asked, or taken and marked.

    What is only worth knowing is not `kept` in competition.toml.
    """

    key: str
    value: Any
    why: str
    sure: bool = True
    kept: bool = True


class _Book:
    """The facts found so far, and the competition as they make it."""

    def __init__(self, competition: Competition, given: Mapping[str, Any]) -> None:
        self.given, self.facts = given, list[Fact]()
        if competition.target and given.get("target", competition.target) != competition.target:
            competition = with_facts(competition, {"task": "", "metric": "", "folds.scheme": ""})  # of another column
        self.competition = with_facts(competition, given)

    def add(self, key: str, value: Any, why: str, sure: bool = True) -> None:
        """What was said or stands in competition.toml wins over what is found; what was found first over the rest."""
        if any(fact.key == key for fact in self.facts):
            return
        if there := get_fact(self.competition, key):
            why = "as you said" if key in self.given else "in competition.toml already"
            self.facts.append(Fact(key, there, why))
        elif value:
            self.facts.append(Fact(key, value, why, sure))
            self.competition = with_facts(self.competition, {key: value})


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
        KglError: no files yet, or none that could be train and test.
    """
    book = _Book(competition, given)
    book.add("title", (kaggle or {}).get("title", ""), "Kaggle")
    book.add("kind", "tabular", "tables")
    find_layout = of_kind(book.competition.kind, "find_layout") or find_files
    for found in find_layout(workspace, book.competition):
        book.add(*found)
    files = _read_files(workspace, book.competition)
    shared = "sample submission and test share it" if files.sample is not None else "test and train share it"
    book.add("id", _find_id(files), shared)
    book.add("target", *_find_target(files, book.competition.id))
    target = book.competition.target
    if not target:
        raise KglError("no target among the columns that test lacks: kgl init target=<column> or files.train=<file>.")
    if absent := next((name for name in target if name not in files.train), ""):
        raise KglError(f"train has no column '{absent}' to be the target.{nearest(absent, map(str, files.train))}")
    _read_labels(workspace, book.competition, files.train)
    wording = (kaggle or {}).get("metric", "")
    book.add("metric", "" if wording else KNOWN.get(competition.slug, ""), "known of this contest")
    metric = book.competition.metric or metric_of(wording, files.train[list(target)])[0]
    book.add("task", *_find_task(files.train, target, metric, _shown(files, target) or set()))
    task = book.competition.task
    book.add("metric", *_find_metric(task, files, target, wording))
    _add_folds(book, files)
    pictures = of_kind(book.competition.kind, "image_rows")  # they are features enough
    further = {} if pictures else _further_tables(workspace, book.competition, files)
    notes = find_notes(files.train, files.test, (*book.competition.id, *target), further)
    told = [(key, value, why) for key, value, why in notes if value and not (pictures and key == "features")]
    seen = {*book.competition.id, *target, book.competition.images.column}
    if pictures and (beside := tuple(str(c) for c in files.train if c in files.test and c not in seen)):
        told.append(("beside the pictures", beside, "networks do not see them; Embeddings(columns=...) does"))
    if lost := int(files.train[list(target)].isna().any(axis=1).sum()):
        told.append(("no target", (f"{lost:,} rows",), "of train lack it" + (": left out" if len(target) == 1 else "")))
    return [*book.facts, *(Fact(key, value, why, kept=False) for key, value, why in told)]


def _add_folds(book: _Book, files: _Files) -> None:
    """The split that does what Kaggle's did: later rows for test, whole groups for test, or neither."""
    known, target = book.competition.folds, book.competition.target
    regression = book.competition.task == "regression"
    if not known.scheme and not known.group and (time := find_time(files.train, files.test, target)):
        book.add("folds.time", time, "test comes later than train", sure=False)
    elif not known.scheme and not known.time and (group := _group(book.competition, files)):
        what = "the ids' first part repeats, none is" if ":" in group else "its values repeat, and none is"
        where = "in both train and test" if ":" in group or group in files.test else "known of test"
        book.add("folds.group", group, f"{what} {where}", sure=False)
    if book.competition.folds.time:
        book.add("folds.scheme", "time", "each fold is validated by models of the rows before it")
    elif book.competition.folds.group:
        book.add("folds.scheme", "group" if regression else "stratified_group", "equal groups stay in one fold")
    else:
        book.add("folds.scheme", *(("kfold", "values") if regression else ("stratified", "each label in equal shares")))


def _group(competition: Competition, files: _Files) -> str:
    ids = competition.id
    if len(ids) == 1 and all(ids[0] in part and part[ids[0]].is_unique for part in (files.train, files.test)):
        train, test = (id_prefix(pd.DataFrame({ID: part[ids[0]].astype(str)})) for part in (files.train, files.test))
        if find_group(train.to_frame(), test.to_frame(), ()):
            return f"{id_prefix.__module__}:{id_prefix.__name__}"
    return find_group(files.train, files.test, competition.target)


def find_files(workspace: Workspace, competition: Competition) -> Iterator[tuple[str, str, str, bool]]:
    """`files.train`, `files.test`, `files.sample_submission`: paths below the root, why, and whether that is sure.

    Raises:
        KglError: the folder has no tables, or none that could be train or test.
    """
    root = data_root(workspace, competition)
    paths = sorted(
        (p for p in root.rglob("*") if p.suffix.lower() in TABLES and p.is_file()), key=lambda p: (len(p.parts), p.name)
    )
    if not paths:
        raise KglError(f"{root} has no tables yet; run kgl download, or put the contest's files there.")
    found = {name: root / path for name in NAMES if (path := get_fact(competition, f"files.{name}"))}
    for name, pattern in NAMES.items():
        fitting = [p for p in paths if re.search(pattern, p.name.lower()) and p not in found.values()]
        fitting.sort(key=lambda p: (len(p.parts), not re.match(pattern, p.name.lower()), len(p.name)))
        if name not in found and fitting:
            chosen = found[name] = _best(name, fitting, found)
            itself = f"{chosen.name.split('.')[0]}."  # or its archive
            twins = [p.name for p in fitting if not p.name.startswith(itself) and _columns(p) == _columns(chosen)]
            why = f"by its name, beside {', '.join(twins[:3])}: join them in load()?" if twins else "by its name"
            yield f"files.{name}", chosen.relative_to(root).as_posix(), why, not twins
    left = [p for p in paths if p not in found.values()]
    missing = [name for name in ("train", "test") if name not in found]
    alone = len(left) == 1 and [*found] == ["sample_submission"]
    if alone and _columns(found["sample_submission"]) <= _columns(left[0]):
        left *= 2  # its rows without a target are the test
    if missing and len(left) != len(missing):
        there = ", ".join(p.name for p in paths[:8])
        advice = f"say kgl init files.{missing[0]}=<name>"
        raise KglError(f"no file called {' or '.join(missing)} in {root} (there are {there}); {advice}.")
    widest_first = sorted(left, key=lambda p: -read_table(p).shape[1]) if missing else []
    for name, path in zip(missing, widest_first, strict=True):
        yield f"files.{name}", path.relative_to(root).as_posix(), "no other table is left; train has more columns", True


def _best(name: str, paths: list[Path], found: Mapping[str, Path]) -> Path:
    """Of the first by name, all at one depth, the one with most of the sample's columns, or for test of train's."""
    rivals = [p for p in paths if len(p.parts) == len(paths[0].parts)][:RIVALS]
    if len(rivals) == 1:
        return rivals[0]
    asked, known = (_columns(found[part]) if part in found else set() for part in ("sample_submission", "train"))
    wanted = known - asked if name == "test" else asked
    return max(rivals, key=lambda p: len(wanted & _columns(p)))


def _columns(path: Path) -> set[str]:
    """The names of a table's columns; none where it is no table, such as a zip of pictures."""
    try:
        return set(map(_bare, read_table(path, most=1)))
    except KglError:
        return set()


def _read_files(workspace: Workspace, competition: Competition) -> _Files:
    root, files = data_root(workspace, competition), competition.files
    sample = read_table(root / files.sample_submission) if files.sample_submission else None
    if rows := of_kind(competition.kind, "image_rows"):
        added = [ID, *of_kind(competition.kind, "COLUMNS")]
        train, test = (rows(workspace, competition, part).drop(columns=added) for part in ("train", "test"))
        return _Files(train, test, sample)
    train, test = (read_table(root / path) for path in (files.train, files.test))
    if files.train == files.test and sample is not None:  # rows without a target are asked for
        known = train[[c for c in sample if c in train]].notna().all(axis=1)
        train, test = train[known], test[~known]
    return _Files(train, test, sample)


def _further_tables(workspace: Workspace, competition: Competition, files: _Files) -> dict[str, set[str]]:
    """Tables that lie beside those in use, and which of train's and test's columns their headers have."""
    root, used = data_root(workspace, competition), competition.files
    known = {Path(path).name.split(".")[0] for path in (used.train, used.test, used.sample_submission)}
    paths = sorted(p for p in root.rglob("*.[ct]sv*") if p.name.split(".")[0] not in known)[:FURTHER]
    ours = {str(c) for c in (*files.train, *files.test)}
    return {p.name: {c for c in ours if _bare(c) in columns} for p in paths if (columns := _columns(p))}


def _read_labels(workspace: Workspace, competition: Competition, train: pd.DataFrame) -> None:
    """A label may be called NA or None: texts that seem to be missing are read again, as they are written."""
    path = data_root(workspace, competition) / competition.files.train
    for name in competition.target:
        if path.is_file() and train[name].isna().any() and not pd.api.types.is_numeric_dtype(train[name]):
            train[name] = labels_of(read_table(path, text=(name,))[name])


def _find_id(files: _Files) -> tuple[str, ...]:
    test = files.test.columns[files.test.notna().any()]  # a target may stand in test without values
    if files.sample is not None:
        exact = tuple(str(c) for c in files.sample if c in test)
        return exact or tuple(str(c) for c in test if _bare(c) == _bare(files.sample.columns[0]))
    candidates = (c for c in test if c in files.train and files.test[c].is_unique and files.train[c].is_unique)
    return tuple(str(c) for c in candidates if "id" in str(c).lower())[:1]


def _find_target(files: _Files, id_columns: Sequence[str]) -> tuple[tuple[str, ...], str, bool]:
    """The target columns, why, and whether that is sure."""
    test = set(files.test.columns[files.test.notna().any()])
    train_only = [str(c) for c in files.train if c not in test and c not in id_columns]
    likely = [c for c in train_only if files.train[c].nunique() > 1 and not is_date(files.train[c])]
    if files.sample is None:
        return tuple(likely[-1:]), "in train, not in test", len(train_only) == 1
    asked = [str(c) for c in files.sample if _bare(c) not in map(_bare, id_columns)]
    named = tuple(c for c in train_only if _bare(c) in map(_bare, asked))
    if named:
        return named, "in train, not in test, and in the sample submission", True
    if len(train_only) == 1:
        return tuple(train_only), "in train, not in test", True
    labels = {c: set(as_labels(files.train[c].dropna())) for c in train_only if files.train[c].nunique() <= MOST_LABELS}
    if found := [c for c in labels if _ends_of(set(asked), labels[c])]:
        return tuple(found[:1]), "its labels are the columns of the sample submission", True
    shown = set(as_labels(files.sample[asked[-1]].dropna())) if asked else set()
    if found := [c for c in labels if len(asked) == 1 and shown and shown <= labels[c]]:
        return tuple(found[-1:]), "in train, not in test; the sample submission holds such values", False
    if all(pd.api.types.is_numeric_dtype(files.sample[c]) for c in asked):  # then numbers are likelier
        likely.sort(key=lambda c: pd.api.types.is_numeric_dtype(files.train[c]))
    return tuple(likely[-1:]), "the last column in train that test lacks and that could be one", False


def _bare(column: object) -> str:
    return str(column).strip().lower()


def _ends_of(columns: set[str], labels: set[str]) -> bool:
    return len(columns) == len(labels) and all(any(c.endswith(label) for label in labels) for c in columns)


def _shown(files: _Files, target: Sequence[str]) -> set[str] | None:
    """What the sample submission holds (a label None is not read as one), if that is one column."""
    if files.sample is None:
        return None
    columns = [c for c in files.sample if c in target] or list(files.sample.columns[1:])
    return set(as_labels(files.sample[columns[0]].dropna())) if len(columns) == 1 else None


def _find_task(train: pd.DataFrame, target: Sequence[str], metric: str, shown: set[str]) -> tuple[str, str, bool]:
    """The task, why, and whether that is sure; a metric that is known says a lot."""
    values = [train[name].dropna() for name in target]
    takes = get_metric(metric).takes if metric and not metric.startswith(OWN) else ""
    numbers = all(pd.api.types.is_numeric_dtype(v) and not pd.api.types.is_bool_dtype(v) for v in values)
    if len(target) > 1:
        labels = takes != "values" and all(set(as_labels(v)) <= {"0", "1"} for v in values)
        kind = ("multilabel", "several columns of 0 and 1") if labels else ("regression", "several columns of numbers")
        return *kind, True
    different = values[0].nunique()
    if numbers and (metric == "qwk" or takes == "values"):
        return "ordinal" if metric == "qwk" else "regression", f"{different} numbers, and the metric {metric}", True
    if different == 2:
        return "binary", f"two labels: {' and '.join(in_label_order(as_labels(values[0]).unique()))}", True
    words = {word for label in as_labels(values[0]).unique() for word in re.split(r"[ ,;|]+", label)}
    if not numbers and 2 * len(words) <= different:
        what = f"{different} sets of {len(words)} labels"
        of_sets = metric in ("", "f1", "f1_macro") or metric.startswith(OWN) or get_metric(metric).of_columns
        if of_sets and shown and words.issuperset(word for cell in shown for word in cell.split()):
            return "multilabel", f"{what}, parted by blanks", False
        return "multiclass", f"{what}, each set taken as one label", False
    if not numbers or takes:
        return "multiclass", f"{different} labels" + (f", and the metric {metric}" if numbers else " as text"), True
    if any(" " in text for text in shown):
        return "multiclass", "the sample submission holds several labels a row", False
    whole = bool((values[0] % 1 == 0).all()) and not any("." in text for text in shown)
    if whole and different <= 20 and len(values[0]) / different >= 10:
        return "multiclass", f"{different} whole numbers, each many times (ordinal or regression if amounts)", False
    return "regression", f"{different} different numbers", True


def _find_metric(task: str, files: _Files, target: Sequence[str], wording: str) -> tuple[str, str, bool]:
    metric, sure = metric_of(wording, files.train[list(target)])
    if task == "multilabel" and len(target) == 1:
        said = f'Kaggle: "{wording}"' if wording else "usual for sets of labels"
        beta = 2 if re.search("beta|f ?2", wording, re.I) else 1
        return f"f{beta}_samples", f"{said}; is it the same?", False
    if metric:
        return metric, f'Kaggle: "{wording}"' + ("" if sure else "; is it the same?"), sure
    look = f'Kaggle says "{wording}"' if wording else "look at the contest's Evaluation page"
    guess = {"regression": "mean_rmse" if len(target) > 1 else "rmse", "multilabel": "mean_auc", "ordinal": "qwk"}
    if task in guess:
        logs = " (rmsle or rmse_log where logarithms are scored)" if task == "regression" else ""
        return guess[task], f"usual for the task{logs}; {look}", False
    values, shown = as_labels(files.train[target[0]].dropna()), _shown(files, target)
    labels = set(values)
    if files.sample is None or (shown is not None and (shown <= labels | {"0", "1"} or len(labels) > 2)):
        if len(labels) == 2 and values.value_counts(normalize=True).min() < RARE:
            return "auc", f"usual where a label is rare; {look}", False
        said = "usual for labels" if shown is None else "the sample submission holds labels"
        other = f", 1 for {in_label_order(labels)[-1]}" if len(labels) == 2 and shown and shown - labels else ""
        return "accuracy", f"{said}{other}; {look}", False
    return "logloss", f"the sample submission holds probabilities; {look}", False


def table_of(facts: Sequence[Fact]) -> Iterator[tuple[str, str, str]]:
    """(fact, value, why) as `kgl init` prints them; '?' marks what is not sure."""
    for fact in facts:
        values = fact.value if isinstance(fact.value, (list, tuple)) else [fact.value]
        yield ("" if fact.sure else "? ") + fact.key, some(values), fact.why
