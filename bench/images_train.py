"""A whole training beside timm's loader and a plain step: the same network, size, batch, precision and epochs.

    CONTEST_DATA=folder python bench/images.py train [--accuracy]

The plain side is what one writes with timm: `create_loader` (random resized crop, flip; the fastest number of workers
that was tried), a network in torch's default memory format, forward, loss, backward, AdamW with a cosine. Ours is the
experiment's own fit, from the cache. Speed: seconds of trainings of two epochs in turns. `--accuracy`: that of both
over three seeds of cifar-10, on pictures that neither saw; other work may run beside it.
"""

import argparse
import contextlib
import io
import math
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from bench import images_data as real
from kgl.experiment import Part, Setting
from kgl.image import Vision
from kgl.image.cache import open_pictures
from kgl.image.learner import ALBUM, PLACE, Album, fit_vision
from kgl.target import Target

SIZE, THREADS = 64, 2
WANTED = {"resnet18": 1.25, "mobilenetv3_small_100": 2.5}


@dataclass(frozen=True)
class Lot:
    """Pictures in a folder a class: train/ and valid/, and the rows of each as our learner takes them."""

    folder: Path
    labels: tuple[str, ...]
    rows: pd.DataFrame
    y: Any
    train: Any

    @property
    def target(self) -> Target:
        return Target("multiclass", ("label",), self.labels)


def lot_of(folder: Path, cache: Path, size: int = SIZE) -> Lot:
    """The lot in a folder, its pixels cached."""
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    kept = open_pictures(paths, root=folder, size=(size, size), cache_dir=cache)
    album = np.empty(len(paths), dtype=object)
    album.fill(Album(kept))
    named = [Path(path).parts for path in paths]
    labels = tuple(sorted({parts[1] for parts in named}))
    y = np.array([labels.index(parts[1]) for parts in named])
    rows = pd.DataFrame({ALBUM: album, PLACE: np.arange(len(paths))})
    return Lot(folder, labels, rows, y, np.array([parts[0] == "train" for parts in named]))


def ours(lot: Lot, recipe: Vision, seed: int) -> Any:
    """The experiment's own fit."""
    setting = Setting(target=lot.target, loss="logloss", seed=seed, threads=THREADS, metric="accuracy")
    part = Part(lot.rows, np.flatnonzero(lot.train), lot.y[lot.train], np.zeros(int(lot.train.sum()), bool))
    return fit_vision(recipe, part, setting)


def timm_loader(folder: Path, recipe: Vision, training: bool, workers: int) -> Any:
    """timm's loader of a folder a class, on the CPU."""
    from timm.data.dataset_factory import create_dataset
    from timm.data.loader import create_loader

    return create_loader(
        create_dataset("", root=str(folder)),
        input_size=(3, recipe.image_size, recipe.image_size),
        batch_size=recipe.batch_size,
        is_training=training,
        scale=(0.5, 1.0),
        hflip=0.5,
        color_jitter=None,  # type: ignore[arg-type]
        interpolation="bilinear",
        crop_pct=1.0,
        num_workers=workers,
        persistent_workers=workers > 0,
        device=torch.device("cpu"),
    )


def plain(lot: Lot, recipe: Vision, seed: int, workers: int = 0) -> nn.Module:
    """timm's loader and a plain loop; a cosine by step, or by the clock where the recipe has minutes."""
    import timm

    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    loader = timm_loader(lot.folder / "train", recipe, True, workers)
    module = timm.create_model(str(recipe.model), num_classes=len(lot.labels), **recipe.params).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    total, limit, step, began = recipe.epochs * len(loader), recipe.minutes * 60, 0, time.monotonic()
    for _ in range(recipe.epochs):
        for x, y in loader:
            done = max(step / total, (time.monotonic() - began) / limit if limit else 0)
            if done > 1:
                return module
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * rate_at(done, recipe.warmup_epochs / recipe.epochs)
            optimizer.zero_grad()
            F.cross_entropy(module(x), y, label_smoothing=recipe.label_smoothing).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), recipe.clip)
            optimizer.step()
            step += 1
    return module


