"""Pixels in the columns of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kgl.image.pixels import unfold


def test_pixels_from_0_to_1_are_not_all_black(tmp_path: Path) -> None:
    cells = np.linspace(0, 1, 32).reshape(2, 16).round(3)
    pd.DataFrame(cells).add_prefix("pixel").to_csv(tmp_path / "train.csv", index=False)
    rows, folder = unfold(tmp_path / "train.csv", "pixel*", tmp_path)
    shown = np.asarray(Image.open(folder / rows["path"][1]))
    assert np.abs(shown - 255 * cells[1].reshape(4, 4)).max() < 1
