"""Columns of sentences: weighted words and letters, linear models on them, and their nested predictions as features.

Words and runs of letters are hashed (no vocabulary to keep), weighted by TF-IDF; nbsvm scales each by how much more
often it stands with a class (Wang & Manning 2012, "Baselines and Bigrams").
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from kgl.arrays import Array

T = TypeVar("T")
INNER_FOLDS = 5
HASHES = 2**20  # few of a million fall on each other: with an eighth of them naive Bayes is worse
MANY_LETTERS = 30_000_000  # beyond, runs of letters would fill the memory: words alone
MOST_CLASSES = 20  # nested predictions are a column a class, of the most frequent classes


class Words:
    """Documents to sparse rows: words and pairs of them, and runs of 2 to 5 letters inside words, as TF-IDF."""

    def fit_transform(self, documents: Array) -> Any:
        """(n, columns) of training documents, whose frequencies weigh those of all others."""
        self.views = [_View(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]")]
        if sum(map(len, documents)) <= MANY_LETTERS:
            self.views.append(_View(ngram_range=(2, 5), analyzer="char_wb"))
        return sparse.csr_array(sparse.hstack([view.fit_transform(documents) for view in self.views]))

    def transform(self, documents: Array) -> Any:
        """The same for other documents."""
        return sparse.csr_array(sparse.hstack([view.transform(documents) for view in self.views]))


class _View:
    """One way to take texts apart, hashed; columns that no training document has are left out: Bayes counts them."""

    def __init__(self, **way: Any) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        options = {"alternate_sign": False, "norm": None, "strip_accents": "unicode", "dtype": np.float32}
        self.hashed = HashingVectorizer(n_features=HASHES, **options, **way)
        self.weights = TfidfTransformer(sublinear_tf=True)

    def fit_transform(self, documents: Array) -> Any:
        counts = self.hashed.transform(documents)
        self.seen = np.unique(counts.indices)
        return self.weights.fit_transform(counts[:, self.seen])

    def transform(self, documents: Array) -> Any:
        return self.weights.transform(self.hashed.transform(documents)[:, self.seen])


def join_texts(rows: pd.DataFrame, columns: list[str]) -> Array:
    """One document a row, of several columns; addresses of pages count as one word, their letters are noise."""
    texts = (
        rows[column].astype("str").fillna("").str.replace(r"https?://\S+", "http", regex=True) for column in columns
    )
    parts = [values.to_numpy(dtype=object) for values in texts]
    return np.array([" ".join(row) for row in zip(*parts, strict=True)], dtype=object)


def text_shape(values: pd.Series) -> pd.DataFrame:
    """How long a text is, in letters and words, and the shares of capitals, digits and other signs in it."""
    texts = values.astype("str").fillna("").str
    length = texts.len()
    shares = {
        name: texts.count(pattern) / length.clip(lower=1)
        for name, pattern in (("capitals", r"[A-Z]"), ("digits", r"\d"), ("signs", r"[^\w\s]"))
    }
    return pd.DataFrame({"letters": length, "words": texts.count(r"\S+"), **shares}).add_prefix(f"{values.name} ")


class _Chosen(ClassifierMixin, BaseEstimator):
    """A classifier of non-negative sparse rows that chooses its setting by log loss on a fifth of the rows."""

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Choose, then learn from all rows."""
        X, y = sparse.csr_array(X), np.asarray(y)
        self.classes_ = np.unique(y)
        self.setting_ = self._choose(X, y)
        self.models_ = self._fit(X, y, self.setting_)
        return self

    def _choose(self, X: Any, y: Array) -> tuple[float, ...]:
        settings = self._settings()
        held = np.random.default_rng(0).random(len(y)) < 1 / INNER_FOLDS
        if len(settings) == 1 or not held.any() or len(np.unique(y[~held])) < len(self.classes_):
            return settings[0]
        truth = np.searchsorted(self.classes_, y[held])
        losses, models, learnt = {}, None, None
        for setting in settings:
            if setting[0] != learnt:  # what comes second changes predictions alone
                models, learnt = self._fit(X[~held], y[~held], setting), setting[0]
            shares = self._shares(X[held], models, setting)
            losses[setting] = -np.log(np.maximum(shares[np.arange(len(truth)), truth], 1e-6)).mean()
        return min(losses, key=losses.__getitem__)

    def _settings(self) -> list[tuple[float, ...]]:
        raise NotImplementedError

    def _fit(self, X: Any, y: Array, setting: tuple[float, ...]) -> Any:
        raise NotImplementedError

    def _shares(self, X: Any, models: Any, setting: tuple[float, ...]) -> Array:
        raise NotImplementedError

    def predict_proba(self, X: Any) -> Array:
        """(n, classes) probabilities."""
        return self._shares(sparse.csr_array(X), self.models_, self.setting_)

    def predict(self, X: Any) -> Array:
        """The likeliest class."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class TextClassifier(_Chosen):
    """Logistic regression, one class against the others.

    Args:
        C: the weight of the data against that of simplicity: one, or those of which the best is chosen.
        bayes: whether columns are scaled by naive Bayes log-count ratios (nbsvm).
        random_state: of the order in which rows are visited.
    """

    def __init__(
        self, C: float | tuple[float, ...] = (0.5, 2.0, 8.0, 32.0), bayes: bool = False, random_state: int | None = None
    ) -> None:
        self.C = C
        self.bayes = bayes
        self.random_state = random_state

    def _settings(self) -> list[tuple[float, ...]]:
        return [(float(C),) for C in np.atleast_1d(self.C)]

    def _fit(self, X: Any, y: Array, setting: tuple[float, ...]) -> list[tuple[Array | None, Any]]:
        from sklearn.linear_model import LogisticRegression

        models = []
        for label in self.classes_[1:] if len(self.classes_) == 2 else self.classes_:
            ratio = _log_ratio(X, y == label) if self.bayes else None
            model = LogisticRegression(C=setting[0], solver="liblinear", dual=True, random_state=self.random_state or 0)
            models.append((ratio, model.fit(_scaled(X, ratio), y == label)))
        return models

    def _shares(self, X: Any, models: list[tuple[Array | None, Any]], setting: tuple[float, ...]) -> Array:
        each = np.column_stack([model.predict_proba(_scaled(X, ratio))[:, 1] for ratio, model in models])
        if len(models) == 1:
            return np.column_stack([1 - each, each])
        return np.asarray(each / each.sum(axis=1, keepdims=True))


class TextBayes(_Chosen):
    """Multinomial naive Bayes, which is too sure of itself: its logarithms are divided by a temperature.

    Args:
        alpha: what is added to each count: one, or those of which the best is chosen.
        temperature: the same.
    """

    def __init__(
        self,
        alpha: float | tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0),
        temperature: float | tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0),
    ) -> None:
        self.alpha = alpha
        self.temperature = temperature

    def _settings(self) -> list[tuple[float, ...]]:
        return [(float(a), float(t)) for a in np.atleast_1d(self.alpha) for t in np.atleast_1d(self.temperature)]

    def _fit(self, X: Any, y: Array, setting: tuple[float, ...]) -> Any:
        from sklearn.naive_bayes import MultinomialNB

        return MultinomialNB(alpha=setting[0]).fit(X, y)

    def _shares(self, X: Any, models: Any, setting: tuple[float, ...]) -> Array:
        return np.asarray(softmax(models.predict_joint_log_proba(X) / setting[1], axis=1))


def _log_ratio(X: Any, inside: Array) -> Array:
    """How much more often each column stands with a class: the log of the ratio of its smoothed shares."""
    with_it, without = (np.asarray(X[rows].sum(axis=0)).ravel() + 1 for rows in (inside, ~inside))
    return np.asarray(np.log(with_it / with_it.sum()) - np.log(without / without.sum()))


def _scaled(X: Any, ratio: Array | None) -> Any:
    return X if ratio is None else sparse.csr_array(X @ sparse.diags_array(ratio))


class NestedText:
    """What a linear model says of the texts, as features of other models.

    Training rows get what a model says that was trained on other training rows, none of them with the same text.
    """

    def fit_transform(self, documents: Array, y: Array) -> Array:
        """(n, columns) for training rows.

        Args:
            documents: a text a row.
            y: (n, outputs); whole numbers are codes of classes, floats are values.
        """
        self.key = _digest(documents) + _digest(y.tolist())
        self.words = Words()
        X = self.words.fit_transform(documents)
        groups = pd.factorize(documents)[0]
        self.outputs = list(outputs_of(y, MOST_CLASSES))
        self.models = []
        nested = []
        for output in self.outputs:
            for fit in _fits(output):
                nested.append(self._nested(X, output, groups, fit))
                self.models.append(fit(X, output))
        return np.column_stack(nested)

    def _nested(self, X: Any, y: Array, groups: Array, fit: Callable[[Any, Array], Any]) -> Array:
        from sklearn.model_selection import GroupKFold

        found = np.full(len(y), y.mean())
        if len(np.unique(groups)) < INNER_FOLDS:
            return found
        for inside, held in GroupKFold(INNER_FOLDS, shuffle=True, random_state=0).split(X, groups=groups):
            found[held] = _say(fit(X[inside], y[inside]), X[held])
        return found

    def transform(self, documents: Array) -> Array:
        """The same for other rows, from models of all training rows."""
        return _remembered(_SAID, 64, self.key + _digest(documents), lambda: self._transform(documents))

    def _transform(self, documents: Array) -> Array:
        X = self.words.transform(documents)
        return np.column_stack([_say(model, X) for model in self.models])


# several models learn from the same rows one after another: texts are the slow part, and are learnt once
_LEARNT: OrderedDict[str, tuple[NestedText, Array]] = OrderedDict()
_SAID: OrderedDict[str, Array] = OrderedDict()


def learn_texts(documents: Array, y: Array) -> tuple[NestedText, Array]:
    """A NestedText of training rows and what it says of these; the last dozen in this process are remembered."""

    def learn() -> tuple[NestedText, Array]:
        nested = NestedText()
        return nested, nested.fit_transform(documents, y)

    return _remembered(_LEARNT, 12, _digest(documents) + _digest(y.tolist()), learn)


def _remembered(store: OrderedDict[str, T], size: int, key: str, make: Callable[[], T]) -> T:
    if key not in store:
        store[key] = make()
    store.move_to_end(key)
    while len(store) > size:
        store.popitem(last=False)
    return store[key]


def _digest(values: Any) -> str:
    return hashlib.sha256(repr(list(values)).encode("utf-8", "backslashreplace")).hexdigest()


def outputs_of(y: Array, most: int) -> Iterator[Array]:
    """What is learnt of (n, outputs): values, or whether a row is of a class, for the `most` frequent classes."""
    for output in y.T:
        if output.dtype.kind == "f":
            yield output
            continue
        classes, counts = np.unique(output, return_counts=True)
        common = classes[1:] if len(classes) == 2 else classes[np.argsort(-counts, kind="stable")][:most]
        yield from (output == label for label in common)


def _fits(y: Array) -> list[Callable[[Any, Array], Any]]:
    """What learns an output: a linear model, and of labels naive Bayes as well, which errs differently."""
    return [_fit_linear, _fit_bayes] if y.dtype.kind == "b" else [_fit_linear]


def _fit_bayes(X: Any, y: Array) -> Any:
    from sklearn.naive_bayes import MultinomialNB

    return MultinomialNB(alpha=0.03).fit(X, y)


def _fit_linear(X: Any, y: Array) -> Any:
    from sklearn.dummy import DummyRegressor
    from sklearn.linear_model import Ridge

    if (y == y[0]).all():
        return DummyRegressor().fit(X, y.astype(float))
    return (Ridge(alpha=3.0, solver="sparse_cg") if y.dtype.kind == "f" else TextClassifier(C=2.0)).fit(X, y)


def _say(model: Any, X: Any) -> Array:
    if hasattr(model, "feature_log_prob_"):  # naive Bayes: how much likelier it is, on the scale of logarithms
        likely = model.predict_joint_log_proba(X)
        return np.asarray(likely[:, -1] - likely[:, 0])
    return np.asarray(model.predict_proba(X)[:, 1] if hasattr(model, "predict_proba") else model.predict(X))
