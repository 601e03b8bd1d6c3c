"""Network experiments in a workspace: trained, ranked, predicted again, and predicted without the workspace."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torchvision.transforms import v2

from kgl.errors import USAGE, KglError
from kgl.experiment import config_of
from kgl.image import Vision
from kgl.target import Target
from tests.conftest import Tiny
from tests.image.painted import painted

NET = """\
\"\"\"A tiny network.\"\"\"
from kgl.image import Vision

experiment = Vision(
    model="test_resnet", weights="none", image_size=32, augment="none", batch_size=16, learning_rate=5e-3, epochs=8
)
"""
FROZEN = """\
\"\"\"A head on a frozen network.\"\"\"
from kgl.image import Embeddings

experiment = Embeddings(backbone="test_resnet", weights="none", image_size=32, head="{head}", head_params={params})
"""
# what the workspace needs beyond torch, torchvision and timm must not be imported, and no connection opened
BARE = """
import socket, sys
from pathlib import Path

def offline(*_):
    raise AssertionError("a saved network needs no connection")

socket.socket.connect = offline
import numpy as np
import predict

run, pictures = Path(sys.argv[1]), sys.argv[3:]
folds = [predict.Predictor.load(run / f"folds/{k}/seed-0").predict_files(pictures) for k in range(3)]
np.save(sys.argv[2], np.mean(folds, axis=0))
kgl = {name: module.__file__ for name, module in sys.modules.items() if name.startswith("kgl")}
assert all(file is None or file.startswith(str(run)) for file in [predict.__file__, *kgl.values()]), kgl
missing = {"pandas", "sklearn", "joblib", "pyarrow"}  # LightGBM asks for them, too
assert "lightgbm" in sys.modules or not missing & set(sys.modules)
assert ("lightgbm" in sys.modules) == any(run.glob("folds/*/*/model-*.txt"))
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    made = painted(tmp_path / "w", train=48, test=12)
    made.write("experiments/net.py", NET)
    monkeypatch.chdir(made.root)
    return made


def test_a_network_is_trained_ranked_and_submitted_like_any_experiment(made: Tiny) -> None:
    made.save("sample.csv", made.frame("test.csv")[["id"]].assign(kind="down"))
    made.replace("competition.toml", 'test = "test.csv"', 'test = "test.csv"\nsample_submission = "sample.csv"')
    result = made.kgl("train", "net")
    assert result.status == 0, result.err
    run = json.loads((made.root / "runs/net-001/run.json").read_text(encoding="utf-8"))
    assert (run["status"], run["kind"], run["label_order"]) == ("complete", "image", ["across", "down", "squares"])
    oof = pd.read_parquet(made.root / "runs/net-001/oof.parquet")
    assert list(oof) == ["id", "fold", "p_across", "p_down", "p_squares"] and len(oof) == 48
    submission = pd.read_csv(made.root / "runs/net-001/submission.csv")
    assert list(submission) == ["id", "kind"] and set(submission["kind"]) <= {"across", "down", "squares"}
    assert "epoch 8/8" in (made.root / "runs/net-001/log.txt").read_text(encoding="utf-8")
    again = made.kgl("train", "net")
    assert again.status == 0 and again.name == "net-001"
    made.write("experiments/other.py", NET.replace("epochs=8", "epochs=9"))
    assert made.kgl("train", "other").status == 0
    assert "net-001" in made.kgl("board").out
    assert made.kgl("blend", "net-001", "other-001").status == 0


def predicts_bare(made: Tiny, name: str, folder: Path) -> None:
    """Again in the workspace, and from the run's folder alone; a file that cannot be read gets the labels' shares."""
    run, out = made.root / "runs" / name, folder / "bare.npy"
    before = pd.read_parquet(run / "test.parquet")
    assert made.kgl("predict", name).status == 0
    after = pd.read_parquet(run / "test.parquet")
    assert np.allclose(before.iloc[:, 1:], after.iloc[:, 1:], atol=1e-9)

    tests = [str(made.root / "data/raw" / path) for path in made.frame("test.csv")["path"]]
    gone = made.write("gone.jpg", b"no picture")
    assert not [path for path in run.rglob("*") if path.suffix in (".pkl", ".joblib", ".pt", ".pth")]
    shutil.copytree(run, folder / name)
    run = folder / name
    env = {**os.environ, "PYTHONPATH": str(run / "folds/0/seed-0")}
    command = [sys.executable, "-c", BARE, str(run), str(out), *tests, str(gone)]
    subprocess.run(command, cwd=folder, env=env, check=True, timeout=120)
    bare = np.load(out)
    assert np.abs(bare[:-1] - before.iloc[:, 1:].to_numpy()).max() < 1e-6
    assert np.allclose(bare[-1], 1 / 3, atol=0.01)


