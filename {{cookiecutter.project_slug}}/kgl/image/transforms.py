"""Changes of pictures for training, at four levels; every number is drawn by (seed, epoch, row), never by order."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as V

from kgl.errors import KglError
from kgl.image.decode import Pixels, interpolate

Level = Literal["none", "light", "medium", "strong"]
Own = Callable[[torch.Tensor], torch.Tensor]
DRAWS = 13  # numbers of one picture, each from 0 to below 1
BILINEAR = InterpolationMode.BILINEAR
SMALLEST = {"medium": 0.5, "strong": 0.25}  # part of the picture that a random crop keeps


@dataclass(frozen=True)
class Augment:
    """How training pictures are changed.

    Args:
        level: none; light (shift); medium (random crop and proportions, brightness and contrast); strong (smaller
            crops, one of ten operations of random strength as in TrivialAugment, an erased rectangle).
        horizontal_flip, vertical_flip: whether half of the pictures are mirrored, at each level; digits and text show
            another thing then.
        own: one's own function or torchvision transform, uint8 (channels, height, width) in and out, after the level.
            It may draw with torch, numpy or random, which are seeded for each picture.
    """

    level: Level = "light"
    horizontal_flip: bool = True
    vertical_flip: bool = False
    own: Own | None = None


def draw(rows: int, *, seed: int, epoch: int) -> NDArray[np.float32]:
    """The random numbers of an epoch, (rows, DRAWS): row i's are the same however many rows there are."""
    return np.random.default_rng([seed, epoch]).random((rows, DRAWS), dtype=np.float32)


def augment_picture(picture: Pixels, augment: Augment, numbers: NDArray[np.float32]) -> Pixels:
    """One picture changed, at its size; level light is done by `augment_lightly`."""
    flip, upright, top, left, area, shape, which, strength, erase, *place = numbers[: DRAWS - 1].tolist()
    if augment.level in SMALLEST:
        picture = _random_crop(picture, top, left, area, shape, SMALLEST[augment.level])
    if augment.horizontal_flip and flip < 0.5:
        picture = mirror(picture, 1)
    if augment.vertical_flip and upright < 0.5:
        picture = mirror(picture, 0)
    if augment.level == "medium":
        picture = _pointwise(picture, _tone(0.8 + 0.4 * which, 0.8 + 0.4 * strength))
    if augment.level == "strong":
        picture = operate(picture, which, 2 * strength - 1)
        if erase < 0.25:
            picture = _erase(picture, *place)
    return picture


def apply_own(batch: torch.Tensor, own: Own, numbers: NDArray[np.float32]) -> None:
    """Change each picture of a batch by the user's function, in place; the caller's random states stay as they are.

    Raises:
        KglError: it gives something else than a uint8 tensor of the same shape.
    """
    with _random_states_kept():
        for picture, number in zip(batch, numbers[:, -1], strict=True):
            seed = int(number * 2**24)  # float32 has 24 bits
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPU as well
            np.random.seed(seed)
            random.seed(seed)
            changed: object = own(picture)
            expected, got = _type_and_shape(picture), _type_and_shape(changed)
            if not isinstance(changed, torch.Tensor) or got != expected:
                raise KglError(f"transform: it returned {got}, expected {expected} as it was given.")
            picture.copy_(changed)


def _type_and_shape(value: object) -> str:
    shape = f"{value.dtype} tensor {tuple(value.shape)}" if isinstance(value, torch.Tensor) else ""
    return f"a {shape or type(value).__name__}"


@contextmanager
def _random_states_kept() -> Iterator[None]:
    states = torch.default_generator.get_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.default_generator.set_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def mirror(picture: Pixels, axis: int) -> Pixels:
    """Flipped by torch, which is ten times as fast as numpy here."""
    return np.asarray(torch.from_numpy(picture).flip(axis).numpy())


def augment_lightly(
    places: NDArray[np.uint8], pictures: Iterable[Pixels], augment: Augment, numbers: NDArray[np.float32]
) -> None:
    """Level light for a batch, into `places` (n, height, width, channels).

    Shifted one by one, mirrored all at once: three times as fast as picture by picture, and the same.
    """
    flips = (numbers[:, 0] < 0.5) & augment.horizontal_flip
    mirrored = np.empty((int(flips.sum()), *places.shape[1:]), np.uint8)
    targets, waiting = list(places), iter(mirrored)
    for i in np.flatnonzero(flips):
        targets[i] = next(waiting)
    for target, picture, (upright, top, left) in zip(targets, pictures, numbers[:, 1:4].tolist(), strict=True):
        _shift(target, picture, top, left)
        if augment.vertical_flip and upright < 0.5:
            target[...] = target[::-1].copy()
    if len(mirrored):
        places[flips] = mirror(mirrored, 2)


