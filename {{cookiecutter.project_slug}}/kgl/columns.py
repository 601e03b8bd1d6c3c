"""What the columns of the contest's tables are, as far as `kgl init` has to know: text, dates, groups, time order."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from pandas.api.types import is_float_dtype, is_numeric_dtype

from kgl.errors import some
from kgl.tables import ID, is_withheld

LOOK_AT = 2000  # rows
MOST = 0.95  # of them must fit
GROUPS, LARGE = 10, 50  # fewer levels are no groups, unless each has so many rows
TIMES = re.compile(r"date|time|year|month|week|day|hour|stamp|period|quarter|season|dt$", re.IGNORECASE)
CODES = re.compile(r"code|class|type|cat|zone|region|store|shop|zip|id$|_id|group", re.IGNORECASE)
PEOPLE = re.compile(r"(patient|subject|driver|person|participant|speaker)[ _]?(id|no|code)?", re.IGNORECASE)
AMOUNT = r"[-+]?(?:[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}|0|[1-9]\d*|(?=\.\d))(?:\.\d*)?(?:[eE][-+]?\d{1,2})?"
Note = tuple[str, Sequence[str], str]
Tables = Mapping[str, set[str]]  # the columns that each of several has


def find_notes(train: pd.DataFrame, test: pd.DataFrame, known: Sequence[str], further: Tables) -> Iterator[Note]:
    """What is worth knowing of the columns; `known` are ids and targets, `further` tables have such columns, too."""
    others = [str(c) for c in train if c not in known]
    shared = [c for c in others if c in test and not is_withheld(train[c], test[c])]
    yield "train only", [c for c in others if c not in shared], "left out: test does not have them"
    yield "test only", [str(c) for c in test if c not in (*train, *known)], "left out: train does not have them"
    dates, texts, amounts = ([c for c in shared if is_so(train[c])] for is_so in (is_date, is_prose, decimal_sign))
    yield "dates", dates, "texts that are dates"
    yield "text", texts, "words, nearly different in every row"
    yield "numbers", amounts, "written as text (1,200, 5 %, or a few words between them): read as numbers"
    rest = [c for c in shared if c not in (*dates, *texts, *amounts)]
    yield "like ids", [c for c in rest if _like_id(train[c])], "a value a row: they tell nothing, or too much"
    yield "codes", [c for c in rest if is_code(train[c])], "whole numbers that may be categories"
    empty = [c for c in shared if train[c].isna().all() or test[c].isna().all()]
    yield "empty", empty, "without any value in train or in test"
    keys = {name: some((c for c in train if c in columns), 3) for name, columns in further.items()}
    yield "further tables", [f"{name} ({keys[name] or '-'})" for name in keys], "join them in load() of contest.py"
    if not shared:
        alike = [name for name in keys if keys[name] and further[name] >= {*test} - {*known}]
        merge = [f"{name} has test's columns: merge it in load() of contest.py on {keys[name]}" for name in alike]
        yield "features", ["none"], (*merge, "train and test share no column: join further tables in contest.py")[0]
    elif equal := int(pd.util.hash_pandas_object(train[shared], index=False).duplicated().sum()):
        yield "duplicates", [f"{equal:,} rows"], "equal to another in all columns but id and target"


def is_date(values: pd.Series) -> bool:
    """Whether texts are dates, or the values are already."""
    if is_numeric_dtype(values):
        return False
    seen = values.dropna().astype(str)[:LOOK_AT]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that each value is read by itself
        likely = seen.where(seen.str.contains(r"\d[-/:. ]\d+[-/:. T]|[A-Za-z]{3}.*\d{4}"))
        read = pd.to_datetime(likely, errors="coerce")
    return len(seen) > 0 and bool(read.notna().mean() >= MOST)


def decimal_sign(values: pd.Series) -> str:
    """The decimal sign of texts that are nearly all numbers, such as 1,200 or 5 % or 2,5; empty where they are not.

    Categories, and texts that are plain numbers without exception, somebody made so; and 0012 is a code.
    """
    if is_numeric_dtype(values) or values.dtype == "category" or not len(known := values.dropna()):
        return ""
    seen = known.sample(min(len(known), LOOK_AT), random_state=0).astype("str")
    sign = max(".,", key=lambda sign: read_amounts(seen, sign).count())
    if read_amounts(seen, sign).count() < MOST * len(seen) or seen.str.match(r"\s*0\d").any():
        return ""
    return sign if known.nunique() > LARGE and pd.to_numeric(known.astype("str"), errors="coerce").hasnans else ""


def read_amounts(values: pd.Series, sign: str) -> pd.Series:
    """Texts as numbers, without signs of thousands, blanks, % and currency; what is none is missing."""
    texts = values.astype("str").str.replace(r"(?<!\d)\s|\s(?!\d)|\s(?=\d{3}\b)|[%$€£¥]", "", regex=True)
    texts = texts.str.translate(str.maketrans(".,", ",.")) if sign == "," else texts
    return pd.to_numeric(texts.where(texts.str.fullmatch(AMOUNT)).str.replace(",", "", regex=False))


def is_prose(values: pd.Series) -> bool:
    """Whether texts are sentences: several words, and nearly different in every row."""
    if is_numeric_dtype(values):
        return False
    seen = values.dropna().astype(str)[:LOOK_AT]
    words = seen.str.count(r"\s+\S").mean() + 1 if len(seen) else 0
    return bool(words >= 4 and seen.nunique() > 0.5 * len(seen))


def _like_id(values: pd.Series) -> bool:
    seen = values.dropna()
    different = not is_float_dtype(seen) and len(seen) > 20 and seen[:LOOK_AT].is_unique
    return different and seen.nunique() > MOST * len(seen)


def _is_whole(values: pd.Series) -> bool:
    return is_numeric_dtype(values) and bool((values[:LOOK_AT].dropna() % 1 == 0).all())


def is_code(values: pd.Series) -> bool:
    """Whether whole numbers may be names of categories: each many times, and called so or far apart."""
    if not _is_whole(values) or not 3 <= (different := values.nunique()) <= 100 or len(values) < 10 * different:
        return False
    counts = values.value_counts()
    steps = counts.index.to_series().sort_values().diff().dropna()
    return bool(CODES.search(str(values.name)) or (steps.nunique() > 1 and steps.min() >= 5 < counts.median()))


def find_time(train: pd.DataFrame, test: pd.DataFrame, target: Sequence[str]) -> str:
    """The column in which most of test comes after all of train; empty where there is none."""
    for column in map(str, train):
        if column in target or column not in test:
            continue
        before, after = train[column], test[column]
        if is_date(before) and is_date(after):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                before, after = (pd.to_datetime(part, errors="coerce") for part in (before, after))
        elif not (_goes_on(before, after) or (TIMES.search(column) and all(map(is_numeric_dtype, (before, after))))):
            continue
        if before.notna().all() and 2 * before.nunique() > GROUPS and (after > before.max()).mean() > 0.5:
            return column
    return ""


def naming_columns(rows: pd.DataFrame, ids: Sequence[str]) -> list[str]:
    """The id columns that do no more than name a row: no dates, and no parts of several ids that come again."""
    there = [name for name in ids if name in rows and not is_date(rows[name])]
    return [name for name in there if len(ids) == 1 or rows[name].is_unique]


def _goes_on(before: pd.Series, after: pd.Series) -> bool:
    """Whether whole numbers are a time whatever their name: each in many rows, and all of test beyond all of train."""
    if not (_is_whole(before) and _is_whole(after)) or CODES.search(name := str(before.name)) or PEOPLE.fullmatch(name):
        return False
    return bool(after.min() > before.max() and len(before) > GROUPS * before.nunique())


def id_prefix(rows: pd.DataFrame) -> pd.Series:
    """The first part of ids such as 0001_01, for `folds.group`."""
    return rows[ID].str.replace(r"[_-][^_-]*$", "", regex=True)


def find_group(train: pd.DataFrame, test: pd.DataFrame, target: Sequence[str]) -> str:
    """The column whose values repeat within train and within test but never in both, so that folds must do likewise.

    Of several the one with fewest values; empty where there is none. Of people test need not tell who they are.
    """
    found: dict[str, int] = {}
    for column in train:
        people = bool(PEOPLE.fullmatch(str(column)))
        if column in target or not (column in test or people):
            continue
        inside, outside = train[column].dropna(), test.get(column, train[column][:0]).dropna()
        if (is_float_dtype(inside) and not _is_whole(inside)) or is_date(inside) or _goes_on(inside, outside):
            continue
        parts = [inside] if people else [inside, outside]  # test may hold few people, or a row of each
        levels = [part.nunique() for part in parts]
        size = min(len(part) / max(n, 1) for part, n in zip(parts, levels, strict=True))
        many = min(levels) >= GROUPS or (2 * levels[0] >= GROUPS and size > LARGE)
        if many and size > 1.2 and len(inside) > MOST * len(train) and not inside.isin(outside).any():
            found[str(column)] = levels[0]
    return min(found, key=found.__getitem__, default="")
