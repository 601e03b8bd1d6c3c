"""From rows to a trained network and back: pictures of rows, targets of networks, predictions of rows."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from kgl.arrays import Array
from kgl.competition import data_root, load_competition
from kgl.errors import KglError, some
from kgl.experiment import Part, Setting
from kgl.image.cache import Pictures, open_pictures
from kgl.image.decode import Fit
from kgl.image.device import pick_device
from kgl.image.embeddings import Embeddings
from kgl.image.experiment import Vision
from kgl.image.files import PATH
from kgl.image.loader import batches
from kgl.image.network import Network, build_network
from kgl.image.predictor import Predictor, Spec, save_tensors
from kgl.image.train import Lesson, Training
from kgl.metrics import get_metric
from kgl.paths import find_workspace, write_json
from kgl.scoring import score
from kgl.tables import ID

ALBUM, PLACE = "__album__", "__place__"  # of prepared rows: the pictures of all rows, and which of them is the row's
SHOWN = 10  # unreadable files by name
LOGS = {"rmse_log": ("log", np.log), "rmsle": ("log1p", np.log1p)}  # of losses on logarithms


@dataclass(frozen=True)
class Album:
    """Pictures as a cell of a table, which must not look like a list."""

    pictures: Pictures


def add_pictures(rows: pd.DataFrame, *, size: int, channels: int, fit: Fit) -> pd.DataFrame:
    """The rows with their pictures; files that cannot be read are named.

    Raises:
        KglError: the rows have no column `path`, or no picture can be read.
    """
    if PATH not in rows:
        raise KglError(f"the rows have no column '{PATH}'; read them with read_images in load() of contest.py.")
    workspace = find_workspace()
    pictures = open_pictures(
        rows[PATH].fillna("").astype(str).tolist(),
        root=data_root(workspace, load_competition(workspace)),
        size=(size, size),
        channels=channels,
        fit=fit,
        cache_dir=workspace.cache,
        say=tell,
    )
    if pictures.bad:
        named = [f"{rows[PATH].iloc[i] or rows[ID].iloc[i]!s} ({why})" for i, why in pictures.bad.items()]
        tell(f"{len(pictures.bad)} of {len(rows)} pictures cannot be read; training leaves them out, "
              f"predictions give them the average: {some(named, SHOWN)}")  # fmt: skip
    if len(pictures.bad) == len(rows) > 0:
        raise KglError(f"none of {len(rows)} pictures can be read; look at [images] in competition.toml.")
    album = np.empty(len(rows), dtype=object)
    album.fill(Album(pictures))
    return rows.assign(**{ALBUM: album, PLACE: np.arange(len(rows))})


def tell(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


def album_of(rows: pd.DataFrame) -> tuple[Pictures, Array, Array]:
    """The pictures, the place of each row in them, and which rows can be read."""
    pictures: Pictures = rows[ALBUM].iloc[0].pictures
    places = rows[PLACE].to_numpy()
    return pictures, places, ~np.isin(places, list(pictures.bad))


@dataclass
class FittedVision:
    """A trained network; its learning curve, and the weights of the last epoch where another was chosen."""

    predictor: Predictor
    batch_size: int
    history: list[dict[str, float | None]] = field(default_factory=list)
    last: dict[str, Tensor] = field(default_factory=dict)

    def predict(self, rows: pd.DataFrame) -> Array:
        """(n, columns) predictions; rows whose picture cannot be read get the average of the training rows."""
        predictions = np.tile(np.array(self.predictor.spec.prior), (len(rows), 1))
        if len(rows):
            pictures, places, readable = album_of(rows)
            batches_of = unchanged(pictures, places[readable], self.batch_size, self.predictor.device)
            predictions[readable] = self.predictor.predict(batches_of)
        return predictions

    def save(self, folder: Path) -> None:
        """Weights, what they mean, and the code that predicts with them; no pickle."""
        self.predictor.save(folder)
        write_json(folder / "history.json", self.history)
        if self.last:
            save_tensors(self.last, folder / "last.safetensors")


def unchanged(pictures: Pictures, places: Array, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Batches of pictures in their order, as they are."""
    pin = device.type == "cuda"
    return (batch for batch, _ in batches(pictures, places, batch_size=batch_size, augment=None, pin=pin))


