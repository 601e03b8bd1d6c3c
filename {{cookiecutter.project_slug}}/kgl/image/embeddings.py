"""Frozen features: a pretrained network looks at each picture once, and a table model learns from what it saw."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.errors import KglError, usage
from kgl.experiment import Experiment, Fitted, Part, Setting
from kgl.paths import find_workspace, read_json, replacing, write_json
from kgl.tabular import Tabular
from kgl.target import Target

if TYPE_CHECKING:
    from kgl.image.cache import Pictures

Array = NDArray[Any]
ABOUT = "embeddings.json"
BACKBONE = "__backbone__"  # of prepared rows: which weights saw the pictures, in each row
HEADS = ("logistic", "knn", "lightgbm")
SAY_EVERY = 1_280  # pictures


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
        found, backbone = embed(self, rows)
        names = [f"picture_{i}" for i in range(found.shape[1])]
        features = pd.DataFrame(found, rows.index, names)
        return pd.concat([self._table().prepare_rows(rows), features], axis=1).assign(**{BACKBONE: backbone})

    def fit(self, part: Part, setting: Setting) -> "FittedEmbeddings":
        """Train the head on rows whose picture could be read."""
        seen = part.rows["picture_0"].notna().to_numpy()
        rows = part.rows.loc[seen].drop(columns=BACKBONE).reset_index(drop=True)
        inner = Part(rows, part.y[seen], part.holdout[seen])
        table = np.eye(len(setting.target.labels))[inner.y] if setting.target.one_label else inner.y
        prior = np.atleast_1d(table.astype(float).mean(axis=0)).tolist()
        return FittedEmbeddings(self._table(setting.target).fit(inner, setting), prior, part.rows[BACKBONE].iloc[0])

    def load(self, folder: Path) -> "FittedEmbeddings":
        """Read a saved head."""
        about = read_json(folder / ABOUT)
        return FittedEmbeddings(self._table().load(folder), about["prior"], about["backbone"])


@dataclass
class FittedEmbeddings:
    """A trained head, the average of the training rows for pictures that cannot be read, and the weights it is for."""

    head: Fitted
    prior: list[float]
    backbone: str

    def predict(self, rows: pd.DataFrame) -> Array:
        """(n, columns) predictions in the order of `Target.columns`.

        Raises:
            KglError: the features are those of other weights.
        """
        found = str(rows[BACKBONE].iloc[0]) if len(rows) else self.backbone
        if found.rpartition(" ")[2] != self.backbone.rpartition(" ")[2]:
            raise KglError(f"trained on features of {self.backbone}, got those of {found}; put the same weights back.")
        predictions = np.tile(np.array(self.prior), (len(rows), 1))
        seen = rows["picture_0"].notna().to_numpy()
        if seen.any():
            predictions[seen] = self.head.predict(rows.loc[seen].drop(columns=BACKBONE).reset_index(drop=True))
        return predictions

    def save(self, folder: Path) -> None:
        """The head as table models are saved (with joblib but for LightGBM); name, origin and hash of the network."""
        self.head.save(folder)
        write_json(folder / ABOUT, {"backbone": self.backbone, "prior": self.prior})


def _head(head: Any, labels: bool) -> tuple[Any, dict[str, Any]]:
    """Model and settings for `Tabular`. A thousand features and more want a strong penalty."""
    if head == "logistic":
        return ("logistic", {"C": 0.01}) if labels else ("ridge", {"alphas": tuple(np.logspace(0, 5, 20).tolist())})
    if head == "knn":
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        neighbours = KNeighborsClassifier if labels else KNeighborsRegressor
        return neighbours(n_neighbors=15, weights="distance", metric="cosine"), {}
    return head, {}


def embed(experiment: Embeddings, rows: pd.DataFrame) -> tuple[Array, str]:
    """(n, features) float32 of each row's picture, NaN where it cannot be read, and whose they are; kept in data/cache.

    Raises:
        KglError: see `add_pictures` and `build_network`.
    """
    from kgl.image.learner import add_pictures, album_of
    from kgl.image.network import build_network

    side, backbone = experiment.image_size, experiment.backbone
    pictures, _, _ = album_of(add_pictures(rows, size=side, channels=3, fit=experiment.resize))
    network = build_network(backbone, outputs=0, image_size=side, params=experiment.params, weights=experiment.weights)
    weights = _hash_of_weights(network)
    name = f"{backbone}, weights: {network.origin}, sha256 {weights}"
    path = find_workspace().cache / f"features-{_key(weights, network, pictures)}.npy"
    if path.is_file():
        return np.asarray(np.load(path)), name
    print(name)
    found = _look_at_all(network, pictures)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, found)
    return found, name


def _hash_of_weights(network: Any) -> str:
    digest = hashlib.sha256()
    for tensor in network.module.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _key(weights: str, network: Any, pictures: "Pictures") -> str:
    """A hash of the weights, the files, and how they are read."""
    how = (weights, network.arguments, network.mean, network.std, pictures.size, pictures.fit)
    digest = hashlib.sha256(repr(how).encode())
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
    size = 8 if device.type == "cpu" else 64  # few stay in a CPU's caches: up to 1.4 times as fast, for less memory
    with torch.inference_mode(), torch.autocast(device.type, precision, enabled=precision != torch.float32):
        for number, batch in enumerate(unchanged(pictures, places, size, device), start=1):
            parts.append(module(normalise(batch)).float().cpu().numpy())
            if number * size % SAY_EVERY == 0:
                print(f"features: {number * size:,} of {len(places):,} pictures", file=sys.stderr, flush=True)
    found = np.full((len(pictures), parts[0].shape[1]), np.nan, dtype=np.float32)
    found[places] = np.concatenate(parts)
    return found
