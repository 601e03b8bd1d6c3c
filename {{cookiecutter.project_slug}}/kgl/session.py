"""What all experiments of one command share: facts, rows, folds and the metric, read once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.competition import Competition
from kgl.folds import Folds, find_groups, make_folds, read_folds, save_folds, time_rank
from kgl.metrics import Metric, get_metric
from kgl.paths import Workspace
from kgl.tables import ID, Data, load_data

Say = Callable[[str], None]


@dataclass(frozen=True)
class Session:
    """One workspace, opened. `say` takes one line of progress or notice at a time."""

    workspace: Workspace
    data: Data
    folds: Folds
    say: Say = field(default=print)

    @property
    def competition(self) -> Competition:
        """The facts."""
        return self.data.competition

    @cached_property
    def metric(self) -> Metric:
        """The competition's metric."""
        return get_metric(self.competition.metric)

    @cached_property
    def fold_of(self) -> Array:
        """The fold of each training row."""
        return self.folds.of(self.data)

    @cached_property
    def time_rank(self) -> Array | None:
        """The place in time of each training row, where the scheme is time."""
        known = self.folds.scheme == "time" and self.competition.folds.time
        return time_rank(self.data, self.competition.folds) if known else None

    @cached_property
    def groups(self) -> Array:
        """A number for each training row, the same where one fold has to hold them all; time holds none together."""
        scheme = self.folds.scheme
        found = None if scheme == "time" else find_groups(self.data, self.competition.folds, scheme)
        return np.arange(len(self.data.y)) if found is None else found

    @cached_property
    def data_hash(self) -> str:
        """See `Data.hash`."""
        return self.data.hash()


def open_session(workspace: Workspace, say: Say = print) -> Session:
    """Load data and folds; folds are made where there are none.

    Raises:
        KglError: see `load_data`, `make_folds` and `read_folds`.
    """
    data = load_data(workspace)
    settings = data.competition.folds
    if not workspace.folds.is_file():
        folds = make_folds(data, settings)
        save_folds(workspace.folds, folds, settings)
        say(f"folds: {len(folds.numbers)} folds, scheme {folds.scheme}, written to data/folds.parquet")
    folds = read_folds(workspace.folds, settings)
    ids = folds.fold_of.index
    if not ids.equals(pd.Index(data.ids)) and (absent := int((~ids.isin(data.ids)).sum())):
        say(f"{absent} of the {len(ids)} rows of data/folds.parquet are not in train: dropped, or is train cut?")
    external = data.train.loc[data.external].drop(columns=ID)
    if len(external) and (copies := len(external.merge(data.test.drop(columns=ID).drop_duplicates()))):
        say(f"{copies} external rows equal rows of test: labels that runs on these folds predicted make CV rosy")
    return Session(workspace, data, folds, say)
