"""kgl init and kgl folds: facts found in files, asked where they are not sure, and written with nothing lost."""

import json
import sys
import tomllib
from typing import Any

import pandas as pd
import pytest

from kgl.competition import Competition, load_competition
from kgl.errors import KglError
from kgl.facts import find_facts, find_files
from tests.conftest import Tiny

OPEN = """\
# a comment that stays
slug = "tiny" # so does this one
title = ""
kind = "tabular"
task = ""
metric = ""
id = []
target = []

[files]
root = "data/raw"
train = ""
test = ""
sample_submission = ""

[folds]
scheme = ""
n_splits = 3

[baseline]
experiments = []
"""


@pytest.fixture
def fresh(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The tiny workspace before `kgl init`, on a machine without credentials."""
    monkeypatch.setenv("HOME", str(tiny.root))
    monkeypatch.setenv("USERPROFILE", str(tiny.root))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    tiny.write("competition.toml", OPEN)
    return tiny


def facts(fresh: Tiny, *, kaggle: str = "", **given: Any) -> dict[str, Any]:
    found = find_facts(fresh.workspace, Competition(slug="tiny"), given, {"metric": kaggle})
    return {fact.key: fact.value for fact in found}


def files(fresh: Tiny) -> dict[str, str]:
    return {key: path for key, path, *_ in find_files(fresh.workspace, Competition())}


def with_target(fresh: Tiny, values: list[Any], sample: Any) -> dict[str, Any]:
    """Facts of the tiny contest with another target and another sample value."""
    train = fresh.frame("train.csv")
    fresh.save("train.csv", train.assign(label=[values[i % len(values)] for i in range(len(train))]))
    fresh.save("sample.csv", fresh.frame("sample.csv").assign(label=sample))
    return facts(fresh)


def test_init_fills_in_the_facts_and_keeps_comments(fresh: Tiny) -> None:
    done = fresh.kgl("init", "--yes")
    assert done.status == 0, done.err
    text = (fresh.root / "competition.toml").read_text()
    assert "# a comment that stays" in text and "# so does this one" in text
    written = tomllib.loads(text)
    assert (written["task"], written["metric"]) == ("binary", "accuracy")
    assert (written["id"], written["target"]) == (["id"], ["label"])
    assert written["files"] == {
        "root": "data/raw",
        "train": "train.csv",
        "test": "test.csv",
        "sample_submission": "sample.csv",
    }
    assert written["folds"] == {"scheme": "stratified", "n_splits": 3}
    assert "? metric" in done.out and "Next: uv run kgl baseline" in done.out


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe ends otherwise there")
def test_init_writes_the_facts_although_nobody_reads_to_the_end(fresh: Tiny) -> None:
    with fresh.start("init", "--yes") as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert said == "" and load_competition(fresh.workspace).metric == "accuracy"


def test_what_init_writes_trains(fresh: Tiny) -> None:
    assert fresh.kgl("init", "--yes").status == 0
    assert fresh.kgl("baseline").name == "blend-001"


def test_the_metric_of_a_known_contest_is_known_without_kaggle(fresh: Tiny) -> None:
    prices = fresh.frame("train.csv").assign(label=[10_000.5 + i for i in range(len(fresh.frame("train.csv")))])
    fresh.save("train.csv", prices)
    competition = Competition(slug="house-prices-advanced-regression-techniques")
    found = {fact.key: fact for fact in find_facts(fresh.workspace, competition, {})}
    assert (found["task"].value, found["metric"].value, found["metric"].sure) == ("regression", "rmse_log", True)
    found = {fact.key: fact for fact in find_facts(fresh.workspace, competition, {}, {"metric": "RMSE"})}
    assert found["metric"].value == "rmse"  # Kaggle knows better


def test_facts_that_are_said_win_and_known_ones_stay(fresh: Tiny) -> None:
    assert fresh.kgl("init", "metric=auc", "folds.n_splits=4").status == 0
    assert fresh.kgl("init", "--yes").status == 0
    competition = load_competition(fresh.workspace)
    assert (competition.metric, competition.folds.n_splits) == ("auc", 4)


def test_of_another_target_the_task_and_the_metric_are_found_anew(fresh: Tiny) -> None:
    train = fresh.frame("train.csv")
    fresh.save("train.csv", train.assign(amount=[i + 0.5 for i in range(len(train))]))
    assert fresh.kgl("init", "--yes").status == fresh.kgl("init", "target=amount", "--yes").status == 0
    competition = load_competition(fresh.workspace)
    assert (competition.task, competition.metric, competition.folds.scheme) == ("regression", "rmse", "kfold")
    assert fresh.kgl("init", "target=amount", "metric=mae", "--yes").status == fresh.kgl("init", "--yes").status == 0
    assert load_competition(fresh.workspace).metric == "mae"


def test_without_a_terminal_what_is_not_sure_must_be_said(fresh: Tiny) -> None:
    before = (fresh.root / "competition.toml").read_bytes()
    done = fresh.kgl("init")
    assert done.status == 2 and "metric" in done.err and "--yes" in done.err
    assert (fresh.root / "competition.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("metrik=auc", "Did you mean 'metric'?"),
        ("metric=acuracy", "accuracy"),
        ("folds.n_splits=five", "a whole number"),
        ("folds.nsplits=5", "Did you mean 'n_splits'?"),
        ("folds=5", "folds.scheme"),
        ("task=binar", "binary"),
        ("metric", "key=value"),
        ("files.train.csv=x", "unknown key"),
    ],
)
def test_a_wrong_fact_is_refused_and_nothing_is_written(fresh: Tiny, pair: str, said: str) -> None:
    before = (fresh.root / "competition.toml").read_bytes()
    done = fresh.kgl("init", pair, "--yes")
    assert done.status == 2 and said in done.err and len(done.err.strip().splitlines()) == 1
    assert (fresh.root / "competition.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("values", "sample", "task", "metric"),
    [
        ([0, 1], 0, "binary", "accuracy"),
        ([0, 1], 0.5, "binary", "logloss"),
        (["yes", "no"], "no", "binary", "accuracy"),
        ([True, False], False, "binary", "accuracy"),
        (["a", "b", "c"], "a", "multiclass", "accuracy"),
        ([1, 2, 3], 2, "multiclass", "accuracy"),
        ([i / 7 for i in range(60)], 0, "regression", "rmse"),
    ],
)
def test_task_and_metric_follow_the_targets_values(
    fresh: Tiny, values: list[Any], sample: Any, task: str, metric: str
) -> None:
    found = with_target(fresh, values, sample)
    assert (found["task"], found["metric"]) == (task, metric)
    assert found["folds.scheme"] == ("kfold" if task == "regression" else "stratified")


def test_several_targets_of_0_and_1_are_multilabel_and_numbers_are_a_regression(fresh: Tiny) -> None:
    train, sample = fresh.frame("train.csv"), fresh.frame("sample.csv")
    fresh.save("train.csv", train.assign(other=["1", "0"] * 30))
    fresh.save("sample.csv", sample.assign(other=0))
    assert (facts(fresh)["task"], facts(fresh)["target"]) == ("multilabel", ("label", "other"))
    fresh.save("train.csv", train.assign(other=[str(i / 7) for i in range(60)]))
    assert (facts(fresh)["task"], facts(fresh)["metric"]) == ("regression", "mean_rmse")


def test_a_column_a_class_points_to_the_column_that_holds_the_classes(fresh: Tiny) -> None:
    train, sample = fresh.frame("train.csv"), fresh.frame("sample.csv")
    fresh.save("train.csv", train.assign(kind=["A", "B", "C"] * 20, seen_in_train_only="x").drop(columns="label"))
    fresh.save("sample.csv", sample[["id"]].assign(kind_A=0.3, kind_B=0.3, kind_C=0.4))
    found = facts(fresh)
    assert (found["target"], found["task"], found["metric"]) == (("kind",), "multiclass", "logloss")


def test_labels_that_are_sets_are_not_sure(fresh: Tiny) -> None:
    train = fresh.frame("train.csv")
    few, names = ["a", "b", "a b", "c", "a c", "c a b"], ["early blight", "late blight", "leaf spot"]
    for labels, sure in ((few, False), (names, True)):
        fresh.save("train.csv", train.assign(label=[labels[i % len(labels)] for i in range(len(train))]))
        found = find_facts(fresh.workspace, Competition(slug="tiny", target=("label",)), {})
        task = next(fact for fact in found if fact.key == "task")
        assert (task.value, task.sure, "sets of 3 labels" in task.why) == ("multiclass", sure, not sure)


@pytest.mark.parametrize(
    ("metric", "task"), [("", "multilabel"), ("f2_samples", "multilabel"), ("accuracy", "multiclass")]
)
def test_sets_of_labels_are_classes_where_the_metric_counts_whole_labels(fresh: Tiny, metric: str, task: str) -> None:
    sets, train = ["a", "b", "a b", "c", "a c", "c a b"], fresh.frame("train.csv")
    fresh.save("train.csv", train.assign(label=[sets[i % 6] for i in range(len(train))]))
    fresh.save("sample.csv", fresh.frame("sample.csv").assign(label="a b"))
    found = find_facts(fresh.workspace, Competition(slug="tiny", target=("label",), metric=metric), {})
    assert next(fact.value for fact in found if fact.key == "task") == task


def test_files_are_found_by_name_wherever_they_lie(fresh: Tiny) -> None:
    raw = fresh.root / "data" / "raw"
    (raw / "sub").mkdir()
    (raw / "train.csv").rename(raw / "sub" / "train_data.csv")
    (raw / "sample.csv").rename(raw / "sampleSubmission.csv")
    assert files(fresh) == {
        "files.train": "sub/train_data.csv",
        "files.test": "test.csv",
        "files.sample_submission": "sampleSubmission.csv",
    }


def test_a_titanic_like_sample_is_no_test_file(fresh: Tiny) -> None:
    raw = fresh.root / "data" / "raw"
    (raw / "sample.csv").rename(raw / "gender_submission.csv")
    assert files(fresh)["files.sample_submission"] == "gender_submission.csv"


def test_files_of_other_names_are_told_by_their_columns(fresh: Tiny) -> None:
    raw = fresh.root / "data" / "raw"
    (raw / "train.csv").rename(raw / "known.csv")
    (raw / "test.csv").rename(raw / "asked.csv")
    assert (files(fresh)["files.train"], files(fresh)["files.test"]) == ("known.csv", "asked.csv")
    fresh.write("data/raw/weather.csv", "day,rain\n1,2\n")
    with pytest.raises(KglError, match=r"no file called train or test .*files\.train="):
        files(fresh)


def test_one_table_beside_the_sample_is_both_if_it_has_the_samples_columns(fresh: Tiny) -> None:
    raw = fresh.root / "data" / "raw"
    (raw / "test.csv").unlink()
    (raw / "train.csv").rename(raw / "data.csv")
    assert files(fresh)["files.train"] == files(fresh)["files.test"] == "data.csv"
    fresh.save("sample.csv", fresh.frame("sample.csv").rename(columns={"label": "cluster"}))
    with pytest.raises(KglError, match="no file called train or test"):
        files(fresh)


def test_without_files_init_says_what_to_do(fresh: Tiny) -> None:
    for path in (fresh.root / "data" / "raw").iterdir():
        path.unlink()
    done = fresh.kgl("init", "--yes")
    assert done.status == 1 and "kgl download" in done.err


def test_a_target_that_is_not_there_is_refused_with_the_nearest(fresh: Tiny) -> None:
    done = fresh.kgl("init", "target=lable", "--yes")
    assert done.status == 1 and "Did you mean 'label'?" in done.err


@pytest.mark.parametrize(
    ("wording", "metric"),
    [
        ("Weighted Multiclass Loss", "logloss"),
        ("Normalized Gini Index", "auc"),
        ("Average Precision", ""),
        ("PR AUC", ""),
        ("MAP@{K}", ""),
        ("Custom Metric", ""),
    ],
)
def test_a_wording_that_is_only_alike_is_not_sure(fresh: Tiny, wording: str, metric: str) -> None:
    found = {fact.key: fact for fact in find_facts(fresh.workspace, Competition(slug="tiny"), {}, {"metric": wording})}
    assert not found["metric"].sure and wording in found["metric"].why
    assert found["metric"].value == (metric or "accuracy")


def test_a_gini_of_amounts_is_no_auc(fresh: Tiny) -> None:
    fresh.save("train.csv", fresh.frame("train.csv").assign(label=[i % 30 for i in range(60)]))
    found = facts(fresh, kaggle="Normalized Gini Index")
    assert (found["task"], found["metric"]) == ("regression", "rmse")


def test_the_metric_decides_what_whole_numbers_are(fresh: Tiny) -> None:
    fresh.save("train.csv", fresh.frame("train.csv").assign(label=[i % 5 for i in range(60)]))
    for metric, task in (("qwk", "ordinal"), ("rmse", "regression"), ("accuracy", "multiclass")):
        assert facts(fresh, metric=metric)["task"] == task


def test_init_tells_of_columns_and_writes_only_facts(fresh: Tiny) -> None:
    train, test = fresh.frame("train.csv"), fresh.frame("test.csv")
    fresh.save("train.csv", train.assign(secret=1, name=[f"n{i}" for i in range(60)]))
    fresh.save("test.csv", test.assign(name=[f"m{i}" for i in range(20)]))
    done = fresh.kgl("init", "--yes")
    assert done.status == 0, done.err
    assert "train only" in done.out and "secret" in done.out and "like ids" in done.out
    assert "secret" not in (fresh.root / "competition.toml").read_text()


@pytest.mark.parametrize("missing", ["NA", "", "nan"])
def test_na_is_a_label_among_texts_and_missing_among_numbers(fresh: Tiny, missing: str) -> None:
    train = fresh.frame("train.csv")
    fresh.save("train.csv", train.assign(label=["yes", "no", missing] * 20))
    assert facts(fresh)["task"] == ("multiclass" if missing == "NA" else "binary")
    fresh.save("train.csv", train.assign(label=["1", "0", missing] * 20))
    assert facts(fresh)["task"] == "binary"


def test_commands_before_init_point_to_it(fresh: Tiny) -> None:
    for command in ("folds", "baseline", "board", "blend"):
        done = fresh.kgl(command)
        assert done.status == 2 and "kgl init" in done.err, command


def test_folds_are_made_once_and_again_only_when_forced(tiny: Tiny) -> None:
    first = tiny.kgl("folds")
    content = (tiny.root / "data" / "folds.parquet").read_bytes()
    assert first.status == 0 and "3 folds" in first.out
    assert tiny.kgl("folds").status == 0
    assert (tiny.root / "data" / "folds.parquet").read_bytes() == content
    tiny.replace("competition.toml", "seed = 0", "seed = 1")
    assert tiny.kgl("folds").status == 1
    assert tiny.kgl("folds", "--force").status == 0
    assert (tiny.root / "data" / "folds.parquet").read_bytes() != content


def test_folds_json_and_links_between_folds(tiny: Tiny) -> None:
    said = json.loads(tiny.kgl("folds", "--json").out)
    assert said["scheme"] == "stratified" and sum(row["validated"] for row in said["folds"]) == 60
    pairs = pd.Series([f"ticket {i // 2}" for i in range(200)])
    rows = (
        pd.concat([tiny.frame("train.csv")] * 4)
        .head(200)
        .assign(id=[f"n{i}" for i in range(200)], ticket=pairs.to_list())
    )
    tiny.save("train.csv", rows)
    tiny.save("test.csv", tiny.frame("test.csv").assign(ticket="none"))
    assert "share their ticket with rows of another fold" in tiny.kgl("folds", "--force").out


def test_one_of_several_training_files_is_a_guess(fresh: Tiny) -> None:
    fresh.save("train_2.csv", fresh.frame("train.csv"))
    found = {key: (path, why, sure) for key, path, why, sure in find_files(fresh.workspace, Competition())}
    path, why, sure = found["files.train"]
    assert (path, sure) == ("train.csv", False) and "train_2.csv" in why
