"""Scores and runs as people read them."""

from kgl.runs import Run


def show(value: float | None) -> str:
    """A score with five decimals, or six figures where it is large; '-' where it is unknown."""
    if value is None:
        return "-"
    return f"{value:.5f}" if abs(value) < 10 else f"{value:.6g}"


def cv(run: Run) -> str:
    """The score over folds and its standard deviation over them."""
    return show(run.cv_score) + (f" ± {show(run.cv_std)}" if run.cv_std is not None else "")


def summary(run: Run) -> str:
    """One line of a run: name, score, and time, or what a blend is made of."""
    if run.blend:
        weights = sorted(zip(run.blend["weights"], run.blend["members"], strict=True), reverse=True)
        parts = ", ".join(f"{member} {weight:.2f}" for weight, member in weights if weight)
        alone = "" if run.blend["taken"] else "; no blend beats it by more than its error"
        rosy = f"nested; on the rows of its weights {show(run.blend['rosy_score'])}"
        return f"{run.run:<22} CV {cv(run)}   {rosy}   {parts}{alone}"
    if run.status == "partial":
        known = [score for score in run.fold_scores if score is not None]
        return f"{run.run:<22} partial: {', '.join(map(show, known))} on {len(known)} of its folds"
    return f"{run.run:<22} CV {cv(run)}   {run.seconds:.1f} s"
