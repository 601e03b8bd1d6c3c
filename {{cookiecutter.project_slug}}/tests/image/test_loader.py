"""Batches: each row where it belongs, the same for any number of threads, and none that batch norm cannot take."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kgl.errors import KglError
from kgl.image.cache import Pictures
from kgl.image.loader import batches, epoch_order, train_batch_count
from kgl.image.transforms import Augment
from tests.image.corpus import encoded, scene

N = 37


@pytest.fixture(params=[True, False], ids=["cached", "decoding"])
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Pictures:
    """37 pictures that differ."""
    shifted = [np.roll(scene(32, 40), i, axis=1) for i in range(N)]
    files = tuple(tmp_path / f"{i}.png" for i in range(N))
    if request.param:
        return Pictures(files, (32, 40), pixels=np.stack(shifted))
    for file, pixels in zip(files, shifted, strict=True):
        file.write_bytes(encoded(pixels, "PNG"))
    return Pictures(files, (32, 40))


def test_prediction_gives_every_row_once_in_order_and_unchanged(pictures: Pictures) -> None:
    order = np.arange(N)[::-1]
    made = list(batches(pictures, order, batch_size=8, augment=None, workers=2))
    assert [len(rows) for _, rows in made] == [8, 8, 8, 8, 5]
    assert np.array_equal(np.concatenate([rows for _, rows in made]), order)
    whole = torch.cat([batch for batch, _ in made])
    assert np.array_equal(whole.permute(0, 2, 3, 1), [pictures[row] for row in order])
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch, _ in made)


def noisy(picture: torch.Tensor) -> torch.Tensor:
    return picture ^ torch.randint(0, 4, picture.shape, dtype=torch.uint8)


@pytest.mark.parametrize("level", ["light", "strong"])
def test_a_row_is_changed_the_same_way_for_any_order_batch_size_and_threads(level: str, pictures: Pictures) -> None:
    augment = Augment(level, own=noisy)  # type: ignore[arg-type]
    results = []
    options: dict[str, Any] = {"augment": augment, "seed": 1, "epoch": 4}
    for workers, batch_size, order in ((0, 8, np.arange(N)), (1, 5, np.arange(N)[::-1]), (3, 2, np.arange(N))):
        found: dict[int, torch.Tensor] = {}
        made = batches(pictures, order, batch_size=batch_size, workers=workers, **options)
        for batch, rows in made:
            found |= {int(row): picture for row, picture in zip(rows, batch, strict=True)}
            torch.rand(100)  # what a network draws meanwhile
        results.append(found)
    shared = set.intersection(*(set(found) for found in results))
    assert len(shared) > N // 2
    for row in shared:
        assert torch.equal(results[0][row], results[1][row]) and torch.equal(results[0][row], results[2][row])


def test_epochs_and_seeds_differ(pictures: Pictures) -> None:
    def first(seed: int, epoch: int) -> torch.Tensor:
        return next(batches(pictures, np.arange(8), batch_size=8, augment=Augment(), seed=seed, epoch=epoch))[0]

    assert torch.equal(first(0, 0), first(0, 0))
    assert not torch.equal(first(0, 0), first(0, 1))
    assert not torch.equal(first(0, 0), first(1, 0))


def test_an_epoch_is_continued_where_it_stopped(pictures: Pictures) -> None:
    options: dict[str, Any] = {"batch_size": 4, "augment": Augment("medium"), "seed": 2, "epoch": 1}
    order = epoch_order(np.arange(N), seed=2, epoch=1)
    whole = list(batches(pictures, order, **options))
    rest = list(batches(pictures, order, **options, skip=3))
    assert len(rest) == len(whole) - 3
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[3:], rest, strict=True))


def test_orders_are_permutations_by_seed_and_epoch() -> None:
    rows = np.array([3, 5, 8, 13, 21, 34, 55, 89])
    orders = {tuple(epoch_order(rows, seed=seed, epoch=epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
    assert all(sorted(order) == rows.tolist() for order in orders)
    assert tuple(epoch_order(rows, seed=1, epoch=1)) in orders


@pytest.mark.parametrize("n", [2, 3, 5, 8, 9, 16, 17, 31, 33, 36, 37])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 16, 64])
def test_training_batches_are_equal_never_single_and_leave_few_rows(n: int, batch_size: int, tmp_path: Path) -> None:
    pictures = Pictures(tuple(tmp_path for _ in range(N)), (2, 2), pixels=np.zeros((N, 2, 2, 3), np.uint8))
    made = list(batches(pictures, np.arange(n), batch_size=batch_size, augment=Augment("none")))
    sizes = {len(rows) for _, rows in made}
    assert len(sizes) == 1 and 2 <= sizes.pop() <= max(3, batch_size)
    assert len(made) == train_batch_count(n, batch_size)
    rows = np.concatenate([rows for _, rows in made])
    assert len(set(rows)) == len(rows) >= 0.6 * n


def test_one_row_or_none_is_no_error() -> None:
    assert (train_batch_count(0, 8), train_batch_count(1, 8)) == (0, 1)


def test_threads_end_when_the_caller_stops_early(pictures: Pictures) -> None:
    before = threading.active_count()
    made = batches(pictures, np.arange(N), batch_size=2, augment=Augment(), workers=3)
    next(made)
    made.close()  # type: ignore[attr-defined]  # a generator
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_threads_leave_the_callers_torch_threads_alone(pictures: Pictures) -> None:
    before = torch.get_num_threads()
    list(batches(pictures, np.arange(N), batch_size=8, augment=Augment("strong"), workers=2))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_row_is_an_error_not_another_picture(workers: int, pictures: Pictures) -> None:
    bad = Pictures(pictures.files, pictures.size, bad={9: "empty"}, pixels=pictures.pixels)
    with pytest.raises(KglError, match=r"9\.png: empty"):
        list(batches(bad, np.arange(N), batch_size=4, augment=None, workers=workers))
