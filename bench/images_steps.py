"""What the input and the engine add to a training: epochs of `kgl.image.train.Training` beside pure steps.

    CONTEST_DATA=folder python bench/images.py steps [--rounds 5] [--threads 2]

A pure step is forward, loss, backward, clip and AdamW (fused, as ours), on the very batches of the epoch, which lie in
memory and are normalised already. The sides take turns; the aim is at most 1.1 times.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import images_data as real
from kgl.experiment import Setting
from kgl.image import Vision
from kgl.image.cache import open_pictures
from kgl.image.loader import batches, epoch_order
from kgl.image.network import build_network
from kgl.image.predictor import Normalise, Spec
from kgl.image.train import Lesson, Training
from kgl.target import Target

SIZE, MEAN, STD = 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CPU = torch.device("cpu")


def recipe_of(model: str, augment: Any) -> Vision:
    """One epoch from scratch."""
    return Vision(
        model=model, weights="none", image_size=SIZE, epochs=1, batch_size=32, augment=augment, precision="fp32"
    )


def our_epoch(recipe: Vision, lesson: Lesson, threads: int) -> Callable[[], object]:
    """A training of one epoch, ready to run."""
    network = build_network(recipe.model, outputs=2, image_size=SIZE, weights="none")
    target = Target("binary", ("label",), ("cat", "dog"))
    spec = Spec(network.arguments, SIZE, 3, "squash", MEAN, STD, recipe.mirror, "binary", target.columns, (0.5, 0.5))
    setting = Setting(target=target, loss="logloss", seed=0, threads=threads)
    return Training(recipe, network.module, spec, lesson, setting=setting, device=CPU).run


def pure_steps(recipe: Vision, lesson: Lesson, threads: int) -> Callable[[], object]:
    """The same steps on the same batches, made beforehand."""
    normalise = Normalise(MEAN, STD, CPU)
    order = epoch_order(lesson.rows, seed=0, epoch=0)
    made = batches(lesson.pictures, order, batch_size=recipe.batch_size, augment=recipe.augmentation())
    ready = [(normalise(batch), torch.from_numpy(lesson.targets[rows])) for batch, rows in made]
    module = build_network(recipe.model, outputs=2, image_size=SIZE, weights="none").module
    module = module.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )

    def run() -> None:
        torch.set_num_threads(threads)
        for x, y in ready:
            step(module, optimizer, x, y)

    return run


def step(module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    """Forward, backward, clip, step."""
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(module(x), y).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """CPU-seconds and seconds of a call that prints nothing here."""
    cpu, wall = time.process_time(), time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run()
    return time.process_time() - cpu, time.monotonic() - wall


def compare(model: str, augment: str, lesson: Lesson, rounds: int, threads: int) -> None:
    """Print the medians of several rounds in turns; the first of each side warms up."""
    recipe = recipe_of(model, augment)
    pure = pure_steps(recipe, lesson, threads)
    timed(our_epoch(recipe, lesson, threads)), timed(pure)
    rows = [(timed(our_epoch(recipe, lesson, threads)), timed(pure)) for _ in range(rounds)]
    print(f"{model:<24} {augment:<8}", end="")
    for kind, name in enumerate(("CPU-seconds", "seconds")):
        ours, alone = (statistics.median(row[side][kind] for row in rows) for side in (0, 1))
        ratio = statistics.median(row[0][kind] / row[1][kind] for row in rows)
        print(f"   {name}: {ours:.2f} / {alone:.2f} = {ratio:.3f}", end="")
    print(flush=True)


def lessons(folder: Path, pictures: int) -> Iterator[tuple[str, Lesson]]:
    """Cats and dogs, from the cache."""
    photos = real.photos(folder / "photos", pictures)
    paths = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.jpg"))
    kept = open_pictures(paths, root=photos, size=(SIZE, SIZE), cache_dir=folder / "cache")
    labels = np.array([path.startswith("dog") for path in paths], dtype=int)
    yield "dogs-vs-cats", Lesson(kept, np.arange(len(paths)), np.eye(2, dtype=np.float32)[labels])


def main() -> None:
    """Two networks, two levels of augmentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=960)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for name, lesson in lessons(Path(scratch), options.pictures):
            print(f"{name}, {len(lesson.rows)} pictures at {SIZE} px, {options.threads} threads: epoch / pure steps")
            for model in ("resnet18", "mobilenetv3_small_100"):
                for augment in ("light", "medium"):
                    compare(model, augment, lesson, options.rounds, options.threads)


if __name__ == "__main__":
    main()
