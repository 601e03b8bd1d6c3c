"""The board: runs ranked by cv_score, each with an honest verdict against the best."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kgl.metrics import Metric, get_metric
from kgl.paths import Workspace, use_workspace
from kgl.runs import Run, is_held, list_runs

RISK = 0.05


@dataclass(frozen=True)
class Verdict:
    """How a run compares with another: `word` is better, noise, worse, or rosy where the new run's score is not honest.

    gain: by how much, positive is better in any metric. p: the chance of such a gain by luck.
    """

    word: str
    gain: float
    p: float


@dataclass(frozen=True)
class Line:
    """One line of the board; `against_best` is None for the best itself and where folds cannot be compared."""

    run: Run
    against_best: Verdict | None
    public: str
    changed: str


@dataclass(frozen=True)
class Board:
    """Ranked lines, runs that are shown but not ranked, failed ones, and how many of other folds or metrics there are.

    failed: those of experiments that have no newer complete run.
    """

    lines: Sequence[Line]
    unranked: Sequence[Run]
    failed: Sequence[Run]
    left_out: int


def compare(metric: Metric, new: Run, old: Run) -> Verdict | None:
    """`new` against `old`, fold by fold, by the corrected t-test; None where metric or folds differ, or are too few.

    Folds share training rows, so their differences vary less than those of independent samples would; the correction
    widens the error for that (Nadeau and Bengio, Inference for the Generalization Error, 2003).
    """
    sides = [(run.metric, run.identity.get("folds"), len(run.fold_scores)) for run in (new, old)]
    if sides[0] != sides[1]:
        return None
    pairs = [(a, b) for a, b in zip(new.fold_scores, old.fold_scores, strict=True) if a is not None and b is not None]
    if len(pairs) < 2:
        return None
    differences = np.array([metric.gain(a, b) for a, b in pairs])
    gain, n = float(differences.mean()), len(differences)
    error = float(np.sqrt(differences.var(ddof=1) * (1 / n + 1 / (n - 1))))
    p = chance(gain / error, n - 1) if error else float(gain == 0)
    word = "noise" if p > RISK else "better" if gain > 0 else "worse"
    return Verdict("rosy" if new.is_rosy and not old.is_rosy else word, gain, p)


def chance(t: float, df: int) -> float:
    """Of a value of Student's t beyond -t and t (Abramowitz and Stegun, 26.7.3 and 4); importing scipy takes longer."""
    angle, odd = math.atan2(abs(t), math.sqrt(df)), df % 2
    total, term = 0.0, math.cos(angle) if odd else 1.0
    for power in range(odd, df - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (power + 1) / (power + 2)
    inside = math.sin(angle) * total
    return max(0.0, 1 - (2 / math.pi * (angle + inside) if odd else inside))


def make_board(workspace: Workspace, metric: str, folds: str | None) -> Board:
    """All runs, best first; equal scores: the simpler first; rosy ones behind all honest ones.

    Args:
        workspace: where runs/ lies.
        metric: runs scored by another are left out.
        folds: the hash of the folds in force; runs of others are left out. None where there are no folds.
    """
    use_workspace(workspace)  # for a metric of contest.py
    runs = list_runs(workspace)
    fitting = [run for run in runs if run.metric == metric and (folds is None or run.identity.get("folds") == folds)]
    ranked = rank([run for run in fitting if run.is_complete and run.cv_score is not None], metric)
    public = _public_scores(workspace)
    by_name = {run.run: run for run in runs}
    lines = [
        Line(
            run,
            compare(get_metric(metric), run, ranked[0]) if i else None,
            public.get(run.run, ""),
            what_changed(run, by_name),
        )
        for i, run in enumerate(ranked)
    ]
    done = {run.experiment: run.started for run in runs if run.is_complete}  # oldest first
    failed = [run for run in fitting if run.status == "failed" and done.get(run.experiment, "") <= run.started]
    others = [run for run in fitting if run not in ranked and run.status != "failed"]
    stopped = [run.run for run in others if run.status == "running" and not is_held(workspace, run)]
    unranked = [replace(run, status="stopped") if run.run in stopped else run for run in others]
    return Board(lines, unranked, failed, len(runs) - len(fitting))


def rank(runs: Sequence[Run], metric: str) -> list[Run]:
    """Best first by cv_score, rosy ones last; of equals the one with fewer members, then the faster one."""
    sign = 1 if get_metric(metric).greater_is_better else -1
    return sorted(
        runs, key=lambda run: (run.is_rosy, -sign * (run.cv_score or 0.0), _members(run), run.seconds, run.run)
    )


def _members(run: Run) -> int:
    return 1 + int(np.count_nonzero((run.blend or {}).get("weights", ())))


def best_run(workspace: Workspace, metric: str, folds: str | None) -> Run | None:
    """The run that the board puts first."""
    board = make_board(workspace, metric, folds)
    return board.lines[0].run if board.lines else None


def what_changed(run: Run, others: dict[str, Run]) -> str:
    """The note, else what a blend is made of, else the settings that differ from the parent's."""
    if run.note:
        return run.note
    if run.blend:
        weights = dict(zip(run.blend["members"], run.blend["weights"], strict=True))
        with_weight = sorted((m for m in weights if weights[m]), key=weights.__getitem__, reverse=True)
        if len(with_weight) == 1:
            return f"{len(weights)} members, no gain over {with_weight[0]} alone"
        return f"{len(weights)} members: " + ", ".join(f"{m} {weights[m]:.2f}" for m in with_weight)
    parent = others.get(run.parent)
    if parent is None or parent.kind != run.kind:
        return ""
    changes = differences(parent.config, run.config)
    return ", ".join(f"{key} {old} -> {new}" for key, old, new in changes) or "code or data"


def differences(old: Any, new: Any, key: str = "") -> list[tuple[str, str, str]]:
    """(dotted key, old, new) where two configs differ; '-' where one lacks the key."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        found = [differences(old.get(k, "-"), new.get(k, "-"), f"{key}.{k}" if key else k) for k in keys]
        return [difference for part in found for difference in part]
    return [] if old == new else [(key, _short(old), _short(new))]


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_short(item) for item in value) + "]"
    if isinstance(value, dict):
        return str(value.get("class", "..." if value else "{}")).rsplit(".", 1)[-1]
    return value.rsplit(".", 1)[-1] if isinstance(value, str) and " " not in value else str(value)


def _public_scores(workspace: Workspace) -> dict[str, str]:
    if not workspace.submissions.is_file():
        return {}
    lines = workspace.submissions.read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return {event["run"]: str(event["public_score"]) for event in events if event.get("public_score") is not None}
