"""What Kaggle's client wants in a folder that it uploads: a notebook or a data set, and its metadata."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgl.errors import usage
from kgl.paths import Workspace, read_json, write_json

OWNER = "INSERT_OWNER"  # who is signed in is only known online; see `set_owner`
KERNEL, DATASET, NOTEBOOK = "kernel-metadata.json", "dataset-metadata.json", "submission.ipynb"
BY_HAND = (
    "start from Kaggle's example notebook of it, upload the workspace with runs/<run> as a private data set, "
    "and let its predict() average experiment.load(model).predict(rows) over the folders runs/<run>/folds/*/seed-*"
)
PARTS = ("source", "weights", "wheels")  # data sets of a build
LONGEST = 50  # letters of a name on Kaggle; six at least


@dataclass(frozen=True)
class Build:
    """A folder of build/: data sets and a notebook, each a folder as Kaggle's client wants it."""

    folder: Path

    @property
    def run(self) -> str:
        """The run that its notebook predicts with."""
        return self.folder.name

    @property
    def kernel(self) -> Path:
        """The notebook's folder."""
        return self.folder / "notebook"

    @property
    def datasets(self) -> list[Path]:
        """The folders of the data sets."""
        return [self.folder / part for part in PARTS if (self.folder / part / DATASET).is_file()]


def find_build(workspace: Workspace, run: str | None) -> Build:
    """The build of a run, by default the newest.

    Raises:
        KglError: there is none (status 2).
    """
    built = sorted(workspace.root.glob(f"build/{run or '*'}/notebook/{KERNEL}"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise usage(f"no notebook in build/{run or ''}; make one with: kgl notebook build{f' {run}' if run else ''}.")
    return Build(built[-1].parents[1])


def set_owner(folder: Path, owner: str) -> None:
    """Write who is signed in at Kaggle into the names of a build's data sets and notebook."""
    for path in (*folder.glob(f"*/{DATASET}"), *folder.glob(f"*/{KERNEL}")):
        about = read_json(path)
        about["id"] = _owned(about["id"], owner)
        for sources in {"dataset_sources", "kernel_sources"} & set(about):
            about[sources] = [_owned(name, owner) for name in about[sources]]
        write_json(path, about)


def _owned(name: str, owner: str) -> str:
    return f"{owner}/{name.rpartition('/')[2]}"


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def kaggle_slug(*parts: str) -> str:
    """A name for Kaggle made of parts, of which the last stays whole; where it would be too long, with a hash."""
    whole = re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
    if len(whole) <= LONGEST:
        return whole
    end = f"-{hashlib.sha256(whole.encode()).hexdigest()[:6]}-{parts[-1]}"
    return whole[: LONGEST - len(end)].rstrip("-") + end


def evaluation_api(root: Path) -> str:
    """How a contest is judged, where its notebooks answer an evaluation API instead of writing submission.csv.

    Args:
        root: the contest's files, among which the API's are.
    """
    signs = ("kaggle_evaluation", "*/competition*.so", "*/competition*.pyd", "public_timeseries_testing_util.py")
    found = [path.relative_to(root).as_posix() for sign in signs for path in root.glob(sign)]
    return f"is judged through an evaluation API ({found[0]})" if found else ""


def write_dataset(folder: Path, slug: str) -> None:
    """Make a folder a private data set."""
    about = {"title": slug, "id": f"{OWNER}/{slug}", "licenses": [{"name": "other"}], "isPrivate": True}
    write_json(folder / DATASET, about)


def read_slug(folder: Path) -> str:
    """The name of a data set, without its owner."""
    return str(read_json(folder / DATASET)["id"]).rpartition("/")[2]


def write_kernel(
    folder: Path,
    slug: str,
    cells: Sequence[str],
    *,
    competition: str,
    datasets: Sequence[str],
    earlier: Sequence[str] = (),
    gpu: bool = False,
    internet: bool = False,
) -> None:
    """Make a folder a private notebook.

    Args:
        folder: made if it is not there.
        slug: Kaggle makes the name in the address from the title: it is the slug with blanks.
        cells: Python, a cell each.
        competition, datasets, earlier: the names of the contest, of data sets, and of notebooks whose output is read.
        gpu, internet: both cost something: quota, and the right to submit.
    """
    code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    sources = [cell.strip("\n").splitlines(keepends=True) for cell in cells]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": [code | {"id": f"cell-{number}", "source": lines} for number, lines in enumerate(sources, start=1)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    write_json(folder / NOTEBOOK, notebook)
    about = {
        "id": f"{OWNER}/{slug}",
        "title": slug.replace("-", " "),
        "code_file": NOTEBOOK,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_internet": internet,
        "competition_sources": [competition],
        "dataset_sources": [f"{OWNER}/{name}" for name in datasets],
        "kernel_sources": [f"{OWNER}/{name}" for name in earlier],
    }
    write_json(folder / KERNEL, about)


def read_cells(folder: Path) -> list[str]:
    """The code of a folder's notebook, a text each cell."""
    cells = read_json(folder / NOTEBOOK)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
