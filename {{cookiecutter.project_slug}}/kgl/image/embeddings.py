"""Frozen features: a pretrained network looks at each picture once, and a table model learns from what it saw."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from kgl.errors import usage
from kgl.experiment import Experiment, Fitted, Part, Setting
from kgl.tabular import Tabular
from kgl.target import Target

HEADS = ("logistic", "knn", "lightgbm")


@dataclass(frozen=True, kw_only=True)
class Embeddings(Experiment):
    """A table model on the features that a frozen network finds in pictures, joined with columns of the table.

    Args:
        backbone: any model of timm.
        weights, image_size, resize: as in `Vision`.
        params: further arguments of `timm.create_model`.
        head: "logistic" (ridge regression where values are predicted), "knn", "lightgbm", or any estimator.
        head_params: settings of the head.
        columns: columns of the rows that are used beside the features.
        features: functions of rows and transformers, as in `Tabular`.

    Without columns, features and stack_on, and with a head that is named, a run predicts without the workspace.

    Example:
        experiment = Embeddings(backbone="resnet50", head="lightgbm", columns=("age", "sex"))
    """

    backbone: str = "resnet18"
    weights: str = "pretrained"
    params: Mapping[str, Any] = field(default_factory=dict)
    image_size: int = 224
    resize: Literal["squash", "crop", "pad"] = "squash"
    head: Any = "logistic"
    head_params: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    features: tuple[Any, ...] = ()
    kind: ClassVar[str] = "image"
    in_chans: ClassVar[int] = 3
    mirror: ClassVar[str] = "none"

    def check(self, target: Target, loss: str) -> None:
        """Refuse a backbone that timm does not have, and a head that cannot be."""
        from kgl.image.network import check_network

        check_network(self.backbone, self.params)
        if isinstance(self.head, str) and self.head not in HEADS:
            raise usage(f"head: expected {', '.join(HEADS)} or an estimator, got '{self.head}'.")
        self.table(target).check(target, loss)

    def table(self, target: Target | None = None) -> Tabular:
        """The experiment on tables that learns from features and columns."""
        labels = target is None or target.one_label or target.task == "multilabel"
        model, params = _head(self.head, labels)
        return Tabular(
            model=model,
            params={**params, **self.head_params},
            columns=self.columns,
            features=self.features,
            prepare="linear" if self.head == "knn" else "auto",
        )

    def as_trained(self, config: Mapping[str, Any], folder: Path) -> Experiment:
        """This experiment with the settings of a run, and with the weights that it keeps."""
        from kgl.image.predictor import BACKBONE

        kept = {"weights": str(folder / "folds" / BACKBONE)} if config["weights"] != "none" else {}  # that are drawn
        return super().as_trained({**config, **kept}, folder)

    def save_shared(self, rows: pd.DataFrame, folder: Path) -> None:
        """Write the frozen network beside the folds; see `kgl.image.frozen`."""
        from kgl.image.frozen import share_weights

        share_weights(rows, folder)

    def prepare_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with feature functions and the network's features, a column each; missing where a picture is."""
        from kgl.image.frozen import embed

        return pd.concat([self.table().prepare_rows(rows), embed(self, rows)], axis=1)

    def fit(self, part: Part, setting: Setting) -> Fitted:
        """Train the head; see `kgl.image.frozen`."""
        from kgl.image.frozen import fit_embeddings

        return fit_embeddings(self, part, setting)

    def load(self, folder: Path) -> Fitted:
        """Read a saved head."""
        from kgl.image.frozen import load_embeddings

        return load_embeddings(self, folder)


def _head(head: Any, labels: bool) -> tuple[Any, dict[str, Any]]:
    """Model and settings for `Tabular`. A thousand features and more want a strong penalty."""
    if head == "logistic":
        return ("logistic", {"C": 0.01}) if labels else ("ridge", {"alphas": tuple(np.logspace(0, 5, 20).tolist())})
    if head == "knn":
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        neighbours = KNeighborsClassifier if labels else KNeighborsRegressor
        return neighbours(n_neighbors=15, weights="distance", metric="cosine"), {}
    return head, {}
