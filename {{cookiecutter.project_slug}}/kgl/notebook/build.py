"""A folder to push: a run's source, its models and a thin notebook that predicts with them."""

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import kgl
from kgl.blend import blend_weights
from kgl.board import best_run
from kgl.competition import data_root, load_competition, save_facts
from kgl.errors import KglError
from kgl.notebook.inside import DATA_ROOT
from kgl.notebook.kernel import BY_HAND, PARTS, evaluation_api, kaggle_slug, size_of, write_dataset, write_kernel
from kgl.notebook.wheels import LISTED, PICKLED, differing, fetch_wheels, imported_modules, lacking, needed
from kgl.online.credentials import secrets
from kgl.online.progress import size_text
from kgl.paths import Workspace, use_workspace, whole_folder
from kgl.runs import Run, read_complete, read_run, run_folder, saved_models
from kgl.session import Say
from kgl.tabular.catalogue import CATALOGUE

NOT_NEEDED = ("last.safetensors", "history.json", "log.txt", "predictions.npz", "scores.json")
LARGEST_TEXT = 10_000_000  # bytes; larger files are models
CELLS = (
    """\
# The data sets that are attached, wherever they are mounted (KGL_INPUT is for rehearsals elsewhere)
import glob, os, sys

INPUT = os.environ.get("KGL_INPUT", "/kaggle/input")


def mounted(name):
    patterns = [os.path.join(INPUT, between, name) for between in ("", "competitions", "datasets/*", "*", "*/*")]
    found = [place for pattern in patterns for place in sorted(glob.glob(pattern)) if os.path.isdir(place)]
    if not found:
        raise FileNotFoundError(f"{name} is not below {INPUT}: add it to the notebook's input")
    return found[0]


sys.dont_write_bytecode = True
sys.path.insert(0, mounted(@source))
""",
    """\
# Packages that Kaggle's image lacks, or has in another version than the models were saved with
from kgl.notebook.inside import add_wheels

add_wheels(mounted(@wheels))
""",
    """\
# The test rows as they are here, predicted by the saved models: submission.csv
from kgl.notebook.inside import predict

predict(@run, source=mounted(@source), weights=mounted(@weights), data=mounted(@competition))
""",
)


def build(
    workspace: Workspace, run: str | None, *, gpu: bool, internet: bool, wheels: bool, packages: Sequence[str], say: Say
) -> str:
    """Build what predicts with the saved models of a run or a blend, whole or not at all; returns the run's name.

    Args:
        workspace: where runs/ and build/ lie.
        run: its name; None: the board's first.
        gpu, internet: what the notebook asks for.
        wheels: whether what Kaggle's image lacks, or has in another version than the models, is downloaded and packed.
        packages: names of further ones to pack.
        say: takes a line at a time.

    Raises:
        KglError: no such run (2); no complete run, models or wheels that are missing, a contest that is judged
            through an evaluation API, or a secret among the files (1).
    """
    competition = load_competition(workspace)
    competition.require("slug", "metric", "target")
    if found := evaluation_api(data_root(workspace, competition)):
        raise KglError(f"this contest {found}, which kgl notebook does not support: {BY_HAND}.")
    use_workspace(workspace)
    chosen = read_run(workspace, run) if run else best_run(workspace, competition, "build a notebook of")
    runs = needed_runs(workspace, [chosen.run])
    slugs = {part: kaggle_slug(competition.slug, chosen.run, part) for part in (*PARTS, "predict")}
    with whole_folder(workspace.root / "build" / chosen.run, anew=True) as folder:
        write_source(workspace, runs, folder / "source")
        _write_weights(workspace, runs, folder / "weights")
        _write_wheels(runs, folder, wheels, packages, say)
        used = [part for part in PARTS if (folder / part).is_dir()]
        for part in used:
            write_dataset(folder / part, slugs[part])
        cells = [cell for cell in CELLS if "@wheels" not in cell or "wheels" in used]
        write_kernel(
            folder / "notebook",
            slugs["predict"],
            filled(cells, **slugs, run=chosen.run, competition=competition.slug),
            competition=competition.slug,
            datasets=[slugs[part] for part in used],
            gpu=gpu,
            internet=internet,
        )
        refuse_secrets(folder)
        for part in used:
            say(f"{part:<8} {size_text(size_of(folder / part)):>9}   private data set {slugs[part]}")
        say(f"notebook {slugs['predict']}: internet {'on' if internet else 'off'}, GPU {'on' if gpu else 'off'}")
    return chosen.run


