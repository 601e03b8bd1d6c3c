"""Real pictures for the benchmarks of the image engine, and workspaces around them; see images.py."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

ENGINE = Path(__file__).resolve().parent.parent / "{{cookiecutter.project_slug}}"
sys.path.insert(0, str(ENGINE))

CIFAR_FACTS = {"slug": "cifar-10", "task": "multiclass", "metric": "accuracy", "id": ["id"], "target": ["label"]}
TABLE = {"layout": "csv", "column": "id"}
DOGS_FACTS = {"slug": "dogs-vs-cats", "task": "binary", "metric": "accuracy", "id": ["id"], "target": ["label"]}
IN_NAMES = {"layout": "filename", "pattern": "(?P<label>cat|dog)"}


def data() -> Path:
    """The folder that holds dogs-vs-cats/, cifar-10/ and weights/."""
    return Path(os.environ["CONTEST_DATA"])


def give_weights(folder: Path) -> None:
    """ImageNet weights of mobilenetv2_100 into a workspace, where they are found by the model's name.

    Beside them the JSON that says how their pictures are normalised, as the hub's repositories have it.
    """
    place = folder / "data" / "weights"
    place.mkdir(parents=True)
    shutil.copy(next((data() / "weights").glob("mobilenetv2_100*.safetensors")), place / "mobilenetv2_100.safetensors")
    half = [0.5, 0.5, 0.5]
    (place / "mobilenetv2_100.json").write_text(json.dumps({"mean": half, "std": half, "license": "apache-2.0"}))


def photos(folder: Path, count: int) -> Path:
    """dogs-vs-cats as a folder a class."""
    every = sorted((data() / "dogs-vs-cats" / "train").glob("*.jpg"))
    for path in every[:: max(1, len(every) // count)][:count]:
        (folder / path.name[:3]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name[:3] / path.name)
    return folder


def enlarged(source: Path, folder: Path, count: int | None = None) -> Path:
    """The same photographs at 640 x 480, the size that contests' photographs have more often."""
    for path in sorted(source.rglob("*.jpg"))[:count]:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").resize((640, 480), Image.Resampling.BICUBIC).save(target, quality=90)
    return folder


def thumbnails(folder: Path, count: int, part: str = "train") -> Path:
    """The first pictures of cifar-10 in one folder."""
    with zipfile.ZipFile(data() / "cifar-10" / "cifar-10.zip") as packed:
        names = [name for name in packed.namelist() if name.startswith(f"{part}/") and name.endswith((".jpg", ".png"))]
        packed.extractall(folder, sorted(names, key=lambda name: int(Path(name).stem))[:count])
    return folder


def cifar_labels(count: int) -> dict[str, str]:
    """The label of each of the first pictures of cifar-10, by id."""
    with (data() / "cifar-10" / "trainLabels.csv").open(newline="") as file:
        return {row["id"]: row["label"] for row in list(csv.DictReader(file))[:count]}


def write_rows(path: Path, header: Sequence[str], rows: Mapping[str, str]) -> None:
    """A CSV of two columns."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows.items()])


def workspace(folder: Path, facts: Mapping[str, Any], images: Mapping[str, Any], folds: int) -> Path:
    """An image workspace without pictures yet; they go into data/raw."""
    shutil.copytree(ENGINE / "_starters" / "image", folder)
    (folder / "data" / "raw").mkdir(parents=True)
    named = "train.csv" if images["layout"] == "csv" else ""
    tables: dict[str, dict[str, Any]] = {
        "files": {"train": named, "sample_submission": "sample_submission.csv"},
        "folds": {"scheme": "stratified", "n_splits": folds},
        "images": {"train_dir": "train", "test_dir": "test", **images},
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"kind": "image", **facts}.items()]
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    (folder / "competition.toml").write_text("\n".join(lines) + "\n")
    return folder


def cifar_workspace(folder: Path, pictures: int, folds: int, tests: int = 100) -> Path:
    """cifar-10 with its first pictures, and few test pictures, which nobody scores here."""
    raw = workspace(folder, CIFAR_FACTS, TABLE, folds) / "data" / "raw"
    thumbnails(raw, pictures)
    thumbnails(raw, tests, "test")
    write_rows(raw / "train.csv", ["id", "label"], cifar_labels(pictures))
    ids = sorted(path.stem for path in (raw / "test").iterdir())
    write_rows(raw / "sample_submission.csv", ["id", "label"], dict.fromkeys(ids, "cat"))
    return folder


def dogs_workspace(folder: Path, folds: int = 5) -> Path:
    """dogs-vs-cats as it is, scored by accuracy."""
    workspace(folder, DOGS_FACTS, IN_NAMES, folds)
    shutil.copytree(data() / "dogs-vs-cats", folder / "data" / "raw", dirs_exist_ok=True)
    sample = folder / "data" / "raw" / "sample_submission.csv"
    sample.chmod(0o644)
    sample.write_text(sample.read_text().replace(",0.5", ",dog"))
    return folder


def command(folder: Path, *words: str) -> str:
    """What a command prints in a workspace, its last word a run's name; its progress is shown."""
    environment = os.environ | {"PYTHONPATH": str(ENGINE), "PYTHONDONTWRITEBYTECODE": "1"}
    line = [sys.executable, "-m", "kgl", *words]
    done = subprocess.run(line, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}")
    return done.stdout


def kgl(folder: Path, *words: str) -> tuple[dict[str, Any], float]:
    """run.json of what a command trains, and the seconds that it took."""
    began = time.monotonic()
    run = command(folder, *words).split()[-1]
    return json.loads((folder / "runs" / run / "run.json").read_text()), time.monotonic() - began
