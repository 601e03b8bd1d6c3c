"""A trained network and what its numbers mean. Needs torch, torchvision and timm, and of this package what it copies.

A copy of this file lies beside every saved model, and predicts without the workspace:

    python predict.py picture.jpg another.png        one line a picture: its path, then the predictions
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kgl.image.decode import Fit, UnreadableImage, decode
from kgl.image.heads import Head

Array = NDArray[Any]
WEIGHTS, SPEC = "model.safetensors", "model.json"
BACKBONE = "backbone.safetensors"  # beside the folds of a run: a frozen network is the same for all
CLASSES = ("binary", "multiclass")
# how values are learnt, and back: with a loss on logarithms, squared errors are right on the logarithm
INVERSE: dict[str, Any] = {"": np.asarray, "log": np.exp, "log1p": np.expm1}
# axes of pictures that are flipped, a view each
MIRRORS: dict[str, list[tuple[int, ...]]] = {"none": [()], "horizontal": [(), (3,)], "both": [(), (3,), (2,), (2, 3)]}


@dataclass(frozen=True)
class Spec:
    """All that prediction needs beside the weights.

    Args:
        arguments: those of `create_module`.
        image_size, channels, fit: how a file becomes a picture; see `decode`.
        mean, std: of each channel of pictures between 0 and 1.
        mirror: which mirror images are predicted too, and averaged.
        task, columns: what is predicted, and the names of the columns. Task "as it is": outputs are predictions.
        prior: the prediction for a picture that cannot be read, (columns,).
        center, scale, log: how the values of a regression were standardised, each (columns,).
        head: of `Head`, what is no tensor; empty where the network itself was trained.
    """

    arguments: dict[str, Any]
    image_size: int
    channels: int
    fit: Fit
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirror: str
    task: str
    columns: tuple[str, ...]
    prior: tuple[float, ...]
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    log: str = ""
    head: dict[str, Any] = field(default_factory=dict)

    def predictions(self, outputs: Tensor) -> Tensor:
        """What averages well: probabilities, or standardised values; (n, columns) of the network's outputs."""
        if self.task in CLASSES:
            return outputs.double().softmax(dim=1)
        return outputs.double().sigmoid() if self.task == "multilabel" else outputs.double()

    def values(self, predictions: Array) -> Array:
        """Averaged predictions on the scale of the target."""
        if not self.center:
            return predictions
        return np.asarray(INVERSE[self.log](predictions * np.array(self.scale) + np.array(self.center)))


class Predictor:
    """A network in evaluation mode that predicts in float32, each picture on its own; below a head, its features."""

    def __init__(
        self, spec: Spec, module: nn.Module, device: torch.device | str = "cpu", head: Head | None = None
    ) -> None:
        self.spec, self.device, self.head = spec, torch.device(device), head
        self.module: nn.Module = module.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.normalise = Normalise(spec.mean, spec.std, self.device)

    def predict(self, batches: Iterable[Tensor]) -> Array:
        """(n, columns) float64 predictions of batches of uint8 pictures, (n, channels, size, size)."""
        parts = [self._probe(batch).numpy() for batch in batches]
        return self.spec.values(np.concatenate(parts)) if parts else np.zeros((0, len(self.spec.columns)))

    @torch.inference_mode()
    def _probe(self, batch: Tensor) -> Tensor:
        try:
            pictures = self.normalise(batch)
            views = [self.module(pictures.flip(dims)).float().cpu() for dims in MIRRORS[self.spec.mirror]]
            views = [self.head(view) for view in views] if self.head else views
            return torch.stack([self.spec.predictions(view) for view in views]).mean(dim=0)
        except RuntimeError as error:
            if not is_out_of_memory(error) or len(batch) == 1:
                raise
        return torch.cat([self._probe(half) for half in batch.tensor_split(2)])

    def predict_files(self, paths: Sequence[Path | str]) -> Array:
        """(n, columns) predictions of picture files; the prior for those that cannot be read."""
        batch_size = batch_size_on(self.device)
        predictions = np.tile(np.array(self.spec.prior), (len(paths), 1))
        size = (self.spec.image_size, self.spec.image_size)
        for first in range(0, len(paths), batch_size):
            read: dict[int, Tensor] = {}
            for i, path in enumerate(paths[first : first + batch_size], start=first):
                try:
                    pixels = decode(Path(path), channels=self.spec.channels, size=size, fit=self.spec.fit)
                    read[i] = torch.as_tensor(pixels).permute(2, 0, 1)
                except UnreadableImage as error:
                    print(f"{error}; it gets the prior", file=sys.stderr)
            if read:
                predictions[list(read)] = self.predict([torch.stack(list(read.values()))])
        return predictions

    def save(self, folder: Path) -> None:
        """Write weights, spec, and the code that predicts with them."""
        save_tensors(self.module.state_dict(), folder / WEIGHTS)
        save_spec(self.spec, folder)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> "Predictor":
        """The network that was saved in a folder of a run, and its head."""
        spec = load_spec(folder)
        module = create_module(spec.arguments)
        module.load_state_dict(load_file(folder.resolve().parents[1] / BACKBONE if spec.head else folder / WEIGHTS))
        return cls(spec, module, device, load_head(folder, spec) if spec.head else None)


