"""What verdicts rest on: the rows that two runs share and the noise of seeds, kept in data/cache."""

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kgl.arrays import Array
from kgl.competition import data_root, load_competition
from kgl.errors import KglError
from kgl.identity import metric_hash, short_hash
from kgl.metrics import get_metric
from kgl.paths import Workspace, digest, read_json, replacing, write_json
from kgl.runs import Run, made_again, run_folder
from kgl.verdicts import Rows, Scorer, Verdict, compare, draw_scores, rows_of, scores_of_both

if TYPE_CHECKING:  # the board imports no pandas where all is in the cache
    from kgl.target import Target

Found = TypeVar("Found")


@dataclass(frozen=True)
class Truth:
    """The validated rows in the order of their ids: `y` as `kgl.target.Target` has it, folds, and groups kept whole."""

    target: "Target"
    ids: Array
    y: Array
    fold_of: Array
    groups: Array


@dataclass(frozen=True)
class Side:
    """One run beside the truth: predictions, (n, columns), missing where it has none, and its metric on some rows.

    rule: how labels of the test are decided, see `kgl.decisions`; None where that is the plain way.
    """

    oof: Array
    score: Scorer
    rule: Array | None = None


@dataclass
class Evidence:
    """Verdicts on runs of one workspace, whatever they rest on computed once.

    seconds: of computing what is not in the cache; verdicts that come later rest on fold scores alone.
    """

    workspace: Workspace
    runs: Sequence[Run]
    seconds: float = math.inf
    spent: float = 0.0
    changed: bool = False
    draws: dict[str, Array | None] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The cache; it may be deleted."""
        return self.workspace.cache / "verdicts.json"

    @cached_property
    def known(self) -> dict[str, Any]:
        """What the cache holds."""
        return dict(read_json(self.path)) if self.path.is_file() else {}

    def verdict(self, new: Run, old: Run) -> Verdict | None:
        """See `kgl.verdicts.compare`."""
        return compare(get_metric(new.metric), new, old, rows=self.rows(new, old), seeds=self.seed_variance(new, old))

    def rows(self, new: Run, old: Run) -> Rows | None:
        """What the rows of both say; None where predictions or truth are not on this machine, or time is over."""
        a, b = self.draws_of(new), self.draws_of(old)
        return None if a is None or b is None or a.shape != b.shape or not a.size else rows_of(a, b)

    def has_rows(self, run: Run) -> bool:
        """Whether its out-of-fold predictions are on this machine, and the metric that scored them."""
        here = (run_folder(self.workspace, run.run) / "oof.parquet").is_file()
        return here and run.scored_by == (run.metric, metric_hash(self.workspace, run.metric))

    def draws_of(self, run: Run) -> Array | None:
        """See `kgl.verdicts.draw_scores`; kept in data/cache/draws."""
        if run.run not in self.draws:
            made_of = short_hash(json.dumps([run.metric, run.ended, run.cv_score, sorted(run.identity.items())]))
            path = self.workspace.cache / "draws" / f"{run.run}-{made_of}.npy"
            if path.is_file():
                self.draws[run.run] = np.load(path)
            elif self.spent < self.seconds and self.has_rows(run) and (truth := self.truth):
                with self.timed():
                    side = self.side(run)
                    draws = draw_scores(side.score, truth.fold_of, truth.groups) if side else np.empty(0)
                with replacing(path) as temporary, temporary.open("wb") as file:
                    np.save(file, draws)
                self.draws[run.run] = draws
        return self.draws.setdefault(run.run, None)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time of this process against `seconds`."""
        began = time.process_time()
        yield
        self.spent += time.process_time() - began

    def remember(self, what: str, about: Any, find: Callable[[], Found]) -> Found | None:
        """`find()`, or what it gave before; None where it is not known and time is over."""
        key = f"{what} {short_hash(json.dumps(about))}"
        if key not in self.known:
            if self.spent >= self.seconds:
                return None
            with self.timed():
                self.known[key], self.changed = find(), True
        kept: Found = self.known[key]
        return kept

    def save(self) -> None:
        """Write the cache, if it has changed."""
        if self.changed:
            write_json(self.path, self.known)
            self.changed = False

    def seed_variance(self, new: Run, old: Run) -> float:
        """The variance of the gain that other seeds would make: of each run's experiment, or of the other's."""
        known = [self.noise.get(run.experiment) for run in (new, old)]
        total, folds = 0.0, len(scores_of_both(new, old))
        for run, own, other in zip((new, old), known, reversed(known), strict=True):
            variance = own if own is not None else other
            if run.kind != "blend" and variance:
                total += variance / max(len(run.seeds), 1) / max(folds, 1)
        return total

    @cached_property
    def noise(self) -> dict[str, float]:
        """The variance that seeds make in one model's score on one fold, by experiment."""
        found: dict[str, list[tuple[float, int]]] = {}
        for run in self.runs:
            if run.is_complete and len(run.seeds) > 1:
                squares, df = self.remember(
                    "seeds", [run.run, run.ended], partial(_of_own_seeds, self.workspace, run)
                ) or (0.0, 0)
                found.setdefault(run.experiment, []).append((squares, df))
        for experiment, scores in _of_siblings(self.runs):
            found.setdefault(experiment, []).append(scores)
        totals = {name: np.sum(parts, axis=0) for name, parts in found.items()}
        return {name: float(squares / df) for name, (squares, df) in totals.items() if df}

    def side(self, run: Run) -> Side | None:
        """A run's predictions beside the truth; None where they are not on this machine or do not fit."""
        return read_side(self.workspace, self.truth, run) if self.has_rows(run) and self.truth else None

    @cached_property
    def truth(self) -> Truth | None:
        """None where there are no folds, or the contest's files are not on this machine."""
        try:
            return read_truth(self.workspace) if self.workspace.folds.is_file() else None
        except KglError:
            return None


