"""What the workspace costs beside a hand-written loop: four models, five folds, house prices, one thread.

    CONTEST_DATA=folder python bench/tabular.py

The folder has one folder a contest, as downloaded from Kaggle. Each side runs in fresh processes, by turns. A first
round of each is not counted: it finds out what a side imports, which later rounds then import before the clock starts.
The clock counts CPU-seconds of the process and its children; memory is the most that the process has held.
"""

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve()
WORKSPACE = HERE.parents[1] / "{{cookiecutter.project_slug}}"
CONTEST = "house-prices-advanced-regression-techniques"
SINGLE = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")} | {"LOKY_MAX_CPU_COUNT": "1"}
NOT_IMPORTED = ("__main__", "contest", "experiments", "features")
FACTS = """kind = "tabular"
task = "regression"
metric = "rmse_log"
id = ["Id"]
target = ["SalePrice"]
[files]
root = '{data}'
train = "train.csv"
test = "test.csv"
sample_submission = "sample_submission.csv"
"""
LOAD = """from kgl.tables import read_test, read_train
def load():
    return read_train(), read_test()
"""
EXPERIMENTS = {
    "ridge": 'model="ridge"',
    "extra_trees": 'model="extra_trees", params={"n_estimators": 100, "max_features": 0.33}',
    "lightgbm": 'model="lightgbm", params={"n_estimators": 1000}',
    "histogram": 'model="hist_gradient_boosting"',
}
Steps = Iterable[tuple[str, list[float]]]


@dataclass(frozen=True)
class Cost:
    """What one process took.

    seconds: CPU-seconds by step, without imports; imports: those of the imports.
    memory: MB at most; growth: by how much that is more than after the imports.
    scores: of each fold, by step.
    """

    seconds: dict[str, float]
    imports: float
    memory: float
    growth: float
    scores: dict[str, list[float]]


def make_workspace(folder: Path, data: Path) -> None:
    """A workspace of the four experiments; the engine itself is imported from the template."""
    (folder / "experiments").mkdir()
    (folder / "experiments" / "__init__.py").touch()
    (folder / "competition.toml").write_text(FACTS.format(data=data.resolve()), encoding="utf-8")
    (folder / "contest.py").write_text(LOAD, encoding="utf-8")
    for name, settings in EXPERIMENTS.items():
        text = f"from kgl.tabular import Tabular\nexperiment = Tabular({settings})\n"
        (folder / "experiments" / f"{name}.py").write_text(text, encoding="utf-8")


def with_engine(folder: Path, data: Path) -> Iterator[tuple[str, list[float]]]:
    """Train the four experiments through the engine's functions."""
    from kgl.crossval import train
    from kgl.paths import Workspace
    from kgl.session import open_session

    make_workspace(folder, data)
    session = open_session(Workspace(folder), say=lambda line: None)
    yield "reading", []
    for name in EXPERIMENTS:
        yield name, [score or 0.0 for score in train(session, name).fold_scores]


def with_command(folder: Path, data: Path) -> Iterator[tuple[str, list[float]]]:
    """Train them with the command, in a process of its own."""
    make_workspace(folder, data)
    command = [sys.executable, "-m", "kgl", "train", *EXPERIMENTS]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield "all", []


def by_hand(folder: Path, data: Path) -> Steps:
    """Do the same by hand."""
    from bench.tabular_by_hand import cross_validate

    return cross_validate(folder, data)


SIDES: dict[str, Callable[[Path, Path], Steps]] = {"kgl": with_engine, "by hand": by_hand, "command": with_command}


def cpu_seconds() -> float:
    """User and system time of this process and of its finished children."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_memory(side: str) -> float:
    """The most that the process of a side has held, in MB."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if side == "command" else resource.RUSAGE_SELF)
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure_here(side: str, data: Path) -> Cost:
    """Run one side in this process and this folder; `modules` beside the folder keeps what the side imports."""
    known = Path.cwd().parent / f"modules of {side}"
    for name in known.read_text(encoding="utf-8").split() if known.is_file() else ():
        importlib.import_module(name)
    last = imports = cpu_seconds()
    before, seconds, scores = peak_memory(side), {}, {}
    for step, found in SIDES[side](Path.cwd(), data):
        now = cpu_seconds()
        seconds[step], scores[step], last = now - last, found, now
    peak = peak_memory(side)
    known.write_text("\n".join(filter(_importable, sys.modules)), encoding="utf-8")
    return Cost(seconds, imports, peak, peak - before, scores)


