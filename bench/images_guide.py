"""What each usual change brings at equal time, more of it than the tables of the image starter's GUIDE.md tell.

    CONTEST_DATA=folder python bench/images.py guide [digits] [cifar]

5,000 pictures of cifar-10 in two folds and scikit-learn's 1,797 digits in three, at 32 pixels where nothing else is
said. Epochs are set so that every training takes about as long as the others of its table: a minute of one core for
cifar-10, half of one for digits. Accuracy is out of fold, its difference to the first line paired by picture. Alone on
two cores it takes about half an hour.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.images_data import TABLE, cifar_workspace, give_weights, kgl, workspace, write_rows

RESNET = "vision model=resnet10t"
MOBILENET = "vision model=mobilenetv2_100 image_size=64 learning_rate=5e-4 epochs=4"
FILE = "params.pad_type=same"
CIFAR = (
    f"{RESNET} epochs=8",
    f"{RESNET} epochs=8 augment=none",
    f"{RESNET} epochs=8 augment=medium",
    f"{RESNET} epochs=8 augment=strong",
    f"{RESNET} epochs=3 image_size=64",
    f"{MOBILENET} weights=pretrained {FILE}",
    f"embeddings backbone=mobilenetv2_100 image_size=64 {FILE}",
    MOBILENET,
    "vision model=vit_tiny_patch16_224 params.patch_size=8 learning_rate=1e-3 epochs=4",
    "vision model=convnext_atto params.patch_size=2 learning_rate=1e-3 epochs=9",
    "vision model=vgg11_bn params.mlp_ratio=0.0625 learning_rate=1e-3 epochs=2",
)
DIGITS = (
    f"{RESNET} mirror=none epochs=8",
    f"{RESNET} mirror=none epochs=8 augment=none",
    f"{RESNET} mirror=none epochs=8 augment=strong",
    f"{RESNET} mirror=both epochs=8",
    "vision model=vit_tiny_patch16_224 mirror=none params.patch_size=8 learning_rate=1e-3 epochs=3",
)
VISION = '''"""A network from scratch at 32 pixels."""

from kgl.image import Vision

experiment = Vision(weights="none", image_size=32, batch_size=64, learning_rate=2e-3)
'''


def digits_workspace(folder: Path) -> Path:
    """scikit-learn's digits, all of them with their label."""
    from sklearn.datasets import load_digits

    from kgl.rehearsal.digits import _png

    digits = load_digits()
    facts = {"slug": "digits", "task": "multiclass", "metric": "accuracy", "id": ["id"], "target": ["label"]}
    raw = workspace(folder, facts, TABLE, folds=3) / "data" / "raw"
    for part, numbers in (("train", range(len(digits.target))), ("test", range(10))):
        (raw / part).mkdir()
        for i in numbers:
            (raw / part / f"{i:04d}.png").write_bytes(_png(digits.images[i]))
    write_rows(raw / "train.csv", ["id", "label"], {f"{i:04d}": str(label) for i, label in enumerate(digits.target)})
    write_rows(raw / "sample_submission.csv", ["id", "label"], {f"{i:04d}": "0" for i in range(10)})
    return folder


def correct(folder: Path, run: dict[str, Any]) -> "pd.Series[bool]":
    """Whether each training row was predicted rightly out of fold, by id."""
    oof = pd.read_parquet(folder / "runs" / run["run"] / "oof.parquet").set_index("id").sort_index()
    truth = pd.read_csv(folder / "data" / "raw" / "train.csv", dtype=str).set_index("id")["label"]
    return oof.filter(like="p_").idxmax(axis=1) == "p_" + truth.loc[oof.index]


def table(folder: Path, lines: tuple[str, ...]) -> None:
    """Train each line and print how it compares with the first."""
    (folder / "experiments" / "vision.py").write_text(VISION)
    give_weights(folder)
    first = None
    for line in lines:
        run, _ = kgl(folder, "train", *line.split())
        right = correct(folder, run).astype(float)
        first = right if first is None else first
        gain = right - first
        error = np.sqrt(len(right))
        print(f"| `{line}` | {right.mean():.3f} ± {right.std() / error:.3f} | "
              f"{gain.mean():+.3f} ± {gain.std() / error:.3f} | {run['seconds']:.0f} s |", flush=True)  # fmt: skip


def main() -> None:
    """Both tables, or the one that is named."""
    wanted = sys.argv[1:] or ["digits", "cifar"]
    with tempfile.TemporaryDirectory() as scratch:
        if "digits" in wanted:
            table(digits_workspace(Path(scratch) / "digits"), DIGITS)
        if "cifar" in wanted:
            table(cifar_workspace(Path(scratch) / "cifar", 5000, folds=2), CIFAR)


if __name__ == "__main__":
    main()
