"""What the sections look at, read once when the first asks for it; a KglError says what is missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.board import Board, make_board
from kgl.checks import check_data, check_folds
from kgl.competition import Competition, load_competition, of_kind
from kgl.errors import KglError
from kgl.findings import Finding
from kgl.fold_file import current_hash
from kgl.folds import read_folds
from kgl.journal import Event, latest
from kgl.metrics import Metric, get_metric
from kgl.paths import Workspace, find_workspace, use_workspace
from kgl.runs import Run, read_predictions
from kgl.session import Session
from kgl.tables import ID, Data, load_data

SECONDS = 8.0  # for verdicts that are not in the cache


@dataclass(frozen=True)
class Predicted:
    """The rows that a run validated: their places in train, the truth, predictions (n, columns) and folds."""

    place: Array
    y: Array
    values: Array
    fold_of: Array


@dataclass(frozen=True)
class Material:
    """A workspace as the report sees it."""

    workspace: Workspace

    @cached_property
    def competition(self) -> Competition:
        """The facts."""
        use_workspace(self.workspace)
        return load_competition(self.workspace)

    @cached_property
    def metric(self) -> Metric:
        """The contest's metric."""
        self.competition.require("metric")
        return get_metric(self.competition.metric)

    @cached_property
    def data(self) -> Data:
        """Train and test."""
        return load_data(self.workspace)

    @cached_property
    def session(self) -> Session:
        """Data with the folds that there are; none are made."""
        return Session(self.workspace, self.data, read_folds(self.workspace.folds, self.competition.folds))

    @cached_property
    def board(self) -> Board:
        """The runs that compare, best first; at least one."""
        folds = current_hash(self.workspace, self.competition.folds)
        board = make_board(self.workspace, self.metric.name, folds, seconds=SECONDS)
        if not board.lines:
            raise KglError("no complete run yet; uv run kgl baseline makes the first.")
        return board

    @cached_property
    def ranked(self) -> list[Run]:
        """Complete runs, best first."""
        return [line.run for line in self.board.lines]

    @cached_property
    def submissions(self) -> list[Event]:
        """In the order in which they were sent."""
        return list(latest(self.workspace).values())

    @cached_property
    def best(self) -> Predicted:
        """What the best run predicted out of fold, joined with the truth by id."""
        oof = read_predictions(self.workspace, self.ranked[0].run, "oof")
        place = pd.Index(self.data.ids).get_indexer(oof.index)
        values = oof[list(self.data.target.columns)].to_numpy(dtype=float)
        known = (place >= 0) & np.isfinite(values).all(axis=1)
        return Predicted(place[known], self.data.y[place[known]], values[known], oof["fold"].to_numpy()[known])

    @cached_property
    def findings(self) -> list[Finding]:
        """What `kgl doctor` finds in data and folds."""
        return [*check_data(self.data), *check_folds(self.workspace, self.data)]

    def columns(self) -> Iterator[str]:
        """The columns that train and test share and a model may look at."""
        hidden = {ID, *self.competition.id, *(of_kind(self.competition.kind, "COLUMNS") or ())}
        yield from (str(column) for column in self.data.train if column not in hidden)


def here() -> Material:
    """The workspace of the current folder, for notebooks."""
    return Material(find_workspace())
