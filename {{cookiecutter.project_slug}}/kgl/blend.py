"""Blend runs on their out-of-fold predictions into a run like any other."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from kgl import __version__
from kgl.arrays import Array
from kgl.blend_stack import PENALTIES, Scale
from kgl.blend_weights import STEPS, find_blend, mix, paired
from kgl.board import rank
from kgl.config import unknown_key
from kgl.crossval import score_run, write_oof, write_test
from kgl.errors import KglError
from kgl.identity import metric_hash, short_hash
from kgl.runs import Run, begin_run, end_run, is_finished, list_runs, open_run, read_predictions, read_run
from kgl.scoring import loss
from kgl.session import Session
from kgl.suspects import best_column
from kgl.tables import ID
from kgl.wording import show

MOST_WORTH = 12  # members that a blend is found without, to see what each brings


def blendable_runs(session: Session) -> list[Run]:
    """The best complete run of each experiment on these folds whose predictions are on this machine.

    No rosy ones, and none that was scored on fewer rows than others.
    """
    fitting = [run for run in list_runs(session.workspace) if run.kind != "blend" and not _misfit(session, run)]
    usable = [run for run in fitting if is_finished(session.workspace, run)]
    if rosy := [run.run for run in usable if run.is_rosy]:
        session.say(f"left out: {', '.join(rosy)}; their own folds chose their epochs (blend them by name if you must)")
    honest = [run for run in usable if not run.is_rosy]
    whole = [run for run in honest if not run.lacks]
    if whole and (fewer := [run.run for run in honest if run.lacks]):
        session.say(f"left out: {', '.join(fewer)}; train lacked rows of the folds (blend them by name if you must)")
    return list({run.experiment: run for run in reversed(rank(whole or honest, session.competition.metric))}.values())


def make_blend(session: Session, names: Sequence[str] = (), *, note: str = "", stack: bool = False) -> Run:
    """Blend runs into a run like any other; the best member alone where the blend does not pass the gate.

    Args:
        session: see `open_session`.
        names: runs; by default the best complete run of each experiment.
        note: kept in run.json.
        stack: by a small linear model on the members, in place of weights.

    Raises:
        KglError: fewer than one run, or runs that do not fit these folds, labels or metric.
    """
    runs = [_fitting(session, name) for name in dict.fromkeys(names)] if names else blendable_runs(session)
    if not runs:
        raise KglError("no complete run on these folds to blend; train some: kgl baseline.")
    runs = rank(runs, session.competition.metric)
    with open_run(session.workspace, _describe(session, runs, note, stack)) as run:
        if is_finished(session.workspace, run):
            session.say(f"{run.run} is this very blend, complete since {run.ended}")
            return run
        begin_run(session.workspace, run)
        return _blend(session, runs, run)


def _fitting(session: Session, name: str) -> Run:
    run = read_run(session.workspace, name)
    if reason := _misfit(session, run):
        raise KglError(f"{name} cannot be blended: {reason}. Train it again: kgl train {run.experiment}")
    return run


def _misfit(session: Session, run: Run) -> str | None:
    """Why a run cannot be blended here."""
    reasons = [
        (not run.is_complete, f"it is {run.status}"),
        (run.identity.get("folds") != session.folds.hash(), "it was trained on other folds"),
        (run.metric != session.metric.name, f"its metric is {run.metric}"),
        (run.scored_by[1] != metric_hash(session.workspace, run.metric), f"contest.py has changed {run.metric} since"),
        (tuple(run.label_order) != session.data.target.labels, f"its labels are {', '.join(run.label_order)}"),
        (run.cv_score is None, "it has no score"),
    ]
    return next((reason for wrong, reason in reasons if wrong), None)


def _describe(session: Session, runs: Sequence[Run], note: str, stack: bool) -> Run:
    members = sorted((run.run, sorted(run.identity.items())) for run in runs)
    how = {"penalties": list(PENALTIES)} if stack else {"steps": STEPS}
    scale = Scale.of(session.data.target.task, session.metric.loss)
    return Run(
        run="",
        experiment="blend",
        parent=runs[0].run,
        note=note,
        kind="blend",
        config={"kind": "blend", "members": [run.run for run in runs]}
        | how
        | ({"choose": "fold"} if any(run.is_rosy for run in runs) else {}),
        label_order=list(session.data.target.labels),
        metric=session.competition.metric,
        identity={
            "config": short_hash(repr((members, how, scale))),
            "code": short_hash(__version__),
            "data": session.data_hash,
            "folds": session.folds.hash(),
        },
    )


def _blend(session: Session, runs: Sequence[Run], run: Run) -> Run:
    """Blend `runs`, the best first."""
    data, metric, target = session.data, session.metric, session.data.target
    oofs = np.stack([_aligned(session, r.run, "oof", data.ids) for r in runs])
    known = np.flatnonzero(~np.isnan(oofs).any(axis=(0, 2)))
    if lost := int((session.fold_of >= 0).sum() - len(known)):
        session.say(f"{lost} rows that some member lacks are left out of the blend's scores")
    known = known[np.lexsort(np.atleast_2d(data.y[known].T))]  # by the target, as find_blend wants it
    scale = Scale.of(target.task, metric.loss)
    y, fold_of, members = data.y[known], session.fold_of[known], scale.forward(oofs[:, known])

    def measure(sums: Array, rows: Array) -> float:
        return loss(metric, target, y[rows], scale.back(sums))

    def scored(predictions: Array) -> Run:
        return score_run(session, Run(run="", experiment=""), spread(predictions))

    def spread(predictions: Array) -> Array:
        """At their places among all rows; missing elsewhere."""
        rows = np.full((len(data.y), predictions.shape[1]), np.nan)
        rows[known] = predictions
        return rows

    def learn(seen: Array, rows: Array) -> Array:
        return np.array([scale.fit_stack(seen, y[rows], penalty) for penalty in PENALTIES])

    # each choice of a stack needs a fold that its weights did not see
    stack = learn if "penalties" in run.config and len(np.unique(fold_of)) > 2 else None
    found, best = find_blend(members, fold_of, measure, learn=stack), scored(oofs[0, known])
    found_nested = scored(scale.back(found.nested))
    by_fold = zip(found_nested.fold_scores, best.fold_scores, strict=True)
    gain = paired(metric.gain(new, old) for new, old in by_fold if new is not None and old is not None)
    # the smooth loss of rows tells a gain from luck sooner than five scores do; the metric may still object
    taken = gain.is_gain or (found.gain.is_gain and gain.mean > -gain.error)
    numbers = found.weights if taken else np.eye(len(runs))[0]
    weights, constants = numbers[: len(runs)], numbers[len(runs) :]
    run.blend = {
        "members": [r.run for r in runs],
        "weights": weights.tolist(),
        "constants": constants.tolist(),
        "scale": asdict(scale),
        "taken": taken,
        "gain": {"mean": gain.mean, "p": gain.p},
        "gain_of_loss": {"mean": found.gain.mean, "p": found.gain.p},
        "correlation": correlation(oofs[:, known]),
    }
    run.blend["rosy_score"] = scored(combine(run, oofs[weights != 0][:, known])).cv_score
    run.blend["worth"] = {}
    for i in np.argsort(-np.abs(weights))[: min(MOST_WORTH, np.count_nonzero(weights))] if taken else ():
        others = np.delete(members, i, axis=0)
        nested = find_blend(others, fold_of, measure, learn=stack).nested if len(others) > 1 else others[0]
        without = scored(scale.back(nested)).cv_score
        if found_nested.cv_score is not None and without is not None:
            run.blend["worth"][runs[i].run] = metric.gain(found_nested.cv_score, without)
    nested = spread(scale.back(found.nested) if taken else oofs[0, known])
    run.blend["nested_score"] = score_run(session, run, nested).cv_score
    write_oof(session, run, nested)
    _alarm(session, run)
    write_test(session, run, blend_test(session, run))
    end_run(session.workspace, run, "complete")
    return run


def _alarm(session: Session, run: Run) -> None:
    """A blend that a rule of one column beats: not a weak model, but a fault somewhere."""
    name, floor = best_column(session.data, session.fold_of)
    floor[session.fold_of < 0] = np.nan
    rule = score_run(session, Run(run="", experiment=""), floor)
    if run.cv_score is not None and rule.cv_score is not None and session.metric.gain(run.cv_score, rule.cv_score) < 0:
        session.say(
            f"ALARM: {run.run} (CV {show(run.cv_score)}) is worse than a rule of one column, {name} "
            f"(CV {show(rule.cv_score)}): look for a fault in features, target or folds; kgl doctor helps"
        )


def blend_weights(run: Run) -> dict[str, float]:
    """The members that count in a blend, and how much; none of another run."""
    pairs = zip(run.blend["members"], run.blend["weights"], strict=True) if run.blend else ()
    return {name: weight for name, weight in pairs if weight}


def combine(run: Run, members: Array) -> Array:
    """(n, columns) predictions of a blend from (m, n, columns), those of its members with weight, in their order."""
    blend = run.blend or {}
    numbers = [*blend_weights(run).values(), *blend["constants"]]
    if numbers == [1]:
        return np.asarray(members[0])
    scale = Scale(**blend["scale"])
    return scale.back(mix(numbers, scale.forward(members)))


def correlation(members: Array) -> list[list[float]]:
    """(m, m): how alike predictions of (m, n, columns) are, averaged over columns; 0 where one is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        by_column = [np.atleast_2d(np.corrcoef(members[:, :, c])) for c in range(members.shape[2])]
    found: list[list[float]] = np.round(np.nan_to_num(np.mean(by_column, axis=0)), 4).tolist()
    return found


def blend_test(session: Session, run: Run) -> Array:
    """(n, columns) test predictions of a blend, from those of its members."""
    used = blend_weights(run)
    tests = np.stack([_aligned(session, name, "test", session.data.test[ID]) for name in used])
    lacking = [name for name, test in zip(used, tests, strict=True) if np.isnan(test).any()]
    if lacking:
        raise KglError(f"runs/{lacking[0]}/test.parquet lacks rows that test has now; run kgl predict {lacking[0]}.")
    return combine(run, tests)


def _aligned(session: Session, name: str, part: str, ids: Any) -> Array:
    predictions = read_predictions(session.workspace, name, part)
    columns = list(session.data.target.columns)
    for column in columns:
        if column not in predictions:
            raise unknown_key(column, predictions.columns, f"runs/{name}/{part}.parquet")
    return predictions.reindex(ids)[columns].to_numpy(dtype=float)