def rate_at(done: float, warmup: float) -> float:
    """The learning rate over its peak at a place of the training, from 0 to 1."""
    rising = min(1.0, done / max(min(warmup, 0.25), 1e-9))
    return max(0.01, min(rising, (1 + math.cos(math.pi * done)) / 2))


@torch.inference_mode()
def plain_accuracy(lot: Lot, recipe: Vision, module: nn.Module) -> float:
    """On the pictures of valid/, mirrored too, as ours is."""
    module.eval()
    right = [((module(x).softmax(1) + module(x.flip(3)).softmax(1)).argmax(1) == y).float()
             for x, y in timm_loader(lot.folder / "valid", recipe, False, 0)]  # fmt: skip
    return float(torch.cat(right).mean())


def our_accuracy(lot: Lot, fitted: Any) -> float:
    """On the same pictures."""
    valid = lot.rows[~lot.train].reset_index(drop=True)
    return float((fitted.predict(valid).argmax(axis=1) == lot.y[~lot.train]).mean())


def seconds(train: Any, *arguments: Any) -> float:
    """How long a training takes; what it prints is not shown."""
    began = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train(*arguments)
    return time.monotonic() - began


def recipe_of(model: str, epochs: int) -> Vision:
    """From scratch at 64 pixels, random resized crops and flips."""
    return Vision(model=model, weights="none", image_size=SIZE, epochs=epochs, batch_size=32, augment="medium",
                  learning_rate=1e-3, precision="fp32")  # fmt: skip


def speed(name: str, lot: Lot, model: str, rounds: int) -> None:
    """Print the medians of trainings of two epochs in turns."""
    recipe = recipe_of(model, 2)
    seconds(ours, lot, recipe_of(model, 1), 0)
    workers = min((0, 2), key=lambda count: seconds(plain, lot, recipe, 0, count))
    rows = [(seconds(ours, lot, recipe, 0), seconds(plain, lot, recipe, 0, workers)) for _ in range(rounds)]
    mine, other = (statistics.median(row[side] for row in rows) for side in (0, 1))
    ratio = statistics.median(row[1] / row[0] for row in rows)
    print(f"{name:<28} {model:<22} ours {mine:6.2f} s   timm and plain step ({workers} workers) {other:6.2f} s   "
          f"{ratio:.2f} x   wanted {WANTED[model]}", flush=True)  # fmt: skip


def accuracy(name: str, lot: Lot, model: str, epochs: int) -> None:
    """Print both sides' accuracy over three seeds."""
    recipe = recipe_of(model, epochs)
    mine = [our_accuracy(lot, ours(lot, recipe, seed)) for seed in range(3)]
    other = [plain_accuracy(lot, recipe, plain(lot, recipe, seed)) for seed in range(3)]
    for side, values in (("ours", mine), ("timm", other)):
        shown = " ".join(f"{value:.4f}" for value in values)
        print(f"{name} {model} {side}: {shown}   mean {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}", flush=True)


def cifar(folder: Path, train: int, valid: int) -> Path:
    """The first pictures of cifar-10, a folder a class, in two parts."""
    unpacked = real.thumbnails(folder / "unpacked", train + valid) / "train"
    for i, (number, label) in enumerate(real.cifar_labels(train + valid).items()):
        source = next(unpacked.glob(f"{number}.*"))
        target = folder / "cifar" / ("train" if i < train else "valid") / label
        target.mkdir(parents=True, exist_ok=True)
        source.rename(target / source.name)
    return folder / "cifar"


def main() -> None:
    """Speed on photographs and thumbnails, or accuracy on thumbnails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=960)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        if options.accuracy:
            lot = lot_of(cifar(base, 3000, 2000), base / "cache")
            for model in WANTED:
                accuracy("cifar-10", lot, model, epochs=4)
            return
        real.photos(base / "photos" / "train", options.pictures)
        real.enlarged(base / "photos", base / "enlarged")
        lots = {"dogs-vs-cats": base / "photos", "dogs-vs-cats at 640 x 480": base / "enlarged",
                "cifar-10": cifar(base, options.pictures, 0)}  # fmt: skip
        for name, folder in lots.items():
            lot = lot_of(folder, base / "cache")
            for model in WANTED:
                speed(name, lot, model, options.rounds)


if __name__ == "__main__":
    main()
