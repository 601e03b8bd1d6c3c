"""What was learnt from the features of a frozen network, as numbers: scaling, and a line, neighbours or trees.

Needs torch alone, and LightGBM where that has learnt. A copy of this file lies beside every model that has a head.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

AT_ONCE = 256  # rows
SAME = 1e-9  # how near pictures are the same one: less is what is lost in float32


@dataclass(frozen=True)
class Head:
    """Features to what a network's outputs are, in float64 on the CPU: the same with and without the workspace.

    Args:
        kind: "lines", "neighbours" or "trees".
        tensors: "columns", which features are used; the least and the most of each output, "low" and "high". But for
            trees "center", "scale", "mean" and "std" of these features, and either "weight" and "bias" or "rows",
            these features of training pictures, and their "targets".
        boosters: LightGBM's, one an output or one for all.
        neighbours, nearer: how many pictures are asked, and whether the nearer ones have more to say.
    """

    kind: str
    tensors: dict[str, Tensor]
    boosters: tuple[Any, ...] = ()
    neighbours: int = 0
    nearer: bool = True

    @torch.inference_mode()
    def __call__(self, features: Tensor) -> Tensor:
        """(n, outputs) of (n, features)."""
        outputs = torch.cat([self._outputs(part.double()) for part in torch.split(features, AT_ONCE)])
        return outputs.clamp(self.tensors["low"], self.tensors["high"])

    def _outputs(self, features: Tensor) -> Tensor:
        t = self.tensors
        x = features[:, t["columns"]]
        if self.kind == "trees":
            found = [torch.as_tensor(booster.predict(x.numpy())).reshape(len(x), -1) for booster in self.boosters]
            # the share of the second of two classes alone
            return torch.cat(found if len(found) * found[0].shape[1] == len(t["low"]) else [1 - found[0], *found], 1)
        x = (((x - t["center"]) / t["scale"]).arcsinh() - t["mean"]) / t["std"]
        if self.kind == "lines":
            return x @ t["weight"].T + t["bias"]
        distances, places = (1 - normalize(x) @ normalize(t["rows"].double()).T).topk(self.neighbours, largest=False)
        weight = 1 / distances.clamp(min=SAME) if self.nearer else torch.ones_like(distances)
        return torch.einsum("nk,nko->no", weight / weight.sum(dim=1, keepdim=True), t["targets"][places])
