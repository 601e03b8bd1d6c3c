"""kgl status: every submission with its CV beside its scores, the place, the medal lines, what is left today."""

from dataclasses import dataclass

from kgl.errors import KglError
from kgl.online.client import Contest, Kaggle
from kgl.online.journal import Event, append, latest
from kgl.online.submissions import list_submissions, updated
from kgl.online.submit import allowance
from kgl.paths import Workspace


@dataclass(frozen=True)
class Line:
    """A place on the leaderboard that matters: the top or the last one with a medal."""

    name: str
    place: int
    score: float


@dataclass(frozen=True)
class Status:
    """Where the team stands. `lines` are of the public leaderboard, as Kaggle shows it now."""

    contest: Contest
    submissions: list[Event]
    lines: list[Line]
    allowance: str


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
    contest = kaggle.contest()
    try:
        left = allowance(kaggle)
    except KglError as error:
        left = error.message
    return Status(contest, _refresh(workspace, kaggle), _lines(kaggle, contest), left)


def _refresh(workspace: Workspace, kaggle: Kaggle) -> list[Event]:
    """Kaggle's submissions, newest first, as events; those of this workspace with run and CV, and recorded anew."""
    known = latest(workspace)
    events = []
    for one in list_submissions(kaggle):
        before = known.get(one.ref) or Event(one.ref, "", "", one.description, one.time, "pending")
        event = updated(before, one)
        if one.ref in known and event != before:
            append(workspace, event)
        events.append(event)
    return events


def _lines(kaggle: Kaggle, contest: Contest) -> list[Line]:
    places = {"top": 1, **medal_places(contest.teams)}
    rows = kaggle.every("get_leaderboard", "submissions", most=max(places.values()))
    scores = {name: rows[place - 1].score for name, place in places.items() if 0 < place <= len(rows)}
    return [Line(name, places[name], float(score)) for name, score in scores.items() if score]


def final_two(submissions: list[Event], *, greater_is_better: bool) -> list[Event]:
    """Two submissions to select for the private score: the best by CV, and the best other one by public score."""
    sign = -1 if greater_is_better else 1
    scored = [one for one in submissions if one.status == "complete"]
    by_cv = sorted((o for o in scored if o.cv_score is not None), key=lambda o: sign * (o.cv_score or 0.0))[:1]
    others = [o for o in scored if o not in by_cv and o.public_score is not None]
    return by_cv + sorted(others, key=lambda o: sign * (o.public_score or 0.0))[: 2 - len(by_cv)]
