"""A frozen network and what learns from its features: found once, trained as a table model, kept as plain numbers."""

import filecmp
import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from kgl.arrays import Array
from kgl.cores import usable_cores
from kgl.errors import KglError
from kgl.experiment import Fitted, Part, Setting
from kgl.fold_task import link
from kgl.image import predictor
from kgl.image.cache import SAY_EVERY, Pictures
from kgl.image.device import pick_device
from kgl.image.embeddings import HEADS, Embeddings
from kgl.image.heads import Head
from kgl.image.learner import add_pictures, album_of, describe, tell, unchanged
from kgl.image.network import Network, build_network
from kgl.paths import find_workspace, replacing, write_json
from kgl.tabular.boosting import LightGBM
from kgl.tabular.learner import FittedTabular

NETWORK = "__backbone__"  # of prepared rows: which network saw the pictures, in each row


def embed(recipe: Embeddings, rows: pd.DataFrame) -> pd.DataFrame:
    """float32 features of each row's picture, a column each, missing where it cannot be read; and the network's shell.

    Raises:
        KglError: see `add_pictures` and `build_network`.
    """
    side, backbone = recipe.image_size, recipe.backbone
    pictures, _, _ = album_of(add_pictures(rows, size=side, channels=recipe.in_chans, fit=recipe.resize))
    network = build_network(backbone, outputs=0, image_size=side, params=recipe.params, weights=recipe.weights)
    digest = hashlib.sha256()
    for tensor in network.module.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    shell = replace(network, module=nn.Identity(), origin=f"{network.origin}, sha256 {digest.hexdigest()}")
    if not _weights_of(shell).is_file():
        licence = getattr(network.module, "pretrained_cfg", {}).get("license")
        config = {"mean": network.mean, "std": network.std, "license": licence}  # what `config_beside` reads
        write_json(_weights_of(shell).with_suffix(".json"), config)
        with replacing(_weights_of(shell)) as temporary:
            predictor.save_tensors(network.module.state_dict(), temporary)
    digest.update(repr((network.arguments, network.mean, network.std, pictures.key)).encode())
    path = find_workspace().cache / f"features-{digest.hexdigest()[:16]}.npy"
    if not path.is_file():
        tell(f"{backbone} looks at {len(pictures):,} pictures, weights: {network.origin}")
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, _look_at_all(network, pictures))
    features = pd.DataFrame(np.load(path), rows.index).add_prefix("picture_")
    return features.assign(**{NETWORK: pd.Series([shell] * len(rows), rows.index)})


def _weights_of(shell: Network) -> Path:
    """Where the weights of a network that looked at pictures are kept, by their hash."""
    return find_workspace().cache / f"backbone-{shell.origin.rpartition(' ')[2][:16]}.safetensors"


def share_weights(rows: pd.DataFrame, folder: Path) -> None:
    """Put the network that saw prepared rows into a folder: a further name for its file where the disk has them.

    Raises:
        KglError: other weights are there, on whose features a part of the run was trained.
    """
    kept, file = _weights_of(rows[NETWORK].iloc[0]), folder / predictor.BACKBONE
    if file.is_file() and not filecmp.cmp(kept, file, shallow=False):
        raise KglError("begun with other weights of the backbone; put them back, or train anew with --again.")
    folder.mkdir(parents=True, exist_ok=True)
    for ending in (".json", ".safetensors"):
        if not file.with_suffix(ending).is_file():
            link(kept.with_suffix(ending), file.with_suffix(ending))


def _look_at_all(network: Network, pictures: Pictures) -> Array:
    device = pick_device()
    torch.set_num_threads(usable_cores())
    module = network.module.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    normalise, size = predictor.Normalise(network.mean, network.std, device), predictor.batch_size_on(device)
    told = time.monotonic()
    places = np.array([i for i in range(len(pictures)) if i not in pictures.bad])
    parts: list[Array] = []
    with torch.inference_mode():
        for number, batch in enumerate(unchanged(pictures, places, size, device), start=1):
            parts.append(module(normalise(batch)).cpu().numpy())
            if time.monotonic() - told > SAY_EVERY:
                told = time.monotonic()
                tell(f"features: {number * size:,} of {len(places):,} pictures")
    found = np.full((len(pictures), parts[0].shape[1]), np.nan, dtype=np.float32)
    found[places] = np.concatenate(parts)
    return found


