"""The sample contest "digits": scikit-learn's handwritten digits as PNG files, for rehearsals with pictures."""

import io

import numpy as np
from numpy.typing import NDArray

from kgl.rehearsal.contest import Answer, PracticeContest

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
    labels = [str(label) for label in digits.target]
    public = rng.permutation(len(test)) < len(test) // 2
    solution = {_name(i): Answer(labels[i], bool(flag)) for i, flag in zip(test, public, strict=True)}
    scores = np.clip(rng.normal(0.96, 0.015, (30, 1)) + rng.normal(0, 0.005, (30, 2)), 0, 1)
    folders = {**dict.fromkeys(train, "train"), **dict.fromkeys(test, "test")}
    pictures = {f"{folder}/{_name(i)}": _png(digits.images[i]) for i, folder in sorted(folders.items())}
    return PracticeContest(
        slug="digits",
        title="digits (sample)",
        files={
            **pictures,
            "train.csv": _csv([(_name(i), labels[i]) for i in sorted(train)]),
            "sample_submission.csv": _csv([(_name(i), "0") for i in sorted(test)]),
        },
        solution=solution,
        columns=COLUMNS,
        teams={f"Sample team {number}": (a, b) for number, (a, b) in enumerate(scores.tolist(), start=1)},
        pages={"Evaluation": "Sample contest. Say which digit it is. Score: accuracy. File: id,label"},
    )


def _name(number: int) -> str:
    return f"{number:04d}.png"


def _png(values: NDArray[np.float64]) -> bytes:
    """Eight by eight shades from 0 to 16 as a PNG file of SIDE pixels."""
    from PIL import Image

    file = io.BytesIO()
    small = Image.fromarray(np.uint8(values * 255 / 16))
    small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def _csv(rows: list[tuple[str, str]]) -> bytes:
    return "".join(f"{number},{label}\n" for number, label in [COLUMNS, *rows]).encode()
