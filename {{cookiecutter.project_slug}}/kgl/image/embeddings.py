"""Frozen features: a pretrained network looks at each picture once, and a table model learns from what it saw."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.errors import usage
from kgl.experiment import Experiment, Fitted, Part, Setting
from kgl.paths import find_workspace, read_json, replacing, write_json
from kgl.tabular import Tabular
from kgl.target import Target

if TYPE_CHECKING:
    from kgl.image.cache import Pictures

Array = NDArray[Any]
PRIOR = "embeddings.json"
HEADS = ("logistic", "knn", "lightgbm")
SAY_EVERY = 20  # batches


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

    def check(self, target: Target, loss: str) -> None:
        """Refuse a backbone that timm does not have, and a head that cannot be."""
        from kgl.image.network import check_network

        check_network(self.backbone, self.params)
        if isinstance(self.head, str) and self.head not in HEADS:
            raise usage(f"head: expected {', '.join(HEADS)} or an estimator, got '{self.head}'.")
        self._table(target).check(target, loss)

    def _table(self, target: Target | None = None) -> Tabular:
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

    def prepare_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with feature functions and the network's features, a column each; missing where a picture is."""
        found = embed(self, rows)
        names = [f"picture_{i}" for i in range(found.shape[1])]
        return pd.concat([self._table().prepare_rows(rows), pd.DataFrame(found, rows.index, names)], axis=1)

    def fit(self, part: Part, setting: Setting) -> "FittedEmbeddings":
        """Train the head on rows whose picture could be read."""
        seen = part.rows["picture_0"].notna().to_numpy()
        inner = Part(part.rows.loc[seen].reset_index(drop=True), part.y[seen], part.holdout[seen])
        table = np.eye(len(setting.target.labels))[inner.y] if setting.target.one_label else inner.y
        prior = np.atleast_1d(table.astype(float).mean(axis=0)).tolist()
        return FittedEmbeddings(self._table(setting.target).fit(inner, setting), prior)

    def load(self, folder: Path) -> "FittedEmbeddings":
        """Read a saved head."""
        return FittedEmbeddings(self._table().load(folder), read_json(folder / PRIOR))


@dataclass
class FittedEmbeddings:
    """A trained head, and the average of the training rows for pictures that cannot be read."""

    head: Fitted
    prior: list[float]

    def predict(self, rows: pd.DataFrame) -> Array:
        """(n, columns) predictions in the order of `Target.columns`."""
        predictions = np.tile(np.array(self.prior), (len(rows), 1))
        seen = rows["picture_0"].notna().to_numpy()
        if seen.any():
            predictions[seen] = self.head.predict(rows.loc[seen].reset_index(drop=True))
        return predictions

    def save(self, folder: Path) -> None:
        """The head as table models are saved; the network is the one that weights name."""
        self.head.save(folder)
        write_json(folder / PRIOR, self.prior)


def _head(head: Any, labels: bool) -> tuple[Any, dict[str, Any]]:
    """Model and settings for `Tabular`. A thousand features and more want a strong penalty."""
    if head == "logistic":
        return ("logistic", {"C": 0.01}) if labels else ("ridge", {"alphas": tuple(np.logspace(0, 5, 20).tolist())})
    if head == "knn":
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        neighbours = KNeighborsClassifier if labels else KNeighborsRegressor
        return neighbours(n_neighbors=15, weights="distance", metric="cosine"), {}
    return head, {}


def embed(experiment: Embeddings, rows: pd.DataFrame) -> Array:
    """(n, features) float32 of each row's picture, NaN where it cannot be read; kept in data/cache.

    Raises:
        KglError: see `add_pictures` and `build_network`.
    """
    from kgl.image.learner import add_pictures, album_of
    from kgl.image.network import build_network

    side, backbone = experiment.image_size, experiment.backbone
    pictures, _, _ = album_of(add_pictures(rows, size=side, channels=3, fit=experiment.resize))
    network = build_network(backbone, outputs=0, image_size=side, params=experiment.params, weights=experiment.weights)
    path = find_workspace().cache / f"features-{_key(network, pictures)}.npy"
    if path.is_file():
        return np.asarray(np.load(path))
    print(f"{backbone}, weights: {network.origin}")
    found = _look_at_all(network, pictures)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, found)
    return found


def _key(network: Any, pictures: "Pictures") -> str:
    """A hash of the weights, the files, and how they are read."""
    digest = hashlib.sha256(repr((network.arguments, network.mean, network.std, pictures.size, pictures.fit)).encode())
    for tensor in network.module.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    for i, file in enumerate(pictures.files):
        known = None if i in pictures.bad else file.stat()
        digest.update(repr((str(file), known and (known.st_size, known.st_mtime_ns))).encode())
    return digest.hexdigest()[:16]


def _look_at_all(network: Any, pictures: "Pictures") -> Array:
    import sys

    import torch

    from kgl.cores import usable_cores
    from kgl.image.device import pick_device, pick_precision
    from kgl.image.learner import unchanged
    from kgl.image.predictor import Normalise

    device = pick_device()
    torch.set_num_threads(usable_cores())
    module = network.module.to(device, memory_format=torch.channels_last).eval()
    normalise = Normalise(network.mean, network.std, device)
    precision = pick_precision("auto" if device.type == "cuda" else "fp32", module, device)
    places = np.array([i for i in range(len(pictures)) if i not in pictures.bad])
    parts: list[Array] = []
    with torch.inference_mode(), torch.autocast(device.type, precision, enabled=precision != torch.float32):
        for number, batch in enumerate(unchanged(pictures, places, 64, device), start=1):
            parts.append(module(normalise(batch)).float().cpu().numpy())
            if number % SAY_EVERY == 0:
                print(f"features: {number * 64:,} of {len(places):,} pictures", file=sys.stderr, flush=True)
    found = np.full((len(pictures), parts[0].shape[1]), np.nan, dtype=np.float32)
    found[places] = np.concatenate(parts)
    return found
