"""competition.toml is read, checked and written back; every command refuses a wrong one in a sentence."""

from pathlib import Path

import pytest

from kgl import competition as module
from kgl.competition import Competition, data_root, load_competition, parse_competition, parse_facts, save_facts
from kgl.errors import KglError
from tests.conftest import FACTS, Tiny


def test_facts_are_read_from_toml() -> None:
    facts = parse_competition(FACTS.encode())
    assert (facts.task, facts.id, facts.target, facts.folds.n_splits) == ("binary", ("id",), ("label",), 3)
    assert facts.files.root == "data/raw" and facts.images.layout == ""


def test_an_empty_file_is_unknown_facts_and_a_bom_is_no_fault() -> None:
    assert parse_competition(b"") == Competition() == parse_competition(b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("n_splits = 3", "n_split = 3", "folds: unknown key 'n_split'. Did you mean 'n_splits'?"),
        ('task = "binary"', 'tsk = "binary"', "unknown key 'tsk'. Did you mean 'task'?"),
        ('task = "binary"', 'task = "binry"', "task: got 'binry', allowed: binary, multiclass"),
        ('task = "binary"', 'task = "binry"', "Did you mean 'binary'?"),
        ('metric = "accuracy"', 'metric = "acuracy"', "Did you mean 'accuracy'?"),
        ('scheme = "stratified"', 'scheme = "stratifed"', "Did you mean 'stratified'?"),
        ("n_splits = 3", "n_splits = 1", "folds.n_splits: expected 2 or more, got 1"),
        ("n_splits = 3", "n_splits = false", "n_splits: expected a whole number, got False"),
        ("n_splits = 3", "n_splits = 3.0", "n_splits: expected a whole number, got 3.0"),
        ("seed = 0", "seed = -1", "folds.seed: expected 0 or more, got -1"),
        ('id = ["id"]', 'id = "id"', "id: expected a list, each a text, such as ['id'], got 'id'"),
        ("[folds]", "[baseline]\nminutes = -5\n[folds]", "baseline.minutes: expected 0 or more, got -5"),
        ("[folds]", "[folds", "is not valid TOML"),
        ("[folds]", "[files]", "is not valid TOML"),
    ],
)
def test_a_wrong_fact_is_refused_in_one_sentence(tiny: Tiny, old: str, new: str, sentence: str) -> None:
    tiny.replace("competition.toml", old, new)
    result = tiny.kgl("board")
    assert result.status == 2, result.err
    assert "competition.toml" in result.err and sentence in result.err and len(result.err.splitlines()) == 1
    assert tiny.kgl("train", "constant").status == 2


def test_a_file_that_is_no_text_is_refused(tiny: Tiny) -> None:
    tiny.write("competition.toml", b"\xff\xfe\x00")
    assert tiny.kgl("board").status == 2


def test_unknown_facts_ask_for_kgl_init(tiny: Tiny) -> None:
    tiny.write("competition.toml", 'slug = "tiny"\n')
    for command in (("train", "constant"), ("baseline",), ("board",), ("folds",)):
        result = tiny.kgl(*command)
        assert result.status == 2 and "run kgl init" in result.err and len(result.err.splitlines()) == 1, result.err


def test_facts_of_the_command_line_are_checked_values() -> None:
    pairs = ("metric=auc", "folds.n_splits=10", "target=a,b", "baseline.minutes=5", "title=1 = 2")
    assert parse_facts(pairs) == {
        "metric": "auc",
        "folds.n_splits": 10,
        "target": ("a", "b"),
        "baseline.minutes": 5.0,
        "title": "1 = 2",
    }


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("metric", "is not key=value"),
        ("metrik=auc", "Did you mean 'metric'?"),
        ("folds.n_split=3", "folds.n_split: unknown key 'n_split'. Did you mean 'n_splits'?"),
        ("metric.x=3", "unknown key 'x'. Allowed: none."),
        ("folds=3", "'folds' is a table; set a key of it, such as folds.scheme=..."),
        ("folds.n_splits=three", "expected a whole number, got 'three'"),
        ("=3", "unknown key ''"),
    ],
)
def test_a_wrong_pair_is_refused(pair: str, sentence: str) -> None:
    with pytest.raises(KglError) as refused:
        parse_facts((pair,))
    assert sentence in refused.value.message and refused.value.status == 2


def test_saving_keeps_comments_and_order_and_other_facts(tiny: Tiny) -> None:
    text = "# mine\n" + FACTS.replace('metric = "accuracy"', 'metric = "accuracy" # the share of right ones')
    tiny.write("competition.toml", text)
    saved = save_facts(
        tiny.workspace, {"metric": "auc", "folds.n_splits": 10, "target": ("label",), "images.column": 'a "b" \\ é'}
    )
    assert saved == load_competition(tiny.workspace)
    assert (saved.metric, saved.folds.n_splits, saved.images.column, saved.slug) == ("auc", 10, 'a "b" \\ é', "tiny")
    now = (tiny.root / "competition.toml").read_text(encoding="utf-8")
    assert now.startswith("# mine\n") and 'metric = "auc" # the share of right ones\n' in now
    assert [line for line in now.splitlines() if line.startswith("[")] == ["[files]", "[folds]", "[images]"]


def test_facts_that_would_be_refused_are_not_saved(tiny: Tiny) -> None:
    before = (tiny.root / "competition.toml").read_bytes()
    with pytest.raises(KglError):
        save_facts(tiny.workspace, {"folds.n_splits": 1})
    assert (tiny.root / "competition.toml").read_bytes() == before


def test_files_may_lie_on_another_disk_or_where_kaggle_puts_them(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = load_competition(tiny.workspace)
    assert data_root(tiny.workspace, facts) == tiny.root / "data/raw"
    elsewhere = tmp_path / "disk"
    (tiny.root / "data/raw").rename(elsewhere)
    tiny.replace("competition.toml", "[files]", f"[files]\nroot = '{elsewhere}'")
    assert data_root(tiny.workspace, load_competition(tiny.workspace)) == elsewhere
    assert tiny.kgl("train", "constant").status == 0
    mounted = tmp_path / "input" / "tiny"
    mounted.mkdir(parents=True)
    monkeypatch.setattr(module, "KAGGLE_INPUTS", (tmp_path / "absent", tmp_path / "input"))
    assert data_root(tiny.workspace, facts) == mounted
