"""Networks: any model of timm, built, and its parameters put into groups."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import timm
import timm.optim
import torch
from timm.data.config import resolve_model_data_config
from timm.layers.patch_embed import PatchEmbed
from torch import nn
from torch.optim import Optimizer

from kgl.config import nearest
from kgl.errors import reason, usage
from kgl.image.predictor import create_module
from kgl.image.weights import PRETRAINED, RANDOM, config_beside, find_weights, greet_hub, origin_of, plain_errors

optim: Any = timm.optim  # mypy does not see what it hands on


@dataclass(frozen=True)
class Network:
    """A network as it is before training.

    module: takes normalised pictures, (n, in_chans, size, size).
    arguments: those of `timm.create_model` that build it again, without weights.
    mean, std: of each channel, what pictures between 0 and 1 are normalised with.
    origin: where the weights come from and under which licence, for people.
    """

    module: nn.Module = field(repr=False, compare=False)
    arguments: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str


def keyed(*numbers: int) -> int:
    """A seed for torch made of several numbers (a seed, an epoch, a step): near ones give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def check_network(model: str | Callable[..., Any], params: Mapping[str, Any]) -> None:
    """Refuse a model that timm does not have, and parameters that the workspace sets itself.

    Raises:
        KglError: with the nearest model (status 2).
    """
    if isinstance(model, str) and not timm.is_model(model):
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
    model: str | Callable[..., Any],
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
        model: a name of timm, such as `resnet18` or `convnext_tiny.fb_in22k`, or a class or function of one's own.
        outputs: numbers that it gives for each picture; 0: its features.
        image_size: height and width in pixels; told to models that are made for one size.
        in_chans: channels of a picture.
        params: further arguments of `timm.create_model`, such as `drop_path_rate`.
        weights: "pretrained", "none", or a file: a path, or a name in data/weights or in an attached data set.
        seed: of all weights that are drawn.

    Raises:
        KglError: an argument that the model does not take, a size of which it would lose a part (2); weights that are
            not here and cannot be fetched (1).
    """
    if not isinstance(model, str):
        return _own_network(model, {"num_classes": outputs, "in_chans": in_chans, **(params or {})}, weights, seed)
    config = timm.get_pretrained_cfg(model)
    arguments = {"model_name": model, "num_classes": outputs, "in_chans": in_chans, **(params or {})}
    overlay = arguments.pop("pretrained_cfg_overlay", None) or {}
    if config is not None and config.fixed_input_size:
        arguments.setdefault("img_size", image_size)
    file = None if weights == RANDOM else find_weights(model, weights)
    if file is not None:
        overlay = config_beside(file) | {"input_size": (3, image_size, image_size)} | overlay | {"file": str(file)}
    torch.manual_seed(keyed(seed))
    with plain_errors(model, file):
        if weights == PRETRAINED and file is None:
            greet_hub()
        module = timm.create_model(**arguments, pretrained=weights != RANDOM, pretrained_cfg_overlay=overlay or None)
        if file is not None:
            torch.manual_seed(keyed(seed))
            _check_loaded(module, timm.create_model(**arguments, pretrained=False))
    _check_patches(module, model, image_size)
    data = resolve_model_data_config(module)  # type: ignore[no-untyped-call]
    mean, std = _for_channels(data["mean"], in_chans), _for_channels(data["std"], in_chans)
    return Network(module, arguments, mean, std, origin_of(module, weights, file))


def _own_network(model: Callable[..., Any], settings: dict[str, Any], weights: str, seed: int) -> Network:
    """A network of one's own, by the place where it is found again; pictures come to it between -1 and 1."""
    place = f"{model.__module__}:{model.__qualname__}"
    if weights != RANDOM:
        raise usage(f"weights: {place} is a network of your own and begins from scratch; set weights={RANDOM}.")
    torch.manual_seed(keyed(seed))
    with plain_errors(place, None):
        module = create_module({"model_name": place, **settings})
    half = (0.5,) * int(settings["in_chans"])
    return Network(module, {"model_name": place, **settings}, half, half, origin_of(module, weights, None))


def _check_patches(module: nn.Module, model: str, image_size: int) -> None:
    """Refuse a size of which a transformer, which cuts a picture into patches, would leave out the rest."""
    patches = getattr(module, "patch_embed", None)
    if isinstance(patches, PatchEmbed) and not patches.dynamic_img_pad and image_size % patches.patch_size[0]:
        lower = max(image_size // patches.patch_size[0], 1) * patches.patch_size[0]
        raise usage(f"image_size: {model} cuts pictures into patches of {patches.patch_size[0]} pixels and would lose "
                    f"the rest of {image_size}; use {lower} or {lower + patches.patch_size[0]}.")  # fmt: skip


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


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Statistics of RGB, for one channel their mean (timm leaves three)."""
    return (float(np.mean(values)),) if channels == 1 else tuple(map(float, values))


def build_optimizer(name: str, groups: Any, learning_rate: float) -> Optimizer:
    """An optimizer of timm.

    Raises:
        KglError: timm has none of that name, or it needs what is not here (status 2).
    """
    try:
        optimizer: Optimizer = optim.create_optimizer_v2(groups, opt=name, lr=learning_rate)
    except (AssertionError, ValueError, KeyError) as error:
        raise usage(f"optimizer: timm cannot make '{name}' ({reason(error)}); use adamw, sgd or lion.") from None
    for group in optimizer.param_groups:
        if "fused" in group and group["params"][0].is_cpu:
            group["fused"] = True  # once through memory, not ten times: a tenth less for a step of a small network
    return optimizer


def parameter_groups(
    module: nn.Module, *, weight_decay: float, layer_decay: float | None, head_scale: float
) -> list[dict[str, Any]]:
    """Parameters in groups for an optimizer: no decay for biases and norms, `lr_scale` by depth and for the head.

    Args:
        layer_decay: the learning rate of each layer over that of the one above it (0.65 to 0.9 for transformers).
        head_scale: the head's learning rate over that of the rest.
    """
    skipped: Any = getattr(module, "no_weight_decay", tuple)()
    if layer_decay is None:
        groups = optim.param_groups_weight_decay(module, weight_decay, no_weight_decay_list=skipped)
    else:
        more = {"no_weight_decay_list": skipped, "layer_decay": layer_decay}
        groups = optim.param_groups_layer_decay(module, weight_decay, **more)
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
    if not hasattr(module, "get_classifier"):  # one's own
        return [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    head: Any = module.get_classifier()  # type: ignore[operator]
    return nn.ModuleList(head) if isinstance(head, tuple) else head


def freeze(module: nn.Module, frozen: bool) -> None:
    """Let only the head learn, or everything; frozen layers keep their batch statistics too."""
    module.train()
    module.requires_grad_(not frozen)
    if frozen:
        module.eval()
        head_of(module).train().requires_grad_(True)
