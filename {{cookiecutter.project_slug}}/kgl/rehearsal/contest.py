"""A practice contest: its files, its hidden solution, and how a submission is scored."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np

Cells = tuple[str, ...]
Files = dict[str, bytes]


class Answer(NamedTuple):
    """The hidden truth of one test row, and the part of the leaderboard that it counts for."""

    label: str
    public: bool


def accuracy(labels: Sequence[str], predictions: Sequence[Cells]) -> float:
    """Part of the rows whose predicted text is the label's ("0.0" is not "0", as at Kaggle)."""
    return sum(label == cells[0] for label, cells in zip(labels, predictions, strict=True)) / len(labels)


@dataclass
class PracticeContest:
    """What the practice Kaggle knows about its contest: plain state, which a test may change while it runs."""

    slug: str
    files: Files  # by name (folders with "/")
    solution: Mapping[str, Answer]  # by id
    columns: Cells  # the header of a submission: the id, then the predictions
    scorer: Callable[[Sequence[str], Sequence[Cells]], float] = accuracy  # labels, predicted cells
    greater_is_better: bool = True
    daily_limit: int = 10
    deadline: datetime = datetime(2100, 1, 1)  # UTC without a zone, as Kaggle's; private scores are shown after it
    teams: dict[str, tuple[float, float]] = field(default_factory=dict)  # other teams' public and private scores
    pending_polls: int = 1  # a submission is scored when it was listed so often
    entered: bool = True  # the rules are accepted

    @property
    def title(self) -> str:
        """Its name, which says that it is none of Kaggle's."""
        return f"{self.slug} (sample)"

    def score(self, content: bytes) -> tuple[float, float]:
        """Public and private score of a submission file."""
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        cells = {row[self.columns[0]]: tuple(row[column] for column in self.columns[1:]) for row in rows}
        return self._part(cells, public=True), self._part(cells, public=False)

    def _part(self, cells: Mapping[str, Cells], *, public: bool) -> float:
        ids = [key for key, answer in self.solution.items() if answer.public == public]
        return self.scorer([self.solution[key].label for key in ids], [cells[key] for key in ids])


def make_contest(
    slug: str, files: Files, labels: Mapping[str, str], columns: Cells, usual: float, rng: np.random.Generator
) -> PracticeContest:
    """A contest with its labels in a public and a private half, and 99 other teams around the usual score."""
    public = rng.permutation(len(labels)) < len(labels) // 2
    solution = {key: Answer(label, bool(flag)) for (key, label), flag in zip(labels.items(), public, strict=True)}
    scores = np.clip(rng.normal(usual, 0.02, (99, 1)) + rng.normal(0, 0.012, (99, 2)), 0, 1)
    teams = {f"Sample team {number}": (a, b) for number, (a, b) in enumerate(scores.tolist(), start=1)}
    return PracticeContest(slug, files, solution, columns, teams=teams)


def as_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """A table as a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().encode()
