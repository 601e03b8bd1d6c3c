"""What the notebook calls on Kaggle: a workspace made of what is mounted there, and its predictions."""

import contextlib
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from kgl.paths import Workspace, use_workspace, write_text

DATA_ROOT = "INSERT_DATA_ROOT"  # in the copy of competition.toml; only the notebook knows where the data is mounted


def add_wheels(folder: str) -> None:
    """Make the packages in a folder of wheels importable, before those of the image; nothing else is changed.

    Wheels are archives of what is imported: no installer and no network is needed.
    """
    target = tempfile.mkdtemp(prefix="kgl-wheels-")
    for wheel in sorted(Path(folder).glob("*.whl")):
        tag = wheel.stem.split("-")[-3]
        if tag.startswith("cp") and tag != f"cp{sys.version_info[0]}{sys.version_info[1]}" and "abi3" not in wheel.stem:
            print(f"{wheel.name} is for another Python: the installed package is used")
            continue
        zipfile.ZipFile(wheel).extractall(target)
    sys.path.insert(0, target)


def open_workspace(source: str, data: str, *more: str) -> Workspace:
    """A workspace in a temporary folder: files are copied, saved models and weights, which may be large, linked.

    Args:
        source: the mounted data set with the engine and the workspace's files.
        data: the mounted contest.
        more: mounted data sets that add to it, such as saved models.
    """
    root = Path(tempfile.mkdtemp(prefix="kgl-"))
    for folder in (source, *more):
        _add(Path(folder), root, linked=folder != source)
    facts = root / "competition.toml"
    write_text(facts, facts.read_text(encoding="utf-8").replace(DATA_ROOT, Path(data).as_posix()))
    return Workspace(root)


def _add(folder: Path, root: Path, *, linked: bool) -> None:
    """Files but the engine's into folders of `root` that can be written to."""
    for path in (path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / "kgl")):
        there = root / path.relative_to(folder)
        there.parent.mkdir(parents=True, exist_ok=True)
        if linked:
            link(path, there)
        else:
            shutil.copyfile(path, there)


def link(path: Path, there: Path) -> None:
    """A link, or a copy where the system allows none."""
    there.parent.mkdir(parents=True, exist_ok=True)
    try:
        there.symlink_to(path.resolve(), target_is_directory=path.is_dir())
    except OSError:
        shutil.copytree(path, there) if path.is_dir() else shutil.copy(path, there)


def predict(run: str, *, source: str, weights: str, data: str) -> None:
    """Write submission.csv into the current folder: the test rows that are mounted, by the saved models of a run."""
    from kgl.predict import predict_again

    workspace = open_workspace(source, data, weights)
    with contextlib.chdir(workspace.root):
        use_workspace(workspace)
        predict_again(workspace, run)
    shutil.copyfile(workspace.runs / run / "submission.csv", "submission.csv")
    print(f"submission.csv written by {run}")
