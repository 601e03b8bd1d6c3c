"""A training that is killed and started again ends as if nothing had happened, to the last bit."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from kgl.experiment import Setting
from kgl.image import loader, train
from kgl.image.checkpoint import (
    NAME,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from kgl.image.network import build_optimizer
from tests.conftest import ENGINE, Tiny
from tests.image.painted import FAST, painted, prepared

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


def step_of(folder: Path) -> int:
    """The step a training at work has reached, from a copy: safetensors opens a file by its name twice."""
    with tempfile.TemporaryDirectory() as copy, contextlib.suppress(FileNotFoundError):  # saved, or done, this moment
        shutil.copy(folder / NAME, copy)
        found = load_checkpoint(Path(copy))
        return found[1]["step"] if found else 0
    return 0


UNFINISHED = "runs/net-001/folds/*/.seed-0-unfinished"
NET = """\
\"\"\"A network that is saved after every step, whose pictures are made by so many threads.\"\"\"
from kgl.image import Vision, loader, train

train.SAVE_EVERY = 0.0
loader.batches.__kwdefaults__["workers"] = {threads}


def as_it_is(picture):
    return picture


experiment = Vision(
    model="test_resnet", weights="none", image_size=32, augment="strong", transform=as_it_is, mixup=0.2, cutmix=0.5,
    ema=0.95, params={{"drop_rate": 0.2}}, batch_size=8, epochs=4, learning_rate=5e-3, choose="holdout",
)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no groups of processes")
def test_kgl_train_killed_in_an_epoch_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the command itself, with two workers: weights of the best epoch, averages, and all predictions."""
    whole, torn = (painted(tmp_path / name, train=72, test=9) for name in ("whole", "torn"))
    torn.write("experiments/net.py", NET.format(threads=2))
    process = train_command(torn)
    while process.poll() is None and max(map(step_of, torn.root.glob(UNFINISHED)), default=0) < 8:  # of 12 a fold
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)  # nothing is tidied up
    assert process.wait() == -signal.SIGKILL
    assert train_command(torn).wait() == 0
    logs = [path.read_text(encoding="utf-8") for path in torn.root.glob("runs/net-001/folds/*/seed-0/log.txt")]
    assert len(logs) == 3 and "goes on at epoch" in "".join(logs) and not list(torn.root.glob(UNFINISHED))

    monkeypatch.setattr(train, "SAVE_EVERY", train.SAVE_EVERY)  # set back afterwards
    monkeypatch.setitem(loader.batches.__kwdefaults__ or {}, "workers", None)
    whole.write("experiments/net.py", NET.format(threads=0))
    assert whole.kgl("train", "net", "--workers", "1").status == 0
    for file in whole.root.glob("runs/net-001/**/*.safetensors"):  # that of the best epoch, and of the last
        one, other = load_file(file), load_file(torn.root / file.relative_to(whole.root))
        assert all(torch.equal(one[key], other[key]) for key in one)
    for part in ("oof", "test"):
        first, second = (pd.read_parquet(made.root / f"runs/net-001/{part}.parquet") for made in (whole, torn))
        pd.testing.assert_frame_equal(first, second, check_exact=True)


def train_command(made: Tiny) -> subprocess.Popen[bytes]:
    """`kgl train` in a process group of its own."""
    env = {**os.environ, "PYTHONPATH": str(ENGINE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kgl", "train", "net", "--workers", "2"]
    return subprocess.Popen(command, cwd=made.root, env=env, stderr=subprocess.DEVNULL, start_new_session=True)


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
    setting = Setting(rows.setting.target, "logloss", 0, 1, metric="accuracy", scratch=scratch, name="broken")
    with pytest.raises(KeyboardInterrupt):
        short.fit(part, setting)
    short.fit(part, replace(setting, name="resumed"))
    short.fit(part, replace(setting, name="whole", scratch=tmp_path / "other"))
    for one, other in zip(ends["resumed"], ends["whole"], strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_checkpoint_comes_back_exactly(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last), "n": torch.tensor(7)}
    state = {"step": 3, "seconds": 0.1 + 0.2, "best": None, "history": [{"loss": 0.5, "fold": None}]}
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
    def network() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        module.to(memory_format=torch.channels_last)
        return module, build_optimizer(name, module, 0.01)

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
