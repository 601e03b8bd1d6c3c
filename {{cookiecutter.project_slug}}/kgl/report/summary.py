"""The top of the page: where the contest stands, what helped most, what to try next."""

from collections.abc import Iterator
from dataclasses import dataclass

from kgl.checks import check_data, check_folds
from kgl.errors import KglError
from kgl.report.material import Material
from kgl.wording import show

HINTS = 3


@dataclass(frozen=True)
class Summary:
    """(label, value, remark) each, then sentences."""

    tiles: list[tuple[str, str, str]]
    sentences: list[str]


def summarize(m: Material) -> Summary:
    """What one wants to know first."""
    best, board = m.ranked[0], m.board
    scored = [e.public_score for e in m.submissions if e.public_score is not None]
    public = (max if m.metric.greater_is_better else min)(scored, default=None)
    seconds = sum(line.run.seconds for line in board.lines)
    spent = f"{seconds / 3600:.1f} hours" if seconds > 5400 else f"{max(1, round(seconds / 60))} min"
    tiles = [
        (f"Best CV {m.metric.name}", show(best.cv_score), f"{best.run}, ± {show(best.cv_std)} over folds"),
        ("Best public score", "none" if public is None else show(public), f"submissions: {len(m.submissions)}"),
        ("Runs", str(len(board.lines)), f"complete, {spent} of training"),
    ]
    return Summary(tiles, [f"What helped most: {what_helped(m)}", f"Next: {'; '.join(list(hints(m))[:HINTS])}."])


def what_helped(m: Material) -> str:
    """The largest gain over a parent that is more than noise."""
    better = [(v.gain, line) for line in m.board.lines if (v := line.against_parent) and v.word == "better"]
    if not better:
        return "nothing yet that is better than its parent by more than noise."
    gain, line = max(better, key=lambda one: one[0])
    said = line.run.note or line.changed
    return f"{line.run.run}, better than {line.run.parent} by {gain:.4g}" + (f" ({said})." if said else ".")


def hints(m: Material) -> Iterator[str]:
    """What to try, the most pressing first."""
    best = m.ranked[0]
    try:
        odd = [one for one in (*check_data(m.data), *check_folds(m.workspace, m.data)) if one.level != "ok"]
    except KglError as error:
        yield error.message.rstrip(".")
        odd = []
    yield from (f"{one.what}: {one.mend}" for one in odd[:1])
    if not m.submissions:
        yield "uv run kgl submit, to see how CV and the leaderboard agree"
    if not any(run.blend for run in m.ranked):
        yield "uv run kgl blend, once several different models are there"
    if len(best.seeds) == 1:
        yield f"more seeds (uv run kgl train {best.experiment} seeds=0,1,2), to know the noise and to lower it"
    yield "an idea from the worst rows below, as a feature in a new file of experiments/"
