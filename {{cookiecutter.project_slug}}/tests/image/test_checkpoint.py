"""A training that is killed and started again ends as if nothing had happened, to the last bit."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kgl.experiment import Setting
from kgl.fold_task import read_arrays, run_task
from kgl.image import train
from kgl.image.checkpoint import (
    NAME,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from tests.conftest import ENGINE, Tiny
from tests.image.painted import FAST, painted, prepared, task_of

LONG = replace(
    FAST,
    augment="medium",
    mixup=0.2,
    cutmix=0.5,
    ema=0.95,
    params={"drop_rate": 0.2},
    batch_size=8,
    epochs=6,
    choose="holdout",
)
TRAIN = """
import sys
from pathlib import Path
from kgl.fold_task import run_task
from kgl.image import train
from tests.conftest import Tiny
from tests.image.painted import prepared, task_of
from tests.image.test_checkpoint import LONG

train.SAVE_EVERY = 0.0  # after every step
made = Tiny(Path.cwd())
run_task(LONG, prepared(made, LONG), task_of(made, sys.argv[1]), 1)
"""


def start(made: Tiny, name: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ENGINE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", TRAIN, name], cwd=made.root, env=env, stderr=subprocess.PIPE)


def step_of(folder: Path) -> int:
    found = load_checkpoint(folder)
    return found[1]["step"] if found else 0


def test_a_killed_training_ends_with_the_same_weights_and_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = painted(tmp_path / "w", train=72, test=9)
    monkeypatch.chdir(made.root)
    whole, torn = task_of(made, "whole"), task_of(made, "torn")
    rows = prepared(made, LONG)
    run_task(LONG, rows, whole, 1)
    process = start(made, "torn")
    while step_of(torn.scratch) < 7 and process.poll() is None:  # of 18 steps, three an epoch
        time.sleep(0.005)
    process.kill()  # SIGKILL: nothing is tidied up
    process.wait()
    assert not torn.is_done and 7 <= step_of(torn.scratch) < 18
    run_task(LONG, rows, torn, 1)
    assert (torn.folder / "log.txt").read_text(encoding="utf-8").count("goes on at epoch") == 1
    assert not torn.scratch.exists()
    assert all((a == b).all() for a, b in zip(read_arrays(whole), read_arrays(torn), strict=True))
    one, other = (load_file(task.folder / "model.safetensors") for task in (whole, torn))
    assert all(torch.equal(one[key], other[key]) for key in one) and one.keys() == other.keys()


@pytest.mark.parametrize("stop_at", [1, 4, 7])  # of 8 steps, two an epoch
def test_an_interrupted_training_goes_on_with_the_same_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    """Weights, moving averages and the optimizer's memory at the end, compared tensor by tensor."""
    made = painted(tmp_path / "w", train=48, test=9)
    monkeypatch.chdir(made.root)
    monkeypatch.setattr(train, "SAVE_EVERY", 0.0)
    short = replace(LONG, epochs=4)
    rows, ends = prepared(made, short), {}
    real_step, real_run = train.Training._step, train.Training.run

    def step(self: train.Training, pictures: torch.Tensor, targets: torch.Tensor) -> None:
        if self.name == "broken" and self.progress.step == stop_at:
            raise KeyboardInterrupt
        real_step(self, pictures, targets)

    def run(self: train.Training) -> torch.nn.Module:
        try:
            return real_run(self)
        finally:
            assert self.ema is not None
            states = (self.module.state_dict(), self.ema.module.state_dict(), optimizer_tensors(self.optimizer))
            ends[self.name] = [{key: tensor.clone() for key, tensor in state.items()} for state in states]

    monkeypatch.setattr(train.Training, "_step", step)
    monkeypatch.setattr(train.Training, "run", run)
    part, scratch = rows.part(0), tmp_path / "scratch"
    setting = Setting(rows.target, "logloss", 0, 1, metric="accuracy", scratch=scratch, name="broken")
    with pytest.raises(KeyboardInterrupt):
        short.fit(part, setting)
    short.fit(part, replace(setting, name="resumed"))
    short.fit(part, replace(setting, name="whole", scratch=tmp_path / "other"))
    for one, other in zip(ends["resumed"], ends["whole"], strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_checkpoint_comes_back_exactly(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last), "n": torch.tensor(7)}
    state = {"step": 3, "seconds": 0.1 + 0.2, "best": None, "history": ["epoch 1  loss 0.5"]}
    save_checkpoint(tmp_path, {"model": tensors, "best": {}}, state)
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[1] == state
    assert all(torch.equal(found[0]["model"][key], tensors[key]) for key in tensors)
    assert load_checkpoint(tmp_path / "none") is None and load_checkpoint(None) is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"model": {"a": torch.ones(2)}}, {"step": 1})
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, {"model": {"a": torch.zeros(2)}}, {"step": object()})
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    found = load_checkpoint(tmp_path)
    assert found is not None and torch.equal(found[0]["model"]["a"], torch.ones(2))


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "nadamw", "adafactor", "lamb"])
def test_the_memory_of_an_optimizer_comes_back(name: str) -> None:
    from timm.optim import create_optimizer_v2

    def network() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        module.to(memory_format=torch.channels_last)
        return module, create_optimizer_v2(module, opt=name, lr=0.01, weight_decay=0.05)

    def steps(module: torch.nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> None:
        for seed in seeds:
            torch.manual_seed(seed)
            module(torch.randn(4, 3, 8, 8)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    module, optimizer = network()
    steps(module, optimizer, range(3))
    again, restored = network()
    again.load_state_dict(module.state_dict())
    saved = {key: tensor.clone() for key, tensor in optimizer_tensors(optimizer).items()}
    restore_optimizer(restored, saved)
    steps(module, optimizer, range(3, 6))
    steps(again, restored, range(3, 6))
    one, other = module.state_dict(), again.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
