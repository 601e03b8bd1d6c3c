"""The facts of the competition: competition.toml, read, checked and written back."""

import importlib
import importlib.util
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from kgl.config import build, from_text, unknown_key
from kgl.errors import KglError, usage
from kgl.paths import Workspace, write_text

Scheme = Literal["", "kfold", "stratified", "group", "stratified_group", "time"]
KAGGLE_INPUTS = (Path("/kaggle/input/competitions"), Path("/kaggle/input"))


@dataclass(frozen=True)
class Files:
    """Where the contest's files lie; names are relative to `root`, and `root` to the workspace."""

    root: str = "data/raw"
    train: str = ""
    test: str = ""
    sample_submission: str = ""


@dataclass(frozen=True)
class FoldSettings:
    """How the training rows are split; `group` is a column or `features:function`, `time` a column."""

    scheme: Scheme = ""
    n_splits: int = 5
    seed: int = 0
    group: str = ""
    time: str = ""


@dataclass(frozen=True)
class Baseline:
    """What `kgl baseline` trains, in this order, and the minutes it may take (0: no limit)."""

    experiments: tuple[str, ...] = ()
    minutes: float = 0.0


@dataclass(frozen=True)
class Images:
    """Where the pictures lie and where their labels are."""

    train_dir: str = ""
    test_dir: str = ""
    layout: Literal["", "csv", "folder", "filename"] = ""
    column: str = ""
    pattern: str = ""


@dataclass(frozen=True)
class Competition:
    """The facts. A fact that is not known yet is empty."""

    slug: str = ""
    title: str = ""
    kind: Literal["", "tabular", "image"] = ""
    task: Literal["", "binary", "multiclass", "multilabel", "ordinal", "regression"] = ""
    metric: str = ""
    id: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    files: Files = field(default_factory=Files)
    folds: FoldSettings = field(default_factory=FoldSettings)
    baseline: Baseline = field(default_factory=Baseline)
    images: Images = field(default_factory=Images)

    def require(self, *keys: str) -> None:
        """Refuse to go on while one of these facts (`task`, `files.train`) is unknown.

        Raises:
            KglError: a fact is empty (status 2).
        """
        missing = [key for key in keys if not get_fact(self, key)]
        if missing:
            raise usage(f"competition.toml: {', '.join(missing)} not known yet; run kgl init, or write it there.")


def get_fact(competition: Competition, key: str) -> Any:
    """The value of a dotted key such as `folds.n_splits`."""
    value: Any = competition
    for part in key.split("."):
        value = getattr(value, part)
    return value


def with_facts(competition: Competition, facts: Mapping[str, Any]) -> Competition:
    """The competition with other values, by dotted key."""
    for key, value in facts.items():
        table, dot, name = key.rpartition(".")
        inner = replace(getattr(competition, table), **{name: value}) if dot else value
        competition = replace(competition, **{table or name: inner})
    return competition


def of_kind(kind: str, name: str) -> Any:
    """What a kind of experiment adds to a command of all kinds: `name` in kgl/<kind>/hooks.py, None if it adds nothing.

    Raises:
        KglError: this workspace has no such kind (status 2).
    """
    if not importlib.util.find_spec(f"kgl.{kind or 'tabular'}"):
        raise usage(f'competition.toml: kind "{kind}": this workspace has no kgl/{kind}; generate one that has.')
    found = kind and importlib.util.find_spec(f"kgl.{kind}.hooks")
    return getattr(importlib.import_module(f"kgl.{kind}.hooks"), name, None) if found else None


def load_competition(workspace: Workspace) -> Competition:
    """Read competition.toml.

    Raises:
        KglError: not TOML, an unknown key or a wrong value (status 2), with the nearest right one.
    """
    return parse_competition(workspace.competition_toml.read_bytes())


def parse_competition(content: bytes) -> Competition:
    """The facts in the content of a competition.toml, checked; raises as `load_competition` does."""
    try:
        values = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise usage(f"competition.toml is not valid TOML: {error}.") from None
    competition = build(Competition, values, "competition.toml")
    for key, least in (("folds.n_splits", 2), ("folds.seed", 0), ("baseline.minutes", 0)):
        if get_fact(competition, key) < least:
            raise usage(f"competition.toml: {key}: expected {least} or more, got {get_fact(competition, key)}.")
    if competition.metric and not competition.metric.startswith("contest:"):  # one's own is looked for when it is used
        from kgl.metrics import get_metric

        try:
            get_metric(competition.metric)  # whether it scores this task is looked at before training
        except KglError as error:
            raise usage(f"competition.toml: {error.message}") from None
    return competition


def files_root(workspace: Workspace, competition: Competition) -> Path:
    """The folder that `[files] root` names, into which files are downloaded."""
    return workspace.root / Path(competition.files.root).expanduser()


def data_root(workspace: Workspace, competition: Competition) -> Path:
    """The folder of the contest's files; on Kaggle itself the attached one, wherever it is mounted."""
    root = files_root(workspace, competition)
    if (root / competition.files.train).is_file() or not competition.slug:
        return root
    mounted = (base / competition.slug for base in KAGGLE_INPUTS)
    return next((folder for folder in mounted if folder.is_dir()), root)


def parse_facts(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`("metric=auc", "folds.n_splits=10")` as checked values by dotted key.

    Raises:
        KglError: not key=value, an unknown key or a wrong value (status 2).
    """
    return dict(_parse_fact(pair) for pair in pairs)


def _parse_fact(pair: str) -> tuple[str, Any]:
    key, equals, text = pair.partition("=")
    if not equals:
        raise usage(f"'{pair}' is not key=value, such as metric=auc or folds.n_splits=10.")
    cls: Any = Competition
    for part in key.split("."):
        names = [f.name for f in fields(cls)] if is_dataclass(cls) else []
        if part not in names:
            raise unknown_key(part, names, f"competition.toml: {key}")
        cls = get_type_hints(cls)[part]
    if is_dataclass(cls):
        raise usage(f"competition.toml: '{key}' is a table; set a key of it, such as {key}.{fields(cls)[0].name}=...")
    return key, from_text(cls, text, f"competition.toml: {key}")


def save_facts(workspace: Workspace, facts: Mapping[str, Any]) -> Competition:
    """Write facts (by dotted key) into competition.toml, keeping its comments and order, and read it back.

    Raises:
        KglError: the file that would result is refused; then nothing is written.
    """
    import tomlkit

    document = tomlkit.parse(workspace.competition_toml.read_text(encoding="utf-8-sig"))
    for key, value in facts.items():
        table: Any = document
        *parents, name = key.split(".")
        for parent in parents:
            table = table.setdefault(parent, tomlkit.table())
        table[name] = list(value) if isinstance(value, tuple) else value
    text = tomlkit.dumps(document)
    competition = parse_competition(text.encode())
    write_text(workspace.competition_toml, text)
    return competition
