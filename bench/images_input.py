"""Speed of the image input path, side by side with timm's own loader on the same real pictures, in one run.

    CONTEST_DATA=folder python bench/images.py input [--pictures 600] [--rounds 3]

Counted are pictures a CPU-second, one thread,
from files (or the cache) to a batch of normalised floats, the best of several rounds that take turns: timm's
`create_loader` with a random resized crop and a flip; ours with the levels light (shift, flip) and medium (random
resized crop, flip, brightness and contrast), from the cache and decoding each time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench import images_data as real
from kgl.image.cache import Pictures, open_pictures
from kgl.image.loader import batches
from kgl.image.predictor import Normalise
from kgl.image.transforms import Augment

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 32
WANTED = {("224 px", "cached"): 3.5, ("224 px", "decoded"): 1.6, ("64 px", "cached"): 20.0}


def timm_batches(folder: Path, size: int) -> Iterator[torch.Tensor]:
    """An epoch of timm's loader: its own dataset and prefetcher, which normalises on the device."""
    from timm.data.dataset_factory import create_dataset
    from timm.data.loader import create_loader

    loader = create_loader(
        create_dataset("", root=str(folder)),
        input_size=(3, size, size),
        batch_size=BATCH,
        is_training=True,
        scale=(0.5, 1.0),
        hflip=0.5,
        color_jitter=None,  # type: ignore[arg-type]
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=0,
        persistent_workers=False,
        pin_memory=False,
        device=torch.device("cpu"),
    )
    return (batch for batch, _ in loader)


def our_batches(pictures: Pictures, level: Any) -> Iterator[torch.Tensor]:
    """An epoch of ours, normalised as the network side does it."""
    normalise = Normalise(MEAN, STD, torch.device("cpu"))
    order = np.random.default_rng(0).permutation(len(pictures))
    made = batches(pictures, order, batch_size=BATCH, augment=Augment(level), workers=0)
    return (normalise(batch) for batch, _ in made)


def rate(make: Callable[[], Iterator[torch.Tensor]]) -> float:
    """Pictures a CPU-second of an epoch."""
    began, count = time.process_time(), 0
    for batch in make():
        count += len(batch)
    return count / (time.process_time() - began)


def compare(name: str, folder: Path, size: int, rounds: int, cache: Path) -> None:
    """Print the rates at one size; folder has a folder a class, as timm wants it."""
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    began = time.process_time()
    cached = open_pictures(paths, root=folder, size=(size, size), cache_dir=cache)
    filling = len(paths) / (time.process_time() - began)
    decoded = Pictures(cached.files, cached.size)
    ways = {"timm create_loader": partial(timm_batches, folder, size)}
    for level in ("light", "medium"):
        ways[f"ours, {level}, cached"] = partial(our_batches, cached, level)
        ways[f"ours, {level}, decoded"] = partial(our_batches, decoded, level)
    best = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for way, make in ways.items():
            best[way] = max(best[way], rate(make))
    width, height = Image.open(cached.files[0]).size
    print(f"\n{name}: {len(paths)} pictures such as {width} x {height}, at {size} px; cache filled at {filling:,.0f}/s")
    for way, found in best.items():
        ratio = found / best["timm create_loader"]
        wanted = WANTED.get((f"{size} px", way.split(", ")[-1]))
        print(f"  {way:<24} {found:>9,.0f}/s  {ratio:>6.2f} x" + (f"   wanted {wanted}" if wanted else ""))


def main() -> None:
    """Compare on small photographs, larger ones and thumbnails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        small = real.photos(base / "photos", options.pictures)
        large = real.enlarged(small, base / "enlarged", options.pictures // 2)
        tiny = real.thumbnails(base / "cifar", 4 * options.pictures)
        for name, folder, size in (
            ("dogs-vs-cats", small, 224),
            ("dogs-vs-cats at 640 x 480", large, 224),
            ("dogs-vs-cats", small, 64),
            ("dogs-vs-cats at 640 x 480", large, 64),
            ("cifar-10", tiny, 64),
            ("cifar-10", tiny, 32),
        ):
            compare(name, folder, size, options.rounds, base / "cache")


if __name__ == "__main__":
    main()
