"""A contest's files with another test set: other rows in another order, as Kaggle swaps them when it scores."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.competition import Competition, data_root, of_kind
from kgl.errors import KglError
from kgl.notebook.inside import link
from kgl.paths import Workspace
from kgl.table_file import read_table
from kgl.tables import ID, numbered, text_ids


@dataclass(frozen=True)
class Hidden:
    """A changed test set: its number of rows, and for the id of each row that was kept the one that it really has."""

    rows: int
    kept: Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """Which rows of the test set are taken, and which a second time under new names; `names` are those of all rows."""

    order: NDArray[np.int64]
    again: NDArray[np.int64]
    names: list[str]
    new_names: list[str]


def write_hidden(workspace: Workspace, competition: Competition, folder: Path, *, more: bool) -> Hidden:
    """Make `folder` the contest's with other test rows; all other files are linked.

    Args:
        folder: made; where the contest is mounted.
        more: all rows in reversed order and some a second time under new ids; else half of the rows, shuffled.

    Raises:
        KglError: the test set is of a form that this cannot change.
    """
    root, files, images = data_root(workspace, competition), competition.files, competition.images
    pictures = competition.kind == "image" and not images.column.endswith("*")
    table = files.test if not pictures or images.layout == "csv" else ""
    if pictures and images.test_dir in ("", "."):
        raise KglError("the test pictures have no folder of their own")
    rows = of_kind("image", "image_rows")(workspace, competition, "test") if pictures else _read(root / table)
    ids = rows[ID] if pictures else text_ids(rows, competition.id)
    names = rows["path"].map(lambda path: PurePosixPath(path).stem) if pictures else ids
    choice = _choose(len(rows), ids, names, more=more and len(competition.id) < 2)
    changed = {root / name for name in (images.test_dir if pictures else "", table, files.sample_submission) if name}
    _mirror(root, folder, changed)
    if pictures:
        _link_pictures(root, folder, images.test_dir, rows["path"].tolist(), choice)
    for name in {table, files.sample_submission} - {""}:
        cells = _read(root / name)
        columns = [column for column in (*competition.id, images.column) if column in cells] or [str(cells.columns[0])]
        place = np.arange(len(rows)) if name == table else _places(cells, columns[0], ids, len(rows))
        _write(_changed(cells, columns, place, choice), folder / name)
    real = numbered("r", range(1, len(rows) + 1)) if ids is None else ids.tolist()
    new = real if ids is None else [real[i] for i in choice.order]
    return Hidden(len(choice.order) + len(choice.again), {new[k]: real[i] for k, i in enumerate(choice.order)})


def _choose(count: int, ids: pd.Series | None, names: pd.Series | None, *, more: bool) -> Choice:
    order = np.arange(count)[::-1] if more else np.random.default_rng(0).permutation(count)[: -(-count // 2)]
    if ids is None or names is None:
        return Choice(np.arange(len(order)), order[:0], [], [])  # rows are told by their place
    told = all(name and name in cell for name, cell in zip(names, ids, strict=True))
    again = order[: max(20, count // 10)] if more and told else order[:0]
    return Choice(order, again, names.tolist(), _new_names(names, len(again)))


def _new_names(names: pd.Series, count: int) -> list[str]:
    if names.str.fullmatch(r"\d+").all():
        first, width = int(names.astype("int64").max()) + 1, int(names.str.len().max())
        return [f"{first + k:0{width}d}" for k in range(count)]
    return [f"{names.iloc[k]}x{k}" for k in range(count)]


def _mirror(root: Path, folder: Path, changed: set[Path]) -> None:
    """Link all of `root` but what is changed."""
    folder.mkdir(parents=True)
    for path in root.iterdir():
        if not any(one.is_relative_to(path) for one in changed):
            link(path, folder / path.name)
        elif path not in changed:
            _mirror(path, folder / path.name, changed)


def _link_pictures(root: Path, folder: Path, test_dir: str, paths: list[str], choice: Choice) -> None:
    """The chosen rows' files, and all in their folder that are no test row's."""
    known = set(paths)
    taken = {paths[i]: paths[i] for i in choice.order}
    for base, _, names in os.walk(root / test_dir):
        found = (Path(base, name).relative_to(root).as_posix() for name in names)
        taken |= {path: path for path in found if path not in known}
    for i, new in zip(choice.again, choice.new_names, strict=True):
        path = PurePosixPath(paths[i])
        taken[path.with_name(path.name.replace(choice.names[i], new)).as_posix()] = paths[i]
    (folder / test_dir).mkdir(parents=True, exist_ok=True)
    for there, path in taken.items():
        if path:
            link(root / path, folder / there)


def _places(sample: pd.DataFrame, column: str, ids: pd.Series | None, count: int) -> NDArray[np.int64]:
    """For each line of the sample submission the test row that it is for."""
    if ids is not None:
        place = pd.Index(ids).get_indexer(sample[column].astype("str"))
        if (place >= 0).all():
            return np.asarray(place)
    if len(sample) != count:
        raise KglError("the sample submission's rows are not those of test")
    return np.arange(count)


def _changed(cells: pd.DataFrame, columns: list[str], place: NDArray[np.int64], choice: Choice) -> pd.DataFrame:
    """The lines of the chosen rows, and those of the repeated ones with new names in `columns`."""
    of_row = cells.set_axis(place)
    kept, again = (of_row.loc[[i for i in rows if i in of_row.index]] for rows in (choice.order, choice.again))
    new = dict(zip(choice.again, choice.new_names, strict=True))
    for column in columns:
        renamed = [
            str(cell).replace(choice.names[i], new[i]) for i, cell in zip(again.index, again[column], strict=True)
        ]
        again = again.assign(**{column: pd.Series(renamed, again.index).astype(cells[column].dtype)})
    return pd.concat([kept, again])


def _read(path: Path) -> pd.DataFrame:
    if not {".csv", ".tsv", ".parquet"} & set(path.suffixes):
        raise KglError(f"{path.name} is neither csv nor parquet")
    return pd.read_parquet(path) if path.suffix == ".parquet" else read_table(path, text="all")


def _write(cells: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        cells.to_parquet(path, index=False)
    else:
        cells.to_csv(path, sep="\t" if ".tsv" in path.suffixes else ",", index=False, lineterminator="\n")
