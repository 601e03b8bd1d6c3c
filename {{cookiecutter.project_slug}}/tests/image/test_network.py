"""Networks: built from any model, their weights found, their parameters grouped."""

import json
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest
import timm
import torch
from safetensors.torch import save_file

from kgl.errors import USAGE, KglError
from kgl.image.device import pick_precision
from kgl.image.network import (
    build_network,
    build_optimizer,
    check_network,
    freeze,
    head_of,
    parameter_groups,
)
from kgl.image.weights import find_weights
from tests.conftest import Tiny

STEM = "conv1.0.weight"


def saved_weights(path: Path, model: str = "test_resnet", **changes: Any) -> dict[str, torch.Tensor]:
    """Weights of 1000 classes in a file."""
    torch.manual_seed(7)
    weights = timm.create_model(model, **changes).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path)
    return weights


FAMILIES: dict[str, tuple[int, dict[str, Any]]] = {
    "test_resnet": (64, {}),
    "test_efficientnet": (64, {}),
    "test_convnext": (64, {}),
    "test_vit": (64, {}),
    "vgg11": (64, {}),
    "swin_tiny_patch4_window7_224": (64, {"depths": [1, 1, 1, 1]}),
    "vit_base_patch16_clip_224": (48, {"depth": 1}),
    "vit_small_patch14_dinov2": (70, {"depth": 1}),
}


@pytest.mark.parametrize("model", FAMILIES)
def test_models_of_each_family_take_other_sizes(model: str) -> None:
    size, params = FAMILIES[model]
    network = build_network(model, outputs=5, image_size=size, weights="none", params=params)
    with torch.inference_mode():
        assert network.module.eval()(torch.zeros(2, 3, size, size)).shape == (2, 5)


def test_weights_of_a_file_are_loaded_but_for_the_head(tiny: Tiny) -> None:
    weights = saved_weights(tiny.root / "mine.safetensors")
    state = build_network("test_resnet", outputs=3, image_size=32, weights="mine.safetensors").module.state_dict()
    same = [key for key in weights if state[key].shape == weights[key].shape and torch.equal(state[key], weights[key])]
    assert set(weights) - set(same) == {"fc.weight", "fc.bias"}
    assert state["fc.weight"].shape[0] == 3


@pytest.mark.parametrize("place", ["test_resnet.safetensors", "test_resnet/model.safetensors"])
def test_weights_on_this_machine_come_before_the_hub(tiny: Tiny, place: str) -> None:
    weights = saved_weights(tiny.root / "data/weights" / place)
    network = build_network("test_resnet", outputs=0, image_size=32)
    assert torch.equal(network.module.state_dict()[STEM], weights[STEM])
    assert place in network.origin.replace("\\", "/")


def test_mean_std_and_licence_come_from_the_file_beside_the_weights(tiny: Tiny) -> None:
    saved_weights(tiny.root / "data/weights/odd.safetensors")
    config = {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3], "license": "cc-by-nc-4.0"}
    tiny.write("data/weights/odd.json", json.dumps({"architecture": "test_resnet", "pretrained_cfg": config}))
    network = build_network("test_resnet", outputs=2, image_size=32, weights="odd")
    assert network.mean == (0.5, 0.4, 0.3) and network.std == (0.1, 0.2, 0.3)
    assert "cc-by-nc-4.0" in network.origin
    given = {"pretrained_cfg_overlay": {"mean": (0.6, 0.6, 0.6)}}
    assert build_network("test_resnet", outputs=2, image_size=32, weights="odd", params=given).mean == (0.6, 0.6, 0.6)


def test_one_channel_gets_one_mean_and_the_colours_weights(tiny: Tiny) -> None:
    weights = saved_weights(tiny.root / "rgb.safetensors")
    network = build_network("test_resnet", outputs=2, image_size=32, in_chans=1, weights="rgb.safetensors")
    assert len(network.mean) == len(network.std) == 1
    first = network.module.state_dict()[STEM]
    assert torch.allclose(first[:, 0], weights[STEM].sum(dim=1), atol=1e-6)


def test_weights_that_do_not_fit_are_refused_in_a_sentence(tiny: Tiny) -> None:
    saved_weights(tiny.root / "vit.safetensors", "test_vit")
    with pytest.raises(KglError, match=r"vit\.safetensors has no weights that fit test_resnet"):
        build_network("test_resnet", outputs=2, image_size=32, weights="vit.safetensors")


