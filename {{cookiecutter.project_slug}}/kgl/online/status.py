"""kgl status: every submission with its CV beside its scores, the place, the medal lines, what is left today."""

from dataclasses import dataclass

from kgl.competition import load_competition
from kgl.errors import REFUSED, KglError
from kgl.journal import Event, append, latest
from kgl.metrics import get_metric
from kgl.online.client import Contest, Kaggle
from kgl.online.relation import Relation, relate
from kgl.online.submit import allowance_in_words, list_submissions, merged, score_of
from kgl.paths import Workspace, use_workspace
from kgl.runs import list_runs


@dataclass(frozen=True)
class Line:
    """A place on the public leaderboard that matters: the top, or the last with a medal; `distance` from your score."""

    name: str
    place: int
    score: float
    distance: float | None


@dataclass(frozen=True)
class Status:
    """Where the team stands, as Kaggle shows it now; submissions newest first; no lines of a hidden leaderboard."""

    contest: Contest
    submissions: list[Event]
    lines: list[Line] | None
    allowance: str
    relation: Relation | None = None


def medal_places(teams: int) -> dict[str, int]:
    """The last place with each medal in a contest of that many teams (https://www.kaggle.com/progression).

    | teams    | bronze  | silver | gold        |
    |----------|---------|--------|-------------|
    | 0-99     | 40 %    | 20 %   | 10 %        |
    | 100-249  | 40 %    | 20 %   | 10          |
    | 250-999  | 100     | 50     | 10 + 0.2 %  |
    | 1000+    | 10 %    | 5 %    | 10 + 0.2 %  |
    """
    if teams < 250:
        places = (teams // 10 if teams < 100 else 10, teams // 5, teams * 2 // 5)
    else:
        places = (10 + teams // 500, *((50, 100) if teams < 1000 else (teams // 20, teams // 10)))
    return dict(zip(("gold", "silver", "bronze"), places, strict=True))


def read_status(workspace: Workspace, kaggle: Kaggle) -> Status:
    """Ask Kaggle how things stand; what was pending and is scored now is recorded.

    Raises:
        KglError: refused by Kaggle (3), or no network (1).
    """
    contest, left, submissions = kaggle.contest(), allowance_in_words(kaggle), _refresh(workspace, kaggle)
    return Status(contest, submissions, _lines(kaggle, contest, submissions), left, _relation(workspace, submissions))


def _relation(workspace: Workspace, submissions: list[Event]) -> Relation | None:
    name = load_competition(workspace).metric
    if not name:
        return None
    use_workspace(workspace)  # for a metric of contest.py
    runs = {run.run: run for run in list_runs(workspace) if run.metric == name}
    return relate(submissions, runs, greater_is_better=get_metric(name).greater_is_better)


def _refresh(workspace: Workspace, kaggle: Kaggle) -> list[Event]:
    """Kaggle's submissions, newest first; those of this workspace with run and CV, recorded anew if they changed."""
    known, events = latest(workspace), []
    for one in list_submissions(kaggle):
        event = merged(known.get(one.ref, one), one)
        if one.ref in known and event != known[one.ref]:
            append(workspace, event)
        events.append(event)
    return events


def _lines(kaggle: Kaggle, contest: Contest, submissions: list[Event]) -> list[Line] | None:
    places = {"top": 1} | (medal_places(contest.teams) if contest.medals else {})
    try:
        rows = kaggle.every("get_leaderboard", "submissions", most=max(places.values()))
    except KglError as error:
        if error.status != REFUSED:
            raise
        return None
    scores = [score for row in rows if (score := score_of(row.score)) is not None]
    private = [one.private_score for one in submissions if one.private_score is not None]
    # once private scores are shown, the leaderboard is the private one
    ours = private or [one.public_score for one in submissions if one.public_score is not None]
    best = None if not (ours and scores) else max(ours) if scores[0] >= scores[-1] else min(ours)
    return [
        Line(name, place, scores[place - 1], None if best is None else abs(scores[place - 1] - best))
        for name, place in places.items()
        if 0 < place <= len(scores)
    ]
