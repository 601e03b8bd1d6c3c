"""Folds hold for all inputs: who validates, who trains, what stays together; joined by id, told apart by their hash."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgl.competition import Competition, FoldSettings, Scheme
from kgl.errors import KglError
from kgl.fold_file import current_hash, hash_folds
from kgl.folds import Folds, make_folds, read_folds, save_folds, summary, time_rank
from kgl.tables import EXTERNAL, ID, Data
from kgl.target import find_target
from tests.conftest import Tiny

Array = NDArray[Any]
SEEDS = st.integers(0, 5)
SPLITS = st.integers(2, 6)


def data_of(labels: Sequence[Any], task: Any = "multiclass", **columns: Any) -> Data:
    """Data of rows that are never read from files; `id` is their id column unless given."""
    full = pd.DataFrame({ID: [f"i{n}" for n in range(len(labels))], "y": labels, **columns})
    competition = Competition(task=task, metric="accuracy", id=("id",), target=("y",))
    target = find_target(full, competition)
    return Data(full.drop(columns="y"), full, full, target.encode(full), target, competition, ())


def split(data: Data, scheme: Scheme, n_splits: int, seed: int = 0, **settings: str) -> tuple[Folds, Array]:
    folds = make_folds(data, FoldSettings(scheme, n_splits, seed, **settings))
    return folds, folds.of(data)


@st.composite
def labels_of_rows(draw: st.DrawFn) -> list[str]:
    """Labels of 12 to 60 rows: two or more, the first common enough to be in every fold."""
    many = draw(st.integers(12, 40))
    rest = draw(st.lists(st.sampled_from("bcde"), min_size=1, max_size=20))
    return draw(st.permutations(["a"] * many + rest))


@given(labels=labels_of_rows(), n_splits=SPLITS, seed=SEEDS, external=st.integers(0, 3))
@pytest.mark.parametrize("scheme", ["kfold", "stratified"])
def test_every_row_is_validated_once_and_external_rows_never(
    scheme: Scheme, labels: list[str], n_splits: int, seed: int, external: int
) -> None:
    marks = np.arange(len(labels)) < external
    assume(len(labels) - external >= 2 * n_splits)
    folds, fold = split(data_of(labels, external=marks), scheme, n_splits, seed)
    assert (fold[marks] == -1).all()
    assert set(fold[~marks]) == set(range(n_splits)) == set(folds.numbers)
    sizes = np.bincount(fold[~marks])
    assert sizes.max() - sizes.min() <= 1
    for k in folds.numbers:
        assert (folds.training(fold, k) == (fold != k)).all()


@given(labels=labels_of_rows(), n_splits=SPLITS, seed=SEEDS)
def test_stratified_folds_hold_each_label_equally_often_to_within_one_row(
    labels: list[str], n_splits: int, seed: int
) -> None:
    data = data_of(labels)
    _, fold = split(data, "stratified", n_splits, seed)
    for code in np.unique(data.y):
        counts = np.bincount(fold[data.y == code], minlength=n_splits)
        assert counts.max() - counts.min() <= 1


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=60), n_splits=SPLITS)
def test_stratified_folds_of_a_number_each_reach_from_low_to_high(values: list[float], n_splits: int) -> None:
    assume(len(set(values)) > 10)
    data = data_of(values, "regression")
    _, fold = split(data, "stratified", n_splits)
    parts = min(10, len(values) // n_splits)
    part_of = pd.qcut(pd.Series(values).rank(method="first"), parts, labels=False).to_numpy()
    for part in range(parts):
        counts = np.bincount(fold[part_of == part], minlength=n_splits)
        assert counts.max() - counts.min() <= 1


@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=12, max_size=60),
    n_splits=SPLITS,
    seed=SEEDS,
)
@pytest.mark.parametrize("scheme", ["group", "stratified_group"])
def test_groups_are_never_split_and_every_fold_has_some(
    scheme: Scheme, rows: list[tuple[str, int]], n_splits: int, seed: int
) -> None:
    labels, groups = zip(*rows, strict=True)
    assume(len(set(groups)) >= n_splits and max(map(labels.count, set(labels))) >= n_splits and len(set(labels)) > 1)
    folds, fold = split(data_of(labels, family=groups), scheme, n_splits, seed, group="family")
    assert set(fold) == set(range(n_splits))
    assert (pd.Series(fold).groupby(list(groups)).nunique() == 1).all()
    for k in folds.numbers:
        assert not set(np.array(groups)[fold == k]) & set(np.array(groups)[folds.training(fold, k)])
        held = folds.holdout(fold, k)
        assert not (held & ~folds.training(fold, k)).any()
        assert held.any() == (n_splits > 2)
        assert not set(np.array(groups)[held]) & set(np.array(groups)[folds.training(fold, k) & ~held])


@given(ids=st.lists(st.integers(0, 15), min_size=20, max_size=50), seed=SEEDS)
@pytest.mark.parametrize("scheme", ["kfold", "stratified", "group"])
def test_rows_of_one_id_stay_in_one_fold_whatever_the_scheme(scheme: Scheme, ids: list[int], seed: int) -> None:
    assume(len(set(ids)) < len(ids))
    family = [i // 2 for i in range(len(ids))]
    data = data_of(["a", "b"] * (len(ids) // 2) + ["a"] * (len(ids) % 2), id=[str(i) for i in ids], family=family)
    try:
        _, fold = split(data, scheme, 3, seed, group="family" if scheme == "group" else "")
    except KglError as error:  # families joined by ids may be too few
        assert "groups are too few" in error.message
        return
    assert (pd.Series(fold).groupby(ids).nunique() == 1).all()
    if scheme == "group":
        assert (pd.Series(fold).groupby(family).nunique() == 1).all()


@given(times=st.lists(st.integers(0, 30), min_size=14, max_size=60), n_splits=SPLITS, external=st.integers(0, 4))
def test_time_folds_train_only_on_what_was_before(times: list[int], n_splits: int, external: int) -> None:
    marks = np.arange(len(times)) < external
    inside = np.array(times)[~marks]
    assume(len(set(inside)) > n_splits and len(inside) >= 2 * n_splits)
    data = data_of(["a", "b"] * (len(times) // 2) + ["a"] * (len(times) % 2), external=marks, day=times)
    settings = FoldSettings("time", n_splits, time="day")
    folds = make_folds(data, settings)
    fold, rank = folds.of(data), time_rank(data, settings)
    assert set(folds.numbers) == set(range(n_splits))
    assert (fold[marks] == -1).all()
    assert (fold[~marks] == -1).any()
    assert (pd.Series(fold[~marks]).groupby(inside).nunique() == 1).all()
    for k in folds.numbers:
        training = folds.training(fold, k)
        assert training[fold == -1].all()
        assert np.array(times)[training & ~marks].max() < np.array(times)[fold == k].min()
        held = folds.holdout(fold, k, rank)
        assert not (held & (~training | marks)).any()
        rest = training & ~held & ~marks
        if held.any() and rest.any():
            assert rank[rest].max() < rank[held].min()
        assert held.any() == (len(np.unique(rank[training])) > 1)


@given(order=st.permutations(range(30)), dropped=st.sets(st.integers(0, 29), max_size=10))
def test_folds_are_joined_by_id_in_any_order_and_with_rows_dropped(order: list[int], dropped: set[int]) -> None:
    data = data_of(["a", "b"] * 15)
    folds, fold = split(data, "stratified", 5)
    by_id = dict(zip(data.ids, fold, strict=True))
    kept = [i for i in order if i not in dropped]
    other = data_of(["a", "b"] * 15)
    train = other.train.iloc[kept].reset_index(drop=True)
    other = Data(
        train, train, other.full.iloc[kept].reset_index(drop=True), other.y[kept], data.target, data.competition, ()
    )
    assert [by_id[i] for i in other.ids] == list(folds.of(other))


@given(fold=st.lists(st.integers(-1, 4), min_size=2, max_size=20), data=st.data())
def test_the_hash_ignores_row_order_and_sees_scheme_id_and_every_fold(fold: list[int], data: st.DataObject) -> None:
    ids = [f"i{n}" for n in range(len(fold))]
    known = hash_folds("kfold", ids, fold)
    order = data.draw(st.permutations(range(len(fold))))
    assert hash_folds("kfold", [ids[i] for i in order], [fold[i] for i in order]) == known
    place = data.draw(st.integers(0, len(fold) - 1))
    assert hash_folds("kfold", ids, [*fold[:place], fold[place] + 1, *fold[place + 1 :]]) != known
    assert hash_folds("kfold", [*ids[:place], "other", *ids[place + 1 :]], fold) != known
    assert hash_folds("time", ids, fold) != known


def test_the_same_settings_give_the_same_folds_and_another_seed_others() -> None:
    data = data_of(["a", "b"] * 30)
    assert split(data, "stratified", 5)[0].hash() == split(data, "stratified", 5)[0].hash()
    assert split(data, "stratified", 5)[0].hash() != split(data, "stratified", 5, seed=1)[0].hash()


def test_without_a_scheme_labels_are_stratified_and_numbers_are_not() -> None:
    assert split(data_of(["a", "b"] * 10), "", 2)[0].scheme == "stratified"
    assert split(data_of([float(i) for i in range(20)], "regression"), "", 2)[0].scheme == "kfold"


def test_sets_of_labels_of_a_multilabel_task_are_spread() -> None:
    full = pd.DataFrame({ID: [f"i{n}" for n in range(33)], "a": [0, 1, 1] * 11, "b": [1, 1, 0] * 10 + [0, 0, 0]})
    competition = Competition(task="multilabel", metric="mean_auc", target=("a", "b"))
    target = find_target(full, competition)
    data = Data(full[[ID]], full[[ID]], full, target.encode(full), target, competition, ())
    _, fold = split(data, "stratified", 5)
    for _, rows in full.groupby(["a", "b"]):
        counts = np.bincount(fold[rows.index], minlength=5)
        assert len(rows) < 5 or counts.max() - counts.min() <= 1
    table = summary(split(data, "stratified", 5)[0], data)
    first = full.loc[fold == 0, ["a", "b"]].mean().round(4)
    assert list(table.loc[0, ["mean of a", "mean of b"]]) == list(first)


def test_rows_marked_external_get_ids_and_train_in_every_fold(tiny: Tiny) -> None:
    extra = "pd.DataFrame({'size': [1.0, 2.0], 'letter': 'a', 'label': [0, 1], 'external': True})"
    load = f"    return pd.concat([read_train(), {extra}]), read_test()\n"
    tiny.write(
        "contest.py", f"import pandas as pd\nfrom kgl.tables import read_test, read_train\n\n\ndef load():\n{load}"
    )
    result = tiny.kgl("train", "logistic")
    assert result.status == 0, result.err
    fold = pd.read_parquet(tiny.workspace.folds).set_index("id")["fold"]
    assert dict(fold[fold == -1]) == {"x0000001": -1, "x0000002": -1}
    assert len(pd.read_parquet(tiny.workspace.runs / "logistic-001/oof.parquet")) == 60


def test_the_fold_file_holds_id_and_fold_and_comes_back_as_it_was(tiny: Tiny) -> None:
    data = data_of(["a", "b"] * 15)
    settings = FoldSettings("", 5)
    folds, _ = split(data, "", 5)
    save_folds(tiny.workspace.folds, folds, settings)
    table = pd.read_parquet(tiny.workspace.folds)
    assert list(table.columns) == ["id", "fold"]
    assert pd.api.types.is_string_dtype(table["id"]) and pd.api.types.is_integer_dtype(table["fold"])
    back = read_folds(tiny.workspace.folds, settings)
    assert (
        (back.scheme, back.hash())
        == ("stratified", folds.hash())
        == (back.scheme, current_hash(tiny.workspace, settings))
    )


def test_a_fold_file_made_by_hand_is_taken(tiny: Tiny) -> None:
    ids = tiny.frame("train.csv")["id"]
    tiny.workspace.folds.parent.mkdir(exist_ok=True)
    pd.DataFrame({"id": ids, "fold": np.arange(60) % 4}).to_parquet(tiny.workspace.folds)
    assert tiny.kgl("train", "constant").status == 0
    assert pd.read_parquet(tiny.workspace.runs / "constant-001/oof.parquet")["fold"].nunique() == 4


def test_a_summary_tells_rows_and_shares_of_each_fold() -> None:
    table = summary(split(data := data_of(["a", "b"] * 15), "stratified", 5)[0], data)
    assert list(table["validated"]) == [6] * 5 and list(table["trains"]) == [24] * 5
    assert list(table["share of a"]) == [0.5] * 5


def fold_file(tiny: Tiny, ids: list[Any], fold: list[Any]) -> None:
    tiny.workspace.folds.parent.mkdir(exist_ok=True)
    pd.DataFrame({"id": ids, "fold": fold}).to_parquet(tiny.workspace.folds)


def test_a_fold_file_with_an_id_twice_is_refused(tiny: Tiny) -> None:
    fold_file(tiny, ["0000", "0000"], [0, 1])
    result = tiny.kgl("train", "constant")
    assert (result.status, "an id stands there twice" in result.err) == (1, True), result.err


def test_a_fold_file_without_folds_is_refused(tiny: Tiny) -> None:
    tiny.write("data/folds.parquet", b"not parquet")
    result = tiny.kgl("train", "constant")
    assert (result.status, "data/folds.parquet cannot be read" in result.err) == (1, True), result.err
    newer = pa.table({"id": ["0000"], "fold": [0]}).replace_schema_metadata({"kgl.folds": '{"new_key": 1}'})
    pq.write_table(newer, tiny.workspace.folds)
    assert "data/folds.parquet cannot be read" in tiny.kgl("train", "constant").err
    fold_file(tiny, ["0000"], [None])
    assert tiny.kgl("train", "constant").status == 1


def test_rows_that_have_no_fold_are_named(tiny: Tiny) -> None:
    fold_file(tiny, [f"{i:04d}" for i in range(59)], [i % 3 for i in range(59)])
    result = tiny.kgl("train", "constant")
    assert result.status == 1
    assert "1 training rows have no fold" in result.err and "'0059'" in result.err and "kgl folds --force" in result.err


def test_a_fold_whose_rows_are_all_dropped_is_told(tiny: Tiny) -> None:
    fold_file(tiny, [f"{i:04d}" for i in range(60)], [min(i, 2) for i in range(60)])
    tiny.replace("contest.py", "read_train()", "read_train()[1:]")
    result = tiny.kgl("train", "constant")
    assert (result.status, "fold 0 has no rows left" in result.err) == (1, True), result.err


def test_changed_settings_are_refused_until_the_folds_are_made_anew(tiny: Tiny) -> None:
    assert tiny.kgl("folds").status == 0
    tiny.replace("competition.toml", "n_splits = 3", "n_splits = 4")
    result = tiny.kgl("train", "constant")
    assert result.status == 1 and "n_splits=4 (the file: 3)" in result.err and "kgl folds --force" in result.err
    assert tiny.kgl("folds", "--force").status == 0
    assert tiny.kgl("train", "constant").status == 0


@pytest.mark.parametrize(
    ("facts", "status", "sentence"),
    [
        ({'scheme = "stratified"': 'scheme = "group"'}, 2, "scheme group needs group"),
        ({'scheme = "stratified"': 'scheme = "time"'}, 2, "scheme time needs time"),
        ({'scheme = "stratified"': 'scheme = "group"', 'group = ""': 'group = "famly"'}, 1, "Did you mean 'family'?"),
        ({'scheme = "stratified"': 'scheme = "time"', 'time = ""': 'time = "dy"'}, 1, "Did you mean 'day'?"),
        ({'scheme = "stratified"': 'scheme = "time"', 'time = ""': 'time = "letter"'}, 1, "'letter' is not a time"),
        ({'scheme = "stratified"': 'scheme = "time"', 'time = ""': 'time = "gaps"'}, 1, "'gaps' is missing in"),
        ({'scheme = "stratified"': 'scheme = "group"', 'group = ""': 'group = "letter"', "= 3": "= 4"}, 1, "too few"),
        (
            {'scheme = "stratified"': 'scheme = "group"', 'group = ""': 'group = "features:nix"'},
            1,
            "features.py, nix()",
        ),
        ({"n_splits = 3": "n_splits = 31"}, 1, "60 training rows are too few for 31 folds"),
    ],
)
def test_a_scheme_that_the_rows_do_not_allow_is_refused(
    tiny: Tiny, facts: dict[str, str], status: int, sentence: str
) -> None:
    for old, new in facts.items():
        tiny.replace("competition.toml", old, new)
    result = tiny.kgl("folds")
    assert result.status == status, result.err
    assert sentence in result.err and len(result.err.splitlines()) == 1
    assert not tiny.workspace.folds.exists()


def test_a_label_of_one_row_leaves_no_warning_on_the_terminal(tiny: Tiny) -> None:
    train = tiny.frame("train.csv").assign(label=["rare"] + ["often", "seldom"] * 29 + ["often"])
    tiny.save("train.csv", train)
    tiny.replace("competition.toml", '"binary"', '"multiclass"')
    tiny.save("sample.csv", tiny.frame("sample.csv").assign(label="often"))
    result = tiny.kgl("folds")
    assert (result.status, result.err) == (0, "")


def test_only_rare_labels_are_refused_with_what_to_do_instead(tiny: Tiny) -> None:
    tiny.save("train.csv", tiny.frame("train.csv").assign(label=[f"l{i // 2}" for i in range(60)]))
    tiny.replace("competition.toml", '"binary"', '"multiclass"')
    result = tiny.kgl("folds")
    assert result.status == 1 and "use scheme kfold" in result.err


def test_dates_order_time_folds(tiny: Tiny) -> None:
    days = pd.date_range("2019-12-20", periods=60).strftime("%d %b %Y")
    tiny.save("train.csv", tiny.frame("train.csv").assign(day=days))
    tiny.replace("competition.toml", 'scheme = "stratified"', 'scheme = "time"')
    tiny.replace("competition.toml", 'time = ""', 'time = "day"')
    result = tiny.kgl("folds")
    assert (result.status, result.err) == (0, "")
    assert list(pd.read_parquet(tiny.workspace.folds)["fold"]) == [k for k in (-1, 0, 1, 2) for _ in range(15)]


def test_external_marks_survive_missing_values() -> None:
    data = data_of(["a", "b"] * 2, external=pd.Series([True, None, False, np.nan], dtype=object))
    assert list(data.external) == [True, False, False, False]
    assert EXTERNAL == "external"
