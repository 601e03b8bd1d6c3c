"""What ten minutes on a CPU bring from scratch: 15,000 pictures of cifar-10 learnt, 5,000 others predicted.

    CONTEST_DATA=folder python bench/images.py cifar [--minutes 10] [--side ours|timm]

Ours is `kgl train cifar folds=0 minutes=10` in a workspace. The other side gets as many minutes for timm's loader and
a plain step on the same network, pictures, size, batch, optimizer and learning rate; its cosine follows the clock, too.
Minutes are those of training; both predict mirrored pictures as well.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from bench import images_data as real
from bench.images_train import lot_of, plain, plain_accuracy
from kgl.image import Vision

SETTINGS: dict[str, Any] = {
    "model": "resnet10t",
    "params": {"channels": [32, 64, 128, 256]},  # half as wide as usual
    "weights": "none",
    "image_size": 64,
    "epochs": 40,  # more than there is time for: the learning rate follows the clock
    "batch_size": 64,
    "learning_rate": 2e-3,
    "label_smoothing": 0.1,
    "threads": 2,
}


def our_side(folder: Path, minutes: float) -> None:
    """The engine's command."""
    words = ", ".join(f"{key}={value!r}" for key, value in SETTINGS.items())
    code = f'"""From scratch; the clock ends it."""\n\nfrom kgl.image import Vision\n\nexperiment = Vision({words})\n'
    (folder / "experiments" / "cifar.py").write_text(code)
    run, seconds = real.kgl(folder, "train", "cifar", "folds=0", f"minutes={minutes}")
    log = (folder / "runs" / run["run"] / "log.txt").read_text()
    print(log, f"\nours: accuracy {run['fold_scores'][0]:.4f}, {seconds:.0f} s with all around it", flush=True)


def timm_side(folder: Path, base: Path, minutes: float, workers: int) -> None:
    """timm's loader and a plain loop, on the same folds."""
    real.command(folder, "folds")
    fold = pd.read_parquet(folder / "data" / "folds.parquet").set_index("id")["fold"]
    labels = real.cifar_labels(len(fold))
    for source in (folder / "data" / "raw" / "train").iterdir():
        part = "valid" if fold[source.stem] == 0 else "train"
        target = base / "timm" / part / labels[source.stem]
        target.mkdir(parents=True, exist_ok=True)
        (target / source.name).write_bytes(source.read_bytes())
    recipe = Vision(**SETTINGS, minutes=minutes)
    lot = lot_of(base / "timm", base / "cache", recipe.image_size)
    module = plain(lot, recipe, 0, workers)
    print(f"timm, {workers} workers: accuracy {plain_accuracy(lot, recipe, module):.4f}", flush=True)


def main() -> None:
    """Both sides, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--side", choices=("ours", "timm", "both"), default="both")
    parser.add_argument("--workers", type=int, default=0, help="of timm's loader")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = real.cifar_workspace(Path(scratch) / "cifar", 20_000, folds=4)
        if options.side != "timm":
            our_side(folder, options.minutes)
        if options.side != "ours":
            timm_side(folder, Path(scratch), options.minutes, options.workers)


if __name__ == "__main__":
    main()