def test_a_file_that_does_not_exist_is_named_with_the_nearest(tiny: Tiny) -> None:
    saved_weights(tiny.root / "data/weights/resnet_mine.safetensors")
    with pytest.raises(KglError, match=r"no file resnet_mime\.safetensors.*resnet_mine\.safetensors"):
        find_weights("test_resnet", "resnet_mime.safetensors")


def test_without_a_connection_one_sentence_says_what_to_do(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> NoReturn:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    monkeypatch.setenv("HF_HOME", str(tiny.root / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tiny.root / "hub"))
    with pytest.raises(KglError, match=r"test_resnet are not on this machine.*data/weights.*weights=none") as caught:
        build_network("test_resnet", outputs=2, image_size=32)
    assert "\n" not in caught.value.message


def test_the_same_seed_draws_the_same_weights() -> None:
    one, same, other = (
        build_network("test_resnet", outputs=2, image_size=32, weights="none", seed=s).module.state_dict()["fc.weight"]
        for s in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize(
    ("model", "params", "sentence"),
    [
        ("resnet81", {}, "has no 'resnet81'. Did you mean 'resnet"),
        ("resnet18", {"num_classes": 4}, "'num_classes' is set by the workspace"),
        ("resnet18", {"norm_layer": torch.nn.BatchNorm2d}, "give texts and numbers"),
    ],
)
def test_wrong_models_and_parameters_are_refused_before_training(
    model: str, params: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(KglError, match=sentence) as caught:
        check_network(model, params)
    assert caught.value.status == USAGE


def test_an_optimizer_that_timm_lacks_is_refused() -> None:
    with pytest.raises(KglError, match=r"timm cannot make 'adamv' .*not found in registry.*use adamw"):
        build_optimizer("adamv", torch.nn.Linear(1, 1), 0.1)


def narrow(num_classes: int, in_chans: int, width: Any = 4) -> torch.nn.Module:
    return torch.nn.Linear(num_classes, in_chans * (8 % width))


def test_a_parameter_that_a_network_cannot_use_is_told_from_one_that_it_lacks() -> None:
    for params, verdict in (({"width": "abc"}, "cannot be made with them"), ({"wdith": 4}, "does not take them")):
        with pytest.raises(KglError, match=f"params: {__name__}:narrow {verdict}: "):
            build_network(narrow, outputs=2, image_size=32, weights="none", params=params)


@pytest.mark.parametrize(("size", "others"), [(50, "48 or 64"), (8, "16 or 32")])
def test_a_size_of_which_a_transformer_would_lose_a_part_is_refused(size: int, others: str) -> None:
    with pytest.raises(
        KglError, match=f"patches of 16 pixels and would lose the rest of {size}; use {others}"
    ) as caught:
        build_network("vit_tiny_patch16_224", outputs=2, image_size=size, weights="none", params={"depth": 1})
    assert caught.value.status == USAGE


def test_a_parameter_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(KglError, match=r"test_resnet does not take them.*drop_pth_rate") as caught:
        build_network("test_resnet", outputs=2, image_size=32, weights="none", params={"drop_pth_rate": 0.1})
    assert caught.value.status == USAGE


def test_the_head_learns_faster_and_lower_layers_slower() -> None:
    module = build_network("test_vit", outputs=2, image_size=32, weights="none").module
    groups = parameter_groups(module, weight_decay=0.05, layer_decay=0.5, head_scale=10.0)
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    assert len(scale) == len(list(module.parameters()))
    head, stem = head_of(module).weight, module.patch_embed.proj.weight  # type: ignore[union-attr]
    assert scale[id(head)] == 10.0
    assert scale[id(stem)] < 0.5
    biases = [id(p) for name, p in module.named_parameters() if name.endswith("bias")]
    assert all(group["weight_decay"] == 0 for group in groups for p in group["params"] if id(p) in biases)


def test_a_frozen_network_lets_only_its_head_learn() -> None:
    module = build_network("test_resnet", outputs=2, image_size=32, weights="none").module
    freeze(module, True)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    module(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"fc.weight", "fc.bias"}  # and no statistic of a batch norm
    freeze(module, False)
    assert all(p.requires_grad for p in module.parameters()) and module.bn1.training  # type: ignore[union-attr]


def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, depthwise = (timm.create_model(name) for name in ("test_resnet", "test_efficientnet"))
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert pick_precision("auto", dense, cpu, 64) == torch.bfloat16
    assert pick_precision("auto", depthwise, cpu, 64) == torch.float32
    assert pick_precision("auto", dense, cpu, 63) == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert pick_precision("auto", dense, cpu, 64) == torch.float32
    assert pick_precision("bf16", dense, cpu, 64) == torch.bfloat16
