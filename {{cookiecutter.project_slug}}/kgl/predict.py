"""Test predictions again from saved models, by the source as it was when they were trained."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kgl.arrays import Array
from kgl.blend import blend_test, blend_weights
from kgl.crossval import average_test, write_test
from kgl.errors import KglError
from kgl.experiment import Experiment, Fitted, load_experiment
from kgl.fold_task import add_stacked
from kgl.paths import Workspace
from kgl.runs import Run, holding, made_again, read_complete, run_folder, saved_models
from kgl.session import Say, Session, open_session


def predict_again(workspace: Workspace, name: str, say: Say = print) -> Run:
    """Write test.parquet and submission.csv of a complete run anew, for the files as they are now.

    Members of a blend, and runs that it is stacked on, are predicted first.

    Raises:
        KglError: the run is not complete, or its models are not on this machine.
    """
    run = read_complete(workspace, name)
    if run.kind == "import":
        raise KglError(f"{name} was imported, its models are elsewhere; import new predictions: kgl import FILE...")
    for member in [*blend_weights(run), *run.config.get("stack_on", ())]:
        predict_again(workspace, member, say)
    folder = run_folder(workspace, name)
    with holding(folder, name), saved_source(folder / "source"):
        session = open_session(workspace, say)
        test = blend_test(session, run) if run.blend else _model_test(session, run, folder)
        write_test(session, run, test)
    say(f"{name}: {len(test)} rows predicted again")
    return run


def _model_test(session: Session, run: Run, folder: Path) -> Array:
    experiment = load_experiment(Workspace(folder / "source"), run.experiment).as_trained(run.config, folder)
    models = saved_models(session.workspace, run)
    models = models[len(run.fold_scores) :] or models  # see `Folds.predicting`
    rows = add_stacked(session, experiment.prepare_rows(session.data.test), experiment.stack_on, "test")
    return average_test([[_load(experiment, model, run).predict(rows) for model in seeds] for seeds in models])


def _load(experiment: Experiment, model: Path, run: Run) -> Fitted:
    with made_again(model, f"kgl train {run.experiment} --again makes it anew"):
        return experiment.load(model)


@contextmanager
def saved_source(source: Path) -> Iterator[None]:
    """Import contest, features and experiments from a run's own copy, and from the workspace again afterwards."""
    if not source.is_dir():  # a blend has none
        yield
        return
    stems, path = {path.stem for path in source.iterdir()}, list(sys.path)
    before = _without(stems)
    sys.path.insert(0, str(source))
    try:
        importlib.import_module("contest")  # now: load_data() looks in the workspace first
        yield
    finally:
        sys.path[:] = path
        _without(stems)
        sys.modules.update(before)


def _without(stems: set[str]) -> dict[str, Any]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in stems}
