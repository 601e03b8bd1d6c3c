"""The experiment on pictures: which network, from which weights, trained how."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas as pd

from kgl.errors import usage
from kgl.experiment import Experiment, Part, Setting
from kgl.target import Target

if TYPE_CHECKING:
    from kgl.image.transforms import Augment

LOWEST = {"image_size": 8, "epochs": 1, "batch_size": 2, "accumulate": 1, "learning_rate": 1e-9, "head_scale": 1e-9}
HIGHEST = {"layer_decay": 1, "label_smoothing": 0.99, "ema": 0.99999}


@dataclass(frozen=True, kw_only=True)
class Vision(Experiment):
    """A network on pictures, trained as kgl/image/train.py says.

    Args:
        model: any model of timm, such as resnet18, convnext_tiny.fb_in22k, vit_small_patch16_224; or a network of your
            own: an `nn.Module` class, or a function that gives one, called with num_classes, in_chans and `params`.
        params: further arguments of `timm.create_model`, such as {"drop_path_rate": 0.1}.
        weights: "pretrained" (a file in data/weights or an attached data set, else the hub), "none" (from scratch),
            or a file of your own.
        image_size: pixels of each side. Larger sees more and takes longer, by the square.
        resize: "squash" changes the proportions of a picture, "crop" cuts, "pad" adds black.
        in_chans: 3 colours, or 1 for grey.
        augment: how much each picture is changed each time it is seen, besides mirrored: none, light, medium or strong.
        mirror: which mirror images show the same thing; trained on, and averaged in predictions.
        transform: a change of your own, after those: a function of a uint8 tensor (channels, height, width).
        mixup, cutmix: how strongly two pictures are blended, or one is pasted into another; 0 for not at all.
        epochs: how often each picture is seen.
        batch_size: pictures at once; accumulate: so many batches make one step.
        optimizer: a name of timm. learning_rate: its peak, reached after warmup_epochs and then falling as a cosine.
        head_scale: the new last layer learns so many times as fast as the rest.
        layer_decay: each layer learns so much slower than the one above it (0.65 to 0.9; for transformers).
        frozen_epochs: so long only the last layer learns.
        label_smoothing: the share of a label that is given to all classes alike.
        balanced: whether each class counts the same however many pictures it has.
        clip: gradients longer than this are cut; 0 for never.
        ema: a moving average of the weights predicts, with this decay (0.99 to 0.9999); 0 for none.
        choose: which epoch predicts. "last"; or the best on an inner "holdout" of the training rows, which is then not
            trained on; or the best on the "fold" that it validates: its own labels then choose, so its score is rosy,
            and the run is marked. A moving average counts as a network of its own.
        minutes: a fold's time; it ends with what was learnt, its learning rate lowered in time. 0 for no limit.
            What is learnt in minutes depends on the machine and its load: such a run does not repeat itself.
        threads: of the processor for one model; 0: as for tables, by the number of rows. All your cores for folds=0.
        precision: "auto" by the device, or fp32, bf16, fp16.
        compile: whether long trainings on a GPU are compiled.

    Example:
        experiment = Vision(model="resnet18", image_size=128, epochs=10, augment="medium")
    """

    model: str | Callable[..., Any] = "resnet18"
    params: Mapping[str, Any] = field(default_factory=dict)
    weights: str = "pretrained"
    image_size: int = 224
    resize: Literal["squash", "crop", "pad"] = "squash"
    in_chans: Literal[1, 3] = 3
    augment: Literal["none", "light", "medium", "strong"] = "light"
    mirror: Literal["none", "horizontal", "both"] = "horizontal"
    transform: Callable[..., Any] | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    epochs: int = 8
    batch_size: int = 32
    accumulate: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    head_scale: float = 1.0
    layer_decay: float | None = None
    frozen_epochs: int = 0
    label_smoothing: float = 0.0
    balanced: bool = False
    clip: float = 1.0
    ema: float = 0.0
    choose: Literal["last", "holdout", "fold"] = "last"
    minutes: float = 0.0
    threads: int = 0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = True
    kind: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in vars(self).items():
            lowest = LOWEST.get(name, 0)
            if isinstance(value, int | float) and not lowest <= value <= HIGHEST.get(name, value):
                ends = f"{lowest} to {HIGHEST[name]}" if name in HIGHEST else f"{lowest} or more"
                raise usage(f"Vision: {name}: expected {ends}, got {value}.")

    def check(self, target: Target, loss: str) -> None:
        """Refuse a model or an optimizer that timm does not have, and balanced classes where there are none."""
        from torch import nn

        from kgl.image.network import build_optimizer, check_network

        if self.balanced and not target.one_label:
            raise usage(f"balanced: expected a target of one class a row, this task is {target.task}; leave it out.")
        check_network(self.model, self.params)
        build_optimizer(self.optimizer, nn.Linear(1, 1), self.learning_rate)

    @property
    def peeks(self) -> bool:
        """Whether the fold's own labels choose the epoch."""
        return self.choose == "fold"

    def at_once(self) -> int | None:
        """One training a GPU, each in a process; on the CPU as `threads` leave room, else as cores and rows suggest."""
        import torch

        from kgl.cores import usable_cores

        cores, gpus = usable_cores(), torch.cuda.device_count() or int(torch.backends.mps.is_available())
        if self.threads and not gpus:
            return max(1, cores // self.threads)
        return min(gpus, cores) or None

    def augmentation(self) -> "Augment":
        """How training pictures are changed."""
        from kgl.image.transforms import Augment

        mirrored, flipped = self.mirror != "none", self.mirror == "both"
        return Augment(self.augment, horizontal_flip=mirrored, vertical_flip=flipped, own=self.transform)

    def prepare_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with their pictures: decoded once, and kept in data/cache where they fit."""
        from kgl.image.learner import add_pictures

        return add_pictures(rows, size=self.image_size, channels=self.in_chans, fit=self.resize)

    def fit(self, part: Part, setting: Setting) -> Any:
        """Train on one part of the rows; see `kgl.image.learner`."""
        from kgl.image.learner import fit_vision

        return fit_vision(replace(self, epochs=1, frozen_epochs=0) if setting.quick else self, part, setting)

    def load(self, folder: Path) -> Any:
        """Read a saved network."""
        from kgl.image.learner import load_vision

        return load_vision(self, folder)
