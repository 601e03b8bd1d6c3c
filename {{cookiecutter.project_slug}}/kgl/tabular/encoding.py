"""Levels as what the target is where they occur: learnt on training rows, a row's own label left out."""

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.tabular.columns import Typed
from kgl.tabular.prepare import as_numbers, fill_columns, float_type, texts_of
from kgl.tabular.text import outputs_of

MOST_CLASSES = 10  # a column of levels becomes one a class: of many classes the common ones must do


class Encoded:
    """Numbers as they are, levels as means of the target, smoothed (scikit-learn TargetEncoder): for boosters."""

    def fit_transform(self, rows: pd.DataFrame, y: Array) -> Array:
        """Learn from training rows and their (n, outputs) targets; codes of classes are whole numbers."""
        from sklearn.preprocessing import TargetEncoder

        self.typed = Typed()
        rows = self.typed.fit_transform(rows, y)
        self.numbers, self.levels = self.typed.numbers, self.typed.levels
        self.float = float_type(rows, self.numbers)
        targets = [output.astype(float) for output in outputs_of(y, MOST_CLASSES)] if self.levels else []
        self.encoders = [TargetEncoder(target_type="continuous") for _ in targets]
        texts = texts_of(rows, self.levels)
        return self._joined(rows, [e.fit_transform(texts, t) for e, t in zip(self.encoders, targets, strict=True)])

    def transform(self, rows: pd.DataFrame) -> Array:
        """The same for other rows; levels not seen in training have the mean of all."""
        rows = self.typed.transform(rows)
        texts = texts_of(rows, self.levels)
        return self._joined(rows, [encoder.transform(texts) for encoder in self.encoders])

    def _joined(self, rows: pd.DataFrame, encoded: list[Array]) -> Array:
        table = np.empty((len(rows), len(self.numbers) + len(self.levels) * len(encoded)), self.float)
        columns = [as_numbers(rows[column]) for column in self.numbers]
        return fill_columns(table, [*columns, *(column for block in encoded for column in block.T)])
