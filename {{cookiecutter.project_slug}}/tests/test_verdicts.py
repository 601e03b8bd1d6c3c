"""Verdicts are right by simulation: luck is seldom called better, and a plain difference is nearly always found."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kgl.evidence import Evidence
from kgl.metrics import get_metric
from kgl.runs import Run
from kgl.verdicts import DRAWS, MOST_DRAWN, RISK, draw_scores, judge, rows_of
from tests.conftest import Tiny

Array = NDArray[Any]
World = Callable[[np.random.Generator, int], Array]  # what each of so many rows loses by the change: zero on average
ROWS, TIMES = 600, 2000


def steady(rng: np.random.Generator, n: int) -> Array:
    return rng.normal(size=n)


def heavy(rng: np.random.Generator, n: int) -> Array:
    return rng.standard_t(3, n)


def right_or_wrong(rng: np.random.Generator, n: int) -> Array:
    """Of labels: one row in twenty is decided otherwise."""
    return rng.choice([-1.0, 0.0, 1.0], n, p=[0.025, 0.95, 0.025])


def found_better(world: World, *, folds: int, of_folds: float, standard_errors: float) -> float:
    """How often the verdict is better.

    of_folds: the variance of training sets between folds, as a share of that of rows in the mean.
    standard_errors: the true difference, in standard errors of the mean difference.
    """
    rng = np.random.default_rng(0)
    spread = world(rng, 200_000).std()
    error = spread * np.sqrt((1 + of_folds) / ROWS)
    better = 0
    for _ in range(TIMES):
        rows = world(rng, ROWS).reshape(folds, -1) + standard_errors * error
        rows += rng.normal(size=(folds, 1)) * spread * np.sqrt(of_folds * folds / ROWS)
        gains = rows.mean(axis=1)
        of_rows = float(np.sqrt((rows.var(axis=1) / rows.shape[1]).sum()) / folds)
        better += gains.mean() > 0 and judge(list(gains), rows=of_rows)[1] <= RISK
    return better / TIMES


@pytest.mark.parametrize("world", [steady, heavy, right_or_wrong])
@pytest.mark.parametrize(("folds", "of_folds"), [(1, 0.0), (1, 0.5), (5, 0.0), (5, 1.0), (5, 20.0), (10, 1.0)])
def test_luck_is_called_better_once_in_twenty_at_most(world: World, folds: int, of_folds: float) -> None:
    assert found_better(world, folds=folds, of_folds=of_folds, standard_errors=0) <= RISK + 0.012  # of the simulation


@pytest.mark.parametrize("world", [steady, heavy, right_or_wrong])
@pytest.mark.parametrize(("folds", "of_folds"), [(5, 0.0), (5, 1.0), (10, 0.0), (10, 1.0)])
def test_four_standard_errors_are_found(world: World, folds: int, of_folds: float) -> None:
    assert found_better(world, folds=folds, of_folds=of_folds, standard_errors=4) >= 0.95 - 0.012


def squares_of_ridge(x: Array, y: Array, unseen: Array, truth: Array) -> Array:
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
    return np.asarray(np.square(unseen @ weights - truth))


def faults_of_neighbours(x: Array, y: Array, unseen: Array, truth: Array) -> Array:
    """Labels by five nearest rows: small changes of what is trained on change many decisions at once."""
    near = np.argpartition(np.square(x).sum(axis=1) - 2 * unseen @ x.T, 5, axis=1)[:, :5]
    return np.asarray(np.not_equal((y[near] > 0).mean(axis=1) > 0.5, truth > 0))


@pytest.mark.parametrize("losses", [squares_of_ridge, faults_of_neighbours])
def test_two_models_that_are_equally_good_on_average_seldom_differ(losses: Callable[..., Array]) -> None:
    """Both learn from half of the columns, which say as much; folds share training rows."""
    rng, times, called = np.random.default_rng(0), 800, 0
    for _ in range(times):
        x = rng.normal(size=(200, 20))
        y, fold_of, lost = x.sum(axis=1) / 4 + rng.normal(size=200), np.arange(200) % 5, np.empty((2, 200))
        for k in range(5):
            inside = fold_of == k
            for side, half in enumerate((x[:, :10], x[:, 10:])):
                lost[side, inside] = losses(half[~inside], y[~inside], half[inside], y[inside])
        rows = [(lost[1] - lost[0])[fold_of == k] for k in range(5)]
        of_rows = float(np.sqrt(sum(part.var() / len(part) for part in rows)) / 5)
        gains = [float(part.mean()) for part in rows]
        called += any(gains) and judge(gains, rows=of_rows)[1] <= RISK  # better or worse: either is as likely
    assert called / times / 2 <= RISK


def predictions(rng: np.random.Generator, metric: str, n: int) -> tuple[Array, list[Array]]:
    """A truth, and two predictions that miss it by as much, differently."""
    value = rng.normal(size=n)
    sides = [value + rng.normal(size=n) for _ in range(2)]
    if metric == "rmse":
        return value, sides
    truth = (value + rng.normal(size=n) > 0.5).astype(int)
    return truth, [1 / (1 + np.exp(-side)) if metric == "auc" else (side > 0.5).astype(int) for side in sides]


@pytest.mark.parametrize("name", ["accuracy", "auc", "f1", "mcc", "rmse"])
def test_the_bootstrap_knows_how_much_a_gain_varies_from_sample_to_sample(name: str) -> None:
    rng, metric, fold_of = np.random.default_rng(0), get_metric(name), np.arange(400) % 4

    def gain(y: Array, sides: list[Array]) -> float:
        scores = [[metric.score(y[fold_of == k], side[fold_of == k]) for k in range(4)] for side in sides]
        return float(np.mean(np.subtract(scores[0], scores[1])))

    true = np.std([gain(*predictions(rng, name, 400)) for _ in range(400)])
    errors = []
    for _ in range(5):
        y, sides = predictions(rng, name, 400)

        def draws(side: Array, y: Array = y) -> Array:
            return draw_scores(lambda rows: metric.score(y[rows], side[rows]), fold_of, np.arange(400))

        found = rows_of(draws(sides[0]), draws(sides[1]))
        assert found is not None and found.count == 400
        errors.append(found.error)
    assert np.mean(errors) == pytest.approx(true, rel=0.15)


def test_rows_of_one_group_are_drawn_together() -> None:
    rng, fold_of, groups = np.random.default_rng(0), np.zeros(500, dtype=int), np.arange(500) // 10
    shared = rng.normal(size=50)[groups]

    def error(of_groups: Array) -> float:
        draws = draw_scores(lambda rows: float(shared[rows].mean()), fold_of, of_groups)
        found = rows_of(draws, np.zeros_like(draws))
        assert found is not None
        return found.error

    assert error(groups) == pytest.approx(shared.std() / np.sqrt(50), rel=0.15)
    assert error(np.arange(500)) == pytest.approx(shared.std() / np.sqrt(500), rel=0.15)


def test_many_rows_are_drawn_from_a_part_of_them_with_the_error_of_all() -> None:
    n = 4 * MOST_DRAWN
    values, seen = np.random.default_rng(0).normal(size=n), set[int]()

    def score(rows: Array) -> float:
        seen.add(len(rows))
        return float(values[rows].mean())

    draws = draw_scores(score, np.zeros(n, dtype=int), np.arange(n))
    found = rows_of(draws, np.zeros_like(draws))
    assert found is not None and found.error == pytest.approx(1 / np.sqrt(n), rel=0.15)
    assert seen == {MOST_DRAWN} and draws.shape == (1, 1 + DRAWS)


def test_an_undefined_score_does_not_count() -> None:
    draws = np.array([[10, np.nan, np.nan], [10, 0.5, 0.7]])
    found = rows_of(draws, np.array([[10, 0.0, 0.0]] * 2))
    assert found is not None and found.error == pytest.approx(0.1)
    assert found.count == 10  # nor do the rows of its fold
    assert rows_of(draws[:1], np.zeros((1, 3))) is None


def test_the_noise_of_seeds_widens_a_verdict() -> None:
    gains = [0.010, 0.011, 0.012, 0.013, 0.014]
    error, p = judge(gains, rows=0.002)
    wider, doubtful = judge(gains, rows=0.002, seeds=0.01**2)
    assert p < 0.001 and doubtful > RISK and wider > error
    assert wider == pytest.approx(np.hypot(0.002, 0.01))
    assert judge(gains, seeds=0.02**2)[0] == pytest.approx(0.02)


def seeded(name: str, seeds: list[int], scores: list[float], **values: Any) -> Run:
    config = {"kind": "tabular", "seeds": seeds}
    kept = {"experiment": "noisy", "kind": "tabular", "status": "complete", "metric": "accuracy"} | values
    return Run(run=name, seeds=seeds, config=config, fold_scores=[*scores], **kept)


def test_a_runs_own_seeds_tell_their_noise(tiny: Tiny) -> None:
    run = seeded("noisy-001", [0, 1], [0.8, 0.7])
    for fold, scores in zip((1, 5), ((0.80, 0.82), (0.70, 0.74)), strict=True):  # of a split made by hand
        for seed, score in enumerate(scores):
            tiny.write(f"runs/noisy-001/folds/{fold}/seed-{seed}/scores.json", json.dumps({"score": score}))
    other = seeded("other-001", [0], [0.6, 0.6], experiment="other")
    evidence = Evidence(tiny.workspace, [run, other])
    variance = (0.02**2 / 2 + 0.04**2 / 2) / 2
    assert evidence.noise == {"noisy": pytest.approx(variance)}
    # two folds; two seeds on one side, and one on the other, whose own noise is not known
    assert evidence.seed_variance(run, other) == pytest.approx(variance / 2 / 2 + variance / 2)
    blend = seeded("blend-001", [], [0.6, 0.6], experiment="blend", kind="blend")
    assert evidence.seed_variance(run, blend) == pytest.approx(variance / 2 / 2)


def test_runs_that_differ_in_their_seeds_alone_tell_it_too(tiny: Tiny) -> None:
    runs = [seeded("noisy-001", [0], [0.80, 0.70]), seeded("noisy-002", [1], [0.82, 0.74])]
    assert Evidence(tiny.workspace, runs).noise == {"noisy": pytest.approx((0.02**2 / 2 + 0.04**2 / 2) / 2)}
    runs[1].identity = {"code": "other"}
    assert Evidence(tiny.workspace, runs).noise == {}
