"""A team mate's predictions as a run like any other: checked row by row, scored by our metric on our folds."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kgl import __version__
from kgl.arrays import Array
from kgl.changes import find_parent
from kgl.crossval import score_run, write_oof, write_test
from kgl.errors import KglError, usage
from kgl.experiment import experiment_names
from kgl.identity import short_hash
from kgl.paths import digest
from kgl.runs import Run, begin_run, end_run, is_finished, open_run, read_run_file
from kgl.session import Session
from kgl.submission import check_run
from kgl.table_file import read_table
from kgl.tables import ID, text_ids
from kgl.target import Target
from kgl.wording import show

AGREE = "agree on one data/folds.parquet (it belongs into git) and train on it: kgl train NAME."


def import_run(session: Session, paths: Sequence[Path], *, name: str = "", note: str = "") -> Run:
    """Make a complete run of out-of-fold and test predictions that were made elsewhere on the same folds.

    Args:
        session: see `open_session`.
        paths: a run's folder (or its run.json), or two tables: out-of-fold predictions first, test predictions second.
        name: what the run is called here, without its number; by default team_<their name>.
        note: kept in run.json; by default where the files are from.

    Raises:
        KglError: files, rows, folds, columns or values that do not fit; the sentence names the first fault.
    """
    files = _find_tables(paths)
    theirs = read_run_file(story) if (story := files[0].with_name("run.json")).is_file() else None
    if theirs and theirs.metric not in ("", session.metric.name):
        raise KglError(f"{theirs.run} has metric {theirs.metric}, this workspace {session.metric.name}; agree on one.")
    oof = _read_oof(session, files[0], theirs)
    test = _values(files[1], _read_rows(session, files[1], session.data.test[ID], "in test"), session.data.target)
    with open_run(session.workspace, _describe(session, files, theirs, name)) as run:
        if is_finished(session.workspace, run):
            session.say(f"{run.run} has these very predictions, imported {run.ended}")
            return run
        run.parent = find_parent(session.workspace, run, "")
        run.note = note or (f"from {theirs.run}: {theirs.note}".rstrip(": ") if theirs else f"from {files[0]}")
        begin_run(session.workspace, run)
        score_run(session, run, oof)
        if theirs and theirs.cv_score is not None and abs(theirs.cv_score - (run.cv_score or 0.0)) > 1e-6:
            session.say(f"CV {show(run.cv_score)} here, {show(theirs.cv_score)} there: other labels or another metric?")
        write_oof(session, run, oof)
        write_test(session, run, test)
        middle, low, high = np.median(test, axis=0), *np.nanpercentile(oof, (1, 99), axis=0)
        if (odd := ~np.isclose(middle, np.clip(middle, low, high), atol=0)).any():
            m, a, b = (show(float(side[odd][0])) for side in (middle, low, high))
            session.say(f"{files[1].name} has a median of {m}, {files[0].name} lies from {a} to {b}: is one in logs?")
        end_run(session.workspace, run, "complete")
        check_run(session.workspace, run.run)
        return run


def _find_tables(paths: Sequence[Path]) -> list[Path]:
    """oof and test predictions; a run's folder or its run.json stands for both."""
    folders = [path.parent if path.name == "run.json" else path for path in paths]
    parts = [[path / "oof.parquet", path / "test.parquet"] if path.is_dir() else [path] for path in folders]
    tables = list(dict.fromkeys(table for part in parts for table in part))
    if len(tables) != 2:
        wanted = "a run's folder, or two tables: out-of-fold predictions first, test predictions second"
        raise usage(f"expected {wanted}; got {', '.join(map(str, tables))}.")
    return tables


def _describe(session: Session, files: Sequence[Path], theirs: Run | None, name: str) -> Run:
    name = name or re.sub(r"\W+", "_", f"team_{theirs.experiment if theirs else files[0].stem}")
    if not re.fullmatch(r"\w+", name, re.ASCII) or name in [*experiment_names(session.workspace), "blend"]:
        raise usage(f"--name {name}: expected letters, digits and _, and no name of an experiment here.")
    hashes = {path.name: digest(path) for path in files}
    run = Run(run="", experiment=name, kind="import", label_order=list(session.data.target.labels))
    run.config = {"kind": "import", "from": theirs.run if theirs else "", "sha256": hashes}
    run.config |= {"choose": "fold"} if theirs and theirs.is_rosy else {}
    run.metric, run.seconds = session.metric.name, theirs.seconds if theirs else 0.0
    made_of = {"config": short_hash(repr(hashes)), "code": short_hash(__version__), "data": session.data_hash}
    run.identity = made_of | {"folds": session.folds.hash()}
    return run


def _read_oof(session: Session, path: Path, theirs: Run | None) -> Array:
    """(rows of train, columns), missing where no row is validated; folds that are not ours are refused."""
    data, validated = session.data, session.fold_of >= 0
    rows = _read_rows(session, path, data.ids[validated], "validated in train")
    if "fold" in rows:
        others = pd.to_numeric(rows["fold"], errors="coerce").to_numpy() != session.fold_of[validated]
        if others.any():
            raise KglError(f"{path}: {others.sum()} of {len(rows)} rows are of another fold than here; {AGREE}")
    elif not theirs or theirs.identity.get("folds") != session.folds.hash():
        raise KglError(f"{path} has no column 'fold', and no run.json beside it says that the folds are ours; {AGREE}")
    oof = np.full((len(data.y), len(data.target.columns)), np.nan)
    oof[validated] = _values(path, rows, data.target)
    return oof


def _read_rows(session: Session, path: Path, wanted: pd.Series, where: str) -> pd.DataFrame:
    """The table of a file, indexed by id, its rows as those `wanted`."""
    columns = session.competition.id
    rows = read_table(path, text=("id", *columns))
    ids = rows["id"] if "id" in rows else text_ids(rows, columns)
    if ids is None:
        raise KglError(f"{path} has no column {', '.join(columns) or 'id'}; each row wants its id.")
    strange, lacking = ids[~ids.isin(wanted)], wanted[~wanted.isin(ids)]
    faults = {"come twice": ids[ids.duplicated()], f"are not {where}": strange, f"{where} are lacking": lacking}
    for fault, found in faults.items():
        if len(found):
            raise KglError(f"{path}: {len(found)} ids {fault} (such as {found.iloc[0]!r}); all are wanted, each once.")
    return rows.set_index(ids).loc[wanted]


def _values(path: Path, rows: pd.DataFrame, target: Target) -> Array:
    """(n, columns) as `Target.columns` has them; of two classes the second is enough."""
    if target.task == "binary" and target.columns[1] in rows and target.columns[0] not in rows:
        rows = rows.assign(**{target.columns[0]: 1 - pd.to_numeric(rows[target.columns[1]], errors="coerce")})
    if lacking := [column for column in target.columns if column not in rows]:
        raise KglError(f"{path} has no column '{lacking[0]}'; wanted are {', '.join(target.columns)}.")
    values = np.column_stack([pd.to_numeric(rows[column], errors="coerce") for column in target.columns])
    labels, odd = target.one_label or target.task == "multilabel", (values < 0) | (values > 1)
    for fault, wrong in (
        ("a value that is missing, infinite or no number", ~np.isfinite(values).all(axis=1)),
        ("a probability below 0 or above 1", labels & odd.any(axis=1)),
        ("probabilities that do not sum to 1", target.one_label & (abs(values.sum(axis=1) - 1) > 0.01)),
    ):
        if len(found := rows.index[np.flatnonzero(wrong)]):
            raise KglError(f"{path}: {len(found)} rows have {fault} (such as {found[0]!r}).")
    return values.astype(np.float64)
