"""What is chosen at the end, and what CV and leaderboard say of each other."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kgl.final import final_two
from kgl.journal import Event, append
from kgl.online.relation import in_words, relate
from kgl.runs import Run
from tests.conftest import Tiny

RNG = np.random.default_rng(0)
BASE = RNG.normal(size=50)


def write_run(tiny: Tiny, name: str, *fold_scores: float, like_base: float | None = None, **values: Any) -> Run:
    """A complete run; `like_base`: the correlation of its test predictions with `BASE`, about; None: not there."""
    run = Run(run=name, experiment=name, kind="tabular", status="complete", metric="accuracy", **values)
    run.fold_scores, run.cv_score, run.cv_std = list(fold_scores), float(np.mean(fold_scores)), 0.01
    tiny.write(f"runs/{name}/run.json", json.dumps(asdict(run)))
    if like_base is not None:
        test = like_base * BASE + np.sqrt(1 - like_base**2) * np.random.default_rng(len(name)).normal(size=50)
        pd.DataFrame({"id": [f"t{i}" for i in range(50)], "p_1": test}).to_parquet(
            tiny.root / f"runs/{name}/test.parquet"
        )
    return run


def send(tiny: Tiny, ref: int, run: str, cv: float | None, public: float, *, status: str = "complete") -> Event:
    event = Event(ref, run, f"{ref}", "", f"2030-01-{ref:02d}", status, public, cv_score=cv)
    append(tiny.workspace, event)
    return event


def chosen(tiny: Tiny) -> list[str]:
    return [choice.event.run for choice in final_two(tiny.workspace, "accuracy", None)[0]]


def test_the_two_are_the_best_by_cv_and_the_least_like_it_among_equals(tiny: Tiny) -> None:
    write_run(tiny, "best", 0.90, 0.91, 0.92, like_base=1.0)
    write_run(tiny, "near", 0.901, 0.91, 0.918, like_base=0.99)
    write_run(tiny, "apart", 0.91, 0.89, 0.92, like_base=0.7)
    write_run(tiny, "worse", 0.70, 0.71, 0.72, like_base=0.1)
    for ref, name in enumerate(("worse", "apart", "near", "best"), 1):
        send(tiny, ref, name, None, 0.99 - ref / 10)
    choices, warnings = final_two(tiny.workspace, "accuracy", None)
    assert [choice.event.run for choice in choices] == ["best", "apart"] and warnings == []
    assert "the best by CV of those submitted, 0.91000" in choices[0].reason
    assert "no worse by more than luck" in choices[1].reason and "correlation 0." in choices[1].reason
    out = tiny.kgl("submit", "--final").out
    assert "choose  ref 4  best  public 0.59" in out and out.rstrip().endswith("; nothing was sent.")


def test_a_copy_of_the_best_is_no_second_choice(tiny: Tiny) -> None:
    write_run(tiny, "best", 0.90, 0.91, 0.92, like_base=1.0)
    write_run(tiny, "same", 0.90, 0.91, 0.92, like_base=1.0, seconds=9)
    write_run(tiny, "worse", 0.70, 0.71, 0.72, like_base=0.5)
    for ref, name in enumerate(("best", "same", "worse"), 1):
        send(tiny, ref, name, None, 0.9)
    choices, _ = final_two(tiny.workspace, "accuracy", None)
    assert [choice.event.run for choice in choices] == ["best", "worse"] and "the next by CV" in choices[1].reason


def test_the_best_by_cv_that_was_never_submitted_is_named(tiny: Tiny) -> None:
    write_run(tiny, "best", 0.90, 0.91, 0.92)
    write_run(tiny, "sent", 0.80, 0.81, 0.82)
    assert "no scored submission" in (none := tiny.kgl("submit", "--final")).err and none.status == 1
    send(tiny, 1, "sent", 0.81, 0.7)
    result = tiny.kgl("submit", "--final")
    assert result.out.startswith(
        "best, the best by CV (0.91000 ± 0.01000), was never submitted: uv run kgl submit best"
    )
    assert "ref 1  sent" in result.out


def test_unknown_runs_are_chosen_by_public_score_and_what_failed_never(tiny: Tiny) -> None:
    write_run(tiny, "known", 0.80, 0.81, 0.82)
    send(tiny, 1, "known", 0.81, 0.5)
    send(tiny, 2, "by_hand", None, 0.6)
    send(tiny, 3, "other", None, 0.9, status="error")
    send(tiny, 4, "elsewhere", None, 0.8)
    assert chosen(tiny) == ["known", "elsewhere"]


def test_a_rosy_run_comes_after_honest_ones(tiny: Tiny) -> None:
    write_run(tiny, "rosy", 0.95, 0.96, 0.97, config={"choose": "fold"})
    write_run(tiny, "honest", 0.80, 0.81, 0.82)
    send(tiny, 1, "rosy", 0.96, 0.9)
    send(tiny, 2, "honest", 0.81, 0.7)
    assert chosen(tiny) == ["honest", "rosy"]


def related(tiny: Tiny, cv: list[float], public: list[float], **options: bool) -> Any:
    runs = {f"r{i}": write_run(tiny, f"r{i}", score - 0.01, score, score + 0.01) for i, score in enumerate(cv)}
    scores = enumerate(zip(cv, public, strict=True))
    events = [Event(i, f"r{i}", "", "", f"{i}", "complete", b, cv_score=a) for i, (a, b) in scores]
    return relate(events, runs, greater_is_better=options.get("greater_is_better", True))


def test_inversions_of_rank_are_called_out(tiny: Tiny) -> None:
    found = related(tiny, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.1, 0.2, 0.3, 0.4, 0.6, 0.5])
    assert (found.count, found.inversions, found.run) == (6, [("r5", "r4")], "r5")
    assert found.correlation == pytest.approx(1 - 6 * 2 / (6 * 35))  # Spearman
    assert "inversion    r5 is better than r4 by CV, and worse on the leaderboard" in in_words(found)
    turned = related(tiny, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.2, 0.1, 0.3, 0.4, 0.5, 0.6], greater_is_better=False)
    assert turned.inversions == [("r0", "r1")] and turned.run == "r0"


def test_cv_predicts_the_private_score_with_its_usual_gap(tiny: Tiny) -> None:
    found = related(tiny, [0.80, 0.81, 0.82, 0.83, 0.84], [0.78, 0.79, 0.80, 0.81, 0.82])
    assert found.expected == pytest.approx(0.82) and found.low < 0.80 < 0.84 < found.high
    wider = related(tiny, [0.80, 0.81, 0.82, 0.83, 0.84], [0.70, 0.86, 0.72, 0.88, 0.74])
    assert wider.high - wider.low > 2 * (found.high - found.low)


def test_few_submissions_say_nothing(tiny: Tiny) -> None:
    assert related(tiny, [0.8, 0.81, 0.82, 0.83], [0.8, 0.81, 0.82, 0.83]) is None
    assert in_words(None) == ["CV and public: from 5 submissions of different runs on, their relation stands here"]


def test_the_interval_holds_what_it_promises() -> None:
    """Contests in which CV, public and private score are three samples of the same quality."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        quality, fold = rng.normal(0.8, 0.02, size=8), 0.015
        noise = rng.normal(0, fold, size=3)  # of the rows: shared by all runs
        cv, public, private = (
            quality + noise[i] * part + rng.normal(0, 0.003, 8) for i, part in enumerate((0.4, 1, 1))
        )
        events = [Event(i, f"r{i}", "", "", f"{i}", "complete", public[i], cv_score=cv[i]) for i in range(8)]
        runs = {f"r{i}": Run(run=f"r{i}", experiment="", cv_std=fold) for i in range(8)}
        found = relate(events, runs, greater_is_better=True)
        assert found is not None
        inside += found.low <= private[int(found.run[1:])] <= found.high
    assert inside / 300 >= 0.93
