"""What Kaggle's client wants in a folder that it uploads: a notebook or a data set, and its metadata."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgl.errors import usage
from kgl.paths import Workspace, read_json, write_json

OWNER = "INSERT_OWNER"  # who is signed in is only known online; see `kgl.notebook.build.set_owner`
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
    run: str
    datasets: tuple[Path, ...]
    kernel: Path


def build_folder(workspace: Workspace, run: str) -> Path:
    """Where the notebook of a run is built."""
    return workspace.root / "build" / run


def load_build(folder: Path) -> Build:
    """What `build` left in a folder.

    Raises:
        KglError: there is nothing (status 2).
    """
    if not (folder / "notebook" / KERNEL).is_file():
        raise usage(f"{folder} holds no notebook; make it with: kgl notebook build {folder.name}.")
    datasets = tuple(folder / part for part in PARTS if (folder / part / DATASET).is_file())
    return Build(folder, folder.name, datasets, folder / "notebook")


def find_build(workspace: Workspace, run: str | None) -> Build:
    """The build of a run, by default the newest.

    Raises:
        KglError: there is none (status 2).
    """
    built = sorted(workspace.root.glob(f"build/*/notebook/{KERNEL}"), key=lambda path: path.stat().st_mtime)
    if not run and not built:
        raise usage("no notebook in build/; make one with: kgl notebook build.")
    return load_build(build_folder(workspace, run) if run else built[-1].parents[1])


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
    *,
    slug: str,
    title: str,
    code_cells: Sequence[str],
    dataset_sources: Sequence[str],
    kernel_sources: Sequence[str] = (),
    competition: str,
    gpu: bool = False,
    internet: bool = False,
) -> None:
    """Make a folder a private notebook.

    Args:
        folder: made if it is not there.
        slug, title: Kaggle makes the name in the address from the title: it should be the slug with blanks.
        code_cells: Python, a cell each.
        dataset_sources, kernel_sources: `owner/slug` of each data set, and of each notebook whose output is read.
        competition: the bare slug.
        gpu, internet: both cost something: quota, and the right to submit.
    """
    write_json(folder / NOTEBOOK, _notebook(code_cells))
    about = {
        "id": f"{OWNER}/{slug}",
        "title": title,
        "code_file": NOTEBOOK,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_tpu": False,
        "enable_internet": internet,
        "dataset_sources": list(dataset_sources),
        "competition_sources": [competition],
        "kernel_sources": list(kernel_sources),
        "model_sources": [],
    }
    write_json(folder / KERNEL, about)


def read_cells(folder: Path) -> list[str]:
    """The code of a folder's notebook, a text each cell."""
    cells = read_json(folder / NOTEBOOK)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def _notebook(code_cells: Sequence[str]) -> dict[str, Any]:
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {},
            "outputs": [],
            "source": code.strip("\n").splitlines(keepends=True),
        }
        for number, code in enumerate(code_cells, start=1)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
