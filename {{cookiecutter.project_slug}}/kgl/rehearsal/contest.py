"""A practice contest: its files, its hidden solution, and how a submission is checked and scored, as Kaggle does it."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

Cells = tuple[str, ...]
Scorer = Callable[[Sequence[str], Sequence[Cells]], float]


class Answer(NamedTuple):
    """The hidden truth of one test row, and the part of the leaderboard that it counts for."""

    label: str
    public: bool


class BadSubmission(Exception):
    """Kaggle took the file, but it cannot be scored: the submission ends as ERROR with this description."""


def accuracy(labels: Sequence[str], predictions: Sequence[Cells]) -> float:
    """Part of the rows whose predicted text equals the label's text ("0.0" is not "0", as at Kaggle)."""
    return sum(label == cells[0] for label, cells in zip(labels, predictions, strict=True)) / len(labels)


@dataclass
class PracticeContest:
    """All that the practice Kaggle knows about its contest; plain state that a test may change while it runs.

    Args:
        files: name (with folders, `/` between them) -> content, or the path of a file that holds it.
        solution: id -> label and public/private flag.
        columns: the header of a submission: the id, then the predictions.
        metric: the metric's name as Kaggle words it.
        scorer: labels and predicted cells of the same rows -> score; a ValueError makes the submission an ERROR.
        deadline: naive UTC, as Kaggle's; private scores are shown after it.
        teams: other teams' (public, private) scores for the leaderboard.
        pages: Evaluation and the other pages, name -> text.
        pending_polls, pending_seconds: a submission is scored when it was asked for so often and is so old.
        entered: the rules are accepted.
        zip_from: bytes; text files from this size on are sent as `<name>.zip`.
        changed: naive UTC; when the files were last changed.
    """

    slug: str
    title: str
    files: dict[str, bytes | Path]
    solution: Mapping[str, Answer]
    columns: Cells
    metric: str = "Categorization Accuracy"
    scorer: Scorer = accuracy
    greater_is_better: bool = True
    daily_limit: int = 10
    deadline: datetime = datetime(2100, 1, 1)
    teams: dict[str, tuple[float, float]] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    category: str = "Getting Started"
    pending_polls: int = 1
    pending_seconds: float = 0.0
    entered: bool = True
    zip_from: int = 1_000_000
    changed: datetime = datetime(2026, 1, 1)

    def score(self, content: bytes) -> tuple[float, float]:
        """Public and private score of a submission file.

        Raises:
            BadSubmission: the file cannot be scored.
        """
        rows = self._read(content)
        return self._part(rows, public=True), self._part(rows, public=False)

    def _part(self, rows: Mapping[str, Cells], *, public: bool) -> float:
        ids = [key for key, answer in self.solution.items() if answer.public == public]
        try:
            return self.scorer([self.solution[key].label for key in ids], [rows[key] for key in ids])
        except ValueError as error:
            raise BadSubmission(f"Evaluation Exception: {error}") from None

    def _read(self, content: bytes) -> dict[str, Cells]:
        """The rows of a submission by id, after Kaggle's checks: columns, rows, ids, empty cells, in this order."""
        try:
            lines = [line for line in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if line]
        except (UnicodeDecodeError, csv.Error):
            raise BadSubmission("The submission file is not a readable CSV file") from None
        header, *body = lines or [[]]
        for column in self.columns:
            if column not in header:
                raise BadSubmission(f"ERROR: The required column '{column}' was not found in the submission")
        if len(header) != len(self.columns):
            raise BadSubmission(f"ERROR: Submission must have {len(self.columns)} columns, found {len(header)}")
        if len(body) != len(self.solution):
            raise BadSubmission(f"Evaluation Exception: Submission must have {len(self.solution)} rows")
        return self._by_id(header, body)

    def _by_id(self, header: list[str], body: list[list[str]]) -> dict[str, Cells]:
        order = [header.index(column) for column in self.columns]
        rows: dict[str, Cells] = {}
        for number, line in enumerate(body, start=2):
            if len(line) != len(header):
                raise BadSubmission(f"ERROR: Line {number} has {len(line)} fields, expected {len(header)}")
            key, *cells = (line[place] for place in order)
            if key in rows:
                raise BadSubmission(f"ERROR: The value '{key}' in the key column '{self.columns[0]}' "
                                    f"has already been defined (Line {number}, Column 1)")
            if not all(cells):
                raise BadSubmission(f"ERROR: Line {number} holds an empty value")
            rows[key] = tuple(cells)
        if missing := self.solution.keys() - rows.keys():
            raise BadSubmission(f"ERROR: Unable to find {len(missing)} required key values "
                                f"in the '{self.columns[0]}' column")
        return rows
