"""The sample contest "digits": scikit-learn's handwritten digits as PNG files, for rehearsals with pictures."""

import io

import numpy as np
from numpy.typing import NDArray

from kgl.rehearsal.contest import PracticeContest, as_csv, make_contest

SIDE = 32  # pixels of a picture; the originals have eight
TRAIN = 1197  # of 1797 pictures
COLUMNS = ("id", "label")
# The rest is for `kgl init`.
FACTS = """\
slug = "digits"
kind = "image"

[folds]
n_splits = 3

[baseline]
experiments = ["tiny"]
"""


def sample_contest(seed: int = 1994) -> PracticeContest:
    """The contest: a folder of pictures each for train and test, a table of labels, hidden labels in two halves."""
    from sklearn.datasets import load_digits

    digits, rng = load_digits(), np.random.default_rng(seed)
    order = rng.permutation(len(digits.target))
    train, test = order[:TRAIN], order[TRAIN:]
    folders = {**dict.fromkeys(train, "train"), **dict.fromkeys(test, "test")}
    files = {f"{folder}/{_name(i)}": _png(digits.images[i]) for i, folder in sorted(folders.items())}
    files["train.csv"] = as_csv(COLUMNS, [(_name(i), digits.target[i]) for i in sorted(train)])
    files["sample_submission.csv"] = as_csv(COLUMNS, [(_name(i), 0) for i in sorted(test)])
    return make_contest("digits", files, {_name(i): str(digits.target[i]) for i in test}, COLUMNS, 0.96, rng)


def _name(number: int) -> str:
    return f"{number:04d}.png"


def _png(values: NDArray[np.float64]) -> bytes:
    """Eight by eight shades from 0 to 16 as a PNG file of SIDE pixels."""
    from PIL import Image

    file = io.BytesIO()
    small = Image.fromarray(np.uint8(values * 255 / 16))
    small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()
