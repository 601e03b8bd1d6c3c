"""The training: it learns, it is honest, and it ends well whatever happens."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from kgl.errors import KglError
from kgl.experiment import Setting, config_of
from kgl.fold_task import Rows, read_arrays, run_task, run_tasks
from kgl.image import Vision, train
from tests.conftest import ENGINE, Tiny
from tests.image.painted import FAST, KINDS, painted, prepared, task_of

Array = NDArray[Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return painted(tmp_path_factory.mktemp("painted") / "w")


@pytest.fixture(autouse=True)
def inside(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.root)


def trained(made: Tiny, rows: Rows, experiment: Vision, name: str, seed: int = 0) -> tuple[Array, Array, str]:
    """Predictions of fold 0 and of the test, and the log."""
    task = run_task(experiment, rows, task_of(made, name, seed=seed), threads=1)
    valid, test = read_arrays(task)
    return valid, test, (task.folder / "log.txt").read_text(encoding="utf-8")


def curve(made: Tiny, name: str, column: str) -> list[float]:
    """A column of the learning curve of fold 0."""
    history = json.loads((task_of(made, name).folder / "history.json").read_text(encoding="utf-8"))
    return [epoch[column] for epoch in history]


def truth(made: Tiny) -> Array:
    return np.array([KINDS.index(kind) for kind in pd.read_csv(made.root / "truth.csv")["kind"]])


def accuracy(made: Tiny, test: Array) -> float:
    return float(np.mean(test.argmax(axis=1) == truth(made)))


@pytest.mark.parametrize(
    ("model", "rate"), [("test_resnet", 5e-3), ("test_efficientnet", 5e-3), ("test_convnext", 1e-2), ("test_vit", 1e-3)]
)
def test_a_network_learns_painted_pictures(made: Tiny, model: str, rate: float) -> None:
    experiment = replace(FAST, model=model, learning_rate=rate, augment="light", epochs=30)
    _, test, _ = trained(made, prepared(made, experiment), experiment, f"learns-{model}")
    assert np.allclose(test.sum(axis=1), 1)
    assert accuracy(made, test) > 0.9


def test_it_learns_with_everything_switched_on(made: Tiny) -> None:
    experiment = replace(
        FAST,
        augment="light",
        mixup=0.2,
        cutmix=0.5,
        ema=0.9,
        batch_size=8,
        accumulate=2,
        label_smoothing=0.1,
        balanced=True,
        frozen_epochs=1,
        head_scale=2.0,
        layer_decay=0.9,
        epochs=16,
        precision="bf16",
        mirror="both",
        choose="holdout",
    )
    _, test, log = trained(made, prepared(made, experiment), experiment, "everything")
    assert accuracy(made, test) > 0.9
    assert log.count("  holdout ") == 16 and log.count(" (ema ") > 16


def test_the_labels_of_a_fold_do_not_touch_its_predictions(made: Tiny) -> None:
    for choose in ("last", "holdout"):
        experiment = replace(FAST, epochs=3, choose=choose, ema=0.9)
        rows = prepared(made, experiment)
        shuffled = rows.y.copy()
        inside = rows.fold_of == 0
        shuffled[inside] = np.random.default_rng(0).permutation(shuffled[inside])
        assert (shuffled != rows.y).any()
        one = trained(made, rows, experiment, f"labels-{choose}")
        other = trained(made, replace(rows, y=shuffled), experiment, f"shuffled-{choose}")
        assert (one[0] == other[0]).all() and (one[1] == other[1]).all()
        assert curve(made, f"labels-{choose}", "fold") != curve(made, f"shuffled-{choose}", "fold")  # they are watched


def test_a_run_that_chooses_by_its_own_fold_says_so_and_takes_its_best_epoch(made: Tiny) -> None:
    experiment = replace(FAST, epochs=6, choose="fold", learning_rate=2e-2, ema=0.5)
    assert experiment.peeks and not FAST.peeks and config_of(experiment)["choose"] == "fold"
    rows = prepared(made, experiment)
    valid, _, log = trained(made, rows, experiment, "peeks")
    best = max(curve(made, "peeks", "fold") + curve(made, "peeks", "fold_ema"))
    assert np.mean(valid.argmax(axis=1) == rows.y[rows.fold_of == 0]) == pytest.approx(best)
    assert "its score is rosy" in log


def test_watching_a_fold_changes_no_bit(made: Tiny) -> None:
    experiment = replace(FAST, epochs=3, augment="strong", mixup=0.2, ema=0.9, params={"drop_rate": 0.2})
    rows = prepared(made, experiment)
    watched = trained(made, rows, experiment, "watched")[1]
    setting = Setting(rows.setting.target, "logloss", seed=0, threads=1, metric="accuracy")
    assert (experiment.fit(rows.part(0), setting).predict(rows.test) == watched).all()


def test_the_learning_curve_is_kept_as_data(made: Tiny) -> None:
    experiment = replace(FAST, epochs=4, ema=0.9, choose="holdout")
    trained(made, prepared(made, experiment), experiment, "curve")
    folder = task_of(made, "curve").folder
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3, 4]
    assert history[-1]["loss"] < history[0]["loss"] and history[-1]["learning_rate"] < experiment.learning_rate / 2
    names = {"epoch", "step", "loss", "learning_rate", "seconds", "pictures_a_second"}
    assert set(history[-1]) == names | {"fold", "fold_ema", "holdout", "holdout_ema"}
    assert (folder / "last.safetensors").is_file()  # beside that of the best


def test_a_fold_that_takes_long_to_predict_is_watched_less_often(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "WATCH_FREE", 0.0)
    monkeypatch.setattr(train, "WATCH_SHARE", 1e-3)  # as if predicting took hundreds of times as long
    experiment = replace(FAST, epochs=4)
    _, _, log = trained(made, prepared(made, experiment), experiment, "seldom")
    assert "the fold is looked at every" in log
    watched = ["fold" in epoch for epoch in json.loads((task_of(made, "seldom").folder / "history.json").read_text())]
    assert watched == [True, False, False, True]


def test_seeds_differ_and_each_repeats_itself(made: Tiny) -> None:
    experiment = replace(FAST, epochs=2, augment="medium", mixup=0.2)
    rows = prepared(made, experiment)
    first, again, other = (trained(made, rows, experiment, f"repeat{i}", seed=i // 2)[1] for i in range(3))
    assert (first == again).all()
    assert not np.allclose(first, other)


def test_worker_processes_change_nothing(made: Tiny) -> None:
    experiment = replace(FAST, epochs=2, augment="strong")
    rows = prepared(made, experiment)
    alone = [task_of(made, "alone", fold) for fold in (0, 1)]
    beside = [task_of(made, "beside", fold) for fold in (0, 1)]
    list(run_tasks("tiny", experiment, rows, alone, workers=1))
    list(run_tasks("tiny", experiment, rows, beside, workers=2))
    for one, other in zip(alone, beside, strict=True):
        assert all((a == b).all() for a, b in zip(read_arrays(one), read_arrays(other), strict=True))


def test_small_batches_that_make_one_step_learn_what_a_large_one_does(made: Tiny) -> None:
    base = replace(FAST, model="test_vit", epochs=1, clip=0.0, optimizer="sgd", learning_rate=0.1)
    rows = prepared(made, base)
    _, large, _ = trained(made, rows, replace(base, batch_size=16), "large")
    _, small, _ = trained(made, rows, replace(base, batch_size=4, accumulate=4), "small")
    assert np.allclose(large, small, atol=1e-5)


OUT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from kgl.fold_task import run_task
from kgl.paths import Workspace
from tests.conftest import Tiny
from tests.image.painted import FAST, prepared, task_of
from dataclasses import replace

made = Tiny(Path.cwd())
experiment = replace(FAST, image_size=224, batch_size=64, epochs=1, precision="fp32")
rows = prepared(made, experiment)
run_task(replace(experiment, batch_size=2), rows, task_of(made, "warm"), 1)  # everything is loaded
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000, used + 500_000_000))
run_task(experiment, rows, task_of(made, "little-memory"), 1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_a_batch_too_large_for_memory_goes_through_in_parts(made: Tiny) -> None:
    env = {**os.environ, "PYTHONPATH": str(ENGINE), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], cwd=made.root, env=env, check=True, timeout=200)
    task = task_of(made, "little-memory")
    assert "out of memory" in (task.folder / "log.txt").read_text(encoding="utf-8")
    assert np.allclose(read_arrays(task)[1].sum(axis=1), 1)


def test_a_loss_that_is_no_number_stops_the_training_with_the_reason(made: Tiny) -> None:
    experiment = replace(FAST, learning_rate=1e30, clip=0.0)
    task = task_of(made, "diverges")
    with pytest.raises(KglError, match=r"loss is no longer a number \(epoch \d.*lower learning_rate"):
        run_task(experiment, prepared(made, experiment), task, 1)
    assert not task.is_done and not task.scratch.exists()  # no such weights are kept


def test_a_time_limit_ends_in_valid_predictions(made: Tiny) -> None:
    experiment = replace(FAST, epochs=1000, minutes=0.03)
    _, test, log = trained(made, prepared(made, experiment), experiment, "in-time")
    assert "0.03 minutes are over: " in log
    assert accuracy(made, test) > 0.9  # 1.8 seconds are enough, and the learning rate came down in time


def test_the_best_epoch_is_that_of_the_inner_holdout(made: Tiny) -> None:
    experiment = replace(FAST, choose="holdout", epochs=6, learning_rate=2e-2)
    rows = prepared(made, experiment)
    valid, _, _ = trained(made, rows, experiment, "chosen")
    scores = curve(made, "chosen", "holdout")
    part = rows.part(0)
    held = replace(rows, fold_of=np.where(rows.fold_of == 1, 0, 1))  # the holdout of fold 0 is fold 1
    again = experiment.load(task_of(made, "chosen").folder).predict(held.train.loc[held.fold_of == 0])
    assert np.mean(again.argmax(axis=1) == rows.y[rows.fold_of == 1]) == pytest.approx(max(scores))
    assert part.holdout.sum() == len(again) and len(valid)


def kinds_as(task: str) -> Any:
    """Targets of other tasks from the three kinds."""
    return {
        "binary": lambda codes: (codes == 2).astype(int),
        "multilabel": lambda codes: np.column_stack([codes != 0, codes != 1]).astype(int),
        "ordinal": lambda codes: codes.astype(float),
        "regression": lambda codes: np.column_stack([1000.0 + 50 * codes, -3.0 * codes]),
        "positive": lambda codes: 10.0 ** (codes + 1),
    }[task]


@pytest.mark.parametrize(
    ("task", "metric", "names"),
    [
        ("binary", "auc", ("kind",)),
        ("multilabel", "mean_auc", ("a", "b")),
        ("ordinal", "qwk", ("kind",)),
        ("regression", "mean_mae", ("a", "b")),
        ("positive", "rmsle", ("kind",)),
    ],
)
def test_every_task_is_learnt(made: Tiny, task: str, metric: str, names: tuple[str, ...]) -> None:
    experiment = replace(FAST, epochs=14)
    kind = {"positive": "regression"}.get(task, task)
    rows = prepared(made, experiment, task=kind, names=names, metric=metric, y=kinds_as(task))
    if task == "ordinal":
        rows = replace(rows, setting=replace(rows.setting, target=replace(rows.setting.target, labels=("0", "1", "2"))))
    _, test, _ = trained(made, rows, experiment, f"task-{task}")
    right = kinds_as(task)(truth(made)).astype(float).reshape(len(test), -1)
    if task == "binary":
        right = np.column_stack([1 - right, right])
    if task in ("binary", "multilabel"):
        assert ((test >= 0) & (test <= 1)).all()
    error, spread = np.abs(test - right).mean(axis=0), np.abs(right - np.median(right, axis=0)).mean(axis=0)
    assert (error < 0.4 * spread + 0.05).all()


def test_rows_without_a_readable_picture_are_left_out_and_predicted_by_the_average(
    made: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = painted(tmp_path / "odd")
    monkeypatch.chdir(odd.root)
    odd.write("data/raw/pictures/test003.png", b"no picture")
    (odd.root / "data/raw/pictures/test007.png").unlink()
    odd.write("data/raw/pictures/train000.png", b"")  # in fold 0
    odd.write("data/raw/pictures/train003.png", b"\x89PNG cut short")  # in fold 1, an "across"
    rows = prepared(odd, FAST)
    told = capsys.readouterr().err
    for name in ("test003.png", "test007.png", "train000.png", "train003.png"):
        assert name in told
    valid, test, log = trained(odd, rows, FAST, "odd")
    assert "1 of 63 training rows left out" in log
    prior = np.bincount(np.delete(rows.y[rows.fold_of != 0], 0), minlength=3) / 62  # of the rows that were trained on
    for prediction in (test[3], test[7], valid[0]):
        assert np.allclose(prediction, prior)
    assert accuracy(odd, test) > 0.85  # no other row got its neighbour's prediction


def test_a_gpu_is_used_where_there_is_one(made: Tiny) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    experiment = replace(FAST, precision="auto")
    _, test, log = trained(made, prepared(made, experiment), experiment, "gpu")
    assert "on cuda:0" in log
    assert accuracy(made, test) > 0.9


def test_three_rows_one_of_each_kind_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = painted(tmp_path / "few", train=6, test=3)
    monkeypatch.chdir(few.root)
    experiment = replace(FAST, epochs=2, mixup=0.2, balanced=True, accumulate=2)
    rows = prepared(few, experiment)
    absent = replace(rows, y=np.where((rows.fold_of == 1) & (rows.y == 2), 0, rows.y))  # no row of the third kind
    for name, these in (("few", rows), ("absent", absent)):
        _, test, _ = trained(few, these, experiment, name)
        assert test.shape == (3, 3) and np.allclose(test.sum(axis=1), 1)


class Odd(torch.nn.Module):
    """A network whose outputs are not what a target wants."""

    def __init__(self, num_classes: int, in_chans: int, outputs: int = 3, way: str = "pooled") -> None:
        super().__init__()
        self.layer, self.way = torch.nn.Conv2d(in_chans, outputs, 16, 16), way

    def forward(self, x: torch.Tensor) -> Any:
        found = self.layer(x)
        return (found,) if self.way == "tuple" else found if self.way == "unpooled" else found.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("params", "gave"),
    [({"outputs": 5}, r"\(15, 5\)"), ({"way": "unpooled"}, r"\(15, 3, 2, 2\)"), ({"way": "tuple"}, "a tuple")],
)
def test_outputs_of_another_shape_than_the_target_are_refused(made: Tiny, params: dict[str, Any], gave: str) -> None:
    experiment = replace(FAST, model=Odd, params=params)
    with pytest.raises(KglError, match=rf"test_train:Odd gave {gave}, expected \(15, 3\)\."):
        trained(made, prepared(made, experiment), experiment, "odd")
