"""What each column holds, told from training rows: numbers, levels or texts; and the parts of dates, codes, amounts."""

import re
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.columns import decimal_sign, read_amounts
from kgl.errors import KglError
from kgl.tabular.text import NestedText, join_texts, learn_texts, text_shape

Parts = Callable[[pd.Series], pd.DataFrame]
FEW_LEVELS = 50
SAMPLE = 2000  # different values that are looked at
DATE = re.compile(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b")
TOKEN = re.compile(r"(?P<A>[^\W\d_]+)|(?P<N>\d+)|[\W_]+")
MOST_PARTS = 5
PARTS = ("year", "month", "day", "day_of_week", "hour", "minute")


class Typed:
    """Rows with further columns made of their dates, codes, amounts and texts; which are numbers and which levels.

    Left out: columns without any value or with a single one, copies of another, running numbers, and texts that are
    nearly different in every row and neither codes nor sentences.
    """

    def fit_transform(self, rows: pd.DataFrame, y: Array | None = None) -> pd.DataFrame:
        """Learn from training rows; texts are learnt where `y`, (n, outputs), is given."""
        found = {column: _parts_of(rows[column]) for column in map(str, rows)}
        self.parts = {column: parts for column, parts in found.items() if parts}
        wide = self._wide(rows)
        self.numbers, self.levels, self.texts = sort_columns(wide)
        self.nested: NestedText | None = None
        if self.texts and y is not None:
            self.nested, said = learn_texts(join_texts(wide, self.texts), y)
            wide = self._with_texts(wide, said)
            self.numbers = [*self.numbers, *wide.columns[-self.added :]]
        if not (self.numbers or self.levels or self.texts):
            raise KglError(
                f"of columns {', '.join(map(str, rows)) or '(none)'} none can be learnt from; see columns, drop."
            )
        return wide

    def transform(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The same for other rows."""
        wide = self._wide(rows)
        if self.nested is None:
            return wide
        return self._with_texts(wide, self.nested.transform(join_texts(wide, self.texts)))

    def _wide(self, rows: pd.DataFrame) -> pd.DataFrame:
        made = [parts(rows[column]) for column, parts in self.parts.items()]
        return pd.concat([rows, *made], axis=1) if made else rows

    def _with_texts(self, wide: pd.DataFrame, said: Array) -> pd.DataFrame:
        made = [*(text_shape(wide[c]) for c in self.texts), pd.DataFrame(said, wide.index).add_prefix("text ")]
        self.added = sum(frame.shape[1] for frame in made)
        return pd.concat([wide, *made], axis=1)


def sort_columns(rows: pd.DataFrame) -> tuple[list[str], list[str], list[str]]:
    """The columns that are numbers or dates, those that are levels, and those that are texts."""
    numbers, levels, texts = [], [], []
    for column in map(str, rows):
        values = rows[column]
        if values.dtype.kind in "biufMm":
            if _varies(values) and not _is_running_number(values):
                numbers.append(column)
        elif _varies(values) and f"{column} as number" not in rows:
            different = values.nunique()
            if different > values.notna().sum() / 2 and _is_text(values):
                texts.append(column)
            elif different <= max(FEW_LEVELS, values.notna().sum() / 2):
                levels.append(column)
    return _without_copies(rows, numbers), levels, texts


def _varies(values: pd.Series) -> bool:
    """Whether there are several values, counting missing as one; one row alone is enough."""
    known = values.dropna()
    return len(known) > 0 and (len(known) < len(values) or len(values) == 1 or bool((known != known.iloc[0]).any()))


def _is_running_number(values: pd.Series) -> bool:
    """An id in disguise: whole numbers that rise by about one from row to row."""
    if values.dtype.kind not in "iuf" or len(values) < FEW_LEVELS or values.isna().any():
        return False
    steps = np.diff(values.to_numpy(dtype=float))
    return bool((steps > 0).all() and not (steps % 1).any() and steps.sum() < 2 * len(values))


def _is_text(values: pd.Series) -> bool:
    """Whether values are two words or more, most of them made of letters."""
    texts = _some(values)
    letters = texts.str.count(r"[^\W\d_]").sum()
    return bool(texts.str.count(r"\S+").median() >= 2 and letters > texts.str.len().sum() / 3)


def _some(values: pd.Series) -> pd.Series:
    """Some of the different values, as texts."""
    known = pd.Series(values.dropna().unique()).astype("str")
    return known if len(known) <= SAMPLE else known.sample(SAMPLE, random_state=0)


def _without_copies(rows: pd.DataFrame, columns: list[str]) -> list[str]:
    """The columns whose values no column before them has; a few rows tell nearly all apart."""
    ends = pd.concat([rows.head(FEW_LEVELS), rows.tail(FEW_LEVELS)])[columns].astype("str")
    kept: dict[tuple[str, ...], list[str]] = {}
    for column in columns:
        alike = kept.setdefault(tuple(ends[column]), [])
        if not any(rows[column].equals(rows[other].astype(rows[column].dtype)) for other in alike):
            alike.append(column)
    taken = {column for alike in kept.values() for column in alike}
    return [column for column in columns if column in taken]


def _parts_of(values: pd.Series) -> Parts | None:
    """What makes columns of the parts of this one, if it holds dates, numbers as text, or codes such as B/12/P."""
    if values.dtype.kind == "M":
        return date_parts
    if values.dtype.kind in "biufm" or values.nunique() <= FEW_LEVELS:
        return None
    texts, sign = _some(values), decimal_sign(values)
    return partial(amount_parts, sign=sign) if sign else _date_format(texts) or _code_pattern(texts)


def amount_parts(values: pd.Series, sign: str) -> pd.DataFrame:
    """Numbers that are written as text, see `kgl.columns.read_amounts`, and the words between them."""
    numbers = read_amounts(values, sign)
    return pd.DataFrame({"number": numbers, "word": values.where(numbers.isna())}).add_prefix(f"{values.name} as ")


def date_parts(values: pd.Series, pattern: str = "") -> pd.DataFrame:
    """A column a part of dates; texts are read as `pattern` says, and become days too. What is no date is missing."""
    dates = pd.to_datetime(values.astype("str"), format=pattern, errors="coerce", utc=True) if pattern else values
    made = {name: getattr(dates.dt, name) for name in PARTS} | ({"time": dates} if pattern else {})
    return pd.DataFrame(made).add_prefix(f"{values.name} ")


def _date_format(texts: pd.Series) -> Parts | None:
    """How dates are written: the way that reads most of them, and nearly all."""
    from pandas.tseries.api import guess_datetime_format

    if not texts.str.match(DATE).all():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guesses = {guess_datetime_format(text, dayfirst=first) for text in texts.head(100) for first in (False, True)}
    reads = {g: pd.to_datetime(texts, format=g, errors="coerce", utc=True).notna().mean() for g in guesses if g}
    best = max(sorted(reads), key=reads.__getitem__, default="")
    return partial(date_parts, pattern=best) if best and reads[best] > 0.98 else None


def code_parts(values: pd.Series, pattern: str, digits: tuple[bool, ...]) -> pd.DataFrame:
    """A column a part of codes such as B/12/P, digits as numbers; a value that is written otherwise has none."""
    places, levels = pd.factorize(values.astype("str"))  # each text is taken apart once
    found = pd.Series(levels).str.extract(pattern)
    made = {i: pd.to_numeric(found[i]) if is_number else found[i] for i, is_number in enumerate(digits)}
    return pd.DataFrame(made).reindex(places).set_axis(values.index).add_prefix(f"{values.name} ")


def _code_pattern(texts: pd.Series) -> Parts | None:
    """The pattern of nearly all of the texts: letters, digits and signs in the same order, without blanks."""
    shapes = [tuple((m.lastgroup or m.group()) for m in TOKEN.finditer(text)) for text in texts]
    shape = Counter(shapes).most_common(1)[0][0]
    kinds = [token for token in shape if token in ("A", "N")]
    if len(kinds) < 2 or len(kinds) > MOST_PARTS or "N" not in kinds or any(" " in token for token in shape):
        return None
    ways = {"A": r"([^\W\d_]+)", "N": r"(\d{1,15})"}
    pattern = "^" + "".join(ways.get(token) or re.escape(token) for token in shape)
    if texts.str.match(pattern).mean() < 0.9:
        return None
    return partial(code_parts, pattern=pattern, digits=tuple(kind == "N" for kind in kinds))
