"""The training of a network: one recipe in plain PyTorch, from top to bottom.

Every random number depends on (seed, epoch, sample) or (seed, step), so a training that is killed at any moment and
started again ends with the same weights, bit for bit on a CPU, as one that was never interrupted.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from timm.scheduler.scheduler_factory import create_scheduler_v2
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torchvision.transforms import v2

from kgl.arrays import Array
from kgl.errors import KglError
from kgl.experiment import Setting
from kgl.image.cache import Pictures
from kgl.image.checkpoint import load_checkpoint, optimizer_tensors, restore_optimizer, save_checkpoint
from kgl.image.device import pick_precision
from kgl.image.loader import batches, epoch_order, train_batch_count
from kgl.image.network import build_optimizer, freeze, keyed, parameter_groups
from kgl.image.predictor import CLASSES, Normalise, Spec, is_out_of_memory

if TYPE_CHECKING:
    from kgl.image.experiment import Vision

SAVE_EVERY = 120.0  # seconds between checkpoints: the most that a kill costs; one of a large network takes a second
LOOK_EVERY = 50  # steps between looks at the loss: each makes a GPU wait
COMPILE_PAYS_FROM = 300_000  # pictures in all epochs: compiling takes about a minute
WATCH_SHARE, WATCH_FREE = 1 / 3, 1.0  # of an epoch's time, and seconds: what looking at the metric may take


@dataclass(frozen=True)
class Lesson:
    """What is learnt, from what.

    pictures: of all rows. rows: those that are trained on, positions in `pictures`.
    targets: (len(pictures), outputs) float32: shares of classes, 0/1 of labels or standardised values; NaN elsewhere.
    class_weight: a weight a class, or None. absolute: whether values are learnt by absolute errors.
    metrics: the contest's metric of a network by the name of the part that it is measured on, such as "holdout".
    choose: the part by which the best epoch is chosen; empty for the last epoch.
    greater_is_better: of the metric.
    """

    pictures: Pictures
    rows: Array
    targets: Array
    class_weight: Array | None = None
    absolute: bool = False
    metrics: Mapping[str, Callable[[nn.Module], float]] = field(default_factory=dict)
    choose: str = ""
    greater_is_better: bool = True


@dataclass
class Progress:
    """How far a training has come: plain values, kept in the checkpoint."""

    epoch: int = 0
    batch: int = 0  # steps done in this epoch
    step: int = 0  # steps done in all
    parts: int = 1  # a step's rows go through the network in so many parts
    threads: int = 1  # sums depend on it
    seconds: float = 0.0
    best: float | None = None
    watch_every: int = 1  # epochs
    said: list[str] = field(default_factory=list)
    history: list[dict[str, float | None]] = field(default_factory=list)  # an epoch each
    scaler: dict[str, Any] = field(default_factory=dict)


class Training:
    """One network in training.

    Args:
        recipe: the experiment, whose settings are the recipe's numbers.
        module: the network, changed in place.
        spec: how it reads pictures and what its outputs mean.
        lesson: what it learns.
        setting: the seed of everything that is drawn; the folder of checkpoints; the name before lines of progress.
        device: where it is trained.
    """

    def __init__(
        self, recipe: "Vision", module: nn.Module, spec: Spec, lesson: Lesson, *, setting: Setting, device: torch.device
    ) -> None:
        self.recipe, self.spec, self.lesson, self.device = recipe, spec, lesson, device
        self.seed, self.scratch, self.name, self.metric = setting.seed, setting.scratch, setting.name, setting.metric
        self.module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.size = recipe.batch_size * recipe.accumulate
        self.steps = train_batch_count(len(lesson.rows), self.size)  # an epoch
        self.total = self.steps * recipe.epochs
        decay, scale = recipe.weight_decay, recipe.head_scale
        groups = parameter_groups(self.module, weight_decay=decay, layer_decay=recipe.layer_decay, head_scale=scale)
        self.optimizer = build_optimizer(recipe.optimizer, groups, recipe.learning_rate)
        warm, least = min(recipe.warmup_epochs, recipe.epochs / 4), recipe.learning_rate / 100
        steps: Any = {"step_on_epochs": False, "updates_per_epoch": self.steps, "warmup_epochs": warm}
        rates: Any = {"warmup_lr": least, "min_lr": least}
        self.schedule, _ = create_scheduler_v2(self.optimizer, "cosine", recipe.epochs, **rates, **steps)
        self.precision = pick_precision(recipe.precision, self.module, device, spec.image_size)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == torch.float16)
        self.ema = ModelEmaV3(self.module, decay=recipe.ema, use_warmup=True) if recipe.ema else None
        self.normalise = Normalise(spec.mean, spec.std, device)
        self.mixes = [mix(alpha=a) for mix, a in ((v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix)) if a]
        weight = lesson.class_weight
        self.class_weight = None if weight is None else torch.tensor(weight, dtype=torch.float32, device=device)
        self.forward = torch.compile(self.module) if self._compile_pays() else self.module
        self.progress = Progress(parts=recipe.accumulate, threads=recipe.threads or setting.threads)
        self.best: dict[str, Tensor] = {}  # weights, where an epoch is chosen
        self.last: dict[str, Tensor] = {}  # of the network that would predict, where another was chosen
        self.loss_sum = torch.zeros((), device=device)

    def _compile_pays(self) -> bool:
        possible = self.recipe.compile and self.device.type == "cuda" and sys.platform != "win32"
        return possible and self.total * self.size >= COMPILE_PAYS_FROM

    def run(self) -> nn.Module:
        """Train to the end, or to the time limit, and give back the network that predicts.

        That is the one of the last epoch, its moving average if there is one, or the best by `Lesson.choose`.

        Raises:
            KglError: outputs are of another shape than the target, the loss is no longer a number, or memory is too
                small for two pictures.
        """
        self._resume()
        torch.set_num_threads(self.progress.threads)
        self.began, self.saved = time.monotonic() - self.progress.seconds, time.monotonic()
        torch.backends.cudnn.benchmark = True
        while self.progress.epoch < self.recipe.epochs and not self._time_is_over():
            self._epoch()
        if self.progress.step < self.total:
            self._say(f"{self.recipe.minutes:g} minutes are over: {self.progress.step} of {self.total} steps")
        chosen: nn.Module = self.ema.module if self.ema else self.module
        if self.best:
            self.last = _copy(chosen)
            chosen.load_state_dict(self.best)
        return chosen.requires_grad_(True)

    def _epoch(self) -> None:
        now, first, began = self.progress, self.progress.batch, time.monotonic()
        freeze(self.module, now.epoch < self.recipe.frozen_epochs)
        drawn: Any = {"seed": self.seed, "epoch": now.epoch}
        order, changes = epoch_order(self.lesson.rows, **drawn), self.recipe.augmentation()
        ahead: Any = {"batch_size": self.size, "skip": now.batch, "pin": self.device.type == "cuda"}
        for pictures, rows in batches(self.lesson.pictures, order, augment=changes, **drawn, **ahead):
            self._step(pictures, torch.from_numpy(self.lesson.targets[rows]))
            now.batch, now.step = now.batch + 1, now.step + 1
            if now.step % LOOK_EVERY == 0:
                self._check_loss()
                self._show((now.batch - first) * self.size / (time.monotonic() - began))
            if now.batch < self.steps:
                self._save()
            if self._time_is_over():
                break
        self._end_epoch(time.monotonic() - began, now.batch - first)

    def _step(self, pictures: Tensor, targets: Tensor) -> None:
        """One step of the optimizer; where memory is too small the rows go through in smaller parts."""
        self.schedule.step_update(self._place())
        while not self._backward(pictures, targets):
            self.progress.parts *= 2
            size, rows = self.spec.image_size, len(pictures) // self.progress.parts
            if rows < 2:
                raise KglError(f"memory is too small for two pictures of {size} pixels; lower image_size.")
            self._say(f"out of memory: {rows} pictures at once from step {self.progress.step + 1} on, as many a step")
        self.scaler.unscale_(self.optimizer)
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema:
            self.ema.update(self.module, step=self.progress.step + 1)

    def _backward(self, pictures: Tensor, targets: Tensor) -> bool:
        """Gradients of all rows; False if memory was too small. Dropout and mixing draw by (seed, step)."""
        torch.manual_seed(keyed(self.seed, self.progress.step))
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        parts = max(1, min(self.progress.parts, len(pictures) // 2))  # one row alone has no batch statistics
        try:
            for x, y in zip(pictures.tensor_split(parts), targets.tensor_split(parts), strict=True):
                loss = self._loss(self.normalise(x), y.to(self.device)) * (len(x) / len(pictures))
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return False
        self.loss_sum += total
        return True

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        if self.mixes and len(x) > 1:
            x, y = self.mixes[int(torch.randint(len(self.mixes), ()))](x, y)
        with self._autocast():
            outputs = self.forward(x)
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        if got != y.shape:
            raise KglError(f"{self.spec.arguments['model_name']} gave {got}, expected {tuple(y.shape)}.")
        outputs, smoothing = outputs.float(), self.recipe.label_smoothing
        if self.spec.task in CLASSES:
            return F.cross_entropy(outputs, y, weight=self.class_weight, label_smoothing=smoothing)
        if self.spec.task == "multilabel":
            return F.binary_cross_entropy_with_logits(outputs, y * (1 - smoothing) + smoothing / 2)
        return F.l1_loss(outputs, y) if self.lesson.absolute else F.mse_loss(outputs, y)

    def _autocast(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.precision == torch.float32 else torch.autocast(self.device.type, self.precision)

    def _place(self) -> int:
        """The place in the schedule: the step, or further where time would run out before the learning rate is low."""
        limit = self.recipe.minutes * 60
        hurry = (time.monotonic() - self.began) / limit * self.total if limit else 0
        return max(self.progress.step, min(int(hurry), self.total))

    def _time_is_over(self) -> bool:
        return 0 < self.recipe.minutes * 60 < time.monotonic() - self.began

    def _check_loss(self) -> None:
        """Stop where the loss is no number any more, before such weights are saved."""
        if not math.isfinite(float(self.loss_sum)):
            place = f"epoch {self.progress.epoch + 1}, step {self.progress.step}, learning rate {self._rate():.1e}"
            raise KglError(
                f"the loss is no longer a number ({place}, {str(self.precision).removeprefix('torch.')}); "
                "lower learning_rate or set precision=fp32."
            )

    def _show(self, speed: float) -> None:
        """Where the epoch stands, on a terminal alone; the next line takes its place."""
        if sys.stderr.isatty():
            now = self.progress
            line = f"{self.name}  epoch {now.epoch + 1}  step {now.batch}/{self.steps}  {speed:.0f} pictures/s"
            print(line, end="\r", file=sys.stderr, flush=True)

    def _rate(self) -> float:
        """The learning rate of a layer that is neither slowed nor hurried."""
        group = self.optimizer.param_groups[0]
        return float(group["lr"] / group.get("lr_scale", 1.0))

    def _end_epoch(self, seconds: float, batches: int) -> None:
        """Measure, tell and save. `batches` of the epoch were done in `seconds`, the others before a restart."""
        self._check_loss()
        now, loss, speed = self.progress, float(self.loss_sum) / self.progress.batch, batches * self.size / seconds
        found = self._look(seconds / batches * self.steps)
        now.epoch, now.batch = now.epoch + 1, 0
        self.loss_sum.zero_()
        known = {name: value if math.isfinite(value) else None for name, value in found.items()}
        times = {"seconds": round(seconds, 3), "pictures_a_second": round(speed, 1)}
        record = {"epoch": now.epoch, "step": now.step, "loss": loss, "learning_rate": self._rate()}
        now.history.append({**record, **known, **times})
        line = f"epoch {now.epoch}/{self.recipe.epochs}  loss {loss:.4f}  rate {self._rate():.1e}"
        for part in self.lesson.metrics:
            if part in found:
                line += f"  {self.metric if part == 'fold' else part} {found[part]:.5f}"
                line += f" (ema {found[part + '_ema']:.5f})" if self.ema else ""
        self._say(f"{line}  {speed:.0f} pictures/s  {seconds:.1f} s")
        self._save()

    def _look(self, epoch_seconds: float) -> dict[str, float]:
        """The metric of the network and of its average on each part, and the best weights; equal ones: the later.

        What does not choose is looked at less often where that takes too much of the time.
        """
        now, lesson, found, took = self.progress, self.lesson, dict[str, float](), 0.0
        networks = {"": self.module} | ({"_ema": self.ema.module} if self.ema else {})
        due = now.epoch % now.watch_every == 0 or now.epoch + 1 == self.recipe.epochs
        for part in [part for part in lesson.metrics if due or part == lesson.choose]:
            began = time.monotonic()
            for which, module in networks.items():
                with self._autocast():
                    found[part + which] = value = lesson.metrics[part](module)
                if part == lesson.choose:
                    self._keep_if_best(value if lesson.greater_is_better else -value, module)
            took += time.monotonic() - began if part != lesson.choose else 0
        if now.epoch == 0 and took > max(WATCH_FREE, WATCH_SHARE * epoch_seconds):
            now.watch_every = math.ceil(took / epoch_seconds / WATCH_SHARE)
            self._say(f"the fold is looked at every {now.watch_every} epochs: that takes {took:.0f} s")
        return found

    def _keep_if_best(self, gain: float, module: nn.Module) -> None:
        if math.isfinite(gain) and (self.progress.best is None or gain >= self.progress.best):
            self.progress.best, self.best = gain, _copy(module)

    def _say(self, line: str) -> None:
        """A line for the log, and for who watches."""
        self.progress.said.append(line)
        print(line)
        print(f"{self.name}  {line}".strip(), file=sys.stderr, flush=True)

    def _save(self) -> None:
        """Write a checkpoint, if it is time for one."""
        if self.scratch is None or time.monotonic() - self.saved < SAVE_EVERY:
            return
        self._check_loss()
        now = self.progress
        now.seconds, now.scaler = time.monotonic() - self.began, self.scaler.state_dict()
        parts = {"model": self.module.state_dict(), "best": self.best, "sum": {"loss": self.loss_sum}}
        parts |= {"optimizer": optimizer_tensors(self.optimizer)}
        parts |= {"ema": self.ema.module.state_dict()} if self.ema else {}
        save_checkpoint(self.scratch, parts, vars(now))
        self.saved = time.monotonic()

    def _resume(self) -> None:
        found = load_checkpoint(self.scratch)
        if found is None:
            return
        parts, state = found
        self.progress = Progress(**state)
        self.module.load_state_dict(parts["model"])
        restore_optimizer(self.optimizer, parts.get("optimizer", {}))
        if self.ema:
            self.ema.module.load_state_dict(parts["ema"])
        self.scaler.load_state_dict(self.progress.scaler)
        self.best = parts.get("best", {})
        self.loss_sum.copy_(parts["sum"]["loss"])
        for line in self.progress.said:
            print(line)
        self._say(f"goes on at epoch {self.progress.epoch + 1}, step {self.progress.step + 1} of {self.total}")


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
