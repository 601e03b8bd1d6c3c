"""Where a network is trained, and in which numbers."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

LEAST_FOR_BF16 = 64  # pixels, on a CPU
_LOCKS: list[Any] = []  # of GPUs, held as long as the process lives


@cache
def pick_device() -> torch.device:
    """The device of this process: a GPU that no other process of this kind has taken, else the CPU.

    Worker processes thus spread over the GPUs by themselves; the lock ends with the process.
    """
    from filelock import FileLock, Timeout

    if not torch.cuda.is_available():
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    for number in range(torch.cuda.device_count()):
        # by its own name: CUDA_VISIBLE_DEVICES may number the same GPUs otherwise in another process
        name = getattr(torch.cuda.get_device_properties(number), "uuid", number)
        lock = FileLock(Path(tempfile.gettempdir()) / f"kgl-cuda-{name}.lock")
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        _LOCKS.append(lock)
        return torch.device("cuda", number)
    free = [torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())]
    return torch.device("cuda", int(np.argmax(free)))


def pick_precision(wanted: str, module: nn.Module, device: torch.device, image_size: int) -> torch.dtype:
    """The type to compute in; weights stay float32.

    "auto": bfloat16 on GPUs that have it, float16 on older ones (their loss is scaled), on CPUs float32, but bfloat16
    where the CPU has the instructions, the convolutions are dense (it halves the speed of depthwise ones) and pictures
    have 64 pixels or more. On smaller ones it gains nothing, and where a strided convolution sees a single pixel oneDNN
    3.13 gives gradients that are no numbers.
    """
    if wanted != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    dense = len(convolutions) > 1 and all(m.groups == 1 for m in convolutions) and image_size >= LEAST_FOR_BF16
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device.type == "cpu" and dense and supported() else torch.float32
