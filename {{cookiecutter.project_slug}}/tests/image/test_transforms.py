"""Changes of pictures: what each level does, and that random numbers belong to the picture, not to its place."""

import random

import numpy as np
import pytest
import torch

from kgl.errors import KglError
from kgl.image.decode import Pixels
from kgl.image.transforms import (
    DRAWS,
    OPERATIONS,
    Augment,
    Level,
    Own,
    apply_own,
    augment_lightly,
    augment_picture,
    draw,
    operate,
)
from tests.image.corpus import scene

LEVELS: tuple[Level, ...] = ("none", "light", "medium", "strong")


def changed(
    level: Level,
    *,
    n: int = 40,
    picture: Pixels | None = None,
    mirrored: bool = True,
    tossed: bool = False,
) -> list[Pixels]:
    """The same picture as `n` rows of an epoch get it."""
    picture = scene(64, 64) if picture is None else picture
    augment = Augment(level, horizontal_flip=mirrored, vertical_flip=tossed)
    numbers = draw(n, seed=0, epoch=0)
    if level == "light":
        places = np.empty((n, *picture.shape), np.uint8)
        augment_lightly(places, [picture] * n, augment, numbers)
        return list(places)
    return [augment_picture(picture, augment, row) for row in numbers]


def test_numbers_belong_to_seed_epoch_and_row() -> None:
    numbers = draw(50, seed=3, epoch=2)
    assert numbers.shape == (50, DRAWS) and numbers.min() >= 0 and numbers.max() < 1
    assert np.array_equal(numbers[:20], draw(20, seed=3, epoch=2))
    assert len(np.unique(numbers)) > 0.99 * numbers.size
    for other in (draw(50, seed=3, epoch=3), draw(50, seed=4, epoch=2), draw(50, seed=2, epoch=3)):
        assert not np.isin(numbers, other).mean() > 0.01


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_level_keeps_the_size(level: Level, channels: int) -> None:
    picture = np.ascontiguousarray(scene(64, 48)[:, :, :channels])
    before = picture.copy()
    for result in changed(level, picture=picture):
        assert result.shape == picture.shape and result.dtype == np.uint8
    assert np.array_equal(picture, before)


def test_light_shifts_a_picture_and_mirrors_its_edge() -> None:
    line = np.arange(16, dtype=np.uint8)
    picture = np.repeat(np.broadcast_to(line[:, None], (16, 16))[:, :, None], 3, axis=2)
    shifts = set()
    for result in changed("light", picture=picture):
        column = result[:, 0, 0].astype(int)
        shift = column[8] - 8
        expected = [abs(v) if v < 16 else 30 - v for v in range(shift, 16 + shift)]
        assert column.tolist() == expected
        shifts.add(shift)
    assert shifts == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("level", LEVELS)
def test_flips_can_be_switched_off(level: Level) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 40:] = 200  # bright on the right, whatever else is done to it

    def bright_right(result: Pixels) -> bool:
        return bool(result[:, 32:].mean() >= result[:, :32].mean())

    without = [bright_right(r) for r in changed(level, picture=picture, mirrored=False)]
    flipped = [bright_right(r) for r in changed(level, picture=picture)]
    assert np.mean(without) > 0.9
    assert 0.2 < np.mean(flipped) < 0.8
    upright = np.ascontiguousarray(picture.transpose(1, 0, 2))
    top = [r[32:].mean() >= r[:32].mean() for r in changed(level, picture=upright)]
    tossed = [r[32:].mean() >= r[:32].mean() for r in changed(level, picture=upright, tossed=True)]
    assert np.mean(top) > 0.9
    assert 0.2 < np.mean(tossed) < 0.8


def test_medium_keeps_at_least_half_of_the_picture_and_changes_its_tone() -> None:
    x = np.broadcast_to(np.linspace(50, 200, 64)[None, :, None], (64, 64, 3)).astype(np.uint8)
    results = changed("medium", picture=x, n=100, mirrored=False)
    spans = [(int(r[0, -1, 0]) - int(r[0, 0, 0])) / 150 for r in results]
    assert min(spans) > 0.35 and max(spans) < 1.5
    assert np.std([r.mean() for r in results]) > 8


def test_strong_does_each_operation_and_erases_sometimes() -> None:
    picture = scene(64, 64)
    assert np.array_equal(operate(picture, 0.0, 1.0), picture)
    for i in range(1, len(OPERATIONS)):
        for strength in (0.9, -0.9):
            result = operate(picture, (i + 0.5) / len(OPERATIONS), strength)
            assert result.shape == picture.shape and np.abs(result.astype(int) - picture).mean() > 3
    grey = np.full((64, 64, 3), 10, np.uint8)
    erased = [((r == 128).all(axis=2)).mean() for r in changed("strong", picture=grey, n=200)]
    assert 0.1 < np.mean(np.array(erased) > 0.01) < 0.45
    assert max(erased) < 0.25


def noisy(picture: torch.Tensor) -> torch.Tensor:
    noise = torch.randint(0, 9, picture.shape) + np.random.randint(3) + random.randrange(3)
    return (picture + noise).clamp(0, 255).to(torch.uint8)


def test_ones_own_function_draws_by_picture_and_leaves_the_callers_random_state_alone() -> None:
    numbers = draw(6, seed=0, epoch=0)
    batch = torch.full((6, 3, 8, 8), 100, dtype=torch.uint8)
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = float(torch.rand(1)), np.random.rand(), random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    apply_own(batch, noisy, numbers)
    assert (float(torch.rand(1)), np.random.rand(), random.random()) == expected
    backwards = torch.full((6, 3, 8, 8), 100, dtype=torch.uint8)
    apply_own(backwards, noisy, numbers[::-1])
    assert torch.equal(batch, backwards.flip(0))
    assert len({tuple(picture.flatten().tolist()) for picture in batch}) == 6


@pytest.mark.parametrize(
    ("own", "got"),
    [
        (lambda p: p.float(), "a torch.float32 tensor (3, 8, 8)"),
        (lambda p: p[:, 1:], "a torch.uint8 tensor (3, 7, 8)"),
        (lambda p: p[:1], "a torch.uint8 tensor (1, 8, 8)"),
        (lambda p: None, "a NoneType"),
        (lambda p: p.numpy(), "a ndarray"),
    ],
)
def test_ones_own_function_must_keep_type_and_shape(own: Own, got: str) -> None:
    with pytest.raises(KglError) as refused:
        apply_own(torch.zeros((2, 3, 8, 8), dtype=torch.uint8), own, draw(2, seed=0, epoch=0))
    expected = f"transform: it returned {got}, expected a torch.uint8 tensor (3, 8, 8) as it was given."
    assert refused.value.message == expected


@pytest.mark.parametrize("channels", [1, 3])
def test_each_operation_takes_any_strength_and_channels(channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, channels), dtype=np.uint8)
    for number in range(len(OPERATIONS)):
        for strength in (-1.0, -0.5, 0.0, 1e-3, 0.5, 1.0):
            changed = operate(picture, (number + 0.5) / len(OPERATIONS), strength)
            assert changed.shape == picture.shape and changed.dtype == np.uint8
