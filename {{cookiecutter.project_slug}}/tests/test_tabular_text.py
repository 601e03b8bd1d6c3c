"""Sentences: models on them, and nested predictions that never saw the row's own label."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import log_loss, roc_auc_score

from kgl.errors import KglError
from kgl.tabular.columns import Typed
from kgl.tabular.prepare import Dense, Native, Sparse
from kgl.tabular.text import NestedText, TextBayes, TextClassifier, Words, join_texts, text_shape
from tests.conftest import Tiny, made_up_rows
from tests.test_honesty import EXPERIMENT, same_after_change

RNG = np.random.default_rng(0)
N = 400
COMMON = np.array([f"word{i}" for i in range(60)])
AUTHORS = [np.array([f"{name}{i}" for i in range(8)]) for name in ("gothic", "sea", "stars")]


def written(n: int = N, seed: int = 0) -> tuple[Any, Any]:
    """Sentences of three authors who share most of their words, and who wrote them."""
    rng = np.random.default_rng(seed)
    authors = rng.integers(0, 3, n)
    return np.array(
        [" ".join([*rng.choice(COMMON, 8), rng.choice(AUTHORS[a])]) for a in authors], dtype=object
    ), authors


@pytest.mark.parametrize("model", [TextClassifier(), TextClassifier(bayes=True), TextBayes()], ids=repr)
@pytest.mark.parametrize("labels", [2, 3])
def test_models_of_texts_learn_who_wrote_a_sentence(model: Any, labels: int) -> None:
    (train, y), (test, truth) = written(), written(seed=1)
    train, y, test, truth = train[y < labels], y[y < labels], test[truth < labels], truth[truth < labels]
    words = Words()
    shares = model.fit(words.fit_transform(train), y).predict_proba(words.transform(test))
    assert shares.shape == (len(test), labels)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert log_loss(truth, shares) < 0.25 and (model.predict(words.transform(test)) == truth).mean() > 0.95


def test_addresses_of_pages_are_one_word() -> None:
    rows = pd.DataFrame({"said": ["fire https://t.co/aXb1 now", None], "by": ["Ann", "Bo"]})
    assert list(join_texts(rows, ["said", "by"])) == ["fire http now Ann", " Bo"]


def test_settings_are_chosen_by_log_loss_and_one_alone_is_taken() -> None:
    documents, y = written()
    X = Words().fit_transform(documents)
    noise = RNG.permutation(y)
    assert TextClassifier().fit(X, noise).setting_ == (0.5,) and TextClassifier().fit(X, y).setting_[0] > 0.5
    assert TextClassifier(C=3).fit(X, y).setting_ == (3.0,)
    assert TextBayes().fit(X, noise).setting_[1] == 8.0


def test_a_class_of_one_sentence_is_no_obstacle() -> None:
    documents, y = written(60)
    y[7] = 3
    for model in (TextClassifier(), TextBayes()):
        assert model.fit(Words().fit_transform(documents), y).predict_proba(Words().fit_transform(documents)).shape == (
            60,
            4,
        )


def test_nested_predictions_of_noise_are_noise() -> None:
    documents, _ = written()
    y = RNG.integers(0, 2, N)
    nested = NestedText().fit_transform(documents, y[:, None])
    assert 0.4 < roc_auc_score(y, nested[:, 0]) < 0.6


def test_a_nested_prediction_does_not_see_the_labels_of_its_row_and_of_its_copies() -> None:
    documents, y = written()
    documents[:40] = documents[0]
    other = y.copy()
    other[:40] = (y[:40] + 1) % 3
    one, two = (NestedText().fit_transform(documents, labels[:, None])[:40] for labels in (y, other))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_nested_predictions_tell_the_target(kind: str) -> None:
    """Of a linear model, and of naive Bayes where there are labels: two columns a label."""
    (train, a), (test, b) = written(), written(seed=1)
    targets: dict[str, tuple[Any, int]] = {
        "binary": (lambda y: (y == 1).astype(int)[:, None], 2),
        "multiclass": (lambda y: y[:, None], 6),
        "multilabel": (lambda y: np.stack([y == 0, y == 1], 1).astype(int), 4),
        "regression": (lambda y: y[:, None] * 10.0, 1),
    }
    make, columns = targets[kind]
    nested = NestedText()
    learnt, said = nested.fit_transform(train, make(a)), nested.transform(test)
    assert learnt.shape == (N, columns) and said.shape == (N, columns)
    truth = {"binary": b == 1, "regression": b * 10.0}.get(kind)
    first = (np.argsort(np.bincount(a))[::-1] if kind == "multiclass" else [0])[0]
    if kind != "regression":
        assert np.corrcoef(said[:, 1], truth if truth is not None else b == first)[0, 1] > 0.7
    assert np.corrcoef(said[:, 0], truth if truth is not None else b == first)[0, 1] > 0.7
    assert np.corrcoef(learnt[:, 0], make(a)[:, 0] if kind in ("binary", "regression") else a == first)[0, 1] > 0.7


def test_a_single_label_and_equal_texts_are_no_obstacle() -> None:
    documents, _ = written(60)
    assert (NestedText().fit_transform(np.array(["a b"] * 60, dtype=object), np.arange(60)[:, None] % 2) == 0.5).all()
    assert NestedText().fit_transform(documents, np.zeros((60, 1), int)).shape == (60, 2)


def test_the_shape_of_texts() -> None:
    shape = text_shape(pd.Series(["Ab 12!"], name="t").reindex([0, 1]))
    assert shape.iloc[0].round(4).tolist() == [6, 2, 0.1667, 0.3333, 0.1667] and (shape.iloc[1] == 0).all()
    assert list(shape.columns) == ["t letters", "t words", "t capitals", "t digits", "t signs"]


def test_sparse_rows_hold_words_and_levels_and_nothing_below_0() -> None:
    documents, _ = written()
    rows = pd.DataFrame({"text": documents, "level": ["a", "b"] * (N // 2), "x": RNG.normal(size=N)})
    sparse_rows = Sparse()
    X = sparse_rows.fit_transform(rows)
    assert sparse.issparse(X) and X.min() >= 0
    gone = rows.assign(level="new").head(3)
    assert sparse_rows.transform(gone).shape == (3, X.shape[1])
    assert Sparse().fit_transform(rows[["level", "x"]]).shape == (N, 2)
    with pytest.raises(KglError, match="the columns hold numbers alone, and this model reads texts") as refused:
        Sparse().fit_transform(rows[["x"]])
    assert refused.value.status == 2


@pytest.mark.parametrize("preparer", [Native, lambda: Dense(scale=True)])
def test_other_models_get_what_texts_say_as_columns(preparer: Any) -> None:
    documents, y = written()
    rows, targets = pd.DataFrame({"text": documents, "x": RNG.normal(size=N)}), (y == 1).astype(int)[:, None]
    prepared = preparer()
    X = prepared.fit_transform(rows, targets)
    assert max(abs(np.corrcoef(column, y == 1)[0, 1]) for column in X.T if column.std()) > 0.9
    assert prepared.transform(rows.head(7)).shape == (7, X.shape[1])
    assert preparer().fit_transform(rows).shape == (N, 1)


def test_the_same_texts_and_labels_are_learnt_once() -> None:
    documents, y = written()
    rows = pd.DataFrame({"text": documents})
    one, two, other = Typed(), Typed(), Typed()
    one.fit_transform(rows, y[:, None])
    two.fit_transform(rows, y[:, None])
    other.fit_transform(rows, (y[:, None] + 1) % 3)
    assert one.nested is two.nested and one.nested is not other.nested


@pytest.mark.parametrize("model", ["lightgbm", "logistic", "xgboost"])
def test_labels_of_a_fold_do_not_reach_what_is_said_of_its_texts(tiny: Tiny, model: str) -> None:
    for name, n in (("train.csv", 240), ("test.csv", 20)):
        rows = made_up_rows(n, seed=n).drop(columns=["label"] if n == 20 else [])
        rows["text"] = written(len(rows), seed=len(name))[0]
        tiny.save(name, rows.assign(id=[f"{name}{i}" for i in range(n)]))
    tiny.save("sample.csv", tiny.frame("test.csv")[["id"]].assign(label=0))
    tiny.write("experiments/mine.py", EXPERIMENT.format(model=model, settings="params={'n_estimators': 20}"))
    if model == "logistic":
        tiny.write("experiments/mine.py", EXPERIMENT.format(model=model, settings=""))
    assert same_after_change(tiny, 0, "mine")