def test_saved_networks_predict_again_and_without_the_workspace(made: Tiny, tmp_path: Path) -> None:
    assert made.kgl("train", "net").status == 0
    predicts_bare(made, "net-001", tmp_path)


@pytest.mark.parametrize(
    ("head", "params"), [("logistic", {}), ("knn", {"n_neighbors": 5}), ("lightgbm", {"n_estimators": 20})]
)
def test_so_do_heads_on_a_frozen_network(made: Tiny, tmp_path: Path, head: str, params: dict[str, int]) -> None:
    made.write("experiments/frozen.py", FROZEN.format(head=head, params=params))
    assert made.kgl("train", "frozen", "image_size=40").status == 0
    shutil.rmtree(made.root / "data/cache")
    predicts_bare(made, "frozen-001", tmp_path)
    assert len(list((made.root / "runs").rglob("backbone.safetensors"))) == 1


def test_the_copy_predicts_from_the_command_line(made: Tiny) -> None:
    assert made.kgl("train", "net", "folds=0", "epochs=1").status == 0
    folder = made.root / "runs/net-001/folds/0/seed-0"
    command = [sys.executable, "predict.py", str(made.root / "data/raw/pictures/test000.png")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120)
    header, line = (text.split("\t") for text in done.stdout.splitlines())
    assert header == ["path", "p_across", "p_down", "p_squares"]
    assert sum(map(float, line[1:])) == pytest.approx(1)


def test_quick_trains_one_epoch(made: Tiny) -> None:
    assert made.kgl("train", "net", "--quick").status == 0
    assert "epoch 1/1" in (made.root / "runs/net-001/log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("epoch=3", "Did you mean 'epochs'?"),
        ("model=resnet81", "Did you mean 'resnet"),
        ("augment=lots", "allowed: none, light, medium, strong"),
        ("epochs=0", "epochs: expected 1 or more"),
        ("in_chans=2", "in_chans: got '2', allowed: 1, 3."),
    ],
)
def test_a_wrong_setting_is_refused_with_the_right_one(made: Tiny, change: str, sentence: str) -> None:
    result = made.kgl("train", "net", change)
    assert result.status == USAGE and sentence in result.err


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_size", 1, "2 or more"),
        ("learning_rate", -1, "1e-09 or more"),
        ("head_scale", 0, "1e-09 or more"),
        ("label_smoothing", -1, "0 to 0.99"),
        ("ema", 2, "0 to 0.99999"),
        ("layer_decay", 2, "0 to 1"),
        ("weight_decay", float("nan"), "0 or more"),
        *((name, -1, "0 or more") for name in ("mixup", "cutmix", "weight_decay", "warmup_epochs", "frozen_epochs")),
        *((name, -1, "0 or more") for name in ("clip", "minutes", "threads")),
    ],
)
def test_a_number_out_of_range_is_refused(name: str, value: Any, expected: str) -> None:
    with pytest.raises(KglError, match=f"Vision: {name}: expected {expected}, got {value}"):
        Vision(**{name: value})


def test_balanced_is_refused_where_rows_have_no_class() -> None:
    with pytest.raises(KglError, match="balanced: expected a target of one class a row, this task is regression"):
        Vision(balanced=True).check(Target("regression", ("price",)), "rmse")
    Vision(balanced=True).check(Target("binary", ("kind",), ("a", "b")), "logloss")


def test_torchvisions_transforms_are_told_by_their_settings() -> None:
    def transform(degrees: float) -> Any:
        return config_of(Vision(transform=v2.Compose([v2.RandomRotation(degrees), v2.Lambda(len)])))["transform"]

    text = json.dumps(transform(20))
    assert transform(20) == transform(20) != transform(10) and " at 0x" not in text and "hooks" not in text
    assert "RandomRotation" in text and "builtins.len" in text


def test_a_table_without_paths_is_refused(made: Tiny) -> None:
    for name in ("train.csv", "test.csv"):
        made.save(name, made.frame(name).rename(columns={"path": "file"}))
    result = made.kgl("train", "net")
    assert result.status == 1 and "no column 'path'" in result.err
