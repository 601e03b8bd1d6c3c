"""Groups of the folds: from a column, a function or the ids; rows without one stand alone."""

import pandas as pd

from tests.conftest import Tiny
from tests.test_folds import data_of, split


def test_a_group_may_be_a_function_of_features_py(tiny: Tiny) -> None:
    tiny.write("features.py", "def half(rows):\n    return rows['family'].str[-1]\n")
    tiny.replace("competition.toml", 'scheme = "stratified"', 'scheme = "group"')
    tiny.replace("competition.toml", 'group = ""', 'group = "features:half"')
    assert tiny.kgl("folds").status == 0
    fold = pd.read_parquet(tiny.workspace.folds).set_index("id")["fold"]
    last = tiny.frame("train.csv").set_index("id")["family"].str[-1]
    assert (fold.groupby(last).nunique() == 1).all()


def test_rows_without_a_group_are_nobodys_kin() -> None:
    families = [None] * 30 + [f"f{i // 3}" for i in range(30)]
    _, fold = split(data_of(["a", "b"] * 30, family=families), "group", 5, group="family")
    assert set(fold[:30]) == set(range(5))
    assert all(len(set(fold[i : i + 3])) == 1 for i in range(30, 60, 3))


def test_the_first_part_of_ids_may_be_the_group(tiny: Tiny) -> None:
    train = tiny.frame("train.csv").assign(id=[f"{i // 2:03d}_{i % 2}" for i in range(60)])
    tiny.save("train.csv", train)
    tiny.replace("competition.toml", 'scheme = "stratified"', 'scheme = "group"')
    tiny.replace("competition.toml", 'group = ""', 'group = "kgl.columns:id_prefix"')
    assert tiny.kgl("folds").status == 0
    fold = pd.read_parquet(tiny.workspace.folds).set_index("id")["fold"]
    assert (fold.groupby(fold.index.str[:3]).nunique() == 1).all() and fold.nunique() == 3