def save_spec(spec: Spec, folder: Path, *, code: bool = True) -> None:
    """Write what weights mean; and the code that predicts: this file, its imports, a network of one's own."""
    versions = {"torch": torch.__version__, "timm": timm.__version__}
    (folder / SPEC).write_text(json.dumps(asdict(spec) | {"versions": versions}, indent=2), encoding="utf-8")
    here = Path(__file__)
    copies = {here: "predict.py", here.parents[1] / "errors.py": "kgl/errors.py"}
    copies |= {here.with_name(name): f"kgl/image/{name}" for name in ("decode.py", "heads.py")}
    own, colon, _ = spec.arguments["model_name"].partition(":")
    if colon:
        copies |= {Path(str(sys.modules[own].__file__)): own.replace(".", "/") + ".py"}
    for source, copy in copies.items() if code else ():
        (folder / copy).parent.mkdir(parents=True, exist_ok=True)
        (folder / copy).write_text(source.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
        for package in list(Path(copy).parents)[:-1]:  # else an installed kgl would come before the copy
            (folder / package / "__init__.py").touch()


def load_spec(folder: Path) -> Spec:
    """What `save_spec` wrote."""
    values: dict[str, Any] = json.loads((folder / SPEC).read_text(encoding="utf-8"))
    del values["versions"]
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Spec(**values)


def save_head(head: Head, folder: Path) -> None:
    """Write the numbers of a head, and LightGBM's trees as its own text."""
    save_tensors(head.tensors, folder / WEIGHTS)
    for i, booster in enumerate(head.boosters):
        (folder / f"model-{i}.txt").write_text(booster.model_to_string(), encoding="utf-8", newline="\n")


def load_head(folder: Path, spec: Spec) -> Head:
    """What `save_head` wrote."""
    trees = sorted(folder.glob("model-*.txt"), key=lambda path: int(path.stem.removeprefix("model-")))
    boosters = tuple(import_module("lightgbm").Booster(model_str=path.read_text(encoding="utf-8")) for path in trees)
    return Head(**spec.head, tensors=load_file(folder / WEIGHTS), boosters=boosters)


def create_module(arguments: Mapping[str, Any]) -> nn.Module:
    """A network without its weights: a model of timm, or for `module:name` what one's own file has of that name."""
    own, colon, name = arguments["model_name"].partition(":")
    if not colon:
        return timm.create_model(**arguments, pretrained=False)
    settings = {key: value for key, value in arguments.items() if key != "model_name"}
    module: nn.Module = getattr(import_module(own), name)(**settings)
    return module


def batch_size_on(device: torch.device) -> int:
    """How many pictures to look at at once: few stay in a CPU's caches, up to 1.4 times as fast, for less memory."""
    return 8 if device.type == "cpu" else 64


class Normalise:
    """uint8 pictures to what the network takes, on its device."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        self.device = device
        means, stds = torch.tensor(mean, device=device), torch.tensor(std, device=device)
        self.scale, self.shift = 1 / (stds * 255), -means / stds

    def __call__(self, pictures: Tensor) -> Tensor:
        pictures = pictures.to(self.device, non_blocking=True)
        n, c, h, w = pictures.shape
        # channels lie innermost: rows of width x channels numbers fill the processor's vectors, three at a time do not
        flat = pictures.permute(0, 2, 3, 1).reshape(n * h, w * c).float()
        flat.mul_(self.scale.repeat(w)).add_(self.shift.repeat(w))
        return flat.view(n, h, w, c).permute(0, 3, 1, 2)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write weights as safetensors."""
    plain = torch.contiguous_format
    save_file({name: t.detach().cpu().clone(memory_format=plain) for name, t in tensors.items()}, path)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too small, that of a GPU or of the machine."""
    words = ("not enough memory", "can't allocate memory", "out of memory", "could not create a primitive")  # oneDNN's
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error).lower() for word in words)


if __name__ == "__main__":
    loaded, files = Predictor.load(Path(__file__).parent), sys.argv[1:]
    print("path", *loaded.spec.columns, sep="\t")
    for name, row in zip(files, loaded.predict_files(files), strict=True):
        print(name, *(f"{value:.9g}" for value in row), sep="\t")
