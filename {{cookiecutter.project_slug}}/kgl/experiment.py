"""An experiment: one Python file, a frozen dataclass. Loaded, changed from the command line, and told apart."""

import dataclasses
import importlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, get_type_hints

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.arrays import Array
from kgl.config import check_value, from_text, literal, nearest, unknown_key
from kgl.errors import KglError, reason, usage
from kgl.paths import Workspace, use_workspace
from kgl.target import Target

if TYPE_CHECKING:
    from kgl.tables import Data


@dataclass(frozen=True)
class Part:
    """The rows that one model learns from.

    table, places: rows as `Experiment.prepare_rows` made them, without the target, and which of them these are.
    y: their target as `Target.encode` gives it.
    holdout: which of these rows the model's own choices, such as the number of rounds, are made on.
    """

    table: pd.DataFrame
    places: Array
    y: Array
    holdout: NDArray[np.bool_]

    @property
    def rows(self) -> pd.DataFrame:
        """The rows themselves, a fresh copy: nothing but what asks for them holds their memory."""
        return self.table.take(self.places).reset_index(drop=True)

    def only(self, inside: NDArray[np.bool_]) -> "Part":
        """Some of these rows."""
        return Part(self.table, self.places[inside], self.y[inside], self.holdout[inside])


@dataclass(frozen=True)
class Setting:
    """What surrounds a model.

    target, loss: what is predicted, and the metric to train on. metric: the contest's.
    seed, threads: the random state, and how many threads the model may use.
    raw_columns: the columns of the contest's rows; others are features. id_columns: those of them that name the row.
    quick: only a trial, with few rounds or epochs.
    scratch: a folder for what a long training keeps in order to go on after it was killed; made by who uses it, kept
        until the model is saved.
    name: of the model, for lines of progress.
    watch: the metric on the part that validates, of a function that predicts rows: to be looked at, not learnt from.
        The labels stay behind it, and what chooses by it must say so; see `Experiment.peeks`.
    """

    target: Target
    loss: str
    seed: int = 0
    threads: int = 1
    raw_columns: tuple[str, ...] = ()
    id_columns: tuple[str, ...] = ()
    quick: bool = False
    scratch: Path | None = None
    metric: str = ""
    name: str = ""
    watch: Callable[[Callable[[pd.DataFrame], Array]], float] | None = None


class Fitted(Protocol):
    """A trained model of any kind."""

    def predict(self, rows: pd.DataFrame) -> Array:
        """(n, columns) predictions in the order of `Target.columns`."""

    def save(self, folder: Path) -> None:
        """Write the model into an empty folder."""