def _shift(place: Pixels, picture: Pixels, top: float, left: float) -> None:
    """Into `place`, shifted by up to an eighth."""
    h, w = place.shape[:2]
    (rows, from_rows, top_edge, top_from), (columns, from_columns, edge, edge_from) = (
        _shift_line(n, int((2 * u - 1) * (n // 8 + 1))) for n, u in ((h, top), (w, left))
    )
    place[rows, columns] = picture[from_rows, from_columns]
    place[rows, edge] = place[rows, edge_from]
    place[top_edge] = place[top_from]  # whole rows, so the corner, too


def _shift_line(n: int, by: int) -> tuple[slice, slice, slice, slice]:
    """A shift along a line of n: what stays in it, to and from, and what is mirrored at its end, to and from there."""
    if by < 0:
        return slice(-by, n), slice(0, n + by), slice(0, -by), slice(-2 * by, -by, -1)
    return slice(0, n - by), slice(by, n), slice(n - by, n), slice(n - 2 - by, n - 2 - 2 * by, -1)


def _random_crop(picture: Pixels, top: float, left: float, area: float, shape: float, smallest: float) -> Pixels:
    """A random part, enlarged: its area from `smallest` to all, its proportions off by up to 4/3 either way."""
    height, width = picture.shape[:2]
    side = np.sqrt(smallest + (1 - smallest) * area)
    stretch = (4 / 3) ** (shape - 0.5)  # of both sides, so 4/3 between them at the most
    h, w = min(height, round(height * side * stretch)), min(width, round(width * side / stretch))
    y, x = int(top * (height - h + 1)), int(left * (width - w + 1))
    return interpolate(picture[y : y + h, x : x + w], (height, width), "bilinear")


def _pointwise(picture: Pixels, table: NDArray[np.uint8]) -> Pixels:
    """Each value replaced by the table's, (256,), with the fastest tool for it; the result is read-only."""
    return np.frombuffer(picture.tobytes().translate(table.tobytes()), np.uint8).reshape(picture.shape)


def _tone(brightness: float, contrast: float) -> NDArray[np.uint8]:
    """The table that scales values about zero and about the middle."""
    values = ((np.arange(256) - 128.0) * contrast + 128) * brightness
    return values.clip(0, 255).astype(np.uint8)


# What `strong` takes one of, with a strength from -1 to 1: a milder TrivialAugment (https://arxiv.org/abs/2103.10158)
OPERATIONS: tuple[Callable[[torch.Tensor, float], torch.Tensor], ...] = (
    lambda image, strength: image,
    lambda image, strength: V.rotate(image, 30 * strength, BILINEAR),
    lambda image, strength: V.affine(image, 0, [0, 0], 1, [20 * strength, 0], BILINEAR),
    lambda image, strength: V.affine(image, 0, [0, 0], 1, [0, 20 * strength], BILINEAR),
    lambda image, strength: V.adjust_brightness(image, 1 + 0.6 * strength),
    lambda image, strength: V.adjust_contrast(image, 1 + 0.9 * strength),
    lambda image, strength: V.adjust_saturation(image, 1 + 0.9 * strength),
    lambda image, strength: V.equalize(image),
    lambda image, strength: V.solarize(image, 255 - 160 * abs(strength)),
    lambda image, strength: V.posterize(image, 8 - round(5 * abs(strength))),
)


def operate(picture: Pixels, which: float, strength: float) -> Pixels:
    """One of the operations; `which` is from 0 to below 1."""
    image = torch.from_numpy(picture).permute(2, 0, 1)
    changed = OPERATIONS[int(which * len(OPERATIONS))](image, strength)
    return np.asarray(changed.permute(1, 2, 0).numpy())


def _erase(picture: Pixels, top: float, left: float, area: float) -> Pixels:
    """A grey rectangle of 2 to 20 % of the picture."""
    height, width = picture.shape[:2]
    side = (0.02 + 0.18 * area) ** 0.5
    h, w = round(height * side), round(width * side)
    y, x = int(top * (height - h + 1)), int(left * (width - w + 1))
    picture = picture.copy()
    picture[y : y + h, x : x + w] = 128
    return picture
