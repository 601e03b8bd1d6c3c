"""`kgl submit --final`: the two submissions to choose for the private score, and why; nothing is sent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kgl.blend import correlation
from kgl.board import make_board
from kgl.errors import KglError
from kgl.evidence import Evidence
from kgl.journal import Event, latest
from kgl.metrics import get_metric
from kgl.paths import Workspace
from kgl.runs import Run, list_runs, read_predictions
from kgl.wording import cv

SAME = 0.9995  # runs whose test predictions correlate more are one and the same choice


@dataclass(frozen=True)
class Choice:
    """A submission to choose, and the reason."""

    event: Event
    reason: str


def final_two(workspace: Workspace, metric: str, folds: str | None) -> tuple[list[Choice], list[str]]:
    """The best by CV among those submitted, and the one that differs most among those that are not worse; and warnings.

    The public score decides only where nothing is known of the others: it is of few rows, and was looked at often.

    Args:
        workspace: with submissions.jsonl and runs/.
        metric, folds: as for `kgl.board.make_board`.
    """
    sent = {event.run: event for event in latest(workspace).values() if event.status == "complete"}
    ranked = [line.run for line in make_board(workspace, metric, folds, seconds=0).lines]
    known = [run for run in ranked if run.run in sent]
    warnings = []
    if ranked and not ranked[0].is_rosy and ranked[0].run not in sent:
        best = ranked[0].run
        warnings.append(f"{best}, the best by CV ({cv(ranked[0])}), was never submitted: uv run kgl submit {best}")
    chosen: list[Choice] = []
    if known:
        rosy = ", though its folds chose its epochs" if known[0].is_rosy else ""
        chosen.append(Choice(sent[known[0].run], f"the best by CV of those submitted, {cv(known[0])}{rosy}"))
    if second := _second(workspace, known):
        chosen.append(Choice(sent[second[0].run], second[1]))
    others = [event for event in sent.values() if event.run not in [run.run for run in known]]
    return chosen + _by_public(others, metric)[: 2 - len(chosen)], warnings


def _second(workspace: Workspace, known: Sequence[Run]) -> tuple[Run, str] | None:
    """The run that differs most from the first of `known` without being worse; else the next by CV."""
    if len(known) < 2:
        return None
    evidence, alike = Evidence(workspace, list_runs(workspace)), {}
    for run in known[1:]:
        verdict = evidence.verdict(run, known[0])
        if verdict and verdict.word == "noise" and (found := _likeness(workspace, run, known[0])) is not None:
            alike[run.run] = found
    apart = [run for run in known[1:] if alike.get(run.run, 1.0) < SAME]
    if apart:
        run = min(apart, key=lambda one: alike[one.run])
        unlike = f"the least like the first: correlation {alike[run.run]:.3f}"
        return run, f"no worse by more than luck, {cv(run)}, and {unlike}"
    other = next((run for run in known[1:] if run.run not in alike), known[1])
    return other, f"the next by CV, {cv(other)}; no other is as good as the first and differs from it"


def _likeness(workspace: Workspace, one: Run, other: Run) -> float | None:
    """The correlation of test predictions, averaged over columns; None where they are not on this machine."""
    try:
        a, b = (read_predictions(workspace, run.run, "test") for run in (one, other))
    except KglError:
        return None
    if list(a.columns) != list(b.columns) or len(shared := a.index.intersection(b.index)) < 2:
        return None
    return correlation(np.stack([a.loc[shared].to_numpy(dtype=float), b.loc[shared].to_numpy(dtype=float)]))[0][1]


def _by_public(events: Iterable[Event], metric: str) -> list[Choice]:
    sign = -1 if get_metric(metric).greater_is_better else 1
    scored = [event for event in events if event.public_score is not None]
    reason = "the best other by public score alone: no run of it on these folds is known here"
    return [Choice(event, reason) for event in sorted(scored, key=lambda one: sign * (one.public_score or 0.0))]
