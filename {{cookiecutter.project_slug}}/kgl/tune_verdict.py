"""What holds of a search: its first few trials again, on folds that did not choose them."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kgl.arrays import Array
from kgl.errors import KglError
from kgl.experiment import Experiment
from kgl.folds import make_folds
from kgl.identity import short_hash
from kgl.paths import replacing
from kgl.session import Session
from kgl.tune_trials import Changes, Trainer, in_a_line
from kgl.verdicts import RISK, draw_scores, judge, rows_of
from kgl.wording import show

FINALISTS = 3


@dataclass(frozen=True)
class Tried:
    """A trial: settings, score on the folds (None: ended early), and on fresh folds score and gain over the first."""

    number: int
    changes: Changes
    score: float | None
    fresh_score: float | None = None
    gain: float | None = None
    p: float | None = None

    @property
    def word(self) -> str:
        """Better, noise or worse beside the experiment as it is, on folds that did not choose it."""
        sure, gain = self.p is not None and self.p <= RISK, self.gain or 0
        return "as it is" if not self.changes else "noise" if not (sure and gain) else "better" if gain > 0 else "worse"


def judge_again(search: Trainer, tried: Sequence[Tried]) -> list[Tried]:
    """The first few and the experiment as it is, best first, with their scores on fresh folds; one may fail there.

    Args:
        search: what scored them first.
        tried: all trials, best first; that without changes is the experiment as it is.

    Raises:
        KglError: the experiment as it is fails (1).
    """
    first = [one for one in tried if one.score is not None and one.changes][:FINALISTS]
    if not first:
        return []
    say, experiment, found = search.session.say, search.experiment, []
    say(f"the first {len(first)} again, beside the experiment as it is: fresh folds, another seed")
    again = replace(search, session=draw_anew(search.session, experiment), seed=max(experiment.seeds) + 1)
    as_it_is = _measure(again, {})
    for one in (one for one in tried if one in first or not one.changes):
        try:
            scores, draws = _measure(again, one.changes) if one.changes else as_it_is
        except KglError as error:
            say(in_a_line(one.number, f"failed: {error.message}", one.changes))
        else:
            gains = [gain for gain in map(search.metric.gain, scores, as_it_is[0]) if not math.isnan(gain)]
            rows, score = rows_of(draws, as_it_is[1]), float(np.nanmean(scores))
            p = luck(gains, of=len(first), rows=rows.error if rows else None)
            one = replace(one, fresh_score=score, gain=float(np.mean(gains)), p=p)
            say(in_a_line(one.number, show(score), one.changes))
        found.append(one)
    return found


def draw_anew(session: Session, experiment: Experiment) -> Session:
    """The same rows with folds drawn anew; the same folds where they follow time or other runs' predictions."""
    if not experiment.stack_on and session.folds.scheme != "time":
        settings, scheme = session.competition.folds, session.folds.scheme
        settings = replace(settings, scheme=scheme, n_splits=len(session.folds.numbers), seed=settings.seed + 1)
        with contextlib.suppress(KglError):  # folds of one's own making
            return replace(session, folds=make_folds(session.data, settings))
    return session


def luck(gains: Sequence[float], of: int, rows: float | None = None) -> float:
    """The chance that the luckiest of so many gains like this over folds; see `kgl.verdicts.judge`.

    Of a single fold with a score nothing is known.
    """
    return min(1.0, of * judge(gains, rows=rows)[1]) if len(gains) > 1 else 1.0


def _measure(again: Trainer, changes: Changes) -> tuple[list[float], Array]:
    """The score of each fold, and of rows drawn from it, see `kgl.verdicts.draw_scores`."""
    session, oof = again.session, _predict(again, changes)
    fold_of, inside = session.fold_of, np.flatnonzero(session.fold_of >= 0)
    groups = session.groups[inside]
    draws = draw_scores(lambda rows: again.score(inside[rows], oof[inside[rows]]), fold_of[inside], groups)
    return [again.score(fold_of == k, oof[fold_of == k]) for k in session.folds.numbers], draws


def _predict(again: Trainer, changes: Changes) -> Array:
    """(rows, columns): out-of-fold predictions; a fold that is finished is kept in the cache, and not trained again."""
    session = again.session
    files = {k: again.folder / f"{short_hash(repr(changes))}-{k}.npy" for k in session.folds.numbers}
    for k, predictions in again.predict(changes, [k for k, file in files.items() if not file.is_file()]):
        with replacing(files[k]) as temporary, temporary.open("wb") as file:
            np.save(file, predictions)
    oof = np.full((len(session.data.y), len(session.data.target.columns)), np.nan)
    for k, path in files.items():
        oof[session.fold_of == k] = np.load(path)
    return oof
