"""Networks: any model of timm. Weights come from this machine first, then from the hub; their licence is shown."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kgl.competition import KAGGLE_INPUTS, load_competition
from kgl.config import nearest
from kgl.errors import KglError, usage
from kgl.paths import find_workspace, read_json

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
PRETRAINED, RANDOM = "pretrained", "none"
HUB_CLIENTS = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib3")


@dataclass(frozen=True)
class Network:
    """A network as it is before training.

    module: takes normalised pictures, (n, in_chans, size, size).
    arguments: those of `timm.create_model` that build it again, without weights.
    mean, std: of each channel, what pictures between 0 and 1 are normalised with.
    origin: where the weights come from and under which licence, for people.
    """

    module: nn.Module
    arguments: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str


def keyed(*numbers: int) -> int:
    """A seed for torch made of several numbers (a seed, an epoch, a step): near ones give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def check_network(model: str, params: Mapping[str, Any]) -> None:
    """Refuse a model that timm does not have, and parameters that the workspace sets itself.

    Raises:
        KglError: with the nearest model (status 2).
    """
    import timm

    if not timm.is_model(model):
        hint = nearest(model.split(".")[0], timm.list_models())
        raise usage(f"model: timm {timm.__version__} has no '{model}'.{hint} All of them: timm.list_models().")
    for key in ("pretrained", "num_classes", "checkpoint_path"):
        if key in params:
            raise usage(f"params: '{key}' is set by the workspace; use weights={PRETRAINED}, {RANDOM} or a file.")
    try:
        json.dumps(dict(params))
    except TypeError as error:
        raise usage(f"params: they are saved as JSON beside the weights; give texts and numbers ({error}).") from None


def build_network(
    model: str,
    *,
    outputs: int,
    image_size: int,
    in_chans: int = 3,
    params: Mapping[str, Any] | None = None,
    weights: str = PRETRAINED,
    seed: int = 0,
) -> Network:
    """Make a network, the same for the same seed.

    Args:
        model: a name of timm, such as `resnet18` or `convnext_tiny.fb_in22k`.
        outputs: numbers that it gives for each picture; 0: its features.
        image_size: height and width in pixels; told to models that are made for one size.
        in_chans: channels of a picture.
        params: further arguments of `timm.create_model`, such as `drop_path_rate`.
        weights: "pretrained", "none", or a file: a path, or a name in data/weights or in an attached data set.
        seed: of all weights that are drawn.

    Raises:
        KglError: an argument that the model does not take (2); weights that are not here and cannot be fetched (1).
    """
    import timm

    config = timm.get_pretrained_cfg(model)
    arguments = {"model_name": model, "num_classes": outputs, "in_chans": in_chans, **(params or {})}
    overlay = arguments.pop("pretrained_cfg_overlay", None) or {}
    if config is not None and config.fixed_input_size:
        arguments.setdefault("img_size", image_size)
    file = None if weights == RANDOM else find_weights(model, weights)
    if file is not None:
        overlay = _config_beside(file) | {"input_size": (3, image_size, image_size)} | overlay | {"file": str(file)}
    torch.manual_seed(keyed(seed))
    with _told(model, file):
        if weights == PRETRAINED and file is None:
            _greet_hub()
        module = timm.create_model(**arguments, pretrained=weights != RANDOM, pretrained_cfg_overlay=overlay or None)
        if file is not None:
            torch.manual_seed(keyed(seed))
            _check_loaded(module, timm.create_model(**arguments, pretrained=False))
    data = timm.data.resolve_model_data_config(module)  # type: ignore[no-untyped-call]
    mean, std = _for_channels(data["mean"], in_chans), _for_channels(data["std"], in_chans)
    return Network(module, arguments, mean, std, _origin(module, weights, file))


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Statistics of RGB for other numbers of channels: the mean for one, repeated for more (timm does neither)."""
    if channels == 1:
        return (float(np.mean(values)),)
    return tuple(float(values[i % len(values)]) for i in range(channels))


def find_weights(model: str, weights: str = PRETRAINED) -> Path | None:
    """The file of the weights on this machine; None if there is none and the hub is to be asked.

    Looked for in data/weights and in attached data sets: the file that is named, or `<model>.safetensors`, or
    `model.safetensors` in a folder called like the model (and .bin, .pth, .pt); then in what the hub sent earlier.

    Raises:
        KglError: a file is named that does not exist.
    """
    workspace = find_workspace()
    if weights != PRETRAINED and (workspace.root / weights).is_file():
        return workspace.root / weights
    wanted = {weights, *(weights + suffix for suffix in SUFFIXES)}
    found = []
    for folder in (workspace.root / "data" / "weights", KAGGLE_INPUTS[-1]):
        for path in _weight_files(folder, load_competition(workspace).slug):
            name = path.stem if path.stem not in ("model", "pytorch_model") else path.parent.name
            if path.name in wanted if weights != PRETRAINED else name in (model, f"timm_{model}"):
                return path
            found.append(path.name)
    if weights != PRETRAINED:
        raise KglError(f"weights: no file {weights} in the workspace, data/weights or /kaggle/input."
                       f"{nearest(weights, found)}")  # fmt: skip
    return _sent_earlier(model)


def _sent_earlier(model: str) -> Path | None:
    """The weights in the hub's cache: asking the hub first takes a minute where there is no connection."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        return None
    found = (try_to_load_from_cache(config.hf_hub_id, name) for name in ("model.safetensors", "pytorch_model.bin"))
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _greet_hub() -> None:
    """Raise at once where there is no connection: the hub's client would try for a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    get_session().head(constants.ENDPOINT, timeout=10)


def _check_loaded(module: nn.Module, fresh: nn.Module) -> None:
    """Refuse a network most of whose tensors are still as they were drawn: timm passes over names that do not fit.

    Raises:
        RuntimeError: the file is of another model.
    """
    drawn, head = fresh.state_dict(), {id(p) for p in head_of(module).parameters()}
    tensors = {name: p for name, p in module.named_parameters() if p.ndim >= 2 and id(p) not in head}
    same = [name for name, p in tensors.items() if torch.equal(p, drawn[name])]
    if len(same) > len(tensors) / 2:
        raise RuntimeError(f"{len(same)} of {len(tensors)} tensors are not in it, such as {same[0]}")


@cache
def _weight_files(folder: Path, slug: str) -> tuple[Path, ...]:
    """The weight files below a folder; the contest's own folder is passed over, it may hold a million pictures."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in (slug, "competitions")]
        found += [Path(root) / name for name in names if name.endswith(SUFFIXES)]
    return tuple(sorted(found))


