"""The image engine measured on real pictures, each part side by side with what it is compared with.

    CONTEST_DATA=folder python bench/images.py input | steps | train | cifar | embeddings | guide | gpu

The folder holds `dogs-vs-cats/` and `cifar-10/` as Kaggle gives them, and in `weights/` ImageNet weights of timm's
mobilenetv2_100. `--help` after a part tells what it does. Figures are in docs/performance.md.
"""

import runpy
import sys
from pathlib import Path

PARTS = ("input", "steps", "train", "cifar", "embeddings", "guide", "gpu")

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(__doc__)
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    module = f"bench.images_{sys.argv.pop(1)}"
    runpy.run_module(module, run_name="__main__", alter_sys=True)
