"""What a GPU gets: bfloat16, compile, and real data beside a batch that stays on it. Needs one NVIDIA GPU.

    CONTEST_DATA=folder python bench/images.py gpu [--model convnext_tiny] [--size 224] [--batch 128]

First steps alone on a resident batch, in float32, bfloat16, and bfloat16 compiled; then epochs of the engine's own
training at three levels of augmentation, from the cache. The aim: at least .95 of the resident batch's rate.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F

from bench import images_data as real
from bench.images_steps import MEAN, STD
from kgl.experiment import Setting
from kgl.image import Vision
from kgl.image.cache import open_pictures
from kgl.image.network import build_network
from kgl.image.predictor import Spec
from kgl.image.train import Lesson, Training
from kgl.target import Target

GPU = torch.device("cuda")
STEPS, WARM = 50, 10


def resident(options: argparse.Namespace, precision: torch.dtype, compiled: bool) -> float:
    """Pictures a second when the same batch goes through again and again."""
    module = timm.create_model(options.model, num_classes=2).to(GPU).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
    forward = torch.compile(module) if compiled else module
    x = torch.randn(options.batch, 3, options.size, options.size, device=GPU).to(memory_format=torch.channels_last)
    y = torch.randint(2, (options.batch,), device=GPU)
    began = 0.0
    for number in range(WARM + STEPS):
        if number == WARM:
            torch.cuda.synchronize()
            began = time.monotonic()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", precision, enabled=precision != torch.float32):
            loss = F.cross_entropy(forward(x).float(), y)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    torch.cuda.synchronize()
    return float(STEPS * options.batch / (time.monotonic() - began))


def real_data(options: argparse.Namespace, lesson: Lesson, level: str, compiled: bool) -> float:
    """Pictures a second of the engine's own training; its first epoch warms up and is not counted."""
    recipe = Vision(model=options.model, weights="none", image_size=options.size, augment=level,  # type: ignore[arg-type]
                    epochs=4, batch_size=options.batch, learning_rate=1e-4, precision="bf16")  # fmt: skip
    network = build_network(recipe.model, outputs=2, image_size=options.size, weights="none")
    target = Target("binary", ("label",), ("cat", "dog"))
    size, arguments = options.size, network.arguments
    spec = Spec(arguments, size, 3, "squash", MEAN, STD, "horizontal", "binary", target.columns, (0.5, 0.5))
    setting = Setting(target=target, loss="logloss", seed=0, threads=1)
    training = Training(recipe, network.module, spec, lesson, setting=setting, device=GPU)
    if compiled:  # the engine compiles long trainings alone
        training.forward = torch.compile(training.module)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        training.run()
    speeds = [epoch["pictures_a_second"] or 0.0 for epoch in training.progress.history]
    return statistics.median(speeds[1:])


def main() -> None:
    """Print each rate and its ratio to the resident batch in the same numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="convnext_tiny")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--times", type=int, default=8, help="how often the 1,502 photographs stand in an epoch")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU that torch can use")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.model} at {options.size} px")
    alone = {}
    for name, precision, compiled in (("fp32", torch.float32, False), ("bf16", torch.bfloat16, False),
                                      ("bf16 compiled", torch.bfloat16, True)):  # fmt: skip
        alone[name] = resident(options, precision, compiled)
        print(f"resident batch, {name:<14} {alone[name]:>8.0f} pictures/s", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = real.photos(Path(scratch) / "photos", 1502)
        paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg")) * options.times
        kept = open_pictures(paths, root=folder, size=(options.size, options.size), cache_dir=Path(scratch) / "cache")
        labels = np.array([path.startswith("dog") for path in paths], dtype=int)
        lesson = Lesson(kept, np.arange(len(paths)), np.eye(2, dtype=np.float32)[labels])
        for level in ("light", "medium", "strong"):
            for name, compiled in (("bf16", False), ("bf16 compiled", True)):
                rate = real_data(options, lesson, level, compiled)
                print(
                    f"real data, {level:<7} {name:<14} {rate:>8.0f} pictures/s   {rate / alone[name]:.3f} of resident"
                )


if __name__ == "__main__":
    main()
