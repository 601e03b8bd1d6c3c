"""Blend runs on their out-of-fold predictions: hill climbing, shrunk, judged on folds that its weights never saw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgl import __version__
from kgl.config import unknown_key
from kgl.crossval import score_run, write_oof, write_test
from kgl.errors import KglError
from kgl.identity import short_hash
from kgl.runs import Run, library_versions, list_runs, now, open_run, read_predictions, read_run, save_run
from kgl.scoring import loss, score
from kgl.session import Session
from kgl.tables import ID

Array = NDArray[Any]
STEPS = 50
SHRINKS = (0.0, 0.5, 1.0)  # how far weights are drawn to the equal mean of the members that help the best one


@dataclass(frozen=True)
class Blend:
    """Weights over members, and what they are worth.

    nested: (n, columns) predictions of each row by weights found without its fold; missing where not validated.
    gain, error: mean over folds of nested blend minus best member in the metric (positive is better), its standard error.
    """

    weights: Array
    shrink: float
    nested: Array
    gain: float
    error: float

    @property
    def is_taken(self) -> bool:
        """The gate: the gain over the best member must exceed its own standard error."""
        return self.gain > self.error


def climb(members: Array, measure: Callable[[Array], float], steps: int = STEPS) -> Array:
    """Weights by hill climbing with replacement from the best member, ending at the best step, not at the last.

    Caruana et al., Ensemble Selection from Libraries of Models (2004).

    Args:
        members: (m, n, columns) predictions.
        measure: the loss of (n, columns) predictions, smaller is better.
        steps: members added, each as often as it helps.
    """
    losses = [measure(member) for member in members]
    counts = np.bincount([int(np.argmin(losses))], minlength=len(members))
    best_counts, best_loss, total = counts.copy(), min(losses), members[int(np.argmin(losses))].copy()
    for step in range(1, steps):
        tried = [measure((total + member) / (step + 1)) for member in members]
        chosen = int(np.argmin(tried))
        counts[chosen] += 1
        total += members[chosen]
        if tried[chosen] < best_loss:
            best_counts, best_loss = counts.copy(), tried[chosen]
    return np.asarray(best_counts / best_counts.sum())


def equal_of_helpers(members: Array, measure: Callable[[Array], float]) -> Array:
    """Equal weights of the best member and of those whose mean with it beats it."""
    losses = [measure(member) for member in members]
    best = int(np.argmin(losses))
    helps = [i == best or measure((member + members[best]) / 2) < losses[best] for i, member in enumerate(members)]
    return np.array(helps) / sum(helps)


def find_blend(
    members: Array, fold_of: Array, folds: Sequence[int], measure: Callable[[Array, Array], float], gains: Callable[[Array], Array]
) -> Blend:
    """Weights from all folds, and predictions of each fold by weights from the other folds.

    Args:
        members: (m, n, columns) out-of-fold predictions of validated rows.
        fold_of: (n,) their folds; `folds` names them.
        measure: the smooth loss of predictions on the rows of a mask.
        gains: by fold, how much better than the best member predictions are in the metric.
    """
    weights = {k: _candidates(members, fold_of != k, measure) for k in folds}
    losses = np.array(
        [[measure(_mix(w, members)[fold_of == k], fold_of == k) for w in weights[k].values()] for k in folds]
    )
    nested = np.zeros(members.shape[1:])
    for i, k in enumerate(folds):
        chosen = SHRINKS[int(np.argmin(np.delete(losses, i, axis=0).mean(axis=0)))]
        nested[fold_of == k] = _mix(weights[k][chosen], members)[fold_of == k]
    shrink = SHRINKS[int(np.argmin(losses.mean(axis=0)))]
    differences = gains(nested)
    error = float(np.std(differences, ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else np.inf
    final = _candidates(members, np.ones(len(fold_of), dtype=bool), measure)[shrink]
    return Blend(final, shrink, nested, float(np.mean(differences)), error)


def _candidates(members: Array, rows: Array, measure: Callable[[Array, Array], float]) -> dict[float, Array]:
    def on_rows(predictions: Array) -> float:
        return measure(predictions, rows)

    climbed, equal = climb(members[:, rows], on_rows), equal_of_helpers(members[:, rows], on_rows)
    return {shrink: (1 - shrink) * climbed + shrink * equal for shrink in SHRINKS}


def _mix(weights: Array, members: Array) -> Array:
    return np.asarray(np.tensordot(weights, members, axes=1))


def blendable_runs(session: Session) -> list[Run]:
    """The best complete run of each experiment on these folds."""
    best: dict[str, Run] = {}
    for run in list_runs(session.workspace):
        usable = run.is_complete and run.kind != "blend" and run.identity.get("folds") == session.folds.hash()
        if usable and run.metric == session.competition.metric and run.cv_score is not None:
            held = best.get(run.experiment)
            if held is None or session.metric.gain(run.cv_score, held.cv_score or 0.0) > 0:
                best[run.experiment] = run
    return list(best.values())


def make_blend(session: Session, names: Sequence[str] = (), *, note: str = "") -> Run:
    """Blend runs into a run like any other; the best member alone where the blend does not pass the gate.

    Args:
        session: see `open_session`.
        names: runs; by default the best complete run of each experiment.
        note: kept in run.json.

    Raises:
        KglError: fewer than one run, or runs that do not fit these folds, labels or metric.
    """
    runs = [_fitting(session, name) for name in names] if names else blendable_runs(session)
    if not runs:
        raise KglError("no complete run on these folds to blend; train some: kgl baseline.")
    with open_run(session.workspace, _describe(session, runs, note)) as run:
        if run.is_complete:
            session.say(f"{run.run} is this very blend, complete since {run.ended}")
            return run
        return _blend(session, runs, run)


def _fitting(session: Session, name: str) -> Run:
    run = read_run(session.workspace, name)
    reasons = [
        (not run.is_complete, f"it is {run.status}"),
        (run.identity.get("folds") != session.folds.hash(), "it was trained on other folds"),
        (run.metric != session.competition.metric, f"its metric is {run.metric}"),
        (tuple(run.label_order) != session.data.target.labels, f"its labels are {', '.join(run.label_order)}"),
    ]
    for wrong, reason in reasons:
        if wrong:
            raise KglError(f"{name} cannot be blended: {reason}. Train it again: kgl train {run.experiment}")
    return run


def _describe(session: Session, runs: Sequence[Run], note: str) -> Run:
    members = {run.run: short_hash(repr(sorted(run.identity.items()))) for run in runs}
    return Run(
        run="",
        experiment="blend",
        parent=max(runs, key=lambda run: session.metric.gain(run.cv_score or 0.0, 0.0)).run,
        note=note,
        kind="blend",
        config={"kind": "blend", "members": [run.run for run in runs], "steps": STEPS},
        label_order=list(session.data.target.labels),
        metric=session.competition.metric,
        identity={
            "config": short_hash(repr(sorted(members.items()))),
            "code": short_hash(__version__),
            "data": session.data_hash,
            "folds": session.folds.hash(),
        },
    )


def _blend(session: Session, runs: Sequence[Run], run: Run) -> Run:
    data, metric, target = session.data, session.metric, session.data.target
    oofs = np.stack([_aligned(session, r.run, "oof", data.ids) for r in runs])
    tests = np.stack([_aligned(session, r.run, "test", data.test[ID]) for r in runs])
    known = ~np.isnan(oofs).any(axis=(0, 2))
    if not known.all() and (lost := int((session.fold_of[~known] >= 0).sum())):
        session.say(f"{lost} rows that some member lacks are left out of the blend's scores")
    y, fold_of, folds = data.y[known], session.fold_of[known], session.folds.numbers
    best = int(np.argmax([metric.gain(r.cv_score or 0.0, 0.0) for r in runs]))

    def measure(predictions: Array, rows: Array) -> float:
        return loss(metric, target, y[rows], predictions)

    def gains(predictions: Array) -> Array:
        by_fold = [
            metric.gain(*(score(metric, target, y[fold_of == k], p[fold_of == k]) for p in (predictions, oofs[best, known])))
            for k in folds
        ]
        return np.array([gain for gain in by_fold if not np.isnan(gain)])

    found = find_blend(oofs[:, known], fold_of, folds, measure, gains)
    weights = found.weights if found.is_taken else np.eye(len(runs))[best]
    nested = np.full(oofs.shape[1:], np.nan)
    nested[known] = found.nested if found.is_taken else oofs[best, known]
    rosy = np.full_like(nested, np.nan)
    rosy[known] = _mix(weights, oofs[:, known])
    run.blend = {
        "members": [r.run for r in runs],
        "weights": [round(float(w), 4) for w in weights],
        "rosy_score": _cv(session, rosy),
        "taken": found.is_taken,
        "gain": found.gain,
        "gain_error": None if np.isinf(found.error) else found.error,
        "shrink": found.shrink,
    }
    score_run(session, run, nested)
    run.blend["nested_score"] = run.cv_score
    run.status, run.ended, run.versions = "complete", now(), library_versions()
    write_oof(session, run, nested)
    write_test(session, run, _mix(weights, tests))
    save_run(session.workspace, run)
    return run


def _aligned(session: Session, name: str, part: str, ids: Any) -> Array:
    predictions = read_predictions(session.workspace, name, part)
    columns = list(session.data.target.columns)
    for column in columns:
        if column not in predictions:
            raise unknown_key(column, predictions.columns, f"runs/{name}/{part}.parquet")
    return predictions.reindex(ids)[columns].to_numpy(dtype=float)


def _cv(session: Session, oof: Array) -> float | None:
    scratch = Run(run="", experiment="")
    score_run(session, scratch, oof)
    return scratch.cv_score