def load_vision(recipe: Vision, folder: Path) -> FittedVision:
    """Read what `FittedVision.save` wrote.

    Raises:
        KglError: the folder holds no saved network.
    """
    try:
        return FittedVision(Predictor.load(folder, pick_device()), recipe.batch_size)
    except FileNotFoundError:
        raise KglError(f"{folder} holds no saved network; train the run again.") from None


def fit_vision(recipe: Vision, part: Part, setting: Setting) -> FittedVision:
    """Train a network on one part of the rows.

    Raises:
        KglError: no row is left to train on; see `build_network` and `Training.run`.
    """
    device = pick_device()
    pictures, places, readable = album_of(part.rows)
    held = part.holdout & readable if recipe.choose == "holdout" else np.zeros(len(readable), dtype=bool)
    used = readable & ~held
    if int(used.sum()) < 2:
        raise KglError(
            f"{int(used.sum())} of {len(used)} training rows remain, two are needed: "
            f"{int((~readable).sum())} pictures cannot be read, {int(held.sum())} are held out to choose the epoch."
        )
    if not readable.all():
        print(f"{int((~readable).sum())} of {len(readable)} training rows left out: their pictures cannot be read")
    outputs = len(setting.target.columns)
    shape = {"outputs": outputs, "image_size": recipe.image_size, "in_chans": recipe.in_chans}
    network = build_network(recipe.model, **shape, params=recipe.params, weights=recipe.weights, seed=setting.seed)
    print(f"{recipe.model} on {device}, weights: {network.origin}")
    if recipe.peeks:
        print("the epoch is chosen by the fold that it validates: its score is rosy")
    table, spec = describe(recipe, network, part.y, used, setting)
    targets = np.full((len(pictures), outputs), np.nan, dtype=np.float32)
    targets[places[used]] = table[used]

    def on_holdout(module: nn.Module) -> float:
        found = Predictor(spec, module, device).predict(unchanged(pictures, places[held], recipe.batch_size, device))
        return score(get_metric(setting.metric), setting.target, part.y[held], found)

    def on_fold(module: nn.Module) -> float:
        plain = Predictor(replace(spec, mirror="none"), module, device)  # a look, for half the time
        return setting.watch(FittedVision(plain, recipe.batch_size).predict) if setting.watch else math.nan

    lesson = Lesson(
        pictures=pictures,
        rows=places[used],
        targets=targets,
        class_weight=_class_weight(recipe, table[used], setting),
        absolute=setting.loss.removeprefix("mean_") in ("mae", "mape"),
        metrics=({"holdout": on_holdout} if held.any() else {}) | ({"fold": on_fold} if setting.watch else {}),
        choose="" if recipe.choose == "last" else recipe.choose,
        greater_is_better=get_metric(setting.metric).greater_is_better,
    )
    training = Training(recipe, network.module, spec, lesson, setting=setting, device=device)
    predictor = Predictor(spec, training.run(), device)
    return FittedVision(predictor, recipe.batch_size, training.progress.history, training.last)


def describe(
    recipe: Vision | Embeddings, network: Network, y: Array, used: Array, setting: Setting
) -> tuple[Array, Spec]:
    """Targets as a network learns them, (n, outputs), and how its outputs are read; by the rows that are used alone."""
    target, loss = setting.target, setting.loss.removeprefix("mean_")
    center = scale = np.zeros(0)
    log = ""
    table = target.as_predictions(y)
    if not (target.one_label or target.task == "multilabel"):
        log, forward = LOGS.get(loss, ("", np.asarray))
        values = forward(table)
        center, scale = values[used].mean(axis=0), values[used].std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        table = (values - center) / scale
    spec = Spec(
        arguments=network.arguments,
        image_size=recipe.image_size,
        channels=recipe.in_chans,
        fit=recipe.resize,
        mean=network.mean,
        std=network.std,
        mirror=recipe.mirror,
        task=target.task,
        columns=target.columns,
        prior=(),
        center=tuple(center.tolist()),
        scale=tuple(scale.tolist()),
        log=log,
    )
    prior = spec.values(table[used].mean(axis=0, keepdims=True))[0]
    return table, replace(spec, prior=tuple(prior.tolist()))


def _class_weight(recipe: Vision, table: Array, setting: Setting) -> Array | None:
    """What makes each class count the same, where the experiment or the contest's metric asks for it."""
    if not setting.target.one_label or not (recipe.balanced or setting.loss.endswith("balanced_logloss")):
        return None
    count = table.sum(axis=0)
    return np.asarray(len(table) / (np.count_nonzero(count) * np.maximum(count, 1)))
