"""Workers times threads never exceed the cores that may be used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.pipeline import make_pipeline

from kgl.cores import ROWS_A_THREAD, Plan, plan, usable_cores
from kgl.errors import KglError
from kgl.tabular.models import SklearnModel
from tests.conftest import Tiny


@given(
    tasks=st.integers(0, 100),
    rows=st.integers(0, 10**7),
    cores=st.integers(1, 128),
    workers=st.none() | st.integers(1, 128),
)
def test_workers_times_threads_fit_the_cores(tasks: int, rows: int, cores: int, workers: int | None) -> None:
    if workers and workers > cores:
        return
    made = plan(tasks, rows, workers=workers, cores=cores)
    assert made.workers >= 1 and made.threads >= 1
    assert made.workers * made.threads <= cores
    assert made.workers <= max(1, tasks) and made.workers <= (workers or cores)
    assert made.threads <= max(1, rows // ROWS_A_THREAD)


def test_few_rows_share_the_cores_between_folds_and_many_between_threads() -> None:
    assert plan(5, 900, cores=4) == Plan(workers=4, threads=1)
    assert plan(5, 1_000_000, cores=4) == Plan(workers=1, threads=4)
    assert plan(5, 20_000, cores=4) == Plan(workers=2, threads=2)
    assert plan(5, 1_000_000, workers=2, cores=4) == Plan(workers=2, threads=2)


@pytest.mark.parametrize("workers", [0, -1, 5])
def test_more_workers_than_cores_are_refused(workers: int) -> None:
    with pytest.raises(KglError, match=f"--workers {workers}: expected 1 to 4") as refused:
        plan(5, 900, workers=workers, cores=4)
    assert refused.value.status == 2


def test_cores_are_counted_and_told_on_the_command_line(tiny: Tiny) -> None:
    assert usable_cores() >= 1
    result = tiny.kgl("train", "constant", "--workers", "4096")
    assert result.status == 2 and f"expected 1 to {usable_cores()}" in result.err


def test_an_estimator_gets_the_threads_of_the_plan_and_may_have_arrays_as_parameters() -> None:
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    model = SklearnModel(RidgeClassifierCV(alphas=np.logspace(-3, 3, 5)), 2)
    assert model.seeded(0, 1).fit(X, y, None, []).predict(X).shape == (20,)
    assert SklearnModel(make_pipeline(LGBMClassifier()), 2).seeded(0, 1).estimator[0].n_jobs == 1
    assert SklearnModel(RandomForestClassifier(), 2).seeded(0, 3).estimator.n_jobs == 3
    assert SklearnModel(LogisticRegression(), 2).seeded(0, 1).estimator.n_jobs is None, "it warns of any"
