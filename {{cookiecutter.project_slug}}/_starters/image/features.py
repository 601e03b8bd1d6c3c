"""Yours: features of the rows, for experiments on embeddings, and changes of pictures, for networks.

A feature is a function of rows, row by row: `Embeddings(features=(shape,))` learns from it beside the pictures.
A change is a function of one picture, a uint8 tensor (channels, height, width): `Vision(transform=without_colour)`.
"""

import pandas as pd
import torch
from PIL import Image

from kgl.competition import data_root, load_competition
from kgl.paths import find_workspace


def shape(rows: pd.DataFrame) -> pd.DataFrame:
    """Width and height of each picture's file, and its kilobytes: sometimes they tell the camera, and so the label."""
    workspace = find_workspace()
    root = data_root(workspace, load_competition(workspace))

    def measure(path: str) -> tuple[float, float, float]:
        try:
            with Image.open(root / path) as picture:
                return picture.width, picture.height, (root / path).stat().st_size / 1024
        except OSError:
            return float("nan"), float("nan"), float("nan")

    return pd.DataFrame([measure(path) for path in rows["path"]], rows.index, ["width", "height", "kilobytes"])


def without_colour(picture: torch.Tensor) -> torch.Tensor:
    """Grey half of the time, for labels that lie in the form."""
    if torch.rand(()) < 0.5:
        return picture
    return picture.float().mean(dim=0, keepdim=True).expand_as(picture).to(torch.uint8)