@dataclass(frozen=True, kw_only=True)
class Experiment(ABC):
    """What every kind of experiment has.

    Args:
        seeds: each is trained on every fold; predictions are averaged over them.
        stack_on: runs whose out-of-fold predictions become features, joined by id.
    """

    seeds: tuple[int, ...] = (0,)
    stack_on: tuple[str, ...] = ()
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            checked = check_value(hints[field.name], getattr(self, field.name), f"{type(self).__name__}: {field.name}")
            object.__setattr__(self, field.name, checked)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise usage(f"{type(self).__name__}: seeds: expected one or several different ones, got {self.seeds}.")

    def check(self, target: Target, loss: str) -> None:  # noqa: B027 - most kinds have something to check, not all
        """Refuse settings that cannot work before anything is trained."""

    def place_in_baseline(self, data: "Data") -> float:
        """When a baseline trains it, small numbers first; infinite: it is not for these data."""
        return 0.0

    def faster(self, data: "Data", level: int) -> dict[str, str]:
        """Changes, as on the command line, that train in a fraction of the time (1), or of that (2); or none."""
        return {}

    @property
    def gains_from_seeds(self) -> bool:
        """Whether the mean over several seeds is another model than one."""
        return True

    @property
    def peeks(self) -> bool:
        """Whether a fold's own labels choose anything for the model that predicts it, so that its score is rosy."""
        return False

    def at_once(self) -> int | None:
        """How many models of this kind may be trained beside each other; None: what rows and cores suggest."""
        return None

    def as_trained(self, config: Mapping[str, Any], folder: Path) -> "Experiment":
        """This experiment with the settings of a run, those of its command line too; `folder` is the run's."""
        names = [f.name for f in dataclasses.fields(self) if f.name in config]
        return dataclasses.replace(self, **{n: config[n] for n in names if plain(getattr(self, n)) != config[n]})

    def save_shared(self, rows: pd.DataFrame, folder: Path) -> None:  # noqa: B027 - as above
        """Write what the models of all folds need, into the folder of the folds; `rows` are prepared."""

    @abstractmethod
    def prepare_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What can be computed row by row, once for all folds: rows of train or test in, rows in the same order out."""

    @abstractmethod
    def fit(self, part: Part, setting: Setting) -> Fitted:
        """Train one model on one part of the rows."""

    @abstractmethod
    def load(self, folder: Path) -> Fitted:
        """Read a model that `Fitted.save` wrote."""


def experiment_names(workspace: Workspace) -> list[str]:
    """Every file of experiments/ that can be trained."""
    return sorted(p.stem for p in workspace.experiments.glob("*.py") if p.stem != "__init__")


def load_experiment(workspace: Workspace, name: str) -> Experiment:
    """The `experiment` of experiments/<name>.py.

    Raises:
        KglError: no such file, no `experiment` in it, a misspelled key, or the file raises (status 2 or 1).
    """
    names = experiment_names(workspace)
    if name not in names:
        raise usage(f"no experiment '{name}' in experiments/.{nearest(name, names)} There are: {', '.join(names)}.")
    use_workspace(workspace)
    where = f"experiments/{name}.py"
    try:
        found = getattr(importlib.import_module(f"experiments.{name}"), "experiment", None)
    except KglError as error:
        raise KglError(f"{where}: {error.message}", error.status) from None
    except TypeError as error:
        raise _misspelled(where, error) or _broken(where, error) from error
    except (Exception, SystemExit) as error:  # of exit(), too
        raise _broken(where, error) from error
    if not isinstance(found, Experiment):
        got = "nothing of that name" if found is None else getattr(found, "__name__", f"a {type(found).__name__}")
        raise usage(f"{where}: expected experiment = Tabular(...) or another kind, got {got}.")
    return found


def _misspelled(where: str, error: TypeError) -> KglError | None:
    match = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    kind = next((cls for cls in Experiment.__subclasses__() if match and cls.__name__ == match[1]), None)
    return unknown_key(match[2], [f.name for f in dataclasses.fields(kind)], where) if match and kind else None


def _broken(where: str, error: BaseException) -> KglError:
    line = error.lineno if isinstance(error, SyntaxError) else None
    place = f"{where}, line {line}" if line else where
    return KglError(f"{place} raises {type(error).__name__}: {reason(error)}. Run with --debug to see where.")


def override(experiment: Experiment, changes: Mapping[str, str]) -> Experiment:
    """The experiment with changes typed on the command line, such as `{"params.learning_rate": "0.05"}`.

    Raises:
        KglError: an unknown key, with the nearest right one, or a value of the wrong type (status 2).
    """
    hints = get_type_hints(type(experiment))
    names = [f.name for f in dataclasses.fields(experiment)]
    values: dict[str, Any] = {}
    for key, text in changes.items():
        name, dot, inner = key.partition(".")
        if name not in names:
            raise unknown_key(key, names, type(experiment).__name__)
        current = values.get(name, getattr(experiment, name))
        if dot and isinstance(current, Mapping):
            values[name] = {**current, inner: literal(text)}
        elif dot or isinstance(current, Mapping):
            raise usage(f"{key}: write {name}.<key>=value." if not dot else f"{key}: {name} has no keys of its own.")
        else:
            values[name] = from_text(hints[name], text, key)
    return dataclasses.replace(experiment, **values)


def config_of(experiment: Experiment) -> dict[str, Any]:
    """The resolved settings as plain values, the same in every process: what run.json keeps and identity hashes."""
    values = {f.name: plain(getattr(experiment, f.name)) for f in dataclasses.fields(experiment)}
    return {"kind": experiment.kind, **values}


def plain(value: Any) -> Any:
    """`value` as JSON has it: functions by their name, estimators by class and parameters."""
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no NaN, but SimpleImputer(missing_values=nan) has
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    # torchvision's transforms have another get_params, and empty fields of torch's that come and go with its version
    params = plain(value.get_params(deep=False) if hasattr(value, "set_params") else getattr(value, "__dict__", {}))
    return {"class": plain(type(value)), **{key: params[key] for key in sorted(params) if params[key] or key[0] != "_"}}
