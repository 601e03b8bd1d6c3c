"""What `kgl doctor` can tell without Kaggle: machine, facts, data and folds."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from kgl.competition import data_root, load_competition
from kgl.cores import usable_cores
from kgl.errors import KglError, some
from kgl.findings import Finding
from kgl.fold_file import current_hash
from kgl.folds import read_folds
from kgl.notebook.kernel import BY_HAND, evaluation_api
from kgl.paths import Workspace
from kgl.suspects import check_split
from kgl.tables import Data, load_data, text_ids

LITTLE_DISK = 2e9


def check_workspace(workspace: Workspace) -> list[Finding]:
    """Findings from the machine to the folds; what rests on something that is broken is not looked at."""
    findings = [*check_machine(workspace), *check_judging(workspace)]
    try:
        data = load_data(workspace)
    except KglError as error:
        advice = "mend that first; kgl init fills in facts, kgl download fetches files"
        return [*findings, Finding("block", error.message, advice)]
    shape = f"{len(data.train):,} training and {len(data.test):,} test rows, {data.train.shape[1] - 1} columns"
    return [*findings, Finding("ok", shape), *check_data(data), *check_folds(workspace, data)]


def check_machine(workspace: Workspace) -> Iterator[Finding]:
    """Python, cores and disk."""
    cores, seen = usable_cores(), os.cpu_count() or 1
    limited = f" of {seen} (the container's or the process's limit)" if cores < seen else ""
    yield Finding("ok", f"Python {sys.version.split()[0]}, {cores} cores{limited}")
    free = shutil.disk_usage(workspace.root).free
    what = f"{free / 1e9:.1f} GB free on disk"
    little = Finding("warn", what, "free some, or point [files] root at another disk")
    yield little if free < LITTLE_DISK else Finding("ok", what)


def check_judging(workspace: Workspace) -> Iterator[Finding]:
    """Contests whose notebooks answer questions instead of writing a file."""
    with suppress(KglError):  # facts that cannot be read are told below
        if api := evaluation_api(data_root(workspace, load_competition(workspace))):
            yield Finding("warn", f"this contest {api}, which kgl notebook does not support", BY_HAND)


def check_data(data: Data) -> Iterator[Finding]:
    """What is odd in the tables; none of it stops training."""
    columns = data.train.columns[1:]
    empty = [str(c) for c in columns if data.train[c].isna().all()]
    numbers = data.train[columns].select_dtypes("number")
    infinite = [str(c) for c in numbers if np.isinf(numbers[c].to_numpy(dtype=float, na_value=np.nan)).any()]
    for names, what, mend in (
        (data.train_only, "in train only, and left out", "join them to test in contest.py if test could know them"),
        (empty, "without any value in train, and left out", "drop them in the experiments, or look at the file"),
        (infinite, "infinite values, taken as missing", "clip them in contest.py if they mean something"),
    ):
        if names:
            yield Finding("warn", f"{what}: {some(names)}", mend)
    ids = text_ids(data.full, data.competition.id)
    if ids is not None and ids.duplicated().any():
        repeated = f"{int(ids.duplicated().sum()):,} rows of train repeat an id"
        what = f"{repeated}: rows are numbered, equal ids stay in one fold"
        yield Finding("warn", what, "look whether id in competition.toml is right")
    if data.target.task != "regression":
        yield from _rare_labels(data)


def _rare_labels(data: Data) -> Iterator[Finding]:
    target = data.target
    counted = data.y[:, None] == np.unique(data.y) if target.task == "ordinal" else target.as_predictions(data.y)
    counts = dict(zip(target.labels or target.names, np.count_nonzero(counted, axis=0), strict=True))  # not 0
    rare = [f"{label} ({n})" for label, n in counts.items() if n < data.competition.folds.n_splits]
    if rare:
        what = f"labels with fewer rows than folds: {some(rare)}; some folds cannot learn or validate them"
        yield Finding("warn", what, "fewer folds (folds.n_splits), or join labels in contest.py")


def check_folds(workspace: Workspace, data: Data) -> Iterator[Finding]:
    """Whether folds.parquet is there, fits competition.toml, and covers the training rows."""
    settings = data.competition.folds
    if not workspace.folds.is_file():
        return (yield Finding("ok", "no folds yet; the first training makes them"))
    try:
        folds = read_folds(workspace.folds, settings)
        folds.of(data)
    except KglError as error:
        return (yield Finding("block", error.message, "kgl folds --force makes them anew"))
    yield Finding("ok", f"{len(folds.numbers)} folds, scheme {folds.scheme}, {current_hash(workspace, settings)}")
    yield from check_split(data, folds.of(data))
