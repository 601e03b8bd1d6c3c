"""Pretrained weights that are needed to predict, too: those of networks that look at pictures for a table model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgl.errors import KglError


def pretrained_files(config: Mapping[str, Any]) -> dict[str, Path]:
    """The files of weights that predicting with a run's models needs, by where they lie in a workspace.

    Args:
        config: of a run.

    Raises:
        KglError: the weights are not on this machine.
    """
    if "backbone" not in config or config["weights"] == "none":
        return {}
    from kgl.image.weights import PRETRAINED, find_weights

    backbone, weights = config["backbone"], config["weights"]
    file = find_weights(backbone, weights)
    if file is None:
        raise KglError(f"the weights of {backbone} are not here; put {backbone}.safetensors into data/weights.")
    place = Path("data/weights", f"{backbone}{file.suffix}" if weights == PRETRAINED else weights)
    beside = next((path for path in (file.with_suffix(".json"), file.with_name("config.json")) if path.is_file()), None)
    return {place.as_posix(): file} | ({place.with_suffix(".json").as_posix(): beside} if beside else {})
