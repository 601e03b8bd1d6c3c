"""What `kgl doctor` finds: one line each, with what mends it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """`what` is so; `level` says how bad it is; `mend` what to do about it (empty when nothing is wrong)."""

    level: Literal["ok", "warn", "block"]
    what: str
    mend: str = ""
