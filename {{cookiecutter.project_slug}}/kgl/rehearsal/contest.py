"""A practice contest: its files, its hidden solution, and how a submission is checked and scored, as Kaggle does it."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

Cells = tuple[str, ...]


class Answer(NamedTuple):
    """The hidden truth of one test row, and the part of the leaderboard that it counts for."""

    label: str
    public: bool


class BadSubmission(Exception):
    """Kaggle took the file, but it cannot be scored: the submission ends as ERROR with this description."""


def accuracy(labels: Sequence[str], predictions: Sequence[Cells]) -> float:
    """Part of the rows whose predicted text is the label's ("0.0" is not "0", as at Kaggle)."""
    return sum(label == cells[0] for label, cells in zip(labels, predictions, strict=True)) / len(labels)


@dataclass
class PracticeContest:
    """What the practice Kaggle knows about its contest: plain state, which a test may change while it runs."""

    slug: str
    title: str
    files: dict[str, bytes | Path]  # by name (folders with "/"): content, or the file that holds it
    solution: Mapping[str, Answer]  # by id
    columns: Cells  # the header of a submission: the id, then the predictions
    metric: str = "Categorization Accuracy"  # as Kaggle words it
    scorer: Callable[[Sequence[str], Sequence[Cells]], float] = accuracy  # labels, predicted cells; ValueError: ERROR
    greater_is_better: bool = True
    daily_limit: int = 10
    deadline: datetime = datetime(2100, 1, 1)  # UTC without a zone, as Kaggle's; private scores are shown after it
    teams: dict[str, tuple[float, float]] = field(default_factory=dict)  # other teams' public and private scores
    pages: dict[str, str] = field(default_factory=dict)
    pending_polls: int = 1  # a submission is scored when it was listed so often ...
    pending_seconds: float = 0.0  # ... and is so old
    entered: bool = True  # the rules are accepted
    zip_from: int = 1_000_000  # bytes; text files from this size on are sent as "<name>.zip"
    changed: datetime = datetime(2026, 1, 1)  # UTC; when the files were last changed

    def score(self, content: bytes) -> tuple[float, float]:
        """Public and private score of a submission file.

        Raises:
            BadSubmission: the file cannot be scored.
        """
        rows = self._rows(content)
        try:
            return self._part(rows, public=True), self._part(rows, public=False)
        except ValueError as error:
            raise BadSubmission(f"Evaluation Exception: {error}") from None

    def _part(self, rows: Mapping[str, Cells], *, public: bool) -> float:
        ids = [key for key, answer in self.solution.items() if answer.public == public]
        return self.scorer([self.solution[key].label for key in ids], [rows[key] for key in ids])

    def _rows(self, content: bytes) -> dict[str, Cells]:
        """Predicted cells by id, after Kaggle's checks: columns, number of rows, cells, ids."""
        try:
            lines = [line for line in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if line]
        except (UnicodeDecodeError, csv.Error):
            raise BadSubmission("ERROR: The submission is not a readable CSV file") from None
        header, body = (lines[0], lines[1:]) if lines else ([], [])
        if sorted(header) != sorted(self.columns):
            raise BadSubmission(f"ERROR: The columns must be {', '.join(self.columns)}; found {', '.join(header)}")
        if len(body) != len(self.solution):
            raise BadSubmission(f"Evaluation Exception: Submission must have {len(self.solution)} rows")
        order = [header.index(column) for column in self.columns]
        rows: dict[str, Cells] = {}
        for number, line in enumerate(body, start=2):
            if len(line) != len(header) or not all(line):
                raise BadSubmission(f"ERROR: Line {number} has an empty or missing value, or one too many")
            key, *cells = (line[place] for place in order)
            if key in rows:
                raise BadSubmission(f"ERROR: Line {number}: the key '{key}' has already been defined")
            rows[key] = tuple(cells)
        if missing := self.solution.keys() - rows.keys():
            raise BadSubmission(f"ERROR: Unable to find {len(missing)} required keys in '{self.columns[0]}'")
        return rows