def _importable(name: str) -> bool:
    spec = getattr(sys.modules[name], "__spec__", None)
    return spec is not None and spec.name == name and name.split(".")[0] not in NOT_IMPORTED


def measure(side: str, base: Path) -> Cost:
    """Run one side in a fresh process and a fresh folder."""
    path = os.pathsep.join([os.environ.get("PYTHONPATH", str(WORKSPACE)), str(HERE.parents[1])])
    environment = os.environ | SINGLE | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory(dir=base) as folder:
        command = [sys.executable, str(HERE), "--side", side]
        done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def measure_by_turns(times: int) -> tuple[list[Cost], list[Cost], Cost]:
    """Costs of the engine, of the loop by hand, and of the command once."""
    ours, theirs = list[Cost](), list[Cost]()
    with tempfile.TemporaryDirectory() as name:
        check_same_work(measure("kgl", Path(name)), measure("by hand", Path(name)))
        for i in range(times):
            turns = (("kgl", ours), ("by hand", theirs))
            for side, costs in turns if i % 2 == 0 else reversed(turns):
                costs.append(measure(side, Path(name)))
        return ours, theirs, measure("command", Path(name))


def check_same_work(ours: Cost, theirs: Cost) -> None:
    """Stop where the scores of the two sides differ: then they do not do the same work."""
    for name, scores in ours.scores.items():
        apart = [abs(a - b) for a, b in zip(scores, theirs.scores[name], strict=True)]
        if max(apart, default=0.0) > 1e-4:
            sys.exit(
                f"{name}: kgl scores {scores}, the loop by hand {theirs.scores[name]}; they do not do the same work."
            )


def show(ours: list[Cost], theirs: list[Cost], command: Cost) -> None:
    """Print the medians of both sides and their ratio."""
    print(f"{'median of ' + str(len(ours)):<28}{'kgl':>9}{'by hand':>9}{'ratio':>8}   range")
    for step in ours[0].seconds:
        _line(f"CPU-seconds, {step}", [cost.seconds[step] for cost in ours], [cost.seconds[step] for cost in theirs])
    _line("CPU-seconds", [sum(c.seconds.values()) for c in ours], [sum(c.seconds.values()) for c in theirs])
    _line("peak memory, MB", [cost.memory for cost in ours], [cost.memory for cost in theirs])
    _line("  more than after imports", [cost.growth for cost in ours], [cost.growth for cost in theirs])
    seconds, memory = command.seconds["all"], command.memory
    hand = median(sum(cost.seconds.values()) + cost.imports for cost in theirs)
    print(
        f"In all, with imports: kgl train {seconds:.2f} CPU-seconds, {memory:.0f} MB; by hand {hand:.2f} CPU-seconds."
    )


def _line(label: str, ours: list[float], theirs: list[float]) -> None:
    print(f"{label:<28}{median(ours):>9.2f}{median(theirs):>9.2f}{median(ours) / median(theirs):>8.3f}   ", end="")
    print(f"{min(ours):.2f} to {max(ours):.2f}, {min(theirs):.2f} to {max(theirs):.2f}")


def main() -> None:
    """Measure and print the table, or one side alone as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="measurements of each side")
    parser.add_argument("--side", choices=SIDES, help="this side alone, once, in the current folder")
    options = parser.parse_args()
    contests = os.environ.get("CONTEST_DATA")
    data = Path(contests or "", CONTEST)
    if not contests or not (data / "train.csv").is_file():
        print(f"Skipped: CONTEST_DATA should be a folder with {CONTEST}/train.csv, as downloaded from Kaggle.")
    elif options.side:
        print(json.dumps(asdict(measure_here(options.side, data))))
    else:
        show(*measure_by_turns(options.times))


if __name__ == "__main__":
    main()
