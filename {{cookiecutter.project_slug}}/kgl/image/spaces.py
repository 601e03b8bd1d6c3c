"""What `kgl tune` tries for experiments on pictures where they have no `space`; see `kgl.tune.suggest`."""

from typing import Any

from kgl.image.embeddings import Embeddings
from kgl.image.experiment import Vision
from kgl.tabular.spaces import space_of
from kgl.target import Target


def default_space(experiment: Vision | Embeddings, target: Target) -> dict[str, Any]:
    """The space of an experiment on pictures by key of the command line: a network around what it is, a head's own."""
    if isinstance(experiment, Vision):
        low, high = experiment.learning_rate / 5, experiment.learning_rate * 5
        space: dict[str, Any] = {"learning_rate": (low, high), "weight_decay": (0.005, 0.5)}
        space |= {"augment": ["light", "medium", "strong"], "label_smoothing": (0.0, 0.15), "mixup": (0.0, 0.4)}
        deeper = {"layer_decay": (0.6, 0.95)} if experiment.layer_decay is not None else {}
        return space | deeper | ({"params.drop_path_rate": (0.0, 0.4)} if "drop_path_rate" in experiment.params else {})
    if experiment.head == "logistic":  # of values it is a ridge regression, which chooses by itself
        return {"head_params.C": (0.0001, 10.0)} if target.one_label or target.task == "multilabel" else {}
    if experiment.head == "knn":
        return {"head_params.n_neighbors": (3, 100)}
    return space_of(experiment.head, target, "head_params")
