"""Pretrained weights: found on this machine first, then fetched from the hub; checked, and their licence told."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import timm
from torch import nn

from kgl.competition import KAGGLE_INPUTS, load_competition
from kgl.config import nearest
from kgl.errors import KglError, usage
from kgl.paths import find_workspace, read_json

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
PRETRAINED, RANDOM = "pretrained", "none"
HUB_CLIENTS = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib3")


def find_weights(model: str, weights: str = PRETRAINED) -> Path | None:
    """The file of the weights on this machine; None if there is none and the hub is to be asked.

    Looked for in data/weights and in attached data sets: the file that is named, or `<model>.safetensors`, or
    `model.safetensors` in a folder called like the model (and .bin, .pth, .pt); then in what the hub sent earlier.
    A model without a tag (`resnet18`) takes a file with any (`resnet18.a1_in1k.safetensors`).

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
            name = _model_of(path)
            if path.name in wanted if weights != PRETRAINED else model in (name, name.partition(".")[0]):
                return path
            found.append(path.name)
    if weights != PRETRAINED:
        raise KglError(f"weights: no file {weights} in the workspace, data/weights or /kaggle/input."
                       f"{nearest(weights, found)}")  # fmt: skip
    return _sent_earlier(model)


def _model_of(path: Path) -> str:
    """The model that a file of weights is called after."""
    name = path.stem if path.stem not in ("model", "pytorch_model") else path.parent.name
    return name.removeprefix("timm_")


def _use_another(model: str) -> str:
    """What to type where there are weights of other models."""
    workspace = find_workspace()
    files = _weight_files(workspace.root / "data" / "weights", load_competition(workspace).slug)
    others = {name: None for path in files if (name := _model_of(path).partition(".")[0]) != model}
    known = [name for name in others if timm.is_model(name)]
    if not known:
        return ""
    return f"; data/weights has {', '.join(known)}: add backbone={known[0]} (of Embeddings) or model={known[0]}"


def _sent_earlier(model: str) -> Path | None:
    """The weights in the hub's cache: asking the hub first takes a minute where there is no connection."""
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        return None
    found = (try_to_load_from_cache(config.hf_hub_id, name) for name in ("model.safetensors", "pytorch_model.bin"))
    return next((Path(path) for path in found if isinstance(path, str)), None)


def greet_hub() -> None:
    """Raise at once where there is no connection: the hub's client would try for a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    get_session().head(constants.ENDPOINT, timeout=10)


@cache
def _weight_files(folder: Path, slug: str) -> tuple[Path, ...]:
    """The weight files below a folder; the contest's own folder is passed over, it may hold a million pictures."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in (slug, "competitions")]
        found += [Path(root) / name for name in names if name.endswith(SUFFIXES)]
    return tuple(sorted(found))


def config_beside(file: Path) -> dict[str, Any]:
    """`pretrained_cfg` of a JSON file beside the weights, as the hub's repositories have it: mean, std, licence."""
    for path in (file.with_suffix(".json"), file.with_name("config.json")):
        if path.is_file():
            values: dict[str, Any] = read_json(path)
            return dict(values.get("pretrained_cfg", values))
    return {}


@contextmanager
def plain_errors(model: str, file: Path | None) -> Iterator[None]:
    """Errors of building a network and of fetching its weights as one sentence."""
    try:
        yield
    except TypeError as error:
        verdict = "does not take them" if "unexpected keyword" in str(error) else "cannot be made with them"
        raise usage(f"params: {model} {verdict}: {error}.") from error
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
            f"make the folder data/weights and put {model}.safetensors into it, or attach it on Kaggle; "
            f"weights={RANDOM} trains a network from scratch{_use_another(model)}."
        ) from error


def _is_network_error(error: BaseException | None) -> bool:
    """Whether the hub could not be reached or does not have the file; its client has errors of many families."""
    while error is not None:
        if isinstance(error, OSError) or type(error).__module__.startswith(HUB_CLIENTS):
            return True
        error = error.__cause__
    return False


def origin_of(module: nn.Module, weights: str, file: Path | None) -> str:
    """Where weights come from and under which licence, for people."""
    if weights == RANDOM:
        return "none, trained from scratch"
    config: Mapping[str, Any] = getattr(module, "pretrained_cfg", {})
    place = str(file) if file else config.get("hf_hub_id") or config.get("url")
    return f"{place} (licence: {config.get('license') or 'not stated; look before you use it in a contest'})"
