"""What pictures add to the report: a sheet by class, sizes and odd files, and pictures in place of rows."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

from kgl.competition import data_root, load_competition
from kgl.image.files import PATH, equal_files
from kgl.paths import Workspace
from kgl.report.material import Material
from kgl.report.pictures import bars, scatter
from kgl.report.section import Picture, Section, Table

SIDE = 96  # pixels of a thumbnail
CLASSES, EACH = 16, 6  # on the sheet
LOOK_AT = 2000  # files whose sizes are read


def show_rows(workspace: Workspace, rows: pd.DataFrame, notes: Sequence[str]) -> Markup:
    """Small pictures of rows, each with its note."""
    from kgl.image.decode import UnreadableImage, decode

    root, figures = data_root(workspace, load_competition(workspace)), []
    for path, note in zip(rows[PATH], notes, strict=True):
        try:
            pixels = decode(root / path if path else Path(), size=(SIDE, SIDE), fit="pad")
        except UnreadableImage as error:
            figures.append(Markup("<figure>{}: {}</figure>").format(note, error.reason))
            continue
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=80)
        data = base64.b64encode(file.getvalue()).decode()
        image = Markup('<figure><img alt="{}" src="data:image/jpeg;base64,{}">{}</figure>')
        figures.append(image.format(note, data, note))
    return Markup('<div class="sheet">{}</div>').format(Markup("").join(figures))


def sheet(m: Material) -> Section:
    """Some pictures of each label, or over the range of the values."""
    train, task, rng = m.data.train, m.data.target, np.random.default_rng(0)
    if not task.one_label:
        y = m.data.y.reshape(len(train), -1)
        places = np.argsort(y[:, 0], kind="stable")[np.linspace(0, len(y) - 1, CLASSES).astype(int)]
        notes = [", ".join(f"{x:g}" for x in row[:6]) for row in y[places]]
        return Section("From the smallest to the largest value.", [show_rows(m.workspace, train.iloc[places], notes)])
    counts = np.bincount(m.data.y, minlength=len(task.labels))
    codes = np.sort(np.argsort(-counts, kind="stable")[:CLASSES])
    places = np.concatenate([rng.permutation(np.flatnonzero(m.data.y == code))[:EACH] for code in codes])
    left = f" The {CLASSES} most frequent of {len(counts)} labels are shown." if len(counts) > CLASSES else ""
    notes = [task.labels[code] for code in m.data.y[places]]
    return Section(
        f"Pictures of each label, drawn at random.{left}", [show_rows(m.workspace, train.iloc[places], notes)]
    )


def files(m: Material) -> Section:
    """Sizes and formats, and the files that are odd."""
    root, rows, kinds = data_root(m.workspace, m.competition), [], Counter[str]()
    sizes: list[tuple[int, int]] = []
    for part, paths in (("train", m.data.train[PATH]), ("test", m.data.test[PATH])):
        for path in paths.sample(min(LOOK_AT, len(paths)), random_state=0).sort_index():
            try:
                with Image.open(root / path) as image:
                    sizes.append(image.size)
                    kinds[f"{image.format} {image.mode}"] += 1
            except (OSError, ValueError):
                rows.append((part, path or "(no file)", "cannot be read" if path else "a row without a picture"))
    names = [str(path) for path in m.data.train[PATH]]
    for group in pd.Series(names).groupby(equal_files(names, root=root)).agg(list):
        if len(group) > 1:
            rows.append(("train", ", ".join(group[:3]), f"{len(group)} equal files"))
    width, height = np.array(sizes or [(0, 0)], dtype=float).T
    said = f"{width.min():.0f} to {width.max():.0f} wide, {height.min():.0f} to {height.max():.0f} high"
    blocks = [Picture(bars(list(kinds), {"": np.array(list(kinds.values()))}, "files"), "Formats and colours")]
    if len(set(sizes)) > 1:
        blocks.insert(0, Picture(scatter(width, height, ("width, pixels", "height, pixels")), "Sizes", said))
    odd = [Table(("part", "file", "what is odd"), rows[:20], f"{len(rows)} odd files or sets of files")] if rows else []
    return Section(f"{len(sizes):,} files looked at: {said} pixels.", [*blocks, *odd])


SECTIONS = {"Pictures": sheet, "Files": files}
