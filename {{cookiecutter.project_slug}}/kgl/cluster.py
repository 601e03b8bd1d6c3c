"""Fold tasks on other machines, through dask.distributed; a worker that dies costs its own task alone.

Workers are started in a copy of the workspace: `uv run dask worker ADDRESS --nthreads 1`. They share no disk with this
machine: rows travel with each task, and the trained model comes back as an archive.
"""

import importlib
import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from kgl.errors import KglError, reason, usage
from kgl.experiment import Experiment
from kgl.fold_task import Rows, Task, run_task
from kgl.identity import code_hash
from kgl.paths import find_workspace, use_workspace, whole_folder

PATIENCE = 60  # seconds for a scheduler to answer, and for a first worker
RETRIES = 3  # of a task whose worker died


def run_on_cluster(
    address: str, name: str, experiment: Experiment, rows: Rows, tasks: Sequence[Task], *, threads: int
) -> Iterator[Task]:
    """Train tasks on the workers of a dask scheduler, each given back as it is done.

    Args:
        address: of the scheduler, such as tcp://10.0.0.5:8786.
        name: of the experiment, whose code each worker must have, too.
        experiment: with its settings.
        rows, tasks: what is trained on, and what is trained.
        threads: inside each model.

    Raises:
        KglError: dask is not installed (2), no scheduler or worker answers, a task failed (1).
    """
    client = _connect(address)
    try:
        # with each task, not scattered to one worker, with whose death all tasks would be lost
        load = _cloudpickle().dumps((experiment, rows))
        source = name, code_hash(rows.workspace, name)
        done = importlib.import_module("distributed").as_completed(loop=client.loop, with_results=True)
        waiting = ((source, load, (n, task.fold, task.seed), threads) for n, task in enumerate(tasks))

        def send() -> None:  # two for each core, so that none waits; workers may come later
            room = 2 * max(1, sum(client.ncores().values())) - done.count()
            for told in islice(waiting, max(0, room)):
                done.add(client.submit(_train_there, *told, retries=RETRIES, pure=False))

        send()
        for _, (number, archive) in done:
            send()
            with whole_folder(tasks[number].folder) as folder, zipfile.ZipFile(io.BytesIO(archive)) as packed:
                packed.extractall(folder)
            yield tasks[number]
    finally:
        client.close()


def _connect(address: str) -> Any:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise usage("--cluster needs dask.distributed, which is not installed. Run: uv sync --group cluster") from None
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        what = f"no scheduler with a worker answers within {PATIENCE} s"
        raise KglError(f"--cluster {address}: {what} ({reason(error)}).") from None
    return client


def _cloudpickle() -> Any:
    return importlib.import_module("cloudpickle")  # comes with distributed


def _train_there(source: tuple[str, str], load: bytes, number: tuple[int, int, int], threads: int) -> tuple[int, bytes]:
    """On the worker: train one task in its own copy of the workspace, and send the folder back."""
    workspace, (name, code), (place, fold, seed) = find_workspace(), source, number
    if code_hash(workspace, name) != code:
        advice = "bring its copy up to date (git pull)"
        raise KglError(f"the worker in {workspace.root} has other code for {name}; {advice}.")
    use_workspace(workspace)
    experiment, rows = _cloudpickle().loads(load)
    with tempfile.TemporaryDirectory() as temporary:
        task = Task(fold, seed, Path(temporary) / "run" / "folds" / str(fold) / f"seed-{seed}")
        run_task(experiment, replace(rows, workspace=workspace), task, threads)
        return place, Path(shutil.make_archive(f"{temporary}/done", "zip", task.folder)).read_bytes()
