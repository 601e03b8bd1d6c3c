"""Scores and runs as people read them."""

from typing import TYPE_CHECKING, Any

from kgl.metrics import get_metric
from kgl.runs import Run
from kgl.verdicts import Verdict, scores_of_both, why_apart

if TYPE_CHECKING:  # the board imports no pandas
    from numpy.typing import NDArray

    from kgl.target import Target


def show(value: float | None) -> str:
    """A score with five decimals, or six figures where it is large; '-' where it is unknown."""
    if value is None:
        return "-"
    return f"{value:.5f}" if abs(value) < 10 else f"{value:.6g}"


def luck(p: float | None) -> str:
    """The chance that luck alone makes a gain, such as `p 0.012`."""
    return "p unknown" if p is None else "p < .001" if p < 0.001 else f"p {p:.3f}"


def rule_in_words(target: "Target", rule: "NDArray[Any] | None") -> str:
    """How labels are decided, see `kgl.decisions`."""
    if rule is None:
        return "labels are the likeliest ones; no other rule was better on folds that it had not seen"
    numbers, more = [f"{number:.3g}" for number in rule], " ..." if len(rule) > 12 else ""
    if target.task in ("multiclass", "multilabel"):
        numbers = [f"{name} {number}" for name, number in zip(target.labels or target.names, numbers, strict=True)]
    what = {"multiclass": "labels by probability times", "ordinal": "labels cut at"}.get(
        target.task, f"label {target.labels[1]} above" if target.labels else "labels above"
    )
    return f"{what} {', '.join(numbers[:12])}{more}, as is best out of fold"


def cv(run: Run) -> str:
    """The score over folds and its standard deviation over them; of a partial run also how many folds it has."""
    known = sum(score is not None for score in run.fold_scores)
    part = f", {known} of {len(run.fold_scores)} folds" if run.status == "partial" else ""
    return show(run.cv_score) + (f" ± {show(run.cv_std)}" if run.cv_std is not None else "") + part


def took(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def verdict_in_words(verdict: Verdict | None, new: Run, old: Run) -> str:
    """Such as `better: +0.00310 ± 0.00110 in accuracy (paired, 21,360 rows, p 0.003), 4 of 5 folds`."""
    if verdict is None:
        return f"not compared: {why_apart(new, old) or 'they share one fold, and its rows are not on this machine'}"
    metric, pairs = get_metric(new.metric), scores_of_both(new, old)
    won = sum(metric.gain(a, b) > 0 for a, b in pairs)
    how = f"paired, {verdict.rows:,} rows" if verdict.rows else "by fold scores alone"
    how += f"{', on other data' * (not verdict.same_data)}, {luck(verdict.p)}"
    how += ", + is less" * (not metric.greater_is_better)
    gain = f"{verdict.gain:+.5f} ± {verdict.error:.5f} in {new.metric}"
    return f"{verdict.word}: {gain} ({how}), {won} of {len(pairs)} folds"


def summary(run: Run) -> str:
    """One line of a run: name, score, and time, or what a blend is made of."""
    if run.blend:
        weights = sorted(zip(run.blend["weights"], run.blend["members"], strict=True), reverse=True)
        parts = ", ".join(f"{member} {weight:.2f}" for weight, member in weights if weight)
        alone = "" if run.blend["taken"] else "; no blend is better by more than luck"
        rosy = f"nested; on the rows of its weights {show(run.blend['rosy_score'])}"
        return f"{run.run:<22} CV {cv(run)}   {rosy}   {parts}{alone}"
    if run.config.get("quick"):
        return f"{run.run:<22} quick: {', '.join(map(show, run.fold_scores))}"
    return f"{run.run:<22} CV {cv(run)}   {run.seconds:.1f} s"
