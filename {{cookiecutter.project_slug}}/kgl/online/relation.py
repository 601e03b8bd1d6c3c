"""How CV and leaderboard go together over the submissions, and what CV lets one expect of the private part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from kgl.journal import Event
from kgl.runs import Run

ENOUGH = 5  # submissions; fewer say nothing
SHOWN = 3  # inversions


@dataclass(frozen=True)
class Relation:
    """Over `count` submissions of different runs.

    correlation: of ranks, 1 where the leaderboard ranks as CV does. inversions: (run, run), the first is better by CV
    and worse on the leaderboard, the plainest first, of `inverted` in all. run: the best by CV, and what it lets one
    expect of its private score: in 95 of 100 contests between low and high.
    """

    count: int
    correlation: float
    inversions: list[tuple[str, str]]
    inverted: int
    run: str
    expected: float
    low: float
    high: float


def relate(submissions: Sequence[Event], runs: Mapping[str, Run], *, greater_is_better: bool) -> Relation | None:
    """None where fewer than ENOUGH submissions have both scores; rosy runs are left out.

    The interval adds up how much leaderboard minus CV differs between runs, and twice the spread of a fold's score: the
    public and the private part are samples too, taken to be of a fold's size.
    """
    from scipy.stats import spearmanr, t

    both = {
        event.run: event
        for event in sorted(submissions, key=lambda event: event.time)
        if event.cv_score is not None and event.public_score is not None and event.run in runs
    }
    events = [event for event in both.values() if not runs[event.run].is_rosy]
    if len(events) < ENOUGH:
        return None
    local, public = (np.array([getattr(e, f"{part}_score") for e in events], dtype=float) for part in ("cv", "public"))
    sign = 1 if greater_is_better else -1
    apart = []
    for i, j in combinations(range(len(events)), 2):
        a, b = (i, j) if sign * (local[i] - local[j]) > 0 else (j, i)
        if local[a] != local[b] and sign * (public[a] - public[b]) < 0:
            apart.append((abs((local[a] - local[b]) * (public[a] - public[b])), events[a].run, events[b].run))
    best, n = int(np.argmax(sign * local)), len(events)
    gaps, spread = public - local, runs[events[best].run].cv_std or 0.0
    expected = float(local[best] + gaps.mean())
    half = float(t.ppf(0.975, n - 1) * np.sqrt(gaps.var(ddof=1) * (1 + 1 / n) + 2 * spread**2))
    moves = np.ptp(local) > 0 and np.ptp(public) > 0
    correlation = float(spearmanr(local, public).statistic) if moves else 0.0
    pairs = [(a, b) for _, a, b in sorted(apart, reverse=True)[:SHOWN]]
    return Relation(n, correlation, pairs, len(apart), events[best].run, expected, expected - half, expected + half)


def in_words(relation: Relation | None) -> list[str]:
    """A few lines for people."""
    if relation is None:
        return [f"CV and public: from {ENOUGH} submissions of different runs on, their relation stands here"]
    r = relation
    lines = [f"CV and public: rank correlation {r.correlation:.2f} over {r.count} submissions"]
    lines += [f"inversion    {a} is better than {b} by CV, and worse on the leaderboard" for a, b in r.inversions]
    if r.inverted > len(r.inversions):
        lines.append(f"             and {r.inverted - len(r.inversions)} more pairs")
    return [
        *lines,
        f"private      {r.run}: CV lets expect {r.expected:.5f}, between {r.low:.5f} and {r.high:.5f} (95 %)",
    ]