def read_truth(workspace: Workspace) -> Truth:
    """The training rows as contest.py's load() gives them, kept in data/cache for as long as what made them.

    Raises:
        KglError: see `kgl.session.open_session`.
    """
    from kgl.target import Target

    competition = load_competition(workspace)
    train = data_root(workspace, competition) / competition.files.train
    files = [workspace.competition_toml, workspace.root / "contest.py", workspace.folds]
    stat = train.stat() if competition.files.train and train.is_file() else None
    made_of = [digest(file) for file in files if file.is_file()]
    path, key = workspace.cache / "truth.npz", short_hash(repr((made_of, stat and (stat.st_size, stat.st_mtime))))
    if path.is_file():
        with np.load(path) as kept:
            if str(kept["key"]) == key:
                target = Target(competition.task, competition.target, tuple(map(str, kept["labels"])))
                return Truth(target, *(kept[name] for name in ("ids", "y", "fold_of", "groups")))
    truth = _load_truth(workspace)
    arrays: dict[str, Any] = {"ids": truth.ids, "y": truth.y, "fold_of": truth.fold_of, "groups": truth.groups}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays, key=key, labels=np.array(truth.target.labels, dtype=np.str_))
    return truth


def _load_truth(workspace: Workspace) -> Truth:
    from kgl.session import open_session

    session = open_session(workspace, say=lambda line: None)
    data, ids = session.data, session.data.ids.to_numpy().astype(np.str_)
    rows = np.flatnonzero(session.fold_of >= 0)
    rows = rows[np.argsort(ids[rows])]
    return Truth(data.target, ids[rows], data.y[rows], session.fold_of[rows], session.groups[rows])


def read_side(workspace: Workspace, truth: Truth, run: Run) -> Side | None:
    """A run's out-of-fold predictions at the places of the truth; None where files or columns do not fit it."""
    import pyarrow.parquet as pq

    path, names = run_folder(workspace, run.run) / "oof.parquet", list(truth.target.columns)
    with made_again(path), pq.ParquetFile(path) as file:
        if not {"id", *names} <= set(file.schema_arrow.names) or tuple(run.label_order) != truth.target.labels:
            return None
        table = file.read(["id", *names])
    ids = np.array(table.column("id").to_pylist(), dtype=np.str_)
    place = np.minimum(np.searchsorted(truth.ids, ids), len(truth.ids) - 1)
    here, oof = truth.ids[place] == ids, np.full((len(truth.ids), len(names)), np.nan)
    oof[place[here]] = np.column_stack([table.column(name).to_numpy() for name in names])[here]
    return _with_scorer(truth, run, oof)


