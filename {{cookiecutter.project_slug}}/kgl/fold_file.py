"""data/folds.parquet: id and fold of every training row; the settings that made it stand in the file's metadata."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from kgl.competition import FoldSettings, Scheme
from kgl.errors import KglError, reason
from kgl.paths import Workspace, replacing

SETTINGS = b"kgl.folds"


def hash_folds(scheme: str, ids: Sequence[str], folds: Sequence[int]) -> str:
    """A hash of the scheme and of every row's fold, whatever their order in the file."""
    lines = sorted(f"{id_}\t{fold}" for id_, fold in zip(ids, folds, strict=True))
    return hashlib.sha256("\n".join([scheme, *lines]).encode()).hexdigest()[:16]


def write_assignment(path: Path, settings: FoldSettings, ids: Sequence[str], folds: Sequence[int]) -> None:
    """Write ids and folds, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": pa.array(ids, pa.string()), "fold": pa.array(folds, pa.int64())})
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata({SETTINGS: json.dumps(asdict(settings)).encode()}), temporary)


def read_assignment(path: Path, settings: FoldSettings) -> tuple[Scheme, list[str], list[int]]:
    """Scheme, ids and folds; a file made by hand has the scheme of competition.toml.

    Raises:
        KglError: absent, not a folds file, or made by other settings than competition.toml has now.
    """
    import pyarrow.parquet as pq

    if not path.is_file():
        raise KglError("data/folds.parquet is missing; run kgl folds.")
    try:
        with pq.ParquetFile(path) as file:  # pq.read_table imports pandas, which costs the board half a second
            table = file.read()
        ids = [str(value) for value in table.column("id").to_pylist()]
        fold = [int(value) for value in table.column("fold").to_pylist()]
        if len(set(ids)) < len(ids):
            raise ValueError("an id stands there twice")
        made_by = FoldSettings(**json.loads((table.schema.metadata or {}).get(SETTINGS, b"null")) or asdict(settings))
    except (KeyError, OSError, TypeError, ValueError) as error:
        advice = "restore it from git, or run kgl folds --force"
        raise KglError(f"data/folds.parquet cannot be read ({reason(error)}); {advice}.") from None
    wanted = {key: value for key, value in asdict(settings).items() if key != "scheme" or value}
    changed = [key for key, value in wanted.items() if value != getattr(made_by, key)]
    if changed:
        said = ", ".join(f"{k}={getattr(settings, k)!r} (the file: {getattr(made_by, k)!r})" for k in changed)
        raise KglError(
            f"competition.toml [folds] has {said}, but data/folds.parquet was made otherwise; set it back, "
            "or run kgl folds --force (runs on the old folds are then no longer compared)."
        )
    return made_by.scheme or "kfold", ids, fold


def current_hash(workspace: Workspace, settings: FoldSettings) -> str | None:
    """The hash of data/folds.parquet; None where there are no folds yet."""
    return hash_folds(*read_assignment(workspace.folds, settings)) if workspace.folds.is_file() else None
