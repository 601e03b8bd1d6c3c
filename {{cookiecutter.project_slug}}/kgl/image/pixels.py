"""Pictures that stand in the columns of a table, a pixel each (handwritten digits): written once as PNG files."""

import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kgl.errors import KglError
from kgl.paths import whole_folder
from kgl.table_file import read_table

ROWS = "rows.parquet"


def pixel_columns(columns: pd.Index, pattern: str) -> list[str]:
    """The columns of a pattern such as `pixel*`, in the order of their numbers."""
    found = [str(c) for c in columns if re.fullmatch(re.escape(pattern.rstrip("*")) + r"\d+", str(c))]
    return sorted(found, key=lambda name: int(re.findall(r"\d+$", name)[0]))


def unfold(table: Path, pattern: str, cache: Path, *, text: tuple[str, ...] = ()) -> tuple[pd.DataFrame, Path]:
    """The table's other columns with the name of each row's picture in `path`, and the folder of the pictures.

    Args:
        pattern: what the columns of pixels are called: `pixel*`.
        cache: where the folder is made, unless the same table was unfolded before.
        text: columns that are read as text.

    Raises:
        KglError: the pixels do not make a square.
    """
    with table.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(repr((pattern, text)).encode())
    folder = cache / f"pixels-{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        with whole_folder(folder) as coming:
            _write_pictures(read_table(table, text=text), table.name, pattern, coming)
    return pd.read_parquet(folder / ROWS), folder


def _write_pictures(rows: pd.DataFrame, table: str, pattern: str, folder: Path) -> None:
    columns = pixel_columns(rows.columns, pattern)
    side = math.isqrt(len(columns))
    if side * side != len(columns) or not side:
        raise KglError(f"{table} has {len(columns)} columns {pattern}, which make no square picture.")
    names = [f"{number:07d}.png" for number in range(len(rows))]
    # those from 0 to 1 would all be black
    scale = 255 if (cells := rows[columns].to_numpy()).dtype.kind == "f" and cells.max(initial=0) <= 1 else 1
    pictures = (cells * scale).round().clip(0, 255).astype(np.uint8).reshape(-1, side, side)
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(folder / name, compress_level=1)
    rows.drop(columns=columns).assign(path=names).to_parquet(folder / ROWS)