def _with_scorer(truth: Truth, run: Run, oof: Array) -> Side:
    from kgl.decisions import decide_rows
    from kgl.scoring import score, truth_labels

    metric, target, y, known = get_metric(run.metric), truth.target, truth.y, np.asarray(~np.isnan(oof).any(axis=1))

    def on_known(score: Scorer) -> Scorer:
        return lambda rows: score(kept) if len(kept := rows[known[rows]]) else math.nan

    if metric.takes != "labels" or set(truth.fold_of[known]) != set(truth.fold_of):  # a rule needs all folds
        return Side(oof, on_known(lambda rows: score(metric, target, y[rows], oof[rows])))
    codes, labels = truth_labels(target, y), np.zeros(y.shape, dtype=np.int64)
    decision = decide_rows(metric, target, y[known], oof[known], truth.fold_of[known])
    labels[known] = decision.labels
    return Side(oof, on_known(lambda rows: float(metric.function(codes[rows], labels[rows]))), decision.rule)


def farthest(truth: Truth, new: Side, old: Side, count: int = 5) -> list[tuple[str, str, str, str, str]]:
    """Id, fold, target and both predictions of the rows where two runs differ most.

    Of classes, a prediction is the probability of the right one; of several columns, the one that differs most counts.
    """
    here = np.flatnonzero(~np.isnan(new.oof + old.oof).any(axis=1))
    sides = [side.oof[here] for side in (new, old)]
    column = truth.y[here] if truth.target.one_label else np.abs(sides[0] - sides[1]).argmax(axis=1)
    values = [side[np.arange(len(here)), column] for side in sides]
    found = []
    for i in (gaps := np.abs(values[0] - values[1])).argsort()[::-1][: min(count, np.count_nonzero(gaps))]:
        row, name = here[i], truth.target.columns[column[i]]
        wanted = truth.y[row] if truth.y.ndim == 1 else truth.y[row, column[i]]
        text = name.removeprefix("p_") if truth.target.one_label else f"{wanted:g}"
        text = f"{name.removeprefix('p_')} {text}" if truth.y.ndim > 1 else text
        predicted = [f"{side[i]:.4g}" for side in values]
        found.append((str(truth.ids[row]), str(truth.fold_of[row]), text, predicted[0], predicted[1]))
    return found


def _of_own_seeds(workspace: Workspace, run: Run) -> tuple[float, int]:
    """Squares and degrees of freedom of a run's scores over its seeds, within folds; none where they are not here."""
    squares, df = 0.0, 0
    for fold in sorted(run_folder(workspace, run.run).glob("folds/*")):
        files = [fold / f"seed-{seed}" / "scores.json" for seed in run.seeds]
        scores = [read_json(file)["score"] for file in files if file.is_file()]
        known = [score for score in scores if score is not None]
        if len(known) > 1:
            squares, df = squares + statistics.variance(known) * (len(known) - 1), df + len(known) - 1
    return squares, df


def _of_siblings(runs: Sequence[Run]) -> list[tuple[str, tuple[float, int]]]:
    """The same of runs of one experiment that differ in their seeds alone, scaled to one seed."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        if run.is_complete and run.seeds:
            config = {key: value for key, value in run.config.items() if key != "seeds"}
            same = {key: value for key, value in run.identity.items() if key != "config"}
            alike.setdefault(json.dumps([run.experiment, config, same, run.metric], sort_keys=True), []).append(run)
    found = []
    for group in alike.values():
        apart = list({tuple(run.seeds): run for run in group}.values())
        for scores in zip(*(run.fold_scores for run in apart), strict=False) if len(apart) > 1 else ():
            known = [(score, len(run.seeds)) for score, run in zip(scores, apart, strict=True) if score is not None]
            if len(known) > 1:
                mean = statistics.fmean(score for score, _ in known)
                squares = sum(size * (score - mean) ** 2 for score, size in known)
                found.append((group[0].experiment, (squares, len(known) - 1)))
    return found
