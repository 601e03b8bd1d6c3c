"""The submission has the form of the sample, is built by id, and every single fault of it is refused with its place."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgl.competition import Competition
from kgl.errors import KglError
from kgl.submission import Form, build_submission, check_run, find_fault, find_form
from kgl.table_file import read_table
from kgl.target import Target
from tests.conftest import Tiny

IDS = ("0001", "NA", "1.0", "8353e4690948", "é 1", "2024-01-05")


@dataclass(frozen=True)
class Case:
    """A kind of contest: what it predicts, what its sample submission shows, and the texts that a file may hold."""

    task: Any
    metric: str
    targets: tuple[str, ...]
    labels: tuple[str, ...]
    sample: dict[str, str]
    texts: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        return Target(self.task, self.targets, self.labels)

    @property
    def competition(self) -> Competition:
        return Competition(task=self.task, metric=self.metric, id=("id",), target=self.targets)

    def form(self, ids: tuple[str, ...] = IDS) -> Form:
        sample = pd.DataFrame({"id": ids}).assign(**self.sample)
        return find_form(self.competition, self.target, sample, pd.Series(IDS))


def labels(task: str, order: str, shown: str, texts: str) -> Case:
    return Case(task, "accuracy", ("y",), tuple(order.split()), {"y": shown}, tuple(texts.split()))


CASES = {
    "0 and 1": labels("binary", "0 1", "0", "0 1"),
    "True and False": labels("binary", "False True", "False", "False True"),
    "True for 1": labels("binary", "0 1", "True", "False True"),
    "TRUE for 1": labels("binary", "0 1", "TRUE", "FALSE TRUE"),
    "true for True": labels("binary", "False True", "false", "false true"),
    "1 for True": labels("binary", "False True", "1", "0 1"),
    "1.0 for 1": labels("binary", "0 1", "0.0", "0.0 1.0"),
    "text": labels("multiclass", "cat dog emu", "dog", "cat dog emu"),
    "text in capitals": labels("multiclass", "cat dog emu", "DOG", "CAT DOG EMU"),
    "nothing shown": labels("multiclass", "cat dog emu", "", "cat dog emu"),
    "labels 1 to 10": labels("multiclass", " ".join(map(str, range(1, 11))), "0", " ".join(map(str, range(1, 11)))),
    "one probability": Case("binary", "auc", ("y",), ("0", "1"), {"y": "0.5"}),
    "one probability of a name of its own": Case("binary", "auc", ("y",), ("no", "yes"), {"Predicted": "0.5"}),
    "a probability a class": Case(
        "multiclass", "logloss", ("y",), ("C", "CL", "D"), dict.fromkeys(("CL", "D", "C"), "0.3")
    ),
    "a class behind a prefix": Case(
        "multiclass", "logloss", ("y",), ("C", "CL", "D"), {"Status_D": "0", "Status_C": "1", "Status_CL": "0"}
    ),
    "a class in other case": Case("multiclass", "logloss", ("y",), ("one", "two"), {"Is_Two": "0", "Is_One": "1"}),
    "negative classes": Case("multiclass", "logloss", ("y",), ("-1", "1"), {"p_1": "0", "p_-1": "1"}),
    "both classes": Case("binary", "logloss", ("y",), ("no", "yes"), {"yes": "0.5", "no": "0.5"}),
    "several labels": Case("multilabel", "mean_auc", ("toxic", "rude"), (), {"rude": "0.5", "toxic": "0.5"}),
    "several labels as 0 and 1": Case(
        "multilabel", "mean_f1", ("toxic", "rude"), (), {"rude": "0", "toxic": "0"}, ("0", "1")
    ),
    "one value": Case("regression", "rmse", ("price",), (), {"SalePrice": "0"}),
    "several values": Case("regression", "mean_rmse", ("x", "y"), (), {"pred_y": "0", "pred_x": "0"}),
    "ordinal": Case("ordinal", "qwk", ("y",), ("3", "4", "10"), {"y": "3"}, ("3", "4", "10")),
    "ordinal as 3.0": Case("ordinal", "qwk", ("y",), ("3", "4", "10"), {"y": "3.0"}, ("3.0", "4.0", "10.0")),
}
CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
SOURCES = {  # the prediction column that fills each column, where there are several
    "a probability a class": ("p_CL", "p_D", "p_C"),
    "a class behind a prefix": ("p_D", "p_C", "p_CL"),
    "a class in other case": ("p_two", "p_one"),
    "negative classes": ("p_1", "p_-1"),
    "both classes": ("p_yes", "p_no"),
    "several labels": ("p_rude", "p_toxic"),
    "several labels as 0 and 1": ("p_rude", "p_toxic"),
    "several values": ("y", "x"),
    "one probability": ("p_1",),
    "one probability of a name of its own": ("p_yes",),
    "one value": ("price",),
}


def predictions_of(case: Case, seed: int) -> pd.DataFrame:
    """Made-up predictions, rows in an order of their own, of more rows than are asked for."""
    rng = np.random.default_rng(seed)
    values = rng.random((len(IDS) + 1, len(case.target.columns)))
    if case.target.one_label:
        values /= values.sum(axis=1, keepdims=True)
    elif not case.target.columns[0].startswith("p_"):
        values = values * 12 - 1
    frame = pd.DataFrame(values, index=[*IDS, "other"], columns=list(case.target.columns))
    return frame.sample(frac=1, random_state=seed)


def written(case: Case, seed: int, folder: Path) -> pd.DataFrame:
    """The file that the engine makes, as it is read back."""
    path = folder / "submission.csv"
    build_submission(case.form(), case.target, predictions_of(case, seed)).to_csv(path, index=False)
    return read_table(path, text="all")


@CASE
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_what_the_engine_writes_passes_its_own_check_and_is_joined_by_id(
    tmp_path_factory: pytest.TempPathFactory, case: Case, seed: int
) -> None:
    table, predictions = written(case, seed, tmp_path_factory.getbasetemp()), predictions_of(case, seed)
    assert find_fault(table, case.form(), "the sample") is None
    assert tuple(table["id"]) == IDS
    assert list(table.columns) == ["id", *case.sample]
    sources = SOURCES.get(next(name for name, known in CASES.items() if known is case), ())
    for row in table.to_dict("records"):
        of_row = predictions.loc[row["id"]]
        if case.texts and case.target.one_label:
            assert row["y"] == case.texts[int(of_row.to_numpy().argmax())]
        elif case.task == "ordinal":
            assert row["y"] == min(case.texts, key=lambda text: abs(float(text) - of_row["y"]))
        else:
            values = [of_row[source] for source in sources]
            assert [float(row[c]) for c in case.sample] == ([float(v > 0.5) for v in values] if case.texts else values)


Mutation = Callable[[pd.DataFrame, int, str, Case], tuple[pd.DataFrame, str]]
SHAPES: dict[str, Mutation] = {
    "column renamed": lambda t, i, c, case: (t.rename(columns={c: c + "x"}), "columns are"),
    "column dropped": lambda t, i, c, case: (t.drop(columns=c), "columns are"),
    "column added": lambda t, i, c, case: (t.assign(more="1"), "more"),
    "columns swapped": lambda t, i, c, case: (t[[*t.columns[1:], "id"]], "columns are"),
    "row dropped": lambda t, i, c, case: (t.drop(index=i), f"missing (such as {IDS[i]!r})"),
    "row added": lambda t, i, c, case: (pd.concat([t, t[:1].assign(id="new")]), "not in the sample (such as 'new')"),
    "row twice": lambda t, i, c, case: (pd.concat([t, t[i : i + 1]]), f"id {IDS[i]!r} stands there twice"),
    "row in place of another": lambda t, i, c, case: (with_cell(t, i, "id", IDS[i - 1]), "stands there twice"),
    "id renamed": lambda t, i, c, case: (with_cell(t, i, "id", IDS[i] + "0"), repr(IDS[i])),
    "rows turned round": lambda t, i, c, case: (t[::-1], "rows are in another order than in the sample: row 1 is"),
}
CELLS = ("", " ", "inf", "-inf", "nan", "NaN", "nix", "1,5", "1.2", "-0.1", "2", "1e400", "True", "1.00", "Dog")


def with_cell(table: pd.DataFrame, row: int, column: str, text: str) -> pd.DataFrame:
    changed = table.copy()
    changed.loc[row, column] = text
    return changed


def is_right(case: Case, text: str) -> bool:
    """Whether a cell may hold the text."""
    if case.texts:
        return text in case.texts
    try:
        number = float(text.replace("nan", "x").replace("NaN", "x") or "x")
    except ValueError:
        return False
    return 0 <= number <= 1 if case.target.columns[0].startswith("p_") else bool(np.isfinite(number))


@CASE
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_another_shape_is_refused_with_its_place(case: Case, shape: Mutation, tmp_path: Path) -> None:
    table = written(case, 0, tmp_path)
    for row in (0, 3):
        mutated, words = shape(table, row, next(iter(case.sample)), case)
        fault = find_fault(mutated.reset_index(drop=True), case.form(), "the sample")
        assert fault is not None and words in fault, fault


@CASE
def test_a_wrong_cell_is_refused_with_column_and_row(case: Case, tmp_path: Path) -> None:
    table = written(case, 0, tmp_path)
    for place, (column, text) in enumerate(product(case.sample, CELLS)):
        row = place % len(IDS)
        fault = find_fault(with_cell(table, row, column, text), case.form(), "the sample")
        assert (fault is None) == is_right(case, text), (text, fault)
        assert fault is None or f"column '{column}' in row {row + 1}: {text!r} is" in fault


@pytest.mark.parametrize(
    ("case", "column"),
    [
        (Case("multiclass", "logloss", ("y",), ("a", "b", "c"), {"a": "0", "b": "0", "x": "0"}), "x"),
        (Case("multiclass", "logloss", ("y",), ("a", "A"), {"p_a": "0", "p_A": "0"}), "p_a"),
        (Case("regression", "mean_rmse", ("x", "y"), (), {"x": "0", "z": "0"}), "z"),
        (Case("binary", "auc", ("y",), ("0", "1"), {"low": "0", "high": "0"}), "low"),
    ],
)
def test_columns_that_are_no_prediction_are_refused(case: Case, column: str) -> None:
    with pytest.raises(KglError, match=f"the sample submission's column '{column}' is not one of"):
        case.form()


def test_a_row_without_a_prediction_is_refused_and_never_becomes_the_first_label() -> None:
    case = CASES["0 and 1"]
    for predictions in (
        predictions_of(case, 0).drop(index="NA"),
        predictions_of(case, 0).replace({"p_1": {0.0: np.nan}}),
    ):
        predictions.loc["0001", "p_0"] = np.inf
        with pytest.raises(KglError, match="rows of test have no finite prediction"):
            build_submission(case.form(), case.target, predictions)


def test_numbers_are_kept_where_the_metric_can_score_them() -> None:
    case = CASES["one probability"]
    above = predictions_of(case, 0).assign(p_1=1 + 2e-16, p_0=-1e-17)  # weights of a blend need not sum to 1 exactly
    assert set(build_submission(case.form(), case.target, above)["y"]) == {1.0}
    ids = pd.Series(["a", "b"])
    counts = Competition(task="regression", metric="rmsle", id=("id",), target=("n",))
    form, target = find_form(counts, Target("regression", ("n",), ()), None, ids), Target("regression", ("n",), ())
    assert build_submission(form, target, pd.DataFrame({"n": [-0.4, 2.5]}, index=["a", "b"]))["n"].tolist() == [0, 2.5]
    written = pd.DataFrame({"id": ids, "n": ["-0.4", "2.5"]})
    assert find_fault(written, form, "test") == "column 'n' in row 1: '-0.4' is below 0"


def submission_of(tiny: Tiny, *, notice: str = "") -> pd.DataFrame:
    result = tiny.kgl("train", "logistic", "--again")
    assert result.status == 0 and notice in result.err, result.err
    return read_table(tiny.workspace.runs / result.name / "submission.csv", text="all")


def last_run(tiny: Tiny) -> str:
    return max(path.name for path in tiny.workspace.runs.glob("logistic-*"))


def test_a_trained_run_leaves_a_file_that_is_checked_by_submit(tiny: Tiny) -> None:
    table = submission_of(tiny)
    assert list(table["id"]) == [f"t{i}" for i in range(20)] and set(table["label"]) == {"0", "1"}
    shown = tiny.kgl("submit", "logistic-001", "--dry-run")
    assert shown.status == 0 and "  id,label\n  t0," in shown.out and "20 rows; nothing was sent" in shown.out
    tiny.write("runs/logistic-001/submission.csv", table.assign(label="2").to_csv(index=False))
    result = tiny.kgl("submit", "logistic-001", "--dry-run")
    assert result.status == 1
    assert "logistic-001/submission.csv: column 'label' in row 1 and 19 others: '2' is not one of 0, 1" in result.err
    tiny.write("runs/logistic-001/submission.csv", "")
    assert tiny.kgl("submit", "logistic-001", "--dry-run").status == 1


def test_rows_stand_as_in_the_sample_not_as_in_test(tiny: Tiny) -> None:
    by_test = submission_of(tiny).set_index("id")["label"]
    tiny.save("sample.csv", tiny.frame("sample.csv")[::-1])
    table = submission_of(tiny)
    assert list(table["id"]) == [f"t{i}" for i in range(19, -1, -1)]
    assert dict(table.set_index("id")["label"]) == dict(by_test)


@pytest.mark.parametrize("change", [lambda sample: sample[:-2], lambda sample: sample.assign(id=sample["id"] + "x")])
def test_a_stale_sample_is_noticed_refused_and_can_be_overridden(
    tiny: Tiny, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    tiny.save("sample.csv", change(tiny.frame("sample.csv")))
    table = submission_of(tiny, notice="the sample submission and test differ in")
    assert list(table["id"]) == [f"t{i}" for i in range(20)]
    with pytest.raises(KglError, match="the sample submission") as refused:
        check_run(tiny.workspace, "logistic-001")
    assert refused.value.status == 1
    assert check_run(tiny.workspace, "logistic-001", stale_sample=True).name == "submission.csv"


def test_without_a_sample_the_file_has_ids_and_targets_of_test(tiny: Tiny) -> None:
    tiny.replace("competition.toml", 'sample_submission = "sample.csv"', "")
    table = submission_of(tiny)
    assert list(table.columns) == ["id", "label"] and list(table["id"]) == [f"t{i}" for i in range(20)]
    check_run(tiny.workspace, "logistic-001")


def test_ids_in_test_alone_are_submitted(tiny: Tiny) -> None:
    tiny.save("train.csv", tiny.frame("train.csv").drop(columns="id"))
    tiny.replace("competition.toml", 'sample_submission = "sample.csv"', "")
    assert list(submission_of(tiny)["id"]) == [f"t{i}" for i in range(20)]
    check_run(tiny.workspace, "logistic-001")


def test_several_id_columns_stand_as_they_were(tiny: Tiny) -> None:
    for name in ("train.csv", "test.csv"):
        rows = tiny.frame(name).drop(columns="id")
        tiny.save(name, rows.assign(day=[f"{i:03d}" for i in range(len(rows))]))
    tiny.replace("competition.toml", 'id = ["id"]', 'id = ["family", "day"]')
    tiny.save("sample.csv", tiny.frame("test.csv")[["family", "day"]].assign(label="0"))
    for known in ('sample_submission = "sample.csv"', ""):
        tiny.replace("competition.toml", 'sample_submission = "sample.csv"', known)
        table = submission_of(tiny)
        assert list(table.columns) == ["family", "day", "label"]
        assert list(table["day"])[:2] == ["000", "001"] and table["family"][3] == "f1"
        check_run(tiny.workspace, last_run(tiny))


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        (["label"], "20 rows, but the sample submission has 19"),
        (["row", "label"], "1 ids are not in the sample submission"),
    ],
)
def test_rows_without_ids_are_told_by_their_place(tiny: Tiny, columns: list[str], fault: str) -> None:
    by_id = list(submission_of(tiny)["label"])
    tiny.replace("competition.toml", 'id = ["id"]', "id = []")
    for name in ("train.csv", "test.csv"):
        tiny.save(name, tiny.frame(name).drop(columns="id"))
    sample = tiny.frame("sample.csv").assign(row=range(20))[columns]
    tiny.save("sample.csv", sample)
    tiny.workspace.folds.unlink()
    table = submission_of(tiny)
    assert list(table.columns) == columns and len(table) == 20
    assert (
        sum(a == b for a, b in zip(table["label"], by_id, strict=True)) >= 18
    )  # folds dealt anew change a border case
    if "row" in columns:
        assert list(table["row"]) == [str(i) for i in range(20)]
    check_run(tiny.workspace, last_run(tiny))
    tiny.save("sample.csv", sample[:-1])
    with pytest.raises(KglError, match=fault):
        check_run(tiny.workspace, last_run(tiny))


def test_a_run_that_is_not_complete_or_lacks_its_file_is_refused(tiny: Tiny) -> None:
    assert tiny.kgl("train", "constant", "folds=0").status == 0
    with pytest.raises(KglError, match="constant-001 is partial; only complete runs predict"):
        check_run(tiny.workspace, "constant-001")
    assert tiny.kgl("train", "constant").status == 0
    (tiny.workspace.runs / "constant-001/submission.csv").unlink()
    with pytest.raises(KglError, match="make it with: kgl predict constant-001"):
        check_run(tiny.workspace, "constant-001")
    assert tiny.kgl("submit", "constant-002", "--dry-run").status == 2


def test_a_stale_sample_is_overridden_knowingly(tiny: Tiny) -> None:
    tiny.save("sample.csv", tiny.frame("sample.csv").assign(id=[f"gone{i}" for i in range(20)]))
    trained = tiny.kgl("train", "logistic")
    assert trained.status == 0 and "stale" in trained.err
    assert tiny.kgl("submit", "--dry-run").status == 1
    assert tiny.kgl("submit", "--dry-run", "--stale-sample").status == 0
