"""Cats and dogs with ImageNet weights from a file: frozen features with a linear head, and fine-tuning.

    CONTEST_DATA=folder python bench/images.py embeddings [--tune]

1,502 photographs in five folds; accuracy out of fold, and seconds of the whole command from an empty cache. `pad_type`
says how these weights were trained (TensorFlow's padding). `--tune` fine-tunes the same network as well.
"""

import argparse
import tempfile
from pathlib import Path

from bench import images_data as real

FROZEN = ("embeddings backbone=mobilenetv2_100 params.pad_type=same", "embeddings backbone=mobilenetv2_100")
TUNED = """\"\"\"MobileNetV2, fine-tuned gently.\"\"\"

from kgl.image import Vision

experiment = Vision(
    model="mobilenetv2_100",
    params={"pad_type": "same"},
    image_size=160,
    epochs=4,
    learning_rate=2e-4,
    head_scale=10.0,
)
"""


def main() -> None:
    """Each line a command with its accuracy and seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = real.dogs_workspace(Path(scratch) / "dogs")
        real.give_weights(folder)
        (folder / "experiments" / "tuned.py").write_text(TUNED)
        for line in FROZEN + (("tuned",) if options.tune else ()):
            run, seconds = real.kgl(folder, "train", *line.split())
            folds = " ".join(f"{score:.4f}" for score in run["fold_scores"])
            print(f"kgl train {line}\n  accuracy {run['cv_score']:.4f} ({folds}), {seconds:.0f} s, "
                  f"{run['peak_memory_mb']:.0f} MB", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
