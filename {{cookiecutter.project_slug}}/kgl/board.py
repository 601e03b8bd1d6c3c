"""The board: runs ranked by cv_score, each with an honest verdict against the best and against its parent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kgl.changes import what_changed
from kgl.competition import Competition
from kgl.errors import KglError
from kgl.evidence import Evidence
from kgl.fold_file import current_hash
from kgl.identity import metric_hash
from kgl.journal import Say, latest
from kgl.metrics import get_metric
from kgl.paths import Workspace, use_workspace
from kgl.runs import Run, is_held, list_runs
from kgl.verdicts import Verdict

SECONDS = 0.9  # for verdicts and changes that are not in the cache


@dataclass(frozen=True)
class Line:
    """One line of the board.

    against_best, against_parent: None for the best itself, where there is no parent, and where folds do not compare.
    public, private: the last scores on the leaderboard, empty where there are none.
    changed: since the parent; the run's note is not in it.
    """

    run: Run
    against_best: Verdict | None
    against_parent: Verdict | None
    public: str
    private: str
    changed: str


@dataclass(frozen=True)
class Board:
    """Ranked lines, those that are not ranked, failed runs, and how many of other folds or metrics there are.

    failed: those of experiments that have no newer complete run.
    """

    lines: Sequence[Line]
    others: Sequence[Line]
    failed: Sequence[Run]
    left_out: int

    @property
    def unranked(self) -> list[Run]:
        """The runs that are shown but not ranked."""
        return [line.run for line in self.others]


def make_board(
    workspace: Workspace, metric: str, folds: str | None, *, seconds: float = SECONDS, say: Say = lambda line: None
) -> Board:
    """All runs, best first; equal scores: the simpler first; those that `rank` puts last behind all others.

    Args:
        workspace: where runs/ lies.
        metric: runs scored by another are left out, and so are those by one's own before contest.py changed it.
        folds: the hash of the folds in force; runs of others are left out. None where there are no folds.
        seconds: how long verdicts may be computed that are not in the cache; the others rest on fold scores (their
            `rows` is 0), and the next call goes on. `math.inf` computes all.
        say: takes a sentence for each line of submissions.jsonl that cannot be read.
    """
    use_workspace(workspace)  # for a metric of contest.py
    runs = list_runs(workspace)
    scored_by = metric, metric_hash(workspace, metric)
    fitting = [one for one in runs if one.scored_by == scored_by and folds in (None, one.identity.get("folds"))]
    ranked = rank([run for run in fitting if run.is_complete and run.cv_score is not None], metric)
    done = {run.experiment: run.started for run in runs if run.is_complete}  # oldest first
    failed = [run for run in fitting if run.status == "failed" and done.get(run.experiment, "") <= run.started]
    others = [run for run in fitting if run not in ranked and run.status != "failed"]
    stopped = [run.run for run in others if run.status == "running" and not is_held(workspace, run)]
    shown = ranked + [replace(run, status="stopped") if run.run in stopped else run for run in others]
    by_name, sent = {run.run: run for run in runs}, leaderboard(workspace, say)
    evidence, lines = Evidence(workspace, fitting, seconds), []
    parents, first = [by_name.get(run.parent) for run in shown], ranked[0] if ranked else None
    changed = [_changed(evidence, run, parent) for run, parent in zip(shown, parents, strict=True)]
    best = [evidence.verdict(run, first) if first and run is not first else None for run in shown]
    for i, (run, parent) in enumerate(zip(shown, parents, strict=True)):
        against_parent = evidence.verdict(run, parent) if parent and parent is not first else best[i]
        lines.append(Line(run, best[i], against_parent if parent else None, *sent.get(run.run, ("", "")), changed[i]))
    evidence.save()
    return Board(lines[: len(ranked)], lines[len(ranked) :], failed, len(runs) - len(fitting))


def _changed(evidence: Evidence, run: Run, parent: Run | None) -> str:
    """Sources are read once; where time is over, nothing is said."""
    same = parent and all(parent.identity.get(key) == run.identity.get(key) for key in ("code", "data"))
    if not parent or run.blend or same:
        return what_changed(evidence.workspace, run, parent)
    about = [[one.run, one.ended] for one in (run, parent)]
    return evidence.remember("changed", about, lambda: what_changed(evidence.workspace, run, parent)) or ""


def rank(runs: Sequence[Run], metric: str) -> list[Run]:
    """Best first by cv_score; of equals the one with fewer members, then the faster one.

    Those that were scored on fewer rows than their folds have come behind, and rosy ones last.
    """
    sign = 1 if get_metric(metric).greater_is_better else -1

    def key(run: Run) -> tuple[bool, bool, float, int, float, str]:
        members = int(np.count_nonzero((run.blend or {}).get("weights", ())))
        return run.is_rosy, run.lacks > 0, -sign * (run.cv_score or 0.0), members, run.seconds, run.run

    return sorted(runs, key=key)


def best_run(workspace: Workspace, competition: Competition, purpose: str) -> Run:
    """The run that the board puts first.

    Raises:
        KglError: there is none; `purpose` says what it was wanted for.
    """
    competition.require("metric")
    board = make_board(workspace, competition.metric, current_hash(workspace, competition.folds), seconds=0)
    if not board.lines:
        raise KglError(f"no complete run to {purpose} yet; uv run kgl baseline makes some.")
    return board.lines[0].run


def leaderboard(workspace: Workspace, damaged: Say) -> dict[str, tuple[str, str]]:
    """The last public and private score of each run that was submitted; see `kgl.journal.latest`."""
    scored = [event for event in latest(workspace, damaged).values() if event.public_score is not None]
    return {e.run: (str(e.public_score), "" if e.private_score is None else str(e.private_score)) for e in scored}