def filled(cells: Sequence[str], **values: object) -> list[str]:
    """Cells with a value in place of each @name."""
    for name, value in values.items():
        cells = [cell.replace(f"@{name}", repr(value)) for cell in cells]
    return list(cells)


def needed_runs(workspace: Workspace, names: Iterable[str]) -> list[Run]:
    """The runs of these names and those that they blend or are stacked on, each once."""
    waiting, found = list(names), dict[str, Run]()
    while waiting:
        one = read_complete(workspace, waiting.pop())
        found[one.run] = one
        waiting += [name for name in (*blend_weights(one), *one.config.get("stack_on", ())) if name not in found]
    return list(found.values())


def write_source(workspace: Workspace, runs: list[Run], folder: Path) -> None:
    """The engine, the user's modules, folds, and what each run says of itself."""
    hidden = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(Path(kgl.__file__).parent, folder / "kgl", ignore=hidden)
    for path in workspace.root.glob("*.py"):
        shutil.copy(path, folder / path.name)
    shutil.copytree(workspace.experiments, folder / "experiments", ignore=hidden)
    shutil.copy(workspace.competition_toml, folder / workspace.competition_toml.name)
    save_facts(Workspace(folder), {"files.root": DATA_ROOT})
    (folder / "data").mkdir()
    shutil.copy(workspace.folds, folder / "data" / workspace.folds.name)
    for run in runs:
        kept, copy = run_folder(workspace, run.run), folder / "runs" / run.run
        copy.mkdir(parents=True)
        for name in ("run.json", "oof.parquet"):
            if not (kept / name).is_file():
                raise KglError(f"runs/{run.run}/{name} is missing (git does not keep all of a run); train it again.")
            shutil.copy(kept / name, copy / name)
        if (kept / "source").is_dir():  # a blend has none
            shutil.copytree(kept / "source", copy / "source", ignore=hidden)


def _write_weights(workspace: Workspace, runs: list[Run], folder: Path) -> None:
    """The saved models."""
    for run in (run for run in runs if not run.blend):
        models = saved_models(workspace, run)[0][0].parents[1]
        hidden = shutil.ignore_patterns("__pycache__", ".*", *NOT_NEEDED)
        shutil.copytree(models, folder / "runs" / run.run / "folds", ignore=hidden)


def _write_wheels(runs: list[Run], folder: Path, wanted: bool, packages: Sequence[str], say: Say) -> None:
    """Wheels of what Kaggle's image lacks, and of what wrote the saved models where it has another version."""
    source = folder / "source"
    modules = imported_modules([source / "contest.py", *source.glob("runs/*/source/**/*.py")])
    modules |= {getattr(CATALOGUE.get(str(run.config.get("model"))), "package", "") for run in runs}
    missing = lacking({*modules, *packages})
    versions = {name: version for run in runs for name, version in run.versions.items()}
    other = differing(versions)
    pickles = any(folder.glob("weights/**/*.joblib"))
    for name, (ours, theirs) in other.items():
        packed = "; yours is packed" if wanted and pickles and name in PICKLED else ""
        say(f"{name}: models saved with {ours}, Kaggle's image has {theirs} as far as known{packed}")
    if missing:
        say(f"Kaggle's image is not known to have {', '.join(missing)}" + ("; packed" if wanted else ""))
    pickled = {name: other[name][0] for name in PICKLED if pickles and name in other}
    missing |= needed(pickled, known=LISTED) | pickled  # older versions, as Kaggle's are, did not need all of it
    if wanted and missing:
        fetch_wheels(missing, folder / "wheels")


def refuse_secrets(folder: Path) -> None:
    """Refuse to go on where a file holds what looks like a token, or one of this machine's.

    Raises:
        KglError: the first such file, named.
    """
    own = [re.escape(secret.encode()) for secret in secrets()]
    pattern = re.compile(b"|".join([rb"KGAT_\w{16,}", rb'"key"\s*:\s*"[0-9a-f]{32}"', *own]))
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.stat().st_size > LARGEST_TEXT:
            continue
        if path.name in ("kaggle.json", "access_token", ".env") or pattern.search(path.read_bytes()):
            name = path.relative_to(folder).as_posix()
            raise KglError(f"{name} holds what looks like a secret; take it out of the workspace's file, build again.")