@dataclass
class FittedEmbeddings:
    """What predictions mean, and a head; or a table model, where it uses more than features or is of another kind."""

    spec: predictor.Spec
    model: Head | Fitted

    def predict(self, rows: pd.DataFrame) -> Array:
        """(n, columns) predictions in the order of `Target.columns`; the average where there is no picture."""
        predictions = np.tile(np.array(self.spec.prior), (len(rows), 1))
        seen = rows["picture_0"].notna().to_numpy()
        if seen.any() and isinstance(self.model, Head):
            features = rows.loc[seen].filter(regex=r"^picture_\d+$").to_numpy(np.float32, copy=True)
            outputs = self.model(torch.from_numpy(features))
            predictions[seen] = self.spec.values(self.spec.predictions(outputs).numpy())
        elif seen.any() and not isinstance(self.model, Head):
            predictions[seen] = self.model.predict(rows.loc[seen].drop(columns=NETWORK).reset_index(drop=True))
        return predictions

    def save(self, folder: Path) -> None:
        """A head as numbers beside the code that predicts with it, without pickle; else as table models are saved."""
        predictor.save_spec(self.spec, folder, code=isinstance(self.model, Head))
        if isinstance(self.model, Head):
            predictor.save_head(self.model, folder)
        else:
            self.model.save(folder)


def load_embeddings(recipe: Embeddings, folder: Path) -> FittedEmbeddings:
    """Read what `FittedEmbeddings.save` wrote."""
    spec = predictor.load_spec(folder)
    return FittedEmbeddings(spec, predictor.load_head(folder, spec) if spec.head else recipe.table().load(folder))


def fit_embeddings(recipe: Embeddings, part: Part, setting: Setting) -> FittedEmbeddings:
    """Train on rows whose picture could be read."""
    network, seen = part.table[NETWORK].iloc[0], part.table["picture_0"].notna().to_numpy()[part.places]
    part = replace(part.only(seen), table=part.table.drop(columns=NETWORK))
    print(f"{recipe.backbone}, weights: {network.origin}")
    fitted = recipe.table(setting.target).fit(part, setting)
    table, spec = describe(recipe, network, part.y, np.ones(len(part.y), dtype=bool), setting)
    if spec.center:  # heads learn values as they are
        table = table * spec.scale + spec.center
        spec = replace(spec, center=(0.0,) * table.shape[1], scale=(1.0,) * table.shape[1])
    named = recipe.head in HEADS and not (recipe.columns or recipe.features or recipe.stack_on)
    if not named or not (how := _plain_numbers(fitted, part.rows, table)):
        print("predicts in a workspace alone: it uses more than pictures, or its head is of another kind")
        return FittedEmbeddings(spec, fitted)
    low, high = (np.broadcast_to(end, table.shape[1]) for end in (fitted.bounds if spec.center else (-np.inf, np.inf)))
    columns = [int(name.removeprefix("picture_")) for name in fitted.columns.preparer.numbers]
    arrays, boosters = how.pop("arrays") | {"columns": columns, "low": low, "high": high}, how.pop("boosters", ())
    head = Head(**how, boosters=boosters, tensors={name: torch.as_tensor(np.array(x)) for name, x in arrays.items()})
    return FittedEmbeddings(replace(spec, task=spec.task if head.kind == "lines" else "as it is", head=how), head)


def _plain_numbers(fitted: FittedTabular, rows: pd.DataFrame, targets: Array) -> dict[str, Any]:
    """The kind of a model of numbers alone, its settings, arrays and boosters; empty for kinds that are not known here.

    Args:
        rows, targets: it was trained on; neighbours are found among them.
    """
    models, one = fitted.models, vars(fitted.models[0]).get("estimator")
    if all(isinstance(model, LightGBM) for model in models):
        return {"kind": "trees", "boosters": tuple(model.booster for model in models), "arrays": {}}
    if type(one).__name__ in ("LogisticRegression", "RidgeCV"):
        return {"kind": "lines", "arrays": _scaling(fitted) | _lines(fitted)}
    if one is not None and getattr(one, "metric", "") == "cosine" and one.weights in ("uniform", "distance"):
        arrays = _scaling(fitted) | {"rows": fitted.columns.transform(rows), "targets": targets}
        nearer = one.weights == "distance"
        return {"kind": "neighbours", "neighbours": min(one.n_neighbors, len(rows)), "nearer": nearer, "arrays": arrays}
    return {}


def _scaling(fitted: FittedTabular) -> dict[str, Array]:
    """Of `kgl.tabular.prepare.Dense`."""
    _, robust, _, standard = fitted.columns.preparer.fill.named_steps.values()
    return {"center": robust.center_, "scale": robust.scale_, "mean": standard.mean_, "std": standard.scale_}


def _lines(fitted: FittedTabular) -> dict[str, Array]:
    """Weights and biases of each output; what training never saw is impossible, what it always saw certain."""
    target, features = fitted.target, len(fitted.columns.preparer.numbers)
    weight, bias = np.zeros((len(target.columns), features)), np.full(len(target.columns), -np.inf)
    for i, model in enumerate(fitted.models):
        places = model.seen if target.one_label else np.array([i])
        bias[places] = 0.0 if target.one_label else np.inf if model.seen[0] else -np.inf
        if len(model.seen) > 1 or not model.classes:  # of two labels the second alone has a line
            lines = model.estimator.coef_.reshape(-1, features)
            weight[places[-len(lines) :]], bias[places[-len(lines) :]] = lines, model.estimator.intercept_
    return {"weight": weight, "bias": bias}