def _config_beside(file: Path) -> dict[str, Any]:
    """`pretrained_cfg` of a JSON file beside the weights, as the hub's repositories have it: mean, std, licence."""
    for path in (file.with_suffix(".json"), file.with_name("config.json")):
        if path.is_file():
            values: dict[str, Any] = read_json(path)
            return dict(values.get("pretrained_cfg", values))
    return {}


@contextmanager
def _told(model: str, file: Path | None) -> Iterator[None]:
    """Errors of building a network and of fetching its weights as one sentence."""
    try:
        yield
    except TypeError as error:
        raise usage(f"params: {model} does not take them: {error}.") from error
    except RuntimeError as error:
        if file is None and "No pretrained weights" not in str(error) and not _is_network_error(error):
            raise
        reason = str(error).strip().splitlines()[0]
        where = f"the file {file}" if file else "timm"
        raise KglError(f"{where} has no weights that fit {model} ({reason}); use a file or weights={RANDOM}.") from None
    except Exception as error:
        if not _is_network_error(error):
            raise
        raise KglError(
            f"the weights of {model} are not on this machine and the hub cannot be reached ({type(error).__name__}); "
            f"put {model}.safetensors into data/weights, attach it on Kaggle, or set weights={RANDOM}."
        ) from error


def _is_network_error(error: BaseException | None) -> bool:
    """Whether the hub could not be reached or does not have the file; its client has errors of many families."""
    while error is not None:
        if isinstance(error, OSError) or type(error).__module__.startswith(HUB_CLIENTS):
            return True
        error = error.__cause__
    return False


def _origin(module: nn.Module, weights: str, file: Path | None) -> str:
    if weights == RANDOM:
        return "none, trained from scratch"
    config: Mapping[str, Any] = getattr(module, "pretrained_cfg", {})
    place = str(file) if file else config.get("hf_hub_id") or config.get("url")
    return f"{place} (licence: {config.get('license') or 'not stated; look before you use it in a contest'})"


def parameter_groups(
    module: nn.Module, *, weight_decay: float, layer_decay: float | None, head_scale: float
) -> list[dict[str, Any]]:
    """Parameters in groups for an optimizer: no decay for biases and norms, `lr_scale` by depth and for the head.

    Args:
        layer_decay: the learning rate of each layer over that of the one above it (0.65 to 0.9 for transformers).
        head_scale: the head's learning rate over that of the rest.
    """
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay

    skipped: Any = getattr(module, "no_weight_decay", tuple)()
    if layer_decay is None:
        groups = param_groups_weight_decay(module, weight_decay, no_weight_decay_list=skipped)
    else:
        groups = param_groups_layer_decay(module, weight_decay, no_weight_decay_list=skipped, layer_decay=layer_decay)
    head = {id(p) for p in head_of(module).parameters()}
    divided = []
    for group in groups:
        scale = group.get("lr_scale", 1.0)
        for inside, factor in ((False, 1.0), (True, head_scale)):
            params = [p for p in group["params"] if (id(p) in head) == inside]
            if params:
                divided.append({**group, "params": params, "lr_scale": scale * factor})
    return divided


def head_of(module: nn.Module) -> nn.Module:
    """The last layer, which is new for each task."""
    head: Any = module.get_classifier()  # type: ignore[operator]
    return nn.ModuleList(head) if isinstance(head, tuple) else head


def freeze(module: nn.Module, frozen: bool) -> None:
    """Let only the head learn, or everything; frozen layers keep their batch statistics too."""
    module.train()
    module.requires_grad_(not frozen)
    if frozen:
        module.eval()
        head_of(module).train().requires_grad_(True)


@cache
def pick_device() -> torch.device:
    """The device of this process: a GPU that no other process of this kind has taken, else the CPU.

    Worker processes thus spread over the GPUs by themselves; the lock ends with the process.
    """
    import tempfile

    from filelock import FileLock, Timeout

    if not torch.cuda.is_available():
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    for number in range(torch.cuda.device_count()):
        lock = FileLock(Path(tempfile.gettempdir()) / f"kgl-cuda-{number}.lock")
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        _LOCKS.append(lock)
        return torch.device("cuda", number)
    free = [torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())]
    return torch.device("cuda", int(np.argmax(free)))


_LOCKS: list[Any] = []  # held as long as the process lives


def pick_precision(wanted: str, module: nn.Module, device: torch.device) -> torch.dtype:
    """The type to compute in; weights stay float32.

    "auto": bfloat16 on GPUs that have it, float16 on older ones (their loss is scaled), on CPUs float32, but bfloat16
    where the CPU has the instructions and the convolutions are dense (it halves the speed of depthwise ones).
    """
    if wanted != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    dense = len(convolutions) > 1 and all(m.groups == 1 for m in convolutions)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device.type == "cpu" and dense and supported() else torch.float32
