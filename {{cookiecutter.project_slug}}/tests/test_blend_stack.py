"""Stacks: what members hide is found on the scale that they are added up on."""

from typing import Any

import numpy as np
import pytest

from kgl.blend_stack import Scale
from kgl.blend_weights import mix


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_a_stack_finds_what_the_members_hide(task: str) -> None:
    rng, n = np.random.default_rng(0), 3000
    columns = {"binary": 1, "multiclass": 3, "multilabel": 2, "regression": 1}[task]
    signal = rng.normal(size=(n, columns))
    parts = [signal + rng.normal(size=signal.shape) for _ in range(2)]
    if task == "regression":
        y, members = signal[:, 0], np.stack([3 * part + 5 for part in parts])  # far off, and as good for all that
    elif task == "multiclass":
        y = (3 * signal + rng.gumbel(size=signal.shape)).argmax(axis=1)
        members = np.stack([np.exp(part) / np.exp(part).sum(axis=1, keepdims=True) for part in parts])
    else:
        y = (2 * signal + rng.logistic(size=signal.shape) > 0).astype(int)
        y = y[:, 0] if task == "binary" else y
        members = np.stack([1 / (1 + np.exp(-part)) for part in parts])
        members = np.concatenate([1 - members, members], axis=2) if task == "binary" else members
    scale = Scale(task)
    theta = scale.fit_stack(scale.forward(members), y, 0.01)
    predicted = scale.back(mix(theta, scale.forward(members)))
    assert predicted.shape == members.shape[1:] and len(theta) == 2 + columns

    def lost(p: Any) -> float:
        if task == "regression":
            return float(np.square(p[:, 0] - y).mean())
        right = p[np.arange(n), y] if y.ndim == 1 else np.where(y == 1, p, 1 - p)
        return float(-np.log(right).mean())

    assert lost(predicted) < lost(members.mean(axis=0)) < lost(members[0])
    if task in ("binary", "multiclass"):
        np.testing.assert_allclose(predicted.sum(axis=1), 1)


@pytest.mark.parametrize(("loss", "log"), [("rmsle", "log1p"), ("mean_rmse_log", "log"), ("rmse", ""), ("logloss", "")])
def test_logarithms_are_added_up_where_the_metric_does(loss: str, log: str) -> None:
    scale = Scale.of("regression", loss)
    assert scale.log == log
    values = np.random.default_rng(0).uniform(1, 9, size=(50, 1))
    np.testing.assert_allclose(scale.back(scale.forward(values)), values)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_there_and_back_leaves_probabilities_as_they_were(task: str) -> None:
    p = np.random.default_rng(0).dirichlet([1, 1] if task == "binary" else [1, 1, 1], 50)
    np.testing.assert_allclose(Scale(task).back(Scale(task).forward(p)), p, atol=2e-5)


def test_a_strong_penalty_leaves_the_equal_mean() -> None:
    truth = np.random.default_rng(0).normal(size=(300, 1))
    members = np.stack([truth + error * np.random.default_rng(1).normal(size=truth.shape) for error in (1.0, 2.0)])
    np.testing.assert_allclose(Scale("regression").fit_stack(members, truth[:, 0], 1e6)[:2], 0.5, atol=1e-3)
