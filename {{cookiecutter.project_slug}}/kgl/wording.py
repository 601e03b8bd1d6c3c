"""Scores and runs as people read them."""

from typing import TYPE_CHECKING, Any

from kgl.runs import Run

if TYPE_CHECKING:  # the board imports no pandas
    from numpy.typing import NDArray

    from kgl.target import Target


def show(value: float | None) -> str:
    """A score with five decimals, or six figures where it is large; '-' where it is unknown."""
    if value is None:
        return "-"
    return f"{value:.5f}" if abs(value) < 10 else f"{value:.6g}"


def rule_in_words(target: "Target", rule: "NDArray[Any] | None") -> str:
    """How labels are decided, see `kgl.decisions`."""
    if rule is None:
        return "labels are the likeliest ones; no other rule was better on folds that it had not seen"
    numbers, more = [f"{number:.3g}" for number in rule], " ..." if len(rule) > 12 else ""
    if target.task in ("multiclass", "multilabel"):
        names = target.labels or target.names
        numbers = [f"{name} {number}" for name, number in zip(names, numbers, strict=True)]
    what = {"multiclass": "labels by probability times", "ordinal": "labels cut at"}.get(
        target.task, f"label {target.labels[1]} above" if target.labels else "labels above"
    )
    return f"{what} {', '.join(numbers[:12])}{more}, as is best out of fold"


def cv(run: Run) -> str:
    """The score over folds and its standard deviation over them."""
    return show(run.cv_score) + (f" ± {show(run.cv_std)}" if run.cv_std is not None else "")


def summary(run: Run) -> str:
    """One line of a run: name, score, and time, or what a blend is made of."""
    if run.blend:
        weights = sorted(zip(run.blend["weights"], run.blend["members"], strict=True), reverse=True)
        parts = ", ".join(f"{member} {weight:.2f}" for weight, member in weights if weight)
        alone = "" if run.blend["taken"] else "; no blend is better by more than luck"
        rosy = f"nested; on the rows of its weights {show(run.blend['rosy_score'])}"
        return f"{run.run:<22} CV {cv(run)}   {rosy}   {parts}{alone}"
    if run.status == "partial":
        known = [score for score in run.fold_scores if score is not None]
        return f"{run.run:<22} partial: {', '.join(map(show, known))} on {len(known)} of its folds"
    return f"{run.run:<22} CV {cv(run)}   {run.seconds:.1f} s"
