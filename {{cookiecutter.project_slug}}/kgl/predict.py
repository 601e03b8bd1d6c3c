"""Test predictions again from saved models, by the source as it was when they were trained."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgl.crossval import average_test, write_test
from kgl.errors import KglError
from kgl.experiment import load_experiment, override
from kgl.fold_task import add_stacked
from kgl.paths import Workspace
from kgl.runs import Run, holding, read_predictions, read_run, run_folder
from kgl.session import Say, Session, open_session
from kgl.tables import ID

Array = NDArray[Any]


def predict_again(workspace: Workspace, name: str, say: Say = print) -> Run:
    """Write test.parquet and submission.csv of a complete run anew, for the rows that load() gives now.

    Members of a blend, and runs that it is stacked on, are predicted first.

    Raises:
        KglError: the run is not complete, or its models are not on this machine.
    """
    run = read_run(workspace, name)
    if not run.is_complete:
        raise KglError(f"{name} is {run.status}; only complete runs predict. Run: kgl train {run.experiment}")
    below = run.blend["members"] if run.blend else run.config.get("stack_on", [])
    for member in below:
        predict_again(workspace, member, say)
    with holding(run_folder(workspace, name), name), _saved_source(run_folder(workspace, name) / "source"):
        session = open_session(workspace, say)
        write_test(session, run, _blend_test(session, run) if run.blend else _model_test(session, run))
    say(f"{name}: {len(session.data.test)} rows predicted again")
    return run


def _blend_test(session: Session, run: Run) -> Array:
    blend = run.blend or {}
    columns, ids = list(session.data.target.columns), session.data.test[ID]
    tests = [read_predictions(session.workspace, m, "test").reindex(ids)[columns].to_numpy() for m in blend["members"]]
    return np.asarray(np.tensordot(np.array(blend["weights"]), np.stack(tests), axes=1))


def _model_test(session: Session, run: Run) -> Array:
    source = run_folder(session.workspace, run.run) / "source"
    stacked = {"stack_on": ",".join(run.config.get("stack_on", []))}
    experiment = override(load_experiment(Workspace(source), run.experiment), stacked)
    rows = add_stacked(session, experiment.prepare_rows(session.data.test), experiment.stack_on, "test")
    folders = run_folder(session.workspace, run.run) / "folds"
    by_fold = [[folders / str(k) / f"seed-{s}" for s in run.seeds] for k in session.folds.numbers]
    missing = [folder for seeds in by_fold for folder in seeds if not folder.is_dir()]
    if missing:
        raise KglError(f"{run.run}: its models are not on this machine ({missing[0].name} of fold {missing[0].parent.name}).")
    return average_test([[experiment.load(folder).predict(rows) for folder in seeds] for seeds in by_fold])


@contextmanager
def _saved_source(source: Path) -> Iterator[None]:
    """Import features, contest and experiments from a run's own copy, and from the workspace again afterwards."""
    if not source.is_dir():
        yield
        return
    stems = {path.stem for path in source.glob("*.py")} | {path.name for path in source.iterdir() if path.is_dir()}
    before = _without(stems)
    sys.path.insert(0, str(source))
    try:
        yield
    finally:
        sys.path.remove(str(source))
        _without(stems)
        sys.modules.update(before)


def _without(stems: set[str]) -> dict[str, Any]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in stems}
