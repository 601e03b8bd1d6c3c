"""What a training needs to go on after it was killed: one file, without pickle, whole or not at all.

There is no random state in it: whatever is drawn depends on (seed, epoch, sample) or (seed, step) alone.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from kgl.paths import replacing

NAME = "checkpoint.safetensors"
KEY = "kgl"


def save_checkpoint(folder: Path, parts: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Write tensors by part ("model", "ema", ...) and name, and plain values, into one file in `folder`."""
    tensors = {
        f"{part}/{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for part, named in parts.items()
        for name, tensor in named.items()
    }
    with replacing(folder / NAME) as temporary:
        save_file(tensors, temporary, metadata={KEY: json.dumps(state)})


def load_checkpoint(folder: Path | None) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """What `save_checkpoint` wrote, on the CPU; None where there is nothing."""
    if folder is None or not (folder / NAME).is_file():
        return None
    parts: dict[str, dict[str, Tensor]] = {}
    with safe_open(folder / NAME, framework="pt") as file:
        state: dict[str, Any] = json.loads(file.metadata()[KEY])
        for key in file.keys():  # noqa: SIM118 - it is no mapping
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = file.get_tensor(key)
    return parts, state


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory of each parameter, by `<number>.<name>`, and the steps that some count in their groups."""
    memory = optimizer.state_dict()["state"]
    tensors = {f"{i}.{name}": torch.as_tensor(value) for i, named in memory.items() for name, value in named.items()}
    steps = {f"steps.{i}": group["step"] for i, group in enumerate(optimizer.param_groups) if "step" in group}
    return tensors | {key: torch.as_tensor(value) for key, value in steps.items()}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave, each tensor laid out in memory like its parameter: sums depend on it."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        if number == "steps":
            optimizer.param_groups[int(name)]["step"] = value if value.is_floating_point() else int(value)
            continue
        parameter = parameters[int(number)]
        if name != "step":  # a count, which stays on the CPU
            like = parameter if value.shape == parameter.shape else value.to(parameter.device)
            value = torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
        optimizer.state[parameter][name] = value
